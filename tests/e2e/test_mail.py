# SPDX-License-Identifier: Apache-2.0
"""Mail as an action: from a firing to the mail server, and what customers may say about it."""
import ssl, threading, time

import pytest

import harness
from ca import CA
from harness import until
from smtp_sink import SmtpSink
from test_outbox import receipts, retry_now, wait_receipts

SOURCES = {"web": {"type": "webhook", "verify": "none", "channel": "web", "identities": "strong"},
           "box": {"type": "webhook", "verify": "none", "channel": "email", "identities": "strong"}}
TEMPLATES = {
    "hello.txt": "Subject: Hello {customer.name|friend}\n\nDear {customer.name|friend},\nyou bought {interaction.subject}.\n.\n..dots\n{unsubscribe_url}\n",
    "hello.html": "<p>Dear {customer.name|friend}, you bought {subject}. <a href=\"{unsubscribe_url}\">Leave</a></p>",
    "hello.de.txt": "Subject: Grüße, {customer.name|Sie}\n\nSchön, dass Sie {subject} gekauft haben.\n{unsubscribe_url}\n",
}
MAIL = {"type": "email", "template": "hello", "purpose": "service"}


@pytest.fixture
def sink():
    with SmtpSink() as s:
        yield s


@pytest.fixture
def config(tmp_path):
    """A configuration whose action `mail` sends by this sink."""
    folder = tmp_path / "templates"
    folder.mkdir()
    for name, text in TEMPLATES.items():
        (folder / name).write_text(text)

    def make(sink, action=None, smtp=None, **more):
        return {"sources": SOURCES, "own": ["@our.example"], "public_url": "https://log.our.example", "template_dir": str(folder), "mail_cap": "none",
                "smtp": {"url": sink.url, "from": "Our Care <care@our.example>", "timeout": "5s", **(smtp or {})},
                "actions": {"mail": {**MAIL, **(action or {})}}, **{"rules": {"thanks": {"when": "kind = 'purchase'", "do": ["mail"]}}, **more}}
    make.folder = folder
    return make


def buy(d, n=1, source="web", kind="purchase", who="ann@c.example", **more):
    a = d.post(source, {"external_id": f"{kind}-{n}", "kind": kind, "email": who, "subject": "a <b> & c", **more})
    assert a.status == 200, a
    return a.json()["id"]


def wait_rules(database):
    until(lambda: database.one("SELECT count(*) FROM touchlog.rule JOIN touchlog.rule_set s ON s.version = rule_set WHERE s.active"), "the rules")


@pytest.fixture
def start(daemon, database):
    """Starts a daemon, and waits until its rules are those of the database."""
    def go(c):
        d = daemon(c)
        wait_rules(database)
        return d
    return go


def again(database, condition, what):
    """Tries what failed again, without waiting for its time, until the condition holds."""
    until(lambda: retry_now(database) is None and condition(), what)


def sent(database):
    return database.rows("SELECT * FROM touchlog.interaction WHERE kind = 'sent' ORDER BY id")


# ---- what is sent ----

