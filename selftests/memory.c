// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is made and unmade, however it ends, leaves the memory as it was.  Each
 * test does enough of it that a leak would be several times the tolerance.
 */
#include "child_test.h"
#include "uring_test.h"

#include <sys/resource.h>

#define TOLERANCE	6144	/* KiB: mostly slabs that are half empty */
#define SECONDS		20	/* for what is freed in the background */

static long meminfo(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtol(at + strlen(key), NULL, 10) : 0;
}

/* KiB of free pages that each processor keeps for itself */
static long at_hand(void)
{
	static char text[1 << 17];
	long pages = 0;

	if (child_read("/proc/zoneinfo", text, sizeof(text)) <= 0)
		return 0;
	for (char *at = text; (at = strstr(at, " count:")); at++)
		pages += meminfo(at, " count:");
	return pages * (long)kt_page_size() / 1024;
}

/* KiB that are neither free nor a cache that is given up on demand */
static long used(void)
{
	char text[8192];

	if (child_read("/proc/meminfo", text, sizeof(text)) <= 0)
		return -1;
	return meminfo(text, "MemTotal:") - meminfo(text, "MemFree:") -
	       meminfo(text, "\nBuffers:") - meminfo(text, "\nCached:") -
	       meminfo(text, "SReclaimable:") - at_hand();
}

/* it comes back to @before, or near it */
static bool comes_back_to(long before)
{
	uint64_t end = kt_in(SECONDS * 1000);
	long now;

	while ((now = used()) > before + TOLERANCE) {
		if (kt_now() > end) {
			fprintf(stderr, "# %ld KiB in use before, %ld after\n", before, now);
			return false;
		}
		kt_pause();
	}
	return true;
}

FIXTURE(memory) {
	int unused;
};

FIXTURE_SETUP(memory)
{
	struct rlimit files = { 20000, 20000 };

	if (setrlimit(RLIMIT_NOFILE, &files))
		SKIP(return, "10,000 open files need root");
	ASSERT_LE(0, kt_device());
}

FIXTURE_TEARDOWN(memory)
{
}

#define MAILBOXES	10000

/* all open at once, each with a message in it; the most memory that was in use */
static long open_and_close_many(struct __test_metadata *_metadata, bool named)
{
	static int fd[MAILBOXES];
	static char payload[1024];
	char name[KT_NAME_SIZE];
	long most;

	for (int i = 0; i < MAILBOXES; i++) {
		struct kpost_open open = kt_open_args(named ? kt_name(name) : NULL, KT_ALL,
						      named ? KPOST_OPEN_CREATE :
							      KPOST_OPEN_ANONYMOUS);

		/* so small that all of them count for less than the office may have */
		open.messages = 4;
		open.bytes = sizeof(payload);
		open.message_max = sizeof(payload);
		fd[i] = kt_do_open(&open);
		ASSERT_LE(0, fd[i]) TH_LOG("mailbox %d: %s", i, strerror(-fd[i]));
		ASSERT_EQ(0, kt_post(fd[i], payload, sizeof(payload), 0));
	}
	most = used();
	for (int i = 0; i < MAILBOXES; i++)
		close(fd[i]);
	return most;
}

TEST_F(memory, ten_thousand_mailboxes_leave_nothing)
{
	long before = used(), most;

	/* warms the caches; detectors may keep what was freed for a while */
	most = open_and_close_many(_metadata, false);
	EXPECT_LT(before + 2 * TOLERANCE, most) TH_LOG("this would not show a leak");
	before = used();
	open_and_close_many(_metadata, true);
	EXPECT_TRUE(comes_back_to(before));
}

#define FAILURES	2000
#define USER		12345

