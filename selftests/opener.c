// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who means a message: beside the real ids of who sent it come those of who opened the
 * endpoint, and KPOST_MESSAGE_MIXED_IDS wherever these are not all one.  The same goes
 * for who replied to a call.
 */
#include "child_test.h"
#include "uring_test.h"

enum { USER = 1000, OTHER = 1001, GROUP = 2000, STRANGERS = 2001, OVERFLOW_ID = 65534 };

FIXTURE(opener) {
	char name[KT_NAME_SIZE];
	int fd;			/* all rights, opened by root; anybody may open another */
	int socks[2];
	struct kpost_recv recv;
	char buf[64];
};

FIXTURE_SETUP(opener)
{
	struct kpost_open open;

	if (geteuid() != 0)
		SKIP(return, "changing one's identity needs root");
	umask(0);
	open = kt_open_args(kt_name(self->name), KT_ALL, KPOST_OPEN_CREATE);
	open.mode = 0666;
	self->fd = kt_do_open(&open);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->socks));
}

FIXTURE_TEARDOWN(opener)
{
	close(self->fd);
}

/* real and effective ids of who acts, and the effective ones of who opened */
struct ids {
	uid_t uid, euid, opener_uid;
	gid_t gid, egid, opener_gid;
};

static bool are_mixed(const struct ids *ids)
{
	return ids->uid != ids->opener_uid || ids->euid != ids->opener_uid ||
	       ids->gid != ids->opener_gid || ids->egid != ids->opener_gid;
}

enum { IDS = 6, ALL_IDS = 1 << IDS };

/* each bit of @which takes one of the ids from @that instead of @this */
static struct ids ids_of(unsigned int which, struct ids this, struct ids that)
{
	return (struct ids){
		.uid = which & 1 ? that.uid : this.uid,
		.euid = which & 2 ? that.euid : this.euid,
		.opener_uid = which & 4 ? that.opener_uid : this.opener_uid,
		.gid = which & 8 ? that.gid : this.gid,
		.egid = which & 16 ? that.egid : this.egid,
		.opener_gid = which & 32 ? that.opener_gid : this.opener_gid,
	};
}

static const struct ids user = { USER, USER, USER, GROUP, GROUP, GROUP };
static const struct ids others[] = {
	{ OTHER, OTHER, OTHER, STRANGERS, STRANGERS, STRANGERS },
	{ 0, 0, 0, 0, 0, 0 },
};

/* until root is oneself again; the saved ids are root's all the while */
static int become(uid_t uid, uid_t euid, gid_t gid, gid_t egid)
{
	if (setresuid(0, 0, 0) || setresgid(gid, egid, 0) || setresuid(uid, euid, 0))
		return -errno;
	return 0;
}

/* by the effective ids: the real ones are somebody's that is nowhere else */
static int open_as(const struct ids *ids, const char *name, unsigned int rights)
{
	int fd, err = become(7777, ids->opener_uid, 8888, ids->opener_gid);

	if (err)
		return err;
	fd = kt_open(name, rights, 0);
	return fd < 0 ? fd : become(0, 0, 0, 0) ?: fd;
}

/* ---- who sent ----------------------------------------------------------------- */

/* a child's message, which says what is to be told of it */
struct said {
	struct ids ids;
	uint32_t flags; /* further ones */
};

struct speaker {
	const char *name;
	struct ids other;
};

static int say_by_send(int fd, const struct said *said)
{
	return (int)kt_post(fd, said, sizeof(*said), 0);
}

static int say_by_write(int fd, const struct said *said)
{
	ssize_t len = write(fd, said, sizeof(*said));

	return len == sizeof(*said) ? 0 : -errno;
}

static int say_by_call(int fd, const struct said *said)
{
	return (int)kt_call(fd, said, sizeof(*said), NULL, 0, kt_soon());
}

