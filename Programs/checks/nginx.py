"""nginx, a master and two workers, under wrk: files, compression, a proxy, reload, new logs, graceful end."""
import gzip
import hashlib
import os
import re
import signal
import socket
import urllib.request

from harness.run import which
from harness.suite import program

CONFIGURATION = """
daemon off;
{user}
worker_processes 2;
pid {scratch}/nginx.pid;
error_log {scratch}/error.log notice;
events {{ worker_connections 256; }}
http {{
    access_log {scratch}/access.log;
    gzip on; gzip_min_length 100; gzip_types text/plain;
    client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi; uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {scratch}/site;
        location /proxied/ {{ proxy_pass http://127.0.0.1:{port}/; }}
    }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@program("nginx", limit_seconds=120)
def nginx(run):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    run.file("site/text.txt", "".join(f"line {i}\n" for i in range(20000)))
    configuration = run.file("nginx.conf", CONFIGURATION.format(
        # Workers give up root's rights, as they do in production.
        user="user nobody nogroup;" if os.geteuid() == 0 else "", scratch=run.scratch, port=port))
    log = run.scratch / "error.log"

    def logged(message):
        return log.exists() and len(re.findall(message, log.read_text()))

    def fetch(path, **headers):
        with urllib.request.urlopen(urllib.request.Request(address + path, headers=headers), timeout=20) as answer:
            body = answer.read()
            if answer.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            run.note(f"GET {path}", f"{answer.status} {hashlib.sha256(body).hexdigest()}")

    started = run.start([which("nginx"), "-p", run.scratch, "-e", log, "-c", configuration])
    run.until(lambda: logged("start worker process ") == 2, "the start of two workers")
    fetch("/text.txt")
    fetch("/text.txt", **{"Accept-Encoding": "gzip"})
    fetch("/proxied/text.txt")

    def load(path, *options):
        output = run.command(["wrk", "-t", "2", "-c", "20", "-d", "3s", *options, address + path],
                             # The port is chosen anew for each run; rates and latencies.
                             normalize=[(f":{port}/", ":PORT/")], compare=False)
        # How many requests there were depends on the time; none failed.
        run.note(f"load on {path}", "\n".join(re.findall(r".*(?:errors|Non-2xx).*", output)))
        run.note("requests were answered", int(re.search(r"(\d+) requests in", output)[1]) > 0)

    load("/text.txt")
    load("/text.txt", "-H", "Accept-Encoding: gzip")
    load("/proxied/text.txt")
    # New workers take the place of the old.
    started.send_signal(signal.SIGHUP)
    run.until(lambda: logged("start worker process ") == 4 and logged("exited with code") == 2, "new workers")
    fetch("/text.txt")
    started.send_signal(signal.SIGUSR1)
    run.until(lambda: logged("reopening logs") >= 1, "the reopening of the logs")
    fetch("/text.txt")
    run.stop(started, signal.SIGQUIT)
    # Process IDs and times; what several processes do, they write in any order.
    message = re.compile(r"\[(\w+)\] \d+#\d+: (.*)")
    lines = {re.sub(r"\d+", "N", " ".join(message.search(line).groups())) if "exited" not in line
             else re.sub(r"process \d+", "process N", " ".join(message.search(line).groups()))
             for line in log.read_text().splitlines()}
    run.note("error log", "\n".join(sorted(lines)))
