/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_JSON_INTERNAL_H
#define TL_BASE_JSON_INTERNAL_H

/* What json_scan.c lends to json.c; nobody else includes this. */

#include "base/buf.h"
#include "base/str.h"

/* Offset of the quote that ends the string whose first byte stands at `at`; doc.n when
 * there is none. */
size_t	json_string_end(struct str doc, size_t at);
/* Adds doc, with quotes around each number that json-c would change.  doc was scanned. */
void	json_quote_wide(struct str doc, struct buf *out);

#endif
