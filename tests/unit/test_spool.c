/* SPDX-License-Identifier: Apache-2.0 */
/* The spool: what is put stands there until it is removed, whatever the disk does. */
#include "spool_owner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/log.h"

/* ---- putting, reading, removing ---- */

static void
what_is_put_is_read_oldest_first_also_after_a_restart(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 50, 1000);
	for (int round = 0; round < 2; round++) {
		read_all(o, 0, 100);
		assert_int_equal(o->nitems, 50);
		for (int n = 0; n < 50; n++) {
			assert_item(&o->items[n], n, 1000);
			assert_true(n == 0 || o->items[n].seq > o->items[n - 1].seq);
		}
		assert_int_equal(state_of(o).events, 50);
		restart(o);
	}
}

static void
rows_of_every_size_come_back_as_they_were(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 1900, 2000, 3800, 3900, 4000, 4100, 8300, 16000,
	    200000 };
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put_all(o, (int)i, (int)i + 1, sizes[i]);
		read_all(o, 0, 100);
		assert_int_equal(o->nitems, i + 1);
		assert_item(&o->items[i], (int)i, sizes[i]);
	}
}

static void
an_item_without_texts_comes_back_without_them(void **state)
{
	struct owner *o = *state;
	struct spool_item item = item_of(1, 0);
	struct err err;

	item.source = item.identities = item.row = STR_NONE;
	start(o, SMALL_BYTES);
	until(takes(o));
	assert_true(spool_put(o->spool, &item, o, &err));
	until(o->nanswers == 1 && o->answers[0].is_kept);
	read_all(o, 0, 10);
	assert_int_equal(o->nitems, 1);
	assert_int_equal(o->items[0].source.n + o->items[0].identities.n + o->items[0].row.n, 0);
}

static void
a_read_stops_at_its_items_and_at_its_bytes(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 20, 1000);
	read_all(o, 0, 7);
	assert_int_equal(o->nitems, 7);
	o->was_read = false;
	assert_true(spool_read(o->spool, o->items[6].seq, 100, 3500));
	assert_false(spool_read(o->spool, 0, 1, 1));
	until(o->was_read);
	assert_int_equal(o->nitems, 3);
	assert_item(&o->items[0], 7, 1000);
	o->was_read = false;
	assert_true(spool_read(o->spool, 0, 100, 10));	/* less than one is still one */
	until(o->was_read);
	assert_int_equal(o->nitems, 1);
}

static void
what_was_asked_to_be_removed_is_counted_and_read_no_more(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 20, 100);
	read_all(o, 0, 10);
	remove_read(o);
	assert_int_equal(state_of(o).events, 10);
	read_all(o, 0, 100);
	assert_int_equal(o->nitems, 10);
	assert_item(&o->items[0], 10, 100);
	restart(o);
	assert_int_equal(state_of(o).events, 10);
	read_all(o, 0, 100);
	assert_int_equal(o->nitems, 10);
	assert_item(&o->items[0], 10, 100);
}

/* The removal is asked for while the read is on its way. */
static void
a_read_goes_on_behind_what_was_removed_meanwhile(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 20, 100);
	read_all(o, 0, 10);
	o->was_read = false;
	assert_true(spool_read(o->spool, 0, 10, SIZE_MAX));
	remove_read(o);
	until(o->was_read);
	assert_int_equal(o->nitems, 10);
	assert_item(&o->items[0], 10, 100);
}

static void
an_empty_spool_says_so(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 3, 100);
	assert_true(state_of(o).oldest_us > 0 && state_of(o).oldest_us <= clock_now_us());
	assert_true(state_of(o).bytes > 0);
	o->nchanged = 0;
	assert_int_equal(drain(o), 3);
	until(o->nchanged > 0);
	assert_int_equal(state_of(o).events, 0);
	assert_int_equal(state_of(o).bytes, 0);
	assert_int_equal(state_of(o).oldest_us, 0);
}

static void
the_oldest_is_the_one_put_first_of_those_left(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	clock_set_us(1000000);
	put(o, 1, 10);
	clock_set_us(2000000);
	put(o, 2, 10);
	clock_set_us(-1);
	until(o->nanswers == 2);
	assert_int_equal(state_of(o).oldest_us, 1000000);
	read_all(o, 0, 1);
	remove_read(o);
	until(state_of(o).oldest_us == 2000000);
	restart(o);
	assert_int_equal(state_of(o).oldest_us, 2000000);
}

