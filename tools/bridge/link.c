// SPDX-License-Identifier: GPL-2.0-only
/*
 * A connection to NATS.
 *
 * It is read and written in the loop: the library lets an event loop do that.  So nothing is handed
 * from thread to thread on its way, and what a round of the loop publishes is written at once.
 *
 * A connection that is lost is closed, and another is made, by a thread that ends with that.  The
 * library can make it again by itself, but takes what it had read of a message for the beginning
 * of what comes next (in all versions, so far): it would mix two messages to one.
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
#include <limits.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "bridge.h"

#define RECONNECT_MS 100
#define PING_MS 5000
#define SILENT_MOST 11 /* seconds: two pings have had no answer */
#define STUCK_MOST 1 /* seconds in which nothing of what waits was written */
#define READ_SIZE (128 << 10)
#define WRITE_AT (64 << 10) /* bytes that are not kept until the end of a round */
#define BESIDE 256 /* what a message takes beside its payload, about */
#define QUEUED_MOST (1 << 20) /* bytes that wait while the server takes none */

struct source {
	natsSubscription *subscription;
	struct route *route; /* whose it is; NULL: what comes says that */
	struct source *next;
};

struct arrival {
	struct route *route;
	natsMsg *message; /* NULL: nobody has taken something that was published */
};

struct link {
	struct bridge *bridge;
	const char *what;
	char inbox[200];
	natsOptions *options;
	natsStatistics *statistics;
	pthread_t loop;
	int wake;
	struct event *woken;
	atomic_bool to_write; /* the library has something */
	_Atomic uint64_t inside; /* the library since when, where it can get stuck */
	pthread_mutex_t lock;
	bool made; /* a connection, with all below, for the loop; under lock */
	int fd; /* its socket, or -1; changed under lock */
	char error[200]; /* under lock */
	/* What came through a thread of the library's; under lock. */
	natsMsg **replies;
	unsigned int replies_count, replies_size;
	/* The loop's, or while there is none, of the thread that makes it. */
	natsConnection *connection;
	struct source *sources; /* that which had a message last comes first */
	struct source *others; /* what comes by them goes through a thread of the library's */
	natsSock closing;
	bool lost, detached;
	/* The loop's. */
	natsMsg **taken_replies;
	unsigned int taken_size;
	struct event *readable, *writable; /* NULL: there is no connection */
	struct arrival *arrivals;
	unsigned int arrivals_size;
	unsigned long ups; /* how often there was one */
	uint64_t payload_max, taken;
	uint64_t queued; /* bytes that wait to be written, about */
	bool starved; /* somebody wants to be told when there are fewer */
	unsigned int silent, stuck; /* seconds */
};

/* ---- what the library wants of an event loop -------------------------------- */

static void wake(struct link *link)
{
	uint64_t one = 1;

	/* It fails only if the counter is full: then the loop is woken anyway. */
	if (write(link->wake, &one, sizeof(one)) < 0)
		return;
}

/* In the thread that connects. */
static natsStatus on_attach(void **data, void *loop, natsConnection *connection, natsSock fd)
{
	struct link *link = loop;

	link->connection = connection;
	pthread_mutex_lock(&link->lock);
	link->fd = fd;
	pthread_mutex_unlock(&link->lock);
	*data = link;
	return NATS_OK;
}

/* It is only told to stop, once: the connection is lost.  The rest is later, without its lock. */
static natsStatus on_read_wanted(void *data, bool wanted)
{
	struct link *link = data;

	if (wanted)
		return NATS_OK;
	pthread_mutex_lock(&link->lock);
	link->closing = link->fd;
	link->fd = -1;
	pthread_mutex_unlock(&link->lock);
	if (!link->readable)
		return NATS_OK; /* in the thread that connects */
	event_free(link->readable);
	event_free(link->writable);
	link->readable = link->writable = NULL;
	link->lost = true;
	event_active(link->woken, EV_WRITE, 0);
	return NATS_OK;
}

static natsStatus on_write_wanted(void *data, bool wanted)
{
	struct link *link = data;

	atomic_store(&link->to_write, wanted);
	if (wanted && pthread_equal(pthread_self(), link->loop))
		event_active(link->woken, EV_WRITE, 0); /* after what is done in this round */
	else if (wanted)
		wake(link);
	return NATS_OK;
}

static natsStatus on_detach(void *data)
{
	struct link *link = data;

	link->detached = true;
	return NATS_OK;
}

