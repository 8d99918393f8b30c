# SPDX-License-Identifier: Apache-2.0
"""The outbox: claimed by index and under leases, performed and settled once; tasks; what is paused."""

import json

import harness
from harness import SESSION, Aside, connect, is_blocked, one, rows, same, wait_for

RULES = [
    {"name": "call", "when": "external_id LIKE 'call%'", "do": ["callback"]},
    {"name": "post", "when": "external_id LIKE 'post%'", "do": ["hook"]},
    {"name": "both", "when": "external_id LIKE 'both%'", "do": ["hook", "callback"]},
    {"name": "twice", "when": "external_id LIKE 'twice%'", "do": ["mail", "mail"]},
    {"name": "change", "when": "external_id LIKE 'change%'", "do": ["stage", "tag", "tag-less", "urgent"]},
    {"name": "bad", "when": "external_id LIKE 'bad%'", "do": ["broken", "callback"]},
    {"name": "odd", "when": "external_id LIKE 'odd%'", "do": ["nobody-knows"]},
    {"name": "tell", "when": "external_id LIKE 'tell%'", "do": ["notify"]},
    {"name": "escalate", "when": "kind = 'task_overdue'", "do": ["urgent"]},
]
ACTIONS = {
    "callback": {"type": "task", "title": "Call {customer.name|them} back: {external_id}{{}}", "assign": "care",
                 "due": "4 hours", "priority": 2},
    "hook": {"type": "webhook"},
    "mail": {"type": "email", "purpose": "marketing"},
    "stage": {"type": "stage", "to": "loyalty"},
    "tag": {"type": "tag", "add": ["b", "a"]},
    "tag-less": {"type": "tag", "add": ["c"], "remove": ["a"]},
    "urgent": {"type": "priority", "to": 1},
    "broken": {"type": "task", "title": "x", "due": "1 hour", "calendar": "no such calendar"},
    "notify": {"type": "notify", "channel": "touchlog"},
}
CLAIM = """SELECT id, firing_id, action, ended, attempt, nth, payload
    FROM touchlog.outbox_claim(%s, %s, %s, %s, 36, {now})"""
STATES = "SELECT status FROM touchlog.delivery WHERE {} ORDER BY outbox_id, attempt"


def load_rules(conn, rules=RULES, calendars=()):
    version = one(conn, "SELECT touchlog.rule_set_load(sha256(%s), %s, %s)",
                  [json.dumps(rules).encode(), json.dumps(rules), json.dumps(list(calendars))])
    rows(conn, "SELECT touchlog.rule_set_activate(%s)", [version])


def log(conn, name, who="a@x"):
    """One event of that name, of a customer or (who None) of nobody."""
    batch = [{"name": name, "parties": [[["email", who]]] if who else []}]
    return one(conn, "SELECT t.log(%s)", [json.dumps(batch)])


def claim(conn, n=50, instance="one", lease="1 minute", now="clock_timestamp()", actions=None):
    """What is handed out, and how many rows were seen to."""
    found = rows(conn, CLAIM.format(now=now), [n, instance, lease, json.dumps(ACTIONS if actions is None else actions)])
    jobs = [dict(zip(("id", "firing", "action", "ended", "attempt", "nth", "payload"), r)) for r in found]
    return [j for j in jobs if j["ended"] is None], len(jobs)


def settle(conn, job, ends, retry_at=None, error=None, log=None, instance="one"):
    return one(conn, "SELECT touchlog.outbox_settle(%s, %s, %s, %s, %s, %s, %s)",
               [job["id"], instance, job["attempt"], ends, retry_at, error, json.dumps(log) if log else None])


def column(conn, sql, args=None):
    return [r[0] for r in rows(conn, sql, args)]


