/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_RULES_H
#define TL_FLOW_RULES_H

#include <stdbool.h>

#include "base/checked.h"
#include "base/err.h"

struct loop;
struct rule_set;
struct rules;

/* The rules of the file and those of the database.  Every daemon runs the database's active set;
 * this part makes the file's the active one when it is told to, and else only says whether the
 * two differ.  It has a connection of its own: loading a hundred rules takes its time.
 *
 * conninfo outlives it.  Nothing happens before the first rules_use(). */
TL_MUST struct rules	*rules_new(struct loop *l, const char *conninfo, struct err *err);
void			 rules_free(struct rules *r);	/* accepts NULL */
/* At the start and at each reload: this set is to be installed, now or when the database is
 * there.  What the set points into lives until the next call, or rules_free(). */
void			 rules_use(struct rules *r, struct rule_set *take_set);
/* What an operator should know; NULL: the active set is the file's. */
const char		*rules_why(const struct rules *r);

#endif
