/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles one key of `map`: what stands left of the colon is a target, what stands right
 * of it a place, or for a few targets a list. */
#include "model/mapping_internal.h"

#include "model/identity.h"
#include "model/place_internal.h"

enum { PATH_MAX_NAMES = 16 };

#define SHOWN(s)	STR_ARG(str_prefix_utf8((s), 60))

/* A key being read. */
struct naming {
	struct place_reader	*reader;
	const struct conf_node	*at;
	struct str		 key, rest;	/* rest: behind the first dot */
	struct map_target	*ret;
};

/* What may stand before the dot, and who reads what stands behind it. */
struct family {
	const char	*head;
	bool		(*read)(struct naming *);
};

static bool
has_name(const char *const *names, struct str s, size_t *ret)
{
	int i = str_index(s, names);

	if (i >= 0)
		*ret = (size_t)i;
	return i >= 0;
}

static const char *
name_of_list(void *arg, size_t i)
{
	const char *const *const *names = arg;

	return (*names)[i];
}

/* external.shop -> the identity kind external:shop */
static bool
read_namespaced(struct naming *n)
{
	struct arena *a = conf_arena(n->reader->conf);
	char *kind = arena_text(a, n->key);
	enum identity_rank rank;

	if (kind == NULL)
		return false;
	if (n->rest.n > 0)
		kind[n->key.n - n->rest.n - 1] = ':';
	n->ret->kind = MAP_IDENTITY;
	if (identity_read_kind(a, str_of(kind), &n->ret->name, &rank))
		return true;
	conf_complain(n->reader->conf, n->at, "%s: needs a namespace of letters, digits, '.', '_' "
	    "and '-' behind the dot", n->reader->what);
	return false;
}

static bool
read_profile(struct naming *n)
{
	const char *const *names = profile_names;
	const char *nearest = conf_nearest(n->rest, name_of_list, &names);
	size_t i;

	if (has_name(profile_names, n->rest, &i)) {
		*n->ret = (struct map_target){ .kind = MAP_PROFILE,
		    .name = str_of(profile_names[i]) };
		return true;
	}
	conf_complain(n->reader->conf, n->at, "%s: is no field of the profile; did you mean "
	    "\"customer.%s\"?", n->reader->what, nearest != NULL ? nearest : profile_names[0]);
	return false;
}

/* attributes.a.b -> "a", "b" */
static bool
read_path(struct naming *n)
{
	struct str path[PATH_MAX_NAMES], rest = n->rest;
	size_t npath = 0;
	bool is_last;

	do {
		struct str name = str_cut(&rest, '.');

		/* str_cut leaves the same behind "a" and "a.": look for the dot. */
		is_last = name.p + name.n == n->key.p + n->key.n;
		if (name.n == 0 || npath == PATH_MAX_NAMES) {
			conf_complain(n->reader->conf, n->at, "%s: needs 1 to %d names behind "
			    "\"attributes.\", none of them empty", n->reader->what, PATH_MAX_NAMES);
			return false;
		}
		path[npath++] = name;
	} while (!is_last);
	n->ret->kind = MAP_ATTRIBUTE;
	n->ret->path = place_memory(n->reader, npath, sizeof(*path));
	n->ret->npath = npath;
	if (n->ret->path != NULL)
		memcpy(n->ret->path, path, npath * sizeof(*path));
	return n->ret->path != NULL;
}

static const struct family families[] = {
	{ "external", read_namespaced },
	{ "social", read_namespaced },
	{ "customer", read_profile },
	{ "attributes", read_path },
	{ NULL, NULL },
};

/* Those that stand alone and are no column. */
static const char *const lone_names[] = { "email", "phone", "anonymous", "participants", NULL };

enum { NIDENTITIES = 3, NLONE = sizeof(lone_names) / sizeof(lone_names[0]) - 1 };

static bool
read_lone(struct map_target *ret, size_t i)
{
	ret->kind = i < NIDENTITIES ? MAP_IDENTITY : MAP_PARTICIPANTS;
	ret->name = str_of(lone_names[i]);
	return true;
}

