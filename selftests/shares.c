// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whose share something counts for: that of the owner of the outermost user namespace
 * that was not made by root, else of the real user.  And all that such a user makes in
 * offices of its own counts for it once more, together, wherever they are.
 */
#include "child_test.h"

#define SYSCTL	"/proc/sys/net/kpost/"
#define ALICE	12345
#define BOB	12346
#define FEW	4	/* mailboxes that a user may have here */

static int limit_set(const char *name, unsigned int value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	snprintf(text, sizeof(text), "%u", value);
	return child_write(path, text);
}

static unsigned int limit_get(const char *name)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	return child_read(path, text, sizeof(text)) > 0 ? strtoul(text, NULL, 10) : 0;
}

/* ---- children that keep what they have ---------------------------------------------- */

/* a process that answers one question after the other, see ask() */
struct other {
	pid_t pid;
	int sock;
};

enum question {
	LEAVE,
	MAKE,		/* a mailbox: 0 or -errno */
	FILL,		/* all mailboxes that can be made with all that can be sent: KiB */
	COUNT,		/* how many mailboxes can be made; they stay */
	LOSE,		/* all of them */
	NETWORK,	/* a network namespace: 0 or -errno */
	USERNS,		/* a user namespace, in which it is root: 0 or -errno */
	UID,		/* become the user in the upper bits: 0 or -errno */
};

static int boxes[1024], boxes_count, counter = -1;

static int make_box(void)
{
	struct kpost_open open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	int fd;

	if (counter < 0)
		counter = kt_open_device();
	if (boxes_count == ARRAY_SIZE(boxes))
		return -ENOSPC;
	fd = (int)kt_ioctl(counter, KPOST_IOC_OPEN, &open);
	if (fd >= 0)
		boxes[boxes_count++] = fd;
	return fd < 0 ? fd : 0;
}

static int fill_boxes(void)
{
	static char payload[8 << 10];
	int sent = 0;

	while (make_box() == 0) {
		while (kt_post(boxes[boxes_count - 1], payload, sizeof(payload), 0) == 0)
			sent += sizeof(payload) >> 10;
	}
	return sent;
}

static int answer(int question)
{
	uid_t uid = (uid_t)question >> 4;
	int err, had = boxes_count;

	switch (question & 15) {
	case MAKE:
		return make_box();
	case FILL:
		return fill_boxes();
	case COUNT:
		while ((err = make_box()) == 0)
			;
		return err == -EDQUOT ? boxes_count - had : err;
	case LOSE:
		while (boxes_count)
			close(boxes[--boxes_count]);
		return 0;
	case NETWORK:
		close(counter);
		counter = -1;
		return unshare(CLONE_NEWNET) ? -errno : 0;
	case USERNS:
		prctl(PR_SET_DUMPABLE, 1);
		return child_unshare_user(0, 0);
	case UID:
		return setresgid(uid, uid, uid) || setresuid(uid, uid, uid) ? -errno : 0;
	}
	return -EINVAL;
}

static int serve(void *arg)
{
	int sock = *(int *)arg, question, ret;

	while (read(sock, &question, sizeof(question)) == sizeof(question) && question) {
		ret = answer(question);
		if (write(sock, &ret, sizeof(ret)) != sizeof(ret))
			return CHILD_FAILED;
	}
	return 0;
}

/* what it said, or -ETIMEDOUT */
static int ask(struct other *other, int question)
{
	struct pollfd pfd = { other->sock, POLLIN, 0 };
	int ret;

	if (write(other->sock, &question, sizeof(question)) != sizeof(question) ||
	    poll(&pfd, 1, KT_SOON) != 1 || read(other->sock, &ret, sizeof(ret)) != sizeof(ret))
		return -ETIMEDOUT;
	return ret;
}

static void leave(struct other *other)
{
	kt_kill(other->pid);
	close(other->sock);
}

/* as @uid, or as root */
static struct other start(uid_t uid)
{
	struct other other;
	int socks[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks))
		abort();
	other.pid = kt_fork();
	if (other.pid == 0) {
		if (uid && child_become(uid, uid))
			_exit(126);
		_exit(serve(&socks[1]));
	}
	other.sock = socks[0];
	close(socks[1]);
	return other;
}

/* @uid as user @inside of a user namespace that root made for it alone, or with @count ids */
static struct other start_in_roots(uid_t uid, uid_t inside, unsigned int count)
{
	struct other other;
	char path[64], map[64];
	int socks[2], up[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, up))
		abort();
	other.pid = kt_fork();
	if (other.pid == 0) {
		if (unshare(CLONE_NEWUSER) || tell(up[1]) || !is_told(up[1]) ||
		    setresgid(inside, inside, inside) || setresuid(inside, inside, inside))
			_exit(126);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(serve(&socks[1]));
	}
	snprintf(map, sizeof(map), "%u %u %u", inside, uid, count);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", other.pid);
	if (!is_told(up[0]) || child_write(path, map))
		abort();
	snprintf(path, sizeof(path), "/proc/%d/gid_map", other.pid);
	if (child_write(path, map) || tell(up[0]))
		abort();
	other.sock = socks[0];
	close(socks[1]);
	return other;
}

