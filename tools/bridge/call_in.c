// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls from other machines, see call_out.c: here each is one that was submitted.  Its reply goes
 * to its caller under this machine's name.
 */
#include <stdio.h>
#include <sys/uio.h>

#include "bridge.h"

#define LOOK (250 * MS) /* at whose time is over, and whether there is a server */

struct asked {
	char *reply; /* NULL: none */
	uint64_t since, until;
	uint64_t id;
	int fd; /* that it was submitted through */
	unsigned int next_free;
};

struct call_in {
	struct route route;
	struct asked *asked;
	unsigned int count, free;
	struct origin *origins;
	unsigned long subscribed; /* in which connection to NATS, 0: none */
};

static struct call_in *in_of(struct route *route)
{
	return (struct call_in *)route;
}

static void answer(struct call_in *in, const char *subject, const void *data, size_t size, int err)
{
	natsMsg *message = NULL;
	natsStatus status = natsMsg_Create(&message, subject, NULL, data, size);

	if (status == NATS_OK && err)
		status = natsMsgHeader_Set(message, "Kpost-Error", strerror(err));
	if (status == NATS_OK)
		status = link_publish(in->route.bridge->calls, message);
	if (status != NATS_OK)
		route_error(&in->route, "a reply was lost: %s", natsStatus_GetText(status));
	discard(message);
	if (status == NATS_MAX_PAYLOAD && !err)
		answer(in, subject, NULL, 0, EMSGSIZE);
}

static void asked_end(struct call_in *in, unsigned int slot)
{
	struct asked *asked = &in->asked[slot];

	free(asked->reply);
	asked->reply = NULL;
	asked->next_free = in->free;
	in->free = slot;
	in->count--;
	in->route.unacked = in->count;
}

static void on_replies(evutil_socket_t fd, short what, void *data)
{
	struct route *route = data;
	struct call_in *in = in_of(route);
	void *reply = route_buffer(route);
	struct kpost_answer got;
	ssize_t size = -EAGAIN;

	for (int i = 0; i < ROUND; i++) {
		struct asked *asked;

		got.id = 0;
		size = kpost_call_collect(fd, 0, reply, route->config->message_max, &got,
					  KPOST_DONTWAIT, 0);
		if (size < 0 && !got.id)
			break;
		asked = &in->asked[got.user_data];
		answer(in, asked->reply, reply, size < 0 ? 0 : size, size < 0 ? -size : 0);
		if (size >= 0)
			route->counts.out++;
		size = 0; /* how that one ended says nothing of the mailbox */
		asked_end(in, got.user_data);
	}
	if (size == -EPIPE)
		route_anew(route, "the mailbox was removed, or shut");
	bridge_pump(route->bridge);
}

static int submit(struct call_in *in, natsMsg *message, struct origin *origin, const char *reply)
{
	struct route *route = &in->route;
	struct kpost_envelope envelope;
	struct iovec pieces[2] = {
		{ &envelope, 0 }, /* none, but where it is told to */
		{ (void *)natsMsg_GetData(message), natsMsg_GetDataLength(message) },
	};
	uint64_t left = header_number(message, "Kpost-Deadline", route->config->timeout / MS);
	uint64_t reply_max = header_number(message, "Kpost-Reply-Max", route->config->message_max);
	struct kpost_options options = {
		.flags = KPOST_DONTWAIT | KPOST_PRESENT,
		.priority = header_number(message, "Kpost-Priority", 0),
		.tag = header_number(message, "Kpost-Tag", 0),
		.deadline = now() + (left < route->config->timeout / MS ? left * MS :
									  route->config->timeout),
	};
	uint64_t expires = header_number(message, "Kpost-Expires", 0);
	unsigned int slot = in->free;
	uint64_t id;
	int ret;

	if (route->config->envelope) {
		envelope_fill(&envelope, origin, message);
		pieces[0].iov_len = envelope.size;
	}
	if (!reply) {
		if (expires && expires < INT64_MAX / SECOND)
			options.expires = now() + expires * MS;
		return kpost_sendv(origin->fd, pieces, 2, &options, NULL);
	}
	if (in->count == route->config->window)
		return -EAGAIN;
	if (reply_max > route->config->message_max)
		reply_max = route->config->message_max;
	ret = kpost_call_submit(origin->fd, pieces, 2, reply_max, slot, &options, &id);
	if (ret)
		return ret;
	in->free = in->asked[slot].next_free;
	in->asked[slot] = (struct asked){
		.reply = text("%s", reply),
		.since = now(),
		.until = options.deadline,
		.id = id,
		.fd = origin->fd,
	};
	in->route.unacked = ++in->count;
	return 0;
}

/*
 * The subject of the reply to a request that names @inbox: under this machine's own name, for the
 * one that calls.  Where it names no inbox of that, NULL.
 */
