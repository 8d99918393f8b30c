# SPDX-License-Identifier: Apache-2.0
"""touchlog source try: what a payload would become, told without a daemon and without a database; and that it becomes
just that when it is posted.  A test name is a sentence that is true when it passes."""
import base64, datetime, json, os, re, subprocess, time

import pytest

import corpus_posts, harness, senders
from harness import hmac_hex, program, touchlog
from preset_cases import CASES
from test_presets import needs_corpus, participants, people, seconds

SHOP = {"type": "webhook", "verify": "hmac-sha256", "header": "X-Shop-Signature", "secret": "plain:s3cret", "region": "NL",
        "time_zone": "Europe/Amsterdam", "brand": "Teas", "each": "/orders", "when": {"/test": "no"},
        "map": {"channel": "=web", "kind": ["header:X-Event", "/type"], "external_id": {"from": ["/id", "query:shop"], "join": "-"},
                "occurred_at": {"from": "/at", "time": "%F %T"}, "amount": {"from": "/cents", "unit": "cents"}, "currency": "/cur", "wait": "/wait",
                "email": "/mail", "phone": "/tel", "external.shop": "/who", "customer.name": "/name",
                "attributes.q.a": "/a", "attributes.q.b": "/b",
                "attributes.items": {"each": "/lines", "map": {"sku": "/sku"}},
                "participants": {"each": "/cc", "role": "=cc", "email": "/m"}},
        "translate": {"kind": {"order": "purchase"}}, "require": ["external_id", "kind", "email"]}
SOURCES = {"shop": SHOP, "plain": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"},
           "form": {"type": "webhook", "verify": "none", "channel": "form", "map": {"kind": "=message", "subject": "what"}},
           "key": {"type": "webhook", "verify": "token", "channel": "web", "secret": "plain:pass word"}}
