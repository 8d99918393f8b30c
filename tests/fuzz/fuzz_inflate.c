/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the unpacking of bodies.  The first byte says which coding the rest is of.
 *
 * Nothing becomes larger than it may, and what was unpacked is the same a second time. */
#include "io/inflate.h"

#include <stdint.h>
#include <stdlib.h>

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { OUT_MAX_BYTES = 65536 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = { (const char *)data + 1, n - 1 };
	enum inflate_result first, again;
	enum inflate_coding coding;
	struct buf a, b;
	struct err err;

	if (n == 0)
		return 0;
	coding = data[0] % 2 == 0 ? INFLATE_GZIP : INFLATE_DEFLATE;
	first = inflate_body(in, coding, OUT_MAX_BYTES, &a, &err);
	again = inflate_body(in, coding, OUT_MAX_BYTES, &b, &err);
	if (first != again || (first == INFLATE_DONE && !str_eq(buf_str(&a), buf_str(&b))))
		abort();
	if (first == INFLATE_DONE && a.n > OUT_MAX_BYTES)
		abort();
	if (first == INFLATE_DAMAGED && err.kind != ERR_INPUT)
		abort();
	buf_fini(&a);
	buf_fini(&b);
	return 0;
}
