// SPDX-License-Identifier: GPL-2.0-only
/*
 * An office without the module: mailboxes that outlive the programs which use them, for the tests
 * of the bridge on this machine, see host.  What they do is what <linux/kpost.h> says, as far as
 * the bridge needs it.  There are no calls, no rights by mode, and nothing expires.
 *
 * usage: kpost-office SOCKET
 *
 * When it is told to end it says how many messages have gone back to their places, and how many
 * were sent whose number it knew.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/kpost.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "office.h"

/* Nobody can write to an eventfd with that much in it. */
#define FULL 0xfffffffffffffffeull

struct message {
	TAILQ_ENTRY(message) link; /* in its mailbox, or among those that an endpoint holds */
	struct kpost_recv told; /* to who receives it */
	char data[];
};

TAILQ_HEAD(messages, message);

struct mark {
	LIST_ENTRY(mark) link;
	uint64_t badge, number;
};

struct mailbox {
	LIST_ENTRY(mailbox) link; /* until it is closed */
	struct messages queue; /* in the order in which they are received */
	struct kpost_stat stat; /* what is told of it is what is known of it */
	LIST_HEAD(, endpoint) endpoints;
	unsigned int endpoints_count;
	LIST_HEAD(, mark) marks;
};

struct endpoint {
	LIST_ENTRY(endpoint) link; /* of its mailbox */
	LIST_ENTRY(endpoint) of_client;
	struct mailbox *mailbox;
	uint32_t number, rights;
	uint64_t badge;
	int event;
	uint64_t raised; /* what is in the event */
	struct messages held;
	uint32_t held_count;
	uint64_t held_bytes;
};

struct client {
	int fd;
	struct ucred cred;
	LIST_HEAD(, endpoint) endpoints;
};

