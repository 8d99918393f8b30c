/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_JSON_INTERNAL_H
#define TL_BASE_JSON_INTERNAL_H

/* What json_scan.c and json_build.c lend to json.c; nobody else includes this but a fuzz
 * target. */

#include <json-c/json_object.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"

/* Offset of the quote that ends the string whose first byte stands at `at`; doc.n when
 * there is none. */
size_t	json_string_end(struct str doc, size_t at);
/* Adds doc, with quotes around each number that json-c would change.  doc was scanned. */
void	json_quote_wide(struct str doc, struct buf *out);
/* The value that doc is; doc was scanned and has no number that json-c would change.
 * false: what is in it is in no order, or memory is out. */
TL_MUST bool json_build(struct str doc, struct json_object **ret);

#endif
