/* SPDX-License-Identifier: Apache-2.0 */
/* A posted body: its type, its coding, its events as slices of the raw bytes.  The raw
 * bytes matter: they are what is deduplicated, kept and parked. */
#include "channels/body.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "io/http_parse.h"
#include "io/inflate.h"
#include "model/form.h"

enum { MAX_ITEMS = 10000 };

bool
body_refuse(struct body_refusal *why, int status, const char *check, const char *detail)
{
	why->status = status;
	why->check = check;
	(void)snprintf(why->detail, sizeof(why->detail), "%s", detail);
	return false;
}

/* ---- type and coding ---- */

static const struct body_type {
	struct str	name;
	enum body_form	form;
	bool		is_foreign;	/* nobody writes canonical events so */
} body_types[] = {
	{ STR("application/json"), BODY_JSON, false },
	{ STR("text/json"), BODY_JSON, false },
	{ STR("application/x-ndjson"), BODY_LINES, false },
	{ STR("application/jsonl"), BODY_LINES, false },
	{ STR("text/plain"), BODY_JSON, true },		/* Amazon SNS */
	{ STR("application/x-www-form-plaintext"), BODY_JSON, true },	/* older FreeSWITCHes */
	{ STR("application/x-www-form-urlencoded"), BODY_FORM, true },
	{ STR("application/x-www-form-base64-encoded"), BODY_FORM_BASE64, true },
	{ STR("multipart/form-data"), BODY_MULTIPART, true },
};

/* RFC 6839: whatever ends in +json is JSON. */
static const struct body_type *
type_named(struct str name, bool is_foreign)
{
	static const struct str suffix = STR("+json");

	for (size_t i = 0; i < sizeof(body_types) / sizeof(body_types[0]); i++)
		if (str_eq_nocase(name, body_types[i].name) &&
		    (is_foreign || !body_types[i].is_foreign))
			return &body_types[i];
	if (name.n > suffix.n && str_eq_nocase(str_skip(name, name.n - suffix.n), suffix))
		return &body_types[0];
	return NULL;
}

/* RFC 8259 8.1: JSON is UTF-8; a label that says otherwise is believed.  So are forms; the
 * parts of a multipart one say it each for itself. */
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
read_type(struct body *b, struct str header, bool is_foreign, struct body_refusal *why)
{
	struct str params = header;
	const struct body_type *type;

	b->type = STR("application/json");
	if (header.p == NULL || header.n == 0)
		return true;
	b->type = header;
	type = type_named(str_trim(str_cut(&params, ';')), is_foreign);
	if (type == NULL)
		return body_refuse(why, 415, "content_type", is_foreign ?
		    "Content-Type is application/json, application/x-ndjson (one document a line), "
		    "application/x-www-form-urlencoded or multipart/form-data" :
		    "Content-Type is application/json, or application/x-ndjson for one event a line");
	b->form = type->form;
	return b->form == BODY_MULTIPART || is_utf8_charset(params) ||
	    body_refuse(why, 415, "charset", "the charset of JSON and of forms is UTF-8");
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
		return body_refuse(why, 413, "inflated", "the body is too large when unpacked");
	case INFLATE_NO_MEMORY:
		return body_refuse(why, 503, "memory", "out of memory");
	case INFLATE_DAMAGED:
		break;
	}
	return body_refuse(why, 400, "content_encoding", err.text);
}

bool
body_open(struct body *b, const struct http_message *m, size_t max_bytes, bool is_foreign,
    struct body_refusal *why)
{
	struct str coding = http_message_header(m, STR("Content-Encoding"));

	*b = (struct body){ .bytes = http_message_body(m) };
	if (!read_type(b, http_message_header(m, STR("Content-Type")), is_foreign, why))
		return false;
	if (coding.p == NULL || str_eq_nocase(coding, STR("identity")))
		return true;
	if (str_eq_nocase(coding, STR("gzip")) || str_eq_nocase(coding, STR("x-gzip")))
		return inflate(b, b->bytes, INFLATE_GZIP, max_bytes, why);
	if (str_eq_nocase(coding, STR("deflate")))
		return inflate(b, b->bytes, INFLATE_DEFLATE, max_bytes, why);
	return body_refuse(why, 415, "content_encoding", "Content-Encoding is gzip or deflate");
}

bool
body_open_kept(struct body *b, struct str type, struct str bytes, bool is_foreign,
    struct body_refusal *why)
{
	*b = (struct body){ .bytes = bytes };
	return read_type(b, type, is_foreign, why);
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
		return body_refuse(why, 413, "too_many", "more than 10000 events in one request");
	if (items->n == *room) {
		*room = *room ? *room * 2 : 16;
		more = realloc(items->v, *room * sizeof(*more));
		if (more == NULL)
			return body_refuse(why, 503, "memory", "out of memory");
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
		return body_refuse(why, 400, "json", "not a JSON array");
	while ((step = json_items_next(&it, &item, &err)) == JSON_ITEM)
		if (!add_item(ret, &room, item, why))
			return false;
	return step == JSON_END || body_refuse(why, 400, "json", err.text);
}

bool
body_is_form(const struct body *b)
{
	return b->form != BODY_JSON && b->form != BODY_LINES;
}

bool
body_split(const struct body *b, struct body_items *ret, struct body_refusal *why)
{
	struct str doc = str_trim(b->bytes);
	size_t room = 0;

	*ret = (struct body_items){ 0 };
	if (b->form == BODY_LINES)
		return split_lines(b->bytes, ret, why);
	if (body_is_form(b))
		return add_item(ret, &room, b->bytes, why);
	if (doc.n == 0)
		return body_refuse(why, 400, "json", "the body is empty");
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

bool
body_read_form(const struct body *b, struct json_object **ret, struct body_refusal *why)
{
	static const struct { int status; const char *check; } refusals[] = {
		[FORM_BROKEN] = { 400, "form" },
		[FORM_TOO_LARGE] = { 413, "form" },
		[FORM_NO_MEMORY] = { 503, "memory" },
	};
	enum form_fate fate;
	struct err err;

	fate = b->form == BODY_MULTIPART ? form_read_multipart(b->type, b->bytes, ret, &err) :
	    form_read_urlencoded(b->bytes, b->form == BODY_FORM ? FORM_PERCENT : FORM_BASE64, ret,
	    &err);
	return fate == FORM_READ ||
	    body_refuse(why, refusals[fate].status, refusals[fate].check, err.text);
}
