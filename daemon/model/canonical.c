/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical event -> draft.  Each member that means something is a row of a sorted
 * table; what is in no row becomes an attribute.  A party (the event itself, or one
 * of `participants`) is read by the same rows wherever it stands.
 */
#include "model/canonical.h"

#include <stdlib.h>

#include <json-c/json.h>

#include "base/buf.h"
#include "base/json.h"

enum { KIND_MAX_BYTES = 1024, VALUE_MAX_BYTES = 1 << 30 };
enum where { OF_EVENT = 1, OF_PARTY = 2 };	/* OF_PARTY: also of the event, as its customer */

struct reading {
	struct draft		*draft;
	struct draft_party	*party;		/* whom the members belong to */
	const char		*group;		/* the member whose members are being read */
};

struct member {
	const char	*name;
	enum where	 where;
	bool		(*read)(struct reading *r, const struct member *m, struct json_object *v,
			    struct err *err);
	int		 column;		/* read_column() */
};

/* Text of a scalar.  false: ERR_INPUT, it is not one. */
static bool
scalar(const char *name, struct json_object *v, struct str *ret, struct err *err)
{
	if (json_text(v, ret))
		return true;
	return err_set(err, ERR_INPUT, "%s: a text or a number is wanted, not %s", name,
	    json_object_is_type(v, json_type_array) ? "a list" : "an object");
}

static struct str
as_json(struct arena *a, struct json_object *v)
{
	struct buf b;
	struct str text;

	buf_init(&b, VALUE_MAX_BYTES);
	json_write(&b, v, NULL);
	text = buf_ok(&b) ? arena_str(a, buf_str(&b)) : STR_NONE;
	buf_fini(&b);
	return text;
}

static bool
wants_object(const char *name, struct json_object *v, struct err *err)
{
	return json_object_is_type(v, json_type_object) ||
	    err_set(err, ERR_INPUT, "%s: an object is wanted", name);
}

static bool
wants_list(const char *name, struct json_object *v, struct err *err)
{
	return json_object_is_type(v, json_type_array) ||
	    err_set(err, ERR_INPUT, "%s: a list is wanted", name);
}

typedef bool member_fn(struct reading *r, const char *name, struct json_object *v,
    struct err *err);

static bool
each_member(struct reading *r, struct json_object *v, member_fn *read, struct err *err)
{
	struct json_object_iterator it = json_object_iter_begin(v), end = json_object_iter_end(v);

	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it))
		if (!read(r, json_object_iter_peek_name(&it), json_object_iter_peek_value(&it), err))
			return false;
	return true;
}

static bool
each_item(struct reading *r, struct json_object *v,
    bool (*read)(struct reading *r, struct json_object *item, struct err *err), struct err *err)
{
	for (size_t i = 0; i < json_object_array_length(v); i++)
		if (!read(r, json_object_array_get_idx(v, i), err))
			return false;
	return true;
}

/* ---- the rows ---- */

static bool
read_column(struct reading *r, const struct member *m, struct json_object *v, struct err *err)
{
	return scalar(m->name, v, &r->draft->column[m->column], err);
}

/* email, phone, anonymous: the kind is the name. */
static bool
read_shorthand(struct reading *r, const struct member *m, struct json_object *v, struct err *err)
{
	struct draft_identity id = { .kind = str_of(m->name), .place = str_of(m->name) };

	return scalar(m->name, v, &id.value, err) &&
	    (id.value.p == NULL || draft_add_identity(r->party, &id, err));
}

static bool
read_space(struct reading *r, const char *space, struct json_object *v, struct err *err)
{
	struct draft_identity id = { .place = str_of(r->group) };
	struct buf b;

	if (!scalar(r->group, v, &id.value, err))
		return false;
	if (id.value.p == NULL)
		return true;
	buf_init(&b, KIND_MAX_BYTES);
	buf_printf(&b, "%s:%s", r->group, space);
	id.kind = buf_ok(&b) ? arena_str(r->draft->arena, buf_str(&b)) : STR_NONE;
	buf_fini(&b);
	if (id.kind.p == NULL)
		return err_set(err, ERR_INPUT, "%s: too long a name", r->group);
	return draft_add_identity(r->party, &id, err);
}

