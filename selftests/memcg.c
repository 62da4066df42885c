// SPDX-License-Identifier: GPL-2.0-only
/*
 * A memory cgroup that is full in the middle of an operation: the operation fails or
 * its task is killed, and nothing is lost, left charged, or felt by anybody else.
 */
#include "fuse_test.h"

#include <sys/resource.h>

#define ROOT	"/sys/fs/cgroup"
#define GROUP	ROOT "/kpost-memcg"
#define LARGE	(8 << 20)	/* many pieces; more than the group may have */
#define LIMIT	"4194304"
#define OWNER	12345

FIXTURE(memcg) {
	int kmsg;	/* what the kernel says from here on */
	char printk[64];
	int fd;		/* a mailbox that takes LARGE */
	char *payload;	/* LARGE zeroes that take no memory to read */
};

/*
 * The OOM killer puts a stack trace on the console, as a complaint about the kernel
 * has one.  So warnings are kept off it meanwhile, and looked for here instead.
 */
static unsigned int complaints(int kmsg)
{
	char line[2048];
	unsigned int count = 0;
	ssize_t len;

	while ((len = read(kmsg, line, sizeof(line) - 1)) > 0 || (len < 0 && errno == EPIPE)) {
		line[len > 0 ? len : 0] = '\0';
		if (!strstr(line, "WARNING: ") && !strstr(line, "BUG: ") &&
		    !strstr(line, "refcount_t"))
			continue;
		/* a race may be anybody's, and is an error, which the console still shows */
		if (strstr(line, "BUG: KCSAN: "))
			continue;
		count++;
		fprintf(stderr, "# %s", line);
	}
	return count;
}

FIXTURE_SETUP(memcg)
{
	struct kpost_open args = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	char text[256];

	if (geteuid() != 0)
		SKIP(return, "a cgroup of one's own needs root");
	if (child_read(ROOT "/cgroup.controllers", text, sizeof(text)) <= 0 ||
	    !strstr(text, "memory"))
		SKIP(return, "no cgroup2 with the memory controller at " ROOT);
	self->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, lseek(self->kmsg, 0, SEEK_END));
	ASSERT_LT(0, child_read("/proc/sys/kernel/printk", self->printk, sizeof(self->printk)));
	ASSERT_EQ(0, child_write("/proc/sys/kernel/printk", "4"));
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	child_write(ROOT "/cgroup.subtree_control", "+memory");
	ASSERT_EQ(0, mkdir(GROUP, 0755));
	ASSERT_EQ(0, child_write(GROUP "/memory.max", LIMIT));
	/* where there is swap, it is no way out */
	child_write(GROUP "/memory.swap.max", "0");
	args.bytes = LARGE;
	args.message_max = LARGE;
	self->fd = kt_do_open(&args);
	ASSERT_LE(0, self->fd);
	self->payload = mmap(NULL, LARGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->payload);
	/* one message of LARGE is nearly all that its sender may have */
	ASSERT_EQ(0, child_write("/proc/sys/net/kpost/user_sending_bytes", "9437184"));
}

FIXTURE_TEARDOWN(memcg)
{
	if (!self->payload)
		return;
	/* nothing is charged to it any more that would keep it */
	EXPECT_TRUE(kt_until(rmdir(GROUP) == 0 || errno == ENOENT));
	EXPECT_EQ(0, complaints(self->kmsg));
	EXPECT_EQ(0, child_write("/proc/sys/kernel/printk", self->printk));
}

/* in a child: part of the group, and OWNER */
static int enter(void)
{
	int err = child_write(GROUP "/cgroup.procs", "0");

	return err ? err : child_become(OWNER, OWNER);
}

