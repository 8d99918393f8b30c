/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people. */
#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cli/db.h"
#include "cli/terminal.h"

enum { CELL_MAX_BYTES = 1024 * 1024, TIME_BYTES = 19, GAP = 2 };

struct table {
	struct arena		 arena;
	const struct table_column	*columns;
	size_t			 ncolumns;
	struct str		*cells;		/* ours; the texts are the arena's */
	size_t			 n, room;
	bool			 no_memory;
};

struct table *
table_new(const struct table_column *columns)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->columns = columns;
	while (columns[t->ncolumns].title != NULL)
		t->ncolumns++;
	return t;
}

void
table_free(struct table *t)
{
	if (t == NULL)
		return;
	arena_fini(&t->arena);
	free(t->cells);
	free(t);
}

static bool
make_room(struct table *t)
{
	size_t room = t->room ? t->room * 2 : 64;
	struct str *more;

	if (t->n < t->room)
		return true;
	more = realloc(t->cells, room * sizeof(*more));
	if (more == NULL)
		return false;
	t->cells = more;
	t->room = room;
	return true;
}

/* "2026-11-24 18:43:14.123+00" -> "2026-11-24 18:43:14" */
static struct str
to_the_second(struct table *t, struct str cell)
{
	char *p;

	if (cell.n <= TIME_BYTES || cell.p[4] != '-')
		return cell;
	p = arena_text(&t->arena, (struct str){ cell.p, TIME_BYTES });
	if (p == NULL)
		return cell;
	p[10] = ' ';
	return (struct str){ p, TIME_BYTES };
}

void
table_add(struct table *t, struct str cell)
{
	struct buf shown;

	if (t == NULL)
		return;
	if (!make_room(t)) {
		t->no_memory = true;
		return;
	}
	if (cell.p == NULL)
		cell = STR("-");
	else if (t->columns[t->n % t->ncolumns].kind == COLUMN_TIME)
		cell = to_the_second(t, cell);
	buf_init(&shown, CELL_MAX_BYTES);
	terminal_put(&shown, cell, TERMINAL_ONE_LINE);
	t->cells[t->n++] = arena_str(&t->arena, buf_str(&shown));
	buf_fini(&shown);
}

void
table_add_number(struct table *t, long long n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", n);
	table_add(t, str_of(text));
}

/* ---- printing ---- */

static size_t
width_of(const struct table *t, size_t column)
{
	size_t widest = terminal_width(str_of(t->columns[column].title));

	for (size_t i = column; i < t->n; i += t->ncolumns) {
		size_t width = terminal_width(t->cells[i]);

		widest = width > widest ? width : widest;
	}
	return widest;
}

static void
pad(size_t n)
{
	(void)printf("%*s", (int)n, "");
}

static void
print_last(struct str cell, size_t used, size_t columns)
{
	size_t left = columns > used ? columns - used : 0;

	if (columns == 0 || left == 0 || terminal_width(cell) <= left) {
		(void)printf("%.*s\n", STR_ARG(cell));
		return;
	}
	(void)printf("%.*s…\n", STR_ARG(terminal_prefix(cell, left - 1)));
}

/* A last column of numbers is padded like the others. */
static void
print_row(const struct table *t, const struct str *cells, const size_t *widths, size_t columns)
{
	size_t used = 0;

	for (size_t i = 0; i < t->ncolumns; i++) {
		size_t fill = widths[i] - terminal_width(cells[i]);
		bool is_number = t->columns[i].kind == COLUMN_NUMBER;
		bool is_last = i + 1 == t->ncolumns;

		if (is_number)
			pad(fill);
		if (is_last) {
			print_last(cells[i], used, columns);
			return;
		}
		(void)printf("%.*s", STR_ARG(cells[i]));
		pad(is_number ? GAP : fill + GAP);
		used += widths[i] + GAP;
	}
}

void
table_print(const struct table *t)
{
	size_t *widths, columns = terminal_columns();
	struct str *titles;

	if (t == NULL || t->n == 0)
		return;
	widths = calloc(t->ncolumns, sizeof(*widths));
	titles = calloc(t->ncolumns, sizeof(*titles));
	if (widths != NULL && titles != NULL && !t->no_memory) {
		for (size_t i = 0; i < t->ncolumns; i++) {
			widths[i] = width_of(t, i);
			titles[i] = str_of(t->columns[i].title);
		}
		print_row(t, titles, widths, columns);
		for (size_t i = 0; i < t->n; i += t->ncolumns)
			print_row(t, &t->cells[i], widths, columns);
	} else {
		(void)fputs("touchlog: out of memory\n", stderr);
	}
	free(widths);
	free(titles);
}

void
table_print_result(const PGresult *res, const struct table_column *columns)
{
	struct table *t = table_new(columns);

	for (int row = 0; row < PQntuples(res); row++)
		for (int i = 0; t != NULL && i < (int)t->ncolumns; i++)
			table_add(t, db_cell(res, row, i));
	table_print(t);
	table_free(t);
}
