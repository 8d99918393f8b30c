# SPDX-License-Identifier: Apache-2.0
"""What each role may do, and what two sessions do to one another."""

import io
import uuid

import harness
from harness import SESSION, Aside, connect, is_blocked, one, refusal, rows, same, wait_for

DENIED = "42501"
ID = "01980000-0000-7000-8000-000000000001"
AT = "touchlog.at('%s')" % ID

ACCEPT = """SELECT own[1] AS own, txid FROM touchlog.accept(%s::uuid[], %s::uuid[], '{NULL}', '{1}',
    '{t}', '{1,1}', '{email,phone}', '{r@x,+31r}', '{NULL,NULL}', '{NULL,NULL}', '{t,f}', 5)"""
STANDS = """SELECT stands[1]::text FROM touchlog.accept(%s::uuid[], %s::uuid[], '{NULL}', '{}',
    '{}', '{}', '{}', '{}', '{}', '{}', '{}', 5)"""
ROW = ("id", "received_at", "occurred_at", "customer_id", "source", "channel", "direction", "kind",
       "txid")

# Everything else that the daemon or its command line calls.
CALLS = {
    "profile": "SELECT touchlog.profile('{1}', '{\"{}\"}', '{f}')",
    "match": "SELECT touchlog.match('{}', now(), now())",
    "make_partitions": "SELECT touchlog.make_partitions(now() + interval '5 years')",
    "park": "SELECT touchlog.park(ARRAY[gen_random_uuid()], ARRAY[gen_random_uuid()], '{s}',"
            " '{a}', '{NULL}', '{why}', '{NULL}')",
    "settle_parked": "SELECT touchlog.settle_parked(gen_random_uuid(), 'retried')",
    "prune_seen": "SELECT touchlog.prune_seen(NULL, 10)",
    "adopt_cluster": "SELECT touchlog.adopt_cluster()",
    "rule_check": "SELECT touchlog.rule_check($$kind = 'x'$$, 'predicate')",
    "rule_set_load": """SELECT touchlog.rule_set_load('x', $$[{"name": "r", "when": "kind = 'visit'",
        "wait": "'2 d'::interval", "unless": "kind = 'y'"}]$$, '[]')""",
    "rule_set_activate":
        "SELECT touchlog.rule_set_activate((SELECT max(version) FROM touchlog.rule_set))",
    "rule_test": "SELECT touchlog.rule_test((SELECT max(id) FROM touchlog.rule), now())",
    "rule_test_exactness":
        "SELECT touchlog.rule_test_exactness((SELECT max(id) FROM touchlog.rule), now())",
    "rule_arm": "SELECT touchlog.rule_arm('r', now() - interval '1 d')",
    "rule_explain": f"SELECT touchlog.rule_explain('r', '{ID}')",
    "firings_fire": "SELECT touchlog.firings_fire('{1}')",
    "decide_due": "SELECT touchlog.decide_due(10)",
    "next_due": "SELECT touchlog.next_due()",
    "horizon": "SELECT touchlog.horizon()",
    "daemon_seen": "SELECT touchlog.daemon_seen('a', NULL)",
    "daemon_left": "SELECT touchlog.daemon_left('a')",
    "join_by_hand": "SELECT touchlog.join_by_hand(1, 2)",
    "split": "SELECT touchlog.split(1, 2)",
    "note_consent": "SELECT touchlog.note_consent('{}', now(), now())",
    "link_owner": "SELECT touchlog.link_owner('x')",
    "may_send": "SELECT touchlog.may_send('{}', 1, '{}')",
    "suppress": "SELECT touchlog.suppress('email', 'x@y.example')",
    "unsubscribe_look": "SELECT touchlog.unsubscribe_look('x')",
    "outbox_claim": "SELECT touchlog.outbox_claim(1, 'x', '1 s', '{}')",
    "outbox_configured": "SELECT touchlog.outbox_configured('{}')",
    "outbox_measure": "SELECT touchlog.outbox_measure()",
    "outbox_next": "SELECT touchlog.outbox_next()",
    "outbox_recover": "SELECT touchlog.outbox_recover('x')",
    "outbox_retry": "SELECT touchlog.outbox_retry(NULL)",
    "outbox_set_paused": "SELECT touchlog.outbox_set_paused(false, 'x', NULL)",
    "outbox_settle": "SELECT touchlog.outbox_settle(1, 'x', 1, 'done', NULL, NULL, NULL)",
    "task_assign": "SELECT touchlog.task_assign(1, 'x')",
    "task_done": "SELECT touchlog.task_done(1, 'x')",
    "task_overdue": "SELECT touchlog.task_overdue(1)",
    "timeline": "SELECT count(*) FROM touchlog.timeline WHERE customer_id = 1",
    "schema_version": "SELECT count(*) FROM touchlog.schema_version",
}

