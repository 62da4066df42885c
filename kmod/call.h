/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls: a message whose sender waits for exactly one reply.
 *
 * A call is held by its caller, and by what leads a replier to it: first the
 * message, then, once that was received, the tree of the endpoint that
 * received it.  Room for the reply is allocated and charged before the request
 * is sent, so that a reply needs nothing that could run out.
 *
 * A replier claims the call, copies its reply into the room with no lock held,
 * and commits.  It takes no page fault meanwhile: if it needs one it gives up the
 * claim, has the page brought in, and goes on where it stopped, if nobody else has
 * claimed the call since.  A caller that leaves in between only clears @caller: the
 * room stays with the replier until it is done, soon.
 */
#ifndef KPOST_CALL_H
#define KPOST_CALL_H

#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/types.h>

#include "account.h"
#include "origin.h"

struct kpost_endpoint;
struct kpost_mailbox;
struct kpost_message;
struct kpost_operand;
struct kpost_process;
struct kpost_waiter;

struct kpost_call_state {
	refcount_t refs;
	u64 token; /* unique in this kernel, fixed */
	size_t room; /* bytes that a reply may have, fixed */
	u64 deadline; /* the caller's, by the kernel's clock, or 0; fixed */
	struct kpost_charge charge; /* its own, the reply's is apart */

	/* fixed, once received */
	struct kpost_endpoint *endpoint; /* through which; not to be followed when it is closed */
	struct kpost_process *process; /* by which, held */

	/* protected by the mailbox's lock */
	struct rb_node link; /* in endpoint->calls, once received */
	struct list_head of_process; /* in process->calls, while open (and by process->lock) */
	struct kpost_waiter *caller; /* once received; NULL if it has left */
	bool received;
	bool claimed; /* a replier copies into the room */
	bool orphaned; /* the process has ended; who has claimed it is the last that can reply */
	/*
	 * The last that did, on the stack of its task; not to be followed.  A later reply may
	 * be at the same place, and then finds the room as if it had left it: harmless, since
	 * each begins with the first byte.
	 */
	const void *filler;
	struct kpost_message *reply; /* the room, then the reply; NULL if given up */
	struct kpost_who replier; /* whom that is from, once there is one */
};

long kpost_call(struct kpost_operand *op);
long kpost_reply(struct kpost_operand *op);
long kpost_reply_recv(struct kpost_operand *op);

void kpost_call_put(struct kpost_call_state *call);
void kpost_call_received(struct kpost_endpoint *endpoint, struct kpost_message *message,
			 struct kpost_process *process);
bool kpost_call_reset_first(struct kpost_process *process);
void kpost_calls_reset(struct kpost_endpoint *endpoint);

#endif /* KPOST_CALL_H */
