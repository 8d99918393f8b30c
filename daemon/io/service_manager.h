/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SERVICE_MANAGER_H
#define TL_IO_SERVICE_MANAGER_H

#include <stdint.h>

/* Tells whoever started us (systemd, Type=notify) how we are.  Nobody is told where
 * NOTIFY_SOCKET is not set: every function may be called always. */

/* Started, or done with a reload. */
void	manager_tell_ready(void);
/* Until manager_tell_ready(). */
void	manager_tell_reloading(void);
/* We shall have ended within that time. */
void	manager_tell_stopping(int64_t within_ms);
/* A line for people: `systemctl status` shows it. */
void	manager_tell_status(const char *line);
/* Has to come more often than manager_watchdog_ms(), or we are killed. */
void	manager_tell_alive(void);
/* 0: nobody watches. */
int64_t	manager_watchdog_ms(void);

#endif
