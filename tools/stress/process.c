// SPDX-License-Identifier: GPL-2.0-only
/* Processes of a part's own, and what they share. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "stress.h"

/* As fork(2); the child dies with the test. */
pid_t process_start(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
		_exit(127);
	return pid;
}

/*
 * Kill it, and wait until it has gone.  Returns the time that took, less what the
 * processors were not to be had.
 */
uint64_t process_kill(pid_t pid)
{
	uint64_t began = now(), took, starved;
	bool gone;

	kill(pid, SIGKILL);
	gone = until(waitpid(pid, NULL, WNOHANG) == pid);
	took = now() - began;
	starved = starved_since(began);
	if (!gone)
		return UINT64_MAX;
	return took > starved ? took - starved : 0;
}

/* Its exit status; -1 if it did not exit by itself within SOON, and then it is killed. */
int process_wait(pid_t pid)
{
	int status;

	if (!until(waitpid(pid, &status, WNOHANG) == pid)) {
		process_kill(pid);
		return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void *shared(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		die("no memory");
	return mem;
}

void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("%s: %s", path, strerror(errno));
	close(fd);
}

/* What the kernel has of its own objects that cannot be taken from it. */
uint64_t slab_bytes(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file) &&
	       sscanf(line, "SUnreclaim: %llu", &kib) != 1)
		;
	if (file)
		fclose(file);
	return kib << 10;
}

/* Does it go back to where it was, or nearly?  Freeing waits for RCU and for workers. */
void check_slab(const struct part *part, uint64_t before, uint64_t slack)
{
	bool settled;

	if (access("/sys/kernel/debug/kmemleak", F_OK) == 0) {
		check_skip("%s: KASAN keeps what was freed; kmemleak looks for what was not",
			   part->name);
		return;
	}
	settled = until(slab_bytes() <= before + slack);
	check(settled, "%s: the kernel's memory goes back to %llu KiB: %llu KiB", part->name,
	      (unsigned long long)before >> 10, (unsigned long long)slab_bytes() >> 10);
}
