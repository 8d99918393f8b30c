/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands at the spool's path: its lock, making it, opening it, salvaging it.
 *
 * A spool's file is made as PATH.new and moved into place when it is complete and on disk, so
 * there is never half a one at PATH.  Salvaging: the rows that can be read go into PATH.new;
 * then the damaged file moves aside, its log behind it, and the new one into its place.  Who
 * dies between these moves leaves no file at PATH but a complete PATH.new, and the next one
 * goes on from there.  A log must never come to stand beside a file that is not its own:
 * SQLite would play it back into that.
 */
#include "io/spool_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/spool_carve.h"
#include "io/spool_file.h"
#include "io/spool_raw.h"

enum { SUFFIX_BYTES = 64, NAMES_MAX = 1000, SALVAGES_MAX = 3 };

bool
spool_is_path(struct str path)
{
	return path.n > 1 && path.n < SPOOL_PATH_BYTES - SUFFIX_BYTES && path.p[0] == '/' &&
	    path.p[path.n - 1] != '/';
}

bool
spool_store_init(struct spool_store *st, const struct spool_conf *conf, struct err *err)
{
	*st = (struct spool_store){ .max_bytes = conf->max_bytes, .lock_fd = -1 };
	if (!spool_is_path(conf->path))
		return err_set(err, ERR_CONFIG, "spool: an absolute path is wanted");
	(void)snprintf(st->path, sizeof(st->path), "%.*s", STR_ARG(conf->path));
	return true;
}

void
spool_store_fini(struct spool_store *st)
{
	if (st->lock_fd >= 0)
		(void)close(st->lock_fd);
	st->lock_fd = -1;
}

/* ---- names and moves ---- */

static void
join(const char *path, const char *suffix, char ret[SPOOL_PATH_BYTES])
{
	(void)snprintf(ret, SPOOL_PATH_BYTES, "%.*s%s", SPOOL_PATH_BYTES - SUFFIX_BYTES, path,
	    suffix);
}

static bool
is_there(const char *path, const char *suffix)
{
	char name[SPOOL_PATH_BYTES];
	struct stat st;

	join(path, suffix, name);
	return lstat(name, &st) == 0;
}

/* One that is not there is fine. */
static bool
move(const char *from, const char *to, const char *suffix, struct err *err)
{
	char old[SPOOL_PATH_BYTES], new[SPOOL_PATH_BYTES];

	join(from, suffix, old);
	join(to, suffix, new);
	return rename(old, new) == 0 || errno == ENOENT ||
	    err_set(err, ERR_RETRY, "%s: %s", strerror(errno), new);
}

static void
drop(const char *path, const char *suffix)
{
	char name[SPOOL_PATH_BYTES];

	join(path, suffix, name);
	(void)unlink(name);
}

static void
drop_all(const char *path)
{
	drop(path, "");
	drop(path, "-wal");
	drop(path, "-shm");
	drop(path, "-journal");
}

