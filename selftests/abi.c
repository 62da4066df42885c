// SPDX-License-Identifier: GPL-2.0-only
/*
 * The form of the operations: numbers, sizes, flags, reserved fields, which file
 * each belongs to, and that callers of 32 bits need no translation.
 */
#include "submit_test.h"

struct op {
	const char *name;
	unsigned long op;
	bool device;
};

static const struct op ops[] = {
	{ "INFO", KPOST_IOC_INFO, true },
	{ "OPEN", KPOST_IOC_OPEN, true },
	{ "UNLINK", KPOST_IOC_UNLINK, true },
	{ "LIST", KPOST_IOC_LIST, true },
	{ "SEND", KPOST_IOC_SEND, false },
	{ "RECV", KPOST_IOC_RECV, false },
	{ "CALL", KPOST_IOC_CALL, false },
	{ "REPLY", KPOST_IOC_REPLY, false },
	{ "REPLY_RECV", KPOST_IOC_REPLY_RECV, false },
	{ "STAT", KPOST_IOC_STAT, false },
	{ "SETATTR", KPOST_IOC_SETATTR, false },
	{ "GRANT", KPOST_IOC_GRANT, false },
	{ "SENDV", KPOST_IOC_SENDV, false },
	{ "RECVV", KPOST_IOC_RECVV, false },
	{ "CALL_SUBMIT", KPOST_IOC_CALL_SUBMIT, false },
	{ "CALL_COLLECT", KPOST_IOC_CALL_COLLECT, false },
	{ "CALL_CANCEL", KPOST_IOC_CALL_CANCEL, false },
	{ "CANCEL", KPOST_IOC_CANCEL, false },
	{ "CANCEL", KPOST_IOC_CANCEL, true },
};

#define for_each_op(o) for (const struct op *o = ops; o < ops + ARRAY_SIZE(ops); o++)

FIXTURE(abi) {
	int fd;			/* all rights on an anonymous mailbox */
	struct kpost_stat st;	/* as it was to begin with */
	char page[8192];	/* an argument, larger than any */
};

FIXTURE_SETUP(abi)
{
	ASSERT_LE(0, kt_device());
	self->fd = kt_mailbox(8, 4096, 512);
	ASSERT_LE(0, self->fd);
	self->st = kt_stat(self->fd);
}

FIXTURE_TEARDOWN(abi)
{
	close(self->fd);
}

static int op_fd(const struct op *o, int fd)
{
	return o->device ? kt_device() : fd;
}

TEST(abi_numbers_are_fixed)
{
	EXPECT_EQ(0x8068be00, KPOST_IOC_INFO);
	EXPECT_EQ(0xc140be01, KPOST_IOC_OPEN);
	EXPECT_EQ(0x4108be02, KPOST_IOC_UNLINK);
	EXPECT_EQ(0x4110be03, KPOST_IOC_LIST);
	EXPECT_EQ(0xc050be10, KPOST_IOC_SEND);
	EXPECT_EQ(0xc0a0be11, KPOST_IOC_RECV);
	EXPECT_EQ(0xc080be12, KPOST_IOC_CALL);
	EXPECT_EQ(0x4030be13, KPOST_IOC_REPLY);
	EXPECT_EQ(0xc018be14, KPOST_IOC_REPLY_RECV);
	EXPECT_EQ(0x81c8be15, KPOST_IOC_STAT);
	EXPECT_EQ(0x4028be16, KPOST_IOC_SETATTR);
	EXPECT_EQ(0x4020be17, KPOST_IOC_GRANT);
	EXPECT_EQ(0xc028be18, KPOST_IOC_SENDV);
	EXPECT_EQ(0xc028be19, KPOST_IOC_RECVV);
	EXPECT_EQ(0xc050be1a, KPOST_IOC_CALL_SUBMIT);
	EXPECT_EQ(0xc078be1b, KPOST_IOC_CALL_COLLECT);
	EXPECT_EQ(0xc018be1c, KPOST_IOC_CALL_CANCEL);
	EXPECT_EQ(0x4010be20, KPOST_IOC_CANCEL);
}

