#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The demo: a runner that knows nothing of whystuck, watched twice; once it works, once it hangs. See scripts/demo.

Ends with 0 only if what was promised was seen: every turn, the runner's own times, the right verdict, a target unharmed.
"""
import contextlib
import fcntl
import itertools
import json
import os
import pty
import shutil
import signal
import struct
import sys
import termios
import textwrap
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "live"))

import harness  # noqa: E402
from children import popen  # noqa: E402

STUCK_MINUTES = 0.05
BEFORE, TURNS = 2, 6  # turns done when whystuck comes, and those it sees
# Words that trickle in, as a model's do: a second or so for each reply.
PLAN = "latency=350,words=40,chunks=14,spacing=35"
API = "openai-stream"


class Broken(Exception):
    """The demo did not show what it promises."""


# ---------------------------------------------------------------- on the screen

class Screen:
    def __init__(self):
        self.colour = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ
        self.width = min(shutil.get_terminal_size((100, 24)).columns, 110)
        self.steps = 0

    def style(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def step(self, text):
        self.steps += 1
        lines = textwrap.wrap(f"[{self.steps}] {text}", self.width - 2, subsequent_indent="    ")
        print("\n" + "\n".join(self.style("1", line) for line in lines), flush=True)

    def line(self, text=""):
        print("    " + text if text else "", flush=True)

    def command(self, words):
        """Fit to be copied: broken with backslashes."""
        text = " ".join(words).replace(" -", "\n-").replace(" ", "\xa0").replace("\n", " ")  # an option keeps its value
        lines = textwrap.wrap("$\xa0sudo\xa0whystuck\xa0" + text, self.width - 8, subsequent_indent="      ",
                              break_long_words=False, break_on_hyphens=False)
        for i, line in enumerate(lines):
            self.line(self.style("36", line.replace("\xa0", " ") + (" \\" if i + 1 < len(lines) else "")))
        self.line()

    def fact(self, name, text):
        """A name and a text that wraps beside it."""
        lines = textwrap.wrap(text, max(40, self.width - 20), break_long_words=False, break_on_hyphens=False) or ["-"]
        for i, line in enumerate(lines):
            self.line(f"{name if i == 0 else '':<15} {line}")

    def checked(self, text):
        self.line(self.style("32", "ok") + " " + text)


# ---------------------------------------------------------------- whystuck, with its bar

class Watch:
    """`whystuck watch` writing to this terminal; what it writes is read on the way, to know when it is attached."""

    def __init__(self, arguments):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAS_BENCH_", "LOG_LEVEL"))}
        self.bar = sys.stdout.isatty()
        if self.bar:
            self.end, theirs = pty.openpty()
            self.set_size(theirs)
        else:
            self.end, theirs = os.pipe()
        self.p = popen([harness.require(), "watch", *arguments], "INT", env=clean, stdin=theirs if self.bar else None,
                       stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.attached = threading.Event()
        self.thread = threading.Thread(target=self.pass_on, daemon=True)
        self.thread.start()

    def set_size(self, fd):
        size = os.get_terminal_size(sys.stdout.fileno())
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size.lines, size.columns, 0, 0))

    def pass_on(self):
        seen = b""
        with contextlib.suppress(OSError):  # a terminal whose other end closed says EIO
            while data := os.read(self.end, 65536):
                os.write(1, data)
                seen = (seen + data)[-4096:]
                if b"attached to" in seen:
                    self.attached.set()
        self.attached.set()

    def wait_attached(self):
        if not self.attached.wait(harness.ATTACH_S) or self.p.poll() is not None:
            raise Broken("whystuck did not attach, its reason is above")

    def wait(self):
        status = self.p.wait(harness.EXIT_S)
        self.thread.join(5)
        return status

    def stop(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGINT)
            try:
                self.p.wait(5)
            except harness.subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.thread.join(2)


def output_folder():
    """Of the user behind sudo, as all that whystuck writes."""
    for n in itertools.count(1):
        path = os.path.abspath(f"whystuck-demo-{n}")
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
            break
    with contextlib.suppress(KeyError, ValueError):
        os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
    return path


def promise(condition, what):
    if not condition:
        raise Broken(what)


def short(path):
    return os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path


# ---------------------------------------------------------------- the two runs

class Demo:
    def __init__(self, stack, screen):
        self.stack, self.screen = stack, screen
        self.folder = output_folder()

    def started(self, process):
        self.stack.callback(process.stop)
        return process

    def start_services(self):
        s = self.screen
        s.step("An LLM stand-in (HTTPS, its own CA), a real Redis and a real PostgreSQL, all on private ports")
        self.stores = self.stack.enter_context(harness.Stores())
        self.server = self.started(harness.LlmServer(PLAN))
        s.line(f"LLM {self.server.endpoint}   L1 = redis 127.0.0.1:{self.stores.redis_port}   "
               f"L2 = postgres 127.0.0.1:{self.stores.pg_port}")

    def runner(self, *arguments):
        return self.started(harness.Runner(*self.server.arguments(), *self.stores.arguments(), "--api", API,
                                           *arguments))

    def watch(self, runner, name, *options):
        s, directory = self.screen, os.path.join(self.folder, name)
        words = [str(runner.pid), *options, "--storage", f"L1=127.0.0.1:{self.stores.redis_port}", "--storage",
                 f"L2=127.0.0.1:{self.stores.pg_port}", "-o", short(directory)]
        s.command(["watch", *words])
        observer = self.started(Watch(words))
        observer.wait_attached()
        return observer, directory

    def healthy(self):
        s = self.screen
        s.step(f"A runner at work: it has done {BEFORE} turns, {TURNS} are to come. Each reads both stores, asks the LLM "
               "and a tool, writes both")
        runner = self.runner("--turns", str(BEFORE + TURNS), "--tools", "1", "--think", "60", "--gate",
                             f"turn:{BEFORE}")
        runner.wait_event("gate", name=f"turn:{BEFORE}")
        s.line(f"pid {runner.pid}; it knows nothing of whystuck, and nothing is restarted")
        s.step("Attaching to it from outside")
        observer, directory = self.watch(runner, "run", "--total", str(TURNS))
        runner.say()
        promise(runner.wait(harness.TURNS_S) == 0, "the runner failed")
        promise(observer.wait() == 0, "whystuck did not end with status 0")
        self.show_turns(directory, runner.turns()[BEFORE:])

    def show_turns(self, directory, truth):
        s, path = self.screen, os.path.join(directory, "turn_metrics.jsonl")
        turns = harness.read_turns(path)
        s.step(f"Where each turn's time went, in ms: {short(path)}")
        s.line(s.style("1", f"{'turn':>4} {'started (UTC)':<13} {'wall':>8} {'LLM':>8} {'L1':>6} {'L2':>6} {'own':>7} "
                            f"{'1st token':>9} {'tokens in/out':>14}  status"))
        for t in turns:
            stores = {name: x["ms"] for name, x in t["storage"].items()}
            s.line(f"{t['turn_index']:>4} {t['timestamp'][11:23]:<13} {t['wall_ms']:>8.1f} {t['llm_ms']:>8.1f} "
                   f"{stores.get('L1', 0):>6.1f} {stores.get('L2', 0):>6.1f} {t['orchestration_ms']:>7.1f} "
                   f"{t['ttft_ms'] or 0:>9.1f} {str(t['tokens_in']) + ' / ' + str(t['tokens_out']):>14}  {t['status']}")
        s.line()
        with open(os.path.join(directory, "runstats.json"), encoding="utf-8") as f:
            summary = json.load(f)["turn_metrics_summary"]
        coverage = summary["coverage"]
        promise(len(turns) == len(truth) == summary["turns"] == TURNS, f"{len(turns)} of {TURNS} turns were seen")
        promise(all(t["status"] == "ok" and t["partial"] is None for t in turns), "a turn is not whole")
        promise([(t["tokens_in"], t["tokens_out"]) for t in turns] == [(t["tokens_in"], t["tokens_out"]) for t in truth],
                "tokens differ from the runner's")
        lost = sum(coverage["events_lost"].values())
        s.checked(f"{len(turns)} of {TURNS} turns, tokens as the runner counted them; {coverage['events_seen']} events, "
                  f"{lost} lost")
        apart = [abs(a["llm_ms"] - b["llm_ms"]) for a, b in zip(turns, truth)]
        s.checked(f"LLM times beside the runner's own clock: at most {max(apart):.1f} ms apart, "
                  f"{100 * max(a / t['llm_ms'] for a, t in zip(apart, truth)):.1f} %")

    def hanging(self):
        s = self.screen
        s.step(f"A second run, whose LLM takes the request of the second turn and never answers. Stuck here means "
               f"{STUCK_MINUTES * 60:g} s (by default 15 min)")
        runner = self.runner("--turns", "3", "--hang", "llm", "--hang-turn", "1", "--gate", "start")
        observer, directory = self.watch(runner, "stuck", "--total", "3", "--stuck-timeout", str(STUCK_MINUTES))
        runner.open_gate("start")
        path = os.path.join(directory, "run_error.json")
        harness.wait_until(lambda: os.path.exists(path), STUCK_MINUTES * 60 + 30, "the finding")
        s.line()
        s.line("(Ctrl-C to whystuck, not to the runner)")
        observer.p.send_signal(signal.SIGINT)
        promise(observer.wait() == harness.EXIT_STALLED, "whystuck did not end with status 3, `a stall was found`")
        with open(path, encoding="utf-8") as f:
            error = json.load(f)
        self.show_verdict(path, error)
        self.autopsy(runner)
        self.show_unharmed(runner)

    def autopsy(self, runner):
        s = self.screen
        s.step("The same for one who comes when it hangs already, and has seen nothing of what was before. (What hangs for "
               "less than 20 s it looks at until then: a slow reply looks the same)")
        s.command([str(runner.pid)])
        status, out, err = harness.tool(str(runner.pid), env={"COLUMNS": str(s.width - 4)})
        for line in (out + err).splitlines():
            s.line(line)
        s.line()
        promise(status == 3, f"whystuck {runner.pid} ended with status {status}, not 3, `is stuck`")
        promise(self.server.endpoint in out, "the server that does not answer is not named")
        s.checked("it names the server, the request, the age and the Python line, from outside and after the fact")

    def show_verdict(self, path, error):
        s, verdict = self.screen, error["verdict"]
        s.step(f"Why it is stuck, since when, will it ever wake: {short(path)}")
        s.fact("verdict", f"{verdict['kind']} ({verdict['confidence']})")
        s.fact("", verdict["summary"])
        s.fact("since", f"{verdict['since']}, {verdict['for_ms'] / 1000:.1f} s before this was written")
        wake = verdict["will_wake"]
        s.fact("will it wake", f"{wake['answer']}: {wake['why']}")
        for i, evidence in enumerate(error["causes"][0]["evidence"]):
            s.fact("" if i else "evidence", evidence)
        thread = next((t for t in error["threads"] if t["syscall"] and t["syscall"].get("endpoint")), None)
        if thread:
            call = thread["syscall"]
            s.fact("thread", f"{thread['tid']} in {call['name']}({call['args']}) from {call['endpoint']}, blocked for "
                   f"{thread['blocked_for_ms'] / 1000:.1f} s, time limit: {call['timeout_ms']}")
        turn = error["turn_in_progress"]
        s.fact("turn", f"{turn['turn_index']} of session {turn['session_id']} in progress, {turn['storage_calls']} storage "
               f"calls done, {turn['llm_calls']} LLM calls done")
        for i, step in enumerate(error["next_steps"]):
            s.line(f"{'' if i else 'next steps':<15} {step}")  # whole, to be copied
        s.line()
        promise(verdict["kind"] == "llm_no_response", f"the verdict is {verdict['kind']}, not llm_no_response")
        promise(self.server.endpoint in json.dumps(error["in_flight"]), "the hung call is not among those in flight")
        s.checked("the verdict is right: the stand-in was told to keep silent")

    def show_unharmed(self, runner):
        s = self.screen
        s.step("And the target? Still there, still waiting. Now the LLM answers")
        promise(runner.running(), "the target is gone")
        self.server.release()
        promise(runner.wait() == 0, "the target did not end well")
        promise([t["status"] for t in runner.turns()] == ["ok"] * 3, "the target lost a turn")
        s.checked(f"pid {runner.pid} went on and finished its 3 turns with status 0: being watched did it no harm")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    screen = Screen()
    try:
        harness.require()
    except harness.unittest.SkipTest as why:
        sys.exit(f"demo: cannot run here: {why}")
    demo = None
    try:
        with contextlib.ExitStack() as stack:
            demo = Demo(stack, screen)
            demo.start_services()
            demo.healthy()
            demo.hanging()
    except KeyboardInterrupt:
        status, text = 130, "interrupted; everything it started has ended"
    except (Broken, AssertionError, OSError, RuntimeError, harness.subprocess.TimeoutExpired) as why:
        status, text = 1, f"FAILED: {why}"
    else:
        status, text = 0, "done: all of it was as promised"
    print(f"\n{screen.style('1', text)}", flush=True)
    if demo:
        print(f"what whystuck wrote: {short(demo.folder)}/", flush=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
