# SPDX-License-Identifier: Apache-2.0
"""touchlog, the command line: every command, both forms of its answers, its exit codes.
A test name is a sentence that is true when it passes."""
import contextlib, fcntl, json, os, pty, re, signal, struct, subprocess, termios, uuid

import pytest

import harness
from harness import Daemon, hmac_hex, program, touchlog, until, write_config

OPEN = {"type": "webhook", "verify": "none", "identities": "strong"}
HMAC = {"type": "webhook", "verify": "hmac-sha256", "header": "X-Signature", "secret": "plain:s3cret"}
MAPPED = {"type": "webhook", "verify": "none", "identities": "strong",
          "map": {"external_id": "/id", "kind": "=purchase", "channel": "=web", "email": "/mail", "subject": "/what"}}
NOBODY = "00000000-0000-7000-8000-000000000000"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def event(n, **more):
    return {"external_id": f"e{n}", "channel": "web", "kind": "visit", "occurred_at": f"2026-11-01T00:00:{n:02}Z",
            **more}


def logged(answer):
    assert answer.status == 200 and answer.json()["status"] == "logged", answer
    return answer.json()["id"]


def table(text):
    """The lines of a table, cut at two blanks; without its head."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()[1:]]


def good(done):
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def document(done):
    return json.loads(good(done))


# ---- usage, configuration, database ----

@pytest.fixture
def config(database, tmp_path):
    """A configuration of which no daemon runs."""
    return write_config(tmp_path, database, {"sources": {"shop": OPEN}}, {"public": 1, "ops": 1})


COMMANDS = ("customer identities", "customer merge", "customer split", "migrate", "parked list", "parked show",
            "parked retry", "parked drop", "show", "source list", "source show", "source try", "spool status", "spool export",
            "tail", "trace")


def test_the_help_lists_each_command_and_each_has_one_of_its_own():
    done = touchlog("/none", "--help")
    for command in COMMANDS:
        assert f"  touchlog {command}" in good(done)
        for flag in ("--help", "-h"):
            own = good(touchlog("/none", *command.split(), flag))
            assert own.startswith(f"usage: touchlog {command}") and "--json" in own
    assert good(touchlog("/none", "parked", "--help")).count("  touchlog parked ") == 4
    assert good(touchlog("/none", "--version")).startswith("touchlog 0")


@pytest.mark.parametrize("args, said", [
    ([], "usage: touchlog [-c FILE] COMMAND"),
    (["traec"], "did you mean trace?"),
    (["xxxxxxxxx"], "touchlog --help lists them"),
    (["parked"], "usage: touchlog parked VERB"),
    (["parked", "lsit"], "did you mean list?"),
    (["parked", "list", "x"], "usage: touchlog parked list"),
    (["parked", "list", "--state", "ajar"], "open, retried, dropped or all"),
    (["parked", "list", "--limit", "0"], "--limit: 0 is no number from 1"),
    (["parked", "show"], "usage: touchlog parked show ID"),
    (["parked", "show", "7"], "7 is no id"),
    (["parked", "retry"], "one of them"),
    (["parked", "retry", "--all", "--source", "shop"], "one of them"),
    (["parked", "retry", "7"], "7 is no id"),
    (["show"], "usage: touchlog show IDENTITY"),
    (["show", "a@example.com", "--nonsense"], "unrecognized option '--nonsense'"),
    (["show", "a@example.com", "--since", "yesterday"], "--since: yesterday is no time"),
    (["show", "a@example.com", "-n", "many"], "--limit: many is no number"),
    (["show", "a\udcff@example.com"], "UTF-8"),
    (["tail", "--interval", "1h"], "--interval: 1h is no time from 10ms"),
    (["trace"], "usage: touchlog trace"),
    (["trace", "7"], "7 is no request's id"),
    (["customer", "merge", "1", "jo"], "two customers' ids"),
    (["source", "show"], "usage: touchlog source show NAME"),
    (["migrate", "now"], "usage: touchlog migrate"),
], ids=lambda v: " ".join(v).encode("ascii", "replace").decode() or "nothing" if isinstance(v, list) else "")
def test_wrong_usage_ends_with_2_and_says_what_is_wanted(config, args, said):
    done = touchlog(config, *args)
    assert done.returncode == 2 and said in done.stderr and done.stdout == "", done


def test_the_configuration_may_be_named_before_and_after_the_command(config, tmp_path):
    for args in (["-c", config, "show", "x@example.com"], ["show", "-c", config, "x@example.com"],
                 ["show", "x@example.com", "--config", config], ["--config=" + config, "show", "x@example.com"]):
        done = subprocess.run([program("touchlog"), *args], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (4, "touchlog: nobody is known as x@example.com\n"), done


def test_a_configuration_that_cannot_be_used_ends_with_3_and_its_place(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("listeners:\n  a: { address: '127.0.0.1:0', serve: [ops] }\nsuorces: {}\n")
    for args in (["show", "x"], ["migrate"], ["source", "list"], ["source", "show", "x"], ["tail"], ["trace", "a", "b"],
                 ["parked", "list"], ["parked", "retry", "--all"], ["customer", "merge", "1", "2"]):
        done = touchlog(str(path), *args)
        assert done.returncode == 3 and f"{path}:3:1: " in done.stderr and "sources" in done.stderr, done
    assert touchlog(str(tmp_path / "none.yaml"), "show", "x").returncode == 3


def test_secrets_are_not_read(database, tmp_path):
    config = write_config(tmp_path, database, {"sources": {"shop": {**HMAC, "secret": ["env:NOT_SET", "file:/none"]}}})
    assert touchlog(config, "show", "x@example.com").returncode == 4


def test_a_database_that_cannot_be_used_ends_with_5_and_why(cluster, database, tmp_path):
    for conninfo, said in (("host=/nonexistent dbname=x", "/nonexistent"),
                           (database.conninfo("nobody_of_this_name"), "nobody_of_this_name")):
        config = write_config(tmp_path, database, {"database": {"conninfo": conninfo}})
        for args in (["show", "x"], ["migrate", "--schema-dir", harness.SCHEMA], ["tail"], ["trace", "a", "b"],
                     ["parked", "list"], ["parked", "retry", "--all"], ["parked", "drop", NOBODY], ["customer", "split", "1", "2"]):
            done = touchlog(config, *args)
            assert done.returncode == 5 and said in done.stderr, (args, done)
    empty = cluster.empty()
    done = touchlog(write_config(tmp_path, empty, {}), "show", "x")
    assert done.returncode == 5 and "run touchlog migrate" in done.stderr, done
    empty.drop()


def test_reading_commands_use_the_readers_role_and_writing_ones_the_daemons(database, tmp_path):
    config = write_config(tmp_path, database, {"database": {
        "conninfo": "host=/nonexistent", "reader_conninfo": database.conninfo(harness.READER_ROLE)}})
    for args in (["show", "x@example.com"], ["trace", "shop", "1"], ["parked", "show", NOBODY],
                 ["customer", "identities", "7"]):
        assert touchlog(config, *args).returncode == 4, args
    assert document(touchlog(config, "parked", "list", "--json")) == []
    for args in (["parked", "drop", NOBODY], ["customer", "merge", "1", "2"], ["parked", "retry", NOBODY]):
        assert touchlog(config, *args).returncode == 5, args


def test_an_answer_that_cannot_be_written_is_a_failure(config):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program("touchlog"), "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "touchlog: the answer could not be written\n")


# ---- show ----

@pytest.fixture
def people(daemon, database):
    """A daemon that has logged: Jo by phone only, then an order that ties phone and e-mail; and Al."""
    d = daemon(sources={"pbx": {**OPEN, "region": "NL"}, "shop": OPEN, "old": {**OPEN, "was": ["older", "oldest"]}},
               own=["@our.example"])
    d.ids = {
        "call": logged(d.post("pbx", event(1, channel="call", kind="call", phone="06-12345678", outcome="answered"))),
        "order": logged(d.post("shop", event(2, kind="purchase", phone="+31612345678", email="Jo@Example.com",
                                             external={"shop": "4711"}, customer={"name": "Jo ☂ 漢字"}, amount="49.50",
                                             currency="EUR", subject="Order", attributes={"coupon": "X"}))),
        "other": logged(d.post("shop", event(3, email="al@example.com", external={"crm": "4711"}))),
    }
    d.customers = {row["value"]: row["root_id"] for row in database.rows(
        "SELECT value, root_id FROM touchlog.identity i JOIN touchlog.customer c ON c.id = i.customer_id"
        " WHERE i.kind <> 'external:crm'")}
    return d


@pytest.mark.parametrize("who", [
    "jo@example.com", "JO@EXAMPLE.COM", "Jo <jo@example.com>", "email:jo@example.com", "+31612345678", "0612345678",
    "06-1234 5678", "phone:0612345678", "external:shop:4711", "EXTERNAL:Shop:4711", "customer:{}", "{}",
])
def test_somebody_is_found_by_whatever_names_him(people, who):
    jo = people.customers["jo@example.com"]
    shown = document(people.touchlog("show", who.format(jo), "--json"))
    assert shown["customer"] == jo and [i["id"] for i in shown["timeline"]] == [people.ids["call"], people.ids["order"]]


def test_show_tells_who_and_the_time_line_newest_last(people):
    text = good(people.touchlog("show", "jo@example.com"))
    members, identities, timeline = text.split("\n\n")
    assert [row[2] for row in table(members)] == ["-", "Jo ☂ 漢字"]
    assert sorted(row[1:4] for row in table(identities)) == [
        ["email", "jo@example.com", "strong"], ["external:shop", "4711", "strong"], ["phone", "+31612345678", "weak"]]
    assert [(row[0], row[3], row[-1]) for row in table(timeline)] == [
        ("2026-11-01 00:00:01", "call", "answered"), ("2026-11-01 00:00:02", "purchase", "49.5 EUR, Order")]


def test_the_columns_stand_under_each_other_also_with_wide_characters(people):
    members = good(people.touchlog("show", "jo@example.com")).split("\n\n")[0].splitlines()
    at = members[0].index("LANGUAGE")
    # ☂ takes one column, 漢 and 字 two each: Python counts characters.
    assert members[1][at] == "-" and members[2][at - 2] == "-", members


def test_show_as_json_has_all_columns_with_their_types(people):
    shown = document(people.touchlog("--json", "show", "jo@example.com"))
    assert {m["name"] for m in shown["members"]} == {None, "Jo ☂ 漢字"}
    assert {(i["kind"], i["value"], i["strong"]) for i in shown["identities"]} == {
        ("email", "jo@example.com", True), ("external:shop", "4711", True), ("phone", "+31612345678", False)}
    order = shown["timeline"][1]
    assert (order["amount"], order["currency"], order["attributes"]["coupon"], order["role"]) == (49.5, "EUR", "X", "customer")
    assert order["occurred_at"].startswith("2026-11-01T00:00:02") and order["body"] is None


def test_limit_and_since_bound_the_time_line(people):
    def ids(*args):
        return [i["id"] for i in document(people.touchlog("show", "jo@example.com", "--json", *args))["timeline"]]
    both = [people.ids["call"], people.ids["order"]]
    assert ids("-n", "1") == both[1:] and ids("--limit=2") == both
    assert ids("--since", "2026-11-01T00:00:02Z") == both[1:] and ids("--since", "2026-11-01") == both
    assert ids("--since", "1ms") == []


def test_the_region_of_a_national_number_can_be_said(people):
    assert people.touchlog("show", "0612345678", "--region", "NL").returncode == 0
    assert people.touchlog("show", "0612345678", "--region", "DE").returncode == 4


def test_who_is_not_known_ends_with_4_and_our_own_are_said_to_be(people):
    for who in ("nobody@example.com", "+31600000000", "external:shop:1", "customer:999", "999", "phone:junk", "email:",
                "external:x", "customer:x", "''", "null"):
        done = people.touchlog("show", who)
        assert done.returncode == 4 and done.stdout == "" and "nobody is known as" in done.stderr, done
    assert "one of our own" in people.touchlog("show", "care@our.example").stderr


def test_several_who_fit_are_listed_and_it_ends_with_1(people):
    done = people.touchlog("show", "4711")
    assert done.returncode == 1 and "several customers fit 4711" in done.stderr, done
    assert {row[0] for row in table(done.stdout)} == {str(people.customers[m]) for m in ("jo@example.com", "al@example.com")}
    assert "external:shop:4711" in done.stdout and "external:crm:4711" in done.stdout
    assert people.touchlog("show", "4711", "--json").stdout == ""


EVIL = "\x1b]0;owned\x07 \x1b[2J\u202egpj.exe \u009b31m line\nnext\ttab\x7f"
SAFE = r"\x1b]0;owned\x07 \x1b[2J\u{202e}gpj.exe \u{9b}31m line\nnext\ttab\x7f"


def test_what_a_stranger_wrote_cannot_play_tricks_with_the_terminal(daemon):
    d = daemon(sources={"shop": OPEN})
    i = logged(d.post("shop", event(1, email="evil@example.com", subject=EVIL, customer={"name": EVIL})))
    for args in (["show", "evil@example.com"], ["trace", i]):
        out = good(d.touchlog(*args, text=False).stdout.decode() and d.touchlog(*args))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out), out
    assert good(d.touchlog("show", "evil@example.com")).count(SAFE) == 2
    assert document(d.touchlog("show", "evil@example.com", "--json"))["timeline"][0]["subject"] == EVIL
    done = d.touchlog("show", "\x1b[31mred@example.com")
    assert done.returncode == 4 and r"\x1b[31mred@example.com" in done.stderr and "\x1b" not in done.stderr


def on_terminal(d, columns, *args):
    """What a terminal of that width is given."""
    config = write_config(d.directory, d.database, d.given, d.ports)
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    p = subprocess.Popen([program("touchlog"), "-c", config, *args], stdin=subprocess.DEVNULL, stdout=its)
    os.close(its)
    text = b""
    with contextlib.suppress(OSError):      # EIO: the other end is closed
        while piece := os.read(ours, 65536):
            text += piece
    os.close(ours)
    assert p.wait(60) == 0
    return text.decode().replace("\r\n", "\n").splitlines()


def test_on_a_terminal_a_last_cell_that_is_too_long_is_cut(daemon):
    d = daemon(sources={"shop": OPEN})
    logged(d.post("shop", event(1, email="a@example.com", subject="漢字" * 60)))
    whole = good(d.touchlog("show", "a@example.com")).splitlines()[-1]
    assert whole.endswith("漢字" * 60)
    narrow = on_terminal(d, 100, "show", "a@example.com")[-1]
    assert narrow.endswith("…") and len(narrow) < 90 and whole.startswith(narrow[:-1]), narrow
    assert 98 <= sum(2 if c in "漢字" else 1 for c in narrow) <= 100
    assert on_terminal(d, 500, "show", "a@example.com")[-1] == whole


# ---- trace ----

def test_trace_tells_of_an_event_by_its_senders_id_and_by_its_own(people):
    for args in (["shop", "e2"], [people.ids["order"]], [people.ids["order"].upper()]):
        out = good(people.touchlog("trace", *args))
        assert f"logged as {people.ids['order']} at 20" in out and "from shop (purchase)" in out, out
        assert f"for customer {people.customers['jo@example.com']}" in out
    found = document(people.touchlog("trace", "shop", "e2", "--json"))
    assert found["known"] and found["interaction"]["external_id"] == "e2" and found["parked"] is None
    assert "who is one with" in good(people.touchlog("trace", "pbx", "e1"))


def test_trace_finds_a_renamed_sources_events_by_each_of_its_names(people, database):
    i = logged(people.post("old", event(4)))
    for name in ("old", "older", "oldest"):
        assert i in good(people.touchlog("trace", name, "e4"))
    assert "for nobody known" in good(people.touchlog("trace", "old", "e4"))


def test_trace_tells_what_a_request_was_answered(people):
    mixed = people.post("shop", [event(2), event(8), {"channel": "nonsense"}])
    assert mixed.json()["logged"] == 1 and mixed.json()["duplicates"] == 1, mixed
    request = mixed.headers["x-request-id"]
    out = good(people.touchlog("trace", request))
    assert f"request {request} to shop was answered with 200; events taken from it: 3" in out
    assert "event 0: duplicate of an event logged before" in out and "event 1: logged" in out
    assert "event 2: rejected: its sender was told what to mend" in out
    second = mixed.json()["ids"][1]
    out = good(people.touchlog("trace", second))
    assert f"logged as {second}" in out and "event 1: logged" in out and "event 0" not in out
    assert document(people.touchlog("trace", request, "--json"))["request"]["fates"] == "dlr"


def test_trace_tells_of_a_parked_event_and_why(daemon):
    d = daemon(sources={"shop": {**MAPPED, "require": ["email"]}})
    parked = d.post("shop", {"id": "p1", "what": "no mail"})
    assert parked.status == 202 and parked.json()["status"] == "parked", parked
    i = parked.json()["id"]
    for args in (["shop", "p1"], [i]):
        out = good(d.touchlog("trace", *args))
        assert f"parked as {i} since 20" in out and ", 1 time: " in out and "email" in out, out
    assert document(d.touchlog("trace", i, "--json"))["parked"]["state"] == "open"
    good(d.touchlog("parked", "drop", i))
    assert f"was parked, and dropped, as {i}" in good(d.touchlog("trace", i))


def test_trace_tells_of_a_refused_request(daemon):
    d = daemon(sources={"shop": HMAC})
    request = d.post("shop", event(1), {"X-Signature": "00"}).headers["x-request-id"]
    out = good(d.touchlog("trace", request))
    assert re.search(r"^refused by shop at 20.*: check \w+, \d+ bytes$", out, re.M), out
    found = document(d.touchlog("trace", request, "--json"))
    assert found["known"] and found["refusal"]["source"] == "shop" and found["refusal"]["at"].startswith("20")


def test_trace_of_what_is_not_known_ends_with_4(people):
    done = people.touchlog("trace", "shop", "e99")
    assert done.returncode == 4 and "not known" in done.stderr and done.stdout == "", done
    done = people.touchlog("trace", NOBODY, "--json")
    assert done.returncode == 4 and json.loads(done.stdout) == {
        "known": False, "id": NOBODY, "interaction": None, "parked": None, "request": None, "refusal": None}
    done = people.touchlog("trace", "shpo", "e2")
    assert done.returncode == 4 and "the source shpo is not in the configuration" in done.stderr, done


def test_trace_says_when_external_ids_are_no_keys_of_a_source(daemon):
    d = daemon(sources={"a": {**OPEN, "dedupe": "body"}, "b": {**OPEN, "dedupe": "none"}})
    for name, said in (("a", "dedupe: body"), ("b", "dedupe: none")):
        done = d.touchlog("trace", name, "e1")
        assert done.returncode == 1 and said in done.stderr, done


def test_trace_works_without_the_daemon_and_says_so(people, database):
    people.stop()
    done = people.touchlog("trace", people.ids["order"])
    assert done.returncode == 0 and "only the database was asked" in done.stderr and "logged as" in done.stdout, done
    database.run(f"DELETE FROM touchlog.interaction WHERE id = '{people.ids['order']}'")
    assert "stands in the log no longer" in people.touchlog("trace", "shop", "e2").stdout


# ---- tail ----

class Tail:
    """touchlog tail under way."""

    def __init__(self, d, *args):
        config = write_config(d.directory, d.database, d.given, d.ports)
        self.p = subprocess.Popen([program("touchlog"), "-c", config, "tail", "--interval", "10ms", *args],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(self.p.stdout.fileno(), False)
        self.text = b""

    def looked(self, database):
        """Waits until it follows the log (and Ctrl-C is its own affair)."""
        until(lambda: database.rows("SELECT FROM pg_stat_activity WHERE datname = current_database() AND"
                                    " application_name = 'touchlog' AND query LIKE '%txid_offset%'"), "tail looks")

    def lines(self, n):
        """The first n lines."""
        def read():
            self.text += self.p.stdout.read() or b""
            return self.text.count(b"\n") >= n
        until(read, f"{n} lines of tail")
        return self.text.decode().splitlines()

    def end(self, number=signal.SIGINT):
        """Interrupts it; all it has printed."""
        self.p.send_signal(number)
        rc = self.p.wait(30)
        self.text += self.p.stdout.read() or b""
        err = self.p.stderr.read()
        self.p.stdout.close()
        self.p.stderr.close()
        assert (rc, err) == (0, b"")
        return self.text.decode().splitlines()


@contextlib.contextmanager
def tailing(d, *args):
    t = Tail(d, *args)
    try:
        yield t
    finally:
        if t.p.poll() is None:
            t.p.kill()
            t.p.wait()


def test_tail_prints_the_last_rows_and_then_what_comes_each_once(people):
    with tailing(people, "-n", "2") as t:
        assert [line.split()[4:6] for line in t.lines(2)] == [["purchase", "shop"], ["visit", "shop"]]
        for n in range(10, 20):
            logged(people.post("shop", event(n, subject=f"number {n}")))
            t.lines(n - 7)
        lines = t.end()
    assert [line.rsplit(" ", 2)[-2:] for line in lines[2:]] == [["number", str(n)] for n in range(10, 20)]


def test_tail_as_json_gives_an_object_a_line_and_ends_with_0_at_sigterm_too(people, database):
    with tailing(people, "-n", "100", "--json") as t:
        rows = [json.loads(line) for line in t.lines(3)]
        assert {row["id"] for row in rows} == set(people.ids.values())
        assert rows == database.rows("SELECT * FROM touchlog.interaction ORDER BY txid, id")
        assert len(t.end(signal.SIGTERM)) == 3


def test_tail_takes_a_source_under_all_its_names_and_a_kind(people, database):
    logged(people.post("old", event(5, kind="note")))
    database.run("UPDATE touchlog.interaction SET source = 'oldest' WHERE source = 'pbx'")
    for n, (args, want) in enumerate(((["--source", "old"], ["call", "note"]), (["--source", "shop", "--kind", "visit"], ["visit"]),
                       (["--kind", "purchase"], ["purchase"]), (["--source", "none"], []))):
        with tailing(people, "--json", *args) as t:
            t.looked(database)
            t.lines(len(want))
            logged(people.post("shop", event(40 + n, kind="nothing of these")))
            assert [json.loads(line)["kind"] for line in t.end()] == want


def test_tail_skips_nothing_that_is_committed_late_and_shows_nothing_twice(people, database):
    late = str(uuid.uuid4())
    with tailing(people, "-n", "1", "--json") as t:
        assert [json.loads(line)["external_id"] for line in t.lines(1)] == ["e3"]
        with database.session(
                "BEGIN", "INSERT INTO touchlog.interaction (id, received_at, occurred_at, customer_id, source, channel,"
                f" direction, kind, txid) VALUES ('{late}', now(), now(), 0, 'late', 'web', 'in', 'visit',"
                " pg_current_xact_id()::text::bigint)") as p:
            early = [logged(people.post("shop", event(n))) for n in (21, 22)]
            assert len(t.lines(1)) == 1, "what is not final is not shown"
            p.stdin.write("COMMIT;\n")
            p.stdin.flush()
            t.lines(4)
        logged(people.post("shop", event(23)))
        t.lines(5)
        rows = [json.loads(line) for line in t.end()]
    assert [r["id"] for r in rows[1:4]] == [late, *early] and [r["external_id"] for r in rows[4:]] == ["e23"]


def test_tail_reads_more_than_a_page_at_once(people):
    with tailing(people, "-n", "1", "--json") as t:
        t.lines(1)
        a = people.post_lines("shop", [{"channel": "web", "external_id": f"m{n}"} for n in range(3000)])
        assert a.json()["logged"] == 3000
        t.lines(3001)
        got = [json.loads(line)["external_id"] for line in t.end()[1:]]
    assert sorted(got) == sorted(f"m{n}" for n in range(3000))


# ---- parked ----

@pytest.fixture
def parked(daemon):
    """A daemon whose map fits two of three events."""
    d = daemon(sources={"shop": {**MAPPED, "require": ["external_id", "email"]}, "other": MAPPED})
    d.ids = [d.post("shop", body).json()["id"] for body in
             ({"id": "a", "what": "no mail"}, {"id": "b", "what": "none either", "address": "b@example.com"})]
    d.ids.append(d.post("other", {"mail": "c@example.com", "what": "no id"}).json()["id"])
    return d


def test_parked_list_shows_latest_last_and_is_filtered(parked):
    def ids(*args):
        by_table = [row[0] for row in table(good(parked.touchlog("parked", "list", *args)))]
        assert [p["id"] for p in document(parked.touchlog("parked", "list", "--json", *args))] == by_table
        return by_table
    a, b, c = parked.ids
    assert ids() == [a, b, c] and ids("-n", "2") == [b, c]
    assert ids("--source", "shop") == [a, b] and ids("--source", "none") == []
    assert ids("--reason", "EMAIL") == [a, b] and ids("--reason", "external_id") == [c]
    good(parked.touchlog("parked", "drop", b))
    assert ids() == [a, c] and ids("--state", "dropped") == [b] and ids("--state", "all") == [a, b, c]
    assert ids("--state", "retried") == []


def test_parked_show_tells_all_and_the_bytes(parked):
    a = parked.ids[0]
    text = good(parked.touchlog("parked", "show", a))
    assert f"id           {a}\n" in text and "state        open\n" in text and "email" in text
    assert text.endswith('\n{"id": "a", "what": "no mail"}\n')
    shown = document(parked.touchlog("parked", "show", a, "--json"))
    assert json.loads(shown["raw"]) == {"id": "a", "what": "no mail"} and shown["attempts"] == 1
    assert shown["source"] == "shop" and shown["bytes"] == len(shown["raw"])
    raw = parked.touchlog("parked", "show", a, "--raw", text=False)
    assert (raw.returncode, raw.stdout) == (0, b'{"id": "a", "what": "no mail"}')


def test_bytes_that_are_no_text_are_dumped_and_given_as_base64(parked, database):
    i = str(uuid.uuid4())
    database.run(f"SELECT touchlog.park(ARRAY['{i}'::uuid], ARRAY[gen_random_uuid()], '{{shop}}',"
                 r" ARRAY['\x00ff1b5b324a'::bytea || repeat('A', 20)::bytea], '{NULL}', '{odd}', '{NULL}')")
    text = good(parked.touchlog("parked", "show", i))
    assert "00000000  00 ff 1b 5b 32 4a 41 " in text and "  ...[2JAAAAAAAAAA\n" in text, text
    assert "00000010  41 41 41 41 41 41 41 41 41 41 " in text
    assert document(parked.touchlog("parked", "show", i, "--json"))["raw_base64"] == "AP8bWzJKQUFBQUFBQUFBQUFBQUFBQUFBQUE="
    assert parked.touchlog("parked", "show", i, "--raw", text=False).stdout == b"\x00\xff\x1b[2J" + b"A" * 20


def test_text_with_an_escape_in_it_is_shown_harmlessly(parked, database):
    i = str(uuid.uuid4())
    database.run(f"SELECT touchlog.park(ARRAY['{i}'::uuid], ARRAY[gen_random_uuid()], '{{shop}}',"
                 f" ARRAY[convert_to(E'one\\ntwo\\u202ethree', 'UTF8')], '{{NULL}}', ARRAY[E'\\x1b[31m'], '{{NULL}}')")
    text = good(parked.touchlog("parked", "show", i))
    assert text.endswith("\none\ntwo\\u{202e}three\n") and "\x1b" not in text and r"\x1b[31m" in text


def test_drop_settles_and_what_is_not_there_ends_with_4(parked):
    a = parked.ids[0]
    assert good(parked.touchlog("parked", "drop", a)) == f"{a}: dropped\n"
    assert document(parked.touchlog("parked", "drop", a, "--json")) == {"id": a, "state": "dropped"}
    for verb in ("drop", "show", "retry"):
        done = parked.touchlog("parked", verb, NOBODY)
        assert done.returncode == 4 and "nothing is parked as" in done.stderr, done


def mend(d, **shop):
    """A configuration with which what was parked fits; used by the command line and the daemon."""
    d.given = {"sources": {"shop": {**MAPPED, "map": {**MAPPED["map"], "email": ["/mail", "/address"]}, **shop},
                           "other": {**MAPPED, "require": []}}}


def test_retry_logs_under_the_parked_id_by_the_configuration_as_it_is_now(parked, database):
    a, b, _ = parked.ids
    done = parked.touchlog("parked", "retry", b)
    assert done.returncode == 1 and done.stdout.startswith(f"{b}: still parked: ") and "email" in done.stdout, done
    mend(parked)
    assert good(parked.touchlog("parked", "retry", b)) == f"{b}: logged\n"
    (row,) = database.rows("SELECT id, source, external_id, subject, customer_id > 0 AS is_somebody"
                           " FROM touchlog.interaction")
    assert row == {"id": b, "source": "shop", "external_id": "b", "subject": "none either", "is_somebody": True}
    assert database.one(f"SELECT state FROM touchlog.parked WHERE id = '{b}'") == "retried"
    assert database.one(f"SELECT state FROM touchlog.parked WHERE id = '{a}'") == "open"
    assert good(parked.touchlog("parked", "retry", b)) == f"{b}: logged\n"
    assert database.one("SELECT count(*) FROM touchlog.interaction") == 1
    done = parked.touchlog("parked", "drop", b)
    assert done.returncode == 1 and "stands in the log" in done.stderr, done


def test_retry_tells_a_duplicate_and_settles_it(parked, database):
    a, _, _ = parked.ids
    mend(parked)
    parked.reload(parked.given)
    first = logged(parked.post("shop", {"id": "a", "mail": "a@example.com", "what": "sent again"}))
    assert good(parked.touchlog("parked", "retry", a)) == f"{a}: duplicate of {first}\n"
    assert database.one(f"SELECT state FROM touchlog.parked WHERE id = '{a}'") == "retried"
    assert database.one("SELECT count(*) FROM touchlog.interaction") == 1


def test_retry_takes_a_source_or_all_and_goes_on_after_one_that_fails(parked, database):
    a, b, c = parked.ids
    mend(parked, require=["external_id", "email"])
    done = parked.touchlog("parked", "retry", "--source", "shop")
    assert done.returncode == 1 and re.fullmatch(f"{a}: still parked: .*email.*\n{b}: logged\n", done.stdout), done
    done = parked.touchlog("parked", "retry", "--all", "--json")
    fates = json.loads(done.stdout)
    assert done.returncode == 1 and [(f["id"], f["fate"]) for f in fates] == [(a, "parked"), (c, "logged")]
    assert "email" in fates[0]["reason"] and "reason" not in fates[1]
    mend(parked)
    assert good(parked.touchlog("parked", "retry", "--all")) == f"{a}: logged\n"
    assert good(parked.touchlog("parked", "retry", "--all")) == "nothing is parked\n"
    assert document(parked.touchlog("parked", "retry", "--all", "--json")) == []
    assert database.one("SELECT count(*) FROM touchlog.interaction") == 3


def test_retry_of_what_postgresql_still_refuses_tells_its_reason(daemon, database):
    d = daemon(sources={"shop": OPEN})
    body = event(1, thread="t", attributes={"deep": "x"})
    database.run("ALTER TABLE touchlog.interaction ADD CHECK (kind <> 'visit')")
    i = d.post("shop", body).json()["id"]
    done = d.touchlog("parked", "retry", i)
    assert done.returncode == 1 and re.fullmatch(f"{i}: still parked: .*check constraint.*\n", done.stdout), done
    assert database.one("SELECT attempts FROM touchlog.parked") == 2
    database.run("ALTER TABLE touchlog.interaction DROP CONSTRAINT interaction_kind_check")
    assert good(d.touchlog("parked", "retry", i)) == f"{i}: logged\n"
    assert d.touchlog("trace", "shop", "e1").stdout.startswith(f"logged as {i}")


def test_retry_of_what_is_refused_under_another_key_by_now_stays_the_same_parked_event(daemon, database):
    wrong = {**MAPPED, "map": {**MAPPED["map"], "external_id": "/wrong"}}
    d = daemon(sources={"shop": wrong})
    body = {"id": "a", "mail": "a@example.com"}
    i = d.post("shop", body).json()["id"]
    database.run("ALTER TABLE touchlog.interaction ADD CONSTRAINT no CHECK (kind <> 'purchase')")
    d.given = {"sources": {"shop": MAPPED}}
    done = d.touchlog("parked", "retry", i)
    assert done.returncode == 1 and re.fullmatch(f"{i}: still parked: .*check constraint.*\n", done.stdout), done
    assert done.stderr == "" and database.one("SELECT attempts FROM touchlog.parked") == 2
    database.run("ALTER TABLE touchlog.interaction DROP CONSTRAINT no")
    assert good(d.touchlog("parked", "retry", i)) == f"{i}: logged\n"
    assert d.reload(d.given) and d.post("shop", body).json() == {"id": i, "status": "duplicate"}


def test_retry_finds_a_renamed_source_and_says_when_one_is_gone(parked, database):
    a, b, c = parked.ids
    mend(parked)
    shop = parked.given["sources"].pop("shop")
    done = parked.touchlog("parked", "retry", "--all")
    assert done.returncode == 1 and done.stdout.count("its source shop is not in the configuration") == 2, done
    assert f"{c}: logged\n" in done.stdout
    parked.given["sources"]["market"] = {**shop, "was": "shop"}
    assert good(parked.touchlog("parked", "retry", "--source", "market")) == f"{a}: logged\n{b}: logged\n"
    assert database.one("SELECT count(*) FROM touchlog.interaction WHERE source = 'market'") == 2
    assert b in good(parked.touchlog("trace", "market", "b"))


def test_retry_of_many_goes_page_by_page_and_ends_although_more_is_parked_meanwhile(parked, database):
    lines = [{"id": f"m{n}", "what": "none", "address": f"m{n % 7}@example.com"} for n in range(350)]
    assert parked.post_lines("shop", lines).json()["parked"] == 350
    mend(parked)
    out = good(parked.touchlog("parked", "retry", "--all"))
    assert out.count(": logged\n") == 353 == out.count("\n")
    assert database.one("SELECT count(*) FROM touchlog.interaction") == 353
    assert database.one("SELECT count(*) FROM touchlog.parked WHERE state = 'open'") == 0


def test_retry_does_not_hear_of_the_daemon(parked):
    mend(parked)
    parked.stop()
    assert good(parked.touchlog("parked", "retry", parked.ids[0])) == f"{parked.ids[0]}: logged\n"


# ---- customer ----

def own(database, value):
    return database.one(f"SELECT customer_id FROM touchlog.identity WHERE value = '{value}'")


def test_merge_and_split_join_and_part_two_time_lines(people, database):
    jo, al = own(database, "jo@example.com"), own(database, "al@example.com")
    root = min(people.customers["jo@example.com"], al)
    out = good(people.touchlog("customer", "merge", str(jo), str(al), "--why", "the same person"))
    assert out == f"merged: {jo} is now of customer {root}\nmerged: {al} is now of customer {root}\n"
    assert len(document(people.touchlog("show", "al@example.com", "--json"))["timeline"]) == 3
    assert database.one("SELECT count(*) FROM touchlog.customer_change WHERE why = 'the same person'") == 2
    done = people.touchlog("customer", "merge", str(jo), str(al))
    assert done.returncode == 1 and "are one already" in done.stderr, done
    parts = document(people.touchlog("customer", "split", str(al), str(jo), "--json"))
    assert parts == [{"id": al, "customer": al}, {"id": jo, "customer": people.customers["jo@example.com"]}]
    assert len(document(people.touchlog("show", "al@example.com", "--json"))["timeline"]) == 1


def test_who_is_not_there_or_not_joined_ends_with_4(people, database):
    al = own(database, "al@example.com")
    done = people.touchlog("customer", "merge", str(al), "999999")
    assert done.returncode == 4 and "there is no customer 999999" in done.stderr, done
    done = people.touchlog("customer", "split", str(al), str(own(database, "jo@example.com")))
    assert done.returncode == 4 and "not joined directly" in done.stderr and "customer identities" in done.stderr, done
    assert people.touchlog("customer", "identities", "999999").returncode == 4


def test_identities_tells_each_with_its_own_customer_and_the_edges_between_them(people, database):
    jo, phone = own(database, "jo@example.com"), own(database, "+31612345678")
    root = people.customers["jo@example.com"]
    for who in (str(root), "jo@example.com", f"customer:{phone}"):
        text = good(people.touchlog("customer", "identities", who))
        head, identities, edges = text.split("\n\n")
        assert head == f"Customer {root}"
        assert [str(phone), "phone", "+31612345678", "weak"] in [row[:4] for row in table(identities)]
        assert [str(jo), "email", "jo@example.com", "strong"] in [row[:4] for row in table(identities)]
        ((a, b, state, _, evidence),) = table(edges)
        assert {int(a), int(b)} == {jo, phone} and state == "joined" and people.ids["order"] in evidence
    shown = document(people.touchlog("customer", "identities", "jo@example.com", "--json"))
    assert shown["customer"] == root and len(shown["identities"]) == 3
    assert shown["edges"][0]["state"] == "joined" and shown["edges"][0]["evidence"] == {"interaction": people.ids["order"]}


# ---- source ----

@pytest.fixture
def busy(daemon):
    """A daemon that has logged, deduplicated, parked, rejected and refused."""
    d = daemon(sources={"shop": HMAC, "mapped": MAPPED, "idle": OPEN})
    body = json.dumps(event(1)).encode()
    for _ in range(2):
        assert d.post("shop", body, {"X-Signature": hmac_hex("s3cret", body)}).status == 200
    bad = json.dumps({"channel": "nonsense"}).encode()
    assert d.post("shop", bad, {"X-Signature": hmac_hex("s3cret", bad)}).status == 422
    d.refused = [d.post("shop", "x" * n, {"X-Signature": "00"}).headers["x-request-id"] for n in range(1, 26)]
    assert d.post("mapped", {"mail": "x"}).status == 202
    return d


def test_source_list_tells_what_was_counted(busy):
    rows = {row[0]: row[1:] for row in table(good(busy.touchlog("source", "list")))}
    assert rows["shop"][:10] == ["webhook", "-", "3", "1", "1", "0", "0", "1", "0", "25"] and rows["shop"][10].startswith("20")
    assert rows["mapped"][:10] == ["webhook", "-", "1", "0", "0", "0", "1", "0", "0", "0"]
    assert rows["idle"] == ["webhook", "-", "0", "0", "0", "0", "0", "0", "0", "0", "-"]
    listed = {s["name"]: s for s in document(busy.touchlog("source", "list", "--json"))}
    assert listed["shop"]["refused"] == 25 and "refusals" not in listed["shop"]
    assert listed["shop"]["last_success"].startswith("20") and listed["idle"]["last_success"] is None


def test_source_show_tells_the_last_20_refusals_newest_first(busy):
    text = good(busy.touchlog("source", "show", "shop"))
    head, refusals = text.split("\n\nRefused, newest first:\n")
    assert table(head)[0][0] == "shop"
    rows = table(refusals)
    assert [row[3] for row in rows] == busy.refused[:-21:-1] and [int(row[2]) for row in rows] == list(range(25, 5, -1))
    assert len({row[1] for row in rows}) == 1
    shown = document(busy.touchlog("source", "show", "shop", "--json"))
    assert [r["request"] for r in shown["refusals"]] == busy.refused[:-21:-1]
    assert all(r["at"].startswith("20") for r in shown["refusals"]) and shown["logged"] == 1
    assert "Nothing was refused." in good(busy.touchlog("source", "show", "idle"))


def test_a_source_that_is_not_there_ends_with_4(busy):
    for name, said in (("shpo", "did you mean shop?"), ("nothing-like-it", "there is no source"), ("a/b?c", "no source")):
        done = busy.touchlog("source", "show", name)
        assert done.returncode == 4 and said in done.stderr and done.stdout == "", done
    busy.given["sources"]["fresh"] = OPEN
    done = busy.touchlog("source", "show", "fresh")
    assert done.returncode == 4 and "has not loaded" in done.stderr, done


def test_without_the_daemon_the_list_is_the_configurations_and_show_fails(busy):
    busy.stop()
    done = busy.touchlog("source", "list")
    assert done.returncode == 0 and "the configuration says" in done.stderr and "Connection refused" in done.stderr, done
    assert [row[:3] for row in table(done.stdout)] == [[n, "webhook", "-"] for n in ("shop", "mapped", "idle")]
    done = busy.touchlog("source", "list", "--json")
    assert json.loads(done.stdout) == [{"name": n, "type": "webhook"} for n in ("shop", "mapped", "idle")]
    done = busy.touchlog("source", "show", "shop")
    assert done.returncode == 1 and "Connection refused" in done.stderr and done.stdout == "", done


@pytest.mark.parametrize("listener, said", [
    ({"address": "127.0.0.1:0", "serve": ["ops"]}, "no fixed port"),
    ({"address": "127.0.0.1:1", "serve": ["ingest"]}, "no listener serves ops"),
    ({"address": "[::1]:1", "serve": ["ops"]}, "the daemon at [::1]:1"),
    ({"address": "0.0.0.0:1", "serve": ["ops"]}, "Connection refused"),
], ids=["port 0", "no ops", "IPv6", "everywhere"])
def test_a_daemon_that_cannot_be_asked_is_said_with_why(database, tmp_path, listener, said):
    config = write_config(tmp_path, database, {"listeners": {"x": listener}, "sources": {"shop": OPEN}})
    done = touchlog(config, "source", "list")
    assert done.returncode == 0 and said in done.stderr, done
    assert touchlog(config, "source", "show", "shop").returncode == 1
