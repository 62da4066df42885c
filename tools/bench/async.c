// SPDX-License-Identifier: GPL-2.0-only
/*
 * Senders that do not wait: libkpost's, and the same thing for a socket, written as one
 * would: entries of a ring whose payload is copied, submitted 32 at a time.
 */
#include <liburing.h>

#include "bench.h"

#define BATCH 32
#define DEPTH 256

static int open_async(struct line *line, const struct load *load)
{
	line->state = NULL;
	return open_mailbox(line, load);
}

static void async_send(struct line *line, void *buf, size_t len)
{
	const struct kpost_sender_options options = { .depth = DEPTH, .batch = BATCH };
	struct kpost_completion done[BATCH];
	int ret;

	if (!line->state) {
		struct kpost_sender *sender;

		ret = kpost_sender_new(&sender, line->out, &options);
		if (ret)
			die("kpost_sender_new: %s", strerror(-ret));
		line->state = sender;
	}
	while ((ret = kpost_sender_queue(line->state, buf, len, NULL, NULL)) == -EAGAIN) {
		if (!kpost_sender_reap(line->state, done, BATCH)) {
			ret = kpost_sender_wait(line->state, 0);
			if (ret)
				die("kpost_sender_wait: %s", strerror(-ret));
		}
	}
	if (ret)
		die("kpost_sender_queue: %s", strerror(-ret));
}

static void mailbox_receive(struct line *line, void *buf, size_t len)
{
	ssize_t ret = kpost_recv(line->in, buf, len, NULL, 0, 0);

	if (ret < 0)
		die("kpost_recv: %s", strerror((int)-ret));
}

/* The sender belongs to the child that sends, and ends with it. */
static void close_async(struct line *line)
{
	close(line->in);
}

const struct transport kpost_async = {
	.name = "libkpost-async",
	.what = "the library's sender",
	.traits = OURS | ASYNC,
	.open = open_async,
	.close = close_async,
	.send = async_send,
	.receive = mailbox_receive,
};

/* A chain is linked, or messages that wait for room could pass each other. */
struct chain {
	struct io_uring ring;
	unsigned int queued;
	unsigned char *copies;
};

static void chain_send(struct line *line, void *buf, size_t len)
{
	struct chain *chain = line->state;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *done[BATCH];
	unsigned int i;

	if (!chain) {
		chain = line->state = calloc(1, sizeof(*chain));
		chain->copies = malloc(BATCH * (len ? len : 1));
		if (io_uring_queue_init(BATCH, &chain->ring, 0))
			skip("no io_uring");
	}
	sqe = io_uring_get_sqe(&chain->ring);
	memcpy(chain->copies + chain->queued * len, buf, len);
	io_uring_prep_send(sqe, line->out, chain->copies + chain->queued * len, len, MSG_WAITALL);
	if (++chain->queued < BATCH) {
		sqe->flags |= IOSQE_IO_LINK;
		return;
	}
	if (io_uring_submit_and_wait(&chain->ring, BATCH) != BATCH)
		die("io_uring_submit_and_wait: %s", strerror(errno));
	io_uring_peek_batch_cqe(&chain->ring, done, BATCH);
	for (i = 0; i < BATCH; i++)
		if (done[i]->res != (int)len)
			die("send by io_uring: %s", strerror(-done[i]->res));
	io_uring_cq_advance(&chain->ring, BATCH);
	chain->queued = 0;
}

static int open_chain(struct line *line, const struct load *load)
{
	line->state = NULL;
	return open_seqpacket(line, load);
}

static void chain_receive(struct line *line, void *buf, size_t len)
{
	if (recv(line->in, buf, len, 0) != (ssize_t)len)
		die("recv: %s", strerror(errno));
}

const struct transport socket_async = {
	.name = "seqpacket-async",
	.what = "AF_UNIX, in sequence, chains of 32 by io_uring",
	.traits = ASYNC,
	.open = open_chain,
	.close = close_fds,
	.send = chain_send,
	.receive = chain_receive,
};
