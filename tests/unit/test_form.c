/* SPDX-License-Identifier: Apache-2.0 */
/* Forms as JSON documents. */
#include "model/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/buf.h"

static struct err err;

static void
assert_form(enum form_fate fate, struct json_object *form, const char *want)
{
	const char *text;

	if (fate != FORM_READ)
		fail_msg("%s", err.text);
	text = json_object_to_json_string_ext(form,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	assert_string_equal(text, want);
	json_object_put(form);
}

static void
urlencoded(const char *body, enum form_coding coding, const char *want)
{
	struct json_object *form = NULL;
	enum form_fate fate = form_read_urlencoded(str_of(body), coding, &form, &err);

	print_message("%s\n", body);
	assert_form(fate, form, want);
}

static void
names_with_brackets_make_a_tree(void **state)
{
	static const char *const rows[][2] = {
		{ "a=1&data[merges][EMAIL]=x&tag[]=p&tag[]=q",
		    "{\"a\":\"1\",\"data\":{\"merges\":{\"EMAIL\":\"x\"}},\"tag\":[\"p\",\"q\"]}" },
		{ "", "{}" },
		{ "a", "{\"a\":\"\"}" },
		{ "a=", "{\"a\":\"\"}" },
		{ "&&a=b=c&", "{\"a\":\"b=c\"}" },
		{ "a=1&a=2&a=3", "{\"a\":[\"1\",\"2\",\"3\"]}" },
		{ "a[b]=1&a[b]=2", "{\"a\":{\"b\":[\"1\",\"2\"]}}" },
		{ "a[]=1&a=2", "{\"a\":[\"1\",\"2\"]}" },
		{ "i[][s]=1&i[][s]=2", "{\"i\":[{\"s\":\"1\"},{\"s\":\"2\"}]}" },
		{ "i[][]=1", "{\"i\":[[\"1\"]]}" },
		{ "a[0]=x&a[1]=y", "{\"a\":{\"0\":\"x\",\"1\":\"y\"}}" },
		{ "n=J%C3%BCrgen+M&%61%5bb%5D=1", "{\"n\":\"J\xc3\xbcrgen M\",\"a\":{\"b\":\"1\"}}" },
		/* What does not go together keeps its name as it stands. */
		{ "a=1&a[b]=2&a[]=3", "{\"a\":\"1\",\"a[b]\":\"2\",\"a[]\":\"3\"}" },
		{ "a[b]=1&a[]=2", "{\"a\":{\"b\":\"1\"},\"a[]\":\"2\"}" },
		{ "a[b]=1&a=2", "{\"a\":[{\"b\":\"1\"},\"2\"]}" },
		{ "a[]=1&a[b]=2", "{\"a\":[\"1\"],\"a[b]\":\"2\"}" },
		{ "a[b=1", "{\"a[b\":\"1\"}" },
		{ "a]b=1", "{\"a]b\":\"1\"}" },
		{ "a[b]c=1", "{\"a[b]c\":\"1\"}" },
		{ "[a]=1", "{\"[a]\":\"1\"}" },
		{ "=1", "{\"\":\"1\"}" },
		{ "a[1][2][3][4][5][6][7][8][9][10][11][12][13][14][15][16]=x",
		    "{\"a[1][2][3][4][5][6][7][8][9][10][11][12][13][14][15][16]\":\"x\"}" },
		/* The line end that curl's @file leaves behind. */
		{ "a=1\r\n", "{\"a\":\"1\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		urlencoded(rows[i][0], FORM_PERCENT, rows[i][1]);
}

static void
values_may_be_base64(void **state)
{
	(void)state;
	urlencoded("cdr=eyJhIjoxfQ==", FORM_BASE64, "{\"cdr\":\"{\\\"a\\\":1}\"}");
	urlencoded("a=Pz8+&b=", FORM_BASE64, "{\"a\":\"?\?>\",\"b\":\"\"}");
	urlencoded("b=", FORM_BASE64, "{\"b\":\"\"}");
}

static void
broken_forms_are_refused(void **state)
{
	static const struct { struct str body; enum form_coding coding; } rows[] = {
		{ STR("a=%"), FORM_PERCENT }, { STR("a=%4"), FORM_PERCENT },
		{ STR("a=%zz"), FORM_PERCENT }, { STR("%zz=1"), FORM_PERCENT },
		{ STR("a=\xff"), FORM_PERCENT }, { STR("a=%FF"), FORM_PERCENT },
		{ STR("%FF=1"), FORM_PERCENT }, { STR("a=%00"), FORM_PERCENT },
		{ STR("a=x\0y"), FORM_PERCENT }, { STR("a%00=1"), FORM_PERCENT },
		{ STR("a=b"), FORM_BASE64 }, { STR("a=/w=="), FORM_BASE64 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_object *form = NULL;

		print_message("%s\n", rows[i].body.p);
		assert_int_equal(form_read_urlencoded(rows[i].body, rows[i].coding, &form, &err),
		    FORM_BROKEN);
		assert_int_equal(err.kind, ERR_INPUT);
		assert_null(form);
	}
}

static void
a_form_has_limits(void **state)
{
	struct json_object *form = NULL;
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	for (int i = 0; i < FORM_MAX_FIELDS; i++)
		buf_printf(&b, "a%d=&", i);
	assert_int_equal(form_read_urlencoded(buf_str(&b), FORM_PERCENT, &form, &err), FORM_READ);
	assert_int_equal(json_object_object_length(form), FORM_MAX_FIELDS);
	json_object_put(form);
	buf_text(&b, "b=");
	assert_int_equal(form_read_urlencoded(buf_str(&b), FORM_PERCENT, &form, &err),
	    FORM_TOO_LARGE);
	buf_clear(&b);
	for (int i = 0; i < FORM_NAME_MAX_BYTES; i++)
		buf_text(&b, "n");
	assert_int_equal(form_read_urlencoded(buf_str(&b), FORM_PERCENT, &form, &err), FORM_READ);
	json_object_put(form);
	buf_text(&b, "n");
	assert_int_equal(form_read_urlencoded(buf_str(&b), FORM_PERCENT, &form, &err),
	    FORM_TOO_LARGE);
	buf_fini(&b);
}

/* ---- multipart ---- */

#define PART(head, body)	"--b\r\nContent-Disposition: form-data; " head "\r\n\r\n" body "\r\n"

static void
multipart(struct str body, const char *want)
{
	struct json_object *form = NULL;
	enum form_fate fate = form_read_multipart(STR("multipart/form-data; boundary=b"), body, &form,
	    &err);

	assert_form(fate, form, want);
}

static void
parts_are_fields(void **state)
{
	(void)state;
	multipart(STR(PART("name=\"a\"", "1") PART("name=\"data[b][]\"", "x\r\ny")
	    PART("name=\"data[b][]\"", "") PART("name=\"n\xc3\xbc\"", "J\xc3\xbc") "--b--\r\n"),
	    "{\"a\":\"1\",\"data\":{\"b\":[\"x\\r\\ny\",\"\"]},\"n\xc3\xbc\":\"J\xc3\xbc\"}");
}

static void
a_file_is_described(void **state)
{
	(void)state;
	multipart(STR(PART("name=\"f\"; filename=\"a b.png\"\r\nContent-Type: image/png",
	    "\x89PNG\0\r\n\xff") PART("name=\"g\"; filename=\"\"", "") "--b--\r\n"),
	    "{\"f\":{\"name\":\"a b.png\",\"type\":\"image/png\",\"size\":8},"
	    "\"g\":{\"name\":\"\",\"type\":\"text/plain\",\"size\":0}}");
}

static void
texts_of_other_charsets_become_utf8(void **state)
{
	(void)state;
	multipart(STR(PART("name=\"a\"\r\nContent-Type: text/plain; charset=iso-8859-15", "\xa4")
	    PART("name=\"b\"", "\x80 caf\xe9")
	    PART("name=\"_charset_\"", "koi8-r") PART("name=\"c\"", "\xc1") "--b--\r\n"),
	    "{\"a\":\"\xe2\x82\xac\",\"b\":\"\xe2\x82\xac caf\xc3\xa9\",\"_charset_\":\"koi8-r\","
	    "\"c\":\"\xd0\xb0\"}");
}

static void
a_coded_part_is_decoded(void **state)
{
	(void)state;
	multipart(STR(PART("name=\"a\"\r\nContent-Transfer-Encoding: base64", "aGk=") "--b--\r\n"),
	    "{\"a\":\"hi\"}");
}

static void
what_is_no_multipart_form_is_refused(void **state)
{
	static const struct { const char *type; struct str body; } rows[] = {
		{ "multipart/form-data", STR(PART("name=\"a\"", "1") "--b--\r\n") },
		{ "multipart/form-data; boundary=c", STR(PART("name=\"a\"", "1") "--b--\r\n") },
		{ "multipart/form-data; boundary=b", STR("") },
		{ "multipart/form-data; boundary=b", STR("a=1") },
		{ "multipart/form-data; boundary=b", STR(PART("name=\"a\"", "x\0y") "--b--\r\n") },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_object *form = NULL;

		print_message("%zu\n", i);
		assert_int_equal(form_read_multipart(str_of(rows[i].type), rows[i].body, &form, &err),
		    FORM_BROKEN);
	}
}

static void
more_parts_than_fields_may_be_are_refused(void **state)
{
	struct json_object *form = NULL;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	for (int i = 0; i <= FORM_MAX_FIELDS; i++)
		buf_text(&b, PART("name=\"a\"", ""));
	buf_text(&b, "--b--\r\n");
	assert_int_equal(form_read_multipart(STR("multipart/form-data; boundary=b"), buf_str(&b),
	    &form, &err), FORM_TOO_LARGE);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_with_brackets_make_a_tree),
		cmocka_unit_test(values_may_be_base64),
		cmocka_unit_test(broken_forms_are_refused),
		cmocka_unit_test(a_form_has_limits),
		cmocka_unit_test(parts_are_fields),
		cmocka_unit_test(a_file_is_described),
		cmocka_unit_test(texts_of_other_charsets_become_utf8),
		cmocka_unit_test(a_coded_part_is_decoded),
		cmocka_unit_test(what_is_no_multipart_form_is_refused),
		cmocka_unit_test(more_parts_than_fields_may_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
