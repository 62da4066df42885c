// SPDX-License-Identifier: GPL-2.0-only
/*
 * Death is visible: whoever waits for somebody that goes away is told at once, by
 * close as by SIGKILL; and what outlives its endpoints was asked to.
 */
#include "kpost_test.h"

FIXTURE(death) {
	char name[KT_NAME_SIZE];
	int receiver, sender;
	struct kt_job job;
	char buf[64];
};

FIXTURE_SETUP(death)
{
	struct kpost_open open;

	kt_name(self->name);
	open = kt_open_args(self->name, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN, KPOST_OPEN_CREATE);
	open.messages = 3;
	self->receiver = kt_do_open(&open);
	ASSERT_LE(0, self->receiver);
	self->sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, self->sender);
}

FIXTURE_TEARDOWN(death)
{
	close(self->sender);
	close(self->receiver);
}

static void fill(struct __test_metadata *_metadata, int fd)
{
	while (kt_post(fd, "fill", 4, 0) == 0)
		;
	ASSERT_EQ(kt_stat(fd).messages, kt_stat(fd).queued_messages);
}

TEST_F(death, death_of_the_last_receiver_closes_the_mailbox)
{
	struct kpost_stat st;

	ASSERT_EQ(0, kt_post(self->sender, "one", 3, 0));
	ASSERT_EQ(0, kt_post(self->sender, "two", 3, 0));
	ASSERT_EQ(3, kt_take(self->receiver, NULL, self->buf, 64));
	close(self->receiver);
	self->receiver = -1;

	st = kt_stat(self->sender);
	EXPECT_EQ(KPOST_STAT_CLOSED, st.flags);
	EXPECT_EQ(0, st.queued_messages);
	EXPECT_EQ(0, st.queued_bytes);
	EXPECT_EQ(0, st.receivers);
	EXPECT_EQ(1, st.senders);
	EXPECT_EQ(2, st.sent);
	EXPECT_EQ(1, st.received);
	EXPECT_EQ(1, st.dropped);
	EXPECT_EQ('\0', st.name[0]);
	EXPECT_REFUSED(EPIPE, self->sender, kt_post(self->sender, "x", 1, 0));
	EXPECT_REFUSED(EPIPE, self->sender, kt_send(self->sender, "x", 1, 0, 0, kt_soon()));
	EXPECT_REFUSED(EPIPE, self->sender,
		       kt_send(self->sender, "x", 1, 0, KPOST_SYNC, kt_soon()));
	EXPECT_REFUSED(EPIPE, self->sender, kt_call(self->sender, "x", 1, NULL, 0, kt_soon()));
	EXPECT_EQ(-ENOENT, kt_open(self->name, KPOST_RIGHT_SEND, 0));
	EXPECT_EQ(-ENOENT, kt_unlink(self->name));
}

/* EPIPE is all there is: SIGPIPE would kill the test */
TEST_F(death, death_of_the_receiver_raises_no_signal_in_writers)
{
	close(self->receiver);
	self->receiver = -1;
	EXPECT_EQ(-1, write(self->sender, "x", 1));
	EXPECT_EQ(EPIPE, errno);
}

TEST_F(death, death_of_the_receiver_is_told_to_a_waiting_sender)
{
	struct kpost_send send = kt_send_args("x", 1, 0, 0, kt_soon());
	uint64_t closed;

	fill(_metadata, self->sender);
	kt_start(&self->job, self->sender, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_senders == 1));
	closed = kt_now();
	close(self->receiver);
	self->receiver = -1;
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-EPIPE, self->job.ret);
	EXPECT_LT(self->job.ended - closed, 1000 * KT_MS);
	EXPECT_EQ(0, kt_stat(self->sender).waiting_senders);
	EXPECT_EQ(3, kt_stat(self->sender).sent);
	EXPECT_EQ(3, kt_stat(self->sender).dropped);
}

TEST_F(death, death_of_the_receiver_is_told_to_who_waits_for_receipt)
{
	struct kpost_send send = kt_send_args("x", 1, 0, KPOST_SYNC, kt_soon());

	kt_start(&self->job, self->sender, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->sender).queued_messages == 1));
	close(self->receiver);
	self->receiver = -1;
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-EPIPE, self->job.ret);
}

