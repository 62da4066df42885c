// SPDX-License-Identifier: GPL-2.0-only
/* Loading and unloading the module. */
#include <fcntl.h>
#include <sys/syscall.h>

#include "stress.h"

/* Returns 0 once the device is there, or -errno. */
int module_load(void)
{
	int fd = open(module_path, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	if (!err && !until(access("/dev/kpost", R_OK | W_OK) == 0))
		err = -ENODEV;
	return err;
}

/* As rmmod does: never waits. */
int module_unload(void)
{
	return syscall(SYS_delete_module, "kpost", O_NONBLOCK) ? -errno : 0;
}

/*
 * Loading a module stops all processors for each instruction that is patched in it, and
 * unloading it waits for RCU, again and again.  Where processors are emulated, and not
 * all run at a time, fewer of them, which RCU does not wait for but asks, do a hundred
 * in the time of one.
 */
void hurry(unsigned int processors)
{
	char path[64];

	for (unsigned int i = 1;; i++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online", i);
		if (access(path, W_OK))
			break;
		write_file(path, i < processors ? "1" : "0");
	}
	if (!access("/sys/kernel/rcu_expedited", W_OK))
		write_file("/sys/kernel/rcu_expedited", "1");
}

void hurry_no_more(void)
{
	hurry(UINT_MAX);
	if (!access("/sys/kernel/rcu_expedited", W_OK))
		write_file("/sys/kernel/rcu_expedited", "0");
}
