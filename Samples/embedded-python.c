// A program that opens a libpython by itself, for itself alone, and not at once; it initializes the
// interpreter several times, runs code each time, and closes the library.
//
//     embedded-python LIBPYTHON PYTHONHOME ROUNDS [plain|close|own|sub]
//
// Round n keeps 100 bytes objects of 50,000 + n bytes at line 10 * n + 1 of a file named "<round n>",
// and 100 of 200 + n at the next. "close" closes the library afterwards and allocates; "own" sets an
// allocator of its own before the interpreter is initialized; "sub" runs each round in a
// subinterpreter.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct allocator {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *block, size_t size);
    void (*free)(void *context, void *block);
};

static void *library;

static void *find(const char *name) {
    void *address = dlsym(library, name);
    if (address == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return address;
}

static struct allocator before;

static void *own_malloc(void *context, size_t size) {
    return before.malloc(context, size);
}
static void *own_calloc(void *context, size_t count, size_t size) {
    return before.calloc(context, count, size);
}
static void *own_realloc(void *context, void *block, size_t size) {
    return before.realloc(context, block, size);
}
static void own_free(void *context, void *block) {
    before.free(context, block);
}

static void set_own(void) {
    void (*get)(int, struct allocator *) =
        (void (*)(int, struct allocator *))find("PyMem_GetAllocator");
    void (*set)(int, struct allocator *) =
        (void (*)(int, struct allocator *))find("PyMem_SetAllocator");
    get(2, &before);
    struct allocator own = {before.context, own_malloc, own_calloc, own_realloc, own_free};
    set(2, &own);
}

static void allocate_much(void) {
    for (int i = 0; i < 1000; i++) free(malloc(1000));
}

static const char code_format[] = "kept = [None] * 200\n"
                                  "code = '\\n' * (10 * %d - 1) + '''for i in range(100):\n"
                                  " kept[i] = bytes(50000 + %d)\n"
                                  " kept[100 + i] = bytes(200 + %d)\n"
                                  "'''\n"
                                  "exec(compile(code, '<round %d>', 'exec'))\n";

// With one reference more, the blocks outlive the interpreter: they are what the round leaks.
static void leak(void) {
    void *module = ((void *(*)(const char *))find("PyImport_AddModule"))("__main__");
    if (((void *(*)(void *, const char *))find("PyObject_GetAttrString"))(module, "kept") == NULL)
        exit(5);
}

static void run_round(int round, int is_sub) {
    char code[1000];
    snprintf(code, sizeof code, code_format, round, round, round, round);
    ((void (*)(int))find("Py_InitializeEx"))(0);
    void *sub = NULL;
    void *main_thread = NULL;
    if (is_sub) {
        main_thread = ((void *(*)(void))find("PyThreadState_Get"))();
        sub = ((void *(*)(void))find("Py_NewInterpreter"))();
        if (sub == NULL) exit(6);
    }
    if (((int (*)(const char *, void *))find("PyRun_SimpleStringFlags"))(code, NULL) != 0) exit(2);
    leak();
    if (sub != NULL) {
        ((void (*)(void *))find("Py_EndInterpreter"))(sub);
        ((void *(*)(void *))find("PyThreadState_Swap"))(main_thread);
    }
    if (((int (*)(void))find("Py_FinalizeEx"))() != 0) exit(3);
    allocate_much();
}

int main(int argc, char **argv) {
    if (argc < 4) return 64;
    const char *what = argc > 4 ? argv[4] : "";
    setenv("PYTHONHOME", argv[2], 1);
    allocate_much();
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    // The library is used, and so can be known, before it is initialized.
    ((void (*)(void *))find("PyMem_RawFree"))(((void *(*)(size_t))find("PyMem_RawMalloc"))(100));
    if (strcmp(what, "own") == 0) set_own();
    allocate_much();
    for (int round = 1; round <= atoi(argv[3]); round++) run_round(round, strcmp(what, "sub") == 0);
    if (strcmp(what, "close") == 0) {
        dlclose(library);
        allocate_much();
    }
    puts("ready");
    fflush(stdout);
    return getchar() == EOF ? 4 : 0;
}
