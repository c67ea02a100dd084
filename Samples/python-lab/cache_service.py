"""A cache service that only ever adds: an entry of ten kilobytes, five times a second or as often as it is told.

    cache_service.py [SECONDS BETWEEN ENTRIES]
"""

import sys
import time

pause = float(sys.argv[1]) if len(sys.argv) > 1 else 0.2
cache = {}
while True:
    key = len(cache)
    cache[key] = bytes(10_240)  # and is never removed
    if key % 100 == 99:
        print(f"{key + 1} entries", flush=True)
    time.sleep(pause)
