/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SPOOL_RAW_H
#define TL_IO_SPOOL_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"

struct spool_raw;

/* The spool's file and its write-ahead log as pages, without SQLite: what can be read of
 * them however damaged they are.  Only while nobody has the file open (SQLite's locks go when
 * any descriptor of this process is closed, and pages change under a writer). */

enum spool_layer {
	SPOOL_COMMITTED,	/* as SQLite would see the page */
	SPOOL_LOOSE,		/* with what stands in the log behind its last good commit */
};

/* A log that is not there, or no file beside a log, is fine.  ERR_RETRY, ERR_CONFIG: they
 * cannot be opened. */
TL_MUST struct spool_raw *spool_raw_open(const char *path, struct err *err);
void		 spool_raw_close(struct spool_raw *r);	/* accepts NULL */

/* Whether SQLite may be let near it.  false: ERR_INPUT, it is damaged, which SQLite would not
 * say or would make worse; ERR_CONFIG, it is of a later release.  This is about its header,
 * its length and its log: damage inside shows when it is used. */
TL_MUST bool	 spool_raw_judge(const struct spool_raw *r, struct err *err);
/* A transaction in the log was cut off: SQLite would drop it. */
bool		 spool_raw_has_tail(const struct spool_raw *r);
/* Which layer was there last: where the log is damaged, the loose one. */
enum spool_layer spool_raw_latest(const struct spool_raw *r);

/* Pages are numbered 1..n. */
uint32_t	 spool_raw_pages(const struct spool_raw *r);
/* Reads a page; one that cannot be read is zeros.  Loose ones fall back to what is
 * committed. */
void		 spool_raw_page(const struct spool_raw *r, uint32_t page, enum spool_layer layer,
		    unsigned char *out);
/* The pages that stand in the log behind its last good commit, in the order they were
 * written.  false: there are no more. */
TL_MUST bool	 spool_raw_loose(const struct spool_raw *r, size_t i, unsigned char *out);
/* The page is on the list of free ones, if that list can be believed. */
bool		 spool_raw_is_free(const struct spool_raw *r, uint32_t page);

static inline uint32_t
spool_raw_be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#endif
