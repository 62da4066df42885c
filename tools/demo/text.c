// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demo.h"

/* What has no size that can be trusted, as in /proc, is read to its end. */
static void read_all(struct text *text, int fd)
{
	size_t room = 0;
	char *bytes = NULL;
	ssize_t ret;

	do {
		if (room - text->size < 65536) {
			room = 2 * room + 65536;
			bytes = realloc(bytes, room);
			if (!bytes)
				die("no memory for '%s'", text->path);
		}
		ret = read(fd, bytes + text->size, room - text->size);
		if (ret < 0)
			die("cannot read '%s': %s", text->path, strerror(errno));
		text->size += (size_t)ret;
	} while (ret);
	text->bytes = bytes;
}

void text_load(struct text *text, const char *path)
{
	size_t position = 0, len;
	const char *line;
	struct stat st;
	int fd;

	memset(text, 0, sizeof(*text));
	text->path = path;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		die("cannot open '%s': %s", path, strerror(errno));
	if (S_ISREG(st.st_mode) && st.st_size > 0) {
		text->size = (size_t)st.st_size;
		text->bytes = mmap(NULL, text->size, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	if (!text->bytes || text->bytes == MAP_FAILED) {
		text->size = 0;
		read_all(text, fd);
	}
	close(fd);
	while (text_next(text, &position, &line, &len)) {
		text->lines++;
		text->payload += len;
		if (len > text->longest) {
			text->longest = len;
			text->longest_line = text->lines;
		}
	}
}

bool text_next(const struct text *text, size_t *position, const char **line, size_t *len)
{
	size_t left = text->size - *position;
	const char *newline;

	if (!left)
		return false;
	*line = text->bytes + *position;
	newline = memchr(*line, '\n', left);
	*len = newline ? (size_t)(newline - *line) : left;
	*position += *len + (newline ? 1 : 0);
	return true;
}

/* Not for strangers' files: it finds accidents. */
uint64_t digest(const char *bytes, size_t len)
{
	uint64_t hash = 0x9e3779b97f4a7c15u ^ len, word;

	for (; len; bytes += sizeof(word), len -= sizeof(word)) {
		word = 0;
		memcpy(&word, bytes, len < sizeof(word) ? len : sizeof(word));
		hash = (hash ^ word) * 0xff51afd7ed558ccdu;
		hash ^= hash >> 32;
		if (len < sizeof(word))
			break;
	}
	hash *= 0xc4ceb9fe1a85ec53u;
	return hash ^ hash >> 33;
}
