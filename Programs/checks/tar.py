"""tar with gzip, and xz with two threads: an archive of /usr/share/perl, its contents, and back."""
import hashlib

from harness.suite import program


@program("tar", limit_seconds=120)
def tar(run):
    run.command(["tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C", "/usr/share", "-cf", "a.tar", "perl"])
    run.command(["tar", "-tvf", "a.tar"])
    run.command(["gzip", "-kn", "a.tar"])
    run.command(["xz", "-k", "-2", "-T2", "--block-size=4MiB", "a.tar"])
    (run.scratch / "out").mkdir()
    run.command(["tar", "-C", "out", "-xJf", "a.tar.xz"])
    run.command(["tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C", "out", "-cf", "b.tar", "perl"])
    run.command(["xz", "-t", "a.tar.xz"])
    for name in ("a.tar", "a.tar.gz", "a.tar.xz", "b.tar"):
        run.note(name, hashlib.sha256((run.scratch / name).read_bytes()).hexdigest())
    run.command(["tar", "-xf", "missing.tar"])
