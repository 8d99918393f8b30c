/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: libevent's base, its resolver, and the end-of-turn free list. */
#include "io/loop.h"

#include <stdlib.h>
#include <sys/queue.h>

#include <event2/dns.h>
#include <event2/event.h>

#include "base/log.h"

struct later {
	STAILQ_ENTRY(later)	 next;
	void			(*fn)(void *arg);
	void			*arg;
};

struct loop {
	struct event_base	*base;		/* ours */
	struct evdns_base	*dns;		/* ours */
	struct event		*turn;		/* ours: empties laters */
	STAILQ_HEAD(, later)	 laters;
};

static void
run_laters(struct loop *l)
{
	struct later *later;

	while ((later = STAILQ_FIRST(&l->laters)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->laters, next);
		later->fn(later->arg);
		free(later);
	}
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_laters(arg);
}

/* A resolv.conf that is missing or empty is no error: names in /etc/hosts and
 * numeric addresses still resolve. */
static bool
start_dns(struct loop *l)
{
	l->dns = evdns_base_new(l->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (l->dns == NULL)
		return false;
	(void)evdns_base_resolv_conf_parse(l->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	return true;
}

struct loop *
loop_new(struct err *err)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l != NULL) {
		STAILQ_INIT(&l->laters);
		l->base = event_base_new();
		l->turn = l->base != NULL ? event_new(l->base, -1, 0, on_turn, l) : NULL;
		if (l->turn != NULL && start_dns(l))
			return l;
	}
	loop_free(l);
	(void)err_set(err, ERR_RETRY, "the event loop cannot be made");
	return NULL;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	run_laters(l);
	if (l->dns != NULL)
		evdns_base_free(l->dns, 0);
	if (l->turn != NULL)
		event_free(l->turn);
	if (l->base != NULL)
		event_base_free(l->base);
	free(l);
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

struct evdns_base *
loop_dns(struct loop *l)
{
	return l->dns;
}

void
loop_run(struct loop *l)
{
	(void)event_base_dispatch(l->base);
}

void
loop_stop(struct loop *l)
{
	(void)event_base_loopbreak(l->base);
}

void
loop_free_later(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct later *later = malloc(sizeof(*later));

	if (later == NULL) {
		/* Leaking is the safe way to be out of memory here. */
		log_error("free_postponed", F_TEXT("error", "out of memory"));
		return;
	}
	later->fn = fn;
	later->arg = arg;
	STAILQ_INSERT_TAIL(&l->laters, later, next);
	event_active(l->turn, EV_TIMEOUT, 0);
}
