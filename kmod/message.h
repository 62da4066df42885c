/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages and the memory of their payloads.
 *
 * A message is built by its sender alone (memory, charge, copy of the payload)
 * and then committed to a mailbox, from where it goes through these
 * states (protected by the mailbox's lock):
 *
 *	PENDING   its sender waits for room; in mailbox->pending
 *	QUEUED    in mailbox->queue
 *	TAKEN     a receiver copies it out; in no list, its room still held
 *
 * From TAKEN it is received and freed, or goes back to QUEUED if the copy
 * needs a page that is not there, or is dropped if its sender has withdrawn it in
 * the meantime.
 */
#ifndef KPOST_MESSAGE_H
#define KPOST_MESSAGE_H

#include <linux/build_bug.h>
#include <linux/types.h>

#include "memory.h"
#include "origin.h"
#include "queue.h"

struct kpost_account;
struct kpost_call_state;
struct kpost_mailbox;
struct kpost_payload;
struct kpost_place;
struct kpost_waiter;

enum kpost_message_state {
	KPOST_PENDING,
	KPOST_QUEUED,
	KPOST_TAKEN,
};

struct kpost_message {
	/* protected by the mailbox's lock, once committed */
	struct kpost_node node; /* order is the sequence number */
	struct kpost_waiter *sender; /* waits for room, receipt or a reply; or NULL */
	struct kpost_call_state *call; /* held, if the sender waits for a reply */
	u8 state; /* enum kpost_message_state */
	bool withdrawn; /* while TAKEN: the sender has left */

	/* fixed once committed */
	bool sync; /* the sender waits for receipt */
	bool kept; /* its blocks are the mailbox's */
	u32 class; /* of its first block */
	u32 size; /* of the payload */
	u32 room; /* bytes that there is memory for, no less than that */
	u64 tag; /* the sender's */
	u64 time; /* when it got in, or of a reply when it was made: CLOCK_MONOTONIC, coarse */
	struct kpost_origin *origin; /* whom it is from: one of its uses, once committed; or NULL */

	struct kpost_account *account; /* it is charged to, until it got in; or NULL */
	struct kpost_block *pieces; /* what does not fit into data */
	u8 data[];
};

/* Such that a message of 64 bytes takes no more than a block of 192. */
static_assert(sizeof(struct kpost_message) <= 128);

/* What a message with a payload of @size bytes counts for while it does. */
static inline size_t kpost_message_cost(size_t size)
{
	return sizeof(struct kpost_message) + size;
}

struct kpost_message *kpost_message_alloc(size_t size);
void kpost_message_free(struct kpost_message *message);
int kpost_message_copy_in(struct kpost_message *message, const struct kpost_payload *from,
			  struct kpost_place *place);
int kpost_message_copy_out(struct kpost_message *message, const struct kpost_payload *to,
			   struct kpost_place *place, size_t size);

/* With the mailbox's lock held. */
struct kpost_message *kpost_message_take(struct kpost_mailbox *mailbox, size_t size);
struct kpost_origin *kpost_message_leave(struct kpost_mailbox *mailbox,
					 struct kpost_message *message);

/* Without. */
void kpost_message_discard(struct kpost_mailbox *mailbox, struct kpost_message *message);
void kpost_message_keep_like(struct kpost_mailbox *mailbox, const struct kpost_message *message);

#endif /* KPOST_MESSAGE_H */
