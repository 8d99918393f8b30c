/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_TERMINAL_H
#define TL_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

/* Stored text on its way to a terminal. */

enum terminal_form {
	TERMINAL_ONE_LINE,	/* line ends and tabs become \n and \t */
	TERMINAL_LINES,		/* they stay */
};

/* Adds s; what a terminal would obey (control characters, also those that turn the
 * direction of text) and what is no UTF-8 becomes visible: \x1b, \u{202e}. */
void	terminal_put(struct buf *out, struct str s, enum terminal_form form);
/* In columns, of text that terminal_put() made. */
size_t	terminal_width(struct str s);
/* The longest beginning that takes at most so many columns. */
struct str terminal_prefix(struct str s, size_t columns);
/* Columns of the terminal that stdout is; 0: it is none. */
size_t	terminal_columns(void);
/* Nothing but text and line ends: it can be shown as it is. */
bool	terminal_is_text(struct str s);

#endif
