/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a receiver is told of a message, and what becomes of the message then, be it one
 * (recv.c) or one of many (batch.c).
 */
#ifndef KPOST_RECV_H
#define KPOST_RECV_H

#include <linux/jiffies.h>
#include <linux/sizes.h>

#include "call.h"
#include "endpoint.h"
#include "hold.h"
#include "room.h"
#include "trace.h"

/* How much memory is looked at before it is known that there is a message for it. */
#define KPOST_SURE_FIRST SZ_4K

bool kpost_message_back(struct kpost_mailbox *mailbox, struct kpost_message *message,
			struct kpost_wakes *wakes);
bool kpost_message_put_back(struct kpost_mailbox *mailbox, struct kpost_message *message);
bool kpost_message_receive(struct kpost_endpoint *endpoint, struct kpost_message *message);

/*
 * With the mailbox's lock held: @message is received, if it is a call by @process.  Whoever
 * receives notes when, once.
 */
static __always_inline void kpost_message_received(struct kpost_endpoint *endpoint,
						   struct kpost_message *message,
						   struct kpost_process *process,
						   struct kpost_wakes *wakes)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;

	mailbox->received++;
	if (message->call)
		kpost_call_received(endpoint, message, process);
	else if (message->sender)
		kpost_waiter_done(message->sender, 0, wakes);
	trace_kpost_receive(mailbox, message);
	kpost_mailbox_give_back(mailbox, message, wakes);
}

/* Something was received from @mailbox, and @own is what of it was not the mailbox's. */
static __always_inline void kpost_mailbox_received(struct kpost_mailbox *mailbox,
						   struct kpost_block *own)
{
	if (unlikely(own)) {
		kpost_kept_add_like(mailbox, own);
		kpost_blocks_free(own);
	}
	if (unlikely(READ_ONCE(mailbox->tight)))
		kpost_kept_trim(mailbox);
}

/*
 * What a receiver is told of @message, field by field.  The flags, the ids, and times by the
 * task's clock are given: they are looked up before user memory is written.
 */
#define kpost_describe_message(set) \
	do { \
		set(message_flags, flags); \
		set(tag, message->tag); \
		set(size, message->size); \
		set(sequence, message->node.order); \
		set(token, hold ? hold->token : call ? call->token : 0); \
		set(reply_max, call ? call->room : 0); \
		set(badge, who->badge); \
		set(time, time); \
		set(call_deadline, deadline); \
		set(priority, message->node.priority); \
		set(pid, pid); \
		set(uid, ids->uid); \
		set(gid, ids->gid); \
		set(opener_uid, ids->opener_uid); \
		set(opener_gid, ids->opener_gid); \
		set(missed, missed); \
		set(attempts, attempts); \
		set(expires, expires); \
	} while (0)

/*
 * Tell it in @op's struct, for which @arg is a place here; @call is that of @message, if the task
 * is to have it, @hold, if given, is what it is to be held with, @attempts were made before, and so
 * many were @missed.  Returns 0 or -EFAULT.
 */
static __always_inline int
kpost_message_tell(const struct kpost_message *message, const struct kpost_call_state *call,
		   const struct kpost_hold *hold, u64 attempts, u64 missed, u64 expires,
		   const struct kpost_operand *op, struct kpost_recv *arg, size_t stored)
{
	const struct kpost_who *who = &message->origin->who;
	u64 time = kpost_time_here(message->time), deadline = 0;
	struct kpost_recv __user *to = op->arg;
	struct kpost_ids space __uninitialized;
	const struct kpost_ids *ids = kpost_who_ids(who, &space);
	u32 flags, pid = kpost_who_pid(who);

	flags = message->flags | who->flags |
		(unlikely(stored < message->size) ? KPOST_MESSAGE_TRUNCATED : 0) |
		(hold ? KPOST_MESSAGE_HELD : 0);
	if (unlikely(call && call->deadline))
		deadline = kpost_deadline_here(call->deadline, call->clock);

	if (unlikely(!kpost_struct_fits(op, sizeof(*to)))) {
#define set_field(field, value) (arg->field = (value))
		kpost_describe_message(set_field);
		return kpost_struct_put_other(op, arg, sizeof(*to));
	}
	if (!kpost_put_begin(to, sizeof(*to)))
		return -EFAULT;
#define put_field(field, value) unsafe_put_user(value, &to->field, fault)
	kpost_describe_message(put_field);
	user_write_access_end();
	return 0;

fault:
	user_write_access_end();
	return -EFAULT;
}

#endif /* KPOST_RECV_H */
