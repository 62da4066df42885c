// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ledger: what became of each message of each sender.
 *
 * It reads the workers' logs, one note at a time and each once, and settles at the end
 * what can be known only then.  No loss is explained away: what the test counts has to
 * agree with what the kernel counts, for each mailbox.
 */
#include "traffic.h"

/* What is known of one message. */
enum {
	SENT = 1 << 0, /* the sender was told so */
	FAILED = 1 << 1, /* the sender was told that it was not */
	UNKNOWN = 1 << 2, /* the sender was not told */
	RECEIVED = 1 << 3,
	SYNC = 1 << 4, /* if withdrawn, the kernel may count it as dropped */
	ORPHAN = 1 << 5, /* its place in the order is not the sender's */
	CALL_DONE = 1 << 6, /* how a call ended for its caller; none of these: some other way */
	CALL_RESET = 1 << 7,
	CALL_LEFT = 1 << 8,
	MAILBOX_SHIFT = 9,
	ANSWER_SHIFT = 11,
};

/* A receipt that a killed receiver had in its hands, or a ring that went. */
struct held {
	unsigned int receiver;
	unsigned int sender;
	uint64_t number;
	uint64_t sequence; /* 0: it may not have been received */
	unsigned int mailbox;
};

struct ledger {
	struct traffic *traffic;
	uint16_t *state[SLOTS_MAX];
	uint32_t *sequence[SLOTS_MAX];
	/* the highest sequence number that a receiver has had of a sender and priority */
	uint32_t last[SLOTS_MAX][SLOTS_MAX][PRIORITIES];
	struct held *held;
	size_t held_count, held_room;
	uint64_t dispatched[SLOTS_MAX]; /* notes of dispatches read */
	uint64_t received[MAILBOXES];
	uint64_t withdrawals[MAILBOXES]; /* at most so many drops */
	uint64_t late; /* receipts behind a later one of the same sender and priority */
	uint64_t put_back; /* at most */
	uint64_t in_hand, ambiguous, left, killed_receiving;
	/* what must not be */
	uint64_t broken, doubled, lost, phantom, disorder, stray, echo, disagreement;
	char first[128]; /* the first of them */
};

static void wrong(struct ledger *ledger, uint64_t *count, const char *what, unsigned int sender,
		  uint64_t number)
{
	if (!(*count)++ && !*ledger->first)
		snprintf(ledger->first, sizeof(ledger->first), "%s: message %llu of sender %u",
			 what, (unsigned long long)number, sender);
}

struct ledger *ledger_open(struct traffic *traffic)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		die("no memory");
	ledger->traffic = traffic;
	/* Shared, so that no fork copies it; what is not touched takes no memory. */
	for (unsigned int i = 0; i < traffic->count; i++) {
		if (traffic->slots[i].role != SENDER && traffic->slots[i].role != CALLER)
			continue;
		ledger->state[i] = shared(NUMBERS * sizeof(uint16_t));
		ledger->sequence[i] = shared(NUMBERS * sizeof(uint32_t));
	}
	return ledger;
}

static void read_call(struct ledger *ledger, unsigned int sender, const struct dispatch *dispatch)
{
	uint16_t *state = &ledger->state[sender][dispatch->number];

	switch (dispatch->result) {
	case -ECONNRESET:
		/* It was received, and not answered. */
		*state |= SENT | CALL_RESET;
		break;
	case -ENOMEM:
	case -EMSGSIZE:
		*state |= FAILED;
		break;
	case -ETIMEDOUT:
	case -EINTR:
	case -ECANCELED:
		*state |= UNKNOWN | CALL_LEFT;
		break;
	case -EFAULT:
		/* On the way in, or back. */
	case PENDING:
	case GIVEN_UP:
		*state |= UNKNOWN;
		break;
	default:
		*state |= SENT | CALL_DONE;
		if (dispatch->result != sizeof(dispatch->echo) ||
		    dispatch->echo != dispatch->number)
			wrong(ledger, &ledger->echo, "not its own reply", sender, dispatch->number);
	}
}