def test_a_rule_sends_a_mail_and_logs_it(start, database, config, sink):
    d = start(config(sink, {"campaign": "thanks", "reply_to": "Desk <desk@our.example>"}))
    buy(d, customer={"name": "Ann Änders"}, thread="order-1")
    m = sink.wait(1)
    assert (m["sender"], m["to"], m["tls"], m["user"]) == ("care@our.example", ["ann@c.example"], False, None)
    message = m["message"]
    assert message["Subject"] == "Hello Ann Änders" and message["To"] == "Ann Änders <ann@c.example>"
    assert message["From"] == "Our Care <care@our.example>" and message["Reply-To"] == "Desk <desk@our.example>"
    assert message["Auto-Submitted"] == "auto-generated" and message["List-Unsubscribe"] is None and message["In-Reply-To"] is None
    assert abs(message["Date"].datetime.timestamp() - time.time()) < 60
    text, page = message.iter_parts()
    assert text.get_content().startswith("Dear Ann Änders,\nyou bought a <b> & c.\n.\n..dots\nhttps://log.our.example/u/")
    assert "you bought a &lt;b&gt; &amp; c." in page.get_content() and page.get_content_type() == "text/html"
    wait_receipts(database, "done")
    (row,) = sent(database)
    assert (row["direction"], row["channel"], row["source"], row["thread"], row["campaign"]) == ("out", "email", "touchlog", "order-1", "thanks")
    assert row["subject"] == "Hello Ann Änders" and row["external_id"] == message["Message-ID"] == f"<tl_{receipts(database, 'outbox_id')[0]}@our.example>"
    assert row["customer_id"] == database.one("SELECT customer_id FROM touchlog.identity WHERE value = 'ann@c.example'")
    assert row["attributes"] == {"to": "ann@c.example", "rule": "thanks", "template": "hello", "purpose": "service", "response": "250 2.0.0 Ok: queued as 1A2B"}
    assert d.metrics()['touchlog_mails_total{result="sent"}'] == 1


def test_the_template_is_in_the_customers_language(start, database, config, sink):
    d = start(config(sink))
    buy(d, customer={"name": "Ann", "language": "de-AT"})
    message = sink.wait(1)["message"]
    assert message["Subject"] == "Grüße, Ann" and message.get_content_type() == "text/plain"
    assert message.get_content().startswith("Schön, dass Sie a <b> & c gekauft haben.\n")
    assert all(byte < 0x80 for byte in sink.mails[0]["data"])


def test_an_answer_to_a_mail_joins_its_thread(start, database, config, sink):
    d = start(config(sink, {"subject": "Re: {subject}"}, rules={"thanks": {"when": "kind = 'question'", "do": ["mail"]}}))
    a = d.post("box", {"external_id": "<2@c.example>", "thread": "<1@c.example>", "kind": "question", "email": "ann@c.example", "subject": "Late?"})
    assert a.status == 200, a
    message = sink.wait(1)["message"]
    assert (message["Subject"], message["In-Reply-To"], message["References"]) == ("Re: Late?", "<2@c.example>", "<1@c.example> <2@c.example>")
    wait_receipts(database, "done")
    assert sent(database)[0]["thread"] == "<1@c.example>"


def test_no_value_gets_out_of_its_header(start, database, config, sink):
    d = start(config(sink, {"subject": "About {subject}"}))
    buy(d, subject="x\r\nBcc: all@c.example\r\n\r\n<script>", customer={"name": "Ann\r\nBcc: b@c.example"})
    m = sink.wait(1)
    assert m["message"]["Bcc"] is None and m["to"] == ["ann@c.example"]
    assert m["message"]["Subject"] == "About x  Bcc: all@c.example    <script>"


def test_a_mail_may_go_to_somebody_else(start, database, config, sink):
    d = start(config(sink, {"to": "{attributes.manager|care@our.example}", "from": "Shop <shop@our.example>"}))
    buy(d, 1, manager="boss@c.example")
    buy(d, 2)
    sink.wait(2)
    assert sorted(m["to"][0] for m in sink.mails) == ["boss@c.example", "care@our.example"]
    assert {m["sender"] for m in sink.mails} == {"shop@our.example"}


def test_a_burst_goes_over_few_connections(start, database, config, sink):
    d = start(config(sink, smtp={"connections": 2}))
    a = d.post_lines("web", [{"external_id": str(n), "kind": "purchase", "email": f"p{n}@c.example", "subject": "x"} for n in range(60)])
    assert a.json()["logged"] == 60
    sink.wait(60)
    assert sorted(m["to"][0] for m in sink.mails) == sorted(f"p{n}@c.example" for n in range(60))
    assert sink.sessions <= 3, "a connection for each mail"
    until(lambda: len(receipts(database)) == 60, "the receipts")
    assert len({m["message"]["Message-ID"] for m in sink.mails}) == 60


# ---- what the server says ----

