"""bash and dash: hundreds of short processes, pipelines, traps, process substitution, here documents, jobs."""
from harness.run import which
from harness.suite import program

SCRIPT = r"""
for i in $(seq 300); do /bin/true || echo "failed in $i"; done
for i in $(seq 100); do x=$(echo $((i * i)) | tr 0-9 a-j | rev); done; echo "$x"
declare -A map; for i in $(seq 20000); do map[key$i]=$((i * 7)); done; echo ${#map[@]} ${map[key777]}
sort <(seq 2000 | shuf --random-source=/etc/passwd) | diff - <(seq 2000 | sort) && echo equal
trap 'echo "got USR1"' USR1; kill -USR1 $$; (exit 3); echo $?
cat <<END | sed 's/e/E/g'
here document
END
(ulimit -v 400000; echo "limited $(echo child)")
(ulimit -n 8; echo "few descriptors $(cat /etc/hostname | wc -l)")
ls /none
exec 0<&- 2>&-
sleep 0.1 & wait; echo "waited $?"
exit 9
"""
POSIX_SCRIPT = r"""
i=0; while [ $i -lt 200 ]; do i=$((i + 1)); y=$(printf '%05d' $i); done; echo $y
trap 'echo ended' EXIT
seq 100000 | sort -rn | head -n 3
find /usr/share/doc -name 'c*' | sort | tail -n 5 | xargs -n 1 -P 2 basename | sort
exit 4
"""


@program("bash", limit_seconds=90)
def bash(run):
    run.file("job.bash", SCRIPT)
    run.file("job.sh", POSIX_SCRIPT)
    run.command(["bash", "job.bash"])
    run.command(["bash", "-c", "kill -TERM $$"])
    run.command([which("dash"), "job.sh"])
