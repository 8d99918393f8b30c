/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: libevent's base and its resolver. */
#include "io/loop.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <event2/dns.h>
#include <event2/event.h>

struct loop {
	struct event_base	*base;		/* ours */
	struct evdns_base	*dns;		/* ours */
};

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

/* Of sched_setattr(2), for which glibc 2.36 has no header. */
struct sched_wish {
	uint32_t	size;
	uint32_t	policy;
	uint64_t	flags;
	int32_t		nice;
	uint32_t	priority;
	uint64_t	runtime_ns;
	uint64_t	deadline_ns;
	uint64_t	period_ns;
};

enum { POLICY_OTHER = 0, TURN_NS = 100 * 1000 };

/* Asks for short turns on the processor, which come sooner: beside PostgreSQL on the same
 * machine an event else waits until a backend has had its turn of milliseconds.  Linux
 * 6.12 heeds it; older ones, and who forbids it, leave all as it is. */
static void
ask_for_short_turns(void)
{
	struct sched_wish w = { .size = sizeof(w) };

	if (syscall(SYS_sched_getattr, 0, &w, sizeof(w), 0) != 0 || w.policy != POLICY_OTHER)
		return;
	w.size = sizeof(w);
	w.runtime_ns = TURN_NS;
	(void)syscall(SYS_sched_setattr, 0, &w, 0);
}

struct loop *
loop_new(struct err *err)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l != NULL) {
		l->base = event_base_new();
		ask_for_short_turns();
		if (l->base != NULL && start_dns(l))
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
	if (l->dns != NULL)
		evdns_base_free(l->dns, 0);
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
