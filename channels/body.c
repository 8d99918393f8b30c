/* SPDX-License-Identifier: Apache-2.0 */
/* A posted body: its type, its coding, its events as slices of the raw bytes.  The raw
 * bytes matter: they are what is deduplicated, kept and parked. */
#include "channels/body.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "io/http_server.h"
#include "io/inflate.h"

enum { MAX_ITEMS = 10000 };

static bool
refuse(struct body_refusal *why, int status, const char *check, const char *detail)
{
	why->status = status;
	why->check = check;
	(void)snprintf(why->detail, sizeof(why->detail), "%s", detail);
	return false;
}

/* ---- type and coding ---- */

static bool
is_json_type(struct str type)
{
	static const struct str json = STR("+json");

	return str_eq_nocase(type, STR("application/json")) ||
	    str_eq_nocase(type, STR("text/json")) ||
	    (type.n > json.n && str_eq_nocase(str_skip(type, type.n - json.n), json));
}

static bool
is_lines_type(struct str type)
{
	return str_eq_nocase(type, STR("application/x-ndjson")) ||
	    str_eq_nocase(type, STR("application/jsonl"));
}

/* RFC 8259 8.1: JSON is UTF-8; a label that says otherwise is believed. */
static bool
is_utf8_charset(struct str params)
{
	while (params.n > 0) {
		struct str value = str_trim(str_cut(&params, ';'));
		struct str name = str_trim(str_cut(&value, '='));

		value = str_trim(value);
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = (struct str){ value.p + 1, value.n - 2 };
		if (str_eq_nocase(name, STR("charset")) && !str_eq_nocase(value, STR("utf-8")) &&
		    !str_eq_nocase(value, STR("utf8")) && !str_eq_nocase(value, STR("us-ascii")))
			return false;
	}
	return true;
}

static bool
read_type(struct body *b, struct str header, struct body_refusal *why)
{
	struct str params = header, type;

	b->type = STR("application/json");
	if (header.p == NULL || header.n == 0)
		return true;
	b->type = header;
	type = str_trim(str_cut(&params, ';'));
	if (!is_json_type(type) && !is_lines_type(type))
		return refuse(why, 415, "content_type", "Content-Type is application/json, or "
		    "application/x-ndjson for one event a line");
	b->form = is_lines_type(type) ? BODY_LINES : BODY_JSON;
	return is_utf8_charset(params) ||
	    refuse(why, 415, "charset", "the charset of JSON is UTF-8");
}

static bool
inflate(struct body *b, struct str in, enum inflate_coding coding, size_t max_bytes,
    struct body_refusal *why)
{
	struct err err;

	switch (inflate_body(in, coding, max_bytes, &b->inflated, &err)) {
	case INFLATE_DONE:
		b->bytes = buf_str(&b->inflated);
		return true;
	case INFLATE_TOO_LARGE:
		return refuse(why, 413, "too_large", "the body is too large when unpacked");
	case INFLATE_NO_MEMORY:
		return refuse(why, 503, "memory", "out of memory");
	case INFLATE_DAMAGED:
		break;
	}
	return refuse(why, 400, "content_encoding", err.text);
}

bool
body_open(struct body *b, const struct http_request *req, size_t max_bytes,
    struct body_refusal *why)
{
	struct str coding = http_request_header(req, STR("Content-Encoding"));

	*b = (struct body){ .bytes = http_request_body(req) };
	if (!read_type(b, http_request_header(req, STR("Content-Type")), why))
		return false;
	if (coding.p == NULL || str_eq_nocase(coding, STR("identity")))
		return true;
	if (str_eq_nocase(coding, STR("gzip")) || str_eq_nocase(coding, STR("x-gzip")))
		return inflate(b, b->bytes, INFLATE_GZIP, max_bytes, why);
	if (str_eq_nocase(coding, STR("deflate")))
		return inflate(b, b->bytes, INFLATE_DEFLATE, max_bytes, why);
	return refuse(why, 415, "content_encoding", "Content-Encoding is gzip or deflate");
}

void
body_fini(struct body *b)
{
	buf_fini(&b->inflated);
}

/* ---- items ---- */

static bool
add_item(struct body_items *items, size_t *room, struct str item, struct body_refusal *why)
{
	struct str *more;

	if (items->n == MAX_ITEMS)
		return refuse(why, 413, "too_many", "more than 10000 events in one request");
	if (items->n == *room) {
		*room = *room ? *room * 2 : 16;
		more = realloc(items->v, *room * sizeof(*more));
		if (more == NULL)
			return refuse(why, 503, "memory", "out of memory");
		items->v = more;
	}
	items->v[items->n++] = item;
	return true;
}

static bool
split_lines(struct str rest, struct body_items *ret, struct body_refusal *why)
{
	size_t room = 0;

	ret->is_plural = true;
	while (rest.n > 0) {
		struct str line = str_trim(str_cut(&rest, '\n'));

		if (line.n > 0 && !add_item(ret, &room, line, why))
			return false;
	}
	return true;
}

static bool
split_array(struct str doc, struct body_items *ret, struct body_refusal *why)
{
	struct json_items it;
	enum json_step step;
	struct str item;
	struct err err;
	size_t room = 0;

	ret->is_plural = true;
	if (!json_items_begin(&it, doc))
		return refuse(why, 400, "json", "not a JSON array");
	while ((step = json_items_next(&it, &item, &err)) == JSON_ITEM)
		if (!add_item(ret, &room, item, why))
			return false;
	return step == JSON_END || refuse(why, 400, "json", err.text);
}

bool
body_split(const struct body *b, struct body_items *ret, struct body_refusal *why)
{
	struct str doc = str_trim(b->bytes);
	size_t room = 0;

	*ret = (struct body_items){ 0 };
	if (b->form == BODY_LINES)
		return split_lines(b->bytes, ret, why);
	if (doc.n == 0)
		return refuse(why, 400, "json", "the body is empty");
	if (doc.p[0] == '[')
		return split_array(doc, ret, why);
	return add_item(ret, &room, doc, why);
}

void
body_items_fini(struct body_items *items)
{
	free(items->v);
	*items = (struct body_items){ 0 };
}
