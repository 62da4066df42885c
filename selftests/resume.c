// SPDX-License-Identifier: GPL-2.0-only
/*
 * A call goes on without its caller, who is interrupted, stopped, frozen or traced: it was sent
 * once, and the same operation takes its reply.
 */
#include "child_test.h"
#include "submit_test.h"
#include "uring_test.h"

#include <sys/ptrace.h>
#include <sys/stat.h>

FIXTURE(resume) {
	int server;
	int client;
	struct kpost_call args;
	struct kpost_recv recv;
	struct kt_job job;
	char request[64];
	char reply[64];
};

FIXTURE_SETUP(resume)
{
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 4096));
	self->server = fds[0];
	self->client = fds[1];
	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	ASSERT_EQ(0, kt_handle(SIGUSR2, SA_RESTART));
	self->args = kt_call_args("ask", 3, self->reply, sizeof(self->reply), kt_soon());
}

FIXTURE_TEARDOWN(resume)
{
	close(self->client);
	close(self->server);
}

#define start_call() \
	kt_start(&self->job, self->client, KPOST_IOC_CALL, &self->args)

#define receive_request() \
	ASSERT_EQ(3, kt_recv(self->server, &self->recv, self->request, 64, 0, kt_soon()))

#define expect_end(result) do {							\
	ASSERT_TRUE(kt_join(&self->job));					\
	EXPECT_EQ((result), self->job.ret);					\
} while (0)

/* the caller waits, or has received the reply */
#define interrupt_call() do {							\
	ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));			\
	ASSERT_EQ(0, kt_signal(&self->job, SIGUSR1));				\
	expect_end(-EINTR);							\
	ASSERT_NE(0, self->args.id);						\
	EXPECT_TRUE(kt_poisoned(&self->args.sequence, sizeof(self->args.sequence))); \
} while (0)

/* it was sent once, and is over */
#define expect_once() do {							\
	EXPECT_EQ(0, self->args.id);						\
	EXPECT_EQ(1, kt_stat(self->server).sent);				\
	EXPECT_EQ(0, kt_stat(self->server).queued_messages);			\
	EXPECT_EQ(0, kt_stat(self->server).open_calls);				\
	EXPECT_EQ(0, kt_cancel(self->client, 0));				\
	EXPECT_EQ(0, kt_sending_used());					\
} while (0)

#define reply() \
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "answer", 6))

/* the same operation with the same struct takes the reply that has come */
#define expect_resumed() do {							\
	ASSERT_EQ(6, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));	\
	EXPECT_EQ(0, memcmp("answer", self->reply, 6));				\
	EXPECT_EQ(1, self->args.sequence);					\
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, self->args.message_flags);		\
	EXPECT_EQ(getpid(), self->args.pid);					\
	expect_once();								\
} while (0)

TEST_F(resume, call_interrupted_after_receipt_goes_on)
{
	start_call();
	receive_request();
	interrupt_call();
	EXPECT_EQ(1, kt_stat(self->server).open_calls);
	reply();
	/* neither poll nor collect knows of it */
	EXPECT_EQ(0, kt_ready(self->client, POLLPRI | POLLIN));
	EXPECT_EQ(-EAGAIN, kt_collect(self->client, NULL, self->request, 64, 0));
	EXPECT_EQ(-ENOENT, kt_collect(self->client, NULL, self->request, 64, self->args.id));
	/* it is late, but there */
	self->args.deadline = 1;
	expect_resumed();
}

TEST_F(resume, call_interrupted_before_receipt_goes_on)
{
	start_call();
	interrupt_call();
	EXPECT_EQ(1, kt_stat(self->server).queued_messages);
	receive_request();
	reply();
	expect_resumed();
}

/* it was not sent: so nothing is kept of it */
TEST_F(resume, call_interrupted_before_there_was_room_is_withdrawn)
{
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, kt_post(self->client, "", 0, 0));
	start_call();
	ASSERT_TRUE(kt_until(kt_stat(self->server).waiting_senders == 1));
	ASSERT_EQ(0, kt_signal(&self->job, SIGUSR1));
	expect_end(-EINTR);
	EXPECT_EQ(0, self->args.id);
	EXPECT_EQ(0, self->args.sequence);
	EXPECT_EQ(0, kt_stat(self->server).waiting_senders);
	EXPECT_EQ(4, kt_stat(self->server).sent);
	EXPECT_EQ(0, kt_sending_used());
}

