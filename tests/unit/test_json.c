/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that strangers sent: what is refused, what is kept, what is found in it. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

static struct err err;

static void
assert_str(struct str s, const char *expected)
{
	assert_non_null(s.p);
	if (s.n != strlen(expected) || memcmp(s.p, expected, s.n) != 0)
		fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(s), expected);
}

/* A copy of exact size on the heap, so that one byte read too far is noticed. */
static struct str
exact(const char *bytes, size_t n)
{
	char *p = malloc(n > 0 ? n : 1);

	assert_non_null(p);
	memcpy(p, bytes, n);
	return (struct str){ p, n };
}

static void
release(struct str s)
{
	union { const char *in; void *out; } p = { .in = s.p };

	free(p.out);
}

static enum json_fault
fault_of(const char *bytes, size_t n, size_t *ret_at)
{
	struct str doc = exact(bytes, n);
	struct json_scan scan;
	bool is_good = json_scan(doc, &scan, &err);

	assert_int_equal(is_good, scan.fault == JSON_FINE);
	release(doc);
	*ret_at = scan.at;
	return scan.fault;
}

static struct json_object *
parsed(const char *text)
{
	struct str doc = exact(text, strlen(text));
	struct json_object *o = NULL;

	if (!json_parse(doc, 64, &o, &err))
		fail_msg("%s: %s", text, err.text);
	release(doc);
	return o;
}

static void
assert_text_of(struct json_object *o, const char *pointer, const char *expected)
{
	struct arena a = { 0 };
	struct json_pointer p;
	struct str text = STR_NONE;
	bool found;

	assert_true(json_pointer_compile(&a, str_of(pointer), &p, &err));
	o = json_pointer_find(&p, o, &found);
	assert_true(found);
	assert_true(json_text(o, &text));
	assert_str(text, expected);
	arena_fini(&a);
}

/* ---- scan ---- */

