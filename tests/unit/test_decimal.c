/* SPDX-License-Identifier: Apache-2.0 */
/* Amounts: what is read, and to which ten-thousandth. */
#include "model/decimal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void
an_amount_is_read_exactly(void **state)
{
	static const struct { const char *text; int64_t e4; } rows[] = {
		{ "0", 0 },
		{ "-0", 0 },
		{ "12", 120000 },
		{ "+12", 120000 },
		{ " 12 ", 120000 },
		{ "-0.5", -5000 },
		{ "19.95", 199500 },
		{ "0.1", 1000 },		/* no double has it */
		{ ".5", 5000 },
		{ "5.", 50000 },
		{ "007", 70000 },
		{ "1.5e2", 1500000 },
		{ "1.5E+2", 1500000 },
		{ "15e-1", 15000 },
		{ "1e-4", 1 },
		{ "123456e-10", 0 },
		{ "0e99999999999999999999", 0 },
		{ "1e-99999999999999999999", 0 },
		{ "99999999999999.9999", INT64_C(999999999999999999) },
		{ "-99999999999999.9999", INT64_C(-999999999999999999) },
		{ "0.000000000000000000000000099999e24", 1000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t e4 = -7;

		print_message("%s\n", rows[i].text);
		assert_true(decimal_parse(str_of(rows[i].text), &e4));
		assert_int_equal(e4, rows[i].e4);
	}
}

static void
a_fifth_decimal_rounds_half_away_from_zero(void **state)
{
	static const struct { const char *text; int64_t e4; } rows[] = {
		{ "1.00004", 10000 },
		{ "1.000049999", 10000 },
		{ "1.00005", 10001 },
		{ "-1.00005", -10001 },
		{ "0.99995", 10000 },
		{ "0.00005", 1 },
		{ "0.000049", 0 },
		{ "5e-5", 1 },
		{ "9e-6", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t e4 = -7;

		print_message("%s\n", rows[i].text);
		assert_true(decimal_parse(str_of(rows[i].text), &e4));
		assert_int_equal(e4, rows[i].e4);
	}
}

static void
what_is_no_number_or_too_large_is_refused(void **state)
{
	static const char *const rows[] = { "", " ", "-", ".", "-.", "e5", "1e", "1e+", "1e5.0",
	    "NaN", "Infinity", "0x10", "1,5", "1 000", "12 EUR", "--1", "+-1", "1.2.3", "\x0e""5",
	    "100000000000000", "99999999999999.99995", "1e14", "1e99999999999999999999", NULL };

	(void)state;
	for (size_t i = 0; rows[i] != NULL; i++) {
		int64_t e4 = -7;

		print_message("%s\n", rows[i]);
		assert_false(decimal_parse(str_of(rows[i]), &e4));
		assert_int_equal(e4, -7);
	}
	assert_false(decimal_parse(STR_NONE, &(int64_t){ 0 }));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_amount_is_read_exactly),
		cmocka_unit_test(a_fifth_decimal_rounds_half_away_from_zero),
		cmocka_unit_test(what_is_no_number_or_too_large_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
