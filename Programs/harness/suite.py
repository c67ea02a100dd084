"""The programs there are, and running them in all modes."""
import difflib
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from . import modes, processes, regions, shared_memory
from .run import Failed, Run


@dataclass(frozen=True)
class Program:
    name: str
    check: object
    limit_seconds: int  # for one mode
    # Losses (see regions.py) that the program brings about by its nature, with the reason.
    allowed_losses: dict
    variables: dict  # more settings of the shim


@dataclass
class Outcome:
    """What one run of one program left."""

    transcript: list
    seconds: float
    regions: int = 0
    problems: list = field(default_factory=list)


PROGRAMS = {}


def program(name, limit_seconds, allowed_losses=None, variables=None):
    """Decorates a check: a function of a `Run`, called once for each mode."""

    def add(check):
        PROGRAMS[name] = Program(name, check, limit_seconds, allowed_losses or {}, variables or {})
        return check

    return add


def run_all(names, workers, scratch_parent, report):
    """Runs programs in all modes, several runs at a time, and calls `report` with a name and the outcomes by
    mode when a program is done. What runs that had problems left stays in `scratch_parent`."""
    # As many as keep two cores busy: most of the time is spent in waiting, by tests of time limits.
    with multiprocessing.get_context("fork").Pool(workers, maxtasksperchild=1) as pool:
        pending = [
            (name, {mode.name: pool.apply_async(run_one, (name, mode.name, str(scratch_parent / name)))
                    for mode in modes.ALL})
            for name in names]
        for name, results in pending:
            report(name, {mode: result.get() for mode, result in results.items()})


def run_one(name, mode_name, scratch):
    """One run. The process this is called in ends afterwards (maxtasksperchild), so what it changes in
    itself, such as its /dev/shm, does not last."""
    entry = PROGRAMS[name]
    mode = next(mode for mode in modes.ALL if mode.name == mode_name)
    own_shared_memory = shared_memory.take_own()
    recordings = Path(tempfile.mkdtemp(prefix="leakprof-programs-", dir="/dev/shm"))
    processes.answer_for_descendants(before_end=lambda: shutil.rmtree(recordings, ignore_errors=True))
    recordings.chmod(0o711)  # a check may use another account
    before = shared_memory.names()
    run = Run(mode, Path(scratch, mode.directory), recordings / mode.directory, entry.limit_seconds,
              entry.variables)
    outcome = Outcome(run.transcript, 0)
    started = time.monotonic()
    try:
        entry.check(run)
    except Failed as failure:
        # Where everything hangs, before it is killed.
        outcome.problems.append("\n".join([str(failure), *map(processes.describe, processes.descendants())]))
        processes.end_descendants()
    except Exception:
        outcome.problems.append(traceback.format_exc())
        processes.end_descendants()
    outcome.seconds = time.monotonic() - started
    left = run.left_behind()
    outcome.problems += ["left behind: " + processes.describe(pid, stacks=False) for pid in left]
    processes.end_descendants()
    if mode.recorded:
        problems, outcome.regions = regions.problems_of(run.regions, entry.allowed_losses)
        outcome.problems += problems
    elif list(run.regions.iterdir()):
        outcome.problems.append("there is a recording of a run without the shim")
    if outcome.problems:
        # --sparse: a region is mostly holes once its process has ended.
        subprocess.run(["cp", "-r", "--sparse=always", run.regions, Path(scratch, f"regions-{mode.directory}")])
    shutil.rmtree(recordings)
    # In a /dev/shm that others use too, what appears there may be theirs.
    if own_shared_memory and (more := shared_memory.names() - before):
        outcome.problems.append(f"left in /dev/shm: {sorted(more)}")
    return outcome


def differences(bare, recorded):
    """A unified diff of two transcripts, empty if they are the same."""
    if bare.transcript == recorded.transcript:
        return ""
    lines = [[f"{title}: {line}" for title, text in outcome.transcript for line in text.splitlines() or [""]]
             for outcome in (bare, recorded)]
    return "\n".join(difflib.unified_diff(*lines, "without the shim", "with the shim", lineterm="", n=2))
