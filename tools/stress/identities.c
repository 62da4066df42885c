// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part "identities": senders change their user and group, execute another program,
 * and exit, as they send.  The receiver is told what they were at that time.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "stress.h"

enum { PROCESSES = 3, EACH = 400, USER = 1000 };

enum kind { ALONE, RACING, EXECUTING, KINDS };

/* What a sender says of itself. */
struct claim {
	pid_t pid;
	enum kind kind;
	unsigned int lane;
	unsigned int number;
	uid_t uid;
	gid_t gid;
	bool executed;
};

/* Of a sender that is changed by another thread; shared with the receiver. */
struct lane {
	unsigned int changes; /* odd: one is under way */
	pid_t pid;
	bool stop;
	bool ended; /* the receiver's: was waited for */
	struct {
		bool known;
		bool steady; /* no change from before until after it was sent */
		uid_t uid;
	} sent[EACH];
};

static void post(int fd, const struct claim *claim)
{
	if (kpost_send(fd, claim, sizeof(*claim), 0, 0, 0))
		_exit(1);
}

/* One thread alone: each message from another user and group. */
static void send_alone(int fd, struct claim *claim, struct chance *chance)
{
	while (claim->number++ < EACH) {
		claim->uid = USER + chance_below(chance, 60000);
		claim->gid = USER + chance_below(chance, 60000);
		if (setresgid(claim->gid, (gid_t)-1, (gid_t)-1) ||
		    setresuid(claim->uid, (uid_t)-1, (uid_t)-1))
			_exit(1);
		post(fd, claim);
	}
}

struct racer {
	int fd;
	struct claim claim;
	struct lane *lane;
};

