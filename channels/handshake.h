/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_HANDSHAKE_H
#define TL_CHANNELS_HANDSHAKE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/conf.h"
#include "base/str.h"

struct channel;
struct http_message;
struct http_request;
struct signature;

/* What a tool asks before it sends events, and what it wants to hear: a list of rows, as
 * the setting `handshake` has them.  Rows of GET are for everybody, those of POST for who
 * has proven who he is. */
struct handshakes;

/* Everything wrong is complained of in c, at its place.  NULL: something was wrong.  Lives
 * as long as the conf. */
TL_MUST struct handshakes *handshakes_compile(struct conf *c, const struct conf_node *list);
/* One of the rows compares a token. */
bool	handshakes_have_token(const struct handshakes *h);

/* What is said to one who asks. */
struct handshake_answer {
	int		 status;	/* 200; 403: another token; 400: nothing to answer with */
	const char	*check;		/* not 200: one fixed word for the operator */
	struct str	 text;		/* for the sender */
	struct str	 fetches;	/* this URL, before it is said; or none */
};

struct handshake_question {
	const struct http_message	*m;
	struct signature		*tokens;	/* of scheme token: verify_token */
	bool				 trusts_tokens;	/* these are not there: any will do */
};

/* true: the request is one, and that is the answer, whose text is the request's or the
 * arena's.  h NULL: false. */
TL_MUST bool handshakes_find(const struct handshakes *h, const struct handshake_question *q,
    struct arena *a, struct handshake_answer *ret);
void	handshake_reply(struct channel *ch, struct http_request *take_req,
	    const struct handshake_answer *a);

#endif
