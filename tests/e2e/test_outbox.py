# SPDX-License-Identifier: Apache-2.0
"""From a firing to its actions: the outbox, the dispatcher, webhooks, tasks."""
import base64, collections, contextlib, email.utils, hashlib, hmac, http.server, json, os, signal, socketserver, subprocess, threading, time

import pytest

from harness import hanging, until

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OPEN = {"allow_private": ["127.0.0.1"]}
SOURCE = {"web": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"}}


class Receiver:
    """An HTTP server that answers as it is told: with the next answer of its list, then 200.

    An answer is a status, (status, headers), or a function that gets the handler.  `got` holds what came."""

    def __init__(self, *answers):
        self.answers, self.got, self.lock = collections.deque(answers), [], threading.Lock()
        self.now, self.most = 0, 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.answer(self)

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads, request_queue_size = True, 200

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def answer(self, handler):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self.lock:
            self.got.append({"at": time.monotonic(), "path": handler.path, "headers": {k.lower(): v for k, v in handler.headers.items()}, "body": body})
            how = self.answers.popleft() if self.answers else 200
        if callable(how):
            how = how(handler)
        status, headers = how if isinstance(how, tuple) else (how, {})
        with self.lock:
            self.now -= 1
        if status is None:
            return
        handler.send_response(status)
        for k, v in headers.items():
            handler.send_header(k, v)
        if "Content-Length" not in headers:
            handler.send_header("Content-Length", "0")
        handler.end_headers()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def json(self, n=0):
        return json.loads(self.got[n]["body"])

    def wait(self, n, deadline_s=20):
        until(lambda: len(self.got) >= n, f"{n} requests", deadline_s)


@pytest.fixture
def receiver():
    with Receiver() as r:
        yield r


def rule(name="hit", do=("hook",), when="kind = 'hit'", **more):
    return name, {"when": when, "do": list(do), **more}


def settings(rules, actions, **more):
    return {"sources": SOURCE, "outbound": OPEN, "rules": rules, "actions": actions, **more}


def config(rules, receiver=None, action=None, **more):
    """One action, `hook`."""
    url = receiver.url if receiver else "http://127.0.0.1:1/"
    return settings(rules, **{"actions": {"hook": {"type": "webhook", "url": url, **(action or {})}}, **more})


def wait_rules(d):
    """Until the daemon's rules are those of the database."""
    active = "SELECT r.name FROM touchlog.rule r JOIN touchlog.rule_set s ON s.version = r.rule_set WHERE s.active"
    until(lambda: {r["name"] for r in d.database.rows(active)} == set(d.given["rules"]), "the rules are installed")


def hit(d, n=1, kind="hit", **more):
    wait_rules(d)
    a = d.post("web", {"external_id": f"{kind}-{n}", "kind": kind, "email": "a@example.net", "subject": "Broken \"thing\"", **more})
    assert a.status == 200, a
    return a.json()["id"]


def receipts(database, what="status"):
    return [r["x"] for r in database.rows(f"SELECT {what} AS x FROM touchlog.delivery ORDER BY outbox_id, attempt")]


def wait_receipts(database, *want):
    until(lambda: receipts(database) == list(want), f"receipts {want}")


def waiting(database):
    return database.one("SELECT count(*) FROM touchlog.outbox WHERE state = 'waiting'")


def retry_now(database):
    """As if the time had come."""
    database.run("UPDATE touchlog.outbox SET next_at = now() WHERE claimed_by IS NULL AND state = 'waiting'")


# ---- webhooks ----

def test_a_webhook_leaves_at_once_signed_and_with_a_stable_id(daemon, database, receiver):
    rules = dict([rule()])
    d = daemon(config(rules, receiver, {"secret": [f"plain:whsec_{SECRET}", "plain:" + base64.b64encode(b"another key of ours").decode()],
                                 "headers": {"X-Rule": "{rule}", "X-Line": "{subject}"}, "authorization": "plain:Bearer token"}))
    started = time.monotonic()
    event = hit(d)
    receiver.wait(1)
    assert receiver.got[0]["at"] - started < 0.9, "it waited for the poll"
    wait_receipts(database, "done")
    got = receiver.got[0]
    h = got["headers"]
    assert h["content-type"] == "application/json" and h["x-rule"] == "hit" and h["authorization"] == "Bearer token" and h["x-line"] == 'Broken "thing"'
    body = receiver.json()
    assert body["rule"] == "hit" and body["interaction"]["id"] == event and body["customer"]["id"] > 0
    assert abs(int(h["webhook-timestamp"]) - time.time()) < 60
    signed = f"{h['webhook-id']}.{h['webhook-timestamp']}.".encode() + got["body"]
    keys = base64.b64decode(SECRET), b"another key of ours"
    assert h["webhook-signature"].split(" ") == ["v1," + base64.b64encode(hmac.new(k, signed, hashlib.sha256).digest()).decode() for k in keys]
    assert h["webhook-id"] == f"tl_{receipts(database, 'outbox_id')[0]}"
    assert waiting(database) == 0
    m = d.metrics()
    assert m['touchlog_deliveries_total{action="hook",result="done"}'] == 1


def test_a_body_is_a_tree_of_templates_and_a_url_escapes_its_values(daemon, database, receiver):
    rules = dict([rule()])
    d = daemon(config(rules, receiver, {"url": receiver.url + "/{subject}?c={customer.name|no-one}", "body": {
        "text": "{subject} by {customer.name|no one}", "list": ["{rule}", "{{}}"], "amount": "={amount}", "yes": "=true", "no": "={subject}", "all": "={interaction.attributes}", "none": "={score|null}"}}))
    hit(d, amount="12.50", plan={"a": [1, "b"]})
    receiver.wait(1)
    assert receiver.json() == {"text": 'Broken "thing" by no one', "list": ["hit", "{}"], "amount": 12.5, "yes": True, "no": 'Broken "thing"', "all": {"plan": {"a": [1, "b"]}}, "none": None}
    assert receiver.got[0]["path"] == "/hook/Broken%20%22thing%22?c=no-one"


def test_what_failed_is_tried_again_under_the_same_id(daemon, database):
    def close_midway(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        handler.wfile.flush()
        handler.connection.close()
        return None, {}

    def close_at_once(handler):
        handler.connection.close()
        return None, {}

    with Receiver(500, close_midway, close_at_once, (302, {"Location": "/elsewhere"}), 408, 200) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r))
        hit(d)
        for n in range(1, 7):
            until(lambda: retry_now(database) is None and len(r.got) >= n, f"{n} requests")
        wait_receipts(database, *["retry"] * 5, "done")
        assert len({g["headers"]["webhook-id"] for g in r.got}) == 1
        assert [g["path"] for g in r.got] == ["/hook"] * 6, "a redirect was followed"
        assert receipts(database, "error")[0] == "HTTP 500" and receipts(database, "error")[3] == "HTTP 302"


