/* SPDX-License-Identifier: Apache-2.0 */
/* The configured sources by name; what a renamed one logged stands under its old names. */
#include "cli/sources.h"

#include "cli/db.h"
#include "edge/config.h"
#include "model/dedupe.h"
#include "model/source.h"

static bool
had_name(const struct source *s, struct str name)
{
	for (size_t i = 0; i < s->was.n; i++)
		if (str_eq(s->was.v[i], name))
			return true;
	return false;
}

const struct source *
sources_find(const struct config *c, struct str name)
{
	const struct source *former = NULL;

	for (size_t i = 0; i < c->sources.n; i++) {
		const struct source *s = c->sources.v[i].common;

		if (str_eq(s->name, name))
			return s;
		if (had_name(s, name))
			former = s;
	}
	return former;
}

void
sources_names(const struct config *c, const char *name, struct buf *out)
{
	const struct source *s = sources_find(c, str_of(name));

	buf_text(out, "{");
	if (s == NULL)
		db_array_item(out, str_of(name), true);
	else
		db_array_item(out, s->name, true);
	for (size_t i = 0; s != NULL && i < s->was.n; i++)
		db_array_item(out, s->was.v[i], false);
	buf_add(out, "}", 2);		/* with its NUL */
}

static const char *
name_at(void *arg, size_t i)
{
	const struct config *const *c = arg;

	return i < (*c)->sources.n ? (*c)->sources.v[i].name.p : NULL;
}

enum exit_code
sources_unknown(const struct config *c, const char *name)
{
	const char *nearest = conf_nearest(str_of(name), name_at, &c);

	if (nearest != NULL)
		return cli_fail(CLI_NOT_FOUND, "there is no source %s; did you mean %s?", name, nearest);
	return cli_fail(CLI_NOT_FOUND, "there is no source %s", name);
}

enum exit_code
sources_event_key(const struct cli *cli, const char *name, const char *external_id,
    char ret[UUID_TEXT_SIZE])
{
	const struct source *s = sources_find(cli->config, str_of(name));
	const struct source unknown = { .name = str_of(name), .key_name = str_of(name),
	    .dedupe = DEDUPE_AUTO };
	const struct dedupe_facts facts = { .external_id = str_of(external_id) };
	enum dedupe_basis basis;

	if (s == NULL)
		cli_note("the source %s is not in the configuration", name);
	else if (s->dedupe != DEDUPE_AUTO)
		return cli_fail(CLI_FAILED, "the source %s does not know its events by external_id "
		    "(dedupe: %s): name the event by its own id", name,
		    s->dedupe == DEDUPE_BODY ? "body" : "none");
	uuid_text(dedupe_key(s != NULL ? s : &unknown, &facts, &basis), ret);
	return CLI_OK;
}
