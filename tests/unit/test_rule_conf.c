/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and calendars: settings -> JSON and its sum, what is said about bad ones, and where. */
#include "flow/rule_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/conf.h"
#include "flow/action.h"
#include "flow/calendar_conf.h"
#include "flow/rule_conf.h"
#include "flow/rule_text.h"

struct settings {
	struct conf_named_list	actions, calendars, rules;
};

static const struct conf_variant *
bell(size_t n)
{
	static const struct conf_variant notify = { "notify", NULL, 1 };

	return n == 0 ? &notify : NULL;
}

static const struct conf_key none[] = { { 0 } };

static const struct conf_key keys[] = {
	{ "actions", CONF_NAMED, offsetof(struct settings, actions), .keys = none,
	  .size = sizeof(struct action), .variant = bell },
	{ "calendars", CONF_NAMED, offsetof(struct settings, calendars), .keys = calendar_keys,
	  .size = sizeof(struct calendar_conf) },
	{ "rules", CONF_NAMED, offsetof(struct settings, rules), .keys = rule_keys,
	  .size = sizeof(struct rule_conf) },
	{ 0 },
};

#define ACTIONS	"actions: { bell: { type: notify }, book: { type: notify } }\n"

static char folder[64];
static struct conf *conf;
static struct settings got;
static struct rule_set *set;

static int
make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/touchlog-rules-XXXXXX");
	return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int
remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st;
	(void)what;
	(void)at;
	return remove(path);
}

