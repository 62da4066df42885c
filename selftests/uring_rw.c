// SPDX-License-Identifier: GPL-2.0-only
/*
 * io_uring's own operations on an endpoint: read and write in all their forms,
 * waiting and cancelled, and poll, once and many times.
 */
#include "kpost_test.h"
#include "uring_test.h"

FIXTURE(uring_rw) {
	struct io_uring ring;
	int fd;		/* a mailbox of one message */
	char area[256];	/* registered */
};

FIXTURE_SETUP(uring_rw)
{
	struct iovec iov = { self->area, sizeof(self->area) };

	ASSERT_EQ(0, uring_init(&self->ring, 16, 0));
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_LE(0, self->fd);
	kt_poison(self->area, sizeof(self->area));
	ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &iov, 1));
}

FIXTURE_TEARDOWN(uring_rw)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

enum form { PLAIN, VECTOR, REGISTERED, FORMS };

static const char text[] = "a message";
#define TEXT ((int)sizeof(text))

static void prep(FIXTURE_DATA(uring_rw) *self, bool write, enum form form, char *buf,
		 struct iovec iov[2])
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

	iov[0] = (struct iovec){ buf, 4 };
	iov[1] = (struct iovec){ buf + 4, (size_t)TEXT - 4 };
	switch (form) {
	case VECTOR:
		if (write)
			io_uring_prep_writev(sqe, self->fd, iov, 2, 0);
		else
			io_uring_prep_readv(sqe, self->fd, iov, 2, 0);
		break;
	case REGISTERED:
		if (write)
			io_uring_prep_write_fixed(sqe, self->fd, buf, TEXT, 0, 0);
		else
			io_uring_prep_read_fixed(sqe, self->fd, buf, TEXT, 0, 0);
		break;
	default:
		if (write)
			io_uring_prep_write(sqe, self->fd, buf, TEXT, 0);
		else
			io_uring_prep_read(sqe, self->fd, buf, TEXT, 0);
	}
	sqe->user_data = 1;
}

TEST_F(uring_rw, each_form_of_write_sends_and_of_read_receives)
{
	struct kpost_recv recv;
	struct iovec iov[2];
	char buf[16];

	for (enum form form = 0; form < FORMS; form++) {
		memcpy(self->area, text, sizeof(text));
		prep(self, true, form, self->area, iov);
		EXPECT_EQ(TEXT, uring_run(&self->ring)) TH_LOG("write, form %d", form);
		EXPECT_EQ(TEXT, kt_take(self->fd, &recv, buf, sizeof(buf)));
		EXPECT_EQ(0, memcmp(buf, text, sizeof(text)));
		EXPECT_EQ(0, recv.priority);

		kt_poison(self->area, sizeof(self->area));
		EXPECT_EQ(0, kt_post(self->fd, text, sizeof(text), 77));
		prep(self, false, form, self->area + 32, iov);
		EXPECT_EQ(TEXT, uring_run(&self->ring)) TH_LOG("read, form %d", form);
		EXPECT_EQ(0, memcmp(self->area + 32, text, sizeof(text)));
		EXPECT_TRUE(kt_poisoned(self->area, 32));
		EXPECT_TRUE(kt_poisoned(self->area + 32 + TEXT, 256 - 32 - TEXT));
	}
}

TEST_F(uring_rw, each_form_of_read_waits_for_a_message)
{
	struct uring_result result;
	struct iovec iov[2];

	for (enum form form = 0; form < FORMS; form++) {
		kt_poison(self->area, sizeof(self->area));
		prep(self, false, form, self->area, iov);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		EXPECT_FALSE(uring_done(&self->ring));
		EXPECT_EQ(0, kt_post(self->fd, text, sizeof(text), 0));
		ASSERT_EQ(0, uring_wait(&self->ring, &result)) TH_LOG("form %d", form);
		EXPECT_EQ(TEXT, result.res) TH_LOG("form %d", form);
		EXPECT_EQ(0, memcmp(self->area, text, sizeof(text)));
	}
	EXPECT_EQ(FORMS, kt_stat(self->fd).received);
}

TEST_F(uring_rw, each_form_of_write_waits_for_room)
{
	struct uring_result result;
	struct iovec iov[2];
	char buf[16];

	memcpy(self->area, text, sizeof(text));
	for (enum form form = 0; form < FORMS; form++) {
		ASSERT_EQ(0, kt_post(self->fd, "full", 4, 0));
		prep(self, true, form, self->area, iov);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		EXPECT_FALSE(uring_done(&self->ring));
		EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
		ASSERT_EQ(0, uring_wait(&self->ring, &result)) TH_LOG("form %d", form);
		EXPECT_EQ(TEXT, result.res) TH_LOG("form %d", form);
		EXPECT_EQ(TEXT, kt_take(self->fd, NULL, buf, sizeof(buf)));
		EXPECT_EQ(0, memcmp(buf, text, sizeof(text)));
	}
	EXPECT_EQ(2 * FORMS, kt_stat(self->fd).sent);
}

