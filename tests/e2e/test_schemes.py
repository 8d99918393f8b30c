# SPDX-License-Identifier: Apache-2.0
"""How tools sign, through a running daemon: by signers of our own, by the tools' genuine packages, by `inject`;
and the URL that is signed behind a proxy."""
import base64, hashlib, hmac, itertools, json, os, shutil, subprocess, time, urllib.parse

import pytest

import harness

NPM = os.path.join(harness.HERE, "npm")
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRET, OLD = "a s3cret of e2e", "the 0ld one of e2e"
PUBLIC = "https://log.example.com"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HMAC_SOURCES = ["stripe", "github", "slack", "twilio", "mailgun", "hubspot", "typeform", "calendly", "meta", "shopify",
                "mandrill"]
number = itertools.count(1)


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A key pair as SendGrid's: (file of the private one, base64 of it, base64 of the public one)."""
    path = str(tmp_path_factory.mktemp("keys") / "p256.pem")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    private = openssl("pkcs8", "-topk8", "-nocrypt", "-in", path, "-outform", "DER")
    public = openssl("pkey", "-in", path, "-pubout", "-outform", "DER")
    return path, base64.b64encode(private).decode(), base64.b64encode(public).decode()


def source(verify, secret, **more):
    return {"type": "webhook", "channel": "web", "verify": verify, "secret": secret, **more}


@pytest.fixture(scope="module")
def house(cluster, tmp_path_factory, keys):
    """One daemon with a source of every scheme, two live secrets each, and public_url set."""
    database = cluster.fresh()
    sources = {name: source(name, [f"plain:{SECRET}", f"plain:{OLD}"]) for name in HMAC_SOURCES}
    sources["standard-webhooks"] = source("standard-webhooks", [f"plain:{WHSEC}"])
    sources["sendgrid"] = source("sendgrid", [f"plain:{keys[2]}"])
    config = {"public_url": PUBLIC, "sources": sources}
    with harness.Daemon(database, config, tmp_path_factory.mktemp("house")) as d:
        yield d
        said = d.stderr() + d.get("/status").body.decode() + d.get("/metrics").body.decode()
        for secret in (SECRET, OLD, WHSEC):
            assert secret not in said
    database.drop()


def event():
    return json.dumps({"external_id": f"s-{next(number)}"}).encode()


# ---- signers of our own, from INTERFACES ----

def mac(secret, text, algorithm="sha256"):
    return hmac.new(secret.encode(), text, algorithm).digest()


def b64(raw):
    return base64.b64encode(raw).decode()


def twilio(secret, url, params=()):
    text = url + "".join(k + v for k, v in sorted(set(params)))
    return {"X-Twilio-Signature": b64(mac(secret, text.encode(), "sha1"))}


def sign(scheme, body, secret, now, path, keys=None):
    """(headers, body, path) as the tool would send it."""
    t, url = str(int(now)), PUBLIC + path
    if scheme == "standard-webhooks":
        digest = hmac.new(base64.b64decode(secret[6:]), f"msg_1.{t}.".encode() + body, "sha256").digest()
        return {"webhook-id": "msg_1", "webhook-timestamp": t, "webhook-signature": "v1," + b64(digest)}, body, path
    if scheme in ("stripe", "calendly"):
        name = {"stripe": "Stripe-Signature", "calendly": "Calendly-Webhook-Signature"}[scheme]
        return {name: f"t={t},v1={mac(secret, t.encode() + b'.' + body).hex()}"}, body, path
    if scheme in ("github", "meta"):
        return {"X-Hub-Signature-256": "sha256=" + mac(secret, body).hex(), "X-Hub-Signature": "sha1=00"}, body, path
    if scheme == "slack":
        digest = mac(secret, f"v0:{t}:".encode() + body).hex()
        return {"X-Slack-Request-Timestamp": t, "X-Slack-Signature": "v0=" + digest}, body, path
    if scheme == "twilio":
        query = "?bodySHA256=" + hashlib.sha256(body).hexdigest()
        return twilio(secret, url + query), body, path + query
    if scheme == "sendgrid":
        signature = openssl("dgst", "-sha256", "-sign", keys[0], data=t.encode() + body)
        name = "X-Twilio-Email-Event-Webhook-"
        return {name + "Timestamp": t, name + "Signature": b64(signature)}, body, path
    if scheme == "mailgun":
        token = hashlib.sha256(os.urandom(8)).hexdigest()[:50]
        whole = {"signature": {"timestamp": t, "token": token, "signature": mac(secret, (t + token).encode()).hex()},
                 **json.loads(body)}
        return {}, json.dumps(whole).encode(), path
    if scheme == "hubspot":
        ms = str(int(now * 1000))
        digest = mac(secret, b"POST" + url.encode() + body + ms.encode())
        return {"X-HubSpot-Request-Timestamp": ms, "X-HubSpot-Signature-v3": b64(digest)}, body, path
    if scheme == "typeform":
        return {"Typeform-Signature": "sha256=" + b64(mac(secret, body))}, body, path
    if scheme == "shopify":
        return {"X-Shopify-Hmac-Sha256": b64(mac(secret, body))}, body, path
    raise AssertionError(scheme)


