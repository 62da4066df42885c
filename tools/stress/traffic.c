// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts "traffic" and "volume": workers are started, killed and replaced, and
 * those that stand still though they need not are found.
 */
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "traffic.h"

#define KILL_EVERY (50 * MS)
#define LOOK_EVERY (100 * MS)

/* What somebody who looks now and then has seen of a slot or a mailbox. */
struct look {
	uint64_t progress;
	uint64_t since;
	uint64_t received; /* of the mailbox then */
	bool over; /* of a sender: what it waits for has happened */
};

struct run {
	struct part *part;
	struct traffic *traffic;
	struct ledger *ledger;
	struct look slots[SLOTS_MAX];
	struct look mailboxes[MAILBOXES];
	unsigned int receivers[MAILBOXES];
	uint64_t stuck;
	uint64_t next_look;
};

static void start(struct run *run, struct slot *slot)
{
	pid_t pid;

	slot->life++;
	pid = process_start();
	if (!pid)
		worker_main(run->traffic, slot);
	slot->pid = pid;
}

static void add_slots(struct run *run, enum role role, unsigned int count)
{
	struct traffic *traffic = run->traffic;

	for (unsigned int i = 0; i < count; i++) {
		struct slot *slot = &traffic->slots[traffic->count];

		slot->role = role;
		slot->index = traffic->count++;
		slot->mailbox = role == SERVER ? SERVICE : i % SERVICE;
		/* Death ends waits that nothing else would: some live to show those. */
		slot->mortal = traffic->kills && (role == RECEIVER ? i / SERVICE & 1 : i & 1);
		if (role == RECEIVER || role == SERVER)
			run->receivers[slot->mailbox]++;
		for (int n = 0; n < LOG && role != SENDER && role != CALLER; n++)
			slot->receipts[n].result = READ_ALREADY;
	}
}

static void open_mailboxes(struct traffic *traffic)
{
	static const unsigned int messages[MAILBOXES] = { 1, 16, 256, 8 };

	for (unsigned int i = 0; i < MAILBOXES; i++) {
		snprintf(traffic->names[i], sizeof(traffic->names[i]), "stress.%d.%u", getpid(), i);
		traffic->fds[i] = open_mailbox(traffic->names[i], SEND_RECV,
					       KPOST_OPEN_CREATE | KPOST_OPEN_EXCL,
					       traffic->cheap ? 1024 : messages[i], 1 << 20,
					       PAYLOAD_MAX);
	}
}

static void stuck(struct run *run, const char *what, unsigned int which, uint64_t since)
{
	struct slot *slot = &run->traffic->slots[which];
	bool mailbox = !strncmp(what, "mailbox", 7);
	struct kpost_stat st = stat_of(run->traffic->fds[mailbox ? which : slot->mailbox]);

	if (run->stuck++ > 5)
		return;
	note("%s %u stands still for %.1f s (processors were not to be had for %.1f s)", what,
	     which, (double)(now() - since) / SECOND, (double)starved_since(since) / SECOND);
	note("mailbox: queued %u, sent %llu, received %llu, waiting receivers %u, senders %u",
	     st.queued_messages, (unsigned long long)st.sent, (unsigned long long)st.received,
	     st.waiting_receivers, st.waiting_senders);
	if (!mailbox)
		note("slot: role %d, pid %d, operations %llu, waits %d", slot->role, slot->pid,
		     (unsigned long long)slot->operations, slot->waits);
}

static bool too_long(uint64_t since)
{
	uint64_t stood = now() - since;

	return stood > SECOND && stood > SECOND + starved_since(since);
}

/* A mailbox with a message in it or a sender at its door, from which nobody takes one. */
static void look_at_mailbox(struct run *run, unsigned int i)
{
	struct kpost_stat st = stat_of(run->traffic->fds[i]);
	struct look *look = &run->mailboxes[i];

	if (st.received != look->progress || !(st.queued_messages || st.waiting_senders) ||
	    !run->receivers[i] || run->traffic->tail) {
		*look = (struct look){ st.received, now(), st.received, false };
	} else if (too_long(look->since)) {
		stuck(run, "mailbox", i, look->since);
		look->since = now();
	}
}

