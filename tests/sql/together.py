# SPDX-License-Identifier: Apache-2.0
"""Four writers and two deciders on the same few subjects, while rule sets are activated;
afterwards the log is the judge."""

import datetime as dt
import os
import random
import threading

import psycopg2

import harness
from harness import rows, same
from rulelog import LONG_AGO, T0, Log, fresh, load

ROUNDS = int(os.environ.get("TOUCHLOG_TOGETHER_ROUNDS", "1"))
ALWAYS = {"max_age": "30d", "do": ["a"]}
RULES = {
    "count": {"when": "kind = 'complaint'", "count": 3, "within": "30m", **ALWAYS},
    "once": {"when": "kind = 'complaint'", "cooldown": "ever", **ALWAYS},
    "wait": {"when": "kind = 'message' and direction = 'in'", "wait": "10m",
             "unless": "direction = 'out'", "per": "thread", **ALWAYS},
    "last": {"when": "direction = 'in'", "wait": "15m", "wait_from": "last",
             "unless": "direction = 'out'", **ALWAYS},
}
COUNTED = """WITH x AS (SELECT id, occurred_at - lag(occurred_at, 2)
        OVER (PARTITION BY customer_id ORDER BY occurred_at, id) < '30m' AS enough
    FROM touchlog.interaction WHERE kind = 'complaint')
    SELECT (SELECT array_agg(id::text ORDER BY id) FROM x WHERE enough) =
    (SELECT array_agg(origin_id::text ORDER BY origin_id) FROM touchlog.firing
    WHERE rule = 'count')"""
STOPPABLE = """SELECT count(*) FROM touchlog.firing f JOIN touchlog.interaction i
    ON i.direction = 'out' AND (i.occurred_at, i.id) > (f.origin_at, f.origin_id)
    AND i.occurred_at <= f.settled_at AND i.customer_id = split_part(f.subject, ' ', 1)::bigint
    AND (f.rule = 'last' OR i.thread = split_part(f.subject, ' ', 2))
    WHERE f.state = 'fired' AND f.rule IN ('wait', 'last')"""
UNSETTLED = """SELECT count(*) FROM touchlog.interaction i
    WHERE kind = 'message' AND direction = 'in' AND NOT EXISTS (SELECT FROM touchlog.firing f
    WHERE f.rule = 'wait' AND f.subject = i.customer_id || ' ' || i.thread
    AND f.settled_at >= i.occurred_at)"""


class Round:
    def __init__(self, log, number):
        self.log, self.number = log, number
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.errors, self.retries, self.clock = [], 0, T0
        self.activated = 0

    def guarded(self, work, *args):
        conn = self.log.another()
        try:
            work(conn, *args)
        except Exception as e:  # noqa: BLE001: told by the test
            self.errors.append(e)
        finally:
            conn.close()

    def some_events(self, rng):
        batch = []
        for _ in range(rng.choice([1, 3, 12])):
            self.clock += dt.timedelta(seconds=rng.choice([0, 20, 40]))
            batch.append(dict(
                name="x", received=self.clock,
                occurred=self.clock - dt.timedelta(seconds=rng.choice([0, 0, 0, 30, 700])),
                customer=rng.randint(1, 3), thread=rng.choice("ab"),
                kind=rng.choice(["message", "complaint"]),
                direction=rng.choice(["in", "in", "out"])))
        return batch

    def write(self, conn, seed):
        rng = random.Random(seed)
        for _ in range(60):
            with self.lock:
                batch = self.some_events(rng)
            while True:
                try:
                    rows(conn, "BEGIN")
                    with self.lock:
                        some = [self.log.insert(conn, **e) for e in batch]
                    if self.log.match(conn, some)[1]:
                        raise RuntimeError("a rule failed")
                    rows(conn, "COMMIT")
                    break
                except (psycopg2.errors.DeadlockDetected, psycopg2.errors.LockNotAvailable):
                    rows(conn, "ROLLBACK")
                    self.retries += 1

    def decide(self, conn):
        while not self.stop.is_set():
            rows(conn, "SELECT touchlog.decide_due(3, %s)", [self.clock])

    def activate(self, conn):
        """Sets in which other rules come and go, and these stay what they are."""
        while not self.stop.wait(0.05):
            rows(conn, "BEGIN")
            version = load(conn, {**RULES, f"x{self.activated}": {
                "when": f"score = {self.activated}", "count": 2, "within": "1h"}})
            rows(conn, "SELECT touchlog.rule_set_activate(%s)", [version])
            rows(conn, "UPDATE touchlog.rule SET since = %s WHERE rule_set = %s",
                 [LONG_AGO, version])
            rows(conn, "COMMIT")
            self.activated += 1

    def run(self):
        writers = [threading.Thread(target=self.guarded, args=(self.write, f"{self.number} {s}"))
                   for s in range(4)]
        others = [threading.Thread(target=self.guarded, args=(work,))
                  for work in (self.decide, self.decide, self.activate)]
        for t in writers + others:
            t.start()
        for t in writers:
            t.join()
        self.stop.set()
        for t in others:
            t.join()
        self.log.decide(self.clock + dt.timedelta(days=2))


def test():
    db = fresh("together")
    log = Log(db)
    for number in range(ROUNDS):
        log.reset()
        log.rules(RULES)
        r = Round(log, number)
        r.run()
        harness.say(f"#   {r.retries} batches again, {r.activated} activations")
        same("four writers, two deciders and activations get along", r.errors, [])
        same("sets were activated meanwhile", r.activated > 3, True)
        same("the count is exact whatever overlapped", log.one(COUNTED)[0], True)
        same("what fires once fires once", log.one(
            "SELECT count(*) FROM touchlog.firing WHERE rule = 'once' AND state = 'fired'")[0], 3)
        same("no firing stands that a known `unless` should have stopped",
             log.one(STOPPABLE)[0], 0)
        same("every timer is decided", log.one("SELECT count(*) FROM touchlog.timer")[0], 0)
        same("and every match settled", log.one(UNSETTLED)[0], 0)
        same("each firing has its action once", log.one("""SELECT count(*) FROM touchlog.firing
            WHERE state IN ('fired', 'too_late')"""), log.one(
            "SELECT count(*) FROM touchlog.outbox"))
        same("and there were enough to tell", log.one("""SELECT count(*) > 10 FROM touchlog.firing
            WHERE state = 'fired' AND rule IN ('wait', 'last')""")[0], True)
    log.close()
    harness.drop(db)