# What a reader may call too.
COMMON = ["at", "str", "num", "has", "ts", "ptr", "open_time_add", "open_time_between"]

NOT_THE_DAEMON = [
    "UPDATE touchlog.interaction SET kind = 'x'",
    "DELETE FROM touchlog.interaction",
    "TRUNCATE touchlog.interaction",
    "DELETE FROM touchlog.participant",
    "SELECT FROM touchlog.document",
    "SELECT FROM touchlog.customer_change",
    "INSERT INTO touchlog.seen VALUES (gen_random_uuid(), gen_random_uuid())",
    "DELETE FROM touchlog.seen",
    "INSERT INTO touchlog.identity VALUES ('a', 'email', 1, true)",
    "UPDATE touchlog.identity SET strong = true",
    "UPDATE touchlog.customer SET root_id = 1",
    "SELECT nextval('touchlog.customer_id')",
    "INSERT INTO touchlog.merge (a_id, b_id, state) VALUES (1, 2, 'joined')",
    "DELETE FROM touchlog.parked",
    "UPDATE touchlog.cluster SET txid_offset = 0",
    "INSERT INTO touchlog.schema_version VALUES (99, 'x', 1, '')",
    "SELECT touchlog.set_root('{1}')",
    "SELECT touchlog.harden('{email}', '{a}', '{t}')",
    "SELECT touchlog.make_partition('interaction', 'x', now(), now())",
    "SELECT touchlog.note_change('joined', 1, 2, NULL)",
    "UPDATE touchlog.rule SET when_sql = 'true'",
    "INSERT INTO touchlog.rule_set (sha256) VALUES ('x')",
    "UPDATE touchlog.rule_set SET active = true",
    "DELETE FROM touchlog.timer",
    "UPDATE touchlog.rule_state SET last_fired_at = NULL",
    "UPDATE touchlog.firing SET state = 'fired'",
    "DELETE FROM touchlog.rule_trouble",
    "UPDATE touchlog.calendar SET zone = 'UTC'",
    "UPDATE touchlog.daemon SET seen_at = now()",
    "SELECT touchlog.match_any('{}', now(), now())",
    "SELECT touchlog.match_rows('{}', now(), now())",
    "SELECT touchlog.rules_compile()",
    "SELECT touchlog.rule_read('{true}', '{predicate}')",
    "SELECT touchlog.firings_enqueue('{1}', now())",
    "CREATE OR REPLACE FUNCTION touchlog.match_rows(uuid[], timestamptz, timestamptz)"
    " RETURNS SETOF touchlog.hit LANGUAGE sql AS 'SELECT NULL::touchlog.hit'",
    "CREATE TABLE touchlog.mine (x int)",
    "CREATE FUNCTION touchlog.accept() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP TABLE touchlog.interaction",
    "ALTER TABLE touchlog.interaction ADD x int",
    "SET ROLE touchlog_admin",
]

READ = ["interaction", "document", "participant", "customer", "identity", "merge", "seen",
        "cluster", "parked", "customer_change", "rule_set", "rule", "rule_trouble", "rule_state",
        "timer", "firing", "outbox", "delivery", "task", "calendar", "calendar_hours",
        "calendar_holiday", "daemon", "cursor", "schema_version", "timeline"]


