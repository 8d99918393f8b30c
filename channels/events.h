/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_EVENTS_H
#define TL_CHANNELS_EVENTS_H

#include "base/checked.h"
#include "base/err.h"
#include "channels/channel.h"

struct http_request;
struct mapping;

/* A posted body -> its events -> the log.  Shared by the channel types that are posted
 * to.  mapping NULL: events are canonical. */

/* Reads all, submits each, and answers when the last fate is known.  The sender is known,
 * and everything about the request but its body was judged. */
void		events_take(struct channel *ch, const struct mapping *mapping,
		    struct http_request *take_req);
/* As channel_ops.replay. */
TL_MUST bool	events_replay(struct channel *ch, const struct mapping *mapping,
		    const struct parking *p, struct receipt *r, struct err *err);

#endif
