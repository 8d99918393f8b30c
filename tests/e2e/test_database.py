# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL away, hung, killed, locked, wrong or not migrated; the daemon stopped and reloaded: nothing that was
acknowledged is lost, nothing is logged twice, and /readyz says what is the matter.
A test name is a sentence that is true when it passes."""
import hashlib, os, random, signal, threading, time, uuid

import pytest

import harness
from harness import Load, hanging, replace_match, until

SOURCES = {"web": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"},
           "other": {"type": "webhook", "verify": "none", "channel": "web"}}
QUICK = {"sources": SOURCES, "spool_after": "400ms"}
PATIENT = {"sources": SOURCES, "spool_after": "30s"}


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


def why(d):
    """What /readyz says is wrong; None while it is ready."""
    a = d.get("/readyz")
    said = a.json()
    assert (a.status == 200) == said["ready"] == (said["degraded"] == [])
    return None if said["ready"] else said["degraded"][0]["why"]


def post_time(d, event, source="web"):
    start = time.monotonic()
    return d.post(source, event), time.monotonic() - start


def is_unavailable(a):
    assert a.status == 503 and int(a.headers["retry-after"]) > 0 and a.headers["content-type"] == "application/problem+json", a
    assert a.json()["status"] == 503 and a.json()["detail"]


def count(database, where="true"):
    return database.one(f"SELECT count(*) FROM touchlog.interaction WHERE {where}")


def key_of(source, external_id):
    """The dedupe key of an event that has an external_id."""
    return uuid.UUID(bytes=hashlib.sha256(f"{source}\x1f{external_id}".encode()).digest()[:16])


def writers(database):
    return [r["pid"] for r in database.rows("SELECT pid FROM pg_stat_activity WHERE application_name = 'touchlogd writer'"
                                            " AND datname = current_database()")]


def blocked(database):
    return database.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'touchlogd writer'"
                        " AND datname = current_database() AND wait_event_type = 'Lock'")


# ---- away ----

def test_without_postgresql_senders_get_503_in_time_and_are_served_again_by_themselves(mortal, mortal_database, daemon):
    d = daemon(QUICK, database=mortal_database)
    first = d.log_event("web", {"external_id": "before"})
    mortal.stop()
    a, took_s = post_time(d, {"external_id": "while"})
    is_unavailable(a)
    assert took_s < 0.4 + 1.5, took_s
    until(lambda: post_time(d, {"external_id": "while"})[1] < 0.2, "after spool_after nobody has to wait")
    plural = d.post("web", [{"external_id": "while"}, {"score": "x"}])
    is_unavailable(plural)
    assert plural.json()["ids"] == [None, None] and [r["index"] for r in plural.json()["rejected"]] == [1]
    assert plural.json()["logged"] == 0
    assert "connect" in why(d) or "server" in why(d)
    assert d.get("/healthz").status == 200
    m = d.metrics()
    assert m["touchlog_ready"] == 0 and m['touchlog_database_connected{role="writer"}'] == 0
    assert m['touchlog_events_unavailable_total{source="web"}'] == d.counts("web")["unavailable"] >= 3
    assert len(d.logged("database_unreachable")) <= 5, "one line for each connection, not for each try"
    mortal.start()
    until(lambda: d.post("web", {"external_id": "while"}).status == 200, "it is served again")
    assert d.post("web", {"external_id": "before"}).json() == {"id": first["id"], "status": "duplicate"}
    assert count(mortal_database) == 2 and why(d) is None and d.metrics()["touchlog_queue_events"] == 0


def test_an_event_that_waits_for_a_short_outage_is_logged(mortal, mortal_database, daemon):
    d = daemon(PATIENT, database=mortal_database)
    mortal.stop()
    got = []
    t = threading.Thread(target=lambda: got.append(d.post("web", {"external_id": "patient"})))
    t.start()
    until(lambda: d.metrics()["touchlog_queue_bytes"] > 0, "it waits")
    mortal.start()
    t.join()
    assert got[0].status == 200 and got[0].json()["status"] == "logged"


def test_a_daemon_started_before_its_database_serves_once_it_is_there(cluster, daemon):
    name = f"later_{time.monotonic_ns()}"
    database = cluster.database(name)
    d = daemon(QUICK, database=database, ready=False)
    until(lambda: name in (why(d) or ""), "it says which database is missing")
    is_unavailable(d.post("web", {}))
    cluster.database().run(f"CREATE DATABASE {name} TEMPLATE {harness.TEMPLATE}")
    try:
        d.wait_ready()
        assert d.post("web", {}).status == 200
        d.stop()
    finally:
        database.drop()


def test_a_server_process_killed_hard_loses_no_acknowledged_event(mortal, mortal_database, daemon):
    d = daemon(PATIENT, database=mortal_database)
    with Load(d, "web") as load:
        for n in (100, 300):
            load.wait_for(n)
            os.kill(random.choice(writers(mortal_database)), signal.SIGKILL)      # the server restarts itself over it
            until(lambda: mortal_database.psql("SELECT 1").returncode == 0, "the server is back")
        load.wait_for(len(load.ids) + 100)
    load.check()


@pytest.mark.parametrize("batch", (1, 50))
def test_connections_cut_at_any_moment_lose_nothing_and_double_nothing(database, daemon, batch):
    d = daemon(PATIENT if batch == 1 else QUICK)
    rng = random.Random(batch)
    with database.session() as p, Load(d, "web", batch=batch) as load:
        end, cuts = time.monotonic() + 3, 0
        while time.monotonic() < end or cuts < 20:
            time.sleep(rng.random() * 0.12)     # the moment is what is tested
            p.stdin.write("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
                          " AND application_name LIKE 'touchlogd%' AND random() < 0.7;\n")
            p.stdin.flush()
            cuts += 1
        seen = len(load.ids)
        load.wait_for(seen + 200)
    log = load.check()
    assert set(log) == set(load.ids), "every event that was begun was finished"
    assert d.metrics()['touchlog_batch_errors_total{class="57"}'] + d.metrics().get('touchlog_batch_errors_total{class="connection"}', 0) > 0
    assert database.one("SELECT count(*) FROM touchlog.seen") == len(log)
    assert database.one("SELECT count(*) FROM touchlog.parked") == 0


# ---- hung ----

def test_while_postgresql_hangs_senders_get_503_in_time_and_a_retry_is_logged_once(mortal, mortal_database, daemon):
    d = daemon(QUICK, database=mortal_database)
    with hanging(mortal.pids()):
        for i in range(3):
            a, took_s = post_time(d, {"external_id": f"hung-{i}"})
            is_unavailable(a)
            assert took_s < 0.4 + 1.5, took_s
        until(lambda: "answer" in (why(d) or ""), "it says that the database does not answer", 1)
        assert d.get("/healthz").status == 200
    for i in range(3):
        until(lambda: d.post("web", {"external_id": f"hung-{i}"}).status == 200, "it is taken")
    assert why(d) is None
    assert sorted(r["external_id"] for r in mortal_database.rows("SELECT external_id FROM touchlog.interaction")) == ["hung-0", "hung-1", "hung-2"]


def test_a_batch_whose_server_process_hangs_is_done_over_and_logged_once(database, daemon):
    d = daemon({**PATIENT, "database": {"writers": 1}})
    got = []
    with hanging(writers(database)):
        t = threading.Thread(target=lambda: got.append(d.post("web", {"external_id": "stalled", "email": "s@stall.example"})))
        t.start()
        t.join(harness.DEADLINE_S)
        assert got[0].status == 200 and got[0].json()["status"] == "logged", got
    # The old process finds the whole transaction in its socket, and is too late.
    until(lambda: len(writers(database)) == 1, "the old process is gone")
    assert count(database) == 1 == database.one("SELECT count(*) FROM touchlog.customer")
    assert d.post("web", {"external_id": "stalled"}).json() == {"id": got[0].json()["id"], "status": "duplicate"}


# ---- locks ----

@pytest.mark.parametrize("statement", (
    "INSERT INTO touchlog.seen VALUES ('{key}', '00000000-0000-7000-8000-000000000000', NULL)",
    "INSERT INTO touchlog.identity VALUES ('locked@lock.example', 'email', 1, true)",
    "LOCK TABLE touchlog.customer IN EXCLUSIVE MODE"), ids=("key", "identity", "table"))
def test_an_event_behind_a_lock_is_503_in_time_and_logged_once_when_it_is_gone(daemon, database, statement):
    d = daemon(QUICK)
    event = {"external_id": "locked", "email": "locked@lock.example"}
    with database.session("BEGIN", statement.format(key=key_of("web", "locked"))):
        a, took_s = post_time(d, event)
        is_unavailable(a)
        assert took_s < 0.4 + 1.5, took_s
        # The second writer serves the others.
        assert d.post("other", {"external_id": "free"}).status == 200
    until(lambda: d.post("web", event).status == 200, "it is logged")
    assert count(database, "external_id = 'locked'") == 1 and count(database, "external_id = 'free'") == 1
    assert d.post("web", event).json()["status"] == "duplicate"


def test_a_lock_held_for_longer_than_lock_timeout_only_delays_who_can_wait(daemon, database):
    d = daemon(PATIENT)
    got = []
    with database.session("BEGIN", f"INSERT INTO touchlog.seen VALUES ('{key_of('web', 'slow')}', '00000000-0000-7000-8000-000000000000', NULL)"):
        t = threading.Thread(target=lambda: got.append(d.post_lines("web", [{"external_id": f"n-{i}"} for i in range(50)] + [{"external_id": "slow"}])))
        t.start()
        until(lambda: d.metrics().get('touchlog_batch_errors_total{class="55"}', 0) >= 1, "lock_timeout")
    t.join()
    assert got[0].status == 200 and got[0].json()["logged"] == 51, got
    assert count(database) == 51 and database.one("SELECT count(*) FROM touchlog.parked") == 0


def test_a_key_that_another_transaction_commits_meanwhile_makes_a_duplicate(daemon, database):
    d = daemon(PATIENT)
    first = "01900000-0000-7000-8000-000000000001"
    got = []
    with database.session("BEGIN", f"INSERT INTO touchlog.seen VALUES ('{key_of('web', 'race')}', '{first}', NULL)") as p:
        t = threading.Thread(target=lambda: got.append(d.post("web", {"external_id": "race", "email": "race@dup.example"})))
        t.start()
        until(lambda: blocked(database), "it waits")
        p.stdin.write("COMMIT;\n")
        p.stdin.flush()
        t.join()
    assert got[0].json() == {"id": first, "status": "duplicate"}
    assert count(database) == 0 == database.one("SELECT count(*) FROM touchlog.identity"), "a duplicate changes nobody"


def test_a_deadlock_is_tried_again_and_parks_nothing(daemon, database):
    d = daemon(PATIENT)
    low, high = sorted(("dead-a", "dead-b"), key=lambda e: key_of("web", e).bytes)
    put = "INSERT INTO touchlog.seen VALUES ('{}', '00000000-0000-7000-8000-000000000000', NULL)"
    got = []
    # The daemon inserts in order: it holds the low key and waits for the high one.
    with database.session("BEGIN", "SET deadlock_timeout = '1min'", put.format(key_of("web", high))) as p:
        t = threading.Thread(target=lambda: got.append(d.post("web", [{"external_id": high}, {"external_id": low}])))
        t.start()
        until(lambda: blocked(database), "it waits")
        p.stdin.write(put.format(key_of("web", low)) + ";\n")
        p.stdin.flush()
        until(lambda: d.metrics().get('touchlog_batch_errors_total{class="40"}', 0) >= 1, "the deadlock")
    t.join()
    assert got[0].status == 200 and got[0].json()["logged"] == 2, got
    assert count(database) == 2 and database.one("SELECT count(*) FROM touchlog.parked") == 0


# ---- not as it should be ----

def run_all(database, statements):
    """In the database itself, or in another when it is about connections to it."""
    for s in statements:
        where = database.cluster.database() if "CONNECTION" in s else database
        where.run(s.format(db=database.name, role=harness.DAEMON_ROLE))


WRONG = {
    "synchronous_commit is off": (["ALTER ROLE {role} IN DATABASE {db} SET synchronous_commit = off"],
                                  ["ALTER ROLE {role} IN DATABASE {db} RESET synchronous_commit"], "synchronous_commit"),
    "synchronous_commit is local": (["ALTER DATABASE {db} SET synchronous_commit = local"],
                                    ["ALTER DATABASE {db} RESET synchronous_commit"], "synchronous_commit"),
    "no connections are allowed": (["ALTER DATABASE {db} ALLOW_CONNECTIONS false"], ["ALTER DATABASE {db} ALLOW_CONNECTIONS true"], "not currently accepting"),
    "too many connections": (["ALTER DATABASE {db} CONNECTION LIMIT 0"], ["ALTER DATABASE {db} CONNECTION LIMIT -1"], "too many connections"),
    "the schema is older": (["DELETE FROM touchlog.schema_version WHERE version = (SELECT max(version) FROM touchlog.schema_version)"],
                            ["INSERT INTO touchlog.schema_version SELECT max(version) + 1, 'x', 1, '' FROM touchlog.schema_version"], "touchlog migrate"),
    "the schema is too new": (["INSERT INTO touchlog.schema_version VALUES (900, 'x', 900, '')"],
                              ["DELETE FROM touchlog.schema_version WHERE version = 900"], "needs a newer touchlog"),
    "a function is missing": (["ALTER FUNCTION touchlog.park RENAME TO was_park"], ["ALTER FUNCTION touchlog.was_park RENAME TO park"], "park"),
    "the role has lost its rights": (["REVOKE touchlog_daemon FROM {role}"], ["GRANT touchlog_daemon TO {role}"], "permission denied"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_database_that_is_not_as_it_should_be_is_refused_readyz_says_why_and_it_heals_by_itself(database, daemon, what):
    wrong, right, words = WRONG[what]
    run_all(database, wrong)
    try:
        d = daemon(QUICK, ready=False)
        until(lambda: words in (why(d) or ""), f"/readyz says {words}")
        is_unavailable(d.post("web", {}))
    finally:
        run_all(database, right)
    d.wait_ready()
    assert d.post("web", {}).status == 200


@pytest.mark.parametrize("wrong, right", (
    ("ALTER FUNCTION touchlog.match RENAME TO was_match", "ALTER FUNCTION touchlog.was_match RENAME TO match"),
    ("REVOKE EXECUTE ON FUNCTION touchlog.accept FROM touchlog_daemon", "GRANT EXECUTE ON FUNCTION touchlog.accept TO touchlog_daemon"),
    ("REVOKE INSERT ON touchlog.interaction FROM touchlog_daemon", "GRANT INSERT ON touchlog.interaction TO touchlog_daemon")))
def test_a_database_that_goes_wrong_while_it_is_used_is_told_by_readyz_and_parks_nothing(database, daemon, wrong, right):
    d = daemon(QUICK)
    d.log_event("web", {})
    database.run(wrong)
    is_unavailable(d.post_lines("web", [{"external_id": f"w-{i}"} for i in range(20)]))
    words = "permission denied" if "REVOKE" in wrong else "match"
    assert words in why(d), why(d)
    assert d.metrics()["touchlog_ready"] == 0
    database.run(right)
    until(lambda: d.post_lines("web", [{"external_id": f"w-{i}"} for i in range(20)]).status == 200, "it heals")
    assert why(d) is None and count(database) == 21
    assert database.one("SELECT count(*) FROM touchlog.parked") == 0


def test_what_others_have_put_into_public_is_not_run(database, daemon):
    """A function that fits better than PostgreSQL's own would be taken for it, with our rights."""
    database.run("CREATE FUNCTION public.cardinality(int[]) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ours'; END $$",
                 "CREATE FUNCTION public.concat_ws(text, text, text, text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ours'; END $$")
    d = daemon(QUICK)
    d.log_event("web", {"email": "p@public.example", "participants": [{"role": "cc", "email": "q@public.example"}]})
    done = d.touchlog("show", "p@public.example")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("how", ("migration", "pooler"))
