#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A runner that says of each turn that it is over: a line on stdout, a line in a JSONL file, and then a pause.

Conversations take turns, one at a time. After its calls a turn prints `turn N of session S done` and appends
{"session_id", "turn_index", "role", "text"} to --log; --pause MS follows. With --quiet it prints no such line. Truth as
truth.py has it, session being what the lines say, and t_logged around both lines. On stdin a line starts it. A turn
makes --calls LLM calls, about the same message.
"""
import argparse
import json
import os
import time

from clients import Llm, Memory, add_arguments
from truth import Turn, prompt, ready, say


class Runner:
    def __init__(self, args):
        self.args, self.memory = args, Memory(args).open()
        self.llm = Llm(args.llm, args.ca)
        self.log = open(args.log, "a", buffering=1) if args.log else None
        self.messages = {n: [] for n in range(args.sessions)}

    def turn(self, number, index):
        name, messages = f"talk-{number}", self.messages[number]
        turn = Turn(name, index)
        self.memory.recall(turn, name)
        messages.append({"role": "user", "content": prompt(number, index)})
        for _ in range(self.args.calls):
            answer = self.llm.chat(turn, messages, plan=self.args.plan)
        messages.append(answer)
        self.memory.remember(turn, name, answer["content"])
        before = time.monotonic_ns()
        if self.log:
            self.log.write(json.dumps({"session_id": name, "turn_index": index, "role": "user",
                                       "text": answer["content"]}) + "\n")
        if not self.args.quiet:
            os.write(1, f"turn {index} of session {name} done\n".encode())
        after = time.monotonic_ns()
        time.sleep(self.args.pause / 1000)
        turn.end(t_logged=[before, after], t_paused=time.monotonic_ns())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(p)
    p.add_argument("--log", metavar="FILE")
    p.add_argument("--sessions", type=int, default=3)
    p.add_argument("--turns", type=int, default=4)
    p.add_argument("--calls", type=int, default=1)
    p.add_argument("--pause", type=float, default=0, help="ms after each turn")
    p.add_argument("--quiet", action="store_true")
    args = p.parse_args()
    runner = Runner(args)
    ready()
    for index in range(args.turns):
        for number in range(args.sessions):
            runner.turn(number, index)
    say(event="end")


if __name__ == "__main__":
    main()
