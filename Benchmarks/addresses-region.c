// Writes a region that holds addresses of a program, as if each had allocated once, to standard output:
//
//     addresses-region PROGRAM BUILD-ID FIRST-ADDRESS BYTES < addresses > PID.TICKS.region
//
// The addresses are those a symbolizer looks up, in hexadecimal, one per line, as stated in the file;
// the program is said to lie at FIRST-ADDRESS. So `leakprof export` can be given any addresses.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "region_layout.h"

enum { EPOCHS = 1, MODULES = 2 };

static uint64_t aligned(uint64_t offset) {
    return (offset + 63) & ~63ULL;
}

static uint64_t number(const char *text) {
    return strtoull(text, NULL, 16);
}

// Reads a line each; returns how many.
static uint32_t read_addresses(uint64_t **addresses) {
    uint32_t count = 0;
    uint32_t capacity = 1 << 16;
    char line[64];
    *addresses = malloc(capacity * sizeof **addresses);
    while (*addresses != NULL && count < capacity && fgets(line, sizeof line, stdin) != NULL) {
        (*addresses)[count++] = number(line);
    }
    return count;
}

int main(int argc, char **argv) {
    uint64_t *addresses;
    uint32_t count = argc == 5 ? read_addresses(&addresses) : 0;
    if (count == 0) {
        fputs("usage: addresses-region PROGRAM BUILD-ID FIRST-ADDRESS BYTES < addresses\n", stderr);
        return 64;
    }
    const char *program = argv[1];
    uint32_t path_length = (uint32_t)strlen(program);
    uint32_t id_length = (uint32_t)strlen(argv[2]) / 2;
    uint64_t start = number(argv[3]);

    struct lp_header header = {
        .magic = LP_MAGIC,
        .layout_version = LP_LAYOUT_VERSION,
        .layout_signature = lp_layout_signature(),
        .start_ticks = 1,
        .pid = 1,
        .mode = LP_MODE_EXACT,
        .max_depth = LP_MAX_DEPTH,
        .epochs_capacity = EPOCHS,
        .modules_capacity = MODULES,
        .strings_capacity = path_length + id_length,
        .nodes_capacity = count + 1,
        .counters_capacity = count + 1,
        .state = LP_STATE_ENDED,
        .epoch = 1,
        .epochs_used = EPOCHS,
        .modules_used = MODULES,
        .strings_used = path_length + id_length,
        .nodes_used = count + 1,
        .counters_used = count + 1,
        .intervals_used = 1,
    };
    header.statistics_off = aligned(sizeof header);
    header.intervals_off = aligned(header.statistics_off + LP_STAT_COUNT * sizeof(uint64_t));
    header.epochs_off = aligned(header.intervals_off + LP_INTERVALS * sizeof(uint64_t));
    header.modules_off = aligned(header.epochs_off + EPOCHS * sizeof(struct lp_epoch));
    header.strings_off = aligned(header.modules_off + MODULES * sizeof(struct lp_module));
    header.nodes_off = aligned(header.strings_off + header.strings_capacity);
    header.counters_off = aligned(header.nodes_off + header.nodes_capacity * sizeof(struct lp_node));
    header.region_bytes =
        aligned(header.counters_off + header.counters_capacity * sizeof(struct lp_counter));

    char *region = calloc(1, header.region_bytes);
    if (region == NULL) return 1;
    memcpy(region, &header, sizeof header);
    struct lp_epoch *epochs = (void *)(region + header.epochs_off);
    epochs[0].started_monotonic_ns = 1;
    struct lp_module *modules = (void *)(region + header.modules_off);
    modules[1] = (struct lp_module){
        .start = start,
        .end = start + number(argv[4]),
        .load_bias = start,
        .path_length = path_length,
        .build_id_off = path_length,
        .build_id_length = id_length,
        .published = 1,
    };
    char *strings = region + header.strings_off;
    memcpy(strings, program, path_length);
    for (uint32_t i = 0; i < id_length; i++) {
        char digits[3] = {argv[2][2 * i], argv[2][2 * i + 1], '\0'};
        strings[path_length + i] = (char)number(digits);
    }
    struct lp_node *nodes = (void *)(region + header.nodes_off);
    struct lp_counter *counters = (void *)(region + header.counters_off);
    for (uint32_t i = 1; i <= count; i++) {
        // A return address is looked up at the byte before it.
        uint64_t frame = (start + addresses[i - 1] + 1) | 1ULL << LP_ADDRESS_BITS;
        nodes[i].frame_low = (uint32_t)frame;
        nodes[i].frame_high = (uint32_t)(frame >> 32);
        counters[i].stack = i;
        counters[i].epoch = 1;
        counters[i].allocated_objects = 1;
        counters[i].allocated_bytes = 1;
    }
    return fwrite(region, header.region_bytes, 1, stdout) == 1 ? 0 : 1;
}
