/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touchlog inject: posts a file as a tool would, signed by the tool's scheme.
 *
 * What the daemon verifies by is what is signed by here: the preset's `verify` names a
 * row of the schemes' table, whose other side this is.
 */
#include <stdio.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/uuid.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/http_call.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/preset.h"
#include "cli/terminal.h"
#include "io/signature.h"

enum {
	BODY_MAX_BYTES	  = 256 * 1024 * 1024,
	REQUEST_MAX_BYTES = BODY_MAX_BYTES + 1024 * 1024,
	SIGNED_MAX_BYTES  = 64 * 1024,
	TIMEOUT_MS	  = 30000,
	NAME_BYTES	  = 256,
};

struct inject_options {
	const char		*to, *secret, *user, *url, *type, *preset_dir;
	struct option_texts	 headers;
};

static const struct option_row options[] = {
	{ "to", '\0', OPTION_TEXT, offsetof(struct inject_options, to), "URL",
	    .help = "where to post it: http://HOST[:PORT]/in/SOURCE" },
	{ "secret", '\0', OPTION_TEXT, offsetof(struct inject_options, secret), "SPEC",
	    .help = "what signs: file:PATH, env:NAME, cred:NAME or plain:TEXT" },
	{ "user", '\0', OPTION_TEXT, offsetof(struct inject_options, user), "NAME",
	    .help = "the user, for a preset that verifies by basic" },
	{ "url", '\0', OPTION_TEXT, offsetof(struct inject_options, url), "URL",
	    .help = "the URL that is signed, where it is not --to (see public_url)" },
	{ "header", 'H', OPTION_TEXTS, offsetof(struct inject_options, headers), "LINE",
	    .help = "one more header (Name: value); as often as wanted" },
	{ "content-type", '\0', OPTION_TEXT, offsetof(struct inject_options, type), "TYPE",
	    .help = "else what FILE looks like: JSON, lines of it, a form" },
	{ "preset-dir", '\0', OPTION_TEXT, offsetof(struct inject_options, preset_dir), "DIR",
	    .def = TOUCHLOG_PRESETDIR, .help = "where NAME.yaml is" },
	{ 0 },
};

/* What it takes to post; all of it lives until injection_fini(). */
struct injection {
	const struct inject_options *o;
	struct conf		*preset;	/* ours */
	struct arena		 arena;		/* ours */
	struct signature	*signature;	/* ours */
	struct buf		 body;		/* ours: as it was read */
	struct signature_signed	 out;		/* ours */
	struct str		 type;
	char			 host[NAME_BYTES], port[NAME_BYTES];
	struct str		 authority, target;	/* of --to */
};

static void
injection_fini(struct injection *in)
{
	signature_free(in->signature);
	conf_free(in->preset);
	arena_fini(&in->arena);
	buf_fini(&in->body);
	buf_fini(&in->out.headers);
	buf_fini(&in->out.url);
	buf_fini(&in->out.body);
}

/* ---- the preset ---- */

static struct str
preset_text(const struct injection *in, const char *key)
{
	return conf_text(conf_find(conf_root(in->preset), key));
}

static enum exit_code
make_signature(struct injection *in, struct str secret)
{
	struct str verify = preset_text(in, "verify");
	struct str encoding = preset_text(in, "encoding");
	int scheme = str_index(verify, signature_schemes);
	int code = encoding.p != NULL ? str_index(encoding, signature_encodings) : 0;
	struct signature_conf conf = { .header = preset_text(in, "header"),
	    .prefix = preset_text(in, "prefix"),
	    .timestamp_header = preset_text(in, "timestamp_header"),
	    .user = in->o->user != NULL ? str_of(in->o->user) : preset_text(in, "user"),
	    .secrets = &secret, .nsecrets = secret.p != NULL, .signs = true };
	struct err err;

	if (scheme < 0 || code < 0)
		return cli_fail(CLI_CONFIG, "the preset verifies by nothing that is known: "
		    "verify: %.*s", STR_ARG(verify));
	conf.scheme = (enum signature_scheme)scheme;
	conf.encoding = (enum signature_encoding)code;
	in->signature = signature_new(&conf, &err);
	if (in->signature != NULL)
		return CLI_OK;
	return cli_fail(err.kind == ERR_CONFIG ? CLI_USAGE : CLI_FAILED, "%s", err.text);
}

