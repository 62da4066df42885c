// SPDX-License-Identifier: GPL-2.0-only
/*
 * Import: stream to mailbox.
 *
 * A message is acknowledged to JetStream once it is in the mailbox; whatever happens before, it
 * comes again.  That it is not doubled then is the mailbox's doing: each is sent with its number
 * in the stream, see place.c, and the mailbox takes none that is not above its mark
 * (KPOST_NUMBERED).
 *
 * So nothing must be sent out of order, or the mark would lose what comes late.  JetStream gives
 * new messages before those that it gives again.  Hence a message is taken only if the consumer
 * gives it for the first time, and as the one behind the last; after anything else, and after
 * each fault, the consumer is deleted and made anew, and all that is not acknowledged comes again,
 * in order.
 */
#include <inttypes.h>
#include <stdio.h>

#include "import.h"

void import_forget(struct import *import)
{
	for (; import->head != import->tail; import->head++)
		natsMsg_Destroy(item_at(import, import->head)->message);
	import->aside = false;
	import->asked = 0;
	import->last = 0;
	import->full = false;
	for (struct origin *origin = import->origins; origin; origin = origin->next)
		event_del(origin->ready);
}

/* ---- to the mailbox -------------------------------------------------------- */

static void tell(struct import *import, natsMsg *message, const char *what)
{
	/* If that is lost, it comes again, and the mailbox knows it. */
	link_publish_text(import->route.bridge->streams, natsMsg_GetReply(message), NULL, what);
}

/* The first in the queue is done with. */
static void acknowledge(struct import *import)
{
	struct item *item = item_at(import, import->head);

	tell(import, item->message, "+ACK");
	discard(item->message);
	import->done = item->sequence;
	import->head++;
}

/* Was it this machine that sent it?  Dead letters are, and can be taken out again. */
static bool comes_round(const struct import *import, const char *subject)
{
	char machine[200];
	const char *rest;

	if (!origin_machine(subject, machine, sizeof(machine)) ||
	    strcmp(machine, import->route.bridge->config.machine))
		return false;
	rest = strchr(strchr(subject, '.') + 1, '.');
	return strncmp(rest, ".dead.", 6);
}

/* The first one cannot be put into the mailbox, now or ever. */
static void put_aside(struct import *import, int err)
{
	struct item *item = item_at(import, import->head);
	struct route *route = &import->route;
	char *reply = text("%s.r.%u.aside%" PRIu64, link_inbox(route->bridge->streams),
			   route->index, item->sequence);
	char *id =
		text("%s.%" PRIu64 ".%" PRIu64, route->config->stream, item->mark, item->sequence);
	natsStatus status;

	route_error(route, "a message of %d bytes for the dead letters: %s",
		    natsMsg_GetDataLength(item->message), strerror(err));
	status = route_put_aside(route, natsMsg_GetSubject(item->message), id,
				 natsMsg_GetData(item->message),
				 natsMsg_GetDataLength(item->message), strerror(err), reply);
	import->aside = status == NATS_OK;
	import->aside_at = now();
	if (status != NATS_OK)
		route_timer(route, SECOND);
	free(reply);
	free(id);
}

static void was_put_aside(struct import *import, natsMsg *message, const char *sequence)
{
	struct route *route = &import->route;

	if (!import->aside || import->head == import->tail ||
	    item_at(import, import->head)->sequence != strtoull(sequence, NULL, 10))
		return;
	import->aside = false;
	if (natsMsg_IsNoResponders(message) ||
	    memmem(natsMsg_GetData(message), natsMsg_GetDataLength(message), "\"error\"", 7)) {
		route_state(route, STATE_WAITING,
			    "no stream takes its dead letters, kpost.%s.dead.%s, or it is full",
			    route->bridge->config.machine, route->config->mailbox);
		import->aside = true; /* until the timer tries again */
		route_timer(route, SECOND);
		return;
	}
	route->counts.aside++;
	route_state(route, STATE_RUNNING, "%s", "");
	acknowledge(import);
	route_touch(route);
}

