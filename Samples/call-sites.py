"""Keeps one block of a size of its own for every kind of place that Python code can allocate at.

    call-sites.py DIRECTORY                                writes modules there, "ready", and waits for a line
    python3 -X tracemalloc=100 call-sites.py DIRECTORY expect    writes what a profiler should say, as JSON

What is expected comes from tracemalloc, with the functions' names as the interpreter has them, and has to agree with
the comments that number the sites.
"""

import asyncio
import contextlib
import functools
import json
import linecache
import re
import sys
import threading
import tracemalloc

# So far apart that whatever else is allocated at the line does not matter.
SIZE, STEP = 1_000_000, 10_000
expecting = sys.argv[2:] == ["expect"]
kept = {}
callers = {}


def keep(number, block):
    assert number not in kept
    kept[number] = block
    if expecting:
        callers[number] = []
        frame = sys._getframe(1)
        while frame:
            code = frame.f_code
            # Code objects have qualified names since 3.11.
            callers[number].append((code.co_filename, getattr(code, "co_qualname", code.co_name)))
            frame = frame.f_back
    return number


def plain():
    keep(1, bytearray(SIZE + 1 * STEP))  # site 1


def outer():
    def nested():
        keep(2, bytearray(SIZE + 2 * STEP))  # site 2

    nested()


class Class:
    keep(17, bytearray(SIZE + 17 * STEP))  # site 17

    def __init__(self):
        keep(3, bytearray(SIZE + 3 * STEP))  # site 3

    def method(self, default=keep(19, bytearray(SIZE + 19 * STEP))):  # site 19
        keep(4, bytearray(SIZE + 4 * STEP))  # site 4

    @classmethod
    def class_method(cls):
        keep(5, bytearray(SIZE + 5 * STEP))  # site 5

    @staticmethod
    def static_method():
        keep(6, bytearray(SIZE + 6 * STEP))  # site 6

    @property
    def attribute(self):
        return keep(7, bytearray(SIZE + 7 * STEP))  # site 7

    def __add__(self, other):
        return keep(27, bytearray(SIZE + 27 * STEP))  # site 27

    def __getitem__(self, index):
        return keep(28, bytearray(SIZE + 28 * STEP))  # site 28

    def __getattr__(self, name):
        return keep(41, bytearray(SIZE + 41 * STEP))  # site 41

    def __enter__(self):
        keep(20, bytearray(SIZE + 20 * STEP))  # site 20

    def __exit__(self, *error):
        keep(21, bytearray(SIZE + 21 * STEP))  # site 21

    def __iter__(self):
        return self

    def __next__(self):
        if 42 in kept:
            raise StopIteration
        return keep(42, bytearray(SIZE + 42 * STEP))  # site 42

    def __del__(self):
        if 43 not in kept:
            keep(43, bytearray(SIZE + 43 * STEP))  # site 43


class Base:
    def __init__(self):
        keep(37, bytearray(SIZE + 37 * STEP))  # site 37


class Subclass(Base):
    def __init__(self):
        super().__init__()
        keep(38, bytearray(SIZE + 38 * STEP))  # site 38


class Meta(type):
    def __new__(meta, name, bases, members):
        keep(44, bytearray(SIZE + 44 * STEP))  # site 44
        return super().__new__(meta, name, bases, members)


def comprehensions():
    [keep(9, bytearray(SIZE + 9 * STEP)) for _ in "1"]  # site 9
    {"key": keep(10, bytearray(SIZE + 10 * STEP)) for _ in "1"}  # site 10
    {keep(11, bytearray(SIZE + 11 * STEP)) for _ in "1"}  # site 11
    list(keep(13, bytearray(SIZE + 13 * STEP)) for _ in "1")  # site 13


def generator():
    keep(12, bytearray(SIZE + 12 * STEP))  # site 12
    yield 1
    keep(45, bytearray(SIZE + 45 * STEP))  # site 45


def delegating():
    yield from generator()
    keep(46, bytearray(SIZE + 46 * STEP))  # site 46


async def coroutine():
    await asyncio.sleep(0)
    keep(14, bytearray(SIZE + 14 * STEP))  # site 14


async def async_generator():
    yield 1
    await coroutine()
    keep(15, bytearray(SIZE + 15 * STEP))  # site 15


async def asynchronous():
    async for _ in async_generator():
        pass


def decorator(function):
    keep(16, bytearray(SIZE + 16 * STEP))  # site 16

    @functools.wraps(function)
    def wrapper(*arguments, **named):
        keep(18, bytearray(SIZE + 18 * STEP))  # site 18
        return function(*arguments, **named)

    return wrapper


