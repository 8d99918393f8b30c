# SPDX-License-Identifier: Apache-2.0
"""Rules: what came when, and what was decided; alone, and in two sessions at once."""

import datetime as dt

import psycopg2

import harness
from harness import Aside, is_blocked, rows, same, wait_for
from rulelog import Log, ago, buy, fresh, mail, reply

UNANSWERED = {"when": "kind = 'message' and channel = 'email' and direction = 'in'",
              "wait": "48h", "unless": "kind = 'message' and direction = 'out'", "per": "thread",
              "wait_from": "first", "do": ["callback"]}
LAST = {**UNANSWERED, "wait_from": "last"}
WIN = {"when": "kind = 'purchase'", "wait": "60d", "unless": "kind = 'purchase'",
       "wait_from": "last"}
COUNT = {"when": "kind = 'message'", "count": 3, "within": "30d"}
AT = {"when": "kind = 'appointment'", "at": "ts(attributes, 'starts') - interval '1 hour'"}
NOON = '{"starts": "2026-03-02T12:00:00Z"}'
OWN = dict(direction="out", source="touchlog")

# (rule, events: each a batch, a number is a decide at that hour, (state, origin, cause)s)
STORIES = {
    "a mail without a reply fires once":
        (UNANSWERED, [mail("m", 0), 47, 48, 49, 50], [("fired", "m", None)]),
    "a reply by the deadline cancels":
        (UNANSWERED, [mail("m", 0), reply("r", 48), 49], [("cancelled", "m", "r")]),
    "a reply after the deadline does not":
        (UNANSWERED, [mail("m", 0), 48, reply("r", 48.01), 99], [("fired", "m", None)]),
    "even if the decider was late":
        (UNANSWERED, [mail("m", 0), reply("r", 48.01), 99], [("fired", "m", None)]),
    "mail, reply, mail waits anew from the second mail":
        (UNANSWERED, [mail("m", 0), reply("r", 1), mail("n", 2), 48, 49.9],
         [("cancelled", "m", "r")]),
    "and fires from there":
        (UNANSWERED, [mail("m", 0), reply("r", 1), mail("n", 2), 48, 50],
         [("cancelled", "m", "r"), ("fired", "n", None)]),
    "a second mail before the deadline is settled with the first":
        (UNANSWERED, [mail("m", 0), mail("n", 5), 48, 99], [("fired", "m", None)]),
    "a mail after the deadline starts anew although the decider was late":
        (UNANSWERED, [mail("m", 0), mail("n", 49), 60, 97],
         [("fired", "m", None), ("fired", "n", None)]),
    "a reply that arrives after the firing makes it too late":
        (UNANSWERED, [mail("m", 0), 48, reply("r", 40, 49)], [("too_late", "m", "r")]),
    "a reply from before the mail that arrives late does nothing":
        (UNANSWERED, [mail("m", 0), reply("r", -1, 1), 48], [("fired", "m", None)]),
    "mail and reply that arrive in the wrong order cancel":
        (UNANSWERED, [reply("r", 1), mail("m", 0, 2), 49], [("cancelled", "m", "r")]),
    "a first mail that arrives second is the start":
        (UNANSWERED, [mail("n", 5), mail("m", 0, 6), 48], [("fired", "m", None)]),
    "a mail that arrives after another firing settled it is quiet":
        (UNANSWERED, [mail("m", 0), 48, mail("n", 47, 49), 200], [("fired", "m", None)]),
    "from the last mail":
        (LAST, [mail("m", 0), mail("n", 24), 48, 71.9, 72], [("fired", "n", None)]),
    "from the last mail, decided late, with one after the deadline":
        (LAST, [mail("m", 0), mail("n", 24), mail("o", 72.5), 80, 120.5],
         [("fired", "n", None), ("fired", "o", None)]),
    "threads of one customer are apart":
        (UNANSWERED, [mail("m", 0), mail("n", 0, thread="u"), reply("r", 1), 48],
         [("cancelled", "m", "r"), ("fired", "n", None)]),
    "without a thread there is no subject":
        (UNANSWERED, [mail("m", 0, thread=None), 48], [("no_subject", "m", None)]),
    "without a customer there is no subject":
        ({**UNANSWERED, "per": "customer"}, [mail("m", 0, customer=0), 48],
         [("no_subject", "m", None)]),
    "nor with a negative one":
        ({**UNANSWERED, "per": "customer"}, [mail("m", 0, customer=-3), 48],
         [("no_subject", "m", None)]),
    "our own mail starts nothing but cancels":
        ({**UNANSWERED, "when": "kind = 'message'"},
         [mail("o", -1, **OWN), mail("m", 0), mail("r", 1, **OWN), 99], [("cancelled", "m", "r")]),
    "an internal interaction of ours may start":
        ({"when": "kind = 'task_overdue'"},
         [mail("a", 0, kind="task_overdue", direction="internal", source="touchlog")],
         [("fired", "a", None)]),
    "a mail from last week does not fire":
        (UNANSWERED, [mail("m", -200, 0), 48], [("too_old", "m", None)]),
    "a wait that is over when the mail arrives fires at once":
        ({**UNANSWERED, "wait": "1h"}, [mail("m", 0, 5), 5], [("fired", "m", None)]),
    "each purchase cancels and starts the win-back":
        (WIN, [buy("a", 0), buy("b", 24), 24 * 60, 24 * 61],
         [("cancelled", "a", "b"), ("fired", "b", None)]),
    "three complaints fire, and the fourth again":
        (COUNT, [mail("a", 0), mail("b", 1), mail("c", 2), mail("d", 3)],
         [("fired", "c", None), ("fired", "d", None)]),
    "three in one batch":
        (COUNT, [[mail("a", 0), mail("b", 1), mail("c", 2)]], [("fired", "c", None)]),
    "the window is half-open":
        ({**COUNT, "count": 2, "within": "1d"}, [mail("a", 0), mail("b", 24), mail("c", 47.9)],
         [("fired", "c", None)]),
    "a late one completes the window of one that came before it":
        (COUNT, [mail("a", 0), mail("c", 2), mail("b", 1, 3)], [("fired", "c", None)]),
    "the fourth rests":
        ({**COUNT, "cooldown": "30d"}, [mail("a", 0), mail("b", 1), mail("c", 2), mail("d", 3)],
         [("fired", "c", None), ("cooldown", "d", None)]),
    "threads count apart":
        ({**COUNT, "count": 2, "per": "thread"},
         [mail("a", 0), mail("b", 1, thread="u"), mail("c", 2)], [("fired", "c", None)]),
    "cooldown ends at its end":
        ({"when": "true", "cooldown": "1d"}, [mail("a", 0), mail("b", 23), mail("c", 24)],
         [("fired", "a", None), ("cooldown", "b", None), ("fired", "c", None)]),
    "ever is once":
        ({"when": "true", "cooldown": "ever"}, [mail("a", 0), [mail("b", 1000), mail("c", 4000)]],
         [("fired", "a", None), ("cooldown", "b", None), ("cooldown", "c", None)]),
    "a wait with cooldown rests":
        ({**UNANSWERED, "cooldown": "30d"}, [mail("m", 0), 48, mail("n", 60), 200],
         [("fired", "m", None), ("cooldown", "n", None)]),
    "a wait with cooldown ever fires once":
        ({**UNANSWERED, "cooldown": "ever"}, [mail("m", 0), 48, mail("n", 3000), 4000],
         [("fired", "m", None), ("cooldown", "n", None)]),
    "per interaction each waits alone":
        ({**UNANSWERED, "per": "interaction"}, [mail("m", 0), mail("n", 1), 49],
         [("fired", "m", None), ("fired", "n", None)]),
    "per interaction the customer's reply cancels all before it":
        ({**UNANSWERED, "per": "interaction"},
         [mail("m", 0), mail("n", 1), reply("r", 2), mail("o", 3), 60],
         [("cancelled", "m", "r"), ("cancelled", "n", "r"), ("fired", "o", None)]),
    "per interaction a reply that comes late is too late":
        ({**UNANSWERED, "per": "interaction"}, [mail("m", 0), 48, reply("r", 2, 49)],
         [("too_late", "m", "r")]),
    "per interaction nobody's waits too":
        ({**UNANSWERED, "per": "interaction"}, [mail("m", 0, customer=0), 48],
         [("fired", "m", None)]),
    "many rows of which none is settled are all remembered":
        (LAST, [reply(f"r{n}", n / 10 - 2) for n in range(9)] + [mail("m", 0), mail("n", 40), 48, 88],
         [("fired", "n", None)]),
    "count and wait together":
        ({**UNANSWERED, "count": 2, "within": "1d"},
         [mail("a", 0), 48, mail("b", 30), mail("c", 40), 60, 88], [("fired", "c", None)]),
    "shadow decides and does not do":
        ({**UNANSWERED, "mode": "shadow"}, [mail("m", 0), 48, reply("r", 47, 49)],
         [("shadowed", "m", "r")]),
    "at a moment the event names":
        (AT, [mail("a", 0, kind="appointment", attributes=NOON), 1.9, 2], [("fired", "a", None)]),
    "an event whose moment cannot be read starts nothing":
        (AT, [mail("a", 0, kind="appointment", attributes='{"starts": "soon"}'), 99], []),
    "nor does one whose moment never comes, or has always been":
        (AT, [mail("a", 0, kind="appointment", attributes='{"starts": "infinity"}'),
              mail("b", 1, customer=2, kind="appointment", attributes='{"starts": "-infinity"}'), 99], []),
    "a profile column decides":
        ({"when": "customer.stage = 'lead' and kind = 'message'"}, [mail("a", 0)],
         [("fired", "a", None)]),
    "a computed profile column decides":
        ({"when": "kind = 'message' and customer.interactions = 2"},
         [mail("a", 0), mail("b", 1), mail("c", 2)], [("fired", "b", None)]),
    "when the customer was first and last seen is known":
        ({"when": "occurred_at = customer.last_seen"
                  " and occurred_at - customer.first_seen >= interval '2 h'"},
         [mail("a", 0), mail("b", 1), mail("c", 2)], [("fired", "c", None)]),
    "the customer's own rhythm is a wait":
        ({"when": "kind = 'purchase'", "wait":
          "2 * greatest(occurred_at - customer.first_seen, interval '1 d')",
          "wait_from": "last", "unless": "kind = 'purchase'"},
         [buy("a", 0), buy("b", 24), 25, 72], [("cancelled", "a", "b"), ("fired", "b", None)]),
}
APPROXIMATE = ("computed", "first and last", "rhythm")


