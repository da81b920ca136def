#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""asyncio tasks that wait in known coroutines, and some that do not wait; prints what each awaits, innermost first.

tasks.py [N]: for CPython 3.8 and later; N more tasks that sleep. Prints a line of JSON when all are where they stay:
{"event": "ready", "tasks": {address: {"name", "awaits", "tid", "frames": [[function, file, line], ...]}},
"running": address, "done": [address, ...]}. A second loop, in a thread, is in a task that sleeps without giving way.
"""
import asyncio
import gc
import inspect
import json
import os
import sys
import threading
import time
import types

QUALIFIED = sys.version_info >= (3, 11)
KEPT = []  # what nobody else would keep


async def sleeps():
    await asyncio.sleep(3600)


async def waits_event():
    await asyncio.Event().wait()


async def gathers():
    await asyncio.gather(sleeps(), asyncio.get_running_loop().create_future())


async def awaits_task():
    task = asyncio.ensure_future(waits_event())
    KEPT.append(task)
    await task


async def waits_for():
    await asyncio.wait_for(asyncio.Event().wait(), 3600)


async def queue():
    await asyncio.Queue().get()


async def locks():
    lock = asyncio.Lock()
    async with lock:
        async with lock:
            pass


async def shields():
    await asyncio.shield(asyncio.get_running_loop().create_future())


async def produce():
    yield 1
    await asyncio.sleep(3600)
    yield 2


async def consumes():
    async for _ in produce():
        pass


class Awaitable:
    def __await__(self):
        return sleeps().__await__()


class Generating:
    def __await__(self):
        kept = [1, 2]
        for _ in kept:
            yield from asyncio.get_running_loop().create_future()


async def awaitable():
    await Awaitable()


async def generating():
    await Generating()


@types.coroutine
def old_style():
    yield from asyncio.get_running_loop().create_future()


async def awaits_old():
    await old_style()


async def deep(n):
    if n:
        return await deep(
            n - 1)
    await asyncio.sleep(3600)


async def nested_names():
    async def größe(x):
        await asyncio.sleep(x)
    await größe(3600)


async def ends():
    return 1


async def fails():
    raise ValueError


class Own(asyncio.Task):
    pass


class OwnAgain(Own):
    pass


def code_name(code):
    return code.co_qualname if QUALIFIED else code.co_name


def frame_row(frame):
    return [code_name(frame.f_code), frame.f_code.co_filename, frame.f_lineno]


def referent(thing, kind):
    """What an object that stands for another leads to."""
    return next(x for x in gc.get_referents(thing) if kind(x))


def walk(coro):
    """(frames, type of the object at the end of the chain), by what the objects say of themselves."""
    frames, thing = [], coro
    while thing is not None:
        if inspect.iscoroutine(thing):
            frame, after = thing.cr_frame, thing.cr_await
        elif inspect.isasyncgen(thing):
            frame, after = thing.ag_frame, thing.ag_await
        elif inspect.isgenerator(thing):
            frame, after = thing.gi_frame, thing.gi_yieldfrom
        elif type(thing).__name__ == "coroutine_wrapper":
            frame, after = None, referent(thing, inspect.iscoroutine)
        elif type(thing).__name__ == "async_generator_asend":
            frame, after = None, referent(thing, inspect.isasyncgen)
        elif type(thing).__name__ == "FutureIter":
            return frames[::-1], type(referent(thing, asyncio.isfuture)).__name__
        else:
            return frames[::-1], type(thing).__name__
        if frame:
            frames.append(frame_row(frame))
        thing = after
    return frames[::-1], ""


def truth(task, tid):
    frames, awaits = walk(task.get_coro())
    return {"name": task.get_name(), "awaits": awaits, "tid": tid, "frames": frames}


def native():
    return threading.get_native_id()


class Blocked:
    """A loop of its own thread, in a task that does not give way; beside it one that waits and one that never began."""

    def __init__(self):
        self.ready = threading.Event()
        self.thread = threading.Thread(target=asyncio.run, args=(self.main(),), daemon=True)
        self.thread.start()
        self.ready.wait()

    def blocks(self):
        self.here = sys._getframe(); self.ready.set(); time.sleep(3600)  # noqa: E702, one line, as its frame has it

    async def inner(self):
        self.blocks()

    async def main(self):
        self.tid, self.running = native(), asyncio.current_task()
        self.others = [asyncio.ensure_future(sleeps()), asyncio.ensure_future(self.inner())]
        await asyncio.sleep(0.001)
        await asyncio.sleep(3600)

    def tell(self):
        """The one that runs has its thread's frames, out to its own coroutine."""
        out = {id(self.running): truth(self.running, self.tid), id(self.others[0]): truth(self.others[0], self.tid)}
        task, frames, frame = self.others[1], [], self.here
        while True:
            frames.append(frame_row(frame))
            if frame is task.get_coro().cr_frame:
                break
            frame = frame.f_back
        out[id(task)] = {"name": task.get_name(), "awaits": "", "tid": self.tid, "frames": frames}
        return id(task), out


def say(loop, done):
    blocked = Blocked()
    running, tasks = blocked.tell()
    KEPT.append(blocked)
    for task in asyncio.all_tasks(loop):
        tasks[id(task)] = truth(task, os.getpid())
    print(json.dumps({"event": "ready", "tasks": {str(k): v for k, v in tasks.items()}, "running": str(running),
                      "done": [str(id(t)) for t in done]}), flush=True)


async def main(n):
    loop = asyncio.get_running_loop()
    chains = [sleeps(), waits_event(), gathers(), awaits_task(), waits_for(), queue(), locks(), shields(), consumes(),
              awaitable(), generating(), awaits_old(), deep(30), nested_names(), *(sleeps() for _ in range(n))]
    tasks = [loop.create_task(c) for c in chains]
    tasks += [Own(sleeps(), loop=loop), OwnAgain(deep(2), loop=loop)]
    tasks[0].set_name("größe 函数\n")
    done = [loop.create_task(ends()), loop.create_task(fails()), loop.create_task(sleeps())]
    if sys.version_info >= (3, 12):
        tasks.append(asyncio.eager_task_factory(loop, deep(1)))
        done.append(asyncio.eager_task_factory(loop, ends()))
    KEPT.extend(tasks + done)
    await asyncio.sleep(0.01)
    done[2].cancel()
    await asyncio.gather(*done, return_exceptions=True)
    loop.call_later(0.05, say, loop, done)
    await asyncio.sleep(3600)


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
