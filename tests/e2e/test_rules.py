# SPDX-License-Identifier: Apache-2.0
"""Rules on their way from the configuration into the database, and `touchlog rule`."""
import json, os, pty, subprocess, time

import pytest

import harness
from harness import REPORT, until

SOURCES = {"web": {"type": "webhook", "verify": "none", "channel": "web"}}
ACTIONS = {"bell": {"type": "notify"}, "book": {"type": "notify"}}
COMPLAINT = {"when": "kind = 'complaint'", "do": ["bell"]}
WIN_BACK = {"when": "kind = 'purchase'", "wait": "60d", "unless": "kind = 'purchase'", "wait_from": "last", "do": ["bell"]}
ACTIVE = "FROM touchlog.rule r JOIN touchlog.rule_set s ON s.version = r.rule_set WHERE s.active"


def settings(rules, **more):
    return {"sources": SOURCES, "actions": ACTIONS, "rules": rules, **more}


def yaml(database, rules):
    """The same as text, for what depends on how it is written."""
    return (f"database: {{ conninfo: \"{database.conninfo()}\" }}\n"
            "listeners:\n  public: { address: \"127.0.0.1:0\", serve: [ingest] }\n"
            "  ops: { address: \"127.0.0.1:0\", serve: [ops] }\n"
            "sources: { web: { type: webhook, verify: none, channel: web } }\n"
            "actions: { bell: { type: notify } }\n" + rules)


def place(path, text):
    """file:line:col of where that text begins."""
    with open(path, encoding="utf-8") as f:
        before = f.read().split(text)[0]
    return f"{path}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def active(database):
    """The names of the active rules."""
    return sorted(r["name"] for r in database.rows(f"SELECT r.name {ACTIVE}"))


def wait_active(database, *names):
    until(lambda: active(database) == sorted(names), f"the active rules are {names}")


def firings(database):
    return database.rows("SELECT rule, state, subject, origin_id, cause_id, error FROM touchlog.firing ORDER BY id")


def done(database, n):
    """The actions that were done, when there are so many receipts."""
    until(lambda: database.one("SELECT count(*) FROM touchlog.delivery") >= n, f"{n} receipts")
    return [r["action"] for r in database.rows("SELECT action FROM touchlog.delivery ORDER BY outbox_id")]


