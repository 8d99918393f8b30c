/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_ROW_H
#define TL_MODEL_ROW_H

#include <stdint.h>

#include "base/buf.h"
#include "model/interaction.h"

/* Interaction -> row of COPY touchlog.interaction (binary): the only serialiser.
 * Whose it is and by which transaction is known only in the append transaction:
 * both are patched into the bytes there. */

/* The statement whose rows row_encode() makes. */
extern const char row_copy_sql[];
/* The same for the original: id, received_at, customer_id, payload. */
extern const char row_document_copy_sql[];

void	row_encode(const struct interaction *i, struct buf *out);
void	row_patch(char *row, size_t len, int64_t customer_id, int64_t txid);
/* What stands in front of the payload in a row of `document`. */
void	row_document_head(struct uuid id, int64_t customer_id, size_t payload_bytes,
	    struct buf *out);
/* PostgreSQL's timestamptz: microseconds since 2000. */
int64_t	row_time(int64_t at_us);

#endif
