/* SPDX-License-Identifier: Apache-2.0 */
/* What a document says of one contact, before it is judged. */
#include "model/draft.h"

const char *const column_names[COL_NCOLUMNS + 1] = {
	[COL_CHANNEL] = "channel",
	[COL_DIRECTION] = "direction",
	[COL_KIND] = "kind",
	[COL_EXTERNAL_ID] = "external_id",
	[COL_THREAD] = "thread",
	[COL_AGENT] = "agent",
	[COL_SUBJECT] = "subject",
	[COL_BODY] = "body",
	[COL_OUTCOME] = "outcome",
	[COL_OCCURRED_AT] = "occurred_at",
	[COL_DURATION] = "duration",
	[COL_WAIT] = "wait",
	[COL_AMOUNT] = "amount",
	[COL_CURRENCY] = "currency",
	[COL_SCORE] = "score",
	[COL_CAMPAIGN] = "campaign",
	[COL_BRAND] = "brand",
	[COL_NCOLUMNS] = NULL,
};

const char *const profile_names[] = { "name", "language", "time_zone", "address", NULL };

enum { FIRST_PARTIES = 1, FIRST_ATTRIBUTES = 8 };

/* A place behind the last of n elements, with *room doubled when it is used up.  The old
 * array stays in the arena: at most as much again as the new one. */
static bool
make_room(struct arena *a, void **array, size_t n, size_t *room, size_t first, size_t size)
{
	size_t more = *room > 0 ? *room * 2 : first, bytes;
	void *p;

	if (n < *room)
		return true;
	if (!size_mul(more, size, &bytes) || (p = arena_alloc(a, bytes)) == NULL)
		return false;
	if (n > 0)
		memcpy(p, *array, n * size);
	*array = p;
	*room = more;
	return true;
}

bool
draft_init(struct draft *d, struct arena *a, struct err *err)
{
	struct draft_party *customer;

	*d = (struct draft){ .arena = a };
	return draft_add_party(d, STR_NONE, &customer, err);
}

bool
draft_add_party(struct draft *d, struct str role, struct draft_party **ret, struct err *err)
{
	void *array = d->parties;

	if (d->nparties == DRAFT_MAX_PARTIES)
		return err_set(err, ERR_INPUT, "more than %d parties", DRAFT_MAX_PARTIES);
	if (!make_room(d->arena, &array, d->nparties, &d->room_parties, FIRST_PARTIES,
	    sizeof(*d->parties)))
		return err_set(err, ERR_RETRY, "out of memory");
	d->parties = array;
	*ret = &d->parties[d->nparties++];
	(*ret)->role = role;
	return true;
}

bool
draft_add_identity(struct draft_party *p, const struct draft_identity *id, struct err *err)
{
	if (p->nidentities == DRAFT_MAX_IDENTITIES)
		return err_set(err, ERR_INPUT, "more than %d identities of one party",
		    DRAFT_MAX_IDENTITIES);
	p->identities[p->nidentities++] = *id;
	return true;
}

bool
draft_add_field(struct draft_party *p, const struct draft_field *field, struct err *err)
{
	if (p->nfields == DRAFT_MAX_FIELDS)
		return err_set(err, ERR_INPUT, "more than %d profile fields of one party",
		    DRAFT_MAX_FIELDS);
	p->fields[p->nfields++] = *field;
	return true;
}

bool
draft_add_attribute(struct draft *d, const struct draft_field *field, struct err *err)
{
	void *array = d->attributes;

	if (d->nattributes == DRAFT_MAX_ATTRIBUTES)
		return err_set(err, ERR_INPUT, "more than %d attributes", DRAFT_MAX_ATTRIBUTES);
	if (!make_room(d->arena, &array, d->nattributes, &d->room_attributes, FIRST_ATTRIBUTES,
	    sizeof(*d->attributes)))
		return err_set(err, ERR_RETRY, "out of memory");
	d->attributes = array;
	d->attributes[d->nattributes++] = *field;
	return true;
}
