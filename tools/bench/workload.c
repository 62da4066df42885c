// SPDX-License-Identifier: GPL-2.0-only
/* The workloads that one or two processes do, and the table of all. */
#include "bench.h"

static void step_self(void *arg)
{
	struct run *run = arg;

	run->transport->send(run->lines, run->buf, run->load.size);
	run->transport->receive(run->lines, run->buf, run->load.size);
}

static void fill(struct run *run)
{
	for (unsigned long i = 0; i < run->load.depth; i++)
		run->transport->send(run->lines, run->buf, run->load.size);
}

static void run_self(struct run *run)
{
	fill(run);
	measure(run->figure, step_self, run, &run->load, (struct pace){ .messages = 1 });
}

static void peer_echo(struct run *run, unsigned int number)
{
	(void)number;
	for (;;) {
		run->transport->receive(&run->lines[0], run->buf, run->load.size);
		run->transport->send(&run->lines[1], run->buf, run->load.size);
	}
}

static void step_there_and_back(void *arg)
{
	struct run *run = arg;

	run->transport->send(&run->lines[0], run->buf, run->load.size);
	run->transport->receive(&run->lines[1], run->buf, run->load.size);
}

static void run_pingpong(struct run *run)
{
	peer_start(run, peer_echo, 0);
	measure(run->figure, step_there_and_back, run, &run->load, (struct pace){ .messages = 1 });
}

static void peer_serve(struct run *run, unsigned int number)
{
	(void)number;
	for (;;)
		run->transport->serve(run->lines, run->buf, run->load.size);
}

static void step_call(void *arg)
{
	struct run *run = arg;

	run->transport->call(run->lines, run->buf, run->load.size);
}

/* A peer has no calls; what it would do instead is the ping-pong. */
static void run_call(struct run *run)
{
	if (!run->transport->call) {
		run_pingpong(run);
		return;
	}
	peer_start(run, peer_serve, 0);
	measure(run->figure, step_call, run, &run->load, (struct pace){ .messages = 1 });
}

static void step_priorities(void *arg)
{
	static uint32_t chance = 1;
	struct run *run = arg;

	chance = chance * 1103515245 + 12345;
	run->transport->send_priority(run->lines, run->buf, run->load.size,
				      (chance >> 8) % run->load.priorities);
	run->transport->receive(run->lines, run->buf, run->load.size);
}

static void run_priorities(struct run *run)
{
	for (unsigned int i = 0; i < run->load.priorities; i++)
		run->transport->send_priority(run->lines, run->buf, run->load.size, i);
	measure(run->figure, step_priorities, run, &run->load, (struct pace){ .messages = 1 });
}

static void step_tag(void *arg)
{
	struct run *run = arg;

	run->transport->receive(run->lines, run->buf, run->load.size);
	run->transport->send(run->lines, run->buf, run->load.size);
}

static void run_tag(struct run *run)
{
	fill(run);
	measure(run->figure, step_tag, run, &run->load, (struct pace){ .messages = 1 });
}

static void step_batch(void *arg)
{
	struct run *run = arg;
	unsigned int count = (unsigned int)run->load.batch;

	run->transport->send_many(run->lines, run->buf, run->load.size, count);
	run->transport->receive_many(run->lines, run->buf, run->load.size, count);
}

static void run_batch(struct run *run)
{
	measure(run->figure, step_batch, run, &run->load,
		(struct pace){ .messages = run->load.batch });
}

static void step_open(void *arg)
{
	struct run *run = arg;

	close(run->transport->another());
}

static void run_open(struct run *run)
{
	/* One stays, or there would be another mailbox each time. */
	if (run->transport->another() < 0)
		skip("%s: cannot be opened", run->transport->name);
	measure(run->figure, step_open, run, &run->load, (struct pace){ .messages = 1 });
}

static bool fits_one(const struct transport *transport)
{
	return !(transport->traits & (ASYNC | TAGS | BY_PATH));
}

static bool fits_path(const struct transport *transport)
{
	return transport->traits & BY_PATH;
}

static bool fits_open(const struct transport *transport)
{
	return transport->another;
}

static bool fits_priorities(const struct transport *transport)
{
	return transport->send_priority;
}

static bool fits_tag(const struct transport *transport)
{
	return transport->traits & TAGS;
}

static bool fits_batch(const struct transport *transport)
{
	return transport->send_many;
}

static bool fits_async(const struct transport *transport)
{
	return transport->traits & ASYNC;
}

/* Where a message says who sent it. */
static bool fits_many(const struct transport *transport)
{
	return fits_one(transport) && !(transport->traits & (NO_DATA | ONE_SENDER));
}

static bool fits_poll(const struct transport *transport)
{
	return fits_one(transport) && !(transport->traits & NO_POLL);
}

static bool fits_memory(const struct transport *transport)
{
	return fits_poll(transport) && !strstr(transport->name, "uring");
}

static bool fits_memory_message(const struct transport *transport)
{
	return fits_one(transport) && !(transport->traits & NO_DATA) &&
	       !strstr(transport->name, "uring");
}

const struct workload workloads[] = {
	{ "self", "one process sends, then receives", "a message", fits_one, run_self },
	{ "pingpong", "there and back, between two processes", "both messages", fits_one,
	  run_pingpong },
	{ "call", "a call and its reply; where there are none, a ping-pong", "a call", fits_one,
	  run_call },
	{ "batch", "many sent by one system call, received by one", "a message", fits_batch,
	  run_batch },
	{ "priorities", "self, with a message at each of so many priorities", "a message",
	  fits_priorities, run_priorities },
	{ "tag", "one process receives a message by its tag, and sends another", "a message",
	  fits_tag, run_tag },
	{ "path", "self, through what was opened by path", "a message", fits_path, run_self },
	{ "open", "what has a name opened, and closed", "both", fits_open, run_open },
	{ "boxes", "self, in turn through so many that one epoll looks after", "a message",
	  fits_poll, run_boxes },
	{ "stream", "one process sends, another receives", "a message", fits_one, run_fan_in },
	{ "async", "likewise, by a sender that does not wait", "a message", fits_async,
	  run_fan_in },
	{ "fan-in", "so many senders, one receiver", "a message", fits_many, run_fan_in },
	{ "fan-out", "one sender, so many receivers", "a message", fits_many, run_fan_out },
	{ "callers", "so many call one server", "a call", fits_many, run_callers },
	{ "memory-line", "memory of a mailbox with its endpoints, or of what a peer has", "each",
	  fits_memory, run_memory_line },
	{ "memory-endpoint", "memory of one more endpoint", "each", fits_memory_endpoint,
	  run_memory_endpoint },
	{ "memory-message", "memory of a message in the queue", "each", fits_memory_message,
	  run_memory_message },
};

const size_t workload_count = sizeof(workloads) / sizeof(workloads[0]);
