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
		    "map.kind: unit: needs ms, us, min or cents" },
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
		cmocka_unit_test_teardown(a_bad_mapping_is_refused_at_its_place, drop),
		cmocka_unit_test_teardown(all_errors_of_a_mapping_are_told_at_once, drop),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
