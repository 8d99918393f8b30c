/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done to a value on its way.  A transform is a row: how its setting is
 * compiled, and what it does.  The rows stand in the order in which they are applied.
 */
#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include "base/buf.h"
#include "base/encoding.h"
#include "model/pattern.h"
#include "model/place_internal.h"
#include "model/time_format.h"
#include "model/unit.h"
#include "model/zone.h"

enum { DECODED_MAX_BYTES = 64 * 1024 * 1024, MAX_PIECE = 10000 };

/* ---- settings that several rows have ---- */

static bool
is_text(struct place_reader *r, const struct conf_node *at, const char *wants)
{
	if (at != NULL && conf_is_scalar(at) && conf_text(at).n > 0)
		return true;
	conf_complain(r->conf, at, "%s: needs %s", r->what, wants);
	return false;
}

static bool
compile_text(struct place_reader *r, const struct conf_node *value, const struct conf_node *also,
    struct transform *ret)
{
	(void)also;
	if (!is_text(r, value, "a text"))
		return false;
	ret->text = arena_str(conf_arena(r->conf), conf_text(value));
	return ret->text.p != NULL;
}

/* yes; `no` leaves the row out. */
static bool
compile_yes(struct place_reader *r, const struct conf_node *value, const struct conf_node *also,
    struct transform *ret)
{
	bool is_yes = str_eq(conf_text(value), STR("yes")) ||
	    str_eq(conf_text(value), STR("true"));

	(void)also;
	if (!is_yes && !str_eq(conf_text(value), STR("no")) &&
	    !str_eq(conf_text(value), STR("false")))
		conf_complain(r->conf, value, "%s: %s: needs yes or no", r->what, ret->row->name);
	return is_yes;
}

static bool
compile_choice(struct place_reader *r, const struct conf_node *value, const char *const *names,
    const char *wants, struct transform *ret)
{
	for (int64_t i = 0; names[i] != NULL; i++)
		if (str_eq(conf_text(value), str_of(names[i]))) {
			ret->number = i;
			return true;
		}
	conf_complain(r->conf, value, "%s: %s: needs %s", r->what, ret->row->name, wants);
	return false;
}

static enum place_fate
unfit(struct err *err, const char *text)
{
	(void)err_set(err, ERR_INPUT, "%s", text);
	return PLACE_FAULT;
}

static enum place_fate
keep_text(struct place_context *c, struct place_value *v, struct str text, struct err *err)
{
	text = arena_str(c->arena, text);
	if (text.p != NULL)
		return place_set_text(v, text);
	(void)err_set(err, ERR_RETRY, "out of memory");
	return PLACE_FAULT;
}

/* ---- decode, json: what is already what it would become passes ---- */

static bool
is_text_value(const struct place_value *v)
{
	return v->json == NULL ? v->text.p != NULL :
	    json_object_is_type(v->json, json_type_string);
}

enum decoding { DECODE_BASE64, DECODE_PERCENT };

static bool
compile_decode(struct place_reader *r, const struct conf_node *value, const struct conf_node *also,
    struct transform *ret)
{
	static const char *const names[] = { "base64", "percent", NULL };

	(void)also;
	return compile_choice(r, value, names, "base64 or percent", ret);
}

/* base64: URL-safe letters and missing padding are common, and there is but one meaning. */
static bool
decode_text(struct str text, struct buf *out)
{
	struct buf plain;
	size_t n = 0;
	bool ok;
	unsigned char *to;

	buf_init(&plain, DECODED_MAX_BYTES);
	for (size_t i = 0; i < text.n; i++)
		if (strchr("=\r\n\t ", text.p[i]) == NULL)
			buf_add(&plain, text.p[i] == '-' ? "+" : text.p[i] == '_' ? "/" :
			    text.p + i, 1);
	while (plain.n % 4 != 0 && buf_ok(&plain))
		buf_text(&plain, "=");
	to = buf_space(out, plain.n / 4 * 3);
	ok = buf_ok(&plain) && (plain.n == 0 || (to != NULL &&
	    decode_base64(buf_str(&plain), to, plain.n / 4 * 3, &n)));
	out->n = ok ? n : 0;
	buf_fini(&plain);
	return ok;
}

