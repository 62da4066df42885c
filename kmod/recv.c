// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hot path, second half: receiving.
 *
 * A message is taken under the mailbox's lock, copied out with no lock held, and
 * only then received: its room is given back, its sender told, and a call made
 * open.  If the copy faults it is put back where it was.
 */
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/uio.h>

#include "call.h"
#include "endpoint.h"
#include "payload.h"
#include "trace.h"

/* What a receiver wants and gets. */
struct reception {
	bool truncate;
	bool nowait;
	u64 deadline;
	size_t size; /* out, with -EMSGSIZE: what the message needs */
};

/*
 * Wait for a message of at most @room bytes.  Returns it, TAKEN, or -ETIMEDOUT,
 * -ERESTARTSYS, -EMSGSIZE, -EPIPE.  Called with the lock held, returns without.
 */
static struct kpost_message *wait_for_message(struct kpost_mailbox *mailbox, struct reception *recv,
					      size_t room) __releases(&mailbox->lock)
{
	struct kpost_waiter receiver;
	int err;

	lockdep_assert_held(&mailbox->lock);
	kpost_waiter_init(&receiver);
	receiver.room = room;
	list_add_tail(&receiver.link, &mailbox->waiting);
	mailbox->waiting_receivers++;
	spin_unlock(&mailbox->lock);

	err = kpost_waiter_wait(&receiver, recv->deadline);
	if (err) {
		spin_lock(&mailbox->lock);
		if (receiver.done) {
			err = 0;
		} else {
			list_del(&receiver.link);
			mailbox->waiting_receivers--;
		}
		spin_unlock(&mailbox->lock);
	}
	if (err || receiver.result) {
		recv->size = receiver.room;
		return ERR_PTR(err ?: receiver.result);
	}
	return receiver.message;
}

/* Take the next message of at most @room bytes; also -EAGAIN, see wait_for_message(). */
static struct kpost_message *take_message(struct kpost_mailbox *mailbox, struct reception *recv,
					  size_t room)
{
	struct kpost_message *message;
	int err = 0;

	spin_lock(&mailbox->lock);
	message = kpost_mailbox_first(&mailbox->queue);
	if (likely(message)) {
		recv->size = message->size;
		if (message->size > room) {
			err = -EMSGSIZE;
		} else {
			kpost_queue_del(&mailbox->queue, &message->node);
			message->state = KPOST_TAKEN;
		}
	} else if (kpost_mailbox_finished(mailbox)) {
		err = -EPIPE;
	} else if (recv->nowait) {
		err = -EAGAIN;
	} else {
		return wait_for_message(mailbox, recv, room);
	}
	spin_unlock(&mailbox->lock);
	return err ? ERR_PTR(err) : message;
}

