// SPDX-License-Identifier: GPL-2.0-only
/*
 * What many tasks of one user, waiting where they may, cost those who use the same
 * mailbox or the same office: no wake-up, and no time with a lock held.
 */
#include "hostile_test.h"

#include <sys/epoll.h>

FIXTURE(crowd) {
	char name[KT_NAME_SIZE];
	char buf[64];
	int socks[2];
};

FIXTURE_SETUP(crowd)
{
	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, begin_apart(self->socks));
	kt_name(self->name);
}

FIXTURE_TEARDOWN(crowd)
{
}

/* ---- wake-ups ---------------------------------------------------------------------- */

static int watch_exclusively(int fd, unsigned int events)
{
	struct epoll_event event = { .events = events | EPOLLEXCLUSIVE };
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	return epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) ? -errno : epfd;
}

static long wait_for_event(void *arg)
{
	struct epoll_event event;

	return epoll_wait(*(int *)arg, &event, 1, KT_SOON);
}

/* wait first in line for what an endpoint with @rights is never told */
static pid_t steal_wakeups(const char *name, uid_t uid, unsigned int rights, unsigned int events,
			   int sock)
{
	pid_t pid = fork_attacker(uid);
	struct epoll_event event;
	int fd, epfd;

	if (pid)
		return pid;
	fd = kt_open(name, rights, 0);
	epfd = watch_exclusively(fd, events);
	if (fd < 0 || epfd < 0 || tell(sock))
		_exit(1);
	for (;;)
		epoll_wait(epfd, &event, 1, -1);
}

/* @uid is first in line with @rights, and yet the victim is the one that is woken */
static void expect_no_theft(struct __test_metadata *_metadata, FIXTURE_DATA(crowd) *self, int fd,
			    uid_t uid, unsigned int rights, unsigned int events)
{
	pid_t pid = steal_wakeups(self->name, uid, rights, events, self->socks[1]);
	struct kt_job job;
	int epfd;

	ASSERT_LT(0, pid);
	ASSERT_TRUE(is_told(self->socks[0]));
	ASSERT_TRUE(kt_until(kt_asleep(pid)));
	epfd = watch_exclusively(fd, events);
	ASSERT_LE(0, epfd);
	kt_start_fn(&job, wait_for_event, &epfd);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	if (events & EPOLLIN) {
		ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
	} else {
		ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 1));
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(1, job.ret) TH_LOG("it happened, and who it was for slept on");
	EXPECT_EQ(0, end_attacker(pid));
	close(epfd);
}

TEST_F(crowd, exclusive_poller_without_the_right_takes_nobodys_wakeup)
{
	int fd;

	ASSERT_EQ(0, be_victim());
	fd = open_to_all(self->name, KT_ALL, 1);
	ASSERT_LE(0, fd);

	/* a message comes, the mailbox is full, and there is room again */
	expect_no_theft(_metadata, self, fd, ATTACKER, KPOST_RIGHT_SEND, EPOLLIN);
	expect_no_theft(_metadata, self, fd, ATTACKER, KPOST_RIGHT_RECV, EPOLLOUT);
	/* who may only administer is told of neither */
	expect_no_theft(_metadata, self, fd, VICTIM, KPOST_RIGHT_ADMIN, EPOLLIN);
	expect_no_theft(_metadata, self, fd, VICTIM, KPOST_RIGHT_ADMIN, EPOLLOUT);
}

/* ---- processors ------------------------------------------------------------------------ */

