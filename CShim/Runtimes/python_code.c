#include "python_code.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "free_filter.h"
#include "heap.h"
#include "process.h"
#include "python.h"
#include "python_lines.h"
#include "python_text.h"
#include "raw.h"

#define MAX_NAME 1024U
#define MAX_FILE 4096U
// Bytes. Longer line tables are not copied, and not gone through from their beginning for every line:
// a module of data, or one that a program wrote, may have very many.
#define MAX_TABLE 8192U

uint64_t lp_python_code_bits[LP_PYTHON_CODE_BITS / 64];

static uint32_t generation; // atomic
uint32_t lp_python_generations[LP_PYTHON_GENERATIONS];

// Which code object is described where. A code object is known again by its address and by what it
// refers to; what is freed is struck out, so the rest of the key only matters where frees are not seen.
struct slot {
    uintptr_t code;    // 0: free; never changes again. Atomic
    uint64_t key;      // 0: struck out; atomic
    uint32_t position; // 0: another thread is about to write it; atomic
};

#define SLOTS 32768U
#define LOOKS 64U

// Which files have a name in the heap.
struct file_slot {
    uint64_t key;      // of the name's bytes, 0: free; atomic
    uint32_t position; // 0: another thread is about to write it; atomic
};

#define FILE_SLOTS 8192U

// What was found out last. Both words are written by several threads: the first is what was asked xor a
// hash of the second, so that words which do not belong together answer nothing.
struct known {
    uint64_t mixed;  // atomic
    uint64_t answer; // not 0, or what was never asked would be the answer to 0; atomic
};

#define KNOWN_LINES 32768U
#define KNOWN_STEPS 16384U

// How far a long table was gone through: its code mostly goes on from there.
struct cursor {
    uint32_t is_taken; // a thread uses it: others begin at the beginning. Atomic
    uint32_t position; // of the code object, in the heap
    struct lp_line_stretch stretch;
};

#define CURSORS 64U

struct lp_python_codes {
    struct slot slots[SLOTS];
    struct file_slot files[FILE_SLOTS];
    struct known lines[KNOWN_LINES]; // places by code object and offset
    struct known steps[KNOWN_STEPS]; // see lp_python_known_step()
    struct cursor cursors[CURSORS];
};

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 29;
}

static uintptr_t word_at(uintptr_t object, uint16_t offset) {
    return *(const uintptr_t *)(object + offset);
}