static const struct {
	const char	*text;
	enum json_fault	 fault;
	size_t		 at;
	const char	*why;		/* NULL: not looked at */
} bad[] = {
	{ "[\"\xff\"]", JSON_BROKEN, 2, "not JSON: a byte that is not UTF-8 at byte 2" },
	{ "\"\x80\"", JSON_BROKEN, 1, NULL },
	{ "\"\xc0\x80\"", JSON_BROKEN, 1, NULL },
	{ "\"ab\xc3\"", JSON_BROKEN, 3, NULL },
	{ "\"\xe2\x82\"", JSON_BROKEN, 1, NULL },
	{ "\"\xed\xa0\x80\"", JSON_BROKEN, 1, NULL },
	{ "\"\xf5\x80\x80\x80\"", JSON_BROKEN, 1, NULL },
	{ "\"\xc3\xa9\xf0\x9f\x98\"", JSON_BROKEN, 3, NULL },
	{ "{\"\xfe\":1}", JSON_BROKEN, 2, NULL },
	{ "\xef\xbb\xbf{}", JSON_BROKEN, 0,
	  "not JSON: a byte outside ASCII and outside a string at byte 0" },
	{ "{\"a\":\"x\\u0000\"}", JSON_UNFIT, 7,
	  "the escape \\u0000, which PostgreSQL cannot keep, at byte 7" },
	{ "{\"\\u0000\":1}", JSON_UNFIT, 2, NULL },
	{ "\"\\ud800\"", JSON_UNFIT, 1, "the escape of half a surrogate pair at byte 1" },
	{ "\"\\uD83D x\"", JSON_UNFIT, 1, NULL },
	{ "\"\\uDC00\"", JSON_UNFIT, 1, NULL },
	{ "\"\\uDE00\\uD83D\"", JSON_UNFIT, 1, NULL },
	{ "\"\\uD83D\\uD83D\\uDE00\"", JSON_UNFIT, 1, NULL },
	{ "\"\\uD83D\\u0041\"", JSON_UNFIT, 1, NULL },
	{ "\"\\uD83D\\n\"", JSON_UNFIT, 1, NULL },
	{ "\"\\\\\\u0000\"", JSON_UNFIT, 3, NULL },
	{ "[\"\\u0000\", \"\xff\"]", JSON_BROKEN, 12, NULL },
	{ "\"\\u12\"", JSON_BROKEN, 1,
	  "not JSON: a \\u without four hexadecimal digits at byte 1" },
	{ "\"\\u12g4\"", JSON_BROKEN, 1, NULL },
	{ "\"\\u", JSON_BROKEN, 1, NULL },
	{ "\"\\x41\"", JSON_BROKEN, 1, "not JSON: an unknown escape at byte 1" },
	{ "[1, \"abc", JSON_BROKEN, 4, "not JSON: a string without end at byte 4" },
	{ "\"abc\\\"", JSON_BROKEN, 0, NULL },
	{ "\"abc\\", JSON_BROKEN, 4, NULL },
	{ "\"a\tb\"", JSON_BROKEN, 2, "not JSON: a control character in a string at byte 2" },
	{ "\"01234567\n\"", JSON_BROKEN, 9, NULL },
	{ "[1", JSON_BROKEN, 2, "not JSON: the end before all brackets are closed at byte 2" },
	{ "1]", JSON_BROKEN, 1, "not JSON: a bracket that closes nothing at byte 1" },
	{ "NaN", JSON_BROKEN, 0, "not JSON: unexpected character at byte 0" },
	{ "[Infinity]", JSON_BROKEN, 1, NULL },
	{ "[-Infinity]", JSON_BROKEN, 2, "not JSON: a number that is none at byte 2" },
	{ "nul", JSON_BROKEN, 0, NULL },
	{ "True", JSON_BROKEN, 0, NULL },
	{ "'a'", JSON_BROKEN, 0, NULL },
	{ "[1] // c", JSON_BROKEN, 4, NULL },
	{ "-", JSON_BROKEN, 1, NULL },
	{ "1.", JSON_BROKEN, 2, NULL },
	{ ".5", JSON_BROKEN, 0, NULL },
	{ "+1", JSON_BROKEN, 0, NULL },
	{ "01", JSON_BROKEN, 2, NULL },
	{ "1e", JSON_BROKEN, 2, NULL },
	{ "1e+", JSON_BROKEN, 3, NULL },
	{ "0x10", JSON_BROKEN, 1, NULL },
};

static void
what_is_broken_or_unfit_is_told_with_its_offset(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t at;
		enum json_fault fault = fault_of(bad[i].text, strlen(bad[i].text), &at);

		if (fault != bad[i].fault || at != bad[i].at ||
		    (bad[i].why != NULL && strcmp(err.text, bad[i].why) != 0))
			fail_msg("%s: fault %d at %zu: %s", bad[i].text, (int)fault, at, err.text);
		assert_int_equal(err.kind, ERR_INPUT);
	}
}

static void
a_nul_byte_is_broken_in_and_outside_strings(void **state)
{
	size_t at;

	(void)state;
	assert_int_equal(fault_of("[1\0]", 4, &at), JSON_BROKEN);
	assert_int_equal(at, 2);
	assert_int_equal(fault_of("\"a\0\"", 4, &at), JSON_BROKEN);
	assert_int_equal(at, 2);
}

static void
what_only_looks_unfit_is_fine(void **state)
{
	static const char *const fine[] = {
		"\"\\\\u0000\"", "\"\\\\ud800\"", "\"\\uD83D\\uDE00\"", "\"\\ud83d\\ude00\"",
		"\"\\u0001\"", "\"\xf0\x9f\x98\x80\"", "\"\xed\x9f\xbf\"",
		"\"\x7f\"", "\"\\/\\b\\f\\n\\r\\t\\\"\"", "{\"a\":[true,false,null,-0.5e+3]}",
		" \t\r\n1 ",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		size_t at;

		if (fault_of(fine[i], strlen(fine[i]), &at) != JSON_FINE)
			fail_msg("%s: %s", fine[i], err.text);
		json_object_put(parsed(fine[i]));
	}
}

