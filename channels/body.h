/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_BODY_H
#define TL_CHANNELS_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"

struct http_message;
struct json_object;

/* What a request's body is, and its events as slices of bytes.  Shared by the channel
 * types that take JSON. */

enum body_form {
	BODY_JSON, BODY_LINES,
	/* Only where foreign documents are taken. */
	BODY_FORM, BODY_FORM_BASE64, BODY_MULTIPART,
};

struct body {
	enum body_form	 form;
	struct str	 type;		/* the Content-Type as sent, or application/json */
	struct str	 bytes;		/* without their content coding */
	struct buf	 inflated;	/* ours: where bytes are when there was a coding */
};

/* Why a body is refused, or the request that brought it. */
struct body_refusal {
	int		 status;	/* 400, 413, 415, 503 */
	const char	*check;		/* one fixed word for the operator */
	char		 detail[240];	/* for the sender */
};

/* Fills it in; always false. */
bool		body_refuse(struct body_refusal *why, int status, const char *check,
		    const char *detail);

/* Reads Content-Type and Content-Encoding (gzip, deflate); `max_bytes` bounds the
 * inflated body.  is_foreign: takes forms, and JSON that is called text/plain.
 * Also after false: body_fini(). */
TL_MUST bool	body_open(struct body *b, const struct http_message *m, size_t max_bytes,
		    bool is_foreign, struct body_refusal *why);
/* Bytes that were kept, with their Content-Type. */
TL_MUST bool	body_open_kept(struct body *b, struct str type, struct str bytes, bool is_foreign,
		    struct body_refusal *why);
void		body_fini(struct body *b);

/* The documents of a body: one JSON value, or one form, or the items of an array, or the lines that
 * are not blank. */
struct body_items {
	struct str	*v;		/* ours */
	size_t		 n;
	bool		 is_plural;	/* an array or lines: the answer lists them */
};

/* An array that is not JSON throughout is refused as a whole; a line that is not
 * JSON is found when it is read. */
TL_MUST bool	body_split(const struct body *b, struct body_items *ret, struct body_refusal *why);
void		body_items_fini(struct body_items *items);

bool		body_is_form(const struct body *b);
/* The form as JSON, to be freed with json_object_put(). */
TL_MUST bool	body_read_form(const struct body *b, struct json_object **ret,
		    struct body_refusal *why);

#endif
