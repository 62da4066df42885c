/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Marks: the highest number that was sent to a mailbox through endpoints of one badge.
 *
 * A message that has a number is taken only if that is above the mark of its badge, which it then
 * becomes, under the mailbox's lock, in the moment in which it gets in; else its sender is told
 * that it was sent before.  So who sends again what may have been sent doubles nothing.
 *
 * A mark is made by a grant, counts for who granted, and is found by those who send through any
 * endpoint of that badge until the mailbox closes.  Then nothing is taken any more, and all of
 * them go.
 */
#ifndef KPOST_MARK_H
#define KPOST_MARK_H

#include <linux/types.h>

#include "account.h"

struct kpost_endpoint;
struct kpost_mailbox;
struct kpost_mark;
struct kpost_message;

struct kpost_mark *kpost_mark_new(struct kpost_endpoint *endpoint, u64 badge);
void kpost_mark_free(struct kpost_mark *mark);
void kpost_marks_free(struct kpost_mailbox *mailbox);
int kpost_message_number(struct kpost_endpoint *endpoint, struct kpost_message *message,
			 u64 number);
u64 kpost_mark_of(struct kpost_mailbox *mailbox, u64 badge);
bool kpost_mark_exists(struct kpost_mailbox *mailbox, u64 badge);

/* With mailbox->lock held. */
bool kpost_mark_add(struct kpost_mailbox *mailbox, struct kpost_mark *mark);
bool kpost_message_repeats(const struct kpost_message *message);
void kpost_message_mark(struct kpost_message *message);

#endif /* KPOST_MARK_H */
