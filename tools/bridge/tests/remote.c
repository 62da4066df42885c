// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the bridge uses of libkpost, spoken to an office that is a program: kpost-office, whose
 * socket the environment's KPOST_OFFICE names.  What libkpost does with threads, signals and
 * structs of other ages is left out: a program has one thread that comes here.
 */
#include <errno.h>
#include <kpost.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "office.h"

#define MS 1000000ull
#define LOOK_AGAIN_MS 10 /* for a mailbox that somebody shall make */

/* By file descriptor: the endpoint's number in the office, 0 for none. */
static struct remote {
	uint32_t number;
	bool nonblock;
} * remotes;
static int remotes_size;

static int office = -1;
static char packet[OFFICE_PACKET];
static size_t packet_size;

/* ---- one request and its answer ------------------------------------------------- */

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "kpost-remote: %s: %s\n", what, strerror(errno));
	/* As it would be if it was killed: what it holds goes back. */
	_exit(70);
}

static bool office_found(void)
{
	const char *name = getenv("KPOST_OFFICE");
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (office >= 0)
		return true;
	if (!name || strlen(name) >= sizeof(address.sun_path))
		return false;
	strcpy(address.sun_path, name);
	office = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (!connect(office, (struct sockaddr *)&address, sizeof(address)))
		return true;
	close(office);
	office = -1;
	return false;
}

static void begin(enum office_operation operation, uint32_t endpoint)
{
	const struct office_request request = { .operation = operation, .endpoint = endpoint };

	memcpy(packet, &request, sizeof(request));
	packet_size = sizeof(request);
}

static void set_count(uint32_t count)
{
	((struct office_request *)packet)->count = count;
}

static bool fits(size_t size)
{
	return sizeof(packet) - packet_size >= size;
}

static void put(const void *from, size_t size)
{
	memcpy(&packet[packet_size], from, size);
	packet_size += size;
}

/* The answer's beginning; what is behind it is in the packet.  @fd is what came with it, or -1. */
static struct office_answer transact(int *fd)
{
	struct iovec iov = { packet, packet_size };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct office_answer answer;
	struct cmsghdr *cmsg;
	ssize_t ret;

	if (send(office, packet, packet_size, MSG_NOSIGNAL) < 0)
		die("the office is gone");
	iov.iov_len = sizeof(packet);
	do
		ret = recvmsg(office, &msg, MSG_CMSG_CLOEXEC);
	while (ret < 0 && errno == EINTR);
	if (ret < (ssize_t)sizeof(answer))
		die("the office does not answer");
	packet_size = ret;
	memcpy(&answer, packet, sizeof(answer));
	cmsg = CMSG_FIRSTHDR(&msg);
	if (fd)
		*fd = -1;
	if (fd && cmsg)
		memcpy(fd, CMSG_DATA(cmsg), sizeof(*fd));
	return answer;
}

static const char *answered(void)
{
	return &packet[sizeof(struct office_answer)];
}

/* ---- endpoints ------------------------------------------------------------------ */

static struct remote *remote_of(int fd)
{
	return fd >= 0 && fd < remotes_size && remotes[fd].number ? &remotes[fd] : NULL;
}

static void forget(struct remote *remote)
{
	begin(OFFICE_CLOSE, remote->number);
	remote->number = 0;
	transact(NULL);
}

/* The answer to what was put is an endpoint. */
static int endpoint_made(bool nonblock)
{
	int fd;
	struct office_answer answer = transact(&fd);

	if (answer.error)
		return answer.error;
	if (fd < 0)
		die("an endpoint");
	if (fd >= remotes_size) {
		int size = 2 * fd + 16;

		remotes = realloc(remotes, size * sizeof(remotes[0]));
		if (!remotes)
			die("memory");
		memset(&remotes[remotes_size], 0, (size - remotes_size) * sizeof(remotes[0]));
		remotes_size = size;
	}
	/* It was closed by close(2). */
	if (remotes[fd].number)
		forget(&remotes[fd]);
	remotes[fd] = (struct remote){ answer.endpoint, nonblock };
	return fd;
}

/* ---- waiting -------------------------------------------------------------------- */

/* In milliseconds, as for poll(2); 0 if it has passed. */
static int time_left(uint64_t deadline)
{
	uint64_t at = kpost_deadline(0);

	if (!deadline)
		return -1;
	return deadline > at ? (int)((deadline - at + MS - 1) / MS) : 0;
}

/* Returns 0 once it may have what it is polled for, else what the operation ends with. */
static int wait_for(int fd, short events, unsigned int flags, uint64_t deadline)
{
	struct pollfd polled = { .fd = fd, .events = events };
	int left = time_left(deadline);

	if (flags & KPOST_DONTWAIT || remote_of(fd)->nonblock)
		return -EAGAIN;
	if (!left)
		return -ETIMEDOUT;
	return poll(&polled, 1, left) < 0 ? -errno : 0;
}

