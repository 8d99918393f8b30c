# SPDX-License-Identifier: Apache-2.0
"""Bad input against the real daemon: what it refuses, what it parks, and that neighbours are logged.
A test name is a sentence that is true when it passes."""
import gzip, http.client, itertools, json, os, random, resource, socket, string, subprocess, threading, time

import pytest

import harness
from harness import until

SOURCES = {
    "web": {"type": "webhook", "verify": "none", "channel": "web"},
    "known": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"},
    "shop": {"type": "webhook", "verify": "none", "channel": "web", "map": {"external_id": "/id"}},
    "bearer": {"type": "webhook", "verify": "bearer", "secret": "plain:secret", "channel": "web"},
}
LISTENERS = {
    "public": {"address": "127.0.0.1:0", "serve": ["ingest"]}, "ops": {"address": "127.0.0.1:0", "serve": ["ops"]},
    "hasty": {"address": "127.0.0.1:0", "serve": ["ingest"], "request_timeout": "500ms", "idle_timeout": "1s"},
}
HEAD = b"POST /in/web HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
number = itertools.count(1)


def fresh(prefix="b"):
    return f"{prefix}-{next(number)}"


@pytest.fixture(scope="module")
def house(cluster, tmp_path_factory):
    """One daemon for all tests here that do not stop it."""
    database = cluster.fresh()
    with harness.Daemon(database, {"sources": SOURCES, "listeners": LISTENERS}, tmp_path_factory.mktemp("house")) as d:
        yield d
    database.drop()


def is_problem(a, status):
    assert a.status == status and a.headers["content-type"] == "application/problem+json" and a.json()["detail"], a
    return a.json()["detail"]


def count(house, where):
    return house.database.one(f"SELECT count(*) FROM touchlog.interaction WHERE {where}")


def whole(body, headers=b""):
    """A request as it should be, over a plain socket."""
    return HEAD + headers + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def answer(c):
    response = http.client.HTTPResponse(c)
    response.begin()
    return harness.Answer(response)


def is_closed(c):
    """The other side says no more; what it had said is thrown away."""
    try:
        while c.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


# ---- the connection ----

@pytest.mark.parametrize("raw", (
    HEAD + b"Content-Length: 2\r\nContent-Length: 30\r\n\r\n{}", HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    HEAD + b"Content-Length : 2\r\n\r\n{}", HEAD + b"Content-Length: +2\r\n\r\n{}", HEAD + b"Content-Length: 0x2\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HEAD + b"Transfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n", HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}",
    HEAD + b"X: a\r\n folded\r\nContent-Length: 2\r\n\r\n{}", HEAD + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    HEAD.replace(b"Host: x\r\n", b"") + b"Content-Length: 2\r\n\r\n{}", HEAD.replace(b"Host: x", b"Host: x\r\nHost: y") + b"Content-Length: 2\r\n\r\n{}",
    HEAD.replace(b"POST ", b"POST  ") + b"Content-Length: 2\r\n\r\n{}", b"\0\1\2\3\r\n\r\n"))
def test_a_request_that_may_be_read_in_two_ways_is_400_and_what_follows_it_is_not_read(house, raw):
    external_id = fresh("smuggled")
    with house.connect() as c:
        c.sendall(raw + whole(b'{"external_id":"%s"}' % external_id.encode()))
        assert answer(c).status == 400
        assert is_closed(c)
    assert house.post("web", {}).status == 200
    assert count(house, f"external_id = '{external_id}'") == 0


@pytest.mark.parametrize("raw", (
    HEAD + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3000000, HEAD + b"Transfer-Encoding: chunked\r\n\r\n200000\r\n" + b"x" * 0x200000 + b"\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 99999999999999\r\n\r\n"), ids=("length", "chunks", "huge"))
def test_a_body_over_the_limit_is_413_and_what_follows_it_is_never_taken_for_a_request(house, raw):
    external_id = fresh("tail")
    with house.connect() as c:
        try:
            c.sendall(raw + whole(b'{"external_id":"%s"}' % external_id.encode()))
        except OSError:
            pass        # it was refused while we were sending
        assert answer(c).status == 413
        assert is_closed(c)
    assert house.counts("web")["refusals"][0]["check"] == "too_large"
    assert house.post("web", {}).status == 200
    assert count(house, f"external_id = '{external_id}'") == 0


