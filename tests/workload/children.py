# SPDX-License-Identifier: BSD-2-Clause
"""Child processes that end with their parent, whatever ends it, and lines read from them with a deadline."""
import collections
import pwd
import subprocess
import threading
import time


def popen(command, death="KILL", user=None, **kw):
    """Popen through setpriv, which sets the signal that comes when the parent dies and becomes the command: same pid,
    no code between fork and exec. Call it from the main thread: the kernel means the parent thread."""
    who = ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--init-groups"] if user else []
    return subprocess.Popen(["setpriv", *who, "--pdeathsig", death, "--", *map(str, command)], **kw)


class Lines:
    """Reads a stream in the background and keeps its lines; wait_for() looks from where the last one was found."""

    def __init__(self, stream):
        self.all, self.closed = [], False
        self.changed = threading.Condition()
        self.fresh = collections.deque()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            with self.changed:
                self.all.append(line)
                self.fresh.append(line)
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def wait_for(self, wanted, timeout):
        """The first new line for which wanted(line) holds; None when the stream ended or time is up."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                while self.fresh:
                    line = self.fresh.popleft()
                    if wanted(line):
                        return line
                left = deadline - time.monotonic()
                if self.closed or left <= 0:
                    return None
                self.changed.wait(left)

    def wait_closed(self, timeout):
        self.thread.join(timeout)
        return self.closed
