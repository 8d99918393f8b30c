# SPDX-License-Identifier: Apache-2.0
"""The ready-made rules of contrib/rules: each file is loaded as the daemon loads it, its sample is
played with a clock of its own, and what is decided is compared with samples/NAME.expect.

An event is received when it occurred, in a batch of its own; timers are decided the moment they
are due; what an action does to a customer's profile is done before the next event comes.
TOUCHLOG_EXPECT=write writes what was decided, for a look at the difference."""

import datetime
import glob
import hashlib
import json
import os
import re

import yaml

import harness

CONTRIB = os.path.join(harness.HERE, "..", "..", "contrib")
PRESETS = os.path.join(harness.HERE, "..", "..", "channels", "presets")
END = datetime.datetime(2028, 1, 1, tzinfo=datetime.timezone.utc)
UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

# The words of DESIGN section 12, and its outcomes in section 4.
KINDS = set("""message question complaint resolved call call_status call_leg auto_reply bounce
    spam_report receipt sent delivered open click failed subscribe unsubscribe consent visit signup
    profile purchase refund coupon_issued coupon_redeemed nps csat review referral transcript note
    meeting appointment gap task_overdue""".split())
OUTCOMES = set("""answered no_answer busy abandoned timeout voicemail failed delivered
    bounced""".split())
# What is no tool's: of any purchase or coupon, of a referral, and of our own `task_overdue`.
ATTRIBUTES = {"items", "coupon", "referred", "rule"}

SETTINGS = {
    "task": {"title", "assign", "due", "calendar", "priority"},
    "stage": {"to"}, "tag": {"add", "remove"}, "priority": {"to"}, "notify": {"channel"},
    "email": {"template", "purpose", "to"},
}

# What a sample takes for granted of its customers.
PROFILES = {
    "first-purchase": {"old@post.example": {"created_at": "2025-06-01"}},
    "priority-alert": {"first@post.example": {"priority": 1},
                       "second@post.example": {"priority": 2},
                       "third@post.example": {"priority": 3}},
}


# ---- what the daemon's loader does ----

def seconds(text):
    """'48h' in seconds; None where it is no duration but an expression."""
    m = re.fullmatch(r"(\d+)([smhdwy])", str(text))
    return int(m[1]) * UNIT_S[m[2]] if m else None


def interval(text):
    return f"{seconds(text)} seconds"


def rule_json(name, rule):
    row = {"name": name, **rule}
    for key in ("within", "max_age", "cooldown"):
        if key in row and row[key] != "ever":
            row[key] = interval(row[key])
    if "wait" in row and seconds(row["wait"]) is not None:
        row["wait"] = f"interval '{interval(row['wait'])}'"
    return row


def weekdays(text):
    first, _, last = text.partition("-")
    return range(DAYS.index(first) + 1, DAYS.index(last or first) + 2)


def calendar_json(name, calendar):
    hours = [{"weekday": day, "opens": span.split("-")[0], "closes": span.split("-")[1]}
             for days, spans in calendar["hours"].items()
             for day in weekdays(days) for span in spans]
    return {"name": name, "zone": calendar["zone"], "hours": hours,
            "holidays": calendar.get("holidays", [])}


class Fragment:
    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)[:-len(".yaml")]
        self.text = harness.text(path)
        self.comment = "".join(re.findall(r"^#.*\n", self.text, re.M))
        self.settings = yaml.safe_load(self.text)
        self.rules = self.settings["rules"]
        self.actions = self.settings["actions"]
        self.calendars = self.settings.get("calendars", {})
        self.sample = os.path.join(CONTRIB, "rules", "samples", self.name + ".ndjson")


def fragments():
    return [Fragment(path) for path in sorted(glob.glob(os.path.join(CONTRIB, "rules", "*.yaml")))]


