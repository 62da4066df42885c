// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page fault that is never answered holds up its own caller only: others go on
 * within 100 ms, and the one that is stuck dies of SIGKILL within a second.
 *
 * userfaultfd(2) makes such pages: who touches one waits until it is filled in.
 */
#include <linux/userfaultfd.h>
#include "fs_test.h"
#include "submit_test.h"

FIXTURE(stall) {
	int uffd;
	char *page;		/* whoever touches it waits */
	char *before;		/* a page that is there, right before it */
	int fd;
	struct kt_job job;
	struct kt_job caller;
	struct kpost_call call;
	char answer[16];
	char buf[64];
};

static int make_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api))
		return -errno;
	return fd;
}

FIXTURE_SETUP(stall)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	size_t size = kt_page_size();

	self->uffd = make_uffd();
	if (self->uffd < 0)
		SKIP(return, "the kernel gives no userfaultfd here (CONFIG_USERFAULTFD): %s",
		     strerror(-self->uffd));
	self->before = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	ASSERT_NE(MAP_FAILED, self->before);
	self->page = self->before + size;
	kt_poison(self->before, size);
	reg.range.start = (uintptr_t)self->page;
	reg.range.len = size;
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &reg));
	self->fd = kt_mailbox(4, 4096, 512);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(stall)
{
	if (self->uffd < 0)
		return;
	close(self->uffd);	/* lets go whoever is still stuck */
	close(self->fd);
}

/* somebody is stuck on the page */
static bool is_stuck(int uffd)
{
	struct pollfd pfd = { .fd = uffd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* fill the page in with zeroes or with @content, which lets everybody go on */
static long release(int uffd, char *page, const void *content)
{
	static char fill[65536] __attribute__((aligned(65536)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)page,
		.src = (uintptr_t)fill,
		.len = kt_page_size(),
	};

	memset(fill, 0, kt_page_size());
	if (content)
		memcpy(fill, content, 64);
	return ioctl(uffd, UFFDIO_COPY, &copy) ? -errno : 0;
}

/*
 * The fastest of some tries of what others do meanwhile, in ms: one slow try is the
 * machine's business, but one that hangs never ends.
 */
#define fastest_of_five(what) ({						\
	uint64_t kt_best = UINT64_MAX;						\
										\
	for (int kt_try = 0; kt_try < 5; kt_try++) {				\
		uint64_t kt_start_at = kt_now();				\
										\
		what;								\
		if (kt_now() - kt_start_at < kt_best)				\
			kt_best = kt_now() - kt_start_at;			\
	}									\
	kt_best / KT_MS;							\
})

/* send, receive, call, look, change: all that others may want of the mailbox */
static long answer_one(void *arg)
{
	int fd = *(int *)arg;
	struct kpost_recv recv;
	char buf[64];
	long ret = kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon());

	return ret < 0 ? ret : kt_reply(fd, recv.token, "yes", 3);
}

static void use_mailbox(struct __test_metadata *_metadata, int fd)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MODE, .mode = 0600 };
	struct kt_job server;
	char buf[64];
	int other;

	ASSERT_EQ(0, kt_post(fd, "hello", 5, 7));
	ASSERT_EQ(5, kt_take(fd, NULL, buf, sizeof(buf)));
	ASSERT_EQ(0, memcmp(buf, "hello", 5));
	kt_start_fn(&server, answer_one, &fd);
	ASSERT_EQ(3, kt_call(fd, "ask", 3, buf, sizeof(buf), kt_soon()));
	ASSERT_TRUE(kt_join(&server));
	ASSERT_EQ(0, server.ret);
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
	other = kt_mailbox(4, 0, 0);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, kt_post(other, "hello", 5, 0));
	ASSERT_EQ(5, kt_take(other, NULL, buf, sizeof(buf)));
	ASSERT_EQ(0, close(other));
}

TEST_F(stall, no_stall_by_a_sender_whose_payload_faults)
{
	struct kpost_send send = kt_send_args(self->page - 4, 8, 0, 0, kt_soon());
	struct kpost_stat before = kt_stat(self->fd);

	kt_start(&self->job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	/* it has taken no place, and no number */
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fd)));
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, self->fd)));
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, kt_post(self->fd, "full", 4, 0));
	}
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(4, kt_take(self->fd, NULL, self->buf, 64));
	}
	EXPECT_FALSE(kt_done(&self->job));
	ASSERT_EQ(0, release(self->uffd, self->page, "late"));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
	ASSERT_EQ(8, kt_take(self->fd, NULL, self->buf, 64));
	EXPECT_EQ(0, memcmp(self->buf + 4, "late", 4));
}

