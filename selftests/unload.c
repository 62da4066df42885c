// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 10: unload is safe.  What uses the module pins it, and nothing else
 * does.  Each test leaves the module loaded.
 */
#include "fs_test.h"
#include "fuse_test.h"
#include "uring_test.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/utsname.h>

/* delete_module(2) that does not wait */
static int unload(void)
{
	return syscall(SYS_delete_module, "kpost", O_NONBLOCK) ? -errno : 0;
}

/* the module's file: $KPOST_MODULE, or as the build leaves it; NULL if there is none */
static const char *module_path(void)
{
	static const char *const tops[] = { "", "../", "../../" };
	static char path[4096];
	char exe[2048] = "";
	struct utsname uts;
	ssize_t len;

	if (getenv("KPOST_MODULE"))
		return getenv("KPOST_MODULE");
	uname(&uts);
	for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
		snprintf(path, sizeof(path), "%sbuild/kmod/%s/kpost.ko", tops[i], uts.release);
		if (access(path, R_OK) == 0)
			return path;
	}
	/* build/selftests/unload */
	len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[len > 0 ? len : 0] = '\0';
	for (int up = 0; up < 2 && strrchr(exe, '/'); up++)
		*strrchr(exe, '/') = '\0';
	snprintf(path, sizeof(path), "%s/kmod/%s/kpost.ko", exe, uts.release);
	return access(path, R_OK) == 0 ? path : NULL;
}

static int load(void)
{
	const char *path = module_path();
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	int err;

	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	/* and the device's node is there */
	if (!err && !kt_until(access(KT_DEVICE, R_OK | W_OK) == 0))
		err = -ENODEV;
	return err;
}

FIXTURE(unload) {
	int unused;
};

FIXTURE_SETUP(unload)
{
	if (geteuid() != 0)
		SKIP(return, "loading a module needs root");
	if (!module_path())
		SKIP(return, "no kpost.ko to load again ($KPOST_MODULE tells where it is)");
	if (access(KT_DEVICE, F_OK) != 0)
		ASSERT_EQ(0, load());
}

FIXTURE_TEARDOWN(unload)
{
	if (access(KT_DEVICE, F_OK) != 0)
		EXPECT_EQ(0, load());
}

/* once more, after what pinned it has gone */
#define EXPECT_UNLOADS() do {							\
	EXPECT_TRUE(kt_until(unload() == 0)) TH_LOG("something still pins it");	\
	EXPECT_EQ(-1, access(KT_DEVICE, F_OK));					\
	EXPECT_EQ(0, load());							\
} while (0)

#define EXPECT_PINNED() EXPECT_EQ(-EWOULDBLOCK, unload())

TEST_F(unload, open_device_pins_the_module)
{
	int fd = kt_open_device();

	ASSERT_LE(0, fd);
	EXPECT_PINNED();
	close(fd);
	EXPECT_UNLOADS();
}

/* kt_device() would pin it for the rest of the test */
static int mailbox_open(struct kpost_open *open)
{
	int device = kt_open_device();
	int fd = (int)kt_ioctl(device, KPOST_IOC_OPEN, open);

	close(device);
	return fd;
}

static int anonymous(void)
{
	struct kpost_open open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);

	return mailbox_open(&open);
}

TEST_F(unload, open_endpoint_pins_the_module)
{
	int fd = anonymous(), copy;

	ASSERT_LE(0, fd);
	EXPECT_PINNED();
	copy = dup(fd);
	close(fd);
	EXPECT_PINNED();
	EXPECT_EQ(0, kt_post(copy, "still works", 11, 0));
	close(copy);
	EXPECT_UNLOADS();
}

TEST_F(unload, each_of_a_pair_pins_the_module)
{
	struct kpost_open open = kt_open_args(NULL, KPOST_RIGHT_RECV,
					      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
	int fd = mailbox_open(&open);

	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_PINNED();
	close(open.send_fd);
	EXPECT_UNLOADS();
}

TEST_F(unload, endpoint_of_another_process_pins_the_module)
{
	int fd = anonymous();
	pid_t pid = kt_fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	close(fd);
	EXPECT_PINNED();
	EXPECT_LE(0, kt_kill(pid));
	EXPECT_UNLOADS();
}

TEST_F(unload, waiting_task_pins_the_module)
{
	struct kpost_recv recv;
	struct kt_job job;
	int fd = anonymous(), copy = dup(fd);
	char buf[8];

	recv = kt_recv_args(buf, sizeof(buf), 0, kt_in(20000));
	kt_start(&job, fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(copy).waiting_receivers == 1));
	EXPECT_PINNED();
	EXPECT_EQ(0, kt_post(copy, "x", 1, 0));
	ASSERT_TRUE(kt_join(&job));
	close(fd);
	close(copy);
	EXPECT_UNLOADS();
}

