// SPDX-License-Identifier: GPL-2.0-only
/* kpost-bridge: its arguments, its loop, and who gets what comes in. */
#include <argp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "bridge.h"

#ifndef KPOST_VERSION /* the Makefile knows it */
#define KPOST_VERSION "unknown"
#endif

/* ---- what all use ---------------------------------------------------------- */

static uint64_t now_by(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

uint64_t now(void)
{
	return now_by(CLOCK_MONOTONIC);
}

uint64_t real_time(void)
{
	return now_by(CLOCK_REALTIME);
}

uint64_t left_ms(uint64_t until)
{
	uint64_t at = now();

	return until > at + MS ? (until - at) / MS : 1;
}

__attribute__((format(printf, 1, 0))) static void say_all(const char *format, va_list args)
{
	char line[600];

	vsnprintf(line, sizeof(line), format, args);
	printable(line);
	fprintf(stderr, "kpost-bridge: %s\n", line);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_all(format, args);
	va_end(args);
}

void printable(char *line)
{
	for (; *line; line++)
		if (*line < ' ' || *line > '~')
			*line = '?';
}

void fail(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_all(format, args);
	va_end(args);
	/* The library's threads may be anywhere: nothing of theirs is taken down. */
	fflush(NULL);
	_Exit(status);
}

void *make(size_t size)
{
	void *made = calloc(1, size);

	if (!made)
		fail(EX_OSERR, "out of memory");
	return made;
}

char *text(const char *format, ...)
{
	va_list args;
	char *made;

	va_start(args, format);
	if (vasprintf(&made, format, args) < 0)
		fail(EX_OSERR, "out of memory");
	va_end(args);
	return made;
}

/* ---- what comes in --------------------------------------------------------- */

/* stream.consumer, which the subject of an acknowledgment has. */
static int by_consumer(const char *stream, size_t stream_length, const char *consumer,
		       size_t consumer_length, const struct route *route)
{
	const struct route_config *config = route->config;
	int ret = strncmp(stream, config->stream, stream_length) ?:
			  -(int)config->stream[stream_length];

	return ret							    ?:
		       strncmp(consumer, config->consumer, consumer_length) ?:
		       -(int)config->consumer[consumer_length];
}

static int consumer_order(const void *one, const void *other)
{
	const struct route_config *a = (*(struct route *const *)one)->config;
	const struct route_config *b = (*(struct route *const *)other)->config;

	return strcmp(a->stream, b->stream) ?: strcmp(a->consumer, b->consumer);
}

/* Whose is a message that was pulled?  It comes by the subject that it was published to. */
static struct route *route_of(const struct bridge *bridge, const char *reply)
{
	unsigned int low = 0, high = bridge->imports_count, tokens = 0;
	const char *stream, *consumer, *end;

	if (!reply || strncmp(reply, "$JS.ACK.", 8))
		return NULL;
	for (const char *at = reply; (at = strchr(at, '.')); at++)
		tokens++;
	stream = reply + 8;
	for (int skip = tokens > 8 ? 2 : 0; skip && stream; skip--)
		stream = strchr(stream, '.') ? strchr(stream, '.') + 1 : NULL;
	consumer = stream ? strchr(stream, '.') : NULL;
	end = consumer ? strchr(++consumer, '.') : NULL;
	if (!end)
		return NULL;
	while (low < high) {
		unsigned int middle = (low + high) / 2;
		int order = by_consumer(stream, consumer - 1 - stream, consumer, end - consumer,
					bridge->by_consumer[middle]);

		if (!order)
			return bridge->by_consumer[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static struct link *link_of(const struct route *route)
{
	return route->config->stream ? route->bridge->streams : route->bridge->calls;
}

/*
 * The library frees messages in a thread of its own, which it wakes for each that comes while that
 * sleeps, and the two are in each other's way while both run.  So many come to it at once.
 */
#define LARGE 4096 /* bytes */

static natsMsg *discarded[512];
static unsigned int discarded_count;

static void free_discarded(void)
{
	while (discarded_count)
		natsMsg_Destroy(discarded[--discarded_count]);
}

void discard(natsMsg *message)
{
	/* It costs little beside what a large one does; and its memory is wanted. */
	if (natsMsg_GetDataLength(message) > LARGE) {
		natsMsg_Destroy(message);
		return;
	}
	if (discarded_count == sizeof(discarded) / sizeof(discarded[0]))
		free_discarded();
	discarded[discarded_count++] = message;
}

void bridge_take(struct bridge *bridge, struct link *link, struct route *route, natsMsg *message)
{
	const char *subject = natsMsg_GetSubject(message), *what = NULL, *rest;
	bool kept = false;
	char *end;

	rest = link_for_here(link, subject);
	if (rest && !strncmp(rest, "a.", 2) && link == bridge->streams) {
		api_answered(bridge, strtoul(rest + 2, NULL, 10), message);
	} else if (rest && !strncmp(rest, "r.", 2)) {
		unsigned long number = strtoul(rest + 2, &end, 10);

		/* The far side of calls is told of their inbox, and of no other. */
		if (number < bridge->routes_count && *end == '.' &&
		    link == link_of(bridge->routes[number])) {
			route = bridge->routes[number];
			what = end + 1;
		}
	} else if (!rest && !route && link == bridge->streams) {
		route = route_of(bridge, natsMsg_GetReply(message));
	}
	if (route)
		kept = route->ops->message(route, message, what);
	if (!kept)
		discard(message);
}

void bridge_nobody(struct route *route)
{
	/* A message of a stranger can look like that: then it is none. */
	if (route && route->ops->nobody)
		route->ops->nobody(route);
}

void bridge_link_changed(struct bridge *bridge, struct link *link, bool up)
{
	for (unsigned int i = 0; i < bridge->routes_count; i++) {
		struct route *route = bridge->routes[i];

		if (route->fd >= 0 && link == link_of(route))
			route->ops->link_changed(route, up);
	}
	sd_notifyf(0, "STATUS=%s to NATS", up ? "Connected" : "Not connected");
}

void bridge_link_room(struct bridge *bridge, const struct link *link)
{
	for (unsigned int i = 0; i < bridge->routes_count; i++)
		if (link == link_of(bridge->routes[i]))
			route_touch(bridge->routes[i]);
}

void bridge_pump(struct bridge *bridge)
{
	struct route *route;

	while ((route = bridge->touched)) {
		bridge->touched = route->next_touched;
		route->touched = false;
		route->ops->pump(route);
	}
}

/* ---- beginning and end ----------------------------------------------------- */

static bool is_new = true; /* no route has run yet */

/*
 * Streams are the administrator's.  What has another's lock or mailbox is looked at again: a local
 * user, who can take a name, could else keep a bridge from being started ever again.
 */
void bridge_refused(struct bridge *bridge)
{
	bool all = true;

	for (unsigned int i = 0; is_new && i < bridge->routes_count; i++) {
		const struct route *route = bridge->routes[i];
		bool refused = route->state == STATE_REFUSED && route->fd >= 0;

		is_new = refused || route->state == STATE_STARTING;
		all &= refused;
	}
	if (is_new && all)
		fail(EX_CONFIG, "no route can be begun");
}

static void on_second(evutil_socket_t fd, short what, void *data)
{
	struct bridge *bridge = data;

	link_watch(bridge->streams);
	link_watch(bridge->calls);
	free_discarded();
	api_expire(bridge, now());
	bridge_pump(bridge);
}

static void on_signal(evutil_socket_t fd, short what, void *data)
{
	struct bridge *bridge = data;

	event_base_loopbreak(bridge->base);
}

static void begin_routes(struct bridge *bridge)
{
	struct route_config *config = bridge->config.routes;

	bridge->routes = make(bridge->config.routes_count * sizeof(bridge->routes[0]));
	bridge->by_consumer = make(bridge->config.routes_count * sizeof(bridge->routes[0]));
	for (; config; config = config->next) {
		unsigned int index = bridge->routes_count++;
		struct route *route = route_new(bridge, config, index);

		bridge->routes[index] = route;
		if (config->kind == ROUTE_IMPORT)
			bridge->by_consumer[bridge->imports_count++] = route;
	}
	qsort(bridge->by_consumer, bridge->imports_count, sizeof(bridge->by_consumer[0]),
	      consumer_order);
	for (unsigned int i = 0; i < bridge->routes_count; i++)
		route_begin(bridge->routes[i]);
	bridge_refused(bridge);
}

/* A route has two files open, and one more for each machine that it hears of. */
static void lift_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int run(struct bridge *bridge)
{
	static const struct timeval second = { 1, 0 };
	struct event_config *config = event_config_new();
	struct event *every;

	lift_limit();
	event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
	bridge->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!bridge->base)
		fail(EX_OSERR, "the event loop: %s", strerror(errno));
	bridge->begun = now();
	nats_Open(-1);
	bridge->streams = link_new(bridge, "streams");
	bridge->calls = link_new(bridge, "calls");
	begin_routes(bridge);
	link_begin(bridge->streams);
	link_begin(bridge->calls);
	status_begin(bridge);
	every = event_new(bridge->base, -1, EV_PERSIST, on_second, bridge);
	event_add(every, &second);
	event_add(evsignal_new(bridge->base, SIGTERM, on_signal, bridge), NULL);
	event_add(evsignal_new(bridge->base, SIGINT, on_signal, bridge), NULL);
	signal(SIGPIPE, SIG_IGN);
	sd_notify(0, "READY=1");
	bridge_pump(bridge);
	event_base_dispatch(bridge->base);
	sd_notify(0, "STOPPING=1");
	say("ends: what is held goes back to its mailboxes");
	/* As by any other end: what is under way comes again. */
	fflush(NULL);
	_Exit(EXIT_SUCCESS);
}

/* ---- arguments ------------------------------------------------------------- */

enum { CHECK = 1000, SETUP, JSON };

struct arguments {
	bool check, setup, json;
	const char *words[2];
	unsigned int count;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case CHECK:
		arguments->check = true;
		return 0;
	case SETUP:
		arguments->setup = true;
		return 0;
	case JSON:
		arguments->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->count == 2)
			argp_usage(state);
		arguments->words[arguments->count++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->count || (arguments->check && arguments->setup))
			argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "check", CHECK, NULL, 0, "say what is wrong with the routes, and end", 0 },
		{ "setup", SETUP, NULL, 0, "make the streams that the file describes, and end", 0 },
		{ "json", JSON, NULL, 0, "with status: as JSON", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "FILE\nstatus [ROUTE]",
		.doc = "Joins mailboxes of several machines through NATS with JetStream.\v"
		       "The file is described in kpost-bridge(8).",
	};
	static struct bridge bridge;
	struct arguments arguments = { 0 };

	argp_program_version = "kpost-bridge " KPOST_VERSION;
	argp_err_exit_status = EX_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	umask(0);
	if (!strcmp(arguments.words[0], "status"))
		return status_ask(arguments.json, arguments.words[1]);
	if (arguments.count > 1 || arguments.json)
		fail(EX_USAGE, "one file is wanted; see --help");
	config_read(&bridge.config, arguments.words[0]);
	if (arguments.check)
		return streams_check(&bridge.config);
	if (arguments.setup)
		return streams_setup(&bridge.config);
	if (!bridge.config.routes)
		fail(EX_CONFIG, "%s: there is no route in it", bridge.config.file);
	return run(&bridge);
}
