/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_SNS_DOOR_H
#define TL_CHANNELS_SNS_DOOR_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

struct channel;
struct handshake_answer;
struct http_request;
struct sns;

/* What Amazon SNS wants besides an answer: its certificate is fetched while the request
 * waits, and a subscription is confirmed. */
struct sns_door;

struct sns_door_conf {
	struct channel	*ch;		/* outlives the door */
	struct sns	*sns;		/* likewise */
	const char	*ca_file;	/* or NULL; likewise */
	/* The request has all that it waited for. */
	void		(*again)(struct channel *ch, struct http_request *take_req, struct str rest);
};

/* NULL: ERR_RETRY. */
TL_MUST struct sns_door *sns_door_new(const struct sns_door_conf *conf, struct err *err);
/* Nothing waits any more: a request that does holds the channel.  Accepts NULL. */
void	sns_door_free(struct sns_door *d);

/* The certificate of this request is not known: it waits for it, or is told 503. */
void	sns_door_wait(struct sns_door *d, struct http_request *take_req, struct str rest);
/* Of a sender that is known.  true: it is about the subscription itself and will be
 * answered. */
TL_MUST bool sns_door_takes(struct sns_door *d, struct http_request *req);
/* What sns_door_takes() would do with that body: the answer's texts are the arena's. */
TL_MUST bool sns_door_tells(const struct sns *sns, struct str body, struct arena *a,
    struct handshake_answer *ret);

#endif
