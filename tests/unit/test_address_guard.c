/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses are public. */
#include "io/address_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/net_set.h"

union address { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; };

static union address
address(const char *text)
{
	union address a;

	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1)
		a.any.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1)
		a.any.sa_family = AF_INET6;
	else
		fail_msg("%s is no address", text);
	return a;
}

static void
addresses_of_the_internet_are_public(void **state)
{
	static const char *const texts[] = { "1.1.1.1", "9.255.255.255", "11.0.0.0",
	    "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
	    "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
	    "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2001:4860::8888",
	    "2a00::1", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:0101:0101::1" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		union address a = address(texts[i]);

		if (!address_is_public(&a.any))
			fail_msg("%s is not public", texts[i]);
	}
}

static void
others_are_not(void **state)
{
	static const char *const texts[] = { "0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255",
	    "100.64.0.0", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.255",
	    "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.2.1",
	    "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
	    "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1",
	    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:7f00:1::1",
	    "2001::1", "2001:1ff::1", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1",
	    "fec0::1", "ff02::1", "100::1", "4000::1" };
	const struct sockaddr_un local = { .sun_family = AF_UNIX };
	const union { const struct sockaddr_un *local; const struct sockaddr *any; } u = { &local };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		union address a = address(texts[i]);

		if (address_is_public(&a.any) || address_is_allowed(&a.any, NULL))
			fail_msg("%s is public", texts[i]);
	}
	assert_false(address_is_public(u.any));
	assert_false(address_is_allowed(u.any, NULL));
}

static void
what_is_allowed_by_name_is_allowed_and_nothing_beside_it(void **state)
{
	const struct str texts[] = { STR("10.1.0.0/16"), STR("::1") };
	struct arena arena = { 0 };
	size_t bad;
	const struct net_set *set = net_set_new(&arena, texts, 2, &bad);
	static const struct { const char *text; bool is_allowed; } cases[] = {
		{ "10.1.2.3", true }, { "10.2.0.1", false }, { "::1", true },
		{ "127.0.0.1", false },
		{ "::ffff:10.1.2.3", true }, { "8.8.8.8", true },
	};

	(void)state;
	assert_non_null(set);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		union address a = address(cases[i].text);

		assert_int_equal(address_is_allowed(&a.any, set), cases[i].is_allowed);
	}
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_of_the_internet_are_public),
		cmocka_unit_test(others_are_not),
		cmocka_unit_test(what_is_allowed_by_name_is_allowed_and_nothing_beside_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
