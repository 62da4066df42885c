// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part "kills": processes of several receivers, each in one of the states that a
 * receiver can be in, are killed.  None stays for a second, nothing stays behind, and
 * each message is either with somebody else or in the dead one's memory.
 */
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#include "stress.h"
#include "stuckpage.h"

enum { THREADS = 8, SIZE = 3000 };

enum state {
	IN_RECV,
	IN_READ,
	IN_EPOLL,
	IN_RING, /* waiting in a worker of io_uring's */
	IN_RING_READ, /* parked there, without a task, and so is a poll */
	IN_RING_POLL,
	IN_REPLY_RECV,
	IN_COPY, /* is stuck in memory that never arrives, with a message there */
	WITH_TOKEN, /* has a call, and does not reply */
	STATES
};

/* Mailboxes: to wait on, to be stuck with, to be called on. */
enum { WAIT, COPY, CALL, BOXES };

struct receiver {
	enum state state;
	bool ready; /* is about to block where no counter shows it */
	struct kpost_recv recv;
	unsigned char buf[SIZE];
};

/* Shared with the process that is killed. */
struct victims {
	char names[BOXES][32];
	struct receiver receivers[THREADS];
};

struct lane {
	struct part *part;
	struct victims *victims;
	int fds[BOXES];
	struct chance chance;
	pthread_t caller;
	bool stop;
	uint64_t resets; /* calls that were */
	uint64_t odd;
	uint64_t slowest_death, slowest_reset;
	uint64_t killed_at;
	uint64_t in_hand;
};

/* ---- in the process that is killed --------------------------------------- */

struct thread {
	pthread_t thread;
	struct victims *victims;
	struct receiver *receiver;
	int fds[BOXES];
};

static void wait_in_ring(struct thread *thread, enum state state)
{
	struct receiver *receiver = thread->receiver;
	struct kpost_uring cmd = { .arg = (uintptr_t)&receiver->recv };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	if (io_uring_queue_init(2, &ring, 0))
		_exit(1);
	sqe = io_uring_get_sqe(&ring);
	if (state == IN_RING_READ) {
		io_uring_prep_read(sqe, thread->fds[WAIT], receiver->buf, SIZE, 0);
	} else if (state == IN_RING_POLL) {
		io_uring_prep_poll_add(sqe, thread->fds[WAIT], POLLIN);
	} else {
		memset(sqe, 0, sizeof(*sqe));
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->fd = thread->fds[WAIT];
		sqe->cmd_op = KPOST_IOC_RECV;
		memcpy(sqe->cmd, &cmd, sizeof(cmd));
	}
	io_uring_submit(&ring);
	__atomic_store_n(&receiver->ready, true, __ATOMIC_RELEASE);
	io_uring_wait_cqe(&ring, &cqe);
}

static void wait_for_events(struct thread *thread)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, thread->fds[WAIT], &event))
		_exit(1);
	__atomic_store_n(&thread->receiver->ready, true, __ATOMIC_RELEASE);
	epoll_wait(epoll, &event, 1, -1);
}

static void *receiver_main(void *data)
{
	struct thread *thread = data;
	struct receiver *receiver = thread->receiver;
	struct kpost_reply reply = { .token = 0 };
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&reply,
		.recv = (uintptr_t)&receiver->recv,
		.reply_size = sizeof(reply),
		.recv_size = sizeof(receiver->recv),
	};

	receiver->recv = (struct kpost_recv){ .buf = (uintptr_t)receiver->buf, .len = SIZE };
	switch (receiver->state) {
	case IN_READ:
		if (read(thread->fds[WAIT], receiver->buf, SIZE) < 0)
			_exit(1);
		break;
	case IN_EPOLL:
		wait_for_events(thread);
		break;
	case IN_RING:
	case IN_RING_READ:
	case IN_RING_POLL:
		wait_in_ring(thread, receiver->state);
		break;
	case IN_REPLY_RECV:
		operate(thread->fds[WAIT], KPOST_IOC_REPLY_RECV, &both);
		break;
	case IN_COPY:
		receiver->recv.buf = (uintptr_t)stuck_pages(1);
		__atomic_store_n(&receiver->ready, true, __ATOMIC_RELEASE);
		operate(thread->fds[COPY], KPOST_IOC_RECV, &receiver->recv);
		break;
	case WITH_TOKEN:
		operate(thread->fds[CALL], KPOST_IOC_RECV, &receiver->recv);
		break;
	default:
		operate(thread->fds[WAIT], KPOST_IOC_RECV, &receiver->recv);
	}
	for (;;)
		pause();
	return NULL;
}

static void victim_main(struct victims *victims)
{
	static struct thread threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		threads[i].victims = victims;
		threads[i].receiver = &victims->receivers[i];
		for (int box = 0; box < BOXES; box++)
			threads[i].fds[box] =
				i ? threads[0].fds[box] :
				    open_mailbox(victims->names[box], KPOST_RIGHT_RECV, 0, 0, 0, 0);
		if (pthread_create(&threads[i].thread, NULL, receiver_main, &threads[i]))
			_exit(1);
	}
	for (;;)
		pause();
}

