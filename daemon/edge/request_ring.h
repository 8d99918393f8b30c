/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_EDGE_REQUEST_RING_H
#define TL_EDGE_REQUEST_RING_H

#include <stddef.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"
#include "base/uuid.h"

struct request_ring;

/* The last 10,000 requests and what became of their events: `touchlog trace` asks it.
 * One letter an event: l logged, d duplicate, s spooled, p parked, r rejected, i ignored,
 * u unavailable; none when the request was refused as a whole. */
TL_MUST struct request_ring *request_ring_new(void);
void	request_ring_free(struct request_ring *r);	/* accepts NULL */
/* Forgets the oldest for it. `source` has to outlive the ring. */
void	request_ring_add(struct request_ring *r, struct uuid id, const char *source, int status,
	    const char *fates, size_t nfates);
/* Adds JSON objects, newest first, separated by commas.  id NULL: all of them; else
 * the request that has it, or one of whose events has it. */
void	request_ring_json(const struct request_ring *r, const struct uuid *id, struct buf *out);

#endif
