// SPDX-License-Identifier: GPL-2.0-only
/* Everything by io_uring: one entry and a wait for it, or many in one submission. */
#include <liburing.h>

#include "bench.h"

#define ENTRIES 1024

/* The process's own, made when it is first needed. */
static struct io_uring ring;
static bool have_ring;

void ring_forget(void)
{
	have_ring = false;
}

static void ring_need(void)
{
	int ret;

	if (have_ring)
		return;
	ret = io_uring_queue_init(ENTRIES, &ring, 0);
	if (ret)
		skip("no io_uring: %s", strerror(-ret));
	io_uring_register_ring_fd(&ring);
	have_ring = true;
}

typedef void (*prepare_fn)(struct io_uring_sqe *sqe, unsigned int index, const struct line *line,
			   void *buf, size_t len);

static void submit(prepare_fn prepare, const struct line *line, void *buf, size_t len,
		   unsigned int count)
{
	static struct io_uring_cqe *done[ENTRIES];
	unsigned int i;
	int ret;

	ring_need();
	for (i = 0; i < count; i++)
		prepare(io_uring_get_sqe(&ring), i, line, buf, len);
	ret = io_uring_submit_and_wait(&ring, count);
	if (ret != (int)count)
		die("io_uring took %d of %u entries", ret, count);
	if (io_uring_peek_batch_cqe(&ring, done, count) != count)
		die("io_uring has not completed %u entries", count);
	for (i = 0; i < count; i++)
		if (done[i]->res < 0)
			die("by io_uring: %s", strerror(-done[i]->res));
	io_uring_cq_advance(&ring, count);
}

static void prepare_kpost_send(struct io_uring_sqe *sqe, unsigned int index,
			       const struct line *line, void *buf, size_t len)
{
	static struct kpost_send sends[ENTRIES];

	sends[index] = (struct kpost_send){ .buf = (uintptr_t)buf, .len = len };
	kpost_prep_send(sqe, line->out, &sends[index]);
}

static void prepare_kpost_recv(struct io_uring_sqe *sqe, unsigned int index,
			       const struct line *line, void *buf, size_t len)
{
	static struct kpost_recv recvs[ENTRIES];

	recvs[index] = (struct kpost_recv){ .buf = (uintptr_t)buf, .len = len };
	kpost_prep_recv(sqe, line->in, &recvs[index]);
}

static void prepare_send(struct io_uring_sqe *sqe, unsigned int index, const struct line *line,
			 void *buf, size_t len)
{
	(void)index;
	io_uring_prep_send(sqe, line->out, buf, len, 0);
}

static void prepare_recv(struct io_uring_sqe *sqe, unsigned int index, const struct line *line,
			 void *buf, size_t len)
{
	(void)index;
	io_uring_prep_recv(sqe, line->in, buf, len, 0);
}

static void prepare_write(struct io_uring_sqe *sqe, unsigned int index, const struct line *line,
			  void *buf, size_t len)
{
	(void)index;
	io_uring_prep_write(sqe, line->out, buf, (unsigned int)len, 0);
}

static void prepare_read(struct io_uring_sqe *sqe, unsigned int index, const struct line *line,
			 void *buf, size_t len)
{
	(void)index;
	io_uring_prep_read(sqe, line->in, buf, (unsigned int)len, 0);
}

/* The four ways that each of them has. */
#define WAYS(kind, sends, receives) \
	static void kind##_send_many(struct line *line, void *buf, size_t len, unsigned int count) \
	{ \
		submit(sends, line, buf, len, count); \
	} \
	static void kind##_receive_many(struct line *line, void *buf, size_t len, \
					unsigned int count) \
	{ \
		submit(receives, line, buf, len, count); \
	} \
	static void kind##_send(struct line *line, void *buf, size_t len) \
	{ \
		submit(sends, line, buf, len, 1); \
	} \
	static void kind##_receive(struct line *line, void *buf, size_t len) \
	{ \
		submit(receives, line, buf, len, 1); \
	}

WAYS(mailbox, prepare_kpost_send, prepare_kpost_recv)
WAYS(socket, prepare_send, prepare_recv)
WAYS(pipe, prepare_write, prepare_read)

const struct transport kpost_uring = {
	.name = "kpost-uring",
	.what = "its operations by io_uring",
	.traits = OURS,
	.open = open_mailbox,
	.close = close_mailbox,
	.send = mailbox_send,
	.receive = mailbox_receive,
	.send_many = mailbox_send_many,
	.receive_many = mailbox_receive_many,
};

const struct transport socket_uring = {
	.name = "seqpacket-uring",
	.what = "AF_UNIX, in sequence, by io_uring",
	.open = open_seqpacket,
	.close = close_fds,
	.send = socket_send,
	.receive = socket_receive,
	.send_many = socket_send_many,
	.receive_many = socket_receive_many,
};

const struct transport pipe_uring = {
	.name = "pipe-uring",
	.what = "a pipe by io_uring",
	.min = 1,
	.open = open_pipe,
	.close = close_fds,
	.send = pipe_send,
	.receive = pipe_receive,
	.send_many = pipe_send_many,
	.receive_many = pipe_receive_many,
};
