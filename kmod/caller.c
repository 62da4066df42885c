// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "call.h"
#include "caller.h"
#include "endpoint.h"
#include "process.h"
#include "room.h"

static int caller_compare(const void *key, const struct rb_node *node)
{
	const struct pid *pid = key, *its = rb_entry(node, struct kpost_caller, link)->process->pid;

	return pid < its ? -1 : pid > its;
}

static int caller_compare_nodes(struct rb_node *node, const struct rb_node *other)
{
	return caller_compare(rb_entry(node, struct kpost_caller, link)->process->pid, other);
}

/* With the mailbox's lock held: the task's process's calls through @endpoint, or NULL. */
struct kpost_caller *kpost_caller_find(struct kpost_endpoint *endpoint)
{
	struct rb_node *node;

	lockdep_assert_held(&endpoint->mailbox->lock);
	node = rb_find(task_tgid(current), &endpoint->callers, caller_compare);
	return node ? rb_entry(node, struct kpost_caller, link) : NULL;
}

/* No new calls are found through @caller: its process or its endpoint ends, or it has none. */
static void caller_unlink(struct kpost_caller *caller)
{
	if (RB_EMPTY_NODE(&caller->link))
		return;
	rb_erase(&caller->link, &caller->endpoint->callers);
	RB_CLEAR_NODE(&caller->link);
	spin_lock(&caller->process->lock);
	list_del(&caller->of_process);
	spin_unlock(&caller->process->lock);
}

/* With the mailbox's lock held.  Returns what is to be put without it, or NULL. */
static struct kpost_process *caller_put(struct kpost_caller *caller)
{
	struct kpost_process *process = caller->process;

	if (--caller->refs)
		return NULL;
	caller_unlink(caller);
	kfree(caller);
	return process;
}

/* Drop the lock, and the reference to @caller, if given. */
void kpost_caller_unlock(struct kpost_mailbox *mailbox, struct kpost_caller *caller)
	__releases(&mailbox->lock)
{
	struct kpost_process *process = caller ? caller_put(caller) : NULL;

	spin_unlock(&mailbox->lock);
	kpost_process_put(process);
}

/* The same as kpost_caller_find(), or a fresh one, with a reference; NULL if there is no memory. */
struct kpost_caller *kpost_caller_get(struct kpost_endpoint *endpoint)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_caller *caller, *fresh;
	struct rb_node *node;

	spin_lock(&mailbox->lock);
	caller = kpost_caller_find(endpoint);
	if (caller)
		caller->refs++;
	spin_unlock(&mailbox->lock);
	if (caller)
		return caller;

	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return NULL;
	fresh->refs = 1;
	fresh->endpoint = endpoint;
	fresh->submitted = RB_ROOT;
	fresh->taken = RB_ROOT;
	fresh->interrupted = RB_ROOT;
	INIT_LIST_HEAD(&fresh->ready);
	INIT_LIST_HEAD(&fresh->collectors);
	fresh->process = kpost_process_of_task(GFP_KERNEL_ACCOUNT);
	if (!fresh->process) {
		kfree(fresh);
		return NULL;
	}
	spin_lock(&mailbox->lock);
	node = rb_find_add(&fresh->link, &endpoint->callers, caller_compare_nodes);
	if (node) {
		/* Another thread was faster. */
		caller = rb_entry(node, struct kpost_caller, link);
		caller->refs++;
	} else {
		spin_lock(&fresh->process->lock);
		list_add_tail(&fresh->of_process, &fresh->process->callers);
		spin_unlock(&fresh->process->lock);
	}
	spin_unlock(&mailbox->lock);
	if (!node)
		return fresh;
	kpost_process_put(fresh->process);
	kfree(fresh);
	return caller;
}

static int id_compare(const void *key, const struct rb_node *node)
{
	u64 id = *(const u64 *)key, its = rb_entry(node, struct kpost_call_state, by_id)->token;

	return id < its ? -1 : id > its;
}

static bool id_less(struct rb_node *node, const struct rb_node *other)
{
	return rb_entry(node, struct kpost_call_state, by_id)->token <
	       rb_entry(other, struct kpost_call_state, by_id)->token;
}

/* Where @call is. */
static struct rb_root *caller_tree(struct kpost_caller *caller, const struct kpost_call_state *call)
{
	if (!call->submitted)
		return &caller->interrupted;
	return call->taken ? &caller->taken : &caller->submitted;
}

/* @caller has @call from now on, and with it a reference. */
void kpost_caller_add(struct kpost_caller *caller, struct kpost_call_state *call)
{
	lockdep_assert_held(&caller->endpoint->mailbox->lock);
	rb_add(&call->by_id, caller_tree(caller, call), id_less);
	call->caller = caller;
	caller->refs++;
}

