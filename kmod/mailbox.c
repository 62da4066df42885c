// SPDX-License-Identifier: GPL-2.0-only
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../uapi/linux/kpost.h"
#include "call.h"
#include "fs.h"
#include "hold.h"
#include "mailbox.h"
#include "mark.h"
#include "overflow.h"
#include "park.h"
#include "room.h"
#include "trace.h"

/* No privilege goes past these. */
#define MESSAGES_HARD_MAX 1048576U
#define BYTES_HARD_MAX SZ_1G

/* What a mailbox, each message, and its key, count for beside their payloads, in bytes. */
#define MAILBOX_COST 1024
#define MESSAGE_COST 256
#define KEY_COST 192

static atomic64_t last_identity;

/* Identities go on from where no earlier module's are, as far as chance has it. */
void __init kpost_mailboxes_init(void)
{
	atomic64_set(&last_identity, get_random_u64());
}

/* Either is 0 where it is not asked for. */
static bool capacity_is_possible(u32 messages, u64 bytes)
{
	return messages <= MESSAGES_HARD_MAX && bytes <= BYTES_HARD_MAX;
}

/* What @mailbox counts for if it holds that. */
static u64 capacity_cost(const struct kpost_mailbox *mailbox, u32 messages, u64 bytes)
{
	u64 each = MESSAGE_COST + (mailbox->keyed ? KEY_COST : 0);

	return MAILBOX_COST + bytes + each * messages;
}

/* What is in @mailbox. */
static u64 mailbox_held(const struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&mailbox->lock);
	return mailbox->messages ? capacity_cost(mailbox, mailbox->messages, mailbox->bytes) : 0;
}

/* How much of what @mailbox counts for is not in it. */
u64 kpost_mailbox_spare(const struct kpost_mailbox *mailbox)
{
	u64 counted = mailbox->counted + mailbox->counted_own;
	u64 held = mailbox_held(mailbox);

	lockdep_assert_held(&mailbox->lock);
	return counted > held ? counted - held : 0;
}

/* What @mailbox has to count for; @above says whether it is for what is in it. */
static u64 mailbox_cost(const struct kpost_mailbox *mailbox, bool *above)
{
	u64 held = mailbox_held(mailbox), capacity = 0;

	if (!mailbox->shut)
		capacity = capacity_cost(mailbox, mailbox->max_messages, mailbox->max_bytes);
	*above = held > capacity;
	return max(held, capacity);
}

/*
 * Give back what @mailbox counts for too much, but to its account.  Returns how much it counts
 * less for that.
 */
static u64 mailbox_give_up(struct kpost_mailbox *mailbox)
{
	u64 cost = mailbox_cost(mailbox, &mailbox->above);
	u64 surplus, own;

	/* What is in it was let in by its capacity, which was counted. */
	if (WARN_ON_ONCE(cost > mailbox->counted + mailbox->counted_own))
		return 0;
	surplus = mailbox->counted + mailbox->counted_own - cost;
	own = min(surplus, mailbox->counted_own);
	mailbox->counted_own -= own;
	mailbox->counted -= surplus - own;
	if (own)
		kpost_account_sub(&mailbox->office->own, KPOST_CAPACITY, own);
	return surplus - own;
}

/* Give back what @mailbox counts for too much. */
void kpost_mailbox_recount(struct kpost_mailbox *mailbox)
{
	u64 surplus = mailbox_give_up(mailbox);

	if (surplus)
		kpost_account_sub(mailbox->account, KPOST_CAPACITY, surplus);
}

/* Have @mailbox, which is new, count for its maker.  Returns 0, -EDQUOT or -ENOSPC. */
int kpost_mailbox_count(struct kpost_mailbox *mailbox)
{
	u64 cost = capacity_cost(mailbox, mailbox->max_messages, mailbox->max_bytes);
	int err = kpost_account_add(mailbox->account, KPOST_CAPACITY, cost);

	if (!err)
		mailbox->counted = cost;
	return err;
}

/* As many as there are when each is of 512 bytes, but some. */
u32 kpost_default_messages(u64 bytes)
{
	return clamp_t(u64, bytes / 512, 16, MESSAGES_HARD_MAX);
}

/*
 * A mailbox that takes one message of its largest size at a time would have those who poll for
 * room wait until it is empty.
 */
static u32 default_message_max(u64 bytes)
{
	return clamp_t(u64, bytes / 4, 1, KPOST_PAYLOAD_MAX);
}

