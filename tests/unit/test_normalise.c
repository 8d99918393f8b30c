/* SPDX-License-Identifier: Apache-2.0 */
/* From canonical JSON over the draft to the interaction, its key and its row. */
#include "model/normalise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "model/canonical.h"
#include "model/dedupe.h"
#include "model/row.h"
#include "model/source.h"

static const int64_t now_us = 1795543200 * 1000000LL;	/* 2026-11-24T18:00:00Z */

static struct json_object *documents[100];
static size_t ndocuments;

static int
free_documents(void **state)
{
	(void)state;
	while (ndocuments > 0)
		json_object_put(documents[--ndocuments]);
	return 0;
}

static struct source
some_source(void)
{
	return (struct source){
		.channel = -1, .direction = -1, .name = STR("pbx"), .key_name = STR("pbx"),
		.is_strong = true, .dedupe_for_ms = 400LL * 86400 * 1000,
		.rules = { .strong_ranks = 1U << IDENTITY_EXTERNAL | 1U << IDENTITY_EMAIL },
	};
}

/* Reads one canonical event; false with err set when it does not fit. */
static bool
read_with(const struct source *s, const char *json, struct arena *a, struct interaction *ret,
    struct err *err)
{
	struct json_object *doc = NULL;
	struct item_origin o = { .raw = str_of(json), .payload = str_of(json) };
	struct draft d;
	bool ok;

	clock_set_us(now_us);
	o.id = uuid_v7();
	assert_true(json_parse(str_of(json), 100, &doc, err));
	ok = draft_init(&d, a, err) && canonical_read(doc, &d, err) &&
	    normalise(s, &d, &o, a, ret, err);
	/* The interaction borrows from it. */
	documents[ndocuments++] = doc;
	clock_set_us(-1);
	return ok;
}

static struct interaction
read_one(const char *json, struct arena *a)
{
	static struct source s;
	struct interaction i;
	struct err err;

	s = some_source();
	if (!read_with(&s, json, a, &i, &err))
		fail_msg("%s: %s", json, err.text);
	return i;
}

static void
columns_land_under_their_names_and_the_rest_in_attributes(void **state)
{
	struct arena a = { 0 };
	struct interaction i = read_one("{\"channel\":\"call\",\"kind\":\"call\",\"external_id\":7,"
	    "\"duration\":\"PT1M5S\",\"wait\":2.5,\"amount\":\"-12.345\",\"currency\":\"eur\","
	    "\"score\":9,\"subject\":null,\"occurred_at\":1795543200000,\"extra\":{\"a\":[1]},"
	    "\"attributes\":{\"coupon\":\"X\"}}", &a);

	(void)state;
	assert_true(str_eq(i.text[COL_CHANNEL], STR("call")));
	assert_true(str_eq(i.text[COL_DIRECTION], STR("in")));
	assert_true(str_eq(i.text[COL_EXTERNAL_ID], STR("7")));
	assert_null(i.text[COL_SUBJECT].p);
	assert_true(i.has_duration && i.duration.us == 65 * 1000000LL);
	assert_true(i.has_wait && i.wait.us == 2500000);
	assert_true(i.has_amount);
	assert_int_equal(i.amount_e4, -123450);
	assert_true(str_eq(i.text[COL_CURRENCY], STR("EUR")));
	assert_int_equal(i.score, 9);
	assert_int_equal(i.occurred_us, now_us);
	assert_true(str_eq(i.attributes, STR("{\"extra\":{\"a\":[1]},\"coupon\":\"X\"}")));
	arena_fini(&a);
}

