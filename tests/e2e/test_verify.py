# SPDX-License-Identifier: Apache-2.0
"""Who may post: every scheme of `verify`, what it lets in, what it refuses and what it tells of it.
A test name is a sentence that is true when it passes."""
import base64, gzip, hashlib, hmac, http.client, itertools, json, time

import pytest

import harness

SECRETS = ["plain:first s3cret", "plain:second s3cret", "env:E2E_THIRD"]
THIRD = "third s3cret"
LIVE = ["first s3cret", "second s3cret", THIRD]
WRONG = "n0t a secret"
HMAC = {"type": "webhook", "channel": "web", "header": "X-Signature", "secret": SECRETS}
SOURCES = {
    "open": {"type": "webhook", "channel": "web", "verify": "none"},
    "bearer": {"type": "webhook", "channel": "web", "verify": "bearer", "secret": SECRETS},
    "basic": {"type": "webhook", "channel": "web", "verify": "basic", "user": "shop", "secret": SECRETS},
    "head_token": {"type": "webhook", "channel": "web", "verify": "token", "header": "X-Token", "secret": SECRETS},
    "path_token": {"type": "webhook", "channel": "web", "verify": "token", "secret": SECRETS},
    **{f"{digest}_{encoding}": {**HMAC, "verify": f"hmac-{digest}", "encoding": encoding}
       for digest in ("sha1", "sha256", "sha512") for encoding in ("hex", "base64")},
    "prefixed": {**HMAC, "verify": "hmac-sha256", "prefix": "sha256="},
    "timed": {**HMAC, "verify": "hmac-sha256", "timestamp_header": "X-Time", "window": "30s"},
}
number = itertools.count(1)


@pytest.fixture(scope="module")
def house(cluster, tmp_path_factory):
    """One daemon with a source of every scheme."""
    database = cluster.fresh()
    with harness.Daemon(database, {"sources": SOURCES}, tmp_path_factory.mktemp("house"), env={"E2E_THIRD": THIRD}) as d:
        yield d
        # Whatever was tried, no secret was told.
        said = d.stderr() + d.get("/status").body.decode() + d.get("/metrics").body.decode()
        for secret in LIVE + [WRONG, base64.b64encode(b"shop:" + LIVE[0].encode()).decode()]:
            assert secret not in said
    database.drop()


def event():
    return json.dumps({"external_id": f"v-{next(number)}"}).encode()


def sign(source, body, secret, timestamp=None):
    """The headers of a right signature."""
    c = SOURCES[source]
    text = body if timestamp is None else str(timestamp).encode() + b"." + body
    digest = hmac.new(secret.encode(), text, getattr(hashlib, c["verify"].removeprefix("hmac-"))).digest()
    value = base64.b64encode(digest).decode() if c.get("encoding") == "base64" else digest.hex()
    return {"X-Signature": c.get("prefix", "") + value, **({"X-Time": str(timestamp)} if timestamp is not None else {})}


def proof(source, body, secret):
    """(headers, path) by which a source knows its sender."""
    if source == "open":
        return {}, ""
    if source == "bearer":
        return {"Authorization": f"Bearer {secret}"}, ""
    if source == "basic":
        return harness.basic("shop", secret), ""
    if source == "head_token":
        return {"X-Token": secret}, ""
    if source == "path_token":
        return {}, "/" + secret.replace(" ", "%20")
    return sign(source, body, secret, int(time.time()) if source == "timed" else None), ""


HMACS = [s for s in SOURCES if "header" in SOURCES[s] and s != "head_token"]
SECRETIVE = [s for s in SOURCES if s != "open"]


def is_refused(house, source, a, check, body=b""):
    """401 that tells the sender nothing, and the operator what failed."""
    assert a.status == 401 and a.headers["content-type"] == "application/problem+json", a
    assert a.json()["detail"] == "the sender is not known"
    latest = house.counts(source)["refusals"][0]
    assert (latest["request"], latest["check"], latest["bytes"]) == (a.headers["x-request-id"], check, len(body)), latest
    assert abs(latest["at"] - time.time()) < 60
    assert house.metrics()[f'touchlog_requests_refused_total{{source="{source}",reason="{check}"}}'] >= 1
    told = a.body.decode() + str(a.headers)
    for secret in LIVE + [WRONG]:
        assert secret not in told
        if body and source in HMACS:
            assert sign(source, body, secret)["X-Signature"].removeprefix("sha256=")[:12] not in told + house.stderr()


@pytest.mark.parametrize("source", SOURCES)
def test_who_knows_any_of_the_live_secrets_is_let_in(house, source):
    for secret in LIVE:
        body = event()
        headers, path = proof(source, body, secret)
        a = house.post(source, body, headers, path)
        assert a.status == 200 and a.json()["status"] == "logged", a


@pytest.mark.parametrize("source", SECRETIVE)
def test_who_knows_another_secret_is_refused(house, source):
    for secret in (WRONG, LIVE[0][:-1], LIVE[0] + "x", LIVE[0].upper()):
        body = event()
        headers, path = proof(source, body, secret)
        is_refused(house, source, house.post(source, body, headers, path), "signature" if source in HMACS else "token", body)


