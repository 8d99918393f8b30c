/* SPDX-License-Identifier: Apache-2.0 */
/* A damaged spool: it never stops the daemon, and all that can be read is saved. */
#include "spool_owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/buf.h"
#include "base/log.h"
#include "io/spool_carve.h"
#include "io/spool_raw.h"
#include "io/spool_row.h"

enum { PAGE = SPOOL_PAGE_BYTES, ROWS = 400, FIRST = 100, FILE_MAX_BYTES = 64 * 1024 * 1024 };

/* One in ten has overflow pages. */
static size_t
bytes_of(int n)
{
	return n % 10 == 0 ? 9000 : 300 + (size_t)n % 400;
}

static void
put_mixed(struct owner *o, int from, int to)
{
	o->nanswers = 0;
	for (int n = from; n < to; n++)
		put(o, n, bytes_of(n));
	until(o->nanswers == (size_t)(to - from));
	for (size_t i = 0; i < o->nanswers; i++)
		assert_true(o->answers[i].is_kept);
}

/* ROWS rows, and free pages of FIRST more that were removed. */
static void
fill(struct owner *o)
{
	start(o, SMALL_BYTES);
	until(takes(o));
	put_mixed(o, 0, FIRST + ROWS);
	read_all(o, 0, FIRST);
	remove_read(o);
	until(state_of(o).events == ROWS);
	read_all(o, 0, 1);
}

/* As a closed file: its log is empty. */
static void
make_file(struct owner *o)
{
	fill(o);
	stop(o);
	assert_int_equal(size_of(beside(o, "-wal")), -1);
}

/* ---- bytes of files ---- */

static void
load(const char *path, struct buf *out)
{
	int64_t n = size_of(path);
	int fd = open(path, O_RDONLY);

	buf_init(out, FILE_MAX_BYTES);
	if (n > 0) {
		void *p = buf_space(out, (size_t)n);

		assert_non_null(p);
		assert_int_equal(read(fd, p, (size_t)n), n);
	}
	(void)close(fd);
}

static void
save(const char *path, struct str s)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, s.p, s.n), (ssize_t)s.n);
	(void)close(fd);
}

static void
copy_file(const char *from, const char *to)
{
	struct buf b;

	load(from, &b);
	save(to, buf_str(&b));
	buf_fini(&b);
}

/* The spool's file and log, to and from names of their own. */
static void
keep_image(struct owner *o, const char *name)
{
	static const char *const suffixes[] = { "", "-wal" };
	char from[200], to[200];

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(from, sizeof(from), "%s%s", o->path, suffixes[i]);
		(void)snprintf(to, sizeof(to), "%s/%s%s", o->folder, name, suffixes[i]);
		copy_file(from, to);
	}
}

static void
use_image(struct owner *o, const char *name)
{
	static const char *const suffixes[] = { "", "-wal" };
	char from[200], to[200];

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(from, sizeof(from), "%s/%s%s", o->folder, name, suffixes[i]);
		(void)snprintf(to, sizeof(to), "%s%s", o->path, suffixes[i]);
		assert_int_equal(rename(from, to), 0);
	}
}

static void
overwrite(const char *path, int64_t at, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, p, n, at), (ssize_t)n);
	(void)close(fd);
}

static void
flip(const char *path, int64_t at)
{
	unsigned char c;
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	(void)close(fd);
}

static void
zero_page(const char *path, int64_t page)
{
	static const unsigned char zeros[PAGE];

	overwrite(path, (page - 1) * PAGE, zeros, sizeof(zeros));
}

static void
exec_in(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t
ask(const char *path, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;
	int64_t n;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return n;
}

/* The n-th page of that kind of a tree. */
static int64_t
page_of(const char *path, const char *tree, const char *kind, int n)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql), "SELECT pageno FROM dbstat WHERE name = '%s' AND "
	    "pagetype = '%s' ORDER BY path LIMIT 1 OFFSET %d", tree, kind, n);
	return ask(path, sql);
}

static int64_t
leaf(const char *path, int n)
{
	return page_of(path, "event", "leaf", n);
}