/* The first in the queue; unless it was in time, and comes again since. */
static void came_too_late(struct import *import)
{
	const struct item *item = item_at(import, import->head);
	struct route *route = &import->route;
	struct kpost_stat st;

	if (!kpost_stat(item->origin->fd, &st) && st.mark >= item->mark) {
		route->counts.duplicates++;
		return;
	}
	route->counts.missed++;
	route_error(route, "a message came after its time, or the clock is wrong: it is dropped");
}

/* Returns whether there is more to be done at once. */
static bool send_failed(struct import *import, int err)
{
	struct route *route = &import->route;
	struct origin *origin = item_at(import, import->head)->origin;

	switch (-err) {
	case EAGAIN:
	case EDQUOT:
	case ENOBUFS:
		import->full = true;
		event_add(origin->ready, NULL);
		route_timer(route, SECOND); /* has JetStream told that they are worked on */
		break;
	case ETIMEDOUT:
		came_too_late(import);
		acknowledge(import);
		return true;
	case EPIPE:
		route_anew(route, "the mailbox was removed, or shut");
		break;
	case EMSGSIZE:
	case EINVAL:
		put_aside(import, -err);
		break;
	default:
		route_error(route, "send: %s", strerror(-err));
		import->full = true;
		route_timer(route, SECOND);
	}
	return false;
}

/* What no mailbox takes holds up nobody. */
static unsigned int priority_of(natsMsg *message)
{
	uint64_t priority = header_number(message, "Kpost-Priority", 0);

	return priority < KPOST_PRIORITY_MAX ? priority : KPOST_PRIORITY_MAX;
}

/* Puts an envelope before what is to be sent. */
static void wrap(const struct item *item, struct kpost_envelope *envelope,
		 struct kpost_iovec pieces[2], struct kpost_send *entry)
{
	envelope_fill(envelope, item->origin, item->message);
	envelope->identity = item->identity;
	envelope->sequence = item->number;
	envelope->stored = item->stored;
	pieces[0] = (struct kpost_iovec){ (uintptr_t)envelope, envelope->size };
	pieces[1] = (struct kpost_iovec){ entry->buf, entry->len };
	entry->flags |= KPOST_IOVEC;
	entry->buf = (uintptr_t)pieces;
	entry->len = 2;
}

static void not_kept(struct import *import, int err)
{
	route_error(&import->route, "what has come is not kept: %s", strerror(-err));
	if (err != -EPIPE)
		return;
	/* It was removed: the next look at the stream makes it anew. */
	kpost_close(import->memory);
	import->memory = -1;
}

/* The first ones in the queue, which are in the mailbox, and are going to be acknowledged. */
static void remember(struct import *import, struct seen *seen, unsigned int count)
{
	int ret;

	for (uint64_t i = import->head; i != import->head + count; i++)
		seen_note(seen, item_at(import, i)->number);
	ret = import->memory >= 0 ? seen_save(import->memory, seen) : 0;
	if (ret)
		not_kept(import, ret);
}

/* For the next process: before the mailbox has a message of it. */
static void keep_place(struct import *import)
{
	int ret;

	if (!import->place_is_new || import->memory < 0)
		return;
	ret = place_save(&import->place, import->memory, import->place_tag, import->target);
	import->place_is_new = ret;
	if (ret)
		not_kept(import, ret);
}

