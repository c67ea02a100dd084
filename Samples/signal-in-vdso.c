// Reads the clock in a loop while a timer's signal handler allocates blocks of 9001 bytes, until 300
// are there: most signals come while the program is in the vDSO. Waits for a line on stdin.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t taken;

// Safe here because the interrupted loop allocates nothing.
static void take(int signal) {
    (void)signal;
    if (taken == 300) return; // one more that came before the timer was stopped
    void *volatile kept = malloc(9001);
    (void)kept;
    taken++;
}

int main(void) {
    struct sigaction action = {.sa_handler = take};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    struct timespec now;
    while (taken < 300) clock_gettime(CLOCK_MONOTONIC, &now);
    setitimer(ITIMER_REAL, &never, NULL);
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
