/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program: what one input of the fuzzer stands for.  Up to 32 operations, each in
 * one of three lanes, which run at the same time: two threads of a process, and a
 * process that shares their descriptors.
 *
 * An input is the bytes of struct program, cut off where the operations end.  Any
 * bytes are a program: what is no name of an enumeration below means its first one,
 * which is the ordinary case.
 */
#ifndef FUZZ_PROGRAM_H
#define FUZZ_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANES 3
#define SLOTS 12 /* descriptors that operations name; slot 0 is the device */
#define OPERATIONS_MAX 32

#define FUZZ_ENUM(name) name,

/* What is there before the lanes start. */
#define SETUPS(X) \
	X(SETUP_NAMED) /* slot 1: all rights on mailbox "a"; slot 2: may send to it */ \
	X(SETUP_PAIR) /* slot 1: receives from an anonymous mailbox; slot 2: sends */ \
	X(SETUP_ANONYMOUS) /* slot 1: all rights on an anonymous mailbox */ \
	X(SETUP_PERSISTENT) /* slot 1: all rights on a persistent "a", with a message */ \
	X(SETUP_NOTHING) \
	X(SETUP_KEYED) /* as SETUP_NAMED, and keyed; senders may replace and drop what is old */ \
	X(SETUP_PATHS) /* by path, of "a": 1: both ways; 2: sends; 3: the directory */

#define KINDS(X) \
	X(OP_NOTHING) \
	/* operations of kpost's */ \
	X(OP_INFO) \
	X(OP_OPEN) /* name, rights (32: owner), flags; to: slot (and the one after it) */ \
	X(OP_UNLINK) \
	X(OP_LIST) \
	X(OP_SEND) /* to: 1 and 2: KPOST_DROP_*; 64: KPOST_REPLACE; rights: 16: urgent */ \
	X(OP_RECV) /* to: 64: KPOST_MATCH */ \
	X(OP_CALL) \
	X(OP_REPLY) /* value: which of the tokens seen; to: of what is held, see operation.c */ \
	X(OP_REPLY_RECV) \
	X(OP_STAT) \
	X(OP_SETATTR) \
	X(OP_GRANT) /* rights, flags, value: badge; to: slot */ \
	X(OP_SENDV) /* flags, reply_len: count; rights, to: flags of entries; buf, len, value */ \
	X(OP_RECVV) /* likewise */ \
	X(OP_CALL_SUBMIT) /* reply_len: how long the reply may be */ \
	X(OP_CALL_COLLECT) /* rights: 1: one of the ids seen, which value says, as of OP_CALL */ \
	X(OP_CALL_CANCEL) /* likewise */ \
	X(OP_CANCEL) /* rights: 8: by the cookie of operations with that */ \
	X(OP_IOCTL) /* value: an odd number */ \
	/* files */ \
	X(OP_READ) \
	X(OP_WRITE) \
	X(OP_READV) \
	X(OP_WRITEV) \
	X(OP_POLL) \
	X(OP_DEVICE) /* to: slot */ \
	X(OP_DUP) /* to: slot */ \
	X(OP_CLOSE) \
	X(OP_NONBLOCK) /* value: on or off */ \
	X(OP_FILE) /* value: another system call that files have */ \
	X(OP_EPOLL) /* value: what; to: slot of the epoll file */ \
	X(OP_SHOW) /* value: a file below /proc */ \
	X(OP_SYSCTL) /* value: which; len: to what; value: 128: names reserved; 64: private */ \
	/* by path, which value and name say, see path.c */ \
	X(OP_PATH_OPEN) /* flags: how; to: slot */ \
	X(OP_PATH) /* rights: what; flags: mode, owner; to: slot */ \
	X(OP_READDIR) /* of a slot; flags: from reply_len on */ \
	X(OP_MOUNT) /* rights: what; to: slot */ \
	/* the ring of the lane */ \
	X(OP_RING) /* value: make one of this sort, leaving the one before to itself */ \
	X(OP_RING_ENTER) /* submit; value: and wait */ \
	X(OP_RING_CANCEL) /* value: what */ \
	X(OP_RING_TIMEOUT) /* of the request before, which has VIA_LINK */ \
	X(OP_RING_CLOSE) \
	/* tasks and memory */ \
	X(OP_FORK) /* value: how many operations the child does; flags: FORK_* */ \
	X(OP_KILL) /* value: whom, with what */ \
	X(OP_USER) /* value: which */ \
	X(OP_OFFICE) /* value: which */ \
	X(OP_SCRIBBLE) /* over the memory that lanes share */ \
	X(OP_REMAP) /* value: what becomes of MEM_MOVING */ \
	X(OP_SETTLE) /* wait until the other lanes wait or are done */ \
	X(OP_PLANT) /* a bug, for the fuzzer's own test, where that is asked for */

#define VIAS(X) \
	X(VIA_CALL) /* a system call */ \
	X(VIA_RING) /* submitted */ \
	X(VIA_WAIT) /* submitted, and its end waited for a little */ \
	X(VIA_QUEUE) /* submitted with the next */ \
	X(VIA_LINK) /* likewise, and linked to it */ \
	X(VIA_HARDLINK) \
	X(VIA_DRAIN) \
	X(VIA_ASYNC) \
	X(VIA_FIXED) /* with a registered buffer */ \
	X(VIA_MULTISHOT) /* read, and poll */ \
	X(VIA_COMPAT) /* the system call of a 32-bit program */

