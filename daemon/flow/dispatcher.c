/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from firings.
 *
 * All that the database is asked is asked in rounds.  A round is one pipeline: the steps of
 * dispatch_steps[] that are wanted, each a transaction of its own, so that what one of them
 * does the next one sees, and what fails fails alone.  One round at a time; what happens meanwhile
 * waits for the next.
 *
 * A round begins when something was made (dispatcher_poke()), ended (a settlement) or is due, and
 * once a second in any case: other daemons make rows too, and people pause and resume.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/action_set.h"
#include "flow/dispatcher_internal.h"
#include "flow/host_gate.h"
#include "io/http_client.h"
#include "io/loop.h"
#include "io/smtp_client.h"

enum {
	POLL_MS		= 1000,
	AGAIN_MS	= 20,			/* what is due was not got: doubled each time */
	STALL_US	= 30 * 1000000,		/* a server that is silent for so long */
	COMPLAIN_US	= 60 * 1000000,		/* of what fails each time */
};

/* ---- when ---- */

static void
set_wake(struct dispatcher *d, int64_t ms)
{
	const struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	(void)event_add(d->wake, &tv);
}

void
dispatcher_wake(struct dispatcher *d)
{
	d->again = true;
	if (!d->in_round)
		set_wake(d, 0);
}

void
dispatcher_poke(struct dispatcher *d)
{
	dispatcher_wake(d);
}

static int64_t
pause_ms(struct dispatcher *d)
{
	int64_t ms = POLL_MS;

	if (d->wait_s > 0) {
		d->nfruitless = 0;
		if (d->wait_s < POLL_MS / 1000.0)
			ms = (int64_t)(d->wait_s * 1000) + 1;
	} else {
		for (ms = AGAIN_MS; ms < POLL_MS && ms < (AGAIN_MS << d->nfruitless); ms *= 2)
			;
		d->nfruitless += d->nfruitless < 10;
	}
	return ms < POLL_MS ? ms : POLL_MS;
}

/* ---- the end of a round ---- */

static bool
has_settlements_to_send(const struct dispatcher *d)
{
	const struct settlement *s = TAILQ_FIRST(&d->settlements);

	return s != NULL && s->nfailures < 2;
}

static void
end_round(struct dispatcher *d)
{
	bool at_once = d->again || d->is_busy || has_settlements_to_send(d);

	(void)PQexitPipelineMode(pg_conn_raw(d->conn));
	d->in_round = false;
	if (d->is_busy)
		d->nfruitless = 0;
	set_wake(d, at_once ? 0 : pause_ms(d));
}

/* The round is over before its end; what was asked may have been done. */
static void
break_round(struct dispatcher *d)
{
	struct settlement *s;

	TAILQ_FOREACH(s, &d->settlements, in_list) {
		s->is_again |= s->was_sent;
		s->was_sent = s->is_told = false;
	}
	PQclear(d->claimed);
	d->claimed = NULL;
	d->in_round = d->is_seen = d->has_adopted = d->has_recovered = d->has_decided = false;
}

static void
give_up(struct dispatcher *d)
{
	break_round(d);
	pg_conn_drop(d->conn);
}

/* ---- reading ---- */

static bool
find_sent(struct dispatcher *d)
{
	while (d->reading < DISPATCH_NSTEPS && !d->is_sent[d->reading])
		d->reading++;
	return d->reading < DISPATCH_NSTEPS;
}

/* A fault that stays is told once a minute. */
static void
complain(struct dispatcher *d, const char *sqlstate, const char *text)
{
	int64_t now_us = clock_mono_us();

	metric_add(metric_get(METRIC_DISPATCH_ERRORS, dispatch_steps[d->reading].name, NULL), 1);
	if (d->complained_us != 0 && now_us - d->complained_us < COMPLAIN_US)
		return;
	d->complained_us = now_us;
	log_warn("dispatch_failed", F_TEXT("step", dispatch_steps[d->reading].name),
	    F_TEXT("sqlstate", sqlstate), F_TEXT("error", text));
}

