// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a mailbox keeps: nothing of an earlier message is seen, it is the receivers' own,
 * it goes when it is not used, and a sender whose memory has to be brought in loses nothing.
 * What a call takes is its caller's.
 */
#include "child_test.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define ROOT		"/sys/fs/cgroup"
#define SENDERS		ROOT "/kpost-senders"
#define RECEIVERS	ROOT "/kpost-receivers"
#define KEPT_MAX	(256 << 10)
#define SLACK		(48 << 10)	/* what a memory cgroup counts beside, or later */
#define LAG		(768 << 10)	/* how much later, while much changes */
#define OWNER		12345
#define STRANGER	12346
#define BLOCK_POISON	0x9d		/* what kept memory is filled with on kernels with KASAN */

static const size_t sizes[] = { 0, 1, 63, 64, 65, 112, 113, 300, 500, 1000, 2000, 3968, 3969, 4096,
				8000, 16384, 32768, 65536, 100000 };

FIXTURE(kept) {
	int fd;
	char *out, *in;
};

#define BIGGEST 100000
#define ROOM	(BIGGEST + 64)

FIXTURE_SETUP(kept)
{
	self->fd = kt_mailbox(64, 1 << 20, BIGGEST);
	ASSERT_LE(0, self->fd);
	self->out = malloc(ROOM);
	self->in = malloc(ROOM);
	ASSERT_NE(NULL, self->out);
	ASSERT_NE(NULL, self->in);
}

FIXTURE_TEARDOWN(kept)
{
	free(self->out);
	free(self->in);
	close(self->fd);
}

/* have the mailbox keep blocks of all sizes, with @byte in them */
static void stain(struct __test_metadata *_metadata, FIXTURE_DATA(kept) *self, int byte)
{
	memset(self->out, byte, BIGGEST);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			ASSERT_EQ(0, kt_post(self->fd, self->out, sizes[i], 0));
			ASSERT_EQ(sizes[i], kt_take(self->fd, NULL, self->in, ROOM));
		}
	}
}

/* are there eight bytes in a row that are @byte? */
static bool has_run(const void *bytes, size_t size, int byte)
{
	const unsigned char *at = bytes;
	unsigned int run = 0;

	for (size_t i = 0; i < size; i++) {
		run = at[i] == byte ? run + 1 : 0;
		if (run == 8)
			return true;
	}
	return false;
}

static bool stained(const void *bytes, size_t size)
{
	return has_run(bytes, size, 's') || has_run(bytes, size, BLOCK_POISON);
}

TEST_F(kept, memory_shows_nothing_of_earlier_messages)
{
	struct kpost_recv recv;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		stain(_metadata, self, 's');
		/* shorter by up to 9 bytes than what was there */
		for (size_t cut = 0; cut <= 9 && cut <= sizes[i]; cut++) {
			size_t size = sizes[i] - cut;

			memset(self->out, 'n', size);
			memset(self->in, '.', ROOM);
			ASSERT_EQ(0, kt_post(self->fd, self->out, size, 0));
			ASSERT_EQ(size, kt_recv(self->fd, &recv, self->in, ROOM, 0, kt_soon()));
			ASSERT_EQ(0, memcmp(self->in, self->out, size));
			ASSERT_TRUE(size + 1 > ROOM || self->in[size] == '.');
			ASSERT_FALSE(stained(self->in, ROOM));
			ASSERT_FALSE(stained(&recv, sizeof(recv)));
		}
	}
}

