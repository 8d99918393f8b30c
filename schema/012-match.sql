-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- The rules of a batch, inside the append transaction: match() finds who matches, decides the
-- rules without a wait, and arms the timers of those with one.
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

-- One subject's rows for one rule, in order.
CREATE FUNCTION touchlog.rule_log(r touchlog.rule, root bigint, thread text, low timestamptz)
RETURNS touchlog.log_row[] LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
	member bigint[] := ARRAY(SELECT m.id FROM touchlog.customer m WHERE m.root_id = root);
	many int[] := ARRAY[cardinality(member)];
	rows touchlog.log_row[];
BEGIN
	-- occurred_at is at most a day ahead of received_at
	SELECT array_agg(ROW(l.row_id, l.row_received_at, l.row_occurred_at, l.row_customer_id, l.w,
	    l.u, l.row_due)::touchlog.log_row ORDER BY l.row_occurred_at, l.row_id)
	INTO rows
	FROM touchlog.rule_rows(r.id, array_fill(1, many), member, array_fill(thread, many),
	    array_fill(low, many), low - interval '1 day') l;
	RETURN coalesce(rows, '{}');
END $$;

-- Decides one rule without a wait for one subject, whose rule_state row is locked.  fresh: its
-- matches of this batch, in order.  Returns the firings that fired.
CREATE FUNCTION touchlog.match_counted(r touchlog.rule, subject text, root bigint,
    fresh touchlog.log_row[], at timestamptz) RETURNS bigint[] LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	from_at timestamptz := fresh[1].occurred_at;
	from_id uuid := fresh[1].id;
	rows touchlog.log_row[] := fresh;
	found_ids uuid[];
	decided uuid[] := '{}';
	names text[] := touchlog.subject_aliases(root, subject);
	last timestamptz;
	fired bigint[];
BEGIN
	IF r.count IS NOT NULL THEN
		rows := touchlog.rule_log(r, root, substring(subject FROM '^[^ ]* (.*)$'),
		    touchlog.rule_reach(r, from_at));
		found_ids := ARRAY(SELECT x.id FROM unnest(rows) x
		    WHERE (x.occurred_at, x.id) >= (from_at, from_id));
		decided := ARRAY(SELECT f.origin_id FROM touchlog.firing f
		    WHERE f.rule = r.name AND f.origin_id = ANY(found_ids));
	END IF;
	last := (SELECT max(s.last_fired_at) FROM touchlog.rule_state s
	    WHERE s.rule = r.name AND s.subject = ANY(names));
	WITH f AS (
		INSERT INTO touchlog.firing (rule, subject, origin_id, origin_at, customer_id, state,
		    rule_set, decided_at)
		SELECT r.name, subject, d.origin_id, d.origin_at, d.customer_id, d.state, r.rule_set, at
		FROM touchlog.fold_count(r, rows, from_at, from_id, decided, last) d
		ON CONFLICT ON CONSTRAINT firing_rule_origin_id_key DO NOTHING
		RETURNING id, origin_id, state)
	SELECT array_agg(f.id) FILTER (WHERE f.state = 'fired'),
	    max(touchlog.at(f.origin_id)) FILTER (WHERE f.state IN ('fired', 'shadowed'))
	INTO fired, last FROM f;
	IF last IS NOT NULL THEN
		UPDATE touchlog.rule_state s SET last_fired_at = greatest(s.last_fired_at, last)
		WHERE s.rule = r.name AND s.subject = subject;
	END IF;
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
	k record;
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
	FOR k IN
		SELECT h.rule, h.subject, h.root, array_agg(ROW(h.id, h.received_at, h.occurred_at,
		    h.customer_id, true, false, NULL)::touchlog.log_row ORDER BY h.occurred_at, h.id)
		    AS fresh
		FROM unnest(counted) h GROUP BY 1, 2, 3 ORDER BY 1, 2
	LOOP
		IF r.id IS DISTINCT FROM k.rule THEN
			SELECT x.* INTO STRICT r FROM touchlog.rule x WHERE x.id = k.rule;
		END IF;
		fired := fired || touchlog.match_counted(r, k.subject, k.root, k.fresh, at);
	END LOOP;
	RETURN fired;
END $$;

-- Timers of rules with a wait.  An `unless` only locks: a decider at work on the timer ends
-- first, and then match_too_late() sees its firing.
CREATE FUNCTION touchlog.match_timers(hits touchlog.hit[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM touchlog.timer t
	JOIN (SELECT DISTINCT h.name, h.subject FROM unnest(hits) h
	    WHERE h.subject IS NOT NULL AND (h.is_unless OR h.due IS NOT NULL)) x
	    ON t.rule = x.name AND t.subject = x.subject
	ORDER BY t.rule, t.subject FOR UPDATE OF t;
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
	    FROM unnest(hits) h
	    CROSS JOIN LATERAL touchlog.subject_aliases(h.root, h.subject) a(names)
	    CROSS JOIN LATERAL (
		SELECT g.id AS firing_id, g.origin_at, g.origin_id FROM touchlog.firing g
		WHERE h.subject IS NOT NULL AND g.rule = h.name AND g.subject = ANY(a.names)
		    AND g.settled_at >= h.occurred_at AND g.cause_id IS NULL
		    AND g.state IN ('fired', 'shadowed')
		UNION ALL
		SELECT g.id, g.origin_at, g.origin_id FROM touchlog.customer m
		JOIN touchlog.firing g ON g.customer_id = m.id AND g.rule = h.name
		WHERE h.subject IS NULL AND m.root_id = h.root AND g.settled_at >= h.occurred_at
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
		SELECT array_agg(h) INTO hits FROM touchlog.match_rows(ids, low, high) h;
		IF hits IS NOT NULL THEN
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

GRANT EXECUTE ON FUNCTION touchlog.match TO touchlog_daemon;
