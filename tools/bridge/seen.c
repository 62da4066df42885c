// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which messages of a mailbox of another machine have come already.  JetStream knows duplicates by
 * their ids, but not all: what was proposed to the replicas of a stream and is not yet stored, it
 * takes again.  They are no farther apart than what one export has under way, and a mailbox gives
 * by priority; so of one mailbox the last sequences are remembered, a bit for each.
 *
 * The mark of the mailbox does not know them, since each has a number of its own in the stream.  So
 * that they are known when another process goes on, what is remembered lies in a mailbox beside
 * it, a message for each mailbox, which is replaced after a message was put in and before that is
 * acknowledged: who dies in between is given it again, with the number that the mark knows.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "bridge.h"

#define LAST 8192 /* twice the largest window */
#define KEPT 32 /* mailboxes that are remembered there */
#define OF_A_MACHINE 8 /* and here: it can claim any number of them */

struct seen {
	char machine[200];
	uint64_t target; /* identity of the mailbox that it has been put into */
	uint64_t identity; /* of that which it is from */
	uint64_t highest;
	uint64_t bits[LAST / 64]; /* a ring: that of a sequence is at its place */
	struct seen *next; /* the one that was used before */
};

#define RECORD offsetof(struct seen, next) /* what is kept of it */

bool seen_parse(const char *id, uint64_t *identity, uint64_t *sequence)
{
	char *end;

	*identity = strtoull(id, &end, 16);
	if (end == id || *end != '.')
		return false;
	*sequence = strtoull(end + 1, &end, 10);
	/* All of it: a dead letter's id can begin like one. */
	return *sequence && !*end;
}

/* ---- the bits ------------------------------------------------------------------ */

static uint64_t bit_of(uint64_t sequence)
{
	return 1ull << (sequence % 64);
}

static uint64_t *word_of(struct seen *seen, uint64_t sequence)
{
	return &seen->bits[sequence % LAST / 64];
}

bool seen_has(const struct seen *seen, uint64_t sequence)
{
	return sequence <= seen->highest && seen->highest - sequence < LAST &&
	       (seen->bits[sequence % LAST / 64] & bit_of(sequence));
}

void seen_note(struct seen *seen, uint64_t sequence)
{
	if (sequence > seen->highest && sequence - seen->highest >= LAST) {
		memset(seen->bits, 0, sizeof(seen->bits));
		seen->highest = sequence;
	}
	while (seen->highest < sequence) {
		seen->highest++;
		*word_of(seen, seen->highest) &= ~bit_of(seen->highest);
	}
	if (seen->highest - sequence < LAST)
		*word_of(seen, sequence) |= bit_of(sequence);
}

/* ---- the mailbox ----------------------------------------------------------------- */

uint64_t seen_tag(const char *of, uint64_t identity)
{
	uint64_t hash = 0xcbf29ce484222325 ^ identity; /* FNV-1a */

	while (*of)
		hash = (hash ^ (unsigned char)*of++) * 0x100000001b3;
	return hash;
}

int seen_open(const char *mailbox)
{
	struct kpost_attr attr = {
		.messages = KEPT + 1, /* and one of the stream's */
		.bytes = (KEPT + 1) * RECORD,
		.message_max = RECORD,
		.overflow = KPOST_OVERFLOW_REPLACE,
		.owner = geteuid(),
	};
	char *name = text("kpost-bridge.seen.%s", mailbox);
	int ret = kpost_open(name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV,
			     KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST | KPOST_OPEN_OWNER |
				     KPOST_OPEN_KEYED | KPOST_OPEN_NONBLOCK,
			     &attr, 0);

	free(name);
	return ret;
}

static struct seen *load(int memory, const char *machine, uint64_t identity, uint64_t target)
{
	struct seen *seen = make(sizeof(*seen));

	if (memory >= 0 &&
	    kpost_recv_tag(memory, seen_tag(machine, identity), seen, RECORD, NULL,
			   KPOST_PEEK | KPOST_DONTWAIT, 0) == RECORD &&
	    seen->target == target && seen->identity == identity &&
	    !strncmp(seen->machine, machine, sizeof(seen->machine)))
		return seen;
	memset(seen, 0, sizeof(*seen));
	snprintf(seen->machine, sizeof(seen->machine), "%s", machine);
	seen->target = target;
	seen->identity = identity;
	return seen;
}

struct seen *seen_get(struct origin *origin, uint64_t identity, int memory, uint64_t target)
{
	struct seen **place = &origin->seen, *seen;
	unsigned int count = 0;

	while ((seen = *place) && seen->identity != identity && ++count < OF_A_MACHINE)
		place = &seen->next;
	if (seen)
		*place = seen->next;
	if (seen && seen->identity != identity) {
		free(seen);
		seen = NULL;
	}
	if (!seen)
		seen = load(memory, origin->machine, identity, target);
	seen->next = origin->seen;
	origin->seen = seen;
	return seen;
}

void seen_free(struct origin *origin)
{
	struct seen *seen;

	while ((seen = origin->seen)) {
		origin->seen = seen->next;
		free(seen);
	}
}

int seen_put(int memory, uint64_t tag, unsigned int priority, const void *record, size_t size)
{
	struct kpost_send entry = {
		.flags = KPOST_REPLACE,
		.priority = priority,
		.tag = tag,
		.buf = (uintptr_t)record,
		.len = size,
	};
	struct seen oldest;
	int ret = kpost_send_batch(memory, &entry, 1, KPOST_DONTWAIT, 0, NULL);

	/* If that one is still used, it is kept anew the next time. */
	if (ret == -EAGAIN && kpost_recv(memory, &oldest, RECORD, NULL, KPOST_DONTWAIT, 0) >= 0)
		ret = kpost_send_batch(memory, &entry, 1, KPOST_DONTWAIT, 0, NULL);
	return ret < 0 ? ret : 0;
}

int seen_save(int memory, const struct seen *seen)
{
	/* Above that of a place, see place.c: these are given up first. */
	return seen_put(memory, seen_tag(seen->machine, seen->identity), 1, seen, RECORD);
}
