#include "python.h"

#include <stddef.h>
#include <string.h>

#include "config.h"
#include "elf_symbols.h"
#include "process.h"
#include "python_allocators.h"

struct lp_python lp_python;

static uint32_t wanted; // LP_USE_PYTHON_*
static uint32_t is_claimed;
static uint32_t may_go; // it was not there when the program began; atomic

void lp_python_begin(uint32_t use) {
    wanted = use;
    lp_python.is_only = use == LP_USE_PYTHON_ONLY;
    lp_python.is_native = use == LP_USE_PYTHON_NATIVE;
}

static void *address_of(const struct lp_symbols *symbols, const char *name) {
    const ElfW(Sym) *symbol = lp_symbols_find(symbols, name);
    return symbol == NULL ? NULL : lp_symbol_address(symbols, symbol);
}

// "3.11.7 (main, ...": what older versions have in place of Py_Version.
static uint32_t version_in(const char *text) {
    if (text == NULL || text[0] != '3' || text[1] != '.') return 0;
    uint32_t minor = 0;
    for (text += 2; *text >= '0' && *text <= '9' && minor < 100; text++)
        minor = minor * 10 + (uint32_t)(*text - '0');
    return 3U << 8 | minor;
}

static uint32_t version_of(const struct lp_symbols *symbols) {
    const unsigned long *number = address_of(symbols, "Py_Version");
    if (number != NULL) return (uint32_t)(*number >> 16);
    const char *(*get_version)(void) = (const char *(*)(void))address_of(symbols, "Py_GetVersion");
    return get_version == NULL ? 0 : version_in(get_version());
}

// _Py_DebugOffsets, the first member of _PyRuntime since 3.13: a mark, the version, and this.
static bool is_free_threaded(const struct lp_symbols *symbols, uint32_t version) {
    const char *runtime = address_of(symbols, "_PyRuntime");
    if (version < (3U << 8 | 13) || runtime == NULL || memcmp(runtime, "xdebugpy", 8) != 0)
        return false;
    uint64_t flag;
    memcpy(&flag, runtime + 16, sizeof flag);
    return flag != 0;
}

static void *first_of(const struct lp_symbols *symbols, const char *first, const char *second) {
    void *address = address_of(symbols, first);
    return address != NULL ? address : address_of(symbols, second);
}

// Fills in what is called and compared; false when something is missing.
static bool find_parts(const struct lp_symbols *symbols) {
    struct lp_python *python = &lp_python;
    const ElfW(Sym) *evaluator = lp_symbols_find(symbols, "_PyEval_EvalFrameDefault");
    if (evaluator != NULL) {
        python->evaluator = (uintptr_t)lp_symbol_address(symbols, evaluator);
        python->evaluator_bytes = evaluator->st_size;
    }
    python->code_type = (uintptr_t)address_of(symbols, "PyCode_Type");
    python->text_type = (uintptr_t)address_of(symbols, "PyUnicode_Type");
    python->own_thread = (void *(*)(void))address_of(symbols, "PyGILState_GetThisThreadState");
    python->current_thread =
        (void *(*)(void))first_of(symbols, "PyThreadState_GetUnchecked", "_PyThreadState_UncheckedGet");
    python->get_allocator =
        (void (*)(int, struct lp_python_allocator *))address_of(symbols, "PyMem_GetAllocator");
    python->set_allocator =
        (void (*)(int, struct lp_python_allocator *))address_of(symbols, "PyMem_SetAllocator");
    python->allocator_name =
        (const char *(*)(void))address_of(symbols, "_PyMem_GetCurrentAllocatorName");
    python->is_initialized = (int (*)(void))address_of(symbols, "Py_IsInitialized");
    python->first_interpreter = (void *(*)(void))address_of(symbols, "PyInterpreterState_Head");
    python->next_interpreter = (void *(*)(void *))address_of(symbols, "PyInterpreterState_Next");
    return python->code_type != 0 && python->text_type != 0 && python->own_thread != NULL &&
           python->current_thread != NULL;
}

void lp_python_look(uintptr_t load_bias, const ElfW(Phdr) * segments, unsigned count) {
    if (wanted == LP_USE_PYTHON_OFF || lp_load_relaxed_u32(&is_claimed) != 0) return;
    struct lp_symbols symbols = lp_symbols_of(load_bias, segments, count);
    if (address_of(&symbols, "_PyRuntime") == NULL) return;
    uint32_t version = version_of(&symbols);
    uint32_t nobody = 0;
    if (version == 0 || !lp_compare_exchange_u32(&is_claimed, &nobody, 1)) return;
    bool is_free = is_free_threaded(&symbols, version);
    const struct lp_python_layout *layout =
        version >> 8 == 3 ? lp_python_layout_of(version & 0xff, is_free) : NULL;
    if (!find_parts(&symbols)) layout = NULL;
    uint32_t state = version | (is_free ? LP_PYTHON_FREE_THREADED : 0);
    if (layout != NULL) {
        state |= LP_PYTHON_FRAMES | (lp_python.is_only ? LP_PYTHON_ONLY : 0);
        __atomic_store_n(&lp_python.layout, layout, __ATOMIC_RELEASE);
        if (lp_python_wrap_allocators(layout)) {
            state |= LP_PYTHON_ALLOCATORS;
            lp_store_relaxed_u32(&lp_python.unsettled, LP_PYTHON_UNSETTLED_CALLS);
        }
    }
    lp_store_release_u32(&lp_python.state, state);
    if (lp_process.header != NULL) lp_store_relaxed_u32(&lp_process.header->python, state);
}

uint32_t lp_python_state(void) {
    return lp_load_acquire_u32(&lp_python.state);
}

static int look_at_module(struct dl_phdr_info *info, size_t bytes, void *unused) {
    (void)bytes;
    (void)unused;
    lp_python_look(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum);
    return 0;
}

void lp_python_look_everywhere(void) {
    if (wanted != LP_USE_PYTHON_OFF) dl_iterate_phdr(look_at_module, NULL);
    lp_store_relaxed_u32(&may_go, lp_python_layout() == NULL);
}

bool lp_python_may_go(void) {
    return lp_python_layout() != NULL && lp_load_relaxed_u32(&may_go) != 0;
}

void lp_python_end_going(bool is_kept) {
    lp_store_relaxed_u32(&may_go, 0);
    if (!is_kept) __atomic_store_n(&lp_python.layout, NULL, __ATOMIC_RELEASE);
}

// The calls read a pointer each. An interpreter may be freed meanwhile, but hardly ever is.
static bool has_one_interpreter(void) {
    if (lp_python.first_interpreter == NULL || lp_python.next_interpreter == NULL) return false;
    void *first = lp_python.first_interpreter();
    return first != NULL && lp_python.next_interpreter(first) == NULL;
}

uintptr_t lp_python_thread(const struct lp_python_layout *layout) {
    uintptr_t current = (uintptr_t)lp_python.current_thread();
    // Since 3.12 the current thread state is kept per thread.
    if (layout->minor >= 12 && current != 0) return current;
    uintptr_t own = (uintptr_t)lp_python.own_thread();
    if (current == own || current == 0) return own;
    // Before, it is that of whichever thread has the lock, which may end at any time and free it. Where
    // there are subinterpreters it must be looked into, since it may still be this thread's, though
    // not the first it had.
    if (has_one_interpreter()) return own;
    return *(const uintptr_t *)(current + layout->thread_id) == (uintptr_t)__builtin_thread_pointer()
               ? current
               : own;
}
