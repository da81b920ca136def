#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A benchmark runner built like GoodAI's: sync, one thread, a master log of what was said, a clock that jumps.

Several tests interleave. A turn is one reply of the agent: in this process (reads, the LLM, writes), or behind --agent
URL, a server (agent_server.py) that gets POST /run_turn. Only after the reply are both of its lines appended to
DIR/data/tests/RUN/results/AGENT/master_log.jsonl, each by a file opened for it. Between tests come fill turns
without a test, some with a supplied reply that no agent is asked for; waits, in which the clock jumps; and evaluations,
LLM calls of the runner's own. runstats.json is written anew after every action.

Truth: truth.py's lines; `turn` has also t_logged (before, after its lines were written), fill, supplied, `key` (how the
agent knows the conversation), t_sent and t_received around what it asked a server; `aside` is an evaluation.
With --parallel N, N such runs, each on a thread, with its own directory and tests. With --gate it stops after the last
action, at `gate`, until a line comes on stdin.
"""
import argparse
import contextlib
import itertools
import json
import os
import random
import sys
import threading
import time

from clients import Llm, Memory, add_arguments
from truth import Turn, prompt, ready, say

SEND_MESSAGE, BEGIN, END, SEND_FILL, RESPONSE_MESSAGE, RESPONSE_FILL, WAIT, SUITE_RESET, LLM_CALL = range(9)
GREEN, PLAIN = "\033[92m", "\033[0m"
HISTORY = 12  # messages the agent sends along


class Clock:
    """What time.time() tells, as time_machine has it: it goes on, and jumps ahead."""
    real, ahead = time.time, 0.0

    @classmethod
    def install(cls):
        time.time = lambda: cls.real() + cls.ahead

    @classmethod
    def jump(cls, seconds):
        cls.ahead += seconds


class Agent:
    """In this process: its memory, one conversation with the LLM for everything it is told."""

    def __init__(self, args):
        self.args, self.history = args, []
        self.memory, self.llm = Memory(args).open(), Llm(args.llm, args.ca)

    def reply(self, turn, message, key):
        self.memory.recall(turn, key)
        self.history = self.history[-HISTORY:] + [{"role": "user", "content": message}]
        answer = self.llm.chat(turn, self.history, plan=self.args.plan)
        if turn.index % 2:  # now and then it asks itself what to keep
            self.llm.chat(turn, self.history + [answer, {"role": "system", "content": "what to keep?"}],
                          plan=self.args.plan)
        self.history.append({"role": "assistant", "content": answer["content"]})
        self.memory.remember(turn, key, message)
        return answer["content"]


class RemoteAgent:
    """Behind a server. What it did there is that server's truth."""

    def __init__(self, args):
        import requests
        self.session, self.url, self.history = requests.Session(), args.agent + "/run_turn", {}

    def reply(self, turn, message, key):
        history = self.history.setdefault(key, [])
        body = {"conversation_history": history, "current_message": message, "session_id": key,
                "turn_number": turn.index, "agent_type": "full"}
        turn.more["t_sent"] = time.monotonic_ns()
        response = self.session.post(self.url, json=body).json()["response"]
        turn.more["t_received"] = time.monotonic_ns()
        history += [{"role": "user", "content": message}, {"role": "assistant", "content": response}]
        return response


