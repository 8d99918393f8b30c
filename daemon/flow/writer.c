/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch = one transaction, on one connection.
 *
 * What happens to a batch is a program: a table of steps, read from top to bottom.
 * A step sends something and reads results up to its end; the driver below the tables
 * never names a step.
 *
 * When a step fails, the rest of its results is read, the transaction is rolled back
 * by another program, and the batch goes back to its owner with the reason.  When the
 * connection fails, it goes back at once: whether a COMMIT under way was done is then
 * unknown, and doing the batch again is harmless.
 */
#include "flow/writer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/append.h"
#include "flow/batch.h"
#include "io/loop.h"
#include "io/pg_conn.h"

/* What ends a step: its rows (more of its pipeline follows), the pipeline's end, or the
 * end of a statement outside of pipelines. */
enum step_end { END_TUPLES, END_SYNC, END_NULL };

struct step {
	const char	*name;
	bool		(*wanted)(const struct writer *w);	/* NULL: always */
	/* false: libpq says why not.  NULL: the step before sent it too. */
	bool		(*send)(struct writer *w, PGconn *pg);
	/* One result that is not an error; NULL: nothing to read. */
	bool		(*read)(struct writer *w, const PGresult *res, struct err *err);
	enum step_end	 end;
};

struct writer {
	struct pg_conn			*conn;		/* ours */
	struct event			*stall;		/* ours: the deadline of a step */
	const struct writer_ops		*ops;
	void				*owner;
	int64_t				 merge_limit;
	struct batch			*batch;		/* ours while in flight */
	const struct step		*step;		/* NULL: idle */
	struct append			 append;
	struct write_failure		 failure;	/* the first of this batch */
	bool				 has_failed;
	bool				 lacks_partition;
	bool				 is_committing;	/* COMMIT was sent */
	bool				 has_adopted;	/* on this connection; see first_steps */
	int64_t				 step_us;	/* when the step began */
};

/* ---- the steps of logging a batch ---- */

/* All of it in one pipeline and so in one round trip. */
static bool
send_append(struct writer *w, PGconn *pg)
{
	if (!PQenterPipelineMode(pg) ||
	    !PQsendQueryPrepared(pg, "begin", 0, NULL, NULL, NULL, 0) ||
	    (!w->has_adopted && !PQsendQueryPrepared(pg, "adopt", 0, NULL, NULL, NULL, 0)) ||
	    !append_send(&w->append, pg, w->merge_limit) ||
	    !PQsendQueryPrepared(pg, "commit", 0, NULL, NULL, NULL, 0))
		return false;
	w->is_committing = true;
	return PQpipelineSync(pg) == 1;
}

static bool
read_adopt(struct writer *w, const PGresult *res, struct err *err)
{
	(void)w;
	(void)err;
	append_tell_adopted(res);
	return true;
}

static bool
read_append(struct writer *w, const PGresult *res, struct err *err)
{
	return append_read(&w->append, res, err);
}

/* "ROLLBACK" in answer to COMMIT: the transaction had failed without our seeing it. */
static bool
read_commit(struct writer *w, const PGresult *res, struct err *err)
{
	union { const PGresult *in; PGresult *out; } r = { .in = res };

	(void)w;
	if (strcmp(PQcmdStatus(r.out), "ROLLBACK") == 0)
		return err_set(err, ERR_RETRY, "COMMIT was answered with ROLLBACK");
	return true;
}

static const struct step log_steps[] = {
	{ "append", NULL, send_append, read_append, END_TUPLES },
	{ "commit", NULL, NULL,	       read_commit, END_SYNC },
	{ 0 },
};

/* The first batch of a connection.  In a restored database no row may get a txid from
 * below the old ones: followers, who stand above it, would never see the row. */
static const struct step first_steps[] = {
	{ "adopt",  NULL, send_append, read_adopt,  END_TUPLES },
	{ "append", NULL, NULL,	       read_append, END_TUPLES },
	{ "commit", NULL, NULL,	       read_commit, END_SYNC },
	{ 0 },
};

/* ---- parking, and clearing up after a failure ---- */

static bool
send_park(struct writer *w, PGconn *pg)
{
	return append_send_park(&w->append, pg);
}

static bool
read_park(struct writer *w, const PGresult *res, struct err *err)
{
	return append_read_park(&w->append, res, err);
}

static const struct step park_steps[] = {
	{ "park", NULL, send_park, read_park, END_NULL },
	{ 0 },
};

static bool
send_rollback(struct writer *w, PGconn *pg)
{
	(void)w;
	return PQsendQueryPrepared(pg, "rollback", 0, NULL, NULL, NULL, 0);
}

static bool
wants_partition(const struct writer *w)
{
	return w->lacks_partition;
}