def append(conn):
    """The whole append transaction of one event."""
    rows(conn, "BEGIN")
    own, txid = rows(conn, ACCEPT, [[str(uuid.uuid4())], [ID]])[0]
    at = one(conn, f"SELECT {AT}")
    with conn.cursor() as cur:
        line = "\t".join(map(str, (ID, at, at, own, "s", "web", "in", "visit", txid)))
        cur.copy_expert(f"COPY touchlog.interaction ({','.join(ROW)}) FROM STDIN",
                        io.StringIO(line + "\n"))
        cur.copy_expert("COPY touchlog.document FROM STDIN",
                        io.StringIO(f"{ID}\t{at}\t{own}\t{{}}\n"))
    people = f"""INSERT INTO touchlog.participant SELECT * FROM unnest('{{{ID},{ID}}}'::uuid[],
        ARRAY[{AT}, {AT}], ARRAY[{own}::bigint, {own}], '{{2,2}}'::bigint[], '{{cc,cc}}'::text[])
        ON CONFLICT DO NOTHING"""
    rows(conn, people)
    rows(conn, f"SELECT touchlog.match('{{{ID}}}', {AT}, {AT})")
    rows(conn, "COMMIT")
    return one(conn, "SELECT count(*) FROM touchlog.timeline WHERE customer_id = %s", [own])


def daemon(db):
    admin, conn = connect(db), connect(db)
    rows(admin, f"SELECT touchlog.make_partitions({AT})")
    rows(conn, SESSION)
    rows(conn, "SET ROLE touchlog_daemon")
    same("touchlog_daemon does the whole append", append(conn), 1)
    same("and calls whatever else it must",
         [name for name, sql in CALLS.items() if refusal(conn, sql) == DENIED], [])
    same("a batch that matches is matched", one(
        conn, f"SELECT n_hits FROM touchlog.match('{{{ID}}}', {AT}, {AT})"), 1)
    rows(conn, "RESET ROLE; SET SESSION AUTHORIZATION touchlog_daemon")
    same("and does nothing that it need not",
         [sql for sql in NOT_THE_DAEMON if refusal(conn, sql) != DENIED], [])
    same("every function is either its own or closed", rows(admin, """
        SELECT proname FROM pg_proc p WHERE pronamespace = 'touchlog'::regnamespace
            AND has_function_privilege('touchlog_daemon', oid, 'EXECUTE')
            AND proname NOT IN ('accept', 'append') AND proname <> ALL (%s)
        UNION SELECT proname FROM pg_proc p, pg_roles r
        WHERE pronamespace = 'touchlog'::regnamespace AND r.rolname = 'touchlog_reader'
            AND has_function_privilege(r.oid, p.oid, 'EXECUTE') AND proname <> ALL (%s)""",
        [list(CALLS) + COMMON, COMMON]), [])
    own_text(conn)
    same("what runs as touchlog_admin has its search_path fixed", rows(admin, """
        SELECT proname FROM pg_proc WHERE pronamespace = 'touchlog'::regnamespace AND prosecdef
            AND NOT coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false)"""), [])
    admin.close()
    conn.close()


def own_text(conn):
    """What only it defined would run as touchlog_admin, were it let into a predicate."""
    rows(conn, """CREATE FUNCTION pg_temp.mine(text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
        $$ BEGIN UPDATE touchlog.rule SET mode = 'off'; RETURN true; END $$;
        CREATE FUNCTION pg_temp.num(jsonb, text) RETURNS numeric IMMUTABLE LANGUAGE sql
        AS 'SELECT 1';
        CREATE DOMAIN pg_temp.text_of_mine AS text CHECK (pg_temp.mine(value));
        CREATE OPERATOR pg_temp.=== (FUNCTION = pg_temp.mine, RIGHTARG = text)""")
    check = "SELECT touchlog.rule_check(%s, 'predicate')"
    same("no function, domain or operator of its own comes into a rule",
         [text for text in ("pg_temp.mine(kind)", "kind::pg_temp.text_of_mine = 'x'",
                            "OPERATOR(pg_temp.===) kind") if refusal(conn, check, [text]) != DENIED],
         [])
    same("and none is found by a name of touchlog's",
         one(conn, check, ["num(attributes, 'x') = 1"]),
         "(touchlog.num(attributes, 'x'::text) = (1)::numeric)")


