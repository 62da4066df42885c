// SPDX-License-Identifier: GPL-2.0-only
/*
 * The consumer of an import: JetStream's side of it, which is made anew after each fault.
 *
 * Messages are pulled by hand, a request at a time, since the library's own function for that
 * overruns its list in the version that Debian 12 has.
 */
#include <inttypes.h>

#include "import.h"

#define PULL_MOST (8 * SECOND) /* of one that is idle */
#define LOOK (30 * SECOND) /* without a message, whether there is one */
#define SLACK (1500 * MS) /* after which its end should have been told */
#define EARLY (50 * MS) /* a timer can be so much: its clock is coarse */

static char *consumer_subject(const struct import *import, const char *what)
{
	const struct route_config *config = import->route.config;

	return text("$JS.API.CONSUMER.%s.%s.%s", what, config->stream, config->consumer);
}

void consumer_later(struct import *import)
{
	import->backoff = import->backoff ? 2 * import->backoff : 100 * MS;
	if (import->backoff > 5 * SECOND)
		import->backoff = 5 * SECOND;
	import->phase = DOWN;
	if (import->route.state == STATE_RUNNING)
		route_state(&import->route, STATE_WAITING, "consumer %s is made anew",
			    import->route.config->consumer);
	route_timer(&import->route, import->backoff);
}

void consumer_pull(struct import *import)
{
	struct route *route = &import->route;
	uint64_t window = route->config->window, queued = import->tail - import->head;
	char *subject, *reply, *body;
	natsStatus status;
	uint64_t wanted;

	if (queued + import->asked > window / 2)
		return;
	wanted = window - queued - import->asked;
	subject = consumer_subject(import, "MSG.NEXT");
	/* With the consumer's number, since what is said of the one before can come later. */
	reply = text("%s.r.%u.%" PRIu64 ".%" PRIu64, link_inbox(route->bridge->streams),
		     route->index, route->counts.anew, wanted);
	body = text("{\"batch\":%" PRIu64 ",\"expires\":%" PRIu64 "}", wanted, import->pull);
	status = link_publish_text(route->bridge->streams, subject, reply, body);
	if (status == NATS_OK)
		import->asked += wanted;
	import->heard = now();
	consumer_watch(import);
	free(subject);
	free(reply);
	free(body);
}

static void consumer_made(struct route *route, json_t *answer, const char *error, int code)
{
	struct import *import = import_of(route);

	if (import->phase != MAKING)
		return;
	if (!answer || error[0]) {
		route_state(route, STATE_WAITING, "consumer %s: %s", route->config->consumer,
			    error);
		consumer_later(import);
		return;
	}
	if (import->behind && !json_integer_value(json_object_get(answer, "num_pending"))) {
		consumer_from_begin(import);
		return;
	}
	import->phase = PULLING;
	import->pull = PULL_LEAST;
	import->alive = now();
	route_state(route, STATE_RUNNING, "%s", "");
	consumer_pull(import);
}

/*
 * All that is kept before @done is in the mailbox, since all of it comes in order.  That one comes
 * once more: if it does not, the stream was set back, and what is before it may be new.
 */
static void start_with(json_t *request, uint64_t done)
{
	json_t *config = json_object_get(request, "config");

	json_object_set_new(config, "deliver_policy", json_string("by_start_sequence"));
	json_object_set_new(config, "opt_start_seq", json_integer((json_int_t)done));
}

