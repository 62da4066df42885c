// SPDX-License-Identifier: GPL-2.0-only
/* The module and its offices come and go. */
#include <sys/mount.h>

#include "faults.h"

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* ---- a network namespace, of which only kpost's part is of interest ---- */

static long call_unshare(struct stage *stage)
{
	return faulty(stage, unshare(CLONE_NEWNET));
}

/* A process that has left its namespace sees the new one's files. */
static void check_unshare(struct stage *stage)
{
	struct kpost_list list = { .entry_size = sizeof(struct kpost_stat) };
	int fd = kt_open_device();

	must(stage, exists("/proc/net/kpost") && exists("/proc/sys/net/kpost/user_bytes"));
	must(stage, fd >= 0 && kt_ioctl(fd, KPOST_IOC_LIST, &list) == 0);
	close(fd);
}

/* ---- loading ---- */

/* Somebody mounts it as soon as that goes: one that is mounted must not fail to load any more. */
static long mount_meanwhile(void *arg)
{
	bool *stop = arg;

	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		if (!mount("kpost", OTHER_DIR, "kpost", 0, NULL))
			return umount(OTHER_DIR);
		kt_pause();
	}
	return 0;
}

static long call_load(struct stage *stage)
{
	/* tools/faults/run has put it there, to be read without the network. */
	int fd = open("/run/kpost-faults.ko", O_RDONLY | O_CLOEXEC);
	bool stop = false;
	long ret;

	if (fd < 0)
		return -errno;
	kt_start_fn(&stage->job, mount_meanwhile, &stop);
	ret = faulty(stage, syscall(SYS_finit_module, fd, "", 0));
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	must(stage, kt_join(&stage->job) && !stage->job.ret);
	close(fd);
	return ret;
}

static bool gone(void)
{
	return !exists("/sys/module/kpost") && !exists("/proc/net/kpost") &&
	       !exists("/proc/sys/net/kpost") && !exists("/sys/class/misc/kpost");
}

static void prepare_load(struct stage *stage)
{
	if (exists("/sys/module/kpost"))
		must(stage, syscall(SYS_delete_module, "kpost", O_NONBLOCK) == 0);
	must(stage, gone());
}

static bool changed_load(struct stage *stage, long ret)
{
	(void)ret;
	must(stage, gone());
	return true;
}

/* (That the device's node may be missing then is the kernel's doing.) */
static void check_load(struct stage *stage)
{
	must(stage, exists("/proc/net/kpost") && exists("/proc/sys/net/kpost/user_bytes"));
	must(stage, exists("/sys/class/misc/kpost"));
}

const struct trial module_trials[] = {
	{
		.name = "unshare(CLONE_NEWNET)",
		.routes = IOCTL,
		.root = true,
		.bare = true,
		.once = true,
		.forks = true,
		.filter = "[kpost]",
		.errnos = { ENOMEM },
		.call = call_unshare,
		.check = check_unshare,
	},
	{
		.name = "load the module",
		.routes = IOCTL,
		.mounts = APART,
		.root = true,
		.bare = true,
		.once = true,
		.filter = "do_one_initcall",
		.errnos = { ENOMEM },
		.elsewhere = { ENOMEM },
		.prepare = prepare_load,
		.call = call_load,
		.check = check_load,
		.changed = changed_load,
	},
	{},
};
