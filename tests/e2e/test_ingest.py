# SPDX-License-Identifier: Apache-2.0
"""Posted events and what becomes of them: columns, identities, answers, duplicates, bodies, mapped sources.
A test name is a sentence that is true when it passes."""
import gzip, itertools, json, subprocess, time, uuid, zlib

import pytest

import harness
from harness import until

OPEN = {"type": "webhook", "verify": "none"}
SHOP = {
    "type": "webhook", "verify": "hmac-sha256", "header": "X-Shop-Signature", "secret": "plain:shop secret", "region": "NL",
    "map": {
        "external_id": "/event/id", "kind": "/event/type", "occurred_at": "/event/created",
        "email": ["/buyer/email", "/buyer/contact/mail"], "phone": "/buyer/phone", "amount": "/total", "channel": "=web",
        "external.shop": "/buyer/id", "social.mastodon": "/buyer/toot", "customer.name": "/buyer/name",
        "attributes.voucher": "/discount/code", "attributes.place.city": "/buyer/city",
    },
    "translate": {"kind": {"order.paid": "purchase", "order.refunded": "refund"}},
}
SOURCES = {
    "any": {**OPEN, "identities": "strong"},
    "typed": {**OPEN, "channel": "call", "direction": "out", "brand": "Acme", "region": "NL"},
    "web": {**OPEN, "channel": "web"},
    "known": {**OPEN, "channel": "web", "identities": "strong"},
    "crm": {**OPEN, "channel": "other", "identities": "strong", "profile": "trusted"},
    "forgetful": {**OPEN, "channel": "web", "keep_payload": "none"},
    "by_body": {**OPEN, "channel": "web", "dedupe": "body"},
    "undeduped": {**OPEN, "channel": "web", "dedupe": "none"},
    "old_name": {**OPEN, "channel": "web"},
    "small": {**OPEN, "channel": "web", "max_body": "64KiB"},
    "slow": {**OPEN, "channel": "web", "rate": 3},
    "closed": {**OPEN, "channel": "web", "paused": True},
    "shop": SHOP,
}
number = itertools.count(1)


def fresh(prefix="e"):
    """A text that no other test has."""
    return f"{prefix}-{next(number)}"


@pytest.fixture(scope="module")
def house(cluster, tmp_path_factory):
    """One daemon with many sources, for all tests here that do not stop it."""
    database = cluster.fresh()
    config = {"sources": SOURCES, "own": ["@example.com", "+31201234567", "desk@partner.example"]}
    with harness.Daemon(database, config, tmp_path_factory.mktemp("house")) as d:
        yield d
    database.drop()


def at(event_id):
    """The millisecond in a UUIDv7."""
    return int(event_id.replace("-", "")[:12], 16)


def plus(event_id, n):
    return str(uuid.UUID(int=uuid.UUID(event_id).int + n))


def shop_post(house, event, headers=None):
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return house.post("shop", body, {"X-Shop-Signature": harness.hmac_hex("shop secret", body), **(headers or {})})


def is_problem(a, status):
    """RFC 9457, and complete."""
    assert a.status == status and a.headers["content-type"] == "application/problem+json", a
    problem = a.json()
    assert problem["status"] == status and problem["title"] and problem["detail"] and problem["type"], a
    assert uuid.UUID(a.headers["x-request-id"]).version == 7
    return problem


# ---- columns ----

def test_every_column_of_a_canonical_event_lands_in_its_own(house):
    event = {
        "channel": "call", "direction": "out", "kind": "call", "external_id": fresh(), "thread": "t-1", "agent": "anna",
        "subject": "Sübject \U0001f600", "body": "line one\nline \"two\"", "outcome": "answered",
        "occurred_at": "2026-01-02T04:04:05.25+01:00", "duration": 95, "wait": "PT7.5S", "amount": "-12.3456",
        "currency": "eur", "score": 9, "campaign": "spring", "brand": "Acme",
        "attributes": {"coupon": "X1", "items": [{"sku": "a/b", "quantity": 2, "price": 1.50}]},
        "odd": {"deep": [1, None, True]}, "nothing": None,
    }
    row = house.log_event("any", event)
    want = {
        "channel": "call", "direction": "out", "kind": "call", "external_id": event["external_id"], "thread": "t-1",
        "agent": "anna", "subject": event["subject"], "body": event["body"], "outcome": "answered",
        "occurred_at": 1767323045.25, "duration": "00:01:35", "wait": "00:00:07.5", "amount": -12.3456,
        "currency": "EUR", "score": 9, "campaign": "spring", "brand": "Acme", "source": "any", "customer_id": 0,
        "attributes": {"coupon": "X1", "items": [{"sku": "a/b", "quantity": 2, "price": 1.5}],
                       "odd": {"deep": [1, None, True]}, "nothing": None},
    }
    assert {k: row[k] for k in want} == want
    assert house.database.one(f"SELECT payload FROM touchlog.document WHERE id = '{row['id']}'") == event
    assert house.database.one(f"SELECT txid > 0 AND received_at = touchlog.at(id) FROM touchlog.interaction WHERE id = '{row['id']}'")


def test_what_an_event_does_not_say_is_null_or_the_default(house):
    row = house.log_event("any", {"channel": "other"})
    assert (row["kind"], row["direction"], row["attributes"], row["customer_id"]) == ("message", "in", {}, 0)
    assert row["occurred_at"] == row["received_at"]
    for column in ("external_id", "thread", "agent", "subject", "body", "outcome", "duration", "wait", "amount",
                   "currency", "score", "campaign", "brand"):
        assert row[column] is None, column


def test_a_null_member_is_as_if_it_were_not_there(house):
    names = ("direction", "kind", "external_id", "thread", "agent", "subject", "body", "outcome", "occurred_at", "duration",
             "wait", "amount", "currency", "score", "campaign", "brand", "attributes", "identities", "email", "phone",
             "anonymous", "external", "social", "customer", "participants")
    row = house.log_event("any", {"channel": "web", **dict.fromkeys(names)})
    assert (row["kind"], row["direction"], row["attributes"], row["customer_id"]) == ("message", "in", {}, 0)


