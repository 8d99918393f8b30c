/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: the spellings of single values: durations, sizes, secrets, names. */
#include "base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf_internal.h"

enum { SECRET_MAX_BYTES = 65536, NAME_COMPARED_MAX = 64 };

struct unit {
	const char	*name;
	int64_t		 worth;
};

/* Largest first: the first that divides a value is the one it is written in. */
static const struct unit ms_units[] = {
	{ "y", 365 * INT64_C(86400000) },
	{ "w", 7 * INT64_C(86400000) },
	{ "d", INT64_C(86400000) },
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
	{ NULL, 0 },
};

static const struct unit size_units[] = {
	{ "GiB", INT64_C(1) << 30 },
	{ "MiB", 1 << 20 },
	{ "KiB", 1 << 10 },
	{ "B", 1 },
	{ NULL, 0 },
};

/* Digits and a unit behind them; without one the value counts `bare`, 0: refused. */
static bool
parse_units(struct str s, const struct unit *units, int64_t bare, int64_t *ret_value)
{
	size_t n = 0;
	int64_t value, worth = bare;
	struct str unit;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	if (!str_to_i64((struct str){ s.p, n }, 0, INT64_MAX, &value))
		return false;
	unit = str_skip(s, n);
	if (unit.n > 0) {
		while (units->name != NULL && !str_eq(unit, str_of(units->name)))
			units++;
		worth = units->worth;
	}
	if (worth == 0 || __builtin_mul_overflow(value, worth, &value))
		return false;
	*ret_value = value;
	return true;
}

bool
conf_parse_ms(struct str s, int64_t *ret_ms)
{
	return parse_units(s, ms_units, 0, ret_ms);
}

bool
conf_parse_size(struct str s, int64_t *ret_bytes)
{
	return parse_units(s, size_units, 1, ret_bytes);
}

static void
units_text(struct buf *out, const struct unit *units, int64_t value)
{
	while (units->worth > 1 && (value == 0 || value % units->worth != 0))
		units++;
	buf_printf(out, "%lld%s", (long long)(value / units->worth), units->name);
}

void
conf_ms_text(struct buf *out, int64_t ms)
{
	units_text(out, ms_units, ms);
}

void
conf_size_text(struct buf *out, int64_t bytes)
{
	units_text(out, size_units, bytes);
}

static void
number_text(struct buf *out, enum conf_type type, int64_t value)
{
	if (type == CONF_MS)
		conf_ms_text(out, value);
	else if (type == CONF_SIZE)
		conf_size_text(out, value);
	else
		buf_printf(out, "%lld", (long long)value);
}

void
conf_range_text(struct buf *out, const struct conf_key *row)
{
	if (row->min == 0 && row->max == 0)
		return;
	if (row->max < row->min) {
		buf_text(out, "at least ");
		number_text(out, row->type, row->min);
		return;
	}
	number_text(out, row->type, row->min);
	buf_text(out, " to ");
	number_text(out, row->type, row->max);
}

/* ---- secrets ---- */

static bool
refuse(struct arena *a, struct conf_secret *ret, const char *what, struct str name,
    const char *why)
{
	struct buf text;

	buf_init(&text, 8192);
	buf_printf(&text, "%s%.*s: %s", what, STR_ARG(name), why);
	ret->why = buf_ok(&text) ? arena_text(a, buf_str(&text)) : NULL;
	if (ret->why == NULL)
		ret->why = "out of memory";
	buf_fini(&text);
	return false;
}

static bool
keep(struct arena *a, struct conf_secret *ret, struct str value)
{
	ret->value = arena_str(a, value);
	if (ret->value.p == NULL)
		ret->why = "out of memory";
	return ret->value.p != NULL;
}

/* NULL: read.  Else what is wrong. */
static const char *
read_small_file(const char *path, char *out, size_t room, size_t *ret_n, bool *ret_is_open)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *why = NULL;
	struct stat st;
	ssize_t got = -1;

	*ret_n = 0;
	*ret_is_open = false;
	if (fd < 0 || fstat(fd, &st) != 0) {
		why = strerror(errno);
	} else if (!S_ISREG(st.st_mode)) {
		why = "is not a file";
	} else {
		*ret_is_open = (st.st_mode & S_IROTH) != 0;
		while (*ret_n < room && (got = read(fd, out + *ret_n, room - *ret_n)) > 0)
			*ret_n += (size_t)got;
		if (got < 0)
			why = strerror(errno);
		else if (*ret_n == room)
			why = "is larger than 64 KiB";
	}
	if (fd >= 0)
		(void)close(fd);
	return why;
}

static bool
secret_from_path(struct arena *a, const char *what, struct str name, const char *path,
    struct conf_secret *ret)
{
	char bytes[SECRET_MAX_BYTES + 1];
	struct str value = { bytes, 0 };
	bool is_open, is_read;
	const char *why = read_small_file(path, bytes, sizeof(bytes), &value.n, &is_open);

	if (why != NULL)
		return refuse(a, ret, what, name, why);
	if (value.n > 0 && value.p[value.n - 1] == '\n')
		value.n--;
	if (value.n > 0 && value.p[value.n - 1] == '\r')
		value.n--;
	if (value.n == 0)
		return refuse(a, ret, what, name, "is empty; put the secret into it");
	is_read = keep(a, ret, value);
	explicit_bzero(bytes, sizeof(bytes));
	if (is_open && is_read) {
		struct conf_secret text = { .why = NULL };

		(void)refuse(a, &text, what, name, "can be read by every user; chmod o-r");
		ret->warning = text.why;
	}
	return is_read;
}

