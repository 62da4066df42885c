// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "call.h"
#include "endpoint.h"
#include "payload.h"
#include "process.h"
#include "trace.h"

/* One sequence for all, so that no token is ever good on a second endpoint. */
static atomic64_t last_token = ATOMIC64_INIT(0);

void kpost_call_put(struct kpost_call_state *call)
{
	if (!refcount_dec_and_test(&call->refs))
		return;
	if (call->reply)
		kpost_message_free(call->reply);
	put_pid(call->replier.pid);
	kpost_process_put(call->process);
	kpost_uncharge(&call->charge);
	kfree(call);
}

/*
 * A call with @room bytes for its reply, or -EDQUOT, -ENOBUFS, -ENOMEM, -EINTR.  All that it
 * counts for is charged in one, with @more: to give back a part since there was not enough
 * for another would tell those who poll for it that they may try again.
 */
static struct kpost_call_state *call_alloc(struct kpost_endpoint *endpoint, size_t room,
					   size_t more)
{
	struct kpost_message *reply;
	struct kpost_call_state *call;
	int err;

	call = kzalloc(sizeof(*call), GFP_KERNEL_ACCOUNT);
	if (!call)
		return ERR_PTR(-ENOMEM);
	refcount_set(&call->refs, 1);
	INIT_LIST_HEAD(&call->of_process);

	/* For as long as the receiver keeps it, even when the caller has left. */
	err = kpost_endpoint_charge(endpoint, &call->charge,
				    sizeof(*call) + kpost_message_cost(room) + more, false);
	if (err)
		goto err_call;
	reply = kpost_message_alloc(room);
	err = PTR_ERR_OR_ZERO(reply);
	if (err)
		goto err_call;
	reply->account = kpost_charge_split(&call->charge, kpost_message_cost(room));
	call->reply = reply;
	call->room = room;
	call->token = atomic64_inc_return(&last_token);
	return call;

err_call:
	kpost_call_put(call);
	return ERR_PTR(err);
}

/*
 * The request was received through @endpoint, which now leads to the call, by @process.
 */
void kpost_call_received(struct kpost_endpoint *endpoint, struct kpost_message *message,
			 struct kpost_process *process)
{
	struct rb_node **link = &endpoint->calls.rb_node, *parent = NULL;
	struct kpost_call_state *call = message->call;

	lockdep_assert_held(&endpoint->mailbox->lock);
	while (*link) {
		parent = *link;
		if (call->token < rb_entry(parent, struct kpost_call_state, link)->token)
			link = &parent->rb_left;
		else
			link = &parent->rb_right;
	}
	rb_link_node(&call->link, parent, link);
	rb_insert_color(&call->link, &endpoint->calls);
	endpoint->open_calls++;
	endpoint->mailbox->open_calls++;
	call->caller = message->sender;
	call->received = true;
	call->endpoint = endpoint;
	call->process = process;
	refcount_inc(&process->refs);
	spin_lock(&process->lock);
	list_add_tail(&call->of_process, &process->calls);
	spin_unlock(&process->lock);
	message->call = NULL; /* its reference is the tree's now */
}

static void call_leave_process(struct kpost_call_state *call)
{
	spin_lock(&call->process->lock);
	list_del_init(&call->of_process);
	spin_unlock(&call->process->lock);
}

static void call_unlink(struct kpost_endpoint *endpoint, struct kpost_call_state *call)
{
	lockdep_assert_held(&endpoint->mailbox->lock);
	call_leave_process(call);
	rb_erase(&call->link, &endpoint->calls);
	endpoint->open_calls--;
	endpoint->mailbox->open_calls--;
}

/* Whoever waits for the reply to @call waits in vain. */
static void call_reset(struct kpost_call_state *call, struct kpost_wakes *wakes)
{
	call_unlink(call->endpoint, call);
	if (call->caller)
		kpost_waiter_done(call->caller, -ECONNRESET, wakes);
}

