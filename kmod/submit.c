// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "call.h"
#include "caller.h"
#include "endpoint.h"
#include "park.h"
#include "payload.h"
#include "process.h"
#include "room.h"

/* ---- KPOST_IOC_CALL_SUBMIT ------------------------------------------------------------ */

/* @call has failed, or was cancelled meanwhile. */
static void submit_undo(struct kpost_mailbox *mailbox, struct kpost_call_state *call)
{
	spin_lock(&mailbox->lock);
	if (call->caller)
		kpost_caller_give_up(mailbox, call);
	else
		spin_unlock(&mailbox->lock);
}

/* Wait until the request of @call is let in, *@sequence is its number then; or until -errno. */
static int submit_wait(struct kpost_operand *op, struct kpost_call_state *call,
		       struct kpost_waiter *waiter, u64 *sequence)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	int err = kpost_waiter_wait(waiter, op);

	if (err) {
		spin_lock(&mailbox->lock);
		if (!waiter->done) {
			kpost_caller_give_up(mailbox, call);
			return err;
		}
		spin_unlock(&mailbox->lock);
	}
	if (waiter->result)
		submit_undo(mailbox, call);
	*sequence = waiter->sequence;
	return waiter->result;
}

/* Tell of @call, which is submitted.  Only its numbers may be lost. */
static void submit_tell(struct kpost_call_submit __user *to, const struct kpost_call_state *call,
			u64 sequence)
{
	if (!put_user(call->token, &to->id))
		(void)put_user(sequence, &to->sequence);
}

/* One whose request waits for room without a task. */
struct parked_submit {
	struct kpost_parked parked;
	struct kpost_call_state *call;
	bool withdrawn;
	struct kpost_process *process; /* then: to be put, or NULL */
};

static struct kpost_message *submit_withdraw(struct kpost_parked *parked, struct kpost_wakes *wakes)
{
	struct parked_submit *waiting = container_of(parked, struct parked_submit, parked);

	waiting->withdrawn = true;
	return kpost_caller_drop(parked->endpoint->mailbox, waiting->call, wakes,
				 &waiting->process);
}

static long submit_end(struct kpost_parked *parked, bool dead, unsigned int issue_flags)
{
	struct parked_submit *waiting = container_of(parked, struct parked_submit, parked);
	struct kpost_call_state *call = waiting->call;
	long ret = parked->waiter.result;

	if (waiting->withdrawn) {
		kpost_process_put(waiting->process);
		kpost_call_put(call); /* the caller's reference */
	} else if (ret) {
		submit_undo(parked->endpoint->mailbox, call);
	} else if (!dead) {
		submit_tell(parked->arg, call, parked->waiter.sequence);
	}
	kpost_call_put(call);
	return ret;
}

static const struct kpost_parked_kind submit_kind = {
	.withdraw = submit_withdraw,
	.end = submit_end,
};

/*
 * Commit @message, which has to wait for room, so that it does so without a task: -EIOCBQUEUED
 * then, and @call is the command's.  Else as kpost_message_commit(), or -ETIMEDOUT or -ENOMEM.
 */
static int submit_park(struct kpost_operand *op, struct kpost_call_state *call,
		       struct kpost_message *message, u64 *sequence)
{
	struct parked_submit *waiting;
	struct kpost_parked *parked;
	int err;

	if (kpost_deadline_passed(op->deadline, op->clock))
		return -ETIMEDOUT;
	parked = kpost_parked_new(op, sizeof(*waiting), &submit_kind);
	if (!parked)
		return -ENOMEM;
	waiting = container_of(parked, struct parked_submit, parked);
	waiting->call = call;
	waiting->withdrawn = false;
	err = kpost_message_commit_rare(op->endpoint, message, &parked->waiter, true, false,
					sequence);
	if (err <= 0) {
		kpost_parked_free(parked);
		return err;
	}
	kpost_parked_start(parked, op->issue_flags);
	return -EIOCBQUEUED;
}

