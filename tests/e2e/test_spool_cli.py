# SPDX-License-Identifier: Apache-2.0
"""touchlog spool: what stands in the daemon's file, sound or damaged, while it is used or not.

The files are made here, by what daemon/README.md says of the format: should that change without a new number, these
tests fail, since a daemon could not read what its predecessor left behind.
A test name is a sentence that is true when it passes."""
import base64, contextlib, json, os, re, shutil, sqlite3, struct, uuid, zlib

import pytest

from harness import touchlog, write_config

TABLE = ("CREATE TABLE event(seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB UNIQUE, id BLOB, kind TEXT, format INT,"
         " source TEXT, identities TEXT, row BLOB, put_at INT, crc INT)")
PUT_AT = 1795552496123456       # 2026-11-24T20:34:56.123
MAX = 64 * 1024 * 1024


def crc(seq, key, id, kind, format, source, identities, row, put_at):
    def number(n):
        return struct.pack(">q", n)

    def text(b):
        return number(len(b)) + b
    return zlib.crc32(number(seq) + key + id + number(kind == "parked") + number(format) + text(source.encode())
                      + text(identities.encode()) + text(row) + number(put_at))


def event(seq, source="shop", kind="event", row=None, identities='[["email","a@b.example"]]'):
    key, id = uuid.UUID(int=seq * 7919 << 64).bytes, uuid.UUID(int=seq << 80 | 0x7000 << 64 | 0x8 << 60).bytes
    columns = (seq, key, id, kind, 1, source, identities, b"row %d " % seq * 40 if row is None else row, PUT_AT + seq * 1000)
    return columns + (crc(*columns),)


def make(path, events):
    """A connection to a new spool's file with these rows."""
    db = sqlite3.connect(str(path), isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(TABLE)
    db.execute(f"PRAGMA application_id = {0x746c7370}")
    db.execute("PRAGMA user_version = 1")
    db.executemany("INSERT INTO event VALUES(?,?,?,?,?,?,?,?,?,?)", events)
    return db


EVENTS = ([event(n) for n in range(1, 101)] + [event(n, "shop", "parked") for n in range(101, 104)]
          + [event(n, "Büro \"1\"\x1b[2J", row=bytes(range(256)) * 40) for n in range(104, 110)])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool.db"


@pytest.fixture
def config(database, tmp_path, path):
    return write_config(tmp_path, database, {"spool": {"path": str(path), "max_size": "64MiB"}})


@pytest.fixture
def sound(path):
    make(path, EVENTS).close()


def good(done):
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def exported(out):
    return [json.loads(line) for line in out.splitlines()]


def as_told(e):
    """A row of ours as export tells it."""
    seq, key, id, kind, format, source, identities, row, put_at, _ = e
    return {"seq": seq, "id": str(uuid.UUID(bytes=id)), "key": str(uuid.UUID(bytes=key)), "kind": kind, "source": source,
            "put_at": f"2026-11-24T20:34:56.{123 + seq:03}Z", "identities": json.loads(identities), "format": format,
            "row": base64.b64encode(row).decode()}


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x10]))


def place(path, text):
    with open(path, "rb") as f:
        return f.read().index(text)


# ---- sound ----

def test_status_tells_each_source_and_kind(sound, path, config):
    told = json.loads(good(touchlog(config, "spool", "status", "--json")))
    shares = [(s["source"], s["kind"], s["events"]) for s in told.pop("sources")]
    assert shares == [("Büro \"1\"\x1b[2J", "event", 6), ("shop", "event", 100), ("shop", "parked", 3)]
    assert told == {"path": str(path), "format": 1, "bytes": os.path.getsize(path), "log_bytes": 0, "max_bytes": MAX,
                    "events": 109, "oldest": "2026-11-24T20:34:56.124Z", "damaged": None, "lost": 0, "set_aside": []}


