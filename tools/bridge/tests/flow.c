// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbered messages, and calls, for the tests of the bridge: what one machine sends, and
 * whether each of it came to another, once and in order.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "kpost.h"

#define MAGIC 0x776f6c66
#define SECOND 1000000000ull
/* How long to wait for somebody to make the mailbox, or for an answer. */
#define PATIENCE_MS 60000
#define CALL_MS 30000
#define RUNS_MAX 64
#define BADGES_MAX 64
#define NUMBER_MAX 100000000
#define ERRORS 4096

/* No message of a test was stored longer ago. */
#define AGE_MAX (600 * SECOND)

struct record {
	uint32_t magic;
	uint32_t size;
	uint64_t run; /* of the sender, so that two do not count for one */
	uint64_t number;
	uint64_t time;
};

static volatile sig_atomic_t stop, hurry;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		hurry = 1;
	else
		stop = 1;
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("flow: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static uint64_t number_of(const char *text, const char *what, uint64_t max)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > max)
		die("'%s' is no %s", text, what);
	return value;
}

static void *memory(void *old, size_t size)
{
	void *new = realloc(old, size ? size : 1);

	if (!new)
		die("no memory");
	return new;
}

static const char *name_of_error(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "?";
}

static int open_existing(const char *name, unsigned int rights)
{
	int fd = kpost_open(name, rights, KPOST_OPEN_WAIT, NULL, kpost_deadline(PATIENCE_MS));

	if (fd < 0)
		die("cannot open mailbox '%s': %s", name, name_of_error(-fd));
	return fd;
}

/* ---- send: at a rate, until it is told to hurry by SIGUSR1 */

/* After each message, so that no stall is made up for: what is to happen meanwhile is as late. */
static void wait_for_turn(uint64_t rate)
{
	struct timespec time = { .tv_sec = rate == 1, .tv_nsec = (long)(SECOND / rate % SECOND) };

	/* Told to hurry, or to stop, it does not sleep on. */
	nanosleep(&time, NULL);
}

static int send_numbers(int argc, char **argv)
{
	const char *name = argv[0];
	uint64_t count = number_of(argv[1], "count", NUMBER_MAX);
	size_t size = argc > 2 ? number_of(argv[2], "size", KPOST_PAYLOAD_MAX) : 64;
	uint64_t rate = argc > 3 ? number_of(argv[3], "rate", NUMBER_MAX) : 0;
	struct record record = { .magic = MAGIC };
	uint64_t i, took, longest = 0, again = 0;
	char *payload;
	int ret, fd;

	if (size < sizeof(record))
		die("a message has at least %zu bytes", sizeof(record));
	if (getrandom(&record.run, sizeof(record.run), 0) != sizeof(record.run))
		die("no random number");
	record.size = (uint32_t)size;
	payload = memory(NULL, size);
	for (i = 0; i < size; i++)
		payload[i] = (char)i;
	fd = open_existing(name, KPOST_RIGHT_SEND);
	for (i = 0; i < count && !stop;) {
		if (rate && !hurry)
			wait_for_turn(rate);
		record.number = i + 1;
		record.time = now();
		memcpy(payload, &record, sizeof(record));
		ret = kpost_send(fd, payload, size, 0, 0, 0);
		took = now() - record.time;
		longest = took > longest ? took : longest;
		if (!ret) {
			i++;
		} else if (ret == -EPIPE) {
			/* It was made anew: the message is not sent, and goes to the new one. */
			close(fd);
			fd = open_existing(name, KPOST_RIGHT_SEND);
			again++;
		} else if (ret != -EINTR) {
			printf("sent=%" PRIu64 " error=%s\n", i, name_of_error(-ret));
			return 1;
		}
	}
	printf("sent=%" PRIu64 " longest_ms=%" PRIu64 " reopened=%" PRIu64 "\n", i,
	       longest / 1000000, again);
	free(payload);
	return i < count;
}

/* ---- recv */

struct run {
	uint64_t id;
	uint64_t highest;
	uint64_t room; /* in seen, which has a byte for each number */
	unsigned char *seen;
};

static struct run runs[RUNS_MAX];
static unsigned int run_count;

static struct {
	uint64_t badge;
	uint64_t messages;
} badges[BADGES_MAX];

static unsigned int badge_count;

static struct {
	uint64_t received; /* different ones */
	uint64_t doubled;
	uint64_t late;
} counts;

static struct run *find_run(uint64_t id)
{
	unsigned int i;

	for (i = 0; i < run_count; i++) {
		if (runs[i].id == id)
			return &runs[i];
	}
	if (run_count == RUNS_MAX)
		die("messages of more than %u senders", RUNS_MAX);
	runs[run_count].id = id;
	return &runs[run_count++];
}

