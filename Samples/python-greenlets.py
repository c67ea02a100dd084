"""Allocates in greenlets that switch to each other in the middle of calls, and that end or are thrown away.

    python-greenlets.py    writes "ready", what should be in use at which line as JSON, and waits for a line

Needs the package greenlet. gevent's tasks are greenlets.
"""

import gc
import json
import sys

import greenlet

SIZE = 1000
kept = []
expected = []

DEEP = """def deep(n):
    if n:
        deep(n - 1)
        keep(x * SIZE)
    else:
        for i in range(20):
            keep(x * SIZE)
            switch()
"""


def expect(file, line, blocks):
    number_of_bytes = blocks * sys.getsizeof(b"x" * SIZE)
    expected.append({"file": file, "line": line, "blocks": blocks, "bytes": number_of_bytes, "domains": "object"})


def make(file, switch):
    names = {"keep": kept.append, "x": b"x", "SIZE": SIZE, "switch": switch}
    exec(compile(DEEP, file, "exec"), names)
    return names["deep"]


def in_turn(count, depth):
    """Every one is as deep as the others, and in a file of its own."""
    main = greenlet.getcurrent()
    tasks = [greenlet.greenlet(make(f"<greenlet {number} of {depth}>", main.switch)) for number in range(count)]
    for task in tasks:
        task.switch(depth)
    while any(tasks):
        for task in tasks:
            if task:
                task.switch()
    for number in range(count):
        expect(f"<greenlet {number} of {depth}>", 7, 20)
        expect(f"<greenlet {number} of {depth}>", 4, depth)


def nested(depth):
    """Each begins the next one, far below its parent on the native stack."""
    function = None

    def begin():
        if len(below) < 10:
            below.append(greenlet.greenlet(function))
            below[-1].switch(depth)

    below = []
    function = make("<nested>", begin)
    function(depth)
    expect("<nested>", 7, 20 * (len(below) + 1))
    expect("<nested>", 4, depth * (len(below) + 1))


def thrown_away():
    main = greenlet.getcurrent()
    task = greenlet.greenlet(make("<thrown away>", main.switch))
    task.switch(50)
    task.throw()
    expect("<thrown away>", 7, 1)


in_turn(5, 1)
in_turn(10, 100)
nested(30)
thrown_away()
gc.collect()
print("ready", flush=True)
print(json.dumps(expected), flush=True)
input()
