/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FAULTS_LEDGER_H
#define TL_FAULTS_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/uuid.h"

enum fate {
	FATE_NONE,			/* begun, and not acknowledged */
	FATE_LOGGED, FATE_DUPLICATE, FATE_SPOOLED, FATE_PARKED,
	FATE_MANY_200, FATE_MANY_202,	/* of a plural answer, which says no more of one event */
	NFATES,
};

extern const char *const fate_names[NFATES];

/* One event, known by its place in the order of sending, from 0 on. */
struct entry {
	struct uuid	id;		/* that was answered */
	enum fate	fate;
	uint32_t	tries;		/* requests with it that were sent */
	int64_t		due_us;		/* clock_mono_us(), of its first try */
	int64_t		acked_us;	/* likewise */
};

struct ledger_conf {
	const char	*prefix;	/* of each external_id; without what JSON escapes */
	int64_t		 n_people;
	int64_t		 poison_every;	/* nth event PostgreSQL refuses; 0: none */
	int64_t		 first;		/* that number begins, where all are known ... */
	int64_t		 n_events;	/* ... and the rest follows, counted round; else 0 */
};

struct ledger {
	struct ledger_conf conf;
	struct entry	*entries;	/* ours */
	int64_t		 n, room;
	int64_t		 n_acked;
};

/* The next event's place; memory that is out ends the program. */
int64_t		ledger_add(struct ledger *l);
/* The event as JSON on one line, the same at each try, without a newline at its end. */
void		ledger_event(const struct ledger *l, int64_t place, struct buf *out);
void		ledger_acked(struct ledger *l, int64_t place, enum fate fate, struct uuid id);
/* One line an event: number (in its external_id), fate, id, tries, due_us, acked_us. */
TL_MUST bool	ledger_save(const struct ledger *l, const char *path);
void		ledger_fini(struct ledger *l);

#endif
