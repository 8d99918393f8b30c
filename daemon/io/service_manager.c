/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd is told, by libsystemd.  A message that does not arrive is not sent again:
 * nothing here depends on one but systemd's own view of us. */
#include "io/service_manager.h"

#include <inttypes.h>

#include <systemd/sd-daemon.h>

#include "base/clock.h"

void
manager_tell_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

/* The time tells systemd which of its reloads this one answers. */
void
manager_tell_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono_us());
}

void
manager_tell_stopping(int64_t within_ms)
{
	(void)sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64, within_ms * 1000);
}

void
manager_tell_status(const char *line)
{
	(void)sd_notifyf(0, "STATUS=%s", line);
}

void
manager_tell_alive(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

int64_t
manager_watchdog_ms(void)
{
	uint64_t us;

	return sd_watchdog_enabled(0, &us) > 0 ? (int64_t)(us / 1000) : 0;
}
