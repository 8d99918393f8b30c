/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_ENCODING_H
#define TL_BASE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"

/* Bytes as text: hexadecimal, base64, percent-encoding, the pairs of a form, HTML. */

/* The whole of text in either case.  false: it is none, or more than `room` bytes. */
TL_MUST bool	decode_hex(struct str text, unsigned char *out, size_t room, size_t *ret_n);
/* RFC 4648 section 4 with its padding and the bits that are left over zero: one text for
 * one value.  false: it is none, or more than `room` bytes. */
TL_MUST bool	decode_base64(struct str text, unsigned char *out, size_t room, size_t *ret_n);
void		encode_hex(struct buf *out, const unsigned char *bytes, size_t n);
void		encode_base64(struct buf *out, const unsigned char *bytes, size_t n);

/* RFC 3986 2.1; in a form and in a query a plus sign is a space.  false: an escape that
 * is none, and what was added to out is no text. */
TL_MUST bool	percent_decode(struct str text, bool plus_is_space, struct buf *out);
/* All but letters, digits and those of `also`. */
void		percent_encode(struct buf *out, struct str text, const char *also);

/* For text and for the value of an attribute between double or single quotes. */
void		html_escape(struct buf *out, struct str text);

/* Cuts the next pair off the front of a query or an urlencoded form, as it was sent: still
 * encoded, the value empty where there is no "=".  false: there is none left. */
TL_MUST bool	urlencoded_next(struct str *rest, struct str *ret_name, struct str *ret_value);
/* The first pair of that name (as it is decoded), its value decoded into `out`, which is
 * cleared first.  false: it is not there, or is badly encoded. */
TL_MUST bool	urlencoded_find(struct str pairs, struct str name, struct buf *out);

#endif
