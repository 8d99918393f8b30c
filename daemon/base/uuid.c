/* SPDX-License-Identifier: Apache-2.0 */
/* UUIDv7 (RFC 9562, 5.7): the id of an interaction carries its received_at. */
#include "base/uuid.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"

enum { POOL_BYTES = 4096, RANDOM_BYTES = 10 };

/* Random bytes are fetched in pools: a system call an event would cost more than
 * the rest of making an id. */
static void
draw(uint8_t *out)
{
	static uint8_t pool[POOL_BYTES];
	static size_t left;

	if (left < RANDOM_BYTES) {
		for (left = 0; left < POOL_BYTES; ) {
			ssize_t n = getrandom(pool + left, POOL_BYTES - left, 0);

			if (n > 0)
				left += (size_t)n;
		}
	}
	left -= RANDOM_BYTES;
	memcpy(out, pool + left, RANDOM_BYTES);
}

struct uuid
uuid_v7(void)
{
	uint64_t ms = (uint64_t)clock_now_us() / 1000;
	struct uuid id;

	for (int i = 5; i >= 0; i--, ms >>= 8)
		id.b[i] = (uint8_t)ms;
	draw(id.b + 6);
	id.b[6] = (uint8_t)(0x70 | (id.b[6] & 0x0f));
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f));
	id.b[12] &= 0x7f;
	return id;
}

struct uuid
uuid_plus(struct uuid id, uint32_t n)
{
	uint64_t sum = n;

	for (int i = 15; i >= 12; i--) {
		sum += id.b[i];
		id.b[i] = (uint8_t)sum;
		sum >>= 8;
	}
	return id;
}

int64_t
uuid_at_us(struct uuid id)
{
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	return ms * 1000;
}

void
uuid_text(struct uuid id, char out[UUID_TEXT_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	char *at = out;

	for (int i = 0; i < UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = hex[id.b[i] >> 4];
		*at++ = hex[id.b[i] & 15];
	}
	*at = '\0';
}

bool
uuid_parse(struct str s, struct uuid *ret_id)
{
	struct uuid id;
	size_t at = 0;

	if (s.n != UUID_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < UUID_BYTES; i++) {
		int high, low;

		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (s.p[at++] != '-')
				return false;
		high = str_hex_digit(s.p[at++]);
		low = str_hex_digit(s.p[at++]);
		if (high < 0 || low < 0)
			return false;
		id.b[i] = (uint8_t)(high << 4 | low);
	}
	*ret_id = id;
	return true;
}