/* ---- keys ---- */

static void
a_key_that_is_there_is_answered_with_the_older_ones_id(void **state)
{
	struct owner *o = *state;
	const struct spool_item first = item_of(1, 100);
	struct spool_item twin = first;
	struct err err;

	start(o, SMALL_BYTES);
	until(takes(o));
	twin.id = item_of(2, 100).id;
	/* In one transaction, and in a later one. */
	for (int round = 0; round < 2; round++) {
		o->nanswers = 0;
		assert_true(spool_put(o->spool, &first, o, &err));
		assert_true(spool_put(o->spool, &twin, &twin, &err));
		until(o->nanswers == 2);
		assert_true(o->answers[1].is_kept);
		assert_ptr_equal(o->answers[1].tag, &twin);
		assert_memory_equal(&o->answers[1].id, &first.id, UUID_BYTES);
		assert_int_equal(state_of(o).events, 1);
	}
}

static void
a_key_that_was_removed_can_be_put_again(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 1, 2, 100);
	read_all(o, 0, 1);
	remove_read(o);
	o->nanswers = 0;
	put(o, 1, 100);
	until(o->nanswers == 1 && o->answers[0].is_kept);
	read_all(o, 0, 10);
	assert_int_equal(o->nitems, 1);
}

static void
numbers_rise_also_when_the_latest_were_removed(void **state)
{
	struct owner *o = *state;
	int64_t last = 0;

	start(o, SMALL_BYTES);
	until(takes(o));
	for (int round = 0; round < 3; round++) {
		put_all(o, round, round + 1, 10);
		read_all(o, 0, 10);
		assert_int_equal(o->nitems, 1);
		assert_true(o->items[0].seq > last);
		last = o->items[0].seq;
		assert_int_equal(drain(o), 1);
		restart(o);
	}
}

/* ---- one fsync for all that waits ---- */

static void
puts_that_wait_share_an_fsync(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	disk.sync_us = 20000;
	disk.nsyncs = 0;
	put_all(o, 0, 1000, 100);
	/* The first perhaps by itself, the others while it is under way. */
	assert_in_range(disk.nsyncs, 1, 50);
}

static void
nothing_is_answered_before_it_is_on_disk(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	for (int n = 0; n < 5; n++) {
		disk.nsyncs = 0;
		put_all(o, n, n + 1, 100);
		assert_true(disk.nsyncs > 0);
	}
}

static unsigned nticks;

static void
count_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	nticks++;
}

static void
a_disk_that_hangs_holds_up_the_thread_only(void **state)
{
	struct owner *o = *state;
	const struct timeval every = { .tv_usec = 10000 };
	struct event *ticks = event_new(loop_base(o->loop), -1, EV_PERSIST, count_tick, NULL);
	int64_t began_us;

	start(o, SMALL_BYTES);
	until(takes(o));
	assert_int_equal(event_add(ticks, &every), 0);
	disk.sync_us = 500000;
	nticks = 0;
	began_us = clock_mono_us();
	put(o, 1, 100);
	put(o, 2, 100);
	assert_true(clock_mono_us() - began_us < 200000);
	until(o->nanswers == 2);
	assert_true(clock_mono_us() - began_us >= 500000);
	assert_true(nticks >= 15);
	event_free(ticks);
}

static void
puts_that_wait_for_the_disk_are_bounded(void **state)
{
	struct owner *o = *state;
	const struct spool_item item = item_of(1, 200000);
	struct spool_item next = item;
	struct spool_state full;
	struct err err;
	int n = 0;

	start(o, INT64_C(1) << 30);
	until(takes(o));
	disk.sync_us = 2000000;
	do {
		next.key = item_of(++n, 0).key;
	} while (spool_put(o->spool, &next, o, &err));
	assert_int_equal(err.kind, ERR_RETRY);
	assert_non_null(strstr(err.text, "its disk is too slow"));
	full = state_of(o);
	assert_false(full.takes);
	assert_non_null(strstr(full.why, "its disk is too slow"));
	assert_in_range(n, 300, 700);		/* of 200 kB: 64 MiB, twice when one is done */
	disk.sync_us = 0;
	until(o->nanswers == (size_t)n - 1);
	assert_true(takes(o));
}