TEST_F(stall, no_stall_by_a_sender_whose_struct_faults)
{
	struct kpost_stat before = kt_stat(self->fd);

	kt_start(&self->job, self->fd, KPOST_IOC_SEND, self->page - 8);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fd)));
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, self->fd)));
	/* its flags and priority were poison */
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-EINVAL, self->job.ret);
}

TEST_F(stall, no_stall_by_a_sender_whose_list_of_pieces_faults)
{
	struct kpost_iovec first = { (uintptr_t)"piece", 5 };
	struct kpost_send send = kt_send_args(self->page - sizeof(first), 2, 0, KPOST_IOVEC,
					      kt_soon());

	memcpy(self->page - sizeof(first), &first, sizeof(first));
	kt_start(&self->job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, self->fd)));
	/* what was read of the list already is not read again */
	*(struct kpost_iovec *)(self->page - sizeof(first)) =
		(struct kpost_iovec){ (uintptr_t)"wrong", 5 };
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
	EXPECT_EQ(5, kt_take(self->fd, NULL, self->buf, 64));
	EXPECT_EQ(0, memcmp(self->buf, "piece", 5));
}

/* it holds nothing: what it would have got is there, in its place, for whoever comes */
static void expect_next_message(struct __test_metadata *_metadata, FIXTURE_DATA(stall) *self,
				uint64_t sequence)
{
	struct kpost_recv recv;

	EXPECT_EQ(2, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(20, kt_stat(self->fd).queued_bytes);
	EXPECT_EQ(1, poll(&(struct pollfd){ self->fd, POLLIN, 0 }, 1, 0));
	ASSERT_EQ(10, kt_take(self->fd, &recv, self->buf, 64));
	EXPECT_EQ(0, memcmp(self->buf, "receive me", 10));
	EXPECT_EQ(sequence, recv.sequence);
	EXPECT_EQ(10, kt_stat(self->fd).queued_bytes);
}

TEST_F(stall, no_stall_by_a_receiver_whose_buffer_faults)
{
	struct kpost_recv recv = kt_recv_args(self->page - 4, 64, 0, kt_soon());

	ASSERT_EQ(0, kt_post(self->fd, "receive me", 10, 9));
	ASSERT_EQ(0, kt_post(self->fd, "or receive", 10, 9));
	kt_start(&self->job, self->fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	EXPECT_GT(100, fastest_of_five(kt_stat(self->fd)));
	expect_next_message(_metadata, self, 1);
	ASSERT_EQ(10, kt_take(self->fd, NULL, self->buf, 64));
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, self->fd)));
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, kt_post(self->fd, "x", 1, 0));
	}
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, 64));
	}
	EXPECT_FALSE(kt_done(&self->job));
	/* and when it can go on, it waits like any other */
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(self->fd, "then me", 7, 0));
	ASSERT_TRUE(kt_join(&self->job));
	ASSERT_EQ(7, self->job.ret);
	EXPECT_EQ(0, memcmp(self->page - 4, "then me", 7));
}

/* nobody else wanted it */
TEST_F(stall, no_stall_of_a_receiver_past_its_fault)
{
	struct kpost_recv recv = kt_recv_args(self->page - 4, 64, KPOST_DONTWAIT, 0);

	ASSERT_EQ(0, kt_post(self->fd, "receive me", 10, 9));
	kt_start(&self->job, self->fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	ASSERT_EQ(0, kt_post(self->fd, "the next", 8, 9));
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	ASSERT_EQ(10, self->job.ret);
	EXPECT_EQ(1, recv.sequence);
	EXPECT_EQ(0, memcmp(self->page - 4, "receive me", 10));
	EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
}

/* what the kernel says of the message cannot be written: its memory went while it waited */
TEST_F(stall, no_stall_by_a_receiver_whose_struct_faults)
{
	struct kpost_recv *recv = (void *)(self->page - 32);	/* the in-fields stay there */

	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	*recv = kt_recv_args(self->buf, 64, 0, kt_soon());
	kt_start(&self->job, self->fd, KPOST_IOC_RECV, recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, madvise(self->page, kt_page_size(), MADV_DONTNEED));
	ASSERT_EQ(0, kt_post(self->fd, "receive me", 10, 9));
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	ASSERT_EQ(0, kt_post(self->fd, "or receive", 10, 9));
	expect_next_message(_metadata, self, 1);
	ASSERT_EQ(10, kt_take(self->fd, NULL, self->buf, 64));
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, self->fd)));
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(self->fd, "then me", 7, 8));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(7, self->job.ret);
	EXPECT_EQ(7, recv->size);
	EXPECT_EQ(8, recv->priority);
	EXPECT_EQ(0, memcmp(self->buf, "then me", 7));
}

