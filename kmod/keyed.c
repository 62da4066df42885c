// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is in a keyed mailbox, and who waits for what of it, by tag.  All of it is tree work under
 * the mailbox's lock, and none of it can fail.
 */
#include <linux/slab.h>

#include "call.h"
#include "keyed.h"
#include "mailbox.h"
#include "mark.h"
#include "overflow.h"
#include "room.h"
#include "trace.h"

/* Make @mailbox, which is new, a keyed one.  Returns 0 or -ENOMEM. */
int kpost_keyed_prepare(struct kpost_mailbox *mailbox)
{
	struct kpost_keyed *keyed;

	if (kpost_losses_prepare(mailbox))
		return -ENOMEM;
	keyed = kzalloc(sizeof(*keyed), GFP_KERNEL_ACCOUNT);
	if (!keyed)
		return -ENOMEM;
	keyed->queued = RB_ROOT;
	keyed->pending = RB_ROOT;
	keyed->replaceable = RB_ROOT;
	keyed->in_line = RB_ROOT;
	keyed->waiting = RB_ROOT;
	INIT_LIST_HEAD(&keyed->unserved);
	INIT_LIST_HEAD(&keyed->gone);
	mailbox->losses->keyed = keyed;
	mailbox->keyed = true;
	return 0;
}

static struct kpost_keyed *keyed_of(const struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&mailbox->lock);
	return mailbox->losses->keyed;
}

/* Give @message, which is for a keyed mailbox, and not committed yet, its key. */
int kpost_message_key(struct kpost_message *message)
{
	struct kpost_key *key = kzalloc(sizeof(*key), GFP_KERNEL_ACCOUNT);

	if (!key)
		return -ENOMEM;
	key->extra.message = message;
	key->extra.keyed = true;
	RB_CLEAR_NODE(&key->by_owner);
	message->extra = &key->extra;
	message->own = true;
	return 0;
}

/* ---- messages by tag ------------------------------------------------------------------ */

static struct kpost_key *key_at(const struct rb_node *node)
{
	return rb_entry(node, struct kpost_key, by_key);
}

static bool key_before(struct rb_node *a, const struct rb_node *b)
{
	const struct kpost_key *first = key_at(a), *second = key_at(b);
	u32 priority = first->extra.message->node.priority;

	if (first->tag != second->tag)
		return first->tag < second->tag;
	if (priority != second->extra.message->node.priority)
		return priority > second->extra.message->node.priority;
	return first->place < second->place;
}

static int key_compare(const void *tag, const struct rb_node *node)
{
	u64 want = *(const u64 *)tag, have = key_at(node)->tag;

	return want < have ? -1 : want > have;
}

/* The first message of @tag in @tree, or NULL. */
static struct kpost_message *tree_first(const struct rb_root *tree, u64 tag)
{
	struct rb_node *node = rb_find_first(&tag, tree, key_compare);

	return node ? key_at(node)->extra.message : NULL;
}

/* @message was put into a queue, of those that wait for room if it is @pending. */
void kpost_key_queued(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending)
{
	struct kpost_keyed *keyed = keyed_of(mailbox);
	struct kpost_key *key = kpost_key(message);

	key->tag = message->tag;
	if (!key->arrived)
		key->arrived = ++keyed->arrivals;
	if (pending) {
		/* One that was taken beyond the capacity comes back to where it was. */
		if (!key->place) {
			key->place = key->arrived;
			kpost_key_own(mailbox, message, true);
		}
		rb_add(&key->by_key, &keyed->pending, key_before);
		return;
	}
	/* One that was taken and comes back has its place, which need not be its number. */
	if (!key->place)
		key->place = message->node.order;
	rb_add(&key->by_key, &keyed->queued, key_before);
	keyed->count++;
	/* Not if somebody waits for what becomes of it. */
	if (keyed->replaced_from && message->node.order >= keyed->replaced_from && !message->flags)
		kpost_key_own(mailbox, message, false);
}

/* It was taken out. */
void kpost_key_unqueued(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending)
{
	struct kpost_keyed *keyed = keyed_of(mailbox);
	struct kpost_key *key = kpost_key(message);

	if (pending) {
		rb_erase(&key->by_key, &keyed->pending);
		kpost_key_disown(mailbox, message, true);
		key->place = 0;
		return;
	}
	rb_erase(&key->by_key, &keyed->queued);
	keyed->count--;
	kpost_key_disown(mailbox, message, false);
}

/* The next message of @tag that is in the mailbox, or NULL. */
struct kpost_message *kpost_keyed_queued(const struct kpost_mailbox *mailbox, u64 tag)
{
	return tree_first(&keyed_of(mailbox)->queued, tag);
}

