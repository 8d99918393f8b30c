-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- The rules of a batch, inside the append transaction: match() finds who matches, decides the
-- rules without a wait, and arms the timers of those with one.  And what a merge or split does
-- to what rules keep.
--
-- Every write to rule_state and timer is in (rule, subject) order: first the rule_state of
-- rules without a wait, then timers.  A decider takes timers and then the rule_state of rules
-- with a wait, which match() never takes.  So they do not wait for each other in a circle.

SET LOCAL ROLE touchlog_admin;

-- Who decides does so by one set: a session that holds this meets no activation half way.  To
-- be called before the transaction's first look at the rule tables, so that this look, and
-- every function called after it, is as the last activation left it.
CREATE FUNCTION touchlog.rules_hold() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF NOT pg_try_advisory_xact_lock_shared(hashtextextended('touchlog.rules', 0)) THEN
		PERFORM pg_advisory_xact_lock_shared(hashtextextended('touchlog.rules', 0));
	END IF;
END $$;

-- One outbox row per action, carrying all that its action needs.
CREATE FUNCTION touchlog.firings_enqueue(firings bigint[], at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO touchlog.outbox (firing_id, action, position, payload, next_at)
	SELECT f.id, a.action, a.position, jsonb_build_object('rule', f.rule, 'interaction',
	    to_jsonb(i), 'customer', to_jsonb(c)), at
	FROM unnest(firings) x(id)
	JOIN touchlog.firing f ON f.id = x.id
	JOIN touchlog.rule r ON r.rule_set = f.rule_set AND r.name = f.rule
	CROSS JOIN LATERAL unnest(r.actions) WITH ORDINALITY a(action, position)
	LEFT JOIN touchlog.interaction i ON i.id = f.origin_id
	    AND i.received_at = touchlog.at(f.origin_id)
	LEFT JOIN touchlog.customer s ON s.id = f.customer_id
	LEFT JOIN touchlog.customer c ON c.id = s.root_id
	WHERE f.state = 'fired'
	ORDER BY f.id, a.position;
END $$;

-- Errors that are a rule's own.  All others (a lost lock, a deadlock, a full disk, a cancel)
-- belong to the batch, which is retried whole.
CREATE FUNCTION touchlog.rule_is_to_blame(state text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN left(state, 2) = ANY ('{20,21,22,23,2F,38,39,42,54,P0}');
END $$;

-- All spellings of a subject.  A merge renames what its customers have; this finds also what a
-- batch wrote meanwhile that did not know of the merge yet.
CREATE FUNCTION touchlog.subject_aliases(root bigint, subject text) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
BEGIN
	IF root IS NULL OR subject !~ '^[0-9]+( |$)' THEN
		RETURN ARRAY[subject];
	END IF;
	RETURN ARRAY(SELECT m.id::text || coalesce(substring(subject FROM ' .*$'), '')
	    FROM touchlog.customer m WHERE m.root_id = root);
END $$;

-- The same row by row, for a rule that fails on some: those are no match.
CREATE FUNCTION touchlog.rule_log_each(r touchlog.rule, member bigint[], thread text,
    low timestamptz) RETURNS touchlog.log_row[] LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
	i record;
	hits touchlog.hit[];
	state text;
	rows touchlog.log_row[] := '{}';
BEGIN
	FOR i IN
		SELECT x.id, x.received_at, x.occurred_at, x.customer_id FROM touchlog.interaction x
		WHERE x.customer_id = ANY(member) AND x.occurred_at >= low
		    AND x.received_at >= low - interval '1 day'
		    AND (r.per <> 'thread' OR x.thread = thread)
		ORDER BY x.occurred_at, x.id
	LOOP
		BEGIN
			hits := touchlog.match_one(r.id, ARRAY[i.id], i.received_at, i.received_at);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
			IF NOT touchlog.rule_is_to_blame(state) THEN
				RAISE;
			END IF;
			hits := NULL;
		END;
		CONTINUE WHEN hits IS NULL;
		rows := rows || (SELECT ROW(i.id, i.received_at, i.occurred_at, i.customer_id,
		    bool_or(NOT h.is_unless), bool_or(h.is_unless), max(h.due))::touchlog.log_row
		    FROM unnest(hits) h);
	END LOOP;
	RETURN rows;
END $$;

-- One subject's rows for one rule, in order.
CREATE FUNCTION touchlog.rule_log(r touchlog.rule, root bigint, thread text, low timestamptz)
RETURNS touchlog.log_row[] LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
	member bigint[] := ARRAY(SELECT m.id FROM touchlog.customer m WHERE m.root_id = root);
	many int[] := ARRAY[cardinality(member)];
	rows touchlog.log_row[];
	state text;
BEGIN
	-- occurred_at is at most a day ahead of received_at
	SELECT array_agg(ROW(l.row_id, l.row_received_at, l.row_occurred_at, l.row_customer_id, l.w,
	    l.u, l.row_due)::touchlog.log_row ORDER BY l.row_occurred_at, l.row_id)
	INTO rows
	FROM touchlog.rule_rows(r.id, array_fill(1, many), member, array_fill(thread, many),
	    array_fill(low, many), low - interval '1 day') l;
	RETURN coalesce(rows, '{}');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
	IF NOT touchlog.rule_is_to_blame(state) THEN
		RAISE;
	END IF;
	RETURN touchlog.rule_log_each(r, member, thread, low);
END $$;

-- What one rule that counts or rests has to decide on for one subject: its matches of this batch,
-- in order, and when it last fired.
CREATE TYPE touchlog.count_key AS (
	n		int,
	subject		text,
	root		bigint,
	thread		text,
	low		timestamptz,	-- the log counts from here on
	last_fired_at	timestamptz,
	fresh		touchlog.log_row[]);
CREATE TYPE touchlog.count_rows AS (n int, rows touchlog.log_row[]);

-- The rows that count, by keys' n.  keys[n] is n's.
CREATE FUNCTION touchlog.match_window(r touchlog.rule, keys touchlog.count_key[])
RETURNS touchlog.count_rows[] LANGUAGE plpgsql STABLE AS $$
DECLARE
	windows touchlog.count_rows[];
	state text;
BEGIN
	IF r.count IS NULL THEN
		RETURN ARRAY(SELECT ROW(k.n, k.fresh)::touchlog.count_rows FROM unnest(keys) k);
	END IF;
	WITH m AS (
		SELECT array_agg(k.n) AS ns, array_agg(c.id) AS customers,
		    array_agg(k.thread) AS threads, array_agg(k.low) AS lows,
		    min(k.low) - interval '1 day' AS floor_at
		FROM unnest(keys) k JOIN touchlog.customer c ON c.root_id = k.root)
	SELECT array_agg(ROW(w.n, w.rows)::touchlog.count_rows) INTO windows
	FROM (SELECT l.n, array_agg(ROW(l.row_id, l.row_received_at, l.row_occurred_at,
		l.row_customer_id, l.w, l.u, l.row_due)::touchlog.log_row
		ORDER BY l.row_occurred_at, l.row_id) AS rows
	    FROM m, touchlog.rule_rows(r.id, m.ns, m.customers, m.threads, m.lows, m.floor_at) l
	    GROUP BY l.n) w;
	RETURN windows;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
	IF NOT touchlog.rule_is_to_blame(state) THEN
		RAISE;
	END IF;
	RETURN ARRAY(SELECT ROW(k.n, touchlog.rule_log(r, k.root, k.thread, k.low))::touchlog.count_rows
	    FROM unnest(keys) k);
END $$;

-- Decides one rule without a wait for subjects whose rule_state rows are locked.  Returns the
-- firings that fired.
CREATE FUNCTION touchlog.match_counted(r touchlog.rule, keys touchlog.count_key[], at timestamptz)
RETURNS bigint[] LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	windows touchlog.count_rows[] := touchlog.match_window(r, keys);
	fired bigint[];
BEGIN
	WITH d AS (
		SELECT w.k, x.* FROM (SELECT keys[u.n] AS k, u.rows FROM unnest(windows) u OFFSET 0) w
		LEFT JOIN LATERAL (SELECT array_agg(f.origin_id) AS ids
		    FROM unnest(w.rows) l JOIN touchlog.firing f ON f.rule = r.name AND f.origin_id = l.id
		    WHERE r.count IS NOT NULL AND l.occurred_at >= ((w.k).fresh)[1].occurred_at) o ON true
		CROSS JOIN LATERAL unnest(touchlog.fold_count(r, w.rows, ((w.k).fresh)[1].occurred_at,
		    ((w.k).fresh)[1].id, coalesce(o.ids, '{}'), (w.k).last_fired_at)) x),
	f AS (
		INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state,
		    rule_set, decided_at)
		SELECT r.name, (d.k).subject, d.origin_id, d.origin_at, d.customer_id, d.state, r.rule_set,
		    at
		FROM d
		ON CONFLICT ON CONSTRAINT firing_rule_origin_id_key DO NOTHING
		RETURNING id, subject, origin_id, state),
	u AS (
		UPDATE touchlog.rule_state s SET last_fired_at = greatest(s.last_fired_at, x.last)
		FROM (SELECT f.subject, max(touchlog.at(f.origin_id)) AS last FROM f
		    WHERE f.state IN ('fired', 'shadowed') GROUP BY 1) x
		WHERE s.rule = r.name AND s.subject = x.subject)
	SELECT array_agg(f.id) FILTER (WHERE f.state = 'fired') INTO fired FROM f;
	RETURN coalesce(fired, '{}');
END $$;

-- Rules without a wait that count or rest: memory first, in order, and counting in a later
-- statement, which sees what who held it before us committed.
CREATE FUNCTION touchlog.match_stateful(hits touchlog.hit[], at timestamptz) RETURNS bigint[]
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	counted touchlog.hit[];
	r touchlog.rule;
	keys touchlog.count_key[];
	fired bigint[] := '{}';
BEGIN
	SELECT array_agg(h) INTO counted FROM unnest(hits) h JOIN touchlog.rule x ON x.id = h.rule
	WHERE x.keeps_state AND h.subject IS NOT NULL AND NOT h.too_old;
	IF counted IS NULL THEN
		RETURN fired;
	END IF;
	INSERT INTO touchlog.rule_state AS s (rule, subject)
	SELECT DISTINCT h.name, h.subject FROM unnest(counted) h ORDER BY 1, 2
	ON CONFLICT ON CONSTRAINT rule_state_pkey DO UPDATE SET touched = s.touched + 1;
	FOR r IN
		SELECT x.* FROM touchlog.rule x
		WHERE x.id = ANY (ARRAY(SELECT h.rule FROM unnest(counted) h)) ORDER BY x.id
	LOOP
		-- When it fired under another name of the customer's counts too.
		SELECT array_agg(ROW(k.n, k.subject, k.root, k.thread,
		    touchlog.rule_reach(r, k.fresh[1].occurred_at), s.last, k.fresh)::touchlog.count_key
		    ORDER BY k.n)
		INTO keys
		FROM (SELECT row_number() OVER () AS n, h.subject, h.root,
			substring(h.subject FROM '^[^ ]* (.*)$') AS thread, array_agg(ROW(h.id,
			h.received_at, h.occurred_at, h.customer_id, true, false, NULL)::touchlog.log_row
			ORDER BY h.occurred_at, h.id) AS fresh
		    FROM unnest(counted) h WHERE h.rule = r.id GROUP BY h.subject, h.root) k
		LEFT JOIN LATERAL (
		    SELECT max(x.last_fired_at) AS last
		    FROM touchlog.customer m JOIN touchlog.rule_state x ON x.rule = r.name
			AND x.subject = m.id || coalesce(' ' || k.thread, '')
		    WHERE m.root_id = k.root AND (r.ever OR r.cooldown IS NOT NULL)
			AND r.per <> 'interaction') s ON true;
		fired := fired || touchlog.match_counted(r, keys, at);
	END LOOP;
	RETURN fired;
END $$;

-- Timers of rules with a wait.  An `unless` only locks: a decider at work on the timer ends
-- first, and then match_too_late() sees its firing.
CREATE FUNCTION touchlog.match_timers(hits touchlog.hit[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM unnest(hits) h WHERE h.is_unless) THEN	-- else the INSERT locks in order
		PERFORM FROM touchlog.timer t
		JOIN (SELECT DISTINCT h.name, h.subject FROM unnest(hits) h
		    WHERE h.subject IS NOT NULL AND (h.is_unless OR h.due IS NOT NULL)) x
		    ON t.rule = x.name AND t.subject = x.subject
		ORDER BY t.rule, t.subject FOR UPDATE OF t;
	END IF;
	-- least() leaves `due` as it is but for a match that is due before the armed one; while
	-- the value stays the same the update is HOT.
	INSERT INTO touchlog.timer AS t (rule, subject, due, origin_id)
	SELECT h.name, h.subject, min(h.due), (array_agg(h.id ORDER BY h.occurred_at, h.id))[1]
	FROM unnest(hits) h
	WHERE NOT h.is_unless AND h.subject IS NOT NULL AND h.due IS NOT NULL AND NOT h.too_old
	GROUP BY 1, 2 ORDER BY 1, 2
	ON CONFLICT ON CONSTRAINT timer_pkey DO UPDATE SET touched = t.touched + 1,
	    due = least(t.due, EXCLUDED.due);
END $$;

-- An `unless` that came after the firing it would have stopped.
CREATE FUNCTION touchlog.match_too_late(hits touchlog.hit[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	UPDATE touchlog.firing f SET cause_id = x.id,
	    state = CASE f.state WHEN 'fired' THEN 'too_late' ELSE f.state END
	FROM (SELECT DISTINCT ON (l.firing_id) l.firing_id, h.id
	    FROM unnest(hits) h JOIN touchlog.rule r ON r.id = h.rule
	    CROSS JOIN LATERAL touchlog.subject_aliases(h.root, h.subject) a(names)
	    CROSS JOIN LATERAL (
		SELECT g.id AS firing_id, g.origin_at, g.origin_id FROM touchlog.firing g
		WHERE r.per <> 'interaction' AND g.rule = h.name AND g.subject = ANY(a.names)
		    AND g.settled_at >= h.occurred_at AND g.cause_id IS NULL
		    AND g.state IN ('fired', 'shadowed')
		UNION ALL
		SELECT g.id, g.origin_at, g.origin_id FROM touchlog.customer m
		JOIN touchlog.firing g ON g.customer_id = m.id AND g.rule = h.name
		WHERE r.per = 'interaction' AND m.root_id = h.root AND g.settled_at >= h.occurred_at
		    AND g.cause_id IS NULL
		    AND g.state IN ('fired', 'shadowed')) l
	    WHERE h.is_unless AND (l.origin_at, l.origin_id) < (h.occurred_at, h.id)
	    ORDER BY l.firing_id, h.occurred_at, h.id) x
	WHERE f.id = x.firing_id;
END $$;

-- What follows from the hits.
CREATE FUNCTION touchlog.match_apply(hits touchlog.hit[], at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	fired bigint[];
	waits boolean;
	stops boolean;
BEGIN
	-- What needs no memory.
	WITH f AS (
		INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state,
		    rule_set, decided_at)
		SELECT h.name, h.subject, h.id, h.occurred_at, h.customer_id,
		    CASE WHEN h.subject IS NULL THEN 'no_subject' WHEN h.too_old THEN 'too_old'
			WHEN r.mode = 'shadow' THEN 'shadowed' ELSE 'fired' END, r.rule_set, at
		FROM unnest(hits) h JOIN touchlog.rule r ON r.id = h.rule
		WHERE NOT h.is_unless AND h.received_at >= r.since
		    AND (h.subject IS NULL OR h.too_old OR NOT (r.waits OR r.keeps_state))
		ORDER BY h.name, h.id
		ON CONFLICT ON CONSTRAINT firing_rule_origin_id_key DO NOTHING RETURNING id, state)
	SELECT array_agg(f.id) FILTER (WHERE f.state = 'fired') INTO fired FROM f;
	fired := coalesce(fired, '{}') || touchlog.match_stateful(hits, at);
	SELECT bool_or(h.is_unless OR h.due IS NOT NULL), bool_or(h.is_unless) INTO waits, stops
	FROM unnest(hits) h;
	IF waits THEN
		PERFORM touchlog.match_timers(hits);
	END IF;
	IF stops THEN
		PERFORM touchlog.match_too_late(hits);
	END IF;
	IF fired <> '{}' THEN
		PERFORM touchlog.firings_enqueue(fired, at);
	END IF;
END $$;

-- match_rows() for one rule that is evaluated alone.
CREATE FUNCTION touchlog.match_one(rule int, ids uuid[], low timestamptz, high timestamptz)
RETURNS touchlog.hit[] LANGUAGE plpgsql STABLE AS $$
DECLARE
	hits touchlog.hit[];
BEGIN
	EXECUTE 'SELECT array_agg(x::touchlog.hit) FROM ('
	    || touchlog.rule_projection(ARRAY[rule]) || ') x' INTO hits USING ids, low, high;
	RETURN hits;
END $$;

-- One rule over these rows; its own error when it failed, and then it has done nothing.
CREATE FUNCTION touchlog.match_try(rule int, ids uuid[], low timestamptz, high timestamptz,
    at timestamptz, OUT n int, OUT error text) LANGUAGE plpgsql AS $$
DECLARE
	hits touchlog.hit[];
	state text;
BEGIN
	hits := touchlog.match_one(rule, ids, low, high);
	PERFORM touchlog.match_apply(hits, at);
	n := coalesce(cardinality(hits), 0);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, error = MESSAGE_TEXT;
	IF NOT touchlog.rule_is_to_blame(state) THEN
		RAISE;
	END IF;
	n := 0;
END $$;

-- Rule by rule, and where one fails, row by row.  Rules without a wait first: the order of
-- locks is that of match_apply().
CREATE FUNCTION touchlog.match_each(ids uuid[], low timestamptz, high timestamptz,
    at timestamptz, chosen int[], OUT n int, OUT failed int[]) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	r touchlog.rule;
	tried record;
	one uuid;
BEGIN
	n := 0;
	failed := '{}';
	FOR r IN
		SELECT x.* FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set
		WHERE s.active AND x.mode <> 'off' AND (chosen IS NULL OR x.id = ANY(chosen))
		ORDER BY x.waits, x.name
	LOOP
		tried := touchlog.match_try(r.id, ids, low, high, at);
		n := n + tried.n;
		CONTINUE WHEN tried.error IS NULL;
		failed := failed || r.id;
		FOREACH one IN ARRAY ARRAY(SELECT x FROM unnest(ids) x ORDER BY x) LOOP
			tried := touchlog.match_try(r.id, ARRAY[one], low, high, at);
			n := n + tried.n;
			CONTINUE WHEN tried.error IS NULL;
			INSERT INTO touchlog.firing (rule, origin_id, origin_at, customer_id, state, error,
			    rule_set, decided_at)
			SELECT r.name, i.id, i.occurred_at, i.customer_id, 'failed', tried.error, r.rule_set,
			    at
			FROM touchlog.interaction i WHERE i.id = one AND i.received_at BETWEEN low AND high
			ON CONFLICT ON CONSTRAINT firing_rule_origin_id_key DO NOTHING;
		END LOOP;
	END LOOP;
	-- Last, for batches of other daemons may wait for it.
	INSERT INTO touchlog.rule_trouble AS t (rule, batches)
	SELECT f.id, 1 FROM unnest(failed) f(id)
	WHERE NOT EXISTS (SELECT FROM touchlog.rule_trouble x WHERE x.rule = f.id AND x.alone)
	ORDER BY f.id
	ON CONFLICT ON CONSTRAINT rule_trouble_pkey DO UPDATE SET batches = t.batches + 1;
END $$;

DROP FUNCTION touchlog.match(uuid[], timestamptz, timestamptz);

-- Decides the rules for the fresh rows of a batch, in its transaction.  The bounds on
-- received_at prune partitions.  Returns how many matches there were, and the rules that failed.
CREATE FUNCTION touchlog.match(ids uuid[], low timestamptz, high timestamptz,
    at timestamptz DEFAULT clock_timestamp(), OUT n_hits int, OUT failed int[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	n_rules int;
	alone int[];
	matching uuid[];
	hits touchlog.hit[];
	state text;
	rest record;
BEGIN
	n_hits := 0;
	failed := '{}';
	IF NOT pg_try_advisory_xact_lock_shared(hashtextextended('touchlog.rules', 0)) THEN
		PERFORM touchlog.rules_hold();
	END IF;
	SELECT s.n_rules, (SELECT array_agg(t.rule) FROM touchlog.rule_trouble t WHERE t.alone)
	INTO n_rules, alone FROM touchlog.rule_set s WHERE s.active;
	IF n_rules IS NULL OR n_rules = 0 THEN
		RETURN;
	END IF;
	BEGIN
		matching := touchlog.match_any(ids, low, high);
		IF matching IS NOT NULL THEN
			SELECT array_agg(h) INTO hits FROM touchlog.match_rows(matching, low, high) h;
			n_hits := cardinality(hits);
			PERFORM touchlog.match_apply(hits, at);
		END IF;
		IF alone IS NULL THEN
			RETURN;
		END IF;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
		IF NOT touchlog.rule_is_to_blame(state) THEN
			RAISE;
		END IF;
		n_hits := 0;
		alone := NULL;			-- all of them
	END;
	rest := touchlog.match_each(ids, low, high, at, alone);
	n_hits := n_hits + rest.n;
	failed := rest.failed;
END $$;

-- What has a subject of these customers follows their roots, in the transaction that changed
-- them (their rows are locked): firings by their own customer, cooldowns from firings, timers
-- from the log.  member: all of the components concerned; apart: they were one and are not any
-- more.
CREATE FUNCTION touchlog.subjects_follow(member bigint[], apart boolean) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	moved bigint[];
	waiting text[];
	timers touchlog.timer[];
	states touchlog.rule_state[];
BEGIN
	PERFORM touchlog.rules_hold();
	IF NOT EXISTS (SELECT FROM touchlog.rule_set) THEN
		RETURN;
	END IF;
	-- Of joined ones the root's own states and timers are where they should be.
	moved := ARRAY(SELECT c.id FROM touchlog.customer c
	    WHERE c.id = ANY(member) AND (apart OR c.root_id <> c.id) ORDER BY c.id);
	-- In match()'s order: states of rules without a wait, timers, and last the other states.
	waiting := ARRAY(SELECT r.name FROM touchlog.rule r
	    JOIN touchlog.rule_set s ON s.version = r.rule_set WHERE s.active AND r.waits);
	PERFORM FROM unnest(moved) m(id) JOIN touchlog.rule_state s
	    ON s.subject = m.id::text OR s.subject >= m.id || ' ' AND s.subject < m.id || '!'
	WHERE s.rule <> ALL (waiting) ORDER BY s.rule, s.subject FOR UPDATE OF s;
	timers := ARRAY(SELECT t FROM unnest(moved) m(id) JOIN touchlog.timer t
	    ON t.subject = m.id::text OR t.subject >= m.id || ' ' AND t.subject < m.id || '!'
	    ORDER BY t.rule, t.subject FOR UPDATE OF t);
	states := ARRAY(SELECT s FROM unnest(moved) m(id) JOIN touchlog.rule_state s
	    ON s.subject = m.id::text OR s.subject >= m.id || ' ' AND s.subject < m.id || '!'
	    ORDER BY s.rule, s.subject FOR UPDATE OF s);
	UPDATE touchlog.firing f
	SET subject = c.root_id::text || coalesce(substring(f.subject FROM ' .*$'), '')
	FROM touchlog.customer c
	WHERE c.id = f.customer_id AND f.customer_id = ANY(member)
	    AND f.subject ~ '^[0-9]+( |$)' AND split_part(f.subject, ' ', 1) <> c.root_id::text;
	IF states <> '{}' THEN
		PERFORM touchlog.states_follow(states, moved);
	END IF;
	IF timers <> '{}' THEN
		PERFORM touchlog.timers_follow(timers, moved, apart);
	END IF;
	PERFORM touchlog.timers_refold(moved, apart);
END $$;

-- A subject's last firing, of all that stand under its name by now.
CREATE FUNCTION touchlog.states_follow(states touchlog.rule_state[], member bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
	DELETE FROM touchlog.rule_state t USING unnest(states) s
	WHERE t.rule = s.rule AND t.subject = s.subject;
	INSERT INTO touchlog.rule_state AS t (rule, subject, last_fired_at)
	SELECT f.rule, f.subject, max(coalesce(f.settled_at, touchlog.at(f.origin_id)))
	FROM touchlog.firing f
	LEFT JOIN (touchlog.rule r JOIN touchlog.rule_set a ON a.version = r.rule_set AND a.active)
	    ON r.name = f.rule
	WHERE f.customer_id IN (SELECT o.id FROM touchlog.customer c
		JOIN touchlog.customer o ON o.root_id = c.root_id WHERE c.id = ANY(member))
	    AND f.rule IN (SELECT s.rule FROM unnest(states) s) AND f.subject ~ '^[0-9]+( |$)'
	    AND (f.state IN ('fired', 'too_late', 'capped', 'no_consent', 'suppressed')
		OR f.state = 'shadowed' AND r.mode = 'shadow')
	GROUP BY 1, 2 ORDER BY 1, 2
	ON CONFLICT ON CONSTRAINT rule_state_pkey DO UPDATE SET last_fired_at = EXCLUDED.last_fired_at;
END $$;

-- A timer only says when to look at the log, so each that may concern a subject is kept: of
-- joined customers under the root's name, of parted ones under the name of every part.
CREATE FUNCTION touchlog.timers_follow(timers touchlog.timer[], member bigint[], apart boolean)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
	DELETE FROM touchlog.timer t USING unnest(timers) x
	WHERE t.rule = x.rule AND t.subject = x.subject;
	INSERT INTO touchlog.timer AS t (rule, subject, due, origin_id, armed)
	SELECT x.rule, c.root_id::text || coalesce(substring(x.subject FROM ' .*$'), ''), min(x.due),
	    (array_agg(x.origin_id ORDER BY x.origin_id))[1], bool_or(x.armed)
	FROM unnest(timers) x
	JOIN touchlog.customer c ON c.id = ANY(member)
	    AND (apart OR c.id = split_part(x.subject, ' ', 1)::bigint)
	GROUP BY 1, 2 ORDER BY 1, 2
	ON CONFLICT ON CONSTRAINT timer_pkey DO UPDATE SET due = least(t.due, EXCLUDED.due),
	    origin_id = least(t.origin_id, EXCLUDED.origin_id), armed = t.armed OR EXCLUDED.armed;
END $$;

-- Waits that nobody's timer stood for: matches that count together now; and after a split, what
-- a part had begun and a decision for all of them settled.
CREATE FUNCTION touchlog.timers_refold(member bigint[], apart boolean) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	r touchlog.rule;
	roots bigint[];
	threads text[];
	subjects text[];
BEGIN
	FOR r IN
		SELECT x.* FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set
		WHERE s.active AND x.waits AND x.mode <> 'off' AND x.per <> 'interaction'
		    AND (apart OR x.count IS NOT NULL)
		ORDER BY x.name
	LOOP
		roots := coalesce(roots, ARRAY(SELECT DISTINCT c.root_id FROM touchlog.customer c
		    WHERE c.id = ANY(member)));
		subjects := roots::text[];
		IF r.per = 'thread' THEN		-- those in which more than one took part
			threads := coalesce(threads, ARRAY(SELECT i.thread FROM touchlog.customer c
			    JOIN touchlog.customer o ON o.root_id = c.root_id
			    JOIN touchlog.interaction i ON i.customer_id = o.id
			    WHERE c.id = ANY(roots) AND i.thread IS NOT NULL
				AND i.occurred_at >= (SELECT min(least(x.since - x.max_age, x.since - x.within))
				    FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set
				    WHERE s.active AND x.waits)
			    GROUP BY i.thread HAVING count(DISTINCT i.customer_id) > 1));
			subjects := ARRAY(SELECT s || ' ' || t FROM unnest(subjects) s, unnest(threads) t);
		END IF;
		CONTINUE WHEN subjects = '{}';
		INSERT INTO touchlog.timer AS t (rule, subject, due, origin_id)
		SELECT r.name, x.subject, coalesce(min((x.d).settled_at)
			FILTER (WHERE (x.d).state = 'pending'), clock_timestamp()),
		    (array_agg((x.d).origin_id ORDER BY (x.d).origin_id))[1]
		FROM unnest(touchlog.wait_found(r, touchlog.wait_keys(r, subjects, NULL, NULL),
		    '-infinity')) x
		GROUP BY 2 ORDER BY 2
		ON CONFLICT ON CONSTRAINT timer_pkey DO UPDATE SET due = least(t.due, EXCLUDED.due);
	END LOOP;
END $$;

-- As in 003-accept.sql, and what the rules keep follows.
CREATE OR REPLACE FUNCTION touchlog.join_parties(trusted boolean[], parties int[],
    strongs boolean[], own bigint[], hard boolean[], raised bigint[], ids uuid[], events int[],
    merge_limit int) RETURNS int
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	todo record;
	root bigint;
	member bigint[];
	refused int := 0;
BEGIN
	SELECT array_agg(j.a) AS a, array_agg(j.b) AS b, array_agg(j.absorb) AS absorb,
	    array_agg(j.party) AS party
	INTO todo FROM touchlog.joins(trusted, parties, strongs, own, hard) j;
	IF todo.a IS NULL AND raised IS NULL THEN
		RETURN 0;
	END IF;
	member := touchlog.lock_components(todo.a || todo.b || raised);
	-- A member became strong: the component may have a new root.
	FOR root IN SELECT DISTINCT c.root_id FROM touchlog.customer c WHERE c.id = ANY(raised) LOOP
		PERFORM touchlog.set_root(touchlog.members(ARRAY[root]));
	END LOOP;
	FOR n IN 1 .. coalesce(cardinality(todo.a), 0) LOOP
		refused := refused + touchlog.join_pair(todo.a[n], todo.b[n], todo.absorb[n],
		    jsonb_build_object('interaction', ids[events[todo.party[n]]]), merge_limit)::int;
	END LOOP;
	PERFORM touchlog.subjects_follow(member, false);
	RETURN refused;
END $$;

-- As in 004-customer.sql, and what the rules keep follows, here of customers who were joined or
-- parted by hand.
CREATE OR REPLACE FUNCTION touchlog.remake(member bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	rest bigint[] := member;
	part bigint[];
	n_parts int := 0;
BEGIN
	WHILE cardinality(rest) > 0 LOOP
		WITH RECURSIVE reach(id) AS (
			SELECT rest[1]
			UNION
			SELECT CASE WHEN m.a_id = r.id THEN m.b_id ELSE m.a_id END
			FROM reach r JOIN touchlog.merge m
			    ON (m.a_id = r.id OR m.b_id = r.id) AND m.state = 'joined')
		SELECT array_agg(reach.id) INTO part FROM reach;
		PERFORM touchlog.set_root(part);
		rest := ARRAY(SELECT m FROM unnest(rest) m WHERE m <> ALL (part));
		n_parts := n_parts + 1;
	END LOOP;
	PERFORM touchlog.subjects_follow(member, n_parts > 1);
END $$;

GRANT EXECUTE ON FUNCTION touchlog.match TO touchlog_daemon;