static long submit(struct kpost_operand *op, const struct kpost_call_submit *arg,
		   const struct kpost_payload *request)
{
	struct kpost_endpoint *endpoint = op->endpoint;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_waiter waiter __uninitialized;
	struct kpost_caller *caller;
	struct kpost_message *message;
	struct kpost_call_state *call;
	u64 sequence;
	int err;

	call = kpost_call_build(op, request, min_t(u64, arg->reply_max, SIZE_MAX), arg->priority,
				arg->tag, NULL, &message);
	if (IS_ERR(call))
		return PTR_ERR(call);
	caller = kpost_caller_get(endpoint);
	if (!caller) {
		kpost_message_discard(mailbox, message);
		kpost_call_put(call);
		return -ENOMEM;
	}
	call->submitted = true;
	call->retry = arg->flags & KPOST_RETRY;
	call->user_data = arg->user_data;
	/* Somebody may guess its id and cancel it: it is received by nobody then. */
	message->state = KPOST_TAKEN;
	refcount_inc(&call->refs);
	spin_lock(&mailbox->lock);
	kpost_caller_add(caller, call);
	caller->refs--;
	spin_unlock(&mailbox->lock);

	err = kpost_message_commit(endpoint, message, &waiter, op->nowait || op->dontwait,
				   &sequence);
	if (err == -EAGAIN && kpost_parks(op) && !op->dontwait)
		err = submit_park(op, call, message, &sequence);
	if (err == -EIOCBQUEUED)
		return err;
	if (unlikely(err < 0)) {
		submit_undo(mailbox, call);
		kpost_message_discard(mailbox, message);
	} else if (err > 0) {
		err = submit_wait(op, call, &waiter, &sequence);
	}
	if (!err)
		submit_tell(op->arg, call, sequence);
	kpost_call_put(call);
	return err;
}

long kpost_call_submit(struct kpost_operand *op)
{
	struct kpost_call_submit __user *to = op->arg;
	struct kpost_payload request __uninitialized;
	struct kpost_call_submit arg;
	long ret;

	if (!(op->endpoint->rights & KPOST_RIGHT_SEND))
		return -EBADF;
	ret = kpost_struct_get(op, &arg, cookie);
	if (ret)
		return ret;
	if (arg.flags & ~(KPOST_DONTWAIT | KPOST_IOVEC | KPOST_PRESENT | KPOST_RETRY |
			  KPOST_CLOCK_FLAGS) ||
	    !kpost_clock_flags_ok(arg.flags) || arg.priority > KPOST_PRIORITY_MAX ||
	    arg.deadline > S64_MAX)
		return -EINVAL;
	op->dontwait = arg.flags & KPOST_DONTWAIT;
	kpost_operand_waits(op, arg.deadline, arg.flags, arg.cookie);
	if (arg.flags & KPOST_PRESENT) {
		ret = kpost_mailbox_attended(op->endpoint->mailbox);
		if (ret)
			return ret;
	}
	/* Before the request has its effect. */
	if (kpost_memory_touch(&to->id, 2 * sizeof(u64)) != 2 * sizeof(u64))
		return -EFAULT;
	ret = kpost_payload_import(&request, arg.buf, arg.len, arg.flags & KPOST_IOVEC, ITER_SOURCE,
				   op->fixed);
	if (ret)
		return ret;
	ret = submit(op, &arg, &request);
	kpost_payload_release(&request);
	return ret;
}

/* ---- KPOST_IOC_CALL_COLLECT ----------------------------------------------------------- */

/* Of the calls of @caller, if given, that can be collected, the next; or NULL. */
static struct kpost_call_state *first_ready(struct kpost_caller *caller)
{
	if (!caller)
		return NULL;
	return list_first_entry_or_null(&caller->ready, struct kpost_call_state, ready);
}

/*
 * With the lock held: take the call with @id, or any if that is 0, that is over.  Returns 0 and
 * *@call; 1 if none is, and @waiter waits for one, if given; or -ENOENT, -EBUSY, -EAGAIN, -EPIPE.
 */
