-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- What else is done to customers: joined and split by hand, their profile
-- filled; and the time line, which reads all of a component as one.

SET LOCAL ROLE touchlog_admin;

-- Re-makes the roots among customers who were one component, by its edges.
CREATE FUNCTION touchlog.remake(member bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	part bigint[];
BEGIN
	WHILE cardinality(member) > 0 LOOP
		WITH RECURSIVE reach(id) AS (
			SELECT member[1]
			UNION
			SELECT CASE WHEN m.a_id = r.id THEN m.b_id ELSE m.a_id END
			FROM reach r JOIN touchlog.merge m
			    ON (m.a_id = r.id OR m.b_id = r.id) AND m.state = 'joined')
		SELECT array_agg(reach.id) INTO part FROM reach;
		PERFORM touchlog.set_root(part);
		SELECT array_agg(m) INTO member FROM unnest(member) m WHERE m <> ALL (part);
	END LOOP;
END $$;

-- One row for each of the two, so that either's history is complete.
CREATE FUNCTION touchlog.note_change(what text, a bigint, b bigint, why text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
	INSERT INTO touchlog.customer_change (customer_id, who, what, why)
	VALUES (a, session_user, jsonb_build_object(what, b), why),
	    (b, session_user, jsonb_build_object(what, a), why);
END $$;

-- Takes the edge between two own customers away.  Both time lines are exact
-- again, since the log holds own ids.  A refusal in the old component is
-- forgotten: there may be room now.
CREATE FUNCTION touchlog.split(a bigint, b bigint, why text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	member bigint[] := touchlog.lock_components(ARRAY[a, b]);
BEGIN
	UPDATE touchlog.merge m SET state = 'undone', undone_at = now()
	WHERE m.a_id = least(a, b) AND m.b_id = greatest(a, b) AND m.state = 'joined';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'customers % and % are not joined directly', a, b
		    USING ERRCODE = 'no_data_found', HINT = 'Look at touchlog customer identities.';
	END IF;
	DELETE FROM touchlog.merge m
	WHERE m.state = 'refused' AND (m.a_id = ANY(member) OR m.b_id = ANY(member));
	PERFORM touchlog.remake(member);
	PERFORM touchlog.note_change('split', a, b, why);
END $$;

-- Joins by hand: a person may exceed merge_limit and bring an undone pair back.
-- No edge is put between two who are one already: a split of the other way round
-- would then not separate them.
CREATE FUNCTION touchlog.join_by_hand(a bigint, b bigint, evidence jsonb DEFAULT NULL,
    why text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	member bigint[] := touchlog.lock_components(ARRAY[a, b]);
	n_roots int := (SELECT count(DISTINCT c.root_id) FROM touchlog.customer c
	    WHERE c.id IN (a, b));
BEGIN
	IF member IS NULL OR NOT member @> ARRAY[a, b] THEN
		RAISE EXCEPTION 'there is no customer %',
		    CASE WHEN a = ANY(member) THEN b ELSE a END USING ERRCODE = 'no_data_found';
	ELSIF n_roots < 2 THEN
		RAISE EXCEPTION 'customers % and % are one already', a, b USING ERRCODE = 'P0001';
	END IF;
	PERFORM touchlog.put_edge(a, b, 'joined', evidence);
	PERFORM touchlog.remake(member);
	PERFORM touchlog.note_change('joined', a, b, why);
END $$;

-- Who would change, and how.  said: by a trusted source, it replaces; heard: by
-- another, it fills what is empty.  A customer is never without a kind, hence
-- only a trusted source tells it.  Null and the empty text say nothing.
CREATE FUNCTION touchlog.profile_changes(customers bigint[], said jsonb[], heard jsonb[])
RETURNS TABLE (id bigint, kind touchlog.customer_kind, name text, language text, time_zone text,
    address jsonb, attributes jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT c.id, n.* FROM (
		SELECT u.id, coalesce(u.said, '{}') AS said, coalesce(u.heard, '{}') AS heard,
		    '{kind,name,language,time_zone,address}'::text[] AS columns
		FROM unnest(customers, said, heard) u(id, said, heard)) e
	JOIN LATERAL (SELECT * FROM touchlog.customer x WHERE x.id = e.id OFFSET 0) c ON true
	CROSS JOIN LATERAL (SELECT
	    CASE WHEN e.said->>'kind' IN ('person', 'organisation')
		THEN (e.said->>'kind')::touchlog.customer_kind ELSE c.kind END AS kind,
	    coalesce(nullif(e.said->>'name', ''), c.name, nullif(e.heard->>'name', '')) AS name,
	    coalesce(nullif(e.said->>'language', ''), c.language, nullif(e.heard->>'language', '')),
	    coalesce(nullif(e.said->>'time_zone', ''), c.time_zone,
		nullif(e.heard->>'time_zone', '')),
	    coalesce(nullif(e.said->'address', 'null'), c.address,
		nullif(e.heard->'address', 'null')),
	    jsonb_strip_nulls(e.heard - e.columns) || c.attributes
		|| jsonb_strip_nulls(e.said - e.columns)
	    ) n(kind, name, language, time_zone, address, attributes)
	WHERE (c.kind, c.name, c.language, c.time_zone, c.address, c.attributes)
	    IS DISTINCT FROM (n.kind, n.name, n.language, n.time_zone, n.address, n.attributes);
END $$;

-- The profile fields that came with a batch, in its order: name, language,
-- time_zone, address, kind; any other key goes to attributes.  They fill where
-- empty and replace only when trusted.  Most say what is known already: those
-- are found by one read, and their customers neither locked nor written.
CREATE FUNCTION touchlog.profile(customers bigint[], fields jsonb[], trusted boolean[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	due bigint[];
	all_said jsonb[];
	all_heard jsonb[];
BEGIN
	SELECT array_agg(CASE WHEN u.t THEN u.f END ORDER BY u.n),
	    array_agg(CASE WHEN NOT u.t THEN u.f END ORDER BY u.n)
	INTO all_said, all_heard
	FROM unnest(fields, trusted) WITH ORDINALITY u(f, t, n);
	SELECT array_agg(DISTINCT c.id) INTO due		-- sorted thereby
	FROM touchlog.profile_changes(customers, all_said, all_heard) c;
	IF due IS NULL THEN
		RETURN;
	END IF;
	PERFORM FROM touchlog.customer c WHERE c.id = ANY(due) ORDER BY c.id FOR UPDATE;
	-- Several entries for one customer become one: the last said and the first
	-- heard of each key count.
	SELECT array_agg(x.id), array_agg(x.said), array_agg(x.heard)
	INTO due, all_said, all_heard
	FROM (SELECT u.id, jsonb_object_agg(f.k, f.v ORDER BY u.n) FILTER (WHERE u.t) AS said,
		jsonb_object_agg(f.k, f.v ORDER BY u.n DESC) FILTER (WHERE NOT u.t) AS heard
	    FROM unnest(customers, fields, trusted) WITH ORDINALITY u(id, f, t, n)
	    CROSS JOIN jsonb_each(u.f) f(k, v)
	    WHERE u.id = ANY(due) AND f.v NOT IN ('null', '""')
	    GROUP BY u.id) x;
	UPDATE touchlog.customer c SET kind = n.kind, name = n.name, language = n.language,
	    time_zone = n.time_zone, address = n.address, attributes = n.attributes
	FROM touchlog.profile_changes(due, all_said, all_heard) n WHERE c.id = n.id;
END $$;

-- Ask by any customer of a component: WHERE customer_id = …  The first branch
-- reads (customer_id, occurred_at, id); the second adds what someone of the
-- component took part in as a participant, each interaction once.
CREATE VIEW touchlog.timeline AS
SELECT self.id AS customer_id, i.customer_id AS own_customer_id, 'customer' AS role, i.id,
    i.received_at, i.occurred_at, i.source, i.brand, i.channel, i.direction, i.kind, i.external_id,
    i.thread, i.agent, i.subject, i.body, i.outcome, i.duration, i.wait, i.amount, i.currency,
    i.score, i.campaign, i.attributes, i.txid
FROM touchlog.customer self
JOIN touchlog.customer m ON m.root_id = self.root_id
JOIN touchlog.interaction i ON i.customer_id = m.id
UNION ALL
SELECT self.id, i.customer_id, p.role, i.id,
    i.received_at, i.occurred_at, i.source, i.brand, i.channel, i.direction, i.kind, i.external_id,
    i.thread, i.agent, i.subject, i.body, i.outcome, i.duration, i.wait, i.amount, i.currency,
    i.score, i.campaign, i.attributes, i.txid
FROM touchlog.customer self
CROSS JOIN LATERAL (
	SELECT p.interaction_id, p.received_at, p.interaction_customer_id, min(p.role) AS role
	FROM touchlog.customer m JOIN touchlog.participant p ON p.customer_id = m.id
	WHERE m.root_id = self.root_id
	GROUP BY p.interaction_id, p.received_at, p.interaction_customer_id) p
JOIN touchlog.interaction i ON i.id = p.interaction_id AND i.received_at = p.received_at
    AND i.customer_id = p.interaction_customer_id
WHERE NOT EXISTS (SELECT FROM touchlog.customer m
    WHERE m.id = p.interaction_customer_id AND m.root_id = self.root_id);

GRANT EXECUTE ON FUNCTION touchlog.split, touchlog.join_by_hand, touchlog.profile
    TO touchlog_daemon;
GRANT SELECT ON touchlog.timeline TO touchlog_daemon, touchlog_reader;