/* external: {"NAMESPACE": "value"}; social: the same by network. */
static bool
read_spaces(struct reading *r, const struct member *m, struct json_object *v, struct err *err)
{
	r->group = m->name;
	return wants_object(m->name, v, err) && each_member(r, v, read_space, err);
}

static bool
read_identity(struct reading *r, struct json_object *item, struct err *err)
{
	struct json_object *kind, *value;
	struct draft_identity id = { .place = STR("identities") };

	if (!json_object_is_type(item, json_type_object) ||
	    !json_object_object_get_ex(item, "kind", &kind) ||
	    !json_object_object_get_ex(item, "value", &value))
		return err_set(err, ERR_INPUT,
		    "identities: each is an object with \"kind\" and \"value\"");
	if (!scalar("identities", kind, &id.kind, err) ||
	    !scalar("identities", value, &id.value, err))
		return false;
	if (id.kind.p == NULL || id.value.p == NULL)
		return true;
	return draft_add_identity(r->party, &id, err);
}

static bool
read_identities(struct reading *r, const struct member *m, struct json_object *v, struct err *err)
{
	return wants_list(m->name, v, err) && each_item(r, v, read_identity, err);
}

static bool
add_profile_field(struct reading *r, const char *name, struct json_object *v, struct err *err)
{
	struct draft_field field = { .place = str_of(r->group) };
	struct str text;

	if (json_object_is_type(v, json_type_null))
		return true;
	for (size_t i = 0; profile_names[i] != NULL; i++)
		if (strcmp(name, profile_names[i]) == 0 && strcmp(name, "address") != 0 &&
		    !scalar(name, v, &text, err))
			return false;
	field.name = arena_str(r->draft->arena, str_of(name));
	field.json = as_json(r->draft->arena, v);
	return draft_add_field(r->party, &field, err);
}

static bool
read_customer(struct reading *r, const struct member *m, struct json_object *v, struct err *err)
{
	r->group = m->name;
	return wants_object(m->name, v, err) &&
	    (each_member(r, v, add_profile_field, err) || err_in(err, "customer"));
}

/* A participant's own name. */
static bool
read_name(struct reading *r, const struct member *m, struct json_object *v, struct err *err)
{
	r->group = m->name;
	return add_profile_field(r, m->name, v, err);
}

static bool read_participants(struct reading *r, const struct member *m, struct json_object *v,
    struct err *err);
static bool read_attributes(struct reading *r, const struct member *m, struct json_object *v,
    struct err *err);

static bool
skip(struct reading *r, const struct member *m, struct json_object *v, struct err *err)
{
	(void)r, (void)m, (void)v, (void)err;
	return true;
}

/* Sorted by name: find_member() halves it. */
static const struct member members[] = {
	{ "agent",	  OF_EVENT, read_column, COL_AGENT },
	{ "amount",	  OF_EVENT, read_column, COL_AMOUNT },
	{ "anonymous",	  OF_PARTY, read_shorthand, 0 },
	{ "attributes",	  OF_EVENT, read_attributes, 0 },
	{ "body",	  OF_EVENT, read_column, COL_BODY },
	{ "brand",	  OF_EVENT, read_column, COL_BRAND },
	{ "campaign",	  OF_EVENT, read_column, COL_CAMPAIGN },
	{ "channel",	  OF_EVENT, read_column, COL_CHANNEL },
	{ "currency",	  OF_EVENT, read_column, COL_CURRENCY },
	{ "customer",	  OF_PARTY, read_customer, 0 },
	{ "direction",	  OF_EVENT, read_column, COL_DIRECTION },
	{ "duration",	  OF_EVENT, read_column, COL_DURATION },
	{ "email",	  OF_PARTY, read_shorthand, 0 },
	{ "external",	  OF_PARTY, read_spaces, 0 },
	{ "external_id",  OF_EVENT, read_column, COL_EXTERNAL_ID },
	{ "identities",	  OF_PARTY, read_identities, 0 },
	{ "kind",	  OF_EVENT, read_column, COL_KIND },
	{ "occurred_at",  OF_EVENT, read_column, COL_OCCURRED_AT },
	{ "outcome",	  OF_EVENT, read_column, COL_OUTCOME },
	{ "participants", OF_EVENT, read_participants, 0 },
	{ "phone",	  OF_PARTY, read_shorthand, 0 },
	{ "score",	  OF_EVENT, read_column, COL_SCORE },
	{ "social",	  OF_PARTY, read_spaces, 0 },
	{ "subject",	  OF_EVENT, read_column, COL_SUBJECT },
	{ "thread",	  OF_EVENT, read_column, COL_THREAD },
	{ "wait",	  OF_EVENT, read_column, COL_WAIT },
};

