/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls: a message whose sender gets exactly one reply.
 *
 * A call is held by its caller's side, see caller.h, and by what leads a replier to it: first
 * the message, then, once that was received, the tree of the endpoint that received it.  Room
 * for the reply is allocated and charged before the request is sent, so that a reply needs
 * nothing that could run out.  A small one is in the call's own block.
 *
 * A replier claims the call, copies its reply into the room with no lock held,
 * and commits.  It takes no page fault meanwhile: if it needs one it gives up the
 * claim, has the page brought in, and goes on where it stopped, if nobody else has
 * claimed the call since.  A caller that leaves in between only says so: the room stays
 * with the replier until it is done, soon.
 */
#ifndef KPOST_CALL_H
#define KPOST_CALL_H

#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/types.h>

#include "account.h"
#include "message.h"
#include "origin.h"

struct kpost_caller;
struct kpost_endpoint;
struct kpost_mailbox;
struct kpost_operand;
struct kpost_payload;
struct kpost_process;
struct kpost_waiter;
struct kpost_wakes;

struct kpost_call_state {
	refcount_t refs;
	u64 token; /* unique in this kernel, fixed; to its caller it is the id */
	size_t room; /* bytes that a reply may have, fixed */
	u64 deadline; /* the caller's, by the kernel's @clock, or 0; fixed */
	u64 user_data; /* fixed, if it was submitted */
	bool submitted; /* fixed: it is to be collected */
	u8 clock; /* enum kpost_clock; fixed */
	bool retry; /* fixed: its request can be held */
	struct kpost_charge charge; /* for all that there is of it */

	/* fixed, once received */
	struct kpost_endpoint *endpoint; /* through which; not to be followed when it is closed */
	struct kpost_process *process; /* by which, held until it is no longer open */

	/* protected by the mailbox's lock */
	struct rb_node link; /* in endpoint->calls, once received */
	struct list_head of_process; /* in process->calls, while open (and by process->lock) */
	struct kpost_message *request; /* until it was received, dropped or withdrawn */
	u64 sequence; /* its number, once it is that */
	bool received;
	bool claimed; /* a replier copies into the room */
	bool orphaned; /* the process has ended; who has claimed it is the last that can reply */
	bool left; /* nobody wants the reply any more */
	bool over; /* there is a reply, or never will be: see @result */
	int result; /* 0, -ECONNRESET or -EPIPE */
	struct kpost_waiter *waiter; /* is told when it is over */
	struct kpost_caller *caller; /* whose it is while it is in the next two; else NULL */
	struct rb_node by_id; /* in caller->submitted, ->taken or ->interrupted */
	struct list_head ready; /* in caller->ready: over, and to be collected */
	bool taken; /* over, and being collected */
	/*
	 * The last that filled the room, on the stack of its task; not to be followed.  A later
	 * reply may be at the same place, and then finds the room as if it had left it: harmless,
	 * since each begins with the first byte.
	 */
	const void *filler;
	struct kpost_message *reply; /* the room, then the reply; NULL if given up */
	struct kpost_who replier; /* whom that is from, once there is one */
	struct kpost_message here; /* the room, if it is not apart; this ends the block */
};

#define KPOST_CALL_BLOCK 512
#define KPOST_CALL_ROOM_HERE (KPOST_CALL_BLOCK - sizeof(struct kpost_call_state))
static_assert(sizeof(struct kpost_call_state) <= KPOST_CALL_BLOCK - 64);

/* How struct kpost_call and struct kpost_call_collect end. */
struct kpost_outcome {
	u64 sequence;
	u64 reply_tag;
	u64 badge;
	u64 time;
	u32 message_flags;
	u32 pid;
	u32 uid;
	u32 gid;
	u32 opener_uid;
	u32 opener_gid;
};

long kpost_call(struct kpost_operand *op);
long kpost_call_submit(struct kpost_operand *op);
long kpost_call_collect(struct kpost_operand *op);
long kpost_call_cancel(struct kpost_operand *op);
long kpost_reply(struct kpost_operand *op);
long kpost_reply_recv(struct kpost_operand *op);

u64 kpost_token_new(void);
struct kpost_call_state *kpost_call_build(const struct kpost_operand *op,
					  const struct kpost_payload *request, size_t room,
					  u32 priority, u64 tag, u64 __user *id,
					  struct kpost_message **built);
void kpost_outcome_describe(struct kpost_outcome *outcome, const struct kpost_call_state *call);
void kpost_call_closed(struct kpost_call_state *call);
void kpost_call_put(struct kpost_call_state *call);

/* With the mailbox's lock held. */
void kpost_call_over(struct kpost_call_state *call, int result, struct kpost_wakes *wakes);
struct kpost_message *kpost_call_shed_room(struct kpost_call_state *call);
void kpost_call_dropped(struct kpost_call_state *call, struct kpost_message *request,
			struct kpost_wakes *wakes);
struct kpost_message *kpost_call_leave(struct kpost_mailbox *mailbox, struct kpost_call_state *call,
				       struct kpost_wakes *wakes);
void kpost_call_received(struct kpost_endpoint *endpoint, struct kpost_message *message,
			 struct kpost_process *process);
void kpost_call_unlink(struct kpost_endpoint *endpoint, struct kpost_call_state *call);
void kpost_call_reset(struct kpost_call_state *call, struct kpost_wakes *wakes);
bool kpost_call_reset_first(struct kpost_process *process);
void kpost_calls_reset(struct kpost_endpoint *endpoint);

#endif /* KPOST_CALL_H */
