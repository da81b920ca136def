#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Conversations on a pool of threads: each turn is a job of its own, so that conversations move between threads.

Truth as truth.py has it; `tid` is the thread that did the turn. On stdin a line starts it.
"""
import argparse
import concurrent.futures

from clients import Llm, Memory, add_arguments
from truth import Turn, prompt, ready, say


class Conversation:
    def __init__(self, run, number):
        self.run, self.number, self.messages = run, number, []

    def turn(self, index):
        turn = Turn(self.number, index)
        self.run.memory.recall(turn, self.number)
        self.messages.append({"role": "user", "content": prompt(self.number, index)})
        answer = self.run.llm.chat(turn, self.messages, plan=self.run.args.plan)
        self.messages.append(answer)
        self.run.memory.remember(turn, self.number, answer["content"])
        turn.end()


class Run:
    def __init__(self, args):
        self.args, self.memory, self.llm = args, Memory(args), Llm(args.llm, args.ca, client="httpx")

    def go(self):
        conversations = {n: Conversation(self, n) for n in range(self.args.sessions)}
        with concurrent.futures.ThreadPoolExecutor(self.args.threads, initializer=self.memory.open) as pool:
            jobs = {pool.submit(c.turn, 0): (c, 0) for c in conversations.values()}
            while jobs:
                done, _ = concurrent.futures.wait(jobs, return_when=concurrent.futures.FIRST_COMPLETED)
                for job in done:
                    job.result()
                    conversation, index = jobs.pop(job)
                    if index + 1 < self.args.turns:
                        jobs[pool.submit(conversation.turn, index + 1)] = (conversation, index + 1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(p)
    p.add_argument("--threads", type=int, default=8)
    p.add_argument("--sessions", type=int, default=12)
    p.add_argument("--turns", type=int, default=4)
    args = p.parse_args()
    run = Run(args)
    ready()
    run.go()
    say(event="end")


if __name__ == "__main__":
    main()