def load(conn, files):
    """Makes the rules of these files the active ones, as if they had been so for long."""
    rules = [rule_json(name, rule) for f in files for name, rule in f.rules.items()]
    calendars = [calendar_json(name, c) for f in files for name, c in f.calendars.items()]
    sha = hashlib.sha256(json.dumps([rules, calendars]).encode()).digest()
    version = harness.one(conn, "SELECT touchlog.rule_set_load(%s, %s, %s)",
                          [sha, json.dumps(rules), json.dumps(calendars)])
    harness.rows(conn, "SELECT touchlog.rule_set_activate(%s)", [version])
    harness.rows(conn, "UPDATE touchlog.rule SET since = '2020-01-01' WHERE rule_set = %s",
                 [version])


# ---- the clock and the log ----

def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def who(event):
    return event.get("email") or event.get("phone")


class Play:
    """One sample on a database of its own, with all rules of all files loaded."""

    def __init__(self, fragment, files):
        self.fragment = fragment
        self.actions = {name: a for f in files for name, a in f.actions.items()}
        self.db = harness.create(f"ready_{fragment.name.replace('-', '_')}", template="ready")
        self.conn = harness.connect(self.db)
        harness.rows(self.conn, harness.SESSION)
        self.events = [json.loads(line) for line in harness.text(fragment.sample).splitlines()]
        self.names = {}
        self.customers = {}
        self.stages = []		# (firing's rule, who, stage) as they were set
        for month in sorted({e["occurred_at"][:7] for e in self.events}):
            harness.rows(self.conn, "SELECT touchlog.make_partitions(%s)", [month + "-01"])

    def close(self):
        self.conn.close()
        harness.drop(self.db)

    def customer(self, event):
        if who(event) is None:
            return 0
        if who(event) not in self.customers:
            profile = {"created_at": event["occurred_at"],
                       **PROFILES.get(self.fragment.name, {}).get(who(event), {})}
            self.customers[who(event)] = harness.one(
                self.conn, "INSERT INTO touchlog.customer (id, root_id, created_at, priority) "
                "SELECT n, n, %s, %s FROM nextval('touchlog.customer_id') n RETURNING id",
                [profile["created_at"], profile.get("priority")])
        return self.customers[who(event)]

    def append(self, events):
        """One batch, received when the last of it occurred."""
        at = moment(events[-1]["occurred_at"])
        ids = []
        for n, e in enumerate(events):
            self.names[self.id_of(at, e)] = e["external_id"]
            ids.append(self.id_of(at, e))
            harness.rows(self.conn, """INSERT INTO touchlog.interaction (id, received_at,
                occurred_at, customer_id, source, channel, direction, kind, external_id, thread,
                subject, outcome, score, attributes, txid) VALUES (%s, touchlog.at(%s), %s, %s, %s,
                %s, %s, %s, %s, %s, %s, %s, %s, %s, 0)""", [
                ids[n], ids[n], e["occurred_at"], self.customer(e),
                "touchlog" if e["kind"] in ("task_overdue", "resolved") else "sample",
                e["channel"], e.get("direction", "in"), e["kind"], e["external_id"],
                e.get("thread"), e.get("subject"), e.get("outcome"), e.get("score"),
                json.dumps(e.get("attributes", {}))])
        harness.rows(self.conn, "SELECT touchlog.match(%s::uuid[], %s, %s, %s)", [ids, at, at, at])
        self.act()

    def id_of(self, at, event):
        digits = hashlib.md5(event["external_id"].encode()).hexdigest()
        return f"{int(at.timestamp() * 1000):012x}7{digits[:3]}8{digits[3:18]}"

    def decide(self, until):
        """Timers one after the other, each when it is due."""
        while True:
            due = harness.one(self.conn, "SELECT min(due) FROM touchlog.timer WHERE due <= %s",
                              [until])
            if due is None:
                return
            harness.rows(self.conn, "SELECT touchlog.decide_due(1000, %s)", [due])
            if harness.one(self.conn, "SELECT count(*) FROM touchlog.timer WHERE due <= %s", [due]):
                raise AssertionError(f"a timer that was due at {due} is still there")
            self.act()

    def act(self):
        """What the actions do to profiles, in the order in which they were asked for."""
        for rule, action, customer in harness.rows(
                self.conn, "SELECT f.rule, o.action, f.customer_id FROM touchlog.outbox o "
                "JOIN touchlog.firing f ON f.id = o.firing_id ORDER BY o.id"):
            act = self.actions[action]
            if act["type"] in ("stage", "priority"):
                harness.rows(self.conn, f"UPDATE touchlog.customer SET {act['type']} = %s "
                             "WHERE id = %s", [act["to"], customer])
            elif act["type"] == "tag":
                harness.rows(self.conn, "UPDATE touchlog.customer SET tags = ARRAY(SELECT "
                             "unnest(tags || %s::text[]) EXCEPT SELECT unnest(%s::text[])) "
                             "WHERE id = %s",
                             [act.get("add", []), act.get("remove", []), customer])
            if act["type"] == "stage" and rule in self.fragment.rules:
                names = {id: name for name, id in self.customers.items()}
                self.stages.append((rule, names[customer], act["to"]))
        harness.rows(self.conn, "DELETE FROM touchlog.outbox")

    def run(self):
        for e in self.events:
            self.decide(moment(e["occurred_at"]) - datetime.timedelta(microseconds=1))
            self.append([e])
        self.decide(END)

    def decisions(self):
        """Of the file's own rules: 'when rule state event cause', by time, event and rule."""
        lines = []
        for at, rule, state, origin, cause in harness.rows(
                self.conn, "SELECT decided_at, rule, state, replace(origin_id::text, '-', ''), "
                "replace(cause_id::text, '-', '') FROM touchlog.firing WHERE rule = ANY(%s)",
                [list(self.fragment.rules)]):
            at = at.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
            lines.append(f"{at}  {rule:<{self.width()}}  {state:<10}  {self.names[origin]}"
                         + (f"  by {self.names[cause]}" if cause else ""))
        return sorted(lines, key=lambda line: (line.split()[0], line.split()[3], line))

    def width(self):
        return max(len(name) for name in self.fragment.rules)