static void count_badge(uint64_t badge)
{
	unsigned int i;

	for (i = 0; i < badge_count && badges[i].badge != badge; i++)
		;
	if (i == BADGES_MAX)
		die("more than %u badges", BADGES_MAX);
	if (i == badge_count)
		badges[badge_count++].badge = badge;
	badges[i].messages++;
}

/* Where the payload begins behind an envelope, which has to be of @machine; without one, 0. */
static size_t open_envelope(const char *machine, const char *bytes, size_t size, uint64_t badge)
{
	struct kpost_origin origin;
	struct timespec time;
	ssize_t ret;
	uint64_t age;

	if (!machine)
		return 0;
	ret = kpost_bridge_origin(badge, bytes, size, &origin);
	if (ret < 0)
		die("a message of %zu bytes without an envelope", size);
	if (strcmp(origin.machine, machine))
		die("a message of machine '%s'", origin.machine);
	if (!origin.pid || origin.uid != getuid() || origin.opener_gid != getegid() || origin.badge)
		die("the envelope tells of another sender: pid %d uid %u", origin.pid, origin.uid);
	/* A call is not stored, and has no number. */
	clock_gettime(CLOCK_REALTIME, &time);
	age = (uint64_t)time.tv_sec * SECOND - origin.stored;
	if (origin.sequence ? !origin.identity || age + SECOND > AGE_MAX : origin.stored)
		die("the envelope tells of number %" PRIu64 ", stored at %" PRIu64, origin.sequence,
		    origin.stored);
	return (size_t)ret;
}

static void count_message(const char *payload, size_t size, const struct kpost_message *message)
{
	struct record record;
	struct run *run;
	size_t i;

	if (size < sizeof(record))
		die("a message of %zu bytes, which nobody here sends", size);
	memcpy(&record, payload, sizeof(record));
	if (record.magic != MAGIC || !record.number || record.number > NUMBER_MAX)
		die("a message that nobody here sends");
	if (record.size != size)
		die("message %" PRIu64 " has %zu bytes, not %" PRIu32, record.number, size,
		    record.size);
	for (i = sizeof(record); i < size; i++) {
		if (payload[i] != (char)i)
			die("message %" PRIu64 " is wrong at byte %zu", record.number, i);
	}
	run = find_run(record.run);
	if (record.number >= run->room) {
		uint64_t room = record.number * 2 + 1024;

		run->seen = memory(run->seen, room);
		memset(run->seen + run->room, 0, room - run->room);
		run->room = room;
	}
	count_badge(message->badge);
	if (run->seen[record.number]) {
		counts.doubled++;
		return;
	}
	run->seen[record.number] = 1;
	counts.received++;
	if (record.number < run->highest)
		counts.late++;
	else
		run->highest = record.number;
}

