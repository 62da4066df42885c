// SPDX-License-Identifier: GPL-2.0-only
/* The workloads of many processes or many lines. */
#include "bench.h"

#include <sys/epoll.h>

static void peer_send(struct run *run, unsigned int number)
{
	(void)number;
	for (;;)
		run->transport->send(run->lines, run->buf, run->load.size);
}

static void step_receive(void *arg)
{
	struct run *run = arg;

	run->transport->receive(run->lines, run->buf, run->load.size);
}

void run_fan_in(struct run *run)
{
	for (unsigned int i = 0; i < run->load.peers; i++)
		peer_start(run, peer_send, i);
	measure(run->figure, step_receive, run, &run->load,
		(struct pace){ .messages = 1, .whole = true });
}

static void peer_receive(struct run *run, unsigned int number)
{
	for (;;)
		run->transport->receive(&run->lines[number], run->buf, run->load.size);
}

static void step_send_round(void *arg)
{
	struct run *run = arg;

	for (unsigned int i = 0; i < run->load.peers; i++)
		run->transport->send(&run->lines[i], run->buf, run->load.size);
}

void run_fan_out(struct run *run)
{
	for (unsigned int i = 0; i < run->load.peers; i++)
		peer_start(run, peer_receive, i);
	measure(run->figure, step_send_round, run, &run->load,
		(struct pace){ .messages = run->load.peers, .whole = true });
}

/* Line 0 has the requests, each with the number of its caller; the others the replies. */
static void peer_ask(struct run *run, unsigned int number)
{
	for (;;) {
		memcpy(run->buf, &number, sizeof(number));
		run->transport->send(&run->lines[0], run->buf, run->load.size);
		run->transport->receive(&run->lines[number + 1], run->buf, run->load.size);
	}
}

static void step_answer(void *arg)
{
	struct run *run = arg;
	unsigned int number;

	run->transport->receive(&run->lines[0], run->buf, run->load.size);
	memcpy(&number, run->buf, sizeof(number));
	run->transport->send(&run->lines[number + 1], run->buf, run->load.size);
}

static void peer_call(struct run *run, unsigned int number)
{
	(void)number;
	for (;;)
		run->transport->call(run->lines, run->buf, run->load.size);
}

static void step_serve(void *arg)
{
	struct run *run = arg;

	run->transport->serve(run->lines, run->buf, run->load.size);
}

void run_callers(struct run *run)
{
	bool calls = run->transport->call;

	if (run->load.size < sizeof(unsigned int))
		skip("callers: a message has no room for its caller's number");
	for (unsigned int i = 0; i < run->load.peers; i++)
		peer_start(run, calls ? peer_call : peer_ask, i);
	measure(run->figure, calls ? step_serve : step_answer, run, &run->load,
		(struct pace){ .messages = 1, .whole = true });
}

struct polled {
	struct run *run;
	int epoll;
	unsigned long turn;
};

static void step_boxes(void *arg)
{
	struct polled *polled = arg;
	struct run *run = polled->run;
	struct epoll_event event;

	run->transport->send(&run->lines[polled->turn++ % run->load.boxes], run->buf,
			     run->load.size);
	if (epoll_wait(polled->epoll, &event, 1, -1) != 1)
		die("epoll_wait: %s", strerror(errno));
	run->transport->receive(&run->lines[event.data.u32], run->buf, run->load.size);
}

void run_boxes(struct run *run)
{
	struct polled polled = { .run = run, .epoll = epoll_create1(EPOLL_CLOEXEC) };

	for (uint32_t i = 0; i < run->load.boxes; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		if (epoll_ctl(polled.epoll, EPOLL_CTL_ADD, run->lines[i].in, &event))
			die("epoll_ctl: %s", strerror(errno));
	}
	/* A mailbox's first messages find no memory kept. */
	for (uint32_t i = 0; i < 3 * run->load.boxes; i++)
		step_boxes(&polled);
	measure(run->figure, step_boxes, &polled, &run->load, (struct pace){ .messages = 1 });
}