/* it looks at its memory before it stands in line, and so is not in anybody's way there */
TEST_F(stall, no_stall_of_those_in_line_by_a_receiver_that_faults)
{
	struct kpost_recv stuck = kt_recv_args(self->page - 4, 64, 0, kt_soon());
	struct kpost_recv next = kt_recv_args(self->buf, 64, 0, kt_soon());
	struct kt_job job;

	kt_start(&self->job, self->fd, KPOST_IOC_RECV, &stuck);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	kt_start(&job, self->fd, KPOST_IOC_RECV, &next);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(self->fd, "receive me", 10, 0));
	ASSERT_TRUE(kt_join(&job)) TH_LOG("it was given to one that is stuck");
	EXPECT_EQ(10, job.ret);
	EXPECT_EQ(1, next.sequence);
	EXPECT_FALSE(kt_done(&self->job));
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_EQ(0, kt_post(self->fd, "then me", 7, 0));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(7, self->job.ret);
}

static long stat_into(void *arg)
{
	FIXTURE_DATA(stall) *self = arg;

	return kt_ioctl(self->fd, KPOST_IOC_STAT, self->page - 8);
}

TEST_F(stall, no_stall_by_one_who_looks)
{
	kt_start_fn(&self->job, stat_into, self);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, self->fd)));
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
}

static void use_names(struct __test_metadata *_metadata)
{
	char name[KT_NAME_SIZE];
	int fd = kt_create(kt_name(name), KT_ALL), again;

	ASSERT_LE(0, fd);
	again = kt_open(name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, again);
	ASSERT_EQ(0, kt_unlink(name));
	close(again);
	close(fd);
}

TEST_F(stall, no_stall_by_one_who_lists)
{
	struct kpost_list list = {
		.buf = (uintptr_t)self->page,
		.count = 8,
		.entry_size = sizeof(struct kpost_stat),
	};
	char name[KT_NAME_SIZE];
	int fd = kt_create(kt_name(name), KT_ALL);

	ASSERT_LE(0, fd);
	kt_start(&self->job, kt_device(), KPOST_IOC_LIST, &list);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	EXPECT_GT(100, fastest_of_five(use_names(_metadata)));
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, fd)));
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_LE(1, self->job.ret);
}

static long read_proc_into(void *arg)
{
	int fd = open("/proc/net/kpost", O_RDONLY | O_CLOEXEC);
	long len = read(fd, arg, 4096);

	close(fd);
	return len;
}

TEST_F(stall, no_stall_by_one_who_reads_proc)
{
	char name[KT_NAME_SIZE], text[4096];
	int fd = kt_create(kt_name(name), KT_ALL);

	ASSERT_LE(0, fd);
	kt_start_fn(&self->job, read_proc_into, self->page);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	EXPECT_GT(100, fastest_of_five(use_names(_metadata)));
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, fd)));
	ASSERT_LT(0, read_proc_into(text)) TH_LOG("another who reads");
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_LT(0, self->job.ret);
}

static long reply_from(void *arg)
{
	FIXTURE_DATA(stall) *self = arg;
	uint64_t token;

	memcpy(&token, self->buf, sizeof(token));
	return kt_reply(self->fd, token, self->page, 8);
}

/* there is a call to reply to, which waits until @deadline */
static void get_called(struct __test_metadata *_metadata, FIXTURE_DATA(stall) *self,
		       struct kpost_recv *recv, uint64_t deadline)
{
	self->call = kt_call_args("ask", 3, self->answer, sizeof(self->answer), deadline);
	kt_start(&self->caller, self->fd, KPOST_IOC_CALL, &self->call);
	ASSERT_EQ(3, kt_recv(self->fd, recv, self->buf, 64, 0, kt_soon()));
}

/* @recv is of the call that it is stuck in a reply to */
static void get_stuck_replying(struct __test_metadata *_metadata, FIXTURE_DATA(stall) *self,
			       struct kpost_recv *recv)
{
	memcpy(self->buf, &recv->token, sizeof(recv->token));
	kt_start_fn(&self->job, reply_from, self);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
}

TEST_F(stall, no_stall_by_a_replier_whose_payload_faults)
{
	struct kpost_recv recv;

	get_called(_metadata, self, &recv, kt_soon());
	get_stuck_replying(_metadata, self, &recv);
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, self->fd)));
	EXPECT_FALSE(kt_done(&self->caller));
	ASSERT_EQ(0, release(self->uffd, self->page, "answered"));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
	ASSERT_TRUE(kt_join(&self->caller));
	EXPECT_EQ(8, self->caller.ret);
	EXPECT_EQ(0, memcmp(self->answer, "answered", 8));
	EXPECT_EQ(-ENOENT, kt_reply(self->fd, recv.token, "mine", 4));
}

