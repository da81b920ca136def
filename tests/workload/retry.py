#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""An LLM that refuses, and a runner that tries again: as an SDK does, or in a loop of its own.

  sdk    up to --retries further attempts, each with x-stainless-retry-count, after what Retry-After says
  loop   the SDK tries once; the runner itself sleeps and asks the same again, without any header that says so
  both   an SDK that gives up after its retries, in a runner that then begins anew with the same message

Each turn of the one conversation takes the next of --faults (FAULT/FAULT/..., llm_server.py's, `none` for none), each
so often as the LLM server says. Truth as truth.py has it; `gaps`: how long it slept before each retry, ms. On stdin a
line starts it.
"""
import argparse
import time

from clients import CLIENTS, Ask, Llm, Memory, add_arguments, retryable
from truth import NS_MS, Turn, prompt, ready, say


class Runner:
    def __init__(self, args):
        self.args, self.memory, self.messages = args, Memory(args).open(), []
        self.llm = Llm(args.llm, args.ca, client=args.client, retries=0 if args.who == "loop" else args.retries)

    def ask(self, turn, plan):
        """The answer, None when every attempt was used up."""
        if self.args.who == "sdk":
            return self.llm.chat(turn, self.messages, plan=plan)
        for attempt in range(self.args.loops):
            if self.args.who == "both":
                answer, status = self.chat_anew(turn, plan, attempt)
            else:
                answer, status, _ = self.llm.once(Ask(turn, self.messages, plan=plan, sdk=False, again=attempt > 0))
            if answer or not retryable(status) or attempt == self.args.loops - 1:
                return answer
            with turn.span("sleep"):
                time.sleep(self.args.sleep)
        return None

    def chat_anew(self, turn, plan, attempt):
        """A call of the SDK that is itself a retry of the runner's: it counts from 0 again."""
        answer = self.llm.chat(turn, self.messages, plan=plan, again=attempt > 0)
        return answer, turn.http

    def turn(self, index, fault):
        turn = Turn(0, index, fault=fault)
        self.memory.recall(turn, 0)
        self.messages.append({"role": "user", "content": prompt(0, index)})
        plan = ",".join(filter(None, [self.args.plan, f"fault={fault}" if fault != "none" else ""]))
        answer = self.ask(turn, plan)
        self.messages.append(answer or {"role": "assistant", "content": "no answer"})
        self.memory.remember(turn, 0, self.messages[-1]["content"])
        turn.end(gaps=[(b - a) / NS_MS for a, b in turn.spans["sleep"]])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(p)
    p.add_argument("who", choices=("sdk", "loop", "both"))
    p.add_argument("--faults", default="429:3/none/503:2/429+drop+500")
    p.add_argument("--retries", type=int, default=3, help="of the SDK")
    p.add_argument("--loops", type=int, default=4, help="attempts of the runner's own")
    p.add_argument("--sleep", type=float, default=0.15, help="between these, s")
    p.add_argument("--client", choices=CLIENTS, default="httpx")
    args = p.parse_args()
    runner = Runner(args)
    ready()
    for index, fault in enumerate(args.faults.split("/")):
        runner.turn(index, fault)
    say(event="end")


if __name__ == "__main__":
    main()