static int collect_begin(struct kpost_operand *op, u64 id, struct kpost_waiter *waiter,
			 struct kpost_call_state **taken)
{
	struct kpost_caller *caller = kpost_caller_find(op->endpoint);
	struct kpost_call_state *call = id ? kpost_caller_call(caller, id, true) :
					     first_ready(caller);

	if (id && !call)
		return kpost_caller_taken(caller, id) ? -EBUSY : -ENOENT;
	if (call && call->waiter)
		return -EBUSY;
	if (call && call->over) {
		kpost_caller_take(call);
		*taken = call;
		return 0;
	}
	if (!id && op->endpoint->mailbox->shut && (!caller || RB_EMPTY_ROOT(&caller->submitted)))
		return -EPIPE;
	if (!waiter)
		return -EAGAIN;
	waiter->call = call;
	if (id)
		call->waiter = waiter;
	else
		list_add_tail(&waiter->link, &caller->collectors);
	return 1;
}

/* With the lock held: @waiter, which was given none, does not wait any more. */
static void collect_leave(struct kpost_waiter *waiter, u64 id)
{
	if (id)
		waiter->call->waiter = NULL;
	else
		list_del(&waiter->link);
}

/*
 * The call with @id, or any if that is 0, that is over, or will be; it is taken then.  Else
 * -ENOENT, -EBUSY, -EAGAIN, -EPIPE, -ETIMEDOUT, -ERESTARTSYS, -ECANCELED, -ENOMEM.
 */
static struct kpost_call_state *collect(struct kpost_operand *op, u64 id)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	bool waits = !op->nowait && !op->dontwait;
	struct kpost_caller *held = NULL;
	struct kpost_call_state *call;
	struct kpost_waiter waiter;
	int err;

	/* Any can be one that is submitted later. */
	if (!id && waits) {
		held = kpost_caller_get(op->endpoint);
		if (!held)
			return ERR_PTR(-ENOMEM);
	}
	kpost_waiter_init(&waiter);
	spin_lock(&mailbox->lock);
	err = collect_begin(op, id, waits ? &waiter : NULL, &call);
	if (err <= 0)
		goto out;
	spin_unlock(&mailbox->lock);

	err = kpost_waiter_wait(&waiter, op);
	spin_lock(&mailbox->lock);
	if (waiter.done)
		err = waiter.result == -ECANCELED ? -ECANCELED : 0;
	else
		collect_leave(&waiter, id);
	call = waiter.call;
out:
	kpost_caller_unlock(mailbox, held);
	return err ? ERR_PTR(err) : call;
}

