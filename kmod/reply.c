// SPDX-License-Identifier: GPL-2.0-only
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "call.h"
#include "endpoint.h"
#include "hold.h"
#include "payload.h"
#include "recv.h"
#include "trace.h"

static struct kpost_call_state *call_find(struct kpost_endpoint *endpoint, u64 token)
{
	struct rb_node *node = endpoint->calls.rb_node;

	lockdep_assert_held(&endpoint->mailbox->lock);
	while (node) {
		struct kpost_call_state *call = rb_entry(node, struct kpost_call_state, link);

		if (call->token == token)
			return call;
		node = token < call->token ? node->rb_left : node->rb_right;
	}
	return NULL;
}

/*
 * Claim the call that @token stands for, for a reply of @size bytes, or any with
 * -1; *@hold is with what it is held, or NULL.  It stays in the tree, so nobody else can use
 * the token, and nobody frees the call: the claimant holds the endpoint.  @afresh says whether the
 * room has not, or no longer, what @filler has put there.  Returns it or -ENOENT, -EBUSY,
 * -EMSGSIZE, or -EINVAL for a held message that is no call.
 */
static struct kpost_call_state *call_claim(struct kpost_endpoint *endpoint, u64 token, size_t size,
					   const void *filler, bool *afresh,
					   struct kpost_hold **hold)
{
	struct kpost_call_state *call;
	int err = 0;

	spin_lock(&endpoint->mailbox->lock);
	call = call_find(endpoint, token);
	*hold = call ? NULL : kpost_hold_find(endpoint, token);
	if (unlikely(*hold))
		call = (*hold)->message->call;
	if (!call)
		err = *hold ? -EINVAL : -ENOENT;
	else if (call->claimed)
		err = -EBUSY;
	else if (!call->left && size > call->room)
		err = -EMSGSIZE;
	if (!err) {
		call->claimed = true;
		*afresh = call->filler != filler;
		call->filler = filler;
	}
	spin_unlock(&endpoint->mailbox->lock);
	return err ? ERR_PTR(err) : call;
}

/* Give up the claim: the token can be used again, while the process that received it lives. */
static void call_unclaim(struct kpost_endpoint *endpoint, struct kpost_call_state *call)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_message *trash = NULL;
	struct kpost_wakes wakes = {};
	bool orphaned;

	spin_lock(&mailbox->lock);
	call->claimed = false;
	if (call->left)
		trash = kpost_call_shed_room(call);
	orphaned = call->orphaned;
	if (orphaned)
		kpost_call_reset(call, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	if (trash)
		kpost_message_free(trash);
	if (orphaned)
		kpost_call_closed(call);
}

/*
 * The same for one that is held with @hold: only now is its request received.  The caller is told
 * before others are let in: there is room for that in @wakes.
 */