#define WIDE(type, field) { sizeof(struct type), offsetof(struct type, field),		\
			    sizeof(((struct type *)0)->field), #type "." #field }

/* i386 aligns 64 bits to 4 bytes only: a field at a multiple of 8 cannot move there */
TEST(abi_wide_fields_do_not_move_for_32_bit_callers)
{
	static const struct {
		size_t size, offset, width;
		const char *name;
	} fields[] = {
		WIDE(kpost_info, features), WIDE(kpost_info, default_bytes),
		WIDE(kpost_info, user_bytes), WIDE(kpost_info, user_sending_bytes),
		WIDE(kpost_info, office_bytes), WIDE(kpost_info, office_sending_bytes),
		WIDE(kpost_info, user_used), WIDE(kpost_info, user_sending_used),
		WIDE(kpost_info, office_used), WIDE(kpost_info, office_sending_used),
		WIDE(kpost_stat, counted), WIDE(kpost_open, bytes),
		WIDE(kpost_open, deadline), WIDE(kpost_open, cookie), WIDE(kpost_iovec, base),
		WIDE(kpost_iovec, len),
		WIDE(kpost_send, deadline), WIDE(kpost_send, buf), WIDE(kpost_send, len),
		WIDE(kpost_send, tag), WIDE(kpost_send, cookie), WIDE(kpost_send, sequence),
		WIDE(kpost_call, sequence), WIDE(kpost_call, tag), WIDE(kpost_call, cookie),
		WIDE(kpost_call, id),
		WIDE(kpost_call_submit, deadline), WIDE(kpost_call_submit, buf),
		WIDE(kpost_call_submit, len), WIDE(kpost_call_submit, reply_max),
		WIDE(kpost_call_submit, tag), WIDE(kpost_call_submit, user_data),
		WIDE(kpost_call_submit, cookie), WIDE(kpost_call_submit, id),
		WIDE(kpost_call_submit, sequence),
		WIDE(kpost_call_collect, deadline), WIDE(kpost_call_collect, buf),
		WIDE(kpost_call_collect, len), WIDE(kpost_call_collect, cookie),
		WIDE(kpost_call_collect, id), WIDE(kpost_call_collect, user_data),
		WIDE(kpost_call_collect, size), WIDE(kpost_call_collect, sequence),
		WIDE(kpost_call_collect, reply_tag), WIDE(kpost_call_collect, badge),
		WIDE(kpost_call_collect, time),
		WIDE(kpost_call_cancel, id), WIDE(kpost_call_cancel, sequence),
		WIDE(kpost_cancel, cookie),
		WIDE(kpost_call, reply_tag), WIDE(kpost_call, badge), WIDE(kpost_call, time),
		WIDE(kpost_recv, deadline), WIDE(kpost_recv, buf), WIDE(kpost_recv, len),
		WIDE(kpost_recv, size), WIDE(kpost_recv, sequence), WIDE(kpost_recv, token),
		WIDE(kpost_recv, cookie), WIDE(kpost_recv, tag), WIDE(kpost_recv, badge),
		WIDE(kpost_recv, time), WIDE(kpost_recv, call_deadline),
		WIDE(kpost_recv, reply_max), WIDE(kpost_recv, missed), WIDE(kpost_recv, attempts),
		WIDE(kpost_recv, expires),
		WIDE(kpost_recv, hold_until), WIDE(kpost_reply, not_before),
		WIDE(kpost_stat, oldest), WIDE(kpost_stat, replaced), WIDE(kpost_stat, mark),
		WIDE(kpost_stat, last_sent), WIDE(kpost_stat, last_received),
		WIDE(kpost_stat, dropped_new), WIDE(kpost_stat, dropped_old),
		WIDE(kpost_call, deadline), WIDE(kpost_call, buf),
		WIDE(kpost_call, len), WIDE(kpost_call, reply_buf), WIDE(kpost_call, reply_len),
		WIDE(kpost_reply, token), WIDE(kpost_reply, buf), WIDE(kpost_reply, len),
		WIDE(kpost_reply, tag), WIDE(kpost_grant, badge), WIDE(kpost_grant, tag),
		WIDE(kpost_reply_recv, reply), WIDE(kpost_reply_recv, recv),
		WIDE(kpost_stat, bytes), WIDE(kpost_stat, queued_bytes), WIDE(kpost_stat, sent),
		WIDE(kpost_stat, received), WIDE(kpost_stat, dropped),
		WIDE(kpost_stat, unattended), WIDE(kpost_stat, identity), WIDE(kpost_list, buf),
		WIDE(kpost_setattr, bytes), WIDE(kpost_uring, arg), WIDE(kpost_uring, reserved),
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		EXPECT_EQ(8, fields[i].width) TH_LOG("%s", fields[i].name);
		EXPECT_EQ(0, fields[i].offset % 8) TH_LOG("%s", fields[i].name);
		EXPECT_EQ(0, fields[i].size % 8) TH_LOG("%s", fields[i].name);
	}
}