def test_retries_wait_longer_and_longer(daemon, database):
    with Receiver(*[500] * 3) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r))
        hit(d)
        r.wait(4)
        gaps = [b["at"] - a["at"] for a, b in zip(r.got, r.got[1:])]
        assert 0.45 < gaps[0] < 4 and 0.95 < gaps[1] < 6 and 1.95 < gaps[2] < 9, gaps


def test_a_receiver_that_does_not_answer_is_given_up_after_its_timeout(daemon, database):
    release = threading.Event()
    with Receiver(lambda h: (release.wait(20), (200, {}))[1]) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r, {"timeout": "300ms"}))
        hit(d)
        until(lambda: receipts(database) == ["retry"], "the time-out")
        assert "imed out" in receipts(database, "error")[0] or "imeout" in receipts(database, "error")[0]
        release.set()


@pytest.mark.parametrize("status", [400, 404, 422])
def test_what_the_receiver_refuses_is_dead(daemon, database, status):
    with Receiver(status) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r))
        hit(d)
        wait_receipts(database, "dead")
        assert database.rows("SELECT state, error FROM touchlog.outbox") == [{"state": "dead", "error": f"HTTP {status}"}]
        assert d.logged("delivery_ended")[0]["result"] == "dead"


def test_410_ends_all_that_goes_to_this_action_until_a_reload(daemon, database):
    with Receiver(410) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r))
        hit(d, 1)
        wait_receipts(database, "dead")
        hit(d, 2)
        wait_receipts(database, "dead", "dead")
        assert len(r.got) == 1 and d.logged("action_gone")
        assert d.metrics()['touchlog_deliveries_total{action="hook",result="gone"}'] == 1
        assert d.reload(config(rules, r))
        until(lambda: database.one("SELECT count(*) FROM touchlog.action_gone") == 0, "the action is open again")
        hit(d, 3)
        r.wait(2)
        done = d.touchlog("outbox", "retry", "--dead")
        assert done.returncode == 0, done.stderr
        r.wait(4)


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed(daemon, database, as_date):
    asked = lambda: email.utils.formatdate(time.time() + 4, usegmt=True) if as_date else "3"
    with Receiver(lambda h: (429, {"Retry-After": asked()})) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r))
        hit(d)
        r.wait(1)
        until(lambda: receipts(database) == ["retry"], "the receipt")
        hit(d, 2)
        r.wait(3)
        assert r.got[1]["at"] - r.got[0]["at"] > 2, "the host was not left in peace"
        assert len({g["headers"]["webhook-id"] for g in r.got}) == 2


