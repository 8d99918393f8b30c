/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_COMMAND_H
#define TL_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/checked.h"

struct config;
struct option_row;

/* What the program ends with; DESIGN section 9. */
enum exit_code {
	CLI_OK,
	CLI_FAILED,
	CLI_USAGE,
	CLI_CONFIG,		/* the configuration cannot be used */
	CLI_NOT_FOUND,
	CLI_DATABASE,
};

struct cli;

/* What a command does: `touchlog COMMAND VERB ...`, or `touchlog COMMAND ...` when the
 * command has but one verb without a name. */
struct verb {
	const char			*name;		/* NULL: the only one */
	const char			*args;		/* as the usage shows them */
	int				 min_args, max_args;
	const struct option_row		*options;	/* ended by { 0 }; NULL: none */
	size_t				 size;		/* of the struct they fill */
	const char			*summary;	/* one line, without a full stop */
	const char			*help;		/* more lines, or NULL */
	enum exit_code			(*run)(struct cli *cli);
};

struct command {
	const char		*name;
	const struct verb	*verbs;		/* ended by one without run */
};

/* One invocation, as the verbs see it. */
struct cli {
	const char	*config_path;
	bool		 wants_json;
	struct config	*config;	/* cli_config() loads it */
	const void	*options;	/* the struct that the verb's rows filled */
	char		*const *args;	/* what is no option, ended by NULL */
	int		 nargs;
};

/* NULL: it cannot be used, which was said: CLI_CONFIG. */
TL_MUST const struct config *cli_config(struct cli *cli);

/* Says on stderr why the command ends, and returns the code. */
enum exit_code cli_fail(enum exit_code code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Something worth knowing that is not the answer: on stderr. */
void	cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
