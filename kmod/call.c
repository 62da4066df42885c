// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "call.h"
#include "caller.h"
#include "endpoint.h"
#include "park.h"
#include "payload.h"
#include "process.h"
#include "trace.h"

/* One sequence for all, so that no token is ever good on a second endpoint. */
static atomic64_t last_token = ATOMIC64_INIT(0);

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
 * A call with @room bytes for its reply, charged to @charge, or -ENOMEM, -EINTR.  Not zeroed: half
 * of it is the room.
 */
static struct kpost_call_state *call_new(size_t room, const struct kpost_charge *charge, u64 token,
					 u64 deadline)
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
	call->deadline = deadline ? max_t(u64, kpost_deadline_on_host(deadline), 1) : 0;
	call->submitted = false;
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
 * A call with @room bytes for its reply, whose id is written to @id, if given, and in *@built its
 * request, to be committed.  The caller has a reference, and so has the message.  Returns it or
 * -EMSGSIZE, -EDQUOT, -ENOBUFS, -ENOMEM, -EINTR, -EFAULT.
 */
struct kpost_call_state *kpost_call_build(struct kpost_endpoint *endpoint,
					  const struct kpost_payload *request, size_t room,
					  u32 priority, u64 tag, u64 deadline, u64 __user *id,
					  struct kpost_message **built)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	u64 token = atomic64_inc_return(&last_token);
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
	call = call_new(room, &charge, token, deadline);
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
		message->account = kpost_charge_split(&call->charge, counts);
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
		room->account = kpost_charge_split(&call->charge, kpost_message_cost(room->room));
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
		if (request->state != KPOST_TAKEN)
			trash = request;
		else
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

/* ---- KPOST_IOC_CALL ----------------------------------------------------------------- */

/*
 * Wait until @call is over.  Returns 0 then; 1 if a signal came and it goes on, and is no longer
 * the task's; or -ETIMEDOUT, -EINTR, -ERESTARTSYS, -ECANCELED, -ENOMEM if nobody wants it any
 * more.  What was not sent yet, for want of room, does not go on without its sender.
 */
static int call_wait(struct kpost_operand *op, struct kpost_call_state *call,
		     struct kpost_waiter *waiter, u64 deadline, struct kpost_outcome *outcome)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	struct kpost_caller *caller = NULL;
	struct kpost_message *trash = NULL;
	struct kpost_wakes wakes = {};
	bool sent;
	int err;

	err = kpost_waiter_wait(waiter, deadline, op);
	if (likely(!err))
		return 0;
	if (err == -ERESTARTSYS && !fatal_signal_pending(current) &&
	    (!op->ring || test_thread_flag(TIF_SIGPENDING)))
		caller = kpost_caller_get(op->endpoint);
	spin_lock(&mailbox->lock);
	sent = !call->request || call->request->state != KPOST_PENDING;
	if (waiter->done) {
		err = 0;
	} else if (caller && sent) {
		call->waiter = NULL;
		kpost_caller_add(caller, call);
		err = 1;
	} else {
		/* It is not sent again, which it might be as something else. */
		if (sent && err == -ERESTARTSYS)
			err = -EINTR;
		trash = kpost_call_leave(mailbox, call, &wakes);
		kpost_outcome_describe(outcome, call);
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	if (caller) {
		spin_lock(&mailbox->lock);
		kpost_caller_unlock(mailbox, caller);
	}
	if (trash)
		kpost_message_discard(mailbox, trash);
	return err;
}

/* Send the request.  Returns as call_wait() does, or what a commit may fail with. */
static int call_send(struct kpost_operand *op, struct kpost_call_state *call,
		     struct kpost_message *request, u64 deadline, struct kpost_outcome *outcome)
{
	struct kpost_waiter waiter __uninitialized;
	u64 sequence;
	int err;

	kpost_waiter_init(&waiter);
	call->waiter = &waiter;
	if (kpost_deadline_passed(deadline))
		err = -ETIMEDOUT;
	else
		err = kpost_message_commit(op->endpoint, request, NULL, false, &sequence);
	if (unlikely(err < 0)) {
		kpost_message_discard(op->endpoint->mailbox, request);
		kpost_outcome_describe(outcome, call);
		return err;
	}
	/* Lets its receiver run, if that is to run here: it may reply before there is a sleep. */
	cond_resched();
	return call_wait(op, call, &waiter, deadline, outcome);
}

