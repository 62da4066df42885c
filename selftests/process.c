// SPDX-License-Identifier: GPL-2.0-only
/*
 * An open call ends with the process that received it, however that ends, and though
 * somebody else has the endpoint; and with nothing less than that process.
 */
#include "child_test.h"
#include "submit_test.h"
#include "uring_test.h"

#include <limits.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

/* shared with the process that receives */
struct shared {
	uint64_t token;		/* of the call that was received, else 0 */
	uint64_t second;
	bool go_on;
};

FIXTURE(process) {
	int fd;			/* all rights; the process has it too */
	struct shared *shared;
	struct kt_job caller;
	struct kpost_call call;
	char reply[8];
};

FIXTURE_SETUP(process)
{
	self->fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, self->fd);
	self->shared = kt_shared(sizeof(*self->shared));
	ASSERT_NE(NULL, self->shared);
	self->call = kt_call_args("ask", 3, self->reply, sizeof(self->reply), kt_soon());
	kt_start(&self->caller, self->fd, KPOST_IOC_CALL, &self->call);
}

FIXTURE_TEARDOWN(process)
{
	close(self->fd);
}

static void show(uint64_t *to, uint64_t token)
{
	__atomic_store_n(to, token, __ATOMIC_RELEASE);
}

static uint64_t shown(const uint64_t *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

static bool may_go_on(const struct shared *shared)
{
	return __atomic_load_n(&shared->go_on, __ATOMIC_ACQUIRE);
}

static void let_go_on(struct shared *shared)
{
	__atomic_store_n(&shared->go_on, true, __ATOMIC_RELEASE);
}

static int receive(int fd, uint64_t *to)
{
	struct kpost_recv recv;
	char buf[8];

	CHECK_EQ(3, kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	CHECK(recv.token);
	show(to, recv.token);
	return 0;
}

/* the process that @pid was has ended, or is about to: so has the call */
static void expect_reset(struct __test_metadata *_metadata, FIXTURE_DATA(process) *self, pid_t pid,
			 bool killed)
{
	ASSERT_TRUE(kt_until(shown(&self->shared->token)));
	if (killed) {
		EXPECT_LE(0, kt_kill(pid));
	} else {
		EXPECT_EQ(0, kt_exit_status(pid));
	}
	ASSERT_TRUE(kt_join(&self->caller));
	EXPECT_EQ(-ECONNRESET, self->caller.ret);
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, self->call.message_flags);
	EXPECT_EQ(0, self->call.pid);
	EXPECT_EQ(0, kt_stat(self->fd).open_calls);
	EXPECT_EQ(-ENOENT, kt_reply(self->fd, self->shared->token, "late", 4));
}

/* it has not: a reply comes */
static void expect_open(struct __test_metadata *_metadata, FIXTURE_DATA(process) *self)
{
	EXPECT_FALSE(kt_done(&self->caller));
	EXPECT_EQ(1, kt_stat(self->fd).open_calls);
	EXPECT_EQ(0, kt_reply(self->fd, shown(&self->shared->token), "yes", 3));
	ASSERT_TRUE(kt_join(&self->caller));
	EXPECT_EQ(3, self->caller.ret);
	EXPECT_EQ(0, memcmp(self->reply, "yes", 3));
}

static int receives(void *arg)
{
	FIXTURE_DATA(process) *self = arg;

	return receive(self->fd, &self->shared->token);
}

TEST_F(process, process_that_exits_ends_its_calls)
{
	expect_reset(_metadata, self, child_start(receives, self), false);
}

static int receives_and_closes(void *arg)
{
	FIXTURE_DATA(process) *self = arg;

	CHECK_EQ(0, receives(arg));
	CHECK_EQ(0, close(self->fd));
	return 0;
}

TEST_F(process, process_that_closed_the_endpoint_before_ends_its_calls)
{
	expect_reset(_metadata, self, child_start(receives_and_closes, self), false);
}

static int receives_and_stays(void *arg)
{
	CHECK_EQ(0, receives(arg));
	for (;;)
		pause();
}

TEST_F(process, process_that_is_killed_ends_its_calls)
{
	expect_reset(_metadata, self, child_start(receives_and_stays, self), true);
}

static int receives_through_another_descriptor(void *arg)
{
	FIXTURE_DATA(process) *self = arg;
	int fd = dup(self->fd);

	CHECK(fd >= 0);
	CHECK_EQ(0, close(self->fd));
	return receive(fd, &self->shared->token);
}

TEST_F(process, process_that_received_through_another_descriptor_ends_its_calls)
{
	expect_reset(_metadata, self, child_start(receives_through_another_descriptor, self),
		     false);
}

/* what it closes is closed for the test too, and what it has open outlives it */
TEST_F(process, process_that_shares_its_descriptors_ends_its_calls)
{
	pid_t pid = child_start_sharing(receives, self);

	ASSERT_LT(0, pid);
	expect_reset(_metadata, self, pid, false);
}

static int receives_by_io_uring(void *arg)
{
	FIXTURE_DATA(process) *self = arg;
	struct io_uring ring;
	char buf[8];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), 0, kt_soon());

	CHECK_EQ(0, uring_init(&ring, 4, 0));
	CHECK_EQ(3, uring_do(&ring, self->fd, KPOST_IOC_RECV, &recv));
	show(&self->shared->token, recv.token);
	return 0;
}

