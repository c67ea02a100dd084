// Allocates through inlined functions, templates, a lambda and a namespace, for the symbolizer's tests.
// Prints the return addresses its allocations have, as offsets in the file's mapping.
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

namespace shop {

template <typename Item> struct Shelf {
    Item *items = nullptr;
    __attribute__((always_inline)) void grow(size_t count);
    __attribute__((noinline)) void reserve(size_t count) { grow(count); }
};

// Stands for malloc: what it is called from is what the test looks up.
__attribute__((noinline)) void *take(size_t size) {
    Dl_info info;
    char *address = (char *)__builtin_return_address(0);
    dladdr(address, &info);
    printf("%lx\n", (unsigned long)(address - (char *)info.dli_fbase));
    return malloc(size);
}

static inline __attribute__((always_inline)) void *innermost(size_t size) {
    return take(size + 1);
}

template <typename Item> __attribute__((always_inline)) inline void Shelf<Item>::grow(size_t count) {
    items = static_cast<Item *>(innermost(count * sizeof(Item)));
}

struct Book {
    char title[40];
};

} // namespace shop

static void *volatile last;

// Does something after the call, which would be a jump otherwise.
extern "C" __attribute__((noinline)) void plain_c_function(size_t size) {
    last = shop::take(size);
}

int main() {
    shop::Shelf<shop::Book> books;
    books.reserve(3);
    shop::Shelf<long> numbers;
    numbers.reserve(5);
    auto lambda = [](size_t size) { return shop::take(size); };
    plain_c_function(9);
    last = lambda(11);
    last = shop::take(13);
    return books.items == nullptr || numbers.items == nullptr;
}
