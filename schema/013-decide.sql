-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- Rules beside the append transaction: decide_due() claims due timers and decides them from the
-- log, rule_arm() arms them for the past, and rule_explain() says why a rule did or did not fire.

SET LOCAL ROLE touchlog_admin;

-- Where a subject of a rule with a wait stands: the log counts from low on, matches received
-- from since on may start, what is settled is decided.
CREATE TYPE touchlog.wait_key AS (
	n		int,
	subject		text,
	root		bigint,
	thread		text,
	customer_id	bigint,		-- per interaction: whose it is
	since		timestamptz,
	low		timestamptz,
	settled_at	timestamptz,
	settled_id	uuid,
	last_fired_at	timestamptz);
CREATE TYPE touchlog.wait_found AS (n int, subject text, d touchlog.decision);

-- keys[n] is subjects[n].  armed: since when, though the rule is younger; null: it is not.
CREATE FUNCTION touchlog.wait_keys(r touchlog.rule, subjects text[], origins uuid[],
    armed timestamptz[]) RETURNS touchlog.wait_key[] LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
	keys touchlog.wait_key[];
BEGIN
	IF r.per = 'interaction' THEN
		SELECT array_agg(ROW(k.n, k.subject, s.root_id, NULL, i.customer_id,
		    least(r.since, k.armed), i.occurred_at, NULL, NULL, f.last_fired_at)
		    ::touchlog.wait_key ORDER BY k.n)
		INTO keys
		FROM unnest(subjects, origins, armed) WITH ORDINALITY k(subject, origin, armed, n)
		LEFT JOIN touchlog.interaction i ON i.id = k.origin
		    AND i.received_at = touchlog.at(k.origin)
		LEFT JOIN touchlog.customer s ON s.id = i.customer_id AND i.customer_id > 0
		LEFT JOIN LATERAL (SELECT x.last_fired_at FROM touchlog.rule_state x
		    WHERE x.rule = r.name AND x.subject = k.subject OFFSET 0) f ON true;
		RETURN keys;
	END IF;
	SELECT array_agg(ROW(k.n, k.subject, s.root_id, substring(k.subject FROM '^[^ ]* (.*)$'), NULL,
	    least(r.since, k.armed), touchlog.rule_reach(r, coalesce(l.settled_at,
	    least(r.since, k.armed) - r.max_age)), l.settled_at, l.cause_id, f.last_fired_at)
	    ::touchlog.wait_key ORDER BY k.n)
	INTO keys
	FROM unnest(subjects, armed) WITH ORDINALITY k(subject, armed, n)
	LEFT JOIN touchlog.customer s ON s.id = split_part(k.subject, ' ', 1)::bigint
	-- What was decided before, also under the names of those who are one with it.
	LEFT JOIN LATERAL (
	    SELECT g.settled_at, CASE WHEN g.state = 'cancelled' THEN g.cause_id END AS cause_id
	    FROM touchlog.customer m CROSS JOIN LATERAL (
		SELECT x.settled_at, x.state, x.cause_id, x.id FROM touchlog.firing x
		WHERE x.rule = r.name AND x.settled_at IS NOT NULL
		    AND x.subject = m.id || coalesce(substring(k.subject FROM ' .*$'), '')
		ORDER BY x.settled_at DESC LIMIT 1) g
	    WHERE m.root_id = s.root_id
	    ORDER BY g.settled_at DESC, g.id DESC LIMIT 1) l ON true
	LEFT JOIN LATERAL (
	    SELECT max(x.last_fired_at) AS last_fired_at
	    FROM touchlog.customer m JOIN touchlog.rule_state x ON x.rule = r.name
		AND x.subject = m.id || coalesce(substring(k.subject FROM ' .*$'), '')
	    WHERE m.root_id = s.root_id AND (r.ever OR r.cooldown IS NOT NULL)) f ON true;
	RETURN keys;
END $$;

-- What the log says of them, folded as far as now.
CREATE FUNCTION touchlog.wait_found(r touchlog.rule, keys touchlog.wait_key[], now timestamptz)
RETURNS touchlog.wait_found[] LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
	found touchlog.wait_found[];
