# SPDX-License-Identifier: Apache-2.0
"""Connections to PostgreSQL that break, or fall silent, after each message of a transaction."""
import itertools, os, signal, tempfile, time

import pytest

import drills, harness
from drills import SOURCES, Stopped
from harness import until
from proxy import DIRECTIONS, Proxy

PATIENT = {"sources": SOURCES, "spool_after": "30s", "database": {"writers": 1}}


@pytest.fixture
def proxy(cluster):
    # Not below tmp_path, whose length a socket's name may not have.
    with tempfile.TemporaryDirectory(prefix="proxy-") as directory, Proxy(directory, cluster) as p:
        yield p


def through(proxy, database, config):
    conninfo = f"host={proxy.path} port=5432 dbname={database.name} user={harness.DAEMON_ROLE}"
    return {**config, "database": {**config.get("database", {}), "conninfo": conninfo}}


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
    d = daemon(through(proxy, database, PATIENT))
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
