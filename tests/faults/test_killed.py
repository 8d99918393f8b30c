# SPDX-License-Identifier: Apache-2.0
"""The daemon or PostgreSQL dies, hangs or is not there, under load."""
import random, time

import drills
from drills import QUICK, Stopped, compare, with_ports
from harness import until


def test_the_daemon_killed_20_times_at_random_under_load_loses_and_doubles_nothing(database, daemon, sender, size, tell):
    d = daemon(with_ports(QUICK))
    s = sender(d, conns=32, pause_ms=20)
    rng, kills = random.Random(1), size(20, 200)
    for _ in range(kills):
        s.wait_for(100)
        time.sleep(rng.random() * 0.1)          # the moment is what is tested
        d.kill()
        d.start()
    s.wait_for(100)
    s.stop()
    tell(kills=kills, **compare(database, s))
    assert s.counts["refused"] + s.counts["reset"] >= kills