static void use_processor(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* on a processor of its own: some look at a mailbox when they are let, and four never sleep */
static pid_t fork_inversion(int sock)
{
	enum { BUSY = 4, LOOK = 12 };
	pid_t pid = fork_attacker(ATTACKER), child = 1;
	int fd;

	if (pid)
		return pid;
	use_processor(1);
	fd = kt_mailbox(0, 0, 0);
	if (fd < 0)
		_exit(1);
	for (int i = 0; i < BUSY + LOOK && child; i++) {
		child = kt_fork();
		if (child)
			continue;
		if (i < BUSY) {
			for (;;)
				__asm__ volatile("");
		}
		if (nice(19) < 0)
			_exit(2);
		for (;;)
			kt_stat(fd);
	}
	tell(sock);
	for (;;)
		pause();
}

static uint64_t longest_making(const char *name, unsigned int ms)
{
	uint64_t worst = 0, start, took;

	for (uint64_t end = kt_in(ms); kt_now() < end;) {
		start = kt_now();
		close(kt_create(name, KT_ALL));
		took = kt_now() - start;
		if (took > worst)
			worst = took;
		usleep(500);
	}
	return worst;
}

/*
 * Who looks at a mailbox, and is preempted as it does, by others for as long as they like,
 * holds up nobody.  It takes a kernel that preempts to try that (preempt=full, as kernels
 * with detectors have it here); on others nobody is held up for long anyway.
 */
TEST_F(crowd, idlers_that_look_hold_up_nobody_who_opens_and_closes)
{
	uint64_t alone, with;
	pid_t pid;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "this takes two processors");
	ASSERT_EQ(0, be_victim());
	use_processor(0);
	alone = longest_making(self->name, 2000);
	pid = fork_inversion(self->socks[1]);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(is_told(self->socks[0]));
	with = longest_making(self->name, 10000);
	EXPECT_EQ(0, end_attacker(pid));
	fprintf(stderr, "# %llu us at most alone, %llu with those who look\n",
		(unsigned long long)alone / 1000, (unsigned long long)with / 1000);
	EXPECT_LT(with, 10 * alone + 700 * KT_MS);
}

/* ---- locks --------------------------------------------------------------------------- */

/* how long it takes to make a mailbox and have it go, at best */
static uint64_t fastest_making(const char *name)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 20; i++) {
		uint64_t start = kt_now();

		close(kt_create(name, KT_ALL));
		if (kt_now() - start < best)
			best = kt_now() - start;
	}
	return best;
}

static void *wait_for_name(void *arg)
{
	struct kpost_open open = kt_open_args(arg, KPOST_RIGHT_SEND, KPOST_OPEN_WAIT);

	return (void *)(intptr_t)kt_do_open(&open);
}

TEST_F(crowd, waiting_for_names_in_masses_holds_up_nobody_who_makes_another)
{
	enum { COUNT = 2000 };
	uint64_t before, with;
	pid_t pid;

	/* names that differ in their last byte only */
	memset(self->name, 'n', KPOST_NAME_MAX);
	self->name[KPOST_NAME_MAX - 1] = 'a';
	ASSERT_EQ(0, be_victim());
	before = fastest_making(self->name);
	pid = fork_attacker(ATTACKER);
	if (pid == 0) {
		pthread_attr_t attr;
		pthread_t thread;

		self->name[KPOST_NAME_MAX - 1] = 'b';
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, 1 << 16);
		for (int i = 0; i < COUNT; i++) {
			if (pthread_create(&thread, &attr, wait_for_name, self->name))
				_exit(1);
		}
		tell(self->socks[1]);
		pause();
	}
	ASSERT_LT(0, pid);
	/* with detectors it takes a while to make so many threads */
	ASSERT_TRUE(is_told_within(self->socks[0], 3 * KT_SOON));
	/* they wait when nothing happens any more */
	ASSERT_TRUE(kt_until(kt_asleep(pid)));
	with = fastest_making(self->name);
	EXPECT_GT(4 * before, with)
		TH_LOG("%llu us alone, %llu us with %d who wait", (unsigned long long)before / 1000,
		       (unsigned long long)with / 1000, COUNT);
	EXPECT_EQ(0, end_attacker(pid));
}

enum { PARKED = 64 };

static long send_for_receipt(void *arg)
{
	return kt_send(*(int *)arg, "s", 1, 0, KPOST_SYNC, 0);
}

struct first {
	int fd;
	unsigned int waiting; /* how many others do, once this one was let in */
};

/*
 * More urgent than the receiver, and on its processor, it goes on as soon as that lets others run.
 * (One on another processor may not run at the same time: that of a virtual machine is a mere
 * thread.)
 */