/*
 * A mailbox as @arg describes it, of the task's user, held by the caller, known to nobody, and
 * not counted yet.  Returns it or -EINVAL, -ENOMEM.
 */
struct kpost_mailbox *kpost_mailbox_new(struct kpost_office *office, const struct kpost_open *arg)
{
	static atomic_t last_id = ATOMIC_INIT(0);
	u32 messages = arg->messages, message_max = arg->message_max;
	u64 bytes = arg->bytes;
	struct kpost_account *account;
	struct kpost_mailbox *mailbox;
	struct kpost_telling *telling;

	if (!bytes)
		bytes = kpost_limit(office, default_bytes);
	if (!messages)
		messages = kpost_default_messages(bytes);
	if (!message_max)
		message_max = default_message_max(bytes);
	if (!capacity_is_possible(messages, bytes))
		return ERR_PTR(-EINVAL);
	if (!bytes || message_max > bytes || message_max > KPOST_PAYLOAD_MAX)
		return ERR_PTR(-EINVAL);

	mailbox = kzalloc(struct_size(mailbox, name, strlen(arg->name) + 1), GFP_KERNEL_ACCOUNT);
	telling = kmalloc(sizeof(*telling), GFP_KERNEL_ACCOUNT);
	account = kpost_account_payer(office);
	if (!mailbox || !telling || !account)
		goto err_free;
	if (arg->flags & KPOST_OPEN_KEYED && kpost_keyed_prepare(mailbox))
		goto err_free;
	if (arg->overflow || arg->held_max) {
		if (kpost_losses_prepare(mailbox))
			goto err_free;
		kpost_overflow_set(mailbox, arg->overflow);
		mailbox->losses->held_max = arg->held_max;
	}

	kref_init(&mailbox->refs);
	mailbox->office = office;
	mailbox->account = account;
	mailbox->anonymous = arg->flags & KPOST_OPEN_ANONYMOUS;
	mailbox->persistent = arg->flags & KPOST_OPEN_PERSIST;
	spin_lock_init(&mailbox->lock);
	mailbox->uid = current_euid();
	mailbox->gid = current_egid();
	mailbox->mode = arg->mode & ~current_umask();
	mailbox->max_messages = messages;
	mailbox->max_bytes = bytes;
	mailbox->message_max = message_max;
	mailbox->made_at = ktime_get_real_seconds();
	kpost_queue_init(&mailbox->queue);
	kpost_queue_init(&mailbox->pending);
	INIT_LIST_HEAD(&mailbox->waiting);
	INIT_LIST_HEAD(&mailbox->refused);
	mailbox->telling = telling;
	telling->mailbox = mailbox;
	INIT_WORK(&telling->room_work, kpost_mailbox_room_work);
	kpost_teller_init(&telling->teller);
	kpost_pollers_init(&mailbox->in, &telling->teller, NULL);
	kpost_pollers_init(&mailbox->end, &telling->teller, NULL);
	/* Some time they begin anew. */
	do {
		mailbox->id = atomic_inc_return(&last_id);
	} while (mailbox->id < KPOST_MAILBOX_ID_MIN);
	mailbox->identity = atomic64_inc_return(&last_identity);
	if (!mailbox->identity)
		mailbox->identity = atomic64_inc_return(&last_identity);
	strscpy(mailbox->name, arg->name, strlen(arg->name) + 1);
	return mailbox;

err_free:
	if (mailbox)
		kpost_losses_free(mailbox->losses);
	if (account)
		kpost_account_put(account);
	kfree(telling);
	kfree(mailbox);
	return ERR_PTR(-ENOMEM);
}

void kpost_mailbox_release(struct kref *refs)
{
	struct kpost_mailbox *mailbox = container_of(refs, struct kpost_mailbox, refs);

	WARN_ON_ONCE(!kpost_queue_empty(&mailbox->queue) || mailbox->messages);
	kpost_marks_free(mailbox);
	/* First: its work may yet have messages to let go of, and pollers to tell. */
	kpost_losses_free(mailbox->losses);
	/* One that nobody ever opened still counts. */
	kpost_account_sub(mailbox->account, KPOST_CAPACITY, mailbox->counted);
	kpost_account_sub(&mailbox->office->own, KPOST_CAPACITY, mailbox->counted_own);
	kpost_account_put(mailbox->account);
	cancel_work_sync(&mailbox->telling->room_work);
	kpost_parking_free(mailbox);
	kpost_teller_exit(&mailbox->telling->teller);
	kfree(mailbox->telling);
	kpost_kept_end(mailbox);
	kfree(mailbox);
}

