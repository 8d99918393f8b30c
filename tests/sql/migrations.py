# SPDX-License-Identifier: Apache-2.0
"""The migrations as such: who may apply them, twice, at once, cut off half way."""

import os

import psycopg2

from harness import (FILES, ROLES, Aside, apply, connect, create, drop, is_blocked, one, rows,
                     same, text, wait_for)

OWNER, NOBODY = "touchlog_sql_test_owner", "touchlog_sql_test_nobody"


def ours(conn):
    return one(conn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'touchlog'")


def drop_roles():
    conn = connect()
    rows(conn, f"DROP ROLE IF EXISTS {ROLES}")
    conn.close()


def login(db, role):
    conn = connect(db)
    if role:
        rows(conn, f"SET SESSION AUTHORIZATION {role}")
    return conn


def headers():
    numbers = [int(os.path.basename(f)[:3]) for f in FILES]
    same("files are numbered from 1 without a gap", numbers, list(range(1, len(FILES) + 1)))
    same("each names its licence and min_binary at its head",
         [f for f in FILES if not text(f).startswith(
             "-- SPDX-License-Identifier: Apache-2.0\n-- min_binary: 1\n")], [])


def two_at_once(role, end, sentence):
    """Two databases of one cluster migrate; the second meets the first's roles."""
    dbs = [create(name, role) for name in ("one", "two")]
    first, second, watcher = login(dbs[0], role), login(dbs[1], role), connect()
    rows(first, "BEGIN")
    rows(first, text(FILES[0]))
    other = Aside(apply, second, FILES[0])
    wait_for("the second migration to meet the first", lambda: is_blocked(watcher, second))
    rows(first, end)
    other.join()
    same(sentence, (other.error, ours(second)), (None, 1))
    for conn in (first, second, watcher):
        conn.close()
    for db in dbs:
        drop(db)


def at_once():
    two_at_once(None, "COMMIT", "two databases of a cluster migrate at once")
    drop_roles()
    two_at_once(None, "ROLLBACK", "also when the first gives up")
    drop_roles()


def by_owner():
    conn = connect()
    rows(conn, f"CREATE ROLE {OWNER} CREATEROLE")
    rows(conn, f"CREATE ROLE {NOBODY}")
    two_at_once(OWNER, "COMMIT", "so may a role with CREATEROLE that owns them")
    rows(conn, f"REVOKE touchlog_admin FROM {OWNER}")
    two_at_once(OWNER, "COMMIT", "and when the roles are there but not its own")

    db = create("owned", OWNER)
    owner = login(db, OWNER)
    for path in FILES:
        apply(owner, path)
    same("no superuser is needed for any file", one(
        owner, "SELECT count(*) > 20 FROM pg_class WHERE relnamespace = 'touchlog'::regnamespace"),
        True)
    admin = connect(db)
    same("touchlog_admin owns everything", rows(admin, """
        SELECT relname FROM pg_class WHERE relnamespace = 'touchlog'::regnamespace
            AND relowner <> 'touchlog_admin'::regrole
        UNION SELECT proname FROM pg_proc WHERE pronamespace = 'touchlog'::regnamespace
            AND proowner <> 'touchlog_admin'::regrole
        UNION SELECT typname FROM pg_type WHERE typnamespace = 'touchlog'::regnamespace
            AND typowner <> 'touchlog_admin'::regrole
        UNION SELECT nspname FROM pg_namespace WHERE nspname = 'touchlog'
            AND nspowner <> 'touchlog_admin'::regrole"""), [])
    same("which is no superuser", rows(admin, """SELECT rolname FROM pg_roles
        WHERE rolname IN ('touchlog_admin', 'touchlog_daemon', 'touchlog_reader')
            AND (rolsuper OR rolcanlogin OR rolcreaterole)"""), [])
    owner.close()
    admin.close()
    drop(db)
    conn.close()


def by_nobody():
    drop_roles()
    db = create("nobody")
    conn = login(db, NOBODY)
    try:
        apply(conn, FILES[0])
        said = None
    except psycopg2.Error as e:
        said = e
    same("another role is told what it would take", (said.pgcode, said.diag.message_hint),
         ("42501", "Run touchlog migrate as a superuser, or as a role with CREATEROLE"
                   " that owns the database."))
    same("and leaves no role behind", one(
        conn, "SELECT to_regrole('touchlog_admin') IS NULL"), True)
    conn.close()
    drop(db)


def interrupted():
    db = create("cut")
    watcher = connect(db)
    left = []
    for path in FILES:
        before = rows(watcher, "SELECT oid FROM pg_class ORDER BY oid")
        conn = connect(db)
        busy = Aside(apply, conn, path, "SELECT pg_sleep(600)")
        wait_for("the file's last statement", lambda pid=conn.info.backend_pid: one(
            watcher, "SELECT coalesce(max(wait_event), '') FROM pg_stat_activity WHERE pid = %s",
            [pid]) == "PgSleep")
        rows(watcher, "SELECT pg_terminate_backend(%s, 10000)", [conn.info.backend_pid])
        busy.join()
        conn.close()
        if rows(watcher, "SELECT oid FROM pg_class ORDER BY oid") != before:
            left.append(path)
        apply(watcher, path)
    same("an interrupted migration leaves nothing and can be applied again", left, [])
    again = []
    for path in FILES:
        before = rows(watcher, "SELECT oid FROM pg_class ORDER BY oid")
        if refusal_of(watcher, path) is None or rows(
                watcher, "SELECT oid FROM pg_class ORDER BY oid") != before:
            again.append(path)
    same("one that was applied is refused and leaves nothing", again, [])
    watcher.close()
    drop(db)


def refusal_of(conn, path):
    try:
        apply(conn, path)
    except psycopg2.Error as e:
        return e.pgcode
    return None


def test():
    headers()
    at_once()
    by_owner()
    by_nobody()
    interrupted()
