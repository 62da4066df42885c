/* SPDX-License-Identifier: GPL-2.0-only */
/* What import.c and consumer.c share. */
#ifndef KPOST_BRIDGE_IMPORT_H
#define KPOST_BRIDGE_IMPORT_H

#include "bridge.h"

#define PULL_LEAST (2 * SECOND) /* an election forgets requests, and tells nobody */
#define ACK_WAIT (30 * SECOND) /* after which JetStream gives a message again */

enum import_phase {
	DOWN,
	DELETING, /* the consumer */
	MAKING,
	PULLING,
};

/* Where an import is in its stream, see place.c. */
struct place {
	uint64_t made; /* when the stream was, in minutes; 0: nothing is known yet */
	uint64_t epoch, first; /* what has a lower number than that is of the epoch before */
	uint64_t sequence; /* the highest of this epoch that came */
	uint64_t time; /* when the last of all that came was stored, in nanoseconds */
};

struct item {
	natsMsg *message;
	uint64_t sequence; /* in the stream */
	uint64_t mark; /* that it is sent to the mailbox with */
	uint64_t identity, number; /* of the mailbox that it is from, and in that; or 0 */
	uint64_t stored; /* when it was, in nanoseconds of CLOCK_REALTIME */
	uint64_t expires; /* CLOCK_MONOTONIC, or 0 for never */
	struct origin *origin;
};

struct import {
	struct route route;
	enum import_phase phase;
	struct item *queue; /* a ring of twice the batch */
	uint64_t head, tail;
	uint64_t last; /* sequence of the consumer's that was taken last */
	uint64_t asked; /* how many are to come */
	uint64_t pull; /* how long the last request waits */
	uint64_t heard; /* when the server said something last */
	uint64_t given; /* when it gave a message last */
	uint64_t looked; /* when it was asked whether there is one */
	uint64_t alive; /* when it was told last that work goes on */
	uint64_t backoff;
	bool progress; /* something was taken since the consumer was made */
	struct place place;
	uint64_t place_tag; /* that it is kept under */
	bool place_is_new; /* since it was kept */
	bool keeps; /* the stream does, what is acknowledged */
	bool behind; /* the consumer begins with the last that is in the mailbox */
	uint64_t done; /* the last of it that is in the mailbox, as far as is known */
	bool full; /* the mailbox is: one waits to be told */
	bool aside; /* the first in the queue is on its way to the dead letters */
	uint64_t aside_at;
	struct origin *origins;
	int memory; /* of what has come, see seen.c; -1 for none */
	uint64_t target; /* identity of the mailbox */
};

static inline struct import *import_of(struct route *route)
{
	return (struct import *)route;
}

static inline unsigned int ring_size(const struct import *import)
{
	return 2 * import->route.config->window;
}

static inline struct item *item_at(struct import *import, uint64_t index)
{
	return &import->queue[index % ring_size(import)];
}

/* ---- place.c ---- */

/*
 * Before anything comes, of a stream that was @made then, for a mailbox whose identity is @target
 * and whose highest mark is @mark.  It is kept in @memory under @tag; without (< 0) it is what this
 * process knows.
 */
void place_begin(struct place *place, int memory, uint64_t tag, uint64_t target, uint64_t made,
		 uint64_t mark);
/* Does a message that was @stored then, in nanoseconds, have the number of one that came before? */
bool place_goes_back(const struct place *place, uint64_t sequence, uint64_t stored);
/* It came.  Then the number of it that the mailbox is told; and back, 0 if of another epoch. */
void place_note(struct place *place, uint64_t sequence, uint64_t stored);
uint64_t place_number(const struct place *place, uint64_t sequence);
uint64_t place_sequence(const struct place *place, uint64_t number);
bool place_has_number(uint64_t sequence);
/* Returns 0 or -errno. */
int place_save(const struct place *place, int memory, uint64_t tag, uint64_t target);

/* ---- import.c ---- */

/* What was taken and is not in the mailbox is JetStream's again. */
void import_forget(struct import *import);

/* ---- consumer.c ---- */

/* Deletes the consumer and makes it anew: all that is not acknowledged comes again. */
void consumer_anew(struct import *import);
/* And what the stream keeps, too: the mailbox knows what it has. */
void consumer_from_begin(struct import *import);
/* Likewise, later; sooner where that has not been so for a while. */
void consumer_later(struct import *import);
/* Now, unless that was of no use the last time: others may do the same to this one. */
void consumer_start_over(struct import *import);
/* Asks for more, if there is room for it. */
void consumer_pull(struct import *import);
/* Something came to the reply subject of such a request, which ends in @wanted: it is over. */
void consumer_said(struct import *import, natsMsg *message, const char *wanted);
/* Has the route's timer look whether it still answers. */
void consumer_watch(struct import *import);
bool consumer_is_silent(const struct import *import);

#endif
