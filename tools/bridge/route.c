// SPDX-License-Identifier: GPL-2.0-only
/* What all routes have: a lock, a mailbox, a state, and a look at their stream. */
#include <grp.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"

#define LOOK_AGAIN (10 * SECOND) /* at what was refused */

static const struct route_ops *const ops_of[] = {
	[ROUTE_EXPORT] = &export_ops,
	[ROUTE_IMPORT] = &import_ops,
	[ROUTE_CALL_OUT] = &call_out_ops,
	[ROUTE_CALL_IN] = &call_in_ops,
};

const char *state_name(enum route_state state)
{
	static const char *const names[] = {
		[STATE_STANDBY] = "standby", [STATE_STARTING] = "starting",
		[STATE_RUNNING] = "running", [STATE_WAITING] = "waiting",
		[STATE_REFUSED] = "refused",
	};

	return names[state];
}

/* ---- what is said of it ---------------------------------------------------- */

void route_state(struct route *route, enum route_state state, const char *why, ...)
{
	char text[sizeof(route->why)];
	va_list args;

	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	printable(text);
	if (route->state == state && !strcmp(route->why, text))
		return;
	route->state = state;
	memcpy(route->why, text, sizeof(text));
	route->since = now();
	say("%s: %s%s%s", route->name, state_name(state), text[0] ? ": " : "", route->why);
}

void route_error(struct route *route, const char *why, ...)
{
	char text[sizeof(route->error)];
	va_list args;

	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	printable(text);
	if (strcmp(route->error, text))
		say("%s: %s", route->name, text);
	memcpy(route->error, text, sizeof(text));
	route->error_time = real_time();
}

/* ---- events ---------------------------------------------------------------- */

void route_touch(struct route *route)
{
	if (route->touched)
		return;
	route->touched = true;
	route->next_touched = route->bridge->touched;
	route->bridge->touched = route;
}

void route_timer(struct route *route, uint64_t nanoseconds)
{
	struct timeval tv = { nanoseconds / SECOND, nanoseconds % SECOND / 1000 };

	if (nanoseconds)
		evtimer_add(route->timer, &tv);
	else
		evtimer_del(route->timer);
}

void route_watch(struct route *route, bool readable)
{
	if (readable)
		event_add(route->readable, NULL);
	else
		event_del(route->readable);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
	struct route *route = data;

	if (route->fd < 0) {
		route_begin(route);
	} else if (route->state == STATE_REFUSED) {
		/* Somebody may have mended it. */
		route_timer(route, LOOK_AGAIN);
		if (route->config->stream)
			route_check_stream(route);
	} else {
		route->ops->timer(route);
	}
	bridge_pump(route->bridge);
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct route *route = data;

	route->ops->readable(route);
	bridge_pump(route->bridge);
}

void *route_buffer(const struct route *route)
{
	static void *buffer;
	static uint64_t size;

	if (size < route->config->message_max) {
		size = route->config->message_max;
		free(buffer);
		buffer = make(size);
	}
	return buffer;
}

/* ---- the lock -------------------------------------------------------------- */

static void on_lock_gone(evutil_socket_t fd, short what, void *data)
{
	struct route *route = data;

	event_free(route->lock_gone);
	route->lock_gone = NULL;
	kpost_close(route->lock);
	route->lock = -1;
	route_begin(route);
	bridge_pump(route->bridge);
}

/* Anybody can take a name that is free, and would hold up a bridge for ever. */
static bool is_bridges(int fd)
{
	struct kpost_stat st;

	return !kpost_stat(fd, &st) && (!st.uid || st.uid == geteuid());
}

