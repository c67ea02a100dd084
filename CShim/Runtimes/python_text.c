#include "python_text.h"

#include <stddef.h>
#include <string.h>

#include "python.h"

static uint32_t character_at(const char *data, unsigned bytes_each, uint64_t index) {
    uint16_t two;
    uint32_t four;
    switch (bytes_each) {
    case 1: return (unsigned char)data[index];
    case 2: memcpy(&two, data + index * 2, sizeof two); return two;
    default: memcpy(&four, data + index * 4, sizeof four); return four;
    }
}

// Returns the number of bytes; writes them when there is a place.
static uint32_t encode(uint32_t character, char *place) {
    char bytes[4];
    uint32_t count;
    if (character < 0x80) {
        bytes[0] = (char)character;
        count = 1;
    } else if (character >= 0xdc80 && character <= 0xdcff) {
        bytes[0] = (char)(character - 0xdc00);
        count = 1;
    } else if (character < 0x800) {
        bytes[0] = (char)(0xc0 | character >> 6);
        bytes[1] = (char)(0x80 | (character & 0x3f));
        count = 2;
    } else if (character < 0x10000) {
        bytes[0] = (char)(0xe0 | character >> 12);
        bytes[1] = (char)(0x80 | (character >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (character & 0x3f));
        count = 3;
    } else {
        bytes[0] = (char)(0xf0 | (character >> 18 & 7));
        bytes[1] = (char)(0x80 | (character >> 12 & 0x3f));
        bytes[2] = (char)(0x80 | (character >> 6 & 0x3f));
        bytes[3] = (char)(0x80 | (character & 0x3f));
        count = 4;
    }
    if (place != NULL) memcpy(place, bytes, count);
    return count;
}

uint32_t lp_python_text(const struct lp_python_layout *layout, uintptr_t text, char *bytes,
                        uint32_t capacity) {
    if (text == 0 || *(const uintptr_t *)(text + layout->type) != lp_python.text_type) return 0;
    uint32_t state = *(const uint32_t *)(text + layout->text_state);
    if ((state & layout->is_compact) == 0) return 0;
    uint64_t length = *(const uint64_t *)(text + layout->text_length);
    bool is_ascii = (state & layout->is_ascii) != 0;
    unsigned bytes_each = is_ascii ? 1 : state >> layout->kind_shift & 7;
    const char *data = (const char *)text + (is_ascii ? layout->text_ascii : layout->text_data);
    uint32_t used = 0;
    for (uint64_t i = 0; i < length; i++) {
        uint32_t character = character_at(data, bytes_each, i);
        uint32_t count = encode(character, NULL);
        if (count > capacity - used) break;
        if (bytes != NULL) encode(character, bytes + used);
        used += count;
    }
    return used;
}
