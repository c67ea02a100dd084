#include "python_lines.h"

#include <stdbool.h>
#include <stddef.h>

#include "region_layout.h"

// Stretches of bytecode, each of one line, in their order.
struct stretch {
    const uint8_t *next; // of the table
    const uint8_t *table_end;
    uint32_t kind;
    uint32_t start; // offsets in the bytecode
    uint32_t end;
    int32_t line; // counted from the first line
    bool has_line;
    int32_t pending; // what the entry that ended this stretch adds to the line; lnotab only
};

static int32_t signed_byte(uint8_t byte) {
    return byte < 128 ? byte : byte - 256;
}

static bool advance_numbers(struct stretch *stretch) {
    if (stretch->end == UINT32_MAX) return false;
    stretch->start = stretch->end;
    stretch->line += stretch->pending;
    stretch->pending = 0;
    while (stretch->table_end - stretch->next >= 2) {
        uint32_t length = stretch->next[0];
        int32_t change = signed_byte(stretch->next[1]);
        stretch->next += 2;
        if (length != 0) {
            stretch->end = stretch->start + length;
            stretch->pending = change;
            return true;
        }
        stretch->line += change;
    }
    // The last line goes on to the end of the code, which the table does not say.
    stretch->end = UINT32_MAX;
    return true;
}

static bool advance_ranges(struct stretch *stretch) {
    if (stretch->table_end - stretch->next < 2) return false;
    int32_t change = signed_byte(stretch->next[1]);
    stretch->start = stretch->end;
    stretch->end += stretch->next[0];
    stretch->has_line = change != -128;
    if (stretch->has_line) stretch->line += change;
    stretch->next += 2;
    return true;
}

// A number in groups of 6 bits, the lowest first, whose sign is its lowest bit.
static int32_t read_signed(struct stretch *stretch) {
    uint32_t value = 0;
    for (unsigned shift = 0; stretch->next < stretch->table_end; shift += 6) {
        uint32_t byte = *stretch->next++;
        if (shift < 32) value |= (byte & 63) << shift;
        if ((byte & 64) == 0) break;
    }
    return (value & 1) != 0 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1);
}

static bool advance_locations(struct stretch *stretch) {
    if (stretch->next >= stretch->table_end) return false;
    uint32_t first = *stretch->next++;
    uint32_t code = first >> 3 & 15;
    stretch->start = stretch->end;
    stretch->end += ((first & 7) + 1) * 2;
    stretch->has_line = code != 15;
    if (code >= 10 && code <= 12) stretch->line += (int32_t)code - 10;
    if (code == 13 || code == 14) stretch->line += read_signed(stretch);
    // Columns: every entry begins with a byte that has the highest bit set.
    while (stretch->next < stretch->table_end && *stretch->next < 0x80) stretch->next++;
    return true;
}

static bool advance(struct stretch *stretch) {
    switch (stretch->kind) {
    case LP_LINES_NUMBERS: return advance_numbers(stretch);
    case LP_LINES_RANGES: return advance_ranges(stretch);
    default: return advance_locations(stretch);
    }
}

uint32_t lp_python_line_start(uint32_t kind, const uint8_t *table, uint64_t bytes, uint32_t offset) {
    const struct stretch first = {
        .next = table, .table_end = table + bytes, .kind = kind, .has_line = true};
    struct stretch found = first;
    bool is_there = false;
    while (!is_there && advance(&found)) is_there = offset >= found.start && offset < found.end;
    if (!is_there || !found.has_line) return offset;
    struct stretch earliest = first;
    while (advance(&earliest)) {
        bool is_same = earliest.has_line && earliest.line == found.line;
        if (is_same && earliest.start < earliest.end) return earliest.start;
    }
    return offset;
}
