# SPDX-License-Identifier: Apache-2.0
"""The dispatcher between every two of its steps: connections that break, daemons that are killed or hang, a divided
database; and mails on their way."""
import contextlib, os, signal, subprocess, tempfile, threading, time

import pytest

import drills, harness
from drills import QUICK, with_ports, with_spool
from harness import hanging, until
from proxy import DIRECTIONS, Proxy
from ruled import OPEN, actions, check_done, expire_leases, wait_active, wait_done
from smtp_sink import SmtpSink
from test_outbox import Receiver

# Deciding, claiming, settling: each event is followed by all of it.
RULES = {"now": {"when": "kind = 'hit'", "do": ["task", "hook"]},
         "later": {"when": "kind = 'hit'", "wait": "150ms", "per": "interaction", "do": ["hook", "task"]}}


@pytest.fixture
def receiver():
    with Receiver() as r:
        yield r


@pytest.fixture
def proxy(cluster):
    # Not below tmp_path, whose length a socket's name may not have.
    with tempfile.TemporaryDirectory(prefix="proxy-") as directory, Proxy(directory, cluster, "dispatcher") as p:
        yield p


def config(receiver, directory, **more):
    return with_spool({**QUICK, "outbound": OPEN, "actions": actions(receiver), "rules": RULES, **more}, directory)


def hit(d, name, **more):
    a = d.post("web", {"external_id": name, "kind": "hit", "email": f"{name}@people.example", **more})
    assert a.status == 200, a
    return a.json()["id"]


def is_done(database, n):
    """All that follows from n events."""
    return database.one("SELECT count(*) FROM touchlog.delivery WHERE status = 'done'") == 4 * n


def wait_next(database, n):
    """Until all that follows from n events is done, long before a lease that nobody knows of would end."""
    until(lambda: is_done(database, n), f"all that follows from {n} events is done")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_connection_cut_after_any_message_of_the_dispatcher_loses_and_doubles_nothing(database, daemon, proxy, receiver, tmp_path, size, tell, direction):
    d = daemon(proxy.through(database, config(receiver, tmp_path)))
    wait_active(database, RULES)
    n = 1
    hit(d, "e1")
    wait_next(database, 1)
    proxy.arm(direction, 10 ** 9)       # what passes for one event
    hit(d, "e2")
    wait_next(database, 2)
    n, cuts, messages = 2, 0, len(proxy.seen)
    for at in range(1, messages + 1, size(6, 1)):
        proxy.arm(direction, at)
        n += 1
        hit(d, f"e{n}")
        wait_next(database, n)
        cuts += proxy.has_fired.is_set()
    tell(messages=messages, cuts=cuts, **check_done(database, receiver))
    assert cuts >= messages / size(6, 1) / 2
    assert database.one("SELECT count(*) FROM touchlog.firing WHERE state = 'fired'") == 2 * n


def test_a_daemon_killed_after_any_message_of_the_dispatcher_loses_and_doubles_nothing(database, daemon, proxy, receiver, tmp_path, size, tell):
    d = daemon(with_ports(proxy.through(database, config(receiver, tmp_path))))
    wait_active(database, RULES)
    n, kills = 0, 0
    for direction in DIRECTIONS:
        proxy.arm(direction, 10 ** 9)
        n += 1
        hit(d, f"e{n}")
        wait_next(database, n)
        for at in range(1, len(proxy.seen) + 1, size(12, 1)):
            proxy.arm(direction, at, "hold")
            n += 1
            hit(d, f"e{n}")
            if not proxy.has_fired.wait(3):
                break
            d.kill()
            kills += 1
            d.start()
            wait_next(database, n)
    wait_done(database)
    tell(kills=kills, **check_done(database, receiver))
    assert kills > size(6, 60)
    assert database.one("SELECT count(*) FROM touchlog.firing WHERE state = 'fired'") == 2 * n


