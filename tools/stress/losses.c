// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part "losses": messages that may be dropped, replaced, or too late, that are held, returned
 * and put aside, and numbered; by senders and workers that are killed all the time, while one
 * mailbox after the other takes the name.  Whatever becomes of a message, it is counted once.
 */
#include <liburing.h>
#include <sys/mman.h>

#include "stress.h"

enum {
	NUMBERED = 2, /* senders that number what they send, and lose nothing */
	SENDERS = 4,
	WORKERS = 3,
	NUMBERS = 1 << 16,
	ENTRIES = 3, /* of a batch */
	ROOM = 16,
	TAGS = 6,
	ATTEMPTS = 4, /* then a message is put aside */
};

#define ROUND (300 * MS)
#define HELD_BY_THE_DEAD (100 * MS)
#define SOME_TIME (2 * MS)

struct message {
	uint32_t sender, number;
};

struct tally {
	unsigned char seen[NUMBERED][NUMBERS]; /* how often each was received */
	unsigned int aside, odd;
	bool stop; /* sending */
};

struct round {
	char name[32];
	bool keyed;
	int fd; /* with all rights */
	int aside;
	int send_fds[SENDERS];
	struct tally *tally;
	pid_t pids[SENDERS + WORKERS];
	unsigned int kills; /* of workers */
};

static void odd(struct round *round, const char *what, long ret)
{
	__atomic_add_fetch(&round->tally->odd, 1, __ATOMIC_RELAXED);
	note("losses: %s: %s", what, ret < 0 ? strerror((int)-ret) : "what never was sent");
}

/* ---- who sends -------------------------------------------------------------------------- */

/* Is that a way in which a send may end that is not done? */
static bool may_fail(long err)
{
	return err == -EAGAIN || err == -ETIMEDOUT || err == -ECONNRESET || err == -EBUSY;
}

/* From a ring of its own, in which it waits without a task. */
static long send_parked(struct io_uring *ring, int fd, struct kpost_send *send)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	long ret;

	kpost_prep_send(sqe, fd, send);
	while (io_uring_submit(ring) == -EINTR)
		;
	while (io_uring_wait_cqe(ring, &cqe))
		;
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

/* All numbers, one after the other, and after a crash some of them again. */
static void send_numbers(struct round *round, unsigned int index, struct chance *chance)
{
	int fd = round->send_fds[index];
	struct message message = { .sender = index };
	struct kpost_send send = { .buf = (uintptr_t)&message, .len = sizeof(message) };
	uint64_t number = stat_of(fd).mark, again = chance_below(chance, 3);
	struct io_uring ring;
	bool parks = !io_uring_queue_init(4, &ring, 0);
	long ret;

	for (number -= again < number ? again : number; number + 1 < NUMBERS; number += !ret) {
		if (round->tally->stop)
			return;
		message.number = (uint32_t)number + 1;
		send.flags = KPOST_NUMBERED;
		send.number = number + 1;
		send.tag = chance_below(chance, TAGS);
		send.deadline = now() + SOME_TIME;
		ret = parks && chance_below(chance, 2) ? send_parked(&ring, fd, &send) :
							 operate(fd, KPOST_IOC_SEND, &send);
		if (ret == -EPIPE)
			return;
		if (ret && !may_fail(ret))
			odd(round, "a numbered send", ret);
	}
}

static void compose_lossy(struct kpost_send *send, const struct message *message, bool keyed,
			  struct chance *chance)
{
	static const uint32_t flags[] = { 0,
					  KPOST_DROP_NEW,
					  KPOST_DROP_OLD,
					  KPOST_REPLACE,
					  KPOST_SYNC,
					  KPOST_REPLACE | KPOST_DROP_NEW };
	static const uint32_t clocks[] = { 0, KPOST_BOOTTIME };

	*send = (struct kpost_send){
		.flags = flags[chance_below(chance, 6)],
		.priority = chance_below(chance, 3),
		.buf = (uintptr_t)message,
		.len = sizeof(*message),
		.tag = chance_below(chance, TAGS),
	};
	if (!keyed)
		send->flags &= ~KPOST_REPLACE;
	if (chance_below(chance, 3))
		return;
	send->flags |= clocks[chance_below(chance, 2)];
	send->expires = kpost_deadline_by(send->flags, 1 + chance_below(chance, 4));
}

