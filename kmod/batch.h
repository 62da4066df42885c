/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Many messages in one operation.
 *
 * A batch is done in rounds.  A round deals with the next entries as long as they are plain (one
 * buffer each, in memory that is there), no more than KPOST_ROUND of them, and takes the
 * mailbox's lock twice for all.  Where the next entry is not plain, or has to wait, or is wrong,
 * the round is of that one, which is done as an operation of its own is.
 */
#ifndef KPOST_BATCH_H
#define KPOST_BATCH_H

#include "endpoint.h"

/* The most messages in a round. */
#define KPOST_ROUND 32

/* The rounds of a batch. */
struct kpost_rounds {
	struct kpost_operand *op; /* of the batch itself */
	struct kpost_operand entry; /* of the entry that is next */
	unsigned int left; /* entries, that one included */
	unsigned int most; /* of them in the next round: 1 behind one that was not plain */
	bool first; /* no round was done */
};

int kpost_batch_get(struct kpost_operand *op, struct kpost_batch *arg, size_t entry_size_1);
int kpost_batch_do(struct kpost_operand *op, const struct kpost_batch *arg, unsigned int *done,
		   int (*round)(struct kpost_rounds *rounds, unsigned int *done));
long kpost_batch_end(const struct kpost_operand *op, unsigned int done, int err);

#endif /* KPOST_BATCH_H */