def test_what_is_deferred_is_tried_again_as_the_same_mail(start, database, config, sink):
    sink.say["RCPT"].append("450 4.2.0 greylisted")
    sink.say["MAIL"].append("451 4.3.0 busy")
    sink.say["BODY"].append("452 4.3.1 full")
    sink.say["DATA"].append(None)
    d = start(config(sink))
    buy(d)
    again(database, lambda: sink.mails, "the mail")
    wait_receipts(database, "retry", "retry", "retry", "retry", "done")
    errors = receipts(database, "error")
    assert errors[0] == "MAIL FROM: 451 4.3.0 busy" and errors[1] == "RCPT TO: 450 4.2.0 greylisted"
    assert "closed the connection" in errors[2] and errors[3] == "the message: 452 4.3.1 full"
    assert len(sent(database)) == 1 and d.metrics()['touchlog_mails_total{result="deferred"}'] == 4


def test_a_refused_recipient_gets_nothing_more_and_the_others_their_mail(start, database, config, sink):
    sink.say["RCPT"].append("550 5.1.1 <ann@c.example>: User unknown")
    d = start(config(sink, smtp={"connections": 1}))
    buy(d, 1)
    wait_receipts(database, "suppressed")
    assert receipts(database, "error") == ["RCPT TO: 550 5.1.1 <*@c.example>: User unknown"]
    buy(d, 2, who="bob@c.example")
    assert sink.wait(1)["to"] == ["bob@c.example"]
    buy(d, 3)
    until(lambda: receipts(database) == ["suppressed", "done", "suppressed"], "the receipts")
    assert receipts(database, "error")[2] == "the address is suppressed: refused"
    assert database.rows("SELECT kind, value, reason FROM touchlog.suppression") == [{"kind": "email", "value": "ann@c.example", "reason": "refused"}]
    assert database.rows("SELECT direction, channel, kind, attributes->>'type' AS type FROM touchlog.interaction WHERE kind = 'bounce'") == [
        {"direction": "in", "channel": "email", "kind": "bounce", "type": "hard_bounce"}]
    assert database.one("SELECT state FROM touchlog.firing ORDER BY id LIMIT 1") == "suppressed"
    assert sink.sessions == 1 and "ann@c" not in d.stderr()


def test_a_mail_that_is_refused_is_dead_and_suppresses_nobody(start, database, config, sink):
    sink.say["BODY"].append("554 5.7.1 spam")
    sink.say["RCPT"].append("550 5.7.1 relaying denied")
    d = start(config(sink))
    buy(d, 1)
    until(lambda: receipts(database) == ["dead"], "the first")
    buy(d, 2)
    until(lambda: receipts(database) == ["dead", "dead"], "the second")
    assert receipts(database, "error") == ["RCPT TO: 550 5.7.1 relaying denied", "the message: 554 5.7.1 spam"]
    assert database.one("SELECT count(*) FROM touchlog.suppression") == 0 and not sent(database)


def test_a_server_that_stalls_after_the_message_does_not_stop_the_loop(start, database, config, sink):
    stalled = threading.Event()

    def stall(session):
        stalled.set()
        return session.stall()
    sink.say["BODY"].append(stall)
    d = start(config(sink, smtp={"timeout": "400ms"}))
    buy(d)
    assert stalled.wait(20)
    slowest, end = 0, time.monotonic() + 1.5
    while time.monotonic() < end:
        t = time.monotonic()
        assert d.get("/healthz").status == 200
        slowest = max(slowest, time.monotonic() - t)
    assert slowest < 1, f"/healthz took {slowest} s"
    until(lambda: receipts(database) == ["retry"], "the end of its patience")
    assert receipts(database, "error") == ["the message: the mail server took too long"]
    again(database, lambda: sink.mails, "the mail")
    wait_receipts(database, "retry", "done")


