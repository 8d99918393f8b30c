-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- The rest of what the daemon calls: rules of a batch, parked events, old dedupe
-- keys, and a database that finds itself in another cluster.

SET LOCAL ROLE touchlog_admin;

-- Decides the rules for the fresh rows of a batch, in its transaction.  The
-- bounds on received_at prune partitions.  There are no rules yet.
CREATE FUNCTION touchlog.match(ids uuid[], low timestamptz, high timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	RETURN;
END $$;

-- Keeps what could not be logged.  Returns for each the id under which it is
-- parked: the first one's where its key is known.  A repeat counts, and opens
-- again what was retried in vain; what a person dropped stays dropped.
CREATE FUNCTION touchlog.park(ids uuid[], keys uuid[], sources text[], raws bytea[],
    content_types text[], reasons text[], sqlstates text[]) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	first_ids uuid[];
BEGIN
	-- A retried event is known by its id: its key may be another one since the map was mended.
	SELECT array_agg(coalesce(p.key, u.key) ORDER BY u.n) INTO keys
	FROM unnest(ids, keys) WITH ORDINALITY u(id, key, n)
	LEFT JOIN LATERAL (SELECT x.key FROM touchlog.parked x
	    WHERE x.id = u.id OFFSET 0) p ON true;
	INSERT INTO touchlog.parked AS p (id, key, source, raw, content_type, reason, sqlstate,
	    attempts)
	SELECT e.id, e.key, e.source, e.raw, e.content_type, e.reason, e.sqlstate, e.n
	FROM (SELECT *, count(*) OVER (PARTITION BY u.key) AS n,
		row_number() OVER (PARTITION BY u.key ORDER BY u.ord) AS nth
	    FROM unnest(ids, keys, sources, raws, content_types, reasons, sqlstates) WITH ORDINALITY
		u(id, key, source, raw, content_type, reason, sqlstate, ord)) e
	WHERE e.nth = 1
	ORDER BY e.key				-- or two daemons deadlock
	ON CONFLICT (key) DO UPDATE SET attempts = p.attempts + EXCLUDED.attempts,
	    last_at = EXCLUDED.last_at, reason = EXCLUDED.reason, sqlstate = EXCLUDED.sqlstate,
	    state = CASE p.state WHEN 'dropped' THEN p.state ELSE 'open' END;
	SELECT array_agg(p.id ORDER BY u.n) INTO first_ids
	FROM unnest(keys) WITH ORDINALITY u(key, n)
	LEFT JOIN LATERAL (SELECT x.id FROM touchlog.parked x
	    WHERE x.key = u.key OFFSET 0) p ON true;
	RETURN coalesce(first_ids, '{}');
END $$;

-- False when there is no such parked event, or it was retried: it is settled.
CREATE FUNCTION touchlog.settle_parked(id uuid, state touchlog.parked_state) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	UPDATE touchlog.parked p SET state = settle_parked.state
	WHERE p.id = settle_parked.id AND p.state <> 'retried';
	RETURN FOUND;
END $$;

-- Looks at n dedupe keys from from_key on (null: the first) and removes those
-- whose time is over.  next: where to go on; null at the end, or when another
-- daemon is at it.  Only the primary key is read, so a bite costs the same
-- however many keys there are.
CREATE FUNCTION touchlog.prune_seen(from_key uuid, n int, OUT next uuid, OUT removed int)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
#variable_conflict use_variable
DECLARE
	over uuid[];
BEGIN
	removed := 0;
	IF NOT pg_try_advisory_xact_lock(hashtextextended('touchlog.prune_seen', 0)) THEN
		RETURN;
	END IF;
	SELECT array_agg(b.key) FILTER (WHERE b.nth <= n AND b.until < current_date),
	    min(b.key::text) FILTER (WHERE b.nth > n)
	INTO over, next
	FROM (SELECT s.key, s.until, row_number() OVER (ORDER BY s.key) AS nth FROM touchlog.seen s
	    WHERE s.key >= coalesce(from_key, '00000000-0000-0000-0000-000000000000')
	    ORDER BY s.key LIMIT n + 1) b;
	DELETE FROM touchlog.seen s WHERE s.key = ANY(over);
	GET DIAGNOSTICS removed = ROW_COUNT;
END $$;

-- After a restore into another cluster transaction ids start low again.  Raises
-- the offset, so that followers of txid go on; true when it had to.  To be
-- called by each connection in the transaction of its first batch, or before.
CREATE FUNCTION touchlog.adopt_cluster() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- From xmin on: someone's transaction that began earlier may write later.
	UPDATE touchlog.cluster c SET system_identifier = here.system_identifier,
	    txid_offset = greatest(c.txid_offset,
		(SELECT coalesce(max(i.txid), 0) FROM touchlog.interaction i) + 1
		- pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
	FROM pg_control_system() here
	WHERE c.system_identifier <> here.system_identifier;
	RETURN FOUND;
END $$;

GRANT EXECUTE ON FUNCTION touchlog.match, touchlog.park, touchlog.settle_parked,
    touchlog.prune_seen, touchlog.adopt_cluster TO touchlog_daemon;
