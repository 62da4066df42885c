// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts what the guest does between two marks, which tools/bench/measure.c makes:
 *
 *	out=FILE	a line for each case: its number, and how many locked instructions
 *			each of its batches had
 *	profile=FILE	a line for each address: how often its instruction ran in all
 *			batches, and whether it is locked.  Each instruction costs a call then
 *
 * Instructions that lock a bus or a cache line count as one where time is counted in
 * instructions, and take some twenty times as long on real processors.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-plugin.h"

#define CASES 8192
#define BATCHES 32
#define PLACES (1u << 22) /* a power of two, many more than there are instructions */
#define LONGEST 16

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_API;

enum mark { NO_MARK, BEGIN, END, CASE };

static struct {
	uint64_t locked[BATCHES];
	unsigned int batches;
} cases[CASES];

struct place {
	uint64_t address;
	uint64_t count;
	bool locked;
};

static const char *out, *profile;
static struct place *places;
static unsigned int at; /* the case */
static bool counting;
static uint64_t locked;

static enum mark mark_of(const unsigned char *code, size_t len)
{
	static const unsigned char bytes[] = { 0x0f, 0x1f, 0x80 };

	if (len != 7 || memcmp(code, bytes, sizeof(bytes)) || memcmp(code + 4, "\xa0\x70\x6b", 3))
		return NO_MARK;
	return code[3] <= CASE ? (enum mark)code[3] : NO_MARK;
}

/* Has it the prefix, or is it an exchange with memory, which needs none? */
static bool is_locked(const unsigned char *code, size_t len)
{
	static const unsigned char prefixes[] = "\x2e\x36\x3e\x26\x64\x65\x66\x67\xf2\xf3";
	size_t i = 0;

	while (i < len && memchr(prefixes, code[i], sizeof(prefixes) - 1))
		i++;
	if (i < len && code[i] == 0xf0)
		return true;
	if (i < len && (code[i] & 0xf0) == 0x40)
		i++;
	return i + 1 < len && (code[i] & 0xfe) == 0x86 && code[i + 1] < 0xc0;
}

static void on_mark(unsigned int cpu, void *data)
{
	(void)cpu;
	switch ((enum mark)(uintptr_t)data) {
	case BEGIN:
		locked = 0;
		counting = true;
		break;
	case END:
		counting = false;
		if (cases[at].batches < BATCHES)
			cases[at].locked[cases[at].batches++] = locked;
		break;
	case CASE:
		at += at + 1 < CASES;
		break;
	case NO_MARK:
		break;
	}
}

static void on_locked(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	locked++;
}

static void on_any(unsigned int cpu, void *data)
{
	struct place *place = data;

	(void)cpu;
	place->count += counting;
}

static struct place *place_of(uint64_t address)
{
	size_t i = address * 0x9e3779b97f4a7c15ull >> 42;

	/* What programs do is all one. */
	if (address < 1ull << 47)
		address = i = 0;
	while (places[i].address && places[i].address != address)
		i = (i + 1) % PLACES;
	places[i].address = address;
	return &places[i];
}

static void on_each(struct qemu_plugin_insn *insn, qemu_plugin_vcpu_udata_cb_t call, void *data)
{
	qemu_plugin_register_vcpu_insn_exec_cb(insn, call, QEMU_PLUGIN_CB_NO_REGS, data);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb), i;

	(void)id;
	for (i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		size_t len = qemu_plugin_insn_size(insn);
		enum mark mark;
#if QEMU_MAJOR < 9
		const unsigned char *code = qemu_plugin_insn_data(insn);
#else
		unsigned char code[LONGEST] = { 0 };

		len = qemu_plugin_insn_data(insn, code, sizeof(code));
#endif
		mark = mark_of(code, len);
		if (mark)
			on_each(insn, on_mark, (void *)(uintptr_t)mark);
		else if (is_locked(code, len))
			on_each(insn, on_locked, NULL);
		if (profile && !mark) {
			struct place *place = place_of(qemu_plugin_insn_vaddr(insn));

			place->locked = is_locked(code, len);
			on_each(insn, on_any, place);
		}
	}
}

static FILE *open_file(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		perror(path);
	return file;
}

static void finish(qemu_plugin_id_t id, void *data)
{
	FILE *file = out ? open_file(out) : NULL;
	size_t i;

	(void)id;
	(void)data;
	for (i = 0; file && i <= at; i++) {
		if (!cases[i].batches)
			continue;
		fprintf(file, "%zu", i);
		for (unsigned int batch = 0; batch < cases[i].batches; batch++)
			fprintf(file, " %llu", (unsigned long long)cases[i].locked[batch]);
		fputc('\n', file);
	}
	if (file)
		fclose(file);
	file = profile ? open_file(profile) : NULL;
	for (i = 0; file && i < PLACES; i++)
		if (places[i].count)
			fprintf(file, "%llx %llu %d\n", (unsigned long long)places[i].address,
				(unsigned long long)places[i].count, places[i].locked);
	if (file)
		fclose(file);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = argv[i] + 4;
		else if (!strncmp(argv[i], "profile=", 8))
			profile = argv[i] + 8;
		else
			return -1;
	}
	if (profile)
		places = calloc(PLACES, sizeof(*places));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
