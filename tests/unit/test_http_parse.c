/* SPDX-License-Identifier: Apache-2.0 */
/* Where the parser stops, and what the caller may decide there.  The grammar is
 * tested through sockets (tests/e2e/test_http.py) and by tests/fuzz/http_parse.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/http_parse.h"

#define HOST "Host: x\r\n"
#define CHUNKED "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

static const struct http_parse_limits limits = { .max_head_bytes = 1024, .max_body_bytes = 100 };

static size_t
feed(struct http_parse *p, const char *text)
{
	return http_parse_feed(p, text, strlen(text));
}

static void
the_parser_stops_between_head_and_body(void **state)
{
	static const char *const heads[] = {
		"POST /a HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", CHUNKED,
	};
	struct http_parse p;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char text[200];
		size_t n = (size_t)snprintf(text, sizeof(text), "%s%s", heads[i],
		    i == 0 ? "hello" : "5\r\nhello\r\n0\r\n\r\n");

		http_parse_init(&p, &limits);
		assert_int_equal(feed(&p, text), strlen(heads[i]));
		assert_int_equal(p.state, PARSE_BODY);
		assert_true(p.knows_target);
		assert_true(str_eq(p.msg.path, STR("/a")));
		assert_int_equal(p.msg.body_len, 0);
		assert_int_equal(feed(&p, text + strlen(heads[i])), n - strlen(heads[i]));
		assert_int_equal(p.state, PARSE_DONE);
		assert_true(str_eq((struct str){ p.msg.body, p.msg.body_len }, STR("hello")));
		http_parse_fini(&p);
	}
}

static void
a_request_without_a_body_does_not_stop_there(void **state)
{
	struct http_parse p;

	(void)state;
	http_parse_init(&p, &limits);
	(void)feed(&p, "POST /a HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
	assert_int_equal(p.state, PARSE_DONE);
	http_parse_fini(&p);
	http_parse_init(&p, &limits);
	(void)feed(&p, "GET /a HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(p.state, PARSE_DONE);
	http_parse_fini(&p);
}

static void
a_lowered_limit_refuses_a_longer_length_at_once(void **state)
{
	struct http_parse p;

	(void)state;
	for (size_t limit = 9; limit <= 10; limit++) {
		http_parse_init(&p, &limits);
		(void)feed(&p, "POST /a HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n");
		http_parse_limit_body(&p, limit);
		assert_int_equal(p.state, limit == 9 ? PARSE_BAD : PARSE_BODY);
		if (limit == 9)
			assert_int_equal(p.status, 413);
		http_parse_fini(&p);
	}
}

static void
a_lowered_limit_cuts_chunks_that_come_to_more(void **state)
{
	struct http_parse p;

	(void)state;
	http_parse_init(&p, &limits);
	(void)feed(&p, CHUNKED);
	http_parse_limit_body(&p, 9);
	(void)feed(&p, "5\r\nhello\r\n4\r\nfour\r\n");
	assert_int_equal(p.state, PARSE_BODY);
	(void)feed(&p, "1\r\n!\r\n");
	assert_int_equal(p.state, PARSE_BAD);
	assert_int_equal(p.status, 413);
	http_parse_fini(&p);
}

static void
a_limit_holds_for_one_request_and_is_never_raised(void **state)
{
	struct http_message m;
	struct http_parse p;

	(void)state;
	http_parse_init(&p, &limits);
	(void)feed(&p, CHUNKED);
	http_parse_limit_body(&p, 1);
	(void)feed(&p, "1\r\n!\r\n0\r\n\r\n");
	assert_int_equal(p.state, PARSE_DONE);
	http_parse_take(&p, &m);
	http_message_fini(&m);
	(void)feed(&p, "POST /a HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n");
	assert_int_equal(p.state, PARSE_BODY);
	http_parse_limit_body(&p, 1000000);
	assert_int_equal(p.max_body_bytes, 100);
	http_parse_fini(&p);
}

static void
a_refused_request_is_readable_once_its_target_is_known(void **state)
{
	static const struct { const char *text; bool is_known; } table[] = {
		{ "POST /a HTTP/1.1\r\n" HOST "Content-Length: 999\r\n\r\n", true },
		{ "POST /a HTTP/1.1\r\n\r\n", true },
		{ "POST a HTTP/1.1\r\n" HOST "\r\n", false },
		{ "nonsense\r\n\r\n", false },
	};
	struct http_parse p;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		http_parse_init(&p, &limits);
		(void)feed(&p, table[i].text);
		assert_int_equal(p.state, PARSE_BAD);
		assert_int_equal(p.knows_target, table[i].is_known);
		if (table[i].is_known)
			assert_true(str_eq(p.msg.path, STR("/a")));
		http_parse_fini(&p);
	}
}

static void
a_header_is_counted_whatever_its_case(void **state)
{
	struct http_parse p;
	struct str first = STR_NONE;

	(void)state;
	http_parse_init(&p, &limits);
	(void)feed(&p, "GET /a HTTP/1.1\r\n" HOST "X-A: 1\r\nx-a: 2\r\n\r\n");
	assert_int_equal(http_message_count(&p.msg, STR("x-A"), &first), 2);
	assert_true(str_eq(first, STR("1")));
	assert_int_equal(http_message_count(&p.msg, STR("x-b"), &first), 0);
	assert_null(first.p);
	http_parse_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_parser_stops_between_head_and_body),
		cmocka_unit_test(a_request_without_a_body_does_not_stop_there),
		cmocka_unit_test(a_lowered_limit_refuses_a_longer_length_at_once),
		cmocka_unit_test(a_lowered_limit_cuts_chunks_that_come_to_more),
		cmocka_unit_test(a_limit_holds_for_one_request_and_is_never_raised),
		cmocka_unit_test(a_refused_request_is_readable_once_its_target_is_known),
		cmocka_unit_test(a_header_is_counted_whatever_its_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
