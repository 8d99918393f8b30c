-- SPDX-License-Identifier: Apache-2.0
-- Lets a test say who took part in an event as JSON, and compare time lines.
CREATE SCHEMA t;

-- UUIDv7 of now, its random part made from a name.
CREATE FUNCTION t.id(name text) RETURNS uuid LANGUAGE sql AS $$
	SELECT overlay(overlay(md5(name) PLACING lpad(to_hex((extract(epoch FROM
	    date_trunc('milliseconds', now())) * 1000)::bigint), 12, '0') FROM 1 FOR 12)
	    PLACING '7' FROM 13 FOR 1)::uuid
$$;

CREATE TABLE t.given (name text PRIMARY KEY, id uuid NOT NULL);
CREATE TABLE t.last (refused int);	-- of the last batch
INSERT INTO t.last VALUES (0);

-- One batch.  Each event: {"name", "key" (else name), "weak", "again" (another id
-- than before), "parties": [[[kind, value, alternative], …], …]}; the first party
-- is the customer.  Returns the fates as name=fresh|logged|duplicate.
CREATE FUNCTION t.log(batch jsonb, merge_limit int DEFAULT 5) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	keys uuid[]; ids uuid[]; untils date[]; events int[] := '{}'; trusted bool[] := '{}';
	parties int[] := '{}'; kinds text[] := '{}'; vals text[] := '{}'; alts text[] := '{}';
	raws text[] := '{}'; strongs bool[] := '{}'; ats timestamptz[] := '{}';
	rows touchlog.interaction_row[] := '{}'; owners int[] := '{}';
	guest_events int[] := '{}'; guests int[] := '{}'; roles text[] := '{}';
	fates text[] := '{}'; e jsonb; p jsonb; m jsonb; n int := 0; k int; r record;
BEGIN
	INSERT INTO t.given SELECT x->>'name', t.id(x->>'name' || clock_timestamp())
	FROM jsonb_array_elements(batch) x ON CONFLICT DO NOTHING;
	SELECT array_agg(md5(coalesce(x->>'key', x->>'name'))::uuid ORDER BY o),
	    array_agg(CASE WHEN x ? 'again' THEN t.id(clock_timestamp()::text || o) ELSE g.id END
		ORDER BY o), array_agg(NULL::date)
	INTO keys, ids, untils
	FROM jsonb_array_elements(batch) WITH ORDINALITY j(x, o)
	JOIN t.given g ON g.name = x->>'name';
	FOR e IN SELECT * FROM jsonb_array_elements(batch) LOOP
		n := n + 1;
		k := 0;
		ats := ats || touchlog.at(ids[n]);
		owners := owners || NULL::int;
		rows := rows || ROW(ids[n], ats[n], ats[n], 'test', NULL, 'other', 'in', 'message',
		    e->>'name', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
		    '{}')::touchlog.interaction_row;
		FOR p IN SELECT * FROM jsonb_array_elements(e->'parties') LOOP
			k := k + 1;
			CONTINUE WHEN p = '[]';		-- nobody knows who
			events := events || n;
			trusted := trusted || NOT (e ? 'weak');
			IF k = 1 THEN
				owners[n] := cardinality(vals) + 1;
			ELSE
				guest_events := guest_events || n;
				guests := guests || cardinality(vals) + 1;
				roles := roles || 'cc'::text;
			END IF;
			FOR m IN SELECT * FROM jsonb_array_elements(p) LOOP
				parties := parties || cardinality(events);
				kinds := kinds || (m->>0);
				vals := vals || (m->>1);
				alts := alts || (m->>2);
				raws := raws || NULL::text;
				strongs := strongs || (m->>0 ~ '^(email|external:)' AND m->>1 !~ '^info@');
			END LOOP;
		END LOOP;
	END LOOP;
	SELECT * INTO r FROM touchlog.append(keys, ids, untils, events, trusted, parties, kinds,
	    vals, alts, raws, strongs, merge_limit, ats, rows, owners,
	    array_fill('{"a": 1}'::jsonb, ARRAY[n]), guest_events, guests, roles, '{}', '{}', '{}',
	    '{}');
	UPDATE t.last SET refused = r.refused;
	FOR i IN 1 .. n LOOP
		fates := fates || (batch->(i - 1)->>'name' || '=' || CASE WHEN r.stands[i] IS NULL
		    THEN 'fresh' WHEN r.stands[i] = ids[i] THEN 'logged' ELSE 'duplicate' END);
	END LOOP;
	RETURN array_to_string(fates, ' ');