def test_a_session_that_knows_what_is_no_more_is_made_anew(database, daemon, how):
    """The migration makes the row's type and append() once more, under new numbers."""
    d = daemon(QUICK)
    d.log_event("web", {})
    if how == "migration":
        with open(os.path.join(harness.SCHEMA, "006-append.sql")) as f:
            again = f.read()
        database.run("BEGIN; SET LOCAL ROLE touchlog_admin; DROP FUNCTION touchlog.append;"
                     f" DROP TYPE touchlog.interaction_row; {again}; COMMIT")
    else:
        replace_match(database, "DEALLOCATE ALL;")
        is_unavailable(d.post("web", {}))
        replace_match(database, "")
    until(lambda: all(d.post("web", {}).status == 200 for _ in range(10)), "either writer serves")
    assert len(d.logged("database_connected")) > 3


def test_an_event_is_parked_whatever_language_postgresql_refuses_it_in(database, daemon):
    d = daemon(QUICK)
    for before in ("", "x"):        # one of them is cut within a character
        replace_match(database, f"RAISE EXCEPTION '{before}{'ж' * 200}' USING ERRCODE = 'numeric_value_out_of_range';")
        a = d.post("web", {"external_id": f"language{before}"})
        assert a.status == 202 and a.json()["status"] == "parked", a
    assert database.one("SELECT bool_and(reason LIKE 'step=append:%жжж%') FROM touchlog.parked")


