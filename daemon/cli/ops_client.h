/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_OPS_CLIENT_H
#define TL_CLI_OPS_CLIENT_H

#include <stdbool.h>

#include <json-c/json_object.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

struct config;

/* Asks the running daemon: GET on the first listener that serves ops, within 5 s.
 * *ret is freed with json_object_put().  ERR_RETRY: it cannot be reached or does not
 * answer as it should. */
TL_MUST bool	ops_ask(const struct config *c, const char *path, struct json_object **ret,
		    struct err *err);

/* A member as it is meant to be; "", 0, NULL where there is none. */
const char	*ops_text(struct json_object *o, const char *key);
int64_t		 ops_number(struct json_object *o, const char *key);
struct json_object *ops_list(struct json_object *o, const char *key, size_t *ret_n);
/* Makes ISO 8601 of a member that holds seconds since 1970. */
void		 ops_mend_time(struct json_object *o, const char *key);

#endif
