// SPDX-License-Identifier: GPL-2.0-only
/*
 * KPOST_IOC_CALL: a request is sent, and its reply waited for, in one operation.  A call is its
 * task's meanwhile, or what waits without one has it; only one that a signal has interrupted
 * goes to its caller, to be gone on with.
 */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "call.h"
#include "caller.h"
#include "endpoint.h"
#include "keyed.h"
#include "park.h"
#include "payload.h"
#include "process.h"

/*
 * Wait until @call is over.  Returns 0 then; 1 if a signal came and it goes on, and is no longer
 * the task's; or -ETIMEDOUT, -EINTR, -ERESTARTSYS, -ECANCELED, -ENOMEM if nobody wants it any
 * more.  What was not sent yet, for want of room, does not go on without its sender.
 */
static int call_wait(struct kpost_operand *op, struct kpost_call_state *call,
		     struct kpost_waiter *waiter, struct kpost_outcome *outcome)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	struct kpost_caller *caller = NULL;
	struct kpost_message *trash = NULL;
	struct kpost_wakes wakes = {};
	bool sent;
	int err;

	err = kpost_waiter_wait(waiter, op);
	if (likely(!err))
		return 0;
	if (err == -ERESTARTSYS && !fatal_signal_pending(current) &&
	    (!op->ring || test_thread_flag(TIF_SIGPENDING)))
		caller = kpost_caller_get(op->endpoint);
	spin_lock(&mailbox->lock);
	sent = !call->request || (call->request->state != KPOST_PENDING &&
				  !(mailbox->keyed && kpost_message_is_beyond(call->request)));
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
		     struct kpost_message *request, struct kpost_outcome *outcome)
{
	struct kpost_waiter waiter __uninitialized;
	u64 sequence;
	int err;

	kpost_waiter_init(&waiter);
	call->waiter = &waiter;
	if (kpost_deadline_passed(op->deadline, op->clock))
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
	return call_wait(op, call, &waiter, outcome);
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
	return err || over ? err : call_wait(op, call, &waiter, outcome);
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
		call = kpost_call_build(op, request, room->size, arg->priority, arg->tag, &to->id,
					&message);
		if (IS_ERR(call)) {
			(void)put_user(0, &to->id);
			return PTR_ERR(call);
		}
		call->retry = arg->flags & KPOST_RETRY;
		ret = call_send(op, call, message, outcome);
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
	waiting->call = kpost_call_build(op, request, waiting->room.size, arg->priority, arg->tag,
					 &to->id, &message);
	if (IS_ERR(waiting->call)) {
		(void)put_user(0, &to->id);
		ret = PTR_ERR(waiting->call);
		goto err_room;
	}
	waiting->call->retry = arg->flags & KPOST_RETRY;
	waiting->call->waiter = &parked->waiter;
	if (kpost_deadline_passed(op->deadline, op->clock))
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
	if (arg.flags & ~(KPOST_IOVEC | KPOST_REPLY_IOVEC | KPOST_PRESENT | KPOST_RETRY |
			  KPOST_CLOCK_FLAGS) ||
	    !kpost_clock_flags_ok(arg.flags) || arg.priority > KPOST_PRIORITY_MAX ||
	    arg.deadline > S64_MAX)
		return -EINVAL;
	op->deadline = arg.deadline;
	op->clock = kpost_clock_of(arg.flags);
	op->cookie = arg.cookie;
	if (op->nowait && !arg.id && !kpost_parks(op))
		return -EAGAIN;
	if (unlikely(arg.flags & KPOST_PRESENT) && !arg.id) {
		ret = kpost_mailbox_attended(op->endpoint->mailbox);
		if (ret)
			return ret;
	}

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