TEST(abi_info_tells_version_limits_and_nothing_uninitialised)
{
	struct kpost_info a, b;

	kt_poison(&a, sizeof(a));
	memset(&b, 0x5a, sizeof(b));
	ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &a));
	ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &b));
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));

	EXPECT_EQ(KPOST_ABI_VERSION, a.abi_version);
	EXPECT_EQ(KPOST_NAME_MAX, a.name_max);
	EXPECT_EQ(KPOST_PAYLOAD_MAX, a.payload_max);
	EXPECT_EQ(KPOST_PRIORITY_MAX, a.priority_max);
	EXPECT_EQ(KPOST_IOVEC_MAX, a.iovec_max);
	EXPECT_EQ(KPOST_FEATURE_TAG | KPOST_FEATURE_TIME | KPOST_FEATURE_GRANT |
		  KPOST_FEATURE_CALL_DEADLINE | KPOST_FEATURE_IDENTITY | KPOST_FEATURE_BATCH |
		  KPOST_FEATURE_CALL_SUBMIT | KPOST_FEATURE_CANCEL | KPOST_FEATURE_SHUT |
		  KPOST_FEATURE_PRESENT | KPOST_FEATURE_STAT_TIMES | KPOST_FEATURE_PEEK |
		  KPOST_FEATURE_OVERFLOW | KPOST_FEATURE_EXPIRES | KPOST_FEATURE_CLOCKS |
		  KPOST_FEATURE_NUMBERED | KPOST_FEATURE_KEYED | KPOST_FEATURE_HOLD |
		  KPOST_FEATURE_OWNER | KPOST_FEATURE_FILES,
		  a.features & ~(KPOST_FEATURE_URING | KPOST_FEATURE_URING_FIXED |
				 KPOST_FEATURE_URING_PARK));
	EXPECT_EQ(a.default_bytes / 512, a.default_messages);
	EXPECT_LE(a.default_bytes, a.user_bytes);
	EXPECT_LE(a.user_bytes, a.office_bytes);
	EXPECT_LE(a.user_sending_bytes, a.office_sending_bytes);
	EXPECT_LE(a.user_used, a.office_used);
	EXPECT_LE(a.user_sending_used, a.office_sending_used);
	EXPECT_LE(a.office_used, a.office_bytes);
	EXPECT_LE(a.office_sending_used, a.office_sending_bytes);
}

TEST(abi_info_defaults_are_what_a_mailbox_gets)
{
	struct kpost_info info;
	struct kpost_stat st;
	int fd = kt_mailbox(0, 0, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &info));
	st = kt_stat(fd);
	EXPECT_EQ(info.default_messages, st.messages);
	EXPECT_EQ(info.default_bytes, st.bytes);
	EXPECT_LT(0, st.message_max);
	EXPECT_LE(st.message_max, st.bytes);
}

