-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- The three roles, the schema and its version table.  Roles belong to the whole
-- cluster: another database's migration may have made them already, or may be
-- making them at this moment.  From here on touchlog_admin owns everything, so
-- that no SECURITY DEFINER function of ours ever runs as a superuser.

DO $$
DECLARE
	missing text;
	before text := current_setting('role');
BEGIN
	FOREACH missing IN ARRAY '{touchlog_admin,touchlog_daemon,touchlog_reader}'::text[] LOOP
		CONTINUE WHEN to_regrole(missing) IS NOT NULL;
		BEGIN
			EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
		EXCEPTION
			-- Another migration was first; the role is there now.
			WHEN duplicate_object OR unique_violation THEN NULL;
		END;
	END LOOP;
	-- What counts is whether we may become touchlog_admin: a superuser may
	-- without being a member, and from PostgreSQL 16 on a member may not always.
	BEGIN
		SET LOCAL ROLE touchlog_admin;
	EXCEPTION WHEN insufficient_privilege THEN
		BEGIN
			GRANT touchlog_admin TO CURRENT_USER;
		EXCEPTION WHEN unique_violation THEN NULL;
		END;
	END;
	PERFORM set_config('role', before, true);
	CREATE SCHEMA touchlog AUTHORIZATION touchlog_admin;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION 'role % may not set touchlog up: %', current_user, SQLERRM
	    USING ERRCODE = 'insufficient_privilege', HINT = 'Run touchlog migrate as a superuser,'
	    ' or as a role with CREATEROLE that owns the database.';
END $$;

SET LOCAL ROLE touchlog_admin;

-- Functions are closed unless a migration opens them.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT USAGE ON SCHEMA touchlog TO touchlog_daemon, touchlog_reader;

-- One row for each applied file, written by whoever applies it, in the file's
-- own transaction.
CREATE TABLE touchlog.schema_version (
	version		int		PRIMARY KEY,
	name		text		NOT NULL,
	min_binary	int		NOT NULL,
	sha256		bytea		NOT NULL,
	applied_at	timestamptz	NOT NULL DEFAULT now()
);
GRANT SELECT ON touchlog.schema_version TO touchlog_daemon, touchlog_reader;
