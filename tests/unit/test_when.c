/* SPDX-License-Identifier: Apache-2.0 */
/* Times and time spans, as senders write them. */
#include "model/when.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define S	INT64_C(1000000)	/* a second, in us */

static void
a_time_is_read_in_each_of_its_forms(void **state)
{
	static const struct { const char *text; int64_t us; } rows[] = {
		/* RFC 3339 */
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-11-24T18:00:00Z", 1795543200 * S },
		{ "2026-11-24T18:00:00+01:00", 1795539600 * S },
		{ "2026-11-24t18:00:00z", 1795543200 * S },
		{ "2026-11-24 18:00:00Z", 1795543200 * S },
		{ "2026-11-24 18:00:00+01", 1795539600 * S },
		{ "2026-11-24T18:00:00+0100", 1795539600 * S },
		{ "  2026-11-24T18:00:00Z\n", 1795543200 * S },
		{ "2026-11-24T18:00:00.5Z", 1795543200 * S + 500000 },
		{ "2026-11-24T18:00:00.123456789Z", 1795543200 * S + 123456 },
		{ "2026-11-24T18:00:00-00:00", 1795543200 * S },
		{ "2026-11-24T18:00:00+23:59", (1795543200 - 86340) * S },
		{ "2026-11-24T18:00:00-23:59", (1795543200 + 86340) * S },
		{ "2016-12-31T23:59:60Z", 1483228800 * S },	/* a leap second */
		{ "2024-02-29T00:00:00Z", 1709164800 * S },
		{ "2000-02-29T12:00:00Z", 951825600 * S },
		{ "1969-12-31T23:59:59.25Z", -750000 },
		{ "1900-01-01T00:00:00Z", -2208988800 * S },
		{ "9999-12-31T23:59:59.999999Z", 253402300800 * S - 1 },
		/* epochs */
		{ "0", 0 },
		{ "1795543200", 1795543200 * S },
		{ "1521472262.908181", 1521472262908181 },	/* Mailgun's */
		{ "2026", 2026 * S },		/* no year, but 33 minutes */
		{ "-86400", -86400 * S },
		{ "-0.5", -500000 },
		{ "99999999999", 99999999999 * S },
		{ "100000000000", 100000000 * S },		/* from here on milliseconds */
		{ "1795543200123", 1795543200123000 },
		{ "1795543200123.4", 1795543200123400 },
		{ "-2208988800000", -2208988800 * S },
		/* RFC 5322 */
		{ "Tue, 24 Nov 2026 18:00:00 +0100", 1795539600 * S },
		{ "24 Nov 2026 18:00:00 +0100", 1795539600 * S },
		{ "24 Nov 2026 18:00 +0100", 1795539600 * S },
		{ "tue, 24 nov 2026 18:00:00 gmt", 1795543200 * S },
		{ "Tue,24 Nov 2026 18:00:00 UT", 1795543200 * S },
		{ "Tue, 24 Nov 2026 18:00:00 EST", (1795543200 + 5 * 3600) * S },
		{ "Tue, 24 Nov 2026 18:00:00 PDT", (1795543200 + 7 * 3600) * S },
		{ "Tue, 24 Nov 2026 18:00:00 +0100 (CET)", 1795539600 * S },
		{ "Tue (a (nested\\)) one), 24 Nov(ember)2026 18:00:00 +0100", 1795539600 * S },
		{ "Tue,\r\n 24 Nov 2026\r\n\t18:00:00 -0000", 1795543200 * S },
		{ "Wed, 24 Nov 2026 18:00:00 Z", 1795543200 * S },	/* it is a Tuesday */
		{ "1 Jan 70 00:00:00 GMT", 0 },
		{ "24 Nov 26 18:00:00 GMT", 1795543200 * S },
		{ "1 Jan 100 00:00:00 GMT", 946684800 * S },
		{ "31 Dec 2016 23:59:60 GMT", 1483228800 * S },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t us = -7;

		print_message("%s\n", rows[i].text);
		assert_true(when_parse(str_of(rows[i].text), &us));
		assert_int_equal(us, rows[i].us);
	}
}

static void
every_day_from_1900_to_9999_has_its_number(void **state)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t want = -2208988800 * S, us;
	char text[32];

	(void)state;
	for (int y = 1900; y <= 9999; y++)
		for (int m = 1; m <= 12; m++) {
			int n = days[m - 1] + (m == 2 &&
			    ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0));

			/* The first and the last of each month pin down those between. */
			(void)snprintf(text, sizeof(text), "%04d-%02d-01T00:00:00Z", y, m);
			assert_true(when_parse(str_of(text), &us));
			assert_int_equal(us, want);
			want += n * 86400 * S;
			(void)snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", y, m, n);
			assert_true(when_parse(str_of(text), &us));
			assert_int_equal(us, want - 86400 * S);
			(void)snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", y, m, n + 1);
			assert_false(when_parse(str_of(text), &us));
		}
}

