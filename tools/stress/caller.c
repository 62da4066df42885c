// SPDX-License-Identifier: GPL-2.0-only
/* Callers: each request has a number, and its reply is to bring that back. */
#include "traffic.h"

/* Whether there was such a call, whose reply may have come and is lost then. */
static bool cancel(struct worker *worker, uint64_t id)
{
	struct kpost_call_cancel cancel = { .id = id };
	long ret;

	while ((ret = operate(worker->fds[SERVICE], KPOST_IOC_CALL_CANCEL, &cancel)) == -EFAULT)
		worker_count(worker, ret);
	return ret == 1;
}

/* A call that goes on after @result: go on with it, or give it up. */
static long go_on(struct worker *worker, struct kpost_call *call, long result)
{
	long again;

	while (call->id) {
		if (!chance_below(&worker->chance, 8))
			return cancel(worker, call->id) ? GIVEN_UP : result;
		/* Then it ends, with its reply if that is there. */
		if (worker_stopping(worker) || !chance_below(&worker->chance, 4))
			call->deadline = 1;
		worker_count(worker, result);
		again = operate(worker->fds[SERVICE], KPOST_IOC_CALL, call);
		/* It was over, and only that could not be written. */
		if (again == -ENOENT)
			break;
		result = again;
		worker->slot->resumed++;
	}
	return result;
}

static bool goes_on(long result)
{
	return result == -EINTR || result == -EFAULT || result == -ENOMEM;
}

static long submit_and_collect(struct worker *worker, const struct kpost_call *call)
{
	int fd = worker->fds[SERVICE];
	struct kpost_call_submit submit = {
		.priority = call->priority,
		.deadline = call->deadline,
		.buf = call->buf,
		.len = call->len,
		.reply_max = call->reply_len,
	};
	struct kpost_call_collect collect;
	long result = operate(fd, KPOST_IOC_CALL_SUBMIT, &submit);

	if (result)
		return result;
	do {
		/* Of any, if its number was lost: there is no other. */
		collect = (struct kpost_call_collect){
			.deadline = call->deadline,
			.buf = call->reply_buf,
			.len = call->reply_len,
			.id = submit.id,
		};
		result = operate(fd, KPOST_IOC_CALL_COLLECT, &collect);
		if (goes_on(result))
			worker_count(worker, result);
	} while (goes_on(result) && !worker_stopping(worker));
	if ((goes_on(result) || result == -ETIMEDOUT) && cancel(worker, submit.id))
		return GIVEN_UP;
	return result;
}

void call_one(struct worker *worker, unsigned char *buf)
{
	struct slot *slot = worker->slot;
	unsigned int way = chance_below(&worker->chance, 8);
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
	sqe = way == 4 || way == 5 ? ring_entry(worker) : NULL;
	if (sqe) {
		ring_prepare(sqe, worker->fds[SERVICE], KPOST_IOC_CALL, &call);
		result = ring_finish(worker, way == 5);
	} else if (way > 5) {
		result = submit_and_collect(worker, &call);
	} else {
		result = operate(worker->fds[SERVICE], KPOST_IOC_CALL, &call);
	}
	result = go_on(worker, &call, result);
	slot->syncs = false;
	worker_count(worker, result);
	dispatch->result = result;
	__atomic_store_n(&slot->head, slot->head + 1, __ATOMIC_RELEASE);
}