BEGIN
	WITH m AS (
		SELECT array_agg(k.n) AS ns, array_agg(c.id) AS customers,
		    array_agg(k.thread) AS threads, array_agg(k.low) AS lows,
		    min(k.low) - interval '1 day' AS floor_at
		FROM unnest(keys) k CROSS JOIN LATERAL (
		    SELECT x.id FROM touchlog.customer x WHERE x.root_id = k.root
		    UNION ALL SELECT k.customer_id WHERE k.root IS NULL) c),
	seen AS (
		-- keys by index: a join of arrays is a nested loop here, 1000 times 1000
		SELECT l.n, array_agg(ROW(l.row_id, l.row_received_at, l.row_occurred_at,
		    l.row_customer_id,
		    l.w AND (r.per <> 'interaction' OR l.row_id::text = keys[l.n].subject),
		    l.u AND (r.per <> 'interaction' OR keys[l.n].root IS NOT NULL),
		    l.row_due)::touchlog.log_row ORDER BY l.row_occurred_at, l.row_id) AS rows
		FROM m, touchlog.rule_rows(r.id, m.ns, m.customers, m.threads, m.lows, m.floor_at) l
		GROUP BY l.n)
	SELECT array_agg(ROW(s.n, (s.k).subject, d)::touchlog.wait_found ORDER BY s.n)
	INTO found
	FROM (SELECT seen.n, keys[seen.n] AS k, seen.rows FROM seen OFFSET 0) s
	CROSS JOIN LATERAL unnest(touchlog.fold_wait(r, s.rows, (s.k).settled_at, (s.k).settled_id,
	    (s.k).last_fired_at, (s.k).since, now)) d;
	RETURN found;
END $$;

-- The same for one subject, row by row where the rule fails on some.
CREATE FUNCTION touchlog.wait_found_each(r touchlog.rule, key touchlog.wait_key, now timestamptz)
RETURNS touchlog.wait_found[] LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
	member bigint[] := ARRAY(SELECT m.id FROM touchlog.customer m WHERE m.root_id = key.root);
	rows touchlog.log_row[];
BEGIN
	IF key.root IS NULL THEN
		member := ARRAY[key.customer_id];
	END IF;
	rows := touchlog.rule_log_each(r, member, key.thread, key.low);
	IF r.per = 'interaction' THEN
		rows := ARRAY(SELECT ROW(l.id, l.received_at, l.occurred_at, l.customer_id,
		    l.w AND l.id::text = key.subject, l.u AND key.root IS NOT NULL, l.due)
		    ::touchlog.log_row FROM unnest(rows) l
		    WHERE key.root IS NOT NULL OR l.id::text = key.subject
		    ORDER BY l.occurred_at, l.id);
	END IF;
	RETURN ARRAY(SELECT ROW(1, key.subject, d)::touchlog.wait_found
	    FROM unnest(touchlog.fold_wait(r, rows, key.settled_at, key.settled_id, key.last_fired_at,
		key.since, now)) d);
END $$;

