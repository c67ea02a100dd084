"""The programs there are, and running them in all modes."""
import difflib
import os
import pickle
import shutil
import signal
import subprocess
import sys
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
    """Runs programs in all modes, up to `workers` runs at a time, and calls `report` with a name and the
    outcomes by mode when a program is done. What they wrote is below `scratch_parent`."""
    waiting = [(name, mode) for name in names for mode in modes.ALL]
    running = {}  # process ID: name, mode
    outcomes = {name: {} for name in names}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                name, mode = waiting.pop(0)
                running[_fork(name, mode, scratch_parent / name)] = name, mode
            pid, status = os.wait()
            name, mode = running.pop(pid)
            outcomes[name][mode.name] = _outcome(scratch_parent / name, mode, status)
            if len(outcomes[name]) == len(modes.ALL):
                report(name, outcomes[name])
    finally:
        for pid in running:  # only when interrupted; they end what they started
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def _fork(name, mode, scratch):
    """Each run has a process of its own, so what it changes in itself, such as its /dev/shm, does not last."""
    pid = os.fork()
    if pid == 0:
        try:
            outcome = run_one(name, mode, scratch)
            Path(scratch, f"outcome-{mode.directory}").write_bytes(pickle.dumps(outcome))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    return pid


def _outcome(scratch, mode, status):
    path = Path(scratch, f"outcome-{mode.directory}")
    if status != 0 or not path.exists():
        return Outcome([], 0, problems=[f"the process that watched over the run ended with wait status {status}"])
    return pickle.loads(path.read_bytes())


def run_one(name, mode, scratch):
    """One run, in a process that ends afterwards."""
    entry = PROGRAMS[name]
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


def was_killed(outcome):
    """Which of a run's commands ended by a signal: theirs are the negative exit statuses."""
    return [title for title, text in outcome.transcript if text.startswith("exit status -")]


def differences(bare, recorded):
    """A unified diff of two transcripts, empty if they are the same."""
    if bare.transcript == recorded.transcript:
        return ""
    lines = [[f"{title}: {line}" for title, text in outcome.transcript for line in text.splitlines() or [""]]
             for outcome in (bare, recorded)]
    return "\n".join(difflib.unified_diff(*lines, "without the shim", "with the shim", lineterm="", n=2))
