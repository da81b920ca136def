# SPDX-License-Identifier: BSD-2-Clause
"""Recordings read for tests: the records of bpf/event.h, by the layout that stands there, and nothing of the program's."""
import collections
import struct

# enum event_type
HELLO, OPTION, PROCESS, FORK, EXEC, EXIT = range(1, 7)
ACTION, END, FILE, WRITE = 21, 24, 34, 35
MORE, FAULT, ROOT = 1 << 1, 1 << 3, 1 << 11

HEADER = struct.Struct("=IHHQII")
Record = collections.namedtuple("Record", "type flags ts_ns pid tid body")


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at < len(data):
        size, kind, flags, ts_ns, pid, tid = HEADER.unpack_from(data, at)
        yield Record(kind, flags, ts_ns, pid, tid, data[at + HEADER.size:at + size])
        at += size


DATA = struct.Struct("=QQQQQQIIiHBB")


class Written:
    """What one file got, since it was announced."""

    def __init__(self, mode, pid):
        self.mode, self.pid = mode, pid
        self.data, self.total, self.gaps, self.records, self.spans = b"", 0, 0, 0, []

    def add(self, record):
        start, _, _, _, pos, total, off, n, self.fd, _, direction, _ = DATA.unpack_from(record.body)
        data = record.body[DATA.size:]
        assert direction == 1 and n == len(data) and record.ts_ns >= start, record
        self.records += 1
        self.data += data
        if off == 0:
            if self.base is None:
                self.base = pos
            assert pos - self.base == self.total or self.shared, (pos, self.base, self.total)
            self.total += total
            self.spans.append((pos, total))
        if not record.flags & MORE:
            self.gaps += total - off - n

    base = None     # pos of its first write: it goes on where another file had the number
    shared = False  # by threads: records may change places


def files(path, shared=False):
    """Path -> [Written ...], one for each time it was announced; a write to what was not announced is an error."""
    found, now = {}, {}
    for r in read(path):
        if r.type == FILE:
            ino, dev, _, mode = struct.unpack_from("=QQiI", r.body)
            now[ino, dev] = Written(mode, r.pid)
            now[ino, dev].shared = shared
            found.setdefault(r.body[24:].decode(errors="replace"), []).append(now[ino, dev])
        elif r.type == WRITE:
            _, ino, dev = struct.unpack_from("=QQQ", r.body)
            now[ino, dev].add(r)
    return found
