# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: a private PostgreSQL, fresh databases in it, and the daemon.

$TOUCHLOG_BUILD names the build directory; the programs in it are tested.  Only the Python
standard library and pytest are used; the database is asked through psql.  conftest.py makes
fixtures of what stands here.
"""
import base64, contextlib, hashlib, hmac, http.client, itertools, json, os, re, shutil, signal
import socket, subprocess, tempfile, threading, time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.normpath(os.path.join(HERE, "..", ".."))
SCHEMA = os.path.join(SOURCE, "schema")
PRESETS = os.path.join(SOURCE, "channels", "presets")
DEADLINE_S = 20
STOP_WITHIN_S = 30
TEMPLATE = "touchlog_template"
# Who logs in: the daemon as touchlog_daemon, reading commands as touchlog_reader.
DAEMON_ROLE, READER_ROLE = "e2e_daemon", "e2e_reader"
# What a sanitizer says when it found something.
REPORT = re.compile(r"runtime error|ERROR: (Address|Leak|UndefinedBehavior)Sanitizer|Sanitizer:DEADLYSIGNAL")


def program(name):
    """The path of a program in the build directory."""
    build = os.environ.get("TOUCHLOG_BUILD")
    if not build:
        pytest.fail("TOUCHLOG_BUILD is not set: it names the build directory, where `make` made touchlogd and touchlog")
    path = os.path.join(build, name)
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path} is not there: run `make check` in {build}")
    return path


def has_asan():
    with open(program("touchlogd"), "rb") as f:
        return b"__asan_init" in f.read()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(word) for word in f.read().split()]


@contextlib.contextmanager
def hanging(pids):
    """They hang (SIGSTOP) for the block; who has ended meanwhile does not matter."""
    try:
        for pid in pids:
            send(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            send(pid, signal.SIGCONT)


def send(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def until(condition, what="the condition", deadline_s=DEADLINE_S):
    """The first true value of condition(); fails when there is none in time."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)
    return value


# ---- PostgreSQL ----

