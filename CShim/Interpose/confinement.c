// prctl, so that the recorder learns before the program gives up system calls (seccomp): what it would
// have to ask the kernel for later, it asks for now, or does without.
//
// Filters that are set by the seccomp system call itself, as libseccomp does, are not seen.
#include <dlfcn.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader.h"
#include "recorder.h"

typedef int prctl_function(int option, unsigned long, unsigned long, unsigned long, unsigned long);

static prctl_function *find_next(void) {
    static prctl_function *next; // atomic; whoever looks it up finds the same
    prctl_function *found = __atomic_load_n(&next, __ATOMIC_RELAXED);
    if (found == NULL) {
        found = (prctl_function *)lp_loader_symbol(RTLD_NEXT, "prctl");
        __atomic_store_n(&next, found, __ATOMIC_RELAXED);
    }
    return found;
}

// libc declares it with variable arguments; those, too, come in registers.
__attribute__((visibility("default"))) int prctl(int option, unsigned long second, unsigned long third,
                                                 unsigned long fourth, unsigned long fifth) {
    prctl_function *next = find_next();
    if (option == PR_SET_SECCOMP) {
        struct lp_caller caller = LP_CALLER();
        lp_recorder_confine(&caller, second == SECCOMP_MODE_STRICT);
    }
    int status = next != NULL ? next(option, second, third, fourth, fifth)
                              : (int)syscall(SYS_prctl, option, second, third, fourth, fifth);
    // Programs find out in this way whether the kernel has filters.
    if (option == PR_SET_SECCOMP && status != 0) lp_recorder_release();
    return status;
}
