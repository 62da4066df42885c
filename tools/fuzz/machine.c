// SPDX-License-Identifier: GPL-2.0-only
/*
 * The processes that lanes are, their beginning and end, and the watchdog.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

#define SLICE (5 * MS) /* looks at the lanes; counted, since time goes on if the machine stops */
#define QUIET 3 /* slices in which no lane moves: interrupt those that wait */
#define HANGS 4000 /* and not even a signal has moved it */

struct world *world;

static struct machine_hooks hooks;
static struct lane lanes[LANES];
static pid_t executor;
/* In the executor. */
static pid_t lane_2;
static int uffds[2], event, fails[2], first_fd;
static unsigned int started_at; /* the program that a lane waits for comes after that */

uint64_t machine_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

bool machine_may_plant(void)
{
	return hooks.may_plant;
}

void machine_lane_started(unsigned int lane)
{
	if (hooks.lane_started)
		hooks.lane_started(lane);
}

void machine_lane_ended(unsigned int lane)
{
	if (hooks.lane_ended)
		hooks.lane_ended(lane);
}

/* The first finding is the one that is told. */
void machine_found(const char *format, ...)
{
	va_list args;

	if (atomic_exchange(&world->found, true))
		return;
	va_start(args, format);
	vsnprintf(world->finding, sizeof(world->finding), format, args);
	va_end(args);
}

/* Of whatever process: its parent sees it, and what exit() would have done is not its. */
void machine_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vwarn(format, args);
	va_end(args);
	_exit(2);
}

static void wait_for(atomic_uint *word, unsigned int old, uint64_t ns)
{
	struct timespec ts = { .tv_nsec = ns };

	if (*word == old)
		syscall(SYS_futex, word, FUTEX_WAIT, old, ns ? &ts : NULL, NULL, 0);
}

static void wake(atomic_uint *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		machine_die("%s", path);
	return fd;
}

