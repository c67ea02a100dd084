#include "config.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "region_layout.h"

// The value of `entry` if it is "name=value", else NULL.
static const char *value_of(const char *entry, const char *name) {
    size_t length = strlen(name);
    if (strncmp(entry, name, length) != 0 || entry[length] != '=') return NULL;
    return entry + length + 1;
}

// Parses decimal digits; returns the first character after them, NULL if there were none or too many.
static const char *parse_digits(const char *text, uint64_t *value) {
    if (*text < '0' || *text > '9') return NULL;
    uint64_t result = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (result > UINT64_MAX / 10 - 1) return NULL;
        result = result * 10 + (uint64_t)(*text - '0');
    }
    *value = result;
    return text;
}

// Parses "4096", "512KiB", "512K", "16MiB", "1GiB", with 1024 for a thousand in every spelling.
static bool parse_bytes(const char *text, uint64_t *bytes) {
    uint64_t value;
    text = parse_digits(text, &value);
    if (text == NULL) return false;
    unsigned shift = 0;
    switch (*text) {
    case 'k':
    case 'K': shift = 10; break;
    case 'm':
    case 'M': shift = 20; break;
    case 'g':
    case 'G': shift = 30; break;
    default: break;
    }
    if (shift != 0) text++;
    if (shift != 0 && (*text == 'i' || *text == 'I')) text++;
    if (*text == 'B' || *text == 'b') text++;
    if (*text != '\0' || value > (UINT64_MAX >> shift)) return false;
    *bytes = value << shift;
    return true;
}

static bool parse_bytes_within(const char *text, uint64_t low, uint64_t high, uint64_t *bytes) {
    uint64_t value;
    if (!parse_bytes(text, &value) || value < low || value > high) return false;
    *bytes = value;
    return true;
}

static bool parse_flag(const char *text, bool *flag) {
    if (text[0] == '\0' || text[1] != '\0' || (text[0] != '0' && text[0] != '1')) return false;
    *flag = text[0] == '1';
    return true;
}

// Parses "SIGRTMIN+7", "RTMIN+7", a number, or "0" for none. Names of ordinary signals are refused: the
// target is likely to want those itself.
static bool parse_signal(const char *text, int32_t *signal_number) {
    int base = 0;
    if (strncmp(text, "SIG", 3) == 0) text += 3;
    if (strncmp(text, "RTMIN", 5) == 0) {
        base = SIGRTMIN;
        text += 5;
        if (*text == '\0') {
            *signal_number = base;
            return true;
        }
        if (*text++ != '+') return false;
    }
    uint64_t number;
    const char *end = parse_digits(text, &number);
    if (end == NULL || *end != '\0' || number > (uint64_t)(SIGRTMAX - base)) return false;
    *signal_number = base + (int32_t)number;
    return true;
}

// "1", "0", or "parent=PID": keep when PID is this process's parent, so that `leakprof run` keeps the
// region of the process it started and of no other one that inherits the variable.
static bool parse_keep(const char *text, bool *keep) {
    if (parse_flag(text, keep)) return true;
    if (strncmp(text, "parent=", 7) != 0) return false;
    uint64_t parent;
    const char *end = parse_digits(text + 7, &parent);
    if (end == NULL || *end != '\0') return false;
    *keep = (uint64_t)getppid() == parent;
    return true;
}

static bool parse_mode(const char *text, struct lp_config *config) {
    if (strcmp(text, "auto") == 0) {
        config->mode = LP_MODE_AUTO;
    } else if (strcmp(text, "exact") == 0) {
        config->mode = LP_MODE_EXACT;
    } else if (strcmp(text, "sampled") == 0) {
        config->mode = LP_MODE_SAMPLED;
    } else if (strcmp(text, "off") == 0) {
        config->start = false;
    } else {
        return false;
    }
    return true;
}

static bool parse_python(const char *text, uint32_t *use) {
    bool is_on;
    if (strcmp(text, "only") == 0) {
        *use = LP_USE_PYTHON_ONLY;
        return true;
    }
    if (strcmp(text, "native") == 0) {
        *use = LP_USE_PYTHON_NATIVE;
        return true;
    }
    if (!parse_flag(text, &is_on)) return false;
    *use = is_on ? LP_USE_PYTHON_ON : LP_USE_PYTHON_OFF;
    return true;
}

static bool parse_directory(const char *text, struct lp_config *config) {
    size_t length = strlen(text);
    if (text[0] != '/' || length >= LP_DIRECTORY_BYTES) return false;
    memcpy(config->directory, text, length + 1);
    return true;
}

