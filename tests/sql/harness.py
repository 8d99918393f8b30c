# SPDX-License-Identifier: Apache-2.0
"""What the SQL tests share: databases of their own, sentences and their count."""

import glob
import os
import subprocess
import threading
import time

import psycopg2

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = os.environ.get("TOUCHLOG_SCHEMA", os.path.join(HERE, "..", "..", "schema"))
FILES = sorted(glob.glob(os.path.join(SCHEMA, "[0-9]*.sql")))
PREFIX = "touchlog_sql_test"
ROLES = "touchlog_admin, touchlog_daemon, touchlog_reader"
DEADLINE_S = 20

# What the daemon sets in each session (DESIGN.md section 3).
SESSION = """SET TimeZone = 'UTC'; SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET jit = off; SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '2s'"""

count = {"ok": 0, "not ok": 0}


def say(line):
    print(line, flush=True)


def same(sentence, got, want):
    ok = got == want
    word = "ok" if ok else "not ok"
    count[word] += 1
    say(f"{word} - {sentence}" + ("" if ok else f": got {got!r}, want {want!r}"))


def connect(db="postgres"):
    # No TLS: one test writes to the socket itself.
    conn = psycopg2.connect(dbname=db, sslmode="disable")
    conn.autocommit = True
    return conn


def rows(conn, sql, args=None):
    with conn.cursor() as cur:
        cur.execute(sql, args)
        return cur.fetchall() if cur.description else []


def one(conn, sql, args=None):
    return rows(conn, sql, args)[0][0]


def refusal(conn, sql, args=None):
    """The SQLSTATE with which a statement is refused; None when it is not."""
    try:
        rows(conn, sql, args)
    except psycopg2.Error as e:
        return e.pgcode
    return None


def text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def apply(conn, path, tail=""):
    """As the migrator does it: one file, one transaction."""
    with conn.cursor() as cur:
        cur.execute("BEGIN")
        try:
            cur.execute(text(path) + tail)
            cur.execute("COMMIT")
        except psycopg2.Error:
            if not conn.closed:
                cur.execute("ROLLBACK")
            raise


def create(name, owner=None, template=None):
    """An empty database, or a copy of another; its full name."""
    db = f"{PREFIX}_{name}"
    conn = connect()
    rows(conn, f"DROP DATABASE IF EXISTS {db} (FORCE)")
    rows(conn, f"CREATE DATABASE {db}" + (f" OWNER {owner}" if owner else "")
         + (f" TEMPLATE {PREFIX}_{template}" if template else ""))
    conn.close()
    return db


def drop(db):
    conn = connect()
    rows(conn, f"DROP DATABASE {db} (FORCE)")
    conn.close()


def fresh(name):
    """A migrated database with the helpers of helper.sql."""
    db = create(name)
    conn = connect(db)
    for path in FILES:
        apply(conn, path)
    rows(conn, text(os.path.join(HERE, "helper.sql")))
    conn.close()
    return db


def play(db, name):
    """Runs a file of sentences through psql and counts them."""
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", db, "-f",
                           os.path.join(HERE, name)], capture_output=True, text=True)
    for line in done.stdout.splitlines():
        word = line.split(" - ")[0]
        if word in count:
            count[word] += 1
        if word in count or line.startswith("#"):
            say(line)
    if done.returncode != 0:
        count["not ok"] += 1
        say(f"not ok - {name} runs to its end: {done.stderr.strip()}")


def wait_for(what, condition):
    until = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {DEADLINE_S} s in vain for: {what}")
        time.sleep(0.01)


class Aside(threading.Thread):
    """Runs a function beside the test; join() hands its outcome back."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args = function, args
        self.result = self.error = None
        self.start()

    def run(self):
        try:
            self.result = self.function(*self.args)
        except psycopg2.Error as e:
            self.error = e


def is_blocked(watcher, conn):
    return one(watcher, "SELECT cardinality(pg_blocking_pids(%s)) > 0", [conn.info.backend_pid])
