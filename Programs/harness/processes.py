"""What descends from this process: found, described where it hangs, and ended. Nothing else is touched."""
import ctypes
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def answer_for_descendants(before_end):
    """Daemons become children of this process instead of init's, so none gets out of sight; and when this
    process is told to end, or its parent dies, they all end with it, after `before_end` was called."""

    def end_all(number, frame):
        end_descendants()
        before_end()
        os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end_all)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_CHILD_SUBREAPER, 1), (PR_SET_PDEATHSIG, signal.SIGTERM)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option})")


def reap_adopted(own):
    """Waits for ended children other than `own` (process IDs), whose status somebody else wants. A program
    that looks whether its daemon is gone would wait for ever for a zombie."""
    for pid in children_of(os.getpid()):
        if pid not in own:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass  # reaped since


def children_of(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in _read(task / "children").split()]
    return found


def descendants():
    """Process IDs of all that descends from this process and has not ended; parents first."""
    found = []
    waiting = [os.getpid()]
    while waiting:
        try:
            children = children_of(waiting.pop(0))
        except OSError:
            continue  # ended since
        found += children
        waiting += children
    return [pid for pid in found if _state(pid) not in ("Z", "X", "")]


def end_descendants():
    """Kills all that descends from this process, also what it starts meanwhile, and waits until it is gone."""
    while pids := descendants():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)


def describe(pid, stacks=True):
    """What a process is and, with `stacks`, where each of its threads is."""
    lines = [f"process {pid}, parent {_status(pid, 'PPid')}: {command_line(pid)}"]
    if not stacks:
        return lines[0]
    for task in sorted(_tasks(pid), key=lambda path: int(path.name)):
        lines.append(
            f"  thread {task.name} {_read(task / 'comm').strip()}: state {_state(task.name, task)},"
            f" waits in {_read(task / 'wchan').strip() or '?'}, system call {_read(task / 'syscall').strip()}")
        lines += ["      " + line for line in _read(task / "stack").splitlines()]
    if shutil.which("gdb"):
        lines += ["  " + line for line in _backtraces(pid)]
    return "\n".join(lines)


def command_line(pid):
    return _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip() or f"[{_status(pid, 'Name')}]"


def _backtraces(pid):
    # Symbols are not asked of any server, and gdb itself is not recorded.
    command = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off",
               "-ex", "thread apply all backtrace 40", "-p", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)
    except subprocess.TimeoutExpired:
        return ["gdb did not answer within a minute"]
    return [line for line in done.stdout.splitlines() if line.startswith(("#", "Thread"))]


def _tasks(pid):
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _state(pid, directory=None):
    stat = _read((directory or Path(f"/proc/{pid}")) / "stat")
    # Behind the name, which is in parentheses and may contain any character.
    return stat[stat.rindex(")") + 2] if stat else ""


def _status(pid, field):
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith(field + ":"):
            return line.split(":", 1)[1].strip()
    return "?"


def _read(path):
    """Empty when the process has ended or the file may not be read."""
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
