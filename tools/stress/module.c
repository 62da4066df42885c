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
 * Loading a module stops all processors, again and again, for each instruction that is
 * patched in it.  Where they are emulated, and not all are running at a time, fewer
 * make that a hundred times faster.
 */
void processors(unsigned int count)
{
	char path[64];

	for (unsigned int i = 1;; i++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online", i);
		if (access(path, W_OK))
			return;
		write_file(path, i < count ? "1" : "0");
	}
}
