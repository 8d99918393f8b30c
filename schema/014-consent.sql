-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- Whether something may be sent to a customer: consent by purpose, addresses that must get
-- nothing, and how much is enough.
--
--   note_consent()     in the append transaction: what subscribe, unsubscribe, consent, bounce
--                      and spam_report say, kept as the state it leads to.
--   may_send()         where a delivery is claimed: its verdict, and what a mail needs.
--   unsubscribe_look() what a link /u/TOKEN is about.
--
-- Consent is kept under the own customer and read over all that are one with him, so a split
-- gives each his own back.  The newest statement counts by when it was made, not by when it
-- came in; of two at the same moment, the one that withdraws.
--
-- Who follows an unsubscribe link is logged by the daemon as an interaction of source
-- `touchlog` that bears the link's token, through intake and spool like any event: so it is not
-- lost while the database is away.  append() finds whose it is by the token.

SET LOCAL ROLE touchlog_admin;

CREATE TABLE touchlog.consent (
	customer_id	bigint			NOT NULL,	-- own, as in the log
	channel		touchlog.channel	NOT NULL,
	purpose		text			NOT NULL,
	state		text			NOT NULL CHECK (state IN ('given', 'withdrawn')),
	basis		text,
	text_version	text,
	interaction_id	uuid,
	at		timestamptz		NOT NULL,
	PRIMARY KEY (customer_id, channel, purpose)
);
CREATE TABLE touchlog.suppression (
	kind	text COLLATE "C"	NOT NULL,	-- of identity: email, phone
	value	text COLLATE "C"	NOT NULL,
	reason	text			NOT NULL,	-- bounce, spam_report, refused, by_hand
	at	timestamptz		NOT NULL DEFAULT now(),
	lifted_at timestamptz,		-- by hand: what happened before does not count any more
	PRIMARY KEY (value, kind)
);

-- What was granted to an address within the time of the cap: a row is locked, looked at and
-- written where a mail is granted, so two daemons do not grant the last one twice.
CREATE TABLE touchlog.mail_count (
	address	text COLLATE "C"	PRIMARY KEY,
	keys	uuid[]			NOT NULL DEFAULT '{}',	-- of the deliveries
	ats	timestamptz[]		NOT NULL DEFAULT '{}'
);

CREATE TABLE touchlog.unsubscribe_link (
	token		text COLLATE "C"	PRIMARY KEY,	-- 122 random bits
	customer_id	bigint			NOT NULL,	-- the root, when it was made
	address		text COLLATE "C"	NOT NULL,
	purpose		text			NOT NULL,
	created_at	timestamptz		NOT NULL DEFAULT now(),
	UNIQUE (address, customer_id, purpose)
);

------------------------------------------------------------------ what events say

