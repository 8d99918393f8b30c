# SPDX-License-Identifier: Apache-2.0
"""The presets: every payload of the corpus becomes interactions, and what exactly becomes of typical ones."""
import csv, fnmatch, json, os, re, subprocess, time

import pytest

import corpus_posts, harness, senders
from preset_cases import CASES

EXCEPTIONS = os.path.join(harness.HERE, "preset_exceptions.tsv")
NAMES = sorted(name[:-5] for name in os.listdir(harness.PRESETS))

needs_corpus = pytest.mark.skipif(not corpus_posts.CORPUS.is_dir(), reason=f"no corpus at {corpus_posts.CORPUS}: set TOUCHLOG_CORPUS")


@pytest.fixture(scope="module")
def tools(cluster, tmp_path_factory):
    """A daemon with a source of each preset."""
    db = cluster.fresh()
    config = {"public_url": senders.PUBLIC_URL, "sources": senders.sources()}
    with harness.Daemon(db, config, tmp_path_factory.mktemp("tools")) as d:
        yield d
    db.drop()


def ids_of(answer):
    """The ids of what was taken, in order."""
    body = answer.json()
    return [i for i in body.get("ids", [body.get("id")]) if i]


# ---- column by column ----

PEOPLE = """SELECT i.kind, i.value FROM touchlog.identity i JOIN touchlog.customer c ON c.id = i.customer_id
    WHERE c.root_id = (SELECT root_id FROM touchlog.customer WHERE id = {})"""


def people(db, customer_id):
    return {(r["kind"], r["value"]) for r in db.rows(PEOPLE.format(int(customer_id)))}


def participants(db, row_id):
    found = {}
    for r in db.rows(f"SELECT role, customer_id FROM touchlog.participant WHERE interaction_id = '{row_id}'"):
        found.setdefault(r["role"], set()).update(people(db, r["customer_id"]))
    return found


def name_of(db, customer_id):
    return db.one(f"SELECT coalesce((SELECT name FROM touchlog.customer WHERE id = {int(customer_id)}), '') AS name")


def seconds(interval):
    """'00:01:35' as PostgreSQL writes it -> 95.0"""
    hours, minutes, rest = interval.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def column(db, row, key):
    if key.startswith("attributes."):
        return row["attributes"].get(key[len("attributes."):])
    if key == "who":
        return people(db, row["customer_id"])
    if key == "with":
        return participants(db, row["id"])
    if key == "name":
        return name_of(db, row["customer_id"])
    if key in ("duration", "wait") and row[key] is not None:
        return seconds(row[key])
    return row[key]


def same(key, got, wanted):
    return wanted <= got if key == "who" else got == wanted


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_a_payload_becomes_these_columns(tools, case):
    answer = senders.post(tools, case.preset, case.body, case.headers, case.path or "")
    assert answer.status == 200, answer
    ids = ids_of(answer)
    assert len(ids) == len(case.rows), answer
    for row_id, wanted in zip(ids, case.rows):
        row = tools.row(row_id)
        got = {key: column(tools.database, row, key) for key in wanted}
        odd = {key: (got[key], wanted[key]) for key in wanted if not same(key, got[key], wanted[key])}
        assert not odd, f"got, wanted: {odd} in {row}"


def test_each_preset_has_a_case_of_its_own():
    assert {c.preset for c in CASES} == set(NAMES) == set(senders.SCHEMES)


@pytest.mark.parametrize("preset", NAMES)
def test_a_post_that_is_not_signed_is_refused(tools, preset):
    answer = tools.post(preset, b"{}", {"Content-Type": "application/json"})
    assert answer.status == 401, answer


# ---- handshakes ----

def test_meta_gets_its_challenge_back_for_the_right_token(tools):
    ask = "/in/whatsapp?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    answer = tools.get(ask + "hello-meta", "public")
    assert answer.status == 200 and answer.body == b"1158201444", answer
    for wrong in ("hello", "", "hello-meta2"):
        answer = tools.get(ask + wrong, "public")
        assert answer.status == 403 and b"1158201444" not in answer.body, answer


def test_slack_gets_its_challenge_back_when_it_has_signed(tools):
    question = {"token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", "type": "url_verification"}
    answer = senders.post(tools, "slack", question)
    assert answer.status == 200 and answer.body.decode() == question["challenge"], answer
    assert tools.post("slack", question).status == 401


@pytest.mark.parametrize("preset", ["mailchimp", "mandrill"])
def test_mailchimp_finds_its_url_before_it_saves_it(tools, preset):
    for method in ("GET", "HEAD"):
        answer = harness.request(tools.ports["public"], method, f"/in/{preset}")
        assert answer.status == 200 and answer.body == (b"ok" if method == "GET" else b""), answer


# ---- the corpus ----

def exceptions():
    with open(EXCEPTIONS, encoding="utf-8", newline="") as f:
        lines = [line for line in f if not line.startswith("#")]
    return list(csv.DictReader(lines, delimiter="\t"))


def refusals(answer):
    """What an answer lacks: nothing, for a payload that was logged as a whole."""
    if answer.status not in (200, 202):
        return {f"answer {answer.status}"}
    body = answer.json()
    lacks = {what for what in ("parked", "rejected") if body.get(what) or body.get("status") == what}
    if body.get("dedupe") == "none":
        lacks.add("no key")
    return lacks or (set() if ids_of(answer) else {"ignored"})


