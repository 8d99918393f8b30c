# SPDX-License-Identifier: Apache-2.0
"""Amazon SNS: whose certificates are believed and how they are fetched, which subscriptions are confirmed.
A test name is a sentence that is true when it passes."""
import concurrent.futures, json, socket, subprocess, threading, time

import pytest

import fake_sns, harness
from harness import until

TEXT = {"Content-Type": "text/plain; charset=UTF-8"}


@pytest.fixture(scope="module")
def sns():
    return fake_sns.Sns()


def source(sns, **more):
    return {"type": "webhook", "verify": "amazon-sns", "channel": "email", "map": {"external_id": "/MessageId", "subject": "/Subject", "kind": "=message"},
            **sns.settings, **more}


@pytest.fixture
def house(daemon, sns):
    """A daemon that has fetched nothing yet; nothing else was asked of SNS."""
    sns.files.pop("/", None)
    sns.asked.clear()
    return daemon(sources={"mails": source(sns), "plain": {"type": "webhook", "verify": "none", "channel": "web"}})


def post(d, body, name="mails"):
    return d.post(name, body, TEXT)


def refused(d, answer, status, check):
    latest = d.counts("mails")["refusals"][0]
    assert answer.status == status and latest["check"] == check and latest["request"] == answer.headers["x-request-id"], (answer, latest)
    return answer


def logged(answer):
    assert answer.status == 200 and answer.json()["status"] == "logged", answer
    return answer


# ---- messages ----

@pytest.mark.parametrize("version", ["1", "2"])
def test_a_signed_message_is_logged_and_its_certificate_fetched_once(house, sns, version):
    a = logged(post(house, sns.message("hello", version=version, Subject="A \u00e9 \" \\ \n subject")))
    assert house.row(a.json()["id"])["subject"] == "A \u00e9 \" \\ \n subject"
    logged(post(house, sns.message("hello again", version=version)))
    assert sns.asked == ["/SimpleNotificationService-0a1b2c.pem"]
    (line,) = house.logged("certificate_fetched")
    assert line["source"] == "mails" and line["url"].endswith("/SimpleNotificationService-0a1b2c.pem")
    assert house.metrics()['touchlog_fetches_total{source="mails",result="certificate"}'] == 1


def test_a_message_that_comes_again_is_a_duplicate(house, sns):
    body = sns.message("once")
    first = logged(post(house, body)).json()["id"]
    assert post(house, body).json() == {"id": first, "status": "duplicate"}


def test_what_is_signed_cannot_be_changed(house, sns):
    message = json.loads(sns.message("hello", Subject="s"))
    logged(post(house, json.dumps(message)))
    for field in ("Message", "MessageId", "Subject", "Timestamp"):
        odd = {**message, field: str(int(message[field][:4]) + 1) + message[field][4:] if field == "Timestamp" else message[field] + " "}
        assert post(house, json.dumps(odd)).status == 401, field
    refused(house, post(house, json.dumps({**message, "Message": "x"})), 401, "signature")
    refused(house, post(house, json.dumps({k: v for k, v in message.items() if k != "Subject"})), 401, "signature")
    refused(house, post(house, json.dumps({**message, "SignatureVersion": "3"})), 401, "signature_version")
    refused(house, post(house, json.dumps({**message, "SignatureVersion": "1"})), 401, "signature")
    refused(house, post(house, json.dumps({**message, "Signature": "?"})), 401, "encoding")
    refused(house, post(house, json.dumps({**message, "Type": "Other"})), 401, "body_unsigned")
    refused(house, post(house, "{}"), 401, "body_unsigned")
    refused(house, post(house, "no JSON"), 401, "body_unsigned")
    refused(house, post(house, sns.message("old", Timestamp="2020-01-01T00:00:00.000Z")), 401, "window")


def test_another_topic_is_refused_however_well_it_signs(house, sns):
    refused(house, post(house, sns.message("hello", TopicArn=fake_sns.TOPIC + "2")), 401, "topic")
    assert sns.asked == []


@pytest.mark.parametrize("url", [
    "http://{host}/SimpleNotificationService-0a1b2c.pem", "https://127.0.0.1/SimpleNotificationService-0a1b2c.pem",
    "https://{host}.evil.example/SimpleNotificationService-0a1b2c.pem", "https://{host}@evil.example/SimpleNotificationService-0a1b2c.pem",
    "https://{host}/SimpleNotificationService-0a1b2c.pem?x", "https://{host}/x/../SimpleNotificationService-0a1b2c.pem",
    "https://{host}/SimpleNotificationService-.pem", "https://{host}", "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b2c.pem"])
