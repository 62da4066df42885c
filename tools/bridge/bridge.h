/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kpost-bridge: joins mailboxes of several machines through NATS with JetStream.
 *
 * A *route* joins one mailbox of this machine to one subject.  There are four kinds: export
 * (mailbox to stream), import (stream to mailbox), call-out and call-in (calls to another machine,
 * and from others).  A *link* is a connection to NATS.  There are two: a call does not wait behind
 * what goes to the streams, and the far side of calls is told of an inbox that is for nothing else.
 *
 * All work is done by one thread, in one event loop, also the library's reading and writing.  So
 * nothing here but a link has a lock, and a route costs memory, but no thread.
 *
 * What a route has under way is bounded: an export by its window, an import by its batch.  What it
 * has not yet passed on for good is not its own: the mailbox has it (it is held, see kpost_hold()),
 * or the stream has it (it is not acknowledged).  So whoever dies, nothing is lost with it.
 */
#ifndef KPOST_BRIDGE_H
#define KPOST_BRIDGE_H

#include <envelope.h>
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <kpost.h>
#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull /* nanoseconds */
#define SECOND (1000 * MS)

/* What a message's headers may take beside its payload. */
#define HEADERS_MAX 4096
/* How many messages go through the kernel at once. */
#define ROUND 32

struct bridge;
struct route;

/* ---- config.c: the file ---------------------------------------------------- */

enum route_kind { ROUTE_EXPORT, ROUTE_IMPORT, ROUTE_CALL_OUT, ROUTE_CALL_IN };

/* What messages from a machine have for a badge; of machine "*", from all that are not named. */
struct badge {
	char *machine;
	uint64_t badge;
	struct badge *next;
};

struct route_config {
	enum route_kind kind;
	char *mailbox, *stream, *subject, *consumer;
	unsigned int window; /* messages under way at once: export, import and calls */
	unsigned int mode;
	char *group; /* of the mailbox that is made, or NULL */
	uint64_t message_max, bytes;
	uint64_t mailbox_max; /* the longest in the mailbox: that, with its envelope */
	bool envelope; /* before what comes in */
	uint64_t timeout; /* of a call, in nanoseconds */
	uint64_t duplicate_window; /* that its stream has to have, in nanoseconds */
	struct badge *badges;
	struct route_config *next;
};

struct stream_config { /* for --setup */
	char *name;
	char *subjects; /* with spaces between */
	char *retention; /* NULL: a work queue */
	uint64_t replicas, max_bytes, max_messages;
	uint64_t duplicate_window; /* nanoseconds */
	struct stream_config *next;
};

struct config {
	const char *file;
	char *machine;
	char *servers; /* with spaces between */
	char *user, *password, *creds, *nkey, *nkey_public;
	char *ca, *cert, *key;
	struct route_config *routes;
	struct stream_config *streams;
	unsigned int routes_count;
};

/* Ends the program with one line for the first thing that is wrong. */
void config_read(struct config *config, const char *file);

/* ---- link.c, connect.c: a connection to NATS ------------------------------- */

struct link;

struct link *link_new(struct bridge *bridge, const char *what);
/* Connects, now or as soon as there is a server; what comes goes to bridge_take(). */
void link_begin(struct link *link);
/* Once a second: ends a connection whose server has stopped. */
void link_watch(struct link *link);
bool link_up(const struct link *link);
/* How often there was a connection. */
unsigned long link_ups(const struct link *link);
/* The server's limit of a message, 0 if it is not known yet. */
uint64_t link_payload_max(const struct link *link);
/* The beginning of all subjects that are for this link, without the dot. */
const char *link_inbox(const struct link *link);
/* Has what comes by its subject given to @route; one of all who have subscribed so gets it. */
natsStatus link_subscribe(struct link *link, struct route *route);
void link_unsubscribe(struct link *link, const struct route *route);
/* What comes to the route's inbox is all told to it from now on, with what nobody has taken. */
natsStatus link_exact(struct link *link, const struct route *route);
/* Does much wait to be written?  Then no more is to be published; bridge_link_room() says when. */
bool link_full(struct link *link);
natsStatus link_publish(struct link *link, natsMsg *message);
natsStatus link_publish_text(struct link *link, const char *subject, const char *reply,
			     const char *text);
/* What NATS said last, as one line. */
void link_error(struct link *link, char *error, size_t size);
/* What follows the inbox in a subject, or in that of a reply for it; or NULL. */
const char *link_for_here(const struct link *link, const char *subject);
/* Options for a connection, as the file says. */
natsOptions *link_options(const struct config *config, const char *what);

/* ---- api.c: requests to JetStream ------------------------------------------ */

/* @answer is NULL if none came in time; if it has an error, @error says which. */
typedef void api_done(struct route *route, json_t *answer, const char *error, int code);

