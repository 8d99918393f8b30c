/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_REPLAY_H
#define TL_CLI_REPLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"
#include "model/parking.h"
#include "model/receipt.h"

struct config;
struct replay;

/* Logs parked events by the daemon's own path, in this process. */

/* One event on its way: the first two are the caller's to fill in. */
struct replay_job {
	struct parking	 parking;	/* borrowed until replay_run() returns */
	struct str	 source;	/* the name of a configured source */
	struct receipt	 receipt;
	struct replay	*replay;
	bool		 was_taken;	/* else: why */
	struct fate	 fate;
	struct err	 why;
};

/* true: it owns the config.  The connection is made meanwhile. */
TL_MUST struct replay	*replay_new(struct config *take_config, struct err *err);
void			 replay_free(struct replay *r);	/* accepts NULL */
/* Runs until each has its fate, or was not taken. */
void			 replay_run(struct replay *r, struct replay_job *jobs, size_t n);

#endif
