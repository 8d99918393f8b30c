/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_TRIAL_PRINT_H
#define TL_CLI_TRIAL_PRINT_H

#include <json-c/json_object.h>

/* The whole answer of `source try`, for people, on stdout. */
void	trial_print(struct json_object *answer);

#endif