/* May the task have @rights on @mailbox?  As for files. */
static int mailbox_permission(struct kpost_mailbox *mailbox, u32 rights, bool audit)
{
	struct kpost_office *office = mailbox->office;
	umode_t want = 0, have;

	lockdep_assert_held(&office->lock);
	if (rights & KPOST_RIGHT_ADMIN && !uid_eq(mailbox->uid, current_euid()) &&
	    !kpost_office_capable(office, CAP_FOWNER, mailbox->uid, mailbox->gid, audit))
		return -EACCES;

	if (rights & KPOST_RIGHT_RECV)
		want |= MAY_READ;
	if (rights & KPOST_RIGHT_SEND)
		want |= MAY_WRITE;
	if (uid_eq(mailbox->uid, current_euid()))
		have = mailbox->mode >> 6;
	else if (in_egroup_p(mailbox->gid))
		have = mailbox->mode >> 3;
	else
		have = mailbox->mode;
	if (want & ~have &&
	    !kpost_office_capable(office, CAP_DAC_OVERRIDE, mailbox->uid, mailbox->gid, audit))
		return -EACCES;
	return 0;
}

/* Returns 0 or -EACCES. */
int kpost_mailbox_permission(struct kpost_mailbox *mailbox, u32 rights)
{
	return mailbox_permission(mailbox, rights, true);
}

/* Could who has @cred open @mailbox, with any right?  Nobody who looks is told on. */
bool kpost_mailbox_opens(struct kpost_mailbox *mailbox, const struct cred *cred)
{
	const struct cred *own = override_creds(cred);
	bool opens = !mailbox_permission(mailbox, KPOST_RIGHT_SEND, false) ||
		     !mailbox_permission(mailbox, KPOST_RIGHT_RECV, false) ||
		     !mailbox_permission(mailbox, KPOST_RIGHT_ADMIN, false);

	revert_creds(own);
	return opens;
}

/* Count a new endpoint with @rights, which then holds the mailbox. */
void kpost_mailbox_attach(struct kpost_mailbox *mailbox, u32 rights)
{
	lockdep_assert_held(&mailbox->office->lock);
	kpost_mailbox_get(mailbox);
	mailbox->endpoints++;
	spin_lock(&mailbox->lock);
	if (rights & KPOST_RIGHT_RECV)
		mailbox->receivers++;
	if (rights & KPOST_RIGHT_SEND)
		mailbox->senders++;
	spin_unlock(&mailbox->lock);
}

/*
 * Drop one message that nobody will receive, and tell its sender if it waits: one that waits for
 * room, or with @queued any.  Returns false if there was none.  One at a time, since what is
 * dropped is freed without the lock.
 */
static bool mailbox_drop_one(struct kpost_mailbox *mailbox, bool queued)
{
	struct kpost_wakes wakes = {};
	struct kpost_message *message;

	spin_lock(&mailbox->lock);
	/* First those of which it is sure that somebody waits. */
	message = kpost_mailbox_first(&mailbox->pending);
	if (message && message->state == KPOST_TAKEN) {
		/* Whoever has it lets go of it. */
		kpost_beyond_drop(mailbox, message, &wakes);
		kpost_mailbox_unlock(mailbox, &wakes);
		return true;
	}
	if (message) {
		kpost_mailbox_unqueue(mailbox, &mailbox->pending, message);
		mailbox->waiting_senders--;
	} else {
		message = queued ? kpost_mailbox_first(&mailbox->queue) : NULL;
		if (message)
			kpost_mailbox_unqueue(mailbox, &mailbox->queue, message);
		else if (queued)
			message = kpost_hold_delayed_first(mailbox);
		if (!message) {
			spin_unlock(&mailbox->lock);
			return false;
		}
		mailbox->messages--;
		mailbox->bytes -= message->size;
		mailbox->dropped++;
		kpost_mailbox_recount(mailbox);
	}
	if (message->call)
		kpost_call_dropped(message->call, message, &wakes);
	if (message->sender)
		kpost_waiter_done(message->sender, -EPIPE, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	trace_kpost_drop(mailbox, message);
	kpost_message_discard(mailbox, message);
	return true;
}

/*
 * Nothing more is taken into @mailbox, which then has to be recounted.  Those who wait are for
 * mailbox_send_away().
 */
static void mailbox_shut(struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&mailbox->office->lock);
	lockdep_assert_held(&mailbox->lock);
	mailbox->shut = true;
	mailbox->persistent = false;
	WRITE_ONCE(mailbox->tight, true);
}

