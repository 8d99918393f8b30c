/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes identities, times, spans and amounts.
 *
 * A value that was read once must read as itself. */
#include <stdlib.h>

#include "model/decimal.h"
#include "model/identity.h"
#include "model/when.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct identity_rules rules = { .region = "NL", .strong_ranks = 3 };

static void
check(struct arena *a, const char *kind, struct str raw)
{
	struct mention m, again;

	if (identity_read(a, &rules, str_of(kind), raw, &m) == IDENTITY_USED &&
	    (identity_read(a, &rules, m.kind, m.value, &again) != IDENTITY_USED ||
	    !str_eq(m.value, again.value)))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const kinds[] = { "external:shop", "email", "phone", "social:x",
	    "anonymous" };
	struct str raw = { (const char *)data, n };
	struct arena a = { 0 };
	struct mention m;
	struct span span;
	int64_t value;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		check(&a, kinds[i], raw);
	(void)identity_read(&a, &rules, raw, STR("x1"), &m);
	if (when_parse(raw, &value) && value < INT64_C(-2208988800) * 1000000)
		abort();
	if (when_parse_span(raw, &span) && (span.us < 0 || span.days < 0 || span.months < 0))
		abort();
	if (decimal_parse(raw, &value) && value > INT64_C(999999999999999999))
		abort();
	arena_fini(&a);
	return 0;
}
