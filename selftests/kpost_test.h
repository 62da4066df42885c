/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the selftests of kpost share: the operations as plain calls that return
 * -errno, on the interface itself rather than through the library; mailboxes to
 * try them on; threads and processes that do one of them; and waiting for an
 * event, always with a deadline.
 *
 * Out-parameters are filled with KT_POISON before each operation, so that a byte
 * that the kernel forgot, or wrote when it should not have, can be told.
 */
#ifndef KPOST_TEST_H
#define KPOST_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/kpost.h>
/*
 * The harness's macros leave parameters unused, end in loops without a body, and
 * keep constants in variables, which are then signed.  (They are also two
 * statements: give them braces of their own below an if or a for.)
 */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wempty-body"
#pragma GCC diagnostic ignored "-Wsign-compare"
/* it compares literals, which are signed, with whatever a test has seen */
#pragma GCC diagnostic ignored "-Wsign-compare"
/* and its setjmp() has locals that no longjmp() needs */
#pragma GCC diagnostic ignored "-Wclobbered"
/* a program of more than one file cannot use it */
#ifndef KPOST_TEST_NO_HARNESS
#include "kselftest_harness.h"

/* A kernel with detectors in an emulator takes its time; what hangs, hangs longer. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 240
#endif

#define KT_DEVICE	"/dev/kpost"
#define KT_POISON	0xA5
#define KT_MS		1000000ull	/* in nanoseconds */
#define KT_SOON		60000	/* ms; what is due happens within that, or never */
#define KT_LATER	500	/* ms; what comes first happens within that, on slow machines too */
#define KT_ALL		(KPOST_RIGHT_SEND | KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN)

/* ---- time: deadlines, and waiting for an event ------------------------------ */

static inline uint64_t kt_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* an absolute deadline @ms from now */
static inline uint64_t kt_in(uint64_t ms)
{
	return kt_now() + ms * KT_MS;
}

/* the deadline of an operation that is expected to finish by itself */
static inline uint64_t kt_soon(void)
{
	return kt_in(KT_SOON);
}

/* the deadline of what has to be received, or be seen to wait, before its time is over */
static inline uint64_t kt_later(void)
{
	return kt_in(KT_LATER);
}

/* between two looks at a condition, never instead of one */
static inline void kt_pause(void)
{
	struct timespec ts = { .tv_nsec = 200000 };

	nanosleep(&ts, NULL);
}

/*
 * Look at @cond until it is true; false if it was not within KT_SOON:
 *	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
 */
#define kt_until(cond) ({							\
	uint64_t kt_until_end = kt_soon();					\
	bool kt_until_ok;							\
										\
	while (!(kt_until_ok = !!(cond)) && kt_now() < kt_until_end)		\
		kt_pause();							\
	kt_until_ok;								\
})

/* ---- raw operations -------------------------------------------------------- */

/*
 * What waited until just before kt_soon() was not woken: it looked once more because its
 * time was over, and found what had been there all along.  That is no success.  The C
 * library would cut the kernel's answer to an int.
 */
static inline long kt_ioctl(int fd, unsigned long op, void *arg)
{
	uint64_t late = kt_in(KT_SOON - 2000);
	long ret = syscall(SYS_ioctl, fd, op, arg);

	if (ret >= 0 && kt_now() > late)
		return -ETIME;
	return ret < 0 ? -errno : ret;
}

/* the number of @op for a struct of @size bytes */
static inline unsigned long kt_op_sized(unsigned long op, size_t size)
{
	return _IOC(_IOC_DIR(op), _IOC_TYPE(op), _IOC_NR(op), size);
}