TEST_F(death, death_of_one_receiver_of_two_changes_nothing)
{
	int other = kt_open(self->name, KPOST_RIGHT_RECV, 0);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, kt_post(self->sender, "stay", 4, 0));
	EXPECT_EQ(2, kt_stat(self->sender).receivers);
	close(self->receiver);
	self->receiver = other;
	EXPECT_EQ(1, kt_stat(self->sender).receivers);
	EXPECT_EQ(0, kt_stat(self->sender).flags);
	ASSERT_EQ(4, kt_take(other, NULL, self->buf, 64));
	ASSERT_EQ(0, kt_post(self->sender, "on", 2, 0));
}

TEST_F(death, death_of_a_closed_mailbox_frees_its_name_for_another)
{
	int again;

	close(self->receiver);
	again = kt_create(self->name, KPOST_RIGHT_RECV);
	ASSERT_LE(0, again);
	self->receiver = again;
	/* the old endpoint has not come to life again */
	EXPECT_REFUSED(EPIPE, self->sender, kt_post(self->sender, "x", 1, 0));
	EXPECT_EQ(0, kt_stat(again).sent);
	EXPECT_EQ(0, kt_stat(again).senders);
	EXPECT_STREQ(self->name, kt_stat(again).name);
}

TEST_F(death, death_of_a_closed_mailbox_cannot_be_undone)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MODE, .mode = 0600 };
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	ASSERT_EQ(0, kt_post(fds[1], "x", 1, 0));
	close(fds[1]);
	ASSERT_EQ(1, kt_take(fds[0], NULL, self->buf, 64));
	/* no sender any more, but it is not closed: ADMIN may still act on it */
	EXPECT_EQ(KPOST_STAT_ANONYMOUS, kt_stat(fds[0]).flags);
	EXPECT_EQ(0, kt_ioctl(fds[0], KPOST_IOC_SETATTR, &attr));
	close(fds[0]);

	/* an ADMIN that cannot receive outlives the receiver */
	fds[0] = kt_open(self->name, KPOST_RIGHT_ADMIN, 0);
	ASSERT_LE(0, fds[0]);
	close(self->receiver);
	self->receiver = -1;
	EXPECT_REFUSED(EPIPE, fds[0], kt_ioctl(fds[0], KPOST_IOC_SETATTR, &attr));
	close(fds[0]);
}

TEST(death_of_the_last_sender_ends_an_anonymous_mailbox_once_drained)
{
	struct kpost_recv recv;
	char buf[16];
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	ASSERT_EQ(0, kt_post(fds[1], "last", 4, 0));
	ASSERT_EQ(0, kt_post(fds[1], "words", 5, 0));
	close(fds[1]);
	EXPECT_EQ(0, kt_stat(fds[0]).senders);
	ASSERT_EQ(4, kt_recv(fds[0], NULL, buf, sizeof(buf), 0, kt_soon()));
	ASSERT_EQ(5, read(fds[0], buf, sizeof(buf)));
	EXPECT_REFUSED(EPIPE, fds[0], kt_recv(fds[0], &recv, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_REFUSED(EPIPE, fds[0], kt_take(fds[0], &recv, buf, sizeof(buf)));
	EXPECT_EQ(0, read(fds[0], buf, sizeof(buf)));
	close(fds[0]);
}

TEST(death_of_the_last_sender_is_told_to_waiting_receivers)
{
	struct kpost_recv recv[2];
	struct kt_job jobs[2];
	char buf[2][16];
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	for (int i = 0; i < 2; i++) {
		recv[i] = kt_recv_args(buf[i], 16, 0, kt_soon());
		kt_start(&jobs[i], fds[0], KPOST_IOC_RECV, &recv[i]);
		ASSERT_TRUE(kt_until(kt_stat(fds[0]).waiting_receivers == i + 1u));
	}
	close(fds[1]);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(-EPIPE, jobs[i].ret);
	}
	close(fds[0]);
}

/* a named mailbox waits for its next sender */
TEST_F(death, death_of_the_last_sender_of_a_named_mailbox_is_no_end)
{
	struct kpost_recv recv = kt_recv_args(self->buf, 64, 0, kt_soon());

	kt_start(&self->job, self->receiver, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(self->receiver).waiting_receivers == 1));
	close(self->sender);
	EXPECT_EQ(0, kt_stat(self->receiver).senders);
	EXPECT_FALSE(kt_done(&self->job));
	self->sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, self->sender);
	ASSERT_EQ(0, kt_post(self->sender, "back", 4, 0));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(4, self->job.ret);
}

