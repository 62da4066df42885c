/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What becomes of messages that find no room, where their sender wants no wait: they are dropped,
 * or older ones are.  What is lost so, or expires, is counted, and the next receiver is told.
 *
 * Nothing of this is on the way of a message that finds room, and a mailbox that does not let its
 * senders do so, and had no messages that expire or were held, has no memory for it.
 */
#ifndef KPOST_OVERFLOW_H
#define KPOST_OVERFLOW_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "../uapi/linux/kpost.h"
#include "mailbox.h"

struct kpost_endpoint;
struct kpost_expiry;
struct kpost_holding;
struct kpost_keyed;
struct kpost_message;
struct kpost_waiter;

#define KPOST_DROPS (KPOST_DROP_NEW | KPOST_DROP_OLD)
/* Those that a sender can ask for. */
#define KPOST_LOSES (KPOST_DROPS | KPOST_REPLACE)
#define KPOST_OVERFLOWS \
	(KPOST_OVERFLOW_DROP_NEW | KPOST_OVERFLOW_DROP_OLD | KPOST_OVERFLOW_ANY | \
	 KPOST_OVERFLOW_REPLACE)

/* Of one mailbox, once it can have lost messages (protected by its lock). */
struct kpost_losses {
	u64 missed; /* that no receiver was told of; read without the lock too */
	u64 dropped_new;
	u64 dropped_old;
	u64 expired;
	u64 replaced;
	struct kpost_expiry *expiry; /* NULL if there never was one that expires; set once */
	struct kpost_holding *holding; /* NULL if nothing ever was to be held; set once */
	struct kpost_keyed *keyed; /* fixed; NULL unless the mailbox is keyed */
	u32 overflow; /* KPOST_OVERFLOW_* */
	u32 held; /* messages that are HELD or DELAYED, see hold.h */
	u32 held_max; /* how many of them one endpoint may have; 0 is half of the capacity */
};

int kpost_losses_prepare(struct kpost_mailbox *mailbox);
void kpost_losses_free(struct kpost_losses *losses);
int kpost_overflow_permission(struct kpost_mailbox *mailbox, u32 flags);
int kpost_overflow(struct kpost_endpoint *endpoint, struct kpost_message *message, u32 flags,
		   struct kpost_waiter *sender, bool parked, bool nowait, u64 *sequence);
void kpost_overflow_set(struct kpost_mailbox *mailbox, u32 overflow);
u64 kpost_missed_claim(struct kpost_mailbox *mailbox);
void kpost_missed_return(struct kpost_mailbox *mailbox, u64 missed);

/* Those of @mailbox, or NULL; any sender can have it begin to have some. */
static inline struct kpost_losses *kpost_losses(const struct kpost_mailbox *mailbox)
{
	return READ_ONCE(mailbox->losses);
}

/* Is there something to tell the next receiver of?  If so, that is kpost_missed_claim()'s. */
static inline bool kpost_missed(const struct kpost_mailbox *mailbox)
{
	struct kpost_losses *losses = kpost_losses(mailbox);

	return unlikely(losses && READ_ONCE(losses->missed));
}

#endif /* KPOST_OVERFLOW_H */