def test_readyz_is_json_whatever_language_postgresql_speaks(database, daemon):
    d = daemon(QUICK)
    for before in ("", "x"):
        replace_match(database, f"RAISE EXCEPTION '{before}{'ж' * 200}' USING ERRCODE = 'undefined_table';")
        is_unavailable(d.post("web", {}))
        until(lambda: f"{before}жжж" in (why(d) or ""), "/readyz says why")


def test_a_partition_that_cannot_be_made_is_told_by_readyz_with_the_reason(database, daemon):
    d = daemon(QUICK)
    d.log_event("web", {})
    part = database.one("SELECT tableoid::regclass::text FROM touchlog.interaction")
    bounds = database.one(f"SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = '{part}'::regclass")
    database.run(f"ALTER TABLE touchlog.interaction DETACH PARTITION {part}")
    is_unavailable(d.post("web", {"external_id": "detached"}))
    until(lambda: "detached" in (why(d) or ""), "/readyz says why")
    database.run(f"ALTER TABLE touchlog.interaction ATTACH PARTITION {part} {bounds}")
    until(lambda: d.post("web", {"external_id": "detached"}).status == 200, "it heals")
    assert why(d) is None and count(database) == 2


@pytest.mark.parametrize("how", ("daemon", "parked retry"))
def test_in_a_restored_database_followers_miss_nothing_whoever_writes_first(database, daemon, how):
    """The keeper may come later than a writer, or not at all: here its role may connect four times, for two writers and three others."""
    source = {"m": {"type": "webhook", "verify": "none", "channel": "web", "map": {"external_id": "/id", "kind": "/kind"}}}
    d = daemon(sources=source)
    d.log_event("m", {"id": 1, "kind": "visit"})
    assert d.post("m", {"id": 2}).json()["status"] == "parked"
    d.stop()
    database.run("UPDATE touchlog.interaction SET txid = 1000000000000", "UPDATE touchlog.cluster SET system_identifier = 1",
                 "UPDATE touchlog.parked SET raw = '{\"id\":2,\"kind\":\"visit\"}'")
    if how == "daemon":
        database.run(f"ALTER ROLE {harness.DAEMON_ROLE} CONNECTION LIMIT 4")
        try:
            daemon(sources=source).log_event("m", {"id": 2, "kind": "visit"})
        finally:
            database.run(f"ALTER ROLE {harness.DAEMON_ROLE} CONNECTION LIMIT -1")
    else:
        done = d.touchlog("parked", "retry", "--all")
        assert done.returncode == 0, done.stdout + done.stderr
    assert database.one("SELECT txid FROM touchlog.interaction WHERE external_id = '2'") > 1000000000000
    assert database.one("SELECT system_identifier <> 1 FROM touchlog.cluster")


