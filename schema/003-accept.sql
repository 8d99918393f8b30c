-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- Dedupe and resolve: which events of a batch are fresh, and whose they are.
--
-- A batch comes as parallel arrays.  Per event: keys, ids, untils.  Per party:
-- events (the index of its event) and trusted (its source is strong).  Per
-- mention of an identity: parties (the index of its party), kinds, vals, alts
-- (another spelling of a telephone number, else null), raws (as received, null
-- when equal), strongs (its kind is strong, whatever the source).  Mentions
-- stand in party order, within a party in look-up order.
--
-- Locks are taken in this order, each sorted, by every writer: seen by key,
-- identity by value and kind (first inserts, then updates), customer by id.
-- Hence two writers do not deadlock.
--
-- Words: an identity is hard when it is strong by now; a mention is sure when a
-- strong source makes it of a strong kind, which makes the identity hard; a
-- customer is firm when the root of its component has a hard identity, else
-- provisional.  The root is the lowest strong id where there is one, so looking
-- at the root is enough.
--
-- All in plpgsql, which keeps its plans; SQL functions are planned at each call.
-- What every batch runs calls its functions by assignment: a SELECT from one would
-- start the executor, which costs a small batch more than its rows.
-- Only accept() is for others.  It runs as touchlog_admin, so that the daemon
-- needs no right to write identities and customers, and hands its search_path
-- down to the functions it calls.

SET LOCAL ROLE touchlog_admin;

-- For each event null when it is fresh, else the id under which it stands in
-- the log: its own (our earlier commit whose answer was lost) or an older one.
CREATE FUNCTION touchlog.dedupe(keys uuid[], ids uuid[], untils date[]) RETURNS uuid[]
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	fresh uuid[];
	stands uuid[];
BEGIN
	WITH put AS (
		INSERT INTO touchlog.seen AS s (key, id, until)
		SELECT e.key, e.id, e.until
		FROM unnest(keys, ids, untils) WITH ORDINALITY e(key, id, until, ord)
		ORDER BY e.key, e.ord		-- or two batches deadlock
		ON CONFLICT DO NOTHING RETURNING s.id)
	SELECT array_agg(put.id) INTO fresh FROM put;
	IF cardinality(fresh) = cardinality(ids) THEN
		RETURN array_fill(NULL::uuid, ARRAY[cardinality(ids)]);
	END IF;
	-- A statement of its own: the one above does not see the row of the
	-- transaction it has just waited for.
	SELECT array_agg(CASE WHEN s.id <> e.id THEN s.id WHEN e.id = ANY(fresh) THEN NULL
	    ELSE s.id END ORDER BY e.ord)
	INTO stands
	FROM unnest(keys, ids) WITH ORDINALITY e(key, id, ord)
	LEFT JOIN LATERAL (SELECT x.id FROM touchlog.seen x WHERE x.key = e.key OFFSET 0) s ON true;
	IF cardinality(array_positions(stands, NULL)) <> coalesce(cardinality(fresh), 0) THEN
		RAISE EXCEPTION 'a dedupe key was pruned meanwhile' USING ERRCODE = '40001';
	END IF;
	RETURN stands;
END $$;

-- A number that the log knows only by its other spelling goes by that one; of
-- two spellings new to the log, the first in the batch counts for both.
CREATE FUNCTION touchlog.spell(kinds text[], vals text[], alts text[]) RETURNS text[]
LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT array_agg(CASE WHEN m.alt IS NULL OR m.val IS NULL THEN m.val
		ELSE coalesce(i.value, m.first) END ORDER BY m.n)
	    FROM (SELECT *, first_value(u.val) OVER (PARTITION BY u.kind, least(u.val, u.alt),
		greatest(u.val, u.alt) ORDER BY u.n) AS first
		FROM unnest(kinds, vals, alts) WITH ORDINALITY u(kind, val, alt, n)) m
	    LEFT JOIN LATERAL (SELECT x.value FROM touchlog.identity x
		WHERE m.alt IS NOT NULL AND x.value IN (m.val, m.alt) AND x.kind = m.kind
		ORDER BY x.value <> m.val LIMIT 1) i ON true);
