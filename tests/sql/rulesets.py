# SPDX-License-Identifier: Apache-2.0
"""Rule sets: what PostgreSQL says of their predicates, how one follows another, and what
becomes of who waits."""

import datetime as dt
import time

import psycopg2

import harness
from harness import Aside, is_blocked, one, refusal, rows, same, wait_for
from rulelog import LONG_AGO, Log, ago, fresh, load, mail, reply
from rules import UNANSWERED

BAD = [  # text, kind, position in it, words
    ("kind = 'x' and knd = 'y'", "predicate", 16, "does not exist"),
    ("customer.stage = 'x' and customer.stge = 'y'", "predicate", 26, "does not exist"),
    ("kind == 'x'", "predicate", 6, "operator does not exist"),
    ("kind = 'x' and", "predicate", 15, "syntax error"),
    ("kind = 'x') or (true", "predicate", 11, "without its opening"),
    ("(kind = 'x'", "predicate", 11, "not closed"),
    ("true; drop table x", "predicate", 5, "one expression"),
    ("true, b boolean", "predicate", 5, "one expression"),
    ("kind = 'x", "predicate", 8, "unterminated quote"),
    ("kind = $a$x$b$", "predicate", 8, "unterminated dollar quote"),
    ("true /* /* */", "predicate", 6, "unterminated comment"),
    ("kind in (select 'x')", "predicate", 6, "subquery"),
    ("count(*) > 1", "predicate", 1, "aggregate"),
    ("amount + 1", "predicate", None, "boolean"),
    ("occurred_at < now()", "predicate", None, "not immutable"),
    ("channel = 'emial'", "predicate", 11, "enum"),
    ("kind = 'é' and knd = 'y'", "predicate", 16, "does not exist"),
    ("kind = 'x' and customer.id = 3", "predicate", 25, "no customer.id"),
    ("xmin is null", "predicate", 1, "system column"),
    ("'two days'::interval", "interval", 1, "invalid input syntax"),
    ("clock_timestamp()", "timestamptz", None, "volatile"),
    ("query_to_xml('drop table x', true, true, '')::text::timestamptz", "timestamptz", None,
     "volatile"),
    ("(touchlog_check.*)::text::timestamptz", "timestamptz", None, "whole row"),
    ("touchlog.rule_set_activate(1)::text::timestamptz", "timestamptz", None, "volatile"),
    ("(touchlog.rule_check_sql('{}', '{}'))::timestamptz", "timestamptz", None,
     "only what everyone may call"),
    ("public.evil()", "predicate", None, "only what everyone may call"),
    ("kind::public.evil_text = 'x'", "predicate", None, "is not for rules"),
    ("table_to_xml(kind::regclass, true, true, '')::text::interval", "interval", None,
     "XML of tables"),
    ("array_in('{x}', kind::regtype, -1)::text::interval", "interval", None, "input of types"),
    ("domain_in('x', kind::regtype, -1)::text::interval", "interval", None, "input of types"),
    ("kind = $1", "predicate", 8, "outside a quote"),
    ("kind = 'a'\n'b'", "predicate", 12, "beside each other"),
]
# Texts whose quote or comment ends elsewhere for PostgreSQL than one might think: what stands
# behind must not be run.
OUT = (")) STORED) ON COMMIT DROP; DO $do$ BEGIN RAISE 'ran' USING ERRCODE = 'TLRAN'; END $do$;"
       " CREATE TEMP TABLE x (b boolean GENERATED ALWAYS AS ((true --")
BREAKS = [  # how, the text
    ("a dollar quote with a name beyond ASCII", f"$é$ ' $é$ is null{OUT}'"),
    ("a comment that a carriage return ends", f"true -- \r{OUT}"),
    ("a quote with backslashes that goes on in the next line", f"E'a'\n'\\' || ' is null{OUT}'"),
    ("a type named with a letter beyond 16 bits", f"\U0001f600e'\\' is null{OUT}'"),
    ("a type named with a space beyond ASCII", f"\u2003 \u2003e'\\' is null{OUT}'"),
]
GOOD = [
    ("kind = 'customer.stage' -- customer.x", "predicate"),
    ("/* ) /* ; */ */ kind = $$a;)$$", "predicate"),
    ("kind = $rows$x$rows$ or kind = 'a$rows$b$match$'", "predicate"),
    ("kind = E'\\')' or true", "predicate"),
    ("\"kind\" = 'x'", "predicate"),
    ("customer.tags @> array['a','b']", "predicate"),
    ("num(attributes, 'x') > 3 and has(attributes, '/a/b')", "predicate"),
    ("1 = 1 or kind='x'", "predicate"),
    ("'2 days'::interval", "interval"),
    ("ts(attributes, 'x') + '1 h'", "timestamptz"),
    ("open_time_add('desk', occurred_at, '1 h')", "timestamptz"),
    ("now() + '1 h'", "timestamptz"),
]
TOTAL = [  # accessor, key, what it finds in DOC
    ("str", "a", "1"), ("str", "/b/c", "x"), ("str", "nix", None), ("num", "a", 1),
    ("num", "/b/c", None), ("num", "/b/n", -25), ("num", "/big", None), ("num", "list", None),
    ("num", "/list/1", 2), ("has", "a", True), ("has", "/b/nil", False), ("has", "/no/way", False),
    ("ts", "/b/c", None), ("ts", "when", dt.datetime(2026, 3, 2, tzinfo=dt.timezone.utc)),
    ("ts", "endless", None),
]
DOC = """{"a": 1, "b": {"c": "x", "n": "-2.5e1", "nil": null}, "big": "1e999", "list": [1, 2],
    "when": "2026-03-02T01:00:00+01:00", "endless": "2026-02-30"}"""


