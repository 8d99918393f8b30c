# SPDX-License-Identifier: Apache-2.0
"""A mail server of the tests' own: it keeps what it gets and refuses what it is told to."""
import base64, collections, email, email.policy, socket, ssl, threading, time

from harness import until


class SmtpSink:
    """`with SmtpSink() as sink:` listens on sink.port; sink.mails are the mails it took, as dicts: sender, to, data
    (bytes, without the dots doubled), message (parsed), tls, user, session (which connection).

    sink.say["RCPT"] (or CONNECT, EHLO, MAIL, DATA, BODY, RSET) is a deque of what it answers next, instead of yes: a
    text, or a function that gets the session and returns a text, or None: it says nothing and closes.
    tls: a server's ssl context: it offers STARTTLS, or, with implicit, speaks TLS at once.  users: {name: password};
    who has not logged in is told 530."""

    def __init__(self, tls=None, implicit=False, users=None, greeting="220 sink ESMTP\r\n"):
        self.tls, self.implicit, self.users, self.greeting = tls, implicit, users, greeting
        self.mails, self.sessions, self.commands = [], 0, []
        self.say = collections.defaultdict(collections.deque)
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.server.getsockname()[1]
        self.url = f"{'smtps' if implicit else 'smtp'}://localhost:{self.port}"
        self.open = set()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.close()
        for s in list(self.open):
            s.close()

    def wait(self, n, deadline_s=20):
        until(lambda: len(self.mails) >= n, f"{n} mails", deadline_s)
        return self.mails[n - 1]

    def _accept(self):
        while not self.closing.is_set():
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            with self.lock:
                self.sessions += 1
                n = self.sessions
            threading.Thread(target=self._serve, args=(conn, n), daemon=True).start()

    def _serve(self, conn, n):
        try:
            with Session(self, conn, n) as s:
                s.run()
        except (OSError, ValueError, ssl.SSLError):
            pass


class Session:
    def __init__(self, sink, conn, number):
        self.sink, self.number, self.user, self.is_tls = sink, number, None, False
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._use(sink.tls.wrap_socket(conn, server_side=True) if sink.implicit else conn)
        self.is_tls = sink.implicit
        self.reset()

    def __enter__(self):
        self.sink.open.add(self)
        return self

    def __exit__(self, *_):
        self.close()
        self.sink.open.discard(self)

    def _use(self, conn):
        self.conn, self.file = conn, conn.makefile("rb")

    def close(self):
        try:
            self.conn.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.conn.close()

    def reset(self):
        self.sender, self.to = None, []

    def send(self, text):
        self.conn.sendall(text.encode() if isinstance(text, str) else text)

    def answer(self, command, otherwise):
        """True: it said yes; "over": it said nothing and closes."""
        with self.sink.lock:
            queue = self.sink.say[command]
            how = queue.popleft() if queue else otherwise
        if callable(how):
            how = how(self)
        if how is None:
            return "over"
        self.send(how if how.endswith("\r\n") else how + "\r\n")
        return how[0] in "23"

    def stall(self, deadline_s=30):
        """Says nothing until the client leaves."""
        end = time.monotonic() + deadline_s
        self.conn.settimeout(0.1)
        while time.monotonic() < end and not self.sink.closing.is_set():
            try:
                if not self.conn.recv(100):
                    return None
            except TimeoutError:
                continue
            except OSError:
                return None
        return None

    def run(self):
        if self.answer("CONNECT", self.sink.greeting) is not True:
            return
        while line := self.file.readline():
            text = line.decode().rstrip("\r\n")
            self.sink.commands.append(text)
            word, _, rest = text.partition(" ")
            handler = getattr(self, "on_" + word.lower(), None)
            if handler is None:
                self.send("502 5.5.1 what\r\n")
            elif handler(rest) == "over":
                return

    def on_ehlo(self, _):
        self.reset()
        words = ["sink", "ENHANCEDSTATUSCODES", "8BITMIME"]
        if self.sink.tls and not self.is_tls:
            words.append("STARTTLS")
        if self.sink.users:
            words.append("AUTH PLAIN LOGIN")
        lines = "".join(f"250{'-' if i + 1 < len(words) else ' '}{w}\r\n" for i, w in enumerate(words))
        return self.answer("EHLO", lines)

    def on_starttls(self, _):
        self.send("220 2.0.0 go\r\n")
        self._use(self.sink.tls.wrap_socket(self.conn, server_side=True))
        self.is_tls = True

    def on_auth(self, rest):
        how, _, first = rest.partition(" ")
        if how == "PLAIN":
            if not first:
                self.send("334 \r\n")
                first = self.file.readline().decode().strip()
            _, user, password = base64.b64decode(first).decode().split("\0")
        else:
            self.send("334 VXNlcm5hbWU6\r\n")
            user = base64.b64decode(self.file.readline()).decode()
            self.send("334 UGFzc3dvcmQ6\r\n")
            password = base64.b64decode(self.file.readline()).decode()
        if self.sink.users.get(user) != password:
            self.send("535 5.7.8 wrong\r\n")
            return
        self.user = user
        self.send("235 2.7.0 in\r\n")

    def on_rset(self, _):
        self.reset()
        return self.answer("RSET", "250 2.0.0 Ok")

    def on_noop(self, _):
        self.send("250 2.0.0 Ok\r\n")

    def on_quit(self, _):
        self.send("221 2.0.0 Bye\r\n")
        return "over"

    def on_mail(self, rest):
        if self.sink.users and self.user is None:
            self.send("530 5.7.0 Authentication required\r\n")
            return None
        done = self.answer("MAIL", "250 2.1.0 Ok")
        if done is True:
            self.sender = rest[rest.index("<") + 1:rest.index(">")]
        return done

    def on_rcpt(self, rest):
        done = self.answer("RCPT", "250 2.1.5 Ok")
        if done is True:
            self.to.append(rest[rest.index("<") + 1:rest.index(">")])
        return done

    def on_data(self, _):
        if self.sender is None or not self.to:
            self.send("503 5.5.1 order\r\n")
            return None
        done = self.answer("DATA", "354 go")
        if done is not True:
            return done
        data = b""
        while (line := self.file.readline()) != b".\r\n":
            if not line:
                return "over"
            assert line.endswith(b"\r\n") and len(line) <= 1000, line
            data += line[1:] if line.startswith(b".") else line
        mail = {"sender": self.sender, "to": self.to, "data": data, "tls": self.is_tls, "user": self.user, "session": self.number,
                "message": email.message_from_bytes(data.replace(b"\r\n", b"\n"), policy=email.policy.default)}
        self.reset()
        done = self.answer("BODY", "250 2.0.0 Ok: queued as 1A2B")
        if done is True:
            self.sink.mails.append(mail)
        return done
