// SPDX-License-Identifier: GPL-2.0-only
/*
 * Export: mailbox to stream.
 *
 * Messages are held in the mailbox until JetStream has acknowledged them; only then are they done
 * with.  So where this process dies they go back to their place, and the next one publishes them
 * again: by the id that they have, of the mailbox and of the message in it, JetStream knows those
 * that it has.
 *
 * In order, through all faults: what was not acknowledged stays in a ring, in the order in which it
 * was received.  After a fault nothing more is published until what is under way was answered, or
 * can be answered no more; then the first goes alone, and when that is acknowledged all others
 * follow, again.
 *
 * JetStream can refuse a message since it is full, and take the one behind it, since somebody has
 * just made room.  So it is counted how many can be published before the stream can be nearly full;
 * after so many there is one under way at a time, until it was looked at again.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "bridge.h"

/* Where messages are received to; longer ones than fit ROUND times are received fewer at a time. */
#define BUFFER (1 << 20)
#define PIECE_MOST (64 << 10) /* still longer ones, one at a time */
#define SILENCE (3 * SECOND) /* after which an answer does not come any more */
#define BACKOFF_LEAST (100 * MS)
#define BACKOFF_MOST (5 * SECOND)
#define BACKOFF_FULL (400 * MS) /* of a stream, which has room again at any moment */
#define LOOK_LEAST (20 * MS) /* between two looks at the stream */

enum phase {
	DOWN, /* there is no connection, or it was not begun */
	FLOWING,
	SETTLING, /* something failed: what is under way is waited for */
	BACKING_OFF,
	PROBING, /* the first one is under way alone */
};

enum slot_state { UNSENT, SENT, ACKNOWLEDGED };

struct slot {
	natsMsg *message;
	uint64_t token;
	uint64_t taken; /* when */
	uint64_t expires; /* CLOCK_MONOTONIC, or 0 for never */
	unsigned int tries;
	enum slot_state state;
};

struct exporter {
	struct route route;
	enum phase phase;
	struct slot *ring; /* of as many as the window has */
	uint64_t head, next, tail; /* the first not acknowledged, to be published, free */
	uint64_t acknowledged; /* behind the last that was */
	unsigned int under_way;
	uint64_t last_answer, settled, backoff;
	bool full; /* the stream was: that is why it backs off */
	/* As far as is known; no more than that are stored before it is nearly full. */
	int64_t room;
	uint64_t largest; /* bytes of the stream that one message takes, at the most */
	uint64_t looked; /* when the stream was asked for its state last */
	bool looking;
	int64_t unknown; /* what that state can lack: was under way then, or published since */
	/* What comes before the number of a message, in its id, and in its answer's subject. */
	char id[40], reply[240];
	char stored[240]; /* what the answer begins with where it is stored in the route's stream */
	uint64_t *done; /* tokens to be given back in this round */
	unsigned int done_count;
};

static struct exporter *export_of(struct route *route)
{
	return (struct exporter *)route;
}

static struct slot *slot_at(struct exporter *export, uint64_t index)
{
	return &export->ring[index % export->route.config->window];
}

static void arm(struct exporter *export);

/* ---- faults ---------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void failed(struct exporter *export, const char *why,
							 ...)
{
	char text[sizeof(export->route.why)];
	va_list args;

	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	route_error(&export->route, "%s", text);
	if (export->phase != FLOWING && export->phase != PROBING)
		return;
	route_state(&export->route, STATE_WAITING, "%s", text);
	export->full = false;
	export->settled = now() + SILENCE;
	export->phase = SETTLING;
	arm(export);
}

static void back_off(struct exporter *export)
{
	uint64_t most = export->full ? BACKOFF_FULL : BACKOFF_MOST;

	export->backoff = export->backoff ? 2 * export->backoff : BACKOFF_LEAST;
	if (export->backoff > most)
		export->backoff = most;
	export->phase = BACKING_OFF;
	arm(export);
}

/* ---- publishing ------------------------------------------------------------ */

/* A size for which there was no room counted makes that unknown; so it is one of few. */
static void count_published(struct exporter *export, natsMsg *message)
{
	uint64_t size = natsMsg_GetDataLength(message) + HEADERS_MAX;

	export->unknown++;
	export->room--;
	if (size <= export->largest)
		return;
	while (size > export->largest)
		export->largest *= 2;
	export->room = 0;
}

