// SPDX-License-Identifier: GPL-2.0-only
/* The receiving processes, which differ in how they wait. */
#include <liburing.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "demo.h"

static ssize_t take_blocking(struct worker *worker, struct kpost_message *message)
{
	return kpost_recv(worker->fd, worker->buf, worker->room, message, 0, 0);
}

static ssize_t take_epoll(struct worker *worker, struct kpost_message *message)
{
	struct epoll_event event = { .events = EPOLLIN };
	static int epoll = -1;
	ssize_t ret;

	if (epoll < 0) {
		epoll = epoll_create1(EPOLL_CLOEXEC);
		if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, worker->fd, &event))
			die("cannot set up epoll: %s", strerror(errno));
	}
	for (;;) {
		/* The endpoint is non-blocking; another worker may have been faster. */
		ret = kpost_recv(worker->fd, worker->buf, worker->room, message, 0, 0);
		if (ret != -EAGAIN)
			return ret;
		if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
			return -errno;
	}
}

/* One request at a time: those that wait together may pass each other. */
static ssize_t take_uring(struct worker *worker, struct kpost_message *message)
{
	static struct io_uring ring = { .ring_fd = -1 };
	struct kpost_recv arg = {
		.buf = (uintptr_t)worker->buf,
		.len = worker->room,
	};
	struct io_uring_cqe *cqe;
	ssize_t ret;

	if (ring.ring_fd < 0) {
		ret = io_uring_queue_init(2, &ring, 0);
		if (ret)
			die("cannot set up io_uring: %s", strerror((int)-ret));
	}
	kpost_prep_recv(io_uring_get_sqe(&ring), worker->fd, &arg);
	ret = io_uring_submit_and_wait(&ring, 1);
	if (ret < 0)
		return ret;
	ret = io_uring_wait_cqe(&ring, &cqe);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	message->sequence = arg.sequence;
	message->token = arg.token;
	return ret;
}

struct worker workers[WORKERS] = {
	{ .way = "blocking", .take = take_blocking },
	{ .way = "epoll, non-blocking", .take = take_epoll, .open_flags = KPOST_OPEN_NONBLOCK },
	{ .way = "io_uring", .take = take_uring },
};

static void take_note(FILE *notes, const struct note *note)
{
	if (fwrite(note, sizeof(*note), 1, notes) != 1)
		die("a worker cannot take notes: %s", strerror(errno));
}

/* Everything is written before the answer is, as the driver then reads it. */
static void answer(struct worker *worker, FILE *notes, uint64_t token)
{
	int ret;

	if (fflush(notes))
		die("a worker cannot take notes: %s", strerror(errno));
	ret = kpost_reply(worker->fd, token, &worker->account, sizeof(worker->account));
	if (ret)
		die("the worker by %s cannot answer: %s", worker->way, strerror(-ret));
}

void work(struct worker *worker)
{
	struct kpost_message message = { 0 };
	struct note note;
	FILE *notes;
	ssize_t len;

	worker->fd = kpost_open(worker->mailbox, KPOST_RIGHT_RECV, worker->open_flags, NULL, 0);
	if (worker->fd < 0)
		die("a worker cannot open mailbox '%s': %s", worker->mailbox,
		    strerror(-worker->fd));
	worker->buf = malloc(worker->room);
	notes = fdopen(worker->notes_fd, "w");
	if (!worker->buf || !notes)
		die("no memory for a worker");
	worker->account.worker = (uint64_t)(worker - workers);
	for (;;) {
		len = worker->take(worker, &message);
		if (len < 0)
			die("the worker by %s cannot receive: %s", worker->way,
			    strerror((int)-len));
		/* The only calls are the driver's, at the end. */
		if (message.token)
			break;
		if (worker->mischief == BREAK_LOSE) {
			worker->mischief = BREAK_NOTHING;
			continue;
		}
		note.sequence = message.sequence;
		note.digest = digest(worker->buf, (size_t)len);
		take_note(notes, &note);
		worker->account.lines++;
		worker->account.bytes += (uint64_t)len;
	}
	answer(worker, notes, message.token);
	exit(0);
}