TEST_F(abi, abi_unknown_numbers_are_enotty)
{
	static const unsigned int dirs[] = { _IOC_NONE, _IOC_READ, _IOC_WRITE,
					     _IOC_READ | _IOC_WRITE };
	static const unsigned int sizes[] = { 0, 8, 32 };

	for (unsigned int nr = 0; nr < 256; nr++) {
		bool known = false;

		for_each_op(o)
			known |= _IOC_NR(o->op) == nr;
		if (known)
			continue;
		for (size_t d = 0; d < ARRAY_SIZE(dirs); d++) {
			unsigned int op = _IOC(dirs[d], KPOST_IOC_TYPE, nr, sizes[nr % 3]);

			EXPECT_EQ(-ENOTTY, kt_ioctl(self->fd, op, self->page))
				TH_LOG("endpoint, %#x", op);
			EXPECT_EQ(-ENOTTY, kt_ioctl(kt_device(), op, self->page))
				TH_LOG("device, %#x", op);
		}
	}
	EXPECT_TRUE(kt_stat_same(self->st, kt_stat(self->fd)));
}

TEST_F(abi, abi_another_type_or_direction_is_enotty)
{
	for_each_op(o) {
		unsigned int dir = _IOC_DIR(o->op), nr = _IOC_NR(o->op), size = _IOC_SIZE(o->op);
		int fd = op_fd(o, self->fd);

		EXPECT_EQ(-ENOTTY, kt_ioctl(fd, _IOC(dir, KPOST_IOC_TYPE + 1, nr, size),
					    self->page)) TH_LOG("type of %s", o->name);
		for (unsigned int other = 0; other < 4; other++) {
			if (other == dir)
				continue;
			EXPECT_EQ(-ENOTTY, kt_ioctl(fd, _IOC(other, KPOST_IOC_TYPE, nr, size),
						    self->page))
				TH_LOG("direction %u of %s", other, o->name);
		}
	}
	EXPECT_TRUE(kt_stat_same(self->st, kt_stat(self->fd)));
}

TEST_F(abi, abi_operations_but_one_belong_to_one_kind_of_file)
{
	for_each_op(o) {
		if (o->op == KPOST_IOC_CANCEL)
			continue;
		kt_poison(self->page, sizeof(self->page));
		EXPECT_EQ(-ENOTTY, kt_ioctl(o->device ? self->fd : kt_device(), o->op, self->page))
			TH_LOG("%s", o->name);
		EXPECT_TRUE(kt_poisoned(self->page, sizeof(self->page))) TH_LOG("%s", o->name);
	}
	EXPECT_TRUE(kt_stat_same(self->st, kt_stat(self->fd)));
}

TEST_F(abi, abi_smaller_structs_are_einval)
{
	for_each_op(o) {
		size_t full = _IOC_SIZE(o->op);
		const size_t sizes[] = { 0, 1, full / 2, full - 8, full - 1 };

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			kt_poison(self->page, sizeof(self->page));
			EXPECT_EQ(-EINVAL, kt_ioctl(op_fd(o, self->fd),
						    kt_op_sized(o->op, sizes[i]), self->page))
				TH_LOG("%s of %zu bytes", o->name, sizes[i]);
			EXPECT_TRUE(kt_poisoned(self->page, sizeof(self->page)))
				TH_LOG("%s of %zu bytes", o->name, sizes[i]);
		}
	}
	EXPECT_TRUE(kt_stat_same(self->st, kt_stat(self->fd)));
}

/* a valid argument of @o, one that does not wait */
static void fill_valid(const struct op *o, char *page, const char *name)
{
	memset(page, 0, 8192);
	switch (o->op) {
	case KPOST_IOC_OPEN: {
		struct kpost_open open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);

		memcpy(page, &open, sizeof(open));
		break;
	}
	case KPOST_IOC_UNLINK:
		strcpy(((struct kpost_unlink *)page)->name, name);
		break;
	case KPOST_IOC_LIST:
		((struct kpost_list *)page)->entry_size = sizeof(struct kpost_stat);
		break;
	case KPOST_IOC_RECV:
		((struct kpost_recv *)page)->flags = KPOST_DONTWAIT;
		break;
	case KPOST_IOC_CALL:
		((struct kpost_call *)page)->deadline = 1;
		break;
	case KPOST_IOC_CALL_COLLECT:
		((struct kpost_call_collect *)page)->flags = KPOST_DONTWAIT;
		break;
	case KPOST_IOC_REPLY_RECV:
		((struct kpost_reply_recv *)page)->reply_size = sizeof(struct kpost_reply);
		((struct kpost_reply_recv *)page)->recv_size = sizeof(struct kpost_recv);
		break;
	case KPOST_IOC_SETATTR:
		((struct kpost_setattr *)page)->valid = KPOST_SET_MODE;
		((struct kpost_setattr *)page)->mode = 0600;
		break;
	case KPOST_IOC_GRANT:
		((struct kpost_grant *)page)->rights = KPOST_RIGHT_SEND;
		break;
	case KPOST_IOC_SENDV:
	case KPOST_IOC_RECVV:
		/* of entries that cannot be read */
		((struct kpost_batch *)page)->count = 1;
		((struct kpost_batch *)page)->entry_size = sizeof(struct kpost_recv);
		break;
	}
}

