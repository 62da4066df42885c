// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 3, under load: whatever users do at once, by whatever way they end, each has
 * back exactly what it had; none has more than its share at any moment, nor less for what
 * another has.
 */
#include "account_test.h"

#define STORM_MS	6000
#define SHARED		3	/* mailboxes that all of them know by name */

enum { BOXES = 12, GRANTS = 12, LONGEST = 100000 };

static char payload[LONGEST], buf[LONGEST];

FIXTURE(storm) {
	int unused;
};

FIXTURE_SETUP(storm)
{
	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_LE(0, kt_device());
}

FIXTURE_TEARDOWN(storm)
{
}

/* ---- one user, everything at once ------------------------------------------------------ */

static uint32_t seed;

static uint32_t below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

static int boxes[BOXES], granted[GRANTS];

static void forget(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void keep(int *fds, int count, int fd)
{
	int *at = &fds[below(count)];

	forget(at);
	*at = fd;
}

static void make_one(void)
{
	keep(boxes, BOXES, kt_mailbox(1 + below(64), 1 + below(1 << 18), 0));
}

static void open_shared(void)
{
	char name[KT_NAME_SIZE];

	snprintf(name, sizeof(name), "shared.%u", below(SHARED));
	if (below(8))
		keep(boxes, BOXES, kt_open(name, KT_ALL, KPOST_OPEN_CREATE |
					   (below(2) ? KPOST_OPEN_PERSIST : 0)));
	else
		kt_unlink(name);
}

static void fill_and_shrink(int fd)
{
	struct kpost_stat st = kt_stat(fd);
	unsigned int len;

	for (int i = 0; i < 40; i++) {
		len = 1 + below(st.message_max ?: 1);
		if (kt_post(fd, payload, len < LONGEST ? len : LONGEST, below(3)))
			break;
	}
	resize(fd, 1 + below(4), st.message_max);
	for (int i = below(60); i > 0; i--)
		kt_recv(fd, NULL, buf, below(2) ? sizeof(buf) : 10, KPOST_DONTWAIT, 0);
}

/* a process that has all that its parent has, and ends in one of several ways */
static void fork_one(void)
{
	pid_t pid = kt_fork();

	if (pid) {
		if (below(2))
			kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return;
	}
	for (int i = below(6); i > 0; i--)
		forget(&boxes[below(BOXES)]);
	kt_send(boxes[below(BOXES)], payload, below(LONGEST), 0, 0, kt_in(1 + below(5)));
	make_one();
	kt_call(boxes[below(BOXES)], "ask", 3, buf, below(LONGEST), kt_in(1 + below(5)));
	if (below(2))
		raise(SIGKILL);
	_exit(0);
}

static int storm_step(void)
{
	int fd = boxes[below(BOXES)];
	struct kpost_recv recv;

	switch (below(16)) {
	case 0:
	case 1:
		make_one();
		break;
	case 2:
		open_shared();
		break;
	case 3:
		forget(&boxes[below(BOXES)]);
		break;
	case 4:
		resize(fd, below(200), below(1 << 18));
		break;
	case 5:
		fill_and_shrink(fd);
		break;
	case 6:
		keep(granted, GRANTS, kt_grant(fd, 1 + below(KT_ALL)));
		break;
	case 7:
		forget(&granted[below(GRANTS)]);
		break;
	case 8:
		kt_post(fd, payload, below(LONGEST), 0);
		break;
	case 9:
		kt_send(fd, payload, below(3000), below(3), below(2) ? KPOST_SYNC : 0,
			kt_in(below(3)));
		break;
	case 10:
		kt_call(fd, payload, below(LONGEST), buf, below(LONGEST), kt_in(below(3)));
		break;
	case 11:
		if (kt_take(fd, &recv, buf, sizeof(buf)) >= 0 && recv.token && below(2))
			kt_reply(fd, recv.token, payload, below(100));
		break;
	case 12:
		if (!below(4))
			fork_one();
		break;
	case 13:
		CHECK_EQ(0, change_to(USER + 1));
		make_one();
		keep(granted, GRANTS, kt_grant(fd, KPOST_RIGHT_SEND));
		kt_send(fd, payload, 10, 0, 0, kt_in(1));
		CHECK_EQ(0, change_to(USER));
		break;
	case 14:
		/* with privilege, of what it has, and of what is new */
		CHECK_EQ(0, seteuid(0));
		if (below(2))
			resize(fd, 1 + below(300), below(1 << 19));
		else
			make_one();
		keep(granted, GRANTS, kt_grant(fd, KPOST_RIGHT_SEND));
		CHECK_EQ(0, seteuid(USER));
		break;
	default:
		poll(&(struct pollfd){ fd, POLLIN | POLLOUT, 0 }, 1, 0);
		kt_send(boxes[below(BOXES)], payload, 65537, 0, KPOST_DONTWAIT, 0);
	}
	return 0;
}

static int storm(void *arg)
{
	uint64_t end = kt_in(STORM_MS);

	seed = *(uint32_t *)arg;
	for (int i = 0; i < BOXES; i++)
		boxes[i] = -1;
	for (int i = 0; i < GRANTS; i++)
		granted[i] = -1;
	CHECK_EQ(0, drop_to(USER));
	while (kt_now() < end) {
		struct kpost_info info = info_now();

		CHECK(info.user_used <= info.user_bytes);
		CHECK(info.user_sending_used <= info.user_sending_bytes);
		CHECK(info.office_used <= info.office_bytes);
		CHECK(info.office_sending_used <= info.office_sending_bytes);
		CHECK_EQ(0, storm_step());
	}
	/* some leave with all that they have */
	if (seed % 2)
		raise(SIGKILL);
	return 0;
}

TEST_F(storm, of_one_user_leaves_nothing_counted)
{
	enum { TASKS = 4 };
	struct kpost_info info;
	pid_t pid[TASKS];
	char name[KT_NAME_SIZE];

	ASSERT_EQ(0, limit_set("user_bytes", 4 << 20));
	ASSERT_EQ(0, limit_set("office_bytes", 6 << 20));
	ASSERT_EQ(0, limit_set("user_sending_bytes", 150000));
	ASSERT_EQ(0, limit_set("office_sending_bytes", 250000));
	for (int i = 0; i < TASKS; i++) {
		seed = 0x9e3779b9u * (uint32_t)(i + 1);
		pid[i] = child_start(storm, &seed);
	}
	for (int i = 0; i < TASKS; i++) {
		int status;

		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_TRUE((WIFEXITED(status) && !WEXITSTATUS(status)) ||
			    (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
			TH_LOG("status %x", status);
	}
	for (int i = 0; i < SHARED; i++) {
		snprintf(name, sizeof(name), "shared.%d", i);
		kt_unlink(name);
	}
	EXPECT_TRUE(kt_until(office_has(0, 0)));
	info = info_now();
	EXPECT_EQ(0, info.office_used);
	EXPECT_EQ(0, info.office_sending_used);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, change_to(USER + i));
		EXPECT_TRUE(nothing_is_used());
	}
}

/* ---- two at once ----------------------------------------------------------------------- */

enum { THREADS = 4, FIT = 50 };

struct maker {
	int fds[FIT + 1];
	int count;
	int err;
};

static long make_all(void *arg)
{
	struct maker *maker = arg;
	int fd = 0;

	while (maker->count <= FIT && (fd = kt_mailbox(0, 0, 0)) >= 0)
		maker->fds[maker->count++] = fd;
	maker->err = fd;
	return 0;
}

TEST_F(storm, of_makers_ends_with_exactly_as_many_as_fit)
{
	static struct maker makers[THREADS];
	struct kt_job jobs[THREADS];

	ASSERT_EQ(0, limit_set("user_bytes", FIT * DEFAULT_COST));
	ASSERT_EQ(0, drop_to(USER));
	for (int round = 0; round < 20; round++) {
		int total = 0;

		memset(makers, 0, sizeof(makers));
		for (int i = 0; i < THREADS; i++)
			kt_start_fn(&jobs[i], make_all, &makers[i]);
		for (int i = 0; i < THREADS; i++) {
			ASSERT_TRUE(kt_join(&jobs[i]));
			EXPECT_EQ(-EDQUOT, makers[i].err);
			total += makers[i].count;
		}
		EXPECT_EQ(FIT, total);
		EXPECT_EQ(FIT * DEFAULT_COST, used());
		for (int i = 0; i < THREADS; i++) {
			while (makers[i].count)
				close(makers[i].fds[--makers[i].count]);
		}
		EXPECT_TRUE(nothing_is_used());
	}
}

struct resizer {
	int fd;
	unsigned int messages;
	int err;
};

static long enlarge_all(void *arg)
{
	struct resizer *resizer = arg;

	while (!(resizer->err = resize(resizer->fd, resizer->messages + 1, 0)))
		resizer->messages++;
	return 0;
}

TEST_F(storm, of_those_who_enlarge_ends_with_exactly_as_much_as_fits)
{
	struct resizer resizers[THREADS];
	struct kt_job jobs[THREADS];
	unsigned int total = 0;

	ASSERT_EQ(0, limit_set("user_bytes", THREADS * cost(0, 1000) + 256 * 1000));
	ASSERT_EQ(0, drop_to(USER));
	for (int i = 0; i < THREADS; i++) {
		resizers[i] = (struct resizer){ kt_mailbox(1, 1000, 0), 1, 0 };
		ASSERT_LE(0, resizers[i].fd);
	}
	for (int i = 0; i < THREADS; i++)
		kt_start_fn(&jobs[i], enlarge_all, &resizers[i]);
	for (int i = 0; i < THREADS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(-EDQUOT, resizers[i].err);
		EXPECT_EQ(cost(resizers[i].messages, 1000), kt_stat(resizers[i].fd).counted);
		total += resizers[i].messages;
	}
	EXPECT_EQ(1000, total);
	EXPECT_EQ(THREADS * cost(0, 1000) + 256 * 1000, used());
	for (int i = 0; i < THREADS; i++)
		close(resizers[i].fd);
	EXPECT_TRUE(nothing_is_used());
}

struct restless {
	int fd;
	bool stop;
};

static long shrink_and_enlarge(void *arg)
{
	struct restless *restless = arg;
	long rounds = 0;

	for (; !__atomic_load_n(&restless->stop, __ATOMIC_ACQUIRE); rounds++) {
		if (resize(restless->fd, 1, 1000) || resize(restless->fd, 16, 16000))
			return -EIO;
	}
	return rounds;
}

static long fill_on(void *arg)
{
	struct restless *restless = arg;
	long rounds = 0;

	for (; !__atomic_load_n(&restless->stop, __ATOMIC_ACQUIRE); rounds++)
		kt_send(restless->fd, payload, rounds % 1001, 0, 0, kt_in(1));
	return rounds;
}

static long drain_on(void *arg)
{
	struct restless *restless = arg;
	static char to[1000];
	long rounds = 0;

	for (; !__atomic_load_n(&restless->stop, __ATOMIC_ACQUIRE); rounds++)
		kt_recv(restless->fd, NULL, to, sizeof(to), 0, kt_in(1));
	return rounds;
}

/* what it holds comes and goes while what it may hold does */
TEST_F(storm, of_changes_under_load_counts_what_is_more_of_the_two)
{
	static long (*const does[])(void *arg) = { shrink_and_enlarge, fill_on, fill_on, drain_on };
	struct kt_job jobs[ARRAY_SIZE(does)];
	struct restless restless = { 0 };
	uint64_t most = cost(16, 16000);
	struct kpost_stat st;

	/* no more than that is ever counted: to enlarge it again is never refused */
	ASSERT_EQ(0, limit_set("user_bytes", most));
	ASSERT_EQ(0, drop_to(USER));
	restless.fd = kt_mailbox(16, 16000, 1000);
	ASSERT_LE(0, restless.fd);
	for (size_t i = 0; i < ARRAY_SIZE(does); i++)
		kt_start_fn(&jobs[i], does[i], &restless);
	for (int i = 0; i < 5000; i++) {
		uint64_t holds;

		st = kt_stat(restless.fd);
		holds = st.queued_messages ? cost(st.queued_messages, st.queued_bytes) : 0;
		ASSERT_GE(st.counted, holds);
		ASSERT_GE(st.counted, cost(st.messages, st.bytes));
		ASSERT_GE(most, st.counted);
	}
	__atomic_store_n(&restless.stop, true, __ATOMIC_RELEASE);
	for (size_t i = 0; i < ARRAY_SIZE(does); i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_LT(0, jobs[i].ret);
	}
	EXPECT_EQ(most, used());
	EXPECT_EQ(0, sending());
	close(restless.fd);
	EXPECT_TRUE(nothing_is_used());
}

/* ---- one that has all it may, and ten that have not ------------------------------------ */

enum { OTHERS = 10, ROUNDS = 20 };

static int hog(void *arg)
{
	bool *ready = arg;
	int fd, box;

	CHECK_EQ(0, allow_descriptors(3000));
	CHECK_EQ(0, child_become(USER, USER));
	box = kt_mailbox(0, 0, 0);
	while ((fd = kt_mailbox(0, 0, 0)) >= 0)
		;
	CHECK_EQ(-EDQUOT, fd);
	while ((fd = kt_mailbox(1, 1, 0)) >= 0)
		;
	CHECK_EQ(-EDQUOT, fd);
	while ((fd = kt_grant(box, KPOST_RIGHT_SEND)) >= 0)
		;
	CHECK_EQ(-EDQUOT, fd);
	__atomic_store_n(ready, true, __ATOMIC_RELEASE);
	for (;;) {
		/* and does not leave off */
		CHECK_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
		CHECK_EQ(-EDQUOT, kt_grant(box, KPOST_RIGHT_SEND));
		CHECK_EQ(-EDQUOT, kt_post(box, payload, 32768, 0) ?: -EDQUOT);
		kt_take(box, NULL, buf, sizeof(buf));
	}
}

static long serve(void *arg)
{
	int fd = *(int *)arg;
	struct kpost_recv recv;
	char ask[100];

	for (int i = 0; i < ROUNDS; i++) {
		long ret = kt_recv(fd, &recv, ask, sizeof(ask), 0, kt_soon());

		if (ret < 0 || kt_reply(fd, recv.token, ask, (uint64_t)ret))
			return -EIO;
	}
	return 0;
}

static int live_as_before(void *arg)
{
	uid_t uid = *(uid_t *)arg;
	struct kt_job server;
	int calls, fd, fds[2];

	CHECK_EQ(0, child_become(uid, uid));
	calls = kt_mailbox(0, 0, 0);
	CHECK(calls >= 0);
	kt_start_fn(&server, serve, &calls);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK_EQ(0, kt_pair(fds, 0, 1 << 20));
		for (int n = 0; n < 8; n++)
			CHECK_EQ(0, kt_send(fds[1], payload, LONGEST, 0, 0, kt_soon()));
		for (int n = 0; n < 8; n++)
			CHECK_EQ(LONGEST, kt_take(fds[0], NULL, buf, sizeof(buf)));
		CHECK_EQ(3, kt_call(calls, "ask", 3, buf, 1000, kt_soon()));
		fd = kt_grant(fds[0], KPOST_RIGHT_RECV);
		CHECK(fd >= 0);
		CHECK_EQ(0, resize(fds[0], 4000, 0));
		close(fds[0]);
		close(fds[1]);
		close(fd);
	}
	CHECK(kt_join(&server));
	CHECK_EQ(0, server.ret);
	close(calls);
	CHECK_EQ(0, used());
	CHECK_EQ(0, sending());
	return 0;
}

TEST_F(storm, of_one_user_at_both_its_shares_stops_no_other)
{
	bool *ready = kt_shared(sizeof(*ready));
	pid_t pid, others[OTHERS];

	ASSERT_EQ(0, limit_set("user_sending_bytes", 1 << 20));
	pid = child_start(hog, ready);
	ASSERT_TRUE(kt_until(__atomic_load_n(ready, __ATOMIC_ACQUIRE)));
	for (int i = 0; i < OTHERS; i++) {
		uid_t uid = USER + 1 + i;

		others[i] = child_start(live_as_before, &uid);
	}
	for (int i = 0; i < OTHERS; i++)
		EXPECT_EQ(0, child_finish(others[i], 100));
	EXPECT_LE(0, kt_kill(pid)) TH_LOG("it has ended by itself");
	EXPECT_TRUE(kt_until(office_has(0, 0)));
}

TEST_HARNESS_MAIN
