/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_EDGE_LISTENER_H
#define TL_EDGE_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/err.h"

struct channel_host;
struct config;
struct intake;
struct listeners;
struct loop;
struct passed_sockets;
struct rules;
struct unsubscribe;

/* The HTTP listeners of a configuration, and what stands at which path.  Each takes the
 * socket that was passed for it, where there is one, else opens its own. */
TL_MUST struct listeners *listeners_new(struct loop *l, const struct config *c,
    struct passed_sockets *passed, struct channel_host *host, struct intake *intake,
    const struct rules *rules, struct unsubscribe *unsubscribe, struct err *err);
/* What a reload may change of them: certificates and limits, for what comes from now on. */
void	listeners_use(struct listeners *ls, const struct config *c);
void	listeners_free(struct listeners *ls);	/* accepts NULL */
/* Takes no new connection; true when the last one is closed. */
void	listeners_drain(struct listeners *ls);
bool	listeners_are_closed(const struct listeners *ls);
/* Sets the metrics of all listeners. */
void	listeners_measure(const struct listeners *ls);

#endif
