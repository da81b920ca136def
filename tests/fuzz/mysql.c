/* SPDX-License-Identifier: BSD-2-Clause */
/* proto/mysql.c against any bytes and gaps, see storage.h. */
#include "storage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	return fuzz_storage(&proto_mysql, data, n);
}
