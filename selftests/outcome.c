// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a caller learns, however its call ends: whether the request got into the mailbox,
 * and as which number, whether it was received, and who replied or gave it up.
 */
#include "child_test.h"
#include "uring_test.h"

enum { NOBODY_ID = 65534, SERVER = 0x5e7 };

FIXTURE(outcome) {
	char name[KT_NAME_SIZE];
	int server;		/* RECV, ADMIN */
	int client;		/* SEND */
	struct kpost_call call;
	struct kpost_recv recv;
	char answer[16];
	char buf[64];
	struct kt_job job;
};

/* the same by ioctl(2) and as a command of a ring */
FIXTURE_VARIANT(outcome) {
	bool ring;
};

FIXTURE_VARIANT_ADD(outcome, ioctl) {
	.ring = false,
};

FIXTURE_VARIANT_ADD(outcome, ring) {
	.ring = true,
};

FIXTURE_SETUP(outcome)
{
	struct kpost_open open = kt_open_args(kt_name(self->name),
					      KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
					      KPOST_OPEN_CREATE);
	int owner;

	open.messages = 3;
	owner = kt_do_open(&open);
	ASSERT_LE(0, owner);
	self->server = kt_grant_badge(owner, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN, SERVER);
	ASSERT_LE(0, self->server);
	close(owner);
	self->client = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, self->client);
	/* so that no number is 1, or any other that may be there by chance */
	for (int i = 0; i < 6; i++) {
		ASSERT_EQ(0, kt_post(self->client, "x", 1, 0));
		ASSERT_EQ(1, kt_take(self->server, NULL, self->buf, 64));
	}
	kt_poison(self->answer, sizeof(self->answer));
	self->call = kt_call_args("ask", 3, self->answer, sizeof(self->answer), kt_soon());
}

FIXTURE_TEARDOWN(outcome)
{
	close(self->client);
	close(self->server);
}

/* ---- a call, by either way --------------------------------------------------------- */

struct asking {
	int fd;
	bool ring;
	void *call;
};

static long ask(void *arg)
{
	struct asking *asking = arg;
	struct io_uring ring;
	long ret;

	if (!asking->ring)
		return kt_ioctl(asking->fd, KPOST_IOC_CALL, asking->call);
	ret = uring_init(&ring, 4, 0);
	if (ret)
		return ret;
	ret = uring_do(&ring, asking->fd, KPOST_IOC_CALL, asking->call);
	io_uring_queue_exit(&ring);
	return ret;
}

#define ask_now() \
	ask(&(struct asking){ self->client, variant->ring, &self->call })

static struct asking asking;

#define start_asking(args) do {							\
	asking = (struct asking){ self->client, variant->ring, (args) };	\
	kt_start_fn(&self->job, ask, &asking);					\
} while (0)

#define start_call(args) do {							\
	start_asking(args);							\
	ASSERT_TRUE(kt_until(kt_stat(self->server).queued_messages == 1));	\
} while (0)

#define start_received_call(args) do {						\
	start_call(args);							\
	ASSERT_EQ(3, kt_take(self->server, &self->recv, self->buf, 64));	\
	ASSERT_NE(0, self->recv.token);						\
} while (0)

/* without room, so that the request does not get in */
#define start_call_without_room(args) do {					\
	while (kt_post(self->client, "full", 4, 0) == 0)			\
		;								\
	start_asking(args);							\
	ASSERT_TRUE(kt_until(kt_stat(self->server).waiting_senders == 1));	\
} while (0)

#define expect_end(result) do {							\
	ASSERT_TRUE(kt_join(&self->job));					\
	EXPECT_EQ((result), self->job.ret);					\
} while (0)

#define expect_nobody(number, flags) do {					\
	EXPECT_EQ((number), self->call.sequence);				\
	EXPECT_EQ((flags), self->call.message_flags);				\
	EXPECT_EQ(0, self->call.reply_tag);					\
	EXPECT_EQ(0, self->call.badge);						\
	EXPECT_EQ(0, self->call.time);						\
	EXPECT_EQ(0, self->call.pid);						\
	EXPECT_EQ(NOBODY_ID, self->call.uid);					\
	EXPECT_EQ(NOBODY_ID, self->call.gid);					\
	EXPECT_EQ(NOBODY_ID, self->call.opener_uid);				\
	EXPECT_EQ(NOBODY_ID, self->call.opener_gid);				\
} while (0)