TEST_F(process, process_that_received_by_io_uring_ends_its_calls)
{
	expect_reset(_metadata, self, child_start(receives_by_io_uring, self), false);
}

/* the same as receives(), in a thread that outlives the first one of its process */
static void *receives_alone(void *arg)
{
	FIXTURE_DATA(process) *self = arg;

	if (!kt_until(kt_task_state(getpid()) == 'Z') || receives(arg))
		_exit(CHILD_FAILED);
	if (!kt_until(may_go_on(self->shared)))
		_exit(CHILD_FAILED);
	syscall(SYS_exit, 0);
	return NULL;
}

static int leaves_it_to_a_thread(void *arg)
{
	pthread_t thread;

	CHECK_EQ(0, pthread_create(&thread, NULL, receives_alone, arg));
	syscall(SYS_exit, 0);
	return CHILD_FAILED;
}

TEST_F(process, process_lives_as_long_as_its_last_thread)
{
	pid_t pid = child_start(leaves_it_to_a_thread, self);

	ASSERT_TRUE(kt_until(shown(&self->shared->token)));
	EXPECT_EQ('Z', kt_task_state(pid));
	EXPECT_EQ(1, kt_stat(self->fd).open_calls);
	EXPECT_FALSE(kt_done(&self->caller));
	let_go_on(self->shared);
	expect_reset(_metadata, self, pid, false);
}

struct receiver {
	FIXTURE_DATA(process) *self;
	pid_t tid;
	int status;
};

static void *receives_and_ends(void *arg)
{
	struct receiver *receiver = arg;

	receiver->tid = (pid_t)syscall(SYS_gettid);
	receiver->status = receives(receiver->self);
	return NULL;
}

static int has_a_thread_receive(void *arg)
{
	struct receiver receiver = { .self = arg };
	pthread_t thread;

	CHECK_EQ(0, pthread_create(&thread, NULL, receives_and_ends, &receiver));
	CHECK_EQ(0, pthread_join(thread, NULL));
	CHECK_EQ(0, receiver.status);
	CHECK(kt_until(kt_task_state(receiver.tid) == 'X'));
	let_go_on(receiver.self->shared);
	for (;;)
		pause();
}

TEST_F(process, process_outlives_the_thread_that_received)
{
	pid_t pid = child_start(has_a_thread_receive, self);

	ASSERT_TRUE(kt_until(may_go_on(self->shared)));
	expect_open(_metadata, self);
	EXPECT_LE(0, kt_kill(pid));
}

static void *receives_and_executes(void *arg)
{
	if (!receives(arg))
		execl("/bin/sh", "sh", "-c", "kill -STOP $$; exit 0", NULL);
	_exit(CHILD_FAILED);
}

static int executes(void *arg)
{
	receives_and_executes(arg);
	return CHILD_FAILED;
}

