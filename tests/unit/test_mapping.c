/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings: a foreign document -> a draft, and what is said about bad ones. */
#include "model/mapping.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <unistd.h>

#include "base/json.h"
#include "model/zone.h"

#define AT(field) offsetof(struct map_nodes, field)

static const struct conf_key keys[] = {
	{ "map", CONF_TREE, AT(map), .help = "Where values are." },
	{ "translate", CONF_TREE, AT(translate), .help = "Their words." },
	{ "require", CONF_TREE, AT(require), .help = "Those needed." },
	{ "each", CONF_TREE, AT(each), .help = "The list." },
	{ "when", CONF_TREE, AT(when), .help = "Which of it." },
	{ "items", CONF_TREE, AT(items), .help = "Kinds of it." },
	{ 0 },
};

/* DESIGN.md section 7. */
static const char shop[] =
	"map:\n"
	"  external_id: /event/id\n"
	"  kind: /event/type\n"
	"  occurred_at: /event/created\n"
	"  email: [/buyer/email, /buyer/contact/mail]\n"
	"  amount: /total\n"
	"  channel: \"=web\"\n"
	"  attributes.voucher: /discount/code\n"
	"translate:\n"
	"  kind: { order.paid: purchase, order.refunded: refund }\n";

/* One conf, one document, one draft at a time; values of the needs, in their order. */
static char path[] = "/tmp/touchlog-test-mapping-XXXXXX";
static struct conf *conf;
static struct json_object *doc;
static struct map_items items;
static struct str values[PLACE_MAX_NEEDS];
static const struct zone *zone;
static struct arena arena;
static struct draft draft;
static struct err err;

static int
make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int
remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static int
drop(void **state)
{
	(void)state;
	map_items_fini(&items);
	json_object_put(doc);
	doc = NULL;
	conf_free(conf);
	conf = NULL;
	arena_fini(&arena);
	memset(values, 0, sizeof(values));
	zone = NULL;
	return 0;
}

static struct mapping *
compile(const char *yaml)
{
	struct map_nodes nodes = { .map = NULL };
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(yaml, f) >= 0 && fclose(f) == 0);
	conf_free(conf);
	conf = conf_load(path, keys, &nodes);
	assert_non_null(conf);
	assert_int_equal(conf_errors(conf), 0);
	return mapping_compile(conf, &nodes);
}

/* Finds the items of the document. */
static bool
find(const char *yaml, const char *json)
{
	struct map_input in = { .values = values, .zone = zone };
	struct mapping *m = compile(yaml);

	if (m == NULL)
		fail_msg("%s", conf_error_text(conf, 0));
	map_items_fini(&items);
	json_object_put(doc);
	doc = NULL;
	if (!json_parse(str_of(json), 512, &doc, &err))
		fail_msg("%s", err.text);
	in.doc = doc;
	return mapping_find(m, &in, &arena, &items, &err);
}

static bool
run_item(size_t i)
{
	const struct map_input in = { .doc = doc, .values = values, .zone = zone };

	return mapping_run(&items, i, &in, &arena, &draft, &err);
}

static bool
run(const char *yaml, const char *json)
{
	if (!find(yaml, json))
		fail_msg("%s", err.text);
	assert_int_equal(items.n, 1);
	return run_item(0);
}

static void
assert_str(struct str s, const char *want)
{
	if (!str_eq(s, str_of(want)) || (s.p == NULL) != (want == NULL))
		fail_msg("is '%.*s', not '%s'", STR_ARG(s), want != NULL ? want : "(none)");
}

static void
assert_one_email(const char *want)
{
	assert_int_equal(draft.parties[0].nidentities, 1);
	assert_str(draft.parties[0].identities[0].kind, "email");
	assert_str(draft.parties[0].identities[0].value, want);
}

static void
the_shops_order_becomes_a_draft(void **state)
{
	(void)state;
	assert_true(run(shop, "{\"event\":{\"id\":42,\"type\":\"order.paid\",\"created\":1764003600.5},"
	    "\"buyer\":{\"contact\":{\"mail\":\"Jane@example.com\"}},\"total\":19.90,"
	    "\"discount\":{\"code\":\"XMAS\"},\"extra\":[1]}"));
	assert_str(draft.column[COL_EXTERNAL_ID], "42");
	assert_str(draft.column[COL_KIND], "purchase");
	assert_str(draft.column[COL_OCCURRED_AT], "1764003600.5");
	assert_str(draft.column[COL_AMOUNT], "19.90");
	assert_str(draft.column[COL_CHANNEL], "web");
	assert_str(draft.column[COL_SUBJECT], NULL);
	assert_int_equal(draft.nparties, 1);
	assert_str(draft.parties[0].role, NULL);
	assert_one_email("Jane@example.com");
	assert_int_equal(draft.nattributes, 1);
	assert_str(draft.attributes[0].name, "voucher");
	assert_str(draft.attributes[0].json, "\"XMAS\"");
}

static void
the_first_source_that_is_there_counts(void **state)
{
	static const char yaml[] = "map: { email: [/a, /b/0, /c] , agent: [/x, =nobody] }\n";

	(void)state;
	assert_true(run(yaml, "{\"a\":\"1\",\"b\":[\"2\"],\"c\":\"3\",\"x\":\"me\"}"));
	assert_one_email("1");
	assert_str(draft.column[COL_AGENT], "me");
	assert_true(run(yaml, "{\"b\":[\"2\"],\"c\":\"3\"}"));
	assert_one_email("2");
	assert_str(draft.column[COL_AGENT], "nobody");
	assert_true(run(yaml, "{\"a\":null,\"b\":[],\"c\":\"3\"}"));
	assert_one_email("3");
	assert_true(run(yaml, "{\"a\":\"\",\"b\":[\"\"],\"c\":\"3\"}"));
	assert_one_email("3");
	assert_true(run(yaml, "{\"b\":\"x\"}"));
	assert_int_equal(draft.parties[0].nidentities, 0);
	assert_true(run(yaml, "[]"));
	assert_int_equal(draft.parties[0].nidentities, 0);
	assert_true(run(yaml, "null"));
	assert_str(draft.column[COL_AGENT], "nobody");
}

static void
each_value_says_where_it_stood(void **state)
{
	static const char yaml[] =
	    "map:\n"
	    "  channel: =web\n"
	    "  kind: [ /none, header:X-Event ]\n"
	    "  external_id: { from: [ /a, \"b[c]\" ], join: \"-\" }\n"
	    "  email: [ /none, /a ]\n"
	    "  customer.name: { from: { from: /a, trim: yes }, prefix: x }\n"
	    "  attributes.o.p: /a\n"
	    "  attributes.o.q.r: \"b[c]\"\n"
	    "  attributes.l: { each: /l, map: { s: /s } }\n";

	(void)state;
	values[0] = STR("order");
	assert_true(run(yaml, "{\"a\":\"1\",\"b\":{\"c\":\"2\"},\"l\":[{\"s\":3}]}"));
	assert_str(draft.place[COL_CHANNEL], "=web");
	assert_str(draft.column[COL_CHANNEL], "web");
	assert_str(draft.place[COL_KIND], "header:X-Event");
	assert_str(draft.place[COL_EXTERNAL_ID], "/a, b[c]");
	assert_str(draft.parties[0].identities[0].place, "/a");
	assert_str(draft.parties[0].fields[0].place, "/a");
	assert_str(draft.attributes[0].place, "/l");
	assert_str(draft.attributes[1].place, "/a, b[c]");
}