static int speak_as_everybody(void *arg)
{
	static int (*const ways[])(int fd, const struct said *said) = { say_by_send, say_by_write,
									say_by_call };
	const struct speaker *speaker = arg;

	for (unsigned int which = 0; which < ALL_IDS; which++) {
		struct said said = { .ids = ids_of(which, user, speaker->other) };
		const struct ids *ids = &said.ids;
		int fd = open_as(ids, speaker->name, KPOST_RIGHT_SEND);

		CHECK(fd >= 0);
		for (size_t way = 0; way < ARRAY_SIZE(ways); way++) {
			said.flags = ways[way] == say_by_call ? KPOST_MESSAGE_CALL : 0;
			CHECK_EQ(0, become(ids->uid, ids->euid, ids->gid, ids->egid));
			CHECK_EQ(0, ways[way](fd, &said));
			CHECK_EQ(0, become(0, 0, 0, 0));
		}
		close(fd);
	}
	return 0;
}

/* that message, and whether it is told as it says */
static void hear(struct __test_metadata *_metadata, FIXTURE_DATA(opener) *self, pid_t pid)
{
	struct said said;
	struct ids *ids = &said.ids;

	ASSERT_EQ(sizeof(said), kt_recv(self->fd, &self->recv, &said, sizeof(said), 0, kt_soon()));
	if (self->recv.token) {
		ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, NULL, 0));
	}
	EXPECT_EQ(pid, (pid_t)self->recv.pid);
	EXPECT_EQ(ids->uid, self->recv.uid);
	EXPECT_EQ(ids->gid, self->recv.gid);
	EXPECT_EQ(ids->opener_uid, self->recv.opener_uid);
	EXPECT_EQ(ids->opener_gid, self->recv.opener_gid);
	EXPECT_EQ(said.flags | (are_mixed(ids) ? KPOST_MESSAGE_MIXED_IDS : 0),
		  self->recv.message_flags)
		TH_LOG("uid %u %u opener %u, gid %u %u opener %u", ids->uid, ids->euid,
		       ids->opener_uid, ids->gid, ids->egid, ids->opener_gid);
}

TEST_F(opener, opener_and_mixed_ids_are_told_of_every_combination)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct speaker speaker = { self->name, others[i] };
		pid_t pid = child_start(speak_as_everybody, &speaker);

		for (unsigned int n = 0; n < ALL_IDS * 3; n++)
			hear(_metadata, self, pid);
		EXPECT_EQ(0, child_finish(pid, 60));
	}
}

/*
 * The attack: open to send, and start a set-uid program with that as its output.  What it
 * writes is not root's, however much it is root's program that writes it.
 */
static int start_set_uid_program(void *arg)
{
	const char *name = arg;
	char program[] = "/tmp/kt.echo";
	int fd;

	/* where set-uid programs are such, and nobody else sees it */
	CHECK_EQ(0, unshare(CLONE_NEWNS));
	CHECK_EQ(0, mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_EQ(0, mount("none", "/tmp", "tmpfs", 0, "mode=777"));
	CHECK_EQ(0, system("cp /bin/echo /tmp/kt.echo"));
	CHECK_EQ(0, chmod(program, 06755));
	CHECK_EQ(0, child_become(USER, GROUP));
	fd = kt_open(name, KPOST_RIGHT_SEND, 0);
	CHECK(fd >= 0);
	CHECK_EQ(0, kt_post(fd, "myself", 6, 0));
	CHECK_EQ(1, dup2(fd, 1));
	execl(program, "echo", "-n", "root", NULL);
	return CHILD_FAILED;
}

TEST_F(opener, opener_of_what_a_set_uid_program_writes_is_who_started_it)
{
	pid_t pid = child_start(start_set_uid_program, self->name);

	ASSERT_EQ(6, kt_recv(self->fd, &self->recv, self->buf, 64, 0, kt_soon()));
	EXPECT_EQ(0, self->recv.message_flags);
	ASSERT_EQ(4, kt_recv(self->fd, &self->recv, self->buf, 64, 0, kt_soon()));
	EXPECT_EQ(0, memcmp("root", self->buf, 4));
	EXPECT_EQ(pid, (pid_t)self->recv.pid);
	EXPECT_EQ(USER, self->recv.uid);
	EXPECT_EQ(GROUP, self->recv.gid);
	EXPECT_EQ(USER, self->recv.opener_uid);
	EXPECT_EQ(GROUP, self->recv.opener_gid);
	EXPECT_EQ(KPOST_MESSAGE_MIXED_IDS, self->recv.message_flags);
	EXPECT_EQ(0, child_finish(pid, 20));
}

#define expect_told(want_pid, id, group, opener_id, opener_group, flags) do {	\
	EXPECT_EQ((want_pid), (pid_t)self->recv.pid);				\
	EXPECT_EQ((id), self->recv.uid);					\
	EXPECT_EQ((group), self->recv.gid);					\
	EXPECT_EQ((opener_id), self->recv.opener_uid);				\
	EXPECT_EQ((opener_group), self->recv.opener_gid);			\
	EXPECT_EQ((flags), self->recv.message_flags);				\
} while (0)

