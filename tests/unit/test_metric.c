/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges, histograms and the page made of them. */
#include "base/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct buf page;

static int
clean(void **state)
{
	(void)state;
	metric_free_all();
	buf_fini(&page);
	return 0;
}

static const char *
made_page(void)
{
	buf_fini(&page);
	buf_init(&page, 1 << 20);
	metric_page(&page);
	buf_add(&page, "", 1);
	assert_true(buf_ok(&page));
	page.n--;
	return page.p;
}

static void
assert_on_page(const char *line)
{
	char framed[256];

	(void)snprintf(framed, sizeof(framed), "\n%s\n", line);
	if (strstr(made_page(), framed) == NULL)
		fail_msg("%s is not on the page", line);
}

static void
what_has_no_labels_is_there_with_zero_before_its_first_use(void **state)
{
	(void)state;
	assert_on_page("touchlog_queue_events 0");
	assert_on_page("touchlog_database_connects_total 0");
	assert_on_page("touchlog_batch_events_bucket{le=\"+Inf\"} 0");
	assert_on_page("touchlog_ack_seconds_count 0");
	assert_null(strstr(page.p, "touchlog_events_logged_total"));
}

static void
a_counter_adds_up_for_each_of_its_labels(void **state)
{
	struct metric *shop = metric_get(METRIC_LOGGED, "shop", NULL);
	struct metric *refused = metric_get(METRIC_REFUSED, "shop", "signature");

	(void)state;
	metric_add(shop, 1);
	metric_add(shop, 41);
	metric_add(metric_get(METRIC_LOGGED, "pbx", NULL), 3);
	metric_add(refused, 7);
	assert_ptr_equal(metric_get(METRIC_LOGGED, "shop", NULL), shop);
	assert_true(metric_get(METRIC_REFUSED, "shop", "body") != refused);
	assert_true(metric_value(shop) == 42);
	assert_on_page("touchlog_events_logged_total{source=\"shop\"} 42");
	assert_on_page("touchlog_events_logged_total{source=\"pbx\"} 3");
	assert_on_page("touchlog_requests_refused_total{source=\"shop\",reason=\"signature\"} 7");
	assert_on_page("touchlog_requests_refused_total{source=\"shop\",reason=\"body\"} 0");
	assert_on_page("# TYPE touchlog_events_logged_total counter");
}

static void
a_counter_is_exact_beyond_single_precision(void **state)
{
	struct metric *m = metric_get(METRIC_SEEN_PRUNED, NULL, NULL);

	(void)state;
	metric_add(m, UINT64_C(123456789012345));
	metric_add(m, 1);
	assert_on_page("touchlog_seen_pruned_total 123456789012346");
}

static void
a_gauge_shows_what_was_set_last(void **state)
{
	struct metric *m = metric_get(METRIC_QUEUE_OLDEST_AGE, NULL, NULL);

	(void)state;
	metric_set(m, 3);
	metric_set(m, 0.25);
	assert_on_page("touchlog_queue_oldest_age_seconds 0.25");
	metric_set(m, 1700000000.125);
	assert_on_page("touchlog_queue_oldest_age_seconds 1700000000.125");
	metric_set(m, NAN);
	assert_on_page("touchlog_queue_oldest_age_seconds NaN");
	metric_set(m, -INFINITY);
	assert_on_page("touchlog_queue_oldest_age_seconds -Inf");
}

static void
a_histogram_counts_each_value_in_all_buckets_above_it(void **state)
{
	struct metric *m = metric_get(METRIC_BATCH_EVENTS, NULL, NULL);

	(void)state;
	metric_observe(m, 1);
	metric_observe(m, 2);
	metric_observe(m, 3);
	metric_observe(m, 1000);
	metric_observe(m, 5000);
	assert_on_page("touchlog_batch_events_bucket{le=\"1\"} 1");
	assert_on_page("touchlog_batch_events_bucket{le=\"2\"} 2");
	assert_on_page("touchlog_batch_events_bucket{le=\"5\"} 3");
	assert_on_page("touchlog_batch_events_bucket{le=\"500\"} 3");
	assert_on_page("touchlog_batch_events_bucket{le=\"1000\"} 4");
	assert_on_page("touchlog_batch_events_bucket{le=\"+Inf\"} 5");
	assert_on_page("touchlog_batch_events_sum 6006");
	assert_on_page("touchlog_batch_events_count 5");
}

