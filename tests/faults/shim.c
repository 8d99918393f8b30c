/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that fills or is slow, for one file of one process: preloaded, it stands before
 * libc's writes and syncs of files whose path begins with $SHIM_PATH.
 *
 * While $SHIM_FLAGS/full is there, what would make a file longer or change it fails with
 * ENOSPC; while $SHIM_FLAGS/slow is there, a sync first takes as many milliseconds as its
 * text says.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int
is_ours(int fd)
{
	const char *prefix = getenv("SHIM_PATH");
	char link[64], path[4096];
	ssize_t n;

	if (prefix == NULL)
		return 0;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = '\0';
	return strncmp(path, prefix, strlen(prefix)) == 0;
}

static void
flag_path(const char *name, char *path, size_t room)
{
	const char *flags = getenv("SHIM_FLAGS");

	(void)snprintf(path, room, "%s/%s", flags != NULL ? flags : "/nowhere", name);
}

static int
is_full(int fd)
{
	char path[4096];

	flag_path("full", path, sizeof(path));
	if (access(path, F_OK) != 0 || !is_ours(fd))
		return 0;
	errno = ENOSPC;
	return 1;
}

static void
take_time(int fd)
{
	char path[4096];
	struct timespec wait;
	long ms = 0;
	FILE *f;

	flag_path("slow", path, sizeof(path));
	f = is_ours(fd) ? fopen(path, "r") : NULL;
	if (f == NULL)
		return;
	if (fscanf(f, "%ld", &ms) != 1)
		ms = 0;
	(void)fclose(f);
	wait = (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
	(void)nanosleep(&wait, NULL);
}

#define REAL(name)	((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t
write(int fd, const void *p, size_t n)
{
	return is_full(fd) ? -1 : REAL(write)(fd, p, n);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return is_full(fd) ? -1 : REAL(pwrite)(fd, p, n, at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	return is_full(fd) ? -1 : REAL(pwrite64)(fd, p, n, at);
}

int
ftruncate(int fd, off_t n)
{
	return is_full(fd) ? -1 : REAL(ftruncate)(fd, n);
}

int
ftruncate64(int fd, off64_t n)
{
	return is_full(fd) ? -1 : REAL(ftruncate64)(fd, n);
}

int
fsync(int fd)
{
	take_time(fd);
	return REAL(fsync)(fd);
}

int
fdatasync(int fd)
{
	take_time(fd);
	return REAL(fdatasync)(fd);
}