def until(events):
    times = [ago(0)]
    for e in events:
        if isinstance(e, (int, float)):
            times.append(ago(e))
        else:
            times += [x["received"] or x["occurred"] for x in (e if isinstance(e, list) else [e])]
    return max(times) + dt.timedelta(seconds=1)


def play(log, events):
    for e in events:
        if isinstance(e, (int, float)):
            log.decide(ago(e))
        else:
            log.batch(*(e if isinstance(e, list) else [e]))


def stories(log):
    for name, (rule, events, expected) in STORIES.items():
        log.reset()
        log.rules({"r": rule})
        play(log, events)
        same(name, log.story(), expected)
        fired = [x for x in expected if x[0] in ("fired", "too_late")]
        n = log.one("SELECT count(*) FROM touchlog.outbox")[0]
        if n != len(fired) * len(rule.get("do", [])):
            same(f"each firing has its actions ({name})", n, len(fired) * len(rule.get("do", [])))
        if not any(word in name for word in APPROXIMATE):
            replay = sorted(((s, log.names[o], log.names.get(c))
                             for s, o, c, _, _ in log.tried("r", until(events))), key=str)
            if replay != sorted(expected, key=str):
                same(f"and a test of the rule says the same ({name})", replay, expected)


def in_two(log, first, second, sentence):
    """What a second session does waits for what a first one has begun."""
    other = log.another()
    rows(log.conn, "BEGIN")
    first()
    rows(other, "BEGIN")
    busy = Aside(lambda: (second(other), rows(other, "COMMIT")))
    wait_for("the second to wait", lambda: is_blocked(log.watcher, other))
    rows(log.conn, "COMMIT")
    busy.join()
    other.close()
    same(sentence, busy.error, None)


