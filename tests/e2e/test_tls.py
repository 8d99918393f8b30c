# SPDX-License-Identifier: Apache-2.0
"""TLS listeners.  A test name is a sentence that is true when it passes."""
import base64, contextlib, hmac, json, os, pwd, shutil, signal, socket, ssl, subprocess, tempfile, threading, time

import pytest

import harness
from ca import CA, tls
from harness import until

SOURCES = {"web": {"type": "webhook", "verify": "none", "channel": "web", "max_body": "8MiB"}}
HEAD = b"POST /in/web HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
FAILURES = ("timeout", "gone", "plain_http", "version", "cipher", "alpn", "rejected", "broken")


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return CA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(ca):
    return ca.issue("first")


def config(pair, listener={}, **more):
    return {"sources": SOURCES, "listeners": {
        "public": {"address": "127.0.0.1:0", "serve": ["ingest"], **({"tls": tls(pair)} if pair else {}), **listener},
        "ops": {"address": "127.0.0.1:0", "serve": ["ops"]}}, **more}


def post(body=b"{}", extra=b""):
    return HEAD + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def connect(d, context, **more):
    return context.wrap_socket(d.connect(), server_hostname="localhost", suppress_ragged_eofs=False, **more)


def read_answers(c, n):
    """n whole answers, as (status, body)."""
    with c.makefile("rb") as f:
        out = []
        for _ in range(n):
            status = int(f.readline().split()[1])
            length = 0
            while (line := f.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            out.append((status, f.read(length)))
        return out


def failures(d):
    m = d.metrics()
    return {why: m[f'touchlog_tls_handshake_failures_total{{listener="public",reason="{why}"}}'] for why in FAILURES}


def metric(d, name):
    return d.metrics()[name + '{listener="public"}']


# ---- what is spoken ----

@pytest.mark.parametrize("kind", ("ec", "rsa"))
@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_events_are_logged_over_tls_and_the_client_can_verify_who_takes_them(daemon, ca, kind, version):
    d = daemon(config(ca.issue(kind, kind=kind)))
    context = ca.trusting(minimum_version=version, maximum_version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(d, context) as c:
        assert c.selected_alpn_protocol() == "http/1.1"
        name, _, bits = c.cipher()
        assert bits >= 128 and ("GCM" in name or "CHACHA20" in name), name
        for _ in range(3):
            c.sendall(post())
            (status, body), = read_answers(c, 1)
            assert status == 200 and json.loads(body)["status"] == "logged"
    assert metric(d, "touchlog_tls_handshakes_total") == 1 and not any(failures(d).values())
    listening = {f["listener"]: f.get("tls") for f in d.logged("listening")}
    assert listening == {"public": "yes", "ops": None}
    assert not any("tls" in k and "ops" in k for k in d.metrics())


def test_a_client_that_sends_no_alpn_is_served(daemon, ca, pair):
    d = daemon(config(pair))
    with connect(d, ca.trusting()) as c:
        c.sendall(post())
        assert c.selected_alpn_protocol() is None and read_answers(c, 1)[0][0] == 200


def old(context, version):
    """The system's defaults would keep the client from speaking it."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1))
def test_tls_before_1_2_is_refused_and_counted(daemon, ca, pair, version):
    d = daemon(config(pair))
    with pytest.raises(ssl.SSLError, match="(?i)version"):
        connect(d, old(ca.trusting(), version))
    until(lambda: failures(d)["version"] == 1, f"it is counted: {failures(d)}")
    assert d.logged("tls_handshake_failed")[0]["reason"] == "version"


def test_min_version_1_3_refuses_1_2_and_takes_1_3(daemon, ca, pair):
    d = daemon(config(pair, {"tls": tls(pair, min_version="1.3")}))
    with pytest.raises(ssl.SSLError, match="(?i)version"):
        connect(d, ca.trusting(maximum_version=ssl.TLSVersion.TLSv1_2))
    until(lambda: failures(d)["version"] == 1, "it is counted")
    with connect(d, ca.trusting()) as c:
        assert c.version() == "TLSv1.3"


def test_ciphers_without_forward_secrecy_or_authentication_are_refused_and_counted(daemon, ca, pair):
    d = daemon(config(pair))
    for name in ("AES128-SHA256:AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA"):
        context = ca.trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(name + ":@SECLEVEL=0")
        with pytest.raises(ssl.SSLError):
            connect(d, context)
    until(lambda: failures(d)["cipher"] == 2, f"they are counted: {failures(d)}")


def test_a_client_that_wants_only_another_protocol_than_http_1_1_is_refused_and_counted(daemon, ca, pair):
    d = daemon(config(pair))
    context = ca.trusting()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError):
        connect(d, context)
    until(lambda: failures(d)["alpn"] == 1, "it is counted")


def test_a_client_that_does_not_trust_the_certificate_is_counted(daemon, pair):
    d = daemon(config(pair))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = version
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(d, context)
    until(lambda: failures(d)["rejected"] == 2, f"they are counted: {failures(d)}")


def closed(c):
    """Nothing but an alert comes back, then the end."""
    with contextlib.suppress(ConnectionError):
        while data := c.recv(4096):
            assert data[0] == 0x15, data
    return True


def test_plain_http_on_a_tls_port_is_closed_and_counted(daemon, pair):
    d = daemon(config(pair))
    for request in (post(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
        with d.connect() as c:
            c.sendall(request)
            assert closed(c)
    until(lambda: failures(d)["plain_http"] == 2, f"it is counted: {failures(d)}")
    assert metric(d, "touchlog_http_requests_total") == 0


def test_what_is_neither_tls_nor_http_is_closed_and_counted(daemon, pair):
    d = daemon(config(pair))
    for junk in (b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x00\x05hello" * 10, bytes(range(256)) * 4):
        with d.connect() as c:
            c.sendall(junk)
            assert closed(c)
    until(lambda: failures(d)["broken"] == 3, f"it is counted: {failures(d)}")


def hello(context):
    """A client's first message."""
    i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(i, o, server_hostname="localhost").do_handshake()
    return o.read()


def test_a_client_that_leaves_in_the_handshake_is_counted(daemon, ca, pair):
    d = daemon(config(pair))
    d.connect().close()
    with d.connect() as c:
        c.sendall(hello(ca.trusting()))
        assert c.recv(4096)[0] == 0x16
    until(lambda: failures(d)["gone"] == 2, f"it is counted: {failures(d)}")
    until(lambda: metric(d, "touchlog_http_connections") == 0, "they are closed")


@pytest.mark.parametrize("how", ("silent", "after its hello", "byte by byte"))
def test_a_handshake_that_takes_longer_than_request_timeout_is_closed_and_counted(daemon, ca, pair, how):
    d = daemon(config(pair, {"request_timeout": "500ms", "idle_timeout": "60s"}))
    bytes_, start = hello(ca.trusting()), time.monotonic()
    with d.connect() as c:
        if how == "after its hello":
            c.sendall(bytes_)
        c.settimeout(0.05)
        while True:
            with contextlib.suppress(TimeoutError):
                if not c.recv(65536):
                    break
            if how == "byte by byte":
                with contextlib.suppress(OSError):
                    c.send(bytes_[:1])
                bytes_ = bytes_[1:]
            assert time.monotonic() - start < 10
    assert time.monotonic() - start >= 0.4
    assert failures(d)["timeout"] == 1


def test_a_client_cannot_renegotiate(daemon, ca, pair):
    d = daemon(config(pair))
    with subprocess.Popen(["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{d.ports['public']}", "-CAfile", ca.certificate],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
        seen = b""
        while b"Verify return code" not in seen:
            line = p.stdout.readline()
            assert line, seen
            seen += line
        p.stdin.write(b"R\n")
        p.stdin.flush()
        try:
            said, _ = p.communicate(timeout=harness.DEADLINE_S)
        except subprocess.TimeoutExpired:
            p.kill()
            raise
    assert b"no renegotiation" in said, said
    assert metric(d, "touchlog_tls_handshakes_total") == 1


def test_sessions_are_resumed(daemon, ca, pair):
    d = daemon(config(pair))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ca.trusting(minimum_version=version, maximum_version=version)
        with connect(d, context) as c:
            c.sendall(post())
            read_answers(c, 1)
            session = c.session
        with connect(d, context, session=session) as c:
            assert c.session_reused
            c.sendall(post())
            assert read_answers(c, 1)[0][0] == 200


# ---- the same path as without ----

def test_large_bodies_and_pipelines_work_as_without(daemon, ca, pair):
    d = daemon(config(pair))
    large = b'{"subject":' + b" " * (5 << 20) + b'"x"}'
    with connect(d, ca.trusting()) as c:
        c.sendall(post(large) + post() * 50 + post(large))
        assert [status for status, _ in read_answers(c, 52)] == [200] * 52
    with connect(d, ca.trusting(maximum_version=ssl.TLSVersion.TLSv1_2)) as c:
        c.sendall(post(large[:-1]))
        assert read_answers(c, 1)[0][0] == 400


def test_a_signature_over_the_url_begins_with_https(daemon, ca, pair):
    twilio = {"type": "webhook", "verify": "twilio", "secret": "plain:s3cret", "channel": "sms", "map": {"external_id": "MessageSid", "kind": "=message"}}
    d = daemon({**config(pair), "sources": {"sms": twilio}})
    for scheme, status in (("http", 401), ("https", 200)):
        text = f"{scheme}://log.example/in/smsMessageSidSM1"
        mac = base64.b64encode(hmac.new(b"s3cret", text.encode(), "sha1").digest())
        with connect(d, ca.trusting()) as c:
            c.sendall(b"POST /in/sms HTTP/1.1\r\nHost: log.example\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                      b"X-Twilio-Signature: " + mac + b"\r\nContent-Length: 14\r\n\r\nMessageSid=SM1")
            assert read_answers(c, 1)[0][0] == status


def test_the_limits_on_connections_hold_over_tls_too(daemon, ca, pair):
    d = daemon(config(pair, {"max_connections": 3}))
    kept = [connect(d, ca.trusting()) for _ in range(3)]
    with pytest.raises(OSError):
        connect(d, ca.trusting())
    assert d.metrics()['touchlog_http_requests_bad_total{listener="public",reason="connections"}'] == 1
    kept.pop().close()
    until(lambda: metric(d, "touchlog_http_connections") == 2, "one has left")
    connect(d, ca.trusting()).close()
    for c in kept:
        c.close()


def test_a_stop_answers_what_was_begun_says_that_this_was_all_and_lets_a_handshake_end(daemon, ca, pair):
    d = daemon(config(pair))
    idle, begun, late = connect(d, ca.trusting()), connect(d, ca.trusting()), d.connect()
    idle.sendall(post())
    assert read_answers(idle, 1)[0][0] == 200
    begun.sendall(HEAD + b"Content-Length: 2\r\n\r\n")
    until(lambda: metric(d, "touchlog_http_connections") == 3, "they are let in")
    d.p.send_signal(signal.SIGTERM)
    until(lambda: d.logged("stopping"), "it stops")
    late = ca.trusting().wrap_socket(late, server_hostname="localhost", suppress_ragged_eofs=False)
    late.sendall(post())
    begun.sendall(b"{}")
    assert read_answers(begun, 1)[0][0] == read_answers(late, 1)[0][0] == 200
    for c in (idle, begun, late):
        assert c.recv(10) == b"", "close_notify: without, this would raise"
        c.close()
    until(lambda: not d.is_running(), "the end")


# ---- reloading ----

def serial(c):
    return c.getpeercert()["subject"][0][0][1]


def test_a_reload_swaps_the_certificate_for_new_connections_under_load_and_cuts_off_nobody(daemon, ca, tmp_path):
    names = [f"swap{i}" for i in range(4)]
    pairs = [ca.issue(name) for name in names]
    pair = [str(tmp_path / "live.pem"), str(tmp_path / "live.key")]

    def put(i):
        for source, target in zip(pairs[i], pair):
            shutil.copy(source, target + ".new")
            os.replace(target + ".new", target)

    put(0)
    d = daemon(config(pair))
    kept = connect(d, ca.trusting())
    stop, odd, seen = threading.Event(), [], set()

    def client():
        while not stop.is_set():
            try:
                with connect(d, ca.trusting()) as c:
                    c.sendall(post())
                    (status, _), = read_answers(c, 1)
                    seen.add(serial(c))
                    if status != 200:
                        odd.append(status)
            except (OSError, IndexError) as e:
                odd.append(e)

    threads = [threading.Thread(target=client) for _ in range(3)]
    for t in threads:
        t.start()
    for i, name in enumerate(names):
        put(i)
        assert d.reload()
        with connect(d, ca.trusting()) as c:
            assert serial(c) == name
        until(lambda: name in seen, "others see it too")
    stop.set()
    for t in threads:
        t.join()
    assert not odd, odd[:5]
    kept.sendall(post())
    assert read_answers(kept, 1)[0][0] == 200 and serial(kept) == names[0], "who was connected stays so"
    kept.close()


def test_a_reload_with_a_pair_that_does_not_load_is_refused_whole_with_file_and_reason(daemon, ca, pair, tmp_path):
    d = daemon(config(pair))
    other = ca.issue("other")
    missing = str(tmp_path / "missing.key")
    cases = (((pair[0], other[1]), other[1], "does not belong to the (first) certificate"),
             ((pair[0], missing), missing, "No such file or directory"),
             ((pair[1], pair[1]), pair[1], "no certificate in PEM form"))
    for bad, path, why in cases:
        fresh = config(bad)
        fresh["sources"] = {**SOURCES, "new": SOURCES["web"]}
        assert not d.reload(fresh)
        error = d.logged("config_error")[-1]["error"]
        assert "listeners.public.tls." in error and path in error and why in error, error
        assert d.metrics()["touchlog_config_last_reload_successful"] == 0
        with connect(d, ca.trusting()) as c:
            c.sendall(post() + post().replace(b"/in/web", b"/in/new"))
            assert [status for status, _ in read_answers(c, 2)] == [200, 404], "nothing of it was taken over"
            assert serial(c) == "first"
    d.errors_expected.add("config_error")
    assert d.reload(config(other))
    with connect(d, ca.trusting()) as c:
        assert serial(c) == "other"


def test_a_reload_gives_and_takes_tls_and_changes_the_oldest_version(daemon, ca, pair):
    d = daemon(config(None))
    assert d.post("web", {}).status == 200
    assert d.reload(config(pair))
    with connect(d, ca.trusting(maximum_version=ssl.TLSVersion.TLSv1_2)) as c:
        c.sendall(post())
        assert read_answers(c, 1)[0][0] == 200
    assert d.reload(config(pair, {"tls": tls(pair, min_version="1.3")}))
    with pytest.raises(ssl.SSLError):
        connect(d, ca.trusting(maximum_version=ssl.TLSVersion.TLSv1_2))
    assert d.reload(config(None))
    assert d.post("web", {}).status == 200
    assert not d.logged("setting_needs_restart")


def test_the_key_is_read_before_root_is_dropped_and_a_reload_that_cannot_read_it_is_refused(database, ca, cluster):
    if os.getuid() != 0:
        pytest.skip("only root can drop root")
    user = pwd.getpwnam("postgres")     # may enter the cluster's directory
    with tempfile.TemporaryDirectory(prefix="touchlog-tls-") as directory:
        os.chmod(directory, 0o755)
        certificate, key = (shutil.copy(path, directory) for path in ca.issue("mine"))
        os.chmod(key, 0o600)
        presets = shutil.copytree(harness.PRESETS, os.path.join(directory, "presets"))
        with harness.Daemon(database, config((certificate, key), user="postgres", preset_dir=presets), directory) as d:
            os.chmod(d.directory, 0o755)
            assert d.logged("root_dropped")
            assert os.stat(f"/proc/{d.p.pid}").st_uid == user.pw_uid
            assert not d.reload()
            assert "Permission denied" in d.logged("config_error")[-1]["error"]
            d.errors_expected.add("config_error")
            with connect(d, ca.trusting()) as c:
                assert serial(c) == "mine"
            os.chown(key, user.pw_uid, user.pw_gid)
            assert d.reload()


# ---- touchlogd -t ----

def check(tmp_path, database, pair, **more):
    path = harness.write_config(tmp_path, database, config(None, {"tls": tls(pair, **more)}))
    return subprocess.run([harness.program("touchlogd"), "-t", "-c", path], capture_output=True, text=True)


def test_the_check_finds_what_is_wrong_with_certificate_and_key(database, ca, pair, tmp_path):
    other = ca.issue("another")
    subprocess.run(["openssl", "ec", "-in", pair[1], "-aes256", "-passout", "pass:x", "-out", tmp_path / "locked.key"], check=True, capture_output=True)
    (tmp_path / "nothing.pem").write_text("nothing\n")
    with open(pair[0]) as f:
        whole = f.read()
    (tmp_path / "cut.pem").write_text(whole + whole[:len(whole) // 2] + "\n-----END CERTIFICATE-----\n")
    path = lambda name: str(tmp_path / name)
    cases = (((pair[0], other[1]), "key", "the key does not belong to the (first) certificate"),
             ((pair[0], path("locked.key")), "key", "passphrase"),
             ((pair[0], path("nothing.pem")), "key", "no private key in PEM form"),
             ((pair[0], pair[0]), "key", "no private key in PEM form"),
             ((path("nothing.pem"), pair[1]), "certificate", "no certificate in PEM form"),
             ((path("cut.pem"), pair[1]), "certificate", "a certificate of its chain cannot be read"),
             (ca.issue("weak", kind="weak"), "certificate", "ee key too small"),
             ((path("none.pem"), pair[1]), "certificate", "No such file or directory"))
    for bad, key, why in cases:
        done = check(tmp_path, database, bad)
        line, = [text for text in done.stderr.splitlines() if f"listeners.public.tls.{key}:" in text and "chmod" not in text]
        assert done.returncode == 3 and why in line and bad[key == "key"] in line, done.stderr
        assert line.startswith(path("touchlog.yaml") + ":")
    done = check(tmp_path, database, pair, min_version="1.1")
    assert done.returncode == 3 and "1.2" in done.stderr
    assert check(tmp_path, database, pair).returncode == 0


def test_the_check_warns_of_a_certificate_that_expires_soon_has_expired_or_is_not_valid_yet(database, ca, tmp_path):
    for pair, why in ((ca.issue("soon", days=5), "it expires in "), (ca.issue("over", days=-1), "has expired"),
                      (ca.issue_from("future", "20450101000000Z"), "is not valid yet"), (ca.issue("fine", days=20), None)):
        done = check(tmp_path, database, pair)
        assert done.returncode == 0, done.stderr
        assert (why in done.stderr) if why else "tls.certificate" not in done.stderr, done.stderr


def test_the_metric_of_the_expiry_is_that_of_the_certificate_in_use(daemon, ca, pair):
    d = daemon(config(pair))
    end = lambda p: ssl.cert_time_to_seconds(subprocess.run(["openssl", "x509", "-in", p[0], "-noout", "-enddate"], check=True,
                                             capture_output=True, text=True).stdout.strip().split("=")[1])
    assert metric(d, "touchlog_tls_certificate_expiry_seconds") == end(pair)
    short = ca.issue("short", days=3)
    assert d.reload(config(short))
    assert metric(d, "touchlog_tls_certificate_expiry_seconds") == end(short)
    assert "expires in" in d.logged("config_warning")[-1]["warning"]


def test_the_chain_is_sent(daemon, ca, pair, tmp_path):
    """Behind the certificate stands the authority's: a client that asks for the whole chain gets both."""
    whole = tmp_path / "chain.pem"
    with open(pair[0]) as a, open(ca.certificate) as b:
        whole.write_text(a.read() + b.read())
    d = daemon(config((str(whole), pair[1])))
    done = subprocess.run(["openssl", "s_client", "-showcerts", "-connect", f"127.0.0.1:{d.ports['public']}"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.stdout.count("BEGIN CERTIFICATE") == 2, done.stdout
