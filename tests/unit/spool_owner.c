/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the spool share. */
#include "spool_owner.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the disk: these stand before the C library's for SQLite, too ---- */

struct disk disk = { .room_bytes = -1 };

#define next(type, name)	((type)(uintptr_t)dlsym(RTLD_NEXT, name))

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at);
ssize_t pread64(int fd, void *p, size_t n, off64_t at);
int fdatasync(int fd);
int fsync(int fd);

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	if (disk.room_bytes >= 0) {
		if (disk.room_bytes < (int64_t)n) {
			errno = ENOSPC;
			return -1;
		}
		disk.room_bytes -= (int64_t)n;
	}
	disk.written_bytes += (int64_t)n;
	return next(ssize_t (*)(int, const void *, size_t, off64_t), "pwrite64")(fd, p, n, at);
}

ssize_t
pread64(int fd, void *p, size_t n, off64_t at)
{
	disk.read_bytes += (int64_t)n;
	return next(ssize_t (*)(int, void *, size_t, off64_t), "pread64")(fd, p, n, at);
}

/* The disk itself is not asked: no test cuts the power. */
static int
sync_nothing(void)
{
	disk.nsyncs++;
	if (disk.sync_us > 0)
		(void)usleep((useconds_t)disk.sync_us);
	if (!disk.sync_fails)
		return 0;
	errno = EIO;
	return -1;
}

int
fdatasync(int fd)
{
	(void)fd;
	return sync_nothing();
}

int
fsync(int fd)
{
	(void)fd;
	return sync_nothing();
}

/* ---- the owner ---- */

static void
put_done(void *arg, void *tag, const struct uuid *id, const struct err *why)
{
	struct owner *o = arg;
	struct answer *a = &o->answers[o->nanswers++];

	assert_true(o->nanswers <= ANSWERS_MAX);
	*a = (struct answer){ .tag = tag, .id = *id, .is_kept = why == NULL };
	if (why != NULL)
		a->why = *why;
}

static struct str
copy(struct str s)
{
	char *p = malloc(s.n + 1);

	assert_non_null(p);
	memcpy(p, s.p, s.n);
	return (struct str){ p, s.n };
}

static void
free_text(struct str s)
{
	union { const char *in; void *out; } p = { .in = s.p };

	free(p.out);
}

static void
forget_items(struct owner *o)
{
	for (size_t i = 0; i < o->nitems; i++) {
		free_text(o->items[i].source);
		free_text(o->items[i].identities);
		free_text(o->items[i].row);
	}
	free(o->items);
	o->items = NULL;
	o->nitems = 0;
}

static void
read_done(void *arg, const struct spool_item *items, size_t n)
{
	struct owner *o = arg;

	forget_items(o);
	o->items = calloc(n + 1, sizeof(*items));
	assert_non_null(o->items);
	for (size_t i = 0; i < n; i++) {
		o->items[i] = items[i];
		o->items[i].source = copy(items[i].source);
		o->items[i].identities = copy(items[i].identities);
		o->items[i].row = copy(items[i].row);
	}
	o->nitems = n;
	o->was_read = true;
}

static void
changed(void *arg)
{
	struct owner *o = arg;

	o->nchanged++;
}

static const struct spool_ops ops = { .put_done = put_done, .read_done = read_done,
    .changed = changed };

void
turn(struct owner *o)
{
	const struct timeval tick = { .tv_usec = 20000 };

	(void)event_base_loopexit(loop_base(o->loop), &tick);
	(void)event_base_loop(loop_base(o->loop), EVLOOP_ONCE);
}

struct spool_state
state_of(const struct owner *o)
{
	struct spool_state state;

	spool_state(o->spool, &state);
	return state;
}

bool
takes(const struct owner *o)
{
	return state_of(o).takes;
}

void
start(struct owner *o, int64_t max_bytes)
{
	const struct spool_conf conf = { .path = str_of(o->path), .max_bytes = max_bytes };
	struct err err;

	o->spool = spool_new(o->loop, &conf, &ops, o, &err);
	assert_non_null(o->spool);
}

void
stop(struct owner *o)
{
	spool_free(o->spool);
	o->spool = NULL;
}

void
restart(struct owner *o)
{
	stop(o);
	start(o, SMALL_BYTES);
	until(takes(o));
}