static void
a_value_that_is_not_translated_is_kept(void **state)
{
	static const char yaml[] = "map: { kind: /k, outcome: /o, attributes.a: /a }\n"
	    "translate:\n"
	    "  outcome: { \"true\": answered, \"3\": busy, gone: \"\" }\n"
	    "  attributes.a: { x: y }\n";

	(void)state;
	assert_true(run(yaml, "{\"k\":\"x\",\"o\":true,\"a\":\"x\"}"));
	assert_str(draft.column[COL_KIND], "x");
	assert_str(draft.column[COL_OUTCOME], "answered");
	assert_str(draft.attributes[0].json, "\"y\"");
	assert_true(run(yaml, "{\"k\":\"x\",\"o\":3,\"a\":{\"x\":1}}"));
	assert_str(draft.column[COL_OUTCOME], "busy");
	assert_str(draft.attributes[0].json, "{\"x\":1}");
	assert_true(run(yaml, "{\"k\":\"x\",\"o\":\"three\"}"));
	assert_str(draft.column[COL_OUTCOME], "three");
	assert_int_equal(draft.nattributes, 0);
	assert_true(run(yaml, "{\"k\":\"x\",\"o\":\"gone\"}"));
	assert_str(draft.column[COL_OUTCOME], NULL);
}

static void
each_kind_of_target_is_filled(void **state)
{
	(void)state;
	assert_true(run("map:\n"
	    "  phone: /p\n"
	    "  anonymous: /c\n"
	    "  external.Shop.eu: /id\n"
	    "  social.x: /x\n"
	    "  customer.name: /n\n"
	    "  customer.address: /addr\n"
	    "  score: /s\n",
	    "{\"p\":\"+31612345678\",\"c\":\"k1\",\"id\":12345678901234567890123,\"x\":\"@jane\","
	    "\"n\":\"J\\u00fcrgen \\\"J\\\"\",\"addr\":{\"city\":\"Ulm\"},\"s\":9}"));
	assert_int_equal(draft.parties[0].nidentities, 4);
	assert_str(draft.parties[0].identities[0].kind, "phone");
	assert_str(draft.parties[0].identities[0].value, "+31612345678");
	assert_str(draft.parties[0].identities[1].kind, "anonymous");
	assert_str(draft.parties[0].identities[2].kind, "external:shop.eu");
	assert_str(draft.parties[0].identities[2].value, "12345678901234567890123");
	assert_str(draft.parties[0].identities[3].kind, "social:x");
	assert_int_equal(draft.parties[0].nfields, 2);
	assert_str(draft.parties[0].fields[0].name, "name");
	assert_str(draft.parties[0].fields[0].json, "\"J\xc3\xbcrgen \\\"J\\\"\"");
	assert_str(draft.parties[0].fields[1].name, "address");
	assert_str(draft.parties[0].fields[1].json, "{\"city\":\"Ulm\"}");
	assert_str(draft.column[COL_SCORE], "9");
}

static void
each_column_can_be_mapped(void **state)
{
	(void)state;
	for (size_t i = 0; column_names[i] != NULL; i++) {
		char yaml[80];

		(void)snprintf(yaml, sizeof(yaml), "map: { %s: /v }\n", column_names[i]);
		assert_true(run(yaml, "{\"v\":\"x\"}"));
		for (size_t k = 0; k < COL_NCOLUMNS; k++)
			assert_str(draft.column[k], k == i ? "x" : NULL);
	}
}

static void
nested_attributes_come_out_as_one_object(void **state)
{
	static const char yaml[] = "map:\n"
	    "  attributes.cart.total.net: /net\n"
	    "  attributes.b: /b\n"
	    "  attributes.cart.items: /items\n"
	    "  \"attributes.cart.x\\\"y\": /q\n"
	    "  attributes.cart.total.gross: /gross\n"
	    "  attributes.cart.id: =c1\n"
	    "  attributes.cart2.id: /b\n";

	(void)state;
	assert_true(run(yaml, "{\"net\":1.50,\"gross\":2,\"items\":[{\"sku\":\"a/b\"}],\"b\":false,"
	    "\"q\":\"a\\u0001\"}"));
	assert_int_equal(draft.nattributes, 3);
	assert_str(draft.attributes[0].name, "b");
	assert_str(draft.attributes[0].json, "false");
	assert_str(draft.attributes[1].name, "cart");
	assert_str(draft.attributes[1].json, "{\"id\":\"c1\",\"items\":[{\"sku\":\"a/b\"}],"
	    "\"total\":{\"gross\":2,\"net\":1.50},\"x\\\"y\":\"a\\u0001\"}");
	assert_str(draft.attributes[2].name, "cart2");
	assert_str(draft.attributes[2].json, "{\"id\":false}");
	assert_true(run(yaml, "{\"net\":1}"));
	assert_int_equal(draft.nattributes, 1);
	assert_str(draft.attributes[0].json, "{\"id\":\"c1\",\"total\":{\"net\":1}}");
	assert_true(run("map: { attributes.all: \"\" }\n", "{\"a\":1}"));
	assert_str(draft.attributes[0].json, "{\"a\":1}");
}