static enum place_fate
run_decode(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	struct json_object *unparsed = v->json;
	enum place_fate fate;
	struct buf out;
	size_t at;
	bool ok;

	if (!is_text_value(v))
		return PLACE_FOUND;
	buf_init(&out, DECODED_MAX_BYTES);
	ok = t->number == DECODE_BASE64 ? decode_text(v->text, &out) :
	    percent_decode(v->text, false, &out);
	if (!ok || !buf_ok(&out))
		fate = unfit(err, t->number == DECODE_BASE64 ? "is no base64" :
		    "is not percent-encoded");
	else if (!str_is_utf8(buf_str(&out), &at) || memchr(buf_str(&out).p, '\0', out.n) != NULL)
		fate = unfit(err, "is no UTF-8 when decoded");
	else
		fate = keep_text(c, v, buf_str(&out), err);
	buf_fini(&out);
	v->unparsed = unparsed;
	return fate;
}

static bool
compile_json(struct place_reader *r, const struct conf_node *value, const struct conf_node *also,
    struct transform *ret)
{
	struct err err;

	if (!compile_yes(r, value, NULL, ret))
		return false;
	if (also == NULL)
		return true;
	if (conf_is_scalar(also) && json_pointer_compile(conf_arena(r->conf), conf_text(also),
	    &ret->pointer, &err))
		return true;
	conf_complain(r->conf, also, "%s: pointer: needs a JSON Pointer into the text", r->what);
	return false;
}

static bool
take_first(void *arg, struct json_object *json)
{
	return place_set_json(arg, json) == PLACE_FOUND;
}

static enum place_fate
run_json(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	struct json_object *root;

	if (is_text_value(v) && !place_parse(c, v, err))
		return PLACE_FAULT;
	root = v->json;
	(void)place_set_json(v, NULL);
	return json_pointer_each(&t->pointer, root, take_first, v) ? PLACE_FOUND : PLACE_ABSENT;
}

/* ---- split, match ---- */

static bool
compile_split(struct place_reader *r, const struct conf_node *value, const struct conf_node *also,
    struct transform *ret)
{
	if (!compile_text(r, value, NULL, ret))
		return false;
	if (also == NULL || str_to_i64(conf_text(also), -MAX_PIECE, MAX_PIECE, &ret->number))
		return true;
	conf_complain(r->conf, also, "%s: take: needs the number of a piece: 0 is the first, -1 the "
	    "last", r->what);
	return false;
}

/* Cuts *rest behind the first separator. */
static struct str
cut_piece(struct str *rest, struct str separator)
{
	const char *at = memmem(rest->p, rest->n, separator.p, separator.n);
	struct str piece = { rest->p, at != NULL ? (size_t)(at - rest->p) : rest->n };

	*rest = at != NULL ? str_skip(*rest, piece.n + separator.n) : STR_NONE;
	return piece;
}

static int64_t
count_pieces(struct str text, struct str separator)
{
	int64_t n = 0;

	for (; text.p != NULL; n++)
		(void)cut_piece(&text, separator);
	return n;
}

static enum place_fate
run_split(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	struct str rest = v->text, piece = STR_NONE;
	int64_t n = t->number;

	(void)c;
	(void)err;
	if (n < 0)
		n += count_pieces(rest, t->text);
	if (n < 0)
		return PLACE_ABSENT;
	for (; n >= 0; n--) {
		if (rest.p == NULL)
			return PLACE_ABSENT;
		piece = cut_piece(&rest, t->text);
	}
	return place_set_text(v, piece);
}

static bool
compile_match(struct place_reader *r, const struct conf_node *value, const struct conf_node *also,
    struct transform *ret)
{
	struct err err;

	(void)also;
	if (!is_text(r, value, "a regular expression"))
		return false;
	if (pattern_compile(r->conf, conf_text(value), &ret->pattern, &err))
		return true;
	conf_complain(r->conf, value, "%s: match: %s", r->what, err.text);
	return false;
}

static enum place_fate
run_match(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	struct str part = STR_NONE;

	(void)c;
	switch (pattern_find(t->pattern, v->text, &part)) {
	case PATTERN_FOUND:
		return place_set_text(v, part);
	case PATTERN_GAVE_UP:
		return unfit(err, "takes the regular expression too long");
	case PATTERN_NOT_FOUND:
		break;
	}
	return PLACE_ABSENT;
}

/* ---- trim, lower, upper, prefix, suffix ---- */

static enum place_fate
run_trim(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	(void)c;
	(void)t;
	(void)err;
	return place_set_text(v, str_trim(v->text));
}

static enum place_fate
run_lower(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	struct str text = arena_lower(c->arena, v->text);

	(void)t;
	if (text.p != NULL)
		return place_set_text(v, text);
	(void)err_set(err, ERR_RETRY, "out of memory");
	return PLACE_FAULT;
}

static enum place_fate
run_upper(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	char *text = arena_text(c->arena, v->text);

	(void)t;
	if (text == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return PLACE_FAULT;
	}
	for (size_t i = 0; i < v->text.n; i++)
		if (text[i] >= 'a' && text[i] <= 'z')
			text[i] = (char)(text[i] - 32);
	return place_set_text(v, (struct str){ text, v->text.n });
}

