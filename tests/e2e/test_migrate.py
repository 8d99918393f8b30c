# SPDX-License-Identifier: Apache-2.0
"""touchlog migrate, alone and beside touchlogd.  A test name is a sentence that is true when it passes."""
import hashlib, json, os, shutil, subprocess

import pytest

import harness
from harness import SCHEMA, program, touchlog, until, write_config

FILES = sorted(name for name in os.listdir(SCHEMA) if name.endswith(".sql"))
LAST = len(FILES)
# One that fits any version of the schema, behind the last.
NEXT = f"{LAST + 1:03}-next.sql"
HEAD = "-- SPDX-License-Identifier: Apache-2.0\n-- min_binary: 1\n"


@pytest.fixture
def empty(cluster):
    db = cluster.empty()
    yield db
    db.drop()


@pytest.fixture
def folder(tmp_path):
    """A copy of schema/ to be changed."""
    return shutil.copytree(SCHEMA, tmp_path / "schema")


@pytest.fixture
def migrate(tmp_path):
    """migrate(database, *args) -> what it did"""
    def run(db, *args, folder=SCHEMA, conninfo=None):
        config = write_config(tmp_path, db, {"database": {"admin_conninfo": conninfo or db.admin_conninfo}})
        return touchlog(config, "migrate", "--schema-dir", str(folder), *args)
    return run


class Running:
    """touchlog migrate under way."""

    def __init__(self, tmp_path, db, folder=SCHEMA):
        config = write_config(tmp_path, db, {"database": {"admin_conninfo": db.admin_conninfo}})
        self.err = tmp_path / f"migrate-{os.urandom(4).hex()}.err"
        with open(self.err, "wb") as err:
            self.p = subprocess.Popen([program("touchlog"), "-c", config, "migrate", "--schema-dir", str(folder)],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)

    def said(self, text):
        until(lambda: text in self.err.read_text(), f"migrate says {text!r}")

    def end(self):
        out, _ = self.p.communicate(timeout=60)
        assert not harness.REPORT.search(self.err.read_text()), self.err.read_text()
        return self.p.returncode, out


def versions(db):
    return db.rows("SELECT version, name, min_binary, encode(sha256, 'hex') AS sha256"
                   " FROM touchlog.schema_version ORDER BY version")


def has(db, relation):
    return db.one(f"SELECT to_regclass('touchlog.{relation}') IS NOT NULL")


