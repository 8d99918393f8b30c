-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- Rules: what they are and what they remember.  The files after this one run them:
--
--   010-fold.sql		opening time, the decisions as pure functions, rule_test()
--   011-predicate.sql		predicates are judged, and the active set is compiled
--   012-match.sql		match(): the rules of a batch, inside the append transaction
--   013-decide.sql		decide_due(): due timers; rule_arm(), rule_explain()
--
-- Invariants:
--   * Whoever changes what a subject may decide holds its row of rule_state or timer first
--     and reads the log in a later statement.
--   * Who decides holds the advisory lock `touchlog.rules` shared, who changes the active
--     set holds it alone: a batch is decided by one set, as a whole.
--   * Rule ids are never reused.

SET LOCAL ROLE touchlog_admin;

CREATE TABLE touchlog.rule_set (
	version		int		GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sha256		bytea		NOT NULL,	-- of the configuration it was made from
	active		boolean		NOT NULL DEFAULT false,
	n_rules		int		NOT NULL DEFAULT 0,	-- that are not off
	loaded_at	timestamptz	NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX rule_set_one_active ON touchlog.rule_set (active) WHERE active;

-- A calendar is part of its rule set, so that loading another one changes no hours.
CREATE TABLE touchlog.calendar (
	id		int		GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	rule_set	int		NOT NULL REFERENCES touchlog.rule_set ON DELETE CASCADE,
	name		text		NOT NULL,
	zone		text		NOT NULL,	-- IANA
	UNIQUE (rule_set, name)
);
CREATE TABLE touchlog.calendar_hours (			-- local, half-open; over midnight: two rows
	calendar	int		NOT NULL REFERENCES touchlog.calendar ON DELETE CASCADE,
	weekday		smallint	NOT NULL CHECK (weekday BETWEEN 1 AND 7),	-- 1: Monday
	opens		time		NOT NULL,
	closes		time		NOT NULL CHECK (closes > opens),	-- 24:00 is allowed
	PRIMARY KEY (calendar, weekday, opens)
);
CREATE TABLE touchlog.calendar_holiday (
	calendar	int		NOT NULL REFERENCES touchlog.calendar ON DELETE CASCADE,
	day		date		NOT NULL,
	PRIMARY KEY (calendar, day)
);

-- x_text is as the user wrote it, x_sql as PostgreSQL read it: deparsed, fully qualified.
CREATE TABLE touchlog.rule (
	id		int		GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	rule_set	int		NOT NULL REFERENCES touchlog.rule_set ON DELETE CASCADE,
	name		text		NOT NULL,
	since		timestamptz	NOT NULL DEFAULT clock_timestamp(), -- what came before starts nothing
	when_text	text		NOT NULL,
	unless_text	text,
	when_sql	text		NOT NULL,
	unless_sql	text,
	wait_sql	text,		-- an interval
	at_sql		text,		-- a timestamptz
	wait_from	text		NOT NULL DEFAULT 'first' CHECK (wait_from IN ('first', 'last')),
	count		int		CHECK (count > 0),
	within		interval	CHECK (within > interval '0'),
	per		text		NOT NULL DEFAULT 'customer'
	    CHECK (per IN ('customer', 'thread', 'interaction')),
	cooldown	interval,	-- PostgreSQL 15 has no infinite interval, hence ever
	ever		boolean		NOT NULL DEFAULT false,
	max_age		interval	NOT NULL DEFAULT '1 day',
	calendar	text,
	calendar_id	int		REFERENCES touchlog.calendar,
	mode		text		NOT NULL DEFAULT 'live' CHECK (mode IN ('live', 'shadow', 'off')),
	actions		text[]		NOT NULL DEFAULT '{}',
	waits		boolean		GENERATED ALWAYS AS
	    (wait_sql IS NOT NULL OR at_sql IS NOT NULL) STORED,
	keeps_state	boolean		GENERATED ALWAYS AS (wait_sql IS NULL AND at_sql IS NULL
	    AND (count IS NOT NULL OR cooldown IS NOT NULL OR ever)) STORED,
	UNIQUE (rule_set, name),
	CONSTRAINT rule_has_wait_or_at CHECK (wait_sql IS NULL OR at_sql IS NULL),
	CONSTRAINT rule_does_not_count_per_interaction CHECK (count IS NULL OR per <> 'interaction'),
	CONSTRAINT rule_counts_within_a_time CHECK ((count IS NULL) = (within IS NULL)),
	CONSTRAINT rule_with_unless_waits CHECK
	    (unless_sql IS NULL OR wait_sql IS NOT NULL OR at_sql IS NOT NULL)
);
-- Batches in which a rule failed.  After three it is evaluated alone, once the others are
-- compiled without it.
CREATE TABLE touchlog.rule_trouble (
	rule		int		PRIMARY KEY REFERENCES touchlog.rule ON DELETE CASCADE,
	batches		int		NOT NULL,
	alone		boolean		NOT NULL DEFAULT false
);

-- subject: root id; root id, space, thread; or an interaction's id.  In collation C what
-- belongs to a customer is a range; and subject comes first in the keys, for a merge or
-- split looks for all that its customers have.
CREATE TABLE touchlog.rule_state (
	rule		text			NOT NULL,
	subject		text COLLATE "C"	NOT NULL,
	last_fired_at	timestamptz,
	touched		int			NOT NULL DEFAULT 0,
	PRIMARY KEY (subject, rule)
) WITH (fillfactor = 70);
CREATE TABLE touchlog.timer (
	rule		text			NOT NULL,
	subject		text COLLATE "C"	NOT NULL,
	due		timestamptz		NOT NULL,	-- when to look at the log
	origin_id	uuid			NOT NULL,
	armed		boolean			NOT NULL DEFAULT false,	-- by rule_arm(): since origin_id
	touched		int			NOT NULL DEFAULT 0,
	PRIMARY KEY (subject, rule)
) WITH (fillfactor = 70);
CREATE INDEX timer_due ON touchlog.timer (due);

CREATE TABLE touchlog.firing (
	id		bigint			GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	rule		text			NOT NULL,
	subject		text COLLATE "C",	-- null: no_subject
	origin_id	uuid			NOT NULL,
	origin_at	timestamptz		NOT NULL,	-- its occurred_at
	customer_id	bigint			NOT NULL,	-- its own, as in the log
	state		text			NOT NULL CHECK (state IN ('fired', 'shadowed',
	    'cancelled', 'cooldown', 'no_subject', 'too_old', 'too_late', 'failed', 'capped',
	    'no_consent', 'suppressed')),
	cause_id	uuid,
	error		text,
	rule_set	int			NOT NULL,
	decided_at	timestamptz		NOT NULL,
	settled_at	timestamptz,	-- with a wait: matches that occurred by then are decided
	UNIQUE (rule, origin_id)
);
CREATE INDEX firing_settled ON touchlog.firing (subject, rule, settled_at)
    WHERE settled_at IS NOT NULL;
CREATE INDEX firing_customer ON touchlog.firing (customer_id, rule, id);
CREATE INDEX firing_list ON touchlog.firing (rule, state, id);

CREATE TABLE touchlog.outbox (
	id		bigint		GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	firing_id	bigint		NOT NULL,
	action		text		NOT NULL,
	position	smallint	NOT NULL,
	payload		jsonb		NOT NULL,
	attempts	int		NOT NULL DEFAULT 0,
	next_at		timestamptz	NOT NULL,
	claimed_by	text,
	claim_until	timestamptz,
	UNIQUE (firing_id, position)
);
CREATE INDEX outbox_next ON touchlog.outbox (next_at);
CREATE TABLE touchlog.delivery (
	outbox_id	bigint		NOT NULL,
	firing_id	bigint		NOT NULL,
	action		text		NOT NULL,
	attempt		int		NOT NULL,
	at		timestamptz	NOT NULL,
	status		text		NOT NULL,
	error		text,
	PRIMARY KEY (outbox_id, attempt)
);
CREATE INDEX delivery_firing ON touchlog.delivery (firing_id);
CREATE TABLE touchlog.task (
	id		bigint		GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	outbox_id	bigint		UNIQUE,		-- a repeated delivery makes no second task
	firing_id	bigint,
	customer_id	bigint		NOT NULL,
	interaction_id	uuid,
	thread		text,
	title		text		NOT NULL,
	assign		text,
	priority	smallint,
	due		timestamptz,
	created_at	timestamptz	NOT NULL DEFAULT now(),
	done_at		timestamptz,
	done_by		text
);
CREATE INDEX task_open ON touchlog.task (assign, due) WHERE done_at IS NULL;

-- What may still come from before: who has events in a spool, and how far each pull source
-- has been read.
CREATE TABLE touchlog.daemon (
	instance		text		PRIMARY KEY,
	seen_at			timestamptz	NOT NULL,
	oldest_spooled_at	timestamptz
) WITH (fillfactor = 50);
CREATE TABLE touchlog.cursor (
	source		text		NOT NULL,
	key		text		NOT NULL,
	value		text		NOT NULL,
	caught_up_at	timestamptz,
	PRIMARY KEY (source, key)
) WITH (fillfactor = 50);

-- What a payload holds, as a predicate asks for it: a key, or a path `/a/b`.  All of them are
-- total: null instead of an error.
CREATE FUNCTION touchlog.ptr(doc jsonb, k text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN k LIKE '/%' THEN doc #> string_to_array(substr(k, 2), '/') ELSE doc -> k END
$$;
CREATE FUNCTION touchlog.str(doc jsonb, k text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT touchlog.ptr(doc, k) #>> '{}'
$$;
CREATE FUNCTION touchlog.has(doc jsonb, k text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT coalesce(jsonb_typeof(touchlog.ptr(doc, k)) <> 'null', false)
$$;
CREATE FUNCTION touchlog.num(doc jsonb, k text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN touchlog.str(doc, k)
	    ~ '^\s*[+-]?([0-9]{1,60}(\.[0-9]{0,60})?|\.[0-9]{1,60})([eE][+-]?[0-9]{1,2})?\s*$'
	    THEN touchlog.str(doc, k)::numeric END
$$;
CREATE FUNCTION touchlog.ts(doc jsonb, k text) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
	RETURN touchlog.str(doc, k)::timestamptz;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END $$;

-- A daemon says that it lives, and since when events wait in its spool (null: none do).
CREATE FUNCTION touchlog.daemon_seen(instance text, oldest_spooled_at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	INSERT INTO touchlog.daemon AS d VALUES (instance, clock_timestamp(), oldest_spooled_at)
	ON CONFLICT ON CONSTRAINT daemon_pkey DO UPDATE SET seen_at = EXCLUDED.seen_at,
	    oldest_spooled_at = EXCLUDED.oldest_spooled_at;
END $$;

CREATE FUNCTION touchlog.daemon_left(instance text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	DELETE FROM touchlog.daemon d WHERE d.instance = instance;
END $$;

-- Everything that occurred before is in the log, as far as is known; infinity: nothing is on
-- its way.  A daemon may have spooled since it was last seen, for it may have lost us the moment
-- after; who is gone for a day, or a source that is not read for a day, holds nothing up any more.
CREATE FUNCTION touchlog.horizon(now timestamptz DEFAULT clock_timestamp()) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	RETURN least('infinity',
	    (SELECT min(least(d.oldest_spooled_at, d.seen_at)) FROM touchlog.daemon d
	    WHERE d.seen_at > now - interval '1 day'),
	    (SELECT min(c.caught_up_at) FROM touchlog.cursor c
	    WHERE c.caught_up_at > now - interval '1 day'));
END $$;

-- Checks and stores the calendars of a set.
CREATE FUNCTION touchlog.calendars_load(v int, calendars jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	c jsonb;
	cal int;
BEGIN
	FOR c IN SELECT * FROM jsonb_array_elements(calendars) LOOP
		BEGIN
			PERFORM now() AT TIME ZONE (c->>'zone');
			INSERT INTO touchlog.calendar (rule_set, name, zone)
			VALUES (v, c->>'name', c->>'zone') RETURNING id INTO cal;
			INSERT INTO touchlog.calendar_hours (calendar, weekday, opens, closes)
			SELECT cal, (h->>'weekday')::smallint, (h->>'opens')::time, (h->>'closes')::time
			FROM jsonb_array_elements(coalesce(c->'hours', '[]')) h;
			INSERT INTO touchlog.calendar_holiday (calendar, day)
			SELECT DISTINCT cal, (h #>> '{}')::date
			FROM jsonb_array_elements(coalesce(c->'holidays', '[]')) h;
		EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
			RAISE EXCEPTION 'calendar %: %', c->>'name', SQLERRM USING ERRCODE = SQLSTATE;
		END;
		IF EXISTS (SELECT FROM touchlog.calendar_hours a JOIN touchlog.calendar_hours b
		    ON b.calendar = a.calendar AND b.weekday = a.weekday AND b.opens > a.opens
		    WHERE a.calendar = cal AND b.opens < a.closes) THEN
			RAISE EXCEPTION 'calendar %: hours of one day overlap', c->>'name'
			    USING ERRCODE = '22023';
		END IF;
	END LOOP;
END $$;

-- The expressions of a set as PostgreSQL reads them.  Many by one statement; where that fails,
-- one by one, so that the error names the rule and its key.  (rule_check() has its position.)
CREATE FUNCTION touchlog.rule_read_all(names text[], keys text[], srcs text[], kinds text[])
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	bite CONSTANT int := 100;
	result text[] := '{}';
BEGIN
	FOR n IN 1 .. coalesce(cardinality(srcs), 0) BY bite LOOP
		BEGIN
			result := result
			    || touchlog.rule_read(srcs[n:n + bite - 1], kinds[n:n + bite - 1]);
			CONTINUE;
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
		FOR i IN n .. least(n + bite - 1, cardinality(srcs)) LOOP
			BEGIN
				result := result || touchlog.rule_read(srcs[i:i], kinds[i:i]);
			EXCEPTION WHEN OTHERS THEN
				RAISE EXCEPTION 'rule %: %: %', names[i], keys[i], SQLERRM
				    USING ERRCODE = SQLSTATE;
			END;
		END LOOP;
	END LOOP;
	RETURN result;
END $$;

-- Loads a rule set beside the active one and returns its version; not active yet.  The active
-- one's, when that was made from the same configuration.
-- rules: [{"name", "when", "unless", "wait", "at", "wait_from", "count", "within", "per",
-- "cooldown", "max_age", "calendar", "mode", "do": [action, …]}]; durations as PostgreSQL reads
-- intervals, `wait` an interval expression, cooldown `ever` or a duration.
-- calendars: [{"name", "zone", "hours": [{"weekday": 1, "opens": "09:00", "closes": "17:00"}],
-- "holidays": ["2026-12-25"]}].
CREATE FUNCTION touchlog.rule_set_load(sha256 bytea, rules jsonb, calendars jsonb) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
#variable_conflict use_variable
DECLARE
	v int := (SELECT s.version FROM touchlog.rule_set s WHERE s.active AND s.sha256 = sha256);
	wrong text;
	x record;
	read text[];
BEGIN
	IF v IS NOT NULL THEN
		RETURN v;
	END IF;
	INSERT INTO touchlog.rule_set AS s (sha256, n_rules)
	SELECT sha256, count(*) FROM jsonb_array_elements(rules) r WHERE r->>'mode' IS DISTINCT FROM 'off'
	RETURNING s.version INTO v;
	PERFORM touchlog.calendars_load(v, calendars);
	SELECT min(r->>'name') INTO wrong FROM jsonb_array_elements(rules) r
	GROUP BY r->>'name' HAVING count(*) > 1 LIMIT 1;
	IF wrong IS NOT NULL THEN
		RAISE EXCEPTION 'rule %: the name is used twice', wrong USING ERRCODE = '23505';
	END IF;
	SELECT format('rule %s: there is no calendar %s', r->>'name', r->>'calendar') INTO wrong
	FROM jsonb_array_elements(rules) r
	WHERE r->>'calendar' IS NOT NULL AND NOT EXISTS (SELECT FROM touchlog.calendar c
	    WHERE c.rule_set = v AND c.name = r->>'calendar') LIMIT 1;
	IF wrong IS NOT NULL THEN
		RAISE EXCEPTION '%', wrong USING ERRCODE = '42704';
	END IF;
	SELECT array_agg(r->>'name' ORDER BY n, k.key) AS names,
	    array_agg(k.key ORDER BY n, k.key) AS keys,
	    array_agg(r->>k.key ORDER BY n, k.key) AS srcs,
	    array_agg(k.kind ORDER BY n, k.key) AS kinds
	INTO x
	FROM jsonb_array_elements(rules) WITH ORDINALITY j(r, n),
	    (VALUES ('when', 'predicate'), ('unless', 'predicate'), ('wait', 'interval'),
		('at', 'timestamptz')) k(key, kind)
	WHERE r->>k.key IS NOT NULL;
	read := touchlog.rule_read_all(x.names, x.keys, x.srcs, x.kinds);
	INSERT INTO touchlog.rule (rule_set, name, when_text, unless_text, when_sql, unless_sql,
	    wait_sql, at_sql, wait_from, count, within, per, cooldown, ever, max_age, calendar,
	    calendar_id, mode, actions)
	SELECT v, r->>'name', r->>'when', r->>'unless', s.sql->>'when', s.sql->>'unless',
	    s.sql->>'wait', s.sql->>'at', coalesce(r->>'wait_from', 'first'), (r->>'count')::int,
	    (r->>'within')::interval, coalesce(r->>'per', 'customer'),
	    CASE WHEN r->>'cooldown' <> 'ever' THEN (r->>'cooldown')::interval END,
	    coalesce(r->>'cooldown' = 'ever', false), coalesce((r->>'max_age')::interval, '1 day'),
	    r->>'calendar', c.id, coalesce(r->>'mode', 'live'),
	    ARRAY(SELECT jsonb_array_elements_text(coalesce(r->'do', '[]')))
	FROM jsonb_array_elements(rules) WITH ORDINALITY j(r, n)
	JOIN (SELECT u.name, jsonb_object_agg(u.key, u.sql) AS sql
	    FROM unnest(x.names, x.keys, read) u(name, key, sql) GROUP BY 1) s ON s.name = r->>'name'
	LEFT JOIN touchlog.calendar c ON c.rule_set = v AND c.name = r->>'calendar'
	ORDER BY n;
	RETURN v;
END $$;

-- Ends the timers of rules that are no more what they were when these began.
CREATE FUNCTION touchlog.timers_end(rules text[], v int, at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
	WITH gone AS (DELETE FROM touchlog.timer t WHERE t.rule = ANY(rules) RETURNING t.*)
	INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state, error,
	    rule_set, decided_at, settled_at)
	SELECT g.rule, g.subject, g.origin_id, i.occurred_at, i.customer_id, 'cancelled', 'removed',
	    v, at, i.occurred_at
	FROM gone g JOIN touchlog.interaction i ON i.id = g.origin_id
	    AND i.received_at = touchlog.at(g.origin_id)
	ON CONFLICT ON CONSTRAINT firing_rule_origin_id_key DO NOTHING;
END $$;

-- Makes a loaded set the active one; nothing, when it was made from the same configuration as
-- the active one.  A rule of the same name, `when` and `per` goes on where it was: with its age,
-- its waits and its cooldowns; but from shadow to live it starts fresh.
CREATE FUNCTION touchlog.rule_set_activate(v int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	now timestamptz;
	was int;
	x record;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('touchlog.rules', 0));
	now := date_trunc('milliseconds', clock_timestamp());	-- as received_at
	IF NOT EXISTS (SELECT FROM touchlog.rule_set n WHERE n.version = v) THEN
		RAISE EXCEPTION 'there is no rule set %', v USING ERRCODE = 'no_data_found';
	ELSIF EXISTS (SELECT FROM touchlog.rule_set o JOIN touchlog.rule_set n ON n.sha256 = o.sha256
	    WHERE o.active AND n.version = v) THEN
		RETURN;
	END IF;
	was := (SELECT s.version FROM touchlog.rule_set s WHERE s.active);
	UPDATE touchlog.rule n SET since = coalesce((SELECT o.since FROM touchlog.rule o
		WHERE o.rule_set = was AND o.name = n.name AND touchlog.rule_goes_on(o, n)), now)
	WHERE n.rule_set = v;
	SELECT array_agg(o.name) FILTER (WHERE n.id IS NULL OR NOT touchlog.rule_goes_on(o, n)
		OR NOT n.waits) AS ended,
	    array_agg(o.name) FILTER (WHERE (o.wait_sql, o.at_sql, o.calendar, o.count, o.within)
		IS DISTINCT FROM (n.wait_sql, n.at_sql, n.calendar, n.count, n.within)
		OR n.calendar IS NOT NULL) AS woken,
	    array_agg(o.name) FILTER (WHERE o.mode = 'shadow' AND n.mode = 'live') AS fresh
	INTO x
	FROM touchlog.rule o LEFT JOIN touchlog.rule n ON n.rule_set = v AND n.name = o.name
	WHERE o.rule_set = was;
	UPDATE touchlog.rule_set s SET active = false WHERE s.active;
	UPDATE touchlog.rule_set s SET active = true WHERE s.version = v;
	IF x.ended IS NOT NULL THEN
		PERFORM touchlog.timers_end(x.ended, v, now);
	END IF;
	IF x.woken IS NOT NULL THEN		-- another wait: the decider looks when it is over
		UPDATE touchlog.timer t SET due = least(t.due, touchlog.at(t.origin_id))
		WHERE t.rule = ANY(x.woken);
	END IF;
	IF x.fresh IS NOT NULL THEN
		DELETE FROM touchlog.rule_state t WHERE t.rule = ANY(x.fresh);
	END IF;
	DELETE FROM touchlog.rule_trouble;
	PERFORM touchlog.rules_compile();
END $$;

CREATE FUNCTION touchlog.rule_goes_on(o touchlog.rule, n touchlog.rule) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN o.name = n.name AND o.when_sql = n.when_sql AND o.per = n.per AND o.mode <> 'off'
	    AND n.mode <> 'off' AND NOT (o.mode = 'shadow' AND n.mode = 'live');
END $$;

GRANT EXECUTE ON FUNCTION touchlog.ptr, touchlog.str, touchlog.has, touchlog.num, touchlog.ts
    TO touchlog_daemon, touchlog_reader;
GRANT EXECUTE ON FUNCTION touchlog.daemon_seen, touchlog.daemon_left, touchlog.horizon,
    touchlog.rule_set_load, touchlog.rule_set_activate TO touchlog_daemon;
GRANT SELECT ON touchlog.rule_set, touchlog.rule, touchlog.rule_trouble, touchlog.rule_state,
    touchlog.timer, touchlog.firing, touchlog.outbox, touchlog.delivery, touchlog.task,
    touchlog.calendar, touchlog.calendar_hours, touchlog.calendar_holiday, touchlog.daemon,
    touchlog.cursor TO touchlog_daemon, touchlog_reader;