static enum exit_code
prepare_signature(struct injection *in, const char *name)
{
	enum exit_code code = preset_load(in->o->preset_dir, name, &in->preset);
	struct str secret = STR_NONE;
	const char *why;

	if (code != CLI_OK)
		return code;
	if (in->o->secret != NULL &&
	    !conf_read_secret(&in->arena, str_of(in->o->secret), &secret, &why))
		return cli_fail(CLI_USAGE, "--secret: %s", why);
	return make_signature(in, secret);
}

/* ---- the file ---- */

static enum exit_code
read_body(struct injection *in, const char *path)
{
	enum exit_code code = input_read(path, &in->body);

	in->type = in->o->type != NULL ? str_of(in->o->type) :
	    input_type(path, buf_str(&in->body), &in->arena);
	return code;
}

/* ---- the request ---- */

static bool
split_port(struct str authority, struct str *ret_host, struct str *ret_port)
{
	struct str host = authority;
	size_t at = authority.n;

	while (at > 0 && authority.p[at - 1] != ':' && authority.p[at - 1] != ']')
		at--;
	*ret_port = STR("80");
	if (at > 0 && authority.p[at - 1] == ':') {
		*ret_port = str_skip(authority, at);
		host.n = at - 1;
	}
	if (host.n >= 2 && host.p[0] == '[')
		host = (struct str){ host.p + 1, host.n - 2 };
	*ret_host = host;
	return host.n > 0 && host.n < NAME_BYTES && ret_port->n > 0 && ret_port->n < NAME_BYTES;
}

static enum exit_code
split_to(struct injection *in)
{
	static const struct str scheme = STR("http://");
	struct str to = str_of(in->o->to), host, port;
	size_t n;

	if (to.p == NULL)
		return cli_fail(CLI_USAGE, "--to is wanted: the URL to post to");
	for (size_t i = 0; i < to.n; i++)
		if (to.p[i] <= ' ' || to.p[i] == 0x7f)
			return cli_fail(CLI_USAGE, "--to: no URL holds a space");
	if (!str_starts(to, scheme))
		return cli_fail(CLI_USAGE, "--to: http:// is spoken only; where the daemon stands "
		    "behind TLS, post to its listener and give the outer URL as --url");
	to = str_skip(to, scheme.n);
	for (n = 0; n < to.n && to.p[n] != '/' && to.p[n] != '?'; n++)
		;
	in->authority = (struct str){ to.p, n };
	in->target = n < to.n && to.p[n] == '/' ? str_skip(to, n) : STR("/");
	if (!split_port(in->authority, &host, &port))
		return cli_fail(CLI_USAGE, "--to: it names no host");
	(void)snprintf(in->host, sizeof(in->host), "%.*s", STR_ARG(host));
	(void)snprintf(in->port, sizeof(in->port), "%.*s", STR_ARG(port));
	return CLI_OK;
}

static const char *
url_to_sign(const struct injection *in)
{
	return in->o->url != NULL && signature_needs_url(in->signature) ? in->o->url : in->o->to;
}

static enum exit_code
sign(struct injection *in)
{
	char id[UUID_TEXT_SIZE], token[2 * UUID_TEXT_SIZE];
	struct signature_draft d = { .method = STR("POST"), .content_type = in->type,
	    .url = str_of(url_to_sign(in)),
	    .body = buf_str(&in->body), .now_us = clock_now_us() };
	struct err err;

	uuid_text(uuid_v7(), id);
	d.id = str_of(id);
	(void)snprintf(token, sizeof(token), "%s%s", id, id);
	d.token = (struct str){ token, 50 };		/* as long as Mailgun's */
	if (signature_sign(in->signature, &d, &in->out, &err))
		return CLI_OK;
	return cli_fail(err.kind == ERR_INPUT ? CLI_USAGE : CLI_FAILED, "%s", err.text);
}

/* What signing added to the URL belongs to the request too: a token at the end of its
 * path, or a parameter of its query. */
static void
put_target(const struct injection *in, struct buf *out)
{
	struct str was = str_of(url_to_sign(in)), url = buf_str(&in->out.url);

	if (str_starts(url, was)) {
		buf_str_add(out, in->target);
		buf_str_add(out, str_skip(url, was.n));
	} else {
		/* In front of a query: the path's token, of a URL that is --to. */
		buf_str_add(out, str_skip(url,
		    (size_t)(in->authority.p - in->o->to) + in->authority.n));
	}
}