static natsStatus publish(struct exporter *export, uint64_t index)
{
	struct slot *slot = slot_at(export, index);
	natsStatus status = NATS_OK;

	/* Each time anew; whether it is too late is for the import to say. */
	if (slot->expires)
		status = header_set_number(slot->message, "Kpost-Expires", left_ms(slot->expires));
	if (status == NATS_OK)
		status = link_publish(export->route.bridge->streams, slot->message);
	if (status != NATS_OK)
		return status;
	if (slot->tries++)
		export->route.counts.resent++;
	slot->state = SENT;
	count_published(export, slot->message);
	/* What is waited for is an answer to this, not to what was before a rest. */
	if (!export->under_way++)
		export->last_answer = now();
	return NATS_OK;
}

/* All that was not acknowledged is to be published again, the first one first. */
static void probe(struct exporter *export)
{
	natsStatus status;

	for (uint64_t i = export->head; i != export->tail; i++)
		if (slot_at(export, i)->state == SENT)
			slot_at(export, i)->state = UNSENT;
	export->under_way = 0;
	export->next = export->head;
	export->phase = export->head == export->tail ? FLOWING : PROBING;
	export->last_answer = now();
	if (export->phase == FLOWING) {
		export->backoff = 0;
		route_state(&export->route, STATE_RUNNING, "%s", "");
		route_touch(&export->route);
		return;
	}
	status = publish(export, export->next);
	if (status == NATS_OK) {
		export->next++;
		arm(export);
	} else {
		route_error(&export->route, "publish: %s", natsStatus_GetText(status));
		back_off(export);
	}
}

static void look(struct exporter *export);

static void flow(struct exporter *export)
{
	while (export->phase == FLOWING && export->next != export->tail) {
		struct slot *slot = slot_at(export, export->next);
		natsStatus status = NATS_OK;

		if (export->room <= 0)
			look(export);
		if ((export->room <= 0 && export->under_way) ||
		    link_full(export->route.bridge->streams))
			return;
		if (slot->state == UNSENT)
			status = publish(export, export->next);
		if (status != NATS_OK) {
			failed(export, "publish: %s", natsStatus_GetText(status));
			return;
		}
		export->next++;
	}
}

/* ---- answers --------------------------------------------------------------- */

/*
 * Is it the acknowledgment of the route's own stream?  Another can have taken its subject.  What
 * was refused begins with the error.
 */
static bool is_stored(const struct exporter *export, natsMsg *message)
{
	size_t length = strlen(export->stored);

	return (size_t)natsMsg_GetDataLength(message) > length &&
	       !memcmp(natsMsg_GetData(message), export->stored, length);
}

static bool is_duplicate(natsMsg *message)
{
	return memmem(natsMsg_GetData(message), natsMsg_GetDataLength(message), "\"duplicate\"",
		      11);
}

static void refused(struct exporter *export, natsMsg *message)
{
	json_t *answer =
		json_loadb(natsMsg_GetData(message), natsMsg_GetDataLength(message), 0, NULL);
	json_t *error = json_object_get(answer, "error");
	const char *what = json_string_value(json_object_get(error, "description"));

	failed(export, "stream %s: %s", export->route.config->stream,
	       what ?: "what answers is another");
	if (json_integer_value(json_object_get(error, "err_code")) == 10077) {
		export->room = 0;
		export->full = true;
	}
	json_decref(answer);
}

static void acknowledged(struct exporter *export, uint64_t index, natsMsg *message)
{
	struct slot *slot = slot_at(export, index);
	struct counts *counts = &export->route.counts;

	/* Of what nobody has taken it is not known which it was. */
	if (slot->state == SENT && export->under_way)
		export->under_way--;
	slot->state = ACKNOWLEDGED;
	counts->out++;
	if (is_duplicate(message))
		counts->duplicates++;
	else if (slot->tries > 1 && index < export->acknowledged)
		counts->late++;
	if (index >= export->acknowledged)
		export->acknowledged = index + 1;
	export->done[export->done_count++] = slot->token;
	discard(slot->message);
	slot->message = NULL;
}

