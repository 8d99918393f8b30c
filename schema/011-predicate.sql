-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- Predicates are read and judged, and the active set is compiled into functions.
--
-- PostgreSQL itself judges a predicate, as a generated column (`when`, `unless`: immutable) or
-- a CHECK (`wait`, `at`: stable) of an empty twin of the flat row: an interaction beside its
-- customer's profile.  What runs later is what PostgreSQL read, deparsed and fully qualified,
-- never the user's text; and only what touchlog_reader could call by himself.  So whoever may
-- load rules runs nothing as touchlog_admin but such expressions.

SET LOCAL ROLE touchlog_admin;

-- The user's text with `customer.x` made `customer_x` (same length, so that positions hold).
-- Raises 42601 with DETAIL = position for what would break out of the parentheses around it.
CREATE FUNCTION touchlog.rule_rewrite(src text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	pos int := 1;
	done text := '';
	tok text;
	depth int := 0;
	last text := '';
	said text := '';		-- the last one that is neither space nor comment
	wrong text;
BEGIN
	WHILE pos <= length(src) LOOP
		tok := touchlog.rule_token(substr(src, pos));
		wrong := CASE
		    -- It might begin a quote that we do not know of.
		    WHEN tok = '$' THEN 'no "$" outside a quote'
		    -- PostgreSQL may read both as one, with backslashes in the second too.
		    WHEN tok ~ '^''.' AND said ~* '^e?''' THEN 'two quotes beside each other: write one'
		    WHEN tok = '/*' THEN 'unterminated comment'
		    WHEN tok IN ('''', '"') THEN 'unterminated quote'
		    WHEN tok ~ '^\$' AND length(tok) > 1 AND tok !~ '^(\$\w*\$).*\1$'
			THEN 'unterminated dollar quote'
		    WHEN tok = ';' OR tok = ',' AND depth = 0 THEN format('one expression, no "%s"', tok)
		    WHEN tok IN (')', ']') AND depth = 0 THEN format('"%s" without its opening one', tok)
		    END;
		IF wrong IS NOT NULL THEN
			RAISE EXCEPTION '%', wrong USING ERRCODE = '42601', DETAIL = pos;
		END IF;
		depth := depth + CASE WHEN tok IN ('(', '[') THEN 1 WHEN tok IN (')', ']') THEN -1
		    ELSE 0 END;
		pos := pos + length(tok);
		IF lower(tok) = 'customer' AND last <> '.' AND substr(src, pos) ~ '^\.[A-Za-z_]' THEN
			IF substr(src, pos) ~* '^\.id\M' THEN		-- it would read as the interaction's
				RAISE EXCEPTION 'there is no customer.id here' USING ERRCODE = '42601',
				    DETAIL = pos + 1;
			END IF;
			tok := 'customer_';
			pos := pos + 1;
		END IF;
		done := done || tok;
		last := tok;
		IF tok !~ '^([ \t\n\r\f\v]|--|/\*)' THEN
			said := tok;
		END IF;
	END LOOP;
	IF depth > 0 THEN
		RAISE EXCEPTION 'a parenthesis is not closed' USING ERRCODE = '42601', DETAIL = length(src);
	END IF;
	RETURN done;
END $$;

-- The first token of a text that is not empty; of a quote or comment without its end, how it
-- begins.  A token must end where it does for PostgreSQL, or what is a quote here would be run
-- there: a character beyond ASCII is a letter, never a space.
CREATE FUNCTION touchlog.rule_token(src text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	tok text := substring(src FROM '^(?:[eE]''(?:[^''\\]|''''|\\.)*''|''(?:[^'']|'''')*'''
	    '|"(?:[^"]|"")*"|--[^\n\r]*|[ \t\n\r\f\v]+|[0-9]+'
	    '|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)');
	level int := 1;
	at int := 3;
BEGIN
	IF tok IS NOT NULL THEN
		RETURN tok;
	ELSIF src ~ '^\$([A-Za-z_]\w*)?\$' THEN
		tok := substring(src FROM '^\$(?:[A-Za-z_]\w*)?\$');
		at := position(tok IN substr(src, length(tok) + 1));
		RETURN CASE at WHEN 0 THEN tok ELSE left(src, 2 * length(tok) + at - 1) END;
	ELSIF left(src, 2) <> '/*' THEN
		RETURN left(src, 1);
	END IF;
	WHILE level > 0 LOOP				-- PostgreSQL nests comments
		IF at > length(src) THEN
			RETURN '/*';
		END IF;
		tok := substr(src, at, 2);
		level := level + CASE tok WHEN '*/' THEN -1 WHEN '/*' THEN 1 ELSE 0 END;
		at := at + CASE WHEN tok IN ('*/', '/*') THEN 2 ELSE 1 END;
	END LOOP;
	RETURN left(src, at - 1);
END $$;

-- The customer's columns of the flat row.  expr: over i (the interaction) and c (its root
-- customer).  What is counted from the log is a subquery, so that it is computed only where
-- it is named, and only when what stands before it in the predicate holds.
CREATE FUNCTION touchlog.rule_profile() RETURNS TABLE (col text, type text, expr text)
LANGUAGE sql IMMUTABLE AS $$
	SELECT 'customer_' || x, t, 'c.' || x FROM (VALUES ('name', 'text'), ('stage', 'text'),
	    ('tags', 'text[]'), ('owner', 'text'), ('priority', 'smallint'), ('language', 'text'),
	    ('time_zone', 'text'), ('attributes', 'jsonb'), ('created_at', 'timestamptz')) v(x, t)
	UNION ALL
	SELECT 'customer_' || x, t, '(SELECT ' || e || ' FROM touchlog.customer m JOIN'
	    ' touchlog.interaction p ON p.customer_id = m.id WHERE m.root_id = c.root_id)'
	FROM (VALUES ('interactions', 'bigint', 'count(*)'),
	    ('first_seen', 'timestamptz', 'min(p.occurred_at)'),
	    ('last_seen', 'timestamptz', 'max(p.occurred_at)')) v(x, t, e)