/* The endpoint goes, and all that was received through it is reset. */
void kpost_calls_reset(struct kpost_endpoint *endpoint)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct rb_node *first;

	do {
		struct kpost_wakes wakes = {};
		struct kpost_call_state *call = NULL;

		spin_lock(&mailbox->lock);
		first = rb_first(&endpoint->calls);
		if (first) {
			call = rb_entry(first, struct kpost_call_state, link);
			call_reset(call, &wakes);
		}
		kpost_mailbox_unlock(mailbox, &wakes);
		if (call)
			kpost_call_put(call);
		cond_resched();
	} while (first);
}

/*
 * @process has ended: reset the first of its calls, but if somebody else is about to reply to it
 * leave it to them.  Returns whether there was one.
 */
bool kpost_call_reset_first(struct kpost_process *process)
{
	struct kpost_call_state *call;
	struct kpost_wakes wakes = {};
	struct kpost_mailbox *mailbox;
	struct net *net;
	bool gone = false;

	/* As long as a call is in the list, its endpoint holds what leads to the mailbox. */
	spin_lock(&process->lock);
	call = list_first_entry_or_null(&process->calls, struct kpost_call_state, of_process);
	if (call) {
		refcount_inc(&call->refs);
		net = get_net(call->endpoint->net);
		mailbox = call->endpoint->mailbox;
		kpost_mailbox_get(mailbox);
	}
	spin_unlock(&process->lock);
	if (!call)
		return false;

	spin_lock(&mailbox->lock);
	/* It may have been answered, or its endpoint been closed. */
	if (!list_empty(&call->of_process)) {
		gone = !call->claimed;
		if (gone) {
			call_reset(call, &wakes);
		} else {
			call_leave_process(call);
			call->orphaned = true;
		}
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	if (gone)
		kpost_call_put(call);
	kpost_call_put(call);
	kpost_mailbox_put(mailbox);
	put_net(net);
	return true;
}

/*
 * The caller leaves with @err before it was answered.  Returns what to tell it,
 * and in @trash what is to be freed once the lock is dropped.
 */
static int call_abandon(struct kpost_mailbox *mailbox, struct kpost_call_state *call,
			struct kpost_message *request, int err, struct kpost_message **trash,
			struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	*trash = NULL;
	if (!call->received) {
		/* A receiver may keep the request for long, but not the room with it. */
		if (request->state != KPOST_TAKEN)
			*trash = request;
		else
			swap(*trash, call->reply);
		kpost_message_withdraw(mailbox, request, wakes);
		return err;
	}
	call->caller = NULL;
	if (!call->claimed)
		swap(*trash, call->reply);
	/* It cannot be sent again: the receiver may be at work on it. */
	return err == -ERESTARTSYS ? -EINTR : err;
}

/* Who replied to a call, or gave it up: nobody so far. */
static void describe_nobody(struct kpost_call *arg)
{
	struct user_namespace *ns = current_user_ns();

	arg->sequence = 0;
	arg->reply_tag = 0;
	arg->badge = 0;
	arg->time = 0;
	arg->message_flags = 0;
	arg->pid = 0;
	arg->uid = from_kuid_munged(ns, INVALID_UID);
	arg->gid = from_kgid_munged(ns, INVALID_GID);
	arg->opener_uid = arg->uid;
	arg->opener_gid = arg->gid;
}

/* Or who it was: the reply is the caller's by now. */
static void describe_replier(const struct kpost_call_state *call, struct kpost_call *arg)
{
	const struct kpost_who *who = &call->replier;
	const struct kpost_ids *ids;
	struct kpost_ids space;

	if (!who->pid)
		return;
	ids = kpost_who_ids(who, &space);
	arg->message_flags |= who->flags;
	arg->reply_tag = call->reply->tag;
	arg->badge = who->badge;
	arg->time = kpost_time_here(call->reply->time);
	arg->pid = kpost_who_pid(who);
	arg->uid = ids->uid;
	arg->gid = ids->gid;
	arg->opener_uid = ids->opener_uid;
	arg->opener_gid = ids->opener_gid;
}

/*
 * Send @request as @arg says, wait for its reply, and note in @arg what became of it.
 * Returns 0 if call->reply has the reply.
 */
static int call_message(struct kpost_endpoint *endpoint, struct kpost_call_state *call,
			struct kpost_message *request, struct kpost_call *arg)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_message *trash = NULL;
	struct kpost_wakes wakes = {};
	struct kpost_waiter caller __uninitialized;
	bool left = false;
	u64 sequence;
	int err;

	if (kpost_deadline_passed(arg->deadline))
		err = -ETIMEDOUT;
	else
		err = kpost_message_commit(endpoint, request, &caller, false, &sequence);
	if (err < 0) {
		kpost_message_discard(mailbox, request);
		return err;
	}
	err = kpost_waiter_wait(&caller, arg->deadline);
	if (err) {
		spin_lock(&mailbox->lock);
		if (caller.done) {
			err = 0;
		} else {
			left = true;
			if (call->received)
				arg->message_flags |= KPOST_MESSAGE_RECEIVED;
			err = call_abandon(mailbox, call, request, err, &trash, &wakes);
		}
		kpost_mailbox_unlock(mailbox, &wakes);
		if (trash)
			kpost_message_discard(mailbox, trash);
	}
	arg->sequence = caller.sequence;
	if (left)
		return err;
	/* Nobody else has the room for the reply, and whether there was a receiver is settled. */
	if (call->received)
		arg->message_flags |= KPOST_MESSAGE_RECEIVED;
	describe_replier(call, arg);
	return caller.result;
}