def two_sessions(log):
    log.reset()
    log.rules({"r": COUNT})
    log.batch(mail("a", 0))
    in_two(log, lambda: log.match(log.conn, [log.insert(log.conn, **mail("b", 1))]),
           lambda conn: log.match(conn, [log.insert(conn, **mail("c", 2))]),
           "of two open batches that each hold a part of a count one waits")
    same("and they count together", log.story(), [("fired", "c", None)])

    log.reset()
    log.rules({"r": UNANSWERED})
    log.batch(mail("m", 0))
    in_two(log, lambda: log.one("SELECT touchlog.decide_due(10, %s)", ago(48)),
           lambda conn: log.match(conn, [log.insert(conn, **mail("n", 50))]),
           "a match waits for the decision that is under way")
    log.decide(ago(98))
    same("and is not lost", log.story(), [("fired", "m", None), ("fired", "n", None)])

    log.reset()
    log.rules({"r": UNANSWERED})
    log.batch(mail("m", 0))
    in_two(log, lambda: log.one("SELECT touchlog.decide_due(10, %s)", ago(48)),
           lambda conn: log.match(conn, [log.insert(conn, **reply("r", 47, 48.1))]),
           "so does a reply")
    same("which then is too late", log.story(), [("too_late", "m", "r")])

    log.reset()
    log.rules({"r": {"when": "true", "cooldown": "1d"}})
    log.batch(mail("a", 0))
    other = log.another()
    rows(other, "BEGIN; SELECT FROM touchlog.rule_state FOR UPDATE")
    rows(log.conn, "SET lock_timeout = '100ms'")
    try:
        log.batch(mail("b", 1))
        said = None
    except psycopg2.Error as e:
        said = e.pgcode
    rows(log.conn, "SET lock_timeout = '2s'")
    rows(other, "ROLLBACK")
    other.close()
    same("a lost lock is the batch's error, not the rule's",
         (said, log.story(), log.one("SELECT count(*) FROM touchlog.rule_trouble")[0]),
         ("55P03", [("fired", "a", None)], 0))