/* ---- what is left ---- */

/* Drains all, each row of which must be one that was put; how many of the ROWS there were. */
static size_t
drain_known(struct owner *o)
{
	static bool was_there[FIRST + ROWS];
	size_t n = 0;

	memset(was_there, 0, sizeof(was_there));
	for (;;) {
		read_all(o, 0, 1000);
		if (o->nitems == 0)
			return n;
		for (size_t i = 0; i < o->nitems; i++) {
			int number = number_of(&o->items[i]);

			assert_in_range(number, 0, FIRST + ROWS - 1);
			assert_item(&o->items[i], number, bytes_of(number));
			assert_false(was_there[number]);
			was_there[number] = true;
			n += number >= FIRST;
		}
		remove_read(o);
	}
}

static void
assert_works(struct owner *o)
{
	until(takes(o));
	put_mixed(o, 0, 20);
	assert_int_equal(drain_known(o), 0);
	assert_int_equal(state_of(o).events, 0);
}

/* ---- damage to a closed file ---- */

static void
zero_header(struct owner *o)
{
	static const unsigned char zeros[100];

	overwrite(o->path, 0, zeros, sizeof(zeros));
}

static void
flip_magic(struct owner *o)
{
	flip(o->path, 3);
}

static void
flip_page_size(struct owner *o)
{
	flip(o->path, 16);
}

static void
flip_log_version(struct owner *o)
{
	overwrite(o->path, 18, "\1\1", 2);
}

static void
flip_application(struct owner *o)
{
	flip(o->path, 70);
}

static void
flip_free_list(struct owner *o)
{
	flip(o->path, 35);
}

static void
flip_schema(struct owner *o)
{
	flip(o->path, PAGE - 100);
}

static void
break_schema(struct owner *o)
{
	exec_in(o->path, "PRAGMA writable_schema = ON; "
	    "UPDATE sqlite_schema SET sql = 'CREATE TABLE event(' WHERE name = 'event'");
}

static void
add_index(struct owner *o)
{
	exec_in(o->path, "CREATE INDEX more ON event(source)");
}

static void
zero_first_page(struct owner *o)
{
	zero_page(o->path, 1);
}

static void
zero_root(struct owner *o)
{
	zero_page(o->path, ask(o->path, "SELECT rootpage FROM sqlite_schema WHERE name = 'event'"));
}

static void
zero_index_root(struct owner *o)
{
	zero_page(o->path, ask(o->path, "SELECT rootpage FROM sqlite_schema WHERE type = 'index'"));
}

static void
zero_index_leaf(struct owner *o)
{
	zero_page(o->path, page_of(o->path, "sqlite_autoindex_event_1", "leaf", 1));
}

static void
zero_sequence(struct owner *o)
{
	zero_page(o->path, page_of(o->path, "sqlite_sequence", "leaf", 0));
}

static void
zero_leaf(struct owner *o)
{
	zero_page(o->path, leaf(o->path, 30));
}

static void
zero_overflow(struct owner *o)
{
	zero_page(o->path, page_of(o->path, "event", "overflow", 5));
}

/* The tree leads to one leaf twice, and to another not at all. */
static void
mislead_tree(struct owner *o)
{
	int64_t root = ask(o->path, "SELECT rootpage FROM sqlite_schema WHERE name = 'event'");
	struct buf b;
	int64_t at, first;

	load(o->path, &b);
	at = (root - 1) * PAGE;
	first = (unsigned char)b.p[at + 12] << 8 | (unsigned char)b.p[at + 13];
	memcpy(b.p + at + first, b.p + at + 8, 4);	/* the right-most child */
	save(o->path, buf_str(&b));
	buf_fini(&b);
}

static void
change_row(struct owner *o)
{
	exec_in(o->path, "UPDATE event SET row = x'00' WHERE seq = 200");
}

static void
move_row(struct owner *o)
{
	exec_in(o->path, "UPDATE event SET seq = 100000 WHERE seq = 200");
}

