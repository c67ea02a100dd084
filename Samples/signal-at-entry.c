// Stops at the first instruction of a function and allocates 9002 bytes in the signal handler: the
// byte before that instruction belongs to another function. Waits for a line on stdin.
#define _GNU_SOURCE // REG_RIP
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

// neighbour() ends where stop_here() begins, and stop_here()'s first instruction is undefined.
void neighbour(void);
void stop_here(void);
__asm__(".text\n"
        ".type neighbour, @function\n"
        "neighbour:\n"
        ".cfi_startproc\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size neighbour, .-neighbour\n"
        ".type stop_here, @function\n"
        "stop_here:\n"
        ".cfi_startproc\n"
        "    ud2\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size stop_here, .-stop_here\n");

static void take(int signal, siginfo_t *information, void *context) {
    (void)signal;
    (void)information;
    void *volatile kept = malloc(9002);
    (void)kept;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; // behind the ud2
}

int main(void) {
    struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    neighbour();
    stop_here();
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