/* another replies meanwhile, and then it is too late for the one that is stuck */
static void reply_instead(struct __test_metadata *_metadata, FIXTURE_DATA(stall) *self,
			  uint64_t token)
{
	EXPECT_EQ(0, kt_reply(self->fd, token, "mine", 4));
	ASSERT_TRUE(kt_join(&self->caller));
	EXPECT_EQ(4, self->caller.ret);
	EXPECT_EQ(0, memcmp(self->answer, "mine", 4));
	EXPECT_FALSE(kt_done(&self->job));
	ASSERT_EQ(0, release(self->uffd, self->page, "answered"));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-ENOENT, self->job.ret);
	EXPECT_EQ(0, memcmp(self->answer, "mine", 4));
}

TEST_F(stall, no_stall_of_a_replier_by_another)
{
	struct kpost_recv recv;

	get_called(_metadata, self, &recv, kt_soon());
	get_stuck_replying(_metadata, self, &recv);
	reply_instead(_metadata, self, recv.token);
}

static long reply_and_receive(void *arg)
{
	FIXTURE_DATA(stall) *self = arg;
	struct kpost_recv recv = { .flags = KPOST_DONTWAIT };

	return kt_reply_recv(self->fd, (void *)self->buf, &recv);
}

/* its token was not used up, and is as it was */
TEST_F(stall, no_stall_of_a_replier_costs_no_byte_of_its_token)
{
	struct kpost_reply *reply = (void *)self->buf;
	struct kpost_recv recv;

	do /* whose least byte is not zero anyway */
		get_called(_metadata, self, &recv, kt_soon());
	while (!(recv.token & 0xff) && !kt_drop(self->fd, recv.token) && kt_join(&self->caller));
	*reply = (struct kpost_reply){
		.token = recv.token, .buf = (uintptr_t)self->page, .len = 8,
	};
	kt_start_fn(&self->job, reply_and_receive, self);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	reply_instead(_metadata, self, recv.token);
	EXPECT_EQ(recv.token, reply->token);
}

/* its caller can leave meanwhile, by its deadline */
/* of two replies the one that came first cannot be stored yet: by then it is its collector's */
TEST_F(stall, no_stall_of_others_by_one_who_collects)
{
	struct kpost_call_collect first =
		kt_collect_args(self->page, kt_page_size(), 0, KPOST_DONTWAIT, 0), next;
	struct kpost_recv recv;
	struct kt_job job;
	uint64_t ids[2];

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, kt_submit(self->fd, "ask", 3, 64, i, &ids[i]));
		ASSERT_EQ(3, kt_take(self->fd, &recv, self->buf, sizeof(self->buf)));
		ASSERT_EQ(0, kt_reply(self->fd, recv.token, "yes", 3));
	}
	kt_start(&job, self->fd, KPOST_IOC_CALL_COLLECT, &first);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	EXPECT_EQ(-EBUSY, kt_collect(self->fd, NULL, self->buf, 64, ids[0]));
	EXPECT_EQ(3, kt_collect(self->fd, &next, self->buf, 64, 0));
	EXPECT_EQ(1, next.user_data);
	EXPECT_EQ(0, kt_ready(self->fd, POLLPRI));
	EXPECT_EQ(-EAGAIN, kt_collect(self->fd, NULL, self->buf, 64, 0));
	use_mailbox(_metadata, self->fd);
	/* who has it in hand is not to lose it */
	EXPECT_EQ(-EBUSY, kt_cancel(self->fd, ids[0]));
	EXPECT_EQ(0, kt_cancel(self->fd, 0));
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, job.ret);
	EXPECT_EQ(-ENOENT, kt_cancel(self->fd, ids[0]));
	EXPECT_EQ(0, kt_sending_used());
}

TEST_F(stall, no_stall_of_a_caller_by_its_replier)
{
	struct kpost_recv recv;

	get_called(_metadata, self, &recv, kt_later());
	get_stuck_replying(_metadata, self, &recv);
	ASSERT_TRUE(kt_join(&self->caller));
	EXPECT_EQ(-ETIMEDOUT, self->caller.ret);
	EXPECT_LT(self->caller.ended - self->call.deadline, 1000 * KT_MS);
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-ECANCELED, self->job.ret);
	EXPECT_EQ(-ENOENT, kt_reply(self->fd, recv.token, "mine", 4));
	EXPECT_EQ(0, kt_stat(self->fd).open_calls);
}

