/* SPDX-License-Identifier: BSD-2-Clause */
/* Masks messages of Protocol Buffers whose fields are known: those of a chat with Gemini. */
#ifndef MASK_PROTOBUF_H
#define MASK_PROTOBUF_H
#include "mask/mask.h"

/* p: one whole message, of the request or of the reply. Numbers of the usage, the model and roles stay, all else is replaced; what
 * is no message is zeroed. */
void mask_protobuf_chat(const uint8_t *key, char *p, size_t n, bool request);
#endif