@pytest.mark.parametrize("where", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_server_that_stalls_earlier_is_left_too(start, database, config, sink, where):
    sink.say[where].append(lambda session: session.stall())
    d = start(config(sink, smtp={"timeout": "300ms"}))
    buy(d)
    until(lambda: receipts(database) == ["retry"], "the end of its patience")
    assert d.get("/healthz").status == 200
    again(database, lambda: sink.mails, "the mail")
    wait_receipts(database, "retry", "done")


def test_a_server_that_is_not_there_or_talks_nonsense_is_tried_again(start, database, config, sink):
    sink.say["CONNECT"].extend(["554 no service", "hello"])
    sink.say["EHLO"].extend(["250 first hello, libcurl's", "nonsense"])
    d = start(config(sink))
    buy(d)
    again(database, lambda: sink.mails, "the mail")
    until(lambda: receipts(database)[-1] == "done", "the receipt")
    assert set(receipts(database)[:-1]) == {"retry"} and len(receipts(database)) >= 3


def test_an_idle_connection_that_the_server_closed_costs_no_attempt(start, database, config, sink):
    sessions = []
    sink.say["BODY"].append(lambda session: sessions.append(session) or "250 2.0.0 Ok")
    d = start(config(sink))
    buy(d, 1)
    sink.wait(1)
    wait_receipts(database, "done")
    sessions[0].close()
    buy(d, 2)
    sink.wait(2)
    wait_receipts(database, "done", "done")
    assert sink.sessions == 2


def test_a_daemon_that_stops_in_the_middle_of_a_mail_says_so(start, database, config, sink):
    reached = threading.Event()
    sink.say["BODY"].append(lambda session: reached.set() or session.stall())
    d = start(config(sink, drain_timeout="500ms"))
    buy(d)
    assert reached.wait(20)
    d.stop()
    assert receipts(database) == ["lost"]
    d.start()
    again(database, lambda: sink.mails, "the mail")
    wait_receipts(database, "lost", "done")


# ---- TLS and AUTH ----

@pytest.fixture
def ca(tmp_path):
    return CA(tmp_path / "ca")


def server_context(ca, name="server"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ca.issue(name))
    return context


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "smtps"])
def test_a_server_that_wants_tls_and_a_login_gets_both(start, database, config, ca, implicit):
    with SmtpSink(server_context(ca), implicit, {"care": "secret"}) as sink:
        d = start(config(sink, smtp={"tls": "required", "ca": ca.certificate, "user": "care", "secret": "plain:secret", "helo": "me.our.example"}))
        buy(d)
        m = sink.wait(1)
        assert m["tls"] and m["user"] == "care"
        assert "EHLO me.our.example" in sink.commands
        wait_receipts(database, "done")


def test_a_wrong_password_costs_tries_but_no_mail(start, database, config, ca):
    with SmtpSink(server_context(ca), users={"care": "secret"}) as sink:
        c = config(sink, smtp={"tls": "required", "ca": ca.certificate, "user": "care", "secret": "plain:wrong"})
        d = start(c)
        buy(d)
        until(lambda: receipts(database) == ["retry"], "the refusal")
        assert "wrong" not in receipts(database, "error")[0]
        c["smtp"]["secret"] = "plain:secret"
        assert d.reload(c)
        again(database, lambda: sink.mails, "the mail")


def test_without_a_login_that_is_wanted_the_mail_waits(start, database, config):
    with SmtpSink(users={"care": "secret"}) as sink:
        d = start(config(sink))
        buy(d)
        until(lambda: receipts(database) == ["retry"], "the refusal")
        assert receipts(database, "error") == ["MAIL FROM: 530 5.7.0 Authentication required"]


@pytest.mark.parametrize("why", ["no STARTTLS", "another authority", "another name"])
def test_nothing_is_sent_without_the_tls_that_is_required(start, database, config, ca, tmp_path, why):
    trusted = CA(tmp_path / "other").certificate if why == "another authority" else ca.certificate
    with SmtpSink(None if why == "no STARTTLS" else server_context(ca)) as sink:
        smtp = {"tls": "required", "ca": trusted}
        if why == "another name":
            smtp["url"] = sink.url.replace("localhost", "[::ffff:127.0.0.1]")
        d = start(config(sink, smtp=smtp))
        buy(d)
        until(lambda: receipts(database) == ["retry"], "the refusal")
        assert not [c for c in sink.commands if c.startswith("MAIL")]


