// SPDX-License-Identifier: GPL-2.0-only
#include <linux/slab.h>

#include "endpoint.h"
#include "origin.h"

/* So many processes may send through one endpoint in turns without each being noted anew. */
#define ORIGINS_MAX 8

/* Note who acts through @endpoint: the task that is in the system call, as it is now. */
void kpost_who_note(struct kpost_who *who, const struct kpost_endpoint *endpoint)
{
	bool mixed =
		!uid_eq(current_uid(), endpoint->uid) || !uid_eq(current_euid(), endpoint->uid) ||
		!gid_eq(current_gid(), endpoint->gid) || !gid_eq(current_egid(), endpoint->gid);

	who->pid = get_pid(task_tgid(current));
	who->ids.uid = __kuid_val(current_uid());
	who->ids.gid = __kgid_val(current_gid());
	who->ids.opener_uid = __kuid_val(endpoint->uid);
	who->ids.opener_gid = __kgid_val(endpoint->gid);
	who->flags = mixed ? KPOST_MESSAGE_MIXED_IDS : 0;
	who->badge = endpoint->badge;
}

/* The ids of @who in the task's user namespace. */
void kpost_ids_map(const struct kpost_who *who, struct kpost_ids *ids)
{
	struct user_namespace *ns = current_user_ns();

	ids->uid = from_kuid_munged(ns, KUIDT_INIT(who->ids.uid));
	ids->gid = from_kgid_munged(ns, KGIDT_INIT(who->ids.gid));
	ids->opener_uid = ids->uid;
	ids->opener_gid = ids->gid;
	if (who->flags & KPOST_MESSAGE_MIXED_IDS) {
		ids->opener_uid = from_kuid_munged(ns, KUIDT_INIT(who->ids.opener_uid));
		ids->opener_gid = from_kgid_munged(ns, KGIDT_INIT(who->ids.opener_gid));
	}
}

/* What the task sends as through @endpoint, with one use; NULL if there is no memory for it. */
struct kpost_origin *kpost_origin_new(const struct kpost_endpoint *endpoint)
{
	struct kpost_origin *origin = kmalloc(sizeof(*origin), GFP_KERNEL_ACCOUNT);

	if (!origin)
		return NULL;
	kpost_who_note(&origin->who, endpoint);
	/* Whoever takes a reference also writes a mark of theirs that is 0 already. */
	origin->cred = data_race(get_current_cred());
	origin->uses = 1;
	return origin;
}

void kpost_origin_release(struct kpost_origin *origin)
{
	put_pid(origin->who.pid);
	if (origin->cred)
		put_cred(origin->cred);
	kfree(origin);
}

/* Find what the task sends as, and make it the first; NULL if it is not in the list. */
struct kpost_origin *kpost_origin_find(struct kpost_endpoint *endpoint)
{
	struct kpost_origin **link, *origin;

	lockdep_assert_held(&endpoint->mailbox->lock);
	for (link = &endpoint->origins; (origin = *link); link = &origin->next) {
		if (!kpost_origin_is_tasks(origin))
			continue;
		*link = origin->next;
		origin->next = endpoint->origins;
		endpoint->origins = origin;
		return origin;
	}
	return NULL;
}

/* @origin was taken off the list.  Returns it if it is to be freed, or NULL. */
static struct kpost_origin *origin_unlisted(struct kpost_origin *origin)
{
	/* The last reference is left to RCU. */
	put_cred(origin->cred);
	origin->cred = NULL;
	return kpost_origin_put(origin);
}

/* Put @origin into the list, whose use it then is.  Returns one to be freed, or NULL. */
struct kpost_origin *kpost_origin_add(struct kpost_endpoint *endpoint, struct kpost_origin *origin)
{
	struct kpost_origin **link = &endpoint->origins, *last;
	unsigned int n;

	lockdep_assert_held(&endpoint->mailbox->lock);
	origin->next = endpoint->origins;
	endpoint->origins = origin;
	for (n = 0; n < ORIGINS_MAX && *link; n++)
		link = &(*link)->next;
	last = *link;
	*link = NULL;
	return last ? origin_unlisted(last) : NULL;
}

/* Empty the list.  Returns those to be freed, linked by @next. */
struct kpost_origin *kpost_origins_end(struct kpost_endpoint *endpoint)
{
	struct kpost_origin *origin, *gone = NULL;

	lockdep_assert_held(&endpoint->mailbox->lock);
	while ((origin = endpoint->origins)) {
		endpoint->origins = origin->next;
		if (!origin_unlisted(origin))
			continue;
		origin->next = gone;
		gone = origin;
	}
	return gone;
}

void kpost_origins_free(struct kpost_origin *first)
{
	struct kpost_origin *origin;

	while ((origin = first)) {
		first = origin->next;
		kpost_origin_release(origin);
	}
}
