"""What is aimed at, and what this run reached, from the same numbers as the tables."""
import statistics
from dataclasses import dataclass
from typing import Callable

import programs
import python_tables
import shapes
import tools
from report import cell, print_row, print_table_head

AIMED_CLOCK_GHZ = 3
MEMHAWK_NS = 294  # per pair, by the fastest of its author's figures, on an i9-9900KF


@dataclass(frozen=True)
class Aim:
    """`reach` gives what was reached in words and whether that is met, or nothing when a tool that it
    needs is missing."""

    what: str
    aimed: str
    of: str  # the shape or program that it is measured with
    reach: Callable


def at_most(values, limit, form="{:.1f}"):
    """Judged by the median."""
    return (cell(values, form), statistics.median(values) <= limit) if values else None


def pair_cost(session):
    """Cycles are what the code needs; this core's clock may not be the one that the aim is stated for."""
    added = shapes.added_ns(session, shapes.PAIR, tools.EXACT)
    if not added:
        return None
    clock = shapes.clock_ghz(session)
    scaled = [ns * clock / AIMED_CLOCK_GHZ for ns in added]
    return (f"{cell(added)} at {clock:.2f} GHz, so {cell(scaled)} at {AIMED_CLOCK_GHZ} GHz",
            statistics.median(scaled) <= 60)


def thread_growth(session):
    one = shapes.added_ns(session, shapes.PAIR, tools.EXACT)
    if not one:
        return None
    growth = {shape.threads: statistics.median(shapes.added_ns(session, shape, tools.EXACT)) /
              statistics.median(one) for shape in shapes.THREADED_PAIRS}
    return (", ".join(f"{threads}: {ratio:.2f}" for threads, ratio in growth.items()),
            max(growth.values()) <= 1.3)


def compared(ours, theirs, unit, times=1):
    """Met when the peer's cost is at least `times` ours; strictly more than ours, where that is 1."""
    if not ours or not theirs:
        return None
    ratio = statistics.median(theirs) / statistics.median(ours)
    return (f"{cell(ours)} against {cell(theirs)} {unit}: {ratio:.1f} times ours",
            ratio >= times and ratio > 1)


def against(peer, times=1):
    def reach(session):
        return compared(shapes.added_ns(session, shapes.PAIR, tools.EXACT),
                        shapes.added_ns(session, shapes.PAIR, peer), "ns", times)
    return reach


def against_memray(session):
    return compared(python_tables.added_us(session, python_tables.MALLOC, tools.EXACT),
                    python_tables.added_us(session, python_tables.MALLOC, tools.MEMRAY), "µs per turn")


def wall_of(program):
    def reach(session):
        rounds = programs.measure(session, program)
        values = programs.ratios(rounds, tools.SAMPLED, programs.wall)
        if not values:
            return None
        again = programs.ratios(rounds, tools.AGAIN, programs.wall)
        return (f"{cell(values, '{:.3f}')}; without, again: {cell(again, '{:.3f}')}",
                statistics.median(values) <= 1.01)
    return reach


AIMS = [
    Aim("exact: CPU added per pair, 1 thread, 16 frames", "≤ 60 ns on a 3 GHz core", "pair-16", pair_cost),
    Aim("the same beside heaptrack", "≤ 1/6 of heaptrack's", "pair-16", against(tools.HEAPTRACK_NAME, 6)),
    Aim("the same beside jemalloc `lg_prof_sample:0`", "less", "pair-16", against(tools.JEMALLOC)),
    Aim("the same beside gperftools' heap profiler", "less", "pair-16", against(tools.GPERFTOOLS)),
    Aim("the same with 2, 4, 8, 16 threads, to 1 thread", "≤ 1.3 times", "pair-16", thread_growth),
    Aim("exact beside `memray --native --trace-python-allocators`, Python loop, PYTHONMALLOC=malloc",
        "less", python_tables.NAME, against_memray),
    Aim("exact: CPU added per pair, lists, 16 threads, beside MemHawk's published figure",
        f"< {MEMHAWK_NS} ns", "lists",
        lambda session: at_most(shapes.added_ns(session, shapes.LISTS, tools.EXACT), MEMHAWK_NS)),
    Aim("sampled (512 KiB): CPU added per pair, 1 thread", "≤ 4 ns", "pair-16",
        lambda session: at_most(shapes.added_ns(session, shapes.PAIR, tools.SAMPLED), 4)),
    Aim("sampled: wall time of redis-benchmark", "≤ 1.01 times", programs.REDIS, wall_of(programs.REDIS)),
    Aim("sampled: wall time of a compile with gcc", "≤ 1.01 times", programs.GCC, wall_of(programs.GCC)),
    Aim("paused: CPU added per pair, 1 thread", "≤ 2 ns", "pair-16",
        lambda session: at_most(shapes.added_ns(session, shapes.PAIR, tools.PAUSED), 2)),
    Aim("exact: memory per live block, 10 million live", "≤ 24 bytes", "big-heap",
        lambda session: at_most(shapes.added_bytes_per_block(session, tools.EXACT), 24)),
    Aim("sampled: memory in all, 1 GiB live", "≤ 4 MiB", "one-gib",
        lambda session: at_most(
            [kib / 1024 for kib in shapes.added_kib(session, shapes.ONE_GIB, tools.SAMPLED)], 4, "{:.2f}")),
    Aim("exact: memory per thread", "≤ 32 KiB", "idle-threads",
        lambda session: at_most(shapes.kib_per_thread(session, tools.EXACT), 32)),
]


def report(session):
    wanted = [aim for aim in AIMS if session.wants(aim.of)]
    if not wanted:
        return
    print_table_head("Aims", "Met or not by the medians of this run.", ["what", "aim", "reached", "met?"])
    for aim in wanted:
        reached, is_met = aim.reach(session) or ("not measured: a tool is missing", None)
        print_row([aim.what, aim.aimed, reached,
                   "–" if is_met is None else "met" if is_met else "**not met**"])