SPELLINGS = [
    ("occurred_at", "2026-01-02T03:04:05Z", 1767323045), ("occurred_at", "2026-01-02t03:04:05.5z", 1767323045.5),
    ("occurred_at", "2026-01-02T03:04:05-07:30", 1767350045), ("occurred_at", 1767323045, 1767323045),
    ("occurred_at", "1767323045", 1767323045), ("occurred_at", 1767323045.25, 1767323045.25),
    ("occurred_at", 1767323045250, 1767323045.25), ("occurred_at", 100000000000, 100000000),
    ("occurred_at", "Fri, 02 Jan 2026 04:04:05 +0100 (CET)", 1767323045), ("occurred_at", "2 Jan 2026 03:04 GMT", 1767323040),
    ("duration", 0, "00:00:00"), ("duration", "95", "00:01:35"), ("duration", 1.5, "00:00:01.5"),
    ("duration", "PT1M30S", "00:01:30"), ("duration", "P1DT2H", "1 day 02:00:00"), ("wait", "P2W", "14 days"),
    ("amount", 19.95, 19.95), ("amount", "1.5e2", 150), ("amount", -0.00005, -0.0001), ("amount", "0.00004", 0),
    ("amount", 99999999999999, 99999999999999), ("amount", "99999999999999.9999", 99999999999999.9999), ("amount", "-99999999999999.9999", -99999999999999.9999),
    ("currency", " usd ", "USD"), ("score", "7", 7), ("score", -100, -100), ("score", 0, 0),
    ("subject", 42, "42"), ("subject", True, "true"), ("body", 1.50, "1.5"), ("kind", "", "message"),
    ("external_id", 12345678901234567890123, "12345678901234567890123"), ("external_id", "", None),
]


@pytest.mark.parametrize("member, sent, column", SPELLINGS, ids=[f"{m}={s}" for m, s, _ in SPELLINGS])
def test_a_value_is_read_in_each_of_its_spellings(house, member, sent, column):
    assert house.log_event("any", {"channel": "web", member: sent})[member] == column


MISFITS = [
    ("channel", "pigeon"), ("channel", ""), ("direction", "sideways"), ("occurred_at", "yesterday"),
    ("occurred_at", "2026-02-30T00:00:00Z"), ("occurred_at", "2026-01-02T03:04:05"), ("occurred_at", 1e30),
    ("duration", -5), ("duration", "-PT5S"), ("duration", "five"), ("duration", "P"), ("wait", "1e400"), ("amount", "12,50"),
    ("amount", 100000000000000), ("amount", "NaN"), ("amount", True), ("amount", "1e400"), ("currency", "EURO"),
    ("currency", "€"), ("score", 101), ("score", 1.5), ("score", "good"), ("kind", "k" * 129), ("outcome", "o" * 129),
    ("external_id", "x" * 513), ("thread", "x" * 513), ("thread", "é" * 257), ("agent", "a" * 513), ("subject", {}),
    ("body", ["a"]), ("attributes", []), ("identities", {}), ("identities", ["a@b.example"]), ("identities", [{"kind": "email"}]),
    ("identities", [{"kind": "fax", "value": "1"}]), ("identities", [{"kind": "external", "value": "1"}]),
    ("identities", [{"kind": "external:", "value": "1"}]), ("identities", [{"kind": "external:a b", "value": "1"}]),
    ("identities", [{"kind": "email", "value": ["a"]}]), ("external", "x"), ("social", []), ("customer", "Ann"),
    ("customer", {"name": {}}), ("participants", {}), ("participants", ["x"]), ("email", {}), ("phone", ["+31"]),
    ("participants", [{"role": "cc", "email": f"p{i}@p.example"} for i in range(101)]),
    ("identities", [{"kind": "anonymous", "value": f"many-{i}"} for i in range(17)]),
]


@pytest.mark.parametrize("member, sent", MISFITS, ids=[f"{m}={str(s)[:40]}" for m, s in MISFITS])
def test_a_canonical_event_that_does_not_fit_is_given_back_with_the_member_named(house, member, sent):
    external_id = fresh()
    a = house.post("any", {"channel": "web", "external_id": external_id, member: sent})
    detail = is_problem(a, 422)["detail"]
    assert member in detail or member == "participants" and "parties" in detail, detail
    assert house.database.one(f"SELECT count(*) FROM touchlog.interaction WHERE external_id = '{external_id}'") == 0
    assert house.database.one("SELECT count(*) FROM touchlog.parked WHERE source = 'any'") == 0


@pytest.mark.parametrize("body", ('"text"', "17", "null", "true"))
def test_an_event_is_an_object(house, body):
    assert "object" in is_problem(house.post("any", body), 422)["detail"]


def test_a_channel_is_required_unless_the_source_has_one(house):
    assert "channel" in is_problem(house.post("any", {}), 422)["detail"]
    assert house.log_event("web", {})["channel"] == "web"


def test_the_source_says_channel_direction_brand_and_region_where_the_event_does_not(house):
    number = "020 794 0000"
    row = house.log_event("typed", {"phone": number})
    assert (row["channel"], row["direction"], row["brand"]) == ("call", "out", "Acme")
    assert house.database.rows("SELECT kind, received_as FROM touchlog.identity WHERE value = '+31207940000'") == [
        {"kind": "phone", "received_as": number}]
    row = house.log_event("typed", {"channel": "sms", "direction": "internal", "brand": "Other"})
    assert (row["channel"], row["direction"], row["brand"]) == ("sms", "internal", "Other")


def test_received_at_is_the_millisecond_of_the_id_and_now(house):
    before = int(time.time() * 1000)
    row = house.log_event("web", {})
    assert row["received_at"] == at(row["id"]) / 1000
    assert before <= at(row["id"]) <= time.time() * 1000


