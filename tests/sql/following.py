# SPDX-License-Identifier: Apache-2.0
"""Rules beside the append transaction: customers who are joined and split while they wait,
events that are still in a spool, rules armed, explained and tried on the past."""

import datetime as dt

import harness
from harness import one, refusal, rows, same
from rulelog import LONG_AGO, Log, ago, fresh, load, mail, reply
from rules import COUNT, LAST, UNANSWERED, WIN

PER_CUSTOMER = {**UNANSWERED, "per": "customer"}


def join(log, a, b):
    rows(log.conn, "SELECT touchlog.join_by_hand(%s, %s)", [a, b])


def split(log, a, b):
    rows(log.conn, "SELECT touchlog.split(%s, %s)", [a, b])


def timers(log):
    return rows(log.conn, "SELECT rule, subject, due FROM touchlog.timer ORDER BY rule, subject")


def joined(log):
    log.reset()
    log.rules({"r": PER_CUSTOMER, "t": UNANSWERED})
    log.batch(mail("m", 0, customer=2), mail("n", 1, customer=1))
    join(log, 1, 2)
    same("timers of joined customers wait as one", timers(log),
         [("r", "1", ago(48)), ("t", "1 t", ago(48))])
    log.decide(ago(100))
    same("which fires once", log.story("r") + log.story("t"), [("fired", "m", None)] * 2)

    log.reset()
    log.rules({"r": PER_CUSTOMER})
    log.batch(mail("m", 0, customer=2))
    join(log, 1, 2)
    log.batch(reply("r", 5, customer=1))
    log.decide(ago(100))
    same("a reply to the one cancels what the other waits for", log.story(),
         [("cancelled", "m", "r")])

    log.reset()
    log.rules({"c": {**COUNT, "cooldown": "30d"}, "w": {**PER_CUSTOMER, "cooldown": "30d"}})
    log.batch(mail("a", 0, customer=2), mail("b", 1, customer=2), mail("c", 2, customer=2))
    log.decide(ago(60))
    join(log, 1, 2)
    log.batch(mail("d", 61, customer=1))
    log.decide(ago(200))
    same("the cooldown of the one holds for both", (log.story("c"), log.story("w")),
         ([("fired", "c", None), ("cooldown", "d", None)],
          [("fired", "a", None), ("cooldown", "d", None)]))

    log.reset()
    log.rules({"c": COUNT, "w": {**PER_CUSTOMER, "count": 3, "within": "30d"}})
    log.batch(mail("a", 0, customer=1), mail("b", 1, customer=2), mail("c", 2, customer=2))
    log.decide(ago(51))
    same("where two do not count enough nothing waits", (timers(log), log.story()), ([], []))
    join(log, 1, 2)
    same("matches of both count together: a wait has begun", timers(log), [("w", "1", ago(50))])
    log.batch(mail("d", 3, 26, customer=1))
    log.decide(ago(60))
    same("and the next one fires", (log.story("c"), log.story("w")),
         ([("fired", "d", None)], [("fired", "c", None)]))

    log.reset()
    log.rules({"r": PER_CUSTOMER})
    log.batch(mail("m", 0, customer=2))
    rows(log.conn, "UPDATE touchlog.customer SET root_id = 1 WHERE id = 2")
    log.decide(ago(100))
    same("a timer that was armed while they were joined is found", (log.story(), one(
        log.conn, "SELECT subject FROM touchlog.firing")), ([("fired", "m", None)], "1"))


def by_a_batch(log):
    """A strong identity that shows two to be one, in the append transaction."""
    log.reset(0)
    log.rules({"r": {"when": "kind = 'message'", "wait": "2d", "unless": "direction = 'out'"},
               "once": {"when": "kind = 'message'", "cooldown": "ever"}})
    rows(log.conn, "SELECT t.one('j1', 'phone +31j'); SELECT t.one('j2', 'email j@x')")
    low, high = (log.one("SELECT customer_id FROM touchlog.interaction WHERE external_id = %s",
                         name)[0] for name in ("j1", "j2"))
    rows(log.conn, "SELECT t.one('j3', 'email j@x', 'phone +31j')")
    root = log.one("SELECT root_id FROM touchlog.customer WHERE id = %s", low)[0]
    same("a batch that joins two joins their timers", (root, rows(
        log.conn, "SELECT subject FROM touchlog.timer")), (high, [(str(high),)]))
    same("and their cooldowns", rows(log.conn, """SELECT state, count(*) FROM touchlog.firing
        WHERE rule = 'once' GROUP BY 1 ORDER BY 1"""), [("cooldown", 1), ("fired", 2)])
    same("their firings stand under the root's name, each its own customer's", rows(
        log.conn, """SELECT subject, count(DISTINCT customer_id) FROM touchlog.firing
        GROUP BY 1"""), [(str(high), 2)])