/* ---- those who live ------------------------------------------------------- */

/* Calls one after the other; each is reset by the death of who received it. */
static void *caller_main(void *data)
{
	struct lane *lane = data;
	char byte = 'c';

	while (!__atomic_load_n(&lane->stop, __ATOMIC_ACQUIRE)) {
		ssize_t ret = kpost_call(lane->fds[CALL], &byte, 1, NULL, 0, 0);
		uint64_t killed = __atomic_load_n(&lane->killed_at, __ATOMIC_ACQUIRE);
		uint64_t took = now() - killed, starved = starved_since(killed);

		if (ret != -ECONNRESET) {
			lane->odd++;
			continue;
		}
		took = took > starved ? took - starved : 0;
		if (took > lane->slowest_reset)
			lane->slowest_reset = took;
		__atomic_add_fetch(&lane->resets, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Most of them show in STAT as waiting; these say so themselves. */
static bool shows_itself(enum state state)
{
	return state == IN_EPOLL || state == IN_RING_READ || state == IN_RING_POLL ||
	       state == IN_COPY;
}

static bool all_ready(struct lane *lane, unsigned int waiting)
{
	for (int i = 0; i < THREADS; i++) {
		struct receiver *receiver = &lane->victims->receivers[i];
		if (shows_itself(receiver->state) &&
		    !__atomic_load_n(&receiver->ready, __ATOMIC_ACQUIRE))
			return false;
	}
	return stat_of(lane->fds[WAIT]).waiting_receivers == waiting &&
	       stat_of(lane->fds[CALL]).open_calls == 1;
}

/* The first word of a message is its number. */
static void post(struct lane *lane, int box, uint64_t number)
{
	unsigned char message[SIZE] = { 0 };

	memcpy(message, &number, sizeof(number));
	if (kpost_send(lane->fds[box], message, sizeof(message), 0, KPOST_DONTWAIT, 0))
		lane->odd++;
}

/* Take out what is there; a bit of the result for each number. */
static uint64_t take_all(struct lane *lane, int box, uint64_t *count)
{
	unsigned char message[SIZE];
	uint64_t numbers = 0, number;

	while (kpost_recv(lane->fds[box], message, sizeof(message), NULL, KPOST_DONTWAIT, 0) ==
	       SIZE) {
		memcpy(&number, message, sizeof(number));
		if (number >= 64 || numbers & 1ull << number)
			lane->odd++;
		else
			numbers |= 1ull << number;
		++*count;
	}
	return numbers;
}

/* What the dead have in their memory: for certain, or with read(2) perhaps. */
static void look_at_dead(struct lane *lane, uint64_t *certain, uint64_t *perhaps)
{
	*certain = 0;
	*perhaps = 0;
	for (int i = 0; i < THREADS; i++) {
		struct receiver *receiver = &lane->victims->receivers[i];
		uint64_t number;

		memcpy(&number, receiver->buf, sizeof(number));
		if (!number || number >= 64)
			continue;
		if (receiver->state == IN_READ || receiver->state == IN_RING_READ)
			*perhaps |= 1ull << number;
		else if (receiver->state < IN_COPY && receiver->recv.sequence)
			*certain |= 1ull << number;
	}
}

static unsigned int choose_states(struct lane *lane, unsigned int *copying)
{
	unsigned int waiting = 0;

	memset(lane->victims->receivers, 0, sizeof(lane->victims->receivers));
	*copying = 0;
	for (int i = 0; i < THREADS; i++) {
		struct receiver *receiver = &lane->victims->receivers[i];

		/* One holds a token, another is stuck in a copy; the others as it comes. */
		receiver->state = i == 0 ? WITH_TOKEN :
				  i == 1 ? IN_COPY :
					   (enum state)chance_below(&lane->chance, WITH_TOKEN);
		*copying += receiver->state == IN_COPY;
		waiting += receiver->state < IN_COPY && !shows_itself(receiver->state);
	}
	return waiting;
}

/* After a death: what was sent is all there is, and in one place each. */
static bool account(struct lane *lane, const struct kpost_stat *before, unsigned int copying,
		    unsigned int posted)
{
	uint64_t certain, perhaps, left = 0, returned = 0, taken, in_hand;
	uint64_t all = ((1ull << posted) - 1) << 1;
	struct kpost_stat st;

	/* What was parked in a ring goes with that, soon after its process. */
	if (!until(!stat_of(lane->fds[WAIT]).waiting_receivers))
		return false;
	st = stat_of(lane->fds[WAIT]);
	in_hand = st.received - before->received;
	if (st.sent - before->sent != posted || st.queued_messages != posted - in_hand)
		return false;
	taken = take_all(lane, WAIT, &left);
	look_at_dead(lane, &certain, &perhaps);
	if (left != posted - in_hand || (taken & certain) ||
	    ((taken | certain | perhaps) & all) != all)
		return false;
	lane->in_hand += in_hand;
	st = stat_of(lane->fds[COPY]);
	if (st.queued_messages != copying || st.waiting_receivers)
		return false;
	taken = take_all(lane, COPY, &returned);
	return returned == copying && taken == ((1ull << copying) - 1) << 1;
}

static bool kill_round(struct lane *lane)
{
	struct kpost_stat before = stat_of(lane->fds[WAIT]);
	uint64_t resets = __atomic_load_n(&lane->resets, __ATOMIC_ACQUIRE), took;
	unsigned int copying, waiting = choose_states(lane, &copying), posted;
	pid_t pid;

	for (unsigned int i = 1; i <= copying; i++)
		post(lane, COPY, i);
	pid = process_start();
	if (!pid)
		victim_main(lane->victims);
	if (!until(all_ready(lane, waiting))) {
		note("some are not in their states: %u of %u wait, %u calls are open",
		     stat_of(lane->fds[WAIT]).waiting_receivers, waiting,
		     stat_of(lane->fds[CALL]).open_calls);
		process_kill(pid);
		return false;
	}
	/* Some get a message as they die. */
	posted = chance_below(&lane->chance, 2) ? 0 : 1 + chance_below(&lane->chance, THREADS);
	for (unsigned int i = 1; i <= posted / 2; i++)
		post(lane, WAIT, i);
	__atomic_store_n(&lane->killed_at, now(), __ATOMIC_RELEASE);
	kill(pid, SIGKILL);
	for (unsigned int i = posted / 2 + 1; i <= posted; i++)
		post(lane, WAIT, i);
	took = process_kill(pid);
	if (took > lane->slowest_death)
		lane->slowest_death = took;
	if (!until(__atomic_load_n(&lane->resets, __ATOMIC_ACQUIRE) == resets + 1)) {
		note("the call was not reset");
		return false;
	}
	return account(lane, &before, copying, posted);
}

static void open_lane(struct lane *lane, struct part *part)
{
	*lane = (struct lane){ .part = part, .chance = chance_of(8000) };
	lane->victims = shared(sizeof(*lane->victims));
	for (int box = 0; box < BOXES; box++) {
		char *name = lane->victims->names[box];

		snprintf(name, sizeof(lane->victims->names[box]), "stress.kill.%d.%d", getpid(),
			 box);
		lane->fds[box] = open_mailbox(name, SEND_RECV, KPOST_OPEN_CREATE, 64, 1 << 20, 0);
	}
	if (pthread_create(&lane->caller, NULL, caller_main, lane))
		die("cannot start a thread");
}

/* The caller's last call is given up. */
static void close_lane(struct lane *lane)
{
	struct kpost_message message;
	char byte;

	__atomic_store_n(&lane->stop, true, __ATOMIC_RELEASE);
	__atomic_store_n(&lane->killed_at, now(), __ATOMIC_RELEASE);
	if (kpost_recv(lane->fds[CALL], &byte, 1, &message, 0, now() + SOON) == 1)
		kpost_drop(lane->fds[CALL], message.token);
	pthread_join(lane->caller, NULL);
	for (int box = 0; box < BOXES; box++)
		close(lane->fds[box]);
}

void run_states(struct part *part)
{
	struct lane lane;
	uint64_t slab = 0, wrong = 0;

	if (!stuck_pages(1)) {
		check_skip("%s: this kernel has no userfaultfd", part->name);
		return;
	}
	open_lane(&lane, part);
	do {
		/* The first rounds fill caches. */
		if (part->sums[SUM_ROUNDS]++ == 5)
			slab = slab_bytes();
		wrong += !kill_round(&lane);
		part->sums[SUM_KILLS] += THREADS;
	} while (part->sums[SUM_KILLS] < part->goal && now() < part->end && wrong < 3);
	for (int box = 0; box < BOXES; box++) {
		struct kpost_stat st = stat_of(lane.fds[box]);

		part->sums[SUM_SENT] += st.sent;
		part->sums[SUM_RECEIVED] += st.received;
		part->sums[SUM_DROPPED] += st.dropped;
	}
	close_lane(&lane);
	part->sums[SUM_IN_HAND] = lane.in_hand;
	part->sums[SUM_RESET] = lane.resets;
	check(!wrong && !lane.odd && part->sums[SUM_KILLS],
	      "%s: of %llu receivers killed, each message is with others or in their hands (%llu not)",
	      part->name, (unsigned long long)part->sums[SUM_KILLS],
	      (unsigned long long)(wrong + lane.odd));
	check(lane.slowest_death < SECOND, "%s: none stays for a second (%.3f s)", part->name,
	      (double)lane.slowest_death / SECOND);
	check(lane.slowest_reset < SECOND, "%s: their callers know within a second (%.3f s)",
	      part->name, (double)lane.slowest_reset / SECOND);
	if (slab)
		check_slab(part, slab, 4 << 20);
}