static const char *
name_of_family(void *arg, size_t i)
{
	(void)arg;
	return families[i].head;
}

/* Everything that stands without a dot, and the families. */
static const char *
name_of_target(void *arg, size_t i)
{
	if (i < COL_NCOLUMNS)
		return column_names[i];
	i -= COL_NCOLUMNS;
	return i < NLONE ? lone_names[i] : name_of_family(arg, i - NLONE);
}

static bool
refuse_target(const struct naming *n, struct str head)
{
	bool has_dot = head.n < n->key.n;
	const char *nearest = conf_nearest(head, has_dot ? name_of_family : name_of_target, NULL);

	if (nearest != NULL)
		conf_complain(n->reader->conf, n->at, "%s: is not known; did you mean "
		    "\"%s%s%.*s\"?", n->reader->what, nearest, has_dot ? "." : "", SHOWN(n->rest));
	else
		conf_complain(n->reader->conf, n->at, "%s: is not known; \"attributes.%.*s\" keeps "
		    "it beside the columns", n->reader->what, SHOWN(n->key));
	return false;
}

static bool
read_target(struct place_reader *r, const struct conf_node *at, struct str key,
    struct map_target *ret)
{
	struct naming n = { .reader = r, .at = at, .key = key, .rest = key, .ret = ret };
	struct str head = str_cut(&n.rest, '.');
	size_t i;

	*ret = (struct map_target){ .kind = MAP_COLUMN };
	if (has_name(column_names, key, &i)) {
		ret->column = (enum column)i;
		return true;
	}
	if (has_name(lone_names, key, &i))
		return read_lone(ret, i);
	for (i = 0; families[i].head != NULL; i++)
		if (str_eq(head, str_of(families[i].head)))
			return families[i].read(&n);
	return refuse_target(&n, head);
}

/* ---- the targets within a list ---- */

/* A participant: its role, identities and profile. */
static bool
read_party_target(struct place_reader *r, const struct conf_node *at, struct str key,
    struct map_target *ret)
{
	struct naming n = { .reader = r, .at = at, .key = key, .rest = key, .ret = ret };
	struct str head = str_cut(&n.rest, '.');
	size_t i;

	*ret = (struct map_target){ .kind = MAP_ROLE };
	if (str_eq(key, STR("role")))
		return true;
	if (has_name(profile_names, key, &i)) {
		*ret = (struct map_target){ .kind = MAP_PROFILE, .name = str_of(profile_names[i]) };
		return true;
	}
	if (has_name(lone_names, key, &i) && i < NIDENTITIES)
		return read_lone(ret, i);
	if (str_eq(head, STR("external")) || str_eq(head, STR("social")))
		return read_namespaced(&n);
	conf_complain(r->conf, at, "%s: a participant has each, role, email, phone, anonymous, "
	    "external.NAMESPACE, social.NETWORK, name, language, time_zone and address", r->what);
	return false;
}

static bool
read_member(struct place_reader *r, const struct conf_node *at, struct str key,
    struct map_target *ret)
{
	(void)at;
	*ret = (struct map_target){ .kind = MAP_ATTRIBUTE, .npath = 1 };
	ret->path = place_memory(r, 1, sizeof(*ret->path));
	if (ret->path != NULL)
		ret->path[0] = key;
	return ret->path != NULL;
}

/* ---- what stands right of the colon ---- */

typedef bool read_target_fn(struct place_reader *r, const struct conf_node *at, struct str key,
    struct map_target *ret);

/* What complaints name: "map.participants", "email" -> "map.participants.email". */
static const char *
name_inner(struct place_reader *r, struct str key)
{
	struct buf b;
	char *name;

	buf_init(&b, 512);
	buf_printf(&b, "%s.%.*s", r->what, SHOWN(key));
	name = buf_ok(&b) ? arena_text(conf_arena(r->conf), buf_str(&b)) : NULL;
	buf_fini(&b);
	return name != NULL ? name : r->what;
}

/* The pairs of a map but `each`, one instruction each. */
static bool
read_pairs(struct place_reader *r, const struct conf_node *map, read_target_fn *read,
    struct map_list *ret)
{
	const char *what = r->what;
	bool is_good = true;