static void
fail_step(struct dispatcher *d, const PGresult *res)
{
	const struct dispatch_step *step = &dispatch_steps[d->reading];
	const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (d->has_failed)
		return;
	d->has_failed = true;
	d->is_stale |= sqlstate != NULL && pg_error_is_stale(sqlstate);
	complain(d, sqlstate, pg_text(PQresultErrorMessage(res)));
	if (step->failed != NULL)
		step->failed(d, sqlstate);
}

/* What a step calls may wake us, but begins no round: that is for the end. */
static void
end_step(struct dispatcher *d)
{
	const struct dispatch_step *step = &dispatch_steps[d->reading];

	if (!d->has_failed && step->done != NULL)
		step->done(d);
	d->has_failed = false;
	d->step_us = clock_mono_us();
	d->reading++;
	if (find_sent(d))
		return;
	if (d->is_stale)
		give_up(d);
	else
		end_round(d);
}

static void
take_result(struct dispatcher *d, const PGresult *res)
{
	switch (PQresultStatus(res)) {
	case PGRES_PIPELINE_SYNC:
		end_step(d);
		break;
	case PGRES_TUPLES_OK:
		if (!d->has_failed)
			dispatch_steps[d->reading].read(d, res);
		break;
	case PGRES_PIPELINE_ABORTED:
		break;
	default:
		fail_step(d, res);
	}
}

static void
on_input(void *owner)
{
	struct dispatcher *d = owner;

	while (d->in_round && !PQisBusy(pg_conn_raw(d->conn))) {
		PGresult *res = PQgetResult(pg_conn_raw(d->conn));

		if (res == NULL)
			continue;	/* the end of a statement, of which more follow */
		take_result(d, res);
		PQclear(res);
	}
}

/* ---- sending ---- */

static bool
send_steps(struct dispatcher *d, PGconn *pg)
{
	bool ok = PQenterPipelineMode(pg) == 1;

	for (size_t i = 0; ok && i < DISPATCH_NSTEPS; i++) {
		d->is_sent[i] = dispatch_steps[i].wanted(d);
		if (d->is_sent[i])
			ok = dispatch_steps[i].send(d, pg) && PQpipelineSync(pg) == 1;
	}
	return ok;
}

static void
start_round(struct dispatcher *d)
{
	struct err err;

	d->again = d->is_busy = d->has_failed = d->is_stale = false;
	d->in_round = true;
	d->round_us = d->step_us = clock_mono_us();
	d->reading = 0;
	d->wait_s = POLL_MS / 1000.0;
	if (!send_steps(d, pg_conn_raw(d->conn)) || !pg_conn_flush(d->conn, &err)) {
		log_warn("dispatch_failed", F_TEXT("step", "send"),
		    F_TEXT("error", pg_text(PQerrorMessage(pg_conn_raw(d->conn)))));
		give_up(d);
	} else if (!find_sent(d)) {
		end_round(d);
	}
}

/* A server that hangs, and does not close, is noticed here. */
static void
check_stall(struct dispatcher *d)
{
	if (!d->in_round || clock_mono_us() - d->round_us < STALL_US)
		return;
	log_warn("dispatcher_hangs", F_TEXT("step", dispatch_steps[d->reading].name));
	give_up(d);
}

static void
set_gauges(const struct dispatcher *d)
{
	metric_set(metric_get(METRIC_DB_CONNECTED, "dispatcher", NULL), pg_conn_is_up(d->conn));
	metric_set(metric_get(METRIC_DELIVERIES_RUNNING, NULL, NULL), (double)d->njobs);
	metric_set(metric_get(METRIC_BREAKERS_OPEN, NULL, NULL),
	    (double)host_gates_broken(d->gates));
	metric_set(metric_get(METRIC_ACTIONS_HELD, NULL, NULL), d->conf.holds || d->is_paused);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct dispatcher *d = arg;

	(void)fd;
	(void)what;
	check_stall(d);
	set_gauges(d);
	if (!d->in_round && pg_conn_is_up(d->conn) && !d->has_left)
		start_round(d);
	if (!d->has_left && event_pending(d->wake, EV_TIMEOUT, NULL) == 0)
		set_wake(d, POLL_MS);
}

