/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_APPEND_H
#define TL_FLOW_APPEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "base/checked.h"
#include "base/err.h"
#include "flow/pg_array.h"
#include "io/pg_conn.h"

struct batch;

/* The parameters and results of the append transaction: what a batch looks like to
 * PostgreSQL.  Knows the SQL and nothing of connections' states or time. */

enum accept_param {
	ACCEPT_KEYS, ACCEPT_IDS, ACCEPT_UNTILS,				/* by event */
	ACCEPT_EVENTS, ACCEPT_TRUSTED,					/* by party */
	ACCEPT_PARTIES, ACCEPT_KINDS, ACCEPT_VALS, ACCEPT_ALTS, ACCEPT_RAWS,
	ACCEPT_STRONGS,							/* by mention */
	ACCEPT_NARRAYS
};

enum { PEOPLE_NARRAYS = 5, PROFILE_NARRAYS = 3, PARK_NARRAYS = 7 };

struct append {
	struct batch	*batch;			/* the writer's */
	struct pg_array	 accept[ACCEPT_NARRAYS];
	struct pg_array	 other[PARK_NARRAYS];	/* participants, profiles, match, park in turn */
	bool		*is_fresh;		/* by event */
	int64_t		*own;			/* by mention: its customer */
	size_t		 event_room, mention_room;
	int64_t		 txid;
	int64_t		 refused;		/* joins */
	size_t		 nfresh;
	size_t		 npayloads;		/* of fresh events */
};

extern const struct pg_statement append_statements[];

void	append_init(struct append *a);
void	append_fini(struct append *a);
/* Takes on a batch: fills the arrays of accept().  false: memory is out. */
TL_MUST bool append_start(struct append *a, struct batch *b);

/* Each sends one statement; libpq says why not. */
bool	append_send_accept(struct append *a, PGconn *pg, int64_t merge_limit);
bool	append_send_people(struct append *a, PGconn *pg);	/* true: also when there is none */
bool	append_send_profiles(struct append *a, PGconn *pg);	/* same */
bool	append_send_match(struct append *a, PGconn *pg);
bool	append_send_park(struct append *a, PGconn *pg);
bool	append_send_partitions(struct append *a, PGconn *pg);
/* The fresh rows of each table, between COPY's start and its end. */
bool	append_put_interactions(struct append *a, PGconn *pg);
bool	append_put_documents(struct append *a, PGconn *pg);

/* Reads accept()'s row: who is fresh, whose it is; sets the batch's fates. */
TL_MUST bool append_read_accept(struct append *a, const PGresult *res, struct err *err);
/* Reads park()'s row: the ids under which they are kept. */
TL_MUST bool append_read_park(struct append *a, const PGresult *res, struct err *err);

#endif
