// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whose share something counts for: that of the owner of the outermost user namespace
 * that was not made by root, else of the real user.  And all that such a user makes in
 * offices of its own counts for it once more, together, wherever they are.
 */
#include "account_test.h"

#define ALICE	12345
#define BOB	12346
#define FEW	4	/* mailboxes that a user may have here */

/* so many mailboxes of default sizes are a user's share */
static int share_set(unsigned int mailboxes)
{
	return limit_set("user_bytes", mailboxes * (uint64_t)DEFAULT_COST);
}

/* and so many grants what it may have under way */
static int sending_set(unsigned int grants)
{
	return limit_set("user_sending_bytes", grants * GRANT_COST);
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
	GRANT,		/* how many endpoints can be granted; they stay */
	COUNT,		/* how many mailboxes can be made; they stay */
	LOSE,		/* all of these */
	MAKER,		/* who made its last mailbox, as it sees that */
	READY,		/* what its first mailbox is ready for */
	AWAIT,		/* wait until that may be sent to: 1, or 0 if it never may */
	NETWORK,	/* a network namespace: 0 or -errno */
	USERNS,		/* a user namespace, in which it is root: 0 or -errno */
	UID,		/* become the user in the upper bits: 0 or -errno */
	SEND_LONG,	/* a message that counts, to its first mailbox: 0 or -errno */
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

static int send_long(void)
{
	struct kpost_open open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	static char payload[UNCOUNTED + 1];

	if (!boxes_count) {
		open.bytes = 1 << 20;
		if (counter < 0)
			counter = kt_open_device();
		boxes[0] = (int)kt_ioctl(counter, KPOST_IOC_OPEN, &open);
		if (boxes[0] < 0)
			return boxes[0];
		boxes_count = 1;
	}
	return (int)kt_post(boxes[0], payload, sizeof(payload), 0);
}

/* through its first mailbox */
static int grant_all(void)
{
	int count = 0, fd = -EDQUOT;

	if (!boxes_count && make_box())
		return -ENOENT;
	while (boxes_count < ARRAY_SIZE(boxes) &&
	       (fd = kt_grant(boxes[0], KPOST_RIGHT_SEND)) >= 0) {
		boxes[boxes_count++] = fd;
		count++;
	}
	return fd == -EDQUOT ? count : fd;
}

/* as its device sees that */
static bool office_has_here(uint64_t capacity, uint64_t under_way)
{
	struct kpost_info info;

	kt_poison(&info, sizeof(info));
	kt_ioctl(counter, KPOST_IOC_INFO, &info);
	return info.office_used == capacity && info.office_sending_used == under_way;
}

static int ready(int ms)
{
	struct pollfd pfd = { .fd = boxes[0], .events = POLLOUT };
	int ret = poll(&pfd, 1, ms);

	return ret < 0 ? -errno : pfd.revents & POLLOUT ? 1 : 0;
}

static int answer(int question)
{
	uid_t uid = (uid_t)question >> 4;
	int err, had = boxes_count;

	switch (question & 15) {
	case MAKE:
		return make_box();
	case GRANT:
		return grant_all();
	case MAKER:
		return (int)kt_stat(boxes[boxes_count - 1]).maker;
	case READY:
		return ready(0);
	case AWAIT:
		return ready(KT_SOON);
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
	case SEND_LONG:
		return send_long();
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
	uint64_t bytes, sending;	/* of the initial office, as they were */
	int home;
};

FIXTURE_SETUP(shares)
{
	if (geteuid() != 0)
		SKIP(return, "being somebody else needs root");
	self->bytes = limit_get("user_bytes");
	self->sending = limit_get("user_sending_bytes");
	self->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

FIXTURE_TEARDOWN(shares)
{
	if (geteuid() != 0)
		return;
	ASSERT_EQ(0, setns(self->home, CLONE_NEWNET));
	EXPECT_EQ(0, limit_set("user_bytes", self->bytes));
	EXPECT_EQ(0, limit_set("user_sending_bytes", self->sending));
}

/* an office where a user may have FEW */
static void get_office(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, share_set(FEW));
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

	ASSERT_EQ(0, share_set(20));
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

TEST_F(shares, offices_that_a_user_makes_share_what_one_may_have_under_way)
{
	struct other office[OFFICES], bob, alice;
	int total = 0;

	ASSERT_EQ(0, sending_set(20));
	for (int i = 0; i < OFFICES; i++) {
		ASSERT_EQ(0, start_office(&office[i], ALICE));
		total += ask(&office[i], GRANT);
	}
	EXPECT_EQ(20, total) TH_LOG("in %d offices", OFFICES);
	ASSERT_EQ(0, start_office(&bob, BOB));
	EXPECT_EQ(20, ask(&bob, GRANT));
	alice = start(ALICE);
	EXPECT_EQ(20, ask(&alice, GRANT));
	EXPECT_EQ(0, ask(&office[0], LOSE));
	EXPECT_TRUE(kt_until((total -= ask(&office[OFFICES - 1], GRANT)) == 0));
	leave(&office[OFFICES - 1]);
	EXPECT_TRUE(kt_until((total += ask(&office[1], GRANT)) == 20));
	for (int i = 0; i < OFFICES - 1; i++)
		leave(&office[i]);
	leave(&bob);
	leave(&alice);
}

/* what is short is the sum, and who was refused for it is told wherever it becomes less */
TEST_F(shares, who_was_refused_is_told_when_another_office_gives_back)
{
	enum { GRANTS = UNCOUNTED / GRANT_COST + 2 };
	struct other first, second;

	/* enough for one long message, and for nothing else then */
	ASSERT_EQ(0, sending_set(GRANTS));
	ASSERT_EQ(0, start_office(&first, ALICE));
	ASSERT_EQ(0, start_office(&second, ALICE));
	EXPECT_EQ(GRANTS, ask(&first, GRANT));
	for (int round = 0; round < 3; round++) {
		struct other *has = round % 2 ? &second : &first;
		struct other *wants = round % 2 ? &first : &second;
		int question = AWAIT, ret;

		EXPECT_EQ(-EDQUOT, ask(wants, SEND_LONG));
		EXPECT_EQ(0, ask(wants, READY));
		ASSERT_EQ(sizeof(question), write(wants->sock, &question, sizeof(question)));
		ASSERT_TRUE(kt_until(kt_asleep(wants->pid)));
		EXPECT_EQ(0, ask(has, LOSE));
		ASSERT_EQ(sizeof(ret), read(wants->sock, &ret, sizeof(ret)));
		EXPECT_EQ(1, ret);
		EXPECT_EQ(1, ask(wants, READY));
		EXPECT_EQ(0, ask(wants, SEND_LONG));
		/* the last of them may be given back a little later */
		ret = 0;
		EXPECT_TRUE(kt_until((ret += ask(wants, GRANT)) == GRANTS));
	}
	leave(&first);
	leave(&second);
}

/* in a user's office too, where it is the office's alone; and the user's root is a user */
TEST_F(shares, privilege_in_an_office_of_a_users_counts_for_no_user)
{
	struct other alice, second;
	char path[64];
	int net;

	ASSERT_EQ(0, share_set(FEW));
	ASSERT_EQ(0, sending_set(FEW));
	ASSERT_EQ(0, start_office(&alice, ALICE));
	EXPECT_EQ(FEW, ask(&alice, COUNT));
	EXPECT_EQ(0, ask(&alice, MAKER));
	snprintf(path, sizeof(path), "/proc/%d/ns/net", alice.pid);
	net = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, net);
	ASSERT_EQ(0, setns(net, CLONE_NEWNET));
	for (int i = 0; i < 2 * FEW; i++) {
		ASSERT_EQ(0, make_box());
		EXPECT_EQ(KPOST_MAKER_OFFICE, kt_stat(boxes[i]).maker);
	}
	EXPECT_LE(0, kt_grant(boxes[0], KPOST_RIGHT_SEND));
	EXPECT_TRUE(office_has_here(3 * FEW * (uint64_t)DEFAULT_COST, GRANT_COST));
	ASSERT_EQ(0, setns(self->home, CLONE_NEWNET));
	/* of Alice's it has taken nothing, here or there */
	EXPECT_EQ(FEW, ask(&alice, GRANT));
	EXPECT_EQ(0, ask(&alice, LOSE));
	ASSERT_EQ(0, start_office(&second, ALICE));
	EXPECT_EQ(FEW, ask(&second, COUNT));
	EXPECT_EQ(0, ask(&alice, COUNT));
	leave(&alice);
	leave(&second);
	close(net);
}

/* a limit that is lowered in the initial office holds in all of them, at once */
TEST_F(shares, limits_of_the_initial_office_hold_for_all_that_a_user_makes)
{
	struct other office[2];

	ASSERT_EQ(0, share_set(10));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, start_office(&office[i], ALICE));
	}
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, ask(&office[0], MAKE));
	}
	ASSERT_EQ(0, share_set(3));
	EXPECT_EQ(-EDQUOT, ask(&office[0], MAKE));
	EXPECT_EQ(-EDQUOT, ask(&office[1], MAKE));
	ASSERT_EQ(0, ask(&office[0], LOSE));
	EXPECT_EQ(3, ask(&office[1], COUNT));
	EXPECT_EQ(0, ask(&office[0], COUNT));
	ASSERT_EQ(0, share_set(10));
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
		ASSERT_EQ(0, share_set(FEW));
		alice[i] = start(ALICE);
		EXPECT_EQ(FEW, ask(&alice[i], COUNT));
	}
	for (int i = 0; i < 3; i++)
		leave(&alice[i]);
}

TEST_HARNESS_MAIN
