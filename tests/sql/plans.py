# SPDX-License-Identifier: Apache-2.0
"""With a million rows and fresh statistics no hot statement reads a table whole.
The plans are those that ran: auto_explain reports each statement nested in the
functions to us as a message, while we call them as the daemon does."""

import collections
import hashlib
import os
import re

import harness
from harness import SESSION, connect, one, rows, same
from race import ACCEPT, PEOPLE, PREPARE, array
from rulelog import load

# A plain client (psql, a report) asks for time lines with the server's settings.
EXPLAIN = """LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_nested_statements = on; SET client_min_messages = log"""
TABLES = ("interaction|document|participant|seen|identity|customer|merge|parked|timer|rule_state"
          "|firing|outbox")
# A batch of a thousand calls from known people, a note about each beside it, as the daemon sends it.
APPEND = """
    WITH n AS (SELECT n, (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7'
        || substr(md5('append' || n), 14))::uuid AS id FROM generate_series(1, 1000) n),
    e AS (SELECT *, touchlog.at(id) AS at FROM n)
    SELECT array_remove(a.stands, NULL)::text FROM (SELECT array_agg(md5('key' || n)::uuid ORDER BY n) AS keys, array_agg(id ORDER BY n) AS ids,
            array_agg(at ORDER BY n) AS ats, array_agg(n::int ORDER BY n) AS ns,
            array_agg('person' || n || '@example.com' ORDER BY n) AS vals,
            array_agg(ROW(id, at, at, 'pbx', NULL, 'call', 'in', 'call', 'a' || n, NULL, NULL, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, '{}')::touchlog.interaction_row ORDER BY n) AS rows
        FROM e) b, touchlog.append(b.keys, b.ids, array_fill(NULL::date, '{1000}'), b.ns, array_fill(true, '{1000}'),
            b.ns, array_fill('email'::text, '{1000}'), b.vals, array_fill(NULL::text, '{1000}'),
            array_fill(NULL::text, '{1000}'), array_fill(true, '{1000}'), 5, b.ats, b.rows, b.ns,
            array_fill('{"a": 1}'::jsonb, '{1000}'), b.ns, b.ns, array_fill('cc'::text, '{1000}'), b.ns, b.ns,
            array_fill('{"language": "nl"}'::jsonb, '{1000}'), array_fill(false, '{1000}')) a"""
# An index read from end to end is no better.
WHOLE = re.compile(r"(?:Seq Scan on |Index (?:Only )?Scan (?:Backward )?using \w+ on "
                   rf"(?!.*\n +Index Cond))((?:{TABLES})\w*)")
READS = re.compile(rf"(?:Scan.* on|Scan using \w+ on) ({TABLES})\w*")


class Plans:
    """The plans of the statements that one session runs."""

    def __init__(self, db, *settings):
        self.conn = connect(db)
        for sql in settings + (EXPLAIN,):
            rows(self.conn, sql)
        self.conn.notices = collections.deque()  # of a list psycopg2 keeps 50

    def of(self, sql, args=None):
        """The result, and the plans of all that ran, as text."""
        self.conn.notices.clear()
        result = rows(self.conn, sql, args)
        return result, [n for n in self.conn.notices if "plan:" in n]


def query(plan):
    return " ".join(re.search(r"Query Text: (.*)", plan, re.S).group(1).split())[:60]


def check(what, plans, must_read, empty=()):
    """No plan reads a table whole; and the plans seen are those that matter."""
    whole = [(query(p), set(WHOLE.findall(p)) - set(empty)) for p in plans]
    same(f"{what} reads no table whole", [w for w in whole if w[1]], [])
    read = {table for p in plans for table in READS.findall(p)}
    same(f"and does read {', '.join(sorted(must_read))}", set(must_read) - read, set())


