// SPDX-License-Identifier: GPL-2.0-only
/*
 * No byte that the kernel did not mean to tell reaches user memory, and none beyond
 * what it was given.
 *
 * Each operation is done twice with its struct and buffers filled with two different
 * patterns.  A byte that is the operation's to write is then the same both times; all
 * others are as they were filled.  Structs are as large as in their first version, at
 * the very end of what is mapped, or larger than the kernel knows.
 */
#include "child_test.h"
#include "submit_test.h"

#define ALL	SIZE_MAX
#define WHOLE	{ 0, ALL }
#define FIELD(type, field) { offsetof(struct type, field), sizeof(((struct type *)0)->field) }

struct range {
	size_t at;
	size_t len; /* 0 ends a list */
};

FIXTURE(leak) {
	int receiver, sender;
	char name[KT_NAME_SIZE];
	uint64_t token;
	struct kt_job caller;
	struct kpost_call call;
	char answer[32];
};

FIXTURE_SETUP(leak)
{
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 8, 0));
	self->receiver = fds[0];
	self->sender = fds[1];
	kt_name(self->name);
}

FIXTURE_TEARDOWN(leak)
{
}

enum which { INFO, OPEN, UNLINK, LIST, SEND, SEND_TOLD, RECV, RECV_TOO_LONG, REPLY, CALL,
	     CALL_REFUSED, SUBMIT, COLLECT, CANCEL, STAT, SETATTR, GRANT };

static const char payload[] = "payload";
static char buffer[64], entries[sizeof(struct kpost_stat)];

#define CALL_OUT FIELD(kpost_call, sequence), FIELD(kpost_call, reply_tag),		\
	FIELD(kpost_call, badge), FIELD(kpost_call, time), FIELD(kpost_call, message_flags), \
	FIELD(kpost_call, pid), FIELD(kpost_call, uid), FIELD(kpost_call, gid),		\
	FIELD(kpost_call, opener_uid), FIELD(kpost_call, opener_gid)

static const struct operation {
	enum which which;
	const char *name;
	unsigned long op;
	size_t size_1;
	bool on_device;
	struct range out[19]; /* of the struct; empty if nothing is */
} operations[] = {
	{ INFO, "INFO", KPOST_IOC_INFO, 104, true, { WHOLE } },
	{ OPEN, "OPEN", KPOST_IOC_OPEN, 320, true, { FIELD(kpost_open, send_fd) } },
	{ UNLINK, "UNLINK", KPOST_IOC_UNLINK, 264, true, { { 0, 0 } } },
	{ LIST, "LIST", KPOST_IOC_LIST, 272, true, { { 0, 0 } } },
	{ SEND, "SEND", KPOST_IOC_SEND, 80, false, { { 0, 0 } } },
	{ SEND_TOLD, "SEND that tells", KPOST_IOC_SEND, 80, false, {
		FIELD(kpost_send, sequence) } },
	{ RECV, "RECV", KPOST_IOC_RECV, 160, false, {
		FIELD(kpost_recv, message_flags), FIELD(kpost_recv, tag), FIELD(kpost_recv, size),
		FIELD(kpost_recv, sequence), FIELD(kpost_recv, token),
		FIELD(kpost_recv, reply_max), FIELD(kpost_recv, badge), FIELD(kpost_recv, time),
		FIELD(kpost_recv, call_deadline), FIELD(kpost_recv, priority),
		FIELD(kpost_recv, pid), FIELD(kpost_recv, uid), FIELD(kpost_recv, gid),
		FIELD(kpost_recv, opener_uid), FIELD(kpost_recv, opener_gid),
		FIELD(kpost_recv, missed), FIELD(kpost_recv, attempts),
		FIELD(kpost_recv, expires) } },
	{ RECV_TOO_LONG, "RECV of too much", KPOST_IOC_RECV, 160, false, {
		FIELD(kpost_recv, size) } },
	{ REPLY, "REPLY", KPOST_IOC_REPLY, 48, false, { { 0, 0 } } },
	{ CALL, "CALL", KPOST_IOC_CALL, 128, false, { CALL_OUT } },
	{ CALL_REFUSED, "CALL that ends without a reply", KPOST_IOC_CALL, 128, false, {
		CALL_OUT } },
	{ SUBMIT, "CALL_SUBMIT", KPOST_IOC_CALL_SUBMIT, 80, false, {
		FIELD(kpost_call_submit, id), FIELD(kpost_call_submit, sequence) } },
	{ COLLECT, "CALL_COLLECT", KPOST_IOC_CALL_COLLECT, 120, false, {
		FIELD(kpost_call_collect, id), FIELD(kpost_call_collect, user_data),
		FIELD(kpost_call_collect, size), FIELD(kpost_call_collect, sequence),
		FIELD(kpost_call_collect, reply_tag), FIELD(kpost_call_collect, badge),
		FIELD(kpost_call_collect, time), FIELD(kpost_call_collect, message_flags),
		FIELD(kpost_call_collect, pid), FIELD(kpost_call_collect, uid),
		FIELD(kpost_call_collect, gid), FIELD(kpost_call_collect, opener_uid),
		FIELD(kpost_call_collect, opener_gid) } },
	{ CANCEL, "CALL_CANCEL", KPOST_IOC_CALL_CANCEL, 24, false, {
		FIELD(kpost_call_cancel, message_flags), FIELD(kpost_call_cancel, sequence) } },
	{ STAT, "STAT", KPOST_IOC_STAT, 456, false, { WHOLE } },
	{ SETATTR, "SETATTR", KPOST_IOC_SETATTR, 40, false, { { 0, 0 } } },
	{ GRANT, "GRANT", KPOST_IOC_GRANT, 32, false, { { 0, 0 } } },
};

