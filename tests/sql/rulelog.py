# SPDX-License-Identifier: Apache-2.0
"""A log with rules and a clock the test sets: what the tests of rules share."""

import datetime as dt
import hashlib
import json
import re

import psycopg2.extras

import harness
from harness import SESSION, connect, rows

psycopg2.extras.register_uuid()
UTC = dt.timezone.utc
T0 = dt.datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=UTC)
UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days",
         "w": "weeks", "y": "years"}
FORGET = """TRUNCATE touchlog.interaction, touchlog.customer, touchlog.identity, touchlog.merge,
    touchlog.firing, touchlog.timer, touchlog.rule_state, touchlog.outbox, touchlog.rule_trouble,
    touchlog.daemon, touchlog.cursor;
    DELETE FROM touchlog.rule; DELETE FROM touchlog.rule_set"""
INSERT = """INSERT INTO touchlog.interaction (id, received_at, occurred_at, customer_id, source,
    channel, direction, kind, thread, attributes, score, txid)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 1)"""


def ago(h):
    return T0 + dt.timedelta(hours=h)


def duration(text):
    m = re.fullmatch(r"(\d+)(ms|s|m|h|d|w|y)", str(text))
    return f"{m[1]} {UNITS[m[2]]}" if m else text


def rule_json(name, rule):
    """As the daemon writes what stands in the configuration."""
    r = dict(rule, name=name)
    for key in ("within", "cooldown", "max_age"):
        if key in r:
            r[key] = duration(r[key])
    if "wait" in r and duration(r["wait"]) != r["wait"]:
        r["wait"] = f"'{duration(r['wait'])}'::interval"
    return r


def load(conn, rules, calendars=()):
    """The version of the set, not active yet."""
    text = json.dumps([rule_json(*r) for r in rules.items()])
    more = json.dumps(list(calendars))
    return rows(conn, "SELECT touchlog.rule_set_load(%s, %s, %s)",
                [hashlib.sha256((text + more).encode()).digest(), text, more])[0][0]


class Log:
    def __init__(self, db):
        self.db = db
        self.conn = connect(db)
        rows(self.conn, SESSION)
        self.reset()

    def close(self):
        self.conn.close()

    def another(self):
        conn = connect(self.db)
        rows(conn, SESSION)
        rows(conn, "SET lock_timeout = '20s'")
        return conn

    def reset(self, customers=5):
        rows(self.conn, FORGET)
        rows(self.conn, "INSERT INTO touchlog.customer (id, root_id, stage)"
                        " SELECT x, x, 'lead' FROM generate_series(1, %s) x", [customers])
        self.n = 0
        self.names = {}

    def rules(self, rules, calendars=(), since=LONG_AGO):
        """Makes them the active set."""
        version = load(self.conn, rules, calendars)
        rows(self.conn, "SELECT touchlog.rule_set_activate(%s)", [version])
        if since:
            rows(self.conn, "UPDATE touchlog.rule SET since = %s WHERE rule_set = %s",
                 [since, version])
        self.ids = dict(rows(self.conn, "SELECT name, id FROM touchlog.rule WHERE rule_set = %s",
                             [version]))
        return version

    def uuid(self, received):
        self.n += 1
        h = f"{int(received.timestamp() * 1000):012x}7{self.n:03x}8{self.n:015x}"
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"

    def insert(self, conn, name, occurred, received=None, customer=1, kind="message",
               direction="in", channel="email", thread=None, source="mail", attributes="{}",
               score=None):
        received = received or occurred
        i = self.uuid(received)
        self.names[i] = name
        rows(conn, INSERT, [i, received, occurred, customer, source, channel, direction, kind,
                            thread, attributes, score])
        return i, received

    def match(self, conn, events):
        ids, at = [r[0] for r in events], [r[1] for r in events]
        return rows(conn, "SELECT n_hits, failed FROM touchlog.match(%s::uuid[], %s, %s, %s)",
                    [ids, min(at), max(at), max(at)])[0]

    def batch(self, *events):
        rows(self.conn, "BEGIN")
        try:
            result = self.match(self.conn, [self.insert(self.conn, **e) for e in events])
            rows(self.conn, "COMMIT")
            return result
        except psycopg2.Error:
            rows(self.conn, "ROLLBACK")
            raise

    def decide(self, now, n=1000, horizon=None):
        while self.one("SELECT touchlog.decide_due(%s, %s, %s)", n, now, horizon)[0]:
            pass

    def firings(self, rule=None):
        return rows(self.conn, """SELECT state, origin_id::text, cause_id::text, settled_at, subject
            FROM touchlog.firing WHERE %s IS NULL OR rule = %s ORDER BY origin_at, origin_id""",
            [rule, rule])

    def story(self, rule=None):
        return [(s, self.names[o], self.names.get(c)) for s, o, c, _, _ in self.firings(rule)]

    def tried(self, rule, until, since=LONG_AGO):
        return rows(self.conn, """SELECT state, origin_id::text, cause_id::text, settled_at, subject
            FROM touchlog.rule_test(%s, %s, %s)""", [self.ids[rule], since, until])

    def one(self, sql, *args):
        return rows(self.conn, sql, args)[0]


def fresh(name):
    """A database whose log has room for the tests' time."""
    db = harness.fresh(name)
    conn = connect(db)
    rows(conn, "SELECT touchlog.make_partitions(timestamptz '2025-09-01' + n * interval '1 month')"
               " FROM generate_series(0, 20) n")
    conn.close()
    return db


def mail(name, h, received=None, thread="t", **kw):
    return dict(name=name, occurred=ago(h), thread=thread,
                received=ago(received) if received is not None else None, **kw)


def reply(name, h, received=None, **kw):
    return mail(name, h, received, direction="out", **kw)


def buy(name, h, **kw):
    return mail(name, h, kind="purchase", **kw)