/* it was killed for want of memory, or told of it */
static bool ran_out(int status)
{
	return status >= 0 && ((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
			       (WIFEXITED(status) && WEXITSTATUS(status) == ENOMEM));
}

static void expect_nothing_charged(struct __test_metadata *_metadata, int fd, const char *payload)
{
	pid_t pid = kt_fork();
	char c;

	if (pid == 0) {
		if (child_become(OWNER, OWNER))
			_exit(126);
		_exit(-kt_post(fd, payload, LARGE, 0));
	}
	EXPECT_EQ(0, kt_exit_status(pid)) TH_LOG("its sender has not got all back");
	EXPECT_EQ(1, kt_recv(fd, NULL, &c, 1, KPOST_TRUNCATE, kt_soon()));
}

TEST_F(memcg, send_of_many_pieces_past_the_limit_sends_nothing_and_leaves_nothing)
{
	struct kpost_stat before = kt_stat(self->fd);
	pid_t pid = kt_fork();

	if (pid == 0) {
		if (enter())
			_exit(126);
		_exit(-kt_post(self->fd, self->payload, LARGE, 0));
	}
	EXPECT_TRUE(ran_out(kt_reap(pid)));
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fd)));
	expect_nothing_charged(_metadata, self->fd, self->payload);
}

TEST_F(memcg, room_for_a_reply_past_the_limit_calls_nobody_and_leaves_nothing)
{
	struct kpost_stat before = kt_stat(self->fd);
	char *room = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, room);
	memset(room, 0, LARGE);
	pid = kt_fork();
	if (pid == 0) {
		if (enter())
			_exit(126);
		_exit(-kt_call(self->fd, "ask", 3, room, LARGE, kt_soon()));
	}
	EXPECT_TRUE(ran_out(kt_reap(pid)));
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fd)));
	expect_nothing_charged(_metadata, self->fd, self->payload);
}