// This process's table; NULL when there is no memory for it. A forked child has none of its parent's:
// what is in that lies in another region.
static struct lp_python_codes *codes(void) {
    struct lp_python_codes *table = __atomic_load_n(&lp_process.python_codes, __ATOMIC_ACQUIRE);
    if (__builtin_expect(table != NULL, 1)) return table;
    if (__atomic_load_n(&lp_process.is_strict, __ATOMIC_RELAXED)) return NULL;
    void *memory = lp_sys_map(sizeof *table, -1);
    if (memory == LP_MAP_FAILED) return NULL;
    lp_sys_advise(memory, sizeof *table, MADV_DONTFORK);
    if (__atomic_compare_exchange_n(&lp_process.python_codes, &table, memory, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return memory;
    lp_sys_unmap(memory, sizeof *table);
    return table;
}

// ---- Describing ----

static uint64_t key_of_bytes(const char *bytes, uint32_t length) {
    uint64_t key = mix(1, length);
    uint32_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        key = mix(key, word);
    }
    for (; i < length; i++) key = mix(key, (unsigned char)bytes[i]);
    return key | 1;
}

static bool is_text(uint32_t position, const char *bytes, uint32_t length) {
    const struct lp_text *text = lp_heap_at(position);
    return text->length == length && memcmp(text + 1, bytes, length) == 0;
}

// Where the file's name lies in the heap. It is written there before it is looked for: the stack may be
// a small thread's. When it is there already, nothing refers to this copy, and that happens once per
// code object at the most.
static uint32_t file_text(struct lp_python_codes *table, const struct lp_python_layout *layout,
                          uintptr_t name) {
    char start[256];
    uint32_t length = lp_python_text(layout, name, NULL, MAX_FILE);
    if (length == 0) return 0;
    char *bytes = start;
    uint32_t position = 0;
    void *place_in_heap = NULL;
    if (length > sizeof start) {
        position = lp_heap_take(sizeof(struct lp_text) + length, &place_in_heap);
        if (position == 0) return 0;
        bytes = (char *)place_in_heap + sizeof(struct lp_text);
    }
    lp_python_text(layout, name, bytes, length);
    uint64_t key = key_of_bytes(bytes, length);
    struct file_slot *slot = NULL;
    for (uint32_t look = 0; look < LOOKS && slot == NULL; look++) {
        struct file_slot *place = &table->files[((key >> 40) + look) & (FILE_SLOTS - 1)];
        uint64_t seen = __atomic_load_n(&place->key, __ATOMIC_ACQUIRE);
        if (seen == key) {
            uint32_t known = lp_load_acquire_u32(&place->position);
            if (known != 0 && is_text(known, bytes, length)) return known;
            break; // its writer is not done yet, or it is another name after all
        }
        if (seen == 0 && __atomic_compare_exchange_n(&place->key, &seen, key, false, __ATOMIC_ACQ_REL,
                                                     __ATOMIC_ACQUIRE))
            slot = place;
    }
    if (position == 0) {
        position = lp_heap_take(sizeof(struct lp_text) + length, &place_in_heap);
        if (position == 0) return 0;
        memcpy((char *)place_in_heap + sizeof(struct lp_text), bytes, length);
    }
    ((struct lp_text *)place_in_heap)->length = length;
    if (slot != NULL) lp_store_release_u32(&slot->position, position);
    return position;
}

static uint32_t describe(struct lp_python_codes *table, const struct lp_python_layout *layout,
                         uintptr_t code) {
    uintptr_t name = word_at(code, layout->code_name);
    uintptr_t lines = word_at(code, layout->code_lines);
    uint32_t name_length = lp_python_text(layout, name, NULL, MAX_NAME);
    uint64_t table_length = lines == 0 ? 0 : word_at(lines, layout->bytes_length);
    if (table_length > MAX_TABLE) table_length = 0;
    uint32_t file = file_text(table, layout, word_at(code, layout->code_file));
    void *place;
    uint32_t position = lp_heap_take(sizeof(struct lp_code) + name_length + table_length, &place);
    if (position == 0) return 0;
    struct lp_code *description = place;
    description->first_line = *(const int32_t *)(code + layout->code_first_line);
    description->name_length = name_length;
    description->file_text = file;
    description->table_length = (uint32_t)table_length;
    description->table_kind = layout->lines;
    char *bytes = (char *)(description + 1);
    lp_python_text(layout, name, bytes, name_length);
    if (table_length != 0)
        memcpy(bytes + name_length, (const char *)lines + layout->bytes_data, table_length);
    return position;
}

// ---- Finding ----

// What the code object refers to, and the ends of its line table. Not 0.
static uint64_t key_of(const struct lp_python_layout *layout, uintptr_t code) {
    uintptr_t lines = word_at(code, layout->code_lines);
    uint64_t key = mix(*(const uint32_t *)(code + layout->code_first_line), lines);
    key = mix(key, word_at(code, layout->code_file));
    key = mix(key, word_at(code, layout->code_name));
    if (lines == 0) return key | 1;
    uint64_t length = word_at(lines, layout->bytes_length);
    key = mix(key, length);
    // There is a zero behind the bytes, and a bytes object is never smaller than this.
    if (length >= 8) {
        key = mix(key, word_at(lines, layout->bytes_data));
        key = mix(key, word_at(lines + length - 8, layout->bytes_data));
    }
    return key | 1;
}

static void remember(uintptr_t code) {
    uint32_t bit = (uint32_t)(code >> 4) % LP_PYTHON_CODE_BITS;
    __atomic_fetch_or(&lp_python_code_bits[bit / 64], 1ULL << bit % 64, __ATOMIC_RELAXED);
    // Frees of what is sampled out are not looked at, but this one must be.
    lp_filter_add(code);
}

static struct slot *slot_at(struct lp_python_codes *table, uintptr_t code, uint32_t look) {
    return &table->slots[((uint32_t)(mix(0, code >> 4) >> 32) + look) & (SLOTS - 1)];
}

uint32_t lp_python_code(const struct lp_python_layout *layout, uintptr_t code) {
    struct lp_python_codes *table = codes();
    if (table == NULL) return 0;
    uint64_t key = key_of(layout, code);
    struct slot *slot = NULL;
    for (uint32_t look = 0; look < LOOKS; look++) {
        struct slot *place = slot_at(table, code, look);
        uintptr_t seen = __atomic_load_n(&place->code, __ATOMIC_ACQUIRE);
        if (seen == 0 && __atomic_compare_exchange_n(&place->code, &seen, code, false, __ATOMIC_ACQ_REL,
                                                     __ATOMIC_ACQUIRE)) {
            slot = place;
            break;
        }
        if (seen != code) continue;
        uint64_t known = __atomic_load_n(&place->key, __ATOMIC_ACQUIRE);
        if (known == key) {
            uint32_t position = lp_load_acquire_u32(&place->position);
            if (position != 0) return position;
            break;
        }
        // What was struck out was of this address and may be used again.
        if (known == 0 && lp_load_relaxed_u32(&place->position) != 0) {
            slot = place;
            break;
        }
    }
    uint32_t position = describe(table, layout, code);
    if (position == 0) lp_count(LP_STAT_CODES_LOST, 1);
    if (position == 0 || slot == NULL) return position;
    lp_store_release_u32(&slot->position, position);
    __atomic_store_n(&slot->key, key, __ATOMIC_RELEASE);
    remember(code);
    return position;
}

// The offset's line, counted from the code object's first; false when it has none.
static bool find_in_long(struct lp_python_codes *table, const struct lp_python_layout *layout,
                         uintptr_t lines, uint32_t position, uint32_t offset, int32_t *line) {
    struct cursor *cursor = &table->cursors[mix(0, position) >> 32 & (CURSORS - 1)];
    uint32_t is_taken = 0;
    bool is_ours = lp_compare_exchange_u32(&cursor->is_taken, &is_taken, 1);
    struct lp_line_stretch stretch = LP_LINES_BEGIN;
    if (is_ours && cursor->position == position && cursor->stretch.start <= offset)
        stretch = cursor->stretch;
    bool is_found = lp_python_find_line(layout->lines, (const uint8_t *)lines + layout->bytes_data,
                                        word_at(lines, layout->bytes_length), offset, &stretch);
    *line = stretch.line;
    if (is_ours) {
        if (is_found) cursor->position = position;
        if (is_found) cursor->stretch = stretch;
        lp_store_release_u32(&cursor->is_taken, 0);
    }
    return is_found && stretch.has_line;
}

static uint64_t find_place(struct lp_python_codes *table, const struct lp_python_layout *layout,
                           uintptr_t code, uint32_t position, uint32_t offset) {
    uintptr_t lines = word_at(code, layout->code_lines);
    uint64_t length = word_at(lines, layout->bytes_length);
    if (length <= MAX_TABLE)
        return (uint64_t)lp_python_line_start(
                   layout->lines, (const uint8_t *)lines + layout->bytes_data, length, offset) +
               1;
    int32_t line;
    if (!find_in_long(table, layout, lines, position, offset, &line)) return (uint64_t)offset + 1;
    return LP_PYTHON_LINE | (uint32_t)(line + *(const int32_t *)(code + layout->code_first_line));
}

// One of two places, of which the second gets what was in the first.
static struct known *place_of(struct known *places, uint32_t count, uint64_t question) {
    return &places[mix(0, question) >> 32 & (count - 2)];
}

static uint64_t recall(const struct known *known, uint64_t question) {
    for (unsigned i = 0; i < 2; i++) {
        uint64_t answer = lp_load_relaxed_u64(&known[i].answer);
        if (answer != 0 && (lp_load_relaxed_u64(&known[i].mixed) ^ mix(0, answer)) == question)
            return answer;
    }
    return 0;
}

static void note(struct known *known, uint64_t question, uint64_t answer) {
    lp_store_relaxed_u64(&known[1].answer, lp_load_relaxed_u64(&known[0].answer));
    lp_store_relaxed_u64(&known[1].mixed, lp_load_relaxed_u64(&known[0].mixed));
    lp_store_relaxed_u64(&known[0].answer, answer);
    lp_store_relaxed_u64(&known[0].mixed, question ^ mix(0, answer));
}

uint64_t lp_python_code_place(const struct lp_python_layout *layout, uintptr_t code, uint32_t position,
                              uint32_t offset) {
    struct lp_python_codes *table = codes();
    if (table == NULL || word_at(code, layout->code_lines) == 0) return (uint64_t)offset + 1;
    // Its place in the heap is a code object's for good.
    uint64_t question = (uint64_t)position << 32 | offset;
    struct known *known = place_of(table->lines, KNOWN_LINES, question);
    uint64_t answer = recall(known, question);
    if (answer != 0) return answer;
    answer = find_place(table, layout, code, position, offset);
    note(known, question, answer);
    return answer;
}

uint32_t lp_python_known_step(uint64_t step) {
    struct lp_python_codes *table = codes();
    return table == NULL ? 0 : (uint32_t)recall(place_of(table->steps, KNOWN_STEPS, step), step);
}

void lp_python_note_step(uint64_t step, uint32_t node) {
    struct lp_python_codes *table = codes();
    if (table != NULL) note(place_of(table->steps, KNOWN_STEPS, step), step, node);
}

void lp_python_code_freed(const void *block) {
    struct lp_python_codes *table = __atomic_load_n(&lp_process.python_codes, __ATOMIC_ACQUIRE);
    if (table == NULL) return;
    for (uint32_t look = 0; look < LOOKS; look++) {
        struct slot *place = slot_at(table, (uintptr_t)block, look);
        uintptr_t seen = __atomic_load_n(&place->code, __ATOMIC_ACQUIRE);
        if (seen == 0) return;
        if (seen != (uintptr_t)block || __atomic_exchange_n(&place->key, 0, __ATOMIC_ACQ_REL) == 0)
            continue;
        lp_filter_remove((uintptr_t)block);
        lp_add_relaxed_u32(&generation, 1);
        lp_add_relaxed_u32(lp_python_generation_of((uintptr_t)block), 1);
    }
}

uint32_t lp_python_code_generation(void) {
    return lp_load_acquire_u32(&generation);
}
