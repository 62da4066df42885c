// SPDX-License-Identifier: GPL-2.0-only
/*
 * Endpoints as files: one message for each read and write, and everything else
 * that programs do to descriptors refused in the usual words.
 */
#include <sys/stat.h>
#include <sys/uio.h>
#include "kpost_test.h"

FIXTURE(rw) {
	int fd;
	char buf[256];
};

FIXTURE_SETUP(rw)
{
	self->fd = kt_mailbox(4, 1000, 100);
	ASSERT_LE(0, self->fd);
	kt_poison(self->buf, sizeof(self->buf));
}

FIXTURE_TEARDOWN(rw)
{
	close(self->fd);
}

/* a system call that failed: its -errno */
#define err(call) ((call) < 0 ? -errno : 0)

TEST_F(rw, rw_carry_one_message_each)
{
	ASSERT_EQ(5, write(self->fd, "hello", 5));
	ASSERT_EQ(0, write(self->fd, NULL, 0));
	ASSERT_EQ(2, write(self->fd, "you", 2));
	EXPECT_EQ(3, kt_stat(self->fd).queued_messages);
	ASSERT_EQ(5, read(self->fd, self->buf, sizeof(self->buf)));
	EXPECT_EQ(0, memcmp(self->buf, "hello", 5));
	EXPECT_TRUE(kt_poisoned(self->buf + 5, sizeof(self->buf) - 5));
	ASSERT_EQ(0, read(self->fd, self->buf, sizeof(self->buf)));
	ASSERT_EQ(2, read(self->fd, self->buf, 2));
	EXPECT_EQ(0, memcmp(self->buf, "yo", 2));
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
}

TEST_F(rw, rw_in_pieces_carry_one_message_each)
{
	struct iovec out[] = { { "ab", 2 }, { NULL, 0 }, { "cdef", 4 } };
	struct iovec in[] = { { self->buf, 1 }, { self->buf + 10, 0 }, { self->buf + 20, 100 } };

	ASSERT_EQ(6, writev(self->fd, out, 3));
	EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
	ASSERT_EQ(6, readv(self->fd, in, 3));
	EXPECT_EQ('a', self->buf[0]);
	EXPECT_TRUE(kt_poisoned(self->buf + 1, 19));
	EXPECT_EQ(0, memcmp(self->buf + 20, "bcdef", 5));
	EXPECT_TRUE(kt_poisoned(self->buf + 25, sizeof(self->buf) - 25));
}

TEST_F(rw, rw_mix_with_the_operations)
{
	struct kpost_recv recv;

	ASSERT_EQ(3, write(self->fd, "one", 3));
	ASSERT_EQ(3, kt_take(self->fd, &recv, self->buf, sizeof(self->buf)));
	EXPECT_EQ(0, recv.priority);
	EXPECT_EQ(1, recv.sequence);
	EXPECT_EQ(getpid(), recv.pid);
	EXPECT_EQ(0, recv.token);
	ASSERT_EQ(0, kt_post(self->fd, "two", 3, 99));
	ASSERT_EQ(3, read(self->fd, self->buf, sizeof(self->buf)));
	EXPECT_EQ(0, memcmp(self->buf, "two", 3));
}

TEST_F(rw, rw_of_too_much_is_emsgsize)
{
	char big[101] = "";

	EXPECT_REFUSED(EMSGSIZE, self->fd, err(write(self->fd, big, 101)));
	ASSERT_EQ(100, write(self->fd, big, 100));
	EXPECT_REFUSED(EMSGSIZE, self->fd, err(read(self->fd, self->buf, 99)));
	EXPECT_REFUSED(EMSGSIZE, self->fd, err(read(self->fd, self->buf, 0)));
	EXPECT_TRUE(kt_poisoned(self->buf, sizeof(self->buf)));
	EXPECT_EQ(100, read(self->fd, self->buf, 100));
}

