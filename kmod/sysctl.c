// SPDX-License-Identifier: GPL-2.0-only
/*
 * net.kpost.*: the limits of an office, which names are reserved there, and whether it is private.
 *
 * The root of a namespace may set those of its own office, the limits no higher than
 * those of the initial one, which only the machine's root can set.
 */
#include <linux/fs.h>
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

/* To begin with, in every office. */
static const char reserved_default[] = "sys.";

static int reserved_set(struct kpost_office *office, const char *text, size_t len)
{
	char value[sizeof(office->reserved)];
	size_t i;

	if (len && text[len - 1] == '\n')
		len--;
	if (len >= sizeof(value))
		return -EINVAL;
	for (i = 0; i < len; i++) {
		if (!kpost_name_byte_ok(text[i]))
			return -EINVAL;
		value[i] = text[i];
	}
	value[len] = '\0';
	spin_lock(&office->lock);
	memcpy(office->reserved, value, len + 1);
	spin_unlock(&office->lock);
	return 0;
}

/* Not proc_dostring(), which writes where others read, and cuts off what is too long. */
static int reserved_handler(KPOST_COMPAT_CTL_CONST struct ctl_table *table, int write, void *buffer,
			    size_t *lenp, loff_t *ppos)
{
	struct kpost_office *office = container_of(table->data, struct kpost_office, reserved);
	char text[sizeof(office->reserved) + 1];
	ssize_t len;
	int err;

	if (write) {
		/* All of it comes at once, or nobody could tell when it is whole. */
		err = *ppos ? -EINVAL : *lenp ? reserved_set(office, buffer, *lenp) : 0;
		*ppos += err ? 0 : *lenp;
		return err;
	}
	spin_lock(&office->lock);
	len = snprintf(text, sizeof(text), "%s\n", office->reserved);
	spin_unlock(&office->lock);
	len = memory_read_from_buffer(buffer, *lenp, ppos, text, len);
	*lenp = max_t(ssize_t, len, 0);
	return min_t(ssize_t, len, 0);
}

/* clang-format off */
#define ENTRY(name, field, handler) \
	{ \
		.procname = name, \
		.data = (void *)offsetof(struct kpost_office, field), \
		.maxlen = sizeof_field(struct kpost_office, field), \
		.mode = 0644, \
		.proc_handler = handler, \
	}
#define LIMIT(field) \
	ENTRY(#field, limits.field, proc_doulongvec_minmax)
/* clang-format on */

/* Data is an offset here, and an address in each office's copy. */
static const struct ctl_table table_template[] = {
	LIMIT(default_bytes),
	LIMIT(user_bytes),
	LIMIT(user_sending_bytes),
	LIMIT(office_bytes),
	LIMIT(office_sending_bytes),
	ENTRY("reserved", reserved, reserved_handler),
	ENTRY("private", private, proc_dou8vec_minmax),
	{},
};

#define ENTRIES (ARRAY_SIZE(table_template) - 1)

int kpost_sysctl_init(struct kpost_office *office)
{
	bool initial = net_eq(office->net, &init_net);
	struct kpost_office *above = kpost_office(&init_net);
	struct ctl_table *table;
	unsigned int i;

	table = kmemdup(table_template, sizeof(table_template), GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;
	if (initial) {
		limits_init(&office->limits);
	} else {
		/* It may change at any time, and each limit is looked at with it. */
		office->limits = data_race(above->limits);
	}
	office->ceiling = &above->limits;
	strscpy(office->reserved, reserved_default, sizeof(office->reserved));

	for (i = 0; i < ENTRIES; i++) {
		size_t offset = (size_t)table[i].data;

		table[i].data = (u8 *)office + offset;
		if (table[i].data == &office->private) {
			table[i].extra1 = SYSCTL_ZERO;
			table[i].extra2 = SYSCTL_ONE;
		}
		if (table[i].proc_handler != proc_doulongvec_minmax)
			continue;
		table[i].extra1 = (void *)&ulong_zero;
		table[i].extra2 = initial ? (void *)&ulong_max : (u8 *)above + offset;
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
