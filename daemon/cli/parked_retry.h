/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_PARKED_RETRY_H
#define TL_CLI_PARKED_RETRY_H

#include <stdbool.h>

#include "cli/command.h"
#include "cli/options.h"

/* The verb `parked retry`. */
struct parked_retry_options {
	const char	*source;
	bool		 is_all;
};

enum { PARKED_RETRY_SIZE = sizeof(struct parked_retry_options) };

extern const struct option_row parked_retry_options[];
enum exit_code	parked_retry(struct cli *cli);

#endif