def test_a_private_address_is_refused_unless_it_is_allowed(daemon, database, receiver):
    rules = dict([rule(do=["hook", "by-name"])])
    actions = {"hook": {"type": "webhook", "url": receiver.url}, "by-name": {"type": "webhook", "url": receiver.url.replace("127.0.0.1", "localhost")}}
    d = daemon(settings(rules, actions, outbound={}))
    hit(d)
    wait_receipts(database, "dead", "dead")
    assert all("not public" in e for e in receipts(database, "error")) and not receiver.got
    assert d.reload(settings(rules, actions, outbound={"allow_private": ["127.0.0.0/8", "::1"]}))
    assert d.touchlog("outbox", "retry", "--dead").returncode == 0
    receiver.wait(2)


def test_a_large_answer_does_not_matter(daemon, database):
    def large(handler):
        with contextlib.suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            for _ in range(100):
                handler.wfile.write(b"x" * 1000000)
        return None, {}

    with Receiver(large) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r))
        hit(d)
        wait_receipts(database, "done")


def test_a_host_gets_so_many_requests_at_once_and_no_more(daemon, database):
    with Receiver(*[lambda h: (time.sleep(0.1), 200)[1]] * 20) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r, outbound={**OPEN, "per_host": 2}))
        wait_rules(d)
        d.post_lines("web", [{"external_id": f"h{i}", "kind": "hit", "email": f"{i}@example.net"} for i in range(20)])
        r.wait(20)
        until(lambda: receipts(database) == ["done"] * 20, "all are done")
        assert r.most == 2


def test_a_host_that_fails_is_left_alone_for_a_while(daemon, database):
    with Receiver(*[500] * 50) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r, outbound={**OPEN, "per_host": 1}))
        wait_rules(d)
        d.post_lines("web", [{"external_id": f"h{i}", "kind": "hit", "email": f"{i}@example.net"} for i in range(12)])
        until(lambda: d.logged("breaker_opened"), "the breaker opens")
        until(lambda: sum("left alone" in (e or "") for e in receipts(database, "error")) > 0, "the others are put off")
        assert len(r.got) == 5
        assert d.metrics()["touchlog_outbound_breakers_open"] == 1


# ---- database actions and tasks ----

TASK = {"type": "task", "title": "Call {customer.name|them}: {subject}", "assign": "care", "due": "4h"}


def test_actions_of_the_database_are_done_once_and_told(daemon, database):
    rules = dict([rule(do=["task", "stage", "tag", "prio", "note"])])
    d = daemon(settings(rules, {"task": TASK, "stage": {"type": "stage", "to": "at_risk"}, "tag": {"type": "tag", "add": ["vip"]},
                                        "prio": {"type": "priority", "to": 1}, "note": {"type": "notify"}}))
    hit(d, thread="T1")
    wait_receipts(database, *["done"] * 5)
    assert database.rows("SELECT stage, tags, priority FROM touchlog.customer") == [{"stage": "at_risk", "tags": ["vip"], "priority": 1}]
    assert database.rows("SELECT title, assign, thread, due > now() + interval '3 h' AS due FROM touchlog.task") == [
        {"title": 'Call them: Broken "thing"', "assign": "care", "thread": "T1", "due": True}]
    assert database.one("SELECT string_agg(who, ',' ORDER BY id) FROM touchlog.customer_change") == ",".join(["rule hit"] * 3)


