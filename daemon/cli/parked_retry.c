/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touchlog parked retry: a page of parked events at a time goes the daemon's own way;
 * what was logged, or turns out to be a duplicate, is settled.  Should we be killed in
 * between, a second retry finds it logged under its own id and settles it then.
 */
#include "cli/parked_retry.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/uuid.h"
#include "cli/db.h"
#include "cli/replay.h"
#include "cli/sources.h"
#include "edge/config.h"
#include "model/source.h"

enum { NAMES_MAX_BYTES = 64 * 1024, LINE_MAX_BYTES = 4096, TIME_BYTES = 48 };

const struct option_row parked_retry_options[] = {
	{ "source", '\0', OPTION_TEXT, offsetof(struct parked_retry_options, source), "NAME",
	    .help = "all open ones of this source" },
	{ "all", '\0', OPTION_SWITCH, offsetof(struct parked_retry_options, is_all),
	    .help = "all open ones" },
	{ 0 },
};

enum column_of_page { AT_ID, AT_KEY, AT_SOURCE, AT_RAW, AT_TYPE, AT_FIRST };

#define COLUMNS "id::text, key::text, source, raw, content_type, first_at::text"

static const char one_sql[] =
    "SELECT " COLUMNS " FROM touchlog.parked WHERE id = $1::uuid";

/* A page is at most 100 events and, but for a larger one alone, 8 MiB.  What is parked
 * while we are at it waits for the next time, or we might never end. */
static const char page_sql[] =
    "SELECT " COLUMNS " FROM ("
    " SELECT *, sum(octet_length(raw)) OVER (ORDER BY first_at, id) - octet_length(raw) AS before"
    " FROM (SELECT * FROM touchlog.parked WHERE state = 'open'"
    " AND ($1::text[] IS NULL OR source = ANY($1)) AND first_at <= $2::timestamptz"
    " AND (first_at, id) > ($3::timestamptz, $4::uuid) ORDER BY first_at, id LIMIT 100) p) q"
    " WHERE before < 8388608 ORDER BY first_at, id";

struct retrying {
	struct cli		*cli;
	PGconn			*pg;		/* ours */
	struct replay		*replay;	/* ours */
	size_t			 n;		/* events so far */
	bool			 has_failed;	/* some are still parked */
};

/* ---- one event ---- */

static void
print_fate(struct retrying *r, const char *id, const char *fate, const char *of, const char *why)
{
	struct buf line;

	buf_init(&line, LINE_MAX_BYTES);
	if (r->cli->wants_json) {
		buf_printf(&line, "%s{\"id\":\"%s\",\"fate\":\"%s\"", r->n > 0 ? ",\n " : "", id, fate);
		if (of != NULL)
			buf_printf(&line, ",\"of\":\"%s\"", of);
		if (why != NULL) {
			buf_text(&line, ",\"reason\":");
			buf_json(&line, str_of(why));
		}
		buf_text(&line, "}");
		(void)fwrite(line.p, 1, line.n, stdout);
	} else if (why != NULL) {
		(void)printf("%s: still parked: %s\n", id, why);
	} else {
		(void)printf("%s: %s%s%s\n", id, fate, of != NULL ? " of " : "", of != NULL ? of : "");
	}
	buf_fini(&line);
	r->n++;
}

static void
say_parked(struct retrying *r, const char *id, const char *why)
{
	r->has_failed = true;
	print_fate(r, id, "parked", NULL, why);
}

static bool
settle(struct retrying *r, const char *id)
{
	const char *const values[] = { id };
	PGresult *res = db_query(r->pg, "SELECT touchlog.settle_parked($1::uuid, 'retried')", values,
	    1);

	PQclear(res);
	return res != NULL;
}

/* PostgreSQL refused it again: it stands there why. */
static bool
say_refused(struct retrying *r, const char *id)
{
	const char *const values[] = { id };
	PGresult *res = db_query(r->pg, "SELECT reason FROM touchlog.parked WHERE id = $1::uuid",
	    values, 1);

	if (res == NULL)
		return false;
	say_parked(r, id, PQntuples(res) == 1 ? PQgetvalue(res, 0, 0) : "refused");
	PQclear(res);
	return true;
}

static bool
tell(struct retrying *r, const struct replay_job *job, const char *id)
{
	char of[UUID_TEXT_SIZE];

	if (!job->was_taken) {
		say_parked(r, id, job->why.text);
		return true;
	}
	switch (job->fate.kind) {
	case FATE_LOGGED:
		print_fate(r, id, "logged", NULL, NULL);
		return settle(r, id);
	case FATE_DUPLICATE:
		uuid_text(job->fate.id, of);
		print_fate(r, id, "duplicate", of, NULL);
		return settle(r, id);
	case FATE_PARKED:
		return say_refused(r, id);
	default:
		say_parked(r, id, "the database did not take it in time");
		return true;
	}
}

/* ---- a page ---- */

static void
fill_job(const struct retrying *r, const PGresult *res, int row, struct replay_job *job)
{
	const struct source *s = sources_find(r->cli->config, db_cell(res, row, AT_SOURCE));

	job->source = s != NULL ? s->name : STR_NONE;
	job->parking = (struct parking){ .source = job->source,
	    .raw = db_cell(res, row, AT_RAW), .content_type = db_cell(res, row, AT_TYPE) };
	if (!uuid_parse(db_cell(res, row, AT_ID), &job->parking.id) ||
	    !uuid_parse(db_cell(res, row, AT_KEY), &job->parking.key))
		abort();	/* PostgreSQL's own uuid */
}