def check(config, *args):
    """touchlogd -t."""
    done = subprocess.run([harness.program("touchlogd"), "-t", "-c", config, *args], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    assert not REPORT.search(done.stderr), done.stderr
    return done


# ---- the daemon ----

def test_a_posted_event_fires_a_rule_of_the_file(daemon, database):
    d = daemon(settings({"complaint": COMPLAINT}))
    wait_active(database, "complaint")
    d.log_event("web", {"external_id": "1", "kind": "message", "email": "jo@example.com"})
    row = d.log_event("web", {"external_id": "2", "kind": "complaint", "email": "jo@example.com"})
    assert firings(database) == [{"rule": "complaint", "state": "fired", "subject": str(row["customer_id"]),
                                  "origin_id": row["id"], "cause_id": None, "error": None}]
    assert done(database, 1) == ["bell"]
    m = d.metrics()
    assert m['touchlog_rules_active{mode="live"}'] == 1 and m["touchlog_rules_last_load_successful"] == 1
    assert m["touchlog_rules_differ"] == 0 and d.get("/readyz").json()["degraded"] == []


def test_a_reload_installs_the_files_set(daemon, database):
    d = daemon(settings({"complaint": COMPLAINT, "win-back": WIN_BACK}))
    wait_active(database, "complaint", "win-back")
    d.log_event("web", {"external_id": "1", "kind": "purchase", "email": "jo@example.com"})
    assert database.one("SELECT count(*) FROM touchlog.timer") == 1
    since = database.one(f"SELECT r.since::text {ACTIVE} AND r.name = 'complaint'")
    assert d.reload(settings({"complaint": {**COMPLAINT, "mode": "shadow"}, "praise": {**COMPLAINT, "when": "score > 8"}}))
    wait_active(database, "complaint", "praise")
    d.log_event("web", {"external_id": "2", "kind": "complaint", "score": 9, "email": "jo@example.com"})
    assert {(f["rule"], f["state"], f["error"]) for f in firings(database)} == {
        ("win-back", "cancelled", "removed"), ("complaint", "shadowed", None), ("praise", "fired", None)}
    assert since == database.one(f"SELECT r.since::text {ACTIVE} AND r.name = 'complaint'")
    until(lambda: d.metrics()['touchlog_rules_active{mode="shadow"}'] == 1, "the shadow rule is counted")


def test_a_reload_with_no_rules_ends_them_and_a_file_without_any_installs_none(daemon, database):
    d = daemon(sources=SOURCES)
    until(lambda: d.metrics().get('touchlog_database_connected{role="rules"}') == 1, "the rules' connection")
    assert d.reload(settings({"complaint": COMPLAINT}))
    wait_active(database, "complaint")
    assert database.one("SELECT count(*) FROM touchlog.rule_set") == 1
    assert d.reload({"sources": SOURCES, "rules": {}})
    wait_active(database)


def test_a_bad_predicate_keeps_the_old_set_and_is_told_where_it_stands(daemon, database):
    d = daemon(yaml(database, "rules: { complaint: { when: \"kind = 'complaint'\", do: bell } }\n"))
    d.errors_expected = {"rule_refused", "rules_refused"}
    wait_active(database, "complaint")
    assert d.reload(yaml(database, "rules:\n  complaint: { when: \"kind = 'complaint' and scor > 3\", do: bell }\n"
                                   "  fine: { when: \"score > 3\", do: bell }\n"
                                   "  late:\n    when: |\n      kind = 'purchase'\n        and customer.nam = 'x'\n    do: bell\n"
                                   "  wide: { when: \"now() > occurred_at\", do: bell }\n"
                                   "  slow: { when: \"score > 3\", wait: \"score * 2\", do: bell }\n"))
    until(lambda: d.logged("rules_refused"), "the refusal")
    told = {(f["rule"], f["key"]): f for f in d.logged("rule_refused")}
    assert told.keys() == {("complaint", "when"), ("late", "when"), ("wide", "when"), ("slow", "wait")}
    assert told["complaint", "when"]["place"] == place(d.config, "scor >")
    assert "scor" in told["complaint", "when"]["error"] and "touchlog_check" not in told["complaint", "when"]["error"]
    assert told["late", "when"]["place"] == place(d.config, "customer.nam")
    assert "customer.nam" in told["late", "when"]["error"]
    assert told["wide", "when"]["place"] == place(d.config, "when: \"now()") and "immutable" in told["wide", "when"]["error"]
    assert active(database) == ["complaint"]
    until(lambda: d.metrics()["touchlog_rules_differ"] == 1, "the sets differ")
    assert d.metrics()["touchlog_rules_last_load_successful"] == 0
    ready = d.get("/readyz")
    assert ready.status == 200 and [(x["part"], "scor" in x["why"]) for x in ready.json()["degraded"]] == [("rules", True)]
    d.log_event("web", {"external_id": "1", "kind": "complaint", "email": "jo@example.com"})
    assert [f["rule"] for f in firings(database)] == ["complaint"]
    assert d.reload(yaml(database, "rules: { fine: { when: \"score > 3\", do: bell } }\n"))
    wait_active(database, "fine")
    until(lambda: d.metrics()["touchlog_rules_differ"] == 0, "the sets agree")
    assert d.metrics()["touchlog_rules_last_load_successful"] == 1 and d.get("/readyz").json()["degraded"] == []


def test_two_daemons_with_different_files_do_not_fight_and_say_so(daemon, database):
    a = daemon(settings({"complaint": COMPLAINT}))
    wait_active(database, "complaint")
    b = daemon(settings({"praise": COMPLAINT}))
    wait_active(database, "praise")
    until(lambda: a.metrics()["touchlog_rules_differ"] == 1, "the first says that its file differs")
    assert b.metrics()["touchlog_rules_differ"] == 0 and active(database) == ["praise"]
    (degraded,) = a.get("/readyz").json()["degraded"]
    assert degraded["part"] == "rules" and "touchlog rule apply" in degraded["why"]
    assert a.get("/readyz").status == 200 and a.logged("rules_differ")
    assert a.touchlog("rule", "apply").returncode == 0
    until(lambda: b.metrics()["touchlog_rules_differ"] == 1, "now the second says it")
    until(lambda: a.metrics()["touchlog_rules_differ"] == 0 and a.logged("rules_agree"), "the first agrees")
    assert active(database) == ["complaint"]
    assert database.one("SELECT count(*) FROM touchlog.rule_set") == 3


def test_a_daemon_whose_file_does_not_speak_of_rules_leaves_the_active_set_alone(daemon, database):
    a = daemon(settings({"complaint": COMPLAINT}))
    wait_active(database, "complaint")
    b = daemon(sources=SOURCES)
    until(lambda: b.metrics().get('touchlog_rules_active{mode="live"}') == 1, "it has looked at the active set")
    assert b.metrics()["touchlog_rules_differ"] == 0 and active(database) == ["complaint"]
    b.log_event("web", {"external_id": "1", "kind": "complaint", "email": "jo@example.com"})
    assert [f["rule"] for f in firings(database)] == ["complaint"]
    apply = b.touchlog("rule", "apply")
    assert apply.returncode == 3 and "rules: {}" in apply.stderr
    assert a.reload(yaml(database, "rules: {}\n"))
    wait_active(database)


def test_a_daemon_that_reconnects_installs_nothing(daemon, database):
    a = daemon(settings({"complaint": COMPLAINT}))
    wait_active(database, "complaint")
    until(lambda: a.metrics()['touchlog_rules_active{mode="live"}'] == 1, "it saw its own set")
    daemon(settings({"praise": COMPLAINT}))
    wait_active(database, "praise")
    database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'touchlogd rules'")
    until(lambda: a.metrics()["touchlog_rules_differ"] == 1, "it is connected again, and says that its file differs")
    assert active(database) == ["praise"]


def test_the_database_is_away_at_the_start_and_the_rules_come_when_it_is_back(tmp_path):
    with harness.migrated_cluster(tmp_path) as cluster:
        database = cluster.fresh()
        cluster.stop()
        spool = tmp_path / "spool"
        spool.mkdir()
        with harness.Daemon(database, {**settings({"complaint": COMPLAINT}), "spool": {"path": str(spool / "s.db")},
                                       "spool_after": "50ms"}, tmp_path, ready=False) as d:
            until(lambda: d.metrics()["touchlog_spool_takes"] == 1, "the spool is open")
            assert d.post("web", {"external_id": "1", "kind": "complaint", "email": "jo@example.com"}).status == 202
            cluster.start()
            wait_active(database, "complaint")
            d.wait_drained()
            d.log_event("web", {"external_id": "2", "kind": "complaint", "email": "jo@example.com"})
            assert "complaint" in {f["rule"] for f in firings(database)}


# ---- touchlogd -t ----

def test_online_check_prints_every_error_where_it_stands(database, tmp_path):
    config = tmp_path / "touchlog.yaml"
    config.write_text(yaml(database, "rules:\n  a: { when: 'kind = ''x'' and é = 3', do: bell }\n"
                                     "  b:\n    when: kind = 'x'\n      and score > 'high'\n    do: bell\n"
                                     "  c:\n    when: >-\n      kind = 'x'\n      and\n      lower(kind, 2) = 'x'\n    do: bell\n"
                                     "  d: { when: \"kind = \\\"x\\\"\", do: bell }\n"
                                     "  e: { when: \"score > (SELECT 1)\", do: bell }\n"
                                     "  f: { when: \"score\", do: bell }\n"
                                     "  g: { when: \"score > 1\", wait: \"interval '2 dais'\", do: bell }\n"))
    assert check(str(config)).returncode == 0
    done = check(str(config), "--online")
    assert done.returncode == 3 and done.stdout == ""
    lines = done.stderr.splitlines()
    wanted = [(place(config, "é = 3"), "a.when"), (place(config, "'high'"), "b.when"), (place(config, "lower(kind"), "c.when"),
              (place(config, "\\\"x\\\""), "d.when"), (place(config, "(SELECT"), "e.when"), (place(config, "when: \"score\""), "f.when"),
              (place(config, "'2 dais"), "g.wait")]
    assert len(lines) == len(wanted), lines
    for line, (where, key) in zip(lines, wanted):
        assert line.startswith(f"{where}: rules.{key}: "), (line, where)
    assert database.one("SELECT count(*) FROM touchlog.rule_set") == 0


def test_online_check_tells_a_good_file_from_a_database_that_is_away(database, tmp_path):
    config = harness.write_config(tmp_path, database, settings({"complaint": COMPLAINT}))
    done = check(config, "--online")
    assert done.returncode == 0 and "1 rules" in done.stdout, done.stderr
    config = harness.write_config(tmp_path, database, {**settings({}), "database": {"conninfo": "host=/nonexistent"}})
    done = check(config, "--online")
    assert done.returncode == 5 and "database: " in done.stderr
    assert subprocess.run([harness.program("touchlogd"), "--online"], capture_output=True).returncode == 2


def test_rules_may_stand_in_included_files(daemon, database, tmp_path):
    config = tmp_path / "touchlog.yaml"
    (tmp_path / "rules").mkdir()
    for name in ("a", "b"):
        (tmp_path / "rules" / f"{name}.yaml").write_text(f"rules:\n  {name}: {{ when: \"kind = '{name}'\", do: bell }}\n")
    config.write_text("include: rules/*.yaml\n" + yaml(database, "rules: { c: { when: \"kind = 'c'\", do: bell } }\n"))
    assert harness.touchlog(str(config), "rule", "apply").returncode == 0
    assert active(database) == ["a", "b", "c"]
    (tmp_path / "rules" / "b.yaml").write_text("rules:\n  b: { when: \"knd = 'b'\", do: bell }\n")
    done = harness.touchlog(str(config), "rule", "apply")
    assert done.returncode == 3 and done.stderr.startswith(place(tmp_path / "rules" / "b.yaml", "knd") + ": rules.b.when: ")


# ---- touchlog rule ----

@pytest.fixture
def cli(database, tmp_path):
    """cli(rules, "list", ...) runs `touchlog rule` with a configuration of these rules."""
    def run(rules, *args, **more):
        return harness.touchlog(harness.write_config(tmp_path, database, settings(rules, **more)), "rule", *args)
    return run


def changes(done):
    assert done.returncode == 0, done.stderr
    return {(c["what"], c["name"]): c["change"] for c in json.loads(done.stdout)}


SHOP = {"zone": "Europe/Amsterdam", "hours": {"mon-fri": "09:00-17:00"}, "holidays": ["2026-12-25"]}


def test_apply_installs_the_set_and_says_what_changed(cli, database):
    rules = {"a": COMPLAINT, "b": WIN_BACK, "c": COMPLAINT}
    done = cli(rules, "apply", calendars={"shop": SHOP})
    assert done.returncode == 0 and [line.split() for line in done.stdout.splitlines()] == [
        ["CHANGE", "WHAT", "NAME"], ["added", "rule", "a"], ["added", "rule", "b"], ["added", "rule", "c"],
        ["added", "calendar", "shop"]]
    rules = {"a": COMPLAINT, "b": {**WIN_BACK, "wait": "90d"}, "d": {**COMPLAINT, "calendar": "shop"}}
    later = {"shop": {**SHOP, "hours": {"mon-fri": "09:00-18:00"}}}
    assert changes(cli(rules, "apply", "--json", calendars=later)) == {
        ("rule", "a"): "unchanged", ("rule", "b"): "changed", ("rule", "c"): "removed", ("rule", "d"): "added",
        ("calendar", "shop"): "changed"}
    assert set(changes(cli(rules, "apply", "--json", calendars=later)).values()) == {"unchanged"}
    assert database.one("SELECT count(*) FROM touchlog.rule_set") == 2


def test_apply_of_a_bad_predicate_changes_nothing_and_ends_with_3(cli, database, tmp_path):
    assert cli({"a": COMPLAINT}, "apply").returncode == 0
    done = cli({"a": {"when": "knd = 'x'", "do": ["bell"]}, "b": {"when": "1 = 1 +", "do": ["bell"]}}, "apply")
    config = tmp_path / "touchlog.yaml"
    assert done.returncode == 3 and done.stdout == ""
    one, two = done.stderr.splitlines()
    assert one.startswith(f"{place(config, 'knd')}: rules.a.when: column \"knd\" does not exist")
    assert two.startswith(f"{config}:") and ": rules.b.when: syntax error" in two
    assert database.one(f"SELECT r.when_text {ACTIVE}") == COMPLAINT["when"]
    assert cli({"a": {"when": "(", "do": ["bell"]}}, "apply").returncode == 3
    assert cli({"a": COMPLAINT}, "apply", database={"conninfo": "host=/nonexistent"}).returncode == 5


def test_list_shows_what_rules_did(cli, daemon, database):
    assert cli({}, "list").returncode == 0 and json.loads(cli({}, "list", "--json").stdout) == []
    d = daemon(settings({"complaint": COMPLAINT, "win-back": WIN_BACK, "quiet": {**COMPLAINT, "mode": "off"}}))
    wait_active(database, "complaint", "quiet", "win-back")
    for n in range(3):
        d.log_event("web", {"external_id": f"c{n}", "kind": "complaint", "email": "jo@example.com"})
    d.log_event("web", {"external_id": "old", "kind": "complaint", "email": "jo@example.com", "occurred_at": "2026-01-01T00:00:00Z"})
    d.log_event("web", {"external_id": "p", "kind": "purchase", "email": "jo@example.com"})
    rules = {r["name"]: r for r in json.loads(d.touchlog("rule", "list", "--json").stdout)}
    assert rules["complaint"]["last_7_days"] == {"fired": 3, "too_old": 1} and rules["complaint"]["do"] == ["bell"]
    assert rules["complaint"]["last_fired_at"] and rules["win-back"]["last_fired_at"] is None
    assert rules["win-back"]["waiting"] == 1 and rules["quiet"]["mode"] == "off" and rules["quiet"]["when"] == COMPLAINT["when"]
    done = d.touchlog("rule", "list")
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("complaint")]
    assert "3 fired, 1 too_old" in line and line.endswith(COMPLAINT["when"])


