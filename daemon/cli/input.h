/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_INPUT_H
#define TL_CLI_INPUT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"
#include "cli/command.h"

/* A request that is made of a file and of options. */

/* Reads the whole of the file; NULL and "-" are stdin.  CLI_FAILED: it was said why. */
enum exit_code	input_read(const char *path, struct buf *out);
/* The Content-Type that such a file most likely has, in the arena: JSON, one document a line
 * (by the name's ending), a multipart or an urlencoded form. */
TL_MUST struct str input_type(const char *path, struct str bytes, struct arena *a);
/* "Name: value" on one line. */
bool	input_is_header(const char *line);

#endif
