/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening hours as they are written, e.g. { mon-fri: ["09:00-12:30", "13:30-17:00"] }, made into
 * what PostgreSQL counts with: openings that each lie within one day.  One over midnight is two.
 */
#include "flow/calendar_conf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "model/when.h"
#include "model/zone.h"

enum { NDAYS = 7, DAY_MIN = 24 * 60, OPENINGS_MAX = 1000, DATE_BYTES = 10 };

#define OF(field) offsetof(struct calendar_conf, field)

const struct conf_key calendar_keys[] = {
	{ "zone", CONF_TEXT, OF(zone), .required = true, .reload = true,
	    .help = "The time zone of its hours and holidays, such as Europe/Amsterdam." },
	{ "hours", CONF_TREE, OF(hours), .required = true, .reload = true,
	    .help = "A map of days (mon, or mon-fri, or daily) to their hours (\"09:00-17:00\", or a "
	    "list of such). The end itself is closed already; it may be 24:00, and before the "
	    "beginning: \"22:00-06:00\" ends on the next day. What several keys say of a day adds "
	    "up; a day that none names is closed." },
	{ "holidays", CONF_TEXTS, OF(holidays), .reload = true,
	    .help = "Days without any hours, from midnight to midnight: \"2026-12-25\"." },
	{ 0 },
};

