/* SPDX-License-Identifier: Apache-2.0 */
/* Templates of mails: read with the configuration, never while a mail is sent. */
#include "flow/mail_template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "flow/action.h"

enum { FILE_MAX_BYTES = 1024 * 1024, MAX_VARIANTS = 200, MAX_LANGUAGE_BYTES = 35 };

/* What is loaded, and where one complains. */
struct loading {
	struct conf		*c;
	const struct conf_node	*at;
	struct str		 folder;
	struct mail_template	*t;
};

/* ---- files ---- */

static const char *
read_all(int fd, struct buf *out)
{
	char piece[16384];
	ssize_t got;

	while ((got = read(fd, piece, sizeof(piece))) > 0)
		buf_add(out, piece, (size_t)got);
	if (got < 0)
		return strerror(errno);
	return buf_ok(out) ? NULL : "it is larger than 1 MiB";
}

/* NULL: read; else why not. */
static const char *
read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *why;
	struct stat st;

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		why = "it is not a file";
	else
		why = read_all(fd, out);
	(void)close(fd);
	return why;
}

/* STR_NONE: it was complained about. */
static struct str
load_file(struct loading *l, const char *file)
{
	struct str text = STR_NONE;
	char path[PATH_MAX];
	struct buf bytes;
	const char *why;
	size_t bad;

	(void)snprintf(path, sizeof(path), "%.*s/%s", STR_ARG(l->folder), file);
	buf_init(&bytes, FILE_MAX_BYTES);
	why = read_file(path, &bytes);
	if (why == NULL && !str_is_utf8(buf_str(&bytes), &bad))
		why = "it is not in UTF-8";
	if (why == NULL && bytes.n > 0 && memchr(bytes.p, '\0', bytes.n) != NULL)
		why = "it has a byte 0";
	if (why != NULL)
		conf_complain(l->c, l->at, "template: %s: %s", path, why);
	else
		text = arena_str(conf_arena(l->c), buf_str(&bytes));
	buf_fini(&bytes);
	return text;
}

static void
check_text(struct loading *l, const char *file, struct str text)
{
	struct err err;

	if (text.p != NULL && !action_template_check(text, &err))
		conf_complain(l->c, l->at, "template: %.*s/%s: %s", STR_ARG(l->folder), file, err.text);
}

/* ---- what is in them ---- */

/* "Subject: …" and an empty line, where it begins with that. */
static void
cut_subject(struct mail_variant *v)
{
	static const struct str name = STR("subject:");
	struct str rest = v->text;
	struct str line = str_cut(&rest, '\n');

	if (line.n < name.n || !str_eq_nocase((struct str){ line.p, name.n }, name))
		return;
	v->subject = str_trim(str_skip(line, name.n));
	v->text = rest;
	line = str_cut(&rest, '\n');
	if (str_trim(line).n == 0)
		v->text = rest;
}

static struct mail_variant *
variant_of(struct mail_template *t, struct str language)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_eq_nocase(t->v[i].language, language))
			return &t->v[i];
	return NULL;
}

static bool
is_language(struct str s)
{
	if (s.n == 0 || s.n > MAX_LANGUAGE_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
		    (i > 0 && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-'))))
			return false;
	return true;
}

/* false: the file is none of this template's. */
static bool
split_name(struct str file, struct str name, struct str *ret_language, bool *ret_is_html)
{
	static const struct str ends[] = { STR(".txt"), STR(".html") };
	struct str rest;

	if (!str_starts(file, name))
		return false;
	rest = str_skip(file, name.n);
	for (size_t i = 0; i < 2; i++) {
		struct str end = ends[i];

		if (rest.n < end.n || !str_eq(str_skip(rest, rest.n - end.n), end))
			continue;
		rest.n -= end.n;
		*ret_is_html = i == 1;
		*ret_language = rest.n > 0 ? str_skip(rest, 1) : rest;
		return rest.n == 0 || (rest.p[0] == '.' && is_language(*ret_language));
	}
	return false;
}

static void
add_file(struct loading *l, const char *file, struct str language, bool is_html)
{
	struct mail_variant *v = variant_of(l->t, language);

	if (v == NULL && l->t->n == MAX_VARIANTS) {
		conf_complain(l->c, l->at, "template: there are too many languages");
		return;
	}
	if (v == NULL) {
		v = &l->t->v[l->t->n++];
		v->language = arena_lower(conf_arena(l->c), arena_str(conf_arena(l->c), language));
	}
	*(is_html ? &v->html : &v->text) = load_file(l, file);
	check_text(l, file, is_html ? v->html : v->text);
	if (!is_html && v->text.p != NULL)
		cut_subject(v);
}

static void
check_variants(struct loading *l, struct str name)
{
	if (variant_of(l->t, STR("")) == NULL)
		conf_complain(l->c, l->at, "template: there is no %.*s/%.*s.txt, for those whose language "
		    "is not known", STR_ARG(l->folder), STR_ARG(name));
	for (size_t i = 0; i < l->t->n; i++) {
		const struct mail_variant *v = &l->t->v[i];

		if (v->text.p == NULL && conf_errors(l->c) == 0)
			conf_complain(l->c, l->at, "template: beside %.*s/%.*s%s%.*s.html there is no .txt",
			    STR_ARG(l->folder), STR_ARG(name), v->language.n > 0 ? "." : "",
			    STR_ARG(v->language));
	}
}

static bool
is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
		    (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-' || s.p[i] == '_'))
			return false;
	return s.n > 0;
}

/* ---- public ---- */

void
mail_template_load(struct conf *c, const struct conf_node *at, struct str folder, struct str name,
    struct mail_template *ret)
{
	struct loading l = { c, at, folder, ret };
	struct str language;
	struct dirent *entry;
	bool is_html;
	DIR *dir;

	*ret = (struct mail_template){ .v = arena_alloc(conf_arena(c), MAX_VARIANTS * sizeof(*ret->v)) };
	if (!is_name(name) || ret->v == NULL) {
		conf_complain(c, at, "template: letters, digits, - and _ are wanted");
		return;
	}
	dir = opendir(folder.p);
	if (dir == NULL) {
		conf_complain(c, at, "template: template_dir %s: %s", folder.p, strerror(errno));
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (split_name(str_of(entry->d_name), name, &language, &is_html))
			add_file(&l, entry->d_name, language, is_html);
	(void)closedir(dir);
	check_variants(&l, name);
}

const struct mail_variant *
mail_template_for(const struct mail_template *t, struct str language)
{
	char tag[MAX_LANGUAGE_BYTES + 1];
	struct str s = { tag, language.n };

	if (language.n > MAX_LANGUAGE_BYTES)
		s.n = 0;
	for (size_t i = 0; i < s.n; i++)
		tag[i] = language.p[i] == '_' ? '-' : language.p[i];
	for (;;) {
		for (size_t i = 0; i < t->n; i++)
			if (str_eq_nocase(t->v[i].language, s))
				return &t->v[i];
		if (s.n == 0)
			return NULL;
		while (s.n > 0 && s.p[s.n - 1] != '-')
			s.n--;
		s.n -= s.n > 0;
	}
}
