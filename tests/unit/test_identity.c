/* SPDX-License-Identifier: Apache-2.0 */
/* Identities: one spelling for each, and nobody for junk. */
#include "model/identity.h"
#include "model/phone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { STRONG = 1 << IDENTITY_EXTERNAL | 1 << IDENTITY_EMAIL };

static struct arena arena;

static int
empty_arena(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static enum identity_fate
read_in(const char *region, const char *kind, const char *raw, struct mention *ret)
{
	struct identity_rules rules = { .region = region, .strong_ranks = STRONG };

	*ret = (struct mention){ .rank = IDENTITY_NRANKS };
	return identity_read(&arena, &rules, str_of(kind), str_of(raw), ret);
}

static void
assert_str(struct str s, const char *want)
{
	if (!str_eq(s, str_of(want)) || (s.p == NULL) != (want == NULL))
		fail_msg("is '%.*s', not '%s'", STR_ARG(s), want != NULL ? want : "(none)");
}

static void
an_address_has_one_spelling(void **state)
{
	static const struct { const char *raw, *value; } rows[] = {
		{ "jane@example.com", "jane@example.com" },
		{ " Jane@Example.COM\n", "jane@example.com" },
		{ "jane@example.com.", "jane@example.com" },
		{ "mailto:jane@example.com", "jane@example.com" },
		{ "MAILTO: Jane@example.com?subject=x@y", "jane@example.com" },
		{ "Jane Doe <jane@example.com>", "jane@example.com" },
		{ "\"Doe, Jane <j>\" <jane@example.com>", NULL },
		{ "\"jane@old.example\" <Jane@example.com>", "jane@example.com" },
		{ "< jane@example.com >", "jane@example.com" },
		{ "<mailto:jane@example.com>", "jane@example.com" },
		{ "jane+shop@example.com", "jane+shop@example.com" },
		{ "j.a..ne.@docomo.example", "j.a..ne.@docomo.example" },
		{ "\"jane\"@example.com", "jane@example.com" },
		{ "\"Jane(x)\"@example.com", "\"jane(x)\"@example.com" },
		{ "\"a@b\"@example.com", "\"a@b\"@example.com" },
		{ "o'hara_#1@example.com", "o'hara_#1@example.com" },
		{ "info@b\xc3\xbc""cher.example", "info@xn--bcher-kva.example" },
		{ "info@B\xc3\x9c""CHER.example", "info@xn--bcher-kva.example" },
		{ "info@xn--bcher-kva.example", "info@xn--bcher-kva.example" },
		{ "jane@fa\xc3\x9f.example", "jane@xn--fa-hia.example" },
		{ "jane@\xe4\xbe\x8b\xe5\xad\x90\xe3\x80\x82\xe6\xb5\x8b\xe8\xaf\x95",
		    "jane@xn--fsqu00a.xn--0zwm56d" },
		{ "j\xc3\xbcrgen@example.com", "j\xc3\xbcrgen@example.com" },
		{ "jane", NULL },
		{ "@example.com", NULL },
		{ "jane@", NULL },
		{ "jane@localhost", NULL },
		{ "jane@example..com", NULL },
		{ "jane@.example.com", NULL },
		{ "jane@-example.com", NULL },
		{ "jane@example-.com", NULL },
		{ "jane@exa_mple.com", NULL },
		{ "jane@192.0.2.1", NULL },
		{ "jane@[192.0.2.1]", NULL },
		{ "jane doe@example.com", NULL },
		{ "jane@exam ple.com", NULL },
		{ "jane@example.com, joe@example.com", NULL },
		{ "jane@example.com;joe@example.com", NULL },
		{ "Jane <jane@example.com>, Joe <joe@example.com>", NULL },
		{ "Jane <jane@example.com", NULL },
		{ "jane@@example.com", NULL },
		{ "jane@example.com/x", NULL },
		{ "ja\tne@example.com", NULL },
		{ "ja\x7fne@example.com", NULL },
		{ "jane@ex\xff""mple.com", NULL },
		{ "\"a\"b\"@example.com", NULL },
	};
	struct mention m;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum identity_fate fate = read_in(NULL, "email", rows[i].raw, &m);

		print_message("%s\n", rows[i].raw);
		if (rows[i].value == NULL) {
			assert_int_equal(fate, IDENTITY_UNREADABLE);
			continue;
		}
		assert_int_equal(fate, IDENTITY_USED);
		assert_str(m.value, rows[i].value);
		assert_int_equal(m.rank, IDENTITY_EMAIL);
	}
}