#define expect_somebody(number, who) do {					\
	EXPECT_EQ((number), self->call.sequence);				\
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, self->call.message_flags);		\
	EXPECT_EQ(0, self->call.reply_tag);					\
	EXPECT_EQ(SERVER, self->call.badge);					\
	EXPECT_LE(self->recv.time, self->call.time);				\
	EXPECT_GE(kt_now(), self->call.time);					\
	EXPECT_EQ((who), (pid_t)self->call.pid);				\
	EXPECT_EQ(getuid(), self->call.uid);					\
	EXPECT_EQ(getgid(), self->call.gid);					\
	EXPECT_EQ(geteuid(), self->call.opener_uid);				\
	EXPECT_EQ(getegid(), self->call.opener_gid);				\
} while (0)

/* ---- every way to end ---------------------------------------------------------------- */

TEST_F(outcome, outcome_of_a_call_that_is_answered)
{
	struct kpost_call before = self->call;

	start_received_call(&self->call);
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	expect_end(3);
	EXPECT_EQ(7, self->recv.sequence);
	expect_somebody(7, getpid());
	/* and what was given is as it was */
	EXPECT_EQ(0, memcmp(&before, &self->call, offsetof(struct kpost_call, sequence)));
}

TEST_F(outcome, outcome_of_a_call_that_is_answered_by_an_empty_reply)
{
	self->call.reply_len = 0;
	start_received_call(&self->call);
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, NULL, 0));
	expect_end(0);
	expect_somebody(7, getpid());
}

TEST_F(outcome, outcome_of_a_call_that_is_given_up)
{
	start_received_call(&self->call);
	EXPECT_EQ(0, kt_drop(self->server, self->recv.token));
	expect_end(-ECONNRESET);
	expect_somebody(7, getpid());
}

TEST_F(outcome, outcome_of_a_call_that_another_process_ends)
{
	for (int drop = 0; drop < 2; drop++) {
		pid_t pid;

		start_received_call(&self->call);
		pid = kt_fork();
		if (pid == 0)
			_exit(drop ? kt_drop(self->server, self->recv.token) :
				     kt_reply(self->server, self->recv.token, "kid", 3));
		ASSERT_EQ(0, kt_exit_status(pid));
		expect_end(drop ? -ECONNRESET : 3);
		expect_somebody(7 + drop, pid);
		self->call = kt_call_args("ask", 3, self->answer, sizeof(self->answer), kt_soon());
	}
}

/* the server goes: EPIPE says that the request had no effect, ECONNRESET that it may have */
TEST_F(outcome, outcome_of_a_call_whose_mailbox_closes_before_receipt)
{
	start_call(&self->call);
	close(self->server);
	self->server = -1;
	expect_end(-EPIPE);
	expect_nobody(7, 0);
}

TEST_F(outcome, outcome_of_a_call_whose_receiver_closes_after_receipt)
{
	start_received_call(&self->call);
	close(self->server);
	self->server = -1;
	expect_end(-ECONNRESET);
	expect_nobody(7, KPOST_MESSAGE_RECEIVED);
}

TEST_F(outcome, outcome_of_a_call_whose_mailbox_closes_before_there_is_room)
{
	start_call_without_room(&self->call);
	close(self->server);
	self->server = -1;
	expect_end(-EPIPE);
	expect_nobody(0, 0);
}

TEST_F(outcome, outcome_of_a_call_to_a_closed_mailbox)
{
	close(self->server);
	self->server = -1;
	EXPECT_EQ(-EPIPE, ask_now());
	expect_nobody(0, 0);
}

/* two receivers, and the mailbox goes on without the one that had it */
TEST_F(outcome, outcome_of_a_call_whose_receiver_is_killed_after_receipt)
{
	pid_t pid = kt_fork();

	if (pid == 0) {
		int fd = kt_open(self->name, KPOST_RIGHT_RECV, 0);

		kt_recv(fd, &self->recv, self->buf, 64, 0, kt_soon());
		for (;;)
			pause();
	}
	start_asking(&self->call);
	ASSERT_TRUE(kt_until(kt_stat(self->server).open_calls == 1));
	EXPECT_LE(0, kt_kill(pid));
	expect_end(-ECONNRESET);
	expect_nobody(7, KPOST_MESSAGE_RECEIVED);
}

TEST_F(outcome, outcome_of_a_call_that_times_out_before_receipt)
{
	self->call.deadline = kt_later();
	EXPECT_EQ(-ETIMEDOUT, ask_now());
	expect_nobody(7, 0);
	EXPECT_EQ(7, kt_stat(self->server).sent);
	EXPECT_EQ(6, kt_stat(self->server).received);
}