static LIST_HEAD(, mailbox) mailboxes;
static uint64_t last_identity, last_token;
static uint32_t last_endpoint;
static uint64_t given_back, repeated;
static volatile sig_atomic_t stop;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	fputs("kpost-office: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

static void *make(size_t size)
{
	void *made = calloc(1, size);

	if (!made)
		die("%zu bytes", size);
	return made;
}

/* ---- one request and its answer ------------------------------------------------- */

static char in[OFFICE_PACKET], out[OFFICE_PACKET];
static size_t in_at, in_size, out_size;

/* What comes next in the request, or NULL if it is shorter. */
static const void *take(void *to, size_t size)
{
	const char *from = &in[in_at];

	if (in_size - in_at < size)
		return NULL;
	in_at += size;
	return to ? memcpy(to, from, size) : from;
}

static size_t room_left(void)
{
	return sizeof(out) - out_size;
}

/* Who calls it has looked whether it fits. */
static void put(const void *from, size_t size)
{
	memcpy(&out[out_size], from, size);
	out_size += size;
}

/* ---- mailboxes -------------------------------------------------------------------- */

static bool has_room(const struct mailbox *mailbox, uint64_t size)
{
	const struct kpost_stat *st = &mailbox->stat;

	return st->queued_messages < st->messages && st->queued_bytes + size <= st->bytes;
}

/* A receiver is told of messages; a sender of room, or that the mailbox has gone. */
static uint64_t to_raise(const struct endpoint *endpoint)
{
	const struct mailbox *mailbox = endpoint->mailbox;

	if (endpoint->rights & KPOST_RIGHT_RECV)
		return !TAILQ_EMPTY(&mailbox->queue);
	if (mailbox->stat.flags & KPOST_STAT_CLOSED)
		return 1;
	return has_room(mailbox, mailbox->stat.message_max) ? 0 : FULL;
}

/* After each change. */
static void tell(struct mailbox *mailbox)
{
	struct endpoint *endpoint;
	uint64_t count;

	LIST_FOREACH(endpoint, &mailbox->endpoints, link) {
		uint64_t value = to_raise(endpoint);

		if (endpoint->raised == value)
			continue;
		if (endpoint->raised && eventfd_read(endpoint->event, &count))
			die("an event");
		if (value && eventfd_write(endpoint->event, value))
			die("an event");
		endpoint->raised = value;
	}
}

/* To its place: by priority, and then by sequence.  Nearly all belong to the end. */
static void enqueue(struct mailbox *mailbox, struct message *message)
{
	const struct kpost_recv *told = &message->told;
	struct message *before;

	TAILQ_FOREACH_REVERSE(before, &mailbox->queue, messages, link)
		if (before->told.priority > told->priority ||
		    (before->told.priority == told->priority &&
		     before->told.sequence < told->sequence))
			break;
	if (before)
		TAILQ_INSERT_AFTER(&mailbox->queue, before, message, link);
	else
		TAILQ_INSERT_HEAD(&mailbox->queue, message, link);
}

static struct mailbox *mailbox_find(const char *name)
{
	struct mailbox *mailbox;

	LIST_FOREACH(mailbox, &mailboxes, link)
		if (!strcmp(mailbox->stat.name, name))
			return mailbox;
	return NULL;
}

static void set_held_max(struct kpost_stat *st, uint32_t most)
{
	st->held_max = most ?: (st->messages + 1) / 2;
	if (st->held_max > st->messages)
		st->held_max = st->messages;
}

static struct mailbox *mailbox_make(const struct kpost_open *arg, const struct ucred *cred)
{
	struct mailbox *mailbox = make(sizeof(*mailbox));
	struct kpost_stat *st = &mailbox->stat;

	st->identity = ++last_identity;
	st->flags = arg->flags & KPOST_OPEN_PERSIST ? KPOST_STAT_PERSIST : 0;
	st->mode = arg->mode;
	st->uid = cred->uid;
	st->gid = cred->gid;
	st->bytes = arg->bytes ?: 128 << 10;
	st->messages = arg->messages ?: st->bytes / 512;
	if (!arg->messages && st->messages < 16)
		st->messages = 16;
	st->message_max = arg->message_max ?: st->bytes / 4;
	if (st->message_max > OFFICE_MESSAGE)
		st->message_max = OFFICE_MESSAGE;
	set_held_max(st, arg->held_max);
	strcpy(st->name, arg->name);
	TAILQ_INIT(&mailbox->queue);
	LIST_INSERT_HEAD(&mailboxes, mailbox, link);
	return mailbox;
}

static void messages_free(struct messages *messages)
{
	struct message *message;

	while ((message = TAILQ_FIRST(messages))) {
		TAILQ_REMOVE(messages, message, link);
		free(message);
	}
}

static void mailbox_free(struct mailbox *mailbox)
{
	struct mark *mark;

	messages_free(&mailbox->queue);
	while ((mark = LIST_FIRST(&mailbox->marks))) {
		LIST_REMOVE(mark, link);
		free(mark);
	}
	free(mailbox);
}

static struct mark *mark_find(const struct mailbox *mailbox, uint64_t badge)
{
	struct mark *mark;

	LIST_FOREACH(mark, &mailbox->marks, link)
		if (mark->badge == badge)
			return mark;
	return NULL;
}

static void mark_make(struct mailbox *mailbox, uint64_t badge)
{
	struct mark *mark;

	if (mark_find(mailbox, badge))
		return;
	mark = make(sizeof(*mark));
	mark->badge = badge;
	LIST_INSERT_HEAD(&mailbox->marks, mark, link);
}

/* ---- endpoints -------------------------------------------------------------------- */

static struct endpoint *endpoint_make(struct client *client, struct mailbox *mailbox,
				      uint32_t rights, uint64_t badge)
{
	struct endpoint *endpoint = make(sizeof(*endpoint));

	endpoint->mailbox = mailbox;
	endpoint->number = ++last_endpoint;
	endpoint->rights = rights;
	endpoint->badge = badge;
	endpoint->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (endpoint->event < 0)
		die("an event");
	TAILQ_INIT(&endpoint->held);
	LIST_INSERT_HEAD(&mailbox->endpoints, endpoint, link);
	LIST_INSERT_HEAD(&client->endpoints, endpoint, of_client);
	mailbox->endpoints_count++;
	mailbox->stat.receivers += !!(rights & KPOST_RIGHT_RECV);
	mailbox->stat.senders += !!(rights & KPOST_RIGHT_SEND);
	tell(mailbox);
	return endpoint;
}

static struct endpoint *endpoint_find(const struct client *client, uint32_t number)
{
	struct endpoint *endpoint;

	LIST_FOREACH(endpoint, &client->endpoints, of_client)
		if (endpoint->number == number)
			return endpoint;
	return NULL;
}

static void unhold(struct endpoint *endpoint, struct message *message)
{
	TAILQ_REMOVE(&endpoint->held, message, link);
	endpoint->held_count--;
	endpoint->held_bytes -= message->told.size;
	endpoint->mailbox->stat.held--;
}

static void give_back(struct endpoint *endpoint, struct message *message)
{
	unhold(endpoint, message);
	message->told.attempts++;
	given_back++;
	enqueue(endpoint->mailbox, message);
}

/* It is in the mailbox no more. */
static void received(struct mailbox *mailbox, struct message *message)
{
	mailbox->stat.queued_messages--;
	mailbox->stat.queued_bytes -= message->told.size;
	mailbox->stat.received++;
	free(message);
}

static void endpoint_close(struct endpoint *endpoint)
{
	struct mailbox *mailbox = endpoint->mailbox;
	struct kpost_stat *st = &mailbox->stat;
	struct message *message;

	while ((message = TAILQ_FIRST(&endpoint->held)))
		give_back(endpoint, message);
	LIST_REMOVE(endpoint, link);
	LIST_REMOVE(endpoint, of_client);
	close(endpoint->event);
	st->receivers -= !!(endpoint->rights & KPOST_RIGHT_RECV);
	st->senders -= !!(endpoint->rights & KPOST_RIGHT_SEND);
	mailbox->endpoints_count--;
	if (!(st->flags & (KPOST_STAT_PERSIST | KPOST_STAT_CLOSED)) && !st->receivers &&
	    (endpoint->rights & KPOST_RIGHT_RECV || !mailbox->endpoints_count)) {
		st->flags |= KPOST_STAT_CLOSED;
		LIST_REMOVE(mailbox, link);
	}
	free(endpoint);
	if (st->flags & KPOST_STAT_CLOSED && !mailbox->endpoints_count)
		mailbox_free(mailbox);
	else
		tell(mailbox);
}

/* ---- operations ------------------------------------------------------------------- */

/* Returns an endpoint, or NULL with @error. */
static struct endpoint *open_mailbox(struct client *client, int *error)
{
	const unsigned int known = KPOST_OPEN_CREATE | KPOST_OPEN_EXCL | KPOST_OPEN_WAIT |
				   KPOST_OPEN_PERSIST | KPOST_OPEN_NONBLOCK | KPOST_OPEN_OWNER |
				   KPOST_OPEN_KEYED;
	struct kpost_open arg;
	struct mailbox *mailbox;
	uint32_t owner;

	*error = -EINVAL;
	if (!take(&arg, sizeof(arg)) || arg.flags & ~known || !arg.rights || !arg.name[0] ||
	    arg.name[KPOST_NAME_MAX] || arg.message_max > OFFICE_MESSAGE)
		return NULL;
	mailbox = mailbox_find(arg.name);
	owner = mailbox ? mailbox->stat.uid : client->cred.uid;
	if (!mailbox && !(arg.flags & KPOST_OPEN_CREATE))
		*error = -ENOENT;
	else if (mailbox && arg.flags & KPOST_OPEN_EXCL)
		*error = -EEXIST;
	else if (arg.flags & KPOST_OPEN_OWNER && owner != arg.owner)
		*error = -EPERM;
	else
		*error = 0;
	if (*error)
		return NULL;
	return endpoint_make(client, mailbox ?: mailbox_make(&arg, &client->cred), arg.rights, 0);
}

static struct endpoint *grant(struct client *client, struct endpoint *endpoint, int *error)
{
	const unsigned int special = KPOST_GRANT_BADGE | KPOST_GRANT_MARK;
	struct kpost_grant arg;
	uint64_t badge;

	*error = -EINVAL;
	if (!take(&arg, sizeof(arg)) || !arg.rights)
		return NULL;
	*error = -EPERM;
	if (arg.rights & ~endpoint->rights ||
	    (arg.flags & special && !(endpoint->rights & KPOST_RIGHT_ADMIN)))
		return NULL;
	*error = -EPIPE;
	if (endpoint->mailbox->stat.flags & KPOST_STAT_CLOSED)
		return NULL;
	*error = 0;
	badge = arg.flags & KPOST_GRANT_BADGE ? arg.badge : endpoint->badge;
	if (arg.flags & KPOST_GRANT_MARK)
		mark_make(endpoint->mailbox, badge);
	return endpoint_make(client, endpoint->mailbox, arg.rights, badge);
}

static int tell_stat(struct endpoint *endpoint)
{
	struct kpost_stat st = endpoint->mailbox->stat;
	const struct mark *mark = mark_find(endpoint->mailbox, endpoint->badge);

	st.mark = mark ? mark->number : 0;
	st.rights = endpoint->rights;
	put(&st, sizeof(st));
	return 0;
}

static int setattr(struct endpoint *endpoint)
{
	struct kpost_stat *st = &endpoint->mailbox->stat;
	struct kpost_setattr arg;

	if (!take(&arg, sizeof(arg)) || arg.valid & (KPOST_SET_SHUT | KPOST_SET_OVERFLOW))
		return -EINVAL;
	if (!(endpoint->rights & KPOST_RIGHT_ADMIN))
		return -EPERM;
	if ((arg.valid & KPOST_SET_MESSAGES && !arg.messages) ||
	    (arg.valid & KPOST_SET_BYTES && arg.bytes < st->message_max))
		return -EINVAL;
	if (arg.valid & KPOST_SET_MESSAGES)
		st->messages = arg.messages;
	if (arg.valid & KPOST_SET_BYTES)
		st->bytes = arg.bytes;
	if (arg.valid & KPOST_SET_MODE)
		st->mode = arg.mode;
	if (arg.valid & KPOST_SET_UID)
		st->uid = arg.uid;
	if (arg.valid & KPOST_SET_GID)
		st->gid = arg.gid;
	if (arg.valid & KPOST_SET_HELD_MAX)
		set_held_max(st, arg.held_max);
	tell(endpoint->mailbox);
	return 0;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static struct message *find_tag(struct mailbox *mailbox, uint64_t tag)
{
	struct message *message;

	TAILQ_FOREACH(message, &mailbox->queue, link)
		if (message->told.tag == tag)
			break;
	return message;
}

static int send_one(const struct client *client, const struct endpoint *endpoint,
		    const struct kpost_send *entry, const void *data, uint32_t *out_flags)
{
	struct mailbox *mailbox = endpoint->mailbox;
	struct kpost_stat *st = &mailbox->stat;
	struct mark *mark = NULL;
	struct message *message;

	*out_flags = 0;
	if (entry->flags & ~(KPOST_NUMBERED | KPOST_DONTWAIT | KPOST_REPLACE) ||
	    entry->priority > KPOST_PRIORITY_MAX)
		return -EINVAL;
	if (entry->len > st->message_max)
		return -EMSGSIZE;
	if (st->flags & KPOST_STAT_CLOSED)
		return -EPIPE;
	if (entry->flags & KPOST_NUMBERED) {
		mark = mark_find(mailbox, endpoint->badge);
		if (!mark)
			return -ENOENT;
		if (entry->number <= mark->number) {
			*out_flags = KPOST_SEND_REPEATED;
			repeated++;
			return 0;
		}
	}
	message = entry->flags & KPOST_REPLACE ? find_tag(mailbox, entry->tag) : NULL;
	if (message) {
		TAILQ_REMOVE(&mailbox->queue, message, link);
		received(mailbox, message);
	}
	if (!has_room(mailbox, entry->len))
		return -EAGAIN;
	message = make(sizeof(*message) + entry->len);
	message->told = (struct kpost_recv){
		.size = entry->len,
		.sequence = ++st->sent,
		.tag = entry->tag,
		.badge = endpoint->badge,
		.time = now(),
		.priority = entry->priority,
		.pid = client->cred.pid,
		.uid = client->cred.uid,
		.gid = client->cred.gid,
		.opener_uid = client->cred.uid,
		.opener_gid = client->cred.gid,
	};
	memcpy(message->data, data, entry->len);
	enqueue(mailbox, message);
	st->queued_messages++;
	st->queued_bytes += entry->len;
	if (mark)
		mark->number = entry->number;
	return 0;
}

static int send_all(const struct client *client, struct endpoint *endpoint, uint32_t count,
		    uint32_t *done)
{
	int ret = endpoint->rights & KPOST_RIGHT_SEND ? 0 : -EBADF;

	while (!ret && *done < count) {
		struct kpost_send entry;
		const void *data = NULL;
		uint32_t out_flags;

		if (take(&entry, sizeof(entry)))
			data = take(NULL, entry.len);
		ret = data ? send_one(client, endpoint, &entry, data, &out_flags) : -EINVAL;
		if (ret)
			break;
		put(&out_flags, sizeof(out_flags));
		(*done)++;
	}
	tell(endpoint->mailbox);
	return ret;
}

/* As much of the mailbox may be held by one endpoint as its share in messages is, but one. */
static bool may_hold(const struct endpoint *endpoint, uint64_t size)
{
	const struct kpost_stat *st = &endpoint->mailbox->stat;

	if (endpoint->held_count >= st->held_max)
		return false;
	return !endpoint->held_count ||
	       endpoint->held_bytes + size <= st->bytes * st->held_max / st->messages;
}

static void hold(struct endpoint *endpoint, struct message *message)
{
	message->told.token = ++last_token;
	message->told.message_flags = KPOST_MESSAGE_HELD;
	TAILQ_INSERT_TAIL(&endpoint->held, message, link);
	endpoint->held_count++;
	endpoint->held_bytes += message->told.size;
	endpoint->mailbox->stat.held++;
}

static int receive_one(struct endpoint *endpoint, const struct kpost_recv *entry)
{
	struct mailbox *mailbox = endpoint->mailbox;
	struct message *message = entry->flags & KPOST_MATCH ? find_tag(mailbox, entry->tag) :
							       TAILQ_FIRST(&mailbox->queue);

	if (entry->flags &
	    ~(KPOST_HOLD | KPOST_DONTWAIT | KPOST_TRUNCATE | KPOST_MATCH | KPOST_PEEK))
		return -EINVAL;
	if (!message)
		return -EAGAIN;
	if (message->told.size > entry->len && !(entry->flags & KPOST_TRUNCATE)) {
		put(&(struct kpost_recv){ .size = message->told.size }, sizeof(*entry));
		return -EMSGSIZE;
	}
	if (entry->flags & KPOST_HOLD && !may_hold(endpoint, message->told.size))
		return -EBUSY;
	message->told.token = 0;
	message->told.message_flags = 0;
	if (!(entry->flags & KPOST_PEEK))
		TAILQ_REMOVE(&mailbox->queue, message, link);
	if (entry->flags & KPOST_HOLD)
		hold(endpoint, message);
	put(&message->told, sizeof(message->told));
	put(message->data, message->told.size);
	if (!message->told.token && !(entry->flags & KPOST_PEEK))
		received(mailbox, message);
	return 0;
}

static int receive_all(struct endpoint *endpoint, uint32_t count, uint32_t *done)
{
	int ret = endpoint->rights & KPOST_RIGHT_RECV ? 0 : -EBADF;

	while (!ret && *done < count) {
		struct kpost_recv entry;

		/* What does not fit is there for the next request. */
		if (*done && room_left() < sizeof(entry) + endpoint->mailbox->stat.message_max)
			break;
		ret = take(&entry, sizeof(entry)) ? receive_one(endpoint, &entry) : -EINVAL;
		if (!ret)
			(*done)++;
	}
	tell(endpoint->mailbox);
	return *done && ret == -EAGAIN ? 0 : ret;
}

/* Those that have been held for longest come first, and are done with first. */
static int release_all(struct endpoint *endpoint, uint32_t count, bool goes_back, uint32_t *done)
{
	int ret = 0;

	while (*done < count) {
		struct message *message;
		uint64_t token;

		ret = -EINVAL;
		if (!take(&token, sizeof(token)))
			break;
		TAILQ_FOREACH(message, &endpoint->held, link)
			if (message->told.token == token)
				break;
		ret = message ? 0 : -ENOENT;
		if (ret)
			break;
		if (goes_back) {
			give_back(endpoint, message);
		} else {
			unhold(endpoint, message);
			received(endpoint->mailbox, message);
		}
		(*done)++;
	}
	tell(endpoint->mailbox);
	return ret;
}

/* ---- clients ---------------------------------------------------------------------- */

/* Returns the event that goes with the answer, or -1. */
static int serve(struct client *client, const struct office_request *request,
		 struct office_answer *answer)
{
	struct endpoint *endpoint = endpoint_find(client, request->endpoint), *made = NULL;

	if (!endpoint && request->operation != OFFICE_OPEN) {
		answer->error = -EBADF;
		return -1;
	}
	switch (request->operation) {
	case OFFICE_OPEN:
		made = open_mailbox(client, &answer->error);
		break;
	case OFFICE_CLOSE:
		endpoint_close(endpoint);
		break;
	case OFFICE_STAT:
		answer->error = tell_stat(endpoint);
		break;
	case OFFICE_SETATTR:
		answer->error = setattr(endpoint);
		break;
	case OFFICE_GRANT:
		made = grant(client, endpoint, &answer->error);
		break;
	case OFFICE_SEND:
		answer->error = send_all(client, endpoint, request->count, &answer->count);
		break;
	case OFFICE_RECV:
		answer->error = receive_all(endpoint, request->count, &answer->count);
		break;
	case OFFICE_DONE:
	case OFFICE_RETURN:
		answer->error = release_all(endpoint, request->count,
					    request->operation == OFFICE_RETURN, &answer->count);
		break;
	default:
		answer->error = -ENOTTY;
	}
	if (!made)
		return -1;
	answer->endpoint = made->number;
	return made->event;
}

static void answer_send(const struct client *client, int event)
{
	struct iovec iov = { out, out_size };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (event >= 0) {
		struct cmsghdr *cmsg = &control.align;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &event, sizeof(event));
	}
	/* Who has just been killed is not told; the next event says that it has ended. */
	if (sendmsg(client->fd, &msg, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		die("an answer");
}

/* Whatever ends a program, the kernel closes its connection. */
static void client_end(struct client *client)
{
	struct endpoint *endpoint;

	while ((endpoint = LIST_FIRST(&client->endpoints)))
		endpoint_close(endpoint);
	close(client->fd);
	free(client);
}

static void client_serve(struct client *client)
{
	struct office_answer answer = { 0 };
	struct office_request request;
	ssize_t ret = recv(client->fd, in, sizeof(in), 0);
	int event;

	in_at = 0;
	in_size = ret < 0 ? 0 : ret;
	if (!take(&request, sizeof(request))) {
		client_end(client);
		return;
	}
	out_size = sizeof(answer);
	event = serve(client, &request, &answer);
	memcpy(out, &answer, sizeof(answer));
	answer_send(client, event);
}

static void watch(int epoll, int fd, void *data)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = data };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll");
}

static void client_begin(int epoll, int listener)
{
	struct client *client = make(sizeof(*client));
	socklen_t size = sizeof(client->cred);

	client->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (client->fd < 0 || getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &client->cred, &size))
		die("a client");
	watch(epoll, client->fd, client);
}

static void on_signal(int number)
{
	stop = 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fprintf(stderr, "usage: kpost-office SOCKET\n");
		return 2;
	}
	strcpy(address.sun_path, argv[1]);
	if (getrandom(&last_identity, sizeof(last_identity), 0) != sizeof(last_identity))
		die("a random number");
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 64))
		die("%s", argv[1]);
	watch(epoll, listener, NULL);
	signal(SIGTERM, on_signal);
	while (!stop) {
		struct epoll_event event;

		/* One at a time: a client that has ended is in no event that is yet to be seen. */
		if (epoll_wait(epoll, &event, 1, -1) < 1)
			continue;
		if (event.data.ptr)
			client_serve(event.data.ptr);
		else
			client_begin(epoll, listener);
	}
	printf("given_back=%" PRIu64 " repeated=%" PRIu64 "\n", given_back, repeated);
	return 0;
}
