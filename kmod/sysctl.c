// SPDX-License-Identifier: GPL-2.0-only
/*
 * net.kpost.*: the limits of an office.
 *
 * The root of a namespace may set those of its own office, but no higher than
 * those of the initial one, which only the machine's root can set.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sysctl.h>

#include "compat/compat.h"
#include "office.h"

/* Of the initial office. */
static void limits_init(struct kpost_limits *limits)
{
	/* In pages, since a 32-bit kernel may have more memory than it can count. */
	unsigned long pages = totalram_pages(), most = LONG_MAX >> PAGE_SHIFT;
	unsigned long share =
		clamp(pages / 64, 64UL << (20 - PAGE_SHIFT), 256UL << (20 - PAGE_SHIFT));

	limits->default_bytes = 128UL << 10;
	limits->user_bytes = share << PAGE_SHIFT;
	limits->user_sending_bytes = limits->user_bytes;
	limits->office_bytes = min(max(pages / 4, 16 * share), most) << PAGE_SHIFT;
	limits->office_sending_bytes = limits->office_bytes;
}

static const unsigned long ulong_max = LONG_MAX;
static const unsigned long ulong_zero;

/* clang-format off */
#define LIMIT(field) \
	{ \
		.procname = #field, \
		.data = (void *)offsetof(struct kpost_limits, field), \
		.maxlen = sizeof_field(struct kpost_limits, field), \
		.mode = 0644, \
		.proc_handler = proc_doulongvec_minmax, \
	}
/* clang-format on */

/* Data is an offset here, and an address in each office's copy. */
static const struct ctl_table table_template[] = {
	LIMIT(default_bytes), LIMIT(user_bytes),	   LIMIT(user_sending_bytes),
	LIMIT(office_bytes),  LIMIT(office_sending_bytes), {},
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
	if (initial) {
		limits_init(&office->limits);
	} else {
		/* It may change at any time, and each limit is looked at with it. */
		office->limits = data_race(*ceiling);
	}
	office->ceiling = ceiling;

	for (i = 0; i < ENTRIES; i++) {
		size_t offset = (size_t)table[i].data;

		table[i].data = (u8 *)&office->limits + offset;
		table[i].extra1 = (void *)&ulong_zero;
		table[i].extra2 = initial ? (void *)&ulong_max : (u8 *)ceiling + offset;
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
