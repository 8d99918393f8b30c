/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool's file and its write-ahead log as pages, by SQLite's documents fileformat2.html
 * and walformat.html.
 *
 * The log is a header and frames: a page each, with its number and a checksum that goes on
 * from frame to frame.  SQLite believes the frames up to the first whose checksum fails, and
 * of these those up to the last commit; whatever comes behind is dropped without a word.  That
 * is right for a transaction that was cut off, and would lose acknowledged events where a byte
 * in the middle changed.  Frames of an earlier round, which stand behind the present ones as a
 * rule, are told by their salts.
 */
#include "io/spool_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/spool_row.h"

enum {
	PATH_BYTES		= 4200,
	LOG_HEADER_BYTES	= 32,
	FRAME_HEADER_BYTES	= 24,
	FRAME_BYTES		= FRAME_HEADER_BYTES + SPOOL_PAGE_BYTES,
	TRUNK_MAX		= SPOOL_PAGE_BYTES / 4 - 2,	/* pages one trunk page can list */
};

/* Offsets in page 1. */
enum { AT_PAGE_BYTES = 16, AT_VERSIONS = 18, AT_PAGES = 28, AT_FREE = 32, AT_NFREE = 36,
    AT_FORMAT = 60, AT_APPLICATION = 68 };

static const char magic[16] = "SQLite format 3";

struct frame {
	uint32_t	page;
	uint32_t	commit_pages;	/* of the file then; 0: it ends no transaction */
};

struct spool_raw {
	int		 fd, log_fd;	/* ours; -1: not there */
	uint32_t	 file_pages;	/* whole ones */
	uint32_t	 pages;		/* with a piece of one, and those in the log only */
	struct frame	*frames;	/* ours: those of this round */
	size_t		 nframes;
	size_t		 ncommitted;	/* of them SQLite believes */
	bool		 log_is_bad;	/* its header is damaged */
	bool		 log_is_torn;	/* a commit follows on a frame whose checksum fails */
	uint32_t	*at[2];		/* ours: 1 + the frame that has a page, by layer */
	unsigned char	*free;		/* ours: a bit for each page; NULL: none is known */
};

/* ---- reading ---- */

/* What cannot be read is zeros. */
static void
read_at(int fd, unsigned char *out, size_t n, uint64_t offset)
{
	size_t got = 0;

	while (got < n) {
		ssize_t rc = pread(fd, out + got, n - got, (off_t)(offset + got));

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc <= 0)
			break;
		got += (size_t)rc;
	}
	memset(out + got, 0, n - got);
}

static uint64_t
frame_offset(size_t i)
{
	return LOG_HEADER_BYTES + (uint64_t)i * FRAME_BYTES;
}

static void
read_frame(const struct spool_raw *r, size_t i, unsigned char *out)
{
	read_at(r->log_fd, out, SPOOL_PAGE_BYTES, frame_offset(i) + FRAME_HEADER_BYTES);
}

uint32_t
spool_raw_pages(const struct spool_raw *r)
{
	return r->pages;
}

void
spool_raw_page(const struct spool_raw *r, uint32_t page, enum spool_layer layer,
    unsigned char *out)
{
	if (page == 0 || page > r->pages)
		memset(out, 0, SPOOL_PAGE_BYTES);
	else if (r->at[layer][page] > 0)
		read_frame(r, r->at[layer][page] - 1, out);
	else
		read_at(r->fd, out, SPOOL_PAGE_BYTES, (uint64_t)(page - 1) * SPOOL_PAGE_BYTES);
}

bool
spool_raw_loose(const struct spool_raw *r, size_t i, unsigned char *out)
{
	if (i >= r->nframes - r->ncommitted)
		return false;
	read_frame(r, r->ncommitted + i, out);
	return true;
}

bool
spool_raw_has_tail(const struct spool_raw *r)
{
	return r->nframes > r->ncommitted;
}

