"""Keeps a block in each of 20,000 functions, writes "ready" and waits for a line."""

kept = []
for number in range(20_000):
    names = {}
    text = f"def function_{number}(keep):\n    keep(bytes(1000))\n"
    exec(compile(text, f"<file {number}>", "exec"), names)
    names[f"function_{number}"](kept.append)
    kept.append(names)
print("ready", flush=True)
input()
