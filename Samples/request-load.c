// Asks a service on loopback for /user/FIRST to /user/LAST over one connection.
//
//     request-load PORT FIRST LAST      Prints "done" when every answer has come.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Reads one answer: the header, then as many bytes as it announces.
static int read_answer(int connection) {
    static char buffer[1 << 16];
    size_t filled = 0;
    for (;;) {
        ssize_t got = read(connection, buffer + filled, sizeof buffer - 1 - filled);
        if (got <= 0) return 0;
        filled += (size_t)got;
        buffer[filled] = '\0';
        char *body = strstr(buffer, "\r\n\r\n");
        char *announced = strstr(buffer, "Content-Length: ");
        if (body == NULL || announced == NULL) continue;
        if (filled == (size_t)(body + 4 - buffer) + strtoul(announced + 16, NULL, 10)) return 1;
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return 64;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("request-load");
        return 1;
    }
    for (long user = atol(argv[2]); user <= atol(argv[3]); user++) {
        char request[80];
        int length = snprintf(request, sizeof request, "GET /user/%ld HTTP/1.1\r\n\r\n", user);
        if (write(connection, request, (size_t)length) != length || !read_answer(connection)) return 1;
    }
    puts("done");
    return 0;
}