def secret_of(scheme):
    return WHSEC if scheme == "standard-webhooks" else SECRET


def send(d, scheme, headers, body, path):
    assert path.startswith(f"/in/{scheme}")
    return d.post(scheme, body, headers, path[len(f"/in/{scheme}"):])


def is_refused(d, scheme, a, check):
    """401 that tells the sender nothing, and the operator what failed."""
    assert a.status == 401 and a.json()["detail"] == "the sender is not known", a
    latest = d.counts(scheme)["refusals"][0]
    assert (latest["request"], latest["check"]) == (a.headers["x-request-id"], check)


JSON_SCHEMES = [s for s in HMAC_SOURCES if s != "mandrill"] + ["standard-webhooks", "sendgrid"]
WINDOWS = {"standard-webhooks": 300, "stripe": 300, "slack": 300, "sendgrid": 25 * 3600, "mailgun": 9 * 3600,
           "hubspot": 300, "calendly": 180}


@pytest.mark.parametrize("scheme", JSON_SCHEMES)
def test_a_request_signed_as_the_tool_does_is_logged(house, keys, scheme):
    a = send(house, scheme, *sign(scheme, event(), secret_of(scheme), time.time(), f"/in/{scheme}", keys))
    assert a.status == 200 and a.json()["status"] == "logged", a


@pytest.mark.parametrize("scheme", [s for s in JSON_SCHEMES if s in HMAC_SOURCES])
def test_the_second_secret_verifies_and_another_does_not(house, keys, scheme):
    a = send(house, scheme, *sign(scheme, event(), OLD, time.time(), f"/in/{scheme}", keys))
    assert a.status == 200, a
    a = send(house, scheme, *sign(scheme, event(), "neither", time.time(), f"/in/{scheme}", keys))
    is_refused(house, scheme, a, "signature")


@pytest.mark.parametrize("scheme", WINDOWS)
@pytest.mark.parametrize("side", [-1, 1])
def test_a_time_outside_the_window_is_refused_on_either_side(house, keys, scheme, side):
    for off, check in ((WINDOWS[scheme] - 60, None), (WINDOWS[scheme] + 60, "window")):
        a = send(house, scheme, *sign(scheme, event(), secret_of(scheme), time.time() + side * off, f"/in/{scheme}", keys))
        if check:
            is_refused(house, scheme, a, check)
        else:
            assert a.status == 200, a


@pytest.mark.parametrize("scheme", [s for s in JSON_SCHEMES if s != "mailgun"])
def test_another_body_under_a_genuine_signature_is_refused(house, keys, scheme):
    headers, body, path = sign(scheme, event(), secret_of(scheme), time.time(), f"/in/{scheme}", keys)
    is_refused(house, scheme, send(house, scheme, headers, body + b" ", path),
               "body_hash" if scheme == "twilio" else "signature")


