// SPDX-License-Identifier: GPL-2.0-only
/* Messages of a keyed mailbox that replace others. */
#include "keyed.h"
#include "mailbox.h"
#include "overflow.h"
#include "queue.h"
#include "room.h"
#include "trace.h"

static struct kpost_keyed *keyed_of(const struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&mailbox->lock);
	return mailbox->losses->keyed;
}

/* Whose a message is, as far as it is asked who may replace it. */
struct owner {
	u64 tag;
	u64 id;
	bool badged;
};

/* Whose is one of @tag from @origin?  Where all can replace any, they are all of one. */
static struct owner owner_of(const struct kpost_mailbox *mailbox, u64 tag,
			     const struct kpost_origin *origin)
{
	const struct kpost_who *who = &origin->who;

	if (mailbox->losses->overflow & KPOST_OVERFLOW_ANY)
		return (struct owner){ .tag = tag };
	return (struct owner){
		.tag = tag,
		.id = who->badge ?: who->ids.opener_uid,
		.badged = who->badge,
	};
}

static struct kpost_key *key_at(const struct rb_node *node)
{
	return rb_entry(node, struct kpost_key, by_owner);
}

/* Less than, equal to, or more than 0, as @owner is before, of, or behind that of @key. */
static int owner_compare(const struct owner *owner, const struct kpost_key *key)
{
	if (owner->tag != key->tag)
		return owner->tag < key->tag ? -1 : 1;
	if (owner->badged != key->badged)
		return owner->badged ? 1 : -1;
	if (owner->id != key->owner)
		return owner->id < key->owner ? -1 : 1;
	return 0;
}

static bool owned_before(struct rb_node *a, const struct rb_node *b)
{
	const struct kpost_key *first = key_at(a), *second = key_at(b);
	const struct owner owner = { .tag = first->tag,
				     .id = first->owner,
				     .badged = first->badged };
	int order = owner_compare(&owner, second);

	return order ? order < 0 : first->place < second->place;
}

static struct rb_root *owned_in(struct kpost_mailbox *mailbox, bool pending)
{
	struct kpost_keyed *keyed = keyed_of(mailbox);

	return pending ? &keyed->in_line : &keyed->replaceable;
}

/* @message, which has its place, can be replaced, or if it is @pending begins to wait for room. */
void kpost_key_own(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending)
{
	struct owner owner = owner_of(mailbox, message->tag, message->origin);
	struct kpost_key *key = kpost_key(message);

	key->owner = owner.id;
	key->badged = owner.badged;
	rb_add(&key->by_owner, owned_in(mailbox, pending), owned_before);
}

/* The same no more. */
void kpost_key_disown(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending)
{
	struct kpost_key *key = kpost_key(message);

	if (RB_EMPTY_NODE(&key->by_owner))
		return;
	rb_erase(&key->by_owner, owned_in(mailbox, pending));
	RB_CLEAR_NODE(&key->by_owner);
}

/* The last in @tree of the tag and owner that @message has if it is from @origin; or NULL. */
static struct kpost_message *last_owned(const struct kpost_mailbox *mailbox,
					const struct rb_root *tree,
					const struct kpost_message *message,
					const struct kpost_origin *origin)
{
	struct owner owner = owner_of(mailbox, message->tag, origin);
	struct rb_node *at = tree->rb_node;
	struct kpost_key *found = NULL;
	int order;

	while (at) {
		order = owner_compare(&owner, key_at(at));
		if (!order)
			found = key_at(at);
		at = order < 0 ? at->rb_left : at->rb_right;
	}
	return found ? found->extra.message : NULL;
}

/* What @message, which is from @origin, would replace: the last of its owner's; or NULL. */
struct kpost_message *kpost_replaceable(const struct kpost_mailbox *mailbox,
					const struct kpost_message *message,
					const struct kpost_origin *origin)
{
	return last_owned(mailbox, &keyed_of(mailbox)->replaceable, message, origin);
}

/* Would @message, which is new, and from @origin, pass one of its tag and owner that waits? */
bool kpost_replace_passes(const struct kpost_mailbox *mailbox, const struct kpost_message *message,
			  const struct kpost_origin *origin)
{
	return last_owned(mailbox, &keyed_of(mailbox)->in_line, message, origin);
}