static bool
sync_folder(const char *path, struct err *err)
{
	char folder[SPOOL_PATH_BYTES];
	int fd;
	bool ok;

	join(path, "", folder);
	*(strrchr(folder, '/') + 1) = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok = fd >= 0 && fsync(fd) == 0;
	if (!ok)
		(void)err_set(err, ERR_RETRY, "%s: %s", strerror(errno), folder);
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

/* A name that was never used: PATH.damaged-TIME, or the same and a number. */
static void
name_aside(const char *path, char ret[SPOOL_PATH_BYTES])
{
	time_t at_s = (time_t)(clock_now_us() / 1000000);
	char suffix[SUFFIX_BYTES], text[32] = "";
	struct tm tm;

	if (gmtime_r(&at_s, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &tm);
	for (int n = 1; n <= NAMES_MAX; n++) {
		(void)snprintf(suffix, sizeof(suffix), n == 1 ? ".damaged-%s" : ".damaged-%s-%d",
		    text, n);
		join(path, suffix, ret);
		if (!is_there(ret, "") && !is_there(ret, "-wal"))
			return;
	}
}

/* Moves PATH.new into its place, and what stands there aside. */
static bool
publish(const struct spool_store *st, const char *fresh, const char *aside, struct err *err)
{
	if (!move(st->path, aside, "", err) || !move(st->path, aside, "-wal", err))
		return false;
	drop(st->path, "-shm");
	drop(st->path, "-journal");
	return move(fresh, st->path, "", err) && sync_folder(st->path, err);
}

/* ---- the lock ---- */

/* flock(), which belongs to the descriptor: SQLite's own are POSIX locks, which let readers
 * in. */
static bool
take_lock(struct spool_store *st, struct err *err)
{
	char path[SPOOL_PATH_BYTES];
	int fd;

	if (st->lock_fd >= 0)
		return true;
	join(st->path, ".lock", path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_RETRY, "%s: %s", errno == ENOENT ?
		    "the folder is not there" : strerror(errno), path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		(void)err_set(err, ERR_RETRY, "%s: %s", errno == EWOULDBLOCK ?
		    "another daemon uses it" : strerror(errno), st->path);
		(void)close(fd);
		return false;
	}
	st->lock_fd = fd;
	return true;
}

/* SQLite follows a link and keeps its log beside what it finds: so do we. */
static bool
follow_link(struct spool_store *st, struct err *err)
{
	struct stat link;
	char *real;
	bool ok;

	if (lstat(st->path, &link) != 0 || !S_ISLNK(link.st_mode))
		return true;
	real = realpath(st->path, NULL);
	ok = real != NULL && spool_is_path(str_of(real));
	if (ok)
		(void)snprintf(st->path, sizeof(st->path), "%s", real);
	else
		(void)err_set(err, ERR_CONFIG, "a link to no file: %s", st->path);
	free(real);
	return ok;
}

/* ---- making one ---- */

static bool
make(const struct spool_store *st, struct err *err)
{
	char fresh[SPOOL_PATH_BYTES];
	struct spool_file *f;

	join(st->path, ".new", fresh);
	drop_all(fresh);
	f = spool_file_create(fresh, err);
	return f != NULL && spool_file_finish(f, err) && move(fresh, st->path, "", err) &&
	    sync_folder(st->path, err);
}

static bool
is_complete(const char *path)
{
	struct err ignored;
	struct spool_raw *r = spool_raw_open(path, &ignored);
	bool ok = r != NULL && spool_raw_judge(r, &ignored);

	spool_raw_close(r);
	return ok;
}

/* Goes on where somebody died between two moves. */
static bool
finish_moves(const struct spool_store *st, struct err *err)
{
	char fresh[SPOOL_PATH_BYTES], aside[SPOOL_PATH_BYTES];

	join(st->path, ".new", fresh);
	if (!is_there(fresh, "") || is_there(st->path, "") || !is_complete(fresh))
		return true;
	name_aside(st->path, aside);
	if (!publish(st, fresh, aside, err))
		return false;
	log_warn("spool_salvage_finished", F_TEXT("path", st->path));
	return true;
}

/* ---- salvaging ---- */

struct saving {
	struct spool_file	*to;
	int64_t			 n;
};

static bool
save_row(void *arg, const struct spool_row *row, bool is_again, struct err *err)
{
	struct saving *s = arg;
	bool is_new;

	(void)is_again;		/* the file knows better: by the key */
	if (!spool_file_restore(s->to, row, &is_new, err))
		return false;
	s->n += is_new;
	return true;
}

/* Whatever fails here may be tried again: the damaged file is only read. */
static bool
save_rows(const struct spool_store *st, const char *fresh, int64_t *ret_saved,
    int64_t *ret_lost, struct err *err)
{
	struct spool_raw *r = spool_raw_open(st->path, err);
	struct saving s = { .to = r != NULL ? spool_file_create(fresh, err) : NULL };
	const struct spool_carving carving = { .row = save_row, .arg = &s };
	bool ok = s.to != NULL;

	if (ok)
		spool_file_raise_seq(s.to, st->next_seq);
	if (ok && !spool_carve(r, &carving, ret_lost, err)) {
		spool_file_abandon(s.to);
		ok = false;
	} else if (ok) {
		ok = spool_file_finish(s.to, err);
	}
	spool_raw_close(r);
	*ret_saved = s.n;
	return ok;
}

static bool
salvage(const struct spool_store *st, const struct err *why, struct err *err)
{
	char fresh[SPOOL_PATH_BYTES], aside[SPOOL_PATH_BYTES];
	int64_t began_us = clock_mono_us(), saved, lost = 0;

	join(st->path, ".new", fresh);
	drop_all(fresh);
	name_aside(st->path, aside);
	if (!save_rows(st, fresh, &saved, &lost, err) || !publish(st, fresh, aside, err)) {
		if (err->kind == ERR_INPUT)
			err->kind = ERR_RETRY;
		return err_in(err, "damaged, and cannot be salvaged");
	}
	log_error("spool_damaged", F_TEXT("path", st->path), F_ERR(why),
	    F_TEXT("set_aside", aside), F_NUM("saved", saved), F_NUM("lost", lost),
	    F_NUM("took_ms", (clock_mono_us() - began_us) / 1000));
	return true;
}

/* ---- opening ---- */

/* Rows behind the last good commit.  Nobody was told that they are kept, most likely; but
 * where the last commit itself is what was damaged, somebody was. */
struct tail {
	struct arena		 arena;
	struct tail_row {
		struct tail_row		*next;
		struct spool_row	 row;
	}			*rows;
};

static bool
keep_tail_row(void *arg, const struct spool_row *row, bool is_again, struct err *err)
{
	struct tail *t = arg;
	struct tail_row *copy = arena_alloc(&t->arena, sizeof(*copy));
	struct spool_item *it;

	(void)is_again;
	if (copy == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	*copy = (struct tail_row){ t->rows, *row };
	it = &copy->row.item;
	it->source = arena_str(&t->arena, it->source);
	it->identities = arena_str(&t->arena, it->identities);
	it->row = arena_str(&t->arena, it->row);
	if (it->source.p == NULL || it->identities.p == NULL || it->row.p == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	t->rows = copy;
	return true;
}

/* false: ERR_INPUT, it is to be salvaged. */
static bool
look_at(const struct spool_store *st, struct tail *t, struct err *err)
{
	const struct spool_carving carving = { .row = keep_tail_row, .arg = t };
	struct spool_raw *r;
	bool ok;

	if (st->is_damaged) {
		*err = st->why;
		return false;
	}
	r = spool_raw_open(st->path, err);
	ok = r != NULL && spool_raw_judge(r, err) &&
	    (!spool_raw_has_tail(r) || spool_carve_tail(r, &carving, err));
	spool_raw_close(r);
	return ok;
}

static bool
restore_tail(const struct spool_store *st, struct spool_file *f, const struct tail *t,
    struct err *err)
{
	int64_t n = 0;
	bool is_new;

	if (t->rows == NULL)
		return true;
	if (!spool_file_begin(f, err))
		return false;
	for (const struct tail_row *r = t->rows; r != NULL; r = r->next) {
		if (!spool_file_restore(f, &r->row, &is_new, err))
			return false;
		n += is_new;
	}
	if (!spool_file_commit(f, err))
		return false;
	if (n > 0)
		log_warn("spool_log_mended", F_TEXT("path", st->path), F_NUM("saved", n));
	return true;
}

static struct spool_file *
open_healthy(const struct spool_store *st, struct err *err)
{
	struct tail tail = { .rows = NULL };
	struct spool_file *f = NULL;

	if (look_at(st, &tail, err))
		f = spool_file_open(st->path, st->max_bytes, err);
	if (f != NULL) {
		spool_file_raise_seq(f, st->next_seq);
		if (!restore_tail(st, f, &tail, err)) {
			spool_file_abandon(f);
			f = NULL;
		}
	}
	arena_fini(&tail.arena);
	return f;
}

static bool
look_up(const char *path, const char *suffix, dev_t *ret_dev, ino_t *ret_ino)
{
	char name[SPOOL_PATH_BYTES];
	struct stat file;

	join(path, suffix, name);
	if (stat(name, &file) != 0)
		return false;
	*ret_dev = file.st_dev;
	*ret_ino = file.st_ino;
	return true;
}

static void
remember_file(struct spool_store *st)
{
	dev_t dev;

	(void)look_up(st->path, "", &st->dev, &st->ino);
	(void)look_up(st->path, "-wal", &dev, &st->log_ino);
}

bool
spool_store_stands(const struct spool_store *st)
{
	dev_t dev;
	ino_t ino;

	return look_up(st->path, "", &dev, &ino) && dev == st->dev && ino == st->ino;
}

/* A log without its file is not nothing. */
static bool
make_if_missing(const struct spool_store *st, struct err *err)
{
	return is_there(st->path, "") || is_there(st->path, "-wal") || make(st, err);
}

/* What was made just now must be sound; when it is not, the cause is elsewhere, and setting
 * one file after the other aside would only fill the disk. */
static struct spool_file *
open_salvaged(struct spool_store *st, struct err *err)
{
	struct spool_file *f;
	struct err why = *err;

	if (st->failures == SALVAGES_MAX) {
		err->kind = ERR_CONFIG;
		return NULL;
	}
	if (!salvage(st, &why, err))
		return NULL;
	st->is_damaged = false;
	st->failures++;
	f = open_healthy(st, err);
	if (f == NULL && err->kind == ERR_INPUT)
		err->kind = ERR_RETRY;
	return f;
}

struct spool_file *
spool_store_open(struct spool_store *st, struct err *err)
{
	struct spool_file *f;

	if (!follow_link(st, err) || !take_lock(st, err) || !finish_moves(st, err) ||
	    !make_if_missing(st, err))
		return NULL;
	f = open_healthy(st, err);
	if (f == NULL && err->kind == ERR_INPUT)
		f = open_salvaged(st, err);
	if (f == NULL)
		return NULL;
	st->failures = 0;
	remember_file(st);
	return f;
}

/* ---- closing ---- */

void
spool_store_close(struct spool_store *st, struct spool_file *f)
{
	if (f != NULL)
		st->next_seq = spool_file_next_seq(f);
	spool_file_close(f);
}

static void
abandon(struct spool_store *st, struct spool_file *f)
{
	st->next_seq = spool_file_next_seq(f);
	spool_file_abandon(f);
}

/* Its log, left beside another file, would be played back into that. */
void
spool_store_leave(struct spool_store *st, struct spool_file *f)
{
	dev_t dev;
	ino_t ino;

	abandon(st, f);
	if (look_up(st->path, "-wal", &dev, &ino) && dev == st->dev && ino == st->log_ino) {
		drop(st->path, "-wal");
		drop(st->path, "-shm");
	}
}

void
spool_store_condemn(struct spool_store *st, struct spool_file *f, const struct err *why)
{
	st->is_damaged = true;
	st->why = *why;
	abandon(st, f);
}
