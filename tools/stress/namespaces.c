// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part "namespaces": network namespaces are made and go, with mailboxes and
 * messages in them, persistent ones too, and everything goes with them.
 */
#include <sched.h>

#include "stress.h"

enum { LANES = 4, EACH = 8 };

/* In a namespace of its own, which goes with this process. */
static int namespace_main(struct chance chance, bool persist)
{
	static char message[2000];
	struct kpost_stat st;
	int fd;

	if (unshare(CLONE_NEWNET))
		return 1;
	for (unsigned int i = 0; i < 3; i++) {
		char name[32];

		snprintf(name, sizeof(name), "inside.%u", i);
		fd = open_mailbox(name, SEND_RECV,
				  KPOST_OPEN_CREATE | KPOST_OPEN_EXCL |
					  (persist ? KPOST_OPEN_PERSIST : 0),
				  0, 0, 0);
		for (unsigned int n = chance_below(&chance, EACH); n; n--)
			if (kpost_send(fd, message, sizeof(message), n, 0, 0))
				return 2;
		st = stat_of(fd);
		if (st.received || st.sent != st.queued_messages)
			return 3;
		if (chance_below(&chance, 2))
			close(fd);
	}
	/* Nobody else's are seen. */
	return kpost_open("outside", KPOST_RIGHT_SEND, 0, NULL, 0) == -ENOENT ? 0 : 4;
}

/* Namespaces that there are, as the slab allocator counts them; 0 if it does not. */
static uint64_t namespaces(void)
{
	const char *shrink = "/sys/kernel/slab/net_namespace/shrink";
	FILE *file = fopen("/proc/slabinfo", "re");
	unsigned long long active = 0;
	char line[256];

	/* What processors keep for themselves counts as used. */
	if (!access(shrink, W_OK))
		write_file(shrink, "1");
	while (file && fgets(line, sizeof(line), file) &&
	       sscanf(line, "net_namespace %llu", &active) != 1)
		;
	if (file)
		fclose(file);
	return active;
}

void run_namespaces(struct part *part)
{
	uint64_t before = namespaces(), slab, wrong = 0, made = 0;
	int outside = open_mailbox("outside", SEND_RECV, KPOST_OPEN_CREATE, 0, 0, 0);
	pid_t pids[LANES];

	hurry(UINT_MAX);
	slab = slab_bytes();
	do {
		for (int i = 0; i < LANES; i++, made++) {
			struct chance chance = chance_of(9000 + made);

			pids[i] = process_start();
			if (!pids[i])
				_exit(namespace_main(chance, made & 1));
		}
		for (int i = 0; i < LANES; i++)
			wrong += process_wait(pids[i]) != 0;
	} while (made < part->goal && now() < part->end && !wrong);
	close(outside);
	part->sums[SUM_ROUNDS] = made;
	check(!wrong && made, "%s: %llu made, with mailboxes in them (%llu not)", part->name,
	      (unsigned long long)made, (unsigned long long)wrong);
	if (before)
		check(until(namespaces() <= before + LANES * 4),
		      "%s: all have gone: %llu, before %llu", part->name,
		      (unsigned long long)namespaces(), (unsigned long long)before);
	/* A thousand of them leave some 8 MiB in the kernel's caches, and no more do more. */
	check_slab(part, slab, 16 << 20);
	/* It warns of what is charged to nobody any more. */
	hurry(1);
	check(until(module_unload() == 0) && !module_load(), "%s: nothing of them pins the module",
	      part->name);
	hurry_no_more();
}
