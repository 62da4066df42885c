// SPDX-License-Identifier: GPL-2.0-only
/*
 * input seeds DIR    write the seeds as inputs into DIR
 * input plant FILE   write an input that has the module's planted bug happen
 * input c FILE       print the program that an input is, in C
 * input seed FILE N  print it as seed number N
 */
#include <err.h>
#include <linux/kpost.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seeds.h"

#define STRING(name) #name,
#define LENGTH_STRING(name, value) #name,

static const char *const setup_names[] = { SETUPS(STRING) };
static const char *const kind_names[] = { KINDS(STRING) };
static const char *const via_names[] = { VIAS(STRING) };
static const char *const size_names[] = { SIZES(STRING) };
static const char *const memory_names[] = { MEMORIES(STRING) };
static const char *const length_names[] = { LENGTHS(LENGTH_STRING) };
static const char *const time_names[] = { TIMES(STRING) };
static const char *const name_names[] = { NAMES(STRING) };

static void save(const char *path, struct program program)
{
	FILE *file = fopen(path, "w");

	program.count = OPERATIONS_MAX;
	while (program.count && program.operations[program.count - 1].kind == OP_NOTHING)
		program.count--;
	if (!file || fwrite(&program, program_size(&program), 1, file) != 1 || fclose(file))
		err(1, "%s", path);
}

static void save_seeds(const char *dir)
{
	char path[256];
	unsigned int i;

	for (i = 0; i < seed_count; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, seeds[i].name);
		save(path, seeds[i].program);
	}
}

static void print(const char *field, unsigned int value, const char *const *names)
{
	if (!value)
		return;
	if (names)
		printf(", .%s = %s", field, names[value]);
	else
		printf(", .%s = %u", field, value);
}

static void print_flags(const struct operation *op)
{
	static const char *const open[] = { "CREATE", "EXCL",	 "WAIT",     "ANONYMOUS",
					    "PAIR",   "PERSIST", "NONBLOCK", "SUCCEED" };
	static const char *const message[] = { "DONTWAIT", "IOVEC", "REPLY_IOVEC",   "SYNC",
					       "TRUNCATE", "DROP",  "WANT_SEQUENCE", "PRESENT" };
	bool opens = op->kind == OP_OPEN, sends = op->kind >= OP_SEND && op->kind <= OP_REPLY_RECV;
	unsigned int i, count = 8, left = op->flags;
	const char *before = ", .flags = ";

	for (i = 0; (opens || sends) && i < count; i++) {
		if (!(left & 1u << i))
			continue;
		printf("%sKPOST_%s%s", before, opens ? "OPEN_" : "", opens ? open[i] : message[i]);
		before = " | ";
		left &= ~(1u << i);
	}
	if (left)
		printf("%s0x%x", before, left);
}

static void print_operation(const struct operation *op)
{
	printf("\t\t{ .lane = %u, .kind = %s", op->lane, kind_names[op->kind]);
	print("via", op->via, via_names);
	print("fd", op->fd, NULL);
	print("to", op->to, NULL);
	print_flags(op);
	print("rights", op->rights, NULL);
	print("size", op->size, size_names);
	print("at", op->at, memory_names);
	print("buf", op->buf, memory_names);
	print("len", op->len, length_names);
	print("reply_buf", op->reply_buf, memory_names);
	print("reply_len", op->reply_len, length_names);
	print("deadline", op->deadline, time_names);
	print("name", op->name, name_names);
	print("value", op->value, NULL);
	print("pause", op->pause, NULL);
	print("fail", op->fail, NULL);
	printf(" },\n");
}

static struct program load(const char *path)
{
	uint8_t bytes[sizeof(struct program)];
	struct program program;
	FILE *file = fopen(path, "r");

	if (!file)
		err(1, "%s", path);
	program_decode(&program, bytes, fread(bytes, 1, sizeof(bytes), file));
	fclose(file);
	return program;
}

static void print_operations(const struct program *program)
{
	unsigned int i;

	for (i = 0; i < program->count; i++)
		print_operation(&program->operations[i]);
}

static void print_program(const char *path)
{
	struct program program = load(path);

	printf("static const struct program program = {\n\t.setup = %s,\n\t.count = %u,\n"
	       "\t.operations = {\n",
	       setup_names[program.setup], program.count);
	print_operations(&program);
	printf("\t},\n};\n");
}

static void print_seed(const char *path, const char *number)
{
	struct program program = load(path);

	printf("\t{ \"grown-%s\", { %s, 0, {\n", number, setup_names[program.setup]);
	print_operations(&program);
	printf("\t} } },\n");
}

int main(int argc, char **argv)
{
	static const struct program plant = {
		.operations = { { .kind = OP_SEND, .fd = 2 },
				{ .lane = 1, .kind = OP_RECV, .fd = 1 },
				{ .lane = 2, .kind = OP_PLANT } },
	};

	if (argc == 3 && !strcmp(argv[1], "seeds"))
		save_seeds(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "plant"))
		save(argv[2], plant);
	else if (argc == 3 && !strcmp(argv[1], "c"))
		print_program(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "seed"))
		print_seed(argv[2], argv[3]);
	else
		errx(2, "usage: input seeds DIR | plant FILE | c FILE | seed FILE NUMBER");
	return 0;
}
