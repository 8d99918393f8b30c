# SPDX-License-Identifier: Apache-2.0
"""A rule that should fire does, exactly once, whatever happens."""
import itertools, random, time

from drills import QUICK, compare, with_ports, with_spool
from harness import until
from ruled import NUMBER, OPEN, actions, check_done, check_immediate, check_second, check_wait, firings, log_rows, of, wait_active, wait_done
from test_outbox import Receiver

WAIT_S = 1
PEOPLE = 97         # a prime: whoever has a number of some residue may be anybody
EVERYTHING = ["task", "hook", "note"]
RULES = {
    "now": {"when": of(3, by=20), "do": EVERYTHING},
    "second": {"when": of(7, 8, by=20), "count": 2, "within": "1d", "cooldown": "1h", "do": EVERYTHING},
    "quiet": {"when": of(11, by=20), "unless": of(12, 13, 14, 15, 16, 17, by=20), "wait": f"{WAIT_S}s", "do": EVERYTHING},
}


def config(receiver, directory, rules=RULES):
    return with_spool({**QUICK, "outbound": OPEN, "actions": actions(receiver), "rules": rules}, directory)


class Harm:
    """What is done to four daemons and their database, at random."""

    def __init__(self, rng, mortal, daemons):
        self.rng, self.mortal, self.daemons = rng, mortal, daemons
        self.kills = self.shutdowns = self.reloads = 0

    def kill(self):
        d = self.rng.choice(self.daemons)
        d.kill()
        time.sleep(self.rng.random() * 0.2)         # the moment is what is tested
        d.start()
        self.kills += 1

    def shut_down(self, also_kill=False):
        """Long enough for spools to fill, in part of the cases."""
        self.mortal.cluster.stop("immediate")
        time.sleep(self.rng.random() * 1.2)         # likewise
        if also_kill:
            self.kill()
        self.mortal.cluster.start()
        self.shutdowns += 1

    def reload(self):
        """Another set, in which the rules that count are the same."""
        d = self.rng.choice(self.daemons)
        self.reloads += 1
        config = {**d.given, "rules": {**RULES, f"extra{self.reloads}": {"when": "false", "do": ["note"]}}}
        if self.rng.random() < 0.5:
            assert d.reload(config)
            return
        d.write(config)
        done = d.touchlog("rule", "apply")
        assert done.returncode == 0, done.stderr

    def rounds(self, sender):
        """One harm after the other while it sends."""
        kinds = (self.kill, self.shut_down, self.reload, lambda: self.shut_down(True))
        for kind in itertools.cycle(kinds):
            acked = sender.counts["acked"]
            until(lambda: sender.counts["acked"] > acked + 50 or sender.p.poll() is not None, "50 more events")
            if sender.p.poll() is not None:
                return
            kind()
            time.sleep(self.rng.random() * 0.2)     # the moment is what is tested


def slowly(handler):
    """So that daemons and PostgreSQL end in the middle of it too."""
    time.sleep(0.1)
    return 200


def test_under_four_daemons_kills_shutdowns_duplicates_spool_and_reloads_each_rule_fires_exactly_once(mortal, daemon, sender, tmp_path, size, tell):
    events = size(1000, 20000)
    with Receiver(*[slowly] * events) as receiver:
        daemons = []
        for n in range(4):
            (tmp_path / f"d{n}").mkdir()
            daemons.append(daemon(with_ports(config(receiver, tmp_path / f"d{n}")), database=mortal))
        wait_active(mortal, RULES)
        senders = [sender(d, prefix="same", events=events, conns=8, people=PEOPLE, pause_ms=20, rate=size(120, 200), first=n // 2 * events // 2)
                   for n, d in enumerate(daemons)]
        harm = Harm(random.Random(5), mortal, daemons)
        harm.rounds(senders[0])
        for s in senders:
            s.wait_end()
        for d in daemons:
            d.wait_drained(60)
        wait_done(mortal)
        rows = log_rows(mortal, "same")
        found = {name: firings(mortal, name) for name in RULES}
        counts = check_done(mortal, receiver)
    tell(kills=harm.kills, shutdowns=harm.shutdowns, reloads=harm.reloads, **compare(mortal, senders[0]), **counts)
    now = check_immediate(found["now"], rows, lambda n: n % 20 == 3)
    second = check_second(found["second"], rows, lambda n: n % 20 in (7, 8))
    quiet = check_wait(found["quiet"], rows, lambda n: n % 20 == 11, lambda n: 12 <= n % 20 <= 17, WAIT_S * 1000000)
    tell(now=now, second=second, quiet=dict(quiet))
    assert harm.kills >= size(2, 20) and harm.shutdowns >= size(2, 20) and harm.reloads >= size(1, 10)
    assert now == events // 20 and second > 0 and quiet["fired"] > 0 and quiet["cancelled"] > 0
    assert counts["fired"] == now + second + quiet["fired"] + quiet["too_late"]


def test_a_rule_that_divides_by_zero_on_one_row_fails_there_and_costs_no_event_and_no_other_rule(database, daemon, sender, tmp_path, size, tell):
    events = size(3000, 30000)
    rules = {"now": RULES["now"], "broken": {"when": f"source = 'web' and 100 / ({NUMBER} % 500 - 77) > 19", "do": ["task"]},
             "second": RULES["second"]}
    with Receiver() as receiver:
        d = daemon(config(receiver, tmp_path, rules), database=database)
        wait_active(database, rules)
        s = sender(d, conns=16, batch=10, events=events, people=PEOPLE).wait_end()
        wait_done(database)
        counts = check_done(database, receiver)
    rows = log_rows(database, s.prefix)
    tell(**compare(database, s), **counts)
    assert len(rows) == events and not s.counts["http_503"]
    check_immediate(firings(database, "now"), rows, lambda n: n % 20 == 3)
    check_second(firings(database, "second"), rows, lambda n: n % 20 in (7, 8))
    broken = firings(database, "broken")
    states = {row.number: (broken[row.id].state, broken[row.id].error) for row in rows if row.id in broken}
    assert states == {n: ("failed", "division by zero") if n % 500 == 77 else ("fired", None) for n in range(events) if 77 <= n % 500 <= 82}
