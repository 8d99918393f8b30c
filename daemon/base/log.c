/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per fact on stderr: <priority>event=name key=value ...
 * The priority stands there when journald reads us; on a terminal the time does.
 * A line is one write(), so that lines of two processes do not mix.
 */
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

enum { LINE_BYTES = 8192 };

static enum log_level shown = LOG_INFO;

void
log_set_level(enum log_level level)
{
	shown = level;
}

/* A word stands bare; whatever could be taken for something else is quoted. */
static bool
is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
			return false;
	}
	return s.n > 0;
}

static void
put_text(struct buf *b, struct str s)
{
	if (is_word(s)) {
		buf_str_add(b, s);
		return;
	}
	buf_text(b, "\"");
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
			buf_printf(b, "\\x%02x", c);
		else
			buf_add(b, s.p + i, 1);
	}
	buf_text(b, "\"");
}

static void
put_time(struct buf *b)
{
	int64_t at_us = clock_now_us();
	time_t at_s = (time_t)(at_us / 1000000);
	struct tm tm;
	char text[32];

	if (gmtime_r(&at_s, &tm) == NULL || strftime(text, sizeof(text), "%FT%T", &tm) == 0)
		return;
	buf_printf(b, "%s.%03dZ ", text, (int)(at_us / 1000 % 1000));
}

static const char *
level_name(enum log_level level)
{
	return level == LOG_ERROR ? "error " : level == LOG_WARN ? "warn " :
	    level == LOG_INFO ? "info " : "debug ";
}

/* Whether the journal reads our standard error: $JOURNAL_STREAM says which file that is,
 * and stays set when somebody sends it elsewhere. */
static bool
is_journal(void)
{
	struct str rest = str_of(getenv("JOURNAL_STREAM"));
	int64_t dev, ino;
	struct stat st;

	return rest.p != NULL && str_to_i64(str_cut(&rest, ':'), 0, INT64_MAX, &dev) &&
	    str_to_i64(rest, 0, INT64_MAX, &ino) && fstat(STDERR_FILENO, &st) == 0 &&
	    (int64_t)st.st_dev == dev && (int64_t)st.st_ino == ino;
}

void
log_write(enum log_level level, const char *event, const struct log_field *field, size_t n)
{
	struct buf b;

	if (level > shown)
		return;
	buf_init(&b, LINE_BYTES);
	if (is_journal()) {
		buf_printf(&b, "<%d>", (int)level);
	} else {
		put_time(&b);
		buf_text(&b, level_name(level));
	}
	buf_printf(&b, "event=%s", event);
	for (size_t i = 0; i < n; i++) {
		if (field[i].key == NULL)
			continue;
		buf_printf(&b, " %s=", field[i].key);
		if (field[i].type == LOG_STR)
			put_text(&b, field[i].str);
		else
			buf_printf(&b, "%" PRId64, field[i].num);
	}
	if (!buf_ok(&b))
		b.n = b.n < LINE_BYTES - 1 ? b.n : LINE_BYTES - 1;
	b.is_over = false;
	buf_text(&b, "\n");
	/* Nothing to be done about a log nobody reads. */
	(void)!write(STDERR_FILENO, b.p, b.n);
	buf_fini(&b);
}