def parted(log):
    log.reset()
    log.rules({"r": PER_CUSTOMER, "t": UNANSWERED})
    join(log, 1, 2)
    log.batch(mail("m", 0, customer=2), mail("n", 1, customer=1), reply("r", 2, customer=1))
    log.decide(ago(1))
    split(log, 1, 2)
    log.decide(ago(49))
    same("after a split each waits for itself: the one's reply cancels nothing of the other",
         (log.story("r"), log.story("t")),
         ([("fired", "m", None), ("cancelled", "n", "r")],) * 2)

    log.reset()
    log.rules({"r": {**LAST, "per": "customer"}})
    join(log, 1, 2)
    log.batch(mail("m", 0, customer=1), mail("n", 24, customer=2))
    log.decide(ago(50))
    split(log, 1, 2)
    log.decide(ago(50))
    same("what had begun before the other began counts again", log.story(),
         [("fired", "m", None)])
    log.decide(ago(72))
    same("and each fires for itself", log.story(), [("fired", "m", None), ("fired", "n", None)])

    log.reset()
    log.rules({"r": PER_CUSTOMER})
    join(log, 1, 2)
    log.batch(mail("m", 0, customer=1), mail("n", 1, customer=2))
    log.decide(ago(48))
    same("of both the first fires, and settles the second", log.story(), [("fired", "m", None)])
    split(log, 1, 2)
    same("after a split the second waits again", timers(log), [("r", "2", ago(49))])
    log.decide(ago(49))
    same("and fires too", log.story(), [("fired", "m", None), ("fired", "n", None)])

    log.reset()
    log.rules({"c": {"when": "kind = 'message'", "cooldown": "ever"}})
    join(log, 1, 2)
    log.batch(mail("a", 0, customer=2))
    split(log, 1, 2)
    log.batch(mail("b", 1, customer=1), mail("c", 1, customer=2))
    same("a cooldown stays with whose it was", log.story(),
         [("fired", "a", None), ("fired", "b", None), ("cooldown", "c", None)])
    same("the root of the firing follows", rows(log.conn, """SELECT subject, customer_id
        FROM touchlog.firing ORDER BY id"""), [("2", 2), ("1", 1), ("2", 2)])