/*
 * A sender whose message was received, or a receiver that was overtaken by more than
 * can have stood before it in the line, and still waits.
 */
static void look_at_slot(struct run *run, struct slot *slot)
{
	struct look *look = &run->slots[slot->index];
	bool sends = slot->role == SENDER || slot->role == CALLER;
	uint64_t received = run->mailboxes[slot->mailbox].progress;
	uint64_t operations = slot->operations;
	bool over;

	if (sends)
		over = ledger_over(run->ledger, slot);
	else
		over = __atomic_load_n(&slot->waits, __ATOMIC_ACQUIRE) &&
		       received - look->received > 4 * run->receivers[slot->mailbox];
	/* Its count of operations is of a process that may have been replaced. */
	if (operations + ((uint64_t)slot->life << 32) != look->progress ||
	    (sends && over != look->over)) {
		*look = (struct look){ operations + ((uint64_t)slot->life << 32), now(), received,
				       sends && over };
	} else if (over && slot->head != slot->next && too_long(look->since)) {
		stuck(run, "slot", slot->index, look->since);
		look->since = now();
	}
}

static void read_logs(struct run *run)
{
	for (unsigned int i = 0; i < run->traffic->count; i++)
		ledger_read(run->ledger, &run->traffic->slots[i]);
}

static void look_around(struct run *run)
{
	if (now() < run->next_look)
		return;
	run->next_look = now() + LOOK_EVERY;
	for (unsigned int i = 0; i < MAILBOXES; i++)
		look_at_mailbox(run, i);
	for (unsigned int i = 0; i < run->traffic->count; i++)
		if (run->traffic->slots[i].pid && !run->traffic->slots[i].killed)
			look_at_slot(run, &run->traffic->slots[i]);
}

/* Read what a process has left; it was waited for. */
static void bury(struct run *run, struct slot *slot)
{
	slot->pid = 0;
	slot->waits = false;
	ledger_killed(run->ledger, slot);
}

/* What the killer knows of a slot. */
struct victim {
	int pidfd; /* -1 if it has gone */
	uint64_t since;
};

/*
 * One that is alive, if any is.  It is waited for only once it is noted as killed, and
 * killed only if it is not: so its number is its own meanwhile.
 */
static void kill_one(struct traffic *traffic, struct victim *victims, struct chance *chance)
{
	for (int tries = 0; tries < 4 * SLOTS_MAX; tries++) {
		struct slot *slot = &traffic->slots[chance_below(chance, traffic->count)];
		struct victim *victim = &victims[slot->index];

		if (!slot->mortal || __atomic_load_n(&slot->killed, __ATOMIC_ACQUIRE) ||
		    victim->pidfd >= 0)
			continue;
		victim->pidfd = (int)syscall(SYS_pidfd_open, slot->pid, 0);
		if (victim->pidfd < 0)
			_exit(1);
		/* How long it takes is to be its own affair, not that of all who work. */
		setpriority(PRIO_PROCESS, (id_t)slot->pid, -15);
		victim->since = now();
		kill(slot->pid, SIGKILL);
		__atomic_store_n(&slot->killed, true, __ATOMIC_RELEASE);
		return;
	}
}

/* Wait until @due at most for some to go. Returns whether any have not. */
static bool await_deaths(struct traffic *traffic, struct victim *victims, uint64_t due)
{
	struct pollfd fds[SLOTS_MAX];
	uint64_t at = now(), starved;
	bool any = false;

	for (unsigned int i = 0; i < SLOTS_MAX; i++)
		fds[i] = (struct pollfd){ .fd = victims[i].pidfd, .events = POLLIN };
	poll(fds, SLOTS_MAX, at < due ? (int)((due - at) / MS) + 1 : 0);
	for (unsigned int i = 0; i < SLOTS_MAX; i++) {
		uint64_t took = now() - victims[i].since;

		if (fds[i].fd < 0)
			continue;
		if (!fds[i].revents) {
			any = true;
			continue;
		}
		starved = starved_since(victims[i].since);
		if (took > starved && took - starved > traffic->slowest_death)
			traffic->slowest_death = took - starved;
		close(fds[i].fd);
		victims[i].pidfd = -1;
	}
	return any;
}

