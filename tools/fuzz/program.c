// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "program.h"

static void named(uint8_t *value, unsigned int count)
{
	if (*value >= count)
		*value = 0;
}

bool to_is_bits(enum kind kind)
{
	return (kind >= OP_SEND && kind <= OP_REPLY_RECV) ||
	       (kind >= OP_SENDV && kind <= OP_CALL_CANCEL);
}

static void operation_decode(struct operation *op)
{
	op->lane %= LANES;
	op->fd %= SLOTS;
	named(&op->kind, KIND_COUNT);
	if (!to_is_bits(op->kind))
		op->to %= SLOTS;
	named(&op->pause, 8);
	named(&op->fail, 32);
	named(&op->via, VIA_COUNT);
	named(&op->size, SIZE_COUNT);
	named(&op->at, MEM_COUNT);
	named(&op->buf, MEM_COUNT);
	named(&op->len, LEN_COUNT);
	named(&op->reply_buf, MEM_COUNT);
	named(&op->reply_len, LEN_COUNT);
	named(&op->deadline, AT_COUNT);
	named(&op->name, NAME_COUNT);
}

void program_decode(struct program *program, const uint8_t *bytes, size_t size)
{
	unsigned int i;

	memset(program, 0, sizeof(*program));
	if (size > sizeof(*program))
		size = sizeof(*program);
	memcpy(program, bytes, size);
	program->count = 0;
	if (size > PROGRAM_HEADER)
		program->count = (size - PROGRAM_HEADER + sizeof(struct operation) - 1) /
				 sizeof(struct operation);
	named(&program->setup, SETUP_COUNT);
	for (i = 0; i < program->count; i++)
		operation_decode(&program->operations[i]);
}

size_t program_size(const struct program *program)
{
	return PROGRAM_HEADER + program->count * sizeof(struct operation);
}
