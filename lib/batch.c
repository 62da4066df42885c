// SPDX-License-Identifier: MIT
/* Many messages in one operation. */
#include "internal.h"

static struct kpost_batch batch_args(const void *entries, size_t size, size_t count,
				     unsigned int flags, uint64_t deadline)
{
	return (struct kpost_batch){
		.flags = flags,
		.count = count <= KPOST_BATCH_MAX ? (uint32_t)count : 0,
		.entries = kpost_address(entries),
		.entry_size = (uint32_t)size,
		.deadline = deadline,
		.cookie = kpost_cookie,
	};
}

static int batch_tell(const struct kpost_batch *arg, int ret, int *error)
{
	if (ret > 0 && error)
		*error = arg->error;
	return ret;
}

KPOST_EXPORT int kpost_send_batch_sized(int fd, struct kpost_send *entries, size_t count,
					unsigned int flags, uint64_t deadline, int *error,
					size_t size)
{
	struct kpost_batch arg = batch_args(entries, size, count, flags, deadline);

	return batch_tell(&arg,
			  kpost_wait(fd, KPOST_IOC_SENDV, &arg, flags, kpost_undo_nothing, NULL),
			  error);
}

struct receipts {
	int fd;
	void *entries;
	size_t size; /* of one, as the caller knows it */
	size_t count;
};

/* Entry @i, of which no more than the first version has is looked at. */
static struct kpost_recv *entry_of(const struct receipts *receipts, size_t i)
{
	return (void *)((char *)receipts->entries + i * receipts->size);
}

/* What came as the thread was cancelled has no tokens yet where it was not received. */
static void receipts_undo(void *data)
{
	const struct receipts *receipts = data;
	size_t i;

	for (i = 0; i < receipts->count; i++) {
		const struct kpost_recv *entry = entry_of(receipts, i);

		kpost_token_undo(receipts->fd, entry->token, entry->message_flags);
	}
}

KPOST_EXPORT int kpost_recv_batch_sized(int fd, struct kpost_recv *entries, size_t count,
					unsigned int flags, uint64_t deadline, int *error,
					size_t size)
{
	struct kpost_batch arg = batch_args(entries, size, count, flags, deadline);
	struct receipts receipts = { fd, entries, size, arg.count };
	size_t i;

	for (i = 0; i < receipts.count; i++)
		entry_of(&receipts, i)->token = 0;
	return batch_tell(&arg,
			  kpost_wait(fd, KPOST_IOC_RECVV, &arg, flags, receipts_undo, &receipts),
			  error);
}
