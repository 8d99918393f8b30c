/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_SOURCES_H
#define TL_CLI_SOURCES_H

#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"
#include "base/uuid.h"
#include "cli/command.h"

struct config;
struct source;

/* The source of that name, or that had it.  NULL: there is none. */
const struct source *sources_find(const struct config *c, struct str name);
/* All names it ever had, as a literal of PostgreSQL's text[], NUL-terminated; of a source
 * that is not configured, its name alone. */
void	sources_names(const struct config *c, const char *name, struct buf *out);
/* The dedupe key of an event by the id that its sender gave it, as the daemon makes it: by the
 * source's oldest name.  Otherwise it was said why not. */
TL_MUST enum exit_code sources_event_key(const struct cli *cli, const char *name,
	    const char *external_id, char ret[UUID_TEXT_SIZE]);
/* Says that there is none of that name, and which is near: CLI_NOT_FOUND. */
enum exit_code sources_unknown(const struct config *c, const char *name);

#endif
