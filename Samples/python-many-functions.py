"""Keeps a block in each of 20,000 functions with long names, writes "ready" and waits for a line."""

kept = []
for number in range(20_000):
    names = {}
    name = f"function_{number}_" + "x" * 900
    text = f"def {name}(keep):\n    keep(bytes(1000))\n"
    exec(compile(text, f"<file {number}>", "exec"), names)
    names[name](kept.append)
    kept.append(names)
print("ready", flush=True)
input()
