// A small HTTP service on loopback with two caches. One keeps every answer it ever gave, keyed by the
// request, and is the leak; the other keeps the last 256 sessions and is not.
//
//     cache-service [PORT]        PORT 0 or none: a free one. Prints "listening on 127.0.0.1:PORT".
#include <arpa/inet.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <unordered_map>

class AnswerCache {
    std::unordered_map<std::string, std::string> answers;

  public:
    const std::string &get_or_render(const std::string &request) {
        auto found = answers.find(request);
        if (found != answers.end()) return found->second;
        std::string page = "<html><body>answer to " + request + "</body></html>";
        page.append(8000, ' ');
        return answers.emplace(request, std::move(page)).first->second; // never evicted
    }
};

class SessionCache {
    static constexpr size_t limit = 256;
    std::deque<std::string> sessions;

  public:
    void touch(const std::string &request) {
        sessions.push_back("session of " + request + std::string(6000, '.'));
        if (sessions.size() > limit) sessions.pop_front();
    }
};

static AnswerCache answers;
static SessionCache sessions;

static std::string handle_request(const std::string &request) {
    sessions.touch(request);
    const std::string &page = answers.get_or_render(request);
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(page.size()) + "\r\n\r\n" + page;
}

static void serve_connection(int connection) {
    std::string input;
    char chunk[4096];
    ssize_t got;
    while ((got = read(connection, chunk, sizeof chunk)) > 0) {
        input.append(chunk, (size_t)got);
        size_t end;
        while ((end = input.find("\r\n\r\n")) != std::string::npos) {
            std::string answer = handle_request(input.substr(0, input.find("\r\n")));
            input.erase(0, end + 4);
            for (size_t sent = 0; sent < answer.size();) {
                ssize_t count = write(connection, answer.data() + sent, answer.size() - sent);
                if (count <= 0) return;
                sent += (size_t)count;
            }
        }
    }
}

int main(int argc, char **argv) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
    socklen_t length = sizeof address;
    if (bind(listener, (sockaddr *)&address, length) != 0 || listen(listener, 64) != 0) {
        perror("cache-service");
        return 1;
    }
    getsockname(listener, (sockaddr *)&address, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int connection = accept(listener, nullptr, nullptr);
        if (connection < 0) continue;
        serve_connection(connection);
        close(connection);
    }
}
