// Calls malloc from generated code that has no unwind information and uses the frame pointer register
// for data: 0, small numbers, unmapped and non-canonical addresses, its own stack pointer, a frame that
// is its own caller, the last word of a page before one that can't be read. Then from functions whose
// unwind information says that their caller's frame lies where such a register points. And once on a
// stack whose first words are the last ones that can be read. Leaves 12 blocks of 21001 bytes each way
// (the last: 1), and waits for a line on stdin.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

typedef void *call_with(size_t size, void *(*allocate)(size_t), uintptr_t rbp);

// push %rbp; mov %rdx, %rbp; call *%rsi; pop %rbp; ret; as generated code, without unwind information
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xd5, 0xff, 0xd6, 0x5d, 0xc3};

// The same, in the program, with unwind information for another function than it is: it says that the
// frame pointer register holds the frame's address.
call_with misleading;
__asm__(".text\n"
        ".type misleading, @function\n"
        "misleading:\n"
        ".cfi_startproc\n"
        "    push %rbp\n"
        ".cfi_def_cfa %rbp, 16\n"
        ".cfi_offset %rbp, -16\n"
        "    mov %rdx, %rbp\n"
        "    call *%rsi\n"
        "    pop %rbp\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size misleading, .-misleading\n");

// And one whose unwind information needs the general unwinder: the frame's address is an expression,
// (rbp + 16) with nothing done to it.
call_with misleading_expression;
__asm__(".text\n"
        ".type misleading_expression, @function\n"
        "misleading_expression:\n"
        ".cfi_startproc\n"
        "    push %rbp\n"
        ".cfi_escape 0x0f, 0x03, 0x76, 0x10, 0x96\n" // breg6 + 16; nop
        ".cfi_offset %rbp, -16\n"
        "    mov %rdx, %rbp\n"
        "    call *%rsi\n"
        "    pop %rbp\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size misleading_expression, .-misleading_expression\n");

#define POISONS 12
static uintptr_t poisons[POISONS];
static char *edge;    // the first byte that can't be read
static void *self[2]; // a frame that is its own caller

static void make_poisons(void) {
    edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(edge + 4096, 4096, PROT_NONE);
    edge += 4096;
    self[0] = self;
    self[1] = (void *)make_poisons;
    uintptr_t values[POISONS] = {0,
                                 1,
                                 8,
                                 4096,
                                 (uintptr_t)edge,
                                 (uintptr_t)edge - 8,
                                 (uintptr_t)edge - 16,
                                 (uintptr_t)self,
                                 (uintptr_t)1 << 47,
                                 UINTPTR_MAX,
                                 UINTPTR_MAX - 15,
                                 (uintptr_t)&edge | 1};
    memcpy(poisons, values, sizeof poisons);
}

__attribute__((noinline)) static void poison(call_with *call) {
    for (int i = 0; i < POISONS; i++) {
        void *volatile kept = call(21001, malloc, poisons[i]);
        (void)kept;
        free(call(21001, malloc, poisons[i]));
    }
}

static ucontext_t back, there;

static void on_edge(void) {
    void *volatile kept = malloc(21001);
    (void)kept;
    setcontext(&back);
}

// A stack that ends where memory ends: whoever reads on above the first frame reads what isn't there.
static void run_on_edge(void) {
    static volatile int has_been;
    char *stack = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(stack + 4 * 4096, 4096, PROT_NONE);
    getcontext(&there);
    there.uc_stack = (stack_t){.ss_sp = stack, .ss_size = 4 * 4096};
    there.uc_link = NULL;
    makecontext(&there, on_edge, 0);
    getcontext(&back);
    if (has_been++ == 0) setcontext(&there);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    make_poisons();
    if (strcmp(how, "generated") == 0) {
        void *generated = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memcpy(generated, code, sizeof code);
        mprotect(generated, 4096, PROT_READ | PROT_EXEC);
        poison((call_with *)generated);
    }
    if (strcmp(how, "misleading") == 0) poison(misleading);
    if (strcmp(how, "expression") == 0) poison(misleading_expression);
    if (strcmp(how, "edge") == 0) run_on_edge();
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
