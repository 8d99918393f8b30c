# SPDX-License-Identifier: Apache-2.0
"""Connections to PostgreSQL that break, or fall silent, after each message of a transaction."""
import contextlib, itertools, json, random, tempfile, threading, time

import pytest

import drills, harness
from drills import QUICK
from harness import hanging, until
from proxy import DIRECTIONS, Proxy

PATIENT = {**QUICK, "spool_after": "30s", "database": {"writers": 1}}


@pytest.fixture
def proxy(cluster):
    # Not below tmp_path, whose length a socket's name may not have.
    with tempfile.TemporaryDirectory(prefix="proxy-") as directory, Proxy(directory, cluster) as p:
        yield p


HELD = {"external_id": "held", "email": "held@people.example"}


@contextlib.contextmanager
def stopped_after(n, database, daemon, proxy):
    """Another daemon whose connection is silent since the n-th message of a transaction with the event HELD, and which
    is stopped."""
    other = daemon(proxy.through(database, {**QUICK, "database": {"writers": 1}}))
    other.log_event("web", {"external_id": "warm"})     # the first batch of a connection has a statement more
    proxy.arm("to server", n, "hold")
    body = json.dumps(HELD).encode()
    with other.connect() as c:      # whose answer nobody waits for
        c.sendall(b"POST /in/web HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert proxy.has_fired.wait(harness.DEADLINE_S)
    with hanging([other.p.pid]):
        yield other


def events(prefix, kind):
    """Three fresh ones with a new and a known person, one that is in the log already; or, with poison, three of which
    PostgreSQL refuses the second, so that there are halving, rolling back and parking too."""
    made = [f'{{"external_id":"{prefix}-{i}","email":"{prefix}@new.example"}}' for i in range(3)]
    if kind == "poison":
        made[1] = made[1][:-1] + ',"x":1e200000}'
    else:
        made[0] = made[0][:-1] + ',"participants":[{"role":"cc","email":"known@people.example"}]}'
        made.append('{"external_id":"old","email":"known@people.example"}')
    return "\n".join(made)


@pytest.mark.parametrize("kind", ("fresh", "poison"))
def test_a_connection_cut_after_any_message_of_the_transaction_costs_and_doubles_nothing(database, daemon, proxy, tell, kind):
    d = daemon(proxy.through(database, PATIENT))
    old = d.log_event("web", {"external_id": "old", "email": "known@people.example"})["id"]
    wanted = (3, 1, 0) if kind == "fresh" else (2, 0, 1)
    sent = {}
    for direction in DIRECTIONS:
        for n in itertools.count(1):
            prefix = f"{direction[3:]}{n}"
            proxy.arm(direction, n)
            a = d.post("web", events(prefix, kind), {"Content-Type": "application/x-ndjson"})
            told = a.json()
            assert (told["logged"], told["duplicates"], told["parked"], told["rejected"]) == (*wanted, []), (direction, n, a)
            sent.update(zip((f"{prefix}-{i}" for i in range(3)), told["ids"]))
            assert kind == "poison" or told["ids"][3] == old
            if not proxy.has_fired.is_set():
                break
        tell(direction=direction.split()[1], cuts=n - 1, messages="".join(proxy.seen))
        assert n > 10
    stand = {e: ids for prefix in ("server", "client") for find in (drills.in_log, drills.in_parked) for e, ids in find(database, prefix + "%").items()}
    assert stand == {e: [event_id] for e, event_id in sent.items()}
    assert database.one("SELECT count(*) FROM touchlog.identity") == 1 + len(sent) // 3
    assert database.one("SELECT count(*) FROM touchlog.parked") == wanted[2] * len(sent) // 3
    uncertain = [f for f in d.logged("batch_failed") if f["uncertain"] == "yes"]
    assert uncertain, "some COMMITs were of unknown end"


# append() is executed at the 6th message, COMMIT at the 9th; all go out in one write, so that a daemon is hardly ever
# stopped between them.
@pytest.mark.parametrize("n", (3, 4, 5))
def test_a_daemon_stopped_before_its_append_is_run_holds_no_key(database, daemon, proxy, cluster, n):
    ours = daemon(QUICK)
    with stopped_after(n, database, daemon, proxy):
        a = ours.post("web", HELD)
        assert a.status == 200 and a.json()["status"] == "logged", a


def test_a_daemon_stopped_between_append_and_commit_holds_up_only_its_own_keys_until_it_is_killed(database, daemon, proxy, sender, tell):
    """As systemd's watchdog does.  PostgreSQL 15 has no time-out that ends a transaction within a pipeline."""
    ours, answers = daemon(QUICK), []

    def post_held():
        start = time.monotonic()
        answers.append((ours.post("web", HELD).status, time.monotonic() - start))

    with stopped_after(6, database, daemon, proxy) as other:
        until(lambda: database.one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
                                   " AND wait_event = 'ClientRead'"), "its keys are held")
        # Before the others come: who shares its batch waits with it, and whoever asks again then waits for that batch.
        held = threading.Thread(target=post_held)
        held.start()
        until(lambda: database.one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"),
              "one of its writers waits")
        s = sender(ours, "other", conns=8, rate=200)
        s.wait_for(600)         # the other one serves
        held.join()
        other.kill()
        killed = time.monotonic()
        until(lambda: ours.post("web", HELD).status == 200, "it is logged")
        free_after_s = time.monotonic() - killed
    s.stop()
    tell(free_after_s=round(free_after_s, 2), p99_s=round(s.latency_s(0.99), 3), told_503=s.counts["http_503"], **drills.compare(database, s))
    ((status, took_s),) = answers
    assert status == 503 and took_s < 2
    assert free_after_s < 5 and s.latency_s(0.99) < 1
    assert database.one("SELECT count(*) FROM touchlog.interaction WHERE external_id = 'held'") == 1


def test_a_daemon_stopped_at_random_holds_up_nobody_who_has_the_same_events(database, daemon, sender, size, tell):
    ours, other = daemon(QUICK), daemon(QUICK)
    both = [sender(d, conns=16, prefix="same", people=50, pause_ms=20) for d in (ours, other)]
    rng, times, worst_s = random.Random(3), size(20, 200), 0
    for _ in range(times):
        both[1].wait_for(50)
        time.sleep(rng.random() * 0.05)         # the moment is what is tested
        with hanging([other.p.pid]):
            start = time.monotonic()
            both[0].wait_for(200)
            worst_s = max(worst_s, time.monotonic() - start)
    for s in both:
        s.stop()
    tell(stops=times, worst_200_events_s=round(worst_s, 2), ours=drills.compare(database, both[0]))
    assert worst_s < 3
    # They answer with the same ids.
    ids = [{e.external_id: e.id for e in s.entries} for s in both]
    shared = set(ids[0]) & set(ids[1])
    assert len(shared) > times * 50 and all(ids[0][e] == ids[1][e] for e in shared)