def test_tasks_are_listed_done_and_assigned_by_command_line(daemon, database):
    rules = dict([rule(do=["task"]), rule("vip", ["vip"], "kind = 'vip'")])
    d = daemon(settings(rules, {"task": TASK, "vip": {"type": "priority", "to": 1}}))
    hit(d, 1)
    d.post("web", {"external_id": "v", "kind": "vip", "email": "vip@example.net"})
    d.post("web", {"external_id": "w", "kind": "hit", "email": "vip@example.net", "subject": "second", "thread": "T9"})
    until(lambda: database.one("SELECT count(*) FROM touchlog.task") == 2 and database.one("SELECT count(*) FROM touchlog.customer WHERE priority = 1") == 1, "tasks")
    listed = d.touchlog("--json", "task", "list")
    rows = json.loads(listed.stdout)
    assert [r["title"] for r in rows] == ["Call them: second", 'Call them: Broken "thing"'], "the customer of priority 1 comes first"
    first = str(rows[0]["id"])
    assert "Call them: second" in d.touchlog("task", "list").stdout
    assert d.touchlog("task", "assign", first, "boss").returncode == 0
    assert [r["id"] for r in json.loads(d.touchlog("--json", "task", "list", "--assign", "boss").stdout)] == [rows[0]["id"]]
    assert json.loads(d.touchlog("--json", "task", "list", "--overdue").stdout) == []
    done = d.touchlog("task", "done", first, "--note", "called", "--who", "eva")
    assert done.returncode == 0, done.stderr
    assert d.touchlog("task", "done", first).returncode == 1, "it was done"
    assert d.touchlog("task", "done", "999").returncode == 4
    assert d.touchlog("task", "done", "x").returncode == 2
    assert len(json.loads(d.touchlog("--json", "task", "list").stdout)) == 1
    assert len(json.loads(d.touchlog("--json", "task", "list", "--all").stdout)) == 2
    assert database.rows("SELECT thread, agent, body, direction, source FROM touchlog.interaction WHERE kind = 'resolved'") == [
        {"thread": "T9", "agent": "eva", "body": "called", "direction": "internal", "source": "touchlog"}]


def test_a_late_task_is_logged_once_and_escalates(daemon, database):
    rules = dict([rule(do=["task"]), rule("late", ["vip"], "kind = 'task_overdue'")])
    d = daemon(settings(rules, {"task": {**TASK, "due": "200ms"}, "vip": {"type": "priority", "to": 1}}))
    hit(d)
    until(lambda: database.one("SELECT count(*) FROM touchlog.customer WHERE priority = 1") == 1, "the escalation")
    assert database.one("SELECT count(*) FROM touchlog.interaction WHERE kind = 'task_overdue'") == 1
    assert json.loads(d.touchlog("--json", "task", "list", "--overdue").stdout)[0]["assign"] == "care"


def test_a_timer_that_is_due_fires(daemon, database, receiver):
    rules = dict([rule(wait="300ms", unless="kind = 'reply'")])
    d = daemon(config(rules, receiver))
    hit(d, 1)
    receiver.wait(1, 5)
    until(lambda: d.metrics()["touchlog_timers_decided_total"] == 1, "the metric")


# ---- nothing leaves ----

def test_while_paused_nothing_leaves_and_nothing_is_done_but_decisions_go_on(daemon, database, receiver):
    rules = dict([rule(do=["hook", "task"])])
    d = daemon(config(rules, receiver, actions={"hook": {"type": "webhook", "url": receiver.url}, "task": TASK}))
    done = d.touchlog("outbox", "pause", "--why", "a test", "--who", "me")
    assert done.returncode == 0, done.stderr
    until(lambda: d.logged("actions_paused"), "the daemon knows")
    hit(d)
    until(lambda: waiting(database) == 2, "the firing")
    time.sleep(1.5)     # what must not happen has had its time
    assert not receiver.got and waiting(database) == 2 and receipts(database) == []
    assert d.metrics()["touchlog_actions_held"] == 1
    assert "a test" in d.touchlog("outbox", "list").stdout + d.touchlog("outbox", "list").stderr
    assert d.touchlog("outbox", "resume").returncode == 0
    receiver.wait(1)
    wait_receipts(database, "done", "done")


def test_hold_actions_holds_one_daemon(daemon, database, receiver, monkeypatch):
    rules = dict([rule(do=["hook", "task"])])
    actions = {"hook": {"type": "webhook", "url": receiver.url}, "task": TASK}
    with held(database, config(rules, receiver, actions=actions)) as d:
        hit(d)
        until(lambda: waiting(database) == 2, "the firing")
        assert d.logged("actions_held")
        time.sleep(1.5)     # what must not happen has had its time
        assert not receiver.got and waiting(database) == 2
    daemon(config(rules, receiver, actions=actions))
    receiver.wait(1)
    wait_receipts(database, "done", "done")


