/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touchlog source try: what a payload would become, without a daemon and without a database.
 *
 * The request goes through the steps of its channel type (channel_ops.try), by the
 * configuration as it is read here.  Secrets are read only where the sender is checked.
 */
#include "cli/source_try.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/clock.h"
#include "channels/body.h"
#include "channels/channel.h"
#include "channels/handshake.h"
#include "channels/registry.h"
#include "channels/trial.h"
#include "cli/preset.h"
#include "cli/sources.h"
#include "cli/trial_event.h"
#include "cli/trial_print.h"
#include "cli/trial_request.h"
#include "edge/config.h"
#include "io/http_parse.h"
#include "model/source.h"

#define AT(field) offsetof(struct source_try_options, field)

const struct option_row source_try_options[] = {
	{ "preset", '\0', OPTION_TEXT, AT(preset), "NAME",
	    .help = "a preset alone, instead of a source of the configuration" },
	{ "content-type", '\0', OPTION_TEXT, AT(type), "TYPE",
	    .help = "else what FILE looks like: JSON, lines of it, a form" },
	{ "header", 'H', OPTION_TEXTS, AT(headers), "LINE",
	    .help = "a header (Name: value); as often as wanted" },
	{ "query", '\0', OPTION_TEXT, AT(query), "PAIRS",
	    .help = "the query of the URL: a=b&c=d" },
	{ "verify", '\0', OPTION_SWITCH, AT(verifies),
	    .help = "check the sender, for which the secrets are read" },
	{ "url", '\0', OPTION_TEXT, AT(url), "URL",
	    .help = "the URL that the sender was given, where it is signed" },
	{ "at", '\0', OPTION_TIME, AT(at_us), "TIME",
	    .help = "when it arrived: RFC 3339, or how long ago (36h)" },
	{ "secret", '\0', OPTION_TEXT, AT(secret), "SPEC",
	    .help = "with --preset, what is verified by: file:PATH, env:NAME, ..." },
	{ "region", '\0', OPTION_TEXT, AT(region), "CC",
	    .help = "with --preset, the country of national telephone numbers" },
	{ "preset-dir", '\0', OPTION_TEXT, AT(preset_dir), "DIR",
	    .def = TOUCHLOG_PRESETDIR, .help = "with --preset, where NAME.yaml is" },
	{ 0 },
};

enum { CONFIG_MAX_BYTES = 64 * 1024, URL_MAX_BYTES = 8192, PATH_BYTES = 64 };

struct trying {
	struct cli			*cli;
	const struct source_try_options	*o;
	const char			*name;		/* of the source */
	const char			*config_path;
	char				 own_path[PATH_BYTES];
	int				 own_fd;	/* ours: of a preset's configuration; or -1 */
	struct config			*config;	/* ours */
	struct trial_request		 request;	/* ours */
	struct str			 url;		/* of --url, without its query */
	struct json_object		*answer;	/* ours */
	struct json_object		*events;	/* the answer's */
	bool				 has_proof;
	bool				 has_failed;
};

/* ---- the configuration ---- */

/* Some presets ask for a token in their handshake, which has to be set then. */
static bool
has_token(const struct conf *preset)
{
	const struct conf_node *list = conf_find(conf_root(preset), "handshake");

	for (size_t i = 0; conf_is_list(list) && i < conf_count(list); i++)
		if (conf_find(conf_item(list, i), "token") != NULL)
			return true;
	return false;
}

static void
put_pair(struct buf *out, const char *name, struct str value)
{
	buf_printf(out, "%s: ", name);
	buf_json(out, value);
	buf_text(out, ", ");
}

/* A relative file counts from where we are, not from where the configuration is. */
static void
put_secret(struct buf *out, const char *spec)
{
	static const struct str file = STR("file:");
	struct str path = str_of(spec);
	char *here = NULL;
	struct buf whole;

	buf_init(&whole, CONFIG_MAX_BYTES);
	if (str_starts(path, file) && path.n > file.n && path.p[file.n] != '/' &&
	    (here = getcwd(NULL, 0)) != NULL) {
		buf_printf(&whole, "file:%s/%s", here, spec + file.n);
		path = buf_str(&whole);
	}
	put_pair(out, "secret", path);
	free(here);
	buf_fini(&whole);
}

/* What its source has to say besides the preset's name; what is not known is made up. */
static void
put_settings(const struct trying *t, const struct conf *preset, struct buf *out)
{
	struct str verify = conf_text(conf_find(conf_root(preset), "verify"));

	if (str_eq(verify, STR("amazon-sns")))
		put_pair(out, "topic", STR("arn:aws:sns:none:0:none"));
	else
		put_secret(out, t->o->secret != NULL ? t->o->secret : "plain:none");
	if (has_token(preset))
		put_pair(out, "verify_token", STR("plain:none"));
}

