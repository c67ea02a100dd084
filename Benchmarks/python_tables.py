"""A Python loop under leakprof, memray and tracemalloc.

CPython takes small blocks from arenas of its own, out of reach of what stands in front of malloc, while
memray and tracemalloc are asked by the interpreter. PYTHONMALLOC=malloc lets every block come from
malloc: then all of them see the same blocks, and it is what they are compared with.
"""
from dataclasses import replace

import tools
from report import cell, print_row, print_table_head
from session import after_warm_up, output_of

NAME = "python3, JSON"
TURNS = 6_000
AS_IS = "as it is"
MALLOC = "PYTHONMALLOC=malloc"


def measure(session, allocator):
    """µs of CPU per turn, by the tool's name."""
    script = str(tools.ROOT / "Benchmarks/python_loop.py")
    environment = {"PYTHONMALLOC": "malloc"} if allocator == MALLOC else {}

    def run(tool):
        text = output_of(tool, [script, str(int(TURNS * tool.share))])
        return float(next(line for line in text.splitlines() if "µs per turn" in line).split()[0])

    chosen = [replace(tool, environment={**tool.environment, **environment})
              for tool in tools.for_python(session.scratch) if tool.is_there()]
    return session.once((NAME, allocator), lambda: after_warm_up(chosen, session.rounds, run))


def added_us(session, allocator, name):
    runs = measure(session, allocator)
    return [a - b for a, b in zip(runs.get(name, []), runs.get(tools.NOTHING, []))]


def report(session):
    names = [tool.name for tool in tools.for_python(session.scratch) if tool.is_there()]
    if not session.wants(NAME):
        return
    print_table_head(
        "A Python loop: µs of CPU per turn, and as a ratio to the run without",
        "As it is, leakprof sees only the blocks above 512 bytes; with PYTHONMALLOC=malloc all of them, "
        "as memray and tracemalloc always do.",
        ["tool", AS_IS, "ratio", MALLOC, "ratio"])
    for name in names:
        cells = [name]
        for allocator in (AS_IS, MALLOC):
            runs = measure(session, allocator)
            ratios = [a / b for a, b in zip(runs[name], runs[tools.NOTHING])]
            cells += [cell(runs[name]), cell(ratios, "{:.2f}")]
        print_row(cells)
