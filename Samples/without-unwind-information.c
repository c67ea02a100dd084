// Allocates through code that has no unwind information, as JIT compilers and some assembly have none:
// with and without a frame pointer, and with all kinds of things in rbp. The sizes say which way an
// allocation went. Waits for a line on stdin.
#define _GNU_SOURCE // RTLD_DEFAULT
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define CODE(name, instructions)                                                                       \
    void name(void (*function)(size_t), size_t size, uintptr_t rbp);                                   \
    extern const char name##_end[];                                                                    \
    __asm__(".text\n.type " #name ", @function\n" #name ":\n" instructions "ret\n" #name "_end:\n"     \
            ".size " #name ", .-" #name "\n");

CODE(keep_frame_pointer, "push %rbp\nmov %rsp, %rbp\nmov %rdi, %rax\nmov %rsi, %rdi\ncall *%rax\n"
                         "pop %rbp\n")
CODE(keep_none, "sub $8, %rsp\nmov %rdi, %rax\nmov %rsi, %rdi\ncall *%rax\nadd $8, %rsp\n")
CODE(use_rbp, "push %rbp\nmov %rdx, %rbp\nmov %rdi, %rax\nmov %rsi, %rdi\ncall *%rax\npop %rbp\n")

__attribute__((noinline)) static void allocate(size_t size) {
    for (int i = 0; i < 10; i++) {
        void *volatile kept = malloc(size);
        (void)kept;
    }
}

// Two of them on the stack, one next to the other.
__attribute__((noinline)) static void allocate_twice_removed(size_t size) {
    keep_frame_pointer(allocate, size, 0);
    __asm__ volatile("");
}

#define CALLER(name, statement)                                                                        \
    __attribute__((noinline)) static void name(void (*code)(void (*)(size_t), size_t, uintptr_t),      \
                                               size_t size) {                                          \
        statement;                                                                                     \
        __asm__ volatile("");                                                                          \
    }
CALLER(call_once, code(allocate, size, 0))
CALLER(call_twice, code(allocate_twice_removed, size, 0))

// Twice in the same state, but that what rbp points to is a frame the second time: this one.
__attribute__((noinline)) static void change_frame(void) {
    const uintptr_t *frame = __builtin_frame_address(0);
    volatile uintptr_t pair[2] = {0, 0};
    volatile int times = 2;
    while (times > 0) {
        times--;
        use_rbp(allocate, 4001, (uintptr_t)pair);
        pair[0] = frame[0];
        pair[1] = frame[1];
    }
}

// A copy in memory that belongs to no file.
static void *copy_code(const void *code, const char *end) {
    size_t bytes = (size_t)(end - (const char *)code);
    void *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED) exit(1);
    memcpy(copy, code, bytes);
    if (mprotect(copy, bytes, PROT_READ | PROT_EXEC) != 0) exit(1);
    return copy;
}

static ucontext_t outside;
static char *stack;
#define STACK_BYTES 65536

// Runs on a stack with nothing readable above it.
static void try_values(void) {
    uintptr_t end = (uintptr_t)stack + STACK_BYTES;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    // Pairs of words as a frame begins with: a pointer further up, and what is no return address.
    uintptr_t pairs[][2] = {
        {here + 256, here},
        {here + 256, (uintptr_t)allocate},
        {here + 256, (uintptr_t)&outside},
        {here + 256, 1},
        {here + 256, UINTPTR_MAX},
        {here - 4096, (uintptr_t)allocate + 1},
        {0, 0},
    };
    uintptr_t values[] = {
        0,
        1,
        8,
        UINTPTR_MAX,
        UINTPTR_MAX - 7,
        1ULL << 47,
        here,
        here + 1,
        here + 8,
        end,
        end - 8,
        end - 16,
        end - 1,
        end + 8,
        end + 4096,
        here - 4096,
        (uintptr_t)try_values,
        (uintptr_t)&outside,
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) use_rbp(allocate, 4001, values[i]);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        use_rbp(allocate, 4001, (uintptr_t)pairs[i]);
}

static void try_values_on_own_stack(void) {
    char *all = mmap(NULL, STACK_BYTES + 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ucontext_t inside;
    if (all == MAP_FAILED || getcontext(&inside) != 0) exit(1);
    stack = all;
    if (mprotect(stack, STACK_BYTES, PROT_READ | PROT_WRITE) != 0) exit(1);
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = STACK_BYTES;
    inside.uc_link = &outside;
    makecontext(&inside, try_values, 0);
    if (swapcontext(&outside, &inside) != 0) exit(1);
}

int main(void) {
    call_once(keep_frame_pointer, 1001);
    call_twice(keep_frame_pointer, 1002);
    void *copy = copy_code((const void *)keep_frame_pointer, keep_frame_pointer_end);
    call_once((void (*)(void (*)(size_t), size_t, uintptr_t))copy, 1003);
    call_twice((void (*)(void (*)(size_t), size_t, uintptr_t))copy, 1004);
    call_once(keep_none, 2001);
    change_frame();
    // A function of ld.so's that allocates: the frame outside of it is not ld.so's.
    void (*in_loader)(size_t) = (void (*)(size_t))dlsym(RTLD_DEFAULT, "_dl_allocate_tls");
    copy = copy_code((const void *)use_rbp, use_rbp_end);
    if (in_loader != NULL) ((void (*)(void (*)(size_t), size_t, uintptr_t))copy)(in_loader, 0, 0);
    try_values_on_own_stack();
    // Again, now that something is remembered.
    call_once(keep_frame_pointer, 1001);
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
