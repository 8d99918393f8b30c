# SPDX-License-Identifier: Apache-2.0
"""How the tools that we have presets for post and sign, after their documents and independent of the daemon's code.

SETTINGS[preset] is what a source needs besides `preset`.  post(daemon, preset, payload) posts as that tool does.
"""
import base64, hmac, json, subprocess, tempfile, time, urllib.parse, uuid

import fake_sns

PUBLIC_URL = "https://touch.example.com"
SECRET = "s3cret-of-the-tests"


class P256:
    """A key of SendGrid's kind, by the command openssl: the standard library has none."""

    def __init__(self):
        self.pem = self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout")
        der = self._run("ec", "-pubout", "-outform", "DER", input=self.pem)
        self.public = base64.b64encode(der).decode()

    def sign(self, data):
        with tempfile.NamedTemporaryFile() as key:
            key.write(self.pem)
            key.flush()
            return base64.b64encode(self._run("dgst", "-sha256", "-sign", key.name, input=data)).decode()

    @staticmethod
    def _run(*args, input=b""):
        return subprocess.run(["openssl", *args], input=input, capture_output=True, check=True).stdout


SENDGRID = P256()
SNS = fake_sns.Sns()


def digest(data, algorithm="sha256", secret=SECRET):
    return hmac.new(secret.encode(), data, algorithm)


def b64(mac):
    return base64.b64encode(mac.digest()).decode()


# ---- the schemes: (request, headers) -> nothing; a request has url, path, body ----

class Request:
    def __init__(self, source, body, content_type, path=""):
        self.source, self.body, self.path = source, body, path
        self.headers = {"Content-Type": content_type}

    @property
    def url(self):
        return f"{PUBLIC_URL}/in/{self.source}{self.path}"


def token(r):
    path, _, query = r.path.partition("?")
    r.path = f"{path}/{SECRET}" + (f"?{query}" if query else "")


def stripe(r):
    t = str(int(time.time()))
    r.headers["Stripe-Signature"] = f"t={t},v1={digest(t.encode() + b'.' + r.body).hexdigest()}"


def calendly(r):
    t = str(int(time.time()))
    r.headers["Calendly-Webhook-Signature"] = f"t={t},v1={digest(t.encode() + b'.' + r.body).hexdigest()}"


def hub(r):
    r.headers["X-Hub-Signature-256"] = "sha256=" + digest(r.body).hexdigest()


def slack(r):
    t = str(int(time.time()))
    r.headers["X-Slack-Request-Timestamp"] = t
    r.headers["X-Slack-Signature"] = "v0=" + digest(f"v0:{t}:".encode() + r.body).hexdigest()


def sorted_form(r):
    fields = urllib.parse.parse_qsl(r.body.decode(), keep_blank_values=True)
    return r.url + "".join(k + v for k, v in sorted(fields))


def twilio(r):
    r.headers["X-Twilio-Signature"] = b64(digest(sorted_form(r).encode(), "sha1"))


def mandrill(r):
    r.headers["X-Mandrill-Signature"] = b64(digest(sorted_form(r).encode(), "sha1"))


def sendgrid(r):
    t = str(int(time.time()))
    r.headers["X-Twilio-Email-Event-Webhook-Timestamp"] = t
    r.headers["X-Twilio-Email-Event-Webhook-Signature"] = SENDGRID.sign(t.encode() + r.body)


def mailgun(r):
    t, used_once = str(int(time.time())), uuid.uuid4().hex + uuid.uuid4().hex[:18]
    parts = {"timestamp": t, "token": used_once, "signature": digest((t + used_once).encode()).hexdigest()}
    if r.headers["Content-Type"] == "application/json":
        r.body = json.dumps({"signature": parts, **json.loads(r.body)}).encode()
    else:
        r.body += b"&" + urllib.parse.urlencode(parts).encode()


def hubspot(r):
    t = str(int(time.time() * 1000))
    r.headers["X-HubSpot-Request-Timestamp"] = t
    r.headers["X-HubSpot-Signature-v3"] = b64(digest(b"POST" + r.url.encode() + r.body + t.encode()))


def typeform(r):
    r.headers["Typeform-Signature"] = "sha256=" + b64(digest(r.body))


def shopify(r):
    r.headers["X-Shopify-Hmac-Sha256"] = b64(digest(r.body))


def sns(r):
    """The body is what SES tells its topic; a case may say which message it is."""
    known = {"MessageId": r.headers.pop("x-amz-sns-message-id")} if "x-amz-sns-message-id" in r.headers else {}
    r.headers["Content-Type"] = "text/plain; charset=UTF-8"
    r.body = SNS.message(r.body.decode(), **known)


SCHEMES = {
    "3cx": token, "brevo": token, "calendly": calendly, "cti": token, "freeswitch": token, "github": hub,
    "hubspot": hubspot, "mailchimp": token, "mailgun": mailgun, "mandrill": mandrill, "postmark": token,
    "postmark-inbound": token, "sendgrid": sendgrid, "ses": sns, "sendgrid-inbound": token, "shopify": shopify, "slack": slack,
    "stripe": stripe, "twilio": twilio, "typeform": typeform, "whatsapp": hub,
}

SETTINGS = {name: {"secret": f"plain:{SECRET}"} for name in SCHEMES}
SETTINGS["sendgrid"]["secret"] = f"plain:{SENDGRID.public}"
SETTINGS["whatsapp"]["verify_token"] = "plain:hello-meta"
SETTINGS["ses"] = SNS.settings


def sources():
    """A source of each preset, under the preset's name."""
    return {name: {"type": "webhook", "preset": name, **more} for name, more in SETTINGS.items()}


# ---- bodies ----

def form(fields):
    return urllib.parse.urlencode(fields, doseq=True).encode(), "application/x-www-form-urlencoded"


def multipart(fields):
    boundary = "----touchlog-tests"
    parts = "".join(f"--{boundary}\r\nContent-Disposition: form-data; name=\"{k}\"\r\n\r\n{v}\r\n" for k, v in fields.items())
    return (parts + f"--{boundary}--\r\n").encode(), f"multipart/form-data; boundary={boundary}"


def as_json(value):
    return json.dumps(value).encode(), "application/json"


def signed(preset, body, headers=None, path=""):
    """The request that the tool makes of one body, which is (bytes, content type), or JSON."""
    data, content_type = body if isinstance(body, tuple) else as_json(body)
    r = Request(preset, data, content_type, path)
    r.headers.update(headers or {})
    SCHEMES[preset](r)
    return r


def post(daemon, preset, body, headers=None, path=""):
    r = signed(preset, body, headers, path)
    return daemon.post(r.source, r.body, r.headers, r.path)
