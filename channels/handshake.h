/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_HANDSHAKE_H
#define TL_CHANNELS_HANDSHAKE_H

#include <stdbool.h>

#include "base/checked.h"
#include "base/conf.h"

struct channel;
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

/* true: the request was one, and is answered: as text, or with 403 (a token that `tokens`,
 * of scheme token, does not know) or 400 (nothing to answer with).  h NULL: false. */
TL_MUST bool handshakes_answer(const struct handshakes *h, struct channel *ch,
    struct http_request *req, struct signature *tokens);

#endif
