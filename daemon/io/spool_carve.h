/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SPOOL_CARVE_H
#define TL_IO_SPOOL_CARVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"

struct spool_raw;
struct spool_row;

/* Gets the rows out of a damaged file: out of each page by itself, since the tree above them
 * may be what is damaged.  The checksum of a row decides. */

struct spool_carving {
	/* Called with each row whose checksum fits, in no particular order.  is_again: one with
	 * that seq was found before, most likely this one, on an older version of its page.
	 * What the row points to lives until it returns.  false: err is set, and it is over. */
	bool	(*row)(void *arg, const struct spool_row *row, bool is_again, struct err *err);
	void	*arg;
};

/* All that can be found.  *ret_lost: how many more there were, as far as the index of the
 * keys can still be read.  false: row() returned false, or memory is out. */
TL_MUST bool	 spool_carve(const struct spool_raw *r, const struct spool_carving *c,
		    int64_t *ret_lost, struct err *err);
/* Only what stands behind the last good commit. */
TL_MUST bool	 spool_carve_tail(const struct spool_raw *r, const struct spool_carving *c,
		    struct err *err);

#endif