/* A process of its own: whoever keeps the books has no time to be punctual. */
static pid_t start_killer(struct traffic *traffic)
{
	struct victim victims[SLOTS_MAX];
	struct chance chance = chance_of(~0ull);
	pid_t pid = process_start();
	uint64_t due = now();

	if (pid)
		return pid;
	for (unsigned int i = 0; i < SLOTS_MAX; i++)
		victims[i].pidfd = -1;
	while (!__atomic_load_n(&traffic->stop_killer, __ATOMIC_ACQUIRE)) {
		for (due += KILL_EVERY; now() < due;)
			await_deaths(traffic, victims, due);
		kill_one(traffic, victims, &chance);
	}
	while (await_deaths(traffic, victims, now() + SECOND))
		;
	_exit(0);
}

/* Read what the killed have left, and replace one. Returns whether there are no more. */
static bool replace_killed(struct run *run)
{
	struct slot *gone = NULL;
	bool all = true;

	for (unsigned int i = 0; i < run->traffic->count; i++) {
		struct slot *slot = &run->traffic->slots[i];

		if (!__atomic_load_n(&slot->killed, __ATOMIC_ACQUIRE))
			continue;
		all = false;
		if (slot->pid && waitpid(slot->pid, NULL, WNOHANG) == slot->pid) {
			run->part->sums[SUM_KILLS]++;
			bury(run, slot);
		}
		if (!slot->pid)
			gone = slot;
	}
	/* To start one takes its time, and there are books to keep. */
	if (gone) {
		start(run, gone);
		__atomic_store_n(&gone->killed, false, __ATOMIC_RELEASE);
	}
	return all;
}

static bool finished(const struct run *run)
{
	const struct traffic *traffic = run->traffic;

	if (now() >= run->part->end)
		return true;
	for (unsigned int i = 0; i < traffic->count; i++)
		if (traffic->slots[i].role == SENDER && traffic->slots[i].sent < traffic->wanted)
			return false;
	return traffic->wanted < NUMBERS;
}

/* Wait until these have come to their end by themselves. */
static bool gather(struct run *run, bool senders)
{
	uint64_t began = now();
	unsigned int left;
	int status;

	do {
		left = 0;
		read_logs(run);
		look_around(run);
		for (unsigned int i = 0; i < run->traffic->count; i++) {
			struct slot *slot = &run->traffic->slots[i];

			if (!slot->pid || (slot->role == SENDER || slot->role == CALLER) != senders)
				continue;
			if (waitpid(slot->pid, &status, WNOHANG) == slot->pid) {
				if (status) {
					note("slot %u ended with status %x", i, status);
					run->stuck++;
				}
				slot->pid = 0;
				slot->waits = false;
				continue;
			}
			left++;
			/* What waits for a message needs to be told that there will be none. */
			if (!senders)
				kill(slot->pid, SIGUSR1);
		}
		pause_ns(MS);
	} while (left && now() - began < SOON + starved_since(began));
	read_logs(run);
	return !left;
}

static bool empty(struct run *run)
{
	bool any = false;

	read_logs(run);
	look_around(run);
	for (unsigned int i = 0; i < MAILBOXES; i++)
		any |= stat_of(run->traffic->fds[i]).queued_messages;
	return !any;
}

static void kill_all(struct run *run)
{
	for (unsigned int i = 0; i < run->traffic->count; i++) {
		struct slot *slot = &run->traffic->slots[i];

		if (!slot->pid)
			continue;
		process_kill(slot->pid);
		bury(run, slot);
	}
}

/* Once more, with nobody who receives: what is sent now stays. */
static void fill(struct run *run)
{
	struct traffic *traffic = run->traffic;

	traffic->tail = true;
	traffic->stop_senders = false;
	for (unsigned int i = 0; i < traffic->count; i++)
		if (traffic->slots[i].role == SENDER)
			start(run, &traffic->slots[i]);
	for (uint64_t end = now() + 200 * MS; now() < end; pause_ns(MS))
		read_logs(run);
	traffic->stop_senders = true;
	check(gather(run, true), "%s: senders that do not wait come to their end", run->part->name);
}