def performed(conn):
    log(conn, "call-1")
    jobs, n = claim(conn)
    same("a database action is done when it is claimed", (jobs, n), ([], 1))
    task = rows(conn, """SELECT title, assign, priority, t.due - f.decided_at = interval '4 hours', t.thread IS NULL,
        i.external_id FROM touchlog.task t JOIN touchlog.firing f ON f.id = t.firing_id
        JOIN touchlog.interaction i ON i.id = t.interaction_id""")
    same("a task has its title filled in, and is due from the firing on", task, [("Call them back: call-1{}", "care", 2, True, True, "call-1")])
    same("its receipt says so, and its row is gone", (column(conn, STATES.format("action = 'callback'")), one(conn, "SELECT count(*) FROM touchlog.outbox")), (["done"], 0))

    log(conn, "change-1")
    claim(conn)
    same("stage, tags and priority are the customer's", rows(conn, "SELECT stage, tags, priority FROM touchlog.customer"), [("loyalty", ["b", "c"], 1)])
    same("each change tells who, what and why", rows(conn, "SELECT who, what, why LIKE 'firing %%, action %%' FROM touchlog.customer_change ORDER BY id"), [
        ("rule change", {"stage": {"from": None, "to": "loyalty"}}, True),
        ("rule change", {"tags": {"from": [], "to": ["a", "b"]}}, True),
        ("rule change", {"tags": {"from": ["a", "b"], "to": ["b", "c"]}}, True),
        ("rule change", {"priority": {"from": None, "to": 1}}, True)])
    log(conn, "change-2")
    claim(conn, actions={k: ACTIONS[k] for k in ("stage", "urgent")} | {"tag": {"type": "tag", "add": ["c"]}, "tag-less": {"type": "tag", "remove": ["x"]}})
    same("what is so already is no change", one(conn, "SELECT count(*) FROM touchlog.customer_change"), 4)
    rows(conn, "INSERT INTO touchlog.firing (rule, origin_id, origin_at, customer_id, state, rule_set, decided_at) VALUES ('change', gen_random_uuid(), now(), 0, 'fired', 1, now())")
    rows(conn, "INSERT INTO touchlog.outbox (firing_id, action, position, payload, next_at) SELECT max(id), 'stage', 1, '{}', now() FROM touchlog.firing")
    claim(conn)
    same("where nobody is known, the receipt says that nothing was changed", rows(conn, "SELECT status, error FROM touchlog.delivery ORDER BY at DESC, outbox_id DESC LIMIT 1"), [("done", "no customer is known: nothing was changed")])

    log(conn, "bad-1")
    claim(conn)
    same("an action that cannot be done is dead, and the next one stands alone",
         (rows(conn, "SELECT action, state, attempts, next_at = 'infinity', error LIKE '%%calendar%%' FROM touchlog.outbox"), one(conn, "SELECT count(*) FROM touchlog.task WHERE title LIKE '%%bad-1%%'")),
         ([("broken", "dead", 1, True, True)], 1))
    rows(conn, "DELETE FROM touchlog.outbox")


def titles(conn):
    payload = {"rule": "r", "interaction": {"subject": "s", "n": 12.50, "empty": "", "attributes": {"items": [{"sku": "A"}]}, "rule": "no"}, "customer": None}
    for template, want in (
            ("{subject}", "s"), ("{interaction.subject}", "s"), ("{rule}", "r"), ("{customer.name|you}", "you"), ("{empty|e}", "e"),
            ("{nothing}", ""), ("{n}", "12.5"), ("{attributes.items.0.sku}", "A"), ("{{{subject}}}", "{s}"), ("a {x|b|c} d", "a b|c d"), ("", "")):
        same(f"{template!r} is filled in as {want!r}", one(conn, "SELECT touchlog.substitute(%s, %s)", [template, json.dumps(payload)]), want)


