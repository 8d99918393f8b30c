# SPDX-License-Identifier: Apache-2.0
"""Restarts of the daemon as a service, whose socket is systemd's."""
import random

import pytest

import drills, service
from drills import QUICK, compare, with_spool


@pytest.fixture
def manager(tmp_path):
    """What systemd does for a service; see tests/e2e/service.py."""
    m = service.Manager(tmp_path)
    yield m
    m.close()


def test_restarts_through_socket_activation_refuse_no_connection_and_lose_nothing(database, manager, sender, tmp_path, size, tell):
    manager.listen("public", ("127.0.0.1", drills.port()))
    d = service.Service(manager, database, with_spool(QUICK, tmp_path), tmp_path)
    rng, restarts = random.Random(5), size(20, 200)
    with d:
        s = sender(d, conns=32)
        for _ in range(restarts):
            s.wait_for(100 + rng.randrange(100))
            d.stop()
            d.start()
        s.wait_for(500)
        s.stop()
        d.wait_drained()
    tell(restarts=restarts, **{what: s.counts[what] for what in ("refused", "reset", "http_503")}, **compare(database, s))
    assert not any(s.counts[what] for what in ("refused", "reset", "timed_out", "http_503"))
    assert s.retried() == 0