/* What may be lost, in every way. */
static void send_lossy(struct round *round, unsigned int index, struct chance *chance)
{
	struct message message = { .sender = index };
	struct kpost_send sends[ENTRIES];
	int fd = round->send_fds[index];
	long ret;

	while (!round->tally->stop) {
		for (int i = 0; i < ENTRIES; i++)
			compose_lossy(&sends[i], &message, round->keyed, chance);
		switch (chance_below(chance, 4)) {
		case 0:
			for (int i = 0; i < ENTRIES; i++)
				sends[i].flags &= ~KPOST_SYNC;
			ret = kpost_send_batch(fd, sends, ENTRIES, 0, now() + SOME_TIME, NULL);
			if (ret > 0)
				ret = 0;
			break;
		case 1: {
			struct kpost_call call = {
				.flags = KPOST_RETRY,
				.buf = (uintptr_t)&message,
				.len = sizeof(message),
				.tag = sends[0].tag,
				.deadline = now() + SOME_TIME,
			};

			ret = operate(fd, KPOST_IOC_CALL, &call);
			break;
		}
		default:
			/* By the clock of what it expires by. */
			sends[0].deadline = kpost_deadline_by(sends[0].flags, 2);
			ret = operate(fd, KPOST_IOC_SEND, &sends[0]);
		}
		if (ret == -EPIPE)
			return;
		if (ret && !may_fail(ret))
			odd(round, "a send", ret);
	}
}

/* ---- who works -------------------------------------------------------------------------- */

/* It is received, so that nobody else gets it. */
static void saw(struct round *round, const struct message *message)
{
	if (message->sender >= SENDERS || message->number >= NUMBERS)
		odd(round, "received", 0);
	else if (message->sender < NUMBERED)
		__atomic_add_fetch(&round->tally->seen[message->sender][message->number], 1,
				   __ATOMIC_RELAXED);
}

static void put_aside(struct round *round, const struct message *message)
{
	if (!kpost_send(round->aside, message, sizeof(*message), 0, 0, 0))
		__atomic_add_fetch(&round->tally->aside, 1, __ATOMIC_RELAXED);
}

/* Say what becomes of what is held; it may have gone back, or been withdrawn, by now. */
static void work(struct round *round, int fd, const struct message *message,
		 const struct kpost_message *about, struct chance *chance)
{
	uint64_t later = now() + chance_below(chance, SOME_TIME);
	long ret;

	if (chance_below(chance, 4) == 0)
		pause_ns(chance_below(chance, MS));
	if (about->flags & KPOST_MESSAGE_CALL) {
		ret = chance_below(chance, 3) ? kpost_reply(fd, about->token, NULL, 0) :
						kpost_return(fd, about->token, 0);
	} else if (about->attempts >= ATTEMPTS || chance_below(chance, 3)) {
		if (about->attempts >= ATTEMPTS)
			put_aside(round, message);
		ret = kpost_done(fd, about->token);
		if (!ret)
			saw(round, message);
	} else {
		ret = kpost_return(fd, about->token, chance_below(chance, 2) ? later : 0);
	}
	if (ret && ret != -ENOENT && ret != -ECANCELED)
		odd(round, "what was held", ret);
}

/* Several, all done with at once. */
static long work_batch(struct round *round, int fd)
{
	struct kpost_recv recvs[ENTRIES];
	struct message messages[ENTRIES];
	uint64_t tokens[ENTRIES];
	unsigned int count = 0;
	long n, done;

	for (int i = 0; i < ENTRIES; i++)
		recvs[i] = (struct kpost_recv){
			.flags = KPOST_HOLD,
			.buf = (uintptr_t)&messages[i],
			.len = sizeof(messages[i]),
		};
	n = kpost_recv_batch(fd, recvs, ENTRIES, 0, now() + SOME_TIME, NULL);
	for (int i = 0; i < n; i++) {
		if (recvs[i].message_flags & KPOST_MESSAGE_CALL)
			kpost_drop(fd, recvs[i].token);
		else
			messages[count] = messages[i], tokens[count++] = recvs[i].token;
	}
	done = count ? kpost_done_batch(fd, tokens, count) : 0;
	if (done != (long)count)
		odd(round, "a batch that was held", done);
	for (int i = 0; i < done; i++)
		saw(round, &messages[i]);
	return n < 0 ? n : 0;
}

