// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part "closes": a mailbox loses its last receiver while others send to it and
 * receive from it.  What was sent was received, or is counted as dropped.
 */
#include <pthread.h>

#include "stress.h"

enum { SENDERS = 4, RECEIVERS = 2, EACH = 4000 };

struct closing {
	char name[32];
	int fds[RECEIVERS]; /* to receive; closed at some time */
	int send_fd;
	unsigned char seen[SENDERS][EACH]; /* how often each was received */
	unsigned char sent[SENDERS][EACH]; /* whether its sender was told so */
	unsigned int received[RECEIVERS];
	unsigned int odd;
	struct chance chance;
};

struct task {
	pthread_t thread;
	struct closing *closing;
	unsigned int index;
};

struct message {
	uint32_t sender, number;
};

static void *send_until_closed(void *data)
{
	struct task *task = data;
	struct closing *closing = task->closing;
	unsigned char *sent = closing->sent[task->index];

	for (uint32_t i = 0; i < EACH; i++) {
		struct message message = { task->index, i };
		int err = kpost_send(closing->send_fd, &message, sizeof(message), 0,
				     i & 1 ? KPOST_DONTWAIT : 0, 0);

		sent[i] = !err;
		if (err == -EPIPE)
			break;
		if (err && err != -EAGAIN)
			__atomic_add_fetch(&closing->odd, 1, __ATOMIC_RELAXED);
		if (err == -EAGAIN)
			sched_yield();
	}
	return NULL;
}

/* So many, and then its endpoint goes. */
static void *receive_and_close(void *data)
{
	struct task *task = data;
	struct closing *closing = task->closing;
	struct chance chance = chance_of(closing->chance.state + task->index);
	unsigned int count = chance_below(&chance, 200);
	struct message message;

	while (count--) {
		ssize_t n = kpost_recv(closing->fds[task->index], &message, sizeof(message), NULL,
				       0, now() + SOON);

		if (n != sizeof(message) || message.sender >= SENDERS || message.number >= EACH) {
			__atomic_add_fetch(&closing->odd, 1, __ATOMIC_RELAXED);
			break;
		}
		__atomic_add_fetch(&closing->seen[message.sender][message.number], 1,
				   __ATOMIC_RELAXED);
		closing->received[task->index]++;
	}
	close(closing->fds[task->index]);
	return NULL;
}

static bool account(struct part *part, const struct closing *closing)
{
	struct kpost_stat st = stat_of(closing->send_fd);
	uint64_t sent = 0, received = 0, wrong = closing->odd;

	for (unsigned int s = 0; s < SENDERS; s++) {
		for (unsigned int i = 0; i < EACH; i++) {
			sent += closing->sent[s][i];
			received += closing->seen[s][i];
			/* twice, or though its sender was told that it was not sent */
			wrong += closing->seen[s][i] > closing->sent[s][i];
		}
	}
	part->sums[SUM_SENT] += st.sent;
	part->sums[SUM_RECEIVED] += st.received;
	part->sums[SUM_DROPPED] += st.dropped;
	part->sums[SUM_SENDS] += sent;
	part->sums[SUM_RECEIPTS] += received;
	if (!wrong && st.sent == sent && st.received == received && st.dropped == sent - received &&
	    !st.queued_messages && st.flags & KPOST_STAT_CLOSED && !st.waiting_senders)
		return true;
	note("sends %llu, receipts %llu, wrong %llu; kernel: %llu sent, %llu received, %llu gone",
	     (unsigned long long)sent, (unsigned long long)received, (unsigned long long)wrong,
	     (unsigned long long)st.sent, (unsigned long long)st.received,
	     (unsigned long long)st.dropped);
	return false;
}

void run_closes(struct part *part)
{
	struct task senders[SENDERS], receivers[RECEIVERS];
	struct closing *closing = NULL;
	uint64_t wrong = 0;

	do {
		unsigned int room;

		closing = realloc(closing, sizeof(*closing));
		if (!closing)
			die("no memory");
		memset(closing, 0, sizeof(*closing));
		closing->chance = chance_of(1000 + part->sums[SUM_ROUNDS]);
		room = 1 + chance_below(&closing->chance, 64);
		snprintf(closing->name, sizeof(closing->name), "stress.close.%d", getpid());
		for (int i = 0; i < RECEIVERS; i++)
			closing->fds[i] = open_mailbox(closing->name, KPOST_RIGHT_RECV,
						       i ? 0 : KPOST_OPEN_CREATE, room, 0, 0);
		closing->send_fd = open_mailbox(closing->name, KPOST_RIGHT_SEND, 0, 0, 0, 0);
		for (unsigned int i = 0; i < SENDERS; i++) {
			senders[i] = (struct task){ .closing = closing, .index = i };
			pthread_create(&senders[i].thread, NULL, send_until_closed, &senders[i]);
		}
		for (unsigned int i = 0; i < RECEIVERS; i++) {
			receivers[i] = (struct task){ .closing = closing, .index = i };
			pthread_create(&receivers[i].thread, NULL, receive_and_close,
				       &receivers[i]);
		}
		for (int i = 0; i < RECEIVERS; i++)
			pthread_join(receivers[i].thread, NULL);
		for (int i = 0; i < SENDERS; i++)
			pthread_join(senders[i].thread, NULL);
		wrong += !account(part, closing);
		close(closing->send_fd);
		part->sums[SUM_ROUNDS]++;
	} while (part->sums[SUM_ROUNDS] < part->goal && now() < part->end);
	free(closing);
	check(!wrong && part->sums[SUM_ROUNDS],
	      "%s: sent %llu = received %llu + dropped %llu in %llu mailboxes that closed (%llu not)",
	      part->name, (unsigned long long)part->sums[SUM_SENDS],
	      (unsigned long long)part->sums[SUM_RECEIPTS],
	      (unsigned long long)part->sums[SUM_DROPPED],
	      (unsigned long long)part->sums[SUM_ROUNDS], (unsigned long long)wrong);
}