/* @call was taken, and is gone now, or to be collected @again, as the next, if anybody can. */
static void collect_end(struct kpost_mailbox *mailbox, struct kpost_call_state *call, bool again)
{
	struct kpost_process *process = NULL;
	struct kpost_wakes wakes = {};

	spin_lock(&mailbox->lock);
	again = again && !kpost_caller_ended(call->caller);
	if (again) {
		kpost_caller_untake(call);
		kpost_caller_offer(call, true, &wakes);
	} else {
		process = kpost_caller_remove(call);
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_process_put(process);
	if (!again)
		kpost_call_put(call);
}

/* Tell of @call, which is over, and store its reply.  Returns 0, or -EMSGSIZE or -EFAULT. */
static int collect_store(const struct kpost_operand *op, struct kpost_call_collect *arg,
			 const struct kpost_call_state *call, const struct kpost_payload *room)
{
	struct kpost_outcome *outcome = (struct kpost_outcome *)&arg->sequence;
	struct kpost_call_collect __user *to = op->arg;
	struct kpost_place place __uninitialized;

	kpost_outcome_describe(outcome, call);
	arg->id = call->token;
	arg->user_data = call->user_data;
	arg->size = call->result ? 0 : call->reply->size;
	if (arg->size > room->size)
		return put_user(arg->size, &to->size) ? -EFAULT : -EMSGSIZE;
	if (!call->result) {
		kpost_place_init(&place, room);
		if (kpost_message_copy_out(call->reply, room, &place, arg->size))
			return -EFAULT;
	}
	return kpost_struct_put(op, arg, sizeof(*arg));
}

/* Store what became of @call, which was taken.  Returns bytes or -errno. */
static long collect_finish(const struct kpost_operand *op, struct kpost_call_collect *arg,
			   struct kpost_call_state *call, const struct kpost_payload *room)
{
	int result = call->result;
	long ret = collect_store(op, arg, call, room);

	collect_end(op->endpoint->mailbox, call, ret);
	return ret ?: result ?: arg->size;
}

/* One that waits without a task. */
struct parked_collect {
	struct kpost_parked parked;
	struct kpost_caller *held; /* or NULL, of one that waits for one call */
	struct kpost_call_collect arg;
	struct kpost_payload room;
};

static struct kpost_message *parked_collect_withdraw(struct kpost_parked *parked,
						     struct kpost_wakes *wakes)
{
	struct parked_collect *waiting = container_of(parked, struct parked_collect, parked);

	collect_leave(&parked->waiter, waiting->arg.id);
	return NULL;
}

static long parked_collect_end(struct kpost_parked *parked, bool dead, unsigned int issue_flags)
{
	struct parked_collect *waiting = container_of(parked, struct parked_collect, parked);
	const struct kpost_operand op = {
		.endpoint = parked->endpoint,
		.arg = parked->arg,
		.size = _IOC_SIZE(parked->operation),
	};
	struct kpost_mailbox *mailbox = op.endpoint->mailbox;
	struct kpost_waiter *waiter = &parked->waiter;
	/* What a call ends with is neither. */
	bool none = waiter->result == -ECANCELED || waiter->result == -ETIMEDOUT;
	long ret = none ? waiter->result : -ECANCELED;

	if (!none && dead)
		collect_end(mailbox, waiter->call, true);
	else if (!none)
		ret = collect_finish(&op, &waiting->arg, waiter->call, &waiting->room);
	kpost_payload_release(&waiting->room);
	spin_lock(&mailbox->lock);
	kpost_caller_unlock(mailbox, waiting->held);
	return ret;
}

static const struct kpost_parked_kind collect_kind = {
	.withdraw = parked_collect_withdraw,
	.end = parked_collect_end,
};

/*
 * There is no call to collect yet: wait for it without a task.  Returns -EIOCBQUEUED; 0 and *@call
 * if there is one by now; or -errno.
 */
static long collect_park(struct kpost_operand *op, const struct kpost_call_collect *arg,
			 struct kpost_call_state **call)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	struct parked_collect *waiting;
	struct kpost_parked *parked;
	long ret;

	if (kpost_deadline_passed(op->deadline, op->clock))
		return -ETIMEDOUT;
	parked = kpost_parked_new(op, sizeof(*waiting), &collect_kind);
	if (!parked)
		return -ENOMEM;
	waiting = container_of(parked, struct parked_collect, parked);
	waiting->arg = *arg;
	waiting->held = NULL;
	ret = kpost_payload_import(&waiting->room, arg->buf, arg->len, arg->flags & KPOST_IOVEC,
				   ITER_DEST, op->fixed);
	if (ret)
		goto err_parked;
	if (!arg->id) {
		waiting->held = kpost_caller_get(op->endpoint);
		if (!waiting->held) {
			ret = -ENOMEM;
			goto err_room;
		}
	}
	spin_lock(&mailbox->lock);
	ret = collect_begin(op, arg->id, &parked->waiter, call);
	if (ret > 0) {
		spin_unlock(&mailbox->lock);
		kpost_parked_start(parked, op->issue_flags);
		return -EIOCBQUEUED;
	}
	kpost_caller_unlock(mailbox, waiting->held);
err_room:
	kpost_payload_release(&waiting->room);
err_parked:
	kpost_parked_free(parked);
	return ret;
}

