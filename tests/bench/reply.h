/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BENCH_REPLY_H
#define TL_BENCH_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/str.h"

enum {
	REPLY_ROOM_BYTES = 64 << 10,	/* the head and ids of 500 events fit */
	REPLY_MAX_BYTES = 16 << 20,
	REPLY_STATUS_END = 600,
};

struct reply {
	int		 status;
	const char	*body;		/* borrowed; NUL-terminated when the bytes were */
	bool		 closes;	/* the server closes the connection after it */
};

/* Reads one HTTP/1.1 reply; `bytes` is all that has come, with a NUL behind it.  False:
 * it is not there as a whole.  What is no reply to one request ends the program. */
TL_MUST bool	 reply_read(struct str bytes, struct reply *ret);
/* The value of a member of a flat answer, or NULL. */
const char	*reply_member(const char *body, const char *name);

#endif
