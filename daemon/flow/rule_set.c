/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings -> the JSON that touchlog.rule_set_load() reads.  It is canonical: rules, calendars,
 * hours and holidays are sorted and defaults left out, so that two files that mean the same have
 * the same sum, and a setting that a later version adds changes none.
 */
#include "flow/rule_set.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "flow/calendar_conf.h"
#include "flow/rule_conf.h"

enum { JSON_MAX_BYTES = 64 << 20, TEXTS_PER_RULE = 4, SHA_BYTES = 32 };

/* ---- members ---- */

static void
put_name(struct buf *out, const char *name)
{
	buf_printf(out, "%s\"%s\":", out->n > 0 && out->p[out->n - 1] == '{' ? "" : ",", name);
}

static void
put_text(struct buf *out, const char *name, struct str text)
{
	if (text.p == NULL)
		return;
	put_name(out, name);
	buf_json(out, text);
}

/* As PostgreSQL reads an interval; whole seconds, since its days may have 23 hours. */
static void
put_interval(struct buf *out, const char *name, int64_t ms, const char *before, const char *behind)
{
	put_name(out, name);
	buf_printf(out, "\"%s%lld", before, (long long)(ms / 1000));
	if (ms % 1000 != 0)
		buf_printf(out, ".%03d", (int)(ms % 1000));
	buf_printf(out, " s%s\"", behind);
}

static void
put_choice(struct buf *out, const char *name, const char *const *names, int choice)
{
	if (choice != 0)		/* the default */
		put_text(out, name, str_of(names[choice]));
}

static void
put_texts(struct buf *out, const char *name, const struct conf_texts *texts)
{
	if (texts->n == 0)
		return;
	put_name(out, name);
	for (size_t i = 0; i < texts->n; i++) {
		buf_text(out, i == 0 ? "[" : ",");
		buf_json(out, texts->v[i]);
	}
	buf_text(out, "]");
}

/* ---- one entry ---- */

static void
put_rule(struct buf *out, const void *entry)
{
	const struct rule_conf *r = entry;

	buf_text(out, "{");
	put_text(out, "name", r->name);
	put_text(out, "when", r->when);
	put_text(out, "unless", r->unless);
	if (r->wait_ms >= 0)
		put_interval(out, "wait", r->wait_ms, "interval '", "'");
	else
		put_text(out, "wait", r->wait);
	put_text(out, "at", r->at);
	put_choice(out, "wait_from", rule_wait_from_names, r->wait_from);
	if (r->count > 0) {
		put_name(out, "count");
		buf_printf(out, "%lld", (long long)r->count);
		put_interval(out, "within", r->within_ms, "", "");
	}
	put_choice(out, "per", rule_per_names, r->per);
	if (r->cooldown_ms >= 0)
		put_interval(out, "cooldown", r->cooldown_ms, "", "");
	else
		put_text(out, "cooldown", r->cooldown);
	if (r->max_age_ms != RULE_MAX_AGE_MS)
		put_interval(out, "max_age", r->max_age_ms, "", "");
	put_text(out, "calendar", r->calendar);
	put_choice(out, "mode", rule_mode_names, r->mode);
	put_texts(out, "do", &r->actions);
	buf_text(out, "}");
}

static void
put_calendar(struct buf *out, const void *entry)
{
	const struct calendar_conf *cal = entry;

	buf_text(out, "{");
	put_text(out, "name", cal->name);
	put_text(out, "zone", cal->zone);
	put_name(out, "hours");
	for (size_t i = 0; i < cal->nopenings; i++) {
		const struct opening *o = &cal->openings[i];

		buf_printf(out, "%s{\"weekday\":%d,\"opens\":\"%02d:%02d\",\"closes\":\"%02d:%02d\"}",
		    i == 0 ? "[" : ",", o->weekday, o->opens_min / 60, o->opens_min % 60,
		    o->closes_min / 60, o->closes_min % 60);
	}
	buf_text(out, "]");
	put_texts(out, "holidays", &cal->holidays);
	buf_text(out, "}");
}

/* ---- all of them, by name ---- */

static int
by_name(const void *va, const void *vb)
{
	const struct conf_named *a = *(const struct conf_named *const *)va;
	const struct conf_named *b = *(const struct conf_named *const *)vb;

	return str_compare(a->name, b->name);
}

static bool
put_all(struct buf *out, const struct conf_named_list *list,
    void (*put)(struct buf *out, const void *entry))
{
	const struct conf_named **sorted = calloc(list->n + 1, sizeof(*sorted));

	if (sorted == NULL)
		return false;
	for (size_t i = 0; i < list->n; i++)
		sorted[i] = &list->v[i];
	qsort(sorted, list->n, sizeof(*sorted), by_name);
	buf_text(out, "[");
	for (size_t i = 0; i < list->n; i++) {
		buf_text(out, i > 0 ? "," : "");
		put(out, sorted[i]->common);
	}
	buf_add(out, "]", 2);
	free(sorted);
	return buf_ok(out);
}

/* ---- the expressions ---- */

static void
add_text(struct rule_set *s, const struct rule_conf *r, const char *key, const char *kind,
    struct str text)
{
	if (text.p != NULL)
		s->texts[s->ntexts++] = (struct rule_text){ r, key, kind, text };
}

static bool
list_texts(struct rule_set *s, const struct conf_named_list *rules)
{
	s->texts = calloc(rules->n + 1, TEXTS_PER_RULE * sizeof(*s->texts));
	if (s->texts == NULL)
		return false;
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule_conf *r = rules->v[i].common;

		add_text(s, r, "when", "predicate", r->when);
		add_text(s, r, "unless", "predicate", r->unless);
		add_text(s, r, "wait", "interval", r->wait_ms < 0 ? r->wait : STR_NONE);
		add_text(s, r, "at", "timestamptz", r->at);
	}
	return true;
}

/* ---- the sum ---- */

static bool
sum_up(struct rule_set *s)
{
	unsigned char sha[SHA_BYTES];
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool ok = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(digest, s->rules.p, s->rules.n) == 1 &&
	    EVP_DigestUpdate(digest, s->calendars.p, s->calendars.n) == 1 &&
	    EVP_DigestFinal_ex(digest, sha, NULL) == 1;

	EVP_MD_CTX_free(digest);
	(void)snprintf(s->sha, sizeof(s->sha), "\\x");
	for (size_t i = 0; ok && i < SHA_BYTES; i++)
		(void)snprintf(s->sha + 2 + 2 * i, 3, "%02x", sha[i]);
	return ok;
}

struct rule_set *
rule_set_new(const struct conf_named_list *rules, const struct conf_named_list *calendars,
    struct err *err)
{
	struct rule_set *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	buf_init(&s->rules, JSON_MAX_BYTES);
	buf_init(&s->calendars, JSON_MAX_BYTES);
	s->nrules = rules->n;
	s->ncalendars = calendars->n;
	if (put_all(&s->rules, rules, put_rule) && put_all(&s->calendars, calendars, put_calendar) &&
	    list_texts(s, rules) && sum_up(s))
		return s;
	rule_set_free(s);
	(void)err_set(err, ERR_RETRY, "out of memory");
	return NULL;
}

void
rule_set_free(struct rule_set *s)
{
	if (s == NULL)
		return;
	buf_fini(&s->rules);
	buf_fini(&s->calendars);
	free(s->texts);
	free(s);
}
