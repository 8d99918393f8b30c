/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_LOG_H
#define TL_BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct log_field {
	const char	*key;		/* NULL: the field is left out */
	enum { LOG_STR, LOG_NUM } type;
	struct str	 str;		/* LOG_STR: escaped on output */
	int64_t		 num;		/* LOG_NUM */
};

/* ERROR: someone must act.  WARN: we coped.  INFO: a change of state, not each
 * event.  DEBUG: off by default. */
enum log_level { LOG_ERROR = 3, LOG_WARN = 4, LOG_INFO = 6, LOG_DEBUG = 7 };

#define F_STR(k, v)	{ .key = (k), .type = LOG_STR, .str = (v) }
#define F_TEXT(k, v)	{ .key = (k), .type = LOG_STR, .str = str_of(v) }
#define F_NUM(k, v)	{ .key = (k), .type = LOG_NUM, .num = (int64_t)(v) }
#define F_ERR(e)	{ .key = "error", .type = LOG_STR, \
			  .str = { (e)->text, strlen((e)->text) } }

/* No bodies, addresses or secrets: ids, names and sizes. */
void log_write(enum log_level level, const char *event,
    const struct log_field *field, size_t n);
/* Lines above this level are dropped; LOG_INFO at first. */
void log_set_level(enum log_level level);

#define log_at(level, event, ...) do {					\
	const struct log_field f_[] = { __VA_ARGS__ };			\
	log_write((level), (event), f_, sizeof(f_) / sizeof(f_[0]));	\
} while (0)

#define log_error(event, ...)	log_at(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)	log_at(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...)	log_at(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)	log_at(LOG_DEBUG, event, __VA_ARGS__)

#endif
