/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_TRIAL_EVENT_H
#define TL_CLI_TRIAL_EVENT_H

#include <json-c/json_object.h>

#include "base/checked.h"

struct event_outcome;
struct source;

/* What became of an event that was tried, as JSON: its fate, each column with the place that
 * it comes from, who is named, the key.  Freed with json_object_put(). */
struct json_object *trial_event(const struct source *s, const struct event_outcome *o);
/* "logged", "parked", "rejected", "ignored"; the n-th, NULL behind the last. */
const char	*trial_fate(size_t n);

#endif
