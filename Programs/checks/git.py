"""git on a clone of this project: clone, fsck, gc with threads, log, blame, rebase, bundle."""
from harness.modes import ROOT
from harness.suite import program

SETTINGS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "3",
    # The checkout may belong to somebody else.
    "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
    "GIT_CONFIG_KEY_1": "pack.threads", "GIT_CONFIG_VALUE_1": "4",
    # gc would go to the background, and its end could not be waited for.
    "GIT_CONFIG_KEY_2": "gc.auto", "GIT_CONFIG_VALUE_2": "0",
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_COMMITTER_DATE": "1700000000 +0000",
}


@program("git", limit_seconds=120)
def git(run):
    def command(*words, directory="clone", **more):
        run.command(["git", *words], directory=run.scratch / directory, environment=SETTINGS, **more)

    # --no-local sends a pack through a pipe, as from a server.
    command("clone", "--quiet", "--no-local", f"file://{ROOT}", "clone", directory=".", expect=0)
    command("fsck", "--full", "--strict", "--no-progress")
    command("log", "--stat", "-p", "-n", "60")
    command("blame", "README.md")
    command("repack", "-a", "-d", "-f", "--quiet")
    command("gc", "--aggressive", "--prune=now", "--quiet")
    command("fsck", "--full", "--no-progress")
    command("rev-list", "--objects", "--all")
    run.file("clone/added.txt", "text\n" * 1000)
    command("add", ".")
    command("commit", "--quiet", "-m", "Add a file")
    command("rev-parse", "HEAD")
    command("grep", "-c", "--threads", "4", "static")
    command("bundle", "create", "--quiet", "../all.bundle", "--all")
    command("bundle", "verify", "../all.bundle")
    command("archive", "--format=tar.gz", "-o", "../tree.tar.gz", "HEAD")
    command("checkout", "no-such-branch")