def test_status_for_people_is_safe_for_their_terminal(sound, path, config):
    out = good(touchlog(config, "spool", "status"))
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0] == f"file       {path}" and lines[1] == "format     1"
    assert lines[2] == f"bytes      {os.path.getsize(path)} of {MAX}, and 0 of its log"
    assert lines[3] == "events     109"
    assert re.fullmatch(r"oldest     2026-11-24T20:34:56\.124Z, -?\d+ s ago", lines[4])
    assert lines[5] == "" and lines[6].split() == ["SOURCE", "KIND", "EVENTS", "BYTES", "OLDEST"]
    assert [line.split()[:3] for line in lines[8:]] == [["shop", "event", "100"], ["shop", "parked", "3"]]


def test_export_tells_every_event_oldest_first(sound, config):
    for args in ([], ["--json"]):
        assert exported(good(touchlog(config, "spool", "export", *args))) == [as_told(e) for e in EVENTS]


def test_identities_that_are_no_json_are_null(path, config):
    make(path, [event(1, identities=""), event(2, identities="[")]).close()
    assert [e["identities"] for e in exported(good(touchlog(config, "spool", "export")))] == [None, None]


def test_an_empty_spool_has_no_events(path, config):
    make(path, []).close()
    told = json.loads(good(touchlog(config, "spool", "status", "--json")))
    assert told["events"] == 0 and told["oldest"] is None and told["sources"] == []
    assert good(touchlog(config, "spool", "export")) == ""
    assert "SOURCE" not in good(touchlog(config, "spool", "status"))


def test_many_events_are_told_in_turns_that_miss_none(path, config):
    make(path, [event(n) for n in range(1, 4002) if n % 3]).close()
    assert [e["seq"] for e in exported(good(touchlog(config, "spool", "export")))] == [n for n in range(1, 4002) if n % 3]


# ---- while it is used ----

def test_it_is_read_while_another_writes_and_what_is_not_committed_is_not_told(path, config):
    with contextlib.closing(make(path, EVENTS[:50])) as db:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO event VALUES(?,?,?,?,?,?,?,?,?,?)", EVENTS[50:])
        told = json.loads(good(touchlog(config, "spool", "status", "--json")))
        assert told["events"] == 50 and told["log_bytes"] > 0
        db.execute("COMMIT")
        assert len(exported(good(touchlog(config, "spool", "export")))) == 109


def test_nothing_is_changed(sound, path, config):
    with open(path, "rb") as f:
        before = f.read()
    good(touchlog(config, "spool", "status"))
    good(touchlog(config, "spool", "export"))
    with open(path, "rb") as f:
        assert f.read() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_sqlite_puts_beside_it_is_its_owners_also_when_root_looks(sound, path, config):
    os.chown(path, 65534, 65534)
    good(touchlog(config, "spool", "status"))
    assert {os.stat(p).st_uid for p in path.parent.glob("spool.db*")} == {65534}


def test_what_a_killed_daemon_left_in_the_log_is_told(path, config, tmp_path):
    with contextlib.closing(make(tmp_path / "live.db", EVENTS)):
        shutil.copy(tmp_path / "live.db", path)
        shutil.copy(tmp_path / "live.db-wal", f"{path}-wal")
    assert len(exported(good(touchlog(config, "spool", "export")))) == 109


# ---- damaged ----

def damaged(done):
    """What could be read, and what was said."""
    assert done.returncode == 1 and " is damaged: " in done.stderr, done
    return done.stdout, int(re.search(r"(\d+) are known to be lost", done.stderr)[1])


def test_of_a_damaged_file_what_can_be_read_is_told_once(sound, path, config):
    flip(path, place(path, b"row 50 row 50"))
    out, lost = damaged(touchlog(config, "spool", "export"))
    assert lost == 1
    assert sorted(e["seq"] for e in exported(out)) == [n for n in range(1, 110) if n != 50]
    assert all(e in [as_told(x) for x in EVENTS] for e in exported(out))
    out, lost = damaged(touchlog(config, "spool", "status", "--json"))
    told = json.loads(out)
    assert told["events"] == 108 and told["lost"] == lost == 1 and told["damaged"] == "event 50: its checksum does not fit"
    out, _ = damaged(touchlog(config, "spool", "status"))
    assert "events     108\n" in out