/* ---- who is who --------------------------------------------------------------------------- */

FIXTURE(shares) {
	unsigned int mailboxes, bytes;	/* of the initial office, as they were */
	int home;
};

FIXTURE_SETUP(shares)
{
	if (geteuid() != 0)
		SKIP(return, "being somebody else needs root");
	self->mailboxes = limit_get("user_mailboxes");
	self->bytes = limit_get("user_bytes");
	self->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

FIXTURE_TEARDOWN(shares)
{
	if (geteuid() != 0)
		return;
	ASSERT_EQ(0, setns(self->home, CLONE_NEWNET));
	EXPECT_EQ(0, limit_set("user_mailboxes", self->mailboxes));
	EXPECT_EQ(0, limit_set("user_bytes", self->bytes));
}

/* an office where a user may have FEW */
static void get_office(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, limit_set("user_mailboxes", FEW));
}

TEST_F(shares, users_in_user_namespaces_that_root_made_are_who_they_are)
{
	struct other alice, bob, plain, root;

	get_office(_metadata);
	alice = start_in_roots(ALICE, 1000, 1);
	EXPECT_EQ(FEW, ask(&alice, COUNT));
	bob = start_in_roots(BOB, 1000, 1);
	EXPECT_EQ(FEW, ask(&bob, COUNT)) TH_LOG("what a stranger has counts for it");
	/* Alice is Alice without a namespace too */
	plain = start(ALICE);
	EXPECT_EQ(0, ask(&plain, COUNT));
	/* and none of them is root, who in such a namespace has no privilege */
	root = start_in_roots(0, 0, 1);
	EXPECT_EQ(FEW, ask(&root, COUNT));
	/* given back, by whoever it counts for */
	EXPECT_EQ(0, ask(&alice, LOSE));
	EXPECT_EQ(FEW, ask(&plain, COUNT));
	EXPECT_EQ(0, ask(&alice, COUNT));
	leave(&alice);
	leave(&bob);
	leave(&plain);
	leave(&root);
}

TEST_F(shares, nested_user_namespaces_of_a_user_are_that_user)
{
	struct other alice, plain, bob;

	get_office(_metadata);
	plain = start(ALICE);
	EXPECT_EQ(0, ask(&plain, MAKE));
	alice = start(ALICE);
	for (int depth = 1; depth < FEW; depth++) {
		ASSERT_EQ(0, ask(&alice, USERNS));
		EXPECT_EQ(0, ask(&alice, MAKE)) TH_LOG("depth %d", depth);
	}
	ASSERT_EQ(0, ask(&alice, USERNS));
	EXPECT_EQ(-EDQUOT, ask(&alice, MAKE));
	EXPECT_EQ(-EDQUOT, ask(&plain, MAKE));
	bob = start(BOB);
	EXPECT_EQ(FEW, ask(&bob, COUNT));
	EXPECT_EQ(0, ask(&alice, LOSE));
	EXPECT_EQ(FEW - 1, ask(&plain, COUNT));
	leave(&alice);
	leave(&plain);
	leave(&bob);
}

/* as in a container that root runs: what a user makes inside is that user's, as seen outside */
TEST_F(shares, user_namespace_inside_one_of_roots_is_its_makers)
{
	struct other alice, bob, plain;

	get_office(_metadata);
	alice = start_in_roots(ALICE, 0, 1);
	bob = start_in_roots(BOB, 0, 1);
	ASSERT_EQ(0, ask(&alice, USERNS));
	ASSERT_EQ(0, ask(&bob, USERNS));
	EXPECT_EQ(FEW, ask(&alice, COUNT));
	EXPECT_EQ(FEW, ask(&bob, COUNT));
	ASSERT_EQ(0, ask(&alice, USERNS));
	EXPECT_EQ(0, ask(&alice, COUNT));
	plain = start(ALICE);
	EXPECT_EQ(0, ask(&plain, COUNT));
	leave(&alice);
	EXPECT_TRUE(kt_until(ask(&plain, MAKE) == 0));
	leave(&bob);
	leave(&plain);
}

/* ids that root gave are users; but in a namespace that one of them makes all are that one */
TEST_F(shares, subordinate_ids_are_whose_namespace_they_are_in)
{
	struct other first, second, owner;

	get_office(_metadata);
	first = start_in_roots(200000, 0, 10);
	second = start_in_roots(200000, 0, 10);
	EXPECT_EQ(FEW, ask(&first, COUNT));
	ASSERT_EQ(0, ask(&second, UID | 3 << 4));
	EXPECT_EQ(FEW, ask(&second, COUNT)) TH_LOG("it is 200003, and not 200000");
	ASSERT_EQ(0, ask(&second, LOSE));
	ASSERT_EQ(0, ask(&second, USERNS));
	EXPECT_EQ(FEW, ask(&second, COUNT));
	owner = start(200003);
	EXPECT_EQ(0, ask(&owner, COUNT));
	leave(&first);
	leave(&second);
	leave(&owner);
}

