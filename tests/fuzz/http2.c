/* SPDX-License-Identifier: BSD-2-Clause */
/* HTTP/2: whatever comes, each call ends once, see http.h. */
#include "http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	return fuzz_http(&proto_http2, data, n);
}
