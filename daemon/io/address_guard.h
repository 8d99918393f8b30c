/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_ADDRESS_GUARD_H
#define TL_IO_ADDRESS_GUARD_H

#include <stdbool.h>

struct net_set;
struct sockaddr;

/* Whether an address is one of the internet at large: not this machine, not a private network, not
 * a link's (where clouds keep their metadata), no multicast, nothing reserved. */
bool	address_is_public(const struct sockaddr *sa);
/* Whether it may be connected to: public, or in the set, which may be NULL. */
bool	address_is_allowed(const struct sockaddr *sa, const struct net_set *allowed);

#endif
