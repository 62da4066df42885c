// SPDX-License-Identifier: GPL-2.0-only
/* Pairs of AF_UNIX sockets, one message a system call or many. */
#include "bench.h"

#include <sys/socket.h>

static int open_pair(struct line *line, const struct load *load, int type)
{
	/* What the kernel counts for a small message, generously. */
	int room = (int)(room_of(load) * (load->size + 1024));
	int fds[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds))
		return -errno;
	line->in = fds[0];
	line->out = fds[1];
	if (setsockopt(line->out, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		return -errno;
	return 0;
}

static int open_stream(struct line *line, const struct load *load)
{
	return open_pair(line, load, SOCK_STREAM);
}

int open_seqpacket(struct line *line, const struct load *load)
{
	return open_pair(line, load, SOCK_SEQPACKET);
}

static int open_dgram(struct line *line, const struct load *load)
{
	return open_pair(line, load, SOCK_DGRAM);
}

static void send_one(struct line *line, void *buf, size_t len)
{
	if (send(line->out, buf, len, 0) != (ssize_t)len)
		die("send: %s", strerror(errno));
}

static void receive(struct line *line, void *buf, size_t len)
{
	if (recv(line->in, buf, len, 0) != (ssize_t)len)
		die("recv: %s", strerror(errno));
}

/* All in the same buffer: what it costs is the same. */
static struct mmsghdr *headers(void *buf, size_t len, unsigned int count)
{
	static struct mmsghdr messages[MOST];
	static struct iovec piece;
	unsigned int i;

	piece.iov_base = buf;
	piece.iov_len = len;
	for (i = 0; i < count; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 };
	return messages;
}

static void send_many(struct line *line, void *buf, size_t len, unsigned int count)
{
	if (sendmmsg(line->out, headers(buf, len, count), count, 0) != (int)count)
		die("sendmmsg: %s", strerror(errno));
}

static void receive_many(struct line *line, void *buf, size_t len, unsigned int count)
{
	if (recvmmsg(line->in, headers(buf, len, count), count, 0, NULL) != (int)count)
		die("recvmmsg: %s", strerror(errno));
}

const struct transport socket_stream = {
	.name = "stream",
	.what = "an AF_UNIX stream",
	.min = 1,
	.open = open_stream,
	.close = close_fds,
	.send = write_all,
	.receive = read_all,
};

const struct transport socket_seqpacket = {
	.name = "seqpacket",
	.what = "AF_UNIX, in sequence; many by sendmmsg(2)",
	.open = open_seqpacket,
	.close = close_fds,
	.send = send_one,
	.receive = receive,
	.send_many = send_many,
	.receive_many = receive_many,
};

const struct transport socket_dgram = {
	.name = "dgram",
	.what = "AF_UNIX datagrams; many by sendmmsg(2)",
	.open = open_dgram,
	.close = close_fds,
	.send = send_one,
	.receive = receive,
	.send_many = send_many,
	.receive_many = receive_many,
};
