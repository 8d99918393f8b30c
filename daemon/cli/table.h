/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_TABLE_H
#define TL_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

#include "base/checked.h"
#include "base/str.h"

/* A table for people: a head, aligned columns, nothing that a terminal obeys. */

enum column_kind {
	COLUMN_TEXT,
	COLUMN_NUMBER,		/* to the right */
	COLUMN_TIME,		/* PostgreSQL's or ISO 8601, in UTC: to the second */
};

struct table_column {
	const char		*title;		/* NULL ends the columns */
	enum column_kind	 kind;
};

struct table;

/* columns outlive the table.  NULL when memory is out. */
TL_MUST struct table	*table_new(const struct table_column *columns);
void			 table_free(struct table *t);	/* accepts NULL */
/* The next cell, row by row; none is shown as a hyphen.  It is copied. */
void			 table_add(struct table *t, struct str cell);
void			 table_add_number(struct table *t, long long n);
/* On stdout, unless it has no rows.  On a terminal, a last cell that is too long is cut. */
void			 table_print(const struct table *t);

/* The whole of a result, whose columns are these. */
void			 table_print_result(const PGresult *res, const struct table_column *columns);

#endif
