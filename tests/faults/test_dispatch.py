# SPDX-License-Identifier: Apache-2.0
"""The dispatcher between every two of its steps: connections that break, daemons that are killed or hang, a divided
database; and mails on their way."""
import contextlib, os, signal, tempfile, threading, time

import pytest

import drills, harness
from drills import QUICK, SOURCES, with_ports, with_spool
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
    """Until all that follows from n events is done.  What was claimed for nobody is waited for a second, then its lease
    ends: it would be five minutes."""
    soon = time.monotonic() + 1
    while not is_done(database, n):
        if time.monotonic() > soon and database.one("SELECT count(*) FROM touchlog.outbox WHERE claimed_by IS NOT NULL") > 0:
            expire_leases(database)
            wait_next.expired += 1
            soon += 1
        assert time.monotonic() < soon + harness.DEADLINE_S, f"event {n}: not all is done"
        time.sleep(0.01)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_connection_cut_after_any_message_of_the_dispatcher_loses_and_doubles_nothing(database, daemon, proxy, receiver, tmp_path, size, tell, direction):
    d = daemon(proxy.through(database, config(receiver, tmp_path)))
    wait_active(database, RULES)
    wait_next.expired, n = 0, 1
    hit(d, "e1")
    wait_next(database, 1)
    proxy.arm(direction, 10 ** 9)       # what passes for one event
    hit(d, "e2")
    wait_next(database, 2)
    n, cuts, messages = 2, 0, len(proxy.seen)
    for at in range(1, messages + 1, size(4, 1)):
        proxy.arm(direction, at)
        n += 1
        hit(d, f"e{n}")
        wait_next(database, n)
        cuts += proxy.has_fired.is_set()
    tell(messages=messages, cuts=cuts, leases_expired=wait_next.expired, **check_done(database, receiver))
    assert cuts > messages / size(4, 1) - 3
    assert database.one("SELECT count(*) FROM touchlog.firing WHERE state = 'fired'") == 2 * n


def test_a_daemon_killed_after_any_message_of_the_dispatcher_loses_and_doubles_nothing(database, daemon, proxy, receiver, tmp_path, size, tell):
    d = daemon(with_ports(proxy.through(database, config(receiver, tmp_path))))
    wait_active(database, RULES)
    wait_next.expired, n, kills = 0, 0, 0
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
    tell(kills=kills, leases_expired=wait_next.expired, **check_done(database, receiver))
    assert kills > size(6, 60) and wait_next.expired == 0, "who comes back takes up what it had"
    assert database.one("SELECT count(*) FROM touchlog.firing WHERE state = 'fired'") == 2 * n
