"""Stressors of stress-ng that allocate, fork, map and start threads, with its own verification."""
from harness.run import sorted_lines
from harness.suite import program

# Operations, not seconds, so that all modes do the same work; the timeout only ends what hangs.
SIZES = ["--malloc-bytes", "16K", "--malloc-max", "8192"]  # of a block, and blocks: 128 MiB at most
STRESSORS = [
    ("malloc", ["--malloc", "2", "--malloc-ops", "60000", *SIZES]),
    ("malloc-threads", ["--malloc", "1", "--malloc-pthreads", "4", "--malloc-ops", "60000", *SIZES]),
    ("fork", ["--fork", "2", "--fork-ops", "4000"]),
    ("vfork", ["--vfork", "2", "--vfork-ops", "4000"]),
    ("bigheap", ["--bigheap", "1", "--bigheap-ops", "4000"]),
    ("mmap", ["--mmap", "1", "--mmap-bytes", "16M", "--mmap-ops", "6"]),
    ("pthread", ["--pthread", "1", "--pthread-ops", "2000"]),
    ("clone", ["--clone", "1", "--clone-ops", "300"]),
    ("exec", ["--exec", "1", "--exec-ops", "100"]),
    ("dynlib", ["--dynlib", "1", "--dynlib-ops", "200"]),
    ("sigsegv", ["--sigsegv", "1", "--sigsegv-ops", "500"]),
    ("context", ["--context", "1", "--context-ops", "2000"]),
]


def add(name, options):
    @program(f"stress-ng-{name}", limit_seconds=120)
    def check(run):
        run.command(["stress-ng", *options, "--verify", "--timeout", "100", "--temp-path", run.scratch / "tmp"],
                    normalize=[
                        (r"\[\d+\]", "[PID]"),
                        # How long it took.
                        (r"in [\d.]+s( \(.*\))?", "in TIME"),
                        # Instances report in any order.
                        sorted_lines])


for name, options in STRESSORS:
    add(name, options)
