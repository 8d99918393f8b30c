/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_METRIC_H
#define TL_BASE_METRIC_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Families are the rows of one table (metric.c): name, type, labels, help.  The
 * metrics page and the man page are made from it. */
enum metric_id {
	METRIC_BUILD_INFO,		/* version */
	METRIC_START_TIME,
	METRIC_CONFIG_RELOAD_SUCCESSFUL,
	METRIC_CONFIG_RELOAD_TIME,
	METRIC_RECEIVED,		/* source */
	METRIC_LOGGED,			/* source */
	METRIC_DUPLICATES,		/* source */
	METRIC_PARKED,			/* source */
	METRIC_SPOOLED,			/* source */
	METRIC_REJECTED,		/* source, reason */
	METRIC_IGNORED,			/* source */
	METRIC_REFUSED,			/* source, reason */
	METRIC_UNAVAILABLE,		/* source */
	METRIC_LAST_SUCCESS_AGE,	/* source */
	METRIC_QUEUE_EVENTS,
	METRIC_QUEUE_BYTES,
	METRIC_QUEUE_OLDEST_AGE,
	METRIC_SPOOL_EVENTS,
	METRIC_SPOOL_BYTES,
	METRIC_SPOOL_MAX_BYTES,
	METRIC_SPOOL_FILL,
	METRIC_SPOOL_OLDEST_AGE,
	METRIC_SPOOL_TAKES,
	METRIC_SPOOL_UNREADABLE,
	METRIC_SPOOL_REFUSED,
	METRIC_SPOOL_DRAINED,		/* fate */
	METRIC_BATCH_EVENTS,
	METRIC_BATCH_STEP,		/* step */
	METRIC_BATCH_ERRORS,		/* class */
	METRIC_ACK_LATENCY,
	METRIC_OUTBOX_WAITING,
	METRIC_OUTBOX_DEAD,
	METRIC_OUTBOX_OLDEST_AGE,
	METRIC_DELIVERIES,		/* action, result */
	METRIC_DELIVERIES_RUNNING,
	METRIC_BREAKERS_OPEN,
	METRIC_ACTIONS_HELD,
	METRIC_TIMERS_DUE,
	METRIC_TIMERS_LATE,
	METRIC_TIMERS_DECIDED,
	METRIC_DECIDE_SECONDS,
	METRIC_DISPATCH_ERRORS,		/* step */
	METRIC_DB_CONNECTED,		/* role */
	METRIC_DB_CONNECTS,
	METRIC_RULES_ACTIVE,		/* mode */
	METRIC_RULES_LOAD_SUCCESSFUL,
	METRIC_RULES_DIFFER,
	METRIC_MERGES_REFUSED,
	METRIC_PARTITIONS_MADE,
	METRIC_SEEN_PRUNED,
	METRIC_HTTP_CONNECTIONS,	/* listener */
	METRIC_HTTP_ACCEPTED,		/* listener */
	METRIC_HTTP_REQUESTS,		/* listener */
	METRIC_HTTP_BAD,		/* listener, reason */
	METRIC_HTTP_RESPONSES,		/* code */
	METRIC_TLS_HANDSHAKES,		/* listener */
	METRIC_TLS_FAILURES,		/* listener, reason */
	METRIC_TLS_EXPIRY,		/* listener */
	METRIC_FETCHES,			/* source, result */
	METRIC_MAILS,			/* result */
	METRIC_UNSUBSCRIBES,		/* result */
	METRIC_READY,
	METRIC_NIDS
};

struct metric;			/* one child of a family: a labelled value */

/* The child with these label values (NULL where the family has fewer labels),
 * made at first use.  Never NULL: when memory is out, it is one that no page shows.  It
 * lives until metric_free_all(), forgotten or not: keep the pointer, adding to it is
 * one addition. */
struct metric	*metric_get(enum metric_id id, const char *label1, const char *label2);
void		 metric_add(struct metric *m, uint64_t n);	/* COUNTER */
void		 metric_set(struct metric *m, double value);	/* GAUGE, COUNTER kept elsewhere */
void		 metric_observe(struct metric *m, double value);	/* HISTOGRAM */
double		 metric_value(const struct metric *m);
/* Takes a removed source off the page: every child whose label `source` is this.  When
 * it is got again, it starts at zero. */
void		 metric_forget(const char *source);
/* The whole table in Prometheus' text exposition format 0.0.4.  What has no labels is
 * there from the start, with 0. */
void		 metric_page(struct buf *out);
/* Name, type, labels and help of each family, as .TP entries of a man(7) page. */
void		 metric_man(struct buf *out);
void		 metric_free_all(void);

#endif