static const char *const day_names[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun", NULL };

struct compiler {
	struct conf			*c;
	const struct conf_named		*named;
	struct calendar_conf		*calendar;
};

#define complain(k, node, fmt, ...)						\
	conf_complain((k)->c, (node), "calendars.%.*s." fmt, STR_ARG((k)->named->name), __VA_ARGS__)

/* ---- days ---- */

static const char *
day_name(void *arg, size_t i)
{
	(void)arg;
	return i == NDAYS ? "daily" : i > NDAYS ? NULL : day_names[i];
}

static bool
read_day(struct str s, int *ret)
{
	for (int i = 0; i < NDAYS; i++)
		if (str_eq_nocase(s, str_of(day_names[i]))) {
			*ret = i + 1;
			return true;
		}
	return false;
}

/* Bit n is weekday n; 0 after a complaint.  "sat-mon" goes over the week's end. */
static unsigned
read_days(const struct compiler *k, const struct conf_node *key)
{
	struct str rest = conf_text(key), first = str_cut(&rest, '-');
	bool is_range = rest.n > 0;
	unsigned days = 0;
	const char *near;
	int from, to;

	if (str_eq_nocase(conf_text(key), STR("daily")))
		return 0xfe;
	if (read_day(first, &from) && (is_range ? read_day(rest, &to) : (to = from, true))) {
		for (int day = from; ; day = day % NDAYS + 1) {
			days |= 1U << day;
			if (day == to)
				return days;
		}
	}
	near = conf_nearest(read_day(first, &from) ? rest : first, day_name, NULL);
	complain(k, key, "hours: \"%.*s\" is no day such as mon, no span such as mon-fri, and not "
	    "daily%s%s%s", STR_ARG(str_prefix_utf8(conf_text(key), 60)),
	    near != NULL ? "; did you mean \"" : "", near != NULL ? near : "", near != NULL ? "\"?" : "");
	return 0;
}

/* ---- hours ---- */

/* "09:00" */
static bool
read_clock(struct str s, int *ret_min)
{
	struct str minutes = s, hours = str_cut(&minutes, ':');
	int64_t h, m;

	if (hours.n < 1 || hours.n > 2 || minutes.n != 2 || !str_to_i64(hours, 0, 24, &h) ||
	    !str_to_i64(minutes, 0, 59, &m) || h * 60 + m > DAY_MIN)
		return false;
	*ret_min = (int)(h * 60 + m);
	return true;
}

static void
add_opening(const struct compiler *k, const struct conf_node *node, int weekday, int opens_min,
    int closes_min)
{
	struct calendar_conf *cal = k->calendar;

	if (opens_min == closes_min)
		return;
	if (cal->nopenings == OPENINGS_MAX) {
		complain(k, node, "hours: there are more than %d", OPENINGS_MAX);
		return;
	}
	cal->openings[cal->nopenings++] = (struct opening){ weekday, opens_min, closes_min, node };
}

static void
read_span(const struct compiler *k, unsigned days, const struct conf_node *node)
{
	struct str rest = conf_text(node), first = str_cut(&rest, '-');
	int opens, closes;

	if (!conf_is_scalar(node) || !read_clock(str_trim(first), &opens) || opens == DAY_MIN ||
	    !read_clock(str_trim(rest), &closes) || opens == closes) {
		complain(k, node, "hours: \"%.*s\" is no span such as \"09:00-17:00\" or "
		    "\"22:00-06:00\"", STR_ARG(str_prefix_utf8(conf_text(node), 60)));
		return;
	}
	for (int day = 1; day <= NDAYS; day++) {
		if ((days & 1U << day) == 0)
			continue;
		add_opening(k, node, day, opens, closes > opens ? closes : DAY_MIN);
		if (closes < opens)
			add_opening(k, node, day % NDAYS + 1, 0, closes);
	}
}

static int
by_time(const void *va, const void *vb)
{
	const struct opening *a = va, *b = vb;
	int ka = a->weekday * DAY_MIN + a->opens_min, kb = b->weekday * DAY_MIN + b->opens_min;

	return ka != kb ? ka - kb : (a > b) - (a < b);
}

/* Once for what mon-fri: says of all five. */
static void
refuse_overlaps(const struct compiler *k)
{
	const struct conf_node *told = NULL;

	for (size_t i = 1; i < k->calendar->nopenings; i++) {
		const struct opening *a = &k->calendar->openings[i - 1], *b = a + 1;

		if (a->weekday != b->weekday || b->opens_min >= a->closes_min || b->node == told)
			continue;
		told = b->node;
		complain(k, b->node, "hours: on %s, %02d:%02d to %02d:%02d is told twice",
		    day_names[b->weekday - 1], b->opens_min / 60, b->opens_min % 60,
		    (a->closes_min < b->closes_min ? a : b)->closes_min / 60,
		    (a->closes_min < b->closes_min ? a : b)->closes_min % 60);
	}
}

static void
read_hours(struct compiler *k)
{
	const struct conf_node *hours = k->calendar->hours;
	size_t errors = conf_errors(k->c);

	if (hours == NULL)
		return;		/* said already */
	if (!conf_is_map(hours)) {
		complain(k, hours, "%s", "hours: a map is wanted, such as { mon-fri: \"09:00-17:00\" }");
		return;
	}
	k->calendar->openings = arena_alloc(conf_arena(k->c), OPENINGS_MAX * sizeof(struct opening));
	for (size_t i = 0; k->calendar->openings != NULL && i < conf_count(hours); i++) {
		const struct conf_node *value = conf_item(hours, i);
		unsigned days = read_days(k, conf_key_node(hours, i));

		if (!conf_is_list(value))
			read_span(k, days, value);
		for (size_t n = 0; conf_is_list(value) && n < conf_count(value); n++)
			read_span(k, days, conf_item(value, n));
	}
	if (k->calendar->nopenings > 1)
		qsort(k->calendar->openings, k->calendar->nopenings, sizeof(struct opening), by_time);
	refuse_overlaps(k);
	if (k->calendar->nopenings == 0 && conf_errors(k->c) == errors)
		complain(k, hours, "%s", "hours: it is never open: nothing would ever be due");
}

/* ---- holidays ---- */

static bool
is_day(struct str s)
{
	char text[DATE_BYTES + sizeof("T00:00:00Z")];
	int64_t us;

	if (s.n != DATE_BYTES || s.p[4] != '-')
		return false;
	(void)snprintf(text, sizeof(text), "%.*sT00:00:00Z", STR_ARG(s));
	return when_parse(str_of(text), &us);
}

static int
by_text(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static void
check_holidays(const struct compiler *k)
{
	const struct conf_node *list = conf_find(k->named->node, "holidays");
	struct conf_texts *days = &k->calendar->holidays;

	for (size_t i = 0; i < (conf_is_list(list) ? conf_count(list) : list != NULL); i++) {
		const struct conf_node *one = conf_is_list(list) ? conf_item(list, i) : list;

		if (conf_is_scalar(one) && !is_day(conf_text(one)))
			complain(k, one, "holidays: \"%.*s\" is no day such as 2026-12-25",
			    STR_ARG(str_prefix_utf8(conf_text(one), 60)));
	}
	if (days->n > 1)
		qsort(days->v, days->n, sizeof(*days->v), by_text);
	for (size_t i = 1; i < days->n; i++)
		if (str_eq(days->v[i - 1], days->v[i]))
			complain(k, list, "holidays: %.*s stands there twice", STR_ARG(days->v[i]));
}

void
calendar_conf_check(struct conf *c, const struct conf_named *named)
{
	struct compiler k = { c, named, named->common };
	const struct zone *zone;
	struct err err;

	k.calendar->name = named->name;
	if (k.calendar->zone.p != NULL && !zone_open(c, k.calendar->zone, &zone, &err))
		complain(&k, conf_find(named->node, "zone"), "zone: %s", err.text);
	read_hours(&k);
	check_holidays(&k);
}
