// SPDX-License-Identifier: GPL-2.0-only
/*
 * What people see: /proc/net/kpost, fdinfo and the tracepoints.
 */
#include "child_test.h"

#include <sys/stat.h>

static char text[1 << 17];

/* the line of /proc/net/kpost that ends with @name, or NULL */
static char *proc_line(const char *name)
{
	size_t len = strlen(name);
	char *line, *end;

	if (child_read("/proc/net/kpost", text, sizeof(text)) < 0)
		return NULL;
	for (line = text; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		if ((size_t)(end - line) > len && strcmp(end - len, name) == 0 &&
		    end[-(long)len - 1] == ' ')
			return line;
	}
	return NULL;
}

static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);
	const char *at = line;

	for (; (at = strstr(at, word)); at++) {
		if ((at == line || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	}
	return false;
}

TEST(proc_has_a_line_for_each_named_mailbox_and_no_other)
{
	char names[20][KT_NAME_SIZE];
	int fd[20], lines = 0, before;

	ASSERT_LT(0, child_read("/proc/net/kpost", text, sizeof(text)));
	EXPECT_NE(NULL, strchr(text, '\n')) TH_LOG("no header");
	for (char *c = text; *c; c++)
		lines += *c == '\n';
	before = lines;
	for (int i = 0; i < 20; i++) {
		fd[i] = kt_create(kt_name(names[i]), KT_ALL);
		ASSERT_LE(0, fd[i]);
	}
	ASSERT_LE(0, kt_mailbox(0, 0, 0)); /* has no name, and so no line */
	for (int i = 0; i < 20; i++)
		EXPECT_NE(NULL, proc_line(names[i]));
	child_read("/proc/net/kpost", text, sizeof(text));
	lines = 0;
	for (char *c = text; *c; c++)
		lines += *c == '\n';
	EXPECT_EQ(before + 20, lines);
	for (int i = 0; i < 20; i++) {
		close(fd[i]);
		EXPECT_EQ(NULL, proc_line(names[i]));
	}
}

TEST(proc_tells_what_is_queued_and_what_may_be)
{
	char name[KT_NAME_SIZE], *line;
	struct kpost_open create = kt_open_args(kt_name(name), KT_ALL, KPOST_OPEN_CREATE);
	int fd;

	umask(0);
	create.mode = 0625;
	create.messages = 77;
	create.bytes = 8888;
	fd = kt_do_open(&create);
	ASSERT_LE(0, fd);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, kt_post(fd, "fivefive", 5, 0));
	line = proc_line(name);
	ASSERT_NE(NULL, line);
	EXPECT_TRUE(has_word(line, "0625")) TH_LOG("%s", line);
	EXPECT_TRUE(has_word(line, "3/77")) TH_LOG("%s", line);
	EXPECT_TRUE(has_word(line, "15/8888")) TH_LOG("%s", line);
	EXPECT_EQ(0, kt_unlink(name));
	EXPECT_EQ(NULL, proc_line(name));
}

TEST(proc_shows_strange_names_in_one_line)
{
	static const char odd[] = "odd\\name \xc3\xa9 100% \"it\"";
	char name[KT_NAME_SIZE];
	int fd, lines = 0, header;

	child_read("/proc/net/kpost", text, sizeof(text));
	for (char *c = text; *c; c++)
		lines += *c == '\n';
	header = lines;
	kt_name(name);
	strcat(name, odd);
	fd = kt_create(name, KT_ALL);
	ASSERT_LE(0, fd);
	child_read("/proc/net/kpost", text, sizeof(text));
	lines = 0;
	for (char *c = text; *c; c++)
		lines += *c == '\n';
	EXPECT_EQ(header + 1, lines);
	/* an unescaped space or backslash could not be told from a separator */
	EXPECT_EQ(NULL, strstr(text, odd));
	EXPECT_EQ(0, kt_unlink(name));
}

/* many readers of a table that changes under them */
static long read_proc(void *arg)
{
	bool *stop = arg;
	static __thread char mine[1 << 16];
	long reads = 0;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		if (child_read("/proc/net/kpost", mine, sizeof(mine)) <= 0)
			return -1;
		reads++;
	}
	return reads;
}

TEST(proc_is_read_while_mailboxes_come_and_go)
{
	char name[KT_NAME_SIZE];
	struct kt_job job[2];
	bool stop = false;

	for (int i = 0; i < 2; i++)
		kt_start_fn(&job[i], read_proc, &stop);
	for (int i = 0; i < 300; i++) {
		int fd = kt_create(kt_name(name), KT_ALL);

		ASSERT_LE(0, fd);
		close(fd);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&job[i]));
		EXPECT_LT(0, job[i].ret);
	}
}

