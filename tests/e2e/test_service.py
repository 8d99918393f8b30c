# SPDX-License-Identifier: Apache-2.0
"""Life as a service: what systemd is told, the watchdog, sockets that are passed, restarts, the units.
A test name is a sentence that is true when it passes."""
import contextlib, http.client, json, os, re, signal, socket, stat, subprocess, threading, time

import pytest

import harness
import service
from harness import hanging, until

SOURCES = {"web": {"type": "webhook", "verify": "none", "channel": "web"}}
UNITS = os.path.join(harness.SOURCE, "systemd")
RESTARTS = 20 if os.environ.get("TOUCHLOG_LONG") else 5


@pytest.fixture
def manager(tmp_path):
    m = service.Manager(tmp_path)
    yield m
    m.close()


@pytest.fixture
def start(database, tmp_path, manager):
    """start(sources={...}, **more) runs touchlogd as a service; each that runs is stopped at the end, cleanly."""
    started = []

    def run(ready=True, env=None, watchdog_ms=None, database=database, **config):
        d = service.Service(manager, database, {"sources": SOURCES, **config}, tmp_path, ready, env, watchdog_ms=watchdog_ms)
        started.append(d)
        return d.start()

    yield run
    try:
        for d in started:
            d.stop()
    finally:
        for d in started:
            d.kill()


def backends(d):
    """The server's processes of both writers, once they are idle; the one that worked last comes first."""
    until(lambda: sum(f["conn"] == "touchlogd writer" for f in d.logged("database_connected")) == 2, "both are connected")
    assert d.post("web", {}).status == 200
    return [int(pid) for pid in d.database.run("SELECT pid FROM pg_stat_activity WHERE application_name = 'touchlogd writer'"
                                               " AND datname = current_database() ORDER BY state_change DESC").split()]


# ---- what it tells ----

def test_it_is_ready_once_it_listens_and_says_when_it_stops_and_how_long_that_may_take(manager, start):
    d = start(ready=False, drain_timeout="7s")
    manager.until("READY")
    d.connect().close()
    manager.until("STATUS", lambda s: s == "Logging")
    assert "STOPPING" not in {k for _, told in manager.told for k in told}
    d.stop()
    stopping = next(told for _, told in manager.told if "STOPPING" in told)
    assert stopping["STOPPING"] == "1" and 7_000_000 < int(stopping["EXTEND_TIMEOUT_USEC"]) < 20_000_000
    assert manager.all("STATUS")[-1].startswith("Stopping")


def test_without_a_database_it_is_ready_to_be_spoken_to_and_its_status_says_what_is_wrong(manager, start, cluster):
    d = start(ready=False, database=harness.Database(cluster, "not_there"))
    manager.until("READY")
    manager.until("STATUS", lambda s: s != "Logging" and "not_there" in s)
    assert d.get("/readyz").status == 503
    d.errors_expected.add("connect_failed")


def test_with_a_spool_and_without_a_database_the_status_says_that_it_spools_and_why(manager, start, cluster, tmp_path):
    d = start(database=harness.Database(cluster, "not_there"), spool={"path": str(tmp_path / "spool.db")})
    manager.until("STATUS", lambda s: s.startswith("Spooling: ") and "not_there" in s)
    assert d.get("/readyz").status == 200


def test_a_reload_is_told_from_its_beginning_to_its_end(manager, start):
    d = start()
    before = time.monotonic()
    assert d.reload({"sources": {**SOURCES, "more": SOURCES["web"]}})
    manager.until("READY", after=1)
    reloading = next(told for _, told in manager.told if "RELOADING" in told)
    assert before * 1e6 < int(reloading["MONOTONIC_USEC"]) < time.monotonic() * 1e6
    order = [k for _, told in manager.told for k in told if k in ("READY", "RELOADING")]
    assert order == ["READY", "RELOADING", "READY"]
    assert manager.all("STATUS")[-1] == "Logging"