static bool answered(struct route *route, natsMsg *message, const char *what)
{
	struct exporter *export = export_of(route);
	uint64_t index = what ? strtoull(what, NULL, 10) : 0;

	/* Of one that is done with: it was published twice. */
	if (!what || !export->ring || index < export->head || index >= export->tail ||
	    slot_at(export, index)->state == ACKNOWLEDGED)
		return false;
	export->last_answer = now();
	route_touch(route);
	if (is_stored(export, message)) {
		acknowledged(export, index, message);
		return false;
	}
	if (slot_at(export, index)->state == SENT) {
		if (export->under_way)
			export->under_way--;
		slot_at(export, index)->state = UNSENT;
	}
	refused(export, message);
	return false;
}

/* It is not said of which one: all that has no answer is published again, in any case. */
static void nobody(struct route *route)
{
	struct exporter *export = export_of(route);

	if (!export->ring || !export->under_way)
		return;
	export->under_way--;
	export->last_answer = now();
	failed(export, "stream %s has no leader now, or no longer this subject",
	       route->config->stream);
	route_touch(route);
}

static void give_done(struct exporter *export)
{
	while (export->head != export->tail && slot_at(export, export->head)->state == ACKNOWLEDGED)
		export->head++;
	if (export->next < export->head)
		export->next = export->head;
	/* What has been withdrawn meanwhile counts as done; it was sent all the same. */
	for (unsigned int i = 0; i < export->done_count;) {
		unsigned int count = export->done_count - i;
		int ret = kpost_done_batch(export->route.fd, &export->done[i],
					   count < KPOST_BATCH_MAX ? count : KPOST_BATCH_MAX);

		if (ret <= 0) {
			route_error(&export->route, "a message that is done with: %s",
				    strerror(-ret));
			ret = 1;
		}
		i += ret;
	}
	export->done_count = 0;
}

/* ---- receiving ------------------------------------------------------------- */

static natsStatus set_headers(const struct exporter *export, natsMsg *message,
			      const struct kpost_recv *entry)
{
	const struct sender sender = {
		.pid = entry->pid,
		.uid = entry->uid,
		.gid = entry->gid,
		.opener_uid = entry->opener_uid,
		.opener_gid = entry->opener_gid,
		.badge = entry->badge,
	};
	natsStatus status;
	char id[NUMBERED_MAX];

	status = natsMsgHeader_Set(message, export->route.id_header,
				   numbered(id, export->id, entry->sequence));
	return status == NATS_OK ? headers_set(message, entry->priority, entry->tag, &sender) :
				   status;
}

/* Takes it into the ring; there is room.  Returns false where it had to be given back. */
static bool take(struct exporter *export, const struct kpost_recv *entry, const void *data,
		 uint64_t at)
{
	struct route *route = &export->route;
	struct slot *slot = slot_at(export, export->tail);
	char reply[NUMBERED_MAX];
	natsStatus status;

	route->counts.missed += entry->missed;
	if (entry->message_flags & KPOST_MESSAGE_CALL) {
		kpost_drop(route->fd, entry->token);
		route->counts.refused++;
		route_error(route,
			    "a call came: an export takes messages only, calls go by call-out");
		return true;
	}
	status = natsMsg_Create(&slot->message, route->config->subject,
				numbered(reply, export->reply, export->tail), data, entry->size);
	if (status == NATS_OK)
		status = set_headers(export, slot->message, entry);
	if (status != NATS_OK) {
		natsMsg_Destroy(slot->message);
		slot->message = NULL;
		kpost_return(route->fd, entry->token, 0);
		route_error(route, "a message: %s", natsStatus_GetText(status));
		return false;
	}
	slot->token = entry->token;
	slot->taken = at;
	slot->expires = entry->expires;
	slot->tries = 0;
	slot->state = UNSENT;
	export->tail++;
	route->counts.in++;
	return true;
}

/* One that is longer than a piece; its size is known. */
static int receive_large(struct exporter *export, uint64_t size)
{
	void *data = malloc(size);
	struct kpost_recv entry = {
		.flags = KPOST_HOLD,
		.buf = (uintptr_t)data,
		.len = size,
	};
	int ret = data ? kpost_recv_batch(export->route.fd, &entry, 1, KPOST_DONTWAIT, 0, NULL) :
			 -ENOMEM;

	if (ret > 0 && !take(export, &entry, data, now()))
		ret = -ENOMEM;
	free(data);
	return ret;
}