class Cluster:
    """A private PostgreSQL, by tests/pgcluster: unix socket only, removed by drop()."""

    def __init__(self, directory, **settings):
        self.directory, self.numbers = str(directory), itertools.count(1)
        self.settings = [f"{k}={v}" for k, v in {"fsync": "off", "max_connections": 200, **settings}.items()]
        self.start()

    def _pgcluster(self, verb, *args):
        # Its output goes to a file: the server would keep a pipe open.
        with tempfile.TemporaryFile() as out:
            rc = subprocess.run([os.path.join(SOURCE, "tests/pgcluster"), verb, self.directory, *args],
                                stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode
            out.seek(0)
            text = out.read().decode()
        assert rc == 0, text
        return text.strip()

    def start(self):
        self.conninfo = self._pgcluster("start", *self.settings).splitlines()[-1]

    def stop(self, how="fast"):
        self._pgcluster("stop", how)

    def drop(self):
        self._pgcluster("drop")

    @property
    def path(self):
        """Where the data and the socket are."""
        return dict(word.split("=", 1) for word in self.conninfo.split())["host"]

    def postmaster(self):
        """The server's process id, for tests that stop it hard."""
        with open(os.path.join(self.path, "data", "postmaster.pid")) as f:
            return int(f.readline())

    def pids(self):
        """All of its processes, the postmaster first: stopped, it makes no new ones."""
        return [self.postmaster(), *children(self.postmaster())]

    def standby(self, directory, **settings):
        """A hot standby of it, streaming, with its data below that directory."""
        # Outside of pytest's folders, as pgcluster does it: another run of pytest closes them to the server's user.
        mine, as_owner = tempfile.mkdtemp(prefix="touchlog-"), []
        if os.getuid() == 0:
            shutil.chown(mine, "postgres", "postgres")
            as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        with open(os.path.join(directory, "cluster-is-in"), "w", encoding="utf-8") as f:
            f.write(mine + "\n")
        data = os.path.join(mine, "data")
        subprocess.run([*as_owner, shutil.which("pg_basebackup"), "-D", data, "-c", "fast", "-X", "stream", "--no-sync", "-d", self.conninfo],
                       check=True, capture_output=True, cwd="/")
        with open(os.path.join(data, "standby.signal"), "w"):
            pass
        return Cluster(directory, primary_conninfo=self.conninfo, **settings)

    def database(self, name="postgres"):
        return Database(self, name)

    def make_template(self):
        """A migrated database that others are copied from."""
        admin = self.database()
        admin.run(f"CREATE DATABASE {TEMPLATE}")
        template = self.database(TEMPLATE)
        template.migrate()
        admin.run(f"CREATE ROLE {DAEMON_ROLE} LOGIN IN ROLE touchlog_daemon",
                  f"CREATE ROLE {READER_ROLE} LOGIN IN ROLE touchlog_reader")

    def fresh(self):
        """A migrated database of its own."""
        return self.empty(f" TEMPLATE {TEMPLATE}")

    def empty(self, options=""):
        """A database without the touchlog schema (but the cluster has the roles)."""
        # Ours alone: where a server of another run of the tests has got the port of one that was killed, it has no such one.
        name = f"touchlog_e2e_{os.getpid()}_{next(self.numbers)}"
        self.database().run(f"CREATE DATABASE {name}{options}")
        return self.database(name)


def replace_match(database, body):
    """What a batch runs at its end."""
    database.run("CREATE OR REPLACE FUNCTION touchlog.match(ids uuid[], low timestamptz, high timestamptz,"
                 " at timestamptz DEFAULT clock_timestamp(), OUT n_hits int, OUT failed int[])"
                 f" LANGUAGE plpgsql AS $$ BEGIN {body} RETURN; END $$")


@contextlib.contextmanager
def migrated_cluster(directory, **settings):
    """A cluster with its template, for the block."""
    c = Cluster(directory, **settings)
    try:
        c.make_template()
        yield c
    finally:
        c.drop()


class Database:
    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name

    @property
    def admin_conninfo(self):
        return f"{self.cluster.conninfo} dbname={self.name}"

    def conninfo(self, role=DAEMON_ROLE):
        """As the last of two equal keywords counts, this logs in as that role."""
        return f"{self.admin_conninfo} user={role}"

    def psql(self, *statements, role=None):
        args = [word for s in statements for word in ("-c", s)]
        return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d",
                               self.conninfo(role) if role else self.admin_conninfo, *args],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def run(self, *statements, role=None):
        """Each in a transaction of its own, as superuser; its output."""
        done = self.psql(*statements, role=role)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query):
        """The rows of a SELECT as dicts, with JSON's types (times and uuids are text)."""
        return json.loads(self.run(f"SELECT coalesce(json_agg(t), '[]') FROM ({query}) t"))

    def one(self, query):
        """The one value of a SELECT."""
        (row,) = self.rows(query)
        (value,) = row.values()
        return value

    @contextlib.contextmanager
    def session(self, *statements):
        """A psql that has run these and stays open, in a transaction if they began one: it holds its locks."""
        with subprocess.Popen(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.admin_conninfo],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
            try:
                p.stdin.write("".join(s + ";\n" for s in statements) + "\\echo ready\n")
                p.stdin.flush()
                for line in p.stdout:
                    if line == "ready\n":
                        break
                else:
                    raise AssertionError("the session ended")
                yield p
            finally:
                p.stdin.close()
                p.wait(STOP_WITHIN_S)

    def migrate(self, *args):
        """touchlog migrate, as superuser."""
        with tempfile.TemporaryDirectory() as d:
            config = write_config(d, self, {"database": {"admin_conninfo": self.admin_conninfo}})
            done = touchlog(config, "migrate", "--schema-dir", SCHEMA, *args)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def drop(self):
        self.cluster.database().run(f"DROP DATABASE {self.name} (FORCE)")


# ---- the programs ----

def write_config(directory, database, config, ports=None):
    """Writes touchlog.yaml (JSON is YAML) and returns its path.  What `config` leaves out: `database`, or its
    conninfo; `listeners`: public (ingest) and ops, whose ports the kernel chooses unless they stand in `ports`."""
    ports = ports or {}
    whole = {
        "listeners": {name: {"address": f"127.0.0.1:{ports.get(name, 0)}", "serve": serve}
                      for name, serve in (("public", ["ingest"]), ("ops", ["ops"]))},
        "preset_dir": PRESETS,
        **config,
        "database": {"conninfo": database.conninfo(), **config.get("database", {})},
    }
    path = os.path.join(str(directory), "touchlog.yaml")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(whole, f, indent=1, ensure_ascii=False)
    os.replace(path + ".new", path)
    return path


def touchlog(config, *args, text=True, **more):
    """Runs the command line program to its end; also looks for sanitizer reports."""
    done = subprocess.run([program("touchlog"), "-c", config, *args], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120, **more)
    err = done.stderr.decode(errors="replace")
    assert not REPORT.search(err), err[-5000:]
    if text:
        done.stdout, done.stderr = done.stdout.decode(errors="replace"), err
    return done


class Answer:
    """What came back for a request."""

    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = {k.lower(): v for k, v in response.getheaders()}

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:1000]!r}>"