enum spool_layer
spool_raw_latest(const struct spool_raw *r)
{
	return r->log_is_bad || r->log_is_torn ? SPOOL_LOOSE : SPOOL_COMMITTED;
}

bool
spool_raw_is_free(const struct spool_raw *r, uint32_t page)
{
	return r->free != NULL && page <= r->pages && (r->free[page / 8] >> page % 8 & 1) != 0;
}

/* ---- the log ---- */

struct sum {
	uint32_t	a, b;
	bool		is_big_endian;	/* how the words were read when it was written */
};

static void
add_to_sum(struct sum *sum, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint32_t x = spool_raw_be32(p + i), y = spool_raw_be32(p + i + 4);

		if (!sum->is_big_endian) {
			x = __builtin_bswap32(x);
			y = __builtin_bswap32(y);
		}
		sum->a += x + sum->b;
		sum->b += y + sum->a;
	}
}

static bool
sum_is(const struct sum *sum, const unsigned char *stored)
{
	return sum->a == spool_raw_be32(stored) && sum->b == spool_raw_be32(stored + 4);
}

/* Salts: those of the header, or, where that is damaged, those of the first frame, which is
 * always of this round. */
static bool
read_log_header(struct spool_raw *r, struct sum *sum, unsigned char salts[8])
{
	enum { LITTLE = 0x377f0682, BIG = 0x377f0683, LOG_VERSION = 3007000 };
	unsigned char head[LOG_HEADER_BYTES], first[FRAME_HEADER_BYTES];
	uint32_t magic_number, version, page_bytes;

	read_at(r->log_fd, head, sizeof(head), 0);
	magic_number = spool_raw_be32(head);
	version = spool_raw_be32(head + 4);
	page_bytes = spool_raw_be32(head + 8);
	sum->is_big_endian = magic_number == BIG;
	add_to_sum(sum, head, 24);
	memcpy(salts, head + 16, 8);
	if ((magic_number == LITTLE || magic_number == BIG) && version == LOG_VERSION &&
	    page_bytes == SPOOL_PAGE_BYTES && sum_is(sum, head + 24))
		return true;
	read_at(r->log_fd, first, sizeof(first), frame_offset(0));
	memcpy(salts, first + 8, 8);
	return false;
}

/* The checksum goes on from the frame before. */
static bool
is_believed(const struct spool_raw *r, size_t i, const unsigned char *head, struct sum *sum)
{
	unsigned char page[SPOOL_PAGE_BYTES];

	read_frame(r, i, page);
	add_to_sum(sum, head, 8);
	add_to_sum(sum, page, sizeof(page));
	return sum_is(sum, head + 16) && r->frames[i].page > 0;
}

/* Takes the frames of this round, and counts those that SQLite believes.  Those of earlier
 * rounds stand behind them all. */
static void
scan_log(struct spool_raw *r, size_t n)
{
	unsigned char head[FRAME_HEADER_BYTES], salts[8];
	struct sum sum = { .a = 0 };
	bool is_good = read_log_header(r, &sum, salts);

	r->log_is_bad = !is_good;
	for (size_t i = 0; i < n; i++) {
		struct frame *f = &r->frames[i];
		bool is_ours;

		read_at(r->log_fd, head, sizeof(head), frame_offset(i));
		*f = (struct frame){ spool_raw_be32(head), spool_raw_be32(head + 4) };
		is_ours = memcmp(head + 8, salts, sizeof(salts)) == 0;
		if (is_ours)
			r->nframes = i + 1;
		/* A transaction that was cut off has no commit: that is written last. */
		r->log_is_torn |= is_ours && !is_good && f->commit_pages > 0;
		is_good = is_good && is_ours && is_believed(r, i, head, &sum);
		if (is_good && f->commit_pages > 0)
			r->ncommitted = i + 1;
	}
}