static void
fill(char *text, size_t local, size_t labels)
{
	memset(text, 'a', local);
	text[local] = '@';
	for (size_t i = 0; i < labels; i++) {
		memset(text + local + 1 + i * 50, 'b', 49);
		text[local + 50 + i * 50] = '.';
	}
	memcpy(text + local + 1 + labels * 50, "com", 4);
}

static void
an_address_is_as_long_as_the_standard_allows(void **state)
{
	char text[400];
	struct mention m;

	(void)state;
	fill(text, 64, 5);
	assert_int_equal(read_in(NULL, "email", text, &m), IDENTITY_USED);
	fill(text, 65, 5);
	assert_int_equal(read_in(NULL, "email", text, &m), IDENTITY_UNREADABLE);
	fill(text, 64, 6);
	assert_int_equal(read_in(NULL, "email", text, &m), IDENTITY_UNREADABLE);
}

static void
the_raw_text_is_kept_only_where_it_differs(void **state)
{
	struct mention m;

	(void)state;
	assert_int_equal(read_in(NULL, "email", "Jane@Example.com", &m), IDENTITY_USED);
	assert_str(m.raw, "Jane@Example.com");
	assert_int_equal(read_in(NULL, "email", "jane@example.com", &m), IDENTITY_USED);
	assert_str(m.raw, NULL);
	assert_int_equal(read_in("NL", "phone", " 020 123 4567 ", &m), IDENTITY_USED);
	assert_str(m.value, "+31201234567");
	assert_str(m.raw, "020 123 4567");
	assert_int_equal(read_in(NULL, "phone", "+31201234567", &m), IDENTITY_USED);
	assert_str(m.raw, NULL);
}

static void
a_role_address_is_not_strong(void **state)
{
	static const char *const roles[] = { "info@example.com", "Sales@example.com",
	    "support@example.com", "admin@example.com", "office@example.com",
	    "contact@example.com", "noreply@example.com", "no-reply@example.com",
	    "postmaster@example.com", "webmaster@example.com", "support+7f3a@example.com", NULL };
	static const char *const persons[] = { "jane@example.com", "informant@example.com",
	    "jane+info@example.com", "info.jane@example.com", NULL };
	struct mention m;

	(void)state;
	for (size_t i = 0; roles[i] != NULL; i++) {
		assert_int_equal(read_in(NULL, "email", roles[i], &m), IDENTITY_USED);
		assert_false(m.is_strong_kind);
	}
	for (size_t i = 0; persons[i] != NULL; i++) {
		assert_int_equal(read_in(NULL, "email", persons[i], &m), IDENTITY_USED);
		assert_true(m.is_strong_kind);
	}
}

static void
only_the_ranks_that_the_source_names_are_strong(void **state)
{
	struct identity_rules rules = { .strong_ranks = 1 << IDENTITY_PHONE };
	struct mention m;

	(void)state;
	assert_int_equal(identity_read(&arena, &rules, STR("phone"), STR("+31612345678"), &m),
	    IDENTITY_USED);
	assert_true(m.is_strong_kind);
	assert_int_equal(identity_read(&arena, &rules, STR("email"), STR("a@example.com"), &m),
	    IDENTITY_USED);
	assert_false(m.is_strong_kind);
	rules.strong_ranks = 0;
	assert_int_equal(identity_read(&arena, &rules, STR("external:x"), STR("7"), &m),
	    IDENTITY_USED);
	assert_false(m.is_strong_kind);
}

