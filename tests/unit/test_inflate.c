/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed bodies: what is taken, what is refused, and what a bomb costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/clock.h"
#include "io/inflate.h"

enum { GZIP = 15 + 16, ZLIB = 15, RAW = -15 };

/* n bytes that repeat every 251, in the wrapping asked for, behind what out holds. */
static void
pack(struct buf *out, int wrapping, size_t n)
{
	unsigned char piece[251 * 64], packed[16384];
	z_stream z = { .next_in = piece };

	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = (unsigned char)(i % 251);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, wrapping, 8, Z_DEFAULT_STRATEGY), Z_OK);
	for (int rc = Z_OK; rc != Z_STREAM_END; n -= n < sizeof(piece) ? n : sizeof(piece)) {
		z.next_in = piece;
		z.avail_in = (uInt)(n < sizeof(piece) ? n : sizeof(piece));
		do {
			z.next_out = packed;
			z.avail_out = sizeof(packed);
			rc = deflate(&z, n <= sizeof(piece) ? Z_FINISH : Z_NO_FLUSH);
			buf_add(out, packed, sizeof(packed) - z.avail_out);
		} while (z.avail_out == 0);
	}
	(void)deflateEnd(&z);
	assert_true(buf_ok(out));
}

static enum inflate_result
inflated(struct str in, enum inflate_coding coding, size_t max_bytes, struct buf *out)
{
	struct err err = { 0 };
	/* A copy of its own, so that reading past its end is seen. */
	char *copy = malloc(in.n + (in.n == 0));
	enum inflate_result result;

	assert_non_null(copy);
	memcpy(copy, in.p, in.n);
	result = inflate_body((struct str){ copy, in.n }, coding, max_bytes, out, &err);
	free(copy);
	assert_int_equal(err.kind, result == INFLATE_DONE ? 0 : ERR_INPUT);
	assert_true(out->n <= max_bytes && out->room <= max_bytes);
	return result;
}

static void
assert_inflates(const struct buf *in, enum inflate_coding coding, size_t n)
{
	struct buf out;

	assert_int_equal(inflated(buf_str(in), coding, n, &out), INFLATE_DONE);
	assert_int_equal(out.n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal((unsigned char)out.p[i], i % 251);
	buf_fini(&out);
}

static void
assert_refused(struct str in, enum inflate_coding coding, size_t max_bytes,
    enum inflate_result want)
{
	struct buf out;

	assert_int_equal(inflated(in, coding, max_bytes, &out), want);
	buf_fini(&out);
}

static const size_t sizes[] = { 0, 1, 250, 16383, 16384, 16385, 32768, 1000000 };
enum { NSIZES = sizeof(sizes) / sizeof(sizes[0]) };

static const struct { int wrapping; enum inflate_coding coding; } kinds[] = {
	{ GZIP, INFLATE_GZIP }, { ZLIB, INFLATE_DEFLATE }, { RAW, INFLATE_DEFLATE },
};

static void
gzip_zlib_and_bare_deflate_come_out_as_they_went_in(void **state)
{
	(void)state;
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < NSIZES; i++) {
			struct buf in;

			buf_init(&in, 1 << 20);
			pack(&in, kinds[k].wrapping, sizes[i]);
			assert_inflates(&in, kinds[k].coding, sizes[i]);
			buf_fini(&in);
		}
}

static void
a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_too_large(void **state)
{
	(void)state;
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 1; i < NSIZES; i++) {
			struct buf in;

			buf_init(&in, 1 << 20);
			pack(&in, kinds[k].wrapping, sizes[i]);
			assert_refused(buf_str(&in), kinds[k].coding, sizes[i] - 1,
			    INFLATE_TOO_LARGE);
			assert_refused(buf_str(&in), kinds[k].coding, 0, INFLATE_TOO_LARGE);
			buf_fini(&in);
		}
}

static void
gzip_members_are_joined_and_limited_together(void **state)
{
	struct buf in, out;

	(void)state;
	buf_init(&in, 1 << 20);
	pack(&in, GZIP, 251 * 100);
	pack(&in, GZIP, 0);
	pack(&in, GZIP, 251 * 200);
	assert_inflates(&in, INFLATE_GZIP, 251 * 300);
	assert_int_equal(inflated(buf_str(&in), INFLATE_GZIP, 251 * 300 - 1, &out),
	    INFLATE_TOO_LARGE);
	buf_fini(&out);
	buf_fini(&in);
}