-- Writes down what was found of subjects whose timers the caller has locked.
CREATE FUNCTION touchlog.decide_apply(r touchlog.rule, subjects text[],
    finds touchlog.wait_found[], at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	pending text[];
	fired bigint[];
BEGIN
	WITH f AS (
		INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state,
		    cause_id, rule_set, decided_at, settled_at)
		SELECT r.name, x.subject, (x.d).origin_id, (x.d).origin_at, (x.d).customer_id,
		    (x.d).state, (x.d).cause_id, r.rule_set, at, (x.d).settled_at
		FROM unnest(finds) x WHERE (x.d).state <> 'pending'
		ON CONFLICT ON CONSTRAINT firing_rule_origin_id_key DO NOTHING RETURNING id, state)
	SELECT array_agg(f.id) FILTER (WHERE f.state = 'fired') INTO fired FROM f;
	IF r.ever OR r.cooldown IS NOT NULL THEN
		INSERT INTO touchlog.rule_state AS s (rule, subject, last_fired_at)
		SELECT r.name, x.subject, max((x.d).settled_at) FROM unnest(finds) x
		WHERE (x.d).state IN ('fired', 'shadowed') GROUP BY 2 ORDER BY 2
		ON CONFLICT ON CONSTRAINT rule_state_pkey DO UPDATE
		SET last_fired_at = greatest(s.last_fired_at, EXCLUDED.last_fired_at);
	END IF;
	pending := ARRAY(SELECT x.subject FROM unnest(finds) x WHERE (x.d).state = 'pending');
	IF pending <> '{}' THEN
		UPDATE touchlog.timer t SET due = (x.d).settled_at, origin_id = (x.d).origin_id
		FROM unnest(finds) x
		WHERE (x.d).state = 'pending' AND t.rule = r.name AND t.subject = x.subject;
	END IF;
	DELETE FROM touchlog.timer t WHERE t.rule = r.name
	    AND t.subject = ANY (ARRAY(SELECT unnest(subjects) EXCEPT SELECT unnest(pending)));
	IF fired IS NOT NULL THEN
		PERFORM touchlog.firings_enqueue(fired, at);
	END IF;
END $$;

-- All at once; where that fails by the rule's own fault, one by one, and then row by row.  A
-- subject of which that finds nothing ends as `failed`.  upto: deadlines after it are not
-- decided; wrong: the error of the try before, of one subject.
CREATE FUNCTION touchlog.decide_safely(r touchlog.rule, subjects text[], origins uuid[],
    armed timestamptz[], upto timestamptz, at timestamptz, wrong text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	finds touchlog.wait_found[];
	keys touchlog.wait_key[];
	state text;
	message text;
BEGIN
	keys := touchlog.wait_keys(r, subjects, origins, armed);
	IF wrong IS NULL THEN
		finds := touchlog.wait_found(r, keys, upto);
	ELSE
		finds := touchlog.wait_found_each(r, keys[1], upto);
		IF finds = '{}' THEN
			RAISE EXCEPTION '%', wrong;
		END IF;
	END IF;
	PERFORM touchlog.decide_apply(r, subjects, finds, at);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	IF NOT touchlog.rule_is_to_blame(state) THEN
		RAISE;
	END IF;
	IF wrong IS NULL THEN
		FOR i IN 1 .. cardinality(subjects) LOOP
			PERFORM touchlog.decide_safely(r, subjects[i:i], origins[i:i], armed[i:i], upto, at,
			    CASE cardinality(subjects) WHEN 1 THEN message END);
		END LOOP;
		RETURN;
	END IF;
	INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state, error,
	    rule_set, decided_at, settled_at)
	SELECT r.name, subjects[1], origins[1], i.occurred_at, i.customer_id, 'failed', message,
	    r.rule_set, at, i.occurred_at
	FROM touchlog.interaction i
	WHERE i.id = origins[1] AND i.received_at = touchlog.at(origins[1])
	ON CONFLICT ON CONSTRAINT firing_rule_origin_id_key DO NOTHING;
	DELETE FROM touchlog.timer t WHERE t.rule = r.name AND t.subject = subjects[1];
END $$;

-- A timer that a batch armed for someone who was merged meanwhile goes on under the root's name,
-- due at once.  Returns those.
CREATE FUNCTION touchlog.timers_rekey(r touchlog.rule, subjects text[]) RETURNS text[]
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	moved text[] := ARRAY(SELECT k.subject FROM unnest(subjects) k(subject)
	    JOIN touchlog.customer c ON c.id = split_part(k.subject, ' ', 1)::bigint
	    WHERE c.root_id <> c.id);
