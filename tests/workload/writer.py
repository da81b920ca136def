# SPDX-License-Identifier: BSD-2-Clause
"""Writes what it is told to, where it is told to: a line of JSON on stdin is an operation, its answer is a line on the
descriptor named by --answers, so that stdout and stderr are the test's. Ends with its stdin."""
import ctypes
import json
import os
import socket
import sys
import threading

MS_NOSUID, MS_REC, MS_PRIVATE = 2, 1 << 14, 1 << 18
CLONE_NEWNS = 0x20000
libc = ctypes.CDLL(None, use_errno=True)
opened = {}


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def append(path, text):
    """As a logger does that keeps nothing open."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, text.encode())
    os.close(fd)


def hold(path):
    opened[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def write(fd, text):
    os.write(opened.get(fd, fd), text.encode())


def writev(fd, texts):
    os.writev(opened.get(fd, fd), [t.encode() for t in texts])


def pwrite(fd, text, offset):
    os.pwrite(opened.get(fd, fd), text.encode(), offset)


def pwritev(fd, texts, offset):
    os.pwritev(opened.get(fd, fd), [t.encode() for t in texts], offset)


def fill(path, n):
    """One write of n bytes, each line its own number."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    text = "".join(f"{i:07}\n" for i in range(n // 8)).encode()
    assert os.write(fd, text) == len(text)
    os.close(fd)


def copy(source, path):
    """sendfile and copy_file_range: bytes that never are in memory here."""
    a = os.open(source, os.O_RDONLY)
    b = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    size = os.fstat(a).st_size
    assert os.sendfile(b, a, 0, size) == size
    assert os.copy_file_range(a, b, size, 0) == size
    os.close(a)
    os.close(b)


def threads(path, n, lines):
    """All at once, from the first write on."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    gate = threading.Barrier(n)

    def work(k):
        gate.wait()
        for i in range(lines):
            os.write(fd, f"{k} {i}\n".encode())
    each = [threading.Thread(target=work, args=(k,)) for k in range(n)]
    for t in each:
        t.start()
    for t in each:
        t.join()
    os.close(fd)


def fork(text):
    """A child writes to the output it inherited, and is gone."""
    pid = os.fork()
    if pid == 0:
        os.write(1, text.encode())
        os._exit(0)
    os.waitpid(pid, 0)


def child(command):
    """A program with our output."""
    pid = os.spawnvp(os.P_NOWAIT, command[0], command)
    assert os.waitpid(pid, 0)[1] == 0


def redirect(path, text):
    """What a shell does for > FILE, and back."""
    kept = os.dup(1)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(fd, 1)
    os.close(fd)
    os.write(1, text.encode())
    os.dup2(kept, 1)
    os.close(kept)


def socketpair(text):
    """Output to one of a pair of sockets, as Node.js starts its children."""
    kept = os.dup(1)
    ours, theirs = socket.socketpair()
    os.dup2(theirs.fileno(), 1)
    os.write(1, text.encode())
    os.dup2(kept, 1)
    os.close(kept)
    assert ours.recv(len(text)) == text.encode()
    ours.close()
    theirs.close()


def again(path, first, second):
    """A file is deleted, another one gets its place, and on many file systems its inode number."""
    append(path, first)
    os.unlink(path)
    append(path, second)


def rename(old, new, text):
    append(old, text)
    os.rename(old, new)
    append(new, text)


def mount(directory):
    check(libc.unshare(CLONE_NEWNS))
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    check(libc.mount(b"tmpfs", directory.encode(), b"tmpfs", MS_NOSUID, None))


def chroot(directory):
    os.chroot(directory)
    os.chdir("/")


def chdir(directory):
    os.chdir(directory)


OPERATIONS = (append, hold, write, writev, pwrite, pwritev, fill, copy, threads, fork, child, redirect, socketpair, again,
              rename, mount, chroot, chdir)


def main():
    answers = int(sys.argv[sys.argv.index("--answers") + 1])
    named = {f.__name__: f for f in OPERATIONS}
    os.write(answers, b"ready\n")
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            named[name](*arguments)
            os.write(answers, b"ok\n")
        except OSError as error:
            os.write(answers, f"{name}: {error}\n".encode())


if __name__ == "__main__":
    main()