/* what fill_valid() should come to */
static long valid_result(const struct op *o)
{
	switch (o->op) {
	case KPOST_IOC_UNLINK:
	case KPOST_IOC_REPLY:
		return -ENOENT;
	case KPOST_IOC_CALL:
		return -ETIMEDOUT;
	case KPOST_IOC_CALL_COLLECT:
		return -EAGAIN;
	case KPOST_IOC_REPLY_RECV:
	case KPOST_IOC_SENDV:
	case KPOST_IOC_RECVV:
		return -EFAULT;
	}
	return 0;
}

static const size_t tails[] = { 1, 8, 100, 4096 };

/* of which nothing is read, so that there is no tail to be refused */
static bool only_answers(const struct op *o)
{
	return _IOC_DIR(o->op) == _IOC_READ;
}

TEST_F(abi, abi_larger_structs_are_taken_if_their_tail_is_zero)
{
	char name[KT_NAME_SIZE];

	kt_name(name);
	for_each_op(o) {
		size_t full = _IOC_SIZE(o->op);

		for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
			long ret;

			fill_valid(o, self->page, name);
			if (o->op == KPOST_IOC_RECV) {
				ASSERT_EQ(0, kt_post(self->fd, "", 0, 0));
			}
			ret = kt_ioctl(op_fd(o, self->fd), kt_op_sized(o->op, full + tails[i]),
				       self->page);
			if (o->op == KPOST_IOC_OPEN || o->op == KPOST_IOC_GRANT) {
				EXPECT_LE(0, ret);
				close(ret);
			} else {
				EXPECT_EQ(valid_result(o), ret)
					TH_LOG("%s and %zu bytes", o->name, tails[i]);
			}
			for (size_t b = full; b < sizeof(self->page); b++) {
				ASSERT_EQ(0, self->page[b]) TH_LOG("%s wrote its tail", o->name);
			}
			if (o->op == KPOST_IOC_SEND) {
				EXPECT_EQ(0, kt_take(self->fd, NULL, NULL, 0));
			}
			if (o->op == KPOST_IOC_CALL_SUBMIT) {
				EXPECT_EQ(1, kt_cancel(self->fd, 0));
			}
		}
	}
}

TEST_F(abi, abi_larger_structs_are_e2big_if_their_tail_is_not_zero)
{
	char name[KT_NAME_SIZE], before[8192];

	kt_name(name);
	for_each_op(o) {
		size_t full = _IOC_SIZE(o->op);

		for (size_t i = 0; i < ARRAY_SIZE(tails) && !only_answers(o); i++) {
			/* the first byte of the tail, and the last */
			for (int last = 0; last < 2; last++) {
				fill_valid(o, self->page, name);
				self->page[last ? full + tails[i] - 1 : full] = 1;
				memcpy(before, self->page, sizeof(before));
				EXPECT_EQ(-E2BIG, kt_ioctl(op_fd(o, self->fd),
							   kt_op_sized(o->op, full + tails[i]),
							   self->page))
					TH_LOG("%s and %zu bytes", o->name, tails[i]);
				EXPECT_EQ(0, memcmp(before, self->page, sizeof(before)))
					TH_LOG("%s wrote", o->name);
			}
		}
	}
	EXPECT_TRUE(kt_stat_same(self->st, kt_stat(self->fd)));
}

