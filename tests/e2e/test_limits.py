# SPDX-License-Identifier: Apache-2.0
"""The limits of touchlog.yaml(5): each is said to who reaches it, counted by reason, and changed by a reload.
A test name is a sentence that is true when it passes."""
import contextlib, gzip, subprocess, threading, time

import pytest

import harness
from harness import until

HOOK = {"type": "webhook", "verify": "none", "channel": "web"}
MAPPED = {"type": "webhook", "verify": "none", "channel": "web", "map": {"external_id": "/id", "kind": "/kind"}}
LISTENERS = {"public": {"address": "127.0.0.1:0", "serve": ["ingest"]}, "ops": {"address": "127.0.0.1:0", "serve": ["ops"]}}


def config(listener={}, web={}, **more):
    return {"sources": {"web": {**HOOK, **web}, "mapped": {**MAPPED, **web}, "quiet": HOOK},
            "listeners": {**LISTENERS, "public": {**LISTENERS["public"], **listener}}, **more}


def refused(d, reason, source="web"):
    return d.metrics().get(f'touchlog_requests_refused_total{{source="{source}",reason="{reason}"}}', 0)


def rejected(d, reason, source="web"):
    return d.metrics().get(f'touchlog_events_rejected_total{{source="{source}",reason="{reason}"}}', 0)


def bad(d, reason):
    return d.metrics()[f'touchlog_http_requests_bad_total{{listener="public",reason="{reason}"}}']


def is_problem(a, status):
    assert a.status == status and a.headers["content-type"] == "application/problem+json" and a.json()["status"] == status, a
    return a


def retry_after(a):
    return int(is_problem(a, 429).headers["retry-after"])


# ---- events and bytes a second ----

def test_above_rate_a_source_is_told_when_to_come_again_and_then_it_passes(daemon):
    d = daemon(config(web={"rate": 20}))
    assert d.post_lines("web", [{}] * 60).status == 200, "more than a second's worth passes once, when nothing came before"
    a = d.post("web", {})
    wait_s = retry_after(a)
    assert wait_s in (2, 3) and refused(d, "rate") == 1, a
    start = time.monotonic()
    until(lambda: d.post("web", {}).status == 200, "it passes")
    assert wait_s - 1.5 < time.monotonic() - start < wait_s + 0.5, "when it was told"
    assert d.post("quiet", {}).status == 200


def test_a_request_without_events_counts_as_one(daemon):
    d = daemon(config(web={"rate": 5}))
    answers = [d.post("web", "[]").status for _ in range(40)]
    assert answers[:5] == [200] * 5 and 429 in answers
    assert refused(d, "rate") == answers.count(429)


def test_above_rate_bytes_a_source_is_told_when_to_come_again_and_then_it_passes(daemon):
    d = daemon(config(web={"rate_bytes": "10KiB"}))
    body = b'{"subject":"x"' + b" " * 30000 + b"}"
    assert d.post("web", body).status == 200
    with d.connect() as c:      # its head is enough: the body is neither asked for nor read
        c.sendall(b"POST /in/web HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 30000\r\nExpect: 100-continue\r\n\r\n")
        answer = c.recv(4096)
        assert answer.startswith(b"HTTP/1.1 429 ") and b"\r\nRetry-After: 1\r\n" in answer and b"100 Continue" not in answer
    assert refused(d, "rate_bytes") == 1
    start = time.monotonic()
    until(lambda: d.post("web", b"{}").status == 200, "it passes")
    assert 1 < time.monotonic() - start < 5, "after 20 KB, at 10 KiB a second"
    assert d.post("quiet", body).status == 200


def test_bytes_beyond_what_is_left_of_this_second_are_told_how_long_to_wait(daemon):
    d = daemon(config(web={"rate_bytes": "100KiB"}))
    assert d.post("web", b"{" + b" " * 90000 + b"}").status == 200
    a = d.post("web", b"{" + b" " * 90000 + b"}")
    assert retry_after(a) == 1 and a.json()["detail"] == "more bytes than this source may send"
    assert refused(d, "rate_bytes") == 1 and d.counts("web")["refusals"][0]["check"] == "rate_bytes"


def test_who_is_not_known_uses_up_nothing_of_the_rates(daemon):
    d = daemon(config(web={"verify": "bearer", "secret": "plain:sesame", "rate": 5, "rate_bytes": "1KiB"}))
    for _ in range(30):
        assert d.post("web", b"{" + b" " * 1000 + b"}", {"Authorization": "Bearer wrong"}).status == 401
    assert d.post("web", {}, {"Authorization": "Bearer sesame"}).status == 200


def test_packed_bodies_count_as_they_come_over_the_wire(daemon):
    d = daemon(config(web={"rate_bytes": "2KiB", "max_body": "1MiB"}))
    body = gzip.compress(b"{" + b" " * 500_000 + b"}")
    assert len(body) < 1000
    for _ in range(2):
        assert d.post("web", body, {"Content-Encoding": "gzip"}).status == 200


# ---- what a request may be ----

def get_with_head(d, n):
    head = b"GET /in/web HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: "
    with d.connect() as c:
        with contextlib.suppress(OSError):
            c.sendall(head + b"y" * (n - len(head) - 4) + b"\r\n\r\n")
        return int(c.recv(4096).split()[1])


