// SPDX-License-Identifier: GPL-2.0-only
/*
 * Watches for room and for messages, in masses: they cost those who send and receive next
 * to nothing, each is told in the end, and who waits by them gets on as well as who blocks.
 */
#include "child_test.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#ifndef WATCHES
#define WATCHES	10000
#endif
#define CPUMASK	"/sys/devices/virtual/workqueue/cpumask"
#define COPIES	500	/* descriptors, each watched by as many epoll instances as it takes */

struct storm {
	int fd[COPIES];
	int epfd[WATCHES / COPIES];
	unsigned int count;	/* of watches */
};

FIXTURE(watches) {
	struct storm *storm;
	char name[KT_NAME_SIZE];
	char buf[64];
	char cpumask[64];	/* as it was */
};

FIXTURE_SETUP(watches)
{
	struct rlimit files = { 20000, 20000 };
	char text[64];

	if (setrlimit(RLIMIT_NOFILE, &files))
		SKIP(return, "so many files need root");
	if (child_read("/proc/sys/fs/epoll/max_user_watches", text, sizeof(text)) <= 0 ||
	    atol(text) < WATCHES + 1000)
		SKIP(return, "a user may not have %u watches here", WATCHES);
	self->storm = kt_shared(sizeof(*self->storm));
	kt_name(self->name);
	child_read(CPUMASK, self->cpumask, sizeof(self->cpumask));
}

FIXTURE_TEARDOWN(watches)
{
	child_write(CPUMASK, self->cpumask);
}

/* watch @storm->fd for @events, edge-triggered, WATCHES times in all; 0 or -errno */
static int watch_all(struct storm *storm, unsigned int events)
{
	storm->count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(storm->epfd); i++) {
		storm->epfd[i] = epoll_create1(EPOLL_CLOEXEC);
		for (int j = 0; j < COPIES; j++) {
			struct epoll_event event = { .events = events | EPOLLET, .data.u32 = j };

			if (epoll_ctl(storm->epfd[i], EPOLL_CTL_ADD, storm->fd[j], &event))
				return -errno;
			storm->count++;
		}
	}
	return 0;
}

/* one endpoint for all, or one each */
static int open_all(struct storm *storm, const char *name, unsigned int rights, bool each)
{
	for (int i = 0; i < COPIES; i++) {
		if (i == 0 || each)
			storm->fd[i] = kt_open(name, rights, 0);
		else
			storm->fd[i] = dup(storm->fd[0]);
		if (storm->fd[i] < 0)
			return storm->fd[i];
	}
	return 0;
}

/* how many of the watches have an event with one of @events */
static unsigned int told(struct storm *storm, unsigned int events)
{
	static struct epoll_event event[COPIES];
	unsigned int count = 0;
	int n;

	for (size_t i = 0; i < ARRAY_SIZE(storm->epfd); i++) {
		n = epoll_wait(storm->epfd[i], event, COPIES, 0);
		for (int j = 0; j < n; j++)
			count += !!(event[j].events & events);
	}
	return count;
}

static bool all_told(struct storm *storm, unsigned int events)
{
	unsigned int count = 0;
	bool all = kt_until((count += told(storm, events)) >= storm->count);

	if (!all)
		fprintf(stderr, "# %u of %u watches were told\n", count, storm->count);
	return all;
}

static void fill(int fd)
{
	while (kt_post(fd, "x", 1, 0) == 0)
		;
}

/* ---- what they cost others ------------------------------------------------------------ */

enum { TIMES = 200 };

/*
 * All on one processor, with the kernel's work: of two that are emulated, one may be stopped
 * with a lock held, and what the other then takes is nobody's doing here.
 */
static void use_one_processor(void)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	sched_setaffinity(0, sizeof(first), &first);
	child_write(CPUMASK, "1");
}

