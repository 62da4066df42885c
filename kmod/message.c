// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cred.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "call.h"
#include "endpoint.h"
#include "message.h"

#define FIRST_PIECE (PAGE_SIZE - sizeof(struct kpost_message))
#define NEXT_PIECE (PAGE_SIZE - sizeof(struct kpost_piece))

/*
 * Room for a payload of @size bytes, charged to @account, @privileged as for that.
 * Returns the message or -EDQUOT, -ENOBUFS, -ENOMEM, -EINTR.
 */
struct kpost_message *kpost_message_alloc(struct kpost_account *account, size_t size,
					  bool privileged)
{
	size_t done = min_t(size_t, size, FIRST_PIECE);
	struct kpost_charge charge;
	struct kpost_message *message;
	struct kpost_piece **link;
	int err;

	err = kpost_charge(&charge, account, sizeof(*message) + size, privileged);
	if (err)
		return ERR_PTR(err);

	message = kmalloc(sizeof(*message) + done, GFP_KERNEL_ACCOUNT);
	if (!message) {
		kpost_uncharge(&charge);
		return ERR_PTR(-ENOMEM);
	}
	memset(message, 0, sizeof(*message));
	message->charge = charge;
	message->size = size;

	for (link = &message->pieces; done < size; link = &(*link)->next) {
		size_t n = min_t(size_t, size - done, NEXT_PIECE);

		/* A payload may be many pages long: let a killed task go. */
		err = -EINTR;
		if (fatal_signal_pending(current))
			goto err_free;
		err = -ENOMEM;
		*link = kmalloc(struct_size(*link, data, n), GFP_KERNEL_ACCOUNT);
		if (!*link)
			goto err_free;
		(*link)->next = NULL;
		done += n;
		cond_resched();
	}
	return message;

err_free:
	kpost_message_free(message);
	return ERR_PTR(err);
}

void kpost_message_free(struct kpost_message *message)
{
	struct kpost_piece *piece, *next;

	for (piece = message->pieces; piece; piece = next) {
		next = piece->next;
		kfree(piece);
	}
	if (message->call)
		kpost_call_put(message->call);
	put_pid(message->pid);
	kpost_uncharge(&message->charge);
	kfree(message);
}

/* Note who sends through @endpoint: the task that is in the system call, as it is now. */
void kpost_message_identify(struct kpost_message *message, const struct kpost_endpoint *endpoint)
{
	message->pid = get_pid(task_tgid(current));
	message->uid = current_uid();
	message->gid = current_gid();
	message->opener_uid = endpoint->uid;
	message->opener_gid = endpoint->gid;
	message->mixed_ids =
		!uid_eq(message->uid, endpoint->uid) || !uid_eq(current_euid(), endpoint->uid) ||
		!gid_eq(message->gid, endpoint->gid) || !gid_eq(current_egid(), endpoint->gid);
}

/* Tell them in terms of the task's own namespaces. */
void kpost_message_tell_ids(const struct kpost_message *message, struct kpost_ids *ids)
{
	struct user_namespace *ns = current_user_ns();

	ids->pid = pid_nr_ns(message->pid, task_active_pid_ns(current));
	ids->uid = from_kuid_munged(ns, message->uid);
	ids->gid = from_kgid_munged(ns, message->gid);
	ids->opener_uid = ids->uid;
	ids->opener_gid = ids->gid;
	if (message->mixed_ids) {
		ids->opener_uid = from_kuid_munged(ns, message->opener_uid);
		ids->opener_gid = from_kgid_munged(ns, message->opener_gid);
	}
}

/*
 * Copy what is behind the first *@done bytes of the payload, up to @size, from or to
 * @iter, as far as its memory goes, and advance both.  Returns 0 if that was all, or
 * -EFAULT.
 */
static __always_inline int message_copy(struct kpost_message *message, size_t *done,
					struct iov_iter *iter, size_t size,
					size_t (*copy)(void *data, size_t n, struct iov_iter *iter))
{
	struct kpost_piece *piece = message->pieces;
	size_t begin = 0, room = FIRST_PIECE;
	u8 *data = message->data;

	for (;;) {
		size_t end = min(size, begin + room);

		if (*done < end) {
			*done += copy(data + (*done - begin), end - *done, iter);
			if (*done < end)
				return -EFAULT;
		}
		if (end == size)
			return 0;
		begin = end;
		room = NEXT_PIECE;
		data = piece->data;
		piece = piece->next;
	}
}

static size_t copy_in(void *data, size_t n, struct iov_iter *from)
{
	return copy_from_iter(data, n, from);
}

static size_t copy_out(void *data, size_t n, struct iov_iter *to)
{
	return copy_to_iter(data, n, to);
}

/* Fill the payload from @from, see message_copy(). */
int kpost_message_copy_in(struct kpost_message *message, size_t *done, struct iov_iter *from)
{
	return message_copy(message, done, from, message->size, copy_in);
}

/* Copy the payload's first @size bytes to @to, see message_copy(). */
int kpost_message_copy_out(struct kpost_message *message, size_t *done, struct iov_iter *to,
			   size_t size)
{
	return message_copy(message, done, to, size, copy_out);
}
