-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- What decides: opening time, and the folds over one subject's log.  Rows, state and clock in,
-- decisions out, nothing written.  match(), decide_due() and rule_test() all call the same
-- folds, so that a test cannot differ from what happens.

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

CREATE FUNCTION touchlog.rule_fired_state(r touchlog.rule) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	RETURN CASE r.mode WHEN 'shadow' THEN 'shadowed' ELSE 'fired' END;
END $$;

-- A rule with a wait, over one subject's log in (occurred_at, id) order, as far as `now`
-- allows.  One pass, so that it does not matter when or how often it is asked: an event after
-- a start's deadline first settles that start.  settled_id is given after a cancelled
-- decision: the cancelling row is not settled by it.
CREATE FUNCTION touchlog.fold_wait(r touchlog.rule, rows touchlog.log_row[],
    settled_at timestamptz, settled_id uuid, last_fired timestamptz, since timestamptz,
    now timestamptz) RETURNS SETOF touchlog.decision
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	e touchlog.log_row;
	start touchlog.log_row;
	waiting boolean := false;
	times timestamptz[] := '{}';
	n int := 0;
	enough boolean;
	need int := r.count;
	lasts boolean := r.wait_from = 'last';
	fired text := touchlog.rule_fired_state(r);
	state text;
BEGIN
	FOREACH e IN ARRAY rows LOOP
		IF waiting AND start.due < e.occurred_at THEN
			EXIT WHEN start.due > now;
			state := fired;
			IF touchlog.rule_rests(r, last_fired, start.due) THEN
				state := 'cooldown';
			ELSE
				last_fired := start.due;
			END IF;
			RETURN NEXT ROW(state, start.id, start.occurred_at, start.customer_id, NULL::uuid,
			    start.due)::touchlog.decision;
			settled_at := start.due;
			settled_id := NULL;
			waiting := false;
		END IF;
		IF waiting AND e.u THEN
			RETURN NEXT ROW('cancelled', start.id, start.occurred_at, start.customer_id, e.id,
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
		    AND e.received_at - e.occurred_at <= r.max_age
		    AND (settled_at IS NULL OR e.occurred_at > settled_at
			OR (e.occurred_at = settled_at AND e.id >= settled_id)) THEN
			start := e;
			waiting := true;
		END IF;
	END LOOP;
	IF waiting THEN
		state := CASE WHEN start.due > now THEN 'pending'
		    WHEN touchlog.rule_rests(r, last_fired, start.due) THEN 'cooldown' ELSE fired END;
		RETURN NEXT ROW(state, start.id, start.occurred_at, start.customer_id, NULL::uuid,
		    start.due)::touchlog.decision;
	END IF;
END $$;

-- A rule without a wait but with count or cooldown: what the rows from from_at on decide that
-- is not in `decided`.  An event that comes late may complete the window of one that came
-- before it: that later one is then the origin, as if both had come in order.
CREATE FUNCTION touchlog.fold_count(r touchlog.rule, rows touchlog.log_row[],
    from_at timestamptz, from_id uuid, decided uuid[], last_fired timestamptz)
RETURNS SETOF touchlog.decision LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	e touchlog.log_row;
	times timestamptz[] := '{}';
	n int := 0;
	ripe touchlog.log_row[] := '{}';
	fired text := touchlog.rule_fired_state(r);
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
		IF touchlog.rule_rests(r, last_fired, e.received_at) THEN
			state := 'cooldown';
		ELSE
			last_fired := e.received_at;
		END IF;
		RETURN NEXT ROW(state, e.id, e.occurred_at, e.customer_id, NULL::uuid,
		    NULL::timestamptz)::touchlog.decision;
	END LOOP;
END $$;

GRANT EXECUTE ON FUNCTION touchlog.open_time_add, touchlog.open_time_between
    TO touchlog_daemon, touchlog_reader;