static void
an_odd_byte_is_found_at_every_offset_of_a_string(void **state)
{
	static const char odd[] = { '\n', '\x1f', '\0', '\x80', '\xff', '\xc3' };

	(void)state;
	for (size_t n = 0; n < 40; n++)
		for (size_t i = 0; i < sizeof(odd); i++) {
			char text[64];
			size_t at;

			memset(text, 'a', sizeof(text));
			text[0] = '"';
			text[1 + n] = odd[i];
			text[45] = '"';
			assert_int_equal(fault_of(text, 46, &at), JSON_BROKEN);
			assert_int_equal(at, 1 + n);
			text[1 + n] = '"';
			assert_int_equal(fault_of(text, 2 + n, &at), JSON_FINE);
			/* Every other byte is plain, whatever stands beside it. */
			text[1 + n] = ' ';
			text[2 + n] = '!';
			text[3 + n] = '#';
			assert_int_equal(fault_of(text, 46, &at), JSON_FINE);
		}
}

static void
the_depth_is_that_of_the_deepest_bracket(void **state)
{
	static const struct { const char *text; size_t depth; } rows[] = {
		{ "1", 0 }, { "[]", 1 }, { "{\"a\":{\"b\":[]},\"c\":[1]}", 3 },
		{ "\"[[[[\"", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_scan scan;

		assert_true(json_scan(str_of(rows[i].text), &scan, &err));
		assert_int_equal(scan.depth, rows[i].depth);
	}
}

/* ---- parse ---- */

static void
nesting_beyond_the_limit_is_refused_before_anything_recurses(void **state)
{
	enum { DEPTH = 10000 };
	static char text[2 * DEPTH];
	struct str doc = { text, sizeof(text) };
	struct json_scan scan;
	struct json_object *o = NULL;

	(void)state;
	memset(text, '[', DEPTH);
	memset(text + DEPTH, ']', DEPTH);
	assert_false(json_parse(doc, 64, &o, &err));
	assert_string_equal(err.text, "nested 10000 deep, allowed is 64");
	assert_true(json_scan(doc, &scan, &err));
	assert_int_equal(scan.depth, DEPTH);
	assert_false(json_parse_scanned(doc, &scan, DEPTH, &o, &err));
	assert_string_equal(err.text, "nested 10000 deep, allowed is 512");
	assert_int_equal(scan.fault, JSON_DEEP);
	assert_null(o);
}

static void
nesting_up_to_the_limit_is_parsed(void **state)
{
	char text[2 * JSON_DEPTH_MAX];
	struct json_object *o = NULL;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_true(json_parse((struct str){ text, sizeof(text) }, JSON_DEPTH_MAX, &o, &err));
	json_object_put(o);
	assert_false(json_parse((struct str){ text, sizeof(text) }, JSON_DEPTH_MAX - 1, &o, &err));
}

static const struct { const char *text, *why; } not_json[] = {
	{ "", "not JSON: unexpected end of data at byte 0" },
	{ "  ", "not JSON: unexpected end of data at byte 0" },
	{ "[1,]", "not JSON: unexpected character at byte 3" },
	{ "{\"a\":1,}", "not JSON: unexpected character at byte 7" },
	{ "[1 2]", "not JSON: array value separator ',' expected at byte 3" },
	{ "{\"a\" 1}", "not JSON: object property name separator ':' expected at byte 5" },
	{ "{1:2}", "not JSON: quoted object property name expected at byte 1" },
	{ "[1]x", "not JSON: unexpected character at byte 3" },
	{ "[1] [2]", "not JSON: unexpected character at byte 4" },
	{ "1 2", "not JSON: unexpected character at byte 2" },
	{ "truefalse", NULL },
	{ "[}", NULL },
	{ "{]", NULL },
	{ ",", NULL },
	{ ":", NULL },
	{ "\"a\"\"b\"", NULL },
	{ "[1e999 2]", "not JSON: array value separator ',' expected at byte 7" },
	{ "[1e999, 1e999, ]", "not JSON: unexpected character at byte 15" },
	{ "{1e999:1}", "not JSON: quoted object property name expected at byte 1" },
	{ "{ 99999999999999999999 : 1}", NULL },
	{ "\"a\"1e999", NULL },
	{ "1e999\"a\"", NULL },
};

static void
what_is_not_one_json_value_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(not_json) / sizeof(not_json[0]); i++) {
		struct str doc = exact(not_json[i].text, strlen(not_json[i].text));
		struct json_object *o = NULL;

		if (json_parse(doc, 64, &o, &err))
			fail_msg("%s was taken", not_json[i].text);
		if (not_json[i].why != NULL && strcmp(err.text, not_json[i].why) != 0)
			fail_msg("%s: %s", not_json[i].text, err.text);
		assert_null(o);
		release(doc);
	}
}

