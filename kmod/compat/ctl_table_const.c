// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sysctl.h>

int probe(const struct ctl_table *table, int write, void *buffer, size_t *lenp, loff_t *ppos);

extern const struct ctl_table probed;
const struct ctl_table probed = { .proc_handler = probe };