def test_a_time_more_than_a_day_ahead_is_replaced_and_kept_in_attributes(house):
    soon, far = int(time.time()) + 80000, int(time.time()) + 90000
    row = house.log_event("web", {"occurred_at": soon})
    assert (row["occurred_at"], row["attributes"]) == (soon, {})
    row = house.log_event("web", {"occurred_at": far, "x": 1})
    assert row["occurred_at"] == row["received_at"] and row["attributes"] == {"occurred_at": str(far), "x": 1}
    row = house.log_event("web", {"occurred_at": "9999-12-31T23:59:59Z"})
    assert row["occurred_at"] == row["received_at"] and row["attributes"] == {"occurred_at": "9999-12-31T23:59:59Z"}


@pytest.mark.parametrize("member, most", (("subject", 2048), ("body", 256 * 1024)))
def test_what_people_read_is_cut_at_its_limit_between_characters_and_the_original_kept(house, member, most):
    fits = "x" * most
    row = house.log_event("any", {"channel": "web", member: fits})
    assert row[member] == fits and row["attributes"] == {}
    long = "x" + "€" * (most // 2)
    row = house.log_event("any", {"channel": "web", member: long})
    assert row[member] == "x" + "€" * ((most - 1) // 3) and row["attributes"] == {"cut": [member]}
    assert house.database.one(f"SELECT payload->>'{member}' FROM touchlog.document WHERE id = '{row['id']}'") == long


@pytest.mark.parametrize("member", ("external_id", "thread", "agent"))
def test_what_identifies_is_taken_up_to_512_bytes(house, member):
    value = (fresh(member) + "x" * 512)[:512]
    assert house.log_event("any", {"channel": "web", member: value})[member] == value


def test_keep_payload_none_keeps_no_original(house):
    row = house.log_event("forgetful", {"subject": "s"})
    assert row["subject"] == "s"
    assert house.database.one(f"SELECT count(*) FROM touchlog.document WHERE id = '{row['id']}'") == 0


def test_the_original_is_the_item_as_it_was_sent(house):
    a = house.post("web", b' [ {"a":1.50,"a":2.50,"n":1e4} , {"b":12345678901234567890123} ] ')
    first, second = (house.database.one(f"SELECT payload::text FROM touchlog.document WHERE id = '{i}'") for i in a.json()["ids"])
    assert first == '{"a": 2.50, "n": 10000}' and second == '{"b": 12345678901234567890123}'


# ---- identities, profile, participants ----

def identities(house, row):
    """(kind, value, strong, received_as) of the event's own customer."""
    return {tuple(r.values()) for r in house.database.rows(
        f"SELECT kind, value, strong, received_as FROM touchlog.identity WHERE customer_id = {row['customer_id']}")}


def test_shorthands_and_the_list_of_identities_come_to_the_same(house):
    n = next(number)
    row = house.log_event("known", {
        "email": f"Ann{n}@Shöp.Example", "phone": "+31 6 1234 5678", "anonymous": f"cookie-{n}",
        "external": {"CRM": f"c-{n}", "erp": n}, "social": {"mastodon": f"@ann{n}"}})
    want = {
        ("email", f"ann{n}@xn--shp-tna.example", True, f"Ann{n}@Shöp.Example"), ("phone", "+31612345678", False, "+31 6 1234 5678"),
        ("anonymous", f"cookie-{n}", False, None), ("external:crm", f"c-{n}", True, None), ("external:erp", str(n), True, None),
        ("social:mastodon", f"@ann{n}", False, None),
    }
    assert row["customer_id"] > 0 and identities(house, row) == want
    again = house.log_event("known", {"identities": [{"kind": k, "value": v} for k, v, _, _ in want]})
    assert again["customer_id"] == row["customer_id"] and identities(house, again) == want


def test_identities_of_a_source_anybody_may_post_to_are_weak(house):
    n = next(number)
    row = house.log_event("web", {"email": f"weak{n}@w.example", "external": {"crm": f"w-{n}"}})
    assert {strong for _, _, strong, _ in identities(house, row)} == {False}


def test_a_role_address_is_weak(house):
    row = house.log_event("known", {"email": f"info@r{next(number)}.example"})
    assert {strong for _, _, strong, _ in identities(house, row)} == {False}


@pytest.mark.parametrize("who", (
    {"email": "null"}, {"email": "test@test.com"}, {"email": "undefined"}, {"phone": "0"}, {"phone": "0000000000"},
    {"external": {"crm": "null"}}, {"external": {"crm": "0"}}, {"external": {"crm": "00000000-0000-0000-0000-000000000000"}},
    {"anonymous": "undefined"}, {"anonymous": ""}, {"anonymous": "  "}, {"email": "{{contact.email}}"}, {"phone": "anonymous"},
    {"email": "any.one@example.com"}, {"phone": "+31201234567"}, {"email": "Desk@Partner.Example"}), ids=str)
def test_junk_and_our_own_addresses_are_nobody(house, who):
    row = house.log_event("known", {"phone" if "phone" not in who else "email": None, **who})
    assert row["customer_id"] == 0 and row["attributes"] == {}


@pytest.mark.parametrize("kind, value", (
    ("email", "no address"), ("phone", "12"), ("phone", "call me"), ("email", "x" * 513 + "@e.example"),
    ("anonymous", "x" * 513), ("external:crm", "x" * 513)))
def test_an_identity_that_cannot_be_read_is_kept_in_attributes(house, kind, value):
    row = house.log_event("known", {"identities": [{"kind": kind, "value": value}], "x": 1})
    assert row["customer_id"] == 0
    assert row["attributes"] == {"x": 1, "unreadable_identities": [{"kind": kind, "value": value}]}


def customer(house, row):
    (c,) = house.database.rows(f"SELECT kind, name, language, time_zone, address, attributes FROM touchlog.customer WHERE id = {row['customer_id']}")
    return c


def test_a_profile_is_filled_where_empty_and_replaced_only_by_a_trusted_source(house):
    who = {"email": f"{fresh('profile')}@p.example"}
    first = house.log_event("known", {**who, "customer": {"name": "Ann", "address": {"city": "Delft"}, "vat": 7, "language": None}})
    want = {"kind": "person", "name": "Ann", "language": None, "time_zone": None, "address": {"city": "Delft"}, "attributes": {"vat": 7}}
    assert customer(house, first) == want
    house.log_event("known", {**who, "customer": {"name": "Bob", "language": "nl", "address": {"city": "Gouda"}, "vat": 8}})
    assert customer(house, first) == {**want, "language": "nl"}
    house.log_event("crm", {**who, "customer": {"name": "Cleo", "kind": "organisation", "vat": 9, "time_zone": "Europe/Amsterdam"}})
    assert customer(house, first) == {**want, "kind": "organisation", "name": "Cleo", "language": "nl",
                                      "time_zone": "Europe/Amsterdam", "attributes": {"vat": 9}}


def participants(house, row):
    return [tuple(r.values()) for r in house.database.rows(
        "SELECT p.role, c.name, i.value FROM touchlog.participant p JOIN touchlog.customer c ON c.id = p.customer_id"
        f" JOIN touchlog.identity i ON i.customer_id = c.id WHERE p.interaction_id = '{row['id']}' AND p.received_at ="
        f" to_timestamp({row['received_at']}) AND p.interaction_customer_id = {row['customer_id']} ORDER BY i.value")]


def test_participants_have_roles_names_and_customers_of_their_own(house):
    n = next(number)
    row = house.log_event("known", {"email": f"a{n}@p.example", "participants": [
        {"role": "cc", "name": "Bo", "email": f"b{n}@p.example", "odd": 1}, {"external": {"crm": f"c-{n}"}, "customer": {"name": "Cy"}},
        {"role": "bcc", "identities": [{"kind": "email", "value": f"d{n}@p.example"}]},
        {"role": "cc", "name": "Nobody"}, {"role": "cc", "email": "us@example.com"}]})
    assert participants(house, row) == [("cc", "Bo", f"b{n}@p.example"), ("participant", "Cy", f"c-{n}"), ("bcc", None, f"d{n}@p.example")]
    assert identities(house, row) == {("email", f"a{n}@p.example", True, None)}
    line = house.database.rows("SELECT t.role, t.id FROM touchlog.timeline t JOIN touchlog.identity i USING (customer_id)"
                               f" WHERE i.value = 'd{n}@p.example'")
    assert line == [{"role": "bcc", "id": row["id"]}]


def test_an_event_with_participants_only_has_no_customer(house):
    n = next(number)
    row = house.log_event("known", {"participants": [{"role": "cc", "email": f"only{n}@p.example"}]})
    assert row["customer_id"] == 0 and participants(house, row) == [("cc", None, f"only{n}@p.example")]


def test_parties_of_one_event_are_not_joined(house):
    n = next(number)
    row = house.log_event("known", {"email": f"x{n}@p.example", "participants": [
        {"role": "cc", "email": f"y{n}@p.example"}, {"role": "cc", "email": f"z{n}@p.example"}]})
    roots = house.database.rows(f"SELECT DISTINCT c.root_id FROM touchlog.identity i JOIN touchlog.customer c ON c.id = i.customer_id"
                                f" WHERE i.value IN ('x{n}@p.example', 'y{n}@p.example', 'z{n}@p.example')")
    assert len(roots) == 3 and row["customer_id"] > 0


# ---- answers ----

def test_one_event_is_answered_with_its_id_which_is_the_requests_id(house):
    a = house.post("web", {"external_id": fresh()})
    assert a.status == 200 and a.headers["content-type"] == "application/json"
    assert a.json() == {"id": a.headers["x-request-id"], "status": "logged"}
    assert uuid.UUID(a.json()["id"]).version == 7


@pytest.mark.parametrize("form", ("array", "x-ndjson", "jsonl"))
def test_several_events_are_answered_in_the_plural_and_item_i_has_id_plus_i(house, form):
    events = [{"external_id": fresh()} for _ in range(3)]
    a = house.post("web", events) if form == "array" else house.post_lines("web", events, {"Content-Type": f"application/{form}"})
    ids = [plus(a.headers["x-request-id"], i) for i in range(3)]
    assert a.status == 200
    assert a.json() == {"logged": 3, "duplicates": 0, "spooled": 0, "parked": 0, "rejected": [], "ids": ids}
    for event, i in zip(events, ids):
        assert house.row(i)["external_id"] == event["external_id"]


@pytest.mark.parametrize("body, kind", ((b'[{"external_id":"%s"}]', "json"), (b'{"external_id":"%s"}', "x-ndjson")))
def test_an_array_or_line_of_one_is_answered_in_the_plural_too(house, body, kind):
    a = house.post("web", body % fresh().encode(), {"Content-Type": f"application/{kind}"})
    assert a.json() == {"logged": 1, "duplicates": 0, "spooled": 0, "parked": 0, "rejected": [], "ids": [a.headers["x-request-id"]]}


@pytest.mark.parametrize("body, kind", ((b"[]", "json"), (b" [ \n ] ", "json"), (b"", "x-ndjson"), (b"\n \r\n\n", "x-ndjson")))
def test_an_empty_batch_is_200_with_zeros(house, body, kind):
    a = house.post("web", body, {"Content-Type": f"application/{kind}"})
    assert a.status == 200
    assert a.json() == {"logged": 0, "duplicates": 0, "spooled": 0, "parked": 0, "rejected": [], "ids": []}


def test_events_without_anything_to_be_known_by_are_logged_and_the_answer_says_so(house):
    a = house.post("web", {"subject": "x"})
    assert a.json() == {"id": a.headers["x-request-id"], "status": "logged", "dedupe": "none"}
    assert house.post("web", {"subject": "x"}).json()["status"] == "logged"
    a = house.post("web", [{"external_id": fresh()}, {"subject": "x"}])
    assert a.json()["dedupe"] == "none" and a.json()["logged"] == 2
    assert "dedupe" not in house.post("web", [{"external_id": fresh()}]).json()
    assert house.post("web", {"external_id": ""}).json()["dedupe"] == "none"


def test_a_mixed_batch_logs_the_good_and_tells_the_index_of_the_bad(house):
    good = [{"external_id": fresh()} for _ in range(2)]
    house.post("web", good[0])
    a = house.post("web", [good[0], {"score": 1000}, good[1], 5, good[1]])
    first = a.headers["x-request-id"]
    assert a.status == 200
    told = a.json()
    assert [r["index"] for r in told["rejected"]] == [1, 3] and "score" in told["rejected"][0]["detail"]
    assert (told["logged"], told["duplicates"]) == (1, 2)
    assert told["ids"][1] is None and told["ids"][3] is None
    assert told["ids"][2] == told["ids"][4] == plus(first, 2) and told["ids"][0] != first


def test_lines_are_counted_without_the_blank_ones_and_a_broken_line_fails_alone(house):
    lines = [b"", b"  ", b'{"external_id":"%s"}' % fresh().encode(), b"\r", b'{"external_id":', b"", b'{"external_id":"%s"}\r' % fresh().encode()]
    a = house.post("web", b"\n".join(lines), {"Content-Type": "application/x-ndjson"})
    told = a.json()
    assert a.status == 200 and told["logged"] == 2 and [r["index"] for r in told["rejected"]] == [1], told
    assert told["ids"] == [a.headers["x-request-id"], None, plus(a.headers["x-request-id"], 2)]


@pytest.mark.parametrize("form", ("array", "lines"))
def test_a_batch_of_which_all_was_rejected_is_422(house, form):
    events = [{"score": "a"}, {"amount": "b"}]
    a = house.post("web", events) if form == "array" else house.post_lines("web", events)
    problem = is_problem(a, 422)
    assert [r["index"] for r in problem["rejected"]] == [0, 1] and problem["ids"] == [None, None] and problem["logged"] == 0


@pytest.mark.parametrize("tail", (b"", b",", b',{"a":', b"]]", b'] "x"', b",{a:1}]", b",]", b' {"b":1}]', b"}", b',{"a":1 "b":2}]', b",nul]", b",[1,2}]"))
def test_an_array_that_is_not_json_is_400_and_nothing_of_it_is_logged(house, tail):
    external_id = fresh()
    a = house.post("web", b'[{"external_id":"%s"}' % external_id.encode() + tail)
    is_problem(a, 400)
    assert house.database.one(f"SELECT count(*) FROM touchlog.seen WHERE id = '{a.headers['x-request-id']}'") == 0
    assert house.database.one(f"SELECT count(*) FROM touchlog.interaction WHERE external_id = '{external_id}'") == 0


@pytest.mark.parametrize("body", (b"", b"  ", b"{", b"{}{}", b"{'a':1}", b"abc", b'{"a":01}', b'{"a":NaN}', b'{"a":1,}', b"\xef\xbb\xbf{}", b'{"a":1}\0'))
def test_a_body_that_is_not_json_is_400(house, body):
    is_problem(house.post("web", body), 400)


def test_more_events_than_a_request_may_carry_are_413_and_none_is_logged(house):
    external_id = fresh()
    a = house.post_lines("web", [{"external_id": external_id}] + [{}] * 10000)
    is_problem(a, 413)
    assert house.database.one(f"SELECT count(*) FROM touchlog.interaction WHERE external_id = '{external_id}'") == 0


# ---- duplicates ----

def answered(a):
    return a.json()["status"], a.json()["id"]


def test_a_retried_event_is_a_duplicate_with_the_first_ones_id_and_changes_nobody(house):
    event = {"external_id": fresh(), "email": f"{fresh()}@d.example", "customer": {"name": "Ann"}}
    first = house.log_event("known", event)
    a = house.post("known", {**event, "email": f"{fresh('other')}@d.example", "subject": "changed"})
    assert a.status == 200 and a.json() == {"id": first["id"], "status": "duplicate"} and a.headers["x-request-id"] != first["id"]
    assert house.row(first["id"]) == first
    assert house.database.one("SELECT count(*) FROM touchlog.identity WHERE value LIKE 'other-%@d.example'") == 0
    assert house.counts("known")["duplicates"] >= 1


def test_the_same_external_id_of_another_source_is_another_event(house):
    event = {"external_id": fresh()}
    assert answered(house.post("web", event))[0] == answered(house.post("known", event))[0] == "logged"


@pytest.mark.parametrize("headers, event, other", (
    ({"Idempotency-Key": "k-one"}, {"subject": "a"}, {"subject": "b"}),
    ({}, {"occurred_at": "2026-01-02T03:04:05Z", "subject": "same bytes"}, None),
    ({"Idempotency-Key": "k-weaker"}, {"external_id": "stronger than a key"}, None)), ids=("key", "bytes", "external_id"))
def test_a_single_event_is_known_by_external_id_or_key_or_bytes(house, headers, event, other):
    a = house.post("web", event, headers)
    assert a.json() == {"id": a.headers["x-request-id"], "status": "logged"}
    assert answered(house.post("web", other or event, headers)) == ("duplicate", a.json()["id"])


def test_without_external_id_or_key_other_bytes_are_another_event(house):
    event = {"occurred_at": "2026-01-02T03:04:05Z", "subject": fresh()}
    assert answered(house.post("web", json.dumps(event)))[0] == "logged"
    assert answered(house.post("web", json.dumps(event, indent=1)))[0] == "logged"
    assert answered(house.post("web", " " + json.dumps(event) + "\n"))[0] == "duplicate"


def test_an_idempotency_key_counts_for_each_item_of_a_batch(house):
    headers = {"Idempotency-Key": fresh()}
    first = house.post("web", [{"subject": "a"}, {"subject": "a"}, {"external_id": fresh()}], headers).json()
    assert first["logged"] == 3 and "dedupe" not in first
    again = house.post("web", [{"subject": "x"}, {"subject": "y"}, {"subject": "z"}], headers).json()
    assert (again["logged"], again["duplicates"]) == (1, 2) and again["ids"][:2] == first["ids"][:2]


@pytest.mark.parametrize("value", ("", " "))
def test_an_empty_idempotency_key_is_none(house, value):
    answers = [house.post("web", {"subject": fresh()}, {"Idempotency-Key": value}).json() for _ in range(2)]
    assert [a["status"] for a in answers] == ["logged", "logged"] and answers[0]["dedupe"] == "none"


def test_dedupe_body_goes_by_the_bytes_whatever_the_ids_say(house):
    external_id = fresh()
    first = house.post("by_body", {"external_id": external_id, "n": 1})
    assert answered(house.post("by_body", {"external_id": external_id, "n": 2}, {"Idempotency-Key": "a"}))[0] == "logged"
    assert answered(house.post("by_body", {"external_id": external_id, "n": 1}, {"Idempotency-Key": "b"})) == ("duplicate", first.json()["id"])


def test_dedupe_none_logs_each_and_says_so(house):
    event = {"external_id": fresh(), "occurred_at": "2026-01-02T03:04:05Z"}
    for _ in range(2):
        a = house.post("undeduped", event, {"Idempotency-Key": "k"})
        assert a.json() == {"id": a.headers["x-request-id"], "status": "logged", "dedupe": "none"}


def test_a_renamed_source_knows_the_events_of_its_former_names(house):
    event = {"external_id": fresh()}
    first = house.post("old_name", event).json()["id"]
    sources = {**SOURCES, "new_name": {**SOURCES["old_name"], "was": "old_name"}}
    del sources["old_name"]
    try:
        assert house.reload({**house.given, "sources": sources})
        assert answered(house.post("new_name", event)) == ("duplicate", first)
        second = house.post("new_name", {"external_id": "second"}).json()["id"]
        sources["third_name"] = {**sources.pop("new_name"), "was": ["old_name", "new_name"]}
        assert house.reload({**house.given, "sources": sources})
        assert answered(house.post("third_name", event)) == ("duplicate", first)
        assert answered(house.post("third_name", {"external_id": "second"})) == ("duplicate", second)
    finally:
        assert house.reload({**house.given, "sources": SOURCES})


@pytest.mark.parametrize("was, words", (({"a": ["old"], "b": ["x", "old"]}, "the former name of a too"),
                                        ({"a": ["b"], "b": []}, "b is a source by itself")))
def test_two_sources_cannot_have_one_former_name(daemon, was, words):
    """They would take each other's events for duplicates."""
    d = daemon(sources=(good := {"a": {"type": "webhook", "verify": "none"}}))
    assert not d.reload({"sources": {name: {**good["a"], "was": names} for name, names in was.items()}})
    assert words in d.logged("config_error")[0]["error"]
    d.errors_expected = {"config_error"}


# ---- bodies ----

def raw_deflate(data):
    c = zlib.compressobj(wbits=-15)
    return c.compress(data) + c.flush()


@pytest.mark.parametrize("coding, pack", (
    ("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate),
    ("identity", bytes), ("gzip", lambda b: gzip.compress(b[:5]) + gzip.compress(b[5:]))))
def test_a_packed_body_is_unpacked(house, coding, pack):
    event = {"external_id": fresh(), "subject": "packed"}
    a = house.post("web", pack(json.dumps(event).encode()), {"Content-Encoding": coding})
    assert a.status == 200 and house.row(a.json()["id"])["subject"] == "packed"


@pytest.mark.parametrize("coding, body", (
    ("gzip", gzip.compress(b'{"subject":"x"}')[:-3]), ("gzip", gzip.compress(b'{"subject":"x"}') + b"tail"), ("gzip", b'{"subject":"x"}'),
    ("gzip", b""), ("deflate", b"\xff\xff\xff"), ("deflate", zlib.compress(b'{"subject":"x"}')[:-1] + b"\0"),
    ("gzip", gzip.compress(b'{"subject":"x"}')[:-6] + b"\0\0\0\0\0\0")))
def test_a_damaged_packed_body_is_400(house, coding, body):
    is_problem(house.post("web", body, {"Content-Encoding": coding}), 400)


@pytest.mark.parametrize("coding", ("br", "zstd", "gzip, gzip", "gzip;q=1", "chunked"))
def test_another_coding_is_415(house, coding):
    is_problem(house.post("web", b"{}", {"Content-Encoding": coding}), 415)


@pytest.mark.parametrize("pack", (gzip.compress, zlib.compress), ids=("gzip", "deflate"))
def test_a_bomb_is_413_and_costs_no_memory(house, pack):
    bomb = pack(b"[" + b" " * (40 << 20) + b"]")
    before = house.rss_kb()
    for _ in range(3):
        is_problem(house.post("any", bomb, {"Content-Encoding": "gzip" if pack is gzip.compress else "deflate"}), 413)
    assert house.rss_kb() - before < 50000
    fits = pack(b"[" + b" " * (1 << 20) + b"]")
    is_problem(house.post("web", fits, {"Content-Encoding": "gzip" if pack is gzip.compress else "deflate"}), 413)


@pytest.mark.parametrize("kind", ("application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"',
                                  "application/vnd.shop.v2+json", "text/json", "application/cloudevents+json; a=b", ""))
def test_json_is_known_by_its_types(house, kind):
    assert house.post("web", {}, {"Content-Type": kind}).status == 200


@pytest.mark.parametrize("kind", ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
                                  "application/json; charset=iso-8859-1", "application/x-ndjson; charset=utf-16", "json", "+json",
                                  "application/jsonx", "application/json-seq"))
def test_another_type_or_charset_is_415(house, kind):
    is_problem(house.post("web", {}, {"Content-Type": kind}), 415)


def test_lines_are_read_only_where_the_type_says_so(house):
    is_problem(house.post("web", b'{"a":1}\n{"a":2}\n'), 400)


# ---- refusals ----

@pytest.mark.parametrize("method", ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"))
def test_another_method_is_405_and_told_what_is_allowed(house, method):
    a = harness.request(house.ports["public"], method, "/in/web")
    assert (a.status, a.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        is_problem(a, 405)


@pytest.mark.parametrize("path", ("/in/nobody", "/in/", "/in", "/", "/in/WEB", "/in/web%00", "/in/%77eb", "/in/../in/web", "//in/web",
                                  "/in/web/deeper", "/in/closed/x", "/readyz", "/metrics", "/status", "/healthz"))
def test_what_the_listener_does_not_serve_is_404(house, path):
    a = harness.request(house.ports["public"], "POST", path, b"{}", {"Content-Type": "application/json"})
    is_problem(a, 404)


def test_the_ops_listener_takes_no_events(house):
    is_problem(house.post("web", {}, listener="ops"), 404)


def test_a_paused_source_is_503_with_retry_after(house):
    a = house.post("closed", {"external_id": fresh()})
    is_problem(a, 503)
    assert int(a.headers["retry-after"]) > 0
    assert house.counts("closed")["paused"] is True


def test_more_than_the_rate_is_429_with_retry_after_and_passes_later(house):
    def post():
        return house.post("slow", {"external_id": fresh()})

    answers = [post() for _ in range(10)]
    assert {a.status for a in answers} == {200, 429} and sum(a.status == 200 for a in answers) <= 6
    refused = next(a for a in answers if a.status == 429)
    is_problem(refused, 429)
    assert int(refused.headers["retry-after"]) > 0
    until(lambda: post().status == 200, "the bucket fills again")
    assert house.counts("slow")["refusals"][0]["check"] == "rate"


@pytest.mark.parametrize("announced", (True, False), ids=("Content-Length", "chunked"))
def test_a_body_over_max_body_is_413(house, announced):
    fits, large = (b'{"subject":"%s"}' % (b"x" * n) for n in (64000, 66000))
    assert house.post("small", fits).status == 200
    if announced:
        is_problem(house.post("small", large), 413)
    else:
        is_problem(harness.request(house.ports["public"], "POST", "/in/small", iter([large[:60000], large[60000:]]),
                                   {"Content-Type": "application/json"}), 413)
    until(lambda: house.counts("small")["refusals"][0]["check"] == "too_large", "the refusal is told")


def test_a_chunked_body_is_accepted(house):
    pieces = [b'{"external_id":"', fresh().encode(), b'"}']
    a = harness.request(house.ports["public"], "POST", "/in/web", iter(pieces), {"Content-Type": "application/json"})
    assert a.status == 200 and a.json()["status"] == "logged"


# ---- a mapped source ----

def order(external_id, **more):
    return {"event": {"id": external_id, "type": "order.paid", "created": "2026-01-02T03:04:05Z"}, "total": "19.95", **more}


def parked(house, key_id):
    (row,) = house.database.rows("SELECT id, source, convert_from(raw, 'UTF8') AS raw, content_type, reason, sqlstate, attempts, state"
                                 f" FROM touchlog.parked WHERE id = '{key_id}'")
    return row


def test_a_foreign_document_is_mapped_translated_and_tied_to_its_customer(house):
    n = next(number)
    a = shop_post(house, order(f"o-{n}", buyer={
        "contact": {"mail": f"b{n}@s.example"}, "phone": "06 1234 5679", "id": n, "toot": f"@b{n}", "name": "Bo", "city": "Delft"},
        discount={"code": "TEN"}, unmapped=1))
    assert a.status == 200 and a.json() == {"id": a.headers["x-request-id"], "status": "logged"}
    row = house.row(a.json()["id"])
    want = {"external_id": f"o-{n}", "kind": "purchase", "occurred_at": 1767323045, "amount": 19.95, "channel": "web",
            "source": "shop", "direction": "in", "attributes": {"voucher": "TEN", "place": {"city": "Delft"}}}
    assert {k: row[k] for k in want} == want
    assert identities(house, row) == {
        ("email", f"b{n}@s.example", True, None), ("phone", "+31612345679", False, "06 1234 5679"),
        ("external:shop", str(n), True, None), ("social:mastodon", f"@b{n}", False, None)}
    assert customer(house, row)["name"] == "Bo"


def test_the_first_of_a_list_that_is_there_counts(house):
    n = next(number)
    for i, (buyer, want) in enumerate((({"email": f"one{n}@s.example", "contact": {"mail": f"two{n}@s.example"}}, f"one{n}@s.example"),
                                       ({"email": None, "contact": {"mail": f"three{n}@s.example"}}, f"three{n}@s.example"),
                                       ({"email": "", "contact": {"mail": f"four{n}@s.example"}}, f"four{n}@s.example"))):
        a = shop_post(house, order(f"first-{n}-{i}", buyer=buyer))
        assert {v for _, v, _, _ in identities(house, house.row(a.json()["id"]))} == {want}


def test_a_word_that_is_not_translated_is_kept_and_a_pointer_to_nothing_left_out(house):
    doc = order(fresh("kept"))
    doc["event"]["type"] = "order.odd"
    del doc["total"]
    row = house.row(shop_post(house, doc).json()["id"])
    assert (row["kind"], row["amount"], row["customer_id"], row["attributes"]) == ("order.odd", None, 0, {})


def break_kind(doc):
    del doc["event"]["type"]


def break_id(doc):
    doc["event"]["id"] = None


def break_amount(doc):
    doc["total"] = "nineteen"


def break_time(doc):
    doc["event"]["created"] = "soon"


def break_shape(doc):
    doc["event"] = "none"


def break_type(doc):
    doc["total"] = {"eur": 1}


@pytest.mark.parametrize("damage, reason", ((break_kind, "kind"), (break_id, "external_id"), (break_amount, "amount"),
                                            (break_time, "occurred_at"), (break_shape, "external_id"), (break_type, "amount")))
def test_an_authentic_document_that_does_not_fit_the_map_is_parked_and_a_repeat_counts(house, damage, reason):
    doc = order(fresh("park"))
    damage(doc)
    body = json.dumps(doc).encode() + b" " * next(number)
    a = shop_post(house, body)
    assert a.status == 202 and a.headers["content-type"] == "application/json"
    told = a.json()
    assert (told["id"], told["status"]) == (a.headers["x-request-id"], "parked")
    row = parked(house, told["id"])
    assert reason in row.pop("reason")
    assert row == {"id": told["id"], "source": "shop", "raw": body.decode().strip(), "content_type": "application/json",
                   "sqlstate": None, "attempts": 1, "state": "open"}
    again = shop_post(house, body)
    assert again.status == 202 and again.json()["id"] == told["id"] and again.headers["x-request-id"] != told["id"]
    assert parked(house, told["id"])["attempts"] == 2
    assert house.database.one(f"SELECT count(*) FROM touchlog.interaction WHERE id = '{told['id']}'") == 0


@pytest.mark.parametrize("damage", (break_amount, break_time, break_kind))
def test_a_parked_document_is_known_by_its_external_id_where_it_has_one(house, damage):
    doc = order(fresh("known"))
    damage(doc)
    first = shop_post(house, {**doc, "sent": 1}).json()["id"]
    assert shop_post(house, {**doc, "sent": 2}).json()["id"] == first
    assert parked(house, first)["attempts"] == 2


def test_a_batch_of_a_mapped_source_parks_the_misfits_and_logs_the_others(house):
    good, bad = order(fresh("good")), order(fresh("bad"))
    break_amount(bad)
    a = shop_post(house, [good, bad, 7])
    told = a.json()
    assert a.status == 200 and (told["logged"], told["parked"], told["rejected"]) == (1, 2, []), told
    assert told["ids"] == [plus(a.headers["x-request-id"], i) for i in range(3)]
    assert parked(house, told["ids"][1])["raw"] == json.dumps(bad)


def test_a_mapped_source_parks_nothing_that_is_not_authentic_or_not_json(house):
    count = "SELECT count(*) FROM touchlog.parked"
    before = house.database.one(count)
    is_problem(house.post("shop", order(None)), 401)
    is_problem(shop_post(house, b"{"), 400)
    assert house.database.one(count) == before


# ---- what is counted ----

def test_what_became_of_a_request_stands_in_status(house):
    a = house.post("web", [{"external_id": "same"}, {"external_id": "same"}, {"score": "x"}])
    for wanted in (a.headers["x-request-id"], plus(a.headers["x-request-id"], 2)):
        assert house.status(f"?request={wanted}")["requests"] == [
            {"id": a.headers["x-request-id"], "source": "web", "status": 200, "fates": "ldr"}]
    assert house.status(f"?request={plus(a.headers['x-request-id'], 3)}")["requests"] == []


def test_events_are_counted_by_what_became_of_them(daemon):
    d = daemon(sources={"web": SOURCES["web"], "shop": SHOP})
    d.post("web", [{"external_id": "a"}, {"external_id": "b"}, {"external_id": "a"}, {"score": "x"}, 1])
    d.post("web", b"{")
    shop_post(d, order(None))
    counts = d.counts("web")
    assert {k: counts[k] for k in ("received", "logged", "duplicates", "parked", "rejected", "refused", "unavailable", "waiting")} == {
        "received": 5, "logged": 2, "duplicates": 1, "parked": 0, "rejected": 2, "refused": 1, "unavailable": 0, "waiting": 0}
    assert abs(counts["last_success"] - time.time()) < 60
    m = d.metrics()
    for name, want in (('events_received_total{source="web"}', 5), ('events_logged_total{source="web"}', 2),
                       ('events_duplicate_total{source="web"}', 1), ('events_parked_total{source="shop"}', 1),
                       ('events_rejected_total{source="web",reason="content"}', 2),
                       ('requests_refused_total{source="web",reason="json"}', 1)):
        assert m[f"touchlog_{name}"] == want, name
    assert m["touchlog_batch_events_sum"] >= 3 and m["touchlog_queue_events"] == 0 and m["touchlog_ready"] == 1


def test_promtool_finds_nothing_to_complain_of_in_the_metrics(house):
    house.post("web", b"{")
    page = house.get("/metrics")
    assert page.status == 200 and page.headers["content-type"].startswith("text/plain; version=0.0.4")
    done = subprocess.run(["promtool", "check", "metrics"], input=page.body, capture_output=True)
    assert done.returncode == 0 and not done.stderr, done


def test_events_that_mention_many_people_share_a_transaction_with_few_others(daemon):
    """Else who comes in one batch with a thousand of them waits for longer than it waits."""
    d = daemon(sources={"web": {**OPEN, "channel": "web"}}, batch_max=100)
    before = d.metrics()["touchlog_batch_events_count"]
    crowd = [{"external_id": fresh(), "participants": [{"identities": [{"kind": "email", "value": f"p{n}-{i}-{k}@crowd.example"}
                                                                     for k in range(16)]} for i in range(50)]} for n in range(4)]
    assert d.post_lines("web", crowd).json()["logged"] == 4
    assert d.metrics()["touchlog_batch_events_count"] - before == 4
    assert d.post_lines("web", [{"external_id": fresh(), "email": f"{n}@few.example"} for n in range(90)]).json()["logged"] == 90
    assert d.metrics()["touchlog_batch_events_count"] - before == 5
