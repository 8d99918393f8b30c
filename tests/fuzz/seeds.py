# SPDX-License-Identifier: Apache-2.0
"""What each fuzz target begins with: the samples, the recorded payloads of others where they are ($TOUCHLOG_CORPUS),
and a few inputs that reach what those do not.  make(directory) writes them to directory/TARGET/."""
import base64, gzip, json, os, pathlib, re, sqlite3, struct, tempfile, urllib.parse, zlib

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SAMPLES = SOURCE / "contrib" / "samples"
LARGEST = 12_000
LARGEST_SPOOL = 60_000

# The bodies' types, in the order of fuzz_events.c.
JSON, LINES, FORM, FORM_BASE64, MULTIPART = range(5)
GZIP, DEFLATE = 128, 128 | 64


def corpus():
    path = pathlib.Path(os.environ.get("TOUCHLOG_CORPUS") or SOURCE.parent / "shared" / "corpus")
    return path if path.is_dir() else None


def corpus_files(pattern):
    root = corpus()
    found = [p for p in sorted(root.glob(pattern)) if p.is_file()] if root else []
    return [p for p in found if 0 < p.stat().st_size <= LARGEST]


def json_files():
    """(folder of the corpus, bytes)"""
    for path in sorted(SAMPLES.glob("*.json")):
        yield "sample", path.read_bytes()
    for path in sorted(SAMPLES.glob("*.ndjson")):
        for line in path.read_bytes().splitlines():
            yield "sample", line
    for path in corpus_files("webhook-*/**/*.json"):
        parts = path.relative_to(corpus()).parts
        yield (path.parent.name if parts[0] in ("webhook-esp", "webhook-github") else parts[0]), path.read_bytes()


def captures():
    return [p.read_bytes() for p in corpus_files("freeswitch/**/*.http")[:12]]


def multiparts():
    for path in corpus_files("webhook-sendgrid/**/*.txt"):
        yield path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").replace(b"xYzZY", b"b")
    yield (b'--b\r\nContent-Disposition: form-data; name="from"\r\n\r\nAnn <ann@shop.example>\r\n--b\r\nContent-Disposition: '
           b'form-data; name="charsets"\r\n\r\n{"from":"UTF-8","text":"iso-8859-1"}\r\n--b\r\nContent-Disposition: form-data; '
           b'name="a"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\x00\r\n--b--\r\n')


def forms():
    yield b"type=subscribe&fired_at=2026-03-26+21%3A35%3A57&data[id]=8a&data%5Bmerges%5D[EMAIL]=a%40b.example&tag[]=p&tag[]=q"
    yield b"CallSid=CA1&CallStatus=completed&From=%2B36301234567&To=%2B3612345678&Direction=inbound&CallDuration=35&SequenceNumber=3"
    yield b"MessageSid=SM1&MessageStatus=delivered&From=whatsapp%3A%2B14155238886&To=whatsapp%3A%2B36301234567"
    yield b"event=hangup&callId=c1&from=36301234567&to=3612345678&direction=in&user[]=Ann&user[]=Bob&cause=normalClearing"
    yield b"mandrill_events=" + urllib.parse.quote(json.dumps([{"event": "open", "_id": "m1", "ts": 1771000000, "msg": {
        "email": "bea@md.example", "tags": ["order"], "_id": "m1"}}])).encode()
    for capture in captures():
        body = capture.partition(b"\r\n\r\n")[2]
        if body.startswith(b"cdr="):
            yield body


# ---- one function for each target: yields inputs ----

def seeds_json():
    for _, doc in json_files():
        yield doc
    yield b'[1, -0.5e-7, 12345678901234567890123, "\\ud83d\\ude00\\u00e9\\n", [[[]]], {"a":null,"a":true}]'


def seeds_form():
    for body in forms():
        yield b"\x01" + body
    for body in multiparts():
        yield b"\x02" + body
    yield b"\x00cdr=" + base64.b64encode(b'{"variables":{"uuid":"u1"}}')


def seeds_http_parse():
    yield from captures()
    yield b"POST /in/x?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /healthz HTTP/1.0\r\n\r\n"
    yield (b"POST /in/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
           b"5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n")


def seeds_identity():
    yield from (b"Jane Doe <Jane.Doe+tag@B\xc3\xbccher.Example>", b"+52 1 55 1234 5678", b"06 12345678;ext=9", b"tel:+31-6-1234-5678",
                b"Tue, 24 Nov 2026 18:00:00 +0100", b"2026-11-24T18:00:00.1234567+01:00", b"1771000000123", b"P1DT2H3.5S", b"-1.5e2",
                b"{{contact.email}}", b"whatsapp:+36301234567", b"sip:ann@pbx.example")
    for path in corpus_files("phone/*.tsv"):
        for line in path.read_bytes().splitlines()[1:200:7]:
            yield line.split(b"\t")[0]