/*
 * Later versions leave these two to the event loop; the first ones have neither, and do it
 * themselves.
 */
void __attribute__((weak)) natsConnection_ProcessCloseEvent(natsSock *fd);
void __attribute__((weak)) natsConnection_ProcessDetachedEvent(natsConnection *connection);

static void clean_up(struct link *link)
{
	if (link->closing >= 0 && natsConnection_ProcessCloseEvent)
		natsConnection_ProcessCloseEvent(&link->closing);
	if (link->detached && natsConnection_ProcessDetachedEvent)
		natsConnection_ProcessDetachedEvent(link->connection);
	link->closing = -1;
	link->lost = link->detached = false;
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

/* ---- in the loop ------------------------------------------------------------ */

/* Returns whether it is another than the last one. */
static bool note_error(struct link *link, const char *error)
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

/* In a thread of the library's: what the server does not permit. */
static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
		     void *data)
{
	const char *last = NULL;

	if (natsConnection_GetLastError(connection, &last) == NATS_OK || !last || !last[0])
		last = natsStatus_GetText(status);
	note_error(data, last);
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
		wake(link);
}

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

static void source_add(struct source **list, natsSubscription *subscription, struct route *route)
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

static void connect_begin(struct link *link);

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
		note_error(link, last);
	clean_up(link);
	while (link->sources)
		source_end(&link->sources);
	while (link->others)
		source_end(&link->others);
	natsConnection_Destroy(link->connection);
	link->connection = NULL;
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
	note_error(link, fault);
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

static natsStatus subscribe_replies(struct link *link, char *subject)
{
	natsSubscription *subscription;
	natsStatus status =
		natsConnection_Subscribe(&subscription, link->connection, subject, on_reply, link);

	if (status == NATS_OK)
		source_add(&link->others, subscription, NULL);
	free(subject);
	return status;
}

static char *route_inbox(const struct link *link, const struct route *route)
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

/* ---- connecting ------------------------------------------------------------ */

static void need(natsStatus status, const char *what)
{
	if (status != NATS_OK)
		fail(EX_UNAVAILABLE, "%s: %s", what,
		     nats_GetLastError(NULL) ?: natsStatus_GetText(status));
}

static void set_servers(natsOptions *options, const char *servers)
{
	const char *list[32];
	char *all = text("%s", servers), *rest = all, *server;
	int count = 0;

	while ((server = strsep(&rest, " ,\t\n")))
		if (server[0] && count < 32)
			list[count++] = server;
	need(natsOptions_SetServers(options, list, count), "servers");
	free(all);
}

natsOptions *link_options(const struct config *config, const char *what)
{
	natsOptions *options;
	char *name = text("kpost-bridge %s, %s", config->machine, what);
	char *inbox = text("_INBOX.%s", config->machine);

	need(natsOptions_Create(&options), "NATS");
	set_servers(options, config->servers);
	need(natsOptions_SetName(options, name), "name");
	need(natsOptions_SetCustomInboxPrefix(options, inbox), "inbox");
	if (config->user)
		need(natsOptions_SetUserInfo(options, config->user, config->password ?: ""),
		     "user");
	if (config->creds)
		need(natsOptions_SetUserCredentialsFromFiles(options, config->creds, NULL),
		     "creds");
	if (config->nkey)
		need(natsOptions_SetNKeyFromSeed(options, config->nkey_public, config->nkey),
		     "nkey");
	if (config->ca) {
		need(natsOptions_SetSecure(options, true), "TLS");
		need(natsOptions_LoadCATrustedCertificates(options, config->ca), config->ca);
	}
	if (config->cert)
		need(natsOptions_LoadCertificatesChain(options, config->cert, config->key),
		     config->cert);
	/* In the order of the file: the machine's own server comes first. */
	need(natsOptions_SetNoRandomize(options, true), "servers");
	need(natsOptions_SetTimeout(options, 2000), "timeout");
	free(name);
	free(inbox);
	return options;
}

static void set_loop(natsOptions *options, struct link *link)
{
	need(natsOptions_SetEventLoop(options, link, on_attach, on_read_wanted, on_write_wanted,
				      on_detach),
	     "loop");
	need(natsOptions_SetSendAsap(options, true), "send");
	need(natsOptions_SetIOBufSize(options, READ_SIZE), "buffer");
	need(natsOptions_SetAllowReconnect(options, false), "reconnect");
	/* One thread for all of them, of which there can be as many as imports. */
	need(natsOptions_UseGlobalMessageDelivery(options, true), "delivery");
	/* The loop looks itself for who does not answer: no other thread ends a connection. */
	need(natsOptions_SetPingInterval(options, PING_MS), "ping");
	need(natsOptions_SetMaxPingsOut(options, INT_MAX / 2), "ping");
	need(natsOptions_SetErrorHandler(options, on_error, link), "callback");
}

