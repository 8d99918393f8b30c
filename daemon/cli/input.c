/* SPDX-License-Identifier: Apache-2.0 */
/* A request that is made of a file and of options. */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { BLOCK_BYTES = 64 * 1024, BOUNDARY_MAX_BYTES = 70 };	/* RFC 2046 5.1.1 */

static bool
read_all(int fd, struct buf *out)
{
	for (;;) {
		char *at = buf_space(out, BLOCK_BYTES);
		ssize_t n;

		if (at == NULL) {
			errno = EFBIG;
			return false;
		}
		do
			n = read(fd, at, BLOCK_BYTES);
		while (n < 0 && errno == EINTR);
		out->n -= BLOCK_BYTES - (n > 0 ? (size_t)n : 0);
		if (n <= 0)
			return n == 0;
	}
}

enum exit_code
input_read(const char *path, struct buf *out)
{
	bool is_stdin = path == NULL || strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read_all(fd, out);

	if (!ok)
		(void)cli_fail(CLI_FAILED, "%s: %s", is_stdin ? "stdin" : path, strerror(errno));
	if (fd >= 0 && !is_stdin)
		(void)close(fd);
	return ok ? CLI_OK : CLI_FAILED;
}

static bool
ends_in(const char *path, struct str end)
{
	struct str s = str_of(path);

	return s.n > end.n && str_eq_nocase(str_skip(s, s.n - end.n), end);
}

/* "--BOUNDARY" and a line end: of all bodies only a multipart one begins so. */
static struct str
boundary_of(struct str bytes)
{
	struct str line = str_cut(&bytes, '\n');

	if (!str_starts(line, STR("--")) || line.n < 4 || line.p[line.n - 1] != '\r' ||
	    line.n > BOUNDARY_MAX_BYTES + 3)
		return STR_NONE;
	return (struct str){ line.p + 2, line.n - 3 };
}

struct str
input_type(const char *path, struct str bytes, struct arena *a)
{
	struct str text = str_trim(bytes), boundary = boundary_of(bytes), type;
	struct buf b;

	if (boundary.n > 0) {
		buf_init(&b, 256);
		buf_printf(&b, "multipart/form-data; boundary=\"%.*s\"", STR_ARG(boundary));
		type = arena_str(a, buf_str(&b));
		buf_fini(&b);
		return type;
	}
	if (path != NULL && (ends_in(path, STR(".ndjson")) || ends_in(path, STR(".jsonl"))))
		return STR("application/x-ndjson");
	return text.n == 0 || text.p[0] == '{' || text.p[0] == '[' ? STR("application/json") :
	    STR("application/x-www-form-urlencoded");
}

bool
input_is_header(const char *line)
{
	return line[0] != ':' && strchr(line, ':') != NULL && strpbrk(line, "\r\n") == NULL;
}