/* for a user that may have some hundred mailboxes, so that it soon shows if one stays */
TEST_F(memory, opens_that_fail_leave_nothing)
{
	struct kpost_open *readonly = (void *)(kt_edge(PROT_READ | PROT_WRITE));
	struct rlimit files = { 20000, 20000 };
	char name[KT_NAME_SIZE];
	struct kpost_open open;
	int next;

	/* its out-field cannot be stored */
	*readonly = kt_open_args(NULL, KPOST_RIGHT_RECV, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
	ASSERT_EQ(0, mprotect(readonly, kt_page_size(), PROT_READ));
	next = dup(0);
	close(next);
	ASSERT_EQ(0, setresuid(USER, USER, USER));
	for (int i = 0; i < FAILURES; i++) {
		ASSERT_EQ(-EFAULT, kt_do_open(readonly)) TH_LOG("round %d", i);
	}
	/* no descriptor for it */
	files.rlim_cur = (rlim_t)next;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	for (int i = 0; i < FAILURES; i++) {
		ASSERT_EQ(-EMFILE, kt_create(kt_name(name), KT_ALL)) TH_LOG("round %d", i);
	}
	files.rlim_cur = (rlim_t)next + 1; /* one for the first of two */
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	for (int i = 0; i < FAILURES; i++) {
		open = kt_open_args(NULL, KPOST_RIGHT_RECV,
				    KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
		ASSERT_EQ(-EMFILE, kt_do_open(&open)) TH_LOG("round %d", i);
		ASSERT_EQ(0, open.send_fd);
	}
	/* nor a descriptor, nor the name */
	EXPECT_EQ(next, dup(0));
	close(next);
	EXPECT_EQ(-ENOENT, kt_open(name, KT_ALL, 0));
}

/* ---- namespaces ------------------------------------------------------------------------ */

static int leave_mailboxes_behind(void *arg)
{
	static char payload[256 * 1024];
	char name[KT_NAME_SIZE];
	int device, fd;

	(void)arg;
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	device = kt_open_device();
	for (int i = 0; i < 5; i++) {
		struct kpost_open open = kt_open_args(kt_name(name), KT_ALL,
						      KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);

		open.bytes = sizeof(payload);
		open.message_max = sizeof(payload);
		fd = (int)kt_ioctl(device, KPOST_IOC_OPEN, &open);
		CHECK(fd >= 0);
		CHECK_EQ(0, kt_post(fd, payload, sizeof(payload), 0));
		close(fd);
	}
	return 0;
}

TEST_F(memory, namespace_with_persistent_mailboxes_leaves_nothing)
{
	long before = 0;

	/* some to warm up, then 100 with 1280 KiB each */
	for (int i = 0; i < 105; i++) {
		if (i == 5) {
			before = used();
		}
		ASSERT_EQ(0, child_run(leave_mailboxes_behind, NULL));
	}
	EXPECT_TRUE(comes_back_to(before));
}

/* ---- messages ---------------------------------------------------------------------------- */

TEST_F(memory, messages_of_all_sizes_leave_nothing)
{
	static char payload[1 << 20];
	int fd = kt_mailbox(0, sizeof(payload), sizeof(payload));
	long before = 0;

	for (int round = 0; round < 2; round++) {
		before = used();
		for (size_t size = 1; size <= sizeof(payload); size += size / 8 + 1) {
			for (int i = 0; i < 2; i++) {
				ASSERT_EQ(0, kt_post(fd, payload, size, 0));
				ASSERT_EQ((long)size, kt_take(fd, NULL, payload, size));
			}
		}
	}
	EXPECT_TRUE(comes_back_to(before));
}

TEST_F(memory, messages_dropped_with_their_mailbox_leave_nothing)
{
	static char payload[16 * 1024];
	long before = 0;

	for (int round = 0; round < 40; round++) {
		int fd = kt_mailbox(0, 64 * sizeof(payload), 0);

		if (round == 2) {
			before = used();
		}
		for (int i = 0; i < 64; i++) {
			ASSERT_EQ(0, kt_post(fd, payload, sizeof(payload), (unsigned int)i));
		}
		close(fd);
	}
	EXPECT_TRUE(comes_back_to(before));
}

TEST_F(memory, calls_and_sends_given_up_leave_nothing)
{
	static char room[128 * 1024];
	int fd = kt_mailbox(0, 0, sizeof(room));
	long before = 0;

	for (int round = 0; round < 500; round++) {
		if (round == 50) {
			before = used();
		}
		ASSERT_EQ(-ETIMEDOUT, kt_call(fd, room, 4096, room, sizeof(room), 1));
		ASSERT_EQ(-ETIMEDOUT, kt_send(fd, room, sizeof(room), 0, KPOST_SYNC, 1));
	}
	EXPECT_TRUE(comes_back_to(before));
	EXPECT_EQ(0, kt_stat(fd).queued_messages);
}

TEST_F(memory, calls_received_and_never_answered_leave_nothing)
{
	static char answer[512 * 1024];
	static const int ends[] = { -EINTR, -ECONNRESET, -ECONNRESET };
	struct kpost_call call = kt_call_args("ask", 3, answer, sizeof(answer), 0);
	struct kpost_recv recv;
	struct kt_job job;
	long before = 0;
	char buf[8];
	int pair[2];

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	for (int round = 0; round < 110; round++) {
		if (round == 10) {
			before = used();
		}
		ASSERT_EQ(0, kt_pair(pair, 0, 0));
		/* what a signal has left goes with its endpoint */
		call.id = 0;
		kt_start(&job, pair[1], KPOST_IOC_CALL, &call);
		ASSERT_EQ(3, kt_recv(pair[0], &recv, buf, sizeof(buf), 0, kt_soon()));
		/* the caller leaves, the receiver gives the call up, or closes */
		if (round % 3 == 0) {
			ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
		} else if (round % 3 == 1) {
			ASSERT_EQ(0, kt_drop(pair[0], recv.token));
		} else {
			close(pair[0]);
		}
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(ends[round % 3], job.ret);
		if (round % 3 < 2) {
			close(pair[0]);
		}
		close(pair[1]);
	}
	EXPECT_TRUE(comes_back_to(before));
}

TEST_F(memory, requests_cancelled_in_a_ring_leave_nothing)
{
	static char payload[512 * 1024];
	int fd = kt_mailbox(1, 2 * sizeof(payload), sizeof(payload));
	long before = 0;

	ASSERT_EQ(0, kt_post(fd, "full", 4, 0));
	for (int round = 0; round < 110; round++) {
		struct kpost_send send = kt_send_args(payload, sizeof(payload), 0, 0, 0);
		struct io_uring ring;

		if (round == 10) {
			before = used();
		}
		ASSERT_EQ(0, uring_init(&ring, 4, 0));
		uring_op(&ring, fd, KPOST_IOC_SEND, &send, 1);
		ASSERT_EQ(1, io_uring_submit(&ring));
		ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 1));
		io_uring_queue_exit(&ring);
		ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 0));
	}
	EXPECT_TRUE(comes_back_to(before));
}

