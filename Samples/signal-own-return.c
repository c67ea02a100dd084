// Allocates in a handler of a signal that does not return through libc but through a function of this
// program, which has no unwind information: unwinders know it by its instructions.
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// As the kernel wants it.
struct action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};
#define WITH_RESTORER 0x04000000

void return_from_signal(void);
__asm__(".text\n"
        ".type return_from_signal, @function\n"
        "nop\n"
        "return_from_signal:\n"
        "    mov $15, %rax\n"
        "    syscall\n"
        ".size return_from_signal, .-return_from_signal\n");

static void take(int number) {
    (void)number;
    void *volatile block = malloc(9003);
    free(block);
}

__attribute__((noinline)) static void interrupted(int depth) {
    if (depth > 0) interrupted(depth - 1);
    raise(SIGUSR1);
    __asm__ volatile("");
}

int main(void) {
    struct action action = {.handler = take, .flags = WITH_RESTORER, .restorer = return_from_signal};
    if (syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, sizeof action.mask) != 0) return 1;
    interrupted(50);
    return 0;
}