def test_a_mailgun_token_carries_one_body_and_its_retries(house):
    headers, body, path = sign("mailgun", event(), SECRET, time.time(), "/in/mailgun")
    first, again = (send(house, "mailgun", headers, body, path) for _ in range(2))
    assert (first.status, first.json()["status"]) == (200, "logged"), first
    assert (again.status, again.json()["status"]) == (200, "duplicate"), again
    forged = body.replace(b'"external_id": "', b'"external_id": "forged-')
    assert forged != body
    is_refused(house, "mailgun", send(house, "mailgun", headers, forged, path), "token_used")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_hubspots_older_versions_verify_by_their_header(house, version):
    body, url = event(), f"{PUBLIC}/in/hubspot"
    text = SECRET + (f"POST{url}" if version == "v2" else "") + body.decode()
    headers = {"X-HubSpot-Signature-Version": version, "X-HubSpot-Signature": hashlib.sha256(text.encode()).hexdigest()}
    assert house.post("hubspot", body, headers).status == 200
    is_refused(house, "hubspot", house.post("hubspot", body + b" ", headers), "signature")


@pytest.mark.parametrize("scheme", ["twilio", "mandrill"])
def test_a_form_is_known_by_its_sorted_fields(house, scheme):
    fields = [("To", "+18005551212"), ("From", "a b&c"), ("MediaUrl", "b"), ("MediaUrl", "a"), ("Empty", "")]
    body = urllib.parse.urlencode(fields)
    header = {"twilio": "X-Twilio-Signature", "mandrill": "X-Mandrill-Signature"}[scheme]
    headers = {header: twilio(SECRET, f"{PUBLIC}/in/{scheme}", fields)["X-Twilio-Signature"], **FORM}
    assert house.post(scheme, body, headers).status != 401
    is_refused(house, scheme, house.post(scheme, body + "&x=y", headers), "signature")
    is_refused(house, scheme, house.post(scheme, body + "%", headers), "form")
    is_refused(house, scheme, house.post(scheme, b"{}", {**headers, "Content-Type": "application/json"}), "body_unsigned")


# ---- the URL ----

URL_SOURCES = {
    "plain": source("twilio", f"plain:{SECRET}"),
    "own": source("twilio", f"plain:{SECRET}", public_url="https://own.example"),
    "whole": source("twilio", f"plain:{SECRET}", public_url="https://own.example/hooks/calls"),
}


def post_signed_for(d, name, url, headers=None):
    """Signs for this URL (its query is the request's) and posts to the source."""
    body = event()
    query = f"?secret_word=hidden&bodySHA256={hashlib.sha256(body).hexdigest()}"
    return d.post(name, body, {**twilio(SECRET, url + query), **(headers or {})}, query)


FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "proxy.example"}


def test_behind_a_trusted_proxy_its_forwarded_headers_make_the_url(daemon):
    d = daemon(sources=URL_SOURCES, trusted_proxies=["10.0.0.0/8", "127.0.0.1/32"])
    assert post_signed_for(d, "plain", "https://proxy.example/in/plain", FORWARDED).status == 200
    forged = {**FORWARDED, "X-Forwarded-Host": "forged.example, proxy.example"}
    assert post_signed_for(d, "plain", "https://proxy.example/in/plain", forged).status == 200
    is_refused(d, "plain", post_signed_for(d, "plain", "https://forged.example/in/plain", forged), "signature")
    # Its own setting comes first.
    assert post_signed_for(d, "own", "https://own.example/in/own", FORWARDED).status == 200
    is_refused(d, "own", post_signed_for(d, "own", "https://proxy.example/in/own", FORWARDED), "signature")
    assert post_signed_for(d, "whole", "https://own.example/hooks/calls", FORWARDED).status == 200


def test_forwarded_headers_of_anybody_else_do_not_count(daemon):
    d = daemon(sources=URL_SOURCES, trusted_proxies=["10.0.0.0/8"])
    host = f"127.0.0.1:{d.ports['public']}"
    is_refused(d, "plain", post_signed_for(d, "plain", "https://proxy.example/in/plain", FORWARDED), "signature")
    assert post_signed_for(d, "plain", f"http://{host}/in/plain", FORWARDED).status == 200