static void
flip_row(struct owner *o)
{
	flip(o->path, leaf(o->path, 30) * PAGE - 50);
}

static void
halve(struct owner *o)
{
	assert_int_equal(truncate(o->path, size_of(o->path) / 2), 0);
}

static void
cut_last_page(struct owner *o)
{
	assert_int_equal(truncate(o->path, size_of(o->path) - 100), 0);
}

static void
empty(struct owner *o)
{
	assert_int_equal(truncate(o->path, 0), 0);
}

static void
fill_with(struct owner *o, int (*byte)(void))
{
	struct buf b;

	load(o->path, &b);
	for (size_t i = 0; i < b.n; i++)
		b.p[i] = (char)byte();
	save(o->path, buf_str(&b));
	buf_fini(&b);
}

static int
zero(void)
{
	return 0;
}

static unsigned seed;

static int
noise(void)
{
	seed = seed * 1103515245 + 12345;
	return (int)(seed >> 16 & 0xff);
}

static void
zeros(struct owner *o)
{
	fill_with(o, zero);
}

static void
random_bytes(struct owner *o)
{
	seed = 1;
	fill_with(o, noise);
}

static void
text(struct owner *o)
{
	save(o->path, STR("this is no database\n"));
}

static void
foreign(struct owner *o)
{
	assert_int_equal(unlink(o->path), 0);
	exec_in(o->path, "CREATE TABLE users(name TEXT, password TEXT);"
	    "INSERT INTO users VALUES('a', 'b')");
}

static void
foreign_with_a_trap(struct owner *o)
{
	exec_in(o->path, "CREATE TRIGGER trap AFTER INSERT ON event BEGIN DELETE FROM event; END");
}

/* At least so many of ROWS are saved: what stood in a page that is gone may be lost, at most
 * 12 of our sizes. */
static const struct damage {
	const char	*name;
	void		(*make)(struct owner *o);
	size_t		 saved;
} damages[] = {
	{ "its header is zeros", zero_header, ROWS - 12 },
	{ "its magic changed", flip_magic, ROWS },
	{ "its page size changed", flip_page_size, ROWS },
	{ "its log version changed", flip_log_version, ROWS },
	{ "its application_id changed", flip_application, ROWS },
	{ "the list of free pages changed", flip_free_list, ROWS },
	{ "its schema changed", flip_schema, ROWS },
	{ "its schema is none", break_schema, ROWS },
	{ "it has an index more", add_index, ROWS },
	{ "it has a trigger", foreign_with_a_trap, ROWS },
	{ "its first page is zeros", zero_first_page, ROWS },
	{ "the root of the table is zeros", zero_root, ROWS },
	{ "the root of the index is zeros", zero_index_root, ROWS },
	{ "a leaf of the index is zeros", zero_index_leaf, ROWS },
	{ "the sequence is zeros", zero_sequence, ROWS },
	{ "a leaf is zeros", zero_leaf, ROWS - 12 },
	{ "an overflow page is zeros", zero_overflow, ROWS - 1 },
	{ "the tree misleads", mislead_tree, ROWS },
	{ "a row was changed", change_row, ROWS - 1 },
	{ "a row was moved", move_row, ROWS - 1 },
	{ "a byte of a row changed", flip_row, ROWS - 1 },
	{ "it is cut to half", halve, ROWS / 4 },
	{ "its end is cut off", cut_last_page, ROWS - 12 },
	{ "it is empty", empty, 0 },
	{ "it is zeros", zeros, 0 },
	{ "it is noise", random_bytes, 0 },
	{ "it is a text", text, 0 },
	{ "it is another program's", foreign, 0 },
};

static void
a_damaged_file_is_set_aside_and_what_can_be_read_is_saved(void **state)
{
	struct owner *o = *state;

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		const struct damage *d = &damages[i];
		size_t saved;

		make_file(o);
		d->make(o);
		start(o, SMALL_BYTES);
		until(takes(o));
		saved = drain_known(o);
		if (saved < d->saved)
			fail_msg("%s: only %zu were saved", d->name, saved);
		assert_works(o);
		stop(o);
		if (count_aside(o) != i + 1)
			fail_msg("%s: it was not set aside", d->name);
		assert_int_equal(count_names(o, ".new"), 0);
		assert_int_equal(unlink(o->path), 0);
	}
}

