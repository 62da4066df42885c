// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "call.h"
#include "caller.h"
#include "endpoint.h"
#include "payload.h"
#include "process.h"
#include "trace.h"

/* One sequence for all, so that no token is ever good on a second endpoint. */
static atomic64_t last_token = ATOMIC64_INIT(0);

u64 kpost_token_new(void)
{
	return atomic64_inc_return(&last_token);
}

/* Has it room for the reply, and is that apart from its own block? */
static bool room_is_apart(const struct kpost_call_state *call)
{
	return call->reply && call->reply != &call->here;
}

/* What a call counts for: itself, who may have it in the end, and room of @size bytes. */
static size_t call_cost(size_t size)
{
	return offsetof(struct kpost_call_state, here) + sizeof(struct kpost_caller) +
	       kpost_message_cost(size);
}

void kpost_call_put(struct kpost_call_state *call)
{
	if (!refcount_dec_and_test(&call->refs))
		return;
	if (room_is_apart(call))
		kpost_message_free(call->reply);
	put_pid(call->replier.pid);
	kpost_uncharge(&call->charge);
	kfree(call);
}

/*
 * @op's call with @room bytes for its reply, charged to @charge, or -ENOMEM, -EINTR.  Not zeroed:
 * half of it is the room.
 */
static struct kpost_call_state *call_new(const struct kpost_operand *op, size_t room,
					 const struct kpost_charge *charge, u64 token)
{
	struct kpost_call_state *call = kmalloc(KPOST_CALL_BLOCK, GFP_KERNEL_ACCOUNT);
	struct kpost_message *reply;

	if (!call)
		return ERR_PTR(-ENOMEM);
	if (likely(room <= KPOST_CALL_ROOM_HERE)) {
		reply = &call->here;
		kpost_message_init(reply, room, 0, false, true);
	} else {
		reply = kpost_message_alloc(room);
		if (IS_ERR(reply)) {
			kfree(call);
			return ERR_CAST(reply);
		}
	}
	refcount_set(&call->refs, 1);
	call->token = token;
	call->room = room;
	call->deadline = 0;
	if (op->deadline)
		call->deadline = max_t(u64, kpost_deadline_on_host(op->deadline, op->clock), 1);
	call->clock = op->clock;
	call->submitted = false;
	call->retry = false;
	call->charge = *charge;
	INIT_LIST_HEAD(&call->of_process);
	call->request = NULL;
	call->sequence = 0;
	call->received = false;
	call->claimed = false;
	call->orphaned = false;
	call->left = false;
	call->over = false;
	call->result = 0;
	call->waiter = NULL;
	call->caller = NULL;
	INIT_LIST_HEAD(&call->ready);
	call->taken = false;
	call->filler = NULL;
	call->reply = reply;
	call->replier.pid = NULL;
	return call;
}

/*
 * A call, with @op's deadline and @room bytes for its reply, whose id is written to @id, if given,
 * and in *@built its request, to be committed.  The caller has a reference, and so has the message.
 * Returns it or -EMSGSIZE, -EDQUOT, -ENOBUFS, -ENOMEM, -EINTR, -EFAULT.
 */
struct kpost_call_state *kpost_call_build(const struct kpost_operand *op,
					  const struct kpost_payload *request, size_t room,
					  u32 priority, u64 tag, u64 __user *id,
					  struct kpost_message **built)
{
	struct kpost_endpoint *endpoint = op->endpoint;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	u64 token = kpost_token_new();
	struct kpost_charge charge __uninitialized;
	struct kpost_message *message;
	struct kpost_call_state *call;
	size_t counts = 0;
	int err;

	if (request->size > mailbox->message_max || room > KPOST_PAYLOAD_MAX)
		return ERR_PTR(-EMSGSIZE);
	if (kpost_payload_counts(request))
		counts = kpost_message_cost(request->size);
	/*
	 * All in one, for as long as the receiver keeps it, even when the caller has left: to give
	 * back a part since there was not enough for another would tell those who poll for it that
	 * they may try again.
	 */
	err = kpost_endpoint_charge(endpoint, &charge, call_cost(room) + counts, false);
	if (err)
		return ERR_PTR(err);
	call = call_new(op, room, &charge, token);
	if (IS_ERR(call)) {
		kpost_uncharge(&charge);
		return call;
	}
	/* While no block of the mailbox is held: it may take for ever. */
	err = -EFAULT;
	if (id && put_user(token, id))
		goto err_call;
	message = kpost_message_build(endpoint, request, priority, tag, false);
	err = PTR_ERR_OR_ZERO(message);
	if (err)
		goto err_call;
	if (counts)
		kpost_message_count(message, kpost_charge_split(&call->charge, counts));
	message->call = call;
	message->flags = KPOST_MESSAGE_CALL;
	refcount_inc(&call->refs);
	call->request = message;
	trace_kpost_call(mailbox->id, token, message->size);
	*built = message;
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
	call->request = NULL;
	call->sequence = message->node.order;
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

void kpost_call_unlink(struct kpost_endpoint *endpoint, struct kpost_call_state *call)
{
	lockdep_assert_held(&endpoint->mailbox->lock);
	call_leave_process(call);
	rb_erase(&call->link, &endpoint->calls);
	endpoint->open_calls--;
	endpoint->mailbox->open_calls--;
}

/* It was unlinked, and the tree's reference is dropped, without the lock. */
void kpost_call_closed(struct kpost_call_state *call)
{
	kpost_process_put(call->process);
	kpost_call_put(call);
}

/*
 * @call, which nobody has left, is over with @result: who waits for that is told, or it can be
 * collected.  @wakes is not full.
 */
void kpost_call_over(struct kpost_call_state *call, int result, struct kpost_wakes *wakes)
{
	struct kpost_waiter *waiter = call->waiter;

	call->over = true;
	call->result = result;
	if (likely(waiter)) {
		call->waiter = NULL;
		if (call->submitted)
			kpost_caller_take(call);
		kpost_waiter_done(waiter, result, wakes);
	} else if (call->submitted) {
		kpost_caller_offer(call, false, wakes);
	}
}

/* @request is dropped, and was never received. */
void kpost_call_dropped(struct kpost_call_state *call, struct kpost_message *request,
			struct kpost_wakes *wakes)
{
	call->request = NULL;
	call->sequence = request->node.order;
	/* Who still waits for room has not submitted it. */
	if (!call->left && !request->sender)
		kpost_call_over(call, -EPIPE, wakes);
}

/*
 * Nobody needs the room for the reply to @call.  Returns it if it is apart, to be discarded once
 * the lock is dropped, or NULL.
 */
struct kpost_message *kpost_call_shed_room(struct kpost_call_state *call)
{
	struct kpost_message *room = room_is_apart(call) ? call->reply : NULL;

