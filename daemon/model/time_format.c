/* SPDX-License-Identifier: Apache-2.0 */
/* Times in a form that is told by a text: a letter is a row. */
#include "model/time_format.h"

#include <stdio.h>

#include "model/when_internal.h"
#include "model/zone.h"

enum { US_PER_S = 1000000, FORMAT_MAX_BYTES = 128 };

struct reading {
	struct date_time t;
	struct str	 s;		/* what is left */
	int64_t		 epoch_s;
	bool		 has_epoch, has_zone, has_half, is_afternoon;
};

static bool
read_year(struct reading *r)
{
	return when_cut_number(&r->s, 4, 4, &r->t.year);
}

/* As mail has them (RFC 5322): 00 to 49 are of this century. */
static bool
read_short_year(struct reading *r)
{
	if (!when_cut_number(&r->s, 2, 2, &r->t.year))
		return false;
	r->t.year += r->t.year < 50 ? 2000 : 1900;
	return true;
}

static bool
read_month(struct reading *r)
{
	return when_cut_number(&r->s, 1, 2, &r->t.month);
}

static bool
read_month_name(struct reading *r)
{
	static const char *const names[] = { "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG",
	    "SEP", "OCT", "NOV", "DEC", "JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE",
	    "JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER", NULL };
	size_t at;

	if (!when_cut_name(&r->s, names, &at))
		return false;
	r->t.month = (int)(at % 12) + 1;
	return true;
}

static bool
read_day(struct reading *r)
{
	(void)when_cut_char(&r->s, " ");
	return when_cut_number(&r->s, 1, 2, &r->t.day);
}

/* Not compared with the date: senders get it wrong. */
static bool
read_day_name(struct reading *r)
{
	static const char *const names[] = { "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN",
	    "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY", NULL };
	size_t at;

	return when_cut_name(&r->s, names, &at);
}

static bool
read_hour(struct reading *r)
{
	return when_cut_number(&r->s, 1, 2, &r->t.hour);
}

static bool
read_half_hour(struct reading *r)
{
	if (!when_cut_number(&r->s, 1, 2, &r->t.hour) || r->t.hour < 1 || r->t.hour > 12)
		return false;
	r->t.hour %= 12;
	r->has_half = true;
	return true;
}

static bool
read_half(struct reading *r)
{
	static const char *const names[] = { "AM", "PM", NULL };
	size_t at;

	if (!when_cut_name(&r->s, names, &at))
		return false;
	r->is_afternoon = at == 1;
	return true;
}

static bool
read_minute(struct reading *r)
{
	return when_cut_number(&r->s, 2, 2, &r->t.minute);
}

static bool
read_second(struct reading *r)
{
	return when_cut_number(&r->s, 2, 2, &r->t.second);
}

static bool
read_fraction(struct reading *r)
{
	return when_cut_millionths(&r->s, &r->t.us);
}

static bool
read_zone(struct reading *r)
{
	r->has_zone = true;
	return when_cut_zone(&r->s, &r->t.offset_s);
}

static bool
read_epoch(struct reading *r)
{
	struct str digits = { r->s.p, 0 };

	while (digits.n < r->s.n && r->s.p[digits.n] >= '0' && r->s.p[digits.n] <= '9')
		digits.n++;
	r->s = str_skip(r->s, digits.n);
	r->has_epoch = true;
	return str_to_i64(digits, 0, INT64_C(253402300799), &r->epoch_s);
}

static bool
read_percent(struct reading *r)
{
	return when_cut_char(&r->s, "%");
}

/* What a format has to have: a date, or the whole at once. */
enum has { HAS_YEAR = 1, HAS_MONTH = 2, HAS_DAY = 4, HAS_ALL = 7, HAS_12H = 8, HAS_HALF = 16 };

static const struct field {
	char		letter;
	unsigned	has;		/* enum has */
	bool		(*read)(struct reading *r);
	const char	*text;		/* or what it is short for */
} fields[] = {
	{ 'A', 0,		read_day_name,	 NULL },
	{ 'B', HAS_MONTH,	read_month_name, NULL },
	{ 'F', HAS_ALL,		NULL,		 "%Y-%m-%d" },
	{ 'H', 0,		read_hour,	 NULL },
	{ 'I', HAS_12H,		read_half_hour,	 NULL },
	{ 'M', 0,		read_minute,	 NULL },
	{ 'R', 0,		NULL,		 "%H:%M" },
	{ 'S', 0,		read_second,	 NULL },
	{ 'T', 0,		NULL,		 "%H:%M:%S" },
	{ 'Y', HAS_YEAR,	read_year,	 NULL },
	{ 'Z', 0,		read_zone,	 NULL },
	{ 'a', 0,		read_day_name,	 NULL },
	{ 'b', HAS_MONTH,	read_month_name, NULL },
	{ 'd', HAS_DAY,		read_day,	 NULL },
	{ 'e', HAS_DAY,		read_day,	 NULL },
	{ 'f', 0,		read_fraction,	 NULL },
	{ 'm', HAS_MONTH,	read_month,	 NULL },
	{ 'p', HAS_HALF,	read_half,	 NULL },
	{ 's', HAS_ALL,		read_epoch,	 NULL },
	{ 'y', HAS_YEAR,	read_short_year, NULL },
	{ 'z', 0,		read_zone,	 NULL },
	{ '%', 0,		read_percent,	 NULL },
};

