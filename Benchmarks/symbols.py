#!/usr/bin/env python3
"""Looking up 20,000 addresses of a program with 100 MB of debug information, beside llvm-symbolizer.

    Benchmarks/symbols.py [--rounds N] [--compiler clang++] [--units N] [--mismatches N]

The program is made of Benchmarks/debug-info.cpp, compiled often, and kept in .build/benchmarks. The addresses
are drawn from all its functions with a fixed seed. llvm-symbolizer gets them on standard input; leakprof gets
them in a region (Benchmarks/addresses-region.c) and exports it, which is what a snapshot does after the
copying: it symbolizes the addresses and writes a profile. Both are new processes every time, take turns, and
find the program in the page cache.

Afterwards the answers are compared: mangled function names, files and lines of every inlined frame.
"""
import argparse
import concurrent.futures
import gzip
import hashlib
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAKPROF = ROOT / ".build/release/leakprof"
SOURCE = ROOT / "Benchmarks/debug-info.cpp"
CACHE = ROOT / ".build/benchmarks"

INSTANCES = 3
DEBUG_BYTES = 100_000_000
ADDRESSES = 20_000
SEED = 20_261_121
# Where the region says the program lies: any page will do.
START = 0x5555_5555_4000


def run(command, **more):
    return subprocess.run([str(word) for word in command], check=True, **more)


def output_of(command, **more):
    return run(command, stdout=subprocess.PIPE, text=True, **more).stdout


def build_program(compiler, units):
    """Compiles the program, unless that was done before; returns its path."""
    flags = ["-std=c++17", "-O2", "-g", f"-DINSTANCES={INSTANCES}"]
    version = output_of([compiler, "--version"])
    key = hashlib.sha256(
        "\0".join([compiler, version, str(units), *flags, SOURCE.read_text()]).encode()).hexdigest()[:16]
    folder = CACHE / f"debug-info-{key}"
    program = folder / "program"
    if program.exists():
        return program
    print(f"compiling {units} units with {compiler}, once", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"unit{number}" for number in range(units)]
    main = folder / "main.cpp"
    main.write_text(
        "#include <string>\n"
        + "".join(f"namespace {name} {{ size_t run(const std::string &); }}\n" for name in names)
        + "int main(int, char **argv) {\n    size_t sum = 0;\n"
        + "".join(f"    sum += {name}::run(argv[0]);\n" for name in names)
        + "    return sum == 0;\n}\n")

    def compile_unit(name):
        run([compiler, *flags, f"-DUNIT={name}", "-c", SOURCE, "-o", folder / f"{name}.o"])

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        list(workers.map(compile_unit, names))
    objects = [folder / f"{name}.o" for name in names]
    run([compiler, *flags, "-Wl,--build-id", main, *objects, "-o", folder / "linked"])
    for file in objects:
        file.unlink()
    (folder / "linked").rename(program)
    return program


def debug_bytes(program):
    lines = output_of(["size", "-A", program]).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(".debug_"))


def build_id(program):
    notes = output_of(["readelf", "-n", program])
    return next(line.split()[-1] for line in notes.splitlines() if "Build ID:" in line)


def choose_addresses(program, count):
    """Addresses in functions, as stated in the file: each function once before any a second time."""
    functions = []
    for line in output_of(["nm", "--print-size", "--defined-only", program]).splitlines():
        words = line.split()
        if len(words) == 4 and words[2] in "tTwW" and int(words[1], 16) > 0:
            functions.append((int(words[0], 16), int(words[1], 16)))
    functions = sorted(set(functions))
    source = random.Random(SEED)
    chosen = set()
    while len(chosen) < count:
        source.shuffle(functions)
        for start, size in functions:
            chosen.add(start + source.randrange(size))
            if len(chosen) == count:
                break
    addresses = sorted(chosen)
    source.shuffle(addresses)
    return addresses, len(functions)


def write_region(program, addresses, folder):
    """A region that holds the addresses; named after a process that can't be running."""
    writer = folder / "addresses-region"
    run(["cc", "-O2", "-I", ROOT / "CShim/Layout/include", ROOT / "Benchmarks/addresses-region.c", "-o", writer])
    region = folder / "999999999.1.region"
    text = "".join(f"{address:x}\n" for address in addresses)
    with open(region, "wb") as file:
        run([writer, program, build_id(program), f"{START:x}", f"{program.stat().st_size:x}"],
            input=text.encode(), stdout=file)
    return region


