"""Makes and drops functions of one name and one file name, whose only allocation is at ever other lines.

    python-reused-code.py    writes "ready", what should be in use at which line as JSON, and waits for a line

Their code objects come to lie where earlier ones were freed. The lines are told apart by nothing but the line table.
"""

import collections
import json
import sys

kept = []
blocks = collections.Counter()
addresses = set()
FILE = "<reused>"
TURNS = 3000


def turn(number):
    line = 3 + number * 7 % 101
    code = compile("def function(keep):\n" + " pass\n" * (line - 2) + " keep(bytes(1000))\n", FILE, "exec")
    names = {}
    exec(code, names)
    names["function"](kept.append)
    addresses.add(id(names["function"].__code__))
    blocks[line] += 1


for number in range(TURNS):
    turn(number)
# Otherwise this shows nothing.
assert len(addresses) < TURNS * 3 / 4, len(addresses)
each = sys.getsizeof(kept[0])
print("ready", flush=True)
print(
    json.dumps(
        [
            {"file": FILE, "line": line, "blocks": count, "bytes": count * each, "domains": "object"}
            for line, count in blocks.items()
        ]
    ),
    flush=True,
)
input()
