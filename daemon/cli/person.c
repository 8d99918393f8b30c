/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses the command line. */
#include "cli/person.h"

#include <stddef.h>

#include <pwd.h>
#include <unistd.h>

const char *
cli_person(const char *given)
{
	const struct passwd *pw;

	if (given != NULL)
		return given;
	pw = getpwuid(getuid());
	return pw != NULL ? pw->pw_name : "unknown";
}