def test_a_packed_body_over_the_limit_leaves_the_connection_usable(house):
    bomb = gzip.compress(b"[" + b" " * (3 << 20) + b"]")
    with house.connect() as c:
        c.sendall(whole(bomb, b"Content-Encoding: gzip\r\n"))
        assert answer(c).status == 413
        c.sendall(whole(b"{}"))
        assert answer(c).status == 200


def test_a_refused_event_leaves_the_connection_usable(house):
    with house.connect() as c:
        for body, status in ((b"{", 400), (b"5", 422), (b"[[]]", 422), (b"[", 400), (b"{}", 200), (b'{"a":' * 10000, 400)):
            c.sendall(whole(body))
            assert answer(c).status == status, body[:10]


@pytest.mark.parametrize("raw", (b"POST /in/web HT", HEAD, HEAD + b"Content-Length: 20\r\n\r\n", HEAD + b"Content-Length: 20\r\n\r\n{\"a",
                                 HEAD + b"Transfer-Encoding: chunked\r\n\r\n500\r\n{\"a"), ids=("line", "head", "no body", "half a body", "half a chunk"))
def test_a_slow_head_or_body_is_408_although_it_drips_on(house, raw):
    with house.connect("hasty") as c:
        start = time.monotonic()
        c.sendall(raw)
        stop = threading.Event()

        def drip():
            while not stop.wait(0.1):
                try:
                    c.sendall(b"a")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert answer(c).status == 408
            assert time.monotonic() - start < 5 and is_closed(c)
        finally:
            stop.set()
            dripping.join()
    if b"Host" in raw and b"\r\n\r\n" in raw:
        assert house.counts("web")["refusals"][0]["check"] == "timeout"


def test_a_silent_connection_is_closed(house):
    with house.connect("hasty") as c:
        assert is_closed(c)


def test_an_event_whose_client_is_gone_before_the_answer_is_logged_once(house):
    keys = [fresh("gone") for _ in range(20)]
    # A lock keeps the answers back until the clients have left.
    with house.database.session("BEGIN", "LOCK TABLE touchlog.seen"):
        clients = []
        for key in keys:
            c = house.connect()
            c.sendall(whole(b'{"external_id":"%s"}' % key.encode()))
            clients.append(c)
        until(lambda: house.counts("web")["received"] >= len(keys) and house.metrics()["touchlog_queue_bytes"] > 0, "the events are in")
        for i, c in enumerate(clients):
            if i % 2:       # a reset instead of a close
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            c.close()
    logged = f"external_id IN ({', '.join(repr(k) for k in keys)})"
    until(lambda: count(house, logged) >= len(keys), "they are logged")
    answers = [house.post("web", {"external_id": k}).json()["status"] for k in keys]
    assert set(answers) == {"duplicate"} and count(house, logged) == len(keys)


def test_a_thousand_connections_at_once_are_served(house):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    clients = []
    try:
        clients = [house.connect() for _ in range(1000)]
        keys = [fresh("crowd").encode() for _ in clients]
        for c, key in zip(clients, keys):
            c.sendall(whole(b'{"external_id":"%s"}' % key))
        for c in clients:
            a = answer(c)
            assert a.status == 200 and a.json()["status"] == "logged", a
        assert house.metrics()['touchlog_http_connections{listener="public"}'] >= 1000
        assert count(house, "external_id LIKE 'crowd-%'") == 1000
    finally:
        for c in clients:
            c.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_file_descriptors_old_connections_are_served_and_new_ones_come_in_again_later(daemon):
    d = daemon(sources=SOURCES)
    old = d.connect()
    old.sendall(whole(b"{}"))
    assert answer(old).status == 200
    open_files = len(os.listdir(f"/proc/{d.p.pid}/fd"))
    resource.prlimit(d.p.pid, resource.RLIMIT_NOFILE, (open_files + 10, open_files + 10))
    crowd = [d.connect() for _ in range(100)]
    until(lambda: d.logged("http_connections_refused"), "it says so")
    old.sendall(whole(b'{"external_id":"still served"}'))
    assert answer(old).json()["status"] == "logged"
    for c in crowd:
        c.close()
    until(lambda: is_served(d), "a new connection is served")
    assert len(d.logged("http_connections_refused")) < 5
    assert d.metrics()['touchlog_http_requests_bad_total{listener="public",reason="files"}'] > 0
    old.close()


