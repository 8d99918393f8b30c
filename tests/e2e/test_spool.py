# SPDX-License-Identifier: Apache-2.0
"""The spool: what PostgreSQL does not take in time is acknowledged with 202 and stands in the log, or among the
parked, once, when it is back.
A test name is a sentence that is true when it passes."""
import json, os, shutil, signal, statistics, threading, time

import pytest

import harness
from harness import Load, hanging, replace_match, until

SOURCES = {"web": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"},
           "shop": {"type": "webhook", "verify": "none", "channel": "web",
                    "map": {"external_id": "/id", "kind": "/kind", "amount": "/total"}}}


@pytest.fixture(scope="module")
def mortal(tmp_path_factory):
    """A PostgreSQL that tests may stop."""
    with harness.migrated_cluster(tmp_path_factory.mktemp("mortal")) as c:
        yield c


@pytest.fixture
def mortal_database(mortal):
    db = mortal.fresh()
    yield db
    mortal.start()      # a test that failed may have left it stopped
    db.drop()


@pytest.fixture
def spooling(tmp_path):
    """A configuration with a spool, in a file that outlives the daemon."""
    def config(spool_after="400ms", max_size="64MiB", **more):
        return {"sources": SOURCES, "spool_after": spool_after,
                "spool": {"path": str(tmp_path / "spool.db"), "max_size": max_size}, **more}
    return config


def is_spooled(a):
    assert a.status == 202 and a.json()["status"] == "spooled", a
    return a.json()["id"]


def is_unavailable(a):
    assert a.status == 503 and int(a.headers["retry-after"]) > 0, a


def log_of(database, where="true"):
    """external_id -> id"""
    return {r["external_id"]: r["id"] for r in database.rows(f"SELECT external_id, id FROM touchlog.interaction WHERE {where}")}


def degraded(d):
    a = d.get("/readyz")
    assert (a.status == 200) == a.json()["ready"]
    return {p["part"]: p for p in a.json()["degraded"]}


def lines(d, source, events):
    a = d.post_lines(source, events)
    assert a.status == 202, a
    return a.json()


# ---- away ----

def test_while_postgresql_is_away_events_are_spooled_and_logged_under_their_ids_when_it_is_back(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(), database=mortal_database)
    first = d.log_event("web", {"external_id": "before"})
    mortal.stop()
    ids = {f"e{i}": is_spooled(d.post("web", {"external_id": f"e{i}", "email": "a@spool.example"})) for i in range(20)}
    assert is_spooled(d.post("web", {"external_id": "e3"})) == ids["e3"], "a repetition has the id of the first"
    said = degraded(d)
    assert d.get("/readyz").status == 200 and said["database"]["why"] and said["spool"]["events"] == 20
    m = d.metrics()
    assert m["touchlog_ready"] == 1 and m["touchlog_spool_takes"] == 1 and m["touchlog_spool_oldest_age_seconds"] > 0
    assert m['touchlog_events_spooled_total{source="web"}'] == 21 == d.counts("web")["spooled"]
    mortal.start()
    d.wait_drained()
    assert log_of(mortal_database) == {**ids, "before": first["id"]}
    until(lambda: degraded(d) == {}, "/readyz is content")
    assert d.post("web", {"external_id": "e3"}).json() == {"id": ids["e3"], "status": "duplicate"}
    assert mortal_database.one("SELECT count(*) FROM touchlog.customer") == 1
    m = d.metrics()
    assert m['touchlog_spool_drained_total{fate="logged"}'] == 20 and m["touchlog_spool_oldest_age_seconds"] == 0
    assert m['touchlog_events_logged_total{source="web"}'] == 21 and m["touchlog_spool_refused_total"] == 0
    assert d.logged("spool_in_use") and until(lambda: d.logged("spool_drained"), "it says so")[0]["events"] == "20"


def test_after_spool_after_nobody_waits(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(), database=mortal_database)
    mortal.stop()
    start = time.monotonic()
    is_spooled(d.post("web", {"external_id": "first"}))
    assert time.monotonic() - start < 0.4 + 1.5
    until(lambda: d.logged("database_unreachable"), "it knows")
    is_spooled(d.post("web", {"external_id": "second"}))
    start = time.monotonic()
    for i in range(20):
        is_spooled(d.post("web", {"external_id": f"more-{i}"}))
    assert time.monotonic() - start < 2
    mortal.start()
    d.wait_drained()


