/* SPDX-License-Identifier: Apache-2.0 */
/* The sender's ledger: which events there are, and what was answered for each. */
#include "tests/faults/ledger.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

enum { FIRST_ROOM = 4096 };

const char *const fate_names[NFATES] = {
	[FATE_NONE] = "none", [FATE_LOGGED] = "logged", [FATE_DUPLICATE] = "duplicate",
	[FATE_SPOOLED] = "spooled", [FATE_PARKED] = "parked", [FATE_MANY_200] = "many_200",
	[FATE_MANY_202] = "many_202",
};

int64_t
ledger_add(struct ledger *l)
{
	if (l->n == l->room) {
		l->room = l->room > 0 ? 2 * l->room : FIRST_ROOM;
		l->entries = realloc(l->entries, (size_t)l->room * sizeof(*l->entries));
		if (l->entries == NULL)
			err(1, "realloc");
	}
	l->entries[l->n] = (struct entry){ 0 };
	return l->n++;
}

static int64_t
number_of(const struct ledger *l, int64_t place)
{
	return l->conf.n_events > 0 ? (l->conf.first + place) % l->conf.n_events : place;
}

static bool
is_poison(const struct ledger *l, int64_t number)
{
	return l->conf.poison_every > 0 && number % l->conf.poison_every == l->conf.poison_every - 1;
}

/* The poison is a number beyond numeric: whole to us, refused by PostgreSQL's jsonb. */
void
ledger_event(const struct ledger *l, int64_t place, struct buf *out)
{
	const int64_t number = number_of(l, place);

	buf_printf(out, "{\"external_id\":\"%s-%" PRId64 "\",\"kind\":\"visit\",\"email\":\"u%" PRId64
	    "@load.example\",\"subject\":\"event %" PRId64 " of a sender that keeps a ledger\"%s}",
	    l->conf.prefix, number, number * 7919 % l->conf.n_people, number,
	    is_poison(l, number) ? ",\"x\":1e200000" : "");
}

void
ledger_acked(struct ledger *l, int64_t place, enum fate fate, struct uuid id)
{
	struct entry *e = &l->entries[place];

	e->fate = fate;
	e->id = id;
	e->acked_us = clock_mono_us();
	l->n_acked++;
}

bool
ledger_save(const struct ledger *l, const char *path)
{
	FILE *f = fopen(path, "w");

	if (f == NULL)
		return false;
	for (int64_t i = 0; i < l->n; i++) {
		const struct entry *e = &l->entries[i];
		char id[UUID_TEXT_SIZE];

		uuid_text(e->id, id);
		(void)fprintf(f, "%" PRId64 " %s %s %" PRIu32 " %" PRId64 " %" PRId64 "\n",
		    number_of(l, i), fate_names[e->fate], id, e->tries, e->due_us, e->acked_us);
	}
	return fclose(f) == 0;
}

void
ledger_fini(struct ledger *l)
{
	free(l->entries);
}