void api_request(struct route *route, const char *subject, const char *body, api_done *done);
/* The reply with that number has come. */
void api_answered(struct bridge *bridge, unsigned long number, natsMsg *message);
/* Since a connection is gone, or time is over. */
void api_expire(struct bridge *bridge, uint64_t now);
/* NULL if a stream will do for a route, else what is wrong with it: a line, to be freed. */
char *stream_fault(const struct route_config *config, json_t *info, uint64_t payload_max);
/* Minutes since 2025 at which it was made, or -1. */
int64_t stream_made(json_t *info);
/* The header in which it is to have the ids of messages. */
const char *stream_id_header(json_t *info);
/* The sequence of its last message, or 0. */
uint64_t stream_last(json_t *info);
/* Both return the program's exit status. */
int streams_check(const struct config *config);
int streams_setup(const struct config *config);

/* ---- route.c: what all routes have ----------------------------------------- */

enum route_state {
	STATE_STANDBY, /* another bridge has it */
	STATE_STARTING, /* looks at its stream */
	STATE_RUNNING,
	STATE_WAITING, /* goes on by itself, once what it says is over */
	STATE_REFUSED, /* what it says has to be changed: it is looked at now and then */
};

struct counts {
	uint64_t in, out; /* messages, or calls: taken, and passed on for good */
	uint64_t resent, duplicates; /* that NATS, or the mailbox, knew */
	uint64_t late; /* were passed by others of the same route, in the stream */
	uint64_t aside; /* to the dead letters */
	uint64_t refused; /* calls to what takes messages, and the like */
	uint64_t looped; /* came from this machine */
	uint64_t anew; /* how often its consumer was made anew */
	uint64_t missed; /* dropped or expired in the mailbox, or expired on the way */
};

struct route {
	struct bridge *bridge;
	const struct route_config *config;
	const struct route_ops *ops;
	unsigned int index; /* among all; in the subjects of its replies */
	char name[32 + KPOST_NAME_MAX]; /* "export orders" */
	enum route_state state;
	char why[200]; /* it is in that state */
	uint64_t since;
	int fd; /* the mailbox */
	/* The mailbox that says who has this route; or while another has it, the way to that. */
	int lock;
	struct event *readable, *lock_gone, *timer;
	bool touched; /* there is something to do after this round of the loop */
	struct route *next_touched;
	struct counts counts;
	uint64_t unacked; /* as the kind counts it */
	const char *id_header; /* what says which message one is, by its stream */
	uint64_t stream_messages, stream_limit; /* how full the stream is, as it was seen last */
	char error[200];
	uint64_t error_time; /* CLOCK_REALTIME, in nanoseconds */
};

struct route_ops {
	const char *kind;
	struct route *(*make)(void);
	unsigned int rights; /* of its endpoint */
	/* It has its lock and its mailbox, there is a connection, and its stream will do. */
	void (*start)(struct route *route, json_t *info);
	/* What it has for its mailbox is given back: that is gone. */
	void (*forget)(struct route *route);
	/* The connection has gone, or is there again. */
	void (*link_changed)(struct route *route, bool up);
	/*
	 * Something came for it: by its inbox (@what is what follows its number), or else (NULL).
	 * Returns whether it keeps it.
	 */
	bool (*message)(struct route *route, natsMsg *message, const char *what);
	void (*nobody)(struct route *route); /* has taken something that it had published */
	void (*readable)(struct route *route); /* the mailbox, or its end */
	void (*timer)(struct route *route);
	void (*pump)(struct route *route); /* once in each round in which it was touched */
	uint64_t (*oldest)(const struct route *route); /* of what is under way, its time, or 0 */
};

extern const struct route_ops export_ops, import_ops, call_out_ops, call_in_ops;

struct route *route_new(struct bridge *bridge, const struct route_config *config,
			unsigned int index);
/* Takes the lock and the mailbox; or stands by. */
void route_begin(struct route *route);
/* Asks for its stream, and starts it if that will do. */
void route_check_stream(struct route *route);
/* Goes into a state, and logs that, if it is another. */
__attribute__((format(printf, 3, 4))) void route_state(struct route *route, enum route_state state,
						       const char *why, ...);
/* Notes what went wrong, for the status; logged if it is not what was noted last. */
__attribute__((format(printf, 2, 3))) void route_error(struct route *route, const char *why, ...);
void route_touch(struct route *route);
void route_timer(struct route *route, uint64_t nanoseconds); /* 0: none */
void route_watch(struct route *route, bool readable);
/* Its mailbox has gone: all of it is given up, and begun anew. */
void route_anew(struct route *route, const char *why);
/* For one message of the route, until the next call: all routes share it. */
void *route_buffer(const struct route *route);
/* What that, or a lock, means. */
const char *mailbox_fault(int err);
/*
 * Publishes a message that came by the subject @origin, less what does not fit, as a dead letter;
 * once, by its @id.  A reply comes to @reply.
 */
natsStatus route_put_aside(struct route *route, const char *origin, const char *id,
			   const void *data, size_t size, const char *reason, const char *reply);
