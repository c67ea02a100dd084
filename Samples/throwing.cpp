// Throws exceptions and jumps with longjmp from changing depths, allocating on the way: stacks end in
// ways that no return instruction sees.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

static jmp_buf out;

__attribute__((noinline)) static size_t throw_from(int depth) {
    std::string text(50 + static_cast<size_t>(depth), 'x');
    if (depth == 0) throw std::runtime_error(text);
    std::vector<std::string> copies(3, text);
    return throw_from(depth - 1) + copies.size();
}

__attribute__((noinline)) static void jump_from(int depth) {
    void *volatile block = malloc(static_cast<size_t>(depth) + 1);
    free(block);
    if (depth == 0) longjmp(out, 1);
    jump_from(depth - 1);
    asm volatile("");
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 1000;
    int caught = 0;
    for (int i = 0; i < rounds; i++) {
        try {
            throw_from(i % 30);
        } catch (const std::exception &) {
            caught++;
        }
        if (setjmp(out) == 0) jump_from(i % 20);
    }
    printf("%d caught\n", caught);
    return 0;
}
