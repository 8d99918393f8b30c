/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_EDGE_ONLINE_H
#define TL_EDGE_ONLINE_H

struct config;

/* `touchlogd -t --online`: has PostgreSQL judge the rules of a configuration without errors, and
 * prints what it has against them on stderr.  Returns what to end with. */
int	online_check(const struct config *c);

#endif
