/* SPDX-License-Identifier: Apache-2.0 */
/* One spelling for each address, number and id by which somebody may be known.
 *
 * What is read here becomes a key: two spellings of one address would be two customers,
 * and one value that stands for nobody would be one customer of thousands of people.
 * Nothing else in the program normalises an identity. */
#include "model/identity.h"

#include <stdlib.h>

#include "model/email.h"
#include "model/junk.h"
#include "model/number.h"

enum { NAMESPACE_MAX_BYTES = 64 };

const char *const identity_rank_names[IDENTITY_NRANKS + 1] = {
	[IDENTITY_EXTERNAL] = "external",
	[IDENTITY_EMAIL] = "email",
	[IDENTITY_PHONE] = "phone",
	[IDENTITY_SOCIAL] = "social",
	[IDENTITY_ANONYMOUS] = "anonymous",
	[IDENTITY_NRANKS] = NULL,
};

/* Sorted, so that a look-up is a binary search. */
struct own_set {
	struct str	*v;
	size_t		 n;
};

static int
compare(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static bool
own_has(const struct own_set *own, struct str value)
{
	return own != NULL && own->n > 0 && value.n > 0 &&
	    bsearch(&value, own->v, own->n, sizeof(*own->v), compare) != NULL;
}

static enum identity_fate
read_text(struct arena *a, const struct identity_rules *rules, struct str raw, struct mention *m)
{
	(void)a;
	(void)rules;
	m->value = raw;
	return IDENTITY_USED;
}

static enum identity_fate
read_email(struct arena *a, const struct identity_rules *rules, struct str raw, struct mention *m)
{
	if (!email_read(a, raw, &m->value))
		return IDENTITY_UNREADABLE;
	if (own_has(rules->own, m->value) || own_has(rules->own, email_at_domain(m->value)))
		return IDENTITY_OWN;
	if (email_is_role(m->value))
		m->is_strong_kind = false;
	return IDENTITY_USED;
}

static enum identity_fate
read_phone(struct arena *a, const struct identity_rules *rules, struct str raw, struct mention *m)
{
	struct number number;

	if (!number_read(raw, rules->region, &number))
		return IDENTITY_UNREADABLE;
	if (own_has(rules->own, str_of(number.e164)) || own_has(rules->own, str_of(number.alt)))
		return IDENTITY_OWN;
	m->value = str_eq(raw, str_of(number.e164)) ? raw : arena_str(a, str_of(number.e164));
	if (number.alt[0] != '\0')
		m->alt = arena_str(a, str_of(number.alt));
	return m->value.p != NULL ? IDENTITY_USED : IDENTITY_UNREADABLE;
}

/* How each rank's kind is written and its values are read. */
static const struct reader {
	bool			 has_namespace;
	enum identity_fate	(*read)(struct arena *, const struct identity_rules *, struct str,
				    struct mention *);
} readers[IDENTITY_NRANKS] = {
	[IDENTITY_EXTERNAL] = { .has_namespace = true, .read = read_text },
	[IDENTITY_EMAIL] = { .read = read_email },
	[IDENTITY_PHONE] = { .read = read_phone },
	[IDENTITY_SOCIAL] = { .has_namespace = true, .read = read_text },
	[IDENTITY_ANONYMOUS] = { .read = read_text },
};

/* [A-Za-z0-9._-]+, which stand in small letters here already. */
static bool
is_namespace(struct str s)
{
	if (s.n == 0 || s.n > NAMESPACE_MAX_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
		    c != '-')
			return false;
	}
	return true;
}

/* As a whole in small letters: "External:Shop" and "external:shop" are one. */
bool
identity_read_kind(struct arena *a, struct str kind, struct str *ret_kind,
    enum identity_rank *ret_rank)
{
	struct str whole = arena_lower(a, str_trim(kind)), rest = whole;
	struct str name = str_cut(&rest, ':');

	for (size_t i = 0; i < IDENTITY_NRANKS; i++) {
		if (!str_eq(name, str_of(identity_rank_names[i])))
			continue;
		if (readers[i].has_namespace ? !is_namespace(rest) : name.n != whole.n)
			return false;
		*ret_kind = whole;
		*ret_rank = (enum identity_rank)i;
		return true;
	}
	return false;
}

/* PostgreSQL takes no NUL and no broken UTF-8; the other control characters are in no
 * identity that anybody means. */
static bool
is_text(struct str s)
{
	size_t at;

	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return str_is_utf8(s, &at);
}

enum identity_fate
identity_read(struct arena *a, const struct identity_rules *rules, struct str kind, struct str raw,
    struct mention *ret)
{
	struct mention m = { .value = STR_NONE };
	enum identity_fate fate;

	raw = str_trim(raw);
	if (!identity_read_kind(a, kind, &m.kind, &m.rank))
		return IDENTITY_BAD_KIND;
	if (junk_is(m.rank, raw))
		return IDENTITY_JUNK;
	if (raw.n > IDENTITY_MAX_BYTES || !is_text(raw))
		return IDENTITY_UNREADABLE;
	m.is_strong_kind = (rules->strong_ranks & 1U << m.rank) != 0;
	fate = readers[m.rank].read(a, rules, raw, &m);
	if (fate != IDENTITY_USED)
		return fate;
	if (!str_eq(raw, m.value)) {
		/* "Jane <test@test.com>" shows only now what it is. */
		if (junk_is(m.rank, m.value))
			return IDENTITY_JUNK;
		m.raw = raw;
	}
	*ret = m;
	return IDENTITY_USED;
}

static bool
read_own(struct arena *a, struct str s, struct str *ret)
{
	struct number number;
	char *p;

	s = str_trim(s);
	if (str_starts(s, STR("@"))) {
		if (!email_read_domain(a, str_skip(s, 1), ret))
			return false;
		p = arena_alloc(a, ret->n + 1);
		if (p == NULL)
			return false;
		p[0] = '@';
		memcpy(p + 1, ret->p, ret->n);
		*ret = (struct str){ p, ret->n + 1 };
		return true;
	}
	if (!str_starts(s, STR("+")))
		return email_read(a, s, ret) && (*ret = arena_str(a, *ret)).p != NULL;
	if (!number_read(s, NULL, &number))
		return false;
	*ret = arena_str(a, str_of(number.e164));
	return ret->p != NULL;
}

struct own_set *
own_set_new(struct arena *a, const struct str *texts, size_t n, size_t *ret_bad)
{
	struct own_set *own = arena_alloc(a, sizeof(*own));
	size_t bytes;

	*ret_bad = n;
	if (own == NULL || !size_mul(n, sizeof(*own->v), &bytes) ||
	    (own->v = arena_alloc(a, bytes)) == NULL)
		return NULL;
	for (own->n = 0; own->n < n; own->n++)
		if (!read_own(a, texts[own->n], &own->v[own->n])) {
			*ret_bad = own->n;
			return NULL;
		}
	if (n > 1)
		qsort(own->v, n, sizeof(*own->v), compare);
	return own;
}
