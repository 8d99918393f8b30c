/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of Amazon SNS: whose topic, which host.  What is signed is tested end to end. */
#include "io/sns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ARN "arn:aws:sns:eu-west-1:123456789012:mails"
#define CERTIFICATE "/SimpleNotificationService-0a1b.pem"

static const int64_t now_us = 1700000000 * INT64_C(1000000);

static struct sns *
make(struct str topic, struct str host)
{
	const struct sns_conf conf = { &topic, 1, &host, host.p != NULL, INT64_C(3600000000) };
	struct err err;
	struct sns *s = sns_new(&conf, &err);

	if (s == NULL)
		fail_msg("%s", err.text);
	return s;
}

/* The check that fails without any certificate. */
static const char *
check(struct sns *s, const char *topic, const char *url)
{
	struct sns_message m;
	char body[1000];
	const char *failed;
	int n = snprintf(body, sizeof(body), "{\"Type\":\"Notification\",\"MessageId\":\"1\","
	    "\"TopicArn\":\"%s\",\"Message\":\"x\",\"Timestamp\":\"2023-11-14T22:13:20.000Z\","
	    "\"SignatureVersion\":\"2\",\"Signature\":\"eA==\",\"SigningCertURL\":\"%s\"}", topic, url);

	assert_in_range(n, 1, sizeof(body) - 1);
	failed = sns_read(str_of(body), &m);
	if (failed == NULL)
		failed = sns_verify(s, &m, now_us);
	sns_message_fini(&m);
	return failed;
}

static void
a_certificate_stands_at_the_host_of_its_topics_region(void **state)
{
	static const struct { const char *topic, *host; } rows[] = {
		{ ARN, "sns.eu-west-1.amazonaws.com" },
		{ "arn:aws-cn:sns:cn-north-1:1:x", "sns.cn-north-1.amazonaws.com.cn" },
		{ "arn:aws-us-gov:sns:us-gov-west-1:1:x", "sns.us-gov-west-1.amazonaws.com" },
	};
	static const char *const others[] = { "sns.us-east-1.amazonaws.com",
	    "sns.eu-west-1.amazonaws.com.evil.example", "evil.example", "sns.amazonaws.com",
	    "user@sns.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com:8443" };
	char url[300];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sns *s = make(str_of(rows[i].topic), STR_NONE);

		(void)snprintf(url, sizeof(url), "https://%s" CERTIFICATE, rows[i].host);
		assert_string_equal(check(s, rows[i].topic, url), sns_certificate_unknown);
		(void)snprintf(url, sizeof(url), "http://%s" CERTIFICATE, rows[i].host);
		assert_string_equal(check(s, rows[i].topic, url), "certificate_url");
		for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++) {
			(void)snprintf(url, sizeof(url), "https://%s" CERTIFICATE, others[k]);
			assert_string_equal(check(s, rows[i].topic, url), "certificate_url");
		}
		assert_string_equal(check(s, "arn:aws:sns:eu-west-1:123456789012:other", url), "topic");
		sns_free(s);
	}
}

static void
hosts_of_ones_own_replace_it(void **state)
{
	struct sns *s = make(STR(ARN), STR("vpce-1.sns.example:8443"));

	(void)state;
	assert_string_equal(check(s, ARN, "https://vpce-1.sns.example:8443" CERTIFICATE),
	    sns_certificate_unknown);
	assert_string_equal(check(s, ARN, "https://VPCE-1.sns.example:8443" CERTIFICATE),
	    sns_certificate_unknown);
	assert_string_equal(check(s, ARN, "https://vpce-1.sns.example" CERTIFICATE),
	    "certificate_url");
	assert_string_equal(check(s, ARN, "https://sns.eu-west-1.amazonaws.com" CERTIFICATE),
	    "certificate_url");
	sns_free(s);
}

static void
only_what_looks_like_a_certificate_of_sns_is_fetched(void **state)
{
	static const char *const paths[] = { "/", "", "/x.pem", "/SimpleNotificationService-.pem",
	    "/SimpleNotificationService-0a.pem?x=1", "/SimpleNotificationService-0a/../x.pem",
	    "/SimpleNotificationService-0g.pem", "/a/SimpleNotificationService-0a.pem",
	    "/SimpleNotificationService-0a.pem#x", "/SimpleNotificationService-0a.pem " };
	struct sns *s = make(STR(ARN), STR_NONE);
	char url[300];

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		(void)snprintf(url, sizeof(url), "https://sns.eu-west-1.amazonaws.com%s", paths[i]);
		assert_string_equal(check(s, ARN, url), "certificate_url");
	}
	sns_free(s);
}

static void
what_is_no_message_is_unsigned(void **state)
{
	static const char *const bodies[] = { "", "[]", "{}", "null", "x",
	    "{\"Type\":\"Notification\"}",
	    "{\"Type\":\"X\",\"TopicArn\":\"a\",\"Signature\":\"b\",\"SigningCertURL\":\"c\"}",
	    "{\"Type\":\"Notification\",\"TopicArn\":1,\"Signature\":\"b\",\"SigningCertURL\":\"c\"}",
	    "{\"Type\":\"Notification\",\"TopicArn\":\"a\",\"SigningCertURL\":\"c\"}" };
	struct sns_message m;

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		assert_string_equal(sns_read(str_of(bodies[i]), &m), "body_unsigned");
		sns_message_fini(&m);
	}
}

static void
a_topic_that_is_none_is_a_config_error(void **state)
{
	static const char *const topics[] = { "", "mails", "arn:aws:sqs:eu-west-1:1:x",
	    "arn:aws:sns::1:x", "arn:aws:sns:eu-west-1:1", "arn:aws:sns:eu-west-1::x",
	    "arn:aws:sns:evil.example/:1:x", "xrn:aws:sns:eu-west-1:1:x", "arn:gcp:sns:eu:1:x" };

	(void)state;
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
		const struct str topic = str_of(topics[i]);
		const struct sns_conf conf = { &topic, 1, NULL, 0, 1 };
		struct err err;

		assert_null(sns_new(&conf, &err));
		assert_int_equal(err.kind, ERR_CONFIG);
	}
}

static void
what_is_no_certificate_is_not_believed(void **state)
{
	static const struct str pems[] = { STR(""), STR("x"),
	    STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") };
	struct sns *s = make(STR(ARN), STR_NONE);
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(pems) / sizeof(pems[0]); i++) {
		assert_false(sns_add_certificate(s, STR("https://x/y"), pems[i], NULL, now_us, &err));
		assert_int_equal(err.kind, ERR_INPUT);
	}
	sns_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_stands_at_the_host_of_its_topics_region),
		cmocka_unit_test(hosts_of_ones_own_replace_it),
		cmocka_unit_test(only_what_looks_like_a_certificate_of_sns_is_fetched),
		cmocka_unit_test(what_is_no_message_is_unsigned),
		cmocka_unit_test(a_topic_that_is_none_is_a_config_error),
		cmocka_unit_test(what_is_no_certificate_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