def many_deciders(log):
    log.reset()
    log.rules({"r": UNANSWERED})
    log.batch(*[mail(f"m{i}", 0, thread=f"t{i}", customer=1 + i % 5) for i in range(400)])

    def work():
        conn = log.another()
        while rows(conn, "SELECT touchlog.decide_due(7, %s)", [ago(48)])[0][0]:
            pass
        conn.close()
    busy = [Aside(work) for _ in range(4)]
    for b in busy:
        b.join()
    log.decide(ago(48))
    same("four deciders fire each once", ([b.error for b in busy], log.one("""
        SELECT count(*), count(DISTINCT subject) FROM touchlog.firing WHERE state = 'fired'"""),
        log.one("SELECT count(*) FROM touchlog.outbox")), ([None] * 4, (400, 400), (400,)))


def again(log):
    log.reset()
    log.rules({"r": {"when": "true", "do": ["callback"]}, "c": {"when": "true", "cooldown": "1d"}})
    some = [log.insert(log.conn, **mail("a", 0))]
    log.match(log.conn, some)
    log.match(log.conn, some)
    same("a replayed batch decides nothing twice", log.one("""SELECT count(*),
        (SELECT count(*) FROM touchlog.outbox) FROM touchlog.firing"""), (2, 1))

    log.reset()
    log.rules({"r": UNANSWERED})
    log.batch(mail("n", 5))
    log.batch(mail("m", 0, 6))
    log.decide(ago(48))
    same("a late match that is due earlier brings the timer forward", log.story(),
         [("fired", "m", None)])

    log.reset()
    log.rules({"r": UNANSWERED})
    rows(log.conn, "SELECT pg_stat_force_next_flush()")
    rows(log.conn, "SELECT pg_stat_reset_single_table_counters('touchlog.timer'::regclass)")
    for h in range(20):
        log.batch(mail(str(h), h))
    rows(log.conn, "SELECT pg_stat_force_next_flush()")
    same("touching a timer is a HOT update", log.one("""SELECT n_tup_upd, n_tup_hot_upd
        FROM pg_stat_user_tables WHERE relname = 'timer'"""), (19, 19))


def payload(log):
    log.reset()
    log.rules({"r": {"when": "kind = 'message'", "do": ["one", "two"]}})
    rows(log.conn, "UPDATE touchlog.customer SET root_id = 1, name = 'Root' WHERE id IN (1, 2)")
    log.batch(mail("m", 0, customer=2), mail("n", 0, customer=0))
    rows(log.conn, "UPDATE touchlog.rule SET per = 'interaction'")
    log.batch(mail("o", 0, customer=0))
    same("each action has its row, with all it needs: the rule, the interaction, the root customer",
         rows(log.conn, """SELECT o.action, o.position, o.payload->>'rule',
            o.payload->'interaction'->>'customer_id', o.payload->'customer'->>'name'
            FROM touchlog.outbox o ORDER BY o.firing_id, o.position"""),
         [("one", 1, "r", "2", "Root"), ("two", 2, "r", "2", "Root"),
          ("one", 1, "r", "0", None), ("two", 2, "r", "0", None)])


