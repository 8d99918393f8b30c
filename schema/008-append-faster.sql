-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- The same append transaction with fewer statements.  Starting and ending one costs a
-- small batch as much as several of its rows.
--
-- New bodies for accept(), look_up(), resolve() and append(): these count, not those of
-- 003-accept.sql and 006-append.sql, whose heads still say how a batch is laid out and
-- in which order locks are taken.

SET LOCAL ROLE touchlog_admin;

-- For each event of a batch that is not all fresh: null when it is, else the id under
-- which it stands in the log.  fresh: the ids that dedupe has just put into seen.
--
-- A statement of its own: the one that put them does not see the row of a transaction
-- it has just waited for.
CREATE FUNCTION touchlog.stands(keys uuid[], ids uuid[], fresh uuid[]) RETURNS uuid[]
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	found uuid[];
BEGIN
	SELECT array_agg(CASE WHEN s.id <> e.id THEN s.id WHEN e.id = ANY(fresh) THEN NULL
	    ELSE s.id END ORDER BY e.ord)
	INTO found
	FROM unnest(keys, ids) WITH ORDINALITY e(key, id, ord)
	LEFT JOIN LATERAL (SELECT x.id FROM touchlog.seen x WHERE x.key = e.key OFFSET 0) s ON true;
	IF cardinality(array_positions(found, NULL)) <> coalesce(cardinality(fresh), 0) THEN
		RAISE EXCEPTION 'a dedupe key was pruned meanwhile' USING ERRCODE = '40001';
	END IF;
	RETURN found;
END $$;

-- The subquery comes in order as it is, so nothing is sorted.
CREATE OR REPLACE FUNCTION touchlog.look_up(kinds text[], vals text[], sure boolean[],
    OUT own bigint[], OUT hard boolean[], OUT news boolean)
LANGUAGE plpgsql AS $$
BEGIN
	SELECT array_agg(f.customer_id), array_agg(f.strong), bool_or(f.news)
	INTO own, hard, news
	FROM (SELECT i.customer_id, coalesce(i.strong, false) AS strong,
		m.val IS NOT NULL AND (i.customer_id IS NULL OR m.sure AND NOT i.strong) AS news
	    FROM unnest(kinds, vals, sure) WITH ORDINALITY m(kind, val, sure, n)
	    LEFT JOIN LATERAL (SELECT x.customer_id, x.strong FROM touchlog.identity x
		WHERE x.value = m.val AND x.kind = m.kind OFFSET 0) i ON true
	    ORDER BY m.n) f;
END $$;

-- Whether some party shows two customers: mentions stand in party order, so two of its
-- neighbours differ then.  Most parties that mention two identities show one.
CREATE FUNCTION touchlog.is_mixed(parties int[], own bigint[]) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 2 .. cardinality(parties) LOOP
		IF parties[n] = parties[n - 1] AND own[n] <> own[n - 1] THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;
DROP FUNCTION touchlog.is_mixed(int, int[]);

CREATE OR REPLACE FUNCTION touchlog.resolve(trusted boolean[], ids uuid[], events int[],
    parties int[], kinds text[], vals text[], raws text[], strongs boolean[], merge_limit int,
    OUT own bigint[], OUT refused int)
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
	IF raised IS NOT NULL OR touchlog.is_mixed(parties, own) THEN
		refused := touchlog.join_parties(trusted, parties, strongs, own, hard, raised,
		    ids, events, merge_limit);
	END IF;
END $$;

