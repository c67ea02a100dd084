#!/usr/bin/env python3
"""What recording costs in the target, beside other heap profilers: Markdown tables on standard output.

    Benchmarks/bench.py [--rounds N] [--only WORD]

Every cell comes from runs that take turns (A B A B ...) with the same program without a profiler: the
median of the CPU time it added, with the least and the most. Processes that a profiler runs beside the
target are not counted, only what the target itself uses. Tools that are not installed are left out and
named.
"""
import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIM = ROOT / ".build/release/libleakshim.so"
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
HEAPTRACK = Path("/usr/bin/heaptrack")


@dataclass
class Tool:
    """A way to run a program: `environment` on top of ours, `prefix` in front of its command."""

    name: str
    environment: dict = field(default_factory=dict)
    prefix: list = field(default_factory=list)
    baseline: str = "nothing"  # the tool its cost is measured against
    share: float = 1.0  # of the work that it is given: some would take hours
    needs: Path = Path("/")

    def is_there(self):
        return self.needs.exists()


def shim(mode, **more):
    return {"LD_PRELOAD": str(SHIM), "LEAKPROF_MODE": mode, **more}


def tools(scratch):
    jemalloc = {"LD_PRELOAD": str(LIBRARIES / "libjemalloc.so.2")}
    tcmalloc = {"LD_PRELOAD": str(LIBRARIES / "libtcmalloc.so.4")}
    return [
        Tool("nothing"),
        Tool("leakprof exact", shim("exact"), needs=SHIM),
        Tool("leakprof sampled", shim("sampled"), needs=SHIM),
        Tool("leakprof off", shim("off"), needs=SHIM),
        Tool("heaptrack", prefix=[str(HEAPTRACK), "-o", f"{scratch}/heaptrack"],
             share=0.2, needs=HEAPTRACK),
        Tool("jemalloc alone", jemalloc, needs=LIBRARIES / "libjemalloc.so.2"),
        Tool("jemalloc prof, every block",
             {**jemalloc, "MALLOC_CONF": "prof:true,lg_prof_sample:0"},
             baseline="jemalloc alone", share=0.1, needs=LIBRARIES / "libjemalloc.so.2"),
        Tool("tcmalloc alone", tcmalloc, needs=LIBRARIES / "libtcmalloc.so.4"),
        Tool("gperftools heap profiler",
             {**tcmalloc, "HEAPPROFILE": f"{scratch}/gperftools",
              "HEAP_PROFILE_ALLOCATION_INTERVAL": "0", "HEAP_PROFILE_INUSE_INTERVAL": "0"},
             baseline="tcmalloc alone", share=0.05, needs=LIBRARIES / "libtcmalloc.so.4"),
    ]


# Shape, threads, pairs.
SHAPES = [
    ("pair-5", 1, 4_000_000),
    ("pair-16", 1, 4_000_000),
    ("pair-16", 2, 4_000_000),
    ("pair-16", 4, 4_000_000),
    ("pair-16", 8, 4_000_000),
    ("pair-16", 16, 4_000_000),
    ("pair-60", 1, 4_000_000),
    ("containers", 1, 4_000_000),
    ("containers", 4, 4_000_000),
    ("containers", 16, 4_000_000),
    ("recursion", 1, 4_000_000),
    ("handover", 4, 4_000_000),
    ("growth", 1, 4_000_000),
    ("population-10k", 1, 4_000_000),
    ("population-1m", 1, 4_000_000),
    ("big-heap", 1, 10_000_000),
]

PYTHON_LOOP = """
import json
for i in range(3000):
    json.loads(json.dumps([{'name': str(j), 'values': list(range(20))} for j in range(40)]))
"""

SQL = """
create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000)
insert into t select i, hex(randomblob(20)) from n;
create index t_b on t(b);
select count(*), max(b) from t where b > '8';
"""


def programs(scratch):
    source = Path(scratch, "large.cpp")
    source.write_text(
        "#include <regex>\n#include <iostream>\n#include <map>\n" + (ROOT / "Benchmarks/shapes.cpp").read_text())
    return [
        ("c++ -O1, one large file", ["g++", "-O1", "-c", "-o", "/dev/null", str(source)], None),
        ("python3, JSON", ["python3", "-c", PYTHON_LOOP], None),
        ("sqlite3, 300,000 rows", ["sqlite3", ":memory:"], SQL),
        ("git log --stat", ["git", "-C", str(ROOT), "log", "--stat", "-p"], None),
    ]


def environment_of(tool):
    return {**os.environ, **tool.environment}


def run_shape(program, tool, shape, threads, pairs):
    """Added nothing yet: nanoseconds of CPU per pair, and the peak memory in KiB."""
    command = [*tool.prefix, program, shape, str(threads), str(int(pairs * tool.share))]
    finished = subprocess.run(
        command, env=environment_of(tool), capture_output=True, text=True, check=True)
    line = next(line for line in finished.stdout.splitlines() if "ns per pair" in line)
    words = line.split()
    return float(words[0]), int(words[-2])