BEGIN
	IF moved = '{}' THEN
		RETURN moved;
	END IF;
	WITH gone AS (
		DELETE FROM touchlog.timer t WHERE t.rule = r.name AND t.subject = ANY(moved)
		RETURNING t.*)
	INSERT INTO touchlog.timer AS t (rule, subject, due, origin_id, armed)
	SELECT r.name, c.root_id::text || coalesce(substring(g.subject FROM ' .*$'), ''), min(g.due),
	    (array_agg(g.origin_id ORDER BY g.origin_id))[1], bool_or(g.armed)
	FROM gone g JOIN touchlog.customer c ON c.id = split_part(g.subject, ' ', 1)::bigint
	GROUP BY 2 ORDER BY 2
	ON CONFLICT ON CONSTRAINT timer_pkey DO UPDATE SET due = least(t.due, EXCLUDED.due),
	    origin_id = least(t.origin_id, EXCLUDED.origin_id), armed = t.armed OR EXCLUDED.armed;
	RETURN moved;
END $$;

-- Claims and decides up to n due timers; returns how many it claimed.  A timer with `unless`
-- waits until everything before `horizon` (null: horizon()) is known to be in the log, at most
-- `grace`.
CREATE FUNCTION touchlog.decide_due(n int, now timestamptz DEFAULT clock_timestamp(),
    horizon timestamptz DEFAULT NULL, grace interval DEFAULT '15 minutes') RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	claimed touchlog.timer[];
	patient text[];
	patience timestamptz;		-- deadlines up to here are decided whatever comes
	r touchlog.rule;
	g record;
	moved text[];
BEGIN
	IF EXISTS (SELECT FROM touchlog.rule_trouble t WHERE t.batches >= 3 AND NOT t.alone) THEN
		PERFORM touchlog.rules_compile();
	END IF;
	PERFORM touchlog.rules_hold();
	patience := least(now, greatest(now - grace,
	    coalesce(horizon, touchlog.horizon(now)) - interval '1 us'));
	IF patience < now THEN
		patient := ARRAY(SELECT x.name FROM touchlog.rule x
		    JOIN touchlog.rule_set s ON s.version = x.rule_set
		    WHERE s.active AND x.unless_sql IS NOT NULL);
	END IF;
	claimed := ARRAY(SELECT t FROM touchlog.timer t
	    WHERE t.due <= now AND (patient IS NULL OR t.due <= patience OR t.rule <> ALL (patient))
	    ORDER BY t.due LIMIT n FOR UPDATE OF t SKIP LOCKED);
	FOR g IN
		SELECT k.rule, array_agg(k.subject) AS subjects, array_agg(k.origin_id) AS origins,
		    array_agg(CASE WHEN k.armed THEN touchlog.at(k.origin_id) END) AS armed
		FROM unnest(claimed) k GROUP BY 1 ORDER BY 1
	LOOP
		SELECT x.* INTO r FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set
		WHERE s.active AND x.name = g.rule AND x.waits AND x.mode <> 'off';
		IF r.id IS NULL THEN
			PERFORM touchlog.timers_end(ARRAY[g.rule],
			    (SELECT s.version FROM touchlog.rule_set s WHERE s.active), now);
			CONTINUE;
		END IF;
		moved := CASE WHEN r.per <> 'interaction' THEN touchlog.timers_rekey(r, g.subjects)
		    ELSE '{}' END;
		IF moved <> '{}' THEN
			SELECT r.name AS rule, array_agg(k.subject) AS subjects,
			    array_agg(k.origin) AS origins, array_agg(k.armed) AS armed
			INTO g FROM unnest(g.subjects, g.origins, g.armed) k(subject, origin, armed)
			WHERE k.subject <> ALL (moved);
			CONTINUE WHEN g.subjects IS NULL;
		END IF;
		PERFORM touchlog.decide_safely(r, g.subjects, g.origins, g.armed,
		    CASE WHEN r.unless_sql IS NULL THEN now ELSE patience END, now);
	END LOOP;
	RETURN cardinality(claimed);
END $$;

-- When the next timer is due; null: there is none.  In the past, it may be one that waits for
-- the horizon.
CREATE FUNCTION touchlog.next_due() RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT t.due FROM touchlog.timer t ORDER BY t.due LIMIT 1);
END $$;

