/* SPDX-License-Identifier: Apache-2.0 */
/* By which URL a sender knows us, and the encodings that stand in one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/encoding.h"
#include "base/net_set.h"
#include "io/request_url.h"

/* "" when it has none.  A peer of "tls " and an address came over TLS. */
static const char *
url_of(const struct url_rules *rules, const char *target, const char *headers, const char *peer,
    const char *rest)
{
	static const struct http_parse_limits limits = { 65536, 0 };
	static char out[1000];
	char text[2000];
	bool is_tls = str_starts(str_of(peer), STR("tls "));
	const struct url_peer who = { str_of(is_tls ? peer + 4 : peer), is_tls };
	struct http_parse p;
	struct buf url;
	int n = snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\n%s\r\n", target, headers);

	http_parse_init(&p, &limits);
	assert_int_equal(http_parse_feed(&p, text, (size_t)n), n);
	assert_int_equal(p.state, PARSE_DONE);
	buf_init(&url, sizeof(out) - 1);
	if (!request_url(rules, &p.msg, who, str_of(rest), &url))
		buf_clear(&url);
	(void)snprintf(out, sizeof(out), "%.*s", STR_ARG(buf_str(&url)));
	buf_fini(&url);
	http_parse_fini(&p);
	return out;
}

static void
without_a_setting_the_request_and_trusted_proxies_tell_it(void **state)
{
#define HOST "Host: h:8080\r\n"
	static const struct { const char *headers, *peer, *url; } table[] = {
		{ HOST, "127.0.0.1", "http://h:8080/in/x?a=%20b" },
		{ HOST "X-Forwarded-Proto: https\r\nX-Forwarded-Host: p.example\r\n", "10.1.2.3",
		    "https://p.example/in/x?a=%20b" },
		{ HOST "X-Forwarded-Proto: https\r\nX-Forwarded-Host: p.example\r\n", "11.1.2.3",
		    "http://h:8080/in/x?a=%20b" },
		{ HOST "X-Forwarded-Proto: https\r\n", "::ffff:10.1.2.3", "https://h:8080/in/x?a=%20b" },
		{ HOST "X-Forwarded-Host: evil, p.example\r\n", "fd00::7", "http://p.example/in/x?a=%20b" },
		{ HOST "X-Forwarded-Host: evil\r\nX-Forwarded-Host: p.example\r\n", "fd00::7",
		    "http://p.example/in/x?a=%20b" },
		{ HOST "X-Forwarded-Host: p.example/x\r\nX-Forwarded-Proto: gopher\r\n", "10.1.2.3",
		    "http://h:8080/in/x?a=%20b" },
		{ HOST "X-Forwarded-Host:\r\n", "10.1.2.3", "http://h:8080/in/x?a=%20b" },
		{ HOST, "tls 127.0.0.1", "https://h:8080/in/x?a=%20b" },
		{ HOST "X-Forwarded-Proto: http\r\n", "tls 127.0.0.1", "https://h:8080/in/x?a=%20b" },
		{ HOST "X-Forwarded-Proto: http\r\n", "tls 10.1.2.3", "http://h:8080/in/x?a=%20b" },
		{ HOST "X-Forwarded-Host: p.example\r\n", "tls 10.1.2.3", "https://p.example/in/x?a=%20b" },
		{ "Host:\r\n", "127.0.0.1", "" },
	};
	const struct str nets[] = { STR("10.0.0.0/8"), STR("fd00::/16") };
	struct arena a = { 0 };
	size_t bad;
	const struct url_rules rules = { .public_url = STR_NONE,
	    .proxies = net_set_new(&a, nets, 2, &bad) };

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_string_equal(url_of(&rules, "/in/x?a=%20b", table[i].headers, table[i].peer, ""),
		    table[i].url);
	arena_fini(&a);
}

static void
a_public_url_stands_before_the_path_or_for_it(void **state)
{
	struct url_rules rules = { .public_url = STR("https://e.example/hooks") };

	(void)state;
	assert_string_equal(url_of(&rules, "/in/x/tok?a=b", "Host: h\r\n", "::1", "/tok"),
	    "https://e.example/hooks/in/x/tok?a=b");
	assert_string_equal(url_of(&rules, "http://h/in/x?", "Host: h\r\n", "::1", ""),
	    "https://e.example/hooks/in/x?");
	rules.is_whole = true;
	assert_string_equal(url_of(&rules, "/in/x/tok?a=b", "Host: h\r\n", "::1", "/tok"),
	    "https://e.example/hooks/tok?a=b");
	assert_string_equal(url_of(&rules, "/in/x", "Host: h\r\n", "::1", ""),
	    "https://e.example/hooks");
}