def leased(conn, other):
    log(conn, "post-1")
    jobs, _ = claim(conn)
    same("what leaves is handed out with its payload", [(j["action"], j["attempt"], j["payload"]["interaction"]["external_id"], j["payload"]["rule"]) for j in jobs], [("hook", 1, "post-1", "post")])
    same("nobody else gets it while it is leased", claim(other, instance="two"), ([], 0))
    again, _ = claim(other, instance="two", now="clock_timestamp() + interval '2 minutes'")
    same("when the lease has run out, it is the next attempt, of another", [(j["id"], j["attempt"]) for j in again], [(jobs[0]["id"], 2)])
    same("the first one's receipt says that it was lost", column(conn, STATES.format("action = 'hook'")), ["lost"])
    same("who lost it settles nothing", settle(conn, jobs[0], "done"), False)
    same("who has it does", settle(other, again[0], "done", instance="two"), True)
    same("each attempt has one receipt, and the row is gone", (column(conn, STATES.format("action = 'hook'")), one(conn, "SELECT count(*) FROM touchlog.outbox")), (["lost", "done"], 0))

    log(conn, "post-2")
    jobs, _ = claim(conn)
    settle(conn, jobs[0], "retry", "2100-01-01", "HTTP 500")
    same("a failed attempt waits for its time", (claim(conn), rows(conn, "SELECT attempts, claimed_by, error FROM touchlog.outbox")), (([], 0), [(1, None, "HTTP 500")]))
    same("`outbox retry` has it tried now", one(conn, "SELECT touchlog.outbox_retry(ARRAY[%s]::bigint[])", [jobs[0]["id"]]), [jobs[0]["id"]])
    jobs, _ = claim(conn)
    same("and counts its attempts anew", (jobs[0]["attempt"], jobs[0]["nth"]), (2, 1))
    settle(conn, jobs[0], "released")
    jobs, _ = claim(conn)
    same("what was released was no attempt", jobs[0]["attempt"], 2)
    settle(conn, jobs[0], "dead", error="HTTP 400")
    same("a dead row stays, and is not claimed", (claim(conn), rows(conn, "SELECT state, error FROM touchlog.outbox")), (([], 0), [("dead", "HTTP 400")]))
    same("dead rows are revived all at once", len(one(conn, "SELECT touchlog.outbox_retry(NULL)")), 1)
    jobs, _ = claim(conn)
    same("a lease is not touched by a retry", one(conn, "SELECT touchlog.outbox_retry(ARRAY[%s]::bigint[])", [jobs[0]["id"]]), [])
    same("what a daemon knows it has it keeps when it connects again", one(conn, "SELECT touchlog.outbox_recover('one', ARRAY[%s]::bigint[])", [jobs[0]["id"]]), 0)
    same("who comes back after a crash", one(conn, "SELECT touchlog.outbox_recover('one')"), 1)
    jobs, _ = claim(conn)
    same("has its own rows at once, as a further attempt", jobs[0]["attempt"], 4)
    rows(conn, "UPDATE touchlog.outbox SET attempts = forgiven + 36, next_at = clock_timestamp()")
    same("a row that is lost each time is dead in the end", (claim(conn)[0], one(conn, "SELECT state FROM touchlog.outbox")), ([], "dead"))

    rows(conn, "SELECT touchlog.outbox_retry(NULL)")
    jobs, _ = claim(conn)
    settle(conn, jobs[0], "gone", error="HTTP 410")
    log(conn, "post-3")
    claim(conn)
    same("where a receiver is gone, what comes later is dead at once", rows(conn, "SELECT state, error FROM touchlog.outbox"), [("dead", "HTTP 410")] * 2)
    rows(conn, "SELECT touchlog.outbox_retry(NULL)")
    jobs, _ = claim(conn)
    same("`outbox retry` opens the way again", len(jobs), 2)
    settle(conn, jobs[0], "gone", error="HTTP 410")
    settle(conn, jobs[1], "done")
    rows(conn, "SELECT touchlog.outbox_configured(%s)", [json.dumps({"hook": {}})])
    same("and so does a configuration that has the action", one(conn, "SELECT count(*) FROM touchlog.action_gone"), 0)
    rows(conn, "DELETE FROM touchlog.outbox")


def set_may_send(conn, verdict):
    """What consent.py tests is not the matter here."""
    rows(conn, "DROP FUNCTION touchlog.may_send")
    rows(conn, f"""CREATE FUNCTION touchlog.may_send(act jsonb, customer bigint, payload jsonb, OUT verdict text,
        OUT address text, OUT token text, OUT reason text) LANGUAGE plpgsql AS $$
        BEGIN verdict := '{verdict}'; address := 'a@x'; token := 't'; reason := 'so'; END $$""")


def withheld(conn):
    set_may_send(conn, "ok")
    log(conn, "twice-1")
    jobs, _ = claim(conn)
    firing = jobs[0]["firing"]
    state = "SELECT state FROM touchlog.firing WHERE id = %s"
    settle(conn, jobs[0], "capped")
    same("a firing of which an action is left stays fired", one(conn, state, [firing]), "fired")
    settle(conn, jobs[1], "suppressed")
    same("one of which all were withheld takes that state", one(conn, state, [firing]), "suppressed")
    log(conn, "both-1")
    jobs, _ = claim(conn)
    settle(conn, jobs[0], "no_consent")
    same("one of which something was done stays fired", one(conn, state, [jobs[0]["firing"]]), "fired")
    set_may_send(conn, "no_consent")
    log(conn, "twice-2")
    same("what may not be sent is not handed out", claim(conn)[0], [])
    same("and its firing says why", one(conn, "SELECT state FROM touchlog.firing ORDER BY id DESC LIMIT 1"), "no_consent")
    same("as does its receipt", rows(conn, "SELECT DISTINCT status, error FROM touchlog.delivery WHERE firing_id = (SELECT max(id) FROM touchlog.firing)"), [("no_consent", "so")])


