/* SPDX-License-Identifier: Apache-2.0 */
/* What stands at the spool's path: its lock, making it, opening it. */
#include "io/spool_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/spool_file.h"

enum { SUFFIX_BYTES = 64 };

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

static void
beside(const struct spool_store *st, const char *suffix, char ret[SPOOL_PATH_BYTES])
{
	(void)snprintf(ret, SPOOL_PATH_BYTES, "%.*s%s", SPOOL_PATH_BYTES - SUFFIX_BYTES, st->path,
	    suffix);
}

/* ---- the lock ---- */

/* flock(), for the lock belongs to the descriptor: SQLite's own are POSIX locks, which would
 * let readers in and out. */
static bool
take_lock(struct spool_store *st, struct err *err)
{
	char path[SPOOL_PATH_BYTES];
	int fd;

	if (st->lock_fd >= 0)
		return true;
	beside(st, ".lock", path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_RETRY, "%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		(void)err_set(err, ERR_RETRY, errno == EWOULDBLOCK ?
		    "another daemon uses %s" : "%s cannot be locked", st->path);
		(void)close(fd);
		return false;
	}
	st->lock_fd = fd;
	return true;
}

/* ---- making one ---- */

static bool
sync_folder(const struct spool_store *st, struct err *err)
{
	char path[SPOOL_PATH_BYTES];
	int fd;
	bool ok;

	beside(st, "", path);
	*(strrchr(path, '/') + 1) = '\0';
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok = fd >= 0 && fsync(fd) == 0;
	if (!ok)
		(void)err_set(err, ERR_RETRY, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

static bool
move(const char *from, const char *to, struct err *err)
{
	return rename(from, to) == 0 || err_set(err, ERR_RETRY, "%s: %s", to, strerror(errno));
}

static bool
make(struct spool_store *st, struct err *err)
{
	char fresh[SPOOL_PATH_BYTES];
	struct spool_file *f;

	beside(st, ".new", fresh);
	(void)unlink(fresh);
	f = spool_file_create(fresh, err);
	return f != NULL && spool_file_finish(f, err) && move(fresh, st->path, err) &&
	    sync_folder(st, err);
}

/* ---- opening ---- */

struct spool_file *
spool_store_open(struct spool_store *st, struct err *err)
{
	struct stat file;

	if (!take_lock(st, err))
		return NULL;
	if (stat(st->path, &file) != 0 && (errno != ENOENT || !make(st, err)))
		return NULL;
	return spool_file_open(st->path, st->max_bytes, err);
}