static int by_length(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct figures {
	uint64_t median, often, worst; /* ns; one in twenty takes longer than @often */
};

/* how long @what takes, once in a millisecond */
#define measure(what) ({							\
	uint64_t kt_took[TIMES];						\
										\
	for (int kt_i = 0; kt_i < TIMES; kt_i++) {				\
		uint64_t kt_begin;						\
										\
		usleep(1000);							\
		kt_begin = kt_now();						\
		what;								\
		kt_took[kt_i] = kt_now() - kt_begin;				\
	}									\
	qsort(kt_took, TIMES, sizeof(kt_took[0]), by_length);			\
	(struct figures){ kt_took[TIMES / 2], kt_took[TIMES - TIMES / 20 - 1],	\
			  kt_took[TIMES - 1] };					\
})

static void expect_no_dearer(struct __test_metadata *_metadata, struct figures alone,
			     struct figures with)
{
	const struct figures *both[] = { &alone, &with };

	for (int i = 0; i < 2; i++)
		fprintf(stderr, "# %u watches: median %llu us, 95 %% %llu, worst %llu\n",
			i * WATCHES, (unsigned long long)both[i]->median / 1000,
			(unsigned long long)both[i]->often / 1000,
			(unsigned long long)both[i]->worst / 1000);
	EXPECT_LT(with.median, 5 * alone.median + 200000);
	/* in which others have their turn */
	EXPECT_LT(with.often, 10 * alone.often + 50 * KT_MS);
}

/* a client that may only send keeps the mailbox full, and watches it or not */
static pid_t fork_client(FIXTURE_DATA(watches) *self, bool watch, bool each, int *ready)
{
	pid_t pid = kt_fork();

	if (pid)
		return pid;
	if (open_all(self->storm, self->name, KPOST_RIGHT_SEND, each))
		_exit(1);
	fill(self->storm->fd[0]);
	if (watch && watch_all(self->storm, EPOLLOUT))
		_exit(2);
	/* as an event loop has it, with all of them refused again */
	__atomic_store_n(ready, 1, __ATOMIC_RELEASE);
	for (int i = 0;; i = (i + 1) % COPIES) {
		fill(self->storm->fd[i]);
		usleep(300);
	}
}

static void expect_cheap_room(struct __test_metadata *_metadata, FIXTURE_DATA(watches) *self,
			      bool each)
{
	int fd = kt_create(self->name, KPOST_RIGHT_RECV);
	struct figures took[2];

	use_one_processor();
	ASSERT_LE(0, fd);
	for (int watch = 0; watch < 2; watch++) {
		int *ready = kt_shared(sizeof(*ready));
		pid_t pid = fork_client(self, watch, each, ready);

		ASSERT_TRUE(kt_until(__atomic_load_n(ready, __ATOMIC_ACQUIRE)));
		took[watch] = measure(ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64)));
		/* it dies with all its watches, and the server does not notice */
		ASSERT_LE(0, kt_kill(pid));
		ASSERT_LE(0, kt_take(fd, NULL, self->buf, 64));
	}
	expect_no_dearer(_metadata, took[0], took[1]);
}

TEST_F(watches, watches_for_room_of_one_endpoint_cost_no_receiver)
{
	expect_cheap_room(_metadata, self, false);
}

TEST_F(watches, watches_for_room_of_many_endpoints_cost_no_receiver)
{
	expect_cheap_room(_metadata, self, true);
}

/* a stranger that may receive watches for messages, and leaves them to others */
TEST_F(watches, watches_for_messages_cost_no_sender)
{
	int fd = kt_create(self->name, KT_ALL);
	struct figures took[2];

	use_one_processor();
	ASSERT_LE(0, fd);
	for (int watch = 0; watch < 2; watch++) {
		if (watch) {
			ASSERT_EQ(0, open_all(self->storm, self->name, KPOST_RIGHT_RECV, false));
			ASSERT_EQ(0, watch_all(self->storm, EPOLLIN));
		}
		took[watch] = measure(ASSERT_EQ(0, kt_post(fd, "x", 1, 0)));
		while (kt_take(fd, NULL, self->buf, 64) >= 0)
			;
	}
	expect_no_dearer(_metadata, took[0], took[1]);
}

/* ---- each is told in the end ------------------------------------------------------------- */

