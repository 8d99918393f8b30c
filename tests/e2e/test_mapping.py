# SPDX-License-Identifier: Apache-2.0
"""Foreign documents by mapping: forms, documents of many items, headers, what is ignored, what is parked and mended.
A test name is a sentence that is true when it passes."""
import base64, gzip, itertools, json, urllib.parse

import pytest

import harness

OPEN = {"type": "webhook", "verify": "none", "channel": "email"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LIST = {**OPEN, "map": {
    "kind": {"from": "type", "lower": "yes"}, "email": "data[email]", "customer.name": "data[merges][FNAME]",
    "external_id": {"from": ["type", "fired_at", "data[id]"], "join": "-"},
    "occurred_at": {"from": "fired_at", "time": "%Y-%m-%d %H:%M:%S"},
    "attributes.tags": "tag", "attributes.list": "data[list_id]"}}
WHATSAPP = {**OPEN, "channel": "chat", "map": {"external_id": "/id", "occurred_at": "/timestamp"}, "items": [
    {"each": ["/entry", "/changes", "/value/messages"], "when": {"/type": ["text", "image"]},
     "map": {"kind": "=message", "body": "/text/body", "phone": {"from": "/from", "prefix": "+"},
             "customer.name": "../value/contacts/0/profile/name", "agent": "root:/object"}},
    {"each": ["/entry", "/changes", "/value/statuses"],
     "map": {"kind": "/status", "external_id": {"from": ["/id", "/status"], "join": ":"}},
     "translate": {"kind": {"read": "open"}}}]}
SHOP = {**OPEN, "channel": "web", "when": {"header:X-Event": ["order", "refund"]},
        "map": {"kind": "header:X-Event", "external_id": "query:id", "amount": {"from": "/total", "unit": "cents"},
                "currency": "/currency",
                "attributes.items": {"each": "/lines", "map": {"sku": "/sku", "price": {"from": "/price", "unit": "cents"}}},
                "participants": {"each": "/cc", "role": "=cc", "email": "/mail"}},
        "translate": {"kind": {"order": "purchase"}}}
SOURCES = {
    "list": LIST, "whatsapp": WHATSAPP, "shop": SHOP,
    "here": {**LIST, "time_zone": "Europe/Amsterdam"},
    "cdr": {**OPEN, "channel": "call", "each": {"from": "cdr", "json": "yes"},
            "map": {"external_id": "/variables/uuid", "kind": "=call", "duration": {"from": "/variables/billmsec", "unit": "ms"}}},
    "inbound": {**OPEN, "map": {"subject": "subject", "body": "text", "attributes.file": "attachment1",
                                "email": {"from": "from", "match": "<([^>]+)>"}}},
    "batch": {**OPEN, "each": "/events", "map": {"subject": "/s", "occurred_at": "/t", "thread": "../id"}},
    "plain": {**OPEN},
}
number = itertools.count(1)


@pytest.fixture(scope="module")
def house(cluster, tmp_path_factory):
    database = cluster.fresh()
    with harness.Daemon(database, {"sources": SOURCES}, tmp_path_factory.mktemp("mapping")) as d:
        yield d
    database.drop()


def payload(house, event_id):
    return house.database.one(f"SELECT payload FROM touchlog.document WHERE id = '{event_id}'")


def identities(house, event_id):
    return {r["value"]: r["kind"] for r in house.database.rows(
        "SELECT i.kind, i.value FROM touchlog.identity i JOIN touchlog.interaction x USING (customer_id)"
        f" WHERE x.id = '{event_id}'")}


def parked(house, event_id):
    (row,) = house.database.rows(f"SELECT *, convert_from(raw, 'UTF8') AS text FROM touchlog.parked WHERE id = '{event_id}'")
    return row


def logged(a):
    assert a.status == 200 and a.json()["status"] == "logged", a
    return a.json()["id"]


def whatsapp(*messages, statuses=()):
    changes = [{"value": {"contacts": [{"profile": {"name": "Ann"}}], "messages": list(messages)}}]
    return {"object": "wa", "entry": [{"id": "e1", "changes": changes},
                                      {"id": "e2", "changes": [{"value": {"statuses": list(statuses)}}]}]}


def message(kind="text", **more):
    return {"id": f"m{next(number)}", "from": "31612345678", "timestamp": "1764003600", "type": kind, **more}


# ---- forms ----

def test_a_form_is_a_document_whose_fields_are_named_with_their_brackets(house):
    body = ("type=Subscribe&fired_at=2026-03-26+21%3A35%3A57&data[id]=8a25&data%5Blist_id%5D=a6&data[email]=api%40example.net"
            "&data[merges][FNAME]=J%C3%BCrgen&tag[]=p&tag[]=q")
    i = logged(house.post("list", body, FORM))
    row = house.row(i)
    assert row["kind"] == "subscribe" and row["external_id"] == "Subscribe-2026-03-26 21:35:57-8a25"
    assert float(row["occurred_at"]) == 1774560957 and row["attributes"] == {"tags": ["p", "q"], "list": "a6"}
    assert identities(house, i) == {"api@example.net": "email"}
    assert payload(house, i) == {
        "type": "Subscribe", "fired_at": "2026-03-26 21:35:57", "tag": ["p", "q"],
        "data": {"id": "8a25", "list_id": "a6", "email": "api@example.net", "merges": {"FNAME": "Jürgen"}}}
    assert house.post("list", body, FORM).json() == {"id": i, "status": "duplicate"}
    packed = {**FORM, "Content-Encoding": "gzip"}
    assert house.post("list", gzip.compress(body.encode()), packed).json()["status"] == "duplicate"


def test_a_time_without_a_zone_is_that_of_its_source(house):
    body = "type=x&fired_at=2026-07-24+18:00:00&data[id]=1"
    assert float(house.row(logged(house.post("list", body, FORM)))["occurred_at"]) == 1784916000
    assert float(house.row(logged(house.post("here", body, FORM)))["occurred_at"]) == 1784916000 - 7200


@pytest.mark.parametrize("how", ["percent", "base64", "form"])
def test_json_may_stand_in_a_field_of_a_form(house, how):
    cdr = json.dumps({"variables": {"uuid": f"u-{how}", "billmsec": 61500}, "callflow": []})
    body, kind = {
        "percent": ("cdr=" + urllib.parse.quote(cdr), "application/x-www-form-urlencoded"),
        "base64": ("cdr=" + base64.b64encode(cdr.encode()).decode(), "application/x-www-form-base64-encoded"),
        "form": (f'--b\r\nContent-Disposition: form-data; name="cdr"\r\n\r\n{cdr}\r\n--b--\r\n', "multipart/form-data; boundary=b"),
    }[how]
    a = house.post("cdr", body, {"Content-Type": kind})
    assert a.status == 200 and a.json()["logged"] == 1, a
    row = house.row(a.json()["ids"][0])
    assert row["external_id"] == f"u-{how}" and str(row["duration"]) == "0:01:01.500000" or "01:01.5" in str(row["duration"])
    assert payload(house, row["id"]) == {"cdr": json.loads(cdr)}


def test_a_multipart_form_brings_texts_and_tells_of_its_files(house):
    body = (b'--x\r\nContent-Disposition: form-data; name="from"\r\n\r\nAnn <ann@shop.example>\r\n'
            b'--x\r\nContent-Disposition: form-data; name="subject"\r\n\r\ncaf\xe9\r\n'
            b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nHello\r\n'
            b'--x\r\nContent-Disposition: form-data; name="attachment1"; filename="a.png"\r\n'
            b'Content-Type: image/png\r\n\r\n\x89PNG\x00\r\n--x--\r\n')
    i = logged(house.post("inbound", body, {"Content-Type": "multipart/form-data; boundary=x"}))
    row = house.row(i)
    assert row["subject"] == "café" and row["body"] == "Hello"
    assert row["attributes"] == {"file": {"name": "a.png", "type": "image/png", "size": 5}}
    assert identities(house, i) == {"ann@shop.example": "email"}


@pytest.mark.parametrize("body, kind", [
    ("a=%", "application/x-www-form-urlencoded"), ("a=%FF", "application/x-www-form-urlencoded"),
    ("a=%00", "application/x-www-form-urlencoded"), ("a=?", "application/x-www-form-base64-encoded"),
    ("a=1", "multipart/form-data"), ("a=1", "multipart/form-data; boundary=b")])
def test_a_broken_form_is_refused(house, body, kind):
    before = house.counts("list")["refused"]
    a = house.post("list", body, {"Content-Type": kind})
    assert a.status == 400 and a.json()["detail"], a
    assert house.counts("list")["refused"] == before + 1


def test_a_form_of_too_many_fields_is_refused(house):
    assert house.post("list", "&".join(f"a{i}=" for i in range(1001)), FORM).status == 413


def test_canonical_events_come_as_json_only(house):
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"):
        assert house.post("plain", '{"kind":"x"}', {"Content-Type": kind}).status == 415
    assert house.post("list", "a", {"Content-Type": "text/csv"}).status == 415
    assert house.post("list", "type=x", {"Content-Type": "application/x-www-form-urlencoded; charset=latin1"}).status == 415


def test_mapped_json_may_be_called_text(house):
    i = logged(house.post("list", {"type": "x", "fired_at": "2026-01-01 00:00:00"}, {"Content-Type": "text/plain; charset=UTF-8"}))
    assert house.row(i)["kind"] == "x"


# ---- many items ----

def test_each_item_of_nested_lists_has_its_own_fate(house):
    first, second = message(text={"body": "hi"}), message("image")
    bad = {"id": "m0", "timestamp": "1764003600"}
    a = house.post("whatsapp", whatsapp(first, message("reaction"), second,
                                        statuses=[{"id": "m0", "status": "read", "timestamp": "soon"}, bad]))
    assert a.status == 200, a
    answer = a.json()
    assert {k: answer[k] for k in ("logged", "duplicates", "parked", "ignored", "rejected")} == {
        "logged": 2, "duplicates": 0, "parked": 2, "ignored": 1, "rejected": []}
    ids = answer["ids"]
    assert len(ids) == 5 and ids[1] is None and ids[0] == a.headers["x-request-id"]
    row = house.row(ids[0])
    assert row["kind"] == "message" and row["external_id"] == first["id"] and row["body"] == "hi" and row["agent"] == "wa"
    assert identities(house, ids[0]) == {"+31612345678": "phone"}
    assert house.row(ids[2])["external_id"] == second["id"]
    assert parked(house, ids[3])["reason"].startswith("occurred_at (/timestamp): not a time")
    assert parked(house, ids[4])["reason"] == "kind: there is nothing at /status, and it is required"
    alone = whatsapp(first)  # its document, with the other items of each list left out
    assert payload(house, ids[0]) == {**alone, "entry": alone["entry"][:1]}
    again = house.post("whatsapp", whatsapp(second, first)).json()
    assert again["duplicates"] == 2 and again["ids"] == [ids[2], ids[0]]


def test_what_no_when_takes_is_ignored_and_counted(house):
    before = house.counts("shop")
    alone = house.post("shop", {"total": 1}, {"X-Event": "ping"})
    assert alone.status == 200 and alone.json() == {
        "logged": 0, "duplicates": 0, "spooled": 0, "parked": 0, "ignored": 1, "rejected": [], "ids": [None]}
    a = house.post("shop?id=o1", [{"total": 1}], {"X-Event": "order"})
    assert a.json()["logged"] == 1 and "ignored" not in a.json()
    after = house.counts("shop")
    assert after["ignored"] == before["ignored"] + 1 and after["received"] == before["received"] + 2
    assert house.metrics()['touchlog_events_ignored_total{source="shop"}'] == after["ignored"]
    trace = house.touchlog("trace", alone.headers["x-request-id"])
    assert "ignored" in trace.stdout, trace


@pytest.mark.parametrize("document", [{}, {"events": []}, {"events": None}, None, 7])
def test_a_document_without_items_is_ignored(house, document):
    a = house.post("batch", document)
    assert a.status == 200 and a.json()["logged"] == 0 and a.json()["ignored"] == 1 and a.json()["ids"] == [None], a


def test_documents_of_an_array_may_hold_lists(house):
    n = next(number)
    a = house.post("batch", [{"id": f"x{n}", "events": [{"s": "1", "t": 1764003600}, {"s": "2", "t": 1764003600}]}, {},
                             {"id": f"y{n}", "events": {"s": "3", "t": 1764003600}}])
    assert a.json()["logged"] == 3 and a.json()["ignored"] == 1
    assert [i and house.row(i)["thread"] for i in a.json()["ids"]] == [f"x{n}", f"x{n}", None, f"y{n}"]


def test_items_without_an_id_are_told_from_each_other_and_from_their_retry_by_their_bytes(house):
    n = next(number)
    post = {"id": f"b{n}", "events": [{"s": "1", "t": 1764003600}, {"s": "2", "t": 1764003600}]}
    first = house.post("batch", post).json()
    assert first["logged"] == 2
    post["events"].append({"s": "3", "t": 1764003600})
    second = house.post("batch", post).json()
    assert second["duplicates"] == 2 and second["logged"] == 1 and second["ids"][:2] == first["ids"]


def test_ten_thousand_items_are_the_most(house):
    a = house.post("batch", {"events": [1] * 10001})
    assert a.status == 200 and a.json()["parked"] == 1, a
    assert "more than 10000 items" in parked(house, a.json()["ids"][0])["reason"]
    a = house.post("batch", [{"events": [1] * 6000}] * 2)
    assert a.status == 413, a


def test_a_document_that_repeats_too_much_around_its_items_is_not_written_for_ever(house):
    a = house.post("batch", {"id": "x", "ballast": "x" * 100000, "events": [{"s": "1", "t": i} for i in range(2000)]})
    assert a.status == 200, a
    answer = a.json()
    assert len(answer["rejected"]) + answer["logged"] == 2000 and 0 < answer["logged"] < 100 and not answer["parked"]
    assert answer["rejected"][0]["detail"] == "too much stands around the items of this document"


# ---- headers, parameters, lists within an item ----

def test_headers_parameters_and_lists_within_an_item_are_mapped(house):
    i = logged(house.post("shop?x=1&id=o%2042+a", {
        "total": 1250, "currency": "eur", "cc": [{"mail": "cc@shop.example"}],
        "lines": [{"sku": "a", "price": 1000}, {"sku": "b", "price": 250}]}, {"X-Event": "order"}))
    row = house.row(i)
    assert row["kind"] == "purchase" and row["external_id"] == "o 42 a" and float(row["amount"]) == 12.5
    assert row["attributes"] == {"items": [{"sku": "a", "price": 10}, {"sku": "b", "price": 2.5}]}
    assert house.database.one(f"SELECT role FROM touchlog.participant WHERE interaction_id = '{i}'") == "cc"
    yen = logged(house.post("shop?id=o43", {"total": 1250, "currency": "JPY"}, {"X-Event": "refund"}))
    assert float(house.row(yen)["amount"]) == 1250


def test_a_value_that_does_not_fit_says_where_it_stood_and_why(house):
    for total, why in (("soon", "amount (/total): is no number of at most 18 digits"),
                       ([1], "amount (/total): is an array where a text is wanted"),
                       (10 ** 17, "amount (/total): not a number with at most 14 digits before the point")):
        a = house.post(f"shop?id=bad{next(number)}", {"total": total}, {"X-Event": "order"})
        assert a.status == 202 and a.json()["status"] == "parked", a
        assert parked(house, a.json()["id"])["reason"] == why
    a = house.post("shop", {"total": 1}, {"X-Event": "order"})
    assert parked(house, a.json()["id"])["reason"] == "external_id: there is nothing at query:id, and it is required"


def test_a_mapping_is_refused_with_file_line_and_column(house, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text('database: { conninfo: "" }\nlisteners: { a: { address: "127.0.0.1:0", serve: [ingest] } }\n'
                    "sources:\n  s:\n    type: webhook\n    verify: none\n    time_zone: Europe/Atlantis\n"
                    "    each: /a\n    map:\n      kind: { from: /k, matsch: x }\n      agent: ../../a\n")
    p = harness.subprocess.run([harness.program("touchlogd"), "-t", "-c", path], capture_output=True, text=True)
    assert p.returncode != 0
    for line in (f"{path}:7:16: time_zone: ", f"{path}:10:25: map.kind: matsch: is nothing that is done to a value; did you mean "
                 '"match"?', f"{path}:11:14: map.agent: there is nothing that far out"):
        assert line in p.stderr, p.stderr


# ---- parked, mended, logged ----

@pytest.fixture
def daemon(cluster, tmp_path):
    database = cluster.fresh()
    with harness.Daemon(database, {"sources": {}}, tmp_path) as d:
        yield d
    database.drop()


def mend(d, **sources):
    d.reload({"sources": sources})


def retry(d, source):
    p = d.touchlog("parked", "retry", "--source", source, "--json")
    return json.loads(p.stdout)


def test_an_item_is_logged_with_its_headers_and_its_document_when_its_map_was_mended(daemon):
    d = daemon
    source = {**OPEN, "each": "/events", "map": {"kind": "header:X-Event", "external_id": "/id", "thread": "query:t",
                                                 "agent": "../shop", "occurred_at": "/at"}}
    mend(d, s=source)
    post = {"shop": "é", "events": [{"id": "1", "at": "24/07/2026"}, {"id": "2", "at": 1764003600}, {"id": "3", "at": "25/07/2026"}]}
    a = d.post("s?t=a%3B%20%C3%BC", post, {"X-Event": "order; x=\"1\""})
    assert a.json()["parked"] == 2 and a.json()["logged"] == 1, a
    first = parked(d, a.json()["ids"][0])
    assert json.loads(first["text"]) == {"shop": "é", "events": [{"id": "1", "at": "24/07/2026"}]}
    assert first["content_type"] == "application/json; touchlog-header-x-event=order%3B%20x%3D%221%22; touchlog-query-t=a%3B%20%C3%BC"
    assert {r["fate"] for r in retry(d, "s")} == {"parked"}
    source["map"]["occurred_at"] = ["/no", {"from": "/at", "time": "%d/%m/%Y"}]
    mend(d, s=source)
    assert [r["fate"] for r in retry(d, "s")] == ["logged", "logged"]
    for i, n in ((0, "1"), (2, "3")):
        row = d.row(a.json()["ids"][i])
        assert (row["external_id"], row["kind"], row["thread"], row["agent"]) == (n, 'order; x="1"', "a; ü", "é")
        assert payload(d, row["id"]) == {"shop": "é", "events": [post["events"][i]]}
    assert d.post("s?t=1", post, {"X-Event": "x"}).json()["duplicates"] == 2


@pytest.mark.parametrize("kind", ["urlencoded", "multipart"])
def test_a_form_is_logged_when_its_map_was_mended(daemon, kind):
    d = daemon
    source = {**OPEN, "map": {"kind": "a", "external_id": "b", "thread": "query:t"}}
    mend(d, s=source)
    body, ctype = {"urlencoded": ("kind[x]=y&b=1", "application/x-www-form-urlencoded"),
                   "multipart": ('--q\r\nContent-Disposition: form-data; name="kind[x]"\r\n\r\ny\r\n--q\r\n'
                                 'Content-Disposition: form-data; name="b"\r\n\r\n1\r\n--q--\r\n', "multipart/form-data; boundary=q")}[kind]
    a = d.post("s?t=7", body, {"Content-Type": ctype})
    assert a.status == 202, a
    assert parked(d, a.json()["id"])["text"] == body and parked(d, a.json()["id"])["content_type"] == ctype + "; touchlog-query-t=7"
    source["map"]["kind"] = "kind[x]"
    mend(d, s=source)
    assert [r["fate"] for r in retry(d, "s")] == ["logged"]
    row = d.row(a.json()["id"])
    assert row["kind"] == "y" and row["thread"] == "7" and payload(d, row["id"]) == {"kind": {"x": "y"}, "b": "1"}


def test_json_in_a_form_is_logged_when_its_map_was_mended(daemon):
    d = daemon
    source = {**OPEN, "each": {"from": "events", "json": "yes"}, "map": {"kind": "/k", "external_id": "/id"}}
    mend(d, s=source)
    a = d.post("s", "events=" + urllib.parse.quote(json.dumps([{"id": "1", "what": "a"}, {"id": "2", "k": "b"}])), FORM)
    assert a.json()["parked"] == 1 and a.json()["logged"] == 1
    assert parked(d, a.json()["ids"][0])["text"] == '{"events":[{"id":"1","what":"a"}]}'
    source["map"]["kind"] = ["/k", "/what"]
    mend(d, s=source)
    assert [r["fate"] for r in retry(d, "s")] == ["logged"]
    assert d.row(a.json()["ids"][0])["kind"] == "a"


def test_an_item_that_lies_within_another_is_found_again(daemon):
    d = daemon
    source = {**OPEN, "items": [{"each": ["/orders", "/lines"], "map": {"kind": "/k", "external_id": "/id"}},
                                {"each": "/orders", "map": {"kind": "/k", "external_id": "/id"}}]}
    mend(d, s=source)
    a = d.post("s", {"orders": [{"id": "o1", "k": "order", "lines": [{"id": "l1"}, {"id": "l2", "k": "x"}]}]})
    assert a.json()["parked"] == 1 and a.json()["logged"] == 2
    source["items"][0]["map"]["kind"] = ["/k", "=line"]
    mend(d, s=source)
    assert [r["fate"] for r in retry(d, "s")] == ["logged"]
    assert d.row(a.json()["ids"][0])["external_id"] == "l1"


def test_what_is_no_item_any_more_stays_parked_and_says_so(daemon):
    d = daemon
    source = {**OPEN, "each": "/l", "map": {"kind": "/k"}}
    mend(d, s=source)
    a = d.post("s", {"l": [{"x": 1}]})
    assert a.json()["parked"] == 1
    mend(d, s={**source, "when": {"/k": "yes"}})
    (fate,) = retry(d, "s")
    assert fate["fate"] == "parked" and "no `when` takes it" in fate["reason"]
