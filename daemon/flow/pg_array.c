/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays as binary parameters and results: a head of five words, then the length and
 * the bytes of each element (backend/utils/adt/arrayfuncs.c, array_recv). */
#include "flow/pg_array.h"

enum { HEAD_BYTES = 20, COUNT_AT = 12, ARRAY_MAX_BYTES = 512 * 1024 * 1024 };

void
pg_array_init(struct pg_array *a)
{
	buf_init(&a->bytes, ARRAY_MAX_BYTES);
	a->n = 0;
}

void
pg_array_fini(struct pg_array *a)
{
	buf_fini(&a->bytes);
}

void
pg_array_start(struct pg_array *a, uint32_t type)
{
	buf_clear(&a->bytes);
	a->n = 0;
	buf_be32(&a->bytes, 1);		/* dimensions */
	buf_be32(&a->bytes, 1);		/* may hold nulls */
	buf_be32(&a->bytes, type);
	buf_be32(&a->bytes, 0);		/* how many: pg_array_end() */
	buf_be32(&a->bytes, 1);		/* the first has index 1 */
}

void
pg_array_null(struct pg_array *a)
{
	buf_be32(&a->bytes, UINT32_MAX);
	a->n++;
}

void
pg_array_bytes(struct pg_array *a, const void *p, size_t n)
{
	buf_be32(&a->bytes, (uint32_t)n);
	buf_add(&a->bytes, p, n);
	a->n++;
}

void
pg_array_text(struct pg_array *a, struct str s)
{
	if (s.p == NULL)
		pg_array_null(a);
	else
		pg_array_bytes(a, s.p, s.n);
}

void
pg_array_uuid(struct pg_array *a, struct uuid id)
{
	pg_array_bytes(a, id.b, sizeof(id.b));
}

void
pg_array_bool(struct pg_array *a, bool v)
{
	char c = v;

	pg_array_bytes(a, &c, 1);
}

void
pg_array_i32(struct pg_array *a, int32_t v)
{
	uint32_t be = __builtin_bswap32((uint32_t)v);

	pg_array_bytes(a, &be, sizeof(be));
}

void
pg_array_i64(struct pg_array *a, int64_t v)
{
	uint64_t be = __builtin_bswap64((uint64_t)v);

	pg_array_bytes(a, &be, sizeof(be));
}

void
pg_array_jsonb(struct pg_array *a, struct str json)
{
	buf_be32(&a->bytes, (uint32_t)json.n + 1);
	buf_add(&a->bytes, "\1", 1);
	buf_str_add(&a->bytes, json);
	a->n++;
}

void
pg_array_end(struct pg_array *a)
{
	uint32_t be = __builtin_bswap32(a->n);

	if (a->bytes.n >= HEAD_BYTES)
		memcpy(a->bytes.p + COUNT_AT, &be, sizeof(be));
}

static uint32_t
get_u32(const char *p)
{
	uint32_t be;

	memcpy(&be, p, sizeof(be));
	return __builtin_bswap32(be);
}

int32_t
pg_get_i32(const char *p)
{
	return (int32_t)get_u32(p);
}

/* An empty array has a head of three words. */
void
pg_array_read(struct pg_array_reader *r, const char *value, int len)
{
	*r = (struct pg_array_reader){ .at = value, .end = value + len };
	if (len < HEAD_BYTES)
		return;
	r->left = get_u32(value + COUNT_AT);
	r->at = value + HEAD_BYTES;
}

bool
pg_array_next(struct pg_array_reader *r, struct str *ret_element)
{
	uint32_t len;

	if (r->left == 0 || r->end - r->at < 4)
		return false;
	len = get_u32(r->at);
	r->at += 4;
	r->left--;
	*ret_element = STR_NONE;
	if (len == UINT32_MAX)
		return true;
	if ((size_t)(r->end - r->at) < len)
		return false;
	*ret_element = (struct str){ r->at, len };
	r->at += len;
	return true;
}
