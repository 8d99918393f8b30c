/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touchlog tail: follows the log.
 *
 * By txid, not by time: a row may be committed later than one that was received after
 * it.  What is below the snapshot's xmin is final: nothing can appear there any more, so
 * the rows from where we stood up to there are all there are, and each comes once.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/db.h"
#include "cli/interaction_sql.h"
#include "cli/options.h"
#include "cli/sources.h"
#include "cli/terminal.h"

enum { NAMES_MAX_BYTES = 64 * 1024, LINE_MAX_BYTES = 64 * 1024, UUID_SIZE = 37 };

/* Rows of one answer. */
#define PAGE "1000"

struct tail_options {
	int64_t		 last;
	int64_t		 interval_ms;
	const char	*source;
	const char	*kind;
};

static const struct option_row options[] = {
	{ "last", 'n', OPTION_INT, offsetof(struct tail_options, last), "N", 0, 100000, "10",
	    "the last N rows first" },
	{ "source", '\0', OPTION_TEXT, offsetof(struct tail_options, source), "NAME",
	    .help = "only this source's, also under its former names" },
	{ "kind", '\0', OPTION_TEXT, offsetof(struct tail_options, kind), "KIND",
	    .help = "only this kind" },
	{ "interval", '\0', OPTION_MS, offsetof(struct tail_options, interval_ms), "TIME", 10, 60000,
	    "200ms", "how often to look" },
	{ 0 },
};

#define FILTER								\
    " AND ($1::text[] IS NULL OR source = ANY($1)) AND ($2::text IS NULL OR kind = $2)"
#define LINE								\
    "occurred_at, channel, direction, kind, source, customer_id, " INTERACTION_DETAIL

/* What each answer begins with: where the reader then stands. */
#define PLACE "txid, id, "

struct tail {
	PGconn		*pg;			/* ours */
	bool		 wants_json;
	const char	*sources;		/* text[], or NULL */
	const char	*kind;			/* or NULL */
	/* The last row seen; or all below and with this txid were. */
	int64_t		 txid;
	char		 id[UUID_SIZE];
};

static const char last_id[] = "ffffffff-ffff-ffff-ffff-ffffffffffff";

static volatile sig_atomic_t is_stopped;

static void
on_signal(int number)
{
	(void)number;
	is_stopped = 1;
}

