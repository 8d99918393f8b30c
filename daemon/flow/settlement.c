/* SPDX-License-Identifier: Apache-2.0 */
/* What became of deliveries, until the database knows it. */
#include <stdlib.h>

#include "flow/dispatcher_internal.h"

bool
settlement_add(struct dispatcher *d, const struct settlement *like, const char *error,
    char *take_log)
{
	struct settlement *s = calloc(1, sizeof(*s));

	if (s != NULL) {
		*s = *like;
		s->error = error != NULL ? strdup(error) : NULL;
		s->log = take_log;
		if (error == NULL || s->error != NULL) {
			TAILQ_INSERT_TAIL(&d->settlements, s, in_list);
			dispatcher_wake(d);
			return true;
		}
		free(s);
	}
	free(take_log);
	return false;
}

void
settlement_free(struct dispatcher *d, struct settlement *s)
{
	TAILQ_REMOVE(&d->settlements, s, in_list);
	free(s->error);
	free(s->log);
	free(s);
}
