/* SPDX-License-Identifier: Apache-2.0 */
/* Values in templates: what is found, how it is escaped, what is refused. */
#include "flow/action.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/buf.h"
#include "base/json.h"

static const char payload_text[] = "{\"rule\": \"late\", \"customer\": {\"name\": \"Ann \\\"A\\\" <b>\","
    " \"stage\": null, \"tags\": [\"x\", \"y\"], \"priority\": 1}, \"interaction\": {"
    " \"subject\": \"Hi\\r\\nBcc: all@example.com & co\", \"body\": \"\", \"amount\": 19.9900,"
    " \"attributes\": {\"x\": \"a b/ü\", \"is_new\": true, \"n\": {\"deep\": [{\"sku\": \"s1\"}]}}}}";

static char *
substituted(const char *text, enum action_escape how)
{
	struct json_object *payload;
	struct buf out;
	struct err err;
	char *copy;

	assert_true(json_parse(str_of(payload_text), 8, &payload, &err));
	buf_init(&out, 1000);
	assert_true(action_substitute(str_of(text), payload, how, &out, &err));
	buf_add(&out, "", 1);
	copy = strdup(out.p);
	buf_fini(&out);
	json_object_put(payload);
	return copy;
}

static void
a_value_is_found_by_its_path(void **state)
{
	static const struct { const char *text; const char *wanted; } rows[] = {
		{ "plain", "plain" },
		{ "", "" },
		{ "{rule}", "late" },
		{ "a{rule}b{rule}", "alateblate" },
		{ "{customer.name}", "Ann \"A\" <b>" },
		{ "{customer.priority}", "1" },
		{ "{amount}", "19.9900" },
		{ "{interaction.amount}", "19.9900" },
		{ "{attributes.is_new}", "true" },
		{ "{interaction.attributes.x}", "a b/ü" },
		{ "{attributes.n.deep.0.sku}", "s1" },
		{ "{attributes.n.deep.1.sku|none}", "none" },
		{ "{attributes.n.deep.sku|none}", "none" },
		{ "{customer.tags}", "[\"x\",\"y\"]" },
		{ "{customer.tags.1}", "y" },
		{ "{attributes.n}", "{\"deep\":[{\"sku\":\"s1\"}]}" },
		{ "{rule.x|none}", "none" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *got = substituted(rows[i].text, ESCAPE_NONE);

		assert_string_equal(got, rows[i].wanted);
		free(got);
	}
}

static void
what_is_null_empty_or_unknown_becomes_the_text_behind_the_bar(void **state)
{
	static const struct { const char *text; const char *wanted; } rows[] = {
		{ "{customer.stage|new}", "new" },
		{ "{body|(no text)}", "(no text)" },
		{ "{nothing|a|b}", "a|b" },
		{ "{nothing}", "" },
		{ "{nothing|}", "" },
		{ "{customer.name|new}", "Ann \"A\" <b>" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *got = substituted(rows[i].text, ESCAPE_NONE);

		assert_string_equal(got, rows[i].wanted);
		free(got);
	}
}

static void
a_value_is_escaped_for_its_target_and_the_text_around_it_is_not(void **state)
{
	static const struct { const char *text; enum action_escape how; const char *wanted; } rows[] = {
		{ "<b>{customer.name}", ESCAPE_HTML, "<b>Ann &quot;A&quot; &lt;b&gt;" },
		{ "{stage|<i>}", ESCAPE_HTML, "<i>" },
		{ "\"{customer.name}\"", ESCAPE_JSON, "\"Ann \\\"A\\\" <b>\"" },
		{ "{subject}", ESCAPE_JSON, "Hi\\r\\nBcc: all@example.com & co" },
		{ "/?q={attributes.x}", ESCAPE_URL, "/?q=a%20b%2F%C3%BC" },
		{ "{subject}", ESCAPE_HEADER, "Hi  Bcc: all@example.com & co" },
		{ "{stage|a\r\nb}", ESCAPE_HEADER, "a  b" },
		{ "{subject}", ESCAPE_HTML, "Hi\r\nBcc: all@example.com &amp; co" },
		{ "{customer.tags}", ESCAPE_JSON, "[\\\"x\\\",\\\"y\\\"]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *got = substituted(rows[i].text, rows[i].how);

		assert_string_equal(got, rows[i].wanted);
		free(got);
	}
}

static void
doubled_braces_are_braces(void **state)
{
	char *got = substituted("a {{ color: {rule} }} {{rule}}", ESCAPE_NONE);

	(void)state;
	assert_string_equal(got, "a { color: late } {rule}");
	free(got);
}

static void
a_broken_template_is_told_with_its_place(void **state)
{
	static const struct { const char *text; const char *wanted; } rows[] = {
		{ "ab{", "column 3: this brace is not closed" },
		{ "{a", "column 1: this brace is not closed" },
		{ "a}", "column 2: this brace closes nothing" },
		{ "{}", "column 1: this is no name" },
		{ "{|x}", "column 1: this is no name" },
		{ "{a.}", "column 1: this is no name" },
		{ "{.a}", "column 1: this is no name" },
		{ "{a..b}", "column 1: this is no name" },
		{ "{a b}", "column 1: this is no name" },
		{ "{a|{b}}", "column 1: this is no name" },
		{ "one\ntwo { color: red }", "line 2, column 5: this is no name" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = { 0 };
		struct buf out;

		print_message("%s\n", rows[i].text);
		assert_false(action_template_check(str_of(rows[i].text), &err));
		assert_int_equal(err.kind, ERR_INPUT);
		assert_memory_equal(err.text, rows[i].wanted, strlen(rows[i].wanted));
		buf_init(&out, 100);
		assert_false(action_substitute(str_of(rows[i].text), NULL, ESCAPE_NONE, &out, &err));
		assert_int_equal(err.kind, ERR_INPUT);
		buf_fini(&out);
	}
	assert_true(action_template_check(STR("{a.b-c_1.0|else} {{ }}"), &(struct err){ 0 }));
}

static void
without_a_payload_every_value_is_missing(void **state)
{
	struct buf out;
	struct err err;

	(void)state;
	buf_init(&out, 100);
	assert_true(action_substitute(STR("{subject|none} {customer.name}"), NULL, ESCAPE_NONE, &out,
	    &err));
	assert_memory_equal(out.p, "none ", 5);
	buf_fini(&out);
}

static void
a_text_that_grows_beyond_its_bounds_is_refused(void **state)
{
	struct buf out;
	struct err err;

	(void)state;
	buf_init(&out, 4);
	assert_false(action_substitute(STR("{nothing|12345}"), NULL, ESCAPE_NONE, &out, &err));
	assert_int_equal(err.kind, ERR_RETRY);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_found_by_its_path),
		cmocka_unit_test(what_is_null_empty_or_unknown_becomes_the_text_behind_the_bar),
		cmocka_unit_test(a_value_is_escaped_for_its_target_and_the_text_around_it_is_not),
		cmocka_unit_test(doubled_braces_are_braces),
		cmocka_unit_test(a_broken_template_is_told_with_its_place),
		cmocka_unit_test(without_a_payload_every_value_is_missing),
		cmocka_unit_test(a_text_that_grows_beyond_its_bounds_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