static void receive(struct round *round, unsigned int index, struct chance *chance)
{
	int fd = kpost_grant(round->fd, &(struct kpost_grant){ .rights = KPOST_RIGHT_RECV });
	struct kpost_message about;
	struct message message;
	long ret;

	(void)index;
	if (fd < 0)
		return;
	do {
		uint64_t deadline = now() + SOME_TIME,
			 held = chance_below(chance, 2) ? deadline : 0;

		switch (chance_below(chance, 8)) {
		case 0:
			ret = work_batch(round, fd);
			break;
		case 1:
			ret = kpost_recv(fd, &message, sizeof(message), &about, KPOST_PEEK, 0);
			break;
		case 2:
		case 3:
			if (round->keyed)
				ret = kpost_recv_tag(fd, chance_below(chance, TAGS), &message,
						     sizeof(message), &about, 0, deadline);
			else
				ret = kpost_recv(fd, &message, sizeof(message), &about, 0,
						 deadline);
			if (ret >= 0)
				saw(round, &message);
			if (ret >= 0 && about.flags & KPOST_MESSAGE_CALL)
				kpost_reply(fd, about.token, NULL, 0);
			break;
		default:
			ret = kpost_hold(fd, &message, sizeof(message), &about, 0, held, deadline);
			if (ret >= 0 && about.token)
				work(round, fd, &message, &about, chance);
		}
		if (ret < 0 && ret != -EPIPE && !may_fail(ret))
			odd(round, "a receive", ret);
	} while (ret != -EPIPE);
}

/* ---- one mailbox ------------------------------------------------------------------------ */

static void start(struct round *round, unsigned int index)
{
	uint64_t who = now();

	round->pids[index] = process_start();
	if (round->pids[index])
		return;
	struct chance chance = chance_of(who + index);

	if (index < NUMBERED)
		send_numbers(round, index, &chance);
	else if (index < SENDERS)
		send_lossy(round, index, &chance);
	else
		receive(round, index, &chance);
	_exit(0);
}

/* It takes the name from the one before, which is shut. */
static void make(struct round *round, struct chance *chance)
{
	unsigned int flags = KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED;
	bool keyed = chance_below(chance, 2);
	struct kpost_attr attr = {
		.messages = ROOM,
		.bytes = ROOM * sizeof(struct message),
		.message_max = sizeof(struct message),
		.overflow = KPOST_OVERFLOW_DROP_NEW | KPOST_OVERFLOW_DROP_OLD |
			    (keyed ? KPOST_OVERFLOW_REPLACE : 0),
		.held_max = 1 + chance_below(chance, ROOM),
	};

	*round = (struct round){ .keyed = keyed };
	snprintf(round->name, sizeof(round->name), "stress.loss.%d", getpid());
	if (keyed)
		flags |= KPOST_OPEN_KEYED;
	round->fd = kpost_open(round->name, SEND_RECV | KPOST_RIGHT_ADMIN, flags, &attr, 0);
	round->aside = open_mailbox(NULL, SEND_RECV, KPOST_OPEN_ANONYMOUS, 1 << 16, 1 << 20, 64);
	if (round->fd < 0)
		die("cannot succeed: %s", strerror(-round->fd));
	round->tally = shared(sizeof(*round->tally));
	for (unsigned int i = 0; i < SENDERS; i++) {
		struct kpost_grant grant = {
			.flags = KPOST_GRANT_BADGE | KPOST_GRANT_MARK,
			.rights = KPOST_RIGHT_SEND,
			.badge = i + 1,
		};

		round->send_fds[i] = kpost_grant(round->fd, &grant);
		if (round->send_fds[i] < 0)
			die("cannot grant: %s", strerror(-round->send_fds[i]));
	}
	for (unsigned int i = 0; i < SENDERS + WORKERS; i++)
		start(round, i);
}

/* Kill somebody, who is replaced, every few milliseconds. */
static void kill_some(struct part *part, struct round *round, struct chance *chance)
{
	uint64_t end = now() + ROUND;

	while (now() < end) {
		unsigned int victim = chance_below(chance, SENDERS + WORKERS);

		pause_ns(chance_below(chance, 10 * MS));
		if (no_kills)
			continue;
		process_kill(round->pids[victim]);
		round->kills += victim >= SENDERS;
		part->sums[SUM_KILLS]++;
		start(round, victim);
	}
}

