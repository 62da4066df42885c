// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests to JetStream, which answers with JSON: those of routes, in the loop, and those of
 * --check and --setup, which wait.  The library's own functions for these wait too, so that one
 * stream whose leader is just elected would hold up all routes.
 */
#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"

#define ANSWER_TIME (3 * SECOND)

/* ---- in the loop ----------------------------------------------------------- */

struct request {
	unsigned long number;
	struct route *route;
	api_done *done;
	uint64_t until;
	struct request *next;
};

static struct request *requests; /* the oldest last */
static unsigned long last_number;

/* Of an answer; "" if there is no error in it. */
static const char *answer_error(json_t *answer, int *code)
{
	json_t *error = json_object_get(answer, "error");
	const char *what = json_string_value(json_object_get(error, "description"));

	*code = json_integer_value(json_object_get(error, "err_code"));
	return error ? what ?: "an error without a description" : "";
}

static void finish(struct request *request, json_t *answer, const char *error, int code)
{
	request->done(request->route, answer, error, code);
	free(request);
}

void api_request(struct route *route, const char *subject, const char *body, api_done *done)
{
	struct request *request = make(sizeof(*request));
	char *reply = text("%s.a.%lu", link_inbox(route->bridge->streams), ++last_number);

	*request = (struct request){
		.number = last_number,
		.route = route,
		.done = done,
		.until = now() + ANSWER_TIME,
		.next = requests,
	};
	requests = request;
	/* One that cannot be sent is one without an answer. */
	link_publish_text(route->bridge->streams, subject, reply, body);
	free(reply);
}

void api_answered(struct bridge *bridge, unsigned long number, natsMsg *message)
{
	struct request **place, *request;
	json_t *answer;
	const char *error;
	int code = 0;

	for (place = &requests; *place && (*place)->number != number; place = &(*place)->next)
		;
	request = *place;
	if (!request)
		return;
	*place = request->next;
	if (natsMsg_IsNoResponders(message)) {
		finish(request, NULL,
		       "JetStream does not answer: it is not there, or without a leader", 503);
		return;
	}
	answer = json_loadb(natsMsg_GetData(message), natsMsg_GetDataLength(message), 0, NULL);
	error = answer ? answer_error(answer, &code) : "the answer is no JSON";
	finish(request, answer, error, code);
	json_decref(answer);
}

void api_expire(struct bridge *bridge, uint64_t at)
{
	struct request **place = &requests, *request, *over = NULL;

	while ((request = *place)) {
		if (request->until > at) {
			place = &request->next;
			continue;
		}
		*place = request->next;
		request->next = over;
		over = request;
	}
	/* What is done about them may ask again. */
	while ((request = over)) {
		over = request->next;
		finish(request, NULL, "no answer from JetStream, see the rights of this user", 0);
	}
}

/* ---- streams --------------------------------------------------------------- */

static json_int_t setting(json_t *info, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(info, "config"), name));
}

static const char *setting_text(json_t *info, const char *name)
{
	return json_string_value(json_object_get(json_object_get(info, "config"), name)) ?: "";
}

