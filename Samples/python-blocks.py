"""Keeps blocks of known sizes at known lines, and frees others.

    python-blocks.py    writes "ready", what should be in use at which line as JSON, and waits for a line

Sizes are sys.getsizeof()'s: it counts what precedes an object for the garbage collector, and a list's array and a
dict's keys, which are blocks of their own.
"""

import ctypes
import gc
import json
import sys

COUNT = 1000
NUMBERS = range(COUNT)
HUGE = 1 << 20
kept = []
expected = []


def expect(file, line, blocks, number_of_bytes, *domains):
    expected.append({"file": file, "line": line, "blocks": blocks, "bytes": number_of_bytes, "domains": " ".join(domains)})


# The slots are there before, and nothing is in the interpreter's lists of free objects: so the third line allocates
# what it says and nothing else, and the fourth frees every other one of it again.
FILL = """collect()
for number in numbers:
    slots[number] = {}
    {}
"""


def fill(name, what, blocks, frees, *domains, **names):
    slots = [None] * COUNT
    kept.append(slots)
    end = "slots[number - number % 2] = None" if frees else "pass"
    exec(compile(FILL.format(what, end), name, "exec"), dict(names, numbers=NUMBERS, slots=slots, collect=gc.collect))
    live = [one for one in slots if one is not None]
    assert len(live) == (COUNT // 2 if frees else COUNT)
    expect(name, 3, blocks * len(live), sum(map(sys.getsizeof, live)), *domains)


def objects():
    for size in 2, 7, 15, 16, 31, 63, 100, 400, 478, 479, 480, 2000, 20_000:
        for frees in False, True:
            fill(f"<{size} bytes, {frees}>", "bytes(size)", 1, frees, "object", size=size)
    for kind, what, blocks in ("dict", "{1: number}", 2), ("list", "[slots]", 2), ("tuple", "(slots, None)", 1):
        for frees in False, True:
            fill(f"<{kind}, {frees}>", what, blocks, frees, "object", "mem")


def huge():
    block = bytes(HUGE)
    line = sys._getframe().f_lineno - 1
    kept.append(block)
    expect(__file__, line, 1, sys.getsizeof(block), "object")


def grown():
    """Blocks that realloc moves from small to large, and back."""
    block = bytearray(b"x")
    kept.append(block)
    resize, argument = ctypes.pythonapi.PyByteArray_Resize, ctypes.py_object(block)
    for length in 10, 300, 600, 100_000, 200, 20, 700:
        resize(argument, length)
    line = sys._getframe().f_lineno - 1
    expect(__file__, line, 1, sys.getsizeof(block) - bytearray().__sizeof__(), "object", "mem")


def in_domain(domain, allocate, size):
    allocate.restype = ctypes.c_void_p
    allocate.argtypes = [ctypes.c_size_t]
    addresses = (ctypes.c_size_t * COUNT)()
    code = compile(FILL.format("allocate(size)", "pass"), f"<{domain}>", "exec")
    exec(code, dict(numbers=NUMBERS, slots=addresses, allocate=allocate, size=size, collect=gc.collect))
    kept.append(addresses)
    # Integers and arguments come and go.
    expect(f"<{domain}>", 3, COUNT, COUNT * size, domain)


def domains():
    api = ctypes.pythonapi
    in_domain("raw", api.PyMem_RawMalloc, 301)
    in_domain("mem", api.PyMem_Malloc, 302)
    in_domain("object", api.PyObject_Malloc, 303)
    in_domain("malloc", ctypes.CDLL(None).malloc, 304)


objects()
huge()
grown()
domains()
# What lies in a list of free objects is in use, at the line it was first allocated at.
gc.collect()
print("ready", flush=True)
print(json.dumps(expected), flush=True)
input()