def verdict(conn, text, kind):
    """Position in the text and words, as the daemon finds them; None: it is good."""
    try:
        rows(conn, "SELECT touchlog.rule_check(%s, %s)", [text, kind])
        return None
    except psycopg2.Error as e:
        at, detail = e.diag.internal_position, e.diag.message_detail or ""
        if at:
            before = e.diag.internal_query.index("/*>*/") + 5
            at = min(max(int(at) - before, 1), len(text) + 1)
        elif e.pgcode == "42601" and detail.isdigit():
            at = int(detail)
        return at, e.diag.message_primary


def predicates(log):
    rows(log.conn, """CREATE FUNCTION public.evil() RETURNS boolean IMMUTABLE LANGUAGE sql
        AS 'SELECT true'; CREATE DOMAIN public.evil_text AS text CHECK (public.evil())""")
    log.rules({}, [{"name": "desk", "zone": "UTC", "hours": [
        {"weekday": d, "opens": "09:00", "closes": "17:00"} for d in range(1, 8)]}])
    wrong = []
    for text, kind, position, words in BAD:
        found = verdict(log.conn, text, kind)
        if found is None or found[0] != position or words not in found[1]:
            wrong.append((text, found))
    same("a bad predicate is an error at its place", wrong, [])
    same("a good one is read", [(text, v) for text, kind in GOOD
                                if (v := verdict(log.conn, text, kind)) is not None], [])
    rows(log.conn, """CREATE DOMAIN pg_temp."\U0001f600e" AS text;
        CREATE DOMAIN pg_temp."\u2003e" AS text""")
    same("no text runs what stands in it", [how for how, text in BREAKS if refusal(
        log.conn, "SELECT touchlog.rule_check(%s, 'predicate')", [text]) == "TLRAN"], [])
    rows(log.conn, "SET standard_conforming_strings = off")
    same("nor does one that a session would read otherwise", refusal(
        log.conn, "SELECT touchlog.rule_check(E%s, 'predicate')",
        [f"'\\' is null or ' is null{OUT}'"]), "42601")
    rows(log.conn, "RESET standard_conforming_strings")
    same("an error in a set names the rule and its key", _why(log, {
        "a": {"when": "true"}, "b": {"when": "true", "wait": "1h", "unless": "knd = 'x'"}}),
        'rule b: unless: column "knd" does not exist')
    same("accessors are total", [(f, key, got) for f, key, want in TOTAL if (got := log.one(
        f"SELECT touchlog.{f}(%s, %s)", DOC, key)[0]) != want], [])
    same("predicates that hold any quote run as they were read", _story(log, {
        "r": {"when": "kind = 'message' and kind <> 'a$rows$b$match$' and kind <> 'ANY(ids)'",
              "count": 1, "within": "1h"}}), [("fired", "m", None)])


def _why(log, rules):
    try:
        load(log.conn, rules)
    except psycopg2.Error as e:
        return e.diag.message_primary
    return None


def _story(log, rules):
    log.rules(rules)
    log.batch(mail("m", 0))
    return log.story()


def loading(log):
    log.reset()
    rule = {"r": {"when": "kind = 'x'"}}
    version = log.rules(rule)
    same("the active set loaded again is the same version", load(log.conn, rule), version)
    same("and activating it changes nothing", (
        rows(log.conn, "SELECT touchlog.rule_set_activate(%s)", [version]),
        log.one("SELECT since FROM touchlog.rule WHERE rule_set = %s", version)[0]),
        ([("",)], LONG_AGO))
    same("a set that is not there cannot be activated",
         refusal(log.conn, "SELECT touchlog.rule_set_activate(999999)"), "P0002")
    text = '[{"name": "r", "when": "true"}, {"name": "r", "when": "false"}]'
    try:
        rows(log.conn, "SELECT touchlog.rule_set_load('x', %s, '[]')", [text])
        said = None
    except psycopg2.Error as e:
        said = e.diag.message_primary
    same("a name used twice is an error", said, "rule r: the name is used twice")
    same("what does not go together is refused by name", [
        (refusal(log.conn, "SELECT touchlog.rule_set_load('x', %s, '[]')", [text]))
        for text in ('[{"name": "r", "when": "true", "count": 2}]',
                     '[{"name": "r", "when": "true", "unless": "true"}]',
                     '[{"name": "r", "when": "true", "count": 2, "within": "1 h",'
                     ' "per": "interaction"}]')], ["23514"] * 3)
    many = {f"rule {n}": {
        "when": f"kind = 'kind {n}' and direction = 'in' and num(attributes, 'x') > {n}",
        **({"wait": "2d", "unless": f"kind = 'other {n}'", "per": "thread"} if n % 3 else {}),
        **({"count": 3, "within": "30d"} if n % 7 == 0 else {})} for n in range(1000)}
    began = time.monotonic()
    log.rules(many)
    took = time.monotonic() - began
    harness.say(f"#   a thousand rules were loaded and activated in {took:.1f} s")
    same("a thousand rules load, within 20 s on any machine", took < 20, True)
    log.batch(mail("m", 0, kind="kind 500", thread="x", attributes='{"x": 501}'),
              mail("n", 0, kind="kind 999", attributes='{"x": 1000}'))
    same("and run", (log.story(), log.one("SELECT rule FROM touchlog.timer")[0]),
         ([("fired", "n", None)], "rule 500"))


