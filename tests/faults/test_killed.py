# SPDX-License-Identifier: Apache-2.0
"""The daemon or PostgreSQL dies, hangs or is not there, under load."""
import random, time

import pytest

from drills import QUICK, compare, with_ports, with_spool
from harness import hanging


@pytest.fixture(params=("spool", "no spool"))
def config(request, tmp_path):
    """Both must hold: with a spool senders get 202 for what the database does not take, without it 503."""
    return with_spool(QUICK, tmp_path) if request.param == "spool" else QUICK


def drained(d):
    if "spool" in d.given:
        d.wait_drained(60)


def test_the_daemon_killed_at_random_under_load_loses_and_doubles_nothing(database, daemon, sender, config, size, tell):
    d = daemon(with_ports(config))
    s = sender(d, conns=32, pause_ms=20)
    rng, kills = random.Random(1), size(20, 200)
    for _ in range(kills):
        s.wait_for(100)
        time.sleep(rng.random() * 0.1)          # the moment is what is tested
        d.kill()
        d.start()
    s.wait_for(100)
    s.stop()
    drained(d)
    tell(kills=kills, **compare(database, s))
    assert s.counts["refused"] + s.counts["reset"] >= kills


def test_immediate_shutdowns_of_postgresql_under_load_lose_and_double_nothing(mortal, daemon, sender, config, size, tell):
    d = daemon(config, database=mortal)
    s = sender(d, conns=32, pause_ms=20)
    rng, times = random.Random(2), size(10, 100)
    for _ in range(times):
        s.wait_for(100)
        time.sleep(rng.random() * 0.1)          # the moment is what is tested
        mortal.cluster.stop("immediate")
        mortal.cluster.start()
    s.wait_for(100)
    s.stop()
    drained(d)
    tell(shutdowns=times, gap_s=round(s.worst_gap_s(), 1), **compare(mortal, s))


def test_the_daemon_and_postgresql_killed_in_turn_and_together_lose_and_double_nothing(mortal, daemon, sender, tmp_path, size, tell):
    """With a spool, which is being filled or drained at any moment."""
    d = daemon(with_ports(with_spool(QUICK, tmp_path)), database=mortal)
    s = sender(d, conns=32, pause_ms=20)
    rng, rounds = random.Random(4), size(12, 120)
    for i in range(rounds):
        s.wait_for(300)
        if i % 3 != 0:
            mortal.cluster.stop("immediate")
        time.sleep(rng.random() * 0.8)          # some of it is spooled then, or not yet
        if i % 3 != 1:
            d.kill()
            d.start()
        s.wait_for(rng.randrange(500))
        mortal.cluster.start()
        time.sleep(rng.random() * 0.3)          # some of it is drained
    s.stop()
    d.wait_drained(60)
    tell(rounds=rounds, **compare(mortal, s))
    assert s.counts["spooled"] > rounds * 50


def test_while_postgresql_is_stopped_senders_are_answered_in_time_and_nothing_is_lost(mortal, daemon, sender, config, size, tell):
    d = daemon(config, database=mortal)
    s = sender(d, conns=32)
    s.wait_for(500)
    told = "spooled" if "spool" in config else "http_503"
    with hanging(mortal.cluster.pids()):
        before = s.counts[told]
        time.sleep(size(5, 30))                 # so long it hangs
        n = s.counts[told] - before
    back = time.monotonic()
    s.wait_for(500, "logged")
    took_s = time.monotonic() - back
    s.stop()
    drained(d)
    tell(meanwhile={told: n}, back_after_s=round(took_s, 1), **compare(mortal, s))
    assert n > 32 and s.counts["timed_out"] == 0 and s.latency_s(1) < size(5, 30) + 10
    assert took_s < 10


def test_with_postgresql_down_from_the_start_all_is_logged_once_it_is_there(mortal, daemon, sender, config, size, tell):
    mortal.cluster.stop()
    d = daemon(config, database=mortal, ready="spool" in config)
    s = sender(d, conns=32)
    told = "spooled" if "spool" in config else "http_503"
    s.wait_for(size(300, 3000), told)
    assert d.get("/healthz").status == 200 and d.get("/readyz").status == (200 if "spool" in config else 503)
    mortal.cluster.start()
    s.wait_for(500, "logged")
    s.stop()
    drained(d)
    tell(told_503=s.counts["http_503"], **compare(mortal, s))


def test_poison_in_the_middle_of_batches_under_load_is_parked_alone(database, daemon, sender, size, tell):
    d = daemon({**QUICK, "spool_after": "20s"})
    poison = 37
    posts = sender(d, conns=32, poison=poison, events=size(4000, 40000))
    lines = sender(d, "other", conns=4, batch=100, poison=poison, events=size(4000, 40000))
    posts.wait_end(), lines.wait_end()
    found = compare(database, posts, lines, poison=poison)
    tell(**found)
    assert posts.counts["parked"] == size(4000, 40000) // poison and found["stand_parked"] == 2 * posts.counts["parked"]
    assert posts.counts["http_503"] == lines.counts["http_503"] == 0
    assert database.rows("SELECT DISTINCT sqlstate FROM touchlog.parked") == [{"sqlstate": "22003"}]
