/* SPDX-License-Identifier: Apache-2.0 */
/* Times in a form that a text tells, and in a zone that they do not tell. */
#include "model/time_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "base/conf.h"
#include "model/zone.h"

/* Zones live as long as a conf: one that holds nothing. */
static char path[] = "/tmp/touchlog-test-time-XXXXXX";
static struct conf *conf;
static struct err err;

static int
load(void **state)
{
	static const struct conf_key none[] = { { 0 } };
	static char nothing;
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0 || write(fd, "{}\n", 3) != 3 || close(fd) != 0)
		return -1;
	conf = conf_load(path, none, &nothing);
	return conf != NULL ? 0 : -1;
}

static int
unload(void **state)
{
	(void)state;
	conf_free(conf);
	return unlink(path);
}

static void
assert_read(const char *format, const char *zone_name, const char *text, const char *want)
{
	const struct zone *zone = NULL;
	char room[TIME_TEXT_BYTES];
	int64_t at_us;
	bool is_read;

	print_message("%s %s %s\n", format, zone_name != NULL ? zone_name : "", text);
	if (!time_format_check(str_of(format), &err))
		fail_msg("%s", err.text);
	if (zone_name != NULL && !zone_open(conf, str_of(zone_name), &zone, &err))
		fail_msg("%s", err.text);
	is_read = time_format_read(str_of(format), zone, str_of(text), &at_us);
	assert_int_equal(is_read, want != NULL);
	if (is_read && !str_eq(time_text(at_us, room), str_of(want)))
		fail_msg("is %s, not %s", room, want);
}