static void
a_refused_document_says_nothing_of_itself(void **state)
{
	struct json_object *o = NULL;

	(void)state;
	assert_false(json_parse(STR("{\"secret\":\"hunter2\" x}"), 64, &o, &err));
	assert_null(strstr(err.text, "hunter2"));
	assert_null(strstr(err.text, "secret"));
}

static void
the_next_document_is_parsed_after_a_refused_one(void **state)
{
	struct json_object *o = NULL;

	(void)state;
	assert_false(json_parse(STR("{\"a\":[1,{"), 64, &o, &err));
	assert_false(json_parse(STR("[[[1,]]]"), 64, &o, &err));
	o = parsed("[7]");
	assert_text_of(o, "/0", "7");
	json_object_put(o);
}

static void
lone_scalars_are_documents(void **state)
{
	static const struct { const char *text, *value; } rows[] = {
		{ "1", "1" }, { " -12 ", "-12" }, { "true", "true" }, { "false\n", "false" },
		{ "\"x\"", "x" }, { "1.50", "1.50" }, { "\"\"", "" },
	};
	struct str text = STR("there");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_object *o = parsed(rows[i].text);

		assert_text_of(o, "", rows[i].value);
		json_object_put(o);
	}
	assert_null(parsed("null"));
	assert_true(json_text(NULL, &text));
	assert_null(text.p);
}

static void
the_last_of_two_equal_keys_wins(void **state)
{
	struct json_object *o = parsed("{\"a\":1,\"b\":2,\"a\":3}");

	(void)state;
	assert_text_of(o, "/a", "3");
	json_object_put(o);
}

static void
numbers_keep_the_text_they_were_sent_with(void **state)
{
	static const char *const numbers[] = {
		"0", "-1", "9223372036854775807", "-9223372036854775808",
		"9223372036854775808", "18446744073709551615", "18446744073709551616",
		"18446744073709551617", "18446744073709551618", "-9223372036854775809",
		"1234567890123456789012345678901234567890", "1e400", "-1e400", "1e-400",
		"1E400", "1.10", "-0.0", "1e5", "0.1234567890123456789012345678901", "1e308",
		"1e-308", "123456789e300", "0.000001e-303", "0e999999", "0.0e-999999",
		"1e99999999999999999999", "1e-99999999999999999999", "5e-324", "1.0",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		char text[256];
		struct json_object *o;

		(void)snprintf(text, sizeof(text), "{\"n\": [[%s ],{\"m\":%s}]}", numbers[i],
		    numbers[i]);
		o = parsed(text);
		assert_text_of(o, "/n/0/0", numbers[i]);
		assert_text_of(o, "/n/1/m", numbers[i]);
		json_object_put(o);
		o = parsed(numbers[i]);
		assert_text_of(o, "", numbers[i]);
		json_object_put(o);
	}
}

static void
a_minus_before_zero_is_lost_since_it_says_nothing(void **state)
{
	struct json_object *o = parsed("-0");

	(void)state;
	assert_text_of(o, "", "0");
	json_object_put(o);
}

