/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the command line's verbs, read by their rows with getopt_long(). */
#include "cli/options.h"

#include <getopt.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/conf.h"
#include "cli/command.h"
#include "model/when.h"

enum { MAX_OPTIONS = 16, FIRST_VALUE = 256, HELP_COLUMN = 22 };

/* What every verb takes. */
static const struct option_row common[] = {
	{ "config", 'c', OPTION_TEXT, offsetof(struct cli, config_path), "FILE",
	    .help = "the configuration, else " TOUCHLOG_SYSCONFDIR "/touchlog/touchlog.yaml" },
	{ "json", '\0', OPTION_SWITCH, offsetof(struct cli, wants_json),
	    .help = "the answer as JSON, for programs" },
	{ "help", 'h', OPTION_SWITCH, .help = "this text" },
	{ 0 },
};

enum { NCOMMON = sizeof(common) / sizeof(common[0]) - 1, HELP_ROW = NCOMMON - 1 };

/* ---- values ---- */

/* RFC 3339, a day (UTC), or how long ago: 36h. */
static bool
read_time(struct str s, int64_t *ret_us)
{
	static const struct str midnight = STR("T00:00:00Z");
	char day[32];
	int64_t ms;

	if (conf_parse_ms(s, &ms)) {
		*ret_us = clock_now_us() - ms * 1000;
		return true;
	}
	if (s.n == 10 && s.p[4] == '-') {
		(void)snprintf(day, sizeof(day), "%.*s%.*s", STR_ARG(s), STR_ARG(midnight));
		return when_parse(str_of(day), ret_us);
	}
	return when_parse(s, ret_us);
}

static bool
read_value(const struct option_row *row, const char *text, void *out)
{
	union { char *byte; bool *flag; const char **text; struct option_texts *texts;
	    int64_t *num; } at = { .byte = out };
	struct str s = str_of(text);
	int64_t n;

	at.byte += row->offset;
	switch (row->type) {
	case OPTION_SWITCH:
		*at.flag = true;
		return true;
	case OPTION_TEXT:
		*at.text = text;
		return true;
	case OPTION_TEXTS:
		if (at.texts->n == OPTION_TEXTS_MAX)
			return false;
		at.texts->v[at.texts->n++] = text;
		return true;
	case OPTION_INT:
		return str_to_i64(s, row->min, row->max, at.num);
	case OPTION_MS:
		if (!conf_parse_ms(s, &n) || n < row->min || n > row->max)
			return false;
		*at.num = n;
		return true;
	case OPTION_TIME:
		return read_time(s, at.num);
	}
	return false;
}

static bool
complain(const struct option_row *row, const char *text)
{
	switch (row->type) {
	case OPTION_INT:
		cli_note("--%s: %s is no number from %lld to %lld", row->name, text,
		    (long long)row->min, (long long)row->max);
		break;
	case OPTION_MS:
		cli_note("--%s: %s is no time from %lldms to %lldms, such as 2s", row->name, text,
		    (long long)row->min, (long long)row->max);
		break;
	case OPTION_TEXTS:
		cli_note("--%s: it is given more than %d times", row->name, OPTION_TEXTS_MAX);
		break;
	default:
		cli_note("--%s: %s is no time, such as 2026-11-24T18:00:00Z, 2026-11-24 or 36h "
		    "(ago)", row->name, text);
	}
	return false;
}

/* ---- rows -> getopt ---- */

struct table {
	const struct option_row	*rows[MAX_OPTIONS + NCOMMON];
	struct option		 longs[MAX_OPTIONS + NCOMMON + 1];
	char			 letters[2 * (MAX_OPTIONS + NCOMMON) + 1];
	size_t			 n, nletters;
};

static void
add_row(struct table *t, const struct option_row *row)
{
	bool has_value = row->type != OPTION_SWITCH;

	t->rows[t->n] = row;
	t->longs[t->n] = (struct option){ row->name, has_value ? required_argument : no_argument,
	    NULL, FIRST_VALUE + (int)t->n };
	t->n++;
	if (row->letter == '\0')
		return;
	t->letters[t->nletters++] = row->letter;
	if (has_value)
		t->letters[t->nletters++] = ':';
}

static void
fill_table(struct table *t, const struct verb *v)
{
	*t = (struct table){ .n = 0 };
	for (size_t i = 0; i < NCOMMON; i++)
		add_row(t, &common[i]);
	for (const struct option_row *row = v->options; row != NULL && row->name != NULL; row++)
		add_row(t, row);
}

/* What getopt_long() returned: a value of ours, or a letter.  NULL: neither. */
static const struct option_row *
row_of(const struct table *t, int value)
{
	if (value >= FIRST_VALUE)
		return t->rows[value - FIRST_VALUE];
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i]->letter != '\0' && t->rows[i]->letter == value)
			return t->rows[i];
	return NULL;
}

static void
set_defaults(const struct verb *v, void *out)
{
	for (const struct option_row *row = v->options; row != NULL && row->name != NULL; row++)
		if (row->def != NULL && !read_value(row, row->def, out))
			abort();	/* the row is wrong */
}

static bool
is_common(const struct option_row *row)
{
	return row >= common && row < common + NCOMMON;
}

bool
options_read(const struct verb *v, int argc, char **argv, struct cli *cli, void *out,
    bool *ret_help)
{
	const struct option_row *row;
	struct table t;
	int value;

	fill_table(&t, v);
	set_defaults(v, out);
	optind = 0;		/* glibc: begin anew, and permute */
	while ((value = getopt_long(argc, argv, t.letters, t.longs, NULL)) != -1) {
		row = row_of(&t, value);
		if (row == NULL)
			return false;	/* getopt_long() said why */
		if (row == &common[HELP_ROW])
			*ret_help = true;
		else if (!read_value(row, optarg != NULL ? optarg : "",
		    is_common(row) ? (void *)cli : out))
			return complain(row, optarg);
	}
	cli->args = argv + optind;
	cli->nargs = argc - optind;
	return true;
}

/* ---- help ---- */

static void
put_row(const struct option_row *row, struct buf *out)
{
	size_t from = out->n;

	if (row->letter != '\0')
		buf_printf(out, "  -%c, --%s", row->letter, row->name);
	else
		buf_printf(out, "      --%s", row->name);
	if (row->value != NULL)
		buf_printf(out, " %s", row->value);
	buf_text(out, " ");
	while (buf_ok(out) && out->n - from < HELP_COLUMN)
		buf_text(out, " ");
	buf_text(out, row->help);
	if (row->def != NULL)
		buf_printf(out, " (%s)", row->def);
	buf_text(out, "\n");
}

void
options_help(const struct verb *v, struct buf *out)
{
	for (const struct option_row *row = v->options; row != NULL && row->name != NULL; row++)
		put_row(row, out);
	for (size_t i = 0; i < NCOMMON; i++)
		put_row(&common[i], out);
}
