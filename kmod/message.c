// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cred.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "call.h"
#include "endpoint.h"
#include "message.h"
#include "payload.h"

#define FIRST_PIECE (PAGE_SIZE - sizeof(struct kpost_message))
#define NEXT_PIECE (PAGE_SIZE - sizeof(struct kpost_piece))

/* Charge a message to who sends it, see kpost_endpoint_charge(). */
int kpost_message_charge(struct kpost_message *message, struct kpost_endpoint *endpoint, bool polls)
{
	return kpost_endpoint_charge(endpoint, &message->charge, kpost_message_cost(message->room),
				     polls);
}

/*
 * Room for a payload of @size bytes, which is charged to who sends it through @endpoint if
 * @counts.  Returns the message or -EDQUOT, -ENOBUFS, -ENOMEM, -EINTR.
 */
struct kpost_message *kpost_message_alloc(struct kpost_endpoint *endpoint, size_t size, bool counts)
{
	size_t done = min_t(size_t, size, FIRST_PIECE);
	struct kpost_message *message;
	struct kpost_piece **link;
	int err;

	message = kmalloc(sizeof(*message) + done, GFP_KERNEL_ACCOUNT);
	if (!message)
		return ERR_PTR(-ENOMEM);
	/* All but what kpost_message_identify() and a commit fill in. */
	message->node.order = 0;
	message->withdrawn = false;
	message->sender = NULL;
	message->call = NULL;
	message->sync = false;
	message->size = size;
	message->room = size;
	message->pid = NULL;
	message->charge.account = NULL;
	message->pieces = NULL;
	if (unlikely(counts)) {
		err = kpost_message_charge(message, endpoint, true);
		if (err)
			goto err_free;
	}

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
	message->badge = endpoint->badge;
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
	if (likely(ns == &init_user_ns)) {
		/* Ids there are what they are. */
		ids->uid = __kuid_val(message->uid);
		ids->gid = __kgid_val(message->gid);
		ids->opener_uid = __kuid_val(message->opener_uid);
		ids->opener_gid = __kgid_val(message->opener_gid);
		return;
	}
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
 * Copy what is behind the first place->done bytes of the message, up to @size, from or to
 * @payload, as far as its memory goes.  Returns 0 if that was all, or -EFAULT.
 */
static __always_inline int message_copy(struct kpost_message *message,
					const struct kpost_payload *payload,
					struct kpost_place *place, size_t size, bool in)
{
	struct kpost_piece *piece = message->pieces;
	size_t begin = 0, room = FIRST_PIECE;
	u8 *data = message->data;

	/* No more than the memory that the pieces were made for. */
	if (WARN_ON_ONCE(size > message->room))
		return -EFAULT;
	for (;;) {
		size_t end = min(size, begin + room), done = place->done;

		if (done < end) {
			u8 *at = data + (done - begin);

			if (in)
				kpost_payload_read(payload, place, at, end - done);
			else
				kpost_payload_write(payload, place, at, end - done);
			if (place->done < end)
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

/* Fill the message from @from, see message_copy(). */
int kpost_message_copy_in(struct kpost_message *message, const struct kpost_payload *from,
			  struct kpost_place *place)
{
	return message_copy(message, from, place, message->size, true);
}

/* Copy the message's first @size bytes to @to, see message_copy(). */
int kpost_message_copy_out(struct kpost_message *message, const struct kpost_payload *to,
			   struct kpost_place *place, size_t size)
{
	return message_copy(message, to, place, size, false);
}