@pytest.mark.parametrize("source", SECRETIVE)
def test_who_shows_nothing_is_refused(house, source):
    body = event()
    is_refused(house, source, house.post(source, body), "token_missing" if source == "path_token" else "header_missing", body)


@pytest.mark.parametrize("source", [s for s in SECRETIVE if s != "path_token"])
def test_who_shows_it_twice_is_refused_although_both_are_right(house, source):
    body = event()
    headers, _ = proof(source, body, LIVE[0])
    ((name, value), *others) = headers.items()
    raw = b"".join(b"%s: %s\r\n" % (n.encode(), v.encode()) for n, v in [(name, value), (name.lower(), value), *others])
    with house.connect() as c:
        c.sendall(b"POST /in/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s" % (source.encode(), len(body), raw, body))
        response = http.client.HTTPResponse(c)
        response.begin()
        is_refused(house, source, harness.Answer(response), "header_repeated", body)


@pytest.mark.parametrize("source", HMACS)
@pytest.mark.parametrize("damage, check", (
    (lambda s: s[:-1], "encoding"), (lambda s: s[:-2], "encoding"), (lambda s: s + s, "encoding"), (lambda s: s + "00", "encoding"),
    (lambda s: s + "," + s, "encoding"), (lambda s: "", "encoding"), (lambda s: "%" + s[1:], "encoding"), (lambda s: s[:8], "encoding"),
    (lambda s: ("A" if s[0] not in "aA" else "B") + s[1:], "signature")),
    ids=("cut", "cut two", "doubled", "longer", "listed", "empty", "odd", "short", "other"))
def test_a_damaged_signature_is_refused(house, source, damage, check):
    body = event()
    headers = sign(source, body, LIVE[0], int(time.time()) if source == "timed" else None)
    prefix = SOURCES[source].get("prefix", "")
    headers["X-Signature"] = prefix + damage(headers["X-Signature"][len(prefix):])
    is_refused(house, source, house.post(source, body, headers), check, body)


@pytest.mark.parametrize("source", HMACS)
def test_the_signature_of_other_bytes_is_refused_and_nothing_is_logged(house, source):
    body, other = event(), event()
    headers = sign(source, other, LIVE[0], int(time.time()) if source == "timed" else None)
    a = house.post(source, body, headers)
    is_refused(house, source, a, "signature", body)
    assert house.database.one(f"SELECT count(*) FROM touchlog.seen WHERE id = '{a.headers['x-request-id']}'") == 0
    assert house.post(source, body + b" ", {**headers, **sign(source, body, LIVE[0], headers.get("X-Time"))}).status == 401


def test_hex_is_read_in_capitals_too(house):
    body = event()
    headers = sign("sha256_hex", body, LIVE[1])
    assert house.post("sha256_hex", body, {"X-Signature": headers["X-Signature"].upper()}).status == 200


def test_the_encoding_is_the_one_that_is_set(house):
    body = event()
    is_refused(house, "sha256_hex", house.post("sha256_hex", body, sign("sha256_base64", body, LIVE[0])), "encoding", body)
    is_refused(house, "sha256_base64", house.post("sha256_base64", body, sign("sha256_hex", body, LIVE[0])), "encoding", body)


def test_a_signature_of_a_packed_body_is_of_the_packed_bytes(house):
    body = gzip.compress(event())
    assert house.post("sha256_hex", body, {**sign("sha256_hex", body, LIVE[0]), "Content-Encoding": "gzip"}).status == 200
    a = house.post("sha256_hex", body, {**sign("sha256_hex", gzip.decompress(body), LIVE[0]), "Content-Encoding": "gzip"})
    is_refused(house, "sha256_hex", a, "signature", body)


@pytest.mark.parametrize("value", ("sha1=", "SHA256=", "", "sha256:"))
def test_the_prefix_is_wanted_to_the_letter(house, value):
    body = event()
    right = sign("prefixed", body, LIVE[0])["X-Signature"].removeprefix("sha256=")
    is_refused(house, "prefixed", house.post("prefixed", body, {"X-Signature": value + right}), "prefix", body)


@pytest.mark.parametrize("off_s, per_s, is_in", ((-25, 1, True), (25, 1, True), (0, 1000, True), (-25, 1000, True), (-40, 1, False),
                                                 (40, 1, False), (-40, 1000, False), (-10**9, 1, False), (10**10, 1, False)))
def test_the_time_of_signing_is_within_the_window(house, off_s, per_s, is_in):
    body = event()
    a = house.post("timed", body, sign("timed", body, LIVE[0], int((time.time() + off_s) * per_s)))
    if is_in:
        assert a.status == 200, a
    else:
        is_refused(house, "timed", a, "window", body)


@pytest.mark.parametrize("timestamp", ("", "now", "-1", "+1", "1e9", "99999999999999999999999", "1.5"))
def test_a_time_that_is_none_is_refused_although_it_is_signed(house, timestamp):
    body = event()
    is_refused(house, "timed", house.post("timed", body, sign("timed", body, LIVE[0], timestamp)), "timestamp", body)