def unknown(conn):
    log(conn, "odd-1")
    same("an action that no configuration has is looked at again in a minute", (claim(conn), rows(conn, """SELECT attempts, state,
        next_at > now() + interval '50 s', error LIKE '%%does not have%%' FROM touchlog.outbox""")), (([], 1), [(0, "waiting", True, True)]))
    claim(conn, now="clock_timestamp() + interval '2 days'")
    same("and is dead after a day", column(conn, "SELECT state FROM touchlog.outbox"), ["dead"])
    rows(conn, "DELETE FROM touchlog.outbox")


def paused(conn, other):
    log(conn, "call-paused")
    same("pause says that it was not so", one(conn, "SELECT touchlog.outbox_set_paused(true, 'me', 'a test')"), True)
    same("nothing is claimed or performed while it is paused", (claim(conn), one(conn, "SELECT count(*) FROM touchlog.outbox")), (([], 0), 1))
    rows(conn, "SELECT touchlog.outbox_set_paused(false, 'me', NULL)")
    rows(conn, "BEGIN")
    claim(conn)
    aside = Aside(rows, other, "SELECT touchlog.outbox_set_paused(true, 'me', 'now')")
    wait_for("pause waits for a claim under way", lambda: is_blocked(conn, other))
    rows(conn, "COMMIT")
    aside.join()
    same("pause returns when what was being claimed is claimed", aside.result, [(True,)])
    rows(conn, "SELECT touchlog.outbox_set_paused(false, 'me', NULL)")
    rows(conn, "UPDATE touchlog.cluster SET system_identifier = 1")
    same("a database that finds itself in another cluster", one(conn, "SELECT touchlog.adopt_cluster()"), True)
    same("is paused", rows(conn, "SELECT paused, who, why LIKE '%%another cluster%%' FROM touchlog.outbox_pause"), [(True, "touchlogd", True)])
    rows(conn, "SELECT touchlog.outbox_set_paused(false, 'me', NULL)")
    same("and only once", (one(conn, "SELECT touchlog.adopt_cluster()"), one(conn, "SELECT paused FROM touchlog.outbox_pause")), (False, False))


def tasks(conn):
    rows(conn, "DELETE FROM touchlog.task")
    rows(conn, "UPDATE touchlog.customer SET priority = 5")
    log(conn, "call-2")
    claim(conn)
    (task,) = column(conn, "SELECT id FROM touchlog.task")
    same("a task that is not late yet", one(conn, "SELECT touchlog.task_overdue(10)"), 0)
    late = "clock_timestamp() + interval '5 hours'"
    same("is late when its time is over", one(conn, f"SELECT touchlog.task_overdue(10, {late})"), 1)
    same("which is said once", one(conn, f"SELECT touchlog.task_overdue(10, {late})"), 0)
    same("and logged as of its customer", rows(conn, """SELECT source, direction::text, customer_id = t.own('a@x'), subject, attributes->'task'
        FROM touchlog.interaction WHERE kind = 'task_overdue'"""), [("touchlog", "internal", True, "Call them back: call-2{}", task)])
    claim(conn)
    same("so that rules escalate", one(conn, "SELECT priority FROM touchlog.customer WHERE id = t.own('a@x')"), 1)
    same("a task is given to another", (one(conn, "SELECT touchlog.task_assign(%s, 'boss')", [task]), one(conn, "SELECT assign FROM touchlog.task")), (True, "boss"))
    same("it is done", one(conn, "SELECT touchlog.task_done(%s, 'eva', 'called')", [task]), True)
    same("once", one(conn, "SELECT touchlog.task_done(%s, 'eva')", [task]), False)
    same("there is no other", (one(conn, "SELECT touchlog.task_done(0, 'eva')"), one(conn, "SELECT touchlog.task_assign(0, 'x')")), (None, None))
    same("who did it, and what he wrote, stands in the log", rows(conn, "SELECT agent, body, thread, external_id FROM touchlog.interaction WHERE kind = 'resolved'"), [("eva", "called", None, f"task/{task}/resolved")])
    same("our own rows are numbered as others are", one(conn, """SELECT bool_and(received_at = touchlog.at(id) AND substr(id::text, 15, 1) = '7' AND txid > 0)
        FROM touchlog.interaction WHERE source = 'touchlog'"""), True)
    want = "SELECT touchlog.log_own('{\"kind\":\"sent\",\"external_id\":\"m1\"}', 1) IS NULL"
    same("an external_id is logged once", (one(conn, want), one(conn, want)), (False, True))
    same("its key is that of every source", one(conn, """SELECT EXISTS (SELECT FROM touchlog.seen WHERE key =
        encode(substring(sha256('touchlog' || '\\x1f'::bytea || 'm1') FOR 16), 'hex')::uuid)"""), True)