def accept(plans, mentions, keys="new", trusted=True):
    """A batch of events, each of one party with these mentions of (kind, value, alt)."""
    n = len(mentions)
    flat = [(party, *m) for party, ms in enumerate(mentions, 1) for m in ms]
    parties, kinds, vals, alts = zip(*flat)
    result, seen = plans.of(ACCEPT, [
        array(md5(keys + str(i)) for i in range(n)),
        array(md5("id" + keys + str(i)) for i in range(n)), array([None] * n),
        array(range(1, n + 1)), array([trusted] * n), array(parties), array(kinds), array(vals),
        array(alts), array([None] * len(vals)), array(k == "email" for k in kinds)])
    return result[0], seen


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def mail(n):
    return ("email", f"person{n}@example.com", None)


def phone(n, alt=None):
    return ("phone", f"+316{n:08}", alt)


def appending(db):
    plans = Plans(db, SESSION, PREPARE)
    known = [[mail(n)] for n in range(1, 1001)]
    result, seen = accept(plans, known, "known")
    same("a batch of known customers is all fresh", set(result[0]), {None})
    check("it", seen, {"identity"})
    _, seen = accept(plans, known, "known")
    check("the same batch again", seen, {"seen"})
    _, seen = accept(plans, [[mail(n), phone(n + 7)] for n in range(1, 1001)], "two")
    check("known addresses with others' numbers", seen, {"identity", "customer", "merge"})
    _, seen = accept(plans, [[mail(600000 + n), phone(600000 + n)] for n in range(1000)], "new")
    check("a batch of new customers", seen, {"identity"})
    _, seen = accept(plans, [[mail(n), mail(n + 2000)] for n in range(1000, 1500)], "join")
    check("five hundred joins", seen, {"identity", "customer", "merge"})
    _, seen = accept(plans, [[mail(700000 + n), phone(n)] for n in range(1000)], "weak", False)
    check("unknown addresses beside known numbers from a weak source", seen,
          {"identity", "customer"})
    _, seen = accept(plans, [[mail(700000 + n)] for n in range(1000)], "hard")
    check("the same from a strong source", seen, {"identity", "customer"})
    _, seen = accept(plans, [[phone(900000 + n, f"+316{n:08}")] for n in range(1, 1001)], "alt")
    check("numbers known by their other spelling", seen, {"identity"})

    rows(plans.conn, "SELECT touchlog.make_partitions(now())")
    result, seen = plans.of(APPEND)
    same("a whole batch as the daemon sends it is all fresh", result[0][0], "{}")
    check("it", seen, {"identity", "customer"})

    own, names = list(range(1, 1001)), array(['"{\\"name\\":\\"N\\"}"'] * 1000)
    _, seen = plans.of("SELECT touchlog.profile(%s, %s, %s)",
                       [array(own), names, array("f" * 1000)])
    check("filling a thousand profiles", seen, {"customer"})
    at = "2026-01-01"
    _, seen = plans.of(PEOPLE, [array([md5("p")]), array([at]), "{1}", "{2}", "{cc}"])
    same("participants are put in by one statement", len(seen), 1)
    plans.conn.close()


def beside(db):
    plans = Plans(db, SESSION)
    _, seen = plans.of("SELECT touchlog.prune_seen(%s, 1000)", [md5("half way")])
    check("pruning a bite of keys", seen, {"seen"})
    rows(plans.conn, "UPDATE touchlog.cluster SET system_identifier = 1")
    _, seen = plans.of("SELECT touchlog.adopt_cluster()")
    check("adopting a cluster", seen, {"interaction"}, {"outbox_pause"}) # that has one row
    pair = one(plans.conn, """SELECT ARRAY[a_id, b_id] FROM touchlog.merge
        WHERE state = 'joined' LIMIT 1""")
    _, seen = plans.of("SELECT touchlog.split(%s, %s)", pair)
    check("splitting two customers", seen, {"customer", "merge", "identity"})
    _, seen = plans.of("SELECT touchlog.join_by_hand(%s, %s)", pair)
    check("joining them again", seen, {"customer", "merge", "identity"})
    plans.conn.close()


def without_rows(conn):
    """Partitions, next month's say, in which every way is the same."""
    return [name for (name,) in rows(conn, """SELECT relname FROM pg_class
        WHERE relkind = 'r' AND relname ~ '^interaction_' AND pg_relation_size(oid) = 0""")]