static void
only_numbers_that_would_change_become_strings(void **state)
{
	static const struct { const char *text; bool is_wide; } rows[] = {
		{ "18446744073709551615", false }, { "18446744073709551616", true },
		{ "-9223372036854775808", false }, { "-9223372036854775809", true },
		{ "1e307", false }, { "1e400", true }, { "1e-307", false }, { "1e-400", true },
		{ "0e400", false }, { "0.0001e310", false }, { "10000e-310", false },
		{ "12345678901234567890.5", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_scan scan;
		struct json_object *o = parsed(rows[i].text);

		assert_true(json_scan(str_of(rows[i].text), &scan, &err));
		assert_int_equal(scan.has_wide, rows[i].is_wide);
		assert_int_equal(json_object_is_type(o, json_type_string), rows[i].is_wide);
		json_object_put(o);
	}
}

static void
digits_inside_strings_are_not_touched(void **state)
{
	struct json_object *o = parsed(
	    "{\"a\":\"x 99999999999999999999999 \\\" 1e999\",\"99999999999999999999\":1e999}");

	(void)state;
	assert_text_of(o, "/a", "x 99999999999999999999999 \" 1e999");
	assert_text_of(o, "/99999999999999999999", "1e999");
	json_object_put(o);
}

static void
a_document_of_nothing_but_wide_numbers_is_parsed(void **state)
{
	enum { N = 10000 };
	struct buf text;
	struct json_object *o = NULL;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_text(&text, "[1e999");
	for (int i = 1; i < N; i++)
		buf_text(&text, ",1e999");
	buf_text(&text, "]");
	assert_true(json_parse(buf_str(&text), 1, &o, &err));
	assert_int_equal(json_object_array_length(o), N);
	assert_text_of(o, "/9999", "1e999");
	json_object_put(o);
	buf_fini(&text);
}

static void
a_document_of_megabytes_leaves_the_next_one_parsed(void **state)
{
	struct buf text;
	struct json_object *o = NULL;

	(void)state;
	buf_init(&text, 8 << 20);
	buf_text(&text, "\"");
	while (text.n < 3 << 20)
		buf_text(&text, "0123456789abcdef");
	assert_false(json_parse(buf_str(&text), 1, &o, &err));
	buf_text(&text, "\"");
	assert_true(json_parse(buf_str(&text), 1, &o, &err));
	assert_int_equal(json_object_get_string_len(o), text.n - 2);
	json_object_put(o);
	buf_text(&text, " x");
	assert_false(json_parse(buf_str(&text), 1, &o, &err));
	o = parsed("[7]");
	assert_text_of(o, "/0", "7");
	json_object_put(o);
	buf_fini(&text);
}

static void
escapes_and_pairs_become_utf8(void **state)
{
	struct json_object *o = parsed("[\"\\u00e9\\uD83D\\uDE00\\n\", \"\xc3\xa9\"]");

	(void)state;
	assert_text_of(o, "/0", "\xc3\xa9\xf0\x9f\x98\x80\n");
	assert_text_of(o, "/1", "\xc3\xa9");
	json_object_put(o);
}

/* ---- items ---- */

static const struct { const char *text, *items, *why; } arrays[] = {
	{ "[]", "", NULL },
	{ " [ ] \n", "", NULL },
	{ "[1]", "1|", NULL },
	{ "[1, 2 ,3]", "1|2|3|", NULL },
	{ " [ {\"a\": [1, 2]} ,\n\"x,]\\\"[\" , null ] ", "{\"a\": [1, 2]}|\"x,]\\\"[\"|null|",
	  NULL },
	{ "[[],{},[[1],[2]]]", "[]|{}|[[1],[2]]|", NULL },
	{ "[\"\\\\\",\"\\\\\\\"\"]", "\"\\\\\"|\"\\\\\\\"\"|", NULL },
	{ "[1,]", "1|", "not JSON: a value is missing at byte 3" },
	{ "[,1]", "", "not JSON: a value is missing at byte 1" },
	{ "[1,,2]", "1|", "not JSON: a value is missing at byte 3" },
	{ "[1 2]", "1|", "not JSON: a comma or ] is missing at byte 3" },
	{ "[1}", "1|", "not JSON: a comma or ] is missing at byte 2" },
	{ "[", "", "not JSON: the array does not end at byte 1" },
	{ "[1", "", "not JSON: the array does not end at byte 2" },
	{ "[1,", "1|", "not JSON: the array does not end at byte 3" },
	{ "[1 ", "1|", "not JSON: a comma or ] is missing at byte 3" },
	{ "[{\"a\":1]", "", "not JSON: the array does not end at byte 8" },
	{ "[\"a", "", "not JSON: the array does not end at byte 3" },
	{ "[\"a\\\"]", "", "not JSON: the array does not end at byte 6" },
	{ "[1] x", "1|", "not JSON: something behind the array at byte 4" },
	{ "[1]]", "1|", "not JSON: something behind the array at byte 3" },
	{ "[] []", "", "not JSON: something behind the array at byte 3" },
};

static void
items_of_an_array_are_the_bytes_that_were_sent(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
		struct str doc = exact(arrays[i].text, strlen(arrays[i].text)), item;
		struct json_items it;
		enum json_step step;
		struct buf found;

		buf_init(&found, 4096);
		assert_true(json_items_begin(&it, doc));
		while ((step = json_items_next(&it, &item, &err)) == JSON_ITEM)
			buf_printf(&found, "%.*s|", STR_ARG(item));
		assert_str(buf_str(&found), arrays[i].items);
		assert_int_equal(step, arrays[i].why != NULL ? JSON_ERROR : JSON_END);
		/* It stays so. */
		assert_int_equal(json_items_next(&it, &item, &err), step);
		if (step == JSON_ERROR)
			assert_string_equal(err.text, arrays[i].why);
		buf_fini(&found);
		release(doc);
	}
}

