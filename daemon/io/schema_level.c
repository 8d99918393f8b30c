/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this program and the database's schema fit each other. */
#include "io/schema_level.h"

bool
schema_level_check(long version, long min_binary, struct err *err)
{
	if (min_binary > BINARY_LEVEL)
		return err_set(err, ERR_CONFIG, "the schema (%ld) needs a newer touchlog (level "
		    "%ld; this one has %d): upgrade it", version, min_binary, BINARY_LEVEL);
	if (version < SCHEMA_NEEDED)
		return err_set(err, ERR_CONFIG, "the schema is at %ld, this touchlog needs %d: "
		    "run touchlog migrate", version, SCHEMA_NEEDED);
	return true;
}
