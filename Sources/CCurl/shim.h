// libcurl, loaded when it is needed: linked, it and its thirty libraries would be loaded for every
// command.
//
// Its functions that take any arguments are called here, as Swift can't.
#include <curl/curl.h>
#include <dlfcn.h>
#include <stddef.h>

// What a transfer is allowed.
struct leakprof_fetch_limits {
    long connect_ms;
    long whole_ms;
    curl_off_t bytes;
};

// How a transfer ended.
struct leakprof_fetch_result {
    // CURLE_OK, or why not; LEAKPROF_NO_LIBCURL when there is no libcurl.
    int code;
    long http_status;
    // libcurl's words for the code.
    char reason[CURL_ERROR_SIZE];
};

enum { LEAKPROF_NO_LIBCURL = -1 };

// Gets a URL. `receive` takes the body part by part, as CURLOPT_WRITEFUNCTION(3) says.
//
// Follows a few redirects, to http and https alone. Sends no credentials of ~/.netrc, and those of the
// URL to its own host alone.
static inline struct leakprof_fetch_result leakprof_fetch(const char *url, const char *agent,
                                                          struct leakprof_fetch_limits limits,
                                                          curl_write_callback receive, void *context) {
    struct leakprof_fetch_result result = {LEAKPROF_NO_LIBCURL, 0, ""};
    void *library = dlopen("libcurl.so.4", RTLD_NOW);
    if (library == NULL) library = dlopen("libcurl-gnutls.so.4", RTLD_NOW);
    if (library == NULL) return result;
    __typeof__(curl_easy_init) *init = (__typeof__(init))dlsym(library, "curl_easy_init");
    // The header makes macros of these two, which check argument types and call the functions by name.
    CURLcode (*set)(CURL *, CURLoption, ...) = (__typeof__(set))dlsym(library, "curl_easy_setopt");
    CURLcode (*get)(CURL *, CURLINFO, ...) = (__typeof__(get))dlsym(library, "curl_easy_getinfo");
    __typeof__(curl_easy_perform) *perform = (__typeof__(perform))dlsym(library, "curl_easy_perform");
    __typeof__(curl_easy_strerror) *words = (__typeof__(words))dlsym(library, "curl_easy_strerror");
    __typeof__(curl_easy_cleanup) *cleanup = (__typeof__(cleanup))dlsym(library, "curl_easy_cleanup");
    if (init == NULL || set == NULL || get == NULL || perform == NULL || words == NULL ||
        cleanup == NULL) {
        return result;
    }
    CURL *transfer = init();
    if (transfer == NULL) return result;
    // What is unknown to an older libcurl fails; the rights to go elsewhere must not.
    int code = set(transfer, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    if (code == 0)
        code = set(transfer, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    if (code == 0) code = set(transfer, CURLOPT_URL, url);
    if (code == 0) code = set(transfer, CURLOPT_WRITEFUNCTION, receive);
    if (code == 0) code = set(transfer, CURLOPT_WRITEDATA, context);
    if (code == 0) {
        set(transfer, CURLOPT_USERAGENT, agent);
        set(transfer, CURLOPT_ERRORBUFFER, result.reason);
        set(transfer, CURLOPT_FOLLOWLOCATION, 1L);
        set(transfer, CURLOPT_MAXREDIRS, 5L);
        set(transfer, CURLOPT_NOSIGNAL, 1L);
        set(transfer, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
        set(transfer, CURLOPT_CONNECTTIMEOUT_MS, limits.connect_ms);
        set(transfer, CURLOPT_TIMEOUT_MS, limits.whole_ms);
        set(transfer, CURLOPT_MAXFILESIZE_LARGE, limits.bytes);
        code = perform(transfer);
        get(transfer, CURLINFO_RESPONSE_CODE, &result.http_status);
    }
    if (code != 0 && result.reason[0] == 0) {
        const char *reason = words((CURLcode)code);
        for (size_t i = 0; i + 1 < sizeof result.reason && reason[i] != 0; i++)
            result.reason[i] = reason[i];
    }
    cleanup(transfer);
    result.code = code;
    return result;
}