static long call_and_store(const struct kpost_operand *op, struct kpost_call *arg,
			   struct kpost_payload *request, struct kpost_payload *room)
{
	struct kpost_endpoint *endpoint = op->endpoint;
	struct kpost_message *message;
	struct kpost_call_state *call;
	struct kpost_place place __uninitialized;
	size_t counts = 0;
	long ret;

	if (request->size > endpoint->mailbox->message_max)
		return -EMSGSIZE;
	if (kpost_payload_counts(request))
		counts = kpost_message_cost(request->size);
	call = call_alloc(endpoint, room->size, counts);
	if (IS_ERR(call))
		return PTR_ERR(call);
	message = kpost_message_build(endpoint, request, arg->priority, arg->tag, false);
	ret = PTR_ERR_OR_ZERO(message);
	if (ret)
		goto out;
	if (counts)
		message->account = kpost_charge_split(&call->charge, counts);
	message->call = call;
	message->flags = KPOST_MESSAGE_CALL;
	refcount_inc(&call->refs);
	if (arg->deadline)
		call->deadline = max_t(u64, kpost_deadline_on_host(arg->deadline), 1);

	trace_kpost_call(endpoint->mailbox->id, call->token, message->size);
	describe_nobody(arg);
	ret = call_message(endpoint, call, message, arg);
	if (!ret) {
		kpost_place_init(&place, room);
		ret = kpost_message_copy_out(call->reply, room, &place, call->reply->size);
		if (!ret)
			ret = call->reply->size;
	}
	/* If that fails now, it is what is told that is lost, and nothing else. */
	(void)kpost_struct_put(op, arg, sizeof(*arg));
out:
	kpost_call_put(call);
	return ret;
}

