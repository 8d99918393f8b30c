# SPDX-License-Identifier: Apache-2.0
"""The HTTP server, spoken to through plain sockets: tests/e2e/echod of $TOUCHLOG_BUILD is its owner.
A test name is a sentence that is true when it passes."""
import contextlib, json, os, re, resource, select, signal, socket, ssl, struct, subprocess, tempfile
import threading, time, uuid

import pytest

from harness import has_asan, program, until

HOST = b"Host: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def echod():
    return program("tests/e2e/echod")


class Server:
    """echod with these settings; leaving the block stops it and demands a clean end (no sanitizer report)."""

    def __init__(self, nofile=None, tls=False, **settings):
        self.tls, self.control, self.asked = tls, None, 0
        args = [echod(), settings.pop("address", "127.0.0.1:0")] + [f"{k}={v}" for k, v in settings.items()]
        if tls:
            args += [f"cert={certificate()}", f"key={certificate()}"]
        self.err = tempfile.TemporaryFile()
        # Freed memory is kept by ASan's quarantine; the memory tests need it small.
        env = dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=1")
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))) if nofile else None
        self.p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=self.err, preexec_fn=limit, env=env)
        self.port = int(self.p.stdout.readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.p.send_signal(signal.SIGINT)
        try:
            rc = self.p.wait(20)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            rc = "did not end"
        self.p.stdout.close()
        if self.control:
            self.control.s.close()
        self.err.seek(0)
        text = self.err.read().decode(errors="replace")
        self.err.close()
        if kind is None:
            assert rc == 0 and "ERROR" not in text and "runtime error" not in text, (rc, text[-3000:])

    def rss_kb(self):
        with open(f"/proc/{self.p.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def cpu_s(self):
        with open(f"/proc/{self.p.pid}/stat") as f:
            field = f.read().rsplit(")", 1)[1].split()
        return (int(field[11]) + int(field[12])) / os.sysconf("SC_CLK_TCK")

    def comes_to_rest(self):
        """Spends next to nothing for half a second, soon: one that spins never does."""
        def rests():
            before = self.cpu_s()
            time.sleep(0.5)     # what it does in that time is measured
            return self.cpu_s() - before < 0.05
        until(rests, "it comes to rest")

    def connect(self, timeout=5, family=socket.AF_INET):
        s = socket.socket(family)
        s.settimeout(timeout)
        s.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", self.port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
            s = c.wrap_socket(s, suppress_ragged_eofs=False)
        return s

    def get(self, path):
        """The body of path, over one connection of our own that is kept open (and counts as open)."""
        for _ in range(3):
            self.control = self.control or Reader(self.connect())
            with contextlib.suppress(OSError):
                self.control.s.sendall(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
                a = self.control.answer()
                if a:
                    self.asked += 1
                    return a.body
            self.control.s.close()      # it idled too long
            self.control = None
        raise AssertionError("the control connection is closed at once")

    def counts(self):
        """The counters; requests are those of the tests, without our own questions."""
        n = json.loads(self.get(b"/counts"))
        n["requests"] -= self.asked
        return n

    def until(self, **want):
        """Waits until the counters are so, then returns all of them."""
        last = {}

        def fits():
            last.update(self.counts())
            return all(last[k] == v for k, v in want.items())

        until(fits, f"{want}")
        return last

    def refusals(self):
        """(id, status, method, path, why) of each refusal the owner was told of."""
        lines = self.get(b"/refused").decode().splitlines()
        return [(i, int(status), method, path, why) for i, status, method, path, why in (l.split(" ", 4) for l in lines)]

    def has_read(self, c):
        """Waits until the server has taken all that was sent to it over c (IPv4)."""
        row = f"{self.port:04X} 0100007F:{c.getsockname()[1]:04X} "

        def is_empty():
            with open("/proc/net/tcp") as f:
                at = next((line for line in f if row in line), None)
            return at is None or at.split()[4].endswith(":00000000")

        until(is_empty, "the server has read")


_cert = []


def certificate():
    if not _cert:
        d = tempfile.mkdtemp()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=x", "-keyout", d + "/k", "-out", d + "/c"], check=True, capture_output=True)
        with open(d + "/pem", "wb") as out:
            for part in ("/c", "/k"):
                with open(d + part, "rb") as f:
                    out.write(f.read())
        _cert.append(d + "/pem")
    return _cert[0]


@pytest.fixture(scope="module", autouse=True)
def remove_certificate():
    yield
    if _cert:
        subprocess.run(["rm", "-r", os.path.dirname(_cert[0])], check=True)


seen_ids = set()


def check_id(text):
    """Every answer names its request by a UUIDv7 of now, never twice."""
    i = uuid.UUID(text)
    assert str(i) == text and i.version == 7 and i.variant == uuid.RFC_4122, text
    assert abs((i.int >> 80) / 1000 - time.time()) < 600, text
    assert text not in seen_ids, f"{text} was given twice"
    seen_ids.add(text)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:80]!r}>"


class Reader:
    """Cuts answers off a socket, strictly."""

    def __init__(self, s):
        self.s, self.buf, self.end = s, b"", None

    def more(self):
        if self.end:
            return False
        try:
            d = self.s.recv(1 << 20)
        except (socket.timeout, TimeoutError):
            raise AssertionError(f"no more bytes came; so far {self.buf[:200]!r}")
        except OSError as e:
            self.end = "reset" if isinstance(e, ConnectionError) else repr(e)
            return False
        self.buf += d
        if not d:
            self.end = "closed"
        return bool(d)

    def answer(self, to_head=False):
        while b"\r\n\r\n" not in self.buf:
            if not self.more():
                assert not self.buf, f"half an answer: {self.buf[:200]!r}"
                return None
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        lines = head.split(b"\r\n")
        assert re.fullmatch(rb"HTTP/1\.1 [1-5]\d\d [A-Za-z ]+", lines[0]), lines[0]
        status = int(lines[0].split()[1])
        headers = {k.decode().lower(): v.decode() for k, v in (l.split(b": ", 1) for l in lines[1:])}
        assert len(headers) == len(lines) - 1, f"a header is there twice: {lines}"
        if status >= 200:
            check_id(headers["x-request-id"])
            assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", headers["date"]), headers
        n = 0 if to_head or status in (100, 204, 304) else int(headers["content-length"])
        while len(self.buf) < n:
            assert self.more(), "body cut short"
        body, self.buf = self.buf[:n], self.buf[n:]
        a = Answer(status, headers, body)
        if status >= 400 and body:
            assert headers["content-type"] == "application/problem+json", a
            p = json.loads(body)
            assert p["status"] == status and p["title"] and p["detail"] and p["type"] == "about:blank", a
        return a

    def all(self, to_head=False):
        out = []
        while (a := self.answer(to_head)) is not None:
            out.append(a)
        return out


def ask(server, *parts, half_close=False, to_head=False, n=None, timeout=5):
    """Sends the parts; returns n answers, or when n is None those up to the end of the connection."""
    s = server.connect(timeout)
    r = Reader(s)
    try:
        try:
            for p in parts:
                s.sendall(p)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if half_close or n is None and any(b"close" in p for p in parts):
            return r.all(to_head)
        return [r.answer(to_head) for _ in range(n or 1)]
    finally:
        s.close()


def refused(server, raw, status=400):
    """One answer with that status, then the connection ends; nothing of it reached the handler."""
    s = server.connect()
    r = Reader(s)
    before = server.counts()["requests"]
    s.sendall(raw)
    got = r.all()
    s.close()
    after = server.counts()["requests"]
    assert [a.status for a in got] == [status], (raw[:120], got)
    assert got[0].headers["connection"] == "close", got
    assert r.end == "closed", (raw[:120], r.end)
    assert after == before, f"{raw[:120]} reached the handler"
    return got[0]


def post(path, body=b"", extra=b"", version=b"1.1"):
    return b"POST " + path + b" HTTP/" + version + b"\r\n" + HOST + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


# Every shape of FACTS.md section 1 and more: each is one 400 and a closed connection.
P = b"POST /echo HTTP/1.1\r\n" + HOST
SMUGGLED = b"GET /message HTTP/1.1\r\n" + HOST + b"\r\n"
STRICT = {
    "two different lengths": P + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\nhello",
    "two equal lengths": P + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": P + b"Content-Length: 5, 5\r\n\r\nhello",
    "space before the colon": P + b"Content-Length : 2\r\n\r\nhi",
    "tab before the colon": P + b"Content-Length\t: 2\r\n\r\nhi",
    "Transfer-Encoding with space beside a length": P + b"Content-Length: 4\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "length then chunked": P + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked then length": P + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "length +5": P + b"Content-Length: +5\r\n\r\nhello",
    "length -5": P + b"Content-Length: -5\r\n\r\nhello",
    "length 0x5": P + b"Content-Length: 0x5\r\n\r\nhello",
    "length 5x": P + b"Content-Length: 5x\r\n\r\nhello",
    "length 5 5": P + b"Content-Length: 5 5\r\n\r\nhello",
    "length empty": P + b"Content-Length: \r\n\r\n",
    "length above 64 bits": P + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    "length that wraps": P + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "chunk size 0x2": P + CHUNKED + b"\r\n0x2\r\nhi\r\n0\r\n\r\n",
    "chunk size +2": P + CHUNKED + b"\r\n+2\r\nhi\r\n0\r\n\r\n",
    "chunk size -1": P + CHUNKED + b"\r\n-1\r\nhi\r\n0\r\n\r\n",
    "chunk size with space before": P + CHUNKED + b"\r\n 2\r\nhi\r\n0\r\n\r\n",
    "chunk size empty": P + CHUNKED + b"\r\n\r\nhi\r\n0\r\n\r\n",
    "chunk size above 64 bits": P + CHUNKED + b"\r\n10000000000000002\r\nhi\r\n0\r\n\r\n",
    "chunk longer than said": P + CHUNKED + b"\r\n2\r\nhiX\r\n0\r\n\r\n",
    "chunk line with bare LF": P + CHUNKED + b"\r\n2\nhi\r\n0\r\n\r\n",
    "chunk end with bare LF": P + CHUNKED + b"\r\n2\r\nhi\n0\r\n\r\n",
    "last chunk with bare LF": P + CHUNKED + b"\r\n2\r\nhi\r\n0\n\r\n",
    "end of trailers with bare LF": P + CHUNKED + b"\r\n2\r\nhi\r\n0\r\n\n",
    "trailer with bare LF": P + CHUNKED + b"\r\n2\r\nhi\r\n0\r\nA: b\n\r\n",
    "chunk extension with bare LF": P + CHUNKED + b"\r\n2;a=b\nhi\r\n0\r\n\r\n",
    "chunk extension with NUL": P + CHUNKED + b"\r\n2;a=\0b\r\nhi\r\n0\r\n\r\n",
    "folded trailer": P + CHUNKED + b"\r\n2\r\nhi\r\n0\r\nA: b\r\n c\r\n\r\n",
    "bare LF everywhere": b"POST /echo HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi",
    "bare LF in one header": P + b"A: b\nContent-Length: 2\r\n\r\nhi",
    "bare LF after the request line": b"POST /echo HTTP/1.1\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
    "bare LF as the end of the head": P + b"Content-Length: 2\r\n\nhi",
    "bare CR in a value": P + b"A: b\rC: d\r\nContent-Length: 2\r\n\r\nhi",
    "bare CR as a line end": P + b"A: b\rContent-Length: 2\r\r\nhi",
    "CR CR LF": P + b"A: b\r\r\nContent-Length: 2\r\n\r\nhi",
    "obs-fold with space": P + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi",
    "obs-fold with tab": P + b"A: b\r\n\tc\r\nContent-Length: 2\r\n\r\nhi",
    "obs-fold of Transfer-Encoding": P + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "space before the first header": b"POST /echo HTTP/1.1\r\n Host: x\r\nContent-Length: 2\r\n\r\nhi",
    "NUL in a value": P + b"A: b\0c\r\nContent-Length: 2\r\n\r\nhi",
    "NUL in a name": P + b"A\0B: c\r\nContent-Length: 2\r\n\r\nhi",
    "NUL in the target": b"GET /a\0b HTTP/1.1\r\n" + HOST + b"\r\n",
    "escape in a value": P + b"A: \x1b[2J\r\nContent-Length: 2\r\n\r\nhi",
    "DEL in a value": P + b"A: \x7f\r\nContent-Length: 2\r\n\r\nhi",
    "no Host": b"GET /echo HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "Host with a path": b"GET /echo HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "Host with userinfo": b"GET /echo HTTP/1.1\r\nHost: a@x\r\n\r\n",
    "TE gzip, chunked": P + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "TE chunked, chunked": P + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "TE chunked, identity": P + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "TE xchunked": P + b"Transfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "TE identity": P + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
    "TE quoted": P + b'Transfer-Encoding: "chunked"\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
    "TE twice": P + CHUNKED + CHUNKED + b"\r\n2\r\nhi\r\n0\r\n\r\n",
    "TE gzip then TE chunked": P + b"Transfer-Encoding: gzip\r\n" + CHUNKED + b"\r\n2\r\nhi\r\n0\r\n\r\n",
    "TE with vertical tab": P + b"Transfer-Encoding: \x0bchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "TE on HTTP/1.0": b"POST /echo HTTP/1.0\r\n" + CHUNKED + b"\r\n2\r\nhi\r\n0\r\n\r\n",
    "header without colon": P + b"nonsense\r\nContent-Length: 2\r\n\r\nhi",
    "header with empty name": P + b": x\r\nContent-Length: 2\r\n\r\nhi",
    "header name with a bracket": P + b"A(b): x\r\nContent-Length: 2\r\n\r\nhi",
    "two spaces in the request line": b"GET  /echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment in the target": b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n",
    "target without slash": b"GET echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "target * with GET": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "lower case method": b"post /echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "lower case version": b"GET /echo http/1.1\r\n" + HOST + b"\r\n",
    "a TLS hello": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03aaaa\r\n\r\n",
    "a flood of empty lines": b"\r\n" * 100 + SMUGGLED,
    "bad second request": post(b"/echo", b"hi") + P + b"Content-Length: +5\r\n\r\nhello",
}
OTHER = {
    "HTTP/0.9": (505, b"GET /echo\r\n\r\n"),
    "HTTP/2.0": (505, b"GET /echo HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/1.9": (505, b"GET /echo HTTP/1.9\r\n" + HOST + b"\r\n"),
    "h2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "unknown method": (501, b"BREW /echo HTTP/1.1\r\n" + HOST + b"\r\n"),
    "unknown method with a body": (501, b"BREW /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 30\r\n\r\n" + SMUGGLED),
    "CONNECT": (501, b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"),
    "unknown expectation": (417, P + b"Expect: pony\r\nContent-Length: 2\r\n\r\nhi"),
    "body one byte too long": (413, P + b"Content-Length: 1048577\r\n\r\n" + b"x" * 1048577),
    "body too long and awaiting 100": (413, P + b"Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n"),
    "chunks too long together": (413, P + CHUNKED + b"\r\n" + (b"8000\r\n" + b"x" * 32768 + b"\r\n") * 33 + b"0\r\n\r\n"),
    "one huge chunk announced": (413, P + CHUNKED + b"\r\nffffffff\r\n" + b"x" * 1200000),
    "endless chunk extension": (413, P + CHUNKED + b"\r\n2;" + b"a" * 40000),
    "endless trailers": (413, P + CHUNKED + b"\r\n0\r\n" + b"A: b\r\n" * 9000),
    "request line too long": (414, b"GET /" + b"a" * 17000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "one header too long": (431, b"GET /echo HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 17000 + b"\r\n\r\n"),
    "headers too long together": (431, b"GET /echo HTTP/1.1\r\n" + HOST + b"".join(b"A%d: %s\r\n" % (i, b"b" * 200) for i in range(100)) + b"\r\n"),
    "too many headers": (431, b"GET /echo HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 129 + b"\r\n"),
}


def test_every_ambiguous_shape_is_one_400_and_a_closed_connection():
    with Server() as s:
        bad = []
        for name, raw in STRICT.items():
            try:
                if name == "bad second request":
                    got = ask(s, raw, half_close=True)
                    assert [a.status for a in got] == [200, 400], got
                else:
                    refused(s, raw)
            except AssertionError as e:
                bad.append(f"{name}: {e}")
        assert not bad, "\n".join(bad)


def test_other_refusals_have_their_own_status():
    with Server() as s:
        bad = []
        for name, (status, raw) in OTHER.items():
            try:
                refused(s, raw, status)
            except AssertionError as e:
                bad.append(f"{name}: {e}")
        assert not bad, "\n".join(bad)


def test_every_ambiguous_shape_is_refused_byte_by_byte_too():
    with Server(connections=100000, per_address=100000) as s:
        bad = []
        for name, raw in STRICT.items():
            c = s.connect()
            r = Reader(c)
            try:
                for i in range(len(raw)):
                    c.sendall(raw[i:i + 1])
                c.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            got = [a.status for a in r.all()]
            if got != ([200, 400] if name == "bad second request" else [400]):
                bad.append((name, got, r.end))
            c.close()
        assert not bad, bad


GOOD = {
    "length": (post(b"/echo", b"hello"), b"hello"),
    "chunked": (P + CHUNKED + b"\r\n2\r\nhe\r\n3;a=\"b\";c\r\nllo\r\n0\r\n\r\n", b"hello"),
    "chunked with trailers": (P + CHUNKED + b"\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\nX-Transfer-Encoding: x\r\n\r\n", b"0123456789"),
    "body full of line ends": (post(b"/echo", b"\r\n\n\r\0 \x7f\r\n\r\n"), b"\r\n\n\r\0 \x7f\r\n\r\n"),
    "chunk full of line ends": (P + CHUNKED + b"\r\n4\r\n\n\0\r\r\r\n0\r\n\r\n", b"\n\0\r\r"),
    "upper case Chunked": (P + b"transfer-encoding: Chunked \r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
    "an empty line before": (b"\r\n" + post(b"/echo", b"hello"), b"hello"),
    "no body": (b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n", b""),
    "upgrade ignored": (P + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    "upgrade without body ignored": (b"GET /echo HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b""),
    "UTF-8 in a value": (post(b"/echo", b"hi", b"X: gr\xc3\xbc\xc3\x9fe\r\n"), b"hi"),
    "absolute form": (post(b"http://other.example/echo?x=y", b"hi"), b"hi"),
    "empty header value": (post(b"/echo", b"hi", b"X:\r\nY: \t \r\n"), b"hi"),
    "GET with a body": (b"GET /echo HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, SMUGGLED),
    "largest body": (post(b"/echo", b"x" * 1048576), b"x" * 1048576),
    "127 headers": (b"GET /echo HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 126 + b"\r\n", b""),
}


def test_requests_answer_alone_and_twice_on_one_connection():
    for tls in (False, True):
        with Server(tls=tls) as s:
            for name, (raw, want) in GOOD.items():
                got = ask(s, raw + raw, n=2)
                assert [(a.status, a.body) for a in got] == [(200, want)] * 2, (name, got)


def test_a_request_split_at_every_byte_is_the_same_request():
    with Server() as s:
        for name in ("length", "chunked", "chunked with trailers", "chunk full of line ends", "upgrade ignored", "an empty line before"):
            raw, want = GOOD[name]
            c = s.connect()
            r = Reader(c)
            for i in range(1, len(raw)):
                c.sendall(raw[:i])
                s.has_read(c)
                c.sendall(raw[i:] + raw)
                for _ in range(2):
                    a = r.answer()
                    assert (a.status, a.body) == (200, want), (name, i, a)
            for i in range(0, len(raw)):
                c.sendall(raw[i:i + 1])
            assert r.answer().body == want
            c.close()


def test_the_handler_sees_what_was_sent():
    with Server() as s:
        a, = ask(s, b"PUT http://h/message?a=b?c HTTP/1.1\r\nHost: h:80\r\nuser-AGENT:  me \r\nContent-Length: 2\r\n\r\nhi", n=1)
        assert a.body == b"method=PUT\npath=/message\nquery=a=b?c\nminor=1\npeer=127.0.0.1\nagent=me\nheaders=3\nbody=2\n", a
        a, = ask(s, b"GET /message HTTP/1.0\r\n\r\n", half_close=True)
        assert b"query=(none)\nminor=0\n" in a.body, a
        a, = ask(s, b"GET /message? HTTP/1.1\r\n" + HOST + b"\r\n", n=1)
        assert b"query=\n" in a.body, a
        a, = ask(s, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", n=1)
        assert a.status == 404


def test_keep_alive_follows_version_and_connection_header():
    with Server() as s:
        for raw, kept, header in [
            (post(b"/echo", b"x"), True, None),
            (post(b"/echo", b"x", b"Connection: close\r\n"), False, "close"),
            (post(b"/echo", b"x", b"connection: foo, CLOSE\r\n"), False, "close"),
            (post(b"/echo", b"x", version=b"1.0"), False, "close"),
            (post(b"/echo", b"x", b"Connection: keep-alive\r\n", b"1.0"), True, "keep-alive"),
            (b"POST /echo HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", False, "close"),
        ]:
            c = s.connect()
            r = Reader(c)
            c.sendall(raw)
            a = r.answer()
            assert (a.status, a.body, a.headers.get("connection")) == (200, b"x", header), (raw, a)
            if kept:
                c.sendall(post(b"/echo", b"again"))
                assert r.answer().body == b"again", raw
            else:
                assert r.answer() is None and r.end == "closed", raw
            c.close()
        got = ask(s, post(b"/echo", b"a", b"Connection: close\r\n") + post(b"/echo", b"b"))
        assert [a.body for a in got] == [b"a"], got


def test_head_has_the_length_and_no_body():
    with Server() as s:
        got = ask(s, b"HEAD /big?1000 HTTP/1.1\r\n" + HOST + b"\r\n" + b"HEAD /none HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", to_head=True)
        assert [(a.status, a.headers["content-length"] != "0") for a in got] == [(200, True), (404, True)], got
        a, = ask(s, post(b"/header", b"v"), n=1)
        assert (a.status, a.headers["x-echo"], "content-length" in a.headers) == (204, "v", False), a
        a, = ask(s, post(b"/header", b"v\r\nSet-Cookie: evil"), n=1)
        assert a.status == 500 and "set-cookie" not in a.headers, a


def test_expect_continue_is_answered_when_the_body_is_awaited():
    for extra, body in ((b"Content-Length: 2\r\n", b"hi"), (CHUNKED, b"2\r\nhi\r\n0\r\n\r\n")):
        with Server() as s:
            c = s.connect()
            r = Reader(c)
            for _ in range(2):
                c.sendall(P + extra + b"Expect: 100-Continue\r\n\r\n")
                assert r.answer().status == 100
                c.sendall(body)
                assert r.answer().body == b"hi"
            c.sendall(P + extra + b"Expect: 100-continue\r\n\r\n" + body)
            assert r.answer().status == 200, "a body that is there needs no 100"
            c.sendall(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            s.has_read(c)
            c.sendall(b"hi")
            assert r.answer().status == 200, "HTTP/1.0 knows no 100"
            c.close()


def test_pipelined_requests_are_answered_in_order_though_some_are_deferred():
    for tls in (False, True):
        with Server(tls=tls) as s:
            paths = [b"/later?60", b"/echo", b"/later?1", b"/later?20", b"/echo"] * 20
            got = ask(s, b"".join(post(p, b"%d" % i) for i, p in enumerate(paths)), n=len(paths), timeout=20)
            assert [a.body for a in got] == [b"%d" % i for i in range(len(paths))]


def test_the_next_request_waits_for_the_answer_of_the_one_before():
    with Server() as s:
        c = s.connect()
        c.sendall(post(b"/later?400", b"a") + post(b"/echo", b"b"))
        s.has_read(c)
        n = s.until(waiting=1)
        assert n["requests"] == 1, n
        r = Reader(c)
        assert [r.answer().body, r.answer().body] == [b"a", b"b"]


def test_a_half_closed_client_still_gets_its_answers():
    with Server() as s:
        for raw, want in ((post(b"/echo", b"a"), 1), (post(b"/later?200", b"a"), 1), (post(b"/later?50", b"a") * 3, 3)):
            c = s.connect()
            c.sendall(raw)
            c.shutdown(socket.SHUT_WR)
            r = Reader(c)
            assert [a.body for a in r.all()] == [b"a"] * want and r.end == "closed"
        c = s.connect()
        c.sendall(post(b"/echo", b"abc")[:-1])
        c.shutdown(socket.SHUT_WR)
        assert [a.status for a in Reader(c).all()] == [400]


def pump(tls, c, step):
    """Runs step() of an SSLObject, carrying its bytes to and from the socket."""
    obj, i, o = tls
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            c.sendall(o.read())
            if d := c.recv(65536):
                i.write(d)
            else:
                i.write_eof()


def test_a_tls_client_that_sent_close_notify_still_gets_its_answer():
    with Server(tls=True) as s:
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            ctx = ssl.create_default_context()
            ctx.check_hostname, ctx.verify_mode, ctx.maximum_version = False, ssl.CERT_NONE, version
            i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
            c = socket.create_connection(("127.0.0.1", s.port), 5)
            tls = ctx.wrap_bio(i, o), i, o
            pump(tls, c, tls[0].do_handshake)
            tls[0].write(post(b"/later?200", b"abc"))
            c.sendall(o.read())
            s.until(waiting=1)
            with contextlib.suppress(ssl.SSLWantReadError):
                tls[0].unwrap()
            c.sendall(o.read())
            assert pump(tls, c, lambda: tls[0].read(1000)).endswith(b"\r\n\r\nabc")
            c.close()


def reset(c):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def assert_reset_is_noticed(s, c):
    """.. of the one client whose request is deferred, while it is, and without spinning."""
    cpu = s.cpu_s()
    reset(c)
    n = s.until(gone=1)
    assert (n["told_gone"], n["open"], n["waiting"]) == (1, 1, 1), n
    assert s.cpu_s() - cpu < 0.5, "it spins"


def test_a_client_that_leaves_while_its_request_is_deferred_is_told_to_the_owner_once():
    for tls in (False, True):
        with Server(tls=tls) as s:
            cpu = s.cpu_s()
            cs = [s.connect() for _ in range(40)]
            for c in cs:
                c.sendall(post(b"/later?1200", b"x" * 3000))
            s.until(waiting=40)
            for i, c in enumerate(cs):
                reset(c) if i % 2 else c.close()
            n = until(lambda: (m := s.counts())["gone"] >= 20 and m, "the resets are noticed")
            assert n["waiting"] == 40 and n["told_gone"] == n["gone"], n
            n = s.until(waiting=0, open=1)
            assert n["told_gone"] == n["gone"] <= 40, n
            assert s.cpu_s() - cpu < 0.8, "it spins"


def test_a_reset_is_noticed_before_the_answer_though_the_read_ahead_is_full():
    with Server() as s:
        c = s.connect()
        c.sendall(post(b"/later?6000", b"x") + post(b"/echo", b"y" * 1000) * 60)
        s.until(waiting=1)
        assert_reset_is_noticed(s, c)


def test_a_half_close_then_a_reset_is_noticed_before_the_answer():
    with Server() as s:
        c = s.connect()
        c.sendall(post(b"/later?6000", b"x"))
        s.until(waiting=1)
        c.shutdown(socket.SHUT_WR)
        s.has_read(c)
        assert s.counts()["gone"] == 0
        assert_reset_is_noticed(s, c)


def test_stopping_with_requests_deferred_and_unread_is_clean():
    with Server() as s:
        keep = [s.connect() for _ in range(20)]
        for c in keep:
            c.sendall(post(b"/later?5000", b"x") * 3)
        s.until(waiting=20)


def test_draining_answers_what_has_begun_and_closes_the_rest():
    with Server() as s:
        c, begun, idle = s.connect(), s.connect(), s.connect()
        c.sendall(post(b"/later?500", b"x"))
        begun.sendall(post(b"/echo", b"abc")[:-1])
        s.has_read(begun)
        s.until(waiting=1, open=4)
        s.p.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionError):
            s.connect()
        begun.sendall(b"c")
        for each, want in ((begun, b"abc"), (c, b"x")):
            r = Reader(each)
            a = r.answer()
            assert (a.status, a.body, a.headers["connection"]) == (200, want, "close"), a
            assert r.answer() is None


def drip(server, head, drop):
    """Sends head, then a byte of drop each 0.1 s while nothing comes back; returns (answers, seconds)."""
    c = server.connect()
    c.sendall(head)
    start = time.monotonic()
    for i in range(len(drop)):
        if select.select([c], [], [], 0.1)[0]:
            break
        with contextlib.suppress(OSError):
            c.sendall(drop[i:i + 1])
    return Reader(c).all(), time.monotonic() - start


def test_bytes_that_come_one_by_one_are_cut_by_the_request_deadline():
    with Server(request_ms=1000, idle_ms=60000) as s:
        for head, drop in ((b"", post(b"/echo", b"hello")), (P + b"Content-Length: 100\r\n\r\n", b"x" * 100),
                           (P + CHUNKED + b"\r\n", b"1\r\nx\r\n" * 20)):
            got, took = drip(s, head, drop)
            assert [a.status for a in got] == [408] and got[0].headers["connection"] == "close", got
            assert 0.8 < took < 5, took
        assert s.counts()["refused"]["timeout"] == 3


def test_half_a_request_behind_a_whole_one_has_a_deadline_too():
    with Server(request_ms=500, idle_ms=60000) as s:
        got = ask(s, post(b"/echo", b"a") + b"GET /", n=3)
        assert [a and a.status for a in got] == [200, 408, None], got


def test_an_idle_connection_is_closed_silently_and_the_deadline_starts_anew_per_request():
    with Server(request_ms=700, idle_ms=500) as s:
        c = s.connect()
        start = time.time()
        assert c.recv(1) == b"" and 0.3 < time.time() - start < 5
        c = s.connect()
        r = Reader(c)
        for _ in range(5):      # 2 s in all, though each request has 0.7 s
            raw = post(b"/later?100", b"x")
            c.sendall(raw[:20])
            time.sleep(0.3)
            c.sendall(raw[20:])
            assert r.answer().status == 200
        start = time.time()
        assert r.answer() is None and 0.3 < time.time() - start < 5


def test_a_deferred_answer_may_take_longer_than_every_timeout():
    with Server(request_ms=300, idle_ms=300) as s:
        assert ask(s, post(b"/later?1500", b"x"), n=1)[0].body == b"x"


def test_bodies_that_are_being_received_share_a_limit_and_one_alone_may_pass_it():
    body = b"x" * 400_000
    with Server(bodies_bytes=300_000) as s, contextlib.ExitStack() as open_now:
        assert ask(s, post(b"/echo", body), n=1)[0].body == body
        held = [open_now.enter_context(s.connect()) for _ in range(5)]
        for c in held:
            c.sendall(post(b"/echo", body)[:-300_000])
        s.until(open=6)
        a = until(lambda: next((Reader(c).answer() for c in held if select.select([c], [], [], 0)[0]), None), "one is refused")
        assert a.status == 503 and a.headers["retry-after"] == "1", a
        assert s.counts()["refused"]["no_memory"] > 0
        for c in held:
            c.close()
        s.until(open=1)
        assert ask(s, post(b"/echo", body), n=1)[0].body == body


def test_an_answer_given_in_the_turn_in_which_the_probe_is_due_is_sent():
    """Stopped past both, the loop finds two timers due at once: the answer's, and the probe's of a second."""
    with Server() as s, s.connect() as c:
        c.sendall(post(b"/later?1000", b"x"))
        s.until(waiting=1)
        s.p.send_signal(signal.SIGSTOP)
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            time.sleep(end - time.monotonic())
        s.p.send_signal(signal.SIGCONT)
        a = Reader(c).answer()
        assert a and a.body == b"x"


def test_a_tls_client_that_never_finishes_the_handshake_is_closed():
    with Server(tls=True, request_ms=600) as s:
        c = socket.create_connection(("127.0.0.1", s.port), 5)
        c.sendall(b"\x16\x03\x01")
        start = time.time()
        try:
            assert c.recv(10) == b""
        except ConnectionError:
            pass
        assert time.time() - start < 4
        c = socket.create_connection(("127.0.0.1", s.port), 5)
        c.sendall(SMUGGLED)     # plain HTTP to a TLS port
        with contextlib.suppress(ConnectionError):
            while c.recv(100):
                pass
        assert ask(s, post(b"/echo", b"ok"), n=1)[0].body == b"ok"


def flood(server, total, one, n=1, timeout=1.0):
    """Over n connections at once pipelines up to total bytes and reads nothing, until all are blocked for timeout."""
    cs = [server.connect(timeout) for _ in range(n)]
    block = one * (200000 // len(one) + 1)

    def send(c):
        sent = 0
        with contextlib.suppress(TimeoutError, ssl.SSLError):
            while sent < total:
                sent += c.send(block)

    threads = [threading.Thread(target=send, args=(c,)) for c in cs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return cs


@pytest.mark.parametrize("tls", (False, True))
def test_pipelining_100_MB_and_reading_nothing_costs_bounded_memory(tls):
    for one in (post(b"/echo", b"x" * 1000), b"GET /big?30000 HTTP/1.1\r\n" + HOST + b"\r\n", post(b"/later?1", b"x")):
        with Server(tls=tls, idle_ms=60000) as s:
            before = s.rss_kb()
            cs = flood(s, 100 << 20, one, 3)
            grown = s.rss_kb() - before
            s.comes_to_rest()
            assert grown < (12000 if has_asan() else 1500), f"{grown} kB"
            assert ask(s, post(b"/echo", b"ok"), n=1)[0].body == b"ok"
            for c in cs:
                c.close()


def test_a_client_that_reads_nothing_is_closed_after_the_idle_time():
    with Server(idle_ms=1000, request_ms=1000) as s:
        cs = flood(s, 100 << 20, post(b"/echo", b"x" * 1000), timeout=0.5)
        s.until(open=1)
        cs[0].close()


def test_a_slow_reader_of_a_large_answer_is_not_cut():
    with Server(idle_ms=600, output_bytes=1000) as s:
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
        c.settimeout(5)
        c.connect(("127.0.0.1", s.port))
        c.sendall(b"GET /big?6000000 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        got, start = 0, time.time()
        while d := c.recv(100000):
            got += len(d)
            if time.time() - start < 2:
                time.sleep(0.1)     # a slow reader
        assert got > 6000000 and time.time() - start > 1.5, (got, time.time() - start)


def test_2000_connections_are_served_at_once():
    for tls in ((False,) if has_asan() else (False, True)):
        with Server(tls=tls) as s:
            cs = [s.connect(30) for _ in range(2000)]
            for i, c in enumerate(cs):
                c.sendall(post(b"/later?50" if i % 2 else b"/echo", b"%d" % i))
            for i, c in enumerate(cs):
                assert Reader(c).answer().body == b"%d" % i
            n = s.counts()
            assert n["open"] == 2001 and n["requests"] == 2000, n
            for c in cs:
                c.close()
            s.until(open=1)


def test_limits_on_connections_are_said_and_hold():
    with Server(connections=10, per_address=1000) as s:
        cs = [s.connect() for _ in range(9)]
        s.until(open=10)
        c = s.connect()
        c.sendall(post(b"/echo", b"x"))
        r = Reader(c)
        a = r.answer()
        assert (a.status, a.headers["retry-after"], a.headers["connection"]) == (503, "1", "close"), a
        assert r.answer() is None and r.end == "closed"
        n = s.counts()
        assert (n["refused"]["connections"], n["responses"]["503"], n["requests"]) == (1, 1, 0), n
        told, = s.refusals()
        assert told == (a.headers["x-request-id"], 503, "-", "-", "too many connections")
        cs.pop().close()
        s.until(open=9)
        assert ask(s, post(b"/echo", b"x"), n=1)[0].status == 200
    with Server(connections=1000, per_address=10, address="[::]:0") as s:
        cs = [s.connect() for _ in range(9)]
        s.until(open=10)
        a = Reader(s.connect()).answer()
        assert (a.status, a.headers["retry-after"]) == (429, "1"), a
        assert s.counts()["refused"]["address"] == 1
        c = s.connect(family=socket.AF_INET6)
        c.sendall(b"GET /message HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"peer=::1\n" in Reader(c).answer().body, "another address is let in"
        c.close()
        cs.pop().close()
        s.until(open=9)
        assert b"peer=127.0.0.1\n" in ask(s, b"GET /message HTTP/1.1\r\n" + HOST + b"\r\n", n=1)[0].body


def is_ended(c):
    c.setblocking(False)
    try:
        return c.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_without_file_descriptors_new_connections_are_closed_and_old_ones_served():
    with Server(nofile=40) as s:
        old = s.connect()
        s.until(open=2)
        cs = [s.connect() for _ in range(300)]
        until(lambda: sum(map(is_ended, cs)) > 250, "the connections too many are closed")
        s.comes_to_rest()
        old.sendall(post(b"/echo", b"still here"))
        assert Reader(old).answer().body == b"still here"
        ended = sum(map(is_ended, cs))
        for c in cs:
            c.close()
        n = s.until(open=2)
        assert n["refused"]["files"] == ended and n["accepted"] == 302 - ended, (n, ended)
        s.err.seek(0)
        assert s.err.read().count(b"\n") < 5, "one line, not one each"


BODIES = {
    "length": (b"Content-Length: 200\r\n", b"x" * 200),
    "chunked": (CHUNKED, b"C8\r\n" + b"x" * 200 + b"\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("body", BODIES)
def test_a_head_is_refused_before_its_body_is_asked_for(body):
    extra, _ = BODIES[body]
    with Server() as s:
        for path, status, why in ((b"/none", 404, "no such path"), (b"/private", 401, "who are you?")):
            for expect in (b"", b"Expect: 100-continue\r\n"):
                a = refused(s, b"POST " + path + b" HTTP/1.1\r\n" + HOST + extra + expect + b"\r\n", status)
                assert json.loads(a.body)["detail"] == why
                assert a.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
                assert s.refusals()[-1] == (a.headers["x-request-id"], status, "POST", path.decode(), why)
        n = s.counts()
        assert (n["refused"]["by_head"], n["responses"]["404"], n["responses"]["401"]) == (4, 2, 2), n


@pytest.mark.parametrize("body", BODIES)
def test_a_head_is_refused_although_its_body_came_along_and_the_next_request_too(body):
    extra, raw = BODIES[body]
    with Server() as s:
        refused(s, b"POST /private HTTP/1.1\r\n" + HOST + extra + b"\r\n" + raw + SMUGGLED, 401)


@pytest.mark.parametrize("body", BODIES)
def test_a_head_that_is_let_in_is_asked_for_its_body(body):
    extra, raw = BODIES[body]
    with Server() as s:
        c = s.connect()
        r = Reader(c)
        for _ in range(2):
            c.sendall(b"POST /private HTTP/1.1\r\n" + HOST + b"Authorization: x\r\nExpect: 100-continue\r\n" + extra + b"\r\n")
            assert r.answer().status == 100
            c.sendall(raw)
            assert r.answer().body == b"x" * 200


def test_a_request_without_a_body_is_the_owners_to_refuse_and_keeps_the_connection():
    with Server() as s:
        got = ask(s, b"GET /none HTTP/1.1\r\n" + HOST + b"\r\n" + post(b"/none") + post(b"/private") + post(b"/echo", b"x"), n=4)
        assert [a.status for a in got] == [404, 404, 200, 200], got
        n = s.counts()
        assert n["requests"] == 4 and not any(n["refused"].values()) and s.refusals() == [], n


def test_a_limit_of_one_request_on_its_body_holds_for_it_alone():
    small = b"POST /small HTTP/1.1\r\n" + HOST
    with Server() as s:
        for raw in (small + b"Content-Length: 101\r\n\r\n", small + b"Content-Length: 101\r\nExpect: 100-continue\r\n\r\n",
                    small + b"Content-Length: 101\r\n\r\n" + b"x" * 101,
                    small + CHUNKED + b"\r\n65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
                    small + CHUNKED + b"\r\n" + b"1\r\nx\r\n" * 101,
                    small + CHUNKED + b"\r\nfffffff\r\n" + b"x" * 200):
            a = refused(s, raw, 413)
            assert s.refusals()[-1] == (a.headers["x-request-id"], 413, "POST", "/small", "the body is too large")
        n = s.counts()
        assert (n["refused"]["too_large"], n["refused"]["by_head"], n["responses"]["413"]) == (6, 0, 6), n
        chunks = small + CHUNKED + b"\r\n" + b"32\r\n" + b"x" * 50 + b"\r\n32\r\n" + b"x" * 50 + b"\r\n0\r\n\r\n"
        got = ask(s, post(b"/small", b"x" * 100) + chunks + post(b"/echo", b"y" * 5000), n=3)
        assert [(a.status, len(a.body)) for a in got] == [(200, 100), (200, 100), (200, 5000)], got


def test_chunks_over_the_limit_are_cut_while_they_are_still_being_sent():
    with Server() as s:
        c = s.connect()
        c.sendall(b"POST /small HTTP/1.1\r\n" + HOST + CHUNKED + b"Expect: 100-continue\r\n\r\n")
        r = Reader(c)
        assert r.answer().status == 100
        c.sendall(b"64\r\n" + b"x" * 100 + b"\r\n")
        s.has_read(c)
        assert s.counts()["open"] == 2 and not select.select([c], [], [], 0)[0], "100 bytes are let in"
        c.sendall(b"1\r\nx")
        assert r.answer().status == 413 and r.answer() is None


def test_the_owner_reads_and_sets_the_id_that_the_answer_carries_whatever_the_client_sent():
    with Server() as s:
        theirs = b"X-Request-Id: 01890000-0000-7000-8000-000000000000\r\n"
        got = ask(s, post(b"/id", b"", theirs) + post(b"/id", b"x", theirs) + b"GET /id HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", n=3)
        assert [a.headers["x-request-id"].encode() for a in got] == [a.body for a in got]
        assert len({a.body for a in got}) == 3
        assert s.refusals() == []


def test_every_kind_of_answer_carries_an_id_of_its_own():
    # Reader.answer() looks at each id; here stand the kinds that no other test collects in one place.
    with Server(request_ms=300, idle_ms=5000) as s:
        a, = ask(s, post(b"/header", b"v"), n=1)
        kinds = {a.status: a}
        for raw in (post(b"/echo", b"x"), post(b"/header", b"a\r\nb: c"), post(b"/problem", b"slow down"), b"GET /none HTTP/1.1\r\n" + HOST + b"\r\n",
                    b"GET / HTTP/1.1\r\n\r\n", P + b"Content-Length: 1\r\n\r\n", post(b"/private", b"x"),
                    *(raw for _, raw in OTHER.values())):
            c = s.connect()
            with contextlib.suppress(OSError):
                c.sendall(raw)
            a = Reader(c).answer()
            c.close()
            kinds[a.status] = a
        assert sorted(kinds) == [200, 204, 400, 401, 404, 408, 413, 414, 417, 429, 431, 500, 501, 505], kinds
        assert all(a.headers["x-request-id"] for a in kinds.values())


def test_an_answer_may_carry_several_headers_also_with_a_problem():
    with Server() as s:
        a, = ask(s, post(b"/problem", b"slow down"), n=1)
        assert (a.status, a.headers["retry-after"], a.headers["x-second"]) == (429, "7", "2"), a
        assert json.loads(a.body)["detail"] == "slow down"


def test_refusals_are_counted_by_reason_and_told_to_the_owner_with_the_id_of_their_answer():
    table = (
        (400, "bad_request", b"-", b"-", b"nonsense\r\n\r\n"),
        (400, "bad_request", b"POST", b"/echo", P + HOST + b"\r\n"),
        (413, "too_large", b"POST", b"/echo", P + b"Content-Length: 2000000\r\n\r\n"),
        (414, "header_too_large", b"-", b"-", b"GET /" + b"a" * 17000),
        (431, "header_too_large", b"-", b"-", P + b"A: " + b"b" * 17000),
        (408, "timeout", b"-", b"-", P),
        (408, "timeout", b"POST", b"/echo", P + b"Content-Length: 2\r\n\r\nh"),
        (417, "unsupported", b"POST", b"/echo", P + b"Expect: pony\r\n\r\n"),
        (501, "unsupported", b"-", b"-", b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n"),
        (505, "unsupported", b"-", b"-", b"GET / HTTP/3.0\r\n" + HOST + b"\r\n"),
        (404, "by_head", b"PUT", b"/none", b"PUT /none?a=b HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\n"),
    )
    with Server(request_ms=300, idle_ms=5000) as s:
        want, told = {}, []
        for status, reason, method, path, raw in table:
            a = refused(s, raw, status)
            want[reason] = want.get(reason, 0) + 1
            told.append((a.headers["x-request-id"], status, method.decode(), path.decode(), json.loads(a.body)["detail"]))
        n = s.counts()
        assert {k: v for k, v in n["refused"].items() if v} == want
        for status in {row[0] for row in table}:
            assert n["responses"][str(status)] == sum(row[0] == status for row in table), n
        assert s.refusals() == told


def test_a_refused_upload_can_read_why_while_it_is_still_sending():
    with Server() as s:
        for _ in range(5):
            c = s.connect()
            try:
                c.sendall(P + b"Content-Length: 50000000\r\n\r\n" + b"x" * 5000000)
            except OSError:
                pass
            assert Reader(c).answer().status == 413


def test_random_bytes_do_no_harm():
    import random
    rng = random.Random(7)
    pieces = [b"GET / HTTP/1.1\r\n", HOST, b"\r\n", b"\n", b"\0", P, CHUNKED, b"Content-Length: 3\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n", post(b"/echo", b"x"), b"\r", b" "]
    with Server(request_ms=500) as s:
        for _ in range(300):
            c = s.connect()
            try:
                c.sendall(b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 12))))
                c.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            Reader(c).all()
            c.close()
        assert ask(s, post(b"/echo", b"ok"), n=1)[0].body == b"ok"