-- As in 003-accept.sql.  cluster is read beside, for its statement's sake.
CREATE OR REPLACE FUNCTION touchlog.accept(keys uuid[], ids uuid[], untils date[], events int[],
    trusted boolean[], parties int[], kinds text[], vals text[], alts text[], raws text[],
    strongs boolean[], merge_limit int,
    OUT stands uuid[], OUT own bigint[], OUT txid bigint, OUT refused int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	fresh uuid[];
	txid_offset bigint;
	resolved record;
BEGIN
	own := '{}';
	refused := 0;
	WITH put AS (
		INSERT INTO touchlog.seen AS s (key, id, until)
		SELECT e.key, e.id, e.until
		FROM unnest(keys, ids, untils) WITH ORDINALITY e(key, id, until, ord)
		ORDER BY e.key, e.ord		-- or two batches deadlock
		ON CONFLICT DO NOTHING RETURNING s.id)
	SELECT array_agg(put.id), (SELECT c.txid_offset FROM touchlog.cluster c)
	INTO fresh, txid_offset FROM put;
	IF cardinality(fresh) = cardinality(ids) THEN
		stands := array_fill(NULL::uuid, ARRAY[cardinality(ids)]);
	ELSE
		stands := touchlog.stands(keys, ids, fresh);
		IF fresh IS NULL THEN
			RETURN;		-- and no transaction id is used up
		END IF;
		FOR n IN 1 .. cardinality(vals) LOOP
			IF stands[events[parties[n]]] IS NOT NULL THEN
				vals[n] := NULL;
				strongs[n] := false;
			END IF;
		END LOOP;
	END IF;
	txid := pg_current_xact_id()::text::bigint + txid_offset;
	IF cardinality(vals) = 0 THEN
		RETURN;
	END IF;
	IF cardinality(array_remove(alts, NULL)) > 0 THEN
		vals := touchlog.spell(kinds, vals, alts);
	END IF;
	resolved := touchlog.resolve(trusted, ids, events, parties, kinds, vals, raws, strongs,
	    merge_limit);
	own := resolved.own;
	refused := resolved.refused;
END $$;
DROP FUNCTION touchlog.dedupe(uuid[], uuid[], date[]);

-- As in 006-append.sql, but for what it does where nothing is fresh.  The originals go in
-- by the same statement.
CREATE OR REPLACE FUNCTION touchlog.append(keys uuid[], ids uuid[], untils date[], events int[],
    trusted boolean[], parties int[], kinds text[], vals text[], alts text[], raws text[],
    strongs boolean[], merge_limit int, ats timestamptz[], rows touchlog.interaction_row[],
    owners int[], documents jsonb[], people_events int[], people_mentions int[],
    people_roles text[], profile_events int[], profile_mentions int[],
    profile_fields jsonb[], profile_trusted boolean[], OUT stands uuid[], OUT refused int)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	accepted record;
	own bigint[];		-- by mention
	txid bigint;
	fresh uuid[];
	low timestamptz;
	high timestamptz;
	told pg_lsn;
BEGIN
	accepted := touchlog.accept(keys, ids, untils, events, trusted, parties, kinds, vals, alts,
	    raws, strongs, merge_limit);
	stands := accepted.stands;
	own := accepted.own;
	txid := accepted.txid;
	refused := accepted.refused;
	IF txid IS NULL THEN
		-- Nothing is fresh.  What stands in the log may not be on the standbys yet (a
		-- COMMIT whose wait for them was cancelled), and a COMMIT that has written nothing
		-- does not wait for them: an event that is acknowledged would be lost with us.
		told := pg_logical_emit_message(true, 'touchlog', '');
		RETURN;
	END IF;
	WITH originals AS (
		INSERT INTO touchlog.document (id, received_at, customer_id, payload)
		SELECT ids[d.n], ats[d.n], coalesce(own[owners[d.n]], 0), d.payload
		FROM unnest(documents) WITH ORDINALITY d(payload, n)
		WHERE d.payload IS NOT NULL AND stands[d.n] IS NULL),
	put AS (
		INSERT INTO touchlog.interaction AS i (id, received_at, occurred_at, customer_id,
		    source, brand, channel, direction, kind, external_id, thread, agent, subject,
		    body, outcome, duration, wait, amount, currency, score, campaign, attributes, txid)
		SELECT r.id, r.received_at, r.occurred_at, coalesce(own[owners[r.n]], 0),
		    r.source, r.brand, r.channel::touchlog.channel,
		    r.direction::touchlog.direction, r.kind, r.external_id, r.thread, r.agent,
		    r.subject, r.body, r.outcome, r.duration, r.wait, r.amount, r.currency,
		    r.score, r.campaign, r.attributes, txid
		FROM unnest(rows) WITH ORDINALITY r(id, received_at, occurred_at, source, brand,
		    channel, direction, kind, external_id, thread, agent, subject, body, outcome,
		    duration, wait, amount, currency, score, campaign, attributes, n)
		WHERE stands[r.n] IS NULL
		RETURNING i.id, i.received_at)
	SELECT array_agg(put.id), min(put.received_at), max(put.received_at)
	INTO fresh, low, high FROM put;
	IF cardinality(people_events) > 0 THEN
		INSERT INTO touchlog.participant (interaction_id, received_at,
		    interaction_customer_id, customer_id, role)
		SELECT ids[p.event], ats[p.event], coalesce(own[owners[p.event]], 0), own[p.mention], p.role
		FROM unnest(people_events, people_mentions, people_roles) p(event, mention, role)
		WHERE stands[p.event] IS NULL
		ON CONFLICT DO NOTHING;
	END IF;
	IF cardinality(profile_events) > 0 THEN
		PERFORM touchlog.profile(array_agg(own[p.mention]), array_agg(p.fields),
		    array_agg(p.trusted))
		FROM unnest(profile_events, profile_mentions, profile_fields, profile_trusted)
		    p(event, mention, fields, trusted)
		WHERE stands[p.event] IS NULL
		HAVING count(*) > 0;
	END IF;
	PERFORM touchlog.match(fresh, low, high);
END $$;
