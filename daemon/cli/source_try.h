/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_SOURCE_TRY_H
#define TL_CLI_SOURCE_TRY_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"
#include "cli/options.h"

struct source_try_options {
	const char		*preset, *preset_dir, *secret, *region;
	const char		*type, *query, *url;
	struct option_texts	 headers;
	bool			 verifies;
	int64_t			 at_us;
};

extern const struct option_row source_try_options[];

/* touchlog source try */
enum exit_code	source_try(struct cli *cli);

#endif
