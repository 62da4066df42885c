// SPDX-License-Identifier: GPL-2.0-only
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "endpoint.h"
#include "expiry.h"
#include "mailbox.h"
#include "mark.h"

struct kpost_mark {
	struct rb_node by_badge; /* in mailbox->marks (protected by mailbox->lock) */
	u64 badge; /* fixed */
	u64 number; /* of the last that was taken, or 0 (protected by mailbox->lock) */
	struct kpost_charge charge;
};

static struct kpost_mark *mark_find(struct kpost_mailbox *mailbox, u64 badge)
{
	struct rb_node *node = mailbox->marks.rb_node;

	lockdep_assert_held(&mailbox->lock);
	while (node) {
		struct kpost_mark *mark = rb_entry(node, struct kpost_mark, by_badge);

		if (mark->badge == badge)
			return mark;
		node = badge < mark->badge ? node->rb_left : node->rb_right;
	}
	return NULL;
}

/*
 * A mark for @badge, charged to who pays for what the task does through @endpoint.  Returns it or
 * -ENOMEM, -EDQUOT, -ENOBUFS.
 */
struct kpost_mark *kpost_mark_new(struct kpost_endpoint *endpoint, u64 badge)
{
	struct kpost_mark *mark = kmalloc(sizeof(*mark), GFP_KERNEL_ACCOUNT);
	int err;

	if (!mark)
		return ERR_PTR(-ENOMEM);
	err = kpost_endpoint_charge(endpoint, &mark->charge, sizeof(*mark), false);
	if (err) {
		kfree(mark);
		return ERR_PTR(err);
	}
	mark->badge = badge;
	mark->number = 0;
	return mark;
}

void kpost_mark_free(struct kpost_mark *mark)
{
	kpost_uncharge(&mark->charge);
	kfree(mark);
}

/* Add @mark, which is the mailbox's then.  Returns false if there is one of that badge. */
bool kpost_mark_add(struct kpost_mailbox *mailbox, struct kpost_mark *mark)
{
	struct rb_node **link = &mailbox->marks.rb_node, *parent = NULL;

	lockdep_assert_held(&mailbox->lock);
	while (*link) {
		struct kpost_mark *other = rb_entry(*link, struct kpost_mark, by_badge);

		if (other->badge == mark->badge)
			return false;
		parent = *link;
		link = mark->badge < other->badge ? &parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&mark->by_badge, parent, link);
	rb_insert_color(&mark->by_badge, &mailbox->marks);
	return true;
}

/* @mailbox is closed: nothing is taken any more, and no mark is looked at that a message has. */
void kpost_marks_free(struct kpost_mailbox *mailbox)
{
	struct rb_root marks;
	struct rb_node *node;

	spin_lock(&mailbox->lock);
	marks = mailbox->marks;
	mailbox->marks = RB_ROOT;
	spin_unlock(&mailbox->lock);
	while ((node = rb_first(&marks))) {
		rb_erase(node, &marks);
		kpost_mark_free(rb_entry(node, struct kpost_mark, by_badge));
		cond_resched();
	}
}

bool kpost_mark_exists(struct kpost_mailbox *mailbox, u64 badge)
{
	bool exists;

	spin_lock(&mailbox->lock);
	exists = mark_find(mailbox, badge);
	spin_unlock(&mailbox->lock);
	return exists;
}

/* The number of the last that was taken of @badge's, or 0. */
u64 kpost_mark_of(struct kpost_mailbox *mailbox, u64 badge)
{
	const struct kpost_mark *mark;
	u64 number;

	spin_lock(&mailbox->lock);
	mark = mark_find(mailbox, badge);
	number = mark ? mark->number : 0;
	spin_unlock(&mailbox->lock);
	return number;
}

/*
 * Give @message, which is to be sent through @endpoint, a @number.  Returns 0, -ENOMEM, -EPIPE, or
 * -ENOENT if there is no mark.
 */
int kpost_message_number(struct kpost_endpoint *endpoint, struct kpost_message *message, u64 number)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_extra *extra = kpost_message_extra(message);
	int err;

	if (!extra)
		return -ENOMEM;
	spin_lock(&mailbox->lock);
	err = mailbox->shut ? -EPIPE : 0;
	extra->mark = mark_find(mailbox, endpoint->badge);
	spin_unlock(&mailbox->lock);
	extra->number = number;
	if (!err && !extra->mark)
		err = -ENOENT;
	return err;
}

/*
 * Was the number of @message, which is about to get in, sent before?  While the mailbox is not
 * shut it has all its marks.
 */
bool kpost_message_repeats(const struct kpost_message *message)
{
	const struct kpost_extra *extra = message->extra;

	return extra && extra->mark && extra->number <= extra->mark->number;
}

/* @message gets in, and repeats nothing. */
void kpost_message_mark(struct kpost_message *message)
{
	if (message->extra && message->extra->mark)
		message->extra->mark->number = message->extra->number;
}
