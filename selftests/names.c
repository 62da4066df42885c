// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a name: waiting for it, taking it away, outliving its endpoints,
 * and those who make, open and close it at the same time.
 */
#include "kpost_test.h"

FIXTURE(names) {
	char name[KT_NAME_SIZE];
	struct kpost_open wait;		/* for a SEND endpoint on @name */
	struct kt_job job;
	char buf[64];
};

FIXTURE_SETUP(names)
{
	ASSERT_LE(0, kt_device());
	kt_name(self->name);
	self->wait = kt_open_args(self->name, KPOST_RIGHT_SEND, KPOST_OPEN_WAIT);
	self->wait.deadline = kt_soon();
}

FIXTURE_TEARDOWN(names)
{
	kt_unlink(self->name);
}

static bool exists(const char *name)
{
	int fd = kt_open(name, KPOST_RIGHT_ADMIN, 0);

	close(fd);
	return fd != -ENOENT;
}

/* ---- waiting for a name ---------------------------------------------------- */

#define start_waiting(job) do {							\
	kt_start((job), kt_device(), KPOST_IOC_OPEN, &self->wait);		\
	ASSERT_TRUE(kt_until(kt_asleep((job)->tid)));				\
	ASSERT_FALSE(kt_done(job));						\
} while (0)

TEST_F(names, names_waited_for_are_opened_when_somebody_makes_them)
{
	int fd;

	start_waiting(&self->job);
	fd = kt_create(self->name, KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(kt_join(&self->job));
	ASSERT_LE(0, self->job.ret);
	ASSERT_EQ(0, kt_post(self->job.ret, "found", 5, 0));
	EXPECT_EQ(5, kt_take(fd, NULL, self->buf, 64));
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->job.ret, F_GETFD));
	close(self->job.ret);
	close(fd);
}