static void expect_told_of_room(struct __test_metadata *_metadata, FIXTURE_DATA(watches) *self,
				bool each)
{
	int fd = kt_create(self->name, KT_ALL);
	uint64_t begin;

	ASSERT_LE(0, fd);
	fill(fd);
	ASSERT_EQ(0, open_all(self->storm, self->name, KPOST_RIGHT_SEND, each));
	ASSERT_EQ(0, watch_all(self->storm, EPOLLOUT));
	EXPECT_EQ(0, told(self->storm, EPOLLOUT));
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
		EXPECT_TRUE(all_told(self->storm, EPOLLOUT));
		/* and not once more, unless they are refused once more */
		ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
		fill(fd);
		for (int i = 0; i < COPIES; i++) {
			ASSERT_EQ(-EAGAIN, kt_post(self->storm->fd[i], "x", 1, 0));
		}
		EXPECT_EQ(0, told(self->storm, EPOLLOUT));
	}
	/* nor are they in the way of the end */
	begin = kt_now();
	EXPECT_EQ(0, close(fd));
	EXPECT_LT(kt_now() - begin, 1000 * KT_MS);
	EXPECT_TRUE(all_told(self->storm, EPOLLHUP));
	EXPECT_EQ(-EPIPE, kt_post(self->storm->fd[0], "x", 1, 0));
}

TEST_F(watches, watches_for_room_of_one_endpoint_are_all_told)
{
	expect_told_of_room(_metadata, self, false);
}

TEST_F(watches, watches_for_room_of_many_endpoints_are_all_told)
{
	expect_told_of_room(_metadata, self, true);
}

TEST_F(watches, watches_for_messages_are_all_told)
{
	int fd = kt_create(self->name, KT_ALL);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, open_all(self->storm, self->name, KPOST_RIGHT_RECV, false));
	ASSERT_EQ(0, watch_all(self->storm, EPOLLIN));
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
		EXPECT_TRUE(all_told(self->storm, EPOLLIN));
		ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
	}
}

/* ---- who is told, and who is not ---------------------------------------------------------- */

static int watch(int fd, unsigned int events)
{
	struct epoll_event event = { .events = events };
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	return epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) ? -errno : epfd;
}

static int events_now(int epfd)
{
	struct epoll_event event;

	return epoll_wait(epfd, &event, 1, 0);
}

TEST_F(watches, watch_of_one_that_was_never_refused_is_left_alone)
{
	int fd = kt_create(self->name, KT_ALL), idle = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	int epfd = watch(idle, EPOLLOUT | EPOLLET);

	ASSERT_LE(0, epfd);
	EXPECT_EQ(1, events_now(epfd));
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
		ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
		ASSERT_EQ(0, events_now(epfd)) TH_LOG("there was room all the time");
	}
	/* others were refused, and are told */
	fill(fd);
	ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
	EXPECT_EQ(0, events_now(epfd));
	/* now it was itself */
	fill(fd);
	ASSERT_EQ(-EAGAIN, kt_post(idle, "x", 1, 0));
	ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
	EXPECT_TRUE(kt_until(events_now(epfd) == 1));
}

static long wait_for_event(void *arg)
{
	struct epoll_event event;

	return epoll_wait(*(int *)arg, &event, 1, -1);
}

TEST_F(watches, exclusive_watches_for_room_are_told_one_at_a_time)
{
	enum { COUNT = 4 };
	int fd = kt_create(self->name, KT_ALL), client = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	struct kt_job job[COUNT];
	int epfd[COUNT];

	ASSERT_LE(0, client);
	fill(fd);
	for (int i = 0; i < COUNT; i++) {
		epfd[i] = watch(client, EPOLLOUT | EPOLLET | EPOLLEXCLUSIVE);
		ASSERT_LE(0, epfd[i]);
		kt_start_fn(&job[i], wait_for_event, &epfd[i]);
		ASSERT_TRUE(kt_until(kt_asleep(job[i].tid)));
	}
	for (int done = 0; done < COUNT; done++) {
		int ended = 0;

		ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
		/* another one, and for as long as somebody looks no second */
		ASSERT_TRUE(kt_until((ended = kt_done(&job[0]) + kt_done(&job[1]) +
					      kt_done(&job[2]) + kt_done(&job[3])) > done))
			TH_LOG("%d were told, the next was not", done);
		for (int look = 0; look < 20; look++) {
			kt_pause();
			EXPECT_EQ(done + 1, kt_done(&job[0]) + kt_done(&job[1]) +
						    kt_done(&job[2]) + kt_done(&job[3]));
		}
	}
	for (int i = 0; i < COUNT; i++) {
		ASSERT_TRUE(kt_join(&job[i]));
		EXPECT_EQ(1, job[i].ret);
	}
}