static long send_and_look(void *arg)
{
	struct sched_param param = { .sched_priority = 1 };
	struct first *first = arg;
	long ret;

	if (sched_setscheduler(0, SCHED_FIFO, &param))
		return -errno;
	ret = kt_send(first->fd, "f", 1, 0, 0, 0);
	first->waiting = kt_stat(first->fd).waiting_senders;
	return ret;
}

/* one message makes room for many, whose senders, but for the first, go on waiting: for receipt */
TEST_F(crowd, synchronous_senders_in_masses_are_let_in_a_few_at_a_time)
{
	struct kt_job parked[PARKED], looking;
	static char large[PARKED + 1];
	struct first first = { 0 };
	int fds[2];

	use_processor(0);
	ASSERT_EQ(0, kt_pair(fds, 2 * PARKED, 8 * sizeof(large)));
	for (int i = 0; i < 8; i++)
		ASSERT_EQ(0, kt_post(fds[1], large, sizeof(large), 0));
	first.fd = fds[1];
	kt_start_fn(&looking, send_and_look, &first);
	ASSERT_TRUE(kt_until(kt_stat(fds[1]).waiting_senders == 1));
	for (int i = 0; i < PARKED; i++)
		kt_start_fn(&parked[i], send_for_receipt, &fds[1]);
	ASSERT_TRUE(kt_until(kt_stat(fds[1]).waiting_senders == PARKED + 1));
	ASSERT_EQ(sizeof(large), kt_take(fds[0], NULL, large, sizeof(large)));
	EXPECT_EQ(0, kt_stat(fds[1]).waiting_senders);
	ASSERT_TRUE(kt_join(&looking));
	EXPECT_EQ(0, looking.ret);
	EXPECT_LT(0, first.waiting) TH_LOG("nobody could look in between");
	EXPECT_GT(PARKED, first.waiting);
	close(fds[0]);
	for (int i = 0; i < PARKED; i++) {
		ASSERT_TRUE(kt_join(&parked[i]));
		EXPECT_EQ(-EPIPE, parked[i].ret);
	}
	close(fds[1]);
}

#define IMPATIENT	300	/* by the time that the last is told, the first waits again */

/* open it as soon as it is there, have it close, and wait for the next */
static long open_and_close(void *arg)
{
	struct kpost_open open = kt_open_args(arg, KPOST_RIGHT_RECV, KPOST_OPEN_WAIT);
	int fd;

	do {
		fd = kt_do_open(&open);
		if (fd >= 0)
			close(fd);
	} while (fd >= 0);
	return fd;
}

/* whoever makes a mailbox tells those who wait for it, and not those who come back */
TEST_F(crowd, who_waits_again_and_again_keeps_no_maker_of_the_name)
{
	static struct kt_job jobs[IMPATIENT];
	uint64_t end;
	pid_t pid;

	ASSERT_EQ(0, be_victim());
	pid = fork_attacker(ATTACKER);
	if (pid == 0) {
		for (int i = 0; i < IMPATIENT; i++)
			kt_start_fn(&jobs[i], open_and_close, self->name);
		for (int i = 0; i < IMPATIENT; i++)
			if (!kt_until(kt_asleep(jobs[i].tid)))
				_exit(1);
		tell(self->socks[1]);
		for (;;)
			pause();
	}
	ASSERT_LT(0, pid);
	ASSERT_TRUE(is_told(self->socks[0]));
	end = kt_in(1000);
	for (int i = 0; i < 3 || kt_now() < end; i++) {
		uint64_t began = kt_now();
		int fd = open_to_all(self->name, KPOST_RIGHT_SEND, 1);

		ASSERT_LE(0, fd);
		/* they are many, and have the processors too */
		EXPECT_LT(kt_now() - began, KT_SOON / 2 * KT_MS);
		close(fd);
		kt_unlink(self->name);
	}
	EXPECT_EQ(0, end_attacker(pid));
}

TEST_HARNESS_MAIN
