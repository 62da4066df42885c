// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "account.h"
#include "call.h"
#include "endpoint.h"
#include "expiry.h"
#include "hold.h"
#include "message.h"
#include "payload.h"

/* So many pieces fit into the first table, and into each further one. */
#define PIECES(room) (((room) - sizeof(struct kpost_pieces)) / sizeof(struct kpost_piece))
#define PIECES_FIRST PIECES(KPOST_BLOCK_MIN - sizeof(struct kpost_message))
#define PIECES_MORE PIECES(KPOST_BLOCK_MIN)

/* So a table can be put into a list of blocks while its pieces are still needed. */
static_assert(sizeof(struct kpost_block) <= offsetof(struct kpost_pieces, piece));

/* The class of the next piece where @size bytes are left: as few pages as hold them. */
static unsigned int piece_class(size_t size, bool large)
{
	if (size <= SZ_4K)
		return kpost_class_of(size) & ~KPOST_CLASS_SPLIT;
	if (!large)
		return KPOST_CLASS_4K;
	if (size > 7 * SZ_4K)
		return KPOST_CLASS_32K;
	if (size > 3 * SZ_4K)
		return KPOST_CLASS_16K;
	/* A page and a little is better a page and a small piece. */
	return size > SZ_4K + SZ_4K / 3 ? KPOST_CLASS_8K : KPOST_CLASS_4K;
}

/* The last table of @message; *@left is how much of the payload there is no piece for. */
static struct kpost_pieces *pieces_last(struct kpost_message *message, size_t *left)
{
	struct kpost_pieces *pieces = kpost_message_pieces(message);
	unsigned int i;

	*left = message->room;
	for (;; pieces = pieces->more) {
		for (i = 0; i < pieces->count; i++)
			*left -= pieces->piece[i].room;
		if (!pieces->more)
			return pieces;
	}
}

static bool pieces_full(struct kpost_message *message, const struct kpost_pieces *pieces)
{
	return pieces->count ==
	       (pieces == kpost_message_pieces(message) ? PIECES_FIRST : PIECES_MORE);
}

static struct kpost_pieces *pieces_more(struct kpost_pieces *pieces, void *block, bool kept)
{
	struct kpost_pieces *more = block;

	*more = (struct kpost_pieces){ .kept = kept };
	pieces->more = more;
	return more;
}

/* Add @block, where @left bytes have none.  Returns how many of them it takes. */
static size_t piece_add(struct kpost_message *message, struct kpost_pieces *pieces, void *block,
			unsigned int class, size_t left, bool kept)
{
	size_t room = min_t(size_t, left, kpost_class_sizes[class]);

	pieces->piece[pieces->count++] = (struct kpost_piece){
		.data = block,
		.room = room,
		.class = class,
		.kept = kept,
	};
	message->payload = room == message->room ? block : NULL;
	return room;
}

/*
 * Allocate what @message lacks of its pieces.  Returns 0 or -ENOMEM, -EINTR; then it has those
 * that there were.
 */
int kpost_message_extend(struct kpost_message *message)
{
	struct kpost_pieces *pieces;
	bool large = true;
	size_t left;

	pieces = pieces_last(message, &left);
	message->own = true;
	while (left) {
		unsigned int class = piece_class(left, large);
		void *block;

		/* A payload may be many pages long: let a killed task go. */
		if (fatal_signal_pending(current))
			return -EINTR;
		if (pieces_full(message, pieces)) {
			block = kpost_block_alloc(0, GFP_KERNEL_ACCOUNT);
			if (!block)
				return -ENOMEM;
			pieces = pieces_more(pieces, block, false);
		}
		block = kpost_block_alloc(class, GFP_KERNEL_ACCOUNT);
		if (!block && class > KPOST_CLASS_4K) {
			large = false;
			class = KPOST_CLASS_4K;
			block = kpost_block_alloc(class, GFP_KERNEL_ACCOUNT);
		}
		if (!block)
			return -ENOMEM;
		left -= piece_add(message, pieces, block, class, left, false);
		cond_resched();
	}
	return 0;
}

/* A message with room for a payload of @size bytes, or -ENOMEM, -EINTR. */
struct kpost_message *kpost_message_alloc(size_t size)
{
	struct kpost_message *message;
	unsigned int class;
	bool in_pieces;
	int err = 0;

	class = kpost_message_class(size, &in_pieces);
	message = kpost_block_alloc(class, GFP_KERNEL_ACCOUNT);
	if (!message)
		return ERR_PTR(-ENOMEM);
	kpost_message_init(message, size, class, in_pieces, false);
	if (unlikely(in_pieces))
		err = kpost_message_extend(message);
	if (likely(!err))
		return message;
	kpost_message_free(message);
	return ERR_PTR(err);
}

/* Free a message none of whose blocks are a mailbox's, and which is in none. */
void kpost_message_free(struct kpost_message *message)
{
	WARN_ON_ONCE(message->first_kept || message->call);
	if (message->counts)
		kpost_account_uncharge(message->account, kpost_message_cost(message->room));
	kpost_blocks_free(kpost_message_shed(message));
	kpost_block_free(message, message->class);
}

/*
 * With the mailbox's lock held: pieces for @message that @kept has to spare.  Returns whether
 * it has all now.
 */
