// SPDX-License-Identifier: GPL-2.0-only
/*
 * A lane: does the operations that are its own, one after the other.
 */
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "machine.h"

__thread struct lane *me;

/* Other lanes go on meanwhile; which of them wins varies with it. */
static void pause_for(unsigned int how)
{
	uint64_t end;

	if (how == 1)
		sched_yield();
	if (how < 2)
		return;
	end = machine_now() + (10000ull << (how - 2));
	while (machine_now() < end)
		;
}

/* Have the @nth allocation or user copy of what follows fail; none if 0. */
static void fail_nth(unsigned int nth)
{
	char text[12];
	int len;

	if (me->fail_nth < 0)
		return;
	len = snprintf(text, sizeof(text), "%u", nth);
	pwrite(me->fail_nth, text, len, 0);
}

static bool by_ring(const struct operation *op)
{
	return op->via != VIA_CALL && op->via != VIA_COMPAT &&
	       (operation_is_kpost(op->kind) || (op->kind >= OP_READ && op->kind <= OP_POLL) ||
		op->kind == OP_CLOSE);
}

static void call_kpost(struct work *work)
{
	const struct operation *op = me->op;
	long ret = operation_ioctl(work);

	operation_judge(op, work, ret);
	if (op->kind != OP_OPEN || ret < 0)
		return;
	if (op->flags & KPOST_OPEN_PERSIST)
		world->names_given[0] = world->names_given[1] = true;
	file_keep(op->to, ret);
	if (op->flags & KPOST_OPEN_PAIR && work->address == work->arg.bytes)
		file_keep(op->to + 1u, work->arg.open.send_fd);
}

static void operate(const struct operation *op, struct work *work)
{
	switch (op->kind) {
	case OP_NOTHING:
		break;
	case OP_RING:
		ring_make(op->value);
		break;
	case OP_RING_ENTER:
		ring_enter(op->value % 4);
		break;
	case OP_RING_CANCEL:
		ring_cancel(op->value);
		break;
	case OP_RING_TIMEOUT:
		ring_timeout();
		break;
	case OP_RING_CLOSE:
		ring_close();
		break;
	case OP_FORK:
	case OP_KILL:
	case OP_USER:
	case OP_OFFICE:
	case OP_SCRIBBLE:
	case OP_REMAP:
	case OP_SETTLE:
	case OP_PLANT:
		task_operate();
		break;
	case OP_PATH_OPEN:
	case OP_PATH:
	case OP_READDIR:
	case OP_MOUNT:
		path_operate();
		break;
	default:
		if (by_ring(op))
			ring_operate(work);
		else if (operation_is_kpost(op->kind))
			call_kpost(work);
		else
			file_operate();
	}
}

/* The operation of that number in the program, whosoever it is. */
void lane_operation(unsigned int index)
{
	struct work *work = &me->work[index];

	if (index >= world->program.count)
		return;
	me->op = &world->program.operations[index];
	me->index = index;
	work->completions = 0;
	if (operation_is_kpost(me->op->kind))
		operation_compose(work);
	pause_for(me->op->pause);
	if (!me->kid)
		world->lanes[me->number].steps++;
	if (me->op->fail)
		fail_nth(me->op->fail);
	operate(me->op, work);
	if (me->op->fail)
		fail_nth(0);
	if (!me->kid)
		world->lanes[me->number].steps++;
}

void lane_run(void)
{
	const struct program *program = &world->program;
	unsigned int i, skip = 0;

	for (i = 0; i < program->count; i++) {
		if (skip) {
			skip--;
			continue;
		}
		/* A forked child does those that follow, whatever their lane. */
		if (program->operations[i].kind == OP_FORK)
			skip = program->operations[i].value % 4u;
		if (program->operations[i].lane == me->number)
			lane_operation(i);
	}
	if (me->has_ring)
		ring_close();
	/* First who it was, or it may not kill them. */
	task_restore();
	task_end_kids();
	memory_reset_lane();
}
