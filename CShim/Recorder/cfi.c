#include "cfi.h"

#include <stdbool.h>
#include <string.h>

#include "raw.h"
#include "unwind_rule.h"

// x86-64's DWARF numbers (psABI, figure 3.36).
#define REGISTER_RBP 6
#define REGISTER_RSP 7
#define REGISTER_RETURN_ADDRESS 16

// Pointer encodings: how a value is stored, and what it is relative to.
#define ENCODING_UDATA2 0x02
#define ENCODING_UDATA4 0x03
#define ENCODING_UDATA8 0x04
#define ENCODING_SDATA2 0x0a
#define ENCODING_SDATA4 0x0b
#define ENCODING_SDATA8 0x0c
#define ENCODING_ABSOLUTE 0x00
#define ENCODING_PC_RELATIVE 0x10

// How every linker writes the header: relative to its place, sdata4; udata4; relative to the header,
// sdata4.
#define ENCODING_OF_FRAME_POINTER 0x1b
#define ENCODING_OF_COUNT 0x03
#define ENCODING_OF_SORTED_TABLE 0x3b

// Bytes still to be read. Reading past the end yields zeros and sets `has_failed`.
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool has_failed;
};

static uint64_t take(struct cursor *cursor, unsigned bytes) {
    uint64_t value = 0;
    if ((uintptr_t)(cursor->end - cursor->at) < bytes) {
        cursor->has_failed = true;
        cursor->at = cursor->end;
        return 0;
    }
    memcpy(&value, cursor->at, bytes);
    cursor->at += bytes;
    return value;
}

static void skip(struct cursor *cursor, uint64_t bytes) {
    if ((uintptr_t)(cursor->end - cursor->at) < bytes) {
        cursor->has_failed = true;
        bytes = (uintptr_t)(cursor->end - cursor->at);
    }
    cursor->at += bytes;
}

// Little-endian base 128 (DWARF 5, 7.6). Sets `*sign` to what the bits above the value are when it is
// signed.
static uint64_t take_leb(struct cursor *cursor, uint64_t *sign) {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = (uint8_t)take(cursor, 1);
        if (shift < 64) value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while ((byte & 0x80) != 0);
    *sign = shift < 64 && (byte & 0x40) != 0 ? ~0ULL << shift : 0;
    return value;
}

static uint64_t take_uleb(struct cursor *cursor) {
    uint64_t sign;
    return take_leb(cursor, &sign);
}

static int64_t take_sleb(struct cursor *cursor) {
    uint64_t sign;
    uint64_t value = take_leb(cursor, &sign);
    return (int64_t)(value | sign);
}

// The size of a value in this encoding, 0 for one that is not understood.
static unsigned encoded_bytes(uint8_t encoding) {
    switch (encoding & 0x0f) {
    case ENCODING_UDATA2:
    case ENCODING_SDATA2: return 2;
    case ENCODING_UDATA4:
    case ENCODING_SDATA4: return 4;
    case ENCODING_ABSOLUTE:
    case ENCODING_UDATA8:
    case ENCODING_SDATA8: return 8;
    default: return 0;
    }
}

// Reads a value; `encoding` says its size and, unless it is a length, what it is relative to.
static uint64_t take_encoded(struct cursor *cursor, uint8_t encoding, bool is_length) {
    uint64_t place = (uint64_t)cursor->at;
    unsigned bytes = encoded_bytes(encoding);
    if (bytes == 0) {
        cursor->has_failed = true;
        return 0;
    }
    uint64_t value = take(cursor, bytes);
    if ((encoding & 0x08) != 0 && bytes < 8) {
        unsigned unused = 64 - bytes * 8;
        value = (uint64_t)((int64_t)(value << unused) >> unused);
    }
    if (is_length) return value;
    switch (encoding & 0xf0) {
    case ENCODING_ABSOLUTE: return value;
    case ENCODING_PC_RELATIVE: return value + place;
    default: cursor->has_failed = true; return 0;
    }
}

// ---- Entries ----

// The smallest there is; memory is mapped in no smaller pieces.
#define PAGE_BYTES 4096