def test_what_a_daemon_that_hangs_had_claimed_another_does_and_nothing_twice_where_postgresql_alone_acts(database, daemon, tmp_path, size, tell):
    """It hangs in the middle of its deliveries, wakes up when others have done them, and ends them too."""
    go, held, lock = threading.Event(), [], threading.Lock()

    def first_is_held(handler):
        with lock:
            held.append(handler)
        go.wait(60)
        return 200

    n = size(10, 100)
    with Receiver(*[first_is_held] * n) as receiver:
        (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
        rules = {"now": RULES["now"]}
        outbound = {**OPEN, "per_host": 100}
        hanging_one = daemon(config(receiver, tmp_path / "a", rules=rules, outbound=outbound))
        wait_active(database, rules)
        for i in range(n):
            hit(hanging_one, f"e{i}")
        until(lambda: len(held) == n, "all are under way")
        with hanging([hanging_one.p.pid]):
            other = daemon(config(receiver, tmp_path / "b", rules=rules, outbound=outbound))
            expire_leases(database)
            wait_done(database)
            go.set()
        until(lambda: len(hanging_one.logged("lease_lost")) == n, "it hears that it is too late")
        hit(hanging_one, "last")
        wait_done(database)
        found = check_done(database, receiver)
    tell(**found)
    assert found["fired"] == n + 1 and found["hooks_repeated"] == found["leases_lost"] == n
    assert other.is_running() and database.one("SELECT count(*) FROM touchlog.delivery WHERE status = 'done'") == 2 * (n + 1)


def test_a_daemon_killed_after_the_receiver_answered_delivers_again_under_the_same_id(database, daemon, tmp_path, size, tell):
    """Stopped before it reads the answer, and killed then."""
    box = []

    def answer_the_dead(handler):
        os.kill(box[0].p.pid, signal.SIGSTOP)
        return 200

    times = size(5, 50)
    with Receiver() as receiver:
        d = daemon(with_ports(config(receiver, tmp_path, rules={"now": RULES["now"]})))
        wait_active(database, ["now"])
        box.append(d)
        for i in range(times):
            receiver.answers.append(answer_the_dead)
            hit(d, f"e{i}")
            receiver.wait(2 * i + 1)
            d.kill()
            d.start()
            receiver.wait(2 * i + 2)
        wait_done(database)
        found = check_done(database, receiver)
    tell(kills=times, **found)
    assert found["hooks_repeated"] == found["leases_lost"] == times


# ---- a reply that sat in the spool ----

WAIT_S = 2
FOLLOW_UP = {"unanswered": {"when": "kind = 'message'", "unless": "kind = 'reply'", "wait": f"{WAIT_S}s", "do": ["task", "hook"]}}


def say(d, name, kind, who="ann@people.example"):
    a = d.post("web", {"external_id": name, "kind": kind, "email": who})
    assert a.status in (200, 202), a
    return a.json()


def decided(database):
    """The one firing, once it is there."""
    (row,) = until(lambda: database.rows("SELECT state, (SELECT i.external_id FROM touchlog.interaction i WHERE i.id = f.cause_id) AS cause FROM touchlog.firing f"),
                   "the decision")
    return row["state"], row["cause"]


def test_a_reply_in_the_spool_cancels_the_timer_that_fell_due_while_the_database_was_away(mortal, daemon, receiver, tmp_path):
    d = daemon(config(receiver, tmp_path, rules=FOLLOW_UP), database=mortal)
    wait_active(mortal, FOLLOW_UP)
    assert say(d, "question", "message")["status"] == "logged"
    due = time.monotonic() + WAIT_S
    mortal.cluster.stop("immediate")
    assert say(d, "answer", "reply")["status"] == "spooled"
    until(lambda: time.monotonic() > due + 0.3, "the timer is due")
    mortal.cluster.start()
    assert decided(mortal) == ("cancelled", "answer")
    wait_done(mortal)
    assert not receiver.got and mortal.one("SELECT count(*) FROM touchlog.task") == 0


def two_daemons(receiver, tmp_path, database, daemon, proxy=None, **more):
    """The second one's connections go through the proxy, if there is one."""
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    first, second = (config(receiver, tmp_path / name, rules=FOLLOW_UP, **more) for name in "ab")
    both = [daemon(first, database=database), daemon(proxy.through(database, second) if proxy else second, database=database)]
    wait_active(database, FOLLOW_UP)
    until(lambda: database.one("SELECT count(*) FROM touchlog.daemon") == 2, "both have told of their spools")
    return both


@pytest.mark.parametrize("grace_s", (900, 5), ids=("within the grace", "after an outage longer than the grace"))
def test_a_reply_in_the_spool_of_a_daemon_that_comes_back_late_cancels_the_timer_too(mortal, daemon, receiver, tmp_path, grace_s):
    """The other one is back first, and would decide."""
    ours, late = two_daemons(receiver, tmp_path, mortal, daemon, timer_grace=f"{grace_s}s")
    assert say(ours, "question", "message")["status"] == "logged"
    over = time.monotonic() + WAIT_S + (grace_s if grace_s < 60 else 0)
    mortal.cluster.stop("immediate")
    assert say(late, "answer", "reply")["status"] == "spooled"
    with hanging([late.p.pid]):
        until(lambda: time.monotonic() > over + 0.3, "the timer is due, and the short grace over")
        mortal.cluster.start()
        until(lambda: ours.metrics()['touchlog_database_connected{role="dispatcher"}'] == 1, "ours is back")
        time.sleep(1.5)     # what must not happen has had its time
        assert not mortal.rows("SELECT state FROM touchlog.firing")
    assert decided(mortal) == ("cancelled", "answer")


def test_a_reply_in_the_spool_of_a_daemon_that_alone_lost_the_database_cancels_the_timer_too(database, daemon, receiver, proxy, tmp_path):
    ours, cut_off = two_daemons(receiver, tmp_path, database, daemon, proxy)
    assert say(ours, "question", "message")["status"] == "logged"
    due = time.monotonic() + WAIT_S
    proxy.block()
    assert say(cut_off, "answer", "reply")["status"] == "spooled"
    until(lambda: time.monotonic() > due + 0.3, "the timer is due")
    time.sleep(1)           # what must not happen has had its time
    assert not database.rows("SELECT state FROM touchlog.firing")
    proxy.unblock()
    assert decided(database) == ("cancelled", "answer")


def test_a_timer_waits_for_a_lost_spool_no_longer_than_its_grace_and_the_reply_is_too_late(database, daemon, receiver, proxy, tmp_path):
    ours, cut_off = two_daemons(receiver, tmp_path, database, daemon, proxy, timer_grace="1s")
    assert say(ours, "question", "message")["status"] == "logged"
    proxy.block()
    assert say(cut_off, "answer", "reply")["status"] == "spooled"
    assert decided(database) == ("fired", None)
    receiver.wait(1)
    proxy.unblock()
    until(lambda: decided(database) == ("too_late", "answer"), "the reply is told of")
    wait_done(database)
    assert check_done(database, receiver)["fired"] == 1


# ---- mail ----

@pytest.fixture
def sink():
    with SmtpSink() as s:
        yield s


def mail_config(sink, directory, **more):
    (directory / "templates").mkdir(exist_ok=True)
    (directory / "templates" / "hello.txt").write_text("Subject: Hello\n\nYou wrote {interaction.external_id}.\n")
    return with_spool({**QUICK, "template_dir": str(directory / "templates"), "mail_cap": "none",
                       "smtp": {"url": sink.url, "from": "care@our.example", "timeout": "5s", "connections": 2},
                       "actions": {"mail": {"type": "email", "template": "hello", "purpose": "service"}},
                       "rules": {"greet": {"when": "kind = 'hit'", "do": ["mail"]}}, **more}, directory)


def message_ids(sink):
    return [m["message"]["Message-ID"] for m in list(sink.mails)]


def check_mails(database, sink, n):
    """Each event's mail came, again only as the same one, and is logged as sent once.  The counts."""
    wait_done(database)
    sent = [row["external_id"] for row in database.rows("SELECT external_id FROM touchlog.interaction WHERE kind = 'sent'")]
    ids = message_ids(sink)
    assert len(sent) == len(set(sent)) == n and set(ids) == set(sent)
    bodies = {(m["message"]["Message-ID"], m["to"][0], m["message"].get_content()) for m in sink.mails}
    assert len(bodies) == n, "the same id for something else"
    return dict(sent=n, mails=len(ids), repeated=len(ids) - n)


def test_a_mail_server_that_stalls_after_the_message_keeps_nobody_waiting(database, daemon, sink, sender, tmp_path, size, tell):
    stalls = size(4, 40)
    reached = threading.Semaphore(0)
    sink.say["BODY"].extend([lambda session: reached.release() or session.stall()] * stalls)
    d = daemon(mail_config(sink, tmp_path, smtp={"url": sink.url, "from": "care@our.example", "timeout": "1s", "connections": 2}))
    wait_active(database, ["greet"])
    s = sender(d, "other", conns=4, rate=100)
    n, slowest_s = 2 * stalls, 0
    for i in range(n):
        hit(d, f"e{i}")
    assert reached.acquire(timeout=harness.DEADLINE_S)
    while len(sink.mails) < n:
        start = time.monotonic()
        assert d.get("/healthz").status == 200
        slowest_s = max(slowest_s, time.monotonic() - start)
        database.run("UPDATE touchlog.outbox SET next_at = now() WHERE claimed_by IS NULL")     # no backoff
        time.sleep(0.02)
    s.stop()
    tell(healthz_s=round(slowest_s, 3), p99_s=round(s.latency_s(0.99), 3), **check_mails(database, sink, n), **drills.compare(database, s))
    assert slowest_s < 0.9 and s.latency_s(0.99) < 0.9, "less than a stall"
    assert database.one("SELECT count(*) FROM touchlog.delivery WHERE status = 'retry'") == stalls


def test_a_daemon_killed_after_a_mail_was_accepted_sends_it_again_as_the_same_and_logs_it_once(database, daemon, sink, tmp_path, size, tell):
    box, times = [], size(5, 50)

    def accept_from_the_dead(session):
        os.kill(box[0].p.pid, signal.SIGSTOP)
        return "250 2.0.0 Ok"

    d = daemon(with_ports(mail_config(sink, tmp_path)))
    wait_active(database, ["greet"])
    box.append(d)
    for i in range(times):
        sink.say["BODY"].append(accept_from_the_dead)
        hit(d, f"e{i}")
        sink.wait(2 * i + 1)
        d.kill()
        assert database.one("SELECT count(*) FROM touchlog.interaction WHERE kind = 'sent'") == i
        d.start()
        sink.wait(2 * i + 2)
    found = check_mails(database, sink, times)
    tell(kills=times, **found)
    assert found["repeated"] == times


# ---- a copy ----

@pytest.fixture
def copy(mortal_cluster, cluster):
    """copy(database) is what pg_dump saw of it, restored in another cluster; dropped at the end."""
    made = []

    def copy(database):
        target = cluster.empty()
        made.append(target)
        with tempfile.NamedTemporaryFile(prefix="dump-") as f:
            subprocess.run(["pg_dump", "-Fc", "-d", database.admin_conninfo], stdout=f, check=True)
            subprocess.run(["pg_restore", "--exit-on-error", "-d", target.admin_conninfo, f.name], check=True)
        return target

    yield copy
    for target in made:
        target.drop()


def waiting(database):
    return database.one("SELECT count(*) FROM touchlog.outbox")


def test_a_copy_restored_while_timers_and_actions_wait_does_nothing_until_it_is_told_to(mortal, daemon, copy, tmp_path, size, tell):
    n, wait_s = size(20, 200), size(5, 25)      # in which all is tried once and dumped
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with Receiver(*[503] * 10 * n) as original, Receiver() as receiver, SmtpSink() as sink:
        sink.say["RCPT"].extend(["450 4.2.0 not now"] * 10 * n)
        rules = {"now": {"when": "kind = 'hit'", "do": ["hook", "mail"]},
                 "later": {"when": "kind = 'hit'", "wait": f"{wait_s}s", "per": "interaction", "do": ["task", "hook"]}}

        def conf(r, s, name):
            c = mail_config(s, tmp_path / name, rules=rules, outbound=OPEN)
            return {**c, "actions": {**c["actions"], **actions(r)}}
        d = daemon(conf(original, sink, "a"), database=mortal)
        wait_active(mortal, rules)
        a = d.post_lines("web", [{"external_id": f"e{i}", "kind": "hit", "email": f"e{i}@people.example"} for i in range(n)])
        assert a.json()["logged"] == n
        until(lambda: original.got and mortal.one("SELECT count(*) FROM touchlog.outbox WHERE attempts > 0") == 2 * n, "all were tried once")
        there = copy(mortal)
        d.stop()
        assert there.one("SELECT count(*) FROM touchlog.timer") == n
        until(lambda: there.one("SELECT count(*) FROM touchlog.timer WHERE due > now()") == 0, "the timers are due", wait_s + harness.DEADLINE_S)
        with SmtpSink() as copys_sink:
            with held(there, conf(receiver, copys_sink, "b")) as d:
                until(lambda: waiting(there) == 4 * n and d.logged("actions_paused"), "all is decided")
                assert d.touchlog("outbox", "resume").returncode == 0
                there.run("UPDATE touchlog.outbox SET next_at = now()")
                until(lambda: d.logged("actions_resumed"), "it is told")
                time.sleep(1.2)         # what must not happen has had its time
            assert not receiver.got and not copys_sink.mails and waiting(there) == 4 * n
            there.run("UPDATE touchlog.cluster SET system_identifier = 1")      # once more a copy
            d = daemon(conf(receiver, copys_sink, "b"), database=there)
            until(lambda: d.logged("actions_paused"), "it is paused")
            time.sleep(1.2)             # what must not happen has had its time
            assert not receiver.got and not copys_sink.mails and waiting(there) == 4 * n
            assert there.one("SELECT count(*) FROM touchlog.task") == 0
            assert d.touchlog("outbox", "resume").returncode == 0
            wait_done(there)
            tell(**check_mails(there, copys_sink, n), **check_done(there, receiver))


@contextlib.contextmanager
def held(database, conf):
    class Held(harness.Daemon):
        def spawn(self, err):
            return subprocess.Popen([harness.program("touchlogd"), "-c", self.config, "--hold-actions"], stdin=subprocess.DEVNULL,
                                    stdout=err, stderr=err, env=self.env)

    with Held(database, conf) as d:
        yield d