/*
 * Three take turns, behind forty that watch as well and are told by the work, which comes
 * later and goes once for several.  @go is done as often as there are turns.
 */
#define exclusive_watches_take_turns(fd, watched, in_events, go) do {		\
	enum { WORKERS = 3, OTHERS = 40 };					\
	struct kt_job job[WORKERS];						\
	int epfd[WORKERS], other[OTHERS];					\
										\
	for (int i = 0; i < WORKERS; i++) {					\
		epfd[i] = watch(watched, (in_events) | EPOLLEXCLUSIVE);		\
		ASSERT_LE(0, epfd[i]);						\
		kt_start_fn(&job[i], wait_for_event, &epfd[i]);			\
		ASSERT_TRUE(kt_until(kt_asleep(job[i].tid)));			\
	}									\
	for (int i = 0; i < OTHERS; i++) {					\
		other[i] = watch(watched, (in_events) | EPOLLET);		\
		ASSERT_LE(0, other[i]);						\
	}									\
	for (int i = 0; i < WORKERS; i++) {					\
		ASSERT_EQ(1, go);						\
	}									\
	/* For ever: nothing more happens. */					\
	for (int i = 0; i < WORKERS; i++) {					\
		ASSERT_TRUE(kt_join(&job[i]))					\
			TH_LOG("worker %d sleeps, %u messages wait", i,		\
			       kt_stat(fd).queued_messages);			\
	}									\
	for (int i = 0; i < WORKERS; i++)					\
		close(epfd[i]);							\
	for (int i = 0; i < OTHERS; i++)					\
		close(other[i]);						\
} while (0)

TEST_F(watches, exclusive_watches_for_messages_are_told_of_one_each)
{
	for (int round = 0; round < 10; round++) {
		int fd = kt_mailbox(0, 0, 0);

		ASSERT_LE(0, fd);
		exclusive_watches_take_turns(fd, fd, EPOLLIN, 1 + (int)kt_post(fd, "x", 1, 0));
		close(fd);
	}
}

TEST_F(watches, exclusive_watches_for_room_are_told_of_one_receive_each)
{
	for (int round = 0; round < 10; round++) {
		int fd = kt_mailbox(4, 0, 64);

		ASSERT_LE(0, fd);
		fill(fd);
		exclusive_watches_take_turns(fd, fd, EPOLLOUT,
					     (int)kt_take(fd, NULL, self->buf, 64));
		close(fd);
	}
}

/* one that does nothing with it would cost each receive of a mailbox that has room */
TEST_F(watches, exclusive_watch_is_told_once_for_each_refusal)
{
	int fd = kt_create(self->name, KT_ALL), client = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	struct kt_job job;
	int epfd;

	ASSERT_LE(0, client);
	fill(fd);
	epfd = watch(client, EPOLLOUT | EPOLLET | EPOLLEXCLUSIVE);
	ASSERT_LE(0, epfd);
	for (int round = 0; round < 3; round++) {
		kt_start_fn(&job, wait_for_event, &epfd);
		ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
		ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(1, job.ret);
		/* there is room, and it was told of it */
		for (int look = 0; look < 10; look++) {
			ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
			kt_pause();
			EXPECT_EQ(0, events_now(epfd));
		}
		fill(client);
		EXPECT_EQ(0, events_now(epfd));
	}
}

