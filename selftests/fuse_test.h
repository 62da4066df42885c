/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of a file system that a process of the test's serves (FUSE).  Without content
 * its pages never arrive, and who touches one cannot even be killed once it was asked for.
 * With content it is what a memory cgroup can take away and bring back: the VM has
 * neither disk nor swap.
 */
#ifndef KPOST_FUSE_TEST_H
#define KPOST_FUSE_TEST_H

#include "child_test.h"

#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define FUSE_MOST	(1 << 17)	/* bytes in one request */
#define FUSE_FILE	2		/* the file's inode; 1 is the root's */

struct fuse_file {
	pid_t server;
	int fd;			/* the file, to be mapped */
	size_t size;
	char *content;		/* shared with the server; NULL: there is none */
	unsigned int *stuck;	/* how many reads are not answered */
};

static inline void fuse_attr(const struct fuse_file *file, uint64_t inode, struct fuse_attr *attr)
{
	attr->ino = inode;
	attr->mode = inode == FUSE_FILE ? S_IFREG | 0666 : S_IFDIR | 0777;
	attr->nlink = 1;
	attr->size = file->size;
	attr->blksize = 4096;
}

/* one request, answered or never */
static inline void fuse_answer(const struct fuse_file *file, int device, char *request)
{
	static char body[4096];
	struct fuse_in_header *in = (void *)request;
	void *arg = request + sizeof(*in);
	struct fuse_out_header out = { .unique = in->unique };
	struct iovec reply[2] = { { &out, sizeof(out) }, { body, 0 } };

	memset(body, 0, sizeof(body));
	switch (in->opcode) {
	case FUSE_INIT: {
		struct fuse_init_out *init = (void *)body;

		init->major = 7;
		init->minor = 31;
		init->max_write = file->content ? FUSE_MOST : 4096;
		init->max_readahead = file->content ? FUSE_MOST : 0;
		init->flags = FUSE_BIG_WRITES;
		reply[1].iov_len = sizeof(*init);
		break;
	}
	case FUSE_LOOKUP: {
		struct fuse_entry_out *entry = (void *)body;

		entry->nodeid = FUSE_FILE;
		entry->attr_valid = entry->entry_valid = 1000;
		fuse_attr(file, FUSE_FILE, &entry->attr);
		reply[1].iov_len = sizeof(*entry);
		break;
	}
	case FUSE_GETATTR:
	case FUSE_SETATTR: {
		struct fuse_attr_out *attr = (void *)body;

		attr->attr_valid = 1000;
		fuse_attr(file, in->nodeid, &attr->attr);
		reply[1].iov_len = sizeof(*attr);
		break;
	}
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		reply[1].iov_len = sizeof(struct fuse_open_out);
		break;
	case FUSE_READ: {
		struct fuse_read_in *read = arg;

		if (!file->content) {
			__atomic_add_fetch(file->stuck, 1, __ATOMIC_RELEASE);
			return;
		}
		reply[1].iov_base = file->content + read->offset;
		reply[1].iov_len = read->size < file->size - read->offset ?
					   read->size : file->size - read->offset;
		break;
	}
	case FUSE_WRITE: {
		struct fuse_write_in *write = arg;
		struct fuse_write_out *written = (void *)body;

		if (file->content)
			memcpy(file->content + write->offset, write + 1, write->size);
		written->size = write->size;
		reply[1].iov_len = sizeof(*written);
		break;
	}
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	case FUSE_FLUSH:
	case FUSE_FSYNC:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		break;
	default:
		out.error = -ENOSYS;
	}
	out.len = sizeof(out) + reply[1].iov_len;
	if (writev(device, reply, 2) < 0 && errno != ENOENT)
		_exit(CHILD_FAILED);
}

static inline void fuse_serve(const struct fuse_file *file, int device)
{
	static char request[2 * FUSE_MOST];

	for (;;) {
		if (read(device, request, sizeof(request)) >= 0)
			fuse_answer(file, device, request);
		else if (errno == ENODEV)
			_exit(0);
	}
}

/*
 * A file of @size bytes, seen by the caller alone, which is root and gets a mount
 * namespace of its own.  Returns 0 or -errno; -ENOENT or -ENODEV where there is no FUSE.
 */
static inline int fuse_file_make(struct fuse_file *file, size_t size, bool content)
{
	int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char dir[] = "/tmp/kpost-fuse.XXXXXX", path[64], options[128];
	int err = 0;

	*file = (struct fuse_file){ .size = size, .fd = -1 };
	if (device < 0)
		return -errno;
	file->stuck = kt_shared(sizeof(*file->stuck));
	if (content)
		file->content = kt_shared(size);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !mkdtemp(dir))
		return -errno;
	if (mount("kpost", dir, "fuse", MS_NOSUID | MS_NODEV, options))
		err = -errno;
	if (!err) {
		file->server = kt_fork();
		if (file->server == 0)
			fuse_serve(file, device);
		snprintf(path, sizeof(path), "%s/file", dir);
		file->fd = open(path, O_RDWR | O_CLOEXEC);
		if (file->fd < 0)
			err = -errno;
	}
	/* the server has the connection now, and it ends with it */
	close(device);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return err;
}

static inline void *fuse_map(const struct fuse_file *file, int flags)
{
	void *at = mmap(NULL, file->size, PROT_READ | PROT_WRITE, flags, file->fd, 0);

	if (at == MAP_FAILED)
		return NULL;
	/* a test that fails would wait for it too */
	madvise(at, file->size, MADV_DONTDUMP);
	return at;
}

/* somebody touched a page, and its server has been asked for it */
static inline bool fuse_is_stuck(const struct fuse_file *file)
{
	return __atomic_load_n(file->stuck, __ATOMIC_ACQUIRE) > 0;
}

/* whoever waits for a page gets an error instead; 0 or -1 */
static inline int fuse_abort(struct fuse_file *file)
{
	pid_t server = file->server;

	file->server = 0;
	return server && kt_kill(server) < 0 ? -1 : 0;
}

#endif /* KPOST_FUSE_TEST_H */