static inline int kt_open_device(void)
{
	int fd = open(KT_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* the device, opened once in each test */
static inline int kt_device(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = kt_open_device();
	return fd;
}

static inline void *kt_poison(void *buf, size_t len)
{
	return memset(buf, KT_POISON, len);
}

static inline bool kt_poisoned(const void *buf, size_t len)
{
	const unsigned char *byte = buf;

	while (len--) {
		if (*byte++ != KT_POISON)
			return false;
	}
	return true;
}

/* Lengths are of 64 bits, as those of the interface are, in a 32-bit program too. */
static inline struct kpost_send kt_send_args(const void *buf, uint64_t len, unsigned int priority,
					     unsigned int flags, uint64_t deadline)
{
	return (struct kpost_send){
		.flags = flags,
		.priority = priority,
		.deadline = deadline,
		.buf = (uintptr_t)buf,
		.len = len,
	};
}

static inline long kt_send(int fd, const void *buf, uint64_t len, unsigned int priority,
			   unsigned int flags, uint64_t deadline)
{
	struct kpost_send send = kt_send_args(buf, len, priority, flags, deadline);

	return kt_ioctl(fd, KPOST_IOC_SEND, &send);
}

/* without waiting, as most tests send */
static inline long kt_post(int fd, const void *buf, uint64_t len, unsigned int priority)
{
	return kt_send(fd, buf, len, priority, KPOST_DONTWAIT, 0);
}

/* the arguments of RECV, everything that the kernel should fill in poisoned */
static inline struct kpost_recv kt_recv_args(void *buf, uint64_t len, unsigned int flags,
					     uint64_t deadline)
{
	struct kpost_recv recv;

	kt_poison(&recv, sizeof(recv));
	recv.flags = flags;
	recv.deadline = deadline;
	recv.buf = (uintptr_t)buf;
	recv.len = len;
	recv.cookie = 0;
	recv.hold_until = 0;
	return recv;
}

/* @recv may be NULL */
static inline long kt_recv(int fd, struct kpost_recv *recv, void *buf, uint64_t len,
			   unsigned int flags, uint64_t deadline)
{
	struct kpost_recv local;

	if (!recv)
		recv = &local;
	*recv = kt_recv_args(buf, len, flags, deadline);
	return kt_ioctl(fd, KPOST_IOC_RECV, recv);
}

/* without waiting */
static inline long kt_take(int fd, struct kpost_recv *recv, void *buf, uint64_t len)
{
	return kt_recv(fd, recv, buf, len, KPOST_DONTWAIT, 0);
}

/* likewise of CALL */
/* the next message is @text, and so many were @missed */
static inline bool kt_next_is(int fd, const char *text, uint64_t missed)
{
	struct kpost_recv recv;
	char buf[64];
	long ret = kt_take(fd, &recv, buf, sizeof(buf));

	if (ret == (long)strlen(text) && !memcmp(buf, text, (size_t)ret) && recv.missed == missed)
		return true;
	fprintf(stderr, "# got %ld '%.*s', missed %llu\n", ret, ret > 0 ? (int)ret : 0, buf,
		(unsigned long long)recv.missed);
	return false;
}

static inline struct kpost_call kt_call_args(const void *buf, uint64_t len, void *reply_buf,
					     uint64_t reply_len, uint64_t deadline)
{
	struct kpost_call call;

	memset(&call, 0, sizeof(call));
	kt_poison(&call.sequence, sizeof(call) - offsetof(struct kpost_call, sequence));
	call.deadline = deadline;
	call.buf = (uintptr_t)buf;
	call.len = len;
	call.reply_buf = (uintptr_t)reply_buf;
	call.reply_len = reply_len;
	return call;
}

static inline long kt_call(int fd, const void *buf, uint64_t len, void *reply_buf,
			   uint64_t reply_len, uint64_t deadline)
{
	struct kpost_call call = kt_call_args(buf, len, reply_buf, reply_len, deadline);

	return kt_ioctl(fd, KPOST_IOC_CALL, &call);
}

static inline long kt_reply(int fd, uint64_t token, const void *buf, uint64_t len)
{
	struct kpost_reply reply = {
		.token = token,
		.buf = (uintptr_t)buf,
		.len = len,
	};

	return kt_ioctl(fd, KPOST_IOC_REPLY, &reply);
}

static inline long kt_drop(int fd, uint64_t token)
{
	struct kpost_reply reply = {
		.flags = KPOST_DROP,
		.token = token,
	};

	return kt_ioctl(fd, KPOST_IOC_REPLY, &reply);
}

static inline long kt_reply_recv(int fd, struct kpost_reply *reply, struct kpost_recv *recv)
{
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)reply,
		.recv = (uintptr_t)recv,
		.reply_size = sizeof(*reply),
		.recv_size = sizeof(*recv),
	};

	return kt_ioctl(fd, KPOST_IOC_REPLY_RECV, &both);
}

/* all poison if it failed, so that no condition on it comes true */
static inline struct kpost_stat kt_stat(int fd)
{
	struct kpost_stat st;

	kt_poison(&st, sizeof(st));
	kt_ioctl(fd, KPOST_IOC_STAT, &st);
	return st;
}