static const struct field *
field_of(char letter)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].letter == letter)
			return &fields[i];
	return NULL;
}

bool
time_format_check(struct str format, struct err *err)
{
	unsigned has = 0;

	if (format.n == 0 || format.n > FORMAT_MAX_BYTES)
		return err_set(err, ERR_CONFIG, "a time format has 1 to %d bytes", FORMAT_MAX_BYTES);
	for (size_t i = 0; i < format.n; i++) {
		const struct field *f;

		if (format.p[i] != '%')
			continue;
		f = ++i < format.n ? field_of(format.p[i]) : NULL;
		if (f == NULL)
			return err_set(err, ERR_CONFIG, "%%%.*s is not known in a time format",
			    i < format.n ? 1 : 0, format.p + i);
		has |= f->has;
	}
	if ((has & HAS_ALL) != HAS_ALL)
		return err_set(err, ERR_CONFIG, "a time format needs year, month and day, or %%s");
	if ((has & (HAS_12H | HAS_HALF)) != 0 && (has & HAS_12H) * 2 != (has & HAS_HALF))
		return err_set(err, ERR_CONFIG, "%%I and %%p go together in a time format");
	return true;
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* White space in the format is any amount of it, or none; other characters are
 * themselves. */
static bool
read_all(struct reading *r, struct str format)
{
	for (size_t i = 0; i < format.n; i++) {
		const struct field *f;

		if (is_space(format.p[i])) {
			while (r->s.n > 0 && is_space(r->s.p[0]))
				r->s = str_skip(r->s, 1);
			continue;
		}
		if (format.p[i] != '%') {
			if (r->s.n == 0 || r->s.p[0] != format.p[i])
				return false;
			r->s = str_skip(r->s, 1);
			continue;
		}
		f = field_of(format.p[++i]);
		if (f->read != NULL ? !f->read(r) : !read_all(r, str_of(f->text)))
			return false;
	}
	return true;
}

/* The reading's time as if its clock were at UTC, less what it is ahead. */
static bool
to_utc(struct reading *r, const struct zone *zone, int64_t *ret_us)
{
	int64_t local_us;

	if (r->has_half && r->is_afternoon)
		r->t.hour += 12;
	if (r->has_zone || zone == NULL)
		return when_to_us(&r->t, ret_us);
	if (!when_to_us(&r->t, &local_us) ||
	    !zone_offset(zone, local_us / US_PER_S, &r->t.offset_s))
		return false;
	return when_to_us(&r->t, ret_us);
}

bool
time_format_read(struct str format, const struct zone *zone, struct str s, int64_t *ret_us)
{
	struct reading r = { .s = str_trim(s) };

	if (!read_all(&r, format) || r.s.n > 0)
		return false;
	if (!r.has_epoch)
		return to_utc(&r, zone, ret_us);
	*ret_us = r.epoch_s * US_PER_S + r.t.us;
	return true;
}

/* Years are counted from March, so that the odd day is their last. */
struct str
time_text(int64_t at_us, char out[TIME_TEXT_BYTES])
{
	int64_t us = (at_us % US_PER_S + US_PER_S) % US_PER_S, s = (at_us - us) / US_PER_S;
	int64_t second = (s % 86400 + 86400) % 86400, day = (s - second) / 86400 + 719468;
	int64_t era = day / 146097, of_era = day % 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153, mday = of_year - (153 * month + 2) / 5 + 1;
	int n;

	month += month < 10 ? 3 : -9;
	year += era * 400 + (month <= 2);
	n = snprintf(out, TIME_TEXT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, (int)month,
	    (int)mday, (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60));
	n += us > 0 ? snprintf(out + n, TIME_TEXT_BYTES - (size_t)n, ".%06dZ", (int)us) :
	    snprintf(out + n, TIME_TEXT_BYTES - (size_t)n, "Z");
	return (struct str){ out, (size_t)n };
}
