/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who a message is from.
 *
 * All that tells of a sender is fixed for a process, with the credentials that it has, and an
 * endpoint.  So it is noted once, and messages point to the note: that is their origin.  An
 * endpoint has those of the processes that sent through it last, the latest first.
 *
 * While it is in that list an origin holds the credentials and the process's struct pid, so
 * these cannot become another's, and to compare pointers is exact: after fork, exec, setuid, in
 * a worker of io_uring's.  Messages that are in the mailbox, or were taken from it, use it for
 * longer, and need the struct pid alone: credentials can be large, and count for nobody.  The
 * uses are counted under the mailbox's lock, which whoever puts a message in or takes one out
 * has anyway.
 */
#ifndef KPOST_ORIGIN_H
#define KPOST_ORIGIN_H

#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

struct kpost_endpoint;

/* In a user namespace. */
struct kpost_ids {
	u32 uid, gid; /* the task's real ones */
	u32 opener_uid, opener_gid; /* the effective ones that opened the endpoint */
};

struct kpost_who {
	struct pid *pid; /* the process, held */
	struct kpost_ids ids; /* in the initial namespace */
	u32 flags; /* KPOST_MESSAGE_MIXED_IDS if these, and the task's effective ones, differ */
	u64 badge; /* of the endpoint */
};

struct kpost_origin {
	struct kpost_who who; /* fixed */
	const struct cred *cred; /* held while it is in the list, or new */
	struct kpost_origin *next; /* in endpoint->origins (protected by mailbox->lock) */
	unsigned int uses; /* likewise */
};

void kpost_who_note(struct kpost_who *who, const struct kpost_endpoint *endpoint);
void kpost_ids_map(const struct kpost_who *who, struct kpost_ids *ids);

/* The process, as seen by the task that asks. */
static inline u32 kpost_who_pid(const struct kpost_who *who)
{
	struct pid_namespace *ns = ns_of_pid(task_pid(current));

	return likely(ns == &init_pid_ns) ? pid_nr(who->pid) : pid_nr_ns(who->pid, ns);
}

/* Likewise the ids, in @space if they are others there. */
static inline const struct kpost_ids *kpost_who_ids(const struct kpost_who *who,
						    struct kpost_ids *space)
{
	if (likely(current_user_ns() == &init_user_ns))
		return &who->ids;
	kpost_ids_map(who, space);
	return space;
}

struct kpost_origin *kpost_origin_new(const struct kpost_endpoint *endpoint);
void kpost_origin_release(struct kpost_origin *origin);

/* NULL is none. */
static inline void kpost_origin_free(struct kpost_origin *origin)
{
	if (unlikely(origin))
		kpost_origin_release(origin);
}

/* Is it what the task sends as? */
static inline bool kpost_origin_is_tasks(const struct kpost_origin *origin)
{
	return origin->who.pid == task_tgid(current) && origin->cred == current_cred();
}

/* With the mailbox's lock held. */
struct kpost_origin *kpost_origin_find(struct kpost_endpoint *endpoint);
struct kpost_origin *kpost_origin_add(struct kpost_endpoint *endpoint, struct kpost_origin *origin);
struct kpost_origin *kpost_origins_end(struct kpost_endpoint *endpoint);
void kpost_origins_free(struct kpost_origin *first);

/* One use less.  Returns the origin if that was the last, to be freed without the lock. */
static inline struct kpost_origin *kpost_origin_put(struct kpost_origin *origin)
{
	return --origin->uses ? NULL : origin;
}

#endif /* KPOST_ORIGIN_H */