def test_a_certificate_is_fetched_from_the_topics_own_host_only(house, sns, url):
    refused(house, post(house, sns.message("hello", SigningCertURL=url.format(host=sns.host))), 401, "certificate_url")
    assert sns.asked == []


def test_many_at_once_wait_for_one_certificate(house, sns):
    bodies = [sns.message(f"m{i}") for i in range(20)]
    sns.files["/SimpleNotificationService-5.pem"] = lambda h: (time.sleep(0.3), answer_file(sns, h))
    bodies += [sns.message(f"n{i}", path="/SimpleNotificationService-5.pem") for i in range(20)]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda b: post(house, b), bodies))
    assert all(a.status == 200 for a in answers), answers
    assert sorted(sns.asked) == ["/SimpleNotificationService-0a1b2c.pem", "/SimpleNotificationService-5.pem"]


def answer_file(sns, handler):
    with open(sns.certificate, "rb") as f:
        body = f.read()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


# ---- certificates that are none ----

def redirect(sns):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", f"https://{sns.host}/SimpleNotificationService-0a1b2c.pem")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
    return answer


def issued(sns, name, **how):
    def read():
        host = how.get("host", "sns.amazonaws.com")
        path = sns.authority.issue(name, host, days=how.get("days", 2))
        with open(path, "rb") as f:
            return f.read()
    return read


@pytest.mark.parametrize("what", ["404", "500", "redirect", "too large", "no certificate", "empty", "another name", "expired", "self-signed"])
def test_what_is_no_certificate_of_sns_is_503_and_the_next_try_may_be_better(house, sns, what):
    path = "/SimpleNotificationService-bad0.pem"
    sns.files[path] = {
        "404": lambda: 404, "500": lambda: 500, "redirect": lambda: redirect(sns), "too large": lambda: b"x" * 70000,
        "no certificate": lambda: b"<html>hello</html>", "empty": lambda: b"", "another name": issued(sns, "other", host="evil.example"),
        "expired": issued(sns, "expired", days=-1), "self-signed": lambda: open(sns.authority.ca, "rb").read()}[what]()
    body = sns.message("hello", path=path)
    a = refused(house, post(house, body), 503, "certificate_unavailable")
    assert a.headers["retry-after"] and sns.asked == [path]
    assert house.logged("certificate_failed")[-1]["error"] and house.metrics()['touchlog_fetches_total{source="mails",result="certificate_failed"}'] == 1
    sns.put(path, sns.certificate)
    logged(post(house, body))


def test_a_host_that_proves_nothing_is_not_believed(daemon, sns, tmp_path):
    other = fake_sns.Authority()
    d = daemon(sources={"mails": source(sns, ca_file=other.ca)})
    sns.asked.clear()
    refused(d, post(d, sns.message("hello")), 503, "certificate_unavailable")
    assert sns.asked == [] and "certificate" in d.logged("certificate_failed")[0]["error"]


def test_a_host_that_hangs_holds_up_nobody_else(house, sns):
    release = threading.Event()
    sns.files["/SimpleNotificationService-dead.pem"] = lambda h: release.wait(20)
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            slow = pool.submit(post, house, sns.message("hello", path="/SimpleNotificationService-dead.pem"))
            until(lambda: "/SimpleNotificationService-dead.pem" in sns.asked, "the fetch")
            started = time.monotonic()
            house.log_event("plain", {"kind": "note"})
            assert time.monotonic() - started < 2 and not slow.done()
            refused(house, slow.result(), 503, "certificate_unavailable")
            assert 4 < time.monotonic() - started < 15
    finally:
        release.set()


def test_a_port_that_nobody_listens_at_is_503(daemon, sns):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        host = f"localhost:{s.getsockname()[1]}"
        d = daemon(sources={"mails": source(sns, certificate_hosts=[host])})
        body = sns.message("hello", SigningCertURL=f"https://{host}/SimpleNotificationService-0a1b2c.pem")
        refused(d, post(d, body), 503, "certificate_unavailable")


def test_a_reload_and_an_end_do_not_wait_for_certificates(daemon, sns):
    release = threading.Event()
    sns.files["/SimpleNotificationService-dead.pem"] = lambda h: release.wait(20)
    sns.asked.clear()
    config = {"sources": {"mails": source(sns)}, "drain_timeout": "100ms"}
    d = daemon(config)
    try:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(post, d, sns.message("hello", path="/SimpleNotificationService-dead.pem")) for _ in range(2)]
            until(lambda: sns.asked, "the fetch")
            assert d.reload(config)
            d.stop()
            for w in waiting:
                try:
                    assert w.result().status == 503
                except (ConnectionError, OSError):
                    pass
    finally:
        release.set()