TEST_F(rw, rw_on_a_nonblocking_file_never_wait)
{
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_NONBLOCK));
	EXPECT_REFUSED(EAGAIN, self->fd, err(read(self->fd, self->buf, 100)));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(1, write(self->fd, "x", 1));
	}
	EXPECT_REFUSED(EAGAIN, self->fd, err(write(self->fd, "x", 1)));
	EXPECT_REFUSED(EAGAIN, self->fd, err(writev(self->fd, &(struct iovec){ "x", 1 }, 1)));
}

TEST_F(rw, rw_with_nowait_never_wait)
{
	struct iovec iov = { self->buf, 1 };

	EXPECT_REFUSED(EAGAIN, self->fd, err(preadv2(self->fd, &iov, 1, -1, RWF_NOWAIT)));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(1, pwritev2(self->fd, &iov, 1, -1, RWF_NOWAIT));
	}
	EXPECT_REFUSED(EAGAIN, self->fd, err(pwritev2(self->fd, &iov, 1, -1, RWF_NOWAIT)));
	EXPECT_EQ(1, preadv2(self->fd, &iov, 1, -1, RWF_NOWAIT));
}

struct io {
	int fd;
	char buf[16];
};

static long blocking_read(void *arg)
{
	struct io *io = arg;
	ssize_t ret = read(io->fd, io->buf, sizeof(io->buf));

	return ret < 0 ? -errno : ret;
}

static long blocking_write(void *arg)
{
	struct io *io = arg;
	ssize_t ret = write(io->fd, io->buf, sizeof(io->buf));

	return ret < 0 ? -errno : ret;
}

TEST_F(rw, rw_on_a_blocking_file_wait)
{
	struct io io = { .fd = self->fd };
	struct kt_job job;

	kt_start_fn(&job, blocking_read, &io);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(1, write(self->fd, "x", 1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(1, job.ret);
	EXPECT_EQ('x', io.buf[0]);

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(1, write(self->fd, "x", 1));
	}
	kt_start_fn(&job, blocking_write, &io);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	ASSERT_EQ(1, read(self->fd, self->buf, 1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(16, job.ret);
}

TEST_F(rw, rw_end_of_file_comes_when_the_last_sender_is_gone_and_all_is_read)
{
	struct io io;
	struct kt_job job;
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 0, 0));
	ASSERT_EQ(1, write(fds[1], "x", 1));
	io.fd = fds[0];
	ASSERT_EQ(1, blocking_read(&io));
	kt_start_fn(&job, blocking_read, &io);
	ASSERT_TRUE(kt_until(kt_stat(fds[0]).waiting_receivers == 1));
	close(fds[1]);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(0, read(fds[0], self->buf, 100));
	ASSERT_EQ(0, fcntl(fds[0], F_SETFL, O_NONBLOCK));
	EXPECT_EQ(0, read(fds[0], self->buf, 100));
	close(fds[0]);
}

TEST_F(rw, rw_through_the_wrong_end_is_ebadf)
{
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 0, 0));
	EXPECT_REFUSED(EBADF, fds[0], err(write(fds[0], "x", 1)));
	EXPECT_REFUSED(EBADF, fds[1], err(read(fds[1], self->buf, 1)));
	EXPECT_REFUSED(EBADF, fds[0], err(writev(fds[0], &(struct iovec){ "x", 1 }, 1)));
	EXPECT_REFUSED(EBADF, fds[1], err(readv(fds[1], &(struct iovec){ self->buf, 1 }, 1)));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(rw, rw_at_an_offset_is_espipe)
{
	ASSERT_EQ(1, write(self->fd, "x", 1));
	EXPECT_REFUSED(ESPIPE, self->fd, err(pread(self->fd, self->buf, 1, 0)));
	EXPECT_REFUSED(ESPIPE, self->fd, err(pwrite(self->fd, "x", 1, 0)));
	EXPECT_REFUSED(ESPIPE, self->fd, err(lseek(self->fd, 0, SEEK_SET)));
	EXPECT_REFUSED(ESPIPE, self->fd, err(lseek(self->fd, 0, SEEK_CUR)));
	EXPECT_REFUSED(ESPIPE, self->fd, err(lseek(self->fd, 0, SEEK_END)));
	EXPECT_EQ(1, read(self->fd, self->buf, 1));
}