TEST_F(names, names_waited_for_by_many_wake_them_all)
{
	enum { COUNT = 5 };
	struct kt_job jobs[COUNT];
	int fd;

	for (int i = 0; i < COUNT; i++)
		start_waiting(&jobs[i]);
	fd = kt_create(self->name, KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	for (int i = 0; i < COUNT; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_LE(0, jobs[i].ret);
	}
	EXPECT_EQ(COUNT, kt_stat(fd).senders);
	close(fd);
}

TEST_F(names, names_waited_for_that_exist_are_opened_at_once)
{
	int fd = kt_create(self->name, KPOST_RIGHT_RECV), again;

	ASSERT_LE(0, fd);
	self->wait.deadline = 1;	/* not needed, so not looked at */
	again = kt_do_open(&self->wait);
	EXPECT_LE(0, again);
	close(again);
	close(fd);
}

TEST_F(names, names_waited_for_and_not_made_time_out)
{
	uint64_t end;

	for (uint64_t deadline = 1; deadline < 3; deadline++) {
		self->wait.deadline = deadline;
		EXPECT_EQ(-ETIMEDOUT, kt_do_open(&self->wait));
	}
	self->wait.deadline = kt_in(50);
	EXPECT_EQ(-ETIMEDOUT, kt_do_open(&self->wait));
	end = kt_now();
	EXPECT_LE(self->wait.deadline, end);
	EXPECT_LT(end - self->wait.deadline, 1000 * KT_MS);
	EXPECT_FALSE(exists(self->name));
}

TEST_F(names, names_are_not_waited_for_on_a_nonblocking_device)
{
	int device = open(KT_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK), fd;

	ASSERT_LE(0, device);
	EXPECT_EQ(-EAGAIN, kt_ioctl(device, KPOST_IOC_OPEN, &self->wait));
	fd = kt_create(self->name, KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	EXPECT_LE(0, kt_ioctl(device, KPOST_IOC_OPEN, &self->wait));
	close(fd);
	close(device);
}

TEST_F(names, names_waited_for_do_not_come_with_other_names)
{
	char other[KT_NAME_SIZE];
	int fd;

	start_waiting(&self->job);
	fd = kt_create(kt_name(other), KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	close(fd);
	strcpy(other, self->name);
	other[strlen(other) - 1]++;
	fd = kt_create(other, KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(kt_until(kt_asleep(self->job.tid)));
	EXPECT_FALSE(kt_done(&self->job));
	close(fd);
	fd = kt_create(self->name, KPOST_RIGHT_RECV);
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_LE(0, self->job.ret);
	close(fd);
}

TEST_F(names, names_waited_for_follow_signals)
{
	int fd;

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	start_waiting(&self->job);
	ASSERT_EQ(0, kt_signal(&self->job, SIGUSR1));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-EINTR, self->job.ret);

	ASSERT_EQ(0, kt_handle(SIGUSR1, SA_RESTART));
	start_waiting(&self->job);
	for (int i = 2; i <= 5; i++) {
		ASSERT_EQ(0, kt_signal(&self->job, SIGUSR1));
		ASSERT_TRUE(kt_until(kt_signals == i));
	}
	fd = kt_create(self->name, KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_LE(0, self->job.ret);
	close(fd);
}

TEST_F(names, names_waited_for_by_one_who_is_killed)
{
	pid_t pid = kt_fork();
	int fd;

	if (pid == 0) {
		self->wait.deadline = 0;
		_exit(kt_do_open(&self->wait) < 0);
	}
	ASSERT_TRUE(kt_until(kt_asleep(pid)));
	EXPECT_LE(0, kt_kill(pid));
	fd = kt_create(self->name, KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, kt_stat(fd).senders);
	close(fd);
}

/* ---- taking a name away ------------------------------------------------------ */

TEST_F(names, names_unlinked_are_free_at_once_and_endpoints_go_on)
{
	int fd = kt_create(self->name, KT_ALL), sender, again;

	ASSERT_LE(0, fd);
	sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_EQ(0, kt_post(sender, "before", 6, 0));
	ASSERT_EQ(0, kt_unlink(self->name));
	EXPECT_FALSE(exists(self->name));
	EXPECT_EQ(-ENOENT, kt_unlink(self->name));
	EXPECT_EQ('\0', kt_stat(fd).name[0]);
	EXPECT_EQ(0, kt_stat(fd).flags & (KPOST_STAT_ANONYMOUS | KPOST_STAT_CLOSED));

	again = kt_create(self->name, KT_ALL);
	ASSERT_LE(0, again);
	ASSERT_EQ(0, kt_post(sender, "after", 5, 0));
	EXPECT_EQ(-EAGAIN, kt_take(again, NULL, self->buf, 64));
	EXPECT_EQ(6, kt_take(fd, NULL, self->buf, 64));
	EXPECT_EQ(5, kt_take(fd, NULL, self->buf, 64));
	close(fd);
	EXPECT_EQ(-EPIPE, kt_post(sender, "x", 1, 0));
	/* that was the old one's end, and not the new one's */
	EXPECT_TRUE(exists(self->name));
	EXPECT_EQ(0, kt_post(again, "x", 1, 0));
	close(sender);
	close(again);
	EXPECT_FALSE(exists(self->name));
}

TEST_F(names, names_unlinked_without_a_receiver_close_the_mailbox)
{
	int fd = kt_create(self->name, KPOST_RIGHT_SEND);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
	ASSERT_EQ(0, kt_unlink(self->name));
	EXPECT_EQ(KPOST_STAT_CLOSED, kt_stat(fd).flags);
	EXPECT_EQ(0, kt_stat(fd).queued_messages);
	EXPECT_EQ(1, kt_stat(fd).dropped);
	EXPECT_EQ(-EPIPE, kt_post(fd, "x", 1, 0));
	close(fd);
}

/* senders may start first */
TEST_F(names, names_without_a_receiver_yet_keep_messages_for_the_first)
{
	struct kpost_recv recv;
	int sender = kt_create(self->name, KPOST_RIGHT_SEND), fd;

	ASSERT_LE(0, sender);
	ASSERT_EQ(0, kt_post(sender, "early", 5, 0));
	EXPECT_EQ(0, kt_stat(sender).receivers);
	EXPECT_EQ(0, kt_stat(sender).flags);
	fd = kt_open(self->name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(5, kt_take(fd, &recv, self->buf, 64));
	EXPECT_EQ(1, recv.sequence);
	close(fd);
	/* but the last receiver takes it along */
	EXPECT_EQ(-EPIPE, kt_post(sender, "x", 1, 0));
	EXPECT_FALSE(exists(self->name));
	close(sender);
}

TEST_F(names, names_go_with_the_last_endpoint)
{
	int fd = kt_create(self->name, KPOST_RIGHT_SEND);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "lost", 4, 0));
	close(fd);
	EXPECT_FALSE(exists(self->name));
	fd = kt_create(self->name, KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, kt_take(fd, NULL, self->buf, 64));
	close(fd);
}

/* ---- outliving one's endpoints ------------------------------------------------- */

TEST_F(names, names_made_persistent_outlive_all_endpoints)
{
	int fd = kt_open(self->name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);

	ASSERT_LE(0, fd);
	EXPECT_EQ(KPOST_STAT_PERSIST, kt_stat(fd).flags);
	ASSERT_EQ(0, kt_post(fd, "one", 3, 0));
	ASSERT_EQ(0, kt_post(fd, "first", 5, 1));
	close(fd);

	fd = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(2, kt_stat(fd).queued_messages);
	EXPECT_EQ(0, kt_stat(fd).receivers);
	ASSERT_EQ(0, kt_post(fd, "late", 4, 0));
	close(fd);

	fd = kt_open(self->name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(5, kt_take(fd, NULL, self->buf, 64));
	EXPECT_EQ(3, kt_take(fd, NULL, self->buf, 64));
	close(fd);

	ASSERT_EQ(0, kt_unlink(self->name));
	EXPECT_FALSE(exists(self->name));
}

TEST_F(names, names_made_persistent_let_senders_go_on_without_receiver)
{
	int fd = kt_open(self->name, KPOST_RIGHT_RECV, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	int sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);

	ASSERT_LE(0, fd);
	ASSERT_LE(0, sender);
	ASSERT_EQ(0, kt_post(sender, "x", 1, 0));
	close(fd);
	EXPECT_EQ(KPOST_STAT_PERSIST, kt_stat(sender).flags);
	EXPECT_EQ(0, kt_post(sender, "y", 1, 0));
	/* until it is unlinked, persistence and all */
	ASSERT_EQ(0, kt_unlink(self->name));
	EXPECT_EQ(KPOST_STAT_CLOSED, kt_stat(sender).flags);
	EXPECT_EQ(2, kt_stat(sender).dropped);
	EXPECT_EQ(-EPIPE, kt_post(sender, "z", 1, 0));
	close(sender);
}

TEST_F(names, names_made_persistent_reset_only_the_calls_that_were_received)
{
	struct kpost_call args[2];
	struct kt_job jobs[2];
	struct kpost_recv recv;
	char answer[8];
	int fd = kt_open(self->name, KPOST_RIGHT_RECV, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	int sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);

	ASSERT_LE(0, fd);
	ASSERT_LE(0, sender);
	for (int i = 0; i < 2; i++) {
		args[i] = kt_call_args("ask", 3, answer, sizeof(answer), kt_soon());
		kt_start(&jobs[i], sender, KPOST_IOC_CALL, &args[i]);
		ASSERT_TRUE(kt_until(kt_stat(sender).queued_messages == i + 1u));
	}
	ASSERT_EQ(3, kt_take(fd, &recv, self->buf, 64));
	close(fd);
	ASSERT_TRUE(kt_join(&jobs[0]));
	EXPECT_EQ(-ECONNRESET, jobs[0].ret);
	EXPECT_FALSE(kt_done(&jobs[1]));
	fd = kt_open(self->name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(3, kt_take(fd, &recv, self->buf, 64));
	EXPECT_EQ(0, kt_reply(fd, recv.token, "ok", 2));
	ASSERT_TRUE(kt_join(&jobs[1]));
	EXPECT_EQ(2, jobs[1].ret);
	close(fd);
	close(sender);
}

/* ---- at the same time ------------------------------------------------------------ */

struct racer {
	const char *name;
	unsigned int rights, flags;
	int *start;		/* the round that is on */
	int done;		/* the round that this one has finished */
	int rounds;
	int fd;			/* what it opened in that round, or why not */
};

static long run_racer(void *arg)
{
	struct racer *racer = arg;

	for (int round = 1; round <= racer->rounds; round++) {
		while (__atomic_load_n(racer->start, __ATOMIC_ACQUIRE) < round)
			sched_yield();
		racer->fd = kt_open(racer->name, racer->rights, racer->flags);
		if (racer->fd < 0 && racer->fd != -EEXIST)
			return racer->fd;
		__atomic_store_n(&racer->done, round, __ATOMIC_RELEASE);
	}
	return 0;
}

#define RACERS 3

static void race_to_open(struct __test_metadata *_metadata, struct racer *like, int rounds,
			 void (*check)(struct __test_metadata *_metadata, struct racer *racers))
{
	struct racer racers[RACERS];
	struct kt_job jobs[RACERS];
	int start = 0;

	for (int i = 0; i < RACERS; i++) {
		racers[i] = *like;
		racers[i].start = &start;
		racers[i].rounds = rounds;
		kt_start_fn(&jobs[i], run_racer, &racers[i]);
	}
	for (int round = 1; round <= rounds; round++) {
		__atomic_store_n(&start, round, __ATOMIC_RELEASE);
		for (int i = 0; i < RACERS; i++) {
			ASSERT_TRUE(kt_until(kt_done(&jobs[i]) ||
					     __atomic_load_n(&racers[i].done, __ATOMIC_ACQUIRE) ==
					     round));
			if (kt_done(&jobs[i])) {
				ASSERT_EQ(0, jobs[i].ret);
			}
		}
		check(_metadata, racers);
		for (int i = 0; i < RACERS; i++)
			close(racers[i].fd);
	}
	for (int i = 0; i < RACERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		ASSERT_EQ(0, jobs[i].ret);
	}
}

static void one_winner(struct __test_metadata *_metadata, struct racer *racers)
{
	int winners = 0;

	for (int i = 0; i < RACERS; i++)
		winners += racers[i].fd >= 0;
	ASSERT_EQ(1, winners);
}

TEST_F(names, names_made_exclusively_by_several_have_one_maker)
{
	struct racer racer = { .name = self->name, .rights = KT_ALL,
			       .flags = KPOST_OPEN_CREATE | KPOST_OPEN_EXCL };

	race_to_open(_metadata, &racer, 150, one_winner);
}

static void same_mailbox(struct __test_metadata *_metadata, struct racer *racers)
{
	struct kpost_stat st = kt_stat(racers[0].fd);

	for (int i = 0; i < RACERS; i++) {
		ASSERT_LE(0, racers[i].fd);
		ASSERT_EQ(0, kt_post(racers[i].fd, "x", 1, 0));
	}
	ASSERT_EQ(RACERS, st.receivers);
	ASSERT_EQ(RACERS, kt_stat(racers[0].fd).sent);
}

TEST_F(names, names_made_by_several_at_once_are_one_mailbox)
{
	struct racer racer = { .name = self->name, .rights = KT_ALL,
			       .flags = KPOST_OPEN_CREATE };

	race_to_open(_metadata, &racer, 150, same_mailbox);
}

struct finder {
	const char *name;
	bool stop;
	unsigned int found;
};

/* whoever can open it at all finds it complete */
static long find_complete(void *arg)
{
	struct finder *finder = arg;

	while (!__atomic_load_n(&finder->stop, __ATOMIC_ACQUIRE)) {
		int fd = kt_open(finder->name, KPOST_RIGHT_SEND, 0);
		struct kpost_stat st;
		long ret;

		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return fd;
		st = kt_stat(fd);
		if (st.messages != 7 || st.bytes != 700 || st.message_max != 70 ||
		    st.mode != 0600 || st.senders < 1)
			return -EBADMSG;
		ret = kt_post(fd, "x", 1, 0);
		close(fd);
		if (ret && ret != -EPIPE && ret != -EAGAIN)
			return ret;
		finder->found++;
	}
	return 0;
}

TEST_F(names, names_opened_while_others_create_them_are_of_complete_mailboxes)
{
	struct finder finder = { .name = self->name };
	struct kpost_open open = kt_open_args(self->name, KPOST_RIGHT_RECV, KPOST_OPEN_CREATE);

	open.messages = 7;
	open.bytes = 700;
	open.message_max = 70;
	kt_start_fn(&self->job, find_complete, &finder);
	for (int i = 0; i < 2000 || __atomic_load_n(&finder.found, __ATOMIC_RELAXED) < 20; i++) {
		int fd = kt_do_open(&open);

		ASSERT_LE(0, fd);
		close(fd);
		ASSERT_LT(i, 100000) TH_LOG("nobody ever found it");
	}
	__atomic_store_n(&finder.stop, true, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
}

static long open_use_close(void *arg)
{
	const char *name = arg;
	char c;

	for (int i = 0; i < 700; i++) {
		int fd = kt_open(name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, KPOST_OPEN_CREATE);
		long ret;

		if (fd < 0)
			return fd;
		/* the old one or a new one, but never one that is already dead */
		ret = kt_post(fd, "x", 1, 0);
		if (!ret) {
			ret = kt_recv(fd, NULL, &c, 1, 0, kt_soon());
			ret = ret == 1 ? 0 : ret;
		}
		close(fd);
		if (ret)
			return ret;
	}
	return 0;
}

TEST_F(names, names_closed_by_one_and_made_by_another_are_never_found_dead)
{
	struct kt_job jobs[2];

	for (int i = 0; i < 2; i++)
		kt_start_fn(&jobs[i], open_use_close, self->name);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
	}
	EXPECT_FALSE(exists(self->name));
}

static long unlink_often(void *arg)
{
	for (int i = 0; i < 1500; i++) {
		int ret = kt_unlink(arg);

		if (ret && ret != -ENOENT)
			return ret;
	}
	return 0;
}

static long open_often(void *arg)
{
	for (int i = 0; i < 500; i++) {
		int fd = kt_open(arg, KT_ALL, KPOST_OPEN_CREATE | (i & 1 ? KPOST_OPEN_PERSIST : 0));
		long ret;

		if (fd < 0)
			return fd;
		/* whatever happens to its name, it can be used while there is a receiver */
		ret = kt_post(fd, "x", 1, 0);
		close(fd);
		if (ret && ret != -EAGAIN)
			return ret;
	}
	return 0;
}

TEST_F(names, names_unlinked_opened_and_closed_at_once)
{
	long (*const what[])(void *arg) = { unlink_often, open_often, open_often };
	struct kt_job jobs[3];

	for (int i = 0; i < 3; i++)
		kt_start_fn(&jobs[i], what[i], self->name);
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
	}
	kt_unlink(self->name);
	EXPECT_FALSE(exists(self->name));
}

TEST_HARNESS_MAIN