static void
what_is_no_array_has_no_items(void **state)
{
	static const char *const others[] = { "", " ", "{}", "1", "\"[]\"", "x[]" };
	struct json_items it;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(json_items_begin(&it, str_of(others[i])));
}

/* An array that json-c takes gives as many items, each of which it takes too. */
static void
an_array_splits_into_what_the_parser_sees(void **state)
{
	static const char text[] = "[{\"id\":\"a\\\\\",\"n\":[1,2,{\"x\":null}]}, 12 ,\"\\\"]\",[],"
	    "true,{\"k]\":\"[\"}]";
	struct json_object *whole = parsed(text);
	struct json_items it;
	struct str item;

	(void)state;
	assert_true(json_items_begin(&it, str_of(text)));
	for (size_t i = 0; i < json_object_array_length(whole); i++) {
		struct json_object *one = NULL;

		assert_int_equal(json_items_next(&it, &item, &err), JSON_ITEM);
		assert_true(json_parse(item, 64, &one, &err));
		assert_true(json_object_equal(one, json_object_array_get_idx(whole, i)));
		json_object_put(one);
	}
	assert_int_equal(json_items_next(&it, &item, &err), JSON_END);
	assert_int_equal(it.n, json_object_array_length(whole));
	json_object_put(whole);
}

/* ---- pointers ---- */

/* The document of RFC 6901, section 5, and some of ours. */
static void
a_pointer_finds_what_rfc_6901_says(void **state)
{
	static const struct { const char *pointer, *value; } rows[] = {
		{ "/foo/0", "bar" }, { "/foo/1", "baz" }, { "/", "0" }, { "/a~1b", "1" },
		{ "/c%d", "2" }, { "/e^f", "3" }, { "/g|h", "4" }, { "/i\\j", "5" },
		{ "/k\"l", "6" }, { "/ ", "7" }, { "/m~0n", "8" }, { "/~01", "9" },
		{ "/deep/x/1/y/", "here" }, { "/deep/0", "zero" }, { "/deep/-", "minus" },
	};
	static const char *const nowhere[] = { "/bar", "/foo/2", "/foo/-", "/foo/00", "/foo/01",
	    "/foo/+1", "/foo/-1", "/foo/0/x", "/foo/99999999999999999999", "/foo/", "//",
	    "/deep/x/y", "/null/x" };
	struct json_object *o = parsed("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,"
	    "\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8,\"~1\":9,"
	    "\"null\":null,\"deep\":{\"x\":[0,{\"y\":{\"\":\"here\"}}],\"0\":\"zero\","
	    "\"-\":\"minus\"}}");
	struct arena a = { 0 };
	struct json_pointer p;
	bool found;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_text_of(o, rows[i].pointer, rows[i].value);
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		assert_true(json_pointer_compile(&a, str_of(nowhere[i]), &p, &err));
		if (json_pointer_find(&p, o, &found) != NULL || found)
			fail_msg("%s was found", nowhere[i]);
	}
	assert_true(json_pointer_compile(&a, STR(""), &p, &err));
	assert_ptr_equal(json_pointer_find(&p, o, &found), o);
	assert_true(found);
	assert_true(json_pointer_compile(&a, STR("/null"), &p, &err));
	assert_null(json_pointer_find(&p, o, &found));
	assert_true(found);
	arena_fini(&a);
	json_object_put(o);
}