TEST_F(unload, parked_request_pins_the_module)
{
	struct uring_result result;
	struct kpost_recv recv;
	struct kpost_cancel cancel = {};
	struct io_uring ring;
	char buf[8];
	int fd = anonymous();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	uring_op(&ring, fd, KPOST_IOC_RECV, &recv, 1);
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
	ASSERT_EQ(0, io_uring_register_files(&ring, &fd, 1));
	close(fd);
	EXPECT_PINNED();
	/* until it is found: a worker may be about to wait */
	do {
		uring_op(&ring, 0, KPOST_IOC_CANCEL, &cancel, 2)->flags |= IOSQE_FIXED_FILE;
		ASSERT_EQ(1, io_uring_submit(&ring));
		ASSERT_EQ(0, uring_wait(&ring, &result));
	} while (result.data == 2 && result.res == 0);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(result.data == 2 ? 1 : -ECANCELED, result.res);
		if (i == 0)
			ASSERT_EQ(0, uring_wait(&ring, &result));
	}
	ASSERT_EQ(0, io_uring_unregister_files(&ring));
	/* the ring itself does not */
	EXPECT_UNLOADS();
	io_uring_queue_exit(&ring);
}

TEST_F(unload, mount_pins_the_module)
{
	int held;

	ASSERT_EQ(0, fs_unshare(0));
	ASSERT_EQ(0, fs_mount_at(FS_DIR));
	EXPECT_PINNED();
	ASSERT_EQ(0, fs_mkfifo("kt.jobs", 0600));
	held = fs_open("kt.jobs", O_PATH);
	ASSERT_LE(0, held);
	EXPECT_EQ(0, fs_unlink("kt.jobs"));
	/* one that is gone from sight goes on while something of it is held */
	EXPECT_EQ(0, umount2(FS_DIR, MNT_DETACH));
	EXPECT_PINNED();
	close(held);
	EXPECT_UNLOADS();
	ASSERT_EQ(0, fs_mount_at(FS_DIR));
	EXPECT_EQ(0, umount(FS_DIR));
	EXPECT_TRUE(kt_until(unload() == 0));
	EXPECT_EQ(-ENODEV, fs_mount_at(FS_DIR));
}

/* names that are left in the office are no mount, and pin nothing */
TEST_F(unload, mailbox_of_mkfifo_does_not_pin_the_module)
{
	ASSERT_EQ(0, fs_unshare(0));
	ASSERT_EQ(0, fs_mount_at(FS_DIR));
	ASSERT_EQ(0, fs_mkfifo("kt.jobs", 0600));
	EXPECT_EQ(0, umount(FS_DIR));
	EXPECT_UNLOADS();
	ASSERT_EQ(0, fs_mount_at(FS_DIR));
	EXPECT_EQ(-ENOENT, fs_open("kt.jobs", O_RDONLY));
	EXPECT_EQ(0, umount(FS_DIR));
}

struct mounting {
	unsigned int mounts;
	int stop;
};

static unsigned int mounts_done(struct mounting *mounting)
{
	return __atomic_load_n(&mounting->mounts, __ATOMIC_RELAXED);
}