/* The next message of @tag for a receiver, also one that waits for room; or NULL. */
struct kpost_message *kpost_keyed_next(const struct kpost_mailbox *mailbox, u64 tag)
{
	const struct kpost_keyed *keyed = keyed_of(mailbox);
	struct kpost_message *queued = tree_first(&keyed->queued, tag), *pending;

	/* Who waits for room of a mailbox that was shut is told so. */
	if (likely(RB_EMPTY_ROOT(&keyed->pending)) || mailbox->shut)
		return queued;
	pending = tree_first(&keyed->pending, tag);
	if (!queued)
		return pending;
	if (!pending || pending->node.priority <= queued->node.priority)
		return queued;
	/* What is to replace another waits for that one's place. */
	return kpost_waits_to_replace(mailbox, pending) ? queued : pending;
}

/* @message is next: it is TAKEN. */
void kpost_keyed_take(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_key *key = kpost_key(message);

	if (message->state == KPOST_QUEUED) {
		kpost_mailbox_unqueue(mailbox, &mailbox->queue, message);
	} else {
		/* It stays in line. */
		kpost_extra_untimed(mailbox, message);
		rb_erase(&key->by_key, &keyed_of(mailbox)->pending);
		key->account = message->account;
		key->beyond = true;
		message->counts = false;
		/* Where the account was, which nobody is to be told. */
		message->time = ktime_get_coarse_ns();
	}
	message->state = KPOST_TAKEN;
}

/* ---- messages taken beyond the capacity ----------------------------------------------- */

/* It is so no more, and counts as it did. */
static void beyond_ends(struct kpost_message *message)
{
	struct kpost_key *key = kpost_key(message);

	key->beyond = false;
	message->account = key->account;
	message->counts = true;
}

static void beyond_unlist(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_key *key = kpost_key(message);

	lockdep_assert_held(&mailbox->lock);
	key->place = 0;
	if (key->unlisted)
		return;
	key->unlisted = true;
	kpost_key_disown(mailbox, message, true);
	kpost_queue_del(&mailbox->pending, &message->node);
	mailbox->waiting_senders--;
}

/* It is received: it gets in, for as long as the caller holds the lock. */
void kpost_beyond_get_in(struct kpost_mailbox *mailbox, struct kpost_message *message,
			 struct kpost_wakes *wakes)
{
	struct kpost_waiter *sender = message->sender;

	beyond_unlist(mailbox, message);
	beyond_ends(message);
	kpost_account_uncharge(message->account, kpost_message_cost(message->room));
	message->counts = false;
	message->time = ktime_get_coarse_ns();
	mailbox->sent_at = message->time;
	mailbox->messages++;
	mailbox->bytes += message->size;
	message->node.order = ++mailbox->sent;
	kpost_message_mark(message);
	trace_kpost_send(mailbox, message);
	if (!sender)
		return;
	sender->sequence = message->node.order;
	if (message->flags != KPOST_MESSAGE_SYNC) {
		kpost_waiter_done(sender, 0, wakes);
		message->sender = NULL;
	}
}

/* It was not received, and waits for room again. */
void kpost_beyond_return(struct kpost_mailbox *mailbox, struct kpost_message *message,
			 struct kpost_wakes *wakes)
{
	beyond_ends(message);
	message->state = KPOST_PENDING;
	kpost_extra_queued(mailbox, message, true);
	kpost_keyed_pended(mailbox, message, wakes);
	/* It has held up those behind it. */
	kpost_mailbox_let_in(mailbox, wakes);
}

/* The mailbox was shut: its sender is told, and whoever has it finds it withdrawn. */
void kpost_beyond_drop(struct kpost_mailbox *mailbox, struct kpost_message *message,
		       struct kpost_wakes *wakes)
{
	beyond_unlist(mailbox, message);
	message->withdrawn = true;
	if (message->call)
		kpost_call_dropped(message->call, message, wakes);
	if (message->sender)
		kpost_waiter_done(message->sender, -EPIPE, wakes);
	message->sender = NULL;
}

/* Its number was sent meanwhile: its sender, which waits, is told, and has it back. */
void kpost_beyond_repeats(struct kpost_mailbox *mailbox, struct kpost_message *message,
			  struct kpost_wakes *wakes)
{
	beyond_unlist(mailbox, message);
	beyond_ends(message);
	message->state = KPOST_GONE;
	kpost_waiter_done(message->sender, -EALREADY, wakes);
	kpost_mailbox_let_in(mailbox, wakes);
}

/* Nobody wants it any more: it is to be discarded once the lock is dropped. */
void kpost_beyond_gone(struct kpost_mailbox *mailbox, struct kpost_message *message,
		       struct kpost_wakes *wakes)
{
	beyond_unlist(mailbox, message);
	beyond_ends(message);
	kpost_mailbox_let_in(mailbox, wakes);
}

/* ---- who waits ------------------------------------------------------------------------ */

