"""Allocates in files and functions of unusual names, and in a file of very many lines.

    python-names.py [lines]    writes "ready", what should be in use at which line as JSON, and waits for a line
"""

import json
import os
import sys

SIZE = 1000
LINES = 70_000
kept = []
expected = []


def expect(file, line, function):
    # File names are what the operating system has: bytes.
    shown = os.fsencode(file).decode("utf-8", "replace")
    expected.append({"file": shown, "line": line, "blocks": 1, "bytes": SIZE + 33, "domains": "object"})
    expected[-1]["function"] = function


def names():
    for file, function in (
        ("größe.py", "größe"),
        ("変数/関数.py", "関数"),
        ("\U0001f600.py", "\U00020000"),
        (os.fsdecode(b"latin-\xe4\xff.py"), "latin"),
        ("line\nbreak\r\n\x1b[1m.py", "line"),
        ("x" * 4000 + ".py", "y" * 1000),
        ("", "empty"),
    ):
        names = {}
        exec(compile(f"def {function}(keep, size):\n\n keep(bytes(size))\n", file, "exec"), names)
        names[function](kept.append, SIZE)
        expect(file, 3, function)
    # Longer than what is kept: 4096 bytes of a file's name, 1024 of a function's, whole characters.
    for length, character in (5000, "x"), (3000, "ß"):
        names = {}
        file = "l" + character * length
        function = "z" + character * length
        exec(compile(f"def {function}(keep, size):\n\n keep(bytes(size))\n", file, "exec"), names)
        names[function](kept.append, SIZE)
        width = len(character.encode())
        expect("l" + character * (4095 // width), 3, "z" + character * (1023 // width))


def lines():
    """A module of 70,000 lines, every other of which allocates."""
    source = "keep(bytes(size)); size - 1\npass\n" * (LINES // 2)
    code = compile(source, "<many lines>", "exec")
    exec(code, {"keep": kept.append, "size": SIZE})
    # The first call leaves what the next ones use again.
    expected[:] = [
        {"file": "<many lines>", "line": line, "blocks": 1, "bytes": SIZE + 33, "domains": "object"}
        for line in range(1001, LINES, 1000)
    ]


if sys.argv[1:] == ["lines"]:
    lines()
else:
    names()
print("ready", flush=True)
print(json.dumps(expected), flush=True)
input()