# ---- who wants it ----

def marketing(config, sink, **more):
    return config(sink, {"purpose": "marketing"}, **more)


def consent(d, kind, n, who="ann@c.example", source="web", **more):
    a = d.post(source, {"external_id": f"{kind}-{n}", "kind": kind, "email": who, **more})
    assert a.status == 200, a


def link(message):
    url = message["List-Unsubscribe"].strip("<>")
    assert url.startswith("https://log.our.example/u/")
    return url[len("https://log.our.example"):]


ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def click(d, path, body=ONE_CLICK, headers=FORM, method="POST"):
    return harness.request(d.ports["public"], method, path, body, headers)


def test_marketing_goes_to_who_agreed_until_they_leave_with_one_click(start, database, config, sink):
    d = start(marketing(config, sink))
    buy(d, 1)
    wait_receipts(database, "no_consent")
    consent(d, "subscribe", 1)
    buy(d, 2)
    message = sink.wait(1)["message"]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = link(message)
    assert path in message.get_body(("plain",)).get_content()
    for _ in range(2):
        a = d.get(path, "public")
        assert a.status == 200 and b"<form method=\"post\">" in a.body and "a…@c.example".encode() in a.body and b"ann@" not in a.body
        assert a.headers["cache-control"] == "no-store" and "set-cookie" not in a.headers and "location" not in a.headers
    assert click(d, path, None, {}, "HEAD").status == 200
    assert database.one("SELECT count(*) FROM touchlog.interaction WHERE kind = 'unsubscribe'") == 0, "a GET changed something"
    for _ in range(3):
        a = click(d, path)
        assert a.status == 200 and b"No more marketing mail" in a.body, a
    rows = database.rows("SELECT source, channel, direction, customer_id, attributes FROM touchlog.interaction WHERE kind = 'unsubscribe'")
    who = database.one("SELECT customer_id FROM touchlog.identity WHERE value = 'ann@c.example'")
    assert [(r["source"], r["channel"], r["direction"], r["customer_id"], r["attributes"]["by"]) for r in rows] == [("touchlog", "email", "in", who, "one_click")]
    assert b"<form" not in d.get(path, "public").body
    buy(d, 3)
    until(lambda: len(receipts(database)) == 3, "the receipt")
    assert receipts(database)[2] == "no_consent" and receipts(database, "error")[2] == "consent to marketing was withdrawn"
    # Who comes back gets mail again, and the old link still works.
    consent(d, "subscribe", 2)
    buy(d, 4)
    assert link(sink.wait(2)["message"]) == path
    assert click(d, path).status == 200
    assert database.one("SELECT count(*) FROM touchlog.interaction WHERE kind = 'unsubscribe'") == 2
    m = d.metrics()
    assert m['touchlog_unsubscribe_requests_total{result="done"}'] == 2 and m['touchlog_unsubscribe_requests_total{result="already"}'] == 2