/* a program of tomorrow with a struct of its own, which it has not cleared */
TEST_F(abi, abi_larger_answers_are_filled_whatever_was_in_them)
{
	static const size_t sizes[] = {
		1, 8, 100, 4096, (1 << 14) - 1 - sizeof(struct kpost_stat),
	};
	static unsigned char want[1 << 14], seen[1 << 15];

	for_each_op(o) {
		size_t full = _IOC_SIZE(o->op);

		if (!only_answers(o))
			continue;
		ASSERT_EQ(0, kt_ioctl(op_fd(o, self->fd), o->op, want));
		memset(want + full, 0, sizeof(want) - full);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			size_t size = full + sizes[i];

			kt_poison(seen, sizeof(seen));
			EXPECT_EQ(0, kt_ioctl(op_fd(o, self->fd), kt_op_sized(o->op, size), seen))
				TH_LOG("%s of %zu bytes", o->name, size);
			EXPECT_EQ(0, memcmp(want, seen, size))
				TH_LOG("%s of %zu bytes", o->name, size);
			EXPECT_TRUE(kt_poisoned(seen + size, sizeof(seen) - size))
				TH_LOG("%s of %zu bytes: more was written", o->name, size);
		}
	}
}

/* and what is unmapped in it is found, though there is nothing to tell there */
TEST_F(abi, abi_larger_answers_that_fault_are_efault)
{
	char *const edges[] = { kt_edge(PROT_NONE), kt_edge(PROT_READ) };

	for_each_op(o) {
		size_t full = _IOC_SIZE(o->op);

		for (size_t i = 0; i < ARRAY_SIZE(edges) && only_answers(o); i++) {
			EXPECT_EQ(-EFAULT, kt_ioctl(op_fd(o, self->fd),
						    kt_op_sized(o->op, full + 8),
						    edges[i] - full - 7)) TH_LOG("%s", o->name);
			EXPECT_EQ(0, kt_ioctl(op_fd(o, self->fd), kt_op_sized(o->op, full + 8),
					      edges[i] - full - 8)) TH_LOG("%s", o->name);
		}
	}
	EXPECT_TRUE(kt_stat_same(self->st, kt_stat(self->fd)));
}

TEST_F(abi, abi_unknown_flags_are_einval)
{
	enum { CLOCKS = KPOST_BOOTTIME | KPOST_REALTIME };
	static const struct {
		unsigned long op;
		unsigned int known;
	} flags[] = {
		{ KPOST_IOC_OPEN, 0x1ff },
		{ KPOST_IOC_UNLINK, 0 },
		{ KPOST_IOC_SEND,
		  KPOST_DONTWAIT | KPOST_IOVEC | KPOST_SYNC | KPOST_WANT_SEQUENCE | KPOST_PRESENT |
			  KPOST_DROP_NEW | KPOST_DROP_OLD | KPOST_REPLACE | KPOST_NUMBERED |
			  CLOCKS },
		{ KPOST_IOC_RECV,
		  KPOST_DONTWAIT | KPOST_IOVEC | KPOST_TRUNCATE | KPOST_PEEK | KPOST_MATCH |
			  KPOST_HOLD | CLOCKS },
		{ KPOST_IOC_CALL,
		  KPOST_IOVEC | KPOST_REPLY_IOVEC | KPOST_PRESENT | KPOST_RETRY | CLOCKS },
		{ KPOST_IOC_REPLY, KPOST_IOVEC | KPOST_DROP | KPOST_DONE | KPOST_RETURN },
		{ KPOST_IOC_SETATTR, 0xff },
		{ KPOST_IOC_GRANT, KPOST_GRANT_NONBLOCK | KPOST_GRANT_BADGE | KPOST_GRANT_MARK },
		{ KPOST_IOC_SENDV, KPOST_DONTWAIT | CLOCKS },
		{ KPOST_IOC_RECVV, KPOST_DONTWAIT | CLOCKS },
		{ KPOST_IOC_CALL_SUBMIT,
		  KPOST_DONTWAIT | KPOST_IOVEC | KPOST_PRESENT | KPOST_RETRY | CLOCKS },
		{ KPOST_IOC_CALL_COLLECT, KPOST_DONTWAIT | KPOST_IOVEC | CLOCKS },
	};
	char name[KT_NAME_SIZE];

	kt_name(name);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		for_each_op(o) {
			if (o->op != flags[i].op)
				continue;
			for (unsigned int bit = 0; bit < 32; bit++) {
				if (flags[i].known & (1u << bit))
					continue;
				fill_valid(o, self->page, name);
				/* the flags are the first field of each */
				*(__u32 *)self->page |= 1u << bit;
				EXPECT_EQ(-EINVAL, kt_ioctl(op_fd(o, self->fd), o->op, self->page))
					TH_LOG("%s, bit %u", o->name, bit);
			}
		}
	}
	EXPECT_TRUE(kt_stat_same(self->st, kt_stat(self->fd)));
}

