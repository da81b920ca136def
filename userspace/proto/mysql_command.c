/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of MySQL's commands. */
#include "proto/mysql_command.h"

static const struct {
	uint8_t command;
	const char *op;
	bool beat, setup, write, blocks;
} commands[] = {
	{ MYSQL_CONNECT, "CONNECT", .setup = true },
	{ MYSQL_INIT_DB, "USE", .beat = true, .setup = true },
	{ MYSQL_FIELD_LIST, "SHOW" },
	{ 0x05, "CREATE", .write = true },
	{ 0x06, "DROP", .write = true },
	{ 0x07, "FLUSH" },
	{ 0x08, "SHUTDOWN" },
	{ MYSQL_STATISTICS, "STATISTICS", .beat = true },
	{ MYSQL_PROCESS_INFO, "SHOW" },
	{ 0x0c, "KILL" },
	{ 0x0d, "DEBUG", .beat = true },
	{ MYSQL_PING, "PING", .beat = true },
	{ MYSQL_CHANGE_USER, "CHANGE_USER", .setup = true },
	{ MYSQL_BINLOG_DUMP, "BINLOG_DUMP", .blocks = true },
	{ MYSQL_BINLOG_DUMP_GTID, "BINLOG_DUMP", .blocks = true },
	{ 0x13, "TABLE_DUMP" },
	{ 0x15, "REGISTER_REPLICA", .setup = true },
	{ MYSQL_STMT_PREPARE, "PREPARE" },
	{ MYSQL_STMT_RESET, "RESET", .beat = true },
	{ MYSQL_SET_OPTION, "SET", .beat = true },
	{ MYSQL_STMT_FETCH, "FETCH" },
	{ MYSQL_RESET_CONNECTION, "RESET", .beat = true },
};

void mysql_command_describe(uint8_t command, struct call *c)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (commands[i].command != command)
			continue;
		strcpy(c->op, commands[i].op);
		c->op_known = true;
		c->write = commands[i].write;
		c->setup = commands[i].setup;
		c->blocks = commands[i].blocks;
		c->class = commands[i].beat ? CALL_HEARTBEAT : CALL_STORAGE;
	}
}

bool mysql_command_fits(uint8_t command, uint32_t len)
{
	static const struct {
		uint8_t command;
		uint32_t least, most;
	} lengths[] = {
		{ MYSQL_QUIT, 1, 1 },
		{ MYSQL_STATISTICS, 1, 1 },
		{ MYSQL_PROCESS_INFO, 1, 1 },
		{ 0x0c, 5, 5 }, /* PROCESS_KILL */
		{ 0x0d, 1, 1 }, /* DEBUG */
		{ MYSQL_PING, 1, 1 },
		{ MYSQL_CHANGE_USER, 4, 0 },
		{ MYSQL_BINLOG_DUMP, 11, 0 },
		{ 0x13, 3, 0 },  /* TABLE_DUMP */
		{ 0x15, 18, 0 }, /* REGISTER_SLAVE */
		{ MYSQL_STMT_EXECUTE, 10, 0 },
		{ MYSQL_STMT_LONG_DATA, 7, 0 },
		{ MYSQL_STMT_CLOSE, 5, 5 },
		{ MYSQL_STMT_RESET, 5, 5 },
		{ MYSQL_SET_OPTION, 3, 3 },
		{ MYSQL_STMT_FETCH, 9, 9 },
		{ MYSQL_BINLOG_DUMP_GTID, 19, 0 },
		{ MYSQL_RESET_CONNECTION, 1, 1 },
		{ MYSQL_BULK_EXECUTE, 7, 0 },
	};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		if (lengths[i].command == command)
			return len >= lengths[i].least &&
			       (!lengths[i].most || len <= lengths[i].most);
	/* INIT_DB, QUERY, FIELD_LIST, CREATE_DB, DROP_DB, REFRESH, SHUTDOWN, STMT_PREPARE */
	return len && ((command >= 0x02 && command <= 0x08) || command == MYSQL_STMT_PREPARE);
}

bool mysql_command_logs_in(uint8_t command)
{
	return command == MYSQL_CONNECT || command == MYSQL_CHANGE_USER;
}

bool mysql_command_mute(uint8_t command)
{
	return command == MYSQL_QUIT || command == MYSQL_STMT_LONG_DATA ||
	       command == MYSQL_STMT_CLOSE;
}
