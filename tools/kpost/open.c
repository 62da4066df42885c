// SPDX-License-Identifier: GPL-2.0-only
/* Coming by the device and by mailboxes. */
#include <unistd.h>

#include "tool.h"

int device_open(void)
{
	int device = kpost_device();

	if (device == -ENOENT || device == -ENXIO || device == -ENODEV)
		fail_plain(STATUS_NO_DEVICE,
			   "there is no /dev/kpost: the kernel module is not loaded; "
			   "load it with 'modprobe kpost' as root");
	if (device < 0)
		fail(device, NULL, "cannot open /dev/kpost");
	return device;
}

const char *name_fault(const char *name)
{
	static char too_long[64];
	const char *c;

	if (!*name)
		return "a name cannot be empty";
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return "a name is not '.' or '..'";
	for (c = name; *c; c++) {
		if (*c == '/' || (unsigned char)*c < 0x20 || *c == 0x7f)
			return "a name has no '/' and no control characters";
	}
	if (c - name <= KPOST_NAME_MAX)
		return NULL;
	snprintf(too_long, sizeof(too_long), "a name has at most %d bytes, not %zu", KPOST_NAME_MAX,
		 (size_t)(c - name));
	return too_long;
}

void check_name(const char *name)
{
	const char *fault = name_fault(name);

	if (fault)
		fail_plain(STATUS_USAGE, "'%s' cannot be a mailbox: %s", shown(name), fault);
}

/* Whose all mailboxes have to be. */
static struct {
	unsigned int flag; /* KPOST_OPEN_OWNER if that was said */
	uint32_t uid;
	const char *user;
} owner;

void mailbox_demand_owner(struct argp_state *state, const char *user)
{
	owner.uid = parse_user(state, user);
	owner.user = user;
	owner.flag = KPOST_OPEN_OWNER;
}

/* @name is user @uid's. */
static void check_owner(const char *name, uint32_t uid)
{
	if (owner.flag && uid != owner.uid)
		fail_plain(STATUS_PERMISSION,
			   "cannot open mailbox '%s': it is user %u's, and --owner demands %s's; "
			   "root can free the name with 'kpost rm %s'",
			   shown(name), uid, shown(owner.user), shown(name));
}

/* EPERM: it is somebody else's, or would be if it were made, or the name is not for all to give. */
_Noreturn void fail_no_permission(const char *name)
{
	struct kpost_stat st;

	if (owner.flag && !mailbox_find(name, &st))
		check_owner(name, st.uid);
	if (owner.flag && owner.uid != geteuid())
		fail_plain(STATUS_PERMISSION,
			   "cannot make mailbox '%s': it would be user %u's, and --owner demands "
			   "%s's; have that user make it",
			   shown(name), geteuid(), shown(owner.user));
	fail_plain(STATUS_PERMISSION,
		   "cannot make mailbox '%s': names that begin so are for root to give "
		   "(net.kpost.reserved); choose another, or have root make it",
		   shown(name));
}

int mailbox_try(const char *name, unsigned int rights)
{
	const struct kpost_attr attr = { .owner = owner.uid };

	struct kpost_stat st;
	int fd;

	if (!is_path(name))
		return kpost_open(name, rights, owner.flag, &attr, 0);
	fd = kpost_open_path(name, rights, 0);
	if (fd < 0 || !owner.flag || (!kpost_stat(fd, &st) && st.uid == owner.uid))
		return fd;
	close(fd);
	return -EPERM;
}

_Noreturn void fail_sizes(const char *name)
{
	fail_plain(STATUS_USAGE,
		   "cannot make mailbox '%s': these sizes do not go together; a message as long as "
		   "--message-max must fit in --bytes",
		   shown(name));
}

int mailbox_open(const char *name, unsigned int rights, unsigned int flags,
		 const struct kpost_attr *attr, uint64_t deadline)
{
	struct kpost_attr how = { .mode = 0 };
	struct kpost_stat st;
	int device, fd;

	if (attr)
		how = *attr;
	how.owner = owner.uid;
	if (is_path(name)) {
		fd = path_open(name, rights, flags | owner.flag, &how);
		/* open(2) does not ask whose it is. */
		if (owner.flag && rights != KPOST_RIGHT_ADMIN) {
			int ret = kpost_stat(fd, &st);

			if (ret)
				fail(ret, name, "cannot see whose mailbox '%s' is", shown(name));
			check_owner(name, st.uid);
		}
		return fd;
	}
	check_name(name);
	device = device_open();
	fd = kpost_open_at(device, name, rights, flags | owner.flag, &how, deadline);
	close(device);
	if (fd == -EPERM)
		fail_no_permission(name);
	if (fd == -EINVAL && owner.flag && !attr)
		fail_plain(STATUS_USAGE,
			   "cannot open mailbox '%s': this user namespace has no user %u",
			   shown(name), owner.uid);
	if (fd == -EINVAL && attr)
		fail_sizes(name);
	if (fd == -EACCES && rights & KPOST_RIGHT_ADMIN && !(flags & KPOST_OPEN_CREATE))
		fail_plain(STATUS_PERMISSION,
			   "cannot open mailbox '%s': permission denied; only its owner may change "
			   "it, or give badges, and 'kpost stat %s' shows who that is",
			   shown(name), shown(name));
	if (fd == -EDQUOT)
		fd = -ERROR_CAPACITY;
	if (fd < 0)
		fail(fd, name, "cannot %s mailbox '%s'",
		     flags & KPOST_OPEN_CREATE ? "make" : "open", shown(name));
	return fd;
}

struct wanted {
	const char *name;
	struct kpost_stat *st;
};

static int is_wanted(const struct kpost_stat *st, void *arg)
{
	const struct wanted *wanted = arg;
	int order = strcmp(st->name, wanted->name);

	if (!order)
		*wanted->st = *st;
	/* They come in order, so there is no need to go past it. */
	return order < 0 ? 0 : order + 1;
}

/*
 * From the list rather than by opening: the last endpoint that can receive closes
 * the mailbox when it goes, and looking must not do that.
 */
int mailbox_find(const char *name, struct kpost_stat *st)
{
	int counter = counter_open(&name), ret;
	struct wanted wanted = { .name = name, .st = st };

	check_name(name);
	ret = kpost_list_at(counter, is_wanted, &wanted);
	close(counter);
	if (ret < 0)
		return ret;
	return ret == 1 ? 0 : -ENOENT;
}
