# SPDX-License-Identifier: Apache-2.0
"""Two daemons and many senders at once: each event logged once, each customer once, time lines exact.
A test name is a sentence that is true when it passes."""
import http.client, json, os, random, threading

import pytest

import harness
from harness import until

SOURCES = {
    "web": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"},
    "calls": {"type": "webhook", "verify": "none", "channel": "call", "identities": "strong", "region": "NL"},
    "flood": {"type": "webhook", "verify": "none", "channel": "chat", "max_body": "4MiB"},
    "form": {"type": "webhook", "verify": "none", "channel": "form"},
}
PATIENT = {"sources": SOURCES, "spool_after": "60s"}
EVENTS, PEOPLE, BATCH = 50000, 5000, 500


@pytest.fixture
def checked(database):
    """The database with the schema tests' view of what must always hold; it is looked at when the test ends."""
    with open(os.path.join(harness.SOURCE, "tests/sql/helper.sql"), encoding="utf-8") as f:
        database.run(f.read())
    yield database
    assert database.run("SELECT t.broken()").strip() == ""


def names(database, identity):
    """The external_ids on the time line of whoever has this identity, sorted."""
    return database.run(f"SELECT t.line('{identity}')").split()


def own(database, identity):
    return database.one(f"SELECT customer_id FROM touchlog.identity WHERE value = '{identity}'")


def touched(d, source, external_id, **who):
    return d.log_event(source, {"external_id": external_id, **who})


# ---- two daemons ----

def person_event(i):
    """Event i: people have an address, most a telephone too; one in 101 events names nobody."""
    n = i % PEOPLE
    event = {"external_id": f"e-{i}", "subject": f"event {i}", "customer": {"name": f"Person {n}"}}
    if i % 101:
        event["email"] = f"p{n}@people.example"
        if n % 3:
            event["phone"] = f"+316{10000000 + n}"
    return event


class Feeder(threading.Thread):
    """Posts batches to one daemon, each until it is taken; some twice."""

    def __init__(self, d, batches, repeat):
        super().__init__()
        self.d, self.batches, self.repeat = d, batches, repeat
        self.logged = self.duplicates = 0
        self.ids, self.odd = {}, []

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.d.ports["public"], timeout=60)
        for n, batch in enumerate(self.batches):
            body = "".join(json.dumps(person_event(i)) + "\n" for i in batch)
            for _ in range(2 if n in self.repeat else 1):
                try:
                    connection.request("POST", "/in/web", body, {"Content-Type": "application/x-ndjson"})
                    a = harness.Answer(connection.getresponse())
                except (OSError, http.client.HTTPException) as e:
                    self.odd.append(e)
                    return
                if a.status != 200:
                    self.odd.append(a)
                    return
                told = a.json()
                self.logged += told["logged"]
                self.duplicates += told["duplicates"]
                for i, event_id in zip(batch, told["ids"]):
                    if self.ids.setdefault(i, event_id) != event_id:
                        self.odd.append((i, event_id))
        connection.close()


def test_two_daemons_given_the_same_50000_events_log_each_once_and_each_customer_once(checked, daemon):
    both = [daemon(PATIENT, database=checked) for _ in range(2)]
    feeders = []
    for n, d in enumerate(both):
        order = list(range(EVENTS))
        random.Random(n).shuffle(order)
        batches = [order[i:i + BATCH] for i in range(0, EVENTS, BATCH)]
        feeders += [Feeder(d, batches[half::2], repeat={3, 17}) for half in (0, 1)]
    for f in feeders:
        f.start()
    for f in feeders:
        f.join()
    assert not any(f.odd for f in feeders), [f.odd[:3] for f in feeders]
    assert sum(f.logged for f in feeders) == EVENTS
    assert sum(f.duplicates for f in feeders) == EVENTS + 8 * BATCH
    answered = [{**feeders[i].ids, **feeders[i + 1].ids} for i in (0, 2)]
    assert len(answered[0]) == EVENTS and answered[0] == answered[1], "both answer with the same id"
    assert checked.one("SELECT count(*) || ' ' || count(DISTINCT external_id) FROM touchlog.interaction") == f"{EVENTS} {EVENTS}"
    out = checked.run("SELECT external_id, id FROM touchlog.interaction")
    assert dict(line.split("|") for line in out.splitlines()) == {f"e-{i}": event_id for i, event_id in answered[0].items()}
    assert checked.one("SELECT count(*) FROM touchlog.document") == EVENTS
    # Nobody twice, nobody joined to another.
    assert checked.rows("SELECT count(*) AS n, count(DISTINCT root_id) AS roots FROM touchlog.customer") == [{"n": PEOPLE, "roots": PEOPLE}]
    assert checked.one("SELECT count(*) FROM touchlog.identity WHERE kind = 'email'") == PEOPLE
    assert checked.one("SELECT count(*) FROM touchlog.merge") == 0 == checked.one("SELECT count(*) FROM touchlog.parked")
    assert checked.one("SELECT count(*) FROM touchlog.interaction WHERE customer_id <= 0") == sum(i % 101 == 0 for i in range(EVENTS))
    assert checked.one("SELECT count(*) FROM touchlog.interaction i JOIN touchlog.identity d USING (customer_id) WHERE d.kind = 'email'"
                       " AND d.value <> 'p' || substr(i.external_id, 3)::int % 5000 || '@people.example'") == 0
    for d in both:
        counts = d.counts("web")
        assert counts["unavailable"] == counts["rejected"] == counts["waiting"] == 0


