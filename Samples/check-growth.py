"""Compares what `leakprof diff --json` found with what a sample promises.

    check-growth.py FILE SOURCE:LINE PERCENT   the first row is this line, with so much of the growth at least
    check-growth.py FILE none BYTES            nothing grew but so many bytes, which the run itself may need
"""

import json
import sys

path, expected, limit = sys.argv[1:]
with open(path) as file:
    diff = json.load(file)
total = diff["totals"]["change"]["inuseSpace"]

if expected == "none":
    print(f"grew by {total} bytes; no more than {limit} were to be expected")
    sys.exit(total > int(limit))

if not diff["rows"]:
    sys.exit(f"FAILED: nothing grew, where {expected} was to be expected")
first = diff["rows"][0]
# What shrank elsewhere makes no line's part larger, and what is within the sampling error did not grow.
growth = sum(max(row["change"]["inuseSpace"], 0) for row in diff["rows"] if row["significant"])
place = f"{first['place']['file'].rpartition('/')[2]}:{first['place']['line']}"
share = 100 * first["change"]["inuseSpace"] / max(growth, 1)
found = f"{place} first with {share:.1f} % of the growth of {growth / 2**20:.1f} MiB"
if place != expected or share < float(limit):
    sys.exit(f"FAILED: {found}, where {expected} with {limit} % or more was to be expected")
print(found)