# ---- what every file must be ----

def expressions(rule):
    return " ; ".join(str(rule[key]) for key in ("when", "unless", "wait", "at") if key in rule)


def literals(text, column):
    """The words that `column` is compared with."""
    found = set()
    operator = "(?:=|<>|is distinct from|in|not in)"
    for m in re.finditer(rf"\b{column} {operator} ('[^']*'|\([^)]*\))", text):
        found.update(re.findall(r"'([^']*)'", m[1]))
    return found


def attribute_names(text):
    return set(re.findall(r"attributes\s*(?:->>?|,)\s*'([^']*)'", text))


def check_words(files):
    presets = "".join(harness.text(p) for p in glob.glob(os.path.join(PRESETS, "*.yaml")))
    outcomes = OUTCOMES | set(re.findall(r"outcome: \"=(\w+)\"", presets))
    for line in re.findall(r"outcome:.*(?:\n +- .*)*", presets):
        outcomes |= set(re.findall(r"\w+", line))
    attributes = ATTRIBUTES | set(re.findall(r"attributes\.(\w+):", presets))
    for f in files:
        text = " ".join(expressions(rule) for rule in f.rules.values())
        documented = set(re.findall(r"`attributes\.(\w+)`", f.comment))
        harness.same(f"{f.name} names kinds that there are", literals(text, "kind") - KINDS, set())
        harness.same(f"{f.name} names outcomes that a source tells",
                     literals(text, "outcome") - outcomes, set())
        harness.same(f"{f.name} names attributes that a source fills, or its comment asks for",
                     attribute_names(text) - attributes - documented, set())