static void read_dispatch(struct ledger *ledger, struct slot *slot)
{
	const struct dispatch *dispatch = &slot->dispatches[slot->tail % LOG];
	uint16_t *state = &ledger->state[slot->index][dispatch->number];

	*state |= (uint16_t)(dispatch->mailbox << MAILBOX_SHIFT) | (dispatch->sync ? SYNC : 0) |
		  (dispatch->orphan ? ORPHAN : 0);
	ledger->dispatched[slot->index]++;
	if (slot->role == CALLER)
		read_call(ledger, slot->index, dispatch);
	else if (dispatch->result == PENDING)
		*state |= UNKNOWN;
	else
		*state |= dispatch->result == 0 ? SENT : FAILED;
}

/* A message that is known to have been received, by @receiver or by the test (NULL). */
static void book(struct ledger *ledger, const struct slot *receiver, unsigned int sender,
		 uint64_t number, unsigned int mailbox, uint64_t sequence)
{
	if (sender >= ledger->traffic->count || !ledger->state[sender]) {
		wrong(ledger, &ledger->stray, "of no sender", sender, number);
		return;
	}
	if (ledger->state[sender][number] & RECEIVED)
		wrong(ledger, &ledger->doubled, "received twice", sender, number);
	else
		ledger->received[mailbox]++;
	ledger->state[sender][number] |= RECEIVED;
	if (receiver && receiver->mailbox != mailbox)
		wrong(ledger, &ledger->stray, "in another's mailbox", sender, number);
	if (sequence)
		ledger->sequence[sender][number] = (uint32_t)sequence;
}

/* Within one priority a sender's messages come in order, unless put back meanwhile. */
static void look_at_order(struct ledger *ledger, const struct slot *slot,
			  const struct receipt *receipt)
{
	uint32_t *last;

	if (receipt->recv.priority >= PRIORITIES || receipt->item.sender >= SLOTS_MAX)
		return;
	last = &ledger->last[slot->index][receipt->item.sender][receipt->recv.priority];
	if (receipt->recv.sequence < *last)
		ledger->late++;
	else
		*last = (uint32_t)receipt->recv.sequence;
}

static void read_receipt(struct ledger *ledger, struct slot *slot, struct receipt *receipt)
{
	const struct item *item = &receipt->item;
	int64_t result = receipt->result;

	receipt->result = READ_ALREADY;
	if (!item_whole(item) || (uint64_t)result != item->size) {
		wrong(ledger, &ledger->broken, "not as it was sent", item->sender, item->number);
		return;
	}
	if (receipt->described)
		look_at_order(ledger, slot, receipt);
	book(ledger, slot, item->sender, item->number, item->mailbox,
	     receipt->described ? receipt->recv.sequence : 0);
	if (slot->role == SERVER && ledger->state[item->sender])
		ledger->state[item->sender][item->number] |=
			(uint16_t)(receipt->answer << ANSWER_SHIFT);
}

void ledger_read(struct ledger *ledger, struct slot *slot)
{
	uint64_t head = __atomic_load_n(&slot->head, __ATOMIC_ACQUIRE);

	while (slot->tail != head) {
		if (slot->role == SENDER || slot->role == CALLER)
			read_dispatch(ledger, slot);
		else
			read_receipt(ledger, slot, &slot->receipts[slot->tail % LOG]);
		__atomic_store_n(&slot->tail, slot->tail + 1, __ATOMIC_RELEASE);
	}
}

/* What a killed one's note says. */
static void hold(struct ledger *ledger, const struct slot *slot, const struct receipt *receipt)
{
	bool known = receipt->described && receipt->recv.sequence;
	const struct item *item = &receipt->item;

	if (receipt->described ? !known : !item_whole(item))
		return;
	/* The struct is of one that was withdrawn just then, the payload of the next. */
	if (known && receipt->recv.size != item->size)
		return;
	if (!item_whole(item)) {
		wrong(ledger, &ledger->broken, "received by a killed one, and not as it was sent",
		      item->sender, item->number);
		return;
	}
	if (ledger->held_count == ledger->held_room) {
		ledger->held_room = ledger->held_room * 2 + 64;
		ledger->held = realloc(ledger->held, ledger->held_room * sizeof(*ledger->held));
		if (!ledger->held)
			die("no memory");
	}
	ledger->held[ledger->held_count++] = (struct held){
		.receiver = slot->index,
		.sender = item->sender,
		.number = item->number,
		.sequence = known ? receipt->recv.sequence : 0,
		.mailbox = item->mailbox,
	};
}

