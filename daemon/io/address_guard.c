/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses a request that others had a say in may go to.
 *
 * The registries of special addresses (RFC 6890 and its successors).  IPv4 inside of IPv6 is judged
 * as IPv4; of IPv6 only the global unicast range is public.
 */
#include "io/address_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/net_set.h"

struct ipv4_net {
	uint32_t	address;
	unsigned	nbits;
};

#define IPV4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

static const struct ipv4_net special[] = {
	{ IPV4(0, 0, 0, 0), 8 },	/* this host */
	{ IPV4(10, 0, 0, 0), 8 },
	{ IPV4(100, 64, 0, 0), 10 },	/* behind a carrier's NAT; some clouds' metadata */
	{ IPV4(127, 0, 0, 0), 8 },
	{ IPV4(169, 254, 0, 0), 16 },	/* a link's, metadata */
	{ IPV4(172, 16, 0, 0), 12 },
	{ IPV4(192, 0, 0, 0), 24 },
	{ IPV4(192, 0, 2, 0), 24 },	/* documentation, and two below */
	{ IPV4(192, 88, 99, 0), 24 },
	{ IPV4(192, 168, 0, 0), 16 },
	{ IPV4(198, 18, 0, 0), 15 },	/* benchmarks */
	{ IPV4(198, 51, 100, 0), 24 },
	{ IPV4(203, 0, 113, 0), 24 },
	{ IPV4(224, 0, 0, 0), 3 },	/* multicast, and what is reserved behind it */
};

static bool
ipv4_is_public(uint32_t address)
{
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if ((address ^ special[i].address) >> (32 - special[i].nbits) == 0)
			return false;
	return true;
}

static uint32_t
ipv4_at(const unsigned char *p)
{
	return IPV4(p[0], p[1], p[2], p[3]);
}

static bool
ipv6_is_public(const unsigned char b[16])
{
	static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	static const unsigned char nat64[12] = { 0, 0x64, 0xff, 0x9b };

	if (memcmp(b, mapped, sizeof(mapped)) == 0 || memcmp(b, nat64, sizeof(nat64)) == 0)
		return ipv4_is_public(ipv4_at(b + 12));
	if ((b[0] & 0xe0) != 0x20)
		return false;
	if (b[0] == 0x20 && b[1] == 0x02)	/* 6to4 */
		return ipv4_is_public(ipv4_at(b + 2));
	if (b[0] == 0x20 && b[1] == 0x01)	/* protocols' own; documentation */
		return (b[2] & 0xfe) != 0 && !(b[2] == 0x0d && b[3] == 0xb8);
	return true;
}

bool
address_is_public(const struct sockaddr *sa)
{
	union { const struct sockaddr *any; const struct sockaddr_in *v4;
	    const struct sockaddr_in6 *v6; } a = { sa };

	if (sa->sa_family == AF_INET)
		return ipv4_is_public(ntohl(a.v4->sin_addr.s_addr));
	return sa->sa_family == AF_INET6 && ipv6_is_public(a.v6->sin6_addr.s6_addr);
}

bool
address_is_allowed(const struct sockaddr *sa, const struct net_set *allowed)
{
	union { const struct sockaddr *any; const struct sockaddr_in *v4;
	    const struct sockaddr_in6 *v6; } a = { sa };
	const void *bytes = sa->sa_family == AF_INET ? (const void *)&a.v4->sin_addr :
	    (const void *)&a.v6->sin6_addr;
	char text[INET6_ADDRSTRLEN];

	if (address_is_public(sa))
		return true;
	return (sa->sa_family == AF_INET || sa->sa_family == AF_INET6) &&
	    inet_ntop(sa->sa_family, bytes, text, sizeof(text)) != NULL &&
	    net_set_has(allowed, str_of(text));
}
