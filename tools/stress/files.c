// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part "files": mailboxes are made, opened, changed and unlinked by path, and by the device,
 * while the file system is mounted and unmounted, files of it are bound elsewhere, network
 * namespaces go with mounts and open files in them, and the module with its mounts.
 *
 * Three phases.  In the first the mount stays; in the second it comes and goes; in the third the
 * module does so too, whenever nothing is mounted.  All of it is in an office and a mount
 * namespace of its own, which a process has and goes with.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "files.h"

/* ---- a phase, in the process --------------------------------------------------------- */

static const struct {
	void (*work)(struct lane *lane);
	unsigned int count, while_it_unloads; /* what uses the device would keep the module */
	bool of_nobody; /* the last one */
} workers[] = {
	{ files_send, SENDERS, 1, true },   { files_receive, 2, 0, false },
	{ files_make, 1, 1, false },	    { files_device, 1, 0, false },
	{ files_look, 1, 1, false },	    { files_watch, 1, 0, false },
	{ files_mount, 1, 1, false },	    { files_space, 1, 0, false },
	{ files_drop_caches, 1, 0, false }, { files_unload, 0, 1, false },
};

#define WORKERS (sizeof(workers) / sizeof(workers[0]))

/* Whatever the module waits for is to come about now and then. */
static void *lane_main(void *data)
{
	struct lane *lane = data;
	bool slow = lane->files->phase == PHASES - 1 && lane->work != files_unload;

	/* The library's would be for all threads. */
	if (lane->work == files_send && lane->index == SENDERS - 1 &&
	    syscall(SYS_setresuid, -1, NOBODY, -1))
		die("setresuid: %s", strerror(errno));
	while (!files_stopping(lane->files)) {
		lane->work(lane);
		if (slow)
			pause_ns(2 * MS + chance_below(&lane->chance, 4 * MS));
	}
	return NULL;
}

static void start_lanes(struct files *files)
{
	bool unloads = files->phase == PHASES - 1;

	files->lanes_count = 0;
	for (size_t i = 0; i < WORKERS; i++) {
		unsigned int count = unloads ? workers[i].while_it_unloads : workers[i].count;

		for (unsigned int n = 0; n < count; n++) {
			struct lane *lane = &files->lanes[files->lanes_count++];

			/* Who has a lane numbers its messages on. */
			lane->files = files;
			lane->work = workers[i].work;
			lane->index = n;
			lane->chance = chance_of(12000 + files->phase * 100 + files->lanes_count);
			if (pthread_create(&lane->thread, NULL, lane_main, lane))
				die("no thread");
		}
	}
}

static void join_lanes(struct files *files)
{
	__atomic_store_n(&files->stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < files->lanes_count; i++) {
		struct lane *lane = &files->lanes[i];

		pthread_join(lane->thread, NULL);
		for (int what = 0; what < WHAT_COUNT; what++) {
			files->seen->worked[what] += lane->worked[what];
			files->seen->failed[what] += lane->failed[what];
			lane->worked[what] = lane->failed[what] = 0;
		}
	}
	files->stop = false;
}

/* So much of the time, and of the goal, is each phase's: unloading takes its time. */
static void run_phase(struct files *files, uint64_t end)
{
	uint64_t goal = files->part->goal * (files->phase == PHASES - 1 ? 2 : 9) / 20 + 1;

	files->mounts = 0;
	if (!files->phase && mount("kpost", DIR_PATH, "kpost", 0, NULL))
		die("mount: %s", strerror(errno));
	start_lanes(files);
	do
		pause_ns(20 * MS);
	while (now() < end && __atomic_load_n(&files->mounts, __ATOMIC_RELAXED) < goal);
	join_lanes(files);
	files->seen->mounts += files->mounts;
	if (!files->phase)
		umount2(DIR_PATH, 0);
}

/* ---- the whole of it --------------------------------------------------------------------- */

static void make_place(void)
{
	umask(0);
	signal(SIGPIPE, SIG_IGN);
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/tmp", "tmpfs", 0, NULL) || mkdir(DIR_PATH, 0755) ||
	    mkdir(EXTRA_PATH, 0755) || mkdir(SPACE_PATH, 0755) || mknod(ONE_PATH, S_IFREG, 0) ||
	    mknod(SPACE_ONE_PATH, S_IFREG, 0))
		die("a place to mount: %s", strerror(errno));
	/* Where nothing is mounted nothing can be made. */
	if (mount("none", DIR_PATH, "tmpfs", MS_RDONLY, NULL))
		die("a place to mount: %s", strerror(errno));
}

