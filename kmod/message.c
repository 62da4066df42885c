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
#define FIRST_ROOM (192 - sizeof(struct kpost_message))

#define PIECE_4K (SZ_4K - sizeof(struct kpost_block))
#define PIECE_32K (SZ_32K - sizeof(struct kpost_block))

/* The class of the next piece where @size bytes are left: as few pages as hold them. */
static unsigned int piece_class(size_t size, bool large)
{
	if (size > 7 * PIECE_4K && large)
		return KPOST_CLASS_32K;
	if (size >= PIECE_4K)
		return KPOST_CLASS_4K;
	return kpost_class_of(sizeof(struct kpost_block) + size);
}

/* How much of @size bytes goes into a piece of @class. */
static size_t piece_room(unsigned int class, size_t size)
{
	return min(size, kpost_class_sizes[class] - sizeof(struct kpost_block));
}

/* A message with room for a payload of @size bytes, or -ENOMEM, -EINTR. */
struct kpost_message *kpost_message_alloc(size_t size)
{
	unsigned int class = kpost_message_class(size);
	struct kpost_message *message;
	struct kpost_block **link;
	bool large = true;
	size_t left;

	message = kpost_block_alloc(class, GFP_KERNEL_ACCOUNT);
	if (!message)
		return ERR_PTR(-ENOMEM);
	kpost_message_init(message, size, class, false);
	if (likely(!kpost_message_in_pieces(size)))
		return message;

	link = &message->pieces;
	for (left = size - FIRST_ROOM; left; left -= (*link)->room, link = &(*link)->next) {
		/* A payload may be many pages long: let a killed task go. */
		if (fatal_signal_pending(current)) {
			kpost_message_free(message);
			return ERR_PTR(-EINTR);
		}
		class = piece_class(left, large);
		*link = kpost_block_alloc(class, GFP_KERNEL_ACCOUNT);
		if (!*link && class == KPOST_CLASS_32K) {
			large = false;
			class = KPOST_CLASS_4K;
			*link = kpost_block_alloc(class, GFP_KERNEL_ACCOUNT);
		}
		if (!*link) {
			kpost_message_free(message);
			return ERR_PTR(-ENOMEM);
		}
		(*link)->next = NULL;
		(*link)->class = class;
		(*link)->room = piece_room(class, left);
		cond_resched();
	}
	return message;
}

/* Free a message that is its sender's own, and in no mailbox. */
void kpost_message_free(struct kpost_message *message)
{
	if (message->call)
		kpost_call_put(message->call);
	if (message->account)
		kpost_account_uncharge(message->account, kpost_message_cost(message->room));
	kpost_blocks_free(message->pieces);
	kpost_block_free(message, message->class);
}

void kpost_message_give_pieces(struct kpost_kept *kept, struct kpost_message *message)
{
	struct kpost_block *piece, *next;

	for (piece = message->pieces; piece; piece = next) {
		next = piece->next;
		kpost_kept_give(kept, piece, piece->class);
	}
}

/* The pieces of a large payload: @message, if all are there, or NULL. */
struct kpost_message *kpost_message_take_pieces(struct kpost_kept *kept,
						struct kpost_message *message)
{
	struct kpost_block **link = &message->pieces;
	size_t left;

	for (left = message->size - FIRST_ROOM; left; left -= (*link)->room, link = &(*link)->next) {
		unsigned int class = piece_class(left, true);

		*link = kpost_kept_take(kept, class);
		if (!*link) {
			kpost_message_give_pieces(kept, message);
			kpost_kept_give(kept, message, message->class);
			return NULL;
		}
		(*link)->next = NULL;
		(*link)->class = class;
		(*link)->room = piece_room(class, left);
	}
	return message;
}

/* Let go of a message that nobody will receive, and is in no list. */
void kpost_message_discard(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_account *account = message->account;
	struct kpost_call_state *call = message->call;
	struct kpost_origin *origin;
	bool kept = message->kept;
	size_t cost = kpost_message_cost(message->room);

	spin_lock(&mailbox->lock);
	origin = kpost_message_leave(mailbox->kept, message);
	spin_unlock(&mailbox->lock);
	kpost_origin_free(origin);
	if (!kept) {
		kpost_message_free(message);
		return;
	}
	if (call)
		kpost_call_put(call);
	if (account)
		kpost_account_uncharge(account, cost);
}

/*
 * @message, in its sender's own memory, was received by the task: have @mailbox keep as much of
 * the task's, if it can be had at once.
 */
void kpost_message_keep_like(struct kpost_mailbox *mailbox, const struct kpost_message *message)
{
	size_t bytes = kpost_class_sizes[message->class];
	struct kpost_block *blocks, *piece, *block;

	for (piece = message->pieces; piece && bytes <= KPOST_KEPT_MAX; piece = piece->next)
		bytes += kpost_class_sizes[piece->class];
	if (!kpost_kept_may(mailbox, bytes))
		return;
	blocks = kpost_block_alloc(message->class, KPOST_KEPT_GFP);
	if (!blocks)
		return;
	blocks->class = message->class;
	blocks->next = NULL;
	for (piece = message->pieces; piece; piece = piece->next) {
		block = kpost_block_alloc(piece->class, KPOST_KEPT_GFP);
		if (!block) {
			kpost_blocks_free(blocks);
			return;
		}
		block->class = piece->class;
		block->next = blocks;
		blocks = block;
	}
	kpost_kept_add(mailbox, blocks, bytes);
}

/* The same where it is in pieces, or the payload is, or a part of it was copied. */
int kpost_message_copy_on(struct kpost_message *message, const struct kpost_payload *payload,
			  struct kpost_place *place, size_t size, bool in)
{
	struct kpost_block *piece = message->pieces;
	size_t begin = 0, end = piece ? FIRST_ROOM : size;
	u8 *data = message->data;

	for (;;) {
		size_t done = place->done;

		end = min(end, size);
		if (done < end) {
			u8 *at = data + (done - begin);

			if (in)
				kpost_payload_read(payload, place, at, end - done);
			else
				kpost_payload_write(payload, place, at, end - done);
			if (place->done < end)
				return -EFAULT;
		}
		if (end == size)
			return 0;
		begin = end;
		end = begin + piece->room;
		data = piece->data;
		piece = piece->next;
	}
}