@contextlib.contextmanager
def held(database, conf):
    import harness

    class Held(harness.Daemon):
        def spawn(self, err):
            return subprocess.Popen([harness.program("touchlogd"), "-c", self.config, "--hold-actions"], stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=self.env)

    with Held(database, conf) as d:
        yield d


def test_a_copy_of_the_database_in_another_cluster_does_nothing(daemon, database, receiver):
    rules = dict([rule()])
    database.run("UPDATE touchlog.cluster SET system_identifier = 1")
    d = daemon(config(rules, receiver))
    hit(d)
    until(lambda: d.logged("actions_paused"), "it is paused")
    assert waiting(database) == 1 and not receiver.got
    assert d.touchlog("outbox", "resume", "--why", "it is the original now").returncode == 0
    receiver.wait(1)


# ---- trouble ----

def test_killed_between_claim_and_receipt_a_webhook_is_repeated_and_a_task_is_not(daemon, database, tmp_path):
    arrived, go = threading.Event(), threading.Event()

    def hold(handler):
        arrived.set()
        go.wait(20)
        return 200

    with Receiver(hold) as r:
        rules = dict([rule(do=["task", "hook", "prio"])])
        conf = config(rules, r, spool={"path": str(tmp_path / "spool.db")}, actions={"hook": {"type": "webhook", "url": r.url}, "task": TASK, "prio": {"type": "priority", "to": 3}})
        d = daemon(conf)
        hit(d)
        assert arrived.wait(20)
        d.kill()
        go.set()
        d = daemon(conf)
        r.wait(2)
        until(lambda: waiting(database) == 0, "all is settled")
        assert r.got[0]["headers"]["webhook-id"] == r.got[1]["headers"]["webhook-id"] and r.got[0]["body"] == r.got[1]["body"]
        assert database.rows("SELECT action, attempt, status FROM touchlog.delivery ORDER BY action, attempt") == [
            {"action": "hook", "attempt": 1, "status": "lost"}, {"action": "hook", "attempt": 2, "status": "done"},
            {"action": "prio", "attempt": 1, "status": "done"}, {"action": "task", "attempt": 1, "status": "done"}]
        assert database.one("SELECT count(*) FROM touchlog.task") == 1 and database.one("SELECT count(*) FROM touchlog.customer_change") == 1
        assert d.logged("deliveries_recovered")


def test_at_the_end_what_is_under_way_is_let_end(daemon, database):
    arrived = threading.Event()
    with Receiver(lambda h: (arrived.set(), time.sleep(1), 200)[2]) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r))
        hit(d)
        assert arrived.wait(20)
        d.stop()
        assert receipts(database) == ["done"] and len(r.got) == 1


def test_what_does_not_end_in_time_is_given_back(daemon, database):
    arrived, go = threading.Event(), threading.Event()
    with Receiver(lambda h: (arrived.set(), go.wait(20), 200)[2]) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r, drain_timeout="500ms"))
        hit(d)
        assert arrived.wait(20)
        d.stop()
        assert database.rows("SELECT claimed_by, attempts FROM touchlog.outbox") == [{"claimed_by": None, "attempts": 1}] and receipts(database) == ["lost"]
        go.set()
        daemon(config(rules, r))
        wait_receipts(database, "lost", "done")


def test_without_the_database_a_delivery_ends_and_is_settled_later(daemon, database):
    arrived, go = threading.Event(), threading.Event()
    with Receiver(lambda h: (arrived.set(), go.wait(20), 200)[2]) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r))
        hit(d)
        assert arrived.wait(20)
        database.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}' AND application_name = 'touchlogd dispatcher'")
        go.set()
        wait_receipts(database, "done")
        assert len(r.got) == 1 and not d.logged("lease_lost")


def test_an_action_that_is_no_longer_configured_waits_for_one_that_is(daemon, database, receiver):
    conf = config(dict([rule()]), receiver)
    d = daemon(conf)
    assert d.touchlog("outbox", "pause").returncode == 0
    hit(d)
    assert d.reload(settings({}, {}))
    assert d.touchlog("outbox", "resume").returncode == 0
    until(lambda: database.rows("SELECT error FROM touchlog.outbox WHERE next_at > now() + interval '30 s' AND error LIKE '%does not have%'"), "it is put off")
    assert d.reload(conf)
    assert d.touchlog("outbox", "retry", str(database.one("SELECT id FROM touchlog.outbox"))).returncode == 0
    receiver.wait(1)


