# SPDX-License-Identifier: Apache-2.0
"""Random events, random rules: what happened live is what rule_test() says, however the
batches and the decisions fell.

exact    occurred_at = received_at; decided at any moments, late ones too.
delayed  occurred_at before received_at, in any order; the decider works at every due time.
         Rows that arrive late are then seen by the live run and the replay at the same moment.
         (No two at once: whether a decider works between them, only their batches tell.)
counted  delayed, count without cooldown: the origins fired equal a count over the final log
         by another program (here), whatever the order of arrival."""

import datetime as dt
import os
import random

import harness
from harness import one, same
from opening import calendar
from rulelog import T0, Log, fresh

RUNS = int(os.environ.get("TOUCHLOG_REPLAY_RUNS", "15"))
SEED = os.environ.get("TOUCHLOG_REPLAY_SEED", "")
KINDS = ["message", "complaint", "purchase"]
OFFICE = [calendar("office", "Europe/Amsterdam", {d: [(540, 1020)] for d in range(1, 6)}, [])]


def predicate(rng):
    return rng.choice([f"kind = '{rng.choice(KINDS)}'", "direction = 'in'",
                       f"kind = '{rng.choice(KINDS)}' and direction = 'in'",
                       "kind <> 'purchase' and score > 4", "true"])


def random_rule(rng):
    r = {"when": predicate(rng), "per": rng.choice(["customer", "customer", "thread",
                                                    "interaction"]),
         "do": ["x"], "max_age": rng.choice(["1d", "1d", "2h"]),
         "mode": rng.choice(["live", "live", "live", "shadow"])}
    if rng.random() < .65:
        r["wait"] = rng.choice(["1h", "5h", "12h", "(coalesce(score, 2) || ' hours')::interval"])
        r["wait_from"] = rng.choice(["first", "last"])
        if rng.random() < .8:
            r["unless"] = predicate(rng).replace("true", "direction = 'out'")
        if rng.random() < .2:
            r["calendar"] = "office"
    if rng.random() < .35 and r["per"] != "interaction":
        r["count"], r["within"] = rng.choice([2, 3]), rng.choice(["6h", "1d"])
    if rng.random() < .35:
        r["cooldown"] = rng.choice(["8h", "1d", "ever"])
    return r


def random_events(rng, delayed):
    t, out = T0, []
    for n in range(rng.randint(30, 90)):
        t += dt.timedelta(minutes=rng.choice([1 if delayed else 0, 1, 7, 30, 60, 60, 200]))
        late = dt.timedelta(minutes=rng.choice([0, 0, 0, 1, 45, 60, 130, 600, 1500])
                            if delayed else 0)
        out.append(dict(
            name=str(n), occurred=t - late, received=t, customer=rng.choice([0, 1, 1, 2, 3]),
            kind=rng.choice(KINDS), direction=rng.choice(["in", "in", "out", "internal"]),
            thread=rng.choice([None, "a", "a", "b"]), score=rng.choice([None, 1, 5, 9]),
            source=rng.choice(["mail", "mail", "touchlog"])))
    return out


def decide_all(log, rng, before=None):
    """At each due time, as far as `before`."""
    while True:
        due = one(log.conn, "SELECT touchlog.next_due()")
        if due is None or before is not None and due >= before:
            return
        one(log.conn, "SELECT touchlog.decide_due(%s, %s)", [rng.choice([1, 3, 100]), due])


def live(log, rng, events, prompt):
    i = 0
    while i < len(events):
        batch = events[i:i + rng.choice([1, 1, 2, 5, 20])]
        if prompt:  # nothing may fall due between two rows of a batch
            decide_all(log, rng, batch[0]["received"])
            batch = batch[:1] + [e for e in batch[1:] if e["received"] == batch[0]["received"]]
        log.batch(*batch)
        i += len(batch)
        if not prompt and rng.random() < .4:
            log.decide(batch[-1]["received"], rng.choice([1, 3, 100]))
    end = events[-1]["received"] + dt.timedelta(days=60)
    if prompt:
        decide_all(log, rng)
    log.decide(end)
    return end


def differences(log, mode, seed):
    """Rules of which the test said other than what was lived."""
    rng = random.Random(f"{SEED}{mode}{seed}")
    rules = {f"r{n}": random_rule(rng) for n in range(6)}
    log.reset()
    log.rules(rules, OFFICE)
    end = live(log, rng, random_events(rng, mode == "delayed"), mode == "delayed")
    wrong = []
    for name, rule in rules.items():
        def show(found):
            return sorted(((log.names[o], s, log.names.get(c), str(t), u)
                           for s, o, c, t, u in found), key=str)
        lived, tried = show(log.firings(name)), show(log.tried(name, end))
        if lived != tried or len({r[0] for r in lived}) < len(lived):
            wrong.append((mode, seed, rule, lived, tried))
    return wrong


def miscounted(log, seed):
    """Whether the origins of a count differ from those found by counting here."""
    rng = random.Random(f"{SEED}{seed}")
    log.reset()
    log.rules({"r": {"when": "kind = 'message'", "count": 3, "within": "6h", "max_age": "30d"}})
    events = random_events(rng, True)
    live(log, rng, events, False)
    got = {log.names[o] for s, o, *_ in log.firings() if s == "fired"}
    want = set()
    for c in 1, 2, 3:
        own = sorted((e for e in events if e["customer"] == c and e["kind"] == "message"
                      and not (e["source"] == "touchlog" and e["direction"] != "internal")),
                     key=lambda e: (e["occurred"], int(e["name"])))
        want |= {e["name"] for n, e in enumerate(own) if n >= 2
                 and own[n - 2]["occurred"] > e["occurred"] - dt.timedelta(hours=6)}
    return [] if got == want else [(seed, got ^ want)]


def test():
    db = fresh("replay")
    log = Log(db)
    for mode, sentence in (("exact", "whenever deciders worked"),
                           ("delayed", "with events that came late and a decider that did not")):
        same(f"a test of a rule says what was lived, {sentence} ({RUNS} runs)",
             [w for seed in range(RUNS) for w in differences(log, mode, seed)], [])
    same("counts do not depend on the order of arrival",
         [w for seed in range(RUNS) for w in miscounted(log, seed)], [])
    log.close()
    harness.drop(db)
