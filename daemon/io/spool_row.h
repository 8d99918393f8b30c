/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SPOOL_ROW_H
#define TL_IO_SPOOL_ROW_H

#include <stdint.h>

#include "base/checked.h"
#include "io/spool.h"

/* A row of the spool's file, and what all who read or write that file agree on. */

enum {
	SPOOL_APPLICATION_ID	= 0x746c7370,	/* in the file's header: "tlsp" */
	SPOOL_FORMAT		= 1,		/* of the file: its user_version */
	SPOOL_PAGE_BYTES	= 4096,
};

/* A number above SPOOL_FORMAT that a later release of ours may have; above that, the
 * header is damaged. */
enum { SPOOL_FORMAT_MAX = 1000 };

/* As SQLite keeps it in its schema, character by character. */
#define SPOOL_TABLE_SQL							\
    "CREATE TABLE event(seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB UNIQUE, id BLOB,"	\
    " kind TEXT, format INT, source TEXT, identities TEXT, row BLOB, put_at INT, crc INT)"

struct spool_row {
	struct spool_item	item;
	int64_t			put_at_us;
};

/* CRC-32 over all other columns, seq too: it tells that each of them is what was put, and
 * that the row stands where it was put. */
uint32_t	 spool_row_crc(const struct spool_row *row);
/* The text in the column `kind`. */
struct str	 spool_row_kind(const struct spool_row *row);
/* false: it is neither. */
TL_MUST bool	 spool_row_read_kind(struct str text, struct spool_row *row);

#endif
