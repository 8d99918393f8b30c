/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draft -> interaction.  Every door ends here, so that a time, an amount or a
 * telephone number is read in one way, whoever sent it.
 *
 * What identifies an event (external_id, thread, kind, identities) is refused when
 * it is too long, since cutting it would make two things one; what is only read by
 * people (subject, body) is cut, and attributes.cut says so: the original stands in
 * `document`.
 */
#include "model/normalise.h"

#include "base/buf.h"
#include "model/decimal.h"
#include "model/dedupe.h"
#include "model/source.h"

enum { ATTRIBUTES_MAX_BYTES = 1024 * 1024, MAX_SCORE = 100 };

static const int64_t future_us = 86400 * 1000000LL;	/* a clock gone wrong beyond it */
static const int64_t pg_epoch_s = 946684800;

const char *const channel_names[] = { "email", "call", "form", "web", "sms", "chat", "social",
	"app", "survey", "fax", "post", "coupon", "meeting", "speech", "other", NULL };
const char *const direction_names[] = { "in", "out", "internal", NULL };

/* One normalisation under way. */
struct work {
	const struct source	*source;
	const struct draft	*draft;
	const struct item_origin *origin;
	struct arena		*arena;
	struct interaction	*out;
	struct buf		 attributes;	/* ours: the object, still open */
	struct buf		 unreadable;	/* ours: identities nobody can read */
	struct buf		 cut;		/* ours: names of columns cut short */
};

/* ---- attributes ---- */

static void
put_member(struct buf *b, struct str name)
{
	buf_text(b, b->n > 0 ? "," : "{");
	buf_json(b, name);
	buf_text(b, ":");
}

static void
put_item(struct buf *list, struct str text)
{
	if (list->n > 0)
		buf_text(list, ",");
	buf_json(list, text);
}

static void
keep_unreadable(struct work *w, const struct draft_identity *id)
{
	buf_text(&w->unreadable, w->unreadable.n > 0 ? ",{\"kind\":" : "{\"kind\":");
	buf_json(&w->unreadable, id->kind);
	buf_text(&w->unreadable, ",\"value\":");
	buf_json(&w->unreadable, id->value);
	buf_text(&w->unreadable, "}");
}

