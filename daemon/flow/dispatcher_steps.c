/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a round of the dispatcher asks the database, in this order: a row is a transaction.  What
 * they have to know of each other stands in struct dispatcher, and how they travel in dispatcher.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/action_set.h"
#include "flow/append.h"
#include "flow/backoff.h"
#include "flow/dispatcher_internal.h"
#include "flow/host_gate.h"
#include "flow/intake.h"

enum {
	LEASE_S		= 300,		/* longer than any delivery takes */
	SEEN_US		= 5 * 1000000,
	MEASURE_US	= 10 * 1000000,
	SPOOL_OPENS_US	= 10 * 1000000,	/* after that timers no longer wait to hear of it */
	FAILURES_MAX	= 20,		/* of a settlement: then its lease runs out */
	HORIZON_S	= 3600,		/* a timer further away is as good as none */
	HELD_MAX_BYTES	= 1024 * 1024,	/* far more than DISPATCH_JOBS_MAX ids */
	NUMBER_BYTES	= 32,
};

#define ENDLESS_US	(INT64_C(100) * 365 * 86400 * 1000000)

const struct pg_statement dispatch_statements[] = {
	{ "recover", "SELECT touchlog.outbox_recover($1, $2)" },
	{ "adopt", "SELECT touchlog.adopt_cluster()" },
	{ "configured", "SELECT touchlog.outbox_configured($1)" },
	{ "seen", "SELECT touchlog.daemon_seen($1, to_timestamp($2::float8))" },
	{ "settle", "SELECT touchlog.outbox_settle($1, $2, $3, $4,"
	    " clock_timestamp() + make_interval(secs => $5), $6, $7)" },
	{ "leave", "SELECT touchlog.daemon_left($1)" },
	{ "decide", "SELECT touchlog.decide_due($1, clock_timestamp(), NULL,"
	    " make_interval(secs => $2))" },
	{ "overdue", "SELECT touchlog.task_overdue($1)" },
	{ "claim", "SELECT id, firing_id, action, ended, attempt, nth, payload, address, token"
	    " FROM touchlog.outbox_claim($1, $2, make_interval(secs => $3), $4, $5)" },
	{ "next", "SELECT paused, outbox_s, timer_s, task_s FROM touchlog.outbox_next()" },
	{ "measure", "SELECT waiting, dead, oldest_s, timers_due, timers_late_s"
	    " FROM touchlog.outbox_measure()" },
	{ NULL, NULL },
};

static bool
send(PGconn *pg, const char *name, int n, const char *const *values)
{
	return PQsendQueryPrepared(pg, name, n, values, NULL, NULL, 0) == 1;
}

static const char *
number(char text[NUMBER_BYTES], int64_t n)
{
	(void)snprintf(text, NUMBER_BYTES, "%" PRId64, n);
	return text;
}

static const char *
seconds(char text[NUMBER_BYTES], int64_t us)
{
	(void)snprintf(text, NUMBER_BYTES, "%" PRId64 ".%06" PRId64, us / 1000000, us % 1000000);
	return text;
}

/* 0 where it is null. */
static double
real(const PGresult *res, int column)
{
	return strtod(PQgetvalue(res, 0, column), NULL);
}

/* ---- the first round of a process, of a connection, of a configuration ---- */

static bool
wants_recover(const struct dispatcher *d)
{
	return !d->has_recovered && !d->is_stopping;
}

/* Of a claim whose answer was lost with its connection nobody here knows, as after a crash. */
static bool
send_recover(struct dispatcher *d, PGconn *pg)
{
	struct settlement *s;
	struct buf held;
	bool ok;

	buf_init(&held, HELD_MAX_BYTES);
	buf_text(&held, "{");
	action_job_ids(d, &held);
	TAILQ_FOREACH(s, &d->settlements, in_list)
		buf_printf(&held, "%s%" PRId64, held.n > 1 ? "," : "", s->id);
	buf_add(&held, "}", sizeof("}"));
	ok = !buf_ok(&held) ||
	    send(pg, "recover", 2, (const char *const[]){ d->instance, held.p });
	buf_fini(&held);
	return ok;
}

static void
read_recover(struct dispatcher *d, const PGresult *res)
{
	long n = strtol(PQgetvalue(res, 0, 0), NULL, 10);

	d->has_recovered = true;
	if (n > 0)
		log_warn("deliveries_recovered", F_NUM("n", n), F_TEXT("why", "they were claimed "
		    "when this daemon or its connection ended, and are tried again"));
}

static bool
wants_adopt(const struct dispatcher *d)
{
	return !d->has_adopted && !d->is_stopping;
}

/* Before anything is claimed: a copy of the database must not do what its original does. */
static bool
send_adopt(struct dispatcher *d, PGconn *pg)
{
	(void)d;
	return send(pg, "adopt", 0, NULL);
}

