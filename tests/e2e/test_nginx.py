# SPDX-License-Identifier: Apache-2.0
"""contrib/nginx/touchlog.conf in front of the daemon, with Debian's nginx.
A test name is a sentence that is true when it passes."""
import contextlib, http.client, json, os, shutil, socket, subprocess, threading, time, urllib.parse

import pytest

import harness
import senders
import service
from ca import CA
from harness import until

EXAMPLE = os.path.join(harness.SOURCE, "contrib", "nginx", "touchlog.conf")
HOOK = {"type": "webhook", "verify": "none", "channel": "web"}
SECRET = "s3cret"
TWILIO = {"type": "webhook", "verify": "twilio", "secret": f"plain:{SECRET}", "channel": "sms",
          "map": {"external_id": "MessageSid", "kind": "=message"}}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx:
    """Runs the example as it is, but for the ports, paths and names of this machine; upstreams are daemons' ports."""

    def __init__(self, directory, ca, *upstreams):
        self.directory, self.ca, self.port = str(directory), ca, free_port()
        certificate, key = ca.issue("nginx")
        with open(EXAMPLE) as f:
            site = f.read()
        for old, new in (("server 127.0.0.1:8080;", "\n".join(f"server 127.0.0.1:{port};" for port in upstreams)), ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
                         ("/etc/letsencrypt/live/log.example.com/fullchain.pem", certificate),
                         ("/etc/letsencrypt/live/log.example.com/privkey.pem", key),
                         ("/var/log/nginx/touchlog.log", self.path("access.log")), ("server_name log.example.com;", "server_name localhost;")):
            assert site.count(old) == 1, old
            site = site.replace(old, new)
        with open(self.path("site.conf"), "w") as f:
            f.write(site)
        temporary = "".join(f"    {kind}_temp_path {self.path(kind)};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.getuid() == 0 else ""
        with open(self.path("nginx.conf"), "w") as f:
            f.write(f"{user}daemon off;\nworker_processes 1;\npid {self.path('pid')};\nerror_log stderr;\nevents {{ }}\nhttp {{\n{temporary}"
                    f"    access_log off;\n    include {self.path('site.conf')};\n}}\n")
        self.p = None

    def path(self, name):
        return os.path.join(self.directory, name)

    def __enter__(self):
        self.err = open(self.path("error.log"), "wb")
        nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        self.p = subprocess.Popen([nginx, "-p", self.directory, "-c", self.path("nginx.conf"), "-e", "stderr"], stdin=subprocess.DEVNULL,
                                  stdout=self.err, stderr=self.err)

        def listens():
            assert self.p.poll() is None, open(self.path("error.log")).read()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True

        until(listens, "nginx listens")
        return self

    def __exit__(self, *_):
        self.p.terminate()
        self.p.wait(harness.STOP_WITHIN_S)
        self.err.close()

    def connection(self):
        return http.client.HTTPSConnection("localhost", self.port, timeout=harness.DEADLINE_S, context=self.ca.trusting())

    def request(self, method, path, body=None, headers=None):
        with contextlib.closing(self.connection()) as c:
            c.request(method, path, body, headers or {"Content-Type": "application/json"})
            return harness.Answer(c.getresponse())

    def post(self, source, body, headers=None):
        return self.request("POST", f"/in/{source}", body if isinstance(body, (bytes, str)) else json.dumps(body), headers)

    def log(self):
        with open(self.path("access.log")) as f:
            return f.read().splitlines()


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return CA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def front(daemon, ca, tmp_path):
    """front(**config) starts the daemon and nginx before it; returns both."""
    with contextlib.ExitStack() as running:
        def start(**config):
            d = daemon({"sources": {"web": HOOK}, **config})
            return d, running.enter_context(Nginx(tmp_path, ca, d.ports["public"]))
        yield start


def test_events_are_logged_through_nginx_and_the_request_id_reaches_the_sender_and_the_log(front):
    d, nginx = front()
    a = nginx.post("web", {"external_id": "1"})
    assert a.status == 200 and a.json()["status"] == "logged", a
    assert a.headers["x-request-id"] == a.json()["id"]
    line = until(nginx.log, "nginx logs")[0]
    assert f"request={a.json()['id']} tries=200" in line and '"POST /in/web" 200' in line, line
    done = d.touchlog("trace", a.headers["x-request-id"])
    assert done.returncode == 0 and "logged" in done.stdout, done


def test_connections_to_the_daemon_are_kept(front):
    d, nginx = front()
    for i in range(40):
        assert nginx.post("web", {"external_id": str(i)}).status == 200
    assert d.metrics()['touchlog_http_connections_accepted_total{listener="public"}'] <= 2


def test_only_the_inlets_are_reached_from_outside(front):
    _, nginx = front(listeners={"public": {"address": "127.0.0.1:0", "serve": ["ingest", "ops"]}, "ops": {"address": "127.0.0.1:0", "serve": ["ops"]}})
    for path in ("/metrics", "/status", "/readyz", "/healthz", "/", "/in/../metrics", "//metrics", "/in/%2e%2e/status"):
        assert nginx.request("GET", path).status == 404, path


def signed(nginx, base, fields):
    url = f"{base}/in/sms"
    body = urllib.parse.urlencode(fields)
    text = url + "".join(k + v for k, v in sorted(fields.items()))
    mac = senders.b64(senders.digest(text.encode(), "sha1", SECRET))
    return nginx.post("sms", body, {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": mac,
                                    # Lies, which nginx replaces.
                                    "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"})


@pytest.mark.parametrize("settings, base, status", (
    ({"trusted_proxies": ["127.0.0.1"]}, "https://localhost:{port}", 200),
    ({"trusted_proxies": ["127.0.0.1"]}, "http://evil.example", 401),
    ({"trusted_proxies": ["10.0.0.0/8"]}, "https://localhost:{port}", 401),
    ({"public_url": "https://log.example.com"}, "https://log.example.com", 200)),
    ids=("trusted", "forged", "not trusted", "public_url"))
def test_a_signature_over_the_url_is_verified_by_what_nginx_tells_or_by_public_url(front, settings, base, status):
    _, nginx = front(sources={"sms": TWILIO}, **settings)
    assert signed(nginx, base.format(port=nginx.port), {"MessageSid": "SM1", "Body": "hi"}).status == status


def test_touchlog_says_what_is_too_large_and_nginx_only_what_is_larger_than_any_source_takes(front):
    d, nginx = front(sources={"web": {**HOOK, "max_body": "8MiB"}})
    body = lambda n: b"{" + b" " * n + b"}"
    assert nginx.post("web", body(5 << 20)).status == 200, "more than nginx takes by itself"
    a = nginx.post("web", body(9 << 20))
    assert a.status == 413 and a.json()["status"] == 413
    assert d.metrics()['touchlog_requests_refused_total{source="web",reason="too_large"}'] == 1
    with contextlib.suppress(BrokenPipeError, ConnectionError):
        a = nginx.post("web", body(17 << 20))
        assert a.status == 413 and b"nginx" in a.body


def test_a_slow_sender_is_nginxs_to_wait_for(front):
    d, nginx = front(listeners={"public": {"address": "127.0.0.1:0", "serve": ["ingest"], "request_timeout": "300ms"},
                                "ops": {"address": "127.0.0.1:0", "serve": ["ops"]}})
    with contextlib.closing(nginx.connection()) as c:
        c.putrequest("POST", "/in/web")
        c.putheader("Content-Length", "10")
        c.putheader("Content-Type", "application/json")
        c.endheaders()
        for byte in b"{       } ":
            c.send(bytes([byte]))
            time.sleep(0.1)     # the slow sender; twice as long as touchlog would wait
        assert harness.Answer(c.getresponse()).status == 200
    assert d.metrics()['touchlog_http_requests_bad_total{listener="public",reason="timeout"}'] == 0


def test_a_503_reaches_the_sender_with_its_retry_after_and_is_not_tried_again(front):
    d, nginx = front(sources={"web": {**HOOK, "paused": True}})
    a = nginx.post("web", {})
    assert a.status == 503 and int(a.headers["retry-after"]) > 0 and a.json()["status"] == 503
    assert d.metrics()['touchlog_http_requests_total{listener="public"}'] == 1


def test_restarts_of_the_daemon_behind_nginx_lose_double_and_refuse_nothing(database, ca, tmp_path):
    manager = service.Manager(tmp_path)
    port = manager.listen("public")
    answers, odd, stop = {}, [], threading.Event()

    def client(n, nginx):
        with contextlib.closing(nginx.connection()) as c:
            i = 0
            while not stop.is_set():
                key, i = f"{n}-{i}", i + 1
                try:
                    c.request("POST", "/in/web", json.dumps({"external_id": key}), {"Content-Type": "application/json"})
                    a = harness.Answer(c.getresponse())
                    answers[key] = a.json()["status"] if a.status == 200 else a.status
                except (OSError, http.client.HTTPException) as e:
                    odd.append((key, e))

    try:
        with service.Service(manager, database, {"sources": {"web": HOOK}}, tmp_path) as d, Nginx(tmp_path, ca, port) as nginx:
            threads = [threading.Thread(target=client, args=(n, nginx)) for n in range(4)]
            for t in threads:
                t.start()
            for _ in range(4):
                n = len(answers)
                until(lambda: odd or len(answers) > n + 100, "it answers")
                d.stop()
                d.start()
            stop.set()
            for t in threads:
                t.join(harness.STOP_WITHIN_S)
    finally:
        stop.set()
        manager.close()
    assert not odd and set(answers.values()) <= {"logged", "duplicate"}, (odd[:3], {k: v for k, v in answers.items() if v != "logged"})
    assert sorted(database.run("SELECT external_id FROM touchlog.interaction").split()) == sorted(answers)


def test_an_answer_that_never_came_is_asked_for_once_more_and_the_event_is_logged_once(database, ca, tmp_path):
    """What stands between nginx and the daemon lets the first request through, and cuts off its answer."""
    with harness.Daemon(database, {"sources": {"web": HOOK}}, tmp_path) as d, socket.create_server(("127.0.0.1", 0)) as between:
        seen = []

        def relay(n, near):
            with near, d.connect() as far:
                request = near.recv(65536)
                seen.append(request)
                far.sendall(request)
                answer = far.recv(65536)
                if n > 0:
                    near.sendall(answer)

        def run():
            for n in range(2):
                near, _ = between.accept()
                near.settimeout(harness.DEADLINE_S)
                relay(n, near)

        t = threading.Thread(target=run)
        t.start()
        # As two daemons would be: one that is alone is asked twice only on a kept connection.
        with Nginx(tmp_path, ca, *[between.getsockname()[1]] * 2) as nginx:
            a = nginx.post("web", {"external_id": "once"})
        t.join(harness.DEADLINE_S)
        assert a.status == 200 and a.json()["status"] == "duplicate", a
        assert len(seen) == 2
        assert database.one("SELECT count(*) FROM touchlog.interaction") == 1