static void
a_pointer_takes_the_items_in_which_a_member_has_a_text(void **state)
{
	struct json_object *o = parsed("{\"v\":[{\"t\":\"a\",\"n\":1},7,{\"t\":\"b\",\"f\":{\"t\":\"c\"},"
	    "\"n\":2},{\"t\":\"b\",\"f\":{\"t\":5},\"n\":3}],\"t=b\":\"a member\"}");
	static const char *const nowhere[] = { "/v/t=d", "/v/f=c/n", "/v/f~1t~1x=c/n", "/v/f~1=c" };

	(void)state;
	assert_text_of(o, "/v/t=b/n", "2");
	assert_text_of(o, "/v/f~1t=c/n", "2");
	assert_text_of(o, "/v/f~1t=5/n", "3");
	assert_text_of(o, "/v/*/f/t", "c");
	assert_text_of(o, "/t=b", "a member");
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		struct arena a = { 0 };
		struct json_pointer p;
		bool found;

		assert_true(json_pointer_compile(&a, str_of(nowhere[i]), &p, &err));
		assert_null(json_pointer_find(&p, o, &found));
		assert_false(found);
		arena_fini(&a);
	}
	json_object_put(o);
}

static void
a_bad_pointer_is_a_config_error(void **state)
{
	static const char *const pointers[] = { "a", " /a", "/~", "/a~2", "/~~", "/a/b~" };
	struct arena a = { 0 };
	struct json_pointer p;

	(void)state;
	for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		assert_false(json_pointer_compile(&a, str_of(pointers[i]), &p, &err));
		assert_int_equal(err.kind, ERR_CONFIG);
	}
	assert_false(json_pointer_compile(&a, (struct str){ "/a\0b", 4 }, &p, &err));
	arena_fini(&a);
}

static void
objects_and_arrays_are_no_text(void **state)
{
	struct json_object *o = parsed("[{},[]]");
	struct str text;

	(void)state;
	assert_false(json_text(o, &text));
	assert_false(json_text(json_object_array_get_idx(o, 0), &text));
	json_object_put(o);
}

static bool
gather(void *arg, struct json_object *o)
{
	struct buf *b = arg;

	buf_printf(b, "%s ", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	return b->n > 200;
}

static void
a_step_into_a_list_may_be_all_of_it_or_those_with_a_member(void **state)
{
	static const struct { const char *pointer, *found; } rows[] = {
		{ "/l/*/n", "1 2 null " }, { "/l/k=a/n", "1 null " }, { "/l/k=/n", "" }, { "/l/1/n", "2 " },
		{ "/l/*", "{\"k\":\"a\",\"n\":1} {\"k\":\"b\",\"n\":2} {\"k\":\"a\",\"n\":null} 7 " },
		{ "/l/n=2/k", "\"b\" " }, { "/l/=a/n", "" }, { "/o/*", "3 " }, { "/o/k=a", "4 " },
		{ "/ll/*/*", "1 2 3 " }, { "/no/*", "" }, { "/s/*", "" }, { "/big/*/x", "" },
	};
	struct json_object *doc = NULL;
	struct arena a = { 0 };

	(void)state;
	assert_true(json_parse(STR("{\"l\":[{\"k\":\"a\",\"n\":1},{\"k\":\"b\",\"n\":2},"
	    "{\"k\":\"a\",\"n\":null},7],\"o\":{\"*\":3,\"k=a\":4},\"ll\":[[1,2],[3]],\"s\":\"t\"}"),
	    9, &doc, &err));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_pointer p;
		struct buf b;

		print_message("%s\n", rows[i].pointer);
		buf_init(&b, 4096);
		assert_true(json_pointer_compile(&a, str_of(rows[i].pointer), &p, &err));
		assert_false(json_pointer_each(&p, doc, gather, &b));
		assert_true(str_eq(buf_str(&b), str_of(rows[i].found)));
		buf_fini(&b);
	}
	json_object_put(doc);
	arena_fini(&a);
}