// Whether the bytes can be read: a table that lies must not make us read what is not there. The kernel
// is asked about what lies outside the segment that holds the table; linkers put all of it into one.
static bool can_read(const struct lp_segment *segment, const uint8_t *at, uint64_t bytes) {
    uintptr_t start = (uintptr_t)at;
    if (start >= segment->start && start < segment->end && bytes <= segment->end - start) return true;
    if (!lp_sys_is_readable(at)) return false;
    uint64_t checked = PAGE_BYTES - start % PAGE_BYTES;
    for (; checked < bytes; checked += PAGE_BYTES) {
        if (!lp_sys_is_readable(at + checked)) return false;
    }
    return true;
}

// What a common information entry says for all functions that refer to it.
struct common {
    uint64_t code_factor;
    int64_t data_factor;
    struct cursor instructions;
    uint8_t pointer_encoding;
    bool has_augmentation_data;
    bool is_signal_frame;
};

// No function's entry is as large; longer ones are not what they seem.
#define MAX_ENTRY_BYTES 1048576

// The body of the entry at `at`, behind its length.
static struct cursor entry_at(const struct lp_segment *segment, const uint8_t *at) {
    struct cursor cursor = {.at = at, .end = at + 4};
    if (!can_read(segment, at, 8)) cursor.end = at;
    uint64_t length = take(&cursor, 4);
    // 0xffffffff would announce a 64-bit entry, which no linker writes for x86-64.
    if (length > MAX_ENTRY_BYTES || !can_read(segment, cursor.at, length)) cursor.has_failed = true;
    if (!cursor.has_failed) cursor.end = cursor.at + length;
    return cursor;
}

static bool parse_common(const struct lp_segment *segment, const uint8_t *at, struct common *common) {
    struct cursor cursor = entry_at(segment, at);
    if (take(&cursor, 4) != 0) return false; // not a common entry
    uint64_t version = take(&cursor, 1);
    const char *augmentation = (const char *)cursor.at;
    while (take(&cursor, 1) != 0) continue;
    common->code_factor = take_uleb(&cursor);
    common->data_factor = take_sleb(&cursor);
    uint64_t return_register = version == 1 ? take(&cursor, 1) : take_uleb(&cursor);
    if ((version != 1 && version != 3) || return_register != REGISTER_RETURN_ADDRESS) return false;
    common->pointer_encoding = ENCODING_ABSOLUTE;
    common->has_augmentation_data = augmentation[0] == 'z';
    common->is_signal_frame = false;
    if (common->has_augmentation_data) {
        uint64_t length = take_uleb(&cursor);
        struct cursor data = cursor;
        skip(&cursor, length);
        data.end = cursor.at;
        for (const char *letter = augmentation + 1; *letter != '\0'; letter++) {
            if (*letter == 'R') {
                common->pointer_encoding = (uint8_t)take(&data, 1);
            } else if (*letter == 'P') {
                uint8_t encoding = (uint8_t)take(&data, 1);
                skip(&data, encoded_bytes(encoding));
            } else if (*letter == 'L') {
                take(&data, 1);
            } else if (*letter == 'S') {
                common->is_signal_frame = true;
            } else {
                return false;
            }
        }
        if (data.has_failed) return false;
    } else if (augmentation[0] != '\0') {
        return false;
    }
    common->instructions = cursor;
    return !cursor.has_failed;
}

// Four encoding bytes and two values; and as many functions as 32-bit offsets can reach.
#define MAX_HEADER_BYTES 20
#define MAX_ENTRIES (1U << 28)

struct table_row {
    int32_t function; // from the header's first byte
    int32_t entry;
};

static bool read_row(const struct lp_segment *segment, const uint8_t *at, struct table_row *row) {
    if (!can_read(segment, at, sizeof *row)) return false;
    memcpy(row, at, sizeof *row);
    return true;
}

