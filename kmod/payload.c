// SPDX-License-Identifier: GPL-2.0-only
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../uapi/linux/kpost.h"
#include "compat/compat.h"
#include "payload.h"

/*
 * Numbers that are 64 bits wide everywhere may be of no address here.  And where users have
 * an address space to themselves, as on s390x, any range passes access_ok(), even one that
 * wraps: it would only be found out by a copy, which may be as late as the reply's.
 */
static bool user_range_ok(u64 base, u64 len)
{
	return base <= ULONG_MAX && len <= ULONG_MAX - base &&
	       access_ok(u64_to_user_ptr(base), len);
}

/* Read a list of pieces. Returns their sum in bytes, or -EFAULT, -EINVAL, -ENOMEM. */
static ssize_t payload_pieces(struct kpost_payload *payload, u64 list, u64 count)
{
	const struct kpost_iovec __user *from = u64_to_user_ptr(list);
	size_t total = 0;
	bool bad = false;
	unsigned int i;

	if (count > KPOST_IOVEC_MAX)
		return -EINVAL;
	if (list > ULONG_MAX)
		return -EFAULT;
	if (count > ARRAY_SIZE(payload->few)) {
		payload->pieces =
			kmalloc_array(count, sizeof(*payload->pieces), GFP_KERNEL_ACCOUNT);
		if (!payload->pieces)
			return -ENOMEM;
	}
	for (i = 0; i < count; i++) {
		struct kpost_iovec piece;

		if (copy_from_user(&piece, &from[i], sizeof(piece)))
			return -EFAULT;
		if (piece.len > SSIZE_MAX - total)
			return -EINVAL;
		/* Left for the end: too long a list is EINVAL, wherever its pieces are. */
		bad |= !user_range_ok(piece.base, piece.len);
		payload->pieces[i].iov_base = u64_to_user_ptr(piece.base);
		payload->pieces[i].iov_len = piece.len;
		total += piece.len;
	}
	if (bad)
		return -EFAULT;
	payload->count = count;
	return total;
}

/*
 * Make @payload->iter, an ITER_SOURCE or ITER_DEST as @direction says, of @len bytes
 * at @buf, or of a list of @len @pieces there, or of what is in the registered buffer
 * of @fixed there.  Returns 0 or -EFAULT, -EINVAL, -ENOMEM; to be released only if 0.
 */
int kpost_payload_import(struct kpost_payload *payload, u64 buf, u64 len, bool pieces,
			 unsigned int direction, const struct kpost_fixed *fixed)
{
	ssize_t total;

	payload->pieces = payload->few;
	payload->count = 0;

	if (fixed && pieces)
		return -EINVAL;
	if (fixed)
		return kpost_uring_import_fixed(buf, len, direction, &payload->iter, fixed);
	if (pieces) {
		total = payload_pieces(payload, buf, len);
		if (total < 0) {
			kpost_payload_release(payload);
			return total;
		}
	} else {
		if (!user_range_ok(buf, len))
			return -EFAULT;
		total = len;
		payload->few[0].iov_base = u64_to_user_ptr(buf);
		payload->few[0].iov_len = len;
		payload->count = 1;
	}
	iov_iter_init(&payload->iter, direction, payload->pieces, payload->count, total);
	return 0;
}

void kpost_payload_release(struct kpost_payload *payload)
{
	if (payload->pieces != payload->few)
		kfree(payload->pieces);
}

/*
 * Bring @size bytes at @at in to be written to, and say how many of them can be, from the
 * beginning.  For what has to be known before there is anything to write, and is not worth
 * pinning pages for.  The first byte, and one of each further page, is written back as it
 * is; a fault of a smaller grain (arm64's tags) is found by who then copies, and here by
 * who begins at that byte.  With page faults disabled, what is not there counts as bad.
 */
size_t kpost_memory_touch(void __user *at, size_t size)
{
	u8 __user *bytes = at;
	size_t done = 0;
	u8 byte;

	while (done < size) {
		if (get_user(byte, bytes + done) || put_user(byte, bytes + done))
			return done;
		done = min_t(size_t, size, done + PAGE_SIZE - offset_in_page(bytes + done));
		if (done < size)
			cond_resched();
	}
	return size;
}

/* The same for the first @size bytes of @to; what is not a user's memory is there. */
size_t kpost_iter_touch(const struct iov_iter *to, size_t size)
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