def reader(db):
    conn = connect(db)
    rows(conn, "SET SESSION AUTHORIZATION touchlog_reader")
    same("touchlog_reader reads every table and view",
         [t for t in READ if refusal(conn, f"SELECT FROM touchlog.{t}")], [])
    changes = [f"{verb} touchlog.{t}{rest}" for t in READ for verb, rest in (
        ("INSERT INTO", " DEFAULT VALUES"), ("DELETE FROM", ""), ("TRUNCATE", ""))
        if t != "timeline"] + list(CALLS.values())[:-2]
    same("and changes nothing", [sql for sql in changes if refusal(conn, sql) != DENIED], [])
    conn.close()


def two_sessions(db):
    holder, other, watcher = connect(db), connect(db), connect(db)
    rows(other, SESSION)
    rows(other, "SET lock_timeout = '20s'")
    rows(holder, "SELECT t.one('two', 'email two@x'); SELECT t.one('tri', 'email tri@x')")
    say = "SELECT touchlog.profile(ARRAY[t.own('%s')], ARRAY['{\"name\":\"%s\"}'::jsonb], '{f}')"
    rows(holder, say % ("two@x", "Ann"))

    rows(holder, "BEGIN; SELECT FROM touchlog.customer WHERE id = t.own('two@x') FOR UPDATE")
    busy = Aside(rows, other, say % ("two@x", "Eve"))
    busy.join(timeout=harness.DEADLINE_S)
    same("a profile that says nothing new waits for no lock", busy.is_alive(), False)
    rows(holder, "COMMIT")

    rows(holder, "BEGIN")
    rows(holder, say % ("tri@x", "Bob"))
    busy = Aside(rows, other, say % ("tri@x", "Rob"))
    wait_for("the second to wait", lambda: is_blocked(watcher, other))
    rows(holder, "COMMIT")
    busy.join()
    same("of two that fill the same field the first to commit fills it",
         (busy.error, one(watcher, "SELECT name FROM touchlog.customer WHERE id = t.own('tri@x')")),
         (None, "Bob"))

    rows(holder, """INSERT INTO touchlog.seen
        VALUES (gen_random_uuid(), gen_random_uuid(), '2020-01-01')""")
    rows(holder, "BEGIN; SELECT touchlog.prune_seen(NULL, 1)")
    same("while one daemon prunes another does not",
         rows(other, "SELECT * FROM touchlog.prune_seen(NULL, 1000)"), [(None, 0)])
    rows(holder, "COMMIT")

    rows(holder, "BEGIN; SELECT touchlog.make_partitions('2040-01-01')")
    busy = Aside(one, other, "SELECT touchlog.make_partitions('2040-01-01')")
    wait_for("the second to wait", lambda: is_blocked(watcher, other))
    rows(holder, "COMMIT")
    busy.join()
    same("two daemons that miss the same partition both get it",
         (busy.error, busy.result), (None, 0))

    rows(holder, "BEGIN; SELECT count(*) FROM touchlog.interaction")
    rows(other, "SET lock_timeout = '2s'")
    same("a reader of the log does not keep partitions from being made",
         refusal(other, "SELECT touchlog.make_partitions('2041-01-01')"), None)
    rows(holder, "COMMIT; BEGIN; SELECT touchlog.make_partitions('2042-01-01')")
    same("nor do partitions being made keep events from the log",
         refusal(other, "SELECT t.one('while', 'email while@x')"), None)
    rows(holder, "COMMIT")

    key, ids = str(uuid.uuid4()), [str(uuid.uuid4()) for _ in range(2)]
    rows(other, "SET lock_timeout = '20s'")
    rows(holder, "BEGIN")
    first = one(holder, STANDS, [[key], [ids[0]]])
    busy = Aside(one, other, STANDS, [[key], [ids[1]]])
    wait_for("the second to wait", lambda: is_blocked(watcher, other))
    rows(holder, "COMMIT")
    busy.join()
    same("the same event in two daemons at once is fresh in the first to commit",
         (first, busy.result), (None, ids[0]))
    for conn in (holder, other, watcher):
        conn.close()


def test():
    db = harness.fresh("roles")
    daemon(db)
    reader(db)
    two_sessions(db)
    harness.drop(db)
