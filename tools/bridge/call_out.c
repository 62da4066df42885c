// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls to other machines.
 *
 * At most once: a request goes by NATS's core, which keeps nothing.  Where the request, the reply
 * or a bridge is lost the caller has ECONNRESET, or its deadline passes, and it may have been
 * done.  A request takes no thread on either side: its caller's token waits here, and there it is
 * a call that was submitted.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bridge.h"

#define LOOK (250 * MS) /* at whose time is over */

struct pending {
	uint64_t token; /* 0: none */
	uint64_t until, since;
};

struct call_out {
	struct route route;
	struct pending *pending; /* of as many as may be in flight */
	unsigned int count, next;
};

static struct call_out *out_of(struct route *route)
{
	return (struct call_out *)route;
}

static void end(struct call_out *out, struct pending *pending)
{
	pending->token = 0;
	if (out->count-- == out->route.config->window)
		route_touch(&out->route); /* there is room again */
	out->route.unacked = out->count;
}

static void give_up(struct call_out *out, struct pending *pending)
{
	kpost_drop(out->route.fd, pending->token);
	end(out, pending);
}

/* Goes on where it was: a number comes again as late as can be. */
static struct pending *pending_new(struct call_out *out)
{
	unsigned int window = out->route.config->window;

	while (out->pending[out->next % window].token)
		out->next++;
	return &out->pending[out->next++ % window];
}

/* What was received, which is in route_buffer(). */
static natsStatus request(struct call_out *out, const struct kpost_message *call, ssize_t size,
			  const char *reply, uint64_t left)
{
	struct route *route = &out->route;
	const struct sender sender = {
		.pid = call->pid,
		.uid = call->uid,
		.gid = call->gid,
		.opener_uid = call->opener_uid,
		.opener_gid = call->opener_gid,
		.badge = call->badge,
	};
	natsMsg *message = NULL;
	natsStatus status;

	status = natsMsg_Create(&message, route->config->subject, reply, route_buffer(route), size);
	if (status == NATS_OK)
		status = headers_set(message, call->priority, call->tag, &sender);
	if (status == NATS_OK && call->expires)
		status = header_set_number(message, "Kpost-Expires", left_ms(call->expires));
	if (status == NATS_OK && reply)
		status = header_set_number(message, "Kpost-Reply-Max", call->reply_max);
	if (status == NATS_OK && reply)
		status = header_set_number(message, "Kpost-Deadline", left / MS);
	if (status == NATS_OK)
		status = link_publish(route->bridge->calls, message);
	discard(message);
	return status;
}

static void take(struct call_out *out, const struct kpost_message *call, ssize_t size)
{
	struct route *route = &out->route;
	struct pending *pending;
	uint64_t at = now(), until = at + route->config->timeout;
	natsStatus status;
	char reply[240];

	route->counts.in++;
	route->counts.missed += call->missed;
	if (!(call->flags & KPOST_MESSAGE_CALL)) {
		/* Nobody waits for a word of it. */
		status = request(out, call, size, NULL, 0);
		if (status != NATS_OK)
			route_error(route, "a message was lost: %s", natsStatus_GetText(status));
		return;
	}
	if (call->call_deadline && call->call_deadline < until)
		until = call->call_deadline;
	pending = pending_new(out);
	*pending = (struct pending){ .token = call->token, .until = until, .since = at };
	if (!out->count++)
		route_timer(route, LOOK);
	snprintf(reply, sizeof(reply), "%s.r.%u.%u.%" PRIx64, link_inbox(route->bridge->calls),
		 route->index, (unsigned int)(pending - out->pending), call->token);
	status = request(out, call, size, reply, until > at ? until - at : 0);
	if (status != NATS_OK) {
		route_error(route, "a call: %s", natsStatus_GetText(status));
		give_up(out, pending);
	}
	route->unacked = out->count;
}

