/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Action webhook by itself: what it posts, and what it makes of the answer.  The job, the
 * dispatcher and the HTTP client are this file's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "flow/action_set.h"
#include "flow/action_types.h"
#include "flow/dispatcher.h"
#include "flow/host_gate.h"
#include "io/http_client.h"

struct http_fetch {
	bool	is_under_way;
	char	url[256], body[1024], headers[1024];
	void	(*done)(void *arg, const struct http_got *got);
	void	*arg;
};

struct action_job {
	struct json_object	*payload;
	void			*conf, *priv;
	bool			 is_done;
	enum action_end		 end;
	int64_t			 retry_after_ms;
	char			 error[256];
};

static struct http_fetch fetch;
static struct host_gates *gates;
static const char *delivery_id;
static const struct outbound_conf outbound = { .per_host = 4 };

/* ---- the world around it ---- */

const struct action *action_job_action(const struct action_job *job) { (void)job; return NULL; }
const void *action_job_conf(const struct action_job *job) { return job->conf; }
struct json_object *action_job_payload(const struct action_job *job) { return job->payload; }
const char *action_job_delivery_id(const struct action_job *job) { (void)job; return delivery_id; }
void action_job_set_priv(struct action_job *job, void *priv) { job->priv = priv; }
void *action_job_priv(const struct action_job *job) { return job->priv; }
struct dispatcher *action_job_dispatcher(const struct action_job *job) { (void)job; return NULL; }
const struct outbound_conf *action_job_outbound(const struct action_job *job)
    { (void)job; return &outbound; }
struct host_gates *dispatcher_gates(struct dispatcher *d) { (void)d; return gates; }

struct http_client *
dispatcher_http(struct dispatcher *d)
{
	static char client;

	(void)d;
	return (void *)&client;
}

void
action_job_done(struct action_job *job, const struct action_outcome *how)
{
	assert_false(job->is_done);
	job->is_done = true;
	job->end = how->end;
	job->retry_after_ms = how->retry_after_ms;
	(void)snprintf(job->error, sizeof(job->error), "%s", how->error != NULL ? how->error : "");
}

struct http_fetch *
http_client_send(struct http_client *c, const struct http_ask *ask,
    void (*done)(void *arg, const struct http_got *got), void *arg, struct err *err)
{
	size_t n = 0;

	(void)c;
	(void)err;
	assert_true(ask->guards && ask->is_post && ask->ignores_body);
	fetch = (struct http_fetch){ .is_under_way = true, .done = done, .arg = arg };
	(void)snprintf(fetch.url, sizeof(fetch.url), "%s", ask->url);
	(void)snprintf(fetch.body, sizeof(fetch.body), "%.*s", STR_ARG(ask->body));
	for (size_t i = 0; ask->headers[i] != NULL; i++)
		n += (size_t)snprintf(fetch.headers + n, sizeof(fetch.headers) - n, "%s\n",
		    ask->headers[i]);
	return &fetch;
}

void
http_client_cancel(struct http_fetch *f)
{
	assert_true(f->is_under_way);
	f->is_under_way = false;
}

/* ---- what the tests say ---- */

struct settings {
	struct conf_named_list	actions;
};

static const struct conf_variant *
variant(size_t n)
{
	static struct conf_variant webhook;

	webhook = (struct conf_variant){ action_webhook.name, action_webhook.keys,
	    action_webhook.conf_size };
	return n == 0 ? &webhook : NULL;
}

static const struct conf_key no_keys[] = { { 0 } };
static const struct conf_key keys[] = {
	{ "actions", CONF_NAMED, offsetof(struct settings, actions), .keys = no_keys, .size = 1,
	    .variant = variant },
	{ 0 },
};

static struct conf *
load(const char *yaml, struct settings *ret)
{
	char path[] = "/tmp/touchlog-webhook-XXXXXX";
	int fd = mkstemp(path);
	struct conf *c;

	assert_true(fd >= 0 && write(fd, yaml, strlen(yaml)) == (ssize_t)strlen(yaml));
	(void)close(fd);
	*ret = (struct settings){ .actions = { NULL, 0 } };
	c = conf_load(path, keys, ret);
	(void)unlink(path);
	assert_int_equal(ret->actions.n, 1);
	action_webhook.check(c, ret->actions.v[0].node, ret->actions.v[0].own);
	return c;
}

static struct conf *
start(struct action_job *job, const char *yaml, const char *payload)
{
	struct settings s;
	struct conf *c = load(yaml, &s);
	struct err err;

	if (conf_errors(c) > 0)
		fail_msg("%s", conf_error_text(c, 0));
	*job = (struct action_job){ .conf = s.actions.v[0].own };
	assert_true(json_parse(str_of(payload), 100, &job->payload, &err));
	action_webhook.start(job);
	return c;
}

static void
answer(const struct http_got *got)
{
	assert_true(fetch.is_under_way);
	fetch.is_under_way = false;
	fetch.done(fetch.arg, got);
}

static int
begin(void **state)
{
	struct err err;

	(void)state;
	log_set_level(LOG_ERROR);
	gates = host_gates_new(&err);
	host_gates_limit(gates, outbound.per_host);
	delivery_id = "tl_1";
	return 0;
}

static int
end(void **state)
{
	(void)state;
	host_gates_free(gates);
	clock_set_us(-1);
	return 0;
}

