/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mailbox: messages, those who wait to send and to receive, and its room.
 *
 * A message's room is taken when it is admitted and given back when it was
 * received, so what is TAKEN counts, and a message that goes back always fits.
 *
 * While a receiver waits the queue is empty: whoever brings a message hands it
 * to the first receiver that has room for it, and it is never queued, unless that
 * takes too long to be done in one go, see mailbox_settle().  A
 * sender that waits for room is served in the order of its message's priority,
 * and whoever gives room back admits its message; the sender learns of it
 * afterwards.  So no waiter ever has to try again, and none that leaves takes
 * anything with it.
 *
 * It lives while the office (by name) or an endpoint holds it.
 */
#ifndef KPOST_MAILBOX_H
#define KPOST_MAILBOX_H

#include <linux/kref.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/time64.h>

#include "memory.h"
#include "message.h"
#include "office.h"
#include "pollers.h"
#include "queue.h"
#include "wait.h"

struct kpost_call_state;
struct kpost_endpoint;
struct kpost_losses;
struct kpost_open;
struct kpost_setattr;
struct kpost_stat;

/*
 * What a mailbox tells many with.  Apart from it, since both fit into what the slab allocator has
 * better than the sum.
 */
struct kpost_telling {
	struct kpost_mailbox *mailbox;
	struct kpost_teller teller; /* of those who poll it for messages, and for its end */
	struct work_struct room_work; /* tells the second and further ones of those refused */
};

/* What is below is no mailbox's: 0 is no number of a file, and 1 their directory's. */
#define KPOST_MAILBOX_ID_MIN 2

struct kpost_mailbox {
	struct kref refs;
	bool anonymous; /* never had a name */
	bool keyed; /* fixed, see keyed.h */
	bool succeeded; /* its name was handed on (protected by office->lock) */
	struct kpost_office *office;

	struct kpost_account *account; /* the maker's, held; fixed */

	/* protected by office->lock */
	struct rb_node by_name; /* in office->names */
	unsigned int endpoints;

	spinlock_t lock; /* protects what follows */
	bool named; /* changed with office->lock held too */
	bool persistent; /* likewise */
	bool shut; /* likewise: it takes nothing more */
	bool closed; /* likewise: it is shut, and nobody can receive from it */
	unsigned int receivers; /* endpoints; changed with office->lock held too */
	unsigned int senders; /* likewise */
	kuid_t uid; /* changed with office->lock held too, as are gid and mode */
	kgid_t gid;
	umode_t mode;

	/*
	 * What it counts for, to its account, and by who had privilege to the office: what it
	 * can hold, or what it does hold, if that is more.
	 */
	u64 counted;
	u64 counted_own;
	bool above; /* that is more */
	bool tight; /* what it keeps may be too much; read without the lock too */

	u32 max_messages;
	u64 max_bytes;
	u32 messages; /* admitted and not yet received */
	u32 made_at; /* fixed: when it was made, in seconds since 1970 */
	u64 bytes;
	struct kpost_queue queue; /* of messages */
	struct kpost_queue pending; /* of messages whose senders wait for room */
	struct list_head waiting; /* of struct kpost_waiter, receivers */
	struct kpost_parking *parking; /* receives without a task; NULL if there never was one */
	unsigned int waiting_senders;
	unsigned int waiting_receivers; /* in @waiting and @parking->list */
	unsigned int open_calls;

	/* Read without the lock too. */
	u32 kept_bytes; /* of blocks that are its own, free ones or not */
	struct kpost_kept *kept; /* or NULL; changed with keepers_lock held too */
	unsigned long own_at; /* in jiffies: a message in its sender's own memory was received */

	struct rb_root marks; /* of struct kpost_mark, see mark.h */
	struct kpost_losses *losses; /* NULL if there never can have been any; set once */

	u64 sent; /* the last sequence number */
	u64 received;
	u64 dropped;
	u64 unattended; /* of those sent, who found it empty and nobody waiting */
	u64 sent_at; /* the last of them: CLOCK_MONOTONIC, coarse */
	unsigned long received_at; /* the last of those received: in jiffies, which are at hand */
	unsigned long told_at; /* what that was when somebody asked for it, */
	u64 told_time; /* and the time then told: the same as @sent_at; or 0 */

