"""Keeps objects of many types, made in many ways, and says what tracemalloc makes of them.

    python3 -X tracemalloc=1 tracemalloc-workload.py expect    Snapshot.statistics("lineno") at the end and
                                                               compare_to() since the middle, of the lines between
                                                               the two marks, as JSON
    tracemalloc-workload.py                                    does the same, writes "half" and "ready" in the
                                                               meantime, and waits for a line after each
"""

import array
import collections
import ctypes
import decimal
import functools
import gc
import io
import itertools
import json
import sys
import threading
import tracemalloc
import weakref
import zlib

COUNT = 1000
kept = []
keep = kept.append


Pair = collections.namedtuple("Pair", "left right")


def in_threads(make):
    for _ in range(3):
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
    # What is called when it is freed is called from here.
    del thread


gc.disable()
gc.collect()
# The first line that counts.
class Plain:
    def __init__(self, number):
        self.number = number
        self.name = "name %d" % number


gc.collect()
class Slots:
    __slots__ = "number", "name", "__weakref__"

    def method(self):
        pass


gc.collect()
class Node(Pair):
    pass


def text():
    yield keep([str(number) * 10 for number in range(COUNT)])
    yield keep(["ü%d" % number for number in range(COUNT)])
    yield keep([f"{number}\U0001f600" for number in range(COUNT)])
    yield keep("x" * 1_000_000)
    long = ""
    for number in range(COUNT):
        long += str(number)
    yield keep(long)
    yield keep("".join(str(number) for number in range(COUNT)))
    yield keep(["%d,%d" % (number, number) for number in range(COUNT)])
    yield keep(("a,b,c," * 500).split(","))


def binary():
    yield keep([bytes(number) for number in range(2, COUNT)])
    yield keep([bytearray(number) for number in range(COUNT)])
    yield keep(zlib.compress(bytes(100_000)))
    yield keep(io.BytesIO(b"x" * 10_000))
    buffer = io.BytesIO()
    for number in range(COUNT):
        buffer.write(b"some text and more")
    yield keep(buffer)
    yield keep(array.array("d", [1.0]) * 5000)
    yield keep(memoryview(bytearray(3000)))


def numbers():
    yield keep([number * 10**30 for number in range(1, COUNT)])
    yield keep([float(number) for number in range(COUNT)])
    yield keep([complex(number, 1) for number in range(COUNT)])
    yield keep(list(range(300, 300 + COUNT)))
    yield keep(2**100_000)
    yield keep([decimal.Decimal(number) / 7 for number in range(1, COUNT)])


def containers():
    yield keep([[] for _ in range(COUNT)])
    yield keep([[number] for number in range(COUNT)])
    yield keep([(number, number) for number in range(COUNT)])
    yield keep([{} for _ in range(COUNT)])
    yield keep([{"number": number} for number in range(COUNT)])
    yield keep([{number} for number in range(COUNT)])
    yield keep([frozenset([number, 1]) for number in range(COUNT)])
    yield keep({number: None for number in range(COUNT)})
    yield keep({number for number in range(COUNT)})
    growing = []
    for number in range(COUNT):
        growing.append(None)
    yield keep(growing)
    growing.extend(growing[:COUNT // 4])
    filled = {}
    for number in range(COUNT):
        filled[number] = None
    yield keep(filled)
    filled.update(dict.fromkeys(range(COUNT, 3 * COUNT)))
    shrinking = list(range(COUNT))
    del shrinking[10:]
    yield keep(shrinking)
    yield keep([collections.deque([1], 10) for _ in range(COUNT)])
    yield keep([collections.OrderedDict(a=1) for _ in range(COUNT)])
    yield keep(collections.defaultdict(list, {1: []}))
    yield keep(collections.Counter("abracadabra"))


def instances():
    yield keep([Plain(number) for number in range(COUNT)])
    yield keep([Slots() for _ in range(COUNT)])
    yield keep([Node(number, None) for number in range(COUNT)])
    yield keep([object() for _ in range(COUNT)])
    yield keep([type("Made", (), {}) for _ in range(20)])  # 20 integers that are addresses
    slots = [Slots() for _ in range(COUNT)]
    yield keep((slots, [weakref.ref(slot) for slot in slots]))
    chain = None
    for number in range(COUNT):
        chain = [chain, number]
    yield keep(chain)


def generating(number):
    yield number


def closing(number):
    return lambda: number


def functions():
    numbers = range(COUNT)  # here: the call's arguments are in a tuple
    yield keep([lambda: 1 for _ in range(COUNT)])
    yield keep([(lambda: number) for number in range(COUNT)])
    yield keep([functools.partial(print, number) for number in range(COUNT)])
    yield keep([kept.append for _ in range(COUNT)])
    yield keep([Slots().method for _ in range(COUNT)])
    yield keep([(number for number in ()) for _ in range(COUNT)])
    yield keep([generating(number) for number in range(COUNT)])
    yield keep([closing(number) for number in numbers])
    yield keep([iter([]) for _ in range(COUNT)])
    yield keep([itertools.count(number) for number in range(COUNT)])
    yield keep([(ctypes.c_char * 1000)() for _ in range(10)])
    yield keep([compile("x = 1\ny = x + 1", "made", "exec") for _ in range(100)])


def errors():
    caught = []
    numbers = range(COUNT)  # here, too
    yield
    for number in numbers:
        try:
            raise ValueError(number)
        except ValueError as error:
            caught.append(error)
    yield keep(caught)


def structured():
    text = json.dumps({str(number): [number, {"a": None}] for number in range(COUNT)})
    yield
    yield keep(json.loads(text))
    yield keep(sorted(range(COUNT), key=lambda number: -number))
    yield keep(list(map(str, range(COUNT, 2 * COUNT))))
    yield keep(list(zip(range(COUNT), range(COUNT))))
    yield keep(dict(enumerate("abc" * COUNT)))


def threads():
    def make():
        kept.extend(map(bytes, range(2, COUNT)))

    in_threads(make)
    yield
# The last line that counts.


def marked_lines():
    with open(__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("line that counts.")]


def rows(statistics):
    first, last = marked_lines()
    for row in statistics:
        place = row.traceback[0]
        if place.filename == __file__ and first < place.lineno < last:
            change = {"bytesMore": row.size_diff, "objectsMore": row.count_diff} if hasattr(row, "size_diff") else {}
            yield dict(line=place.lineno, bytes=row.size, objects=row.count, **change)


def pause(word):
    print(word, flush=True)
    input()


def run(generators):
    for generator in generators:
        # What comes from the free lists of types is older than its object, and tracemalloc takes it for new: a
        # collection empties them, after every line that keeps something.
        gc.collect()
        for _ in generator():
            gc.collect()
    gc.collect()


expecting = sys.argv[1:] == ["expect"]
run([text, binary, numbers, containers])
middle = tracemalloc.take_snapshot() if expecting else pause("half")
del kept[::3]
gc.collect()
run([instances, functions, errors, structured, threads, text])
if expecting:
    end = tracemalloc.take_snapshot()
    first, last = marked_lines()
    document = {
        "firstLine": first,
        "lastLine": last,
        "statistics": list(rows(end.statistics("lineno"))),
        "comparison": list(rows(end.compare_to(middle, "lineno"))),
    }
    print(json.dumps(document, indent=1))
else:
    pause("ready")
