"""perl: a large hash, regular expressions, sorting, forks, pipes, signals, a daemon that closes all
descriptors."""
from harness.suite import program

SCRIPT = r"""
use strict; use warnings; use POSIX ();
$| = 1;
my %words;
for my $i (1 .. 300_000) { my $word = "k" . (($i * 2654435761) % 100_003); $words{$word} .= chr(65 + $i % 26); }
my @sorted = sort { length $words{$b} <=> length $words{$a} || $a cmp $b } keys %words;
print scalar(@sorted), " $sorted[0] $sorted[-1]\n";
my $text = join " ", @sorted[0 .. 5000];
my $count = () = $text =~ /(\d)(\d)\1\2?/g;
print "$count\n";
for my $n (1 .. 200) {
    my $pid = fork() // die;
    if (!$pid) { my @more = map { "x" x $_ } 1 .. 100; POSIX::_exit(@more == 100 ? $n % 100 : 1); }
    waitpid($pid, 0);
    die "status $?" if $? >> 8 != $n % 100;
}
print `echo from a shell; exit 3`, $? >> 8, "\n";
$SIG{ALRM} = sub { die "alarm\n" };
eval { alarm 1; my @x; push @x, "y" x 50 while @x = (); 1 while 1; };
print "caught $@";
# A daemon: forks twice, closes everything, and still works.
pipe(my $reader, my $writer);
if (!fork()) {
    POSIX::setsid();
    POSIX::_exit(0) if fork();
    for my $descriptor (0 .. 255) { POSIX::close($descriptor) if $descriptor != fileno($writer); }
    my %more = map { $_ => "z" x $_ } 1 .. 1000;
    syswrite($writer, "daemon has " . keys(%more) . "\n");
    POSIX::_exit(0);
}
close $writer;
print <$reader>;
wait;
exec "sh", "-c", "echo executed; exit 7";
"""


@program("perl", limit_seconds=90)
def perl(run):
    # Hashes are ordered by chance unless told otherwise; what is printed is sorted.
    run.file("job.pl", SCRIPT)
    run.command(["perl", "job.pl"])
    run.command(["perl", "-e", "kill 'SEGV', $$"])
    run.command(["perl", "-e", "die 'gone'"])
