/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_EDGE_DAEMON_H
#define TL_EDGE_DAEMON_H

#include <stdbool.h>

#include "base/checked.h"
#include "base/err.h"

struct config;

/* What touchlogd ends with besides 0 and 1; DESIGN section 9. */
enum { EXIT_USAGE = 2, EXIT_CONFIG = 3, EXIT_DATABASE = 5 };

/* Starts the parts, runs until SIGTERM or SIGINT, stops them.  Owns the config from
 * the call on.  SIGHUP loads `path` again.  holds_actions: it decides rules and does nothing.
 * false: some part did not start. */
TL_MUST bool daemon_run(const char *path, struct config *take_config, const char *version,
    bool holds_actions, struct err *err);

#endif
