"""The command line of script/test-programs."""
import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import modes, suite

LINES_SHOWN = 80  # of each problem; the whole of it is in the program's scratch directory


def main():
    parser = argparse.ArgumentParser(
        prog="script/test-programs", description="Run programs with and without the shim and compare.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="programs; all if none is named")
    parser.add_argument("--list", action="store_true", help="name the programs there are")
    # Half of the tests' time is spent in waiting for time limits.
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="runs at a time (4)")
    parser.add_argument("--keep", action="store_true", help="keep what the runs wrote")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(suite.PROGRAMS))
        return 0
    unknown = [name for name in arguments.names if name not in suite.PROGRAMS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; --list names all")
    for path in (modes.SHIM, modes.LEAKPROF):
        if not path.exists():
            parser.error(f"{path} is not built: make build")

    scratch = Path(tempfile.mkdtemp(prefix="leakprof-programs-"))
    scratch.chmod(0o755)  # a check may use another account
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as an interrupt: ends all runs
    names = arguments.names or list(suite.PROGRAMS)
    started = time.monotonic()
    table = Table(scratch)
    suite.run_all(names, arguments.workers, scratch, table.add)
    # Tests of time and of threads fail now and then on a busy machine, without the shim too. What the shim
    # changes, it changes on an idle one as well; a crash, a hang or a loss is never a matter of luck.
    if table.differing:
        print("once more, one run at a time:")
        again = Table(scratch / "again")
        suite.run_all(table.differing, 1, again.scratch, again.add)
        table.failed += again.failed + again.differing
        for name in table.differing:
            if name not in table.failed:
                print(f"{name} differed once and not again; its first outcome is above")
    print(f"{len(table.failed)} of {len(names)} programs differ or have problems; {time.monotonic() - started:.0f} s")
    if table.failed or arguments.keep:
        print(f"what they wrote: {scratch}")
    if not arguments.keep:
        # As a whole if nothing failed, else what is of no interest.
        for name in os.listdir(scratch):
            if not table.failed or name not in [*table.failed, "again"]:
                shutil.rmtree(scratch / name)
        if not table.failed:
            scratch.rmdir()
    return 1 if table.failed else 0


class Table:
    """Prints a line per program as results come, and below it what is wrong."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.failed = []
        self.differing = []  # in what they did, and in nothing else
        print(f"{'program':<28} {'exact':<10} {'sampled':<10} {'seconds (bare, exact, sampled)':<32} regions", flush=True)

    def add(self, name, outcomes):
        bare = outcomes[modes.BARE.name]
        problems = [f"{modes.BARE.name}: {problem}" for problem in bare.problems]
        words = []
        has_failed = bool(problems)
        for mode in modes.ALL[1:]:
            outcome = outcomes[mode.name]
            difference = suite.differences(bare, outcome)
            found = [*outcome.problems, *([difference] if difference else [])]
            problems += [f"{mode.name}: {problem}" for problem in found]
            has_failed |= bool(outcome.problems) or suite.was_killed(bare) != suite.was_killed(outcome)
            words.append("differs" if difference else "problem" if found else "same")
        seconds = ", ".join(f"{outcomes[mode.name].seconds:.1f}" for mode in modes.ALL)
        counts = "+".join(str(outcomes[mode.name].regions) for mode in modes.ALL[1:])
        print(f"{name:<28} {words[0]:<10} {words[1]:<10} {seconds:<32} {counts}")
        for problem in problems:
            lines = problem.split("\n")
            print("\n".join("    " + line[:300] for line in lines[:LINES_SHOWN]))
            if len(lines) > LINES_SHOWN:
                print(f"    … {len(lines) - LINES_SHOWN} more lines, see problems")
        if problems:
            (self.scratch / name / "problems").write_text("\n".join(problems))
        sys.stdout.flush()
        if has_failed:
            self.failed.append(name)
        elif problems:
            self.differing.append(name)
