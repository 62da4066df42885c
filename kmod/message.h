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
 *	HELD      a receiver has it, and has yet to say that it is done with it; likewise
 *	DELAYED   that was put off; in the mailbox's holding, see hold.h
 *	GONE      received, dropped or withdrawn, while somebody still looks at it
 *
 * From TAKEN it is received and freed, or goes back to QUEUED if the copy
 * needs a page that is not there, or is dropped if its sender has withdrawn it in
 * the meantime, or if it had expired when it was taken, see expiry.h; or it is HELD, from
 * where it goes the same ways.
 *
 * Whoever peeks pins a message that is QUEUED, for as long as a copy takes that waits for no
 * page.  It can be received, dropped or withdrawn meanwhile: who does that leaves the memory to
 * the last that looks at it.  What is in no queue is pinned no further.
 */
#ifndef KPOST_MESSAGE_H
#define KPOST_MESSAGE_H

#include <linux/build_bug.h>
#include <linux/types.h>

#include "memory.h"
#include "origin.h"
#include "payload.h"
#include "queue.h"
#include "usercopy.h"

struct kpost_account;
struct kpost_call_state;
struct kpost_extra;
struct kpost_mailbox;
struct kpost_waiter;

enum kpost_message_state {
	KPOST_PENDING,
	KPOST_QUEUED,
	KPOST_TAKEN,
	KPOST_HELD,
	KPOST_DELAYED,
	KPOST_GONE,
};

struct kpost_message {
	/* protected by the mailbox's lock, once committed */
	struct kpost_node node; /* order is the sequence number */
	struct kpost_waiter *sender; /* waits for room or receipt; or NULL */
	struct kpost_call_state *call; /* held, if it is the request of one */
	u8 state; /* enum kpost_message_state */
	bool withdrawn; /* while TAKEN or HELD, or not yet committed: the sender has left */

	/* fixed once committed, but for what says else */
	u8 flags; /* KPOST_MESSAGE_SYNC or _CALL, or 0 */
	bool first_kept; /* its first block is the mailbox's */
	u8 pins; /* so many look at it (protected by the mailbox's lock) */
	bool counts; /* for @account, until it got in (likewise) */
	bool own; /* some block is the sender's, or it has an extra */
	u8 class; /* of its first block */
	u32 size; /* of the payload */
	u32 room; /* bytes that there is memory for, no less than that */
	u64 tag; /* the sender's */
	union {
		/* when it got in, or of a reply when it was made: CLOCK_MONOTONIC, coarse */
		u64 time;
		struct kpost_account *account; /* that it is charged to, if it @counts */
	};
	struct kpost_origin *origin; /* whom it is from: one of its uses, once committed; or NULL */
	struct kpost_extra *extra; /* its own; or NULL */

	u8 *payload; /* all of it: in data, or the only piece; or NULL */
	u8 data[] __aligned(8); /* or the first table of pieces */
};

/* Such that a message of 64 bytes takes no more than a block of 192. */
static_assert(sizeof(struct kpost_message) <= 128);

/* A block that is a part of the payload, from its beginning on. */
struct kpost_piece {
	u8 *data;
	u32 room; /* bytes of it that are used */
	u8 class;
	bool kept; /* it is the mailbox's */
};

/*
 * The pieces of a payload that is not in its message's first block.  All that is kept, pieces
 * and tables, comes before all that is the sender's own.
 */
struct kpost_pieces {
	struct kpost_pieces *more; /* in a block of the smallest class; or NULL */
	u16 count;
	bool kept; /* this table is the mailbox's; the first one is where its message is */
	struct kpost_piece piece[];
};

/* Has a receiver got @message, so that nobody else can take it out of the mailbox? */
static inline bool kpost_message_in_hands(const struct kpost_message *message)
{
	return message->state == KPOST_TAKEN || message->state == KPOST_HELD;
}

static inline struct kpost_pieces *kpost_message_pieces(struct kpost_message *message)
{
	return (struct kpost_pieces *)message->data;
}

static inline bool kpost_message_in_pieces(const struct kpost_message *message)
{
	return message->payload != message->data;
}

/* @message is charged to @account, which is held for that, until it gets in or is freed. */
static inline void kpost_message_count(struct kpost_message *message, struct kpost_account *account)
{
	message->account = account;
	message->counts = true;
}

/* What a message with a payload of @size bytes counts for while it does. */
static inline size_t kpost_message_cost(size_t size)
{
	return sizeof(struct kpost_message) + size;
}

struct kpost_message *kpost_message_alloc(size_t size);
void kpost_message_free(struct kpost_message *message);

void kpost_message_discard(struct kpost_mailbox *mailbox, struct kpost_message *message);
void kpost_message_unpin(struct kpost_mailbox *mailbox, struct kpost_message *message);
int kpost_message_extend(struct kpost_message *message);
bool kpost_message_take_pieces(struct kpost_kept *kept, struct kpost_message *message);
void kpost_message_give_pieces(struct kpost_kept *kept, struct kpost_message *message);
struct kpost_block *kpost_message_shed_pieces(struct kpost_message *message);
void kpost_message_shed_extra(struct kpost_message *message);

