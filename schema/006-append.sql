-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- The whole append transaction in one call, so that a batch costs one round trip:
-- accept(), store, participants, profiles, match().

SET LOCAL ROLE touchlog_admin;

-- A row of interaction as the daemon sends it, in built-in types only, so that its
-- binary form is the same in every database.  A type of its own, because columns that
-- a later migration adds to the table must not change what daemons send now.
-- customer_id and txid are known only in here and are no part of it.
CREATE TYPE touchlog.interaction_row AS (
	id		uuid,
	received_at	timestamptz,
	occurred_at	timestamptz,
	source		text,
	brand		text,
	channel		text,
	direction	text,
	kind		text,
	external_id	text,
	thread		text,
	agent		text,
	subject		text,
	body		text,
	outcome		text,
	duration	interval,
	wait		interval,
	amount		numeric,
	currency	bpchar,
	score		smallint,
	campaign	text,
	attributes	jsonb);

-- keys to merge_limit are accept()'s.  By event: ats, its received_at; rows; owners,
-- the mention whose customer the event is of (null: nobody's); documents (null: none
-- is kept).  By participant: people_events, people_mentions, people_roles.  By
-- profile: profile_events, profile_mentions, profile_fields, profile_trusted.
--
-- Not SECURITY DEFINER: what it may do beyond the daemon's own rights, accept() and
-- profile() may, and rules that match() runs one day get no rights by it.
CREATE FUNCTION touchlog.append(keys uuid[], ids uuid[], untils date[], events int[],
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
BEGIN
	accepted := touchlog.accept(keys, ids, untils, events, trusted, parties, kinds, vals, alts,
	    raws, strongs, merge_limit);
	stands := accepted.stands;
	own := accepted.own;
	txid := accepted.txid;
	refused := accepted.refused;
	IF txid IS NULL THEN
		RETURN;			-- nothing is fresh
	END IF;
	WITH put AS (
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
	INSERT INTO touchlog.document (id, received_at, customer_id, payload)
	SELECT ids[d.n], ats[d.n], coalesce(own[owners[d.n]], 0), d.payload
	FROM unnest(documents) WITH ORDINALITY d(payload, n)
	WHERE d.payload IS NOT NULL AND stands[d.n] IS NULL;
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
REVOKE ALL ON FUNCTION touchlog.append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION touchlog.append TO touchlog_daemon;