/* Returns whether there is more to be done at once. */
static bool send_some(struct import *import)
{
	struct kpost_envelope envelopes[ROUND];
	struct kpost_iovec pieces[ROUND][2];
	struct kpost_send entries[ROUND];
	struct route *route = &import->route;
	const struct item *first = item_at(import, import->head);
	struct origin *origin = first->origin;
	struct seen *seen = NULL; /* of those that have an id */
	unsigned int count = 0;
	int ret;

	keep_place(import);
	if (!origin || !place_has_number(first->sequence)) {
		put_aside(import, origin ? EOVERFLOW : EACCES);
		return false;
	}
	if (first->number)
		seen = seen_get(origin, first->identity, import->memory, import->target);
	if (seen && seen_has(seen, first->number)) {
		import->route.counts.duplicates++;
		acknowledge(import);
		return true;
	}

	for (uint64_t i = import->head; i != import->tail && count < ROUND; i++) {
		struct item *item = item_at(import, i);

		if (item->origin != origin || !place_has_number(item->sequence) ||
		    item->identity != first->identity)
			break;
		/* One that is no later than that before it may be it: it is looked at alone. */
		if (seen && count &&
		    (item->number <= item_at(import, i - 1)->number ||
		     seen_has(seen, item->number)))
			break;
		entries[count] = (struct kpost_send){
			.flags = KPOST_NUMBERED,
			.priority = priority_of(item->message),
			.buf = (uintptr_t)natsMsg_GetData(item->message),
			.len = natsMsg_GetDataLength(item->message),
			.tag = header_number(item->message, "Kpost-Tag", 0),
			.expires = item->expires,
			.number = item->mark,
		};
		if (route->config->envelope)
			wrap(item, &envelopes[count], pieces[count], &entries[count]);
		count++;
	}
	ret = kpost_send_batch(origin->fd, entries, count, KPOST_DONTWAIT, 0, NULL);
	if (ret < 0)
		return send_failed(import, ret);
	if (seen)
		remember(import, seen, ret);
	for (int i = 0; i < ret; i++) {
		if (entries[i].out_flags & KPOST_SEND_REPEATED)
			route->counts.duplicates++;
		else
			route->counts.out++;
		acknowledge(import);
	}
	return true;
}

static void pump(struct route *route)
{
	struct import *import = import_of(route);

	while (import->phase == PULLING && import->head != import->tail && !import->full &&
	       !import->aside && send_some(import))
		;
	if (import->phase == PULLING)
		consumer_pull(import);
	route->unacked = import->tail - import->head;
}

/* ---- from the stream ------------------------------------------------------- */

/* What the subject of an acknowledgment says of its message. */
struct meta {
	uint64_t delivered, sequence, consumer, time;
};

static bool meta_read(const char *subject, struct meta *meta)
{
	const char *tokens[13];
	unsigned int count = 0, first;
	char *end;

	for (const char *at = subject; at && count < 13; at = strchr(at, '.')) {
		if (*at == '.')
			at++;
		tokens[count++] = at;
	}
	/* $JS.ACK.[domain.account.]stream.consumer.delivered.sequence.consumer's.time.pending */
	if (count < 9)
		return false;
	first = count == 9 ? 4 : 6;
	meta->delivered = strtoull(tokens[first], &end, 10);
	meta->sequence = strtoull(tokens[first + 1], &end, 10);
	meta->consumer = strtoull(tokens[first + 2], &end, 10);
	meta->time = strtoull(tokens[first + 3], &end, 10);
	return meta->delivered && meta->sequence && meta->consumer;
}

static void on_writable(evutil_socket_t fd, short what, void *data)
{
	struct import *import = data;

	import->full = false;
	route_touch(&import->route);
	bridge_pump(import->route.bridge);
}

/*
 * When a message is of no use any more, by CLOCK_MONOTONIC: its export says how long that was when
 * it was sent, and it has been in the stream since, by the server's clock and this machine's.
 */
static uint64_t expiry(natsMsg *message, uint64_t stored)
{
	uint64_t left = header_number(message, "Kpost-Expires", 0), at, real, ago;

	if (!left)
		return 0;
	at = now();
	real = real_time();
	ago = real > stored ? real - stored : 0;
	if (left > (INT64_MAX - at) / MS)
		return 0;
	left *= MS;
	return left > ago ? at + left - ago : 1;
}

/* Is it the last that is in the mailbox? */
static bool is_known(const struct import *import, const struct meta *meta)
{
	return meta->sequence == import->done &&
	       !place_goes_back(&import->place, meta->sequence, meta->time);
}