class Run:
    def __init__(self, args, number):
        self.args, self.number, self.dice = args, number, random.Random(number)
        self.agent = RemoteAgent(args) if args.agent else Agent(args)
        self.judge = Llm(args.llm, args.ca)
        self.directory = os.path.join(args.directory, "data", "tests", f"run{number}", "results", "agent")
        os.makedirs(self.directory, exist_ok=True)
        self.counts, self.asked = {}, itertools.count()

    # what it writes

    def log(self, kind, test, **data):
        line = json.dumps({"type": kind, "timestamp": time.time(), "test_id": test, "data": data})
        with open(os.path.join(self.directory, "master_log.jsonl"), "a") as f:
            f.write(line + "\n")

    def stats(self):
        numbers = {"total_tokens": next(self.asked), "agent_tokens": 0, "agent_costs_usd": 0.0,
                   "managing_costs_usd": 0.0, "duration": time.time(), "rnd_state": list(self.dice.getstate()[1])}
        with open(os.path.join(self.directory, "runstats.json"), "w") as f:
            json.dump(numbers, f)

    # what it does

    def begin(self, test):
        self.log(BEGIN, test, tokens=0)

    def turn(self, test, message, fill=False, question=False, supplied=None):
        index = self.counts.get(test, 0)
        self.counts[test] = index + 1
        key = test or f"fill{self.number}"
        turn = Turn(test, index, fill=fill, supplied=supplied is not None, key=key)
        answer = supplied if supplied is not None else self.agent.reply(turn, message, key)
        before = time.monotonic_ns()
        self.log(SEND_FILL if fill else SEND_MESSAGE, test, message=message, is_question=question)
        self.log(RESPONSE_FILL if fill else RESPONSE_MESSAGE, test, message=answer)
        turn.end(t_logged=[before, time.monotonic_ns()])

    def fill(self, supplied=None):
        self.turn("", prompt(40 + self.number, self.counts.get("", 0)), fill=True, supplied=supplied)

    def wait(self, test, seconds):
        Clock.jump(seconds)
        self.log(WAIT, test, tokens=0, time=seconds)

    def evaluate(self, test):
        """The test asks an LLM of its own whether the answer was right."""
        aside = Turn(test, 0)
        answer = self.judge.chat(aside, [{"role": "user", "content": f"is it right? {test}"}], plan=self.args.plan)
        self.log(LLM_CALL, test, message="is it right?", response=answer["content"])
        say(**dict(aside.line(), event="aside"))

    def end(self, test):
        self.log(END, test)

    def actions(self):
        """Tests interleave: who is next is a matter of luck, the same in every run."""
        tests = {f"{self.number:02d}_{kind}_{n}": n for n, kind in
                 zip(range(self.args.tests), itertools.cycle(("colours", "trigger", "shopping", "jokes")))}
        left = {test: self.args.turns for test in tests}
        while left:
            test = self.dice.choice(sorted(left))
            if left[test] == self.args.turns:
                yield self.begin, test
            left[test] -= 1
            yield self.turn, test, prompt(10 * self.number + tests[test], left[test]), False, not left[test]
            if self.dice.random() < 0.3:
                yield self.fill, None if self.dice.random() < 0.5 else "got it"
            if self.dice.random() < 0.3:
                yield self.wait, test, 3600 * self.dice.random()
            if not left[test]:
                del left[test]
                yield self.evaluate, test
                yield self.end, test
                yield self.finished, len(tests) - len(left), len(tests)

    def finished(self, done, total):
        self.tell(f"{GREEN}{done} of {total} tests finished.{PLAIN}")

    def tell(self, line):
        """In one write, for there may be several of us."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def go(self):
        self.tell(f"Number of tests to run: {self.args.tests}.")
        for action, *arguments in self.actions():
            action(*arguments)
            self.stats()
            if self.args.pause:
                time.sleep(self.args.pause / 1000)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(p)
    p.add_argument("--directory", required=True, help="where data/ goes")
    p.add_argument("--agent", metavar="URL", help="the agent is a server there")
    p.add_argument("--tests", type=int, default=4)
    p.add_argument("--turns", type=int, default=3, help="a test")
    p.add_argument("--parallel", type=int, default=1)
    p.add_argument("--pause", type=float, default=0, help="ms between actions")
    p.add_argument("--gate", action="store_true")
    args = p.parse_args()
    runs = [Run(args, n) for n in range(args.parallel)]
    ready()
    Clock.install()
    threads = [threading.Thread(target=run.go) for run in runs[1:]]
    for t in threads:
        t.start()
    runs[0].go()
    for t in threads:
        t.join()
    if args.gate:
        say(event="gate", directory=runs[0].directory)
        with contextlib.suppress(EOFError):
            input()
    for run in runs:
        run.stats()
    say(event="end")


if __name__ == "__main__":
    main()