TEST_F(resume, call_resumed_waits_and_is_interrupted_again)
{
	uint64_t id;

	start_call();
	receive_request();
	interrupt_call();
	id = self->args.id;
	for (int i = 0; i < 3; i++) {
		start_call();
		interrupt_call();
		EXPECT_EQ(id, self->args.id);
	}
	start_call();
	ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));
	/* who waits for it has it to himself */
	EXPECT_EQ(-ENOENT, kt_cancel(self->client, id));
	EXPECT_EQ(0, kt_cancel(self->client, 0));
	reply();
	expect_end(6);
	EXPECT_EQ(1, self->args.sequence);
	expect_once();
}

/* a handler with SA_RESTART has it resumed by the kernel */
TEST_F(resume, call_restarted_loses_nothing)
{
	start_call();
	for (int received = 0; received < 2; received++) {
		for (int i = 0; i < 3; i++) {
			int signals = kt_signals;

			ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));
			ASSERT_EQ(0, kt_signal(&self->job, SIGUSR2));
			ASSERT_TRUE(kt_until(kt_signals == signals + 1));
		}
		ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));
		EXPECT_FALSE(kt_done(&self->job));
		if (!received) {
			receive_request();
		}
	}
	reply();
	expect_end(6);
	EXPECT_EQ(0, memcmp("answer", self->reply, 6));
	EXPECT_EQ(1, self->args.sequence);
	expect_once();
}

TEST_F(resume, call_resumed_past_its_deadline_is_given_up)
{
	start_call();
	receive_request();
	interrupt_call();
	self->args.deadline = kt_in(20);
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	EXPECT_EQ(1, self->args.sequence);
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, self->args.message_flags);
	EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
	expect_once();
}