/* Returns how many came, or -errno; 0 if none is there. */
static int receive(struct exporter *export, unsigned int room)
{
	static char buffer[BUFFER];
	struct kpost_recv entries[ROUND];
	uint64_t most = export->route.config->message_max;
	size_t piece = most < PIECE_MOST ? most : PIECE_MOST;
	unsigned int count = room < ROUND ? room : ROUND;
	int ret, error = 0;
	uint64_t at;

	if (count > BUFFER / piece)
		count = BUFFER / piece;
	for (unsigned int i = 0; i < count; i++)
		entries[i] = (struct kpost_recv){
			.flags = KPOST_HOLD,
			.buf = (uintptr_t)&buffer[i * piece],
			.len = piece,
		};
	ret = kpost_recv_batch(export->route.fd, entries, count, KPOST_DONTWAIT, 0, &error);
	at = now();
	for (int i = 0; i < ret; i++) {
		if (take(export, &entries[i], &buffer[i * piece], at))
			continue;
		/* Those behind it must not overtake it. */
		while (++i < ret)
			kpost_return(export->route.fd, entries[i].token, 0);
		return -ENOMEM;
	}
	if (ret < 0)
		error = ret;
	if (error == -EMSGSIZE) {
		int large = receive_large(export, entries[ret < 0 ? 0 : ret].size);

		/* Somebody else may have taken it: then there is more to be looked at. */
		return large < 0 && large != -EAGAIN && large != -EMSGSIZE ? large : 1;
	}
	return ret == -EAGAIN ? 0 : ret;
}

/* How many more it may have; few are left for later, as long as answers are to come. */
static unsigned int room_for_more(const struct exporter *export)
{
	unsigned int window = export->route.config->window;
	unsigned int room = window - (export->tail - export->head);

	return room < ROUND && room < window / 8 && export->under_way > window / 2 ? 0 : room;
}

static void receive_all(struct exporter *export)
{
	struct route *route = &export->route;
	unsigned int room;
	int ret = 1;

	while (export->phase == FLOWING && (room = room_for_more(export))) {
		ret = receive(export, room);
		flow(export);
		if (ret <= 0)
			break;
	}
	/* With a full window there is nothing to be told. */
	route_watch(route, export->phase == FLOWING && !ret);
	if (ret == -EBUSY && export->head != export->tail)
		return; /* no more of the mailbox may be held: answers to what is under way go on */
	if (ret == -EPIPE) {
		/* What is under way belongs to the old one: that comes first. */
		if (export->head == export->tail)
			route_anew(route, "the mailbox was removed, or shut");
	} else if (ret < 0) {
		route_error(route, "receive: %s", strerror(-ret));
		back_off(export);
	}
}

/* ---- the route ------------------------------------------------------------- */

/* It may have been filled by a tenth more meanwhile, by others. */
static void seen(struct exporter *export, json_t *info)
{
	struct route *route = &export->route;
	json_t *config = json_object_get(info, "config"), *state = json_object_get(info, "state");
	json_int_t most = json_integer_value(json_object_get(config, "max_msgs"));
	json_int_t most_bytes = json_integer_value(json_object_get(config, "max_bytes"));
	json_int_t bytes = json_integer_value(json_object_get(state, "bytes"));
	int64_t room = INT64_MAX, room_bytes;

	route->stream_messages = json_integer_value(json_object_get(state, "messages"));
	route->stream_limit = most > 0 ? most : 0;
	if (most > 0)
		room = most - most / 10 - (int64_t)route->stream_messages;
	if (most_bytes > 0) {
		room_bytes = most_bytes - most_bytes / 10 - bytes;
		room_bytes /= (int64_t) export->largest;
		room = room_bytes < room ? room_bytes : room;
	}
	export->room = room - export->unknown;
}

static void looked(struct route *route, json_t *info, const char *error, int code)
{
	struct exporter *export = export_of(route);

	export->looking = false;
	if (!info || error[0])
		return;
	seen(export, info);
	route_touch(route);
}

static void look(struct exporter *export)
{
	struct route *route = &export->route;
	uint64_t at = now();
	char *subject;

	if (export->looking || at - export->looked < LOOK_LEAST)
		return;
	export->looking = true;
	export->looked = at;
	export->unknown = export->under_way;
	subject = text("$JS.API.STREAM.INFO.%s", route->config->stream);
	api_request(route, subject, "", looked);
	free(subject);
}