static unsigned char given[1 << 14]; /* the struct as it was before the operation */

static long operate_on(int fd, unsigned long op, void *arg)
{
	memcpy(given, arg, _IOC_SIZE(op));
	return kt_ioctl(fd, op, arg);
}

static bool is_out(const struct operation *operation, size_t at)
{
	for (const struct range *out = operation->out; out->len; out++) {
		if (at >= out->at && at - out->at < out->len)
			return true;
	}
	return false;
}

/* all of the struct is filled then, with zero where nothing is known */
static bool only_answers(const struct operation *operation)
{
	return operation->out[0].len == ALL;
}

/* fill in what the operation reads; what is left is its to write or to leave alone */
static void do_open(struct __test_metadata *_metadata, void *arg, unsigned long op)
{
	struct kpost_open open = kt_open_args(NULL, KPOST_RIGHT_RECV,
					      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
	long ret;

	memcpy(arg, &open, sizeof(open));
	ret = operate_on(kt_device(), op, arg);
	ASSERT_LE(0, ret);
	close((int)ret);
	close(((struct kpost_open *)arg)->send_fd);
}

static void ask(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self)
{
	struct kpost_recv recv;

	self->call = kt_call_args("ask", 3, self->answer, sizeof(self->answer), kt_soon());
	kt_start(&self->caller, self->sender, KPOST_IOC_CALL, &self->call);
	ASSERT_EQ(3, kt_recv(self->receiver, &recv, buffer, sizeof(buffer), 0, kt_soon()));
	self->token = recv.token;
}

static void do_recv(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self, void *arg,
		    unsigned long op, bool too_long, unsigned char fill)
{
	struct kpost_recv recv;

	ASSERT_EQ(0, kt_post(self->sender, payload, 7, 3));
	memset(buffer, fill, sizeof(buffer));
	memset(&recv, fill, sizeof(recv));
	recv.flags = KPOST_DONTWAIT;
	recv.deadline = 0;
	recv.buf = (uintptr_t)buffer;
	recv.len = too_long ? 6 : sizeof(buffer);
	recv.cookie = 0;
	memcpy(arg, &recv, sizeof(recv));
	ASSERT_EQ(too_long ? -EMSGSIZE : 7, operate_on(self->receiver, op, arg));
	for (size_t i = too_long ? 0 : 7; i < sizeof(buffer); i++) {
		EXPECT_EQ(fill, (unsigned char)buffer[i]) TH_LOG("byte %zu of the buffer", i);
	}
	if (too_long) {
		ASSERT_EQ(7, kt_take(self->receiver, NULL, buffer, sizeof(buffer)));
	}
}

static long answer_one(void *arg)
{
	struct kpost_recv recv;
	int fd = *(int *)arg;
	char buf[8];
	long ret = kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon());

	return ret < 0 ? ret : kt_reply(fd, recv.token, "yes", 3);
}

