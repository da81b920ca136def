#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A process that hangs in the kernel with its memory map locked for writing: nobody can read its memory, and who tries
hangs, too.

wedged.py DIRECTORY: mounts a file system (FUSE, spoken by hand) on DIRECTORY whose one file takes no writes: it is asked
to, and never answers. A child maps the file, dirties a page, and maps something else over it: that waits for
the page to be written, with the lock held. Prints {"event": "ready", "pid": the child, "parent": us}.
A line on stdin, or our end, ends it: with the file system's daemon every wait for it ends.
Exit status 77: no FUSE here.
"""
import ctypes
import json
import mmap
import os
import signal
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
DIRECTORY = sys.argv[1]
LOOKUP, GETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FLUSH, INIT, ACCESS = 1, 3, 14, 15, 16, 17, 18, 25, 26, 34
FORGET, INTERRUPT, BATCH_FORGET = 2, 36, 42  # want no answer
ENOSYS = 38
PAGE = mmap.PAGESIZE
MS_NOSUID_NODEV = 2 | 4
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1


def attr(ino):
    """struct fuse_attr (include/uapi/linux/fuse.h)"""
    mode, size = (0o40755, 0) if ino == 1 else (0o100666, PAGE)
    return struct.pack("<6Q10I", ino, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, PAGE, 0)


def answer(opcode, body):
    """What to say, an errno, or None for silence."""
    if opcode == INIT:
        major, minor, readahead, _ = struct.unpack_from("<4I", body)
        return struct.pack("<4IHHIIHHI7I", 7, min(minor, 31), readahead, 0, 12, 9, PAGE, 1, 1, 0, 0, *[0] * 7)
    if opcode == LOOKUP:
        return struct.pack("<4Q2I", 2, 0, 3600, 3600, 0, 0) + attr(2)
    if opcode == OPEN:
        return struct.pack("<QII", 1, 0, 0)
    if opcode == READ:
        return b"\0" * PAGE
    if opcode in (FLUSH, RELEASE, ACCESS):
        return b""
    return ENOSYS


def serve(fd):
    """One request after the other; a write says so and stays unanswered."""
    while True:
        try:
            request = os.read(fd, 1 << 17)
        except OSError:
            return
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode == WRITE:
            yield
            continue
        if opcode in (FORGET, INTERRUPT, BATCH_FORGET):
            continue
        if opcode == GETATTR:
            said = struct.pack("<QII", 3600, 0, 0) + attr(node)
        else:
            said = answer(opcode, request[40:])
        error, body = (-said, b"") if isinstance(said, int) else (0, said)
        os.write(fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


def wedge():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    file = os.open(os.path.join(DIRECTORY, "file"), os.O_RDWR)
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    at = LIBC.mmap(None, PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, file, 0)
    ctypes.memset(at, 1, 1)
    fixed = 0x10
    LIBC.mmap(at, PAGE, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | fixed, -1, 0)
    os._exit(0)


def main():
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        sys.exit(77)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
    if LIBC.mount(b"wedged", DIRECTORY.encode(), b"fuse", MS_NOSUID_NODEV, options):
        sys.exit(77)
    child = os.fork()
    if child == 0:
        os.close(fd)
        wedge()
    daemon = serve(fd)
    next(daemon)  # the child's page is to be written
    print(json.dumps({"event": "ready", "pid": child, "parent": os.getpid(), "at_ns": time.monotonic_ns()}), flush=True)
    try:
        sys.stdin.readline()
    finally:
        os.close(fd)
        LIBC.umount2(DIRECTORY.encode(), MNT_DETACH)
        os.waitpid(child, 0)


main()