def is_served(d):
    try:
        return d.post("web", {}).status == 200
    except (OSError, http.client.HTTPException):
        return False


# ---- JSON ----

@pytest.mark.parametrize("body", (b'{"a":' * 10000 + b"1" + b"}" * 10000, b'{"a":' + b"[" * 10000 + b"]" * 10000 + b"}"), ids=("objects", "arrays"))
def test_an_event_10000_deep_is_refused_and_its_neighbours_are_logged(house, body):
    is_problem(house.post("web", body), 422)
    for sent, kind in ((b"[{}," + body + b",{}]", "json"), (b"{}\n" + body + b"\n{}\n", "x-ndjson")):
        told = house.post("web", sent, {"Content-Type": f"application/{kind}"}).json()
        assert told["logged"] == 2 and [r["index"] for r in told["rejected"]] == [1], told


def test_10000_brackets_are_no_json(house):
    for body in (b"[" * 10000, b'{"a":' * 10000, b"]" * 10000):
        is_problem(house.post("web", body), 400)


def test_of_duplicate_keys_the_last_one_counts_everywhere(house):
    first, last = fresh(), fresh()
    body = b'{"external_id":"%s","subject":"a","x":1,"subject":"b","x":2,"external_id":"%s","email":"a@dup.example","email":"b@dup.example"}'
    a = house.post("known", body % (first.encode(), last.encode()))
    row = house.row(a.json()["id"])
    assert (row["external_id"], row["subject"], row["attributes"]) == (last, "b", {"x": 2})
    assert house.database.one(f"SELECT string_agg(value, ' ') FROM touchlog.identity WHERE customer_id = {row['customer_id']}") == "b@dup.example"
    assert house.database.one(f"SELECT payload->>'external_id' FROM touchlog.document WHERE id = '{row['id']}'") == last
    assert house.post("known", {"external_id": last}).json()["status"] == "duplicate"
    assert house.post("known", {"external_id": first}).json()["status"] == "logged"


UNFIT = {
    "NUL in a value": rb'{"subject":"a\u0000b"}', "NUL in a name": rb'{"a\u0000b":1}', "a high surrogate": rb'{"subject":"a\ud83d"}',
    "a low surrogate": rb'{"subject":"\ude00a"}', "surrogates the wrong way round": rb'{"x":["\ude00\ud83d"]}', "in a deep name": rb'{"x":{"\ud800\u0041":1}}',
}
BROKEN = {
    "a byte that is not UTF-8": b'{"subject":"a\xff"}', "an overlong form": b'{"subject":"\xc0\x80"}', "a surrogate in UTF-8": b'{"subject":"\xed\xa0\x80"}',
    "above U+10FFFF": b'{"subject":"\xf4\x90\x80\x80"}', "cut UTF-8": b'{"subject":"\xe2\x82"}', "a raw NUL": b'{"subject":"a\0"}',
    "a raw line end": b'{"subject":"a\x0bb"}', "an odd escape": rb'{"subject":"\x41"}', "half an escape": rb'{"subject":"\u12"}',
    "ISO 8859-1": '{"subject":"é"}'.encode("latin-1"), "UTF-16": '{"subject":"a"}'.encode("utf-16"), "a comment": b'{"a":1/*x*/}',
}


@pytest.mark.parametrize("what", UNFIT)
def test_an_escape_that_postgresql_cannot_keep_is_422_with_its_place_and_neighbours_are_logged(house, what):
    body = UNFIT[what]
    at = body.index(rb"\ud") if rb"\ud" in body else body.index(rb"\u")
    assert f"byte {at}" in is_problem(house.post("web", body), 422)
    told = house.post("web", b"[{}," + body + b",{}]").json()
    assert told["logged"] == 2 and [r["index"] for r in told["rejected"]] == [1], told


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_not_json_is_400_an_array_with_it_too_but_among_lines_it_fails_alone(house, what):
    body = BROKEN[what]
    is_problem(house.post("web", body), 400)
    is_problem(house.post("web", b"[{}," + body + b",{}]"), 400)
    told = house.post("web", b"{}\n" + body.replace(b"\n", b"") + b"\n{}", {"Content-Type": "application/jsonl"}).json()
    assert told["logged"] == 2 and [r["index"] for r in told["rejected"]] == [1], told