def test_a_daemon_whose_database_is_away_from_the_start_accepts_events(mortal, mortal_database, daemon, spooling):
    mortal.stop()
    d = daemon(spooling(), database=mortal_database)
    ids = {f"s{i}": is_spooled(d.post("web", {"external_id": f"s{i}"})) for i in range(5)}
    mortal.start()
    d.wait_drained()
    assert log_of(mortal_database) == ids


def test_a_daemon_whose_database_is_not_migrated_accepts_events(cluster, daemon, spooling):
    database = cluster.empty()
    d = daemon(spooling(), database=database)
    until(lambda: "touchlog migrate" in degraded(d)["database"]["why"], "it says what to do")
    i = is_spooled(d.post("web", {"external_id": "early"}))
    database.migrate()
    d.wait_drained()
    assert log_of(database) == {"early": i}
    d.stop()
    database.drop()


def test_several_events_are_answered_202_when_one_was_spooled_and_each_keeps_its_fate(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(), database=mortal_database)
    mortal.stop()
    a = d.post("web", [{"external_id": "p1"}, {"score": "x"}, {"external_id": "p2"}])
    said = a.json()
    assert a.status == 202 and said["spooled"] == 2 and said["logged"] == 0, a
    assert [r["index"] for r in said["rejected"]] == [1] and said["ids"][1] is None
    assert d.post("web", [{"score": "x"}]).status == 422
    mortal.start()
    d.wait_drained()
    assert log_of(mortal_database) == {"p1": said["ids"][0], "p2": said["ids"][2]}
    assert d.status(f"?request={a.headers['x-request-id']}")["requests"][0]["fates"] == "srs"


def test_postgresql_stopped_and_started_under_load_loses_nothing_and_doubles_nothing(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(spool_after="200ms"), database=mortal_database)
    with Load(d, "web", clients=6, batch=3) as load:
        for _ in range(3):
            load.wait_for(len(load.ids) + 200)
            mortal.stop()
            spooled = len(load.spooled)
            until(lambda: len(load.spooled) > spooled + 200, "events are spooled")
            mortal.start()
        load.wait_for(len(load.ids) + 200)
    d.wait_drained()
    load.check()
    assert not load.again, "no event had to be sent twice"
    assert mortal_database.one("SELECT count(*) FROM touchlog.parked") == 0


# ---- hung ----

def test_while_postgresql_hangs_events_are_spooled_and_logged_once_when_it_goes_on(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(), database=mortal_database)
    d.log_event("web", {"external_id": "before"})
    with hanging(mortal.pids()):
        ids = {f"hung-{i}": is_spooled(d.post("web", {"external_id": f"hung-{i}", "email": "h@spool.example"})) for i in range(6)}
        assert d.get("/readyz").status == 200 and degraded(d)["database"]["why"] == "the database does not answer"
    d.wait_drained()
    assert log_of(mortal_database, "external_id LIKE 'hung-%'") == ids
    assert mortal_database.one("SELECT count(*) FROM touchlog.seen") == 7
    # The copies of what was in flight found themselves in the log.
    assert d.counts("web")["logged"] == 7 and d.counts("web")["duplicates"] == 0


def test_an_event_behind_a_lock_is_spooled_while_others_are_logged(database, daemon, spooling):
    d = daemon(spooling())
    with database.session("BEGIN", "INSERT INTO touchlog.identity VALUES ('locked@lock.example', 'email', 1, true)"):
        i = is_spooled(d.post("web", {"external_id": "locked", "email": "locked@lock.example"}))
        assert d.post("shop", {"id": "free", "kind": "visit"}).status == 200
        assert d.spooled() == 1
    d.wait_drained()
    assert log_of(database)["locked"] == i and database.one("SELECT count(*) FROM touchlog.interaction") == 2


