/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of MySQL and MariaDB: their numbers, lengths and names. mysql_reply.h has the sources. */
#ifndef PROTO_MYSQL_COMMAND_H
#define PROTO_MYSQL_COMMAND_H
#include "call.h"

enum mysql_command {
	MYSQL_CONNECT = 0, /* no command: the log-in */
	MYSQL_QUIT = 0x01,
	MYSQL_INIT_DB = 0x02,
	MYSQL_QUERY = 0x03,
	MYSQL_FIELD_LIST = 0x04,
	MYSQL_STATISTICS = 0x09,
	MYSQL_PROCESS_INFO = 0x0a,
	MYSQL_PING = 0x0e,
	MYSQL_CHANGE_USER = 0x11,
	MYSQL_BINLOG_DUMP = 0x12,
	MYSQL_STMT_PREPARE = 0x16,
	MYSQL_STMT_EXECUTE = 0x17,
	MYSQL_STMT_LONG_DATA = 0x18,
	MYSQL_STMT_CLOSE = 0x19,
	MYSQL_STMT_RESET = 0x1a,
	MYSQL_SET_OPTION = 0x1b,
	MYSQL_STMT_FETCH = 0x1c,
	MYSQL_BINLOG_DUMP_GTID = 0x1e,
	MYSQL_RESET_CONNECTION = 0x1f,
	MYSQL_BULK_EXECUTE = 0xfa, /* MariaDB */
};

/* Whether there is such a command, and it can be so long. */
bool mysql_command_fits(uint8_t command, uint32_t len);
/* Those whose answer may ask the client for more: the log-in and COM_CHANGE_USER. */
bool mysql_command_logs_in(uint8_t command);
/* Commands that get no reply. */
bool mysql_command_mute(uint8_t command);
/* What is known of c from the command's number alone, but for those that run statements. */
void mysql_command_describe(uint8_t command, struct call *c);
#endif