def test_firings_are_listed_and_what_was_too_old_fires_after_all(daemon, database):
    d = daemon(settings({"complaint": COMPLAINT}))
    wait_active(database, "complaint")
    old = [d.log_event("web", {"external_id": f"old{n}", "kind": "complaint", "email": "jo@example.com",
                               "occurred_at": f"2026-01-0{n + 1}T00:00:00Z", "customer": {"name": "Jo"}}) for n in range(2)]
    d.log_event("web", {"external_id": "new", "kind": "complaint", "email": "al@example.com"})
    listed = json.loads(d.touchlog("rule", "firings", "--json").stdout)
    assert [(f["rule"], f["state"]) for f in listed] == [("complaint", "too_old")] * 2 + [("complaint", "fired")]
    assert listed[0]["origin_id"] == old[0]["id"] and listed[0]["customer"] == "Jo"
    latest = d.touchlog("rule", "firings", "complaint", "--state", "too_old", "-n", "1")
    assert latest.returncode == 0 and old[1]["id"] in latest.stdout and old[0]["id"] not in latest.stdout
    assert json.loads(d.touchlog("rule", "firings", "--json", "--since", "2099-01-01").stdout) == []
    assert done(database, 1) == ["bell"]
    fire = d.touchlog("rule", "firings", "complaint", "--state", "too_old", "--fire", "--json")
    assert fire.returncode == 0 and json.loads(fire.stdout) == {"fired": 2}
    assert [f["state"] for f in firings(database)] == ["fired"] * 3
    assert done(database, 3) == ["bell"] * 3
    assert json.loads(d.touchlog("rule", "firings", "--state", "too_old", "--fire", "--json").stdout) == {"fired": 0}
    for args, code in ((["--fire"], 2), (["--state", "fired", "--fire"], 2), (["--state", "tired"], 2), (["complain"], 4)):
        refused = d.touchlog("rule", "firings", *args)
        assert refused.returncode == code, (args, refused.stderr)
    assert "did you mean complaint?" in refused.stderr


