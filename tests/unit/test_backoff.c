/* SPDX-License-Identifier: Apache-2.0 */
/* When a delivery that failed is tried again. */
#include "flow/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { HOUR_MS = 3600 * 1000 };

static void
the_wait_doubles_from_a_second_up_to_an_hour(void **state)
{
	(void)state;
	for (int nth = 1; nth <= 12; nth++)
		assert_int_equal(backoff_ms(nth, 0), 500 << (nth - 1));
	assert_int_equal(backoff_ms(13, 0), HOUR_MS / 2);
	assert_int_equal(backoff_ms(1000000, 0), HOUR_MS / 2);
	assert_int_equal(backoff_ms(0, 0), 500);
}

static void
chance_adds_as_much_as_the_wait_and_no_more(void **state)
{
	(void)state;
	for (int nth = 1; nth <= BACKOFF_TRIES; nth++) {
		int64_t least = backoff_ms(nth, 0), full = nth > 12 ? HOUR_MS : 1000 << (nth - 1);

		assert_int_equal(backoff_ms(nth, (uint32_t)full), least + full);
		for (uint32_t r = 0; r < 100000000; r += 99999) {
			int64_t ms = backoff_ms(nth, r);

			assert_true(ms >= least && ms <= least + full);
		}
	}
}

static void
all_tries_together_last_about_a_day(void **state)
{
	int64_t least = 0, most = 0;

	(void)state;
	for (int nth = 1; nth < BACKOFF_TRIES; nth++) {
		least += backoff_ms(nth, 0);
		most += backoff_ms(nth, nth > 12 ? HOUR_MS : 1000U << (nth - 1));
	}
	assert_in_range((least + most) / 2 / HOUR_MS, 22, 26);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wait_doubles_from_a_second_up_to_an_hour),
		cmocka_unit_test(chance_adds_as_much_as_the_wait_and_no_more),
		cmocka_unit_test(all_tries_together_last_about_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
