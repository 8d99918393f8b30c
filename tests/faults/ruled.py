# SPDX-License-Identifier: Apache-2.0
"""What the drills of rules share: rules over the events of sender.c, what must have fired by a model of their own, and
the comparison of that with firings, tasks, receipts and the receiver's ledger."""
import collections, json, time

from harness import until

NUMBER = "split_part(external_id, '-', 2)::int"     # of an event of sender.c
OPEN = {"allow_private": ["127.0.0.1"]}
TASK = {"type": "task", "title": "{rule}: {external_id}"}

Row = collections.namedtuple("Row", "id at_us customer number")
Fired = collections.namedtuple("Fired", "id rule origin state cause at_us settled_us error")


def actions(receiver):
    """task and note: PostgreSQL does them; hook: by HTTP."""
    return {"task": TASK, "note": {"type": "notify"}, "hook": {"type": "webhook", "url": receiver.url, "timeout": "5s"}}


def of(*residues, by):
    """Events of some numbers."""
    return f"source = 'web' and {NUMBER} % {by} in ({', '.join(map(str, residues))})"


def log_rows(database, prefix):
    """The events of sender.c in the log, in (occurred_at, id) order."""
    out = database.run("SELECT i.id, (extract(epoch FROM i.occurred_at) * 1000000)::bigint, c.root_id, " + NUMBER +
                       " FROM touchlog.interaction i JOIN touchlog.customer c ON c.id = i.customer_id"
                       f" WHERE external_id LIKE '{prefix}-%' ORDER BY i.occurred_at, i.id")
    return [Row(words[0], *map(int, words[1:])) for words in (line.split("|") for line in out.splitlines())]


def firings(database, rule):
    """{origin: Fired}"""
    rows = database.rows("SELECT id, rule, origin_id AS origin, state, cause_id AS cause, (extract(epoch FROM origin_at) * 1000000)::bigint AS at_us,"
                         f" (extract(epoch FROM settled_at) * 1000000)::bigint AS settled_us, error FROM touchlog.firing WHERE rule = '{rule}'")
    found = {row["origin"]: Fired(**row) for row in rows}
    assert len(found) == len(rows), f"rule {rule} decided twice about one interaction"
    return found


def by_customer(rows):
    found = collections.defaultdict(list)
    for row in rows:
        found[row.customer].append(row)
    return found


# ---- what must have fired ----

def check_same(found, wanted):
    extra, missing = [f for origin, f in found.items() if origin not in wanted], wanted - found.keys()
    assert not extra and not missing, f"{len(extra)} too many: {collections.Counter(f.state for f in extra)}, {extra[:3]}; {len(missing)} missing"


def check_immediate(found, rows, matches):
    """Each match fired, and nothing else."""
    wanted = {row.id for row in rows if matches(row.number)}
    check_same(found, wanted)
    assert {f.state for f in found.values()} == {"fired"}
    return len(found)


def check_second(found, rows, matches):
    """count: 2 with a long cooldown: each match of a customer but the first is decided, and one of them fired."""
    wanted, n_fired = set(), 0
    for mine in by_customer(row for row in rows if matches(row.number)).values():
        wanted |= {row.id for row in mine[1:]}
        states = collections.Counter(found[row.id].state for row in mine[1:] if row.id in found)
        assert len(mine) == 1 or states == {"fired": 1, **({"cooldown": len(mine) - 2} if len(mine) > 2 else {})}, (mine, states)
        n_fired += len(mine) > 1
    check_same(found, wanted)
    return n_fired


