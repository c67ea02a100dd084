"""What `make bench` runs with and without a profiler: python_loop.py TURNS

Prints the CPU time of the whole process per turn, in µs, from after the imports to the end of the loop:
so a profiler may be given fewer turns than another.
"""
import json
import sys
import time

turns = int(sys.argv[1])
before = time.process_time()
for _ in range(turns):
    rows = [{"name": str(j), "values": list(range(20))} for j in range(40)]
    json.loads(json.dumps(rows))
print(f"{(time.process_time() - before) / turns * 1e6:.2f} µs per turn")
