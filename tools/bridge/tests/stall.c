// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stands between a client and a nats-server with TLS, and stops in the middle of what the server
 * says: of each connection, once so many bytes have come, it gives the client the beginning of a
 * record of TLS, and never the rest.
 *
 * usage: kpost-stall ADDRESS PORT SERVER-PORT BYTES
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER 5 /* of a record: its type, version and length */

static void give(int fd, const void *data, size_t size)
{
	if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
		exit(0);
}

static size_t take(int fd, void *data, size_t size)
{
	ssize_t ret = recv(fd, data, size, 0);

	if (ret <= 0)
		exit(0);
	return ret;
}

static void take_all(int fd, void *data, size_t size)
{
	for (size_t taken = 0; taken < size;)
		taken += take(fd, (char *)data + taken, size - taken);
}

/* The first line is plain text. */
static void give_line(int from, int to)
{
	char byte;

	do {
		take_all(from, &byte, 1);
		give(to, &byte, 1);
	} while (byte != '\n');
}

/* Returns how long it was. */
static size_t give_record(int from, int to, bool only_begin)
{
	static unsigned char record[HEADER + 65536];
	size_t size;

	take_all(from, record, HEADER);
	size = HEADER + record[3] * 256 + record[4];
	take_all(from, record + HEADER, size - HEADER);
	give(to, record, only_begin ? HEADER + 1 : size);
	return size;
}

static void relay(int client, int server, size_t bytes)
{
	struct pollfd ends[] = { { client, POLLIN, 0 }, { server, POLLIN, 0 } };
	char buffer[65536];

	give_line(server, client);
	for (size_t given = 0; poll(ends, given < bytes ? 2 : 1, -1) > 0;) {
		if (ends[0].revents)
			give(server, buffer, take(client, buffer, sizeof(buffer)));
		if (given >= bytes || !ends[1].revents)
			continue;
		given += give_record(server, client, false);
		if (given < bytes)
			continue;
		give_record(server, client, true);
		printf("stopped\n");
		fflush(stdout);
	}
}

static int endpoint(const char *address, const char *port, bool listens)
{
	struct sockaddr_in name = {
		.sin_family = AF_INET,
		.sin_port = htons(atoi(port)),
		.sin_addr.s_addr = inet_addr(address),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listens ? bind(fd, (void *)&name, sizeof(name)) || listen(fd, 10) :
		      connect(fd, (void *)&name, sizeof(name)))
		err(1, "%s:%s", address, port);
	return fd;
}

int main(int argc, char **argv)
{
	int listening, client;

	if (argc != 5)
		errx(2, "usage: kpost-stall ADDRESS PORT SERVER-PORT BYTES");
	signal(SIGCHLD, SIG_IGN);
	listening = endpoint(argv[1], argv[2], true);
	while ((client = accept(listening, NULL, NULL)) >= 0) {
		if (!fork()) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			relay(client, endpoint(argv[1], argv[3], false),
			      strtoul(argv[4], NULL, 10));
			return 0;
		}
		close(client);
	}
	return 1;
}