static struct kpost_key_waiter *waiter_at(const struct rb_node *node)
{
	return rb_entry(node, struct kpost_key_waiter, by_tag);
}

static bool waits_before(struct rb_node *a, const struct rb_node *b)
{
	const struct kpost_key_waiter *first = waiter_at(a), *second = waiter_at(b);

	if (first->tag != second->tag)
		return first->tag < second->tag;
	return first->waiter.ticket < second->waiter.ticket;
}

static int waiter_compare(const void *tag, const struct rb_node *node)
{
	u64 want = *(const u64 *)tag, have = waiter_at(node)->tag;

	return want < have ? -1 : want > have;
}

/* Who has waited longest for @tag, or NULL. */
static struct kpost_key_waiter *first_waiter(const struct kpost_keyed *keyed, u64 tag)
{
	struct rb_node *node;

	if (RB_EMPTY_ROOT(&keyed->waiting))
		return NULL;
	node = rb_find_first(&tag, &keyed->waiting, waiter_compare);
	return node ? waiter_at(node) : NULL;
}

/* @receiver begins to wait, for any message. */
void kpost_keyed_ticket(struct kpost_mailbox *mailbox, struct kpost_waiter *receiver)
{
	receiver->ticket = ++keyed_of(mailbox)->tickets;
}

/* The same for one of @tag. */
void kpost_keyed_await(struct kpost_mailbox *mailbox, struct kpost_key_waiter *receiver, u64 tag)
{
	receiver->tag = tag;
	kpost_keyed_ticket(mailbox, &receiver->waiter);
	rb_add(&receiver->by_tag, &keyed_of(mailbox)->waiting, waits_before);
	mailbox->waiting_receivers++;
}

static void waiter_off(struct kpost_mailbox *mailbox, struct kpost_key_waiter *receiver)
{
	rb_erase(&receiver->by_tag, &keyed_of(mailbox)->waiting);
	list_del_init(&receiver->waiter.link);
	mailbox->waiting_receivers--;
}

/* There may be messages for @receiver, and there is too much to do to give it one now. */
static void leave_unserved(struct kpost_keyed *keyed, struct kpost_key_waiter *receiver,
			   struct kpost_wakes *wakes)
{
	if (list_empty(&receiver->waiter.link))
		list_add_tail(&receiver->waiter.link, &keyed->unserved);
	wakes->more = true;
}

/*
 * Take whoever has waited longest for a message of @tag, or if @any for any, off where it waits.
 * Returns NULL if there is nobody, or if no more can be woken now.
 */
static struct kpost_waiter *pop_receiver(struct kpost_mailbox *mailbox, u64 tag, bool any,
					 bool match, struct kpost_wakes *wakes)
{
	struct kpost_keyed *keyed = keyed_of(mailbox);
	struct kpost_key_waiter *waiter = match ? first_waiter(keyed, tag) : NULL;
	struct kpost_waiter *first =
		any ? list_first_entry_or_null(&mailbox->waiting, struct kpost_waiter, link) : NULL;

	if (!waiter && !first)
		return NULL;
	if (kpost_wakes_full(wakes)) {
		if (waiter)
			leave_unserved(keyed, waiter, wakes);
		return NULL;
	}
	if (waiter && (!first || waiter->waiter.ticket < first->ticket)) {
		waiter_off(mailbox, waiter);
		return &waiter->waiter;
	}
	list_del_init(&first->link);
	mailbox->waiting_receivers--;
	return first;
}

/* Can @receiver, which waits no more, be given @message?  Else it is sent to look, or away. */
static bool receiver_has_room(struct kpost_waiter *receiver, const struct kpost_message *message,
			      struct kpost_wakes *wakes)
{
	int err = message->size > receiver->room ? -EMSGSIZE : -EAGAIN;

	if (likely(message->size <= receiver->room && message->size <= receiver->sure))
		return true;
	receiver->room = message->size;
	kpost_waiter_done(receiver, err, wakes);
	return false;
}

/* Give @message, which is the next of its tag, to whoever has waited longest for it, if any. */
static bool serve(struct kpost_mailbox *mailbox, struct kpost_message *message,
		  struct kpost_wakes *wakes)
{
	bool any = message == kpost_mailbox_first(&mailbox->queue);
	struct kpost_waiter *receiver;

	while ((receiver = pop_receiver(mailbox, message->tag, any, true, wakes))) {
		if (!receiver_has_room(receiver, message, wakes))
			continue;
		kpost_keyed_take(mailbox, message);
		receiver->message = message;
		kpost_waiter_done(receiver, 0, wakes);
		return true;
	}
	return false;
}

