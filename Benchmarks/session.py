"""How programs are run and measured, the same for all tables."""
import os
import subprocess
import time
from dataclasses import dataclass

LONG_RUN_S = 8  # what takes longer is run once


@dataclass
class Use:
    """What a process and the children it waited for have used."""

    cpu_s: float
    wall_s: float


def environment_of(tool):
    return {**os.environ, **tool.environment}


def wait_for(process, started):
    """Reaps the process: the kernel's own account of it, not of what else ran meanwhile."""
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Use(usage.ru_utime + usage.ru_stime, wall_s)


def run(tool, command, stdin=None):
    started = time.monotonic()
    with open(stdin or os.devnull, "rb") as source:
        process = subprocess.Popen(
            [*tool.prefix, *command], env=environment_of(tool), stdin=source,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return wait_for(process, started)


def output_of(tool, command):
    """What the command prints, both streams."""
    return subprocess.run(
        [*tool.prefix, *command], env=environment_of(tool), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout


def in_turns(tools, turns, measure):
    """What `measure` gives for every tool by its name, one run each in every turn."""
    results = {tool.name: [] for tool in tools}
    for _ in range(turns):
        for tool in tools:
            results[tool.name].append(measure(tool))
    return results


def after_warm_up(tools, turns, measure):
    """The same after one more turn that fills the caches and is not kept, except for tools that take
    very long: of them it is all there is."""
    results, others = {}, []
    for tool in tools:
        started = time.monotonic()
        result = measure(tool)
        if time.monotonic() - started > LONG_RUN_S:
            results[tool.name] = [result]
        else:
            others.append(tool)
    return {**results, **in_turns(others, turns, measure)}


class Session:
    """One run of the benchmark: where files go, how often is measured, and what was measured so far, so
    that the aims and the tables are of the same numbers."""

    def __init__(self, scratch, rounds, only):
        self.scratch = scratch
        self.rounds = rounds
        self.only = only
        self._measured = {}

    def wants(self, name):
        return self.only in name

    def once(self, key, measure):
        if key not in self._measured:
            self._measured[key] = measure()
        return self._measured[key]