static bool
send_partitions(struct writer *w, PGconn *pg)
{
	return append_send_partitions(&w->append, pg);
}

static const struct step clear_steps[] = {
	{ "rollback",	NULL,		 send_rollback,	  NULL, END_NULL },
	{ "partitions", wants_partition, send_partitions, NULL, END_NULL },
	{ 0 },
};

/* ---- the driver ---- */

static void
set_stall(struct writer *w)
{
	struct timeval tv = { WRITER_STALL_MS / 1000, 0 };

	(void)event_add(w->stall, &tv);
}

static void
note_failure(struct writer *w, enum err_kind kind, const char *sqlstate, const char *text)
{
	if (w->has_failed)
		return;		/* the first is the cause */
	w->has_failed = true;
	(void)err_set(&w->failure.err, kind, "step=%s: %s", w->step->name, text);
	(void)snprintf(w->failure.sqlstate, sizeof(w->failure.sqlstate), "%.5s",
	    sqlstate != NULL ? sqlstate : "");
}

static void
tell_refused(const struct writer *w)
{
	if (w->append.refused == 0)
		return;
	metric_add(metric_get(METRIC_MERGES_REFUSED, NULL, NULL), (uint64_t)w->append.refused);
	log_warn("merges_refused", F_NUM("n", w->append.refused),
	    F_TEXT("hint", "touchlog customer identities shows them"));
}

/* Foreign call last: the owner may give us the next batch in it. */
static void
finish(struct writer *w)
{
	struct batch *b = w->batch;
	const struct write_failure failure = w->failure;
	bool failed = w->has_failed, made_actions = pg_conn_take_hint(w->conn) && !failed;

	if (!failed)
		tell_refused(w);
	w->has_adopted |= !failed && b->kind == BATCH_LOG;
	(void)event_del(w->stall);
	w->batch = NULL;
	w->step = NULL;
	w->has_failed = w->lacks_partition = w->is_committing = false;
	if (failed && pg_conn_is_up(w->conn) && pg_error_is_stale(failure.sqlstate))
		pg_conn_drop(w->conn);
	if (made_actions)
		w->ops->enqueued(w->owner);
	w->ops->done(w->owner, b, failed ? &failure : NULL);
}

/* The connection is lost or not to be trusted. */
static void
give_up(struct writer *w, const char *text)
{
	if (w->step != NULL)
		note_failure(w, w->is_committing ? ERR_UNCERTAIN : ERR_RETRY, NULL, text);
	pg_conn_drop(w->conn);
	if (w->batch != NULL)
		finish(w);
	else
		w->ops->changed(w->owner);
}

/* Sends the first step from `step` on that is wanted; behind the last one, finishes. */
static void
run_from(struct writer *w, const struct step *step)
{
	PGconn *pg = pg_conn_raw(w->conn);
	struct err err;

	while (step->name != NULL && step->wanted != NULL && !step->wanted(w))
		step++;
	w->step = step;
	w->step_us = clock_mono_us();
	if (step->name == NULL) {
		finish(w);
		return;
	}
	set_stall(w);
	if (step->send == NULL)
		return;
	if (!step->send(w, pg))
		give_up(w, pg_text(PQerrorMessage(pg)));
	else if (!pg_conn_flush(w->conn, &err))
		give_up(w, err.text);
}

static bool
is_clearing(const struct step *step)
{
	return step >= clear_steps &&
	    step < clear_steps + sizeof(clear_steps) / sizeof(clear_steps[0]);
}

/* is_synced: this was the end of a pipeline too, even if the step did not expect it. */
static void
end_step(struct writer *w, bool is_synced)
{
	const struct step *step = w->step;

	metric_observe(metric_get(METRIC_BATCH_STEP, step->name, NULL),
	    (double)(clock_mono_us() - w->step_us) / 1e6);
	if (is_synced)
		(void)PQexitPipelineMode(pg_conn_raw(w->conn));
	/* E.g. committed here, but a synchronous standby did not answer. */
	if (is_synced && !w->has_failed && pg_conn_take_warning(w->conn))
		note_failure(w, ERR_UNCERTAIN, NULL, "COMMIT came with a warning");
	if (step->end == END_TUPLES && !is_synced)
		run_from(w, step + 1);		/* the rest of the pipeline has to be read */
	else if (w->has_failed && !is_clearing(step))
		run_from(w, clear_steps);
	else
		run_from(w, step + 1);
}

/* Why a missing partition cannot be made says more than that it is missing. */
static void
note_no_partition(struct writer *w, const PGresult *res)
{
	const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);

	(void)err_set(&w->failure.err, w->failure.err.kind, "step=%s: %s; %s", w->step->name,
	    pg_text(PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)), hint != NULL ? hint : "");
}