static void do_call(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self, void *arg,
		    unsigned long op, unsigned char fill, bool refused)
{
	struct kpost_call call = kt_call_args(payload, 7, buffer, sizeof(buffer), kt_soon());
	size_t in = offsetof(struct kpost_call, sequence);
	struct kt_job server;

	memset(buffer, fill, sizeof(buffer));
	memset((char *)&call + in, fill, sizeof(call) - in);
	call.deadline = refused ? 1 : call.deadline;
	memcpy(arg, &call, sizeof(call));
	if (refused) {
		ASSERT_EQ(-ETIMEDOUT, operate_on(self->sender, op, arg));
		return;
	}
	kt_start_fn(&server, answer_one, &self->receiver);
	ASSERT_EQ(3, operate_on(self->sender, op, arg));
	ASSERT_TRUE(kt_join(&server));
	for (size_t i = 3; i < sizeof(buffer); i++) {
		EXPECT_EQ(fill, (unsigned char)buffer[i]) TH_LOG("byte %zu of the buffer", i);
	}
}

/* one that has its reply */
static uint64_t submit(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self)
{
	uint64_t id;

	ASSERT_EQ(0, kt_submit(self->sender, payload, 7, sizeof(buffer), 5, &id));
	ASSERT_EQ(0, answer_one(&self->receiver));
	return id;
}

static void do_submit(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self, void *arg,
		      unsigned long op, unsigned char fill)
{
	struct kpost_call_submit args =
		kt_submit_args(payload, 7, 7, 5, KPOST_DONTWAIT, 0);

	memset(&args.id, fill, sizeof(args) - offsetof(struct kpost_call_submit, id));
	memcpy(arg, &args, sizeof(args));
	ASSERT_EQ(0, operate_on(self->sender, op, arg));
	ASSERT_EQ(1, kt_cancel(self->sender, 0));
}

static void do_collect(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self, void *arg,
		       unsigned long op, unsigned char fill)
{
	struct kpost_call_collect args = kt_collect_args(buffer, sizeof(buffer), 0, 0, kt_soon());
	size_t in = offsetof(struct kpost_call_collect, user_data);

	submit(_metadata, self);
	memset(buffer, fill, sizeof(buffer));
	memset((char *)&args + in, fill, sizeof(args) - in);
	memcpy(arg, &args, sizeof(args));
	ASSERT_EQ(3, operate_on(self->sender, op, arg));
	for (size_t i = 3; i < sizeof(buffer); i++) {
		EXPECT_EQ(fill, (unsigned char)buffer[i]) TH_LOG("byte %zu of the buffer", i);
	}
}

static void do_cancel(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self, void *arg,
		      unsigned long op, unsigned char fill)
{
	struct kpost_call_cancel args = { .flags = 0 };

	memset(&args.message_flags, fill, sizeof(args.message_flags));
	memset(&args.sequence, fill, sizeof(args.sequence));
	args.id = submit(_metadata, self);
	memcpy(arg, &args, sizeof(args));
	ASSERT_EQ(1, operate_on(self->sender, op, arg));
	/* which differs each time, and is read only */
	EXPECT_EQ(args.id, ((struct kpost_call_cancel *)arg)->id);
}

static void do_list(struct __test_metadata *_metadata, void *arg, unsigned long op)
{
	struct kpost_list list = { .buf = (uintptr_t)entries, .count = 1,
				   .entry_size = sizeof(struct kpost_stat) };

	/* which has been filled, and of which there is one entry */
	memcpy(arg, &list, sizeof(list));
	ASSERT_LE(0, operate_on(kt_device(), op, arg));
}

