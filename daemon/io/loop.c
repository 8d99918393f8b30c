/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: libevent's base and its resolver. */
#include "io/loop.h"

#include <stdlib.h>

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

struct loop *
loop_new(struct err *err)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l != NULL) {
		l->base = event_base_new();
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
