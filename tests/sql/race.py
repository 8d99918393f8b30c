# SPDX-License-Identifier: Apache-2.0
"""Four daemons at once: the same events in different order, people who merge all
the time, COMMITs whose answer is lost.  Each plays the whole append transaction
with the daemon's session settings; a batch refused with 40P01 or 40001 is done
again, as the daemon does it."""

import io
import multiprocessing
import os
import random
import socket
import struct
import time
import uuid

import psycopg2

import harness
from harness import SESSION, connect, one, rows, same

PREPARE = """PREPARE accept (uuid[], uuid[], date[], int[], bool[], int[], text[], text[], text[],
    text[], bool[], int) AS SELECT stands::text[], own, txid FROM
    touchlog.accept($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
ACCEPT = "EXECUTE accept (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 5)"
COPY = """COPY touchlog.interaction (id, received_at, occurred_at, customer_id, source, channel,
    direction, kind, external_id, txid) FROM STDIN"""
PEOPLE = """INSERT INTO touchlog.participant SELECT * FROM unnest(%s::uuid[], %s::timestamptz[],
    %s::bigint[], %s::bigint[], %s::text[]) ON CONFLICT DO NOTHING"""
RETRY = ("40P01", "40001")
TRIES = 20


class Event:
    """One contact moment: who it is of, by what, and who else took part."""

    def __init__(self, rng, number, people, new_pct, phone_pct, mixed_pct, companion_pct):
        self.key = uuid.UUID(int=rng.getrandbits(128))
        self.name = f"event {self.key}"
        person = number + 50_000_000 if rng.randrange(100) < new_pct else rng.randrange(people)
        mail, phone = f"person{person}@example.com", f"+316{person:08}"
        shape = "mail+phone" if rng.randrange(100) < phone_pct else "mail"
        if rng.randrange(100) < mixed_pct:  # callers before their orders; neighbours who are one
            shape = rng.choice(["two mails", "phone", "phone"])
        self.trusted = rng.randrange(100) >= mixed_pct
        other = person // 8 * 8 + rng.randrange(8)
        self.party = {
            "mail": [("email", mail)],
            "mail+phone": [("email", mail), ("phone", phone)],
            "phone": [("phone", phone)],
            "two mails": [("email", mail), ("email", f"person{other}@example.com")],
        }[shape]
        self.companion = None
        if rng.randrange(100) < companion_pct:
            self.companion = [("email", f"person{rng.randrange(people)}@example.com")]

    def give_id(self):
        self.at_ms = time.time_ns() // 1_000_000
        bits = random.getrandbits(74)
        self.id = str(uuid.UUID(int=self.at_ms << 80 | 7 << 76 | bits >> 62 << 64
                                | 2 << 62 | bits & (1 << 62) - 1))


def array(values):
    """Much faster to make and to parse than what psycopg2 makes of a list."""
    return "{" + ",".join("NULL" if v is None else str(v) for v in values) + "}"


class Daemon:
    def __init__(self, db, report):
        self.db, self.report = db, report
        self.connect()

    def connect(self):
        self.conn = connect(self.db)
        rows(self.conn, SESSION + "; SET lock_timeout = '20s'")
        rows(self.conn, PREPARE)

    def accept(self, events):
        of_event, trusted, parties, kinds, vals, strongs = [], [], [], [], [], []
        self.first, self.companion = [], []
        for n, e in enumerate(events, 1):
            for party, where in ((e.party, self.first), (e.companion, self.companion)):
                where.append(len(vals) if party else None)
                if party:
                    of_event.append(n)
                    trusted.append(e.trusted)
                for kind, value in party or []:
                    parties.append(len(of_event))
                    kinds.append(kind)
                    vals.append(value)
                    strongs.append(kind == "email")
        nulls = array([None] * len(vals))
        return rows(self.conn, ACCEPT, [
            array(e.key for e in events), array(e.id for e in events), array([None] * len(events)),
            array(of_event), array(trusted), array(parties), array(kinds), array(vals), nulls,
            nulls, array(strongs)])[0]

    def store(self, events, stands, own, txid):
        lines, people = [], []
        for n, e in enumerate(events):
            if stands[n] is not None:
                continue
            who = own[self.first[n]]
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(e.at_ms // 1000)) \
                + f".{e.at_ms % 1000:03}+00"
            lines.append(f"{e.id}\t{at}\t{at}\t{who}\ts\tweb\tin\tvisit\t{e.name}\t{txid}\n")
            if self.companion[n] is not None:
                people.append((e.id, f'"{at}"', who, own[self.companion[n]], "cc"))
        with self.conn.cursor() as cur:
            cur.copy_expert(COPY, io.StringIO("".join(lines)))
        if people:
            rows(self.conn, PEOPLE, [array(column) for column in zip(*people)])

    def append(self, events):
        for left in reversed(range(TRIES)):
            try:
                rows(self.conn, "BEGIN")
                stands, own, txid = self.accept(events)
                self.store(events, stands, own, txid)
                rows(self.conn, "COMMIT")
                break
            except psycopg2.Error as e:
                if e.pgcode not in RETRY or left == 0:
                    raise
                rows(self.conn, "ROLLBACK")
                self.report["again"] += 1
        for n, e in enumerate(events):
            fate = "fresh" if stands[n] is None else "logged" if stands[n] == e.id else "duplicate"
            self.report[fate] += 1

    def append_and_lose(self, events, sent):
        """Does everything but reads no answer to COMMIT, which may have been sent."""
        rows(self.conn, "BEGIN")
        try:
            self.store(events, *self.accept(events))
        except psycopg2.Error as e:
            if e.pgcode not in RETRY:
                raise
        else:
            self.report["lost"] += sent * len(events)
        with socket.socket(fileno=os.dup(self.conn.fileno())) as wire:
            if sent:
                wire.sendall(struct.pack("!ci7s", b"Q", 11, b"COMMIT\0"))
            wire.shutdown(socket.SHUT_RDWR)
        self.conn.close()
        self.connect()


def events_of(seed, n, shape):
    rng = random.Random(seed)
    return [Event(rng, seed * n + i, **shape) for i in range(n)]


def run_daemon(db, conf, number, start, reports):
    report = dict.fromkeys(("fresh", "duplicate", "logged", "again", "lost"), 0)
    events = events_of(1 if conf["overlap"] else number + 1, conf["n"], conf["shape"])
    if conf["overlap"]:  # neighbours change places: the batches overlap without being equal
        rng = random.Random(number)
        events = [e for _, _, e in sorted((i + rng.random() * 3 * conf["batch"], i, e)
                                          for i, e in enumerate(events))]
    daemon = Daemon(db, report)
    start.wait(harness.DEADLINE_S)
    for i in range(0, len(events), conf["batch"]):
        some = events[i:i + conf["batch"]]
        for e in some:
            e.give_id()
        if conf["lose"]:
            daemon.append_and_lose(some, i // conf["batch"] % 2 == 0)
        daemon.append(some)
    reports.put(report)


def race(conns, n, batch, people, new=0, mixed=0, overlap=False, lose=False):
    """Races in a fresh database; the sum of the reports, and a connection to look around."""
    db = harness.fresh("race")
    conf = {"n": n, "batch": batch, "overlap": overlap, "lose": lose, "shape": {
        "people": people, "new_pct": new, "phone_pct": 40, "mixed_pct": mixed,
        "companion_pct": 20}}
    start, reports = multiprocessing.Barrier(conns), multiprocessing.Queue()
    daemons = [multiprocessing.Process(target=run_daemon, args=(db, conf, i, start, reports))
               for i in range(conns)]
    for d in daemons:
        d.start()
    for d in daemons:
        d.join()
    if any(d.exitcode != 0 for d in daemons):
        raise RuntimeError("a connection of the race failed, its traceback stands above")
    all_reports = [reports.get() for _ in daemons]
    total = {key: sum(r[key] for r in all_reports) for key in all_reports[0]}
    harness.say(f"#   batch={batch} {total}")
    return total, connect(db)


def finish(conn, n, label):
    same(f"the log holds each once ({label})",
         rows(conn, "SELECT count(*), count(DISTINCT external_id) FROM touchlog.interaction"),
         [(n, n)])
    same(f"roots, customers, identities and log agree ({label})",
         one(conn, "SELECT t.broken()"), "")
    db = conn.info.dbname
    conn.close()
    harness.drop(db)


def same_events():
    harness.say("# four connections, the same events and new people, in different order")
    for batch in (1000, 200, 32):
        total, conn = race(4, 6000, batch, 2000, new=30, overlap=True)
        same(f"each event is fresh in one, a duplicate in three (batch {batch})",
             (total["fresh"], total["duplicate"]), (6000, 18000))
        same(f"none had to be done again (batch {batch})", total["again"], 0)
        finish(conn, 6000, f"batch {batch}")


def new_people():
    harness.say("# four connections, different events of the same new people")
    total, conn = race(4, 4000, 400, 4000)
    same("each event is fresh once (new people)", total["fresh"], 16000)
    same("none had to be done again (new people)", total["again"], 0)
    finish(conn, 16000, "new people")


def merging():
    harness.say("# four connections, different events of a few people, merging all the time")
    for batch in (500, 50):
        total, conn = race(4, 3000, batch, 1000, mixed=30)
        same(f"each event is fresh once (batch {batch})", total["fresh"], 12000)
        same(f"components have come to their limit, not above (batch {batch})", one(conn, """
            SELECT max(n) FROM (SELECT count(*) n FROM touchlog.customer GROUP BY root_id) x"""), 5)
        finish(conn, 12000, f"batch {batch}")


def losing():
    harness.say("# two connections, each COMMIT's answer lost, whether sent or not")
    total, conn = race(2, 4000, 200, 500, new=30, lose=True)
    same("what had been committed is logged, not duplicate", (total["logged"], total["duplicate"]),
         (total["lost"], 0))
    same("the rest is fresh", total["fresh"], 8000 - total["lost"])
    same("a participant is there once", one(conn, """SELECT count(*) - count(DISTINCT interaction_id)
        FROM touchlog.participant"""), 0)
    finish(conn, 8000, "lost")


def test():
    same_events()
    new_people()
    merging()
    losing()
