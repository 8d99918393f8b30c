/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_FORM_H
#define TL_MODEL_FORM_H

#include <json-c/json_object.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Forms as JSON: `a=1&data[merges][EMAIL]=x&tag[]=p&tag[]=q` is
 * {"a":"1","data":{"merges":{"EMAIL":"x"}},"tag":["p","q"]}.  A name that comes twice makes
 * a list; `[]` before a further part makes an object of its own each time.  A name that does
 * not go with those before it (`a=1&a[b]=2`) or has brackets left over is one name as it
 * stands.
 */

enum {
	FORM_MAX_FIELDS = 1000,
	FORM_MAX_DEPTH = 16,			/* parts of a name; more: as it stands */
	FORM_NAME_MAX_BYTES = 1024,
};

enum form_fate {
	FORM_READ,
	FORM_BROKEN,		/* no such form, or text that is no UTF-8 or holds a NUL */
	FORM_TOO_LARGE,		/* more fields, or a longer name, than above */
	FORM_NO_MEMORY,
};

/* What says how the values of an urlencoded form are written. */
enum form_coding { FORM_PERCENT, FORM_BASE64 };	/* base64: FreeSWITCH's mod_json_cdr */

/* Who gets *ret frees it with json_object_put().  err tells what FORM_READ is not. */
TL_MUST enum form_fate form_read_urlencoded(struct str body, enum form_coding coding,
    struct json_object **ret, struct err *err);
/* multipart/form-data; content_type as sent, with its boundary.  Texts are in the charset
 * that their part or `_charset_` names, else in UTF-8, else (senders of mail pass on what
 * they got) in windows-1252.  A file becomes {"name":…,"type":…,"size":…}. */
TL_MUST enum form_fate form_read_multipart(struct str content_type, struct str body,
    struct json_object **ret, struct err *err);

#endif
