// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of every sort that a pointer may lead to.  All of it is below 4 GiB, so that
 * 32-bit system calls can be given it too.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

#define PAGE 4096u
#define PRIVATE_SIZE (256u << 10)
#define SHARED_SIZE (16u << 10)
#define SLOW_PAGES 4u

static struct regions common;
static char *slow_regions, *slow_sources;

/* @size bytes with nothing after them that could be used, of @fd if there is one. */
static char *region(size_t size, int fd, int flags)
{
	char *at = mmap(NULL, size + PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_32BIT, -1, 0);

	if (at == MAP_FAILED ||
	    mmap(at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED)
		machine_die("mmap");
	return at;
}

static char *anonymous(size_t size, int flags)
{
	return region(size, -1, flags | MAP_ANONYMOUS);
}

/* A file of @size bytes, mapped here and, with one page more, at @alias. */
static char *twice(size_t size, char **alias)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char *at;

	if (fd < 0 || ftruncate(fd, size))
		machine_die("memfd");
	*alias = region(size, fd, MAP_SHARED);
	at = region(size + PAGE, fd, MAP_SHARED);
	close(fd);
	return at;
}

/* What all lanes share; before there are any. */
void memory_init(void)
{
	common.shared = anonymous(SHARED_SIZE, MAP_SHARED);
	common.read_only = twice(2 * PAGE, &common.read_only_alias);
	mprotect(common.read_only, 2 * PAGE, PROT_READ);
	common.past_end = twice(PAGE, &common.past_end_alias);
	common.moving = anonymous(2 * PAGE, MAP_PRIVATE);
	common.unmapped = anonymous(PAGE, MAP_PRIVATE);
	munmap(common.unmapped, PAGE);
	slow_regions = anonymous(LANES * SLOW_PAGES * PAGE, MAP_PRIVATE);
	slow_sources = anonymous(LANES * SLOW_PAGES * PAGE, MAP_SHARED);
}

void memory_init_lane(struct regions *memory, unsigned int lane)
{
	*memory = common;
	memory->private = anonymous(PRIVATE_SIZE, MAP_PRIVATE);
	memory->slow = slow_regions + lane * SLOW_PAGES * PAGE;
	memory->slow_source = slow_sources + lane * SLOW_PAGES * PAGE;
}

static void reset_moving(void)
{
	mmap(common.moving, 2 * PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* Between programs: as it was. */
void memory_reset_shared(void)
{
	memset(common.shared, 0, 64);
	reset_moving();
}

void memory_reset_lane(void)
{
	madvise(me->memory.slow, SLOW_PAGES * PAGE, MADV_DONTNEED);
	/* Lane 2 has its own. */
	if (me->number == LANES - 1)
		reset_moving();
}

/* Let @uffd of this process have the slow memory of @lane. */
void memory_register_slow(int uffd, unsigned int lane)
{
	struct uffdio_register range = {
		.range = { (uintptr_t)slow_regions + lane * SLOW_PAGES * PAGE, SLOW_PAGES * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ioctl(uffd, UFFDIO_REGISTER, &range))
		machine_die("userfaultfd");
}

/* Serve one page fault, not too soon. */
void memory_serve(int uffd)
{
	struct timespec late = { .tv_nsec = MS / 2 };
	struct uffdio_copy copy = { .len = PAGE };
	struct uffd_msg msg;

	if (read(uffd, &msg, sizeof(msg)) != sizeof(msg) || msg.event != UFFD_EVENT_PAGEFAULT)
		return;
	nanosleep(&late, NULL);
	copy.dst = msg.arg.pagefault.address & ~(uint64_t)(PAGE - 1);
	copy.src = (uintptr_t)slow_sources + copy.dst - (uintptr_t)slow_regions;
	if (ioctl(uffd, UFFDIO_COPY, &copy) && errno == EEXIST)
		ioctl(uffd, UFFDIO_WAKE, &(struct uffdio_range){ copy.dst, PAGE });
}

/* Where @span bytes are that are of @kind, or only half of them. */
void *memory_address(enum memory kind, uint64_t span)
{
	struct regions *memory = &me->memory;
	size_t half = span / 2 < PAGE ? (span / 2 + 7) & ~7ul : PAGE;

	switch (kind) {
	case MEM_PRIVATE:
	case MEM_COUNT:
		return memory->private;
	case MEM_SHARED:
		return memory->shared;
	case MEM_READ_ONLY:
		return memory->read_only;
	case MEM_PARTLY:
		return memory->private + PRIVATE_SIZE - half;
	case MEM_PARTLY_READ_ONLY:
		/* It is moving memory whose second half is as OP_REMAP has left it. */
		return memory->moving + PAGE - half;
	case MEM_UNMAPPED:
		return memory->unmapped;
	case MEM_SLOW:
		return memory->slow;
	case MEM_PARTLY_SLOW:
		return memory->slow + PAGE - half;
	case MEM_PAST_END:
		return memory->past_end + PAGE - half;
	case MEM_MOVING:
		return memory->moving;
	case MEM_NULL:
		return NULL;
	case MEM_KERNEL:
		return (void *)0xffff888000001000;
	case MEM_WRAPS:
		return (void *)-(uint64_t)(half ? half : 1);
	}
	return NULL;
}

/* Put @size bytes where @kind says, as far as that goes. Returns the address. */
void *memory_place(enum memory kind, const void *from, size_t size)
{
	struct regions *memory = &me->memory;
	char *at = memory_address(kind, size);

	switch (kind) {
	case MEM_PRIVATE:
	case MEM_SHARED:
		memcpy(at, from, size);
		break;
	case MEM_READ_ONLY:
		memcpy(memory->read_only_alias, from, size < 2 * PAGE ? size : 2 * PAGE);
		break;
	case MEM_PARTLY:
		memcpy(at, from, memory->private + PRIVATE_SIZE - at);
		break;
	case MEM_SLOW:
	case MEM_PARTLY_SLOW:
		memcpy(memory->slow_source + (at - memory->slow), from, size);
		break;
	case MEM_PAST_END:
		memcpy(memory->past_end_alias + (at - memory->past_end), from,
		       memory->past_end + PAGE - at);
		break;
	default:
		break;
	}
	return at;
}

void memory_scribble(unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < 128; i += 1 + seed % 7)
		me->memory.shared[i] ^= 1u << seed % 8;
}

void memory_remap(unsigned int how)
{
	static const int protections[] = { PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE };
	char *at = me->memory.moving + (how / 8 % 2) * PAGE;

	switch (how % 8) {
	case 0:
	case 1:
	case 2:
		mprotect(at, PAGE, protections[how % 8]);
		break;
	case 3:
		munmap(at, PAGE);
		break;
	case 4:
		madvise(at, PAGE, MADV_DONTNEED);
		break;
	default:
		mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0);
	}
}

uint64_t memory_length(enum length length)
{
#define LENGTH_VALUE(name, value) value,
	static const uint64_t lengths[] = { LENGTHS(LENGTH_VALUE) };

	return lengths[length];
}

uint64_t memory_deadline(enum time when)
{
	switch (when) {
	case AT_SOON:
		return machine_now() + MS / 5;
	case AT_LATER:
		return machine_now() + 2 * MS;
	case AT_PASSED:
		return 1;
	case AT_LAST:
		return INT64_MAX;
	case AT_WRONG:
		return (uint64_t)INT64_MAX + 1;
	case AT_NEVER:
	case AT_COUNT:
		break;
	}
	return 0;
}