/*
 * Wait for the reply of the call that goes on, which is the task's then.  Returns as call_wait()
 * does, or -ENOENT, -EAGAIN, -EMSGSIZE with *@resumed NULL.
 */
static int call_resume(struct kpost_operand *op, const struct kpost_call *arg, size_t room,
		       struct kpost_call_state **resumed, struct kpost_outcome *outcome)
{
	struct kpost_endpoint *endpoint = op->endpoint;
	struct kpost_waiter waiter __uninitialized;
	struct kpost_process *process = NULL;
	struct kpost_call_state *call;
	bool over = false;
	int err = 0;

	kpost_waiter_init(&waiter);
	spin_lock(&endpoint->mailbox->lock);
	call = kpost_caller_call(kpost_caller_find(endpoint), arg->id, false);
	if (!call) {
		err = -ENOENT;
	} else if (call->room > room) {
		err = -EMSGSIZE;
	} else if (!call->over && op->nowait) {
		err = -EAGAIN;
	} else {
		over = call->over;
		process = kpost_caller_remove(call);
		if (!over)
			call->waiter = &waiter;
	}
	spin_unlock(&endpoint->mailbox->lock);
	kpost_process_put(process);
	*resumed = err ? NULL : call;
	return err || over ? err : call_wait(op, call, &waiter, arg->deadline, outcome);
}

/*
 * @call has ended with @ret: 0 if it is over, or why nobody wants it any more.  Tell of it, and
 * store its reply in @room.  Returns bytes or -errno.
 */
static long call_store(const struct kpost_operand *op, struct kpost_call *arg,
		       const struct kpost_call_state *call, const struct kpost_payload *room,
		       long ret)
{
	struct kpost_place place __uninitialized;

	if (likely(!ret)) {
		kpost_outcome_describe((struct kpost_outcome *)&arg->sequence, call);
		ret = call->result;
		if (!ret) {
			kpost_place_init(&place, room);
			ret = kpost_message_copy_out(call->reply, room, &place, call->reply->size);
			if (!ret)
				ret = call->reply->size;
		}
	}
	/* If that fails now, it is what is told that is lost, and nothing else. */
	arg->id = 0;
	(void)kpost_struct_put(op, arg, sizeof(*arg));
	return ret;
}

/* Describe in *@room where the reply goes.  Returns 0; or -EFAULT, -EMSGSIZE, -EINVAL, -ENOMEM. */
static long call_import_room(const struct kpost_call *arg, struct kpost_payload *room)
{
	long ret = kpost_payload_import(room, arg->reply_buf, arg->reply_len,
					arg->flags & KPOST_REPLY_IOVEC, ITER_DEST, NULL);

	if (ret)
		return ret;
	if (room->size > KPOST_PAYLOAD_MAX)
		ret = -EMSGSIZE;
	/* Better now than when the request has had its effect. */
	else if (kpost_payload_touch(room, room->size) != room->size)
		ret = -EFAULT;
	if (ret)
		kpost_payload_release(room);
	return ret;
}

static long call_and_store(struct kpost_operand *op, struct kpost_call *arg,
			   const struct kpost_payload *request, struct kpost_payload *room)
{
	struct kpost_outcome *outcome = (struct kpost_outcome *)&arg->sequence;
	struct kpost_call __user *to = op->arg;
	struct kpost_message *message;
	struct kpost_call_state *call;
	long ret;

	if (unlikely(arg->id)) {
		ret = call_resume(op, arg, room->size, &call, outcome);
		if (!call) {
			if (ret == -ENOENT)
				(void)put_user(0, &to->id);
			return ret;
		}
	} else {
		call = kpost_call_build(op->endpoint, request, room->size, arg->priority, arg->tag,
					arg->deadline, &to->id, &message);
		if (IS_ERR(call)) {
			(void)put_user(0, &to->id);
			return PTR_ERR(call);
		}
		ret = call_send(op, call, message, arg->deadline, outcome);
	}
	if (unlikely(ret > 0))
		return -ERESTARTSYS;
	ret = call_store(op, arg, call, room, ret);
	kpost_call_put(call);
	return ret;
}

/* ---- the same without a task ---------------------------------------------------------- */

struct parked_call {
	struct kpost_parked parked;
	struct kpost_call_state *call;
	struct kpost_call arg;
	struct kpost_payload room;
};

static struct kpost_message *parked_call_withdraw(struct kpost_parked *parked,
						  struct kpost_wakes *wakes)
{
	struct parked_call *waiting = container_of(parked, struct parked_call, parked);

