/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BENCH_EVENT_H
#define TL_BENCH_EVENT_H

#include <stdint.h>

#include "base/buf.h"

/* A made-up event of about 1 kB; seq and run make it unique, and one seq is the
 * same event in every mode. */
struct event {
	const char	*run;		/* the caller's; without ':' and what JSON escapes */
	int64_t		 seq;
	int64_t		 at_us;		/* since 1970 */
	uint64_t	 person;	/* whose it is */
	uint64_t	 bits;		/* random, for all the rest */
};

/* Draws event `seq` of this run, by one of n_people. */
void	event_make(struct event *ret_e, const char *run, int64_t seq, uint64_t n_people);
/* The canonical event as JSON on one line, without a newline at its end. */
void	event_json(struct buf *out, const struct event *e);
/* As an item of SendGrid's, of about the same size; the sg_event_id is the external_id. */
void	event_sendgrid(struct buf *out, const struct event *e);

/* The rows that become of it, as binary COPY wants them, in the order of columns below. */
extern const char event_log_columns[], event_document_columns[];

struct uuid;
void	event_log_row(struct buf *out, const struct event *e, struct uuid id, int64_t txid);
void	event_document_row(struct buf *out, const struct event *e, struct uuid id);

#endif
