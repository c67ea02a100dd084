"""The three ways in which every program is run."""
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILT = ROOT / ".build/release"
SHIM = BUILT / "libleakshim.so"
LEAKPROF = BUILT / "leakprof"


@dataclass(frozen=True)
class Mode:
    """`name` is what the table says, `directory` the scratch directory's last component: all have one
    length, so that no buffer or file differs in size because of its path."""

    name: str
    directory: str
    recorded: bool


BARE = Mode("bare", "0", recorded=False)
EXACT = Mode("exact", "1", recorded=True)
SAMPLED = Mode("sampled", "2", recorded=True)
ALL = [BARE, EXACT, SAMPLED]


def environment(mode, scratch, regions):
    """The whole environment of a program. Nothing is inherited, so that a result does not depend on who
    runs it; the runs differ in what loads the shim, and in nothing else that a program looks at."""
    variables = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(scratch),
        "TMPDIR": str(scratch / "tmp"),
        "TZ": "UTC",
        "LEAKPROF_DIR": str(regions),
        "LEAKPROF_KEEP": "1",
        "LEAKPROF_MODE": mode.name if mode.recorded else "off",
        # Small, so that short programs have samples too.
        "LEAKPROF_INTERVAL": "16KiB",
    }
    if mode.recorded:
        variables["LD_PRELOAD"] = str(SHIM)
    return variables