def check_wait(found, rows, starts, stops, wait_us):
    """wait and unless, from the first match on: each decision is what the log says now, and each match is settled by one.
    Where an event came to the log after its time the decision before it stands, `too_late` if that event would have
    stopped it."""
    counts, place = collections.Counter(), {row.id: row for row in rows}
    assert all(origin in place and starts(place[origin].number) for origin in found), "something else fired"
    for customer, mine in by_customer(rows).items():
        decided = [found[row.id] for row in mine if row.id in found]
        for f in decided:
            start, end_us = place[f.origin], f.at_us + wait_us
            stopping = [row.id for row in mine if stops(row.number) and (start.at_us, start.id) < (row.at_us, row.id) and row.at_us <= end_us]
            assert f.state in ("fired", "cancelled", "too_late"), f
            if f.state == "fired":
                assert not stopping and f.settled_us == end_us, (f, stopping)
            else:
                assert f.cause in stopping, (f, stopping)
            counts[f.state] += 1
        for row in mine:
            assert not starts(row.number) or any(row.at_us <= f.settled_us for f in decided), f"nothing was decided about {row}"
        spans = sorted((f.at_us, f.settled_us) for f in decided if f.state == "fired")
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), f"customer {customer} waited twice at once"
    return counts


# ---- what must have been done ----

def left(database):
    """What is not decided or done yet, so that a failure tells it."""
    return database.rows("SELECT 'timer' AS what, rule AS name, now() - due AS since, NULL AS who, 0 AS attempts, subject AS error FROM touchlog.timer"
                         " UNION ALL SELECT state, action, now() - next_at, claimed_by, attempts, error FROM touchlog.outbox LIMIT 5")


def wait_done(database, deadline_s=60):
    """Until no timer and no row of the outbox is left."""
    end = time.monotonic() + deadline_s
    while (rows := left(database)):
        assert time.monotonic() < end, (f"not decided or done within {deadline_s} s: {rows}",
                                        database.rows("SELECT *, clock_timestamp() AS now FROM touchlog.daemon"))
        time.sleep(0.02)


def check_done(database, receiver):
    """For each firing that fired: one task, one receipt `done` of each of its actions, and the webhook, repeated if at all
    under the same id with the same body; for no other any of it.  The counts."""
    fired = {row["id"]: (row["rule"], row["origin"]) for row in database.rows(
        "SELECT id, rule, origin_id AS origin FROM touchlog.firing WHERE state IN ('fired', 'too_late')")}
    wanted = collections.Counter({(row["firing"], row["action"]): 1 for row in database.rows(
        "SELECT f.id AS firing, unnest(r.actions) AS action FROM touchlog.firing f JOIN touchlog.rule r ON r.rule_set = f.rule_set AND r.name = f.rule"
        " WHERE f.state IN ('fired', 'too_late')")})
    done = database.rows("SELECT outbox_id, firing_id AS firing, action FROM touchlog.delivery WHERE status = 'done'")
    assert collections.Counter((row["firing"], row["action"]) for row in done) == wanted
    tasks = collections.Counter(row["firing"] for row in database.rows("SELECT firing_id AS firing FROM touchlog.task"))
    assert tasks == collections.Counter(firing for firing, action in wanted if action == "task")
    delivered = {f"tl_{row['outbox_id']}": row["firing"] for row in done if row["action"] == "hook"}
    bodies = collections.defaultdict(set)
    for got in list(receiver.got):
        bodies[got["headers"]["webhook-id"]].add(got["body"])
    assert bodies.keys() == delivered.keys(), (len(bodies.keys() - delivered.keys()), len(delivered.keys() - bodies.keys()))
    for webhook_id, firing in delivered.items():
        (body,) = bodies[webhook_id]
        said = json.loads(body)
        assert (said["rule"], said["interaction"]["id"]) == fired[firing]
    lost = database.one("SELECT count(*) FROM touchlog.delivery WHERE status = 'lost'")
    return dict(fired=len(fired), tasks=sum(tasks.values()), hooks=len(bodies), hooks_repeated=len(receiver.got) - len(bodies), leases_lost=lost)


def expire_leases(database):
    """As if the time of all leases had come."""
    database.run("UPDATE touchlog.outbox SET next_at = now() WHERE claimed_by IS NOT NULL")


def wait_active(database, rules):
    """Until the set with these rules is in force: a daemon takes events before."""
    until(lambda: {row["name"] for row in database.rows("SELECT r.name FROM touchlog.rule r JOIN touchlog.rule_set s ON s.version = r.rule_set"
                                                        " WHERE s.active")} >= set(rules), "the rules are in force")
