// SPDX-License-Identifier: GPL-2.0-only
/* Receivers, in every way there is. */
#include <sys/epoll.h>

#include "traffic.h"

enum way {
	RECV,
	READ,
	EPOLL,
	EPOLL_EDGE,
	DEADLINE,
	SMALL,
	RING,
	RING_READ,
	RING_CANCEL,
	RING_EXIT,
	WAYS
};

#define CHEAP (EPOLL + 1)

static enum way choose_way(struct worker *worker)
{
	enum way way =
		(enum way)chance_below(&worker->chance, worker->traffic->cheap ? CHEAP : WAYS);

	if (way == RING_EXIT &&
	    (worker->slot->orphaned == ORPHANS || chance_below(&worker->chance, 50)))
		way = RING_CANCEL;
	return way;
}

/* The note number @at of the log, ready for the kernel to write to. */
struct receipt *receipt_begin(struct worker *worker, uint64_t at, bool described)
{
	struct receipt *receipt = &worker->slot->receipts[at % LOG];

	receipt->answer = ANSWER_NONE;
	receipt->described = described;
	receipt->item = (struct item){ 0 };
	receipt->recv = (struct kpost_recv){
		.buf = (uintptr_t)receipt->payload,
		.len = sizeof(receipt->payload),
	};
	__atomic_store_n(&receipt->result, PENDING, __ATOMIC_RELEASE);
	return receipt;
}

static long receive_when_ready(struct worker *worker, int fd, struct receipt *receipt, bool edge)
{
	struct epoll_event event;
	long ret;

	receipt->recv.flags = KPOST_DONTWAIT;
	for (;;) {
		ret = operate(fd, KPOST_IOC_RECV, &receipt->recv);
		if (ret != -EAGAIN)
			return ret;
		if (epoll_wait(edge ? worker->epoll_edge : worker->epoll, &event, 1, -1) < 0)
			return -errno;
	}
}

static void abandon(struct worker *worker, int fd)
{
	struct io_uring_sqe *sqe = ring_entry(worker);
	struct receipt *receipt;

	if (!sqe)
		return;
	receipt = &worker->slot->orphans[worker->slot->orphaned++].receipt;
	receipt->described = true;
	receipt->recv = (struct kpost_recv){
		.buf = (uintptr_t)receipt->payload,
		.len = sizeof(receipt->payload),
	};
	ring_prepare(sqe, fd, KPOST_IOC_RECV, &receipt->recv);
	ring_abandon(worker);
}

static long receive_through_ring(struct worker *worker, int fd, struct receipt *receipt,
				 enum way way)
{
	struct io_uring_sqe *sqe = ring_entry(worker);

	if (!sqe)
		return -ENOMEM;
	if (way == RING_READ)
		io_uring_prep_read(sqe, fd, (void *)(uintptr_t)receipt->recv.buf,
				   sizeof(receipt->payload), 0);
	else
		ring_prepare(sqe, fd, KPOST_IOC_RECV, &receipt->recv);
	sqe->user_data = 1;
	return ring_finish(worker, way == RING_CANCEL);
}

static long receive_by(struct worker *worker, int fd, struct receipt *receipt, enum way way)
{
	ssize_t n;

	switch (way) {
	case READ:
		n = read(fd, (void *)(uintptr_t)receipt->recv.buf, sizeof(receipt->payload));
		return n < 0 ? -errno : n;
	case EPOLL:
	case EPOLL_EDGE:
		return receive_when_ready(worker, fd, receipt, way == EPOLL_EDGE);
	case RING:
	case RING_READ:
	case RING_CANCEL:
		return receive_through_ring(worker, fd, receipt, way);
	case SMALL:
		receipt->recv.len = 1;
		receipt->recv.deadline = now() + MS;
		break;
	case DEADLINE:
		receipt->recv.deadline = now() + chance_below(&worker->chance, 3) * MS;
		break;
	default:
		break;
	}
	return operate(fd, KPOST_IOC_RECV, &receipt->recv);
}

void receive_one(struct worker *worker)
{
	struct slot *slot = worker->slot;
	int fd = worker->fds[slot->mailbox];
	enum way way = choose_way(worker);
	struct receipt *receipt;
	long result;

	if (!worker_await_log(worker))
		return;
	if (way == RING_EXIT) {
		abandon(worker, fd);
		return;
	}
	receipt = receipt_begin(worker, slot->head, way != READ && way != RING_READ);
	receipt->recv.buf = worker_memory(worker, receipt->payload);
	slot->operations++;
	__atomic_store_n(&slot->waits,
			 way == RECV || way == READ || way == RING || way == RING_READ,
			 __ATOMIC_RELEASE);
	result = receive_by(worker, fd, receipt, way);
	__atomic_store_n(&slot->waits, false, __ATOMIC_RELEASE);
	worker_count(worker, result);
	if (result < 0)
		return;
	receipt->result = result;
	__atomic_store_n(&slot->head, slot->head + 1, __ATOMIC_RELEASE);
}