# Three rules that remember, and what they remember of others.
RULES = {
    "wait": {"when": "kind = 'call'", "wait": "48h", "unless": "kind = 'message'",
             "cooldown": "1d", "do": ["a"]},
    "count": {"when": "kind = 'call' and customer.interactions > 0", "count": 1, "within": "30d",
              "do": ["a"]},
    "rest": {"when": "kind = 'call'", "cooldown": "1d", "do": ["a"]},
}
REMEMBERED = """
    INSERT INTO touchlog.timer SELECT 'wait', n::text, now() + n * interval '1 s', md5(n::text)::uuid
        FROM generate_series(200001, 500000) n;
    INSERT INTO touchlog.rule_state SELECT r, n::text, now() - interval '300 d'
        FROM generate_series(1, 200000) n, unnest('{wait,rest,count}'::text[]) r;
    INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state, rule_set,
        decided_at, settled_at)
    SELECT r, n::text, md5(r || n)::uuid, now() - interval '300 d', n, 'fired', 1, now(),
        CASE r WHEN 'wait' THEN now() - interval '300 d' END
    FROM generate_series(1, 200000) n, unnest('{wait,rest,count}'::text[]) r"""


def deciding(db):
    conn = connect(db)
    rows(conn, "SELECT touchlog.rule_set_activate(%s)", [load(conn, RULES)])
    rows(conn, "UPDATE touchlog.rule SET since = '2020-01-01'")
    rows(conn, REMEMBERED)
    for table in "timer", "rule_state", "firing":
        rows(conn, f"VACUUM ANALYZE touchlog.{table}")
    plans = Plans(db, SESSION)
    _, seen = plans.of(APPEND.replace("md5('key' || n)", "md5('rules' || n)")
                       .replace("md5('append' || n)", "md5('ruled' || n)"))
    empty = without_rows(conn)
    check("a batch that matches", seen, {"interaction", "customer", "firing", "rule_state"}, empty)
    same("and fires two rules of each event", rows(conn, """SELECT rule, count(*)
        FROM touchlog.firing WHERE origin_at > now() - interval '1 d' GROUP BY 1 ORDER BY 1"""),
         [("count", 1000), ("rest", 1000)])
    decided, seen = plans.of("SELECT touchlog.decide_due(1000, now() + interval '49 h', 'infinity')")
    same("a thousand timers of 300 thousand are decided", decided, [(1000,)])
    check("which", seen, {"interaction", "customer", "firing", "rule_state", "timer"}, empty)
    _, seen = plans.of("SELECT touchlog.next_due()")
    same("the next due time is the first of an index",
         any(re.search(r"Limit.*Scan using timer_due", p, re.S) for p in seen), True)
    pair = one(conn, "SELECT ARRAY[a_id, b_id] FROM touchlog.merge WHERE state = 'joined' LIMIT 1")
    for what, call in ("split", "split"), ("join", "join_by_hand"):
        _, seen = plans.of(f"SELECT touchlog.{call}(%s, %s)", pair)
        check(f"a {what} of two who have waits and cooldowns", seen,
              {"customer", "firing", "rule_state", "timer"}, empty)
    plans.conn.close()
    conn.close()


def reading(db):
    plans = Plans(db, "SET jit = off")
    empty = without_rows(plans.conn)
    found, seen = plans.of("SELECT * FROM touchlog.timeline WHERE customer_id = 1009"
                           " ORDER BY occurred_at, id")
    same("a time line has what its customers did and took part in",
         sorted({r[2] for r in found}), ["cc", "customer"])
    check("a time line, asked for by a plain client,", seen,
          {"interaction", "participant", "customer"}, empty)
    plans.conn.close()


def test():
    db = harness.fresh("plans")
    conn = connect(db)
    rows(conn, harness.text(os.path.join(harness.HERE, "load.sql")))
    same("a million rows each are there", [one(conn, f"SELECT count(*) FROM touchlog.{table}")
                                           for table in ("interaction", "seen", "identity")],
         [1000000] * 3)
    conn.close()
    appending(db)
    beside(db)
    deciding(db)
    reading(db)
    harness.drop(db)