/* ---- how much there may be ---- */

static int
fill(struct owner *o, int n, size_t bytes, struct err *err)
{
	struct spool_item item = item_of(n, bytes);

	o->nanswers = 0;
	for (size_t asked = 0;;) {
		if (!spool_put(o->spool, &item, o, err))
			break;
		item = item_of(++n, bytes);
		if (++asked % 20 == 0)
			until(o->nanswers == asked);
	}
	until(state_of(o).events == (int64_t)o->nanswers);
	for (size_t i = 0; i < o->nanswers; i++)
		assert_true(o->answers[i].is_kept);
	return n;
}

static void
a_full_spool_refuses_before_it_grows_and_takes_again_when_drained(void **state)
{
	enum { MAX_BYTES = 2 * 1024 * 1024 };
	struct owner *o = *state;
	struct err err;
	int n = 0, first = 0;

	start(o, MAX_BYTES);
	until(takes(o));
	for (int round = 0; round < 3; round++) {
		n = fill(o, n, 1000, &err);
		assert_int_equal(err.kind, ERR_RETRY);
		assert_non_null(strstr(err.text, "full"));
		assert_false(takes(o));
		assert_non_null(strstr(state_of(o).why, "it is full: "));
		assert_true(size_of(o->path) <= MAX_BYTES);
		assert_true(state_of(o).bytes <= MAX_BYTES);
		assert_true(n - first > MAX_BYTES * 7 / 10 / 1000);
		assert_int_equal(drain(o), n - first);
		until(takes(o));
		first = n;
	}
}

static void
a_row_larger_than_the_room_is_refused_and_a_smaller_one_is_not(void **state)
{
	struct owner *o = *state;
	struct err err;
	struct spool_item item;

	start(o, 256 * 1024);
	until(takes(o));
	put_all(o, 0, 1, 150000);
	item = item_of(1, 150000);
	assert_false(spool_put(o->spool, &item, o, &err));
	assert_int_equal(err.kind, ERR_RETRY);
	assert_non_null(strstr(err.text, "no room for 150"));
	assert_true(takes(o));
	put_all(o, 2, 3, 1000);
}

static void
an_empty_file_is_small_again(void **state)
{
	struct owner *o = *state;

	start(o, INT64_C(1) << 30);
	until(takes(o));
	for (int n = 0; n < 20000; n += 1000)
		put_all(o, n, n + 1000, 1000);
	assert_true(size_of(o->path) > 10 * 1024 * 1024);
	assert_int_equal(drain(o), 20000);
	until(size_of(o->path) < 100 * 1024);
	until(size_of(beside(o, "-wal")) < 100 * 1024);
	put_all(o, 0, 10, 1000);
	restart(o);
	assert_int_equal(drain(o), 10);
}

static void
the_log_beside_it_stays_small(void **state)
{
	struct owner *o = *state;

	start(o, INT64_C(1) << 30);
	until(takes(o));
	for (int n = 0; n < 40000; n += 1000)
		put_all(o, n, n + 1000, 1000);
	assert_true(size_of(o->path) > 30 * 1024 * 1024);
	assert_true(size_of(beside(o, "-wal")) < 24 * 1024 * 1024);
}

static sqlite3 *
open_reader(const struct owner *o)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(o->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM event", NULL, NULL, NULL),
	    SQLITE_OK);
	return db;
}

static void
a_reader_that_stays_stops_puts_before_the_log_fills_the_disk(void **state)
{
	struct owner *o = *state;
	sqlite3 *reader;
	int n = 0;

	start(o, INT64_C(1) << 30);
	until(takes(o));
	put_all(o, n, n + 1, 1000);
	reader = open_reader(o);
	for (n = 1; takes(o) && n < 200000; n += 100) {
		o->nanswers = 0;
		for (int i = 0; i < 100; i++)
			put(o, n + i, 4000);
		until(o->nanswers == 100);
	}
	assert_non_null(strstr(state_of(o).why, "a reader"));
	assert_true(size_of(beside(o, "-wal")) < 80 * 1024 * 1024);
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	until(takes(o));
	assert_true(size_of(beside(o, "-wal")) < 24 * 1024 * 1024);
}

