/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life as a service: ready, reloading, stopping, one line of truth, and the watchdog.
 *
 * The watchdog is fed from a timer of the loop, so a loop that hangs does not feed it, and
 * not while intake_makes_progress() says no.  A database that is away or hangs is no
 * reason to be killed: a writer gives a silent server up after 10 s, so that nothing is fed
 * for 5 s at most, and while none is connected the senders are told the truth.  What
 * the watchdog ends is a daemon that does not even do that.
 */
#include "edge/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/log.h"
#include "flow/intake.h"
#include "io/loop.h"
#include "io/service_manager.h"

enum {
	TICK_MS		   = 1000,
	FEEDS_PER_WATCHDOG = 4,		/* a late turn of the loop does no harm */
	WATCHDOG_LEAST_MS  = 15000,	/* the 5 s, and a busy machine */
	STATUS_BYTES	   = 400,
};

struct service {
	struct intake	*intake;	/* the caller's */
	struct event	*tick;		/* ours */
	int64_t		 watchdog_ms;	/* 0: nobody watches */
	bool		 is_stopping;
	bool		 is_stuck;	/* the watchdog was not fed last time */
	char		 reload[STATUS_BYTES / 2];	/* why the last one was refused; "" */
	char		 status[STATUS_BYTES];		/* what was told last */
};

/* One line of how it is. */
static void
describe(const struct service *s, char text[STATUS_BYTES])
{
	struct intake_health h;

	intake_health(s->intake, &h);
	if (s->is_stopping)
		(void)snprintf(text, STATUS_BYTES, "Stopping: answering what was begun");
	else if (!h.is_ready)
		(void)snprintf(text, STATUS_BYTES, "Senders are told to keep their events: %s",
		    h.database_why != NULL ? h.database_why : "not connected");
	else if (h.database_why != NULL)
		(void)snprintf(text, STATUS_BYTES, "Spooling: %s", h.database_why);
	else
		(void)snprintf(text, STATUS_BYTES, "Logging%s%s", s->reload[0] != '\0' ?
		    ", by the old configuration; the new one was refused: " : "", s->reload);
	/* The message has a line for each thing told. */
	text[strcspn(text, "\n")] = '\0';
}

static void
tell_status(struct service *s)
{
	char text[STATUS_BYTES];

	describe(s, text);
	if (strcmp(text, s->status) == 0)
		return;
	memcpy(s->status, text, sizeof(text));
	manager_tell_status(text);
}

static void
feed_watchdog(struct service *s)
{
	bool was_stuck = s->is_stuck;

	if (s->watchdog_ms == 0)
		return;
	s->is_stuck = !intake_makes_progress(s->intake);
	if (!s->is_stuck)
		manager_tell_alive();
	if (s->is_stuck && !was_stuck)
		log_warn("watchdog_starves", F_TEXT("why", "the writers make no progress"),
		    F_NUM("watchdog_ms", s->watchdog_ms));
	else if (was_stuck && !s->is_stuck)
		log_info("watchdog_fed", F_NUM("watchdog_ms", s->watchdog_ms));
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tell_status(arg);
	feed_watchdog(arg);
}

static bool
start_tick(struct service *s, struct loop *l)
{
	int64_t fed_ms = s->watchdog_ms / FEEDS_PER_WATCHDOG;
	int64_t ms = fed_ms > 0 && fed_ms < TICK_MS ? fed_ms : TICK_MS;
	const struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	s->tick = event_new(loop_base(l), -1, EV_PERSIST, on_tick, s);
	return s->tick != NULL && event_add(s->tick, &tv) == 0;
}

struct service *
service_new(struct loop *l, struct intake *intake, struct err *err)
{
	struct service *s = calloc(1, sizeof(*s));

	if (s != NULL) {
		s->intake = intake;
		s->watchdog_ms = manager_watchdog_ms();
	}
	if (s == NULL || !start_tick(s, l)) {
		service_free(s);
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	if (s->watchdog_ms > 0 && s->watchdog_ms < WATCHDOG_LEAST_MS)
		log_warn("watchdog_is_short", F_NUM("watchdog_ms", s->watchdog_ms),
		    F_TEXT("hint", "a database that hangs would have us killed: WatchdogSec=30"));
	manager_tell_ready();
	tell_status(s);
	return s;
}

void
service_free(struct service *s)
{
	if (s == NULL)
		return;
	if (s->tick != NULL)
		event_free(s->tick);
	free(s);
}

void
service_reloading(void)
{
	manager_tell_reloading();
}

void
service_reloaded(struct service *s, const char *why_not)
{
	(void)snprintf(s->reload, sizeof(s->reload), "%s", why_not != NULL ? why_not : "");
	manager_tell_ready();
	tell_status(s);
}

void
service_stopping(struct service *s, int64_t within_ms)
{
	s->is_stopping = true;
	manager_tell_stopping(within_ms);
	tell_status(s);
}
