# SPDX-License-Identifier: Apache-2.0
"""Much of something: reloads, daemons, connections, slow clients, one sender beside another."""
import contextlib, resource, selectors, statistics, time

import pytest

import drills, harness
from drills import QUICK, SOURCES, compare
from harness import until


def test_reloads_under_load_cost_no_request(database, daemon, sender, size, tell):
    d = daemon(QUICK)
    s = sender(d, conns=32)
    times = size(100, 1000)
    for i in range(times):
        assert d.reload({**QUICK, "sources": {**SOURCES, "web": {**SOURCES["web"], "brand": f"b{i}"}, f"new{i % 2}": SOURCES["other"]}})
    s.wait_for(500)
    s.stop()
    tell(reloads=times, **compare(database, s))
    assert not any(s.counts[what] for what in ("refused", "reset", "timed_out", "http_503"))
    assert database.one("SELECT count(DISTINCT brand) FROM touchlog.interaction") > times / 4


def test_four_daemons_with_the_same_events_log_each_once_and_answer_with_the_same_ids(database, daemon, sender, size, tell):
    events = size(10000, 200000)
    daemons = [daemon({**QUICK, "spool_after": "30s"}) for _ in range(4)]
    # Two in step with each other, two elsewhere.
    senders = [sender(d, prefix="same", events=events, batch=100, conns=4, people=2000, first=i // 2 * events // 2)
               for i, d in enumerate(daemons)]
    for s in senders:
        s.wait_end(size(60, 600))
    found = compare(database, senders[0])
    ids = [{e.external_id: e.id for e in s.entries} for s in senders]
    logged = sum(d.counts("web")["logged"] for d in daemons)
    duplicates = sum(d.counts("web")["duplicates"] for d in daemons)
    tell(logged=logged, duplicates=duplicates, took_s=round(max(e.acked_s for s in senders for e in s.entries)
                                                           - min(e.due_s for s in senders for e in s.entries), 1), **found)
    assert logged == events and duplicates == 3 * events
    assert ids[0] == ids[1] == ids[2] == ids[3] and len(ids[0]) == events
    assert database.one("SELECT count(*) FROM touchlog.interaction") == events
    assert database.one("SELECT count(DISTINCT root_id) || ' ' || count(*) FROM touchlog.customer") == "2000 2000"


# ---- connections ----

WIDE = {**QUICK, "listeners": {
    "public": {"address": "127.0.0.1:0", "serve": ["ingest"], "max_connections": 30000, "max_per_address": 30000},
    "slow": {"address": "127.0.0.1:0", "serve": ["ingest"], "request_timeout": "2s"},
    "ops": {"address": "127.0.0.1:0", "serve": ["ops"]}}}


@contextlib.contextmanager
def connections(d, n, listener="public"):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(d.connect(listener)) for _ in range(n)]


def test_ten_thousand_idle_connections_keep_nobody_waiting(database, daemon, sender, size, tell):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10000
    n = min(wanted, hard - 1000)
    assert n > 1000, f"ulimit -Hn is {hard}: too few for this drill"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        d = daemon(WIDE)
        before_kb = d.rss_kb()
        with connections(d, n) as idle:
            until(lambda: d.metrics().get('touchlog_http_connections{listener="public"}') == n, "all are accepted")
            each_kb = (d.rss_kb() - before_kb) / n
            s = sender(d, conns=32, rate=300)
            s.wait_for(size(1500, 15000), deadline_s=size(20, 100))
            s.stop()
            # Every one of them is served.
            for c in idle[:: n // 100]:
                c.sendall(b"POST /in/other HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                assert c.recv(12) == b"HTTP/1.1 200"
        until(lambda: d.metrics().get('touchlog_http_connections{listener="public"}') == 0, "all are gone")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    tell(idle=n, kb_each=round(each_kb, 1), p99_ms=round(s.latency_s(0.99) * 1000), **compare(database, s))
    assert s.latency_s(0.99) < 1 and s.counts["refused"] == s.counts["http_503"] == 0


def test_500_clients_that_drip_keep_nobody_waiting_and_are_cut_in_time(database, daemon, sender, size, tell):
    d = daemon(WIDE)
    s = sender(d, conns=32, rate=300)
    head = b"POST /in/web HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n" + b" " * 4900
    for _ in range(size(1, 10)):
        start, told, longest_s = time.monotonic(), 0, 0
        with connections(d, 500, "slow") as slow, selectors.DefaultSelector() as ready:
            for i, c in enumerate(slow):
                c.setblocking(False)
                ready.register(c, selectors.EVENT_READ)
            # Half of them drip their heads, half their bodies.
            sent = [1 if i % 2 else len(head) - 4000 for i in range(500)]
            for i, c in enumerate(slow):
                c.send(head[:sent[i]])
            place = {c: i for i, c in enumerate(slow)}
            while ready.get_map():
                assert time.monotonic() - start < 15, f"{len(ready.get_map())} were not cut"
                for key, _ in ready.select(0.2):
                    answer = key.fileobj.recv(4096)
                    told += answer.startswith(b"HTTP/1.1 408")
                    longest_s = max(longest_s, time.monotonic() - start)
                    ready.unregister(key.fileobj)
                for c in [key.fileobj for key in ready.get_map().values()]:
                    i = place[c]
                    with contextlib.suppress(OSError):
                        sent[i] += c.send(head[sent[i]:sent[i] + 1])
        assert told == 500
    s.stop()
    tell(cut_after_s=round(longest_s, 1), p99_ms=round(s.latency_s(0.99) * 1000), **compare(database, s))
    assert s.latency_s(0.99) < 1 and s.counts["refused"] == s.counts["http_503"] == s.counts["reset"] == 0


# ---- one beside another ----

def test_a_source_at_50_times_the_rate_of_another_makes_that_one_wait_no_more_than_3_times_as_long(database, daemon, sender, size, tell):
    """By the medians of several rounds, in turn without the flood and beside it: what else the machine does hits both."""
    d = daemon(QUICK)
    rounds, rate, round_s = size(3, 5), 25, size(3, 30)

    def quiet():
        return sender(d, conns=8, rate=rate, events=rate * round_s).wait_end(round_s * 3)

    quiet()     # warm
    senders, floods, p50_ms, p99_ms = [], [], {"alone": [], "beside": []}, {"alone": [], "beside": []}
    for n in range(2 * rounds):
        which = "beside" if n % 2 else "alone"
        if which == "beside":
            floods.append(sender(d, "other", conns=64, rate=50 * rate))
            floods[-1].wait_for(rate * 20)
        senders.append(quiet())
        if which == "beside":
            floods[-1].stop()
        p50_ms[which].append(senders[-1].latency_s(0.5) * 1000)
        p99_ms[which].append(senders[-1].latency_s(0.99) * 1000)
    took_s = sum(max(e.acked_s for e in f.entries) - min(e.due_s for e in f.entries) for f in floods)
    flooded_per_s = sum(len(f.entries) for f in floods) / took_s
    tell(flood_per_s=round(flooded_per_s),
         **{f"{which}_p50_ms": round(statistics.median(p50_ms[which]), 1) for which in p50_ms},
         **{f"{which}_p99_ms": round(statistics.median(p99_ms[which]), 1) for which in p99_ms}, **compare(database, *senders, *floods))
    assert flooded_per_s > 0.9 * 50 * rate, "the flood was one"
    assert statistics.median(p99_ms["beside"]) <= 3 * statistics.median(p99_ms["alone"])