	call->reply = NULL;
	if (room)
		kpost_message_count(room, kpost_charge_split(&call->charge,
							     kpost_message_cost(room->room)));
	return room;
}

/*
 * Nobody wants the reply to @call any more.  Returns what is to be discarded once the lock is
 * dropped, or NULL.
 */
struct kpost_message *kpost_call_leave(struct kpost_mailbox *mailbox, struct kpost_call_state *call,
				       struct kpost_wakes *wakes)
{
	struct kpost_message *request = call->request, *trash = NULL;

	lockdep_assert_held(&mailbox->lock);
	call->left = true;
	call->waiter = NULL;
	if (request) {
		call->request = NULL;
		call->sequence = request->node.order;
		/* A receiver may keep the request for long, but not the room with it. */
		if (!kpost_message_in_hands(request))
			trash = request;
		else if (!call->claimed)
			trash = kpost_call_shed_room(call);
		kpost_message_withdraw(mailbox, request, wakes);
	} else if (!call->claimed) {
		trash = kpost_call_shed_room(call);
	}
	return trash;
}

/* Whoever wants the reply to @call waits in vain. */
void kpost_call_reset(struct kpost_call_state *call, struct kpost_wakes *wakes)
{
	kpost_call_unlink(call->endpoint, call);
	if (!call->left)
		kpost_call_over(call, -ECONNRESET, wakes);
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
			kpost_call_reset(call, &wakes);
		}
		kpost_mailbox_unlock(mailbox, &wakes);
		if (call)
			kpost_call_closed(call);
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
			kpost_call_reset(call, &wakes);
		} else {
			call_leave_process(call);
			call->orphaned = true;
		}
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	if (gone)
		kpost_call_closed(call);
	kpost_call_put(call);
	kpost_mailbox_put(mailbox);
	put_net(net);
	return true;
}

/* ---- what is told of a call ----------------------------------------------------------- */

#define assert_ends(type) \
	static_assert(sizeof(type) == offsetof(type, sequence) + sizeof(struct kpost_outcome) && \
		      sizeof(type) == offsetofend(type, opener_gid) && \
		      offsetof(type, message_flags) - offsetof(type, sequence) == \
			      offsetof(struct kpost_outcome, message_flags))
assert_ends(struct kpost_call);
assert_ends(struct kpost_call_collect);

/* Nobody has replied, or given the call up. */
static noinline void outcome_of_nobody(struct kpost_outcome *outcome)
{
	struct user_namespace *ns = current_user_ns();

	outcome->reply_tag = 0;
	outcome->badge = 0;
	outcome->time = 0;
	outcome->pid = 0;
	outcome->uid = from_kuid_munged(ns, INVALID_UID);
	outcome->gid = from_kgid_munged(ns, INVALID_GID);
	outcome->opener_uid = outcome->uid;
	outcome->opener_gid = outcome->gid;
}

/* Of @call, which is over, or was left, or never sent. */
void kpost_outcome_describe(struct kpost_outcome *outcome, const struct kpost_call_state *call)
{
	const struct kpost_who *who = &call->replier;
	const struct kpost_ids *ids;
	struct kpost_ids space;

	outcome->sequence = call->sequence;
	outcome->message_flags = call->received ? KPOST_MESSAGE_RECEIVED : 0;
	/* What a replier does to a call that was left it does not tell. */
	if (unlikely(!call->over || !who->pid)) {
		outcome_of_nobody(outcome);
		return;
	}
	ids = kpost_who_ids(who, &space);
	outcome->message_flags |= who->flags;
	outcome->reply_tag = call->reply->tag;
	outcome->badge = who->badge;
	outcome->time = kpost_time_here(call->reply->time);
	outcome->pid = kpost_who_pid(who);
	outcome->uid = ids->uid;
	outcome->gid = ids->gid;
	outcome->opener_uid = ids->opener_uid;
	outcome->opener_gid = ids->opener_gid;
}
