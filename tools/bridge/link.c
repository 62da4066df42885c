// SPDX-License-Identifier: GPL-2.0-only
/*
 * A connection to NATS.
 *
 * It is read and written in the loop: the library lets an event loop do that.  So nothing is handed
 * from thread to thread on its way, and what a round of the loop publishes is written at once.
 *
 * What comes by a subscription that the loop asks is not told if it looks like the server's word
 * that nobody has taken a message: the library says only that there was one.  So a route has a
 * subscription of its own for what comes from its stream.  Where it has to be told, it comes
 * through a thread of the library's: to calls, and to requests to JetStream, so that it is known
 * which it was; and to an import after the first of these, since anybody can put what looks like
 * one into its stream.
 *
 * Threads of the library's come here only for that, which is guarded by link->lock, and to have a
 * ping written.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "link.h"

#define SILENT_MOST 11 /* seconds: two pings have had no answer, see connect.c */
#define STUCK_MOST 1 /* seconds in which nothing of what waits was written */
#define WRITE_AT (64 << 10) /* bytes that are not kept until the end of a round */
#define BESIDE 256 /* what a message takes beside its payload, about */
#define QUEUED_MOST (1 << 20) /* bytes that wait while the server takes none */

struct arrival {
	struct route *route;
	natsMsg *message; /* NULL: nobody has taken something that was published */
};

void link_wake(struct link *link)
{
	uint64_t one = 1;

	/* It fails only if the counter is full: then the loop is woken anyway. */
	if (write(link->wake, &one, sizeof(one)) < 0)
		return;
}

/* How many bytes have come and gone. */
static uint64_t bytes_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
	return info.tcpi_bytes_received + info.tcpi_bytes_acked;
}

/*
 * With TLS, which a server can ask for, the library waits for the rest of a record, or until there
 * is room for all that is to be written, for ever.  Where nothing comes or goes meanwhile the
 * socket is ended.  It cannot be another one by then: it is closed only after on_read_wanted().
 */
static void *guard(void *data)
{
	uint64_t since, seen = 0, bytes, last = 0, moved = 0;
	struct link *link = data;

	for (;;) {
		usleep(SECOND / 2 / 1000);
		since = atomic_load(&link->inside);
		pthread_mutex_lock(&link->lock);
		bytes = since && link->fd >= 0 ? bytes_of(link->fd) : 0;
		if (since != seen || bytes != last)
			moved = now();
		if (since && link->fd >= 0 && now() - moved > SECOND)
			shutdown(link->fd, SHUT_RDWR);
		pthread_mutex_unlock(&link->lock);
		seen = since;
		last = bytes;
	}
	return NULL;
}

static void inside(struct link *link, void (*process)(natsConnection *connection))
{
	atomic_store_explicit(&link->inside, now(), memory_order_relaxed);
	process(link->connection);
	atomic_store_explicit(&link->inside, 0, memory_order_relaxed);
}

bool link_note_error(struct link *link, const char *error)
{
	char line[sizeof(link->error)];
	bool is_new;

	snprintf(line, sizeof(line), "%s", error);
	printable(line);
	pthread_mutex_lock(&link->lock);
	is_new = strcmp(link->error, line);
	memcpy(link->error, line, sizeof(line));
	pthread_mutex_unlock(&link->lock);
	return is_new;
}

static void on_reply(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
		     void *data)
{
	struct link *link = data;
	bool first;

	pthread_mutex_lock(&link->lock);
	if (link->replies_count == link->replies_size) {
		link->replies_size = link->replies_size ? 2 * link->replies_size : 64;
		link->replies =
			realloc(link->replies, link->replies_size * sizeof(link->replies[0]));
		if (!link->replies)
			fail(EX_OSERR, "out of memory");
	}
	first = !link->replies_count;
	link->replies[link->replies_count++] = message;
	pthread_mutex_unlock(&link->lock);
	if (first)
		link_wake(link);
}

/* ---- in the loop ------------------------------------------------------------ */

static void take_replies(struct link *link)
{
	unsigned int count, size;
	natsMsg **replies;

	pthread_mutex_lock(&link->lock);
	replies = link->replies;
	count = link->replies_count;
	size = link->replies_size;
	link->replies = link->taken_replies;
	link->replies_size = link->taken_size;
	link->replies_count = 0;
	pthread_mutex_unlock(&link->lock);
	for (unsigned int i = 0; i < count; i++)
		bridge_take(link->bridge, link, NULL, replies[i]);
	link->taken_replies = replies;
	link->taken_size = size;
}

static void write_out(struct link *link)
{
	int before, left = 0;

	if (!atomic_load(&link->to_write))
		return; /* it would take that for the end of the connection */
	before = natsConnection_Buffered(link->connection);
	inside(link, natsConnection_ProcessWriteEvent);
	if (!link->readable)
		return;
	if (atomic_load(&link->to_write))
		left = natsConnection_Buffered(link->connection);
	if (left < before)
		link->stuck = 0;
	link->queued = left;
	if (left)
		event_add(link->writable, NULL);
	if (link->starved && left < QUEUED_MOST / 2) {
		link->starved = false;
		bridge_link_room(link->bridge, link);
	}
}

