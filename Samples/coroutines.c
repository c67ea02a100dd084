// 64 coroutines on stacks of 16 KiB, each between pages that can't be touched, take turns; 5 times
// over, with other stacks at the same addresses. Each leaves 2 blocks, from functions called
// odd_coroutine and even_coroutine: 20001 or 20002 bytes. Half of them are never finished: their stacks
// just go away. Prints how many finished and waits for a line on stdin.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define COUNT 64
#define STACK 16384
#define GUARD 4096

static ucontext_t scheduler, contexts[COUNT];
static int finished;

static void yield(int number) {
    swapcontext(&contexts[number], &scheduler);
}

// Frees on another stack than it allocated on, deep down and back.
__attribute__((noinline)) static void dive(int number, int depth) {
    void *volatile block = malloc(100 + (size_t)depth);
    if (depth % 3 == 0) yield(number);
    if (depth > 0) dive(number, depth - 1);
    free(block);
}

__attribute__((noinline)) static void even_coroutine(int number) {
    for (int i = 0; i < 2; i++) {
        void *volatile kept = malloc(20002);
        (void)kept;
        dive(number, 9);
    }
    finished++;
}

__attribute__((noinline)) static void odd_coroutine(int number) {
    for (int i = 0; i < 2; i++) {
        void *volatile kept = malloc(20001);
        (void)kept;
        dive(number, 9);
    }
    for (;;) yield(number);
}

static void run(int number) {
    if (number % 2 == 0) {
        even_coroutine(number);
    } else {
        odd_coroutine(number);
    }
}

int main(void) {
    for (int round = 0; round < 5; round++) {
        char *stacks[COUNT];
        for (int i = 0; i < COUNT; i++) {
            char *room = mmap(NULL, STACK + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            mprotect(room + GUARD, STACK, PROT_READ | PROT_WRITE);
            stacks[i] = room;
            getcontext(&contexts[i]);
            contexts[i].uc_stack = (stack_t){.ss_sp = room + GUARD, .ss_size = STACK};
            contexts[i].uc_link = &scheduler;
            makecontext(&contexts[i], (void (*)(void))run, 1, i);
        }
        for (int turn = 0; turn < 12; turn++) {
            for (int i = 0; i < COUNT; i++) {
                // An even one is finished in its ninth turn.
                if (i % 2 == 1 || turn < 9) swapcontext(&scheduler, &contexts[i]);
            }
        }
        for (int i = 0; i < COUNT; i++) munmap(stacks[i], STACK + 2 * GUARD);
    }
    printf("%d finished\nready\n", finished);
    fflush(stdout);
    return getchar() == EOF;
}