/* all at the end of one and the same full mailbox, and only one message goes */
TEST_F(watches, endpoints_refused_in_masses_are_all_told)
{
	struct kpost_open open = kt_open_args(self->name, KT_ALL, KPOST_OPEN_CREATE);
	struct epoll_event event[COPIES];
	int fd, epfd, count, n;

	open.messages = 1;
	fd = kt_do_open(&open);
	ASSERT_LE(0, fd);
	for (int round = 0; round < 5; round++) {
		ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
		ASSERT_EQ(0, open_all(self->storm, self->name, KPOST_RIGHT_SEND, true));
		epfd = epoll_create1(EPOLL_CLOEXEC);
		for (int i = 0; i < COPIES; i++) {
			event[i] = (struct epoll_event){ EPOLLOUT | EPOLLET, { .u32 = i } };
			ASSERT_EQ(0, epoll_ctl(epfd, EPOLL_CTL_ADD, self->storm->fd[i], &event[i]));
		}
		ASSERT_EQ(0, epoll_wait(epfd, event, COPIES, 0));
		ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 64));
		count = 0;
		EXPECT_TRUE(kt_until((n = epoll_wait(epfd, event, COPIES, 0)) >= 0 &&
				     (count += n) == COPIES))
			TH_LOG("%d of %d were told", count, COPIES);
		close(epfd);
		for (int i = 0; i < COPIES; i++)
			close(self->storm->fd[i]);
	}
}

/* ---- progress ------------------------------------------------------------------------- */

enum how { BLOCKING, BY_POLL, BY_LEVEL, BY_EDGE, BY_EXCLUSIVE, HOWS };

struct sender {
	enum how how;
	int fd;
	bool *stop;
	unsigned int most;	/* how many it shall send */
	unsigned int sent;
};

static bool is_stopped(struct sender *sender)
{
	return __atomic_load_n(sender->stop, __ATOMIC_ACQUIRE);
}

static long send_by_events(void *arg)
{
	static const unsigned int events[HOWS] = {
		[BY_LEVEL] = EPOLLOUT,
		[BY_EDGE] = EPOLLOUT | EPOLLET,
		[BY_EXCLUSIVE] = EPOLLOUT | EPOLLET | EPOLLEXCLUSIVE,
	};
	struct sender *sender = arg;
	struct pollfd pfd = { sender->fd, POLLOUT, 0 };
	int epfd = events[sender->how] ? watch(sender->fd, events[sender->how]) : -1;
	struct epoll_event event;
	long ret = 0;

	while (sender->sent < sender->most && !is_stopped(sender)) {
		if (sender->how == BLOCKING)
			ret = kt_send(sender->fd, "x", 1, 0, 0, 0);
		else
			ret = kt_post(sender->fd, "x", 1, 0);
		if (ret == 0)
			__atomic_add_fetch(&sender->sent, 1, __ATOMIC_RELEASE);
		else if (ret != -EAGAIN)
			break;
		/* without an end: it is told, or hangs */
		else if (sender->how == BY_POLL)
			poll(&pfd, 1, -1);
		else
			epoll_wait(epfd, &event, 1, -1);
		ret = 0;
	}
	close(epfd);
	return ret == -EPIPE ? 0 : ret;
}

static long receive_all(void *arg)
{
	int fd = *(int *)arg;
	struct pollfd pfd = { fd, POLLIN, 0 };
	unsigned int seed = (unsigned int)fd;
	char buf[8];
	long ret;

	for (;;) {
		if (rand_r(&seed) % 4 == 0)
			poll(&pfd, 1, -1);
		ret = kt_recv(fd, NULL, buf, sizeof(buf), rand_r(&seed) % 2 ? KPOST_DONTWAIT : 0,
			      0);
		if (ret == -EPIPE)
			return 0;
		if (ret < 0 && ret != -EAGAIN)
			return ret;
		if (rand_r(&seed) % 64 == 0)
			kt_pause();
	}
}

