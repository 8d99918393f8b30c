/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_MAIL_MESSAGE_H
#define TL_FLOW_MAIL_MESSAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

/* One mail, before it is written as RFC 5322 and MIME have it.  Whatever the texts hold, each
 * stays within its header: line ends and other control characters become spaces. */
struct mail_message {
	struct str	 from;			/* "Care <care@example.com>" */
	struct str	 to;			/* bare address */
	struct str	 to_name;		/* or none */
	struct str	 reply_to;		/* as from; or none */
	struct str	 subject;
	struct str	 text;			/* UTF-8 */
	struct str	 html;			/* UTF-8; .p NULL: none */
	struct str	 message_id;		/* "x@example.com" */
	struct str	 in_reply_to;		/* of the mail that it answers, with or without < >;
						 * what is none is left out */
	struct str	 thread;		/* of the first mail of that thread; the same */
	struct str	 unsubscribe_url;	/* or none */
	int64_t		 at_us;
};

/* Adds it to out; lines end in LF.  false: ERR_RETRY, memory; ERR_INPUT, from or reply_to is no
 * address. */
TL_MUST bool mail_message_write(const struct mail_message *m, struct buf *out, struct err *err);

#endif
