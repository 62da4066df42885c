// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a connection to NATS is made, and given to the loop, see link.c.
 *
 * One that is lost is closed, and another is made, by a thread that ends with that.  The library
 * can make it again by itself, but takes what it had read of a message for the beginning of what
 * comes next (in all versions, so far): it would mix two messages to one.
 */
#include <limits.h>
#include <sysexits.h>
#include <unistd.h>

#include "link.h"

#define RECONNECT_MS 100
#define PING_MS 5000
#define READ_SIZE (128 << 10)

/* ---- what the library wants of an event loop -------------------------------- */

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
		link_wake(link);
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

/* ---- options ----------------------------------------------------------------- */

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

/* In a thread of the library's: what the server does not permit. */
static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
		     void *data)
{
	const char *last = NULL;

	if (natsConnection_GetLastError(connection, &last) == NATS_OK || !last || !last[0])
		last = natsStatus_GetText(status);
	link_note_error(data, last);
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

/* ---- connecting -------------------------------------------------------------- */

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
		if (link_note_error(link, error) && !link->ups)
			say("no connection to NATS yet, for %s: %s", link->what, error);
		pause_before_connecting();
	}
	subscribe_all(link);
	pthread_mutex_lock(&link->lock);
	link->made = true;
	pthread_mutex_unlock(&link->lock);
	link_wake(link);
	return NULL;
}

void thread_begin(void *(*function)(void *data), struct link *link)
{
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, function, link);

	if (ret)
		fail(EX_OSERR, "a thread: %s", strerror(ret));
	pthread_detach(thread);
}

void connect_begin(struct link *link)
{
	thread_begin(connect_at_last, link);
}

void connect_prepare(struct link *link)
{
	const struct config *config = &link->bridge->config;
	natsInbox *unique;

	need(natsStatistics_Create(&link->statistics), "statistics");
	/* Nobody else's: what a bridge before this one asked for comes to no inbox. */
	need(natsInbox_Create(&unique), "inbox");
	snprintf(link->inbox, sizeof(link->inbox), "_INBOX.%s.%s", config->machine,
		 strrchr(unique, '.') + 1);
	natsInbox_Destroy(unique);
	link->options = link_options(config, link->what);
	set_loop(link->options, link);
}

void connect_end(struct link *link)
{
	clean_up(link);
	natsConnection_Destroy(link->connection);
	link->connection = NULL;
}