def test_a_reload_that_was_refused_ends_too_and_the_status_says_why(manager, start):
    d = start()
    assert not d.reload({"sources": {"web": {"type": "webhook", "verify": "nonsense"}}})
    manager.until("READY", after=1)
    status = manager.until("STATUS", lambda s: "refused" in s)
    assert status.startswith("Logging") and "touchlog.yaml:" in status and "nonsense" in status, status
    d.errors_expected.add("config_error")
    assert d.reload({"sources": SOURCES})
    manager.until("STATUS", lambda s: s == "Logging", after=len(manager.all("STATUS")) - 1)


def test_nobody_who_asked_for_nothing_is_told_anything(daemon):
    d = daemon(sources=SOURCES)
    assert d.post("web", {}).status == 200
    assert not any(f["event"].startswith("watchdog") for f in d.log())


def test_the_check_before_a_reload_does_without_credentials_which_the_service_alone_has(database, tmp_path):
    """systemd 252 gives them to ExecStart=, not to ExecReload=."""
    hook = {"type": "webhook", "verify": "standard-webhooks", "secret": "cred:hook.key"}
    config = harness.write_config(tmp_path, database, {"sources": {"hook": hook}})
    env = {k: v for k, v in os.environ.items() if k != "CREDENTIALS_DIRECTORY"}
    check = lambda **more: subprocess.run([harness.program("touchlogd"), "-t", "-c", config], capture_output=True, text=True, env={**env, **more})
    done = check()
    assert done.returncode == 0 and "cred:hook.key: not checked" in done.stderr, done
    (tmp_path / "hook.key").write_text("whsec_not base64!")
    done = check(CREDENTIALS_DIRECTORY=str(tmp_path))
    assert done.returncode == 3 and "whsec_" in done.stderr, done
    done = subprocess.run([harness.program("touchlogd"), "-c", config], capture_output=True, text=True, env=env)
    assert done.returncode == 3 and "$CREDENTIALS_DIRECTORY is not set" in done.stderr, done


# ---- the watchdog ----

def gap(manager, since=0.0):
    """The longest time between two feedings, up to now."""
    at = [t for t, told in manager.told if "WATCHDOG" in told and t >= since] + [time.monotonic()]
    return max(b - a for a, b in zip(at, at[1:])) if len(at) > 1 else 0.0


def test_the_watchdog_is_fed_in_time_while_events_come_and_while_none_do(manager, start):
    d = start(watchdog_ms=2000)
    manager.until("WATCHDOG", after=3)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert d.post("web", {}).status == 200
    manager.until("WATCHDOG", after=len(manager.all("WATCHDOG")))
    assert gap(manager) < 1.5


def test_the_watchdog_is_fed_while_the_database_cannot_be_reached(manager, start, cluster):
    d = start(ready=False, watchdog_ms=2000, database=harness.Database(cluster, "not_there"))
    until(lambda: d.get("/readyz").status == 503, "it has noticed")
    manager.until("WATCHDOG", after=8)
    assert gap(manager) < 1.5
    d.errors_expected.add("connect_failed")


def post_in_background(d, key):
    t = threading.Thread(target=d.post, args=("web", {"external_id": key}))
    t.start()
    return t


def test_the_watchdog_is_fed_while_one_writer_hangs_and_another_works(manager, start):
    d = start(watchdog_ms=2000)
    hung, _ = backends(d)       # the one that takes what comes while both are idle
    with hanging([hung]):
        at = time.monotonic()
        threads = []
        while len(d.logged("batch_failed")) == 0:       # until that writer has given its server up
            threads.append(post_in_background(d, f"k{len(threads)}"))
            time.sleep(0.1)     # events come all the while
            assert time.monotonic() - at < 20
    for t in threads:
        t.join()
    assert time.monotonic() - at > 8 and not d.logged("watchdog_starves")
    assert gap(manager, at) < 1.5