TEST_F(uring_rw, waiting_read_and_write_are_cancelled_and_lose_nothing)
{
	struct uring_result result;
	struct io_uring_sqe *sqe;
	struct iovec iov[2];
	char buf[16];

	for (int write = 0; write < 2; write++) {
		for (enum form form = 0; form < FORMS; form++) {
			if (write) {
				ASSERT_EQ(0, kt_post(self->fd, "full", 4, 0));
			}
			prep(self, write, form, self->area, iov);
			ASSERT_EQ(1, io_uring_submit(&self->ring));
			sqe = io_uring_get_sqe(&self->ring);
			io_uring_prep_cancel64(sqe, 1, 0);
			sqe->user_data = 2;
			ASSERT_EQ(1, io_uring_submit(&self->ring));
			for (int i = 0; i < 2; i++) {
				ASSERT_EQ(0, uring_wait(&self->ring, &result));
				if (result.data == 2)
					continue;
				/* read(2) and write(2) know no ECANCELED of their own */
				EXPECT_TRUE(result.res == -ECANCELED || result.res == -EINTR)
					TH_LOG("write %d, form %d: %d", write, form, result.res);
			}
			if (!write) {
				EXPECT_EQ(0, kt_post(self->fd, "next", 4, 0));
			}
			EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
			EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, buf, sizeof(buf)));
		}
	}
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);
}

TEST_F(uring_rw, short_read_leaves_the_message)
{
	struct io_uring_sqe *sqe;
	char buf[16];

	ASSERT_EQ(0, kt_post(self->fd, text, sizeof(text), 0));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_read(sqe, self->fd, buf, TEXT - 1, 0);
	EXPECT_REFUSED(EMSGSIZE, self->fd, uring_run(&self->ring));
	EXPECT_EQ(TEXT, kt_take(self->fd, NULL, buf, sizeof(buf)));
}

TEST_F(uring_rw, read_ends_where_the_last_sender_goes)
{
	struct uring_result result;
	struct io_uring_sqe *sqe;
	int pair[2];
	char buf[4];

	ASSERT_EQ(0, kt_pair(pair, 0, 0));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_read(sqe, pair[0], buf, sizeof(buf), 0);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	EXPECT_FALSE(uring_done(&self->ring));
	close(pair[1]);
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(0, result.res);
}

TEST_F(uring_rw, write_to_a_closed_mailbox_is_epipe_without_a_signal)
{
	struct uring_result result;
	struct io_uring_sqe *sqe;
	int pair[2];

	ASSERT_EQ(0, kt_handle(SIGPIPE, 0));
	ASSERT_EQ(0, kt_pair(pair, 1, 0));
	ASSERT_EQ(0, kt_post(pair[1], "full", 4, 0));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_write(sqe, pair[1], text, TEXT, 0);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	EXPECT_FALSE(uring_done(&self->ring));
	close(pair[0]);
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(-EPIPE, result.res);
	EXPECT_EQ(0, kt_signals);
}

/* ---- poll ---------------------------------------------------------------------- */

static void poll_prep(FIXTURE_DATA(uring_rw) *self, unsigned int events, bool multishot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

	if (multishot)
		io_uring_prep_poll_multishot(sqe, self->fd, events);
	else
		io_uring_prep_poll_add(sqe, self->fd, events);
	sqe->user_data = 1;
	io_uring_submit(&self->ring);
}