static bool
from_file(struct arena *a, const char *folder, struct str name, struct conf_secret *ret)
{
	struct buf path;
	bool is_read;

	if (name.n == 0 || memchr(name.p, '\0', name.n) != NULL)
		return refuse(a, ret, "file:", STR_NONE, "names no file");
	buf_init(&path, 8192);
	if (name.p[0] != '/' && folder != NULL)
		buf_printf(&path, "%s/", folder);
	buf_str_add(&path, name);
	buf_add(&path, "", 1);
	is_read = buf_ok(&path) ? secret_from_path(a, "file:", name, path.p, ret) :
	    refuse(a, ret, "file:", STR_NONE, "the name is too long");
	buf_fini(&path);
	return is_read;
}

static bool
from_env(struct arena *a, const char *folder, struct str name, struct conf_secret *ret)
{
	const char *key = arena_text(a, name), *value;

	(void)folder;
	value = key != NULL ? getenv(key) : NULL;
	if (value == NULL || *value == '\0')
		return refuse(a, ret, "env:", name, value == NULL ?
		    "no such variable in the environment" : "the variable is empty");
	return keep(a, ret, str_of(value));
}

static bool
from_credential(struct arena *a, const char *folder, struct str name, struct conf_secret *ret)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	struct buf path;
	bool is_read;

	(void)folder;
	if (dir == NULL || *dir == '\0')
		return refuse(a, ret, "cred:", name, "$CREDENTIALS_DIRECTORY is not set; "
		    "the unit needs LoadCredential=");
	if (name.n == 0 || name.p[0] == '.' || memchr(name.p, '/', name.n) != NULL ||
	    memchr(name.p, '\0', name.n) != NULL)
		return refuse(a, ret, "cred:", name, "is no name of a credential");
	buf_init(&path, 8192);
	buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
	buf_add(&path, "", 1);
	is_read = buf_ok(&path) ? secret_from_path(a, "cred:", name, path.p, ret) :
	    refuse(a, ret, "cred:", STR_NONE, "the name is too long");
	buf_fini(&path);
	return is_read;
}

static bool
from_text(struct arena *a, const char *folder, struct str text, struct conf_secret *ret)
{
	(void)folder;
	if (text.n == 0)
		return refuse(a, ret, "plain:", STR_NONE, "is empty");
	ret->warning = "the secret stands here in clear; file:PATH, env:NAME or cred:NAME "
	    "keep it elsewhere";
	return keep(a, ret, text);
}

static const struct {
	struct str	head;
	bool		(*read)(struct arena *, const char *, struct str, struct conf_secret *);
} secret_forms[] = {
	{ { "file:", 5 }, from_file },
	{ { "env:", 4 }, from_env },
	{ { "cred:", 5 }, from_credential },
	{ { "plain:", 6 }, from_text },
};

bool
conf_secret_in(struct arena *a, const char *folder, struct str spec, struct conf_secret *ret)
{
	*ret = (struct conf_secret){ .why = NULL };
	for (size_t i = 0; i < sizeof(secret_forms) / sizeof(secret_forms[0]); i++)
		if (str_starts(spec, secret_forms[i].head))
			return secret_forms[i].read(a, folder,
			    str_skip(spec, secret_forms[i].head.n), ret);
	/* What stands there may be the secret itself: it is not repeated. */
	ret->why = "does not say where the secret is; write file:PATH, env:NAME, cred:NAME "
	    "or plain:TEXT";
	return false;
}

bool
conf_read_secret(struct arena *a, struct str spec, struct str *ret_value, const char **ret_why)
{
	struct conf_secret secret;

	if (!conf_secret_in(a, NULL, spec, &secret)) {
		*ret_why = secret.why;
		return false;
	}
	*ret_value = secret.value;
	return true;
}

/* ---- misspelt names ---- */

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Letters to add, drop, change or swap with their neighbour until a is b. */
static size_t
distance(struct str a, struct str b)
{
	size_t row[3][NAME_COMPARED_MAX + 1] = { { 0 } };

	for (size_t j = 0; j <= b.n; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *now = row[i % 3], *above = row[(i + 2) % 3], *two = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = a.p[i - 1] != b.p[j - 1];

			now[j] = min3(above[j] + 1, now[j - 1] + 1, above[j - 1] + change);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1] && two[j - 2] + 1 < now[j])
				now[j] = two[j - 2] + 1;
		}
	}
	return row[a.n % 3][b.n];
}

const char *
conf_nearest(struct str wrong, const char *(*name)(void *arg, size_t i), void *arg)
{
	const char *nearest = NULL, *candidate;
	/* One letter in three may be wrong; two-letter names need one at least. */
	size_t best = wrong.n / 3 + 2;

	if (wrong.n == 0 || wrong.n > NAME_COMPARED_MAX)
		return NULL;
	for (size_t i = 0; (candidate = name(arg, i)) != NULL; i++) {
		struct str other = str_of(candidate);
		size_t d;

		if (other.n > NAME_COMPARED_MAX)
			continue;
		d = distance(wrong, other);
		/* As many changes as letters: nothing in common. */
		if (d < best && d < other.n && d < wrong.n) {
			best = d;
			nearest = candidate;
		}
	}
	return nearest;
}
