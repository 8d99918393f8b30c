# SPDX-License-Identifier: Apache-2.0
"""Opening time against a walk over every minute, over days on which the clock changes."""

import datetime as dt
import os
import random
import zoneinfo

import harness
from harness import one, refusal, rows, same
from rulelog import UTC, Log, ago, fresh, load, mail

RUNS = int(os.environ.get("TOUCHLOG_OPENING_RUNS", "12"))
CALENDARS = {  # zone, {weekday: [(opens, closes)]} in minutes, holidays
    "office": ("Europe/Amsterdam", {d: [(540, 1020)] for d in range(1, 6)}, ["2026-04-06"]),
    "always": ("Europe/Amsterdam", {d: [(0, 1440)] for d in range(1, 8)}, []),
    # closes inside the changed hour
    "night": ("Europe/Amsterdam", {d: [(0, 150), (1320, 1440)] for d in range(1, 8)},
              ["2026-10-26"]),
    "gap": ("Europe/Amsterdam", {7: [(150, 300)]}, []),  # opens inside it
    "lunch": ("America/New_York", {d: [(480, 720), (780, 1080)] for d in range(1, 7)}, []),
    # shifts at midnight
    "beirut": ("Asia/Beirut", {d: [(0, 60), (1380, 1440)] for d in range(1, 8)}, []),
    "lord": ("Australia/Lord_Howe", {d: [(100, 140)] for d in range(1, 8)}, []),  # by half an hour
}
DAYS = ["2026-03-28", "2026-10-24", "2026-04-04", "2026-04-03", "2026-10-02", "2026-03-07"]
SUMS = [  # calendar, from, how long, until
    ("always", "2026-03-29 00:00+01", "24:00", "2026-03-30 01:00+02"),  # the day has 23 hours
    ("always", "2026-10-25 00:00+02", "24:00", "2026-10-25 23:00+01"),  # the day has 25
    ("office", "2026-03-27 16:00+01", "2:00", "2026-03-30 10:00+02"),  # over the shift to Monday
    ("office", "2026-04-03 16:30+02", "1:00", "2026-04-07 09:30+02"),  # Easter Monday is closed
    ("office", "2026-04-07 09:00+02", "8:00", "2026-04-07 17:00+02"),  # the end, no next opening
    ("office", "2026-04-07 03:00+02", "0:00", "2026-04-07 03:00+02"),
    ("office", "2026-04-07 09:00+02", "1 day", "2026-04-09 17:00+02"),  # 24 opening hours
    ("always", "2026-03-20 12:00+01", "720:00", "2026-04-19 13:00+02"),
]


def calendar(name, zone, hours, holidays):
    def clock(minute):
        return f"{minute // 60:02}:{minute % 60:02}"
    return {"name": name, "zone": zone, "holidays": holidays,
            "hours": [{"weekday": d, "opens": clock(a), "closes": clock(b)}
                      for d, spans in hours.items() for a, b in spans]}


