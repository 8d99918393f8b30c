/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_TESTS_SPOOL_OWNER_H
#define TL_TESTS_SPOOL_OWNER_H

/* What the tests of the spool share: an owner that remembers what it was told, items that
 * follow from a number, and a disk that can be made to fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "io/loop.h"
#include "io/spool.h"

enum { DEADLINE_S = 30, ANSWERS_MAX = 20000, SMALL_BYTES = 8 * 1024 * 1024 };

struct answer {
	void		*tag;
	struct uuid	 id;
	bool		 is_kept;
	struct err	 why;
};

struct owner {
	char		 folder[64];
	char		 path[128];
	struct loop	*loop;
	struct spool	*spool;
	struct answer	*answers;
	size_t		 nanswers;
	struct spool_item *items;	/* with texts of their own */
	size_t		 nitems;
	bool		 was_read;
	unsigned	 nchanged;
};

int	 set_up(void **state);		/* a folder and a loop */
int	 tear_down(void **state);
void	 start(struct owner *o, int64_t max_bytes);
void	 stop(struct owner *o);
/* And waits until it takes. */
void	 restart(struct owner *o);
struct spool_state state_of(const struct owner *o);
bool	 takes(const struct owner *o);
void	 turn(struct owner *o);

/* Turns the loop until it is so. */
#define until(condition) do {						\
	int64_t end_us_ = clock_mono_us() + (int64_t)DEADLINE_S * 1000000;	\
	while (!(condition)) {						\
		if (clock_mono_us() > end_us_)				\
			fail_msg("not within %d s: %s (%s)", DEADLINE_S, #condition,	\
			    state_of(o).why);				\
		turn(o);						\
	}								\
} while (0)

struct spool_item item_of(int n, size_t bytes);
/* Of an item that item_of() made. */
int	 number_of(const struct spool_item *item);
void	 put(struct owner *o, int n, size_t bytes);
/* Those of from <= n < to, and waits until all are kept. */
void	 put_all(struct owner *o, int from, int to, size_t bytes);
void	 read_all(struct owner *o, int64_t after, size_t max_items);
void	 assert_item(const struct spool_item *got, int n, size_t bytes);
void	 remove_read(struct owner *o);	/* what was read */
/* Reads and removes until nothing is left; how many there were. */
size_t	 drain(struct owner *o);

/* The name of a file beside the spool's; "" is its own. */
const char *beside(const struct owner *o, const char *suffix);
int64_t	 size_of(const char *path);	/* -1: it is not there */
/* How many names in the folder have this in them. */
unsigned count_names(const struct owner *o, const char *part);
/* How many files were set aside; their logs are not counted. */
unsigned count_aside(const struct owner *o);

/* What SQLite asks of the system goes through here. */
struct disk {
	int64_t	room_bytes;		/* that may still be written; -1: any */
	bool	sync_fails;
	int64_t	sync_us;		/* how long one takes */
	unsigned nsyncs;
	int64_t	written_bytes, read_bytes;
};
extern struct disk disk;

#endif