def test_a_full_disk_is_503_readyz_says_so_and_it_heals_by_itself(database, daemon):
    d = daemon(QUICK)
    replace_match(database, "RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';")
    is_unavailable(d.post("web", {"external_id": "full"}))
    until(lambda: "could not extend file" in (why(d) or ""), "/readyz says why")
    assert d.metrics()["touchlog_ready"] == 0
    replace_match(database, "")
    until(lambda: d.post("web", {"external_id": "full"}).status == 200, "it heals")
    assert why(d) is None and count(database) == 1
    assert database.one("SELECT count(*) FROM touchlog.parked") == 0


def test_a_database_without_our_schema_is_served_as_soon_as_it_is_migrated(cluster, daemon):
    database = cluster.empty()
    d = daemon(QUICK, database=database, ready=False)
    until(lambda: "touchlog migrate" in (why(d) or ""), "/readyz says what to do")
    database.migrate()
    d.wait_ready()
    assert d.post("web", {}).status == 200
    d.stop()
    database.drop()


def test_a_newer_schema_that_this_version_satisfies_is_used(database, daemon):
    database.run("INSERT INTO touchlog.schema_version VALUES (900, 'x', 1, '')")
    assert daemon(QUICK).post("web", {}).status == 200


def test_a_standby_is_refused_and_of_several_hosts_the_primary_is_used(mortal, mortal_database, daemon, tmp_path_factory):
    standby = mortal.standby(tmp_path_factory.mktemp("standby"))
    try:
        both = f"host={standby.path},{mortal.path} port=5432,5432 dbname={mortal_database.name} user={harness.DAEMON_ROLE}"
        d = daemon({**QUICK, "database": {"conninfo": f"host={standby.path} port=5432 dbname={mortal_database.name} user={harness.DAEMON_ROLE}"}},
                   database=mortal_database, ready=False)
        until(lambda: "standby" in (why(d) or ""), "/readyz says that it is a standby")
        is_unavailable(d.post("web", {}))
        d = daemon({**QUICK, "database": {"conninfo": both + " target_session_attrs=read-write"}}, database=mortal_database)
        assert d.post("web", {}).status == 200
    finally:
        standby.drop()


