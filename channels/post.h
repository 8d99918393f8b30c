/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_POST_H
#define TL_CHANNELS_POST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"
#include "channels/channel.h"

struct http_header;
struct http_request;
struct post;

/* One HTTP request that carries events: it gives each its fate and answers when the
 * last is known.  Shared by the channel types that are posted to. */

/* Takes the request over; n events are to come.  is_plural: the answer lists them even
 * when there is one.  NULL: the source has too many in flight, or memory is out, and the
 * request was answered. */
TL_MUST struct post *post_new(struct channel *ch, struct http_request *take_req, size_t n,
    bool is_plural);
/* Memory until the answer is sent. */
struct arena	*post_arena(struct post *p);
/* Event n goes into the log; or among the parked; or is the sender's to mend (`check` is one
 * fixed word for the metric); or is none of ours. */
void		 post_submit(struct post *p, size_t n, const struct interaction *i);
void		 post_park(struct post *p, size_t n, const struct parking *k);
void		 post_reject(struct post *p, size_t n, const char *check, const struct err *why);
void		 post_ignore(struct post *p, size_t n);
/* All n were dealt with.  Answers now, or when the last receipt fires. */
void		 post_finish(struct post *p);

/* A refusal of the whole request: problem+json, counted and kept for `source show`.
 * `check` is one fixed word for the operator, `detail` is for the sender.  headers NULL:
 * those that go with the status (Allow, Retry-After). */
void		 post_refuse(struct channel *ch, struct http_request *take_req, int status,
		    const char *check, const struct http_header *headers, struct str detail);
/* 429: it may come again in so many seconds. */
void		 post_refuse_for_now(struct channel *ch, struct http_request *take_req,
		    const char *check, int64_t wait_s, struct str detail);
/* 401: it is not known who sent it, which is all that the sender is told.  `url` is the one
 * that was verified, or STR_NONE; the log shows it without the values in its query. */
void		 post_refuse_sender(struct channel *ch, struct http_request *take_req,
		    const char *check, const struct http_header *headers, struct str url);

#endif
