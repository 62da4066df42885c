/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who made calls, and has them while nobody waits for them.
 *
 * KPOST_IOC_CALL keeps its call to itself as long as it waits.  A call that was submitted, and
 * one whose caller was interrupted, belongs to a process and the endpoint it was made through:
 * it is in a tree of a struct kpost_caller, which holds it, by its id, until it has been
 * collected or cancelled, or is waited for by KPOST_IOC_CALL again.  One that is over and was
 * submitted is besides in the list of what is ready, unless somebody is collecting it.
 *
 * A caller is there as long as it has a call, or somebody waits for one.  What it takes is
 * counted with each of its calls.
 */
#ifndef KPOST_CALLER_H
#define KPOST_CALLER_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include "wait.h"

struct kpost_call_state;
struct kpost_endpoint;
struct kpost_mailbox;
struct kpost_message;
struct kpost_process;
struct kpost_wakes;

struct kpost_caller {
	struct kpost_endpoint *endpoint; /* fixed; not to be followed when it is no longer linked */
	struct kpost_process *process; /* fixed, held */
	struct list_head of_process; /* in process->callers, while linked (and by process->lock) */

	/* protected by the mailbox's lock */
	unsigned int refs; /* its calls', and of those who work with it */
	struct rb_node link; /* in endpoint->callers, or cleared */
	struct rb_root submitted; /* calls, by id */
	struct rb_root taken; /* likewise: being collected, they are not in the former */
	struct rb_root interrupted; /* likewise: for KPOST_IOC_CALL to go on with */
	struct list_head ready; /* calls, the one that was over first comes first */
	struct list_head collectors; /* of struct kpost_waiter, for any of them */
};

struct kpost_caller *kpost_caller_get(struct kpost_endpoint *endpoint);
void kpost_caller_unlock(struct kpost_mailbox *mailbox, struct kpost_caller *caller)
	__releases(&mailbox->lock);
void kpost_callers_end(struct kpost_endpoint *endpoint);
bool kpost_caller_end_first(struct kpost_process *process);
bool kpost_caller_give_up_first(struct kpost_mailbox *mailbox, struct rb_root *tree, u64 last);

/* With the mailbox's lock held. */
struct kpost_caller *kpost_caller_find(struct kpost_endpoint *endpoint);
void kpost_caller_add(struct kpost_caller *caller, struct kpost_call_state *call);
struct kpost_process *kpost_caller_remove(struct kpost_call_state *call);
struct kpost_call_state *kpost_caller_call(struct kpost_caller *caller, u64 id, bool submitted);
bool kpost_caller_taken(struct kpost_caller *caller, u64 id);
void kpost_caller_take(struct kpost_call_state *call);
void kpost_caller_untake(struct kpost_call_state *call);
void kpost_caller_offer(struct kpost_call_state *call, bool first, struct kpost_wakes *wakes);
bool kpost_caller_ended(const struct kpost_caller *caller);
bool kpost_caller_leave_first(struct kpost_mailbox *mailbox, struct list_head *collectors);
bool kpost_caller_ready(struct kpost_endpoint *endpoint);
struct kpost_message *kpost_caller_drop(struct kpost_mailbox *mailbox,
					struct kpost_call_state *call, struct kpost_wakes *wakes,
					struct kpost_process **process);
void kpost_caller_give_up(struct kpost_mailbox *mailbox, struct kpost_call_state *call)
	__releases(&mailbox->lock);

#endif /* KPOST_CALLER_H */