@decorator
def decorated():
    keep(
        22,
        bytearray(  # site 22
            SIZE
            + 22 * STEP
        ),
    )


def statements():
    try:
        keep(23, bytearray(SIZE + 23 * STEP))  # site 23
        raise ValueError
    except ValueError:
        keep(24, bytearray(SIZE + 24 * STEP))  # site 24
    finally:
        keep(25, bytearray(SIZE + 25 * STEP))  # site 25
    f"{keep(26, bytearray(SIZE + 26 * STEP))}"  # site 26
    keep(*[29, bytearray(SIZE + 29 * STEP)], **{})  # site 29
    if (number := 47) and number: keep(number, bytearray(SIZE + number * STEP))  # site 47
    first, *rest = keep(48, bytearray(SIZE + 48 * STEP)), number  # site 48


def backwards():
    turns = 0
    while turns < 2:
        if turns: keep(33, bytearray(SIZE + 33 * STEP))  # site 33
        turns += 1
        if turns == 1:
            continue
        keep(
            34,
            bytearray(
                SIZE
                + 34 * STEP
            ) if turns == 3 else
            bytearray(SIZE + 34 * STEP),  # site 34
        )


def callback(value):
    keep(30, bytearray(SIZE + 30 * STEP))  # site 30
    return value


def of_a_thread():
    keep(36, bytearray(SIZE + 36 * STEP))  # site 36


@contextlib.contextmanager
def context():
    keep(49, bytearray(SIZE + 49 * STEP))  # site 49
    yield
    keep(50, bytearray(SIZE + 50 * STEP))  # site 50


# More lines than one step of a line table can have, to a place further on and back again.
FAR = """
def far_away(keep, SIZE, STEP):
    keep({}
        32, bytearray({}
            SIZE + 32 * STEP))
    while True:{}
        keep(51, bytearray(SIZE + 51 * STEP))  # site 51
        return
""".format(*["\n" * 300] * 3).replace("bytearray(", "bytearray(  # site 32", 1)
SECOND = """
from __main__ import SIZE, STEP, keep
keep({0}, bytearray(SIZE + {0} * STEP))  # site {0}
def function():
    keep({1}, bytearray(SIZE + {1} * STEP))  # site {1}
"""
EXECUTED = """
keep(35, bytearray(SIZE + 35 * STEP))  # site 35
"""


def modules(directory):
    for name, text in ("far_away", FAR), ("second", SECOND.format(39, 40)), ("größe_変数", SECOND.format(52, 53)):
        with open(f"{directory}/{name}.py", "w", encoding="utf-8") as file:
            file.write(text)
    sys.path.insert(0, directory)
    __import__("far_away").far_away(keep, SIZE, STEP)
    __import__("second").function()
    __import__("größe_変数").function()
    linecache.cache["<executed>"] = len(EXECUTED), None, EXECUTED.splitlines(True), "<executed>"
    exec(compile(EXECUTED, "<executed>", "exec"))


def everything():
    plain()
    outer()
    instance = Class()
    instance.method()
    Class.class_method()
    Class.static_method()
    instance.attribute
    (lambda: keep(8, bytearray(SIZE + 8 * STEP)))()  # site 8
    instance + 1
    instance[1]
    instance.missing
    with instance:
        pass
    for _ in instance:
        pass
    del instance
    Subclass()
    Meta("Made", (), {})
    comprehensions()
    list(delegating())
    asyncio.run(asynchronous())
    decorated()
    statements()
    backwards()
    sorted([1], key=callback)
    list(map(lambda number: keep(number, bytearray(SIZE + number * STEP)), [31]))  # site 31
    keep(54, *map(bytearray, [SIZE + 54 * STEP]))  # site 54
    keep(55, functools.partial(bytearray, SIZE + 55 * STEP)())  # site 55
    thread = threading.Thread(target=of_a_thread)
    thread.start()
    thread.join()
    with context():
        pass
    modules(sys.argv[1])


def expected(number):
    places = [(place.filename, place.lineno) for place in reversed(tracemalloc.get_object_traceback(kept[number]))]
    assert [file for file, _ in places] == [file for file, _ in callers[number]], (number, places, callers[number])
    assert re.search(rf"# site {number}\b", linecache.getline(*places[0])), (number, places[0])
    return {
        "site": number,
        "stack": [
            {"file": file, "function": function, "line": line}
            for (file, line), (_, function) in zip(places, callers[number])
        ],
    }


everything()
assert sorted(kept) == list(range(1, 56)), sorted(kept)
if expecting:
    print(json.dumps([expected(number) for number in sorted(kept)], indent=1))
else:
    print("ready", flush=True)
    input()