/* What only a participant has. */
static const struct member party_members[] = {
	{ "name", OF_PARTY, read_name, 0 },
	{ "role", OF_PARTY, skip, 0 },		/* read before the others */
};

static int
by_name(const void *key, const void *row)
{
	return strcmp(key, ((const struct member *)row)->name);
}

static const struct member *
find_member(const char *name)
{
	return bsearch(name, members, sizeof(members) / sizeof(members[0]), sizeof(members[0]),
	    by_name);
}

/* ---- the event and its participants ---- */

/* What else is said of a participant stands in the original. */
static bool
read_party_member(struct reading *r, const char *name, struct json_object *v, struct err *err)
{
	const struct member *m = find_member(name);

	if (m == NULL)
		m = bsearch(name, party_members, 2, sizeof(party_members[0]), by_name);
	if (m == NULL || m->where != OF_PARTY || v == NULL)
		return true;
	return m->read(r, m, v, err);
}

static bool
read_participant(struct reading *r, struct json_object *item, struct err *err)
{
	struct json_object *role;
	struct str role_text = STR_NONE;
	struct reading of = { .draft = r->draft };

	if (!wants_object("participants", item, err))
		return false;
	if (json_object_object_get_ex(item, "role", &role) &&
	    !scalar("role", role, &role_text, err))
		return false;
	if (role_text.n == 0)
		role_text = STR("participant");
	return draft_add_party(r->draft, role_text, &of.party, err) &&
	    (each_member(&of, item, read_party_member, err) || err_in(err, "participants"));
}

static bool
read_participants(struct reading *r, const struct member *m, struct json_object *v,
    struct err *err)
{
	bool ok = wants_list(m->name, v, err) && each_item(r, v, read_participant, err);

	/* Adding parties may have moved them. */
	r->party = &r->draft->parties[0];
	return ok;
}

static bool
add_attribute(struct reading *r, const char *name, struct json_object *v, struct err *err)
{
	struct draft_field field = { .name = arena_str(r->draft->arena, str_of(name)),
	    .json = as_json(r->draft->arena, v) };

	field.place = field.name;
	if (field.json.p == NULL || field.name.p == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	return draft_add_attribute(r->draft, &field, err);
}

/* The column itself: its members are attributes. */
static bool
read_attributes(struct reading *r, const struct member *m, struct json_object *v, struct err *err)
{
	return wants_object(m->name, v, err) && each_member(r, v, add_attribute, err);
}

static bool
read_member(struct reading *r, const char *name, struct json_object *v, struct err *err)
{
	const struct member *m = find_member(name);

	if (m == NULL)
		return add_attribute(r, name, v, err);
	if (v == NULL)		/* null: as if it were not there */
		return true;
	return m->read(r, m, v, err);
}

bool
canonical_read(struct json_object *doc, struct draft *d, struct err *err)
{
	struct reading r = { .draft = d, .party = &d->parties[0] };

	if (!json_object_is_type(doc, json_type_object))
		return err_set(err, ERR_INPUT, "an event is a JSON object");
	return each_member(&r, doc, read_member, err);
}
