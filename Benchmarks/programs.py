"""Real programs under leakprof: CPU time, and wall time of what services and builds wait for.

Every run takes one to three seconds. Tried on a busy machine of two processors, with as much time in all:
ratios of runs of 1.1 s ranged from 0.978 to 1.055, of 2.6 s from 0.986 to 1.013. So runs are long rather
than many; and where a hundredth matters, the program takes several turns per round, and the round's
figure is the median of what its turns gave.
"""
import shutil
import statistics
import subprocess
from dataclasses import dataclass
from typing import Callable

import inputs
import redis
import tools
from report import cell, print_row, print_table_head
from session import in_turns, run

REDIS = "redis-server, redis-benchmark"
GCC = "gcc (cc1plus -O1), a large file"
OFTEN = (tools.NOTHING, tools.AGAIN, tools.SAMPLED)


@dataclass(frozen=True)
class Program:
    name: str
    needs: str  # a command
    measure: Callable  # from a tool to what the program used under it
    turns: int = 1  # per round, of the tools that run often


def compiler():
    """The compiler itself, not the driver that starts it: heaptrack does not follow."""
    found = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def programs(session):
    """Those that are installed. Their inputs are made when they are first run."""
    scratch, once = session.scratch, session.once

    def gcc(tool):
        source = once("source", lambda: inputs.large_source(scratch))
        return run(tool, [once("cc1plus", compiler), "-quiet", "-O1", source, "-o", "/dev/null"])

    def python(tool):
        return run(tool, [tools.PYTHON, str(tools.ROOT / "Benchmarks/python_loop.py"), "12000"])

    def git(tool):
        history = once("repository", lambda: inputs.repository(scratch, 4000))
        return run(tool, ["git", "-C", history, "log", "--stat", "-p"])

    def sqlite(tool):
        return run(tool, ["sqlite3", ":memory:"], once("sql", lambda: inputs.sql(scratch, 2_000_000)))

    known = [
        Program(REDIS, "redis-benchmark", lambda tool: redis.run(scratch, tool), turns=3),
        Program(GCC, "g++", gcc, turns=3),
        Program("python3, JSON", "python3", python),
        Program("sqlite3, 2,000,000 rows", "sqlite3", sqlite),
        Program("git log --stat -p, 4,000 commits", "git", git),
    ]
    return [program for program in known if shutil.which(program.needs)]


def measure_rounds(session, program):
    """Per round, what every tool's turns used, by the tool's name."""
    chosen = [tool for tool in tools.for_programs() if tool.is_there()]
    often = [tool for tool in chosen if tool.name in OFTEN]
    in_turns(chosen, 1, program.measure)  # fills the caches
    rounds = []
    for _ in range(session.rounds):
        uses = in_turns(chosen, 1, program.measure)
        for name, more in in_turns(often, program.turns - 1, program.measure).items():
            uses[name] += more
        rounds.append(uses)
    return rounds


def measure(session, name):
    """Nothing when the program is not installed."""
    program = next((each for each in programs(session) if each.name == name), None)
    if program is None:
        return []
    return session.once(name, lambda: measure_rounds(session, program))


def ratios(rounds, name, of):
    """Per round, the tool's ratio to nothing, turn by turn; `of` picks what is compared."""
    return [statistics.median(of(a) / of(b) for a, b in zip(uses[name], uses[tools.NOTHING]))
            for uses in rounds if name in uses]


def cpu(use):
    return use.cpu_s


def wall(use):
    return use.wall_s


def report(session):
    chosen = [program for program in programs(session) if session.wants(program.name)]
    if not chosen:
        return
    names = [tool.name for tool in tools.for_programs() if tool.is_there() and not tool.is_baseline]
    print_table_head(
        "Real programs, as ratios to the run without",
        "CPU time of the program (of redis-server, not of redis-benchmark) under every tool; then wall "
        "time, of redis-benchmark and of the others themselves.",
        ["program", "without, CPU s", *names, "without, wall s",
         *(f"wall: {name}" for name in (tools.AGAIN, tools.SAMPLED))])
    for program in chosen:
        rounds = measure(session, program.name)
        without = [use for uses in rounds for use in uses[tools.NOTHING]]
        print_row([
            program.name, cell([cpu(use) for use in without], "{:.2f}"),
            *(cell(ratios(rounds, name, cpu), "{:.3f}") for name in names),
            cell([wall(use) for use in without], "{:.2f}"),
            *(cell(ratios(rounds, name, wall), "{:.3f}") for name in (tools.AGAIN, tools.SAMPLED))])
