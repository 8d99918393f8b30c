/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_LISTEN_ADDRESS_H
#define TL_IO_LISTEN_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/checked.h"

enum { LISTEN_ADDRESS_SIZE = 64 };	/* of its text, with the NUL */

/* Where a listener listens. */
struct listen_address {
	struct sockaddr_storage	ss;
	socklen_t		len;
};

/* "1.2.3.4:80" or "[::1]:80": numbers only; port 0 lets the kernel choose. */
TL_MUST bool	listen_address_read(const char *text, struct listen_address *ret);
/* That of a listening TCP socket; false: it is no such thing. */
TL_MUST bool	listen_address_of(int fd, struct listen_address *ret);
bool		listen_address_eq(const struct listen_address *a, const struct listen_address *b);
unsigned short	listen_address_port(const struct listen_address *a);
void		listen_address_text(const struct listen_address *a, char out[LISTEN_ADDRESS_SIZE]);

#endif