/* What the kernel says of the mailbox that stayed; what is in it still is taken out. */
static void judge_steady(struct files *files)
{
	int fd = open_mailbox(STEADY, KPOST_RIGHT_RECV, 0, 0, 0, 0);
	struct files_seen *seen = files->seen;
	struct kpost_stat st = stat_of(fd);
	struct file_message message;

	while (kpost_recv(fd, &message, sizeof(message), NULL, KPOST_DONTWAIT, 0) ==
	       sizeof(message)) {
		files->received[message.sender % SENDERS][message.number % NUMBERS]++;
		seen->left++;
	}
	seen->sent_by_kernel = st.sent;
	seen->received_by_kernel = st.received;
	if (st.sent != files->steady_sends || st.received != files->steady_receipts ||
	    st.queued_messages != seen->left || st.sent != st.received + seen->left)
		seen->wrong_messages++;
	close(fd);
}

/* None is received twice, or though its sender was told that it was not sent. */
static void judge_messages(struct files *files)
{
	struct files_seen *seen = files->seen;

	for (int i = 0; i < SENDERS; i++) {
		for (uint32_t n = 0; n < files->lanes[i].number; n++) {
			seen->sends += files->sent[i][n];
			seen->receipts += files->received[i][n];
			seen->wrong_messages += files->received[i][n] > files->sent[i][n];
		}
	}
}

static void unlink_names(void)
{
	static const char *const names[] = { "a", "b", "c", STEADY };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		kpost_unlink(names[i]);
}

/* Without mounts, names and open files, what counts for anybody is what counted before. */
static bool counts_as(const struct kpost_info *before)
{
	struct kpost_info info = { .abi_version = 0 };

	return !kpost_info(&info) && !memcmp(&info, before, sizeof(info));
}

static void files_main(struct part *part, struct files_seen *seen)
{
	struct files files = { .part = part, .seen = seen };
	uint64_t began = now(), time = part->end > began ? part->end - began : 0;
	struct kpost_info before = { .abi_version = 0 };

	make_place();
	if (kpost_info(&before))
		die("INFO");
	files.lanes = shared(LANES_MAX * sizeof(*files.lanes));
	for (int i = 0; i < SENDERS; i++) {
		files.sent[i] = shared(NUMBERS);
		files.received[i] = shared(NUMBERS);
	}
	close(open_mailbox(STEADY, KPOST_RIGHT_RECV, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST, 0, 0,
			   0));
	for (; files.phase < PHASES - 1; files.phase++)
		run_phase(&files, began + time * (files.phase + 1) / PHASES);
	judge_steady(&files);
	judge_messages(&files);
	unlink_names();
	seen->counts_nothing = until(counts_as(&before));

	hurry(2);
	run_phase(&files, began + time);
	hurry_no_more();
	unlink_names();
	seen->counts_nothing &= until(counts_as(&before));
	seen->done = true;
}

static void note_seen(const struct files_seen *seen)
{
	char text[1024] = "";
	size_t len = 0;

	for (int i = 0; i < WHAT_COUNT && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %llu/%llu",
					i ? ", " : "", files_whats[i],
					(unsigned long long)seen->worked[i],
					(unsigned long long)(seen->worked[i] + seen->failed[i]));
	note("files: %s", text);
}

void run_files(struct part *part)
{
	struct files_seen *seen = shared(sizeof(*seen));
	uint64_t slab = slab_bytes(), late;
	pid_t pid = process_start();
	int status = -1;

	if (!pid) {
		files_main(part, seen);
		_exit(0);
	}
	late = part->end + 60 * SECOND;
	while (!waitpid(pid, &status, WNOHANG) && now() < late + starved_since(late))
		pause_ns(10 * MS);
	if (status == -1)
		process_kill(pid);
	part->sums[SUM_SENT] = seen->sent_by_kernel;
	part->sums[SUM_RECEIVED] = seen->received_by_kernel;
	part->sums[SUM_QUEUED] = part->sums[SUM_LEFT] = seen->left;
	part->sums[SUM_SENDS] = seen->sends;
	part->sums[SUM_RECEIPTS] = seen->receipts;
	part->sums[SUM_ROUNDS] = seen->mounts;
	note_seen(seen);
	check(!status && seen->done, "%s: it came to its end (status %d)", part->name, status);
	check(!seen->odd && seen->mounts && seen->worked[OPEN_TO_SEND],
	      "%s: nothing has an error but those that it may have%s%s", part->name,
	      seen->odd ? ": " : "", seen->odd_text);
	check(!seen->wrong_messages && seen->receipts,
	      "%s: of %llu messages none was received twice, or unsent, and none lost that stayed "
	      "(%llu not)",
	      part->name, (unsigned long long)seen->sends,
	      (unsigned long long)seen->wrong_messages);
	check(seen->counts_nothing, "%s: nothing of it counts for anybody", part->name);
	check(until(module_unload() == 0) && !module_load(), "%s: nothing of it pins the module",
	      part->name);
	check_slab(part, slab, 16 << 20);
}
