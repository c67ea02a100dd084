// Takes copies of its own recording, before and after more allocations, through leakshim.h where the
// shim is loaded; says so where it is not.
#include <stdio.h>
#include <stdlib.h>

#include "leakshim.h"

int main(void) {
    for (int i = 0; i < 70; i++) {
        void *volatile kept = malloc(7001);
        (void)kept;
    }
    if (leakshim_snapshot == NULL || leakshim_version == NULL) {
        puts("no shim");
        return 0;
    }
    printf("%s %d %d\n", leakshim_version(), leakshim_snapshot("warm"), leakshim_snapshot("../bad"));
    for (int i = 0; i < 30; i++) {
        void *volatile kept = malloc(7002);
        (void)kept;
    }
    return leakshim_snapshot("late");
}
