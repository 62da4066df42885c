// SPDX-License-Identifier: MIT
#include "standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct kpost_open *asked_open(void)
{
	return (struct kpost_open *)standin.arg;
}

static void open_passes_all(void **state)
{
	const struct kpost_attr attr = {
		.mode = 0640,
		.messages = 10,
		.bytes = 1ull << 33,
		.message_max = 4096,
	};
	struct kpost_open *asked = asked_open();

	(void)state;
	standin_reset(ENDPOINT_FD);
	assert_int_equal(kpost_open("name", KPOST_RIGHT_SEND | KPOST_RIGHT_ADMIN,
				    KPOST_OPEN_CREATE | KPOST_OPEN_EXCL, &attr, 77),
			 ENDPOINT_FD);
	standin_expect(DEVICE_FD, KPOST_IOC_OPEN);
	standin_expect_device();
	assert_int_equal(asked->flags, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL);
	assert_int_equal(asked->rights, KPOST_RIGHT_SEND | KPOST_RIGHT_ADMIN);
	assert_int_equal(asked->mode, 0640);
	assert_int_equal(asked->messages, 10);
	assert_int_equal(asked->bytes, 1ull << 33);
	assert_int_equal(asked->message_max, 4096);
	assert_int_equal(asked->send_fd, 0);
	assert_int_equal(asked->deadline, 77);
	assert_string_equal(asked->name, "name");
}

static void open_leaves_no_bytes_behind_the_name(void **state)
{
	static const char zero[KPOST_NAME_MAX + 1];

	(void)state;
	kpost_open("abc", KPOST_RIGHT_SEND, 0, NULL, 0);
	assert_memory_equal(asked_open()->name, "abc", 3);
	assert_memory_equal(asked_open()->name + 3, zero, sizeof(zero) - 3);
}

static void open_defaults(void **state)
{
	const struct kpost_attr attr = { .messages = 3 };
	const struct kpost_attr none = { .mode = KPOST_MODE_NONE };

	(void)state;
	/* what exists is described by nothing */
	kpost_open_at(9, "a", KPOST_RIGHT_RECV, 0, NULL, 0);
	standin_expect(9, KPOST_IOC_OPEN);
	assert_int_equal(asked_open()->mode, 0);
	assert_int_equal(asked_open()->messages, 0);
	kpost_open_at(9, "a", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE, NULL, 0);
	assert_int_equal(asked_open()->mode, 0600);
	kpost_open_at(9, "a", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE, &attr, 0);
	assert_int_equal(asked_open()->mode, 0600);
	assert_int_equal(asked_open()->messages, 3);
	kpost_open_at(9, "a", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE, &none, 0);
	assert_int_equal(asked_open()->mode, 0);
	/* and if the caller describes it all the same, the kernel says what it thinks */
	kpost_open_at(9, "a", KPOST_RIGHT_RECV, 0, &none, 0);
	assert_int_equal(asked_open()->mode, KPOST_MODE_NONE);
	kpost_open_at(9, "a", KPOST_RIGHT_RECV, 0, &attr, 0);
	assert_int_equal(asked_open()->messages, 3);
}