static void
what_does_not_fit_is_refused_with_the_name_of_its_column(void **state)
{
	static const struct { const char *json, *want; } row[] = {
		{ "{\"channel\":\"telepathy\"}", "channel: not email" },
		{ "{\"kind\":\"call\"}", "channel: missing" },
		{ "{\"channel\":\"call\",\"occurred_at\":\"yesterday\"}", "occurred_at: not a time" },
		{ "{\"channel\":\"call\",\"amount\":\"12,50\"}", "amount: not a number" },
		{ "{\"channel\":\"call\",\"duration\":-1}", "duration: not seconds" },
		{ "{\"channel\":\"call\",\"currency\":\"euro\"}", "currency: not three letters" },
		{ "{\"channel\":\"call\",\"score\":9.5}", "score: not a whole number" },
		{ "{\"channel\":\"call\",\"direction\":\"up\"}", "direction: not in, out" },
		{ "{\"channel\":\"call\",\"subject\":{}}", "subject: a text or a number" },
		{ "{\"channel\":\"call\",\"identities\":{}}", "identities: a list" },
		{ "{\"channel\":\"call\",\"identities\":[{\"kind\":\"email\"}]}", "identities: each" },
		{ "{\"channel\":\"call\",\"identities\":[{\"kind\":\"shoe\",\"value\":\"x\"}]}",
		    "identities: kind \"shoe\"" },
		{ "{\"channel\":\"call\",\"external\":{\"a b\":\"x\"}}", "identities: kind" },
		{ "{\"channel\":\"call\",\"participants\":[7]}", "participants: an object" },
		{ "[]", "an event is a JSON object" },
		{ "7", "an event is a JSON object" },
	};
	struct source s = some_source();

	(void)state;
	for (size_t n = 0; n < sizeof(row) / sizeof(row[0]); n++) {
		struct arena a = { 0 };
		struct interaction i;
		struct err err = { 0 };

		assert_false(read_with(&s, row[n].json, &a, &i, &err));
		assert_int_equal(err.kind, ERR_INPUT);
		if (strncmp(err.text, row[n].want, strlen(row[n].want)) != 0)
			fail_msg("%s: \"%s\", wanted \"%s\"", row[n].json, err.text, row[n].want);
		arena_fini(&a);
	}
}

static void
mentions_stand_in_look_up_order_without_junk_and_twins(void **state)
{
	struct arena a = { 0 };
	struct interaction i = read_one("{\"channel\":\"web\",\"anonymous\":\"v-1\","
	    "\"phone\":\"+31612345678\",\"email\":\"Anna@Example.NET\",\"external\":{\"shop\":\"42\"},"
	    "\"identities\":[{\"kind\":\"email\",\"value\":\"anna@example.net\"},"
	    "{\"kind\":\"email\",\"value\":\"null\"},{\"kind\":\"email\",\"value\":\"no mail\"}]}", &a);
	static const char *const kinds[] = { "external:shop", "email", "phone", "anonymous" };

	(void)state;
	assert_int_equal(i.nparties, 1);
	assert_true(i.has_customer);
	assert_int_equal(i.parties[0].nmentions, 4);
	for (size_t n = 0; n < 4; n++)
		assert_true(str_eq(i.parties[0].mentions[n].kind, str_of(kinds[n])));
	assert_true(str_eq(i.parties[0].mentions[1].value, STR("anna@example.net")));
	assert_true(str_eq(i.attributes, STR("{\"unreadable_identities\":"
	    "[{\"kind\":\"email\",\"value\":\"no mail\"}]}")));
	arena_fini(&a);
}

static void
participants_are_parties_of_their_own_and_one_without_identity_is_none(void **state)
{
	struct arena a = { 0 };
	struct interaction i = read_one("{\"channel\":\"email\",\"participants\":["
	    "{\"role\":\"cc\",\"email\":\"b@example.net\",\"name\":\"Bob\"},{\"name\":\"Nobody\"},"
	    "{\"phone\":\"+31612345678\"}],\"email\":\"a@example.net\"}", &a);

	(void)state;
	assert_int_equal(i.nparties, 3);
	assert_true(str_eq(i.parties[0].mentions[0].value, STR("a@example.net")));
	assert_true(str_eq(i.parties[1].role, STR("cc")));
	assert_true(str_eq(i.parties[1].profile, STR("{\"name\":\"Bob\"}")));
	assert_true(str_eq(i.parties[2].role, STR("participant")));
	arena_fini(&a);
	i = read_one("{\"channel\":\"email\",\"participants\":[{\"email\":\"b@example.net\"}]}", &a);
	assert_int_equal(i.nparties, 1);
	assert_false(i.has_customer);
	arena_fini(&a);
}

static void
words_for_people_are_cut_and_names_of_things_are_not(void **state)
{
	static char json[300000];
	struct source s = some_source();
	struct arena a = { 0 };
	struct interaction i;
	struct err err;

	(void)state;
	/* 1025 two-byte letters: the cut is between two of them. */
	(void)snprintf(json, sizeof(json), "{\"channel\":\"email\",\"subject\":\"x");
	for (size_t n = 0; n < 1025; n++)
		memcpy(json + strlen(json), "\xc3\xa9", 2);
	memcpy(json + strlen(json), "\"}", 2);
	i = read_one(json, &a);
	assert_int_equal(i.text[COL_SUBJECT].n, 2047);
	assert_true(str_eq(i.attributes, STR("{\"cut\":[\"subject\"]}")));
	(void)snprintf(json, sizeof(json), "{\"channel\":\"email\",\"thread\":\"%0513d\"}", 7);
	assert_false(read_with(&s, json, &a, &i, &err));
	assert_string_equal(err.text, "thread: longer than 512 bytes");
	arena_fini(&a);
}