/*
 * And no longer: the reference is whose this was done for.  Returns what is to be put without the
 * lock, or NULL.
 */
struct kpost_process *kpost_caller_remove(struct kpost_call_state *call)
{
	struct kpost_caller *caller = call->caller;

	lockdep_assert_held(&caller->endpoint->mailbox->lock);
	rb_erase(&call->by_id, caller_tree(caller, call));
	list_del_init(&call->ready);
	call->caller = NULL;
	return caller_put(caller);
}

/* The one with @id that was @submitted and is not taken, or was interrupted; or NULL. */
struct kpost_call_state *kpost_caller_call(struct kpost_caller *caller, u64 id, bool submitted)
{
	struct rb_node *node;

	if (!caller)
		return NULL;
	node = rb_find(&id, submitted ? &caller->submitted : &caller->interrupted, id_compare);
	return node ? rb_entry(node, struct kpost_call_state, by_id) : NULL;
}

bool kpost_caller_taken(struct kpost_caller *caller, u64 id)
{
	return caller && rb_find(&id, &caller->taken, id_compare);
}

static void caller_move(struct kpost_call_state *call, bool taken)
{
	struct kpost_caller *caller = call->caller;

	rb_erase(&call->by_id, caller_tree(caller, call));
	call->taken = taken;
	rb_add(&call->by_id, caller_tree(caller, call), id_less);
}

/* Somebody collects @call, which is over: nobody else does, and nobody cancels it. */
void kpost_caller_take(struct kpost_call_state *call)
{
	caller_move(call, true);
	list_del_init(&call->ready);
}

/* And has failed: it is to be offered. */
void kpost_caller_untake(struct kpost_call_state *call)
{
	caller_move(call, false);
}

/*
 * @call can be collected, as the next if it is to be the @first: hand it to who waits for any,
 * else say so to those who poll.  @wakes is not full, and tells no other caller.
 */
void kpost_caller_offer(struct kpost_call_state *call, bool first, struct kpost_wakes *wakes)
{
	struct kpost_caller *caller = call->caller;
	struct kpost_endpoint *endpoint = caller->endpoint;
	struct kpost_waiter *collector =
		list_first_entry_or_null(&caller->collectors, struct kpost_waiter, link);

	lockdep_assert_held(&endpoint->mailbox->lock);
	if (collector) {
		list_del_init(&collector->link);
		kpost_caller_take(call);
		collector->call = call;
		kpost_waiter_done(collector, 0, wakes);
		return;
	}
	list_move(&call->ready, first ? &caller->ready : caller->ready.prev);
	/* No barrier, as in kpost_mailbox_tell_of(). */
	if (waitqueue_active(&endpoint->room.wait)) {
		wakes->reply = true;
		wakes->caller = endpoint;
		refcount_inc(&endpoint->refs);
	}
}

/* With the lock held: has its process or its endpoint ended?  Then nobody collects its calls. */
bool kpost_caller_ended(const struct kpost_caller *caller)
{
	return RB_EMPTY_NODE(&caller->link);
}

/* EPOLLPRI: has the task's process something to collect? */
bool kpost_caller_ready(struct kpost_endpoint *endpoint)
{
	struct kpost_caller *caller = kpost_caller_find(endpoint);

	return caller && !list_empty(&caller->ready);
}

/*
 * @call is its caller's no longer, whose reference is whose this was done for, and nobody wants
 * its reply: who waits to collect it does not any more.  @wakes is not full.  Returns what is to
 * be discarded without the lock, or NULL; *@process is to be put.
 */
struct kpost_message *kpost_caller_drop(struct kpost_mailbox *mailbox,
					struct kpost_call_state *call, struct kpost_wakes *wakes,
					struct kpost_process **process)
{
	lockdep_assert_held(&mailbox->lock);
	if (call->waiter)
		kpost_waiter_done(call->waiter, -ECANCELED, wakes);
	*process = kpost_caller_remove(call);
	return kpost_call_leave(mailbox, call, wakes);
}

/*
 * Give up @call, which its caller has.  Called with the lock held, returns without, and then
 * @call may be gone.
 */