def test_of_an_event_that_is_spooled_here_and_logged_there_one_stands_in_the_log(cluster, database, daemon, tmp_path, spooling):
    """The other daemon's is first; the id that was answered with 202 was provisional."""
    role = f"late_{time.monotonic_ns()}"
    database.run(f"CREATE ROLE {role} IN ROLE touchlog_daemon")
    try:
        here = daemon(spooling(database={"conninfo": database.conninfo(role)}))
        there = daemon(sources=SOURCES)
        provisional = is_spooled(here.post("web", {"external_id": "both", "email": "both@spool.example"}))
        logged = there.log_event("web", {"external_id": "both"})["id"]
        database.run(f"ALTER ROLE {role} LOGIN")
        here.wait_drained()
        assert log_of(database) == {"both": logged} and logged != provisional
        assert here.metrics()['touchlog_spool_drained_total{fate="duplicate"}'] == 1
        assert here.post("web", {"external_id": "both"}).json() == {"id": logged, "status": "duplicate"}
        assert database.one("SELECT count(*) FROM touchlog.customer") == 0, "a duplicate creates nobody"
        here.stop()
    finally:
        database.run(f"DROP ROLE {role}")


# ---- the end of the daemon ----

def test_a_daemon_that_is_killed_drains_its_spool_when_it_is_started_again(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(), database=mortal_database)
    mortal.stop()
    ids = {}
    for n in range(0, 3000, 500):
        keys = [f"k{i}" for i in range(n, n + 500)]
        ids.update(zip(keys, lines(d, "web", [{"external_id": k} for k in keys])["ids"]))
    d.kill()
    mortal.start()
    again = daemon(spooling(), database=mortal_database)
    again.wait_drained()
    assert log_of(mortal_database) == ids


def test_a_daemon_that_is_killed_while_it_drains_logs_each_event_once(mortal, mortal_database, daemon, spooling):
    config = spooling(batch_max=20, database={"writers": 1})
    d = daemon(config, database=mortal_database)
    mortal.stop()
    keys = [f"k{i}" for i in range(2000)]
    ids = dict(zip(keys, lines(d, "web", [{"external_id": k} for k in keys])["ids"]))
    d.kill()
    mortal.start()
    for n in (200, 700, 1200):
        d = daemon(config, ready=False, database=mortal_database)
        until(lambda: mortal_database.one("SELECT count(*) FROM touchlog.interaction") >= n, f"{n} are logged")
        d.kill()
    d = daemon(config, database=mortal_database)
    d.wait_drained()
    assert log_of(mortal_database) == ids
    assert mortal_database.one("SELECT count(*) FROM touchlog.interaction") == len(ids)


def test_a_stop_without_a_database_loses_nothing(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(spool_after="30s", drain_timeout="500ms"), database=mortal_database)
    got = []
    mortal.stop()
    clients = [threading.Thread(target=lambda n=n: got.append((f"t{n}", d.post("web", {"external_id": f"t{n}"})))) for n in range(8)]
    for t in clients:
        t.start()
    until(lambda: d.metrics()["touchlog_queue_events"] == 8, "they wait")
    d.stop()
    for t in clients:
        t.join()
    ids = {k: is_spooled(a) for k, a in got}
    mortal.start()
    d = daemon(spooling(), database=mortal_database)
    d.wait_drained()
    assert log_of(mortal_database) == ids


def test_a_stop_spools_what_hangs_in_a_transaction(database, daemon, spooling):
    d = daemon(spooling(spool_after="30s", drain_timeout="500ms"))
    got = []
    with database.session("BEGIN", "LOCK TABLE touchlog.seen"):
        t = threading.Thread(target=lambda: got.append(d.post("web", {"external_id": "late"})))
        t.start()
        until(lambda: database.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'touchlogd writer'"
                                   " AND datname = current_database() AND wait_event_type = 'Lock'"), "it hangs")
        d.stop()
    t.join()
    i = is_spooled(got[0])
    d = daemon(spooling())
    d.wait_drained()
    assert log_of(database) == {"late": i}


def test_a_stop_under_load_without_a_database_loses_nothing(mortal, mortal_database, daemon, spooling):
    config = spooling(spool_after="200ms")
    d = daemon(config, database=mortal_database)
    with Load(d, "web", clients=6, batch=5) as load:
        load.wait_for(100)
        mortal.stop()
        until(lambda: len(load.spooled) > 200, "events are spooled")
        d.p.send_signal(signal.SIGTERM)
        until(lambda: not d.is_running(), "the end")
    d.stop()
    mortal.start()
    daemon(config, database=mortal_database).wait_drained()
    load.check()


# ---- full ----

