"""PostgreSQL: initdb, start, pgbench with several backends, vacuum, fast stop, recovery after an immediate one."""
from harness.run import which
from harness.suite import program

BINARIES = "/usr/lib/postgresql/15/bin/"


@program("postgresql", limit_seconds=180)
def postgresql(run):
    # The server refuses to run as root.
    run.use_account("postgres")
    data = run.scratch / "data"

    def tool(name):
        return which(BINARIES + name)

    def sql(text):
        run.command([tool("psql"), "-X", "-h", run.scratch, "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", text])

    def control(*words):
        # A dot for each tenth of a second that it waits.
        run.command([tool("pg_ctl"), "-D", data, "-l", run.scratch / "log", "-w", *words],
                    normalize=[(r"\.+ (done|stopped)$", r" \1")], expect=0)

    run.command([tool("initdb"), "-D", data, "-N", "-A", "trust", "-U", "postgres", "--locale=C.UTF-8"], expect=0)
    with open(data / "postgresql.conf", "a") as configuration:
        configuration.write(
            f"listen_addresses = ''\nunix_socket_directories = '{run.scratch}'\nfsync = off\n"
            "max_parallel_workers_per_gather = 2\nmin_parallel_table_scan_size = 0\nparallel_setup_cost = 0\n")
    control("start")
    run.command([tool("pgbench"), "-h", run.scratch, "-i", "-q", "-s", "2", "postgres"],
                # Times; the progress line is rewritten in place, how often depends on them.
                normalize=[(r"^.*\r", ""), (r"\d+\.\d+ s\b", "TIME"), (r"^.*tuples \(\d+%\) done.*\n", "")])
    run.command([tool("pgbench"), "-h", run.scratch, "-n", "-c", "4", "-j", "2", "-t", "500", "postgres"],
                # Latencies and rates.
                normalize=[(r"= [\d.]+", "= N"), (r"time.*= N.*", "")])
    sql("select count(*) from pgbench_history")
    sql("select count(*), max(length(repeat(md5(aid::text), 20))) from pgbench_accounts")
    sql("vacuum analyze")
    sql("select sum(hashtext(aid::text)) from pgbench_accounts")
    control("stop", "-m", "fast")
    control("start")
    sql("select count(*) from pgbench_accounts")
    control("stop", "-m", "immediate")
    control("start")
    sql("select count(*) from pgbench_history")
    control("stop", "-m", "fast")
