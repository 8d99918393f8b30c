# SPDX-License-Identifier: Apache-2.0
"""A primary and a synchronous standby: failing over, and what an acknowledgement promises meanwhile."""
import contextlib, os, signal, threading, time

import pytest

import drills, harness
from drills import QUICK, compare, tcp_port, with_spool
from harness import hanging, until


class Pair:
    """A primary that commits when its standby has applied, and the standby; both over TCP."""

    def __init__(self, primary, standby):
        self.primary, self.standby = primary, standby
        self.database = primary.fresh()
        self.database.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "ALTER SYSTEM SET synchronous_commit = 'remote_apply'",
                          "SELECT pg_reload_conf()")
        until(lambda: "sync" in self.database.run("SELECT sync_state FROM pg_stat_replication"), "the standby follows")

    def conninfo(self):
        return (f"host=127.0.0.1,127.0.0.1 port={tcp_port(self.primary)},{tcp_port(self.standby)} target_session_attrs=read-write"
                f" dbname={self.database.name} user={harness.DAEMON_ROLE}")

    def config(self, **more):
        return {**QUICK, **more, "database": {"conninfo": self.conninfo()}}

    def kill_primary(self):
        for pid in self.primary.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def promote(self):
        """The standby is the primary from now on; the same database on it."""
        self.standby.database().run("SELECT pg_promote()")
        return self.standby.database(self.database.name)


@pytest.fixture
def pair(tmp_path_factory):
    tcp = {"listen_addresses": "127.0.0.1", "max_wal_senders": 4}
    with contextlib.ExitStack() as stack:
        primary = harness.Cluster(tmp_path_factory.mktemp("primary"), port=drills.port(), **tcp)
        stack.callback(primary.drop)
        primary.make_template()
        standby = primary.standby(tmp_path_factory.mktemp("standby"), port=drills.port(), **tcp)
        stack.callback(standby.drop)
        yield Pair(primary, standby)


def first_after(s, moment_s):
    """How long it took until an event was logged again."""
    return min(e.acked_s for e in s.entries if e.fate in ("logged", "duplicate") and e.acked_s > moment_s) - moment_s


@pytest.mark.parametrize("spool", (False, True), ids=("no spool", "spool"))
def test_when_the_primary_is_killed_and_the_standby_promoted_writing_goes_on_within_5_s(pair, daemon, sender, tmp_path, size, tell, spool):
    d = daemon(with_spool(pair.config(), tmp_path) if spool else pair.config(), database=pair.database)
    s = sender(d, conns=32)
    s.wait_for(size(2000, 20000))
    pair.kill_primary()
    time.sleep(size(5, 20))         # the daemon's pauses between tries have grown to their longest
    promoted = time.monotonic()
    new = pair.promote()
    s.wait_for(size(1000, 10000), "logged")
    s.stop()
    if spool:
        d.wait_drained(120)
    took_s = first_after(s, promoted)
    tell(writes_after_s=round(took_s, 2), **compare(new, s))
    assert took_s < 5


def test_when_the_primary_hangs_and_the_standby_is_promoted_writing_goes_on_within_30_s(pair, daemon, sender, tmp_path, tell):
    """10 s pass until the daemon gives up the connections that it has, as many with new ones to who does not answer."""
    d = daemon(with_spool(pair.config(), tmp_path), database=pair.database)
    s = sender(d, conns=32)
    s.wait_for(1000)
    with hanging(pair.primary.pids()):
        new = pair.promote()
        promoted = time.monotonic()
        s.wait_for(500, "logged", 40)
        s.stop()
        d.wait_drained(60)
    took_s = first_after(s, promoted)
    tell(writes_after_s=round(took_s, 1), **compare(new, s))
    assert took_s < 30
    pair.kill_primary()


def in_syncrep(database):
    return [r["pid"] for r in database.rows("SELECT pid FROM pg_stat_activity WHERE application_name = 'touchlogd writer' AND wait_event = 'SyncRep'")]


