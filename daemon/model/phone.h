/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_PHONE_H
#define TL_MODEL_PHONE_H

/* libphonenumber, behind plain C. */

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>

/* "+", the 15 digits that E.164 allows, and the NUL. */
enum { PHONE_MAX_BYTES = 17 };

enum phone_check {
	PHONE_POSSIBLE,		/* by its length; says nothing of the digits */
	PHONE_VALID,		/* within a range that was in use when the library was built */
};

/* Reads a number as people write it in `region` (ISO, capitals; NULL: nowhere, so only
 * numbers with their country are read) into E.164.  An extension is dropped.
 * False: it is none, or does not pass the check.  10 to 35 us. */
bool phone_parse(const char *text, size_t n, const char *region, enum phone_check check,
    char ret[PHONE_MAX_BYTES]) __attribute__((warn_unused_result));

/* Whether the library knows that region. */
bool phone_has_region(const char *region);

#ifdef __cplusplus
}
#endif
#endif
