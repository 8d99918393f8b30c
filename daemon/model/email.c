/* SPDX-License-Identifier: Apache-2.0 */
/* One spelling for each mail address.
 *
 * Only ASCII letters of the local part are made small: nearly every server ignores their
 * case, while other letters would need tables and hardly ever come.  Dots and "+tag" are
 * left alone, since whether they matter is the receiving server's secret.  An address
 * without a dot in its domain (root@localhost) names different people on each machine
 * and is refused, and so are domain literals ([192.0.2.1]). */
#include "model/email.h"

#include <idn2.h>

enum { LOCAL_MAX_BYTES = 64, DOMAIN_MAX_BYTES = 255, LABEL_MAX_BYTES = 63 };

#define WORD(lit)	{ lit, sizeof(lit) - 1 }

static const struct str roles[] = {
	WORD("abuse"), WORD("accounting"), WORD("accounts"), WORD("admin"),
	WORD("administrator"), WORD("billing"), WORD("bookings"), WORD("contact"),
	WORD("customerservice"), WORD("do-not-reply"), WORD("donotreply"), WORD("enquiries"),
	WORD("hello"), WORD("help"), WORD("helpdesk"), WORD("hostmaster"), WORD("hr"),
	WORD("info"), WORD("inquiries"), WORD("invoice"), WORD("invoices"), WORD("jobs"),
	WORD("kontakt"), WORD("mail"), WORD("mailer-daemon"), WORD("marketing"),
	WORD("no-reply"), WORD("no_reply"), WORD("noreply"), WORD("office"), WORD("orders"),
	WORD("postmaster"), WORD("privacy"), WORD("reception"), WORD("root"), WORD("sales"),
	WORD("security"), WORD("service"), WORD("shop"), WORD("support"), WORD("team"),
	WORD("webmaster"),
};

/* Offset of the last c, or s.n. */
static size_t
last_of(struct str s, char c)
{
	for (size_t i = s.n; i > 0; i--)
		if (s.p[i - 1] == c)
			return i - 1;
	return s.n;
}

static bool
has(struct str s, char c)
{
	return s.n > 0 && memchr(s.p, c, s.n) != NULL;
}

/* The address inside `Name <address>`.  Two addresses in one value are refused: which of
 * them is meant is a guess. */
static bool
open_angle(struct str *s)
{
	size_t at = last_of(*s, '<');

	if (s->n == 0 || s->p[s->n - 1] != '>')
		return !has(*s, '<');
	if (at == s->n || has((struct str){ s->p, at }, '>'))
		return false;
	*s = str_trim((struct str){ s->p + at + 1, s->n - at - 2 });
	return true;
}

static struct str
without_scheme(struct str s)
{
	static const struct str scheme = WORD("mailto:");

	if (s.n < scheme.n || !str_eq_nocase((struct str){ s.p, scheme.n }, scheme))
		return s;
	s = str_skip(s, scheme.n);
	return str_trim(str_cut(&s, '?'));	/* what follows is a subject or a body */
}

/* RFC 5322 atext, the dot (dots in odd places exist in the wild), and UTF-8. */
static bool
is_plain_local(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7f || strchr("()<>,;:\\\"[]@", c) != NULL)
			return false;
	}
	return s.n > 0;
}

/* "john"@ is john@; quotes that are needed stay, around what can be printed. */
static bool
read_local(struct str *s)
{
	struct str inner;

	if (s->n == 0 || s->n > LOCAL_MAX_BYTES)
		return false;
	if (s->n < 3 || s->p[0] != '"' || s->p[s->n - 1] != '"')
		return is_plain_local(*s);
	inner = (struct str){ s->p + 1, s->n - 2 };
	if (is_plain_local(inner)) {
		*s = inner;
		return true;
	}
	for (size_t i = 0; i < inner.n; i++)
		if (inner.p[i] <= ' ' || inner.p[i] > '~' || strchr("\"\\", inner.p[i]) != NULL)
			return false;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_label(struct str s)
{
	if (s.n == 0 || s.n > LABEL_MAX_BYTES || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !is_digit(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

/* Two labels or more, and not an IPv4 address. */
static bool
is_domain(struct str s)
{
	struct str label;

	if (s.n > DOMAIN_MAX_BYTES || !has(s, '.') || s.p[s.n - 1] == '.')
		return false;
	do {
		label = str_cut(&s, '.');
		if (!is_label(label))
			return false;
	} while (s.n > 0);
	while (label.n > 0 && is_digit(label.p[0]))
		label = str_skip(label, 1);
	return label.n > 0;
}

/* UTS 46 non-transitional: "ß" and the joiners keep their own domains. */
static bool
to_ascii(struct arena *a, struct str s, struct str *ret)
{
	const char *text = arena_text(a, s);
	uint8_t *ascii = NULL;
	bool is_ok;

	if (text == NULL || strlen(text) != s.n)
		return false;
	is_ok = idn2_lookup_u8((const uint8_t *)text, &ascii,
	    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK;
	*ret = is_ok ? arena_str(a, str_of((const char *)ascii)) : STR_NONE;
	idn2_free(ascii);
	return ret->p != NULL;
}

bool
email_read_domain(struct arena *a, struct str s, struct str *ret)
{
	struct str domain;

	if (s.n > 0 && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n == 0 || s.n > DOMAIN_MAX_BYTES)
		return false;
	if (str_is_ascii(s))
		domain = arena_lower(a, s);
	else if (!to_ascii(a, s, &domain))
		return false;
	if (domain.p == NULL || !is_domain(domain))
		return false;
	*ret = domain;
	return true;
}

/* No copy where both halves still stand in the text they were cut from. */
static bool
join(struct arena *a, struct str local, struct str domain, struct str *ret)
{
	size_t n = local.n + 1 + domain.n;
	char *p;

	if (local.p[local.n] == '@' && local.p + local.n + 1 == domain.p) {
		*ret = (struct str){ local.p, n };
		return true;
	}
	p = arena_alloc(a, n);
	if (p == NULL)
		return false;
	memcpy(p, local.p, local.n);
	p[local.n] = '@';
	memcpy(p + local.n + 1, domain.p, domain.n);
	*ret = (struct str){ p, n };
	return true;
}

bool
email_read(struct arena *a, struct str s, struct str *ret)
{
	struct str local, domain;
	size_t at;

	s = str_trim(s);
	if (!open_angle(&s))
		return false;
	s = without_scheme(s);
	at = last_of(s, '@');
	if (at == s.n)
		return false;
	local = (struct str){ s.p, at };
	if (!read_local(&local) || !email_read_domain(a, str_skip(s, at + 1), &domain))
		return false;
	local = arena_lower(a, local);
	return local.p != NULL && join(a, local, domain, ret);
}

struct str
email_at_domain(struct str email)
{
	return str_skip(email, last_of(email, '@'));
}

bool
email_is_role(struct str email)
{
	struct str local = { email.p, last_of(email, '@') };

	local = str_cut(&local, '+');
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (str_eq(local, roles[i]))
			return true;
	return false;
}