int
set_up(void **state)
{
	struct owner *o = calloc(1, sizeof(*o));
	struct err err;

	assert_non_null(o);
	o->answers = calloc(ANSWERS_MAX, sizeof(*o->answers));
	assert_non_null(o->answers);
	(void)snprintf(o->folder, sizeof(o->folder), "/tmp/touchlog-spool-XXXXXX");
	assert_non_null(mkdtemp(o->folder));
	(void)snprintf(o->path, sizeof(o->path), "%s/spool.db", o->folder);
	o->loop = loop_new(&err);
	assert_non_null(o->loop);
	disk = (struct disk){ .room_bytes = -1 };
	*state = o;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int
tear_down(void **state)
{
	struct owner *o = *state;

	disk = (struct disk){ .room_bytes = -1 };
	spool_free(o->spool);
	forget_items(o);
	free(o->answers);
	loop_free(o->loop);
	(void)nftw(o->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(o);
	return 0;
}

/* ---- items ---- */

static struct uuid
uuid_of(int kind, int n)
{
	struct uuid id = { { 0 } };

	/* Spread, as digests are. */
	for (size_t i = 0; i < 12; i++)
		id.b[i] = (uint8_t)((unsigned)n * 2654435761u >> (i % 4 * 8));
	id.b[11] = (uint8_t)kind;
	memcpy(id.b + 12, &n, sizeof(n));
	return id;
}

enum { ROW_MAX_BYTES = 200000 };

static struct str
row_of(int n, size_t bytes)
{
	static char text[ROW_MAX_BYTES];

	assert_true(bytes <= sizeof(text));
	for (size_t i = 0; i < bytes; i++)
		text[i] = (char)((size_t)n * 31 + i * 7);
	return (struct str){ text, bytes };
}

struct spool_item
item_of(int n, size_t bytes)
{
	return (struct spool_item){ .key = uuid_of(1, n), .id = uuid_of(2, n),
	    .is_parking = n % 5 == 0, .format = 1, .source = STR("shop"),
	    .identities = STR("[[\"email\",\"a@b.example\"]]"), .row = row_of(n, bytes) };
}

int
number_of(const struct spool_item *item)
{
	int n;

	memcpy(&n, item->key.b + 12, sizeof(n));
	return n;
}

void
put(struct owner *o, int n, size_t bytes)
{
	const struct spool_item item = item_of(n, bytes);
	struct err err;

	if (!spool_put(o->spool, &item, o, &err))
		fail_msg("%s", err.text);
}

void
put_all(struct owner *o, int from, int to, size_t bytes)
{
	o->nanswers = 0;
	for (int n = from; n < to; n++)
		put(o, n, bytes);
	until(o->nanswers == (size_t)(to - from));
	for (size_t i = 0; i < o->nanswers; i++)
		if (!o->answers[i].is_kept)
			fail_msg("%s", o->answers[i].why.text);
}

void
read_all(struct owner *o, int64_t after, size_t max_items)
{
	o->was_read = false;
	assert_true(spool_read(o->spool, after, max_items, SIZE_MAX));
	until(o->was_read);
}

void
assert_item(const struct spool_item *got, int n, size_t bytes)
{
	const struct spool_item want = item_of(n, bytes);

	assert_memory_equal(&got->key, &want.key, sizeof(want.key));
	assert_memory_equal(&got->id, &want.id, sizeof(want.id));
	assert_int_equal(got->is_parking, want.is_parking);
	assert_int_equal(got->format, want.format);
	assert_true(str_eq(got->source, want.source));
	assert_true(str_eq(got->identities, want.identities));
	assert_true(str_eq(got->row, want.row));
}

void
remove_read(struct owner *o)
{
	int64_t *seqs = calloc(o->nitems + 1, sizeof(*seqs));

	assert_non_null(seqs);
	for (size_t i = 0; i < o->nitems; i++)
		seqs[i] = o->items[i].seq;
	assert_true(spool_remove(o->spool, seqs, o->nitems));
	free(seqs);
}

size_t
drain(struct owner *o)
{
	size_t n = 0;

	for (;;) {
		read_all(o, 0, 1000);
		if (o->nitems == 0)
			return n;
		n += o->nitems;
		remove_read(o);
	}
}

/* ---- files ---- */

const char *
beside(const struct owner *o, const char *suffix)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s%s", o->path, suffix);
	return path;
}

int64_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

static unsigned
count(const struct owner *o, const char *part, const char *but)
{
	DIR *dir = opendir(o->folder);
	unsigned n = 0;

	assert_non_null(dir);
	for (const struct dirent *e; (e = readdir(dir)) != NULL;)
		n += strstr(e->d_name, part) != NULL && strstr(e->d_name, but) == NULL;
	(void)closedir(dir);
	return n;
}

unsigned
count_names(const struct owner *o, const char *part)
{
	return count(o, part, "/");
}

unsigned
count_aside(const struct owner *o)
{
	return count(o, "spool.db.damaged-20", "-wal");
}