long kpost_call(struct kpost_operand *op)
{
	struct kpost_payload request __uninitialized, room __uninitialized;
	struct kpost_call arg __uninitialized;
	long ret;

	if (!(op->endpoint->rights & KPOST_RIGHT_SEND))
		return -EBADF;
	ret = kpost_struct_get_back(op, &arg, cookie);
	if (ret)
		return ret;
	if (arg.flags & ~(KPOST_IOVEC | KPOST_REPLY_IOVEC) || arg.priority > KPOST_PRIORITY_MAX ||
	    arg.deadline > S64_MAX || arg.cookie)
		return -EINVAL;
	if (op->nowait)
		return -EAGAIN;

	ret = kpost_payload_import(&request, arg.buf, arg.len, arg.flags & KPOST_IOVEC, ITER_SOURCE,
				   op->fixed);
	if (ret)
		return ret;
	ret = kpost_payload_import(&room, arg.reply_buf, arg.reply_len,
				   arg.flags & KPOST_REPLY_IOVEC, ITER_DEST, NULL);
	if (ret)
		goto out_request;
	ret = -EMSGSIZE;
	if (room.size > KPOST_PAYLOAD_MAX)
		goto out_room;
	/* Better now than when the request has had its effect. */
	ret = -EFAULT;
	if (kpost_payload_touch(&room, room.size) == room.size)
		ret = call_and_store(op, &arg, &request, &room);
out_room:
	kpost_payload_release(&room);
out_request:
	kpost_payload_release(&request);
	return ret;
}

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
 * -1.  It stays in the tree, so nobody else can use the token, and nobody frees
 * the call: the claimant holds the endpoint.  @afresh says whether the room has not,
 * or no longer, what @filler has put there.  Returns it or -ENOENT, -EBUSY, -EMSGSIZE.
 */
static struct kpost_call_state *call_claim(struct kpost_endpoint *endpoint, u64 token, size_t size,
					   const void *filler, bool *afresh)
{
	struct kpost_call_state *call;
	int err = 0;

	spin_lock(&endpoint->mailbox->lock);
	call = call_find(endpoint, token);
	if (!call)
		err = -ENOENT;
	else if (call->claimed)
		err = -EBUSY;
	else if (call->caller && size > call->room)
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
	if (!call->caller)
		swap(trash, call->reply);
	orphaned = call->orphaned;
	if (orphaned)
		call_reset(call, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	if (trash)
		kpost_message_free(trash);
	if (orphaned)
		kpost_call_put(call);
}

/* Use up the token: the caller gets @result. Returns 0, or -ECANCELED if it has left. */
static int call_answer(struct kpost_endpoint *endpoint, struct kpost_call_state *call, int result)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_wakes wakes = {};
	int err = 0;

	spin_lock(&mailbox->lock);
	call_unlink(endpoint, call);
	if (call->caller)
		kpost_waiter_done(call->caller, result, &wakes);
	else
		err = -ECANCELED;
	kpost_mailbox_unlock(mailbox, &wakes);
	trace_kpost_reply(mailbox->id, call->token, err ?: result);
	kpost_call_put(call);
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
	long err;

	if (arg->flags & ~(KPOST_IOVEC | KPOST_DROP) || arg->reserved ||
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
		call = call_claim(endpoint, arg->token, payload.size, &replying, &afresh);
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
			err = call_answer(endpoint, call, drop ? -ECONNRESET : 0);
			break;
		}
		call_unclaim(endpoint, call);
		err = reply_bring_in(&replying);
	} while (!err);
	kpost_payload_release(&payload);
	return err;
}

long kpost_reply(struct kpost_operand *op)
{
	struct kpost_reply arg __uninitialized;
	int err;

	if (!(op->endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	err = kpost_struct_get(op, &arg, tag);
	return err ?: reply(op, &arg, NULL);
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
	err = kpost_struct_get(&half, &replied, tag);
	if (err)
		return err;
	if (replied.token) {
		struct kpost_reply __user *from = half.arg;

		err = reply(&half, &replied, &from->token);
		if (err)
			return err;
	}
	half.arg = u64_to_user_ptr(arg.recv);
	half.size = arg.recv_size;
	err = kpost_recv(&half);
	op->dontwait = half.dontwait;
	return err;
}