/*
 * Close @mailbox: nobody can receive from it any more, so no message is TAKEN or HELD and
 * no call open.  Its name goes.  What is left in it is for mailbox_drain(), without
 * office->lock.
 */
static void mailbox_close(struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&mailbox->office->lock);
	spin_lock(&mailbox->lock);
	mailbox_shut(mailbox);
	mailbox->closed = true;
	if (mailbox->named)
		kpost_office_del(mailbox->office, mailbox);
	/* Whoever still holds an endpoint holds no more than that. */
	kpost_mailbox_recount(mailbox);
	spin_unlock(&mailbox->lock);
}

/*
 * Empty a mailbox that was closed: nothing is added any more.  That takes as long as
 * the task that does it is given, so those who only need to know are told before.
 */
static void mailbox_drain(struct kpost_mailbox *mailbox)
{
	kpost_mailbox_tell(mailbox, EPOLLHUP | EPOLLERR, 1);
	while (mailbox_drop_one(mailbox, true))
		cond_resched();
	kpost_marks_free(mailbox);
	kpost_kept_trim(mailbox);
}

/* The same for one that was shut, and can be received from: what is in it stays. */
static void mailbox_send_away(struct kpost_mailbox *mailbox)
{
	struct kpost_wakes wakes = {};

	spin_lock(&mailbox->lock);
	kpost_mailbox_end(mailbox, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_mailbox_tell_shut(mailbox);
	while (mailbox_drop_one(mailbox, false))
		cond_resched();
	kpost_kept_trim(mailbox);
}

/*
 * @mailbox was closed, with no lock held any more; @named says whether it had a name till then.
 * Who watches files comes last: that may wait for a stranger who looks at the file just then.
 */
static void mailbox_closed(struct kpost_mailbox *mailbox, bool named)
{
	mailbox_drain(mailbox);
	if (named) {
		kpost_fs_unnamed(mailbox);
		kpost_mailbox_put(mailbox);
	}
}

/* There is no sender, and since it has no name there will be none. */
static void mailbox_senders_gone(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	wakes->events |= EPOLLRDHUP;
	kpost_mailbox_end(mailbox, wakes);
}

/*
 * Take @mailbox's name away, and close it if that was the last way in.  The
 * office's reference passes to the caller, for kpost_mailbox_unnamed() once the
 * office is unlocked.
 */
void kpost_mailbox_unname(struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&mailbox->office->lock);
	spin_lock(&mailbox->lock);
	kpost_office_del(mailbox->office, mailbox);
	spin_unlock(&mailbox->lock);
	if (!mailbox->receivers)
		mailbox_close(mailbox);
}