/* a reader goes on after the name that it has read last, whatever went before it */
TEST(proc_shows_what_stays_once_while_others_go)
{
	enum { COUNT = 200, GONE = 30 };
	char base[KT_NAME_SIZE], name[KT_NAME_SIZE + 8];
	ssize_t have, len = 1;
	int proc, fds[COUNT];

	kt_name(base);
	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "%s.%03d", base, i);
		fds[i] = kt_create(name, KT_ALL);
		ASSERT_LE(0, fds[i]);
	}
	proc = open("/proc/net/kpost", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, proc);
	/* more lines than go, and not all of them */
	have = read(proc, text, 4096);
	ASSERT_LT(0, have);
	for (int i = 0; i < GONE; i++)
		close(fds[i]);
	for (; len > 0 && have < (ssize_t)sizeof(text) - 1; have += len)
		len = read(proc, text + have, sizeof(text) - 1 - (size_t)have);
	ASSERT_EQ(0, len);
	text[have] = '\0';
	close(proc);
	for (int i = GONE; i < COUNT; i++) {
		char *at;

		snprintf(name, sizeof(name), " %s.%03d\n", base, i);
		at = strstr(text, name);
		EXPECT_NE(NULL, at) TH_LOG("%s was passed over", name);
		EXPECT_EQ(NULL, at ? strstr(at + 1, name) : NULL);
		close(fds[i]);
	}
}

/* ---- fdinfo ------------------------------------------------------------------------------ */

/* the value of @key in @fd's fdinfo */
static const char *fdinfo(int fd, const char *key)
{
	static char value[512];
	char path[64], *at, *end;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (child_read(path, text, sizeof(text)) < 0)
		return "(none)";
	at = strstr(text, key);
	if (!at || strncmp(at + strlen(key), ":\t", 2))
		return "(missing)";
	at += strlen(key) + 2;
	end = strchr(at, '\n');
	snprintf(value, sizeof(value), "%.*s", (int)(end ? end - at : 0), at);
	return value;
}

TEST(fdinfo_tells_of_the_endpoint)
{
	char name[KT_NAME_SIZE], buf[8];
	struct kpost_recv recv;
	struct kt_job job;
	struct kpost_call call = kt_call_args("call", 4, buf, sizeof(buf), kt_in(20000));
	int all, send, recv_only, granted;

	all = kt_create(kt_name(name), KT_ALL);
	ASSERT_LE(0, all);
	send = kt_open(name, KPOST_RIGHT_SEND, 0);
	recv_only = kt_open(name, KPOST_RIGHT_RECV, 0);
	EXPECT_STREQ(name, fdinfo(all, "kpost-name"));
	EXPECT_STREQ("send,recv,admin", fdinfo(all, "kpost-rights"));
	EXPECT_STREQ("send", fdinfo(send, "kpost-rights"));
	EXPECT_STREQ("recv", fdinfo(recv_only, "kpost-rights"));
	EXPECT_STREQ("0", fdinfo(send, "kpost-badge"));
	granted = kt_grant_badge(all, KPOST_RIGHT_SEND, UINT64_MAX);
	EXPECT_STREQ("18446744073709551615", fdinfo(granted, "kpost-badge"));
	close(granted);
	EXPECT_STREQ("0 0", fdinfo(all, "kpost-queued"));
	EXPECT_STREQ("0", fdinfo(all, "kpost-sequence"));
	EXPECT_STREQ("0", fdinfo(all, "kpost-calls"));

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, kt_post(send, "seven..", 7, 0));
	EXPECT_EQ(7, kt_take(all, NULL, buf, sizeof(buf)));
	EXPECT_STREQ("3 21", fdinfo(send, "kpost-queued"));
	EXPECT_STREQ("4", fdinfo(send, "kpost-sequence"));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(7, kt_take(all, NULL, buf, sizeof(buf)));

	kt_start(&job, send, KPOST_IOC_CALL, &call);
	ASSERT_EQ(4, kt_recv(all, &recv, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_STREQ("1", fdinfo(all, "kpost-calls"));
	EXPECT_STREQ("0", fdinfo(recv_only, "kpost-calls")) TH_LOG("another's call");
	EXPECT_EQ(0, kt_reply(all, recv.token, NULL, 0));
	EXPECT_STREQ("0", fdinfo(all, "kpost-calls"));
	ASSERT_TRUE(kt_join(&job));

	EXPECT_EQ(0, kt_unlink(name));
	EXPECT_STREQ("", fdinfo(all, "kpost-name"));
}

/* ---- tracepoints --------------------------------------------------------- */

#define TRACEFS	"/sys/kernel/tracing"

FIXTURE(trace) {
	char dir[128];	/* an instance of our own */
};

FIXTURE_SETUP(trace)
{
	char path[256];

	if (access(TRACEFS "/instances", F_OK) != 0)
		mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	if (access(TRACEFS "/instances", F_OK) != 0)
		SKIP(return, "no tracefs, the kernel lacks CONFIG_TRACING or this is not root");
	snprintf(self->dir, sizeof(self->dir), TRACEFS "/instances/kpost-%d", getpid());
	ASSERT_EQ(0, mkdir(self->dir, 0700));
	snprintf(path, sizeof(path), "%s/events/kpost/enable", self->dir);
	ASSERT_EQ(0, child_write(path, "1"));
}

FIXTURE_TEARDOWN(trace)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/events/kpost/enable", self->dir);
	EXPECT_EQ(0, child_write(path, "0"));
	EXPECT_TRUE(kt_until(rmdir(self->dir) == 0));
}

