// SPDX-License-Identifier: GPL-2.0-only
/* Senders, in every way there is. */
#include <poll.h>

#include "traffic.h"

enum way { PLAIN, WRITE, DONTWAIT, DEADLINE, SYNC, RING, RING_WRITE, RING_CANCEL, RING_EXIT, WAYS };

#define CHEAP (DONTWAIT + 1)

static enum way choose_way(struct worker *worker)
{
	enum way way =
		(enum way)chance_below(&worker->chance, worker->traffic->cheap ? CHEAP : WAYS);

	if (worker->traffic->tail)
		return DONTWAIT;
	/* Each leaves memory that cannot be used again. */
	if (way == RING_EXIT &&
	    (worker->slot->orphaned == ORPHANS || chance_below(&worker->chance, 50)))
		way = RING_CANCEL;
	return way;
}

/* Through a ring that goes before it is done: what comes of it is unknown. */
static long abandon(struct worker *worker, int fd, const struct kpost_send *send)
{
	struct io_uring_sqe *sqe = ring_entry(worker);
	struct orphan *orphan;

	if (!sqe)
		return -ENOMEM;
	orphan = &worker->slot->orphans[worker->slot->orphaned++];
	orphan->send = *send;
	memcpy(orphan->receipt.payload, (void *)(uintptr_t)send->buf, send->len);
	orphan->send.buf = (uintptr_t)orphan->receipt.payload;
	ring_prepare(sqe, fd, KPOST_IOC_SEND, &orphan->send);
	ring_abandon(worker);
	return PENDING;
}

static long send_through_ring(struct worker *worker, int fd, const struct kpost_send *send,
			      enum way way)
{
	struct io_uring_sqe *sqe = ring_entry(worker);
	long ret;

	if (!sqe)
		return -ENOMEM;
	if (way == RING_WRITE)
		io_uring_prep_write(sqe, fd, (void *)(uintptr_t)send->buf, (unsigned int)send->len,
				    0);
	else
		ring_prepare(sqe, fd, KPOST_IOC_SEND, send);
	sqe->user_data = 1;
	ret = ring_finish(worker, way == RING_CANCEL);
	return ret > 0 ? 0 : ret;
}

static long send_by(struct worker *worker, int fd, struct kpost_send *send, enum way way)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	ssize_t n;
	long ret;

	switch (way) {
	case WRITE:
		n = write(fd, (void *)(uintptr_t)send->buf, send->len);
		return n == (ssize_t)send->len ? 0 : -errno;
	case DONTWAIT:
		send->flags = KPOST_DONTWAIT;
		ret = operate(fd, KPOST_IOC_SEND, send);
		if (ret == -EAGAIN)
			poll(&room, 1, 2);
		return ret;
	case RING:
	case RING_WRITE:
	case RING_CANCEL:
		return send_through_ring(worker, fd, send, way);
	case RING_EXIT:
		return abandon(worker, fd, send);
	default:
		return operate(fd, KPOST_IOC_SEND, send);
	}
}

static size_t choose_size(struct worker *worker)
{
	const size_t least = sizeof(struct item);

	if (worker->traffic->cheap || chance_below(&worker->chance, 16))
		return least + chance_below(&worker->chance, 64);
	return least + chance_below(&worker->chance, PAYLOAD_MAX - (unsigned int)least + 1);
}

void send_one(struct worker *worker, unsigned char *buf)
{
	struct slot *slot = worker->slot;
	struct kpost_send send = { .buf = (uintptr_t)buf };
	struct dispatch *dispatch;
	enum way way;
	long result;

	if (!worker_await_log(worker))
		return;
	if (slot->sent >= worker->traffic->wanted || slot->next == NUMBERS) {
		pause_ns(MS);
		return;
	}
	way = choose_way(worker);
	dispatch = &slot->dispatches[slot->head % LOG];
	*dispatch = (struct dispatch){
		.number = slot->next,
		.result = PENDING,
		.mailbox = (uint8_t)chance_below(&worker->chance, SERVICE),
		.sync = way == SYNC,
		.orphan = way == RING_EXIT,
	};
	send.len = choose_size(worker);
	send.priority =
		way == WRITE || way == RING_WRITE ? 0 : chance_below(&worker->chance, PRIORITIES);
	if (way == DEADLINE || way == SYNC)
		send.deadline = now() + chance_below(&worker->chance, way == SYNC ? 20 : 3) * MS;
	if (way == SYNC)
		send.flags = KPOST_SYNC;
	item_fill((struct item *)buf, slot->index, dispatch->number, dispatch->mailbox, send.len);
	if (way != RING_EXIT && !worker->traffic->tail)
		send.buf = worker_memory(worker, buf);
	/* From here on it may have been sent. */
	__atomic_store_n(&slot->next, dispatch->number + 1, __ATOMIC_RELEASE);
	slot->operations++;
	slot->syncs = way == SYNC;
	result = send_by(worker, worker->fds[dispatch->mailbox], &send, way);
	slot->syncs = false;
	worker_count(worker, result);
	slot->sent += result == 0;
	dispatch->result = result;
	__atomic_store_n(&slot->head, slot->head + 1, __ATOMIC_RELEASE);
}