static pid_t fork_receiver(const char *name)
{
	pid_t pid = kt_fork();
	char buf[64];

	if (pid == 0) {
		int fd = kt_open(name, KPOST_RIGHT_RECV, 0);

		for (;;)
			kt_recv(fd, NULL, buf, sizeof(buf), 0, 0);
	}
	return pid;
}

static pid_t fork_sender(int fd, int count)
{
	pid_t pid = kt_fork();

	if (pid == 0) {
		for (int i = 0; i < count; i++) {
			if (kt_send(fd, "kid", 3, 0, 0, 0))
				_exit(1);
		}
		_exit(0);
	}
	return pid;
}

TEST_F(death, death_by_sigkill_of_the_last_receiver_is_told_to_senders)
{
	struct kpost_send send = kt_send_args("x", 1, 0, 0, kt_soon());
	pid_t pid = kt_fork();

	if (pid == 0) {
		/* holds the endpoint, and receives nothing */
		for (;;)
			pause();
	}
	close(self->receiver);
	self->receiver = -1;
	fill(_metadata, self->sender);
	kt_start(&self->job, self->sender, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_senders == 1));
	EXPECT_FALSE(kt_done(&self->job));
	EXPECT_LE(0, kt_kill(pid));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-EPIPE, self->job.ret);
}

TEST_F(death, death_of_a_blocked_sender_sends_nothing)
{
	pid_t pid;
	long ms;

	fill(_metadata, self->sender);
	pid = fork_sender(self->sender, 1);
	ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_senders == 1));
	ms = kt_kill(pid);
	EXPECT_LE(0, ms);
	EXPECT_GT(1000, ms);
	EXPECT_EQ(0, kt_stat(self->sender).waiting_senders);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(4, kt_take(self->receiver, NULL, self->buf, 64));
	}
	EXPECT_EQ(-EAGAIN, kt_take(self->receiver, NULL, self->buf, 64));
	EXPECT_EQ(3, kt_stat(self->sender).sent);
}

/* those that wait behind it get their turn */
TEST_F(death, death_of_a_blocked_sender_holds_up_nobody_behind_it)
{
	struct kpost_send send = kt_send_args("next", 4, 0, 0, kt_soon());
	pid_t pid;

	fill(_metadata, self->sender);
	pid = fork_sender(self->sender, 1);
	ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_senders == 1));
	kt_start(&self->job, self->sender, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_senders == 2));
	EXPECT_LE(0, kt_kill(pid));
	ASSERT_EQ(4, kt_take(self->receiver, NULL, self->buf, 64));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
}

TEST_F(death, death_of_a_blocked_receiver_leaves_the_message_to_others)
{
	struct kpost_recv recv = kt_recv_args(self->buf, 64, 0, kt_soon());
	pid_t pid = fork_receiver(self->name);

	ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_receivers == 1));
	kt_start(&self->job, self->receiver, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_receivers == 2));
	EXPECT_LE(0, kt_kill(pid));
	EXPECT_EQ(1, kt_stat(self->sender).waiting_receivers);
	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(1, self->job.ret);
}

/*
 * Receivers are killed at any moment, hand-over included: each message was
 * received by somebody, and only what the killed one had in its hands is missing.
 */
TEST_F(death, death_in_the_middle_of_a_handover_loses_at_most_what_was_in_hand)
{
	enum { KILLS = 60, EACH = 3 };
	unsigned char *seen = kt_shared(KILLS * EACH);
	unsigned int missing = 0;
	struct kpost_stat st;

	for (int kill_no = 0; kill_no < KILLS; kill_no++) {
		pid_t pid = kt_fork();

		if (pid == 0) {
			unsigned int number;

			while (kt_recv(self->receiver, NULL, &number, sizeof(number), 0, 0) == 4)
				seen[number]++;
			_exit(1);
		}
		for (unsigned int i = 0; i < EACH; i++) {
			unsigned int number = kill_no * EACH + i;

			/* the last one as it dies: just before, or just after the signal */
			if (i == EACH - 1) {
				ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_receivers));
				if (kill_no & 1)
					kill(pid, SIGKILL);
			}
			ASSERT_EQ(0, kt_send(self->sender, &number, sizeof(number), 0, 0,
					     kt_soon()));
		}
		EXPECT_LE(0, kt_kill(pid));
		/* if it did not get that far, the message is there for others */
		for (;;) {
			unsigned int number;

			if (kt_take(self->receiver, NULL, &number, sizeof(number)) != 4)
				break;
			seen[number]++;
		}
	}
	for (int i = 0; i < KILLS * EACH; i++) {
		ASSERT_LE(seen[i], 1) TH_LOG("message %d was received twice", i);
		missing += seen[i] == 0;
	}
	EXPECT_LE(missing, KILLS);
	st = kt_stat(self->sender);
	EXPECT_EQ(KILLS * EACH, st.sent);
	EXPECT_EQ(KILLS * EACH, st.received);
	EXPECT_EQ(0, st.dropped);
	EXPECT_EQ(0, st.queued_messages);
}

