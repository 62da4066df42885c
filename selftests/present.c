// SPDX-License-Identifier: GPL-2.0-only
/*
 * KPOST_PRESENT: who wants no message to wait where nobody receives is told.
 */
#include "submit_test.h"
#include "uring_test.h"

enum way { SEND, SYNC, SENDV, CALL, SUBMIT, RING_SEND, RING_CALL };

FIXTURE(present) {
	char name[KT_NAME_SIZE], reply[8];
	int sender;
};

FIXTURE_VARIANT(present) {
	enum way way;
};

#define VARIANT(name_, way_) FIXTURE_VARIANT_ADD(present, name_) { .way = way_ }
VARIANT(send, SEND);
VARIANT(sync, SYNC);
VARIANT(sendv, SENDV);
VARIANT(call, CALL);
VARIANT(submit, SUBMIT);
VARIANT(uring_send, RING_SEND);
VARIANT(uring_call, RING_CALL);

FIXTURE_SETUP(present)
{
	self->sender = kt_open(kt_name(self->name), KPOST_RIGHT_SEND,
			       KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	ASSERT_LE(0, self->sender);
}

FIXTURE_TEARDOWN(present)
{
	close(self->sender);
	kt_unlink(self->name);
}

static long do_ring(int fd, unsigned int op, void *arg)
{
	struct io_uring ring;
	long ret;

	ret = uring_init(&ring, 4, 0);
	if (ret)
		return ret;
	ret = uring_do(&ring, fd, op, arg);
	io_uring_queue_exit(&ring);
	return ret;
}

/* one message, in that way; a batch returns 0 for it too */
static long send_present(FIXTURE_DATA(present) *self, enum way way)
{
	struct kpost_send send = kt_send_args("m", 1, 0, KPOST_PRESENT, 0);
	struct kpost_batch batch = {
		.count = 1,
		.entries = (uintptr_t)&send,
		.entry_size = sizeof(send),
	};
	struct kpost_call call = kt_call_args("m", 1, self->reply, sizeof(self->reply), kt_in(50));
	struct kpost_call_submit submit = kt_submit_args("m", 1, 8, 0,
							 KPOST_PRESENT | KPOST_DONTWAIT, 0);
	long ret;

	call.flags = KPOST_PRESENT;
	switch (way) {
	case SYNC:
		send.flags |= KPOST_SYNC;
		send.deadline = kt_in(50);
		return kt_ioctl(self->sender, KPOST_IOC_SEND, &send);
	case SEND:
		return kt_ioctl(self->sender, KPOST_IOC_SEND, &send);
	case SENDV:
		ret = kt_ioctl(self->sender, KPOST_IOC_SENDV, &batch);
		return ret == 1 ? 0 : ret;
	case CALL:
		return kt_ioctl(self->sender, KPOST_IOC_CALL, &call);
	case SUBMIT:
		return kt_ioctl(self->sender, KPOST_IOC_CALL_SUBMIT, &submit);
	case RING_SEND:
		return do_ring(self->sender, KPOST_IOC_SEND, &send);
	case RING_CALL:
		return do_ring(self->sender, KPOST_IOC_CALL, &call);
	}
	return -EINVAL;
}

/* what it is when somebody can: what waits for a receipt or a reply has none */
static long expected(enum way way)
{
	return way == SYNC || way == CALL || way == RING_CALL ? -ETIMEDOUT : 0;
}

TEST_F(present, present_sends_nothing_where_nobody_receives)
{
	int admin = kt_open(self->name, KPOST_RIGHT_ADMIN, 0);

	ASSERT_LE(0, admin);
	for (int i = 0; i < 2; i++)
		EXPECT_REFUSED(ENXIO, self->sender, send_present(self, variant->way));
	EXPECT_EQ(0, kt_stat(self->sender).sent);
	/* what does not ask for it waits there */
	EXPECT_EQ(0, kt_post(self->sender, "m", 1, 0));
	EXPECT_REFUSED(ENXIO, self->sender, send_present(self, variant->way));
	close(admin);
}

TEST_F(present, present_sends_where_somebody_receives)
{
	int receiver = kt_open(self->name, KPOST_RIGHT_RECV, 0);

	ASSERT_LE(0, receiver);
	EXPECT_EQ(expected(variant->way), send_present(self, variant->way));
	EXPECT_EQ(1, kt_stat(self->sender).sent);
	close(receiver);
	EXPECT_REFUSED(ENXIO, self->sender, send_present(self, variant->way));
	receiver = kt_open(self->name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, receiver);
	EXPECT_EQ(expected(variant->way), send_present(self, variant->way));
	close(receiver);
}

/* closed is closed */
TEST_F(present, present_is_told_of_a_mailbox_that_is_closed)
{
	ASSERT_EQ(0, kt_unlink(self->name));
	EXPECT_REFUSED(EPIPE, self->sender, send_present(self, variant->way));
}

/* an endpoint that can do both is somebody */
TEST_F(present, present_counts_the_senders_own_endpoint)
{
	close(self->sender);
	self->sender = kt_open(self->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, self->sender);
	EXPECT_EQ(expected(variant->way), send_present(self, variant->way));
}

/* of a batch all before it are sent */
TEST(present_ends_a_batch)
{
	struct kpost_send entries[3] = {
		kt_send_args("a", 1, 0, 0, 0), kt_send_args("b", 1, 0, KPOST_PRESENT, 0),
		kt_send_args("c", 1, 0, 0, 0),
	};
	struct kpost_batch batch = {
		.count = 3,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
	};
	char name[KT_NAME_SIZE];
	int sender = kt_open(kt_name(name), KPOST_RIGHT_SEND,
			     KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST), receiver;

	ASSERT_LE(0, sender);
	EXPECT_EQ(1, kt_ioctl(sender, KPOST_IOC_SENDV, &batch));
	EXPECT_EQ(-ENXIO, batch.error);
	EXPECT_EQ(1, kt_stat(sender).queued_messages);
	receiver = kt_open(name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, receiver);
	batch.error = 0;
	EXPECT_EQ(3, kt_ioctl(sender, KPOST_IOC_SENDV, &batch));
	EXPECT_EQ(0, batch.error);
	kt_unlink(name);
	close(receiver);
	close(sender);
}

TEST_HARNESS_MAIN
