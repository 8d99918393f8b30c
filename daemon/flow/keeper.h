/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_KEEPER_H
#define TL_FLOW_KEEPER_H

#include <stdbool.h>

#include "base/checked.h"
#include "base/err.h"

struct keeper;
struct loop;

/* What the database needs done now and then, on a connection of its own: partitions
 * ahead of time, expired dedupe keys, a restored cluster noticed. */
TL_MUST struct keeper	*keeper_new(struct loop *l, const char *conninfo, struct err *err);
void			 keeper_free(struct keeper *k);	/* accepts NULL */
bool			 keeper_is_up(const struct keeper *k);

#endif