def test_one_click_may_be_multipart_and_the_button_says_the_same(start, database, config, sink):
    d = start(marketing(config, sink, consent_model="opt_out"))
    for n, (body, headers, by) in enumerate([
            (b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n', {"Content-Type": "multipart/form-data; boundary=x"}, "one_click"),
            (ONE_CLICK + b"&by=page", FORM, "page")]):
        buy(d, n, who=f"p{n}@c.example")
        path = link(sink.wait(n + 1)["message"])
        assert click(d, path, body, headers).status == 200
        assert database.one(f"SELECT attributes->>'by' FROM touchlog.interaction WHERE kind = 'unsubscribe' AND attributes->>'token' = '{path[3:]}'") == by


def test_what_is_no_such_link_or_no_such_request_changes_nothing(start, database, config, sink):
    d = start(marketing(config, sink, consent_model="opt_out"))
    buy(d)
    path = link(sink.wait(1)["message"])
    assert [click(d, path, body).status for body in (b"", b"List-Unsubscribe=No", b"x=One-Click", b"%zz")] == [400] * 4
    assert [click(d, path, b"", {}, method).status for method in ("PUT", "DELETE")] == [405] * 2
    assert click(d, path, b"x" * 5000).status == 413
    wrong = path[:-1] + ("0" if path[-1] != "0" else "1")
    for p in ("/u/", "/u/x", wrong, path + "/", path.upper().replace("/U/", "/u/"), "/u/../in/web"):
        assert click(d, p).status == 404 and d.get(p, "public").status == 404, p
    assert d.get(path).status == 404, "it is served by ops too"
    assert database.one("SELECT count(*) FROM touchlog.interaction WHERE kind = 'unsubscribe'") == 0


def test_an_unsubscribe_while_the_database_is_away_is_kept_and_counts(config, sink, tmp_path):
    with harness.migrated_cluster(tmp_path / "own") as cluster:
        database = cluster.fresh()
        spool = {"path": str(tmp_path / "spool.db")}
        with harness.Daemon(database, marketing(config, sink, consent_model="opt_out", spool=spool, spool_after="200ms"), tmp_path) as d:
            wait_rules(database)
            buy(d, 1)
            path = link(sink.wait(1)["message"])
            wait_receipts(database, "done")
            cluster.stop("immediate")
            assert click(d, path).status == 200, "it was not kept"
            assert d.get(path, "public").status == 200
            cluster.start()
            until(lambda: d.spooled() == 0 and d.get("/readyz").json()["degraded"] == [], "the spool is drained", 60)
            assert database.one("SELECT count(*) FROM touchlog.interaction WHERE kind = 'unsubscribe' AND customer_id > 0") == 1
            buy(d, 2)
            until(lambda: receipts(database) == ["done", "no_consent"], "the receipts", 40)


def test_without_a_spool_who_leaves_while_the_database_is_away_is_told_to_try_again(config, sink, tmp_path):
    with harness.migrated_cluster(tmp_path / "own") as cluster:
        database = cluster.fresh()
        with harness.Daemon(database, marketing(config, sink, consent_model="opt_out", spool_after="200ms"), tmp_path) as d:
            wait_rules(database)
            buy(d, 1)
            path = link(sink.wait(1)["message"])
            cluster.stop("immediate")
            a = click(d, path)
            assert a.status == 503 and a.headers["retry-after"] == "60", a
            cluster.start()


def test_a_hard_bounce_or_a_complaint_ends_all_mail(start, database, config, sink):
    d = start(config(sink))
    consent(d, "bounce", 1, source="box", type="hard_bounce")
    consent(d, "spam_report", 1, "bob@c.example", source="box")
    consent(d, "bounce", 2, "cid@c.example", source="box", type="soft_bounce")
    buy(d, 1)
    buy(d, 2, who="bob@c.example")
    buy(d, 3, who="cid@c.example")
    assert sink.wait(1)["to"] == ["cid@c.example"]
    until(lambda: sorted(receipts(database)) == ["done", "suppressed", "suppressed"], "the receipts")


def test_the_cap_holds_back_what_is_too_much(start, database, config, sink):
    d = start(config(sink, mail_cap="2/1d"))
    for n in range(4):
        buy(d, n)
    until(lambda: sorted(receipts(database)) == ["capped", "capped", "done", "done"], "the receipts")
    assert len(sink.mails) == 2
    assert sorted(r["state"] for r in database.rows("SELECT state FROM touchlog.firing")) == ["capped", "capped", "fired", "fired"]


def test_two_daemons_together_keep_to_the_cap(start, database, config, sink):
    c = config(sink, mail_cap="3/1d")
    a, b = start(c), start(c)
    for n in range(12):
        buy((a, b)[n % 2], n)
    until(lambda: len(receipts(database)) == 12, "the receipts")
    assert sorted(receipts(database)) == ["capped"] * 9 + ["done"] * 3 and len(sink.mails) == 3


def test_two_machines_do_not_answer_each_other(start, database, config, sink):
    d = start(config(sink, rules={"answer": {"when": "channel = 'email'", "do": ["mail"]}}))
    for n, (kind, more) in enumerate([("auto_reply", {}), ("bounce", {}), ("sent", {"direction": "out"}), ("message", {"direction": "out"}),
                                      ("message", {"from": "Care <care@our.example>"}), ("message", {})]):
        buy(d, n, "box", kind, **more)
    assert sink.wait(1)["message"]["Subject"].startswith("Hello")
    until(lambda: sorted(receipts(database)) == ["done"] + ["suppressed"] * 5, "the receipts")
    assert len(sink.mails) == 1


# ---- the configuration ----

def check(config, path):
    done = harness.subprocess.run([harness.program("touchlogd"), "-t", "-c", str(path)], capture_output=True, text=True)
    assert not harness.REPORT.search(done.stderr), done.stderr
    return done.returncode, done.stderr


def test_a_check_tells_what_is_missing_or_broken(database, config, sink, tmp_path):
    (config.folder / "bad.txt").write_text("Subject: x\n\nDear {customer.name\n")
    (config.folder / "plain.txt").write_text("Dear {customer.name}\n")
    (config.folder / "only.de.txt").write_text("Subject: x\n\ny")
    c = config(sink, mail_cap="3 a day", consent_model="maybe")
    c["smtp"] = {"url": "https://mail.example", "from": "nobody", "user": "x", "tls": "perhaps"}
    c["actions"] = {"bad": {**MAIL, "template": "bad", "to": "{x"}, "plain": {**MAIL, "template": "plain"}, "none": {**MAIL, "template": "none"},
                    "only": {**MAIL, "template": "only"}, "free": {"type": "email", "template": "hello"}}
    rc, text = check(c, harness.write_config(tmp_path, database, c))
    assert rc == 3
    for wanted in ("mail_cap: a number of mails", "consent_model", "smtp.url: smtp://HOST", "smtp.from: an address is wanted", "smtp: user and secret go together",
                   "bad.txt: line 3, column 6: this brace is not closed", "to: column 1: this brace is not closed", "for no particular language it has no subject",
                   "/none.txt, for those whose language is not known", "/only.txt, for those whose language is not known", "purpose"):
        assert wanted in text, (wanted, text)


def test_a_check_warns_of_marketing_that_nobody_can_leave(database, config, sink, tmp_path):
    (config.folder / "hello.txt").write_text("Subject: x\n\nno link\n")
    c = marketing(config, sink)
    del c["public_url"]
    rc, text = check(c, harness.write_config(tmp_path, database, c))
    assert rc == 0 and "without `public_url` nobody can unsubscribe" in text and "the text has no {unsubscribe_url}" in text


def test_mail_needs_a_mail_server(database, config, sink, tmp_path):
    c = config(sink)
    del c["smtp"]
    rc, text = check(c, harness.write_config(tmp_path, database, c))
    assert rc == 3 and "there is no `smtp`" in text


def test_a_reload_reads_templates_and_server_again(start, database, config, sink):
    c = config(sink)
    d = start(c)
    buy(d, 1)
    sink.wait(1)
    (config.folder / "hello.txt").write_text("Subject: New\n\nNew {{text}}\n")
    with SmtpSink() as other:
        c["smtp"]["url"] = other.url
        assert d.reload(c)
        buy(d, 2)
        assert other.wait(1)["message"]["Subject"] == "New"
        (config.folder / "hello.txt").write_text("Subject: {broken\n")
        assert not d.reload(c)
        d.errors_expected = {"config_error"}
        buy(d, 3)
        assert other.wait(2)["message"]["Subject"] == "New"
    assert len(sink.mails) == 1
