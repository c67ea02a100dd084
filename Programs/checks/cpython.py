"""CPython's own tests, those of Debian's Python and, of the newest that pyenv installed if there is one, some. They count
descriptors and threads, compare standard error, fork while threads run, and set resource limits."""
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from harness.run import Failed
from harness.suite import program

DEBIAN = "/usr/bin/python3.11"
# The slowest first. Of test_subprocess and test_signal most time is sleep.
TESTS = [
    "test_multiprocessing_spawn", "test_multiprocessing_fork", "test_subprocess", "test_signal", "test_threading",
    "test_os", "test_gc", "test_fork1", "test_ctypes", "test_faulthandler", "test_resource", "test_posix",
]

# Its own comment says that every signal may be ignored in a race, and then it fails: so it did in 1 of 60 runs
# without the shim, on a busy core.
DEPENDS_ON_LUCK = "test_stress_modifying_handlers"


def verdicts(path):
    """"name: verdict" for each test case, sorted; of a failure also what it says first."""
    lines = []
    for case in ElementTree.parse(path).iter("testcase"):
        words = [child.tag + ": " + (child.text or "").strip().splitlines()[-1] if (child.text or "").strip()
                 else child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        lines.append(f"{case.get('name')}: {', '.join(words) or 'ok'}")
    if not lines:
        raise Failed(f"{path} holds no verdict")
    return "\n".join(sorted(lines))


def run_test(run, python, test):
    # An altered environment (a descriptor, thread, or signal handler more) counts as a failure.
    run.command([python, "-m", "test", "--fail-env-changed", "--junit-xml", run.scratch / "verdicts.xml",
                 "--ignore", DEPENDS_ON_LUCK, test],
                # Reported progress has times and, under load, notes about them.
                compare=False)
    run.note("verdicts", verdicts(run.scratch / "verdicts.xml"))


def add(python, word, tests):
    for test in tests:
        def check(run, test=test):
            run_test(run, python, test)

        # Recorded exactly, what these import and do has more different stacks than the usual region holds.
        variables = {"LEAKPROF_REGION_SIZE": "64MiB"} if "multiprocessing" in test else {}
        program(f"{word}-{test}", limit_seconds=600, variables=variables)(check)


def newest_of_pyenv():
    """A Python from 3.12 on, if pyenv installed one for this account: its allocator and threads changed."""
    found = {}
    for path in Path.home().glob(".pyenv/versions/3.*/bin/python3"):
        version = tuple(int(number) for number in path.parts[-3].split(".") if number.isdigit())
        if version >= (3, 12) and (path.parents[1] / f"lib/python3.{version[1]}/test/test_gc.py").exists():
            found[version] = path
    return found[max(found)] if found else None


add(DEBIAN, "python3.11", TESTS)
if newest := newest_of_pyenv():
    add(newest, "python" + newest.parts[-3],
        ["test_subprocess", "test_threading", "test_os", "test_gc", "test_fork1", "test_ctypes"])