def test_an_event_that_the_standby_does_not_have_is_not_acknowledged_because_it_stands_in_the_log(pair, daemon):
    """A COMMIT whose wait for the standby is cancelled is done on the primary only.  The batch again, and the same event
    of a sender who asks again, find it there; an answer then would be lost with the primary."""
    d = daemon(pair.config(spool_after="60s"), database=pair.database)
    d.log_event("web", {"external_id": "before"})
    pair.standby.stop()
    answers = []
    posts = [threading.Thread(target=lambda: answers.append(d.post("web", {"external_id": "cancelled"}))) for _ in range(2)]
    posts[0].start()
    (pid,) = until(lambda: in_syncrep(pair.database), "COMMIT waits for the standby")
    pair.database.run(f"SELECT pg_cancel_backend({pid})")
    until(lambda: pair.database.one("SELECT count(*) FROM touchlog.interaction WHERE external_id = 'cancelled'"), "it stands on the primary")
    posts[1].start()
    until(lambda: answers or len(in_syncrep(pair.database)) == 2, "the batch again and the event again wait, or are answered")
    assert not answers, answers
    pair.kill_primary()
    pair.standby.start()
    new = pair.promote()
    for p in posts:
        p.join()
    assert [a.status for a in answers] == [200, 200], answers
    stands = new.run("SELECT external_id, id FROM touchlog.interaction WHERE external_id = 'cancelled'").split()
    assert stands == [f"cancelled|{a.json()['id']}" for a in answers[:1]], "the standby has what was acknowledged"


def test_the_server_notices_a_daemon_that_vanished_within_7_s(mortal, daemon):
    """Its side of TCP has keepalives too, of 3 s and two of 2 s: with the session go the locks and keys it holds."""
    port = tcp_port(mortal.cluster)
    d = daemon({**QUICK, "database": {"conninfo": f"host=127.0.0.1 port={port} dbname={mortal.name} user={harness.DAEMON_ROLE}"}}, database=mortal)
    d.log_event("web", {})
    until(lambda: all(d.metrics().get(f'touchlog_database_connected{{role="{role}"}}') == 1 for role in ("keeper", "rules", "dispatcher")), "all are connected")

    def sockets():
        with open("/proc/net/tcp") as f:
            return [s for s in map(str.split, f.readlines()[1:]) if s[1] == f"0100007F:{port:04X}" and s[3] == "01"]
    # What was sent last is acknowledged some ms later; until then the timer is that of sending it again.
    mine = until(lambda: (now := sockets()) and all(s[4].startswith("00000000:") for s in now) and now, "all is acknowledged")
    assert len(mine) == 5, "two writers, the keeper, rules and the dispatcher"
    for s in mine:
        timer, ticks = s[5].split(":")
        assert timer == "02" and int(ticks, 16) <= 300, s       # 02 is keepalive's; ticks of 10 ms


def test_a_standby_that_is_away_leaves_a_few_server_processes_behind_and_readyz_says_so(pair, daemon, sender, tell):
    """A COMMIT that waits for it does not notice that its client has gone: a daemon that came back again and again would
    fill the server with such processes."""
    d = daemon(pair.config(), database=pair.database)
    s = sender(d, conns=32)
    s.wait_for(500)
    pair.standby.stop()
    until(lambda: "standby" in d.get("/readyz").body.decode(), "/readyz says what COMMIT waits for",
          60)         # each writer gives its COMMIT 10 s, one perhaps after the other
    told = s.counts["http_503"]
    s.wait_for(200, "http_503", 60)     # some rounds more
    waiting = len(in_syncrep(pair.database))
    pair.standby.start()
    s.wait_for(500, "logged")
    s.stop()
    tell(server_processes=waiting, told_503=s.counts["http_503"] - told, **compare(pair.database, s))
    assert waiting <= 2 * 2
    assert d.get("/readyz").status == 200