static void open_asks_whose_it_has_to_be(void **state)
{
	const struct kpost_attr attr = { .owner = 1000 };
	const struct kpost_attr more = { .owner = 1000, .messages = 3 };
	const unsigned int waits = KPOST_OPEN_OWNER | KPOST_OPEN_WAIT;

	(void)state;
	kpost_open("a", KPOST_RIGHT_SEND, KPOST_OPEN_OWNER, &attr, 0);
	standin_expect(DEVICE_FD, KPOST_IOC_OPEN);
	assert_int_equal(asked_open()->flags, KPOST_OPEN_OWNER);
	assert_int_equal(asked_open()->owner, 1000);
	/* what is not made is described by nothing else */
	assert_int_equal(asked_open()->mode, 0);
	kpost_open_at(9, "a", KPOST_RIGHT_SEND, waits, &attr, 5);
	assert_int_equal(asked_open()->flags, waits);
	assert_int_equal(asked_open()->owner, 1000);
	kpost_open_at(9, "a", KPOST_RIGHT_RECV, KPOST_OPEN_OWNER | KPOST_OPEN_CREATE, &more, 0);
	assert_int_equal(asked_open()->owner, 1000);
	assert_int_equal(asked_open()->messages, 3);
	assert_int_equal(asked_open()->mode, 0600);
	/* root's, if nobody else is named */
	kpost_open_at(9, "a", KPOST_RIGHT_SEND, KPOST_OPEN_OWNER, NULL, 0);
	assert_int_equal(asked_open()->flags, KPOST_OPEN_OWNER);
	assert_int_equal(asked_open()->owner, 0);
	/* and one who names somebody without the flag learns from the kernel that it is missing */
	kpost_open_at(9, "a", KPOST_RIGHT_SEND, 0, &attr, 0);
	assert_int_equal(asked_open()->owner, 1000);
	assert_int_equal(asked_open()->flags, 0);
}

static void open_anonymous(void **state)
{
	(void)state;
	standin_reset(ENDPOINT_FD);
	assert_int_equal(kpost_open(NULL, KPOST_RIGHT_RECV, KPOST_OPEN_ANONYMOUS, NULL, 0),
			 ENDPOINT_FD);
	assert_int_equal(asked_open()->name[0], 0);
	assert_int_equal(asked_open()->mode, 0600);
}

static void open_refuses(void **state)
{
	const struct kpost_attr wide = { .message_max = (size_t)UINT32_MAX + 1 };
	const struct kpost_attr more = { .reserved = 1 };
	int fd;

	(void)state;
	fd = kpost_open_at(9, NULL, KPOST_RIGHT_RECV, 0, NULL, 0);
	assert_int_equal(fd, -EINVAL);
	fd = kpost_open_at(9, NULL, KPOST_RIGHT_RECV, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR, NULL,
			   0);
	assert_int_equal(fd, -EINVAL);
	if (wide.message_max) {
		fd = kpost_open_at(9, "a", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE, &wide, 0);
		assert_int_equal(fd, -EINVAL);
	}
	fd = kpost_open_at(9, "a", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE, &more, 0);
	assert_int_equal(fd, -EINVAL);
	assert_int_equal(standin.ioctls, 0);
}

static void names_at_their_limit(void **state)
{
	char name[KPOST_NAME_MAX + 2];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[KPOST_NAME_MAX + 1] = 0;
	assert_int_equal(kpost_open_at(9, name, KPOST_RIGHT_RECV, 0, NULL, 0), -ENAMETOOLONG);
	assert_int_equal(kpost_unlink_at(9, name), -ENAMETOOLONG);
	assert_int_equal(standin.ioctls, 0);
	name[KPOST_NAME_MAX] = 0;
	assert_int_equal(kpost_open_at(9, name, KPOST_RIGHT_RECV, 0, NULL, 0), 0);
	assert_string_equal(asked_open()->name, name);
}

static void answer_pair(void *arg)
{
	((struct kpost_open *)arg)->send_fd = SEND_FD;
}