/* Is it ours?  Else who has it is watched; -errno where even that does not go. */
static int route_lock(struct route *route)
{
	char *name = text("kpost-bridge.%s.%s", route->ops->kind, route->config->mailbox);
	/* All may watch it: a message to it has no effect. */
	struct kpost_attr attr = { .mode = 0622, .messages = 1, .bytes = 1 };
	int ret;

	do {
		ret = kpost_open(name, KPOST_RIGHT_RECV, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL, &attr,
				 0);
		if (ret >= 0) {
			route->lock = ret;
			ret = 1;
			break;
		}
		if (ret != -EEXIST)
			break;
		ret = kpost_open(name, KPOST_RIGHT_SEND, 0, NULL, 0);
		if (ret >= 0 && !is_bridges(ret)) {
			kpost_close(ret);
			ret = -EPERM;
		} else if (ret >= 0) {
			route->lock = ret;
			route->lock_gone =
				event_new(route->bridge->base, ret, EV_READ, on_lock_gone, route);
			event_add(route->lock_gone, NULL);
			ret = 0;
			break;
		}
	} while (ret == -ENOENT || ret == -EPIPE); /* it went in between */
	free(name);
	return ret;
}

/* ---- the mailbox ----------------------------------------------------------- */

static int set_group(int fd, const char *name)
{
	struct group *group = getgrnam(name);
	struct kpost_setattr set = { .valid = KPOST_SET_GID };

	if (!group)
		return -ESRCH;
	set.gid = group->gr_gid;
	return kpost_setattr(fd, &set);
}

static int route_mailbox(struct route *route)
{
	const struct route_config *config = route->config;
	struct kpost_attr attr = {
		.mode = config->mode ?: KPOST_MODE_NONE,
		.messages = 2 * config->window,
		.bytes = config->bytes,
		.message_max = config->mailbox_max,
		.held_max = config->window,
		.owner = geteuid(),
	};
	/* It can be there, from another run, with other settings. */
	struct kpost_setattr set = {
		.valid = KPOST_SET_MESSAGES | KPOST_SET_BYTES | KPOST_SET_MODE | KPOST_SET_HELD_MAX,
		.messages = attr.messages,
		.bytes = attr.bytes,
		.mode = config->mode,
		.held_max = attr.held_max,
	};
	unsigned int flags = KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST | KPOST_OPEN_OWNER |
			     KPOST_OPEN_NONBLOCK;
	struct kpost_stat st = { 0 };
	int ret, fd;

	fd = kpost_open(config->mailbox, route->ops->rights | KPOST_RIGHT_ADMIN, flags, &attr, 0);
	ret = fd < 0 ? fd : kpost_stat(fd, &st);
	if (!ret && st.flags & KPOST_STAT_SHUT) {
		/* Who receives from it has what is left. */
		kpost_close(fd);
		fd = kpost_open(config->mailbox, route->ops->rights | KPOST_RIGHT_ADMIN,
				flags | KPOST_OPEN_SUCCEED, &attr, 0);
		ret = fd < 0 ? fd : kpost_stat(fd, &st);
	}
	if (fd < 0)
		return fd;
	if (!ret && st.message_max != config->mailbox_max)
		ret = -EMSGSIZE;
	if (!ret)
		ret = kpost_setattr(fd, &set);
	if (!ret && config->group)
		ret = set_group(fd, config->group);
	if (ret) {
		kpost_close(fd);
		return ret;
	}
	route->fd = fd;
	return 0;
}

const char *mailbox_fault(int err)
{
	switch (-err) {
	case EPERM:
	case EACCES:
		return "the mailbox is another user's: remove it, or name another";
	case ESRCH:
		return "there is no such group as its";
	case EMSGSIZE:
		return "the mailbox is there, with another message-max, or envelope: remove it, or "
		       "say those";
	case EDQUOT:
	case ENOSPC:
		return "the mailbox counts for more than this user, or the office, has left: "
		       "a smaller window, or fewer bytes";
	case ENOENT:
	case ENODEV:
		return "there is no /dev/kpost: is the module loaded?";
	default:
		return strerror(-err);
	}
}

/* ---- its beginning --------------------------------------------------------- */

