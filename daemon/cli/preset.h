/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_PRESET_H
#define TL_CLI_PRESET_H

#include "base/conf.h"
#include "cli/command.h"

/* Reads DIR/NAME.yaml as a tree.  CLI_OK: *ret is freed with conf_free().  Else it was said
 * what is wrong: CLI_NOT_FOUND, CLI_CONFIG, CLI_FAILED. */
enum exit_code	preset_load(const char *dir, const char *name, struct conf **ret);

#endif