static void *send_meanwhile(void *data)
{
	struct racer *racer = data;
	struct lane *lane = racer->lane;
	struct claim *claim = &racer->claim;

	for (claim->number = 0; claim->number < EACH; claim->number++) {
		unsigned int changes = __atomic_load_n(&lane->changes, __ATOMIC_SEQ_CST);
		uid_t uid = getuid();

		claim->gid = getgid();
		post(racer->fd, claim);
		lane->sent[claim->number].uid = uid;
		lane->sent[claim->number].steady =
			!(changes & 1) &&
			__atomic_load_n(&lane->changes, __ATOMIC_SEQ_CST) == changes;
		__atomic_store_n(&lane->sent[claim->number].known, true, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&lane->stop, true, __ATOMIC_RELEASE);
	return NULL;
}

/* The C library changes all threads of the process, wherever they are. */
static void change_meanwhile(struct lane *lane, struct chance *chance)
{
	while (!__atomic_load_n(&lane->stop, __ATOMIC_ACQUIRE)) {
		uid_t uid = chance_below(chance, 2) ? USER : 0;

		__atomic_add_fetch(&lane->changes, 1, __ATOMIC_SEQ_CST);
		if (setresuid(uid, (uid_t)-1, (uid_t)-1))
			_exit(1);
		__atomic_add_fetch(&lane->changes, 1, __ATOMIC_SEQ_CST);
		pause_ns(chance_below(chance, 300000));
	}
}

static void sender_main(int fd, struct lane *lane, struct claim *claim, struct chance *chance)
{
	struct racer racer = { .fd = fd, .lane = lane };
	char lane_text[16], fd_text[16];
	pthread_t thread;

	claim->pid = getpid();
	if (claim->kind == ALONE) {
		send_alone(fd, claim, chance);
		_exit(0);
	}
	if (claim->kind == RACING && setresuid(USER, (uid_t)-1, (uid_t)-1))
		_exit(1);
	racer.claim = *claim;
	if (pthread_create(&thread, NULL, send_meanwhile, &racer))
		_exit(1);
	if (claim->kind == RACING) {
		change_meanwhile(lane, chance);
		pthread_join(thread, NULL);
		_exit(0);
	}
	pause_ns(chance_below(chance, 3000000));
	snprintf(lane_text, sizeof(lane_text), "%u", claim->lane);
	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	if (!fcntl(fd, F_SETFD, 0))
		execl("/proc/self/exe", "kpost-stress", "--executed", fd_text, lane_text, NULL);
	_exit(1);
}

/* The other program: one message more, from the same process. */
int identities_executed(char **args)
{
	struct claim claim = {
		.pid = getpid(),
		.kind = EXECUTING,
		.lane = (unsigned int)strtoul(args[1], NULL, 10),
		.executed = true,
	};

	post((int)strtol(args[0], NULL, 10), &claim);
	return 0;
}

/* Is it what the kernel says? */
static bool right(const struct claim *claim, const struct kpost_message *message,
		  struct lane *lanes)
{
	struct lane *lane = &lanes[claim->lane % PROCESSES];
	uid_t uid;

	if (message->pid != claim->pid || claim->pid != lane->pid || message->gid != claim->gid)
		return false;
	/* Root opened the endpoint, and all act as root. */
	if (message->opener_uid || message->opener_gid ||
	    !(message->flags & KPOST_MESSAGE_MIXED_IDS) != !(message->uid || message->gid))
		return false;
	switch (claim->kind) {
	case ALONE:
		return message->uid == claim->uid;
	case RACING:
		if (claim->number >= EACH ||
		    !until(__atomic_load_n(&lane->sent[claim->number].known, __ATOMIC_ACQUIRE)))
			return false;
		uid = lane->sent[claim->number].uid;
		return lane->sent[claim->number].steady ? message->uid == uid :
							  message->uid == USER || message->uid == 0;
	default:
		return message->uid == 0;
	}
}

/* Receive until these have ended and nothing is left. */
static uint64_t receive(struct part *part, int fd, struct lane *lanes, uint64_t *executed)
{
	struct kpost_message message;
	unsigned int left = PROCESSES;
	uint64_t wrong = 0;
	struct claim claim;
	int status;

	for (;;) {
		ssize_t n = kpost_recv(fd, &claim, sizeof(claim), &message, 0, now() + 5 * MS);

		if (n == sizeof(claim)) {
			part->sums[SUM_RECEIPTS]++;
			*executed += claim.executed;
			if (!right(&claim, &message, lanes) && !wrong++)
				note("kind %d: pid %d, user %u, group %u, it says %d, %u, %u",
				     claim.kind, message.pid, message.uid, message.gid, claim.pid,
				     claim.uid, claim.gid);
			continue;
		}
		if (n != -ETIMEDOUT) {
			note("receiving: %zd", n);
			return wrong + 1;
		}
		if (!left)
			return wrong;
		for (int i = 0; i < PROCESSES; i++) {
			if (lanes[i].ended ||
			    waitpid(lanes[i].pid, &status, WNOHANG) != lanes[i].pid)
				continue;
			if (status && !wrong++)
				note("kind %d ended with status %#x", i, status);
			lanes[i].ended = true;
			left--;
		}
	}
}

void run_identities(struct part *part)
{
	int fd = open_mailbox(NULL, SEND_RECV, KPOST_OPEN_ANONYMOUS, 1024, 0, 0);
	struct lane *lanes = shared(PROCESSES * sizeof(*lanes));
	uint64_t wrong = 0, executed = 0, rounds = 0;

	do {
		memset(lanes, 0, PROCESSES * sizeof(*lanes));
		for (unsigned int i = 0; i < PROCESSES; i++) {
			struct claim claim = { .kind = (enum kind)i, .lane = i };
			struct chance chance = chance_of(10000 + rounds * PROCESSES + i);
			pid_t pid = process_start();

			if (!pid)
				sender_main(fd, &lanes[i], &claim, &chance);
			lanes[i].pid = pid;
		}
		wrong += receive(part, fd, lanes, &executed);
		rounds++;
	} while (part->sums[SUM_RECEIPTS] < part->goal && now() < part->end && !wrong);
	part->sums[SUM_SENT] = stat_of(fd).sent;
	part->sums[SUM_RECEIVED] = stat_of(fd).received;
	part->sums[SUM_ROUNDS] = rounds;
	close(fd);
	check(!wrong && executed == rounds && rounds,
	      "%s: right in %llu messages, %llu of them from an executed program (%llu not)",
	      part->name, (unsigned long long)part->sums[SUM_RECEIPTS],
	      (unsigned long long)executed, (unsigned long long)wrong);
}
