/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How messages and the structs of operations are copied from and to user memory.
 *
 * kpost_copy_in() and kpost_copy_out() are what moves payloads.  They check what
 * copy_from_user() and copy_to_user() check, but each thing once and by who knows it: that a
 * range is a user's, when it is imported (payload.h); that the kernel's side is within its
 * allocation, by what the message says of that (message.c), for which the kernel would have to
 * find the slab that it lies in.  Speculation, instrumentation and injected faults are looked
 * after as there.
 *
 * kpost_words_get() and kpost_words_put() are for structs, whose size the compiler knows.
 */
#ifndef KPOST_USERCOPY_H
#define KPOST_USERCOPY_H

#include <linux/build_bug.h>
#include <linux/fault-inject-usercopy.h>
#include <linux/instrumented.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include "compat/compat.h"

/* Both return how many bytes were copied, from the beginning; @to and @from are imported. */
static __always_inline size_t kpost_copy_in(void *to, const void __user *from, size_t n)
{
	size_t left;

	might_fault();
	if (should_fail_usercopy())
		return 0;
	/* That it is a user's was found out before; nothing is read on a guess. */
	if (can_do_masked_user_access())
		from = mask_user_address(from);
	else
		barrier_nospec();
	instrument_copy_from_user_before(to, from, n);
	left = raw_copy_from_user(to, from, n);
	instrument_copy_from_user_after(to, from, n, left);
	return n - left;
}

static __always_inline size_t kpost_copy_out(void __user *to, const void *from, size_t n)
{
	might_fault();
	if (should_fail_usercopy())
		return 0;
	instrument_copy_to_user(to, from, n);
	return n - raw_copy_to_user(to, from, n);
}

/* Without a loop, in code that each message goes through; clang needs no telling. */
/* clang-format off */
#define kpost_each_word(access, words, user, n, label)					\
	do {										\
		size_t i_;								\
		BUILD_BUG_ON((n) % sizeof(long));					\
		_Pragma("GCC unroll 64")						\
		for (i_ = 0; i_ < (n) / sizeof(long); i_++)				\
			access((words)[i_], &(user)[i_], label);			\
	} while (0)
/* clang-format on */

/* Is a struct of @n bytes, all words, to be had word by word? */
static __always_inline bool kpost_words_fit(const void __user *at, size_t n)
{
	return n % sizeof(long) == 0 && (IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS) ||
					 IS_ALIGNED((unsigned long)at, sizeof(long)));
}

static __always_inline bool kpost_words_get(void *to, const void __user *from, size_t n)
{
	const unsigned long __user *user = from;
	unsigned long *words = to;

	might_fault();
	if (should_fail_usercopy() || !user_read_access_begin(user, n))
		return false;
	kpost_each_word(unsafe_get_user, words, user, n, fault);
	user_read_access_end();
	return true;

fault:
	user_read_access_end();
	return false;
}

/*
 * Of the struct's @size bytes the first @n are read.  The first and the last word are written
 * back as they are, each as soon as it was read: it is two pages at the most.
 */
static __always_inline bool kpost_words_get_back(void *to, void __user *from, size_t n, size_t size)
{
	unsigned long __user *user = from;
	unsigned long *words = to;
	unsigned long __user *last = &user[size / sizeof(*user) - 1];
	unsigned long word;

	might_fault();
	if (should_fail_usercopy() || !user_access_begin(user, size))
		return false;
	unsafe_get_user(words[0], &user[0], fault);
	unsafe_put_user(words[0], &user[0], fault);
	kpost_each_word(unsafe_get_user, words + 1, user + 1, n - sizeof(*words), fault);
	unsafe_get_user(word, last, fault);
	unsafe_put_user(word, last, fault);
	user_access_end();
	return true;

fault:
	user_access_end();
	return false;
}

/* Begin to write a struct, field by field with unsafe_put_user(). */
static __always_inline bool kpost_put_begin(void __user *to, size_t n)
{
	might_fault();
	return !should_fail_usercopy() && user_write_access_begin(to, n);
}

static __always_inline bool kpost_words_put(void __user *to, const void *from, size_t n)
{
	unsigned long __user *user = to;
	const unsigned long *words = from;

	if (!kpost_put_begin(user, n))
		return false;
	kpost_each_word(unsafe_put_user, words, user, n, fault);
	user_write_access_end();
	return true;

fault:
	user_write_access_end();
	return false;
}

/*
 * Read the first byte of each page of @size bytes, which are some, and write it back as it is.
 * Returns how many bytes are before the first where that cannot be done.
 */
static __always_inline size_t kpost_pages_touch(u8 __user *at, size_t size)
{
	size_t done = 0;
	u8 byte;

	might_fault();
	if (!user_access_begin(at, size))
		return 0;
	do {
		unsafe_get_user(byte, at + done, fault);
		unsafe_put_user(byte, at + done, fault);
		done += PAGE_SIZE - offset_in_page(at + done);
	} while (unlikely(done < size));
	user_access_end();
	return size;

fault:
	user_access_end();
	return done;
}

#endif /* KPOST_USERCOPY_H */