/* Give those who wait for @tag what there is of it. */
static void serve_tag(struct kpost_mailbox *mailbox, u64 tag, struct kpost_wakes *wakes)
{
	struct kpost_message *message;

	while (first_waiter(keyed_of(mailbox), tag) && (message = kpost_keyed_next(mailbox, tag)) &&
	       serve(mailbox, message, wakes))
		;
}

/*
 * Hand @message, which is in no queue, over to whoever has waited longest for it, or leave it to be
 * queued, behind those that are to be handed out first.
 */
bool kpost_keyed_place(struct kpost_mailbox *mailbox, struct kpost_message *message,
		       struct kpost_wakes *wakes)
{
	struct kpost_keyed *keyed = keyed_of(mailbox);
	bool any = kpost_queue_empty(&mailbox->queue);
	struct kpost_key_waiter *waiter = first_waiter(keyed, message->tag);
	bool match = waiter && !kpost_keyed_next(mailbox, message->tag);
	struct kpost_waiter *receiver;

	if (waiter && !match)
		leave_unserved(keyed, waiter, wakes);
	while ((receiver = pop_receiver(mailbox, message->tag, any, match, wakes))) {
		if (!receiver_has_room(receiver, message, wakes))
			continue;
		message->state = KPOST_TAKEN;
		receiver->message = message;
		kpost_waiter_done(receiver, 0, wakes);
		return true;
	}
	if (list_empty(&mailbox->waiting))
		kpost_parked_tell(mailbox, wakes);
	else
		wakes->more = true;
	kpost_mailbox_tell_of(mailbox, message, wakes);
	return false;
}

/* @message has begun to wait for room: whoever waits for its tag need not. */
void kpost_keyed_pended(struct kpost_mailbox *mailbox, struct kpost_message *message,
			struct kpost_wakes *wakes)
{
	/* As for kpost_keyed_next(). */
	if (!mailbox->shut)
		serve_tag(mailbox, message->tag, wakes);
}

/* Are there messages of @tag for others than who comes now? */
bool kpost_keyed_unsettled(const struct kpost_mailbox *mailbox, u64 tag)
{
	return first_waiter(keyed_of(mailbox), tag) ||
	       (!list_empty(&mailbox->waiting) && !kpost_queue_empty(&mailbox->queue));
}

/* Go on where the last holder of the lock stopped. */
void kpost_keyed_settle(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_keyed *keyed = keyed_of(mailbox);
	struct kpost_key_waiter *waiter;
	struct kpost_message *message;

	while ((waiter = list_first_entry_or_null(&keyed->unserved, struct kpost_key_waiter,
						  waiter.link))) {
		if (kpost_wakes_full(wakes))
			return;
		list_del_init(&waiter->waiter.link);
		serve_tag(mailbox, waiter->tag, wakes);
	}
	while (!list_empty(&mailbox->waiting) && !kpost_wakes_full(wakes) &&
	       (message = kpost_mailbox_first(&mailbox->queue)) && serve(mailbox, message, wakes))
		;
}

/* @receiver gives up, before it was given anything. */
void kpost_keyed_leave(struct kpost_mailbox *mailbox, struct kpost_key_waiter *receiver,
		       struct kpost_wakes *wakes)
{
	bool unserved = !list_empty(&receiver->waiter.link);

	waiter_off(mailbox, receiver);
	if (unserved)
		serve_tag(mailbox, receiver->tag, wakes);
}

/*
 * Can there never be a message again, of a tag of which there is none?  What is TAKEN may come
 * back.
 */
bool kpost_keyed_over(const struct kpost_mailbox *mailbox)
{
	return (mailbox->shut || (!mailbox->named && !mailbox->senders)) &&
	       mailbox->messages == keyed_of(mailbox)->count;
}

/* If so, send those away who wait for a tag. */
void kpost_keyed_end(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_keyed *keyed = keyed_of(mailbox);
	struct kpost_key_waiter *waiter;
	struct rb_node *node;

	if (!kpost_keyed_over(mailbox))
		return;
	/* First those for whom there may be something. */
	if (!list_empty(&keyed->unserved)) {
		wakes->more = true;
		return;
	}
	while ((node = rb_first(&keyed->waiting)) && !kpost_wakes_full(wakes)) {
		waiter = waiter_at(node);
		waiter_off(mailbox, waiter);
		kpost_waiter_done(&waiter->waiter, -EPIPE, wakes);
	}
}

/* Let go of messages that were replaced, and that nobody has. */
void kpost_keyed_discard(struct kpost_mailbox *mailbox)
{
	struct kpost_message *message, *next;
	LIST_HEAD(gone);

	spin_lock(&mailbox->lock);
	list_splice_init(&mailbox->losses->keyed->gone, &gone);
	spin_unlock(&mailbox->lock);
	list_for_each_entry_safe(message, next, &gone, node.peers) {
		trace_kpost_drop(mailbox, message);
		kpost_message_discard(mailbox, message);
	}
}