def template_faults(action):
    """Of the mail in contrib/templates, in every language that it has."""
    faults = []
    paths = glob.glob(os.path.join(CONTRIB, "templates", action["template"] + ".*txt"))
    if os.path.join(CONTRIB, "templates", action["template"] + ".txt") not in paths:
        faults.append("there is none without a language")
    for path in paths:
        text = harness.text(path)
        if not re.match(r"Subject: .+\n\n.", text):
            faults.append(f"{path}: no subject and blank line")
        if action["purpose"] == "marketing" and "{unsubscribe_url}" not in text:
            faults.append(f"{path}: nobody can unsubscribe")
    return faults


def check_actions(f):
    used = [name for rule in f.rules.values() for name in rule["do"]]
    harness.same(f"{f.name} has the actions that it uses, and no other", set(used), set(f.actions))
    for name, act in f.actions.items():
        harness.same(f"{f.name}: {name} has settings that its type knows",
                     set(act) - SETTINGS[act["type"]] - {"type"}, set())
        if act["type"] == "email":
            harness.same(f"{f.name}: {name} has its mail", template_faults(act), [])
        if "calendar" in act:
            harness.same(f"{f.name}: {name} has its calendar", act["calendar"] in f.calendars, True)


def check_files(files):
    readme = harness.text(os.path.join(CONTRIB, "rules", "README.md"))
    makefile = harness.text(os.path.join(harness.HERE, "..", "..", "Makefile.am"))
    for f in files:
        words = ["Needs:", "Change:", f"Sample: samples/{f.name}.ndjson"]
        harness.same(f"{f.name} says what it needs, what to change and where its sample is",
                     [w for w in words if w not in f.comment], [])
        harness.same(f"{f.name} stands in the README", f"`{f.name}.yaml`" in readme, True)
        harness.same(f"{f.name} is installed", f"contrib/rules/{f.name}.yaml" in makefile, True)
        check_actions(f)
    harness.same("all templates are installed", "in_source,contrib/templates/*)" in makefile, True)


def check_names(files):
    for key in ("rules", "actions", "calendars"):
        names = [name for f in files for name in getattr(f, key)]
        harness.same(f"no two files have {key} of one name", len(names), len(set(names)))


# ---- what they decide ----

def check_loading(files):
    for f in files:
        conn = harness.connect(harness.create("ready_alone", template="ready"))
        load(conn, [f])
        harness.same(f"{f.name} loads by itself",
                     harness.one(conn, "SELECT count(*) FROM touchlog.rule"), len(f.rules))
        conn.close()


def check_decisions(play):
    path = play.fragment.sample.replace(".ndjson", ".expect")
    got = play.decisions()
    if os.environ.get("TOUCHLOG_EXPECT") == "write":
        with open(path, "w", encoding="utf-8") as out:
            out.write("\n".join(got) + "\n")
    want = harness.text(path).splitlines()
    name = play.fragment.name
    harness.same(f"all is decided that the sample of {name} says", sorted(set(want) - set(got)), [])
    harness.same(f"nothing else is decided on the sample of {name}", sorted(set(got) - set(want)), [])
    rules = {line.split()[1] for line in want if line.split()[2] == "fired"}
    harness.same(f"every rule of {name} fires in its sample", set(play.fragment.rules) - rules,
                 set())
    quiet = {e["external_id"] for e in play.events} - {
        line.split()[3] for line in want if line.split()[2] == "fired"}
    harness.same(f"the sample of {name} has events after which nothing fires", quiet != set(), True)


