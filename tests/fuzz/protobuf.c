/* SPDX-License-Identifier: BSD-2-Clause */
/* Protocol buffers: the walk and the scan, whole and in pieces, find the same fields. */
#include <stdlib.h>

#include "base/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
	uint64_t hash, fields;
};

static void see(void *ctx, const struct protobuf_field *f)
{
	struct seen *seen = ctx;

	seen->fields++;
	seen->hash = bytes_hash(seen->hash, (struct bytes){ (const char *)&f->number, 4 });
	seen->hash = bytes_hash(seen->hash, (struct bytes){ (const char *)&f->value, 8 });
	seen->hash = bytes_hash(seen->hash, f->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes b = { (const char *)data, n }, rest = b;
	struct seen walked = { 0 }, whole = { 0 }, pieces = { 0 };
	struct protobuf_scan s, t;
	struct protobuf_field f;
	bool cut = false;

	if (n == 0)
		return 0;
	while (protobuf_next(&rest, &f)) {
		cut = f.cut;
		if (f.bytes.p < b.p || f.bytes.n > (size_t)(b.p + n - f.bytes.p))
			abort();
		if (!f.cut)
			see(&walked, &f);
	}
	protobuf_init(&s, see, &whole);
	protobuf_feed(&s, b);
	protobuf_init(&t, see, &pieces);
	for (size_t i = 0; i < n; i++)
		protobuf_feed(&t, bytes_from((struct bytes){ b.p, i + 1 }, i));
	if (s.state != t.state || whole.hash != pieces.hash || whole.fields != pieces.fields)
		abort();
	if (n <= PROTOBUF_FIELD_MAX && (walked.hash != whole.hash || walked.fields != whole.fields))
		abort();
	if (n <= PROTOBUF_FIELD_MAX && protobuf_whole(&s) != (rest.n == 0 && !cut))
		abort();
	protobuf_free(&s);
	protobuf_free(&t);
	/* holes of any length anywhere */
	protobuf_init(&s, see, &whole);
	protobuf_feed(&s, (struct bytes){ b.p, n / 2 });
	protobuf_gap(&s, (uint8_t)b.p[n - 1]);
	protobuf_feed(&s, bytes_from(b, n / 2));
	protobuf_free(&s);
	return 0;
}