/* Anything that loses messages which were accepted is a fault. */
char *stream_fault(const struct route_config *config, json_t *info, uint64_t payload_max)
{
	json_int_t message_max = setting(info, "max_msg_size");
	uint64_t needed = config->message_max + HEADERS_MAX;

	if (strcmp(setting_text(info, "discard"), "new"))
		return text("stream %s discards old messages when it is full, which were accepted: "
			    "make it discard new ones",
			    config->stream);
	if (setting(info, "max_age"))
		return text("stream %s drops messages after a time (max_age), which were accepted: "
			    "set it to 0",
			    config->stream);
	if (setting(info, "max_msgs_per_subject") > 0)
		return text("stream %s has a limit for each subject (max_msgs_per_subject), and "
			    "may discard old messages for it: set it to -1",
			    config->stream);
	if (!strcmp(setting_text(info, "retention"), "interest"))
		return text("stream %s keeps messages by interest, and drops what comes while an "
			    "import makes its consumer anew: make it a work queue",
			    config->stream);
	if (config->kind == ROUTE_IMPORT)
		return NULL;
	if ((uint64_t)setting(info, "duplicate_window") < config->duplicate_window)
		return text("stream %s knows duplicates for %lld s only, wanted are %llu s "
			    "(duplicate_window): what is sent again later would be doubled",
			    config->stream,
			    (long long)setting(info, "duplicate_window") / 1000000000,
			    (unsigned long long)(config->duplicate_window / SECOND));
	if (payload_max && payload_max < needed)
		return text("the server takes messages of up to %llu bytes (max_payload), "
			    "message-max and headers need %llu",
			    (unsigned long long)payload_max, (unsigned long long)needed);
	if (message_max > 0 && (uint64_t)message_max < needed)
		return text("stream %s takes messages of up to %lld bytes (max_msg_size), "
			    "message-max and headers need %llu",
			    config->stream, (long long)message_max, (unsigned long long)needed);
	return NULL;
}

/*
 * By Nats-Msg-Id JetStream knows duplicates.  Where it has replicas it must not: each looks for
 * itself among the ids that it has, which are fewer after it was restarted; counts what it leaves
 * out; and reckons by that count which messages it lacks.  So with 2.9 they come to differ, and
 * with the next leader messages are lost, or doubled.  Imports know them all the same.
 */
const char *stream_id_header(json_t *info)
{
	return setting(info, "num_replicas") > 1 ? "Kpost-Id" : "Nats-Msg-Id";
}

uint64_t stream_last(json_t *info)
{
	return json_integer_value(json_object_get(json_object_get(info, "state"), "last_seq"));
}

int64_t stream_made(json_t *info)
{
	const char *created = json_string_value(json_object_get(info, "created"));
	struct tm tm = { 0 };

	/* RFC 3339, in UTC. */
	if (!created || !strptime(created, "%Y-%m-%dT%H:%M:%S", &tm))
		return -1;
	return (timegm(&tm) - 1735689600) / 60;
}

/* ---- --check and --setup ---------------------------------------------------------------- */

static natsConnection *connect_once(const struct config *config, const char *what)
{
	natsOptions *options = link_options(config, what);
	natsConnection *connection;
	natsStatus status = natsConnection_Connect(&connection, options);
	const char *error;

	natsOptions_Destroy(options);
	if (status == NATS_OK)
		return connection;
	error = nats_GetLastError(NULL) ?: natsStatus_GetText(status);
	/* What the library says of a certificate that the server does not take. */
	if (strstr(error, "PONG") || strstr(error, "SSL_write") || strstr(error, "SSL_read"))
		error = "the server refuses this certificate, or ended the connection";
	say("no connection to %s: %s", config->servers, error);
	return NULL;
}

/* The answer, to be freed, or NULL; what is wrong is said, as of @whose. */
static json_t *ask(natsConnection *connection, const char *whose, const char *body,
		   const char *format, const char *name, const char *unless)
{
	char *subject = text(format, name);
	natsMsg *reply = NULL;
	natsStatus status =
		natsConnection_RequestString(&reply, connection, subject, body, ANSWER_TIME / MS);
	json_t *answer = NULL;
	const char *error;
	int code;

	if (status == NATS_NO_RESPONDERS)
		say("%s: JetStream does not answer: it is not there, or without a leader", whose);
	else if (status != NATS_OK)
		say("%s: %s: %s, see the rights of this user", whose, subject,
		    natsStatus_GetText(status));
	else
		answer = json_loadb(natsMsg_GetData(reply), natsMsg_GetDataLength(reply), 0, NULL);
	if (answer) {
		error = answer_error(answer, &code);
		if (error[0] && strcmp(error, unless)) {
			say("%s: %s: %s", whose, name, error);
			json_decref(answer);
			answer = NULL;
		}
	}
	natsMsg_Destroy(reply);
	free(subject);
	return answer;
}

