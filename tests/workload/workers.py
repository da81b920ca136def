#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Worker processes (multiprocessing, spawned or forked), each with conversations of its own; the parent collects.

A worker's truth comes from the worker (truth.py); the parent says {"event": "collected", "worker", "answers"} for each.
On stdin a line starts it.
"""
import argparse
import multiprocessing
import os

from clients import Llm, Memory, add_arguments
from truth import Turn, prompt, ready, say


def work(args, worker, results):
    """Two conversations, turn about."""
    memory, llm = Memory(args).open(), Llm(args.llm, args.ca, client="requests")
    talks = {n: [] for n in range(worker * args.sessions, (worker + 1) * args.sessions)}
    answers = 0
    for index in range(args.turns):
        for number, messages in talks.items():
            turn = Turn(number, index, worker=worker)
            memory.recall(turn, number)
            messages.append({"role": "user", "content": prompt(number, index)})
            messages.append(llm.chat(turn, messages, plan=args.plan))
            memory.remember(turn, number, messages[-1]["content"])
            turn.end()
            answers += 1
    results.put((worker, os.getpid(), answers))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(p)
    p.add_argument("--start", choices=("spawn", "fork"), default="spawn")
    p.add_argument("--workers", type=int, default=4)
    p.add_argument("--sessions", type=int, default=2, help="a worker")
    p.add_argument("--turns", type=int, default=3)
    args = p.parse_args()
    context = multiprocessing.get_context(args.start)
    ready()
    results = context.Queue()
    workers = [context.Process(target=work, args=(args, n, results)) for n in range(args.workers)]
    for w in workers:
        w.start()
    for _ in workers:
        worker, pid, answers = results.get()
        say(event="collected", worker=worker, pid=pid, answers=answers)
    for w in workers:
        w.join()
    say(event="end", failed=sum(w.exitcode != 0 for w in workers))


if __name__ == "__main__":
    main()