def test_test_tells_what_the_files_rule_would_have_done_and_does_nothing(daemon, database):
    d = daemon(settings({"complaint": COMPLAINT}))
    wait_active(database, "complaint")
    events = [d.log_event("web", {"external_id": f"c{n}", "kind": "complaint", "score": n, "email": f"c{n % 2}@example.com",
                                  "customer": {"name": f"Jo {n % 2}"}}) for n in range(4)]
    d.log_event("web", {"external_id": "m", "kind": "message", "email": "c0@example.com"})
    what_is = ("SELECT count(*), max(version) FROM touchlog.rule_set", "SELECT count(*) FROM touchlog.firing",
               "SELECT count(*) FROM touchlog.delivery", "SELECT count(*) FROM touchlog.timer")
    done(database, 4)
    before = database.run(*what_is)
    # Another rule of that name than the active one, beside one that PostgreSQL would refuse.
    d.write({**settings({"complaint": {**COMPLAINT, "when": "kind = 'complaint' and score > 0", "cooldown": "1d"},
                         "later": {**WIN_BACK, "when": "kind = 'complaint'", "unless": "kind = 'message'", "wait": "1ms"},
                         "known": {**COMPLAINT, "when": "kind = 'complaint' and customer.name = 'Jo 1'"},
                         "broken": {**COMPLAINT, "when": "knd = 'x'"}})})
    told = json.loads(d.touchlog("rule", "test", "complaint", "--since", "1h", "--json").stdout)
    assert told["counts"] == {"fired": 2, "cooldown": 1} and told["exact"] is True and told["why_approximate"] == []
    assert [(e["state"], e["customer"], e["origin_id"]) for e in told["examples"]] == [
        ("fired", "Jo 1", events[1]["id"]), ("fired", "Jo 0", events[2]["id"]), ("cooldown", "Jo 1", events[3]["id"])]
    shown = d.touchlog("rule", "test", "complaint", "-n", "1")
    lines = shown.stdout.splitlines()
    assert shown.returncode == 0 and lines[-1] == "exact"
    assert [x.split() for x in lines[:3]] == [["STATE", "TIMES"], ["fired", "2"], ["cooldown", "1"]]
    assert events[2]["id"] in shown.stdout and events[1]["id"] not in shown.stdout
    assert "fired" in json.loads(d.touchlog("rule", "test", "later", "--json").stdout)["counts"]
    told = json.loads(d.touchlog("rule", "test", "known", "--json").stdout)
    assert told["counts"] == {"fired": 2} and told["exact"] is False and told["why_approximate"]
    assert d.touchlog("rule", "test", "known").stdout.splitlines()[-1].startswith("approximate: ")
    assert json.loads(d.touchlog("rule", "test", "known", "--since", "2026-01-01", "--until", "2026-01-02", "--json").stdout)["counts"] == {}
    assert before == database.run(*what_is)
    for args, code in ((["broken"], 3), (["complain"], 4), ([], 2), (["known", "--since", "soon"], 2)):
        refused = d.touchlog("rule", "test", *args)
        assert refused.returncode == code and refused.stdout == "", (args, refused.stderr)


