/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_COMMANDS_H
#define TL_CLI_COMMANDS_H

/* One line for each command: the only symbol of its file. */
extern const struct command command_customer, command_inject, command_migrate,
    command_outbox, command_parked, command_rule, command_show, command_source, command_spool,
    command_tail, command_task, command_trace;

#endif