static void arm(struct exporter *export)
{
	uint64_t at = now(), wait = 0;

	switch (export->phase) {
	case DOWN:
		break;
	case FLOWING:
	case PROBING:
		wait = export->under_way ? SECOND : 0;
		break;
	case SETTLING:
		wait = export->settled > at ? export->settled - at : 1;
		break;
	case BACKING_OFF:
		wait = export->backoff;
		break;
	}
	route_timer(&export->route, wait);
}

static void on_timer(struct route *route)
{
	struct exporter *export = export_of(route);
	uint64_t at = now();

	if (route->state == STATE_WAITING && export->phase == DOWN) {
		route_check_stream(route);
		return;
	}
	switch (export->phase) {
	case DOWN:
		return;
	case FLOWING:
	case PROBING:
		if (export->under_way && at - export->last_answer > SILENCE) {
			failed(export, "no answer from stream %s for 3 s", route->config->stream);
		} else if (at - export->looked > SECOND) {
			look(export);
		}
		arm(export);
		return;
	case SETTLING:
		export->settled = 0; /* a timer can be early */
		route_touch(route);
		return;
	case BACKING_OFF:
		probe(export);
		return;
	}
}

static void pump(struct route *route)
{
	struct exporter *export = export_of(route);
	unsigned int before = export->under_way;

	give_done(export);
	if (export->phase == SETTLING && (!export->under_way || now() >= export->settled))
		back_off(export);
	if (export->phase == PROBING && export->next == export->head) {
		/* The first has been acknowledged: the others follow. */
		export->phase = FLOWING;
		export->backoff = 0;
		route_state(route, STATE_RUNNING, "%s", "");
	}
	flow(export);
	if (export->phase == FLOWING)
		receive_all(export);
	else if (route->readable)
		route_watch(route, false);
	route->unacked = export->tail - export->head;
	if (!before && export->under_way && !evtimer_pending(route->timer, NULL))
		arm(export);
}

static void readable(struct route *route)
{
	route_touch(route);
}

static void forget(struct route *route)
{
	struct exporter *export = export_of(route);

	for (; export->ring && export->head != export->tail; export->head++)
		natsMsg_Destroy(slot_at(export, export->head)->message);
	free(export->ring);
	free(export->done);
	export->ring = NULL;
	export->done = NULL;
	export->done_count = export->under_way = 0;
	export->phase = DOWN;
	route_timer(route, 0);
}

static void start(struct route *route, json_t *info)
{
	struct exporter *export = export_of(route);
	struct kpost_stat st = { 0 };
	int ret = kpost_stat(route->fd, &st);

	if (ret) {
		route_state(route, STATE_REFUSED, "stat: %s", strerror(-ret));
		return;
	}
	if (!export->ring) {
		export->ring = make(route->config->window * sizeof(export->ring[0]));
		export->done = make(route->config->window * sizeof(export->done[0]));
	}
	snprintf(export->id, sizeof(export->id), "%" PRIx64 ".", (uint64_t)st.identity);
	snprintf(export->reply, sizeof(export->reply), "%s.r.%u.",
		 link_inbox(route->bridge->streams), route->index);
	snprintf(export->stored, sizeof(export->stored), "{\"stream\":\"%s\",",
		 route->config->stream);
	if (!export->largest)
		export->largest = 2 * HEADERS_MAX;
	/* What another bridge had under way, before this one, can be stored yet. */
	export->unknown = route->config->window;
	seen(export, info);
	probe(export);
}

static void link_changed(struct route *route, bool up)
{
	struct exporter *export = export_of(route);

	if (route->state == STATE_STANDBY || route->state == STATE_REFUSED)
		return;
	if (up) {
		if (export->ring)
			probe(export);
		else
			route_check_stream(route);
		return;
	}
	export->phase = DOWN;
	route_watch(route, false);
	route_timer(route, 0);
	if (export->ring)
		route_state(route, STATE_WAITING, "no connection to NATS");
}

static uint64_t oldest(const struct route *route)
{
	struct exporter *export = (struct exporter *)route;

	return export->head == export->tail ? 0 : slot_at(export, export->head)->taken;
}

static struct route *export_make(void)
{
	return make(sizeof(struct exporter));
}

const struct route_ops export_ops = {
	.kind = "export",
	.make = export_make,
	.rights = KPOST_RIGHT_RECV,
	.start = start,
	.forget = forget,
	.link_changed = link_changed,
	.message = answered,
	.nobody = nobody,
	.readable = readable,
	.timer = on_timer,
	.pump = pump,
	.oldest = oldest,
};