/* ---- mailboxes ------------------------------------------------------------------ */

int kpost_open_sized(const char *name, unsigned int rights, unsigned int flags,
		     const struct kpost_attr *attr, uint64_t deadline, size_t attr_size)
{
	struct kpost_open arg = { .flags = flags, .rights = rights };
	int ret, left;

	if (!office_found())
		return -ENOENT;
	if (strlen(name) > KPOST_NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(arg.name, name);
	if (attr) {
		arg.mode = attr->mode == KPOST_MODE_NONE ? 0 : attr->mode ?: 0600;
		arg.messages = attr->messages;
		arg.bytes = attr->bytes;
		arg.message_max = attr->message_max;
		arg.held_max = attr->held_max;
		arg.owner = attr->owner;
	}
	for (;;) {
		begin(OFFICE_OPEN, 0);
		put(&arg, sizeof(arg));
		ret = endpoint_made(flags & KPOST_OPEN_NONBLOCK);
		if (ret != -ENOENT || !(flags & KPOST_OPEN_WAIT))
			return ret;
		left = time_left(deadline);
		if (!left)
			return -ETIMEDOUT;
		if (left < 0 || left > LOOK_AGAIN_MS)
			left = LOOK_AGAIN_MS;
		if (poll(NULL, 0, left) < 0)
			return -errno;
	}
}

int kpost_close(int fd)
{
	struct remote *remote = remote_of(fd);

	if (!remote)
		return -EBADF;
	forget(remote);
	close(fd);
	return 0;
}

int kpost_stat_sized(int fd, struct kpost_stat *st, size_t st_size)
{
	const struct remote *remote = remote_of(fd);
	struct office_answer answer;

	if (!remote)
		return -EBADF;
	begin(OFFICE_STAT, remote->number);
	answer = transact(NULL);
	if (!answer.error)
		memcpy(st, answered(), sizeof(*st));
	return answer.error;
}

int kpost_setattr_sized(int fd, const struct kpost_setattr *attr, size_t attr_size)
{
	const struct remote *remote = remote_of(fd);

	if (!remote)
		return -EBADF;
	begin(OFFICE_SETATTR, remote->number);
	put(attr, sizeof(*attr));
	return transact(NULL).error;
}

int kpost_grant_sized(int fd, const struct kpost_grant *grant, size_t grant_size)
{
	const struct remote *remote = remote_of(fd);

	if (!remote)
		return -EBADF;
	begin(OFFICE_GRANT, remote->number);
	put(grant, sizeof(*grant));
	return endpoint_made(grant->flags & KPOST_GRANT_NONBLOCK);
}

/* ---- messages ------------------------------------------------------------------- */

/* As many as fit into a request; @error is 0 if all of those were sent. */
static int send_some(const struct remote *remote, struct kpost_send *entries, size_t entries_count,
		     int *error)
{
	struct office_answer answer;
	uint32_t count = 0;

	begin(OFFICE_SEND, remote->number);
	for (; count < entries_count; count++) {
		const struct kpost_send *entry = &entries[count];

		if (entry->len > OFFICE_MESSAGE) {
			*error = -EMSGSIZE;
			if (!count)
				return 0;
			break;
		}
		if (!fits(sizeof(*entry) + entry->len))
			break;
		put(entry, sizeof(*entry));
		put((const void *)(uintptr_t)entry->buf, entry->len);
	}
	set_count(count);
	answer = transact(NULL);
	for (uint32_t i = 0; i < answer.count; i++)
		memcpy(&entries[i].out_flags, answered() + i * sizeof(uint32_t), sizeof(uint32_t));
	*error = answer.error;
	return (int)answer.count;
}

int kpost_send_batch_sized(int fd, struct kpost_send *entries, size_t entries_count,
			   unsigned int flags, uint64_t deadline, int *error, size_t entry_size)
{
	const struct remote *remote = remote_of(fd);
	size_t done = 0;
	int ret = remote ? 0 : -EBADF;

	while (!ret && done < entries_count) {
		done += send_some(remote, &entries[done], entries_count - done, &ret);
		if (ret == -EAGAIN)
			ret = wait_for(fd, POLLOUT, flags, deadline);
	}
	if (error)
		*error = ret;
	return done ? (int)done : ret;
}

int kpost_send(int fd, const void *buf, size_t len, unsigned int priority, unsigned int flags,
	       uint64_t deadline)
{
	struct kpost_send entry = { .priority = priority, .buf = (uintptr_t)buf, .len = len };
	int ret = kpost_send_batch_sized(fd, &entry, 1, flags, deadline, NULL, sizeof(entry));

	return ret < 0 ? ret : 0;
}

/* What came, to where the caller wants it. */
static void receive_entry(struct kpost_recv *entry, const char **from, bool has_data)
{
	const struct kpost_recv asked = *entry;

	memcpy(entry, *from, sizeof(*entry));
	*from += sizeof(*entry);
	entry->flags = asked.flags;
	entry->deadline = asked.deadline;
	entry->buf = asked.buf;
	entry->len = asked.len;
	entry->cookie = asked.cookie;
	entry->hold_until = asked.hold_until;
	if (!has_data)
		return;
	if (entry->size > asked.len)
		entry->message_flags |= KPOST_MESSAGE_TRUNCATED;
	memcpy((void *)(uintptr_t)asked.buf, *from,
	       entry->size < asked.len ? entry->size : asked.len);
	*from += entry->size;
}

int kpost_recv_batch_sized(int fd, struct kpost_recv *entries, size_t entries_count,
			   unsigned int flags, uint64_t deadline, int *error, size_t entry_size)
{
	const struct remote *remote = remote_of(fd);
	struct office_answer answer;
	const char *from;
	int ret;

	if (!remote)
		return -EBADF;
	if (!entries_count || entries_count > KPOST_BATCH_MAX)
		return -EINVAL;
	do {
		begin(OFFICE_RECV, remote->number);
		for (uint32_t i = 0; i < entries_count && fits(sizeof(entries[0])); i++) {
			put(&entries[i], sizeof(entries[0]));
			set_count(i + 1);
		}
		answer = transact(NULL);
		ret = answer.error;
		if (ret == -EAGAIN)
			ret = wait_for(fd, POLLIN, flags, deadline);
	} while (answer.error == -EAGAIN && !ret);
	from = answered();
	for (uint32_t i = 0; i < answer.count; i++)
		receive_entry(&entries[i], &from, true);
	if (answer.error == -EMSGSIZE)
		receive_entry(&entries[answer.count], &from, false);
	if (error)
		*error = ret;
	return answer.count ? (int)answer.count : ret;
}

static ssize_t receive_single(int fd, unsigned int kind, uint64_t tag, void *buf, size_t len,
			      struct kpost_message *message, unsigned int flags, uint64_t deadline)
{
	struct kpost_recv entry = {
		.flags = kind | (flags & ~KPOST_DONTWAIT),
		.tag = tag,
		.buf = (uintptr_t)buf,
		.len = len,
	};
	int ret = kpost_recv_batch_sized(fd, &entry, 1, flags & KPOST_DONTWAIT, deadline, NULL,
					 sizeof(entry));

	if (message && (ret > 0 || ret == -EMSGSIZE))
		*message = (struct kpost_message){
			.size = entry.size,
			.sequence = entry.sequence,
			.tag = entry.tag,
			.badge = entry.badge,
			.time = entry.time,
			.token = entry.token,
			.flags = entry.message_flags,
			.priority = entry.priority,
			.pid = (pid_t)entry.pid,
			.uid = entry.uid,
			.gid = entry.gid,
			.attempts = entry.attempts,
		};
	if (ret < 0)
		return ret;
	return (ssize_t)(entry.size < len ? entry.size : len);
}

ssize_t kpost_recv_sized(int fd, void *buf, size_t len, struct kpost_message *message,
			 unsigned int flags, uint64_t deadline, size_t message_size)
{
	return receive_single(fd, 0, 0, buf, len, message, flags, deadline);
}

ssize_t kpost_recv_tag_sized(int fd, uint64_t tag, void *buf, size_t len,
			     struct kpost_message *message, unsigned int flags, uint64_t deadline,
			     size_t message_size)
{
	return receive_single(fd, KPOST_MATCH, tag, buf, len, message, flags, deadline);
}

static int release(enum office_operation operation, int fd, const uint64_t *tokens, size_t count)
{
	const struct remote *remote = remote_of(fd);
	struct office_answer answer;

	if (!remote)
		return -EBADF;
	if (!count || count > KPOST_BATCH_MAX)
		return -EINVAL;
	begin(operation, remote->number);
	put(tokens, count * sizeof(tokens[0]));
	set_count((uint32_t)count);
	answer = transact(NULL);
	return answer.count ? (int)answer.count : answer.error;
}

int kpost_done_batch(int fd, const uint64_t *tokens, size_t count)
{
	return release(OFFICE_DONE, fd, tokens, count);
}

/* A later time is not played: nobody here gives one. */
int kpost_return(int fd, uint64_t token, uint64_t not_before)
{
	int ret = not_before ? -EINVAL : release(OFFICE_RETURN, fd, &token, 1);

	return ret < 0 ? ret : 0;
}
