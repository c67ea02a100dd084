"""The shapes of shapes.cpp under every tool: CPU time per pair, and memory per live block."""
import statistics
import subprocess
from dataclasses import dataclass

import tools
from report import cell, print_row, print_table_head
from session import after_warm_up, output_of


@dataclass(frozen=True)
class Shape:
    """Enough pairs for a few tenths of a second without a profiler. Slow tools make fewer, yet not
    fewer than `least`, where the number of blocks is what the shape is about; those that can't make so
    many are left out of it."""

    name: str
    threads: int = 1
    pairs: int = 20_000_000
    least: int = 0

    def pairs_for(self, tool):
        return max(int(self.pairs * tool.share), self.least)


@dataclass(frozen=True)
class ShapeRun:
    ns_per_pair: float
    live_kib: int  # of the whole process, while the blocks were live


PAIR = Shape("pair-16")
THREADED_PAIRS = [Shape("pair-16", threads) for threads in (2, 4, 8, 16)]
LISTS = Shape("lists", 16, 8_000_000, 2_000_000)
BIG_HEAP = Shape("big-heap", 1, 10_000_000, 10_000_000)
ONE_GIB = Shape("one-gib", 1, 10_000_000, 10_000_000)
FEW_THREADS = Shape("idle-threads", 16, 16_000, 16_000)
MANY_THREADS = Shape("idle-threads", 256, 256_000, 256_000)
CLOCK = Shape("clock", 1, 300_000_000)

SHAPES = [
    Shape("pair-5"),
    PAIR,
    *THREADED_PAIRS,
    Shape("pair-20"),
    Shape("pair-60"),
    Shape("containers", 1, 6_000_000),
    Shape("containers", 4, 6_000_000),
    Shape("containers", 16, 6_000_000),
    LISTS,
    Shape("recursion"),
    Shape("handover", 4),
    Shape("producer-consumer", 2, 10_000_000, 100_000),
    Shape("producer-consumer", 8, 10_000_000, 400_000),
    Shape("growth", 1, 40_000_000),
    Shape("population-10k", 1, 10_000_000),
    Shape("population-1m", 1, 4_000_000, 4_000_000),
    BIG_HEAP,
]


def build(session):
    program = f"{session.scratch}/shapes"
    subprocess.run(["g++", "-O2", "-g", "-fno-builtin", "-pthread",
                    str(tools.ROOT / "Benchmarks/shapes.cpp"), "-o", program], check=True)


def run_shape(session, tool, shape, pairs):
    command = [f"{session.scratch}/shapes", shape.name, str(shape.threads), str(pairs)]
    lines = output_of(tool, command).splitlines()
    words = next(line for line in lines if "ns per pair" in line).split()
    return ShapeRun(float(words[0]), int(words[-2]))


def measure(session, shape, names=None):
    """The runs of every tool, or of those that are named, by the tool's name."""
    chosen = [tool for tool in tools.for_shapes(session.scratch)
              if tool.is_there() and shape.least <= tool.most_pairs
              and (names is None or tool.name in names)]
    return session.once((shape, names), lambda: after_warm_up(
        chosen, session.rounds,
        lambda tool: run_shape(session, tool, shape, shape.pairs_for(tool))))


def added_ns(session, shape, name):
    """Per round, what the tool cost more than its baseline in the same round; nothing when it is
    missing."""
    runs = measure(session, shape)
    tool = next(tool for tool in tools.for_shapes(session.scratch) if tool.name == name)
    return [a.ns_per_pair - b.ns_per_pair
            for a, b in zip(runs.get(name, []), runs.get(tool.baseline, []))]


def clock_ghz(session):
    """The clock of the core while it works, from multiplications that take 3 cycles each."""
    runs = measure(session, CLOCK, (tools.NOTHING,))[tools.NOTHING]
    return 3 / statistics.median(run.ns_per_pair for run in runs)


def added_kib(session, shape, name):
    """The same of the memory while the blocks were live."""
    runs = measure(session, shape, (tools.NOTHING, name))
    return [a.live_kib - b.live_kib for a, b in zip(runs.get(name, []), runs[tools.NOTHING])]


def added_bytes_per_block(session, name):
    runs = measure(session, BIG_HEAP)
    tool = next(tool for tool in tools.for_shapes(session.scratch) if tool.name == name)
    return [(a.live_kib - b.live_kib) * 1024 / BIG_HEAP.pairs
            for a, b in zip(runs.get(name, []), runs.get(tool.baseline, []))]


def kib_per_thread(session, name):
    """What 240 more threads cost, each."""
    few, many = added_kib(session, FEW_THREADS, name), added_kib(session, MANY_THREADS, name)
    return [(b - a) / (MANY_THREADS.threads - FEW_THREADS.threads) for a, b in zip(few, many)]


def report_time(session):
    shapes = [shape for shape in SHAPES if session.wants(shape.name)]
    if not shapes:
        return
    names = [tool.name for tool in tools.for_shapes(session.scratch)
             if tool.is_there() and not tool.is_baseline]
    print_table_head(
        "Nanoseconds of CPU added per pair of malloc and free",
        "– where the tool would need more memory than there is.",
        ["shape", "threads", "without", *names, "heaptrack ÷ exact"])
    for shape in shapes:
        without = [run.ns_per_pair for run in measure(session, shape)[tools.NOTHING]]
        added = {name: added_ns(session, shape, name) for name in names}
        ratio = "–"
        if added.get(tools.HEAPTRACK_NAME) and added.get(tools.EXACT):
            ratio = "{:.1f}".format(statistics.median(added[tools.HEAPTRACK_NAME]) /
                                    statistics.median(added[tools.EXACT]))
        print_row([shape.name, str(shape.threads), cell(without),
                   *(cell(added[name]) for name in names), ratio])


def report_memory(session):
    names = [tool.name for tool in tools.for_shapes(session.scratch)
             if tool.is_there() and not tool.is_baseline and tool.name != tools.AGAIN]
    ours = [name for name in names if name.startswith("leakprof")]
    if session.wants(BIG_HEAP.name):
        print_table_head(
            "Memory added with 10 million live blocks", "Of the process, while the blocks were live.",
            ["tool", "bytes per live block"])
        for name in names:
            print_row([name, cell(added_bytes_per_block(session, name))])
    if session.wants(ONE_GIB.name):
        print_table_head("Memory added with 1 GiB live, in 10 million blocks", "", ["tool", "MiB"])
        for name in ours:
            print_row([name, cell([kib / 1024 for kib in added_kib(session, ONE_GIB, name)], "{:.2f}")])
    if session.wants(MANY_THREADS.name):
        print_table_head("Memory added per thread", "240 threads more than 16, with 16 frames on each stack.",
                         ["tool", "KiB per thread"])
        for name in ours:
            print_row([name, cell(kib_per_thread(session, name))])