#define PARKED		10000

/* as many receives, and calls, that wait without a task; the most memory that was in use */
static long park_and_cancel_many(struct __test_metadata *_metadata)
{
	struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE, .cq_entries = 1 << 15 };
	int receives = kt_mailbox(4, 0, 8), calls = kt_mailbox(PARKED, 8 * PARKED, 8);
	static struct kpost_recv recv[PARKED];
	static struct kpost_call call[PARKED];
	static char buf[PARKED][8];
	struct uring_result result;
	struct kpost_cancel all = { .cookie = 0 };
	struct io_uring ring;
	long most;

	ASSERT_LE(0, receives);
	ASSERT_LE(0, calls);
	ASSERT_EQ(0, io_uring_queue_init_params(64, &ring, &params));
	for (int i = 0; i < PARKED; i++) {
		recv[i] = kt_recv_args(buf[i], 8, 0, 0);
		call[i] = kt_call_args("ask", 3, buf[i], 8, 0);
		uring_op(&ring, receives, KPOST_IOC_RECV, &recv[i], 0);
		uring_op(&ring, calls, KPOST_IOC_CALL, &call[i], 0);
		ASSERT_EQ(2, io_uring_submit(&ring));
	}
	ASSERT_EQ(PARKED, kt_stat(receives).waiting_receivers);
	ASSERT_EQ(PARKED, kt_stat(calls).queued_messages);
	most = used();
	ASSERT_EQ(PARKED, kt_ioctl(receives, KPOST_IOC_CANCEL, &all));
	ASSERT_EQ(PARKED, kt_ioctl(calls, KPOST_IOC_CANCEL, &all));
	for (int i = 0; i < 2 * PARKED; i++) {
		ASSERT_EQ(0, uring_wait(&ring, &result));
		ASSERT_EQ(-ECANCELED, result.res);
	}
	io_uring_queue_exit(&ring);
	close(receives);
	close(calls);
	return most;
}

TEST_F(memory, ten_thousand_parked_receives_and_calls_leave_nothing)
{
	long before = used(), most;

	if (!uring_parks())
		SKIP(return, "what waits here has a worker each");
	most = park_and_cancel_many(_metadata);
	EXPECT_LT(before + 2 * TOLERANCE, most) TH_LOG("this would not show a leak");
	/* KASAN keeps as much of what was freed as comes of it twice */
	park_and_cancel_many(_metadata);
	before = used();
	most = park_and_cancel_many(_metadata);
	EXPECT_TRUE(comes_back_to(before));
	TH_LOG("%ld KiB in use before, %ld with all parked, %ld after", before, most, used());
}

TEST_F(memory, processes_killed_while_they_wait_leave_nothing)
{
	static char payload[1 << 20];
	int fd = kt_mailbox(1, 2 * sizeof(payload), sizeof(payload));
	long before = 0;

	ASSERT_EQ(0, kt_post(fd, "full", 4, 0));
	for (int round = 0; round < 60; round++) {
		pid_t pid;

		if (round == 10) {
			before = used();
		}
		pid = kt_fork();
		if (pid == 0) {
			kt_send(fd, payload, sizeof(payload), 0, 0, 0);
			_exit(CHILD_FAILED);
		}
		ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 1));
		ASSERT_LE(0, kt_kill(pid));
		ASSERT_EQ(0, kt_stat(fd).waiting_senders);
	}
	EXPECT_TRUE(comes_back_to(before));
}

TEST_HARNESS_MAIN
