# shellcheck shell=bash
# What the Python samples' scripts have in common; they read this file, it does nothing by itself.
#
# LEAKPROF_BUILD is where leakprof and libleakshim.so lie, PYTHON the interpreter; what a sample makes is in
# .build/samples.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${LEAKPROF_BUILD:-$root/.build/release}
leakprof=$build/leakprof
shim=$build/libleakshim.so
python=${PYTHON:-/usr/bin/python3}
venv=$root/.build/samples/venv-${python//[^[:alnum:]]/-}
# Not beside the sources.
export PYTHONPYCACHEPREFIX=$root/.build/samples/pycache

# Makes and enters the folder for what a sample writes.
enter() {
    out=$root/.build/samples/$1
    rm -rf "$out"
    mkdir -p "$out"
    cd "$out"
}

# Flask and gunicorn, in the versions that Samples/flask-leak/requirements.txt names.
make_venv() {
    local wanted=$root/Samples/flask-leak/requirements.txt
    if ! cmp -s "$wanted" "$venv/installed.txt"; then
        echo "installing Flask and gunicorn into ${venv#"$root"/}"
        "$python" -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
        cp "$wanted" "$venv/installed.txt"
    fi
}

# Shows a command as a user would type it; what is done is what follows.
show() {
    echo
    echo "\$ $*"
}

# Whatever ends this script ends what it has started.
started=()
stop() {
    ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
    started=()
    wait
}
trap stop EXIT

# The first line of a file that a process writes that matches a pattern, as soon as it is there.
line_of() { # FILE PATTERN PID
    # The process may not have begun; what it opens with > is this file.
    touch "$1"
    grep -m 1 -e "$2" < <(exec tail -n +1 -f --pid="$3" "$1" 2>/dev/null) || {
        echo "process $3 has ended and not said '$2':" >&2
        cat "$1" >&2
        return 1
    }
}

# Puts load on a server; every request has to be answered.
load() { # REQUESTS CONCURRENCY URL
    show "ab -n $1 -c $2 $3"
    ab -q -l -n "$1" -c "$2" "$3" >ab.txt 2>&1 || {
        cat ab.txt
        return 1
    }
    grep -E '^(Complete requests|Failed requests|Non-2xx|Requests per second)' ab.txt
    grep -qE '^Complete requests: +'"$1\$" ab.txt && grep -qE '^Failed requests: +0$' ab.txt &&
        ! grep -q '^Non-2xx' ab.txt
}

snapshot() { # PID NAME
    show "leakprof snapshot $1 -o $2"
    "$leakprof" snapshot "$1" -o "$2" 2>&1
}

# Shows what grew and draws it.
compare() { # BASE CURRENT
    show "leakprof diff $1 $2 --svg"
    "$leakprof" diff "$1" "$2" --svg 2>&1
    "$leakprof" diff "$1" "$2" --all --limit 1000000 --json -o "$1..$2.json" >diff.txt 2>&1
}

# The line of a sample that has a comment, as FILE:LINE.
marked() { # FILE COMMENT
    awk -v comment="# $2" -v name="${1##*/}" 'index($0, comment) { print name ":" FNR; exit }' "$1"
}

# Whether what compare has compared is what the sample promises; remembered until the end.
failed=0
expect() { # BASE CURRENT ARGUMENTS OF check-growth.py
    "$python" "$root/Samples/check-growth.py" "$1..$2.json" "${@:3}" || failed=1
}