	/*
	 * Endpoints that were told that there is no room.  Who polls for room does so on its
	 * own endpoint's queue, and is told only if that was refused: one who may only send
	 * cannot make the receiver tell thousands each time.
	 */
	struct list_head refused; /* of struct kpost_endpoint */
	struct kpost_telling *telling; /* fixed */
	struct kpost_pollers in; /* who polls for messages */
	struct kpost_pollers end; /* who polls for the end, and not for messages */

	u32 message_max; /* fixed */
	u32 id; /* fixed, for traces, and its file's number */
	u64 identity; /* fixed, never another's */
	char name[]; /* fixed; its own only while @named */
};

/* By CLOCK_REALTIME: when it was made, and last taken from and sent to, or else was made. */
struct kpost_times {
	struct timespec64 made;
	struct timespec64 received;
	struct timespec64 sent;
};

void kpost_mailboxes_init(void);
u32 kpost_default_messages(u64 bytes);
struct kpost_mailbox *kpost_mailbox_new(struct kpost_office *office, const struct kpost_open *arg);
int kpost_mailbox_count(struct kpost_mailbox *mailbox);
void kpost_mailbox_release(struct kref *refs);

static inline void kpost_mailbox_get(struct kpost_mailbox *mailbox)
{
	kref_get(&mailbox->refs);
}

static inline void kpost_mailbox_put(struct kpost_mailbox *mailbox)
{
	kref_put(&mailbox->refs, kpost_mailbox_release);
}

/* With office->lock held: who may be attached, and the name. */
int kpost_mailbox_permission(struct kpost_mailbox *mailbox, u32 rights);
bool kpost_mailbox_opens(struct kpost_mailbox *mailbox, const struct cred *cred);
void kpost_mailbox_attach(struct kpost_mailbox *mailbox, u32 rights);
void kpost_mailbox_unname(struct kpost_mailbox *mailbox);
int kpost_mailbox_succeed(struct kpost_mailbox *old, struct kpost_mailbox *mailbox);

/* Without: what may take a while. */
void kpost_mailbox_unnamed(struct kpost_mailbox *mailbox, bool tell);
void kpost_mailbox_detach(struct kpost_mailbox *mailbox, u32 rights);

int kpost_mailbox_setattr(struct kpost_mailbox *mailbox, const struct kpost_setattr *arg);
int kpost_mailbox_attended(struct kpost_mailbox *mailbox);
void kpost_mailbox_stat(struct kpost_mailbox *mailbox, struct kpost_stat *st);
u64 kpost_mailbox_oldest(struct kpost_mailbox *mailbox);
void kpost_mailbox_times(struct kpost_mailbox *mailbox, struct kpost_times *times);

/* With mailbox->lock held. */
bool kpost_mailbox_writable(const struct kpost_mailbox *mailbox);
void kpost_mailbox_recount(struct kpost_mailbox *mailbox);
u64 kpost_mailbox_spare(const struct kpost_mailbox *mailbox);
void kpost_mailbox_refuse(struct kpost_endpoint *endpoint);
bool kpost_mailbox_hand_over(struct kpost_mailbox *mailbox, struct kpost_message *message,
			     struct kpost_wakes *wakes);
void kpost_mailbox_put_back(struct kpost_mailbox *mailbox, struct kpost_message *message,
			    struct kpost_wakes *wakes);
void kpost_mailbox_let_in(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes);
void kpost_mailbox_end(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes);
void kpost_mailbox_finish(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes);
void kpost_mailbox_unlock_and_wake(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
	__releases(&mailbox->lock);

/* Drop the lock, and wake those that are to be woken for what was done under it. */
static inline void kpost_mailbox_unlock(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
	__releases(&mailbox->lock)
{
	if (likely(kpost_wakes_none(wakes)))
		spin_unlock(&mailbox->lock);
	else
		kpost_mailbox_unlock_and_wake(mailbox, wakes);
}

/* Without. */
void kpost_mailbox_tell(struct kpost_mailbox *mailbox, __poll_t events, unsigned int arrivals);
void kpost_mailbox_tell_shut(struct kpost_mailbox *mailbox);
void kpost_mailbox_one_told(struct kpost_endpoint *endpoint);
void kpost_mailbox_room_work(struct work_struct *work);

#endif /* KPOST_MAILBOX_H */