void kpost_caller_give_up(struct kpost_mailbox *mailbox, struct kpost_call_state *call)
	__releases(&mailbox->lock)
{
	struct kpost_message *request = call->request, *trash;
	struct kpost_wakes wakes = {};
	struct kpost_process *process;

	lockdep_assert_held(&mailbox->lock);
	/* Who submits it waits for room. */
	if (request && request->sender) {
		kpost_waiter_done(request->sender, -ECANCELED, &wakes);
		request->sender = NULL;
	}
	trash = kpost_caller_drop(mailbox, call, &wakes, &process);
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_process_put(process);
	if (trash)
		kpost_message_discard(mailbox, trash);
	kpost_call_put(call);
}

/*
 * Give up the first call in @tree, of a caller that is held, if its id is no more than @last.
 * Returns whether there was one.
 */
bool kpost_caller_give_up_first(struct kpost_mailbox *mailbox, struct rb_root *tree, u64 last)
{
	struct kpost_call_state *call;
	struct rb_node *first;

	spin_lock(&mailbox->lock);
	first = rb_first(tree);
	call = first ? rb_entry(first, struct kpost_call_state, by_id) : NULL;
	if (!call || call->token > last) {
		spin_unlock(&mailbox->lock);
		return false;
	}
	kpost_caller_give_up(mailbox, call);
	cond_resched();
	return true;
}

/* Some of @collectors do not wait any more.  Are there others? */
bool kpost_caller_leave_first(struct kpost_mailbox *mailbox, struct list_head *collectors)
{
	struct kpost_waiter *waiter;
	struct kpost_wakes wakes = {};
	unsigned int i;
	bool others;

	spin_lock(&mailbox->lock);
	for (i = 0; i < ARRAY_SIZE(wakes.tasks) && !list_empty(collectors); i++) {
		waiter = list_first_entry(collectors, struct kpost_waiter, link);
		list_del_init(&waiter->link);
		kpost_waiter_done(waiter, -ECANCELED, &wakes);
	}
	others = !list_empty(collectors);
	kpost_mailbox_unlock(mailbox, &wakes);
	cond_resched();
	return others;
}

/*
 * No more calls are made by @caller, which is held, and no longer then.  No task is collecting one,
 * through an endpoint or in a process that has ended; but what is parked may have been given one,
 * which it lets go of when its work runs.
 */
static void caller_end(struct kpost_mailbox *mailbox, struct kpost_caller *caller)
{
	for (;;) {
		while (kpost_caller_leave_first(mailbox, &caller->collectors) ||
		       kpost_caller_give_up_first(mailbox, &caller->submitted, U64_MAX) ||
		       kpost_caller_give_up_first(mailbox, &caller->interrupted, U64_MAX))
			;
		spin_lock(&mailbox->lock);
		/* What is parked may have given one back. */
		if (RB_EMPTY_ROOT(&caller->submitted))
			break;
		spin_unlock(&mailbox->lock);
	}
	/* Its process and its endpoint may end at once, and neither waits for the other. */
	caller_unlink(caller);
	kpost_caller_unlock(mailbox, caller);
}

/* The endpoint goes, and with it all calls that were made through it. */
void kpost_callers_end(struct kpost_endpoint *endpoint)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_caller *caller;
	struct rb_node *node;

	for (;;) {
		spin_lock(&mailbox->lock);
		node = rb_first(&endpoint->callers);
		caller = node ? rb_entry(node, struct kpost_caller, link) : NULL;
		if (caller)
			caller->refs++;
		spin_unlock(&mailbox->lock);
		if (!caller)
			return;
		caller_end(mailbox, caller);
	}
}

/* @process has ended: its calls through one endpoint go.  Returns whether there was one. */
bool kpost_caller_end_first(struct kpost_process *process)
{
	struct kpost_mailbox *mailbox;
	struct kpost_caller *caller;
	struct net *net;

	/* As long as a caller is in the list, its endpoint holds what leads to the mailbox. */
	spin_lock(&process->lock);
	caller = list_first_entry_or_null(&process->callers, struct kpost_caller, of_process);
	if (caller) {
		net = get_net(caller->endpoint->net);
		mailbox = caller->endpoint->mailbox;
		kpost_mailbox_get(mailbox);
	}
	spin_unlock(&process->lock);
	if (!caller)
		return false;

	/* Only who has this lock sees that it has a reference, and it may have gone meanwhile. */
	spin_lock(&mailbox->lock);
	spin_lock(&process->lock);
	caller = list_first_entry_or_null(&process->callers, struct kpost_caller, of_process);
	if (caller && caller->endpoint->mailbox == mailbox)
		caller->refs++;
	else
		caller = NULL;
	spin_unlock(&process->lock);
	spin_unlock(&mailbox->lock);
	if (caller)
		caller_end(mailbox, caller);
	kpost_mailbox_put(mailbox);
	put_net(net);
	return true;
}