/* A second one ends the program at once, should the database hang. */
static void
catch_signals(void)
{
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

/* True when it was stopped.  Signals come while we wait only, so that none is lost
 * between look and wait. */
static bool
wait_for_signal(const struct timespec *interval)
{
	sigset_t caught, before;

	(void)sigemptyset(&caught);
	(void)sigaddset(&caught, SIGINT);
	(void)sigaddset(&caught, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &caught, &before);
	if (!is_stopped)
		(void)ppoll(NULL, 0, interval, &before);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return is_stopped;
}

/* ---- rows ---- */

static void
put_cell(struct buf *line, struct str cell, size_t width)
{
	size_t from = line->n, used;

	terminal_put(line, cell, TERMINAL_ONE_LINE);
	used = terminal_width((struct str){ line->p + from, line->n - from });
	do
		buf_text(line, " ");
	while (buf_ok(line) && ++used < width + 1);
}

/* A stream has no widest cell: the columns are as wide as their content mostly is. */
static void
print_line(const PGresult *res, int row)
{
	static const size_t widths[] = { 19, 6, 3, 10, 12, 8 };
	struct str time = db_cell(res, row, 2);
	size_t n = sizeof(widths) / sizeof(widths[0]);
	struct buf line;

	if (time.n > widths[0])
		time.n = widths[0];
	buf_init(&line, LINE_MAX_BYTES);
	put_cell(&line, time, widths[0]);
	for (size_t i = 1; i < n; i++)
		put_cell(&line, db_cell(res, row, 2 + (int)i), widths[i]);
	terminal_put(&line, db_cell(res, row, 2 + (int)n), TERMINAL_ONE_LINE);
	(void)printf("%.*s\n", STR_ARG(buf_str(&line)));
	buf_fini(&line);
}

static void
print_rows(struct tail *t, const PGresult *res)
{
	int n = PQntuples(res);

	for (int row = 0; row < n; row++)
		if (t->wants_json)
			(void)puts(PQgetvalue(res, row, 2));
		else
			print_line(res, row);
	if (n > 0) {
		t->txid = db_number(res, n - 1, 0);
		(void)snprintf(t->id, sizeof(t->id), "%s", PQgetvalue(res, n - 1, 1));
	}
}

/* ---- looking ---- */

/* Up to where the log is final now. */
static bool
find_end(struct tail *t, int64_t *ret_end)
{
	PGresult *res = db_query(t->pg, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
	    " + txid_offset FROM touchlog.cluster", NULL, 0);

	if (res == NULL)
		return false;
	*ret_end = db_number(res, 0, 0);
	PQclear(res);
	return true;
}

static PGresult *
ask(const struct tail *t, const char *lines, const char *json, int64_t end, const char *n)
{
	char from_text[DB_NUMBER_BYTES], end_text[DB_NUMBER_BYTES];
	const char *const values[] = { t->sources, t->kind, db_number_text(end_text, end),
	    n != NULL ? n : db_number_text(from_text, t->txid), t->id };

	return db_query(t->pg, t->wants_json ? json : lines, values, n != NULL ? 4 : 5);
}

static bool
print_last(struct tail *t, int64_t end, int64_t n)
{
#define LAST								\
    " FROM (SELECT * FROM touchlog.interaction WHERE txid < $3" FILTER	\
    " ORDER BY txid DESC, id DESC LIMIT $4) i ORDER BY txid, id"
	char limit[DB_NUMBER_BYTES];
	PGresult *res;

	t->txid = end - 1;
	(void)snprintf(t->id, sizeof(t->id), "%s", last_id);
	if (n == 0)
		return true;
	res = ask(t, "SELECT " PLACE LINE LAST, "SELECT " PLACE "to_json(i)" LAST, end,
	    db_number_text(limit, n));
	if (res == NULL)
		return false;
	print_rows(t, res);
	PQclear(res);
	t->txid = end - 1;
	(void)snprintf(t->id, sizeof(t->id), "%s", last_id);
	return true;
}

/* All between where we stand and the end, a page at a time. */
static bool
print_new(struct tail *t, int64_t end)
{
#define NEXT								\
    " FROM touchlog.interaction i WHERE txid < $3" FILTER		\
    " AND txid >= $4 AND (txid, id) > ($4::bigint, $5::uuid) ORDER BY txid, id LIMIT " PAGE
	int n;

	do {
		PGresult *res = ask(t, "SELECT " PLACE LINE NEXT, "SELECT " PLACE "to_json(i)" NEXT,
		    end, NULL);

		if (res == NULL)
			return false;
		n = PQntuples(res);
		print_rows(t, res);
		PQclear(res);
	} while (n > 0);
	if (end - 1 > t->txid) {
		t->txid = end - 1;
		(void)snprintf(t->id, sizeof(t->id), "%s", last_id);
	}
	return true;
}

static enum exit_code
follow(struct tail *t, const struct tail_options *o)
{
	const struct timespec interval = { o->interval_ms / 1000, o->interval_ms % 1000 * 1000000 };
	int64_t end;

	catch_signals();
	if (!find_end(t, &end) || !print_last(t, end, o->last))
		return CLI_DATABASE;
	while (fflush(stdout) == 0 && !wait_for_signal(&interval))
		if (!find_end(t, &end) || !print_new(t, end))
			return CLI_DATABASE;
	return CLI_OK;
}

static enum exit_code
tail(struct cli *cli)
{
	const struct tail_options *o = cli->options;
	struct tail t = { .wants_json = cli->wants_json, .kind = o->kind };
	enum exit_code code;
	struct buf names;

	t.pg = db_open(cli, DB_READ, &code);
	if (t.pg == NULL)
		return code;
	buf_init(&names, NAMES_MAX_BYTES);
	if (o->source != NULL) {
		sources_names(cli->config, o->source, &names);
		t.sources = names.p;
	}
	code = buf_ok(&names) ? follow(&t, o) : cli_fail(CLI_USAGE, "this is too long for a source");
	buf_fini(&names);
	PQfinish(t.pg);
	return code;
}

static const struct verb verbs[] = {
	{ .args = "", .options = options, .size = sizeof(struct tail_options),
	    .summary = "Follow the log until Ctrl-C",
	    .help = "With --json, one object a line. Rows come in the order in which they became "
	    "final:\na long transaction of anybody in the cluster delays them.", .run = tail },
	{ 0 },
};

const struct command command_tail = { "tail", verbs };
