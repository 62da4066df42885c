// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seen from outside: who calls the mailbox kpost-bridge gets what all routes do, as JSON.
 */
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "bridge.h"

#define STATUS_MAILBOX "kpost-bridge"
#define STATUS_MAX (8 << 20)

static int status_fd = -1;
static struct event *asked, *retry;

/* ---- the one that answers -------------------------------------------------- */

static json_t *route_json(const struct route *route)
{
	const struct counts *counts = &route->counts;
	uint64_t at = now(), oldest = route->ops->oldest(route);
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{ "seconds", (at - route->since) / SECOND },
		{ "in", counts->in },
		{ "out", counts->out },
		{ "unacknowledged", route->unacked },
		{ "resent", counts->resent },
		{ "duplicates", counts->duplicates },
		{ "late", counts->late },
		{ "aside", counts->aside },
		{ "refused", counts->refused },
		{ "looped", counts->looped },
		{ "anew", counts->anew },
		{ "missed", counts->missed },
	};
	json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "route", route->name, "subject",
				 route->config->subject, "state", state_name(route->state), "why",
				 route->why);

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_object_set_new(json, numbers[i].name, json_integer(numbers[i].value));
	json_object_set_new(json, "oldest_ms", json_integer(oldest ? (at - oldest) / MS : 0));
	if (route->config->stream) {
		json_object_set_new(json, "stream", json_string(route->config->stream));
		json_object_set_new(json, "stream_messages", json_integer(route->stream_messages));
		json_object_set_new(json, "stream_limit", json_integer(route->stream_limit));
	}
	if (route->error_time) {
		json_object_set_new(json, "last_error", json_string(route->error));
		json_object_set_new(json, "last_error_time",
				    json_integer(route->error_time / SECOND));
	}
	return json;
}

static json_t *link_json(struct link *link)
{
	char error[200];

	link_error(link, error, sizeof(error));
	return json_pack("{s:b, s:I, s:s}", "connected", link_up(link), "reconnects",
			 (json_int_t)(link_ups(link) ? link_ups(link) - 1 : 0), "last_error",
			 error);
}

json_t *status_json(struct bridge *bridge)
{
	json_t *routes = json_array();

	for (unsigned int i = 0; i < bridge->routes_count; i++)
		json_array_append_new(routes, route_json(bridge->routes[i]));
	return json_pack("{s:s, s:I, s:i, s:o, s:o, s:o}", "machine", bridge->config.machine,
			 "uptime", (json_int_t)((now() - bridge->begun) / SECOND), "pid",
			 (int)getpid(), "streams", link_json(bridge->streams), "calls",
			 link_json(bridge->calls), "routes", routes);
}

static void begin(struct bridge *bridge);

static void on_asked(evutil_socket_t fd, short what, void *data)
{
	struct kpost_message message;
	char question[256];
	ssize_t size = -EAGAIN;

	/* Who asks without end waits for the next round of the loop, as all do. */
	for (int i = 0; i < 4; i++) {
		json_t *json;
		char *whole;

		size = kpost_recv(fd, question, sizeof(question), &message,
				  KPOST_DONTWAIT | KPOST_TRUNCATE, 0);
		if (size < 0)
			break;
		if (!(message.flags & KPOST_MESSAGE_CALL))
			continue;
		json = status_json(data);
		whole = json ? json_dumps(json, JSON_COMPACT) : NULL;
		if (!whole || kpost_reply(fd, message.token, whole, strlen(whole)))
			kpost_drop(fd, message.token);
		free(whole);
		json_decref(json);
	}
	if (size < 0 && size != -EAGAIN) {
		/* It was removed, or shut. */
		event_free(asked);
		kpost_close(fd);
		begin(data);
	}
}