/* What is no mailbox is not opened: a pipe would wait. */
static void open_path_refuses(void **state)
{
	char dir[] = "/tmp/kpost-test-XXXXXX";
	char pipe[64];

	(void)state;
	assert_int_equal(kpost_open_path("/dev/null", 0, 0), -EINVAL);
	assert_int_equal(kpost_open_path("/dev/null", KPOST_RIGHT_ADMIN, 0), -EINVAL);
	assert_int_equal(kpost_open_path("/dev/null", KPOST_RIGHT_SEND | KPOST_RIGHT_ADMIN, 0),
			 -EINVAL);
	assert_int_equal(kpost_open_path("/dev/null", KPOST_RIGHT_SEND, KPOST_OPEN_CREATE),
			 -EINVAL);
	assert_int_equal(kpost_open_path("/no/such/path", KPOST_RIGHT_SEND, 0), -ENOENT);
	assert_int_equal(kpost_open_path(NULL, KPOST_RIGHT_SEND, 0), -EFAULT);
	assert_int_equal(kpost_open_path("/", KPOST_RIGHT_RECV, 0), -ENOTTY);
	assert_non_null(mkdtemp(dir));
	snprintf(pipe, sizeof(pipe), "%s/pipe", dir);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	errno = ENOTRECOVERABLE;
	assert_int_equal(kpost_open_path(pipe, KPOST_RIGHT_RECV, KPOST_OPEN_NONBLOCK), -ENOTTY);
	assert_int_equal(kpost_open_path(pipe, KPOST_RIGHT_RECV, 0), -ENOTTY);
	assert_int_equal(errno, ENOTRECOVERABLE);
	unlink(pipe);
	rmdir(dir);
	assert_int_equal(standin.opened, 0);
	assert_int_equal(standin.ioctls, 0);
}

static void pair_gives_both(void **state)
{
	int fds[2] = { -1, -1 };

	(void)state;
	standin_reset(ENDPOINT_FD);
	standin.answer = answer_pair;
	assert_int_equal(kpost_pair(fds, KPOST_OPEN_NONBLOCK, NULL), 0);
	standin_expect(DEVICE_FD, KPOST_IOC_OPEN);
	standin_expect_device();
	assert_int_equal(asked_open()->flags,
			 KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR | KPOST_OPEN_NONBLOCK);
	assert_int_equal(asked_open()->rights, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN);
	assert_int_equal(asked_open()->mode, 0600);
	assert_int_equal(asked_open()->send_fd, 0);
	assert_int_equal(fds[0], ENDPOINT_FD);
	assert_int_equal(fds[1], SEND_FD);
}

static void pair_fails_whole(void **state)
{
	int fds[2] = { -8, -9 };

	(void)state;
	standin_reset(-EMFILE);
	assert_int_equal(kpost_pair(fds, 0, NULL), -EMFILE);
	standin_expect_device();
	assert_int_equal(fds[0], -8);
	assert_int_equal(fds[1], -9);
}

static void unlink_passes_name(void **state)
{
	(void)state;
	standin_reset(-EACCES);
	assert_int_equal(kpost_unlink("gone"), -EACCES);
	standin_expect(DEVICE_FD, KPOST_IOC_UNLINK);
	standin_expect_device();
	assert_string_equal(((struct kpost_unlink *)standin.arg)->name, "gone");
	assert_int_equal(((struct kpost_unlink *)standin.arg)->flags, 0);
}

static void answer_stat(void *arg)
{
	((struct kpost_stat *)arg)->queued_bytes = 123;
}

static void stat_and_setattr(void **state)
{
	const struct kpost_setattr set = { .valid = KPOST_SET_UID, .uid = 12 };
	struct kpost_stat st = { 0 };

	(void)state;
	standin.answer = answer_stat;
	assert_int_equal(kpost_stat(ENDPOINT_FD, &st), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_STAT);
	assert_int_equal(st.queued_bytes, 123);
	standin_reset(-EPERM);
	assert_int_equal(kpost_setattr(ENDPOINT_FD, &set), -EPERM);
	standin_expect(ENDPOINT_FD, KPOST_IOC_SETATTR);
	assert_memory_equal(standin.arg, &set, sizeof(set));
}

static void grant_passes_all(void **state)
{
	const struct kpost_grant grant = {
		.flags = KPOST_GRANT_NONBLOCK | KPOST_GRANT_BADGE,
		.rights = KPOST_RIGHT_SEND,
		.badge = UINT64_MAX,
		.tag = 1ull << 40,
		.priority = 7,
	};

	(void)state;
	standin_reset(SEND_FD);
	assert_int_equal(kpost_grant(ENDPOINT_FD, &grant), SEND_FD);
	standin_expect(ENDPOINT_FD, KPOST_IOC_GRANT);
	assert_memory_equal(standin.arg, &grant, sizeof(grant));
	assert_int_equal(standin.opened, 0);
}

