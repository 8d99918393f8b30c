/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_CANONICAL_H
#define TL_MODEL_CANONICAL_H

#include "base/checked.h"
#include "base/err.h"
#include "model/draft.h"

struct json_object;

/* The canonical event, for software that can post what we ask: the columns by name,
 * `identities` and their shorthands, `customer`, `participants`; every other member
 * is an attribute.  doc is borrowed; *d was initialised.
 * false: ERR_INPUT naming the member, or ERR_RETRY when memory is out. */
TL_MUST bool	canonical_read(struct json_object *doc, struct draft *d, struct err *err);

#endif