static int has_a_thread_execute(void *arg)
{
	pthread_t thread;

	CHECK_EQ(0, pthread_create(&thread, NULL, receives_and_executes, arg));
	for (;;)
		pause();
}

/* the program stops itself; @pid is its number before and after */
static void expect_open_after_exec(struct __test_metadata *_metadata, FIXTURE_DATA(process) *self,
				   pid_t pid)
{
	ASSERT_TRUE(kt_until(kt_task_state(pid) == 'T'));
	expect_open(_metadata, self);
	EXPECT_EQ(0, kill(pid, SIGCONT));
	EXPECT_EQ(0, kt_exit_status(pid));
}

TEST_F(process, process_goes_on_as_another_program)
{
	fcntl(self->fd, F_SETFD, 0);
	expect_open_after_exec(_metadata, self, child_start(executes, self));
}

TEST_F(process, process_goes_on_as_another_program_that_a_thread_began)
{
	expect_open_after_exec(_metadata, self, child_start(has_a_thread_execute, self));
}

/* and what it received before and not replied to ends with the program */
TEST_F(process, process_that_became_another_program_ends_its_calls)
{
	pid_t pid = child_start(executes, self);

	ASSERT_TRUE(kt_until(kt_task_state(pid) == 'T'));
	expect_reset(_metadata, self, pid, true);
}

static void *is_traced(void *arg)
{
	FIXTURE_DATA(process) *self = arg;

	show(&self->shared->second, (uint64_t)syscall(SYS_gettid));
	pause();
	return NULL;
}

static int receives_beside_a_thread(void *arg)
{
	pthread_t thread;

	CHECK_EQ(0, pthread_create(&thread, NULL, is_traced, arg));
	return receives_and_stays(arg);
}

/* To the kernel it has not ended before, and so it is for pidfds: this is documented. */
TEST_F(process, process_lives_until_the_end_of_a_traced_thread_was_seen)
{
	pid_t pid = child_start(receives_beside_a_thread, self), tid;
	int status;

	ASSERT_TRUE(kt_until(shown(&self->shared->token) && shown(&self->shared->second)));
	tid = (pid_t)self->shared->second;
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, tid, NULL, NULL));
	EXPECT_EQ(0, kill(pid, SIGKILL));
	ASSERT_TRUE(kt_until(kt_task_state(pid) == 'Z' && kt_task_state(tid) == 'Z'));
	EXPECT_EQ(1, kt_stat(self->fd).open_calls);
	EXPECT_EQ(tid, waitpid(tid, &status, __WALL));
	expect_reset(_metadata, self, pid, true);
}

static int receives_the_second(void *arg)
{
	FIXTURE_DATA(process) *self = arg;

	CHECK_EQ(0, receive(self->fd, &self->shared->second));
	for (;;)
		pause();
}

TEST_F(process, process_that_ends_leaves_the_calls_of_others)
{
	struct kpost_call call = kt_call_args("ask", 3, NULL, 0, kt_soon());
	pid_t first = child_start(receives_and_stays, self), second;
	struct kt_job caller;

	ASSERT_TRUE(kt_until(shown(&self->shared->token)));
	kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
	second = child_start(receives_the_second, self);
	ASSERT_TRUE(kt_until(shown(&self->shared->second)));
	EXPECT_EQ(2, kt_stat(self->fd).open_calls);
	EXPECT_LE(0, kt_kill(second));
	ASSERT_TRUE(kt_join(&caller));
	EXPECT_EQ(-ECONNRESET, caller.ret);
	expect_open(_metadata, self);
	EXPECT_LE(0, kt_kill(first));
}

#define MANY 60

static int receives_through_all(void *arg)
{
	const int *fds = arg;
	struct kpost_recv recv;
	char buf[8];
	int i;

	for (i = 0; i < MANY; i++)
		CHECK_EQ(3, kt_recv(fds[i], &recv, buf, sizeof(buf), 0, kt_soon()));
	return 0;
}