def timed(command, **more):
    """Seconds of wall clock, seconds of CPU time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run(command, stderr=subprocess.DEVNULL, **more)
    elapsed, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(program, addresses, region, folder, rounds):
    text = folder / "addresses"
    text.write_text("".join(f"0x{address:x}\n" for address in addresses))
    profile = folder / "profile.pb.gz"

    def llvm():
        with open(text) as file:
            return timed(["llvm-symbolizer", f"--obj={program}"], stdin=file, stdout=subprocess.DEVNULL)

    def ours():
        return timed([LEAKPROF, "export", region, "--format", "pprof", "-o", profile], stdout=subprocess.DEVNULL)

    results = {"llvm-symbolizer": [], "leakprof export": []}
    for number in range(rounds + 1):
        for name, work in (("llvm-symbolizer", llvm), ("leakprof export", ours)):
            result = work()
            if number > 0:
                results[name].append(result)
    print("| | wall clock, s | CPU time, s |\n| --- | --- | --- |")
    for name, values in results.items():
        print(f"| {name} | {cell([wall for wall, _ in values])} | {cell([cpu for _, cpu in values])} |")
    pairs = list(zip(results["llvm-symbolizer"], results["leakprof export"]))
    ratios = [[theirs[index] / our[index] for theirs, our in pairs] for index in (0, 1)]
    print(f"| llvm-symbolizer ÷ leakprof | {cell(ratios[0])} | {cell(ratios[1])} |")
    return profile


def cell(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


# The answers.


def fields(data):
    """The fields of a protobuf message: number and value, an int or bytes."""
    position = 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            length = varint()
            yield tag >> 3, data[position:position + length]
            position += length


def frame_of(name, file, line):
    """A frame to compare: without the file of a symbol or of line 0, and without "..", as leakprof has it."""
    return name, os.path.normpath(file) if line > 0 and file else "", line


def profile_frames(path):
    """The frames of each address in a pprof profile: mangled name, file and line."""
    strings, functions, locations = [], {}, {}
    for number, value in fields(gzip.open(path).read()):
        if number == 6:
            strings.append(value.decode())
        elif number == 5:
            entry = dict(fields(value))
            functions[entry[1]] = entry
        elif number == 4:
            lines = [dict(fields(line)) for field, line in fields(value) if field == 4]
            entry = {field: content for field, content in fields(value) if field != 4}
            locations[entry.get(3, 0) - START] = lines

    def frame(line):
        function = functions[line[1]]
        name = function.get(3) or function.get(2, 0)
        return frame_of(strings[name], strings[function.get(4, 0)], line.get(2, 0))

    return {address: [frame(line) for line in lines] for address, lines in locations.items()}


def llvm_frames(program, addresses):
    """The same of llvm-symbolizer."""
    text = "".join(f"0x{address:x}\n" for address in addresses)
    answer = output_of(["llvm-symbolizer", f"--obj={program}", "--no-demangle"], input=text)
    frames = {}
    for address, block in zip(addresses, answer.strip("\n").split("\n\n")):
        lines = block.split("\n")
        frames[address] = []
        for name, place in zip(lines[::2], lines[1::2]):
            file, line, _ = place.rsplit(":", 2)
            frames[address].append(frame_of(name, file, int(line)))
    return frames


def without_clone(name):
    """Symbols of clones say which clone they are (.isra.0, .cold); debug information does not."""
    return name.split(".")[0]


def one_constructor(name):
    """Of a constructor's or destructor's several names for the same code, always the same."""
    return re.sub(r"(?<=[a-zA-Z])([CD])[0-5](?=[EI])", r"\g<1>_", name)


def difference(ours, theirs):
    """What kind of difference there is; None when there is none."""
    if ours == theirs:
        return None
    if not ours:
        return "no frames"
    if len(ours) != len(theirs):
        return "number of frames"
    if ours == [(without_clone(name), file, line) for name, file, line in theirs]:
        return "name of a clone"
    if ([(one_constructor(name), file, line) for name, file, line in ours]
            == [(one_constructor(without_clone(name)), file, line) for name, file, line in theirs]):
        return "name of a constructor or destructor"
    kinds = set()
    for our, their in zip(ours, theirs):
        for index, kind in enumerate(["name", "file", "line"]):
            if our[index] != their[index]:
                kinds.add(kind)
    return " and ".join(sorted(kinds))


def compare(program, addresses, profile, examples):
    ours, theirs = profile_frames(profile), llvm_frames(program, addresses)
    kinds = Counter()
    for address in addresses:
        kind = difference(ours.get(address, []), theirs[address])
        if kind is None:
            continue
        kinds[kind] += 1
        if kinds[kind] <= examples:
            print(f"\n0x{address:x}: {kind}")
            for who, frames in (("leakprof", ours.get(address, [])), ("llvm", theirs[address])):
                for name, file, line in frames:
                    print(f"    {who:8} {name} {file}:{line}")
    same = len(addresses) - sum(kinds.values())
    print(f"\nSame frames for {same} of {len(addresses)} addresses."
          + "".join(f" Other {kind}: {count}." for kind, count in kinds.most_common()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--units", type=int, default=31, help="how often to compile the source")
    parser.add_argument("--mismatches", type=int, default=0, help="show so many of each kind")
    arguments = parser.parse_args()
    if shutil.which("llvm-symbolizer") is None:
        sys.exit("symbols.py: llvm-symbolizer is missing")
    program = build_program(arguments.compiler, arguments.units)
    folder = program.parent
    addresses, functions = choose_addresses(program, ADDRESSES)
    region = write_region(program, addresses, folder)
    size = debug_bytes(program)
    print(f"{size / 1e6:.0f} MB of debug information ({arguments.compiler}), {len(addresses)} addresses in "
          f"{functions} functions, {arguments.rounds} rounds\n")
    if size < DEBUG_BYTES:
        print(f"That is less than {DEBUG_BYTES / 1e6:.0f} MB: more --units\n")
    profile = measure(program, addresses, region, folder, arguments.rounds)
    compare(program, addresses, profile, arguments.mismatches)


if __name__ == "__main__":
    main()