$$;

-- The statement that makes PostgreSQL judge texts.  kind: predicate, interval, timestamptz.
CREATE FUNCTION touchlog.rule_check_sql(srcs text[], kinds text[]) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN 'CREATE TEMP TABLE touchlog_check (LIKE touchlog.interaction, '
	    || (SELECT string_agg(p.col || ' ' || p.type, ', ') FROM touchlog.rule_profile() p)
	    || (SELECT string_agg(CASE k.kind WHEN 'predicate'
		THEN format(E', touchlog_%s boolean GENERATED ALWAYS AS ((/*>*/%s\n)) STORED', k.n,
		    touchlog.rule_rewrite(k.src))
		-- A CHECK may be STABLE, but has no subquery, aggregate or window either.
		ELSE format(E', touchlog_%1$s %2$s, CONSTRAINT touchlog_%1$s CHECK (touchlog_%1$s ='
		    ' (/*>*/%3$s\n))', k.n, k.kind, touchlog.rule_rewrite(k.src)) END, '' ORDER BY k.n)
	    FROM unnest(srcs, kinds) WITH ORDINALITY k(src, kind, n)) || ') ON COMMIT DROP';
END $$;

-- Refuses what an expression of the twin calls beyond PostgreSQL's and touchlog's functions
-- that everyone may call: a function of someone's own, a domain's CHECK, would run as
-- touchlog_admin.  So would a volatile one, which a CHECK does not mind, and one that finds a
-- view or a type by its name at run time, and such a function with it.
CREATE FUNCTION touchlog.rule_check_calls(tree text, class oid, expr oid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	wrong text;
BEGIN
	SELECT min(format('%s is not for rules: %s', p.oid::regprocedure, CASE p.provolatile
	    WHEN 'v' THEN 'it is volatile' ELSE 'only what everyone may call is, and no XML of tables or input of types'
	    END)) INTO wrong
	FROM regexp_matches(tree, ':(?:op|hash|negf)?funcid (\d+)', 'g') m
	JOIN pg_proc p ON p.oid = m[1]::oid
	WHERE p.provolatile = 'v' OR p.pronamespace NOT IN
	    ('pg_catalog'::regnamespace, 'touchlog'::regnamespace)
	    OR NOT has_function_privilege('touchlog_reader', p.oid, 'EXECUTE')
	    OR 'cstring'::regtype = ANY (p.proargtypes)
	    OR p.proname ~ '^((table|schema|database)_to_xml|pg_input_)';
	IF tree ~ ':varattno (0|-\d+) ' THEN
		wrong := 'a whole row or a system column is not for rules';
	ELSIF wrong IS NULL THEN
		SELECT min(format('%s %s is not for rules: it is not of PostgreSQL or touchlog', o.type,
		    o.identity)) INTO wrong
		FROM pg_depend d, pg_identify_object(d.refclassid, d.refobjid, 0) o
		WHERE d.classid = class AND d.objid = expr AND o.schema <> 'touchlog'
		    AND d.refobjid <> 'pg_temp.touchlog_check'::regclass;
	END IF;
	IF wrong IS NOT NULL THEN
		RAISE EXCEPTION '%', wrong USING ERRCODE = '42501';
	END IF;
END $$;

-- After that statement: the texts as PostgreSQL read them.  With an empty search_path every
-- name is qualified.
CREATE FUNCTION touchlog.rule_check_result(kinds text[]) RETURNS text[]
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
	twin oid := 'pg_temp.touchlog_check'::regclass;
	found text[] := '{}';
	x record;
	name text;
BEGIN
	FOR n IN 1 .. cardinality(kinds) LOOP
		name := 'touchlog_' || n;
		IF kinds[n] = 'predicate' THEN
			SELECT pg_get_expr(d.adbin, d.adrelid) AS said, d.adbin::text AS tree, d.oid,
			    d.tableoid INTO STRICT x
			FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
			WHERE d.adrelid = twin AND a.attname = name;
		ELSE					-- "(touchlog_1 = …)"
			SELECT substr(s, length(name) + 5, length(s) - length(name) - 5) AS said,
			    c.conbin::text AS tree, c.oid, c.tableoid INTO STRICT x
			FROM pg_constraint c, pg_get_expr(c.conbin, c.conrelid) s
			WHERE c.conrelid = twin AND c.conname = name;
		END IF;
		PERFORM touchlog.rule_check_calls(x.tree, x.tableoid, x.oid);
		found[n] := x.said;
	END LOOP;
	RETURN found;
END $$;

CREATE FUNCTION touchlog.rule_read(srcs text[], kinds text[]) RETURNS text[]
LANGUAGE plpgsql SET search_path = touchlog, pg_catalog, pg_temp SET TimeZone = 'UTC'
SET standard_conforming_strings = on AS $$
DECLARE
	result text[];
BEGIN
	EXECUTE touchlog.rule_check_sql(srcs, kinds);
	result := touchlog.rule_check_result(kinds);
	DROP TABLE pg_temp.touchlog_check;
	RETURN result;
END $$;

-- Judges one text and returns it as PostgreSQL read it.  Where it went wrong in the user's
-- text: the statement that failed (PG_DIAG_INTERNAL_QUERY) has it behind `/*>*/`, so the
-- error's internal position less what stands before; of our own refusals (42601) the DETAIL is
-- the position.  Errors name customer_x where the user wrote customer.x.
CREATE FUNCTION touchlog.rule_check(src text, kind text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF kind <> ALL ('{predicate,interval,timestamptz}') THEN
		RAISE EXCEPTION 'no kind of expression: %', kind USING ERRCODE = '22023';
	END IF;
	RETURN (touchlog.rule_read(ARRAY[src], ARRAY[kind]))[1];
END $$;

-- One rule's `when`, with the guard against our own traffic.
CREATE FUNCTION touchlog.rule_when(r touchlog.rule) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT '(' || r.when_sql || $q$) AND NOT (source = 'touchlog' AND direction <> 'internal')$q$
$$;

-- When its wait is over.  Never (a sender may have written `infinity`) is null: it starts nothing.
CREATE FUNCTION touchlog.rule_due(r touchlog.rule) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT format($q$nullif(nullif(%s, 'infinity'::timestamptz), '-infinity'::timestamptz)$q$,
	    CASE WHEN r.at_sql IS NOT NULL THEN r.at_sql
	    WHEN r.wait_sql IS NULL THEN 'NULL::timestamptz'
	    WHEN r.calendar_id IS NOT NULL
		THEN format('touchlog.calendar_add(%s, occurred_at, %s)', r.calendar_id, r.wait_sql)
	    ELSE format('occurred_at + (%s)', r.wait_sql) END)
$$;

-- The flat row: columns and joins that these texts need; nothing where no profile is named.
CREATE FUNCTION touchlog.rule_flat(texts text, OUT columns text, OUT joins text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
	SELECT coalesce(string_agg(', ' || p.expr || ' AS ' || p.col, ''), '') INTO columns
	FROM touchlog.rule_profile() p WHERE texts ~ ('\m' || p.col || '\M');
	joins := CASE WHEN columns = '' THEN '' ELSE ' LEFT JOIN touchlog.customer cc'
	    ' ON cc.id = i.customer_id AND i.customer_id > 0'
	    ' LEFT JOIN touchlog.customer c ON c.id = cc.root_id' END;
END $$;

-- A match of `when`, or of `unless`.  subject: null where there is none, or for an unless of a
-- rule per interaction.
CREATE TYPE touchlog.hit AS (
	rule		int,
	name		text,
	is_unless	boolean,
	id		uuid,
	received_at	timestamptz,
	occurred_at	timestamptz,
	customer_id	bigint,
	root		bigint,
	subject		text,
	due		timestamptz,
	too_old		boolean);

-- What some rules ask of fresh rows (ids in $1, received from $2 to $3): tests, joined by OR;
-- marks, of those that hold (a rule's id, negative for `unless`); due, by mark; and the flat rows.
-- The OFFSET keeps the tests above the partitions: planned into each, a thousand rules took
-- seconds.
CREATE FUNCTION touchlog.rule_tests(rules int[], OUT tests text, OUT marks text, OUT due text,
    OUT flat_rows text) LANGUAGE plpgsql STABLE AS $$
DECLARE
	flat record;
BEGIN
	SELECT string_agg(x.test, E'\n\t\tOR ' ORDER BY x.n, x.sign DESC),
	    string_agg(format('CASE WHEN %s THEN %s END', x.test, x.sign * x.n), E',\n\t\t'
		ORDER BY x.n, x.sign DESC)
	INTO tests, marks
	FROM (SELECT r.id AS n, 1 AS sign, '(' || touchlog.rule_when(r) || ')' AS test
		FROM touchlog.rule r WHERE r.id = ANY(rules)
	    UNION ALL SELECT r.id, -1, '(' || r.unless_sql || ')'
		FROM touchlog.rule r WHERE r.id = ANY(rules) AND r.unless_sql IS NOT NULL) x;
	SELECT string_agg(format(' WHEN %s THEN %s', r.id, touchlog.rule_due(r)), '') INTO due
	FROM touchlog.rule r WHERE r.id = ANY(rules) AND r.waits;
	flat := touchlog.rule_flat(coalesce(tests, '') || coalesce(due, ''));
	tests := coalesce(tests, 'false');
	marks := coalesce(marks, 'NULL');
	due := coalesce(due, ' WHEN 0 THEN NULL');
	flat_rows := format($q$(SELECT i.*%s FROM (SELECT * FROM touchlog.interaction x
		WHERE x.id = ANY($1) AND x.received_at BETWEEN $2 AND $3 OFFSET 0) i%s) g$q$,
	    flat.columns, flat.joins);
END $$;

-- The hits of some rules; condition: which rows to look at closely.
CREATE FUNCTION touchlog.rule_projection(rules int[], condition text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
	t record := touchlog.rule_tests(rules);
BEGIN
	RETURN format($q$
	SELECT r.id, r.name, d.mark < 0, d.id, d.received_at, d.occurred_at, d.customer_id, s.root_id,
	    CASE r.per WHEN 'customer' THEN s.root_id::text
		WHEN 'thread' THEN s.root_id::text || ' ' || d.thread
		ELSE CASE WHEN d.mark > 0 THEN d.id::text END END,
	    d.mark_due, d.received_at - d.occurred_at > r.max_age
	FROM (SELECT *, CASE mark%s ELSE NULL::timestamptz END AS mark_due
	    FROM (SELECT *, array_remove(ARRAY[%s]::int[], NULL) AS marks FROM %s
		WHERE %s OFFSET 0) f
	    CROSS JOIN LATERAL unnest(f.marks) AS h(mark)) d
	JOIN touchlog.rule r ON r.id = abs(d.mark)
	LEFT JOIN touchlog.customer s ON s.id = d.customer_id AND d.customer_id > 0$q$,
	    t.due, t.marks, t.flat_rows, coalesce(condition, t.tests));
END $$;

-- The rows of the log that one rule looks at, with $1 and $2 as bounds on received_at.
CREATE FUNCTION touchlog.rule_scan(r touchlog.rule) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	w text := '(' || touchlog.rule_when(r) || ')';
	u text := coalesce('(' || r.unless_sql || ')', 'false');
	due text := touchlog.rule_due(r);
	flat record := touchlog.rule_flat(w || u || due);
BEGIN
	RETURN format($q$
	SELECT s.root_id, d.thread, d.id, d.received_at, d.occurred_at, d.customer_id, d.is_w, d.is_u,
	    d.w_due
	FROM (SELECT *, %1$s IS TRUE AS is_w, %2$s IS TRUE AS is_u, CASE WHEN %1$s THEN %3$s END AS w_due
	    FROM (SELECT i.*%4$s FROM touchlog.interaction i%5$s
		WHERE i.received_at >= $1 AND i.received_at <= $2) f
	    WHERE %1$s OR %2$s) d
	LEFT JOIN touchlog.customer s ON s.id = d.customer_id AND d.customer_id > 0$q$,
	    w, u, due, flat.columns, flat.joins);
END $$;

-- The same by subject, in arrays: n, customer, thread, occurred no earlier than low.
-- floor_at: received no earlier, so that partitions are pruned.
CREATE FUNCTION touchlog.rule_probe(r touchlog.rule) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	w text := '(' || touchlog.rule_when(r) || ')';
	u text := coalesce('(' || r.unless_sql || ')', 'false');
	due text := touchlog.rule_due(r);
	flat record := touchlog.rule_flat(w || u || due);
BEGIN
	RETURN format($q$
	SELECT f.key_n, f.id, f.received_at, f.occurred_at, f.customer_id, %1$s IS TRUE, %2$s IS TRUE,
	    CASE WHEN %1$s THEN %3$s END
	FROM (SELECT k.n AS key_n, i.*%4$s
	    FROM unnest(ns, customers, threads, lows) AS k(n, customer, thread, low)
	    JOIN touchlog.interaction i ON i.customer_id = k.customer AND i.occurred_at >= k.low
		AND i.received_at >= floor_at%6$s%5$s) f
	WHERE %1$s OR %2$s$q$, w, u, due, flat.columns, flat.joins,
	    CASE r.per WHEN 'thread' THEN ' AND i.thread = k.thread'
		-- nobody's: itself only
		WHEN 'interaction' THEN ' AND (k.customer > 0 OR i.occurred_at = k.low)' ELSE '' END);
END $$;

-- Writes for the active set match_any(), which finds the fresh rows that match at all, and
-- match_rows(), which says of those what they match: most batches need the first only, and making
-- the expressions ready costs a small batch more than its rows.  rule_rows_N() for each rule that
-- reads the log, and rule_rows(), which calls them in static SQL, whose plans are kept: EXECUTE
-- would plan each time.  Other sessions take the new ones with their next statement.
CREATE FUNCTION touchlog.rules_compile() RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
	args text := 'ns int[], customers bigint[], threads text[], lows timestamptz[],'
	    ' floor_at timestamptz) RETURNS TABLE (n int, row_id uuid, row_received_at timestamptz,'
	    ' row_occurred_at timestamptz, row_customer_id bigint, w boolean, u boolean,'
	    ' row_due timestamptz) LANGUAGE plpgsql STABLE AS ';
	together int[];
	texts record;
	r touchlog.rule;
	calls text := '';
	names text[] := '{}';
	old text;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('touchlog.rules', 0));
	UPDATE touchlog.rule_trouble t SET alone = true WHERE t.batches >= 3;
	SELECT array_agg(x.id ORDER BY x.id) INTO together
	FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set
	LEFT JOIN touchlog.rule_trouble t ON t.rule = x.id
	WHERE s.active AND x.mode <> 'off' AND t.alone IS NOT TRUE;
	texts := touchlog.rule_tests(together);
	-- quote_literal(), for a predicate may hold any dollar quote.
	EXECUTE 'CREATE OR REPLACE FUNCTION touchlog.match_any(uuid[], timestamptz, timestamptz)'
	    ' RETURNS uuid[] LANGUAGE plpgsql STABLE AS ' || quote_literal(format(
	    'BEGIN RETURN (SELECT array_agg(id) FROM %s WHERE %s); END', texts.flat_rows, texts.tests));
	EXECUTE 'CREATE OR REPLACE FUNCTION touchlog.match_rows(uuid[], timestamptz, timestamptz)'
	    ' RETURNS SETOF touchlog.hit LANGUAGE plpgsql STABLE AS ' || quote_literal(
	    'BEGIN RETURN QUERY ' || touchlog.rule_projection(together, 'true') || '; END');
	FOR r IN
		SELECT x.* FROM touchlog.rule x JOIN touchlog.rule_set s ON s.version = x.rule_set
		WHERE s.active AND x.mode <> 'off' AND (x.waits OR x.count IS NOT NULL)
	LOOP
		names := names || ('rule_rows_' || r.id);
		calls := calls || format(E'\n\tWHEN %s THEN RETURN QUERY SELECT * FROM'
		    ' touchlog.rule_rows_%s(ns, customers, threads, lows, floor_at);', r.id, r.id);
		EXECUTE format('CREATE OR REPLACE FUNCTION touchlog.rule_rows_%s(', r.id) || args
		    || quote_literal(E'#variable_conflict use_column\nBEGIN RETURN QUERY '
		    || touchlog.rule_probe(r) || '; END');
	END LOOP;
	EXECUTE 'CREATE OR REPLACE FUNCTION touchlog.rule_rows(rule int, ' || args
	    || quote_literal('BEGIN CASE rule WHEN 0 THEN RETURN;' || calls || E'\n\tEND CASE; END');
	FOR old IN
		SELECT p.oid::regprocedure::text FROM pg_proc p
		WHERE p.pronamespace = 'touchlog'::regnamespace AND p.proname ~ '^rule_rows_[0-9]+$'
		    AND p.proname <> ALL (names)
	LOOP
		EXECUTE 'DROP FUNCTION ' || old;
	END LOOP;
END $body$;

SELECT touchlog.rules_compile();

GRANT EXECUTE ON FUNCTION touchlog.rule_check TO touchlog_daemon;