/* All have gone: receive what is left, and say whether each message is accounted for. */
static bool account(struct part *part, struct round *round)
{
	const struct kpost_setattr shut = { .valid = KPOST_SET_SHUT };
	bool freed = until_within(HELD_BY_THE_DEAD, !stat_of(round->fd).held);
	uint64_t marks = 0, seen = 0, twice = 0, lost, aside;
	struct kpost_message about;
	struct message message;
	struct kpost_stat st;

	if (kpost_setattr(round->fd, &shut))
		odd(round, "shutting", 0);
	while (kpost_recv(round->fd, &message, sizeof(message), &about, 0, now() + SOON) >= 0)
		saw(round, &message);
	st = stat_of(round->fd);
	lost = st.dropped + st.dropped_old + st.replaced + st.expired;
	aside = stat_of(round->aside).sent;
	for (unsigned int i = 0; i < NUMBERED; i++) {
		marks += stat_of(round->send_fds[i]).mark;
		for (unsigned int n = 0; n < NUMBERS; n++) {
			seen += round->tally->seen[i][n];
			twice += round->tally->seen[i][n] > 1;
		}
	}
	part->sums[SUM_SENT] += st.sent;
	part->sums[SUM_RECEIVED] += st.received;
	part->sums[SUM_DROPPED] += lost;
	part->sums[SUM_SENDS] += marks;
	part->sums[SUM_RECEIPTS] += seen;
	/* Who was killed may have received, or put aside, what it could not note any more. */
	part->sums[SUM_UNKNOWN_SENT] += marks - seen;
	if (freed && !round->tally->odd && st.sent == st.received + lost && !st.queued_messages &&
	    !twice && seen <= marks && marks - seen <= (uint64_t)round->kills * ENTRIES &&
	    aside >= round->tally->aside && aside - round->tally->aside <= round->kills)
		return true;
	note("%s: sent %llu, received %llu, dropped %llu and %llu, replaced %llu, expired %llu, "
	     "queued %u; numbers %llu, seen %llu, twice %llu; aside %llu of %u; kills %u; odd %u%s",
	     round->keyed ? "keyed" : "plain", (unsigned long long)st.sent,
	     (unsigned long long)st.received, (unsigned long long)st.dropped,
	     (unsigned long long)st.dropped_old, (unsigned long long)st.replaced,
	     (unsigned long long)st.expired, st.queued_messages, (unsigned long long)marks,
	     (unsigned long long)seen, (unsigned long long)twice, (unsigned long long)aside,
	     round->tally->aside, round->kills, round->tally->odd,
	     freed ? "" : "; something is held");
	return false;
}

/* Another has its name: its senders find it shut, and its workers empty it, until all go. */
static bool finish(struct part *part, struct round *round, struct chance *chance)
{
	bool ok;

	round->tally->stop = true;
	for (unsigned int i = 0; i < SENDERS; i++)
		if (process_wait(round->pids[i]))
			odd(round, "a sender does not end", 0);
	for (unsigned int i = SENDERS; i < SENDERS + WORKERS; i++) {
		pause_ns(chance_below(chance, 2 * MS));
		process_kill(round->pids[i]);
		round->kills++;
	}
	ok = account(part, round);
	for (unsigned int i = 0; i < SENDERS; i++)
		close(round->send_fds[i]);
	close(round->aside);
	close(round->fd);
	munmap(round->tally, sizeof(*round->tally));
	return ok;
}

static bool nothing_counts(void)
{
	struct kpost_info info;

	return !kpost_info(&info) && !info.office_used && !info.office_sending_used;
}

void run_losses(struct part *part)
{
	struct chance chance = chance_of(4000);
	struct round rounds[2];
	unsigned int wrong = 0;

	make(&rounds[0], &chance);
	do {
		struct round *round = &rounds[part->sums[SUM_ROUNDS]++ & 1];

		kill_some(part, round, &chance);
		/* While all are at it. */
		make(&rounds[part->sums[SUM_ROUNDS] & 1], &chance);
		wrong += !finish(part, round, &chance);
	} while (part->sums[SUM_ROUNDS] < part->goal && now() < part->end);
	wrong += !finish(part, &rounds[part->sums[SUM_ROUNDS] & 1], &chance);
	check(!wrong,
	      "%s: sent %llu = received %llu + dropped, replaced and expired %llu, in %llu mailboxes; "
	      "of %llu numbers none is lost or doubled, and nothing is held by the dead (%u not)",
	      part->name, (unsigned long long)part->sums[SUM_SENT],
	      (unsigned long long)part->sums[SUM_RECEIVED],
	      (unsigned long long)part->sums[SUM_DROPPED],
	      (unsigned long long)part->sums[SUM_ROUNDS] + 1,
	      (unsigned long long)part->sums[SUM_SENDS], wrong);
	check(until(nothing_counts()), "%s: nothing counts any more", part->name);
}