/* of different mailboxes, and some of which are closed before */
TEST(process_that_ends_ends_all_its_calls)
{
	static struct kt_job callers[MANY];
	static struct kpost_call calls[MANY];
	int fds[MANY], i;

	for (i = 0; i < MANY; i++) {
		fds[i] = i % 3 ? kt_grant(fds[i - i % 3], KT_ALL) : kt_mailbox(0, 0, 0);
		ASSERT_LE(0, fds[i]);
		calls[i] = kt_call_args("ask", 3, NULL, 0, kt_soon());
		kt_start(&callers[i], fds[i], KPOST_IOC_CALL, &calls[i]);
	}
	EXPECT_EQ(0, child_run(receives_through_all, fds));
	for (i = 0; i < MANY; i++) {
		ASSERT_TRUE(kt_join(&callers[i])) TH_LOG("caller %d", i);
		EXPECT_EQ(-ECONNRESET, callers[i].ret) TH_LOG("caller %d", i);
	}
	for (i = 0; i < MANY; i++) {
		EXPECT_EQ(0, kt_stat(fds[i]).open_calls);
		close(fds[i]);
	}
}

enum { CALLS_MAX = 100000, FORKS_MAX = 1 << 16 };

/* shared by the test, the process that receives and the one that forks */
struct crowd {
	uint64_t calls;		/* received by one process, through an endpoint each */
	uint64_t received;	/* all of them */
	uint64_t ended;		/* all were reset */
	unsigned int fds;	/* the first endpoint; the others follow */
	uint64_t before;	/* forks until the process began to end */
	uint64_t forks;
	uint64_t took[FORKS_MAX];
};

static void use_processor(unsigned int number)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(number, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int receives_through_all_of_crowd(void *arg)
{
	struct crowd *crowd = arg;
	struct kpost_recv recv;
	char buf[8];

	use_processor(0);
	for (unsigned int i = 0; i < crowd->calls; i++)
		CHECK_EQ(3, kt_take(crowd->fds + i, &recv, buf, sizeof(buf)));
	show(&crowd->received, 1);
	for (;;)
		pause();
}

/* notes how long each fork and exit takes, until all calls have ended; has none of the endpoints */
static int forks_meanwhile(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t start;
	pid_t pid;

	/* the second, or the only one */
	use_processor(1);
	while (!shown(&crowd->received))
		kt_pause();
	for (unsigned int i = 0; i < FORKS_MAX && !shown(&crowd->ended); i++) {
		start = kt_now();
		pid = kt_fork();
		if (pid == 0)
			_exit(0);
		CHECK(pid > 0);
		CHECK_EQ(pid, waitpid(pid, NULL, 0));
		crowd->took[i] = kt_now() - start;
		show(&crowd->forks, i + 1);
	}
	return 0;
}

static int compare_times(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * One entry in the process's list whatever it received, and bounded work with a lock held.  There
 * are as many calls as can be made in some seconds: on a kernel without detectors all.
 */
TEST(process_that_received_100000_calls_holds_up_nobody_at_its_end)
{
	enum { BEFORE = 200, BEFORE_MIN = 20 };
	struct rlimit many = { .rlim_cur = CALLS_MAX + 100, .rlim_max = CALLS_MAX + 100 };
	struct crowd *crowd = kt_shared(sizeof(*crowd));
	uint64_t until, *during, middle, slowest, reset;
	unsigned int count;
	pid_t forks, pid;
	int client;

	if (geteuid() != 0)
		SKIP(return, "so many descriptors need root");
	ASSERT_NE(NULL, crowd);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &many));
	client = kt_mailbox(CALLS_MAX, 4 * CALLS_MAX, 0);
	ASSERT_LE(0, client);
	forks = child_start(forks_meanwhile, crowd);
	ASSERT_LT(0, forks);

	for (until = kt_in(15000); crowd->calls < CALLS_MAX && kt_now() < until; crowd->calls++) {
		int fd = kt_grant(client, KPOST_RIGHT_RECV);

		ASSERT_LE(0, fd);
		if (!crowd->calls)
			crowd->fds = fd;
		ASSERT_EQ(crowd->fds + crowd->calls, fd);
		ASSERT_EQ(0, kt_submit(client, "ask", 3, 0, crowd->calls, NULL));
	}
	pid = child_start(receives_through_all_of_crowd, crowd);
	ASSERT_TRUE(kt_until(shown(&crowd->received)));
	/* As many as there are in some seconds; with detectors, beside others, that is not many. */
	until = kt_in(5000);
	ASSERT_TRUE(kt_until(shown(&crowd->forks) >= BEFORE ||
			     (kt_now() > until && shown(&crowd->forks) >= BEFORE_MIN)));
	crowd->before = shown(&crowd->forks);
	reset = kt_now();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_TRUE(kt_until(!kt_stat(client).open_calls));
	reset = kt_now() - reset;
	show(&crowd->ended, 1);
	EXPECT_EQ(0, kt_exit_status(forks));
	EXPECT_EQ(-1, kt_exit_status(pid));

	count = crowd->forks - crowd->before;
	during = crowd->took + crowd->before;
	qsort(crowd->took, crowd->before, sizeof(*crowd->took), compare_times);
	qsort(during, count, sizeof(*during), compare_times);
	middle = crowd->took[crowd->before / 2];
	slowest = crowd->took[crowd->before - 1];
	TH_LOG("%llu calls were reset in %llu us", (unsigned long long)crowd->calls,
	       (unsigned long long)reset / 1000);
	TH_LOG("fork and exit before: median %llu us, slowest %llu us",
	       (unsigned long long)middle / 1000, (unsigned long long)slowest / 1000);
	TH_LOG("meanwhile: median %llu us, slowest %llu us, of %u",
	       (unsigned long long)during[count / 2] / 1000,
	       (unsigned long long)during[count - 1] / 1000, count);
	ASSERT_LT(0, count);
	/*
	 * Twice as long at most; one that all calls held up would take as long as their end.  What
	 * else the machine does grows with that, and is allowed for.
	 */
	EXPECT_GT(2 * middle + reset / 10, during[count / 2]);
	EXPECT_GT(4 * slowest + 200 * KT_MS + reset / 4, during[count - 1]);

	for (unsigned int i = 0; i < crowd->calls; i++)
		ASSERT_EQ(-ECONNRESET, kt_collect(client, NULL, NULL, 0, 0));
	EXPECT_EQ(0, kt_cancel(client, 0));
	for (unsigned int i = 0; i < crowd->calls; i++)
		close(crowd->fds + i);
	close(client);
}