static int
remove_folder(void **state)
{
	(void)state;
	return chdir("/") == 0 ? nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

static int
forget(void **state)
{
	(void)state;
	rule_set_free(set);
	conf_free(conf);
	set = NULL;
	conf = NULL;
	return 0;
}

/* What config.c does with these settings. */
static void
load(const char *text)
{
	FILE *f = fopen("t.yaml", "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	(void)forget(NULL);
	got = (struct settings){ .rules = { .n = 0 } };
	conf = conf_load("t.yaml", keys, &got);
	assert_non_null(conf);
	for (size_t i = 0; i < got.calendars.n; i++)
		calendar_conf_check(conf, &got.calendars.v[i]);
	for (size_t i = 0; i < got.rules.n; i++)
		rule_conf_check(conf, &got.rules.v[i], &got.actions, &got.calendars);
}

static void
load_set(const char *text)
{
	struct err err;

	load(text);
	for (size_t i = 0; i < conf_errors(conf); i++)
		print_error("%s\n", conf_error_text(conf, i));
	assert_int_equal(conf_errors(conf), 0);
	set = rule_set_new(&got.rules, &got.calendars, &err);
	assert_non_null(set);
}

/* ---- what the database is given ---- */

static void
a_rule_becomes_the_json_that_the_database_reads(void **state)
{
	(void)state;
	load_set(ACTIONS
	    "calendars: { shop: { zone: Europe/Amsterdam, hours: { mon: \"09:00-17:00\" } } }\n"
	    "rules:\n"
	    "  b: { when: \"kind = 'a\\\"'\", wait: 48h, unless: x, wait_from: last, per: thread,\n"
	    "       calendar: shop, mode: shadow, do: [bell, book] }\n"
	    "  a: { when: y, count: 3, within: 1500ms, cooldown: ever, max_age: 2d, do: bell }\n"
	    "  c: { when: z, at: \"ts(attributes,'x')\", cooldown: 1w, do: bell }\n"
	    "  d: { when: z, wait: \"interval '1 day' * score\", do: bell }\n");
	assert_string_equal(set->rules.p, "["
	    "{\"name\":\"a\",\"when\":\"y\",\"count\":3,\"within\":\"1.500 s\",\"cooldown\":\"ever\","
	    "\"max_age\":\"172800 s\",\"do\":[\"bell\"]},"
	    "{\"name\":\"b\",\"when\":\"kind = 'a\\\"'\",\"unless\":\"x\",\"wait\":\"interval '172800 s'\","
	    "\"wait_from\":\"last\",\"per\":\"thread\",\"calendar\":\"shop\",\"mode\":\"shadow\","
	    "\"do\":[\"bell\",\"book\"]},"
	    "{\"name\":\"c\",\"when\":\"z\",\"at\":\"ts(attributes,'x')\",\"cooldown\":\"604800 s\","
	    "\"do\":[\"bell\"]},"
	    "{\"name\":\"d\",\"when\":\"z\",\"wait\":\"interval '1 day' * score\",\"do\":[\"bell\"]}]");
	assert_string_equal(set->calendars.p, "[{\"name\":\"shop\",\"zone\":\"Europe/Amsterdam\","
	    "\"hours\":[{\"weekday\":1,\"opens\":\"09:00\",\"closes\":\"17:00\"}]}]");
}

/* libfyaml misreads four quotes in a row. */
static void
quotes_within_quotes_are_those_that_were_meant(void **state)
{
	(void)state;
	load_set("rules: { a: { when: 'name = ''O''''Neil'' or ''''''x'' = '''' ', mode: off } }\n");
	assert_string_equal(set->rules.p, "[{\"name\":\"a\",\"when\":\"name = 'O''Neil' or '''x' = '' \","
	    "\"mode\":\"off\"}]");
	load("rules: { a: { mode: off, when: 'name = ''O''''Neil''\n  or x' } }\n");
	assert_int_equal(conf_errors(conf), 1);
	assert_non_null(strstr(conf_error_text(conf, 0), "write it as a block"));
}

/* The hours of a calendar of that `hours:`, as "1 09:00-17:00,". */
static void
assert_hours(const char *hours, const char *wanted)
{
	const struct calendar_conf *cal;
	char text[512];
	struct buf out;

	(void)snprintf(text, sizeof(text), "calendars: { c: { zone: UTC, hours: %s } }\n", hours);
	load_set(text);
	cal = got.calendars.v[0].common;
	buf_init(&out, 4096);
	for (size_t i = 0; i < cal->nopenings; i++) {
		const struct opening *o = &cal->openings[i];

		buf_printf(&out, "%d %02d:%02d-%02d:%02d,", o->weekday, o->opens_min / 60,
		    o->opens_min % 60, o->closes_min / 60, o->closes_min % 60);
	}
	buf_add(&out, "", 1);
	assert_string_equal(out.p, wanted);
	buf_fini(&out);
}

static void
hours_become_openings_that_each_lie_within_a_day(void **state)
{
	(void)state;
	assert_hours("{ mon-wed: \"09:00-17:00\" }", "1 09:00-17:00,2 09:00-17:00,3 09:00-17:00,");
	assert_hours("{ tue: [\"13:30-17:00\", \"9:00-12:30\"] }", "2 09:00-12:30,2 13:30-17:00,");
	assert_hours("{ Sat-Mon: \"10:00-11:00\" }", "1 10:00-11:00,6 10:00-11:00,7 10:00-11:00,");
	assert_hours("{ fri: \"22:00-06:00\" }", "5 22:00-24:00,6 00:00-06:00,");
	assert_hours("{ sun: \"22:00-06:00\" }", "1 00:00-06:00,7 22:00-24:00,");
	assert_hours("{ fri: \"22:00-24:00\" }", "5 22:00-24:00,");
	assert_hours("{ fri: \"22:00-00:00\" }", "5 22:00-24:00,");
	assert_hours("{ mon: \"09:00-12:00\", mon-tue: [\"12:00-13:00\"], wed: [] }",
	    "1 09:00-12:00,1 12:00-13:00,2 12:00-13:00,");
	assert_hours("{ daily: \"00:00-24:00\" }", "1 00:00-24:00,2 00:00-24:00,3 00:00-24:00,"
	    "4 00:00-24:00,5 00:00-24:00,6 00:00-24:00,7 00:00-24:00,");
}

static void
files_that_mean_the_same_have_one_sum(void **state)
{
	char sum[RULE_SHA_TEXT_SIZE];

	(void)state;
	load_set(ACTIONS "calendars: { c: { zone: UTC, hours: { mon-tue: \"09:00-17:00\" },"
	    " holidays: [\"2026-12-26\", \"2026-12-25\"] } }\n"
	    "rules: { a: { when: x, do: [bell] }, b: { when: y, wait: 2d, do: [bell] } }\n");
	memcpy(sum, set->sha, sizeof(sum));
	assert_int_equal(strlen(sum), 2 + 64);
	load_set("rules:\n  b: { wait: 48h, do: bell, wait_from: first, when: y, max_age: 24h }\n"
	    "  a: { do: bell, when: \"x\", per: customer, mode: live }\n"
	    "calendars: { c: { hours: { tue: \"09:00-17:00\", mon: [\"9:00-17:00\"] }, zone: UTC,"
	    " holidays: [\"2026-12-25\", \"2026-12-26\"] } }\n" ACTIONS);
	assert_string_equal(set->sha, sum);
	load_set(ACTIONS "calendars: { c: { zone: UTC, hours: { mon-tue: \"09:00-17:00\" },"
	    " holidays: [\"2026-12-25\"] } }\n"
	    "rules: { a: { when: x, do: [bell] }, b: { when: y, wait: 2d, do: [bell] } }\n");
	assert_string_not_equal(set->sha, sum);
}

static void
every_expression_is_listed_for_judging_and_constants_are_not(void **state)
{
	(void)state;
	load_set(ACTIONS "rules:\n  a: { when: w, unless: u, wait: 2d, do: bell }\n"
	    "  b: { when: v, at: now(), do: bell }\n  c: { when: x, wait: i, do: bell }\n");
	assert_int_equal(set->ntexts, 6);
	assert_string_equal(set->texts[1].key, "unless");
	assert_string_equal(set->texts[1].kind, "predicate");
	assert_string_equal(set->texts[3].kind, "timestamptz");
	assert_string_equal(set->texts[5].key, "wait");
	assert_string_equal(set->texts[5].kind, "interval");
}

/* ---- what is wrong ---- */

static const struct {
	const char	*text, *error;
} bad[] = {
	{ "rules: { a: { do: bell } }", "t.yaml:2:10: rules.a.when: is required and missing" },
	{ "rules: { a: { when: x, count: 3 } }", "t.yaml:2:24: rules.a.count: needs within" },
	{ "rules: { a: { when: x, within: 3d } }", "t.yaml:2:24: rules.a.within: goes with count" },
	{ "rules: { a: { when: x, unless: y } }", "t.yaml:2:24: rules.a.unless: there is nothing" },
	{ "rules: { a: { when: x, wait_from: last } }", "t.yaml:2:24: rules.a.wait_from: goes with" },
	{ "rules: { a: { when: x, count: 2, within: 1d, per: interaction } }",
	    "t.yaml:2:24: rules.a.count: does not go with per: interaction" },
	{ "rules: { a: { when: x, wait: 1d, at: now() } }", "t.yaml:2:34: rules.a.at: goes without wait" },
	{ "rules: { a: { when: x, wait: 2 days } }", "t.yaml:2:30: rules.a.wait: \"2 days\" is no duration" },
	{ "rules: { a: { when: x, wait: \"10\" } }", "t.yaml:2:30: rules.a.wait: \"10\" is no duration" },
	{ "rules: { a: { when: x, cooldown: often } }", "t.yaml:2:34: rules.a.cooldown: \"often\" is no" },
	{ "rules: { a: { when: x, cooldown: 5ms } }", "t.yaml:2:34: rules.a.cooldown: \"5ms\" is no" },
	{ "rules: { a: { when: x, do: [bell, bok] } }",
	    "t.yaml:2:35: rules.a.do: there is no \"bok\" in actions; did you mean \"book\"?" },
	{ "rules: { a: { when: x, do: thunder } }",
	    "t.yaml:2:28: rules.a.do: there is no \"thunder\" in actions; known are: bell, book" },
	{ "rules: { a: { when: x, calendar: shop } }",
	    "t.yaml:2:34: rules.a.calendar: there is no \"shop\" in calendars" },
	{ "rules: { a: { when: x, mode: shaddow } }",
	    "t.yaml:2:30: rules.a.mode: \"shaddow\" is not known here; did you mean \"shadow\"?" },
	{ "rules: { a: { wen: x, when: y } }", "t.yaml:2:15: rules.a.wen: unknown key; did you mean \"when\"?" },
	{ "calendars: { c: { zone: Mars/Base, hours: { mon: \"1:00-2:00\" } } }",
	    "t.yaml:2:25: calendars.c.zone: \"Mars/Base\" is no time zone" },
	{ "calendars: { c: { zone: UTC } }", "t.yaml:2:14: calendars.c.hours: is required and missing" },
	{ "calendars: { c: { zone: UTC, hours: \"09:00-17:00\" } }", "t.yaml:2:37: calendars.c.hours: a map" },
	{ "calendars: { c: { zone: UTC, hours: {} } }", "t.yaml:2:37: calendars.c.hours: it is never open" },
	{ "calendars: { c: { zone: UTC, hours: { mon-frei: \"1:00-2:00\" } } }",
	    "t.yaml:2:39: calendars.c.hours: \"mon-frei\" is no day" },
	{ "calendars: { c: { zone: UTC, hours: { mon: \"9-17\" } } }", "t.yaml:2:44: calendars.c.hours: \"9-17\"" },
	{ "calendars: { c: { zone: UTC, hours: { mon: \"09:00-24:01\" } } }", "t.yaml:2:44: calendars.c.hours:" },
	{ "calendars: { c: { zone: UTC, hours: { mon: \"24:00-09:00\" } } }", "t.yaml:2:44: calendars.c.hours:" },
	{ "calendars: { c: { zone: UTC, hours: { mon: \"09:00-09:00\" } } }", "t.yaml:2:44: calendars.c.hours:" },
	{ "calendars: { c: { zone: UTC, hours: { mon: [\"09:00-12:00\", \"11:59-13:00\"] } } }",
	    "t.yaml:2:60: calendars.c.hours: on mon, 11:59 to 12:00 is told twice" },
	{ "calendars: { c: { zone: UTC, hours: { sun: \"22:00-06:00\", mon: \"05:00-07:00\" } } }",
	    "t.yaml:2:64: calendars.c.hours: on mon, 05:00 to 06:00 is told twice" },
	{ "calendars: { c: { zone: UTC, hours: { mon: \"1:00-2:00\" }, holidays: [2026-02-29] } }",
	    "t.yaml:2:70: calendars.c.holidays: \"2026-02-29\" is no day" },
	{ "calendars: { c: { zone: UTC, hours: { mon: \"1:00-2:00\" }, holidays: [2026-01-01, 2026-01-01] } }",
	    "t.yaml:2:69: calendars.c.holidays: 2026-01-01 stands there twice" },
};

static void
each_mistake_is_told_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[512];

		(void)snprintf(text, sizeof(text), "%s%s\n", ACTIONS, bad[i].text);
		load(text);
		if (conf_errors(conf) != 1 || strncmp(conf_error_text(conf, 0), bad[i].error,
		    strlen(bad[i].error)) != 0)
			fail_msg("%s: %zu errors; %s", bad[i].text, conf_errors(conf),
			    conf_errors(conf) > 0 ? conf_error_text(conf, 0) : "");
	}
}

