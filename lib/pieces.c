// SPDX-License-Identifier: MIT
/* Scatter/gather lists in the one layout that the kernel takes. */
#include <stdlib.h>

#include "internal.h"

_Static_assert(sizeof(struct kpost_iovec) == 16, "the kernel's layout");
_Static_assert(sizeof(void *) != 8 || sizeof(struct iovec) == sizeof(struct kpost_iovec),
	       "64-bit programs pass their struct iovec as it is");
_Static_assert(sizeof(void *) != 8 ||
		       offsetof(struct iovec, iov_len) == offsetof(struct kpost_iovec, len),
	       "64-bit programs pass their struct iovec as it is");

int kpost_pieces_get(struct kpost_pieces *pieces, const struct iovec *iov, int iovcnt)
{
	struct kpost_iovec *list = pieces->few;
	int saved = errno;
	int i;

	pieces->heap = NULL;
	if (iovcnt < 0 || iovcnt > KPOST_IOVEC_MAX)
		return -EINVAL;
	pieces->count = (uint64_t)iovcnt;
	if (KPOST_IOVEC_NATIVE) {
		pieces->address = kpost_address(iov);
		return 0;
	}
	if ((size_t)iovcnt > sizeof(pieces->few) / sizeof(pieces->few[0])) {
		list = calloc((size_t)iovcnt, sizeof(*list));
		if (!list) {
			errno = saved;
			return -ENOMEM;
		}
		pieces->heap = list;
	}
	for (i = 0; i < iovcnt; i++) {
		list[i].base = kpost_address(iov[i].iov_base);
		list[i].len = iov[i].iov_len;
	}
	pieces->address = kpost_address(list);
	return 0;
}

void kpost_pieces_put(struct kpost_pieces *pieces)
{
	free(pieces->heap);
}
