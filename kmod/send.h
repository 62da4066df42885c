/* SPDX-License-Identifier: GPL-2.0-only */
/* A send that waits without a task, alone or as an entry of a batch. */
#ifndef KPOST_SEND_H
#define KPOST_SEND_H

#include "park.h"

struct kpost_parked_send {
	struct kpost_parked parked;
	struct kpost_message *message;
	u64 __user *sequence; /* where its number goes, or NULL */
	u32 __user *out_flags; /* where goes whether it was sent before, or NULL */
};

struct kpost_message *kpost_parked_send_withdraw(struct kpost_parked *parked,
						 struct kpost_wakes *wakes);
long kpost_parked_send_end(struct kpost_parked *parked, bool dead, unsigned int issue_flags);

#endif /* KPOST_SEND_H */