TEST_F(rw, rw_by_mapping_is_enodev)
{
	size_t size = kt_page_size();

	EXPECT_EQ(MAP_FAILED, mmap(NULL, size, PROT_READ, MAP_SHARED, self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, size, PROT_READ, MAP_SHARED, kt_device(), 0));
	EXPECT_EQ(ENODEV, errno);
}

/* cut as a pipe cuts, a message would be no message any more: none is lost to it */
TEST_F(rw, rw_by_splice_is_refused_or_whole)
{
	int pipefd[2];
	ssize_t ret;

	ASSERT_EQ(0, pipe2(pipefd, O_NONBLOCK));
	ASSERT_EQ(5, write(self->fd, "whole", 5));
	ret = splice(self->fd, NULL, pipefd[1], NULL, 100, SPLICE_F_NONBLOCK);
	if (ret < 0) {
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
		EXPECT_EQ(5, read(self->fd, self->buf, 100));
	} else {
		EXPECT_EQ(5, ret);
		EXPECT_EQ(5, read(pipefd[0], self->buf, 100));
	}
	EXPECT_EQ(0, memcmp(self->buf, "whole", 5));

	kt_poison(self->buf, sizeof(self->buf));
	ASSERT_EQ(4, write(pipefd[1], "pipe", 4));
	ret = splice(pipefd[0], NULL, self->fd, NULL, 4, SPLICE_F_NONBLOCK);
	if (ret < 0) {
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
		EXPECT_EQ(4, read(pipefd[0], self->buf, 100));
	} else {
		EXPECT_EQ(4, ret);
		EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
		EXPECT_EQ(4, read(self->fd, self->buf, 100));
	}
	EXPECT_EQ(0, memcmp(self->buf, "pipe", 4));
	close(pipefd[0]);
	close(pipefd[1]);
}

TEST_F(rw, rw_of_lists_that_cannot_be_are_einval)
{
	struct iovec *iov = calloc(KPOST_IOVEC_MAX + 1, sizeof(*iov));

	EXPECT_REFUSED(EINVAL, self->fd, err(writev(self->fd, iov, KPOST_IOVEC_MAX + 1)));
	EXPECT_REFUSED(EINVAL, self->fd, err(readv(self->fd, iov, KPOST_IOVEC_MAX + 1)));
	iov[0] = (struct iovec){ self->buf, SIZE_MAX };
	EXPECT_REFUSED(EINVAL, self->fd, err(writev(self->fd, iov, 1)));
	free(iov);
}

/* the device is no mailbox */
TEST_F(rw, rw_of_the_device_is_einval)
{
	EXPECT_EQ(-EINVAL, err(read(kt_device(), self->buf, 1)));
	EXPECT_EQ(-EINVAL, err(write(kt_device(), "x", 1)));
}

TEST_F(rw, rw_otherwise_endpoints_are_plain_anonymous_files)
{
	struct stat st;
	int on = 1;

	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_NE(0, ftruncate(self->fd, 0));
	EXPECT_EQ(0, ioctl(self->fd, FIONBIO, &on));
	EXPECT_EQ(-EAGAIN, kt_recv(self->fd, NULL, self->buf, 1, 0, 0));
	on = 0;
	EXPECT_EQ(0, ioctl(self->fd, FIONBIO, &on));
	EXPECT_EQ(-ETIMEDOUT, kt_recv(self->fd, NULL, self->buf, 1, 0, 1));
	EXPECT_EQ(-ENOTTY, err(ioctl(self->fd, FIONREAD, &on)));
	EXPECT_EQ(-EINVAL, err(fsync(self->fd)));
}

TEST_HARNESS_MAIN
