"""Threads that allocate, free what other threads have allocated, and call C that allocates without the interpreter's
lock.

    python-threads.py    writes "ready", what should be in use at which line as JSON, and waits for a line

Every thread has a file of its own, so a block that is taken for another thread's is seen.
"""

import ctypes
import gc
import json
import queue
import sys
import threading

THREADS = 8
TURNS = 2000
KEEPS = 10  # one of so many
expected = []
kept = []
queues = [queue.SimpleQueue() for _ in range(THREADS)]
# A library of ctypes's drops the lock at every call.
strdup = ctypes.CDLL(None).strdup
strdup.restype = ctypes.c_void_p
strdup.argtypes = [ctypes.c_char_p]
free = ctypes.CDLL(None).free
free.argtypes = [ctypes.c_void_p]

SOURCE = """
def work():
    for turn in range(TURNS):
        block = bytes(size)
        if turn % KEEPS == 0:
            kept.append(block)
        else:
            other.put(block)
        if turn % KEEPS == 0:
            strings[turn // KEEPS] = strdup(text)
        else:
            other.put(
                strdup(text))
        while not own.empty():
            one = own.get()
            if type(one) is int:
                free(one)
"""


def run(number, barrier):
    text = b"x" * (3000 + number)
    strings = (ctypes.c_size_t * (TURNS // KEEPS))()
    file = f"<thread {number}>"
    names = dict(
        TURNS=TURNS, KEEPS=KEEPS, size=100 + number, text=text, strings=strings, kept=kept, strdup=strdup, free=free,
        own=queues[number], other=queues[(number + 1) % THREADS],
    )
    exec(compile(SOURCE, file, "exec"), names)
    keep = TURNS // KEEPS
    kept.append(strings)
    expect(file, 4, keep, keep * sys.getsizeof(bytes(100 + number)), "object")
    expect(file, 10, keep, keep * (len(text) + 1), "malloc")
    barrier.wait()
    names["work"]()


def expect(file, line, blocks, number_of_bytes, domain):
    expected.append({"file": file, "line": line, "blocks": blocks, "bytes": number_of_bytes, "domains": domain})


def main():
    sys.setswitchinterval(1e-5)
    barrier = threading.Barrier(THREADS)
    threads = [threading.Thread(target=run, args=(number, barrier)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for left in queues:
        while not left.empty():
            one = left.get()
            if type(one) is int:
                free(one)
    one = None
    gc.collect()


main()
print("ready", flush=True)
print(json.dumps(expected), flush=True)
input()