static void operate(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self,
		    const struct operation *operation, size_t size, void *arg, unsigned char fill)
{
	unsigned long op = kt_op_sized(operation->op, size);
	struct kpost_setattr attr = { .valid = KPOST_SET_MODE, .mode = 0600 };
	struct kpost_send send = kt_send_args(payload, 7, 0, KPOST_DONTWAIT, 0);
	struct kpost_unlink unlink = { .flags = 0 };
	struct kpost_reply reply = { .buf = (uintptr_t)payload, .len = 7 };
	struct kpost_grant grant = { .rights = KPOST_RIGHT_RECV };
	long ret;

	switch (operation->which) {
	case INFO:
		ASSERT_EQ(0, operate_on(kt_device(), op, arg));
		break;
	case OPEN:
		do_open(_metadata, arg, op);
		break;
	case UNLINK:
		close(kt_open(self->name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST));
		memcpy(unlink.name, self->name, sizeof(unlink.name));
		memcpy(arg, &unlink, sizeof(unlink));
		ASSERT_EQ(0, operate_on(kt_device(), op, arg));
		break;
	case LIST:
		do_list(_metadata, arg, op);
		break;
	case SEND:
	case SEND_TOLD:
		if (operation->which == SEND_TOLD)
			send.flags |= KPOST_WANT_SEQUENCE;
		memset(&send.sequence, fill, sizeof(send.sequence));
		memcpy(arg, &send, sizeof(send));
		ASSERT_EQ(0, operate_on(self->sender, op, arg));
		ASSERT_EQ(7, kt_take(self->receiver, NULL, buffer, sizeof(buffer)));
		break;
	case RECV:
	case RECV_TOO_LONG:
		do_recv(_metadata, self, arg, op, operation->which == RECV_TOO_LONG, fill);
		break;
	case REPLY:
		ask(_metadata, self);
		reply.token = self->token;
		memcpy(arg, &reply, sizeof(reply));
		ASSERT_EQ(0, operate_on(self->receiver, op, arg));
		ASSERT_TRUE(kt_join(&self->caller));
		ASSERT_EQ(7, self->caller.ret);
		break;
	case CALL:
	case CALL_REFUSED:
		do_call(_metadata, self, arg, op, fill, operation->which == CALL_REFUSED);
		break;
	case SUBMIT:
		do_submit(_metadata, self, arg, op, fill);
		break;
	case COLLECT:
		do_collect(_metadata, self, arg, op, fill);
		break;
	case CANCEL:
		do_cancel(_metadata, self, arg, op, fill);
		break;
	case STAT:
		ASSERT_EQ(0, operate_on(self->receiver, op, arg));
		break;
	case SETATTR:
		memcpy(arg, &attr, sizeof(attr));
		ASSERT_EQ(0, operate_on(self->receiver, op, arg));
		break;
	case GRANT:
		memcpy(arg, &grant, sizeof(grant));
		ret = operate_on(self->receiver, op, arg);
		ASSERT_LE(0, ret);
		close((int)ret);
		break;
	}
}

/* what differs from one time to the next, and is not for a test to know */
static void forget(const struct operation *operation, unsigned char *arg)
{
	struct kpost_send *send = (void *)arg;
	struct kpost_recv *recv = (void *)arg;
	struct kpost_call *call = (void *)arg;
	struct kpost_call_submit *submitted = (void *)arg;
	struct kpost_call_collect *collected = (void *)arg;
	struct kpost_call_cancel *cancelled = (void *)arg;
	struct kpost_stat *st = (void *)arg;

	if (operation->which == RECV) {
		recv->sequence = 0;
		recv->time = 0;
	} else if (operation->which == SEND_TOLD) {
		send->sequence = 0;
	} else if (operation->which == CALL) {
		call->sequence = 0;
		call->time = 0;
	} else if (operation->which == SUBMIT) {
		submitted->id = 0;
		submitted->sequence = 0;
	} else if (operation->which == COLLECT) {
		collected->id = 0;
		collected->sequence = 0;
		collected->time = 0;
	} else if (operation->which == CANCEL) {
		cancelled->sequence = 0;
	} else if (operation->which == STAT) {
		st->sent = 0;
		st->received = 0;
		st->unattended = 0;
	}
}

static void check_size(struct __test_metadata *_metadata, FIXTURE_DATA(leak) *self,
		       const struct operation *operation, size_t size)
{
	static unsigned char seen[2][1 << 14];
	const unsigned char fills[2] = { 0xA5, 0x5A };
	size_t room = (size + kt_page_size() - 1) & ~(kt_page_size() - 1);
	unsigned char *end, *arg;

	/* nothing is mapped behind it */
	end = mmap(NULL, room + kt_page_size(), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, end);
	end += room;
	ASSERT_EQ(0, mprotect(end, kt_page_size(), PROT_NONE));
	arg = end - size;
	for (int i = 0; i < 2; i++) {
		memset(end - room, fills[i], room);
		/* where something is read, what is unknown must be zero */
		if (!only_answers(operation))
			memset(arg + operation->size_1, 0, size - operation->size_1);
		operate(_metadata, self, operation, size, arg, fills[i]);
		for (unsigned char *before = end - room; before < arg; before++) {
			ASSERT_EQ(fills[i], *before) TH_LOG("%s wrote before", operation->name);
		}
		for (size_t at = 0; at < size; at++) {
			if (at < operation->size_1 && is_out(operation, at))
				continue;
			EXPECT_EQ(only_answers(operation) ? 0 : given[at], arg[at])
				TH_LOG("%s(%zu): byte %zu was written", operation->name, size, at);
		}
		forget(operation, arg);
		memcpy(seen[i], arg, size);
	}
	for (size_t at = 0; at < operation->size_1; at++) {
		if (is_out(operation, at)) {
			EXPECT_EQ(seen[0][at], seen[1][at])
				TH_LOG("%s(%zu): byte %zu is left", operation->name, size, at);
		}
	}
	munmap(end - room, room + kt_page_size());
}