def test_a_refusal_tells_its_check_and_url_to_the_log_without_the_querys_values(daemon):
    d = daemon(public_url=PUBLIC + "/", sources=URL_SOURCES)
    a = post_signed_for(d, "plain", "https://elsewhere.example/in/plain")
    is_refused(d, "plain", a, "signature")
    assert b"example" not in a.body and b"signature" not in a.body
    (line,) = d.logged("request_refused")
    assert (line["check"], line["source"], line["request"]) == ("signature", "plain", a.headers["x-request-id"])
    assert line["url"] == f"{PUBLIC}/in/plain?secret_word=&bodySHA256="
    assert "hidden" not in d.stderr()


def test_settings_that_make_no_sense_are_errors_at_their_place(database, tmp_path):
    for config, text in (
            ({"public_url": "log.example.com", "sources": {}}, "public_url: http:// or https://"),
            ({"trusted_proxies": ["::1", "proxy"], "sources": {}}, "trusted_proxies: entry 2 is no address"),
            ({"sources": {"x": source("twilio", f"plain:{SECRET}", public_url="https://a?b")}}, "public_url: http:// or"),
            ({"sources": {"x": source("sendgrid", "plain:nokey")}}, "secret: a public key for the curve P-256"),
            ({"sources": {"x": source("standard-webhooks", "plain:whsec_?")}}, "secret: whsec_"),
            ({"sources": {"x": source("github", f"plain:{SECRET}", window="5m")}}, "verify: github has no use for window"),
            ({"sources": {"x": source("stripe", f"plain:{SECRET}", header="X")}}, "verify: stripe has no use for header")):
        path = harness.write_config(tmp_path, database, config)
        done = subprocess.run([harness.program("touchlogd"), "-c", path, "-t"], capture_output=True, text=True)
        assert done.returncode == 3 and text in done.stderr, (config, done)


# ---- handshakes ----

META = {"method": "GET", "when": {"query:hub.mode": "subscribe"}, "token": "query:hub.verify_token", "answer": "query:hub.challenge"}
HANDSHAKES = {
    "meta": source("meta", f"plain:{SECRET}", handshake=[META], verify_token=["plain:first word", "plain:second word"]),
    "slack": source("slack", f"plain:{SECRET}",
                    handshake=[{"method": "POST", "when": {"/type": "url_verification"}, "answer": "/challenge"}]),
    "mailchimp": source("token", f"plain:{SECRET}", handshake=[{"method": "GET", "answer": "=ok"}]),
    "graph": {"type": "webhook", "channel": "web", "verify": "none", "handshake": [
        {"method": "POST", "when": {"query:validationToken": "yes"}, "answer": "query:validationToken"}]},
}


@pytest.fixture(scope="module")
def greeter(cluster, tmp_path_factory):
    """One daemon with a source of every handshake."""
    database = cluster.fresh()
    with harness.Daemon(database, {"sources": HANDSHAKES}, tmp_path_factory.mktemp("greeter")) as d:
        yield d
        assert "first word" not in d.stderr() and "second word" not in d.stderr()
    database.drop()


def ask(d, method, path, body=None, headers=None):
    return harness.request(d.ports["public"], method, "/in/" + path, body, headers)


def is_answered(a, text):
    assert (a.status, a.body.decode()) == (200, text), a
    assert a.headers["content-type"] == "text/plain; charset=utf-8" and a.headers["x-content-type-options"] == "nosniff"


def hub(token, challenge="115 82", mode="subscribe"):
    return "meta?" + urllib.parse.urlencode({"hub.mode": mode, "hub.challenge": challenge, "hub.verify_token": token})


@pytest.mark.parametrize("token", ["first word", "second word"])
def test_metas_subscription_is_answered_with_its_challenge(greeter, token):
    is_answered(ask(greeter, "GET", hub(token)), "115 82")


@pytest.mark.parametrize("token", ["First word", "first", "first word ", "", "third"])
def test_a_wrong_verify_token_is_403_and_tells_nothing(greeter, token):
    a = ask(greeter, "GET", hub(token))
    assert a.status == 403 and b"115" not in a.body and b"token" not in a.body, a
    assert greeter.counts("meta")["refusals"][0]["check"] == "verify_token"