static void
all_mistakes_are_told_at_once(void **state)
{
	(void)state;
	load("rules: { a: { when: \"(\", count: 1, do: x }, b: { when: \")\", unless: \"'\", at: \"a,b\" } }\n");
	assert_int_equal(conf_errors(conf), 6);
}

static void
a_live_rule_that_does_nothing_is_warned_of(void **state)
{
	(void)state;
	load("rules: { a: { when: x } }\n");
	assert_int_equal(conf_errors(conf), 0);
	assert_int_equal(conf_warnings(conf), 1);
	load("rules: { a: { when: x, mode: shadow } }\n");
	assert_int_equal(conf_warnings(conf), 0);
}

/* ---- expressions ---- */

static const struct {
	const char	*text;
	int		 at;		/* character; -1: nothing is wrong with it */
} expressions[] = {
	{ "kind = 'a' and num(attributes, 'x') > 3", -1 },
	{ "'it''s;' = \"a;\"\"b,\" -- ; , (\n and E'\\';' = $$;$$ || $a$ $$ ; $a$", -1 },
	{ "a /* ; /* ( */ , */ = b", -1 },
	{ "x IN ('a', 'b') and tags[1] = 'c'", -1 },
	{ "a$b$ = 1", -1 },
	{ "name = 'e' and type='it''s'", -1 },
	{ "customer.identity = i.customer.id", -1 },
	{ "", 0 },
	{ " \n\t", 2 },
	{ "a; drop", 1 },
	{ "a, b", 1 },
	{ "f(a, b), c", 7 },
	{ "a) or (b", 1 },
	{ "a]", 1 },
	{ "f(a and (b", 8 },
	{ "\xc3\xa9 = 'x", 4 },
	{ "E'a\\'", 0 },
	{ "\"a", 0 },
	{ "1 /* /* */", 2 },
	{ "$x$ $y$", 0 },
	{ "score > 1 and Customer.ID = 4", 14 },
};

