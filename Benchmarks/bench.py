#!/usr/bin/env python3
"""What recording costs in the target, beside other heap profilers: Markdown on standard output.

    Benchmarks/bench.py [--rounds N] [--only WORD]

Every cell comes from runs that take turns (A B A B ...) with the same program without a profiler: the
median over the rounds, with the least and the most. What a tool costs is what it adds in the same round.
Processes that a profiler runs beside the target are not counted, only what the target itself uses. Tools
that are not installed are left out and named.

The table of aims comes first and is of the same numbers as the others: what it needs is measured then.

Modules: tools (what is compared), session (running and measuring), shapes, programs, python_tables,
instructions (what is measured), inputs and redis (what the programs work on), aims, report (Markdown).
"""
import argparse
import datetime
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

import aims
import instructions
import programs
import python_tables
import shapes
import tools
from session import Session

SHARED_MEMORY = Path("/dev/shm")


def print_machine(session):
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.machine())
    print(f"{processor}, {shapes.clock_ghz(session):.2f} GHz while it measures, {os.cpu_count()} "
          f"processors, Linux {platform.release()}, {session.rounds} rounds, {datetime.date.today()}.")


def print_missing(session):
    every = [*tools.for_shapes(session.scratch), *tools.for_python(session.scratch),
             tools.Tool("valgrind", needs=tools.VALGRIND)]
    missing = dict.fromkeys(tool.name for tool in every if not tool.is_there())
    if missing:
        print("\nNot installed, left out:", ", ".join(missing))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="shapes and programs whose name contains this")
    arguments = parser.parse_args()
    # So that servers are ended and directories removed then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # Regions go where they go by default: to memory.
    regions = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory(dir=regions) as recordings:
        os.environ["LEAKPROF_DIR"] = recordings
        session = Session(scratch, arguments.rounds, arguments.only)
        shapes.build(session)
        print_machine(session)
        print_missing(session)
        aims.report(session)
        shapes.report_time(session)
        programs.report(session)
        python_tables.report(session)
        instructions.report_callgrind(session)
        shapes.report_memory(session)
        instructions.report_massif(session)


if __name__ == "__main__":
    main()