#define expect_message(text) do {						\
	ASSERT_EQ(strlen(text), kt_recv(self->fd, &self->recv, self->buf, 64, 0, kt_soon())); \
	ASSERT_EQ(0, memcmp(text, self->buf, strlen(text)));			\
} while (0)

static int pass_ones_own_and_use_anothers(void *arg)
{
	FIXTURE_DATA(opener) *self = arg;
	int fd;

	CHECK_EQ(0, child_become(USER, GROUP));
	fd = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	CHECK(fd >= 0);
	CHECK_EQ(0, kt_post(fd, "mine", 4, 0));
	CHECK_EQ(0, pass_fd(self->socks[1], fd));
	fd = take_fd(self->socks[1]);
	CHECK_EQ(0, kt_post(fd, "root's", 6, 0));
	return 0;
}

/* a daemon that is handed an endpoint, and a user that is handed the daemon's */
TEST_F(opener, opener_of_an_endpoint_that_was_passed_on_stays)
{
	pid_t pid = child_start(pass_ones_own_and_use_anothers, self);
	int theirs = take_fd(self->socks[0]);

	ASSERT_LE(0, theirs);
	expect_message("mine");
	expect_told(pid, USER, GROUP, USER, GROUP, 0);
	ASSERT_EQ(0, kt_post(theirs, "theirs", 6, 0));
	expect_message("theirs");
	expect_told(getpid(), 0, 0, USER, GROUP, KPOST_MESSAGE_MIXED_IDS);
	ASSERT_EQ(6, write(theirs, "theirs", 6));
	expect_message("theirs");
	expect_told(getpid(), 0, 0, USER, GROUP, KPOST_MESSAGE_MIXED_IDS);
	/* whoever opened it has gone, and is told of all the same */
	ASSERT_EQ(0, pass_fd(self->socks[0], self->fd));
	expect_message("root's");
	expect_told(pid, USER, GROUP, 0, 0, KPOST_MESSAGE_MIXED_IDS);
	EXPECT_EQ(0, child_finish(pid, 20));
	ASSERT_EQ(0, kt_post(theirs, "theirs", 6, 0));
	expect_message("theirs");
	expect_told(getpid(), 0, 0, USER, GROUP, KPOST_MESSAGE_MIXED_IDS);
}

