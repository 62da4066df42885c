// SPDX-License-Identifier: GPL-2.0-only
/*
 * A connection to NATS.  The library's threads come as far as link->lock, which guards what is
 * said to be so below; all else is the loop's.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "bridge.h"

/*
 * What comes to the inbox is bounded by what routes ask for.  Calls are not, which others send:
 * where so many, or so many bytes, wait for the loop, more of them are thrown away.  Their callers'
 * time passes then.
 */
#define CALLS_MAX 4096
#define CALL_BYTES_MAX (32 << 20)

#define RECONNECT_MS 100

struct arrival {
	struct route *route;
	natsMsg *message;
};

struct link {
	struct bridge *bridge;
	const char *what;
	bool at_once;
	natsOptions *options;
	natsConnection *connection; /* once it was up */
	natsSubscription *inbox_subscription, *reply_subscription;
	char inbox[200];
	int wake;
	struct event *woken;
	/* under lock */
	pthread_mutex_t lock;
	struct arrival *queue;
	unsigned int count, size, calls;
	uint64_t call_bytes;
	bool up;
	unsigned long changes; /* how often it came or went */
	char error[200];
	/* the loop's */
	struct arrival *taken;
	unsigned int taken_size;
	unsigned long changes_seen;
	bool is_up;
	uint64_t payload_max, reconnects; /* as it was when it came up */
	natsStatistics *statistics;
};

/* ---- in threads of the library --------------------------------------------- */

static void wake(struct link *link)
{
	uint64_t one = 1;

	/* It fails only if the counter is full: then the loop is woken anyway. */
	if (write(link->wake, &one, sizeof(one)) < 0)
		return;
}

static void arrived(struct link *link, struct route *route, natsMsg *message)
{
	bool first;

	pthread_mutex_lock(&link->lock);
	if (route) {
		uint64_t bytes = natsMsg_GetDataLength(message);

		if (link->calls >= CALLS_MAX || link->call_bytes + bytes > CALL_BYTES_MAX) {
			pthread_mutex_unlock(&link->lock);
			natsMsg_Destroy(message);
			return;
		}
		link->calls++;
		link->call_bytes += bytes;
	}
	if (link->count == link->size) {
		link->size = link->size ? 2 * link->size : 256;
		link->queue = realloc(link->queue, link->size * sizeof(link->queue[0]));
		if (!link->queue)
			fail(EX_OSERR, "out of memory");
	}
	first = !link->count;
	link->queue[link->count++] = (struct arrival){ route, message };
	pthread_mutex_unlock(&link->lock);
	if (first)
		wake(link);
}

static void on_inbox(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
		     void *data)
{
	arrived(data, NULL, message);
}

static void on_subject(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
		       void *data)
{
	struct route *route = data;

	arrived(route->bridge->calls, route, message);
}

static void changed(struct link *link, bool up)
{
	pthread_mutex_lock(&link->lock);
	link->up = up;
	link->changes++;
	pthread_mutex_unlock(&link->lock);
	wake(link);
}

/* Unless it has gone, and perhaps come back, since it was there for the first time. */
static void first_up(struct link *link)
{
	pthread_mutex_lock(&link->lock);
	if (!link->changes) {
		link->up = true;
		link->changes++;
	}
	pthread_mutex_unlock(&link->lock);
	wake(link);
}

static void on_up(natsConnection *connection, void *data)
{
	changed(data, true);
}

static void on_down(natsConnection *connection, void *data)
{
	changed(data, false);
}

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

static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
		     void *data)
{
	struct link *link = data;
	const char *last = NULL;

	if (natsConnection_GetLastError(connection, &last) == NATS_OK || !last || !last[0])
		last = natsStatus_GetText(status);
	note_error(link, last);
	wake(link);
}

/* After an error of authorization that comes twice the library gives up. */
static void on_closed(natsConnection *connection, void *data)
{
	const char *last = NULL;

	natsConnection_GetLastError(connection, &last);
	fail(EX_UNAVAILABLE, "the connection is closed for good: %s", last ?: "no reason is given");
}

/* ---- in the loop -------------------------------------------------------- */

static uint64_t reconnects(struct link *link)
{
	uint64_t count = 0;

	if (natsConnection_GetStats(link->connection, link->statistics) == NATS_OK)
		natsStatistics_GetCounts(link->statistics, NULL, NULL, NULL, NULL, &count);
	return count;
}

static void came_up(struct link *link)
{
	int64_t most = natsConnection_GetMaxPayload(link->connection);

	link->is_up = true;
	link->payload_max = most > 0 ? (uint64_t)most : 0;
	link->reconnects = reconnects(link);
}

void link_drain(struct link *link)
{
	struct arrival *queue;
	unsigned int count, size;
	unsigned long changes;
	bool up;

	pthread_mutex_lock(&link->lock);
	queue = link->queue;
	count = link->count;
	size = link->size;
	link->queue = link->taken;
	link->size = link->taken_size;
	link->count = link->calls = 0;
	link->call_bytes = 0;
	up = link->up;
	changes = link->changes;
	pthread_mutex_unlock(&link->lock);

	for (unsigned int i = 0; i < count; i++)
		bridge_take(link->bridge, link, queue[i].route, queue[i].message);
	link->taken = queue;
	link->taken_size = size;
	if (changes != link->changes_seen) {
		/* Gone and back is a change, too: what was under way may be lost. */
		link->is_up = false;
		if (up && changes - link->changes_seen > 1)
			bridge_link_changed(link->bridge, link, false);
		link->changes_seen = changes;
		if (up)
			came_up(link);
		bridge_link_changed(link->bridge, link, up);
	}
}

