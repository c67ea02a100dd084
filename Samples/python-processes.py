"""Starts children in every way Python has, from a program with threads; each keeps blocks at a line of its own.

    python-processes.py    writes "ready", what should be in use in which process as JSON, and waits for a line
"""

import json
import multiprocessing
import os
import subprocess
import sys
import threading

COUNT = 1000
kept = []


def keep(name):
    """Keeps blocks at line 3 of a file that is named like the child."""
    slots = [None] * COUNT
    kept.append(slots)
    # The first line leaves in the lists of free objects what the third one takes out.
    text = "bytes(100)\nfor number in range(len(slots)):\n    slots[number] = bytes(100)\n"
    exec(compile(text, f"<{name}>", "exec"), {"slots": slots})
    return {
        "process": os.getpid(),
        "lines": [
            {
                "file": f"<{name}>",
                "line": 3,
                "blocks": COUNT,
                "bytes": COUNT * sys.getsizeof(slots[0]),
                "domains": "object",
            }
        ],
    }


def child(name, connection):
    connection.send(keep(name))
    connection.recv()


def forked(name):
    """A child by os.fork() alone."""
    ours, theirs = multiprocessing.Pipe()
    process = os.fork()
    if process == 0:
        ours.close()
        child(name, theirs)
        os._exit(0)
    return ours, lambda: os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) if hasattr(
        os, "waitstatus_to_exitcode"
    ) else os.waitpid(process, 0)[1]


def started(name, method):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(name, theirs))
    process.start()

    def end():
        process.join()
        return process.exitcode

    return ours, end


class Lines:
    """A subprocess, as a connection."""

    def __init__(self, name):
        self.process = subprocess.Popen(
            [sys.executable, "-B", __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def recv(self):
        return json.loads(self.process.stdout.readline())

    def send(self, _):
        self.process.stdin.close()


def main():
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            kept.append([bytes(50) for _ in range(100)])
            kept.pop()

    said = [keep("parent")]
    children = [forked("forked before there are threads")]
    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(5):
        children.append(forked(f"forked {turn}"))
    for method in "fork", "spawn", "forkserver":
        children.append(started(method, method))
    lines = Lines("subprocess")
    children.append((lines, lines.process.wait))
    said += [connection.recv() for connection, _ in children]
    stop.set()
    for thread in threads:
        thread.join()
    print("ready", flush=True)
    print(json.dumps(said), flush=True)
    input()
    for connection, end in children:
        connection.send(None)
        assert end() == 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(keep(sys.argv[1])), flush=True)
        sys.stdin.read()
    else:
        main()