/* to fail to receive is not to receive */
TEST_F(outcome, outcome_of_a_call_that_times_out_after_vain_receives)
{
	self->call.deadline = kt_later();
	start_call(&self->call);
	EXPECT_EQ(-EMSGSIZE, kt_take(self->server, NULL, self->buf, 2));
	EXPECT_EQ(-EFAULT, kt_take(self->server, NULL, kt_edge(PROT_NONE), 64));
	EXPECT_EQ(-EMSGSIZE, read(self->server, self->buf, 2) < 0 ? -errno : 0);
	expect_end(-ETIMEDOUT);
	expect_nobody(7, 0);
}

TEST_F(outcome, outcome_of_a_call_that_times_out_after_receipt)
{
	self->call.deadline = kt_later();
	start_received_call(&self->call);
	expect_end(-ETIMEDOUT);
	expect_nobody(7, KPOST_MESSAGE_RECEIVED);
	EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
	expect_nobody(7, KPOST_MESSAGE_RECEIVED);
}

/* with what tells no token, and cut off: it is received all the same */
TEST_F(outcome, outcome_of_a_call_that_times_out_after_any_receipt)
{
	for (int i = 0; i < 2; i++) {
		self->call = kt_call_args("ask", 3, self->answer, sizeof(self->answer), kt_soon());
		self->call.deadline = kt_later();
		start_call(&self->call);
		if (i) {
			ASSERT_EQ(3, read(self->server, self->buf, 64));
		} else {
			ASSERT_EQ(1, kt_recv(self->server, NULL, self->buf, 1, KPOST_TRUNCATE,
					     kt_soon()));
		}
		expect_end(-ETIMEDOUT);
		expect_nobody(7 + i, KPOST_MESSAGE_RECEIVED);
	}
}

TEST_F(outcome, outcome_of_a_call_that_times_out_before_there_is_room)
{
	self->call.deadline = kt_later();
	start_call_without_room(&self->call);
	expect_end(-ETIMEDOUT);
	expect_nobody(0, 0);
}

TEST_F(outcome, outcome_of_a_call_whose_deadline_has_passed)
{
	self->call.deadline = 1;
	EXPECT_REFUSED(ETIMEDOUT, self->server, ask_now());
	expect_nobody(0, 0);
}

TEST_F(outcome, outcome_of_a_call_that_waited_for_room)
{
	start_call_without_room(&self->call);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(4, kt_take(self->server, NULL, self->buf, 64));
	}
	ASSERT_EQ(3, kt_recv(self->server, &self->recv, self->buf, 64, 0, kt_soon()));
	EXPECT_EQ(10, self->recv.sequence);
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "in", 2));
	expect_end(2);
	expect_somebody(10, getpid());
}

/* the reply was given, and is lost to its caller alone, which knows by whom */
TEST_F(outcome, outcome_of_a_call_whose_reply_is_lost)
{
	char *page = kt_edge(PROT_READ | PROT_WRITE);

	self->call.reply_buf = (uintptr_t)page;
	start_received_call(&self->call);
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_NONE));
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "lost", 4));
	expect_end(-EFAULT);
	expect_somebody(7, getpid());
}

/* ---- a signal, or in a ring a cancellation ------------------------------------------- */

/* what a signal leaves is given up then, past its deadline, if it goes on */
#define interrupt(goes_on) do {							\
	if (variant->ring) {							\
		struct kpost_cancel cancel = {};				\
										\
		ASSERT_TRUE(kt_until(kt_ioctl(self->client, KPOST_IOC_CANCEL, &cancel) == 1)); \
	} else {								\
		ASSERT_EQ(0, kt_handle(SIGUSR1, 0));				\
		ASSERT_EQ(0, kt_signal(&self->job, SIGUSR1));			\
	}									\
	expect_end(variant->ring ? -ECANCELED : -EINTR);			\
	if (!variant->ring && (goes_on)) {					\
		EXPECT_NE(0, self->call.id);					\
		self->call.deadline = 1;					\
		EXPECT_EQ(-ETIMEDOUT, ask_now());				\
	}									\
	EXPECT_EQ(0, self->call.id);						\
} while (0)

TEST_F(outcome, outcome_of_a_call_that_is_interrupted_before_receipt)
{
	start_call(&self->call);
	interrupt(true);
	expect_nobody(7, 0);
}

TEST_F(outcome, outcome_of_a_call_that_is_interrupted_after_receipt)
{
	start_received_call(&self->call);
	interrupt(true);
	expect_nobody(7, KPOST_MESSAGE_RECEIVED);
	EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
}

