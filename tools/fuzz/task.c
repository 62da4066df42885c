// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a task does to itself and to others.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

#define NOBODY 1000

int task_offices[OFFICES];

static void become(uid_t uid, uid_t euid, gid_t gid)
{
	/* The library's would do it to all threads. The saved user leads back. */
	syscall(SYS_setresuid, -1, 0, -1);
	syscall(SYS_setresgid, gid, gid, -1);
	syscall(SYS_setresuid, uid, euid, -1);
}

static void change_user(unsigned int which)
{
	me->other_user = which % 4;
	switch (which % 4) {
	case 0:
		become(0, 0, 0);
		break;
	case 1:
		become(NOBODY, NOBODY, NOBODY);
		break;
	case 2:
		become(0, NOBODY + 1, 0);
		break;
	case 3:
		become(NOBODY, 0, NOBODY);
		break;
	}
	/* Which that has undone. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void task_set_office(unsigned int which)
{
	if (!setns(task_offices[which % OFFICES], CLONE_NEWNET))
		me->office = which % OFFICES;
}

static void run_kid(const struct operation *op)
{
	atomic_int slots[SLOTS];
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memcpy(slots, me->slots, sizeof(slots));
	me->slots = slots;
	me->kid = true;
	me->has_ring = false;
	me->fail_nth = -1;
	memset(me->kids, 0, sizeof(me->kids));
	machine_lane_started(LANES);
	if (op->flags & FORK_USER_NS)
		unshare(CLONE_NEWUSER);
	if (op->flags & FORK_NET_NS)
		unshare(CLONE_NEWNET);
	if (op->flags & FORK_NOBODY)
		change_user(1);
	if (op->flags & FORK_DEVICE)
		file_keep(0, open("/dev/kpost", O_RDWR | O_CLOEXEC));
	for (i = 1; i <= op->value % 4u; i++)
		lane_operation(me->index + 1);
	while (op->flags & FORK_STAYS)
		pause();
	if (me->has_ring)
		ring_close();
	machine_lane_ended(LANES);
	_exit(0);
}

static void fork_kid(const struct operation *op)
{
	unsigned int i;
	pid_t pid;

	for (i = 0; i < KIDS && me->kids[i]; i++)
		;
	if (i == KIDS || me->kid)
		return;
	pid = fork();
	if (!pid)
		run_kid(op);
	if (pid < 0)
		return;
	me->kids[i] = pid;
	world->kids[me->number] = pid;
}

void task_end_kids(void)
{
	unsigned int i;

	for (i = 0; i < KIDS; i++) {
		if (!me->kids[i])
			continue;
		kill(me->kids[i], SIGKILL);
		waitpid(me->kids[i], NULL, __WALL);
		me->kids[i] = 0;
	}
}

static void kill_task(const struct operation *op)
{
	int lane = world->lanes[op->to % LANES].tid, kid = world->kids[op->to % LANES];
	int lane_2 = world->lanes[LANES - 1].tid;

	switch (op->value % 8) {
	case 0:
	case 1:
		syscall(SYS_tkill, lane, op->value % 8 ? SIGUSR2 : SIGUSR1);
		break;
	case 2:
	case 3:
		if (kid > 0)
			kill(kid, SIGKILL);
		break;
	case 4:
		if (lane_2 > 0)
			kill(lane_2, SIGKILL);
		break;
	case 5:
		/* The process of the other two, and so all of them. */
		if (op->flags == 1)
			kill(world->lanes[0].tid, SIGKILL);
		break;
	case 6:
		if (lane_2 > 0 && me->number != LANES - 1) {
			kill(lane_2, SIGSTOP);
			sched_yield();
			kill(lane_2, SIGCONT);
		}
		break;
	case 7:
		if (kid > 0) {
			kill(kid, SIGSTOP);
			kill(kid, SIGCONT);
		}
		break;
	}
}

/* Until the other lanes have ended, or been in one operation for a while. */
static void settle(void)
{
	struct timespec while_ = { .tv_nsec = MS / 3 };
	unsigned int steps[LANES], i, tries, moved;

	for (tries = 0; tries < 10; tries++) {
		for (i = 0; i < LANES; i++)
			steps[i] = world->lanes[i].steps;
		nanosleep(&while_, NULL);
		moved = 0;
		for (i = 0; i < LANES; i++)
			moved += i != me->number && steps[i] != world->lanes[i].steps;
		if (!moved)
			break;
	}
}

static void plant(void)
{
	int fd = machine_may_plant() ?
			 open("/sys/module/kpost/parameters/plant", O_WRONLY | O_CLOEXEC) :
			 -1;

	if (fd < 0)
		return;
	if (write(fd, "use-after-free", 14) != 14)
		perror("plant");
	close(fd);
}

void task_operate(void)
{
	const struct operation *op = me->op;

	switch (op->kind) {
	case OP_FORK:
		fork_kid(op);
		break;
	case OP_KILL:
		kill_task(op);
		break;
	case OP_USER:
		change_user(op->value);
		break;
	case OP_OFFICE:
		task_set_office(op->value);
		break;
	case OP_SCRIBBLE:
		memory_scribble(op->value);
		break;
	case OP_REMAP:
		memory_remap(op->value);
		break;
	case OP_SETTLE:
		settle();
		break;
	case OP_PLANT:
		plant();
		break;
	}
}

void task_restore(void)
{
	if (me->other_user)
		change_user(0);
	if (me->office)
		task_set_office(0);
}

static void set(const char *name, const char *value)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/kpost/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		perror(path);
	close(fd);
}

/* An office as it was at first: no names, the settings that it came with on a machine of 4 GiB. */
void task_clean_office(unsigned int which)
{
	static const char *const settings[][2] = {
		{ "default_bytes", "131072" },
		{ "user_bytes", "67108864" },
		{ "user_sending_bytes", "67108864" },
		{ "office_bytes", "1073741824" },
		{ "office_sending_bytes", "1073741824" },
		{ "reserved", "sys." },
		{ "private", "0" },
	};
	bool names = atomic_exchange(&world->names_given[which], false);
	bool sysctls = atomic_exchange(&world->sysctls_changed[which], false);
	static struct kpost_stat found;
	struct kpost_list list = { (uintptr_t)&found, 1, sizeof(found), "" };
	struct kpost_unlink name = { .flags = 0 };
	unsigned int i;
	int device;

	if (!names && !sysctls)
		return;
	task_set_office(which);
	if (sysctls)
		for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
			set(settings[i][0], settings[i][1]);
	device = open("/dev/kpost", O_RDWR | O_CLOEXEC);
	while (ioctl(device, KPOST_IOC_LIST, &list) == 1) {
		memcpy(name.name, found.name, sizeof(name.name));
		ioctl(device, KPOST_IOC_UNLINK, &name);
		memcpy(list.after, found.name, sizeof(list.after));
	}
	close(device);
	task_set_office(0);
}
