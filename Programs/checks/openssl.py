"""openssl: keys, certificates, digests, ciphers, a server and a client, and its speed test with two processes."""
from harness.suite import program


@program("openssl", limit_seconds=120)
def openssl(run):
    data = run.file("data.bin", "some text\n" * 200000)
    run.command(["openssl", "version"])
    run.command(["openssl", "dgst", "-sha256", "-sha512", data])
    run.command(["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-pass", "pass:word", "-in", data, "-out", "data.enc"])
    run.command(["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-pass", "pass:word", "-in", "data.enc",
                 "-out", "data.dec"])
    run.note("decrypted", (run.scratch / "data.dec").read_bytes() == data.read_bytes())
    run.command(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                 "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                # Dots and signs of progress: how many is chance.
                normalize=[(r"^[.+*\n-]+", "")], expect=0)
    run.command(["openssl", "verify", "-CAfile", "cert.pem", "cert.pem"])
    run.command(["openssl", "speed", "-multi", "2", "-seconds", "1", "sha256", "aes-128-cbc"], compare=False)
    server = run.start(["openssl", "s_server", "-accept", "127.0.0.1:0", "-key", "key.pem", "-cert", "cert.pem", "-www"])
    run.until(lambda: "ACCEPT" in run.output_so_far(server), "the server")
    port = run.output_so_far(server).split("ACCEPT 127.0.0.1:")[1].split()[0]
    for _ in range(5):
        run.command(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", "cert.pem", "-quiet",
                     "-verify_return_error", "-servername", "localhost"], input="GET / HTTP/1.0\r\n\r\n",
                    # The port; and the status page shows keys, session IDs and times.
                    normalize=[(port, "PORT")], compare=False)
    run.stop(server)
    run.command(["openssl", "x509", "-in", "key.pem"],
                # Each line of an error begins with the thread's ID, which is an address.
                normalize=[(r"^[0-9A-F]+:error", "error")])