/* what is told is as of opening and of sending, whatever comes between and after */
static int change_after_opening(void *arg)
{
	FIXTURE_DATA(opener) *self = arg;
	struct kpost_open pair = kt_open_args(NULL, KPOST_RIGHT_RECV,
					      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
	int fd;

	CHECK_EQ(0, become(USER, USER, GROUP, GROUP));
	fd = kt_do_open(&pair);
	CHECK(fd >= 0);
	CHECK_EQ(0, kt_post(pair.send_fd, "before", 6, 0));
	CHECK_EQ(0, become(OTHER, OTHER, STRANGERS, STRANGERS));
	CHECK_EQ(0, kt_post(pair.send_fd, "after", 5, 0));
	CHECK_EQ(6, kt_take(fd, &self->recv, self->buf, 64));
	CHECK_EQ(0, self->recv.message_flags);
	CHECK_EQ(USER, self->recv.opener_uid);
	CHECK_EQ(5, kt_take(fd, &self->recv, self->buf, 64));
	CHECK_EQ(KPOST_MESSAGE_MIXED_IDS, self->recv.message_flags);
	CHECK_EQ(OTHER, self->recv.uid);
	CHECK_EQ(USER, self->recv.opener_uid);
	CHECK_EQ(GROUP, self->recv.opener_gid);
	return 0;
}

TEST_F(opener, opener_of_a_pair_is_who_made_it_whoever_it_becomes)
{
	EXPECT_EQ(0, child_run(change_after_opening, self));
}

/* ---- through io_uring ------------------------------------------------------------ */

static int send_with_personality(void *arg)
{
	static const unsigned int ways[] = { 0, IOSQE_ASYNC };
	FIXTURE_DATA(opener) *self = arg;
	struct kpost_send send = kt_send_args("send", 4, 0, 0, 0);
	int fd = open_as(&user, self->name, KPOST_RIGHT_SEND), id;
	struct io_uring_sqe *sqe;
	struct io_uring ring;

	CHECK(fd >= 0);
	CHECK_EQ(0, uring_init(&ring, 4, 0));
	CHECK_EQ(0, become(USER, USER, GROUP, GROUP));
	id = io_uring_register_personality(&ring);
	CHECK(id > 0);
	CHECK_EQ(0, become(0, 0, 0, 0));
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		/* as that user, as oneself, and as that user by write */
		sqe = uring_op(&ring, fd, KPOST_IOC_SEND, &send, 1);
		sqe->flags |= ways[i];
		sqe->personality = (unsigned short)id;
		CHECK_EQ(0, uring_run(&ring));
		sqe = uring_op(&ring, fd, KPOST_IOC_SEND, &send, 1);
		sqe->flags |= ways[i];
		CHECK_EQ(0, uring_run(&ring));
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_write(sqe, fd, "write", 5, 0);
		sqe->flags |= ways[i];
		sqe->personality = (unsigned short)id;
		CHECK_EQ(5, uring_run(&ring));
		/* and as that user through root's endpoint */
		sqe = uring_op(&ring, self->fd, KPOST_IOC_SEND, &send, 1);
		sqe->flags |= ways[i];
		sqe->personality = (unsigned short)id;
		CHECK_EQ(0, uring_run(&ring));
	}
	return 0;
}

TEST_F(opener, opener_and_personality_of_a_ring_are_told)
{
	pid_t pid = child_start(send_with_personality, self);

	for (int async = 0; async < 2; async++) {
		expect_message("send");
		expect_told(pid, USER, GROUP, USER, GROUP, 0);
		expect_message("send");
		expect_told(pid, 0, 0, USER, GROUP, KPOST_MESSAGE_MIXED_IDS);
		expect_message("write");
		expect_told(pid, USER, GROUP, USER, GROUP, 0);
		expect_message("send");
		expect_told(pid, USER, GROUP, 0, 0, KPOST_MESSAGE_MIXED_IDS);
	}
	EXPECT_EQ(0, child_finish(pid, 20));
}

/* a ring, and its worker, that are root's; then its owner is somebody else */
static int send_from_an_older_ring(void *arg)
{
	FIXTURE_DATA(opener) *self = arg;
	struct kpost_send send = kt_send_args("send", 4, 0, 0, 0);
	struct io_uring ring;

	CHECK_EQ(0, uring_init(&ring, 4, 0));
	uring_op(&ring, self->fd, KPOST_IOC_SEND, &send, 1)->flags |= IOSQE_ASYNC;
	CHECK_EQ(0, uring_run(&ring));
	CHECK_EQ(0, become(USER, 0, GROUP, 0));
	uring_op(&ring, self->fd, KPOST_IOC_SEND, &send, 1)->flags |= IOSQE_ASYNC;
	CHECK_EQ(0, uring_run(&ring));
	CHECK_EQ(0, become(0, USER, 0, GROUP));
	uring_op(&ring, self->fd, KPOST_IOC_SEND, &send, 1)->flags |= IOSQE_ASYNC;
	CHECK_EQ(0, uring_run(&ring));
	return 0;
}