static void
what_is_set_aside_is_as_it_was_found(void **state)
{
	struct owner *o = *state;
	struct buf before, after;
	char aside[400] = "";
	DIR *dir;

	make_file(o);
	zero_leaf(o);
	zero_root(o);
	load(o->path, &before);
	start(o, SMALL_BYTES);
	until(takes(o));
	dir = opendir(o->folder);
	assert_non_null(dir);
	for (const struct dirent *e; (e = readdir(dir)) != NULL;)
		if (strstr(e->d_name, ".damaged-") != NULL && strstr(e->d_name, "-wal") == NULL)
			(void)snprintf(aside, sizeof(aside), "%s/%s", o->folder, e->d_name);
	(void)closedir(dir);
	load(aside, &after);
	assert_true(str_eq(buf_str(&before), buf_str(&after)));
	buf_fini(&before);
	buf_fini(&after);
}

/* ---- damage that shows when it is used ---- */

static void
damage_found_by_a_read_is_salvaged_and_the_read_goes_on(void **state)
{
	struct owner *o = *state;

	make_file(o);
	flip_row(o);
	start(o, SMALL_BYTES);
	until(takes(o));
	assert_int_equal(count_aside(o), 0);
	assert_int_equal(state_of(o).events, ROWS);
	read_all(o, 0, ROWS);
	assert_int_equal(o->nitems, ROWS - 1);
	until(takes(o));
	assert_int_equal(count_aside(o), 1);
	assert_int_equal(state_of(o).events, ROWS - 1);
	put_mixed(o, 0, 5);
	assert_int_equal(drain_known(o), ROWS - 1);
}

static void
damage_found_by_a_put_is_salvaged_and_the_put_may_be_tried_again(void **state)
{
	struct owner *o = *state;
	size_t refused = 0;

	make_file(o);
	start(o, SMALL_BYTES);
	until(takes(o));
	stop(o);
	zero_index_leaf(o);
	start(o, SMALL_BYTES);
	for (int n = 0; n < FIRST && refused == 0; n++) {
		struct spool_item item = item_of(n, bytes_of(n));
		struct err err;

		until(takes(o));
		o->nanswers = 0;
		assert_true(spool_put(o->spool, &item, o, &err));
		until(o->nanswers == 1);
		refused += !o->answers[0].is_kept;
	}
	until(takes(o));
	assert_int_equal(count_aside(o), 1);
	assert_int_equal(drain_known(o), ROWS);
	assert_works(o);
}

static void
removals_outlive_a_salvage(void **state)
{
	struct owner *o = *state;

	fill(o);
	read_all(o, 0, 50);
	/* Under our feet: the next read of the leaf finds it, since the cache is cold. */
	stop(o);
	flip_row(o);
	start(o, SMALL_BYTES);
	until(takes(o));
	remove_read(o);
	read_all(o, 0, 1000);
	assert_int_equal(count_aside(o), 1);
	assert_in_range(o->nitems, ROWS - 51, ROWS - 50);
	assert_true(number_of(&o->items[0]) >= FIRST + 50);
	until(state_of(o).events == (int64_t)o->nitems);
}

static void
numbers_do_not_begin_anew_after_a_salvage(void **state)
{
	struct owner *o = *state;
	int64_t last;

	fill(o);
	read_all(o, 0, 1000);
	last = o->items[o->nitems - 1].seq;
	stop(o);
	halve(o);
	start(o, SMALL_BYTES);
	until(takes(o));
	put_mixed(o, 0, 1);
	read_all(o, 0, 1000);
	/* Across a restart no more than what is left is known; but none is given twice. */
	for (size_t i = 1; i < o->nitems; i++)
		assert_true(o->items[i].seq > o->items[i - 1].seq);
	assert_true(last > 0);
}