TEST_F(kept, memory_shows_nothing_when_a_copy_stops_in_the_middle)
{
	char *edge = kt_edge(PROT_NONE);
	size_t page = kt_page_size();

	/* @edge is where readable memory ends */
	for (size_t before = 1; before < page; before += 513) {
		stain(_metadata, self, 's');
		memset(edge - before, 'n', before);
		ASSERT_EQ(-EFAULT, kt_post(self->fd, edge - before, before + 1, 0));
		ASSERT_EQ(-EFAULT, kt_post(self->fd, edge - before, before + page, 0));
		ASSERT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->in, ROOM));
		/* and into memory that ends early */
		memset(self->out, 'm', BIGGEST);
		ASSERT_EQ(0, kt_post(self->fd, self->out, before + 1, 0));
		ASSERT_EQ(-EFAULT, kt_take(self->fd, NULL, edge - before, before + 1));
		ASSERT_FALSE(stained(edge - before, before));
		ASSERT_EQ(before + 1, kt_take(self->fd, NULL, self->in, ROOM));
		ASSERT_EQ(0, memcmp(self->in, self->out, before + 1));
	}
}

/* payloads about as long as a table of pieces, or two, has room for: each byte is in its place */
TEST(memory_in_pieces_arrives_in_order)
{
	static const size_t tables[] = { 96 << 10, 448 << 10, 800 << 10 };
	size_t room = 1 << 20;
	uint32_t *out = malloc(room), *in = malloc(room);
	int fd = kt_mailbox(8, 4 << 20, 1 << 20);
	struct kpost_recv recv;

	ASSERT_LE(0, fd);
	ASSERT_NE(NULL, out);
	ASSERT_NE(NULL, in);
	/* the first time in the sender's own memory, then in more and more of the mailbox's */
	for (uint32_t round = 0; round < 4; round++) {
		for (size_t i = 0; i < 9; i++) {
			size_t size = tables[i / 3] + i % 3 - 1;
			size_t part = size - (33 << 10);

			for (uint32_t k = 0; k < room / sizeof(*out); k++)
				out[k] = (k + round) * 2654435761U + i;
			ASSERT_EQ(0, kt_post(fd, out, size, 0));
			ASSERT_EQ(0, kt_post(fd, out, size, 0));
			memset(in, '.', room);
			ASSERT_EQ(size, kt_take(fd, NULL, in, room));
			ASSERT_EQ(0, memcmp(in, out, size));
			ASSERT_EQ('.', ((char *)in)[size]);
			memset(in, '.', room);
			ASSERT_EQ(part, kt_recv(fd, &recv, in, part, KPOST_TRUNCATE, kt_soon()));
			ASSERT_EQ(0, memcmp(in, out, part));
			ASSERT_EQ('.', ((char *)in)[part]);
		}
	}
	free(out);
	free(in);
	close(fd);
}

TEST_F(kept, replies_show_nothing_of_earlier_messages)
{
	struct kpost_call call;
	struct kpost_recv recv;
	struct kt_job job;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i] / 2;

		stain(_metadata, self, 's');
		memset(self->out, 'n', size);
		memset(self->in, '.', ROOM);
		call = kt_call_args("ask", 3, self->in, ROOM, kt_soon());
		kt_start(&job, self->fd, KPOST_IOC_CALL, &call);
		ASSERT_EQ(3, kt_recv(self->fd, &recv, self->out + size, 8, 0, kt_soon()));
		ASSERT_EQ(0, kt_reply(self->fd, recv.token, self->out, size));
		ASSERT_TRUE(kt_join(&job));
		ASSERT_EQ(size, job.ret);
		ASSERT_EQ(0, memcmp(self->in, self->out, size));
		ASSERT_FALSE(stained(self->in, ROOM));
		ASSERT_FALSE(stained(&call, sizeof(call)));
		ASSERT_FALSE(stained(&recv, sizeof(recv)));
	}
}

/* the sender's memory has to be read from a file, page by page, while the message is copied */
TEST_F(kept, memory_that_is_brought_in_gives_whole_messages)
{
	int file = syscall(SYS_memfd_create, "kpost", 0);

	ASSERT_LE(0, file);
	for (size_t i = 0; i < ROOM; i++)
		self->out[i] = i * 7 + i / 251;
	ASSERT_EQ(ROOM, write(file, self->out, ROOM));
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			char *fresh = mmap(NULL, ROOM, PROT_READ, MAP_PRIVATE, file, 0);
			size_t at = i * 3;

			ASSERT_NE(MAP_FAILED, fresh);
			ASSERT_EQ(0, madvise(fresh, ROOM, MADV_RANDOM));
			ASSERT_EQ(0, kt_post(self->fd, fresh + at, sizes[i], 0));
			ASSERT_EQ(0, munmap(fresh, ROOM));
			ASSERT_EQ(sizes[i], kt_take(self->fd, NULL, self->in, ROOM));
			ASSERT_EQ(0, memcmp(self->in, self->out + at, sizes[i]));
		}
	}
	close(file);
}

