/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An HTTPS client on OpenSSL that can be built in any way: tls_client PORT N asks the LLM stand-in on 127.0.0.1 N times over one
 * connection, by turns with SSL_write and SSL_read and with their _ex forms. As a library: client_run(). Prints JSON lines:
 * {"event": "ready"}, goes on when a line comes on stdin, and a "call" each: id, start_ns, end_ns (CLOCK_MONOTONIC), bytes of the
 * reply, and the reply's own token counts.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REPLY_MAX (1 << 20)

int client_run(int port, int n);

static unsigned long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000000 + (unsigned long long)t.tv_nsec;
}

static int write_all(SSL *ssl, const char *p, size_t n, int ex)
{
	size_t done;

	if (ex)
		return SSL_write_ex(ssl, p, n, &done) == 1 && done == n ? 0 : -1;
	return SSL_write(ssl, p, (int)n) == (int)n ? 0 : -1;
}

static long read_some(SSL *ssl, char *p, size_t n, int ex)
{
	size_t done;

	if (ex)
		return SSL_read_ex(ssl, p, n, &done) == 1 ? (long)done : -1;
	return SSL_read(ssl, p, (int)n);
}

/* The whole reply, as its Content-Length says; -1 when it does not come. */
static long reply_read(SSL *ssl, char *reply, int ex)
{
	size_t have = 0, want = 0;

	while (!want || have < want) {
		const char *end, *length;
		long n = read_some(ssl, reply + have, REPLY_MAX - 1 - have, ex);

		if (n <= 0)
			return -1;
		have += (size_t)n;
		reply[have] = '\0';
		end = strstr(reply, "\r\n\r\n");
		length = strcasestr(reply, "content-length:");
		if (!want && end && length)
			want = (size_t)(end + 4 - reply) + strtoul(length + 15, NULL, 10);
	}
	return (long)have;
}

static long number_after(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtol(p + strlen(key), NULL, 10) : -1;
}

static int ask(SSL *ssl, int k, char *reply)
{
	char body[512], request[1024];
	unsigned long long start;
	long n;

	snprintf(body, sizeof(body),
	         "{\"model\": \"gpt-4o\", \"messages\": [{\"role\": \"user\", \"content\": "
	         "\"question "
	         "%d %.*s\"}]}",
	         k, 2 * k, "a b c d e f g h i j k l m n o p q r s t u v w x y z");
	snprintf(request, sizeof(request),
	         "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
	         "application/json\r\nx-request-id: call-%d\r\nContent-Length: %zu\r\n\r\n%s",
	         k, strlen(body), body);
	start = now_ns();
	if (write_all(ssl, request, strlen(request), k & 1))
		return -1;
	n = reply_read(ssl, reply, k & 1);
	if (n < 0)
		return -1;
	printf("{\"event\": \"call\", \"id\": \"call-%d\", \"start_ns\": %llu, \"end_ns\": %llu, "
	       "\"tokens_in\": %ld, \"tokens_out\": %ld}\n",
	       k, start, now_ns(), number_after(reply, "\"prompt_tokens\": "),
	       number_after(reply, "\"completion_tokens\": "));
	fflush(stdout);
	return 0;
}

int client_run(int port, int n)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), err = -1;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = context ? SSL_new(context) : NULL;
	char *reply = malloc(REPLY_MAX);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (ssl && reply && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1)
		for (int k = err = 0; !err && k < n; k++)
			err = ask(ssl, k, reply);
	if (ssl)
		SSL_shutdown(ssl);
	free(reply);
	SSL_free(ssl);
	SSL_CTX_free(context);
	close(fd);
	return err;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: tls_client PORT N\n");
		return 2;
	}
	printf("{\"event\": \"ready\"}\n");
	fflush(stdout);
	if (getchar() == EOF)
		return 2;
	return client_run(atoi(argv[1]), atoi(argv[2])) ? EXIT_FAILURE : EXIT_SUCCESS;
}
