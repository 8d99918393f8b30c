/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and networks.  All are kept as IPv6, where ::ffff:0:0/96 holds IPv4. */
#include "base/net_set.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { ADDRESS_BITS = 128, IPV4_AT_BYTE = 12, IPV4_AT_BIT = 96, TEXT_BYTES = 64 };

struct net {
	unsigned char	bytes[ADDRESS_BITS / 8];
	size_t		nbits;		/* that have to be the same */
};

struct net_set {
	struct net	*v;	/* the arena's */
	size_t		 n;
};

static bool
read_address(struct str s, unsigned char bytes[16], bool *ret_is_ipv4)
{
	char text[TEXT_BYTES];

	if (s.n == 0 || s.n >= sizeof(text))
		return false;
	(void)snprintf(text, sizeof(text), "%.*s", STR_ARG(s));
	memset(bytes, 0, 16);
	*ret_is_ipv4 = inet_pton(AF_INET, text, bytes + IPV4_AT_BYTE) == 1;
	if (*ret_is_ipv4)
		bytes[10] = bytes[11] = 0xff;
	return *ret_is_ipv4 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool
read_net(struct str s, struct net *ret)
{
	struct str address = str_cut(&s, '/');
	int64_t nbits;
	bool is_ipv4;

	if (!read_address(address, ret->bytes, &is_ipv4))
		return false;
	nbits = is_ipv4 ? ADDRESS_BITS - IPV4_AT_BIT : ADDRESS_BITS;
	if (s.n > 0 && (s.p[0] < '0' || s.p[0] > '9' || !str_to_i64(s, 0, nbits, &nbits)))
		return false;
	ret->nbits = (size_t)nbits + (is_ipv4 ? IPV4_AT_BIT : 0);
	return true;
}

struct net_set *
net_set_new(struct arena *a, const struct str *texts, size_t n, size_t *ret_bad)
{
	struct net_set *set = arena_alloc(a, sizeof(*set));

	*ret_bad = n;
	if (set == NULL || (set->v = arena_alloc(a, (n + 1) * sizeof(*set->v))) == NULL)
		return NULL;
	for (; set->n < n; set->n++)
		if (!read_net(texts[set->n], &set->v[set->n])) {
			*ret_bad = set->n;
			return NULL;
		}
	return set;
}

static bool
is_in(const struct net *net, const unsigned char bytes[16])
{
	size_t whole = net->nbits / 8, rest = net->nbits % 8;

	return memcmp(net->bytes, bytes, whole) == 0 &&
	    (rest == 0 || (net->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0);
}

bool
net_set_has(const struct net_set *set, struct str address)
{
	unsigned char bytes[16];
	bool is_ipv4;

	if (set == NULL || set->n == 0 || !read_address(str_cut(&address, '%'), bytes, &is_ipv4))
		return false;
	for (size_t i = 0; i < set->n; i++)
		if (is_in(&set->v[i], bytes))
			return true;
	return false;
}