/* ---- what a call takes ---------------------------------------------------------------- */

/* a call with so much room, which gets as much */
static long ask(int fd, size_t room)
{
	static char in[BIGGEST], out[BIGGEST];
	struct kpost_call call = kt_call_args("ask", 3, in, room, kt_soon());
	struct kpost_recv recv;
	struct kt_job job;
	char buf[8];

	memset(out, (int)(room % 250), room);
	memset(in, 255, room);
	kt_start(&job, fd, KPOST_IOC_CALL, &call);
	if (kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon()) != 3)
		return -1;
	if (kt_reply(fd, recv.token, out, room) || !kt_join(&job))
		return -1;
	return memcmp(in, out, room) ? -2 : job.ret;
}

TEST_F(kept, calls_with_room_of_all_sizes_in_turns)
{
	unsigned int seed = 1;

	for (int i = 0; i < 200; i++) {
		size_t room = sizes[(unsigned int)rand_r(&seed) % ARRAY_SIZE(sizes)];

		ASSERT_EQ(room, ask(self->fd, room));
	}
}

/* ---- who pays -------------------------------------------------------------------- */

/*
 * In slabs, what the group is charged for, in bytes.  All of the kernel's memory would be more
 * to the point, but newer kernels count that some MiB too high for as long as nothing happens.
 */
static long charged(const char *stat)
{
	char text[8192];
	const char *at;

	if (child_read(stat, text, sizeof(text)) <= 0)
		return -1;
	at = strstr(text, "\nslab ");
	return at ? atol(at + 6) : -1;
}

#define charged_to(group) charged(group "/memory.stat")

FIXTURE(kept_groups) {
	bool there;
	bool *stop;
};

FIXTURE_SETUP(kept_groups)
{
	char text[256];

	if (geteuid() != 0)
		SKIP(return, "cgroups of one's own need root");
	if (child_read(ROOT "/cgroup.controllers", text, sizeof(text)) <= 0 ||
	    !strstr(text, "memory"))
		SKIP(return, "no cgroup2 with the memory controller at " ROOT);
	child_write(ROOT "/cgroup.subtree_control", "+memory");
	if (charged_to(ROOT) < 0)
		SKIP(return, "the kernel does not say what a group is charged for slabs");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, mkdir(SENDERS, 0755));
	ASSERT_EQ(0, mkdir(RECEIVERS, 0755));
	self->there = true;
	self->stop = kt_shared(sizeof(*self->stop));
	ASSERT_NE(NULL, self->stop);
}

FIXTURE_TEARDOWN(kept_groups)
{
	if (!self->there)
		return;
	/* what is kept holds a group no longer than until it is looked at twice */
	EXPECT_TRUE(kt_until(rmdir(SENDERS) == 0 || errno == ENOENT));
	EXPECT_TRUE(kt_until(rmdir(RECEIVERS) == 0 || errno == ENOENT));
}

static void stream(int fd, bool sends, bool *stop)
{
	char buf[4000] = "";

	if (child_write(sends ? SENDERS "/cgroup.procs" : RECEIVERS "/cgroup.procs", "0"))
		_exit(126);
	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		long ret = sends ? kt_send(fd, buf, sizeof(buf), 0, 0, kt_in(100)) :
				   kt_recv(fd, NULL, buf, sizeof(buf), 0, kt_in(100));

		if (ret < 0 && ret != -ETIMEDOUT)
			_exit(-ret);
	}
	/* its group stays as charged as it is until it is told to go */
	pause();
	_exit(0);
}

