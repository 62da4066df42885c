/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages that are held: a receiver has them, and has yet to say that it is done with them.
 *
 * A held message is in none of the mailbox's queues, and keeps its room.  Its hold is found by its
 * token in the tree of the endpoint that it was received through, and from the process that
 * received it, and it goes back when either of these ends, or its time is over.  All that ends a
 * hold takes it out of the tree first, under the mailbox's lock; who does so frees it, and nobody
 * else has it then.  But the hold of a call that is being replied to stays until that is over.
 *
 * A message that was returned for later is with nobody: its hold has no endpoint, and goes with
 * the message.  The mailbox has those that are for a while only, of either kind, in a tree by time,
 * whose timer has a work put them back.
 */
#ifndef KPOST_HOLD_H
#define KPOST_HOLD_H

#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include "account.h"
#include "clock.h"
#include "message.h"

struct kpost_endpoint;
struct kpost_holding;
struct kpost_mailbox;
struct kpost_operand;
struct kpost_process;
struct kpost_reply;
struct kpost_wakes;

struct kpost_hold {
	u64 token; /* fixed, never another's, nor a call's */
	ktime_t until; /* when it goes back by itself, by the kernel's @clock, or 0 */
	enum kpost_clock clock;
	struct kpost_charge charge; /* for all that there is of it */
	struct kpost_extra *spare; /* for a message that has none */
	struct kpost_process *process; /* held; NULL once it was returned for later */

	/* protected by the mailbox's lock, once a message is held */
	struct kpost_message *message;
	struct kpost_endpoint *endpoint; /* through which; NULL once it was returned for later */
	struct rb_node link; /* in endpoint->holds */
	struct list_head of_process; /* in process->holds (and by process->lock) */
	struct rb_node by_time; /* in the mailbox's holding, or cleared */
	bool over; /* it goes back once nobody replies to the call any more */
};

void kpost_holding_free(struct kpost_holding *holding);

struct kpost_hold *kpost_hold_new(struct kpost_endpoint *endpoint, u64 until,
				  enum kpost_clock clock);
void kpost_hold_free(struct kpost_hold *hold);
int kpost_hold_begin(struct kpost_endpoint *endpoint, struct kpost_message *message,
		     struct kpost_hold *hold);
bool kpost_hold_applies(const struct kpost_message *message);
long kpost_hold_end(struct kpost_operand *op, const struct kpost_reply *arg, u64 __user *used);
void kpost_holds_end(struct kpost_endpoint *endpoint);
bool kpost_hold_return_first(struct kpost_process *process);
void kpost_hold_unclaimed(struct kpost_endpoint *endpoint, struct kpost_hold *hold);

/* With mailbox->lock held. */
struct kpost_hold *kpost_hold_find(struct kpost_endpoint *endpoint, u64 token);
void kpost_hold_take(struct kpost_endpoint *endpoint, struct kpost_hold *hold);
void kpost_hold_delayed_withdraw(struct kpost_mailbox *mailbox, struct kpost_message *message);
struct kpost_message *kpost_hold_delayed_first(struct kpost_mailbox *mailbox);
u32 kpost_holding_max(const struct kpost_mailbox *mailbox);

#endif /* KPOST_HOLD_H */