/* a reply by somebody else at the same moment: it came or it did not, and both sides know */
TEST(process_that_ends_and_another_that_replies_agree)
{
	struct kpost_recv recv;
	int round;

	for (round = 0; round < 60; round++) {
		FIXTURE_DATA(process) self = {
			.fd = kt_mailbox(0, 0, 0),
			.shared = kt_shared(sizeof(struct shared)),
		};
		pid_t pid;
		long ret;

		ASSERT_LE(0, self.fd);
		self.call = kt_call_args("ask", 3, self.reply, sizeof(self.reply), kt_soon());
		kt_start(&self.caller, self.fd, KPOST_IOC_CALL, &self.call);
		pid = child_start(round % 2 ? receives : receives_and_closes, &self);
		while (!shown(&self.shared->token))
			;
		for (volatile int i = 0; i < round * 500; i++)
			;
		ret = kt_reply(self.fd, self.shared->token, "yes", 3);
		ASSERT_TRUE(kt_join(&self.caller));
		EXPECT_EQ(0, kt_exit_status(pid));
		if (ret == 0) {
			EXPECT_EQ(3, self.caller.ret);
		} else {
			EXPECT_EQ(-ENOENT, ret);
			EXPECT_EQ(-ECONNRESET, self.caller.ret);
		}
		EXPECT_EQ(0, kt_stat(self.fd).open_calls);
		EXPECT_REFUSED(EAGAIN, self.fd, kt_take(self.fd, &recv, self.reply, 8));
		munmap(self.shared, sizeof(*self.shared));
		close(self.fd);
	}
}

TEST_HARNESS_MAIN
