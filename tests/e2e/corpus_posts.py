# SPDX-License-Identifier: Apache-2.0
"""The payloads of the corpus that belong to a preset, each as its sender posts it.

The files are fixtures of libraries.  Where one is only a part of what is sent (an object without its event, skeletons
with empty texts), the rest is put around it here as the sender's documents say.
"""
import json, os, pathlib, urllib.parse, uuid

import senders

CORPUS = pathlib.Path(os.environ.get("TOUCHLOG_CORPUS") or os.path.join(os.path.dirname(__file__), "../../../shared/corpus"))
ESP = "webhook-esp/anymail__django-anymail"


class Post:
    """One request: `name` is the file under the corpus, with #part where a file holds several."""

    def __init__(self, preset, name, body, headers=None, path=""):
        self.preset, self.name, self.body, self.headers, self.path = preset, name, body, headers, path

    def send(self, daemon):
        return senders.post(daemon, self.preset, self.body, self.headers, self.path)


def files(pattern):
    for path in sorted(CORPUS.glob(pattern)):
        if path.is_file():
            yield path, str(path.relative_to(CORPUS))


def esp(preset, folder, wrap=lambda payload: payload):
    for path, name in files(f"{ESP}/{folder}/*.json"):
        yield Post(preset, name, wrap(json.loads(path.read_bytes())))


def sendgrid_body(items):
    """Its own way of writing arrays, which the signature covers."""
    return ("[" + ",\r\n".join(json.dumps(i) for i in items) + "]\r\n").encode(), "application/json"


def sendgrid_inbound():
    for path, name in files("webhook-sendgrid/**/*.txt"):
        body = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        yield Post("sendgrid-inbound", name, (body, "multipart/form-data; boundary=xYzZY"))


STRIPE_EVENTS = {
    "charge": "charge.succeeded", "customer": "customer.updated", "dispute": "charge.dispute.created",
    "payment_intent": "payment_intent.succeeded", "invoice": "invoice.paid", "payment_method": "payment_method.attached",
    "balance_transaction": "balance.available",
}


def stripe():
    for path, name in files("webhook-stripe/**/*.json"):
        thing = json.loads(path.read_bytes())
        if thing["object"] != "event":
            thing = {"id": "evt_" + path.stem, "object": "event", "created": thing.get("created", 1700000000),
                     "livemode": False, "type": STRIPE_EVENTS[thing["object"]], "data": {"object": thing}}
        yield Post("stripe", name, thing)


def github():
    for path, name in files("webhook-github/**/*.json"):
        yield Post("github", name, (path.read_bytes(), "application/json"), {
            "X-GitHub-Event": path.parent.name, "X-GitHub-Delivery": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
            "X-GitHub-Hook-ID": "42", "User-Agent": "GitHub-Hookshot/044aadd"})


def fill(value, name, key=""):
    """The SDK's skeletons have "" for every text: a text of the kind that Slack has there."""
    if isinstance(value, dict):
        return {k: fill(v, name, k) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, name, key) for v in value]
    if value not in ("", "0000000000.000000"):
        return value
    if key == "event_id":
        return "Ev" + uuid.uuid5(uuid.NAMESPACE_URL, name).hex[:10].upper()
    return {"user": "U0000001", "user_id": "U0000001", "team_id": "T0000001", "channel": "C0000001", "ts": "1700000000.000100",
            "event_ts": "1700000000.000100", "email": "newcomer@slack.example", "trigger_id": uuid.uuid5(uuid.NAMESPACE_URL, name).hex}.get(key, "")


def slack():
    for path, name in files("webhook-slack/**/*.json"):
        payload = fill(json.loads(path.read_bytes()), name)
        if "event" in payload:
            payload["type"] = payload["type"] or "event_callback"
            for empty in ("subtype", "bot_id", "thread_ts"):
                if payload["event"].get(empty) == "":
                    del payload["event"][empty]
            if isinstance(payload["event"].get("user"), dict) and not payload["event"]["user"].get("id"):
                payload["event"]["user"]["id"] = "U0000001"
            yield Post("slack", name, payload)
        else:
            for party, prefix in (("team", "T"), ("user", "U")):
                if not payload.get(party, {}).get("id"):
                    payload.setdefault(party, {})["id"] = prefix + "0000001"
            yield Post("slack", name, senders.form({"payload": json.dumps(payload)}))


def whatsapp():
    for path, name in files("webhook-whatsapp/**/*.json"):
        for part, payload in json.loads(path.read_bytes()).items():
            yield Post("whatsapp", f"{name}#{part}", payload)


def freeswitch():
    for path, name in files("freeswitch/**/cdr-post-*-json_cdr.http"):
        head, _, body = path.read_bytes().partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        query = urllib.parse.urlsplit(lines[0].split()[1]).query
        yield Post("freeswitch", name, (body, headers["Content-Type"]), {"User-Agent": headers["User-Agent"]}, f"?{query}")


def all_posts():
    yield from esp("sendgrid", "sendgrid_webhooks", sendgrid_body)
    yield from sendgrid_inbound()
    yield from esp("mandrill", "mandrill_webhooks", lambda p: senders.form({"mandrill_events": json.dumps(p)}))
    yield from esp("mailgun", "mailgun_webhooks")
    yield from esp("postmark", "postmark_webhooks")
    yield from esp("postmark-inbound", "postmark_inbound")
    for path, name in files(f"{ESP}/test_files/postmark-inbound-*.json"):
        yield Post("postmark-inbound", name, (path.read_bytes(), "application/json"))
    yield from esp("brevo", "brevo_webhooks")
    yield from esp("brevo", "brevo_inbound", lambda p: {"items": [p]})
    yield from stripe()
    yield from github()
    yield from slack()
    yield from whatsapp()
    yield from freeswitch()