static void
read_adopt(struct dispatcher *d, const PGresult *res)
{
	append_tell_adopted(res);
	d->has_adopted = d->is_busy = true;
}

static bool
wants_configured(const struct dispatcher *d)
{
	return !d->has_configured && !d->is_stopping;
}

static bool
send_configured(struct dispatcher *d, PGconn *pg)
{
	return send(pg, "configured", 1, (const char *const[]){ action_set_json(d->set) });
}

static void
read_configured(struct dispatcher *d, const PGresult *res)
{
	(void)res;
	d->has_configured = true;
}

/* ---- what our spool holds, for which timers wait ---- */

static bool
wants_seen(const struct dispatcher *d)
{
	int64_t oldest_us;

	if (!d->conf.has_spool || d->has_to_leave ||
	    !intake_oldest_spooled(d->conf.intake, &oldest_us))
		return false;
	if (d->timer_us >= d->seen_us && d->timer_us <= clock_mono_us())
		return true;	/* it waits to hear whether we have spooled something */
	return !d->is_seen || clock_mono_us() - d->seen_us >= SEEN_US ||
	    (oldest_us != 0) != d->was_spooling;
}

static bool
send_seen(struct dispatcher *d, PGconn *pg)
{
	char at[NUMBER_BYTES];
	int64_t oldest_us = 0;

	d->was_spooling = intake_oldest_spooled(d->conf.intake, &oldest_us) && oldest_us != 0;
	d->seen_us = clock_mono_us();
	return send(pg, "seen", 2, (const char *const[]){ d->instance,
	    d->was_spooling ? seconds(at, oldest_us) : NULL });
}

static void
read_seen(struct dispatcher *d, const PGresult *res)
{
	(void)res;
	d->is_seen = true;
}

/* ---- receipts ---- */

static bool
wants_settle(const struct dispatcher *d)
{
	return !TAILQ_EMPTY(&d->settlements);
}

static bool
send_settlement(struct dispatcher *d, PGconn *pg, struct settlement *s)
{
	char id[NUMBER_BYTES], attempt[NUMBER_BYTES], in[NUMBER_BYTES];

	s->was_sent = true;
	return send(pg, "settle", 7, (const char *const[]){ number(id, s->id), d->instance,
	    number(attempt, s->attempt), s->ends,
	    s->retry_in_ms >= 0 ? seconds(in, s->retry_in_ms * 1000) : NULL, s->error, s->log });
}

/* One that failed is sent alone, so that the others do not fail with it again. */
static bool
send_settle(struct dispatcher *d, PGconn *pg)
{
	struct settlement *s;
	size_t n = 0;

	TAILQ_FOREACH(s, &d->settlements, in_list) {
		if (n > 0 && (s->nfailures > 0 || n == DISPATCH_SETTLE_MAX))
			break;
		if (!send_settlement(d, pg, s))
			return false;
		n++;
		if (s->nfailures > 0)
			break;
	}
	return true;
}

static struct settlement *
first_sent(const struct dispatcher *d)
{
	struct settlement *s;

	TAILQ_FOREACH(s, &d->settlements, in_list)
		if (s->was_sent)
			return s;
	return NULL;
}

/* They come in the order in which they were sent. */
static void
read_settle(struct dispatcher *d, const PGresult *res)
{
	struct settlement *s;

	TAILQ_FOREACH(s, &d->settlements, in_list)
		if (s->was_sent && !s->is_told)
			break;
	if (s == NULL)
		return;
	s->is_told = true;
	if (PQgetvalue(res, 0, 0)[0] != 't' && !s->is_again)
		log_warn("lease_lost", F_NUM("outbox", s->id), F_NUM("firing", s->firing_id),
		    F_NUM("attempt", s->attempt), F_TEXT("result", s->ends));
}

static void
done_settle(struct dispatcher *d)
{
	struct settlement *s;

	while ((s = first_sent(d)) != NULL)
		settlement_free(d, s);
}

/* The log's own rows have no CHECK by name: 23514 is a partition that will be made. */
static bool
is_of_content(const char *sqlstate)
{
	return sqlstate != NULL &&
	    (pg_error_kind(sqlstate, NULL) == ERR_INPUT || strncmp(sqlstate, "P0", 2) == 0);
}

/* That it was sent is known for sure; that it cannot be logged must not send it again. */
static void
note_failed_settlement(struct dispatcher *d, struct settlement *s, const char *sqlstate)
{
	bool was_alone = s->nfailures > 0;

	s->was_sent = s->is_told = false;
	s->nfailures++;
	if (was_alone && s->log != NULL && is_of_content(sqlstate)) {
		log_warn("own_log_dropped", F_NUM("outbox", s->id), F_TEXT("sqlstate", sqlstate));
		free(s->log);
		s->log = NULL;
	} else if (s->nfailures > FAILURES_MAX) {
		log_warn("settlement_lost", F_NUM("outbox", s->id), F_TEXT("sqlstate", sqlstate));
		settlement_free(d, s);
	}
}