/*
 * A receiver that is killed while its message is copied did not receive it, however
 * far the copy goes on, and its struct in shared memory does not say so.
 */
TEST_F(death, death_in_the_middle_of_a_copy_leaves_the_message_to_others)
{
	enum { SIZE = 8 << 20, TRIES = 200 };
	struct kpost_recv *recv = kt_shared(sizeof(*recv));
	int fd = kt_mailbox(1, SIZE, SIZE), copied = 0;
	char *message = calloc(1, SIZE);

	ASSERT_LE(0, fd);
	memset(message, 'x', SIZE);
	for (int i = 0; i < TRIES && !copied; i++) {
		char *buf = kt_shared(SIZE);
		pid_t pid = kt_fork();

		if (pid == 0) {
			kt_recv(fd, recv, buf, SIZE, 0, 0);
			for (;;)
				pause();
		}
		ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers));
		recv->sequence = 0;
		ASSERT_EQ(0, kt_post(fd, message, SIZE, 0));
		for (uint64_t end = kt_soon(); !*(volatile char *)buf && kt_now() < end;)
			;
		kill(pid, SIGKILL);
		copied = ((volatile char *)buf)[SIZE - 1] == 0;
		EXPECT_LE(0, kt_kill(pid));
		EXPECT_EQ(i + 1, kt_stat(fd).sent);
		if (copied) {
			EXPECT_EQ(0, recv->sequence);
			EXPECT_EQ(i, kt_stat(fd).received);
			EXPECT_EQ(1, kt_stat(fd).queued_messages);
		}
		kt_take(fd, NULL, message, SIZE);
		munmap(buf, SIZE);
	}
	EXPECT_TRUE(copied) TH_LOG("none was killed before the copy had ended");
	EXPECT_EQ(SIZE, (int)strnlen(message, SIZE));
	free(message);
	close(fd);
}

/* senders are killed at any moment: what arrived is whole, and in order */
TEST_F(death, death_of_senders_leaves_no_half_message)
{
	enum { KILLS = 20, SIZE = 3000 };
	unsigned char *buf = malloc(SIZE);

	for (int kill_no = 0; kill_no < KILLS; kill_no++) {
		pid_t pid = kt_fork();
		uint64_t sent = kt_stat(self->sender).sent;

		if (pid == 0) {
			for (unsigned char i = 0;; i++) {
				memset(buf, i, SIZE);
				if (kt_send(self->sender, buf, SIZE, 0, 0, 0))
					_exit(1);
			}
		}
		for (int i = 0; i < 10 + kill_no; i++) {
			ASSERT_EQ(SIZE, kt_recv(self->receiver, NULL, buf, SIZE, 0, kt_soon()));
			ASSERT_EQ((unsigned char)i, buf[0]);
			ASSERT_EQ(0, memcmp(buf, buf + 1, SIZE - 1));
		}
		EXPECT_LE(0, kt_kill(pid));
		while (kt_take(self->receiver, NULL, buf, SIZE) == SIZE) {
			ASSERT_EQ(0, memcmp(buf, buf + 1, SIZE - 1));
		}
		EXPECT_LT(sent, kt_stat(self->sender).sent);
		ASSERT_EQ(0, kt_stat(self->sender).waiting_senders);
	}
}

/* the system call that waits holds the file: its descriptor may go meanwhile */
TEST(death_of_a_descriptor_does_not_end_the_wait_of_another_thread)
{
	char buf[16];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), 0, kt_soon());
	struct kt_job job;
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	kt_start(&job, fds[0], KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(fds[1]).waiting_receivers == 1));
	ASSERT_EQ(0, close(fds[0]));
	ASSERT_EQ(0, kt_post(fds[1], "still", 5, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(5, job.ret);
	/* now nobody holds it */
	ASSERT_TRUE(kt_until(kt_stat(fds[1]).flags & KPOST_STAT_CLOSED));
	EXPECT_EQ(-EPIPE, kt_post(fds[1], "gone", 4, 0));
	close(fds[1]);
}

TEST_HARNESS_MAIN
