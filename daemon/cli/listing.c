/* SPDX-License-Identifier: Apache-2.0 */
/* A query's rows as the whole answer of a command. */
#include "cli/listing.h"

#include <stdio.h>

#include "cli/db.h"

enum exit_code
listing_print(const struct cli *cli, PGconn *pg, const struct listing *l, const char *const *values)
{
	PGresult *res;

	if (cli->wants_json) {
		bool ok = db_print_json(pg, l->json, values, l->nvalues) >= 0;

		(void)puts("");
		return ok ? CLI_OK : CLI_DATABASE;
	}
	res = db_query(pg, l->table, values, l->nvalues);
	if (res == NULL)
		return CLI_DATABASE;
	if (PQntuples(res) == 0 && l->none != NULL)
		cli_note("%s", l->none);
	table_print_result(res, l->columns);
	PQclear(res);
	return CLI_OK;
}