def is_open(name, t):
    zone, hours, holidays = CALENDARS[name]
    local = t.astimezone(zoneinfo.ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    return local.date().isoformat() not in holidays \
        and any(a <= minute < b for a, b in hours.get(local.isoweekday(), []))


def add(conn, name, t, minutes):
    return one(conn, "SELECT touchlog.open_time_add(%s, %s, make_interval(mins => %s))",
               [name, t, minutes])


def walk(conn, name, day):
    """What differs from a walk over four days, minute by minute."""
    rng = random.Random(name + day)
    start = dt.datetime.fromisoformat(day).replace(tzinfo=UTC)
    minutes = [start + dt.timedelta(minutes=i) for i in range(4 * 1440)]
    opened = [is_open(name, m) for m in minutes]
    wrong = []
    for _ in range(RUNS):
        i, j = sorted(rng.sample(range(len(minutes)), 2))
        walked = sum(opened[i:j])
        between = "SELECT extract(epoch FROM touchlog.open_time_between(%s, %s, %s))::int / 60"
        got = [one(conn, between, [name, *args]) for args in ((minutes[i], minutes[j]),
                                                              (minutes[j], minutes[i]))]
        if got != [walked, -walked]:
            wrong.append((name, minutes[i], minutes[j], got, walked))
        if not walked:
            continue
        need = rng.randint(1, walked)
        ahead = [k for k in range(i, len(minutes)) if opened[k]][need - 1] + 1
        back = [k for k in range(j - 1, -1, -1) if opened[k]][need - 1]
        got = [add(conn, name, minutes[i], need), add(conn, name, minutes[j], -need)]
        if got != [start + dt.timedelta(minutes=ahead), minutes[back]]:
            wrong.append((name, minutes[i], minutes[j], need, got))
    return wrong


def own_hours(log):
    rule = {"r": {"when": "true", "wait": "8h", "calendar": "desk", "do": ["x"]}}

    def desk(opens):
        return [calendar("desk", "UTC", {d: [(opens, 1440)] for d in range(1, 8)}, [])]
    log.reset()
    log.rules(rule, desk(0))
    rows(log.conn, "BEGIN")
    other = load(log.conn, rule, desk(720))
    tried = one(log.conn, "SELECT id FROM touchlog.rule WHERE rule_set = %s", [other])
    log.insert(log.conn, **mail("a", 0))
    due = one(log.conn, "SELECT settled_at FROM touchlog.rule_test(%s, '2020-01-01', %s)",
              [tried, ago(99)])
    same("a set that is tried has its own hours", due, ago(11))
    same("and the active one keeps its own meanwhile", one(
        log.conn, "SELECT touchlog.open_time_add('desk', %s, '8h')", [ago(0)]), ago(8))
    rows(log.conn, "ROLLBACK")
    log.batch(mail("a", 0))
    same("which arm its timers", log.one("SELECT due FROM touchlog.timer")[0], ago(8))
    log.rules(rule, desk(720))
    log.decide(ago(8.5))
    same("once other hours are in force a wait ends by them",
         log.one("SELECT due FROM touchlog.timer")[0], ago(11))
    log.decide(ago(11))
    same("and then fires", log.story(), [("fired", "a", None)])


def refused(log):
    def why(calendars, rules=None):
        try:
            load(log.conn, rules or {}, calendars)
        except harness.psycopg2.Error as e:
            return e.diag.message_primary
    same("a zone nobody knows is an error that names the calendar",
         why([calendar("c", "Europe/Atlantis", {}, [])]),
         'calendar c: time zone "Europe/Atlantis" not recognized')
    same("so are hours that overlap", why([calendar("c", "UTC", {1: [(0, 60), (30, 90)]}, [])]),
         "calendar c: hours of one day overlap")
    same("a calendar nobody knows is an error that names the rule",
         why([], {"r": {"when": "true", "wait": "1h", "calendar": "moon"}}),
         "rule r: there is no calendar moon")
    same("a calendar that is never open is an error", refusal(
        log.conn, "SELECT touchlog.open_time_add('gap', '2026-01-01', '100000:00')"), "22023")


def test():
    db = fresh("opening")
    log = Log(db)
    log.rules({}, [calendar(name, *c) for name, c in CALENDARS.items()])
    wrong = [w for name in CALENDARS for day in DAYS for w in walk(log.conn, name, day)]
    same("opening time between and after agrees with a walk over every minute", wrong, [])
    for zone in ("UTC", "America/New_York"):
        rows(log.conn, "SELECT set_config('timezone', %s, false)", [zone])
        same(f"sums over changed clocks, weekends and holidays are right in a session in {zone}",
             [s for s in SUMS if not one(log.conn, "SELECT touchlog.open_time_add(%s, %s, %s)"
                                         " = %s::timestamptz", list(s))], [])
    rows(log.conn, "SET timezone = 'UTC'")
    refused(log)
    own_hours(log)
    log.close()
    harness.drop(db)