// Percent, with up to four decimals: "3", "0.5".
static bool parse_percent(const char *text, uint32_t *ppm) {
    uint64_t whole;
    text = parse_digits(text, &whole);
    if (text == NULL || whole > 100) return false;
    uint32_t value = (uint32_t)whole * 10000;
    if (*text == '.') {
        uint32_t unit = 1000;
        for (text++; *text >= '0' && *text <= '9' && unit > 0; text++, unit /= 10)
            value += (uint32_t)(*text - '0') * unit;
    }
    if (*text != '\0' || value == 0 || value > 1000000) return false;
    *ppm = value;
    return true;
}

static bool parse_depth(const char *text, struct lp_config *config) {
    uint64_t depth;
    const char *end = parse_digits(text, &depth);
    if (end == NULL || *end != '\0' || depth < 1 || depth > LP_MAX_DEPTH) return false;
    config->depth = (uint32_t)depth;
    return true;
}

void lp_config_parse(const char *const *environment, struct lp_config *config) {
    memset(config, 0, sizeof *config);
    config->mode = LP_MODE_AUTO;
    config->depth = LP_MAX_DEPTH;
    config->overhead_ppm = 30000;
    config->interval_bytes = 512 << 10;
    config->max_memory_bytes = 256 << 20;
    config->region_bytes = LP_REGION_BYTES_DEFAULT;
    config->signal = SIGRTMIN + 7;
    config->python = LP_USE_PYTHON_ON;
    config->follow_fork = true;
    config->start = true;

    for (; environment != NULL && *environment != NULL; environment++) {
        const char *entry = *environment;
        const char *value;
        bool understood = true;
        uint32_t error = 0;
        if (strncmp(entry, "LEAKPROF_", 9) != 0) continue;
        if ((value = value_of(entry, "LEAKPROF_MODE")) != NULL) {
            error = LP_CONFIG_ERROR_MODE;
            understood = parse_mode(value, config);
        } else if ((value = value_of(entry, "LEAKPROF_INTERVAL")) != NULL) {
            // The upper bound keeps the variance of one sample, at most its square, within 64 bits.
            error = LP_CONFIG_ERROR_INTERVAL;
            understood = parse_bytes_within(value, 1, 1 << 30, &config->interval_bytes);
        } else if ((value = value_of(entry, "LEAKPROF_OVERHEAD")) != NULL) {
            error = LP_CONFIG_ERROR_OVERHEAD;
            understood = parse_percent(value, &config->overhead_ppm);
        } else if ((value = value_of(entry, "LEAKPROF_DEPTH")) != NULL) {
            error = LP_CONFIG_ERROR_DEPTH;
            understood = parse_depth(value, config);
        } else if ((value = value_of(entry, "LEAKPROF_MAX_MEMORY")) != NULL) {
            error = LP_CONFIG_ERROR_MAX_MEMORY;
            understood = parse_bytes_within(value, 1 << 16, UINT64_MAX, &config->max_memory_bytes);
        } else if ((value = value_of(entry, "LEAKPROF_REGION_SIZE")) != NULL) {
            error = LP_CONFIG_ERROR_REGION_SIZE;
            understood = parse_bytes_within(value, LP_REGION_BYTES_MIN, LP_REGION_BYTES_MAX,
                                            &config->region_bytes);
        } else if ((value = value_of(entry, "LEAKPROF_SEED")) != NULL) {
            error = LP_CONFIG_ERROR_SEED;
            const char *end = parse_digits(value, &config->seed);
            understood = end != NULL && *end == '\0';
        } else if ((value = value_of(entry, "LEAKPROF_SIGNAL")) != NULL) {
            error = LP_CONFIG_ERROR_SIGNAL;
            understood = parse_signal(value, &config->signal);
        } else if ((value = value_of(entry, "LEAKPROF_FOLLOW")) != NULL) {
            error = LP_CONFIG_ERROR_FOLLOW;
            understood = parse_flag(value, &config->follow_fork);
        } else if ((value = value_of(entry, "LEAKPROF_PAUSED")) != NULL) {
            error = LP_CONFIG_ERROR_PAUSED;
            understood = parse_flag(value, &config->paused);
        } else if ((value = value_of(entry, "LEAKPROF_PYTHON")) != NULL) {
            error = LP_CONFIG_ERROR_PYTHON;
            understood = parse_python(value, &config->python);
        } else if ((value = value_of(entry, "LEAKPROF_KEEP")) != NULL) {
            error = LP_CONFIG_ERROR_KEEP;
            understood = parse_keep(value, &config->keep);
        } else if ((value = value_of(entry, "LEAKPROF_DIR")) != NULL) {
            error = LP_CONFIG_ERROR_DIR;
            understood = parse_directory(value, config);
        }
        if (!understood) config->errors |= error;
    }
}
