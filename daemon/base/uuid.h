/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_UUID_H
#define TL_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/str.h"

enum { UUID_BYTES = 16, UUID_TEXT_SIZE = 37 };

struct uuid {
	uint8_t	b[UUID_BYTES];
};

/* UUIDv7 (RFC 9562) of now.  Its low 31 bits are zero-based room: uuid_plus() of
 * less than 2^31 never carries into the random part. */
struct uuid	uuid_v7(void);
/* id + n: the id of item n of the request that id names. */
struct uuid	uuid_plus(struct uuid id, uint32_t n);
/* Microseconds since 1970 of its millisecond. */
int64_t		uuid_at_us(struct uuid id);
void		uuid_text(struct uuid id, char out[UUID_TEXT_SIZE]);
/* 36 characters with hyphens, either case. */
TL_MUST bool	uuid_parse(struct str s, struct uuid *ret_id);

#endif