static void
a_file_that_is_taken_away_is_drained_and_another_made(void **state)
{
	struct owner *o = *state;
	struct spool_item item = item_of(0, bytes_of(0));
	struct err err;

	fill(o);
	assert_int_equal(rename(o->path, beside(o, ".gone")), 0);
	o->nanswers = 0;
	assert_true(spool_put(o->spool, &item, o, &err));
	until(o->nanswers == 1);
	assert_false(o->answers[0].is_kept);
	assert_non_null(strstr(state_of(o).why, "was removed or replaced"));
	assert_int_equal(drain_known(o), ROWS);
	assert_works(o);
	assert_true(size_of(o->path) > 0);
	assert_int_equal(count_aside(o), 0);
}

static void
a_disk_without_room_for_the_salvage_is_waited_for(void **state)
{
	struct owner *o = *state;

	make_file(o);
	zero_root(o);
	disk.room_bytes = 100000;
	start(o, SMALL_BYTES);
	until(strstr(state_of(o).why, "damaged, and cannot be salvaged") != NULL);
	assert_false(takes(o));
	assert_int_equal(count_aside(o), 0);
	disk.room_bytes = -1;
	until(takes(o));
	assert_int_equal(count_aside(o), 1);
	assert_int_equal(drain_known(o), ROWS);
}

/* ---- dying in the middle of it ---- */

static void
a_salvage_that_was_cut_off_is_finished(void **state)
{
	struct owner *o = *state;
	char saved[200];

	/* Between the moves: the new one is complete, and the damaged one's log is left. */
	make_file(o);
	assert_int_equal(rename(o->path, beside(o, ".saved")), 0);
	fill(o);
	keep_image(o, "before");
	stop(o);
	use_image(o, "before");
	assert_int_equal(unlink(o->path), 0);
	(void)snprintf(saved, sizeof(saved), "%s.saved", o->path);
	assert_int_equal(rename(saved, beside(o, ".new")), 0);
	start(o, SMALL_BYTES);
	until(takes(o));
	assert_int_equal(drain_known(o), ROWS);
	assert_int_equal(count_names(o, "-wal"), 2);	/* its own, and the one set aside */
}

static void
half_a_new_file_is_no_file(void **state)
{
	struct owner *o = *state;

	save(beside(o, ".new"), STR("half of it"));
	start(o, SMALL_BYTES);
	until(takes(o));
	assert_works(o);
	assert_int_equal(count_names(o, ".new"), 0);
	assert_int_equal(count_aside(o), 0);
}

/* ---- damage to the log ---- */

enum { COMMITS = 20, PER_COMMIT = ROWS / COMMITS };

/* What stands on disk when the daemon is killed: a file, and ROWS rows of 20 commits that
 * stand in its log only. */
static void
make_crashed(struct owner *o)
{
	start(o, SMALL_BYTES);
	until(takes(o));
	put_mixed(o, 0, 1);
	assert_int_equal(drain_known(o), 0);
	restart(o);
	for (int i = 0; i < COMMITS; i++)
		put_mixed(o, FIRST + i * PER_COMMIT, FIRST + (i + 1) * PER_COMMIT);
	keep_image(o, "crashed");
	stop(o);
	use_image(o, "crashed");
}

static void
log_as_it_was(struct owner *o)
{
	(void)o;
}

static void
flip_log_header(struct owner *o)
{
	flip(beside(o, "-wal"), 20);
}

static void
flip_log_magic(struct owner *o)
{
	flip(beside(o, "-wal"), 0);
}

static void
flip_log_at_the_front(struct owner *o)
{
	flip(beside(o, "-wal"), 32 + 24 + 2000);
}

static void
flip_log_in_the_middle(struct owner *o)
{
	flip(beside(o, "-wal"), size_of(beside(o, "-wal")) / 2);
}

static void
flip_log_at_the_end(struct owner *o)
{
	flip(beside(o, "-wal"), size_of(beside(o, "-wal")) - 2000);
}