# ---- subscriptions ----

def test_a_subscription_is_confirmed_once_its_message_is_verified(house, sns):
    answer = post(house, sns.message("You have chosen to subscribe", "SubscriptionConfirmation"))
    assert answer.status == 200 and answer.body == b"", answer
    assert sns.asked[0].endswith(".pem") and "Action=ConfirmSubscription" in sns.asked[1] and len(sns.asked) == 2
    assert house.logged("subscription_confirmed")[0]["source"] == "mails"
    assert house.metrics()['touchlog_fetches_total{source="mails",result="confirmation"}'] == 1
    assert house.counts("mails")["received"] == 0


def test_a_forged_subscription_is_not_visited(house, sns):
    message = json.loads(sns.message("You have chosen to subscribe", "SubscriptionConfirmation"))
    message["Token"] += "0"
    refused(house, post(house, json.dumps(message)), 401, "signature")
    refused(house, post(house, sns.message("x", "SubscriptionConfirmation", TopicArn=fake_sns.TOPIC + "2")), 401, "topic")
    assert not any("Confirm" in path for path in sns.asked)


@pytest.mark.parametrize("url", ["https://evil.example/?Action=ConfirmSubscription", "http://{host}/?Action=ConfirmSubscription",
                                 "https://{host}/?Action=Unsubscribe", "https://{host}/x?Action=ConfirmSubscription"])
def test_a_subscription_is_confirmed_at_the_topics_host_only(house, sns, url):
    body = sns.message("x", "SubscriptionConfirmation", SubscribeURL=url.format(host=sns.host))
    refused(house, post(house, body), 400, "confirmation_url")
    assert [p for p in sns.asked if not p.endswith(".pem")] == []


def test_a_confirmation_that_fails_is_503(house, sns):
    body = sns.message("x", "SubscriptionConfirmation")
    path = json.loads(body)["SubscribeURL"].partition(sns.host)[2]
    sns.files[path] = 500
    try:
        refused(house, post(house, body), 503, "confirmation_failed")
    finally:
        del sns.files[path]
    assert house.logged("subscription_failed")[0]["status"] == "500"
    assert post(house, body).status == 200


def test_the_end_of_a_subscription_is_told_in_the_log(house, sns):
    assert post(house, sns.message("x", "UnsubscribeConfirmation")).status == 200
    assert house.logged("subscription_ended")[0]["topic"] == fake_sns.TOPIC
    assert not any("Confirm" in path for path in sns.asked)


# ---- settings ----

@pytest.mark.parametrize("more, said", [
    ({"topic": None}, "verify: amazon-sns needs topic"), ({"topic": "mails"}, "topic: arn:aws:sns:REGION:ACCOUNT:NAME is wanted"),
    ({"secret": "plain:x"}, "verify: amazon-sns has no use for secret"), ({"ca_file": "/none.pem"}, "ca_file: /none.pem: No such file"),
    ({"verify": "none"}, "verify: none has no use for topic")])
def test_settings_that_do_not_fit_are_told(tmp_path, sns, more, said):
    mails = {k: v for k, v in source(sns, **more).items() if v is not None}
    path = tmp_path / "touchlog.yaml"
    path.write_text(json.dumps({"listeners": {"a": {"address": "127.0.0.1:0", "serve": ["ingest"]}}, "sources": {"mails": mails}}))
    done = subprocess.run([harness.program("touchlogd"), "-t", "-c", str(path)], capture_output=True, text=True)
    assert done.returncode != 0 and said in done.stderr, done


def test_inject_says_that_nobody_else_can_sign_so(house):
    done = house.touchlog("inject", "ses", "--to", "http://127.0.0.1:1/in/mails", "--preset-dir", harness.PRESETS)
    assert done.returncode == 2 and "only Amazon SNS can sign so" in done.stderr, done


def test_source_try_shows_what_a_message_becomes_but_fetches_nothing(house, sns, tmp_path):
    file = tmp_path / "message.json"
    file.write_bytes(sns.message("hello", Subject="s"))
    done = house.touchlog("source", "try", "mails", str(file), "--verify", "--json")
    answer = json.loads(done.stdout)
    assert answer["sender"] == {"status": "not known", "failed": "certificate_unknown"} and sns.asked == []
    assert answer["events"][0]["columns"]["subject"]["value"] == "s"