/* Put back what was taken, unless its sender has withdrawn it. */
static void put_back_message(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_wakes wakes = {};
	bool withdrawn;

	spin_lock(&mailbox->lock);
	withdrawn = message->withdrawn;
	if (withdrawn) {
		mailbox->dropped++;
		kpost_mailbox_give_back(mailbox, message, &wakes);
	} else {
		kpost_mailbox_put_back(mailbox, message, &wakes);
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	if (withdrawn)
		kpost_message_free(message);
}

/*
 * Receive @message, which was copied out, and free it.  Returns false if its
 * sender has withdrawn it: then it was never received.
 */
static bool receive_message(struct kpost_endpoint *endpoint, struct kpost_message *message)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_wakes wakes = {};
	bool received;

	spin_lock(&mailbox->lock);
	received = !message->withdrawn;
	if (likely(received)) {
		mailbox->received++;
		if (message->call)
			kpost_call_received(endpoint, message);
		else if (message->sender)
			kpost_waiter_done(message->sender, 0, &wakes);
	} else {
		mailbox->dropped++;
	}
	kpost_mailbox_give_back(mailbox, message, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	if (received)
		trace_kpost_receive(mailbox->id, message->node.order, message->size,
				    message->node.priority);
	kpost_message_free(message);
	return received;
}

static void describe_message(const struct kpost_message *message, struct kpost_recv *arg,
			     size_t stored)
{
	struct kpost_ids ids;

	kpost_message_tell_ids(message, &ids);
	arg->message_flags = (message->call ? KPOST_MESSAGE_CALL : 0) |
			     (message->sync ? KPOST_MESSAGE_SYNC : 0) |
			     (message->mixed_ids ? KPOST_MESSAGE_MIXED_IDS : 0) |
			     (stored < message->size ? KPOST_MESSAGE_TRUNCATED : 0);
	arg->size = message->size;
	arg->sequence = message->node.order;
	arg->token = message->call ? message->call->token : 0;
	arg->reply_max = message->call ? message->call->room : 0;
	arg->priority = message->node.priority;
	arg->pid = ids.pid;
	arg->uid = ids.uid;
	arg->gid = ids.gid;
	arg->opener_uid = ids.opener_uid;
	arg->opener_gid = ids.opener_gid;
}

/*
 * Receive into @to, and if @arg is given describe the message there and in the
 * user's struct.  Returns bytes stored or -errno.
 */
static ssize_t receive(struct kpost_endpoint *endpoint, struct reception *recv, struct iov_iter *to,
		       const struct kpost_operand *op, struct kpost_recv *arg)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	size_t room = recv->truncate ? SIZE_MAX : iov_iter_count(to);
	struct iov_iter start = *to;
	struct kpost_message *message;
	size_t stored, done;
	int err;

	for (;; *to = start) {
		message = take_message(mailbox, recv, room);
		if (IS_ERR(message))
			return PTR_ERR(message);

		stored = min(message->size, iov_iter_count(to));
		done = 0;
		err = kpost_message_copy_out(message, &done, to, stored);
		if (err)
			break;
		/* Somebody else may yet use what a killed task cannot. */
		err = -EINTR;
		if (fatal_signal_pending(current))
			break;
		/* Last, so that a struct in shared memory tells what was received. */
		if (arg) {
			describe_message(message, arg, stored);
			err = kpost_struct_put(op, arg, sizeof(*arg));
			if (err)
				break;
		}
		if (likely(receive_message(endpoint, message)))
			return stored;
	}
	put_back_message(mailbox, message);
	return err;
}

long kpost_recv(struct kpost_operand *op)
{
	struct kpost_payload payload;
	struct reception recv;
	struct kpost_recv arg;
	ssize_t ret;
	int err;

	if (!(op->endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	err = kpost_struct_get(op, &arg, sizeof(arg));
	if (err)
		return err;
	if (arg.flags & ~(KPOST_DONTWAIT | KPOST_IOVEC | KPOST_TRUNCATE) || arg.deadline > S64_MAX)
		return -EINVAL;
	err = kpost_payload_import(&payload, arg.buf, arg.len, arg.flags & KPOST_IOVEC, ITER_DEST,
				   op->fixed);
	if (err)
		return err;

	op->dontwait = arg.flags & KPOST_DONTWAIT;
	recv = (struct reception){
		.truncate = arg.flags & KPOST_TRUNCATE,
		.nowait = op->nowait || op->dontwait,
		.deadline = arg.deadline,
	};
	ret = receive(op->endpoint, &recv, &payload.iter, op, &arg);
	kpost_payload_release(&payload);

	if (ret == -EMSGSIZE) {
		struct kpost_recv __user *to = op->arg;

		if (put_user(recv.size, &to->size))
			return -EFAULT;
	}
	return ret;
}

/* read(2) and its kin: one payload; 0 when there can never be another. */
ssize_t kpost_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct kpost_endpoint *endpoint = iocb->ki_filp->private_data;
	struct reception recv = {
		.nowait = iocb->ki_filp->f_flags & O_NONBLOCK || iocb->ki_flags & IOCB_NOWAIT,
	};
	ssize_t ret;

	if (!(endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	ret = receive(endpoint, &recv, to, NULL, NULL);
	return ret == -EPIPE ? 0 : ret;
}