/* A configuration of this one source. */
static void
put_config(const struct trying *t, const struct conf *preset, const char *dir, struct buf *out)
{
	buf_text(out, "{ ");
	put_pair(out, "preset_dir", str_of(dir));
	buf_text(out, "listeners: { none: { address: \"127.0.0.1:0\", serve: [ingest] } }, "
	    "sources: { ");
	buf_json(out, str_of(t->name));
	buf_text(out, ": { type: webhook, ");
	put_pair(out, "preset", str_of(t->name));
	if (t->o->region != NULL)
		put_pair(out, "region", str_of(t->o->region));
	put_settings(t, preset, out);
	buf_text(out, "} } }\n");
}

static bool
write_own(struct trying *t, const struct buf *text)
{
	t->own_fd = memfd_create("preset", MFD_CLOEXEC);
	if (t->own_fd < 0 || write(t->own_fd, text->p, text->n) != (ssize_t)text->n)
		return false;
	(void)snprintf(t->own_path, sizeof(t->own_path), "/proc/self/fd/%d", t->own_fd);
	t->config_path = t->own_path;
	return true;
}

static enum exit_code
make_config(struct trying *t)
{
	char *dir = realpath(t->o->preset_dir, NULL);
	struct conf *preset = NULL;
	enum exit_code code = preset_load(t->o->preset_dir, t->name, &preset);
	struct buf text;

	buf_init(&text, CONFIG_MAX_BYTES);
	if (code == CLI_OK && dir != NULL)
		put_config(t, preset, dir, &text);
	if (code == CLI_OK && (dir == NULL || !buf_ok(&text) || !write_own(t, &text)))
		code = cli_fail(CLI_FAILED, "%s", strerror(errno));
	buf_fini(&text);
	conf_free(preset);
	free(dir);
	return code;
}

static enum exit_code
load_config(struct trying *t)
{
	t->config = config_load_without_secrets(t->config_path);
	if (t->config == NULL)
		return cli_fail(CLI_FAILED, "out of memory");
	if (conf_errors(t->config->conf) == 0)
		return CLI_OK;
	config_print(t->config);
	return CLI_CONFIG;
}

/* With the secrets.  false: they cannot be read, which is said. */
static bool
load_again(struct trying *t)
{
	struct config *c = config_load(t->config_path);

	if (c == NULL || conf_errors(c->conf) > 0) {
		if (c != NULL && t->o->verifies)
			config_print(c);
		else if (c != NULL)
			cli_note("the sender is not checked: %s", conf_error_text(c->conf, 0));
		config_free(c);
		return false;
	}
	config_free(t->config);
	t->config = c;
	return true;
}

static const struct conf_named *
find_source(const struct trying *t)
{
	const struct conf_named_list *all = &t->config->sources;

	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->v[i].name, str_of(t->name)))
			return &all->v[i];
	return NULL;
}

/* ---- what is told ---- */

static void
put_text(struct json_object *o, const char *name, struct str s)
{
	json_object_object_add(o, name, json_object_new_string_len(s.p, (int)s.n));
}

static void
on_sender(void *arg, const struct trial_sender *s)
{
	struct trying *t = arg;
	struct json_object *o = json_object_new_object();

	put_text(o, "status", !s->is_checked ? STR("not checked") : s->check == NULL ?
	    STR("known") : STR("not known"));
	if (s->check != NULL)
		put_text(o, "failed", str_of(s->check));
	if (s->url.p != NULL)
		put_text(o, "url", s->url);
	json_object_object_add(t->answer, "sender", o);
	t->has_proof = s->has_proof && !s->is_checked;
	t->has_failed |= s->check != NULL;
}

static void
refused(struct trying *t, int status, const char *check, const char *detail)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "status", json_object_new_int(status));
	put_text(o, "check", str_of(check));
	put_text(o, "detail", str_of(detail));
	json_object_object_add(t->answer, "refused", o);
	t->has_failed = true;
}

static void
on_refused(void *arg, const struct body_refusal *why)
{
	refused(arg, why->status, why->check, why->detail);
}

static void
on_handshake(void *arg, const struct handshake_answer *a)
{
	struct trying *t = arg;
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "status", json_object_new_int(a->status));
	put_text(o, "text", a->text);
	if (a->fetches.p != NULL)
		put_text(o, "fetches", a->fetches);
	json_object_object_add(t->answer, "handshake", o);
	t->has_failed |= a->status != 200;
}

static bool
on_begin(void *arg, size_t n, bool is_plural)
{
	struct trying *t = arg;

	(void)n;
	(void)is_plural;
	t->events = json_object_new_array();
	json_object_object_add(t->answer, "events", t->events);
	return true;
}

static void
on_event(void *arg, const struct event_outcome *o)
{
	struct trying *t = arg;

	json_object_array_add(t->events, trial_event(find_source(t)->common, o));
	t->has_failed |= o->end == EVENT_UNFIT || o->end == EVENT_REJECTED;
}

static const struct trial_ops ops = {
	.sender = on_sender,
	.refused = on_refused,
	.handshake = on_handshake,
	.events = { on_begin, on_event },
};

/* ---- the run ---- */