def request(port, method, path, body=None, headers=None, timeout_s=DEADLINE_S):
    """One request over a connection of its own."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        c.request(method, path, body, headers or {})
        return Answer(c.getresponse())
    finally:
        c.close()


def hmac_hex(secret, body, algorithm="sha256"):
    return hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).hexdigest()


def basic(user, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


LOG_WORD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


def log_fields(line):
    """'... event=a b="c d"' -> {'event': 'a', 'b': 'c d'}"""
    return {k: v[1:-1] if v.startswith('"') else v for k, v in LOG_WORD.findall(line)}


class Daemon:
    """touchlogd on a database, with the configuration of a dict (see write_config) or of YAML text.

    `with Daemon(db, {"sources": {...}}, tmp_path) as d:` starts it and waits until it is ready (ready=False:
    until it listens).  Leaving the block stops it and demands a clean end: exit code 0, no sanitizer report,
    and no line of level error unless the test has said which (`d.errors_expected = {"event", ...}`).
    """

    def __init__(self, database, config=None, directory=None, ready=True, env=None):
        self.database, self.given, self.ready = database, config if config is not None else {}, ready
        self.own_directory = None
        if directory is None:
            self.own_directory = tempfile.TemporaryDirectory()
            directory = self.own_directory.name
        self.directory = tempfile.mkdtemp(prefix="daemon-", dir=str(directory))
        self.env = dict(os.environ, **(env or {}))
        self.errors_expected = set()
        self.ports, self.p = {}, None
        self.config = self.write(self.given)

    # -- life --

    def write(self, config, ports=None):
        """Replaces the configuration file; reload() or start() read it."""
        self.given = config
        path = os.path.join(self.directory, "touchlog.yaml")
        if isinstance(config, str):
            with open(path, "w", encoding="utf-8") as f:
                f.write(config)
            return path
        return write_config(self.directory, self.database, config, ports)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
        finally:
            self.kill()
            if self.own_directory:
                self.own_directory.cleanup()

    def spawn(self, err):
        return subprocess.Popen([program("touchlogd"), "-c", self.config], stdin=subprocess.DEVNULL,
                                stdout=err, stderr=err, env=self.env)

    def start(self):
        assert self.p is None
        self.err_path = os.path.join(self.directory, f"stderr-{time.monotonic_ns()}")
        with open(self.err_path, "wb") as err:
            self.p = self.spawn(err)
        until(lambda: self.logged("started") or not self.is_running(), "the start")
        assert self.is_running(), self.stderr()[-5000:]
        self.ports = {f["listener"]: int(f["port"]) for f in self.logged("listening")}
        if self.ready:
            self.wait_ready()
        return self

    def is_running(self):
        return self.p is not None and self.p.poll() is None

    def wait_ready(self):
        try:
            until(lambda: self.get("/readyz").status == 200, "/readyz says 200")
        except (OSError, http.client.HTTPException) as e:
            raise AssertionError(f"/readyz: {e!r}; its log: {self.stderr()[-3000:]}") from e

    def stop(self, number=signal.SIGTERM):
        """Ends it and demands a clean end."""
        if self.p is None:
            return
        self.p.send_signal(number)
        try:
            rc = self.p.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"touchlogd did not end within {STOP_WITHIN_S} s") from None
        self.p = None
        text = self.stderr()
        assert rc == 0 and not REPORT.search(text), (rc, text[-5000:])
        errors = [line for line in text.splitlines() if " error event=" in line
                  and log_fields(line)["event"] not in self.errors_expected]
        assert not errors, errors

    def kill(self):
        """As a crash would: nothing is demanded."""
        if self.p is not None:
            with contextlib.suppress(ProcessLookupError):
                self.p.kill()
            self.p.wait()
            self.p = None

    def reload(self, config=None):
        """SIGHUP; true when the new configuration is used, false when the old one goes on."""
        if config is not None:
            self.write(config)
        before = len(self.outcomes())
        self.p.send_signal(signal.SIGHUP)
        return until(lambda: self.outcomes()[before:], "the reload")[0]["event"] == "config_reloaded"

    def outcomes(self):
        return [f for f in self.log() if f["event"] in ("config_reloaded", "config_error", "reload_failed")]

    # -- what it says --

    def stderr(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def log(self):
        """The lines of its log as dicts."""
        return [log_fields(line) for line in self.stderr().splitlines() if " event=" in line]

    def logged(self, event):
        return [f for f in self.log() if f["event"] == event]

    def rss_kb(self):
        with open(f"/proc/{self.p.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    # -- talking to it --

    def post(self, source, body, headers=None, path="", listener="public"):
        """POST /in/SOURCE: bytes as they are, text in UTF-8, anything else as JSON."""
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        return request(self.ports[listener], "POST", f"/in/{source}{path}", body,
                       {"Content-Type": "application/json", **(headers or {})})

    def post_lines(self, source, events, headers=None):
        """The same events, one a line."""
        return self.post(source, "".join(json.dumps(e) + "\n" for e in events),
                         {"Content-Type": "application/x-ndjson", **(headers or {})})

    def log_event(self, source, event, headers=None):
        """Posts one event, demands that it is logged as a new one, and returns its row."""
        a = self.post(source, event, headers)
        assert a.status == 200 and a.json()["status"] == "logged", a
        return self.row(a.json()["id"])

    def row(self, event_id):
        """The interaction's columns; times are seconds since 1970."""
        (row,) = self.database.rows(
            "SELECT *, extract(epoch FROM received_at) AS received_at, extract(epoch FROM occurred_at) AS occurred_at"
            f" FROM touchlog.interaction WHERE id = '{event_id}'")
        return row

    def get(self, path, listener="ops", headers=None):
        return request(self.ports[listener], "GET", path, headers=headers)

    def status(self, query=""):
        return self.get("/status" + query).json()

    def counts(self, source):
        """What /status tells of one source."""
        (found,) = [s for s in self.status()["sources"] if s["name"] == source]
        return found

    def metrics(self):
        """{'name{label="x"}': value}"""
        lines = self.get("/metrics").body.decode().splitlines()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))}

    def spooled(self):
        """Events in the spool."""
        return self.metrics()["touchlog_spool_events"]

    def wait_drained(self, deadline_s=DEADLINE_S):
        """Until the spool is empty, and open: before that nobody knows what is in it."""
        def is_drained():
            m = self.metrics()
            return m["touchlog_spool_takes"] == 1 and m["touchlog_spool_events"] == 0
        until(is_drained, "the spool is empty", deadline_s)

    def connect(self, listener="public", timeout_s=DEADLINE_S):
        """A plain socket."""
        s = socket.create_connection(("127.0.0.1", self.ports[listener]), timeout_s)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def touchlog(self, *args, **more):
        """The command line program with this daemon's configuration, in which the ports are the real ones."""
        directory = tempfile.mkdtemp(prefix="cli-", dir=self.directory)
        if isinstance(self.given, str):
            return touchlog(self.config, *args, **more)
        config = write_config(directory, self.database, self.given, self.ports)
        return touchlog(config, *args, **more)


