/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what looks for rows in a damaged spool.  In a build directory of its own: see
 * fuzz_identity.c.  The first two bytes say how many pages are its file; the rest is its log.
 *
 * Whatever they hold, it ends, and stays inside. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/spool_carve.h"
#include "io/spool_raw.h"
#include "io/spool_row.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
save(const char *path, const uint8_t *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n)
		abort();
	(void)close(fd);
}

/* Reads every byte of it. */
static bool
add_row(void *arg, const struct spool_row *row, bool is_again, struct err *err)
{
	uint32_t *sum = arg;

	(void)is_again;
	(void)err;
	if (row->item.seq <= 0)
		abort();
	*sum += spool_row_crc(row);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint32_t sum = 0;
	const struct spool_carving carving = { .row = add_row, .arg = &sum };
	char path[64], log[80];
	struct spool_raw *r;
	struct err err;
	int64_t lost;
	size_t file;

	if (n < 2)
		return 0;
	file = (size_t)(data[0] << 8 | data[1]) * SPOOL_PAGE_BYTES;
	file = file < n - 2 ? file : n - 2;
	(void)snprintf(path, sizeof(path), "/dev/shm/fuzz_spool.%d", (int)getpid());
	(void)snprintf(log, sizeof(log), "%s-wal", path);
	save(path, data + 2, file);
	save(log, data + 2 + file, n - 2 - file);
	r = spool_raw_open(path, &err);
	if (r == NULL)
		abort();
	(void)!spool_raw_judge(r, &err);
	if (!spool_carve(r, &carving, &lost, &err) || lost < 0)
		abort();
	spool_raw_close(r);
	(void)unlink(path);
	(void)unlink(log);
	return 0;
}
