/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_BYTES8_H
#define TL_BASE_BYTES8_H

#include <stdbool.h>
#include <stdint.h>

/* Looks at eight bytes at once.  What is found is in one of them; which, is not told. */

#define BYTES8_ONES	UINT64_C(0x0101010101010101)
#define BYTES8_HIGHS	UINT64_C(0x8080808080808080)

/* High bits set in some byte at or below the first zero byte of w, if there is one. */
static inline uint64_t
bytes8_zero(uint64_t w)
{
	return (w - BYTES8_ONES) & ~w & BYTES8_HIGHS;
}

/* What cannot stand in a JSON string as it is: a quote, a backslash, a control character. */
static inline bool
bytes8_has_escape(uint64_t w)
{
	uint64_t control = (w - BYTES8_ONES * 0x20) & ~w & BYTES8_HIGHS;

	return (control | bytes8_zero(w ^ (BYTES8_ONES * '"')) |
	    bytes8_zero(w ^ (BYTES8_ONES * '\\'))) != 0;
}

#endif
