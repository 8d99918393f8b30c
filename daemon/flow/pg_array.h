/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_PG_ARRAY_H
#define TL_FLOW_PG_ARRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/uuid.h"

/* One parameter: a one-dimensional array in PostgreSQL's binary form. */
struct pg_array {
	struct buf	bytes;
	uint32_t	n;		/* elements */
};

/* PostgreSQL's own numbers for the element types (pg_type.dat). */
enum pg_type {
	PG_BOOL = 16, PG_BYTEA = 17, PG_INT8 = 20, PG_INT4 = 23, PG_TEXT = 25, PG_DATE = 1082,
	PG_TIMESTAMPTZ = 1184, PG_UUID = 2950, PG_JSONB = 3802,
};

void	pg_array_init(struct pg_array *a);
void	pg_array_fini(struct pg_array *a);
/* Empties it, keeps the memory. */
void	pg_array_start(struct pg_array *a, uint32_t type);
void	pg_array_null(struct pg_array *a);
void	pg_array_bytes(struct pg_array *a, const void *p, size_t n);
void	pg_array_text(struct pg_array *a, struct str s);	/* .p NULL: null */
void	pg_array_uuid(struct pg_array *a, struct uuid id);
void	pg_array_bool(struct pg_array *a, bool v);
void	pg_array_i32(struct pg_array *a, int32_t v);
void	pg_array_i64(struct pg_array *a, int64_t v);
void	pg_array_jsonb(struct pg_array *a, struct str json);
void	pg_array_end(struct pg_array *a);

/* Reading one: elements from the first on. */
struct pg_array_reader {
	const char	*at;
	const char	*end;
	uint32_t	 left;		/* elements */
};
void	pg_array_read(struct pg_array_reader *r, const char *value, int len);
/* false behind the last element; .p NULL: null. */
bool	pg_array_next(struct pg_array_reader *r, struct str *ret_element);
int32_t	pg_get_i32(const char *p);

#endif