/* @slot's process has gone: read what it left. */
void ledger_killed(struct ledger *ledger, struct slot *slot)
{
	struct receipt *receipt = &slot->receipts[slot->head % LOG];
	struct receipt *next = &slot->receipts[(slot->head + 1) % LOG];

	ledger_read(ledger, slot);
	if (slot->role == SENDER || slot->role == CALLER) {
		/* Begun, and not noted what came of it. */
		if (slot->next > ledger->dispatched[slot->index]) {
			uint64_t number = slot->next - 1;
			const struct dispatch *dispatch = &slot->dispatches[slot->head % LOG];

			ledger->state[slot->index][number] |=
				(uint16_t)(UNKNOWN | dispatch->mailbox << MAILBOX_SHIFT |
					   (dispatch->sync ? SYNC : 0) |
					   (dispatch->orphan ? ORPHAN : 0));
			ledger->dispatched[slot->index]++;
		}
		return;
	}
	ledger->killed_receiving++;
	if (receipt->result >= 0) {
		bool both = slot->role == SERVER && receipt->answer == ANSWER_TRIED;

		if (receipt->answer == ANSWER_TRIED)
			receipt->answer = ANSWER_NONE;
		read_receipt(ledger, slot, receipt);
		if (both && next->result == PENDING)
			hold(ledger, slot, next);
	} else if (receipt->result == PENDING) {
		hold(ledger, slot, receipt);
	}
	receipt->result = READ_ALREADY;
	next->result = READ_ALREADY;
}

/* What the test itself takes out of a mailbox at the end. */
void ledger_take(struct ledger *ledger, struct receipt *receipt)
{
	ledger->left++;
	if (!item_whole(&receipt->item)) {
		wrong(ledger, &ledger->broken, "left, and not as it was sent", receipt->item.sender,
		      receipt->item.number);
		return;
	}
	book(ledger, NULL, receipt->item.sender, receipt->item.number, receipt->item.mailbox,
	     receipt->recv.sequence);
}

/* Was what this sender is sending received (and a call answered)? */
bool ledger_over(const struct ledger *ledger, const struct slot *slot)
{
	uint64_t next = __atomic_load_n(&slot->next, __ATOMIC_ACQUIRE);
	uint16_t state;

	if (!next)
		return false;
	state = ledger->state[slot->index][next - 1];
	if (slot->role == CALLER)
		return state >> ANSWER_SHIFT >= ANSWER_GIVEN;
	return state & RECEIVED;
}

uint64_t ledger_receipts(const struct ledger *ledger)
{
	uint64_t sum = 0;

	for (int i = 0; i < MAILBOXES; i++)
		sum += ledger->received[i];
	return sum;
}

/*
 * Was it another that @held has the struct of?  One that was put back keeps its number,
 * so that whoever received this one has it by another then.
 */
static bool of_another(const struct ledger *ledger, const struct held *held)
{
	uint32_t sequence = ledger->sequence[held->sender][held->number];

	return sequence && sequence != (uint32_t)held->sequence;
}

/*
 * Was this withdrawn by a signal, and sent again when the system call was restarted?
 * Then whoever received it has it by another sequence number, or by none.
 */
static bool restarted(const struct ledger *ledger, const struct held *held)
{
	const struct slot *sender = &ledger->traffic->slots[held->sender];
	uint16_t state = ledger->state[held->sender][held->number];

	return state & RECEIVED && state & SYNC && sender->restarts[held->mailbox] &&
	       !ledger->sequence[held->sender][held->number];
}