# ---- stopping and reloading ----

@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_stop_under_load_loses_no_answered_event(database, daemon, number):
    d = daemon(PATIENT)
    with Load(d, "web", clients=6, batch=5) as load:
        load.wait_for(200)
        d.p.send_signal(number)
        until(lambda: not d.is_running(), "the end")
    d.stop()
    load.check()


def test_a_stop_answers_what_was_begun_and_gives_up_what_cannot_be_finished_in_time(database, daemon):
    d = daemon({**PATIENT, "drain_timeout": "1s"})
    got = []
    with database.session("BEGIN", "LOCK TABLE touchlog.seen"):
        t = threading.Thread(target=lambda: got.append(d.post("web", {"external_id": "late"})))
        t.start()
        until(lambda: blocked(database), "it waits")
        start = time.monotonic()
        d.p.send_signal(signal.SIGTERM)
        until(lambda: not d.is_running(), "the end")
        assert 0.5 < time.monotonic() - start < 5
    t.join()
    is_unavailable(got[0])
    d.stop()


def test_a_stop_waits_for_an_answer_that_comes_in_time(database, daemon):
    d = daemon(PATIENT)
    got = []
    with database.session("BEGIN", "LOCK TABLE touchlog.seen"):
        t = threading.Thread(target=lambda: got.append(d.post("web", {"external_id": "late"})))
        t.start()
        until(lambda: blocked(database), "it waits")
        d.p.send_signal(signal.SIGTERM)
        until(lambda: d.logged("stopping"), "it stops")
        with pytest.raises(OSError):
            d.connect()
    t.join()
    assert got[0].status == 200 and got[0].json()["status"] == "logged"
    until(lambda: not d.is_running(), "the end")
    d.stop()