/* The text that the reference libraries' vector signs has a space, which our JSON has not; so the
 * id, time and secret are the vector's, and the signature was made with `openssl dgst`. */
static void
a_request_is_signed_as_standard_webhooks_says(void **state)
{
	struct action_job job;
	struct conf *c;

	(void)state;
	delivery_id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
	clock_set_us(INT64_C(1614265330) * 1000000);
	c = start(&job, "actions: { a: { type: webhook, url: \"http://h/x\", body: { test: "
	    "\"={n}\" }, secret: \"plain:MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\" } }\n",
	    "{\"interaction\":{\"n\":2432232314}}");
	assert_string_equal(fetch.body, "{\"test\":2432232314}");
	assert_non_null(strstr(fetch.headers, "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\n"));
	assert_non_null(strstr(fetch.headers, "webhook-timestamp: 1614265330\n"));
	assert_non_null(strstr(fetch.headers,
	    "webhook-signature: v1,Vif40peJBP7Iyl0XGmu61n4MwdrcHov5CFREBpE0svs=\n"));
	answer(&(struct http_got){ .status = 204 });
	assert_int_equal(job.end, ACTION_DONE);
	json_object_put(job.payload);
	conf_free(c);
}

static void
each_answer_has_its_end(void **state)
{
	static const struct { struct http_got got; enum action_end end; } cases[] = {
		{ { .status = 200 }, ACTION_DONE }, { { .status = 299 }, ACTION_DONE },
		{ { .status = 302 }, ACTION_RETRY }, { { .status = 400 }, ACTION_DEAD },
		{ { .status = 401 }, ACTION_DEAD }, { { .status = 408 }, ACTION_RETRY },
		{ { .status = 409 }, ACTION_RETRY }, { { .status = 410 }, ACTION_GONE },
		{ { .status = 425 }, ACTION_RETRY }, { { .status = 429 }, ACTION_RETRY },
		{ { .status = 451 }, ACTION_DEAD }, { { .status = 500 }, ACTION_RETRY },
		{ { .status = 503 }, ACTION_RETRY }, { { .status = 0, .why = "x" }, ACTION_RETRY },
		{ { .status = 0, .why = "x", .is_refused = true }, ACTION_DEAD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct action_job job;
		struct conf *c = start(&job, "actions: { a: { type: webhook, url: "
		    "\"http://h/\" } }\n", "{\"rule\":\"r\"}");

		answer(&cases[i].got);
		assert_int_equal(job.end, cases[i].end);
		json_object_put(job.payload);
		conf_free(c);
	}
}

static void
retry_after_is_handed_on_and_the_host_is_left_in_peace(void **state)
{
	const char *yaml = "actions: { a: { type: webhook, url: \"https://u@h:8443/x?y\" } }\n";
	struct action_job first, second;
	struct conf *c, *c2;

	(void)state;
	clock_set_us(INT64_C(1000) * 1000000);
	c = start(&first, yaml, "{}");
	answer(&(struct http_got){ .status = 429, .retry_after_ms = 7000 });
	assert_int_equal(first.end, ACTION_RETRY);
	assert_int_equal(first.retry_after_ms, 7000);
	c2 = start(&second, yaml, "{}");
	assert_true(second.is_done);
	assert_int_equal(second.end, ACTION_RELEASED);
	assert_in_range(second.retry_after_ms, 6000, 8000);
	json_object_put(first.payload);
	json_object_put(second.payload);
	conf_free(c);
	conf_free(c2);
}

static void
what_cannot_be_built_is_dead(void **state)
{
	struct action_job job;
	char yaml[200], payload[9000];
	struct conf *c;

	(void)state;
	(void)snprintf(yaml, sizeof(yaml), "actions: { a: { type: webhook, url: "
	    "\"http://h/{subject}\" } }\n");
	(void)snprintf(payload, sizeof(payload), "{\"interaction\":{\"subject\":\"%08900d\"}}", 1);
	c = start(&job, yaml, payload);
	assert_true(job.is_done);
	assert_int_equal(job.end, ACTION_DEAD);
	assert_false(fetch.is_under_way);
	json_object_put(job.payload);
	conf_free(c);
}

static void
one_that_is_cancelled_leaves_its_place_to_another(void **state)
{
	const char *yaml = "actions: { a: { type: webhook, url: \"http://h/\" } }\n";
	struct action_job first, second;
	struct conf *c, *c2;

	(void)state;
	host_gates_limit(gates, 1);
	c = start(&first, yaml, "{}");
	c2 = start(&second, yaml, "{\"rule\":\"second\"}");
	assert_string_equal(fetch.body, "{}");
	action_webhook.cancel(&first);
	assert_string_equal(fetch.body, "{\"rule\":\"second\"}");
	assert_false(first.is_done);
	answer(&(struct http_got){ .status = 200 });
	assert_int_equal(second.end, ACTION_DONE);
	json_object_put(first.payload);
	json_object_put(second.payload);
	conf_free(c);
	conf_free(c2);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_signed_as_standard_webhooks_says),
		TEST(each_answer_has_its_end),
		TEST(retry_after_is_handed_on_and_the_host_is_left_in_peace),
		TEST(what_cannot_be_built_is_dead),
		TEST(one_that_is_cancelled_leaves_its_place_to_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