static bool
put_headers(const struct injection *in, struct buf *out)
{
	for (size_t i = 0; i < in->o->headers.n; i++) {
		const char *line = in->o->headers.v[i];

		if (!input_is_header(line))
			return false;
		buf_printf(out, "%s\r\n", line);
	}
	return true;
}

static enum exit_code
put_request(const struct injection *in, struct buf *out)
{
	buf_text(out, "POST ");
	put_target(in, out);
	buf_printf(out, " HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: touchlog/%s\r\n"
	    "Connection: close\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\n",
	    STR_ARG(in->authority), TOUCHLOG_VERSION, STR_ARG(in->type), in->out.body.n);
	buf_str_add(out, buf_str(&in->out.headers));
	if (!put_headers(in, out))
		return cli_fail(CLI_USAGE, "--header: a name, a colon and a value are wanted");
	buf_text(out, "\r\n");
	buf_str_add(out, buf_str(&in->out.body));
	return buf_ok(out) ? CLI_OK : cli_fail(CLI_FAILED, "the request is too large");
}

/* ---- the answer ---- */

static void
print_answer(const struct cli *cli, const struct http_answer *a)
{
	struct json_object *o;
	struct buf shown;

	if (cli->wants_json) {
		o = json_object_new_object();
		json_object_object_add(o, "status", json_object_new_int(a->status));
		json_object_object_add(o, "body", json_object_new_string_len(a->body.p,
		    (int)a->body.n));
		(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
		    JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(o);
		return;
	}
	buf_init(&shown, 8 * a->bytes.n + 8);
	terminal_put(&shown, a->status_line, TERMINAL_ONE_LINE);
	buf_text(&shown, "\n");
	terminal_put(&shown, a->body, TERMINAL_LINES);
	if (shown.n > 0 && shown.p[shown.n - 1] != '\n')
		buf_text(&shown, "\n");
	(void)fwrite(shown.p, 1, shown.n, stdout);
	buf_fini(&shown);
}

static enum exit_code
post(const struct cli *cli, const struct injection *in)
{
	struct http_answer answer = { .status = 0 };
	enum exit_code code;
	struct buf request;
	struct err err;

	buf_init(&request, REQUEST_MAX_BYTES);
	code = put_request(in, &request);
	if (code == CLI_OK && !http_call(in->host, in->port, buf_str(&request), TIMEOUT_MS,
	    &answer, &err)) {
		code = cli_fail(CLI_FAILED, "%.*s: %s", STR_ARG(in->authority), err.text);
	} else if (code == CLI_OK) {
		print_answer(cli, &answer);
		code = answer.status >= 200 && answer.status < 300 ? CLI_OK : CLI_FAILED;
	}
	http_answer_fini(&answer);
	buf_fini(&request);
	return code;
}

static enum exit_code
inject(struct cli *cli)
{
	struct injection in = { .o = cli->options };
	enum exit_code code;

	buf_init(&in.body, BODY_MAX_BYTES);
	buf_init(&in.out.headers, SIGNED_MAX_BYTES);
	buf_init(&in.out.url, SIGNED_MAX_BYTES);
	buf_init(&in.out.body, BODY_MAX_BYTES);
	code = split_to(&in);
	if (code == CLI_OK)
		code = prepare_signature(&in, cli->args[0]);
	if (code == CLI_OK)
		code = read_body(&in, cli->args[1]);
	if (code == CLI_OK)
		code = sign(&in);
	if (code == CLI_OK)
		code = post(cli, &in);
	injection_fini(&in);
	return code;
}

static const struct verb verbs[] = {
	{ .args = "PRESET [FILE]", .min_args = 1, .max_args = 2, .options = options,
	    .size = sizeof(struct inject_options),
	    .summary = "Post a file, or stdin, as the tool of a preset would, and signed like it",
	    .help = "The status and the answer are printed; the exit code is 0 when it is 2xx.\n"
	    "A secret that is a public key for the daemon is the private one here.",
	    .run = inject },
	{ 0 },
};

const struct command command_inject = { .name = "inject", .verbs = verbs };
