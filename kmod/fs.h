/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An office as a file system, see fs.c.
 */
#ifndef KPOST_FS_H
#define KPOST_FS_H

#include <linux/types.h>

struct file;
struct kpost_mailbox;

int kpost_fs_init(void);
void kpost_fs_exit(void);

/* Tell those who watch the directory, with nothing locked, and @mailbox held. */
void kpost_fs_named(struct kpost_mailbox *mailbox);
void kpost_fs_unnamed(struct kpost_mailbox *mailbox);

int kpost_fs_opens(const struct file *file, const struct kpost_mailbox *mailbox, u32 rights);
int kpost_fs_make_begin(struct file *dir, const char *name, umode_t mode, u32 rights);
int kpost_fs_unlink_begin(struct file *dir, const char *name);
void kpost_fs_change_end(struct file *dir);

#endif /* KPOST_FS_H */