static long mounts_and_opens(void *arg)
{
	struct mounting *mounting = arg;

	while (!__atomic_load_n(&mounting->stop, __ATOMIC_ACQUIRE)) {
		int err, fd;

		/* to mount what is not there has the kernel look for a module, which takes time */
		if (access(KT_DEVICE, F_OK))
			continue;
		err = fs_mount_at(FS_DIR);
		if (err == -ENODEV)
			continue;
		if (err)
			return err;
		if (fs_mkfifo("kt.race", 0600) && errno != EEXIST)
			return -errno;
		fd = fs_open("kt.race", O_RDWR);
		if (fd < 0)
			return fd;
		close(fd);
		if (umount(FS_DIR))
			return -errno;
		__atomic_add_fetch(&mounting->mounts, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

TEST_F(unload, mounting_while_it_is_unloaded_works_or_does_not)
{
	struct mounting mounting = {};
	unsigned int unloads, mounts;
	struct kt_job job;

	ASSERT_EQ(0, fs_unshare(0));
	ASSERT_EQ(0, mkdir(FS_DIR, 0755));
	kt_start_fn(&job, mounts_and_opens, &mounting);
	for (unloads = 0; unloads < 10; unloads++) {
		ASSERT_TRUE(kt_until(unload() == 0));
		ASSERT_EQ(0, load());
		mounts = mounts_done(&mounting);
		ASSERT_TRUE(kt_until(kt_done(&job) || mounts_done(&mounting) != mounts));
	}
	__atomic_store_n(&mounting.stop, 1, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

TEST_F(unload, poll_and_epoll_do_not_outlive_what_they_watch)
{
	int fd = anonymous(), poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
	EXPECT_PINNED();
	close(fd);
	EXPECT_UNLOADS();
	EXPECT_EQ(0, epoll_wait(poller, &event, 1, 0));
	close(poller);
}

TEST_F(unload, fd_in_flight_over_a_socket_pins_the_module)
{
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fd = anonymous(), sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	ASSERT_EQ(1, sendmsg(sock[0], &msg, 0));
	close(fd);
	EXPECT_PINNED();
	close(sock[0]);
	close(sock[1]);
	EXPECT_UNLOADS();
}

TEST_F(unload, persistent_mailbox_does_not_pin_the_module_and_goes_with_it)
{
	struct kpost_open open = kt_open_args("kt.persistent", KT_ALL,
					      KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	int fd = mailbox_open(&open);

	ASSERT_LE(0, fd);
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, kt_post(fd, &i, sizeof(i), (unsigned int)i));
	close(fd);
	/* it is there, and no obstacle */
	open = kt_open_args("kt.persistent", KT_ALL, 0);
	fd = mailbox_open(&open);
	EXPECT_EQ(100, kt_stat(fd).queued_messages);
	close(fd);
	EXPECT_UNLOADS();
	open = kt_open_args("kt.persistent", KT_ALL, 0);
	EXPECT_EQ(-ENOENT, mailbox_open(&open));
}

TEST_F(unload, namespaces_do_not_pin_the_module)
{
	struct kpost_open open = kt_open_args("kt.inside", KT_ALL,
					      KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	int fd;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	fd = mailbox_open(&open);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, kt_post(fd, "inside", 6, 0));
	EXPECT_PINNED();
	close(fd);
	EXPECT_UNLOADS();
	/* a namespace older than the module has an office all the same */
	fd = mailbox_open(&open);
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, kt_stat(fd).queued_messages);
	close(fd);
}

/* ---- who reads what the module shows ---------------------------------------------- */

struct reading {
	int fd;
	char *page;
	pid_t pid;
};

/* another process reads /proc/net/kpost, to a page that never arrives */
static void start_reading(struct __test_metadata *_metadata, struct fuse_file *file,
			  struct reading *reading)
{
	reading->fd = open("/proc/net/kpost", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, reading->fd);
	reading->pid = kt_fork();
	if (reading->pid == 0)
		_exit(read(reading->fd, reading->page, 4096) >= 0);
	close(reading->fd);
	ASSERT_TRUE(kt_until(fuse_is_stuck(file)));
}

static long unload_once(void *arg)
{
	(void)arg;
	return unload();
}

/* a network namespace, made and gone */
static long make_namespace(void *arg)
{
	pid_t pid = kt_fork();

	(void)arg;
	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) != 0);
	return kt_exit_status(pid);
}

TEST_F(unload, reader_that_is_stuck_pins_the_module_and_stops_nobody)
{
	struct kt_job remover, maker;
	struct reading reading;
	struct fuse_file file;
	int err = fuse_file_make(&file, kt_page_size(), false);

	if (err)
		SKIP(return, "no FUSE here: %s", strerror(-err));
	reading.page = fuse_map(&file, MAP_PRIVATE);
	ASSERT_NE(NULL, reading.page);
	start_reading(_metadata, &file, &reading);
	/* in threads of their own: they might hang, and not be killed */
	kt_start_fn(&remover, unload_once, NULL);
	EXPECT_TRUE(kt_join(&remover)) TH_LOG("rmmod waits for who reads");
	kt_start_fn(&maker, make_namespace, NULL);
	EXPECT_TRUE(kt_join(&maker)) TH_LOG("a network namespace waits for rmmod");
	EXPECT_EQ(0, fuse_abort(&file));
	EXPECT_TRUE(kt_until(kt_done(&remover) && kt_done(&maker)));
	EXPECT_EQ(-EWOULDBLOCK, remover.ret);
	EXPECT_EQ(0, maker.ret);
	EXPECT_EQ(0, kt_exit_status(reading.pid));
	if (access(KT_DEVICE, F_OK) == 0)
		EXPECT_UNLOADS();
}

TEST_F(unload, open_proc_file_pins_the_module)
{
	int fd = open("/proc/net/kpost", O_RDONLY | O_CLOEXEC);
	char text[256];

	ASSERT_LE(0, fd);
	EXPECT_PINNED();
	EXPECT_LT(0, read(fd, text, sizeof(text)));
	EXPECT_PINNED();
	close(fd);
	EXPECT_UNLOADS();
}

/* what it shows stays for as long as it is open, even if nothing else is left of it */
TEST_F(unload, open_proc_file_keeps_its_namespace)
{
	struct kpost_open open_args = kt_open_args("kt.kept", KT_ALL,
						   KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), proc, fd;
	char text[4096] = "";

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	fd = mailbox_open(&open_args);
	ASSERT_LE(0, fd);
	close(fd);
	proc = open("/proc/thread-self/net/kpost", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, proc);
	ASSERT_EQ(0, setns(home, CLONE_NEWNET));
	close(home);
	/* others come and go meanwhile, so that what is to go has gone */
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0, make_namespace(NULL));
	}
	EXPECT_LT(0, read(proc, text, sizeof(text) - 1));
	EXPECT_NE(NULL, strstr(text, "kt.kept"));
	EXPECT_PINNED();
	close(proc);
	EXPECT_UNLOADS();
}