TEST_F(kept_groups, memory_is_the_receivers_own_and_goes_when_it_lies_unused)
{
	enum { MESSAGES = 2000 };
	int fd = kt_mailbox(MESSAGES, MESSAGES * 4000, 4000);
	long before, most = 0;
	pid_t sender, receiver;

	ASSERT_LE(0, fd);
	sender = kt_fork();
	if (sender == 0)
		stream(fd, true, self->stop);
	/* all are in the queue, and their sender's */
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 1));
	EXPECT_TRUE(kt_until(charged_to(SENDERS) > MESSAGES * 4000 - LAG));

	receiver = kt_fork();
	if (receiver == 0)
		stream(fd, false, self->stop);
	before = charged_to(RECEIVERS);
	/* the stream goes through memory of the receiver's, and no more than may be kept */
	EXPECT_TRUE(kt_until(charged_to(RECEIVERS) > before + 60000))
		TH_LOG("before: %ld, now: %ld", before, charged_to(RECEIVERS));
	for (int i = 0; i < 1000; i++) {
		long now = charged_to(RECEIVERS);

		if (most < now)
			most = now;
		kt_pause();
	}
	EXPECT_GE(before + KEPT_MAX + LAG, most);
	__atomic_store_n(self->stop, true, __ATOMIC_RELEASE);
	while (kt_recv(fd, NULL, (char[4000]){ 0 }, 4000, 0, kt_in(300)) >= 0)
		;
	EXPECT_TRUE(kt_until(charged_to(RECEIVERS) < before + SLACK))
		TH_LOG("before: %ld, now: %ld", before, charged_to(RECEIVERS));
	EXPECT_TRUE(kt_until(charged_to(SENDERS) < 2 * SLACK))
		TH_LOG("now: %ld", charged_to(SENDERS));
	EXPECT_LE(0, kt_kill(sender));
	EXPECT_LE(0, kt_kill(receiver));
	close(fd);
}

static void call_on(int fd, bool *stop)
{
	char room[3000];

	if (child_write(SENDERS "/cgroup.procs", "0"))
		_exit(126);
	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		long ret = kt_call(fd, "ask", 3, room, sizeof(room), kt_soon());

		if (ret != 6)
			_exit(-ret);
	}
	pause();
	_exit(0);
}

static void reply_on(int fd)
{
	struct kpost_recv recv;
	char buf[8];

	if (child_write(RECEIVERS "/cgroup.procs", "0"))
		_exit(126);
	while (kt_recv(fd, &recv, buf, sizeof(buf), 0, 0) == 3) {
		if (kt_reply(fd, recv.token, "answer", 6))
			_exit(1);
	}
	_exit(2);
}

/* what calls take is their callers', and goes with the call */
TEST_F(kept_groups, memory_of_calls_is_the_callers_own_and_goes_with_them)
{
	enum { CALLERS = 20, CALLS = 1000 };
	int fd = kt_mailbox(0, 0, 0);
	pid_t receiver, caller[CALLERS];
	long before, most = 0;
	uint64_t end;

	ASSERT_LE(0, fd);
	receiver = kt_fork();
	if (receiver == 0)
		reply_on(fd);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
	before = charged_to(RECEIVERS);
	for (int i = 0; i < CALLERS; i++) {
		caller[i] = kt_fork();
		if (caller[i] == 0)
			call_on(fd, self->stop);
	}
	end = kt_soon();
	while (kt_stat(fd).received < CALLS && kt_now() < end) {
		long now = charged_to(RECEIVERS);

		if (most < now)
			most = now;
		kt_pause();
	}
	EXPECT_LT(0, kt_stat(fd).received);
	/* of theirs there are requests at the most, of a hundredth of that each */
	EXPECT_GE(before + 3 * SLACK, most);
	__atomic_store_n(self->stop, true, __ATOMIC_RELEASE);
	EXPECT_TRUE(kt_until(kt_stat(fd).open_calls == 0 && kt_stat(fd).waiting_receivers == 1));
	for (int i = 0; i < CALLERS; i++)
		EXPECT_LE(0, kt_kill(caller[i]));
	EXPECT_TRUE(kt_until(charged_to(SENDERS) < 2 * SLACK))
		TH_LOG("now: %ld", charged_to(SENDERS));
	EXPECT_TRUE(kt_until(charged_to(RECEIVERS) < before + SLACK))
		TH_LOG("before: %ld, now: %ld", before, charged_to(RECEIVERS));
	EXPECT_LE(0, kt_kill(receiver));
	close(fd);
}