static void
where_an_expression_ends_is_seen_without_a_database(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
		const char *why = "";
		size_t at = 0;
		bool ok = rule_text_check(str_of(expressions[i].text), &at, &why);

		if (ok != (expressions[i].at < 0) || (!ok && (int)at != expressions[i].at))
			fail_msg("%s: %d at %zu (%s)", expressions[i].text, ok, at, why);
	}
}

/* ---- places ---- */

static const struct {
	const char	*text;		/* in which one expression has a ; */
	const char	*place;
} places[] = {
	{ "rules: { a: { when: x = ;1, mode: off } }\n", "t.yaml:1:25" },
	{ "rules:\n  a:\n    when: \xc3\xa9 = ;\n    mode: off\n", "t.yaml:3:15" },
	{ "rules: { a: { when: '''it''''s'';', mode: off } }\n", "t.yaml:1:33" },
	{ "rules: { a: { when: \"\\\"\\u00e9\\\" \\x41;\", mode: off } }\n", "t.yaml:1:37" },
	{ "rules: { a: { when: \"a\\n\\x20b\\t ;\", mode: off } }\n", "t.yaml:1:33" },
	{ "rules:\n  a:\n    mode: off\n    when: |\n      a\n\n        and ;\n", "t.yaml:7:13" },
	{ "rules:\n  a:\n    mode: off\n    when: |2-\n\n      a ;\n", "t.yaml:6:9" },
	{ "rules:\n  a:\n    mode: off\n    when: >-\n      a\n      and b\n\n      or ;\n", "t.yaml:8:10" },
	{ "rules:\n  a:\n    mode: off\n    when: a\n      and ;\n", "t.yaml:5:11" },
	{ "rules:\n  a:\n    mode: off\n    when: \"a\n      and \\\n      b ;\"\n", "t.yaml:6:9" },
	{ "rules:\r\n  a:\r\n    mode: off\r\n    when: |\r\n      a\r\n      and ;\r\n", "t.yaml:6:11" },
	{ "rules:\n  a: { mode: off, when: &w \"a ;\" }\n", "t.yaml:2:31" },
};

