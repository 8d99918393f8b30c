/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_ACTION_TYPES_H
#define TL_FLOW_ACTION_TYPES_H

#include "flow/action.h"

/* One line for each type: the only symbol of its file, or of a few. */
extern const struct action_type action_email, action_notify, action_priority, action_stage,
    action_tag, action_task, action_webhook;

#endif
