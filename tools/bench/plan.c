// SPDX-License-Identifier: GPL-2.0-only
/* What is measured: the fields of a load, and the sets of cases. */
#include "bench.h"

#include <stddef.h>

const struct field fields[] = {
	{ "size", offsetof(struct load, size), 64 },
	{ "depth", offsetof(struct load, depth), 0 },
	{ "priorities", offsetof(struct load, priorities), 0 },
	{ "boxes", offsetof(struct load, boxes), 1 },
	{ "peers", offsetof(struct load, peers), 1 },
	{ "batch", offsetof(struct load, batch), 1 },
	{ "cgroups", offsetof(struct load, cgroups), 0 },
};

const size_t field_count = sizeof(fields) / sizeof(fields[0]);

#define SIZES \
	{ \
		0, 64, 256, 1024, 4096, 16384, 65536, 1048576 \
	}
#define DEEP "kpost,kpost-rw,seqpacket,mq,sysv"
#define QUEUES "kpost,seqpacket,mq,sysv"
#define LINES "kpost,pipe,fifo,stream,seqpacket,mq,eventfd"
#define PLAIN "kpost,kpost-rw,pipe,stream,seqpacket,mq,sysv,eventfd"

/*
 * Memory cgroups come last: once there was one, everybody pays for them.
 */
const struct plan plans[] = {
	{ "standard charts", "self", "size", SIZES, 8, { 0 }, NULL },
	{ "wall", "self", "size", { 64, 4096, 65536 }, 3, { 0 }, NULL },
	{ "standard wall", "pingpong", "size", { 64, 16384 }, 2, { 0 }, NULL },
	{ "standard wall", "call", "size", { 64, 16384 }, 2, { 0 }, PLAIN ",libkpost" },
	{ "standard wall batches", "batch", "batch", { 8, 32, 128, 1024 }, 4, { 0 }, NULL },
	{ "standard wall many", "stream", "size", { 64, 4096 }, 2, { 0 }, NULL },
	{ "standard wall many", "async", "size", { 64, 4096 }, 2, { 0 }, NULL },
	{ "charts many", "fan-in", "peers", { 1, 2, 4, 8, 16 }, 5, { 0 }, NULL },
	{ "charts many", "callers", "peers", { 1, 2, 4, 8, 16 }, 5, { 0 }, NULL },
	{ "many", "fan-out", "peers", { 1, 2, 4, 8, 16 }, 5, { 0 }, NULL },
	{ "standard wall", "fan-in", "peers", { 4 }, 1, { 0 }, NULL },
	{ "standard wall", "fan-out", "peers", { 4 }, 1, { 0 }, NULL },
	{ "standard wall", "callers", "peers", { 4 }, 1, { 0 }, NULL },
	{ "standard charts", "self", "depth", { 1, 1000, 100000 }, 3, { 0 }, DEEP },
	{ "standard charts", "tag", "depth", { 1, 1000, 100000 }, 3, { 0 }, NULL },
	{ "standard", "path", "size", { 64 }, 1, { 0 }, NULL },
	{ "standard", "open", "size", { 64 }, 1, { 0 }, NULL },
	{ "standard", "priorities", "priorities", { 1, 1000, 32768 }, 3, { 0 }, NULL },
	{ "standard", "boxes", "boxes", { 1, 10000 }, 2, { 0 }, "kpost,pipe,seqpacket,mq,eventfd" },
	{ "standard memory", "memory-line", "size", { 64 }, 1, { 0 }, LINES },
	{ "standard memory", "memory-endpoint", "size", { 64 }, 1, { 0 }, NULL },
	{ "standard memory", "memory-message", "size", { 64 }, 1, { .depth = 60000 }, QUEUES },
	{ "standard memory", "memory-message", "size", { 4096 }, 1, { .depth = 10000 }, QUEUES },
	{ "standard cgroups", "self", "cgroups", { 1 }, 1, { 0 }, PLAIN },
	{ "standard cgroups", "pingpong", "cgroups", { 1, 2 }, 2, { 0 }, PLAIN },
};

const size_t plan_count = sizeof(plans) / sizeof(plans[0]);

const struct field *field_find(const char *name)
{
	for (size_t i = 0; i < field_count; i++)
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	return NULL;
}

struct load plan_load(const struct plan *plan, unsigned long value)
{
	struct load load = plan->load;

	for (size_t i = 0; i < field_count; i++) {
		unsigned long *field = field_of(&load, &fields[i]);

		if (!strcmp(fields[i].name, plan->vary))
			*field = value;
		else if (!*field)
			*field = fields[i].usual;
	}
	return load;
}

bool has_word(const char *words, const char *word)
{
	size_t len;

	for (; *words; words += len) {
		words += strspn(words, ", ");
		len = strcspn(words, ", ");
		if (len == strlen(word) && !strncmp(words, word, len))
			return true;
	}
	return false;
}
