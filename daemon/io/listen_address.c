/* SPDX-License-Identifier: Apache-2.0 */
/* ADDRESS:PORT as text and as the kernel has it. */
#include "io/listen_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <event2/util.h>

#include "base/str.h"

/* libevent's own parser does not take port 0. */
bool
listen_address_read(const char *text, struct listen_address *ret)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	const char *colon = strrchr(text, ':');
	bool has_brackets = colon != NULL && colon - text >= 2 && *text == '[' && colon[-1] == ']';
	struct addrinfo *found;
	char host[64];
	int64_t port;

	/* getaddrinfo() takes 99999 for 34463. */
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host) ||
	    !str_to_i64(str_of(colon + 1), 0, UINT16_MAX, &port))
		return false;
	(void)snprintf(host, sizeof(host), "%.*s",
	    (int)(colon - text) - (has_brackets ? 2 : 0), text + has_brackets);
	if ((strchr(host, ':') != NULL) != has_brackets ||
	    getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return false;
	*ret = (struct listen_address){ .len = found->ai_addrlen };
	memcpy(&ret->ss, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return true;
}

static bool
is_listening(int fd)
{
	int yes = 0;
	socklen_t len = sizeof(yes);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes != 0;
}

bool
listen_address_of(int fd, struct listen_address *ret)
{
	struct listen_address a = { .len = sizeof(a.ss) };

	if (!is_listening(fd) || getsockname(fd, (struct sockaddr *)&a.ss, &a.len) != 0 ||
	    (a.ss.ss_family != AF_INET && a.ss.ss_family != AF_INET6))
		return false;
	*ret = a;
	return true;
}

bool
listen_address_eq(const struct listen_address *a, const struct listen_address *b)
{
	return evutil_sockaddr_cmp((const struct sockaddr *)&a->ss,
	    (const struct sockaddr *)&b->ss, 1) == 0;
}

unsigned short
listen_address_port(const struct listen_address *a)
{
	return ntohs(a->ss.ss_family == AF_INET6 ?
	    ((const struct sockaddr_in6 *)&a->ss)->sin6_port :
	    ((const struct sockaddr_in *)&a->ss)->sin_port);
}

void
listen_address_text(const struct listen_address *a, char out[LISTEN_ADDRESS_SIZE])
{
	bool is_6 = a->ss.ss_family == AF_INET6;
	const void *in = is_6 ? (const void *)&((const struct sockaddr_in6 *)&a->ss)->sin6_addr :
	    (const void *)&((const struct sockaddr_in *)&a->ss)->sin_addr;
	char host[INET6_ADDRSTRLEN] = "?";

	(void)inet_ntop(a->ss.ss_family, in, host, sizeof(host));
	(void)snprintf(out, LISTEN_ADDRESS_SIZE, is_6 ? "[%s]:%u" : "%s:%u", host,
	    listen_address_port(a));
}
