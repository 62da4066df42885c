// SPDX-License-Identifier: GPL-2.0-only
/*
 * What NATS alone takes for what the bridge does, to compare: a message published to a stream and
 * acknowledged, with a window; the same with an id and the other headers of the bridge's, by the
 * library's own function for that; messages pulled and acknowledged, with a batch; and requests,
 * one after the other, with another process that answers until it is killed.
 *
 * usage: kpost-bare publish|publish-id|pull URL STREAM SUBJECT COUNT [SIZE]
 *        kpost-bare request|answer URL SUBJECT [COUNT]
 */
#include <inttypes.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "usage.h"

#define WINDOW 256
/* The bridge's: a work queue takes one for each subject. */
#define CONSUMER "m2-in"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t answered;

static void __attribute__((noreturn)) die(const char *what, natsStatus status)
{
	fprintf(stderr, "kpost-bare: %s: %s\n", what, natsStatus_GetText(status));
	exit(2);
}

static void need(const char *what, natsStatus status)
{
	if (status != NATS_OK)
		die(what, status);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void on_answer(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
		      void *data)
{
	pthread_mutex_lock(&lock);
	answered++;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	natsMsg_Destroy(message);
}

static void publish(natsConnection *connection, const char *subject, uint64_t count, size_t size)
{
	natsSubscription *subscription;
	natsInbox *inbox;
	char *data = calloc(1, size);

	need("inbox", natsInbox_Create(&inbox));
	need("subscribe",
	     natsConnection_Subscribe(&subscription, connection, inbox, on_answer, NULL));
	for (uint64_t i = 0; i < count; i++) {
		pthread_mutex_lock(&lock);
		while (i - answered >= WINDOW)
			pthread_cond_wait(&changed, &lock);
		pthread_mutex_unlock(&lock);
		need("publish",
		     natsConnection_PublishRequest(connection, subject, inbox, data, (int)size));
	}
	pthread_mutex_lock(&lock);
	while (answered < count)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void publish_id(natsConnection *connection, const char *subject, uint64_t count, size_t size)
{
	char *data = calloc(1, size), id[40];
	jsPubOptions each;
	jsOptions options;
	jsCtx *stream;

	need("options", jsOptions_Init(&options));
	options.PublishAsync.MaxPending = WINDOW;
	options.PublishAsync.StallWait = 60000;
	need("options", jsPubOptions_Init(&each));
	each.MsgId = id;
	need("JetStream", natsConnection_JetStream(&stream, connection, &options));
	for (uint64_t i = 0; i < count; i++) {
		natsMsg *message;

		snprintf(id, sizeof(id), "%x.%" PRIu64, getpid(), i + 1);
		need("message", natsMsg_Create(&message, subject, NULL, data, (int)size));
		need("header",
		     natsMsgHeader_Set(message, "Kpost-Sender", "1234 1000 1000 1000 1000 0"));
		need("publish", js_PublishMsgAsync(stream, &message, &each));
	}
	need("answers", js_PublishAsyncComplete(stream, NULL));
}

static void acknowledge(natsConnection *connection, const char *reply)
{
	need("acknowledge", natsConnection_PublishString(connection, reply, "+ACK"));
}

static void pull(natsConnection *connection, const char *stream, uint64_t count)
{
	natsSubscription *subscription;
	natsInbox *inbox;
	natsMsg *message;
	char subject[300], body[600];

	snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DURABLE.CREATE.%s." CONSUMER, stream);
	snprintf(body, sizeof(body),
		 "{\"stream_name\":\"%s\",\"config\":{\"durable_name\":\"" CONSUMER
		 "\",\"ack_policy\":"
		 "\"explicit\",\"deliver_policy\":\"all\",\"max_ack_pending\":1024}}",
		 stream);
	need("consumer", natsConnection_RequestString(&message, connection, subject, body, 5000));
	natsMsg_Destroy(message);
	need("inbox", natsInbox_Create(&inbox));
	need("subscribe", natsConnection_SubscribeSync(&subscription, connection, inbox));
	snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.MSG.NEXT.%s." CONSUMER, stream);
	snprintf(body, sizeof(body), "{\"batch\":%d,\"expires\":2000000000}", WINDOW);
	for (uint64_t i = 0, asked = 0; i < count;) {
		if (asked <= WINDOW / 2) {
			need("pull",
			     natsConnection_PublishRequestString(connection, subject, inbox, body));
			asked += WINDOW;
		}
		need("next", natsSubscription_NextMsg(&message, subscription, 5000));
		if (natsMsg_GetReply(message)) {
			acknowledge(connection, natsMsg_GetReply(message));
			i++;
			asked--;
		} else {
			asked = 0;
		}
		natsMsg_Destroy(message);
	}
}

/* As the bridge has it for calls: each is written at once. */
static natsConnection *connect_for_calls(const char *url)
{
	natsConnection *connection;
	natsOptions *options;

	need("options", natsOptions_Create(&options));
	need("url", natsOptions_SetURL(options, url));
	need("send", natsOptions_SetSendAsap(options, true));
	need("connect", natsConnection_Connect(&connection, options));
	natsOptions_Destroy(options);
	return connection;
}

static int by_time(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

static void request(natsConnection *connection, const char *subject, uint64_t count)
{
	double *times = calloc(count, sizeof(*times));
	natsMsg *message;

	for (uint64_t i = 0; times && i < count; i++) {
		times[i] = now();
		need("request",
		     natsConnection_RequestString(&message, connection, subject, "", 10000));
		times[i] = now() - times[i];
		natsMsg_Destroy(message);
	}
	qsort(times, count, sizeof(*times), by_time);
	printf("requests=%" PRIu64 " p50_us=%.0f\n", count, times[count / 2] * 1e6);
}

static void on_request(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
		       void *data)
{
	need("answer", natsConnection_PublishString(connection, natsMsg_GetReply(message), ""));
	natsMsg_Destroy(message);
}

static void answer(natsConnection *connection, const char *subject)
{
	natsSubscription *subscription;

	need("subscribe",
	     natsConnection_Subscribe(&subscription, connection, subject, on_request, NULL));
	need("flush", natsConnection_FlushTimeout(connection, 5000));
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

static int calls(int argc, char **argv)
{
	natsConnection *connection = connect_for_calls(argv[2]);

	if (!strcmp(argv[1], "answer"))
		answer(connection, argv[3]);
	request(connection, argv[3], argc > 4 ? strtoull(argv[4], NULL, 10) : 100);
	return 0;
}

int main(int argc, char **argv)
{
	natsConnection *connection;
	double begin, used;
	uint64_t count;
	size_t size;

	if (argc >= 4 && (!strcmp(argv[1], "request") || !strcmp(argv[1], "answer")))
		return calls(argc, argv);
	if (argc < 6) {
		fprintf(stderr, "usage: kpost-bare publish|publish-id|pull URL STREAM SUBJECT "
				"COUNT [SIZE]\n"
				"       kpost-bare request|answer URL SUBJECT [COUNT]\n");
		return 2;
	}
	need("connect", natsConnection_ConnectTo(&connection, argv[2]));
	count = strtoull(argv[5], NULL, 10);
	begin = now();
	used = cpu();
	size = argc > 6 ? strtoul(argv[6], NULL, 10) : 64;
	if (!strcmp(argv[1], "publish"))
		publish(connection, argv[4], count, size);
	else if (!strcmp(argv[1], "publish-id"))
		publish_id(connection, argv[4], count, size);
	else
		pull(connection, argv[3], count);
	natsConnection_FlushTimeout(connection, 5000);
	printf("messages=%" PRIu64 " rate=%.0f cpu_us=%.2f\n", count, count / (now() - begin),
	       (cpu() - used) * 1e6 / count);
	return 0;
}