TEST_F(uring_rw, poll_tells_of_a_message_and_of_room)
{
	struct uring_result result;
	char buf[8];

	poll_prep(self, POLLIN, false);
	EXPECT_FALSE(uring_done(&self->ring));
	EXPECT_EQ(0, kt_post(self->fd, "full", 4, 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(POLLIN, result.res & (POLLIN | POLLOUT | POLLERR | POLLHUP));

	poll_prep(self, POLLOUT, false);
	EXPECT_FALSE(uring_done(&self->ring)) TH_LOG("it is full");
	EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(POLLOUT, result.res & (POLLIN | POLLOUT | POLLERR | POLLHUP));
}

TEST_F(uring_rw, multishot_poll_tells_of_every_message)
{
	struct uring_result result;
	char buf[8];

	close(self->fd);
	self->fd = kt_mailbox(0, 0, 0);
	poll_prep(self, POLLIN, true);
	for (int i = 0; i < 20; i++) {
		EXPECT_FALSE(uring_done(&self->ring)) TH_LOG("round %d: told twice", i);
		EXPECT_EQ(0, kt_post(self->fd, "x", 1, 0));
		ASSERT_EQ(0, uring_wait(&self->ring, &result)) TH_LOG("round %d: untold", i);
		EXPECT_TRUE(result.res & POLLIN);
		EXPECT_TRUE(result.flags & IORING_CQE_F_MORE);
		/* every other message is left there: the next one is told of all the same */
		if (i % 2) {
			EXPECT_EQ(1, kt_take(self->fd, NULL, buf, sizeof(buf)));
		}
	}
}

TEST_F(uring_rw, poll_tells_of_the_mailbox_closing)
{
	struct uring_result result;
	int pair[2];

	ASSERT_EQ(0, kt_pair(pair, 0, 0));
	close(self->fd);
	self->fd = pair[1];
	poll_prep(self, 0, false);
	EXPECT_FALSE(uring_done(&self->ring));
	close(pair[0]);
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(POLLHUP | POLLERR, result.res & (POLLHUP | POLLERR | POLLOUT));
}

TEST_F(uring_rw, armed_poll_outlives_the_endpoint_it_is_on)
{
	struct uring_result result;
	struct io_uring_sqe *sqe;
	int other;

	other = dup(self->fd);
	poll_prep(self, POLLIN, true);
	close(self->fd);
	EXPECT_EQ(0, kt_post(other, "x", 1, 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_TRUE(result.res & POLLIN);
	close(other);
	/* the poll request holds the file alone now */
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, 1, 0);
	sqe->user_data = 2;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(result.data == 1 ? -ECANCELED : 0, result.res);
	}
	self->fd = -1;
}

/* ---- multishot read -------------------------------------------------------------- */

#define BUFFERS	4

static bool have_multishot_read(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool have = probe && io_uring_opcode_supported(probe, URING_OP_READ_MULTISHOT);

	io_uring_free_probe(probe);
	return have;
}

TEST_F(uring_rw, multishot_read_takes_each_message_once_and_none_without_a_buffer)
{
	static char pool[BUFFERS][16];
	struct io_uring_buf_ring *buffers;
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = 3 };
	struct uring_result result;
	struct io_uring_sqe *sqe;
	int got;

	if (!have_multishot_read(&self->ring))
		SKIP(return, "the kernel has no IORING_OP_READ_MULTISHOT (6.7)");
	close(self->fd);
	self->fd = kt_mailbox(0, 0, 0);
	buffers = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.ring_addr = (uintptr_t)buffers;
	ASSERT_EQ(0, io_uring_register_buf_ring(&self->ring, &reg, 0));
	io_uring_buf_ring_init(buffers);
	for (int i = 0; i < BUFFERS; i++)
		io_uring_buf_ring_add(buffers, pool[i], sizeof(pool[i]), (unsigned short)i,
				      io_uring_buf_ring_mask(BUFFERS), i);
	io_uring_buf_ring_advance(buffers, BUFFERS);

	sqe = io_uring_get_sqe(&self->ring);
	ASSERT_NE(NULL, sqe);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = URING_OP_READ_MULTISHOT;
	sqe->fd = self->fd;
	sqe->flags = IOSQE_BUFFER_SELECT;
	sqe->buf_group = 3;
	sqe->user_data = 1;
	ASSERT_EQ(1, io_uring_submit(&self->ring));

	for (int i = 0; i < BUFFERS; i++) {
		ASSERT_EQ(0, kt_post(self->fd, &i, sizeof(i), 0));
		ASSERT_EQ(0, uring_wait(&self->ring, &result)) TH_LOG("message %d", i);
		ASSERT_EQ(4, result.res);
		EXPECT_TRUE(result.flags & IORING_CQE_F_MORE);
		ASSERT_TRUE(result.flags & IORING_CQE_F_BUFFER);
		memcpy(&got, pool[result.flags >> IORING_CQE_BUFFER_SHIFT], sizeof(got));
		EXPECT_EQ(i, got);
	}
	/* the buffers are all used: the next message stays where it is */
	ASSERT_EQ(0, kt_post(self->fd, "left", 4, 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(-ENOBUFS, result.res);
	EXPECT_FALSE(result.flags & IORING_CQE_F_MORE);
	EXPECT_EQ(4, kt_take(self->fd, NULL, pool[0], sizeof(pool[0])));
	EXPECT_EQ(0, memcmp(pool[0], "left", 4));
}

TEST_HARNESS_MAIN
