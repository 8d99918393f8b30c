/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_PERSON_H
#define TL_CLI_PERSON_H

/* Who does it, for the records: as given, else the user of the system.  Never NULL; it lives as
 * long as the program. */
const char	*cli_person(const char *given);

#endif