TEST_F(outcome, outcome_of_a_call_that_is_interrupted_before_there_is_room)
{
	start_call_without_room(&self->call);
	interrupt(false);
	expect_nobody(0, 0);
}

/* ---- limits ------------------------------------------------------------------------------ */

#define SENDING	"/proc/sys/net/kpost/user_sending_bytes"

static int ask_for_too_much(void *arg)
{
	struct asking *ask_for = arg;
	struct kpost_call before = *(struct kpost_call *)ask_for->call;

	CHECK_EQ(0, child_become(NOBODY, NOBODY));
	CHECK_EQ(-EDQUOT, ask(ask_for));
	/* It was not ready to be sent. */
	CHECK_EQ(0, memcmp(ask_for->call, &before, sizeof(before)));
	return 0;
}

/* all memory that a user has would go for the reply */
TEST_F(outcome, outcome_of_a_call_that_nobody_pays_for)
{
	struct asking ask_for = { self->client, variant->ring, &self->call };
	char before[32];

	if (geteuid())
		SKIP(return, "only root can become another user");
	ASSERT_LT(0, child_read(SENDING, before, sizeof(before)));
	ASSERT_EQ(0, child_write(SENDING, "16777216"));
	self->call.reply_len = KPOST_PAYLOAD_MAX;
	self->call.reply_buf = (uintptr_t)mmap(NULL, KPOST_PAYLOAD_MAX, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE((uintptr_t)MAP_FAILED, self->call.reply_buf);
	EXPECT_EQ(0, child_run(ask_for_too_much, &ask_for));
	EXPECT_EQ(0, child_write(SENDING, before));
	EXPECT_EQ(6, kt_stat(self->server).sent);
}

/* ---- a struct that cannot be written to ---------------------------------------------------- */

/* found before anything was sent, however little of it that is */
TEST_F(outcome, outcome_that_cannot_be_told_is_efault_and_nothing_is_sent)
{
	static const size_t where[] = {
		0,
		offsetof(struct kpost_call, sequence),
		offsetof(struct kpost_call, message_flags),
		offsetof(struct kpost_call, opener_gid),
		sizeof(struct kpost_call) - 1,
	};

	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		char *page = kt_edge(PROT_READ | PROT_WRITE), *call = page - where[i];
		struct asking bad = { self->client, variant->ring, call };

		memcpy(call, &self->call, sizeof(self->call));
		ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ));
		EXPECT_REFUSED(EFAULT, self->server, ask(&bad));
		EXPECT_EQ(0, memcmp(call, &self->call, sizeof(self->call)));
		EXPECT_EQ(-EAGAIN, kt_take(self->server, NULL, self->buf, 64));
	}
}

static void take_away(struct __test_metadata *_metadata, FIXTURE_DATA(outcome) *self,
		      const FIXTURE_VARIANT(outcome) *variant, int prot, bool in_time)
{
	char *page = kt_edge(PROT_READ | PROT_WRITE);

	self->call = kt_call_args("ask", 3, self->answer, sizeof(self->answer), kt_soon());
	if (!in_time)
		self->call.deadline = kt_later();
	memcpy(page, &self->call, sizeof(self->call));
	start_received_call(page);
	ASSERT_EQ(0, mprotect(page, kt_page_size(), prot));
	if (in_time) {
		EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	}
	expect_end(in_time ? 3 : -ETIMEDOUT);
	if (in_time) {
		EXPECT_EQ(0, memcmp(self->answer, "yes", 3));
	}
	EXPECT_EQ(0, kt_stat(self->server).queued_messages);
	/* nothing of it was written where that was forbidden: its id is there, and no call's */
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ | PROT_WRITE));
	self->call.id = ((struct kpost_call *)page)->id;
	EXPECT_NE(0, self->call.id);
	EXPECT_EQ(0, memcmp(page, &self->call, sizeof(self->call)));
	if (!variant->ring) {
		EXPECT_EQ(-ENOENT, kt_ioctl(self->client, KPOST_IOC_CALL, page));
	}
	if (!in_time) {
		EXPECT_EQ(-ECANCELED, kt_drop(self->server, self->recv.token));
	}
}

TEST_F(outcome, outcome_whose_memory_is_taken_away_is_lost_and_the_result_stands)
{
	take_away(_metadata, self, variant, PROT_NONE, true);
	take_away(_metadata, self, variant, PROT_READ, true);
	take_away(_metadata, self, variant, PROT_NONE, false);
	take_away(_metadata, self, variant, PROT_READ, false);
}