TEST_F(opener, opener_and_submitter_are_told_of_what_a_worker_sends)
{
	pid_t pid = child_start(send_from_an_older_ring, self);

	expect_message("send");
	expect_told(pid, 0, 0, 0, 0, 0);
	expect_message("send");
	expect_told(pid, USER, GROUP, 0, 0, KPOST_MESSAGE_MIXED_IDS);
	expect_message("send");
	expect_told(pid, 0, 0, 0, 0, KPOST_MESSAGE_MIXED_IDS);
	EXPECT_EQ(0, child_finish(pid, 20));
}

/* ---- in the receiver's terms ------------------------------------------------------- */

static int receive_in_user_namespace(void *arg)
{
	FIXTURE_DATA(opener) *self = arg;

	CHECK_EQ(0, child_become(USER, GROUP));
	prctl(PR_SET_DUMPABLE, 1); /* or its /proc files are root's */
	CHECK_EQ(0, child_unshare_user(7, 8));
	/* root, who has no name here, through the endpoint of who has one */
	CHECK_EQ(1, kt_recv(self->fd, &self->recv, self->buf, 64, 0, kt_soon()));
	CHECK_EQ(OVERFLOW_ID, self->recv.uid);
	CHECK_EQ(OVERFLOW_ID, self->recv.gid);
	CHECK_EQ(7, self->recv.opener_uid);
	CHECK_EQ(8, self->recv.opener_gid);
	CHECK_EQ(KPOST_MESSAGE_MIXED_IDS, self->recv.message_flags);
	/* the other way round */
	CHECK_EQ(0, kt_post(self->fd, "own", 3, 1));
	CHECK_EQ(3, kt_recv(self->fd, &self->recv, self->buf, 64, 0, kt_soon()));
	CHECK_EQ(7, self->recv.uid);
	CHECK_EQ(8, self->recv.gid);
	CHECK_EQ(OVERFLOW_ID, self->recv.opener_uid);
	CHECK_EQ(OVERFLOW_ID, self->recv.opener_gid);
	CHECK_EQ(KPOST_MESSAGE_MIXED_IDS, self->recv.message_flags);
	/* two that have no name here look the same, and are not */
	CHECK_EQ(2, kt_recv(self->fd, &self->recv, self->buf, 64, 0, kt_soon()));
	CHECK_EQ(OVERFLOW_ID, self->recv.uid);
	CHECK_EQ(OVERFLOW_ID, self->recv.opener_uid);
	CHECK_EQ(KPOST_MESSAGE_MIXED_IDS, self->recv.message_flags);
	/* while these are one, whatever it is called */
	CHECK_EQ(4, kt_recv(self->fd, &self->recv, self->buf, 64, 0, kt_soon()));
	CHECK_EQ(OVERFLOW_ID, self->recv.uid);
	CHECK_EQ(OVERFLOW_ID, self->recv.opener_uid);
	CHECK_EQ(0, self->recv.message_flags);
	return 0;
}

TEST_F(opener, opener_is_told_in_the_receivers_user_namespace_or_overflows)
{
	int theirs = open_as(&user, self->name, KPOST_RIGHT_SEND);
	int others_own = open_as(&others[0], self->name, KPOST_RIGHT_SEND);

	ASSERT_LE(0, theirs);
	ASSERT_LE(0, others_own);
	ASSERT_EQ(0, kt_post(theirs, "1", 1, 2));
	ASSERT_EQ(0, kt_post(others_own, "22", 2, 0));
	ASSERT_EQ(0, kt_post(self->fd, "4444", 4, 0));
	EXPECT_EQ(0, child_run(receive_in_user_namespace, self));
}

/* ---- who replied ------------------------------------------------------------------ */

enum { REPLY, REPLY_RECV, DROP, WAYS };