def test_a_full_spool_is_503_with_warnings_before_and_takes_again_when_it_is_drained(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(max_size="1MiB"), database=mortal_database)
    d.errors_expected = {"spool_refuses"}
    mortal.stop()
    ids = {}

    def fill():
        key = f"f{len(ids)}"
        a = d.post("web", {"external_id": key, "body": "x" * 4000})
        if a.status == 503:
            return a
        ids[key] = is_spooled(a)

    for level in (50, 80, 95):
        while d.metrics()["touchlog_spool_fill_ratio"] < level / 100:
            assert fill() is None
        until(lambda: [f for f in d.logged("spool_fills") if int(f["percent"]) >= level], f"a warning at {level} %")
    assert d.get("/readyz").status == 200
    is_unavailable(until(fill, "it is full"))
    assert 50 < len(ids) < 500
    assert len(d.logged("spool_fills")) == 3 and len(d.logged("spool_refuses")) == 1
    m = d.metrics()
    assert m["touchlog_spool_refused_total"] >= 1 and m["touchlog_spool_bytes"] <= m["touchlog_spool_max_bytes"] == 1 << 20
    if m["touchlog_spool_takes"] == 0:      # else a small event still fits
        assert d.get("/readyz").status == 503 and "full" in degraded(d)["spool"]["why"]
    mortal.start()
    d.wait_drained()
    assert log_of(mortal_database) == ids
    assert d.post("web", {"external_id": "after"}).status == 200
    mortal.stop()
    is_spooled(d.post("web", {"external_id": "again"}))
    mortal.start()
    d.wait_drained()


# ---- parked ----

def test_what_does_not_fit_its_map_is_spooled_and_parked_when_the_database_is_back(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(), database=mortal_database)
    mortal.stop()
    fits = is_spooled(d.post("shop", {"id": "o1", "kind": "purchase"}))
    unfit = is_spooled(d.post("shop", b'{"id": "o2", "kind": "purchase", "total": "much"}'))
    assert is_spooled(d.post("shop", b'{"id": "o2", "kind": "purchase", "total": "much"}')) == unfit
    mortal.start()
    d.wait_drained()
    assert log_of(mortal_database) == {"o1": fits}
    (row,) = mortal_database.rows("SELECT id, source, convert_from(raw, 'UTF8') AS raw, reason, attempts FROM touchlog.parked")
    assert row["id"] == unfit and row["source"] == "shop" and row["attempts"] == 1
    assert row["raw"] == '{"id": "o2", "kind": "purchase", "total": "much"}' and "amount" in row["reason"]
    assert d.metrics()['touchlog_spool_drained_total{fate="parked"}'] == 1


def test_an_event_that_postgresql_refuses_is_parked_from_the_spool_and_its_neighbours_are_logged(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(), database=mortal_database)
    replace_match(mortal_database, "IF EXISTS (SELECT FROM touchlog.interaction i WHERE i.id = ANY(ids) AND i.external_id = 'n37')"
                                   " THEN RAISE EXCEPTION 'poison' USING ERRCODE = 'numeric_value_out_of_range'; END IF;")
    mortal.stop()
    said = lines(d, "web", [{"external_id": f"n{i}"} for i in range(100)])
    mortal.start()
    d.wait_drained()
    wanted = {f"n{i}": said["ids"][i] for i in range(100)}
    poison = wanted.pop("n37")
    assert log_of(mortal_database) == wanted
    (row,) = mortal_database.rows("SELECT id, sqlstate, reason FROM touchlog.parked")
    assert row["id"] == poison and row["sqlstate"] == "22003" and "poison" in row["reason"]


# ---- beside what comes in ----

def test_the_spool_is_drained_oldest_first(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(batch_max=50, database={"writers": 1}), database=mortal_database)
    mortal.stop()
    for n in range(0, 1000, 100):
        lines(d, "web", [{"external_id": f"{i:04}"} for i in range(n, n + 100)])
    mortal.start()
    d.wait_drained()
    out = mortal_database.run("SELECT external_id FROM touchlog.interaction ORDER BY txid, external_id").split()
    assert out == sorted(out) and len(out) == 1000