/*
 * Is there room for what @message is larger than @old?  Unless it @waits for that itself, others
 * who do are first.
 */
bool kpost_replace_fits(const struct kpost_mailbox *mailbox, const struct kpost_message *message,
			const struct kpost_message *old, bool waits)
{
	const struct kpost_node *first = kpost_queue_first(&mailbox->pending);

	lockdep_assert_held(&mailbox->lock);
	if (message->size <= old->size)
		return true;
	if (first && !waits && message->node.priority <= first->priority)
		return false;
	return mailbox->messages <= mailbox->max_messages &&
	       mailbox->bytes - old->size + message->size <= mailbox->max_bytes;
}

/*
 * Put @message, which is in no queue, and has its origin, where @old is, which is to be discarded
 * then, once the lock is dropped.
 */
void kpost_replace(struct kpost_mailbox *mailbox, struct kpost_message *message,
		   struct kpost_message *old, struct kpost_wakes *wakes)
{
	struct kpost_key *key = kpost_key(message), *from = kpost_key(old);
	struct kpost_keyed *keyed = keyed_of(mailbox);
	struct kpost_losses *losses = mailbox->losses;

	if (message->counts) {
		kpost_account_uncharge(message->account, kpost_message_cost(message->room));
		message->counts = false;
	}
	message->time = ktime_get_coarse_ns();
	mailbox->sent_at = message->time;
	message->node.order = ++mailbox->sent;
	trace_kpost_send(mailbox, message);

	kpost_extra_untimed(mailbox, old);
	kpost_extra_timed(mailbox, message);
	kpost_queue_replace(&mailbox->queue, &old->node, &message->node);
	key->tag = message->tag;
	if (!key->arrived)
		key->arrived = ++keyed->arrivals;
	key->place = from->place;
	key->owner = from->owner;
	key->badged = from->badged;
	rb_replace_node(&from->by_key, &key->by_key, &keyed->queued);
	rb_replace_node(&from->by_owner, &key->by_owner, &keyed->replaceable);
	RB_CLEAR_NODE(&from->by_owner);

	mailbox->bytes += message->size;
	mailbox->bytes -= old->size;
	losses->replaced++;
	WRITE_ONCE(losses->missed, losses->missed + 1);
	kpost_parked_tell(mailbox, wakes);
	kpost_mailbox_tell_of(mailbox, message, wakes);
	if (message->sender) {
		message->sender->sequence = message->node.order;
		kpost_waiter_done(message->sender, 0, wakes);
		message->sender = NULL;
	}
	if (mailbox->above)
		kpost_mailbox_recount(mailbox);
}

/*
 * What @message, which waits for room, is to replace, if it is to; or NULL.  Not what was sent
 * after it, at a higher priority.
 */
struct kpost_message *kpost_waits_to_replace(const struct kpost_mailbox *mailbox,
					     const struct kpost_message *message)
{
	const struct kpost_key *key = kpost_key(message);
	struct kpost_message *old;

	if (!key->replaces)
		return NULL;
	old = kpost_replaceable(mailbox, message, message->origin);
	return old && kpost_key(old)->arrived < key->arrived ? old : NULL;
}

/* The same, if there is room for that, and it is the first that waits. */
static struct kpost_message *replace_old(const struct kpost_mailbox *mailbox,
					 const struct kpost_message *message)
{
	struct kpost_message *old = mailbox->keyed ? kpost_waits_to_replace(mailbox, message) :
						     NULL;

	return old && kpost_replace_fits(mailbox, message, old, true) ? old : NULL;
}

bool kpost_may_replace(const struct kpost_mailbox *mailbox, const struct kpost_message *message)
{
	return replace_old(mailbox, message);
}

/* If so, let it do that; @wakes is not full. */
void kpost_replace_let_in(struct kpost_mailbox *mailbox, struct kpost_message *message,
			  struct kpost_wakes *wakes)
{
	struct kpost_message *old = replace_old(mailbox, message);

	kpost_mailbox_unqueue(mailbox, &mailbox->pending, message);
	mailbox->waiting_senders--;
	kpost_replace(mailbox, message, old, wakes);
	/* Whoever drops the lock discards it. */
	list_add_tail(&old->node.peers, &keyed_of(mailbox)->gone);
	wakes->gone = true;
}