static int by_badge(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static void report_badges(void)
{
	unsigned int i;

	printf(" badges=");
	qsort(badges, badge_count, sizeof(badges[0]), by_badge);
	for (i = 0; i < badge_count; i++)
		printf("%s%" PRIu64 ":%" PRIu64, i ? "," : "", badges[i].badge, badges[i].messages);
	printf("%s\n", badge_count ? "" : "-");
}

/* The first ones of each sender, which may say why. */
static void missing_of(const struct run *run)
{
	unsigned int told = 0;

	for (uint64_t number = 1; number < run->highest && told < 10; number++) {
		if (run->seen[number])
			continue;
		fprintf(stderr,
			"flow: %" PRIu64 " of sender %" PRIx64 ", up to %" PRIu64 ", is missing\n",
			number, run->id, run->highest);
		told++;
	}
}

static void report_received(uint64_t expected)
{
	uint64_t received = counts.received;

	for (unsigned int i = 0; received < expected && i < run_count; i++)
		missing_of(&runs[i]);

	printf("received=%" PRIu64 " missing=%" PRIu64 " doubled=%" PRIu64 " late=%" PRIu64,
	       received, expected > received ? expected - received : 0, counts.doubled,
	       counts.late);
	report_badges();
}

/* After the last one it stays a while if asked to, for those that come twice. */
static int recv_numbers(int argc, char **argv)
{
	uint64_t count = number_of(argv[1], "count", NUMBER_MAX);
	int64_t silence = (int64_t)number_of(argv[2], "time", 86400) * 1000;
	int64_t linger = argc > 3 ? (int64_t)number_of(argv[3], "time", 86400) * 1000 : -1;
	const char *machine = argc > 4 ? argv[4] : NULL;
	int fd = open_existing(argv[0], KPOST_RIGHT_RECV);
	struct kpost_message message;
	size_t room = 4096, begin;
	char *payload = memory(NULL, room);
	ssize_t ret;

	while (!stop) {
		int64_t wait = silence;

		if (counts.received >= count) {
			if (linger < 0)
				break;
			wait = linger;
		}
		ret = kpost_recv(fd, payload, room, &message, 0, kpost_deadline(wait));
		if (ret == -EMSGSIZE) {
			room = message.size;
			payload = memory(payload, room);
		} else if (ret >= 0) {
			begin = open_envelope(machine, payload, (size_t)ret, message.badge);
			count_message(payload + begin, (size_t)ret - begin, &message);
		} else if (ret == -ETIMEDOUT) {
			break;
		} else if (ret != -EINTR) {
			fprintf(stderr, "flow: cannot receive: %s\n", name_of_error(-(int)ret));
			break;
		}
	}
	report_received(count);
	return counts.received != count || counts.doubled || counts.late;
}

/* ---- calls */

static int by_time(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

/* A call's number is the beginning of its request, and of the reply. */
static int submit(int fd, uint64_t number, char *request, size_t size)
{
	const struct kpost_options options = { .deadline = kpost_deadline(CALL_MS) };
	struct iovec piece = { request, size };

	memcpy(request, &number, size < sizeof(number) ? size : sizeof(number));
	return (int)kpost_call_submit(fd, &piece, 1, size, number, &options, NULL);
}

/* How long each took that was answered, and each that was not. */
static struct {
	uint64_t begun, answered, failed;
	uint64_t *since, *times, *failed_times;
	uint64_t errors[ERRORS];
} calls;

static void call_failed(uint64_t number, int error)
{
	calls.errors[error < ERRORS ? error : 0]++;
	calls.failed_times[calls.failed++] = now() - calls.since[number];
}

/* All that are under way have ended so, since none of them can any more. */
static void calls_failed(uint64_t under_way, int error)
{
	while (under_way--)
		call_failed(calls.begun - 1, error);
}

static uint64_t percentile(const uint64_t *times, uint64_t count, unsigned int percent)
{
	return count ? times[count * percent / 100] / 1000 : 0;
}

static void report_calls(void)
{
	const char *separator = "";

	qsort(calls.times, calls.answered, sizeof(*calls.times), by_time);
	qsort(calls.failed_times, calls.failed, sizeof(*calls.times), by_time);
	printf("calls=%" PRIu64 " answered=%" PRIu64 " p50_us=%" PRIu64 " p99_us=%" PRIu64
	       " failed_p50_us=%" PRIu64 " errors=",
	       calls.begun, calls.answered, percentile(calls.times, calls.answered, 50),
	       percentile(calls.times, calls.answered, 99),
	       percentile(calls.failed_times, calls.failed, 50));
	for (int error = 0; error < ERRORS; error++) {
		if (!calls.errors[error])
			continue;
		printf("%s%s:%" PRIu64, separator, name_of_error(error), calls.errors[error]);
		separator = ",";
	}
	puts(separator[0] ? "" : "-");
}

/* So many at once, of which each that has ended makes room for the next. */
static int call_numbers(int argc, char **argv)
{
	uint64_t count = number_of(argv[1], "count", NUMBER_MAX);
	size_t size = argc > 2 ? number_of(argv[2], "size", KPOST_PAYLOAD_MAX) : 64;
	uint64_t at_once = argc > 3 ? number_of(argv[3], "number", NUMBER_MAX) : 1;
	int fd = open_existing(argv[0], KPOST_RIGHT_SEND);
	char *request = memory(NULL, size), *reply = memory(NULL, size);
	uint64_t under_way;
	struct kpost_answer got;
	ssize_t ret;

	calls.since = memory(NULL, (count + 1) * sizeof(*calls.since));
	calls.times = memory(NULL, (count + 1) * sizeof(*calls.times));
	calls.failed_times = memory(NULL, (count + 1) * sizeof(*calls.times));
	memset(request, 0, size);
	for (;;) {
		under_way = calls.begun - calls.answered - calls.failed;
		if (!stop && calls.begun < count && under_way < at_once) {
			calls.since[calls.begun] = now();
			ret = submit(fd, calls.begun++, request, size);
			if (ret)
				call_failed(calls.begun - 1, (int)-ret);
			if (ret == -EPIPE) {
				/* It was made anew: what was under way is over. */
				calls_failed(under_way, EPIPE);
				close(fd);
				fd = open_existing(argv[0], KPOST_RIGHT_SEND);
			}
			continue;
		}
		if (!under_way)
			break;
		got.id = 0;
		ret = kpost_call_collect(fd, 0, reply, size, &got, 0, kpost_deadline(2 * CALL_MS));
		if (ret == -EINTR)
			continue;
		if (ret < 0 && !got.id) {
			calls_failed(under_way, (int)-ret);
			continue;
		}
		memcpy(request, &got.user_data,
		       size < sizeof(got.user_data) ? size : sizeof(got.user_data));
		/* An answer to something else is as wrong as can be. */
		if (ret >= 0 && ((size_t)ret != size || memcmp(request, reply, size)))
			ret = -EBADMSG;
		if (ret < 0)
			call_failed(got.user_data, (int)-ret);
		else
			calls.times[calls.answered++] = now() - calls.since[got.user_data];
	}
	report_calls();
	return calls.answered < count;
}

static int answer(int argc, char **argv)
{
	/* After so many it takes calls and does not answer them. */
	uint64_t most = argc > 2 ? number_of(argv[2], "number", NUMBER_MAX) : UINT64_MAX;
	const struct kpost_attr attr = {
		.mode = 0666,
		.bytes = argc > 1 ? number_of(argv[1], "size", KPOST_PAYLOAD_MAX) * 4 : 0,
	};
	const char *machine = argc > 3 ? argv[3] : NULL;
	struct kpost_response response = { .token = 0 };
	struct kpost_message message;
	uint64_t answered = 0;
	struct kpost_stat st;
	char *payload;
	size_t begin;
	ssize_t ret;
	int fd;

	fd = kpost_open(argv[0], KPOST_RIGHT_RECV, KPOST_OPEN_CREATE, &attr, 0);
	if (fd < 0)
		die("cannot make mailbox '%s': %s", argv[0], name_of_error(-fd));
	ret = kpost_stat(fd, &st);
	if (ret)
		die("cannot look at mailbox '%s': %s", argv[0], name_of_error(-(int)ret));
	payload = memory(NULL, st.message_max);
	/* Nobody is to call before, and the output may be a pipe. */
	puts("ready");
	fflush(stdout);
	while (!stop) {
		ret = kpost_reply_recv(fd, &response, payload, st.message_max, &message, 0, 0);
		if (ret >= 0) {
			count_badge(message.badge);
			response.token = answered < most ? message.token : 0;
			answered += response.token != 0;
			begin = open_envelope(machine, payload, (size_t)ret, message.badge);
			response.buf = payload + begin;
			response.len = (size_t)ret - begin;
			if (response.len > message.reply_max)
				response.len = message.reply_max;
		} else if (response.token) {
			/* The caller has left; the next one may be there. */
			response.token = 0;
		} else if (ret != -EINTR && ret != -ECANCELED) {
			die("cannot receive: %s", name_of_error(-(int)ret));
		}
	}
	printf("answered=%" PRIu64, answered);
	report_badges();
	return 0;
}

/* ---- stat: as kpost stat --json, where there is no kpost */

static int tell_numbers(int argc, char **argv)
{
	int fd = kpost_open(argv[0], KPOST_RIGHT_SEND, 0, NULL, 0);
	struct kpost_stat st;
	int ret = fd < 0 ? fd : kpost_stat(fd, &st);

	(void)argc;
	if (ret < 0)
		die("cannot look at mailbox '%s': %s", argv[0], name_of_error(-ret));
	printf("{\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"queued_messages\":%" PRIu32
	       ",\"held\":%" PRIu32 "}\n",
	       (uint64_t)st.sent, (uint64_t)st.received, st.queued_messages, st.held);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	int least;
	int most;
	const char *arguments;
} verbs[] = {
	{ "send", send_numbers, 2, 4, "NAME COUNT [SIZE] [RATE]" },
	{ "recv", recv_numbers, 3, 5, "NAME COUNT SILENCE_S [LINGER_S [MACHINE]]" },
	{ "call", call_numbers, 2, 4, "NAME COUNT [SIZE [AT_ONCE]]" },
	{ "answer", answer, 1, 4, "NAME [SIZE [MOST [MACHINE]]]" },
	{ "stat", tell_numbers, 1, 1, "NAME" },
};

int main(int argc, char **argv)
{
	/* A wait is to end, hence no SA_RESTART. */
	struct sigaction action = { .sa_handler = on_signal };
	unsigned int i;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
	for (i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!strcmp(argv[1], verbs[i].name) && argc - 2 >= verbs[i].least &&
		    argc - 2 <= verbs[i].most)
			return verbs[i].run(argc - 2, argv + 2);
	}
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		fprintf(stderr, "usage: kpost-flow %s %s\n", verbs[i].name, verbs[i].arguments);
	return 2;
}