static void
what_is_no_public_url_is_refused(void **state)
{
	static const struct { const char *text, *url; } table[] = {
		{ "https://e.example", "https://e.example" },
		{ "https://e.example/", "https://e.example" },
		{ "http://e.example:8080/a/b/", "http://e.example:8080/a/b" },
		{ "http://[::1]:80", "http://[::1]:80" },
		{ "e.example", NULL }, { "ftp://e.example", NULL }, { "https://", NULL },
		{ "https:///a", NULL }, { "https://e.example?a", NULL }, { "", NULL },
		{ "https://e.example/a?b", NULL }, { "https://e.example/#b", NULL },
		{ "https://me@e.example", NULL }, { "https://e example", NULL },
		{ "https://e.example/a b", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct str url = STR_NONE;

		assert_int_equal(public_url_read(str_of(table[i].text), &url), table[i].url != NULL);
		if (table[i].url != NULL && !str_eq(url, str_of(table[i].url)))
			fail_msg("%s: %.*s", table[i].text, STR_ARG(url));
	}
}

static void
people_see_the_url_without_the_values_in_its_query(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	request_url_shown(STR("https://h/in/x?token=s3cret&b&=c&d=e=f"), &b);
	assert_true(str_eq(buf_str(&b), STR("https://h/in/x?token=&b=&=&d=")));
	buf_clear(&b);
	request_url_shown(STR("https://h/in/x"), &b);
	assert_true(str_eq(buf_str(&b), STR("https://h/in/x")));
	buf_fini(&b);
}

static void
networks_hold_their_addresses_and_no_others(void **state)
{
	static const struct { const char *net, *address; bool is_in; } table[] = {
		{ "10.0.0.0/8", "10.255.0.1", true }, { "10.0.0.0/8", "11.0.0.1", false },
		{ "10.0.0.0/9", "10.127.0.1", true }, { "10.0.0.0/9", "10.128.0.1", false },
		{ "192.0.2.7", "192.0.2.7", true }, { "192.0.2.7", "192.0.2.8", false },
		{ "192.0.2.7/32", "::ffff:192.0.2.7", true }, { "0.0.0.0/0", "192.0.2.7", true },
		{ "0.0.0.0/0", "::1", false }, { "::/0", "192.0.2.7", true },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::1", "::1", true }, { "fe80::/10", "fe80::1%eth0", true },
		{ "::1", "", false }, { "::1", "x", false },
	};
	static const char *const bad[] = { "", "x", "10.0.0.0/33", "::/129", "10.0.0.0/x",
	    "10.0.0.0/-1", "10.0.0", "10.0.0.0/+8", "[::1]" };
	struct arena a = { 0 };
	size_t at;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct str net = str_of(table[i].net);
		const struct net_set *set = net_set_new(&a, &net, 1, &at);

		assert_non_null(set);
		if (net_set_has(set, str_of(table[i].address)) != table[i].is_in)
			fail_msg("%s in %s", table[i].address, table[i].net);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct str nets[] = { STR("::1"), str_of(bad[i]) };

		if (net_set_new(&a, nets, 2, &at) != NULL)
			fail_msg("%s is a network", bad[i]);
		assert_int_equal(at, 1);
	}
	assert_false(net_set_has(NULL, STR("::1")));
	arena_fini(&a);
}

static void
bytes_and_their_text_are_the_same_both_ways(void **state)
{
	unsigned char bytes[256], back[256];
	struct buf text;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7);
	buf_init(&text, 1000);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		buf_clear(&text);
		encode_base64(&text, bytes, len);
		assert_true(decode_base64(buf_str(&text), back, len, &n));
		assert_int_equal(n, len);
		assert_memory_equal(back, bytes, len);
		assert_false(len > 0 && decode_base64(buf_str(&text), back, len - 1, &n));
		buf_clear(&text);
		encode_hex(&text, bytes, len);
		assert_true(decode_hex(buf_str(&text), back, len, &n));
		assert_int_equal(n, len);
		assert_memory_equal(back, bytes, len);
		assert_false(len > 0 && decode_hex(buf_str(&text), back, len - 1, &n));
	}
	buf_fini(&text);
}

static void
percent_encoding_is_undone_or_refused(void **state)
{
	static const struct { const char *text; bool plus; const char *out; } table[] = {
		{ "a%20b+c", true, "a b c" }, { "a%20b+c", false, "a b+c" }, { "%c3%A9", true, "\xc3\xa9" },
		{ "", true, "" }, { "%", true, NULL }, { "%2", true, NULL }, { "%2g", true, NULL },
		{ "%%32", true, NULL }, { "a%+1", true, NULL },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		buf_clear(&b);
		assert_int_equal(percent_decode(str_of(table[i].text), table[i].plus, &b),
		    table[i].out != NULL);
		if (table[i].out != NULL)
			assert_true(str_eq(buf_str(&b), str_of(table[i].out)));
	}
	buf_clear(&b);
	percent_encode(&b, STR("a b/\xc3\xa9~."), "~.");
	assert_true(str_eq(buf_str(&b), STR("a%20b%2F%C3%A9~.")));
	assert_true(urlencoded_find(STR("a=1&&b=2%263&b=4&c"), STR("b"), &b));
	assert_true(str_eq(buf_str(&b), STR("2&3")));
	assert_true(urlencoded_find(STR("%62=x"), STR("b"), &b));
	assert_true(urlencoded_find(STR("a=1&c"), STR("c"), &b));
	assert_int_equal(b.n, 0);
	assert_false(urlencoded_find(STR("a=1&c"), STR("b"), &b));
	assert_false(urlencoded_find(STR("b=%"), STR("b"), &b));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_setting_the_request_and_trusted_proxies_tell_it),
		cmocka_unit_test(a_public_url_stands_before_the_path_or_for_it),
		cmocka_unit_test(what_is_no_public_url_is_refused),
		cmocka_unit_test(people_see_the_url_without_the_values_in_its_query),
		cmocka_unit_test(networks_hold_their_addresses_and_no_others),
		cmocka_unit_test(bytes_and_their_text_are_the_same_both_ways),
		cmocka_unit_test(percent_encoding_is_undone_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
