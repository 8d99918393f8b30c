-- SPDX-License-Identifier: Apache-2.0
-- A million rows in each of interaction, seen and identity, 14 months of them.
-- Sorted by primary key where that is random, and without the log's further
-- indexes while they load (they are made again as they were): a third of the time.
SET synchronous_commit = off;
SET TimeZone = 'UTC';
SET maintenance_work_mem = '256MB';
SET work_mem = '256MB';
SELECT touchlog.make_partitions(now() - n * interval '1 month') FROM generate_series(1, 14) n;

CREATE TABLE t.index AS
SELECT indexrelid::regclass::text AS name,
    replace(pg_get_indexdef(indexrelid), 'ON ONLY', 'ON') AS definition
FROM pg_index WHERE indrelid = 'touchlog.interaction'::regclass AND NOT indisprimary;
DO $$
DECLARE
	i record;
BEGIN
	FOR i IN SELECT * FROM t.index LOOP
		EXECUTE 'DROP INDEX ' || i.name;
	END LOOP;
END $$;

INSERT INTO touchlog.interaction (id, received_at, occurred_at, customer_id, source, channel,
    direction, kind, thread, txid)
SELECT (lpad(to_hex(a.ms), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
    a.at, a.at, 1 + n * 7919::bigint % 500000, 's', 'web', 'in', 'visit',
    CASE WHEN n % 4 = 0 THEN 'thread' || n END, n
FROM (SELECT (extract(epoch FROM date_trunc('day', now()) - interval '390 days') * 1000)::bigint
    AS start_ms) s, generate_series(1, 1000000) n,
    LATERAL (SELECT s.start_ms + n * 33000::bigint AS ms,
	to_timestamp((s.start_ms + n * 33000::bigint) / 1000) AS at OFFSET 0) a;
INSERT INTO touchlog.participant
SELECT id, received_at, customer_id, 500000 - customer_id, 'cc' FROM touchlog.interaction
WHERE txid % 10 = 0;
INSERT INTO touchlog.seen
SELECT md5('seen' || n)::uuid, md5(n::text)::uuid, CASE WHEN n % 2 = 0 THEN current_date - 1 END
FROM generate_series(1, 1000000) n ORDER BY 1;
INSERT INTO touchlog.customer (id, root_id) SELECT n, n FROM generate_series(1, 500000) n;
SELECT setval('touchlog.customer_id', 500000);
INSERT INTO touchlog.identity (value, kind, customer_id, strong)
SELECT 'person' || n || '@example.com', 'email', n, true FROM generate_series(1, 500000) n
ORDER BY ('person' || n || '@example.com') COLLATE "C";
INSERT INTO touchlog.identity (value, kind, customer_id, strong)
SELECT '+316' || lpad(n::text, 8, '0'), 'phone', n, false FROM generate_series(1, 500000) n;
DO $$
DECLARE
	i record;
BEGIN
	FOR i IN SELECT * FROM t.index LOOP
		EXECUTE i.definition;
	END LOOP;
END $$;
ANALYZE;
