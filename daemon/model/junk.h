/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_JUNK_H
#define TL_MODEL_JUNK_H

#include <stdbool.h>

#include "base/str.h"
#include "model/identity.h"

/* What stands where an identity should and names nobody: "null", "0", all zeros, "-",
 * "[Number]", a withheld number, test@test.com.  Were it taken for an identity, it would
 * make one customer of thousands of people.  s is trimmed. */
bool	junk_is(enum identity_rank rank, struct str s);

#endif
