/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones, by ICU: libc knows one at a time, and that is the process's own. */
#include "model/zone.h"

#include <unicode/ucal.h>

enum { NAME_MAX_BYTES = 64 };

/* An ICU calendar is the only thing that tells an offset from a local time. */
struct zone {
	UCalendar	*calendar;	/* ours */
};

static void
drop(void *arg)
{
	struct zone *z = arg;

	ucal_close(z->calendar);
}

/* ICU takes names it does not know for GMT: ask first. */
static bool
is_known(const UChar *name, int32_t n)
{
	UChar canonical[NAME_MAX_BYTES];
	UErrorCode status = U_ZERO_ERROR;
	UBool is_system = false;

	(void)ucal_getCanonicalTimeZoneID(name, n, canonical, NAME_MAX_BYTES, &is_system, &status);
	return U_SUCCESS(status) && is_system;
}

bool
zone_open(struct conf *c, struct str name, const struct zone **ret, struct err *err)
{
	struct zone *z = arena_alloc(conf_arena(c), sizeof(*z));
	UErrorCode status = U_ZERO_ERROR;
	UChar wide[NAME_MAX_BYTES];
	int32_t n = 0;

	if (z == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	for (; (size_t)n < name.n && n < NAME_MAX_BYTES; n++)
		wide[n] = (unsigned char)name.p[n];
	if ((size_t)n < name.n || !is_known(wide, n))
		return err_set(err, ERR_CONFIG, "\"%.*s\" is no time zone of the IANA database, "
		    "such as Europe/Amsterdam", STR_ARG(str_prefix_utf8(name, 60)));
	z->calendar = ucal_open(wide, n, "en_US", UCAL_GREGORIAN, &status);
	if (U_FAILURE(status) || !conf_defer(c, drop, z)) {
		ucal_close(z->calendar);
		return err_set(err, ERR_RETRY, "out of memory");
	}
	*ret = z;
	return true;
}

bool
zone_offset(const struct zone *z, int64_t local_s, int *ret_s)
{
	UErrorCode status = U_ZERO_ERROR;
	int32_t standard_ms = 0, summer_ms = 0;

	ucal_setMillis(z->calendar, (UDate)local_s * 1000, &status);
	ucal_getTimeZoneOffsetFromLocal(z->calendar, UCAL_TZ_LOCAL_FORMER, UCAL_TZ_LOCAL_FORMER,
	    &standard_ms, &summer_ms, &status);
	*ret_s = (standard_ms + summer_ms) / 1000;
	return U_SUCCESS(status);
}
