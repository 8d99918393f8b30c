/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_ACTION_BODY_H
#define TL_FLOW_ACTION_BODY_H

#include "base/buf.h"
#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"

struct json_object;

/* A tree of templates -> JSON: maps and lists as they stand, each text a template whose result is a
 * string; behind "=" the result is taken as JSON where it is some (a number, true, a list), and
 * as a string where it is none. */

/* Complains of what will never do.  tree NULL: nothing to judge. */
void	action_body_check(struct conf *c, const struct conf_node *tree, const char *key);
/* tree NULL: the payload as it is.  false: as action_substitute(). */
TL_MUST bool action_body_build(const struct conf_node *tree, struct json_object *payload,
    struct buf *out, struct err *err);

#endif