/* Replies come to nobody else: without one, the right to subscribe to them is not needed. */
static bool has_call_out(const struct config *config)
{
	const struct route_config *route = config->routes;

	while (route && route->kind != ROUTE_CALL_OUT)
		route = route->next;
	return route;
}

static void subscribe(struct link *link, struct route *route, char *subject)
{
	natsSubscription *subscription;

	need(natsConnection_SubscribeSync(&subscription, link->connection, subject), subject);
	source_add(&link->sources, subscription, route);
	free(subject);
}

static void subscribe_all(struct link *link)
{
	const struct bridge *bridge = link->bridge;

	if (link == bridge->calls) {
		/* They come by the name of the machine that replies: its rights go no further. */
		if (has_call_out(&bridge->config))
			subscribe(link, NULL,
				  text("kpost.*.reply.%s.>", strchr(link->inbox, '.') + 1));
		need(subscribe_replies(link, text("%s.>", link->inbox)), "inbox");
		return;
	}
	need(subscribe_replies(link, text("%s.a.>", link->inbox)), "inbox");
	for (unsigned int i = 0; i < bridge->routes_count; i++)
		if (bridge->routes[i]->config->stream)
			subscribe(link, bridge->routes[i], route_inbox(link, bridge->routes[i]));
}

/* Not all bridges of a server at once. */
static void pause_before_connecting(void)
{
	usleep((RECONNECT_MS + arc4random_uniform(RECONNECT_MS / 2)) * 1000);
}

/* Until there is a connection, which it gives to the loop. */
static void *connect_at_last(void *data)
{
	struct link *link = data;
	unsigned int refusals = 0;
	natsStatus status;

	/* A server can end each connection as soon as it has it. */
	if (link->ups)
		pause_before_connecting();
	while ((status = natsConnection_Connect(&link->connection, link->options)) != NATS_OK) {
		const char *error = nats_GetLastError(NULL) ?: natsStatus_GetText(status);

		clean_up(link);
		/* One that was let in before is believed to be known still, once. */
		if (status == NATS_CONNECTION_AUTH_FAILED && (!link->ups || refusals++))
			fail(EX_UNAVAILABLE, "NATS: %s", error);
		if (note_error(link, error) && !link->ups)
			say("no connection to NATS yet, for %s: %s", link->what, error);
		pause_before_connecting();
	}
	subscribe_all(link);
	pthread_mutex_lock(&link->lock);
	link->made = true;
	pthread_mutex_unlock(&link->lock);
	wake(link);
	return NULL;
}

static void thread_begin(void *(*function)(void *data), struct link *link)
{
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, function, link);

	if (ret)
		fail(EX_OSERR, "a thread: %s", strerror(ret));
	pthread_detach(thread);
}

static void connect_begin(struct link *link)
{
	thread_begin(connect_at_last, link);
}

struct link *link_new(struct bridge *bridge, const char *what)
{
	struct link *link = make(sizeof(*link));
	natsInbox *unique;

	link->bridge = bridge;
	link->what = what;
	link->loop = pthread_self();
	link->fd = link->closing = -1;
	pthread_mutex_init(&link->lock, NULL);
	need(natsStatistics_Create(&link->statistics), "statistics");
	link->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (link->wake < 0)
		fail(EX_OSERR, "eventfd: %s", strerror(errno));
	link->woken = event_new(bridge->base, link->wake, EV_READ | EV_PERSIST, on_wake, link);
	event_add(link->woken, NULL);
	/* Nobody else's: what a bridge before this one asked for comes to no inbox. */
	need(natsInbox_Create(&unique), "inbox");
	snprintf(link->inbox, sizeof(link->inbox), "_INBOX.%s.%s", bridge->config.machine,
		 strrchr(unique, '.') + 1);
	natsInbox_Destroy(unique);
	link->options = link_options(&bridge->config, what);
	set_loop(link->options, link);
	return link;
}

void link_begin(struct link *link)
{
	thread_begin(guard, link);
	connect_begin(link);
}
