/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keyed mailboxes: what is in them can be received by tag, and be replaced.
 *
 * All messages of such a mailbox are in its queues as in any other, and besides in trees by tag,
 * for which each has a struct kpost_key: those that are QUEUED in one, and those that wait for room
 * in another.  Tags are chosen by strangers, so there is nothing here that could be made to be
 * walked: each step is a search in a tree, or a bounded number of them.
 *
 * Who waits for a tag is in a tree of waiters, by tag, and then by who came first.  Who waits for
 * any message is in the mailbox's list; each has a ticket, so a message goes to whoever has waited
 * longest among those whom it suits.  While somebody waits for a tag there is no message of it,
 * unless it takes too long to hand them out in one go: then the first who waits for it is
 * *unserved*, and whoever drops the lock goes on with that, see kpost_keyed_settle().
 *
 * A receive by tag finds what waits for room as well, so that a mailbox full of other tags holds
 * nobody up.  Such a message is taken *beyond* the capacity: it is TAKEN, and stays where it was in
 * the line, so that nothing of it is overtaken; it goes on to count for its sender, and gets in,
 * with a number, only when it has been received.
 *
 * Where the mailbox lets its senders replace messages, those that can be are in a tree by tag and
 * by whose they are.  What replaces another has a number of its own, and the other's place.  It
 * passes nothing of its tag and owner that waits for room: all that wait are in such a tree, too.
 */
#ifndef KPOST_KEYED_H
#define KPOST_KEYED_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include "expiry.h"
#include "message.h"
#include "wait.h"

struct kpost_endpoint;
struct kpost_mailbox;
struct kpost_origin;

/* Of one mailbox (protected by its lock). */
struct kpost_keyed {
	struct rb_root queued; /* of struct kpost_key, by tag, priority and place */
	struct rb_root pending; /* likewise, of those that wait for room */
	struct rb_root replaceable; /* of those queued, by tag, owner and place */
	struct rb_root in_line; /* likewise, of those that wait for room, also TAKEN beyond */
	struct rb_root waiting; /* of struct kpost_key_waiter, by tag and ticket */
	struct list_head unserved; /* of those, where there may be messages for them */
	struct list_head gone; /* of messages that were replaced, to be discarded */
	u64 tickets; /* the last that a waiter has */
	u64 arrivals; /* the last that a message has */
	u64 replaced_from; /* the first number that can be replaced, or 0 for none */
	u32 count; /* in @queued */
};

/* What each message of a keyed mailbox has: its extra. */
struct kpost_key {
	struct kpost_extra extra;
	/* protected by the mailbox's lock */
	struct rb_node by_key; /* while QUEUED or PENDING */
	struct rb_node by_owner; /* in one of those trees, or cleared */
	u64 tag;
	u64 place; /* within its priority: its number, or that of the one it replaced */
	u64 owner; /* its badge, or if that is 0 its opener; while @by_owner is in a tree */
	u64 arrived; /* which one it was of all that came, and wait for room or do not */
	struct kpost_account *account; /* while TAKEN beyond: that it is charged to */
	bool badged; /* @owner is a badge */
	bool replaces; /* while PENDING: it may replace one */
	bool beyond; /* while TAKEN: it has no room */
	bool unlisted; /* while that: it waits for room no more */
};

/* Waits for a tag. */
struct kpost_key_waiter {
	struct kpost_waiter waiter; /* its link is in keyed->unserved */
	struct rb_node by_tag; /* in keyed->waiting */
	u64 tag;
};

int kpost_keyed_prepare(struct kpost_mailbox *mailbox);
int kpost_message_key(struct kpost_message *message);
void kpost_keyed_discard(struct kpost_mailbox *mailbox);

/* With mailbox->lock held, of a mailbox that is keyed. */
void kpost_key_queued(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending);
void kpost_key_unqueued(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending);
struct kpost_message *kpost_keyed_queued(const struct kpost_mailbox *mailbox, u64 tag);
struct kpost_message *kpost_keyed_next(const struct kpost_mailbox *mailbox, u64 tag);
bool kpost_keyed_unsettled(const struct kpost_mailbox *mailbox, u64 tag);
bool kpost_keyed_over(const struct kpost_mailbox *mailbox);
void kpost_keyed_take(struct kpost_mailbox *mailbox, struct kpost_message *message);
bool kpost_keyed_place(struct kpost_mailbox *mailbox, struct kpost_message *message,
		       struct kpost_wakes *wakes);
void kpost_keyed_pended(struct kpost_mailbox *mailbox, struct kpost_message *message,
			struct kpost_wakes *wakes);
void kpost_keyed_settle(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes);
void kpost_keyed_end(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes);
void kpost_keyed_ticket(struct kpost_mailbox *mailbox, struct kpost_waiter *receiver);
void kpost_keyed_await(struct kpost_mailbox *mailbox, struct kpost_key_waiter *receiver, u64 tag);
void kpost_keyed_leave(struct kpost_mailbox *mailbox, struct kpost_key_waiter *receiver,
		       struct kpost_wakes *wakes);

/* Likewise: @message was taken beyond the capacity. */
void kpost_beyond_get_in(struct kpost_mailbox *mailbox, struct kpost_message *message,
			 struct kpost_wakes *wakes);
void kpost_beyond_return(struct kpost_mailbox *mailbox, struct kpost_message *message,
			 struct kpost_wakes *wakes);
void kpost_beyond_drop(struct kpost_mailbox *mailbox, struct kpost_message *message,
		       struct kpost_wakes *wakes);
void kpost_beyond_repeats(struct kpost_mailbox *mailbox, struct kpost_message *message,
			  struct kpost_wakes *wakes);
void kpost_beyond_gone(struct kpost_mailbox *mailbox, struct kpost_message *message,
		       struct kpost_wakes *wakes);

/* Likewise: to replace, see replace.c. */
struct kpost_message *kpost_replaceable(const struct kpost_mailbox *mailbox,
					const struct kpost_message *message,
					const struct kpost_origin *origin);
bool kpost_replace_passes(const struct kpost_mailbox *mailbox, const struct kpost_message *message,
			  const struct kpost_origin *origin);
bool kpost_replace_fits(const struct kpost_mailbox *mailbox, const struct kpost_message *message,
			const struct kpost_message *old, bool waits);
struct kpost_message *kpost_waits_to_replace(const struct kpost_mailbox *mailbox,
					     const struct kpost_message *message);
void kpost_replace(struct kpost_mailbox *mailbox, struct kpost_message *message,
		   struct kpost_message *old, struct kpost_wakes *wakes);
void kpost_key_own(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending);
void kpost_key_disown(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending);
bool kpost_may_replace(const struct kpost_mailbox *mailbox, const struct kpost_message *message);
void kpost_replace_let_in(struct kpost_mailbox *mailbox, struct kpost_message *message,
			  struct kpost_wakes *wakes);

/* Of a message of a keyed mailbox. */
static inline struct kpost_key *kpost_key(const struct kpost_message *message)
{
	return container_of(message->extra, struct kpost_key, extra);
}

/* Was @message, which is in hand, taken beyond the capacity? */
static inline bool kpost_message_is_beyond(const struct kpost_message *message)
{
	return message->extra && message->extra->keyed && kpost_key(message)->beyond;
}

#endif /* KPOST_KEYED_H */
