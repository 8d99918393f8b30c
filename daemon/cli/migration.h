/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_MIGRATION_H
#define TL_CLI_MIGRATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/err.h"

enum { SHA256_HEX_SIZE = 65 };

/* One file of schema/: NNN-name.sql. */
struct migration {
	int	 version;			/* NNN */
	char	*name;				/* the file's, without its folder */
	char	*sql;				/* all of it */
	int	 min_binary;			/* of its head */
	bool	 is_outside;			/* its head says no-transaction */
	char	 sha256[SHA256_HEX_SIZE];
};

struct migrations {
	struct migration	*v;		/* from 1 on, without a gap */
	size_t			 n;
};

/* Reads them all.  ERR_CONFIG names the file that is wrong; also then,
 * migrations_fini(). */
TL_MUST bool	migrations_read(const char *folder, struct migrations *ret, struct err *err);
void		migrations_fini(struct migrations *m);

#endif
