/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_TRIAL_H
#define TL_CHANNELS_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"
#include "channels/events.h"

struct handshake_answer;
struct http_message;

/* A request that is only looked at (`touchlog source try`): nothing of it is logged, counted
 * or answered. */

/* What is found out, in this order, each at most once but for events. */
struct trial_ops {
	/* check NULL: the sender is known.  Else the check that failed; the rest is told all
	 * the same.  Not called when the sender is not checked.  `url` is the one that was
	 * verified, or none. */
	void	(*sender)(void *arg, const char *check, struct str url);
	/* These end it. */
	void	(*refused)(void *arg, const struct body_refusal *why);
	void	(*handshake)(void *arg, const struct handshake_answer *a);
	struct events_sink	events;
};

/* All of it is borrowed for the call. */
struct trial {
	const struct source		*source;
	const void			*conf;	/* the struct that ops->keys filled */
	const struct http_message	*m;
	struct str			 rest;	/* of its path, behind /in/SOURCE */
	struct uuid			 id;	/* of the first event */
	int64_t				 now_us;
	bool				 checks_sender;	/* the secrets are there */
	const struct trial_ops		*ops;
	void				*arg;	/* theirs */
};

#endif