def test_people_who_turn_out_to_be_one_while_batches_are_in_flight_are_joined_once(checked, daemon):
    """Each person has two addresses and a number; which event tells that they belong together comes at random."""
    people, per_person = 150, 8
    events = []
    for n in range(people):
        for k in range(per_person):
            who = [{"email": f"a{n}@m.example"}, {"email": f"b{n}@m.example"}, {"phone": f"+316{20000000 + n}"}][k % 3]
            if k >= per_person - 2:
                who = {"identities": [{"kind": "email", "value": f"a{n}@m.example"}, {"kind": "email", "value": f"b{n}@m.example"},
                                      {"kind": "phone", "value": f"+316{20000000 + n}"}]}
            events.append({"external_id": f"m{n}-{k}", **who})
    both = [daemon(PATIENT, database=checked) for _ in range(2)]
    odd = []

    def feed(d, seed):
        rng = random.Random(seed)
        mine = rng.sample(events, len(events))
        while mine:
            n = rng.randrange(1, 40)
            a = d.post_lines("web", mine[:n])
            if a.status != 200:
                odd.append(a)
                return
            del mine[:n]

    threads = [threading.Thread(target=feed, args=(d, seed)) for seed, d in enumerate(both * 2)]
    for t in threads:
        t.start()
    # Hand-made joins and splits of other people go on meanwhile.
    for n in range(10):
        pair = [both[n % 2].log_event("web", {"email": f"{side}{n}@hand.example", "external_id": f"h{n}-{side}"})["customer_id"] for side in "ab"]
        checked.run(f"SELECT touchlog.join_by_hand({pair[0]}, {pair[1]}, NULL, 'by hand')", f"SELECT touchlog.split({pair[0]}, {pair[1]}, 'undone')")
    for t in threads:
        t.join()
    assert not odd, odd
    lines = checked.rows("SELECT i.value, string_agg(t.external_id, ' ' ORDER BY t.external_id) AS line FROM touchlog.identity i"
                         " JOIN touchlog.timeline t USING (customer_id) WHERE i.value !~ '@hand' GROUP BY i.value")
    assert len(lines) == 3 * people
    for n in range(people):
        want = " ".join(sorted(f"m{n}-{k}" for k in range(per_person)))
        mine = [row["line"] for row in lines if row["value"] in (f"a{n}@m.example", f"b{n}@m.example", f"+316{20000000 + n}")]
        assert mine == [want] * 3, n
    assert checked.one("SELECT count(*) FROM touchlog.interaction") == len(events) + 20
    assert checked.one("SELECT count(*) FROM touchlog.merge WHERE state = 'refused'") == 0


# ---- identity, as the issue tells it ----

def test_a_call_by_phone_only_and_a_later_order_with_that_phone_and_an_address_are_one_time_line(checked, daemon):
    d = daemon(PATIENT, database=checked)
    call = touched(d, "calls", "call", phone="06 1234 5678")
    order = touched(d, "web", "order", phone="+31612345678", email="caller@one.example")
    touched(d, "web", "mail", email="Caller@One.example")
    touched(d, "calls", "again", phone="0031 6 12345678")
    for identity in ("+31612345678", "caller@one.example"):
        assert sorted(names(checked, identity)) == ["again", "call", "mail", "order"]
    assert checked.one(f"SELECT customer_id FROM touchlog.interaction WHERE id = '{call['id']}'") == call["customer_id"]
    assert order["customer_id"] > 0


def test_merge_three_events_each_split_and_both_time_lines_are_exact(checked, daemon):
    d = daemon(PATIENT, database=checked)
    for side in "ab":
        touched(d, "web", f"{side}-before", email=f"{side}@split.example")
    touched(d, "web", "both", identities=[{"kind": "email", "value": f"{side}@split.example"} for side in "ab"])
    for i in range(3):
        for side in "ab":
            touched(d, "web", f"{side}-{i}", email=f"{side}@split.example")
    everything = sorted(["a-before", "b-before", "both"] + [f"{side}-{i}" for side in "ab" for i in range(3)])
    assert sorted(names(checked, "a@split.example")) == sorted(names(checked, "b@split.example")) == everything
    a, b = own(checked, "a@split.example"), own(checked, "b@split.example")
    done = d.touchlog("customer", "split", str(a), str(b))
    assert done.returncode == 0, done.stderr
    assert sorted(names(checked, "a@split.example")) == ["a-0", "a-1", "a-2", "a-before", "both"]
    assert sorted(names(checked, "b@split.example")) == ["b-0", "b-1", "b-2", "b-before"]
    # The pair is never joined again by itself.
    touched(d, "web", "both again", identities=[{"kind": "email", "value": f"{side}@split.example"} for side in "ba"])
    touched(d, "web", "a-last", email="a@split.example")
    assert "a-last" not in names(checked, "b@split.example") and "b-0" not in names(checked, "a@split.example")
    done = d.touchlog("customer", "merge", str(a), str(b))
    assert done.returncode == 0, done.stderr
    assert names(checked, "a@split.example") == names(checked, "b@split.example")
    assert {"a-last", "b-0", "both"} <= set(names(checked, "b@split.example"))


