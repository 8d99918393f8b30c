-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- The log and what the append transaction writes beside it.  No foreign keys,
-- triggers or further unique keys on the log tables: they may be distributed
-- by customer_id one day, and each would cost every row.

SET LOCAL ROLE touchlog_admin;

CREATE TYPE touchlog.channel AS ENUM ('email', 'call', 'form', 'web', 'sms', 'chat', 'social',
    'app', 'survey', 'fax', 'post', 'coupon', 'meeting', 'speech', 'other');
CREATE TYPE touchlog.direction AS ENUM ('in', 'out', 'internal');
CREATE TYPE touchlog.customer_kind AS ENUM ('person', 'organisation');
CREATE TYPE touchlog.merge_state AS ENUM ('joined', 'undone', 'refused');
CREATE TYPE touchlog.parked_state AS ENUM ('open', 'retried', 'dropped');

-- The millisecond in a UUIDv7: received_at of the event that carries this id.
CREATE FUNCTION touchlog.at(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT to_timestamp(('x' || encode(substring(uuid_send(id) FOR 6), 'hex'))::bit(48)::bigint
    / 1000.0) $$;

-- Append-only: no row is ever updated, merges and states are read through views.
CREATE TABLE touchlog.interaction (
	id		uuid			NOT NULL,
	received_at	timestamptz		NOT NULL,	-- touchlog.at(id)
	occurred_at	timestamptz		NOT NULL,
	customer_id	bigint			NOT NULL,	-- <= 0: nobody known
	source		text			NOT NULL,
	brand		text,
	channel		touchlog.channel	NOT NULL,
	direction	touchlog.direction	NOT NULL,
	kind		text			NOT NULL,
	external_id	text,
	thread		text,
	agent		text,
	subject		text,
	body		text,
	outcome		text,
	duration	interval,
	wait		interval,
	amount		numeric(18,4),
	currency	char(3),
	score		smallint,
	campaign	text,
	attributes	jsonb			NOT NULL DEFAULT '{}',
	txid		bigint			NOT NULL,	-- with cluster.txid_offset
	PRIMARY KEY (id, received_at, customer_id)
) PARTITION BY RANGE (received_at);
CREATE INDEX interaction_customer ON touchlog.interaction (customer_id, occurred_at, id);
CREATE INDEX interaction_thread ON touchlog.interaction (thread, occurred_at)
    WHERE thread IS NOT NULL;
CREATE INDEX interaction_txid ON touchlog.interaction (txid);

-- The originals, in weekly partitions that are dropped whole.
CREATE TABLE touchlog.document (
	id		uuid		NOT NULL,
	received_at	timestamptz	NOT NULL,
	customer_id	bigint		NOT NULL,
	payload		jsonb		NOT NULL,
	PRIMARY KEY (id, received_at, customer_id)
) PARTITION BY RANGE (received_at);

-- Carries the interaction's whole key, so that its partition and, where the log
-- is distributed, its shard are found.
CREATE TABLE touchlog.participant (
	interaction_id		uuid		NOT NULL,
	received_at		timestamptz	NOT NULL,
	interaction_customer_id	bigint		NOT NULL,
	customer_id		bigint		NOT NULL,
	role			text		NOT NULL,
	PRIMARY KEY (interaction_id, customer_id, role)
);
CREATE INDEX participant_customer ON touchlog.participant (customer_id, received_at);

CREATE SEQUENCE touchlog.customer_id AS bigint;
CREATE TABLE touchlog.customer (
	id		bigint			PRIMARY KEY DEFAULT nextval('touchlog.customer_id'),
	kind		touchlog.customer_kind	NOT NULL DEFAULT 'person',
	member_of	bigint,
	name		text,
	stage		text,
	tags		text[]			NOT NULL DEFAULT '{}',
	owner		text,
	priority	smallint,
	language	text,
	time_zone	text,
	address		jsonb,
	attributes	jsonb			NOT NULL DEFAULT '{}',
	created_at	timestamptz		NOT NULL DEFAULT now(),
	root_id		bigint			NOT NULL
);
CREATE INDEX customer_root ON touchlog.customer (root_id);
ALTER SEQUENCE touchlog.customer_id OWNED BY touchlog.customer.id;

-- Collation C: values are normalised and only ever compared for equality, and
-- all writers must agree on the order in which they insert them.
CREATE TABLE touchlog.identity (
	value		text COLLATE "C"	NOT NULL,
	kind		text COLLATE "C"	NOT NULL,
	customer_id	bigint			NOT NULL,
	strong		boolean			NOT NULL,
	received_as	text,			-- null: as value
	first_seen	timestamptz		NOT NULL DEFAULT now(),
	PRIMARY KEY (value, kind)
);
CREATE INDEX identity_customer ON touchlog.identity (customer_id);

-- Edges between own customers; a component is what joined edges connect.
CREATE TABLE touchlog.merge (
	id		bigint			GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	a_id		bigint			NOT NULL,
	b_id		bigint			NOT NULL,
	state		touchlog.merge_state	NOT NULL,
	evidence	jsonb,
	at		timestamptz		NOT NULL DEFAULT now(),
	undone_at	timestamptz,
	UNIQUE (a_id, b_id),
	CHECK (a_id < b_id)
);
CREATE INDEX merge_b ON touchlog.merge (b_id);

-- What a person did to a customer by hand.
CREATE TABLE touchlog.customer_change (
	id		bigint		GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	customer_id	bigint		NOT NULL,
	who		text		NOT NULL,	-- the role that logged in
	what		jsonb		NOT NULL,	-- {"joined": 7}, {"split": 7}
	at		timestamptz	NOT NULL DEFAULT now(),
	why		text
);
CREATE INDEX customer_change_customer ON touchlog.customer_change (customer_id, at);

CREATE TABLE touchlog.seen (
	key	uuid	PRIMARY KEY,
	id	uuid	NOT NULL,
	until	date			-- null: for ever
);

CREATE TABLE touchlog.cluster (
	system_identifier	bigint	NOT NULL,
	txid_offset		bigint	NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX cluster_one_row ON touchlog.cluster ((true));
INSERT INTO touchlog.cluster SELECT system_identifier FROM pg_control_system();

CREATE TABLE touchlog.parked (
	id		uuid			PRIMARY KEY,
	key		uuid			NOT NULL UNIQUE,
	source		text			NOT NULL,
	raw		bytea			NOT NULL,
	content_type	text,
	reason		text			NOT NULL,
	sqlstate	text,
	attempts	int			NOT NULL DEFAULT 1,
	first_at	timestamptz		NOT NULL DEFAULT now(),
	last_at		timestamptz		NOT NULL DEFAULT now(),
	state		touchlog.parked_state	NOT NULL DEFAULT 'open'
);

-- Makes one partition unless it is there.  LIKE + CHECK + ATTACH, because
-- CREATE ... PARTITION OF stalls inserts behind any reader of the parent.  The
-- CHECK only spares ATTACH its scan; left in place it would cost every row.
CREATE FUNCTION touchlog.make_partition(parent text, part text, low timestamptz, high timestamptz)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	there regclass := to_regclass(format('touchlog.%I', part));
BEGIN
	IF there IS NOT NULL THEN
		IF NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = there) THEN
			RAISE EXCEPTION 'table % is no partition of touchlog.%', there, parent
			    USING ERRCODE = 'object_not_in_prerequisite_state',
			    HINT = 'Was it detached and not dropped?';
		END IF;
		RETURN false;
	END IF;
	EXECUTE format('CREATE TABLE touchlog.%I (LIKE touchlog.%I INCLUDING ALL,'
	    ' CONSTRAINT attach CHECK (received_at >= %L AND received_at < %L))',
	    part, parent, low, high);
	EXECUTE format('ALTER TABLE touchlog.%I ATTACH PARTITION touchlog.%I'
	    ' FOR VALUES FROM (%L) TO (%L)', parent, part, low, high);
	EXECUTE format('ALTER TABLE touchlog.%I DROP CONSTRAINT attach', part);
	RETURN true;
END $$;

-- Months of the log and weeks of the originals, from this time to two months
-- ahead; of what is past, only the one asked for (an old id in a spool).
-- Returns how many were made.  Names carry the first day, so that they sort.
CREATE FUNCTION touchlog.make_partitions(from_time timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
	made integer := 0;
	step record;
BEGIN
	-- Two daemons may find the same partition missing.
	PERFORM pg_advisory_xact_lock(hashtextextended('touchlog.make_partitions', 0));
	FOR step IN
		SELECT p.parent, d.low, d.low + p.span AS high
		FROM (VALUES ('interaction', 'month', interval '1 month'),
		    ('document', 'week', interval '1 week')) p(parent, unit, span),
		LATERAL generate_series(date_trunc(p.unit, from_time),
		    from_time + interval '2 months', p.span) d(low)
		WHERE d.low <= from_time OR d.low + p.span > now()
		ORDER BY p.parent, d.low
	LOOP
		made := made + touchlog.make_partition(step.parent,
		    step.parent || to_char(step.low, '_YYYYMMDD'), step.low, step.high)::int;
	END LOOP;
	RETURN made;
END $$;

SELECT touchlog.make_partitions();

-- The daemon appends to the log and reads it; customers, identities, keys and
-- what is parked it changes only through functions.  Originals it only writes.
GRANT INSERT ON touchlog.interaction, touchlog.document, touchlog.participant TO touchlog_daemon;
GRANT SELECT ON touchlog.interaction, touchlog.participant, touchlog.customer, touchlog.identity,
    touchlog.merge, touchlog.seen, touchlog.cluster, touchlog.parked TO touchlog_daemon;
GRANT SELECT ON touchlog.interaction, touchlog.document, touchlog.participant, touchlog.customer,
    touchlog.identity, touchlog.merge, touchlog.customer_change, touchlog.seen, touchlog.cluster,
    touchlog.parked TO touchlog_reader;
GRANT EXECUTE ON FUNCTION touchlog.at TO touchlog_daemon, touchlog_reader;
GRANT EXECUTE ON FUNCTION touchlog.make_partitions TO touchlog_daemon;
