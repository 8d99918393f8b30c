/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_FORM_INTERNAL_H
#define TL_MODEL_FORM_INTERNAL_H

/* What form.c and form_multipart.c share. */

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#include "model/form.h"

struct form_name {
	struct str	part[FORM_MAX_DEPTH];	/* empty: "[]", but for the first */
	size_t		n;
};

/* Puts a field into the form; the value is taken in any case, and may be NULL when memory
 * is out. */
TL_MUST enum form_fate form_put(struct json_object *form, size_t *nfields, struct str name,
    struct json_object *take_value, struct err *err);
enum form_fate	form_fail(enum form_fate fate, struct err *err, const char *text);
/* UTF-8 without NUL: what PostgreSQL can keep. */
bool		form_is_text(struct str s);
struct json_object *form_text(struct str s);

#endif
