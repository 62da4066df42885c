/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One message for one receiver: the next of all (recv.c), the next of a tag (match.c), or a look
 * at either (peek.c).
 */
#ifndef KPOST_RECEPTION_H
#define KPOST_RECEPTION_H

#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "endpoint.h"
#include "expiry.h"
#include "payload.h"
#include "recv.h"

/* How much before it waits for one: that may be short, and the memory is the receiver's. */
#define KPOST_SURE_WAITING SZ_256K

/* What kpost_receive_extra() says beside a number of bytes, or an error. */
#define KPOST_AS_ANY (-(MAX_ERRNO + 1)) /* the message is as any other */
#define KPOST_NEXT (-(MAX_ERRNO + 2)) /* it was not received: look for the next */

/* What a receiver wants and gets, and how far it is. */
struct kpost_reception {
	struct kpost_operand *op; /* of the struct to fill, if @arg is given */
	struct kpost_recv *arg;
	bool truncate;
	bool nowait;
	const struct kpost_payload *to;
	size_t sure; /* bytes of @to that were there when they were looked at */
	bool looked; /* at all of it that may be needed, before it waits */
	bool empty; /* there was no message */
	size_t size; /* of the next message, or of any; out, with -EMSGSIZE */

	u64 tag; /* with KPOST_MATCH: of the message */
	u64 missed; /* by all receivers: this one has to tell of it, or to return it */
	/* Of a message that has more than a plain one. */
	u64 attempts; /* how often it was held before */
	ktime_t expires; /* by the kernel's @clock, or 0 */
	enum kpost_clock clock;
	struct kpost_hold *hold; /* if given: to hold the message with, if it can be */

	/* The message that was copied last, and how much of it was. */
	u64 sequence;
	struct kpost_place place;
};

/* The largest message that there is memory for, as far as is known. */
static inline size_t kpost_reception_sure(const struct kpost_reception *recv)
{
	return recv->sure == recv->to->size ? SIZE_MAX : recv->sure;
}

/* Begin: look at what a short message takes, if that takes no page fault. */
static __always_inline void kpost_reception_begin(struct kpost_reception *recv)
{
	size_t count = recv->to->size;

	pagefault_disable();
	recv->sure = kpost_payload_touch(recv->to, min_t(size_t, count, KPOST_SURE_FIRST));
	pagefault_enable();
	recv->looked = recv->sure == count;
}

/*
 * Know what there is to be told of a message with @extra, or without (NULL), which the task has, or
 * under the mailbox's lock: who peeks at it has not, and somebody may give it one.
 */
static inline void kpost_reception_know(struct kpost_reception *recv,
					const struct kpost_extra *extra)
{
	recv->attempts = extra ? extra->attempts : 0;
	recv->expires = extra ? extra->expires : 0;
	recv->clock = extra ? extra->clock : KPOST_CLOCK_MONOTONIC;
}

/* recv.c */
struct kpost_message *kpost_reception_given(struct kpost_reception *recv,
					    const struct kpost_waiter *receiver, int err);
int kpost_reception_look(struct kpost_reception *recv);
int kpost_reception_fill(struct kpost_reception *recv, struct kpost_message *message,
			 const struct kpost_call_state *call, size_t stored, u64 sequence);
int kpost_reception_bring_in(struct kpost_reception *recv, size_t stored);
int kpost_reception_hold(struct kpost_endpoint *endpoint, struct kpost_reception *recv,
			 struct kpost_message *message, struct kpost_process *process);
void kpost_reception_return_missed(struct kpost_mailbox *mailbox, struct kpost_reception *recv);
bool kpost_receive_rare(struct kpost_endpoint *endpoint, struct kpost_message *message,
			struct kpost_process *process, u64 *sequence, u64 *time);
ssize_t kpost_receive_extra(struct kpost_endpoint *endpoint, struct kpost_reception *recv,
			    struct kpost_message *message, struct kpost_process **process);

/* match.c */
ssize_t kpost_receive_keyed(struct kpost_endpoint *endpoint, struct kpost_reception *recv,
			    struct kpost_message *message, struct kpost_process *process);
ssize_t kpost_receive_match(struct kpost_endpoint *endpoint, struct kpost_reception *recv);

/* peek.c */
ssize_t kpost_peek(struct kpost_endpoint *endpoint, struct kpost_reception *recv, bool match);

#endif /* KPOST_RECEPTION_H */
