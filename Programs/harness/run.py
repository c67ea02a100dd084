"""One run of one program: what it may use, and the transcript of what it did."""
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import modes, processes


class Failed(Exception):
    """The run can't go on; the text says why."""


class Run:
    """What a check calls. Everything is below `scratch`; `regions` is where recordings go.

    A check calls `command`, or `start` and `wait`, and adds with `note` whatever else has to be the same in
    all modes. It must not depend on `mode`."""

    def __init__(self, mode, scratch, regions, limit_seconds, variables):
        self.mode = mode
        self.scratch = scratch
        self.regions = regions
        self.transcript = []
        self._limit_seconds = limit_seconds
        self._deadline = time.monotonic() + limit_seconds
        self._environment = modes.environment(mode, scratch, regions)
        self._own = {}  # process ID: (Popen, output files)
        self._environment.update(variables)
        self._user = None
        scratch.mkdir(parents=True)
        (scratch / "tmp").mkdir()
        regions.mkdir(parents=True, mode=0o700)

    def use_account(self, name):
        """Later commands run as this user, who owns `scratch` and `regions` from here on. Only root can."""
        if os.geteuid() != 0:
            return
        self._user = name
        account = pwd.getpwnam(name)
        for path in [self.regions, self.scratch, *self.scratch.rglob("*")]:
            os.chown(path, account.pw_uid, account.pw_gid)

    def file(self, name, content):
        path = self.scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def note(self, title, text):
        """Adds to the transcript."""
        self.transcript.append((title, self._common(str(text))))

    def command(self, argv, normalize=(), compare=True, directory=None, input=None, environment=None, expect=None):
        """Runs a program to its end and returns its output.

        Exit status, output and errors go into the transcript, as `normalize` (pairs of pattern and
        replacement, or functions of the text) makes them; only the exit status unless `compare`. `expect`
        is the exit status without which going on makes no sense."""
        started = self.start(argv, directory=directory, input=input, environment=environment)
        status, output, errors = self.wait(started)
        title = " ".join(str(word) for word in argv)
        self.note("$ " + _shortened(normalized(self._common(title), normalize)), f"exit status {status}")
        for name, text in (("output", output), ("errors", errors)):
            if compare and text:
                self.note(name, normalized(self._common(text), normalize))
        if expect is not None and status != expect:
            raise Failed(f"{title}\nended with {status}\n{output[-2000:]}{errors[-4000:]}")
        return output

    def start(self, argv, directory=None, input=None, environment=None):
        """Starts a program; `wait` or `stop` is to be called for what this returns."""
        number = len(list(self.scratch.glob("tmp/.out.*")))
        paths = [self.scratch / f"tmp/.{kind}.{number}" for kind in ("out", "err", "in")]
        paths[2].write_text(input or "")
        argv = [str(word) for word in argv]
        if self._user:
            argv = ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--init-groups", "--", *argv]
        # Files, not pipes: a daemon that keeps a pipe open would keep us from its end.
        with open(paths[0], "wb") as output, open(paths[1], "wb") as errors, open(paths[2], "rb") as source:
            started = subprocess.Popen(
                argv, stdin=source, stdout=output, stderr=errors, cwd=directory or self.scratch,
                env={**self._environment, **(environment or {})}, start_new_session=True)
        self._own[started.pid] = (started, paths)
        return started

    def wait(self, started):
        """(exit status, output, errors); the status of a program that was ended by a signal is negative."""
        self.until(lambda: started.poll() is not None, f"the end of {started.args}")
        paths = self._own.pop(started.pid)[1]
        return (started.returncode, *(path.read_bytes().decode(errors="replace") for path in paths[:2]))

    def stop(self, started, signal_number=signal.SIGTERM):
        """Sends a signal, waits, and notes the exit status."""
        started.send_signal(signal_number)
        status, output, errors = self.wait(started)
        self.note(f"after {signal.Signals(signal_number).name}", f"exit status {status}")
        return status, output, errors

    def until(self, condition, what):
        """Waits for something to become true, as long as the program's time limit allows."""
        while not condition():
            processes.reap_adopted(self._own)
            if time.monotonic() > self._deadline:
                raise Failed(f"hang: {what} did not come within {self._limit_seconds} s")
            time.sleep(0.02)

    def output_so_far(self, started):
        return b"".join(path.read_bytes() for path in self._own[started.pid][1][:2]).decode(errors="replace")

    def until_answers(self, argv):
        """Waits until a command, which is not recorded and not noted, succeeds."""
        plain = {key: value for key, value in self._environment.items() if key != "LD_PRELOAD"}
        argv = [str(word) for word in argv]

        def succeeds():
            return subprocess.run(argv, env=plain, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, cwd=self.scratch).returncode == 0

        self.until(succeeds, "an answer to " + " ".join(argv))

    def left_behind(self):
        """Process IDs of what the program started and did not end. What is about to end by itself, such as
        a worker whose master is gone, gets a moment."""
        limit = time.monotonic() + 5
        while True:
            processes.reap_adopted(self._own)
            left = processes.descendants()
            if not left or time.monotonic() > limit:
                return left
            time.sleep(0.02)

    def _common(self, text):
        return text.replace(str(self.regions), "REGIONS").replace(str(self.scratch), "SCRATCH")


def normalized(text, steps):
    for step in steps:
        text = step(text) if callable(step) else re.sub(step[0], step[1], text, flags=re.MULTILINE)
    return text


def sorted_lines(text):
    """For what threads or processes print in any order."""
    return "\n".join(sorted(text.splitlines()))


def which(*names):
    """The first of these programs that is installed, by name or path."""
    for name in names:
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") or (Path(name).is_file() and name)
        if found:
            return str(found)
    raise Failed(f"{names[0]} is not installed; script/bootstrap programs installs it")


def _shortened(text):
    text = " ".join(text.split())
    return text if len(text) < 160 else text[:157] + "..."
