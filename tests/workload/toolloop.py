#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""An agent that goes round a graph: the LLM asks for tools, they run, their results go back, up to four rounds a turn.

Tools: a lookup in the stores, and a program (a child process). In a round the LLM asks for one or two of them. Turn i
of a conversation takes 1 + i % 4 rounds. Conversations come one after the other, or with --interleave turn by turn.
Truth as truth.py has it, and `rounds`. On stdin a line starts it.
"""
import argparse
import subprocess

from clients import Llm, Memory, add_arguments
from truth import Turn, prompt, ready, say


class Conversation:
    def __init__(self, run, number):
        self.run, self.number, self.messages = run, number, []

    def tool(self, turn, nth):
        if nth % 2:
            return subprocess.run(["/bin/echo", "found it"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.run.memory.recall(turn, self.number)
        return "remembered"

    def turn(self, index):
        turn, rounds, asks = Turn(self.number, index), 1 + index % 4, 1 + index % 2
        self.run.memory.recall(turn, self.number)
        self.messages.append({"role": "user", "content": prompt(self.number, index)})
        plan = ",".join(filter(None, [self.run.args.plan, f"tools={rounds},asks={asks}"]))
        nth = 0
        while True:
            answer = self.run.llm.chat(turn, self.messages, plan=plan, tools=True)
            self.messages.append(answer)
            if not answer.get("tool_calls"):
                break
            for call in answer["tool_calls"]:
                nth += 1
                self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": self.tool(turn, nth)})
        self.run.memory.remember(turn, self.number, answer["content"])
        turn.end(rounds=rounds)


class Run:
    def __init__(self, args):
        self.args, self.memory, self.llm = args, Memory(args).open(), Llm(args.llm, args.ca)

    def go(self):
        all_of = [Conversation(self, n) for n in range(self.args.sessions)]
        order = [(c, i) for c in all_of for i in range(self.args.turns)]
        if self.args.interleave:
            order.sort(key=lambda x: x[1])
        for conversation, index in order:
            conversation.turn(index)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(p)
    p.add_argument("--sessions", type=int, default=3)
    p.add_argument("--turns", type=int, default=4)
    p.add_argument("--interleave", action="store_true")
    args = p.parse_args()
    run = Run(args)
    ready()
    run.go()
    say(event="end")


if __name__ == "__main__":
    main()