static void
a_number_has_one_spelling(void **state)
{
	static const struct { const char *region, *raw, *value; } rows[] = {
		{ NULL, "+31612345678", "+31612345678" },
		{ NULL, "+31 (0)6 1234-5678", "+31612345678" },
		{ NULL, "tel:+31-6-12345678", "+31612345678" },
		{ NULL, "TEL: +31612345678", "+31612345678" },
		{ NULL, "whatsapp:+31612345678", "+31612345678" },
		{ NULL, "tel:+31-6-12345678;ext=12", "+31612345678" },
		{ "NL", "06-12345678", "+31612345678" },
		{ "NL", "0031 6 12345678", "+31612345678" },
		{ "NL", "+49 30 123456", "+4930123456" },
		{ "NL", "0049 30 123456", "+4930123456" },
		{ "DE", "(030) 123456 ext. 12", "+4930123456" },
		{ "US", "(202) 555-0123", "+12025550123" },
		{ "US", "011 49 30 123456", "+4930123456" },
		{ "NL", "\xef\xbc\x8b\xef\xbc\x93\xef\xbc\x91 612345678", "+31612345678" },
		/* Without the plus: only where nothing else can be meant. */
		{ NULL, "5511961234567", "+5511961234567" },
		{ NULL, "551161234567", "+551161234567" },
		{ NULL, "4915112345678", "+4915112345678" },
		{ "NL", "31612345678", "+31612345678" },
		{ "NL", "32470123456", "+32470123456" },
		{ "NL", "4915112345678", "+4915112345678" },
		{ "US", "12025550123", "+12025550123" },
		{ "CN", "13012345678", "+8613012345678" },
		{ "BR", "51961234567", "+5551961234567" },
		{ NULL, "13012345678", NULL },	/* China or Maryland */
		{ NULL, "51961234567", NULL },	/* Porto Alegre or Peru */
		{ NULL, "06-12345678", NULL },
		{ NULL, "0031612345678", NULL },
		{ NULL, "612345678", NULL },
		{ NULL, "999912345678", NULL },
		{ "NL", "999912345678", NULL },
		/* Short codes, local numbers and extensions: another one in each network. */
		{ "DE", "110", NULL },
		{ "US", "72345", NULL },
		{ "US", "555-0123", NULL },
		{ "NL", "201", NULL },
		{ "NL", "*31#0612345678", NULL },
		{ "NL", "sip:+31612345678@pbx.example", NULL },
		{ "NL", "31612345678@s.whatsapp.net", NULL },
		{ "NL", "call 0612345678", NULL },
		{ "NL", "0612345678 0612345679", NULL },
		{ NULL, "+31 00612345678", "+31612345678" },
		{ "NL", "+52 1 15 1A2NG34 )4 2", "+525122643442" },	/* trunk prefixes of Mexico */
		{ "IT", "06 1234 5678", "+390612345678" },
		{ NULL, "+2290120211234", "+2290120211234" },	/* longer than the tables know */
		{ "DE", "002290120211234", "+2290120211234" },
		{ NULL, "+316123456789012", "+316123456789012" },
		{ NULL, "+3161234567890123", NULL },		/* longer than E.164 */
		{ NULL, "+31612", NULL },
		{ NULL, "+999123456789", NULL },
		{ NULL, "+", "junk" },
		{ NULL, "+31", NULL },
	};
	struct mention m, again;

	(void)state;
	/* Twice: read by the library, then found in the cache. */
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		const char *want = rows[i / 2].value;
		enum identity_fate fate = read_in(rows[i / 2].region, "phone", rows[i / 2].raw, &m);

		print_message("%s\n", rows[i / 2].raw);
		if (want == NULL || strcmp(want, "junk") == 0) {
			assert_int_equal(fate, want != NULL ? IDENTITY_JUNK : IDENTITY_UNREADABLE);
			continue;
		}
		assert_int_equal(fate, IDENTITY_USED);
		assert_str(m.value, want);
		assert_false(m.is_strong_kind);
		assert_int_equal(read_in(NULL, "phone", want, &again), IDENTITY_USED);
		assert_str(again.value, want);
	}
}

