/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNEL_H
#define TL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "model/interaction.h"
#include "model/parking.h"
#include "model/receipt.h"
#include "model/source.h"

struct channel;			/* one configured source, owned by the host */
struct http_client;
struct http_message;
struct http_request;
struct http_verdict;
struct trial;

/* A channel type turns one foreign protocol into interactions.  The host calls the ops
 * from the event loop only: check while the configuration is read, then new,
 * then the others, at last free. */
struct channel_ops {
	const char		*name;		/* the `type` of a source */
	const struct conf_key	*keys;		/* its own settings, ended by { 0 } */
	size_t			 conf_size;	/* of the struct they fill */

	/* Judges settings as a whole and compiles what is compiled (maps); complains
	 * with conf_complain().  `own` is the filled struct.  NULL: nothing to judge. */
	void	(*check)(struct conf *c, const struct conf_node *node, void *own);
	/* Anybody may send here, so its identities are weak unless the source says
	 * otherwise.  NULL: only who is known sends. */
	bool	(*is_public)(const void *own);
	/* Allocates the instance from checked settings.  No network yet. */
	bool	(*new)(struct channel *ch, struct err *err);
	/* Also accepts an instance whose new failed half way. */
	void	(*free)(struct channel *ch);

	/* The largest body taken is the source's max_body; this may refuse the rest
	 * before a body is read.  `rest` is the path behind /in/{source}, "" or "/…".
	 * NULL: every request is read. */
	bool	(*head)(struct channel *ch, const struct http_message *m, struct str rest,
		    struct http_verdict *verdict);
	/* A request at /in/{source}{rest}: answered once, now or later.  The channel
	 * stays alive until then if it took channel_hold().  NULL: not an HTTP type. */
	void	(*request)(struct channel *ch, struct http_request *req, struct str rest);
	/* Logs what was parked before, under its own id: reads p->raw as if it had
	 * just come.  false: ERR_INPUT, it still does not fit; or as channel_submit().
	 * NULL: this type parks nothing. */
	bool	(*replay)(struct channel *ch, const struct parking *p, struct receipt *r,
		    struct err *err);
	/* Tells what a request would come to, by the same steps as request: there is no
	 * instance, only settings.  false: ERR_RETRY, memory is out.  NULL: requests cannot
	 * be tried. */
	bool	(*try)(const struct trial *t, struct err *err);
};

/* The instance's own state, set in new. */
void			 channel_set_priv(struct channel *ch, void *take_priv);
void			*channel_priv(struct channel *ch);
const struct source	*channel_source(const struct channel *ch);
/* The struct that ops->keys filled. */
const void		*channel_conf(const struct channel *ch);

/* For what has to be fetched from outside.  NULL: it cannot be made, which was said. */
struct http_client	*channel_http(struct channel *ch);

/* Copies i, so it may be freed on return.  true: r (which may be NULL) fires exactly
 * once, later.  false: ERR_RETRY, nothing takes events now, r is not held. */
TL_MUST bool	channel_submit(struct channel *ch, const struct interaction *i,
		    struct receipt *r, struct err *err);
/* The same for what is authentic but cannot be logged. */
TL_MUST bool	channel_park(struct channel *ch, const struct parking *p, struct receipt *r,
		    struct err *err);

/* A reload replaces channels; one that is held lives on until it is released. */
void		channel_hold(struct channel *ch);
void		channel_release(struct channel *ch);

/* True when n more events are within the source's `rate`, n bytes within its `rate_bytes`;
 * they are counted then.  false: they would be in so many seconds. */
TL_MUST bool	channel_within_rate(struct channel *ch, size_t n, int64_t *ret_wait_s);
TL_MUST bool	channel_within_rate_bytes(struct channel *ch, size_t n, int64_t *ret_wait_s);
/* n events begin to wait for their answer, until channel_leave().  false: the source has
 * as many of them as its `max_in_flight` allows. */
TL_MUST bool	channel_enter(struct channel *ch, size_t n);
void		channel_leave(struct channel *ch, size_t n);
/* Bookkeeping: what /metrics, /status and the command line tell. */
void		channel_received(struct channel *ch, size_t nevents);
/* n events are none of ours: they were received, and that is all. */
void		channel_ignored(struct channel *ch, size_t nevents);
/* One event, or the whole request, was not taken: `check` is one fixed word.  `url` goes
 * to the log: the one that was verified, without the values in its query; STR_NONE where
 * none was. */
void		channel_rejected(struct channel *ch, const char *check);
void		channel_refused(struct channel *ch, struct uuid request, int status,
		    const char *check, size_t bytes, struct str url);
/* The end of a request: a letter for each of its events (see request_ring.h). */
void		channel_answered(struct channel *ch, struct uuid request, int status,
		    const char *fates, size_t nfates);

#endif