static bool
has_source(struct retrying *r, const PGresult *res, int row)
{
	char why[200];
	struct str name = db_cell(res, row, AT_SOURCE);

	if (sources_find(r->cli->config, name) != NULL)
		return true;
	(void)snprintf(why, sizeof(why), "its source %.*s is not in the configuration (a renamed "
	    "one says was:)", STR_ARG(str_prefix_utf8(name, 80)));
	say_parked(r, PQgetvalue(res, row, AT_ID), why);
	return false;
}

static bool
run_page(struct retrying *r, const PGresult *res)
{
	size_t n = (size_t)PQntuples(res), njobs = 0;
	struct replay_job *jobs = calloc(n + 1, sizeof(*jobs));
	char id[UUID_TEXT_SIZE];
	bool ok = jobs != NULL;

	if (!ok)
		cli_note("out of memory");
	for (size_t i = 0; ok && i < n; i++)
		if (has_source(r, res, (int)i))
			fill_job(r, res, (int)i, &jobs[njobs++]);
	if (ok)
		replay_run(r->replay, jobs, njobs);
	for (size_t i = 0; ok && i < njobs; i++) {
		uuid_text(jobs[i].parking.id, id);
		ok = tell(r, &jobs[i], id);
	}
	free(jobs);
	(void)fflush(stdout);
	return ok;
}

/* In binary: raw as it is; all else is text, which is the same in both. */
static PGresult *
ask(struct retrying *r, const char *sql, const char *const *values, int n)
{
	PGresult *res = PQexecParams(r->pg, sql, n, NULL, values, NULL, NULL, 1);

	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		return res;
	(void)db_fail(res);
	PQclear(res);
	return NULL;
}

static enum exit_code
retry_one(struct retrying *r, const char *id)
{
	const char *const values[] = { id };
	PGresult *res = ask(r, one_sql, values, 1);
	enum exit_code code = CLI_OK;

	if (res == NULL)
		return CLI_DATABASE;
	if (PQntuples(res) == 0)
		code = cli_fail(CLI_NOT_FOUND, "nothing is parked as %s", id);
	else if (!run_page(r, res))
		code = CLI_DATABASE;
	PQclear(res);
	return code;
}

static enum exit_code
retry_pages(struct retrying *r, const char *names, const char *started)
{
	char first_at[TIME_BYTES] = "-infinity", id[UUID_TEXT_SIZE] =
	    "00000000-0000-0000-0000-000000000000";
	const char *const values[] = { names, started, first_at, id };
	bool ok = true;
	int n = 1;

	while (ok && n > 0) {
		PGresult *res = ask(r, page_sql, values, 4);

		ok = res != NULL;
		n = ok ? PQntuples(res) : 0;
		if (n > 0) {
			(void)snprintf(first_at, sizeof(first_at), "%s",
			    PQgetvalue(res, n - 1, AT_FIRST));
			(void)snprintf(id, sizeof(id), "%s", PQgetvalue(res, n - 1, AT_ID));
			ok = run_page(r, res);
		}
		PQclear(res);
	}
	return ok ? CLI_OK : CLI_DATABASE;
}

static enum exit_code
retry_many(struct retrying *r, const char *source)
{
	PGresult *now = db_query(r->pg, "SELECT now()", NULL, 0);
	enum exit_code code = CLI_DATABASE;
	struct buf names;

	buf_init(&names, NAMES_MAX_BYTES);
	if (source != NULL)
		sources_names(r->cli->config, source, &names);
	if (!buf_ok(&names))
		code = cli_fail(CLI_USAGE, "this is too long for a source");
	else if (now != NULL)
		code = retry_pages(r, names.p, PQgetvalue(now, 0, 0));
	buf_fini(&names);
	PQclear(now);
	return code;
}

/* ---- the verb ---- */

/* The channels own a configuration of their own: ours says which source is which. */
static bool
start(struct retrying *r)
{
	struct config *c = config_load_without_secrets(r->cli->config_path);
	struct err err;

	if (c == NULL || conf_errors(c->conf) > 0)
		(void)err_set(&err, ERR_CONFIG, "the configuration changed while it was read");
	else if ((r->replay = replay_new(c, &err)) != NULL)
		return true;
	config_free(c);
	cli_note("%s", err.text);
	return false;
}

static enum exit_code
run(struct retrying *r, const struct parked_retry_options *o)
{
	enum exit_code code;

	if (r->cli->wants_json)
		(void)fputs("[", stdout);
	code = r->cli->nargs == 1 ? retry_one(r, r->cli->args[0]) : retry_many(r, o->source);
	if (r->cli->wants_json)
		(void)puts("]");
	else if (code == CLI_OK && r->n == 0)
		(void)puts("nothing is parked");
	return code == CLI_OK && r->has_failed ? CLI_FAILED : code;
}

enum exit_code
parked_retry(struct cli *cli)
{
	const struct parked_retry_options *o = cli->options;
	struct retrying r = { .cli = cli };
	enum exit_code code;
	struct uuid id;

	if ((cli->nargs == 1) + (o->source != NULL) + o->is_all != 1)
		return cli_fail(CLI_USAGE, "ID, --source NAME or --all is wanted, and one of them");
	if (cli->nargs == 1 && !uuid_parse(str_of(cli->args[0]), &id))
		return cli_fail(CLI_USAGE, "%s is no id of a parked event", cli->args[0]);
	r.pg = db_open(cli, DB_WRITE, &code);
	if (r.pg == NULL)
		return code;
	code = start(&r) ? run(&r, o) : CLI_FAILED;
	replay_free(r.replay);
	PQfinish(r.pg);
	return code;
}
