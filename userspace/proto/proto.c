/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of protocols, in the order in which a connection's first bytes are offered to them. */
#include "proto.h"

const struct proto *const protos[] = { &proto_http2,    &proto_http1,     &proto_redis,
	                               &proto_postgres, &proto_mysql,     &proto_mongodb,
	                               &proto_bolt,     &proto_memcached, NULL };