@pytest.mark.parametrize("source, name", (("web", "external_id"), ("shop", "id")))
@pytest.mark.parametrize("ids", ((b"18446744073709551617", b"18446744073709551618"), (b"-9223372036854775809", b"-9223372036854775810"),
                                 (b"9007199254740993", b"9007199254740992"), (b"1.0000000000000000001", b"1.0000000000000000002"), (b"1e400", b"1e401")))
def test_two_numbers_for_ids_that_differ_only_beyond_a_machines_width_are_two_events(house, source, name, ids):
    answers = [house.post(source, b'{"%s":%s}' % (name.encode(), i)).json() for i in ids]
    assert [a["status"] for a in answers] == ["logged", "logged"], answers
    assert [house.row(a["id"])["external_id"] for a in answers] == [i.decode() for i in ids]
    assert house.post(source, b'{"%s":%s}' % (name.encode(), ids[1])).json() == {"id": answers[1]["id"], "status": "duplicate"}


def test_numbers_beyond_double_are_kept_as_their_text(house):
    row = house.row(house.post("web", b'{"x":[1e400,-1e400,1e-400,123456789012345678901234567890,18446744073709551615]}').json()["id"])
    assert row["attributes"] == {"x": ["1e400", "-1e400", "1e-400", "123456789012345678901234567890", 18446744073709551615]}


@pytest.mark.parametrize("kind", ("json", "x-ndjson"))
def test_attributes_200_deep_are_refused_or_parked_and_their_neighbours_logged(house, kind):
    deep = b'{"attributes":' + b'{"a":' * 200 + b"1" + b"}" * 201
    items = [b'{"external_id":"%s"}' % fresh("neighbour").encode() for _ in range(5)]
    items.insert(2, deep)
    body = b"[" + b",".join(items) + b"]" if kind == "json" else b"\n".join(items)
    told = house.post("web", body, {"Content-Type": f"application/{kind}"}).json()
    assert told["logged"] == 5 and told["parked"] + len(told["rejected"]) == 1, told


def test_an_event_of_a_thousand_members_is_refused_and_its_neighbours_are_logged(house):
    told = house.post("web", [{}, {f"m{i}": i for i in range(1000)}, {}]).json()
    assert told["logged"] == 2 and [r["index"] for r in told["rejected"]] == [1], told


# ---- what PostgreSQL refuses ----

def noise(n):
    """Text that does not pack."""
    rng = random.Random(n)
    return "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(n))


