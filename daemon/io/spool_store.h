/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SPOOL_STORE_H
#define TL_IO_SPOOL_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/checked.h"
#include "base/err.h"
#include "io/spool.h"

struct spool_file;

enum { SPOOL_PATH_BYTES = 4096 };

/* What stands at the spool's path: made when nothing does, salvaged when it is damaged. */
struct spool_store {
	char	path[SPOOL_PATH_BYTES];
	int64_t	max_bytes;
	int64_t	next_seq;		/* no row that is put is to have a lower one */
	int	lock_fd;		/* of PATH.lock; -1: not held */
	ino_t	ino, log_ino;		/* of the file that was opened, and its log */
	dev_t	dev;
	unsigned failures;		/* salvages in a row that made nothing that could be opened */
	bool	is_damaged;		/* it was found to be, while it was used */
	struct err why;
};

/* ERR_CONFIG: the path cannot be one. */
TL_MUST bool	 spool_store_init(struct spool_store *st, const struct spool_conf *conf,
		    struct err *err);
/* Lets go of the lock. */
void		 spool_store_fini(struct spool_store *st);

/* Takes the lock (one daemon for one spool), and opens the file.  One that is missing is made;
 * a damaged one is set aside as PATH.damaged-TIME, and what can be read of it stands in the
 * new one.  That may take a while, and is logged.  NULL: ERR_RETRY or ERR_CONFIG; trying again
 * may help. */
TL_MUST struct spool_file *spool_store_open(struct spool_store *st, struct err *err);
/* Whether the file that was opened last is still the one at the path. */
bool		 spool_store_stands(const struct spool_store *st);
/* Closes the file, if it is open; the lock stays. */
void		 spool_store_close(struct spool_store *st, struct spool_file *take_f);
/* The same for one that stands there no longer, and is empty: of its own files, none stays. */
void		 spool_store_leave(struct spool_store *st, struct spool_file *take_f);
/* The same; it is damaged: the next spool_store_open() salvages it. */
void		 spool_store_condemn(struct spool_store *st, struct spool_file *take_f,
		    const struct err *why);

#endif
