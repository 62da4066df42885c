/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where in user memory a payload comes from or goes to: one buffer, a list of
 * pieces, or a registered buffer of io_uring's.  Nearly all are one buffer, and
 * need no iterator.
 */
#ifndef KPOST_PAYLOAD_H
#define KPOST_PAYLOAD_H

#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "usercopy.h"

struct kpost_fixed;

struct kpost_payload {
	size_t size; /* bytes, all pieces together */
	bool whole; /* it is one buffer, at @buf; else @iter goes over it */
	void __user *buf;
	struct iov_iter iter;
	struct iovec *pieces; /* allocated, or NULL; unless @whole */
	struct iovec few[4];
};

/* How far a copy from or to a payload is. */
struct kpost_place {
	size_t done; /* bytes */
	struct iov_iter rest; /* what is behind them, unless the payload is whole */
};

/*
 * Numbers that are 64 bits wide everywhere may be of no address here.  And where users have
 * an address space to themselves, as on s390x, any range passes access_ok(), even one that
 * wraps: it would only be found out by a copy, which may be as late as the reply's.
 */
static inline bool kpost_range_ok(u64 base, u64 len)
{
	return base <= ULONG_MAX && len <= ULONG_MAX - base &&
	       access_ok(u64_to_user_ptr(base), len);
}

int kpost_payload_import_other(struct kpost_payload *payload, u64 buf, u64 len, bool pieces,
			       unsigned int direction, const struct kpost_fixed *fixed);
void kpost_payload_of_iter(struct kpost_payload *payload, const struct iov_iter *iter);

/*
 * Describe in @payload @len bytes at @buf, or a list of @len @pieces there, or what is in the
 * registered buffer of @fixed there; an ITER_SOURCE or ITER_DEST as @direction says.  Returns
 * 0 or -EFAULT, -EINVAL, -ENOMEM; to be released only if 0.
 */
static inline int kpost_payload_import(struct kpost_payload *payload, u64 buf, u64 len, bool pieces,
				       unsigned int direction, const struct kpost_fixed *fixed)
{
	if (unlikely(pieces || fixed))
		return kpost_payload_import_other(payload, buf, len, pieces, direction, fixed);
	if (!kpost_range_ok(buf, len))
		return -EFAULT;
	payload->whole = true;
	payload->buf = u64_to_user_ptr(buf);
	payload->size = len;
	return 0;
}

static inline void kpost_payload_release(struct kpost_payload *payload)
{
	if (unlikely(!payload->whole))
		kfree(payload->pieces);
}

static inline void kpost_place_init(struct kpost_place *place, const struct kpost_payload *payload)
{
	place->done = 0;
	if (unlikely(!payload->whole))
		place->rest = payload->iter;
}

/* Copy @n bytes on from @place, @done bytes from the beginning. Returns how many were. */
static __always_inline size_t kpost_payload_read(const struct kpost_payload *payload,
						 struct kpost_place *place, size_t done, void *to,
						 size_t n)
{
	return likely(payload->whole) ? kpost_copy_in(to, payload->buf + done, n) :
					copy_from_iter(to, n, &place->rest);
}

static __always_inline size_t kpost_payload_write(const struct kpost_payload *payload,
						  struct kpost_place *place, size_t done,
						  const void *from, size_t n)
{
	return likely(payload->whole) ? kpost_copy_out(payload->buf + done, from, n) :
					copy_to_iter(from, n, &place->rest);
}

size_t kpost_memory_touch(void __user *at, size_t size);
size_t kpost_payload_touch_all(const struct kpost_payload *payload, size_t size);
size_t kpost_place_touch(const struct kpost_payload *payload, const struct kpost_place *place,
			 size_t size);
bool kpost_place_bring_in(const struct kpost_payload *payload, const struct kpost_place *place,
			  size_t size);

/* kpost_memory_touch() of the first @size bytes of @payload. */
static inline size_t kpost_payload_touch(const struct kpost_payload *payload, size_t size)
{
	if (likely(payload->whole && size && offset_in_page(payload->buf) + size <= PAGE_SIZE))
		return kpost_pages_touch(payload->buf, size);
	return kpost_payload_touch_all(payload, size);
}

#endif /* KPOST_PAYLOAD_H */
