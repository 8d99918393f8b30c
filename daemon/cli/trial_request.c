/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file as a request: a body alone gets a head, a captured request keeps its own; options
 * win over both.  It is written out and parsed again by the daemon's own parser, so that
 * headers count here as they count there.
 */
#include "cli/trial_request.h"

#include "cli/input.h"

enum {
	FILE_MAX_BYTES	  = 256 * 1024 * 1024,	/* max_body of a source is lower */
	HEAD_MAX_BYTES	  = 16 * 1024,		/* as the listeners have it */
};

/* The parts of a request, before it is written. */
struct parts {
	struct str	method, path, query;	/* query .p NULL: none */
	struct str	head;			/* header lines, of a captured one */
	struct str	body;
	struct str	type;			/* Content-Type; .p NULL: the head has it */
};

/* ---- a captured request ---- */

static struct str
cut_line(struct str *rest)
{
	struct str line = str_cut(rest, '\n');

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static bool
is_method(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 'A' || s.p[i] > 'Z')
			return false;
	return s.n > 0;
}

/* "POST /path?query HTTP/1.1", header lines, an empty line, the body. */
static bool
read_captured(struct str bytes, struct parts *ret)
{
	struct str rest = bytes, line = cut_line(&rest), target;

	ret->method = str_cut(&line, ' ');
	target = str_cut(&line, ' ');
	if (!is_method(ret->method) || !str_starts(target, STR("/")) ||
	    !str_starts(line, STR("HTTP/1.")))
		return false;
	ret->path = str_cut(&target, '?');
	if (target.n > 0)
		ret->query = target;
	ret->head = rest;
	while (rest.n > 0) {
		size_t left = rest.n;

		if (cut_line(&rest).n == 0) {
			ret->head.n -= left;
			break;
		}
	}
	ret->body = rest;
	return true;
}

/* The value of a header of the captured head; .p NULL: it is not there. */
static struct str
captured(const struct parts *p, struct str name)
{
	struct str rest = p->head;

	while (rest.n > 0) {
		struct str value = cut_line(&rest);

		if (str_eq_nocase(str_cut(&value, ':'), name))
			return str_trim(value);
	}
	return STR_NONE;
}

/* What stands behind the announced length was added by an editor; what lacks, too. */
static void
cut_body(struct parts *p)
{
	int64_t n;

	if (str_to_i64(captured(p, STR("Content-Length")), 0, (int64_t)p->body.n, &n))
		p->body.n = (size_t)n;
}

/* ---- writing ---- */

static bool
is_given(const struct trial_request_spec *spec, struct str name)
{
	for (size_t i = 0; i < spec->headers->n; i++) {
		struct str line = str_of(spec->headers->v[i]);

		if (str_eq_nocase(str_cut(&line, ':'), name))
			return true;
	}
	return false;
}

static void
put_captured(const struct trial_request_spec *spec, const struct parts *p, struct buf *out)
{
	struct str rest = p->head;

	while (rest.n > 0) {
		struct str line = cut_line(&rest), value = line, name = str_cut(&value, ':');

		if (is_given(spec, name) || str_eq_nocase(name, STR("Content-Length")) ||
		    (p->type.p != NULL && str_eq_nocase(name, STR("Content-Type"))))
			continue;
		buf_printf(out, "%.*s\r\n", STR_ARG(line));
	}
}

static void
put_headers(const struct trial_request_spec *spec, const struct parts *p, struct buf *out)
{
	put_captured(spec, p, out);
	if (!is_given(spec, STR("Host")) && captured(p, STR("Host")).p == NULL)
		buf_text(out, "Host: localhost\r\n");
	if (p->type.p != NULL && !is_given(spec, STR("Content-Type")))
		buf_printf(out, "Content-Type: %.*s\r\n", STR_ARG(p->type));
	if (captured(p, STR("Transfer-Encoding")).p == NULL)
		buf_printf(out, "Content-Length: %zu\r\n", p->body.n);
	for (size_t i = 0; i < spec->headers->n; i++)
		buf_printf(out, "%s\r\n", spec->headers->v[i]);
}