long kpost_call_collect(struct kpost_operand *op)
{
	struct kpost_payload room __uninitialized;
	struct kpost_call_collect arg;
	struct kpost_call_state *call;
	long ret;

	if (!(op->endpoint->rights & KPOST_RIGHT_SEND))
		return -EBADF;
	ret = kpost_struct_get_back(op, &arg, id);
	if (ret)
		return ret;
	if (arg.flags & ~(KPOST_DONTWAIT | KPOST_IOVEC | KPOST_CLOCK_FLAGS) ||
	    !kpost_clock_flags_ok(arg.flags) || arg.reserved || arg.deadline > S64_MAX)
		return -EINVAL;
	op->dontwait = arg.flags & KPOST_DONTWAIT;
	kpost_operand_waits(op, arg.deadline, arg.flags, arg.cookie);
	ret = kpost_payload_import(&room, arg.buf, arg.len, arg.flags & KPOST_IOVEC, ITER_DEST,
				   op->fixed);
	if (ret)
		return ret;
	call = collect(op, arg.id);
	ret = PTR_ERR_OR_ZERO(call);
	if (ret == -EAGAIN && kpost_parks(op) && !op->dontwait)
		ret = collect_park(op, &arg, &call);
	if (!ret)
		ret = collect_finish(op, &arg, call, &room);
	kpost_payload_release(&room);
	return ret;
}

/* ---- KPOST_IOC_CALL_CANCEL ------------------------------------------------------------ */

/* Give up the one call that @arg says.  Returns 1, or -ENOENT, -EBUSY. */
static long cancel_one(const struct kpost_operand *op, struct kpost_call_cancel *arg)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	struct kpost_caller *caller;
	struct kpost_call_state *call;
	int err;

	spin_lock(&mailbox->lock);
	caller = kpost_caller_find(op->endpoint);
	call = kpost_caller_call(caller, arg->id, true);
	if (!call)
		call = kpost_caller_call(caller, arg->id, false);
	if (!call) {
		err = kpost_caller_taken(caller, arg->id) ? -EBUSY : -ENOENT;
		spin_unlock(&mailbox->lock);
		return err;
	}
	arg->message_flags = call->received ? KPOST_MESSAGE_RECEIVED : 0;
	arg->sequence = call->request ? call->request->node.order : call->sequence;
	kpost_caller_give_up(mailbox, call);
	/* It is over, and what is told of it may be lost. */
	(void)kpost_struct_put(op, arg, sizeof(*arg));
	return 1;
}

/*
 * Give up all that were submitted, and who waits for any.  What others begin meanwhile is not
 * meant.  Returns how many calls there were.
 */
static long cancel_all(const struct kpost_operand *op)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	struct kpost_caller *caller;
	LIST_HEAD(collectors);
	struct rb_node *node;
	long count = 0;
	u64 last = 0;

	spin_lock(&mailbox->lock);
	caller = kpost_caller_find(op->endpoint);
	if (caller) {
		caller->refs++;
		/* Who leaves meanwhile takes itself off this list. */
		list_splice_init(&caller->collectors, &collectors);
		node = rb_last(&caller->submitted);
		if (node)
			last = rb_entry(node, struct kpost_call_state, by_id)->token;
	}
	spin_unlock(&mailbox->lock);
	if (!caller)
		return 0;
	while (kpost_caller_give_up_first(mailbox, &caller->submitted, last))
		count++;
	while (kpost_caller_leave_first(mailbox, &collectors))
		;
	spin_lock(&mailbox->lock);
	kpost_caller_unlock(mailbox, caller);
	return count;
}

long kpost_call_cancel(struct kpost_operand *op)
{
	struct kpost_call_cancel arg;
	int err;

	if (!(op->endpoint->rights & KPOST_RIGHT_SEND))
		return -EBADF;
	err = kpost_struct_get(op, &arg, message_flags);
	if (err)
		return err;
	if (arg.flags)
		return -EINVAL;
	return arg.id ? cancel_one(op, &arg) : cancel_all(op);
}