/* each in its own way, all at once, with room for next to nothing */
TEST_F(watches, senders_by_events_all_get_on)
{
	enum { EACH = 2, MOST = 300 };

	for (unsigned int room = 1; room <= 3; room++) {
		struct sender sender[EACH * HOWS];
		struct kt_job job[EACH * HOWS], receiver[2];
		bool stop = false;
		int fds[2];

		ASSERT_EQ(0, kt_pair(fds, room, 0));
		kt_start_fn(&receiver[0], receive_all, &fds[0]);
		kt_start_fn(&receiver[1], receive_all, &fds[0]);
		for (int i = 0; i < EACH * HOWS; i++) {
			sender[i] = (struct sender){ i % HOWS, dup(fds[1]), &stop, MOST, 0 };
			/* one that is exclusive would keep others of the endpoint asleep */
			if (sender[i].how == BY_EXCLUSIVE)
				sender[i].how = BY_EDGE;
			kt_start_fn(&job[i], send_by_events, &sender[i]);
		}
		for (int i = 0; i < EACH * HOWS; i++) {
			ASSERT_TRUE(kt_join(&job[i]))
				TH_LOG("room %u: %d hangs after %u", room, i, sender[i].sent);
			EXPECT_EQ(0, job[i].ret);
			EXPECT_EQ(MOST, sender[i].sent);
			close(sender[i].fd);
		}
		close(fds[1]);
		for (int i = 0; i < 2; i++) {
			ASSERT_TRUE(kt_join(&receiver[i]));
			EXPECT_EQ(0, receiver[i].ret);
		}
		EXPECT_EQ(EACH * HOWS * MOST, kt_stat(fds[0]).received);
		close(fds[0]);
	}
}

/* the same by endpoints of their own, the exclusive too */
TEST_F(watches, senders_by_events_of_endpoints_of_their_own_all_get_on)
{
	enum { COUNT = 2 * HOWS, MOST = 300 };
	struct kpost_open open = kt_open_args(self->name, KPOST_RIGHT_RECV, KPOST_OPEN_CREATE);
	struct kt_job job[COUNT], receiver;
	struct sender sender[COUNT];
	bool stop = false;
	int fd;

	open.messages = 2;
	fd = kt_do_open(&open);
	ASSERT_LE(0, fd);
	for (int i = 0; i < COUNT; i++) {
		sender[i] = (struct sender){ i % HOWS, kt_open(self->name, KPOST_RIGHT_SEND, 0),
					     &stop, MOST, 0 };
		kt_start_fn(&job[i], send_by_events, &sender[i]);
	}
	ASSERT_EQ(0, kt_unlink(self->name)); /* then there is an end */
	kt_start_fn(&receiver, receive_all, &fd);
	for (int i = 0; i < COUNT; i++) {
		ASSERT_TRUE(kt_join(&job[i]))
			TH_LOG("sender %d hangs after %u", i, sender[i].sent);
		EXPECT_EQ(0, job[i].ret);
		close(sender[i].fd);
	}
	ASSERT_TRUE(kt_join(&receiver));
	EXPECT_EQ(COUNT * MOST, kt_stat(fd).received);
}

/* the exclusive among themselves: whoever is told sends, and the next receive tells another */
TEST_F(watches, senders_by_exclusive_watches_of_one_endpoint_get_on)
{
	enum { COUNT = 4, ALL = 2000 };
	struct kt_job job[COUNT], receiver;
	struct sender sender[COUNT];
	bool stop = false;
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 2, 0));
	for (int i = 0; i < COUNT; i++) {
		sender[i] = (struct sender){ BY_EXCLUSIVE, fds[1], &stop, ~0u, 0 };
		kt_start_fn(&job[i], send_by_events, &sender[i]);
	}
	kt_start_fn(&receiver, receive_all, &fds[0]);
	EXPECT_TRUE(kt_until(kt_stat(fds[1]).received >= ALL))
		TH_LOG("no progress after %llu", (unsigned long long)kt_stat(fds[1]).received);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	/* all of them are told of the end; the receiver's operation holds its endpoint till then */
	_exit(_metadata->exit_code);
}

static long receive_steadily(void *arg)
{
	int fd = *(int *)arg;
	char buf[8];
	long ret;

	do
		ret = kt_recv(fd, NULL, buf, sizeof(buf), 0, 0);
	while (ret >= 0);
	return ret;
}

/* messages in a tenth of a second */
static unsigned int rate(struct __test_metadata *_metadata, enum how how)
{
	struct kt_job job, receiver;
	struct sender sender;
	bool stop = false;
	uint64_t begin, took;
	unsigned int sent;
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	kt_start_fn(&receiver, receive_steadily, &fds[0]);
	sender = (struct sender){ how, fds[1], &stop, ~0u, 0 };
	kt_start_fn(&job, send_by_events, &sender);
	ASSERT_TRUE(kt_until(__atomic_load_n(&sender.sent, __ATOMIC_ACQUIRE) > 10));
	begin = kt_now();
	sent = __atomic_load_n(&sender.sent, __ATOMIC_ACQUIRE);
	do
		usleep(20000);
	while ((took = kt_now() - begin) < 100 * KT_MS);
	sent = __atomic_load_n(&sender.sent, __ATOMIC_ACQUIRE) - sent;
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&job));
	close(fds[1]);
	ASSERT_TRUE(kt_join(&receiver));
	close(fds[0]);
	return sent * 100ull * KT_MS / took;
}