def following(log):
    log.reset()
    log.rules({"o": {"when": "false"}}, since=ago(0))
    log.batch(mail("old", -3))
    log.rules({"r": UNANSWERED, "now": {"when": "true"}}, since=ago(0))
    log.batch(mail("spooled", -2, -1, thread="s"))
    log.batch(mail("m", 1))
    log.decide(ago(60))
    same("what was received before a rule was there starts nothing",
         log.story("r") + log.story("now"), [("fired", "m", None)] * 2)

    log.reset()
    log.rules({"r": UNANSWERED})
    log.batch(mail("m", 0))
    log.rules({"s": {"when": "false"}})
    log.decide(ago(60))
    same("timers of a removed rule end", (log.story(), log.one(
        "SELECT error FROM touchlog.firing")[0]), ([("cancelled", "m", None)], "removed"))

    log.reset()
    log.rules({"r": UNANSWERED})
    log.batch(mail("m", 0))
    log.rules({"r": {**UNANSWERED, "wait": "24h", "do": ["other"]}}, since=None)
    same("a rule keeps its age while its name and `when` stay", log.one(
        "SELECT since FROM touchlog.rule WHERE id = %s", log.ids["r"])[0], LONG_AGO)
    log.decide(ago(24))
    same("and its timers go by the new wait", log.story(), [("fired", "m", None)])
    log.rules({"r": {**UNANSWERED, "when": "direction = 'in'"}}, since=None)
    same("with another `when` it is new", log.one("""SELECT since > now() - interval '1 min'
        FROM touchlog.rule WHERE id = %s""", log.ids["r"])[0], True)

    log.reset()
    often = {"when": "kind = 'message'", "cooldown": "ever", "do": ["a"]}
    log.rules({"r": {**often, "mode": "shadow"}, "w": {**UNANSWERED, "mode": "shadow"}})
    log.batch(mail("a", 0))
    log.rules({"r": often, "w": UNANSWERED}, since=None)
    rows(log.conn, "UPDATE touchlog.rule SET since = %s", [ago(1)])
    log.batch(mail("b", 1))
    log.decide(ago(99))
    same("from shadow to live cooldowns do not count", log.story("r"),
         [("shadowed", "a", None), ("fired", "b", None)])
    same("and waits do not go on", log.story("w"),
         [("cancelled", "a", None), ("fired", "b", None)])

    log.reset()
    log.rules({"r": {**UNANSWERED, "mode": "off"}, "n": {"when": "true", "mode": "off"}})
    same("a rule that is off matches nothing", (log.batch(mail("m", 0))[0], log.story()), (0, []))


def under_way(log):
    """A batch that is open while a set is activated."""
    log.reset()
    stays = {"when": "kind = 'message'"}
    first = log.rules({"r": UNANSWERED, "s": stays})
    other = log.another()
    rows(log.conn, "BEGIN")
    log.match(log.conn, [log.insert(log.conn, **mail("m", 0))])
    version = load(other, {"s": stays})
    busy = Aside(rows, other, "SELECT touchlog.rule_set_activate(%s)", [version])
    wait_for("the activation to wait", lambda: is_blocked(log.watcher, other))
    third = log.another()
    rows(third, "BEGIN")
    late = Aside(log.match, third, [log.insert(third, **mail("n", 1))])
    wait_for("the next batch to wait", lambda: is_blocked(log.watcher, third))
    rows(log.conn, "COMMIT")
    busy.join()
    late.join()
    rows(third, "COMMIT")
    same("an activation waits for open batches, and later batches for it",
         (busy.error, late.error), (None, None))
    same("each is decided by one set", rows(log.conn, """SELECT rule, state, rule_set
        FROM touchlog.firing ORDER BY origin_at, rule"""),
         [("r", "cancelled", version), ("s", "fired", first), ("s", "fired", version)])
    same("and no timer is left of the old one", log.one("SELECT count(*) FROM touchlog.timer"),
         (0,))
    other.close()
    third.close()


def test():
    db = fresh("rulesets")
    log = Log(db)
    log.watcher = log.another()
    for part in (predicates, loading, following, under_way):
        part(log)
    log.watcher.close()
    log.close()
    harness.drop(db)