/* What was in the hands of the dead: those first of whom it is known. */
static void settle_held(struct ledger *ledger)
{
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < ledger->held_count; i++) {
			const struct held *held = &ledger->held[i];
			bool known = held->sequence;
			uint16_t state;

			if (known != !pass)
				continue;
			if (held->sender >= ledger->traffic->count || !ledger->state[held->sender])
				continue;
			state = ledger->state[held->sender][held->number];
			if (known && (restarted(ledger, held) || of_another(ledger, held)))
				continue;
			/* Withdrawn at the last moment, or put back. */
			if (state & FAILED || (!known && state & RECEIVED))
				continue;
			/* Both are dead: only the kernel knows whether it was withdrawn. */
			if (state & UNKNOWN && state & SYNC && !(state & RECEIVED))
				ledger->ambiguous++;
			ledger->in_hand++;
			book(ledger, &ledger->traffic->slots[held->receiver], held->sender,
			     held->number, held->mailbox, held->sequence);
		}
	}
}

/* What a call's two ends say has to agree. */
static void settle_call(struct ledger *ledger, struct part *part, unsigned int sender,
			uint64_t number)
{
	uint16_t state = ledger->state[sender][number];
	enum answer answer = state >> ANSWER_SHIFT;
	bool agree = true;

	/* A server that was killed may have done either; so may one that was killed trying. */
	if (state & CALL_DONE)
		agree = answer == ANSWER_GIVEN || answer == ANSWER_NONE;
	else if (state & CALL_RESET)
		agree = answer != ANSWER_GIVEN && answer != ANSWER_LATE;
	else if (state & CALL_LEFT)
		agree = answer != ANSWER_GIVEN && answer != ANSWER_DROPPED;
	if (!agree)
		wrong(ledger, &ledger->disagreement, "caller and server disagree", sender, number);
	part->sums[SUM_CALLS] += !!(state & CALL_DONE);
	part->sums[SUM_RESET] += !!(state & CALL_RESET);
	part->sums[SUM_ANSWERED] += answer == ANSWER_GIVEN;
	part->sums[SUM_LATE] += answer == ANSWER_LATE;
}

static void settle_sender(struct ledger *ledger, struct part *part, const struct slot *slot)
{
	uint32_t last[MAILBOXES] = { 0 };

	for (uint64_t number = 0; number < slot->next; number++) {
		uint16_t state = ledger->state[slot->index][number];
		unsigned int mailbox = state >> MAILBOX_SHIFT & (MAILBOXES - 1);
		uint32_t sequence = ledger->sequence[slot->index][number];

		part->sums[SUM_SENDS] += !!(state & SENT);
		if (state & SENT && !(state & RECEIVED))
			wrong(ledger, &ledger->lost, "sent and lost", slot->index, number);
		if (state & FAILED && state & RECEIVED)
			wrong(ledger, &ledger->phantom, "failed and received", slot->index, number);
		if (!(state & (SENT | FAILED | UNKNOWN)))
			wrong(ledger, &ledger->phantom, "never sent", slot->index, number);
		if (state & UNKNOWN)
			part->sums[state & RECEIVED ? SUM_UNKNOWN_SENT : SUM_UNKNOWN_UNSENT]++;
		if (state & SYNC && state & (FAILED | UNKNOWN) && !(state & RECEIVED))
			ledger->withdrawals[mailbox]++;
		if (slot->role == CALLER)
			settle_call(ledger, part, slot->index, number);
		if (!sequence || state & ORPHAN)
			continue;
		if (sequence <= last[mailbox])
			wrong(ledger, &ledger->disorder, "let in out of order", slot->index,
			      number);
		last[mailbox] = sequence;
	}
}

