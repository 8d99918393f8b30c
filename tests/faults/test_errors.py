# SPDX-License-Identifier: Apache-2.0
"""Each class of PostgreSQL's errors, raised in the middle of a batch, has the reaction that was promised for it."""
import threading

import pytest

import harness
from drills import SOURCES
from harness import until

PATIENT = {"sources": SOURCES, "spool_after": "60s", "database": {"writers": 1}}
EVENTS, SOUR = 64, 41       # in a batch, and the one that PostgreSQL minds


def raising(database, sqlstate, times=None, message="as the drill wants it", extra=""):
    """A trigger that raises it for the event sour-…, always or so many times (a sequence is not rolled back)."""
    condition = "NEW.external_id LIKE 'sour-%'" + (f" AND nextval('public.raised') <= {times}" if times is not None else "")
    database.run("CREATE SEQUENCE public.raised", "GRANT ALL ON SEQUENCE public.raised TO PUBLIC",
                 "CREATE FUNCTION public.raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 f" IF {condition} THEN RAISE EXCEPTION '{message}' USING ERRCODE = '{sqlstate}'{extra}; END IF; RETURN NEW; END $$",
                 "CREATE TRIGGER raise BEFORE INSERT ON touchlog.interaction FOR EACH ROW EXECUTE FUNCTION public.raise()")


def batch():
    """All in one transaction: one writer takes what was read in one turn."""
    return [{"external_id": f"sour-{i}" if i == SOUR else f"good-{i}", "email": f"p{i % 7}@people.example"} for i in range(EVENTS)]


def stands(database):
    return database.run("SELECT count(*), count(DISTINCT external_id), count(*) FILTER (WHERE external_id LIKE 'sour-%'),"
                        " (SELECT count(*) FROM touchlog.parked) FROM touchlog.interaction").strip()


def errors(d, sqlstate):
    """So many batches failed with this class, or `connection`."""
    name = sqlstate if sqlstate == "connection" else sqlstate[:2]
    return d.metrics().get(f'touchlog_batch_errors_total{{class="{name}"}}', 0)


@pytest.mark.parametrize("sqlstate", ("22003", "22P05", "23502", "23505", "54000", "54001"))
def test_an_event_that_is_at_fault_is_parked_alone_with_the_reason(database, daemon, sqlstate):
    raising(database, sqlstate)
    d = daemon(PATIENT)
    told = d.post("web", batch()).json()
    assert (told["logged"], told["parked"], told["rejected"]) == (EVENTS - 1, 1, []), told
    assert stands(database) == f"{EVENTS - 1}|{EVENTS - 1}|0|1"
    (row,) = database.rows("SELECT id, sqlstate, reason FROM touchlog.parked")
    assert row == {"id": told["ids"][SOUR], "sqlstate": sqlstate, "reason": "step=append: as the drill wants it"}
    assert errors(d, sqlstate) >= 6, "it was halved"


def test_a_row_that_a_constraint_refuses_is_parked_but_one_that_no_partition_takes_is_not(database, daemon):
    database.run("ALTER TABLE touchlog.interaction ADD CONSTRAINT drill CHECK (external_id NOT LIKE 'sour-%') NOT VALID")
    d = daemon(PATIENT)
    told = d.post("web", batch()).json()
    assert (told["logged"], told["parked"]) == (EVENTS - 1, 1), told
    assert database.run("SELECT sqlstate FROM touchlog.parked").strip() == "23514"


def test_a_missing_partition_is_made_and_the_batch_logged_whole(database, daemon):
    d = daemon(PATIENT)
    d.log_event("web", {})
    part = database.one("SELECT tableoid::regclass::text FROM touchlog.interaction")
    database.run(f"DROP TABLE {part}")
    told = d.post("web", batch()).json()
    assert (told["logged"], told["parked"]) == (EVENTS, 0), told
    assert stands(database) == f"{EVENTS}|{EVENTS}|1|0"
    assert database.one(f"SELECT to_regclass('{part}') IS NOT NULL")
    assert errors(d, "23514") == 1, "it was not halved"


