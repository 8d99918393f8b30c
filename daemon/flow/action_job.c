/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One delivery: from the row that was claimed to what became of it.
 *
 * A job belongs to the set of actions that was in use when it was claimed, and holds it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <json-c/json_object.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/action_set.h"
#include "flow/backoff.h"
#include "flow/dispatcher_internal.h"

enum { ID_BYTES = 32, LOG_MAX_BYTES = 1024 * 1024, ERROR_MAX_BYTES = 500 };

struct action_job {
	TAILQ_ENTRY(action_job)	 in_list;
	struct dispatcher	*dispatcher;
	struct action_set	*set;		/* held */
	const struct action	*action;	/* the set's */
	const void		*conf;		/* the set's */
	int64_t			 id, firing_id;
	int			 attempt, nth;	/* ever; since it was last revived */
	struct json_object	*payload;	/* ours */
	char			*address, *token;	/* ours; or NULL */
	void			*priv;		/* the type's */
	char			 delivery_id[ID_BYTES];
};

/* The columns of touchlog.outbox_job. */
enum {
	AT_ID, AT_FIRING, AT_ACTION, AT_ENDED, AT_ATTEMPT, AT_NTH, AT_PAYLOAD, AT_ADDRESS,
	AT_TOKEN,
};

/* ---- life ---- */

static void
job_free(struct action_job *job)
{
	struct dispatcher *d = job->dispatcher;

	TAILQ_REMOVE(&d->jobs, job, in_list);
	d->njobs--;
	json_object_put(job->payload);
	free(job->address);
	free(job->token);
	action_set_release(job->set);
	free(job);
}

static bool
copy_text(const PGresult *res, int row, int column, char **ret)
{
	if (PQgetisnull(res, row, column))
		return true;
	*ret = strdup(PQgetvalue(res, row, column));
	return *ret != NULL;
}

static bool
read_job(struct action_job *job, const PGresult *res, int row, struct err *err)
{
	job->id = strtoll(PQgetvalue(res, row, AT_ID), NULL, 10);
	job->firing_id = strtoll(PQgetvalue(res, row, AT_FIRING), NULL, 10);
	job->attempt = (int)strtol(PQgetvalue(res, row, AT_ATTEMPT), NULL, 10);
	job->nth = (int)strtol(PQgetvalue(res, row, AT_NTH), NULL, 10);
	(void)snprintf(job->delivery_id, sizeof(job->delivery_id), "tl_%" PRId64, job->id);
	if (!copy_text(res, row, AT_ADDRESS, &job->address) ||
	    !copy_text(res, row, AT_TOKEN, &job->token))
		return err_set(err, ERR_RETRY, "out of memory");
	return json_parse(str_of(PQgetvalue(res, row, AT_PAYLOAD)), JSON_DEPTH_MAX, &job->payload,
	    err);
}

bool
action_job_start(struct dispatcher *d, const PGresult *res, int row)
{
	const struct conf_named *named = action_set_find(d->set,
	    str_of(PQgetvalue(res, row, AT_ACTION)));
	struct action_job *job = named != NULL ? calloc(1, sizeof(*job)) : NULL;
	struct err err;

	if (job == NULL)
		return false;
	job->dispatcher = d;
	job->set = d->set;
	action_set_hold(d->set);
	job->action = named->common;
	job->conf = named->own;
	TAILQ_INSERT_TAIL(&d->jobs, job, in_list);
	d->njobs++;
	if (read_job(job, res, row, &err))
		job->action->type->start(job);
	else
		action_job_done(job, &(struct action_outcome){
		    .end = err.kind == ERR_INPUT ? ACTION_DEAD : ACTION_RETRY, .error = err.text });
	return true;
}

/* ---- its end ---- */

static const char *const end_names[] = {
	[ACTION_DONE] = "done", [ACTION_RETRY] = "retry", [ACTION_DEAD] = "dead",
	[ACTION_SUPPRESSED] = "suppressed", [ACTION_GONE] = "gone", [ACTION_RELEASED] = "released",
};

static enum action_end
end_of(const struct action_job *job, const struct action_outcome *how)
{
	return how->end == ACTION_RETRY && job->nth >= BACKOFF_TRIES ? ACTION_DEAD : how->end;
}

/* The longer of what we would wait and what the receiver asks for. */
static int64_t
wait_of(const struct action_job *job, const struct action_outcome *how)
{
	int64_t own_ms = backoff_ms(job->nth, arc4random());

	if (how->end == ACTION_RELEASED)
		return how->retry_after_ms;
	return how->retry_after_ms > own_ms ? how->retry_after_ms : own_ms;
}

static char *
log_text(struct json_object *log)
{
	struct buf b;

	if (log == NULL)
		return NULL;
	buf_init(&b, LOG_MAX_BYTES);
	json_write(&b, log, NULL);
	buf_add(&b, "", 1);
	if (buf_ok(&b))
		return b.p;
	buf_fini(&b);
	log_warn("own_log_dropped", F_TEXT("why", "it is too long"));
	return NULL;
}