def test_a_reload_leaves_what_is_under_way_its_own_settings(daemon, database):
    arrived, go = threading.Event(), threading.Event()
    with Receiver(lambda h: (arrived.set(), go.wait(20), 200)[2]) as r, Receiver() as other:
        rules = dict([rule()])
        d = daemon(config(rules, r, {"secret": f"plain:{SECRET}"}))
        hit(d, 1)
        assert arrived.wait(20)
        for _ in range(3):
            assert d.reload(config(rules, other))
        go.set()
        wait_receipts(database, "done")
        hit(d, 2)
        other.wait(1)
        assert "webhook-signature" not in other.got[0]["headers"]


def test_two_daemons_share_the_outbox_and_each_row_is_done_once(daemon, database, receiver):
    rules = dict([rule(do=["hook", "task"])])
    conf = config(rules, receiver, actions={"hook": {"type": "webhook", "url": receiver.url}, "task": TASK})
    first, second = daemon(conf), daemon(conf)
    for d, name in ((first, "a"), (second, "b")):
        wait_rules(d)
        d.post_lines("web", [{"external_id": f"{name}{i}", "kind": "hit", "email": f"{i}@example.net"} for i in range(100)])
    until(lambda: waiting(database) == 0, "all is done")
    ids = [g["headers"]["webhook-id"] for g in receiver.got]
    assert len(ids) == len(set(ids)) == 200
    assert database.one("SELECT count(*) FROM touchlog.task") == 200
    assert set(receipts(database)) == {"done"}


# ---- the command line and the configuration ----

def test_the_outbox_is_listed_and_retried_by_command_line(daemon, database):
    with Receiver(500, 400) as r:
        rules = dict([rule()])
        d = daemon(config(rules, r))
        hit(d, 1)
        wait_receipts(database, "retry")
        (row,) = json.loads(d.touchlog("--json", "outbox", "list").stdout)
        assert row["state"] == "waiting" and row["action"] == "hook" and row["rule"] == "hit" and row["attempts"] == 1 and row["error"] == "HTTP 500"
        retry_now(database)
        wait_receipts(database, "retry", "dead")
        text = d.touchlog("outbox", "list", "--state", "dead").stdout
        assert "dead" in text and "HTTP 400" in text and "hook" in text
        assert d.touchlog("outbox", "retry").returncode == 2
        assert d.touchlog("outbox", "retry", "12345").returncode == 4
        done = d.touchlog("--json", "outbox", "retry", str(row["id"]))
        assert done.returncode == 0 and json.loads(done.stdout) == {"retried": [row["id"]]}
        wait_receipts(database, "retry", "dead", "done")
        assert d.touchlog("outbox", "list").stdout == ""


@pytest.mark.parametrize("action, why", [
    ({"type": "webhook", "url": "ftp://x"}, "url"),
    ({"type": "webhook", "url": "http://x/{"}, "url"),
    ({"type": "webhook", "url": "http://x/{subject|a b}"}, "url"),
    ({"type": "webhook", "url": "http://x/", "body": {"a": ["{x"]}}, "body"),
    ({"type": "webhook", "url": "http://x/", "headers": {"Host": "y"}}, "headers"),
    ({"type": "webhook", "url": "http://x/", "secret": "plain:?"}, "secret"),
    ({"type": "stage", "to": "nirvana"}, "none of `stages`"),
    ({"type": "tag"}, "add or remove"),
    ({"type": "tag", "add": ["a"], "remove": ["a"]}, "added as well"),
    ({"type": "priority", "to": 0}, "to"),
    ({"type": "task", "title": "{x"}, "title"),
    ({"type": "task", "title": "x", "calendar": "office"}, "due"),
])
def test_a_wrong_action_is_told_with_its_place(database, tmp_path, action, why):
    import harness
    path = harness.write_config(tmp_path, database, {"sources": SOURCE, "actions": {"a": action}})
    done = subprocess.run([harness.program("touchlogd"), "-t", "-c", path], capture_output=True, text=True)
    assert done.returncode == 3 and why in done.stderr and path + ":" in done.stderr, done.stderr


def test_stages_of_ones_own_are_those_that_count(database, tmp_path):
    import harness
    path = harness.write_config(tmp_path, database, {"sources": SOURCE, "stages": ["new", "old"], "actions": {"a": {"type": "stage", "to": "old"}}})
    assert subprocess.run([harness.program("touchlogd"), "-t", "-c", path], capture_output=True).returncode == 0
