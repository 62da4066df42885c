// SPDX-License-Identifier: GPL-2.0-only
/* Pipes and FIFOs, which carry bytes; what they share with other files. */
#include "bench.h"

#include <fcntl.h>
#include <sys/stat.h>

#define PIPE_USUAL (1ul << 16)
#define PIPE_MOST (1ul << 20)

void write_all(struct line *line, void *buf, size_t len)
{
	ssize_t ret;

	for (; len; buf = (char *)buf + ret, len -= (size_t)ret) {
		ret = write(line->out, buf, len);
		if (ret < 0)
			die("write: %s", strerror(errno));
	}
}

void read_all(struct line *line, void *buf, size_t len)
{
	ssize_t ret;

	for (; len; buf = (char *)buf + ret, len -= (size_t)ret) {
		ret = read(line->in, buf, len);
		if (ret <= 0)
			die("read: %s", ret ? strerror(errno) : "the end");
	}
}

void close_fds(struct line *line)
{
	close(line->in);
	if (line->out != line->in)
		close(line->out);
}

/* As much room as the others have, or as it can have. */
static int widen(const struct line *line, const struct load *load)
{
	unsigned long room = room_of(load) * load->size;

	if (load->depth * load->size > PIPE_MOST)
		return -EMSGSIZE;
	if (room <= PIPE_USUAL)
		return 0;
	if (fcntl(line->in, F_SETPIPE_SZ, room < PIPE_MOST ? room : PIPE_MOST) < 0)
		return -errno;
	return 0;
}

int open_pipe(struct line *line, const struct load *load)
{
	int fds[2];

	if (pipe(fds))
		return -errno;
	line->in = fds[0];
	line->out = fds[1];
	return widen(line, load);
}

static int open_fifo(struct line *line, const struct load *load)
{
	char path[] = "/tmp/kpost-bench-XXXXXX";

	if (!mkdtemp(path))
		return -errno;
	/* A directory of our own, in whose place comes the FIFO. */
	if (rmdir(path) || mkfifo(path, 0600))
		return -errno;
	line->in = open(path, O_RDWR | O_CLOEXEC);
	line->out = line->in;
	unlink(path);
	return line->in < 0 ? -errno : widen(line, load);
}

static int open_another(void)
{
	static const char path[] = "/tmp/kpost-bench-fifo";

	if (mkfifo(path, 0600) && errno != EEXIST)
		return -1;
	return open(path, O_RDWR | O_CLOEXEC);
}

const struct transport pipe_plain = {
	.name = "pipe",
	.what = "a pipe",
	.min = 1,
	.open = open_pipe,
	.close = close_fds,
	.send = write_all,
	.receive = read_all,
};

const struct transport pipe_named = {
	.name = "fifo",
	.what = "a named pipe",
	.min = 1,
	.open = open_fifo,
	.close = close_fds,
	.send = write_all,
	.receive = read_all,
	.another = open_another,
};
