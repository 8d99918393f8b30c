/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_RECORD_H
#define TL_FLOW_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/checked.h"
#include "base/str.h"
#include "base/uuid.h"
#include "model/interaction.h"
#include "model/parking.h"
#include "model/receipt.h"

struct source_queue;

/* One interaction on its way into the log, or one parking on its way among the
 * parked: a single block of memory that owns all its bytes.  The row is serialised
 * once, when it is submitted. */
struct record {
	TAILQ_ENTRY(record)	 in_queue;
	struct receipt		*receipt;	/* the submitter's; NULL: nobody waits */
	struct source_queue	*queue;		/* intake's: whose turn and counts; drained: NULL */
	struct uuid		 id;
	struct uuid		 key;
	int32_t			 until_day;
	int64_t			 queued_us;	/* clock_mono_us() */
	size_t			 bytes;		/* of this block */
	int64_t			 seq;		/* of its row in the spool; 0: none yet */
	size_t			 put_bytes;	/* of its copy that the spool is at; 0: none */
	enum fate_kind		 fate;		/* with is_told */
	bool			 is_told;	/* its sender knows its fate */
	bool			 is_aside;	/* in no queue or batch: the spool will answer */
	bool			 is_parking;	/* among the parked is where it goes */
	bool			 is_trusted;	/* strong kinds make strong identities */
	bool			 profile_is_trusted;
	bool			 has_customer;	/* parties[0] is the customer */
	struct str		 source;	/* its name */
	char			*row;		/* COPY row of interaction, or none */
	size_t			 row_len;
	struct str		 payload;	/* JSON of document, or none */
	struct str		 raw;
	struct str		 content_type;
	struct party		*parties;
	size_t			 nparties;
	size_t			 nmentions;	/* of all parties */
	char			 reason[240];	/* to be parked: why */
	char			 sqlstate[6];	/* "" when PostgreSQL was not asked */
};

TAILQ_HEAD(record_queue, record);

/* NULL when memory is out. */
TL_MUST struct record	*record_new(const struct interaction *i);
TL_MUST struct record	*record_new_parking(const struct parking *p);
void			 record_free(struct record *e);	/* accepts NULL; fires nothing */
/* Why it is parked.  Texts are cut where their room ends, which may be within a
 * character: PostgreSQL would not take that, and the event could not even be parked. */
void	record_set_reason(struct record *e, struct str reason);

#endif
