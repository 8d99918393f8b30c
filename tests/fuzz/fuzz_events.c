/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the whole way of a post: each preset reads what a stranger may have sent, as the
 * daemon would, up to the row.
 *
 * Input: a byte that names the preset, a byte for type and coding, a header's value up to the
 * first line end, and the body.
 *
 * What fits is text that PostgreSQL takes, and somebody's; what does not is kept whole. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "channels/channel.h"
#include "channels/handshake.h"
#include "channels/registry.h"
#include "channels/trial.h"
#include "edge/config.h"
#include "flow/record.h"
#include "io/http_parse.h"
#include "model/parking.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CONFIG_MAX_BYTES = 65536, NAMES_MAX = 64, PATH_BYTES = 4096 };

static const struct str types[] = {
	STR("application/json"), STR("application/x-ndjson"), STR("application/x-www-form-urlencoded"),
	STR("application/x-www-form-base64-encoded"), STR("multipart/form-data; boundary=b"),
	STR("text/plain; charset=utf-8"), STR(""), STR("application/cloudevents+json"),
};

enum { NTYPES = sizeof(types) / sizeof(types[0]) };

/* ---- the presets ---- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool
asks_for_token(const char *path)
{
	struct conf *preset = conf_load_tree(path);
	const struct conf_node *list = conf_find(conf_root(preset), "handshake");
	bool found = false;

	for (size_t i = 0; conf_is_list(list) && i < conf_count(list); i++)
		found |= conf_find(conf_item(list, i), "token") != NULL;
	conf_free(preset);
	return found;
}

/* A source of each, and a canonical one, which comes first. */
static void
put_config(struct buf *out, const char *dir)
{
	struct dirent *entry;
	char *names[NAMES_MAX], path[PATH_BYTES];
	size_t n = 0;
	DIR *d = opendir(dir);

	if (d == NULL)
		abort();
	while ((entry = readdir(d)) != NULL && n < NAMES_MAX)
		if (strstr(entry->d_name, ".yaml") != NULL)
			names[n++] = strndup(entry->d_name, strlen(entry->d_name) - 5);
	(void)closedir(d);
	qsort(names, n, sizeof(*names), by_name);
	buf_printf(out, "preset_dir: \"%s\"\nlisteners: { x: { address: \"127.0.0.1:0\", serve: "
	    "[ops] } }\nsources:\n  canonical: { type: webhook, verify: none }\n", dir);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s.yaml", dir, names[i]);
		buf_printf(out, "  %s: { type: webhook, preset: %s, region: NL, %s%s }\n", names[i],
		    names[i], strcmp(names[i], "ses") == 0 ? "topic: \"arn:aws:sns:none:0:none\"" :
		    "secret: \"plain:x\"", asks_for_token(path) ? ", verify_token: \"plain:x\"" : "");
		free(names[i]);
	}
}

static struct config *
load(void)
{
	char path[] = "/tmp/touchlog-fuzz-events-XXXXXX";
	const char *dir = getenv("TOUCHLOG_PRESETS");
	struct config *c = NULL;		/* kept to the end */
	int fd = mkstemp(path);
	struct buf text;

	buf_init(&text, CONFIG_MAX_BYTES);
	put_config(&text, dir != NULL ? dir : "channels/presets");
	if (fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n)
		c = config_load_without_secrets(path);
	(void)unlink(path);
	(void)close(fd);
	buf_fini(&text);
	if (c == NULL)
		abort();
	if (conf_errors(c->conf) > 0) {
		config_print(c);
		abort();
	}
	return c;
}

/* ---- what is found out ---- */

static void
check_text(struct str s)
{
	size_t at;

	if (!str_is_utf8(s, &at) || (s.n > 0 && memchr(s.p, '\0', s.n) != NULL))
		abort();
}

static void
check_json(struct str s)
{
	struct json_object *o = NULL;
	struct err err;

	if (!json_parse(s, JSON_DEPTH_MAX, &o, &err))
		abort();
	json_object_put(o);
}

