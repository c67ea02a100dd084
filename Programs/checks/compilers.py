"""gcc, g++, as, ld and make on this project's own C sources and samples: the files they make are compared byte
by byte."""
import hashlib
import shutil

from harness.modes import ROOT
from harness.run import sorted_lines
from harness.suite import program

MAKEFILE = """
C := $(shell find CShim -name '*.c' | sort)
CPP := cache-service.cpp throwing.cpp standard.cpp
FLAGS := -O2 -g -D_GNU_SOURCE -fPIC -ffile-prefix-map=$(CURDIR)=. -frandom-seed=1
INCLUDES := -ICShim/Layout/include -ICShim/Recorder/include -ICShim/Runtimes/include \
	-ICShim/Interpose/include
all: library.so program lto
library.so: $(C:.c=.o)
\tgcc -shared -o $@ $^
program: cache-service.o
\tg++ -o $@ $^
objects: $(CPP:.cpp=.o)
lto: lto-sample.c
\tgcc -O2 -flto=2 -fno-fat-lto-objects -frandom-seed=1 -o $@ lto-sample.c
%.o: %.c
\tgcc $(FLAGS) $(INCLUDES) -ftls-model=initial-exec -c -o $@ $<
%.o: %.cpp
\tg++ $(FLAGS) -c -o $@ $<
"""
# Templates: the compiler's own heap gets large.
STANDARD = """
#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
int main(int argc, char **argv) {
    std::map<std::string, std::unordered_map<int, std::string>> all;
    for (int i = 0; i < argc; i++)
        all[argv[i]][i] = std::regex_replace(argv[i], std::regex("[a-z]+(x|y)*"), "$1");
    for (auto &[key, values] : all) std::cout << key << values.size();
}
"""


# cc1plus has more stacks than the region's default size has room for: it recurses over its own syntax trees.
@program("gcc-g++-make", limit_seconds=240, variables={"LEAKPROF_REGION_SIZE": "64MiB"})
def compilers(run):
    shutil.copytree(ROOT / "CShim", run.scratch / "CShim")
    for name in ("cache-service.cpp", "throwing.cpp"):
        shutil.copy(ROOT / "Samples" / name, run.scratch)
    shutil.copy(ROOT / "Samples/exact-sites.c", run.scratch / "lto-sample.c")
    run.file("standard.cpp", STANDARD)
    run.file("Makefile", MAKEFILE)
    # Two jobs run at a time, and what they write comes in any order.
    run.command(["make", "-j2", "all", "objects"], normalize=[sorted_lines], expect=0)
    for path in sorted([*run.scratch.rglob("*.o"), run.scratch / "library.so", run.scratch / "program", run.scratch / "lto"]):
        run.note(str(path.relative_to(run.scratch)), hashlib.sha256(path.read_bytes()).hexdigest())
    run.file("wrong.c", "int main(void) { return undeclared; }\n")
    run.command(["gcc", "-Wall", "-c", "wrong.c"])
    run.command(["gcc", "-c", "missing.c"])
