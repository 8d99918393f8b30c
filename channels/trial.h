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

struct trial_sender {
	bool		 is_checked;	/* the secrets were there */
	bool		 has_proof;	/* not checked, but it says something that could be */
	const char	*check;		/* that failed; NULL: none */
	struct str	 url;		/* the one that was verified; or none */
};

/* What is found out, in this order, each at most once but for events. */
struct trial_ops {
	/* The rest is told whoever it is. */
	void	(*sender)(void *arg, const struct trial_sender *s);
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