def test_three_outsiders_in_one_event_are_not_merged(checked, daemon):
    d = daemon(PATIENT, database=checked)
    row = touched(d, "web", "meeting", email="x@out.example", participants=[
        {"role": "cc", "email": "y@out.example", "phone": "+31612345679"}, {"role": "cc", "email": "z@out.example"}])
    touched(d, "web", "own", email="y@out.example")
    assert names(checked, "x@out.example") == ["meeting"] == names(checked, "z@out.example")
    assert sorted(names(checked, "y@out.example")) == ["meeting", "own"]
    assert checked.one("SELECT count(DISTINCT root_id) FROM touchlog.customer") == 3
    assert row["customer_id"] == own(checked, "x@out.example")


def test_a_public_form_joins_nobody(checked, daemon):
    d = daemon(PATIENT, database=checked)
    for who in ("victim", "attacker"):
        touched(d, "web", who, email=f"{who}@form.example")
    touched(d, "form", "both", identities=[{"kind": "email", "value": f"{who}@form.example"} for who in ("victim", "attacker")])
    touched(d, "form", "mine", identities=[{"kind": "email", "value": "victim@form.example"}, {"kind": "email", "value": "new@form.example"}])
    touched(d, "web", "later", email="new@form.example")
    assert "victim" not in names(checked, "attacker@form.example") and "attacker" not in names(checked, "victim@form.example")
    assert "later" not in names(checked, "victim@form.example")


def test_a_shared_number_does_not_make_two_people_one(checked, daemon):
    d = daemon(PATIENT, database=checked)
    touched(d, "web", "ann", email="ann@house.example", phone="+31201112233")
    touched(d, "web", "bob", email="bob@house.example", phone="+31201112233")
    assert names(checked, "ann@house.example") != names(checked, "bob@house.example")
    assert names(checked, "bob@house.example") == ["bob"]


def test_more_joins_than_merge_limit_are_recorded_reported_and_not_made(checked, daemon):
    d = daemon({**PATIENT, "merge_limit": 3}, database=checked)
    for n in range(5):
        touched(d, "web", f"l{n}", email=f"l{n}@limit.example")
    for n in range(1, 5):
        touched(d, "web", f"j{n}", identities=[{"kind": "email", "value": f"l{n - 1}@limit.example"}, {"kind": "email", "value": f"l{n}@limit.example"}])
    assert checked.one("SELECT max(n) FROM (SELECT count(*) AS n FROM touchlog.customer GROUP BY root_id) x") <= 3
    refused = checked.one("SELECT count(*) FROM touchlog.merge WHERE state = 'refused'")
    assert refused >= 1 and d.metrics()["touchlog_merges_refused_total"] == refused and d.logged("merges_refused")


# ---- fairness ----

def test_a_flood_from_one_source_does_not_delay_another(database, daemon):
    d = daemon({**PATIENT, "database": {"writers": 1}, "batch_max": 100})
    bodies = ["".join(json.dumps({"external_id": f"flood-{k}-{i}", "body": "x" * 200}) + "\n" for i in range(5000)) for k in range(2)]
    answers, single = [], []
    floods = [threading.Thread(target=lambda body=body: answers.append(d.post("flood", body, {"Content-Type": "application/x-ndjson"}))) for body in bodies]
    # A lock keeps the first batch in flight until all stand in the queue.
    with database.session("BEGIN", "LOCK TABLE touchlog.seen"):
        for t in floods:
            t.start()
        until(lambda: d.counts("flood")["received"] == 10000 and d.metrics()["touchlog_queue_events"] >= 9900, "the flood is queued")
        one = threading.Thread(target=lambda: single.append(d.post("web", {"external_id": "single"})))
        one.start()
        until(lambda: d.counts("web")["waiting"] == 1, "the single one waits behind it")
    one.join()
    assert single[0].json()["status"] == "logged"
    for t in floods:
        t.join()
    assert [a.json()["logged"] for a in answers] == [5000, 5000]
    # txid is the order of transactions: how many of the flood's came before?
    before = database.one("SELECT count(DISTINCT txid) FROM touchlog.interaction WHERE source = 'flood' AND txid <"
                          " (SELECT txid FROM touchlog.interaction WHERE external_id = 'single')")
    batches = database.one("SELECT count(DISTINCT txid) FROM touchlog.interaction WHERE source = 'flood'")
    assert before <= 3 and batches >= 100, (before, batches)
