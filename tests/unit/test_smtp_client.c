/* SPDX-License-Identifier: Apache-2.0 */
/* Mails that wait for a connection, to a server that never says a word. */
#include "io/smtp_client.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"

enum { DEADLINE_US = 20 * 1000 * 1000 };

struct setup {
	int			 fd;		/* listens */
	char			 url[64];
	struct event_base	*base;
	struct smtp_client	*client;
};

struct told {
	unsigned		 n;
	struct smtp_result	 result;
};

static const struct smtp_mail mail = { STR("a@b.example"), STR("c@d.example"), STR("x\n") };

static void
on_done(void *arg, const struct smtp_result *result)
{
	struct told *t = arg;

	t->n++;
	t->result = *result;
}

static void
open_setup(struct setup *s, unsigned timeout_ms, unsigned connections)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	struct smtp_server server = { .timeout_ms = timeout_ms, .connections = connections };
	struct err err;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->fd, 10), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(s->url, sizeof(s->url), "smtp://127.0.0.1:%d", ntohs(a.sin_port));
	server.url = s->url;
	s->base = event_base_new();
	s->client = smtp_client_new(s->base, &server, &err);
	assert_non_null(s->client);
}

static void
close_setup(struct setup *s)
{
	smtp_client_free(s->client);
	event_base_free(s->base);
	(void)close(s->fd);
	clock_set_us(-1);
}

static struct smtp_send *
send_one(struct setup *s, struct told *t)
{
	struct err err;
	struct smtp_send *send = smtp_client_send(s->client, &mail, on_done, t, &err);

	*t = (struct told){ .n = 0 };
	assert_non_null(send);
	return send;
}

/* Turns the loop until somebody was told. */
static void
turn_until(struct setup *s, const struct told *t)
{
	int64_t end_us;

	clock_set_us(-1);
	end_us = clock_mono_us() + DEADLINE_US;
	while (t->n == 0) {
		assert_true(clock_mono_us() < end_us);
		(void)event_base_loop(s->base, EVLOOP_ONCE);
	}
}

static void
a_server_that_says_nothing_costs_one_try(void **state)
{
	struct setup s;
	struct told t;

	(void)state;
	open_setup(&s, 100, 1);
	(void)send_one(&s, &t);
	assert_int_equal(t.n, 0);
	turn_until(&s, &t);
	assert_int_equal(t.result.end, SMTP_LATER);
	close_setup(&s);
}

static void
who_finds_no_connection_free_is_not_begun(void **state)
{
	struct setup s;
	struct told first, second;
	int64_t end_us;

	(void)state;
	open_setup(&s, 60000, 1);
	(void)send_one(&s, &first);
	(void)event_base_loop(s.base, EVLOOP_ONCE);	/* it has the one connection */
	(void)send_one(&s, &second);
	end_us = clock_mono_us() + DEADLINE_US;
	clock_set_us(clock_mono_us() + (SMTP_QUEUE_S + 1) * INT64_C(1000000));
	while (second.n == 0)
		(void)event_base_loop(s.base, EVLOOP_ONCE);
	clock_set_us(-1);
	assert_true(clock_mono_us() < end_us);
	assert_int_equal(second.result.end, SMTP_NOT_BEGUN);
	assert_int_equal(first.n, 0);
	close_setup(&s);
	assert_int_equal(first.n, 0);
}

static void
who_is_cancelled_is_not_told_and_frees_the_connection(void **state)
{
	struct setup s;
	struct told first, second, third;
	struct smtp_send *one, *two;

	(void)state;
	open_setup(&s, 300, 1);
	one = send_one(&s, &first);
	two = send_one(&s, &second);
	(void)send_one(&s, &third);
	(void)event_base_loop(s.base, EVLOOP_ONCE);
	smtp_client_cancel(two);
	smtp_client_cancel(one);
	turn_until(&s, &third);
	assert_int_equal(third.result.end, SMTP_LATER);
	assert_int_equal(first.n + second.n, 0);
	close_setup(&s);
}

static void
a_server_that_is_not_there_is_told(void **state)
{
	struct setup s;
	struct told t;

	(void)state;
	open_setup(&s, 5000, 2);
	(void)close(s.fd);
	(void)send_one(&s, &t);
	turn_until(&s, &t);
	assert_int_equal(t.result.end, SMTP_LATER);
	assert_non_null(strstr(t.result.text, "connecting: "));
	close_setup(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_that_says_nothing_costs_one_try),
		cmocka_unit_test(who_finds_no_connection_free_is_not_begun),
		cmocka_unit_test(who_is_cancelled_is_not_told_and_frees_the_connection),
		cmocka_unit_test(a_server_that_is_not_there_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
