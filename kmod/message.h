/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages and the memory of their payloads.
 *
 * A message is built by its sender alone (memory, charge, copy of the payload,
 * identity) and then committed to a mailbox, from where it goes through these
 * states (protected by the mailbox's lock):
 *
 *	PENDING   its sender waits for room; in mailbox->pending
 *	QUEUED    in mailbox->queue
 *	TAKEN     a receiver copies it out; in no list, its room still held
 *
 * From TAKEN it is received and freed, or goes back to QUEUED if the copy
 * needs a page that is not there, or is dropped if its sender has withdrawn it in
 * the meantime.
 */
#ifndef KPOST_MESSAGE_H
#define KPOST_MESSAGE_H

#include <linux/pid.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "account.h"
#include "queue.h"

struct kpost_call_state;
struct kpost_endpoint;
struct kpost_payload;
struct kpost_place;
struct kpost_waiter;

enum kpost_message_state {
	KPOST_PENDING,
	KPOST_QUEUED,
	KPOST_TAKEN,
};

/* Who sent a message, as seen by the task that asks. */
struct kpost_ids {
	u32 pid;
	u32 uid, gid;
	u32 opener_uid, opener_gid;
};

/* A further piece of a payload, a page at most. */
struct kpost_piece {
	struct kpost_piece *next;
	u8 data[];
};

struct kpost_message {
	/* protected by the mailbox's lock, once committed */
	struct kpost_node node; /* order is the sequence number */
	enum kpost_message_state state;
	bool withdrawn; /* while TAKEN: the sender has left */
	struct kpost_waiter *sender; /* waits for room, receipt or a reply; or NULL */
	struct kpost_call_state *call; /* held, if the sender waits for a reply */

	/* fixed once committed */
	bool sync; /* the sender waits for receipt */
	u64 tag; /* the sender's */
	u64 badge; /* of the endpoint */
	u64 time; /* when it got in, or of a reply when it was made: CLOCK_MONOTONIC, coarse */
	u32 size; /* of the payload */
	u32 room; /* bytes that there is memory for, no less than that */
	struct pid *pid; /* the sender's process, held */
	kuid_t uid; /* the sender's real one */
	kgid_t gid;
	kuid_t opener_uid; /* the effective one that opened the endpoint */
	kgid_t opener_gid;
	bool mixed_ids; /* these, and the sender's effective ones, are not all the same */

	struct kpost_charge charge; /* until it got in, if anything; a reply's for good */
	struct kpost_piece *pieces; /* what does not fit into data */
	u8 data[];
};

/* What a message with a payload of @size bytes counts for while it does. */
static inline size_t kpost_message_cost(size_t size)
{
	return sizeof(struct kpost_message) + size;
}

struct kpost_message *kpost_message_alloc(struct kpost_endpoint *endpoint, size_t size,
					  bool counts);
int kpost_message_charge(struct kpost_message *message, struct kpost_endpoint *endpoint,
			 bool polls);
void kpost_message_free(struct kpost_message *message);
void kpost_message_identify(struct kpost_message *message, const struct kpost_endpoint *endpoint);
void kpost_message_tell_ids(const struct kpost_message *message, struct kpost_ids *ids);
int kpost_message_copy_in(struct kpost_message *message, const struct kpost_payload *from,
			  struct kpost_place *place);
int kpost_message_copy_out(struct kpost_message *message, const struct kpost_payload *to,
			   struct kpost_place *place, size_t size);

#endif /* KPOST_MESSAGE_H */
