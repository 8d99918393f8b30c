# SPDX-License-Identifier: Apache-2.0
"""A rolling upgrade: the schema is migrated under load beside the old daemon, whose senders get 200 and 202 only."""
import os, shutil, subprocess, threading, time

import drills, harness
from drills import QUICK, compare, with_spool
from harness import until

HEAD = "-- SPDX-License-Identifier: Apache-2.0\n-- min_binary: 1\n"
# What a new version typically brings.  The index on the log cannot be made CONCURRENTLY, since that is partitioned:
# nothing is written while it is made.
MIGRATIONS = {
    "column": "SET LOCAL ROLE touchlog_admin;\nALTER TABLE touchlog.interaction ADD COLUMN drill text;\n"
              "ALTER TABLE touchlog.customer ADD COLUMN drill text NOT NULL DEFAULT 'new';\n",
    "concurrently": "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS seen_drill ON touchlog.seen (id)\n",
    "index": "SET LOCAL ROLE touchlog_admin;\nCREATE INDEX interaction_drill ON touchlog.interaction (source, occurred_at);\n",
    "function": "SET LOCAL ROLE touchlog_admin;\n"
                "CREATE TABLE touchlog.drill (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());\n"
                "GRANT INSERT, SELECT ON touchlog.drill TO touchlog_daemon;\n"
                "CREATE OR REPLACE FUNCTION touchlog.match(ids uuid[], low timestamptz, high timestamptz,\n"
                "    at timestamptz DEFAULT clock_timestamp(), OUT n_hits int, OUT failed int[])\n"
                "LANGUAGE plpgsql AS $$ BEGIN INSERT INTO touchlog.drill SELECT unnest(ids); END $$;\n",
}

# Events of the month so far, each with its key.
FILL = """
INSERT INTO touchlog.interaction (id, received_at, occurred_at, customer_id, source, channel, direction, kind, external_id, subject, txid)
SELECT id, touchlog.at(id), touchlog.at(id), 1 + n % 1000, 'old', 'web', 'in', 'visit', 'old-' || n, 'event ' || n || ' of before the upgrade', 1
FROM generate_series(1, {n}) n, LATERAL (SELECT (lpad(to_hex((extract(epoch FROM date_trunc('month', now())) * 1000)::bigint + n), 12, '0')
    || '7000' || '8' || substr(md5(n::text), 1, 15))::uuid AS id OFFSET 0) x;
INSERT INTO touchlog.seen SELECT md5('old' || n)::uuid, md5(n::text)::uuid FROM generate_series(1, {n}) n;
"""


def test_a_migration_under_load_beside_the_old_daemon_gives_200_and_202_only(database, daemon, sender, tmp_path, size, tell):
    rows = size(200_000, 5_000_000)
    database.run("SET synchronous_commit = off;" + FILL.format(n=rows))
    folder = shutil.copytree(harness.SCHEMA, tmp_path / "schema")
    last = len([name for name in os.listdir(folder) if name.endswith(".sql")])
    for i, (name, sql) in enumerate(MIGRATIONS.items(), 1):
        (folder / f"{last + i:03}-{name}.sql").write_text(HEAD + sql)
    d = daemon(with_spool({"sources": drills.SOURCES}, tmp_path))       # with the spool_after of everybody
    s = sender(d, conns=32, rate=size(300, 1000))
    s.wait_for(500)
    config = harness.write_config(tmp_path, database, {"database": {"admin_conninfo": database.admin_conninfo}})
    done, notes = [], tmp_path / "migrate.err"
    notes.touch()

    def migrate():
        with open(notes, "wb") as err:
            done.append(subprocess.run([harness.program("touchlog"), "-c", config, "migrate", "--schema-dir", str(folder)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True))

    t = threading.Thread(target=migrate)
    start = time.monotonic()
    # A long report stands in its way at first: it tries, lets the daemon's batches pass, and tries again.
    with database.session("BEGIN", "SELECT count(*) FROM touchlog.interaction"):
        t.start()
        until(lambda: notes.exists() and "try 3 of" in notes.read_text(), "it tries again")
    t.join()
    took_s = time.monotonic() - start
    assert done[0].returncode == 0, notes.read_text()
    assert done[0].stdout.count("applied") == len(MIGRATIONS), done[0].stdout
    s.wait_for(1000, "logged")
    s.stop()
    d.wait_drained(60)
    tell(rows=rows, migrated_in_s=round(took_s, 1), worst_ms=round(s.latency_s(1) * 1000), **compare(database, s))
    assert not any(s.counts[what] for what in ("refused", "reset", "timed_out", "http_503", "http_429"))
    assert s.retried() == 0
    # The old daemon has run the new function.
    assert database.one("SELECT count(*) FROM touchlog.drill") > 500
    assert database.one("SELECT min_binary FROM touchlog.schema_version ORDER BY version DESC LIMIT 1") == 1