-- Whether a bounce says that the address is no good, whatever tool told it: by its own word
-- (attributes type or reason), by RFC 3463's enhanced status, or by SMTP's code.  A mailbox that
-- is full (5.2.2), a message that is too large or was taken for spam (5.7.1), a server that is
-- away (4.x.x) come right again, or are no fault of the address.
CREATE FUNCTION touchlog.is_hard_bounce(attributes jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	type text := lower(regexp_replace(coalesce(attributes->>'type', ''), '[ _-]', '', 'g'));
	reason text := lower(coalesce(attributes->>'reason', ''));
	status text := coalesce(substring(attributes->>'status' FROM '[245]\.\d{1,3}\.\d{1,3}'),
	    substring(reason FROM '\m[245]\.\d{1,3}\.\d{1,3}\M'));
BEGIN
	IF type IN ('hardbounce', 'hard', 'permanent', 'bademailaddress', 'manuallydeactivated')
	    OR reason IN ('hard', 'hardbounce', 'hard_bounce', 'abuse') THEN
		RETURN true;
	ELSIF type NOT IN ('', 'bounce') THEN
		RETURN false;		-- softbounce, transient, blocked, dnserror, …
	ELSIF status IS NOT NULL THEN
		RETURN status ~ '^5\.(1\.([012346]|10)|2\.1)$' OR type = 'bounce' AND status LIKE '5.0.%';
	END IF;
	RETURN type = 'bounce' OR coalesce(attributes->>'code', '') IN ('550', '551', '553', '605');
END $$;

-- The medium that a statement is about: as it says, else the one it came by.  What comes by a
-- form, a site or a tool without a medium of its own is about mail.
CREATE FUNCTION touchlog.consent_channel(channel touchlog.channel, attributes jsonb)
RETURNS touchlog.channel LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF attributes->>'channel' = ANY(enum_range(NULL::touchlog.channel)::text[]) THEN
		RETURN (attributes->>'channel')::touchlog.channel;
	END IF;
	RETURN CASE WHEN channel IN ('form', 'web', 'survey', 'coupon', 'meeting', 'speech', 'other')
	    THEN 'email' ELSE channel END;
END $$;

-- given, withdrawn; null: it says neither.  Whatever is not clearly a yes is a no.
CREATE FUNCTION touchlog.consent_state(kind text, attributes jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN CASE WHEN kind = 'subscribe' THEN 'given'
	    WHEN kind IN ('unsubscribe', 'spam_report') THEN 'withdrawn'
	    WHEN kind <> 'consent' OR coalesce(attributes->>'state', '') = '' THEN NULL
	    WHEN lower(attributes->>'state') IN ('given', 'granted', 'yes', 'true', 'opted_in')
	    THEN 'given' ELSE 'withdrawn' END;
END $$;

-- Of the interactions told: the ids of a batch whose kind has something to say; low and high
-- bound their received_at.  addresses[n] is an e-mail address by which the customer of
-- interaction said[n] was named: of a bounce, the one that must get nothing.
CREATE FUNCTION touchlog.note_consent(told uuid[], low timestamptz, high timestamptz,
    said uuid[] DEFAULT '{}', addresses text[] DEFAULT '{}') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO touchlog.consent AS c (customer_id, channel, purpose, state, basis, text_version,
	    interaction_id, at)
	SELECT DISTINCT ON (s.customer_id, s.channel, s.purpose)
	    s.customer_id, s.channel, s.purpose, s.state, s.basis, s.text_version, s.id, s.at
	FROM (SELECT i.customer_id, i.id, least(i.occurred_at, i.received_at) AS at,
		touchlog.consent_channel(i.channel, i.attributes) AS channel,
		CASE WHEN i.kind = 'spam_report' THEN 'marketing'
		    ELSE coalesce(nullif(lower(trim(i.attributes->>'purpose')), ''), 'marketing') END AS purpose,
		touchlog.consent_state(i.kind, i.attributes) AS state,
		coalesce(i.attributes->>'basis', CASE WHEN i.kind <> 'consent' THEN i.kind END) AS basis,
		i.attributes->>'text_version' AS text_version
	    FROM touchlog.interaction i
	    WHERE i.id = ANY(told) AND i.received_at BETWEEN low AND high AND i.customer_id > 0) s
	WHERE s.state IS NOT NULL
	ORDER BY s.customer_id, s.channel, s.purpose, s.at DESC, s.state DESC	-- withdrawn first
	ON CONFLICT ON CONSTRAINT consent_pkey DO UPDATE
	SET state = EXCLUDED.state, basis = EXCLUDED.basis, text_version = EXCLUDED.text_version,
	    interaction_id = EXCLUDED.interaction_id, at = EXCLUDED.at
	WHERE EXCLUDED.at > c.at OR EXCLUDED.at = c.at AND EXCLUDED.state > c.state;
	IF cardinality(addresses) > 0 THEN
		INSERT INTO touchlog.suppression AS s (kind, value, reason, at)
		SELECT DISTINCT ON (m.address) 'email', m.address, i.kind, least(i.occurred_at, i.received_at)
		FROM unnest(said, addresses) m(id, address)
		JOIN touchlog.interaction i ON i.id = m.id
		WHERE i.id = ANY(told) AND i.received_at BETWEEN low AND high AND i.channel = 'email'
		  AND (i.kind = 'spam_report'
		    OR i.kind = 'bounce' AND touchlog.is_hard_bounce(i.attributes))
		ORDER BY m.address, least(i.occurred_at, i.received_at) DESC
		ON CONFLICT (value, kind) DO UPDATE
		SET reason = EXCLUDED.reason, at = EXCLUDED.at, lifted_at = NULL
		WHERE EXCLUDED.at > s.lifted_at;
	END IF;
END $$;

-- Whose the unsubscribe is that came by a link.
CREATE FUNCTION touchlog.link_owner(token text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT l.customer_id FROM touchlog.unsubscribe_link l WHERE l.token = link_owner.token);
END $$;

-- As in 008-append-faster.sql, but for consent.
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
	told uuid[];		-- of fresh: what may change a consent
	said uuid[];
	addresses text[];
	marked pg_lsn;
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
		marked := pg_logical_emit_message(true, 'touchlog', '');
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
		SELECT r.id, r.received_at, r.occurred_at, coalesce(own[owners[r.n]],
		    CASE WHEN r.source = 'touchlog' AND r.kind = 'unsubscribe'
			THEN touchlog.link_owner(r.attributes->>'token') END, 0),
		    r.source, r.brand, r.channel::touchlog.channel,
		    r.direction::touchlog.direction, r.kind, r.external_id, r.thread, r.agent,
		    r.subject, r.body, r.outcome, r.duration, r.wait, r.amount, r.currency,
		    r.score, r.campaign, r.attributes, txid
		FROM unnest(rows) WITH ORDINALITY r(id, received_at, occurred_at, source, brand,
		    channel, direction, kind, external_id, thread, agent, subject, body, outcome,
		    duration, wait, amount, currency, score, campaign, attributes, n)
		WHERE stands[r.n] IS NULL
		RETURNING i.id, i.received_at, i.kind)
	SELECT array_agg(put.id), min(put.received_at), max(put.received_at),
	    array_agg(put.id) FILTER (WHERE put.kind IN ('subscribe', 'unsubscribe', 'consent',
		'bounce', 'spam_report'))
	INTO fresh, low, high, told FROM put;
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
	IF told IS NOT NULL THEN
		SELECT coalesce(array_agg(ids[events[m.party]]), '{}'), coalesce(array_agg(m.val), '{}')
		INTO said, addresses
		FROM unnest(kinds, vals, parties) m(kind, val, party)
		WHERE m.kind = 'email' AND ids[events[m.party]] = ANY(told)
		  AND parties[owners[events[m.party]]] = m.party;	-- the customer, no participant
		PERFORM touchlog.note_consent(told, low, high, said, addresses);
	END IF;
END $$;

------------------------------------------------------------------ addresses that get nothing

-- By hand, and for a recipient that a mail server refused.  False: it was there.
CREATE FUNCTION touchlog.suppress(kind text, value text, reason text DEFAULT 'by_hand')
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	INSERT INTO touchlog.suppression AS s (kind, value, reason, at)
	VALUES (kind, value, reason, clock_timestamp())
	ON CONFLICT ON CONSTRAINT suppression_pkey DO UPDATE
	SET reason = EXCLUDED.reason, at = EXCLUDED.at, lifted_at = NULL
	WHERE s.lifted_at IS NOT NULL;
	RETURN FOUND;
END $$;

-- For a person who knows better.  False: it was not suppressed.
CREATE FUNCTION touchlog.lift_suppression(kind text, value text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
	UPDATE touchlog.suppression s SET lifted_at = clock_timestamp()
	WHERE s.kind = lift_suppression.kind AND s.value = lift_suppression.value
	  AND s.lifted_at IS NULL;
	RETURN FOUND;
END $$;

------------------------------------------------------------------ may it be sent

-- The bare address, or null: it is none.
CREATE FUNCTION touchlog.bare_address(text text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	address text := lower(trim(coalesce(substring(text FROM '<([^<>]*)>\s*$'), text)));
BEGIN
	RETURN CASE WHEN length(address) <= 254 AND text !~ '[[:cntrl:]]'
	    AND address ~ '^[^[:space:][:cntrl:]<>()\[\]\\,;:"@]+@[^[:space:][:cntrl:]<>()\[\]\\,;:"@.]+(\.[^[:space:][:cntrl:]<>()\[\]\\,;:"@.]+)*$'
	    THEN address END;
END $$;

-- own: ["someone@example.com", "@example.com", "+31201234567"]
CREATE FUNCTION touchlog.is_own_address(address text, own jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN address IS NOT NULL AND EXISTS (
	    SELECT FROM jsonb_array_elements_text(coalesce(own, '[]')) o
	    WHERE lower(o) IN (address, substring(address FROM '@[^@]*$')));
END $$;

-- Why no mail may follow from this interaction: two machines that answer each other do not
-- stop by themselves.  Null: it may.
CREATE FUNCTION touchlog.loop_guard(interaction jsonb, own jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	kind text := interaction->>'kind';
BEGIN
	RETURN CASE WHEN kind IN ('auto_reply', 'bounce', 'spam_report', 'receipt')
	    THEN 'a mail of kind ' || kind || ' triggers no mail'
	    WHEN interaction->>'channel' = 'email' AND interaction->>'direction' = 'out'
		AND kind NOT IN ('open', 'click') THEN 'our own mail triggers no mail'
	    WHEN interaction->>'channel' = 'email' AND touchlog.is_own_address(
		touchlog.bare_address(interaction->'attributes'->>'from'), own)
	    THEN 'it is from our own address' END;
END $$;

-- The newest statement of all that are this one customer: given, withdrawn, or null.  channel
-- null: on whatever channel.
CREATE FUNCTION touchlog.consent_of(members bigint[], channel touchlog.channel, purpose text,
    OUT state text, OUT generation text)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
BEGIN
	SELECT c.state, md5(concat_ws(' ', c.customer_id, c.interaction_id, c.at))
	INTO state, generation
	FROM touchlog.consent c
	WHERE c.customer_id = ANY(members) AND c.purpose = purpose
	  AND (channel IS NULL OR c.channel = channel)
	ORDER BY c.at DESC, c.state DESC LIMIT 1;
END $$;

-- The token under which this customer leaves what goes to this address; made at first use and
-- kept, since links in old mails are followed too.
CREATE FUNCTION touchlog.link_token(customer bigint, address text, purpose text) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	token text;
BEGIN
	FOR n IN 1 .. 2 LOOP
		SELECT l.token INTO token FROM touchlog.unsubscribe_link l
		WHERE l.address = address AND l.customer_id = customer AND l.purpose = purpose;
		EXIT WHEN token IS NOT NULL;
		INSERT INTO touchlog.unsubscribe_link (token, customer_id, address, purpose)
		VALUES (replace(gen_random_uuid()::text, '-', ''), customer, address, purpose)
		ON CONFLICT ON CONSTRAINT unsubscribe_link_address_customer_id_purpose_key DO NOTHING;
	END LOOP;
	RETURN token;
END $$;

-- Whether one more mail fits under the cap; it is counted then.  A delivery that is tried again
-- (the same key) is not counted again.
CREATE FUNCTION touchlog.mail_fits(address text, key uuid, cap int, per interval) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	at timestamptz;
	r touchlog.mail_count;
BEGIN
	INSERT INTO touchlog.mail_count (address) VALUES (address) ON CONFLICT DO NOTHING;
	SELECT * INTO r FROM touchlog.mail_count m WHERE m.address = address FOR UPDATE;
	at := clock_timestamp();		-- only now: it may have waited
	SELECT coalesce(array_agg(u.k), '{}'), coalesce(array_agg(u.t), '{}') INTO r.keys, r.ats
	FROM unnest(r.keys, r.ats) u(k, t) WHERE u.t > at - per AND u.k <> key;
	IF cardinality(r.keys) >= cap THEN
		RETURN false;
	END IF;
	UPDATE touchlog.mail_count m SET keys = r.keys || key, ats = r.ats || at
	WHERE m.address = address;
	RETURN true;
END $$;

-- Where a mail goes: what `to` says, else the customer's newest strong address (weak: any).
CREATE FUNCTION touchlog.mail_address(act jsonb, members bigint[], payload jsonb) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
	IF coalesce(act->>'to', '') <> '' THEN
		RETURN touchlog.bare_address(touchlog.substitute(act->>'to', payload));
	END IF;
	RETURN (SELECT touchlog.bare_address(i.value) FROM touchlog.identity i
	    WHERE i.customer_id = ANY(members) AND i.kind = 'email'
	      AND (i.strong OR (act->>'weak')::boolean)
	      AND NOT touchlog.is_own_address(i.value, act->'own')
	    ORDER BY i.strong DESC, i.first_seen DESC, i.value LIMIT 1);
END $$;

-- Whether this action may go to this customer, just before it does.  act: the action as the
-- daemon configured it ({"type", "purpose", "consent_model", "cap": {"n": 3, "per": "1 day"},
-- "to", "weak", "own", "template", …}); payload: the outbox row's.  verdict: ok,
-- no_address, no_consent, suppressed, capped, with its reason for people.  address: where it
-- goes, of an email; token: for its unsubscribe link, where there is a customer.
--
-- Only what has a purpose is looked at.  Of what is no mail only the consent is, on the channel
-- that it names: who its receiver is, touchlog does not know.
CREATE FUNCTION touchlog.may_send(act jsonb, customer bigint, payload jsonb,
    OUT verdict text, OUT address text, OUT token text, OUT reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	is_mail boolean := act->>'type' = 'email';
	purpose text := coalesce(act->>'purpose', CASE WHEN act->>'type' = 'email' THEN 'service' END);
	root bigint := (SELECT c.root_id FROM touchlog.customer c WHERE c.id = customer);
	members bigint[] := coalesce((SELECT array_agg(c.id) FROM touchlog.customer c
	    WHERE c.root_id = root), '{}');
	state text;
	found text;
BEGIN
	verdict := 'ok';
	IF purpose IS NULL THEN
		RETURN;
	END IF;
	IF is_mail THEN
		reason := touchlog.loop_guard(payload->'interaction', act->'own');
		found := touchlog.mail_address(act, members, payload);
		IF reason IS NULL AND found IS NOT NULL THEN
			SELECT 'the address is suppressed: ' || s.reason INTO reason FROM touchlog.suppression s
			WHERE s.kind = 'email' AND s.value = found AND s.lifted_at IS NULL;
		END IF;
		verdict := CASE WHEN reason IS NOT NULL THEN 'suppressed'
		    WHEN found IS NULL THEN 'no_address' ELSE 'ok' END;
	END IF;
	IF verdict = 'ok' AND purpose <> 'service' THEN
		state := (touchlog.consent_of(members, CASE WHEN is_mail THEN 'email'
		    ELSE (act->>'channel')::touchlog.channel END, purpose)).state;
		IF members = '{}' OR state = 'withdrawn'
		    OR state IS NULL AND act->>'consent_model' IS DISTINCT FROM 'opt_out' THEN
			verdict := 'no_consent';
			reason := 'consent to ' || purpose || CASE WHEN members = '{}' THEN ': nobody is known'
			    WHEN state IS NULL THEN ' was never given' ELSE ' was withdrawn' END;
		END IF;
	END IF;
	IF verdict = 'ok' AND is_mail AND act ? 'cap' AND NOT touchlog.is_own_address(found, act->'own')
	    AND NOT touchlog.mail_fits(found, md5(concat_ws(chr(31), payload->>'rule',
	    payload->'interaction'->>'id', act->>'template', act->>'to'))::uuid,
	    (act->'cap'->>'n')::int, (act->'cap'->>'per')::interval) THEN
		verdict := 'capped';
		reason := format('%s mails within %s went to this address', act->'cap'->>'n',
		    (act->'cap'->>'per')::interval);
	END IF;
	IF verdict = 'ok' AND is_mail THEN
		address := found;
		token := CASE WHEN root IS NOT NULL THEN touchlog.link_token(root, found, 'marketing') END;
	END IF;
END $$;

-- What the link is about; address null: there is no such link.  generation: of the statement
-- that counts now; an unsubscribe that came by the link is logged once for each.
CREATE FUNCTION touchlog.unsubscribe_look(token text, OUT address text, OUT purpose text,
    OUT state text, OUT generation text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	members bigint[];
BEGIN
	SELECT l.address, l.purpose, (SELECT array_agg(m.id) FROM touchlog.customer c
	    JOIN touchlog.customer m ON m.root_id = c.root_id WHERE c.id = l.customer_id)
	INTO address, purpose, members
	FROM touchlog.unsubscribe_link l WHERE l.token = token;
	SELECT c.state, c.generation INTO state, generation
	FROM touchlog.consent_of(members, 'email', purpose) c;
END $$;

GRANT SELECT ON touchlog.consent, touchlog.suppression TO touchlog_daemon, touchlog_reader;
GRANT EXECUTE ON FUNCTION touchlog.note_consent, touchlog.link_owner, touchlog.may_send,
    touchlog.unsubscribe_look, touchlog.suppress TO touchlog_daemon;