static bool
count_one(void *arg, struct json_object *o)
{
	(void)o;
	return ++*(size_t *)arg == JSON_POINTER_MAX_ITEMS + 1;
}

static void
a_step_looks_at_so_many_items_of_a_list_and_stops_when_told(void **state)
{
	struct json_object *list = json_object_new_array();
	struct json_pointer p;
	struct arena a = { 0 };
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 2 * JSON_POINTER_MAX_ITEMS; i++)
		assert_int_equal(json_object_array_add(list, NULL), 0);
	assert_true(json_pointer_compile(&a, STR("/*"), &p, &err));
	assert_false(json_pointer_each(&p, list, count_one, &n));
	assert_int_equal(n, JSON_POINTER_MAX_ITEMS);
	n = JSON_POINTER_MAX_ITEMS - 5;
	assert_true(json_pointer_each(&p, list, count_one, &n));
	json_object_put(list);
	arena_fini(&a);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_broken_or_unfit_is_told_with_its_offset),
		cmocka_unit_test(a_nul_byte_is_broken_in_and_outside_strings),
		cmocka_unit_test(what_only_looks_unfit_is_fine),
		cmocka_unit_test(an_odd_byte_is_found_at_every_offset_of_a_string),
		cmocka_unit_test(the_depth_is_that_of_the_deepest_bracket),
		cmocka_unit_test(nesting_beyond_the_limit_is_refused_before_anything_recurses),
		cmocka_unit_test(nesting_up_to_the_limit_is_parsed),
		cmocka_unit_test(what_is_not_one_json_value_is_refused),
		cmocka_unit_test(a_refused_document_says_nothing_of_itself),
		cmocka_unit_test(the_next_document_is_parsed_after_a_refused_one),
		cmocka_unit_test(lone_scalars_are_documents),
		cmocka_unit_test(the_last_of_two_equal_keys_wins),
		cmocka_unit_test(numbers_keep_the_text_they_were_sent_with),
		cmocka_unit_test(a_minus_before_zero_is_lost_since_it_says_nothing),
		cmocka_unit_test(only_numbers_that_would_change_become_strings),
		cmocka_unit_test(digits_inside_strings_are_not_touched),
		cmocka_unit_test(a_document_of_nothing_but_wide_numbers_is_parsed),
		cmocka_unit_test(a_document_of_megabytes_leaves_the_next_one_parsed),
		cmocka_unit_test(escapes_and_pairs_become_utf8),
		cmocka_unit_test(items_of_an_array_are_the_bytes_that_were_sent),
		cmocka_unit_test(what_is_no_array_has_no_items),
		cmocka_unit_test(an_array_splits_into_what_the_parser_sees),
		cmocka_unit_test(a_pointer_finds_what_rfc_6901_says),
		cmocka_unit_test(a_pointer_takes_the_items_in_which_a_member_has_a_text),
		cmocka_unit_test(a_bad_pointer_is_a_config_error),
		cmocka_unit_test(objects_and_arrays_are_no_text),
		cmocka_unit_test(a_step_into_a_list_may_be_all_of_it_or_those_with_a_member),
		cmocka_unit_test(a_step_looks_at_so_many_items_of_a_list_and_stops_when_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