def failing(log):
    log.reset()
    log.rules({"good": {"when": "kind = 'message'"}, "bad": {"when": "1 / score > 0"}})
    failed = log.batch(mail("a", 0, score=0), mail("b", 1, score=1))[1]
    same("a rule that fails on one row is told", failed, [log.ids["bad"]])
    same("it costs no other rule", log.story("good"), [("fired", "a", None), ("fired", "b", None)])
    same("nor its own other rows", log.story("bad"), [("failed", "a", None), ("fired", "b", None)])
    for h in 2, 3:
        log.batch(mail("x", h, score=0))
    same("after three such batches", log.one("SELECT batches, alone FROM touchlog.rule_trouble"),
         (3, False))
    log.decide(ago(4))
    same("the next decider has it evaluated alone", log.one(
        "SELECT batches, alone FROM touchlog.rule_trouble"), (3, True))
    same("so that the others are evaluated together without it", log.one("""
        SELECT bool_or(prosrc LIKE '%%score%%') FROM pg_proc
        WHERE proname IN ('match_any', 'match_rows')""")[0], False)
    failed = log.batch(mail("c", 5, score=0), mail("d", 6, score=1))[1]
    same("and it goes on", (failed, log.story("bad")[-2:]),
         ([log.ids["bad"]], [("failed", "c", None), ("fired", "d", None)]))
    same("without being counted further", log.one("SELECT batches FROM touchlog.rule_trouble"),
         (3,))

    for what, when, code in (("a bad cast", "body::int > 0 or (thread::int) = 1", "22P02"),
                             ("jsonb without end", "(repeat('[', 100000) || score)::jsonb is null",
                              "54001"),
                             ("a missing digit", "num(attributes, 'x') / (score - score) > 0",
                              "22012")):
        log.reset()
        log.rules({"bad": {"when": when}, "good": {"when": "true"}})
        log.batch(mail("a", 0, score=1, attributes='{"x": 1}'))
        same(f"{what} is the rule's fault", (log.story("bad"), log.story("good")),
             ([("failed", "a", None)], [("fired", "a", None)]))

    log.reset()
    log.rules({"r": {"when": "true", "wait": "1h", "unless": "1 / score > 0", "per": "interaction",
                     "do": ["x"]}})
    rows(log.conn, "SELECT touchlog.match('{}', now(), now())")
    a, b = [log.insert(log.conn, **mail(n, 0, score=s, customer=c))
            for n, s, c in (("a", 0, 1), ("b", 1, 2))]
    for i, _ in (a, b):
        rows(log.conn, "INSERT INTO touchlog.timer VALUES ('r', %s, %s, %s)", [i, ago(1), i])
    log.decide(ago(1))
    same("a decision that fails ends its timer and no other", log.story(),
         [("failed", "a", None), ("fired", "b", None)])


def failing_beside(log):
    """One row on which a predicate fails costs its neighbours nothing."""
    log.reset()
    log.rules({"w": {"when": "direction = 'in' and 10 / score > 1", "wait": "1h",
                     "unless": "direction = 'out' and 10 / score > 1", "do": ["x"]},
               "c": {"when": "10 / score > 1", "count": 2, "within": "1d"}})
    log.batch(mail("a", 0, score=1), mail("b", 0.1, score=0), mail("c", 0.2, score=1))
    log.batch(mail("d", 0, score=1, customer=2), reply("e", 0.5, score=1, customer=2),
              mail("f", 0.6, score=0, customer=2))
    log.decide(ago(2))
    same("waits beside a row that fails are decided", log.story("w"),
         [("fired", "a", None), ("cancelled", "d", "e"), ("failed", "b", None),
          ("failed", "f", None)])
    same("and counts over it", log.story("c"),
         [("failed", "b", None), ("fired", "c", None), ("fired", "e", None),
          ("failed", "f", None)])


def test():
    db = fresh("rules")
    log = Log(db)
    log.watcher = log.another()
    for part in (stories, two_sessions, many_deciders, again, payload, failing,
                 failing_beside):
        part(log)
    log.watcher.close()
    log.close()
    harness.drop(db)