def sleeping(db):
    """The backend that runs the pg_sleep() of a migration."""
    return until(lambda: db.rows("SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                                 " AND wait_event = 'PgSleep'"), "a migration sleeps")[0]["pid"]


def why(daemon):
    """What /readyz says of the database."""
    a = daemon.get("/readyz")
    assert a.status == 503, a
    (part,) = a.json()["degraded"]
    return part["why"]


def test_an_empty_database_is_brought_up_file_by_file_and_then_there_is_nothing_to_do(empty, migrate):
    done = migrate(empty)
    assert (done.returncode, done.stdout, done.stderr) == (0, "".join(f"{name}: applied\n" for name in FILES), "")
    for row, name in zip(versions(empty), FILES, strict=True):
        with open(os.path.join(SCHEMA, name), "rb") as f:
            assert (row["name"], row["min_binary"], row["sha256"]) == (name, 1, hashlib.sha256(f.read()).hexdigest())
    again = migrate(empty)
    assert (again.returncode, again.stdout) == (0, f"nothing to do: the schema is at {LAST}\n")
    assert len(versions(empty)) == LAST


def test_json_says_what_was_applied(empty, migrate):
    done = json.loads(migrate(empty, "--json").stdout)
    assert done == {"version": LAST, "dry_run": False, "applied": FILES, "partitions": 0}
    assert json.loads(migrate(empty, "--json").stdout)["applied"] == []


def test_a_missing_partition_is_made(empty, migrate):
    migrate(empty)
    name = empty.run("SELECT max(inhrelid::regclass::text) FROM pg_inherits"
                     " WHERE inhparent = 'touchlog.interaction'::regclass").strip()
    empty.run(f"DROP TABLE {name}")
    assert migrate(empty).stdout == "1 partition made\n"
    assert migrate(empty).stdout.startswith("nothing to do")


def test_a_dry_run_names_the_files_and_changes_nothing(empty, migrate):
    done = migrate(empty, "--dry-run")
    assert (done.returncode, done.stdout) == (0, "".join(f"{name}: would be applied\n" for name in FILES))
    assert empty.one("SELECT to_regnamespace('touchlog') IS NULL")
    assert json.loads(migrate(empty, "--dry-run", "--json").stdout)["version"] == 0


def test_an_applied_file_that_was_edited_is_an_error_that_names_it(database, migrate, folder):
    path = folder / FILES[1]
    path.write_text(path.read_text() + "-- harmless\n")
    done = migrate(database, folder=folder)
    assert done.returncode == 1 and FILES[1] in done.stderr and "differs" in done.stderr, done
    assert done.stdout == ""


def test_an_owner_with_createrole_needs_no_superuser(cluster, migrate):
    cluster.database().run("CREATE ROLE e2e_owner LOGIN CREATEROLE")
    db = cluster.empty(" OWNER e2e_owner")
    done = migrate(db, conninfo=db.conninfo("e2e_owner"))
    assert (done.returncode, done.stderr) == (0, ""), done
    assert migrate(db, conninfo=db.conninfo("e2e_owner")).stdout.startswith("nothing to do")
    db.drop()
    cluster.database().run("DROP ROLE e2e_owner")


def test_one_without_rights_is_told_what_it_would_take(cluster, empty, migrate):
    done = migrate(empty, conninfo=empty.conninfo(harness.READER_ROLE))
    assert done.returncode == 5 and FILES[0] in done.stderr and "Run touchlog migrate as" in done.stderr, done


# ---- interrupted, locked, at once ----

def test_an_interrupted_migration_leaves_nothing_half_done_and_the_daemon_waits_for_the_rest(
        empty, folder, tmp_path, migrate):
    third = folder / FILES[2]
    whole = third.read_text()
    third.write_text(whole + "\nSELECT pg_sleep(600);\n")
    with harness.Daemon(empty, {}, tmp_path, ready=False) as d:
        until(lambda: "run touchlog migrate" in why(d), "/readyz says what to do")
        assert "no touchlog schema" in why(d)
        running = Running(tmp_path, empty, folder)
        pid = sleeping(empty)
        running.p.kill()
        running.end()
        empty.run(f"SELECT pg_terminate_backend({pid}, 10000)")
        assert [row["version"] for row in versions(empty)] == [1, 2]
        assert empty.one("SELECT count(*) FROM pg_proc WHERE proname = 'accept'") == 0
        until(lambda: "the schema is at 2" in why(d), "/readyz says how far it is")
        assert "run touchlog migrate" in why(d)
        third.write_text(whole)
        done = migrate(empty, folder=folder)
        assert (done.returncode, done.stdout) == (0, "".join(f"{name}: applied\n" for name in FILES[2:]))
        d.wait_ready()


def test_a_connection_that_is_lost_half_way_is_said_and_the_next_run_goes_on(database, folder, tmp_path, migrate):
    (folder / NEXT).write_text(HEAD + "CREATE TABLE touchlog.half (x int); SELECT pg_sleep(600);")
    running = Running(tmp_path, database, folder)
    database.run(f"SELECT pg_terminate_backend({sleeping(database)}, 10000)")
    code, _ = running.end()
    assert code == 5
    running.said(NEXT)
    assert not has(database, "half") and len(versions(database)) == LAST
    (folder / NEXT).write_text(HEAD + "CREATE TABLE touchlog.half (x int);")
    assert migrate(database, folder=folder).stdout == f"{NEXT}: applied\n"
    assert has(database, "half")


def test_a_statement_that_fails_takes_its_whole_file_back(database, folder, migrate):
    (folder / NEXT).write_text(HEAD + "CREATE TABLE touchlog.half (x int); SELECT 1/0;")
    done = migrate(database, folder=folder)
    assert done.returncode == 5 and f"{NEXT}: division by zero" in done.stderr, done
    assert not has(database, "half") and len(versions(database)) == LAST


def test_two_at_once_apply_each_file_once(empty, tmp_path):
    both = [Running(tmp_path, empty) for _ in range(2)]
    ends = sorted(r.end() for r in both)
    assert ends == sorted([(0, "".join(f"{name}: applied\n" for name in FILES)),
                           (0, f"nothing to do: the schema is at {LAST}\n")])


def test_one_that_has_to_wait_for_another_says_so(database, tmp_path):
    with database.session("SELECT pg_advisory_lock(hashtextextended('touchlog.migrate', 0))"):
        running = Running(tmp_path, database)
        running.said("another touchlog migrate is at work")
    assert running.end() == (0, f"nothing to do: the schema is at {LAST}\n")


def test_a_locked_table_is_tried_for_again_and_each_try_is_said(database, folder, tmp_path):
    (folder / NEXT).write_text(HEAD + "SET LOCAL ROLE touchlog_admin;\nALTER TABLE touchlog.interaction ADD x int;")
    with database.session("BEGIN", "LOCK touchlog.interaction IN ACCESS SHARE MODE"):
        running = Running(tmp_path, database, folder)
        running.said(f"{NEXT}: a table is locked by others; try 2 of 30 follows")
        assert len(versions(database)) == LAST
    assert running.end() == (0, f"{NEXT}: applied\n")
    assert len(versions(database)) == LAST + 1


# ---- newer and older ----

def test_a_schema_that_needs_a_newer_binary_is_refused_by_all_with_what_to_do(database, tmp_path, migrate):
    database.run(f"INSERT INTO touchlog.schema_version VALUES ({LAST + 1}, '{NEXT}', 99, '')")
    done = migrate(database)
    assert done.returncode == 1 and "upgrade" in done.stderr and done.stdout == "", done
    with harness.Daemon(database, {}, tmp_path, ready=False) as d:
        until(lambda: "upgrade" in why(d), "/readyz says what to do")
        done = d.touchlog("show", "nobody@example.com")
        assert done.returncode == 5 and "upgrade" in done.stderr, done


def test_a_newer_schema_that_this_binary_satisfies_is_worked_with(database, tmp_path, migrate):
    database.run(f"INSERT INTO touchlog.schema_version VALUES ({LAST + 1}, '{NEXT}', 1, '')")
    done = migrate(database)
    assert done.returncode == 0 and "newer" in done.stderr, done
    assert done.stdout == f"nothing to do: the schema is at {LAST + 1}\n"
    with harness.Daemon(database, {}, tmp_path) as d:
        assert d.touchlog("show", "nobody@example.com").returncode == 4


def test_a_file_that_needs_a_newer_binary_is_not_applied(database, folder, migrate):
    (folder / NEXT).write_text("-- min_binary: 99\nCREATE TABLE touchlog.half (x int);")
    done = migrate(database, folder=folder)
    assert done.returncode == 1 and NEXT in done.stderr and "upgrade" in done.stderr, done
    assert not has(database, "half")


def test_a_gap_in_what_was_applied_is_an_error(database, migrate):
    database.run("DELETE FROM touchlog.schema_version WHERE version = 2")
    done = migrate(database)
    assert done.returncode == 1 and "lacks migration 2" in done.stderr, done


# ---- odd files ----

@pytest.mark.parametrize("text, said", [
    ("SELECT 1;", "no min_binary"),
    ("-- min_binary: five\nSELECT 1;", "is no number"),
    ("-- min_binary: 1\nSELECT 1;\0", "NUL"),
], ids=["without", "no number", "NUL"])
def test_a_file_that_is_no_migration_is_named_and_nothing_is_applied(empty, folder, migrate, text, said):
    (folder / NEXT).write_text(text)
    done = migrate(empty, folder=folder)
    assert done.returncode == 1 and NEXT in done.stderr and said in done.stderr, done
    assert empty.one("SELECT to_regnamespace('touchlog') IS NULL")


def test_a_missing_number_is_named(empty, folder, migrate):
    os.remove(folder / FILES[2])
    done = migrate(empty, folder=folder)
    assert done.returncode == 1 and f"{FILES[3]}: number 003 is wanted here" in done.stderr, done


def test_a_folder_without_migrations_is_an_error(empty, tmp_path, migrate):
    for folder, said in ((tmp_path / "none", "No such file"), (tmp_path, "there is no migration")):
        done = migrate(empty, folder=folder)
        assert done.returncode == 1 and said in done.stderr, done


def test_a_file_that_ends_its_own_transaction_is_an_error(database, folder, migrate):
    (folder / NEXT).write_text(HEAD + "COMMIT;")
    done = migrate(database, folder=folder)
    assert done.returncode == 5 and f"{NEXT}: it ends its own transaction" in done.stderr, done
    assert len(versions(database)) == LAST


def test_a_no_transaction_file_runs_outside_and_is_one_statement(database, folder, migrate):
    outside = HEAD + "-- no-transaction\n"
    (folder / NEXT).write_text(outside + "SELECT 1; SELECT 2;")
    done = migrate(database, folder=folder)
    assert done.returncode == 5 and "multiple commands" in done.stderr, done
    (folder / NEXT).write_text(outside + "CREATE INDEX CONCURRENTLY parked_source ON touchlog.parked (source);")
    assert migrate(database, folder=folder).stdout == f"{NEXT}: applied\n"
    assert has(database, "parked_source") and versions(database)[-1]["name"] == NEXT
    assert database.one("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'parked_source'") == "touchlog_admin"
