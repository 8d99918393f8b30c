/* SPDX-License-Identifier: Apache-2.0 */
/* gzip and deflate bodies -> plain bytes, up to a limit; pure functions over zlib. */
#include "io/inflate.h"

#include <limits.h>

#include <zlib.h>

enum {
	PIECE_BYTES	= 16 * 1024,	/* room asked for at a time; the buf doubles */
	/* inflateInit2()'s window: 2^15, and how the stream is wrapped. */
	WRAP_ZLIB	= 15,
	WRAP_NONE	= -15,
	WRAP_GZIP	= 15 + 16,
};

/* The failures, each with the kind of error that it is for the caller. */
static enum inflate_result
fail(struct err *err, enum inflate_result result, const char *why)
{
	(void)err_set(err, result == INFLATE_NO_MEMORY ? ERR_RETRY : ERR_INPUT, "%s", why);
	return result;
}

/* RFC 9110 means zlib's format by "deflate"; senders that take the name at its word
 * leave zlib's two bytes out.  A bare stream that looks like those two would have
 * to begin with a stored block whose padding is not zero: nobody writes that. */
static bool
has_zlib_header(struct str in)
{
	unsigned first, second;

	if (in.n < 2)
		return false;
	first = (unsigned char)in.p[0];
	second = (unsigned char)in.p[1];
	return (first & 0x0f) == Z_DEFLATED && first >> 4 <= 7 && (first << 8 | second) % 31 == 0;
}

static int
wrapping(struct str in, enum inflate_coding coding)
{
	return coding == INFLATE_GZIP ? WRAP_GZIP : has_zlib_header(in) ? WRAP_ZLIB : WRAP_NONE;
}

/* Inflates one piece into out.  A full one still lets the stream come to its end, but
 * the first byte too many shows in *ret_is_over. */
static int
inflate_piece(z_stream *z, size_t max_bytes, struct buf *out, bool *ret_is_over)
{
	size_t left = max_bytes - out->n, room = left < PIECE_BYTES ? left : PIECE_BYTES;
	char spill, *at = room > 0 ? buf_space(out, room) : &spill;
	int rc;

	if (at == NULL)
		return Z_MEM_ERROR;
	z->next_out = (Bytef *)at;
	z->avail_out = room > 0 ? (uInt)room : sizeof(spill);
	rc = inflate(z, Z_NO_FLUSH);
	if (room > 0)
		out->n -= z->avail_out;
	*ret_is_over = room == 0 && z->avail_out == 0;
	return rc;
}

/* Z_OK means that something was read or written, so this comes to an end. */
static enum inflate_result
inflate_all(z_stream *z, enum inflate_coding coding, size_t max_bytes, struct buf *out,
    struct err *err)
{
	bool is_over = false;
	int rc;

	do {
		rc = inflate_piece(z, max_bytes, out, &is_over);
		/* The next member begins where one ends (RFC 1952 2.2). */
		if (rc == Z_STREAM_END && z->avail_in > 0 && coding == INFLATE_GZIP)
			rc = inflateReset(z);
	} while (rc == Z_OK && !is_over);
	if (is_over)
		return fail(err, INFLATE_TOO_LARGE, "the inflated body is too large");
	if (rc == Z_MEM_ERROR)
		return fail(err, INFLATE_NO_MEMORY, "out of memory");
	if (rc == Z_BUF_ERROR)
		return fail(err, INFLATE_DAMAGED, "the compressed body is cut short");
	if (rc != Z_STREAM_END)
		return fail(err, INFLATE_DAMAGED, "the compressed body is damaged");
	if (z->avail_in > 0)
		return fail(err, INFLATE_DAMAGED, "the compressed body goes on after its end");
	return INFLATE_DONE;
}

enum inflate_result
inflate_body(struct str in, enum inflate_coding coding, size_t max_bytes, struct buf *out,
    struct err *err)
{
	/* zlib's interface is older than const. */
	union { const char *in; Bytef *out; } bytes = { .in = in.p };
	z_stream z = { .next_in = bytes.out, .avail_in = (uInt)in.n };
	enum inflate_result result;

	buf_init(out, max_bytes);
	if (in.n > UINT_MAX)
		return fail(err, INFLATE_TOO_LARGE, "the compressed body is too large");
	if (inflateInit2(&z, wrapping(in, coding)) != Z_OK)
		return fail(err, INFLATE_NO_MEMORY, "out of memory");
	result = inflate_all(&z, coding, max_bytes, out, err);
	(void)inflateEnd(&z);
	return result;
}
