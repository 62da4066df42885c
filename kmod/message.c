// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "account.h"
#include "call.h"
#include "endpoint.h"
#include "message.h"
#include "payload.h"

/*
 * A payload that does not fit into one block with its message: so much of it is there, and the
 * rest in pieces.
 */
#define FIRST_ROOM (KPOST_BLOCK_MIN - sizeof(struct kpost_message))

#define PIECE_4K (SZ_4K - sizeof(struct kpost_block))

/* The class of the next piece where @size bytes are left: as few pages as hold them. */
static unsigned int piece_class(size_t size, bool large)
{
	if (size <= PIECE_4K)
		return kpost_class_of(sizeof(struct kpost_block) + size) & ~KPOST_CLASS_SPLIT;
	if (!large)
		return KPOST_CLASS_4K;
	if (size > 7 * PIECE_4K)
		return KPOST_CLASS_32K;
	if (size > 3 * PIECE_4K)
		return KPOST_CLASS_16K;
	/* A page and a little is better a page and a small piece. */
	return size > PIECE_4K + PIECE_4K / 3 ? KPOST_CLASS_8K : KPOST_CLASS_4K;
}

/* How much of @size bytes goes into a piece of @class. */
static size_t piece_room(unsigned int class, size_t size)
{
	return min(size, kpost_class_sizes[class] - sizeof(struct kpost_block));
}

static void piece_add(struct kpost_block **link, struct kpost_block *piece, unsigned int class,
		      size_t left, bool kept)
{
	piece->next = NULL;
	piece->class = class;
	piece->kept = kept;
	piece->room = piece_room(class, left);
	*link = piece;
}

/*
 * Allocate what @message lacks of its pieces.  Returns 0 or -ENOMEM, -EINTR; then it has those
 * that there were.
 */
int kpost_message_extend(struct kpost_message *message)
{
	size_t left = message->room - FIRST_ROOM;
	struct kpost_block **link, *piece;
	unsigned int class;
	bool large = true;

	for (link = &message->pieces; *link; link = &(*link)->next)
		left -= (*link)->room;
	for (; left; left -= piece->room, link = &piece->next) {
		/* A payload may be many pages long: let a killed task go. */
		if (fatal_signal_pending(current))
			return -EINTR;
		class = piece_class(left, large);
		piece = kpost_block_alloc(class, GFP_KERNEL_ACCOUNT);
		if (!piece && class > KPOST_CLASS_4K) {
			large = false;
			class = KPOST_CLASS_4K;
			piece = kpost_block_alloc(class, GFP_KERNEL_ACCOUNT);
		}
		if (!piece)
			return -ENOMEM;
		piece_add(link, piece, class, left, false);
		message->own = true;
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
	kpost_message_init(message, size, class, false);
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
	WARN_ON_ONCE(message->first_kept);
	if (message->call)
		kpost_call_put(message->call);
	if (message->account)
		kpost_account_uncharge(message->account, kpost_message_cost(message->room));
	kpost_blocks_free(message->pieces);
	kpost_block_free(message, message->class);
}

/*
 * With the mailbox's lock held: pieces for @message that @kept has to spare.  Returns whether
 * it has all now.
 */
bool kpost_message_take_pieces(struct kpost_kept *kept, struct kpost_message *message)
{
	struct kpost_block **link = &message->pieces, *piece;
	size_t left;

	for (left = message->size - FIRST_ROOM; left; left -= piece->room, link = &piece->next) {
		unsigned int class = piece_class(left, true);

		piece = kpost_kept_take(kept, class);
		if (!piece)
			return false;
		piece_add(link, piece, class, left, true);
	}
	return true;
}

/* Likewise: give those that are @kept's back, and return the others. */
struct kpost_block *kpost_message_give_pieces(struct kpost_kept *kept,
					      struct kpost_message *message)
{
	struct kpost_block *piece = message->pieces, *next;

	/* They come first, and so are no more than may be kept. */
	for (; piece && piece->kept; piece = next) {
		next = piece->next;
		kpost_kept_give(kept, piece, piece->class);
	}
	return piece;
}

/* Let go of a message that nobody will receive, and is in no list. */
void kpost_message_discard(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_account *account = message->account;
	struct kpost_call_state *call = message->call;
	size_t cost = kpost_message_cost(message->room);
	struct kpost_origin *origin;
	struct kpost_block *own;

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
	size_t done = place->done, begin = 0, room = message->pieces ? FIRST_ROOM : size;
	struct kpost_block *piece = message->pieces;
	u8 *data = message->data;

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
		room = piece->room;
		data = piece->data;
		piece = piece->next;
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
