// SPDX-License-Identifier: GPL-2.0-only
/* What only tells: an eventfd, and a futex beside memory that both sides share. */
#include "bench.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static int open_event(struct line *line, const struct load *load)
{
	(void)load;
	line->in = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
	line->out = line->in;
	return line->in < 0 ? -errno : 0;
}

static void event_send(struct line *line, void *buf, size_t len)
{
	uint64_t one = 1;

	(void)buf;
	(void)len;
	write_all(line, &one, sizeof(one));
}

static void event_receive(struct line *line, void *buf, size_t len)
{
	uint64_t one;

	(void)buf;
	(void)len;
	read_all(line, &one, sizeof(one));
}

const struct transport event_fd = {
	.name = "eventfd",
	.what = "an eventfd; carries no message",
	.traits = NO_DATA,
	.open = open_event,
	.close = close_fds,
	.send = event_send,
	.receive = event_receive,
};

/* One sender, one receiver; each wakes the other only if that one says it sleeps. */
struct memory {
	_Atomic uint32_t sent, received;
	_Atomic uint32_t sender_sleeps, receiver_sleeps;
	uint32_t slots;
	unsigned char data[];
};

static int open_memory(struct line *line, const struct load *load)
{
	struct memory *memory = shared(sizeof(*memory) + room_of(load) * load->size);

	memory->slots = (uint32_t)room_of(load);
	line->state = memory;
	line->in = line->out = -1;
	return 0;
}

static void close_memory(struct line *line)
{
	/* Its length is not needed: the case's process ends soon. */
	line->state = NULL;
}

static void sleep_while(_Atomic uint32_t *word, uint32_t value, _Atomic uint32_t *sleeps)
{
	atomic_store(sleeps, 1);
	if (atomic_load(word) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
	atomic_store(sleeps, 0);
}

static void advance(_Atomic uint32_t *word, _Atomic uint32_t *sleeps)
{
	atomic_fetch_add(word, 1);
	if (atomic_load(sleeps))
		syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void memory_send(struct line *line, void *buf, size_t len)
{
	struct memory *memory = line->state;
	uint32_t received;

	while ((received = atomic_load(&memory->received)) + memory->slots == memory->sent)
		sleep_while(&memory->received, received, &memory->sender_sleeps);
	memcpy(memory->data + memory->sent % memory->slots * len, buf, len);
	advance(&memory->sent, &memory->receiver_sleeps);
}

static void memory_receive(struct line *line, void *buf, size_t len)
{
	struct memory *memory = line->state;
	uint32_t sent;

	while ((sent = atomic_load(&memory->sent)) == memory->received)
		sleep_while(&memory->sent, sent, &memory->receiver_sleeps);
	memcpy(buf, memory->data + memory->received % memory->slots * len, len);
	advance(&memory->received, &memory->sender_sleeps);
}

const struct transport futex_memory = {
	.name = "futex",
	.what = "shared memory and a futex; each side trusts the other",
	.traits = ONE_SENDER | NO_POLL,
	.open = open_memory,
	.close = close_memory,
	.send = memory_send,
	.receive = memory_receive,
};