static int answer_by(int fd, uint64_t token, int way)
{
	struct kpost_reply reply = { .token = token };
	struct kpost_recv recv = kt_recv_args(NULL, 0, KPOST_DONTWAIT, 0);
	long ret;

	switch (way) {
	case REPLY:
		return (int)kt_reply(fd, token, "yes", 3);
	case DROP:
		return (int)kt_drop(fd, token);
	}
	reply.buf = (uintptr_t)"yes";
	reply.len = 3;
	/* the next request, if it is there, stays there for want of room */
	ret = kt_reply_recv(fd, &reply, &recv);
	return ret == -EAGAIN || ret == -EMSGSIZE ? (int)reply.token : (int)ret;
}

static int answer_as_everybody(void *arg)
{
	const struct speaker *speaker = arg;

	for (unsigned int which = 0; which < ALL_IDS; which++) {
		struct ids ids = ids_of(which, user, speaker->other);
		int fd = open_as(&ids, speaker->name, KPOST_RIGHT_RECV);
		struct kpost_recv recv;
		char buf[4];

		CHECK(fd >= 0);
		for (int way = 0; way < WAYS; way++) {
			CHECK_EQ(3, kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon()));
			CHECK_EQ(0, become(ids.uid, ids.euid, ids.gid, ids.egid));
			CHECK_EQ(0, answer_by(fd, recv.token, way));
			CHECK_EQ(0, become(0, 0, 0, 0));
		}
		close(fd);
	}
	return 0;
}

/* a call, what is to be told poisoned before */
static long ask(int fd, struct kpost_call *call)
{
	static char answer[16];

	*call = kt_call_args("ask", 3, answer, sizeof(answer), kt_soon());
	return kt_ioctl(fd, KPOST_IOC_CALL, call);
}

TEST_F(opener, opener_and_mixed_ids_of_who_replied_are_told_of_every_combination)
{
	struct kpost_call call;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct speaker speaker = { self->name, others[i] };
		pid_t pid = child_start(answer_as_everybody, &speaker);

		for (unsigned int n = 0; n < ALL_IDS * WAYS; n++) {
			struct ids ids = ids_of(n / WAYS, user, others[i]);

			ASSERT_EQ(n % WAYS == DROP ? -ECONNRESET : 3, ask(self->fd, &call));
			EXPECT_EQ(pid, (pid_t)call.pid);
			EXPECT_EQ(ids.uid, call.uid);
			EXPECT_EQ(ids.gid, call.gid);
			EXPECT_EQ(ids.opener_uid, call.opener_uid);
			EXPECT_EQ(ids.opener_gid, call.opener_gid);
			EXPECT_EQ(KPOST_MESSAGE_RECEIVED |
				  (are_mixed(&ids) ? KPOST_MESSAGE_MIXED_IDS : 0),
				  call.message_flags)
				TH_LOG("uid %u %u opener %u, gid %u %u opener %u", ids.uid,
				       ids.euid, ids.opener_uid, ids.gid, ids.egid,
				       ids.opener_gid);
		}
		EXPECT_EQ(0, child_finish(pid, 60));
	}
}

struct asker {
	int fd;
	struct kpost_call call;
};

static long ask_in_thread(void *arg)
{
	struct asker *asker = arg;

	return ask(asker->fd, &asker->call);
}

static int answer_what_root_received(void *arg)
{
	FIXTURE_DATA(opener) *self = arg;

	CHECK_EQ(0, child_become(USER, GROUP));
	CHECK_EQ(0, kt_reply(self->fd, self->recv.token, "yes", 3));
	return 0;
}

