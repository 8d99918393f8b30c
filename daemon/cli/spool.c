/* SPDX-License-Identifier: Apache-2.0 */
/* touchlog spool: what is acknowledged but not in the database yet, as the daemon's file has
 * it; it is read here, and never written. */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/spool_rows.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "edge/config.h"
#include "io/spool_row.h"

enum {
	LINE_MAX_BYTES	= 1024 * 1024 * 1024,
	TEXT_MAX_BYTES	= 64 * 1024,
	PATH_BYTES	= 4200,
	TIME_BYTES	= 40,
	JSON_DEPTH	= 16,
};

struct spool_options {
	const char	*file;
};

static const struct option_row options[] = {
	{ "file", '\0', OPTION_TEXT, offsetof(struct spool_options, file), "PATH",
	    .help = "this file instead of the configuration's, e.g. one that was set aside" },
	{ 0 },
};

/* ---- which file ---- */

struct subject {
	const char	*path;
	int64_t		 max_bytes;	/* 0: not known, it is not the configuration's */
	int64_t		 bytes, log_bytes;
};

/* false: errno says why. */
static bool
size_of(const char *path, int64_t *ret)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return false;
	*ret = st.st_size;
	return true;
}

/* One of file and log is enough: a log without its file holds events. */
static enum exit_code
measure(struct subject *s)
{
	char log[PATH_BYTES];
	bool is_there = size_of(s->path, &s->bytes);

	if (!is_there && errno != ENOENT)
		return cli_fail(CLI_FAILED, "%s: %s", s->path, strerror(errno));
	(void)snprintf(log, sizeof(log), "%s-wal", s->path);
	if (!size_of(log, &s->log_bytes) && !is_there)
		return cli_fail(CLI_NOT_FOUND, "%s: there is no such file", s->path);
	return CLI_OK;
}

static enum exit_code
find_subject(struct cli *cli, struct subject *ret)
{
	const struct spool_options *o = cli->options;
	const struct config *c;

	*ret = (struct subject){ .path = o->file };
	if (o->file != NULL)
		return measure(ret);
	c = cli_config(cli);
	if (c == NULL)
		return CLI_CONFIG;
	if (c->spool.path.p == NULL)
		return cli_fail(CLI_NOT_FOUND, "the configuration has no spool; --file PATH names "
		    "one");
	ret->path = c->spool.path.p;
	ret->max_bytes = c->spool.max_bytes;
	return measure(ret);
}

/* ---- texts ---- */

static const char *
time_text(int64_t at_us, char out[TIME_BYTES])
{
	time_t at_s = (time_t)(at_us / 1000000);
	struct tm tm;
	size_t n = 0;

	if (gmtime_r(&at_s, &tm) != NULL)
		n = strftime(out, TIME_BYTES, "%FT%T", &tm);
	(void)snprintf(out + n, TIME_BYTES - n, ".%03dZ", (int)(at_us / 1000 % 1000));
	return out;
}

static enum exit_code
tell_damage(const struct subject *s, const struct spool_rows *rows)
{
	if (!rows->is_damaged)
		return CLI_OK;
	return cli_fail(CLI_FAILED, "%s is damaged: %s; of the events in it, %lld are known to be "
	    "lost", s->path, rows->why.text, (long long)rows->lost);
}

/* ---- export ---- */

/* As they are, unless they are no JSON. */
static void
put_identities(struct buf *out, struct str text)
{
	struct json_object *o = NULL;
	struct err err;

	if (text.n > 0 && json_parse(text, JSON_DEPTH, &o, &err))
		buf_str_add(out, text);
	else
		buf_text(out, "null");
	json_object_put(o);
}

static void
put_row(struct buf *out, const struct spool_row *row)
{
	const struct spool_item *it = &row->item;
	char id[UUID_TEXT_SIZE], key[UUID_TEXT_SIZE], at[TIME_BYTES];
	union { const char *text; const unsigned char *bytes; } u = { .text = it->row.p };

	uuid_text(it->id, id);
	uuid_text(it->key, key);
	buf_printf(out, "{\"seq\":%" PRId64 ",\"id\":\"%s\",\"key\":\"%s\",\"kind\":\"%.*s\"",
	    it->seq, id, key, STR_ARG(spool_row_kind(row)));
	buf_text(out, ",\"source\":");
	buf_json(out, it->source);
	buf_printf(out, ",\"put_at\":\"%s\",\"identities\":", time_text(row->put_at_us, at));
	put_identities(out, it->identities);
	buf_printf(out, ",\"format\":%d,\"row\":\"", it->format);
	encode_base64(out, u.bytes, it->row.n);
	buf_text(out, "\"}\n");
}

static void
print_row(void *arg, const struct spool_row *row)
{
	struct buf *line = arg;

	buf_clear(line);
	put_row(line, row);
	if (buf_ok(line))
		(void)fwrite(line->p, 1, line->n, stdout);
	else
		cli_note("event %lld: out of memory", (long long)row->item.seq);
}