static void
a_hundred_thousand_are_opened_and_removed_from_without_reading_them_all(void **state)
{
	enum { ROWS = 100000, REMOVED = 2000, PER_ROW_BYTES = 4 * 4120 };
	struct owner *o = *state;

	start(o, INT64_C(1) << 30);
	until(takes(o));
	for (int n = 0; n < ROWS; n += 5000)
		put_all(o, n, n + 5000, 500);
	stop(o);
	disk.read_bytes = 0;
	start(o, INT64_C(1) << 30);
	until(takes(o));
	assert_int_equal(state_of(o).events, ROWS);
	assert_true(disk.read_bytes < size_of(o->path) / 8);
	read_all(o, 0, REMOVED);
	assert_int_equal(o->nitems, REMOVED);
	disk.read_bytes = disk.written_bytes = 0;
	remove_read(o);
	read_all(o, 0, 1);
	assert_item(&o->items[0], REMOVED, 500);
	/* A leaf of the index for each, to and from the log and from there to the file. */
	assert_true(disk.read_bytes + disk.written_bytes < REMOVED * PER_ROW_BYTES);
}

/* ---- a disk that is full, or fails ---- */

static void
a_full_disk_refuses_until_there_is_room_and_says_so(void **state)
{
	struct owner *o = *state;
	size_t kept;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 10, 1000);
	disk.room_bytes = 0;
	o->nanswers = 0;
	put(o, 10, 1000);
	until(o->nanswers == 1);
	assert_false(o->answers[0].is_kept);
	assert_int_equal(o->answers[0].why.kind, ERR_RETRY);
	assert_non_null(strstr(o->answers[0].why.text, "the disk is full"));
	assert_false(takes(o));
	assert_non_null(strstr(state_of(o).why, "the disk is full"));
	kept = (size_t)state_of(o).events;
	assert_int_equal(kept, 10);
	disk.room_bytes = -1;
	o->nchanged = 0;
	until(takes(o));
	assert_true(o->nchanged > 0);
	put_all(o, 10, 20, 1000);
	restart(o);
	assert_int_equal(drain(o), 20);
	assert_int_equal(count_aside(o), 0);
}

static void
removals_asked_for_on_a_full_disk_are_done_when_there_is_room(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 20, 1000);
	disk.room_bytes = 0;
	read_all(o, 0, 5);
	remove_read(o);
	read_all(o, 0, 100);
	assert_int_equal(o->nitems, 15);
	assert_item(&o->items[0], 5, 1000);
	until(!takes(o));
	assert_int_equal(state_of(o).events, 15);
	read_all(o, 0, 2);
	assert_item(&o->items[0], 5, 1000);
	disk.room_bytes = -1;
	until(takes(o));
	assert_int_equal(state_of(o).events, 15);
	restart(o);
	assert_int_equal(drain(o), 15);
}

/* One frame of the log fits, then two ...: it fails at every write of a transaction. */
static void
a_disk_that_fills_at_any_write_loses_nothing(void **state)
{
	struct owner *o = *state;
	int n = 0, kept = 0;

	start(o, SMALL_BYTES);
	until(takes(o));
	for (int64_t room = 0; room < 80000; room += 1500) {
		o->nanswers = 0;
		disk.room_bytes = room;
		for (int i = 0; i < 10; i++)
			put(o, n++, 1000);
		until(o->nanswers == 10);
		for (size_t i = 0; i < 10; i++)
			kept += o->answers[i].is_kept;
		disk.room_bytes = -1;
		until(takes(o));
		put_all(o, n, n + 1, 1000);
		n++;
		kept++;
	}
	assert_true(kept < n);
	assert_int_equal(state_of(o).events, kept);
	restart(o);
	assert_int_equal(drain(o), kept);
	assert_int_equal(count_aside(o), 0);
}

static void
an_fsync_that_fails_is_no_acknowledgement(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 10, 1000);
	disk.sync_fails = true;
	o->nanswers = 0;
	put(o, 10, 1000);
	until(o->nanswers == 1);
	assert_false(o->answers[0].is_kept);
	if (strstr(o->answers[0].why.text, "I/O error") == NULL)
		fail_msg("%s", o->answers[0].why.text);
	disk.sync_fails = false;
	until(takes(o));
	put_all(o, 11, 20, 1000);
	restart(o);
	assert_int_equal(count_aside(o), 0);
	read_all(o, 0, 100);
	assert_in_range(o->nitems, 19, 20);
	assert_item(&o->items[9], 9, 1000);
	assert_item(&o->items[o->nitems - 1], 19, 1000);
}

