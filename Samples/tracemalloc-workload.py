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


# The first line that counts.
class Plain:
    def __init__(self, number):
        self.number = number
        self.name = "name %d" % number


class Slots:
    __slots__ = "number", "name", "__weakref__"


class Node(collections.namedtuple("Node", "left right")):
    pass


def text():
    keep([str(number) * 10 for number in range(COUNT)])
    keep(["ü%d" % number for number in range(COUNT)])
    keep([f"{number}\U0001f600" for number in range(COUNT)])
    keep("x" * 1_000_000)
    long = ""
    for number in range(COUNT):
        long += str(number)
    keep(long)
    keep("".join(str(number) for number in range(COUNT)))
    keep(["%d,%d" % (number, number) for number in range(COUNT)])
    keep(("a,b,c," * 500).split(","))


def binary():
    keep([bytes(number) for number in range(2, COUNT)])
    keep([bytearray(number) for number in range(COUNT)])
    keep(zlib.compress(bytes(100_000)))
    keep(io.BytesIO(b"x" * 10_000))
    buffer = io.BytesIO()
    for number in range(COUNT):
        buffer.write(b"some text and more")
    keep(buffer)
    keep(array.array("d", [1.0]) * 5000)
    keep(memoryview(bytearray(3000)))


def numbers():
    keep([number * 10**30 for number in range(1, COUNT)])
    keep([float(number) for number in range(COUNT)])
    keep([complex(number, 1) for number in range(COUNT)])
    keep(list(range(300, 300 + COUNT)))
    keep(2**100_000)
    keep([decimal.Decimal(number) / 7 for number in range(1, COUNT)])


def containers():
    keep([[] for _ in range(COUNT)])
    keep([[number] for number in range(COUNT)])
    keep([(number, number) for number in range(COUNT)])
    keep([{} for _ in range(COUNT)])
    keep([{"number": number} for number in range(COUNT)])
    keep([{number} for number in range(COUNT)])
    keep([frozenset([number, 1]) for number in range(COUNT)])
    keep({number: None for number in range(COUNT)})
    keep({number for number in range(COUNT)})
    growing = []
    for number in range(COUNT):
        growing.append(None)
    keep(growing)
    growing.extend(growing[:COUNT // 4])
    filled = {}
    for number in range(COUNT):
        filled[number] = None
    keep(filled)
    filled.update(dict.fromkeys(range(COUNT, 3 * COUNT)))
    shrinking = list(range(COUNT))
    del shrinking[10:]
    keep(shrinking)
    keep([collections.deque([1], 10) for _ in range(COUNT)])
    keep([collections.OrderedDict(a=1) for _ in range(COUNT)])
    keep(collections.defaultdict(list, {1: []}))
    keep(collections.Counter("abracadabra"))


def instances():
    keep([Plain(number) for number in range(COUNT)])
    keep([Slots() for _ in range(COUNT)])
    keep([Node(number, None) for number in range(COUNT)])
    keep([object() for _ in range(COUNT)])
    keep([type("Made", (), {}) for _ in range(20)])
    slots = [Slots() for _ in range(COUNT)]
    keep((slots, [weakref.ref(slot) for slot in slots]))
    chain = None
    for number in range(COUNT):
        chain = Node(chain, number)
    keep(chain)


def functions():
    keep([lambda: 1 for _ in range(COUNT)])
    keep([(lambda: number) for number in range(COUNT)])
    keep([functools.partial(print, number) for number in range(COUNT)])
    keep([kept.append for _ in range(COUNT)])
    keep([Plain(1).__init__ for _ in range(COUNT)])
    keep([(number for number in ()) for _ in range(COUNT)])
    keep([iter([]) for _ in range(COUNT)])
    keep([itertools.count(number) for number in range(COUNT)])
    keep([ctypes.create_string_buffer(1000) for _ in range(10)])
    keep([compile("x = 1\ny = x + 1", "made", "exec") for _ in range(100)])


def errors():
    caught = []
    for number in range(COUNT):
        try:
            raise ValueError(number)
        except ValueError as error:
            caught.append(error)
    keep(caught)


def structured():
    keep(json.loads(json.dumps({str(number): [number, {"a": None}] for number in range(COUNT)})))
    keep(sorted(range(COUNT), key=lambda number: -number))
    keep(list(map(str, range(COUNT, 2 * COUNT))))
    keep(list(zip(range(COUNT), range(COUNT))))
    keep(dict(enumerate("abc" * COUNT)))


def in_threads():
    def make():
        keep([bytes(number) for number in range(2, COUNT)])

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
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


def run(functions):
    for function in functions:
        # What lies on the free lists of types is taken for new blocks by tracemalloc, and is older than they are.
        gc.collect()
        function()
    gc.collect()


expecting = sys.argv[1:] == ["expect"]
gc.disable()
run([text, binary, numbers, containers])
middle = tracemalloc.take_snapshot() if expecting else pause("half")
del kept[::3]
run([instances, functions, errors, structured, in_threads, text])
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
