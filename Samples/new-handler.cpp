// operator new that fails, in every way it can: 1,000 times each std::bad_alloc from a request that is
// too large, from the aligned form, and an exception of its own thrown by a new_handler. Then leaves
// 100 blocks of 18001 bytes and 100 aligned ones of 18048. Waits for a line on stdin.
#include <cstdint>
#include <cstdio>
#include <new>

struct out_of_patience {
    int calls;
};

static int calls;

static void lose_patience() {
    if (++calls % 3 == 0) throw out_of_patience{calls};
}

// Not known to the compiler, which would say that nothing can be as large.
static volatile std::size_t too_large = PTRDIFF_MAX;

template <typename Attempt> static int failures(Attempt attempt) {
    int caught = 0;
    for (int i = 0; i < 1000; i++) {
        try {
            attempt();
        } catch (const std::bad_alloc &) {
            caught++;
        } catch (const out_of_patience &failure) {
            caught += failure.calls % 3 == 0;
        }
    }
    return caught;
}

int main() {
    void *volatile sink = nullptr;
    int plain = failures([&] { sink = ::operator new(too_large); });
    int aligned = failures([&] { sink = ::operator new(too_large, std::align_val_t(64)); });
    int silent = 0;
    for (int i = 0; i < 1000; i++) silent += ::operator new(too_large, std::nothrow) == nullptr;
    std::set_new_handler(lose_patience);
    int handled = failures([&] { sink = ::operator new[](too_large); });
    std::set_new_handler(nullptr);
    for (int i = 0; i < 100; i++) {
        sink = ::operator new(18001);
        sink = ::operator new(18048, std::align_val_t(64));
        ::operator delete(::operator new(18100), std::size_t(18100));
    }
    std::printf("%d %d %d %d, %d calls\nready\n", plain, aligned, silent, handled, calls);
    std::fflush(stdout);
    return std::getchar() == EOF;
}