// Finds the entry of the function that contains `address` in the header's sorted table; NULL when there
// is none, or no such table, which every linker writes.
static const uint8_t *find_entry(const struct lp_segment *segment, uintptr_t address,
                                 const uint8_t *header) {
    struct cursor cursor = {.at = header, .end = header + MAX_HEADER_BYTES};
    if (!can_read(segment, header, MAX_HEADER_BYTES)) return NULL;
    uint64_t version = take(&cursor, 1);
    uint8_t frame_encoding = (uint8_t)take(&cursor, 1);
    uint8_t count_encoding = (uint8_t)take(&cursor, 1);
    uint64_t table_encoding = take(&cursor, 1);
    take_encoded(&cursor, frame_encoding, false);
    uint64_t count = take_encoded(&cursor, count_encoding, true);
    bool has_table = version == 1 && frame_encoding == ENCODING_OF_FRAME_POINTER &&
                     count_encoding == ENCODING_OF_COUNT &&
                     table_encoding == ENCODING_OF_SORTED_TABLE && !cursor.has_failed &&
                     count <= MAX_ENTRIES;
    if (!has_table || count == 0) return NULL;

    struct table_row row;
    int64_t target = (int64_t)(address - (uintptr_t)header);
    uint64_t low = 0, high = count;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (!read_row(segment, cursor.at + middle * 8, &row)) return NULL;
        if (row.function <= target) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) return NULL;
    if (!read_row(segment, cursor.at + (low - 1) * 8, &row)) return NULL;
    return (const uint8_t *)((uintptr_t)header + (uintptr_t)(intptr_t)row.entry);
}

// ---- Instructions ----

// Offsets are stored divided by a factor. Wraps, as unwind information that makes sense never does.
static int64_t scaled(uint64_t value, int64_t factor) {
    return (int64_t)(value * (uint64_t)factor);
}

enum how { HOW_UNCHANGED, HOW_AT_CFA, HOW_UNDEFINED, HOW_AT_RBP, HOW_OTHER };

struct saved {
    enum how how;
    int64_t offset; // from the CFA, HOW_AT_CFA
};

// One row of the table that the instructions describe, as far as a rule needs it.
struct row {
    enum { CFA_REGISTER, CFA_WORD_AT_RBP, CFA_OTHER } cfa;
    uint64_t cfa_register;        // an expression leaves this and the offset as they are
    uint64_t expression_register; // that the expression begins with
    int64_t cfa_offset;
    int64_t word_offset; // from rbp, CFA_WORD_AT_RBP
    struct saved rbp;
    struct saved return_address;
    bool restores_rsp; // a rule for rsp itself: it is not simply the CFA
};

#define MAX_REMEMBERED 4

struct machine {
    struct row row;
    struct row remembered[MAX_REMEMBERED];
    unsigned depth;
    uint64_t location;
    bool is_declined; // something came up that a rule can't say
    bool is_wrong;    // or that makes no sense
};

static void set_register(struct machine *machine, uint64_t number, enum how how, int64_t offset) {
    struct saved saved = {how, offset};
    if (number == REGISTER_RBP) machine->row.rbp = saved;
    if (number == REGISTER_RETURN_ADDRESS) machine->row.return_address = saved;
    if (number == REGISTER_RSP) machine->row.restores_rsp = how != HOW_UNCHANGED;
}

#define OP_BREG_0 0x70
#define OP_BREG_31 0x8f
#define OP_BREG_RBP 0x76
#define OP_DEREF 0x06

// "the word at rbp + n": where a function that aligned its stack keeps its CFA.
static void set_cfa_expression(struct machine *machine, struct cursor expression) {
    uint64_t first = take(&expression, 1);
    bool is_register = first >= OP_BREG_0 && first <= OP_BREG_31;
    machine->row.cfa = CFA_OTHER;
    machine->row.expression_register = is_register ? first - OP_BREG_0 : LP_RULE_REGISTER_UNKNOWN;
    if (first != OP_BREG_RBP) return;
    machine->row.word_offset = take_sleb(&expression);
    if (take(&expression, 1) != OP_DEREF) return;
    if (!expression.has_failed && expression.at == expression.end) machine->row.cfa = CFA_WORD_AT_RBP;
}