static const struct channel_ops *
ops_of(const struct conf_named *named)
{
	for (size_t i = 0; channels[i] != NULL; i++)
		if (channels[i]->name == named->variant->name)
			return channels[i];
	return NULL;
}

static void
begin_answer(struct trying *t)
{
	json_object_put(t->answer);
	t->answer = json_object_new_object();
	t->has_failed = false;
	put_text(t->answer, "source", str_of(t->name));
}

/* A paused source is tried all the same: to see what it would do once it is not. */
static enum exit_code
run_once(struct trying *t, bool checks_sender)
{
	const struct conf_named *named = find_source(t);
	struct source s = *(const struct source *)named->common;
	struct trial trial = { .source = &s, .conf = named->own, .m = &t->request.parse.msg,
	    .rest = t->request.rest, .id = uuid_v7(), .now_us = clock_now_us(),
	    .checks_sender = checks_sender, .ops = &ops, .arg = t };
	struct err err;

	s.paused = false;
	if (t->url.p != NULL) {
		s.public_url = t->url;
		s.public_url_is_whole = true;
	}
	begin_answer(t);
	if (t->request.parse.state == PARSE_BAD) {
		refused(t, t->request.parse.status, "request", t->request.parse.why);
		return CLI_OK;
	}
	return ops_of(named)->try(&trial, &err) ? CLI_OK : cli_fail(CLI_FAILED, "%s", err.text);
}

/* First without the secrets, unless they are asked for: then it shows whether there is
 * anything to check. */
static enum exit_code
run(struct trying *t)
{
	enum exit_code code = CLI_OK;

	if (!t->o->verifies && t->o->secret == NULL) {
		code = run_once(t, false);
		if (code != CLI_OK || !t->has_proof || t->o->preset != NULL)
			return code;
	}
	if (load_again(t))
		return run_once(t, true);
	return t->o->verifies || t->o->secret != NULL ? CLI_CONFIG : code;
}

/* The query of --url is that of the request, unless another is given. */
static enum exit_code
read_request(struct trying *t, const char *path)
{
	const struct source *s = find_source(t)->common;
	struct trial_request_spec spec = { .path = path, .type = t->o->type,
	    .query = t->o->query, .headers = &t->o->headers, .source = str_of(t->name) };
	struct str url = str_of(t->o->url);

	if (t->o->url != NULL) {
		t->url = str_cut(&url, '?');
		if (spec.query == NULL && url.n > 0)
			spec.query = url.p;
		if (t->url.n == 0 || t->url.n > URL_MAX_BYTES)
			return cli_fail(CLI_USAGE, "--url: https://HOST/PATH is wanted");
	}
	return trial_request_read(&t->request, &spec, (size_t)s->max_body);
}

static void
print(struct trying *t)
{
	if (t->cli->wants_json)
		(void)puts(json_object_to_json_string_ext(t->answer, JSON_C_TO_STRING_PLAIN |
		    JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		trial_print(t->answer);
}

static enum exit_code
try_file(struct trying *t, const char *path)
{
	const struct conf_named *named = find_source(t);
	enum exit_code code;

	if (named == NULL)
		return sources_unknown(t->config, t->name);
	if (ops_of(named)->try == NULL)
		return cli_fail(CLI_FAILED, "a source of type %s is not posted to",
		    named->variant->name);
	code = read_request(t, path);
	if (code == CLI_OK)
		code = run(t);
	trial_request_fini(&t->request);
	if (code != CLI_OK)
		return code;
	print(t);
	return t->has_failed ? CLI_FAILED : CLI_OK;
}

static enum exit_code
check_options(const struct cli *cli, const struct source_try_options *o)
{
	int nargs = cli->nargs + (o->preset != NULL);

	if (nargs < 1 || nargs > 2)
		return cli_fail(CLI_USAGE, "NAME of a source or --preset NAME is wanted, and perhaps "
		    "a file");
	if (o->preset == NULL && (o->secret != NULL || o->region != NULL))
		return cli_fail(CLI_USAGE, "--secret and --region go with --preset: a source has its own");
	if (o->preset != NULL && o->verifies && o->secret == NULL)
		return cli_fail(CLI_USAGE, "--verify: with --preset, --secret says by what");
	return CLI_OK;
}

enum exit_code
source_try(struct cli *cli)
{
	const struct source_try_options *o = cli->options;
	struct trying t = { .cli = cli, .o = o, .config_path = cli->config_path, .own_fd = -1 };
	enum exit_code code = check_options(cli, o);

	if (code != CLI_OK)
		return code;
	if (o->at_us != 0)
		clock_set_us(o->at_us);
	t.name = o->preset != NULL ? o->preset : cli->args[0];
	if (o->preset != NULL)
		code = make_config(&t);
	if (code == CLI_OK)
		code = load_config(&t);
	if (code == CLI_OK)
		code = try_file(&t, cli->args[o->preset != NULL ? 0 : 1]);
	json_object_put(t.answer);
	config_free(t.config);
	if (t.own_fd >= 0)
		(void)close(t.own_fd);
	return code;
}