static void stream_seen(struct route *route, json_t *info, const char *error, int code)
{
	char *fault;

	if (route->fd < 0 || route->state == STATE_STANDBY || route->state == STATE_RUNNING ||
	    !link_up(route->bridge->streams))
		return;
	if (!info || error[0]) {
		if (route->state != STATE_REFUSED)
			route_state(route, STATE_WAITING, "stream %s: %s", route->config->stream,
				    error);
		route_timer(route, SECOND); /* then it is asked again */
		return;
	}
	fault = stream_fault(route->config, info, link_payload_max(route->bridge->streams));
	if (fault) {
		route_state(route, STATE_REFUSED, "%s", fault);
		route_timer(route, LOOK_AGAIN);
	} else {
		route->id_header = stream_id_header(info);
		route->ops->start(route, info);
	}
	free(fault);
	bridge_refused(route->bridge);
}

void route_check_stream(struct route *route)
{
	char *subject = text("$JS.API.STREAM.INFO.%s", route->config->stream);

	api_request(route, subject, "", stream_seen);
	free(subject);
}

/* As long as it does not have both, nobody is kept from them. */
static void give_up(struct route *route)
{
	if (route->readable)
		event_free(route->readable);
	if (route->fd >= 0)
		kpost_close(route->fd);
	if (route->lock >= 0)
		kpost_close(route->lock);
	route->readable = NULL;
	route->fd = route->lock = -1;
}

void route_begin(struct route *route)
{
	int ret = route_lock(route);

	if (!ret) {
		route_state(route, STATE_STANDBY, "another bridge has it");
		return;
	}
	if (ret < 0) {
		route_state(route, STATE_REFUSED, "its lock, mailbox kpost-bridge.%s.%s: %s",
			    route->ops->kind, route->config->mailbox, mailbox_fault(ret));
	} else {
		ret = route_mailbox(route);
		if (ret)
			route_state(route, STATE_REFUSED, "mailbox %s: %s", route->config->mailbox,
				    mailbox_fault(ret));
	}
	if (ret) {
		give_up(route);
		route_timer(route, LOOK_AGAIN);
		return;
	}
	route->readable =
		event_new(route->bridge->base, route->fd, EV_READ | EV_PERSIST, on_readable, route);
	route_state(route, STATE_STARTING, "no connection to NATS yet");
	route->ops->link_changed(route, link_up(route->config->stream ? route->bridge->streams :
									route->bridge->calls));
}

void route_anew(struct route *route, const char *why)
{
	route_error(route, "%s: it is made anew", why);
	route->ops->forget(route);
	give_up(route);
	route_begin(route);
}

struct route *route_new(struct bridge *bridge, const struct route_config *config,
			unsigned int index)
{
	const struct route_ops *ops = ops_of[config->kind];
	struct route *route = ops->make();

	route->bridge = bridge;
	route->config = config;
	route->ops = ops;
	route->index = index;
	route->fd = route->lock = -1;
	route->timer = evtimer_new(bridge->base, on_timer, route);
	snprintf(route->name, sizeof(route->name), "%s %s", ops->kind, config->mailbox);
	return route;
}

/* ---- dead letters ---------------------------------------------------------- */

natsStatus route_put_aside(struct route *route, const char *origin, const char *id,
			   const void *data, size_t size, const char *reason, const char *reply)
{
	const struct bridge *bridge = route->bridge;
	char *subject = text("kpost.%s.dead.%s", bridge->config.machine, route->config->mailbox);
	uint64_t most = link_payload_max(bridge->streams);
	size_t fits = size;
	natsMsg *message = NULL;
	natsStatus status;
	char whole[32];

	most = most > HEADERS_MAX ? most - HEADERS_MAX : 0;
	if (fits > most)
		fits = most;
	snprintf(whole, sizeof(whole), "%zu", size);
	status = natsMsg_Create(&message, subject, reply, data, fits);
	if (status == NATS_OK)
		status = natsMsgHeader_Set(message, "Kpost-Reason", reason);
	if (status == NATS_OK)
		status = natsMsgHeader_Set(message, "Kpost-Size", whole);
	if (status == NATS_OK)
		status = natsMsgHeader_Set(message, "Kpost-Origin", origin);
	if (status == NATS_OK)
		status = natsMsgHeader_Set(message, route->id_header, id);
	if (status == NATS_OK)
		status = link_publish(bridge->streams, message);
	discard(message);
	free(subject);
	return status;
}