static void
what_is_required_must_be_there(void **state)
{
	static const struct { const char *yaml, *json, *text; } rows[] = {
		{ "map: { kind: /k }", "{}",
		    "kind: there is nothing at /k, and it is required" },
		{ "map: { external_id: [/a, /b] }", "{\"a\":\"\",\"b\":null}",
		    "external_id: there is nothing at /a or the other places, and it is required" },
		{ "map: { thread: /t }", "{}", NULL },
		{ "map: { kind: /k, thread: /t }\nrequire: [thread]", "{\"k\":1}",
		    "thread: there is nothing at /t, and it is required" },
		{ "map: { kind: /k, thread: /t }\nrequire: [thread]", "{\"t\":1}", NULL },
		{ "map: { kind: /k }\nrequire: []", "{}", NULL },
		{ "map: { attributes.a.b: /t }\nrequire: [attributes.a.b]", "{}",
		    "attributes.a.b: there is nothing at /t, and it is required" },
		{ "map: { kind: /k }\ntranslate: { kind: { none: \"\" } }", "{\"k\":\"none\"}",
		    "kind: there is nothing at /k, and it is required" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool is_done = run(rows[i].yaml, rows[i].json);

		print_message("%s\n", rows[i].yaml);
		assert_int_equal(is_done, rows[i].text == NULL);
		if (is_done)
			continue;
		assert_int_equal(err.kind, ERR_INPUT);
		assert_string_equal(err.text, rows[i].text);
	}
}

static void
a_value_that_does_not_fit_is_named_with_its_place(void **state)
{
	(void)state;
	assert_false(run("map: { email: [/no, /buyer/email] }", "{\"buyer\":{\"email\":{\"a\":1}}}"));
	assert_int_equal(err.kind, ERR_INPUT);
	assert_string_equal(err.text, "email (/buyer/email): is an object where a text is wanted");
	assert_false(run("map: { subject: /s }", "{\"s\":[]}"));
	assert_string_equal(err.text, "subject (/s): is an array where a text is wanted");
}

static void
what_fits_is_in_the_draft_although_another_value_does_not(void **state)
{
	(void)state;
	assert_false(run("map: { amount: /a, attributes.x: /x, external_id: /id, kind: /k }",
	    "{\"a\":[],\"x\":1,\"id\":\"e-1\"}"));
	assert_string_equal(err.text, "amount (/a): is an array where a text is wanted");
	assert_str(draft.column[COL_EXTERNAL_ID], "e-1");
	assert_int_equal(draft.nattributes, 1);
}

static void
an_attribute_has_a_limit(void **state)
{
	size_t n = (1 << 20) + 64;
	char *json = malloc(n + 1);

	(void)state;
	assert_non_null(json);
	memset(json, 'x', n);
	memcpy(json, "{\"a\":\"", 6);
	memcpy(json + n - 2, "\"}", 3);
	assert_false(run("map: { attributes.big.one: /a }", json));
	assert_int_equal(err.kind, ERR_INPUT);
	assert_string_equal(err.text, "attributes.big: is larger than 1048576 bytes");
	free(json);
}

static void
more_identities_than_a_party_may_have_are_refused(void **state)
{
	struct buf yaml;

	(void)state;
	buf_init(&yaml, 4096);
	buf_text(&yaml, "map:\n");
	for (int i = 0; i <= DRAFT_MAX_IDENTITIES; i++)
		buf_printf(&yaml, "  external.n%d: /a\n", i);
	buf_add(&yaml, "", 1);
	assert_true(buf_ok(&yaml));
	assert_false(run(yaml.p, "{\"a\":1}"));
	assert_int_equal(err.kind, ERR_INPUT);
	assert_string_equal(err.text, "external.n16 (/a): more than 16 identities of one party");
	assert_true(run(yaml.p, "{}"));
	buf_fini(&yaml);
}

/* ---- places ---- */

static void
each_form_of_a_place_finds_its_value(void **state)
{
	static const struct { const char *place, *want; } rows[] = {
		{ "/a/b/1", "x" },
		{ "root:/a/b/1", "x" },
		{ "\"a[b][1]\"", "x" },
		{ "From", "sender" },
		{ "\"tag[]\"", NULL },		/* a list: asked for by an attribute below */
		{ "header:X-Event", "order" },
		{ "HEADER", NULL },
		{ "query:hub.mode", "subscribe" },
		{ "\"=a constant\"", "a constant" },
		{ "[ /no, /null, /empty, From ]", "sender" },
		{ "[ { from: /no, trim: yes }, { from: From, upper: yes } ]", "SENDER" },
		{ "/people/*/mail", "b@x" },
		{ "/people/name=Zed/age", "7" },
		{ "/people/age=7/name", "Zed" },
		{ "/people/name=Nobody/age", NULL },
		{ "/a~1b", "slash" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char yaml[200];

		(void)snprintf(yaml, sizeof(yaml), "map:\n  campaign: [ header:X-EVENT, query:hub.mode ]"
		    "\n  agent: %s\n", rows[i].place);
		print_message("%s\n", rows[i].place);
		values[0] = STR("order");
		values[1] = STR("subscribe");
		(void)!run(yaml, "{\"a\":{\"b\":[\"w\",\"x\"]},\"From\":\"sender\",\"null\":null,"
		    "\"empty\":\"\",\"tag\":[\"p\"],\"a/b\":\"slash\",\"people\":[{\"name\":\"Ann\","
		    "\"mail\":null},{\"name\":\"Bob\",\"mail\":\"b@x\"},{\"name\":\"Zed\",\"age\":7}]}");
		assert_str(draft.column[COL_AGENT], rows[i].want);
	}
	assert_string_equal(err.text, "agent (tag[]): is an array where a text is wanted");
}

static void
a_header_and_a_parameter_are_needed_once_each(void **state)
{
	const struct place_needs *needs;
	struct mapping *m = compile("map: { kind: header:X-Event, agent: [header:x-event, query:id] }\n"
	    "when: { query:id: yes }\n");

	(void)state;
	assert_non_null(m);
	needs = mapping_needs(m);
	assert_int_equal(needs->n, 2);
	assert_int_equal(needs->v[0].part, PLACE_QUERY);
	assert_str(needs->v[0].name, "id");
	assert_int_equal(needs->v[1].part, PLACE_HEADER);
	assert_str(needs->v[1].name, "x-event");
}

static void
a_header_that_is_no_text_does_not_fit(void **state)
{
	(void)state;
	values[0] = STR("caf\xe9");
	assert_false(run("map: { agent: header:X }", "{}"));
	assert_string_equal(err.text, "agent (header:X): is no UTF-8");
	values[0] = STR("a\0b");
	assert_false(run("map: { agent: [/a, header:X] }", "{}"));
}

/* ---- transforms ---- */

static void
each_transform_does_what_it_is_for(void **state)
{
	static const struct { const char *place, *value, *want; } rows[] = {
		{ "{ from: /v, trim: yes }", "\"  a b \\n\"", "a b" },
		{ "{ from: /v, trim: yes }", "\"  \"", NULL },
		{ "{ from: /v, trim: no }", "\" a\"", " a" },
		{ "{ from: /v, lower: yes }", "\"ABC\\u00c9\"", "abc\xc3\x89" },
		{ "{ from: /v, upper: yes }", "\"abc\"", "ABC" },
		{ "{ from: /v, prefix: \"+\" }", "31", "+31" },
		{ "{ from: /v, prefix: \"+\" }", "\"\"", NULL },
		{ "{ from: /v, suffix: \"!\", prefix: \"<\" }", "true", "<true!" },
		{ "{ from: /v, split: \", \" }", "\"a, b, c\"", "a" },
		{ "{ from: /v, split: \",\", take: 2 }", "\"a,b,c\"", "c" },
		{ "{ from: /v, split: \",\", take: 3 }", "\"a,b,c\"", NULL },
		{ "{ from: /v, split: \",\", take: -1 }", "\"a,b,c\"", "c" },
		{ "{ from: /v, split: \",\", take: -3 }", "\"a,b,c\"", "a" },
		{ "{ from: /v, split: \",\", take: -4 }", "\"a,b,c\"", NULL },
		{ "{ from: /v, split: \",\", take: -1 }", "\"a,\"", NULL },
		{ "{ from: /v, match: \"<([^>]*)>\" }", "\"Ann <a@x>\"", "a@x" },
		{ "{ from: /v, match: \"[a-z]+@[a-z]+\" }", "\"Ann <a@x>\"", "a@x" },
		{ "{ from: /v, match: \"(z)?a\" }", "\"a\"", "a" },
		{ "{ from: /v, match: \"^x\" }", "\"a\"", NULL },
		{ "{ from: /v, match: \"(a)(b)(c)\" }", "\"abc\"", "a" },
		{ "{ from: /v, unit: ms }", "1250", "1.25" },
		{ "{ from: /v, unit: us }", "\"1764003600123456\"", "1764003600.123456" },
		{ "{ from: /v, unit: min }", "1.5", "90" },
		{ "{ from: /v, unit: cents }", "1999", "19.99" },
		{ "{ from: /v, time: \"%Y-%m-%d %H:%M:%S\" }", "\"2026-03-26 21:35:57\"",
		    "2026-03-26T21:35:57Z" },
		{ "{ from: /v, time: \"%d/%m/%y %R\", time_zone: Europe/Amsterdam }",
		    "\"24/07/26 18:00\"", "2026-07-24T16:00:00Z" },
		{ "{ from: /v, translate: { a: b } }", "\"a\"", "b" },
		{ "{ from: /v, translate: { a: b } }", "\"c\"", "c" },
		{ "{ from: /v, translate: { a: \"\" } }", "\"a\"", NULL },
		{ "{ from: /v, json: yes, pointer: /x/0 }", "\"{\\\"x\\\":[7]}\"", "7" },
		{ "{ from: /v, json: yes, pointer: /x/0 }", "{\"x\":[7]}", "7" },
		{ "{ from: /v, json: yes }", "\"\\\"t\\\"\"", "t" },
		{ "{ from: /v, json: yes, pointer: /y }", "\"{}\"", NULL },
		{ "{ from: /v, decode: base64 }", "\"aGk=\"", "hi" },
		{ "{ from: /v, decode: base64 }", "\"YT8-YT8_\"", "a?>a??" },
		{ "{ from: /v, decode: percent }", "\"a%20b+c\"", "a b+c" },
		{ "{ from: /v, decode: base64, json: yes, pointer: /a }", "\"eyJhIjoiYiJ9\"", "b" },
		{ "{ from: [ /v, /w, /no, /w ], join: \"-\" }", "1", "1-w-w" },
		{ "{ from: /v, join: \" \" }", "[\"a\",null,\"\",2,true]", "a 2 true" },
		{ "{ from: /v/*/n, join: \",\", upper: yes }", "[{\"n\":\"a\"},{},{\"n\":\"b\"}]", "A,B" },
		{ "{ from: /v, join: \" \" }", "[]", NULL },
		{ "{ from: /no, join: \" \" }", "[]", NULL },
		/* In this order, whatever that of the file. */
		{ "{ translate: { a: z }, lower: yes, trim: yes, split: \";\", from: /v }",
		    "\" A ;b\"", "z" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char yaml[200], json[200];

		(void)snprintf(yaml, sizeof(yaml), "map: { agent: %s }\n", rows[i].place);
		(void)snprintf(json, sizeof(json), "{\"v\":%s,\"w\":\"w\"}", rows[i].value);
		print_message("%s %s\n", rows[i].place, rows[i].value);
		if (!run(yaml, json))
			fail_msg("%s", err.text);
		assert_str(draft.column[COL_AGENT], rows[i].want);
	}
}

static void
a_transform_that_fails_says_where_and_why(void **state)
{
	static const struct { const char *place, *value, *text; } rows[] = {
		{ "{ from: /v, trim: yes }", "[1]", "is an array where a text is wanted" },
		{ "{ from: /v, unit: ms }", "\"soon\"", "is no number of at most 18 digits" },
		{ "{ from: /v, unit: min }", "999999999999999999", "is no number of at most 18" },
		{ "{ from: /v, time: \"%F %T\" }", "\"2026-02-30 00:00:00\"",
		    "is no time of the form %F %T" },
		{ "{ from: /v, json: yes }", "\"{\"", "not JSON: " },
		{ "{ from: /v, decode: base64 }", "\"a?\"", "is no base64" },
		{ "{ from: /v, decode: base64 }", "\"AAAA\"", "is no UTF-8 when decoded" },
		{ "{ from: /v, decode: percent }", "\"%zz\"", "is not percent-encoded" },
		{ "{ from: /v, join: \",\" }", "[[1]]", "is an object or a list, which cannot be joined" },
		{ "{ from: /v, match: \"^(a|aa)+$\" }",
		    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbb\"",
		    "takes the regular expression too long" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char yaml[200], json[200], want[120];

		(void)snprintf(yaml, sizeof(yaml), "map: { agent: [ /no, %s ] }\n", rows[i].place);
		(void)snprintf(json, sizeof(json), "{\"v\":%s}", rows[i].value);
		(void)snprintf(want, sizeof(want), "agent (/v): %s", rows[i].text);
		print_message("%s\n", rows[i].place);
		assert_false(run(yaml, json));
		assert_int_equal(err.kind, ERR_INPUT);
		if (strncmp(err.text, want, strlen(want)) != 0)
			fail_msg("%s", err.text);
	}
}

static void
cents_are_counted_as_the_currency_has_them(void **state)
{
	static const struct { const char *currency, *amount; } rows[] = {
		{ "\"eur\"", "12.5" }, { "\"JPY\"", "1250" }, { "\"KWD\"", "1.25" }, { "null", "12.5" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char json[80];

		(void)snprintf(json, sizeof(json), "{\"a\":1250,\"c\":%s}", rows[i].currency);
		assert_true(run("map: { amount: { from: /a, unit: cents }, attributes.a: { from: /a, "
		    "unit: cents }, currency: /c }", json));
		assert_str(draft.column[COL_AMOUNT], rows[i].amount);
		assert_str(draft.attributes[0].json, rows[i].amount);	/* a number of JSON */
	}
}

static void
a_time_without_a_zone_is_the_sources_own(void **state)
{
	static const char yaml[] = "map: { occurred_at: { from: /t, time: \"%F %T\" } }";
	static const char json[] = "{\"t\":\"2026-07-24 18:00:00\"}";

	(void)state;
	assert_true(run(yaml, json));
	assert_str(draft.column[COL_OCCURRED_AT], "2026-07-24T18:00:00Z");
	assert_non_null(compile(yaml));
	assert_true(zone_open(conf, STR("America/New_York"), &zone, &err));
	{
		/* The zone lives as long as its conf, which find() would replace. */
		struct map_input in = { .values = values, .zone = zone };
		struct map_nodes nodes = { .map = conf_find(conf_root(conf), "map") };
		struct mapping *m = mapping_compile(conf, &nodes);

		assert_non_null(m);
		in.doc = doc;
		map_items_fini(&items);
		assert_true(mapping_find(m, &in, &arena, &items, &err));
		assert_true(mapping_run(&items, 0, &in, &arena, &draft, &err));
	}
	assert_str(draft.column[COL_OCCURRED_AT], "2026-07-24T22:00:00Z");
}

/* ---- lists within an item ---- */

static void
participants_are_made_of_each_of_a_list(void **state)
{
	(void)state;
	assert_true(run("map:\n"
	    "  email: /from\n"
	    "  participants:\n"
	    "    - { each: /cc, role: \"=cc\", email: /address, name: /name }\n"
	    "    - { role: \"=to\", phone: /to, external.crm: /id }\n"
	    "    - { each: /bcc, email: \"\", language: ../lang }\n",
	    "{\"from\":\"f@x\",\"lang\":\"nl\",\"to\":\"+31\",\"cc\":[{\"address\":\"a@x\",\"name\":"
	    "\"Ann\"},{\"address\":\"b@x\"}],\"bcc\":[\"c@x\"]}"));
	assert_int_equal(draft.nparties, 5);
	assert_one_email("f@x");
	assert_str(draft.parties[1].role, "cc");
	assert_str(draft.parties[1].identities[0].value, "a@x");
	assert_str(draft.parties[1].fields[0].name, "name");
	assert_str(draft.parties[1].fields[0].json, "\"Ann\"");
	assert_int_equal(draft.parties[2].nfields, 0);
	assert_str(draft.parties[3].role, "to");
	assert_int_equal(draft.parties[3].nidentities, 1);
	assert_str(draft.parties[4].role, "participant");
	assert_str(draft.parties[4].identities[0].value, "c@x");
	assert_str(draft.parties[4].fields[0].json, "\"nl\"");
}

static void
participants_beyond_what_a_draft_holds_are_left_out(void **state)
{
	struct buf json;

	(void)state;
	buf_init(&json, 65536);
	buf_text(&json, "{\"id\":1,\"to\":[0");
	for (int i = 0; i < 2 * DRAFT_MAX_PARTIES; i++)
		buf_text(&json, ",1");
	buf_text(&json, "]}");
	buf_add(&json, "", 1);
	assert_true(run("map: { participants: { each: /to, anonymous: \"\" }, thread: /id }", json.p));
	assert_int_equal(draft.nparties, DRAFT_MAX_PARTIES);
	assert_str(draft.column[COL_THREAD], "1");
	buf_fini(&json);
}

static void
objects_are_made_of_each_of_a_list(void **state)
{
	static const char yaml[] = "map:\n"
	    "  currency: /c\n"
	    "  attributes.items: { each: /lines, map: { sku: /id, price: { from: /p, unit: cents }, "
	    "order: ../no } }\n";

	(void)state;
	assert_true(run(yaml, "{\"c\":\"EUR\",\"no\":5,\"lines\":[{\"id\":\"a\",\"p\":150},{},"
	    "{\"p\":-5}]}"));
	assert_int_equal(draft.nattributes, 1);
	assert_str(draft.attributes[0].json, "[{\"sku\":\"a\",\"price\":1.5,\"order\":5},"
	    "{\"order\":5},{\"price\":-0.05,\"order\":5}]");
	assert_true(run(yaml, "{\"c\":\"EUR\",\"lines\":[]}"));
	assert_int_equal(draft.nattributes, 0);
	assert_false(run(yaml, "{\"lines\":[{\"p\":\"x\"}]}"));
	assert_string_equal(err.text,
	    "attributes.items: price (/p): is no number of at most 18 digits");
}

/* ---- items ---- */

static const char whatsapp[] =
	"map: { agent: root:/object, campaign: ../../id }\n"
	"items:\n"
	"  - each: [ /entry, /changes, /value/messages ]\n"
	"    when: { /type: [ text, image ] }\n"
	"    map: { kind: =message, external_id: /id, customer.name: ../value/contacts/wa_id=1/name }\n"
	"  - each: [ /entry, /changes, /value/messages ]\n"
	"    map: { kind: =other, external_id: /id, campaign: \"=none\" }\n"
	"    when: { /type: yes, /deleted: no }\n"
	"  - each: [ /entry, /changes, /value/statuses ]\n"
	"    map: { kind: /status, external_id: { from: [ /id, /status ], join: \":\" } }\n"
	"    translate: { kind: { read: open } }\n";

static const char whatsapp_post[] =
	"{\"object\":\"wa\",\"entry\":[{\"id\":\"e1\",\"changes\":[{\"value\":{\"contacts\":["
	"{\"wa_id\":\"1\",\"name\":\"Ann\"}],\"messages\":[{\"id\":\"m1\",\"type\":\"text\"},"
	"{\"id\":\"m2\",\"type\":\"poll\"},{\"id\":\"m3\",\"type\":\"poll\",\"deleted\":true},7]}}]},"
	"{\"id\":\"e2\",\"changes\":{\"value\":{\"statuses\":[{\"id\":\"m0\",\"status\":\"read\"}]}}}]}";

static void
nested_lists_give_their_items_each_to_its_kind(void **state)
{
	(void)state;
	assert_true(find(whatsapp, whatsapp_post));
	assert_int_equal(items.n, 5);
	assert_true(run_item(0));
	assert_str(draft.column[COL_KIND], "message");
	assert_str(draft.column[COL_EXTERNAL_ID], "m1");
	assert_str(draft.column[COL_AGENT], "wa");
	assert_str(draft.column[COL_CAMPAIGN], "e1");
	assert_str(draft.parties[0].fields[0].json, "\"Ann\"");
	assert_true(run_item(1));
	assert_str(draft.column[COL_KIND], "other");
	assert_str(draft.column[COL_CAMPAIGN], "none");
	assert_false(map_items_takes(&items, 2));
	assert_false(map_items_takes(&items, 3));
	assert_true(run_item(4));
	assert_str(draft.column[COL_KIND], "open");
	assert_str(draft.column[COL_EXTERNAL_ID], "m0:read");
	assert_str(draft.column[COL_CAMPAIGN], "e2");
	for (size_t i = 0; i < items.n; i++)
		assert_false(map_items_is_whole(&items, i));
}

static struct str
written(size_t i)
{
	const struct map_input in = { .doc = doc, .values = values, .zone = zone };
	struct str s;

	assert_true(mapping_item_json(&items, i, &in, &s, &err));
	return s;
}

static void
an_item_is_written_as_a_document_of_its_own(void **state)
{
	(void)state;
	assert_true(find(whatsapp, whatsapp_post));
	assert_str(written(0), "{\"object\":\"wa\",\"entry\":[{\"id\":\"e1\",\"changes\":[{\"value\":{"
	    "\"contacts\":[{\"wa_id\":\"1\",\"name\":\"Ann\"}],\"messages\":[{\"id\":\"m1\","
	    "\"type\":\"text\"}]}}]}]}");
	assert_str(written(3), "{\"object\":\"wa\",\"entry\":[{\"id\":\"e1\",\"changes\":[{\"value\":{"
	    "\"contacts\":[{\"wa_id\":\"1\",\"name\":\"Ann\"}],\"messages\":[7]}}]}]}");
	assert_str(written(4), "{\"object\":\"wa\",\"entry\":[{\"id\":\"e2\",\"changes\":{\"value\":{"
	    "\"statuses\":[{\"id\":\"m0\",\"status\":\"read\"}]}}}]}");
	/* The document itself is whole. */
	assert_string_equal(json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN),
	    whatsapp_post);
}

static void
what_is_written_for_an_item_is_that_item_when_it_is_read(void **state)
{
	static char copy[1024];

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct str s;

		assert_true(find(whatsapp, whatsapp_post));
		s = written(i);
		assert_true(s.n < sizeof(copy));
		memcpy(copy, s.p, s.n);
		copy[s.n] = '\0';
		assert_true(find(whatsapp, copy));
		assert_int_equal(items.n, 1);
		assert_int_equal(map_items_takes(&items, 0), i != 2 && i != 3);
		assert_str(written(0), copy);
	}
}

static void
lists_may_stand_as_json_in_a_text(void **state)
{
	static const char yaml[] = "each: { from: mandrill_events, json: yes }\n"
	    "map: { kind: /event, thread: root:/x, agent: { from: root:/mandrill_events, json: yes, "
	    "pointer: /1/event }, attributes.all: root:/mandrill_events }\n";

	(void)state;
	assert_true(find(yaml, "{\"x\":\"1\",\"mandrill_events\":\"[{\\\"event\\\":\\\"send\\\"},"
	    "{\\\"event\\\":\\\"open\\\"}]\"}"));
	assert_int_equal(items.n, 2);
	assert_true(run_item(1));
	assert_str(draft.column[COL_KIND], "open");
	assert_str(draft.column[COL_THREAD], "1");
	assert_str(draft.column[COL_AGENT], "open");
	assert_str(draft.attributes[0].json, "\"[{\\\"event\\\":\\\"send\\\"},{\\\"event\\\":"
	    "\\\"open\\\"}]\"");
	assert_str(written(0), "{\"x\":\"1\",\"mandrill_events\":[{\"event\":\"send\"}]}");
	assert_true(find(yaml, "{\"x\":\"1\",\"mandrill_events\":[{\"event\":\"send\"}]}"));
	assert_int_equal(items.n, 1);
	assert_false(find(yaml, "{\"mandrill_events\":\"[\"}"));
	assert_int_equal(err.kind, ERR_INPUT);
	assert_int_equal(strncmp(err.text, "each (mandrill_events): not JSON", 32), 0);
}

static void
a_lone_object_counts_as_a_list_of_one(void **state)
{
	static const char yaml[] = "items:\n"
	    "  - { each: /cdr, map: { kind: /k, attributes.all: \"\" } }\n"
	    "  - { each: /other, map: { kind: /k } }\n"
	    "  - { when: { /k: yes }, map: { kind: /k } }\n";

	(void)state;
	assert_true(find(yaml, "{\"cdr\":{\"k\":\"a\"},\"other\":{\"k\":\"b\"}}"));
	assert_int_equal(items.n, 2);
	assert_true(run_item(0));
	assert_str(draft.attributes[0].json, "{\"k\":\"a\"}");
	assert_str(written(0), "{\"cdr\":{\"k\":\"a\"},\"other\":null}");
	assert_str(written(1), "{\"cdr\":null,\"other\":{\"k\":\"b\"}}");
	assert_true(find(yaml, "{\"k\":\"c\"}"));
	assert_int_equal(items.n, 1);
	assert_true(map_items_is_whole(&items, 0));
	assert_true(map_items_takes(&items, 0));
}

static void
a_document_with_nothing_of_ours_is_one_that_nobody_takes(void **state)
{
	static const char *const rows[][2] = {
		{ "when: { /a: b }\nmap: { kind: /k }", "{\"a\":\"c\"}" },
		{ "each: /list\nmap: { kind: /k }", "{\"list\":[]}" },
		{ "each: /list\nmap: { kind: /k }", "{}" },
		{ "each: /list\nmap: { kind: /k }", "[]" },
		{ "each: [/list, /list]\nmap: { kind: /k }", "{\"list\":[1,null,{}]}" },
		{ "items: [ { when: { /a: no }, map: { kind: /a } } ]", "{\"a\":1}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(find(rows[i][0], rows[i][1]));
		assert_int_equal(items.n, 1);
		assert_false(map_items_takes(&items, 0));
	}
}

static void
each_condition_holds_when_it_should(void **state)
{
	static const struct { const char *when; bool holds; } rows[] = {
		{ "/a: x", true }, { "/a: y", false }, { "/a: [z, y, x]", true }, { "/a: [z, y]", false },
		{ "/a: yes", true }, { "/a: no", false }, { "/b: yes", false }, { "/b: no", true },
		{ "/e: yes", false }, { "/n: no", true }, { "/o: yes", true }, { "/o: no", false },
		{ "/o: x", false }, { "/t: \"true\"", true }, { "/i: 5", true }, { "/y: [\"yes\"]", true },
		{ "/a: [\"yes\"]", false }, { "/a: { match: \"^x$\" }", true },
		{ "/a: { match: \"^y\" }", false }, { "/o: { match: x }", false },
		{ "/a: x, /i: 5", true }, { "/a: x, /i: 6", false }, { "header:X: order", true },
		{ "header:X: no", false }, { "\"f[g]\": h", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char yaml[100];

		(void)snprintf(yaml, sizeof(yaml), "when: { %s }\nmap: { thread: /a }\n", rows[i].when);
		print_message("%s\n", rows[i].when);
		values[0] = STR("order");
		assert_true(find(yaml, "{\"a\":\"x\",\"e\":\"\",\"n\":null,\"o\":{},\"t\":true,\"i\":5,"
		    "\"y\":\"yes\",\"f\":{\"g\":\"h\"}}"));
		assert_int_equal(map_items_takes(&items, 0), rows[i].holds);
	}
}

static void
items_share_what_the_source_says_and_have_the_last_word(void **state)
{
	static const char yaml[] =
	    "each: /list\n"
	    "when: { /mine: yes }\n"
	    "map: { kind: /k, thread: /t, agent: =source }\n"
	    "translate: { kind: { a: shared, b: shared } }\n"
	    "require: [thread]\n"
	    "items:\n"
	    "  - { when: { /x: \"1\" }, map: { agent: =item }, translate: { kind: { a: own } } }\n"
	    "  - { require: [] }\n";

	(void)state;
	assert_true(find(yaml, "{\"list\":[{\"mine\":1,\"x\":1,\"k\":\"a\",\"t\":1},"
	    "{\"mine\":1,\"x\":1,\"k\":\"b\"},{\"mine\":1,\"k\":\"a\"},{\"x\":1}]}"));
	assert_int_equal(items.n, 4);
	assert_true(run_item(0));
	assert_str(draft.column[COL_KIND], "own");
	assert_str(draft.column[COL_AGENT], "item");
	assert_false(run_item(1));
	assert_string_equal(err.text, "thread: there is nothing at /t, and it is required");
	assert_str(draft.column[COL_KIND], "shared");
	assert_true(run_item(2));
	assert_str(draft.column[COL_KIND], "shared");
	assert_str(draft.column[COL_AGENT], "source");
	assert_false(map_items_takes(&items, 3));
}

static void
a_document_has_a_limit_of_items(void **state)
{
	char *json = malloc(2 * MAP_MAX_ITEMS + 16), *at;

	(void)state;
	assert_non_null(json);
	at = json + snprintf(json, 16, "{\"l\":[1");
	for (int i = 1; i < MAP_MAX_ITEMS; i++, at += 2)
		memcpy(at, ",1", 2);
	memcpy(at, "]}", 3);
	assert_true(find("each: /l\nmap: { thread: \"\" }", json));
	assert_int_equal(items.n, MAP_MAX_ITEMS);
	memcpy(at, ",1]}", 5);
	assert_false(find("each: /l\nmap: { thread: \"\" }", json));
	assert_int_equal(err.kind, ERR_INPUT);
	free(json);
}

/* ---- what is wrong with a mapping ---- */

static void
a_bad_mapping_is_refused_at_its_place(void **state)
{
	static const struct { const char *yaml, *place, *text; } rows[] = {
		/* One error each. */
		{ "map: { knd: /a }", ":1:8: ", "map.knd: is not known; did you mean \"kind\"?" },
		{ "map:\n  custmer.name: /a", ":2:3: ",
		    "map.custmer.name: is not known; did you mean \"customer.name\"?" },
		{ "map: { customer.nmae: /a }", ":1:8: ",
		    "map.customer.nmae: is no field of the profile; did you mean \"customer.name\"?" },
		{ "map: { voucher_code_no: /a }", ":1:8: ", "map.voucher_code_no: is not known; "
		    "\"attributes.voucher_code_no\" keeps it beside the columns" },
		{ "map: { external: /a }", ":1:8: ", "map.external: needs a namespace" },
		{ "map: { external.: /a }", ":1:8: ", "map.external.: needs a namespace" },
		{ "map: { \"social.a b\": /a }", ":1:8: ", "map.social.a b: needs a namespace" },
		{ "map: { attributes: /a }", ":1:8: ", "map.attributes: needs 1 to 16 names" },
		{ "map: { attributes.: /a }", ":1:8: ", "map.attributes.: needs 1 to 16 names" },
		{ "map: { attributes.a.: /a }", ":1:8: ", "map.attributes.a.: needs 1 to 16 names" },
		{ "map: { attributes.a..b: /a }", ":1:8: ",
		    "map.attributes.a..b: needs 1 to 16 names" },
		{ "map: { attributes.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a: /a }", ":1:8: ",
		    "needs 1 to 16 names" },
		{ "map: { kind: event.type }", ":1:14: ", "map.kind: \"event.type\" is neither a "
		    "JSON Pointer (\"/buyer/email\"), nor ../, root:, header: or query:" },
		{ "map: { kind: heder:X }", ":1:14: ", "map.kind: \"heder:X\" is neither" },
		{ "map: { kind: \"data[a\" }", ":1:14: ", "map.kind: \"data[a\" is neither" },
		{ "map: { kind: \"data[a][]]\" }", ":1:14: ", "is neither" },
		{ "map: { kind: \"data[][a]\" }", ":1:14: ", "is neither" },
		{ "map: { kind: \"header:\" }", ":1:14: ", "map.kind: a name is missing" },
		{ "map: { kind: /a~2 }", ":1:14: ", "map.kind: in a JSON Pointer ~ is written ~0" },
		{ "map: { kind: root:a }", ":1:14: ", "map.kind: a JSON Pointer starts with" },
		{ "map: { kind: ../a }", ":1:14: ", "map.kind: there is nothing that far out" },
		{ "map: { kind: [/a, b.c] }", ":1:19: ", "map.kind: \"b.c\" is neither" },
		{ "map: { kind: [/a, []] }", ":1:19: ", "map.kind: needs at least one place" },
		{ "map: { kind: \"=\" }", ":1:14: ", "map.kind: this constant is empty" },
		{ "map: { kind: [=a, /b] }", ":1:19: ",
		    "map.kind: nothing behind a constant is ever used" },
		{ "map: { kind: [] }", ":1:14: ", "map.kind: needs at least one place" },
		{ "map: { kind: { a: /b } }", ":1:14: ", "map.kind: needs `from`" },
		{ "map: { kind: { from: /b, tirm: yes } }", ":1:26: ",
		    "map.kind: tirm: is nothing that is done to a value; did you mean \"trim\"?" },
		{ "map: { kind: { from: /b, trim: 3 } }", ":1:32: ", "map.kind: trim: needs yes or no" },
		{ "map: { kind: { from: /b, take: 3 } }", ":1:32: ", "map.kind: take goes with split" },
		{ "map: { kind: { from: /b, split: '-', take: x } }", ":1:44: ",
		    "map.kind: take: needs the number of a piece" },
		{ "map: { kind: { from: /b, split: '' } }", ":1:33: ", "map.kind: needs a text" },
		{ "map: { kind: { from: /b, match: '(' } }", ":1:33: ",
		    "map.kind: match: missing closing parenthesis at character 2" },
		{ "map: { kind: { from: /b, unit: pt } }", ":1:32: ",
		    "map.kind: unit: needs ms, us, min, clock or cents" },
		{ "map: { kind: { from: /b, decode: rot13 } }", ":1:34: ",
		    "map.kind: decode: needs base64 or percent" },
		{ "map: { kind: { from: /b, time: '%Q' } }", ":1:32: ",
		    "map.kind: time: %Q is not known" },
		{ "map: { kind: { from: /b, time: '%H:%M' } }", ":1:32: ",
		    "map.kind: time: a time format needs year, month and day" },
		{ "map: { kind: { from: /b, time: '%F %T', time_zone: Europe/Atlantis } }", ":1:52: ",
		    "map.kind: time_zone: \"Europe/Atlantis\" is no time zone" },
		{ "map: { kind: { from: /b, json: yes, pointer: x } }", ":1:46: ",
		    "map.kind: pointer: needs a JSON Pointer" },
		{ "map: { kind: { from: /b, translate: [a] } }", ":1:37: ",
		    "map.kind: needs pairs" },
		{ "map: { participants: /cc }", ":1:22: ", "map.participants: needs { each: /cc" },
		{ "map: { participants: [ { each: /cc, mail: /a } ] }", ":1:37: ",
		    "map.participants.mail: a participant has each, role, email" },
		{ "map: { participants: { each: /cc } }", ":1:22: ",
		    "map.participants: says nothing but each" },
		{ "map: { participants: { each: /cc, email: ../../a } }", ":1:22: ",
		    "map.participants: there is nothing that far out" },
		{ "map: { attributes.items: { each: /l, sku: /a } }", ":1:26: ",
		    "map.attributes.items: a list of objects has each and map" },
		{ "map: [ kind ]", ":1:6: ", "map: needs pairs" },
		{ "map: { attributes.a.b: /a, attributes.a: /b }", ":1:24: ",
		    "map: \"attributes.a.b\" lies within \"attributes.a\"; map one of them" },
		{ "map: { kind: /a }\ntranslate: { knid: { a: b } }", ":2:14: ",
		    "translate: \"knid\" is not mapped; did you mean \"kind\"?" },
		{ "map: { kind: /a }\ntranslate: { kind: a }", ":2:20: ",
		    "translate.kind: needs pairs" },
		{ "map: { kind: /a }\ntranslate: { kind: { a: [b] } }", ":2:25: ",
		    "translate.kind.a: needs a text" },
		{ "map: { kind: /a }\ntranslate: [kind]", ":2:12: ", "translate: needs a table" },
		{ "map: { kind: /a }\nrequire: [thread]", ":2:11: ",
		    "require: \"thread\" is not mapped; give it under \"map\" first" },
		{ "map: { kind: /a }\nrequire: kind", ":2:10: ", "require: needs a list" },
		{ "map: { kind: /a }\neach: [/a, ../../b]", ":2:12: ", "each: there is nothing that" },
		{ "map: { kind: /a }\neach: [/a,/a,/a,/a,/a,/a,/a,/a,/a]", ":2:7: ",
		    "each: more than 8 lists" },
		{ "map: { kind: /a }\nwhen: [/a]", ":2:7: ", "when: needs pairs of a place" },
		{ "map: { kind: /a }\nwhen: { /a: [] }", ":2:13: ", "when: needs what has to stand" },
		{ "map: { kind: /a }\nwhen: { /a: { is: b } }", ":2:13: ", "when: needs a text, a list" },
		{ "map: { kind: /a }\nwhen: { /a: { match: '[' } }", ":2:22: ", "when: missing" },
		{ "map: { kind: /a }\nwhen: { ../a: yes }", ":2:7: ", "when: there is nothing that far" },
		{ "items: []", ":1:8: ", "items: needs a list of kinds" },
		{ "items: [ /a ]", ":1:10: ", "items: needs { each:" },
		{ "items: [ { map: { kind: /a }, then: { /a: b } } ]", ":1:31: ",
		    "items: an item has each, when, map, translate and require, and no then; did you "
		    "mean \"when\"?" },
		{ "items: [ { map: { kind: /a } }, { map: { kind: ../a } } ]", ":1:48: ",
		    "map.kind: there is nothing that far out" },
		{ "translate: { thread: { a: b } }\nitems: [ { map: { kind: /a } } ]", ":1:14: ",
		    "translate: \"thread\" is not mapped" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].yaml);
		assert_null(compile(rows[i].yaml));
		assert_int_equal(conf_errors(conf), 1);
		if (strstr(conf_error_text(conf, 0), rows[i].text) == NULL ||
		    strstr(conf_error_text(conf, 0), rows[i].place) == NULL)
			fail_msg("%s", conf_error_text(conf, 0));
	}
}

static void
all_errors_of_a_mapping_are_told_at_once(void **state)
{
	(void)state;
	assert_null(compile("map: { knd: /a, email: b.c, thread: /t }\n"
	    "translate: { thred: { a: b } }\nrequire: [x]\n"));
	assert_int_equal(conf_errors(conf), 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(the_shops_order_becomes_a_draft, drop),
		cmocka_unit_test_teardown(the_first_source_that_is_there_counts, drop),
		cmocka_unit_test_teardown(each_value_says_where_it_stood, drop),
		cmocka_unit_test_teardown(a_value_that_is_not_translated_is_kept, drop),
		cmocka_unit_test_teardown(each_kind_of_target_is_filled, drop),
		cmocka_unit_test_teardown(each_column_can_be_mapped, drop),
		cmocka_unit_test_teardown(nested_attributes_come_out_as_one_object, drop),
		cmocka_unit_test_teardown(what_is_required_must_be_there, drop),
		cmocka_unit_test_teardown(a_value_that_does_not_fit_is_named_with_its_place, drop),
		cmocka_unit_test_teardown(
		    what_fits_is_in_the_draft_although_another_value_does_not, drop),
		cmocka_unit_test_teardown(an_attribute_has_a_limit, drop),
		cmocka_unit_test_teardown(more_identities_than_a_party_may_have_are_refused, drop),
		cmocka_unit_test_teardown(each_form_of_a_place_finds_its_value, drop),
		cmocka_unit_test_teardown(a_header_and_a_parameter_are_needed_once_each, drop),
		cmocka_unit_test_teardown(a_header_that_is_no_text_does_not_fit, drop),
		cmocka_unit_test_teardown(each_transform_does_what_it_is_for, drop),
		cmocka_unit_test_teardown(a_transform_that_fails_says_where_and_why, drop),
		cmocka_unit_test_teardown(cents_are_counted_as_the_currency_has_them, drop),
		cmocka_unit_test_teardown(a_time_without_a_zone_is_the_sources_own, drop),
		cmocka_unit_test_teardown(participants_are_made_of_each_of_a_list, drop),
		cmocka_unit_test_teardown(
		    participants_beyond_what_a_draft_holds_are_left_out, drop),
		cmocka_unit_test_teardown(objects_are_made_of_each_of_a_list, drop),
		cmocka_unit_test_teardown(nested_lists_give_their_items_each_to_its_kind, drop),
		cmocka_unit_test_teardown(an_item_is_written_as_a_document_of_its_own, drop),
		cmocka_unit_test_teardown(
		    what_is_written_for_an_item_is_that_item_when_it_is_read, drop),
		cmocka_unit_test_teardown(lists_may_stand_as_json_in_a_text, drop),
		cmocka_unit_test_teardown(a_lone_object_counts_as_a_list_of_one, drop),
		cmocka_unit_test_teardown(
		    a_document_with_nothing_of_ours_is_one_that_nobody_takes, drop),
		cmocka_unit_test_teardown(each_condition_holds_when_it_should, drop),
		cmocka_unit_test_teardown(
		    items_share_what_the_source_says_and_have_the_last_word, drop),
		cmocka_unit_test_teardown(a_document_has_a_limit_of_items, drop),
		cmocka_unit_test_teardown(a_bad_mapping_is_refused_at_its_place, drop),
		cmocka_unit_test_teardown(all_errors_of_a_mapping_are_told_at_once, drop),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