TEST_F(abi, abi_reserved_fields_must_be_zero)
{
	struct kpost_unlink unlink = { .reserved = 1 };
	struct kpost_reply reply = { .reserved = 1, .token = 1 };
	struct kpost_setattr attr = { .valid = KPOST_SET_MODE, .overflow = 1 };
	struct kpost_setattr held = { .valid = KPOST_SET_MODE, .held_max = 1 };
	struct kpost_setattr more = { .valid = KPOST_SET_HELD_MAX, .reserved = 1 };
	struct kpost_grant grant = { .rights = KPOST_RIGHT_SEND, .write_flags = 1 };
	struct kpost_send send = { .flags = KPOST_NUMBERED, .number = 1, .reserved = 1 };
	struct kpost_open open = kt_open_args(NULL, KPOST_RIGHT_RECV,
					      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);

	kt_name(unlink.name);
	EXPECT_EQ(-EINVAL, kt_ioctl(kt_device(), KPOST_IOC_UNLINK, &unlink));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_REPLY, &reply));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &held));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &more));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_GRANT, &grant));
	open.send_fd = 1;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	open.send_fd = -1;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	/* each half of a cookie, where nothing waits */
	for (__u64 cookie = 1; cookie; cookie = cookie == 1 ? 1ull << 32 : 0) {
		open.send_fd = 0;
		open.cookie = cookie;
		EXPECT_EQ(-EINVAL, kt_do_open(&open));
	}
	open.cookie = 0;
	open.reserved = 1;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	EXPECT_TRUE(kt_stat_same(self->st, kt_stat(self->fd)));
}

TEST_F(abi, abi_bad_argument_pointers_are_efault)
{
	for_each_op(o) {
		void *const bad[] = {
			NULL,
			(void *)8,
			(void *)KT_KERNEL_ADDRESS,
			(void *)(UINTPTR_MAX - 16),		/* wraps */
			kt_edge(PROT_NONE),
			kt_edge(PROT_NONE) - 8,			/* the first 8 bytes are there */
		};

		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			EXPECT_EQ(-EFAULT, kt_ioctl(op_fd(o, self->fd), o->op, bad[i]))
				TH_LOG("%s, %zu", o->name, i);
		}
	}
	EXPECT_TRUE(kt_stat_same(self->st, kt_stat(self->fd)));
}

#ifdef __x86_64__
/* a system call as 32-bit programs do it; all pointers must be below 4 GiB */
static long compat_ioctl(int fd, unsigned int op, void *arg)
{
	long ret;

	asm volatile("int $0x80"
		     : "=a" (ret)
		     : "a" (54), "b" ((long)fd), "c" ((long)op), "d" ((long)(uintptr_t)arg)
		     : "memory", "cc", "r8", "r9", "r10", "r11");
	return (int)ret;
}
#else
/* which only x86 has */
#ifndef MAP_32BIT
#define MAP_32BIT 0
#endif

static long compat_ioctl(int fd, unsigned int op, void *arg)
{
	return kt_ioctl(fd, op, arg);
}
#endif

static long compat_caller(void *arg)
{
	struct kpost_call *call = arg;

	return compat_ioctl((int)call[1].deadline, KPOST_IOC_CALL, call);
}