static void
failed_settle(struct dispatcher *d, const char *sqlstate)
{
	struct settlement *s;

	while ((s = first_sent(d)) != NULL)
		note_failed_settlement(d, s, sqlstate);
}

/* ---- the end ---- */

static bool
wants_leave(const struct dispatcher *d)
{
	return d->has_to_leave && d->njobs == 0;
}

/* What still stands in the spool is waited for as long as a dead daemon's. */
static bool
send_leave(struct dispatcher *d, PGconn *pg)
{
	return send(pg, "leave", 1,
	    (const char *const[]){ d->spool_is_empty ? d->instance : NULL });
}

static void
read_leave(struct dispatcher *d, const PGresult *res)
{
	(void)res;
	d->has_left = TAILQ_EMPTY(&d->settlements);
}

/* ---- timers and tasks ---- */

static bool
wants_decide(const struct dispatcher *d)
{
	return d->has_adopted && !d->is_stopping && (!d->conf.has_spool || d->is_seen ||
	    clock_mono_us() - d->started_us > SPOOL_OPENS_US);
}

/* After an outage that was longer than the grace, spools still have to come in: it begins with
 * the connection then, however long ago a timer was due. */
static int64_t
grace_us(const struct dispatcher *d)
{
	int64_t us = d->grace_ms * 1000;

	return clock_mono_us() - d->up_us < us ? ENDLESS_US : us;
}

static bool
send_decide(struct dispatcher *d, PGconn *pg)
{
	char n[NUMBER_BYTES], grace[NUMBER_BYTES];

	return send(pg, "decide", 2, (const char *const[]){ number(n, DISPATCH_DECIDE_MAX),
	    seconds(grace, grace_us(d)) });
}

static void
read_decide(struct dispatcher *d, const PGresult *res)
{
	long n = strtol(PQgetvalue(res, 0, 0), NULL, 10);

	d->is_busy |= n >= DISPATCH_DECIDE_MAX;
	d->has_decided = n > 0;
	if (n > 0)
		metric_add(metric_get(METRIC_TIMERS_DECIDED, NULL, NULL), (uint64_t)n);
}

static void
done_decide(struct dispatcher *d)
{
	if (d->has_decided)
		metric_observe(metric_get(METRIC_DECIDE_SECONDS, NULL, NULL),
		    (double)(clock_mono_us() - d->step_us) / 1e6);
	d->has_decided = false;
}

static bool
wants_overdue(const struct dispatcher *d)
{
	return d->has_adopted && !d->is_stopping;
}

static bool
send_overdue(struct dispatcher *d, PGconn *pg)
{
	char n[NUMBER_BYTES];

	(void)d;
	return send(pg, "overdue", 1, (const char *const[]){ number(n, DISPATCH_OVERDUE_MAX) });
}

static void
read_overdue(struct dispatcher *d, const PGresult *res)
{
	d->is_busy |= strtol(PQgetvalue(res, 0, 0), NULL, 10) >= DISPATCH_OVERDUE_MAX;
}

/* ---- the outbox ---- */

static bool
wants_claim(const struct dispatcher *d)
{
	return d->has_adopted && d->has_recovered && !d->is_stopping && !d->conf.holds &&
	    !d->is_paused && d->njobs < DISPATCH_JOBS_MAX;
}

static bool
send_claim(struct dispatcher *d, PGconn *pg)
{
	char n[NUMBER_BYTES], lease[NUMBER_BYTES], tries[NUMBER_BYTES];
	size_t room = DISPATCH_JOBS_MAX - d->njobs;

	d->nclaimed = room < DISPATCH_CLAIM_MAX ? room : DISPATCH_CLAIM_MAX;
	return send(pg, "claim", 5, (const char *const[]){ number(n, (int64_t)d->nclaimed),
	    d->instance, number(lease, LEASE_S), action_set_json(d->set),
	    number(tries, BACKOFF_TRIES) });
}

/* A row that needs nobody any more, or is put off. */
static void
note_ended(const PGresult *res, int row)
{
	const char *action = PQgetvalue(res, row, 2), *ended = PQgetvalue(res, row, 3);

	metric_add(metric_get(METRIC_DELIVERIES, action, ended), 1);
	if (strcmp(ended, "dead") == 0 || strcmp(ended, "unknown") == 0)
		log_warn("delivery_ended", F_TEXT("result", ended), F_TEXT("action", action),
		    F_TEXT("outbox", PQgetvalue(res, row, 0)),
		    F_TEXT("firing", PQgetvalue(res, row, 1)));
}

