/* SPDX-License-Identifier: Apache-2.0 */
/* One spelling for each telephone number.
 *
 * A number without "+" needs the source's region, with one exception, since chat services
 * (and people) leave the plus away: bare digits that *are* a valid number when a plus is
 * put in front.  What may be taken for such a one is kept narrow, because a wrong guess
 * gives a caller to a stranger:
 * - with a region, 11 to 15 digits whose reading as a number of that region is not valid
 *   (a mere possible length is no evidence: +31 allows 5 to 11 digits);
 * - without one, 12 to 15 digits.  Eleven are too few: "13012345678" is a mobile in China
 *   and a line in Maryland, "51961234567" one in Porto Alegre and one in Peru.
 * Everything else is left unread: an identity that is missing can be mended by setting
 * `region`, two people made one cannot be told apart. */
#include "model/number.h"

#include <stdint.h>
#include <stdio.h>

enum {
	GUESS_MIN_DIGITS = 11,
	GUESS_MIN_DIGITS_NOWHERE = 12,
	GUESS_MAX_DIGITS = 15,
	CACHE_SLOTS = 4096,		/* 4096 * 71 bytes = 284 KiB */
	CACHE_TEXT_BYTES = 32,		/* longer ones are not remembered */
	REGION_BYTES = 3,
};

struct cached {
	char		region[REGION_BYTES];	/* "" for none */
	uint8_t		n;			/* bytes of text; 0: free slot */
	bool		is_number;
	char		text[CACHE_TEXT_BYTES];
	struct number	number;
};

/* Direct-mapped: an entry is pushed out by the next one that falls on its slot.  The only
 * writable state of the model, of each thread its own so that it needs no lock. */
static _Thread_local struct cached cache[CACHE_SLOTS];

static bool
is_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* Numbers of one person that are written in two ways: `head` and a digit of `next`, then
 * `rest` more digits; the other spelling has `other` in front of that digit. */
static const struct quirk {
	const char	*head;
	size_t		 keep;		/* digits kept behind head: the area code */
	const char	*next;
	size_t		 rest;		/* digits behind head and area */
	const char	*other;		/* what the other spelling has between */
} quirks[] = {
	{ "+52", 0, "23456789", 10, "1" },	/* Mexico's mobiles, until 2019 */
	{ "+54", 0, "12345678", 10, "9" },	/* Argentina's mobiles, from abroad */
	{ "+55", 2, "6789", 8, "9" },		/* Brazil's mobiles got a ninth digit */
};

/* With `other` put in, taken out, or no alternative. */
static void
set_alt(struct number *num)
{
	for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++) {
		const struct quirk *q = &quirks[i];
		size_t head = strlen(q->head) + q->keep, n = strlen(num->e164);
		const char *tail = num->e164 + head;

		if (strncmp(num->e164, q->head, strlen(q->head)) != 0)
			continue;
		if (n == head + q->rest && strchr(q->next, tail[0]) != NULL)
			(void)snprintf(num->alt, sizeof(num->alt), "%.*s%s%s", (int)head,
			    num->e164, q->other, tail);
		else if (n == head + 1 + q->rest && tail[0] == q->other[0] &&
		    strchr(q->next, tail[1]) != NULL)
			(void)snprintf(num->alt, sizeof(num->alt), "%.*s%s", (int)head,
			    num->e164, tail + 1);
	}
}

static bool
parse(struct str s, const char *region, enum phone_check check, struct number *ret)
{
	*ret = (struct number){ .alt = "" };
	if (!phone_parse(s.p, s.n, region, check, ret->e164))
		return false;
	set_alt(ret);
	return true;
}

/* A spelling that the library's metadata does not know, or no longer, has a valid other. */
static bool
is_valid(const struct number *num)
{
	char unused[PHONE_MAX_BYTES];

	return phone_parse(num->e164, strlen(num->e164), NULL, PHONE_VALID, unused) ||
	    (num->alt[0] != '\0' &&
	    phone_parse(num->alt, strlen(num->alt), NULL, PHONE_VALID, unused));
}

static bool
parse_with_plus(struct str digits, struct number *ret)
{
	char text[1 + GUESS_MAX_DIGITS];

	text[0] = '+';
	memcpy(text + 1, digits.p, digits.n);
	return parse((struct str){ text, digits.n + 1 }, NULL, PHONE_POSSIBLE, ret) &&
	    is_valid(ret);
}

/* The schemes that stand in front of numbers. */
static struct str
without_scheme(struct str s)
{
	static const char *const schemes[] = { "tel:", "callto:", "sms:", "whatsapp:", NULL };

	for (size_t i = 0; schemes[i] != NULL; i++) {
		struct str scheme = str_of(schemes[i]);

		if (s.n >= scheme.n && str_eq_nocase((struct str){ s.p, scheme.n }, scheme))
			return str_trim(str_skip(s, scheme.n));
	}
	return s;
}

/* The library looks for a number anywhere in a text: "user42 of 2026" has none.  What is
 * beyond ASCII may be a digit of another script. */
static bool
may_be_number(struct str s)
{
	return s.n > 0 && memchr(s.p, '@', s.n) == NULL &&
	    (is_digits((struct str){ s.p, 1 }) || s.p[0] == '+' || s.p[0] == '(' ||
	    (unsigned char)s.p[0] >= 0x80);
}

static bool
read_number(struct str s, const char *region, struct number *ret)
{
	struct number guess;
	bool is_national, may_guess;

	if (!may_be_number(s))
		return false;
	is_national = parse(s, region, PHONE_POSSIBLE, ret);
	may_guess = is_digits(s) && s.p[0] != '0' && s.n <= GUESS_MAX_DIGITS &&
	    s.n >= (size_t)(region != NULL ? GUESS_MIN_DIGITS : GUESS_MIN_DIGITS_NOWHERE);
	if (!may_guess || (is_national && is_valid(ret)) || !parse_with_plus(s, &guess))
		return is_national;
	*ret = guess;
	return true;
}

/* FNV-1a.  Who provokes collisions only makes the cache useless to himself. */
static struct cached *
slot_of(struct str s, const char *region)
{
	uint32_t h = 2166136261U;

	for (; *region != '\0'; region++)
		h = (h ^ (unsigned char)*region) * 16777619U;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 16777619U;
	return &cache[(h ^ h >> 16) % CACHE_SLOTS];
}

bool
number_read(struct str s, const char *region, struct number *ret)
{
	const char *name = region != NULL ? region : "";
	struct cached *c;

	s = without_scheme(s);
	if (s.n == 0 || s.n > CACHE_TEXT_BYTES || strlen(name) >= REGION_BYTES)
		return read_number(s, region, ret);
	c = slot_of(s, name);
	if (c->n != s.n || memcmp(c->text, s.p, s.n) != 0 || strcmp(c->region, name) != 0) {
		*c = (struct cached){ .n = (uint8_t)s.n };
		memcpy(c->region, name, strlen(name));
		memcpy(c->text, s.p, s.n);
		c->is_number = read_number(s, region, &c->number);
	}
	*ret = c->number;
	return c->is_number;
}
