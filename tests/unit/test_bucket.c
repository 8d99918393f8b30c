/* SPDX-License-Identifier: Apache-2.0 */
/* The token bucket, by a clock that the tests set. */
#include "base/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"

enum { SECOND_US = 1000000 };

static int64_t now_us;
static int64_t wait_s;

static void
pass_us(int64_t us)
{
	now_us += us;
	clock_set_us(now_us);
}

static int
begin(void **state)
{
	(void)state;
	now_us = 1000 * (int64_t)SECOND_US;
	clock_set_us(now_us);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	clock_set_us(-1);
	return 0;
}

static void
one_seconds_worth_passes_at_once_and_then_as_much_as_time_brings(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b);
	for (int i = 0; i < 10; i++)
		assert_true(bucket_take(&b, 10, 1, &wait_s));
	assert_false(bucket_take(&b, 10, 1, &wait_s));
	pass_us(SECOND_US / 10);
	assert_true(bucket_take(&b, 10, 1, &wait_s));
	assert_false(bucket_take(&b, 10, 1, &wait_s));
	pass_us(60 * (int64_t)SECOND_US);
	assert_true(bucket_take(&b, 10, 10, &wait_s));
	assert_false(bucket_take(&b, 10, 1, &wait_s));
}

static void
what_is_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_back(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b);
	assert_true(bucket_take(&b, 10, 45, &wait_s));
	assert_false(bucket_take(&b, 10, 1, &wait_s));
	pass_us(3 * (int64_t)SECOND_US);
	assert_false(bucket_take(&b, 10, 1, &wait_s));
	pass_us(SECOND_US);
	assert_true(bucket_take(&b, 10, 5, &wait_s));
	assert_false(bucket_take(&b, 10, 45, &wait_s));
	pass_us(SECOND_US);
	assert_true(bucket_take(&b, 10, 45, &wait_s));
}

static void
the_time_to_wait_is_that_after_which_it_passes_and_a_refusal_takes_nothing(void **state)
{
	static const struct { uint64_t first, n; int64_t rate, wait_s; } rows[] = {
		{ 10, 1, 10, 1 }, { 10, 10, 10, 1 }, { 35, 1, 10, 3 }, { 35, 10, 10, 4 },
		{ 35, 1000, 10, 4 }, { 1, 1, 1, 1 }, { 100000, 1, 1, 100000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bucket b;

		bucket_init(&b);
		assert_true(bucket_take(&b, rows[i].rate, rows[i].first, &wait_s));
		for (int again = 0; again < 3; again++) {
			assert_false(bucket_take(&b, rows[i].rate, rows[i].n, &wait_s));
			assert_int_equal(wait_s, rows[i].wait_s);
		}
		pass_us(wait_s * SECOND_US);
		assert_true(bucket_take(&b, rows[i].rate, rows[i].n, &wait_s));
	}
}

static void
a_rate_that_was_lowered_holds_from_then_on(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b);
	assert_true(bucket_take(&b, 1000, 1, &wait_s));
	assert_true(bucket_take(&b, 5, 5, &wait_s));
	assert_false(bucket_take(&b, 5, 1, &wait_s));
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_seconds_worth_passes_at_once_and_then_as_much_as_time_brings),
		TEST(what_is_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_back),
		TEST(the_time_to_wait_is_that_after_which_it_passes_and_a_refusal_takes_nothing),
		TEST(a_rate_that_was_lowered_holds_from_then_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