/* Returns whether it has a place in the queue. */
static bool came(struct import *import, natsMsg *message)
{
	struct route *route = &import->route;
	uint64_t identity = 0, number = 0;
	struct origin *origin = NULL;
	struct meta meta;
	const char *id;
	int error = 0;

	if (import->phase != PULLING)
		return false;
	import->heard = now();
	if (import->asked)
		import->asked--;
	if (!meta_read(natsMsg_GetReply(message), &meta) || meta.delivered != 1 ||
	    meta.consumer != import->last + 1 || import->tail - import->head >= ring_size(import)) {
		consumer_start_over(import);
		return false;
	}
	import->progress = true;
	import->pull = PULL_LEAST;
	import->backoff = 0;
	import->last = meta.consumer;
	import->given = import->heard;
	if (place_goes_back(&import->place, meta.sequence, meta.time))
		route_error(route, "stream %s was set back: it gives numbers again",
			    route->config->stream);
	if (import->behind && meta.consumer == 1) {
		if (!is_known(import, &meta)) {
			consumer_from_begin(import);
			return false;
		}
		tell(import, message, "+ACK");
		route_touch(route);
		return false;
	}
	place_note(&import->place, meta.sequence, meta.time);
	import->place_is_new = true;
	route->counts.in++;
	if (comes_round(import, natsMsg_GetSubject(message))) {
		route->counts.looped++;
		route_error(route, "a message came that was on this machine before: it is dropped");
		tell(import, message, "+ACK");
		route_touch(route);
		return false;
	}
	origin = origin_get(&import->origins, route, natsMsg_GetSubject(message), EV_WRITE,
			    on_writable, &error);
	if (!origin && error != -EACCES) {
		/* It goes to no other place: what cannot be had now can be had later. */
		if (error == -EPIPE) {
			route_anew(route, "the mailbox was removed, or shut");
			return false;
		}
		route_state(route, STATE_WAITING, "an endpoint on %s: %s", route->config->mailbox,
			    strerror(-error));
		import_forget(import);
		consumer_later(import);
		return false;
	}
	if ((natsMsgHeader_Get(message, "Nats-Msg-Id", &id) != NATS_OK &&
	     natsMsgHeader_Get(message, "Kpost-Id", &id) != NATS_OK) ||
	    !seen_parse(id, &identity, &number))
		identity = number = 0;
	*item_at(import, import->tail++) = (struct item){
		.message = message,
		.sequence = meta.sequence,
		.mark = place_number(&import->place, meta.sequence),
		.identity = identity,
		.number = number,
		.stored = meta.time,
		.expires = expiry(message, meta.time),
		.origin = origin, /* without one it is for the dead letters */
	};
	route_touch(route);
	return true;
}

static bool message(struct route *route, natsMsg *message, const char *what)
{
	struct import *import = import_of(route);

	if (!what)
		return came(import, message);
	if (!strncmp(what, "aside", 5))
		was_put_aside(import, message, what + 5);
	else
		consumer_said(import, message, what);
	return false;
}

/*
 * It was a pull, whose consumer has no leader now; or a dead letter.  Or it was a message of the
 * stream that looks so: then it comes again, and is told.
 */
static void nobody(struct route *route)
{
	struct import *import = import_of(route);
	natsStatus status = link_exact(route->bridge->streams, route);

	if (status != NATS_OK)
		route_error(route, "subscribe: %s", natsStatus_GetText(status));
	if (import->phase == PULLING)
		consumer_start_over(import);
}

/* ---- the route ------------------------------------------------------------- */

static void on_timer(struct route *route)
{
	struct import *import = import_of(route);
	uint64_t at = now();

	if (import->phase == DOWN) {
		route_check_stream(route);
		return;
	}
	if (import->phase != PULLING)
		return;
	if (import->head != import->tail) {
		/* Long before it would be given again. */
		if (at - import->alive > ACK_WAIT / 3) {
			for (uint64_t i = import->head; i != import->tail; i++)
				tell(import, item_at(import, i)->message, "+WPI");
			import->alive = at;
		}
		if (import->aside && at - import->aside_at > SECOND)
			import->aside = false;
		else if (!import->aside)
			import->full = false;
		route_timer(route, SECOND);
		route_touch(route);
		return;
	}
	if (consumer_is_silent(import)) {
		route_error(route, "no answer from consumer %s", route->config->consumer);
		consumer_start_over(import);
		return;
	}
	consumer_watch(import);
	route_touch(route);
}

