// SPDX-License-Identifier: GPL-2.0-only
/* Servers: they reply, reply late, reply and receive in one, give up, and close. */
#include "traffic.h"

enum action { REPLY, REPLY_LATE, REPLY_RECV, DROP, CLOSE, ACTIONS };

static void publish(struct slot *slot)
{
	__atomic_store_n(&slot->head, slot->head + 1, __ATOMIC_RELEASE);
}

static void answered(struct worker *worker, struct receipt *receipt, long err, bool drop)
{
	worker_count(worker, err == -ECANCELED ? 0 : err);
	if (err == -ECANCELED)
		receipt->answer = ANSWER_LATE;
	else
		receipt->answer = err ? ANSWER_NONE : drop ? ANSWER_DROPPED : ANSWER_GIVEN;
	publish(worker->slot);
}

static bool try_again(long err)
{
	return err == -EFAULT || err == -ENOMEM || err == -EINTR;
}

static void reply(struct worker *worker, struct receipt *receipt, bool drop)
{
	struct kpost_reply reply = {
		.flags = drop ? KPOST_DROP : 0,
		.token = receipt->recv.token,
		.buf = drop ? 0 : (uintptr_t)&receipt->item.number,
		.len = drop ? 0 : sizeof(receipt->item.number),
	};
	long err;

	receipt->answer = ANSWER_TRIED;
	while (try_again(err = operate(worker->fds[SERVICE], KPOST_IOC_REPLY, &reply)))
		worker_count(worker, err);
	answered(worker, receipt, err, drop);
}

/* Reply and receive into the next note; true if that has a message. */
static bool reply_and_receive(struct worker *worker, struct receipt *receipt)
{
	struct receipt *next = receipt_begin(worker, worker->slot->head + 1, true);
	struct kpost_reply reply = {
		.token = receipt->recv.token,
		.buf = (uintptr_t)&receipt->item.number,
		.len = sizeof(receipt->item.number),
	};
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&reply,
		.recv = (uintptr_t)&next->recv,
		.reply_size = sizeof(reply),
		.recv_size = sizeof(next->recv),
	};
	long err;

	receipt->answer = ANSWER_TRIED;
	do {
		err = operate(worker->fds[SERVICE], KPOST_IOC_REPLY_RECV, &both);
		if (err < 0 && err != -ECANCELED)
			worker_count(worker, err);
	} while (reply.token && try_again(err));
	/* Used up: only the reply can have been cancelled, and nothing was received then. */
	answered(worker, receipt, !reply.token && err != -ECANCELED ? 0 : err, false);
	if (reply.token || err < 0)
		return false;
	next->result = err;
	return true;
}

/* All whom it has not answered are reset. */
static void close_and_open(struct worker *worker, struct receipt *receipt)
{
	receipt->answer = ANSWER_RESET;
	close(worker->fds[SERVICE]);
	publish(worker->slot);
	worker_open(worker, SERVICE, KPOST_RIGHT_RECV);
}

void serve_one(struct worker *worker)
{
	struct slot *slot = worker->slot;
	struct receipt *receipt;
	long result;

	if (!worker_await_log(worker))
		return;
	receipt = receipt_begin(worker, slot->head, true);
	slot->operations++;
	__atomic_store_n(&slot->waits, true, __ATOMIC_RELEASE);
	result = operate(worker->fds[SERVICE], KPOST_IOC_RECV, &receipt->recv);
	__atomic_store_n(&slot->waits, false, __ATOMIC_RELEASE);
	worker_count(worker, result);
	if (result < 0)
		return;
	receipt->result = result;
	for (;;) {
		enum action action = (enum action)chance_below(&worker->chance, ACTIONS);

		/* Dear to all who wait. */
		if (action == CLOSE && chance_below(&worker->chance, 8))
			action = REPLY_RECV;
		switch (action) {
		case REPLY_LATE:
			pause_ns(chance_below(&worker->chance, 10) * MS);
			reply(worker, receipt, false);
			return;
		case REPLY_RECV:
			/* Not with a full log, nor for ever. */
			if (!worker_await_log(worker) || !reply_and_receive(worker, receipt))
				return;
			receipt = &slot->receipts[slot->head % LOG];
			continue;
		case CLOSE:
			close_and_open(worker, receipt);
			return;
		default:
			reply(worker, receipt, action == DROP);
			return;
		}
	}
}
