/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SPOOL_H
#define TL_IO_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

struct loop;
struct spool;

/* A durable queue in one file: SQLite (WAL, synchronous=FULL) on a thread of its own.
 * Whoever owns it stays on the loop's thread: every function here is called there, every
 * callback comes there, never from within a call. */

struct spool_item {
	int64_t		 seq;		/* given by the spool, rising; put: ignored */
	struct uuid	 key;		/* unique in the spool */
	struct uuid	 id;
	bool		 is_parking;
	int		 format;	/* version of row */
	struct str	 source;
	struct str	 identities;	/* JSON [["email","a@b.c"],...]: who is in it, for `forget` */
	struct str	 row;		/* the rest, opaque here; its CRC is checked at every read */
};

struct spool_conf {
	struct str	 path;		/* borrowed for the call */
	int64_t		 max_bytes;	/* of rows and their overhead: what the file may grow to */
};

struct spool_ops {
	/* put was fsynced under *id (its own, or the older one that has its key); or, when why
	 * is not NULL, was not kept: full, disk full, file broken. */
	void	(*put_done)(void *owner, void *tag, const struct uuid *id, const struct err *why);
	/* Answers spool_read(): the oldest first; the texts live until it returns.  n 0: there
	 * is nothing behind `after`.  Items that were asked to be removed are not among them. */
	void	(*read_done)(void *owner, const struct spool_item *items, size_t n);
	/* State changed (opened, emptied, broke, salvaged, has room again). */
	void	(*changed)(void *owner);
};

struct spool_state {
	int64_t		 events;	/* on disk, removals asked for not counted */
	int64_t		 bytes;		/* that they take of max_bytes */
	int64_t		 max_bytes;
	int64_t		 oldest_us;	/* clock_now_us() domain: when the oldest was put; 0: empty */
	bool		 takes;		/* a put has a chance now */
	char		 why[200];	/* "" or why it does not take */
};

/* An absolute path of a file, short enough for those that stand beside it. */
bool	 spool_is_path(struct str path);

/* Starts the thread, which opens the file; a damaged one is salvaged there and never an
 * error here.  NULL: no memory, no thread. */
TL_MUST struct spool	*spool_new(struct loop *l, const struct spool_conf *conf,
			    const struct spool_ops *ops, void *owner, struct err *err);
/* Does what was asked for, closes the file, joins the thread; fires nothing.  Not from within
 * a callback.  Accepts NULL. */
void	 spool_free(struct spool *s);

/* Copies the item.  true: put_done() comes once.  false: ERR_RETRY, it does not take. */
TL_MUST bool spool_put(struct spool *s, const struct spool_item *item, void *tag, struct err *err);
/* At most one read at a time.  false: one is under way, or out of memory. */
TL_MUST bool spool_read(struct spool *s, int64_t after, size_t max_items, size_t max_bytes);
/* They are in the log or among the parked now.  No answer: should it fail, they come again,
 * which is harmless.  false: out of memory, likewise. */
bool	 spool_remove(struct spool *s, const int64_t *seqs, size_t n);
void	 spool_state(const struct spool *s, struct spool_state *ret);

#endif
