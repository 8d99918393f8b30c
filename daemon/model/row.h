/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_ROW_H
#define TL_MODEL_ROW_H

#include <stdint.h>

#include "base/buf.h"
#include "model/interaction.h"

/* Interaction -> touchlog.interaction_row in PostgreSQL's binary form: the only
 * serialiser.  Whose the interaction is and by which transaction is known only in the
 * append transaction and is no part of it. */
void	row_encode(const struct interaction *i, struct buf *out);
/* PostgreSQL's timestamptz: microseconds since 2000. */
int64_t	row_time(int64_t at_us);

#endif
