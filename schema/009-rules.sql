-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- Rules: what they are, what they remember, and the three functions that run them.
--
--   match(ids, lo, hi)   inside the append transaction: all predicates in one projection,
--                        immediate rules decided, timers armed.
--   decide_due(n, now)   a dispatcher's claim: due timers decided from the log.
--   rule_test(id, since) the same decisions over the past, nothing written.
--
-- Invariants:
--   * rule_state belongs to match() (rules without wait), timer to both; a decider never takes
--     rule_state of an immediate rule.  So the two never wait for each other in a circle.
--   * Whoever changes what a subject may decide holds its rule_state or timer row first and
--     reads the log in a later statement.
--   * fold_wait() and fold_count() are pure: rows, state and clock in, decisions out.  match(),
--     decide_due() and rule_test() all call them, so a test cannot differ from what happens.
--   * Rule ids are never reused: a projection of the old set still finds its rules.

SET LOCAL ROLE touchlog_admin;

CREATE TABLE touchlog.rule_set (
	version	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sha256	bytea NOT NULL,
	active	boolean NOT NULL DEFAULT false,
	loaded_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX rule_set_one_active ON touchlog.rule_set (active) WHERE active;

CREATE TABLE touchlog.calendar (
	name	text PRIMARY KEY,
	zone	text NOT NULL
);
CREATE TABLE touchlog.calendar_hours (			-- local, half-open; over midnight: two rows
	calendar text NOT NULL REFERENCES touchlog.calendar ON DELETE CASCADE,
	weekday	smallint NOT NULL CHECK (weekday BETWEEN 1 AND 7),	-- 1 is Monday
	opens	time NOT NULL,
	closes	time NOT NULL CHECK (closes > opens),		-- 24:00 is allowed
	PRIMARY KEY (calendar, weekday, opens)
);
CREATE TABLE touchlog.calendar_holiday (
	calendar text NOT NULL REFERENCES touchlog.calendar ON DELETE CASCADE,
	day	date NOT NULL,
	PRIMARY KEY (calendar, day)
);

CREATE TABLE touchlog.rule (
	id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	rule_set integer NOT NULL REFERENCES touchlog.rule_set,
	name	text NOT NULL,
	since	timestamptz NOT NULL DEFAULT clock_timestamp(),	-- matches received before never start a wait
	when_text text NOT NULL,	-- as the user wrote it
	when_sql text NOT NULL,		-- as PostgreSQL read it: deparsed, fully qualified
	unless_sql text,
	wait_sql text,			-- interval expression
	at_sql	text,			-- timestamptz expression
	wait_from text NOT NULL DEFAULT 'first' CHECK (wait_from IN ('first', 'last')),
	count	integer CHECK (count > 0),
	within	interval,
	per	text NOT NULL DEFAULT 'customer' CHECK (per IN ('customer', 'thread', 'interaction')),
	cooldown interval,		-- 'infinity' does not exist for intervals in 15: see ever
	ever	boolean NOT NULL DEFAULT false,
	max_age	interval NOT NULL DEFAULT '1 day',
	calendar text REFERENCES touchlog.calendar,
	mode	text NOT NULL DEFAULT 'live' CHECK (mode IN ('live', 'shadow', 'off')),
	actions	text[] NOT NULL DEFAULT '{}',
	waits	boolean GENERATED ALWAYS AS (wait_sql IS NOT NULL OR at_sql IS NOT NULL) STORED,
	keeps_state boolean GENERATED ALWAYS AS
	    (wait_sql IS NULL AND at_sql IS NULL AND (count IS NOT NULL OR cooldown IS NOT NULL OR ever)) STORED,
	UNIQUE (rule_set, name),
	CHECK (wait_sql IS NULL OR at_sql IS NULL),
	CHECK (count IS NULL OR per <> 'interaction'),
	CHECK ((count IS NULL) = (within IS NULL)),
	CHECK (unless_sql IS NULL OR wait_sql IS NOT NULL OR at_sql IS NOT NULL)
);
CREATE TABLE touchlog.rule_trouble (			-- batches in which a rule failed; 3: evaluated alone
	rule	integer PRIMARY KEY REFERENCES touchlog.rule,
	batches	integer NOT NULL
);

CREATE TABLE touchlog.rule_state (
	rule	text NOT NULL,
	subject	text NOT NULL,
	last_fired_at timestamptz,
	touched	integer NOT NULL DEFAULT 0,
	PRIMARY KEY (rule, subject)
) WITH (fillfactor = 70);
CREATE TABLE touchlog.timer (
	rule	text NOT NULL,
	subject	text NOT NULL,
	due	timestamptz NOT NULL,
	origin_id uuid NOT NULL,
	touched	integer NOT NULL DEFAULT 0,
	PRIMARY KEY (rule, subject)
) WITH (fillfactor = 70);
CREATE INDEX timer_due ON touchlog.timer (due);

CREATE TABLE touchlog.firing (
	id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	rule	text NOT NULL,
	subject	text,				-- null: no_subject
	origin_id uuid NOT NULL,
	origin_at timestamptz NOT NULL,		-- its occurred_at: too_late needs it without the log
	customer_id bigint NOT NULL,
	state	text NOT NULL CHECK (state IN ('fired', 'shadowed', 'cancelled', 'cooldown', 'no_subject',
		    'too_old', 'too_late', 'failed', 'capped', 'no_consent', 'suppressed')),
	cause_id uuid,
	error	text,
	rule_set integer NOT NULL,
	decided_at timestamptz NOT NULL,
	settled_at timestamptz,			-- wait rules: matches up to here are decided
	UNIQUE (rule, origin_id)
);
CREATE INDEX firing_settled ON touchlog.firing (rule, subject, settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX firing_customer ON touchlog.firing (customer_id);

CREATE TABLE touchlog.outbox (
	id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	firing_id bigint NOT NULL,
	action	text NOT NULL,
	position smallint NOT NULL,
	payload	jsonb NOT NULL,
	attempts integer NOT NULL DEFAULT 0,
	next_at	timestamptz NOT NULL,
	claimed_by text,
	claim_until timestamptz,
	UNIQUE (firing_id, position)
);
CREATE INDEX outbox_next ON touchlog.outbox (next_at);
CREATE TABLE touchlog.delivery (
	outbox_id bigint NOT NULL,
	firing_id bigint NOT NULL,
	action	text NOT NULL,
	attempt	integer NOT NULL,
	at	timestamptz NOT NULL,
	status	text NOT NULL,
	error	text,
	PRIMARY KEY (outbox_id, attempt)
);
CREATE INDEX delivery_firing ON touchlog.delivery (firing_id);
CREATE TABLE touchlog.task (
	id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	outbox_id bigint UNIQUE,		-- a repeated delivery makes no second task
	firing_id bigint,
	customer_id bigint NOT NULL,
	interaction_id uuid,
	thread	text,
	title	text NOT NULL,
	assign	text,
	priority smallint,
	due	timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	done_at	timestamptz,
	done_by	text
);
CREATE INDEX task_open ON touchlog.task (assign, due) WHERE done_at IS NULL;

------------------------------------------------------------------ total accessors for predicates
CREATE FUNCTION touchlog.ptr(doc jsonb, k text) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN k LIKE '/%' THEN doc #> string_to_array(substr(k, 2), '/') ELSE doc -> k END $$;
CREATE FUNCTION touchlog.str(doc jsonb, k text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT touchlog.ptr(doc, k) #>> '{}' $$;
CREATE FUNCTION touchlog.has(doc jsonb, k text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT coalesce(jsonb_typeof(touchlog.ptr(doc, k)) <> 'null', false) $$;
CREATE FUNCTION touchlog.num(doc jsonb, k text) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN touchlog.str(doc, k) ~ '^\s*[+-]?([0-9]{1,60}(\.[0-9]{0,60})?|\.[0-9]{1,60})([eE][+-]?[0-9]{1,2})?\s*$'
	    THEN touchlog.str(doc, k)::numeric END $$;
CREATE FUNCTION touchlog.ts(doc jsonb, k text) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN touchlog.str(doc, k)::timestamptz;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END $$;

------------------------------------------------------------------ opening hours
CREATE FUNCTION touchlog.zone_offset(zone text, t timestamptz) RETURNS interval LANGUAGE sql STABLE AS $$
	SELECT (t AT TIME ZONE zone) - (t AT TIME ZONE 'UTC') $$;

-- The moment between a and b at which the zone's offset changes, to the second.
CREATE FUNCTION touchlog.zone_shift(zone text, a timestamptz, b timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
	lo bigint := extract(epoch FROM a);
	hi bigint := extract(epoch FROM b);
	before interval := touchlog.zone_offset(zone, a);
	mid bigint;
BEGIN
	WHILE hi - lo > 1 LOOP
		mid := (lo + hi) / 2;
		IF touchlog.zone_offset(zone, to_timestamp(mid)) = before THEN lo := mid; ELSE hi := mid; END IF;
	END LOOP;
	RETURN to_timestamp(hi);
END $$;

-- What is open on one local day, as real time.  A day whose offset changes is read once with
-- each offset and cut at the change: PostgreSQL's own reading of a local time that does not
-- exist, or exists twice, would move an opening inside the changed hour.
CREATE FUNCTION touchlog.open_spans(cal text, local_day date, OUT opens timestamptz, OUT closes timestamptz)
RETURNS SETOF record LANGUAGE plpgsql STABLE AS $$
DECLARE
	z text := (SELECT c.zone FROM touchlog.calendar c WHERE c.name = cal);
	h record;
	a timestamptz;
	b timestamptz;
	shift timestamptz;
	before interval;
	after interval;
BEGIN
	IF EXISTS (SELECT FROM touchlog.calendar_holiday WHERE calendar = cal AND day = local_day) THEN
		RETURN;
	END IF;
	a := (local_day - 1 + time '12:00') AT TIME ZONE z;
	b := (local_day + 1 + time '12:00') AT TIME ZONE z;
	before := touchlog.zone_offset(z, a);
	after := touchlog.zone_offset(z, b);
	IF before <> after THEN
		shift := touchlog.zone_shift(z, a, b);
	END IF;
	FOR h IN SELECT ch.opens, ch.closes FROM touchlog.calendar_hours ch
		 WHERE ch.calendar = cal AND ch.weekday = extract(isodow FROM local_day) ORDER BY 1 LOOP
		opens := (local_day + h.opens - before) AT TIME ZONE 'UTC';
		closes := least((local_day + h.closes - before) AT TIME ZONE 'UTC', shift);
		IF closes > opens THEN RETURN NEXT; END IF;
	END LOOP;
	IF shift IS NULL THEN RETURN; END IF;
	FOR h IN SELECT ch.opens, ch.closes FROM touchlog.calendar_hours ch
		 WHERE ch.calendar = cal AND ch.weekday = extract(isodow FROM local_day) ORDER BY 1 LOOP
		opens := greatest((local_day + h.opens - after) AT TIME ZONE 'UTC', shift);
		closes := (local_day + h.closes - after) AT TIME ZONE 'UTC';
		IF closes > opens THEN RETURN NEXT; END IF;
	END LOOP;
END $$;

-- The earliest moment (latest, for a negative interval) at which so much opening time lies
-- between t and it.  A day counts 24 hours: "8h" is a working day, "1d" is three of them.
CREATE FUNCTION touchlog.open_time_add(cal text, t timestamptz, i interval) RETURNS timestamptz LANGUAGE plpgsql STABLE SET timezone = 'UTC' AS $$
DECLARE
	rest interval := make_interval(secs => abs(extract(epoch FROM i))::float8);
	back boolean := extract(epoch FROM i) < 0;
	day date;
	s record;
	part interval;
BEGIN
	IF t IS NULL OR i IS NULL THEN RETURN NULL; END IF;
	IF rest = interval '0' THEN RETURN t; END IF;
	SELECT (t AT TIME ZONE zone)::date INTO STRICT day FROM touchlog.calendar WHERE name = cal;
	day := day + CASE WHEN back THEN 1 ELSE -1 END;		-- spans of the neighbour may reach over midnight at a shift
	FOR n IN 1..3660 LOOP
		FOR s IN SELECT * FROM touchlog.open_spans(cal, day)
			 ORDER BY CASE WHEN back THEN -extract(epoch FROM opens) ELSE extract(epoch FROM opens) END LOOP
			IF back THEN
				part := least(s.closes, t) - s.opens;
				IF part >= rest THEN RETURN least(s.closes, t) - rest; END IF;
			ELSE
				part := s.closes - greatest(s.opens, t);
				IF part >= rest THEN RETURN greatest(s.opens, t) + rest; END IF;
			END IF;
			IF part > interval '0' THEN rest := rest - part; END IF;
		END LOOP;
		day := day + CASE WHEN back THEN -1 ELSE 1 END;
	END LOOP;
	RAISE EXCEPTION 'calendar %: less than % of opening time within ten years', cal, i USING ERRCODE = '22023';
END $$;

CREATE FUNCTION touchlog.open_time_between(cal text, a timestamptz, b timestamptz) RETURNS interval LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN a <= b THEN coalesce(sum(least(s.closes, b) - greatest(s.opens, a)), interval '0')
		    ELSE -touchlog.open_time_between(cal, b, a) END
	FROM touchlog.calendar c,
	     generate_series(((a AT TIME ZONE c.zone)::date - 1)::timestamp, ((b AT TIME ZONE c.zone)::date + 1)::timestamp, interval '1 day') d,
	     touchlog.open_spans(cal, d::date) s
	WHERE c.name = cal AND s.opens < b AND s.closes > a AND a <= b
$$;

------------------------------------------------------------------ reading a predicate
-- The user's text with `customer.x` made `customer_x` (same length, so positions hold).  Raises
-- 42601 with DETAIL = position for what would break out of the parentheses we put around it.
CREATE FUNCTION touchlog.rule_rewrite(src text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	pos integer := 1;
	done text := '';
	tok text;
	depth integer := 0;
	level integer;
	last text := '';
BEGIN
	WHILE pos <= length(src) LOOP
		tok := substring(substr(src, pos) FROM
		    '^(?:[eE]''(?:[^''\\]|''''|\\.)*''|''(?:[^'']|'''')*''|"(?:[^"]|"")*"|--[^\n]*|[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*|[0-9]+|\s+)');
		IF tok IS NULL AND substr(src, pos, 2) = '/*' THEN	-- PostgreSQL nests them
			tok := '/*';
			level := 1;
			WHILE level > 0 AND pos + length(tok) <= length(src) LOOP
				IF substr(src, pos + length(tok), 2) = '*/' THEN
					level := level - 1; tok := tok || '*/';
				ELSIF substr(src, pos + length(tok), 2) = '/*' THEN
					level := level + 1; tok := tok || '/*';
				ELSE
					tok := tok || substr(src, pos + length(tok), 1);
				END IF;
			END LOOP;
			IF level > 0 THEN
				RAISE EXCEPTION 'unterminated comment' USING ERRCODE = '42601', DETAIL = pos;
			END IF;
		ELSIF tok IS NULL AND substr(src, pos) ~ '^\$([A-Za-z_]\w*)?\$' THEN
			tok := substring(substr(src, pos) FROM '^\$(?:[A-Za-z_]\w*)?\$');
			level := position(tok IN substr(src, pos + length(tok)));
			IF level = 0 THEN
				RAISE EXCEPTION 'unterminated dollar quote' USING ERRCODE = '42601', DETAIL = pos;
			END IF;
			tok := substr(src, pos, length(tok) + level - 1 + length(tok));
		ELSIF tok IS NULL THEN
			tok := substr(src, pos, 1);
			IF tok IN ('''', '"') THEN
				RAISE EXCEPTION 'unterminated quote' USING ERRCODE = '42601', DETAIL = pos;
			ELSIF tok = ';' THEN
				RAISE EXCEPTION 'one expression, no ";"' USING ERRCODE = '42601', DETAIL = pos;
			ELSIF tok = ',' AND depth = 0 THEN
				RAISE EXCEPTION 'one expression, no ","' USING ERRCODE = '42601', DETAIL = pos;
			ELSIF tok IN ('(', '[') THEN
				depth := depth + 1;
			ELSIF tok IN (')', ']') THEN
				depth := depth - 1;
				IF depth < 0 THEN
					RAISE EXCEPTION '"%" without its opening one', tok USING ERRCODE = '42601', DETAIL = pos;
				END IF;
			END IF;
		ELSIF lower(tok) = 'customer' AND last <> '.' AND substr(src, pos + 8) ~ '^\.[A-Za-z_]' THEN
			tok := 'customer_';
		END IF;
		done := done || tok;
		pos := pos + length(tok);
		last := tok;
	END LOOP;
	IF depth > 0 THEN
		RAISE EXCEPTION 'a parenthesis is not closed' USING ERRCODE = '42601', DETAIL = length(src);
	END IF;
	RETURN done;
END $$;

-- Profile columns of the flat row: name, type, expression over c (the root customer).
CREATE FUNCTION touchlog.rule_profile() RETURNS TABLE (col text, type text, expr text) LANGUAGE sql IMMUTABLE AS $$
	SELECT 'customer_' || x, t, 'c.' || x FROM (VALUES ('name', 'text'), ('stage', 'text'), ('tags', 'text[]'), ('owner', 'text'),
	    ('priority', 'smallint'), ('language', 'text'), ('time_zone', 'text'), ('attributes', 'jsonb'), ('created_at', 'timestamptz')) v(x, t)
	UNION ALL SELECT 'customer_interactions', 'bigint', 'past.interactions'
	UNION ALL SELECT 'customer_first_seen', 'timestamptz', 'past.first_seen'
	UNION ALL SELECT 'customer_last_seen', 'timestamptz', 'past.last_seen' $$;

-- The statement that makes PostgreSQL judge a text, and how many characters stand before it.
-- Send it by PQexecParams (one statement only); PG_DIAG_STATEMENT_POSITION minus `before` is the
-- position in the user's text.  kind: predicate (immutable), interval or timestamptz (stable).
CREATE FUNCTION touchlog.rule_check_sql(src text, kind text, OUT statement text, OUT before integer) LANGUAGE plpgsql STABLE AS $$
DECLARE
	head text := 'CREATE TEMP TABLE touchlog_check (LIKE touchlog.interaction, '
	    || (SELECT string_agg(col || ' ' || type, ', ') FROM touchlog.rule_profile());
BEGIN
	IF kind = 'predicate' THEN
		head := head || ', p boolean GENERATED ALWAYS AS ((/*>*/';
		statement := head || touchlog.rule_rewrite(src) || E'\n)) STORED) ON COMMIT DROP';
	ELSE	-- a CHECK may be STABLE, but has no subquery, aggregate or window either
		head := head || ', p ' || kind || ', CONSTRAINT p CHECK (p = (/*>*/';
		statement := head || touchlog.rule_rewrite(src) || E'\n)) ) ON COMMIT DROP';
	END IF;
	before := length(head);
END $$;

-- After that statement succeeded: the text as PostgreSQL read it, every name qualified.  This, not
-- the user's text, goes into generated functions: comments and search_path are out of play.
CREATE FUNCTION touchlog.rule_check_result(kind text) RETURNS text LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
	twin oid := to_regclass('pg_temp.touchlog_check');
	deparsed text;
BEGIN
	IF kind = 'predicate' THEN
		RETURN (SELECT pg_catalog.pg_get_expr(adbin, adrelid) FROM pg_catalog.pg_attrdef d WHERE adrelid = twin);
	END IF;
	SELECT pg_catalog.pg_get_expr(conbin, conrelid) INTO deparsed FROM pg_catalog.pg_constraint WHERE conrelid = twin AND contype = 'c';
	RETURN pg_catalog.substr(deparsed, 6, pg_catalog.length(deparsed) - 6);	-- "(p = X)"
END $$;

------------------------------------------------------------------ generated text
-- One rule's `when`, with the guard against our own traffic.
CREATE FUNCTION touchlog.rule_when(r touchlog.rule) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT '(' || r.when_sql || $q$) AND NOT (source = 'touchlog' AND direction <> 'internal')$q$ $$;

CREATE FUNCTION touchlog.rule_due(r touchlog.rule) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN r.at_sql IS NOT NULL THEN r.at_sql
		    WHEN r.wait_sql IS NULL THEN 'NULL::timestamptz'
		    WHEN r.calendar IS NOT NULL THEN format('touchlog.open_time_add(%L, occurred_at, %s)', r.calendar, r.wait_sql)
		    ELSE format('occurred_at + (%s)', r.wait_sql) END $$;

-- Joins that the named profile columns need; nothing where none is named.
CREATE FUNCTION touchlog.rule_flat(texts text, OUT columns text, OUT joins text) LANGUAGE plpgsql STABLE AS $$
BEGIN
	SELECT coalesce(string_agg(', ' || expr || ' AS ' || col, ''), '') INTO columns
	    FROM touchlog.rule_profile() WHERE texts ~ ('\m' || col || '\M');
	joins := '';
	IF columns <> '' THEN
		joins := ' LEFT JOIN touchlog.customer cc ON cc.id = i.customer_id AND i.customer_id > 0 LEFT JOIN touchlog.customer c ON c.id = cc.root_id';
	END IF;
	IF columns ~ 'past\.' THEN
		joins := joins || ' LEFT JOIN LATERAL (SELECT count(*) AS interactions, min(p.occurred_at) AS first_seen, max(p.occurred_at) AS last_seen'
		    || ' FROM touchlog.customer m JOIN touchlog.interaction p ON p.customer_id = m.id WHERE m.root_id = c.id) past ON true';
	END IF;
END $$;

CREATE TYPE touchlog.hit AS (
	rule	integer,
	name	text,
	is_unless boolean,
	id	uuid,
	received_at timestamptz,
	occurred_at timestamptz,
	customer_id bigint,
	root	bigint,
	subject	text,		-- null: none, or an unless of a rule per interaction
	due	timestamptz,
	too_old	boolean
);

-- The projection over fresh rows for some rules.  The WHERE is what most rows pay: the array is
-- built only where something matched.
CREATE FUNCTION touchlog.rule_projection(rules integer[]) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	tests text;
	marks text;
	dues text;
	flat record;
BEGIN
	SELECT string_agg(x.test, E'\n\t    OR ' ORDER BY x.n, x.sign DESC),
	       string_agg(format('CASE WHEN %s THEN %s END', x.test, x.sign * x.n), E',\n\t\t' ORDER BY x.n, x.sign DESC)
	    INTO tests, marks
	    FROM (SELECT r.id AS n, 1 AS sign, '(' || touchlog.rule_when(r) || ')' AS test FROM touchlog.rule r WHERE r.id = ANY(rules)
		  UNION ALL SELECT r.id, -1, '(' || r.unless_sql || ')' FROM touchlog.rule r WHERE r.id = ANY(rules) AND r.unless_sql IS NOT NULL) x;
	SELECT string_agg(format(' WHEN %s THEN %s', r.id, touchlog.rule_due(r)), '') INTO dues
	    FROM touchlog.rule r WHERE r.id = ANY(rules) AND r.waits;
	SELECT * INTO flat FROM touchlog.rule_flat(coalesce(tests, '') || coalesce(dues, ''));
	RETURN format($q$
	SELECT r.id, r.name, d.hit_n < 0, d.id, d.received_at, d.occurred_at, d.customer_id, s.root_id,
	       CASE r.per WHEN 'customer' THEN s.root_id::text
			  WHEN 'thread' THEN s.root_id::text || ' ' || d.thread
			  ELSE CASE WHEN d.hit_n > 0 THEN d.id::text END END,
	       d.hit_due, d.received_at - d.occurred_at > r.max_age
	FROM (SELECT *, CASE hit_n %s ELSE NULL::timestamptz END AS hit_due
	      FROM (SELECT *, array_remove(ARRAY[%s]::integer[], NULL) AS marks
		    FROM (SELECT i.*%s FROM touchlog.interaction i%s
			  WHERE i.id = ANY(ids) AND i.received_at BETWEEN lo AND hi) g
		    WHERE %s OFFSET 0) f
	      CROSS JOIN LATERAL unnest(f.marks) AS h(hit_n)) d
	JOIN touchlog.rule r ON r.id = abs(d.hit_n)
	LEFT JOIN touchlog.customer s ON s.id = d.customer_id AND d.customer_id > 0$q$,
	    coalesce(dues, 'WHEN 0 THEN NULL'), coalesce(marks, 'NULL'), flat.columns, flat.joins, coalesce(tests, 'false'));
END $$;

CREATE TYPE touchlog.log_row AS (id uuid, received_at timestamptz, occurred_at timestamptz, w boolean, u boolean, due timestamptz);

-- The rows of the log that one rule looks at.  keyed: for the subjects in arrays n, customer,
-- thread, lo (floor_at: received no earlier, for partition pruning); else everything received
-- since `since`, with root and thread.
CREATE FUNCTION touchlog.rule_rows_sql(r touchlog.rule, keyed boolean) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	flat record;
	w text := '(' || touchlog.rule_when(r) || ')';
	u text := coalesce('(' || r.unless_sql || ')', 'false');
	due text := touchlog.rule_due(r);
BEGIN
	SELECT * INTO flat FROM touchlog.rule_flat(w || u || due);
	IF keyed THEN
		RETURN format($q$
	SELECT f.key_n, f.id, f.received_at, f.occurred_at, %1$s IS TRUE, %2$s IS TRUE, CASE WHEN %1$s THEN %3$s END
	FROM (SELECT k.n AS key_n, i.*%4$s FROM unnest(ns, customers, threads, los) AS k(n, customer, thread, lo)
	      JOIN touchlog.interaction i ON i.customer_id = k.customer AND i.occurred_at >= k.lo AND i.received_at >= floor_at%6$s%5$s) f
	WHERE %1$s OR %2$s$q$, w, u, due, flat.columns, flat.joins,
		    CASE r.per WHEN 'thread' THEN ' AND i.thread = k.thread'
			WHEN 'interaction' THEN $q$ AND i.occurred_at <= CASE WHEN k.customer > 0 THEN 'infinity' ELSE k.lo END$q$	-- nobody's: itself only
			ELSE '' END);
	END IF;
	RETURN format($q$
	SELECT s.root_id, d.thread, d.id, d.received_at, d.occurred_at, d.hit_w, d.hit_u, d.hit_due
	FROM (SELECT *, %1$s IS TRUE AS hit_w, %2$s IS TRUE AS hit_u, CASE WHEN %1$s THEN %3$s END AS hit_due
	      FROM (SELECT i.*%4$s FROM touchlog.interaction i%5$s WHERE i.received_at >= $1 AND i.received_at <= $2) f
	      WHERE %1$s OR %2$s) d
	LEFT JOIN touchlog.customer s ON s.id = d.customer_id AND d.customer_id > 0$q$, w, u, due, flat.columns, flat.joins);
END $$;

-- Writes match_rows() for the active set and rule_rows_N() for each rule that reads the log.
-- Called when a set is activated, and by the daemon when a rule failed for the third time.
CREATE FUNCTION touchlog.rules_compile() RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
	together integer[];
	r touchlog.rule;
	calls text := '';
BEGIN
	PERFORM pg_advisory_xact_lock(hashtext('touchlog.rules_compile'));
	SELECT array_agg(x.id ORDER BY x.id) INTO together FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set
	    LEFT JOIN touchlog.rule_trouble t ON t.rule = x.id
	    WHERE s.active AND x.mode <> 'off' AND coalesce(t.batches, 0) < 3;
	EXECUTE 'CREATE OR REPLACE FUNCTION touchlog.match_rows(ids uuid[], lo timestamptz, hi timestamptz) RETURNS SETOF touchlog.hit '
	    || 'LANGUAGE plpgsql STABLE AS $match$ #variable_conflict use_variable'
	    || E'\nBEGIN RETURN QUERY ' || touchlog.rule_projection(together) || E';\nEND $match$';
	-- rule_rows() calls them by number in static SQL, whose plans are kept (an EXECUTE would plan each time).
	FOR r IN SELECT x.* FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set WHERE s.active AND x.mode <> 'off'
		 AND (x.waits OR x.count IS NOT NULL) LOOP
		calls := calls || format(E'\tWHEN %s THEN RETURN QUERY SELECT * FROM touchlog.rule_rows_%s(ns, customers, threads, los, floor_at);\n', r.id, r.id);
		EXECUTE format('CREATE OR REPLACE FUNCTION touchlog.rule_rows_%s(ns integer[], customers bigint[], threads text[], los timestamptz[], floor_at timestamptz) '
		    'RETURNS TABLE (n integer, row_id uuid, row_received_at timestamptz, row_occurred_at timestamptz, w boolean, u boolean, row_due timestamptz) LANGUAGE plpgsql STABLE AS $rows$'
		    , r.id) || E'\n#variable_conflict use_column\nBEGIN RETURN QUERY ' || touchlog.rule_rows_sql(r, true) || E';\nEND $rows$';
	END LOOP;
	EXECUTE 'CREATE OR REPLACE FUNCTION touchlog.rule_rows(rule integer, ns integer[], customers bigint[], threads text[], los timestamptz[], floor_at timestamptz) '
	    || 'RETURNS TABLE (n integer, row_id uuid, row_received_at timestamptz, row_occurred_at timestamptz, w boolean, u boolean, row_due timestamptz) '
	    || E'LANGUAGE plpgsql STABLE AS $rows$\nBEGIN\n\tCASE rule\n\tWHEN 0 THEN RETURN;\n' || calls || E'\tEND CASE;\nEND $rows$';
END $body$;

------------------------------------------------------------------ the decisions, pure
CREATE TYPE touchlog.decision AS (
	state	text,			-- of firing, or 'pending'
	origin_id uuid,
	origin_at timestamptz,
	cause_id uuid,
	settled_at timestamptz		-- the deadline; of a cancelled one the canceller's time; of 'pending' when to look again
);

CREATE FUNCTION touchlog.rule_rests(r touchlog.rule, last_fired timestamptz, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT last_fired IS NOT NULL AND (r.ever OR (r.cooldown IS NOT NULL AND at < last_fired + r.cooldown)) $$;

-- Whether the match at `at` is enough: `oldest` is the match count - 1 places before it.
CREATE FUNCTION touchlog.rule_within(r touchlog.rule, oldest timestamptz, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN oldest IS NULL THEN false
		    WHEN r.calendar IS NULL THEN oldest > at - r.within
		    ELSE touchlog.open_time_between(r.calendar, oldest, at) < r.within END $$;

-- A rule with a wait, over one subject's log in (occurred_at, id) order, as far as `now` allows.
-- One pass, so it does not matter when or how often it is asked: an event after a start's
-- deadline first settles that start.  settled_id is given after a cancelled decision: the
-- cancelling row is not settled by it.
CREATE FUNCTION touchlog.fold_wait(r touchlog.rule, rows touchlog.log_row[], settled_at timestamptz, settled_id uuid,
    last_fired timestamptz, since timestamptz, now timestamptz) RETURNS SETOF touchlog.decision LANGUAGE plpgsql STABLE AS $$
DECLARE
	e touchlog.log_row;
	start touchlog.log_row;
	waiting boolean := false;
	times timestamptz[] := '{}';
	n integer := 0;
	enough boolean;
	need integer := r.count;
	lasts boolean := r.wait_from = 'last';
	d touchlog.decision;
	fired text := CASE r.mode WHEN 'shadow' THEN 'shadowed' ELSE 'fired' END;
BEGIN
	FOREACH e IN ARRAY rows LOOP
		IF waiting AND start.due < e.occurred_at THEN
			EXIT WHEN start.due > now;
			d := ROW(CASE WHEN touchlog.rule_rests(r, last_fired, start.due) THEN 'cooldown' ELSE fired END,
			    start.id, start.occurred_at, NULL, start.due);
			IF d.state = fired THEN last_fired := start.due; END IF;
			RETURN NEXT d;
			settled_at := start.due;
			settled_id := NULL;
			waiting := false;
		END IF;
		IF waiting AND e.u THEN
			d := ROW('cancelled', start.id, start.occurred_at, e.id, e.occurred_at);
			RETURN NEXT d;
			settled_at := e.occurred_at;
			settled_id := e.id;
			waiting := false;
		END IF;
		CONTINUE WHEN NOT e.w;
		enough := true;
		IF need IS NOT NULL THEN
			n := n + 1;
			times[n] := e.occurred_at;
			enough := n >= need AND touchlog.rule_within(r, times[n - need + 1], e.occurred_at);
		END IF;
		IF enough AND e.due IS NOT NULL AND (lasts OR NOT waiting) AND e.received_at >= since
		    AND e.received_at - e.occurred_at <= r.max_age
		    AND (settled_at IS NULL OR e.occurred_at > settled_at OR (e.occurred_at = settled_at AND e.id >= settled_id)) THEN
			start := e;
			waiting := true;
		END IF;
	END LOOP;
	IF waiting AND start.due > now THEN
		d := ROW('pending', start.id, start.occurred_at, NULL, start.due);
		RETURN NEXT d;
	ELSIF waiting THEN
		d := ROW(CASE WHEN touchlog.rule_rests(r, last_fired, start.due) THEN 'cooldown' ELSE fired END,
		    start.id, start.occurred_at, NULL, start.due);
		RETURN NEXT d;
	END IF;
END $$;

-- A rule without a wait but with count or cooldown: what the rows from from_at on decide that is
-- not in `decided`.  An event that comes late may complete the window of one that came before
-- it: that later one is then the origin, as if both had come in order.
CREATE FUNCTION touchlog.fold_count(r touchlog.rule, rows touchlog.log_row[], from_at timestamptz, from_id uuid, decided uuid[],
    last_fired timestamptz) RETURNS SETOF touchlog.decision LANGUAGE plpgsql STABLE AS $$
DECLARE
	e touchlog.log_row;
	times timestamptz[] := '{}';
	n integer := 0;
	ripe touchlog.log_row[] := '{}';
	d touchlog.decision;
	fired text := CASE r.mode WHEN 'shadow' THEN 'shadowed' ELSE 'fired' END;
BEGIN
	FOREACH e IN ARRAY rows LOOP
		CONTINUE WHEN NOT e.w;
		IF r.count IS NOT NULL THEN
			n := n + 1;
			times[n] := e.occurred_at;
			CONTINUE WHEN n < r.count OR NOT touchlog.rule_within(r, times[n - r.count + 1], e.occurred_at);
		END IF;
		IF (e.occurred_at, e.id) >= (from_at, from_id) AND e.received_at >= r.since AND e.received_at - e.occurred_at <= r.max_age
		    AND NOT e.id = ANY (decided) THEN
			ripe := ripe || e;
		END IF;
	END LOOP;
	FOR e IN SELECT * FROM unnest(ripe) x ORDER BY x.received_at, x.id LOOP
		d := ROW(CASE WHEN touchlog.rule_rests(r, last_fired, e.received_at) THEN 'cooldown' ELSE fired END,
		    e.id, e.occurred_at, NULL, NULL);
		IF d.state = fired THEN last_fired := e.received_at; END IF;
		RETURN NEXT d;
	END LOOP;
END $$;

------------------------------------------------------------------ match
-- One outbox row per action, carrying all that its action needs.
CREATE FUNCTION touchlog.firings_enqueue(firings bigint[], at timestamptz) RETURNS void LANGUAGE plpgsql AS $$	-- plpgsql keeps the plan, sql does not
BEGIN
	INSERT INTO touchlog.outbox (firing_id, action, position, payload, next_at)
	SELECT f.id, a.action, a.position, jsonb_build_object('rule', f.rule, 'interaction', to_jsonb(i), 'customer', to_jsonb(c)), at
	FROM unnest(firings) x(id) JOIN touchlog.firing f ON f.id = x.id
	JOIN touchlog.rule r ON r.rule_set = f.rule_set AND r.name = f.rule
	CROSS JOIN LATERAL unnest(r.actions) WITH ORDINALITY AS a(action, position)
	LEFT JOIN touchlog.interaction i ON i.id = f.origin_id AND i.received_at = touchlog.at(f.origin_id)
	LEFT JOIN touchlog.customer s ON s.id = f.customer_id
	LEFT JOIN touchlog.customer c ON c.id = s.root_id
	WHERE f.state = 'fired'
	ORDER BY f.id, a.position;
END $$;

-- Errors that are a rule's own.  All others (a lost lock, a deadlock, a full disk, a cancel) belong
-- to the batch, which is retried whole.
CREATE FUNCTION touchlog.rule_is_to_blame(state text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
	SELECT left(state, 2) IN ('20', '21', '22', '23', '2F', '39', '38', '42', '54', 'P0') $$;

-- All spellings of a subject: before a merge, what belonged together was kept under several.
CREATE FUNCTION touchlog.subject_aliases(root bigint, subject text) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
BEGIN
	IF root IS NULL OR subject !~ '^[0-9]+( |$)' THEN RETURN ARRAY[subject]; END IF;
	RETURN ARRAY(SELECT m.id::text || coalesce(substring(subject FROM ' .*$'), '') FROM touchlog.customer m WHERE m.root_id = root);
END $$;

-- Immediate rules that count or rest, for the subjects in hits; their rule_state rows are locked.
CREATE FUNCTION touchlog.match_counted(hits touchlog.hit[], at timestamptz) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	r touchlog.rule;
	k record;
	rows touchlog.log_row[];
	found_ids uuid[];
	decided uuid[];
	names text[];
	fired bigint[] := '{}';
	ids bigint[];
	last timestamptz;
BEGIN
	FOR k IN SELECT h.rule, h.subject, h.root, (array_agg(h.occurred_at ORDER BY h.occurred_at, h.id))[1] AS from_at,
			(array_agg(h.id ORDER BY h.occurred_at, h.id))[1] AS from_id, (array_agg(h.customer_id))[1] AS customer_id,
			array_agg(ROW(h.id, h.received_at, h.occurred_at, true, false, NULL)::touchlog.log_row ORDER BY h.occurred_at, h.id) AS fresh
		 FROM unnest(hits) h GROUP BY 1, 2, 3 ORDER BY 1, 2 LOOP
		IF r.id IS DISTINCT FROM k.rule THEN
			SELECT * INTO STRICT r FROM touchlog.rule x WHERE x.id = k.rule;
		END IF;
		decided := '{}';
		IF r.count IS NULL THEN
			rows := k.fresh;
		ELSE
			rows := touchlog.rule_log(r, k.root, substring(k.subject FROM '^[^ ]* (.*)$'), CASE WHEN r.calendar IS NULL
			    THEN k.from_at - r.within ELSE touchlog.open_time_add(r.calendar, k.from_at, -r.within) END);
			found_ids := ARRAY(SELECT x.id FROM unnest(rows) x WHERE (x.occurred_at, x.id) >= (k.from_at, k.from_id));
			decided := ARRAY(SELECT f.origin_id FROM touchlog.firing f WHERE f.rule = r.name AND f.origin_id = ANY (found_ids));
		END IF;
		names := touchlog.subject_aliases(k.root, k.subject);	-- a variable: in the WHERE it would run for each row
		SELECT max(s.last_fired_at) INTO last FROM touchlog.rule_state s WHERE s.rule = r.name AND s.subject = ANY (names);
		WITH d AS (
			SELECT * FROM touchlog.fold_count(r, rows, k.from_at, k.from_id, decided, last)
		), f AS (
			INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state, rule_set, decided_at)
			SELECT r.name, k.subject, d.origin_id, d.origin_at, k.customer_id, d.state, r.rule_set, at FROM d
			ON CONFLICT (rule, origin_id) DO NOTHING RETURNING id, origin_id, state
		)
		SELECT array_agg(f.id) FILTER (WHERE f.state = 'fired'),
		       max(touchlog.at(f.origin_id)) FILTER (WHERE f.state IN ('fired', 'shadowed')) INTO ids, last FROM f;
		fired := fired || coalesce(ids, '{}');
		IF last IS NOT NULL THEN
			UPDATE touchlog.rule_state s SET last_fired_at = greatest(s.last_fired_at, last) WHERE s.rule = r.name AND s.subject = k.subject;
		END IF;
	END LOOP;
	RETURN fired;
END $$;

-- One subject's rows for one rule, in order.
CREATE FUNCTION touchlog.rule_log(r touchlog.rule, root bigint, thread text, lo timestamptz) RETURNS touchlog.log_row[] LANGUAGE plpgsql STABLE AS $$
DECLARE
	members bigint[] := ARRAY(SELECT id FROM touchlog.customer WHERE root_id = root);
	rows touchlog.log_row[];
BEGIN
	SELECT array_agg(ROW(l.row_id, l.row_received_at, l.row_occurred_at, l.w, l.u, l.row_due)::touchlog.log_row ORDER BY l.row_occurred_at, l.row_id)
	    INTO rows FROM touchlog.rule_rows(r.id, array_fill(1, ARRAY[cardinality(members)]), members, array_fill(thread, ARRAY[cardinality(members)]),
		array_fill(lo, ARRAY[cardinality(members)]), lo - interval '1 day') l;	-- occurred_at is at most a day ahead of received_at
	RETURN coalesce(rows, '{}');
END $$;

-- What follows from the hits.  Every write to rule_state and timer is in (rule, subject) order.
CREATE FUNCTION touchlog.match_apply(hits touchlog.hit[], at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	fired bigint[];
	counted touchlog.hit[];
BEGIN
	-- 1. What needs no memory.
	WITH f AS (
		INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state, rule_set, decided_at)
		SELECT h.name, h.subject, h.id, h.occurred_at, h.customer_id,
		       CASE WHEN h.subject IS NULL THEN 'no_subject' WHEN h.too_old THEN 'too_old'
			    WHEN r.mode = 'shadow' THEN 'shadowed' ELSE 'fired' END, r.rule_set, at
		FROM unnest(hits) h JOIN touchlog.rule r ON r.id = h.rule
		WHERE NOT h.is_unless AND (h.subject IS NULL OR h.too_old OR NOT (r.waits OR r.keeps_state))
		ORDER BY h.name, h.id
		ON CONFLICT (rule, origin_id) DO NOTHING RETURNING id, state
	) SELECT array_agg(id) FILTER (WHERE state = 'fired') INTO fired FROM f;

	-- 2. Memory first, in order ...
	SELECT array_agg(h) INTO counted FROM unnest(hits) h JOIN touchlog.rule r ON r.id = h.rule
	    WHERE r.keeps_state AND h.subject IS NOT NULL AND NOT h.too_old;
	IF counted IS NOT NULL THEN
		INSERT INTO touchlog.rule_state AS s (rule, subject)
		SELECT DISTINCT h.name, h.subject FROM unnest(counted) h ORDER BY 1, 2
		ON CONFLICT (rule, subject) DO UPDATE SET touched = s.touched + 1;
		-- ... and counting in a later statement, which sees what the one before us committed.
		fired := coalesce(fired, '{}') || touchlog.match_counted(counted, at);
	END IF;

	-- 3. Timers.  An `unless` only locks: a decider at work on the timer ends first, and then
	-- its firing is seen in step 4.
	PERFORM FROM touchlog.timer t
	    JOIN (SELECT DISTINCT h.name, h.subject FROM unnest(hits) h JOIN touchlog.rule r ON r.id = h.rule
		  WHERE r.waits AND h.subject IS NOT NULL) x ON t.rule = x.name AND t.subject = x.subject
	    ORDER BY t.rule, t.subject FOR UPDATE OF t;
	-- least() leaves `due` as it is but for a match that is due before the armed one; while the
	-- value stays the same the update is HOT.
	INSERT INTO touchlog.timer AS t (rule, subject, due, origin_id)
	SELECT h.name, h.subject, min(h.due), (array_agg(h.id ORDER BY h.occurred_at, h.id))[1]
	FROM unnest(hits) h WHERE NOT h.is_unless AND h.subject IS NOT NULL AND h.due IS NOT NULL AND NOT h.too_old
	GROUP BY 1, 2 ORDER BY 1, 2
	ON CONFLICT (rule, subject) DO UPDATE SET touched = t.touched + 1, due = least(t.due, excluded.due);

	-- 4. An `unless` that came after the firing it would have stopped.
	UPDATE touchlog.firing f SET state = CASE f.state WHEN 'fired' THEN 'too_late' ELSE f.state END, cause_id = x.id
	FROM (SELECT DISTINCT ON (g.id) g.id AS firing_id, h.id FROM unnest(hits) h
	      JOIN touchlog.rule r ON r.id = h.rule
	      CROSS JOIN LATERAL touchlog.subject_aliases(h.root, h.subject) AS a(names)
	      JOIN touchlog.firing g ON g.rule = h.name AND g.settled_at >= h.occurred_at AND g.cause_id IS NULL AND g.state IN ('fired', 'shadowed')
		  AND (g.origin_at, g.origin_id) < (h.occurred_at, h.id)
		  AND (CASE WHEN h.subject IS NULL THEN r.per = 'interaction' AND h.root IS NOT NULL AND g.customer_id = ANY (ARRAY[h.root, h.customer_id])
			    ELSE g.subject = ANY (a.names) END)
	      WHERE h.is_unless ORDER BY g.id, h.occurred_at, h.id) x
	WHERE f.id = x.firing_id;

	IF fired IS NOT NULL AND fired <> '{}' THEN
		PERFORM touchlog.firings_enqueue(fired, at);
	END IF;
END $$;

DROP FUNCTION touchlog.match(uuid[], timestamptz, timestamptz);

-- The call in the append transaction.  Returns how many hits there were, and the rules that failed
-- (the daemon then runs rules_compile() outside the batch once `batches` is 3).
CREATE FUNCTION touchlog.match(ids uuid[], lo timestamptz, hi timestamptz, at timestamptz DEFAULT clock_timestamp(),
    OUT n_hits integer, OUT failed integer[]) LANGUAGE plpgsql AS $$
DECLARE
	hits touchlog.hit[];
	alone integer[] := ARRAY(SELECT t.rule FROM touchlog.rule_trouble t JOIN touchlog.rule r ON r.id = t.rule
	    JOIN touchlog.rule_set s ON s.version = r.rule_set WHERE s.active AND t.batches >= 3 AND r.mode <> 'off');
	state text;
BEGIN
	n_hits := 0;
	failed := '{}';
	BEGIN
		SELECT array_agg(h) INTO hits FROM touchlog.match_rows(ids, lo, hi) h;
		IF hits IS NOT NULL THEN
			n_hits := cardinality(hits);
			PERFORM touchlog.match_apply(hits, at);
		END IF;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
		IF NOT touchlog.rule_is_to_blame(state) THEN RAISE; END IF;
		n_hits := 0;
		alone := NULL;
	END;
	IF alone IS NULL OR alone <> '{}' THEN
		SELECT n_hits + m.n, m.failed INTO n_hits, failed FROM touchlog.match_each(ids, lo, hi, at, alone) m;
	END IF;
END $$;

-- Rule by rule, and where one fails, row by row.  Immediate rules first: the order of locks is that of match_apply.
CREATE FUNCTION touchlog.match_each(ids uuid[], lo timestamptz, hi timestamptz, at timestamptz, chosen integer[],
    OUT n integer, OUT failed integer[]) LANGUAGE plpgsql AS $$
DECLARE
	r touchlog.rule;
	hits touchlog.hit[];
	one uuid;
	state text;
	message text;
BEGIN
	n := 0;
	failed := '{}';
	FOR r IN SELECT x.* FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set
		 WHERE s.active AND x.mode <> 'off' AND (chosen IS NULL OR x.id = ANY (chosen)) ORDER BY x.waits, x.name LOOP
		BEGIN
			hits := touchlog.match_one(r.id, ids, lo, hi);
			PERFORM touchlog.match_apply(hits, at);
			n := n + coalesce(cardinality(hits), 0);
			CONTINUE;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
			IF NOT touchlog.rule_is_to_blame(state) THEN RAISE; END IF;
		END;
		failed := failed || r.id;
		FOREACH one IN ARRAY ARRAY(SELECT x FROM unnest(ids) x ORDER BY x) LOOP
			BEGIN
				hits := touchlog.match_one(r.id, ARRAY[one], lo, hi);
				PERFORM touchlog.match_apply(hits, at);
				n := n + coalesce(cardinality(hits), 0);
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
				IF NOT touchlog.rule_is_to_blame(state) THEN RAISE; END IF;
				INSERT INTO touchlog.firing (rule, origin_id, origin_at, customer_id, state, error, rule_set, decided_at)
				SELECT r.name, i.id, i.occurred_at, i.customer_id, 'failed', message, r.rule_set, at
				FROM touchlog.interaction i WHERE i.id = one AND i.received_at BETWEEN lo AND hi
				ON CONFLICT (rule, origin_id) DO NOTHING;
			END;
		END LOOP;
	END LOOP;
	INSERT INTO touchlog.rule_trouble AS t SELECT x, 1 FROM unnest(failed) x ORDER BY x
	ON CONFLICT (rule) DO UPDATE SET batches = t.batches + 1;
END $$;

CREATE FUNCTION touchlog.match_one(rule integer, ids uuid[], lo timestamptz, hi timestamptz) RETURNS touchlog.hit[] LANGUAGE plpgsql STABLE AS $$
DECLARE
	hits touchlog.hit[];
	text text := touchlog.rule_projection(ARRAY[rule]);
BEGIN
	text := replace(replace(text, 'ANY(ids)', 'ANY($1)'), 'BETWEEN lo AND hi', 'BETWEEN $2 AND $3');
	EXECUTE 'SELECT array_agg(x::touchlog.hit) FROM (' || text || ') x' INTO hits USING ids, lo, hi;
	RETURN hits;
END $$;

------------------------------------------------------------------ due timers
CREATE TYPE touchlog.wait_key AS (n integer, subject text, root bigint, thread text, since timestamptz,
    settled_at timestamptz, settled_id uuid, last_fired_at timestamptz, lo timestamptz, customer_id bigint);
CREATE TYPE touchlog.wait_found AS (subject text, customer_id bigint, state text, origin_id uuid, origin_at timestamptz,
    cause_id uuid, settled_at timestamptz);

-- Decides subjects of one rule whose timers the caller has locked.
CREATE FUNCTION touchlog.decide_batch(r touchlog.rule, subjects text[], origins uuid[], now timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	keys touchlog.wait_key[];	-- keys[n] is subjects[n]
	roots bigint[];
	found touchlog.wait_found[];
	fired bigint[];
BEGIN
	-- Where each subject stands.
	SELECT array_agg(ROW(k.n, k.subject, s.root_id, CASE WHEN r.per = 'thread' THEN substring(k.subject FROM '^[^ ]* (.*)$') END,
	    least(r.since, touchlog.at(k.origin)), l.settled_at, l.cause_id, f.last_fired_at,
	    CASE WHEN r.per = 'interaction' THEN i.occurred_at ELSE coalesce(l.settled_at, least(r.since, touchlog.at(k.origin)) - r.max_age) END,
	    coalesce(i.customer_id, s.id))::touchlog.wait_key ORDER BY k.n) INTO keys
	FROM unnest(subjects, origins) WITH ORDINALITY AS k(subject, origin, n)
	LEFT JOIN touchlog.interaction i ON r.per = 'interaction' AND i.id = k.origin AND i.received_at = touchlog.at(k.origin)
	LEFT JOIN touchlog.customer s ON s.id = CASE WHEN r.per = 'interaction' THEN nullif(i.customer_id, 0) ELSE split_part(k.subject, ' ', 1)::bigint END
	CROSS JOIN LATERAL touchlog.subject_aliases(CASE WHEN r.per = 'interaction' THEN NULL ELSE s.root_id END, k.subject) AS a(names)
	LEFT JOIN LATERAL (SELECT g.settled_at, CASE WHEN g.state = 'cancelled' THEN g.cause_id END AS cause_id FROM touchlog.firing g
	    WHERE g.rule = r.name AND g.subject = ANY (a.names) AND g.settled_at IS NOT NULL ORDER BY g.settled_at DESC, g.id DESC LIMIT 1) l ON true
	LEFT JOIN LATERAL (SELECT max(x.last_fired_at) AS last_fired_at FROM touchlog.rule_state x
	    WHERE x.rule = r.name AND x.subject = ANY (a.names)) f ON true;
	IF r.count IS NOT NULL THEN
		SELECT array_agg(ROW(k.n, k.subject, k.root, k.thread, k.since, k.settled_at, k.settled_id, k.last_fired_at,
		    CASE WHEN r.calendar IS NULL THEN k.lo - r.within ELSE touchlog.open_time_add(r.calendar, k.lo, -r.within) END,
		    k.customer_id)::touchlog.wait_key ORDER BY k.n) INTO keys FROM unnest(keys) k;
	END IF;

	roots := ARRAY(SELECT coalesce(k.root, 0) FROM unnest(keys) k ORDER BY k.n);
	-- What the log says, folded.
	WITH m AS (
		SELECT array_agg(k.n) AS ns, array_agg(c.id) AS customers, array_agg(k.thread) AS threads, array_agg(k.lo) AS los,
		       min(k.lo) - interval '1 day' AS floor_at
		FROM unnest(keys) k CROSS JOIN LATERAL (SELECT x.id FROM touchlog.customer x WHERE x.root_id = k.root
		    UNION ALL SELECT k.customer_id WHERE k.root IS NULL) c
	), seen AS (
		SELECT l.n, array_agg(ROW(l.row_id, l.row_received_at, l.row_occurred_at, l.w AND (r.per <> 'interaction' OR l.row_id = origins[l.n]),
		    l.u AND (r.per <> 'interaction' OR roots[l.n] > 0), l.row_due)::touchlog.log_row ORDER BY l.row_occurred_at, l.row_id) AS rows
		FROM m, touchlog.rule_rows(r.id, m.ns, m.customers, m.threads, m.los, m.floor_at) l
		GROUP BY l.n
	)
	SELECT array_agg(ROW((s.k).subject, coalesce((s.k).root, (s.k).customer_id, 0), d.state, d.origin_id, d.origin_at, d.cause_id, d.settled_at)::touchlog.wait_found)
	INTO found
	FROM (SELECT keys[seen.n] AS k, seen.rows FROM seen OFFSET 0) s	-- by index: a join of arrays is a nested loop here, 1000 times 1000
	CROSS JOIN LATERAL touchlog.fold_wait(r, s.rows, (s.k).settled_at, (s.k).settled_id, (s.k).last_fired_at, (s.k).since, now) d;

	WITH f AS (
		INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state, cause_id, rule_set, decided_at, settled_at)
		SELECT r.name, x.subject, x.origin_id, x.origin_at, x.customer_id, x.state, x.cause_id, r.rule_set, now, x.settled_at
		FROM unnest(found) x WHERE x.state <> 'pending'
		ON CONFLICT (rule, origin_id) DO NOTHING RETURNING id, state
	) SELECT array_agg(id) FILTER (WHERE state = 'fired') INTO fired FROM f;
	INSERT INTO touchlog.rule_state AS s (rule, subject, last_fired_at)
	SELECT r.name, x.subject, max(x.settled_at) FROM unnest(found) x WHERE x.state IN ('fired', 'shadowed') AND (r.ever OR r.cooldown IS NOT NULL)
	GROUP BY 2 ORDER BY 2
	ON CONFLICT (rule, subject) DO UPDATE SET last_fired_at = greatest(s.last_fired_at, excluded.last_fired_at);
	UPDATE touchlog.timer t SET due = x.settled_at, origin_id = x.origin_id FROM unnest(found) x
	    WHERE x.state = 'pending' AND t.rule = r.name AND t.subject = x.subject;
	DELETE FROM touchlog.timer t WHERE t.rule = r.name AND t.subject = ANY (
	    ARRAY(SELECT unnest(subjects) EXCEPT SELECT x.subject FROM unnest(found) x WHERE x.state = 'pending'));
	IF fired IS NOT NULL THEN
		PERFORM touchlog.firings_enqueue(fired, now);
	END IF;
	RETURN cardinality(subjects);
END $$;

-- Claims and decides up to n due timers; returns how many it claimed.  A timer with `unless`
-- waits until everything before `horizon` is known to be in the log, at most `grace`.
CREATE FUNCTION touchlog.decide_due(n integer, now timestamptz DEFAULT clock_timestamp(), horizon timestamptz DEFAULT 'infinity',
    grace interval DEFAULT '15 minutes') RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	names text[];
	subjects text[];
	origins uuid[];
	g record;
	r touchlog.rule;
BEGIN
	SELECT array_agg(c.rule), array_agg(c.subject), array_agg(c.origin_id) INTO names, subjects, origins FROM (
		SELECT t.rule, t.subject, t.origin_id FROM touchlog.timer t
		WHERE t.due <= now AND (t.due < horizon OR t.due <= now - grace OR NOT EXISTS (
		    SELECT FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set
		    WHERE s.active AND x.name = t.rule AND x.unless_sql IS NOT NULL))
		ORDER BY t.due LIMIT n FOR UPDATE OF t SKIP LOCKED) c;
	IF names IS NULL THEN RETURN 0; END IF;
	FOR g IN SELECT k.rule, array_agg(k.subject) AS subjects, array_agg(k.origin) AS origins
		 FROM unnest(names, subjects, origins) AS k(rule, subject, origin) GROUP BY 1 ORDER BY 1 LOOP
		SELECT x.* INTO r FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set WHERE s.active AND x.name = g.rule AND x.waits;
		IF r.id IS NULL OR r.mode = 'off' THEN
			DELETE FROM touchlog.timer t WHERE t.rule = g.rule AND t.subject = ANY (g.subjects);
			CONTINUE;
		END IF;
		IF r.per <> 'interaction' THEN
			SELECT * INTO g.subjects, g.origins FROM touchlog.timers_rekey(r, g.subjects, g.origins);
			CONTINUE WHEN g.subjects IS NULL;
		END IF;
		PERFORM touchlog.decide_safely(r, g.subjects, g.origins, now);
	END LOOP;
	RETURN cardinality(names);
END $$;

-- Subjects whose customer was merged since their timer was armed go on under the root's name; their
-- timers are due at once under it.  Returns the others.
CREATE FUNCTION touchlog.timers_rekey(r touchlog.rule, subjects text[], origins uuid[], OUT kept text[], OUT kept_origins uuid[]) LANGUAGE plpgsql AS $$
DECLARE
	moved text[] := ARRAY(SELECT k.subject FROM unnest(subjects) k(subject) JOIN touchlog.customer c ON c.id = split_part(k.subject, ' ', 1)::bigint
	    WHERE c.root_id <> c.id);
BEGIN
	kept := subjects;
	kept_origins := origins;
	IF moved = '{}' THEN RETURN; END IF;
	WITH gone AS (DELETE FROM touchlog.timer t WHERE t.rule = r.name AND t.subject = ANY (moved) RETURNING t.subject, t.due, t.origin_id)
	INSERT INTO touchlog.timer AS t (rule, subject, due, origin_id)
	SELECT r.name, c.root_id::text || coalesce(substring(gone.subject FROM ' .*$'), ''), min(gone.due), (array_agg(gone.origin_id ORDER BY gone.origin_id))[1]
	FROM gone JOIN touchlog.customer c ON c.id = split_part(gone.subject, ' ', 1)::bigint GROUP BY 2 ORDER BY 2
	ON CONFLICT (rule, subject) DO UPDATE SET due = least(t.due, excluded.due), origin_id = least(t.origin_id, excluded.origin_id);
	SELECT array_agg(k.subject ORDER BY k.n), array_agg(k.origin ORDER BY k.n) INTO kept, kept_origins
	    FROM unnest(subjects, origins) WITH ORDINALITY AS k(subject, origin, n) WHERE NOT k.subject = ANY (moved);
END $$;

-- All at once; where that fails by the rule's own fault, one by one, and the bad one ends as `failed`.
CREATE FUNCTION touchlog.decide_safely(r touchlog.rule, subjects text[], origins uuid[], now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
BEGIN
	PERFORM touchlog.decide_batch(r, subjects, origins, now);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	IF NOT touchlog.rule_is_to_blame(state) THEN RAISE; END IF;
	IF cardinality(subjects) > 1 THEN
		FOR i IN 1..cardinality(subjects) LOOP
			PERFORM touchlog.decide_safely(r, subjects[i:i], origins[i:i], now);
		END LOOP;
		RETURN;
	END IF;
	INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state, error, rule_set, decided_at, settled_at)
	SELECT r.name, subjects[1], origins[1], i.occurred_at, i.customer_id, 'failed', message, r.rule_set, now, i.occurred_at
	FROM touchlog.interaction i WHERE i.id = origins[1] AND i.received_at = touchlog.at(origins[1])
	ON CONFLICT (rule, origin_id) DO NOTHING;
	DELETE FROM touchlog.timer t WHERE t.rule = r.name AND t.subject = subjects[1];
END $$;

-- One timer by name, as a person or a test asks for it.
CREATE FUNCTION touchlog.decide(rule_name text, subject text, now timestamptz) RETURNS SETOF touchlog.firing LANGUAGE plpgsql AS $$
DECLARE
	r touchlog.rule;
	origin uuid;
	before bigint := coalesce((SELECT max(id) FROM touchlog.firing), 0);
BEGIN
	SELECT x.* INTO STRICT r FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set WHERE s.active AND x.name = rule_name;
	SELECT t.origin_id INTO origin FROM touchlog.timer t WHERE t.rule = rule_name AND t.subject = decide.subject AND t.due <= now FOR UPDATE;
	IF origin IS NULL THEN RETURN; END IF;
	PERFORM touchlog.decide_safely(r, ARRAY[decide.subject], ARRAY[origin], now);
	RETURN QUERY SELECT f.* FROM touchlog.firing f WHERE f.rule = rule_name AND f.subject = decide.subject AND f.id > before ORDER BY f.id;
END $$;

------------------------------------------------------------------ trying a rule on the past
CREATE TYPE touchlog.tried AS (subject text, state text, origin_id uuid, cause_id uuid, settled_at timestamptz);

-- One subject.  rows in the order they were received; the clock stops at each arrival and each due time.
CREATE FUNCTION touchlog.replay(r touchlog.rule, rows touchlog.log_row[], until timestamptz) RETURNS SETOF touchlog.decision LANGUAGE plpgsql STABLE AS $$
DECLARE
	e touchlog.log_row;
	d touchlog.decision;
	known touchlog.log_row[] := '{}';
	done touchlog.decision[] := '{}';
	fired text := CASE r.mode WHEN 'shadow' THEN 'shadowed' ELSE 'fired' END;
	due timestamptz;
	settled_at timestamptz;
	settled_id uuid;
	last_fired timestamptz;
	decided uuid[] := '{}';
	n integer := 0;
BEGIN
	FOR n IN 1..cardinality(rows) + 1 LOOP
		e := rows[n];
		WHILE due IS NOT NULL AND due < coalesce(e.received_at, until) LOOP
			FOR d IN SELECT * FROM touchlog.fold_wait(r, known, settled_at, settled_id, last_fired, r.since, due) LOOP
				IF d.state = 'pending' THEN EXIT; END IF;
				done := done || d;
				settled_at := d.settled_at;
				settled_id := CASE WHEN d.state = 'cancelled' THEN d.cause_id END;
				IF d.state = fired THEN last_fired := d.settled_at; END IF;
				d := NULL;
			END LOOP;
			due := CASE WHEN d.state = 'pending' THEN d.settled_at END;
			d := NULL;
		END LOOP;
		EXIT WHEN n > cardinality(rows);
		known := CASE WHEN NOT r.waits AND r.count IS NULL THEN known
			 WHEN known = '{}' OR (e.occurred_at, e.id) > ((known[n - 1]).occurred_at, (known[n - 1]).id) THEN known || e
			 ELSE ARRAY(SELECT x FROM unnest(known || e) x ORDER BY (x).occurred_at, (x).id) END;
		IF e.u THEN
			done := ARRAY(SELECT CASE WHEN (x).state IN ('fired', 'shadowed') AND (x).cause_id IS NULL AND (x).settled_at >= e.occurred_at
				AND ((x).origin_at, (x).origin_id) < (e.occurred_at, e.id)
			    THEN ROW(CASE (x).state WHEN 'fired' THEN 'too_late' ELSE (x).state END, (x).origin_id, (x).origin_at, e.id, (x).settled_at)::touchlog.decision
			    ELSE x END FROM unnest(done) WITH ORDINALITY AS y(x1, x2, x3, x4, x5, k) CROSS JOIN LATERAL (SELECT ROW(x1, x2, x3, x4, x5)::touchlog.decision) z(x) ORDER BY k);
		END IF;
		CONTINUE WHEN NOT e.w OR e.received_at < r.since;
		IF e.received_at - e.occurred_at > r.max_age THEN
			d := ROW('too_old', e.id, e.occurred_at, NULL, NULL);
			done := done || d;
			decided := decided || e.id;
		ELSIF r.waits THEN
			due := least(due, e.due);
		ELSE
			FOR d IN SELECT * FROM touchlog.fold_count(r, CASE WHEN r.count IS NULL THEN ARRAY[e] ELSE known END,
			    e.occurred_at, e.id, decided, last_fired) LOOP
				done := done || d;
				decided := decided || d.origin_id;
				IF d.state = fired THEN last_fired := greatest(last_fired, touchlog.at(d.origin_id)); END IF;
			END LOOP;
		END IF;
	END LOOP;
	RETURN QUERY SELECT * FROM unnest(done);
END $$;

-- What the rule would have decided on matches received since `since`, at the times it would have.
CREATE FUNCTION touchlog.rule_test(rule_id integer, since timestamptz, until timestamptz DEFAULT clock_timestamp())
RETURNS SETOF touchlog.tried LANGUAGE plpgsql STABLE SET enable_hashjoin = on SET enable_seqscan = on SET timezone = 'UTC' AS $$
DECLARE
	r touchlog.rule;
	from_at timestamptz;
BEGIN
	SELECT * INTO STRICT r FROM touchlog.rule x WHERE x.id = rule_id;
	r.since := since;
	from_at := since;
	IF r.count IS NOT NULL THEN	-- the windows of the first matches reach back before `since`
		from_at := CASE WHEN r.calendar IS NULL THEN since - r.within ELSE touchlog.open_time_add(r.calendar, since, -r.within) END - r.max_age;
	END IF;
	RETURN QUERY EXECUTE format($q$
	WITH l(root, thread, id, received_at, occurred_at, w, u, due) AS MATERIALIZED (%s),
	s AS (
		SELECT a.subject, array_agg(ROW(a.id, a.received_at, a.occurred_at, a.w, a.u, a.due)::touchlog.log_row ORDER BY a.received_at, a.id) AS rows FROM (
			SELECT root::text || CASE WHEN $3.per = 'thread' THEN ' ' || thread ELSE '' END AS subject, id, received_at, occurred_at, w, u, due
			FROM l WHERE $3.per <> 'interaction' AND root IS NOT NULL
			UNION ALL
			SELECT m.id::text, l.id, l.received_at, l.occurred_at, l.id = m.id, l.u, l.due
			FROM l m JOIN l ON l.id = m.id OR (l.root = m.root AND l.u) WHERE $3.per = 'interaction' AND m.w) a
		WHERE a.subject IS NOT NULL GROUP BY 1 HAVING bool_or(a.w)
	)
	SELECT s.subject, d.state, d.origin_id, d.cause_id, d.settled_at FROM s CROSS JOIN LATERAL touchlog.replay($3, s.rows, $2) d
	UNION ALL
	SELECT NULL, 'no_subject', id, NULL, NULL FROM l WHERE w AND received_at >= $3.since AND $3.per <> 'interaction' AND (root IS NULL OR ($3.per = 'thread' AND thread IS NULL))
	$q$, touchlog.rule_rows_sql(r, false)) USING from_at, until, r;
END $$;

------------------------------------------------------------------ installing a set
-- Makes a loaded set the active one.  A rule that was there before under its name, with the same
-- `when`, keeps its age; timers of rules that are gone end as cancelled.
CREATE FUNCTION touchlog.rule_set_activate(v integer, now timestamptz DEFAULT clock_timestamp()) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtext('touchlog.rules_compile'));
	UPDATE touchlog.rule n SET since = least(n.since, o.since) FROM touchlog.rule o JOIN touchlog.rule_set s ON s.version = o.rule_set
	    WHERE s.active AND n.rule_set = v AND n.name = o.name AND n.when_sql = o.when_sql AND o.mode <> 'off';
	UPDATE touchlog.rule_set SET active = false WHERE active AND version <> v;
	UPDATE touchlog.rule_set SET active = true WHERE version = v;
	WITH gone AS (
		DELETE FROM touchlog.timer t WHERE NOT EXISTS (SELECT FROM touchlog.rule r WHERE r.rule_set = v AND r.name = t.rule AND r.waits AND r.mode <> 'off')
		RETURNING t.*
	) INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state, error, rule_set, decided_at, settled_at)
	SELECT g.rule, g.subject, g.origin_id, i.occurred_at, i.customer_id, 'cancelled', 'removed', v, now, i.occurred_at
	FROM gone g JOIN touchlog.interaction i ON i.id = g.origin_id AND i.received_at = touchlog.at(g.origin_id)
	ON CONFLICT (rule, origin_id) DO NOTHING;
	DELETE FROM touchlog.rule_trouble t USING touchlog.rule r WHERE r.id = t.rule AND r.rule_set <> v;
	PERFORM touchlog.rules_compile();
END $$;

------------------------------------------------------------------ what a loader calls
-- Judges one text and returns it as PostgreSQL read it.  Where it stands in the user's text: the
-- statement that failed (PG_DIAG_INTERNAL_QUERY) has it behind `/*>*/`, so the error's internal
-- position less that; of our own refusals (42601) the DETAIL is the position.
CREATE FUNCTION touchlog.rule_check(src text, kind text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = touchlog, pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	result text;
BEGIN
	EXECUTE (SELECT c.statement FROM touchlog.rule_check_sql(src, kind) c);
	result := touchlog.rule_check_result(kind);
	DROP TABLE pg_temp.touchlog_check;
	RETURN result;
END $$;

-- Loads a rule set beside the active one and returns its version; not active yet.
-- rules: [{"name", "when", "unless", "wait", "at", "wait_from", "count", "within", "per", "cooldown",
-- "max_age", "calendar", "mode", "do": [action, …]}]; durations as PostgreSQL reads intervals,
-- `wait` an interval expression, cooldown `ever` or a duration.
-- calendars: [{"name", "zone", "hours": [{"weekday": 1, "opens": "09:00", "closes": "17:00"}],
-- "holidays": ["2026-12-25"]}].
CREATE FUNCTION touchlog.rule_set_load(sha256 bytea, rules jsonb, calendars jsonb) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = touchlog, pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	v integer;
BEGIN
	INSERT INTO touchlog.rule_set (sha256) VALUES (sha256) RETURNING version INTO v;
	INSERT INTO touchlog.calendar (name, zone) SELECT c->>'name', c->>'zone' FROM jsonb_array_elements(calendars) c
	    ON CONFLICT (name) DO UPDATE SET zone = excluded.zone;
	DELETE FROM touchlog.calendar_hours h USING jsonb_array_elements(calendars) c WHERE h.calendar = c->>'name';
	DELETE FROM touchlog.calendar_holiday h USING jsonb_array_elements(calendars) c WHERE h.calendar = c->>'name';
	INSERT INTO touchlog.calendar_hours (calendar, weekday, opens, closes)
	SELECT c->>'name', (h->>'weekday')::smallint, (h->>'opens')::time, (h->>'closes')::time
	FROM jsonb_array_elements(calendars) c, jsonb_array_elements(c->'hours') h;
	INSERT INTO touchlog.calendar_holiday (calendar, day) SELECT c->>'name', (h#>>'{}')::date
	FROM jsonb_array_elements(calendars) c, jsonb_array_elements(coalesce(c->'holidays', '[]')) h;
	INSERT INTO touchlog.rule (rule_set, name, when_text, when_sql, unless_sql, wait_sql, at_sql, wait_from, count, within, per,
	    cooldown, ever, max_age, calendar, mode, actions)
	SELECT v, r->>'name', r->>'when', touchlog.rule_check(r->>'when', 'predicate'),
	    CASE WHEN r->>'unless' IS NOT NULL THEN touchlog.rule_check(r->>'unless', 'predicate') END,
	    CASE WHEN r->>'wait' IS NOT NULL THEN touchlog.rule_check(r->>'wait', 'interval') END,
	    CASE WHEN r->>'at' IS NOT NULL THEN touchlog.rule_check(r->>'at', 'timestamptz') END,
	    coalesce(r->>'wait_from', 'first'), (r->>'count')::integer, (r->>'within')::interval, coalesce(r->>'per', 'customer'),
	    CASE WHEN r->>'cooldown' <> 'ever' THEN (r->>'cooldown')::interval END, coalesce(r->>'cooldown' = 'ever', false),
	    coalesce((r->>'max_age')::interval, '1 day'), r->>'calendar', coalesce(r->>'mode', 'live'),
	    coalesce(ARRAY(SELECT jsonb_array_elements_text(r->'do')), '{}')
	FROM jsonb_array_elements(rules) r;
	RETURN v;
END $$;

SELECT touchlog.rules_compile();

ALTER FUNCTION touchlog.match(uuid[], timestamptz, timestamptz, timestamptz) SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION touchlog.decide_due(integer, timestamptz, timestamptz, interval) SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION touchlog.rule_test(integer, timestamptz, timestamptz) SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION touchlog.rule_set_activate(integer, timestamptz) SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
GRANT EXECUTE ON FUNCTION touchlog.match, touchlog.decide_due, touchlog.rule_test, touchlog.rule_set_activate, touchlog.rule_check,
    touchlog.rule_set_load TO touchlog_daemon;
GRANT EXECUTE ON FUNCTION touchlog.ptr, touchlog.str, touchlog.has, touchlog.num, touchlog.ts, touchlog.open_time_add,
    touchlog.open_time_between TO touchlog_daemon, touchlog_reader;
GRANT SELECT ON touchlog.rule_set, touchlog.rule, touchlog.rule_trouble, touchlog.rule_state, touchlog.timer, touchlog.firing,
    touchlog.outbox, touchlog.delivery, touchlog.task, touchlog.calendar, touchlog.calendar_hours, touchlog.calendar_holiday
    TO touchlog_daemon, touchlog_reader;
