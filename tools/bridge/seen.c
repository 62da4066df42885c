// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which messages of a mailbox of another machine have come already.  JetStream knows duplicates by
 * their ids, but not all: a new leader of a stream can take a message again that the old one has
 * just stored.  They are no farther apart than what one export has under way, and a mailbox gives
 * by priority; so of one mailbox the last sequences are remembered, a bit for each.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bridge.h"

#define LAST 16384 /* four times the largest window */

struct seen {
	uint64_t identity; /* of the mailbox; another one is begun anew with */
	uint64_t highest;
	uint64_t bits[LAST / 64]; /* a ring: that of a sequence is at its place */
};

bool seen_parse(const char *id, uint64_t *identity, uint64_t *sequence)
{
	int end = 0;

	/* All of it: a dead letter's id can begin like one. */
	return sscanf(id, "%" SCNx64 ".%" SCNu64 "%n", identity, sequence, &end) == 2 &&
	       *sequence && !id[end];
}

static uint64_t bit_of(uint64_t sequence)
{
	return 1ull << (sequence % 64);
}

static uint64_t *word_of(struct seen *seen, uint64_t sequence)
{
	return &seen->bits[sequence % LAST / 64];
}

bool seen_has(const struct seen *seen, uint64_t identity, uint64_t sequence)
{
	return seen && seen->identity == identity && sequence <= seen->highest &&
	       seen->highest - sequence < LAST &&
	       (seen->bits[sequence % LAST / 64] & bit_of(sequence));
}

struct seen *seen_note(struct seen *seen, uint64_t identity, uint64_t sequence)
{
	if (!seen)
		seen = make(sizeof(*seen));
	if (seen->identity != identity ||
	    (sequence > seen->highest && sequence - seen->highest >= LAST)) {
		memset(seen, 0, sizeof(*seen));
		seen->identity = identity;
		seen->highest = sequence;
	}
	while (seen->highest < sequence) {
		seen->highest++;
		*word_of(seen, seen->highest) &= ~bit_of(seen->highest);
	}
	if (seen->highest - sequence < LAST)
		*word_of(seen, sequence) |= bit_of(sequence);
	return seen;
}