TEST(abi_32_bit_callers_work)
{
	struct low {
		struct kpost_info info, wide;
		struct kpost_open open;
		struct kpost_stat st;
		struct kpost_send send;
		struct kpost_recv recv;
		struct kpost_call call[2];
		struct kpost_reply reply;
		struct kpost_iovec iov[2];
		char buf[64];
	} *low = mmap(NULL, sizeof(*low), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct kt_job job;
	long fd;

#if !defined(__x86_64__) && __SIZEOF_LONG__ == 8
	SKIP(return, "only x86 has a 32-bit system call that a 64-bit program can make");
#endif
	ASSERT_NE(MAP_FAILED, low);
	ASSERT_LE(0, kt_device());
	fd = compat_ioctl(kt_device(), KPOST_IOC_INFO, &low->info);
	if (fd == -ENOSYS)
		SKIP(return, "the kernel has no CONFIG_IA32_EMULATION");
	ASSERT_EQ(0, fd);
	ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &low->wide));
	EXPECT_EQ(0, memcmp(&low->info, &low->wide, sizeof(low->info)));

	low->open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	fd = compat_ioctl(kt_device(), KPOST_IOC_OPEN, &low->open);
	ASSERT_LE(0, fd);

	strcpy(low->buf, "hello, world");
	low->iov[0] = (struct kpost_iovec){ (uintptr_t)low->buf, 5 };
	low->iov[1] = (struct kpost_iovec){ (uintptr_t)low->buf + 5, 7 };
	low->send = kt_send_args(low->iov, 2, 3, KPOST_IOVEC | KPOST_DONTWAIT, 0);
	ASSERT_EQ(0, compat_ioctl(fd, KPOST_IOC_SEND, &low->send));
	ASSERT_EQ(0, compat_ioctl(fd, KPOST_IOC_STAT, &low->st));
	EXPECT_EQ(12, low->st.queued_bytes);

	low->recv = kt_recv_args(low->buf + 32, 32, KPOST_DONTWAIT, 0);
	ASSERT_EQ(12, compat_ioctl(fd, KPOST_IOC_RECV, &low->recv));
	EXPECT_EQ(0, memcmp(low->buf, low->buf + 32, 12));
	EXPECT_EQ(3, low->recv.priority);
	EXPECT_EQ(12, low->recv.size);
	EXPECT_EQ(-EAGAIN, compat_ioctl(fd, KPOST_IOC_RECV, &low->recv));

	low->call[0] = kt_call_args(low->buf, 5, low->buf + 16, 16, kt_soon());
	low->call[1].deadline = fd;
	kt_start_fn(&job, compat_caller, low->call);
	low->recv = kt_recv_args(low->buf + 32, 32, 0, kt_soon());
	ASSERT_EQ(5, compat_ioctl(fd, KPOST_IOC_RECV, &low->recv));
	EXPECT_EQ(16, low->recv.reply_max);
	low->reply = (struct kpost_reply){ .token = low->recv.token,
					   .buf = (uintptr_t)low->buf + 7, .len = 5 };
	EXPECT_EQ(0, compat_ioctl(fd, KPOST_IOC_REPLY, &low->reply));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(5, job.ret);
	EXPECT_EQ(0, memcmp(low->buf + 16, "world", 5));
	EXPECT_EQ(low->recv.sequence, low->call[0].sequence);
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, low->call[0].message_flags);
	EXPECT_EQ(getpid(), low->call[0].pid);

	low->send.flags |= KPOST_WANT_SEQUENCE;
	EXPECT_EQ(0, compat_ioctl(fd, KPOST_IOC_SEND, &low->send));
	EXPECT_EQ(low->recv.sequence + 1, low->send.sequence);
}

/* sign extension: a 32-bit caller's upper half is zero, not what was in a register */
TEST_F(abi, abi_upper_bits_of_a_pointer_are_not_ignored)
{
	struct kpost_send send = kt_send_args("x", 1, 0, KPOST_DONTWAIT, 0);

	send.buf |= 1ull << 62;
	EXPECT_REFUSED(EFAULT, self->fd, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	send = kt_send_args("x", 1ull << 32 | 1, 0, KPOST_DONTWAIT, 0);
	EXPECT_REFUSED(EMSGSIZE, self->fd, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
}

TEST_HARNESS_MAIN
