/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_INFLATE_H
#define TL_IO_INFLATE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

/* Content codings of RFC 9110 8.4.1. */
enum inflate_coding {
	INFLATE_GZIP,		/* one member or several, one behind the other */
	INFLATE_DEFLATE,	/* zlib's format, or bare deflate, which some send */
};

enum inflate_result {
	INFLATE_DONE,
	INFLATE_DAMAGED,	/* not that coding, cut short, or more behind its end */
	INFLATE_TOO_LARGE,	/* it would be more than max_bytes */
	INFLATE_NO_MEMORY,
};

/* Takes the coding off a whole body.  `out` is set up here, to hold max_bytes at
 * most, and is the caller's to buf_fini() whatever comes of it.  Work and memory
 * are bounded by the sizes of the input and of max_bytes, however well the input
 * is packed.  err is set unless the result is INFLATE_DONE. */
TL_MUST enum inflate_result inflate_body(struct str in, enum inflate_coding coding,
    size_t max_bytes, struct buf *out, struct err *err);

#endif