static void
cut_log(struct owner *o)
{
	const char *path = beside(o, "-wal");

	assert_int_equal(truncate(path, size_of(path) - 3 * (PAGE + 24) - 100), 0);
}

static void
empty_file_beside_log(struct owner *o)
{
	empty(o);
}

static void
no_file_beside_log(struct owner *o)
{
	assert_int_equal(unlink(o->path), 0);
}

static void
zero_log(struct owner *o)
{
	struct buf b;

	load(beside(o, "-wal"), &b);
	memset(b.p, 0, b.n);
	save(beside(o, "-wal"), buf_str(&b));
	buf_fini(&b);
}

static const struct log_damage {
	const char	*name;
	void		(*make)(struct owner *o);
	size_t		 saved;
	bool		 is_quiet;	/* as after a crash: nothing is set aside */
} log_damages[] = {
	{ "nothing", log_as_it_was, ROWS, true },
	{ "its header changed", flip_log_header, ROWS, false },
	{ "its magic changed", flip_log_magic, ROWS, false },
	{ "a byte at the front", flip_log_at_the_front, ROWS - 12, false },
	{ "a byte in the middle", flip_log_in_the_middle, ROWS - 12, false },
	{ "a byte at the end", flip_log_at_the_end, ROWS - 12, true },
	{ "its end is cut off", cut_log, ROWS - 3 * 12, true },
	{ "its file is empty", empty_file_beside_log, ROWS, false },
	{ "its file is gone", no_file_beside_log, ROWS, false },
	{ "it is zeros", zero_log, 0, false },
};

static void
a_damaged_log_is_played_back_as_far_as_it_can_be_read(void **state)
{
	struct owner *o = *state;
	unsigned aside = 0;

	for (size_t i = 0; i < sizeof(log_damages) / sizeof(log_damages[0]); i++) {
		const struct log_damage *d = &log_damages[i];
		size_t saved;

		make_crashed(o);
		d->make(o);
		start(o, SMALL_BYTES);
		until(takes(o));
		saved = drain_known(o);
		if (saved < d->saved)
			fail_msg("%s: only %zu were saved", d->name, saved);
		assert_works(o);
		stop(o);
		if ((count_names(o, "damaged") > aside) != !d->is_quiet)
			fail_msg("%s: it was%s set aside", d->name, d->is_quiet ? "" : " not");
		aside = count_names(o, "damaged");
		assert_int_equal(unlink(o->path), 0);
	}
}

/* ---- how many are lost ---- */

struct counted {
	int64_t	found;
	bool	is_right;
};

static bool
count_row(void *arg, const struct spool_row *row, bool is_again, struct err *err)
{
	struct counted *c = arg;
	int n = number_of(&row->item);

	(void)err;
	c->found += !is_again;
	assert_item(&row->item, n, bytes_of(n));
	return true;
}

static void
count_rows(const struct owner *o, int64_t *ret_found, int64_t *ret_lost)
{
	struct counted counted = { .found = 0 };
	const struct spool_carving carving = { .row = count_row, .arg = &counted };
	struct err err;
	struct spool_raw *r = spool_raw_open(o->path, &err);

	assert_non_null(r);
	assert_true(spool_carve(r, &carving, ret_lost, &err));
	spool_raw_close(r);
	*ret_found = counted.found;
}

static void
found_and_lost_are_counted(void **state)
{
	static void (*const ways[])(struct owner *o) = { log_as_it_was, zero_leaf, zero_overflow,
	    flip_row, zero_root, flip_magic };
	struct owner *o = *state;
	int64_t found, lost;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		make_file(o);
		ways[i](o);
		count_rows(o, &found, &lost);
		assert_int_equal(found + lost, ROWS);
		assert_true((lost > 0) == (i >= 1 && i <= 3));
		assert_true(lost <= 12);
		assert_int_equal(unlink(o->path), 0);
	}
}

