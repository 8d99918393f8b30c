/* SPDX-License-Identifier: Apache-2.0 */
/* Records as rows of the spool: what goes in comes out, and no damage goes further. */
#include "flow/record_pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow/record.h"
#include "io/spool.h"
#include "model/source.h"

enum { HEAD_BYTES = 13 };

static struct buf row, identities;

static int
clean(void **state)
{
	(void)state;
	buf_fini(&row);
	buf_fini(&identities);
	return 0;
}

/* ---- a record to try ---- */

static const struct source source = {
	.name = STR("shop"), .is_strong = true, .profile = PROFILE_TRUSTED,
};

static struct mention buyer_mentions[] = {
	{ STR("external:shop"), STR("4711"), STR_NONE, STR_NONE, IDENTITY_EXTERNAL, true },
	{ STR("phone"), STR("+5215512345678"), STR("+525512345678"), STR("55 1234 5678"),
	    IDENTITY_PHONE, false },
};

static struct mention cc_mentions[] = {
	{ STR("email"), STR("o'\"neil\\@example.com"), STR_NONE, STR_NONE, IDENTITY_EMAIL, true },
};

static struct party parties[] = {
	{ STR_NONE, buyer_mentions, 2, STR("{\"name\":\"Ann\"}") },
	{ STR("cc"), cc_mentions, 1, STR_NONE },
};

static struct interaction
order(void)
{
	struct interaction i = { .source = &source, .until_day = 9876, .parties = parties,
	    .nparties = 2, .has_customer = true, .attributes = STR("{}"),
	    .payload = STR("{\"id\":1}"), .raw = STR("{\"id\":1} \n"),
	    .content_type = STR("application/json") };

	i.id = uuid_v7();
	i.key = uuid_v7();
	i.text[COL_KIND] = STR("purchase");
	return i;
}

static struct record *
made(const struct interaction *i)
{
	struct record *e = record_new(i);

	assert_non_null(e);
	return e;
}

static struct spool_item
packed(const struct record *e)
{
	struct spool_item item;

	assert_true(record_pack(e, &row, &identities, &item));
	item.seq = 7;
	return item;
}

static struct record *
unpacked(const struct spool_item *item)
{
	struct record *e = NULL;
	struct err err;

	if (!record_unpack(item, &e, &err))
		fail_msg("%s", err.text);
	return e;
}

static void
assert_same(struct str a, struct str b)
{
	assert_int_equal(a.p == NULL, b.p == NULL);
	assert_int_equal(a.n, b.n);
	if (a.n > 0)
		assert_memory_equal(a.p, b.p, a.n);
}

static void
assert_same_mention(const struct mention *a, const struct mention *b)
{
	assert_same(a->kind, b->kind);
	assert_same(a->value, b->value);
	assert_same(a->alt, b->alt);
	assert_same(a->raw, b->raw);
	assert_int_equal(a->rank, b->rank);
	assert_int_equal(a->is_strong_kind, b->is_strong_kind);
}

static void
assert_same_parties(const struct record *a, const struct record *b)
{
	assert_int_equal(a->nparties, b->nparties);
	assert_int_equal(a->nmentions, b->nmentions);
	for (size_t i = 0; i < a->nparties; i++) {
		assert_same(a->parties[i].role, b->parties[i].role);
		assert_same(a->parties[i].profile, b->parties[i].profile);
		assert_int_equal(a->parties[i].nmentions, b->parties[i].nmentions);
		for (size_t k = 0; k < a->parties[i].nmentions; k++)
			assert_same_mention(&a->parties[i].mentions[k], &b->parties[i].mentions[k]);
	}
}

static void
assert_same_record(const struct record *a, const struct record *b)
{
	assert_memory_equal(&a->id, &b->id, sizeof(a->id));
	assert_memory_equal(&a->key, &b->key, sizeof(a->key));
	assert_int_equal(a->until_day, b->until_day);
	assert_int_equal(a->is_trusted, b->is_trusted);
	assert_int_equal(a->profile_is_trusted, b->profile_is_trusted);
	assert_int_equal(a->has_customer, b->has_customer);
	assert_int_equal(a->is_parking, b->is_parking);
	assert_same(a->source, b->source);
	assert_same((struct str){ a->row, a->row_len }, (struct str){ b->row, b->row_len });
	assert_same(a->payload, b->payload);
	assert_same(a->raw, b->raw);
	assert_same(a->content_type, b->content_type);
	assert_string_equal(a->reason, b->reason);
	assert_string_equal(a->sqlstate, b->sqlstate);
	assert_same_parties(a, b);
}