/* ---- who may use it ---- */

static void
a_second_daemon_waits_until_the_first_is_gone(void **state)
{
	struct owner *o = *state;
	struct spool *first;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 3, 10);
	first = o->spool;
	start(o, SMALL_BYTES);
	until(strstr(state_of(o).why, "another daemon uses it") != NULL);
	assert_false(takes(o));
	spool_free(first);
	until(takes(o));
	assert_int_equal(drain(o), 3);
}

static void
its_files_are_its_users_alone(void **state)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };
	struct owner *o = *state;
	struct stat st;
	mode_t before = umask(0);

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 3, 10);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		assert_int_equal(stat(beside(o, suffixes[i]), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	(void)umask(before);
}

static void
a_missing_folder_is_named_and_waited_for(void **state)
{
	struct owner *o = *state;
	char folder[100];

	(void)snprintf(folder, sizeof(folder), "%s/sub", o->folder);
	(void)snprintf(o->path, sizeof(o->path), "%s/spool.db", folder);
	start(o, SMALL_BYTES);
	until(strstr(state_of(o).why, "the folder is not there") != NULL);
	assert_non_null(strstr(state_of(o).why, folder));
	assert_int_equal(mkdir(folder, 0700), 0);
	until(takes(o));
}

static void
what_is_no_file_is_left_alone_and_named(void **state)
{
	struct owner *o = *state;

	assert_int_equal(mkdir(o->path, 0700), 0);
	start(o, SMALL_BYTES);
	until(strstr(state_of(o).why, "no regular file") != NULL);
	stop(o);
	assert_int_equal(rmdir(o->path), 0);
	assert_int_equal(symlink("/nowhere/at/all", o->path), 0);
	start(o, SMALL_BYTES);
	until(strstr(state_of(o).why, "a link to no file") != NULL);
}

static void
a_link_is_followed(void **state)
{
	struct owner *o = *state;
	char real[160];

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 3, 10);
	stop(o);
	assert_int_equal(mkdir(beside(o, ".d"), 0700), 0);
	(void)snprintf(real, sizeof(real), "%s.d/real.db", o->path);
	assert_int_equal(rename(o->path, real), 0);
	assert_int_equal(symlink(real, o->path), 0);
	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 3, 5, 10);
	assert_int_equal(size_of(beside(o, "-wal")), -1);
	assert_int_equal(drain(o), 5);
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

static void
a_file_of_a_later_release_is_left_alone_and_named(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 3, 10);
	stop(o);
	exec_in(o->path, "PRAGMA user_version = 2");
	start(o, SMALL_BYTES);
	until(strstr(state_of(o).why, "its format is 2, of a later release") != NULL);
	assert_false(takes(o));
	stop(o);
	assert_int_equal(count_aside(o), 0);
	exec_in(o->path, "PRAGMA user_version = 1");
	start(o, SMALL_BYTES);
	until(takes(o));
	assert_int_equal(drain(o), 3);
}

/* ---- dying ---- */

static void
what_was_asked_for_is_done_before_it_ends(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 10, 100);
	read_all(o, 0, 5);
	disk.sync_us = 100000;
	for (int n = 10; n < 20; n++)
		put(o, n, 100);
	remove_read(o);
	o->nanswers = 0;
	stop(o);
	assert_int_equal(o->nanswers, 0);
	disk.sync_us = 0;
	start(o, SMALL_BYTES);
	until(takes(o));
	assert_int_equal(drain(o), 15);
}

/* Puts for ever, and tells the pipe what was acknowledged. */
static void
put_until_killed(struct owner *o, int from, int to_fd)
{
	size_t told = 0;

	start(o, INT64_C(1) << 30);
	until(takes(o));
	o->nanswers = 0;
	for (int n = from;; n++) {
		put(o, n, 1 + (size_t)n * 37 % 5000);
		if (n % 7 != 0)
			continue;
		(void)event_base_loop(loop_base(o->loop), EVLOOP_NONBLOCK);
		while (told < o->nanswers) {
			int id;

			if (!o->answers[told].is_kept)
				_exit(3);
			memcpy(&id, o->answers[told].id.b + 12, sizeof(id));
			if (write(to_fd, &id, sizeof(id)) != sizeof(id))
				_exit(4);
			told++;
		}
		while (o->nanswers + 200 < (size_t)(n - from))
			turn(o);
	}
}