# ---- load ----

class Load:
    """Clients that post events of their own, each again until it is acknowledged, as a good sender does.

    `with Load(d, "web"): ...` posts until the block is left; every event begun is then finished.  check() demands
    both promises: each event stands in the log once, under the id that was answered.  An id of 202 is provisional:
    who posted twice may find the event under the other one.
    """

    def __init__(self, daemon, source, clients=4, batch=1, pause_s=0.002):
        self.daemon, self.source, self.batch, self.pause_s = daemon, source, batch, pause_s
        self.prefix = f"load{time.monotonic_ns()}"
        self.stopped, self.ids, self.odd, self.again, self.spooled = threading.Event(), {}, [], 0, set()
        self.threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for t in self.threads:
            t.join(STOP_WITHIN_S)

    def wait_for(self, n):
        until(lambda: self.odd or len(self.ids) >= n, f"{n} events acknowledged")

    def _client(self, n):
        connection = None
        for i in itertools.count(0, self.batch):
            if self.stopped.is_set() or self.odd:
                break
            keys = [f"{self.prefix}-{n}-{k}" for k in range(i, i + self.batch)]
            body = "".join(json.dumps({"external_id": k, "email": f"{k}@load.example"}) + "\n" for k in keys)
            while not self.odd:
                try:
                    connection = connection or http.client.HTTPConnection("127.0.0.1", self.daemon.ports["public"], timeout=DEADLINE_S)
                    connection.request("POST", f"/in/{self.source}", body, {"Content-Type": "application/x-ndjson"})
                    a = Answer(connection.getresponse())
                except (OSError, http.client.HTTPException):
                    a, connection = None, connection and connection.close()
                if a and a.status in (200, 202):
                    if a.status == 202:
                        self.spooled.update(keys)
                    self.ids.update(zip(keys, a.json()["ids"]))
                    break
                if a and a.status != 503:
                    self.odd.append(a)
                self.again += 1
                if self.stopped.wait(0.02) and not self.daemon.is_running():
                    break       # nobody is left to take it
            time.sleep(self.pause_s)
        if connection:
            connection.close()

    def check(self):
        assert not self.odd, self.odd
        assert self.ids and not any(t.is_alive() for t in self.threads)
        out = self.daemon.database.run(f"SELECT external_id, id FROM touchlog.interaction WHERE external_id LIKE '{self.prefix}-%'")
        rows = [line.split("|") for line in out.splitlines()]
        log = dict(rows)
        assert len(rows) == len(log), "an event is logged twice"
        assert not self.ids.keys() - log.keys(), "an acknowledged event is missing"
        firm = self.ids.keys() - self.spooled
        assert {k: log[k] for k in firm} == {k: self.ids[k] for k in firm}, "an event stands under another id than was answered"
        return log