/* ---- at any moment ------------------------------------------------------------------------- */

enum { CALLERS = 3, SERVERS = 2, CALLS = 250 };

struct request {
	unsigned int id;
};

struct service {
	int fd;
	bool stop;
	uint64_t *received; /* the number of each request that was received, by its id */
};

static long serve(void *arg)
{
	struct service *service = arg;

	while (!__atomic_load_n(&service->stop, __ATOMIC_ACQUIRE)) {
		struct request request;
		struct kpost_recv recv;
		long ret = kt_recv(service->fd, &recv, &request, sizeof(request), 0, kt_in(50));

		if (ret == -ETIMEDOUT)
			continue;
		if (ret != sizeof(request) || service->received[request.id])
			return -EPROTO;
		service->received[request.id] = recv.sequence;
		/* some callers have left by then */
		if (request.id % 2)
			kt_pause();
		ret = kt_reply(service->fd, recv.token, NULL, 0);
		if (ret && ret != -ECANCELED)
			return ret;
	}
	return 0;
}

struct calls {
	int fd;
	bool ring;
	unsigned int first_id;
	struct kpost_call call[CALLS];
	long ret[CALLS];
};

/* with as much patience as it takes, or not quite: less after a reply, more after none */
static long call_often(void *arg)
{
	struct calls *calls = arg;
	uint64_t patience = KT_MS, end = kt_in(KT_SOON / 3);

	for (unsigned int i = 0; i < CALLS; i++) {
		struct request request = { calls->first_id + i };
		struct kpost_call *call = &calls->call[i];
		struct asking one = { calls->fd, calls->ring, call };

		/* enough for a slow machine: this is as if it had not got in */
		calls->ret[i] = -ETIMEDOUT;
		if (kt_now() > end)
			continue;
		*call = kt_call_args("ask", 3, NULL, 0, kt_soon());
		call->buf = (uintptr_t)&request;
		call->len = sizeof(request);
		call->deadline = kt_now() + patience;
		calls->ret[i] = ask(&one);
		if (calls->ret[i] == 0)
			patience = patience * 2 / 3 + 1000;
		else if (patience < 1000 * KT_MS)
			patience = patience * 3 / 2;
	}
	return 0;
}

TEST_F(outcome, outcome_says_received_if_and_only_if_it_was)
{
	static uint64_t received[CALLERS * CALLS];
	static struct calls calls[CALLERS];
	struct kt_job callers[CALLERS], servers[SERVERS];
	struct service services[SERVERS];
	unsigned int late = 0, in_time = 0;

	for (int i = 0; i < SERVERS; i++) {
		services[i] = (struct service){
			.fd = kt_open(self->name, KPOST_RIGHT_RECV, 0),
			.received = received,
		};
		ASSERT_LE(0, services[i].fd);
		kt_start_fn(&servers[i], serve, &services[i]);
	}
	for (int i = 0; i < CALLERS; i++) {
		calls[i].fd = self->client;
		calls[i].ring = variant->ring;
		calls[i].first_id = i * CALLS;
		kt_start_fn(&callers[i], call_often, &calls[i]);
	}
	for (int i = 0; i < CALLERS; i++) {
		ASSERT_TRUE(kt_join(&callers[i]));
	}
	for (int i = 0; i < SERVERS; i++) {
		__atomic_store_n(&services[i].stop, true, __ATOMIC_RELEASE);
		ASSERT_TRUE(kt_join(&servers[i]));
		EXPECT_EQ(0, servers[i].ret);
	}
	for (int i = 0; i < CALLERS * CALLS; i++) {
		const struct kpost_call *call = &calls[i / CALLS].call[i % CALLS];
		long ret = calls[i / CALLS].ret[i % CALLS];

		if (received[i]) {
			EXPECT_EQ(KPOST_MESSAGE_RECEIVED, call->message_flags) TH_LOG("%d", i);
			EXPECT_EQ(received[i], call->sequence) TH_LOG("%d", i);
			late += ret != 0;
			in_time += ret == 0;
		} else {
			EXPECT_EQ(0, call->message_flags) TH_LOG("%d", i);
			EXPECT_EQ(-ETIMEDOUT, ret);
		}
		EXPECT_EQ(ret ? 0 : getpid(), (pid_t)call->pid) TH_LOG("%d", i);
	}
	/* or it was tried for nothing */
	EXPECT_LT(0, in_time);
	EXPECT_LT(0, late);
}

TEST_HARNESS_MAIN