def test_events_that_come_in_beside_a_drain_are_logged_without_waiting_for_it(mortal, mortal_database, daemon, spooling):
    """Each batch takes a tenth of a second: one writer drains, the other serves."""
    d = daemon(spooling(batch_max=100), database=mortal_database)
    replace_match(mortal_database, "PERFORM pg_sleep(0.1);")
    mortal.stop()
    for n in range(0, 4000, 1000):
        lines(d, "web", [{"external_id": f"old-{i}"} for i in range(n, n + 1000)])
    mortal.start()
    until(lambda: d.post("web", {"external_id": "first"}).status == 200, "it is back")
    beside, alone = [], []

    def log_one(took_s, name):
        start = time.monotonic()
        a = d.post("web", {"external_id": f"{name}-{len(took_s)}"})
        took_s.append(time.monotonic() - start)
        assert a.status == 200 and a.json()["status"] == "logged", a

    while d.spooled() > 0:
        log_one(beside, "beside")
    while len(alone) < 10:
        log_one(alone, "alone")
    assert len(beside) > 10, "there was no drain to be beside"
    assert statistics.median(beside) < statistics.median(alone) + 0.08, (beside, alone)
    assert mortal_database.one("SELECT count(*) FROM touchlog.interaction") == 4001 + len(beside) + len(alone)


# ---- what is told ----

def test_a_reload_leaves_the_spool_alone_and_names_what_needs_a_restart(mortal, mortal_database, daemon, spooling, tmp_path):
    d = daemon(spooling(), database=mortal_database)
    mortal.stop()
    i = is_spooled(d.post("web", {"external_id": "kept"}))
    assert d.reload({**spooling(), "spool": {"path": str(tmp_path / "other.db"), "max_size": "128MiB"}})
    assert {"spool.path", "spool.max_size"} <= {f["setting"] for f in d.logged("setting_needs_restart")}
    j = is_spooled(d.post("web", {"external_id": "kept too"}))
    assert d.spooled() == 2 and not os.path.exists(tmp_path / "other.db")
    mortal.start()
    d.wait_drained()
    assert log_of(mortal_database) == {"kept": i, "kept too": j}


def test_events_of_a_source_that_was_removed_leave_the_spool_too(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(), database=mortal_database)
    mortal.stop()
    i = is_spooled(d.post("shop", {"id": "gone", "kind": "visit"}))
    assert d.reload({**spooling(), "sources": {"web": SOURCES["web"]}})
    mortal.start()
    d.wait_drained()
    assert log_of(mortal_database) == {"gone": i}
    assert not [k for k in d.metrics() if 'source="shop"' in k]


def test_the_command_line_knows_what_was_spooled(mortal, mortal_database, daemon, spooling, tmp_path):
    code = {"code": {"type": "webhook", "preset": "github", "secret": "plain:x"}}
    d = daemon({**spooling(), "sources": {**SOURCES, **code}}, database=mortal_database)
    mortal.stop()
    i = is_spooled(d.post("web", {"external_id": "asked"}))
    done = d.touchlog("trace", i)
    assert done.returncode == 0 and "event 0: spooled" in done.stdout, done
    assert json.loads(d.touchlog("source", "show", "web", "--json").stdout)["spooled"] == 1
    assert "SPOOLED" in d.touchlog("source", "list").stdout
    document = tmp_path / "push.json"
    document.write_text(json.dumps({"action": "opened", "issue": {"title": "Help", "user": {"login": "ann"}, "updated_at": "2026-10-18T03:20:05Z"}}))
    done = d.touchlog("inject", "github", str(document), "--to", f"http://127.0.0.1:{d.ports['public']}/in/code", "--secret", "plain:x",
                      "-H", "X-GitHub-Event: issues", "-H", "X-GitHub-Delivery: d-1", "--preset-dir", harness.PRESETS)
    assert done.returncode == 0 and done.stdout.startswith("202 ") and '"spooled":1' in done.stdout, done
    mortal.start()
    d.wait_drained()
    assert f"logged as {i}" in d.touchlog("trace", "web", "asked").stdout


def test_the_daemon_works_as_another_user_than_it_was_started_as(mortal, mortal_database, daemon, spooling, tmp_path):
    """The spool's file belongs to who uses it."""
    if os.getuid() != 0:
        pytest.skip("only root becomes somebody else")
    home = tmp_path / "home"
    home.mkdir()
    shutil.chown(home, "postgres")
    for parent in [home, *home.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o711)
    config = {**spooling(), "user": "postgres", "spool": {"path": str(home / "spool.db"), "max_size": "64MiB"}}
    d = daemon(config, database=mortal_database)
    mortal.stop()
    i = is_spooled(d.post("web", {"external_id": "as postgres"}))
    assert (home / "spool.db").owner() == "postgres"
    mortal.start()
    d.wait_drained()
    assert log_of(mortal_database) == {"as postgres": i}
