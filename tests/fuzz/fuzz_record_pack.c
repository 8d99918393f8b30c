/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the rows of the spool.  In a build directory of its own: see fuzz_identity.c.  The
 * first byte says whether it is a parking.
 *
 * What is read can be written, and reads as the same again. */
#include "flow/record_pack.h"

#include <stdlib.h>
#include <string.h>

#include "flow/record.h"
#include "io/spool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct spool_item item = { .format = RECORD_FORMAT, .source = STR("web") }, first;
	static struct buf row, again, identities;
	struct record *e = NULL, *second = NULL;
	struct err err;

	if (n == 0)
		return 0;
	item.is_parking = data[0] % 2 == 1;
	item.row = (struct str){ (const char *)data + 1, n - 1 };
	if (!record_unpack(&item, &e, &err))
		return 0;
	if (!record_pack(e, &row, &identities, &first) || !record_unpack(&first, &second, &err) ||
	    !record_pack(second, &again, &identities, &item) || !str_eq(item.row, buf_str(&row)))
		abort();
	record_free(e);
	record_free(second);
	return 0;
}