/* The kernel's counters and ours, for one mailbox. */
static void settle_mailbox(struct ledger *ledger, struct part *part, unsigned int mailbox)
{
	struct kpost_stat st = stat_of(ledger->traffic->fds[mailbox]);
	uint64_t received = ledger->received[mailbox];

	part->sums[SUM_SENT] += st.sent;
	part->sums[SUM_RECEIVED] += st.received;
	part->sums[SUM_DROPPED] += st.dropped;
	check(st.sent == st.received + st.dropped + st.queued_messages && !st.queued_messages &&
		      !st.queued_bytes,
	      "%s %u: sent %llu = received %llu + dropped %llu + queued %u", part->name, mailbox,
	      (unsigned long long)st.sent, (unsigned long long)st.received,
	      (unsigned long long)st.dropped, st.queued_messages);
	check(received - ledger->ambiguous <= st.received && st.received <= received,
	      "%s %u: the kernel counts %llu as received, those who received %llu", part->name,
	      mailbox, (unsigned long long)st.received, (unsigned long long)received);
	check(st.dropped <= ledger->withdrawals[mailbox],
	      "%s %u: %llu dropped, of %llu whose senders left", part->name, mailbox,
	      (unsigned long long)st.dropped, (unsigned long long)ledger->withdrawals[mailbox]);
	check(!st.waiting_receivers && !st.waiting_senders && !st.open_calls,
	      "%s %u: nobody waits and no call is open: %u, %u, %u", part->name, mailbox,
	      st.waiting_receivers, st.waiting_senders, st.open_calls);
}

/* With all workers gone and all mailboxes empty: the checks. */
void ledger_settle(struct ledger *ledger, struct part *part)
{
	struct traffic *traffic = ledger->traffic;
	uint64_t odd = 0;

	for (unsigned int i = 0; i < traffic->count; i++) {
		struct slot *slot = &traffic->slots[i];

		if (slot->role == RECEIVER)
			for (unsigned int n = 0; n < slot->orphaned; n++)
				hold(ledger, slot, &slot->orphans[n].receipt);
		for (unsigned int n = 0; n < MAILBOXES; n++)
			ledger->withdrawals[n] += slot->restarts[n];
		ledger->put_back += slot->role == RECEIVER || slot->role == SERVER ?
					    slot->efault + slot->orphaned :
					    0;
		part->sums[SUM_ENOMEM] += slot->enomem;
		part->sums[SUM_EFAULT] += slot->efault;
		part->sums[SUM_CANCELLED] += slot->cancelled;
		part->sums[SUM_RESUMED] += slot->resumed;
		part->sums[SUM_TIMED_OUT] += slot->timed_out;
		if (slot->odd && !odd)
			note("slot %u got errno %lld", i, -(long long)slot->odd_error);
		odd += slot->odd;
	}
	ledger->put_back += ledger->killed_receiving;
	settle_held(ledger);
	for (unsigned int i = 0; i < traffic->count; i++)
		if (ledger->state[i])
			settle_sender(ledger, part, &traffic->slots[i]);
	part->sums[SUM_RECEIPTS] += ledger_receipts(ledger);
	part->sums[SUM_LEFT] += ledger->left;
	part->sums[SUM_IN_HAND] += ledger->in_hand;
	for (unsigned int i = 0; i < MAILBOXES; i++) {
		settle_mailbox(ledger, part, i);
		part->sums[SUM_WITHDRAWN] += ledger->withdrawals[i];
	}
	if (*ledger->first)
		note("first of all: %s", ledger->first);
	check(!ledger->broken, "%s: payloads as they were sent (%llu were not)", part->name,
	      (unsigned long long)ledger->broken);
	check(!ledger->doubled, "%s: none received twice (%llu)", part->name,
	      (unsigned long long)ledger->doubled);
	check(!ledger->lost, "%s: none sent and lost (%llu)", part->name,
	      (unsigned long long)ledger->lost);
	check(!ledger->phantom && !ledger->stray, "%s: none received that was not sent (%llu)",
	      part->name, (unsigned long long)(ledger->phantom + ledger->stray));
	check(!ledger->disorder, "%s: let in by each sender in order (%llu were not)", part->name,
	      (unsigned long long)ledger->disorder);
	check(ledger->late <= ledger->put_back,
	      "%s: received in order, but for those put back: %llu late, of at most %llu put back",
	      part->name, (unsigned long long)ledger->late, (unsigned long long)ledger->put_back);
	check(!ledger->echo && !ledger->disagreement,
	      "%s: each call has its own reply or none, and its server agrees (%llu do not)",
	      part->name, (unsigned long long)(ledger->echo + ledger->disagreement));
	check(!odd, "%s: no error that nothing explains (%llu)", part->name,
	      (unsigned long long)odd);
	free(ledger->held);
	free(ledger);
}
