/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_MAPPING_H
#define TL_MODEL_MAPPING_H

#include <stdbool.h>

#include <json-c/json_object.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"
#include "model/draft.h"

/* A foreign document -> a draft, as a source's `map`, `translate` and `require` say. */
struct mapping;

/* Compiles the values of these keys; each may be NULL (not given), `map` too.  Everything
 * wrong is complained of in c, at its place.  NULL: something was wrong.
 * The mapping lives in the conf's arena. */
struct mapping *mapping_compile(struct conf *c, const struct conf_node *map,
    const struct conf_node *translate, const struct conf_node *require);

/* doc may be any value, NULL for null.  The draft borrows from doc and from the mapping
 * and has its memory in a.
 * ERR_INPUT: a value does not fit its key, or a required one is not there; the draft
 * holds the others, and err tells of the first. */
TL_MUST bool mapping_run(const struct mapping *m, struct json_object *doc, struct arena *a,
    struct draft *ret, struct err *err);

#endif
