/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where in user memory a payload comes from or goes to: one buffer, a list of
 * pieces, or a registered buffer of io_uring's.
 */
#ifndef KPOST_PAYLOAD_H
#define KPOST_PAYLOAD_H

#include <linux/types.h>
#include <linux/uio.h>

struct kpost_fixed;

struct kpost_payload {
	struct iov_iter iter;
	struct iovec *pieces; /* @few, or allocated */
	unsigned int count; /* of them, 0 for a registered buffer */
	struct iovec few[4];
};

int kpost_payload_import(struct kpost_payload *payload, u64 buf, u64 len, bool pieces,
			 unsigned int direction, const struct kpost_fixed *fixed);
void kpost_payload_release(struct kpost_payload *payload);

size_t kpost_memory_touch(void __user *at, size_t size);
size_t kpost_iter_touch(const struct iov_iter *to, size_t size);

#endif /* KPOST_PAYLOAD_H */
