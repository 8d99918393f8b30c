-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- What decides: opening time, and the folds over one subject's log.  Rows, state and clock in,
-- decisions out, nothing written.  match(), decide_due() and rule_test() all call the same
-- folds, so that a test cannot differ from what happens.  And rule_test() itself, which replays
-- a rule over the past.

SET LOCAL ROLE touchlog_admin;

CREATE FUNCTION touchlog.zone_offset(zone text, t timestamptz) RETURNS interval
LANGUAGE sql STABLE PARALLEL SAFE AS $$
	SELECT (t AT TIME ZONE zone) - (t AT TIME ZONE 'UTC')
$$;

-- The moment between a and b at which the zone's offset changes, to the second.
CREATE FUNCTION touchlog.zone_shift(zone text, a timestamptz, b timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	low bigint := extract(epoch FROM a);
	high bigint := extract(epoch FROM b);
	mid bigint;
	before interval := touchlog.zone_offset(zone, a);
BEGIN
	WHILE high - low > 1 LOOP
		mid := (low + high) / 2;
		IF touchlog.zone_offset(zone, to_timestamp(mid)) = before THEN
			low := mid;
		ELSE
			high := mid;
		END IF;
	END LOOP;
	RETURN to_timestamp(high);
END $$;

-- What is open on one local day, as real time.  A day whose offset changes is read once with
-- each offset and cut at the change: PostgreSQL's own reading of a local time that does not
-- exist, or exists twice, would move an opening inside the changed hour.
CREATE FUNCTION touchlog.open_spans(cal int, local_day date, OUT opens timestamptz,
    OUT closes timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	z text := (SELECT c.zone FROM touchlog.calendar c WHERE c.id = cal);
	h record;
	a timestamptz;
	b timestamptz;
	shift timestamptz;
	before interval;
	after interval;
BEGIN
	IF EXISTS (SELECT FROM touchlog.calendar_holiday d
	    WHERE d.calendar = cal AND d.day = local_day) THEN
		RETURN;
	END IF;
	a := (local_day - 1 + time '12:00') AT TIME ZONE z;
	b := (local_day + 1 + time '12:00') AT TIME ZONE z;
	before := touchlog.zone_offset(z, a);
	after := touchlog.zone_offset(z, b);
	IF before <> after THEN
		shift := touchlog.zone_shift(z, a, b);
	END IF;
	FOR h IN
		SELECT ch.opens, ch.closes FROM touchlog.calendar_hours ch
		WHERE ch.calendar = cal AND ch.weekday = extract(isodow FROM local_day)
		ORDER BY ch.opens
	LOOP
		opens := (local_day + h.opens - before) AT TIME ZONE 'UTC';
		closes := least((local_day + h.closes - before) AT TIME ZONE 'UTC', shift);
		IF closes > opens THEN
			RETURN NEXT;
		END IF;
		CONTINUE WHEN shift IS NULL;
		opens := greatest((local_day + h.opens - after) AT TIME ZONE 'UTC', shift);
		closes := (local_day + h.closes - after) AT TIME ZONE 'UTC';
		IF closes > opens THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;

-- The earliest moment (latest, for a negative interval) at which so much opening time lies
-- between t and it.  A day counts 24 hours: "8h" is a working day, "1d" is three of them.
CREATE FUNCTION touchlog.calendar_add(cal int, t timestamptz, i interval) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET TimeZone = 'UTC' AS $$
DECLARE
	rest interval := make_interval(secs => abs(extract(epoch FROM i))::float8);
	back boolean := extract(epoch FROM i) < 0;
	day date;
	s record;
	part interval;
BEGIN
	IF t IS NULL OR i IS NULL THEN
		RETURN NULL;
	ELSIF rest = interval '0' THEN
		RETURN t;
	END IF;
	SELECT (t AT TIME ZONE c.zone)::date INTO STRICT day FROM touchlog.calendar c WHERE c.id = cal;
	-- The neighbour's spans may reach over midnight at a shift.
	day := day + CASE WHEN back THEN 1 ELSE -1 END;
	FOR n IN 1 .. 3660 LOOP
		FOR s IN
			SELECT o.opens, o.closes FROM touchlog.open_spans(cal, day) o
			ORDER BY CASE WHEN back THEN -extract(epoch FROM o.opens)
			    ELSE extract(epoch FROM o.opens) END
		LOOP
			IF back THEN
				part := least(s.closes, t) - s.opens;
				IF part >= rest THEN
					RETURN least(s.closes, t) - rest;
				END IF;
			ELSE
				part := s.closes - greatest(s.opens, t);
				IF part >= rest THEN
					RETURN greatest(s.opens, t) + rest;
				END IF;
			END IF;
			IF part > interval '0' THEN
				rest := rest - part;
			END IF;
		END LOOP;
		day := day + CASE WHEN back THEN -1 ELSE 1 END;
	END LOOP;
	RAISE EXCEPTION 'calendar %: less than % of opening time within ten years',
	    (SELECT c.name FROM touchlog.calendar c WHERE c.id = cal), i USING ERRCODE = '22023';
END $$;

CREATE FUNCTION touchlog.calendar_between(cal int, a timestamptz, b timestamptz) RETURNS interval
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
	IF a > b THEN
		RETURN -touchlog.calendar_between(cal, b, a);
	END IF;
	RETURN (SELECT coalesce(sum(least(s.closes, b) - greatest(s.opens, a)), interval '0')
	    FROM touchlog.calendar c,
		generate_series(((a AT TIME ZONE c.zone)::date - 1)::timestamp,
		    ((b AT TIME ZONE c.zone)::date + 1)::timestamp, interval '1 day') d,
		touchlog.open_spans(cal, d::date) s
	    WHERE c.id = cal AND s.opens < b AND s.closes > a);
END $$;

-- A calendar of the active set by its name; an error where there is none.
CREATE FUNCTION touchlog.calendar_named(cal text) RETURNS int
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	found int := (SELECT c.id FROM touchlog.calendar c
	    JOIN touchlog.rule_set s ON s.version = c.rule_set WHERE s.active AND c.name = cal);
BEGIN
	IF found IS NULL THEN
		RAISE EXCEPTION 'there is no calendar %', cal USING ERRCODE = '22023';
	END IF;
	RETURN found;
END $$;

-- The same for others than rules: reports, and when a task is due.
CREATE FUNCTION touchlog.open_time_add(cal text, t timestamptz, i interval) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN touchlog.calendar_add(touchlog.calendar_named(cal), t, i);
END $$;
CREATE FUNCTION touchlog.open_time_between(cal text, a timestamptz, b timestamptz) RETURNS interval
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN touchlog.calendar_between(touchlog.calendar_named(cal), a, b);
END $$;

-- A row of the log as one rule sees it: whether it matches `when`, whether `unless`, and when
-- a wait that it starts is over.
CREATE TYPE touchlog.log_row AS (
	id		uuid,
	received_at	timestamptz,
	occurred_at	timestamptz,
	customer_id	bigint,
	w		boolean,
	u		boolean,
	due		timestamptz);

-- state: of firing, or `pending`.  settled_at: the deadline; of a cancelled one the
-- canceller's time; of a pending one when to look again.
CREATE TYPE touchlog.decision AS (
	state		text,
	origin_id	uuid,
	origin_at	timestamptz,
	customer_id	bigint,
	cause_id	uuid,
	settled_at	timestamptz);

CREATE FUNCTION touchlog.rule_rests(r touchlog.rule, last_fired timestamptz, at timestamptz)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	RETURN last_fired IS NOT NULL
	    AND (r.ever OR (r.cooldown IS NOT NULL AND at < last_fired + r.cooldown));
END $$;

-- Whether the match at `at` is enough: `oldest` is the match count - 1 places before it.
CREATE FUNCTION touchlog.rule_within(r touchlog.rule, oldest timestamptz, at timestamptz)
RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
	IF r.calendar_id IS NULL THEN
		RETURN oldest > at - r.within;
	END IF;
	RETURN touchlog.calendar_between(r.calendar_id, oldest, at) < r.within;
END $$;

-- How far back the window of a match at `at` reaches.
CREATE FUNCTION touchlog.rule_reach(r touchlog.rule, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
	IF r.count IS NULL THEN
		RETURN at;
	ELSIF r.calendar_id IS NULL THEN
		RETURN at - r.within;
	END IF;
	RETURN touchlog.calendar_add(r.calendar_id, at, -r.within);
END $$;

-- A rule with a wait, over one subject's log in (occurred_at, id) order, as far as `now`
-- allows.  One pass, so that it does not matter when or how often it is asked: an event after
-- a start's deadline first settles that start.  settled_id is given after a cancelled
-- decision: the cancelling row is not settled by it.
CREATE FUNCTION touchlog.fold_wait(r touchlog.rule, rows touchlog.log_row[],
    settled_at timestamptz, settled_id uuid, last_fired timestamptz, since timestamptz,
    now timestamptz) RETURNS touchlog.decision[]
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	done touchlog.decision[] := '{}';
	e touchlog.log_row;
	start touchlog.log_row;
	waiting boolean := false;
	times timestamptz[] := '{}';
	n int := 0;
	enough boolean;
	need int := r.count;
	ever boolean := r.ever;
	cooldown interval := r.cooldown;
	max_age interval := r.max_age;
	lasts boolean := r.wait_from = 'last';
	fired text := CASE r.mode WHEN 'shadow' THEN 'shadowed' ELSE 'fired' END;
	state text;
BEGIN
	FOREACH e IN ARRAY rows LOOP
		IF waiting AND start.due < e.occurred_at THEN
			EXIT WHEN start.due > now;
			state := fired;
			IF ever AND last_fired IS NOT NULL OR start.due < last_fired + cooldown THEN
				state := 'cooldown';
			ELSE
				last_fired := start.due;
			END IF;
			done := done || ROW(state, start.id, start.occurred_at, start.customer_id, NULL,
			    start.due)::touchlog.decision;
			settled_at := start.due;
			settled_id := NULL;
			waiting := false;
		END IF;
		IF waiting AND e.u THEN
			done := done || ROW('cancelled', start.id, start.occurred_at, start.customer_id, e.id,
			    e.occurred_at)::touchlog.decision;
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
		    AND e.received_at - e.occurred_at <= max_age
		    AND (settled_at IS NULL OR e.occurred_at > settled_at
			OR (e.occurred_at = settled_at AND e.id >= settled_id)) THEN
			start := e;
			waiting := true;
		END IF;
	END LOOP;
	IF waiting THEN
		state := CASE WHEN start.due > now THEN 'pending'
		    WHEN ever AND last_fired IS NOT NULL OR start.due < last_fired + cooldown
			THEN 'cooldown' ELSE fired END;
		done := done || ROW(state, start.id, start.occurred_at, start.customer_id, NULL,
		    start.due)::touchlog.decision;
	END IF;
	RETURN done;
END $$;

-- A rule without a wait but with count or cooldown: what the rows from from_at on decide that
-- is not in `decided`.  An event that comes late may complete the window of one that came
-- before it: that later one is then the origin, as if both had come in order.
CREATE FUNCTION touchlog.fold_count(r touchlog.rule, rows touchlog.log_row[],
    from_at timestamptz, from_id uuid, decided uuid[], last_fired timestamptz)
RETURNS touchlog.decision[] LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	done touchlog.decision[] := '{}';
	e touchlog.log_row;
	times timestamptz[] := '{}';
	n int := 0;
	ripe touchlog.log_row[] := '{}';
	ever boolean := r.ever;
	cooldown interval := r.cooldown;
	fired text := CASE r.mode WHEN 'shadow' THEN 'shadowed' ELSE 'fired' END;
	state text;
BEGIN
	FOREACH e IN ARRAY rows LOOP
		CONTINUE WHEN NOT e.w;
		IF r.count IS NOT NULL THEN
			n := n + 1;
			times[n] := e.occurred_at;
			CONTINUE WHEN n < r.count
			    OR NOT touchlog.rule_within(r, times[n - r.count + 1], e.occurred_at);
		END IF;
		IF (e.occurred_at, e.id) >= (from_at, from_id) AND e.received_at >= r.since
		    AND e.received_at - e.occurred_at <= r.max_age AND NOT e.id = ANY(decided) THEN
			ripe := ripe || e;
		END IF;
	END LOOP;
	IF cardinality(ripe) > 1 THEN
		ripe := ARRAY(SELECT x FROM unnest(ripe) x ORDER BY (x).received_at, (x).id);
	END IF;
	FOREACH e IN ARRAY ripe LOOP
		state := fired;
		IF ever AND last_fired IS NOT NULL OR e.received_at < last_fired + cooldown THEN
			state := 'cooldown';
		ELSE
			last_fired := e.received_at;
		END IF;
		done := done || ROW(state, e.id, e.occurred_at, e.customer_id, NULL, NULL)::touchlog.decision;
	END LOOP;
	RETURN done;
END $$;

-- One subject's past decided again.  rows in the order in which they were received; the clock
-- stops at each arrival and each due time.
CREATE FUNCTION touchlog.replay(r touchlog.rule, rows touchlog.log_row[], until timestamptz)
RETURNS touchlog.decision[] LANGUAGE plpgsql STABLE PARALLEL SAFE COST 10000 AS $$
DECLARE
	e touchlog.log_row;
	d touchlog.decision;
	waits boolean := r.waits;
	need int := r.count;
	since timestamptz := r.since;
	max_age interval := r.max_age;
	known touchlog.log_row[] := '{}';	-- so far, in (occurred_at, id) order
	done touchlog.decision[] := '{}';
	n_done int := 0;
	last_occurred timestamptz := '-infinity';
	fired text := CASE r.mode WHEN 'shadow' THEN 'shadowed' ELSE 'fired' END;
	due timestamptz;
	next timestamptz;
	settled_at timestamptz;
	settled_id uuid;
	last_fired timestamptz;
	decided uuid[] := '{}';
BEGIN
	FOR n IN 1 .. cardinality(rows) + 1 LOOP
		e := rows[n];
		WHILE due < coalesce(e.received_at, until) LOOP
			next := NULL;
			FOREACH d IN ARRAY touchlog.fold_wait(r, known, settled_at, settled_id, last_fired,
			    since, due) LOOP
				IF d.state = 'pending' THEN
					next := d.settled_at;
					EXIT;
				END IF;
				n_done := n_done + 1;
				done[n_done] := d;
				settled_at := d.settled_at;
				settled_id := CASE WHEN d.state = 'cancelled' THEN d.cause_id END;
				IF d.state = fired THEN
					last_fired := d.settled_at;
				END IF;
			END LOOP;
			due := next;
			-- What is settled starts nothing more.
			IF need IS NULL AND settled_at IS NOT NULL AND cardinality(known) > 8 THEN
				known := ARRAY(SELECT x FROM unnest(known) x WHERE x.occurred_at >= settled_at
				    ORDER BY x.occurred_at, x.id);
			END IF;
		END LOOP;
		EXIT WHEN n > cardinality(rows);
		known := known || e;
		IF e.occurred_at <= last_occurred THEN
			known := ARRAY(SELECT x FROM unnest(known) x ORDER BY x.occurred_at, x.id);
		ELSE
			last_occurred := e.occurred_at;
		END IF;
		IF e.u AND e.occurred_at <= settled_at THEN		-- too late for what fired
			FOR i IN 1 .. n_done LOOP
				d := done[i];
				IF d.state IN ('fired', 'shadowed') AND d.cause_id IS NULL
				    AND d.settled_at >= e.occurred_at
				    AND (d.origin_at, d.origin_id) < (e.occurred_at, e.id) THEN
					d.state := CASE d.state WHEN 'fired' THEN 'too_late' ELSE d.state END;
					d.cause_id := e.id;
					done[i] := d;
				END IF;
			END LOOP;
		END IF;
		CONTINUE WHEN NOT e.w OR e.received_at < since;
		IF e.received_at - e.occurred_at > max_age THEN
			n_done := n_done + 1;
			done[n_done] := ROW('too_old', e.id, e.occurred_at, e.customer_id, NULL, NULL);
			decided := decided || e.id;
		ELSIF waits THEN
			due := least(due, e.due);
		ELSE
			FOREACH d IN ARRAY touchlog.fold_count(r, CASE WHEN need IS NULL THEN ARRAY[e]
			    ELSE known END, e.occurred_at, e.id, decided, last_fired) LOOP
				n_done := n_done + 1;
				done[n_done] := d;
				decided := decided || d.origin_id;
				IF d.state = fired THEN
					last_fired := greatest(last_fired, touchlog.at(d.origin_id));
				END IF;
			END LOOP;
		END IF;
	END LOOP;
	RETURN done;
END $$;

-- What the rule would have decided on matches received since `since`, at the times at which it
-- would have.  The rule may be of a set that is not active.  Only subjects of which something
-- matched are folded; where nothing has to be remembered, nothing is.
CREATE FUNCTION touchlog.rule_test(rule_id int, since timestamptz,
    until timestamptz DEFAULT clock_timestamp())
RETURNS TABLE (subject text, state text, origin_id uuid, cause_id uuid, settled_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET jit = off
SET work_mem = '128MB' SET TimeZone = 'UTC' AS $body$
#variable_conflict use_variable
DECLARE
	r touchlog.rule;
	log text;
	decided text;
BEGIN
	SELECT x.* INTO STRICT r FROM touchlog.rule x WHERE x.id = rule_id;
	r.since := since;
	-- The windows of the first matches reach back before `since`.
	since := touchlog.rule_reach(r, since - CASE WHEN r.count IS NULL THEN '0' ELSE r.max_age END);
	log := 'WITH l(root, thread, id, received_at, occurred_at, customer_id, w, u, due) AS'
	    || CASE WHEN r.waits OR r.keeps_state THEN ' MATERIALIZED' ELSE '' END
	    || ' (' || touchlog.rule_scan(r) || ')';
	decided := CASE
	    WHEN NOT (r.waits OR r.keeps_state) THEN $q$
	SELECT CASE $3.per WHEN 'interaction' THEN id::text WHEN 'customer' THEN root::text
		ELSE root::text || ' ' || thread END,
	    CASE WHEN received_at - occurred_at > $3.max_age THEN 'too_old' ELSE $4 END, id,
	    NULL::uuid, NULL::timestamptz
	FROM l WHERE w AND received_at >= $3.since AND ($3.per = 'interaction'
	    OR root IS NOT NULL AND ($3.per <> 'thread' OR thread IS NOT NULL))$q$
	    WHEN r.per = 'interaction' THEN $q$
	SELECT s.id::text, d.state, d.origin_id, d.cause_id, d.settled_at
	FROM (SELECT a.m AS id, array_agg(a.r ORDER BY (a.r).received_at, (a.r).id) AS rows FROM (
		SELECT id AS m, ROW(id, received_at, occurred_at, customer_id, true,
		    u AND root IS NOT NULL, due)::touchlog.log_row AS r FROM l WHERE w
		UNION ALL
		SELECT m.id, ROW(l.id, l.received_at, l.occurred_at, l.customer_id, false, true,
		    NULL)::touchlog.log_row
		FROM l m JOIN l ON l.root = m.root AND l.id <> m.id AND l.occurred_at >= m.occurred_at
		    AND l.occurred_at <= m.due
		WHERE m.w AND l.u) a GROUP BY 1) s
	CROSS JOIN LATERAL unnest(touchlog.replay($3, s.rows, $2)) d$q$
	    ELSE $q$
	SELECT s.root::text || coalesce(' ' || s.thread, ''), d.state, d.origin_id, d.cause_id,
	    d.settled_at
	FROM (SELECT root, CASE WHEN $3.per = 'thread' THEN thread END AS thread,
		array_agg(ROW(id, received_at, occurred_at, customer_id, w, u, due)::touchlog.log_row
		    ORDER BY received_at, id) AS rows
	    FROM l WHERE root IS NOT NULL AND ($3.per <> 'thread' OR thread IS NOT NULL)
	    GROUP BY 1, 2 HAVING bool_or(w)) s
	CROSS JOIN LATERAL unnest(touchlog.replay($3, s.rows, $2)) d$q$ END;
	RETURN QUERY EXECUTE log || decided || $q$
	UNION ALL
	SELECT NULL, 'no_subject', id, NULL, NULL FROM l
	WHERE w AND received_at >= $3.since AND $3.per <> 'interaction'
	    AND (root IS NULL OR $3.per = 'thread' AND thread IS NULL)$q$
	USING since, until, r, CASE r.mode WHEN 'shadow' THEN 'shadowed' ELSE 'fired' END;
END $body$;

-- Why rule_test() may say other than what was, or what will be; empty: it is exact.
CREATE FUNCTION touchlog.rule_test_exactness(rule_id int, since timestamptz,
    until timestamptz DEFAULT clock_timestamp()) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET jit = off
SET work_mem = '128MB' SET TimeZone = 'UTC' AS $$
#variable_conflict use_variable
DECLARE
	r touchlog.rule;
	why text[] := '{}';
	names text;
	late bigint;
BEGIN
	SELECT x.* INTO STRICT r FROM touchlog.rule x WHERE x.id = rule_id;
	SELECT string_agg('customer.' || substr(p.col, 10), ', ') INTO names
	FROM touchlog.rule_profile() p
	WHERE concat_ws(' ', r.when_sql, r.unless_sql, r.wait_sql, r.at_sql) ~ ('\m' || p.col || '\M');
	IF names IS NOT NULL THEN
		why := why || ('it reads ' || names || ' as of now, not of then');
	END IF;
	IF (r.per <> 'interaction' OR r.unless_sql IS NOT NULL) AND EXISTS (
	    SELECT FROM touchlog.merge m JOIN touchlog.interaction i
		ON i.customer_id IN (m.a_id, m.b_id)
	    WHERE m.state IN ('joined', 'undone') AND coalesce(m.undone_at, m.at) >= since
		AND i.received_at >= since - r.max_age AND i.received_at <= until
		AND i.received_at < coalesce(m.undone_at, m.at)) THEN
		why := why || 'customers were joined or split after their events'::text;
	END IF;
	IF r.waits THEN
		EXECUTE 'WITH l(root, thread, id, received_at, occurred_at, customer_id, w, u, due) AS'
		    ' MATERIALIZED (' || touchlog.rule_scan(r) || $q$)
		    SELECT count(*) FROM l WHERE received_at > occurred_at + interval '1 min'
			AND EXISTS (SELECT FROM l m WHERE m.w AND m.root = l.root AND m.id <> l.id
			    AND m.due >= l.occurred_at AND m.due < l.received_at)$q$
		INTO late USING since, until;
		IF late > 0 THEN
			why := why || format('%s events came after a deadline that they should have met: a'
			    ' decider that was late as well has known of them', late);
		END IF;
	END IF;
	RETURN why;
END $$;

GRANT EXECUTE ON FUNCTION touchlog.open_time_add, touchlog.open_time_between
    TO touchlog_daemon, touchlog_reader;
GRANT EXECUTE ON FUNCTION touchlog.rule_test, touchlog.rule_test_exactness TO touchlog_daemon;