/* the caller's own buffer is gone when the reply comes: the replier does not care */
TEST_F(stall, no_stall_of_a_replier_by_its_caller)
{
	struct kpost_call call = kt_call_args("ask", 3, self->page, 16, kt_soon());
	struct kpost_recv recv;

	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	kt_start(&self->job, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->fd, &recv, self->buf, 64, 0, kt_soon()));
	ASSERT_EQ(0, madvise(self->page, kt_page_size(), MADV_DONTNEED));
	uint64_t start = kt_now();

	ASSERT_EQ(0, kt_reply(self->fd, recv.token, "yes", 3));
	EXPECT_LT(kt_now() - start, 1000 * KT_MS);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	EXPECT_GT(100, fastest_of_five(use_mailbox(_metadata, self->fd)));
	EXPECT_FALSE(kt_done(&self->job));
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(3, self->job.ret);
	EXPECT_EQ(0, memcmp(self->page, "yes", 3));
}

/* a child that closes @sender and touches a page that nobody fills in, and says so */
static pid_t fork_stuck(struct __test_metadata *_metadata, int fd, bool receive, int sender)
{
	int *ready = kt_shared(sizeof(*ready));
	pid_t pid = kt_fork();

	if (pid == 0) {
		struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
		size_t size = kt_page_size();
		char *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct kpost_send send = kt_send_args(page, 8, 0, 0, 0);
		struct kpost_recv recv = kt_recv_args(page, 64, 0, 0);
		struct kt_job job;
		int uffd = make_uffd();

		close(sender);
		reg.range.start = (uintptr_t)page;
		reg.range.len = size;
		if (uffd < 0 || ioctl(uffd, UFFDIO_REGISTER, &reg))
			_exit(1);
		if (receive)
			kt_start(&job, fd, KPOST_IOC_RECV, &recv);
		else
			kt_start(&job, fd, KPOST_IOC_SEND, &send);
		if (kt_until(is_stuck(uffd)))
			*ready = 1;
		for (;;)
			pause();
	}
	ASSERT_TRUE(kt_until(*(volatile int *)ready)) TH_LOG("the child did not get stuck");
	return pid;
}

TEST_F(stall, no_stall_of_sigkill_by_a_fault_while_sending)
{
	struct kpost_stat before = kt_stat(self->fd);
	pid_t pid = fork_stuck(_metadata, self->fd, false, -1);
	long ms = kt_kill(pid);

	EXPECT_LE(0, ms);
	EXPECT_GT(1000, ms);
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fd)));
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, 64));
}

/* what it would have got is there, in its place */
TEST_F(stall, no_stall_of_sigkill_by_a_fault_while_receiving)
{
	struct kpost_recv recv;
	struct kpost_stat before;
	pid_t pid;
	long ms;

	ASSERT_EQ(0, kt_post(self->fd, "first", 5, 0));
	ASSERT_EQ(0, kt_post(self->fd, "second", 6, 0));
	before = kt_stat(self->fd);
	pid = fork_stuck(_metadata, self->fd, true, -1);
	ms = kt_kill(pid);
	EXPECT_LE(0, ms);
	EXPECT_GT(1000, ms);
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fd)));
	ASSERT_EQ(5, kt_take(self->fd, &recv, self->buf, 64));
	EXPECT_EQ(1, recv.sequence);
	ASSERT_EQ(6, kt_take(self->fd, &recv, self->buf, 64));
	EXPECT_EQ(2, recv.sequence);
}

/* the last message is not in the hands of one who may never get it */
TEST_F(stall, no_stall_of_the_end_by_a_receiver_that_is_stuck)
{
	int fds[2];
	pid_t pid;

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	ASSERT_EQ(0, kt_post(fds[1], "last", 4, 0));
	pid = fork_stuck(_metadata, fds[0], true, fds[1]);
	close(fds[1]);
	EXPECT_EQ(0, kt_stat(fds[0]).senders);
	EXPECT_EQ(4, kt_recv(fds[0], NULL, self->buf, 64, 0, kt_soon()));
	EXPECT_EQ(-EPIPE, kt_recv(fds[0], NULL, self->buf, 64, 0, kt_soon()));
	EXPECT_LE(0, kt_kill(pid));
	close(fds[0]);
}

/* ---- what the stuck ones hold --------------------------------------------------- */

static long poll_in(void *arg)
{
	struct pollfd pfd = { *(int *)arg, POLLIN, 0 };

	/* for ever: at the end of its time poll(2) would look once more */
	return poll(&pfd, 1, -1) == 1 ? pfd.revents : -errno;
}

enum { WAITERS = 3 };