	return kpost_call_leave(parked->endpoint->mailbox, waiting->call, wakes);
}

static long parked_call_end(struct kpost_parked *parked, bool dead, unsigned int issue_flags)
{
	struct parked_call *waiting = container_of(parked, struct parked_call, parked);
	struct kpost_operand op = {
		.arg = parked->arg,
		.size = _IOC_SIZE(parked->operation),
	};
	struct kpost_call_state *call = waiting->call;
	/* As it is over, or as it was given up. */
	long ret = call->left ? parked->waiter.result : 0;

	if (dead) {
		ret = -ECANCELED;
	} else {
		if (ret)
			kpost_outcome_describe((struct kpost_outcome *)&waiting->arg.sequence,
					       call);
		ret = call_store(&op, &waiting->arg, call, &waiting->room, ret);
	}
	kpost_payload_release(&waiting->room);
	kpost_call_put(call);
	return ret;
}

static const struct kpost_parked_kind call_kind = {
	.withdraw = parked_call_withdraw,
	.end = parked_call_end,
};

/*
 * Make the call, and have it wait without a task: -EIOCBQUEUED then.  Else as call_and_store()
 * does, or -ENOMEM.
 */
static long call_park(struct kpost_operand *op, const struct kpost_call *arg,
		      const struct kpost_payload *request)
{
	struct kpost_parked *parked = kpost_parked_new(op, sizeof(struct parked_call), &call_kind);
	struct kpost_call __user *to = op->arg;
	struct kpost_message *message;
	struct parked_call *waiting;
	u64 sequence;
	long ret;

	if (!parked)
		return -ENOMEM;
	waiting = container_of(parked, struct parked_call, parked);
	waiting->arg = *arg;
	ret = call_import_room(arg, &waiting->room);
	if (ret)
		goto err_parked;
	waiting->call = kpost_call_build(op->endpoint, request, waiting->room.size, arg->priority,
					 arg->tag, arg->deadline, &to->id, &message);
	if (IS_ERR(waiting->call)) {
		(void)put_user(0, &to->id);
		ret = PTR_ERR(waiting->call);
		goto err_room;
	}
	waiting->call->waiter = &parked->waiter;
	if (kpost_deadline_passed(arg->deadline))
		ret = -ETIMEDOUT;
	else
		ret = kpost_message_commit(op->endpoint, message, NULL, false, &sequence);
	if (ret < 0) {
		kpost_message_discard(op->endpoint->mailbox, message);
		kpost_outcome_describe((struct kpost_outcome *)&waiting->arg.sequence,
				       waiting->call);
		ret = call_store(op, &waiting->arg, waiting->call, &waiting->room, ret);
		kpost_call_put(waiting->call);
		goto err_room;
	}
	kpost_parked_start(parked, op->issue_flags);
	return -EIOCBQUEUED;

err_room:
	kpost_payload_release(&waiting->room);
err_parked:
	kpost_parked_free(parked);
	return ret;
}

long kpost_call(struct kpost_operand *op)
{
	struct kpost_payload request __uninitialized, room __uninitialized;
	struct kpost_call arg __uninitialized;
	long ret;

	if (!(op->endpoint->rights & KPOST_RIGHT_SEND))
		return -EBADF;
	ret = kpost_struct_get_back(op, &arg, id);
	if (ret)
		return ret;
	if (arg.flags & ~(KPOST_IOVEC | KPOST_REPLY_IOVEC) || arg.priority > KPOST_PRIORITY_MAX ||
	    arg.deadline > S64_MAX)
		return -EINVAL;
	op->deadline = arg.deadline;
	op->cookie = arg.cookie;
	if (op->nowait && !arg.id && !kpost_parks(op))
		return -EAGAIN;

	/* What goes on has sent it. */
	if (unlikely(arg.id))
		ret = kpost_payload_import(&request, 0, 0, false, ITER_SOURCE, NULL);
	else
		ret = kpost_payload_import(&request, arg.buf, arg.len, arg.flags & KPOST_IOVEC,
					   ITER_SOURCE, op->fixed);
	if (ret)
		return ret;
	if (unlikely(kpost_parks(op) && !arg.id)) {
		ret = call_park(op, &arg, &request);
	} else {
		ret = call_import_room(&arg, &room);
		if (!ret) {
			ret = call_and_store(op, &arg, &request, &room);
			kpost_payload_release(&room);
		}
	}
	kpost_payload_release(&request);
	return ret;
}
