// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sysctl.h>

void probe(struct ctl_table *table, const struct ctl_table *other);
void probe(struct ctl_table *table, const struct ctl_table *other)
{
	table->proc_handler(other, 0, NULL, NULL, NULL);
}
