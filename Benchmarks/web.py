#!/usr/bin/env python3
"""What recording a Flask application's requests costs, beside tracemalloc and memray: the CPU time of the requests,
divided by that of a run without a profiler directly before it.

    Benchmarks/web.py [--rounds N] [--requests N] [--python PATH]

Flask and memray are installed into a virtual environment below .build. Prints a Markdown table.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIM = ROOT / ".build/release/libleakshim.so"
LOOP = ROOT / "Benchmarks/flask_loop.py"
PACKAGES = ["flask==3.1.3", "memray==1.20.0"]


def environment_of(python):
    """The virtual environment's interpreter, made when it is not there."""
    folder = ROOT / ".build/bench" / ("flask" + str(python).replace("/", "-"))
    if not (folder / "bin/memray").exists():
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True)
    return folder / "bin/python"


def cpu_seconds(command, **variables):
    finished = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env={**os.environ, **variables})
    return float(next(line for line in finished.stdout.splitlines() if line.replace(".", "", 1).isdigit()))


def variants(python, requests, scratch):
    """By name: what one run of it takes."""
    plain = [python, LOOP, requests]

    def shim(**variables):
        return lambda: cpu_seconds(plain, LD_PRELOAD=str(SHIM), LEAKPROF_DIR=scratch, **variables)

    def tracemalloc(frames):
        return lambda: cpu_seconds([*plain, frames])

    def memray(*options):
        run = [python, "-m", "memray", "run", "-q", "-f", "-o", f"{scratch}/memray.bin", *options]
        return lambda: cpu_seconds([*run, LOOP, requests])

    return plain, {
        "leakprof, auto": shim(LEAKPROF_MODE="auto"),
        "leakprof, sampled": shim(LEAKPROF_MODE="sampled"),
        "leakprof, exact, Python frames only": shim(LEAKPROF_MODE="exact", LEAKPROF_PYTHON="only"),
        "leakprof, exact": shim(LEAKPROF_MODE="exact"),
        "leakprof, exact, with the interpreter's frames": shim(
            LEAKPROF_MODE="exact", LEAKPROF_PYTHON="native", LEAKPROF_REGION_SIZE="64MiB"),
        "tracemalloc, 1 frame": tracemalloc("1"),
        "tracemalloc, 25 frames": tracemalloc("25"),
        "memray": memray(),
        "memray --trace-python-allocators": memray("--trace-python-allocators"),
        "memray --native --trace-python-allocators": memray("--native", "--trace-python-allocators"),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--python", default="/usr/bin/python3")
    arguments = parser.parse_args()
    python = environment_of(arguments.python)
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="leakprof-bench-") as scratch:
        plain, runs = variants(python, str(arguments.requests), scratch)
        ratios = {name: [] for name in runs}
        seconds = []
        for round_number in range(arguments.rounds):
            for name, run in runs.items():
                bare = cpu_seconds(plain)
                seconds.append(bare)
                ratios[name].append(run() / bare)
            print(f"round {round_number + 1} of {arguments.rounds}", file=sys.stderr)
    bare = statistics.median(seconds) / arguments.requests * 1e6
    print(f"{python}: {bare:.0f} µs of CPU per request without a profiler\n")
    print("| profiler | CPU, without = 1 |\n|---|---|")
    for name, values in ratios.items():
        print(f"| {name} | {statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f}) |")


if __name__ == "__main__":
    main()
