// SPDX-License-Identifier: GPL-2.0-only
#include <linux/io_uring_types.h>

unsigned int probe(void);
unsigned int probe(void)
{
	return IOU_F_TWQ_IN_WAKE;
}