static void
the_cache_keeps_regions_and_texts_apart(void **state)
{
	struct mention m;
	char raw[32], want[32];

	(void)state;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(read_in("NL", "phone", "0201234567", &m), IDENTITY_USED);
		assert_str(m.value, "+31201234567");
		assert_int_equal(read_in("GB", "phone", "02012345678", &m), IDENTITY_USED);
		assert_str(m.value, "+442012345678");
		assert_int_equal(read_in("FR", "phone", "0201234567", &m), IDENTITY_USED);
		assert_str(m.value, "+33201234567");
		assert_int_equal(read_in(NULL, "phone", "0201234567", &m), IDENTITY_UNREADABLE);
		/* More numbers than it has slots, so that some share one. */
		for (int i = 0; i < 6000; i++) {
			(void)snprintf(raw, sizeof(raw), "06%08d", 12345678 + i);
			(void)snprintf(want, sizeof(want), "+316%08d", 12345678 + i);
			assert_int_equal(read_in("NL", "phone", raw, &m), IDENTITY_USED);
			assert_str(m.value, want);
		}
		arena_fini(&arena);
	}
}

static void
some_countries_numbers_have_a_second_spelling(void **state)
{
	static const struct { const char *value, *alt; } rows[] = {
		{ "+525512345678", "+5215512345678" },
		{ "+5491123456789", "+541123456789" },
		{ "+541123456789", "+5491123456789" },
		{ "+5511961234567", "+551161234567" },
		{ "+551161234567", "+5511961234567" },
		{ "+551121234567", NULL },		/* a fixed line */
		{ "+5511921234567", NULL },		/* never had eight digits */
		{ "+31612345678", NULL },
		{ "+12025550123", NULL },
	};
	struct mention m;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].value);
		assert_int_equal(read_in(NULL, "phone", rows[i].value, &m), IDENTITY_USED);
		assert_str(m.value, rows[i].value);
		assert_str(m.alt, rows[i].alt);
	}
}

/* Which of the two is the value depends on the age of the library's tables; that one is
 * the other's second spelling does not. */
static void
both_spellings_of_a_mexican_mobile_meet(void **state)
{
	struct mention with, without;

	(void)state;
	assert_int_equal(read_in(NULL, "phone", "+52 1 55 1234 5678", &with), IDENTITY_USED);
	assert_int_equal(read_in(NULL, "phone", "+52 55 1234 5678", &without), IDENTITY_USED);
	assert_true(str_eq(with.value, without.value) || str_eq(with.alt, without.value));
	assert_str(without.value, "+525512345678");
	assert_str(without.alt, "+5215512345678");
}