def shortfalls(db, answers):
    """The same of the rows behind the answers, by the keys of the dict."""
    found = {key: refusals(answer) for key, answer in answers.items()}
    ids = {i: key for key, answer in answers.items() if not found[key] for i in ids_of(answer)}
    rows = db.rows(f"SELECT id, kind, customer_id FROM touchlog.interaction WHERE id = ANY('{{{','.join(ids)}}}')")
    assert len(rows) == len(ids)
    for row in rows:
        if row["customer_id"] <= 0:
            found[ids[row["id"]]].add("no identity")
        if not row["kind"]:
            found[ids[row["id"]]].add("no kind")
    return {key: lacks for key, lacks in found.items() if lacks}


def is_duplicate(answer):
    body = answer.json() if answer.status == 200 else {}
    return body.get("status") == "duplicate" or body.get("duplicates", 0) > 0


def forget_keys(db):
    """Fixtures of one library share their ids."""
    db.run("TRUNCATE touchlog.seen")


@needs_corpus
def test_every_payload_of_the_corpus_is_a_contact_or_a_known_exception(tools):
    answers, unused, covered = {}, set(), set()
    for post in corpus_posts.all_posts():
        answer = post.send(tools)
        if is_duplicate(answer):
            forget_keys(tools.database)
            answer = post.send(tools)
        answers[post.preset, post.name] = answer
    found = shortfalls(tools.database, answers)
    for e in exceptions():
        hits = [k for k, lacks in found.items() if k[0] == e["preset"] and fnmatch.fnmatchcase(k[1], e["payload"]) and lacks == {e["what"]}]
        assert e["reason"], e
        if not hits:
            unused.add((e["preset"], e["payload"], e["what"]))
        covered.update(hits)
    unknown = {k: v for k, v in found.items() if k not in covered}
    assert not unknown, "\n".join(f"{k[0]}\t{k[1]}\t{', '.join(v)}" for k, v in unknown.items())
    assert not unused, f"these are no exceptions any more: {unused}"


@needs_corpus
def test_the_corpus_has_payloads_of_twelve_presets():
    assert len({p.preset for p in corpus_posts.all_posts()}) == 12


# ---- the setting ----

def check(tmp_path, config):
    path = tmp_path / "touchlog.yaml"
    whole = {"listeners": {"public": {"address": "127.0.0.1:0", "serve": ["ingest"]}}, "preset_dir": harness.PRESETS, **config}
    path.write_text(json.dumps(whole))
    done = subprocess.run([harness.program("touchlogd"), "-t", "-c", str(path)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr


def test_an_unknown_preset_is_told_with_the_nearest_and_all_there_are(tmp_path):
    code, said = check(tmp_path, {"sources": {"s": {"type": "webhook", "preset": "strip", "secret": "plain:x"}}})
    assert code != 0 and 'did you mean "stripe"?' in said and f"known are: {', '.join(NAMES)}" in said, said


def test_sixty_sources_with_all_presets_load_in_a_tenth_of_a_second(tmp_path):
    three = {f"{name}-{n}": {"type": "webhook", "preset": name, **more} for n in range(3) for name, more in senders.SETTINGS.items()}
    sixty = dict(list(three.items())[:60])
    config = {"public_url": senders.PUBLIC_URL, "sources": sixty}
    assert len(sixty) == 60 and {s["preset"] for s in sixty.values()} == set(NAMES) and check(tmp_path, config)[0] == 0
    took_s = []
    for _ in range(5):
        start = time.monotonic()
        check(tmp_path, config)
        took_s.append(time.monotonic() - start)
    # With sanitizers it takes several times as long, start of the process included.
    assert min(took_s) < (0.8 if harness.has_asan() else 0.1), took_s


def test_a_source_says_otherwise_than_its_preset(daemon):
    source = {"type": "webhook", "preset": "calendly", "verify": "none", "channel": "social",
              "map": {"thread": None, "outcome": "=planned", "attributes.who": "/payload/email"}}
    d = daemon(sources={"dates": source})
    row = d.log_event("dates", {"event": "invitee.created", "created_at": "2026-02-13T16:26:40Z",
                                "payload": {"uri": "https://x/1", "email": "a@otherwise.example"}})
    assert row["channel"] == "social" and row["thread"] is None and row["outcome"] == "planned"
    assert row["attributes"] == {"who": "a@otherwise.example"}


def test_source_list_shows_the_presets(tools):
    lines = tools.touchlog("source", "list").stdout.splitlines()
    assert re.match(r"NAME +TYPE +PRESET ", lines[0])
    assert {tuple(line.split()[:3]) for line in lines[1:]} == {(name, "webhook", name) for name in NAMES}
    listed = json.loads(tools.touchlog("source", "list", "--json").stdout)
    assert {s["name"]: s["preset"] for s in listed} == {name: name for name in NAMES}


def test_the_manual_names_every_preset_and_no_other():
    with open(os.path.join(harness.SOURCE, "daemon/man/touchlog.yaml.5.in"), encoding="utf-8") as f:
        (section,) = re.findall(r"^\.SH PRESETS\n(.*?)^\.SH ", f.read(), re.S | re.M)
    assert re.findall(r"^\.TP\n\.B (\S+)", section, re.M) == [n.replace("-", r"\-") for n in NAMES]


def test_every_preset_is_installed():
    with open(os.path.join(harness.SOURCE, "Makefile.am"), encoding="utf-8") as f:
        assert sorted(re.findall(r"channels/presets/(\S+)\.yaml", f.read())) == NAMES