static void
a_body_cut_at_any_byte_is_damaged(void **state)
{
	(void)state;
	for (size_t k = 0; k < 3; k++) {
		struct buf in;

		buf_init(&in, 1 << 20);
		pack(&in, kinds[k].wrapping, 1000);
		for (size_t n = 0; n < in.n; n++)
			assert_refused((struct str){ in.p, n }, kinds[k].coding, 1000,
			    INFLATE_DAMAGED);
		buf_fini(&in);
	}
}

/* The check sums see what the grammar does not; bare deflate has none.  A few bits mean
 * nothing, such as those between the last code and the sum. */
static void
a_flipped_bit_is_damage_or_changes_nothing(void **state)
{
	size_t nharmless = 0;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct buf in;

		buf_init(&in, 1 << 20);
		pack(&in, kinds[k].wrapping, 1000);
		/* Of gzip's header hardly a bit matters; a zlib header may become none. */
		for (size_t bit = k == 0 ? 80 : 16; bit < in.n * 8; bit++) {
			struct buf out;

			in.p[bit / 8] = (char)(in.p[bit / 8] ^ 1 << bit % 8);
			if (inflated(buf_str(&in), kinds[k].coding, 1000, &out) == INFLATE_DONE) {
				assert_inflates(&in, kinds[k].coding, 1000);
				nharmless++;
			}
			buf_fini(&out);
			in.p[bit / 8] = (char)(in.p[bit / 8] ^ 1 << bit % 8);
		}
		buf_fini(&in);
	}
	assert_true(nharmless < 40);
}

static void
what_follows_the_end_is_damage(void **state)
{
	static const struct str tails[] = {
		{ "x", 1 }, { "\0", 1 }, { "\x1f", 1 }, { "\x1f\x8b", 2 }, { "{}", 2 },
	};

	(void)state;
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
			struct buf in;

			buf_init(&in, 1 << 20);
			pack(&in, kinds[k].wrapping, 1000);
			buf_str_add(&in, tails[i]);
			assert_refused(buf_str(&in), kinds[k].coding, 1000, INFLATE_DAMAGED);
			assert_refused(buf_str(&in), kinds[k].coding, 100000, INFLATE_DAMAGED);
			buf_fini(&in);
		}
}

static void
what_is_not_that_coding_is_damaged(void **state)
{
	static const struct str bodies[] = {
		{ "", 0 }, { "{\"a\":1}", 7 }, { "\x1f\x8b", 2 }, { "\xff\xff\xff\xff", 4 },
		{ "x", 1 }, { "\x78\xbb", 2 },		/* zlib with a dictionary */
		{ "\x78\xbb\0\0\0\1zzz", 9 },
	};
	struct buf in;

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		assert_refused(bodies[i], INFLATE_GZIP, 100, INFLATE_DAMAGED);
		assert_refused(bodies[i], INFLATE_DEFLATE, 100, INFLATE_DAMAGED);
	}
	buf_init(&in, 1 << 20);
	pack(&in, ZLIB, 1000);
	assert_refused(buf_str(&in), INFLATE_GZIP, 1000, INFLATE_DAMAGED);
	buf_clear(&in);
	pack(&in, GZIP, 1000);
	assert_refused(buf_str(&in), INFLATE_DEFLATE, 1000, INFLATE_DAMAGED);
	buf_fini(&in);
}

/* Two bombs: much out of little, and little out of much. */
static void
a_bomb_costs_no_more_than_its_limit(void **state)
{
	struct buf in, out;
	int64_t from_us;

	(void)state;
	buf_init(&in, 4 << 20);
	pack(&in, GZIP, (size_t)32 << 20);
	assert_true(in.n < 1 << 21);
	assert_int_equal(inflated(buf_str(&in), INFLATE_GZIP, 1 << 20, &out), INFLATE_TOO_LARGE);
	assert_true(out.room <= 1 << 20);
	buf_fini(&out);
	buf_clear(&in);
	while (in.n < 1 << 20)
		pack(&in, GZIP, 0);
	from_us = clock_mono_us();
	assert_int_equal(inflated(buf_str(&in), INFLATE_GZIP, 1 << 20, &out), INFLATE_DONE);
	assert_int_equal(out.n, 0);
	assert_true(clock_mono_us() - from_us < 5000000);
	buf_fini(&out);
	buf_fini(&in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gzip_zlib_and_bare_deflate_come_out_as_they_went_in),
		cmocka_unit_test(
		    a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_too_large),
		cmocka_unit_test(gzip_members_are_joined_and_limited_together),
		cmocka_unit_test(a_body_cut_at_any_byte_is_damaged),
		cmocka_unit_test(a_flipped_bit_is_damage_or_changes_nothing),
		cmocka_unit_test(what_follows_the_end_is_damage),
		cmocka_unit_test(what_is_not_that_coding_is_damaged),
		cmocka_unit_test(a_bomb_costs_no_more_than_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
