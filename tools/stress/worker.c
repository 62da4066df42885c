// SPDX-License-Identifier: GPL-2.0-only
/* What is common to all workers: endpoints, logs, payloads. */
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "traffic.h"

static uint64_t item_sum(const struct item *item)
{
	uint64_t sum = item->sender * 0x9e3779b97f4a7c15ull ^ item->mailbox ^
		       item->number * 0xbf58476d1ce4e5b9ull ^ item->size << 32;
	uint64_t word;
	size_t i;

	for (i = sizeof(*item); i + 8 <= item->size; i += 8) {
		memcpy(&word, (const char *)item + i, 8);
		sum = (sum ^ word) * 0x94d049bb133111ebull;
		sum ^= sum >> 29;
	}
	for (; i < item->size; i++)
		sum = sum * 31 + ((const unsigned char *)item)[i];
	return sum ? sum : 1;
}

void item_fill(struct item *item, unsigned int sender, uint64_t number, unsigned int mailbox,
	       size_t size)
{
	unsigned char *bytes = (unsigned char *)item;

	*item = (struct item){
		.sender = sender, .mailbox = mailbox, .number = number, .size = size
	};
	for (size_t i = sizeof(*item); i < size; i++)
		bytes[i] = (unsigned char)(number + i * 7);
	item->sum = item_sum(item);
}

/* Is it a payload as it was sent?  The memory may hold anything. */
bool item_whole(const struct item *item)
{
	return item->sum && item->sender < SLOTS_MAX && item->mailbox < MAILBOXES &&
	       item->number < NUMBERS && item->size >= sizeof(*item) && item->size <= PAYLOAD_MAX &&
	       item->sum == item_sum(item);
}

static bool is_sender(const struct slot *slot)
{
	return slot->role == SENDER || slot->role == CALLER;
}

bool worker_stopping(const struct worker *worker)
{
	return __atomic_load_n(is_sender(worker->slot) ? &worker->traffic->stop_senders :
							 &worker->traffic->stop_receivers,
			       __ATOMIC_ACQUIRE);
}

/* @buf's address; one time in a hundred one where there is nothing. */
uint64_t worker_memory(struct worker *worker, void *buf)
{
	enum { NOWHERE = 4096 };

	return chance_below(&worker->chance, 100) ? (uintptr_t)buf : NOWHERE;
}

/* Note what an operation failed with, if it did. */
void worker_count(struct worker *worker, long err)
{
	struct slot *slot = worker->slot;

	if (err >= 0 || err == PENDING || err == GIVEN_UP)
		return;
	switch (err) {
	case -ENOMEM:
		slot->enomem++;
		break;
	case -EFAULT:
		slot->efault++;
		break;
	case -EINTR:
	case -ECANCELED:
		slot->cancelled++;
		break;
	case -ETIMEDOUT:
		slot->timed_out++;
		break;
	case -EAGAIN:
	case -EMSGSIZE:
	case -ECONNRESET:
		break;
	default:
		slot->odd++;
		slot->odd_error = err;
	}
}

/* An endpoint of the worker's own, so that its death is seen. */
void worker_open(struct worker *worker, unsigned int mailbox, unsigned int rights)
{
	int fd;

	do {
		fd = kpost_open(worker->traffic->names[mailbox], rights, 0, NULL, 0);
		if (fd < 0)
			worker_count(worker, fd);
	} while (fd == -ENOMEM || fd == -EFAULT || fd == -EINTR);
	if (fd < 0)
		_exit(2);
	worker->fds[mailbox] = fd;
}

/* Wait until the log has room again; false if the worker is to stop. */
bool worker_await_log(struct worker *worker)
{
	struct slot *slot = worker->slot;

	while (slot->head - __atomic_load_n(&slot->tail, __ATOMIC_ACQUIRE) >= LOG - 1) {
		if (worker_stopping(worker))
			return false;
		pause_ns(MS / 10);
	}
	return !worker_stopping(worker);
}

static struct slot *signalled;

/* An interrupted send that waits for receipt is withdrawn, and then may be restarted. */
static void interrupted(int sig)
{
	if (sig == SIGALRM && signalled->syncs)
		signalled->restarts[signalled->dispatches[signalled->head % LOG].mailbox]++;
}

/* Signals that interrupt, and with some luck ones that restart. */
static void expect_signals(struct worker *worker)
{
	struct sigaction action = { .sa_handler = interrupted };
	struct itimerval timer = { { 0, 0 }, { 0, 0 } };

	signalled = worker->slot;
	signalled->syncs = false;
	sigaction(SIGUSR1, &action, NULL);
	if (!worker->slot->mortal || chance_below(&worker->chance, 3))
		return;
	action.sa_flags = chance_below(&worker->chance, 2) ? SA_RESTART : 0;
	sigaction(SIGALRM, &action, NULL);
	timer.it_interval.tv_usec = 1000 + (suseconds_t)chance_below(&worker->chance, 9000);
	timer.it_value = timer.it_interval;
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void watch(struct worker *worker, int *epoll, unsigned int events)
{
	struct epoll_event event = { .events = events };

	int err;

	*epoll = epoll_create1(EPOLL_CLOEXEC);
	/* What it allocates while it asks the module counts as the module's. */
	while ((err = epoll_ctl(*epoll, EPOLL_CTL_ADD, worker->fds[worker->slot->mailbox],
				&event)) &&
	       errno == ENOMEM)
		worker->slot->enomem++;
	if (err)
		_exit(3);
}

void worker_main(struct traffic *traffic, struct slot *slot)
{
	static unsigned char buf[PAYLOAD_MAX];
	struct worker worker = { .traffic = traffic, .slot = slot };

	worker.chance = chance_of((uint64_t)slot->index << 32 | slot->life);
	setpriority(PRIO_PROCESS, 0, 0);
	expect_signals(&worker);
	if (traffic->faults)
		faults_me();
	switch (slot->role) {
	case SENDER:
		for (unsigned int i = 0; i < SERVICE; i++)
			worker_open(&worker, i, KPOST_RIGHT_SEND);
		while (!worker_stopping(&worker))
			send_one(&worker, buf);
		break;
	case CALLER:
		worker_open(&worker, SERVICE, KPOST_RIGHT_SEND);
		while (!worker_stopping(&worker))
			call_one(&worker, buf);
		break;
	case RECEIVER:
		worker_open(&worker, slot->mailbox, KPOST_RIGHT_RECV);
		watch(&worker, &worker.epoll, EPOLLIN);
		watch(&worker, &worker.epoll_edge, EPOLLIN | EPOLLET);
		while (!worker_stopping(&worker))
			receive_one(&worker);
		break;
	case SERVER:
		worker_open(&worker, SERVICE, KPOST_RIGHT_RECV);
		while (!worker_stopping(&worker))
			serve_one(&worker);
		break;
	}
	_exit(0);
}
