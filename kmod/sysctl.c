// SPDX-License-Identifier: GPL-2.0-only
/*
 * net.kpost.*: the limits of an office.
 *
 * The root of a namespace may set those of its own office, but no higher than
 * those of the initial one, which only the machine's root can set.
 */
#include <linux/slab.h>
#include <linux/sysctl.h>

#include "compat/compat.h"
#include "office.h"

static const struct kpost_limits defaults = {
	.default_messages = 1024,
	.default_bytes = 1UL << 20,
	.max_messages = 1U << 16,
	.max_bytes = 8UL << 20,
	.user_mailboxes = 256,
	.user_bytes = 16UL << 20,
	.office_mailboxes = 1U << 16,
	.office_bytes = 256UL << 20,
};

static const unsigned int uint_max = INT_MAX;
static const unsigned long ulong_max = LONG_MAX;
static const unsigned long ulong_zero;

/* clang-format off */
#define LIMIT(field, handler) \
	{ \
		.procname = #field, \
		.data = (void *)offsetof(struct kpost_limits, field), \
		.maxlen = sizeof_field(struct kpost_limits, field), \
		.mode = 0644, \
		.proc_handler = handler, \
	}
/* clang-format on */

/* Data is an offset here, and an address in each office's copy. */
static const struct ctl_table table_template[] = {
	LIMIT(default_messages, proc_douintvec_minmax),
	LIMIT(default_bytes, proc_doulongvec_minmax),
	LIMIT(max_messages, proc_douintvec_minmax),
	LIMIT(max_bytes, proc_doulongvec_minmax),
	LIMIT(user_mailboxes, proc_douintvec_minmax),
	LIMIT(user_bytes, proc_doulongvec_minmax),
	LIMIT(office_mailboxes, proc_douintvec_minmax),
	LIMIT(office_bytes, proc_doulongvec_minmax),
	{},
};

#define ENTRIES (ARRAY_SIZE(table_template) - 1)

int kpost_sysctl_init(struct kpost_office *office)
{
	bool initial = net_eq(office->net, &init_net);
	struct kpost_limits *ceiling = &kpost_office(&init_net)->limits;
	struct ctl_table *table;
	unsigned int i;

	table = kmemdup(table_template, sizeof(table_template), GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;
	/* The ceiling may change at any time, and each limit is looked at with it. */
	office->limits = initial ? defaults : data_race(*ceiling);
	office->ceiling = ceiling;

	for (i = 0; i < ENTRIES; i++) {
		size_t offset = (size_t)table[i].data;
		bool is_long = table[i].maxlen == sizeof(unsigned long);

		table[i].data = (u8 *)&office->limits + offset;
		table[i].extra1 = is_long ? (void *)&ulong_zero : SYSCTL_ZERO;
		if (!initial)
			table[i].extra2 = (u8 *)ceiling + offset;
		else
			table[i].extra2 = is_long ? (void *)&ulong_max : (void *)&uint_max;
	}
	office->sysctl = register_net_sysctl_sz(office->net, "net/kpost", table, ENTRIES);
	if (!office->sysctl) {
		kfree(table);
		return -ENOMEM;
	}
	office->sysctl_table = table;
	return 0;
}

void kpost_sysctl_exit(struct kpost_office *office)
{
	unregister_net_sysctl_table(office->sysctl);
	kfree(office->sysctl_table);
}
