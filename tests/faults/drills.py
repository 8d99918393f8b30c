# SPDX-License-Identifier: Apache-2.0
"""What the drills share: a sender that keeps a ledger, its comparison with the log, and ways to do harm."""
import collections, errno, itertools, os, socket, subprocess, tempfile, threading

import harness
from harness import until

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = {"web": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"},
           "other": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"}}
QUICK = {"sources": SOURCES, "spool_after": "500ms"}
CC = os.environ.get("CC", "gcc")
FINISH_WITHIN_S = 60
numbers = itertools.count(1)

Entry = collections.namedtuple("Entry", "external_id fate id tries due_s acked_s")


def port():
    """A free port that the kernel gives to no outgoing connection: a daemon that is killed gets it again."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low = int(f.read().split()[0])
    # Each run of the drills elsewhere: one would take the port of a daemon that another has just killed.
    for number in itertools.count(low - 1 - os.getpid() % 400 * 20, -1):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", number))
            except OSError:
                continue
        if number not in port.given:
            port.given.add(number)
            return number


port.given = set()


def with_ports(config):
    """The configuration with listeners whose ports stay the same over restarts."""
    return {"listeners": {"public": {"address": f"127.0.0.1:{port()}", "serve": ["ingest"]},
                          "ops": {"address": f"127.0.0.1:{port()}", "serve": ["ops"]}}, **config}


def with_spool(config, directory, max_size="256MiB"):
    return {**config, "spool": {"path": os.path.join(str(directory), "spool.db"), "max_size": max_size}}


def tcp_port(cluster):
    return int(dict(word.split("=") for word in cluster.conninfo.split())["port"])


class Sender:
    """tests/faults/sender.c under way, posting to one daemon.

    options: its letters, by name (rate=2000, conns=32, ...).  stop() begins nothing more and waits until all that was
    begun is acknowledged; then .entries has the ledger.
    """
    LETTERS = {"events": "n", "first": "o", "conns": "c", "batch": "b", "rate": "r", "pause_ms": "w", "patience_ms": "t", "people": "u",
               "poison": "x", "prefix": "p"}

    def __init__(self, directory, daemon, source="web", **options):
        n = next(numbers)
        options.setdefault("prefix", f"s{n}")
        self.prefix, self.source = options["prefix"], source
        self.path, self.err_path = (os.path.join(str(directory), f"{what}-{n}") for what in ("ledger", "sender-stderr"))
        args = [word for name, value in options.items() for word in (f"-{self.LETTERS[name]}", str(value))]
        with open(self.err_path, "wb") as err:
            self.p = subprocess.Popen([harness.program("tests/faults/sender"), *args, "-l", self.path,
                                       f"127.0.0.1:{daemon.ports['public']}/{source}"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True)
        self.counts, self.entries = collections.Counter(), None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.p.stdout:
            self.counts = collections.Counter({k: int(v) for k, v in (word.split("=") for word in line.split())})

    def stderr(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_for(self, n, what="acked", deadline_s=harness.DEADLINE_S):
        """Until its count of `what` has grown by n."""
        end = self.counts[what] + n
        until(lambda: self.counts[what] >= end or self.p.poll() is not None, f"{n} more {what}", deadline_s)
        assert self.counts[what] >= end, f"the sender ended: {self.stderr()[-3000:]}"

    def wait_end(self, deadline_s=FINISH_WITHIN_S):
        """Until all is acknowledged; only for one that knows how many events there are, or was told to stop."""
        try:
            rc = self.p.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not acknowledged within {deadline_s} s: {self.counts}") from None
        self.reader.join()
        text = self.stderr()
        assert rc == 0 and not harness.REPORT.search(text), (rc, text[-3000:])
        with open(self.path) as f:
            self.entries = [Entry(f"{self.prefix}-{number}", fate, event_id, int(tries), int(due) / 1e6, int(acked) / 1e6)
                            for number, fate, event_id, tries, due, acked in map(str.split, f)]
        return self

    def stop(self, deadline_s=FINISH_WITHIN_S):
        if self.p.poll() is None:
            self.p.stdin.write("stop\n")
            self.p.stdin.flush()
        return self.wait_end(deadline_s)

    def kill(self):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        self.p.stdin.close()
        self.reader.join()

    def retried(self):
        return sum(e.tries > 1 for e in self.entries)

    def worst_gap_s(self, since_s=0, until_s=float("inf"), fates=("logged", "duplicate", "many_200")):
        """The longest time without an acknowledgement out of the log."""
        times = sorted(e.acked_s for e in self.entries if e.fate in fates and since_s <= e.acked_s <= until_s)
        return max(b - a for a, b in zip(times, times[1:]))

    def latency_s(self, share, since_s=0):
        """The p50 (share 0.5) or p99 of the time from when an event was due to its acknowledgement."""
        took = sorted(e.acked_s - e.due_s for e in self.entries if e.due_s >= since_s)
        return took[min(int(len(took) * share), len(took) - 1)]


def in_log(database, prefix):
    """{external_id: [ids]}"""
    found = collections.defaultdict(list)
    for line in database.run(f"SELECT external_id, id FROM touchlog.interaction WHERE external_id LIKE '{prefix}-%'").splitlines():
        external_id, event_id = line.split("|")
        found[external_id].append(event_id)
    return found


def in_parked(database, prefix):
    """{external_id: [ids]}; json, not jsonb: the numbers in it are what jsonb refuses."""
    found = collections.defaultdict(list)
    for line in database.run("SELECT * FROM (SELECT convert_from(raw, 'UTF8')::json->>'external_id' AS e, id FROM touchlog.parked) p"
                             f" WHERE e LIKE '{prefix}-%'").splitlines():
        external_id, event_id = line.split("|")
        found[external_id].append(event_id)
    return found


def compare(database, *senders, poison=None, may_lose=0):
    """Both promises: what was acknowledged stands in the log once, under the id that was answered (a provisional
    id, of the spool, may be another), or among the parked; nothing stands twice.  Each poison-th event is parked
    and no other.  Only a drill that damages the spool may lose some.  The counts of what was found."""
    total = collections.Counter()
    for s in senders:
        log, parked = in_log(database, s.prefix), in_parked(database, s.prefix)
        missing, doubled, other_id, wrongly_parked = [], [], [], []
        for e in s.entries:
            ids = log[e.external_id] + parked[e.external_id]
            is_poison = poison is not None and int(e.external_id.rsplit("-")[-1]) % poison == poison - 1
            if not ids:
                if e.fate != "none":
                    missing.append(e)
                continue
            if len(ids) > 1:
                doubled.append((e, ids))
            if e.fate not in ("none", "spooled", "many_202") and e.id not in ids:
                other_id.append((e, ids))
            if bool(parked[e.external_id]) != is_poison:
                wrongly_parked.append(e)
        total += collections.Counter(e.fate for e in s.entries)
        total += collections.Counter(begun=len(s.entries), retried=s.retried(), stand=sum(map(len, log.values())),
                                     stand_parked=sum(map(len, parked.values())),
                                     lost=len(missing), doubled=len(doubled), other_id=len(other_id))
        for what, found in (("missing", missing[may_lose:]), ("doubled", doubled), ("under another id", other_id), ("parked, or not", wrongly_parked)):
            assert not found, f"{len(found)} of {len(s.entries)} {what}: {found[:5]}"
        assert len(s.entries) > 0 and set(log) | set(parked) <= {e.external_id for e in s.entries}
    return dict(lost=0, doubled=0) | dict(total)


# ---- doing harm ----

class Disk:
    """The disk of a spool that fills, or is slow, by tests/faults/shim.c: `env` is for the daemon."""

    def __init__(self, directory, spool_path):
        self.flags = os.path.join(str(directory), "flags")
        os.mkdir(self.flags)
        library = os.path.join(self.flags, "shim.so")
        subprocess.run([CC, "-O1", "-shared", "-fPIC", "-o", library, os.path.join(HERE, "shim.c"), "-ldl"], check=True)
        self.env = {"LD_PRELOAD": ":".join([*sanitizers(), library]), "SHIM_PATH": spool_path, "SHIM_FLAGS": self.flags}

    def fill(self):
        self._flag("full", "")

    def free(self):
        os.remove(os.path.join(self.flags, "full"))

    def slow(self, ms):
        self._flag("slow", str(ms))

    def quick(self):
        os.remove(os.path.join(self.flags, "slow"))

    def _flag(self, name, text):
        path = os.path.join(self.flags, name)
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)


def sanitizers():
    """The runtime libraries that have to stand before any other."""
    out = subprocess.run(["ldd", harness.program("touchlogd")], capture_output=True, text=True, check=True).stdout
    return [line.split()[2] for line in out.splitlines() if "libasan" in line]


class SmallDisk:
    """A disk of its own, of some MiB, which really fills.  Only where one may mount."""

    def __init__(self, directory, mib):
        self.path, self.filler, self.env = str(directory), os.path.join(str(directory), "filler"), {}
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "touchlog-drill", self.path], check=True, capture_output=True)

    def fill(self):
        with open(self.filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError as e:
                assert e.errno == errno.ENOSPC, e

    def free(self):
        os.remove(self.filler)

    def unmount(self):
        subprocess.run(["umount", "--lazy", self.path], check=True)


def can_mount():
    with tempfile.TemporaryDirectory() as d:
        done = subprocess.run(["mount", "-t", "tmpfs", "touchlog-drill", d], capture_output=True)
        return done.returncode == 0 and subprocess.run(["umount", d]).returncode == 0