static inline bool kt_stat_same(struct kpost_stat a, struct kpost_stat b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/*
 * @call is refused with -@err, and @fd's mailbox (its name, limits, counters and
 * queue) is as it was.
 */
#define EXPECT_REFUSED(err, fd, call) do {					\
	struct kpost_stat kt_stat_before = kt_stat(fd);				\
										\
	EXPECT_EQ(-(err), (call));						\
	EXPECT_TRUE(kt_stat_same(kt_stat_before, kt_stat(fd)));			\
} while (0)

/* ---- mailboxes ------------------------------------------------------------- */

#define KT_NAME_SIZE	(KPOST_NAME_MAX + 1)

/* a name that no other test and no other run uses */
static inline const char *kt_name(char name[KT_NAME_SIZE])
{
	static unsigned int count;

	snprintf(name, KT_NAME_SIZE, "kt.%d.%llx.%u", getpid(),
		 (unsigned long long)kt_now(), ++count);
	return name;
}

/* the arguments of OPEN; the other fields are for the test to set */
static inline struct kpost_open kt_open_args(const char *name, unsigned int rights,
					     unsigned int flags)
{
	struct kpost_open open = {
		.flags = flags,
		.rights = rights,
	};

	if (flags & KPOST_OPEN_CREATE)
		open.mode = 0600;
	if (name)
		memcpy(open.name, name, strnlen(name, KPOST_NAME_MAX));
	return open;
}

static inline int kt_do_open(struct kpost_open *open)
{
	return (int)kt_ioctl(kt_device(), KPOST_IOC_OPEN, open);
}

static inline int kt_open(const char *name, unsigned int rights, unsigned int flags)
{
	struct kpost_open open = kt_open_args(name, rights, flags);

	return kt_do_open(&open);
}

/* a new mailbox of that name, mode 0600 */
static inline int kt_create(const char *name, unsigned int rights)
{
	return kt_open(name, rights, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL);
}

static inline int kt_unlink(const char *name)
{
	struct kpost_unlink unlink = { .flags = 0 };

	memcpy(unlink.name, name, strnlen(name, KPOST_NAME_MAX));
	return (int)kt_ioctl(kt_device(), KPOST_IOC_UNLINK, &unlink);
}

/* an anonymous mailbox with all rights on one endpoint; 0 for a default */
static inline int kt_mailbox(unsigned int messages, uint64_t bytes, unsigned int message_max)
{
	struct kpost_open open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);

	open.messages = messages;
	open.bytes = bytes;
	open.message_max = message_max;
	return kt_do_open(&open);
}

/* an anonymous mailbox: fds[0] receives (and has ADMIN), fds[1] sends */
static inline int kt_pair(int fds[2], unsigned int messages, uint64_t bytes)
{
	struct kpost_open open = kt_open_args(NULL, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
					      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);

	open.messages = messages;
	open.bytes = bytes;
	fds[0] = kt_do_open(&open);
	fds[1] = open.send_fd;
	return fds[0] < 0 ? fds[0] : 0;
}

/* another endpoint on @fd's mailbox, with its badge */
static inline int kt_grant(int fd, unsigned int rights)
{
	struct kpost_grant grant = { .rights = rights };

	return (int)kt_ioctl(fd, KPOST_IOC_GRANT, &grant);
}

/* with another badge */
static inline int kt_grant_badge(int fd, unsigned int rights, uint64_t badge)
{
	struct kpost_grant grant = {
		.flags = KPOST_GRANT_BADGE,
		.rights = rights,
		.badge = badge,
	};

	return (int)kt_ioctl(fd, KPOST_IOC_GRANT, &grant);
}

/* ---- a thread that does one thing ------------------------------------------ */

/*
 * @ret is the operation's result or -errno, valid once kt_join() said true or
 * kt_done(); @began and @ended say when, by kt_now().
 */
struct kt_job {
	pthread_t thread;
	long (*fn)(void *arg);
	void *fn_arg;
	int fd;
	unsigned long op;
	void *arg;
	pid_t tid;		/* 0 until it is about to begin */
	uint64_t began;
	uint64_t ended;
	long ret;
	bool done;
};