static void
what_is_no_time_is_refused(void **state)
{
	static const char *const rows[] = { "", "now", "-", "+5",
	    "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
	    "2026-11-00T00:00:00Z", "2026-11-31T00:00:00Z", "2023-02-29T00:00:00Z",
	    "1900-02-29T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T18:60:00Z",
	    "2026-11-24T18:00:61Z", "2026-11-24T18:00:00", "2026-11-24T18:00Z", "2026-11-24",
	    "2026-11-24T18:00:00+24:00", "2026-11-24T18:00:00+01:60", "2026-11-24T18:00:00.Z",
	    "2026-11-24T18:00:00Zx", "2026-11-24T18:00:00+1:00", "2026-1-24T18:00:00Z",
	    "2026-11-24  18:00:00Z", "1899-12-31T23:59:59Z", "1900-01-01T00:00:00+00:01",
	    "9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z",
	    "1.", ".5", "1e9", "12a", "0x10", "-2208988801000", "253402300800000",
	    "99999999999999999999999",
	    "Tue, 24 Nov 2026 18:00:00", "Tue, 24 Nov 2026 18:00:00 CET", "24 Nov 18:00:00 GMT",
	    "Tue, 31 Nov 2026 18:00:00 GMT", "24 Nov 2026 18:00:00 +2400",
	    "24 Nov 2026 18:00:00 GMT x", "24 Nov 2026 18:00:00 (open GMT",
	    "24 Nov 2026 18:00:00 ) GMT", "24 November 2026 18:00:00 GMT", NULL };

	(void)state;
	for (size_t i = 0; rows[i] != NULL; i++) {
		int64_t us = -7;

		print_message("%s\n", rows[i]);
		assert_false(when_parse(str_of(rows[i]), &us));
		assert_int_equal(us, -7);
	}
	assert_false(when_parse(STR_NONE, &(int64_t){ 0 }));
}

static void
a_span_is_read_in_each_of_its_forms(void **state)
{
	static const struct { const char *text; struct span span; } rows[] = {
		{ "0", { 0, 0, 0 } },
		{ "35", { 35 * S, 0, 0 } },
		{ " 1.5 ", { 1500000, 0, 0 } },
		{ "0.0000019", { 1, 0, 0 } },
		{ "PT1M30S", { 90 * S, 0, 0 } },
		{ "PT1M30.25S", { 90 * S + 250000, 0, 0 } },
		{ "PT1.5H", { 5400 * S, 0, 0 } },
		{ "pt5m", { 300 * S, 0, 0 } },
		{ "P1DT2H", { 7200 * S, 1, 0 } },
		{ "P2W", { 0, 14, 0 } },
		{ "P1Y2M3DT4H5M6S", { (4 * 3600 + 5 * 60 + 6) * S, 3, 14 } },
		{ "PT0S", { 0, 0, 0 } },
		{ "P1M", { 0, 0, 1 } },
		{ "PT1M", { 60 * S, 0, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span span = { -7, -7, -7 };

		print_message("%s\n", rows[i].text);
		assert_true(when_parse_span(str_of(rows[i].text), &span));
		assert_int_equal(span.us, rows[i].span.us);
		assert_int_equal(span.days, rows[i].span.days);
		assert_int_equal(span.months, rows[i].span.months);
	}
}

static void
what_is_no_span_is_refused(void **state)
{
	static const char *const rows[] = { "", "-5", "+5", "1,5", "1,234", "5s", "1:30", "P", "PT",
	    "P1", "P1DT", "PT1", "P1S", "PT1D", "P1H", "P1M1Y", "PT1S1M", "P1D1D", "P0.5D",
	    "PT0.5H3M", "P-1D", "-P1D", "1e3", "5.", ".5", "9223372036855", "P3000000000D",
	    "P200000000Y", "PT9223372036855S", "PT2562047789H", NULL };

	(void)state;
	for (size_t i = 0; rows[i] != NULL; i++) {
		struct span span = { -7, -7, -7 };

		print_message("%s\n", rows[i]);
		assert_false(when_parse_span(str_of(rows[i]), &span));
		assert_int_equal(span.us, -7);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_time_is_read_in_each_of_its_forms),
		cmocka_unit_test(every_day_from_1900_to_9999_has_its_number),
		cmocka_unit_test(what_is_no_time_is_refused),
		cmocka_unit_test(a_span_is_read_in_each_of_its_forms),
		cmocka_unit_test(what_is_no_span_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