def test_sources_are_added_changed_and_removed_under_load_without_losing_a_request(database, daemon):
    d = daemon(PATIENT)
    with Load(d, "web") as load:
        load.wait_for(50)
        for i in range(10):
            new = {"type": "webhook", "verify": "none", "channel": "chat" if i % 2 else "sms"}
            assert d.reload({**PATIENT, "sources": {"web": {**SOURCES["web"], "brand": f"b{i}"}, "new": new}})
            row = d.log_event("new", {})
            assert row["channel"] == new["channel"]
            assert d.post("other", {}).status == 404
            assert d.reload(PATIENT)
            assert d.post("new", {}).status == 404 and d.post("other", {}).status == 200
        load.wait_for(len(load.ids) + 50)
    load.check()
    assert not load.again, "no request had to be sent twice"
    assert database.one("SELECT count(DISTINCT brand) FROM touchlog.interaction") >= 5
    assert d.metrics()["touchlog_config_last_reload_successful"] == 1


def test_a_request_to_a_source_that_is_removed_meanwhile_is_answered(database, daemon):
    d = daemon(PATIENT)
    got = []
    with database.session("BEGIN", "LOCK TABLE touchlog.seen"):
        t = threading.Thread(target=lambda: got.append(d.post("other", {"external_id": "orphan"})))
        t.start()
        until(lambda: blocked(database), "it waits")
        for _ in range(3):
            assert d.reload({**PATIENT, "sources": {"web": SOURCES["web"]}})
        assert d.post("other", {}).status == 404
    t.join()
    assert got[0].status == 200 and got[0].json()["status"] == "logged"


