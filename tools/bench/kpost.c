// SPDX-License-Identifier: GPL-2.0-only
/* kpost: by its operations, by the library, and as a file. */
#include "bench.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* No more than is needed, since all of it counts, and there are cases of 10,000. */
static struct kpost_attr attr_of(const struct load *load)
{
	unsigned long room = room_of(load), size = load->size ? load->size : 1;

	return (struct kpost_attr){
		.mode = 0600,
		.messages = (unsigned int)room,
		.bytes = room * size,
		.message_max = size,
	};
}

int open_mailbox_as(struct line *line, const struct load *load, unsigned int flags)
{
	const struct kpost_attr attr = attr_of(load);

	line->in = kpost_open(NULL, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV,
			      KPOST_OPEN_ANONYMOUS | flags, &attr, 0);
	line->out = line->in;
	return line->in < 0 ? line->in : 0;
}

int open_mailbox(struct line *line, const struct load *load)
{
	return open_mailbox_as(line, load, 0);
}

static int open_server(struct line *line, const struct load *load)
{
	line->state = calloc(1, sizeof(uint64_t)); /* the token to reply to */
	return open_mailbox(line, load);
}

/* Of a mailbox that the first of them makes. */
static int open_another(void)
{
	return kpost_open("kpost-bench", KPOST_RIGHT_SEND, KPOST_OPEN_CREATE, NULL, 0);
}

void close_mailbox(struct line *line)
{
	close(line->in);
	free(line->state);
}

static void send_priority(struct line *line, void *buf, size_t len, unsigned int priority)
{
	struct kpost_send send = { .priority = priority, .buf = (uintptr_t)buf, .len = len };

	if (ioctl(line->out, KPOST_IOC_SEND, &send))
		die("send: %s", strerror(errno));
}

static void send_one(struct line *line, void *buf, size_t len)
{
	send_priority(line, buf, len, 0);
}

static void receive(struct line *line, void *buf, size_t len)
{
	struct kpost_recv recv = { .buf = (uintptr_t)buf, .len = len };

	if (ioctl(line->in, KPOST_IOC_RECV, &recv) < 0)
		die("receive: %s", strerror(errno));
}

static void call(struct line *line, void *buf, size_t len)
{
	struct kpost_call call = {
		.buf = (uintptr_t)buf,
		.len = len,
		.reply_buf = (uintptr_t)buf,
		.reply_len = len,
	};

	if (ioctl(line->out, KPOST_IOC_CALL, &call) < 0)
		die("call: %s", strerror(errno));
}

static void serve(struct line *line, void *buf, size_t len)
{
	uint64_t *token = line->state;
	struct kpost_reply reply = { .token = *token, .buf = (uintptr_t)buf, .len = len };
	struct kpost_recv recv = { .buf = (uintptr_t)buf, .len = len };
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&reply,
		.recv = (uintptr_t)&recv,
		.reply_size = sizeof(reply),
		.recv_size = sizeof(recv),
	};

	if (!*token)
		reply.buf = reply.len = 0;
	if (ioctl(line->in, KPOST_IOC_REPLY_RECV, &both) < 0)
		die("reply and receive: %s", strerror(errno));
	*token = recv.token;
}

static void send_many(struct line *line, void *buf, size_t len, unsigned int count)
{
	static struct kpost_send entries[MOST];
	struct kpost_batch batch = {
		.count = count,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
	};

	for (unsigned int i = 0; i < count; i++)
		entries[i] = (struct kpost_send){ .buf = (uintptr_t)buf, .len = len };
	if (ioctl(line->out, KPOST_IOC_SENDV, &batch) != (int)count)
		die("send many: %s", strerror(errno));
}

static void receive_many(struct line *line, void *buf, size_t len, unsigned int count)
{
	static struct kpost_recv entries[MOST];
	struct kpost_batch batch = {
		.count = count,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
	};

	for (unsigned int i = 0; i < count; i++) {
		entries[i].buf = (uintptr_t)buf;
		entries[i].len = len;
	}
	if (ioctl(line->in, KPOST_IOC_RECVV, &batch) != (int)count)
		die("receive many: %s", strerror(errno));
}

const struct transport kpost_ioctl = {
	.name = "kpost",
	.what = "by its operations, with ioctl(2)",
	.traits = OURS,
	.open = open_server,
	.close = close_mailbox,
	.send = send_one,
	.receive = receive,
	.send_many = send_many,
	.receive_many = receive_many,
	.send_priority = send_priority,
	.call = call,
	.serve = serve,
	.another = open_another,
};

static void library_send(struct line *line, void *buf, size_t len)
{
	int ret = kpost_send(line->out, buf, len, 0, 0, 0);

	if (ret)
		die("kpost_send: %s", strerror(-ret));
}

