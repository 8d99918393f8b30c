/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_RULE_TEXT_H
#define TL_FLOW_RULE_TEXT_H

#include <stddef.h>

#include "base/checked.h"
#include "base/str.h"

/* What can be said of a rule's SQL expression without a database: that it is one expression, whose
 * quotes, comments and brackets are closed.  It says what touchlog.rule_rewrite() (schema/009)
 * would; everything else is PostgreSQL's to judge.
 *
 * false: *ret_at is the character at fault, from 0; *ret_why static text. */
TL_MUST bool rule_text_check(struct str text, size_t *ret_at, const char **ret_why);

#endif