# What each key of the map in fuzz_mapping.c reads.
MAPPED = {"kind": "order", "a": " Ann ", "t": "x,y,z", "s": "me aa@bb", "ms": 1500, "min": 2, "cents": 1250, "cur": "JPY",
          "d": "Tue, 24 Nov 2026 06:00:00 PM +0100", "e": "2026-07-24 18:00:00.25", "b": base64.b64encode(b'{"x":[1]}').decode(),
          "o": "a%20b%C3%A9", "n": "Ann", "cc": [{"m": "bo@b.example"}, {"m": "cy@b.example"}], "p": 1795329673242689}


def seeds_mapping():
    item = {**MAPPED, "l": [{"x": 1, "c": "k1", "p": 5}, {"x": "1", "c": "k2"}]}
    yield b"aaaa\n" + json.dumps(item).encode()
    yield b"a\n" + json.dumps({"n": "out", "yes": "a", "l": [item, item], "j": json.dumps({"i": [item], **item})}).encode()
    yield b"\n" + json.dumps({"l": item, "j": json.dumps([item, 1, "x"]), "yes": "b"}).encode()
    for _, doc in list(json_files())[::4]:
        yield b"aa\n" + doc


def seeds_inflate():
    for text in (b"hello" * 40, b'{"kind":"x"}', b"\0" * 3000):
        yield b"\0" + gzip.compress(text)
        yield b"\0" + gzip.compress(text, 1) + gzip.compress(b"more")
        yield b"\1" + zlib.compress(text)
        yield b"\1" + zlib.compress(text)[2:-4]


def seeds_smtp_talk():
    hello, ok = b"250-mx\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n", b"250 2.0.0 Ok\r\n"
    yield hello + b"\0" + ok + b"\0" + ok + b"\0354 go\r\n\0" + ok + b"\0" + ok + b"\0550 5.1.1 <ann@c.example> User unknown\r\n\0" + ok
    for refusal in (b"421 4.3.2 bye", b"450 later", b"530 5.7.0 login", b"550-No such\r\n550 user", b"554 5.7.1 no"):
        for steps in range(4):
            yield hello + b"\0" + b"\0".join([ok, ok, b"354 go\r\n", ok][:steps]) + b"\0" + refusal + b"\r\n\0" + ok


SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SCHEMES = ("hmac-sha1", "hmac-sha256", "hmac-sha512", "standard-webhooks", "stripe", "github", "slack", "twilio", "sendgrid", "mailgun",
           "hubspot", "typeform", "calendly", "meta", "shopify", "mandrill", "amazon-sns")
B64, HEX = b"g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", b"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
HEADERS = {
    "hmac-sha1": b"X-Sig: v=" + HEX[:40] + b"\r\nX-Time: 1700000000", "hmac-sha256": b"X-Sig: v=" + HEX + b"\r\nX-Time: 1700000000",
    "hmac-sha512": b"X-Sig: v=" + HEX + HEX + b"\r\nX-Time: 1700000000",
    "standard-webhooks": b"webhook-id: i\r\nwebhook-timestamp: 1700000000\r\nwebhook-signature: v1," + B64 + b" v1a," + B64,
    "stripe": b"Stripe-Signature: t=1700000000,v1=" + HEX + b",v1=" + HEX, "github": b"X-Hub-Signature-256: sha256=" + HEX,
    "slack": b"X-Slack-Request-Timestamp: 1700000000\r\nX-Slack-Signature: v0=" + HEX,
    "twilio": b"Content-Type: application/x-www-form-urlencoded\r\nX-Twilio-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8=",
    "sendgrid": b"X-Twilio-Email-Event-Webhook-Timestamp: 1700000000\r\nX-Twilio-Email-Event-Webhook-Signature: "
                + base64.b64encode(b"\x30\x44\x02\x20" + b"\x11" * 32 + b"\x02\x20" + b"\x22" * 32),
    "mailgun": b"Content-Type: application/json",
    "hubspot": b"X-HubSpot-Request-Timestamp: 1700000000000\r\nX-HubSpot-Signature-v3: " + B64,
    "typeform": b"Typeform-Signature: sha256=" + B64, "calendly": b"Calendly-Webhook-Signature: t=1700000000,v1=" + HEX,
    "meta": b"X-Hub-Signature-256: sha256=" + HEX, "shopify": b"X-Shopify-Hmac-Sha256: " + B64,
    "mandrill": b"X-Mandrill-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8=", "amazon-sns": b"Content-Type: text/plain",
}