/* the buffer it is copied to is what there is no memory for */
TEST_F(memcg, message_whose_receiver_ran_out_of_memory_goes_to_the_next)
{
	char *buf = malloc(LARGE), *payload = malloc(LARGE);
	struct kpost_recv recv;
	pid_t pid;

	ASSERT_NE(NULL, buf);
	for (size_t i = 0; i < LARGE; i++)
		payload[i] = (char)(i * 31 >> 5);
	ASSERT_EQ(0, kt_post(self->fd, payload, LARGE, 0));
	pid = kt_fork();
	if (pid == 0) {
		char *untouched = mmap(NULL, LARGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (enter())
			_exit(126);
		kt_take(self->fd, NULL, untouched, LARGE);
		_exit(0);
	}
	EXPECT_TRUE(ran_out(kt_reap(pid)));
	ASSERT_EQ(LARGE, kt_recv(self->fd, &recv, buf, LARGE, 0, kt_soon()));
	EXPECT_EQ(1, recv.sequence);
	EXPECT_EQ(0, memcmp(buf, payload, LARGE));
	free(buf);
	free(payload);
}

/* endpoints cost memory, and that is their opener's */
TEST_F(memcg, opening_to_exhaustion_ends_in_the_openers_group)
{
	const struct rlimit many = { 200000, 200000 };
	char name[KT_NAME_SIZE];
	struct kpost_stat before;
	pid_t pid;
	int fd;

	fd = kt_create(kt_name(name), KT_ALL);
	ASSERT_LE(0, fd);
	before = kt_stat(fd);
	pid = kt_fork();
	if (pid == 0) {
		int ret;

		if (setrlimit(RLIMIT_NOFILE, &many) || child_write(GROUP "/cgroup.procs", "0"))
			_exit(126);
		do
			ret = kt_open(name, KPOST_RIGHT_SEND, 0);
		while (ret >= 0);
		_exit(-ret);
	}
	EXPECT_TRUE(ran_out(kt_reap(pid)));
	EXPECT_TRUE(kt_until(kt_stat_same(before, kt_stat(fd))));
}

/* ---- more than can be there at once --------------------------------------------- */

#define HUGE	(8 << 20)	/* bytes of a file, of which the group may have half */

static uint64_t word(size_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ull;
}

static void write_words(void *to, size_t size)
{
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		((uint64_t *)to)[i] = word(i);
}

/* the first one that is not right, or -1 */
static long wrong_word(const void *from, size_t size)
{
	for (size_t i = 0; i < size / sizeof(uint64_t); i++) {
		if (((const uint64_t *)from)[i] != word(i))
			return (long)i;
	}
	return -1;
}

static int reply_with_file(int fd, const void *file)
{
	struct kpost_recv recv;
	char buf[8];

	CHECK_EQ(0, child_write(GROUP "/cgroup.procs", "0"));
	CHECK_EQ(3, kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	CHECK_EQ(0, kt_reply(fd, recv.token, file, HUGE));
	return 0;
}

static int receive_to_file(int fd, void *file)
{
	CHECK_EQ(0, child_write(GROUP "/cgroup.procs", "0"));
	CHECK_EQ(HUGE, kt_recv(fd, NULL, file, HUGE, 0, kt_soon()));
	CHECK_EQ(-1, wrong_word(file, HUGE));
	return 0;
}

/* a mailbox for HUGE, and a file; false if the test cannot be done here */
static bool get_file(struct __test_metadata *_metadata, FIXTURE_DATA(memcg) *self,
		     struct fuse_file *file)
{
	struct kpost_open args = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	int err = fuse_file_make(file, HUGE, true);

	if (err)
		SKIP(return false, "no FUSE here: %s", strerror(-err));
	close(self->fd);
	args.bytes = HUGE;
	args.message_max = HUGE;
	self->fd = kt_do_open(&args);
	ASSERT_LE(0, self->fd);
	return true;
}

/* what was brought in first is gone when the last is: a reply goes on where it was */
TEST_F(memcg, reply_that_cannot_be_in_memory_all_at_once_ends)
{
	struct fuse_file file;
	char *answer;
	pid_t pid;

	if (!get_file(_metadata, self, &file))
		return;
	write_words(file.content, HUGE);
	answer = malloc(HUGE);
	ASSERT_NE(NULL, answer);
	pid = kt_fork();
	if (pid == 0)
		_exit(reply_with_file(self->fd, fuse_map(&file, MAP_SHARED)));
	EXPECT_EQ(HUGE, kt_call(self->fd, "ask", 3, answer, HUGE, kt_soon()));
	EXPECT_EQ(-1, wrong_word(answer, HUGE));
	EXPECT_EQ(0, kt_exit_status(pid));
	EXPECT_EQ(0, fuse_abort(&file));
	free(answer);
}

/* and so does a receiver, with what it has copied */
TEST_F(memcg, message_that_cannot_be_in_memory_all_at_once_is_received)
{
	struct fuse_file file;
	char *message;
	pid_t pid;

	if (!get_file(_metadata, self, &file))
		return;
	message = malloc(HUGE);
	ASSERT_NE(NULL, message);
	write_words(message, HUGE);
	ASSERT_EQ(0, kt_post(self->fd, message, HUGE, 0));
	pid = kt_fork();
	if (pid == 0)
		_exit(receive_to_file(self->fd, fuse_map(&file, MAP_SHARED)));
	EXPECT_EQ(0, kt_exit_status(pid));
	EXPECT_EQ(1, kt_stat(self->fd).received);
	EXPECT_EQ(0, kt_stat(self->fd).queued_bytes);
	EXPECT_EQ(0, fuse_abort(&file));
	free(message);
}

/* room that was never used costs no memory, as with read(2), but for a little */
TEST_F(memcg, message_that_is_short_needs_no_memory_for_a_long_one)
{
	struct kpost_open args = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	pid_t pid;
	int fd;

	args.bytes = HUGE;
	args.message_max = HUGE;
	fd = kt_do_open(&args);
	ASSERT_LE(0, fd);
	pid = kt_fork();
	if (pid == 0) {
		char *room = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);

		if (child_write(GROUP "/cgroup.procs", "0"))
			_exit(126);
		_exit(kt_recv(fd, NULL, room, HUGE, 0, kt_soon()) != 5);
	}
	EXPECT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1 || kt_task_state(pid) == 'Z'));
	ASSERT_EQ(0, kt_post(fd, "short", 5, 0));
	EXPECT_EQ(0, kt_exit_status(pid)) TH_LOG("killed before there was a message");
	close(fd);
}

TEST_HARNESS_MAIN