/* Errors are for people, but never hold a body or an address: only who made them knows that. */
static void
tell(const struct action_job *job, enum action_end end, const char *error, int64_t wait_ms)
{
	const struct action *a = job->action;

	metric_add(metric_get(METRIC_DELIVERIES, a->name.p, end_names[end]), 1);
	if (end == ACTION_DONE || end == ACTION_RELEASED || end == ACTION_RETRY)
		log_debug("delivery", F_TEXT("result", end_names[end]), F_STR("action", a->name),
		    F_NUM("outbox", job->id), F_NUM("firing", job->firing_id),
		    F_NUM("attempt", job->attempt), F_NUM("wait_ms", wait_ms),
		    F_TEXT(error != NULL ? "error" : NULL, error));
	else
		log_warn(end == ACTION_GONE ? "action_gone" : "delivery_ended",
		    F_TEXT("result", end_names[end]), F_STR("action", a->name),
		    F_NUM("outbox", job->id), F_NUM("firing", job->firing_id),
		    F_NUM("attempt", job->attempt),
		    F_TEXT(error != NULL ? "error" : NULL, error));
}

/* One line tells that an action has trouble; each attempt's story stands in `delivery`. */
static void
tell_first_failure(const struct action_job *job, const char *error)
{
	if (job->nth == 1)
		log_info("delivery_fails", F_STR("action", job->action->name),
		    F_NUM("outbox", job->id), F_NUM("firing", job->firing_id),
		    F_TEXT(error != NULL ? "error" : NULL, error));
}

void
action_job_done(struct action_job *job, const struct action_outcome *how)
{
	enum action_end end = end_of(job, how);
	struct settlement s = { .id = job->id, .firing_id = job->firing_id,
	    .attempt = job->attempt, .ends = end_names[end], .retry_in_ms = -1 };
	char error[ERROR_MAX_BYTES];

	if (end == ACTION_RETRY || end == ACTION_RELEASED)
		s.retry_in_ms = wait_of(job, how);
	if (how->error != NULL)
		(void)snprintf(error, sizeof(error), "%.*s",
		    STR_ARG(str_prefix_utf8(str_of(how->error), sizeof(error) - 1)));
	tell(job, end, how->error, s.retry_in_ms);
	if (end == ACTION_RETRY)
		tell_first_failure(job, how->error);
	if (!settlement_add(job->dispatcher, &s, how->error != NULL ? error : NULL,
	    end == ACTION_DONE || end == ACTION_SUPPRESSED ? log_text(how->log) : NULL))
		log_warn("settlement_lost", F_NUM("outbox", job->id));
	job_free(job);
}

void
action_job_cancel_all(struct dispatcher *d)
{
	struct action_job *job;

	while ((job = TAILQ_FIRST(&d->jobs)) != NULL) {
		struct settlement s = { .id = job->id, .firing_id = job->firing_id,
		    .attempt = job->attempt, .ends = "lost", .retry_in_ms = 0 };

		job->action->type->cancel(job);
		metric_add(metric_get(METRIC_DELIVERIES, job->action->name.p, "lost"), 1);
		log_warn("delivery_lost", F_STR("action", job->action->name),
		    F_NUM("outbox", job->id), F_NUM("firing", job->firing_id),
		    F_TEXT("why", "the daemon stops"));
		if (!settlement_add(d, &s, "the daemon stopped", NULL))
			log_warn("settlement_lost", F_NUM("outbox", job->id));
		job_free(job);
	}
}

void
action_job_free_all(struct dispatcher *d)
{
	struct action_job *job;

	while ((job = TAILQ_FIRST(&d->jobs)) != NULL) {
		job->action->type->cancel(job);
		job_free(job);
	}
}

void
action_job_ids(const struct dispatcher *d, struct buf *out)
{
	const struct action_job *job;

	TAILQ_FOREACH(job, &d->jobs, in_list)
		buf_printf(out, "%s%" PRId64, out->n > 1 ? "," : "", job->id);
}

/* ---- what an action may ask ---- */

const struct action *
action_job_action(const struct action_job *job)
{
	return job->action;
}

const void *
action_job_conf(const struct action_job *job)
{
	return job->conf;
}

struct json_object *
action_job_payload(const struct action_job *job)
{
	return job->payload;
}

const char *
action_job_delivery_id(const struct action_job *job)
{
	return job->delivery_id;
}

int
action_job_attempt(const struct action_job *job)
{
	return job->attempt;
}

const char *
action_job_address(const struct action_job *job)
{
	return job->address;
}

const char *
action_job_token(const struct action_job *job)
{
	return job->token;
}

void
action_job_set_priv(struct action_job *job, void *priv)
{
	job->priv = priv;
}

void *
action_job_priv(const struct action_job *job)
{
	return job->priv;
}

struct dispatcher *
action_job_dispatcher(const struct action_job *job)
{
	return job->dispatcher;
}

const struct outbound_conf *
action_job_outbound(const struct action_job *job)
{
	return action_set_outbound(job->set);
}
