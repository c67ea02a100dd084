#!/usr/bin/env python3
"""What a snapshot of a process with 100,000 stack traces and 10 million live blocks takes.

    Benchmarks/snapshot.py [--rounds N] [--region SIZE]

The process is Benchmarks/stacks.c, recorded exactly, in a region of the default size if no other is given.
"reading" is leakprof doctor PID, which copies the region and builds the snapshot, as every command does before
it looks symbols up, and does little else. Times are of whole processes.
"""
import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAKPROF = ROOT / ".build/release/leakprof"
SHIM = ROOT / ".build/release/libleakshim.so"


def timed(command):
    """Milliseconds of wall clock, milliseconds of CPU time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    elapsed, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return elapsed * 1000, cpu * 1000


def cell(values):
    return f"{statistics.median(values):.0f} ({min(values):.0f}–{max(values):.0f})"


def report(pid, folder, rounds):
    inspected = subprocess.run([LEAKPROF, "inspect", pid], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in inspected.splitlines():
        if line.startswith(("region bytes", "stack nodes", "counters", "stacks lost", "dropped")):
            print("   ", line)
    profile = f"{folder}/snapshot.pb.gz"
    commands = {
        "reading": [LEAKPROF, "doctor", pid],
        "leakprof snapshot": [LEAKPROF, "snapshot", pid, "-o", profile],
    }
    results = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            result = timed(command)
            if number > 0:
                results[name].append(result)
    print("\n| | wall clock, ms | CPU time, ms |\n| --- | --- | --- |")
    for name, values in results.items():
        print(f"| {name} | {cell([wall for wall, _ in values])} | {cell([cpu for _, cpu in values])} |")
    print(f"\nThe profile has {os.path.getsize(profile)} bytes.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--region", help="LEAKPROF_REGION_SIZE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/stacks"
        subprocess.run(
            ["cc", "-O2", "-g", "-fno-builtin", ROOT / "Benchmarks/stacks.c", "-o", program], check=True)
        os.environ["LEAKPROF_DIR"] = f"{folder}/recordings"
        environment = {**os.environ, "LD_PRELOAD": str(SHIM), "LEAKPROF_MODE": "exact",
                       "LEAKPROF_MAX_MEMORY": "1GiB"}
        if arguments.region:
            environment["LEAKPROF_REGION_SIZE"] = arguments.region
        target = subprocess.Popen(
            [program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            if target.stdout.readline() != "ready\n":
                sys.exit("snapshot.py: the program did not get ready")
            report(str(target.pid), folder, arguments.rounds)
        finally:
            target.stdin.close()
            target.wait()


if __name__ == "__main__":
    main()