static void on_writable(evutil_socket_t fd, short what, void *data)
{
	struct link *link = data;

	write_out(link);
	bridge_pump(link->bridge);
}

static uint64_t count_in(struct link *link)
{
	uint64_t count = 0;

	if (natsConnection_GetStats(link->connection, link->statistics) == NATS_OK)
		natsStatistics_GetCounts(link->statistics, &count, NULL, NULL, NULL, NULL);
	return count;
}

/* Returns how many came by it. */
static unsigned int take_from(struct link *link, const struct source *source, unsigned int count)
{
	uint64_t more = 0;

	if (natsSubscription_QueuedMsgs(source->subscription, &more) != NATS_OK)
		return 0;
	if (count + more > link->arrivals_size) {
		link->arrivals_size = 2 * (count + more);
		link->arrivals =
			realloc(link->arrivals, link->arrivals_size * sizeof(link->arrivals[0]));
		if (!link->arrivals)
			fail(EX_OSERR, "out of memory");
	}
	for (unsigned int i = 0; i < more; i++) {
		struct arrival *arrival = &link->arrivals[count + i];
		natsStatus status;

		*arrival = (struct arrival){ .route = source->route };
		status = natsSubscription_NextMsg(&arrival->message, source->subscription, 0);
		if (status != NATS_OK && status != NATS_NO_RESPONDERS)
			return i;
	}
	return more;
}

