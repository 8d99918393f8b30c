# SPDX-License-Identifier: Apache-2.0
"""Consent and what may be sent: the sentences of consent.sql, what the daemon's role may do of
it, and two daemons that grant at once."""

import harness
from harness import SESSION, Aside, connect, is_blocked, one, refusal, rows, same, wait_for

ASK = """SELECT verdict FROM touchlog.may_send('{"type": "email", "purpose": "service",
    "to": "a@x.example", "template": "t", "cap": {"n": 1, "per": "1 day"}}', NULL,
    jsonb_build_object('rule', 'r', 'interaction', jsonb_build_object('id', %s::text,
    'kind', 'call', 'channel', 'call', 'direction', 'in')))"""
CALLS = {
    "note_consent": "SELECT touchlog.note_consent('{}', now(), now())",
    "link_owner": "SELECT touchlog.link_owner('x')",
    "unsubscribe_look": "SELECT touchlog.unsubscribe_look('x')",
    "suppress": "SELECT touchlog.suppress('email', 'x@y.example', 'refused')",
    "the suppressions": "SELECT count(*) FROM touchlog.suppression",
}
DENIED = [
    "SELECT touchlog.lift_suppression('email', 'x@y.example')",
    "SELECT token FROM touchlog.unsubscribe_link",
    "DELETE FROM touchlog.suppression",
    "UPDATE touchlog.consent SET state = 'given'",
    "UPDATE touchlog.mail_count SET ats = '{}'",
]


def daemon(db):
    conn = connect(db)
    rows(conn, SESSION)
    rows(conn, "SET SESSION AUTHORIZATION touchlog_daemon")
    return conn


def grant_at_once(db, watcher, end):
    """What the second of two daemons is told, who asks before the first has ended so."""
    a, b = daemon(db), daemon(db)
    rows(watcher, "DELETE FROM touchlog.mail_count")
    rows(a, "BEGIN")
    same(f"the first daemon is granted the last mail before it {end}s", one(a, ASK, ["1"]), "ok")
    other = Aside(one, b, ASK, ["2"])
    wait_for("the second one to wait", lambda: is_blocked(watcher, b))
    rows(a, end)
    other.join()
    a.close()
    b.close()
    return other.result


def test():
    db = harness.fresh("consent")
    harness.play(db, "consent.sql")
    watcher = connect(db)
    conn = daemon(db)
    for name, sql in CALLS.items():
        same(f"the daemon may call {name}", refusal(conn, sql), None)
    for sql in DENIED:
        same(f"the daemon may not: {sql}", refusal(conn, sql), "42501")
    conn.close()
    same("and the second, who waited, is capped", grant_at_once(db, watcher, "commit"), "capped")
    same("and the second is granted what the first gave back", grant_at_once(db, watcher, "rollback"),
         "ok")
    watcher.close()
    harness.drop(db)