// "at rbp": such a function's own saved rbp.
static void set_expression(struct machine *machine, uint64_t number, struct cursor expression) {
    bool is_at_rbp = take(&expression, 1) == OP_BREG_RBP && take_sleb(&expression) == 0 &&
                     !expression.has_failed && expression.at == expression.end;
    set_register(machine, number, is_at_rbp ? HOW_AT_RBP : HOW_OTHER, 0);
}

static struct cursor take_block(struct cursor *cursor) {
    uint64_t length = take_uleb(cursor);
    struct cursor block = *cursor;
    skip(cursor, length);
    block.end = cursor->at;
    return block;
}

static void run_extended(struct machine *machine, struct cursor *code, const struct common *common,
                         uint8_t opcode) {
    struct row *row = &machine->row;
    uint64_t number;
    switch (opcode) {
    case 0x00: break; // nop
    case 0x01: machine->location = take_encoded(code, common->pointer_encoding, false); break;
    case 0x02: machine->location += take(code, 1) * common->code_factor; break; // advance_loc1
    case 0x03: machine->location += take(code, 2) * common->code_factor; break;
    case 0x04: machine->location += take(code, 4) * common->code_factor; break;
    case 0x05: // offset_extended
        number = take_uleb(code);
        set_register(machine, number, HOW_AT_CFA, scaled(take_uleb(code), common->data_factor));
        break;
    case 0x06: // restore_extended
    case 0x08: // same_value
        set_register(machine, take_uleb(code), HOW_UNCHANGED, 0);
        break;
    case 0x07: set_register(machine, take_uleb(code), HOW_UNDEFINED, 0); break;
    case 0x09: // register
        set_register(machine, take_uleb(code), HOW_OTHER, 0);
        take_uleb(code);
        break;
    case 0x0a: // remember_state
        if (machine->depth == MAX_REMEMBERED) {
            machine->is_declined = true;
        } else {
            machine->remembered[machine->depth++] = *row;
        }
        break;
    case 0x0b: // restore_state
        if (machine->depth == 0) {
            machine->is_wrong = true;
        } else {
            *row = machine->remembered[--machine->depth];
        }
        break;
    case 0x0c: // def_cfa
        row->cfa = CFA_REGISTER;
        row->cfa_register = take_uleb(code);
        row->cfa_offset = (int64_t)take_uleb(code);
        break;
    case 0x0d: // def_cfa_register
        row->cfa = CFA_REGISTER;
        row->cfa_register = take_uleb(code);
        break;
    case 0x0e: row->cfa_offset = (int64_t)take_uleb(code); break; // def_cfa_offset
    case 0x0f: set_cfa_expression(machine, take_block(code)); break;
    case 0x10: // expression
        number = take_uleb(code);
        set_expression(machine, number, take_block(code));
        break;
    case 0x11: // offset_extended_sf
        number = take_uleb(code);
        set_register(machine, number, HOW_AT_CFA,
                     scaled((uint64_t)take_sleb(code), common->data_factor));
        break;
    case 0x12: // def_cfa_sf
        row->cfa = CFA_REGISTER;
        row->cfa_register = take_uleb(code);
        row->cfa_offset = scaled((uint64_t)take_sleb(code), common->data_factor);
        break;
    case 0x13:
        row->cfa_offset = scaled((uint64_t)take_sleb(code), common->data_factor);
        break; // def_cfa_offset_sf
    case 0x14: // val_offset
        set_register(machine, take_uleb(code), HOW_OTHER, 0);
        take_uleb(code);
        break;
    case 0x15: // val_offset_sf
        set_register(machine, take_uleb(code), HOW_OTHER, 0);
        take_sleb(code);
        break;
    case 0x16: // val_expression
        set_register(machine, take_uleb(code), HOW_OTHER, 0);
        take_block(code);
        break;
    case 0x2e: take_uleb(code); break; // GNU_args_size
    default: machine->is_wrong = true; break;
    }
}

