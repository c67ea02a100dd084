// prctl, so that the recorder learns before the program gives up system calls (seccomp): what it would
// have to ask the kernel for later, it asks for now, or does without.
//
// Filters that are set by the seccomp system call itself, as libseccomp does, are not seen.
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "recorder.h"

// libc declares it with variable arguments; those, too, come in registers. Nothing is looked up: the
// child of a fork in a threaded program calls this, and could find the loader's lock held for ever.
__attribute__((visibility("default"))) int prctl(int option, unsigned long second, unsigned long third,
                                                 unsigned long fourth, unsigned long fifth) {
    if (option != PR_SET_SECCOMP) return (int)syscall(SYS_prctl, option, second, third, fourth, fifth);
    struct lp_caller caller = LP_CALLER();
    bool is_first = lp_recorder_confine(&caller, second == SECCOMP_MODE_STRICT);
    int status = (int)syscall(SYS_prctl, option, second, third, fourth, fifth);
    // Programs find out in this way whether the kernel has filters. One that is in force stays.
    if (status != 0 && is_first) lp_recorder_release();
    return status;
}