static inline void *kt_job_main(void *data)
{
	struct kt_job *job = data;
	sigset_t ended;

	/*
	 * Nobody wants to know that a child has ended.  But fork(2) has the C library block all
	 * signals for a moment, and one that comes then interrupts another thread.
	 */
	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &ended, NULL);
	job->began = kt_now();
	__atomic_store_n(&job->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	job->ret = job->fn ? job->fn(job->fn_arg) : kt_ioctl(job->fd, job->op, job->arg);
	job->ended = kt_now();
	__atomic_store_n(&job->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline void kt_spawn(struct kt_job *job)
{
	int err = pthread_create(&job->thread, NULL, kt_job_main, job);

	if (err) {
		fprintf(stderr, "# pthread_create: %s\n", strerror(err));
		abort();
	}
	while (!__atomic_load_n(&job->tid, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* start a thread that does @op on @fd; @arg must live until it is done */
static inline void kt_start(struct kt_job *job, int fd, unsigned long op, void *arg)
{
	*job = (struct kt_job){ .fd = fd, .op = op, .arg = arg };
	kt_spawn(job);
}

/* start a thread that runs @fn */
static inline void kt_start_fn(struct kt_job *job, long (*fn)(void *arg), void *arg)
{
	*job = (struct kt_job){ .fn = fn, .fn_arg = arg };
	kt_spawn(job);
}

static inline bool kt_done(struct kt_job *job)
{
	return __atomic_load_n(&job->done, __ATOMIC_ACQUIRE);
}

/* false if it is not done within KT_SOON (it is then left alone) */
static inline bool kt_join(struct kt_job *job)
{
	if (!kt_until(kt_done(job)))
		return false;
	pthread_join(job->thread, NULL);
	return true;
}

static inline char kt_task_state(pid_t tid)
{
	char path[64], line[512], *paren;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 'X';
	len = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[len > 0 ? len : 0] = '\0';
	paren = strrchr(line, ')');
	return paren && paren[1] ? paren[2] : 'X';
}

/*
 * Is the task asleep?  Where STAT tells that it waits, ask STAT; this is for
 * what STAT does not show, such as waiting for a name.
 */
static inline bool kt_asleep(pid_t tid)
{
	char state = kt_task_state(tid);

	return state == 'S' || state == 'D';
}

/* send a signal to one thread of this process */
static inline int kt_signal(struct kt_job *job, int sig)
{
	return syscall(SYS_tgkill, getpid(), job->tid, sig) ? -errno : 0;
}

static volatile sig_atomic_t kt_signals __attribute__((unused)); /* how many were handled */

static inline void kt_count_signal(int sig)
{
	(void)sig;
	__atomic_add_fetch(&kt_signals, 1, __ATOMIC_SEQ_CST);
}

/* count @sig in kt_signals; @flags 0 or SA_RESTART */
static inline int kt_handle(int sig, int flags)
{
	struct sigaction action = { .sa_handler = kt_count_signal, .sa_flags = flags };

	return sigaction(sig, &action, NULL) ? -errno : 0;
}

/* ---- processes ------------------------------------------------------------- */

/* fork a child that dies with the test */
static inline pid_t kt_fork(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
	}
	return pid;
}

/* the child's status, as of waitpid(2); it is killed, and -1, if not within KT_SOON */
static inline int kt_reap(pid_t pid)
{
	int status;

	if (kt_until(waitpid(pid, &status, WNOHANG) == pid))
		return status;
	kill(pid, SIGKILL);
	return -1;
}

/* the child's exit status, or -1 if it did not exit by itself within KT_SOON */
static inline int kt_exit_status(pid_t pid)
{
	int status = kt_reap(pid);

	return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* kill the child with SIGKILL; the milliseconds until it was gone, -1 if not */
static inline long kt_kill(pid_t pid)
{
	uint64_t start = kt_now();
	int status;

	kill(pid, SIGKILL);
	status = kt_reap(pid);
	if (status < 0 || !WIFSIGNALED(status))
		return -1;
	return (long)((kt_now() - start) / KT_MS);
}

/* memory that this process, its threads and its children share */
static inline void *kt_shared(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

/* ---- memory that faults ----------------------------------------------------- */

static inline size_t kt_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/*
 * Two pages, the second with protection @prot; the address of the second.
 * PROT_NONE stands for unmapped memory here, which nothing else can be mapped
 * into meanwhile.
 */
static inline char *kt_edge(int prot)
{
	size_t page = kt_page_size();
	char *mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	if (mem == MAP_FAILED)
		abort();
	memset(mem, KT_POISON, 2 * page);
	if (mprotect(mem + page, page, prot))
		abort();
	return mem + page;
}

/* an address that belongs to the kernel */
#define KT_KERNEL_ADDRESS	0xffffffff81000000ull

#endif /* KPOST_TEST_H */
