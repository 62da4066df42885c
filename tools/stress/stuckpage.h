/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that holds up whoever touches it, for as long as its userfaultfd is open. */
#ifndef STRESS_STUCKPAGE_H
#define STRESS_STUCKPAGE_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "stress.h"

/* Returns @count pages that nobody will ever fill in; NULL if the kernel has none such. */
static inline char *stuck_pages(size_t count)
{
	size_t size = count * (size_t)sysconf(_SC_PAGESIZE);
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {
		.range = { (uintptr_t)mem, size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || mem == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &reg))
		return NULL;
	return mem;
}

#endif /* STRESS_STUCKPAGE_H */