def run_program(tool, command, text):
    """Seconds of CPU of the command and all its children, in it and out of it."""
    before = os.times()
    subprocess.run([*tool.prefix, *command], env=environment_of(tool), input=text, text=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


def in_turns(chosen, rounds, run):
    """What `run` gives for every tool, in rounds; the first round is not kept."""
    results = {tool.name: [] for tool in chosen}
    for number in range(rounds + 1):
        for tool in chosen:
            result = run(tool)
            if number > 0:
                results[tool.name].append(result)
    return results


def added(results, tool):
    """Per round, what the tool cost more than its baseline in the same round."""
    return [a - b for a, b in zip(results[tool.name], results[tool.baseline])]


def cell(values, form):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{form.format(middle)} ({form.format(low)}–{form.format(high)})"


def print_row(cells):
    print("| " + " | ".join(cells) + " |")


def report_shapes(program, chosen, rounds, only):
    measured = [tool for tool in chosen if "alone" not in tool.name and tool.name != "nothing"]
    print("\n## Nanoseconds of CPU added per pair of malloc and free\n")
    print_row(["shape", "threads", "without", *(tool.name for tool in measured), "heaptrack ÷ exact"])
    print_row(["---"] * (4 + len(measured)))
    for shape, threads, pairs in SHAPES:
        if only and only not in shape:
            continue
        results = in_turns(
            chosen, rounds, lambda tool: run_shape(program, tool, shape, threads, pairs)[0])
        cells = [shape, str(threads), cell(results["nothing"], "{:.1f}")]
        cells += [cell(added(results, tool), "{:.1f}") for tool in measured]
        ratio = "–"
        if "heaptrack" in results and "leakprof exact" in results:
            exact = next(tool for tool in chosen if tool.name == "leakprof exact")
            heaptrack = next(tool for tool in chosen if tool.name == "heaptrack")
            ratio = "{:.1f}".format(
                statistics.median(added(results, heaptrack)) / statistics.median(added(results, exact)))
        print_row([*cells, ratio])
        sys.stdout.flush()


def report_programs(scratch, chosen, rounds, only):
    measured = [tool for tool in chosen if tool.baseline == "nothing" and "alone" not in tool.name]
    measured = [tool for tool in measured if tool.name not in ("nothing", "heaptrack")]
    print("\n## CPU time of real programs, as a ratio to the run without\n")
    print_row(["program", "without, s", *(tool.name for tool in measured)])
    print_row(["---"] * (2 + len(measured)))
    nothing = next(tool for tool in chosen if tool.name == "nothing")
    for name, command, text in programs(scratch):
        if shutil.which(command[0]) is None or (only and only not in name):
            continue
        results = in_turns(
            [nothing, *measured], rounds, lambda tool: run_program(tool, command, text))
        cells = [name, cell(results["nothing"], "{:.2f}")]
        for tool in measured:
            ratios = [a / b for a, b in zip(results[tool.name], results["nothing"])]
            cells.append(cell(ratios, "{:.3f}"))
        print_row(cells)
        sys.stdout.flush()


def report_memory(program, chosen):
    print("\n## Memory added with 10 million live blocks\n")
    print_row(["tool", "peak RSS, MiB", "added per live block, bytes"])
    print_row(["---"] * 3)
    base = None
    for tool in chosen:
        if tool.name not in ("nothing", "leakprof exact", "leakprof sampled"):
            continue
        kib = run_shape(program, tool, "big-heap", 1, 10_000_000)[1]
        base = base or kib
        print_row([tool.name, f"{kib / 1024:.0f}", f"{(kib - base) * 1024 / 10_000_000:.1f}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="shapes and programs whose name contains this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        program = f"{scratch}/shapes"
        subprocess.run(["g++", "-O2", "-g", "-fno-builtin", "-pthread",
                        str(ROOT / "Benchmarks/shapes.cpp"), "-o", program], check=True)
        os.environ["LEAKPROF_DIR"] = f"{scratch}/recordings"
        available = [tool for tool in tools(scratch) if tool.is_there()]
        missing = [tool.name for tool in tools(scratch) if not tool.is_there()]
        processor = next(
            (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")), platform.machine())
        print(f"{processor}, {os.cpu_count()} processors, Linux {platform.release()}, "
              f"{arguments.rounds} rounds")
        if missing:
            print("Not installed, left out:", ", ".join(missing))
        report_shapes(program, available, arguments.rounds, arguments.only)
        report_programs(scratch, available, arguments.rounds, arguments.only)
        if not arguments.only:
            report_memory(program, available)


if __name__ == "__main__":
    main()