def test_the_time_is_part_of_what_is_signed(house):
    body = event()
    now = int(time.time())
    is_refused(house, "timed", house.post("timed", body, {**sign("timed", body, LIVE[0], now), "X-Time": str(now + 1)}), "signature", body)
    is_refused(house, "timed", house.post("timed", body, {**sign("timed", body, LIVE[0]), "X-Time": str(now)}), "signature", body)
    is_refused(house, "timed", house.post("timed", body, sign("timed", body, LIVE[0])), "timestamp_missing", body)


@pytest.mark.parametrize("source, value, check", (
    ("bearer", "Basic {}", "prefix"), ("bearer", "{}", "prefix"), ("bearer", "Bearer", "token"), ("bearer", "Bearer {} {}", "token"),
    ("bearer", "Bearer {}x", "token"), ("basic", "Bearer {}", "prefix"), ("basic", "Basic {}", "encoding"), ("basic", "Basic c2hvcA==", "encoding"),
    ("basic", "Basic ====", "encoding"), ("basic", "Basic", "encoding")))
def test_odd_credentials_are_refused(house, source, value, check):
    body = event()
    a = house.post(source, body, {"Authorization": value.format(LIVE[0], LIVE[0])})
    is_refused(house, source, a, check, body)


def test_the_word_before_the_credentials_is_read_in_any_case(house):
    assert house.post("bearer", event(), {"Authorization": f"bEARER  {LIVE[0]}"}).status == 200


def test_another_user_is_refused_although_the_secret_is_right(house):
    body = event()
    is_refused(house, "basic", house.post("basic", body, harness.basic("root", LIVE[0])), "user", body)
    is_refused(house, "basic", house.post("basic", body, harness.basic("", LIVE[0])), "user", body)


@pytest.mark.parametrize("source, challenge", (("bearer", "Bearer"), ("basic", 'Basic realm="touchlog"'), ("head_token", None), ("sha1_hex", None)))
def test_a_refusal_says_what_it_wants_as_rfc_9110_has_it(house, source, challenge):
    assert house.post(source, event()).headers.get("www-authenticate") == challenge


@pytest.mark.parametrize("path, status", (("/first%20s3cret", 200), ("/first%20s3cret/", 401), ("/first%2", 404), ("/first%zz", 404), ("/", 401),
                                          ("/" + "x" * 1025, 404), ("/first%20s3cret%00", 401), ("//first%20s3cret", 401)))
def test_the_token_in_the_path_is_the_whole_last_part(house, path, status):
    assert house.post("path_token", event(), path=path).status == status


def test_a_token_in_the_path_helps_only_where_it_is_looked_for(house):
    body = event()
    assert house.post("head_token", body, path="/first%20s3cret").status == 401
    assert house.post("open", body, path="/first%20s3cret").status == 404
    assert house.post("path_token", body, {"X-Token": LIVE[0]}).status == 401


def test_who_is_not_known_learns_nothing_about_the_rest(house):
    for body, headers in ((b"{", {}), (b"[]", {"Content-Type": "text/plain"}), (b"x", {"Content-Encoding": "gzip"}), (b"", {})):
        assert house.post("sha256_hex", body, headers).status == 401


def test_an_unknown_sender_costs_the_known_ones_nothing_of_their_rate(daemon):
    d = daemon(sources={"slow": {**SOURCES["bearer"], "secret": "plain:" + LIVE[0], "rate": 1}})
    for _ in range(20):
        assert d.post("slow", event(), {"Authorization": "Bearer x"}).status == 401
    assert d.post("slow", event(), {"Authorization": f"Bearer {LIVE[0]}"}).status == 200


def test_the_last_20_refusals_are_kept_and_a_flood_of_them_does_not_flood_the_log(daemon):
    d = daemon(sources={"one": SOURCES["bearer"] | {"secret": "plain:" + LIVE[0]}})
    ids = [d.post("one", event(), {"Authorization": "Bearer x"}).headers["x-request-id"] for _ in range(60)]
    counts = d.counts("one")
    assert [r["request"] for r in counts["refusals"]] == ids[:-21:-1] and counts["refused"] == 60
    assert d.metrics()['touchlog_requests_refused_total{source="one",reason="token"}'] == 60
    lines = d.logged("request_refused")
    assert lines and {l["request"] for l in lines} <= set(ids) and len(lines) < 60
    assert {(l["source"], l["check"]) for l in lines} == {("one", "token")}


def test_secrets_are_rolled_by_a_reload(daemon):
    sources = {"one": {**SOURCES["bearer"], "secret": "plain:old"}}
    d = daemon(sources=sources)

    def status(secret):
        return d.post("one", event(), {"Authorization": f"Bearer {secret}"}).status

    for secrets, old, new in ((["plain:old", "plain:new"], 200, 200), ("plain:new", 401, 200)):
        assert d.reload({"sources": {"one": {**SOURCES["bearer"], "secret": secrets}}})
        assert (status("old"), status("new")) == (old, new)