def test_what_is_no_handshake_goes_the_usual_way(greeter):
    assert ask(greeter, "GET", "meta?hub.mode=subscribe&hub.challenge=1").status == 403
    for path in (hub("first word", mode="unsubscribe"), "meta", "slack", "graph?validationToken=x"):
        a = ask(greeter, "GET", path)
        assert a.status == 405 and a.headers["allow"] == "POST", (path, a)
    assert ask(greeter, "DELETE", hub("first word")).status == 405
    body = event()
    assert greeter.post("meta", body, sign("meta", body, SECRET, time.time(), "")[0]).status == 200


def slack(d, body, secret=SECRET):
    body = json.dumps(body).encode()
    return d.post("slack", body, sign("slack", body, secret, time.time(), "")[0])


def test_slacks_url_verification_is_answered_once_it_is_signed(greeter):
    hello = {"type": "url_verification", "token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV"}
    is_answered(slack(greeter, hello), hello["challenge"])
    a = slack(greeter, hello, "another")
    assert a.status == 401 and hello["challenge"].encode() not in a.body
    a = slack(greeter, {"external_id": "url_verification", "subject": "not of that type", "kind": "note"})
    assert a.status == 200 and a.json()["status"] == "logged", a


def test_a_constant_answers_whoever_asks_whether_we_are_there(greeter):
    is_answered(ask(greeter, "GET", "mailchimp/" + urllib.parse.quote(SECRET)), "ok")
    a = ask(greeter, "HEAD", "mailchimp")
    assert (a.status, a.body) == (200, b"")
    assert ask(greeter, "POST", "mailchimp/wrong", b"{}").status == 401


def test_a_validation_token_comes_back_decoded_and_as_plain_text_only(greeter):
    for token in ("Validation: Testing client application", "<script>alert(1)</script>", "naïve+&=%"):
        a = ask(greeter, "POST", "graph?validationToken=" + urllib.parse.quote_plus(token), b"", {"Content-Type": "text/plain"})
        is_answered(a, token)
    for token in ("x" * 1025, "a\r\nSet-Cookie: b", "a\x00b", "\x1b[2J"):
        a = ask(greeter, "POST", "graph?validationToken=" + urllib.parse.quote(token), b"")
        assert a.status == 400 and token.encode() not in a.body, a
    assert ask(greeter, "POST", "graph?validationToken=%ff", b"").status in (400, 415)
    assert greeter.post("graph", event()).json()["status"] == "logged"


def test_an_answer_is_kept_among_the_requests_for_trace(greeter):
    a = ask(greeter, "GET", hub("first word"))
    done = greeter.touchlog("trace", a.headers["x-request-id"])
    assert done.returncode == 0 and "meta" in done.stdout, done


def test_a_source_that_is_paused_still_shakes_hands_by_get(daemon):
    d = daemon(sources={name: {**HANDSHAKES[name], "paused": True} for name in ("meta", "slack")})
    is_answered(ask(d, "GET", hub("first word")), "115 82")
    assert slack(d, {"type": "url_verification", "challenge": "x"}).status == 503


def test_a_handshake_that_makes_no_sense_is_an_error_at_its_place(database, tmp_path):
    for handshake, more, text in (
            ({"method": "GET"}, {}, "handshake: a list is wanted"),
            (["GET"], {}, "handshake: a map is wanted"),
            ([{"answer": "=ok"}], {}, "handshake: method: GET or POST is wanted"),
            ([{"method": "PUT", "answer": "=ok"}], {}, "handshake: method: GET or POST is wanted"),
            ([{"method": "GET"}], {}, "handshake: answer is required"),
            ([{"method": "GET", "answer": "=ok", "reply": 1}], {}, 'handshake: unknown key "reply"'),
            ([{"method": "GET", "answer": "/challenge"}], {}, "handshake: a GET has no body"),
            ([{"method": "GET", "when": {"/type": "x"}, "answer": "=ok"}], {}, "handshake: a GET has no body"),
            ([{"method": "POST", "answer": {"from": "/a", "trims": True}}], {}, "handshake.answer"),
            ([META], {}, "verify_token: is required"),
            ([{"method": "GET", "answer": "=ok"}], {"verify_token": "plain:x"}, "verify_token: no handshake"),
            ([META], {"verify_token": "env:E2E_EMPTY"}, "verify_token")):
        config = {"sources": {"x": source("github", f"plain:{SECRET}", handshake=handshake, **more)}}
        path = harness.write_config(tmp_path, database, config)
        done = subprocess.run([harness.program("touchlogd"), "-c", path, "-t"], capture_output=True, text=True,
                              env={**os.environ, "E2E_EMPTY": ""})
        assert done.returncode == 3 and text in done.stderr and "touchlog.yaml:" in done.stderr, (handshake, done)