@pytest.mark.parametrize("harm, wanted", [
    (lambda p: flip(p, 0), 109),
    (lambda p: os.truncate(p, os.path.getsize(p) // 2), 30),
    (lambda p: p.write_bytes(bytes(os.path.getsize(p))), 0),
    (lambda p: p.write_bytes(b"no spool"), 0),
    (lambda p: os.truncate(p, 0), 0),
], ids=["magic", "half", "zeros", "text", "empty"])
def test_however_damaged_a_file_is_its_rest_is_told(sound, path, config, harm, wanted):
    harm(path)
    for verb in ("export", "status"):
        out, _ = damaged(touchlog(config, "spool", verb, "--json"))
        told = exported(out)
        assert (len(told) if verb == "export" else told[0]["events"]) >= wanted


def test_a_log_without_its_file_is_told(path, config, tmp_path):
    with contextlib.closing(make(tmp_path / "live.db", EVENTS)):
        shutil.copy(tmp_path / "live.db-wal", f"{path}-wal")
    out, _ = damaged(touchlog(config, "spool", "export"))
    assert len(exported(out)) == 109


def test_files_that_were_set_aside_are_listed_and_can_be_told(sound, path, config):
    aside = f"{path}.damaged-20261124T183456Z"
    shutil.copy(path, aside)
    shutil.copy(path, f"{aside}-wal")
    flip(aside, place(aside, b"row 50 row 50"))
    told = json.loads(good(touchlog(config, "spool", "status", "--json")))
    assert told["set_aside"] == [{"path": aside, "bytes": os.path.getsize(aside)}]
    assert f"set aside  {aside}, {os.path.getsize(aside)} bytes" in good(touchlog(config, "spool", "status"))
    os.unlink(f"{aside}-wal")
    out, _ = damaged(touchlog("/none", "spool", "export", "--file", aside))
    assert len(exported(out)) == 108


# ---- what it cannot tell ----

def test_a_later_format_is_named(sound, path, config):
    with contextlib.closing(sqlite3.connect(str(path))) as db:
        db.execute("PRAGMA user_version = 2")
    done = touchlog(config, "spool", "status")
    assert done.returncode == 1 and done.stdout == "" and "its format is 2, of a later release" in done.stderr


def test_a_spool_that_is_not_there_is_not_found(database, config, path, tmp_path):
    done = touchlog(config, "spool", "status")
    assert (done.returncode, done.stderr) == (4, f"touchlog: {path}: there is no such file\n")
    done = touchlog(write_config(tmp_path, database, {}), "spool", "export")
    assert (done.returncode, done.stderr) == (4, "touchlog: the configuration has no spool; --file PATH names one\n")


def test_what_is_no_file_is_named(config, path):
    path.mkdir()
    done = touchlog(config, "spool", "export")
    assert done.returncode == 1 and "no regular file" in done.stderr


# ---- the configuration ----

@pytest.mark.parametrize("spool, said", [
    ({"path": "spool.db"}, "the absolute path of a file is wanted"),
    ({"path": ""}, "the absolute path of a file is wanted"),
    ({"path": "/var/lib/touchlog/"}, "the absolute path of a file is wanted"),
    ({"max_size": "1KiB"}, "spool.max_size: 1KiB is out of range"),
    ({"file": "/x"}, "spool.file: unknown key"),
])
def test_a_wrong_spool_is_said_with_its_place(database, tmp_path, spool, said):
    done = touchlog(write_config(tmp_path, database, {"spool": spool}), "spool", "status")
    assert done.returncode == 3 and said in done.stderr and "touchlog.yaml:" in done.stderr, done