/* ---- and what works in the background ----------------------------------------------- */

/* the last of those who are told are told by work that the unload must wait for */
TEST_F(unload, pollers_that_are_still_told_do_not_outlive_the_module)
{
	enum { EPOLLS = 40, COPIES = 50 };

	for (int round = 0; round < 10; round++) {
		int fd = anonymous(), copy[COPIES], epfd[EPOLLS];
		char buf[8];

		ASSERT_LE(0, fd);
		while (kt_post(fd, "x", 1, 0) == 0)
			;
		for (int i = 0; i < COPIES; i++)
			copy[i] = dup(fd);
		for (int i = 0; i < EPOLLS; i++) {
			epfd[i] = epoll_create1(EPOLL_CLOEXEC);
			for (int j = 0; j < COPIES; j++) {
				struct epoll_event event = {
					.events = EPOLLOUT | EPOLLIN | EPOLLET,
				};

				ASSERT_EQ(0, epoll_ctl(epfd[i], EPOLL_CTL_ADD, copy[j], &event));
			}
		}
		for (int i = 0; i < 20; i++) {
			ASSERT_EQ(1, kt_take(fd, NULL, buf, sizeof(buf)));
			ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
		}
		ASSERT_EQ(-EAGAIN, kt_post(fd, "x", 1, 0));
		ASSERT_EQ(1, kt_take(fd, NULL, buf, sizeof(buf)));
		/* either goes first */
		for (int i = 0; i < EPOLLS && round % 2; i++)
			close(epfd[i]);
		for (int i = 0; i < COPIES; i++)
			close(copy[i]);
		close(fd);
		ASSERT_EQ(0, unload()) TH_LOG("round %d", round);
		ASSERT_EQ(0, load());
		for (int i = 0; i < EPOLLS && round % 2 == 0; i++)
			close(epfd[i]);
	}
}

struct opener {
	bool stop;
	int opened;
	int odd;	/* errors that are none of those expected */
};

/* open, use, close, whether it is there or not */
static long open_over_and_over(void *arg)
{
	struct opener *opener = arg;

	while (!__atomic_load_n(&opener->stop, __ATOMIC_RELAXED)) {
		int fd = anonymous();

		if (fd >= 0) {
			if (kt_post(fd, "x", 1, 0))
				opener->odd++;
			opener->opened++;
			close(fd);
		} else if (fd != -ENOENT && fd != -ENODEV && fd != -ENXIO && fd != -EBADF) {
			opener->odd++;
		}
	}
	return 0;
}

TEST_F(unload, open_races_unload_and_reload)
{
	struct opener opener[2] = {};
	int unloaded = 0, err;
	struct kt_job job[2];

	for (int i = 0; i < 2; i++)
		kt_start_fn(&job[i], open_over_and_over, &opener[i]);
	/* A slow machine gets more time, but once is enough for it. */
	for (uint64_t end = kt_in(3000), last = kt_in(20000);
	     unloaded < 20 && kt_now() < (unloaded ? end : last);) {
		err = unload();
		if (err) {
			ASSERT_EQ(-EWOULDBLOCK, err);
			continue;
		}
		unloaded++;
		ASSERT_EQ(0, load());
	}
	for (int i = 0; i < 2; i++)
		__atomic_store_n(&opener[i].stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&job[i]));
		EXPECT_EQ(0, opener[i].odd);
		EXPECT_LT(0, opener[i].opened);
	}
	EXPECT_LT(0, unloaded) TH_LOG("it was never without an opener");
	EXPECT_UNLOADS();
}

TEST_HARNESS_MAIN