/* each with its buffer in a page of its own, whose content goes while it waits */
struct waiters {
	int uffd;
	char *pages;
	struct kpost_recv recv[WAITERS];
	struct kt_job job[WAITERS];
};

static char *waiters_page(struct waiters *waiters, int i)
{
	return waiters->pages + i * kt_page_size();
}

static void start_waiters(struct __test_metadata *_metadata, int fd, struct waiters *waiters)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	size_t size = WAITERS * kt_page_size();

	waiters->uffd = make_uffd();
	ASSERT_LE(0, waiters->uffd);
	waiters->pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
	ASSERT_NE(MAP_FAILED, waiters->pages);
	kt_poison(waiters->pages, size);
	reg.range.start = (uintptr_t)waiters->pages;
	reg.range.len = size;
	ASSERT_EQ(0, ioctl(waiters->uffd, UFFDIO_REGISTER, &reg));
	for (int i = 0; i < WAITERS; i++) {
		waiters->recv[i] = kt_recv_args(waiters_page(waiters, i), 64, 0, kt_soon());
		kt_start(&waiters->job[i], fd, KPOST_IOC_RECV, &waiters->recv[i]);
		ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == i + 1u));
	}
	ASSERT_EQ(0, madvise(waiters->pages, size, MADV_DONTNEED));
}

/* somebody is stuck who was not seen to be so before */
static bool one_more_stuck(int uffd)
{
	struct uffd_msg msg;

	return read(uffd, &msg, sizeof(msg)) == sizeof(msg);
}

/* a message that comes back is told to those who poll, as a new one is */
TEST_F(stall, no_stall_of_pollers_by_a_message_that_comes_back)
{
	struct waiters waiters;

	start_waiters(_metadata, self->fd, &waiters);
	kt_start_fn(&self->job, poll_in, &self->fd);
	ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));
	/* all of those who wait are told of it first, and none can take it */
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	for (int i = 0; i < WAITERS; i++) {
		ASSERT_TRUE(kt_until(one_more_stuck(waiters.uffd)));
	}
	ASSERT_TRUE(kt_join(&self->job)) TH_LOG("it is back, and nobody was told");
	EXPECT_EQ(POLLIN, self->job.ret);
	EXPECT_EQ(1, kt_take(self->fd, NULL, self->buf, 64));
	close(waiters.uffd);
	for (int i = 0; i < WAITERS; i++) {
		EXPECT_EQ(0, kt_post(self->fd, "x", 1, 0));
	}
	for (int i = 0; i < WAITERS; i++) {
		ASSERT_TRUE(kt_join(&waiters.job[i]));
		EXPECT_EQ(1, waiters.job[i].ret);
	}
}

/* and goes to where it was, whichever comes back first */
TEST_F(stall, no_stall_of_the_order_by_messages_that_come_back)
{
	static const unsigned int priority[] = { 1, 0, 1 };
	struct kpost_recv recv;
	struct waiters waiters;

	for (int round = 0; round < 5; round++) {
		uint64_t sent = kt_stat(self->fd).sent;

		start_waiters(_metadata, self->fd, &waiters);
		for (int i = 0; i < WAITERS; i++) {
			ASSERT_EQ(0, kt_post(self->fd, "x", 1, priority[i]));
		}
		for (int i = 0; i < WAITERS; i++) {
			ASSERT_TRUE(kt_until(one_more_stuck(waiters.uffd)));
		}
		ASSERT_EQ(0, kt_post(self->fd, "y", 1, 1));
		for (int i = 0; i < 4; i++) {
			static const unsigned int order[] = { 1, 3, 4, 2 };

			ASSERT_EQ(1, kt_take(self->fd, &recv, self->buf, 64));
			EXPECT_EQ(sent + order[i], recv.sequence);
		}
		close(waiters.uffd);
		for (int i = 0; i < WAITERS; i++) {
			ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
		}
		for (int i = 0; i < WAITERS; i++) {
			ASSERT_TRUE(kt_join(&waiters.job[i]));
		}
	}
}