static void
each_letter_reads_its_part(void **state)
{
	static const char *const rows[][3] = {
		{ "%Y-%m-%d %H:%M:%S", "2026-11-24 18:05:09", "2026-11-24T18:05:09Z" },
		{ "%F %T", " 2026-11-24  18:05:09 ", "2026-11-24T18:05:09Z" },
		{ "%F%T", "2026-11-2418:05:09", "2026-11-24T18:05:09Z" },
		{ "%F %T.%f", "2026-11-24 18:05:09.25", "2026-11-24T18:05:09.250000Z" },
		{ "%Y%m%d%H%M%S", "20261124180509", "2026-11-24T18:05:09Z" },
		{ "%d.%m.%y %R", "1.2.99 00:00", "1999-02-01T00:00:00Z" },
		{ "%e %b %Y", " 4 Feb 2024", "2024-02-04T00:00:00Z" },
		{ "%A, %B %d, %Y %I:%M %p", "Friday, February 29, 2024 12:30 am", "2024-02-29T00:30:00Z" },
		{ "%a %d %B %Y %I %p", "xx", NULL },
		{ "%m/%d/%Y %I:%M:%S %p", "12/31/2025 11:59:59 PM", "2025-12-31T23:59:59Z" },
		{ "%m/%d/%Y %I:%M %p", "12/31/2025 12:00 PM", "2025-12-31T12:00:00Z" },
		{ "%m/%d/%Y %I:%M %p", "12/31/2025 13:00 PM", NULL },
		{ "%F %T %z", "2026-07-24 18:00:00 +0200", "2026-07-24T16:00:00Z" },
		{ "%F %T%z", "2026-07-24 18:00:00-05:30", "2026-07-24T23:30:00Z" },
		{ "%F %T %Z", "2026-07-24 18:00:00 EST", "2026-07-24T23:00:00Z" },
		{ "%F %T %Z", "2026-07-24 18:00:00 CEST", NULL },
		{ "%s", "1764003600", "2025-11-24T17:00:00Z" },
		{ "%s.%f", "1764003600.5", "2025-11-24T17:00:00.500000Z" },
		{ "%s", "-1", NULL },
		{ "day %F 100%%", "day 1900-01-01 100%", "1900-01-01T00:00:00Z" },
		{ "%F %T", "2026-02-29 00:00:00", NULL },
		{ "%F %T", "2026-02-28 24:00:00", NULL },
		{ "%F %T", "2026-02-28 23:00", NULL },
		{ "%F", "2026-02-28 23:00", NULL },
		{ "%F", "", NULL },
		{ "%F", "1899-12-31", NULL },
		{ "%F", "9999-12-31", "9999-12-31T00:00:00Z" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_read(rows[i][0], NULL, rows[i][1], rows[i][2]);
}

static void
a_zone_says_what_the_time_does_not(void **state)
{
	static const char *const rows[][3] = {
		{ "Europe/Amsterdam", "2026-01-15 12:00:00", "2026-01-15T11:00:00Z" },
		{ "Europe/Amsterdam", "2026-07-15 12:00:00", "2026-07-15T10:00:00Z" },
		{ "Asia/Kathmandu", "2026-07-15 12:00:00", "2026-07-15T06:15:00Z" },
		{ "America/New_York", "2026-07-15 22:00:00", "2026-07-16T02:00:00Z" },
		/* 02:00 to 03:00 is left out: as if the clock had not been put forward. */
		{ "Europe/Amsterdam", "2026-03-29 01:59:59", "2026-03-29T00:59:59Z" },
		{ "Europe/Amsterdam", "2026-03-29 02:30:00", "2026-03-29T01:30:00Z" },
		{ "Europe/Amsterdam", "2026-03-29 03:00:00", "2026-03-29T01:00:00Z" },
		/* 02:00 to 03:00 comes twice: the first. */
		{ "Europe/Amsterdam", "2026-10-25 02:30:00", "2026-10-25T00:30:00Z" },
		{ "Europe/Amsterdam", "2026-10-25 03:00:00", "2026-10-25T02:00:00Z" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_read("%F %T", rows[i][0], rows[i][1], rows[i][2]);
	/* But not what it does. */
	assert_read("%F %T %z", "Europe/Amsterdam", "2026-07-15 12:00:00 Z", "2026-07-15T12:00:00Z");
	assert_read("%s", "Europe/Amsterdam", "0", "1970-01-01T00:00:00Z");
}

static void
a_name_that_is_no_zone_is_refused(void **state)
{
	static const char *const names[] = { "", "Europe/Atlantis", "CEST", "+01:00",
	    "Europe/Amsterdam ", "europe/amsterdam?", "GMT+25:00",
	    "a/very/long/name/that/goes/on/and/on/and/on/and/on/for/ever" };
	const struct zone *zone;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		print_message("%s\n", names[i]);
		assert_false(zone_open(conf, str_of(names[i]), &zone, &err));
		assert_int_equal(err.kind, ERR_CONFIG);
	}
}

static void
a_format_that_cannot_make_a_time_is_refused(void **state)
{
	static const char *const formats[] = { "", "%", "%F %", "%Q", "%T", "%Y-%m", "%m-%d", "%F %I:%M",
	    "%F %H %p" };

	(void)state;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		print_message("%s\n", formats[i]);
		assert_false(time_format_check(str_of(formats[i]), &err));
		assert_int_equal(err.kind, ERR_CONFIG);
	}
}

static void
every_day_is_written_as_it_was_read(void **state)
{
	char text[TIME_TEXT_BYTES], again[TIME_TEXT_BYTES];

	(void)state;
	for (int64_t day = -25567; day < 2932896; day += 17) {
		int64_t at_us = (day * 86400 + 12345) * 1000000 + 5, back_us;
		struct str s = time_text(at_us, text);

		assert_true(time_format_read(STR("%FT%T.%fZ"), NULL, s, &back_us));
		assert_int_equal(back_us, at_us);
		assert_true(str_eq(time_text(back_us, again), s));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_letter_reads_its_part),
		cmocka_unit_test(a_zone_says_what_the_time_does_not),
		cmocka_unit_test(a_name_that_is_no_zone_is_refused),
		cmocka_unit_test(a_format_that_cannot_make_a_time_is_refused),
		cmocka_unit_test(every_day_is_written_as_it_was_read),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
