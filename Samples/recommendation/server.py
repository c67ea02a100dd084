"""Recommends products over HTTP, from a cache that every miss makes a quarter longer.

The cache is meant to be filled with what the catalogue says. What it had is put into it as well.
"""

from http.server import BaseHTTPRequestHandler, HTTPServer

CATALOGUE = [f"product-{number}" for number in range(12)]
cached_products = []
requests = 0


def list_products():
    """The catalogue, or what is cached of it: every other request is a hit."""
    global requests
    requests += 1
    if requests % 2 == 0:
        return cached_products
    cached_products.extend(CATALOGUE)
    cached_products.extend(cached_products[:len(cached_products) // 4])  # the mistake
    return cached_products


class Recommendations(BaseHTTPRequestHandler):
    def do_GET(self):
        products = list_products()
        body = f"{', '.join(products[:5])} of {len(products)} products\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Recommendations)
print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