/* The jobs begin in done_claim(): what was claimed is ours when that is committed. */
static void
read_claim(struct dispatcher *d, const PGresult *res)
{
	d->is_busy |= (size_t)PQntuples(res) >= d->nclaimed;
	PQclear(d->claimed);
	d->claimed = PQcopyResult(res, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
	if (d->claimed == NULL)
		log_warn("claim_lost", F_NUM("n", PQntuples(res)));
}

static void
done_claim(struct dispatcher *d)
{
	PGresult *res = d->claimed;

	d->claimed = NULL;
	for (int i = 0; i < PQntuples(res); i++)
		if (!PQgetisnull(res, i, 3))
			note_ended(res, i);
		else if (!action_job_start(d, res, i))
			log_warn("claim_lost", F_TEXT("outbox", PQgetvalue(res, i, 0)));
	PQclear(res);
}

static void
failed_claim(struct dispatcher *d, const char *sqlstate)
{
	(void)sqlstate;
	PQclear(d->claimed);
	d->claimed = NULL;
}

/* ---- what comes next ---- */

static bool
always(const struct dispatcher *d)
{
	return !d->has_to_leave;
}

static bool
send_next(struct dispatcher *d, PGconn *pg)
{
	(void)d;
	return send(pg, "next", 0, NULL);
}

static void
take_sooner(struct dispatcher *d, const PGresult *res, int column)
{
	double s = real(res, column);

	if (!PQgetisnull(res, 0, column) && s < d->wait_s)
		d->wait_s = s;
}

static void
note_pause(struct dispatcher *d, bool is_paused)
{
	if (is_paused == d->is_paused)
		return;
	d->is_paused = is_paused;
	if (!is_paused) {
		d->is_busy = true;
		log_info("actions_resumed", F_TEXT("by", "touchlog outbox resume"));
		return;
	}
	log_warn("actions_paused", F_TEXT("hint", "touchlog outbox resume lets them go on"));
	host_gates_release(d->gates);
}

/* Never before the timer is due by the database's clock: the answer was on its way since. */
static int64_t
next_timer_us(const PGresult *res)
{
	double s = real(res, 2);

	if (PQgetisnull(res, 0, 2) || s > HORIZON_S)
		return INT64_MAX;
	return clock_mono_us() + (int64_t)((s > -HORIZON_S ? s : -HORIZON_S) * 1e6);
}

static void
read_next(struct dispatcher *d, const PGresult *res)
{
	d->timer_us = next_timer_us(res);
	note_pause(d, PQgetvalue(res, 0, 0)[0] == 't');
	d->wait_s = HORIZON_S;
	if (wants_claim(d))
		take_sooner(d, res, 1);
	if (wants_decide(d))
		take_sooner(d, res, 2);
	take_sooner(d, res, 3);
}

static bool
wants_measure(const struct dispatcher *d)
{
	return !d->is_stopping &&
	    (d->measured_us == 0 || clock_mono_us() - d->measured_us >= MEASURE_US);
}

static bool
send_measure(struct dispatcher *d, PGconn *pg)
{
	d->measured_us = clock_mono_us();
	return send(pg, "measure", 0, NULL);
}

static void
read_measure(struct dispatcher *d, const PGresult *res)
{
	static const enum metric_id gauges[] = { METRIC_OUTBOX_WAITING, METRIC_OUTBOX_DEAD,
	    METRIC_OUTBOX_OLDEST_AGE, METRIC_TIMERS_DUE, METRIC_TIMERS_LATE };

	(void)d;
	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
		metric_set(metric_get(gauges[i], NULL, NULL), real(res, (int)i));
}

const struct dispatch_step dispatch_steps[DISPATCH_NSTEPS] = {
	{ "recover",	wants_recover,	  send_recover,	   read_recover,    NULL, NULL },
	{ "adopt",	wants_adopt,	  send_adopt,	   read_adopt,	    NULL, NULL },
	{ "configured", wants_configured, send_configured, read_configured, NULL, NULL },
	{ "seen",	wants_seen,	  send_seen,	   read_seen,	    NULL, NULL },
	{ "settle",	wants_settle,	  send_settle,	   read_settle,
	    failed_settle, done_settle },
	{ "leave",	wants_leave,	  send_leave,	   read_leave,	    NULL, NULL },
	{ "decide",	wants_decide,	  send_decide,	   read_decide,	    NULL, done_decide },
	{ "overdue",	wants_overdue,	  send_overdue,	   read_overdue,    NULL, NULL },
	{ "claim",	wants_claim,	  send_claim,	   read_claim,
	    failed_claim, done_claim },
	{ "next",	always,		  send_next,	   read_next,	    NULL, NULL },
	{ "measure",	wants_measure,	  send_measure,	   read_measure,    NULL, NULL },
};