def late_together(conn):
    """What rules keep of several late tasks is locked in match()'s order, whichever is late first."""
    load_rules(conn, [{"name": "rest", "when": "kind = 'task_overdue'", "cooldown": "1d", "do": []}])
    rows(conn, "DELETE FROM touchlog.task; DELETE FROM touchlog.rule_state")
    for who in ("late1@x", "late2@x"):
        log(conn, "none-" + who, who)
    first, last = sorted(column(conn, "SELECT t.own(x)::text FROM unnest('{late1@x,late2@x}'::text[]) x"))
    rows(conn, """INSERT INTO touchlog.rule_state (rule, subject) SELECT 'rest', unnest(%s::text[])""", [[first, last]])
    rows(conn, """INSERT INTO touchlog.task (customer_id, title, due) SELECT x.c, 'x', now() - n * interval '1 s'
        FROM unnest(%s::text[]::bigint[]) WITH ORDINALITY x(c, n)""", [[first, last]])
    other, watcher = connect(conn.info.dbname), connect(conn.info.dbname)
    held = "SELECT subject FROM touchlog.rule_state WHERE subject = %s FOR UPDATE NOWAIT"
    rows(other, "BEGIN")
    rows(other, held, [first])
    aside = Aside(one, conn, "SELECT touchlog.task_overdue(10)")
    wait_for("the late tasks to wait", lambda: is_blocked(watcher, conn))
    same("late tasks hold nothing that a batch would want next", harness.refusal(other, held, [last]), None)
    rows(other, "ROLLBACK")
    aside.join()
    same("and go on", (aside.result, aside.error), (2, None))
    other.close()
    watcher.close()
    load_rules(conn)


def capped_together(conn):
    """Two claims that grant mails to the same people do not wait for each other in a circle."""
    load_rules(conn, [{"name": "ask", "when": "external_id LIKE 'ask%'", "per": "interaction", "do": ["ask"]}])
    rows(conn, "DELETE FROM touchlog.outbox")
    act = {"ask": {"type": "email", "weak": True, "cap": {"n": 9, "per": "1 day"}}}
    for n, who in enumerate(("cap2@x", "cap1@x")):      # in the order in which they are due
        log(conn, f"ask-{n}", who)
    other, watcher = connect(conn.info.dbname), connect(conn.info.dbname)
    held = "SELECT address FROM touchlog.mail_count WHERE address = %s FOR UPDATE NOWAIT"
    rows(conn, "INSERT INTO touchlog.mail_count (address) VALUES ('cap1@x'), ('cap2@x')")
    rows(other, "BEGIN")
    rows(other, held, ["cap1@x"])
    aside = Aside(lambda: claim(conn, actions=act))
    wait_for("the claim to wait", lambda: is_blocked(watcher, conn))
    same("a claim holds nothing that another would want next", harness.refusal(other, held, ["cap2@x"]), None)
    rows(other, "ROLLBACK")
    aside.join()
    same("and goes on", (aside.error, [len(x) if isinstance(x, list) else x for x in aside.result or ()]), (None, [2, 2]))
    other.close()
    watcher.close()
    rows(conn, "DELETE FROM touchlog.outbox")
    load_rules(conn)


