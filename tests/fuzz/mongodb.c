/* SPDX-License-Identifier: BSD-2-Clause */
/* proto/mongodb.c against any bytes and gaps, see storage.h. */
#include "storage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	return fuzz_storage(&proto_mongodb, data, n);
}