def signed(scheme, headers, body, query=b"a=1&b=it%27s"):
    return bytes([SCHEMES.index(scheme), 5, len(query)]) + query + headers + b"\r\n\r\n" + body


def seeds_signature():
    for scheme in SCHEMES:
        yield signed(scheme, HEADERS[scheme], b'{"test": 2432232314}\r\n')
        yield signed(scheme, HEADERS[scheme], b"CallSid=CA1&To=%2B1&To=%2B1&From=+x")
    message = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:1:x", "Message": "{}", "Signature": B64.decode(),
               "Timestamp": "2023-11-14T22:13:20.000Z", "SignatureVersion": "2",
               "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem"}
    yield signed("amazon-sns", HEADERS["amazon-sns"], json.dumps(message).encode())
    parts = {"timestamp": "1700000000", "token": "t" * 50, "signature": HEX.decode()}
    yield signed("mailgun", HEADERS["mailgun"], json.dumps({"signature": parts, "event-data": {"a": [1, "x\\\""]}}).encode())
    yield signed("mailgun", b"Content-Type: application/x-www-form-urlencoded", urllib.parse.urlencode({"a": "b", **parts}).encode())
    multipart = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in parts.items()) + "--b--\r\n"
    yield signed("mailgun", b"Content-Type: multipart/form-data; boundary=b", multipart.encode())
    yield signed("hubspot", b"X-HubSpot-Signature-Version: v2\r\nX-HubSpot-Signature: " + HEX, b"[]", b"a=%3A%2F%3F%40")
    yield signed("hubspot", b"X-HubSpot-Signature-Version: v1\r\nX-HubSpot-Signature: " + HEX, b"[]")
    yield signed("twilio", HEADERS["twilio"].replace(b"x-www-form-urlencoded", b"json"), b"{}", b"bodySHA256=" + HEX)


def preset_names():
    """In the order of fuzz_events.c: a source without one, then all by name."""
    return ["canonical"] + sorted(p.stem for p in (SOURCE / "channels" / "presets").glob("*.yaml"))


FOLDERS = {"webhook-stripe": "stripe", "webhook-slack": "slack", "webhook-whatsapp": "whatsapp", "sendgrid_webhooks": "sendgrid",
           "mandrill_webhooks": "mandrill", "mailgun_webhooks": "mailgun", "postmark_webhooks": "postmark",
           "postmark_inbound": "postmark-inbound", "brevo_webhooks": "brevo", "sample": "canonical"}


def seeds_record_pack():
    """Its first byte says whether it is a parking; the fuzzer finds the rest, which is all lengths and bytes."""
    for kind in b"\0", b"\1":
        yield kind + bytes(64)
        yield kind + struct.pack("<I", 4) * 32


