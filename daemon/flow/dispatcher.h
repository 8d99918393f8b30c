/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_DISPATCHER_H
#define TL_FLOW_DISPATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"

struct action_set;
struct dispatcher;
struct host_gates;
struct http_client;
struct intake;
struct loop;
struct smtp_client;
struct smtp_server;

/* What follows from firings: due timers are decided, rows of the outbox claimed, done and settled,
 * on a connection of its own. */

struct dispatcher_conf {
	const char	*conninfo;	/* borrowed, outlives the dispatcher */
	/* Who we are in the database: the same after a crash, of no other daemon.  Copied. */
	const char	*instance;
	struct intake	*intake;	/* whose spool timers wait for; outlives the dispatcher */
	bool		 has_spool;	/* without one no timer has to wait for us */
	bool		 holds;		/* decides, but does nothing */
};

/* grace_ms: the longest that a timer waits for spools. */
TL_MUST struct dispatcher *dispatcher_new(struct loop *l, const struct dispatcher_conf *conf,
	    struct action_set *take_set, int64_t grace_ms, struct err *err);
/* What is under way ends without an answer; its leases run out.  Accepts NULL. */
void	dispatcher_free(struct dispatcher *d);

/* A configuration was loaded. */
void	dispatcher_use(struct dispatcher *d, struct action_set *take_set, int64_t grace_ms);
/* Rows were made: look at once. */
void	dispatcher_poke(struct dispatcher *d);

/* The end of the program, step by step.  First: nothing more is begun. */
void	dispatcher_stop(struct dispatcher *d);
/* What is under way is given up, and its leases. */
void	dispatcher_cancel(struct dispatcher *d);
/* true: nothing is under way and all is written, or there is no database to write it to.  To be
 * asked again and again; spool_is_empty: of the daemon, for good. */
TL_MUST bool dispatcher_has_left(struct dispatcher *d, bool spool_is_empty);

/* For actions. */
struct loop		*dispatcher_loop(struct dispatcher *d);
struct http_client	*dispatcher_http(struct dispatcher *d);
struct host_gates	*dispatcher_gates(struct dispatcher *d);
/* Made at first use, for this server from now on.  NULL: ERR_RETRY. */
TL_MUST struct smtp_client *dispatcher_smtp(struct dispatcher *d, const struct smtp_server *server,
	    struct err *err);

#endif