static pid_t
start_putting(struct owner *o, int from, int *ret_fd)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err;

		(void)close(fds[0]);
		o->loop = loop_new(&err);
		put_until_killed(o, from, fds[1]);
		_exit(5);
	}
	(void)close(fds[1]);
	*ret_fd = fds[0];
	return pid;
}

/* Returns the last number that was acknowledged. */
static int
kill_after(pid_t pid, int fd, int nacks)
{
	int n = 0, last = -1, status;

	while (n < nacks && read(fd, &last, sizeof(last)) == sizeof(last))
		n++;
	assert_int_equal(n, nacks);
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (read(fd, &last, sizeof(last)) == sizeof(last))
		;
	(void)close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return last;
}

static void
all_that_was_acknowledged_outlives_kill_9(void **state)
{
	enum { ROUNDS = 8, APART = 100000 };
	struct owner *o = *state;
	int last[ROUNDS], fd;
	pid_t pid;

	for (int round = 0; round < ROUNDS; round++) {
		pid = start_putting(o, round * APART, &fd);
		last[round] = kill_after(pid, fd, 300 + round * 171) - round * APART;
	}
	start(o, INT64_C(1) << 30);
	until(takes(o));
	read_all(o, 0, 100000);
	assert_int_equal(o->nitems, state_of(o).events);
	/* Numbers were acknowledged in order, so each round's are there up to its last. */
	for (size_t i = 0, next = 0, round = 0; i < o->nitems; i++, next++) {
		int n = number_of(&o->items[i]);

		if (n / APART != (int)round) {
			assert_true((int)next > last[round]);
			round++;
			next = 0;
		}
		assert_int_equal(n, (int)(round * APART + next));
		assert_item(&o->items[i], n, 1 + (size_t)n * 37 % 5000);
	}
	assert_int_equal(count_aside(o), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_put_is_read_oldest_first_also_after_a_restart),
		T(rows_of_every_size_come_back_as_they_were),
		T(an_item_without_texts_comes_back_without_them),
		T(a_read_stops_at_its_items_and_at_its_bytes),
		T(what_was_asked_to_be_removed_is_counted_and_read_no_more),
		T(a_read_goes_on_behind_what_was_removed_meanwhile),
		T(an_empty_spool_says_so),
		T(the_oldest_is_the_one_put_first_of_those_left),
		T(a_key_that_is_there_is_answered_with_the_older_ones_id),
		T(a_key_that_was_removed_can_be_put_again),
		T(numbers_rise_also_when_the_latest_were_removed),
		T(puts_that_wait_share_an_fsync),
		T(nothing_is_answered_before_it_is_on_disk),
		T(a_disk_that_hangs_holds_up_the_thread_only),
		T(puts_that_wait_for_the_disk_are_bounded),
		T(a_full_spool_refuses_before_it_grows_and_takes_again_when_drained),
		T(a_row_larger_than_the_room_is_refused_and_a_smaller_one_is_not),
		T(an_empty_file_is_small_again),
		T(the_log_beside_it_stays_small),
		T(a_reader_that_stays_stops_puts_before_the_log_fills_the_disk),
		T(a_hundred_thousand_are_opened_and_removed_from_without_reading_them_all),
		T(a_full_disk_refuses_until_there_is_room_and_says_so),
		T(removals_asked_for_on_a_full_disk_are_done_when_there_is_room),
		T(a_disk_that_fills_at_any_write_loses_nothing),
		T(an_fsync_that_fails_is_no_acknowledgement),
		T(a_second_daemon_waits_until_the_first_is_gone),
		T(its_files_are_its_users_alone),
		T(a_missing_folder_is_named_and_waited_for),
		T(what_is_no_file_is_left_alone_and_named),
		T(a_link_is_followed),
		T(a_file_of_a_later_release_is_left_alone_and_named),
		T(what_was_asked_for_is_done_before_it_ends),
		T(all_that_was_acknowledged_outlives_kill_9),
	};

	log_set_level((enum log_level)0);	/* the faults are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