END $$;

-- Shorthand: one event with one party.  t.one('order', 'email a@x', 'phone 1 01')
CREATE FUNCTION t.one(name text, VARIADIC who text[]) RETURNS text LANGUAGE sql AS $$
	SELECT t.log(jsonb_build_array(jsonb_build_object('name', name, 'parties',
	    jsonb_build_array((SELECT jsonb_agg(to_jsonb(string_to_array(w, ' '))) FROM unnest(who) w)))))
$$;
CREATE FUNCTION t.weak(name text, VARIADIC who text[]) RETURNS text LANGUAGE sql AS $$
	SELECT t.log(jsonb_build_array(jsonb_build_object('name', name, 'weak', true, 'parties',
	    jsonb_build_array((SELECT jsonb_agg(to_jsonb(string_to_array(w, ' '))) FROM unnest(who) w)))))
$$;

CREATE FUNCTION t.own(val text) RETURNS bigint LANGUAGE sql AS
$$ SELECT customer_id FROM touchlog.identity WHERE value = val $$;

-- The names of the events on the time line of whoever has this identity.
CREATE FUNCTION t.line(val text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(external_id, ' ' ORDER BY external_id), '')
	FROM touchlog.timeline WHERE customer_id = t.own(val)
$$;

CREATE FUNCTION t.is(name text, got anyelement, want anyelement) RETURNS text
LANGUAGE sql AS $$
	SELECT CASE WHEN got IS NOT DISTINCT FROM want THEN 'ok - ' || name
	    ELSE format('not ok - %s: got "%s", want "%s"', name, got, want) END
$$;

-- The SQLSTATE with which a statement is refused, '' when it is not.
CREATE FUNCTION t.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN '';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;

-- What must hold after anything at all; empty when it does.
CREATE FUNCTION t.broken() RETURNS text LANGUAGE sql AS $$
	WITH RECURSIVE reach(start, id) AS (
		SELECT id, id FROM touchlog.customer
		UNION
		SELECT r.start, CASE WHEN m.a_id = r.id THEN m.b_id ELSE m.a_id END
		FROM reach r JOIN touchlog.merge m
		    ON (m.a_id = r.id OR m.b_id = r.id) AND m.state = 'joined'),
	want AS (
		SELECT DISTINCT ON (r.start) r.start AS id, r.id AS root FROM reach r
		ORDER BY r.start, NOT EXISTS (SELECT FROM touchlog.identity i
		    WHERE i.customer_id = r.id AND i.strong), r.id)
	SELECT concat_ws(', ',
	    (SELECT 'root of ' || c.id || ' is ' || c.root_id || ' not ' || w.root
	     FROM touchlog.customer c JOIN want w USING (id) WHERE c.root_id <> w.root LIMIT 1),
	    (SELECT 'orphan customer ' || c.id FROM touchlog.customer c
	     WHERE NOT EXISTS (SELECT FROM touchlog.identity i WHERE i.customer_id = c.id) LIMIT 1),
	    (SELECT 'identity without customer ' || i.customer_id FROM touchlog.identity i
	     WHERE NOT EXISTS (SELECT FROM touchlog.customer c WHERE c.id = i.customer_id) LIMIT 1),
	    (SELECT 'interaction of nobody ' || i.customer_id FROM touchlog.interaction i
	     WHERE i.customer_id > 0 AND NOT EXISTS
		(SELECT FROM touchlog.customer c WHERE c.id = i.customer_id) LIMIT 1),
	    (SELECT 'seen and log differ' WHERE EXISTS
		(SELECT id FROM touchlog.seen EXCEPT SELECT id FROM touchlog.interaction) OR EXISTS
		(SELECT id FROM touchlog.interaction EXCEPT SELECT id FROM touchlog.seen)),
	    (SELECT 'merge_limit exceeded' WHERE EXISTS
		(SELECT FROM touchlog.customer GROUP BY root_id HAVING count(*) > 5)))
$$;