def spooled(log):
    def daemon(instance, seen, oldest):
        rows(log.conn, "SELECT touchlog.daemon_seen(%s, %s)", [instance, oldest])
        rows(log.conn, "UPDATE touchlog.daemon SET seen_at = %s WHERE instance = %s",
             [seen, instance])

    def horizon(at):
        return one(log.conn, "SELECT touchlog.horizon(%s)", [at])

    log.reset()
    never = one(log.conn, "SELECT timestamptz 'infinity'::text")
    text = "SELECT touchlog.horizon(%s)::text"
    same("with nothing on its way there is no horizon", one(log.conn, text, [ago(1)]), never)
    daemon("a", ago(1), None)
    same("a daemon may have spooled since it was last seen", horizon(ago(1)), ago(1))
    daemon("b", ago(1), ago(-3))
    daemon("c", ago(1), ago(-2))
    same("else it is the oldest spooled event", horizon(ago(1)), ago(-3))
    rows(log.conn, "SELECT touchlog.daemon_left('b')")
    same("of those that are there", horizon(ago(1)), ago(-2))
    daemon("c", ago(1), None)
    same("which counts when nothing is known to be spooled", horizon(ago(1.5)), ago(1))
    same("until it is gone for a day", one(log.conn, text, [ago(26)]), never)
    rows(log.conn, "INSERT INTO touchlog.cursor VALUES ('mail', 'INBOX', '7', %s)", [ago(20)])
    same("a mailbox counts as far as it was read", horizon(ago(26)), ago(20))

    for late, hours, sentence, expected in (
            (None, 0.2, "a timer with `unless` waits while a daemon has events from before it",
             []),
            (None, 0.3, "but no longer than the grace", [("fired", "m", None)]),
            (0.1, 0.2, "a reply from the spool within it cancels", [("cancelled", "m", "r")]),
            (0.3, 0.3, "one that comes after it is too late", [("too_late", "m", "r")])):
        log.reset()
        log.rules({"r": UNANSWERED, "free": {"when": "direction = 'in'", "wait": "48h"}})
        log.batch(mail("m", 0))
        daemon("a", ago(48), ago(40))
        if late == 0.3:
            log.decide(ago(48.3))
        if late is not None:
            log.batch(reply("r", 41, 48 + late))
            daemon("a", ago(48 + late), None)
        log.decide(ago(48 + hours))
        same(sentence, log.story("r"), expected)
        if not expected:
            same("one without does not", log.story("free"), [("fired", "m", None)])
    same("next_due() is the earliest timer's", one(log.conn, "SELECT touchlog.next_due()"), None)
    log.batch(mail("n", 50))
    same("or null", one(log.conn, "SELECT touchlog.next_due()"), ago(98))


def fired_by_hand(log):
    log.reset()
    log.rules({"r": {"when": "kind = 'message'", "do": ["a", "b"]}})
    log.batch(mail("old", -200, 0), mail("m", 0))
    ids = [i for (i,) in rows(log.conn, "SELECT id FROM touchlog.firing")]
    same("what came too old fires by hand", (log.story(), one(
        log.conn, "SELECT touchlog.firings_fire(%s)", [ids]), log.story()),
        ([("too_old", "old", None), ("fired", "m", None)], 1,
         [("fired", "old", None), ("fired", "m", None)]))
    same("with its actions", one(log.conn, "SELECT count(*) FROM touchlog.outbox"), 4)
    same("and once", one(log.conn, "SELECT touchlog.firings_fire(%s)", [ids]), 0)


def armed(log):
    now = one(log.conn, "SELECT date_trunc('milliseconds', now())")
    day = dt.timedelta(days=1)
    log.reset()

    def bought(name, days, customer):
        return dict(name=name, occurred=now - days * day, customer=customer, kind="purchase")
    log.rules({})
    log.batch(bought("a", 70, 1))
    log.batch(bought("b", 70, 2), bought("c", 30, 2))
    log.batch(bought("d", 10, 3), bought("e", 200, 4))
    log.rules({"r": WIN}, since=None)
    told = rows(log.conn, """SELECT subject, due, origin_id::text, is_overdue
        FROM touchlog.rule_arm('r', %s)""", [now - 100 * day])
    same("arming arms what is to come, and tells what is over",
         sorted((s, d, log.names[o], over) for s, d, o, over in told),
         [("1", now - 10 * day, "a", True), ("2", now + 30 * day, "c", False),
          ("3", now + 50 * day, "d", False)])
    same("timers wait for the former only", [(s, d) for _, s, d in timers(log)],
         [("2", now + 30 * day), ("3", now + 50 * day)])
    log.decide(now + 31 * day)
    same("and fire, although the rule is younger", log.story(), [("fired", "c", None)])
    log.batch(dict(name="f", occurred=now + 32 * day, customer=3, kind="purchase"))
    log.decide(now + 51 * day)
    same("or are cancelled", log.story(), [("fired", "c", None), ("cancelled", "d", "f")])
    same("a rule without a wait cannot be armed", (log.rules({"i": {"when": "true"}}) > 0, refusal(
        log.conn, "SELECT touchlog.rule_arm('i', now())")), (True, "22023"))
    same("nor one that is not there", refusal(
        log.conn, "SELECT touchlog.rule_arm('x', now())"), "P0002")


