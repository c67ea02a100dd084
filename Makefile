# Thin: every target is a command or a script, and CI calls these and nothing else.
SHELL := /bin/bash -e -o pipefail
PREFIX ?= /usr/local
DESTDIR ?=
# The Swift runtime becomes part of the program; no search path of this build stays in the files.
RELEASE := -c release --static-swift-stdlib --disable-local-rpath
BUILD := .build/release
C_FILES := $(wildcard CShim/*/*.c Sources/*/*.c)
BENCHMARK_FILES := $(wildcard Benchmarks/*.c)
C_SOURCES := $(wildcard CShim/*/*.[ch] CShim/*/include/*.h Samples/*.c Samples/*.cpp Fuzz/Driver/*.c \
	Sources/*/*.[ch] Sources/*/include/*.h) $(BENCHMARK_FILES)
C_FLAGS := -std=c17 -D_GNU_SOURCE -ftls-model=initial-exec -fvisibility=hidden \
	-ICShim/Layout/include -ICShim/Recorder/include -ICShim/Runtimes/include -ICShim/Interpose/include -ISources/CDemanglers/include
STRICT_GCC := gcc -c -o /dev/null $(C_FLAGS) -O2 -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wvla \
	-Wstack-usage=1536 -Werror

.DEFAULT_GOAL := help
.PHONY: help demo build test test-programs samples-python compare-stacks fuzz sanitize bench bench-symbols bench-snapshot bench-python lint format install dist \
	man pictures clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## install what is missing, build, and find the leak of a sample service
	script/demo

build: ## build leakprof and libleakshim.so for use
	script/bootstrap build
	swift build $(RELEASE) --product leakshim
	swift build $(RELEASE) --product leakprof

test: ## install what is missing and run every test
	script/bootstrap build test
	swift build --build-tests --explicit-target-dependency-import-check error
	script/test

samples-python: ## find the leaks of the Python samples, under load; each says whether it found what it should
	script/bootstrap samples
	$(MAKE) build
	script/samples-python $(SAMPLES)

compare-stacks: ## walk ten million stacks of real programs a second time with libgcc's unwinder, and compare
	script/bootstrap build
	script/compare-stacks $(PROGRAMS)

test-programs: ## run real programs and test suites with and without the shim, and compare
	script/bootstrap programs
	$(MAKE) build
	script/test-programs $(PROGRAMS)

bench: ## measure what recording costs, beside other heap profilers (see docs/performance.md)
	script/bootstrap build bench
	swift build $(RELEASE) --product leakshim
	Benchmarks/bench.py $(BENCH)

bench-symbols: ## measure how long looking up addresses takes, beside llvm-symbolizer
	script/bootstrap build bench
	swift build $(RELEASE) --product leakprof
	Benchmarks/symbols.py $(BENCH)

bench-python: ## measure what recording a Flask application costs, beside tracemalloc and memray
	script/bootstrap build bench
	swift build $(RELEASE) --product leakshim
	Benchmarks/web.py $(BENCH)

bench-snapshot: ## measure what a snapshot of 100,000 stacks takes
	script/bootstrap build bench
	swift build $(RELEASE) --product leakshim
	swift build $(RELEASE) --product leakprof
	Benchmarks/snapshot.py $(BENCH)

fuzz: ## feed made-up inputs to every reader, FUZZ_SECONDS (600) each; FUZZ="cfi pprof" takes some
	script/bootstrap build
	script/fuzz $(FUZZ)

sanitize: ## run the tests of recorder and analyzer under the sanitizers and valgrind
	script/bootstrap build test
	script/sanitize $(PARTS)

lint: ## check formats and what compilers and linters find in the C and shell code
	script/bootstrap build lint
	swift format lint --strict --parallel --recursive Package.swift Sources Tests Samples Fuzz/Entries
	@clang-format --dry-run -Werror $(C_SOURCES)
	for file in $(C_FILES); do $(STRICT_GCC) -fanalyzer $$file || exit 1; done
	for file in $(BENCHMARK_FILES); do $(STRICT_GCC) $$file || exit 1; done # they leak on purpose
	clang-tidy --quiet $(C_FILES) -- $(C_FLAGS)
	shellcheck -x $$(grep -lr '^#!.*bash' script Samples) .ci/run

format: ## rewrite sources in the project's format
	swift format --in-place --parallel --recursive Package.swift Sources Tests Samples Fuzz/Entries
	clang-format -i $(C_SOURCES)

install: build ## install below PREFIX (/usr/local): program, shim, completions, manual
	install -D -m 755 $(BUILD)/leakprof $(DESTDIR)$(PREFIX)/bin/leakprof
	install -D -m 755 $(BUILD)/libleakshim.so $(DESTDIR)$(PREFIX)/lib/libleakshim.so
	install -D -m 644 CShim/Interpose/include/leakshim.h $(DESTDIR)$(PREFIX)/include/leakshim.h
	install -D -m 644 docs/leakprof.1 $(DESTDIR)$(PREFIX)/share/man/man1/leakprof.1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(BUILD)/leakprof --generate-completion-script bash \
		> $(DESTDIR)$(PREFIX)/share/bash-completion/completions/leakprof
	$(BUILD)/leakprof --generate-completion-script zsh \
		> $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_leakprof
	$(BUILD)/leakprof --generate-completion-script fish \
		> $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/leakprof.fish

dist: ## make a tarball for Debian 12 hosts that have no Swift
	script/dist

pictures: ## make the pictures of the README and of docs/python.md anew, from the samples
	script/bootstrap samples
	$(MAKE) build
	script/pictures

man: ## write docs/leakprof.1 anew from the program's own help
	swift package --allow-writing-to-package-directory generate-manual
	cp .build/plugins/GenerateManual/outputs/leakprof/leakprof.1 docs/leakprof.1

clean: ## remove what was built
	rm -rf .build dist demo