static void library_receive(struct line *line, void *buf, size_t len)
{
	struct kpost_message message;
	ssize_t ret = kpost_recv(line->in, buf, len, &message, 0, 0);

	if (ret < 0)
		die("kpost_recv: %s", strerror((int)-ret));
}

static void library_call(struct line *line, void *buf, size_t len)
{
	ssize_t ret = kpost_call(line->out, buf, len, buf, len, 0);

	if (ret < 0)
		die("kpost_call: %s", strerror((int)-ret));
}

static void library_serve(struct line *line, void *buf, size_t len)
{
	uint64_t *token = line->state;
	struct kpost_response response = { .token = *token, .buf = buf, .len = len };
	struct kpost_message message;
	ssize_t ret = kpost_reply_recv(line->in, &response, buf, len, &message, 0, 0);

	if (ret < 0)
		die("kpost_reply_recv: %s", strerror((int)-ret));
	*token = message.token;
}

const struct transport kpost_library = {
	.name = "libkpost",
	.what = "by the library's functions",
	.traits = OURS,
	.open = open_server,
	.close = close_mailbox,
	.send = library_send,
	.receive = library_receive,
	.call = library_call,
	.serve = library_serve,
};

const struct transport kpost_rw = {
	.name = "kpost-rw",
	.what = "by read(2) and write(2)",
	.traits = OURS,
	.min = 1,
	.open = open_mailbox,
	.close = close_mailbox,
	.send = write_all,
	.receive = read_all,
};

/* ---- by path ----------------------------------------------------------------------------- */

#define DIRECTORY "/tmp/kpost-bench"
#define PATH DIRECTORY "/kpost-bench"

/* For this process and its children. */
static int mount_office(void)
{
	static bool mounted;

	if (mounted)
		return 0;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    (mkdir(DIRECTORY, 0755) && errno != EEXIST) ||
	    mount("kpost", DIRECTORY, "kpost", 0, NULL))
		return -errno;
	mounted = true;
	return 0;
}

static int open_by_path(struct line *line, const struct load *load)
{
	const struct kpost_attr attr = attr_of(load);
	int err = mount_office(), maker;

	if (err)
		return err;
	maker = kpost_open("kpost-bench", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE, &attr, 0);
	if (maker < 0)
		return maker;
	line->in = open(PATH, O_RDWR | O_CLOEXEC);
	line->out = line->in;
	close(maker);
	return line->in < 0 ? -errno : 0;
}

static int open_another_by_path(void)
{
	int err = mount_office();

	if (err || (mkfifo(PATH, 0600) && errno != EEXIST))
		return -1;
	return open(PATH, O_WRONLY | O_CLOEXEC);
}

const struct transport kpost_path = {
	.name = "kpost-path",
	.what = "by its operations, on an endpoint that was opened by path",
	.traits = OURS | BY_PATH,
	.open = open_by_path,
	.close = close_mailbox,
	.send = send_one,
	.receive = receive,
	.another = open_another_by_path,
};

const struct transport kpost_path_rw = {
	.name = "kpost-path-rw",
	.what = "by read(2) and write(2) on such a one",
	.traits = OURS | BY_PATH,
	.min = 1,
	.open = open_by_path,
	.close = close_mailbox,
	.send = write_all,
	.receive = read_all,
};

/* ---- by tag ------------------------------------------------------------------------------ */

/* Each tag from 0 up is that of one message. */
struct tags {
	uint64_t next; /* that the next message is sent with */
	uint64_t count;
	uint32_t chance;
};

static int open_keyed(struct line *line, const struct load *load)
{
	struct tags *tags = calloc(1, sizeof(*tags));

	tags->count = load->depth ? load->depth : 1;
	tags->chance = 1;
	line->state = tags;
	return open_mailbox_as(line, load, KPOST_OPEN_KEYED);
}

static void send_tag(struct line *line, void *buf, size_t len)
{
	struct tags *tags = line->state;
	struct kpost_send send = { .buf = (uintptr_t)buf, .len = len, .tag = tags->next++ };

	if (ioctl(line->out, KPOST_IOC_SEND, &send))
		die("send: %s", strerror(errno));
}

/* Of any of those tags, which the next message then has. */
static void receive_tag(struct line *line, void *buf, size_t len)
{
	struct tags *tags = line->state;
	struct kpost_recv recv = { .flags = KPOST_MATCH, .buf = (uintptr_t)buf, .len = len };

	tags->chance = tags->chance * 1103515245 + 12345;
	recv.tag = (tags->chance >> 8) % tags->count;
	tags->next = recv.tag;
	if (ioctl(line->in, KPOST_IOC_RECV, &recv) < 0)
		die("receive: %s", strerror(errno));
}

const struct transport kpost_keyed = {
	.name = "kpost-keyed",
	.what = "a keyed mailbox, by tag",
	.traits = OURS | TAGS,
	.open = open_keyed,
	.close = close_mailbox,
	.send = send_tag,
	.receive = receive_tag,
};
