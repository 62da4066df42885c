// SPDX-License-Identifier: GPL-2.0-only
/* Callers: each request has a number, and its reply is to bring that back. */
#include "traffic.h"

void call_one(struct worker *worker, unsigned char *buf)
{
	struct slot *slot = worker->slot;
	unsigned int way = chance_below(&worker->chance, 6);
	struct dispatch *dispatch;
	struct io_uring_sqe *sqe;
	struct kpost_call call = { .buf = (uintptr_t)buf };
	long result;

	if (!worker_await_log(worker))
		return;
	if (slot->next >= worker->traffic->wanted) {
		pause_ns(MS);
		return;
	}
	dispatch = &slot->dispatches[slot->head % LOG];
	*dispatch = (struct dispatch){
		.number = slot->next, .result = PENDING, .mailbox = SERVICE, .sync = true
	};
	call.len = sizeof(struct item) + chance_below(&worker->chance, 100);
	call.priority = chance_below(&worker->chance, PRIORITIES);
	call.reply_buf = (uintptr_t)&dispatch->echo;
	call.reply_len = sizeof(dispatch->echo);
	if (way & 1)
		call.deadline = now() + chance_below(&worker->chance, 20) * MS;
	item_fill((struct item *)buf, slot->index, dispatch->number, SERVICE, call.len);
	__atomic_store_n(&slot->next, dispatch->number + 1, __ATOMIC_RELEASE);
	slot->operations++;
	slot->syncs = true;
	sqe = way >= 4 ? ring_entry(worker) : NULL;
	if (sqe) {
		ring_prepare(sqe, worker->fds[SERVICE], KPOST_IOC_CALL, &call);
		result = ring_finish(worker, way == 5);
	} else {
		result = operate(worker->fds[SERVICE], KPOST_IOC_CALL, &call);
	}
	slot->syncs = false;
	worker_count(worker, result);
	dispatch->result = result;
	__atomic_store_n(&slot->head, slot->head + 1, __ATOMIC_RELEASE);
}
