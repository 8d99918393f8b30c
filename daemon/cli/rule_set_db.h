/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_RULE_SET_DB_H
#define TL_CLI_RULE_SET_DB_H

#include <libpq-fe.h>

#include "base/checked.h"
#include "cli/command.h"
#include "cli/db.h"

struct rule_set;

/* The configuration's rules on their way into the database. */

/* The whole set (only NULL), or one rule with its calendar.  Otherwise it was said why not:
 * CLI_CONFIG, CLI_NOT_FOUND (no such rule in the file), CLI_FAILED. */
TL_MUST enum exit_code	rule_set_of(struct cli *cli, const char *only, struct rule_set **ret);
/* Loads it within the transaction that is open, and not active.  Where PostgreSQL refuses it, the
 * transaction is rolled back, each fault printed with its place, and CLI_CONFIG returned. */
TL_MUST enum exit_code	rule_set_load(PGconn *pg, const struct rule_set *s,
			    char ret_version[DB_NUMBER_BYTES]);
/* Whether the active set has that rule; CLI_NOT_FOUND when not, which was said. */
TL_MUST enum exit_code	rule_is_active(PGconn *pg, const char *name);
/* Says what a result that failed says; what the function itself refused (P0001, P0002, 22023) is no
 * trouble with the database: CLI_FAILED, CLI_NOT_FOUND. */
enum exit_code		rule_fail(const PGresult *res);
/* A statement without values and rows. */
TL_MUST bool		rule_run(PGconn *pg, const char *sql);

#endif