def test_the_watchdog_starves_while_all_writers_hang_and_is_fed_again_when_they_have_given_the_server_up(manager, start):
    d = start(watchdog_ms=2000)
    assert d.logged("watchdog_is_short")
    with hanging(backends(d)):
        at = time.monotonic()
        threads = []
        for key in ("slow", "slow too"):        # one a writer: each takes what waits when it is idle
            threads.append(post_in_background(d, key))
            until(lambda: d.metrics()['touchlog_events_received_total{source="web"}'] == 1 + len(threads), "it is read")
        until(lambda: d.logged("watchdog_starves"), "it starves")
        assert time.monotonic() - at > 4
        until(lambda: gap(manager, at) > 2, "systemd would have ended it")
        until(lambda: d.logged("watchdog_fed"), "it is fed again")
        n = len(manager.all("WATCHDOG"))
        manager.until("WATCHDOG", after=n + 2)
        assert time.monotonic() - at < 20
        for t in threads:
            t.join()
    until(lambda: d.post("web", {"external_id": "slow"}).status == 200, "events are logged again")
    assert d.is_running()


class Unread(service.Service):
    """Its log goes into a pipe; a write to it blocks whoever writes while unread() holds and the pipe is full."""

    def spawn(self, err):
        read, write = os.pipe()
        self.may_read, self.reads_no_more, self.full = threading.Event(), threading.Event(), os.dup(write)
        self.may_read.set()
        self.pump = threading.Thread(target=self._pump, args=(read,))
        self.pump.start()
        try:
            return super().spawn(write)
        finally:
            os.close(write)

    def _pump(self, read):
        with open(read, "rb", buffering=0) as f, open(self.err_path, "ab", buffering=0) as out:
            while line := f.read(65536):
                out.write(line.replace(b"#", b""))
                if not self.may_read.is_set():
                    self.reads_no_more.set()
                    self.may_read.wait()

    def fill(self):
        self.may_read.clear()
        os.write(self.full, b"#")       # wakes the reader, who then waits
        assert self.reads_no_more.wait(harness.DEADLINE_S)
        os.set_blocking(self.full, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.full, b"#")
        os.set_blocking(self.full, True)

    def stop(self, *args):
        self.may_read.set()
        with contextlib.suppress(OSError):
            os.close(self.full)
        super().stop(*args)
        self.pump.join(harness.DEADLINE_S)


def test_the_watchdog_starves_while_the_loop_hangs(manager, database, tmp_path):
    with Unread(manager, database, {"sources": SOURCES}, tmp_path, watchdog_ms=2000) as d:
        manager.until("WATCHDOG", after=2)
        d.fill()
        manager.until("WATCHDOG", after=len(manager.all("WATCHDOG")))   # not yet
        d.p.send_signal(signal.SIGHUP)
        at = time.monotonic()
        until(lambda: gap(manager, at - 1) > 2, "systemd would have ended it")
        d.may_read.set()
        manager.until("WATCHDOG", after=len(manager.all("WATCHDOG")))
        until(lambda: d.logged("config_reloaded"), "it goes on")


# ---- sockets that are passed ----

def test_a_listener_takes_the_socket_of_its_name_else_that_of_its_address_else_opens_its_own(manager, start):
    named, by_address = manager.listen("public"), manager.listen("something else")
    d = start(listeners={"public": {"address": "127.0.0.1:0", "serve": ["ingest"]},
                         "inner": {"address": f"127.0.0.1:{by_address}", "serve": ["ingest"]},
                         "ops": {"address": "127.0.0.1:0", "serve": ["ops"]}})
    assert d.ports["public"] == named and d.ports["inner"] == by_address
    assert d.ports["ops"] not in (named, by_address, 0)
    said = {f["listener"]: f.get("socket") for f in d.logged("listening")}
    assert said == {"public": "passed", "inner": "passed", "ops": None}
    for listener in ("public", "inner"):
        assert d.post("web", {}, listener=listener).status == 200


def test_a_socket_that_no_listener_wants_is_an_error_that_says_what_to_do(manager, start):
    manager.listen("public")
    port = manager.listen("nobody")
    manager.listen("datagrams", kind=socket.SOCK_DGRAM)
    manager.listen("unix", os.path.join(os.path.dirname(manager.path), "listen"), socket.AF_UNIX)
    d = start()
    d.errors_expected.add("socket_unwanted")
    said = {f["name"]: f for f in d.logged("socket_unwanted")}
    assert set(said) == {"nobody", "datagrams", "unix"}
    assert said["nobody"]["address"] == f"127.0.0.1:{port}" and "give one of them this name" in said["nobody"]["hint"]
    assert "ListenStream=" in said["datagrams"]["hint"] and "ListenStream=" in said["unix"]["hint"]
    assert d.post("web", {}).status == 200