static bool
put_attributes(struct work *w, struct err *err)
{
	struct buf *b = &w->attributes;

	for (size_t i = 0; i < w->draft->nattributes; i++) {
		put_member(b, w->draft->attributes[i].name);
		buf_str_add(b, w->draft->attributes[i].json);
	}
	if (w->unreadable.n > 0) {
		put_member(b, STR("unreadable_identities"));
		buf_printf(b, "[%.*s]", STR_ARG(buf_str(&w->unreadable)));
	}
	if (w->cut.n > 0) {
		put_member(b, STR("cut"));
		buf_printf(b, "[%.*s]", STR_ARG(buf_str(&w->cut)));
	}
	if (b->n == 0) {
		w->out->attributes = STR("{}");
		return true;
	}
	buf_text(b, "}");
	if (!buf_ok(b) || !buf_ok(&w->unreadable) || !buf_ok(&w->cut))
		return err_set(err, ERR_INPUT, "attributes: larger than %d bytes",
		    ATTRIBUTES_MAX_BYTES);
	w->out->attributes = arena_str(w->arena, buf_str(b));
	if (w->out->attributes.p == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	return true;
}

/* ---- columns ---- */

struct column_rule {
	size_t	max_bytes;
	bool	is_cut;			/* else refused when it is longer */
	bool	(*read)(struct work *w, struct str s);	/* NULL: plain text */
	const char *wants;		/* what read() takes */
};

static bool
read_channel(struct work *w, struct str s)
{
	(void)w;
	return str_index(s, channel_names) >= 0;
}

static bool
read_direction(struct work *w, struct str s)
{
	(void)w;
	return str_index(s, direction_names) >= 0;
}

static bool
read_occurred(struct work *w, struct str s)
{
	int64_t at_us;

	if (!when_parse(s, &at_us))
		return false;
	w->out->occurred_us = at_us;
	if (at_us <= w->out->received_us + future_us)
		return true;
	/* A clock gone wrong: such an event would top every time line for ever. */
	w->out->occurred_us = w->out->received_us;
	put_member(&w->attributes, STR("occurred_at"));
	buf_json(&w->attributes, s);
	return true;
}

static bool
read_duration(struct work *w, struct str s)
{
	w->out->has_duration = true;
	return when_parse_span(s, &w->out->duration);
}

static bool
read_wait(struct work *w, struct str s)
{
	w->out->has_wait = true;
	return when_parse_span(s, &w->out->wait);
}

static bool
read_amount(struct work *w, struct str s)
{
	w->out->has_amount = true;
	return decimal_parse(s, &w->out->amount_e4);
}

static bool
read_score(struct work *w, struct str s)
{
	int64_t score;

	if (!str_to_i64(s, -MAX_SCORE, MAX_SCORE, &score))
		return false;
	w->out->has_score = true;
	w->out->score = (int16_t)score;
	return true;
}

/* ISO 4217, in capitals whatever was sent. */
static bool
read_currency(struct work *w, struct str s)
{
	char code[3];

	if (s.n != sizeof(code))
		return false;
	for (size_t i = 0; i < sizeof(code); i++) {
		code[i] = s.p[i] >= 'a' && s.p[i] <= 'z' ? (char)(s.p[i] - 32) : s.p[i];
		if (code[i] < 'A' || code[i] > 'Z')
			return false;
	}
	w->out->text[COL_CURRENCY] = arena_str(w->arena, (struct str){ code, sizeof(code) });
	return w->out->text[COL_CURRENCY].p != NULL;
}

static const struct column_rule column_rules[COL_NCOLUMNS] = {
	[COL_CHANNEL]	  = { 16, .read = read_channel,
	    .wants = "email, call, form, web, sms, chat, social, app, survey, fax, post, coupon, "
	    "meeting, speech or other" },
	[COL_DIRECTION]	  = { 16, .read = read_direction, .wants = "in, out or internal" },
	[COL_KIND]	  = { 128 },
	[COL_EXTERNAL_ID] = { 512 },
	[COL_THREAD]	  = { 512 },
	[COL_AGENT]	  = { 512 },
	[COL_SUBJECT]	  = { 2048, .is_cut = true },
	[COL_BODY]	  = { 256 * 1024, .is_cut = true },
	[COL_OUTCOME]	  = { 128 },
	[COL_OCCURRED_AT] = { 64, .read = read_occurred,
	    .wants = "a time: RFC 3339, seconds or milliseconds since 1970, or RFC 5322" },
	[COL_DURATION]	  = { 64, .read = read_duration, .wants = "seconds or an ISO 8601 duration" },
	[COL_WAIT]	  = { 64, .read = read_wait, .wants = "seconds or an ISO 8601 duration" },
	[COL_AMOUNT]	  = { 64, .read = read_amount,
	    .wants = "a number with at most 14 digits before the point" },
	[COL_CURRENCY]	  = { 3, .read = read_currency, .wants = "three letters (ISO 4217)" },
	[COL_SCORE]	  = { 8, .read = read_score, .wants = "a whole number of -100 to 100" },
	[COL_CAMPAIGN]	  = { 512 },
	[COL_BRAND]	  = { 512 },
};

/* "amount" or, of a mapped one, "amount (/total)": both are the column's. */
static bool
refuse(const struct work *w, enum column c, struct err *err)
{
	struct str place = w->draft->place[c];

	if (place.p == NULL)
		return err_in(err, "%s", column_names[c]);
	return err_in(err, "%s (%.*s)", column_names[c], STR_ARG(str_prefix_utf8(place, 45)));
}

static bool
read_column(struct work *w, enum column c, struct err *err)
{
	const struct column_rule *rule = &column_rules[c];
	struct str s = w->draft->column[c];

	if (rule->read != NULL)
		s = str_trim(s);
	if (s.n > rule->max_bytes && rule->read == NULL && rule->is_cut) {
		s = str_prefix_utf8(s, rule->max_bytes);
		put_item(&w->cut, str_of(column_names[c]));
	}
	if (rule->read != NULL && (s.n > rule->max_bytes || !rule->read(w, s))) {
		(void)err_set(err, ERR_INPUT, "not %s", rule->wants);
		return refuse(w, c, err);
	}
	if (s.n > rule->max_bytes) {
		(void)err_set(err, ERR_INPUT, "longer than %zu bytes", rule->max_bytes);
		return refuse(w, c, err);
	}
	if (w->out->text[c].p == NULL)
		w->out->text[c] = s;
	return true;
}

/* What the source says where the event does not. */
static bool
fill_defaults(struct work *w, struct err *err)
{
	const struct source *s = w->source;
	struct str *text = w->out->text;

	if (text[COL_CHANNEL].p == NULL && s->channel >= 0)
		text[COL_CHANNEL] = str_of(channel_names[s->channel]);
	if (text[COL_CHANNEL].p == NULL)
		return err_set(err, ERR_INPUT, "channel: missing, and the source has none");
	if (text[COL_DIRECTION].p == NULL)
		text[COL_DIRECTION] = s->direction >= 0 ?
		    str_of(direction_names[s->direction]) : STR("in");
	if (text[COL_KIND].p == NULL || text[COL_KIND].n == 0)
		text[COL_KIND] = STR("message");
	if (text[COL_BRAND].p == NULL)
		text[COL_BRAND] = s->brand;
	return true;
}

static bool
read_columns(struct work *w, struct err *err)
{
	w->out->occurred_us = w->out->received_us;
	for (enum column c = 0; c < COL_NCOLUMNS; c++)
		if (w->draft->column[c].n > 0 && !read_column(w, c, err))
			return false;
	return fill_defaults(w, err);
}

/* ---- parties ---- */

static bool
is_mentioned(const struct party *p, const struct mention *m)
{
	for (size_t i = 0; i < p->nmentions; i++)
		if (str_eq(p->mentions[i].value, m->value) && str_eq(p->mentions[i].kind, m->kind))
			return true;
	return false;
}

/* Keeps look-up order; equals stay as they came. */
static void
insert_mention(struct party *p, const struct mention *m)
{
	size_t at = p->nmentions++;

	while (at > 0 && p->mentions[at - 1].rank > m->rank) {
		p->mentions[at] = p->mentions[at - 1];
		at--;
	}
	p->mentions[at] = *m;
}

static bool
read_identity(struct work *w, struct party *p, const struct draft_identity *id, struct err *err)
{
	struct mention m;

	switch (identity_read(w->arena, &w->source->rules, id->kind, id->value, &m)) {
	case IDENTITY_USED:
		if (!is_mentioned(p, &m))
			insert_mention(p, &m);
		break;
	case IDENTITY_UNREADABLE:
		keep_unreadable(w, id);
		break;
	case IDENTITY_BAD_KIND:
		return err_set(err, ERR_INPUT, "identities: kind \"%.*s\" is not email, phone, "
		    "anonymous, external:NAMESPACE or social:NETWORK",
		    STR_ARG(str_prefix_utf8(id->kind, 64)));
	case IDENTITY_JUNK:
	case IDENTITY_OWN:
		break;
	}
	return true;
}

static bool
read_profile(struct work *w, const struct draft_party *from, struct party *p, struct err *err)
{
	struct buf b;

	if (from->nfields == 0)
		return true;
	buf_init(&b, ATTRIBUTES_MAX_BYTES);
	for (size_t i = 0; i < from->nfields; i++) {
		put_member(&b, from->fields[i].name);
		buf_str_add(&b, from->fields[i].json);
	}
	buf_text(&b, "}");
	p->profile = buf_ok(&b) ? arena_str(w->arena, buf_str(&b)) : STR_NONE;
	buf_fini(&b);
	return p->profile.p != NULL || err_set(err, ERR_INPUT, "customer: too large");
}

/* A party nobody can look up is none: its words stay in the original. */
static bool
read_party(struct work *w, size_t n, struct err *err)
{
	const struct draft_party *from = &w->draft->parties[n];
	struct party *p = &w->out->parties[w->out->nparties];

	*p = (struct party){ .role = from->role };
	p->mentions = arena_alloc(w->arena, (from->nidentities + 1) * sizeof(*p->mentions));
	if (p->mentions == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	for (size_t i = 0; i < from->nidentities; i++)
		if (!read_identity(w, p, &from->identities[i], err))
			return false;
	if (p->nmentions == 0)
		return true;
	if (!read_profile(w, from, p, err))
		return false;
	w->out->has_customer |= n == 0;
	w->out->nparties++;
	return true;
}

static bool
read_parties(struct work *w, struct err *err)
{
	w->out->parties = arena_alloc(w->arena,
	    (w->draft->nparties + 1) * sizeof(*w->out->parties));
	if (w->out->parties == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	for (size_t i = 0; i < w->draft->nparties; i++)
		if (!read_party(w, i, err))
			return false;
	return true;
}

/* ---- the whole ---- */

static void
set_key(struct work *w)
{
	const struct source *s = w->source;
	const struct dedupe_facts facts = {
		.external_id = w->out->text[COL_EXTERNAL_ID],
		.idempotency_key = w->origin->idempotency_key,
		.index = w->origin->index,
		.raw = w->origin->raw,
		.has_own_time = w->draft->column[COL_OCCURRED_AT].n > 0,
		.id = w->origin->id,
	};

	w->out->key = dedupe_key(s, &facts, &w->out->key_basis);
	w->out->until_day = s->keeps_keys ? UNTIL_NEVER :
	    (int32_t)((w->out->received_us / 1000000 - pg_epoch_s + s->dedupe_for_ms / 1000) / 86400);
}

static bool
run(struct work *w, struct err *err)
{
	if (!read_columns(w, err) || !read_parties(w, err) || !put_attributes(w, err))
		return false;
	set_key(w);
	return true;
}

bool
normalise(const struct source *s, const struct draft *d, const struct item_origin *o,
    struct arena *a, struct interaction *ret, struct err *err)
{
	struct interaction out = {
		.source = s, .id = o->id, .received_us = uuid_at_us(o->id), .raw = o->raw,
		.payload = s->keep_payload == PAYLOAD_NONE ? STR_NONE : o->payload,
		.content_type = o->content_type,
	};
	struct work w = { .source = s, .draft = d, .origin = o, .arena = a, .out = &out };
	bool ok;

	buf_init(&w.attributes, ATTRIBUTES_MAX_BYTES);
	buf_init(&w.unreadable, ATTRIBUTES_MAX_BYTES);
	buf_init(&w.cut, ATTRIBUTES_MAX_BYTES);
	ok = run(&w, err);
	buf_fini(&w.attributes);
	buf_fini(&w.unreadable);
	buf_fini(&w.cut);
	if (ok)
		*ret = out;
	return ok;
}