/* how many of @event happened, and the last one's text in @last */
static int count_events(FIXTURE_DATA(trace) *self, const char *event, char last[256])
{
	char path[256], word[64], *at, *line;
	int count = 0;

	snprintf(path, sizeof(path), "%s/trace", self->dir);
	snprintf(word, sizeof(word), " %s: ", event);
	last[0] = '\0';
	if (child_read(path, text, sizeof(text)) < 0)
		return -1;
	for (at = text; (line = strstr(at, word)); at = line + 1) {
		count++;
		snprintf(last, 256, "%.*s", (int)strcspn(line, "\n"), line);
	}
	return count;
}

#define EXPECT_EVENTS(want, event) do {						\
	char events_last[256];							\
	int events = count_events(self, event, events_last);			\
										\
	EXPECT_EQ(want, events) TH_LOG("%s, last '%s'", event, events_last);	\
} while (0)

static bool last_has(FIXTURE_DATA(trace) *self, const char *event, const char *word)
{
	char last[256];

	return count_events(self, event, last) > 0 && strstr(last, word);
}

TEST_F(trace, tracepoints_are_all_there)
{
	static const char *const events[] = {
		"open", "close", "send", "receive", "call", "reply", "block", "wake", "drop",
	};
	char path[256];

	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		snprintf(path, sizeof(path), "%s/events/kpost/kpost_%s/format", self->dir,
			 events[i]);
		EXPECT_EQ(0, access(path, R_OK)) TH_LOG("kpost_%s", events[i]);
	}
}

TEST_F(trace, open_and_close_are_told_with_the_name)
{
	char name[KT_NAME_SIZE];
	int fd = kt_create(kt_name(name), KT_ALL);

	ASSERT_LE(0, fd);
	EXPECT_EVENTS(1, "kpost_open");
	EXPECT_TRUE(last_has(self, "kpost_open", name));
	EXPECT_EVENTS(0, "kpost_close");
	close(fd);
	EXPECT_EVENTS(1, "kpost_close");
}

TEST_F(trace, send_receive_and_drop_are_told_once_for_each_message)
{
	int fd = kt_mailbox(0, 0, 0);
	char buf[64];

	for (int i = 0; i < 5; i++)
		ASSERT_EQ(0, kt_post(fd, buf, 33, 123));
	EXPECT_EVENTS(5, "kpost_send");
	EXPECT_TRUE(last_has(self, "kpost_send", "size=33"));
	EXPECT_TRUE(last_has(self, "kpost_send", "sequence=5"));
	EXPECT_TRUE(last_has(self, "kpost_send", "priority=123"));
	EXPECT_EVENTS(0, "kpost_receive");
	EXPECT_EQ(33, kt_take(fd, NULL, buf, sizeof(buf)));
	EXPECT_EQ(-EMSGSIZE, kt_take(fd, NULL, buf, 1));
	EXPECT_EVENTS(1, "kpost_receive");
	EXPECT_TRUE(last_has(self, "kpost_receive", "sequence=1"));
	EXPECT_EVENTS(0, "kpost_drop");
	close(fd);
	EXPECT_EVENTS(4, "kpost_drop");
}

TEST_F(trace, waiting_is_told_at_both_ends)
{
	int fd = kt_mailbox(0, 0, 0);
	struct kpost_recv recv;
	struct kt_job job;
	char buf[8];

	EXPECT_EVENTS(0, "kpost_block");
	recv = kt_recv_args(buf, sizeof(buf), 0, kt_in(20000));
	kt_start(&job, fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
	EXPECT_TRUE(kt_until(kt_asleep(job.tid)));
	EXPECT_EVENTS(1, "kpost_block");
	EXPECT_EVENTS(0, "kpost_wake");
	EXPECT_EQ(0, kt_post(fd, "x", 1, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EVENTS(1, "kpost_wake");
	EXPECT_EQ(-ETIMEDOUT, kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_in(20)));
	EXPECT_EVENTS(2, "kpost_block");
	EXPECT_EVENTS(2, "kpost_wake");
	EXPECT_TRUE(last_has(self, "kpost_wake", "-110"));
}

TEST_F(trace, call_and_reply_are_told_with_their_token)
{
	char buf[8], token[32];
	struct kpost_call call = kt_call_args("call", 4, buf, sizeof(buf), kt_in(20000));
	struct kpost_recv recv;
	struct kt_job job;
	int fd = kt_mailbox(0, 0, 0);

	kt_start(&job, fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(4, kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	snprintf(token, sizeof(token), "token=%llu ", (unsigned long long)recv.token);
	EXPECT_EVENTS(1, "kpost_call");
	EXPECT_TRUE(last_has(self, "kpost_call", token));
	EXPECT_EQ(0, kt_drop(fd, recv.token));
	EXPECT_EVENTS(1, "kpost_reply");
	EXPECT_TRUE(last_has(self, "kpost_reply", token));
	EXPECT_EQ(-ENOENT, kt_drop(fd, recv.token));
	EXPECT_EVENTS(1, "kpost_reply");
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-ECONNRESET, job.ret);
}

TEST_HARNESS_MAIN
