# SPDX-License-Identifier: Apache-2.0
"""What a newcomer meets: the samples, the sample configuration, the manual pages, the README's commands.
The quickstart as a whole is run on a bare system elsewhere; here are the parts that are cheap to look at."""
import base64, json, os, re, subprocess

import pytest

import harness

SAMPLES = os.path.join(harness.SOURCE, "contrib", "samples")
SAMPLE_CONFIG = os.path.join(harness.SOURCE, "contrib", "touchlog.yaml.sample")
QUICKSTART = os.path.join(harness.SOURCE, "contrib", "quickstart")


def source(*path):
    with open(os.path.join(harness.SOURCE, *path), encoding="utf-8") as f:
        return f.read()


def sample(name):
    with open(os.path.join(SAMPLES, name), "rb") as f:
        return f.read()


def touchlogd(*args):
    return subprocess.run([harness.program("touchlogd"), *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)


def schema_of_settings():
    done = touchlogd("--schema")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def install(text, directory):
    """Puts a configuration and the secrets it names by file: into the directory; returns its path.  The presets need
    not be installed."""
    path = os.path.join(directory, "touchlog.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{text}\npreset_dir: \"{harness.PRESETS}\"\n")
    for name in re.findall(r'"file:([^"]+)"', text):
        secret = os.path.join(directory, name)
        os.makedirs(os.path.dirname(secret), exist_ok=True)
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            word = f"secret-of-{os.path.basename(name)}"
            # What an action of type webhook signs with has Standard Webhooks' form.
            f.write(f"whsec_{base64.b64encode(word.encode()).decode()}\n" if name == "chat.key" else f"{word}\n")
    return path


def quickstart_config():
    """The sources that the quickstart configures, as YAML."""
    text = re.search(r"^sources:\n.*?(?=^YAML$)", source("contrib", "quickstart"), re.M | re.S).group()
    return "own: [\"@teashop.example\", \"+31201234567\"]\n" + text


# ---- the sample configuration ----

def test_the_sample_configuration_is_accepted_as_it_stands(tmp_path):
    done = touchlogd("-t", "-c", install(source("contrib", "touchlog.yaml.sample"), tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok" in done.stdout


def test_the_check_tells_line_and_column_of_each_error_at_once(tmp_path):
    text = source("contrib", "touchlog.yaml.sample").replace("  writers: 2", "  writers: many") \
        .replace("    max_body: 8MiB", "    max_boby: 8MiB")
    lines = text.splitlines()
    done = touchlogd("-t", "-c", install(text, tmp_path))
    assert done.returncode == 3
    for key in ("writers: many", "max_boby: 8MiB"):
        (number,) = [n for n, line in enumerate(lines, 1) if key in line]
        assert re.search(rf"touchlog\.yaml:{number}:\d+: .*{key.split(':')[0]}", done.stderr), done.stderr
    assert "max_body" in done.stderr    # the key that was meant


def test_the_check_tells_what_the_start_would_trip_over_or_read_wrongly(tmp_path):
    text = source("contrib", "touchlog.yaml.sample")
    for address in ("localhost:8080", "127.0.0.1", "127.0.0.1:99999", "::1:8080", "[::1]:x"):
        bad = re.sub(r'address: "?127\.0\.0\.1:\d+"?', f'address: "{address}"', text)
        assert bad != text
        done = touchlogd("-t", "-c", install(bad, tmp_path))
        assert done.returncode == 3 and ".address: " in done.stderr and "127.0.0.1:8080" in done.stderr, (address, done.stderr)
    bad = text.replace("    max_body: 8MiB", "    dedupe_for: 9000000w")
    done = touchlogd("-t", "-c", install(bad, tmp_path))
    assert done.returncode == 3 and "10000y" in done.stderr, done.stderr


def keys_of(schema, node):
    """All property names in a schema, wherever they stand."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "properties":
                yield from value
            yield from keys_of(schema, value)
    elif isinstance(node, list):
        for value in node:
            yield from keys_of(schema, value)


def test_the_schema_knows_every_key_of_the_sample_configuration():
    schema = schema_of_settings()
    assert schema["$schema"].endswith("2020-12/schema")
    known = set(keys_of(schema, schema))
    used, inside = set(), None
    for line in source("contrib", "touchlog.yaml.sample").splitlines():
        line = re.sub(r"\s+#.*|^#.*", "", line)
        indent = len(line) - len(line.lstrip())
        key = re.match(r"\s*([a-z_]+):", line)
        if not key:
            continue
        if indent == 0:
            inside = key.group(1)
        is_name = indent == 2 and inside in ("sources", "listeners", "actions", "calendars", "rules")
        if indent <= 4 and not is_name:
            used.add(key.group(1))
        if is_name:
            used.update(re.findall(r"[{,]\s*([a-z_]+):", line))
    assert {"own", "conninfo", "listeners", "address", "serve", "verify", "secret", "map", "translate"} <= used
    assert used <= known, used - known


# ---- the samples ----

@pytest.fixture
def quickstarted(database, daemon, tmp_path):
    """A daemon with the sources that the quickstart configures."""
    config = quickstart_config() + f"""
database: {{ conninfo: "{database.conninfo()}" }}
listeners:
  public: {{ address: "127.0.0.1:0", serve: [ingest] }}
  ops: {{ address: "127.0.0.1:0", serve: [ops] }}
"""
    home = tmp_path / "home"
    home.mkdir()
    path = install(config, home)
    with open(path, encoding="utf-8") as f:
        text = f.read().replace('"file:', f'"file:{home}/')
    return daemon(text)


def test_the_samples_come_back_as_the_quickstart_says_and_are_one_time_line(quickstarted, database):
    d = quickstarted
    token = {"Authorization": "Bearer secret-of-callcenter"}
    first = d.post("callcenter", sample("call.json"), token)
    assert (first.status, first.json()["status"]) == (200, "logged")
    again = d.post("callcenter", sample("call.json"), token)
    assert (again.status, again.json()) == (200, {"id": first.json()["id"], "status": "duplicate"})

    order = sample("order.json")
    signed = {"X-Shop-Signature": harness.hmac_hex("secret-of-shop", order)}
    assert d.post("shop", order, signed).json()["status"] == "logged"
    forged = {"X-Shop-Signature": harness.hmac_hex("not the secret", order)}
    assert d.post("shop", order, forged).status == 401

    lines = d.post("helpdesk", sample("helpdesk.ndjson"),
                   {"Content-Type": "application/x-ndjson", **harness.basic("helpdesk", "secret-of-helpdesk")})
    assert (lines.status, lines.json()["logged"], lines.json()["rejected"]) == (200, 4, [])
    assert d.post("callcenter", sample("broken.json"), token).status == 400
    assert d.post("callcenter", sample("night-call.json"), token).json()["status"] == "logged"

    assert database.one("SELECT count(*) FROM touchlog.interaction") == 7
    for kind, value in (("phone", "+31621436587"), ("email", "anna.jansen@post.example"), ("external:shop", "c-48213")):
        assert database.one("SELECT count(*) FROM touchlog.timeline t JOIN touchlog.identity i USING (customer_id)"
                            f" WHERE i.kind = '{kind}' AND i.value = '{value}'") == 6, kind


def test_the_samples_can_be_tried_before_they_are_posted(quickstarted):
    for source, sample, code in (("callcenter", "call.json", 0), ("shop", "order.json", 0), ("helpdesk", "helpdesk.ndjson", 0),
                                 ("callcenter", "broken.json", 1)):
        done = quickstarted.touchlog("source", "try", source, os.path.join(harness.SOURCE, "contrib", "samples", sample))
        assert done.returncode == code and done.stderr == "", done
    assert re.search(r"^customer +/buyer/id +external:shop c-48213, strong$", quickstarted.touchlog(
        "source", "try", "shop", os.path.join(harness.SOURCE, "contrib", "samples", "order.json")).stdout, re.M)


def test_an_order_is_mapped_with_its_items_its_voucher_and_the_buyer(quickstarted, database):
    order = sample("order.json")
    signed = {"X-Shop-Signature": harness.hmac_hex("secret-of-shop", order)}
    assert quickstarted.post("shop", order, signed).status == 200
    (row,) = database.rows("SELECT kind, channel, thread, amount, currency, attributes FROM touchlog.interaction")
    assert (row["kind"], row["channel"], row["thread"]) == ("purchase", "web", "NL-20377")
    assert (float(row["amount"]), row["currency"]) == (57.40, "EUR")
    assert row["attributes"]["voucher"] == "WELCOME10"
    assert row["attributes"]["items"] == json.loads(order)["items"]
    assert database.one("SELECT name FROM touchlog.customer WHERE id = root_id AND name IS NOT NULL") == "Anna Jansen"


# ---- manual pages and documents ----

def man_pages():
    folder = os.path.join(os.environ.get("TOUCHLOG_BUILD", ""), "daemon", "man")
    return sorted(os.path.join(folder, n) for n in os.listdir(folder) if re.search(r"\.[1-9]$", n))


def rendered(path):
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-c", path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), path
    return re.sub(r".\x08", "", done.stdout)


def test_every_manual_page_renders_without_a_warning_and_without_a_gap():
    pages = man_pages()
    assert {"touchlogd.8", "touchlog.yaml.5"} <= {os.path.basename(p) for p in pages}
    for page in pages:
        text = rendered(page)
        assert "SEE ALSO" in text, page
        assert not re.search(r"@[A-Z]+@", text), page


def test_the_manual_pages_describe_every_setting_and_every_metric(daemon):
    pages = {os.path.basename(p): rendered(p) for p in man_pages()}
    settings = set(keys_of(None, schema_of_settings()))
    assert len(settings) > 40
    missing = {s for s in settings if not re.search(rf"^\s*{re.escape(s)}\b", pages["touchlog.yaml.5"], re.M)}
    assert not missing
    shown = daemon(sources={}).get("/metrics").body.decode()
    families = set(re.findall(r"^# TYPE (\S+)", shown, re.M))
    assert len(families) > 15
    assert not {f for f in families if f not in pages["touchlogd.8"]}


DOCUMENTS = ["README.md", "CONTRIBUTING.md", "daemon/README.md", "channels/README.md", "tests/README.md"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_is_there(document):
    here = os.path.dirname(document)
    missing = []
    for name in re.findall(r"\]\(([^)#:]+)\)|`((?:[a-z_]+/)+[\w.*-]*)`", source(document)):
        path = name[0] or name[1]
        if path.startswith(("var/", "build")) or "NAME" in path or "NNN" in path:
            continue
        places = [os.path.join(harness.SOURCE, at, path) for at in (here, "", "daemon", "tests")]
        if not any(os.path.exists(p) for p in places):
            missing.append(path)
    # What the build makes.
    assert set(missing) <= {"channels/registry.c"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_function_that_a_document_names_is_in_the_code(document):
    code = subprocess.run(["grep", "-rhoE", r"\b[a-z_0-9]+\(", "--include=*.[ch]", "--include=*.py", "--include=*.sql",
                           "daemon", "channels", "schema", "tests/e2e"], cwd=harness.SOURCE, capture_output=True,
                          text=True, check=True).stdout
    known = set(code.split("\n"))
    named = re.findall(r"`(?:touchlog\.)?([a-z_0-9]+\()\)`", source(document))
    assert not {n for n in named if n not in known}


def test_the_two_commands_of_the_readme_are_there_and_can_be_run():
    for command in re.findall(r"^    (contrib/quickstart|tests/run)\b", source("README.md"), re.M):
        assert os.access(os.path.join(harness.SOURCE, command), os.X_OK), command
    assert len(re.findall(r"^    (?:contrib/quickstart|tests/run)\b", source("README.md"), re.M)) == 2


def test_a_wrong_option_of_the_quickstart_is_answered_with_its_usage():
    done = subprocess.run([QUICKSTART, "--fast"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: contrib/quickstart")


# ---- the tarball ----

def files_of_the_source():
    """What people wrote: no objects, no caches, nothing that a build left in the tree."""
    for folder in ("channels", "contrib", "daemon", "schema", "tests"):
        for at, folders, names in os.walk(os.path.join(harness.SOURCE, folder)):
            folders[:] = [f for f in folders if not f.startswith((".", "__")) and f != "node_modules"]
            for name in names:
                path = os.path.join(at, name)
                is_text = re.search(r"\.(c|h|cc|js|py|sql|md|in|sh|json|ndjson|sample|dict)$", name)
                with open(path, "rb") as f:
                    if is_text or f.read(2) == b"#!":
                        yield os.path.relpath(path, harness.SOURCE)


def test_the_tarball_holds_every_file_of_the_source(tmp_path):
    build = os.environ["TOUCHLOG_BUILD"]
    tree = tmp_path / "tree"
    done = subprocess.run(["make", "-s", "-C", build, "distdir", f"distdir={tree}"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = set(files_of_the_source())
    assert {"schema/001-roles.sql", "contrib/quickstart", "tests/run", "daemon/edge/main.c"} <= wanted
    assert not {f for f in wanted if not (tree / f).is_file()}
