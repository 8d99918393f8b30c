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

/* The parameters and results of append() and park(): what a batch looks like to
 * PostgreSQL.  Knows the SQL and nothing of connections' states or time. */

/* The arrays of append(), in its order; merge_limit stands after APPEND_STRONGS. */
enum append_array {
	APPEND_KEYS, APPEND_IDS, APPEND_UNTILS,				/* by event */
	APPEND_EVENTS, APPEND_TRUSTED,					/* by party */
	APPEND_PARTIES, APPEND_KINDS, APPEND_VALS, APPEND_ALTS, APPEND_RAWS,
	APPEND_STRONGS,							/* by mention */
	APPEND_ATS, APPEND_ROWS, APPEND_OWNERS, APPEND_DOCUMENTS,	/* by event */
	APPEND_PEOPLE_EVENTS, APPEND_PEOPLE_MENTIONS, APPEND_PEOPLE_ROLES,
	APPEND_PROFILE_EVENTS, APPEND_PROFILE_MENTIONS, APPEND_PROFILE_FIELDS,
	APPEND_PROFILE_TRUSTED,
	APPEND_NARRAYS
};

enum { PARK_NARRAYS = 7 };

struct append {
	struct batch	*batch;			/* the writer's */
	struct pg_array	 arrays[APPEND_NARRAYS];
	int32_t		 refused;		/* joins, of the last batch */
};

extern const struct pg_statement append_statements[];

void	append_init(struct append *a);
void	append_fini(struct append *a);
/* Takes on a batch: fills the arrays.  false: memory is out. */
TL_MUST bool append_start(struct append *a, struct batch *b, uint32_t row_type);

/* Each sends one statement.  false: libpq says why not. */
TL_MUST bool append_send(const struct append *a, PGconn *pg, int64_t merge_limit);
TL_MUST bool append_send_park(const struct append *a, PGconn *pg);
/* Makes the partitions that this batch's oldest or newest event lacks. */
TL_MUST bool append_send_partitions(const struct append *a, PGconn *pg);

/* Reads adopt_cluster()'s row: logs when the database was restored elsewhere. */
void	append_tell_adopted(const PGresult *res);
/* Reads append()'s row: the fates of the batch's events. */
TL_MUST bool append_read(struct append *a, const PGresult *res, struct err *err);
/* Reads park()'s row: the ids under which they are kept. */
TL_MUST bool append_read_park(struct append *a, const PGresult *res, struct err *err);

#endif
