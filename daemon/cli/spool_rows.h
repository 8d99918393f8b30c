/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_SPOOL_ROWS_H
#define TL_CLI_SPOOL_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"

struct spool_row;

struct spool_rows {
	void	(*visit)(void *arg, const struct spool_row *row);
	void	*arg;
	/* What is told: */
	bool	 is_damaged;
	struct err why;		/* when it is */
	int64_t	 lost;		/* rows that can be read no more, as far as that is known */
};

/* Visits every row of a spool's file, also while a daemon uses it: the oldest first, and
 * of a damaged one what can be read, in any order.  Nothing is written.  false: ERR_CONFIG,
 * it is of a later release; ERR_RETRY, it cannot be read. */
TL_MUST bool	spool_rows_each(struct spool_rows *rows, const char *path, struct err *err);

#endif