/*
 * The class of the first block of a message with a payload of @size bytes.  If both are not well
 * in one block, it is the smallest, and the payload is @in_pieces.
 */
static inline unsigned int kpost_message_class(size_t size, bool *in_pieces)
{
	unsigned int class = KPOST_CLASS_SPLIT;

	if (likely(size <= SZ_4K - sizeof(struct kpost_message)))
		class = kpost_class_of(sizeof(struct kpost_message) + size);
	*in_pieces = unlikely(class & KPOST_CLASS_SPLIT);
	return *in_pieces ? 0 : class;
}

static inline void kpost_message_no_pieces(struct kpost_message *message)
{
	*kpost_message_pieces(message) = (struct kpost_pieces){ .kept = true };
	message->payload = NULL;
}

/* All but what a commit, and who commits, fill in. */
static __always_inline void kpost_message_init(struct kpost_message *message, size_t size,
					       unsigned int class, bool in_pieces, bool kept)
{
	message->node.order = 0;
	message->sender = NULL;
	message->call = NULL;
	message->state = KPOST_PENDING;
	message->withdrawn = false;
	message->flags = 0;
	message->first_kept = kept;
	message->pins = 0;
	message->counts = false;
	message->own = !kept;
	message->class = class;
	message->size = size;
	message->room = size;
	message->origin = NULL;
	message->extra = NULL;
	message->payload = message->data;
	if (unlikely(in_pieces))
		kpost_message_no_pieces(message);
}

/*
 * With the mailbox's lock held: a message with room for @size bytes in blocks that @kept has to
 * spare, or NULL.  Unless it is @whole some pieces are lacking, see kpost_message_extend().
 */
static inline struct kpost_message *kpost_message_take(struct kpost_kept *kept, size_t size,
						       bool *whole)
{
	struct kpost_message *message;
	unsigned int class;
	bool in_pieces;

	if (unlikely(!kept))
		return NULL;
	class = kpost_message_class(size, &in_pieces);
	message = kpost_kept_take(kept, class);
	if (unlikely(!message))
		return NULL;
	kpost_message_init(message, size, class, in_pieces, true);
	*whole = likely(!in_pieces) || kpost_message_take_pieces(kept, message);
	return message;
}

/*
 * Nobody but the task has @message, nor will use it again: free its extra, and take off the pieces
 * that are not the mailbox's, which can be many.
 */
static inline struct kpost_block *kpost_message_shed(struct kpost_message *message)
{
	if (likely(!message->own))
		return NULL;
	if (unlikely(message->extra))
		kpost_message_shed_extra(message);
	return kpost_message_in_pieces(message) ? kpost_message_shed_pieces(message) : NULL;
}

/*
 * With the mailbox's lock held: @message, which has shed its own pieces, is gone.  Its blocks
 * that are @kept's are given back, else *@own has one more.  Returns its origin if that is to be
 * freed, or NULL.
 */
static inline struct kpost_origin *kpost_message_leave(struct kpost_kept *kept,
						       struct kpost_message *message,
						       struct kpost_block **own)
{
	struct kpost_origin *origin = message->origin;
	unsigned int class = message->class;

	if (unlikely(kpost_message_in_pieces(message)))
		kpost_message_give_pieces(kept, message);
	if (likely(message->first_kept))
		kpost_kept_give(kept, message, class);
	else
		kpost_block_push(own, message, class);
	return likely(origin) ? kpost_origin_put(origin) : NULL;
}

/*
 * See kpost_message_copy(): where the message is in pieces, or the payload is, or a part of it
 * was copied before.
 */
int kpost_message_copy_in_on(struct kpost_message *message, const struct kpost_payload *from,
			     struct kpost_place *place, size_t size);
int kpost_message_copy_out_on(struct kpost_message *message, const struct kpost_payload *to,
			      struct kpost_place *place, size_t size);

/*
 * Copy what is behind the first place->done bytes of the message, up to @size, from or to
 * @payload, as far as its memory goes.  Returns 0 if that was all, or -EFAULT.
 */
static __always_inline int kpost_message_copy(struct kpost_message *message,
					      const struct kpost_payload *payload,
					      struct kpost_place *place, size_t size, bool in)
{
	/* No more than the memory that its blocks were made for. */
	if (WARN_ON_ONCE(size > message->room))
		return -EFAULT;
	if (unlikely(!message->payload || !payload->whole || place->done))
		return in ? kpost_message_copy_in_on(message, payload, place, size) :
			    kpost_message_copy_out_on(message, payload, place, size);
	place->done = in ? kpost_copy_in(message->payload, payload->buf, size) :
			   kpost_copy_out(payload->buf, message->payload, size);
	return likely(place->done == size) ? 0 : -EFAULT;
}

/* Fill the message from @from. */
static __always_inline int kpost_message_copy_in(struct kpost_message *message,
						 const struct kpost_payload *from,
						 struct kpost_place *place)
{
	return kpost_message_copy(message, from, place, message->size, true);
}

/* Copy the message's first @size bytes to @to. */
static __always_inline int kpost_message_copy_out(struct kpost_message *message,
						  const struct kpost_payload *to,
						  struct kpost_place *place, size_t size)
{
	return kpost_message_copy(message, to, place, size, false);
}

#endif /* KPOST_MESSAGE_H */
