"""Instructions, which do not depend on what else the machine does: counted by callgrind.

callgrind runs the program's own allocator and the shim in front of it, and counts what they execute
outside the kernel. What a page fault or a cache miss costs is not in it.
"""
import re
import subprocess

import inputs
import programs
import tools
from report import print_row, print_table_head
from session import output_of

# Shapes with pairs enough for what is done once to vanish between two lengths, and for samples to come.
SHAPES = [("pair-16", 200_000), ("containers", 200_000), ("growth", 200_000)]
GCC = "gcc (cc1plus -O1), a small file"
MASSIF_SHAPES = [("pair-16", 500_000), ("containers", 500_000)]


def shim_without_debug_info(scratch):
    """Debian 12's valgrind gives up on the debug information that Swift's clang writes."""
    path = f"{scratch}/libleakshim.so"
    subprocess.run(["objcopy", "--strip-debug", str(tools.SHIM), path], check=True)
    return path


def callgrind_tools(scratch):
    callgrind = (str(tools.VALGRIND), "--tool=callgrind", "--callgrind-out-file=/dev/null")
    ours = tools.leakprof(shim_without_debug_info(scratch)) if tools.SHIM.exists() else []
    return [tools.Tool(tools.NOTHING, prefix=callgrind),
            *(tools.Tool(tool.name, {**tool.environment, "LEAKPROF_SEED": "1"}, callgrind)
              for tool in ours)]


def count(tool, command):
    return int(re.search(r"Collected : (\d+)", output_of(tool, command)).group(1))


def per_pair(session, tool, shape, pairs):
    """By the difference of two lengths, so that start and end are not in it."""
    command = [f"{session.scratch}/shapes", shape, "1"]
    return (count(tool, [*command, str(2 * pairs)]) - count(tool, [*command, str(pairs)])) / pairs


def report_callgrind(session):
    wanted = [(shape, pairs) for shape, pairs in SHAPES if session.wants(shape)]
    if not tools.VALGRIND.exists() or not (wanted or session.wants(GCC)):
        return
    chosen = callgrind_tools(session.scratch)
    print_table_head(
        "Instructions, counted by callgrind",
        "Added per pair of malloc and free; for gcc, all of them as a ratio to the run without.",
        ["program", "without", *(tool.name for tool in chosen[1:])])
    for shape, pairs in wanted:
        counts = [per_pair(session, tool, shape, pairs) for tool in chosen]
        print_row([f"{shape}, per pair", f"{counts[0]:.1f}",
                   *(f"{each - counts[0]:+.1f}" for each in counts[1:])])
    if session.wants(GCC):
        source = inputs.small_source(session.scratch)
        command = [programs.compiler(), "-quiet", "-O1", source, "-o", "/dev/null"]
        counts = [count(tool, command) for tool in chosen]
        print_row([GCC, f"{counts[0] / 1e6:.0f} million",
                   *(f"× {each / counts[0]:.4f}" for each in counts[1:])])


def report_massif(session):
    wanted = [(shape, pairs) for shape, pairs in MASSIF_SHAPES if session.wants(shape)]
    if not tools.VALGRIND.exists() or not wanted:
        return
    massif = tools.Tool("massif", prefix=(
        str(tools.VALGRIND), "--tool=massif", f"--massif-out-file={session.scratch}/massif"))
    print_table_head("valgrind's massif, once", "", ["shape", "without, ns per pair", "massif, ns per pair"])
    for shape, pairs in wanted:
        figures = []
        for tool in (tools.Tool(tools.NOTHING), massif):
            text = output_of(tool, [f"{session.scratch}/shapes", shape, "1", str(pairs)])
            figures.append(next(line for line in text.splitlines() if "ns per pair" in line).split()[0])
        print_row([shape, *figures])