END $$;

-- What the log knows: the own customer of each mention, whether its identity is
-- strong, and whether something is to be written.  LATERAL and OFFSET keep it one
-- index probe a mention; as a plain join it may read the whole table.
CREATE FUNCTION touchlog.look_up(kinds text[], vals text[], sure boolean[],
    OUT own bigint[], OUT hard boolean[], OUT news boolean)
LANGUAGE plpgsql AS $$
BEGIN
	SELECT array_agg(i.customer_id ORDER BY m.n),
	    array_agg(coalesce(i.strong, false) ORDER BY m.n),
	    bool_or(m.val IS NOT NULL AND (i.customer_id IS NULL OR m.sure AND NOT i.strong))
	INTO own, hard, news
	FROM unnest(kinds, vals, sure) WITH ORDINALITY m(kind, val, sure, n)
	LEFT JOIN LATERAL (SELECT x.customer_id, x.strong FROM touchlog.identity x
	    WHERE x.value = m.val AND x.kind = m.kind OFFSET 0) i ON true;
END $$;

-- The first of these customers that is provisional, and is not made firm by
-- this batch.  Who is not in the table yet was thought up by this batch.
CREATE FUNCTION touchlog.first_provisional(customers bigint[], firm bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT u.id FROM unnest(customers) WITH ORDINALITY u(id, n)
	    WHERE u.id <> ALL (firm) AND NOT EXISTS (
		SELECT FROM touchlog.customer c
		JOIN touchlog.identity i ON i.customer_id IN (c.root_id, c.id)
		WHERE c.id = u.id AND i.strong)
	    ORDER BY u.n LIMIT 1);
END $$;

