/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Of a connection to NATS: what the loop does with it (link.c), and how it is made (connect.c).
 */
#ifndef KPOST_BRIDGE_LINK_H
#define KPOST_BRIDGE_LINK_H

#include <pthread.h>
#include <stdatomic.h>

#include "bridge.h"

struct source {
	natsSubscription *subscription;
	struct route *route; /* whose it is; NULL: what comes says that */
	struct source *next;
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

/* ---- link.c ---------------------------------------------------------------- */

/* From any thread. */
void link_wake(struct link *link);
/* The last error, for the status; from any thread.  Whether it is another than the one before. */
bool link_note_error(struct link *link, const char *error);
void source_add(struct source **list, natsSubscription *subscription, struct route *route);
/* What comes by @subject, which is freed, goes through a thread of the library's. */
natsStatus subscribe_replies(struct link *link, char *subject);
/* To be freed. */
char *route_inbox(const struct link *link, const struct route *route);

/* ---- connect.c ------------------------------------------------------------- */

/* How the link is to be connected: once, before connect_begin(). */
void connect_prepare(struct link *link);
/* Makes a connection, and subscribes to all; in a thread, which sets link->made in the end. */
void connect_begin(struct link *link);
/* In the loop, of one that is lost. */
void connect_end(struct link *link);
void thread_begin(void *(*function)(void *data), struct link *link);

#endif