bool kpost_message_take_pieces(struct kpost_kept *kept, struct kpost_message *message)
{
	struct kpost_pieces *pieces = kpost_message_pieces(message);
	size_t left = message->size;

	while (left) {
		unsigned int class = piece_class(left, true);
		void *block;

		if (pieces_full(message, pieces)) {
			block = kpost_kept_take(kept, 0);
			if (!block)
				return false;
			pieces = pieces_more(pieces, block, true);
		}
		block = kpost_kept_take(kept, class);
		if (!block)
			return false;
		left -= piece_add(message, pieces, block, class, left, true);
	}
	return true;
}

/* Likewise: give them back.  It has no others any more. */
void kpost_message_give_pieces(struct kpost_kept *kept, struct kpost_message *message)
{
	struct kpost_pieces *first = kpost_message_pieces(message), *pieces, *next;
	unsigned int i;

	for (pieces = first; pieces; pieces = next) {
		next = pieces->more;
		for (i = 0; i < pieces->count; i++)
			kpost_kept_give(kept, pieces->piece[i].data, pieces->piece[i].class);
		if (pieces != first)
			kpost_kept_give(kept, pieces, 0);
	}
}

static struct kpost_block **block_append(struct kpost_block **end, void *memory, unsigned int class)
{
	kpost_block_push(end, memory, class);
	return &(*end)->next;
}

/*
 * The pieces that are not the mailbox's, in the order in which they are taken, a table before
 * what is in it: the first of them are what the mailbox gets the like of.
 */
struct kpost_block *kpost_message_shed_pieces(struct kpost_message *message)
{
	struct kpost_pieces *pieces, *next, *last = NULL;
	struct kpost_block *own = NULL, **end = &own;
	unsigned int count, kept, i;

	for (pieces = kpost_message_pieces(message); pieces; pieces = next) {
		next = pieces->more;
		count = pieces->count;
		for (kept = 0; kept < count && pieces->piece[kept].kept; kept++)
			;
		if (pieces->kept) {
			pieces->count = kept;
			last = pieces;
		} else {
			/* What links it is where the table's head was. */
			end = block_append(end, pieces, 0);
		}
		for (i = kept; i < count; i++)
			end = block_append(end, pieces->piece[i].data, pieces->piece[i].class);
	}
	last->more = NULL;
	return own;
}

void kpost_message_shed_extra(struct kpost_message *message)
{
	kpost_hold_free(message->extra->hold);
	kfree(message->extra);
	message->extra = NULL;
}

/* Leave @message, which is in no list, to those who still look at it, if there are any. */
static bool message_leave_to_pins(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	bool pinned;

	spin_lock(&mailbox->lock);
	pinned = message->pins;
	if (pinned)
		message->state = KPOST_GONE;
	spin_unlock(&mailbox->lock);
	return pinned;
}

/* Somebody has looked at @message, which may be gone since. */
void kpost_message_unpin(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	bool gone;

	spin_lock(&mailbox->lock);
	/* Pairs with the acquire of who takes the message apart: its bytes were read before. */
	smp_store_release(&message->pins, message->pins - 1);
	gone = !message->pins && message->state == KPOST_GONE;
	spin_unlock(&mailbox->lock);
	if (gone)
		kpost_message_discard(mailbox, message);
}

/* Let go of a message that nobody will receive, and is in no list. */
void kpost_message_discard(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_account *account = message->counts ? message->account : NULL;
	struct kpost_call_state *call = message->call;
	size_t cost = kpost_message_cost(message->room);
	struct kpost_origin *origin;
	struct kpost_block *own;

	/*
	 * There are no more than there were when it left the queue.  Pairs with the release in
	 * kpost_message_unpin().
	 */
	if (unlikely(smp_load_acquire(&message->pins)) && message_leave_to_pins(mailbox, message))
		return;
	own = kpost_message_shed(message);
	spin_lock(&mailbox->lock);
	origin = kpost_message_leave(mailbox->kept, message, &own);
	spin_unlock(&mailbox->lock);
	kpost_origin_free(origin);
	kpost_blocks_free(own);
	/* It may have come back to a mailbox that has become full meanwhile. */
	kpost_kept_trim(mailbox);
	if (call)
		kpost_call_put(call);
	if (account)
		kpost_account_uncharge(account, cost);
}

static __always_inline int message_copy_on(struct kpost_message *message,
					   const struct kpost_payload *payload,
					   struct kpost_place *place, size_t size, bool in)
{
	struct kpost_pieces *pieces = kpost_message_pieces(message);
	size_t done = place->done, begin = 0, room = size;
	u8 *data = message->payload;
	unsigned int i = 0;

	if (!data) {
		data = pieces->piece[0].data;
		room = pieces->piece[0].room;
	}
	for (;;) {
		size_t end = min(begin + room, size);

		if (done < end) {
			size_t n = end - done, copied;

			copied = in ? kpost_payload_read(payload, place, done,
							 data + (done - begin), n) :
				      kpost_payload_write(payload, place, done,
							  data + (done - begin), n);
			done += copied;
			if (unlikely(copied < n))
				break;
		}
		if (end == size)
			break;
		begin = end;
		if (++i == pieces->count) {
			pieces = pieces->more;
			i = 0;
		}
		data = pieces->piece[i].data;
		room = pieces->piece[i].room;
	}
	place->done = done;
	return likely(done == size) ? 0 : -EFAULT;
}

int kpost_message_copy_in_on(struct kpost_message *message, const struct kpost_payload *from,
			     struct kpost_place *place, size_t size)
{
	return message_copy_on(message, from, place, size, true);
}

int kpost_message_copy_out_on(struct kpost_message *message, const struct kpost_payload *to,
			      struct kpost_place *place, size_t size)
{
	return message_copy_on(message, to, place, size, false);
}