/* ---- the connection ---- */

static void
on_up(void *owner)
{
	struct dispatcher *d = owner;

	d->up_us = clock_mono_us();
	dispatcher_wake(d);
}

static void
on_down(void *owner, const struct err *why)
{
	(void)why;
	break_round(owner);
}

static const struct pg_conn_ops conn_ops = { .up = on_up, .down = on_down, .input = on_input };

/* ---- life ---- */

static bool
init(struct dispatcher *d, struct err *err)
{
	const struct pg_conn_conf conn = { .conninfo = d->conf.conninfo,
	    .application_name = "touchlogd dispatcher", .statements = dispatch_statements };

	d->instance = strdup(d->conf.instance);
	d->wake = evtimer_new(loop_base(d->loop), on_wake, d);
	if (d->instance == NULL || d->wake == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	d->gates = host_gates_new(err);
	if (d->gates == NULL)
		return false;
	d->conn = pg_conn_new(d->loop, &conn, &conn_ops, d, err);
	return d->conn != NULL;
}

struct dispatcher *
dispatcher_new(struct loop *l, const struct dispatcher_conf *conf, struct action_set *take_set,
    int64_t grace_ms, struct err *err)
{
	struct dispatcher *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	d->conf = *conf;
	d->loop = l;
	d->started_us = clock_mono_us();
	d->timer_us = INT64_MAX;
	TAILQ_INIT(&d->jobs);
	TAILQ_INIT(&d->settlements);
	if (!init(d, err)) {
		dispatcher_free(d);
		return NULL;
	}
	dispatcher_use(d, take_set, grace_ms);
	if (conf->holds)
		log_warn("actions_held", F_TEXT("by", "--hold-actions"));
	pg_conn_start(d->conn);
	return d;
}

void
dispatcher_free(struct dispatcher *d)
{
	struct settlement *s;

	if (d == NULL)
		return;
	action_job_free_all(d);
	while ((s = TAILQ_FIRST(&d->settlements)) != NULL)
		settlement_free(d, s);
	PQclear(d->claimed);
	pg_conn_free(d->conn);
	http_client_free(d->http);
	smtp_client_free(d->smtp);
	host_gates_free(d->gates);
	action_set_release(d->set);
	if (d->wake != NULL)
		event_free(d->wake);
	free(d->instance);
	free(d);
}

void
dispatcher_use(struct dispatcher *d, struct action_set *take_set, int64_t grace_ms)
{
	action_set_release(d->set);
	d->set = take_set;
	d->grace_ms = grace_ms;
	d->has_configured = false;
	host_gates_limit(d->gates, action_set_outbound(take_set)->per_host);
	dispatcher_wake(d);
}

/* ---- the end of the program ---- */

void
dispatcher_stop(struct dispatcher *d)
{
	d->is_stopping = true;
	host_gates_release(d->gates);
}

void
dispatcher_cancel(struct dispatcher *d)
{
	action_job_cancel_all(d);
}

bool
dispatcher_has_left(struct dispatcher *d, bool spool_is_empty)
{
	if (d->njobs > 0)
		return false;
	if (d->has_left || !pg_conn_is_up(d->conn))
		return true;
	d->spool_is_empty = spool_is_empty;
	if (!d->has_to_leave)
		dispatcher_wake(d);
	d->has_to_leave = true;
	return false;
}

/* ---- for actions ---- */

struct loop *
dispatcher_loop(struct dispatcher *d)
{
	return d->loop;
}

struct http_client *
dispatcher_http(struct dispatcher *d)
{
	struct err err;

	if (d->http == NULL) {
		d->http = http_client_new(loop_base(d->loop), &err);
		if (d->http == NULL)
			log_warn("http_client_failed", F_ERR(&err));
	}
	return d->http;
}

struct host_gates *
dispatcher_gates(struct dispatcher *d)
{
	return d->gates;
}
