from flask import Flask, request
import fetchuserdata

app = Flask(__name__)

@app.route("/")
def index():
    data = fetchuserdata.get_data(request.args.get("user", "nobody"))
    return f"{len(data)} bytes\n"