static void
a_time_far_ahead_is_replaced_and_kept_in_attributes(void **state)
{
	struct arena a = { 0 };
	struct interaction i = read_one("{\"channel\":\"web\",\"occurred_at\":\"2026-11-25T19:00:00Z\"}",
	    &a);

	(void)state;
	assert_int_equal(i.occurred_us, now_us);
	assert_true(str_eq(i.attributes, STR("{\"occurred_at\":\"2026-11-25T19:00:00Z\"}")));
	i = read_one("{\"channel\":\"web\",\"occurred_at\":\"2026-11-25T17:59:00Z\"}", &a);
	assert_int_equal(i.occurred_us, now_us + 86340LL * 1000000);
	arena_fini(&a);
}

/* The first 16 bytes of SHA-256 over what DESIGN section 3 says, made by sha256sum. */
static void
keys_are_made_of_the_best_fact_there_is(void **state)
{
	struct dedupe_facts all = { .external_id = STR("c1"), .idempotency_key = STR("k"),
	    .index = 3, .raw = STR("{}"), .has_own_time = true, .id = { { 9 } } };
	struct source s = some_source();
	char text[UUID_TEXT_SIZE];
	enum dedupe_basis basis;

	(void)state;
	uuid_text(dedupe_key(&s, &all, &basis), text);
	assert_string_equal(text, "2761b16a-4e14-76ee-6211-5ad773dfd8ea");
	assert_int_equal(basis, DEDUPE_BY_EXTERNAL_ID);
	all.external_id = STR_NONE;
	uuid_text(dedupe_key(&s, &all, &basis), text);
	assert_string_equal(text, "1d973406-7a04-9cba-f020-587a805c3036");
	assert_int_equal(basis, DEDUPE_BY_IDEMPOTENCY_KEY);
	all.idempotency_key = STR_NONE;
	uuid_text(dedupe_key(&s, &all, &basis), text);
	assert_string_equal(text, "5bf008e5-403c-7376-01f0-b9b1186dd27d");
	assert_int_equal(basis, DEDUPE_BY_BYTES);
	all.has_own_time = false;
	assert_memory_equal(dedupe_key(&s, &all, &basis).b, all.id.b, UUID_BYTES);
	assert_int_equal(basis, DEDUPE_BY_NOTHING);
	all.external_id = STR("c1");
	s.dedupe = DEDUPE_BODY;
	uuid_text(dedupe_key(&s, &all, &basis), text);
	assert_string_equal(text, "5bf008e5-403c-7376-01f0-b9b1186dd27d");
	assert_int_equal(basis, DEDUPE_BY_BYTES);
	s.dedupe = DEDUPE_NONE;
	(void)dedupe_key(&s, &all, &basis);
	assert_int_equal(basis, DEDUPE_BY_NOTHING);
}

static void
a_row_is_a_composite_value_of_typed_fields(void **state)
{
	struct arena a = { 0 };
	struct interaction i = read_one("{\"channel\":\"call\",\"amount\":1234.5}", &a);
	static const unsigned char amount[] = { 0, 0, 0, 12, 0, 2, 0, 0, 0, 0, 0, 4,
	    0x04, 0xd2, 0x13, 0x88 };	/* 1234 5000 */
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	row_encode(&i, &b);
	assert_true(buf_ok(&b));
	/* 21 fields; the id first: type 2950, 16 bytes. */
	assert_memory_equal(b.p, "\0\0\0\x15\0\0\x0b\x86\0\0\0\x10", 12);
	assert_memory_equal(b.p + 12, i.id.b, UUID_BYTES);
	/* The attributes last: type 3802, "{}" behind the version of jsonb. */
	assert_memory_equal(b.p + b.n - 11, "\0\0\x0e\xda\0\0\0\3\1{}", 11);
	assert_non_null(memmem(b.p, b.n, amount, sizeof(amount)));
	buf_fini(&b);
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_land_under_their_names_and_the_rest_in_attributes),
		cmocka_unit_test(what_does_not_fit_is_refused_with_the_name_of_its_column),
		cmocka_unit_test(mentions_stand_in_look_up_order_without_junk_and_twins),
		cmocka_unit_test(participants_are_parties_of_their_own_and_one_without_identity_is_none),
		cmocka_unit_test(words_for_people_are_cut_and_names_of_things_are_not),
		cmocka_unit_test(a_time_far_ahead_is_replaced_and_kept_in_attributes),
		cmocka_unit_test(keys_are_made_of_the_best_fact_there_is),
		cmocka_unit_test(a_row_is_a_composite_value_of_typed_fields),
	};

	return cmocka_run_group_tests(tests, NULL, free_documents);
}
