/* SPDX-License-Identifier: Apache-2.0 */
/* Units, into seconds and amounts. */
#include "model/unit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void
numbers_are_converted_exactly(void **state)
{
	static const struct { enum unit unit; const char *currency, *from, *to; } rows[] = {
		{ UNIT_MS, "", "1250", "1.25" }, { UNIT_MS, "", "0", "0" }, { UNIT_MS, "", "-1", "-0.001" },
		{ UNIT_MS, "", " 1764003600123 ", "1764003600.123" }, { UNIT_MS, "", "0.5", "0.0005" },
		{ UNIT_US, "", "1764003600123456", "1764003600.123456" }, { UNIT_US, "", "+7", "0.000007" },
		{ UNIT_MIN, "", "3", "180" }, { UNIT_MIN, "", "0.25", "15" }, { UNIT_MIN, "", "1e2", "6000" },
		{ UNIT_CLOCK, "", "1:02:03", "3723" }, { UNIT_CLOCK, "", " 02:03.50 ", "123.5" },
		{ UNIT_CLOCK, "", "7", "7" }, { UNIT_CLOCK, "", "00:00:00", "0" },
		{ UNIT_CLOCK, "", "100:00:00", "360000" }, { UNIT_CLOCK, "", "", NULL },
		{ UNIT_CLOCK, "", "1:", NULL }, { UNIT_CLOCK, "", ":1", NULL },
		{ UNIT_CLOCK, "", "1:-2", NULL }, { UNIT_CLOCK, "", "-1:02", NULL },
		{ UNIT_CLOCK, "", "1:2:x", NULL }, { UNIT_CLOCK, "", "1:2e30", NULL },
		{ UNIT_CLOCK, "", "999999:9:9:9:9:9:9:9:9:9", NULL },
		{ UNIT_CENTS, "EUR", "1999", "19.99" }, { UNIT_CENTS, "", "-5", "-0.05" },
		{ UNIT_CENTS, "jpy", "1999", "1999" }, { UNIT_CENTS, "BHD", "1999", "1.999" },
		{ UNIT_CENTS, "CLF", "1", "0.0001" }, { UNIT_CENTS, "XXX", "100", "1" },
		{ UNIT_CENTS, "EUR", "1.5e3", "15" }, { UNIT_CENTS, "EUR", "15E-1", "0.015" },
		{ UNIT_MS, "", "999999999999999999", "999999999999999.999" },
		{ UNIT_MS, "", "0.12345678901234567890123", "0.000123456789012345" },
		{ UNIT_CENTS, "JPY", "-0", "0" },
		{ UNIT_MS, "", "1000000000000000000", NULL }, { UNIT_MS, "", "", NULL },
		{ UNIT_MS, "", "x", NULL }, { UNIT_MS, "", "1.", NULL }, { UNIT_MS, "", ".5", NULL },
		{ UNIT_MS, "", "1 2", NULL }, { UNIT_MS, "", "1e", NULL }, { UNIT_MS, "", "1e99", NULL },
		{ UNIT_MS, "", "1e-40", "0" },
		{ UNIT_MIN, "", "999999999999999999", NULL }, { UNIT_MS, "", "12e40", NULL },
		{ UNIT_MS, "", "0x10", NULL }, { UNIT_MS, "", "--1", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char room[UNIT_TEXT_BYTES];
		struct str s = STR_NONE;
		bool is_read = unit_convert(rows[i].unit, str_of(rows[i].currency),
		    str_of(rows[i].from), room, &s);

		print_message("%s %s\n", rows[i].from, unit_names[rows[i].unit]);
		assert_int_equal(is_read, rows[i].to != NULL);
		if (is_read && !str_eq(s, str_of(rows[i].to)))
			fail_msg("is %.*s, not %s", STR_ARG(s), rows[i].to);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_converted_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