static void
what_stands_for_nobody_is_junk(void **state)
{
	static const char *const any[] = { "", " ", "null", "NULL", "undefined", "None", "nil",
	    "NaN", "n/a", "N/A", "unknown", "<unknown>", "Anonymous", "test", "0", "0000000",
	    "+000", "00000000-0000-0000-0000-000000000000", "[object Object]", "-", "--", ".",
	    "\"null\"", "'undefined'", "(null)", "guest", "true", "[Number]", "{{email}}",
	    "{{ contact.email }}", "*|EMAIL|*", "${email}", "%EMAIL%", "%%emailaddr%%",
	    "<%= email %>", "{Phone Number}", "[[phone]]", "%(email)s", NULL };
	static const char *const kinds[] = { "external:shop", "email", "phone", "social:x",
	    "anonymous", NULL };
	static const struct { const char *kind, *raw; } rows[] = {
		{ "email", "test@test.com" },
		{ "email", "TEST@Test.com" },
		{ "email", "Jane <test@test.com>" },
		{ "email", "test@example.com" },
		{ "email", "anonymous@anonymous.invalid" },
		{ "phone", "private" },
		{ "phone", "Restricted" },
		{ "phone", "withheld" },
		{ "phone", "Unavailable" },
		{ "phone", "No Caller ID" },
		{ "phone", "+266696687" },		/* "anonymous" on a telephone's keys */
		{ "phone", "86282452253" },		/* "unavailable" */
	};
	struct mention m;

	(void)state;
	for (size_t i = 0; any[i] != NULL; i++)
		for (size_t k = 0; kinds[k] != NULL; k++) {
			print_message("%s %s\n", kinds[k], any[i]);
			assert_int_equal(read_in("US", kinds[k], any[i], &m), IDENTITY_JUNK);
		}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s %s\n", rows[i].kind, rows[i].raw);
		assert_int_equal(read_in("US", rows[i].kind, rows[i].raw, &m), IDENTITY_JUNK);
	}
}

static void
what_only_looks_like_junk_is_kept(void **state)
{
	static const struct { const char *kind, *raw; } rows[] = {
		{ "external:shop", "10" },
		{ "external:shop", "0x0a" },
		{ "external:shop", "testing" },
		{ "external:shop", "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}" },
		{ "external:shop", "{AF2504E0-4F89-11D3-9A0C-0305E82C3301}" },
		{ "external:shop", "[42]" },
		{ "external:shop", "private" },
		{ "external:shop", "266696687" },
		{ "external:shop", "test@test.com" },
		{ "social:instagram", "__jane__" },
		{ "social:x", "null_pointer" },
		{ "email", "null@example.com" },
		{ "email", "unknown@example.com" },
		{ "anonymous", "\xc3\xa9" },
	};
	struct mention m;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s %s\n", rows[i].kind, rows[i].raw);
		assert_int_equal(read_in(NULL, rows[i].kind, rows[i].raw, &m), IDENTITY_USED);
		assert_str(m.value, rows[i].raw);
	}
}

static void
a_kind_is_known_and_has_its_namespace(void **state)
{
	static const struct { const char *kind; enum identity_rank rank; const char *read; } rows[] = {
		{ "external:shop", IDENTITY_EXTERNAL, "external:shop" },
		{ "External:Shop_1.b-C", IDENTITY_EXTERNAL, "external:shop_1.b-c" },
		{ " social:x ", IDENTITY_SOCIAL, "social:x" },
		{ "ANONYMOUS", IDENTITY_ANONYMOUS, "anonymous" },
	};
	static const char *const bad[] = { "", "mail", "external", "external:", "social:",
	    "external:a b", "external:a:b", "external:\xc3\xa9", "email:x", "email:", "phone:home",
	    "anonymous:x", "externals:x",
	    "external:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL };
	struct mention m;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(read_in(NULL, rows[i].kind, " Value 1 ", &m), IDENTITY_USED);
		assert_int_equal(m.rank, rows[i].rank);
		assert_str(m.kind, rows[i].read);
		assert_str(m.value, "Value 1");
	}
	for (size_t i = 0; bad[i] != NULL; i++) {
		print_message("%s\n", bad[i]);
		assert_int_equal(read_in(NULL, bad[i], "x1", &m), IDENTITY_BAD_KIND);
		assert_int_equal(m.rank, IDENTITY_NRANKS);
	}
}

