// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mutation by operations and their fields.  It need not know what makes sense: coverage
 * finds that out.
 */
#include <linux/kpost.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "mutate.h"

static unsigned int state;

static unsigned int below(unsigned int n)
{
	return n ? rand_r(&state) % n : 0;
}

static bool one_in(unsigned int n)
{
	return !below(n);
}

static const struct {
	uint8_t offset;
	uint16_t values;
} fields[] = {
	{ offsetof(struct operation, lane), LANES },
	{ offsetof(struct operation, kind), KIND_COUNT },
	{ offsetof(struct operation, via), VIA_COUNT },
	{ offsetof(struct operation, fd), SLOTS },
	{ offsetof(struct operation, to), SLOTS },
	{ offsetof(struct operation, flags), 256 },
	{ offsetof(struct operation, rights), 16 },
	{ offsetof(struct operation, size), SIZE_COUNT },
	{ offsetof(struct operation, at), MEM_COUNT },
	{ offsetof(struct operation, buf), MEM_COUNT },
	{ offsetof(struct operation, len), LEN_COUNT },
	{ offsetof(struct operation, reply_buf), MEM_COUNT },
	{ offsetof(struct operation, reply_len), LEN_COUNT },
	{ offsetof(struct operation, deadline), AT_COUNT },
	{ offsetof(struct operation, name), NAME_COUNT },
	{ offsetof(struct operation, value), 256 },
	{ offsetof(struct operation, pause), 8 },
	{ offsetof(struct operation, fail), 24 },
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static void change_field(struct operation *op)
{
	unsigned int which = below(FIELDS);
	uint8_t *field = (uint8_t *)op + fields[which].offset;

	if (fields[which].offset == offsetof(struct operation, to) && to_is_bits(op->kind)) {
		*field ^= 1u << below(7);
		return;
	}
	/* Flags are changed one by one, and numbers are small more often than not. */
	if (fields[which].values < 256)
		*field = one_in(3) ? 0 : below(fields[which].values);
	else if (fields[which].offset == offsetof(struct operation, flags))
		*field ^= 1u << below(8);
	else
		*field = one_in(8) ? below(256) : below(8);
}

static void random_operation(struct operation *op)
{
	unsigned int changes = below(4);

	memset(op, 0, sizeof(*op));
	op->lane = below(LANES);
	/* Half of them send and receive. */
	op->kind = one_in(2) ? OP_SEND + below(OP_REPLY_RECV - OP_SEND + 1) : 1 + below(OP_PLANT);
	op->fd = op->kind >= OP_INFO && op->kind <= OP_LIST ? 0 : 1 + below(2);
	op->to = to_is_bits(op->kind) ? 0 : 3 + below(4);
	op->value = below(8);
	if (op->kind == OP_SEND || op->kind == OP_RECV)
		op->flags = one_in(2) ? KPOST_DONTWAIT : 0;
	if (op->kind == OP_OPEN)
		op->flags = one_in(2) ? KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR : KPOST_OPEN_CREATE;
	while (changes--)
		change_field(op);
}

static void insert(struct program *program, unsigned int at, const struct operation *op)
{
	if (program->count == OPERATIONS_MAX)
		program->count--;
	if (at > program->count)
		at = program->count;
	memmove(program->operations + at + 1, program->operations + at,
		(program->count - at) * sizeof(*op));
	program->operations[at] = *op;
	program->count++;
}

static void delete (struct program *program, unsigned int at)
{
	if (!program->count)
		return;
	program->count--;
	memmove(program->operations + at, program->operations + at + 1,
		(program->count - at) * sizeof(*program->operations));
}

static void mutate_once(struct program *program)
{
	unsigned int at = below(program->count), other = below(program->count);
	struct operation op;

	switch (program->count ? below(12) : 0) {
	case 0:
	case 1:
	case 2:
		random_operation(&op);
		insert(program, below(program->count + 1), &op);
		break;
	case 3:
		delete (program, at);
		break;
	case 4:
		op = program->operations[at];
		op.lane = below(LANES);
		insert(program, below(program->count + 1), &op);
		break;
	case 5:
		op = program->operations[at];
		program->operations[at] = program->operations[other];
		program->operations[other] = op;
		break;
	case 6:
		/* The next failure in the same operation. */
		program->operations[at].fail = (program->operations[at].fail + 1) % 24;
		break;
	case 7:
		if (one_in(4))
			program->setup = below(SETUP_COUNT);
		program->operations[at].lane = below(LANES);
		break;
	default:
		change_field(&program->operations[at]);
	}
}

void mutate(struct program *program, unsigned int seed)
{
	unsigned int times;

	state = seed;
	for (times = 1 + below(4); times; times--)
		mutate_once(program);
}

void mutate_cross(struct program *program, const struct program *other, unsigned int seed)
{
	unsigned int from, count, at, i;

	state = seed;
	from = below(other->count);
	count = 1 + below(other->count - from);
	at = below(program->count + 1);
	for (i = 0; other->count && i < count; i++)
		insert(program, one_in(3) ? below(program->count + 1) : at + i,
		       &other->operations[from + i]);
}