static enum exit_code
export(struct cli *cli)
{
	struct buf line;
	struct spool_rows rows = { .visit = print_row, .arg = &line };
	struct subject s;
	struct err err;
	enum exit_code code = find_subject(cli, &s);

	if (code != CLI_OK)
		return code;
	buf_init(&line, LINE_MAX_BYTES);
	code = spool_rows_each(&rows, s.path, &err) ? tell_damage(&s, &rows) :
	    cli_fail(CLI_FAILED, "%s: %s", s.path, err.text);
	buf_fini(&line);
	return code;
}

/* ---- status ---- */

/* What there is of one source and kind. */
struct share {
	struct share	*next;
	struct str	 source;
	bool		 is_parking;
	int64_t		 events, bytes, oldest_us;
};

struct totals {
	struct arena	 arena;		/* ours */
	struct share	*shares;	/* by source, then kind */
	int64_t		 events, oldest_us;
	bool		 no_memory;
};

static int
compare(const struct share *a, struct str source, bool is_parking)
{
	size_t n = a->source.n < source.n ? a->source.n : source.n;
	int order = n > 0 ? memcmp(a->source.p, source.p, n) : 0;

	if (order == 0)
		order = (a->source.n > source.n) - (a->source.n < source.n);
	return order != 0 ? order : a->is_parking - is_parking;
}

static struct share *
share_of(struct totals *t, const struct spool_item *it)
{
	struct share **at = &t->shares, *share;

	while (*at != NULL && compare(*at, it->source, it->is_parking) < 0)
		at = &(*at)->next;
	if (*at != NULL && compare(*at, it->source, it->is_parking) == 0)
		return *at;
	share = arena_alloc(&t->arena, sizeof(*share));
	if (share == NULL)
		return NULL;
	*share = (struct share){ .next = *at, .source = arena_str(&t->arena, it->source),
	    .is_parking = it->is_parking };
	*at = share;
	return share;
}

static void
older(int64_t *oldest_us, int64_t at_us)
{
	if (*oldest_us == 0 || at_us < *oldest_us)
		*oldest_us = at_us;
}

static void
add_row(void *arg, const struct spool_row *row)
{
	struct totals *t = arg;
	struct share *share = share_of(t, &row->item);

	if (share == NULL) {
		t->no_memory = true;
		return;
	}
	t->events++;
	older(&t->oldest_us, row->put_at_us);
	share->events++;
	share->bytes += (int64_t)row->item.row.n;
	older(&share->oldest_us, row->put_at_us);
}