/* ---- offices of one's own -------------------------------------------------------------------- */

enum { OFFICES = 6 };

static int start_office(struct other *other, uid_t uid)
{
	*other = start(uid);
	return ask(other, USERNS) || ask(other, NETWORK) ? -EPERM : 0;
}

TEST_F(shares, offices_that_a_user_makes_share_the_mailboxes_of_one)
{
	struct other office[OFFICES], bob, alice;
	int total = 0;

	ASSERT_EQ(0, limit_set("user_mailboxes", 20));
	for (int i = 0; i < OFFICES; i++) {
		ASSERT_EQ(0, start_office(&office[i], ALICE));
		for (int made = 0; made < 8 && ask(&office[i], MAKE) == 0; made++)
			total++;
	}
	EXPECT_EQ(20, total) TH_LOG("in %d offices", OFFICES);
	EXPECT_EQ(-EDQUOT, ask(&office[OFFICES - 1], MAKE));
	/* one more, nested, is none the better for it */
	ASSERT_EQ(0, ask(&office[0], USERNS));
	ASSERT_EQ(0, ask(&office[0], NETWORK));
	EXPECT_EQ(-EDQUOT, ask(&office[0], MAKE));
	/* another user has its own, and the initial office knows nothing of it */
	ASSERT_EQ(0, start_office(&bob, BOB));
	EXPECT_EQ(20, ask(&bob, COUNT));
	alice = start(ALICE);
	EXPECT_EQ(20, ask(&alice, COUNT));
	/* given back by a close, and by the end of an office, with all that is in it */
	EXPECT_EQ(0, ask(&office[1], LOSE));
	EXPECT_EQ(8, ask(&office[2], COUNT));
	leave(&office[0]);
	EXPECT_TRUE(kt_until(ask(&office[3], MAKE) == 0));
	for (int i = 1; i < OFFICES; i++)
		leave(&office[i]);
	ASSERT_EQ(0, start_office(&office[0], ALICE));
	total = 0;
	EXPECT_TRUE(kt_until((total += ask(&office[0], COUNT)) >= 20));
	EXPECT_EQ(20, total);
	leave(&office[0]);
	leave(&bob);
	leave(&alice);
}

TEST_F(shares, offices_that_a_user_makes_share_the_memory_of_one)
{
	struct other office[OFFICES], bob;
	int total = 0, alone;

	ASSERT_EQ(0, limit_set("user_bytes", 2 << 20));
	ASSERT_EQ(0, limit_set("user_mailboxes", 100));
	ASSERT_EQ(0, start_office(&bob, BOB));
	alone = ask(&bob, FILL);
	EXPECT_LE(1 << 10, alone);
	EXPECT_GE(2 << 10, alone);
	for (int i = 0; i < OFFICES; i++) {
		ASSERT_EQ(0, start_office(&office[i], ALICE));
		total += ask(&office[i], FILL);
	}
	EXPECT_EQ(alone, total) TH_LOG("KiB in %d offices", OFFICES);
	EXPECT_EQ(0, ask(&office[0], LOSE));
	EXPECT_EQ(alone, ask(&office[OFFICES - 1], FILL));
	for (int i = 0; i < OFFICES; i++)
		leave(&office[i]);
	ASSERT_EQ(0, start_office(&office[0], ALICE));
	total = 0;
	EXPECT_TRUE(kt_until((total += ask(&office[0], FILL)) >= alone));
	leave(&office[0]);
	leave(&bob);
}

/* a limit that is lowered in the initial office holds in all of them, at once */
TEST_F(shares, limits_of_the_initial_office_hold_for_all_that_a_user_makes)
{
	struct other office[2];

	ASSERT_EQ(0, limit_set("user_mailboxes", 10));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, start_office(&office[i], ALICE));
	}
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, ask(&office[0], MAKE));
	}
	ASSERT_EQ(0, limit_set("user_mailboxes", 3));
	EXPECT_EQ(-EDQUOT, ask(&office[0], MAKE));
	EXPECT_EQ(-EDQUOT, ask(&office[1], MAKE));
	ASSERT_EQ(0, ask(&office[0], LOSE));
	EXPECT_EQ(3, ask(&office[1], COUNT));
	EXPECT_EQ(0, ask(&office[0], COUNT));
	ASSERT_EQ(0, limit_set("user_mailboxes", 10));
	EXPECT_EQ(7, ask(&office[0], COUNT));
	for (int i = 0; i < 2; i++)
		leave(&office[i]);
}

/* root's network namespaces are no user's: each has what it says */
TEST_F(shares, offices_that_root_makes_are_apart)
{
	struct other alice[3];

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, unshare(CLONE_NEWNET));
		ASSERT_EQ(0, limit_set("user_mailboxes", FEW));
		alice[i] = start(ALICE);
		EXPECT_EQ(FEW, ask(&alice[i], COUNT));
	}
	for (int i = 0; i < 3; i++)
		leave(&alice[i]);
}

TEST_HARNESS_MAIN