#define BOXES 60

struct boxes {
	int ready[2], filled[2];
	char name[KT_NAME_SIZE];
};

static void own(struct boxes *boxes)
{
	static char buf[32768];
	char limit[32], now[32], name[KT_NAME_SIZE], c;
	struct kpost_open open;
	int fd[BOXES];
	size_t left;
	char *memory;

	if (child_write(RECEIVERS "/cgroup.procs", "0") || child_become(OWNER, OWNER))
		_exit(126);
	for (int i = 0; i < BOXES; i++) {
		snprintf(name, sizeof(name), "%.200s-%d", boxes->name, i);
		open = kt_open_args(name, KPOST_RIGHT_RECV, KPOST_OPEN_CREATE);
		open.mode = 0622;
		fd[i] = kt_do_open(&open);
		if (fd[i] < 0)
			_exit(-fd[i]);
	}
	/* some are received, so that there is memory to keep, and others come in their place */
	for (int round = 0; round < 3; round++) {
		if (write(boxes->ready[1], "r", 1) != 1 || read(boxes->filled[0], &c, 1) != 1)
			_exit(126);
		for (int i = 0; i < BOXES && round < 2; i++) {
			for (int n = 0; n < 40; n++)
				kt_take(fd[i], NULL, buf, sizeof(buf));
		}
	}
	if (child_read(RECEIVERS "/memory.max", limit, sizeof(limit)) <= 0 ||
	    child_read(RECEIVERS "/memory.current", now, sizeof(now)) <= 0)
		_exit(126);
	left = atol(limit) - atol(now) - (1 << 20);
	memory = mmap(NULL, left, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		_exit(ENOMEM);
	for (size_t at = 0; at < left; at += kt_page_size())
		memory[at] = 1;
	_exit(0);
}

TEST_F(kept_groups, stranger_who_fills_all_mailboxes_takes_nothing_of_their_owners_memory)
{
	struct boxes boxes;
	char name[KT_NAME_SIZE];
	static char buf[32768];
	pid_t owner;
	char c;

	ASSERT_EQ(0, child_write(RECEIVERS "/memory.max", "16777216"));
	child_write(RECEIVERS "/memory.swap.max", "0");
	kt_name(boxes.name);
	ASSERT_EQ(0, pipe(boxes.ready));
	ASSERT_EQ(0, pipe(boxes.filled));
	owner = kt_fork();
	if (owner == 0)
		own(&boxes);
	if (kt_fork() == 0) {
		int fd[BOXES];

		if (child_become(STRANGER, STRANGER))
			_exit(126);
		for (int round = 0; round < 3; round++) {
			if (read(boxes.ready[0], &c, 1) != 1)
				_exit(126);
			for (int i = 0; i < BOXES; i++) {
				snprintf(name, sizeof(name), "%.200s-%d", boxes.name, i);
				if (round == 0)
					fd[i] = kt_open(name, KPOST_RIGHT_SEND, 0);
				/* large ones, then small ones where those do not fit */
				while (kt_post(fd[i], buf, i % 2 ? 4000 : sizeof(buf), 0) == 0)
					;
				while (kt_post(fd[i], buf, 64, 0) == 0)
					;
			}
			if (write(boxes.filled[1], "f", 1) != 1)
				_exit(126);
		}
		pause();
	}
	EXPECT_EQ(0, kt_exit_status(owner)) TH_LOG("the owner does not live");
}

TEST_HARNESS_MAIN
