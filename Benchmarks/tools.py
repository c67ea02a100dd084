"""The ways to run a program that are compared: without a profiler, under leakprof, under its peers."""
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIM = ROOT / ".build/release/libleakshim.so"
BENCH_PYTHON = ROOT / ".build/bench-venv/bin/python"  # made by script/bootstrap
MEMRAY_PROGRAM = BENCH_PYTHON.with_name("memray")
PYTHON = str(BENCH_PYTHON if BENCH_PYTHON.exists() else sys.executable)
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
HEAPTRACK = Path("/usr/bin/heaptrack")
HEAPTRACK_SHIM = Path("/usr/lib/heaptrack/libheaptrack_preload.so")
VALGRIND = Path("/usr/bin/valgrind")

NOTHING = "nothing"
AGAIN = "without, again"  # nothing once more: what it differs by is noise
EXACT = "leakprof exact"
SAMPLED = "leakprof sampled"
OFF = "leakprof off"
PAUSED = "leakprof paused"
HEAPTRACK_NAME = "heaptrack"
JEMALLOC = "jemalloc prof, every block"
GPERFTOOLS = "gperftools heap profiler"
MEMRAY = "memray --native --trace-python-allocators"


@dataclass(frozen=True)
class Tool:
    """A way to run a program: `environment` on top of ours, `prefix` in front of its command."""

    name: str
    environment: dict = field(default_factory=dict)
    prefix: tuple = ()
    baseline: str = NOTHING  # the tool its cost is measured against
    share: float = 1.0  # of the work that it is given: some would take hours
    most_pairs: float = math.inf  # in shapes whose blocks may all be live
    needs: Path = Path("/")

    def is_there(self):
        return self.needs.exists()

    @property
    def is_baseline(self):
        """Whether it is there for others to be compared with, and has no column of its own."""
        return self.name == NOTHING or self.name.endswith(" alone")


def leakprof(shim=SHIM):
    """Every mode of ours. Paused is what the others may become later: loaded, told to wait."""
    preload = {"LD_PRELOAD": str(shim)}
    return [
        Tool(EXACT, {**preload, "LEAKPROF_MODE": "exact"}, share=0.5, needs=shim),
        Tool(SAMPLED, {**preload, "LEAKPROF_MODE": "sampled"}, needs=shim),
        Tool(OFF, {**preload, "LEAKPROF_MODE": "off"}, needs=shim),
        Tool(PAUSED, {**preload, "LEAKPROF_PAUSED": "1"}, needs=shim),
    ]


def for_shapes(scratch):
    jemalloc = LIBRARIES / "libjemalloc.so.2"
    tcmalloc = LIBRARIES / "libtcmalloc.so.4"
    return [
        Tool(NOTHING),
        Tool(AGAIN),
        *leakprof(),
        Tool(HEAPTRACK_NAME, prefix=(str(HEAPTRACK), "-o", f"{scratch}/heaptrack"),
             share=0.1, needs=HEAPTRACK),
        Tool("jemalloc alone", {"LD_PRELOAD": str(jemalloc)}, needs=jemalloc),
        Tool(JEMALLOC, {"LD_PRELOAD": str(jemalloc), "MALLOC_CONF": "prof:true,lg_prof_sample:0"},
             # A sampled block takes a page or more: ten million would be more memory than there is.
             baseline="jemalloc alone", share=0.01, most_pairs=500_000, needs=jemalloc),
        Tool("tcmalloc alone", {"LD_PRELOAD": str(tcmalloc)}, needs=tcmalloc),
        Tool(GPERFTOOLS,
             {"LD_PRELOAD": str(tcmalloc), "HEAPPROFILE": f"{scratch}/gperftools",
              "HEAP_PROFILE_ALLOCATION_INTERVAL": "0", "HEAP_PROFILE_INUSE_INTERVAL": "0"},
             baseline="tcmalloc alone", share=0.005, needs=tcmalloc),
    ]


def for_programs():
    """heaptrack's library without its script, whose helpers could not be told from the program. Its log
    goes to /dev/null, which is less work than the pipe it writes to otherwise."""
    return [
        Tool(NOTHING),
        Tool(AGAIN),
        *leakprof(),
        Tool(HEAPTRACK_NAME,
             {"LD_PRELOAD": str(HEAPTRACK_SHIM), "DUMP_HEAPTRACK_OUTPUT": "/dev/null"},
             needs=HEAPTRACK_SHIM),
    ]


def for_python(scratch):
    """How Python runs a script, in front of the script."""
    python = (PYTHON,)
    memray = ("-m", "memray", "run", "--native", "--trace-python-allocators", "--quiet", "--force",
              "--output", f"{scratch}/memray.bin")
    exact, sampled, *_ = leakprof()
    return [
        Tool(NOTHING, prefix=python),
        Tool(AGAIN, prefix=python),
        Tool(EXACT, exact.environment, python, share=exact.share, needs=SHIM),
        Tool(SAMPLED, sampled.environment, python, needs=SHIM),
        Tool(MEMRAY, prefix=(*python, *memray), share=0.1, needs=MEMRAY_PROGRAM),
        Tool("tracemalloc, 1 frame", prefix=(*python, "-X", "tracemalloc=1"), share=0.1),
        Tool("tracemalloc, 25 frames", prefix=(*python, "-X", "tracemalloc=25"), share=0.05),
    ]