-- Decides, as if the parties came one by one, to whom the unknown identities
-- go.  Nothing is written: all are inserted by one sorted statement afterwards.
-- made: the customers thought up.  An identity of a strong kind goes only to
-- its party's anchor.  From a strong source that is who was found by a hard
-- identity, else two people with one telephone become one.  From a weak source
-- it is a provisional one, else a form could give an attacker's address to its
-- victim.  Where there is none, a new customer is the anchor.
CREATE FUNCTION touchlog.place(trusted boolean[], parties int[], same int[], vals text[],
    strongs boolean[], INOUT own bigint[], INOUT hard boolean[], OUT made bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	weak_too boolean := false = ANY(trusted);
	firm bigint[] := '{}';	-- by this batch; kept only when a weak party may ask
	first_n int := 1;
	last_n int;
	strong_source boolean;
	found bigint[];		-- in look-up order
	anchor bigint;
	f int;
BEGIN
	made := '{}';
	WHILE first_n <= cardinality(parties) LOOP
		found := '{}';
		anchor := NULL;
		strong_source := trusted[parties[first_n]];
		last_n := first_n;
		WHILE parties[last_n + 1] = parties[first_n] LOOP
			last_n := last_n + 1;
		END LOOP;
		FOR n IN first_n .. last_n LOOP
			f := same[n];
			hard[f] := hard[f] OR strongs[n] AND strong_source;
			CONTINUE WHEN own[f] IS NULL;
			found := found || own[f];
			IF hard[f] AND strong_source THEN
				anchor := coalesce(anchor, own[f]);
			END IF;
		END LOOP;
		FOR n IN first_n .. last_n LOOP
			f := same[n];
			CONTINUE WHEN NOT strongs[n] OR vals[n] IS NULL;
			IF own[f] IS NULL THEN
				IF anchor IS NULL AND NOT strong_source AND found <> '{}' THEN
					anchor := touchlog.first_provisional(found, firm);
				END IF;
				IF anchor IS NULL THEN
					anchor := nextval('touchlog.customer_id');
					made := made || anchor;
				END IF;
				own[f] := anchor;
			END IF;
			IF weak_too AND strong_source THEN
				firm := firm || own[f];
			END IF;
		END LOOP;
		FOR n IN first_n .. last_n LOOP
			f := same[n];
			CONTINUE WHEN own[f] IS NOT NULL OR vals[n] IS NULL;
			own[f] := coalesce(found[1], anchor);
			IF own[f] IS NULL THEN
				anchor := nextval('touchlog.customer_id');
				made := made || anchor;
				own[f] := anchor;
			END IF;
		END LOOP;
		first_n := last_n + 1;
	END LOOP;
	FOR n IN 1 .. cardinality(own) LOOP
		own[n] := own[same[n]];
		hard[n] := hard[same[n]];
	END LOOP;
END $$;

-- Inserts the new identities, then customers only for those of made who won at
-- least one: a loser's customer never comes into being.
CREATE FUNCTION touchlog.insert_identities(kinds text[], vals text[], raws text[], hard boolean[],
    own bigint[], made bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	won bigint[];
BEGIN
	WITH put AS (
		INSERT INTO touchlog.identity AS i (value, kind, customer_id, strong, received_as)
		SELECT m.val, m.kind, m.own, m.hard, m.raw
		FROM unnest(vals, kinds, own, hard, raws) m(val, kind, own, hard, raw)
		ORDER BY m.val COLLATE "C", m.kind COLLATE "C"
		ON CONFLICT DO NOTHING RETURNING i.customer_id)
	SELECT array_agg(put.customer_id) INTO won FROM put;
	INSERT INTO touchlog.customer (id, root_id)
	SELECT w, w FROM (SELECT unnest(won) INTERSECT SELECT unnest(made)) x(w);
	RETURN coalesce(cardinality(won), 0);
END $$;

-- Makes identities strong that a strong source has now presented.  Returns the
-- customers who thereby may have become firm.
CREATE FUNCTION touchlog.harden(kinds text[], vals text[], hard boolean[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
	raised bigint[];
BEGIN
	WITH due AS (
		SELECT i.value, i.kind
		FROM unnest(kinds, vals, hard) m(kind, val, hard)
		JOIN touchlog.identity i ON i.value = m.val AND i.kind = m.kind
		WHERE m.hard AND NOT i.strong
		ORDER BY i.value, i.kind FOR UPDATE OF i),
	put AS (
		UPDATE touchlog.identity i SET strong = true
		FROM due WHERE i.value = due.value AND i.kind = due.kind
		RETURNING i.customer_id)
	SELECT array_agg(DISTINCT put.customer_id) INTO raised FROM put;
	RETURN raised;
END $$;

-- Another writer was first with some of our new identities: its word stands.
CREATE FUNCTION touchlog.look_again(kinds text[], vals text[], INOUT own bigint[],
    INOUT hard boolean[])
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	theirs record;
BEGIN
	SELECT l.own, l.hard INTO theirs FROM touchlog.look_up(kinds, vals, hard) l;
	FOR n IN 1 .. cardinality(own) LOOP
		IF theirs.own[n] IS NULL AND vals[n] IS NOT NULL THEN
			RAISE EXCEPTION 'an identity was forgotten meanwhile'
			    USING ERRCODE = '40001';
		END IF;
		own[n] := theirs.own[n];
		hard[n] := hard[n] OR theirs.hard[n];
	END LOOP;
END $$;

-- The slow road: some mention is unknown, or becomes strong.
CREATE FUNCTION touchlog.learn(trusted boolean[], parties int[], kinds text[], vals text[],
    raws text[], strongs boolean[], INOUT own bigint[], INOUT hard boolean[], OUT raised bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	was_own bigint[] := own;
	was_hard boolean[] := hard;
	same int[];			-- the first mention of the same identity
	made bigint[];
	fresh int[] := '{}';		-- mentions to insert
	rising boolean := false;	-- some known identity becomes strong
	r record;
BEGIN
	SELECT array_agg(m.f ORDER BY m.n) INTO same FROM (
		SELECT n, (min(n) OVER (PARTITION BY val, kind))::int AS f
		FROM unnest(kinds, vals) WITH ORDINALITY u(kind, val, n)) m;
	SELECT p.own, p.hard, p.made INTO own, hard, made
	FROM touchlog.place(trusted, parties, same, vals, strongs, own, hard) p;
	FOR n IN 1 .. cardinality(own) LOOP
		IF was_own[n] IS NOT NULL THEN
			rising := rising OR hard[n] AND NOT was_hard[n];
		ELSIF same[n] = n AND vals[n] IS NOT NULL THEN
			fresh := fresh || n;
		END IF;
	END LOOP;
	IF cardinality(fresh) > 0 THEN
		SELECT array_agg(kinds[n]) AS kinds, array_agg(vals[n]) AS vals,
		    array_agg(raws[n]) AS raws, array_agg(hard[n]) AS hard, array_agg(own[n]) AS own
		INTO r FROM unnest(fresh) n;
		IF touchlog.insert_identities(r.kinds, r.vals, r.raws, r.hard, r.own, made)
		    < cardinality(fresh) THEN
			SELECT l.own, l.hard INTO own, hard
			FROM touchlog.look_again(kinds, vals, own, hard) l;
			rising := true;		-- theirs may have come from a weak source
		END IF;
	END IF;
	IF rising THEN
		raised := touchlog.harden(kinds, vals, hard);
	END IF;
END $$;

-- Joins to be made: in each party the anchor (the first found by a hard
-- identity, else the first firm one) with the others found by a hard identity
-- and with the provisional ones.  A weak source (not trusted) joins no firm
-- ones, and absorbs only into one found by an identity that is hard already;
-- and nobody whom it named by a strong kind, or its second post would do what
-- place() refused to its first.
CREATE FUNCTION touchlog.joins(trusted boolean[], parties int[], strongs boolean[], own bigint[],
    hard boolean[]) RETURNS TABLE (party int, a bigint, b bigint, absorb boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH mixed AS (			-- windows, not a self-join: that is quadratic
		SELECT * FROM (
			SELECT p, c, h, s, n, min(c) OVER w <> max(c) OVER w AS several
			FROM unnest(parties, own, hard, strongs) WITH ORDINALITY u(p, c, h, s, n)
			WINDOW w AS (PARTITION BY p)) x
		WHERE several),
	known AS (
		SELECT m.*, bool_or(m.s) OVER (PARTITION BY m.p, m.c) AS named, k.root_id AS root,
		    EXISTS (SELECT FROM touchlog.identity i
		    WHERE i.customer_id IN (k.root_id, k.id) AND i.strong) AS firm
		FROM mixed m JOIN touchlog.customer k ON k.id = m.c),
	ranked AS (
		SELECT *, first_value(c) OVER w AS a, first_value(root) OVER w AS a_root,
		    first_value(h) OVER w AS a_hard, first_value(firm) OVER w AS a_firm
		FROM known WINDOW w AS (PARTITION BY p ORDER BY NOT h, NOT firm, n))
	SELECT p, r.a, c, NOT firm FROM ranked r
	WHERE root <> a_root
	  AND CASE WHEN firm THEN h AND a_hard AND trusted[p]
	      WHEN trusted[p] THEN a_hard OR a_firm
	      ELSE a_hard AND NOT named END
	  -- Not as NOT EXISTS, which becomes a join that may read the whole table.
	  AND coalesce((SELECT x.state FROM touchlog.merge x WHERE x.a_id = least(r.a, c)
	      AND x.b_id = greatest(r.a, c)), 'joined') = 'joined'
	ORDER BY p, n;
END $$;

CREATE FUNCTION touchlog.members(roots bigint[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT array_agg(c.id ORDER BY c.id) FROM touchlog.customer c
	    WHERE c.root_id = ANY(roots));
END $$;

-- Locks the components of these customers whole.  Membership may change while
-- it waits; then it looks again, out of order, and a deadlock (40P01) is retried.
CREATE FUNCTION touchlog.lock_components(ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
	want bigint[];
	held bigint[];
BEGIN
	LOOP
		SELECT touchlog.members(array_agg(c.root_id)) INTO want
		FROM touchlog.customer c WHERE c.id = ANY(ids);
		EXIT WHEN want IS NOT DISTINCT FROM held;
		PERFORM FROM touchlog.customer c WHERE c.id = ANY(want) ORDER BY c.id FOR UPDATE;
		held := want;
	END LOOP;
	RETURN held;
END $$;

-- Gives the members of one component their root, as the strong identities are now.
CREATE FUNCTION touchlog.set_root(member bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	UPDATE touchlog.customer c SET root_id = r.id
	FROM (SELECT m.id FROM unnest(member) m(id)
	    ORDER BY NOT EXISTS (SELECT FROM touchlog.identity i
		WHERE i.customer_id = m.id AND i.strong), m.id LIMIT 1) r
	WHERE c.id = ANY(member) AND c.root_id <> r.id;
END $$;

-- A refusal does not replace what is known; false then.
CREATE FUNCTION touchlog.put_edge(a bigint, b bigint, state touchlog.merge_state, evidence jsonb)
RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
	INSERT INTO touchlog.merge AS m (a_id, b_id, state, evidence)
	VALUES (least(a, b), greatest(a, b), state, evidence)
	ON CONFLICT ON CONSTRAINT merge_a_id_b_id_key DO UPDATE
	SET state = EXCLUDED.state, evidence = EXCLUDED.evidence, at = now(), undone_at = NULL
	WHERE EXCLUDED.state = 'joined';
	RETURN FOUND;
END $$;

-- Joins two own customers whose components are locked.  Everything is looked at
-- again: an earlier join of this batch or another writer may have changed it.
-- True when the join was refused and that was recorded.
CREATE FUNCTION touchlog.join_pair(a bigint, b bigint, absorb boolean, evidence jsonb,
    merge_limit int) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	a_root bigint := (SELECT c.root_id FROM touchlog.customer c WHERE c.id = a);
	b_root bigint := (SELECT c.root_id FROM touchlog.customer c WHERE c.id = b);
	ours bigint[];
	theirs bigint[];
BEGIN
	IF a_root = b_root OR absorb AND EXISTS (SELECT FROM touchlog.identity i
	    WHERE i.customer_id = b_root AND i.strong) THEN
		RETURN false;		-- joined, or absorbed by someone else
	END IF;
	ours := touchlog.members(ARRAY[a_root]);
	theirs := touchlog.members(ARRAY[b_root]);
	-- Nor may a detour bring an undone pair together again.
	IF cardinality(ours) + cardinality(theirs) > merge_limit
	    OR EXISTS (SELECT FROM touchlog.merge m WHERE m.state = 'undone'
	    AND (m.a_id = ANY(ours) AND m.b_id = ANY(theirs)
	      OR m.a_id = ANY(theirs) AND m.b_id = ANY(ours))) THEN
		RETURN touchlog.put_edge(a, b, 'refused', evidence);
	END IF;
	PERFORM touchlog.put_edge(a, b, 'joined', evidence);
	PERFORM touchlog.set_root(ours || theirs);
	RETURN false;
END $$;

-- Returns how many joins were refused.
CREATE FUNCTION touchlog.join_parties(trusted boolean[], parties int[], strongs boolean[],
    own bigint[], hard boolean[], raised bigint[], ids uuid[], events int[], merge_limit int)
RETURNS int
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	todo record;
	root bigint;
	refused int := 0;
BEGIN
	SELECT array_agg(j.a) AS a, array_agg(j.b) AS b, array_agg(j.absorb) AS absorb,
	    array_agg(j.party) AS party
	INTO todo FROM touchlog.joins(trusted, parties, strongs, own, hard) j;
	IF todo.a IS NULL AND raised IS NULL THEN
		RETURN 0;
	END IF;
	PERFORM touchlog.lock_components(todo.a || todo.b || raised);
	-- A member became strong: the component may have a new root.
	FOR root IN SELECT DISTINCT c.root_id FROM touchlog.customer c WHERE c.id = ANY(raised) LOOP
		PERFORM touchlog.set_root(touchlog.members(ARRAY[root]));
	END LOOP;
	FOR n IN 1 .. coalesce(cardinality(todo.a), 0) LOOP
		refused := refused + touchlog.join_pair(todo.a[n], todo.b[n], todo.absorb[n],
		    jsonb_build_object('interaction', ids[events[todo.party[n]]]), merge_limit)::int;
	END LOOP;
	RETURN refused;
END $$;

-- Whether some party has two mentions.  Others may have none, so counting is
-- not enough.
CREATE FUNCTION touchlog.is_mixed(n_parties int, parties int[]) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
	IF cardinality(parties) > n_parties THEN
		RETURN true;
	END IF;
	FOR n IN 2 .. cardinality(parties) LOOP
		IF parties[n] = parties[n - 1] THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;

-- The own customer of every mention; a null val (a duplicate's) takes no part.
-- An event's customer_id is that of its party's first mention.
CREATE FUNCTION touchlog.resolve(trusted boolean[], ids uuid[], events int[], parties int[],
    kinds text[], vals text[], raws text[], strongs boolean[], merge_limit int, OUT own bigint[],
    OUT refused int)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	sure boolean[] := strongs;
	hard boolean[];
	raised bigint[];
	found record;
BEGIN
	refused := 0;
	IF false = ANY(trusted) THEN
		SELECT array_agg(u.s AND trusted[u.p] ORDER BY u.n) INTO sure
		FROM unnest(strongs, parties) WITH ORDINALITY u(s, p, n);
	END IF;
	found := touchlog.look_up(kinds, vals, sure);
	own := found.own;
	hard := found.hard;
	IF found.news THEN
		SELECT l.own, l.hard, l.raised INTO own, hard, raised
		FROM touchlog.learn(trusted, parties, kinds, vals, raws, strongs, own, hard) l;
	END IF;
	IF raised IS NOT NULL OR touchlog.is_mixed(cardinality(trusted), parties) THEN
		refused := touchlog.join_parties(trusted, parties, strongs, own, hard, raised,
		    ids, events, merge_limit);
	END IF;
END $$;

-- The one call of the append transaction between BEGIN and COPY.  Freshness is
-- handed on in here, without a round trip: a duplicate's mentions are blanked,
-- so that it creates, joins and brings back nobody.
--
-- stands: per event, null when it is fresh, else the id under which it stands;
-- own: per mention, its own customer (null for a duplicate's); txid: for the
-- rows, null when nothing is fresh; refused: how many joins were recorded as
-- refused.  40P01 and 40001 mean: roll back and do the same batch again.
CREATE FUNCTION touchlog.accept(keys uuid[], ids uuid[], untils date[], events int[],
    trusted boolean[], parties int[], kinds text[], vals text[], alts text[], raws text[],
    strongs boolean[], merge_limit int,
    OUT stands uuid[], OUT own bigint[], OUT txid bigint, OUT refused int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	stale int;
	resolved record;
BEGIN
	stands := touchlog.dedupe(keys, ids, untils);
	stale := cardinality(stands) - cardinality(array_positions(stands, NULL));
	own := '{}';
	refused := 0;
	IF stale = cardinality(stands) THEN
		RETURN;			-- and no transaction id is used up
	END IF;
	txid := pg_current_xact_id()::text::bigint + (SELECT c.txid_offset FROM touchlog.cluster c);
	IF cardinality(vals) = 0 THEN
		RETURN;
	END IF;
	IF stale > 0 THEN
		FOR n IN 1 .. cardinality(vals) LOOP
			IF stands[events[parties[n]]] IS NOT NULL THEN
				vals[n] := NULL;
				strongs[n] := false;
			END IF;
		END LOOP;
	END IF;
	IF cardinality(array_remove(alts, NULL)) > 0 THEN
		vals := touchlog.spell(kinds, vals, alts);
	END IF;
	resolved := touchlog.resolve(trusted, ids, events, parties, kinds, vals, raws, strongs,
	    merge_limit);
	own := resolved.own;
	refused := resolved.refused;
END $$;
GRANT EXECUTE ON FUNCTION touchlog.accept TO touchlog_daemon;
