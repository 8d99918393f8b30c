/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_NET_SET_H
#define TL_BASE_NET_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/str.h"

/* Addresses and networks: "10.0.0.0/8", "::1", "192.0.2.7". */
struct net_set;

/* In the arena.  NULL: *ret_bad is the index of the text that is none, or n when memory
 * is out. */
TL_MUST struct net_set *net_set_new(struct arena *a, const struct str *texts, size_t n,
    size_t *ret_bad);
/* Whether an address (IPv4, IPv6, or one in the other: ::ffff:192.0.2.7) is in one of
 * them.  set NULL: no. */
bool	net_set_has(const struct net_set *set, struct str address);

#endif
