# SPDX-License-Identifier: Apache-2.0
"""Amazon SNS as far as a subscriber sees it, after its documents: a host with certificates and confirmations, and messages
signed with them.  HTTPS by an authority of its own; `settings` are what a source needs to believe it."""
import base64, http.server, json, os, ssl, subprocess, tempfile, threading, time, urllib.parse, uuid

TOPIC = "arn:aws:sns:eu-west-1:123456789012:mails"
SIGNED = {"Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
          "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")}
SIGNED["UnsubscribeConfirmation"] = SIGNED["SubscriptionConfirmation"]


class Authority:
    """Keys and certificates, made by the command openssl."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="sns-")
        self.ca = self.path("ca.pem")
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.path("ca.key"), "-out", self.ca, "-days", "2",
                      "-subj", "/CN=The authority of the tests")

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def _openssl(self, *args, input=None):
        return subprocess.run(["openssl", *args], input=input, capture_output=True, check=True).stdout

    def issue(self, name, host, days=2):
        """NAME.pem and NAME.key, for that host."""
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", self.path(name + ".key"), "-out", self.path(name + ".csr"),
                      "-subj", f"/CN={host}")
        with open(self.path(name + ".ext"), "w", encoding="utf-8") as f:
            f.write(f"subjectAltName=DNS:{host}\nkeyUsage=digitalSignature,keyEncipherment\n")
        self._openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.ca, "-CAkey", self.path("ca.key"), "-CAcreateserial",
                      "-out", self.path(name + ".pem"), "-days", str(days), "-extfile", self.path(name + ".ext"))
        return self.path(name + ".pem")

    def sign(self, name, data, digest):
        return base64.b64encode(self._openssl("dgst", f"-{digest}", "-sign", self.path(name + ".key"), input=data)).decode()


class Sns:
    """`files` are what stands at its paths: bytes, a status, or a function that answers the handler."""

    def __init__(self):
        self.authority = Authority()
        self.asked, self.files = [], {}
        self.certificate = self.authority.issue("signer", "sns.amazonaws.com")
        self.put("/SimpleNotificationService-0a1b2c.pem", self.certificate)
        self.server = self._start(self.authority.issue("server", "localhost"))
        self.host = f"localhost:{self.server.server_address[1]}"
        self.settings = {"topic": TOPIC, "certificate_hosts": self.host, "ca_file": self.authority.ca}

    def put(self, path, file):
        with open(file, "rb") as f:
            self.files[path] = f.read()

    def _start(self, certificate):
        sns = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                sns.asked.append(self.path)
                found = sns.files.get(self.path, 200 if "Action=ConfirmSubscription" in self.path else 404)
                if callable(found):
                    found(self)
                    return
                body = found if isinstance(found, bytes) else b"<xml/>"
                self.send_response(found if isinstance(found, int) else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.replace(".pem", ".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def message(self, text, kind="Notification", version="2", signer="signer", path="/SimpleNotificationService-0a1b2c.pem", **more):
        """A message as it is posted: bytes."""
        m = {"Type": kind, "MessageId": str(uuid.uuid4()), "TopicArn": TOPIC, "Message": text,
             "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.123Z", time.gmtime()), "SignatureVersion": version,
             "SigningCertURL": f"https://{self.host}{path}"}
        if kind != "Notification":
            m["Token"] = "2336412f37"
            m["SubscribeURL"] = f"https://{self.host}/?Action=ConfirmSubscription&TopicArn={urllib.parse.quote(TOPIC)}&Token=2336412f37"
        m.update(more)
        signed = "".join(f"{k}\n{m[k]}\n" for k in SIGNED[kind] if k in m)
        m["Signature"] = self.authority.sign(signer, signed.encode(), "sha256" if version == "2" else "sha1")
        return json.dumps(m).encode()
