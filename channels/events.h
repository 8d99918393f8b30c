/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_EVENTS_H
#define TL_CHANNELS_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/uuid.h"
#include "channels/channel.h"

struct body_refusal;
struct draft;
struct http_message;
struct http_request;
struct mapping;

/* A posted body -> its events -> the log.  Shared by the channel types that are posted
 * to.  mapping NULL: events are canonical. */

enum event_end {
	EVENT_FITS,		/* it goes into the log */
	EVENT_UNFIT,		/* it is kept until the map is mended */
	EVENT_REJECTED,		/* it is its sender's to mend */
	EVENT_IGNORED,		/* no `when` takes it */
};

/* What one event of a body comes to.  Borrowed for the call. */
struct event_outcome {
	enum event_end			 end;
	size_t				 n;		/* of the request, from 0 */
	size_t				 document, item;	/* where it stands, each from 0 */
	struct uuid			 id;
	const struct interaction	*event;		/* FITS */
	const struct parking		*parking;	/* UNFIT */
	enum dedupe_basis		 key_basis;	/* of that */
	const struct err		*why;		/* UNFIT, REJECTED */
	const char			*check;		/* REJECTED: one fixed word, for the metric */
	/* As far as it could be read; NULL: not at all. */
	const struct draft		*draft;
};

/* Where the events of a body go. */
struct events_sink {
	/* All were counted and the first is to come; is_plural: the body may hold several.
	 * false: none is wanted. */
	bool	(*begin)(void *arg, size_t n, bool is_plural);
	void	(*event)(void *arg, const struct event_outcome *o);
};

/* Reads the whole and gives each event to the sink; `id` is that of the first.  false:
 * refused as a whole, and the sink was told nothing. */
TL_MUST bool	events_read(const struct source *s, const struct mapping *mapping,
		    const struct http_message *m, struct uuid id, const struct events_sink *sink,
		    void *arg, struct body_refusal *why);

/* Reads all, submits each, and answers when the last fate is known.  The sender is known,
 * and everything about the request but its body was judged. */
void		events_take(struct channel *ch, const struct mapping *mapping,
		    struct http_request *take_req);
/* As channel_ops.replay. */
TL_MUST bool	events_replay(struct channel *ch, const struct mapping *mapping,
		    const struct parking *p, struct receipt *r, struct err *err);

#endif
