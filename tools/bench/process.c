// SPDX-License-Identifier: GPL-2.0-only
/* The processes of a case: how they start and end, and where they are. */
#include "bench.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CGROUPS "/sys/fs/cgroup"
#define PEERS_MOST 1024

static pid_t peers[PEERS_MOST];
static unsigned int peer_count;
static cpu_set_t where[2]; /* the case's process, and the others */
static bool pinned;

static void say(const char *format, va_list args)
{
	char text[256];

	vsnprintf(text, sizeof(text), format, args);
	fprintf(stderr, "kpost-bench: %s\n", text);
}

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	_exit(1);
}

void skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	_exit(STATUS_SKIP);
}

void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("no memory");
	return memory;
}

pid_t process_start(void)
{
	pid_t parent = getpid(), pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("cannot start a process: %s", strerror(errno));
	if (!pid) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit(1);
		ring_forget();
		peer_count = 0;
	}
	return pid;
}

/* The first processor is the case's, and the next, or all that are named, are for the others. */
static void pin_next(unsigned int *count, long cpu)
{
	CPU_SET((size_t)cpu, &where[*count ? 1 : 0]);
	++*count;
}

/* To those that @cpus names, or the first two that we may use. */
void processes_pin(const char *cpus)
{
	unsigned int count = 0;
	const char *next;
	cpu_set_t allowed;
	char *end;
	long cpu;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	CPU_ZERO(&where[0]);
	CPU_ZERO(&where[1]);
	for (next = cpus; next; next = *end ? end + 1 : NULL) {
		cpu = strtol(next, &end, 10);
		if (end == next || (*end && *end != ',') || cpu < 0 || cpu >= CPU_SETSIZE)
			die("--cpus takes numbers, as in 0,1");
		pin_next(&count, cpu);
	}
	for (cpu = 0; !cpus && cpu < CPU_SETSIZE && count < 2; cpu++) {
		if (CPU_ISSET((size_t)cpu, &allowed))
			pin_next(&count, cpu);
	}
	if (count == 1)
		where[1] = where[0];
	pinned = true;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static const char *const groups[] = { CGROUPS "/kpost-bench-1", CGROUPS "/kpost-bench-2" };

static void enter(const char *group)
{
	char path[64];

	mkdir(group, 0755);
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	if (!write_file(CGROUPS "/cgroup.subtree_control", "+memory") || !write_file(path, "0"))
		skip("cannot make a memory cgroup: %s", strerror(errno));
}

void cgroups_remove(void)
{
	rmdir(groups[0]);
	rmdir(groups[1]);
}

void process_settle(const struct load *load, bool peer)
{
	if (load->cgroups && !(peer && load->cgroups == 1))
		enter(groups[peer]);
	if (pinned && sched_setaffinity(0, sizeof(where[0]), &where[peer]))
		die("cannot use that processor: %s", strerror(errno));
}

/* A peer that ends has said why, and those that wait for it would wait for ever. */
static void on_end(int signal)
{
	int status;

	(void)signal;
	if (waitpid(-1, &status, WNOHANG) > 0)
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

pid_t peer_start(const struct run *run, void (*each)(struct run *run, unsigned int number),
		 unsigned int number)
{
	const struct sigaction action = { .sa_handler = on_end };
	struct run own = *run;
	pid_t pid;

	sigaction(SIGCHLD, &action, NULL);
	pid = process_start();
	if (!pid) {
		process_settle(&own.load, true);
		each(&own, number);
		_exit(0);
	}
	if (peer_count == PEERS_MOST)
		die("too many processes");
	peers[peer_count++] = pid;
	return pid;
}

bool peers_are_there(void)
{
	return peer_count;
}

void peers_end(void)
{
	unsigned int i;

	signal(SIGCHLD, SIG_DFL);
	for (i = 0; i < peer_count; i++)
		kill(peers[i], SIGKILL);
	for (i = 0; i < peer_count; i++)
		waitpid(peers[i], NULL, 0);
	peer_count = 0;
}