static void drain(struct run *run)
{
	static struct receipt receipt;

	for (unsigned int i = 0; i < MAILBOXES; i++) {
		run->part->sums[SUM_QUEUED] += stat_of(run->traffic->fds[i]).queued_messages;
		do {
			receipt.recv = (struct kpost_recv){
				.flags = KPOST_DONTWAIT,
				.buf = (uintptr_t)receipt.payload,
				.len = sizeof(receipt.payload),
			};
			receipt.result =
				operate(run->traffic->fds[i], KPOST_IOC_RECV, &receipt.recv);
			if (receipt.result >= 0)
				ledger_take(run->ledger, &receipt);
		} while (receipt.result >= 0);
	}
}

static void end(struct run *run)
{
	struct traffic *traffic = run->traffic;
	const char *name = run->part->name;

	traffic->stop_senders = true;
	check(gather(run, true), "%s: all senders and callers come to their end", name);
	check(until(empty(run)), "%s: what was sent is received by those who wait", name);
	traffic->stop_receivers = true;
	check(gather(run, false), "%s: all receivers and servers come to their end", name);
	kill_all(run);
	fill(run);
	kill_all(run);
	drain(run);
	/* What a ring left behind is done a little later. */
	until(stat_of(traffic->fds[0]).waiting_receivers == 0 && empty(run));
	check(!run->stuck, "%s: nobody stands still for a second who need not (%llu)", name,
	      (unsigned long long)run->stuck);
	if (traffic->kills)
		check(traffic->slowest_death < SECOND,
		      "%s: the killed die within a second (%.3f s)", name,
		      (double)traffic->slowest_death / SECOND);
}

static void run_all(struct run *run)
{
	struct traffic *traffic = run->traffic;
	pid_t killer = 0;

	/* Whoever keeps the books must not be the slowest. */
	setpriority(PRIO_PROCESS, 0, -15);
	open_mailboxes(traffic);
	run->ledger = ledger_open(traffic);
	for (unsigned int i = 0; i < traffic->count; i++)
		start(run, &traffic->slots[i]);
	for (unsigned int i = 0; i < MAILBOXES; i++)
		run->mailboxes[i].since = now();
	if (traffic->kills)
		killer = start_killer(traffic);
	while (!finished(run)) {
		read_logs(run);
		replace_killed(run);
		look_around(run);
		pause_ns(MS / 2);
	}
	__atomic_store_n(&traffic->stop_killer, true, __ATOMIC_RELEASE);
	if (killer && (process_wait(killer) || !until(replace_killed(run))))
		traffic->slowest_death = UINT64_MAX;
	end(run);
	ledger_settle(run->ledger, run->part);
	for (unsigned int i = 0; i < MAILBOXES; i++)
		close(traffic->fds[i]);
	setpriority(PRIO_PROCESS, 0, 0);
}

static void prepare(struct run *run, struct part *part)
{
	*run = (struct run){ .part = part };
	run->traffic = shared(sizeof(*run->traffic));
	run->traffic->wanted = NUMBERS;
	run->traffic->kills = !no_kills;
	run->traffic->faults = faults_start();
	if (!run->traffic->faults)
		check_skip("%s: this kernel cannot have allocations fail", part->name);
}

static void finish(struct run *run)
{
	check(run->part->sums[SUM_EFAULT], "%s: copies failed", run->part->name);
	if (run->traffic->faults) {
		faults_stop();
		check(run->part->sums[SUM_ENOMEM], "%s: allocations failed", run->part->name);
	}
}

/* Every way there is. */
void run_traffic(struct part *part)
{
	static struct run run;

	prepare(&run, part);
	add_slots(&run, SENDER, 6);
	add_slots(&run, RECEIVER, 6);
	add_slots(&run, CALLER, 3);
	add_slots(&run, SERVER, 3);
	run_all(&run);
	finish(&run);
}

/* As many messages as there can be, from eight senders to four receivers. */
void run_volume(struct part *part)
{
	static struct run run;

	prepare(&run, part);
	run.traffic->cheap = true;
	run.traffic->wanted = part->goal / 8 < NUMBERS ? part->goal / 8 : NUMBERS;
	add_slots(&run, SENDER, 8);
	add_slots(&run, RECEIVER, 4);
	run_all(&run);
	finish(&run);
}