static void
read_error(struct writer *w, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *constraint = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);

	if (w->step->send == send_partitions) {
		note_no_partition(w, res);
		return;
	}
	/* 23514 that names no constraint: no partition takes this row. */
	if (!w->has_failed && state != NULL && strcmp(state, "23514") == 0 && constraint == NULL)
		w->lacks_partition = true;
	note_failure(w, pg_error_kind(state, constraint), state,
	    pg_text(PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)));
}

/* True when this result ends the step. */
static bool
take_result(struct writer *w, const PGresult *res)
{
	const struct step *step = w->step;
	struct err err;

	switch (PQresultStatus(res)) {
	case PGRES_PIPELINE_ABORTED:
		return false;	/* what failed before it has been noted */
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		if (step->end == END_TUPLES && PQresultStatus(res) != PGRES_TUPLES_OK)
			return false;	/* BEGIN's */
		if (step->read != NULL && !step->read(w, res, &err))
			note_failure(w, err.kind, NULL, err.text);
		return step->end == END_TUPLES;
	default:
		read_error(w, res);
		return false;
	}
}

static void
on_input(void *owner)
{
	struct writer *w = owner;
	const struct step *step = w->step;
	PGconn *pg = pg_conn_raw(w->conn);

	/* Until this step ends; ending it may start another, or lose the connection. */
	while (w->step == step && step != NULL && pg_conn_is_up(w->conn) && !PQisBusy(pg)) {
		PGresult *res = PQgetResult(pg);
		bool is_sync = PQresultStatus(res) == PGRES_PIPELINE_SYNC;
		bool ends = res == NULL ? step->end == END_NULL : is_sync || take_result(w, res);

		PQclear(res);
		if (PQstatus(pg) == CONNECTION_BAD) {
			give_up(w, w->has_failed ? w->failure.err.text : pg_text(PQerrorMessage(pg)));
			return;
		}
		if (ends) {
			end_step(w, is_sync);
			step = w->step;
			pg = pg_conn_raw(w->conn);
		}
	}
}

/* ---- connection ---- */

static void
on_up(void *owner)
{
	struct writer *w = owner;

	w->has_adopted = false;
	w->ops->changed(w->owner);
}

static void
on_down(void *owner, const struct err *why)
{
	struct writer *w = owner;

	if (w->batch == NULL) {
		w->ops->changed(w->owner);
		return;
	}
	note_failure(w, w->is_committing ? ERR_UNCERTAIN : ERR_RETRY, NULL, why->text);
	finish(w);
}

static const struct pg_conn_ops conn_ops = { .up = on_up, .down = on_down, .input = on_input };

static void
on_stall(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	give_up(arg, "the server does not answer");
}

/* ---- public ---- */

struct writer *
writer_new(struct loop *l, const struct writer_conf *conf, const struct writer_ops *ops,
    void *owner, struct err *err)
{
	const struct pg_conn_conf conn = { .conninfo = conf->conninfo,
	    .application_name = "touchlogd writer", .statements = append_statements };
	struct writer *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	w->ops = ops;
	w->owner = owner;
	w->merge_limit = conf->merge_limit;
	append_init(&w->append);
	w->stall = evtimer_new(loop_base(l), on_stall, w);
	w->conn = pg_conn_new(l, &conn, &conn_ops, w, err);
	if (w->conn != NULL && w->stall != NULL) {
		pg_conn_start(w->conn);
		return w;
	}
	writer_free(w);
	return NULL;
}

void
writer_free(struct writer *w)
{
	if (w == NULL)
		return;
	pg_conn_free(w->conn);
	if (w->stall != NULL)
		event_free(w->stall);
	batch_free(w->batch);
	append_fini(&w->append);
	free(w);
}

bool
writer_is_up(const struct writer *w)
{
	return pg_conn_is_up(w->conn);
}

bool
writer_is_idle(const struct writer *w)
{
	return pg_conn_is_up(w->conn) && w->batch == NULL;
}

struct batch *
writer_batch(const struct writer *w)
{
	return w->batch;
}

int64_t
writer_step_ms(const struct writer *w)
{
	return w->step != NULL && pg_conn_is_up(w->conn) ?
	    (clock_mono_us() - w->step_us) / 1000 : 0;
}

const char *
writer_why(const struct writer *w)
{
	return pg_conn_why(w->conn);
}

void
writer_put(struct writer *w, struct batch *take_batch)
{
	assert(writer_is_idle(w));
	w->batch = take_batch;
	w->step = take_batch->kind == BATCH_PARK ? park_steps :
	    w->has_adopted ? log_steps : first_steps;
	(void)pg_conn_take_warning(w->conn);
	if (!append_start(&w->append, take_batch, pg_conn_row_type(w->conn))) {
		note_failure(w, ERR_RETRY, NULL, "out of memory");
		finish(w);
		return;
	}
	run_from(w, w->step);
}