static char *reply_subject(const struct call_in *in, const char *inbox, const char *subject)
{
	char machine[200];
	size_t length;

	if (!origin_machine(subject, machine, sizeof(machine)))
		return NULL;
	length = strlen(machine);
	if (strncmp(inbox, "_INBOX.", 7) || strncmp(inbox + 7, machine, length) ||
	    inbox[7 + length] != '.' || strpbrk(inbox, "*> "))
		return NULL;
	return text("kpost.%s.reply.%s", in->route.bridge->config.machine, inbox + 7);
}

static bool in_request(struct route *route, natsMsg *message, const char *what)
{
	struct call_in *in = in_of(route);
	const char *inbox = natsMsg_GetReply(message), *subject = natsMsg_GetSubject(message);
	char *reply = NULL;
	struct origin *origin;
	int ret = 0;

	if (what || !in->asked || route->fd < 0)
		return false;
	route->counts.in++;
	if (inbox) {
		reply = reply_subject(in, inbox, subject);
		if (!reply) {
			route->counts.refused++;
			route_error(route,
				    "a call from %s wants its reply at %s: that is no inbox of it",
				    subject, inbox);
			return false;
		}
	}
	origin = origin_get(&in->origins, route, subject, EV_READ | EV_PERSIST, on_replies, &ret);
	if (origin) {
		event_add(origin->ready, NULL);
		ret = submit(in, message, origin, reply);
	}
	if (ret) {
		route->counts.refused += !!origin;
		route_error(route, "a call from afar: %s",
			    ret == -ENXIO ? "nobody receives from the mailbox" : strerror(-ret));
		if (reply)
			answer(in, reply, NULL, 0, -ret);
	}
	free(reply);
	return false;
}

/* Its time is over: who asked has given up, and so does this. */
static void give_up_late(struct call_in *in)
{
	uint64_t at = now();

	for (unsigned int i = 0; in->count && i < in->route.config->window; i++) {
		struct asked *asked = &in->asked[i];

		if (!asked->reply || asked->until > at)
			continue;
		/* If there was none any more, nobody else will end it. */
		kpost_call_cancel(asked->fd, asked->id);
		answer(in, asked->reply, NULL, 0, ETIMEDOUT);
		asked_end(in, i);
	}
}

/* As long as nobody serves here, other machines do. */
static void in_timer(struct route *route)
{
	struct call_in *in = in_of(route);
	struct kpost_stat st;
	natsStatus status;
	int ret = kpost_stat(route->fd, &st);

	route_timer(route, LOOK);
	give_up_late(in);
	if (!link_up(route->bridge->calls))
		return;
	if (ret || st.flags & (KPOST_STAT_CLOSED | KPOST_STAT_SHUT) || !st.name[0]) {
		route_anew(route, "the mailbox was removed, or shut");
		return;
	}
	if (!st.receivers) {
		link_unsubscribe(route->bridge->calls, route);
		in->subscribed = 0;
		route_state(route, STATE_WAITING, "nobody receives from the mailbox");
		return;
	}
	if (in->subscribed != link_ups(route->bridge->calls)) {
		status = link_subscribe(route->bridge->calls, route);
		if (status != NATS_OK) {
			route_state(route, STATE_WAITING, "subscribe: %s",
				    natsStatus_GetText(status));
			return;
		}
		in->subscribed = link_ups(route->bridge->calls);
	}
	route_state(route, STATE_RUNNING, "%s", "");
}

/* Who waits for a reply has it from nobody else. */
static void in_forget(struct route *route)
{
	struct call_in *in = in_of(route);

	for (unsigned int i = 0; in->count && i < route->config->window; i++)
		if (in->asked[i].reply) {
			answer(in, in->asked[i].reply, NULL, 0, ECONNRESET);
			asked_end(in, i);
		}
	origins_free(&in->origins);
	route_timer(route, 0);
}

static void in_link(struct route *route, bool up)
{
	struct call_in *in = in_of(route);

	if (route->state == STATE_STANDBY || route->state == STATE_REFUSED)
		return;
	if (!in->asked) {
		in->asked = make(route->config->window * sizeof(in->asked[0]));
		for (unsigned int i = 0; i < route->config->window; i++)
			in->asked[i].next_free = i + 1;
	}
	if (!up)
		route_state(route, STATE_WAITING, "no connection to NATS");
	in_timer(route);
}

static uint64_t in_oldest(const struct route *route)
{
	const struct call_in *in = (const struct call_in *)route;
	uint64_t oldest = 0;

	for (unsigned int i = 0; in->count && i < route->config->window; i++)
		if (in->asked[i].reply && (!oldest || in->asked[i].since < oldest))
			oldest = in->asked[i].since;
	return oldest;
}

static void in_quiet(struct route *route)
{
	route_watch(route, false);
}

static void in_pump(struct route *route)
{
}

static struct route *in_make(void)
{
	return make(sizeof(struct call_in));
}

const struct route_ops call_in_ops = {
	.kind = "call-in",
	.make = in_make,
	.rights = KPOST_RIGHT_SEND,
	.forget = in_forget,
	.link_changed = in_link,
	.message = in_request,
	.readable = in_quiet,
	.timer = in_timer,
	.pump = in_pump,
	.oldest = in_oldest,
};