/* ---- in and out ---- */

static void
an_event_comes_out_as_it_went_in_with_the_number_of_its_row(void **state)
{
	struct interaction i = order();
	struct record *in = made(&i), *out;
	struct spool_item item = packed(in);

	(void)state;
	out = unpacked(&item);
	assert_same_record(in, out);
	assert_int_equal(out->seq, 7);
	assert_null(out->receipt);
	record_free(in);
	record_free(out);
}

static void
what_comes_out_owns_its_bytes(void **state)
{
	struct interaction i = order();
	struct record *in = made(&i), *out;
	struct spool_item item = packed(in);

	(void)state;
	out = unpacked(&item);
	memset(row.p, 'x', row.n);
	assert_same_record(in, out);
	record_free(in);
	record_free(out);
}

static void
a_payload_that_is_the_raw_bytes_is_kept_once(void **state)
{
	struct interaction i = order();
	struct record *in, *out;
	struct spool_item item;
	size_t whole;

	(void)state;
	i.raw = i.payload;
	in = made(&i);
	item = packed(in);
	whole = item.row.n;
	out = unpacked(&item);
	assert_same_record(in, out);
	assert_ptr_equal(out->payload.p, out->raw.p);
	in->payload = STR_NONE;
	item = packed(in);
	assert_int_equal(item.row.n, whole);
	record_free(out);
	out = unpacked(&item);
	assert_null(out->payload.p);
	record_free(in);
	record_free(out);
}

static void
an_event_without_parties_payload_or_end_of_its_key_comes_out_so(void **state)
{
	struct interaction i = order();
	struct record *in, *out;
	struct spool_item item;

	(void)state;
	i.nparties = 0;
	i.has_customer = false;
	i.payload = i.content_type = STR_NONE;
	i.until_day = UNTIL_NEVER;
	in = made(&i);
	item = packed(in);
	assert_same(item.identities, STR("[]"));
	out = unpacked(&item);
	assert_same_record(in, out);
	record_free(in);
	record_free(out);
}

static void
a_parking_comes_out_as_it_went_in(void **state)
{
	const struct parking p = { .id = uuid_v7(), .key = uuid_v7(), .source = STR("shop"),
	    .raw = STR("\0\xff raw"), .content_type = STR("text/plain"), .reason = STR("why") };
	struct record *in = record_new_parking(&p), *out;
	struct spool_item item;

	(void)state;
	assert_non_null(in);
	item = packed(in);
	assert_true(item.is_parking);
	out = unpacked(&item);
	assert_same_record(in, out);
	record_free(in);
	record_free(out);
}

static void
an_event_that_postgresql_refused_comes_out_as_a_parking_with_the_reason(void **state)
{
	struct interaction i = order();
	struct record *in = made(&i), *out;
	struct spool_item item;

	(void)state;
	in->is_parking = true;
	record_set_reason(in, STR("step=append: out of range"));
	memcpy(in->sqlstate, "22003", sizeof("22003"));
	item = packed(in);
	/* Who is in it has to be found, to be forgotten. */
	assert_true(item.identities.n > 2);
	out = unpacked(&item);
	assert_true(out->is_parking);
	assert_null(out->row);
	assert_int_equal(out->nparties, 0);
	assert_same(out->raw, in->raw);
	assert_same(out->content_type, in->content_type);
	assert_string_equal(out->reason, "step=append: out of range");
	assert_string_equal(out->sqlstate, "22003");
	record_free(in);
	record_free(out);
}

static void
identities_are_json_pairs_of_kind_and_value_in_every_spelling(void **state)
{
	struct interaction i = order();
	struct record *in = made(&i);
	struct spool_item item = packed(in);

	(void)state;
	assert_same(item.identities, STR("[[\"external:shop\",\"4711\"],"
	    "[\"phone\",\"+5215512345678\"],[\"phone\",\"+525512345678\"],"
	    "[\"email\",\"o'\\\"neil\\\\@example.com\"]]"));
	record_free(in);
}

/* ---- damage ---- */

/* Bytes of exactly this length, so that a read behind them is seen. */
static void
assert_refused(struct spool_item item, const char *p, size_t n)
{
	struct record *e = NULL;
	char *copy = malloc(n > 0 ? n : 1);
	struct err err;

	assert_non_null(copy);
	memcpy(copy, p, n);
	item.row = (struct str){ copy, n };
	assert_false(record_unpack(&item, &e, &err));
	assert_int_equal(err.kind, ERR_INPUT);
	assert_null(e);
	free(copy);
}

