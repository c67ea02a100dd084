"""A Redis server under a tool, and redis-benchmark without one."""
import os
import shutil
import socket
import subprocess
import time

from session import Use, environment_of, wait_for

REQUESTS = 800_000  # of every command
READY_S = 30


def server_program(scratch):
    """Debian's redis-server package starts a service when it is installed. The server is in redis-tools
    as well: the same file, told by its name what to be."""
    program = f"{scratch}/redis-server"
    if not os.path.lexists(program):
        os.symlink(os.path.realpath(shutil.which("redis-check-rdb")), program)
    return program


def ask(path, command, answer):
    """Sends one command; whether the server answers with `answer` first."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
            connection.sendall(command + b"\r\n")
            return connection.recv(64).startswith(answer)
        except (FileNotFoundError, ConnectionError):
            return False


def wait_until_ready(server, path):
    """Asks until the server answers; there is no sign of it but the answer."""
    deadline = time.monotonic() + READY_S
    while not ask(path, b"PING", b"+PONG"):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("redis-server does not answer")
        time.sleep(0.01)


def run_benchmark(path):
    """Seconds that redis-benchmark takes. Random keys, sixteen requests on their way at a time."""
    started = time.monotonic()
    subprocess.run(
        ["redis-benchmark", "-s", path, "-t", "set,get,lpush,hset", "-n", str(REQUESTS),
         "-r", "100000", "-P", "16", "-q"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.monotonic() - started


def run(scratch, tool):
    """The CPU time of the server, and the wall time of the benchmark."""
    path = f"{scratch}/redis.socket"
    server = subprocess.Popen(
        [*tool.prefix, server_program(scratch), "--port", "0", "--unixsocket", path, "--save", "",
         "--appendonly", "no", "--dir", str(scratch)],
        env=environment_of(tool), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(server, path)
        wall_s = run_benchmark(path)
        ask(path, b"SHUTDOWN NOSAVE", b"")
        return Use(wait_for(server, time.monotonic()).cpu_s, wall_s)
    finally:
        if server.returncode is None:
            server.kill()
            server.wait()
