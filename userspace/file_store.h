/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Databases that live in files of the process itself (SQLite, DuckDB): no connection, so no call and no storage time. What
 * can be said is that there is one.
 */
#ifndef FILE_STORE_H
#define FILE_STORE_H
#include "base/bytes.h"

/* By the name of an open file: sqlite.org/tempfiles.html for the companions of a database (-wal, -shm, -journal), which stand
 * for it. Gives the database's own path; no bytes: it is none. */
struct bytes file_store_path(struct bytes path);
#endif