/* not who received the request: that is root here, in another process */
TEST_F(opener, opener_and_replier_are_told_and_not_who_received)
{
	struct asker asker = { .fd = self->fd };
	struct kt_job job;
	pid_t pid;

	kt_start_fn(&job, ask_in_thread, &asker);
	expect_message("ask");
	pid = child_start(answer_what_root_received, self);
	ASSERT_EQ(0, child_finish(pid, 20));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, job.ret);
	EXPECT_EQ(pid, (pid_t)asker.call.pid);
	EXPECT_EQ(USER, asker.call.uid);
	EXPECT_EQ(GROUP, asker.call.gid);
	EXPECT_EQ(0, asker.call.opener_uid);
	EXPECT_EQ(0, asker.call.opener_gid);
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED | KPOST_MESSAGE_MIXED_IDS, asker.call.message_flags);
}

static int reply_with_personality(void *arg)
{
	FIXTURE_DATA(opener) *self = arg;
	struct kpost_reply reply = { .token = self->recv.token };
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int id;

	CHECK_EQ(0, uring_init(&ring, 4, 0));
	CHECK_EQ(0, become(USER, USER, GROUP, GROUP));
	id = io_uring_register_personality(&ring);
	CHECK(id > 0);
	CHECK_EQ(0, become(0, 0, 0, 0));
	sqe = uring_op(&ring, self->fd, KPOST_IOC_REPLY, &reply, 1);
	sqe->personality = (unsigned short)id;
	sqe->flags |= IOSQE_ASYNC;
	CHECK_EQ(0, uring_run(&ring));
	return 0;
}

TEST_F(opener, opener_and_personality_of_a_replying_ring_are_told)
{
	struct asker asker = { .fd = self->fd };
	struct kt_job job;
	pid_t pid;

	kt_start_fn(&job, ask_in_thread, &asker);
	expect_message("ask");
	pid = child_start(reply_with_personality, self);
	ASSERT_EQ(0, child_finish(pid, 20));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(pid, (pid_t)asker.call.pid);
	EXPECT_EQ(USER, asker.call.uid);
	EXPECT_EQ(GROUP, asker.call.gid);
	EXPECT_EQ(0, asker.call.opener_uid);
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED | KPOST_MESSAGE_MIXED_IDS, asker.call.message_flags);
}

static int ask_in_namespaces(void *arg)
{
	FIXTURE_DATA(opener) *self = arg;
	struct kpost_call call;

	CHECK_EQ(1, getpid());
	/* root answers, from outside, through the endpoint of who has a name here */
	CHECK_EQ(3, ask(self->fd, &call));
	CHECK_EQ(0, call.pid);
	CHECK_EQ(OVERFLOW_ID, call.uid);
	CHECK_EQ(OVERFLOW_ID, call.gid);
	CHECK_EQ(7, call.opener_uid);
	CHECK_EQ(8, call.opener_gid);
	CHECK_EQ(KPOST_MESSAGE_RECEIVED | KPOST_MESSAGE_MIXED_IDS, call.message_flags);
	/* and through its own */
	CHECK_EQ(3, ask(self->fd, &call));
	CHECK_EQ(OVERFLOW_ID, call.uid);
	CHECK_EQ(OVERFLOW_ID, call.opener_uid);
	CHECK_EQ(KPOST_MESSAGE_RECEIVED, call.message_flags);
	return 0;
}

static int enter_namespaces(void *arg)
{
	pid_t pid;

	CHECK_EQ(0, child_become(USER, GROUP));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(7, 8));
	CHECK_EQ(0, unshare(CLONE_NEWPID));
	pid = fork(); /* as its own init it sees no parent to die with */
	if (pid == 0)
		_exit(ask_in_namespaces(arg));
	return child_finish(pid, 20);
}

TEST_F(opener, opener_and_replier_are_told_in_the_callers_namespaces)
{
	int theirs = open_as(&user, self->name, KPOST_RIGHT_RECV), fds[2] = { theirs, self->fd };
	pid_t pid;

	ASSERT_LE(0, theirs);
	pid = child_start(enter_namespaces, self);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		ASSERT_EQ(3, kt_recv(fds[i], &self->recv, self->buf, 64, 0, kt_soon()));
		EXPECT_EQ(0, kt_reply(fds[i], self->recv.token, "yes", 3));
	}
	EXPECT_EQ(0, child_finish(pid, 20));
}

TEST_HARNESS_MAIN