def seeds_spool():
    """A small file of the spool, without its checksums, and its log."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "spool.db")
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE event(seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB UNIQUE, id BLOB, kind TEXT, format INT,"
                   " source TEXT, identities TEXT, row BLOB, put_at INT, crc INT)")
        rows = [(n, struct.pack(">QQ", n, n), bytes(16), "event", 1, "shop", "[]", b"r" * (n * 700), n, n) for n in range(1, 9)]
        db.executemany("INSERT INTO event VALUES(?,?,?,?,?,?,?,?,?,?)", rows[:4])
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.executemany("INSERT INTO event VALUES(?,?,?,?,?,?,?,?,?,?)", rows[4:])
        pages = [pathlib.Path(p).read_bytes() for p in (path, path + "-wal")]
        db.close()
    yield struct.pack(">H", len(pages[0]) // 4096) + b"".join(pages)
    yield struct.pack(">H", len(pages[0]) // 4096) + pages[0]


def event(preset, kind, line, body):
    return bytes([preset_names().index(preset), kind]) + line.encode() + b"\n" + body


def seeds_events():
    for folder, doc in json_files():
        preset = FOLDERS.get(folder, "github")
        body, kind = doc, JSON
        if preset == "mandrill":
            body, kind = b"mandrill_events=" + urllib.parse.quote(doc).encode(), FORM
        if preset == "whatsapp":        # several documents in one file
            for one in json.loads(doc).values():
                yield event(preset, JSON, "x=1", json.dumps(one).encode())
            continue
        yield event(preset, kind, folder, body)
    for body in forms():
        for preset in ("mailchimp", "twilio", "cti", "mandrill", "freeswitch"):
            yield event(preset, FORM, "uuid=u1", body)
    for body in multiparts():
        yield event("sendgrid-inbound", MULTIPART, "x", body)
        yield event("mailgun", MULTIPART, "x", body)
    for capture in captures():
        yield event("freeswitch", JSON, "uuid=u1", capture.partition(b"\r\n\r\n")[2])
    yield event("freeswitch", FORM_BASE64, "", b"cdr=" + base64.b64encode(b'{"core-uuid":"c","variables":{"uuid":"u"}}'))
    yield from own_events()


CANONICAL = {
    "channel": "email", "kind": "message", "external_id": "x1", "occurred_at": 1771000000, "duration": "PT1M", "wait": 3, "amount": "1.50",
    "currency": "eur", "score": 9, "brand": "b", "campaign": "c", "subject": "s" * 40, "email": "Ann <a@b.example>", "phone": "06 12345678",
    "anonymous": "v-1", "external": {"shop": 1}, "social": {"x": "ann"}, "identities": [{"kind": "email", "value": "test@test.com"}],
    "customer": {"name": "Ann", "address": {"city": "x"}}, "attributes": {"a": [1, {"b": None}]}, "more": 12345678901234567890123,
    "participants": [{"role": "cc", "name": "Bo", "email": "bo@b.example", "x": 1}, {"identities": [{"kind": "phone", "value": "+36301234567"}]}]}


def own_events():
    """Of tools that the corpus has nothing of, as the cases of the presets post them."""
    lines = (SAMPLES / "helpdesk.ndjson").read_bytes()
    yield event("canonical", LINES, "", lines)
    yield event("canonical", LINES | GZIP, "", gzip.compress(lines))
    yield event("canonical", JSON | DEFLATE, "", zlib.compress((SAMPLES / "call.json").read_bytes()))
    yield event("canonical", JSON, "", json.dumps([CANONICAL, {"channel": "web", "amount": "much"}, {"identities": 1}]).encode())
    yield event("slack", JSON, "", b'{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd"}')
    for preset, line, doc in (
            ("hubspot", "", [{"eventId": 1, "subscriptionId": 1, "portalId": 3, "occurredAt": 1771000000456, "objectId": 2,
                              "subscriptionType": "contact.propertyChange", "propertyName": "email", "propertyValue": "a@b.example"}]),
            ("typeform", "", {"event_id": "e", "event_type": "form_response", "form_response": {
                "token": "t", "submitted_at": "2026-02-13T16:26:40Z", "hidden": {"utm_campaign": "s"}, "definition": {"title": "T"},
                "answers": [{"type": "email", "email": "a@b.example", "field": {"type": "email"}},
                            {"type": "number", "number": 9, "field": {"type": "nps"}}]}}),
            ("calendly", "", {"event": "invitee.canceled", "created_at": "2026-02-13T16:26:40Z", "payload": {
                "uri": "u", "email": "a@b.example", "name": "A", "rescheduled": False, "scheduled_event": {"start_time": "2026-02-20T09:00:00Z"}}}),
            ("shopify", "orders/create", {"id": 1, "email": "a@b.example", "total_price": "19.90", "currency": "EUR",
                                          "created_at": "2026-02-13T16:26:40+01:00", "line_items": [{"sku": "x", "quantity": 1, "price": "1.00"}]}),
            ("ses", "", {"MessageId": "m", "Message": json.dumps({"eventType": "Bounce", "mail": {"messageId": "s", "destination": ["a@b.example"]},
                "bounce": {"timestamp": "2026-02-13T16:26:40Z", "bouncedRecipients": [{"emailAddress": "a@b.example", "status": "5.1.1"}]}})}),
            ("ses", "", {"MessageId": "m", "Message": json.dumps({"mail": {"destination": ["a@b.example", "c@b.example"]}, "send": {},
                "delivery": {"recipients": ["a@b.example"]}, "open": {"timestamp": "2026-02-13T16:26:40Z"}})}),
            ("3cx", "", {"number": "+36301234567", "type": "Inbound", "duration": "00:01:02", "started_utc": "2026-02-13T16:26:40", "agent": "[Agent]"}),
            ("cti", "", {"event": "newCall", "callId": "c", "from": "36301234567", "to": "3612345678", "direction": "in"})):
        yield event(preset, JSON, line, json.dumps(doc).encode())


def make(directory):
    """Writes them all; says how many there are of each."""
    counts = {}
    for name, fn in sorted(globals().items()):
        if not (match := re.fullmatch(r"seeds_(\w+)", name)):
            continue
        folder = pathlib.Path(directory) / match[1]
        folder.mkdir(parents=True, exist_ok=True)
        for n, seed in enumerate(fn()):
            (folder / f"{n:04}").write_bytes(seed[:LARGEST_SPOOL if match[1] == "spool" else LARGEST])
            counts[match[1]] = n + 1
    return counts
