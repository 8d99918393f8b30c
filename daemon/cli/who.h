/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_WHO_H
#define TL_CLI_WHO_H

#include <stdint.h>

#include <libpq-fe.h>

#include "base/checked.h"
#include "cli/command.h"

#define WHO_HELP							\
    "IDENTITY: an e-mail address, a telephone number, any other value by which somebody is\n"	\
    "known, kind:value (external:shop:4711, social:telegram:jo), or customer:ID."

/* Finds the one customer that `text` names; *ret_root is the root of its component.
 * region (or NULL: those of all sources) is for national telephone numbers.  Otherwise
 * it was said why not: CLI_NOT_FOUND, CLI_FAILED (several fit), CLI_DATABASE. */
TL_MUST enum exit_code	who_find(struct cli *cli, PGconn *pg, const char *text,
			    const char *region, int64_t *ret_root);

#endif