def test_arm_starts_waits_of_those_who_were_there_and_asks_first(daemon, database):
    d = daemon(sources=SOURCES)
    ids = {name: d.log_event("web", {"external_id": name, "kind": "purchase", "email": f"{name}@example.com",
                                     "occurred_at": time.time() - hours * 3600})["id"]
           for name, hours in (("late", 13), ("fresh", 1))}
    assert d.reload(settings({"again": {**WIN_BACK, "wait": "12h"}, "now": COMPLAINT}))
    wait_active(database, "again", "now")
    done = d.touchlog("rule", "arm", "again", "--since", "1y")
    assert done.returncode == 1 and "1 waits would start, 1 are overdue" in done.stdout and "--yes" in done.stderr
    assert ids["late"] in done.stdout and ids["fresh"] not in done.stdout
    assert database.one("SELECT count(*) FROM touchlog.timer") == 0
    assert answer_arm(d, b"n\n") == 1 and database.one("SELECT count(*) FROM touchlog.timer") == 0
    assert answer_arm(d, b"y\n") == 0 and database.one("SELECT origin_id FROM touchlog.timer") == ids["fresh"]
    done = d.touchlog("rule", "arm", "again", "--since", "1y", "--yes", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and (told["rule"], [o["origin_id"] for o in told["overdue"]]) == ("again", [ids["late"]])
    assert database.one("SELECT count(*) FROM touchlog.timer") == 1 and firings(database) == []
    for args, code in ((["again"], 2), (["agan", "--since", "1y"], 4), (["now", "--since", "1y", "--yes"], 1)):
        done = d.touchlog("rule", "arm", *args)
        assert done.returncode == code and done.stderr, (args, done.stderr)


def answer_arm(d, answer):
    """touchlog rule arm on a terminal, where somebody answers."""
    ours, theirs = pty.openpty()
    try:
        p = subprocess.Popen([harness.program("touchlog"), "-c", d.config, "rule", "arm", "again", "--since", "1y"],
                             stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.write(ours, answer)
        _, err = p.communicate(timeout=60)
        assert b"Arm these 1 waits?" in err and not REPORT.search(err.decode()), err
        return p.returncode
    finally:
        os.close(ours)
        os.close(theirs)


def test_explain_tells_why_a_rule_fired_and_why_not(daemon, database):
    d = daemon(settings({"complaint": {**COMPLAINT, "when": "kind = 'complaint' and score < 3"}}))
    wait_active(database, "complaint")
    event = {"kind": "complaint", "email": "jo@example.com"}
    bad, good = (d.log_event("web", {**event, "external_id": name, "score": score}) for name, score in (("bad", 1), ("good", 4)))
    steps = json.loads(d.touchlog("rule", "explain", "complaint", bad["id"], "--json").stdout)
    assert [s["verdict"] for s in steps if s["step"] == "when"] == ["yes", "yes"]
    assert [s["verdict"] for s in steps if s["step"] == "decision"] == ["fired"]
    done = d.touchlog("rule", "explain", "complaint", "web", "good", "--json")
    steps = json.loads(done.stdout)
    assert [s["verdict"] for s in steps if s["step"] == "when"] == ["yes", "no"]
    assert not [s for s in steps if s["step"] == "decision" and s["verdict"] == "fired"]
    assert steps == json.loads(d.touchlog("rule", "explain", "complaint", good["id"], "--json").stdout)
    done = d.touchlog("rule", "explain", "complaint", "web", "good")
    assert done.returncode == 0 and done.stdout.startswith("STEP") and "score < 3" in done.stdout
    for args, code in ((["complain", bad["id"]], 4), (["complaint", "0" * 8 + bad["id"][8:]], 4),
                       (["complaint", "web", "none"], 4), (["complaint", "web"], 2)):
        done = d.touchlog("rule", "explain", *args)
        assert done.returncode == code and done.stdout == "", (args, done.stderr)