static void out_pump(struct route *route)
{
	struct call_out *out = out_of(route);
	struct kpost_message call;
	ssize_t size = -EAGAIN;

	if (route->state != STATE_RUNNING && route->state != STATE_WAITING)
		return;
	for (int i = 0;
	     i < ROUND && out->count < route->config->window && !link_full(route->bridge->calls);
	     i++) {
		size = kpost_recv(route->fd, route_buffer(route), route->config->message_max, &call,
				  KPOST_DONTWAIT, 0);
		if (size < 0)
			break;
		take(out, &call, size);
	}
	if (size == -EPIPE) {
		route_anew(route, "the mailbox was removed, or shut");
		return;
	}
	if (size < 0 && size != -EAGAIN) {
		route_error(route, "receive: %s", strerror(-size));
		route_watch(route, false);
		route_timer(route, LOOK);
		return;
	}
	route_watch(route, out->count < route->config->window && !link_full(route->bridge->calls));
}

static bool out_reply(struct route *route, natsMsg *message, const char *what)
{
	struct call_out *out = out_of(route);
	struct pending *pending;
	unsigned int index;
	uint64_t token;
	const char *error;
	int ret;

	if (!what || !out->pending || sscanf(what, "%u.%" SCNx64, &index, &token) != 2 || !token ||
	    index >= route->config->window || out->pending[index].token != token)
		return false; /* its time was over */
	pending = &out->pending[index];
	if (natsMsg_IsNoResponders(message)) {
		route_error(route, "nobody serves %s", route->config->subject);
		give_up(out, pending);
		return false;
	}
	if (natsMsgHeader_Get(message, "Kpost-Error", &error) == NATS_OK) {
		route_error(route, "the far side: %s", error);
		give_up(out, pending);
		return false;
	}
	ret = kpost_reply(route->fd, token, natsMsg_GetData(message),
			  natsMsg_GetDataLength(message));
	if (ret && ret != -ECANCELED) {
		route_error(route, "a reply: %s", strerror(-ret));
		give_up(out, pending);
		return false;
	}
	if (!ret)
		route->counts.out++;
	end(out, pending);
	return false;
}

static void out_timer(struct route *route)
{
	struct call_out *out = out_of(route);
	uint64_t at = now();

	for (unsigned int i = 0; out->count && i < route->config->window; i++)
		if (out->pending[i].token && out->pending[i].until <= at)
			give_up(out, &out->pending[i]);
	if (out->count)
		route_timer(route, LOOK);
	route_touch(route);
}

static void out_forget(struct route *route)
{
	struct call_out *out = out_of(route);

	for (unsigned int i = 0; out->count && i < route->config->window; i++)
		if (out->pending[i].token)
			give_up(out, &out->pending[i]);
	route_timer(route, 0);
}

/* Without a connection a call is not kept waiting for one: it is told at once. */
static void out_link(struct route *route, bool up)
{
	struct call_out *out = out_of(route);

	if (route->state == STATE_STANDBY || route->state == STATE_REFUSED)
		return;
	if (!out->pending)
		out->pending = make(route->config->window * sizeof(out->pending[0]));
	if (up)
		route_state(route, STATE_RUNNING, "%s", "");
	else
		route_state(route, STATE_WAITING, "no connection to NATS");
	if (!up)
		out_forget(route);
	route_touch(route);
}

static uint64_t out_oldest(const struct route *route)
{
	const struct call_out *out = (const struct call_out *)route;
	uint64_t oldest = 0;

	for (unsigned int i = 0; out->count && i < route->config->window; i++)
		if (out->pending[i].token && (!oldest || out->pending[i].since < oldest))
			oldest = out->pending[i].since;
	return oldest;
}

static struct route *out_make(void)
{
	return make(sizeof(struct call_out));
}

static void touch(struct route *route)
{
	route_touch(route);
}

const struct route_ops call_out_ops = {
	.kind = "call-out",
	.make = out_make,
	.rights = KPOST_RIGHT_RECV,
	.forget = out_forget,
	.link_changed = out_link,
	.message = out_reply,
	.readable = touch,
	.timer = out_timer,
	.pump = out_pump,
	.oldest = out_oldest,
};
