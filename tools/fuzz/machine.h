/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What runs programs: three lanes, the memory and the descriptors that their operations
 * use, and a watchdog.  It knows nothing of the fuzzer, and is the greater part of a C
 * program made of an input.
 *
 * Three processes: whoever calls machine_run() is the watchdog.  Its child has lanes 0
 * and 1 for threads, and a thread that serves page faults.  A child of that is lane 2; it
 * has the descriptors in common with its parent, but not the memory.  They last from
 * program to program, unless an operation kills them.
 */
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include <liburing.h>
#include <linux/kpost.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "program.h"

#define MS 1000000ull
#define TOKENS 4
#define KIDS 4
#define OFFICES 2
#define ARG_MAX_SIZE 1024
#define PIECES 16
#define BATCH_ENTRIES 40 /* of a batch: more than are done in one round */
#define RESULTS 64

/* Shared by all processes. */
struct world {
	struct program program;
	atomic_uint round; /* counts programs; lanes start when it changes */
	atomic_uint cleaned; /* the last program that is over and cleaned up after */
	atomic_uint go; /* likewise, once lane 0 has set it up */
	atomic_uint arrived; /* lanes at the start */
	atomic_uint finished; /* lanes at the end */
	atomic_bool lane_2_lost;
	atomic_uint lane_2_ready;
	struct {
		atomic_int tid;
		atomic_uint steps; /* odd while it is in an operation */
	} lanes[LANES];
	atomic_int slots[SLOTS]; /* descriptors, or -1 */
	atomic_ulong tokens[TOKENS];
	atomic_uint tokens_seen;
	atomic_ulong ids[TOKENS]; /* of calls that are collected, cancelled, or go on */
	atomic_uint ids_seen;
	atomic_int kids[KIDS]; /* processes forked by operations */
	atomic_bool sysctls_changed[OFFICES];
	atomic_bool names_given[OFFICES];
	atomic_bool mounted; /* by an operation */
	atomic_uchar results[KIND_COUNT * RESULTS]; /* success, or which error: seen */
	atomic_bool found;
	char finding[200]; /* of what a program should not have come upon */
};

/* Regions of memory, each ended by a page that is not mapped. */
struct regions {
	char *private;
	char *shared;
	char *read_only, *read_only_alias;
	char *unmapped;
	char *slow, *slow_source;
	char *past_end, *past_end_alias;
	char *moving;
};

/* What an operation gives to the kernel lasts as long as the program. */
struct work {
	union {
		char bytes[ARG_MAX_SIZE];
		struct kpost_info info;
		struct kpost_open open;
		struct kpost_unlink unlink;
		struct kpost_list list;
		struct kpost_send send;
		struct kpost_recv recv;
		struct kpost_call call;
		struct kpost_reply reply;
		struct kpost_reply_recv reply_recv;
		struct kpost_stat stat;
		struct kpost_setattr setattr;
		struct kpost_grant grant;
		struct kpost_batch batch;
		struct kpost_call_submit submit;
		struct kpost_call_collect collect;
		struct kpost_call_cancel call_cancel;
		struct kpost_cancel cancel;
	} arg;
	struct kpost_recv recv;
	struct kpost_reply reply;
	struct kpost_iovec pieces[PIECES];
	struct kpost_iovec reply_pieces[PIECES];
	uint64_t tokens[TOKENS];
	union {
		struct kpost_send sends[BATCH_ENTRIES];
		struct kpost_recv recvs[BATCH_ENTRIES];
	};
	struct __kernel_timespec time;
	unsigned long cmd;
	void *address; /* of the struct, as the kernel is given it */
	uint64_t most; /* the greatest result that makes sense */
	unsigned int completions;
};

/* Of the lane that asks; of lane 2, in a process of its own. */
struct lane {
	unsigned int number;
	bool kid; /* forked from the lane by an operation */
	const struct operation *op;
	unsigned int index; /* of @op in the program */
	struct regions memory;
	struct work *work; /* one for each operation of a program */
	char *big; /* a struct of the greatest size */
	atomic_int *slots;
	struct io_uring ring;
	bool has_ring;
	unsigned int ring_flags;
	int fail_nth; /* /proc/thread-self/fail-nth, or -1 */
	unsigned int office;
	bool other_user;
	pid_t kids[KIDS];
};

extern struct world *world;
extern __thread struct lane *me;

/* machine.c */
struct machine_hooks {
	void (*lane_started)(unsigned int lane); /* LANES for what lanes fork */
	void (*lane_ended)(unsigned int lane);
	bool may_plant;
};

void machine_init(const struct machine_hooks *with);
void machine_start(void);
/* Runs world->program. Returns NULL, or what is wrong with the kernel. */
const char *machine_run(void);
bool machine_may_plant(void);
void machine_lane_started(unsigned int lane);
void machine_lane_ended(unsigned int lane);
__attribute__((format(printf, 1, 2))) void machine_found(const char *format, ...);
__attribute__((format(printf, 1, 2), noreturn)) void machine_die(const char *format, ...);
uint64_t machine_now(void);

/* lane.c */
void lane_run(void);
void lane_operation(unsigned int index);

/* memory.c */
void memory_init(void);
void memory_init_lane(struct regions *memory, unsigned int lane);
void memory_reset_shared(void);
void memory_reset_lane(void);
void memory_register_slow(int uffd, unsigned int lane);
void memory_serve(int uffd);
void *memory_address(enum memory kind, uint64_t span);
void *memory_place(enum memory kind, const void *from, size_t size);
void memory_scribble(unsigned int seed);
void memory_remap(unsigned int how);
uint64_t memory_length(enum length length);
uint64_t memory_deadline(enum time when);

/* operation.c */
void operation_name(char to[KPOST_NAME_MAX + 1], enum name name);
bool operation_is_kpost(enum kind kind);
void operation_compose(struct work *work);
long operation_ioctl(struct work *work);
void operation_judge(const struct operation *op, struct work *work, long ret);

/* expect.c */
bool expect_errno(const struct operation *op, int err);

/* file.c, task.c */
void file_operate(void);
void file_keep(unsigned int slot, int fd);
void task_operate(void);
void task_end_kids(void);
void task_restore(void);
void task_set_office(unsigned int which);
void task_clean_office(unsigned int which);
extern int task_offices[OFFICES];

/* path.c */
void path_init(void);
void path_clean(void);
void path_set_up(void);
bool path_is_of(const char *target);
bool path_is_walked(const struct operation *op);
void path_operate(void);

/* ring.c */
void ring_operate(struct work *work);
void ring_make(unsigned int sort);
void ring_enter(unsigned int wait);
void ring_cancel(unsigned int what);
void ring_timeout(void);
void ring_close(void);

#endif /* FUZZ_MACHINE_H */