/* in the best of some rounds, since the machine has other things to do */
static void expect_half_the_rate(struct __test_metadata *_metadata, enum how how)
{
	unsigned int blocking = ~0u, events = 0;

	use_one_processor();
	for (int round = 0; round < 20 && 2ull * events < blocking; round++) {
		unsigned int now = rate(_metadata, BLOCKING);

		if (blocking > now)
			blocking = now;
		now = rate(_metadata, how);
		if (events < now)
			events = now;
	}
	EXPECT_GE(2ull * events, blocking);
	fprintf(stderr, "# blocking %u, by events %u\n", blocking, events);
}

TEST_F(watches, sender_by_events_is_no_slower_than_half_of_one_that_blocks)
{
	expect_half_the_rate(_metadata, BY_LEVEL);
	expect_half_the_rate(_metadata, BY_EDGE);
}

/* ---- and go in the middle of it ------------------------------------------------------- */

struct coming {
	const char *name;
	bool *stop;
	unsigned int seed, rounds;
};

/* endpoints and their watches come, are refused, and go in any order */
static long come_and_go(void *arg)
{
	enum { EPOLLS = 12, FDS = 12 };
	struct coming *coming = arg;

	while (!__atomic_load_n(coming->stop, __ATOMIC_ACQUIRE)) {
		bool each = rand_r(&coming->seed) % 2, first = rand_r(&coming->seed) % 2;
		int fd[FDS], epfd[EPOLLS];

		for (int i = 0; i < FDS; i++) {
			fd[i] = i && !each ? dup(fd[0]) :
					     kt_open(coming->name, KPOST_RIGHT_SEND, 0);
			if (fd[i] < 0)
				return fd[i];
		}
		for (int i = 0; i < EPOLLS; i++) {
			epfd[i] = epoll_create1(EPOLL_CLOEXEC);
			for (int j = 0; j < FDS; j++) {
				struct epoll_event event = { .events = EPOLLOUT };

				if (rand_r(&coming->seed) % 2)
					event.events |= EPOLLET;
				if (epoll_ctl(epfd[i], EPOLL_CTL_ADD, fd[j], &event))
					return -errno;
			}
		}
		for (int i = 0; i < FDS; i++)
			fill(fd[i]);
		for (int i = 0; i < 12; i++) {
			close(first ? fd[i] : epfd[i]);
			if (rand_r(&coming->seed) % 4 == 0)
				sched_yield();
		}
		for (int i = 0; i < 12; i++)
			close(first ? epfd[i] : fd[i]);
		coming->rounds++;
	}
	return 0;
}

TEST_F(watches, watches_that_go_while_they_are_told_leave_nothing)
{
	struct kpost_open open = kt_open_args(self->name, KT_ALL, KPOST_OPEN_CREATE);
	bool stop = false;
	struct coming coming[2] = { { self->name, &stop, 1, 0 }, { self->name, &stop, 2, 0 } };
	struct kt_job job[2];
	uint64_t end;
	int fd;

	open.messages = 8;
	fd = kt_do_open(&open);
	ASSERT_LE(0, fd);
	for (int i = 0; i < 2; i++)
		kt_start_fn(&job[i], come_and_go, &coming[i]);
	for (end = kt_in(4000); kt_now() < end;) {
		while (kt_take(fd, NULL, self->buf, 64) >= 0)
			;
		sched_yield();
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&job[i]));
		EXPECT_EQ(0, job[i].ret);
		EXPECT_LT(0, coming[i].rounds);
	}
	EXPECT_EQ(1, kt_stat(fd).senders);
	EXPECT_EQ(0, kt_stat(fd).waiting_senders);
}

TEST_HARNESS_MAIN
