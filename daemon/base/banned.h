/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_BANNED_H
#define TL_BASE_BANNED_H

/* Calls nobody may use: unbounded, locale-bound, or without an error.  The build
 * force-includes this file, so that no source can forget it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gets
#pragma GCC poison atoi atol atoll atof sscanf gmtime localtime ctime asctime

#endif
