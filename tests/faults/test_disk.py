# SPDX-License-Identifier: Apache-2.0
"""The spool's disk and file: full, slow, damaged; and a long spool that is drained beside what comes in."""
import os, sqlite3, time

import pytest

import drills
from drills import QUICK, Disk, SmallDisk, compare, with_ports, with_spool
from harness import until


# ---- full ----

@pytest.fixture(params=["a disk that fails", *(["a small disk"] if drills.can_mount() else [])])
def disk(request, tmp_path):
    """One that can be filled; .config has the spool on it."""
    place = tmp_path / "disk"
    place.mkdir()
    if request.param == "a small disk":
        d = SmallDisk(place, 64)
        request.addfinalizer(d.unmount)
    else:
        d = Disk(tmp_path, str(place / "spool.db"))
    d.config = with_spool(QUICK, place)
    return d


def test_when_the_spools_disk_is_full_senders_are_told_to_keep_their_events_until_it_has_room(mortal, daemon, sender, disk, size, tell):
    d = daemon(disk.config, database=mortal, env=disk.env)
    d.errors_expected = {"spool_refuses"}
    mortal.cluster.stop()
    s = sender(d, conns=32)
    s.wait_for(size(1000, 10000), "spooled")
    disk.fill()
    s.wait_for(size(200, 2000), "http_503", 60)
    assert d.get("/readyz").status == 503 and d.get("/healthz").status == 200
    assert d.metrics()["touchlog_spool_takes"] == 0
    disk.free()
    s.wait_for(size(1000, 10000), "spooled")
    assert d.get("/readyz").status == 200
    disk.fill()         # what is drained is to be removed from a full disk
    mortal.cluster.start()
    s.wait_for(size(500, 5000), "logged", 60)
    until(lambda: mortal.one("SELECT count(*) FROM touchlog.interaction") >= s.counts["acked"] - 64, "the spool is drained", 60)
    disk.free()
    s.stop()
    d.wait_drained(60)
    tell(told_503=s.counts["http_503"], **compare(mortal, s))
    # Not one line for each event.
    assert 1 <= len(d.logged("spool_refuses")) < 10


# ---- slow ----

def test_while_an_fsync_of_the_spool_takes_3_s_nothing_else_waits_for_it(mortal, daemon, sender, tmp_path, size, tell):
    disk = Disk(tmp_path, str(tmp_path / "spool.db"))
    d = daemon(with_spool(QUICK, tmp_path), database=mortal, env=disk.env)
    s = sender(d, conns=32)
    s.wait_for(300)
    disk.slow(3000)
    mortal.cluster.stop()
    worst_s, begun = 0, time.monotonic()
    while time.monotonic() - begun < size(10, 60):
        start = time.monotonic()
        assert d.get("/healthz").status == 200
        worst_s = max(worst_s, time.monotonic() - start)
    spooled = s.counts["spooled"]
    mortal.cluster.start()
    s.wait_for(300, "logged")
    disk.quick()
    s.stop()
    d.wait_drained(60)
    tell(spooled_meanwhile=spooled, healthz_worst_ms=round(worst_s * 1000), **compare(mortal, s))
    assert spooled > 0 and worst_s < 1 and s.counts["timed_out"] == 0


# ---- damaged ----

def pages(path):
    return os.path.getsize(path) // 4096


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x10]))


def zero(path, at, n):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(bytes(n))


def live_frames(wal):
    """Of SQLite's write-ahead log, a header of 32 bytes and frames of 24 bytes and a page: those since it was last begun
    anew.  What stands behind them was written before, and is read by nobody."""
    with open(wal, "rb") as f:
        salts = f.read(32)[16:24]
        n = 0
        while f.read(24)[8:16] == salts:
            f.seek(4096, os.SEEK_CUR)
            n += 1
    return n


