/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_PARKING_H
#define TL_MODEL_PARKING_H

#include "base/str.h"
#include "base/uuid.h"

/* What is kept of an event that is authentic but cannot be logged. */
struct parking {
	struct uuid	 id;
	struct uuid	 key;		/* its dedupe key, else that of its bytes */
	struct str	 source;	/* name */
	struct str	 raw;		/* exactly what came */
	struct str	 content_type;	/* or none */
	struct str	 reason;	/* for people */
};

#endif