static void grant_returns_errors(void **state)
{
	static const int errors[] = { EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM,
				      ENOTTY, EPERM,  EPIPE,  EBADF,  E2BIG };
	const struct kpost_grant grant = { .rights = KPOST_RIGHT_SEND };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		standin_reset(-errors[i]);
		assert_int_equal(kpost_grant(ENDPOINT_FD, &grant), -errors[i]);
		standin_expect(ENDPOINT_FD, KPOST_IOC_GRANT);
	}
}

/* An office of this many mailboxes, n000, n001, ... */
static int office;

static void answer_list(void *arg)
{
	struct kpost_list *list = arg;
	struct kpost_stat *entries = (struct kpost_stat *)(uintptr_t)list->buf;
	unsigned int i, from = 0;

	assert_int_equal(list->entry_size, sizeof(*entries));
	if (list->after[0])
		from = (unsigned int)atoi(list->after + 1) + 1;
	for (i = 0; i < list->count && (int)(from + i) < office; i++) {
		memset(&entries[i], 0, sizeof(entries[i]));
		snprintf(entries[i].name, sizeof(entries[i].name), "n%03u", from + i);
	}
	standin.ret = (int)i;
}

struct seen {
	int count;
	int stop; /* at this one */
};

static int each_in_order(const struct kpost_stat *st, void *arg)
{
	struct seen *seen = arg;

	assert_int_equal(atoi(st->name + 1), seen->count);
	return seen->count++ == seen->stop ? 42 : 0;
}

static void list_goes_through_all(void **state)
{
	/* none, some, and about the number that is asked for at a time */
	static const int sizes[] = { 0, 1, 63, 64, 65, 128, 500 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct seen seen = { .stop = -1 };

		standin_reset(0);
		standin.answer = answer_list;
		office = sizes[i];
		assert_int_equal(kpost_list(each_in_order, &seen), 0);
		standin_expect_device();
		assert_int_equal(seen.count, office);
	}
}

static void list_stops_and_fails(void **state)
{
	struct seen seen = { .stop = 70 };

	(void)state;
	standin.answer = answer_list;
	office = 200;
	assert_int_equal(kpost_list_at(9, each_in_order, &seen), 42);
	assert_int_equal(seen.count, 71);
	standin_reset(-ENAMETOOLONG);
	assert_int_equal(kpost_list_at(9, each_in_order, &seen), -ENAMETOOLONG);
	standin_expect(9, KPOST_IOC_LIST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(open_passes_all, standin_setup),
		cmocka_unit_test_setup(open_leaves_no_bytes_behind_the_name, standin_setup),
		cmocka_unit_test_setup(open_defaults, standin_setup),
		cmocka_unit_test_setup(open_asks_whose_it_has_to_be, standin_setup),
		cmocka_unit_test_setup(open_anonymous, standin_setup),
		cmocka_unit_test_setup(open_refuses, standin_setup),
		cmocka_unit_test_setup(names_at_their_limit, standin_setup),
		cmocka_unit_test_setup(open_path_refuses, standin_setup),
		cmocka_unit_test_setup(pair_gives_both, standin_setup),
		cmocka_unit_test_setup(pair_fails_whole, standin_setup),
		cmocka_unit_test_setup(unlink_passes_name, standin_setup),
		cmocka_unit_test_setup(stat_and_setattr, standin_setup),
		cmocka_unit_test_setup(grant_passes_all, standin_setup),
		cmocka_unit_test_setup(grant_returns_errors, standin_setup),
		cmocka_unit_test_setup(list_goes_through_all, standin_setup),
		cmocka_unit_test_setup(list_stops_and_fails, standin_setup),
	};

	return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
