/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_DISPATCHER_INTERNAL_H
#define TL_FLOW_DISPATCHER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"
#include "flow/action.h"
#include "flow/dispatcher.h"
#include "io/pg_conn.h"

/* Between the files of the dispatcher only. */

enum {
	DISPATCH_CLAIM_MAX	= 50,	/* rows in one transaction */
	DISPATCH_JOBS_MAX	= 200,	/* under way */
	DISPATCH_DECIDE_MAX	= 500,	/* timers in one transaction */
	DISPATCH_OVERDUE_MAX	= 100,
	DISPATCH_SETTLE_MAX	= 100,	/* receipts in one transaction */
	DISPATCH_NSTEPS		= 11,
};

/* What became of a delivery, until the database knows it. */
struct settlement {
	TAILQ_ENTRY(settlement)	 in_list;
	int64_t			 id, firing_id;
	int			 attempt;
	const char		*ends;		/* as touchlog.outbox_settle() calls it */
	int64_t			 retry_in_ms;	/* -1: it is not tried again */
	char			*error, *log;	/* ours; or NULL */
	bool			 was_sent;	/* in the round under way */
	bool			 is_told;	/* and its result was read */
	unsigned		 nfailures;	/* of its transaction: it is alone in the next */
	bool			 is_again;	/* the database may know it */
};

TAILQ_HEAD(settlements, settlement);
TAILQ_HEAD(action_jobs, action_job);

struct dispatcher {
	struct dispatcher_conf	 conf;
	char			*instance;	/* ours */
	struct loop		*loop;		/* the caller's */
	struct pg_conn		*conn;		/* ours */
	struct event		*wake;		/* ours: when the next round begins */
	struct http_client	*http;		/* ours; NULL until an action wants it */
	struct smtp_client	*smtp;		/* ours; NULL until an action wants it */
	struct host_gates	*gates;		/* ours */
	struct action_set	*set;		/* held */
	int64_t			 grace_ms;
	struct action_jobs	 jobs;
	size_t			 njobs;
	struct settlements	 settlements;
	/* The round under way: one pipeline, whose steps are transactions of their own. */
	bool			 in_round;
	size_t			 reading;	/* the step whose results come next */
	bool			 is_sent[DISPATCH_NSTEPS];
	bool			 has_failed;	/* the step that is read */
	bool			 is_stale;	/* the session knows an older schema */
	int64_t			 round_us;	/* clock_mono_us(), when it began */
	int64_t			 step_us;	/* clock_mono_us(), when the step before ended */
	/* What it found. */
	bool			 is_busy;	/* there may be more of the same */
	double			 wait_s;	/* until something is due; < 0: it is */
	bool			 is_paused;	/* the flag in the database */
	size_t			 nclaimed;	/* rows asked for */
	PGresult		*claimed;	/* ours, until it is committed */
	bool			 has_decided;
	unsigned		 nfruitless;	/* rounds in which what is due was not got */
	/* What the next one is for. */
	bool			 again;		/* at once */
	bool			 has_recovered, has_adopted, has_configured, is_seen;
	bool			 was_spooling;	/* as it was last told */
	int64_t			 up_us;		/* clock_mono_us(), since it is connected */
	int64_t			 started_us, seen_us, measured_us;	/* clock_mono_us() */
	int64_t			 timer_us;	/* likewise, when the next timer is due */
	int64_t			 complained_us;	/* clock_mono_us(), of a step that fails each time */
	bool			 is_stopping, has_to_leave, spool_is_empty, has_left;
};

struct dispatch_step {
	const char	*name;		/* of the prepared statement too */
	bool		(*wanted)(const struct dispatcher *d);
	/* Sends one or more statements.  false: libpq says why not. */
	bool		(*send)(struct dispatcher *d, PGconn *pg);
	void		(*read)(struct dispatcher *d, const PGresult *res);
	/* Its transaction was rolled back; NULL: nothing to do. */
	void		(*failed)(struct dispatcher *d, const char *sqlstate);
	/* Committed; NULL: nothing to do. */
	void		(*done)(struct dispatcher *d);
};

/* ---- dispatcher_steps.c ---- */

extern const struct pg_statement dispatch_statements[];
extern const struct dispatch_step dispatch_steps[DISPATCH_NSTEPS];

/* ---- settlement.c ---- */

/* Keeps it until the database has it.  error may be NULL; take_log is freed with free().
 * false: memory is out, and the lease has to run out. */
TL_MUST bool settlement_add(struct dispatcher *d, const struct settlement *like, const char *error,
    char *take_log);
void	settlement_free(struct dispatcher *d, struct settlement *s);

/* ---- action_job.c ---- */

/* What was claimed is begun.  false: the row does not fit, or memory is out: its lease runs out. */
TL_MUST bool action_job_start(struct dispatcher *d, const PGresult *res, int row);
/* Adds the ids of what is under way to an array's text, behind its first byte. */
void	action_job_ids(const struct dispatcher *d, struct buf *out);
/* Ends what is under way, as `lost`. */
void	action_job_cancel_all(struct dispatcher *d);
/* The same, and nobody is told. */
void	action_job_free_all(struct dispatcher *d);

/* ---- dispatcher.c ---- */

/* A round begins at the end of this turn of the loop. */
void	dispatcher_wake(struct dispatcher *d);

#endif