static void
what_cannot_be_stored_is_unreadable(void **state)
{
	char text[IDENTITY_MAX_BYTES + 2];
	struct identity_rules rules = { .strong_ranks = STRONG };
	struct mention m;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[IDENTITY_MAX_BYTES] = '\0';
	assert_int_equal(read_in(NULL, "external:shop", text, &m), IDENTITY_USED);
	text[IDENTITY_MAX_BYTES] = 'x';
	text[IDENTITY_MAX_BYTES + 1] = '\0';
	assert_int_equal(read_in(NULL, "external:shop", text, &m), IDENTITY_UNREADABLE);
	assert_int_equal(read_in(NULL, "external:shop", "a\x01z", &m), IDENTITY_UNREADABLE);
	assert_int_equal(read_in(NULL, "external:shop", "a\xc3", &m), IDENTITY_UNREADABLE);
	assert_int_equal(identity_read(&arena, &rules, STR("anonymous"), STR("a\0z"), &m),
	    IDENTITY_UNREADABLE);
	assert_int_equal(identity_read(&arena, &rules, STR("email"), STR_NONE, &m), IDENTITY_JUNK);
}

static void
our_own_addresses_and_numbers_are_nobodys_identity(void **state)
{
	static const struct str own[] = {
		{ "@Example.com", 12 }, { "support@shop.example", 20 }, { "+31 20 123 4567", 15 },
		{ "@b\xc3\xbc""cher.example", 16 }, { "+5511961234567", 14 },
	};
	static const struct { const char *kind, *raw; enum identity_fate fate; } rows[] = {
		{ "email", "jane@example.com", IDENTITY_OWN },
		{ "email", "Jane <JANE@EXAMPLE.COM>", IDENTITY_OWN },
		{ "email", "jane@mail.example.com", IDENTITY_USED },	/* that domain only */
		{ "email", "jane@notexample.com", IDENTITY_USED },
		{ "email", "support@shop.example", IDENTITY_OWN },
		{ "email", "jane@shop.example", IDENTITY_USED },
		{ "email", "jane@xn--bcher-kva.example", IDENTITY_OWN },
		{ "phone", "020 1234567", IDENTITY_OWN },
		{ "phone", "+31201234568", IDENTITY_USED },
		{ "phone", "+551161234567", IDENTITY_OWN },		/* its other spelling */
		{ "external:shop", "support@shop.example", IDENTITY_USED },
	};
	struct identity_rules rules = { .region = "NL", .strong_ranks = STRONG };
	size_t n = sizeof(own) / sizeof(own[0]), bad;
	struct mention m;

	(void)state;
	rules.own = own_set_new(&arena, own, n, &bad);
	assert_non_null(rules.own);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s %s\n", rows[i].kind, rows[i].raw);
		assert_int_equal(identity_read(&arena, &rules, str_of(rows[i].kind),
		    str_of(rows[i].raw), &m), rows[i].fate);
	}
	rules.own = own_set_new(&arena, NULL, 0, &bad);
	assert_non_null(rules.own);
	assert_int_equal(identity_read(&arena, &rules, STR("email"), STR("jane@example.com"), &m),
	    IDENTITY_USED);
}

static void
what_is_no_address_domain_or_number_cannot_be_our_own(void **state)
{
	static const char *const rows[] = { "example.com", "@", "@localhost", "0201234567", "+", "",
	    "jane@", "+31", NULL };
	size_t bad;

	(void)state;
	for (size_t i = 0; rows[i] != NULL; i++) {
		struct str own[] = { STR("@example.com"), str_of(rows[i]) };

		print_message("%s\n", rows[i]);
		bad = 7;
		assert_null(own_set_new(&arena, own, 2, &bad));
		assert_int_equal(bad, 1);
	}
}

static void
regions_that_the_library_knows_are_told_from_others(void **state)
{
	(void)state;
	assert_true(phone_has_region("NL"));
	assert_true(phone_has_region("AC"));
	assert_false(phone_has_region("nl"));
	assert_false(phone_has_region("ZZ"));
	assert_false(phone_has_region(""));
	assert_false(phone_has_region("NLD"));
}

/* Rows of the corpus that we mean to read otherwise, or may. */
static const struct { const char *raw, *region; } own_way[] = {
	{ "+266696687", "US" },		/* a withheld number, and therefore junk */
	{ "112", "DE" },		/* a short code is nobody's number */
	/* Benin got two digits more in 2024; Debian 12's library is older. */
	{ "01 20 21 12 34", "BJ" },
	{ "01 95 12 34 56", "BJ" },
};