static void
a_mistake_within_an_expression_is_told_where_it_stands_in_the_file(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		load(places[i].text);
		if (conf_errors(conf) != 1 || strncmp(conf_error_text(conf, 0), places[i].place,
		    strlen(places[i].place)) != 0 ||
		    strstr(conf_error_text(conf, 0), "without \";\"") == NULL)
			fail_msg("%s: %s: %s", places[i].text, places[i].place,
			    conf_errors(conf) > 0 ? conf_error_text(conf, 0) : "no error");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_rule_becomes_the_json_that_the_database_reads, forget),
		cmocka_unit_test_teardown(quotes_within_quotes_are_those_that_were_meant, forget),
		cmocka_unit_test_teardown(hours_become_openings_that_each_lie_within_a_day, forget),
		cmocka_unit_test_teardown(files_that_mean_the_same_have_one_sum, forget),
		cmocka_unit_test_teardown(every_expression_is_listed_for_judging_and_constants_are_not,
		    forget),
		cmocka_unit_test_teardown(each_mistake_is_told_with_its_place, forget),
		cmocka_unit_test_teardown(all_mistakes_are_told_at_once, forget),
		cmocka_unit_test_teardown(a_live_rule_that_does_nothing_is_warned_of, forget),
		cmocka_unit_test(where_an_expression_ends_is_seen_without_a_database),
		cmocka_unit_test_teardown(
		    a_mistake_within_an_expression_is_told_where_it_stands_in_the_file, forget),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