static void
rows_of_a_log_that_were_removed_are_not_lost(void **state)
{
	struct owner *o = *state;
	int64_t found, lost;

	make_crashed(o);
	count_rows(o, &found, &lost);
	assert_int_equal(found, ROWS);
	assert_int_equal(lost, 0);
	flip_log_header(o);
	count_rows(o, &found, &lost);
	assert_int_equal(found, ROWS);
	assert_int_equal(lost, 0);
}

/* ---- any damage ---- */

enum { FUZZ_ROUNDS = 200, FUZZ_ROWS = 2000 };

static size_t
fuzz_bytes(int n)
{
	return n % 50 == 0 ? 6000 : 200;
}

static void
damage_at_random(struct buf *b, unsigned nflips)
{
	for (unsigned i = 0; i < nflips; i++) {
		size_t at = (size_t)(noise() << 16 | noise() << 8 | noise()) % b->n;

		b->p[at] = (char)(b->p[at] ^ (1 + noise() % 255));
	}
}

static size_t
drain_fuzzed(struct owner *o)
{
	size_t n = 0;

	for (;;) {
		read_all(o, 0, FUZZ_ROWS);
		if (o->nitems == 0)
			return n;
		for (size_t i = 0; i < o->nitems; i++) {
			int number = number_of(&o->items[i]);

			assert_in_range(number, 0, FUZZ_ROWS - 1);
			assert_item(&o->items[i], number, fuzz_bytes(number));
		}
		n += o->nitems;
		remove_read(o);
	}
}

static void
whatever_bytes_change_no_row_comes_back_that_was_not_put(void **state)
{
	struct owner *o = *state;
	struct buf file, log;

	start(o, SMALL_BYTES);
	until(takes(o));
	for (int n = 0; n < FUZZ_ROWS; n += 100) {
		o->nanswers = 0;
		for (int i = n; i < n + 100; i++)
			put(o, i, fuzz_bytes(i));
		until(o->nanswers == 100);
		if (n == FUZZ_ROWS / 2)
			restart(o);		/* half of it is in the file, half in the log */
	}
	load(o->path, &file);
	load(beside(o, "-wal"), &log);
	stop(o);
	seed = 20261124;
	for (unsigned round = 0; round < FUZZ_ROUNDS; round++) {
		unsigned nflips = 1 + round % 20;
		struct buf one, two;
		size_t n;

		buf_init(&one, FILE_MAX_BYTES);
		buf_init(&two, FILE_MAX_BYTES);
		buf_str_add(&one, buf_str(&file));
		buf_str_add(&two, buf_str(&log));
		damage_at_random(round % 3 == 0 ? &two : &one, nflips);
		save(o->path, buf_str(&one));
		save(beside(o, "-wal"), buf_str(&two));
		buf_fini(&one);
		buf_fini(&two);
		start(o, SMALL_BYTES);
		until(takes(o) || strstr(state_of(o).why, "later release") != NULL);
		if (takes(o)) {
			n = drain_fuzzed(o);
			/* A page holds at most 14 of these. */
			assert_true(n >= FUZZ_ROWS - 14 * nflips && n <= FUZZ_ROWS);
		}
		stop(o);
	}
	buf_fini(&file);
	buf_fini(&log);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_damaged_file_is_set_aside_and_what_can_be_read_is_saved),
		T(what_is_set_aside_is_as_it_was_found),
		T(damage_found_by_a_read_is_salvaged_and_the_read_goes_on),
		T(damage_found_by_a_put_is_salvaged_and_the_put_may_be_tried_again),
		T(removals_outlive_a_salvage),
		T(numbers_do_not_begin_anew_after_a_salvage),
		T(a_file_that_is_taken_away_is_drained_and_another_made),
		T(a_disk_without_room_for_the_salvage_is_waited_for),
		T(a_salvage_that_was_cut_off_is_finished),
		T(half_a_new_file_is_no_file),
		T(a_damaged_log_is_played_back_as_far_as_it_can_be_read),
		T(found_and_lost_are_counted),
		T(rows_of_a_log_that_were_removed_are_not_lost),
		T(whatever_bytes_change_no_row_comes_back_that_was_not_put),
	};

	log_set_level((enum log_level)0);	/* the faults are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