static void
check_event(const struct interaction *i)
{
	struct record *r;

	for (size_t c = 0; c < COL_NCOLUMNS; c++)
		check_text(i->text[c]);
	if (i->text[COL_CHANNEL].n == 0 || i->text[COL_KIND].n == 0)
		abort();
	check_json(i->attributes);
	if (i->payload.p != NULL)
		check_json(i->payload);
	for (size_t p = 0; p < i->nparties; p++) {
		if (i->parties[p].nmentions == 0)
			abort();
		for (size_t m = 0; m < i->parties[p].nmentions; m++)
			check_text(i->parties[p].mentions[m].value);
	}
	r = record_new(i);
	if (r == NULL)
		abort();
	record_free(r);
}

static void
check_parking(const struct parking *p)
{
	struct record *r = record_new_parking(p);

	if (r == NULL || p->raw.p == NULL)
		abort();
	check_text(p->reason);
	record_free(r);
}

static bool
begin(void *arg, size_t n, bool is_plural)
{
	size_t *left = arg;

	if (n != 1 && !is_plural)
		abort();
	*left = n;
	return true;
}

static void
event(void *arg, const struct event_outcome *o)
{
	size_t *left = arg;

	if ((*left)-- == 0)
		abort();
	if (o->end == EVENT_FITS)
		check_event(o->event);
	else if (o->end == EVENT_UNFIT)
		check_parking(o->parking);
	else if (o->end == EVENT_REJECTED)
		check_text(str_of(o->why->text));
}

static void
sender(void *arg, const struct trial_sender *s)
{
	(void)arg;
	if (s->is_checked)
		abort();
}

static void
refused(void *arg, const struct body_refusal *why)
{
	(void)arg;
	(void)why;
}

static void
handshake(void *arg, const struct handshake_answer *a)
{
	(void)arg;
	check_text(a->text);
}

static const struct trial_ops ops = { sender, refused, handshake, { begin, event } };

/* ---- a request ---- */

static const struct channel_ops *
webhook(void)
{
	for (size_t i = 0; channels[i] != NULL; i++)
		if (strcmp(channels[i]->name, "webhook") == 0)
			return channels[i];
	abort();
}

static void
run(const struct conf_named *source, struct http_message *m)
{
	size_t left = 0;
	const struct trial t = { .source = source->common, .conf = source->own, .m = m,
	    .rest = STR(""), .id = { { 1 } }, .now_us = 1700000000 * INT64_C(1000000),
	    .ops = &ops, .arg = &left };
	struct err err;

	if (!webhook()->try(&t, &err) || left != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct config *c;
	struct str rest = { (const char *)data, n }, line;
	struct http_header headers[6] = { { STR("Host"), STR("x") } };
	struct http_message m = { .method = STR("POST"), .path = STR("/in/x"), .headers = headers };
	char *body;

	if (c == NULL)
		c = load();
	if (n < 2)
		return 0;
	rest = str_skip(rest, 2);
	line = str_cut(&rest, '\n');
	headers[1] = (struct http_header){ STR("Content-Type"), types[data[1] % NTYPES] };
	headers[2] = (struct http_header){ STR("X-GitHub-Event"), line };
	headers[3] = (struct http_header){ STR("X-Shopify-Topic"), line };
	headers[4] = (struct http_header){ STR("Content-Encoding"),
	    data[1] & 64 ? STR("deflate") : STR("gzip") };
	m.nheaders = data[1] & 128 ? 5 : 4;
	m.query = line;
	/* A copy of its own, so that reading past it is seen. */
	body = malloc(rest.n + 1);
	if (body == NULL)
		abort();
	if (rest.n > 0)
		memcpy(body, rest.p, rest.n);
	m.body = rest.n > 0 ? body : NULL;
	m.body_len = rest.n;
	run(&c->sources.v[data[0] % c->sources.n], &m);
	free(body);
	return 0;
}
