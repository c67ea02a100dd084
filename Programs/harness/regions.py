"""Whether what was recorded can be read, and is whole."""
import os
import re
import subprocess
from pathlib import Path

from .modes import LEAKPROF

# Lines of `leakprof inspect` that mean that something is missing from the recording, and what they say
# when nothing is. Stacks that were cut for want of unwind information (JIT code) or at the depth limit are no
# loss of allocations. A replaced block is one whose free was not seen.
LOSSES = {
    "dropped no memory": "0", "dropped no counter": "0", "dropped unrepresentable": "0", "stacks lost": "0",
    "modules lost": "0", "epochs lost": "0", "replaced blocks": "0", "copies failed": "0", "not understood": "none",
}


def problems_of(directory, allowed_losses, run_limit_seconds=60):
    """What is wrong with the regions in a directory, as sentences; and how many there are."""
    paths = sorted(directory.glob("*.region"))
    problems = []
    if not paths:
        problems.append("nothing was recorded: there is no region")
    others = [path.name for path in directory.iterdir() if path not in paths]
    if others:
        problems.append(f"besides regions, there are {others}")
    for path in paths:
        if _never_began(path):
            continue
        inspected, problem = _leakprof("inspect", path, run_limit_seconds)
        if problem:
            problems.append(problem)
            continue
        said = dict(re.split("  +", line, maxsplit=1) for line in inspected.splitlines() if "  " in line)
        losses = [f"{name}: {said.get(name)}" for name, none in LOSSES.items()
                  if said.get(name) != none and name not in allowed_losses]
        if losses:
            problems.append(f"{_whose(inspected)} lost {', '.join(losses)}")
        _, problem = _leakprof("top", path, run_limit_seconds)
        if problem:
            problems.append(problem)
    return problems, len(paths)


def _never_began(path):
    """Whether its process is gone and was killed before its region was complete, as test suites kill children that have
    hardly begun: nothing was recorded yet, and leakprof says so."""
    with path.open("rb") as file:
        has_mark = file.read(8) != bytes(8)
    return not has_mark and not Path(f"/proc/{path.name.split('.')[0]}").exists()


def _whose(inspected):
    """The process a region is of: its ID and, as the first module usually is its program, that."""
    return " ".join(" ".join(line.split()) for line in inspected.splitlines()
                    if line.startswith(("pid  ", "module 1  ", "state")))


def _leakprof(subcommand, path, limit_seconds):
    try:
        done = subprocess.run(
            [str(LEAKPROF), subcommand, str(path)], capture_output=True, text=True, errors="replace",
            timeout=limit_seconds, env={**os.environ, "LEAKPROF_DIR": str(path.parent)})
    except subprocess.TimeoutExpired:
        return "", f"leakprof {subcommand} {path.name} did not end within {limit_seconds} s"
    if done.returncode != 0:
        return "", f"leakprof {subcommand} {path.name} ended with {done.returncode}: {done.stderr.strip()}"
    return done.stdout, None