/* One that stands by is asked once the other has gone. */
static void begin(struct bridge *bridge)
{
	static const struct timeval second = { 1, 0 };
	struct kpost_attr attr = {
		.mode = 0622,
		.messages = 16,
		.bytes = 4096,
		.message_max = 256,
	};

	status_fd = kpost_open(STATUS_MAILBOX, KPOST_RIGHT_RECV,
			       KPOST_OPEN_CREATE | KPOST_OPEN_EXCL | KPOST_OPEN_NONBLOCK, &attr, 0);
	if (status_fd < 0) {
		evtimer_add(retry, &second);
		return;
	}
	asked = event_new(bridge->base, status_fd, EV_READ | EV_PERSIST, on_asked, bridge);
	event_add(asked, NULL);
}

static void on_retry(evutil_socket_t fd, short what, void *data)
{
	begin(data);
}

void status_begin(struct bridge *bridge)
{
	retry = evtimer_new(bridge->base, on_retry, bridge);
	begin(bridge);
}

/* ---- the one that asks ----------------------------------------------------- */

/* Anybody may take a name that is free: who answers has to be root, oneself, or the service. */
static bool is_trusted(int fd)
{
	struct passwd *service = getpwnam("kpost-bridge");
	struct kpost_stat st;
	int ret = kpost_stat(fd, &st);

	return !ret && (!st.uid || st.uid == geteuid() || (service && st.uid == service->pw_uid));
}

static void print_route(json_t *route)
{
	static const char *const counts[] = { "in",	    "out",  "unacknowledged", "resent",
					      "duplicates", "late", "aside",	      "refused",
					      "looped",	    "anew", "missed" };
	const char *why = json_string_value(json_object_get(route, "why"));
	const char *error = json_string_value(json_object_get(route, "last_error"));
	json_int_t most = json_integer_value(json_object_get(route, "stream_limit"));
	json_int_t oldest = json_integer_value(json_object_get(route, "oldest_ms"));

	printf("%s: %s%s%s\n ", json_string_value(json_object_get(route, "route")),
	       json_string_value(json_object_get(route, "state")), why && why[0] ? ": " : "",
	       why ?: "");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		json_int_t count = json_integer_value(json_object_get(route, counts[i]));

		if (count || i < 2)
			printf(" %s %lld", counts[i], (long long)count);
	}
	if (oldest)
		printf(", the oldest since %lld ms", (long long)oldest);
	if (most)
		printf(", the stream has %lld of %lld",
		       (long long)json_integer_value(json_object_get(route, "stream_messages")),
		       (long long)most);
	printf("\n");
	if (error)
		printf("  last error: %s\n", error);
}

int status_ask(bool as_json, const char *which)
{
	int fd = kpost_open(STATUS_MAILBOX, KPOST_RIGHT_SEND, 0, NULL, 0);
	char *answer = make(STATUS_MAX);
	json_t *json, *route;
	ssize_t size;
	size_t i;
	bool found = false;

	if (fd < 0) {
		say("mailbox %s: %s", STATUS_MAILBOX,
		    fd == -ENOENT ? "no bridge runs here" : strerror(-fd));
		return EXIT_FAILURE;
	}
	if (!is_trusted(fd)) {
		say("mailbox %s is of a user that no bridge runs as: it is not asked",
		    STATUS_MAILBOX);
		return EXIT_FAILURE;
	}
	size = kpost_call(fd, "", 0, answer, STATUS_MAX, kpost_deadline(5000));
	json = size < 0 ? NULL : json_loadb(answer, size, 0, NULL);
	if (!json) {
		say("the bridge does not answer: %s", size < 0 ? strerror(-size) : "no JSON");
		return EXIT_FAILURE;
	}
	if (as_json && !which) {
		json_dumpf(json, stdout, JSON_INDENT(2));
		printf("\n");
		return EXIT_SUCCESS;
	}
	json_array_foreach(json_object_get(json, "routes"), i, route)
	{
		const char *name = json_string_value(json_object_get(route, "route"));

		if (which && (!name || strcmp(name, which)))
			continue;
		found = true;
		if (as_json) {
			json_dumpf(route, stdout, JSON_INDENT(2));
			printf("\n");
		} else {
			print_route(route);
		}
	}
	if (which && !found) {
		say("there is no route %s", which);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
