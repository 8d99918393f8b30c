/* SPDX-License-Identifier: Apache-2.0 */
/* A row of the spool's file: its checksum and its kind. */
#include "io/spool_row.h"

#include <zlib.h>

static uint32_t
add_bytes(uint32_t crc, const void *p, size_t n)
{
	return n == 0 ? crc : (uint32_t)crc32_z(crc, p, n);
}

static uint32_t
add_number(uint32_t crc, int64_t n)
{
	uint64_t big_endian = __builtin_bswap64((uint64_t)n);

	return add_bytes(crc, &big_endian, sizeof(big_endian));
}

/* With its length, so that bytes cannot wander from one column to the next. */
static uint32_t
add_text(uint32_t crc, struct str s)
{
	return add_bytes(add_number(crc, (int64_t)s.n), s.p, s.n);
}

uint32_t
spool_row_crc(const struct spool_row *row)
{
	const struct spool_item *it = &row->item;
	uint32_t crc = add_number(0, it->seq);

	crc = add_bytes(crc, it->key.b, sizeof(it->key.b));
	crc = add_bytes(crc, it->id.b, sizeof(it->id.b));
	crc = add_number(crc, it->is_parking);
	crc = add_number(crc, it->format);
	crc = add_text(crc, it->source);
	crc = add_text(crc, it->identities);
	crc = add_text(crc, it->row);
	return add_number(crc, row->put_at_us);
}

struct str
spool_row_kind(const struct spool_row *row)
{
	return row->item.is_parking ? STR("parked") : STR("event");
}

bool
spool_row_read_kind(struct str text, struct spool_row *row)
{
	row->item.is_parking = str_eq(text, STR("parked"));
	return row->item.is_parking || str_eq(text, STR("event"));
}
