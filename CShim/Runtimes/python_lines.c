#include "python_lines.h"

#include <stdbool.h>
#include <stddef.h>

#include "region_layout.h"

// A table that is gone through.
struct table {
    const uint8_t *bytes;
    uint32_t length;
    uint32_t kind;
};

static int32_t signed_byte(uint8_t byte) {
    return byte < 128 ? byte : byte - 256;
}

static void move_line(struct lp_line_stretch *stretch, int32_t change) {
    stretch->line = (int32_t)((uint32_t)stretch->line + (uint32_t)change);
}

static bool advance_numbers(const struct table *table, struct lp_line_stretch *stretch) {
    if (stretch->end == UINT32_MAX) return false;
    stretch->start = stretch->end;
    move_line(stretch, stretch->pending);
    stretch->pending = 0;
    while (table->length - stretch->next >= 2) {
        uint32_t length = table->bytes[stretch->next];
        int32_t change = signed_byte(table->bytes[stretch->next + 1]);
        stretch->next += 2;
        if (length != 0) {
            stretch->end = stretch->start + length;
            stretch->pending = change;
            return true;
        }
        move_line(stretch, change);
    }
    // The last line goes on to the end of the code, which the table does not say.
    stretch->end = UINT32_MAX;
    return true;
}

static bool advance_ranges(const struct table *table, struct lp_line_stretch *stretch) {
    if (table->length - stretch->next < 2) return false;
    int32_t change = signed_byte(table->bytes[stretch->next + 1]);
    stretch->start = stretch->end;
    stretch->end += table->bytes[stretch->next];
    stretch->has_line = change != -128;
    if (stretch->has_line) move_line(stretch, change);
    stretch->next += 2;
    return true;
}

// A number in groups of 6 bits, the lowest first, whose sign is its lowest bit.
static int32_t read_signed(const struct table *table, struct lp_line_stretch *stretch) {
    uint32_t value = 0;
    for (unsigned shift = 0; stretch->next < table->length; shift += 6) {
        uint32_t byte = table->bytes[stretch->next++];
        if (shift < 32) value |= (byte & 63) << shift;
        if ((byte & 64) == 0) break;
    }
    return (value & 1) != 0 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1);
}

static bool advance_locations(const struct table *table, struct lp_line_stretch *stretch) {
    if (stretch->next >= table->length) return false;
    uint32_t first = table->bytes[stretch->next++];
    uint32_t code = first >> 3 & 15;
    stretch->start = stretch->end;
    stretch->end += ((first & 7) + 1) * 2;
    stretch->has_line = code != 15;
    if (code >= 10 && code <= 12) move_line(stretch, (int32_t)code - 10);
    if (code == 13 || code == 14) move_line(stretch, read_signed(table, stretch));
    // Columns: every entry begins with a byte that has the highest bit set.
    while (stretch->next < table->length && table->bytes[stretch->next] < 0x80) stretch->next++;
    return true;
}

static bool advance(const struct table *table, struct lp_line_stretch *stretch) {
    switch (table->kind) {
    case LP_LINES_NUMBERS: return advance_numbers(table, stretch);
    case LP_LINES_RANGES: return advance_ranges(table, stretch);
    default: return advance_locations(table, stretch);
    }
}

static struct table table_of(uint32_t kind, const uint8_t *bytes, uint64_t length) {
    return (struct table){bytes, length < UINT32_MAX ? (uint32_t)length : UINT32_MAX - 1, kind};
}

static bool find(const struct table *table, uint32_t offset, struct lp_line_stretch *stretch) {
    while (offset >= stretch->end || offset < stretch->start) {
        if (!advance(table, stretch)) return false;
    }
    return true;
}

bool lp_python_find_line(uint32_t kind, const uint8_t *bytes, uint64_t length, uint32_t offset,
                         struct lp_line_stretch *stretch) {
    struct table table = table_of(kind, bytes, length);
    return find(&table, offset, stretch);
}

uint32_t lp_python_line_start(uint32_t kind, const uint8_t *bytes, uint64_t length, uint32_t offset) {
    struct table table = table_of(kind, bytes, length);
    struct lp_line_stretch found = LP_LINES_BEGIN;
    if (!find(&table, offset, &found) || !found.has_line) return offset;
    struct lp_line_stretch earliest = LP_LINES_BEGIN;
    while (advance(&table, &earliest)) {
        bool is_same = earliest.has_line && earliest.line == found.line;
        if (is_same && earliest.start < earliest.end) return earliest.start;
    }
    return offset;
}