def explained(log):
    def why(name, rule):
        i = next(i for i, n in log.names.items() if n == name)
        return {step: v for step, v, _ in rows(
            log.conn, "SELECT * FROM touchlog.rule_explain(%s, %s)", [rule, i])}, [
            (v, d) for step, v, d in rows(
                log.conn, "SELECT * FROM touchlog.rule_explain(%s, %s)", [rule, i])
            if step == "when"]

    log.reset()
    log.rules({"r": {**UNANSWERED, "when": UNANSWERED["when"] + " and (score > 3 or"
                     " 1 / score > 0) and customer.stage = 'lead'", "cooldown": "1d"},
               "c": {**COUNT, "cooldown": "ever"}})
    log.batch(mail("m", 0, score=9), mail("n", 1, score=0), mail("o", 2, channel="chat"),
              mail("p", 3, -200, score=9, customer=0), reply("q", 4))
    steps, parts = why("m", "r")
    same("each part of `when` is judged by itself", parts, [
        ("yes", "(kind = 'message'::text)"),
        ("yes", "(channel = 'email'::touchlog.channel)"),
        ("yes", "(direction = 'in'::touchlog.direction)"),
        ("yes", "((score > 3) OR ((1 / score) > 0))"),
        ("yes", "(customer.stage = 'lead'::text)")])
    same("so are age, subject, cooldown and timer",
         [steps[s] for s in ("rule", "since", "guard", "age", "subject", "cooldown", "timer")],
         ["live", "yes", "yes", "yes", "yes", "yes", "waiting"])
    same("what fails is told with its error", [p for p in why("n", "r")[1] if p[0] == "error"],
         [("error", "((score > 3) OR ((1 / score) > 0)): division by zero")])
    same("what is null is neither", [v for v, _ in why("o", "r")[1]],
         ["yes", "no", "yes", "null", "yes"])
    same("without a customer there is no subject", why("p", "r")[0]["subject"], "no")
    same("a count is told", why("n", "c")[0]["count"], "no")
    log.decide(ago(48))
    steps, _ = why("m", "r")
    same("the decision is told with its state", steps["decision"], "cancelled")
    same("and to its cause, of what it is one", why("q", "r")[0]["cause"], "cancelled")


def tried(log):
    log.reset()
    rules = {"r": UNANSWERED, "p": {"when": "kind = 'message' and customer.stage = 'lead'"},
             "i": {"when": "kind = 'message'", "wait": "1h", "per": "interaction"}}
    version = load(log.conn, rules)
    ids = dict(rows(log.conn, "SELECT name, id FROM touchlog.rule WHERE rule_set = %s", [version]))

    def exactness(rule):
        return [why.split(" ")[0] for why in one(
            log.conn, "SELECT touchlog.rule_test_exactness(%s, %s, %s)",
            [ids[rule], ago(-24), ago(999)])]
    log.batch(mail("m", 0), mail("n", 1, customer=2), reply("r", 2, customer=2))
    same("a set that is not active can be tried", rows(
        log.conn, "SELECT state, subject FROM touchlog.rule_test(%s, %s, %s) ORDER BY subject",
        [ids["r"], ago(-24), ago(99)]), [("fired", "1 t"), ("cancelled", "2 t")])
    same("and changes nothing", (log.firings(), timers(log)), ([], []))
    same("only what came since is tried", rows(
        log.conn, "SELECT subject FROM touchlog.rule_test(%s, %s, %s)",
        [ids["i"], ago(0.5), ago(99)])[0][0] in log.names, True)
    same("a test is exact for events in order", [exactness(r) for r in "ri"], [[], []])
    same("not when it reads profiles", exactness("p"), ["it"])
    log.batch(reply("late", 40, 60))
    same("nor when an event came after a deadline", exactness("r"), ["1"])
    rows(log.conn, """INSERT INTO touchlog.merge (a_id, b_id, state, at)
        VALUES (1, 2, 'joined', %s)""", [ago(70)])
    same("nor when customers were joined since", exactness("p"), ["it", "customers"])
    rows(log.conn, "DELETE FROM touchlog.interaction WHERE direction = 'out'")
    same("which is nothing to a rule per interaction", exactness("i"), [])


def test():
    db = fresh("following")
    log = Log(db)
    for part in (joined, by_a_batch, parted, spooled, fired_by_hand, armed, explained, tried):
        part(log)
    log.close()
    harness.drop(db)