static void consumer_deleted(struct route *route, json_t *answer, const char *error, int code)
{
	struct import *import = import_of(route);
	const struct route_config *config = route->config;
	char *subject, *body;
	json_t *json;

	if (import->phase != DELETING)
		return;
	if (!answer || (error[0] && code != 10014)) { /* 10014: there is none */
		route_state(route, STATE_WAITING, "consumer %s: %s", config->consumer, error);
		consumer_later(import);
		return;
	}
	json = json_pack("{s:s, s:{s:s, s:s, s:s, s:I, s:i, s:I, s:s, s:s}}", "stream_name",
			 config->stream, "config", "durable_name", config->consumer,
			 "deliver_policy", "all", "ack_policy", "explicit", "ack_wait",
			 (json_int_t)ACK_WAIT, "max_deliver", -1, "max_ack_pending",
			 (json_int_t)ring_size(import), "filter_subject", config->subject,
			 "replay_policy", "instant");
	import->behind = import->keeps && import->done;
	if (json && import->behind)
		start_with(json, import->done);
	body = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (!body)
		fail(EXIT_FAILURE, "out of memory");
	subject = consumer_subject(import, "DURABLE.CREATE");
	import->phase = MAKING;
	api_request(route, subject, body, consumer_made);
	json_decref(json);
	free(body);
	free(subject);
}

void consumer_anew(struct import *import)
{
	char *subject = consumer_subject(import, "DELETE");

	import_forget(import);
	import->progress = false;
	route_timer(&import->route, 0);
	import->phase = DELETING;
	import->route.counts.anew++;
	api_request(&import->route, subject, "", consumer_deleted);
	free(subject);
}

void consumer_from_begin(struct import *import)
{
	import->done = 0;
	consumer_anew(import);
}

void consumer_start_over(struct import *import)
{
	if (import->progress) {
		consumer_anew(import);
		return;
	}
	import_forget(import);
	consumer_later(import);
}

static void looked(struct route *route, json_t *answer, const char *error, int code)
{
	json_t *subjects = json_object_get(json_object_get(answer, "state"), "subjects"), *count;
	struct import *import = import_of(route);
	json_int_t all = 0;
	const char *subject;

	if (import->phase != PULLING || import->given > import->looked)
		return;
	json_object_foreach(subjects, subject, count) all += json_integer_value(count);
	if (!all)
		return;
	route_error(route, "consumer %s does not give what stream %s has: it is made anew",
		    route->config->consumer, route->config->stream);
	consumer_anew(import);
}

/*
 * A consumer whose leader has a replica that is no longer like the others gives nothing of what
 * they have, and calls that all (nats-server 2.9, which is killed with much under way).  Another
 * may have another leader.  Only of a work queue it can be told: what is given is no longer there.
 */
static void look(struct import *import)
{
	const struct route_config *config = import->route.config;
	char *subject = text("$JS.API.STREAM.INFO.%s", config->stream);
	json_t *json = json_pack("{s:s}", "subjects_filter", config->subject);
	char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (!body)
		fail(EXIT_FAILURE, "out of memory");
	import->looked = now();
	api_request(&import->route, subject, body, looked);
	json_decref(json);
	free(subject);
	free(body);
}

void consumer_said(struct import *import, natsMsg *message, const char *wanted)
{
	const char *status = "", *left;
	char *end;
	uint64_t number = strtoull(wanted, &end, 10), unused;

	if (import->phase != PULLING || number != import->route.counts.anew || *end != '.')
		return;
	unused = strtoull(end + 1, NULL, 10);
	import->heard = now();
	if (natsMsgHeader_Get(message, "Status", &status) != NATS_OK &&
	    !natsMsg_IsNoResponders(message))
		return;
	if (natsMsgHeader_Get(message, "Nats-Pending-Messages", &left) == NATS_OK)
		unused = strtoull(left, NULL, 10);
	import->asked -= unused < import->asked ? unused : import->asked;
	if (natsMsg_IsNoResponders(message) || !strcmp(status, "409")) {
		/* The consumer is gone, or its leader is. */
		consumer_start_over(import);
		return;
	}
	if (!import->keeps && import->head == import->tail &&
	    import->heard - import->given > LOOK && import->heard - import->looked > LOOK)
		look(import);
	if (import->pull < PULL_MOST)
		import->pull *= 2;
	if (import->pull > PULL_MOST)
		import->pull = PULL_MOST;
	route_touch(&import->route);
}

void consumer_watch(struct import *import)
{
	route_timer(&import->route, import->pull + SLACK + EARLY);
}

bool consumer_is_silent(const struct import *import)
{
	return import->asked && now() - import->heard > import->pull + SLACK;
}
