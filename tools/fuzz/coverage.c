// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coverage of the module, and libFuzzer told of it.
 *
 * KCOV notes the address of each basic block of the module that a task runs.  They
 * become libFuzzer's extra counters: one for each block, which counts, and some for pairs
 * of blocks that follow each other, which do not.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kcov.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "machine.h"

#define BLOCKS_MAX 16384
#define PAIRS (1u << 14)
#define WORDS (1u << 16)
#define SPAN_MAX (1u << 20) /* bytes of the module's text */

struct block {
	char section[32];
	unsigned long offset, address;
	bool covered;
};

static struct block blocks[BLOCKS_MAX];
static unsigned int block_count;
static unsigned long text_start, text_end;
static uint16_t block_at[SPAN_MAX]; /* number plus one, by address */
static int kcov[COVERED_TASKS] = { -1, -1, -1, -1 };
static atomic_ulong *areas[COVERED_TASKS];

static uint8_t counters[BLOCKS_MAX + PAIRS + KIND_COUNT * RESULTS]
	__attribute__((section("__libfuzzer_extra_counters")));

static unsigned long section_address(const char *section)
{
	static char last[32];
	static unsigned long address;
	char path[96];
	FILE *file;

	/* They come section by section. */
	if (!strcmp(section, last))
		return address;
	address = 0;
	snprintf(last, sizeof(last), "%s", section);
	snprintf(path, sizeof(path), "/sys/module/kpost/sections/%s", section);
	file = fopen(path, "r");
	if (!file)
		return 0; /* it was freed after loading */
	if (fscanf(file, "%lx", &address) != 1)
		address = 0;
	fclose(file);
	return address;
}

/* The list has a section and an offset a line, and what is not for here. */
static void read_blocks(const char *path)
{
	FILE *file = fopen(path, "r");
	struct block *block = blocks;

	if (!file)
		err(2, "%s", path);
	while (block < blocks + BLOCKS_MAX &&
	       fscanf(file, "%31s %lx%*[^\n]", block->section, &block->offset) == 2) {
		unsigned long start = section_address(block->section);

		if (start) {
			block->address = start + block->offset;
			if (!text_start || block->address < text_start)
				text_start = block->address;
			if (block->address > text_end)
				text_end = block->address;
		}
		block++;
	}
	if (!feof(file))
		errx(2, "%s: more than %d basic blocks", path, BLOCKS_MAX);
	fclose(file);
	block_count = block - blocks;
	if (!text_start || text_end - text_start >= SPAN_MAX)
		errx(2, "no basic blocks known, or the module is not where they are");
	while (block-- > blocks)
		if (block->address)
			block_at[block->address - text_start] = block - blocks + 1;
}

void coverage_init(const char *path)
{
	unsigned int i;

	if (access("/sys/kernel/debug/kcov", R_OK)) {
		warnx("this kernel has no KCOV: fuzzing blindly");
		return;
	}
	read_blocks(path);
	for (i = 0; i < COVERED_TASKS; i++) {
		kcov[i] = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
		if (kcov[i] < 0 || ioctl(kcov[i], KCOV_INIT_TRACE, (unsigned long)WORDS))
			err(2, "kcov");
		areas[i] = mmap(NULL, WORDS * sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED,
				kcov[i], 0);
		if (areas[i] == MAP_FAILED)
			err(2, "kcov");
	}
}

/* The task that calls is @task from now on, unless there is one. */
void coverage_enable(unsigned int task)
{
	if (kcov[task] >= 0)
		ioctl(kcov[task], KCOV_ENABLE, (unsigned long)KCOV_TRACE_PC);
}

void coverage_reset(void)
{
	unsigned int i;

	for (i = 0; i < COVERED_TASKS; i++)
		if (areas[i])
			areas[i][0] = 0;
}

/* How many blocks are new. */
static unsigned int collect(const atomic_ulong *area)
{
	unsigned long count = area[0], i, last = 0;
	unsigned int fresh = 0;
	uint8_t *pairs = counters + BLOCKS_MAX;

	for (i = 1; i <= count && i < WORDS; i++) {
		unsigned long at = area[i] - text_start, number;

		number = at < SPAN_MAX ? block_at[at] : 0;
		if (!number)
			continue;
		fresh += !blocks[number - 1].covered;
		blocks[number - 1].covered = true;
		if (counters[number - 1] < 255)
			counters[number - 1]++;
		pairs[(last * 4093 + number) % PAIRS] = 1;
		last = number;
	}
	return fresh;
}

unsigned int coverage_collect(void)
{
	unsigned int i, fresh = 0;

	for (i = 0; i < COVERED_TASKS; i++)
		if (areas[i])
			fresh += collect(areas[i]);
	for (i = 0; i < KIND_COUNT * RESULTS; i++)
		counters[BLOCKS_MAX + PAIRS + i] = world->results[i];
	return fresh;
}

void coverage_save(const char *path)
{
	FILE *file = fopen(path, "w");
	unsigned int i;

	if (!file) {
		warn("%s", path);
		return;
	}
	for (i = 0; i < block_count; i++)
		if (blocks[i].covered)
			fprintf(file, "%s %lx\n", blocks[i].section, blocks[i].offset);
	fclose(file);
}

static void set(const char *which, const char *knob, const char *value)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", which, knob);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		warn("%s", path);
	close(fd);
}

void coverage_limit_faults(void)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char start[32], end[32];
	unsigned int i;

	snprintf(start, sizeof(start), "0x%lx", text_start & ~0xffful);
	snprintf(end, sizeof(end), "0x%lx", (text_end | 0xffful) + 1);
	for (i = 0; text_start && i < 3; i++) {
		set(kinds[i], "verbose", "0");
		set(kinds[i], "ignore-gfp-wait", "N");
		set(kinds[i], "require-start", start);
		set(kinds[i], "require-end", end);
	}
}