GOOD = {"id": 1, "at": "2026-11-01 12:00:00", "type": "order", "cents": 1250, "cur": "EUR", "mail": "Ann@Shop.Example",
        "tel": "06 12345678", "name": "Ann", "a": 1, "b": [2], "lines": [{"sku": "x"}, {"sku": "y"}], "cc": [{"m": "bo@shop.example"}]}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configuration whose database and listeners are nowhere."""
    whole = {"own": ["@ours.example"], "listeners": {"a": {"address": "127.0.0.1:1", "serve": ["ops"]}},
             "database": {"conninfo": "host=/nonexistent"}, "preset_dir": harness.PRESETS, "sources": SOURCES}
    path = tmp_path_factory.mktemp("try") / "touchlog.yaml"
    path.write_text(json.dumps(whole))
    return str(path)


class Try:
    """One run: the exit code, what was said, and the answer where it was JSON."""

    def __init__(self, config, name, body, *args, suffix=".json", env=None):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = os.path.join(os.path.dirname(config), f"body-{time.monotonic_ns()}{suffix}")
        with open(path, "wb") as f:
            f.write(body)
        done = touchlog(config, "source", "try", *([name] if name else []), path, *args, env={**os.environ, **(env or {})})
        os.unlink(path)
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.answer = json.loads(self.out) if "--json" in args and self.out else {}
        self.events = self.answer.get("events", [])

    def __repr__(self):
        return f"<{self.code} {self.out} {self.err}>"


def rows(text):
    """The rows of the table in it: {(field, from): value}."""
    return {tuple(cells[:2]): cells[2] for cells in (re.split(r" {2,}", line, maxsplit=2) for line in text.splitlines()) if len(cells) == 3}


# ---- for people ----

def test_each_event_tells_its_fate_and_each_field_where_it_comes_from(config):
    order = {"orders": [GOOD, {**GOOD, "id": 2, "at": "yesterday"}, {**GOOD, "id": 3, "test": 1}, {**GOOD, "id": 4, "mail": None}]}
    t = Try(config, "shop", order, "--query", "shop=7&x=%20")
    assert t.code == 1 and t.err == "", t
    fates = re.findall(r"^(?:sender|event).*", t.out, re.M)
    assert fates == ["sender: not checked", "event 1 of 4: would be logged",
                     "event 2 of 4: would be parked: occurred_at (/at): is no time of the form %F %T",
                     "event 3 of 4: would be ignored: no `when` takes it",
                     "event 4 of 4: would be parked: email: there is nothing at /mail, and it is required"], t.out
    assert t.out.endswith("\n4 events: 1 would be logged, 2 would be parked, 1 would be ignored\n")
    first, second, third, fourth = re.split(r"^event .*\n", t.out, flags=re.M)[1:]
    assert rows(first) == {
        ("FIELD", "FROM"): "VALUE", ("channel", "=web"): "web", ("direction", "(default)"): "in", ("kind", "/type"): "purchase",
        ("external_id", "/id, query:shop"): "1-7", ("occurred_at", "/at"): "2026-11-01T11:00:00Z",
        ("amount", "/cents"): "12.5000 (was 12.5)", ("currency", "/cur"): "EUR", ("brand", "(source)"): "Teas",
        ("customer", "/mail"): "email ann@shop.example, strong (was Ann@Shop.Example)",
        ("customer", "/tel"): "phone +31612345678, weak (was 06 12345678)", ("customer.name", "/name"): "Ann",
        ("cc", "/m"): "email bo@shop.example, strong", ("attributes.q", "/a, /b"): '{"a":1,"b":[2]}',
        ("attributes.items", "/lines"): '[{"sku":"x"},{"sku":"y"}]',
        ("dedupe key", "external_id"): rows(first)["dedupe key", "external_id"]}, first
    assert ("occurred_at", "/at") not in rows(second) and rows(second)["external_id", "/id, query:shop"] == "2-7"
    assert rows(third) == {} and ("customer", "/mail") not in rows(fourth)


def test_identities_that_are_dropped_say_why(config):
    t = Try(config, "shop", {"orders": [{**GOOD, "mail": "me@ours.example", "tel": "12", "who": "null", "cc": [{"m": "test@test.com"}]}]})
    assert t.code == 0, t
    found = rows(t.out)
    assert found["customer", "/mail"] == "email me@ours.example, dropped: own: it is one of ours"
    assert found["customer", "/tel"] == "phone 12, dropped: unreadable: kept in attributes.unreadable_identities"
    assert found["customer", "/who"] == "external:shop null, dropped: junk: it stands for nobody"
    assert found["cc", "/m"] == "email test@test.com, dropped: junk: it stands for nobody"
    assert found["customer", "-"] == found["cc", "-"] == "nobody: no identity is left"
    assert found["attributes.unreadable_identities", "(touchlog)"] == '[{"kind":"phone","value":"12"}]'


def test_a_terminal_does_not_obey_what_is_shown(config):
    t = Try(config, "plain", {"kind": "x", "subject": "\x1b]0;owned\x07", "\x1b[2J": 1})
    assert t.code == 0 and "\x1b" not in t.out and "\\x1b]0;owned\\x07" in t.out, t


# ---- for programs ----

def test_json_has_an_object_for_each_event(config):
    t = Try(config, "shop", {"orders": [GOOD, {**GOOD, "id": 5, "wait": "long", "cc": []}]}, "--json", "-H", "X-Event: refund",
            "-H", "Idempotency-Key: k")
    good, bad = t.events
    assert t.code == 1 and t.answer["source"] == "shop" and t.answer["sender"] == {"status": "not checked"}
    assert (good["index"], good["document"], good["item"], good["fate"]) == (0, 0, 0, "logged")
    assert good["columns"]["kind"] == {"value": "refund", "from": "header:X-Event"}
    assert good["columns"]["amount"] == {"value": "12.5000", "from": "/cents", "text": "12.5"}
    assert good["customer"] == {"is_somebody": True, "profile": {"name": {"value": "Ann", "from": "/name"}}, "identities": [
        {"kind": "email", "value": "ann@shop.example", "text": "Ann@Shop.Example", "strong": True, "from": "/mail"},
        {"kind": "phone", "value": "+31612345678", "text": "06 12345678", "strong": False, "from": "/tel"}]}
    assert good["participants"] == [{"role": "cc", "is_somebody": True, "profile": {}, "identities": [
        {"kind": "email", "value": "bo@shop.example", "strong": True, "from": "/m"}]}]
    assert good["attributes"]["items"] == {"value": [{"sku": "x"}, {"sku": "y"}], "from": "/lines"}
    assert good["dedupe"]["by"] == "external_id" and re.fullmatch(r"[0-9a-f-]{36}", good["dedupe"]["key"])
    assert (bad["index"], bad["fate"]) == (1, "parked") and bad["why"].startswith("wait (/wait): "), bad
    assert bad["columns"]["external_id"] == {"text": "5", "from": "/id, query:shop"} and bad["columns"]["wait"] == {"text": "long", "from": "/wait"}


@pytest.mark.parametrize("body, args, by", [
    ({"external_id": "1"}, ["-H", "Idempotency-Key: k"], "external_id"),
    ({"kind": "x"}, ["-H", "Idempotency-Key: k"], "Idempotency-Key"),
    ({"occurred_at": 1}, [], "bytes"), ({"kind": "x"}, [], "nothing")], ids=lambda v: v if isinstance(v, str) else "")
def test_the_key_says_what_it_is_made_of(config, body, args, by):
    (event,) = Try(config, "plain", body, "--json", *args).events
    assert event["dedupe"]["by"] == by, event


def test_canonical_events_that_do_not_fit_are_rejected(config):
    t = Try(config, "plain", b'{"kind":"a"}\n{"kind":"b","amount":"x"}\n{"kind":\n[1]\n', "--json", suffix=".ndjson")
    assert t.code == 1 and [e["fate"] for e in t.events] == ["logged", "rejected", "rejected", "rejected"], t
    assert t.events[1]["why"].startswith("amount: not a number") and t.events[1]["columns"]["kind"] == {"text": "b", "from": "kind"}
    assert "columns" not in t.events[2] and [e["document"] for e in t.events] == [0, 1, 2, 3]


def test_what_is_refused_as_a_whole_says_why(config):
    big = Try(config, "plain", b'{"body":"' + b"x" * (1 << 20) + b'"}', "--json")
    for t, refused in ((Try(config, "plain", b"{", "--json"), (400, "json")), (big, (413, "request")),
                       (Try(config, "plain", b"x", "--json", "--content-type", "text/csv"), (415, "content_type")),
                       (Try(config, "plain", b"{}", "--json", "-H", "Content-Encoding: gzip"), (400, "content_encoding")),
                       (Try(config, "plain", b"GET /in/plain HTTP/1.1\n\n", "--json"), (405, "method")),
                       (Try(config, "plain", b"POST /in/plain/x HTTP/1.1\n\n{}", "--json"), (404, "path"))):
        assert t.code == 1 and (t.answer["refused"]["status"], t.answer["refused"]["check"]) == refused, t
        assert t.answer["refused"]["detail"] and t.events == [], t
    assert Try(config, "plain", b"{").out.splitlines()[1].startswith("would be refused with 400 (json): ")


def test_nothing_in_it_is_no_failure(config):
    assert Try(config, "plain", b"[]").out == "sender: not checked\nthere is no event in it\n"
    assert Try(config, "plain", b"[]").code == 0


# ---- what is read ----

def test_stdin_is_read_too(config):
    for args in (["-"], []):
        done = subprocess.run([program("touchlog"), "-c", config, "source", "try", "plain", "--json", *args], input=b'{"kind":"x"}',
                              capture_output=True, timeout=60)
        assert done.returncode == 0 and json.loads(done.stdout)["events"][0]["columns"]["kind"]["value"] == "x", done


def test_the_type_is_guessed_by_how_the_file_looks(config):
    multipart = b'--b x\r\nContent-Disposition: form-data; name="what"\r\n\r\nhello\r\n--b x--\r\n'
    for body in (b"what=hello&x=1", multipart, b'{"what":"hello"}'):
        (event,) = Try(config, "form", body, "--json", suffix=".bin").events
        assert event["columns"]["subject"]["value"] == "hello", event
    (event,) = Try(config, "form", base64.b64encode(b"x").join([b"what=", b""]), "--json", "--content-type",
                   "application/x-www-form-base64-encoded").events
    assert event["columns"]["subject"]["value"] == "x"


def test_a_captured_request_keeps_its_head_and_options_win_over_it(config):
    body = json.dumps({"orders": [GOOD]})
    head = f"POST /in/elsewhere?shop=9 HTTP/1.1\nX-Event: order\nContent-Type: application/json\nContent-Length: {len(body)}\n\n"
    for line_end in ("\n", "\r\n"):
        (event,) = Try(config, "shop", (head.replace("\n", line_end) + body + "\n\n").encode(), "--json", suffix=".http").events
        assert (event["columns"]["kind"]["value"], event["columns"]["external_id"]["value"]) == ("purchase", "1-9")
    (event,) = Try(config, "shop", (head + body).encode(), "--json", "-H", "x-event: refund", "--query", "shop=10").events
    assert (event["columns"]["kind"]["value"], event["columns"]["external_id"]["value"]) == ("refund", "1-10")
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    assert Try(config, "plain", chunked, "--json").events[0]["fate"] == "logged"


# ---- the sender ----

def signed(body, secret="s3cret"):
    return ["-H", f"X-Shop-Signature: {hmac_hex(secret, body)}"]


def test_a_header_that_proves_something_is_checked(config):
    body = json.dumps({"orders": [GOOD]}).encode()
    t = Try(config, "shop", body, "--json", *signed(body))
    assert (t.code, t.answer["sender"]) == (0, {"status": "known"}), t
    t = Try(config, "shop", body + b" ", "--json", *signed(body))
    assert t.code == 1 and t.answer["sender"] == {"status": "not known", "failed": "signature"}, t
    assert t.events[0]["fate"] == "logged", "the rest is told all the same"
    assert Try(config, "shop", body + b" ", *signed(body)).out.startswith("sender: not known (signature), 401\n")
    t = Try(config, "shop", body, "--json", "--verify")
    assert (t.code, t.answer["sender"]["failed"]) == (1, "header_missing"), t
    assert Try(config, "shop", body, "--json", "-H", "X-Other: x").answer["sender"] == {"status": "not checked"}
    t = Try(config, "key", b"POST /in/key/pass%20word HTTP/1.1\n\n{}", "--json")
    assert (t.code, t.answer["sender"]) == (0, {"status": "known"}), t
    assert Try(config, "key", b"POST /in/key/pass HTTP/1.1\n\n{}", "--json").answer["sender"]["failed"] == "token"


def test_secrets_are_read_only_to_check_a_sender(config, tmp_path):
    whole = json.loads(open(config, encoding="utf-8").read())
    whole["sources"]["shop"]["secret"] = "file:/none"
    path = tmp_path / "touchlog.yaml"
    path.write_text(json.dumps(whole))
    body = json.dumps({"orders": [GOOD]}).encode()
    t = Try(str(path), "shop", body, "--json")
    assert (t.code, t.err) == (0, ""), t
    t = Try(str(path), "shop", body, "--json", *signed(body))
    assert t.code == 0 and t.answer["sender"] == {"status": "not checked"} and "the sender is not checked: " in t.err and "/none" in t.err, t
    t = Try(str(path), "shop", body, "--verify")
    assert t.code == 3 and "/none" in t.err and t.out == "", t


def test_what_was_captured_is_verified_as_of_then(config):
    # INTERFACES.md, Standard Webhooks: a published example.
    body, headers = b'{"test": 2432232314}', ["-H", "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek", "-H", "webhook-timestamp: 1614265330",
                                              "-H", "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="]
    whole = json.loads(open(config, encoding="utf-8").read())
    whole["sources"] = {"sw": {"type": "webhook", "channel": "web", "verify": "standard-webhooks",
                               "secret": "plain:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
    path = config + ".sw"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(whole, f)
    t = Try(path, "sw", body, "--json", *headers)
    assert (t.code, t.answer["sender"]["failed"]) == (1, "window"), t
    t = Try(path, "sw", body, "--json", "--at", "2021-02-25T15:02:11Z", *headers)
    assert (t.code, t.answer["sender"]) == (0, {"status": "known"}), t
    assert t.events[0]["columns"]["occurred_at"] == {"value": "2021-02-25T15:02:11Z", "from": "(received)"}


def test_the_url_that_is_signed_can_be_told(config):
    key = "12345"        # INTERFACES.md, Twilio: a published example
    form = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    t = Try(config, None, form, "--preset", "twilio", "--preset-dir", harness.PRESETS, "--secret", f"plain:{key}", "--json",
            "--url", "https://mycompany.com/myapp.php?foo=1&bar=2", "-H", "X-Twilio-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert t.answer["sender"] == {"status": "known", "url": "https://mycompany.com/myapp.php?foo=1&bar=2"}, t


def test_a_handshake_is_told_as_one():
    config = "/none"
    preset = ["--json", "--preset-dir", harness.PRESETS, "--preset"]
    t = Try("/tmp/none.yaml", None, {"type": "url_verification", "challenge": "abc"}, *preset, "slack")
    assert (t.code, t.answer["handshake"]) == (0, {"status": 200, "text": "abc"}) and "events" not in t.answer, t
    ask = b"GET /in/x?hub.mode=subscribe&hub.challenge=11&hub.verify_token=y HTTP/1.1\r\nHost: x\r\n\r\n"
    t = Try("/tmp/none.yaml", None, ask, *preset, "whatsapp")
    assert (t.code, t.answer["handshake"]) == (0, {"status": 200, "text": "11"}), (t, config)


def test_a_message_about_the_subscription_is_told_as_one():
    where = "sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37"
    body = {"Type": "SubscriptionConfirmation", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mails",
            "Message": "You have chosen", "Token": "2336412f37", "SubscribeURL": f"https://{where}", "Timestamp": "2026-02-13T10:00:00.000Z",
            "SignatureVersion": "2", "Signature": "YQ==", "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/a.pem"}
    preset = ["--preset-dir", harness.PRESETS, "--preset", "ses"]
    t = Try("/tmp/none.yaml", None, body, *preset)
    assert t.code == 0 and f"would be answered with 200, once https://{where} has been fetched" in t.out, t
    t = Try("/tmp/none.yaml", None, {**body, "SubscribeURL": f"https://evil.example/{where}"}, "--json", *preset)
    assert (t.code, t.answer["handshake"]["status"]) == (1, 400) and "events" not in t.answer, t
    t = Try("/tmp/none.yaml", None, {**body, "Type": "UnsubscribeConfirmation"}, "--json", *preset)
    assert (t.code, t.answer["handshake"]) == (0, {"status": 200, "text": ""}), t


# ---- usage ----

@pytest.mark.parametrize("args, code, said", [
    (["--json"], 2, "NAME of a source or --preset NAME"),
    (["plain", "-", "x"], 2, "usage: touchlog source try"),
    (["plain", "x", "--preset", "slack"], 2, "NAME of a source or --preset NAME"),
    (["plain", "--secret", "plain:x"], 2, "--secret and --region go with --preset"),
    (["--preset", "slack", "--verify"], 2, "--secret says by what"),
    (["plain", "-H", "nothing"], 2, "--header: a name, a colon and a value"),
    (["plain", "--query", "a b"], 2, "--query: it is percent-encoded"),
    (["plain", "--at", "noon"], 2, "--at: noon is no time"),
    (["palin"], 4, "did you mean plain?"),
    (["--preset", "none", "--preset-dir", harness.PRESETS], 4, "there is no preset none"),
    (["--preset", "../presets/slack", "--preset-dir", harness.PRESETS], 4, "there is no preset"),
    (["plain", "/none/at/all"], 1, "/none/at/all: No such file"),
    (["plain", "/"], 1, "/: Is a directory"),
], ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_wrong_usage_says_what_is_wanted(config, args, code, said):
    done = touchlog(config, "source", "try", *args)
    assert done.returncode == code and said in done.stderr and done.stdout == "", done


def test_a_configuration_or_a_preset_that_is_wrong_is_told_with_its_place(config, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("sources: { x: { type: webhook, verify: none, map: { kind: /a, amuont: /b } } }\n")
    done = touchlog(str(path), "source", "try", "x")
    assert done.returncode == 3 and f"{path}:1:" in done.stderr and "amount" in done.stderr, done
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/p.yaml").write_text("verify: none\nmap: { kidn: /a }\n")
    done = touchlog(config, "source", "try", "--preset", "p", "--preset-dir", str(tmp_path / "bad"))
    assert done.returncode == 3 and f"{tmp_path}/bad/p.yaml:2:" in done.stderr, done


# ---- it is what the daemon does ----

@pytest.fixture(scope="module")
def tools(cluster, tmp_path_factory):
    """A daemon with a source of each preset."""
    db = cluster.fresh()
    config = {"public_url": senders.PUBLIC_URL, "sources": senders.sources()}
    with harness.Daemon(db, config, tmp_path_factory.mktemp("tools")) as d:
        yield d
    db.drop()


def epoch(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def span(text):
    return float(re.fullmatch(r"PT([0-9.]+)S", text)[1])


def as_logged(column, value):
    """A value as `try` tells it, as the row has it."""
    if column == "occurred_at":
        return round(epoch(value), 5)
    if column in ("duration", "wait"):
        return span(value)
    return float(value) if column in ("amount", "score") else value


def as_told(column, value):
    """A value of a row, likewise."""
    if value is None or column in ("attributes",):
        return value
    if column == "occurred_at":
        return round(float(value), 5)
    if column in ("duration", "wait"):
        return seconds(value)
    return float(value) if column in ("amount", "score") else value.strip() if column == "currency" else value


COLUMNS = ("channel", "direction", "kind", "external_id", "thread", "agent", "subject", "body", "outcome", "occurred_at",
           "duration", "wait", "amount", "currency", "score", "campaign", "brand")


def used(party):
    return {(i["kind"], i["value"]) for i in party["identities"] if "value" in i}


def is_same(d, event, row):
    """What was told of an event is what stands in the log."""
    told = {c: as_logged(c, v["value"]) for c, v in event["columns"].items() if v["from"] != "(received)"}
    assert told == {c: v for c in COLUMNS if (v := as_told(c, row[c])) is not None and (c in told or c != "occurred_at")}
    assert {k: v["value"] for k, v in event["attributes"].items()} == row["attributes"]
    assert (row["customer_id"] > 0) == event["customer"]["is_somebody"]
    if event["customer"]["is_somebody"]:
        assert used(event["customer"]) <= people(d.database, row["customer_id"])
    others = participants(d.database, row["id"])
    for p in event["participants"]:
        assert not p["is_somebody"] or used(p) <= others[p["role"]]
    key = event["dedupe"]["key"]
    assert d.database.one(f"SELECT count(*) FROM touchlog.seen WHERE key = '{key}' AND id = '{row['id']}'") == 1


def compare(d, t, answer):
    """Each event that was tried, with the one that was posted."""
    body = answer.json()
    ids = body.get("ids", [body.get("id")])
    assert answer.status in (200, 202) and len(ids) == len(t.events), (answer, t)
    for event, row_id in zip(t.events, ids):
        assert (event["fate"] == "logged") == (row_id is not None), (event, answer)
        if row_id:
            is_same(d, event, d.row(row_id))


def forget(d):
    """Fixtures share their ids."""
    d.database.run("TRUNCATE touchlog.seen")


def post_options(body, headers, path):
    data, content_type = body if isinstance(body, tuple) else senders.as_json(body)
    options = ["--json", "--content-type", content_type]
    for name, value in (headers or {}).items():
        options += ["-H", f"{name}: {value}"]
    return data, options + (["--query", path[1:]] if path else [])


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_what_is_told_is_what_is_logged(tools, case):
    forget(tools)
    r = senders.signed(case.preset, case.body, case.headers, case.path or "")
    head = "".join(f"{name}: {value}\r\n" for name, value in r.headers.items())
    capture = f"POST /in/{r.source}{r.path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(r.body)}\r\n\r\n".encode() + r.body
    t = Try(tools.config, case.preset, capture, "--verify", "--json", suffix=".http")
    # The one certificate that has to be fetched is not.
    assert (t.code, t.answer["sender"].get("failed")) == ((1, "certificate_unknown") if case.preset == "ses" else (0, None)), t
    compare(tools, t, tools.post(r.source, r.body, r.headers, r.path))


def inject(d, directory, preset, data, options, path):
    """What the daemon says to the same, when it is injected."""
    file = directory / "body"
    file.write_bytes(data)
    options = options[:options.index("--query")] if "--query" in options else options
    done = d.touchlog("inject", preset, str(file), "--to", f"http://127.0.0.1:{d.ports['public']}/in/{preset}{path}",
                      "--preset-dir", harness.PRESETS, "--secret", f"plain:{senders.SECRET}", *options)
    answer = json.loads(done.stdout)
    return {"status": answer["status"], "body": json.loads(answer["body"])}


INJECTED = {"brevo", "freeswitch", "github", "postmark", "sendgrid-inbound", "slack", "stripe", "whatsapp"}


@needs_corpus
@pytest.mark.parametrize("preset", sorted(INJECTED))
def test_what_a_preset_alone_tells_is_what_inject_brings_into_the_log(tools, tmp_path, preset):
    posts = [p for p in corpus_posts.all_posts() if p.preset == preset]
    compared = 0
    for post in posts[::max(1, len(posts) // 6)]:
        forget(tools)
        data, options = post_options(post.body, post.headers, post.path)
        t = Try(tools.config, None, data, *options, "--preset", preset, "--preset-dir", harness.PRESETS)
        answer = inject(tools, tmp_path, preset, data, options, post.path)
        if answer["status"] not in (200, 202):
            assert t.answer["refused"]["status"] == answer["status"], (t, answer)
            continue
        told = [e for e in t.events if e["fate"] == "logged"]
        ids = [i for i in answer["body"].get("ids", [answer["body"].get("id")]) if i]
        assert len(ids) == len(told), (t, answer)
        for event, row_id in zip(told, ids):
            is_same(tools, event, tools.row(row_id))
            compared += 1
    assert compared > 0
