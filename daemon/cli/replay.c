/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs parked events by the daemon's own path: channel, normalise, intake, writer, each
 * as it is there, on a loop of our own that runs until the receipts have fired.
 */
#include "cli/replay.h"

#include <stdlib.h>

#include "base/metric.h"
#include "channels/channel.h"
#include "edge/channel_host.h"
#include "edge/config.h"
#include "flow/intake.h"
#include "io/loop.h"

/* No sender waits for us, so a lock or a failover may take its time. */
enum { WAIT_MS = 30000 };

struct replay {
	char			*conninfo;	/* ours, as all that follow */
	struct loop		*loop;
	struct intake		*intake;
	struct channel_host	*host;
	size_t			 npending;
};

static bool
start(struct replay *r, struct config *take_config, struct err *err)
{
	struct intake_conf conf;

	config_intake(take_config, &conf);
	r->conninfo = strdup(conf.conninfo);
	if (r->conninfo == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	conf.conninfo = r->conninfo;
	conf.writers = 1;
	conf.spool_after_ms = WAIT_MS;
	r->loop = loop_new(err);
	if (r->loop == NULL)
		return false;
	r->intake = intake_new(r->loop, &conf, err);
	if (r->intake == NULL)
		return false;
	r->host = channel_host_new(r->intake, loop_base(r->loop), err);
	return r->host != NULL && channel_host_use(r->host, take_config, err);
}

struct replay *
replay_new(struct config *take_config, struct err *err)
{
	struct replay *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	if (start(r, take_config, err))
		return r;
	replay_free(r);
	return NULL;
}

void
replay_free(struct replay *r)
{
	if (r == NULL)
		return;
	channel_host_free(r->host);
	intake_free(r->intake);
	loop_free(r->loop);
	free(r->conninfo);
	free(r);
	metric_free_all();
}

static void
on_fate(struct receipt *receipt, const struct fate *fate)
{
	union { struct receipt *receipt; char *byte; struct replay_job *job; } p = { receipt };

	p.byte -= offsetof(struct replay_job, receipt);
	p.job->fate = *fate;
	if (--p.job->replay->npending == 0)
		loop_stop(p.job->replay->loop);
}

static void
submit(struct replay *r, struct replay_job *job)
{
	struct channel *ch = channel_host_find(r->host, job->source);

	job->replay = r;
	job->receipt = (struct receipt){ .fired = on_fate };
	if (ch == NULL || channel_ops_of(ch)->replay == NULL) {
		(void)err_set(&job->why, ERR_CONFIG, "this source takes no parked events");
		return;
	}
	job->was_taken = channel_ops_of(ch)->replay(ch, &job->parking, &job->receipt, &job->why);
	r->npending += job->was_taken;
}

void
replay_run(struct replay *r, struct replay_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		submit(r, &jobs[i]);
	if (r->npending > 0)
		loop_run(r->loop);
}
