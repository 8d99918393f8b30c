-- SPDX-License-Identifier: Apache-2.0
-- What stands beside accept(): partitions, parked events, profiles, old keys, the
-- cluster.  Each test is a sentence that is true when it passes.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET TimeZone = 'UTC';

\echo '# partitions'
CREATE FUNCTION t.has(at timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(p.relname, ' ' ORDER BY p.relname) FROM pg_class p
	WHERE p.relname IN ('interaction' || to_char(date_trunc('month', at), '_YYYYMMDD'),
	    'document' || to_char(date_trunc('week', at), '_YYYYMMDD'))
$$;
CREATE FUNCTION t.put(at timestamptz) RETURNS void LANGUAGE sql AS $$
	INSERT INTO touchlog.interaction (id, received_at, occurred_at, customer_id, source, channel,
	    direction, kind, txid) VALUES (gen_random_uuid(), at, at, 0, 't', 'web', 'in', 'visit', 1);
	INSERT INTO touchlog.document VALUES (gen_random_uuid(), at, 0, '{}');
$$;
SELECT t.is('received_at is the millisecond of the id', touchlog.at('0197a5b6-e1f8-7abc-8def-0123456789ab'), '2025-06-25 06:11:55.512+00'::timestamptz);
SELECT t.is('making partitions again makes none', touchlog.make_partitions(), 0);
SELECT t.is('each day from now to two months ahead has its two', (SELECT count(*) FROM generate_series(now(), now() + interval '2 months', '1 day') d WHERE t.refusal(format('SELECT t.put(%L)', d)) <> ''), 0::bigint);
SELECT t.is('without a partition a row is refused with 23514', t.refusal($$ SELECT t.put('2019-12-31 23:59:59.999') $$), '23514');
SELECT t.is('an id years old gets one month and one week', touchlog.make_partitions('2019-12-31 23:59:59.999'), 2);
SELECT t.is('which take it', t.refusal($$ SELECT t.put('2019-12-31 23:59:59.999') $$), '');
SELECT t.is('named by their first days', t.has('2019-12-31'), 'document_20191230 interaction_20191201');
SELECT t.is('the first moment of the next month is another''s', t.refusal($$ SELECT t.put('2020-01-01') $$), '23514');
SELECT touchlog.make_partitions('2071-11-30');
SELECT t.is('an id years ahead gets the two months after it too', t.has('2071-11-30') || ' ' || t.has('2072-01-30'), 'document_20711130 interaction_20711101 document_20720125 interaction_20720101');
SELECT t.is('the last that an id can say gets one', touchlog.make_partitions(touchlog.at('ffffffff-ffff-7fff-bfff-ffffffffffff')) > 0, true);
SET TimeZone = 'Pacific/Auckland';
SELECT touchlog.make_partitions('2030-01-31 23:59:59+00');
SELECT t.is('the caller''s time zone moves no bounds', (SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'interaction_20300101'), 'FOR VALUES FROM (''2030-01-01 13:00:00+13'') TO (''2030-02-01 13:00:00+13'')');
SET TimeZone = 'UTC';
SELECT t.is('no CHECK stays on a partition, it would cost every row', (SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND connamespace = 'touchlog'::regnamespace AND conrelid IN (SELECT inhrelid FROM pg_inherits)), 0::bigint);
SELECT t.is('every index of the log is on each partition', (SELECT string_agg(DISTINCT n::text, ' ') FROM (SELECT count(*) n FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relname ~ '^interaction_[0-9]' AND indisvalid GROUP BY c.oid) x), '4');
ALTER TABLE touchlog.interaction DETACH PARTITION touchlog.interaction_20191201;
SELECT t.is('a detached table of that name is an error, not a loop', t.refusal($$ SELECT touchlog.make_partitions('2019-12-31') $$), '55000');

\echo '# parked events'
CREATE FUNCTION t.park(VARIADIC keys text[]) RETURNS text LANGUAGE sql AS $$
	SELECT array_to_string(touchlog.park(array_agg(gen_random_uuid()), array_agg(md5(k)::uuid ORDER BY n),
	    array_agg('src'::text), array_agg(k::bytea), array_agg('text/plain'::text),
	    array_agg('reason ' || n), array_agg('22P02'::text)), ' ') FROM unnest(keys) WITH ORDINALITY u(k, n)
$$;
CREATE FUNCTION t.parked(k text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', source, convert_from(raw, 'UTF8'), content_type, reason, sqlstate,
	    attempts, state) FROM touchlog.parked WHERE key = md5(k)::uuid
$$;
CREATE FUNCTION t.parked_id(k text) RETURNS uuid LANGUAGE sql AS
$$ SELECT id FROM touchlog.parked WHERE key = md5(k)::uuid $$;
SELECT t.is('parked under the id given', touchlog.park('{11111111-1111-7111-8111-111111111111}', ARRAY[md5('p')::uuid], '{src}', '{\\x00ff}', '{NULL}', '{why}', '{NULL}'), '{11111111-1111-7111-8111-111111111111}');
SELECT t.is('a repeat returns the first id', touchlog.park('{22222222-2222-7222-8222-222222222222}', ARRAY[md5('p')::uuid], '{src}', '{\\x00ff}', '{NULL}', '{why}', '{NULL}'), '{11111111-1111-7111-8111-111111111111}');
SELECT t.is('with its bytes as they came', (SELECT raw FROM touchlog.parked WHERE key = md5('p')::uuid), '\x00ff'::bytea);
SELECT t.park('b', 'a', 'c');
SELECT t.is('ids come back in the order asked', t.park('c', 'a', 'b'), concat_ws(' ', t.parked_id('c'), t.parked_id('a'), t.parked_id('b')));
SELECT t.is('a repeat counts and tells the last reason', t.parked('b'), 'src b text/plain reason 3 22P02 2 open');
SELECT t.is('one key twice in a call is one row with one id', t.park('d', 'd'), concat_ws(' ', t.parked_id('d'), t.parked_id('d')));
SELECT t.is('and two attempts', t.parked('d'), 'src d text/plain reason 1 22P02 2 open');
SELECT t.is('last_at moves, first_at stays', (SELECT last_at > first_at FROM touchlog.parked WHERE key = md5('c')::uuid), true);
SELECT t.is('a retried one', touchlog.settle_parked(t.parked_id('a'), 'retried'), true);
SELECT t.is('is settled', touchlog.settle_parked(t.parked_id('a'), 'dropped'), false);
SELECT t.park('a');
SELECT t.is('until it is parked again', t.parked('a'), 'src a text/plain reason 1 22P02 3 open');
SELECT touchlog.settle_parked(t.parked_id('b'), 'dropped'), t.park('b');
SELECT t.is('a dropped one stays dropped when it comes again', t.parked('b'), 'src b text/plain reason 1 22P02 3 dropped');
SELECT t.is('but a person may retry it', touchlog.settle_parked(t.parked_id('b'), 'retried') AND t.parked('b') ~ 'retried', true);
SELECT t.is('who is not there cannot be settled', touchlog.settle_parked(gen_random_uuid(), 'dropped'), false);
SELECT t.is('nothing parked, nothing returned', touchlog.park('{}', '{}', '{}', '{}', '{}', '{}', '{}'), '{}');

\echo '# profiles'
SELECT t.one('pr' || n, 'email pr' || n || '@x') FROM generate_series(1, 9) n;
CREATE FUNCTION t.profile(who text, fields jsonb, trusted boolean DEFAULT false) RETURNS void LANGUAGE sql AS
$$ SELECT touchlog.profile(ARRAY[t.own(who)], ARRAY[fields], ARRAY[trusted]) $$;
CREATE FUNCTION t.card(who text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', kind, name, language, time_zone, address, attributes)
	FROM touchlog.customer WHERE id = t.own(who)
$$;
SELECT t.profile('pr1@x', '{"name":"Ann","language":"nl","address":{"city":"Delft"},"shoe":38,"kind":"organisation"}');
SELECT t.is('fields fill what is empty, others go to attributes', t.card('pr1@x'), 'person Ann nl {"city": "Delft"} {"shoe": 38}');
SELECT t.profile('pr1@x', '{"name":"Eve","time_zone":"Asia/Tokyo","address":"here","shoe":40,"hat":7}');
SELECT t.is('and overwrite nothing', t.card('pr1@x'), 'person Ann nl Asia/Tokyo {"city": "Delft"} {"hat": 7, "shoe": 38}');
SELECT t.profile('pr1@x', '{"name":"Anna","address":"there","shoe":39,"kind":"organisation"}', true);
SELECT t.is('a trusted source overwrites', t.card('pr1@x'), 'organisation Anna nl Asia/Tokyo "there" {"hat": 7, "shoe": 39}');
SELECT t.profile('pr1@x', '{"name":"","language":null,"address":null,"shoe":null,"kind":"robot"}', true);
SELECT t.is('nothing said changes nothing', t.card('pr1@x'), 'organisation Anna nl Asia/Tokyo "there" {"hat": 7, "shoe": 39}');
SELECT t.profile('pr2@x', '{"name":"","language":null,"time_zone":"","address":null,"shoe":null}');
SELECT t.is('nor fills anything', t.card('pr2@x'), 'person {}');
SELECT touchlog.profile(ARRAY[t.own('pr3@x'), t.own('pr4@x'), t.own('pr3@x'), t.own('pr3@x'), t.own('pr3@x'), 0, NULL], '{"{\"name\":\"A\",\"x\":1}","{\"name\":\"D\"}","{\"name\":\"B\",\"y\":1}","{\"name\":\"T\",\"x\":2}","{\"name\":\"C\",\"language\":\"fr\"}","{\"name\":\"N\"}","{\"name\":\"N\"}"}', '{f,f,f,t,f,f,f}');
SELECT t.is('several entries for one customer count in their order', t.card('pr3@x'), 'person T fr {"x": 2, "y": 1}');
SELECT t.is('beside another''s', t.card('pr4@x'), 'person D {}');
SELECT touchlog.profile(ARRAY[t.own('pr5@x'), t.own('pr5@x')], '{"{\"name\":\"A\"}","{\"name\":\"B\"}"}', '{t,t}');
SELECT t.is('of two trusted ones the last counts', t.card('pr5@x'), 'person B {}');
SELECT touchlog.profile(ARRAY[t.own('pr5@x'), t.own('pr5@x')], '{"{\"name\":\"A\"}","{\"name\":\"B\"}"}', '{t,t}');
SELECT t.profile('pr6@x', '{"name":"F"}');
SELECT xmin AS was FROM touchlog.customer WHERE id = t.own('pr6@x') \gset
SELECT t.profile('pr6@x', '{"name":"F"}', true), t.profile('pr6@x', '{"name":"G"}'), t.profile('pr6@x', '{}');
SELECT t.is('a row that would not change is not written', (SELECT xmin::text FROM touchlog.customer WHERE id = t.own('pr6@x')), :'was');
SELECT t.is('what is no object is the input''s fault', t.refusal($$ SELECT t.profile('pr7@x', '[1]', true) $$), '22023');

\echo '# old keys'
CREATE FUNCTION t.key(n int) RETURNS uuid LANGUAGE sql AS
$$ SELECT ('f0000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
DELETE FROM touchlog.seen;
INSERT INTO touchlog.seen SELECT t.key(n), gen_random_uuid(), CASE n % 4 WHEN 0 THEN current_date - 1 WHEN 1 THEN current_date WHEN 2 THEN NULL ELSE current_date + 1 END FROM generate_series(1, 100) n;
SELECT t.is('a bite looks at n keys and says where to go on', touchlog.prune_seen(NULL, 10)::text, format('(%s,2)', t.key(11)));
SELECT t.is('from there it goes on', touchlog.prune_seen(t.key(11), 86)::text, format('(%s,22)', t.key(97)));
SELECT t.is('and ends', touchlog.prune_seen(t.key(97), 10)::text, '(,1)');
SELECT t.is('also when the last key ends a bite', touchlog.prune_seen(t.key(99), 1)::text, '(,0)');
SELECT t.is('only what was over is gone', (SELECT count(*) || ' ' || count(*) FILTER (WHERE until < current_date) FROM touchlog.seen), '75 0');
DELETE FROM touchlog.seen;
SELECT t.is('without keys there is nothing to do', touchlog.prune_seen(NULL, 10)::text, '(,0)');

\echo '# the cluster'
SELECT t.is('at home nothing is adopted', touchlog.adopt_cluster(), false);
INSERT INTO touchlog.interaction (id, received_at, occurred_at, customer_id, source, channel, direction, kind, txid) SELECT gen_random_uuid(), at, at, 0, 't', 'web', 'in', 'visit', txid FROM (VALUES (now(), 900000000000), ('2071-12-01', 800000000000)) v(at, txid);
UPDATE touchlog.cluster SET system_identifier = 1;
SELECT t.is('in another cluster it is', touchlog.adopt_cluster(), true);
SELECT t.is('once', touchlog.adopt_cluster(), false);
SELECT t.one('cl1', 'email cl@x');
SELECT t.is('then new transactions come after all of the log', (SELECT txid > 900000000000 AND txid < 900000001000 FROM touchlog.interaction WHERE external_id = 'cl1'), true);
UPDATE touchlog.cluster SET system_identifier = 1, txid_offset = 2000000000000;
SELECT touchlog.adopt_cluster();
SELECT t.is('the offset is never lowered', (SELECT txid_offset FROM touchlog.cluster), 2000000000000);
SELECT t.is('there is one cluster', t.refusal('INSERT INTO touchlog.cluster VALUES (1, 1)'), '23505');
