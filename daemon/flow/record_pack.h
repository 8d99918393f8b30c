/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_RECORD_PACK_H
#define TL_FLOW_RECORD_PACK_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/err.h"

struct record;
struct spool_item;

/* A record as a row of the spool, and back.  What stands in a spool may be read by a later
 * version: a change of what is written here needs a new number, and the reader of the old
 * one stays. */
enum { RECORD_FORMAT = 1 };

/* The item borrows from the record and from both buffers.  false: memory is out, or it is
 * too large. */
TL_MUST bool record_pack(const struct record *e, struct buf *row, struct buf *identities,
    struct spool_item *ret_item);
/* false: ERR_INPUT, it is damaged or of a version that is not known here; ERR_RETRY, memory
 * is out. */
TL_MUST bool record_unpack(const struct spool_item *item, struct record **ret_record,
    struct err *err);

#endif