# ---- the tools' own packages ----

@pytest.fixture(scope="module")
def npm():
    """Posts by the genuine package of a tool."""
    if os.environ.get("TOUCHLOG_NO_REGISTRY"):      # tests/run says so
        pytest.skip("npm reaches no registry: the genuine packages cannot be had")
    if not shutil.which("node"):
        if not os.environ.get("TOUCHLOG_CORPUS"):
            pytest.skip("node is not installed: apt-get install nodejs npm")
        pytest.fail("node is not installed: apt-get install nodejs npm")
    if not os.path.isdir(os.path.join(NPM, "node_modules")):
        pytest.fail("run npm install in tests/e2e/npm, as tests/run does")

    def send(d, source, package, body, secret, path="", **headers):
        path = f"/in/{source}{path}"
        request = {"with": package, "url": PUBLIC + path, "post_to": f"http://127.0.0.1:{d.ports['public']}{path}",
                   "secret": secret, "body": body, "id": f"msg_{next(number)}", "timestamp": int(time.time()),
                   "headers": {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}}
        done = subprocess.run(["node", "send.js"], input=json.dumps(request), capture_output=True, text=True, cwd=NPM, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return send


@pytest.mark.parametrize("package, name, secret", [
    ("standardwebhooks", "standard-webhooks", WHSEC), ("svix", "standard-webhooks", WHSEC), ("stripe", "stripe", SECRET),
    ("github", "github", SECRET), ("twilio", "twilio", SECRET)])
def test_what_the_genuine_package_signs_is_logged(house, npm, package, name, secret):
    body = json.dumps({"external_id": f"npm-{next(number)}", "subject": "naïve ☎"}, ensure_ascii=False)
    a = npm(house, name, package, body, secret, "?a=1&b=it%27s+x" if package == "twilio" else "")
    assert a["status"] == 200 and json.loads(a["body"])["status"] == "logged", a
    wrong = "whsec_" + b64(b"another key of that length") if package in ("standardwebhooks", "svix") else "wrong"
    assert npm(house, name, package, body, wrong)["status"] == 401


def test_a_form_that_the_genuine_twilio_signs_is_let_in(house, npm):
    body = urllib.parse.urlencode([("To", "+31 20"), ("MediaUrl", "http://b/2"), ("MediaUrl", "http://a/1"), ("MediaUrl", "http://a/1"),
                                   ("Body", "naïve & ☎"), ("Empty", "")])
    assert npm(house, "twilio", "twilio", body, SECRET, "?x=%27", **{"Content-Type": FORM["Content-Type"]})["status"] != 401
    assert npm(house, "twilio", "twilio", body, "wrong", "?x=%27", **{"Content-Type": FORM["Content-Type"]})["status"] == 401


# ---- touchlog inject ----

@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """A folder of presets that say how to verify, among other things."""
    folder = tmp_path_factory.mktemp("presets")
    for name in JSON_SCHEMES + ["mandrill"]:
        (folder / f"{name}.yaml").write_text(f"verify: {name}\nchannel: web\nmap:\n  kind: /a\n")
    (folder / "own.yaml").write_text("verify: hmac-sha512\nheader: X-Own\nprefix: 'v='\nencoding: base64\ntimestamp_header: X-Time\n")
    (folder / "token.yaml").write_text("verify: token\n")
    (folder / "basic.yaml").write_text("verify: basic\n")
    (folder / "open.yaml").write_text("verify: none\n")
    (folder / "broken.yaml").write_text("verify: [\n")
    (folder / "odd.yaml").write_text("verify: magic\n")
    return str(folder)


def inject(d, presets, preset, path, *args, body=b"", source=None):
    to = f"http://127.0.0.1:{d.ports['public']}/in/{source or preset}"
    file = os.path.join(d.directory, "payload")
    with open(file, "wb") as f:
        f.write(body)
    return d.touchlog("inject", preset, file, "--to", to + path, "--preset-dir", presets, *args)


@pytest.mark.parametrize("scheme", JSON_SCHEMES)
def test_inject_signs_as_the_tool_would(house, presets, keys, scheme):
    secret = keys[1] if scheme == "sendgrid" else secret_of(scheme)
    url = f"{PUBLIC}/in/{scheme}?x=1"
    done = inject(house, presets, scheme, "?x=1", "--secret", f"plain:{secret}", "--url", url, body=event())
    assert done.returncode == 0 and done.stdout.startswith("200 OK\n") and '"status":"logged"' in done.stdout, done
    wrong = {"sendgrid": "", "standard-webhooks": "whsec_" + b64(b"another key of that length")}.get(scheme, "wrong")
    if wrong:
        done = inject(house, presets, scheme, "?x=1", "--secret", f"plain:{wrong}", "--url", url, "--json", body=event())
        assert done.returncode == 1 and json.loads(done.stdout)["status"] == 401, done


def test_inject_posts_forms_by_their_look(house, presets):
    done = inject(house, presets, "mandrill", "", "--secret", f"plain:{SECRET}", "--url", f"{PUBLIC}/in/mandrill",
                  body=b"mandrill_events=%5B%5D")
    assert not done.stdout.startswith("401"), done


def test_inject_knows_the_simple_schemes_too(daemon, presets):
    d = daemon(sources={"own": {**source("hmac-sha512", f"plain:{SECRET}"), "header": "X-Own", "prefix": "v=", "encoding": "base64",
                                "timestamp_header": "X-Time"},
                        "token": source("token", f"plain:{SECRET}"), "basic": source("basic", f"plain:{SECRET}", user="me"),
                        "open": {"type": "webhook", "channel": "web", "verify": "none"}})
    for name, args in (("own", ()), ("token", ()), ("basic", ("--user", "me"))):
        done = inject(d, presets, name, "?a=b", "--secret", f"plain:{SECRET}", *args, body=event())
        assert done.returncode == 0, (name, done)
    done = inject(d, presets, "open", "", "-H", "Idempotency-Key: k1", "-H", "X-Other: x", body=b'{"kind":"note"}')
    assert done.returncode == 0, done
    again = inject(d, presets, "open", "", "-H", "Idempotency-Key: k1", "--json", body=b'{"kind":"note"}')
    assert json.loads(json.loads(again.stdout)["body"])["status"] == "duplicate", again


def test_inject_says_what_it_cannot_do_and_why(house, presets):
    to = f"http://127.0.0.1:{house.ports['public']}/in/github"
    folder = ("--preset-dir", presets)
    for args, code, text in (
            (("github",), 2, "--to is wanted"),
            (("github", "--to", "https://log.example.com/in/x"), 2, "http:// is spoken only"),
            (("github", "--to", "http://"), 2, "it names no host"),
            (("github", "--to", to), 2, "verify: github needs secret"),
            (("github", "--to", to, "--secret", "nothing"), 2, "--secret: "),
            (("nobody", "--to", to), 4, "there is no preset nobody"),
            (("../presets/github", "--to", to), 4, "there is no preset"),
            (("broken", "--to", to), 3, "broken.yaml:"),
            (("odd", "--to", to), 3, "verify: magic"),
            (("sendgrid", "--to", to, "--secret", "plain:x"), 2, "a private key for the curve P-256"),
            (("github", "/nonexistent/file", "--to", to, "--secret", "plain:x"), 1, "/nonexistent/file"),
            (("github", "--to", "http://127.0.0.1:9/in/x", "--secret", "plain:x"), 1, "127.0.0.1:9: "),
            (("github", "--to", to, "--secret", "plain:x", "-H", "no colon"), 2, "a name, a colon and a value"),
            (("mailgun", "--to", to, "--secret", "plain:x"), 2, "a JSON object or a form is wanted"),
            (("twilio", "--to", to, "--secret", "plain:x", "--content-type", FORM["Content-Type"], os.path.join(presets, "odd.yaml")), 1, "")):
        done = house.touchlog("inject", *args, *folder)
        assert done.returncode == code and text in done.stderr, (args, done)
