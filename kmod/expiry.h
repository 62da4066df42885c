/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages that are not to be received past a time: they expire.
 *
 * Such a message is in a tree of its mailbox's while it is in one of its queues: in one for each
 * clock, since those do not go alike.  A timer of that clock has a work drop those whose time has
 * come, a few at a time, so that they make room though nobody receives.  Since that may be late,
 * whoever takes a message looks as well; and since the clock may be set back, what was found to
 * have expired then is dropped without another look.
 *
 * What few messages have is not in them, but in a struct kpost_extra, which goes with them.
 */
#ifndef KPOST_EXPIRY_H
#define KPOST_EXPIRY_H

#include <linux/ktime.h>
#include <linux/rbtree.h>

#include "clock.h"
#include "message.h"

struct kpost_expiry;
struct kpost_hold;
struct kpost_mailbox;
struct kpost_mark;

/*
 * What only some messages have; kpost_message_shed() frees it, so @own is set for them.  In a keyed
 * mailbox it is the beginning of a struct kpost_key, which all have.
 */
struct kpost_extra {
	struct kpost_message *message;
	struct rb_node by_time; /* in the mailbox's expiry (protected by mailbox->lock) */
	bool keyed; /* fixed */
	enum kpost_clock clock; /* fixed */
	ktime_t expires; /* by the kernel's @clock, or 0; fixed */
	u64 number; /* its sender's, see mark.h; fixed */
	struct kpost_mark *mark; /* of its badge; or NULL: it has none; fixed */
	u64 attempts; /* how often it was held and came back (protected by mailbox->lock) */
	struct kpost_hold *hold; /* its own, while it is DELAYED; or NULL */
};

int kpost_expiry_prepare(struct kpost_mailbox *mailbox);
void kpost_expiry_free(struct kpost_expiry *expiry);
struct kpost_extra *kpost_extra_new(void);
void kpost_extra_give(struct kpost_message *message, struct kpost_extra *extra);
int kpost_message_expires(struct kpost_message *message, ktime_t expires, enum kpost_clock clock);
struct kpost_extra *kpost_message_extra(struct kpost_message *message);
void kpost_message_expire(struct kpost_mailbox *mailbox, struct kpost_message *message);

/*
 * With mailbox->lock held: @message, which has an extra, is in a queue, of those that wait for room
 * if it is @pending, or was just taken out.
 */
void kpost_extra_queued(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending);
void kpost_extra_unqueued(struct kpost_mailbox *mailbox, struct kpost_message *message,
			  bool pending);

/* The same, as far as its time is concerned. */
void kpost_extra_timed(struct kpost_mailbox *mailbox, struct kpost_message *message);
void kpost_extra_untimed(struct kpost_mailbox *mailbox, struct kpost_message *message);

bool kpost_extra_expired(const struct kpost_extra *extra);

/* Is it too late for @message? */
static inline bool kpost_message_expired(const struct kpost_message *message)
{
	return unlikely(message->extra) && kpost_extra_expired(message->extra);
}

#endif /* KPOST_EXPIRY_H */
