/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SPOOL_WORKER_H
#define TL_IO_SPOOL_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/uuid.h"
#include "io/spool.h"
#include "io/spool_file.h"
#include "io/spool_row.h"

/* The spool's thread, and the box through which the loop's thread speaks with it.  All
 * functions here are called by the loop's. */

struct spool_put {
	STAILQ_ENTRY(spool_put)	 link;		/* of who has it now */
	void			*tag;		/* the owner's */
	size_t			 memory_bytes;
	int64_t			 disk_bytes;	/* at most, we think */
	struct uuid		 id;		/* the answer */
	bool			 is_kept;
	struct err		 why;		/* unless it is kept */
	struct spool_row	 row;		/* its texts stand in data */
	char			 data[];
};

STAILQ_HEAD(spool_puts, spool_put);

struct spool_removal {
	TAILQ_ENTRY(spool_removal)	 pending;	/* the loop's side */
	STAILQ_ENTRY(spool_removal)	 link;		/* of who has it now */
	size_t				 n;
	int64_t				 seqs[];	/* rising */
};

STAILQ_HEAD(spool_removals, spool_removal);

struct spool_reading {
	bool			 is_wanted;
	int64_t			 after;
	size_t			 max_items, max_bytes;
};

struct spool_found {
	bool			 is_there;	/* a reading was answered */
	struct spool_item	*items;		/* the arena's, with their texts */
	size_t			 n;
	struct arena		 arena;		/* ours */
};

#define SPOOL_OPENING	"it is being opened"	/* why it does not take at first */

/* What is known of the file. */
struct spool_view {
	struct spool_usage	 usage;
	unsigned		 news;		/* counts openings and recoveries */
	bool			 takes;
	char			 why[sizeof(((struct spool_state *)NULL)->why)];
};

struct spool_told {
	struct spool_puts	 puts;		/* with their answers */
	struct spool_removals	 removals;	/* done */
	struct spool_found	 found;
	struct spool_view	 view;		/* after all this */
};

struct spool_worker;

/* Starts the thread.  wake_fd, an eventfd that outlives it, becomes readable whenever there
 * is something to hear.  NULL: ERR_CONFIG, the path cannot be one; ERR_RETRY. */
TL_MUST struct spool_worker	*spool_worker_new(const struct spool_conf *conf, int wake_fd,
				    struct err *err);
/* Has it do what was asked for, ends it, and frees puts that nobody heard of; removals are the
 * caller's.  Accepts NULL. */
void	 spool_worker_free(struct spool_worker *w);

void	 spool_worker_put(struct spool_worker *w, struct spool_put *take_put);
/* The removal comes back as it is, by spool_worker_hear(). */
void	 spool_worker_remove(struct spool_worker *w, struct spool_removal *r);
/* In place of the one that was asked for before. */
void	 spool_worker_read(struct spool_worker *w, const struct spool_reading *reading);
/* All that was done since it was called last.  What comes with it is the caller's. */
void	 spool_worker_hear(struct spool_worker *w, struct spool_told *ret);

#endif
