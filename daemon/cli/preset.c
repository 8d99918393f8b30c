/* SPDX-License-Identifier: Apache-2.0 */
/* A preset by itself, without a source that builds on it. */
#include "cli/preset.h"

#include <stdio.h>
#include <unistd.h>

#include "base/str.h"

enum { PATH_BYTES = 4096 };

enum exit_code
preset_load(const char *dir, const char *name, struct conf **ret)
{
	char path[PATH_BYTES];
	int n = snprintf(path, sizeof(path), "%s/%s.yaml", dir, name);
	struct conf *c;

	if (strchr(name, '/') != NULL || (size_t)n >= sizeof(path) || access(path, F_OK) != 0)
		return cli_fail(CLI_NOT_FOUND, "there is no preset %s in %s", name, dir);
	c = conf_load_tree(path);
	if (c == NULL)
		return cli_fail(CLI_FAILED, "out of memory");
	for (size_t i = 0; i < conf_errors(c); i++)
		cli_note("%s", conf_error_text(c, i));
	if (conf_errors(c) > 0) {
		conf_free(c);
		return CLI_CONFIG;
	}
	*ret = c;
	return CLI_OK;
}
