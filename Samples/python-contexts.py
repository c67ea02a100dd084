"""Allocates in deep recursion, generators, coroutines, exception handlers, traced functions and subinterpreters.

    python-contexts.py    writes "ready", what should be in use at which line as JSON, and waits for a line
"""

import asyncio
import gc
import importlib
import json
import sys
import threading

SIZE = 1000
kept = []
expected = []


def define(file, text):
    """What a file of this name and text defines; `keep(x * SIZE)` in it keeps a block and allocates nothing else."""
    names = {"keep": kept.append, "x": b"x", "SIZE": SIZE, "asyncio": asyncio}
    exec(compile(text, file, "exec"), names)
    return names


def expect(file, line, blocks):
    number_of_bytes = blocks * sys.getsizeof(b"x" * SIZE)
    expected.append({"file": file, "line": line, "blocks": blocks, "bytes": number_of_bytes, "domains": "object"})


RECURSION = """def recur(n):
    if n:
        {}
    else:
        keep(x * SIZE)
    if n % 10 == 0:
        keep(x * SIZE)
"""


def recursion():
    sys.setrecursionlimit(5000)
    for file, call, depth in ("<deep>", "recur(n - 1)", 2000), ("<through C>", "list(map(recur, [n - 1]))", 150):
        define(file, RECURSION.format(call))["recur"](depth)
        expect(file, 5, 1)
        expect(file, 7, depth // 10 + 1)


GENERATOR = """def generate(n):
    for i in range(n):
        keep(x * SIZE)
        yield i
        keep(x * SIZE)
"""


def generators():
    """Begun by one thread, continued by another and in turn."""
    alive = [define(f"<generator {i}>", GENERATOR)["generate"](50) for i in range(5)]

    def turns():
        for _ in range(20):
            for one in alive:
                next(one)

    turns()
    thread = threading.Thread(target=turns)
    thread.start()
    thread.join()
    for i, one in enumerate(alive):
        list(one)
        expect(f"<generator {i}>", 3, 50)
        expect(f"<generator {i}>", 5, 50)


COROUTINE = """async def coroutine(n):
    await asyncio.sleep(0)
    keep(x * SIZE)
    if n:
        await coroutine(n - 1)
    keep(x * SIZE)
"""


def coroutines():
    async def main():
        coroutine = define("<coroutine>", COROUTINE)["coroutine"]
        await asyncio.gather(*[coroutine(10) for _ in range(10)])

    asyncio.run(main())
    expect("<coroutine>", 3, 110)
    expect("<coroutine>", 6, 110)


EXCEPTION = """def fail(n):
    try:
        if n == 0: raise ValueError
        fail(n - 1)
    except ValueError:
        keep(x * SIZE)
        raise
"""


def exceptions():
    try:
        define("<exception>", EXCEPTION)["fail"](300)
    except ValueError:
        pass
    expect("<exception>", 6, 301)


TRACED = """def traced():
    keep(x * SIZE)
    x
    keep(x * SIZE)
"""


def tracing():
    def trace(*_):
        bytearray(SIZE)
        return trace

    traced = define("<traced>", TRACED)["traced"]
    for set_trace in sys.settrace, sys.setprofile:
        set_trace(trace)
        traced()
        set_trace(None)
    expect("<traced>", 2, 2)
    expect("<traced>", 4, 2)


SUBINTERPRETER = """
names = {"x": b"x", "SIZE": 1000}
code = "kept = []" + 3 * chr(10) + "for i in range(100): kept.append(x * SIZE)"
exec(compile(code, "<subinterpreter>", "exec"), names)
"""


def subinterpreters():
    for name in "_interpreters", "_xxsubinterpreters":
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        interpreter = module.create()
        module.run_string(interpreter, SUBINTERPRETER)
        kept.append(interpreter)
        expect("<subinterpreter>", 4, 100)
        return


recursion()
generators()
coroutines()
exceptions()
tracing()
subinterpreters()
gc.collect()
print("ready", flush=True)
print(json.dumps(expected), flush=True)
input()
