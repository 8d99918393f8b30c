/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_USED_TOKENS_H
#define TL_IO_USED_TOKENS_H

#include <stdbool.h>

#include "base/checked.h"
#include "base/str.h"

struct used_tokens;

/* Tokens that were used, and for what: a token that authenticates a request without
 * covering its body is good for the body it first came with, and for no other.  The same
 * body again is a retry.
 *
 * The latest 65,536 are remembered, in this process only; a reload forgets them. */
TL_MUST struct used_tokens *used_tokens_new(void);
void	used_tokens_free(struct used_tokens *u);	/* accepts NULL */
/* false: the token came with another body before. */
TL_MUST bool used_tokens_take(struct used_tokens *u, struct str token, struct str body);

#endif