void machine_init(const struct machine_hooks *with)
{
	unsigned int i;
	int home;

	hooks = *with;
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (world == MAP_FAILED)
		machine_die("mmap");
	memory_init();
	/* They last; new ones would be slow to make. */
	home = open_or_die("/proc/self/ns/net", O_RDONLY);
	for (i = 0; i < OFFICES; i++) {
		if (unshare(CLONE_NEWNET))
			machine_die("a new network namespace, as root");
		task_offices[i] = open_or_die("/proc/self/ns/net", O_RDONLY);
	}
	setns(home, CLONE_NEWNET);
	close(home);
	/* Whom its death leaves behind is to be seen dying. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* --- the executor ----------------------------------------------------------- */

static void interrupted(int sig)
{
	(void)sig;
}

static void *serve_faults(void *unused)
{
	struct pollfd fds[] = { { .fd = event, .events = POLLIN },
				{ .fd = uffds[0], .events = POLLIN },
				{ .fd = uffds[1], .events = POLLIN } };
	uint64_t count;

	(void)unused;
	/* A lane 2 that was made anew has another file of that number, and says so. */
	for (;;) {
		poll(fds, 3, -1);
		if (fds[0].revents && read(event, &count, sizeof(count)) < 0)
			continue;
		if (fds[1].revents & POLLIN)
			memory_serve(uffds[0]);
		if (fds[2].revents & POLLIN)
			memory_serve(uffds[1]);
		fds[2].fd = fds[2].revents & (POLLERR | POLLHUP) ? -1 : uffds[1];
	}
	return NULL;
}

static int slow_memory(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		machine_die("userfaultfd");
	return fd;
}

/* A file that is open already, under the number that is kept for it. */
static void move_fd(int from, int to)
{
	if (from < 0)
		return;
	dup3(from, to, O_CLOEXEC);
	close(from);
}

static void lane_start(unsigned int number)
{
	me = &lanes[number];
	me->number = number;
	me->slots = world->slots;
	world->lanes[number].tid = syscall(SYS_gettid);
	machine_lane_started(number);
}

static void lane_go(void)
{
	uint64_t end = machine_now() + 2 * MS;

	/* At once, as far as there are processors. */
	world->arrived++;
	while (world->arrived < LANES && machine_now() < end)
		sched_yield();
	lane_run();
	world->finished++;
	wake(&world->finished);
}

static void *lane_thread(void *number)
{
	unsigned int seen = started_at, now;

	lane_start((uintptr_t)number);
	for (;;) {
		while ((now = world->go) == seen)
			wait_for(&world->go, seen, 0);
		seen = now;
		lane_go();
	}
	return NULL;
}

static bool lane_2_died(void)
{
	if (!world->lane_2_lost && waitpid(lane_2, NULL, WNOHANG | __WALL) == lane_2) {
		world->lane_2_lost = true;
		world->lanes[2].tid = 0;
	}
	return world->lane_2_lost;
}

/* As fork() would, but with the descriptors in common. */
static void start_lane_2(void)
{
	uint64_t one = 1;
	pid_t pid;
	int fd;

	started_at = world->go;
	world->lane_2_ready = 0;
	/* One that was killed in an operation has not counted its end. */
	world->lanes[2].steps += world->lanes[2].steps % 2;
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		machine_die("clone");
	lane_2 = pid;
	world->lane_2_lost = false;
	if (pid) {
		/* Its files have yet to get their numbers, and could be taken for a program's. */
		while (!world->lane_2_ready && !lane_2_died())
			wait_for(&world->lane_2_ready, 0, MS);
		world->lanes[2].tid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	move_fd(slow_memory(), uffds[1]);
	memory_register_slow(uffds[1], 2);
	fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	lanes[2].fail_nth = fd < 0 ? -1 : fails[1];
	move_fd(fd, fails[1]);
	write(event, &one, sizeof(one));
	world->lane_2_ready = 1;
	wake(&world->lane_2_ready);
	lane_thread((void *)2);
}

static int slot_open(const struct kpost_open *arg, unsigned int slot)
{
	int fd = ioctl(world->slots[0], KPOST_IOC_OPEN, arg);

	world->slots[slot] = fd;
	return fd;
}

static void set_up(void)
{
	struct kpost_open arg = { .rights = 7, .messages = 3, .bytes = 20000, .message_max = 9000 };
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		world->slots[i] = -1;
	world->slots[0] = open("/dev/kpost", O_RDWR | O_CLOEXEC);
	arg.mode = 0600;
	switch (world->program.setup) {
	case SETUP_KEYED:
		arg.overflow = KPOST_OVERFLOW_REPLACE | KPOST_OVERFLOW_DROP_OLD;
		arg.flags = KPOST_OPEN_KEYED;
		__attribute__((fallthrough));
	case SETUP_NAMED:
		arg.flags |= KPOST_OPEN_CREATE;
		arg.name[0] = 'a';
		slot_open(&arg, 1);
		arg = (struct kpost_open){ .rights = KPOST_RIGHT_SEND, .name = "a" };
		slot_open(&arg, 2);
		break;
	case SETUP_PAIR:
		arg.flags = KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR;
		arg.rights = KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN;
		slot_open(&arg, 1);
		world->slots[2] = arg.send_fd ? arg.send_fd : -1;
		break;
	case SETUP_ANONYMOUS:
		arg.flags = KPOST_OPEN_ANONYMOUS;
		slot_open(&arg, 1);
		break;
	case SETUP_PERSISTENT:
		arg.flags = KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST;
		arg.name[0] = 'a';
		world->names_given[0] = true;
		write(slot_open(&arg, 1), "message", 7);
		break;
	case SETUP_PATHS:
		world->names_given[0] = true;
		path_set_up();
		break;
	}
}

static void clean_up(void)
{
	unsigned int i;

	close_range(first_fd, ~0u, 0);
	path_clean();
	for (i = 0; i < OFFICES; i++)
		task_clean_office(i);
	memory_reset_shared();
	if (lane_2_died())
		start_lane_2();
}

static void lane_0(void)
{
	unsigned int seen = world->cleaned, finished;

	for (;;) {
		while (world->round == seen)
			wait_for(&world->round, seen, 0);
		seen = world->round;
		set_up();
		world->go = seen;
		wake(&world->go);
		lane_go();
		while ((finished = world->finished) < LANES &&
		       !(finished == LANES - 1 && lane_2_died()))
			wait_for(&world->finished, finished, 2 * MS);
		clean_up();
		world->cleaned = seen;
		wake(&world->cleaned);
	}
}

static void start_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg))
		machine_die("pthread_create");
}

static void *lane_1(void *unused)
{
	(void)unused;
	lanes[1].fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	world->finished++;
	return lane_thread((void *)1);
}

