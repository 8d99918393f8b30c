/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of schema/: numbered from 001 without a gap.  The comment at the head of
 * each says `min_binary: N` (the level a program needs to work with the result) and
 * maybe `no-transaction` (one statement that cannot run in one).
 */
#include "cli/migration.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/str.h"

enum { FILE_MAX_BYTES = 16 * 1024 * 1024, DIGITS = 3, MAX_FILES = 999, BLOCK_BYTES = 65536 };

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* 001-name.sql */
static int
is_migration(const struct dirent *entry)
{
	static const struct str end = STR(".sql");
	struct str name = str_of(entry->d_name);

	for (size_t i = 0; i < DIGITS; i++)
		if (i >= name.n || !is_digit(name.p[i]))
			return 0;
	return name.n > DIGITS + 1 + end.n && name.p[DIGITS] == '-' &&
	    str_eq(str_skip(name, name.n - end.n), end);
}

static int
compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* ---- one file ---- */

static bool
read_bytes(FILE *f, struct buf *ret)
{
	char *at;
	size_t n;

	do {
		at = buf_space(ret, BLOCK_BYTES);
		if (at == NULL)
			return false;
		n = fread(at, 1, BLOCK_BYTES, f);
		ret->n -= BLOCK_BYTES - n;
	} while (n > 0);
	return ferror(f) == 0;
}

static bool
read_file(const char *path, struct buf *ret, struct err *err)
{
	FILE *f = fopen(path, "rbe");
	bool ok;

	if (f == NULL)
		return err_set(err, ERR_CONFIG, "%s", strerror(errno));
	errno = 0;
	ok = read_bytes(f, ret);
	(void)fclose(f);
	if (!ok)
		return err_set(err, ERR_CONFIG, "%s", errno != 0 ? strerror(errno) :
		    "larger than a migration may be");
	return true;
}

static void
hash(struct str bytes, char ret[SHA256_HEX_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (EVP_Digest(bytes.p, bytes.n, digest, &len, EVP_sha256(), NULL) != 1)
		abort();	/* an OpenSSL without SHA-256 */
	for (unsigned i = 0; i < len; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

/* The comment at the head, line by line, up to the first other line. */
static bool
read_head(struct str rest, struct migration *m, struct err *err)
{
	static const struct str min_binary = STR("min_binary:");
	int64_t level = -1;

	while (str_starts(rest, STR("--"))) {
		struct str line = str_trim(str_skip(str_cut(&rest, '\n'), 2));

		if (str_eq(line, STR("no-transaction")))
			m->is_outside = true;
		else if (str_starts(line, min_binary) &&
		    !str_to_i64(str_trim(str_skip(line, min_binary.n)), 0, 1000000, &level))
			return err_set(err, ERR_CONFIG, "min_binary: is no number");
	}
	m->min_binary = (int)level;
	return level >= 0 || err_set(err, ERR_CONFIG, "its head says no min_binary:");
}

static bool
take_bytes(struct buf *bytes, struct migration *m, struct err *err)
{
	if (memchr(bytes->p, '\0', bytes->n) != NULL)
		return err_set(err, ERR_CONFIG, "it holds a NUL");
	hash(buf_str(bytes), m->sha256);
	m->sql = strndup(bytes->p, bytes->n);
	if (m->sql == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	return read_head(buf_str(bytes), m, err);
}

static bool
read_migration(const char *folder, const char *name, struct migration *m, struct err *err)
{
	struct buf path, bytes;
	bool ok;

	m->version = (int)strtol(name, NULL, 10);
	m->name = strdup(name);
	buf_init(&path, 4096);
	buf_init(&bytes, FILE_MAX_BYTES);
	buf_printf(&path, "%s/%s", folder, name);
	ok = m->name != NULL && buf_ok(&path) && read_file(path.p, &bytes, err) &&
	    take_bytes(&bytes, m, err);
	buf_fini(&path);
	buf_fini(&bytes);
	return ok || err_in(err, "%s", name);
}

/* ---- the folder ---- */

static bool
read_all(const char *folder, struct dirent **entries, int n, struct migrations *ret,
    struct err *err)
{
	ret->v = calloc((size_t)n + 1, sizeof(*ret->v));
	if (ret->v == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	for (int i = 0; i < n; i++) {
		if (!read_migration(folder, entries[i]->d_name, &ret->v[ret->n++], err))
			return false;
		if (ret->v[i].version != i + 1)
			return err_set(err, ERR_CONFIG, "%s: number %03d is wanted here",
			    ret->v[i].name, i + 1);
	}
	return n > 0 || err_set(err, ERR_CONFIG, "there is no migration");
}

bool
migrations_read(const char *folder, struct migrations *ret, struct err *err)
{
	struct dirent **entries = NULL;
	int n = scandir(folder, &entries, is_migration, compare);
	bool ok;

	*ret = (struct migrations){ 0 };
	if (n < 0)
		return err_set(err, ERR_CONFIG, "%s: %s", folder, strerror(errno));
	ok = read_all(folder, entries, n, ret, err);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	return ok || err_in(err, "%s", folder);
}

void
migrations_fini(struct migrations *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].name);
		free(m->v[i].sql);
	}
	free(m->v);
	*m = (struct migrations){ 0 };
}