static bool
may_differ(struct str raw, struct str region)
{
	for (size_t i = 0; i < sizeof(own_way) / sizeof(own_way[0]); i++)
		if (str_eq(raw, str_of(own_way[i].raw)) &&
		    str_eq(region, str_of(own_way[i].region)))
			return true;
	return false;
}

/* A line of oracle.tsv: raw, region, e164, valid, type. */
static bool
agrees(struct str line)
{
	struct str raw = str_cut(&line, '\t'), region = str_cut(&line, '\t');
	struct str e164 = str_cut(&line, '\t');
	struct identity_rules rules = { .region = arena_text(&arena, region) };
	struct mention m = { .value = STR_NONE };
	enum identity_fate fate = identity_read(&arena, &rules, STR("phone"), raw, &m);

	if (e164.n == 0 ? fate != IDENTITY_USED : str_eq(m.value, e164) || str_eq(m.alt, e164))
		return true;
	if (may_differ(raw, region))
		return fate != IDENTITY_USED;
	print_message("%.*s in %.*s is %.*s, not %.*s\n", STR_ARG(raw), STR_ARG(region),
	    STR_ARG(m.value), STR_ARG(e164));
	return false;
}

static void
numbers_of_all_regions_are_read_as_in_the_corpus(void **state)
{
	const char *corpus = getenv("TOUCHLOG_CORPUS");
	char path[4096], line[512];
	size_t nlines = 0, nother = 0;
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/phone/oracle.tsv", corpus != NULL ? corpus : "");
	f = fopen(path, "r");
	if (f == NULL) {
		print_message("skipped: %s is not there (TOUCHLOG_CORPUS)\n", path);
		skip();
	}
	assert_non_null(fgets(line, sizeof(line), f));	/* the head */
	while (fgets(line, sizeof(line), f) != NULL) {
		nlines++;
		nother += !agrees(str_trim(str_of(line)));
	}
	fclose(f);
	print_message("%zu of %zu read otherwise\n", nother, nlines);
	assert_true(nlines > 2000);
	assert_int_equal(nother, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(an_address_has_one_spelling, empty_arena),
		cmocka_unit_test_teardown(an_address_is_as_long_as_the_standard_allows, empty_arena),
		cmocka_unit_test_teardown(the_raw_text_is_kept_only_where_it_differs, empty_arena),
		cmocka_unit_test_teardown(a_role_address_is_not_strong, empty_arena),
		cmocka_unit_test_teardown(only_the_ranks_that_the_source_names_are_strong,
		    empty_arena),
		cmocka_unit_test_teardown(a_number_has_one_spelling, empty_arena),
		cmocka_unit_test_teardown(the_cache_keeps_regions_and_texts_apart, empty_arena),
		cmocka_unit_test_teardown(some_countries_numbers_have_a_second_spelling, empty_arena),
		cmocka_unit_test_teardown(both_spellings_of_a_mexican_mobile_meet, empty_arena),
		cmocka_unit_test_teardown(what_stands_for_nobody_is_junk, empty_arena),
		cmocka_unit_test_teardown(what_only_looks_like_junk_is_kept, empty_arena),
		cmocka_unit_test_teardown(a_kind_is_known_and_has_its_namespace, empty_arena),
		cmocka_unit_test_teardown(what_cannot_be_stored_is_unreadable, empty_arena),
		cmocka_unit_test_teardown(our_own_addresses_and_numbers_are_nobodys_identity,
		    empty_arena),
		cmocka_unit_test_teardown(what_is_no_address_domain_or_number_cannot_be_our_own,
		    empty_arena),
		cmocka_unit_test_teardown(regions_that_the_library_knows_are_told_from_others,
		    empty_arena),
		cmocka_unit_test_teardown(numbers_of_all_regions_are_read_as_in_the_corpus,
		    empty_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