static void on_wake(evutil_socket_t fd, short what, void *data)
{
	struct link *link = data;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) == sizeof(count))
		link_drain(link);
	bridge_pump(link->bridge);
}

/*
 * While it connects the library keeps its lock, for seconds, and all of its functions wait: so it
 * is not asked.
 */
bool link_up(const struct link *link)
{
	return link->is_up;
}

/* The first one is none. */
unsigned long link_reconnects(const struct link *link)
{
	return link->changes_seen / 2;
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

/*
 * The library is connected anew before the loop hears of it.  What is published then would come
 * before what was under way, and is to be published again.
 */
natsStatus link_publish(struct link *link, natsMsg *message)
{
	if (!link->is_up || reconnects(link) != link->reconnects)
		return NATS_CONNECTION_DISCONNECTED;
	return natsConnection_PublishMsg(link->connection, message);
}

natsStatus link_publish_text(struct link *link, const char *subject, const char *reply,
			     const char *text)
{
	if (!link->is_up)
		return NATS_CONNECTION_DISCONNECTED;
	return reply ? natsConnection_PublishRequestString(link->connection, subject, reply, text) :
		       natsConnection_PublishString(link->connection, subject, text);
}

natsStatus link_subscribe(struct link *link, struct route *route, natsSubscription **subscription)
{
	const char *subject = route->config->subject;
	natsSubscription *made;
	natsStatus status;

	if (!link->is_up)
		return NATS_CONNECTION_DISCONNECTED;
	status = natsConnection_QueueSubscribe(&made, link->connection, subject, "kpost",
					       on_subject, route);
	if (status != NATS_OK)
		return status;
	*subscription = made;
	return natsSubscription_NoDeliveryDelay(made);
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

/*
 * What makes it lose nothing: no buffer of the library's that is sent after the connection is back,
 * before what has to go first; a peer that is dead or stopped is found out within seconds.
 */
static void set_endurance(natsOptions *options, struct link *link, bool at_once)
{
	need(natsOptions_SetMaxReconnect(options, -1), "reconnect");
	need(natsOptions_SetReconnectWait(options, RECONNECT_MS), "reconnect");
	need(natsOptions_SetReconnectJitter(options, 50, 50), "reconnect");
	need(natsOptions_SetReconnectBufSize(options, 0), "reconnect");
	need(natsOptions_SetWriteDeadline(options, 1000), "deadline");
	need(natsOptions_SetPingInterval(options, 5000), "ping");
	need(natsOptions_SetMaxPingsOut(options, 2), "ping");
	need(natsOptions_SetSendAsap(options, at_once), "send");
	need(natsOptions_UseGlobalMessageDelivery(options, true), "delivery");
	need(natsOptions_SetDisconnectedCB(options, on_down, link), "callback");
	need(natsOptions_SetReconnectedCB(options, on_up, link), "callback");
	need(natsOptions_SetErrorHandler(options, on_error, link), "callback");
	need(natsOptions_SetClosedCB(options, on_closed, link), "callback");
}

/* Replies come to nobody else: without one, the right to subscribe to them is not needed. */
static bool has_call_out(const struct config *config)
{
	const struct route_config *route = config->routes;

	while (route && route->kind != ROUTE_CALL_OUT)
		route = route->next;
	return route;
}

static void subscribe(struct link *link)
{
	char *all = text("%s.>", link->inbox);

	need(natsConnection_Subscribe(&link->inbox_subscription, link->connection, all, on_inbox,
				      link),
	     "inbox");
	natsSubscription_SetPendingLimits(link->inbox_subscription, -1, -1);
	free(all);
	if (!link->at_once || !has_call_out(&link->bridge->config))
		return;
	/* Replies come under the name of the machine that replies: its rights go no further. */
	natsSubscription_NoDeliveryDelay(link->inbox_subscription);
	all = text("kpost.*.reply.%s.>", strchr(link->inbox, '.') + 1);
	need(natsConnection_Subscribe(&link->reply_subscription, link->connection, all, on_inbox,
				      link),
	     "replies");
	natsSubscription_NoDeliveryDelay(link->reply_subscription);
	free(all);
}

/*
 * The first time, in a thread of its own.  The library can try again by itself, but before 3.12 it
 * gives up for good if the last server of the list took the connection and then ended it, as one
 * does that is killed at that moment, or what stands for one that is not there yet.
 */
static void *connect_first(void *data)
{
	struct link *link = data;
	natsStatus status;

	while ((status = natsConnection_Connect(&link->connection, link->options)) != NATS_OK) {
		const char *error = nats_GetLastError(NULL) ?: natsStatus_GetText(status);

		if (status == NATS_CONNECTION_AUTH_FAILED)
			fail(EX_UNAVAILABLE, "NATS: %s", error);
		if (note_error(link, error))
			say("no connection to NATS yet, for %s: %s", link->what, error);
		usleep(RECONNECT_MS * 1000);
	}
	natsOptions_Destroy(link->options);
	subscribe(link);
	first_up(link);
	return NULL;
}

struct link *link_open(struct bridge *bridge, const char *what, bool at_once)
{
	struct link *link = make(sizeof(*link));
	natsInbox *unique;
	pthread_t thread;
	int ret;

	link->bridge = bridge;
	link->what = what;
	link->at_once = at_once;
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
	set_endurance(link->options, link, at_once);
	ret = pthread_create(&thread, NULL, connect_first, link);
	if (ret)
		fail(EX_OSERR, "a thread: %s", strerror(ret));
	pthread_detach(thread);
	return link;
}