static void
put_request(const struct trial_request_spec *spec, const struct parts *p, struct buf *out)
{
	buf_printf(out, "%.*s %.*s", STR_ARG(p->method), STR_ARG(p->path));
	if (p->query.p != NULL)
		buf_printf(out, "?%.*s", STR_ARG(p->query));
	buf_text(out, " HTTP/1.1\r\n");
	put_headers(spec, p, out);
	buf_text(out, "\r\n");
	buf_str_add(out, p->body);
}

/* ---- the whole ---- */

static enum exit_code
check_options(const struct trial_request_spec *spec)
{
	for (size_t i = 0; i < spec->headers->n; i++)
		if (!input_is_header(spec->headers->v[i]))
			return cli_fail(CLI_USAGE, "--header: a name, a colon and a value are wanted");
	for (const char *c = spec->query != NULL ? spec->query : ""; *c != '\0'; c++)
		if (*c <= ' ' || *c == 0x7f || *c == '#')
			return cli_fail(CLI_USAGE, "--query: it is percent-encoded, as in a URL");
	if (spec->type != NULL && strpbrk(spec->type, "\r\n") != NULL)
		return cli_fail(CLI_USAGE, "--content-type: it is one line");
	return CLI_OK;
}

static bool
make_parts(struct trial_request *r, const struct trial_request_spec *spec, struct parts *ret)
{
	struct str bytes = buf_str(&r->file);
	struct buf path;

	if (read_captured(bytes, ret)) {
		cut_body(ret);
	} else {
		buf_init(&path, HEAD_MAX_BYTES);
		buf_printf(&path, "/in/%.*s", STR_ARG(spec->source));
		*ret = (struct parts){ .method = STR("POST"), .body = bytes,
		    .path = arena_str(&r->arena, buf_str(&path)),
		    .type = input_type(spec->path, bytes, &r->arena) };
		buf_fini(&path);
	}
	if (spec->type != NULL)
		ret->type = str_of(spec->type);
	if (spec->query != NULL)
		ret->query = str_of(spec->query);
	return ret->path.p != NULL;
}

/* "/in/NAME/rest" -> "/rest", whatever the name; of other paths there is none. */
static struct str
rest_of(struct str path)
{
	static const struct str prefix = STR("/in/");
	size_t n = prefix.n;

	if (!str_starts(path, prefix))
		return STR("");
	while (n < path.n && path.p[n] != '/')
		n++;
	return str_skip(path, n);
}

static enum exit_code
parse(struct trial_request *r)
{
	size_t used = 0, step = 1;

	/* Once for the head, once for the body. */
	while (step > 0 && used < r->text.n) {
		step = http_parse_feed(&r->parse, r->text.p + used, r->text.n - used);
		used += step;
		if (r->parse.state == PARSE_DONE || r->parse.state == PARSE_BAD)
			break;
	}
	if (r->parse.state == PARSE_BAD)
		return CLI_OK;
	if (r->parse.state != PARSE_DONE)
		return cli_fail(CLI_FAILED, "the file ends before its request does");
	r->rest = rest_of(r->parse.msg.path);
	return CLI_OK;
}

enum exit_code
trial_request_read(struct trial_request *r, const struct trial_request_spec *spec,
    size_t max_body_bytes)
{
	enum exit_code code = check_options(spec);
	struct parts p = { .method = STR_NONE };

	*r = (struct trial_request){ .limits = { HEAD_MAX_BYTES, max_body_bytes } };
	http_parse_init(&r->parse, &r->limits);
	buf_init(&r->file, FILE_MAX_BYTES);
	buf_init(&r->text, FILE_MAX_BYTES + FILE_MAX_BYTES / 2);
	if (code == CLI_OK)
		code = input_read(spec->path, &r->file);
	if (code != CLI_OK)
		return code;
	if (!make_parts(r, spec, &p))
		return cli_fail(CLI_FAILED, "out of memory");
	put_request(spec, &p, &r->text);
	return buf_ok(&r->text) ? parse(r) : cli_fail(CLI_FAILED, "out of memory");
}

void
trial_request_fini(struct trial_request *r)
{
	http_parse_fini(&r->parse);
	buf_fini(&r->file);
	buf_fini(&r->text);
	arena_fini(&r->arena);
}