static void
a_row_that_is_cut_anywhere_is_refused(void **state)
{
	struct interaction i = order();
	struct record *in = made(&i);
	struct spool_item item = packed(in);

	(void)state;
	for (size_t n = 0; n < item.row.n; n++)
		assert_refused(item, item.row.p, n);
	record_free(in);
}

static void
a_row_that_is_longer_than_what_it_holds_is_refused(void **state)
{
	struct interaction i = order();
	struct record *in = made(&i);
	struct spool_item item = packed(in);

	(void)state;
	buf_add(&row, "", 1);
	assert_refused(item, row.p, row.n);
	record_free(in);
}

/* Any byte may be any other: what is read then is another record, or none; but every
 * text of it lies within its own block (the sanitizers look). */
static void
a_row_with_any_byte_changed_is_read_within_its_bounds(void **state)
{
	static const unsigned char flips[] = { 0x01, 0x80, 0xff };
	struct interaction i = order();
	struct record *in = made(&i);
	struct spool_item item = packed(in);

	(void)state;
	for (size_t at = 0; at < row.n; at++)
		for (size_t k = 0; k < sizeof(flips); k++) {
			struct record *e = NULL;
			struct err err;

			row.p[at] = (char)((unsigned char)row.p[at] ^ flips[k]);
			if (record_unpack(&item, &e, &err)) {
				struct buf again = { .max = 1 << 20 }, who = { .max = 1 << 20 };
				struct spool_item copy;

				assert_true(record_pack(e, &again, &who, &copy));
				assert_same(copy.row, item.row);
				buf_fini(&again);
				buf_fini(&who);
			}
			record_free(e);
			row.p[at] = (char)((unsigned char)row.p[at] ^ flips[k]);
		}
	record_free(in);
}

static void
counts_that_the_bytes_cannot_hold_claim_no_memory(void **state)
{
	struct interaction i = order();
	struct record *in = made(&i);
	struct spool_item item = packed(in);

	(void)state;
	for (size_t at = 5; at < HEAD_BYTES; at += 4) {
		char was[4];

		memcpy(was, row.p + at, 4);
		memset(row.p + at, 0xff, 4);
		assert_refused(item, row.p, row.n);
		memcpy(row.p + at, was, 4);
	}
	record_free(in);
}

static void
a_row_of_another_version_is_refused_and_says_so(void **state)
{
	struct interaction i = order();
	struct record *in = made(&i), *e = NULL;
	struct spool_item item = packed(in);
	struct err err;

	(void)state;
	item.format = RECORD_FORMAT + 1;
	assert_false(record_unpack(&item, &e, &err));
	assert_int_equal(err.kind, ERR_INPUT);
	assert_non_null(strstr(err.text, "another version"));
	record_free(in);
}

static void
a_row_whose_kind_is_not_that_of_its_bytes_is_refused(void **state)
{
	struct interaction i = order();
	struct record *in = made(&i);
	struct spool_item item = packed(in);

	(void)state;
	item.is_parking = true;
	assert_refused(item, row.p, row.n);
	item.is_parking = false;
	item.source = STR_NONE;
	assert_refused(item, row.p, row.n);
	record_free(in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_comes_out_as_it_went_in_with_the_number_of_its_row),
		cmocka_unit_test(what_comes_out_owns_its_bytes),
		cmocka_unit_test(a_payload_that_is_the_raw_bytes_is_kept_once),
		cmocka_unit_test(an_event_without_parties_payload_or_end_of_its_key_comes_out_so),
		cmocka_unit_test(a_parking_comes_out_as_it_went_in),
		cmocka_unit_test(an_event_that_postgresql_refused_comes_out_as_a_parking_with_the_reason),
		cmocka_unit_test(identities_are_json_pairs_of_kind_and_value_in_every_spelling),
		cmocka_unit_test(a_row_that_is_cut_anywhere_is_refused),
		cmocka_unit_test(a_row_that_is_longer_than_what_it_holds_is_refused),
		cmocka_unit_test(a_row_with_any_byte_changed_is_read_within_its_bounds),
		cmocka_unit_test(counts_that_the_bytes_cannot_hold_claim_no_memory),
		cmocka_unit_test(a_row_of_another_version_is_refused_and_says_so),
		cmocka_unit_test(a_row_whose_kind_is_not_that_of_its_bytes_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
