/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_HOST_GATE_H
#define TL_FLOW_HOST_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

/* In front of each host that requests go to: how many may be under way there at once, and a breaker
 * that opens after several faults in a row, so that a host which is down costs us no time and gets
 * the peace to come back.  Once its time is over one request tries the host; what becomes of that
 * one decides. */

struct gate_host;
struct host_gates;

enum gate_answer {
	GATE_ENTER,		/* go: host_gates_leave() is to be called */
	GATE_WAIT,		/* called() will say */
	GATE_LATER,		/* not now: too many wait, or the host asked for peace */
	GATE_BROKEN,		/* the breaker is open */
};

enum gate_end { GATE_WELL, GATE_FAULT, GATE_NEITHER };

/* One request's; the caller's memory. */
struct gate_pass {
	TAILQ_ENTRY(gate_pass)	 in_list;	/* while it waits */
	struct gate_host	*host;
	bool			 is_inside, is_probe;
	/* The end of GATE_WAIT: any of the others. */
	void			(*called)(void *arg, enum gate_answer how, int64_t wait_ms);
	void			*arg;
};

TL_MUST struct host_gates *host_gates_new(struct err *err);
void	host_gates_free(struct host_gates *g);	/* accepts NULL; nobody is called */
void	host_gates_limit(struct host_gates *g, int64_t per_host);

/* LATER and BROKEN: *ret_wait_ms is when to ask again; the pass is nowhere then. */
enum gate_answer host_gates_ask(struct host_gates *g, struct str host, struct gate_pass *p,
	    int64_t *ret_wait_ms);
/* Of who entered or waits.  peace_ms: how long the host wants to be left alone; 0: it said
 * nothing. */
void	host_gates_leave(struct host_gates *g, struct gate_pass *p, enum gate_end end,
	    int64_t peace_ms);
/* Everybody who waits is told GATE_LATER. */
void	host_gates_release(struct host_gates *g);
/* Breakers that are open. */
size_t	host_gates_broken(const struct host_gates *g);

#endif