	ret->v = place_memory(r, conf_count(map), sizeof(*ret->v));
	for (size_t i = 0; ret->v != NULL && i < conf_count(map); i++) {
		struct map_instruction *in = &ret->v[ret->n];
		const struct conf_node *at = conf_key_node(map, i);

		in->key = arena_str(conf_arena(r->conf), conf_key_text(map, i));
		in->at = conf_item(map, i);
		if (str_eq(in->key, STR("each")))
			continue;
		r->what = name_inner(r, in->key);
		if (read(r, at, in->key, &in->target))
			in->place = place_compile(r, in->at);
		r->what = what;
		is_good &= in->place != NULL;
		ret->n++;
	}
	if (is_good && ret->n == 0)
		conf_complain(r->conf, map, "%s: says nothing but each", r->what);
	return is_good && ret->n > 0;
}

static bool
read_each(struct place_reader *r, const struct conf_node *map, struct map_list *ret)
{
	const struct conf_node *each = conf_find(map, "each");

	if (each == NULL)
		return true;
	ret->each = place_compile(r, each);
	return ret->each != NULL;
}

/* Inside a list of its own, one "../" more is the item itself. */
static bool
read_list(struct place_reader *r, const struct conf_node *map, const struct conf_node *pairs,
    read_target_fn *read, struct map_list *ret)
{
	size_t outer_up = r->max_up;
	bool is_good = read_each(r, map, ret);

	if (r->max_up > outer_up)
		outer_up = r->max_up;
	r->max_up = 0;
	is_good &= read_pairs(r, pairs, read, ret);
	if (ret->each != NULL && r->max_up > 0)
		r->max_up--;
	if (r->max_up < outer_up)
		r->max_up = outer_up;
	return is_good;
}

/* participants: [ { each: /cc, role: "=cc", email: /address }, … ] */
static bool
read_participants(struct place_reader *r, struct map_instruction *ret)
{
	bool is_list = conf_is_list(ret->at), is_good = true;
	size_t n = is_list ? conf_count(ret->at) : 1;

	ret->lists = place_memory(r, n, sizeof(*ret->lists));
	for (size_t i = 0; ret->lists != NULL && i < n; i++) {
		const struct conf_node *one = is_list ? conf_item(ret->at, i) : ret->at;

		if (conf_is_map(one)) {
			is_good &= read_list(r, one, one, read_party_target,
			    &ret->lists[ret->nlists++]);
			continue;
		}
		conf_complain(r->conf, one, "%s: needs { each: /cc, role: \"=cc\", email: /address }, "
		    "or a list of such", r->what);
		is_good = false;
	}
	return ret->lists != NULL && is_good;
}

/* attributes.items: { each: /lines, map: { sku: /id, price: /price } } */
static bool
read_objects(struct place_reader *r, struct map_instruction *ret)
{
	const struct conf_node *map = conf_find(ret->at, "map");

	if (!conf_is_map(map) || conf_count(ret->at) != 2) {
		conf_complain(r->conf, ret->at, "%s: a list of objects has each and map, and nothing "
		    "else", r->what);
		return false;
	}
	ret->lists = place_memory(r, 1, sizeof(*ret->lists));
	ret->nlists = 1;
	return ret->lists != NULL && read_list(r, ret->at, map, read_member, &ret->lists[0]);
}

bool
map_read_instruction(struct place_reader *r, const struct conf_node *key,
    const struct conf_node *value, struct map_instruction *ret)
{
	bool is_good;

	ret->at = value;
	r->max_up = 0;
	if (!read_target(r, key, ret->key, &ret->target))
		return false;
	if (ret->target.kind == MAP_PARTICIPANTS) {
		is_good = read_participants(r, ret);
	} else if (ret->target.kind == MAP_ATTRIBUTE && conf_is_map(value) &&
	    conf_find(value, "each") != NULL) {
		is_good = read_objects(r, ret);
	} else {
		ret->place = place_compile(r, value);
		is_good = ret->place != NULL;
	}
	ret->max_up = r->max_up;
	return is_good;
}
