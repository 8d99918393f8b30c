# SPDX-License-Identifier: Apache-2.0
"""The ready-made rules of contrib/rules in the installed programs: read, judged by PostgreSQL, tried on a sample,
armed.  What each of them decides is in tests/sql/ready.py."""
import datetime, glob, json, os, subprocess

import yaml

import harness
from harness import until

RULES = os.path.join(harness.SOURCE, "contrib", "rules")
TEMPLATES = os.path.join(harness.SOURCE, "contrib", "templates")
FILES = sorted(glob.glob(os.path.join(RULES, "*.yaml")))


def settings(*files):
    """A configuration that includes these files as they are."""
    return {"sources": {"desk": {"type": "webhook", "verify": "none", "channel": "email"}},
            "smtp": {"url": "smtp://localhost:25", "from": "Care <care@example.com>"},
            "template_dir": TEMPLATES, "public_url": "https://log.example.com",
            "include": [os.path.join(RULES, f) for f in files]}


def check(database, directory, *files, args=()):
    """touchlogd -t: its exit code and what it says."""
    done = subprocess.run([harness.program("touchlogd"), "-t", *args, "-c",
                           harness.write_config(directory, database, settings(*files))],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert not harness.REPORT.search(done.stderr), done.stderr
    return done.returncode, done.stderr


def sample(name, until_event):
    """Its events up to this one, which happens now: as if they had been posted in their time."""
    with open(os.path.join(RULES, "samples", name + ".ndjson"), encoding="utf-8") as f:
        events = [json.loads(line) for line in f]
    events = events[:[e["external_id"] for e in events].index(until_event) + 1]
    when = [datetime.datetime.fromisoformat(e["occurred_at"].replace("Z", "+00:00")) for e in events]
    shift = datetime.datetime.now(datetime.timezone.utc) - when[-1]
    return [{**e, "occurred_at": (at + shift).isoformat()} for e, at in zip(events, when)]


def post(d, events):
    a = d.post_lines("desk", events)
    assert (a.status, a.json()["logged"]) == (200, len(events)), a


def test_each_file_can_be_included_alone_and_all_together(database, tmp_path):
    assert len(FILES) >= 14
    for path in FILES:
        assert check(database, tmp_path, path) == (0, ""), path
    assert check(database, tmp_path, "*.yaml") == (0, "")


def test_postgresql_takes_every_condition(database, tmp_path):
    code, said = check(database, tmp_path, "*.yaml", args=["--online"])
    assert code == 0, said


def test_every_condition_reaches_postgresql_as_it_is_written(daemon, database):
    d = daemon(settings())
    d.write(settings("*.yaml"))
    done = d.touchlog("rule", "apply")
    assert done.returncode == 0, done.stderr
    written = {}
    for path in FILES:
        with open(path, encoding="utf-8") as f:
            written.update(yaml.safe_load(f)["rules"])
    there = {row["name"]: row for row in database.rows("SELECT name, when_text, unless_text FROM touchlog.rule")}
    assert there.keys() == written.keys()
    for name, rule in written.items():
        assert (there[name]["when_text"], there[name]["unless_text"]) == (rule["when"], rule.get("unless")), name


def test_a_rule_is_tried_on_its_sample_before_it_is_armed(daemon, database):
    d = daemon(settings())
    post(d, sample("churn-risk", "anna-3"))
    d.write(settings("churn-risk.yaml"))
    done = d.touchlog("--json", "rule", "test", "churn-risk", "--since", "1d")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    # The others arrive long after they happened: they count, but nothing fires on them.
    assert said["counts"] == {"fired": 1, "too_old": 6}, said
    (fired,) = [e for e in said["examples"] if e["state"] == "fired"]
    assert d.row(fired["origin_id"])["external_id"] == "anna-3"
    assert database.one("SELECT count(*) FROM touchlog.firing") == 0
    assert database.one("SELECT count(*) FROM touchlog.rule_set") == 0


def test_a_complaint_becomes_a_task_in_opening_hours_and_the_third_a_risk(daemon, database):
    d = daemon(settings("complaint-fast-track.yaml", "churn-risk.yaml"))
    until(lambda: database.one("SELECT count(*) FROM touchlog.rule_set WHERE active") == 1, "the rules are active")
    post(d, sample("churn-risk", "anna-3"))
    until(lambda: database.one("SELECT count(*) FROM touchlog.task") == 2, "two tasks")
    done = d.touchlog("--json", "task", "list")
    assert done.returncode == 0, done.stderr
    assert "Nobody answers" in done.stdout and "the third complaint in 30 days" in done.stdout, done.stdout
    (task,) = database.rows("SELECT due, priority, assign FROM touchlog.task WHERE assign = 'care'")
    due = datetime.datetime.fromisoformat(task["due"])
    hours = database.one("SELECT touchlog.open_time_between('complaint-hours', now(), '%s')" % task["due"])
    assert task["priority"] == 1 and due > datetime.datetime.now(datetime.timezone.utc) and hours <= "04:00:00"
    until(lambda: database.rows("SELECT tags, priority FROM touchlog.customer WHERE 'churn-risk' = ANY(tags)")
          == [{"tags": ["churn-risk"], "priority": 1}], "the customer is marked")


def test_the_life_cycle_moves_on_by_itself(daemon, database):
    d = daemon(settings("lifecycle.yaml"))
    until(lambda: database.one("SELECT count(*) FROM touchlog.rule_set WHERE active") == 1, "the rules are active")

    def moves(event, stage):
        d.log_event("desk", {"email": "jo@example.com", **event})
        until(lambda: database.one("SELECT max(stage) FROM touchlog.customer") == stage, f"the stage is {stage}")

    moves({"external_id": "1", "kind": "visit", "channel": "web"}, "reach")
    moves({"external_id": "2", "kind": "message"}, "acquisition")
    moves({"external_id": "3", "kind": "purchase", "channel": "web"}, "conversion")
    moves({"external_id": "4", "kind": "purchase", "channel": "web"}, "retention")
    moves({"external_id": "5", "kind": "referral", "channel": "web"}, "loyalty")
    for n in (6, 7):
        d.log_event("desk", {"external_id": str(n), "kind": "complaint", "email": "jo@example.com"})
    moves({"external_id": "8", "kind": "complaint"}, "at_risk")
    moves({"external_id": "9", "kind": "unsubscribe"}, "lost")
    fired = database.rows("SELECT rule, count(*) AS n FROM touchlog.firing WHERE state = 'fired' GROUP BY 1 ORDER BY 1")
    assert {row["rule"]: row["n"] for row in fired} == {f"lifecycle-{name}": 1 for name in (
        "reach", "acquisition", "conversion", "retention", "advocate", "complaints", "lost-said")}
    changes = database.rows("SELECT what->'stage'->>'to' AS stage FROM touchlog.customer_change ORDER BY id")
    assert [c["stage"] for c in changes] == ["reach", "acquisition", "conversion", "retention", "loyalty", "at_risk", "lost"]
