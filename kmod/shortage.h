/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Long messages that were refused for want of a share, and who polls for that.
 *
 * A message of up to 64 KiB counts for nobody while there is room for it, so an endpoint can be
 * written to when its mailbox has room.  A longer one is charged, and may be refused though there
 * is room.  So that nobody polls and is refused in turns, the endpoint then cannot be written to
 * by that user before the user's share has as much as was asked for.
 *
 * Each poll looks at the shares themselves.  The lists, one of each account, are for those who
 * sleep: whenever something is given back, all that are in the list are told, and taken off it; who
 * finds that it is still not enough is put on again.  So each time that somebody is told was
 * paid for by a system call.
 */
#ifndef KPOST_SHORTAGE_H
#define KPOST_SHORTAGE_H

#include <linux/list.h>
#include <linux/types.h>

struct kpost_account;
struct kpost_endpoint;

/* Of an endpoint.  Protected by its mailbox's lock. */
struct kpost_shortage {
	struct kpost_account *account; /* who was refused, held; or NULL */
	struct kpost_account *lacks; /* in whose list it is: that, its sponsor's or its office's */
	size_t bytes; /* were asked for; 0 if there are so many again */
	struct list_head link; /* in lacks->shortages (protected by lacks->lock) */
};

static inline void kpost_shortage_init(struct kpost_shortage *shortage)
{
	shortage->account = NULL;
	shortage->lacks = NULL;
	shortage->bytes = 0;
	INIT_LIST_HEAD(&shortage->link);
}

/* With the mailbox's lock held. */
void kpost_shortage_note(struct kpost_endpoint *endpoint, struct kpost_account *account,
			 size_t bytes);
bool kpost_shortage_lasts(struct kpost_endpoint *endpoint);
void kpost_shortage_end(struct kpost_endpoint *endpoint);

void kpost_shortages_tell(struct kpost_account *account);
void kpost_shortages_work(struct kpost_account *account);

#endif /* KPOST_SHORTAGE_H */