TEST_F(leak, uninitialised_bytes_are_in_no_struct_of_any_size)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		const struct operation *operation = &operations[i];

		check_size(_metadata, self, operation, operation->size_1);
		check_size(_metadata, self, operation, operation->size_1 + 8);
		check_size(_metadata, self, operation, 4096);
		check_size(_metadata, self, operation, (1 << 14) - 1);
	}
}

/* ---- what was there before ------------------------------------------------------------ */

#define SECRET	"a freed payload!"
#define WIDE	(1 << 14)

static char wide[WIDE];

/*
 * Leave the secret in as much free memory of each size as there is at hand.  Kernels
 * that clear what they allocate hide what this is for: boot them with init_on_alloc=0.
 */
static void strew(struct __test_metadata *_metadata, int sender, int receiver)
{
	for (size_t i = 0; i < WIDE; i += sizeof(SECRET) - 1)
		memcpy(wide + i, SECRET, sizeof(SECRET) - 1);
	for (size_t size = 16; size <= WIDE; size += size / 8) {
		for (int i = 0; i < 8; i++) {
			ASSERT_EQ(0, kt_post(sender, wide, size, 0));
		}
		for (int i = 0; i < 8; i++) {
			ASSERT_LE(0, kt_recv(receiver, NULL, NULL, 0, KPOST_TRUNCATE, kt_soon()));
		}
	}
	memset(wide, 0, WIDE);
}

static bool is_told_of(const void *mem, size_t len)
{
	return memmem(mem, len, SECRET, sizeof(SECRET) / 2);
}

TEST_F(leak, uninitialised_bytes_of_freed_payloads_come_out_nowhere)
{
	struct kpost_info info = { .features = 0 };
	struct kpost_recv recv;
	struct kpost_stat st;
	char path[64];

	self->call = kt_call_args("ask", 3, wide, WIDE, 0);
	for (size_t size = 1; size < WIDE; size += size / 2 + 1) {
		strew(_metadata, self->sender, self->receiver);
		ASSERT_EQ(0, kt_post(self->sender, wide, size, 0));
		ASSERT_EQ(size, kt_take(self->receiver, &recv, wide, WIDE));
		ASSERT_FALSE(is_told_of(wide, WIDE)) TH_LOG("a message of %zu", size);
		EXPECT_FALSE(is_told_of(&recv, sizeof(recv)));

		/* room for more than the reply has, where the secret was */
		self->call.reply_len = size + 16;
		kt_start(&self->caller, self->sender, KPOST_IOC_CALL, &self->call);
		ASSERT_EQ(3, kt_recv(self->receiver, &recv, buffer, sizeof(buffer), 0, kt_soon()));
		ASSERT_EQ(0, kt_reply(self->receiver, recv.token, "yes", 3));
		ASSERT_TRUE(kt_join(&self->caller));
		ASSERT_EQ(3, self->caller.ret);
		ASSERT_FALSE(is_told_of(wide, WIDE)) TH_LOG("a reply in %zu", size);
		EXPECT_FALSE(is_told_of(&recv, sizeof(recv)));

		st = kt_stat(self->receiver);
		EXPECT_FALSE(is_told_of(&st, sizeof(st)));
		ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &info));
		EXPECT_FALSE(is_told_of(&info, sizeof(info)));
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->receiver);
		ASSERT_LT(0, child_read(path, wide, WIDE));
		EXPECT_FALSE(is_told_of(wide, WIDE));
		ASSERT_LT(0, child_read("/proc/net/kpost", wide, WIDE));
		EXPECT_FALSE(is_told_of(wide, WIDE));
		memset(wide, 0, WIDE);
	}
}

TEST_HARNESS_MAIN
