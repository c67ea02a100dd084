"""Redis, which Debian links with jemalloc: commands, a background save (a fork), a rewrite of the log, and a
restart from what was saved."""
import subprocess

from harness.run import which
from harness.suite import program


@program("redis", limit_seconds=120)
def redis(run):
    # Debian's redis-server starts a service when it is installed. The server is in redis-tools as well:
    # the same file, told by its name what to be.
    server = run.scratch / "redis-server"
    server.symlink_to(which("redis-check-rdb"))
    socket = run.scratch / "redis.sock"
    cli = ["redis-cli", "-s", socket]

    def start():
        started = run.start([server, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", run.scratch])
        run.until_answers([*cli, "ping"])
        return started

    def state(section, name):
        """Asked without the shim and not noted: how often one has to ask is a matter of time."""
        text = subprocess.run([*cli, "info", section], capture_output=True, text=True, check=True).stdout
        return next(line.split(":")[1] for line in text.splitlines() if line.startswith(name + ":"))

    started = start()
    run.command(["redis-benchmark", "-s", socket, "-n", "20000", "-c", "20", "-q", "-P", "8", "-r", "10000",
                 "-t", "set,get,incr,lpush,lrange_100,hset,zadd,mset", "-d", "100"],
                # What is printed is rates, first in place and then for good. Which tests were done is the same.
                normalize=[(r".*\r", ""), (r": .*", "")])
    # Its keys are random, so the data that is compared is other data.
    run.command([*cli, "flushall"])
    run.command([*cli, "eval",
                 "for i = 1, 20000 do redis.call('set', 'key:' .. i, string.rep('v', i % 300)) end "
                 "return redis.call('dbsize')", "0"])
    run.command([*cli, "bgsave"])
    run.until(lambda: state("persistence", "rdb_bgsave_in_progress") == "0", "the end of BGSAVE")
    run.note("background save", state("persistence", "rdb_last_bgsave_status"))
    run.command([*cli, "config", "set", "appendonly", "yes"])
    run.until(lambda: state("persistence", "aof_rewrite_in_progress") == "0"
              and state("persistence", "aof_rewrite_scheduled") == "0", "the end of the rewrite")
    run.note("rewrite", state("persistence", "aof_last_bgrewrite_status"))
    run.command([*cli, "debug", "digest"])
    run.note("allocator", state("memory", "mem_allocator"))
    run.command([*cli, "config", "set", "appendonly", "no"])
    run.command([*cli, "shutdown", "save"])
    run.note("server", f"exit status {run.wait(started)[0]}")

    started = start()
    run.command([*cli, "dbsize"])
    run.command([*cli, "get", "key:12345"])
    run.stop(started)