-- Fires after all what came too old.  Returns how many did.
CREATE FUNCTION touchlog.firings_fire(ids bigint[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	fired bigint[];
BEGIN
	WITH f AS (
		UPDATE touchlog.firing f SET state = 'fired'
		WHERE f.id = ANY(ids) AND f.state = 'too_old' RETURNING f.id)
	SELECT array_agg(f.id) INTO fired FROM f;
	PERFORM touchlog.firings_enqueue(fired, clock_timestamp());
	RETURN coalesce(cardinality(fired), 0);
END $$;

-- Subjects of which something matched in a time, with the first such interaction.
CREATE FUNCTION touchlog.rule_subjects(r touchlog.rule, since timestamptz, until timestamptz,
    OUT subjects text[], OUT origins uuid[]) LANGUAGE plpgsql STABLE
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET work_mem = '128MB'
AS $$
BEGIN
	EXECUTE 'WITH l(root, thread, id, received_at, occurred_at, customer_id, w, u, due) AS ('
	    || touchlog.rule_scan(r) || $q$)
	    SELECT array_agg(s.subject ORDER BY s.subject), array_agg(s.id ORDER BY s.subject) FROM (
		SELECT CASE $3.per WHEN 'interaction' THEN id::text WHEN 'customer' THEN root::text
		    ELSE root::text || ' ' || thread END AS subject,
		    (array_agg(id ORDER BY received_at, id))[1] AS id
		FROM l WHERE w AND received_at - occurred_at <= $3.max_age GROUP BY 1) s
	    WHERE s.subject IS NOT NULL$q$ INTO subjects, origins USING since, until, r;
END $$;

-- Arms a rule for matches that were received from `since` on, before it was there.  What would
-- be over already is told, not armed.
CREATE FUNCTION touchlog.rule_arm(name text, since timestamptz)
RETURNS TABLE (subject text, due timestamptz, origin_id uuid, is_overdue boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
#variable_conflict use_variable
DECLARE
	bite CONSTANT int := 1000;
	now timestamptz := clock_timestamp();
	r touchlog.rule;
	x record;
	found touchlog.wait_found[];
BEGIN
	PERFORM touchlog.rules_hold();
	SELECT o.* INTO r FROM touchlog.rule o JOIN touchlog.rule_set s ON s.version = o.rule_set
	WHERE s.active AND o.name = name AND o.mode <> 'off';
	IF r.id IS NULL THEN
		RAISE EXCEPTION 'rule %: there is none, or it is off', name
		    USING ERRCODE = 'no_data_found';
	ELSIF NOT r.waits THEN
		RAISE EXCEPTION 'rule %: it has no wait, so there is nothing to arm', name
		    USING ERRCODE = '22023';
	END IF;
	x := touchlog.rule_subjects(r, since, least(r.since, now));
	FOR n IN 1 .. coalesce(cardinality(x.subjects), 0) BY bite LOOP
		found := touchlog.wait_found(r, touchlog.wait_keys(r, x.subjects[n:n + bite - 1],
		    x.origins[n:n + bite - 1], ARRAY(SELECT touchlog.at(o)
		    FROM unnest(x.origins[n:n + bite - 1]) WITH ORDINALITY u(o, i) ORDER BY u.i)), now);
		INSERT INTO touchlog.timer AS t (rule, subject, due, origin_id, armed)
		SELECT r.name, f.subject, (f.d).settled_at, (f.d).origin_id, true FROM unnest(found) f
		WHERE (f.d).state = 'pending' ORDER BY 2
		ON CONFLICT ON CONSTRAINT timer_pkey DO UPDATE SET due = least(t.due, EXCLUDED.due),
		    origin_id = least(t.origin_id, EXCLUDED.origin_id), armed = true;
		RETURN QUERY SELECT f.subject, (f.d).settled_at, (f.d).origin_id, (f.d).state <> 'pending'
		FROM unnest(found) f WHERE (f.d).state <> 'cancelled'
		    AND touchlog.at((f.d).origin_id) < r.since;
	END LOOP;
END $$;

-- What an AND holds, as PostgreSQL deparsed it: at the top, or in the one pair of parentheses
-- around all.
CREATE FUNCTION touchlog.rule_conjuncts(src text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	pos int := 1;
	begun int := 1;
	depth int := 0;
	tok text;
	parts text[] := '{}';
	open_to_end boolean := left(src, 1) = '(';
BEGIN
	WHILE pos <= length(src) LOOP
		tok := touchlog.rule_token(substr(src, pos));
		depth := depth + CASE WHEN tok IN ('(', '[') THEN 1 WHEN tok IN (')', ']') THEN -1
		    ELSE 0 END;
		IF depth = 0 AND tok = 'AND' THEN
			parts := parts || btrim(substr(src, begun, pos - begun));
			begun := pos + 3;
		END IF;
		pos := pos + length(tok);
		open_to_end := open_to_end AND (depth > 0 OR pos > length(src));
	END LOOP;
	IF open_to_end THEN
		RETURN touchlog.rule_conjuncts(substr(src, 2, length(src) - 2));
	END IF;
	RETURN parts || btrim(substr(src, begun));
END $$;

-- Each part of an expression for one interaction: yes, no, null, or its error.
CREATE FUNCTION touchlog.rule_explain_parts(step text, src text, i touchlog.interaction)
RETURNS TABLE (said_step text, verdict text, detail text) LANGUAGE plpgsql AS $$
DECLARE
	part text;
	flat record;
	holds boolean;
BEGIN
	FOREACH part IN ARRAY touchlog.rule_conjuncts(src) LOOP
		flat := touchlog.rule_flat(part);
		said_step := step;
		detail := regexp_replace(part, '\mcustomer_(?!id\M)', 'customer.', 'g');
		BEGIN
			EXECUTE format('SELECT %s FROM (SELECT i.*%s FROM touchlog.interaction i%s'
			    ' WHERE i.id = $1 AND i.received_at = $2) f', part, flat.columns, flat.joins)
			INTO holds USING i.id, i.received_at;
			verdict := CASE WHEN holds THEN 'yes' WHEN NOT holds THEN 'no' ELSE 'null' END;
		EXCEPTION WHEN OTHERS THEN
			verdict := 'error';
			detail := detail || ': ' || SQLERRM;
		END;
		RETURN NEXT;
	END LOOP;
END $$;

-- Why a rule of the active set did or did not fire on an interaction, step by step.
CREATE FUNCTION touchlog.rule_explain(name text, id uuid)
RETURNS TABLE (step text, verdict text, detail text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
#variable_conflict use_variable
DECLARE
	r touchlog.rule;
	i touchlog.interaction;
	root bigint;
	subject text;
	names text[];
	n int;
	at timestamptz;
BEGIN
	PERFORM touchlog.rules_hold();
	SELECT o.* INTO r FROM touchlog.rule o JOIN touchlog.rule_set s ON s.version = o.rule_set
	WHERE s.active AND o.name = name;
	SELECT x.* INTO i FROM touchlog.interaction x
	WHERE x.id = id AND x.received_at = touchlog.at(id);
	IF r.id IS NULL OR i.id IS NULL THEN
		RAISE EXCEPTION '%', CASE WHEN r.id IS NULL THEN 'there is no rule ' || name
		    ELSE 'there is no interaction ' || id END USING ERRCODE = 'no_data_found';
	END IF;
	RETURN QUERY SELECT 'rule', r.mode, format('in force since %s', r.since);
	RETURN QUERY SELECT 'since', CASE WHEN i.received_at >= r.since THEN 'yes' ELSE 'no' END,
	    format('received %s', i.received_at);
	RETURN QUERY SELECT 'guard', CASE WHEN i.source = 'touchlog' AND i.direction <> 'internal'
	    THEN 'no' ELSE 'yes' END, 'what touchlog itself sent or was told never matches `when`';
	RETURN QUERY SELECT * FROM touchlog.rule_explain_parts('when', r.when_sql, i);
	IF r.unless_sql IS NOT NULL THEN
		RETURN QUERY SELECT * FROM touchlog.rule_explain_parts('unless', r.unless_sql, i);
	END IF;
	RETURN QUERY SELECT 'age', CASE WHEN i.received_at - i.occurred_at > r.max_age THEN 'no'
	    ELSE 'yes' END, format('received %s after it occurred, max_age %s',
	    i.received_at - i.occurred_at, r.max_age);
	root := (SELECT c.root_id FROM touchlog.customer c
	    WHERE c.id = i.customer_id AND i.customer_id > 0);
	subject := CASE r.per WHEN 'interaction' THEN i.id::text WHEN 'customer' THEN root::text
	    ELSE root::text || ' ' || i.thread END;
	RETURN QUERY SELECT 'subject', CASE WHEN subject IS NULL THEN 'no' ELSE 'yes' END,
	    coalesce(subject, CASE WHEN root IS NULL THEN 'nobody is known' ELSE 'no thread' END);
	names := touchlog.subject_aliases(CASE r.per WHEN 'interaction' THEN NULL ELSE root END, subject);
	IF r.count IS NOT NULL AND subject IS NOT NULL AND r.mode <> 'off' THEN
		at := touchlog.rule_reach(r, i.occurred_at);
		n := (SELECT count(*) FROM unnest(touchlog.rule_log(r, root, i.thread, at)) l
		    WHERE l.w AND l.occurred_at > at AND (l.occurred_at, l.id) <= (i.occurred_at, i.id));
		RETURN QUERY SELECT 'count', CASE WHEN n >= r.count THEN 'yes' ELSE 'no' END,
		    format('%s of %s within %s', n, r.count, r.within);
	END IF;
	IF r.cooldown IS NOT NULL OR r.ever THEN
		at := (SELECT max(s.last_fired_at) FROM touchlog.rule_state s
		    WHERE s.rule = r.name AND s.subject = ANY(names));
		RETURN QUERY SELECT 'cooldown', CASE WHEN at IS NULL THEN 'yes'
		    WHEN touchlog.rule_rests(r, at, clock_timestamp()) THEN 'no' ELSE 'yes' END,
		    coalesce(format('fired last at %s, rests %s', at, CASE WHEN r.ever THEN 'for ever'
			ELSE r.cooldown::text END), 'never fired');
	END IF;
	IF r.waits THEN
		RETURN QUERY SELECT 'timer', 'waiting', format('until %s, since interaction %s', t.due,
		    t.origin_id) FROM touchlog.timer t WHERE t.rule = r.name AND t.subject = ANY(names);
	END IF;
	RETURN QUERY SELECT CASE WHEN f.origin_id = id THEN 'decision' ELSE 'cause' END, f.state,
	    concat_ws(', ', format('firing %s at %s', f.id, f.decided_at),
		CASE WHEN f.origin_id <> id THEN format('of interaction %s', f.origin_id) END,
		CASE WHEN f.cause_id <> id THEN format('because of interaction %s', f.cause_id) END,
		'settled to ' || f.settled_at, f.error)
	FROM touchlog.firing f
	WHERE f.rule = r.name AND (f.origin_id = id OR f.customer_id IN (SELECT c.id
	    FROM touchlog.customer c WHERE c.root_id = root) AND f.cause_id = id)
	ORDER BY f.id;
	RETURN QUERY SELECT 'settled', f.state, format('firing %s settled all up to %s', f.id,
	    f.settled_at)
	FROM touchlog.firing f
	WHERE f.rule = r.name AND f.subject = ANY(names) AND f.settled_at >= i.occurred_at
	    AND f.origin_id <> id AND f.cause_id IS DISTINCT FROM id
	ORDER BY f.settled_at, f.id LIMIT 1;
END $$;

GRANT EXECUTE ON FUNCTION touchlog.decide_due, touchlog.next_due, touchlog.firings_fire,
    touchlog.rule_arm, touchlog.rule_explain TO touchlog_daemon;
