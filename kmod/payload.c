// SPDX-License-Identifier: GPL-2.0-only
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "../uapi/linux/kpost.h"
#include "compat/compat.h"
#include "payload.h"
#include "usercopy.h"

/* Make an iterator over a list of pieces. Returns 0 or -EFAULT, -EINVAL, -ENOMEM. */
static int payload_pieces(struct kpost_payload *payload, u64 list, u64 count,
			  unsigned int direction)
{
	const struct kpost_iovec __user *from = u64_to_user_ptr(list);
	struct iovec *pieces = payload->few;
	size_t total = 0;
	bool bad = false;
	unsigned int i;

	if (count > KPOST_IOVEC_MAX)
		return -EINVAL;
	if (list > ULONG_MAX)
		return -EFAULT;
	if (count > ARRAY_SIZE(payload->few)) {
		pieces = kmalloc_array(count, sizeof(*pieces), GFP_KERNEL_ACCOUNT);
		if (!pieces)
			return -ENOMEM;
		payload->pieces = pieces;
	}
	for (i = 0; i < count; i++) {
		struct kpost_iovec piece;

		if (copy_from_user(&piece, &from[i], sizeof(piece)))
			return -EFAULT;
		if (piece.len > SSIZE_MAX - total)
			return -EINVAL;
		/* Left for the end: too long a list is EINVAL, wherever its pieces are. */
		bad |= !kpost_range_ok(piece.base, piece.len);
		pieces[i].iov_base = u64_to_user_ptr(piece.base);
		pieces[i].iov_len = piece.len;
		total += piece.len;
	}
	if (bad)
		return -EFAULT;
	iov_iter_init(&payload->iter, direction, pieces, count, total);
	payload->size = total;
	return 0;
}

/* The same where it is a list, or lies in a registered buffer. */
int kpost_payload_import_other(struct kpost_payload *payload, u64 buf, u64 len, bool pieces,
			       unsigned int direction, const struct kpost_fixed *fixed)
{
	int err;

	payload->whole = false;
	payload->pieces = NULL;
	if (fixed && pieces)
		return -EINVAL;
	if (fixed) {
		payload->size = len;
		return kpost_uring_import_fixed(buf, len, direction, &payload->iter, fixed);
	}
	err = payload_pieces(payload, buf, len, direction);
	if (err)
		kpost_payload_release(payload);
	return err;
}

/* Describe what read(2) and write(2) were given; not to be released. */
void kpost_payload_of_iter(struct kpost_payload *payload, const struct iov_iter *iter)
{
	payload->size = iov_iter_count(iter);
	if (likely(iter_is_ubuf(iter))) {
		payload->buf = iter->ubuf + iter->iov_offset;
		/* Whoever made it has looked at that; but a copy will not. */
		payload->whole = access_ok(payload->buf, payload->size);
	} else {
		payload->whole = false;
	}
	if (unlikely(!payload->whole))
		payload->iter = *iter;
}

/* So much is touched before others are let run. */
#define TOUCH_STEP SZ_64K

/*
 * Bring @size bytes at @at in to be written to, and say how many of them can be, from the
 * beginning.  For what has to be known before there is anything to write, and is not worth
 * pinning pages for.  The first byte, and one of each further page, is written back as it
 * is; a fault of a smaller grain (arm64's tags) is found by who then copies, and here by
 * who begins at that byte.  With page faults disabled, what is not there counts as bad.
 */
size_t kpost_memory_touch(void __user *at, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t step = min_t(size_t, size - done, TOUCH_STEP);
		size_t touched = kpost_pages_touch(at + done, step);

		done += touched;
		if (touched < step)
			break;
		cond_resched();
	}
	return done;
}

/* The same for the next @size bytes of an iterator; what is not a user's memory is there. */
static size_t iter_touch(const struct iov_iter *to, size_t size)
{
	const struct iovec *pieces;
	size_t skip, total = 0;

	if (!user_backed_iter(to))
		return size;
	if (iter_is_ubuf(to))
		return kpost_memory_touch(to->ubuf + to->iov_offset, size);
	pieces = kpost_compat_iter_pieces(to);
	for (skip = to->iov_offset; total < size; skip = 0, pieces++) {
		size_t n = min(pieces->iov_len - skip, size - total);
		size_t done = kpost_memory_touch(pieces->iov_base + skip, n);

		total += done;
		if (done < n)
			break;
	}
	return total;
}

size_t kpost_payload_touch_all(const struct kpost_payload *payload, size_t size)
{
	return likely(payload->whole) ? kpost_memory_touch(payload->buf, size) :
					iter_touch(&payload->iter, size);
}

/* ... of the next @size bytes behind @place */
size_t kpost_place_touch(const struct kpost_payload *payload, const struct kpost_place *place,
			 size_t size)
{
	return payload->whole ? kpost_memory_touch(payload->buf + place->done, size) :
				iter_touch(&place->rest, size);
}

/* Bring in the next @size bytes, to be read. Returns false if not even the first is there. */
bool kpost_place_bring_in(const struct kpost_payload *payload, const struct kpost_place *place,
			  size_t size)
{
	if (payload->whole)
		return fault_in_readable(payload->buf + place->done, size) < size;
	return fault_in_iov_iter_readable(&place->rest, size) < size;
}
