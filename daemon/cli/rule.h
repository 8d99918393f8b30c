/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_RULE_H
#define TL_CLI_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"
#include "cli/options.h"

/* The verbs of `touchlog rule` that have files of their own, for its table. */

struct rule_test_options {
	int64_t		 since_us, until_us, examples;
};

struct rule_arm_options {
	int64_t		 since_us;
	bool		 is_sure;
};

struct rule_firings_options {
	const char	*state;
	int64_t		 since_us, limit;
	bool		 fires;
};

extern const struct option_row rule_test_options[], rule_arm_options[], rule_firings_options[];

enum exit_code	rule_arm(struct cli *cli);
enum exit_code	rule_firings(struct cli *cli);
enum exit_code	rule_test(struct cli *cli);

#endif