static void
a_labelled_histogram_has_its_label_before_the_bound(void **state)
{
	(void)state;
	metric_observe(metric_get(METRIC_BATCH_STEP, "copy", NULL), 0.0007);
	assert_on_page("touchlog_batch_step_seconds_bucket{step=\"copy\",le=\"0.0005\"} 0");
	assert_on_page("touchlog_batch_step_seconds_bucket{step=\"copy\",le=\"0.001\"} 1");
	assert_on_page("touchlog_batch_step_seconds_sum{step=\"copy\"} 0.0007");
}

static void
label_values_are_escaped(void **state)
{
	(void)state;
	metric_add(metric_get(METRIC_LOGGED, "a\"b\\c\nd", NULL), 1);
	assert_on_page("touchlog_events_logged_total{source=\"a\\\"b\\\\c\\nd\"} 1");
}

static void
a_forgotten_source_leaves_the_page_and_comes_back_at_zero(void **state)
{
	struct metric *m = metric_get(METRIC_LOGGED, "copy", NULL);

	(void)state;
	metric_add(m, 5);
	metric_observe(metric_get(METRIC_BATCH_STEP, "copy", NULL), 1);
	metric_forget("copy");
	/* Who still holds the pointer may go on counting. */
	metric_add(m, 1);
	assert_null(strstr(made_page(), "source=\"copy\""));
	assert_null(strstr(page.p, "touchlog_events_logged_total"));
	assert_on_page("touchlog_batch_step_seconds_count{step=\"copy\"} 1");
	assert_ptr_equal(metric_get(METRIC_LOGGED, "copy", NULL), m);
	assert_on_page("touchlog_events_logged_total{source=\"copy\"} 0");
}

static void
the_manual_page_has_every_family_with_its_labels(void **state)
{
	struct buf text;
	size_t n = 0;

	(void)state;
	buf_init(&text, 1 << 20);
	metric_man(&text);
	buf_add(&text, "", 1);
	assert_true(buf_ok(&text));
	for (const char *p = text.p; (p = strstr(p, ".TP\n.B touchlog_")) != NULL; p++)
		n++;
	assert_int_equal(n, METRIC_NIDS);
	assert_non_null(strstr(text.p, ".B touchlog_requests_refused_total\n"
	    "(counter by source, reason)\n.br\nRequests that"));
	buf_fini(&text);
}

static void
promtool_has_no_complaint_about_any_family(void **state)
{
	FILE *f;

	(void)state;
	if (system("promtool --version >/dev/null 2>&1") != 0)
		skip();
	/* The labels a family does not have are not printed. */
	for (int id = 0; id < METRIC_NIDS; id++)
		(void)metric_get((enum metric_id)id, "a\\b\"c\n", "x");
	metric_observe(metric_get(METRIC_ACK_LATENCY, NULL, NULL), 0.01);
	(void)made_page();
	/* Lint is told on standard output or error, depending on the version. */
	f = popen("promtool check metrics 2>&1 | grep . >&2; test $? = 1", "w");
	assert_non_null(f);
	assert_int_equal(fwrite(page.p, 1, page.n, f), page.n);
	assert_int_equal(pclose(f), 0);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, clean, clean)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_has_no_labels_is_there_with_zero_before_its_first_use),
		TEST(a_counter_adds_up_for_each_of_its_labels),
		TEST(a_counter_is_exact_beyond_single_precision),
		TEST(a_gauge_shows_what_was_set_last),
		TEST(a_histogram_counts_each_value_in_all_buckets_above_it),
		TEST(a_labelled_histogram_has_its_label_before_the_bound),
		TEST(label_values_are_escaped),
		TEST(a_forgotten_source_leaves_the_page_and_comes_back_at_zero),
		TEST(the_manual_page_has_every_family_with_its_labels),
		TEST(promtool_has_no_complaint_about_any_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
