# SPDX-License-Identifier: Apache-2.0
"""The spool: what PostgreSQL does not take in time is acknowledged with 202 and stands in the log, or among the
parked, once, when it is back.
A test name is a sentence that is true when it passes."""
import contextlib, json, os, signal, statistics, threading, time

import pytest

import harness
from harness import Load, until

SOURCES = {"web": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"},
           "shop": {"type": "webhook", "verify": "none", "channel": "web",
                    "map": {"external_id": "/id", "kind": "/kind", "amount": "/total"}}}


@pytest.fixture(scope="module")
def mortal(tmp_path_factory):
    """A PostgreSQL that tests may stop."""
    c = harness.Cluster(tmp_path_factory.mktemp("mortal"))
    try:
        c.make_template()
        yield c
    finally:
        c.drop()


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


def server_pids(cluster):
    import subprocess
    postmaster = cluster.postmaster()
    return [postmaster] + [int(p) for p in subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True).stdout.split()]


@contextlib.contextmanager
def hanging(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


# ---- away ----

def test_while_postgresql_is_away_events_are_spooled_and_logged_under_their_ids_when_it_is_back(mortal, mortal_database, daemon, spooling):
    d = daemon(spooling(), database=mortal_database)
    first = d.log_event("web", {"external_id": "before"})
    mortal.stop()
    ids = {f"e{i}": is_spooled(d.post("web", {"external_id": f"e{i}", "email": "a@spool.example"})) for i in range(20)}
    assert is_spooled(d.post("web", {"external_id": "e3"})) == ids["e3"], "a repetition has the id of the first"
    assert d.get("/readyz").status == 200
    assert degraded(d)["database"]["why"] and degraded(d)["spool"]["events"] == 20
    mortal.start()
    d.wait_drained()
    assert log_of(mortal_database) == {**ids, "before": first["id"]}
    until(lambda: degraded(d) == {}, "/readyz is content")
    assert d.post("web", {"external_id": "e3"}).json() == {"id": ids["e3"], "status": "duplicate"}
    assert mortal_database.one("SELECT count(*) FROM touchlog.customer") == 1
