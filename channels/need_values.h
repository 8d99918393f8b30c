/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_NEED_VALUES_H
#define TL_CHANNELS_NEED_VALUES_H

#include "base/arena.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"
#include "model/place.h"

struct http_message;

/* The headers and query parameters that places name: fetched from a request; and kept with
 * a parked event, whose bytes do not hold them, as parameters of its content type:
 * `application/json; touchlog-header-x-event=order; touchlog-query-id=7`. */

/* A value for each need, STR_NONE where there is none; in the arena, or the request's.
 * ERR_RETRY: memory is out, as with the others. */
TL_MUST bool	need_values_fetch(const struct place_needs *needs, const struct http_message *m,
		    struct arena *a, const struct str **ret, struct err *err);
/* The type with the values behind it. */
TL_MUST bool	need_values_keep(const struct place_needs *needs, const struct str *values,
		    struct str type, struct arena *a, struct str *ret, struct err *err);
/* From such a type. */
TL_MUST bool	need_values_restore(const struct place_needs *needs, struct str type,
		    struct arena *a, const struct str **ret, struct err *err);

/* Likewise the lists that an item came out of: `; touchlog-each=WORD`. */
TL_MUST bool	need_values_keep_lists(struct str type, struct str word, struct arena *a,
		    struct str *ret, struct err *err);
/* STR_NONE: none are kept. */
struct str	need_values_lists(struct str type);

#endif
