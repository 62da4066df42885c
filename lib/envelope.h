/* SPDX-License-Identifier: MIT */
/*
 * What kpost-bridge puts before the payload of a message of another machine, where it is told to,
 * and kpost_bridge_origin() reads.  Both are on one machine, so numbers have its byte order.
 */
#ifndef KPOST_ENVELOPE_H
#define KPOST_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "kpost.h"

/* Of random bytes, none of them ASCII: no text begins so. */
#define KPOST_ENVELOPE_MAGIC 0xf1c5a89de2b397d4ull
#define KPOST_ENVELOPE_VERSION 1
#define KPOST_ENVELOPE_HEAD offsetof(struct kpost_envelope, machine)

struct kpost_envelope {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* of all that is before the payload, a multiple of 8 */
	uint64_t given; /* the badge that the bridge sent it with */
	/* what struct kpost_origin tells */
	uint64_t identity;
	uint64_t sequence;
	uint64_t stored;
	uint64_t badge;
	uint32_t pid;
	uint32_t uid;
	uint32_t gid;
	uint32_t opener_uid;
	uint32_t opener_gid;
	uint32_t reserved;
	char machine[sizeof(((struct kpost_origin *)0)->machine)]; /* ends with NUL, within size */
};

_Static_assert(KPOST_ENVELOPE_HEAD == 80, "the same for programs of 32 and of 64 bits");
_Static_assert(sizeof(struct kpost_envelope) <= KPOST_ENVELOPE_MAX, "mailboxes have room for it");

#endif /* KPOST_ENVELOPE_H */