/* what somebody is stuck at when its sender leaves was not sent, and is not received */
static void leave_while_copied(struct __test_metadata *_metadata, FIXTURE_DATA(stall) *self,
			       bool calls, bool killed)
{
	struct kpost_send send = kt_send_args("gone", 4, 0, KPOST_SYNC, kt_soon());
	struct kpost_recv recv = kt_recv_args(self->page - 2, 64, KPOST_DONTWAIT, 0);
	struct kpost_call call = kt_call_args("gone", 4, self->buf, 64, kt_soon());
	struct kpost_stat before = kt_stat(self->fd), after;
	struct kt_job sender;
	pid_t pid = 0;

	if (calls)
		kt_start(&sender, self->fd, KPOST_IOC_CALL, &call);
	else
		kt_start(&sender, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	if (killed) {
		pid = fork_stuck(_metadata, self->fd, true, -1);
	} else {
		kt_start(&self->job, self->fd, KPOST_IOC_RECV, &recv);
		ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	}
	ASSERT_EQ(0, kt_signal(&sender, SIGUSR1));
	ASSERT_TRUE(kt_join(&sender));
	EXPECT_EQ(-EINTR, sender.ret);
	if (calls) {
		EXPECT_EQ(1, kt_cancel(self->fd, call.id));
	}
	if (killed) {
		EXPECT_LE(0, kt_kill(pid));
	} else {
		ASSERT_EQ(0, release(self->uffd, self->page, NULL));
		ASSERT_TRUE(kt_join(&self->job));
		EXPECT_EQ(-EAGAIN, self->job.ret);
	}
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, 64));
	after = kt_stat(self->fd);
	EXPECT_EQ(before.received, after.received);
	EXPECT_EQ(before.dropped + 1, after.dropped);
	EXPECT_EQ(0, after.queued_bytes);
	EXPECT_EQ(0, after.open_calls);
}

TEST_F(stall, no_stall_of_a_sender_that_leaves_by_its_receiver)
{
	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	leave_while_copied(_metadata, self, false, true);
	leave_while_copied(_metadata, self, false, false);
}

TEST_F(stall, no_stall_of_a_caller_that_leaves_by_its_receiver)
{
	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	leave_while_copied(_metadata, self, true, true);
	leave_while_copied(_metadata, self, true, false);
}

#define SHARE	(1 << 20)	/* what a user may have */
#define HELD	(1 << 16)	/* what a stuck send has of it */
#define SENDS	32		/* more than fit */

struct hoard {
	int fd;
	bool ready;
	unsigned int refused;
};

static char *hoard_payload;

static long send_stuck(void *arg)
{
	struct hoard *hoard = arg;
	long ret = kt_post(hoard->fd, hoard_payload, HELD + 8, 0);

	__atomic_add_fetch(&hoard->refused, ret == -EDQUOT, __ATOMIC_RELAXED);
	return ret;
}

