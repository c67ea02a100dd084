// Converts to one character set after the other, which libc loads and unloads by itself, and between
// them loads and runs the plugins it is given, so that libraries take turns at one address.
#include <dlfcn.h>
#include <iconv.h>
#include <stddef.h>

int main(int argc, char **argv) {
    // Those whose converters allocate when they are loaded.
    static const char *const sets[] = {"ISO-2022-KR", "EUC-JP", "UTF-7", "ISO-2022-CN", "IBM037"};
    const int set_count = sizeof sets / sizeof *sets;
    for (int i = 0; i < 1000; i++) {
        iconv_t converter = iconv_open(sets[i * 3 % set_count], "UTF-8");
        if (converter == (iconv_t)-1) return 1;
        char text[] = "text", converted[100];
        char *from = text, *to = converted;
        size_t left = sizeof text, room = sizeof converted;
        iconv(converter, &from, &left, &to, &room);
        iconv_close(converter);
        if (i % 3 != 0 || argc < 2) continue;
        void *plugin = dlopen(argv[1 + i % (argc - 1)], RTLD_NOW);
        if (plugin == NULL) return 1;
        ((void (*)(void))dlsym(plugin, "run_plugin"))();
        dlclose(plugin);
    }
    return 0;
}