static void prepare_lanes(void)
{
	size_t work = OPERATIONS_MAX * sizeof(struct work), size = work + (16 << 10);
	char *at = mmap(NULL, LANES * size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	unsigned int i;

	if (at == MAP_FAILED)
		machine_die("mmap");
	for (i = 0; i < LANES; i++) {
		memory_init_lane(&lanes[i].memory, i);
		lanes[i].work = (struct work *)(at + i * size);
		lanes[i].big = at + i * size + work;
	}
}

static void execute(void)
{
	static const int fatal[] = { SIGABRT, SIGSEGV, SIGBUS,	SIGILL, SIGFPE,
				     SIGTERM, SIGINT,  SIGALRM, SIGXFSZ };
	struct sigaction action = { .sa_handler = interrupted };
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &action, NULL);
	me = &lanes[0];
	me->slots = world->slots;
	path_init();
	prepare_lanes();

	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uffds[0] = slow_memory();
	memory_register_slow(uffds[0], 0);
	memory_register_slow(uffds[0], 1);
	lanes[0].fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	/* Numbers for what lane 2 will have. */
	uffds[1] = fcntl(event, F_DUPFD_CLOEXEC, 0);
	fails[1] = fcntl(event, F_DUPFD_CLOEXEC, 0);
	world->finished = 0;
	start_thread(lane_1, NULL);
	while (!world->finished)
		wait_for(&world->finished, 0, MS);
	/* What programs open comes after all that, and can be told by its number. */
	do {
		first_fd = fcntl(event, F_DUPFD_CLOEXEC, 0);
	} while (first_fd >= 0 && first_fd < fails[1] + 2);
	close(first_fd);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ first_fd + 24, first_fd + 24 });
	start_lane_2();
	start_thread(serve_faults, NULL);
	for (i = 0; i < OFFICES; i++)
		world->names_given[i] = world->sysctls_changed[i] = true;
	clean_up();
	lane_start(0);
	lane_0();
}

/* --- the watchdog ----------------------------------------------------------- */

static void reset_world(void)
{
	unsigned int i;

	world->finished = 0;
	world->arrived = 0;
	world->tokens_seen = 0;
	world->ids_seen = 0;
	for (i = 0; i < TOKENS; i++) {
		world->tokens[i] = 0;
		world->ids[i] = 0;
	}
	for (i = 0; i < KIDS; i++)
		world->kids[i] = 0;
	memset(world->results, 0, sizeof(world->results));
}

static void interrupt_lanes(void)
{
	unsigned int i;

	for (i = 0; i < LANES; i++)
		if (world->lanes[i].steps % 2 && world->lanes[i].tid > 0)
			syscall(SYS_tkill, world->lanes[i].tid, SIGUSR1);
}

/* Where the lanes are in the kernel. */
static void show_lanes(void)
{
	char path[40], text[2048];
	unsigned int i;
	ssize_t len;
	int fd;

	for (i = 0; i < LANES; i++) {
		snprintf(path, sizeof(path), "/proc/%d/stack", world->lanes[i].tid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		len = fd < 0 ? -1 : read(fd, text, sizeof(text));
		fprintf(stderr, "lane %u, task %d:\n%.*s", i, world->lanes[i].tid,
			len < 0 ? 0 : (int)len, text);
		if (fd >= 0)
			close(fd);
	}
}

/* The executor is dead or dying, and all that it has left behind with it. */
static void bury(void)
{
	unsigned int slices = 0;

	while (waitpid(-1, NULL, WNOHANG | __WALL) >= 0 || errno != ECHILD) {
		wait_for(&world->cleaned, world->cleaned, SLICE);
		if (++slices < HANGS)
			continue;
		show_lanes();
		machine_found("a process does not die of SIGKILL");
		break;
	}
	executor = 0;
}

static void watch(unsigned int round)
{
	unsigned int i, sum, last = 0, quiet = 0;

	while (world->cleaned != round) {
		wait_for(&world->cleaned, round - 1, SLICE);
		if (waitpid(executor, NULL, WNOHANG) == executor) {
			bury();
			return;
		}
		sum = world->finished;
		for (i = 0; i < LANES; i++)
			sum += world->lanes[i].steps;
		if (sum != last) {
			last = sum;
			quiet = 0;
		} else if (++quiet > HANGS) {
			show_lanes();
			machine_found("hangs: lane 0 at %u, 1 at %u, 2 at %u, %u finished",
				      world->lanes[0].steps, world->lanes[1].steps,
				      world->lanes[2].steps, world->finished);
			return;
		} else if (quiet > QUIET) {
			interrupt_lanes();
		}
	}
}

/* Have lanes. The sooner, the less of the caller's memory they are burdened with. */
void machine_start(void)
{
	unsigned int i;
	int status;

	world->round = 0;
	world->cleaned = 0;
	world->go = 0;
	for (i = 0; i < LANES; i++) {
		world->lanes[i].steps = 0;
		world->lanes[i].tid = 0;
	}
	executor = fork();
	if (executor < 0)
		machine_die("fork");
	if (!executor) {
		execute();
		_exit(2);
	}
	while (!world->lanes[0].tid) {
		wait_for(&world->lanes[0].steps, 0, MS);
		if (waitpid(executor, &status, WNOHANG) == executor)
			machine_die("the lanes do not start: status %x", status);
	}
}

const char *machine_run(void)
{
	unsigned int round;

	if (!executor)
		machine_start();
	reset_world();
	round = ++world->round;
	wake(&world->round);
	watch(round);
	return world->found ? world->finding : NULL;
}