const char *state_name(enum route_state state);

/* ---- headers.c: what a message says beside its payload ---------------------- */

/* Who sent it, as its machine knows that. */
struct sender {
	uint32_t pid, uid, gid, opener_uid, opener_gid;
	uint64_t badge;
};

/* @before, of less than 240 characters, and behind that @number. */
#define NUMBERED_MAX 261
const char *numbered(char text[NUMBERED_MAX], const char *before, uint64_t number);
natsStatus header_set_number(natsMsg *message, const char *name, uint64_t number);
uint64_t header_number(natsMsg *message, const char *name, uint64_t otherwise);
/* What messages and requests have in common. */
natsStatus headers_set(natsMsg *message, unsigned int priority, uint64_t tag,
		       const struct sender *sender);
/* False, and *@sender is undefined, if it does not say that as headers_set() does. */
bool header_sender(natsMsg *message, struct sender *sender);

/* ---- origin.c: other machines ---------------------------------------------- */

/* What comes from one machine goes through an endpoint of its own, with its badge. */
struct origin {
	char *machine;
	uint64_t badge;
	int fd;
	struct seen *seen; /* what has come from its mailboxes, see seen.c */
	struct event *ready;
	struct origin *next;
};

/* The machine that a subject is of: its second token.  Whether there is one that fits. */
bool origin_machine(const char *subject, char *machine, size_t size);
/*
 * That of the machine which a subject is of; NULL with @error -EACCES, and that is noted, if it
 * has no badge; or with another where it cannot be had now.  With @what (EV_*) @ready is called
 * for it with the route, once it is added.
 */
struct origin *origin_get(struct origin **origins, struct route *route, const char *subject,
			  short what, event_callback_fn ready, int *error);
void origins_free(struct origin **origins);
/* All but identity, sequence and stored, which are 0. */
void envelope_fill(struct kpost_envelope *envelope, const struct origin *origin, natsMsg *message);

/* ---- seen.c: what has come already ---------------------------------------- */

/* @id is that of a message, as an export gives it: "identity.sequence"; false if it is none. */
bool seen_parse(const char *id, uint64_t *identity, uint64_t *sequence);
bool seen_has(const struct seen *seen, uint64_t sequence);
void seen_note(struct seen *seen, uint64_t sequence);
/* The mailbox where that of a route is kept, or -errno. */
int seen_open(const char *mailbox);
/*
 * What has come from the mailbox @identity of a machine to the one here whose identity is @target,
 * until the next call; without @memory (< 0) what this process knows.
 */
struct seen *seen_get(struct origin *origin, uint64_t identity, int memory, uint64_t target);
void seen_free(struct origin *origin);
/* Returns 0 or -errno. */
int seen_save(int memory, const struct seen *seen);
/*
 * For what else is kept there, in place of what has the same tag.  Where there is no room the
 * oldest of the highest priority goes.  Returns 0 or -errno.
 */
uint64_t seen_tag(const char *of, uint64_t identity);
int seen_put(int memory, uint64_t tag, unsigned int priority, const void *record, size_t size);

/* ---- status.c: seen from outside ------------------------------------------- */

void status_begin(struct bridge *bridge);
json_t *status_json(struct bridge *bridge);
/* kpost-bridge status: returns the exit status. */
int status_ask(bool json, const char *route);

/* ---- main.c ---------------------------------------------------------------- */

struct bridge {
	struct config config;
	struct event_base *base;
	struct link *streams, *calls;
	struct route **routes;
	unsigned int routes_count;
	struct route *touched;
	struct route **by_consumer; /* the imports, sorted */
	unsigned int imports_count;
	uint64_t begun;
};

/* Nobody has taken something that a route, or NULL, had published. */
void bridge_nobody(struct route *route);
/* What came in by a link: for @route, or for who the subject says. */
void bridge_take(struct bridge *bridge, struct link *link, struct route *route, natsMsg *message);
void bridge_link_changed(struct bridge *bridge, struct link *link, bool up);
/* There is room again where there was none, see link_full(). */
void bridge_link_room(struct bridge *bridge, const struct link *link);
/* A route was refused: if all are when the bridge begins, that ends it. */
void bridge_refused(struct bridge *bridge);
/* After a round: what was touched goes on. */
void bridge_pump(struct bridge *bridge);
uint64_t now(void); /* CLOCK_MONOTONIC, in nanoseconds */
uint64_t real_time(void); /* CLOCK_REALTIME, likewise */
uint64_t left_ms(uint64_t until); /* until that, by now(), but no less than 1 */

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
__attribute__((format(printf, 2, 3), noreturn)) void fail(int status, const char *format, ...);
void *make(size_t size); /* zeroed; ends the program where there is no memory */
void discard(natsMsg *message); /* destroys it, soon */
void printable(char *line); /* others' words: what is no plain letter is made '?' */
__attribute__((format(printf, 1, 2))) char *text(const char *format, ...);

#endif