static int call_answer_held(struct kpost_endpoint *endpoint, struct kpost_hold *hold, int result)
{
	struct kpost_message *request = hold->message;
	struct kpost_call_state *call = request->call;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_wakes wakes = {};
	int err = 0;

	spin_lock(&mailbox->lock);
	kpost_hold_take(endpoint, hold);
	request->call = NULL; /* its reference is ours now */
	if (request->withdrawn) {
		err = -ECANCELED;
		mailbox->dropped++;
		kpost_mailbox_give_back(mailbox, request, &wakes);
	} else {
		call->request = NULL;
		call->sequence = request->node.order;
		call->received = true;
		kpost_call_over(call, result, &wakes);
		mailbox->received_at = jiffies;
		kpost_message_received(endpoint, request, NULL, &wakes);
	}
	if (mailbox->keyed)
		kpost_keyed_end(mailbox, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	trace_kpost_reply(mailbox->id, hold->token, err ?: result);
	kpost_message_discard(mailbox, request);
	kpost_hold_free(hold);
	kpost_call_put(call);
	return err;
}

/* Use up the token: the caller gets @result. Returns 0, or -ECANCELED if it has left. */
static int call_answer(struct kpost_endpoint *endpoint, struct kpost_call_state *call, int result)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_wakes wakes __uninitialized;
	int err = 0;

	kpost_wakes_init(&wakes);
	spin_lock(&mailbox->lock);
	kpost_call_unlink(endpoint, call);
	if (call->left)
		err = -ECANCELED;
	else
		kpost_call_over(call, result, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	trace_kpost_reply(mailbox->id, call->token, err ?: result);
	kpost_call_closed(call);
	return err;
}

/* A reply under way: what is to be copied, and how far that is. */
struct replying {
	const struct kpost_payload *from;
	struct kpost_place place;
	u64 __user *used; /* the user's token, to be cleared, if given */
};

/*
 * Go on filling the claimed @call's room, and clear the user's token, without a page
 * fault: one that never ends would keep the room from a caller that leaves.  Returns 0 or
 * -EFAULT.
 */
static int reply_fill(struct kpost_call_state *call, struct replying *replying)
{
	int err = 0;

	pagefault_disable();
	if (call->reply) {
		call->reply->size = replying->from->size;
		err = kpost_message_copy_in(call->reply, replying->from, &replying->place);
	} else {
		/* The caller has left, and nothing is copied any more. */
		replying->place.done = replying->from->size;
	}
	if (!err && replying->used && put_user(0, replying->used))
		err = -EFAULT;
	pagefault_enable();
	return err;
}

/*
 * Bring in what that stopped at, as it is, which may take for ever.  Not all that is left:
 * it may be more than can be there at once.  Returns 0, -EFAULT or -EINTR.
 */
static int reply_bring_in(struct replying *replying)
{
	size_t next = min_t(size_t, replying->from->size - replying->place.done, SZ_128K);

	if (fatal_signal_pending(current))
		return -EINTR;
	if (next && !kpost_place_bring_in(replying->from, &replying->place, next))
		return -EFAULT;
	if (!next && replying->used &&
	    kpost_memory_touch(replying->used, sizeof(u64)) != sizeof(u64))
		return -EFAULT;
	cond_resched();
	return 0;
}

/*
 * Reply as @arg says.  @used, if given, is where the user keeps the token; it is
 * cleared when that is used up, which has to be known to work before.
 */
static long reply(struct kpost_operand *op, const struct kpost_reply *arg, u64 __user *used)
{
	struct kpost_endpoint *endpoint = op->endpoint;
	bool drop = arg->flags & KPOST_DROP, afresh;
	struct kpost_payload payload __uninitialized;
	struct replying replying;
	struct kpost_call_state *call;
	struct kpost_hold *hold;
	long err;

	if (arg->flags & ~(KPOST_IOVEC | KPOST_DROP) || arg->reserved || arg->not_before ||
	    (drop && (arg->flags != KPOST_DROP || arg->buf || arg->len || arg->tag)))
		return -EINVAL;
	err = kpost_payload_import(&payload, arg->buf, arg->len, arg->flags & KPOST_IOVEC,
				   ITER_SOURCE, drop ? NULL : op->fixed);
	if (err)
		return err;
	replying.from = &payload;
	replying.used = used;
	kpost_place_init(&replying.place, &payload);

	do {
		call = call_claim(endpoint, arg->token, payload.size, &replying, &afresh, &hold);
		err = PTR_ERR_OR_ZERO(call);
		if (err)
			break;
		if (afresh)
			kpost_place_init(&replying.place, &payload);
		if (likely(!reply_fill(call, &replying))) {
			if (call->reply) {
				kpost_who_note(&call->replier, endpoint);
				call->reply->tag = arg->tag;
				call->reply->time = ktime_get_coarse_ns();
			}
			if (unlikely(hold))
				err = call_answer_held(endpoint, hold, drop ? -ECONNRESET : 0);
			else
				err = call_answer(endpoint, call, drop ? -ECONNRESET : 0);
			break;
		}
		if (unlikely(hold))
			kpost_hold_unclaimed(endpoint, hold);
		else
			call_unclaim(endpoint, call);
		err = reply_bring_in(&replying);
	} while (!err);
	kpost_payload_release(&payload);
	return err;
}

static long reply_or_end(struct kpost_operand *op, const struct kpost_reply *arg, u64 __user *used)
{
	if (unlikely(arg->flags & (KPOST_DONE | KPOST_RETURN)))
		return kpost_hold_end(op, arg, used);
	return reply(op, arg, used);
}

long kpost_reply(struct kpost_operand *op)
{
	struct kpost_reply arg __uninitialized;
	int err;

	if (!(op->endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	err = kpost_struct_get(op, &arg, not_before);
	return err ?: reply_or_end(op, &arg, NULL);
}

long kpost_reply_recv(struct kpost_operand *op)
{
	struct kpost_reply replied __uninitialized;
	struct kpost_reply_recv arg __uninitialized;
	struct kpost_operand half = *op;
	long err;

	if (!(op->endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	err = kpost_struct_get(op, &arg, recv_size);
	if (err)
		return err;
	if (arg.reply > ULONG_MAX || arg.recv > ULONG_MAX)
		return -EFAULT;
	if (arg.reply_size < KPOST_REPLY_SIZE_1 || arg.reply_size > KPOST_STRUCT_MAX ||
	    arg.recv_size < KPOST_RECV_SIZE_1 || arg.recv_size > KPOST_STRUCT_MAX)
		return -EINVAL;

	half.arg = u64_to_user_ptr(arg.reply);
	half.size = arg.reply_size;
	err = kpost_struct_get(&half, &replied, not_before);
	if (err)
		return err;
	if (replied.flags & KPOST_TOKENS)
		return -EINVAL;
	if (replied.token) {
		struct kpost_reply __user *from = half.arg;

		err = reply_or_end(&half, &replied, &from->token);
		if (err)
			return err;
	}
	half.arg = u64_to_user_ptr(arg.recv);
	half.size = arg.recv_size;
	err = kpost_recv(&half);
	op->dontwait = half.dontwait;
	op->receives = half.receives;
	op->clock = half.clock;
	op->deadline = half.deadline;
	op->cookie = half.cookie;
	return err;
}