// Runs instructions up to the row that holds at `address`.
static void run(struct machine *machine, struct cursor code, const struct common *common,
                uintptr_t address) {
    while (code.at < code.end && machine->location <= address && !machine->is_wrong) {
        uint8_t opcode = (uint8_t)take(&code, 1);
        uint64_t operand = opcode & 0x3f;
        switch (opcode & 0xc0) {
        case 0x40: machine->location += operand * common->code_factor; break; // advance_loc
        case 0x80:                                                            // offset
            set_register(machine, operand, HOW_AT_CFA, scaled(take_uleb(&code), common->data_factor));
            break;
        case 0xc0: set_register(machine, operand, HOW_UNCHANGED, 0); break; // restore
        default: run_extended(machine, &code, common, opcode); break;
        }
    }
    if (code.has_failed) machine->is_wrong = true;
}

// LP_RULE_NONE when a rule can't say it.
static uint64_t simple_rule_of(const struct row *row) {
    if (row->return_address.how != HOW_AT_CFA || row->return_address.offset != -8 || row->restores_rsp)
        return LP_RULE_NONE;
    if (row->cfa == CFA_WORD_AT_RBP && row->rbp.how == HOW_AT_RBP)
        return lp_rule_make(LP_RULE_CFA_AT_RBP, row->word_offset, 0);
    if (row->cfa != CFA_REGISTER) return LP_RULE_NONE;
    int64_t rbp_offset = 0;
    if (row->rbp.how == HOW_AT_CFA) {
        rbp_offset = row->rbp.offset;
        if (rbp_offset == 0) return LP_RULE_NONE;
    } else if (row->rbp.how != HOW_UNCHANGED && row->rbp.how != HOW_UNDEFINED) {
        return LP_RULE_NONE;
    }
    if (row->cfa_register == REGISTER_RSP)
        return lp_rule_make(LP_RULE_CFA_RSP, row->cfa_offset, rbp_offset);
    if (row->cfa_register == REGISTER_RBP)
        return lp_rule_make(LP_RULE_CFA_RBP, row->cfa_offset, rbp_offset);
    return LP_RULE_NONE;
}

static uint64_t rule_of(const struct row *row) {
    if (row->return_address.how == HOW_UNDEFINED) return LP_RULE_OUTERMOST;
    uint64_t rule = simple_rule_of(row);
    if (rule != LP_RULE_NONE) return rule;
    return lp_rule_other(row->cfa == CFA_REGISTER ? row->cfa_register : row->expression_register);
}

uint64_t lp_cfi_rule(uintptr_t address, const void *header, const struct lp_segment *segment) {
    const uint8_t *entry = find_entry(segment, address, header);
    if (entry == NULL) return LP_RULE_NO_INFORMATION;

    struct cursor cursor = entry_at(segment, entry);
    const uint8_t *place = cursor.at;
    uint64_t distance = take(&cursor, 4);
    struct common common;
    if (cursor.has_failed || distance == 0 || !parse_common(segment, place - distance, &common))
        return LP_RULE_NO_INFORMATION;
    uint64_t function = take_encoded(&cursor, common.pointer_encoding, false);
    uint64_t length = take_encoded(&cursor, common.pointer_encoding, true);
    if (common.has_augmentation_data) skip(&cursor, take_uleb(&cursor));
    if (cursor.has_failed) return LP_RULE_NO_INFORMATION;
    if (address < function || address - function >= length) return LP_RULE_NO_INFORMATION;
    if (common.is_signal_frame) return LP_RULE_SIGNAL_FRAME;

    struct machine machine = {.location = function};
    machine.row.cfa = CFA_OTHER;
    machine.row.cfa_register = LP_RULE_REGISTER_UNKNOWN;
    machine.row.expression_register = LP_RULE_REGISTER_UNKNOWN;
    // The common entry's instructions hold for the whole function.
    run(&machine, common.instructions, &common, UINTPTR_MAX);
    machine.location = function;
    run(&machine, cursor, &common, address);
    if (machine.is_wrong) return LP_RULE_NO_INFORMATION;
    return machine.is_declined ? lp_rule_other(LP_RULE_REGISTER_UNKNOWN) : rule_of(&machine.row);
}