/* What has come in; no more sources are asked than are needed to find all of it. */
static void drain(struct link *link)
{
	uint64_t all = count_in(link), wanted = all - link->taken;
	struct source **place = &link->sources, *source;
	unsigned int count = 0;

	link->taken = all;
	while (count < wanted && (source = *place)) {
		unsigned int more = take_from(link, source, count);

		count += more;
		if (!more || source == link->sources) {
			place = &source->next;
			continue;
		}
		*place = source->next;
		source->next = link->sources;
		link->sources = source;
	}
	for (unsigned int i = 0; i < count; i++) {
		struct arrival *arrival = &link->arrivals[i];

		if (arrival->message)
			bridge_take(link->bridge, link, arrival->route, arrival->message);
		else
			bridge_nobody(arrival->route);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct link *link = data;

	link->silent = 0;
	inside(link, natsConnection_ProcessReadEvent);
	drain(link);
	bridge_pump(link->bridge);
}

void source_add(struct source **list, natsSubscription *subscription, struct route *route)
{
	struct source *source = make(sizeof(*source));

	/* What came is taken in the loop at once: nothing is thrown away for there being much. */
	natsSubscription_SetPendingLimits(subscription, -1, -1);
	*source = (struct source){ subscription, route, *list };
	*list = source;
}

static void source_end(struct source **place)
{
	struct source *source = *place;

	*place = source->next;
	natsSubscription_Destroy(source->subscription);
	free(source);
}

static void came(struct link *link)
{
	int64_t most = natsConnection_GetMaxPayload(link->connection);

	link->payload_max = most > 0 ? (uint64_t)most : 0;
	link->taken = link->queued = link->silent = link->stuck = 0;
	link->readable =
		event_new(link->bridge->base, link->fd, EV_READ | EV_PERSIST, on_readable, link);
	link->writable = event_new(link->bridge->base, link->fd, EV_WRITE, on_writable, link);
	if (!link->readable || !link->writable || event_add(link->readable, NULL))
		fail(EX_OSERR, "out of memory");
	link->ups++;
	bridge_link_changed(link->bridge, link, true);
}

static void went(struct link *link)
{
	const char *last = NULL;

	if (natsConnection_GetLastError(link->connection, &last) != NATS_OK && last && last[0])
		link_note_error(link, last);
	while (link->sources)
		source_end(&link->sources);
	while (link->others)
		source_end(&link->others);
	connect_end(link);
	bridge_link_changed(link->bridge, link, false);
	connect_begin(link);
}

static void on_wake(evutil_socket_t fd, short what, void *data)
{
	struct link *link = data;
	uint64_t count;
	bool made;

	if (what & EV_READ && read(fd, &count, sizeof(count)) < 0)
		say("eventfd: %s", strerror(errno));
	pthread_mutex_lock(&link->lock);
	made = link->made;
	link->made = false;
	pthread_mutex_unlock(&link->lock);
	if (made)
		came(link);
	take_replies(link);
	if (link->lost)
		went(link);
	if (link->readable && !event_pending(link->writable, EV_WRITE, NULL))
		write_out(link);
	bridge_pump(link->bridge);
}

void link_watch(struct link *link)
{
	const char *fault = NULL;

	if (!link->readable)
		return;
	if (++link->silent > SILENT_MOST)
		fault = "the server does not answer to pings";
	if (event_pending(link->writable, EV_WRITE, NULL) && ++link->stuck > STUCK_MOST)
		fault = "the server takes nothing any more";
	if (!fault)
		return;
	link_note_error(link, fault);
	shutdown(link->fd, SHUT_RDWR); /* to be read as its end */
}

bool link_up(const struct link *link)
{
	return link->readable;
}

unsigned long link_ups(const struct link *link)
{
	return link->ups;
}

uint64_t link_payload_max(const struct link *link)
{
	return link->payload_max;
}

const char *link_inbox(const struct link *link)
{
	return link->inbox;
}

const char *link_for_here(const struct link *link, const char *subject)
{
	size_t length = strlen(link->inbox);
	const char *from, *to;

	if (!strncmp(subject, link->inbox, length) && subject[length] == '.')
		return subject + length + 1;
	/* kpost.MACHINE.reply., and then what the inbox has after its first part */
	if (strncmp(subject, "kpost.", 6))
		return NULL;
	from = strchr(subject + 6, '.');
	to = strchr(link->inbox, '.');
	length -= to - link->inbox;
	if (!from || strncmp(from, ".reply", 6) || strncmp(from + 6, to, length) ||
	    from[6 + length] != '.')
		return NULL;
	return from + 6 + length + 1;
}

void link_error(struct link *link, char *error, size_t size)
{
	pthread_mutex_lock(&link->lock);
	snprintf(error, size, "%s", link->error);
	pthread_mutex_unlock(&link->lock);
}

bool link_full(struct link *link)
{
	bool full = link->readable && link->queued > QUEUED_MOST;

	link->starved |= full;
	return full;
}

/* What waits is written before the end of the round where it is much; or waits for the server. */
static natsStatus published(struct link *link, natsStatus status, size_t size)
{
	if (status != NATS_OK)
		return status;
	link->queued += size + BESIDE;
	if (link->queued > WRITE_AT && !event_pending(link->writable, EV_WRITE, NULL))
		write_out(link);
	return NATS_OK;
}

natsStatus link_publish(struct link *link, natsMsg *message)
{
	if (!link->readable)
		return NATS_CONNECTION_DISCONNECTED;
	return published(link, natsConnection_PublishMsg(link->connection, message),
			 natsMsg_GetDataLength(message));
}

natsStatus link_publish_text(struct link *link, const char *subject, const char *reply,
			     const char *text)
{
	natsStatus status;

	if (!link->readable)
		return NATS_CONNECTION_DISCONNECTED;
	status = reply ? natsConnection_PublishRequestString(link->connection, subject, reply,
							     text) :
			 natsConnection_PublishString(link->connection, subject, text);
	return published(link, status, strlen(text));
}

natsStatus link_subscribe(struct link *link, struct route *route)
{
	natsSubscription *subscription;
	natsStatus status;

	if (!link->readable)
		return NATS_CONNECTION_DISCONNECTED;
	status = natsConnection_QueueSubscribeSync(&subscription, link->connection,
						   route->config->subject, "kpost");
	if (status == NATS_OK)
		source_add(&link->sources, subscription, route);
	return status;
}

static struct source **source_of(struct link *link, const struct route *route)
{
	struct source **place = &link->sources;

	while (*place && (*place)->route != route)
		place = &(*place)->next;
	return place;
}

void link_unsubscribe(struct link *link, const struct route *route)
{
	struct source **place = source_of(link, route);

	if (*place)
		source_end(place);
}

natsStatus subscribe_replies(struct link *link, char *subject)
{
	natsSubscription *subscription;
	natsStatus status =
		natsConnection_Subscribe(&subscription, link->connection, subject, on_reply, link);

	if (status == NATS_OK)
		source_add(&link->others, subscription, NULL);
	free(subject);
	return status;
}

char *route_inbox(const struct link *link, const struct route *route)
{
	return text("%s.r.%u.>", link->inbox, route->index);
}

natsStatus link_exact(struct link *link, const struct route *route)
{
	struct source **place = source_of(link, route);
	natsStatus status;

	if (!link->readable)
		return NATS_CONNECTION_DISCONNECTED;
	if (!*place)
		return NATS_OK; /* it is so already: twice, and all would come twice */
	status = subscribe_replies(link, route_inbox(link, route));
	if (status == NATS_OK)
		source_end(place);
	return status;
}

/* ---- beginning -------------------------------------------------------------- */

struct link *link_new(struct bridge *bridge, const char *what)
{
	struct link *link = make(sizeof(*link));

	link->bridge = bridge;
	link->what = what;
	link->loop = pthread_self();
	link->fd = link->closing = -1;
	pthread_mutex_init(&link->lock, NULL);
	link->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (link->wake < 0)
		fail(EX_OSERR, "eventfd: %s", strerror(errno));
	link->woken = event_new(bridge->base, link->wake, EV_READ | EV_PERSIST, on_wake, link);
	event_add(link->woken, NULL);
	connect_prepare(link);
	return link;
}

void link_begin(struct link *link)
{
	thread_begin(guard, link);
	connect_begin(link);
}