def test_a_head_above_max_head_is_431_and_a_reload_changes_that(daemon):
    d = daemon(config({"max_head": "2KiB"}))
    assert get_with_head(d, 2000) == 405 and get_with_head(d, 2100) == 431
    assert bad(d, "header_too_large") == 1
    with d.connect() as c:
        c.sendall(b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.recv(4096).startswith(b"HTTP/1.1 414 ")
    assert d.reload(config({"max_head": "40KiB"}))
    assert get_with_head(d, 40000) == 405 and get_with_head(d, 42000) == 431


def test_a_body_above_max_body_is_413_and_above_max_inflated_when_unpacked(daemon):
    d = daemon(config(web={"max_body": "4KiB", "max_inflated": "64KiB"}))
    packed = lambda n: gzip.compress(b"{" + b" " * n + b"}")
    gz = {"Content-Encoding": "gzip"}
    assert d.post("web", b"{" + b" " * 4000 + b"}").status == 200
    is_problem(d.post("web", b"{" + b" " * 5000 + b"}"), 413)
    assert (refused(d, "too_large"), refused(d, "inflated")) == (1, 0)
    assert d.post("web", packed(60000), gz).status == 200
    is_problem(d.post("web", packed(70000), gz), 413)
    assert (refused(d, "too_large"), refused(d, "inflated")) == (1, 1)
    assert d.counts("web")["refusals"][0]["check"] == "inflated"
    assert d.reload(config(web={"max_body": "4KiB"}))
    is_problem(d.post("web", packed(5000), gz), 413)
    assert d.post("web", packed(4000), gz).status == 200, "it is max_body where it is not said"


def nested(depth):
    return '{"id":"1","kind":"x","external_id":"1","a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@pytest.mark.parametrize("source", ("web", "mapped"))
def test_documents_nested_above_max_depth_are_422_each_for_itself(daemon, source):
    d = daemon(config(web={"max_depth": 10}))
    assert d.post(source, nested(10)).status == 200
    a = is_problem(d.post(source, nested(11)), 422)
    assert a.json()["detail"] == "nested 11 deep, allowed is 10" and rejected(d, "depth", source) == 1
    a = d.post(source, nested(3) + "\n" + nested(50) + "\n", {"Content-Type": "application/x-ndjson"})
    assert a.status == 200 and [r["index"] for r in a.json()["rejected"]] == [1] and rejected(d, "depth", source) == 2
    assert d.reload(config(web={"max_depth": 200}))
    assert d.post(source, nested(200)).status == 200
    assert rejected(d, "content", source) == 0


def test_a_request_slower_than_request_timeout_is_408_and_a_reload_changes_that(daemon):
    d = daemon(config({"request_timeout": "60s"}))
    assert d.reload(config({"request_timeout": "300ms"}))
    with d.connect() as c:
        c.sendall(b"POST /in/web HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        start = time.monotonic()
        assert c.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert 0.2 < time.monotonic() - start < 5
    assert bad(d, "timeout") == 1 and refused(d, "timeout") == 1


def test_an_idle_connection_is_closed_after_idle_timeout_and_a_reload_changes_that(daemon):
    d = daemon(config({"idle_timeout": "60s"}))
    assert d.reload(config({"idle_timeout": "200ms"}))
    with d.connect() as c:
        assert c.recv(10) == b""


# ---- how many ----

def test_connections_above_max_per_address_and_max_connections_are_told_and_a_reload_changes_that(daemon):
    d = daemon(config({"max_per_address": 3}))
    with contextlib.ExitStack() as open_now:
        kept = [open_now.enter_context(d.connect()) for _ in range(3)]
        answer = open_now.enter_context(d.connect()).recv(4096)
        assert answer.startswith(b"HTTP/1.1 429 ") and b"\r\nRetry-After: 1\r\n" in answer
        assert bad(d, "address") == 1
        assert d.reload(config({"max_connections": 4}))
        kept.append(open_now.enter_context(d.connect()))
        answer = open_now.enter_context(d.connect()).recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in answer
        assert bad(d, "connections") == 1
        kept[0].sendall(b"POST /in/web HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert kept[0].recv(4096).startswith(b"HTTP/1.1 200 ")
    assert not d.logged("setting_needs_restart")


def test_events_in_flight_above_max_in_flight_are_429_while_others_pass_and_room_comes_back(daemon, database):
    d = daemon(config(web={"max_in_flight": 30}, spool_after="30s"))
    got = []

    def post(n):
        got.append(d.post_lines("web", [{}] * n).status)

    with database.session("BEGIN", "LOCK TABLE touchlog.seen"):
        threads = [threading.Thread(target=post, args=(10,)) for _ in range(3)]
        for t in threads:
            t.start()
        until(lambda: d.metrics()['touchlog_events_received_total{source="web"}'] == 30, "they are in flight")
        a = d.post("web", {})
        assert retry_after(a) == 1 and refused(d, "in_flight") == 1
        other = threading.Thread(target=lambda: got.append(d.post("quiet", {}).status))
        other.start()
        until(lambda: d.metrics()['touchlog_events_received_total{source="quiet"}'] == 1, "another source is let in")
    for t in (*threads, other):
        t.join()
    assert got == [200] * 4
    assert d.post_lines("web", [{}] * 200).status == 200, "one request alone may bring more"
    assert d.post("web", {}).status == 200


def test_the_check_knows_the_limits_and_their_ranges(database, tmp_path):
    wrong = config({"max_head": "1B"}, {"max_depth": 1000, "max_in_flight": 0, "rate_bytes": "-1", "max_inflated": "10B"})
    path = harness.write_config(tmp_path, database, wrong)
    done = subprocess.run([harness.program("touchlogd"), "-t", "-c", path], capture_output=True, text=True)
    assert done.returncode == 3
    for name in ("listeners.public.max_head", "sources.web.max_depth", "sources.web.max_in_flight", "sources.web.rate_bytes",
                 "sources.web.max_inflated"):
        assert f" {name}: " in done.stderr, (name, done.stderr)
