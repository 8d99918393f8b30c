/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and breakers of hosts. */
#include "flow/host_gate.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	FAULTS_TO_BREAK	= 5,
	OPEN_FIRST_MS	= 10 * 1000,
	OPEN_MOST_MS	= 5 * 60 * 1000,
	PEACE_MOST_MS	= 60 * 60 * 1000,
	WAITING_PER_PLACE = 4,		/* more than so many times the limit do not wait here */
	AGAIN_MS	= 1000,		/* when those ask again, at the earliest */
};

TAILQ_HEAD(gate_passes, gate_pass);

struct gate_host {
	TAILQ_ENTRY(gate_host)	 in_list;
	struct gate_passes	 waiting;
	size_t			 nwaiting, ninside;
	unsigned		 nholds;	/* that keep it while others are called */
	unsigned		 faults;	/* in a row */
	int64_t			 open_us;	/* clock_mono_us(), until then open; 0 */
	int64_t			 open_ms;	/* how long it was opened for */
	int64_t			 peace_us;	/* clock_mono_us() until which it wants peace */
	bool			 has_probe;
	char			 name[];
};

struct host_gates {
	TAILQ_HEAD(, gate_host)	 hosts;
	size_t			 limit;
};

struct host_gates *
host_gates_new(struct err *err)
{
	struct host_gates *g = calloc(1, sizeof(*g));

	if (g == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	TAILQ_INIT(&g->hosts);
	g->limit = 1;
	return g;
}

void
host_gates_free(struct host_gates *g)
{
	struct gate_host *h;

	if (g == NULL)
		return;
	while ((h = TAILQ_FIRST(&g->hosts)) != NULL) {
		TAILQ_REMOVE(&g->hosts, h, in_list);
		free(h);
	}
	free(g);
}

void
host_gates_limit(struct host_gates *g, int64_t per_host)
{
	g->limit = (size_t)per_host;
}

static struct gate_host *
host_of(struct host_gates *g, struct str name)
{
	struct gate_host *h;

	TAILQ_FOREACH(h, &g->hosts, in_list)
		if (str_eq(str_of(h->name), name))
			return h;
	h = calloc(1, sizeof(*h) + name.n + 1);
	if (h == NULL)
		return NULL;
	memcpy(h->name, name.p, name.n);
	TAILQ_INIT(&h->waiting);
	TAILQ_INSERT_TAIL(&g->hosts, h, in_list);
	return h;
}

/* Hosts may come from templates: those of which nothing is to be remembered go. */
static void
forget_if_idle(struct host_gates *g, struct gate_host *h)
{
	if (h->nholds > 0 || h->ninside > 0 || h->nwaiting > 0 || h->faults > 0 ||
	    h->peace_us > clock_mono_us())
		return;
	TAILQ_REMOVE(&g->hosts, h, in_list);
	free(h);
}

static bool
is_broken(const struct gate_host *h, int64_t *ret_wait_ms)
{
	int64_t left_us = h->open_us - clock_mono_us();

	if (h->open_us == 0 || (left_us <= 0 && !h->has_probe))
		return false;
	*ret_wait_ms = left_us > 0 ? left_us / 1000 + 1 : AGAIN_MS;
	return true;
}

static bool
wants_peace(const struct gate_host *h, int64_t *ret_wait_ms)
{
	int64_t left_us = h->peace_us - clock_mono_us();

	if (left_us <= 0)
		return false;
	*ret_wait_ms = left_us / 1000 + 1;
	return true;
}

static void
enter(struct gate_host *h, struct gate_pass *p)
{
	p->is_inside = true;
	p->is_probe = h->open_us != 0;
	h->has_probe |= p->is_probe;
	h->ninside++;
}

enum gate_answer
host_gates_ask(struct host_gates *g, struct str host, struct gate_pass *p, int64_t *ret_wait_ms)
{
	struct gate_host *h = host_of(g, host);

	*ret_wait_ms = AGAIN_MS + (int64_t)arc4random_uniform(4 * AGAIN_MS);
	if (h == NULL || wants_peace(h, ret_wait_ms))
		return GATE_LATER;
	if (is_broken(h, ret_wait_ms))
		return GATE_BROKEN;
	p->host = h;
	p->is_inside = p->is_probe = false;
	if (h->ninside < g->limit) {
		enter(h, p);
		return GATE_ENTER;
	}
	if (h->nwaiting >= WAITING_PER_PLACE * g->limit) {
		p->host = NULL;
		return GATE_LATER;
	}
	TAILQ_INSERT_TAIL(&h->waiting, p, in_list);
	h->nwaiting++;
	return GATE_WAIT;
}

static struct gate_pass *
take_first(struct gate_host *h)
{
	struct gate_pass *p = TAILQ_FIRST(&h->waiting);

	if (p == NULL)
		return NULL;
	TAILQ_REMOVE(&h->waiting, p, in_list);
	h->nwaiting--;
	return p;
}

static void
note_end(struct gate_host *h, const struct gate_pass *p, enum gate_end end)
{
	if (p->is_probe)
		h->has_probe = false;
	if (end == GATE_WELL) {
		if (h->open_us != 0)
			log_info("breaker_closed", F_TEXT("host", h->name));
		h->faults = 0;
		h->open_us = h->open_ms = 0;
		return;
	}
	/* What had been begun before it opened says nothing new. */
	if (end == GATE_NEITHER || (h->open_us != 0 && !p->is_probe) ||
	    ++h->faults < FAULTS_TO_BREAK)
		return;
	h->open_ms = h->open_ms == 0 ? OPEN_FIRST_MS : h->open_ms * 2;
	if (h->open_ms > OPEN_MOST_MS)
		h->open_ms = OPEN_MOST_MS;
	if (h->open_us == 0)
		log_warn("breaker_opened", F_TEXT("host", h->name), F_NUM("faults", h->faults),
		    F_NUM("for_ms", h->open_ms));
	h->open_us = clock_mono_us() + h->open_ms * 1000;
}

/* Who waits is called while there is a place for him, or none will be soon.  He may ask anew from
 * within. */
static void
call_waiting(struct host_gates *g, struct gate_host *h)
{
	while (h->nwaiting > 0) {
		enum gate_answer how = GATE_ENTER;
		int64_t wait_ms = 0;
		struct gate_pass *p;

		if (wants_peace(h, &wait_ms))
			how = GATE_LATER;
		else if (is_broken(h, &wait_ms))
			how = GATE_BROKEN;
		else if (h->ninside >= g->limit)
			return;
		p = take_first(h);
		if (how == GATE_ENTER)
			enter(h, p);
		else
			p->host = NULL;
		p->called(p->arg, how, wait_ms);
	}
}

void
host_gates_leave(struct host_gates *g, struct gate_pass *p, enum gate_end end, int64_t peace_ms)
{
	struct gate_host *h = p->host;

	assert(h != NULL);
	p->host = NULL;
	if (!p->is_inside) {
		TAILQ_REMOVE(&h->waiting, p, in_list);
		h->nwaiting--;
	} else {
		h->ninside--;
		note_end(h, p, end);
	}
	if (peace_ms > 0)
		h->peace_us = clock_mono_us() +
		    (peace_ms < PEACE_MOST_MS ? peace_ms : PEACE_MOST_MS) * 1000;
	h->nholds++;
	call_waiting(g, h);
	h->nholds--;
	forget_if_idle(g, h);
}

void
host_gates_release(struct host_gates *g)
{
	struct gate_host *h;
	struct gate_pass *p;

	TAILQ_FOREACH(h, &g->hosts, in_list)
		while ((p = take_first(h)) != NULL) {
			p->host = NULL;
			p->called(p->arg, GATE_LATER, 0);
		}
}

size_t
host_gates_broken(const struct host_gates *g)
{
	const struct gate_host *h;
	size_t n = 0;

	TAILQ_FOREACH(h, &g->hosts, in_list)
		n += h->open_us != 0;
	return n;
}