def test_a_socket_of_another_address_than_the_configured_one_is_taken_by_its_name_with_a_warning(manager, start):
    port = manager.listen("public")
    d = start(listeners={"public": {"address": "127.0.0.1:9", "serve": ["ingest"]},
                         "ops": {"address": "127.0.0.1:0", "serve": ["ops"]}})
    warned, = d.logged("socket_elsewhere")
    assert warned["address"] == f"127.0.0.1:{port}" and warned["configured"] == "127.0.0.1:9"
    assert d.post("web", {}).status == 200


class Callers:
    """Clients that post one event over each connection, one connection after the other, without a pause."""

    def __init__(self, port, clients=4):
        self.port, self.stop = port, threading.Event()
        self.answers, self.refused, self.odd = {}, [], []
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(clients)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join(harness.STOP_WITHIN_S)

    def run(self, n):
        i = 0
        while not self.stop.is_set():
            key, i = f"{n}-{i}", i + 1
            try:
                a = harness.request(self.port, "POST", "/in/web", json.dumps({"external_id": key}),
                                    {"Content-Type": "application/json"})
                self.answers[key] = a.status
            except ConnectionRefusedError as e:
                self.refused.append((key, e))
            except (OSError, http.client.HTTPException) as e:
                self.odd.append((key, e))


def test_restarts_under_constant_new_connections_refuse_and_cut_off_none(manager, start, database):
    port = manager.listen("public")
    d = start()
    with Callers(port) as callers:
        for _ in range(RESTARTS):
            n = len(callers.answers)
            until(lambda: len(callers.answers) >= n + 50, "it answers")
            d.stop()
            d.start()
    assert not callers.refused and not callers.odd, (callers.refused[:3], callers.odd[:3])
    assert set(callers.answers.values()) == {200}, {v: k for k, v in callers.answers.items()}
    logged = database.run("SELECT external_id FROM touchlog.interaction").split()
    assert sorted(logged) == sorted(callers.answers), "each is logged once"


def test_a_connection_that_waits_in_a_passed_socket_is_served_by_the_next_daemon(manager, start):
    port = manager.listen("public")
    d = start()
    d.stop()
    c = socket.create_connection(("127.0.0.1", port), harness.DEADLINE_S)
    c.sendall(b"POST /in/web HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    d.start()
    assert c.recv(4096).startswith(b"HTTP/1.1 200 ")
    c.close()


# ---- stopping ----

HEAD = b"POST /in/web HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"


def test_a_stop_answers_connections_that_were_let_in_whose_request_is_still_on_its_way(start):
    d = start()
    silent, half, idle = (d.connect() for _ in range(3))
    half.sendall(HEAD)
    idle.sendall(HEAD + b"{}")
    assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
    until(lambda: d.metrics()['touchlog_http_connections{listener="public"}'] == 3, "they are let in")
    d.p.send_signal(signal.SIGTERM)
    until(lambda: d.logged("stopping"), "it stops")
    silent.sendall(HEAD + b"{}")
    half.sendall(b"{}")
    for c in (silent, half):
        answer = c.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200 ") and b"\r\nConnection: close\r\n" in answer
    assert idle.recv(4096) == b""
    for c in (silent, half, idle):
        c.close()
    until(lambda: not d.is_running(), "the end")


def test_a_stop_answers_those_that_wait_in_the_kernels_queue(start):
    d = start()
    d.p.send_signal(signal.SIGSTOP)
    waiting = [d.connect() for _ in range(20)]
    for c in waiting:
        c.sendall(HEAD + b"{}")
    d.p.send_signal(signal.SIGTERM)
    d.p.send_signal(signal.SIGCONT)
    assert [c.recv(4096)[:13] for c in waiting] == [b"HTTP/1.1 200 "] * 20
    for c in waiting:
        c.close()
    until(lambda: not d.is_running(), "the end")


def test_a_stop_does_not_wait_for_a_silent_connection_until_drain_timeout(start):
    d = start(drain_timeout="60s")
    silent = d.connect()
    until(lambda: d.metrics()['touchlog_http_connections{listener="public"}'] == 1, "it is let in")
    at = time.monotonic()
    d.p.send_signal(signal.SIGTERM)
    assert silent.recv(10) == b""
    silent.close()
    until(lambda: not d.is_running(), "the end")
    assert time.monotonic() - at < 10


# ---- the log ----

def test_lines_carry_a_priority_only_when_the_journal_reads_them(database, tmp_path):
    """$JOURNAL_STREAM says which file the journal reads, and stays set when standard error goes elsewhere."""
    for is_journal in (True, False):
        read, write = os.pipe()
        st = os.fstat(write)
        config = harness.write_config(tmp_path, database, {"sources": {"x": {"type": "nonsense"}}})
        p = subprocess.Popen([harness.program("touchlogd"), "-c", config], stderr=write, stdout=write,
                             env=dict(os.environ, JOURNAL_STREAM=f"{st.st_dev}:{st.st_ino + (not is_journal)}"))
        os.close(write)
        with os.fdopen(read) as f:
            line = next(text for text in f if "event=config_refused" in text)
            f.read()
        assert p.wait(harness.DEADLINE_S) == 3
        assert line.startswith("<3>event=") == is_journal, line
        assert bool(re.match(r"\d{4}-\d\d-\d\dT", line)) != is_journal, line


# ---- the units ----

def test_the_service_is_exposed_to_no_more_than_1_5():
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", os.path.join(UNITS, "touchlogd.service")],
                          capture_output=True, text=True)
    found = re.search(r"Overall exposure level for touchlogd.service: ([0-9.]+)", done.stdout)
    assert found and float(found[1]) <= 1.5, done.stdout + done.stderr