#define SIZES(X) \
	X(SIZE_NOW) \
	X(SIZE_SMALLER) \
	X(SIZE_LARGER) /* with a tail of zeros */ \
	X(SIZE_LARGER_SET) /* with a tail that is not */ \
	X(SIZE_ZERO) \
	X(SIZE_MOST)

#define MEMORIES(X) \
	X(MEM_PRIVATE) \
	X(MEM_SHARED) /* with the other lanes, and scribbled over */ \
	X(MEM_READ_ONLY) \
	X(MEM_PARTLY) /* the second half is not mapped */ \
	X(MEM_PARTLY_READ_ONLY) \
	X(MEM_UNMAPPED) \
	X(MEM_SLOW) /* userfaultfd gives it after some time */ \
	X(MEM_PARTLY_SLOW) \
	X(MEM_PAST_END) /* of a file */ \
	X(MEM_MOVING) /* see OP_REMAP */ \
	X(MEM_NULL) \
	X(MEM_KERNEL) \
	X(MEM_WRAPS)

#define LENGTHS(X) \
	X(LEN_16, 16) \
	X(LEN_0, 0) \
	X(LEN_1, 1) \
	X(LEN_2, 2) \
	X(LEN_3, 3) \
	X(LEN_5, 5) \
	X(LEN_100, 100) \
	X(LEN_1000, 1000) \
	X(LEN_1024, 1024) \
	X(LEN_1025, 1025) \
	X(LEN_3900, 3900) \
	X(LEN_4096, 4096) \
	X(LEN_9000, 9000) \
	X(LEN_32K, 32768) \
	X(LEN_64K, 65536) \
	X(LEN_128K, 131072) \
	X(LEN_1M, 1048576) \
	X(LEN_8M_1, 8388609) \
	X(LEN_16M, 16777216) \
	X(LEN_16M_1, 16777217) \
	X(LEN_2G, 2147483648) \
	X(LEN_4G, 4294967296) \
	X(LEN_MOST, 0x7fffffffffffffff) \
	X(LEN_ALL, 0xffffffffffffffff)

#define TIMES(X) \
	X(AT_SOON) /* in a fifth of a millisecond */ \
	X(AT_NEVER) /* 0; who waits too long is interrupted */ \
	X(AT_LATER) /* in two milliseconds */ \
	X(AT_PASSED) \
	X(AT_LAST) /* the greatest that there is */ \
	X(AT_WRONG)

#define NAMES(X) \
	X(NAME_A) \
	X(NAME_B) \
	X(NAME_LONG) \
	X(NAME_ODD) \
	X(NAME_EMPTY) \
	X(NAME_SLASH) \
	X(NAME_CONTROL) \
	X(NAME_DOTS) \
	X(NAME_ENDLESS)

enum setup { SETUPS(FUZZ_ENUM) SETUP_COUNT };
enum kind { KINDS(FUZZ_ENUM) KIND_COUNT };
enum via { VIAS(FUZZ_ENUM) VIA_COUNT };
enum size { SIZES(FUZZ_ENUM) SIZE_COUNT };
enum memory { MEMORIES(FUZZ_ENUM) MEM_COUNT };
#define FUZZ_LENGTH(name, value) name,
enum length { LENGTHS(FUZZ_LENGTH) LEN_COUNT };
enum time { TIMES(FUZZ_ENUM) AT_COUNT };
enum name { NAMES(FUZZ_ENUM) NAME_COUNT };

/* Flags of OP_FORK: what the child does before its operations, or after them. */
#define FORK_USER_NS 1u
#define FORK_NET_NS 2u
#define FORK_STAYS 4u /* until it is killed */
#define FORK_NOBODY 8u /* another user */
#define FORK_DEVICE 16u /* the device anew, of its own office then */

struct operation {
	uint8_t lane;
	uint8_t kind;
	uint8_t via;
	uint8_t fd; /* slot */
	uint8_t to; /* slot; of those that to_is_bits() says bits, see operation.c */
	uint8_t flags; /* as the operation's struct has them */
	uint8_t rights; /* of OP_OPEN; else further flags, that no operation has */
	uint8_t size; /* of the struct */
	uint8_t at; /* where the struct is */
	uint8_t buf; /* where the payload is */
	uint8_t len;
	uint8_t reply_buf;
	uint8_t reply_len;
	uint8_t deadline;
	uint8_t name;
	uint8_t value; /* priority, mode, token, or what the kind says */
	uint8_t pause; /* before it */
	uint8_t fail; /* the nth allocation or user copy in it fails */
};

struct program {
	uint8_t setup;
	uint8_t count; /* not read: it follows from the input's size */
	struct operation operations[OPERATIONS_MAX];
};

#define PROGRAM_HEADER offsetof(struct program, operations)

/* Does such an operation say more of what it does by its .to? */
bool to_is_bits(enum kind kind);
/* Make @program of any bytes. */
void program_decode(struct program *program, const uint8_t *bytes, size_t size);
/* How many of @program's bytes are to be kept. */
size_t program_size(const struct program *program);

#endif /* FUZZ_PROGRAM_H */
