/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_OPTIONS_H
#define TL_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/checked.h"

struct cli;
struct verb;

/* The options of a verb: rows -> struct, and rows -> help. */

enum option_type {
	OPTION_SWITCH,		/* bool */
	OPTION_TEXT,		/* const char *; NULL unless given */
	OPTION_TEXTS,		/* struct option_texts: it may be given several times */
	OPTION_INT,		/* int64_t within min..max */
	OPTION_MS,		/* int64_t within min..max: 200ms 2s 5m */
	OPTION_TIME,		/* int64_t, microseconds since 1970; 0 unless given */
};

enum { OPTION_TEXTS_MAX = 16 };

struct option_texts {
	const char	*v[OPTION_TEXTS_MAX];
	size_t		 n;
};

struct option_row {
	const char		*name;		/* without its hyphens */
	char			 letter;	/* '\0': none */
	enum option_type	 type;
	size_t			 offset;	/* in the struct that is filled */
	const char		*value;		/* how the help calls it */
	int64_t			 min, max;	/* INT, MS */
	const char		*def;		/* as the user would write it; NULL: zero */
	const char		*help;
};

/* Reads the options of a verb and sets cli->args to what is none; argv[0] is not looked
 * at.  `out` is zeroed, of the verb's size.  *ret_help: the help is wanted.  false: it
 * was said what is wrong. */
TL_MUST bool	options_read(const struct verb *v, int argc, char **argv, struct cli *cli,
		    void *out, bool *ret_help);
/* A line for each option, also for those that every verb has. */
void		options_help(const struct verb *v, struct buf *out);

#endif