/* The highest number that the mailbox has, by any of its marks. */
static uint64_t highest_mark(const struct import *import)
{
	uint64_t highest = 0;

	for (const struct badge *badge = import->route.config->badges; badge; badge = badge->next) {
		const struct kpost_grant grant = {
			.flags = KPOST_GRANT_BADGE | KPOST_GRANT_MARK,
			.rights = KPOST_RIGHT_SEND,
			.badge = badge->badge,
		};
		struct kpost_stat st = { 0 };
		int fd = kpost_grant(import->route.fd, &grant);

		if (fd < 0)
			continue;
		if (!kpost_stat(fd, &st) && st.mark > highest)
			highest = st.mark;
		kpost_close(fd);
	}
	return highest;
}

static void start(struct route *route, json_t *info)
{
	struct import *import = import_of(route);
	json_t *config = json_object_get(info, "config");
	const char *retention = json_string_value(json_object_get(config, "retention"));
	int64_t made = stream_made(info);
	struct kpost_stat st = { 0 };
	uint64_t mark;

	if (made < 0) {
		route_state(route, STATE_REFUSED, "stream %s does not say when it was made",
			    route->config->stream);
		return;
	}
	if (!kpost_stat(route->fd, &st))
		import->target = st.identity;
	if (import->memory < 0)
		import->memory = seen_open(route->config->mailbox);
	if (import->memory < 0)
		route_error(route, "what has come is not kept, mailbox kpost-bridge.seen.%s: %s",
			    route->config->mailbox, mailbox_fault(import->memory));
	if (!import->queue)
		import->queue = make(ring_size(import) * sizeof(import->queue[0]));
	if (import->place.made != (uint64_t)made)
		import->done = 0;
	mark = highest_mark(import);
	import->keeps = !retention || strcmp(retention, "workqueue");
	import->place_tag = seen_tag(route->config->stream, 0);
	/* A work queue has all that nobody has asked for, which another subject may find. */
	if (!import->keeps)
		import->place_tag = seen_tag(route->config->subject, import->place_tag);
	place_begin(&import->place, import->memory, import->place_tag, import->target, made, mark);
	if (!import->done)
		import->done = place_sequence(&import->place, mark);
	if (import->done > stream_last(info))
		import->done = 0; /* it was set back, and what it has may be new */
	consumer_anew(import);
}

static void give_back(struct route *route)
{
	struct import *import = import_of(route);

	import_forget(import);
	origins_free(&import->origins);
	import->done = 0; /* the next mailbox has nothing yet */
	import->place = (struct place){ 0 };
	import->phase = DOWN;
	route_timer(route, 0);
}

static void link_changed(struct route *route, bool up)
{
	struct import *import = import_of(route);

	if (route->state == STATE_STANDBY || route->state == STATE_REFUSED)
		return;
	import_forget(import);
	import->phase = DOWN;
	route_timer(route, 0);
	if (up)
		route_check_stream(route);
	else if (import->queue)
		route_state(route, STATE_WAITING, "no connection to NATS");
}

/* What is said of the mailbox is said by sending to it. */
static void readable(struct route *route)
{
	route_watch(route, false);
}

static uint64_t oldest(const struct route *route)
{
	return 0;
}

static struct route *import_make(void)
{
	struct import *import = make(sizeof(*import));

	import->memory = -1;
	return &import->route;
}

const struct route_ops import_ops = {
	.kind = "import",
	.make = import_make,
	.rights = KPOST_RIGHT_SEND,
	.start = start,
	.forget = give_back,
	.link_changed = link_changed,
	.message = message,
	.nobody = nobody,
	.readable = readable,
	.timer = on_timer,
	.pump = pump,
	.oldest = oldest,
};
