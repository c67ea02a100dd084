// Ten sites that allocate TOTAL bytes together, each a tenth, in blocks of 64 bytes at the first one up
// to 32 KiB at the last; every other block is freed at once. Waits for a line on stdin.
//
//     sampled-sites TOTAL
#include <stdio.h>
#include <stdlib.h>

#define SITE(number)                                                                                   \
    __attribute__((noinline)) static void *site_##number(size_t size) {                                \
        void *volatile block = malloc(size);                                                           \
        return block;                                                                                  \
    }
// clang-format off
SITE(0) SITE(1) SITE(2) SITE(3) SITE(4) SITE(5) SITE(6) SITE(7) SITE(8) SITE(9)
    // clang-format on

    int main(int argc, char **argv) {
    if (argc != 2) return 64;
    void *(*const sites[])(size_t) = {site_0, site_1, site_2, site_3, site_4,
                                      site_5, site_6, site_7, site_8, site_9};
    for (int site = 0; site < 10; site++) {
        size_t size = (size_t)64 << site;
        size_t count = (size_t)atol(argv[1]) / 10 / size / 2;
        for (size_t i = 0; i < count; i++) {
            sites[site](size);
            free(sites[site](size));
        }
        // The truth, for whoever compares.
        printf("site_%d %zu %zu\n", site, count, count * size);
    }
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