/* @tell says whether those who watch files have still to be told; that comes last, see above. */
void kpost_mailbox_unnamed(struct kpost_mailbox *mailbox, bool tell)
{
	struct kpost_wakes wakes = {};
	bool shut, closed;

	spin_lock(&mailbox->lock);
	/* It may be that somebody else closed it since, and drains it too. */
	closed = mailbox->closed;
	shut = mailbox->shut;
	if (!closed && !mailbox->senders)
		mailbox_senders_gone(mailbox, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	if (closed)
		mailbox_drain(mailbox);
	else if (shut)
		mailbox_send_away(mailbox);
	if (tell)
		kpost_fs_unnamed(mailbox);
	kpost_mailbox_put(mailbox);
}

/*
 * Have @mailbox, which is new, count for its maker, shut @old, and take its name away, for
 * @mailbox, and for kpost_mailbox_unnamed().  Only what @mailbox counts for more than @old has
 * to be there, where both are of one maker: to succeed does not fail for what is still in @old.
 * That counts on top; but nobody gets far so, as who counts for too much makes nothing more.
 * That the task may was checked.  Returns 0, -EDQUOT or -ENOSPC.
 */
int kpost_mailbox_succeed(struct kpost_mailbox *old, struct kpost_mailbox *mailbox)
{
	s64 cost = capacity_cost(mailbox, mailbox->max_messages, mailbox->max_bytes), more = cost;
	bool same = old->account == mailbox->account;
	u64 surplus;
	int err = 0;

	lockdep_assert_held(&old->office->lock);
	spin_lock(&old->lock);
	if (same)
		more -= old->counted;
	/* What is no more than before, in all, is no question of limits. */
	if (more <= 0 && !old->messages)
		kpost_account_sub(mailbox->account, KPOST_CAPACITY, -more);
	else
		err = kpost_account_add(mailbox->account, KPOST_CAPACITY, more);
	if (!err) {
		mailbox->counted = cost;
		mailbox_shut(old);
		surplus = mailbox_give_up(old);
		kpost_account_sub(old->account, KPOST_CAPACITY,
				  same ? -(long)old->counted : (long)surplus);
	}
	spin_unlock(&old->lock);
	if (!err) {
		old->succeeded = true;
		kpost_mailbox_unname(old);
	}
	return err;
}

/* An endpoint with @rights has gone, with its reference. */
void kpost_mailbox_detach(struct kpost_mailbox *mailbox, u32 rights)
{
	struct kpost_office *office = mailbox->office;
	struct kpost_wakes wakes = {};
	bool close, named, senders_gone;

	spin_lock(&office->lock);
	mailbox->endpoints--;
	spin_lock(&mailbox->lock);
	if (rights & KPOST_RIGHT_RECV)
		mailbox->receivers--;
	senders_gone = rights & KPOST_RIGHT_SEND && !--mailbox->senders && !mailbox->named;
	spin_unlock(&mailbox->lock);

	close = !mailbox->closed && !mailbox->persistent && !mailbox->receivers &&
		(rights & KPOST_RIGHT_RECV || !mailbox->named || !mailbox->endpoints);
	named = mailbox->named;
	if (close)
		mailbox_close(mailbox);
	spin_unlock(&office->lock);

	if (senders_gone) {
		spin_lock(&mailbox->lock);
		mailbox_senders_gone(mailbox, &wakes);
		kpost_mailbox_unlock(mailbox, &wakes);
	}
	if (close)
		mailbox_closed(mailbox, named);
	kpost_mailbox_put(mailbox);
}

static int setattr_owner(struct kpost_mailbox *mailbox, const struct kpost_setattr *arg,
			 kuid_t *uid, kgid_t *gid)
{
	bool may_chown;

	lockdep_assert_held(&mailbox->office->lock);
	*uid = mailbox->uid;
	*gid = mailbox->gid;
	if (arg->valid & KPOST_SET_UID)
		*uid = make_kuid(current_user_ns(), arg->uid);
	if (arg->valid & KPOST_SET_GID)
		*gid = make_kgid(current_user_ns(), arg->gid);
	if (!uid_valid(*uid) || !gid_valid(*gid))
		return -EINVAL;

	/* As for files: the owner may choose among its own groups. */
	if (uid_eq(*uid, mailbox->uid) &&
	    (gid_eq(*gid, mailbox->gid) ||
	     (uid_eq(mailbox->uid, current_euid()) && in_egroup_p(*gid))))
		return 0;
	may_chown = kpost_office_capable(mailbox->office, CAP_CHOWN, mailbox->uid, mailbox->gid,
					 true) &&
		    kpost_office_capable(mailbox->office, CAP_CHOWN, *uid, *gid, true);
	return may_chown ? 0 : -EPERM;
}

/*
 * Change the capacity, and what the mailbox counts for.  Larger it is made by its maker, or by
 * who has the privilege, and then for the office.
 */
static int setattr_capacity(struct kpost_mailbox *mailbox, const struct kpost_setattr *arg)
{
	u32 messages = arg->valid & KPOST_SET_MESSAGES ? arg->messages : mailbox->max_messages;
	u64 bytes = arg->valid & KPOST_SET_BYTES ? arg->bytes : mailbox->max_bytes;
	u64 cost = capacity_cost(mailbox, messages, bytes);
	u64 counted = mailbox->counted + mailbox->counted_own;
	bool privileged;
	int err;

	lockdep_assert_held(&mailbox->lock);
	if (messages > mailbox->max_messages || bytes > mailbox->max_bytes) {
		privileged = kpost_account_privileged();
		if (!privileged && !uid_eq(mailbox->account->uid, kpost_account_user()))
			return -EPERM;
		if (cost > counted) {
			cost -= counted;
			err = kpost_account_add(privileged ? &mailbox->office->own :
							     mailbox->account,
						KPOST_CAPACITY, cost);
			if (err)
				return err;
			*(privileged ? &mailbox->counted_own : &mailbox->counted) += cost;
		}
	}
	if (messages < mailbox->max_messages || bytes < mailbox->max_bytes)
		WRITE_ONCE(mailbox->tight, true);
	mailbox->max_messages = messages;
	mailbox->max_bytes = bytes;
	kpost_mailbox_recount(mailbox);
	return 0;
}

/* Shut @mailbox, and close it if nobody can receive from it.  Both locks are held, and dropped. */
static void setattr_shut(struct kpost_mailbox *mailbox) __releases(&mailbox->lock)
	__releases(&mailbox->office->lock)
{
	bool closes = !mailbox->receivers, named = mailbox->named;

	mailbox_shut(mailbox);
	kpost_mailbox_recount(mailbox);
	spin_unlock(&mailbox->lock);
	if (closes)
		mailbox_close(mailbox);
	spin_unlock(&mailbox->office->lock);
	if (!closes) {
		mailbox_send_away(mailbox);
		return;
	}
	mailbox_closed(mailbox, named);
}

/* May what senders drop become what @arg says?  Whether it can be others' messages is for good. */
static bool setattr_overflow_ok(const struct kpost_mailbox *mailbox,
				const struct kpost_setattr *arg)
{
	const struct kpost_losses *losses = kpost_losses(mailbox);
	u32 before = losses ? losses->overflow : 0;

	lockdep_assert_held(&mailbox->lock);
	return !(arg->valid & KPOST_SET_OVERFLOW) ||
	       (!((arg->overflow ^ before) & KPOST_OVERFLOW_ANY) &&
		(mailbox->keyed || !(arg->overflow & KPOST_OVERFLOW_REPLACE)));
}

/* Change what may change; the endpoint's right to do so was checked. */
int kpost_mailbox_setattr(struct kpost_mailbox *mailbox, const struct kpost_setattr *arg)
{
	struct kpost_office *office = mailbox->office;
	struct kpost_wakes wakes = {};
	kuid_t uid;
	kgid_t gid;
	int err = 0;

	if ((arg->valid & KPOST_SET_MESSAGES && !arg->messages) ||
	    (arg->valid & KPOST_SET_BYTES && arg->bytes < mailbox->message_max))
		return -EINVAL;
	if (!capacity_is_possible(arg->messages, arg->bytes))
		return -EINVAL;
	if (arg->valid & (KPOST_SET_OVERFLOW | KPOST_SET_HELD_MAX))
		err = kpost_losses_prepare(mailbox);
	if (err)
		return err;

	spin_lock(&office->lock);
	spin_lock(&mailbox->lock);
	err = setattr_owner(mailbox, arg, &uid, &gid);
	if (!err && (mailbox->closed ||
		     (mailbox->shut && arg->valid & (KPOST_SET_MESSAGES | KPOST_SET_BYTES))))
		err = -EPIPE;
	if (!err && !setattr_overflow_ok(mailbox, arg))
		err = -EINVAL;
	if (!err)
		err = setattr_capacity(mailbox, arg);
	if (err) {
		spin_unlock(&mailbox->lock);
		spin_unlock(&office->lock);
		return err;
	}
	mailbox->uid = uid;
	mailbox->gid = gid;
	if (arg->valid & KPOST_SET_MODE)
		mailbox->mode = arg->mode;
	if (arg->valid & KPOST_SET_OVERFLOW)
		kpost_overflow_set(mailbox, arg->overflow);
	if (arg->valid & KPOST_SET_HELD_MAX)
		mailbox->losses->held_max = arg->held_max;
	if (arg->valid & KPOST_SET_SHUT) {
		setattr_shut(mailbox);
		return 0;
	}
	spin_unlock(&office->lock);
	kpost_mailbox_let_in(mailbox, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_kept_trim(mailbox);
	return 0;
}

/* KPOST_PRESENT: can anybody receive?  Returns 0, -ENXIO, or -EPIPE if nobody ever can. */
int kpost_mailbox_attended(struct kpost_mailbox *mailbox)
{
	int err = 0;

	spin_lock(&mailbox->lock);
	if (!mailbox->receivers)
		err = mailbox->closed ? -EPIPE : -ENXIO;
	spin_unlock(&mailbox->lock);
	return err;
}
