/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SCHEMA_LEVEL_H
#define TL_IO_SCHEMA_LEVEL_H

#include "base/checked.h"
#include "base/err.h"

/* What this program and the database's schema have to know of each other. */
enum {
	SCHEMA_NEEDED	 = 15,		/* the newest migration this program relies on */
	BINARY_LEVEL	 = 15,		/* what a migration's min_binary is compared with */
};

/* Whether this program may work on a database whose newest migration is `version` and
 * whose migrations ask for `min_binary`.  false: ERR_CONFIG, with what to do. */
TL_MUST bool schema_level_check(long version, long min_binary, struct err *err);

#endif
