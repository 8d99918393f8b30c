/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Housekeeping.  Each chore is a row: its statement, how often it runs, and what to
 * do with the answer.  One at a time; a chore that fails is logged and tried again
 * when it is next due.
 */
#include "flow/keeper.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/uuid.h"
#include "flow/append.h"
#include "io/loop.h"
#include "io/pg_conn.h"

enum { TICK_MS = 1000, NCHORES = 3, STALL_US = 30 * 1000000 };

struct keeper {
	struct pg_conn	*conn;			/* ours */
	struct event	*tick;			/* ours */
	const struct chore *running;		/* NULL: nothing is asked */
	int64_t		 asked_us;		/* clock_mono_us(), when it was */
	int64_t		 due_us[NCHORES];	/* clock_mono_us() */
	char		 prune_from[UUID_TEXT_SIZE];	/* where the next bite begins */
};

struct chore {
	const char	*name;			/* of the prepared statement too */
	int64_t		 every_s;
	bool		(*send)(struct keeper *k, PGconn *pg);
	void		(*read)(struct keeper *k, const PGresult *res);
};

static const struct pg_statement statements[] = {
	{ "adopt", "SELECT touchlog.adopt_cluster()" },
	{ "partitions", "SELECT touchlog.make_partitions(now())" },
	{ "prune", "SELECT next, removed FROM touchlog.prune_seen($1, 1000)" },
	{ NULL, NULL },
};

static bool
send_adopt(struct keeper *k, PGconn *pg)
{
	(void)k;
	return PQsendQueryPrepared(pg, "adopt", 0, NULL, NULL, NULL, 0);
}

static void
read_adopt(struct keeper *k, const PGresult *res)
{
	(void)k;
	append_tell_adopted(res);
}

static bool
send_partitions(struct keeper *k, PGconn *pg)
{
	(void)k;
	return PQsendQueryPrepared(pg, "partitions", 0, NULL, NULL, NULL, 0);
}

static void
read_partitions(struct keeper *k, const PGresult *res)
{
	long made = strtol(PQgetvalue(res, 0, 0), NULL, 10);

	(void)k;
	if (made <= 0)
		return;
	metric_add(metric_get(METRIC_PARTITIONS_MADE, NULL, NULL), (uint64_t)made);
	log_info("partitions_made", F_NUM("n", made));
}

static bool
send_prune(struct keeper *k, PGconn *pg)
{
	return PQsendQueryPrepared(pg, "prune", 1, (const char *const[]){ k->prune_from }, NULL,
	    NULL, 0);
}

/* Behind the last key it starts over. */
static void
read_prune(struct keeper *k, const PGresult *res)
{
	struct uuid next = { { 0 } };

	if (!PQgetisnull(res, 0, 0) && !uuid_parse(str_of(PQgetvalue(res, 0, 0)), &next))
		return;
	uuid_text(next, k->prune_from);
	metric_add(metric_get(METRIC_SEEN_PRUNED, NULL, NULL),
	    strtoull(PQgetvalue(res, 0, 1), NULL, 10));
}

static const struct chore chores[NCHORES] = {
	{ "adopt",	INT32_MAX, send_adopt,	    read_adopt },
	{ "partitions", 3600,	   send_partitions, read_partitions },
	{ "prune",	1,	   send_prune,	    read_prune },
};

static void
start_chore(struct keeper *k, const struct chore *c)
{
	struct err err;

	k->running = c;
	k->asked_us = clock_mono_us();
	k->due_us[c - chores] = clock_mono_us() + c->every_s * 1000000;
	if (!c->send(k, pg_conn_raw(k->conn)) || !pg_conn_flush(k->conn, &err)) {
		k->running = NULL;
		pg_conn_drop(k->conn);
	}
}

static void
start_due(struct keeper *k)
{
	if (k->running != NULL || !pg_conn_is_up(k->conn))
		return;
	for (size_t i = 0; i < NCHORES; i++)
		if (k->due_us[i] <= clock_mono_us()) {
			start_chore(k, &chores[i]);
			return;
		}
}

/* A hung server is noticed here too when no events come in. */
static void
check_stall(struct keeper *k)
{
	if (k->running == NULL || clock_mono_us() - k->asked_us < STALL_US)
		return;
	log_warn("chore_hangs", F_TEXT("chore", k->running->name));
	k->running = NULL;
	pg_conn_drop(k->conn);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;

	(void)fd;
	(void)what;
	check_stall(k);
	metric_set(metric_get(METRIC_DB_CONNECTED, "keeper", NULL), keeper_is_up(k));
	start_due(k);
}

static void
read_answer(struct keeper *k, const PGresult *res)
{
	if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1)
		k->running->read(k, res);
	else
		log_warn("chore_failed", F_TEXT("chore", k->running->name),
		    F_TEXT("sqlstate", PQresultErrorField(res, PG_DIAG_SQLSTATE)),
		    F_TEXT("error", pg_text(PQresultErrorMessage(res))));
}

static void
on_input(void *owner)
{
	struct keeper *k = owner;
	PGconn *pg = pg_conn_raw(k->conn);

	while (k->running != NULL && !PQisBusy(pg)) {
		PGresult *res = PQgetResult(pg);

		if (res != NULL) {
			read_answer(k, res);
			PQclear(res);
			continue;
		}
		k->running = NULL;
		start_due(k);
	}
}

static void
on_up(void *owner)
{
	struct keeper *k = owner;

	memset(k->due_us, 0, sizeof(k->due_us));	/* all of them, on a new connection */
	start_due(k);
}

static void
on_down(void *owner, const struct err *why)
{
	struct keeper *k = owner;

	(void)why;
	k->running = NULL;
}

static const struct pg_conn_ops ops = { .up = on_up, .down = on_down, .input = on_input };

struct keeper *
keeper_new(struct loop *l, const char *conninfo, struct err *err)
{
	const struct pg_conn_conf conf = { .conninfo = conninfo,
	    .application_name = "touchlogd keeper", .statements = statements };
	const struct timeval tv = { TICK_MS / 1000, 0 };
	struct keeper *k = calloc(1, sizeof(*k));

	if (k == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	/* A different place each time: short runs shall not prune the first keys only. */
	uuid_text(uuid_v7(), k->prune_from);
	k->prune_from[0] = "0123456789abcdef"[arc4random_uniform(16)];
	k->tick = event_new(loop_base(l), -1, EV_PERSIST, on_tick, k);
	k->conn = pg_conn_new(l, &conf, &ops, k, err);
	if (k->conn != NULL && k->tick != NULL && event_add(k->tick, &tv) == 0) {
		pg_conn_start(k->conn);
		return k;
	}
	keeper_free(k);
	return NULL;
}

void
keeper_free(struct keeper *k)
{
	if (k == NULL)
		return;
	pg_conn_free(k->conn);
	if (k->tick != NULL)
		event_free(k->tick);
	free(k);
}

bool
keeper_is_up(const struct keeper *k)
{
	return pg_conn_is_up(k->conn);
}
