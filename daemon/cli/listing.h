/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_LISTING_H
#define TL_CLI_LISTING_H

#include <libpq-fe.h>

#include "base/checked.h"
#include "cli/command.h"
#include "cli/table.h"

/* What a query finds, as the whole answer of a command: JSON for programs, else a table. */
struct listing {
	const char			*json;		/* SELECT of one column, JSON */
	const char			*table;		/* SELECT of these columns */
	const struct table_column	*columns;
	int				 nvalues;	/* of both */
	const char			*none;		/* noted with a table of no rows; NULL: nothing */
};

/* values are text, $1 first.  CLI_DATABASE: it was said why. */
TL_MUST enum exit_code	listing_print(const struct cli *cli, PGconn *pg, const struct listing *l,
			    const char *const *values);

#endif