def installed(directory):
    """`make install` into this directory; returns {name: path} of what systemd reads."""
    build = os.environ["TOUCHLOG_BUILD"]
    done = subprocess.run(["make", "-C", build, "--no-print-directory", "install-data-local", f"DESTDIR={directory}"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {f"{os.path.basename(at)}/{name}": os.path.join(at, name) for at, _, names in os.walk(directory) for name in names}


def test_systemd_has_nothing_to_complain_of_in_the_installed_units(tmp_path):
    found = installed(tmp_path)
    units = [found["system/touchlogd.service"], found["system/touchlogd.socket"]]
    # The programs and manual pages are elsewhere; /bin/true is there.
    for path in units:
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(re.sub(r"=\S+/sbin/touchlogd ", "=/bin/true ", re.sub(r"(?m)^Documentation=.*\n", "", text)))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "touchlog" in line]
    assert done.returncode == 0 and not complaints, done.stderr


def test_sysusers_and_tmpfiles_make_the_user_and_the_folders_with_their_modes(tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root makes users")
    found = installed(tmp_path / "installed")
    root = tmp_path / "root"
    for name in ("etc/touchlog", "var/lib"):
        os.makedirs(root / name)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/touchlog/touchlog.yaml").write_text("{}")
    (root / "etc/touchlog/shop.key").write_text("secret")
    os.chmod(root / "etc/touchlog/shop.key", 0o644)
    with open(found["tmpfiles.d/touchlog.conf"]) as f:
        (tmp_path / "tmpfiles.conf").write_text(re.sub(r" \S*/etc/", " /etc/", f.read()))
    for command in (["systemd-sysusers", f"--root={root}", found["sysusers.d/touchlog.conf"]],
                    ["systemd-tmpfiles", f"--root={root}", "--create", str(tmp_path / "tmpfiles.conf")]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    users = dict(line.split(":", 1) for line in (root / "etc/passwd").read_text().splitlines())
    uid, gid, _, home, shell = users["touchlog"].split(":")[1:]
    assert home == "/var/lib/touchlog" and shell.endswith("nologin")

    def seen(path):
        st = os.stat(root / path)
        return stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid

    assert seen("etc/touchlog") == (0o750, 0, int(gid))
    assert seen("etc/touchlog/touchlog.yaml") == seen("etc/touchlog/shop.key") == (0o640, 0, int(gid))
    assert seen("var/lib/touchlog") == (0o700, int(uid), int(gid))