# Every way from one stage to another that lifecycle.yaml draws, and the customers of its sample
# who go it.  What does not stand here, nobody goes.
TRANSITIONS = {
    (None, "selection"): "anna emma finn jan paul sven tess",
    (None, "reach"): "carla gerd kai nina",
    (None, "acquisition"): "dirk max",
    (None, "conversion"): "bert hans ida lea rosa uwe",
    ("selection", "reach"): "anna finn",
    ("selection", "acquisition"): "paul",
    ("selection", "conversion"): "jan",
    ("selection", "lost"): "emma sven tess",
    ("reach", "acquisition"): "anna nina",
    ("reach", "conversion"): "kai",
    ("reach", "lost"): "carla finn gerd",
    ("acquisition", "conversion"): "anna",
    ("acquisition", "retention"): "anna",		# lost meanwhile, but bought before
    ("acquisition", "lost"): "dirk max nina paul",
    ("conversion", "retention"): "anna ida lea",
    ("conversion", "loyalty"): "hans",
    ("conversion", "at_risk"): "bert carla jan kai uwe",
    ("conversion", "lost"): "rosa",
    ("retention", "loyalty"): "anna ida",
    ("retention", "at_risk"): "anna lea rosa",
    ("retention", "lost"): "lea",
    ("loyalty", "at_risk"): "anna ida",
    ("loyalty", "lost"): "hans",
    ("at_risk", "retention"): "anna lea",
    ("at_risk", "lost"): "anna bert carla ida jan kai rosa uwe",
    ("lost", "acquisition"): "anna",
    ("lost", "conversion"): "carla",
    ("lost", "retention"): "rosa",
}


def check_lifecycle(play):
    """The stages as they were set, one customer after the other."""
    gone = {}
    now = {}
    for rule, customer, stage in play.stages:
        name = customer.split("@")[0]
        harness.same(f"lifecycle: {rule} does not fire for {name}, who is in {stage} already",
                     now.get(name) != stage, True)
        gone.setdefault((now.get(name), stage), set()).add(name)
        now[name] = stage
    for way in sorted(set(TRANSITIONS) | set(gone), key=str):
        harness.same(f"lifecycle: who goes from {way[0]} to {way[1]}",
                     " ".join(sorted(gone.get(way, set()))), TRANSITIONS.get(way, ""))
    harness.same("lifecycle: who only bounces and is away has no stage", "otto" in now, False)


def check_at_once(play):
    """Several events of one customer, whose stage is not yet what the first of them makes it."""
    def buys(name, *days):
        return [{"external_id": f"{name}-{day}", "occurred_at": f"2026-03-{day:02d}T10:00:00Z",
                 "channel": "web", "kind": "purchase", "email": f"{name}@post.example"}
                for day in days]

    def stage(name):
        return harness.one(play.conn, "SELECT stage FROM touchlog.customer WHERE id = %s",
                           [play.customers[f"{name}@post.example"]])

    harness.rows(play.conn, "SELECT touchlog.make_partitions('2026-03-01')")
    play.append(buys("twice", 1, 2))
    harness.same("lifecycle: two purchases in one batch end in retention", stage("twice"),
                 "retention")
    play.append(buys("old", 3))
    play.append(buys("old", 4))
    play.append(buys("old", 5, 6))
    harness.rows(play.conn, "UPDATE touchlog.customer SET stage = NULL WHERE id = %s",
                 [play.customers["old@post.example"]])
    play.append(buys("old", 7))
    harness.same("lifecycle: the fifth purchase in a year is loyalty, the first with these rules too",
                 stage("old"), "loyalty")


def test():
    files = fragments()
    check_files(files)
    check_names(files)
    check_words(files)
    conn = harness.connect(harness.fresh("ready"))
    conn.close()
    check_loading(files)
    conn = harness.connect(f"{harness.PREFIX}_ready")
    load(conn, files)
    harness.same("all files load together", harness.one(conn, "SELECT count(*) FROM touchlog.rule"),
                 sum(len(f.rules) for f in files))
    conn.close()
    for f in files:
        play = Play(f, files)
        try:
            play.run()
            check_decisions(play)
            if f.name == "lifecycle":
                check_lifecycle(play)
                check_at_once(play)
        finally:
            play.close()
    harness.drop(harness.PREFIX + "_ready")