static bool
read_log(struct spool_raw *r, struct err *err)
{
	struct stat st;
	size_t n;

	if (r->log_fd < 0 || fstat(r->log_fd, &st) != 0 || st.st_size <= LOG_HEADER_BYTES)
		return true;
	/* The last one may have been cut off. */
	n = ((size_t)st.st_size - LOG_HEADER_BYTES + FRAME_BYTES - 1) / FRAME_BYTES;
	r->frames = calloc(n, sizeof(*r->frames));
	if (r->frames == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	scan_log(r, n);
	return true;
}

/* ---- which page stands where ---- */

/* Numbers of frames that are not believed may be anything. */
static uint32_t
count_pages(const struct spool_raw *r)
{
	uint32_t n = r->pages, limit = r->pages + (uint32_t)r->nframes;

	for (size_t i = 0; i < r->nframes; i++)
		if (r->frames[i].page > n && (i < r->ncommitted || r->frames[i].page <= limit))
			n = r->frames[i].page;
	return n;
}

static bool
place_pages(struct spool_raw *r, struct err *err)
{
	r->pages = count_pages(r);
	r->at[SPOOL_COMMITTED] = calloc((size_t)r->pages + 1, sizeof(uint32_t));
	r->at[SPOOL_LOOSE] = calloc((size_t)r->pages + 1, sizeof(uint32_t));
	if (r->at[SPOOL_COMMITTED] == NULL || r->at[SPOOL_LOOSE] == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	for (size_t i = 0; i < r->nframes; i++) {
		uint32_t page = r->frames[i].page;

		if (page == 0 || page > r->pages)
			continue;
		r->at[SPOOL_LOOSE][page] = (uint32_t)i + 1;
		if (i < r->ncommitted)
			r->at[SPOOL_COMMITTED][page] = (uint32_t)i + 1;
	}
	return true;
}

/* ---- free pages ---- */

/* One trunk: the next one, how many it lists, and their numbers.  false: it is none. */
static bool
mark_trunk(struct spool_raw *r, uint32_t trunk, uint32_t *left, uint32_t *ret_next)
{
	unsigned char page[SPOOL_PAGE_BYTES];
	uint32_t n;

	if (trunk > r->pages || *left == 0)
		return false;
	spool_raw_page(r, trunk, SPOOL_COMMITTED, page);
	*ret_next = spool_raw_be32(page);
	n = spool_raw_be32(page + 4);
	if (n > TRUNK_MAX || n + 1 > *left)
		return false;
	*left -= n + 1;
	r->free[trunk / 8] |= (unsigned char)(1 << trunk % 8);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t leaf = spool_raw_be32(page + 8 + 4 * (size_t)i);

		if (leaf < 2 || leaf > r->pages)
			return false;
		r->free[leaf / 8] |= (unsigned char)(1 << leaf % 8);
	}
	return true;
}

/* The list is believed when all of it holds together.  Else no page is taken for free: then
 * some that were removed come again, which is harmless. */
static void
find_free(struct spool_raw *r)
{
	unsigned char page[SPOOL_PAGE_BYTES];
	uint32_t next, left;
	bool ok = true;

	spool_raw_page(r, 1, SPOOL_COMMITTED, page);
	next = spool_raw_be32(page + AT_FREE);
	left = spool_raw_be32(page + AT_NFREE);
	if (left >= r->pages)
		return;
	r->free = calloc((size_t)r->pages / 8 + 1, 1);
	while (r->free != NULL && ok && next != 0)
		ok = mark_trunk(r, next, &left, &next);
	if (ok && left == 0)
		return;
	free(r->free);
	r->free = NULL;
}

/* ---- judging ---- */

static bool
says_later_release(const unsigned char *page)
{
	uint32_t format = spool_raw_be32(page + AT_FORMAT);

	return memcmp(page, magic, sizeof(magic)) == 0 &&
	    spool_raw_be32(page + AT_APPLICATION) == SPOOL_APPLICATION_ID &&
	    format > SPOOL_FORMAT && format <= SPOOL_FORMAT_MAX;
}

static bool
judge_header(const unsigned char *page, struct err *err)
{
	unsigned bytes = (unsigned)page[AT_PAGE_BYTES] << 8 | page[AT_PAGE_BYTES + 1];

	if (memcmp(page, magic, sizeof(magic)) != 0)
		return err_set(err, ERR_INPUT, "it is no file of SQLite");
	if (bytes != SPOOL_PAGE_BYTES || page[AT_VERSIONS] != 2 || page[AT_VERSIONS + 1] != 2 ||
	    page[AT_VERSIONS + 2] != 0 ||
	    spool_raw_be32(page + AT_APPLICATION) != SPOOL_APPLICATION_ID)
		return err_set(err, ERR_INPUT, "its header is not that of a spool");
	return true;
}

static bool
judge_length(const struct spool_raw *r, const unsigned char *page, struct err *err)
{
	uint32_t wanted = r->ncommitted > 0 ? r->frames[r->ncommitted - 1].commit_pages :
	    spool_raw_be32(page + AT_PAGES);

	for (uint32_t i = r->file_pages + 1; i <= wanted; i++)
		if (i > r->pages || r->at[SPOOL_COMMITTED][i] == 0)
			return err_set(err, ERR_INPUT, "it is cut off: %u of %u pages are there",
			    r->file_pages, wanted);
	return true;
}

bool
spool_raw_judge(const struct spool_raw *r, struct err *err)
{
	unsigned char page[SPOOL_PAGE_BYTES];

	spool_raw_page(r, 1, SPOOL_COMMITTED, page);
	if (says_later_release(page))
		return err_set(err, ERR_CONFIG, "its format is %u, of a later release; this one "
		    "reads %d: start that release again, or move the file away",
		    spool_raw_be32(page + AT_FORMAT), SPOOL_FORMAT);
	if (r->file_pages == 0)
		return err_set(err, ERR_INPUT, "nothing is in it");
	if (r->log_is_bad)
		return err_set(err, ERR_INPUT, "the header of its log is damaged");
	if (r->log_is_torn)
		return err_set(err, ERR_INPUT, "its log is damaged behind frame %zu",
		    r->ncommitted);
	return judge_header(page, err) && judge_length(r, page, err);
}

/* ---- opening ---- */

static bool
open_one(const char *path, int *ret_fd, struct err *err)
{
	struct stat st;

	*ret_fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (*ret_fd < 0)
		return errno == ENOENT || err_set(err, ERR_RETRY, "%s: %s", strerror(errno), path);
	if (fstat(*ret_fd, &st) != 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERR_CONFIG, "no regular file: %s", path);
	return true;
}

static bool
open_both(struct spool_raw *r, const char *path, struct err *err)
{
	char log[PATH_BYTES];
	struct stat st = { .st_size = 0 };

	(void)snprintf(log, sizeof(log), "%s-wal", path);
	if (!open_one(path, &r->fd, err) || !open_one(log, &r->log_fd, err))
		return false;
	if (r->fd >= 0)
		(void)fstat(r->fd, &st);
	if (st.st_size / SPOOL_PAGE_BYTES >= UINT32_MAX)
		return err_set(err, ERR_CONFIG, "too large: %s", path);
	r->file_pages = (uint32_t)(st.st_size / SPOOL_PAGE_BYTES);
	r->pages = (uint32_t)((st.st_size + SPOOL_PAGE_BYTES - 1) / SPOOL_PAGE_BYTES);
	return read_log(r, err) && place_pages(r, err);
}

struct spool_raw *
spool_raw_open(const char *path, struct err *err)
{
	struct spool_raw *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	r->fd = r->log_fd = -1;
	if (open_both(r, path, err)) {
		find_free(r);
		return r;
	}
	spool_raw_close(r);
	return NULL;
}

void
spool_raw_close(struct spool_raw *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		(void)close(r->fd);
	if (r->log_fd >= 0)
		(void)close(r->log_fd);
	free(r->frames);
	free(r->at[SPOOL_COMMITTED]);
	free(r->at[SPOOL_LOOSE]);
	free(r->free);
	free(r);
}