# What is done to the file (and the log beside it), and how many of 1,000 events may be gone then.  The file has pages
# of some ten events, in the order of their coming, and pages of the index of their keys.
DAMAGE = {
    "one byte of an event flipped": (lambda f: flip(f, 4096 * (pages(f) // 2) + 3000), 3),
    "one byte of the first page flipped": (lambda f: flip(f, 60), 0),
    "one byte of the log flipped": (lambda f: flip(f + "-wal", 32 + 4120 * (live_frames(f + "-wal") // 2) + 3000), 3),
    "the file cut in half": (lambda f: os.truncate(f, os.path.getsize(f) // 2), 650),
    "the file cut within a page": (lambda f: os.truncate(f, os.path.getsize(f) - 1000), 3),
    "the log cut in half": (lambda f: os.truncate(f + "-wal", os.path.getsize(f + "-wal") // 2), 650),
    "the log gone": (lambda f: os.remove(f + "-wal"), 1000),
    "a piece replaced by zeros": (lambda f: zero(f, 4096 * (pages(f) // 2), 4096 * 4), 10),
    "the head replaced by zeros": (lambda f: zero(f, 0, 4096 * 2), 5),
    "the file replaced by zeros": (lambda f: zero(f, 0, os.path.getsize(f)), 1000),
    "the file empty": (lambda f: os.truncate(f, 0), 1000),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_spool_does_not_keep_the_daemon_from_starting_and_gives_what_can_be_read(mortal, daemon, sender, tmp_path, size, tell, what):
    harm, may_lose = DAMAGE[what]
    folder = tmp_path / "spool"
    folder.mkdir()
    config = with_ports(with_spool(QUICK, folder))
    mortal.cluster.stop()
    d = daemon(config, database=mortal)
    n = size(5000, 50000)
    s = sender(d, conns=8, batch=50, events=n).wait_end()
    assert s.counts["many_202"] == n
    d.kill()
    path = str(folder / "spool.db")
    if "log" not in what:       # all of it in the file
        checkpoint(path)
    harm(path)
    start = time.monotonic()
    d.errors_expected = {"spool_damaged"}
    d.start()
    ready_s = time.monotonic() - start
    more = sender(d, conns=8, events=500).wait_end()
    mortal.cluster.start()
    d.wait_drained(60)
    until(lambda: d.get("/readyz").json()["degraded"] == [], "all is well")
    found = compare(mortal, s, more, may_lose=n * may_lose // 1000)
    aside = [name for name in os.listdir(folder) if "damaged" in name]
    tell(ready_after_s=round(ready_s, 1), aside=len(aside), **found)
    # A log that ends early looks like one that had come no further.
    assert bool(aside) == (what not in ("the log cut in half", "the log gone"))
    if aside:
        (line,) = d.logged("spool_damaged")
        assert os.path.basename(line["set_aside"]) in aside
    assert ready_s < 5


def checkpoint(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


# ---- long ----

def test_a_long_spool_is_drained_while_as_much_comes_in_as_ever(mortal, daemon, sender, tmp_path, size, tell):
    n, rate = size((10000, 200), (100000, 2000))
    d = daemon(with_spool(QUICK, tmp_path), database=mortal)
    mortal.cluster.stop()
    old = sender(d, conns=8, batch=100, events=n).wait_end(120)
    assert old.counts["many_202"] == n and d.spooled() == n
    mortal.cluster.start()
    live = sender(d, "other", conns=32, rate=rate)
    start = time.monotonic()
    until(lambda: live.counts["logged"] > 0, "the database is back")
    back = time.monotonic()
    until(lambda: d.metrics().get('touchlog_spool_drained_total{fate="logged"}', 0) >= n, "the spool is drained", 300)
    took_s = time.monotonic() - back
    live.wait_for(rate)
    live.stop()
    d.wait_drained()
    tell(spooled_before=n, drained_per_s=round(n / took_s), live_p50_ms=round(live.latency_s(0.5, back) * 1000),
         live_p99_ms=round(live.latency_s(0.99, back) * 1000), back_after_s=round(back - start, 1), **compare(mortal, old, live))
    assert live.counts["http_503"] == 0