static enum place_fate
glue(struct place_context *c, struct str a, struct str b, struct place_value *v, struct err *err)
{
	size_t n;
	char *text = size_add(a.n, b.n, &n) ? arena_alloc(c->arena, n) : NULL;

	if (text == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return PLACE_FAULT;
	}
	memcpy(text, a.p, a.n);
	memcpy(text + a.n, b.p, b.n);
	return place_set_text(v, (struct str){ text, n });
}

static enum place_fate
run_prefix(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	return glue(c, t->text, v->text, v, err);
}

static enum place_fate
run_suffix(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	return glue(c, v->text, t->text, v, err);
}

/* ---- unit, time ---- */

static bool
compile_unit(struct place_reader *r, const struct conf_node *value, const struct conf_node *also,
    struct transform *ret)
{
	(void)also;
	return compile_choice(r, value, unit_names, "ms, us, min, clock or cents", ret);
}

static enum place_fate
run_unit(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	char room[UNIT_TEXT_BYTES];
	enum place_fate fate;
	struct str text;

	if (!unit_convert((enum unit)t->number, c->currency, v->text, room, &text))
		return unfit(err, "is no number of at most 18 digits");
	fate = keep_text(c, v, text, err);
	v->is_json = true;
	return fate;
}

static bool
compile_time(struct place_reader *r, const struct conf_node *value, const struct conf_node *also,
    struct transform *ret)
{
	struct err err;

	if (!compile_text(r, value, NULL, ret))
		return false;
	if (!time_format_check(ret->text, &err)) {
		conf_complain(r->conf, value, "%s: time: %s", r->what, err.text);
		return false;
	}
	if (also == NULL || zone_open(r->conf, conf_text(also), &ret->zone, &err))
		return true;
	conf_complain(r->conf, also, "%s: time_zone: %s", r->what, err.text);
	return false;
}

static enum place_fate
run_time(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	char room[TIME_TEXT_BYTES];
	int64_t at_us;

	if (time_format_read(t->text, t->zone != NULL ? t->zone : c->zone, v->text, &at_us))
		return keep_text(c, v, time_text(at_us, room), err);
	(void)err_set(err, ERR_INPUT, "is no time of the form %.*s",
	    STR_ARG(str_prefix_utf8(t->text, 60)));
	return PLACE_FAULT;
}

/* ---- translate ---- */

static bool
compile_translate(struct place_reader *r, const struct conf_node *value,
    const struct conf_node *also, struct transform *ret)
{
	(void)also;
	return place_add_words(r, value, &ret->words);
}

/* A word that the table does not know is kept. */
static enum place_fate
run_translate(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	const struct place_word *word = place_find_word(&t->words, v->text);

	(void)c;
	(void)err;
	return word != NULL ? place_set_text(v, word->to) : PLACE_FOUND;
}

/* ---- the rows ---- */

enum { JOIN_ROW = 2 };

const struct transform_row transform_rows[] = {
	{ "decode",	NULL,		compile_decode,	run_decode, .is_each = true },
	{ "json",	"pointer",	compile_json,	run_json, .is_each = true },
	[JOIN_ROW] = { "join", NULL,	compile_text,	NULL },
	{ "split",	"take",		compile_split,	run_split, .wants_text = true },
	{ "match",	NULL,		compile_match,	run_match, .wants_text = true },
	{ "trim",	NULL,		compile_yes,	run_trim, .wants_text = true },
	{ "lower",	NULL,		compile_yes,	run_lower, .wants_text = true },
	{ "upper",	NULL,		compile_yes,	run_upper, .wants_text = true },
	{ "prefix",	NULL,		compile_text,	run_prefix, .wants_text = true },
	{ "suffix",	NULL,		compile_text,	run_suffix, .wants_text = true },
	{ "unit",	NULL,		compile_unit,	run_unit, .wants_text = true },
	{ "time",	"time_zone",	compile_time,	run_time, .wants_text = true },
	{ "translate",	NULL,		compile_translate, run_translate },
	{ NULL, NULL, NULL, NULL },
};

const struct transform_row *const transform_join = &transform_rows[JOIN_ROW];

enum place_fate
transform_run(struct place_context *c, const struct transform *t, struct place_value *v,
    struct err *err)
{
	if (t->row->wants_text && v->text.p == NULL)
		return unfit(err, json_object_is_type(v->json, json_type_array) ?
		    "is an array where a text is wanted" : "is an object where a text is wanted");
	return t->row->run(c, t, v, err);
}
