"""A Flask application that its own test client asks: a small JSON answer and a small page in turn.

    flask_loop.py REQUESTS [FRAMES]     FRAMES: tracemalloc is on, with so many

Prints the CPU time that the requests took, in seconds; what starting takes is not in it.
"""
import sys
import time
import tracemalloc

if len(sys.argv) > 2:
    tracemalloc.start(int(sys.argv[2]))

from flask import Flask, jsonify, render_template_string  # noqa: E402

app = Flask(__name__)
PAGE = "<title>{{ name }}</title><ul>{% for item in items %}<li>{{ item }}</li>{% endfor %}</ul>"


@app.route("/users/<int:number>")
def user(number):
    return jsonify(id=number, name=f"user {number}", tags=["a", "b", "c"])


@app.route("/pages/<int:number>")
def page(number):
    return render_template_string(PAGE, name=f"page {number}", items=range(5))


def ask(requests):
    for number in range(requests):
        answer = client.get(f"/users/{number}" if number % 2 else f"/pages/{number}")
        assert answer.status_code == 200


client = app.test_client()
ask(50)
began = time.process_time()
ask(int(sys.argv[1]))
print(time.process_time() - began)
