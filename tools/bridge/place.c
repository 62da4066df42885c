// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where an import is in its stream, and the numbers by which the mailbox knows what it has.
 *
 * That of a message in the stream is not enough: streams give numbers again.  A server that is
 * killed begins behind what it finds stored, and of a work queue it may find nothing; a stream can
 * be made anew, or be an older one, or a copy of it.  What is new would be taken for known, and be
 * lost.  So above that number there is an epoch.  The next one begins with a message whose number
 * is not above all that came, though it was stored later than all of it: one that comes once more
 * was not.  What has a lower number than that one was left, and is of the epoch before.
 *
 * It is kept beside the mailbox before a message of it is sent there, see seen.c: what is kept is
 * never behind what the mailbox has.  Without it all is new: that may be doubled, but not lost.
 */
#include <sys/param.h>

#include "import.h"

/* Minutes, or more than they are, above this; and below it the number in the stream. */
#define EPOCH_BIT 40

struct record {
	uint64_t target; /* identity of the mailbox */
	struct place place;
};

bool place_has_number(uint64_t sequence)
{
	return sequence < 1ull << EPOCH_BIT;
}

uint64_t place_number(const struct place *place, uint64_t sequence)
{
	uint64_t epoch = place->epoch - (sequence < place->first);

	return epoch << EPOCH_BIT | sequence;
}

uint64_t place_sequence(const struct place *place, uint64_t number)
{
	return number >> EPOCH_BIT == place->epoch ? number - (place->epoch << EPOCH_BIT) : 0;
}

bool place_goes_back(const struct place *place, uint64_t sequence, uint64_t stored)
{
	return sequence <= place->sequence && stored > place->time;
}

void place_note(struct place *place, uint64_t sequence, uint64_t stored)
{
	if (place_goes_back(place, sequence, stored)) {
		place->epoch++;
		place->first = place->sequence = sequence;
	}
	place->sequence = MAX(place->sequence, sequence);
	place->time = MAX(place->time, stored);
}

static bool load(struct place *place, int memory, uint64_t tag, uint64_t target)
{
	struct record record;

	if (memory < 0 ||
	    kpost_recv_tag(memory, tag, &record, sizeof(record), NULL, KPOST_PEEK | KPOST_DONTWAIT,
			   0) != sizeof(record) ||
	    record.target != target)
		return false;
	*place = record.place;
	return true;
}

void place_begin(struct place *place, int memory, uint64_t tag, uint64_t target, uint64_t made,
		 uint64_t mark)
{
	bool known = place->made || load(place, memory, tag, target);
	uint64_t last;

	/* If the mailbox has more, it was not kept, or another stream was here meanwhile. */
	if (known && place->made == made && mark <= place_number(place, place->sequence))
		return;
	last = MAX(mark >> EPOCH_BIT, place->epoch);
	*place = (struct place){ .made = made, .epoch = made > last ? made : last + 1 };
}

int place_save(const struct place *place, int memory, uint64_t tag, uint64_t target)
{
	const struct record record = { target, *place };

	return seen_put(memory, tag, 0, &record, sizeof(record));
}