/* as many sends as are let, each with all in the kernel but its last bytes */
static int hoard_stuck(struct hoard *hoard, uid_t uid)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct kt_job job[SENDS];
	int uffd = make_uffd();

	hoard_payload = mmap(NULL, HELD + kt_page_size(), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(hoard_payload, 0, HELD);
	reg.range.start = (uintptr_t)hoard_payload + HELD;
	reg.range.len = kt_page_size();
	CHECK_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));
	CHECK_EQ(0, child_become(uid, uid));
	hoard->fd = kt_mailbox(SENDS, SENDS * (HELD + 8), HELD + 8);
	CHECK(hoard->fd >= 0);
	for (int i = 0; i < SENDS; i++)
		kt_start_fn(&job[i], send_stuck, hoard);
	for (int i = 0; i < SENDS; i++)
		CHECK(kt_until(kt_done(&job[i]) || kt_asleep(job[i].tid)));
	__atomic_store_n(&hoard->ready, true, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/* how many times two pages @uid can still have under way, as an exit status */
static int share_of(void *arg)
{
	uid_t uid = *(uid_t *)arg;
	struct kpost_info info;

	if (child_become(uid, uid) || kt_ioctl(kt_device(), KPOST_IOC_INFO, &info))
		return 0;
	return (int)((info.user_sending_bytes - info.user_sending_used) / 8192);
}

/* one's own, where a user may have 1 MiB under way */
static void get_office(struct __test_metadata *_metadata)
{
	int device;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	device = kt_open_device(); /* the other one is in the old namespace */
	ASSERT_LE(0, dup2(device, kt_device()));
	ASSERT_EQ(0, child_write("/proc/sys/net/kpost/user_sending_bytes", "1048576"));
}

TEST_F(stall, no_stall_of_others_by_memory_that_stuck_sends_hold)
{
	struct hoard *hoard = kt_shared(sizeof(*hoard));
	uid_t owner = 12345, other = 12346;
	int whole;
	pid_t pid;
	long ms;

	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	get_office(_metadata);
	whole = child_run(share_of, &owner);
	EXPECT_LE(SHARE / 2 / 8192, whole);

	pid = kt_fork();
	if (pid == 0)
		_exit(hoard_stuck(hoard, owner));
	ASSERT_TRUE(kt_until(__atomic_load_n(&hoard->ready, __ATOMIC_ACQUIRE)));
	/* it is counted, so there is an end to it */
	EXPECT_LE(SENDS - SHARE / HELD, hoard->refused);
	EXPECT_GT(SENDS - SHARE / HELD / 2, hoard->refused);
	EXPECT_GT(whole / 4, child_run(share_of, &owner));
	EXPECT_EQ(whole, child_run(share_of, &other));
	ms = kt_kill(pid);
	EXPECT_LE(0, ms);
	EXPECT_GT(1000, ms);
	EXPECT_EQ(whole, child_run(share_of, &owner));
}

static long receive_to(void *arg)
{
	FIXTURE_DATA(stall) *self = arg;

	return kt_recv(self->fd, NULL, self->page, 8, 0, kt_soon());
}

/* half of a caller's share is room for a reply; it has it back when it is killed */
static void expect_room_back(struct __test_metadata *_metadata, FIXTURE_DATA(stall) *self,
			     bool replies)
{
	uid_t owner = 12345;
	struct kpost_recv recv;
	int whole;
	pid_t pid;

	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	get_office(_metadata);
	close(self->fd);
	self->fd = kt_mailbox(4, 4096, 512);
	whole = child_run(share_of, &owner);
	ASSERT_LT(8, whole);

	pid = kt_fork();
	if (pid == 0) {
		if (child_become(owner, owner))
			_exit(126);
		_exit(kt_call(self->fd, "ask", 3, malloc(SHARE / 2), SHARE / 2, 0) != 0);
	}
	if (replies) {
		ASSERT_EQ(3, kt_recv(self->fd, &recv, self->buf, 64, 0, kt_soon()));
		get_stuck_replying(_metadata, self, &recv);
	} else {
		ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
		kt_start_fn(&self->job, receive_to, self);
		ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	}
	EXPECT_GT(whole, 1 + child_run(share_of, &owner)) TH_LOG("this would not show it");
	EXPECT_LE(0, kt_kill(pid));
	/* the request, or the call that was received, still counts */
	EXPECT_LE(whole - 1, child_run(share_of, &owner));
	/* a request that was withdrawn is not received, the next message is */
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(replies ? -ECANCELED : 4, self->job.ret);
}

TEST_F(stall, no_stall_of_a_callers_share_by_its_replier)
{
	expect_room_back(_metadata, self, true);
}

TEST_F(stall, no_stall_of_a_callers_share_by_its_receiver)
{
	expect_room_back(_metadata, self, false);
}

/* the mailbox closes under one that is stuck, and the close does not wait for it */
TEST_F(stall, no_stall_of_close_by_a_fault)
{
	struct kpost_send send = kt_send_args(self->page, 8, 0, 0, kt_soon());
	uint64_t start;
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	kt_start(&self->job, fds[1], KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	start = kt_now();
	ASSERT_EQ(0, close(fds[0]));
	EXPECT_LT(kt_now() - start, 1000 * KT_MS);
	EXPECT_EQ(KPOST_STAT_CLOSED, kt_stat(fds[1]).flags & KPOST_STAT_CLOSED);
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-EPIPE, self->job.ret);
	close(fds[1]);
}

static long read_directory(void *arg)
{
	int dir = fs_open_at(FS_DIR, O_RDONLY | O_DIRECTORY);
	long ret = syscall(SYS_getdents64, dir, arg, kt_page_size());

	ret = ret < 0 ? -errno : ret;
	close(dir);
	return ret;
}

static void use_directory(struct __test_metadata *_metadata)
{
	char names[512];

	ASSERT_EQ(0, fs_mkfifo("kt.other", 0600));
	ASSERT_EQ(0, fs_try(fs_path("kt.other"), O_WRONLY));
	ASSERT_LE(2, fs_list(FS_DIR, names, sizeof(names)));
	ASSERT_EQ(0, fs_unlink("kt.other"));
}

/* the kernel locks a directory that is read, and nothing here waits for that */
TEST_F(stall, no_stall_of_the_names_by_who_reads_their_directory)
{
	if (geteuid() != 0)
		SKIP(return, "mounting needs root");
	ASSERT_EQ(0, fs_unshare(0));
	ASSERT_EQ(0, fs_mount_at(FS_DIR));
	ASSERT_EQ(0, fs_mkfifo("kt.jobs", 0600));
	kt_start_fn(&self->job, read_directory, self->page);
	ASSERT_TRUE(kt_until(is_stuck(self->uffd)));
	EXPECT_GT(100, fastest_of_five(use_directory(_metadata)));
	EXPECT_FALSE(kt_done(&self->job));
	EXPECT_EQ(0, fs_unlink("kt.jobs"));
	ASSERT_EQ(0, release(self->uffd, self->page, NULL));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_LT(0, self->job.ret);
}

TEST_HARNESS_MAIN
