/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part "files": what its phases, in files.c, and those who act in them, in paths.c, share.
 */
#ifndef STRESS_FILES_H
#define STRESS_FILES_H

#include <pthread.h>

#include "stress.h"

#define DIR_PATH "/tmp/office"
#define EXTRA_PATH "/tmp/extra" /* another mount of it */
#define ONE_PATH "/tmp/one" /* what one mailbox is bound to */
#define SPACE_PATH "/tmp/space" /* these two of another namespace */
#define SPACE_ONE_PATH "/tmp/space.one"
#define STEADY "steady" /* a mailbox that stays, while the module does */

enum { PHASES = 3, SENDERS = 3, LANES_MAX = 16, NUMBERS = 1 << 20, NOBODY = 1000 };

enum what {
	OPEN_TO_SEND,
	WRITE,
	OPEN_TO_RECEIVE,
	READ,
	MKFIFO,
	UNLINK,
	OPEN_BY_DEVICE,
	UNLINK_BY_DEVICE,
	READDIR,
	CHANGE, /* the mode, or the owner */
	LOOK, /* stat(2), access(2), O_PATH */
	OPEN_AGAIN, /* what is held by O_PATH, or bound: there is no path to walk again */
	WATCH,
	MOUNT,
	BIND,
	SPACE,
	UNLOAD,
	WHAT_COUNT
};

/* What the process that does it has seen; shared with the one that judges. */
struct files_seen {
	bool odd;
	char odd_text[128];
	uint64_t worked[WHAT_COUNT], failed[WHAT_COUNT];
	uint64_t mounts, sends, receipts, sent_by_kernel, received_by_kernel, left;
	uint64_t wrong_messages;
	bool counts_nothing;
	bool done;
};

struct lane;

struct files {
	struct part *part;
	struct files_seen *seen;
	unsigned int phase;
	bool stop;
	uint64_t mounts; /* in this phase */
	unsigned char *sent[SENDERS], *received[SENDERS]; /* each message */
	uint64_t steady_sends, steady_receipts;
	struct lane *lanes;
	unsigned int lanes_count;
};

struct lane {
	pthread_t thread;
	struct files *files;
	void (*work)(struct lane *lane);
	unsigned int index; /* among those that do the same */
	struct chance chance;
	uint32_t number; /* of the next message */
	char path[64];
	uint64_t worked[WHAT_COUNT], failed[WHAT_COUNT];
};

struct file_message {
	uint32_t sender, number;
	uint64_t steady;
	uint64_t sum;
};

static inline bool files_stopping(const struct files *files)
{
	return __atomic_load_n(&files->stop, __ATOMIC_ACQUIRE);
}

/* paths.c */
extern const char *const files_whats[WHAT_COUNT];
void files_send(struct lane *lane);
void files_receive(struct lane *lane);
void files_make(struct lane *lane);
void files_device(struct lane *lane);
void files_look(struct lane *lane);
void files_watch(struct lane *lane);
void files_drop_caches(struct lane *lane);
void files_mount(struct lane *lane);
void files_space(struct lane *lane);
void files_unload(struct lane *lane);

#endif /* STRESS_FILES_H */