/* Files that were set aside, without their logs. */
static void
each_aside(const char *path, void (*tell)(void *arg, const char *aside, int64_t bytes), void *arg)
{
	char pattern[2 * PATH_BYTES];
	size_t n = 0;
	glob_t found;

	for (const char *p = path; *p != '\0' && n < sizeof(pattern) - 16; p++) {
		if (strchr("*?[\\", *p) != NULL)
			pattern[n++] = '\\';
		pattern[n++] = *p;
	}
	(void)snprintf(pattern + n, sizeof(pattern) - n, ".damaged-*");
	if (glob(pattern, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *name = found.gl_pathv[i], *end = name + strlen(name);
		int64_t bytes = 0;

		if (strcmp(end - 4, "-wal") != 0 && size_of(name, &bytes))
			tell(arg, name, bytes);
	}
	globfree(&found);
}

/* ---- status, as JSON ---- */

static void
put_time(struct buf *out, const char *key, int64_t at_us)
{
	char text[TIME_BYTES];

	if (at_us == 0)
		buf_printf(out, ",\"%s\":null", key);
	else
		buf_printf(out, ",\"%s\":\"%s\"", key, time_text(at_us, text));
}

static void
put_shares(struct buf *out, const struct totals *t)
{
	buf_text(out, ",\"sources\":[");
	for (const struct share *s = t->shares; s != NULL; s = s->next) {
		buf_text(out, s == t->shares ? "{\"source\":" : ",{\"source\":");
		buf_json(out, s->source);
		buf_printf(out, ",\"kind\":\"%s\",\"events\":%" PRId64 ",\"bytes\":%" PRId64,
		    s->is_parking ? "parked" : "event", s->events, s->bytes);
		put_time(out, "oldest", s->oldest_us);
		buf_text(out, "}");
	}
	buf_text(out, "]");
}

static void
put_aside(void *arg, const char *path, int64_t bytes)
{
	struct buf *out = arg;

	buf_text(out, out->p[out->n - 1] == '[' ? "{\"path\":" : ",{\"path\":");
	buf_json(out, str_of(path));
	buf_printf(out, ",\"bytes\":%" PRId64 "}", bytes);
}

static void
print_status_json(const struct subject *s, const struct totals *t, const struct spool_rows *rows)
{
	struct buf out;

	buf_init(&out, LINE_MAX_BYTES);
	buf_text(&out, "{\"path\":");
	buf_json(&out, str_of(s->path));
	buf_printf(&out, ",\"format\":%d,\"bytes\":%" PRId64 ",\"log_bytes\":%" PRId64,
	    SPOOL_FORMAT, s->bytes, s->log_bytes);
	if (s->max_bytes > 0)
		buf_printf(&out, ",\"max_bytes\":%" PRId64, s->max_bytes);
	buf_printf(&out, ",\"events\":%" PRId64, t->events);
	put_time(&out, "oldest", t->oldest_us);
	buf_text(&out, ",\"damaged\":");
	if (rows->is_damaged)
		buf_json(&out, str_of(rows->why.text));
	else
		buf_text(&out, "null");
	buf_printf(&out, ",\"lost\":%" PRId64, rows->lost);
	put_shares(&out, t);
	buf_text(&out, ",\"set_aside\":[");
	each_aside(s->path, put_aside, &out);
	buf_text(&out, "]}\n");
	(void)fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

/* ---- status, for people ---- */

static const struct table_column share_columns[] = {
	{ "SOURCE", COLUMN_TEXT }, { "KIND", COLUMN_TEXT }, { "EVENTS", COLUMN_NUMBER },
	{ "BYTES", COLUMN_NUMBER }, { "OLDEST", COLUMN_TIME }, { NULL, COLUMN_TEXT },
};

static void __attribute__((format(printf, 2, 3)))
say(const char *name, const char *fmt, ...)
{
	char text[TEXT_MAX_BYTES / 8];
	struct buf line;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_init(&line, TEXT_MAX_BYTES);
	terminal_put(&line, str_of(text), TERMINAL_ONE_LINE);
	(void)printf("%-10s %.*s\n", name, STR_ARG(buf_str(&line)));
	buf_fini(&line);
}

static void
say_aside(void *arg, const char *path, int64_t bytes)
{
	(void)arg;
	say("set aside", "%s, %" PRId64 " bytes", path, bytes);
}

static void
print_shares(const struct totals *t)
{
	struct table *table = table_new(share_columns);
	char at[TIME_BYTES];

	for (const struct share *s = t->shares; s != NULL; s = s->next) {
		table_add(table, s->source);
		table_add(table, s->is_parking ? STR("parked") : STR("event"));
		table_add_number(table, s->events);
		table_add_number(table, s->bytes);
		table_add(table, str_of(time_text(s->oldest_us, at)));
	}
	if (t->shares != NULL)
		(void)puts("");
	table_print(table);
	table_free(table);
}

static void
print_status(const struct subject *s, const struct totals *t)
{
	int64_t age_s = t->oldest_us > 0 ? (clock_now_us() - t->oldest_us) / 1000000 : 0;
	char at[TIME_BYTES];

	say("file", "%s", s->path);
	say("format", "%d", SPOOL_FORMAT);
	if (s->max_bytes > 0)
		say("bytes", "%" PRId64 " of %" PRId64 ", and %" PRId64 " of its log", s->bytes,
		    s->max_bytes, s->log_bytes);
	else
		say("bytes", "%" PRId64 ", and %" PRId64 " of its log", s->bytes, s->log_bytes);
	say("events", "%" PRId64, t->events);
	if (t->oldest_us > 0)
		say("oldest", "%s, %" PRId64 " s ago", time_text(t->oldest_us, at), age_s);
	each_aside(s->path, say_aside, NULL);
	print_shares(t);
}

static enum exit_code
print_totals(const struct cli *cli, const struct subject *s, const struct totals *t,
    const struct spool_rows *rows)
{
	if (t->no_memory)
		return cli_fail(CLI_FAILED, "out of memory");
	if (cli->wants_json)
		print_status_json(s, t, rows);
	else
		print_status(s, t);
	return tell_damage(s, rows);
}

static enum exit_code
status(struct cli *cli)
{
	struct totals t = { .events = 0 };
	struct spool_rows rows = { .visit = add_row, .arg = &t };
	struct subject s;
	struct err err;
	enum exit_code code = find_subject(cli, &s);

	if (code != CLI_OK)
		return code;
	code = spool_rows_each(&rows, s.path, &err) ? print_totals(cli, &s, &t, &rows) :
	    cli_fail(CLI_FAILED, "%s: %s", s.path, err.text);
	arena_fini(&t.arena);
	return code;
}

static const struct verb verbs[] = {
	{ "status", "", 0, 0, options, sizeof(struct spool_options),
	    "Tell what is in the spool", "Every event is read and checked. Nothing is changed, and "
	    "the daemon may be at work.", status },
	{ "export", "", 0, 0, options, sizeof(struct spool_options),
	    "Print the events of the spool, one JSON object a line", "Of a damaged file, what can "
	    "be read. Nothing is changed, and the daemon may be at work.", export },
	{ 0 },
};

const struct command command_spool = { "spool", verbs };