static bool mailbox_will_do(const struct route_config *route, const char *whose)
{
	const struct kpost_attr attr = { .owner = geteuid() };
	int ret = kpost_open(route->mailbox, KPOST_RIGHT_ADMIN, KPOST_OPEN_OWNER, &attr, 0);

	if (ret >= 0)
		kpost_close(ret);
	if (ret >= 0 || (ret == -ENOENT && !access("/dev/kpost", F_OK)))
		return true;
	say("%s: mailbox %s: %s", whose, route->mailbox, mailbox_fault(ret));
	return false;
}

int streams_check(const struct config *config)
{
	natsConnection *connection = connect_once(config, "check");
	int status = connection ? 0 : 1;

	for (const struct route_config *route = config->routes; route; route = route->next) {
		char *whose = text("%s of %s", route->stream ?: "calls", route->mailbox), *fault;
		json_t *info;

		if (!mailbox_will_do(route, whose))
			status = 1;
		if (connection && route->stream) {
			info = ask(connection, whose, "", "$JS.API.STREAM.INFO.%s", route->stream,
				   "");
			fault = info ? stream_fault(route, info,
						    natsConnection_GetMaxPayload(connection)) :
				       NULL;
			if (fault)
				say("%s: %s", whose, fault);
			if (!info || fault)
				status = 1;
			free(fault);
			json_decref(info);
		}
		free(whose);
	}
	natsConnection_Destroy(connection);
	nats_Close();
	return status;
}

static bool is_queue(const struct stream_config *stream)
{
	return !stream->retention || !strcmp(stream->retention, "work-queue");
}

static json_t *stream_body(const struct stream_config *stream)
{
	json_t *subjects = json_array(), *body;
	char *all = text("%s", stream->subjects), *rest = all, *subject;

	while ((subject = strsep(&rest, " ,\t\n")))
		if (subject[0])
			json_array_append_new(subjects, json_string(subject));
	free(all);
	body = json_pack("{s:s, s:o, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "name", stream->name,
			 "subjects", subjects, "retention",
			 is_queue(stream) ? "workqueue" : stream->retention, "storage", "file",
			 "discard", "new", "num_replicas", (json_int_t)stream->replicas,
			 "max_bytes", stream->max_bytes ? (json_int_t)stream->max_bytes : -1,
			 "max_msgs", stream->max_messages ? (json_int_t)stream->max_messages : -1,
			 "duplicate_window", (json_int_t)stream->duplicate_window);
	if (!body)
		fail(EX_OSERR, "out of memory");
	/* Cannot be changed any more once it is there. */
	json_object_set_new(body, "deny_delete", json_true());
	return body;
}

int streams_setup(const struct config *config)
{
	natsConnection *connection = connect_once(config, "setup");
	int status = connection ? 0 : 1;

	if (!config->streams)
		fail(EX_CONFIG, "%s: there is no [stream NAME] in it", config->file);
	for (const struct stream_config *stream = config->streams; connection && stream;
	     stream = stream->next) {
		json_t *body, *answer;
		const char *name = stream->name;
		int code;
		char *whole;

		if (!stream->subjects) {
			say("stream %s: subjects = is missing", name);
			status = 1;
			continue;
		}
		body = stream_body(stream);
		whole = json_dumps(body, JSON_COMPACT);
		answer = ask(connection, "setup", whole, "$JS.API.STREAM.CREATE.%s", name,
			     "stream name already in use with a different configuration");
		if (answer && answer_error(answer, &code)[0]) {
			json_decref(answer);
			answer = ask(connection, "setup", whole, "$JS.API.STREAM.UPDATE.%s", name,
				     "");
		}
		if (answer)
			say("stream %s is there: %s, %llu replicas", name,
			    is_queue(stream) ? "work-queue" : stream->retention,
			    (unsigned long long)stream->replicas);
		else
			status = 1;
		json_decref(answer);
		json_decref(body);
		free(whole);
	}
	natsConnection_Destroy(connection);
	nats_Close();
	return status;
}
