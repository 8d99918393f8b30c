-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- What happens after a rule fired: rows of the outbox are claimed, done and settled.
--
--   outbox_claim()   due rows, by index.  What PostgreSQL can do by itself (perform()) is done
--                    there and then, with its receipt: exactly once.  The rest is leased.
--   outbox_settle()  its receipt: the row goes, or waits for its next try, or is dead.
--   log_own()        our own interactions: sent, resolved, task_overdue.
--
-- Invariants:
--   * next_at is all that says when a row is due.  While it is leased that is the lease's end, of a
--     dead one infinity: so one index serves all of them.
--   * A receipt (delivery) is written once for each attempt and never changed.
--   * Locks: outbox first, then customer by id and mail_count by address, or seen.  Nobody who holds a customer, a timer or a
--     key ever waits for a row of the outbox that is there already.

SET LOCAL ROLE touchlog_admin;

ALTER TABLE touchlog.outbox
    ADD COLUMN state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
    ADD COLUMN forgiven integer NOT NULL DEFAULT 0,	-- attempts before it was last revived
    ADD COLUMN error text;				-- of the last attempt
CREATE INDEX outbox_claimed ON touchlog.outbox (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX outbox_dead ON touchlog.outbox (id) WHERE state = 'dead';

ALTER TABLE touchlog.task
    ADD COLUMN note text,
    ADD COLUMN overdue_at timestamptz;			-- when that was logged
CREATE INDEX task_due ON touchlog.task (due) WHERE done_at IS NULL AND overdue_at IS NULL;

-- One row: whether anything may leave.
CREATE TABLE touchlog.outbox_pause (
	paused	boolean		NOT NULL,
	who	text,
	why	text,
	at	timestamptz	NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX outbox_pause_one_row ON touchlog.outbox_pause ((true));
INSERT INTO touchlog.outbox_pause (paused) VALUES (false);

-- Actions whose receiver wants nothing more (410), until a daemon loads its configuration or a
-- person says `outbox retry`.
CREATE TABLE touchlog.action_gone (
	action	text		PRIMARY KEY,
	error	text		NOT NULL,
	at	timestamptz	NOT NULL DEFAULT now()
);

------------------------------------------------------------------ rows that were made
-- Tells the daemon whose batch made them, at once and for nothing (NOTIFY takes a lock at COMMIT
-- that there is one of in the whole cluster).  A message of this level reaches the client
-- whatever it set; only writers listen for it.
CREATE FUNCTION touchlog.outbox_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') = 'touchlogd writer' THEN
		RAISE INFO 'touchlog: outbox';
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER outbox_tell AFTER INSERT ON touchlog.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION touchlog.outbox_tell();

------------------------------------------------------------------ our own interactions
CREATE FUNCTION touchlog.uuid_v7(now timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	b bytea := overlay(uuid_send(gen_random_uuid()) PLACING
	    substring(int8send(floor(extract(epoch FROM now) * 1000)::bigint) FROM 3) FROM 1 FOR 6);
BEGIN
	RETURN encode(set_byte(b, 6, get_byte(b, 6) & 15 | 112), 'hex')::uuid;
END $$;

-- Logs an interaction of source `touchlog`, whose rules the caller has decided.  Under an
-- external_id only the first is logged; null: it was there.
CREATE FUNCTION touchlog.put_own(kind text, direction touchlog.direction, channel touchlog.channel,
    customer_id bigint, thread text, external_id text, subject text, body text, campaign text,
    attributes jsonb, agent text DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	own uuid := touchlog.uuid_v7(clock_timestamp());
	at timestamptz := touchlog.at(own);
BEGIN
	INSERT INTO touchlog.seen (key, id, until)
	VALUES (CASE WHEN external_id IS NULL THEN own ELSE encode(substring(sha256(
		'\x746f7563686c6f671f'::bytea || convert_to(external_id, 'UTF8')) FOR 16),
		'hex')::uuid END, own, current_date + 400)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	INSERT INTO touchlog.interaction (id, received_at, occurred_at, customer_id, source,
	    channel, direction, kind, external_id, thread, agent, subject, body, campaign,
	    attributes, txid)
	SELECT own, at, at, coalesce(customer_id, 0), 'touchlog', channel, direction, kind,
	    external_id, thread, agent, subject, body, campaign, coalesce(attributes, '{}'),
	    pg_current_xact_id()::text::bigint + c.txid_offset FROM touchlog.cluster c;
	RETURN own;
END $$;

-- Those that put_own() logged in this transaction, all at once: match() locks in one order.
CREATE FUNCTION touchlog.match_own(own uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM touchlog.match(array_agg(x), min(touchlog.at(x)), max(touchlog.at(x)))
	FROM unnest(own) x WHERE x IS NOT NULL HAVING count(*) > 0;
END $$;

-- put_own(), and its rules are decided.
CREATE FUNCTION touchlog.log_own(kind text, direction touchlog.direction, channel touchlog.channel,
    customer_id bigint, thread text, external_id text, subject text, body text, campaign text,
    attributes jsonb, agent text DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	own uuid := touchlog.put_own(kind, direction, channel, customer_id, thread, external_id,
	    subject, body, campaign, attributes, agent);
BEGIN
	PERFORM touchlog.match_own(ARRAY[own]);
	RETURN own;
END $$;

-- The same of JSON, as an action's outcome has it.
CREATE FUNCTION touchlog.log_own(log jsonb, customer_id bigint) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
	RETURN touchlog.log_own(log->>'kind',
	    coalesce(log->>'direction', 'out')::touchlog.direction,
	    coalesce(log->>'channel', 'other')::touchlog.channel, customer_id, log->>'thread',
	    log->>'external_id', log->>'subject', log->>'body', log->>'campaign',
	    coalesce(log->'attributes', '{}'));
END $$;

------------------------------------------------------------------ receipts
-- The receipt of a row's latest attempt.
CREATE FUNCTION touchlog.outbox_receipt(o touchlog.outbox, status text, error text, now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
	INSERT INTO touchlog.delivery (outbox_id, firing_id, action, attempt, at, status, error)
	VALUES (o.id, o.firing_id, o.action, o.attempts, now, status, error)
	ON CONFLICT (outbox_id, attempt) DO NOTHING;
END $$;

-- A firing of which no action is left and none was done was withheld.
CREATE FUNCTION touchlog.firing_withheld(firing bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	-- Two actions may end at once: who comes second sees what the first one did.
	PERFORM FROM touchlog.firing f WHERE f.id = firing AND f.state = 'fired' FOR UPDATE;
	IF NOT FOUND OR EXISTS (SELECT FROM touchlog.outbox o WHERE o.firing_id = firing) THEN
		RETURN;
	END IF;
	UPDATE touchlog.firing f SET state = d.state
	FROM (SELECT CASE WHEN bool_or(x.status = 'suppressed') THEN 'suppressed'
		WHEN bool_or(x.status = 'no_consent') THEN 'no_consent' ELSE 'capped' END AS state
	    FROM touchlog.delivery x WHERE x.firing_id = firing
	    HAVING NOT bool_or(x.status IN ('done', 'no_address'))) d
	WHERE f.id = firing;
END $$;

-- A row's end.  Dead ones stay, to be looked at and revived.
CREATE FUNCTION touchlog.outbox_end(o touchlog.outbox, status text, error text, now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
	PERFORM touchlog.outbox_receipt(o, status, error, now);
	IF status = 'dead' THEN
		UPDATE touchlog.outbox x SET state = 'dead', next_at = 'infinity',
		    attempts = o.attempts, claimed_by = NULL, claim_until = NULL, error = error
		WHERE x.id = o.id;
		RETURN;
	END IF;
	DELETE FROM touchlog.outbox x WHERE x.id = o.id;
	IF status IN ('capped', 'no_consent', 'suppressed') THEN
		PERFORM touchlog.firing_withheld(o.firing_id);
	END IF;
END $$;

------------------------------------------------------------------ what PostgreSQL does by itself
-- {subject}, {customer.name|there}, {{ and }}: as flow/substitute.c does it, which also judged it.
CREATE FUNCTION touchlog.substitute(template text, payload jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	piece text;
	path text[];
	result text := '';
BEGIN
	FOR piece IN
		SELECT m[1] FROM regexp_matches(template, '(\{\{|\}\}|\{[^{}]*\}|[^{}]+)', 'g') m
	LOOP
		IF piece IN ('{{', '}}') THEN
			result := result || left(piece, 1);
		ELSIF left(piece, 1) <> '{' THEN
			result := result || piece;
		ELSE
			piece := substr(piece, 2, length(piece) - 2);
			path := string_to_array(split_part(piece, '|', 1), '.');
			IF NOT payload ? path[1] THEN
				path := 'interaction'::text || path;
			END IF;
			result := result || coalesce(nullif(payload #>> path, ''),
			    substr(piece, length(split_part(piece, '|', 1)) + 2));
		END IF;
	END LOOP;
	RETURN result;
END $$;

CREATE FUNCTION touchlog.perform_task(act jsonb, o touchlog.outbox, f touchlog.firing) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	what jsonb := o.payload->'interaction';
	due timestamptz;
BEGIN
	IF act->>'due' IS NOT NULL THEN
		due := CASE WHEN act->>'calendar' IS NULL
		    THEN f.decided_at + (act->>'due')::interval
		    ELSE touchlog.open_time_add(act->>'calendar', f.decided_at,
			(act->>'due')::interval) END;
	END IF;
	INSERT INTO touchlog.task (outbox_id, firing_id, customer_id, interaction_id, thread, title,
	    assign, priority, due)
	VALUES (o.id, o.firing_id, f.customer_id, f.origin_id, what->>'thread',
	    left(touchlog.substitute(act->>'title', o.payload), 2000),
	    nullif(touchlog.substitute(act->>'assign', o.payload), ''),
	    (act->>'priority')::smallint, due)
	ON CONFLICT (outbox_id) DO NOTHING;
END $$;

-- stage, tag and priority: the profile of the root.  Returns a note where there is nobody.
CREATE FUNCTION touchlog.perform_profile(act jsonb, o touchlog.outbox, f touchlog.firing)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	c touchlog.customer;
	was jsonb;
	becomes jsonb;
	fresh text[];
BEGIN
	SELECT r.* INTO c FROM touchlog.customer m JOIN touchlog.customer r ON r.id = m.root_id
	WHERE m.id = f.customer_id AND f.customer_id > 0 FOR UPDATE OF r;
	IF c.id IS NULL THEN
		RETURN 'no customer is known: nothing was changed';
	END IF;
	fresh := ARRAY(SELECT t FROM (SELECT unnest(c.tags)
		UNION SELECT jsonb_array_elements_text(coalesce(act->'add', '[]'))) x(t)
	    WHERE NOT coalesce(act->'remove', '[]') ? t ORDER BY t);
	CASE act->>'type'
	WHEN 'stage' THEN
		was := to_jsonb(c.stage);
		becomes := act->'to';
		UPDATE touchlog.customer x SET stage = act->>'to'
		WHERE x.id = c.id AND x.stage IS DISTINCT FROM act->>'to';
	WHEN 'priority' THEN
		was := to_jsonb(c.priority);
		becomes := act->'to';
		UPDATE touchlog.customer x SET priority = (act->>'to')::smallint
		WHERE x.id = c.id AND x.priority IS DISTINCT FROM (act->>'to')::smallint;
	ELSE
		was := to_jsonb(c.tags);
		becomes := to_jsonb(fresh);
		UPDATE touchlog.customer x SET tags = fresh
		WHERE x.id = c.id AND NOT (x.tags @> fresh AND x.tags <@ fresh);
	END CASE;
	IF FOUND THEN
		INSERT INTO touchlog.customer_change (customer_id, who, what, why)
		VALUES (c.id, 'rule ' || f.rule, jsonb_build_object(CASE act->>'type'
		    WHEN 'tag' THEN 'tags' ELSE act->>'type' END,
		    jsonb_build_object('from', was, 'to', becomes)),
		    format('firing %s, action %s', o.firing_id, o.action));
	END IF;
	RETURN NULL;
END $$;

-- Does an action of a database type.  Returns a note for the receipt, or null.
CREATE FUNCTION touchlog.perform(act jsonb, o touchlog.outbox, f touchlog.firing) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	CASE act->>'type'
	WHEN 'task' THEN
		PERFORM touchlog.perform_task(act, o, f);
	WHEN 'notify' THEN
		PERFORM pg_notify(act->>'channel', jsonb_build_object('rule', f.rule,
		    'firing', f.id, 'interaction', f.origin_id,
		    'customer', o.payload->'customer'->'id')::text);
	ELSE
		RETURN touchlog.perform_profile(act, o, f);
	END CASE;
	RETURN NULL;
END $$;

-- The same with its receipt, of which it returns the status: what cannot be done fails by itself
-- and not with all that was claimed.
CREATE FUNCTION touchlog.perform_safely(act jsonb, o touchlog.outbox, f touchlog.firing,
    now timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	note text;
	sqlstate_was text;
BEGIN
	BEGIN
		note := touchlog.perform(act, o, f);
		PERFORM touchlog.outbox_end(o, 'done', note, now);
		RETURN 'done';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS sqlstate_was = RETURNED_SQLSTATE, note = MESSAGE_TEXT;
		-- A lock that was not got, a full disk: that is not the action's fault.
		IF left(sqlstate_was, 2) NOT IN ('20', '21', '22', '23', '2F', '39', '42', '54',
		    'P0') THEN
			RAISE;
		END IF;
		PERFORM touchlog.outbox_end(o, 'dead', note, now);
		RETURN 'dead';
	END;
END $$;

------------------------------------------------------------------ claim
-- A row that was seen to.  ended: what became of it (a receipt's status; unknown: put off); null:
-- the daemon is to do it.  attempt: its receipt's; nth: of those since it was last revived.
CREATE TYPE touchlog.outbox_job AS (id bigint, firing_id bigint, action text, ended text,
    attempt integer, nth integer, payload jsonb, address text, token text);

-- Whose profiles the rows will change: locked in one order, before the first of them is.
CREATE FUNCTION touchlog.outbox_lock_customers(ids bigint[], actions jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM touchlog.customer c WHERE c.id = ANY (ARRAY(
	    SELECT m.root_id FROM touchlog.outbox o JOIN touchlog.firing f ON f.id = o.firing_id
	    JOIN touchlog.customer m ON m.id = f.customer_id
	    WHERE o.id = ANY (ids) AND actions->o.action->>'type' IN ('stage', 'tag', 'priority')))
	ORDER BY c.id FOR UPDATE;
END $$;

-- To whom capped mails of these rows would go: locked in one order too, for a claim grants several.
CREATE FUNCTION touchlog.outbox_lock_caps(ids bigint[], actions jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO touchlog.mail_count AS m (address)
	SELECT DISTINCT a.address
	FROM touchlog.outbox o JOIN touchlog.firing f ON f.id = o.firing_id
	LEFT JOIN touchlog.customer c ON c.id = f.customer_id
	CROSS JOIN LATERAL touchlog.mail_address(actions->o.action, ARRAY(SELECT x.id
	    FROM touchlog.customer x WHERE x.root_id = c.root_id), o.payload) a(address)
	WHERE o.id = ANY (ids) AND actions->o.action ? 'cap' AND a.address IS NOT NULL
	ORDER BY 1
	ON CONFLICT ON CONSTRAINT mail_count_pkey DO UPDATE SET ats = m.ats;
END $$;

-- Why a row is not to be tried now, which is then seen to; null: it is.  o.attempts is that of the
-- attempt to come.
CREATE FUNCTION touchlog.outbox_refuse(o touchlog.outbox, f touchlog.firing, act jsonb,
    tries integer, now timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	gone text := (SELECT g.error FROM touchlog.action_gone g WHERE g.action = o.action);
	lost touchlog.outbox := o;
BEGIN
	IF o.claimed_by IS NOT NULL THEN	-- nobody settled it in time
		lost.attempts := o.attempts - 1;
		PERFORM touchlog.outbox_receipt(lost, 'lost', format('the lease of %s ran out',
		    o.claimed_by), now);
		IF lost.attempts - o.forgiven >= tries THEN
			PERFORM touchlog.outbox_end(o, 'dead', 'its attempts are used up', now);
			RETURN 'dead';
		END IF;
	END IF;
	IF gone IS NOT NULL THEN
		PERFORM touchlog.outbox_end(o, 'dead', gone, now);
		RETURN 'dead';
	ELSIF act IS NOT NULL THEN
		RETURN NULL;
	ELSIF f.decided_at < now - interval '1 day' THEN
		PERFORM touchlog.outbox_end(o, 'dead', 'no configuration has this action', now);
		RETURN 'dead';
	END IF;
	-- Another daemon may know it.
	UPDATE touchlog.outbox x SET next_at = now + interval '1 minute', claimed_by = NULL,
	    claim_until = NULL, error = 'the configuration of a daemon does not have this action'
	WHERE x.id = o.id;
	RETURN 'unknown';
END $$;

-- Sees to one row, which the caller has locked.
CREATE FUNCTION touchlog.outbox_take(row_id bigint, instance text, lease interval, actions jsonb,
    tries integer, now timestamptz) RETURNS touchlog.outbox_job LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	o touchlog.outbox;
	f touchlog.firing;
	act jsonb;
	ended text;
	may record;
BEGIN
	SELECT x.* INTO STRICT o FROM touchlog.outbox x WHERE x.id = row_id;
	SELECT x.* INTO STRICT f FROM touchlog.firing x WHERE x.id = o.firing_id;
	act := actions->o.action;
	o.attempts := o.attempts + 1;
	ended := touchlog.outbox_refuse(o, f, act, tries, now);
	SELECT 'ok' AS verdict, NULL::text AS address, NULL::text AS token INTO may;
	IF ended IS NULL AND act->>'type' IN ('task', 'stage', 'tag', 'priority', 'notify') THEN
		ended := touchlog.perform_safely(act, o, f, now);
	ELSIF ended IS NULL AND (act ? 'purpose' OR act->>'type' = 'email') THEN
		SELECT * INTO may FROM touchlog.may_send(act, f.customer_id, o.payload);
		IF may.verdict <> 'ok' THEN
			PERFORM touchlog.outbox_end(o, may.verdict, may.reason, now);
			ended := may.verdict;
		END IF;
	END IF;
	IF ended IS NULL THEN
		UPDATE touchlog.outbox x SET attempts = o.attempts, claimed_by = instance,
		    claim_until = now + lease, next_at = now + lease
		WHERE x.id = o.id;
	END IF;
	RETURN ROW(o.id, o.firing_id, o.action, ended, o.attempts, o.attempts - o.forgiven,
	    CASE WHEN ended IS NULL THEN o.payload END, may.address,
	    may.token)::touchlog.outbox_job;
END $$;

-- Sees to n due rows at most.  actions: by name, what a configuration says of each ({"type", …}).
CREATE FUNCTION touchlog.outbox_claim(n integer, instance text, lease interval, actions jsonb,
    tries integer DEFAULT 36, now timestamptz DEFAULT clock_timestamp())
RETURNS SETOF touchlog.outbox_job LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	ids bigint[] := ARRAY(SELECT o.id FROM touchlog.outbox o WHERE o.next_at <= now
	    ORDER BY o.next_at LIMIT n FOR UPDATE SKIP LOCKED);
	one bigint;
BEGIN
	IF ids = '{}' THEN
		RETURN;
	END IF;
	-- Once `outbox pause` has returned nothing more is claimed: it waits for us.
	PERFORM FROM touchlog.outbox_pause p WHERE NOT p.paused FOR SHARE;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	PERFORM touchlog.outbox_lock_customers(ids, actions);
	PERFORM touchlog.outbox_lock_caps(ids, actions);
	FOREACH one IN ARRAY ids LOOP
		RETURN NEXT touchlog.outbox_take(one, instance, lease, actions, tries, now);
	END LOOP;
END $$;

------------------------------------------------------------------ settle
-- What became of an attempt: done; retry, at retry_at; dead; gone: dead, and whatever else goes
-- to this action; suppressed; released: it was not begun and does not count; lost: nobody knows.
-- false: the lease was lost meanwhile, and the row is another's or gone.
CREATE FUNCTION touchlog.outbox_settle(id bigint, instance text, attempt integer, ends text,
    retry_at timestamptz, error text, log jsonb, now timestamptz DEFAULT clock_timestamp())
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	o touchlog.outbox;
BEGIN
	SELECT x.* INTO o FROM touchlog.outbox x WHERE x.id = id AND x.claimed_by = instance
	    AND x.attempts = attempt FOR UPDATE;
	IF o.id IS NULL THEN
		RETURN false;
	END IF;
	IF ends = 'gone' THEN
		INSERT INTO touchlog.action_gone (action, error) VALUES (o.action, error)
		ON CONFLICT DO NOTHING;
		ends := 'dead';
	END IF;
	IF ends NOT IN ('retry', 'released', 'lost') THEN
		PERFORM touchlog.outbox_end(o, ends, error, now);
		IF ends IN ('done', 'suppressed') AND log IS NOT NULL THEN
			PERFORM touchlog.log_own(log, (SELECT f.customer_id FROM touchlog.firing f
			    WHERE f.id = o.firing_id));
		END IF;
		IF ends = 'suppressed' AND log ? 'suppress' THEN
			PERFORM touchlog.suppress('email', log->>'suppress', 'refused');
		END IF;
		RETURN true;
	END IF;
	IF ends <> 'released' THEN
		PERFORM touchlog.outbox_receipt(o, ends, error, now);
	END IF;
	UPDATE touchlog.outbox x SET next_at = coalesce(retry_at, now), claimed_by = NULL,
	    claim_until = NULL, error = coalesce(error, x.error),
	    attempts = x.attempts - (ends = 'released')::integer
	WHERE x.id = o.id;
	RETURN true;
END $$;

-- What this daemon had claimed and knows nothing of (held: what it does know) is due at once: it was
-- killed, or its connection was lost before it heard of its claim.
CREATE FUNCTION touchlog.outbox_recover(instance text, held bigint[] DEFAULT '{}') RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n integer;
BEGIN
	UPDATE touchlog.outbox o SET next_at = clock_timestamp()
	WHERE o.claimed_by = instance AND o.id <> ALL (held);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END $$;

-- A configuration was loaded that has these actions.
CREATE FUNCTION touchlog.outbox_configured(actions jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM touchlog.action_gone g WHERE actions ? g.action;
END $$;

-- What a dispatcher wants to know: whether anything may leave, and in how many seconds the next
-- row, timer or task is due (null: none).
CREATE FUNCTION touchlog.outbox_next(OUT paused boolean, OUT outbox_s double precision,
    OUT timer_s double precision, OUT task_s double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	paused := (SELECT p.paused FROM touchlog.outbox_pause p);
	outbox_s := extract(epoch FROM (SELECT o.next_at FROM touchlog.outbox o
	    WHERE o.next_at < 'infinity' ORDER BY o.next_at LIMIT 1) - clock_timestamp());
	timer_s := extract(epoch FROM (SELECT t.due FROM touchlog.timer t ORDER BY t.due LIMIT 1)
	    - clock_timestamp());
	task_s := extract(epoch FROM (SELECT t.due FROM touchlog.task t WHERE t.done_at IS NULL
	    AND t.overdue_at IS NULL AND t.due IS NOT NULL ORDER BY t.due LIMIT 1)
	    - clock_timestamp());
END $$;

-- For gauges.  Counts stop at a hundred thousand: they are asked for often.
CREATE FUNCTION touchlog.outbox_measure(OUT waiting bigint, OUT dead bigint,
    OUT oldest_s double precision, OUT timers_due bigint, OUT timers_late_s double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	waiting := (SELECT count(*) FROM (SELECT FROM touchlog.outbox o WHERE o.next_at < 'infinity'
	    LIMIT 100000) x);
	dead := (SELECT count(*) FROM (SELECT FROM touchlog.outbox o WHERE o.state = 'dead'
	    LIMIT 100000) x);
	oldest_s := (SELECT extract(epoch FROM clock_timestamp() - f.decided_at)
	    FROM touchlog.firing f WHERE f.id = (SELECT o.firing_id FROM touchlog.outbox o
		WHERE o.state = 'waiting' ORDER BY o.id LIMIT 1));
	timers_due := (SELECT count(*) FROM (SELECT FROM touchlog.timer t
	    WHERE t.due <= clock_timestamp() LIMIT 100000) x);
	timers_late_s := (SELECT extract(epoch FROM clock_timestamp() - t.due) FROM touchlog.timer t
	    WHERE t.due <= clock_timestamp() ORDER BY t.due LIMIT 1);
END $$;

------------------------------------------------------------------ by hand
-- false: it was so already.
CREATE FUNCTION touchlog.outbox_set_paused(paused boolean, who text, why text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	UPDATE touchlog.outbox_pause p SET paused = paused, who = who, why = why,
	    at = clock_timestamp() WHERE p.paused IS DISTINCT FROM paused;
	RETURN FOUND;
END $$;

-- Revives dead rows and has waiting ones tried now; ids null: all that are dead.  What is leased is
-- left alone.  Returns those it did.
CREATE FUNCTION touchlog.outbox_retry(ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	done bigint[];
BEGIN
	WITH r AS (
		UPDATE touchlog.outbox o SET state = 'waiting', next_at = clock_timestamp(),
		    forgiven = o.attempts
		WHERE o.claimed_by IS NULL AND CASE WHEN ids IS NULL THEN o.state = 'dead'
		    ELSE o.id = ANY (ids) END
		RETURNING o.id, o.action
	), g AS (
		DELETE FROM touchlog.action_gone x WHERE x.action IN (SELECT r.action FROM r)
	) SELECT array_agg(r.id ORDER BY r.id) INTO done FROM r;
	RETURN coalesce(done, '{}');
END $$;

------------------------------------------------------------------ tasks
-- As put_own() does.
CREATE FUNCTION touchlog.put_task(t touchlog.task, kind text, body text, agent text) RETURNS uuid
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	channel touchlog.channel;
BEGIN
	SELECT i.channel INTO channel FROM touchlog.interaction i
	WHERE i.id = t.interaction_id AND i.received_at = touchlog.at(t.interaction_id);
	RETURN touchlog.put_own(kind, 'internal', coalesce(channel, 'other'), t.customer_id,
	    t.thread, format('task/%s/%s', t.id, kind), t.title, body, NULL,
	    jsonb_strip_nulls(jsonb_build_object('task', t.id, 'firing', t.firing_id,
		'assign', t.assign, 'due', t.due,
		'rule', (SELECT f.rule FROM touchlog.firing f WHERE f.id = t.firing_id))),
	    agent);
END $$;

-- null: there is no such task; false: it was done before.
CREATE FUNCTION touchlog.task_done(id bigint, who text, note text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	t touchlog.task;
BEGIN
	SELECT x.* INTO t FROM touchlog.task x WHERE x.id = id FOR UPDATE;
	IF t.id IS NULL OR t.done_at IS NOT NULL THEN
		RETURN CASE WHEN t.id IS NOT NULL THEN false END;
	END IF;
	UPDATE touchlog.task x SET done_at = clock_timestamp(), done_by = who, note = note
	WHERE x.id = id;
	PERFORM touchlog.match_own(ARRAY[touchlog.put_task(t, 'resolved', note, who)]);
	RETURN true;
END $$;

-- assign null: nobody's.  null: there is no such task; false: it is done.
CREATE FUNCTION touchlog.task_assign(id bigint, assign text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	t touchlog.task;
BEGIN
	SELECT x.* INTO t FROM touchlog.task x WHERE x.id = id FOR UPDATE;
	IF t.id IS NULL OR t.done_at IS NOT NULL THEN
		RETURN CASE WHEN t.id IS NOT NULL THEN false END;
	END IF;
	UPDATE touchlog.task x SET assign = assign WHERE x.id = id;
	RETURN true;
END $$;

-- Logs that tasks are late, each once, n at most; returns how many.
CREATE FUNCTION touchlog.task_overdue(n integer, now timestamptz DEFAULT clock_timestamp())
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	t touchlog.task;
	late uuid[] := '{}';
BEGIN
	FOR t IN SELECT x.* FROM touchlog.task x WHERE x.done_at IS NULL AND x.overdue_at IS NULL
	    AND x.due <= now ORDER BY x.due LIMIT n FOR UPDATE SKIP LOCKED LOOP
		UPDATE touchlog.task x SET overdue_at = now WHERE x.id = t.id;
		late := late || touchlog.put_task(t, 'task_overdue', NULL, NULL);
	END LOOP;
	PERFORM touchlog.match_own(late);
	RETURN cardinality(late);
END $$;

------------------------------------------------------------------ a database in another cluster
-- As in 005, and nothing leaves from there until a person says so: it may be a copy.
CREATE OR REPLACE FUNCTION touchlog.adopt_cluster() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- From xmin on: someone's transaction that began earlier may write later.
	UPDATE touchlog.cluster c SET system_identifier = here.system_identifier,
	    txid_offset = greatest(c.txid_offset,
		(SELECT coalesce(max(i.txid), 0) FROM touchlog.interaction i) + 1
		- pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
	FROM pg_control_system() here
	WHERE c.system_identifier <> here.system_identifier;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	UPDATE touchlog.outbox_pause p SET paused = true, who = 'touchlogd', at = clock_timestamp(),
	    why = 'this database was restored into another cluster'
	WHERE NOT p.paused;
	RETURN true;
END $$;

GRANT SELECT ON touchlog.outbox_pause, touchlog.action_gone TO touchlog_daemon, touchlog_reader;
GRANT EXECUTE ON FUNCTION touchlog.outbox_claim, touchlog.outbox_settle, touchlog.outbox_recover,
    touchlog.outbox_configured, touchlog.outbox_next, touchlog.outbox_measure,
    touchlog.outbox_set_paused, touchlog.outbox_retry, touchlog.task_done, touchlog.task_assign,
    touchlog.task_overdue TO touchlog_daemon;
