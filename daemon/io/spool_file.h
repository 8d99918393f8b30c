/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SPOOL_FILE_H
#define TL_IO_SPOOL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/uuid.h"
#include "io/spool_row.h"

struct spool_file;

/* The statements on the spool's file.  All of this may wait for the disk.
 *
 * What a failure means stands in err->kind: ERR_RETRY, the disk is full, fails or is locked,
 * and the same may work later; ERR_INPUT, the file is damaged: nothing it says can be
 * trusted; ERR_CONFIG, somebody has to act (a newer format, permissions). */

/* An empty file that nobody uses yet, made at `path`, where none may stand.  Rows are given
 * to it by spool_file_restore(); spool_file_finish() makes a spool's file of it. */
TL_MUST struct spool_file *spool_file_create(const char *path, struct err *err);
/* On disk, and complete; the file is closed whatever comes of it. */
TL_MUST bool	 spool_file_finish(struct spool_file *take_f, struct err *err);

/* The file of a daemon that holds its lock; max_bytes is what it may grow to. */
TL_MUST struct spool_file *spool_file_open(const char *path, int64_t max_bytes,
		    struct err *err);
/* For others, also while a daemon uses it: it is only read. */
TL_MUST struct spool_file *spool_file_open_to_read(const char *path, struct err *err);
void		 spool_file_close(struct spool_file *f);	/* accepts NULL */
/* The same, and leaves what stands on disk as it is: it is damaged. */
void		 spool_file_abandon(struct spool_file *f);	/* accepts NULL */

/* ---- one transaction ----
 * After a failure it is over: nothing of it was done, and all of it may be tried anew. */
TL_MUST bool	 spool_file_begin(struct spool_file *f, struct err *err);
/* The row's seq is not looked at but set here.  *ret_id: its own; or that of the
 * row that has its key, and it was not put. */
TL_MUST bool	 spool_file_put(struct spool_file *f, struct spool_row *row, struct uuid *ret_id,
		    struct err *err);
/* A row that was saved from a damaged file; its seq too, unless another has that.
 * *ret_is_new false: its key is there already. */
TL_MUST bool	 spool_file_restore(struct spool_file *f, const struct spool_row *row,
		    bool *ret_is_new, struct err *err);
/* Those that are not there are fine. */
TL_MUST bool	 spool_file_remove(struct spool_file *f, const int64_t *seqs, size_t n,
		    struct err *err);
/* On disk when it returns true. */
TL_MUST bool	 spool_file_commit(struct spool_file *f, struct err *err);

/* Calls visit with the rows behind `after`, the oldest first, until it returns false.  Each
 * is checked.  What a row points to lives until visit returns. */
TL_MUST bool	 spool_file_read(struct spool_file *f, int64_t after,
		    bool (*visit)(void *arg, const struct spool_row *row), void *arg,
		    struct err *err);

/* The number that the next row gets; and it is to be no lower than that. */
int64_t		 spool_file_next_seq(const struct spool_file *f);
void		 spool_file_raise_seq(struct spool_file *f, int64_t seq);

struct spool_usage {
	int64_t	events;
	int64_t	used_bytes;	/* of its pages that are not free */
	int64_t	wal_bytes;	/* of the write-ahead log, beside it */
	int64_t	oldest_us;	/* when it was put; 0: none is there */
};

/* As of the last commit. */
TL_MUST bool	 spool_file_usage(struct spool_file *f, struct spool_usage *ret, struct err *err);

/* After each commit: moves the write-ahead log into the file when it is long, and makes the
 * file small when it is empty. */
TL_MUST bool	 spool_file_tend(struct spool_file *f, struct err *err);
/* Whether anything can be written again. */
TL_MUST bool	 spool_file_probe(struct spool_file *f, struct err *err);

#endif