def test_a_source_that_is_removed_leaves_no_metrics_that_would_raise_an_alarm(daemon):
    d = daemon(PATIENT)
    d.log_event("other", {})
    age = 'touchlog_source_last_success_age_seconds{source="other"}'
    assert age in d.metrics()
    assert d.reload({**PATIENT, "sources": {"web": SOURCES["web"]}})
    assert age not in d.metrics()
    assert [s["name"] for s in d.status()["sources"]] == ["web"]
    assert d.reload(PATIENT)
    d.log_event("other", {})
    assert age in d.metrics()


def test_a_bad_file_keeps_the_old_configuration_whole(daemon):
    d = daemon(PATIENT)
    d.errors_expected = {"config_error"}
    for bad in (
            {"sources": {"web": {"type": "webhook", "verify": "sometimes"}}}, {"sources": {"web": {"type": "webhok", "verify": "none"}}},
            {"sources": {"new": {"type": "webhook", "verify": "none"}, "web": {"type": "webhook", "verify": "none", "max_body": "1"}}},
            {"sources": {"web": {"type": "webhook", "verify": "bearer", "secret": "file:/nowhere/at/all"}}}, {"own": ["nobody"], "sources": {}}):
        assert not d.reload(bad), bad
        assert d.logged("config_error") and d.metrics()["touchlog_config_last_reload_successful"] == 0
        assert d.post("web", {}).status == d.post("other", {}).status == 200 and d.post("new", {}).status == 404
    assert d.reload(PATIENT) and d.metrics()["touchlog_config_last_reload_successful"] == 1


def test_a_file_that_is_no_yaml_or_is_gone_keeps_the_old_configuration(daemon):
    d = daemon(PATIENT)
    d.errors_expected = {"config_error"}
    d.write("sources: [\n")
    assert not d.reload()
    os.remove(d.config)
    assert not d.reload()
    assert d.post("web", {}).status == 200 and d.metrics()["touchlog_config_last_reload_successful"] == 0


def test_what_only_a_restart_can_change_is_named_and_the_rest_is_used(daemon):
    d = daemon(PATIENT)
    listeners = {"public": {"address": "127.0.0.1:1", "serve": ["ingest"]}, "more": {"address": "127.0.0.1:0", "serve": ["ops"]}}
    assert d.reload({**PATIENT, "listeners": listeners, "database": {"writers": 5}, "sources": {**SOURCES, "new": SOURCES["web"]}})
    named = " ".join(f["setting"] for f in d.logged("setting_needs_restart"))
    assert "listeners" in named and "writers" in named, named
    assert d.post("new", {}).status == 200 and d.get("/readyz").status == 200
    assert len(d.logged("listening")) == 2