@pytest.mark.parametrize("sqlstate", ("42501", "42P01", "42883", "42703"))
def test_what_is_wrong_with_the_database_is_told_by_readyz_and_waited_for(database, daemon, sqlstate):
    raising(database, sqlstate)
    d = daemon(PATIENT)
    got = []
    t = threading.Thread(target=lambda: got.append(d.post("web", batch()).json()))
    t.start()
    until(lambda: "as the drill wants it" in d.get("/readyz").body.decode(), "/readyz says why")
    assert d.get("/readyz").status == 503 and stands(database) == "0|0|0|0"
    database.run("DROP TRIGGER raise ON touchlog.interaction")
    t.join()
    assert (got[0]["logged"], got[0]["parked"]) == (EVENTS, 0), got
    until(lambda: d.get("/readyz").status == 200, "it is ready again")
    assert stands(database) == f"{EVENTS}|{EVENTS}|1|0"


@pytest.mark.parametrize("sqlstate", ("08006", "0A000", "25006", "40001", "40P01", "53100", "53200", "53300", "55P03", "57014",
                                      "57P01", "58030", "XX000", "P0001", "2F003", "38000", "39000", "21000"))
def test_what_time_may_heal_is_tried_again_whole(database, daemon, sqlstate):
    raising(database, sqlstate, times=3)
    d = daemon(PATIENT)
    told = d.post("web", batch()).json()
    assert (told["logged"], told["parked"], told["rejected"]) == (EVENTS, 0, []), told
    assert stands(database) == f"{EVENTS}|{EVENTS}|1|0"
    assert errors(d, sqlstate) == 3, "three times, the batch as a whole"
    assert [int(f["events"]) for f in d.logged("batch_failed")] == [EVENTS] * len(d.logged("batch_failed"))


def test_after_five_equal_failures_a_batch_is_halved_until_the_event_that_is_at_fault_waits_alone(database, daemon):
    """Nobody else pays for it, and it is neither parked nor lost: it is logged when the fault is mended."""
    raising(database, "58030")
    d = daemon(PATIENT)
    got = []
    t = threading.Thread(target=lambda: got.append(d.post("web", batch()).json()))
    t.start()
    until(lambda: stands(database) == f"{EVENTS - 1}|{EVENTS - 1}|0|0", "its neighbours are logged")
    assert t.is_alive()
    alone = errors(d, "58030")
    assert 5 * 6 <= alone
    assert d.post("other", {}).status == 200
    database.run("DROP TRIGGER raise ON touchlog.interaction")
    t.join()
    assert (got[0]["logged"], got[0]["parked"]) == (EVENTS, 0), got


@pytest.mark.parametrize("how", ("pg_terminate_backend", "pg_cancel_backend"))
def test_a_batch_that_an_administrator_ends_in_the_server_is_tried_again(database, daemon, how):
    """With a real 57P01 or 57014, of a process that waits for a lock."""
    d = daemon(PATIENT)
    got = []
    with database.session("BEGIN", "LOCK TABLE touchlog.seen") as p:
        t = threading.Thread(target=lambda: got.append(d.post("web", batch()).json()))
        t.start()
        for n in range(3):
            pid = until(lambda: database.run("SELECT pid FROM pg_stat_activity WHERE application_name = 'touchlogd writer' AND wait_event_type = 'Lock'"
                                             " AND datname = current_database()"), "it waits").strip()
            assert database.one(f"SELECT {how}({pid})")
            until(lambda: errors(d, "57") + errors(d, "connection") > n, "it is told")
        p.stdin.write("COMMIT;\n")
        p.stdin.flush()
        t.join()
    assert (got[0]["logged"], got[0]["parked"]) == (EVENTS, 0), got
    assert stands(database) == f"{EVENTS}|{EVENTS}|1|0"
    assert errors(d, "57") >= 1