REFUSED = {
    "a number beyond numeric": (b'{"x":1e200000}', "22003"),
    "an index row that is too large": (json.dumps({"participants": [{"role": noise(6000), "email": "big@role.example"}]}).encode(), "54000"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_only_postgresql_refuses_is_parked_alone_and_answered_202(house, what):
    body, sqlstate = REFUSED[what]
    a = house.post("web", body)
    assert a.status == 202 and a.json()["id"] == a.headers["x-request-id"] and a.json()["status"] == "parked", a
    (row,) = house.database.rows("SELECT source, convert_from(raw, 'UTF8') AS raw, reason, sqlstate, attempts, state"
                                 f" FROM touchlog.parked WHERE id = '{a.json()['id']}'")
    assert row.pop("reason")
    assert row == {"source": "web", "raw": body.decode(), "sqlstate": sqlstate, "attempts": 1, "state": "open"}
    assert house.database.one(f"SELECT count(*) FROM touchlog.seen WHERE id = '{a.json()['id']}'") == 0


@pytest.mark.parametrize("at", ((0,), (999,), (500,), (1, 2, 3, 400, 998)), ids=str)
def test_of_a_batch_of_1000_only_what_postgresql_refuses_is_parked(house, at):
    items = [b'{"external_id":"%s"}' % fresh("halved").encode() for _ in range(1000)]
    for n, i in enumerate(at):
        items[i] = b'{"external_id":"%s","x":1e20000%d}' % (fresh("sour").encode(), n)
    parked_before = house.counts("web")["parked"]
    a = house.post("web", b"\n".join(items), {"Content-Type": "application/x-ndjson"})
    told = a.json()
    assert (told["logged"], told["parked"], told["rejected"]) == (1000 - len(at), len(at), []), (a.status, told["logged"])
    assert a.status == 200 and None not in told["ids"]
    parked = house.database.rows(f"SELECT id, sqlstate FROM touchlog.parked WHERE id IN ({', '.join(repr(told['ids'][i]) for i in at)})")
    assert {r["sqlstate"] for r in parked} == {"22003"} and len(parked) == len(at)
    assert house.counts("web")["parked"] == parked_before + len(at)


def test_a_parked_event_posted_again_keeps_its_first_id(house):
    body = b'{"external_id":"%s","x":1e200000}' % fresh("sour").encode()
    first, second = house.post("web", body), house.post("web", body)
    assert (first.status, second.status) == (202, 202) and first.json()["id"] == second.json()["id"]
    assert house.database.one(f"SELECT attempts FROM touchlog.parked WHERE id = '{first.json()['id']}'") == 2


@pytest.mark.parametrize("member, sent", (("duration", "P99999999Y"), ("duration", 1e18), ("wait", "PT999999999999999H"), ("occurred_at", "1900-01-01T00:00:00Z"),
                                          ("occurred_at", -2208988800), ("amount", "-0.0000"), ("amount", "1e-400"), ("kind", " ")))
def test_extreme_values_are_logged_and_can_be_read_or_are_given_back(house, member, sent):
    a = house.post("web", {member: sent})
    assert a.status in (200, 422), a
    if a.status == 200:
        house.row(a.json()["id"])


# ---- the clock, and months without partitions ----

def partitions(database):
    return {r["p"] for r in database.rows("SELECT inhrelid::regclass::text AS p FROM pg_inherits WHERE inhparent IN"
                                          " ('touchlog.interaction'::regclass, 'touchlog.document'::regclass)")}


def test_an_event_in_a_month_without_partitions_makes_them_and_is_logged(daemon, database):
    d = daemon(sources=SOURCES)
    d.post("web", {})
    before = partitions(database)
    for dropped in (before, {p for p in before if "document" in p}, {p for p in before if "interaction" in p}):
        database.run(*(f"DROP TABLE {p}" for p in dropped))
        events = [{"external_id": fresh("homeless"), "x": i} for i in range(1000)]
        a = d.post_lines("web", events)
        assert a.status == 200 and a.json()["logged"] == 1000, a
        assert partitions(database) == before
        row = d.row(a.json()["ids"][999])
        assert row["external_id"] == events[999]["external_id"]
    assert database.one("SELECT count(*) FROM touchlog.parked") == 0


@pytest.mark.parametrize("offset_days", (-1500, -40, 75, 100, 3000))
def test_a_clock_that_is_off_logs_under_its_own_month_and_says_so_by_its_ids(daemon, database, clock, offset_days):
    d = daemon(sources=SOURCES, env=clock(offset_days * 86400))
    row = d.log_event("web", {"external_id": "odd clock", "email": "clock@odd.example"})
    assert abs(row["received_at"] - (time.time() + offset_days * 86400)) < 600
    assert database.one("SELECT count(*) FROM touchlog.document") == 1
    assert d.post("web", {"external_id": "odd clock"}).json() == {"id": row["id"], "status": "duplicate"}


@pytest.fixture
def clock(tmp_path):
    """clock(seconds) gives the environment in which a program's wall clock is so many seconds off."""
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text('#define _GNU_SOURCE\n#include <stdlib.h>\n#include <sys/syscall.h>\n#include <time.h>\n#include <unistd.h>\n'
                      'int clock_gettime(clockid_t id, struct timespec *t)\n{\n\tint rc = (int)syscall(SYS_clock_gettime, id, t);\n\n'
                      '\tif (id == CLOCK_REALTIME)\n\t\tt->tv_sec += atol(getenv("E2E_CLOCK_OFF_S"));\n\treturn rc;\n}\n')
    return lambda off_s: {"E2E_CLOCK_OFF_S": str(off_s), **preload(source, library)}


def preload(source, library):
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    # ASan wants to come first; the program brings it along, so it is asked not to look.
    return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0"}