TEST_F(resume, call_resumed_without_waiting_stays)
{
	start_call();
	receive_request();
	interrupt_call();
	ASSERT_EQ(0, fcntl(self->client, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(-EAGAIN, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	EXPECT_NE(0, self->args.id);
	reply();
	expect_resumed();
}

TEST_F(resume, call_resumed_with_less_room_stays)
{
	start_call();
	receive_request();
	interrupt_call();
	reply();
	self->args.reply_len = 5;
	EXPECT_EQ(-EMSGSIZE, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	EXPECT_NE(0, self->args.id);
	self->args.reply_len = 64;
	expect_resumed();
}

TEST_F(resume, call_that_goes_on_is_cancelled)
{
	uint64_t id;

	start_call();
	interrupt_call();
	id = self->args.id;
	EXPECT_EQ(1, kt_cancel(self->client, id));
	EXPECT_EQ(-ENOENT, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	EXPECT_EQ(0, kt_stat(self->server).queued_messages);
	EXPECT_EQ(1, kt_stat(self->server).dropped);

	self->args.id = 0;
	start_call();
	receive_request();
	interrupt_call();
	/* with 0 those are meant that were submitted */
	EXPECT_EQ(0, kt_cancel(self->client, 0));
	EXPECT_EQ(1, kt_cancel(self->client, self->args.id));
	EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
	EXPECT_EQ(-ENOENT, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	EXPECT_EQ(0, kt_sending_used());
}

TEST_F(resume, call_that_goes_on_ends_with_its_receiver)
{
	int other = kt_grant(self->server, KPOST_RIGHT_RECV);

	ASSERT_LE(0, other);
	start_call();
	ASSERT_EQ(3, kt_recv(other, &self->recv, self->request, 64, 0, kt_soon()));
	interrupt_call();
	close(other);
	EXPECT_EQ(-ECONNRESET, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	expect_once();

	self->args = kt_call_args("ask", 3, self->reply, sizeof(self->reply), kt_soon());
	start_call();
	interrupt_call();
	close(self->server);
	EXPECT_EQ(-EPIPE, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	EXPECT_EQ(0, self->args.message_flags);
	EXPECT_EQ(2, self->args.sequence);
	EXPECT_EQ(0, kt_sending_used());
}

static int resumes_anothers(void *arg)
{
	FIXTURE_DATA(resume) *self = arg;
	uint64_t id = self->args.id;

	CHECK_EQ(-ENOENT, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	CHECK_EQ(0, self->args.id);
	CHECK_EQ(-ENOENT, kt_cancel(self->client, id));
	return 0;
}

TEST_F(resume, call_of_another_kind_or_process_is_not_resumed)
{
	int other = kt_grant(self->client, KPOST_RIGHT_SEND);
	struct kpost_call call;
	uint64_t id;

	ASSERT_LE(0, other);
	start_call();
	receive_request();
	interrupt_call();
	EXPECT_EQ(0, child_run(resumes_anothers, self));
	call = self->args;
	EXPECT_EQ(-ENOENT, kt_ioctl(other, KPOST_IOC_CALL, &call));
	EXPECT_EQ(0, call.id);
	ASSERT_EQ(0, kt_submit(self->client, "sub", 3, 64, 0, &id));
	call = self->args;
	call.id = id;
	EXPECT_EQ(-ENOENT, kt_ioctl(self->client, KPOST_IOC_CALL, &call));
	call.id = UINT64_MAX;
	EXPECT_EQ(-ENOENT, kt_ioctl(self->client, KPOST_IOC_CALL, &call));
	EXPECT_EQ(0, call.id);
	EXPECT_EQ(1, kt_cancel(self->client, id));
	reply();
	ASSERT_EQ(6, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	close(other);
	EXPECT_EQ(0, kt_sending_used());
}

/* before the request is sent it is known that its id can be told */
TEST_F(resume, call_that_two_resume_is_one_ones)
{
	struct kpost_call call;

	start_call();
	receive_request();
	interrupt_call();
	call = self->args;
	start_call();
	ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));
	EXPECT_EQ(-ENOENT, kt_ioctl(self->client, KPOST_IOC_CALL, &call));
	EXPECT_EQ(-ENOENT, kt_cancel(self->client, self->args.id));
	reply();
	expect_end(6);
	expect_once();
}

/* the request is not looked at again, and may be gone */
TEST_F(resume, call_resumed_needs_no_request)
{
	start_call();
	receive_request();
	interrupt_call();
	self->args.buf = (uintptr_t)kt_edge(PROT_NONE);
	self->args.len = UINT64_MAX;
	reply();
	expect_resumed();
}

/* its own errors say nothing of the call */
TEST_F(resume, call_resumed_wrongly_stays)
{
	struct kpost_call wrong;

	start_call();
	receive_request();
	interrupt_call();
	for (int i = 0; i < 3; i++) {
		wrong = self->args;
		if (i == 0)
			wrong.flags = 1u << 31;
		else if (i == 1)
			wrong.deadline = 1ull << 63;
		else
			wrong.reply_buf = (uintptr_t)kt_edge(PROT_NONE);
		EXPECT_EQ(i < 2 ? -EINVAL : -EFAULT,
			  kt_ioctl(self->client, KPOST_IOC_CALL, &wrong));
		EXPECT_EQ(self->args.id, wrong.id);
	}
	reply();
	expect_resumed();
}

TEST_F(resume, call_whose_id_cannot_be_told_is_not_sent)
{
	struct kpost_call *args = (void *)kt_edge(PROT_READ | PROT_WRITE);

	*args = self->args;
	ASSERT_EQ(0, mprotect(args, kt_page_size(), PROT_READ));
	EXPECT_REFUSED(EFAULT, self->client, kt_ioctl(self->client, KPOST_IOC_CALL, args));
	EXPECT_EQ(0, kt_sending_used());
}

/* ---- callers that are paused ------------------------------------------------------------ */

static int calls(void *arg)
{
	FIXTURE_DATA(resume) *self = arg;

	CHECK_EQ(6, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	CHECK_EQ(0, memcmp("answer", self->reply, 6));
	CHECK_EQ(1, self->args.sequence);
	return 0;
}

static pid_t start_caller(FIXTURE_DATA(resume) *self)
{
	return child_start(calls, self);
}

TEST_F(resume, caller_stopped_and_continued_gets_its_reply)
{
	pid_t pid = start_caller(self);

	ASSERT_LT(0, pid);
	receive_request();
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, kill(pid, SIGSTOP));
		ASSERT_TRUE(kt_until(kt_task_state(pid) == 'T'));
		if (i == 2) {
			reply();
		}
		ASSERT_EQ(0, kill(pid, SIGCONT));
		ASSERT_TRUE(kt_until(kt_task_state(pid) != 'T'));
	}
	EXPECT_EQ(0, child_finish(pid, 60));
	expect_once();
}

TEST_F(resume, caller_traced_gets_its_reply)
{
	pid_t pid = start_caller(self);
	int status;

	ASSERT_LT(0, pid);
	receive_request();
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, ptrace(PTRACE_ATTACH, pid, NULL, NULL));
		ASSERT_TRUE(kt_until(waitpid(pid, &status, WNOHANG) == pid));
		ASSERT_TRUE(WIFSTOPPED(status));
		ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
		ASSERT_TRUE(kt_until(kt_asleep(pid)));
	}
	reply();
	EXPECT_EQ(0, child_finish(pid, 60));
	expect_once();
}

static bool write_to(const char *dir, const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return child_write(path, text) == 0;
}

static bool frozen(const char *dir)
{
	char path[256], line[256] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.events", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = '\0';
	close(fd);
	return strstr(line, "frozen 1");
}

TEST_F(resume, caller_frozen_and_thawed_gets_its_reply)
{
	static const char dir[] = "/sys/fs/cgroup/kpost-frozen";
	char number[16];
	pid_t pid;

	if (mkdir(dir, 0755))
		SKIP(return, "no cgroup of one's own: %s", strerror(errno));
	pid = start_caller(self);
	ASSERT_LT(0, pid);
	receive_request();
	snprintf(number, sizeof(number), "%d", pid);
	ASSERT_TRUE(write_to(dir, "cgroup.procs", number));
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(write_to(dir, "cgroup.freeze", "1"));
		ASSERT_TRUE(kt_until(frozen(dir)));
		if (i == 2) {
			reply();
		}
		ASSERT_TRUE(write_to(dir, "cgroup.freeze", "0"));
	}
	EXPECT_EQ(0, child_finish(pid, 60));
	EXPECT_EQ(0, rmdir(dir));
	expect_once();
}

/* ---- the end --------------------------------------------------------------------------------- */

static int is_interrupted_and_stays(void *arg)
{
	FIXTURE_DATA(resume) *self = arg;

	CHECK_EQ(-EINTR, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	CHECK(self->args.id);
	for (;;)
		pause();
}

TEST_F(resume, call_that_goes_on_ends_with_its_process)
{
	pid_t pid = child_start(is_interrupted_and_stays, self);

	ASSERT_LT(0, pid);
	ASSERT_TRUE(kt_until(kt_stat(self->server).queued_messages == 1));
	ASSERT_TRUE(kt_until(kt_asleep(pid)));
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	ASSERT_TRUE(kt_until(kt_asleep(pid)));
	EXPECT_EQ(1, kt_stat(self->server).queued_messages);
	EXPECT_LE(0, kt_kill(pid));
	ASSERT_TRUE(kt_until(kt_stat(self->server).queued_messages == 0));
	ASSERT_TRUE(kt_until(kt_sending_used() == 0));
}

/* nobody would do it again */
TEST_F(resume, call_of_io_uring_does_not_go_on)
{
	struct kpost_cancel cancel = {};
	struct uring_result result;
	struct io_uring ring;

	if (uring_init(&ring, 8, 0))
		SKIP(return, "no io_uring");
	ASSERT_NE(NULL, uring_op(&ring, self->client, KPOST_IOC_CALL, &self->args, 1));
	ASSERT_EQ(1, io_uring_submit(&ring));
	receive_request();
	ASSERT_TRUE(kt_until(kt_ioctl(self->client, KPOST_IOC_CANCEL, &cancel) == 1));
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(-ECANCELED, result.res);
	EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
	expect_once();
	io_uring_queue_exit(&ring);
}

TEST_HARNESS_MAIN