def told(conn):
    """The writer that made rows is told so; nobody else."""
    for name, want in (("touchlogd writer", 1), ("psql", 0)):
        rows(conn, f"SET application_name = '{name}'")
        del conn.notices[:]
        log(conn, "post-told-" + name)
        same(f"{name} is told of new rows {want} times", sum("touchlog: outbox" in n for n in conn.notices), want)
    rows(conn, "RESET application_name")
    rows(conn, "LISTEN touchlog")
    log(conn, "tell-1")
    claim(conn)
    conn.poll()
    same("notify tells ids", [sorted(json.loads(n.payload)) for n in conn.notifies], [["customer", "firing", "interaction", "rule"]])
    rows(conn, "UNLISTEN *")


def node_types(plan):
    yield plan["Node Type"], plan.get("Index Name")
    for p in plan.get("Plans", ()):
        yield from node_types(p)


def claimed_at_once(db, conn):
    """Two dispatchers share what is due, and each row is handed out once."""
    rows(conn, "TRUNCATE touchlog.outbox, touchlog.delivery")
    rows(conn, """INSERT INTO touchlog.outbox (firing_id, action, position, payload, next_at)
        SELECT (SELECT max(id) FROM touchlog.firing), 'hook', n, '{}', now() + CASE WHEN n <= 2000 THEN interval '0' ELSE interval '1 day' END
        FROM generate_series(1, 20000) n""")
    rows(conn, "ANALYZE touchlog.outbox")
    (plan,) = one(conn, """EXPLAIN (FORMAT JSON) SELECT o.id FROM touchlog.outbox o WHERE o.next_at <= clock_timestamp()
        ORDER BY o.next_at LIMIT 50 FOR UPDATE SKIP LOCKED""")
    same("due rows are found by their index, without a sort", [n for n in node_types(plan["Plan"]) if n[0] not in ("Limit", "LockRows")], [("Index Scan", "outbox_next")])

    def drain(name):
        mine, ids = connect(db), []
        rows(mine, SESSION)
        while True:
            jobs, _ = claim(mine, 50, name)
            if not jobs:
                mine.close()
                return ids
            for job in jobs:
                ids.append(job["id"])
                if not settle(mine, job, "done", instance=name):
                    raise AssertionError("a lease was lost")

    asides = [Aside(drain, n) for n in ("one", "two", "three")]
    for a in asides:
        a.join()
    got = [i for a in asides for i in a.result]
    same("three claimers get every due row, each once", (len(got), len(set(got))), (2000, 2000))
    same("each has its receipt", one(conn, "SELECT count(*) FROM touchlog.delivery WHERE status = 'done'"), 2000)
    same("and what is not due is left", one(conn, "SELECT count(*) FROM touchlog.outbox"), 18000)


def rights(conn, other):
    rows(conn, "SET ROLE touchlog_daemon")
    for sql in ("UPDATE touchlog.outbox SET state = 'dead'", "DELETE FROM touchlog.delivery", "UPDATE touchlog.outbox_pause SET paused = false",
                "SELECT touchlog.log_own('{}', 1)", "SELECT touchlog.perform(NULL, NULL, NULL)", "UPDATE touchlog.task SET done_at = now()"):
        same(f"the daemon may not: {sql}", harness.refusal(conn, sql), "42501")
    for sql in ("SELECT touchlog.outbox_claim(1, 'x', '1 s', '{}')", "SELECT touchlog.outbox_next()", "SELECT touchlog.outbox_measure()",
                "SELECT touchlog.outbox_settle(0, 'x', 1, 'done', NULL, NULL, NULL)", "SELECT touchlog.task_overdue(1)", "SELECT touchlog.outbox_recover('x')"):
        same(f"it may: {sql}", harness.refusal(conn, sql), None)
    rows(conn, "RESET ROLE")


def test():
    db = harness.fresh("outbox")
    conn, other = connect(db), connect(db)
    for c in (conn, other):
        rows(c, SESSION)
    load_rules(conn)
    for part in (performed, titles):
        part(conn)
    leased(conn, other)
    capped_together(conn)
    withheld(conn)
    unknown(conn)
    paused(conn, other)
    tasks(conn)
    late_together(conn)
    told(conn)
    claimed_at_once(db, conn)
    rights(conn, other)
    conn.close()
    other.close()
    harness.drop(db)
