// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations of kpost's: their structs, made of what an operation of the program
 * says, and what is to be said of their results.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine.h"

#define ANY_SIZE(cmd, size) _IOC(_IOC_DIR(cmd), _IOC_TYPE(cmd), _IOC_NR(cmd), size)

static const struct {
	unsigned long cmd;
	bool answers; /* its struct is written to */
} operations[KIND_COUNT] = {
	[OP_INFO] = { KPOST_IOC_INFO, true },
	[OP_OPEN] = { KPOST_IOC_OPEN, true },
	[OP_UNLINK] = { KPOST_IOC_UNLINK, false },
	[OP_LIST] = { KPOST_IOC_LIST, false },
	[OP_SEND] = { KPOST_IOC_SEND, true },
	[OP_RECV] = { KPOST_IOC_RECV, true },
	[OP_CALL] = { KPOST_IOC_CALL, true },
	[OP_REPLY] = { KPOST_IOC_REPLY, false },
	[OP_REPLY_RECV] = { KPOST_IOC_REPLY_RECV, false },
	[OP_STAT] = { KPOST_IOC_STAT, true },
	[OP_SETATTR] = { KPOST_IOC_SETATTR, false },
	[OP_GRANT] = { KPOST_IOC_GRANT, false },
	[OP_SENDV] = { KPOST_IOC_SENDV, true },
	[OP_RECVV] = { KPOST_IOC_RECVV, true },
	[OP_CALL_SUBMIT] = { KPOST_IOC_CALL_SUBMIT, true },
	[OP_CALL_COLLECT] = { KPOST_IOC_CALL_COLLECT, true },
	[OP_CALL_CANCEL] = { KPOST_IOC_CALL_CANCEL, true },
	[OP_CANCEL] = { KPOST_IOC_CANCEL, false },
	[OP_IOCTL] = { _IO(KPOST_IOC_TYPE, 0x3f), false },
};

bool operation_is_kpost(enum kind kind)
{
	return kind >= OP_INFO && kind <= OP_IOCTL;
}

/* One for all, so that others' waits are found. */
#define COOKIE (1ull << 40)

static uint64_t cookie(const struct operation *op)
{
	return op->rights & 8 ? COOKIE : 0;
}

/* Of @to, which is all zeros. */
static void compose_name(char to[KPOST_NAME_MAX + 1], enum name name)
{
	switch (name) {
	case NAME_A:
	case NAME_B:
	case NAME_COUNT:
		to[0] = name == NAME_B ? 'b' : 'a';
		break;
	case NAME_LONG:
		memset(to, 'l', KPOST_NAME_MAX);
		break;
	case NAME_ODD:
		memcpy(to, "x \\\xff\"%s", 7);
		break;
	case NAME_EMPTY:
		break;
	case NAME_SLASH:
		memcpy(to, "a/b", 3);
		break;
	case NAME_CONTROL:
		memcpy(to, "a\n", 2);
		break;
	case NAME_DOTS:
		memcpy(to, "..", 2);
		break;
	case NAME_ENDLESS:
		memset(to, 'e', KPOST_NAME_MAX + 1);
		break;
	}
}

void operation_name(char to[KPOST_NAME_MAX + 1], enum name name)
{
	memset(to, 0, KPOST_NAME_MAX + 1);
	compose_name(to, name);
}

/* The ordinary case makes what the flags ask for; the rest is as wrong as it can be. */
static void compose_open(struct kpost_open *arg, const struct operation *op)
{
	uint32_t makes = op->flags & (KPOST_OPEN_CREATE | KPOST_OPEN_ANONYMOUS);
	static const uint32_t modes[] = { 0600, 0666, 0, 0444, 0222, 0066, 01777, 0 };
	static const uint32_t owners[] = { 0, 1000, 1001, ~0u };

	/* What can only be wrong stands for flags that there are not. */
	arg->flags = (op->flags & (KPOST_OPEN_SUCCEED | KPOST_OPEN_CREATE)) == KPOST_OPEN_SUCCEED ?
			     op->flags << 3 :
			     op->flags;
	if (op->rights & 16)
		arg->flags |= KPOST_OPEN_KEYED;
	if (op->rights & 32) {
		arg->flags |= KPOST_OPEN_OWNER;
		arg->owner = owners[op->value / 8 % 4];
	}
	arg->reserved = op->rights & 64;
	arg->rights = op->rights & 7 ? op->rights & 7 : 7;
	if (op->flags & KPOST_OPEN_PAIR)
		arg->rights &= ~KPOST_RIGHT_SEND;
	if (op->rights & 8)
		arg->rights = op->rights;
	if (makes || op->value & 32) {
		arg->mode = modes[op->value % 8];
		arg->messages = op->reply_len ? memory_length(op->reply_len) : 0;
		arg->bytes = op->len ? memory_length(op->len) : 0;
		if (op->value & 8)
			arg->message_max = arg->bytes;
		if (op->value & 16)
			arg->message_max++;
		if (!(op->flags & KPOST_OPEN_WAIT))
			arg->overflow = op->deadline;
		arg->held_max = op->value % 3;
	}
	if (op->flags & KPOST_OPEN_WAIT || op->value & 64)
		arg->deadline = memory_deadline(op->deadline);
	if (op->flags & KPOST_OPEN_WAIT)
		arg->flags |= (op->value & 1 ? KPOST_BOOTTIME : 0) |
			      (op->value & 2 ? KPOST_REALTIME : 0);
	arg->cookie = cookie(op);
	if (op->value & 128)
		arg->send_fd = 1;
	if (!(op->flags & KPOST_OPEN_ANONYMOUS) || op->name)
		compose_name(arg->name, op->name);
}

static void compose_list(struct kpost_list *arg, const struct operation *op, struct work *work)
{
	static const uint32_t sizes[] = {
		sizeof(struct kpost_stat), sizeof(struct kpost_stat) - 1, 400, 4096, 4097, 0, ~0u
	};

	arg->count = memory_length(op->len);
	arg->entry_size = op->value % 8 < 7 ? sizes[op->value % 8] : sizeof(struct kpost_stat) + 1;
	arg->buf = (uintptr_t)memory_address(op->buf, (uint64_t)arg->count * arg->entry_size);
	if (op->flags & 1)
		compose_name(arg->after, op->name);
	work->most = arg->count;
}

/*
 * The payload that @len and @memory say, in one, or with KPOST_IOVEC in @pieces.
 * Returns how many bytes it has.
 */
static uint64_t compose_payload(__u64 *buf, __u64 *count, bool in_pieces,
				struct kpost_iovec pieces[PIECES], enum memory memory,
				enum length len)
{
	uint64_t total = 0;
	unsigned int i;

	*count = memory_length(len);
	if (!in_pieces) {
		*buf = (uintptr_t)memory_address(memory, *count);
		return *count;
	}
	/* More than there are lead past them, into what other operations have there. */
	for (i = 0; i < PIECES; i++) {
		pieces[i].len = i % 4 == 3 ? 0 : memory_length(LEN_1 + (i + len) % 8);
		pieces[i].base =
			(uintptr_t)memory_address(i % 2 ? MEM_PRIVATE : memory, pieces[i].len);
		if (i < *count)
			total += pieces[i].len;
	}
	if (len == LEN_MOST)
		pieces[1].len = INT64_MAX;
	*buf = (uintptr_t)(memory == MEM_UNMAPPED || memory == MEM_PARTLY ?
				   memory_place(memory, pieces, sizeof(*pieces) * PIECES) :
				   pieces);
	return *count <= PIECES && len != LEN_MOST ? total : UINT64_MAX;
}

static uint32_t priority(const struct operation *op)
{
	return op->value == 255 ? KPOST_PRIORITY_MAX + 1 :
	       op->value == 254 ? KPOST_PRIORITY_MAX :
				  op->value % 4;
}

/* What a send asks for where there is no room, or another message of its tag. */
static uint32_t drops(const struct operation *op)
{
	return (op->to & 1 ? KPOST_DROP_NEW : 0) | (op->to & 2 ? KPOST_DROP_OLD : 0) |
	       (op->to & 64 ? KPOST_REPLACE : 0);
}

/* By which clock what follows is. */
static uint32_t clocks(const struct operation *op)
{
	return (op->to & 8 ? KPOST_BOOTTIME : 0) | (op->to & 16 ? KPOST_REALTIME : 0);
}

static uint64_t time_by_clock(const struct operation *op, enum time when)
{
	uint64_t time = memory_deadline(when);
	struct timespec real, mono;

	if (clocks(op) != KPOST_REALTIME || (when != AT_SOON && when != AT_LATER))
		return time;
	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	return time + (uint64_t)(real.tv_sec - mono.tv_sec) * 1000000000ull;
}

static uint64_t deadline(const struct operation *op)
{
	return time_by_clock(op, op->deadline);
}

/* When what is sent is of no use any more. */
static uint64_t expires(const struct operation *op)
{
	return op->to & 4 ? time_by_clock(op, op->rights % AT_COUNT) : 0;
}

/* A number of the sender's; 0 is none that may be. */
static void compose_number(struct kpost_send *arg, const struct operation *op, unsigned int i)
{
	if (!(op->to & 32))
		return;
	arg->flags |= KPOST_NUMBERED;
	arg->number = op->value == 254 ? ~0ull : op->value == 255 ? 0 : op->value + i + 1;
	arg->reserved = op->value == 253;
}

/* With these of .to messages are held: received so, done with, returned, and calls may be. */
enum { TO_HOLD = 6, TO_HOLD_UNTIL = TO_HOLD | 1 };
enum { TO_DONE = 6, TO_RETURN = TO_DONE | 1 };

static bool holds(const struct operation *op)
{
	return (op->to & TO_HOLD) == TO_HOLD;
}

/* When what is held goes back. */
static uint64_t until(const struct operation *op)
{
	return holds(op) && op->to & 1 ? memory_deadline(op->rights % AT_COUNT) : 0;
}

/* Only a keyed mailbox looks at what it is. */
static uint64_t tag(const struct operation *op)
{
	return op->value * 0x0101010101010101;
}

static void compose_recv(struct kpost_recv *arg, const struct operation *op, struct work *work)
{
	/* The highest that an operation here can have is none of a receive's. */
	arg->flags = op->flags & KPOST_PRESENT ? (op->flags & ~KPOST_PRESENT) | KPOST_PEEK :
						 op->flags;
	if (op->to & 64)
		arg->flags |= KPOST_MATCH;
	arg->tag = tag(op);
	arg->flags |= clocks(op);
	if (holds(op)) {
		arg->flags |= KPOST_HOLD;
		arg->hold_until = until(op);
	}
	arg->cookie = cookie(op);
	arg->deadline = deadline(op);
	work->most = compose_payload(&arg->buf, &arg->len, op->flags & KPOST_IOVEC, work->pieces,
				     op->buf, op->len);
}

/* The one of those seen last that @op's value says. */
static uint64_t one_seen(const struct operation *op, const atomic_ulong *list, unsigned int seen)
{
	if (op->value == 255)
		return ~0ull;
	if (op->value == 254)
		return 0;
	return list[(seen + TOKENS - 1 - op->value % TOKENS) % TOKENS];
}

static uint64_t id(const struct operation *op)
{
	return op->rights & 1 ? one_seen(op, world->ids, world->ids_seen) : 0;
}

/* All tokens that were seen last, or as many as @op says, which leads past them. */
static void compose_tokens(struct kpost_reply *arg, const struct operation *op, struct work *work)
{
	for (unsigned int i = 0; i < TOKENS; i++)
		work->tokens[i] = world->tokens[i];
	arg->flags |= KPOST_TOKENS;
	arg->len = op->len ? memory_length(op->len) : TOKENS;
	arg->buf = (uintptr_t)(op->buf == MEM_PRIVATE ?
				       work->tokens :
				       memory_place(op->buf, work->tokens, sizeof(work->tokens)));
}

/* What becomes of what is held; rights: 1: not before .deadline; 2: of many. */
static void compose_end(struct kpost_reply *arg, const struct operation *op, struct work *work)
{
	arg->flags |= op->to & 1 ? KPOST_RETURN : KPOST_DONE;
	if (op->rights & 1)
		arg->not_before = memory_deadline(op->deadline);
	if (op->rights & 2)
		compose_tokens(arg, op, work);
	if (!(op->rights & 2) || op->rights & 4)
		arg->token = one_seen(op, world->tokens, world->tokens_seen);
	work->most = arg->len;
}

static void compose_reply(struct kpost_reply *arg, const struct operation *op, struct work *work)
{
	arg->flags = op->flags;
	arg->reserved = op->rights & 0x80;
	if (holds(op)) {
		compose_end(arg, op, work);
		return;
	}
	if (!(op->flags & KPOST_DROP) || op->rights & 4)
		arg->tag = tag(op);
	arg->token = one_seen(op, world->tokens, world->tokens_seen);
	if (op->flags & KPOST_DROP && !op->len)
		return;
	compose_payload(&arg->buf, &arg->len, op->flags & KPOST_IOVEC, work->reply_pieces, op->buf,
			op->len);
}

static void compose_reply_recv(struct kpost_reply_recv *arg, struct work *work)
{
	struct operation half = *me->op;
	static const uint32_t sizes[] = { 0, 16, 4096, 4097, 100 };
	uint64_t most;

	/* rights has the flags of the other half, reply_buf and reply_len the payload. */
	compose_recv(&work->recv, &half, work);
	half.flags = half.rights;
	half.rights = 0;
	half.buf = half.reply_buf;
	half.len = half.reply_len;
	most = work->most;
	compose_reply(&work->reply, &half, work);
	work->most = most;
	arg->reply = (uintptr_t)&work->reply;
	arg->recv = (uintptr_t)&work->recv;
	arg->reply_size = sizeof(work->reply);
	arg->recv_size = sizeof(work->recv);
	if (half.to == 1)
		arg->reply = (uintptr_t)memory_place(half.buf, &work->reply, sizeof(work->reply));
	if (half.to == 2)
		arg->recv = (uintptr_t)memory_place(half.buf, &work->recv, sizeof(work->recv));
	if (half.name)
		*(half.name % 2 ? &arg->reply_size : &arg->recv_size) = sizes[half.name / 2];
}

static void compose_setattr(struct kpost_setattr *arg, const struct operation *op)
{
	arg->valid = op->flags;
	if (op->flags & KPOST_SET_MODE)
		arg->mode = op->value & 1 ? 0666 : op->value & 2 ? 01000 : 0600;
	if (op->flags & KPOST_SET_UID)
		arg->uid = op->value & 4 ? 1000 : op->value & 8 ? -1 : 0;
	if (op->flags & KPOST_SET_GID)
		arg->gid = op->value & 16 ? 1000 : op->value & 32 ? -1 : 0;
	if (op->flags & KPOST_SET_MESSAGES)
		arg->messages = memory_length(op->reply_len);
	if (op->flags & KPOST_SET_BYTES)
		arg->bytes = memory_length(op->len);
	if (op->flags & KPOST_SET_HELD_MAX)
		arg->held_max = memory_length(op->reply_len);
	if (op->value & 64)
		arg->reserved = 1;
	if (op->rights)
		arg->overflow = op->rights >> 2;
	if (op->rights & 2)
		arg->gid = 1;
}

static void compose_grant(struct kpost_grant *arg, const struct operation *op)
{
	arg->flags = op->flags;
	arg->rights = op->rights ? op->rights : KPOST_RIGHT_SEND;
	if (op->flags & KPOST_GRANT_BADGE || op->value & 128)
		arg->badge = tag(op);
	arg->tag = tag(op);
	arg->priority = priority(op);
	arg->write_flags = op->len * KPOST_DROP_NEW | (op->value & 64 ? KPOST_REPLACE : 0);
}

/*
 * Entries of ordinary lengths, but the last, which has what the operation says.  A count of more
 * than there are leads past them.
 */
static void compose_batch(struct kpost_batch *arg, const struct operation *op, struct work *work)
{
	static const uint32_t sizes[] = { 0, 79, 80, 88, 159, 160, 168, 4096, ~0u };
	bool sends = op->kind == OP_SENDV;
	size_t now = sends ? sizeof(work->sends[0]) : sizeof(work->recvs[0]);
	unsigned int i, last;

	arg->flags = op->flags | clocks(op);
	arg->count = op->reply_len ? memory_length(op->reply_len) : BATCH_ENTRIES;
	arg->entry_size = op->name ? sizes[op->name % 9] : now;
	arg->deadline = deadline(op);
	arg->cookie = op->rights & 0x80 ? COOKIE : 0;
	last = arg->count && arg->count <= BATCH_ENTRIES ? arg->count - 1 : BATCH_ENTRIES - 1;
	for (i = 0; i < BATCH_ENTRIES; i++) {
		enum memory memory = i == last ? op->buf : i % 3 ? MEM_PRIVATE : op->buf;
		enum length len = i == last ? op->len : LEN_1 + i % 3;
		bool pieces = i == last && op->rights & KPOST_IOVEC;
		__u64 buf, n;

		compose_payload(&buf, &n, pieces, work->pieces, memory, len);
		if (sends) {
			work->sends[i] = (struct kpost_send){
				.flags = (pieces ? KPOST_IOVEC : 0) |
					 (i == last ? op->rights & 0x58 : 0) | drops(op) |
					 (i % 2 ? clocks(op) : 0),
				.priority = i == last ? priority(op) : op->value % 3 * (i % 3),
				.buf = buf,
				.len = n,
				.tag = tag(op),
				.expires = i % 2 || i == last ? expires(op) : 0,
			};
			compose_number(&work->sends[i], op, i % 2);
		} else {
			work->recvs[i] = (struct kpost_recv){
				.flags = (pieces ? KPOST_IOVEC : 0) |
					 (op->value & 4 || i == last ? op->rights & 0x18 : 0) |
					 (op->to & 64 ? KPOST_MATCH : 0) |
					 (holds(op) && (i == last || i % 3) ? KPOST_HOLD : 0),
				.buf = buf,
				.len = n,
				.tag = tag(op),
				.hold_until = i % 2 ? until(op) : 0,
			};
		}
	}
	arg->entries =
		(uintptr_t)(op->reply_buf == MEM_PRIVATE ?
				    (void *)work->recvs :
				    memory_place(op->reply_buf, work->recvs, now * BATCH_ENTRIES));
	work->most = arg->count;
}

static void compose_submit(struct kpost_call_submit *arg, const struct operation *op,
			   struct work *work)
{
	arg->flags = op->flags | clocks(op) | (holds(op) ? KPOST_RETRY : 0);
	arg->priority = priority(op);
	arg->tag = tag(op);
	arg->cookie = cookie(op);
	arg->deadline = deadline(op);
	arg->reply_max = memory_length(op->reply_len);
	arg->user_data = op->value;
	compose_payload(&arg->buf, &arg->len, op->flags & KPOST_IOVEC, work->pieces, op->buf,
			op->len);
}

static void compose_collect(struct kpost_call_collect *arg, const struct operation *op,
			    struct work *work)
{
	arg->flags = op->flags | clocks(op);
	arg->reserved = op->rights & 0x80;
	arg->cookie = cookie(op);
	arg->deadline = deadline(op);
	arg->id = id(op);
	work->most = compose_payload(&arg->buf, &arg->len, op->flags & KPOST_IOVEC, work->pieces,
				     op->buf, op->len);
}

static size_t struct_size(size_t now, enum size size)
{
	switch (size) {
	case SIZE_SMALLER:
		return now < 8 ? 0 : now - 8;
	case SIZE_LARGER:
	case SIZE_LARGER_SET:
		return now + 24;
	case SIZE_ZERO:
		return 0;
	case SIZE_MOST:
		return (1u << _IOC_SIZEBITS) - 1;
	case SIZE_NOW:
	case SIZE_COUNT:
		break;
	}
	return now;
}

/* Make the operation's struct, and have the kernel's address for it. */
void operation_compose(struct work *work)
{
	const struct operation *op = me->op;
	size_t now = _IOC_SIZE(operations[op->kind].cmd), size = struct_size(now, op->size);
	char *from = work->arg.bytes;

	memset(&work->arg, 0, sizeof(work->arg));
	work->most = 0;
	switch (op->kind) {
	case OP_OPEN:
		compose_open(&work->arg.open, op);
		work->most = INT32_MAX;
		break;
	case OP_UNLINK:
		work->arg.unlink.flags = op->flags;
		compose_name(work->arg.unlink.name, op->name);
		break;
	case OP_LIST:
		compose_list(&work->arg.list, op, work);
		break;
	case OP_SEND:
		work->arg.send.flags = op->flags | drops(op) | clocks(op);
		work->arg.send.priority = op->rights & 16 ? KPOST_PRIORITY_MAX : priority(op);
		work->arg.send.tag = tag(op);
		work->arg.send.cookie = cookie(op);
		work->arg.send.expires = expires(op);
		compose_number(&work->arg.send, op, 0);
		work->arg.send.deadline = deadline(op);
		compose_payload(&work->arg.send.buf, &work->arg.send.len, op->flags & KPOST_IOVEC,
				work->pieces, op->buf, op->len);
		break;
	case OP_RECV:
		compose_recv(&work->arg.recv, op, work);
		break;
	case OP_CALL:
		work->arg.call.flags = op->flags | clocks(op) | (holds(op) ? KPOST_RETRY : 0);
		work->arg.call.priority = priority(op);
		work->arg.call.tag = tag(op);
		work->arg.call.cookie = cookie(op);
		work->arg.call.id = id(op);
		work->arg.call.deadline = deadline(op);
		compose_payload(&work->arg.call.buf, &work->arg.call.len, op->flags & KPOST_IOVEC,
				work->pieces, op->buf, op->len);
		work->most = compose_payload(&work->arg.call.reply_buf, &work->arg.call.reply_len,
					     op->flags & KPOST_REPLY_IOVEC, work->reply_pieces,
					     op->reply_buf, op->reply_len);
		break;
	case OP_REPLY:
		compose_reply(&work->arg.reply, op, work);
		break;
	case OP_REPLY_RECV:
		compose_reply_recv(&work->arg.reply_recv, work);
		break;
	case OP_SETATTR:
		compose_setattr(&work->arg.setattr, op);
		break;
	case OP_GRANT:
		compose_grant(&work->arg.grant, op);
		work->most = INT32_MAX;
		break;
	case OP_SENDV:
	case OP_RECVV:
		compose_batch(&work->arg.batch, op, work);
		break;
	case OP_CALL_SUBMIT:
		compose_submit(&work->arg.submit, op, work);
		break;
	case OP_CALL_COLLECT:
		compose_collect(&work->arg.collect, op, work);
		break;
	case OP_CALL_CANCEL:
		work->arg.call_cancel.id = id(op);
		work->arg.call_cancel.flags = op->flags;
		work->most = INT32_MAX;
		break;
	case OP_CANCEL:
		work->arg.cancel.cookie = cookie(op);
		work->arg.cancel.flags = op->flags;
		work->most = INT32_MAX;
		break;
	}
	work->cmd = ANY_SIZE(operations[op->kind].cmd, size);
	if (op->kind == OP_IOCTL)
		work->cmd = op->value & 1 ? _IO(KPOST_IOC_TYPE, op->value) : 0x5401u + op->value;
	if (op->size == SIZE_LARGER_SET)
		work->arg.bytes[now + 11] = 1;
	if (size > sizeof(work->arg)) {
		memset(me->big, 0, size);
		from = memcpy(me->big, &work->arg, now);
	}
	work->address = op->at == MEM_PRIVATE ? from : memory_place(op->at, from, size);
}

static long compat_ioctl(int fd, unsigned long cmd, const void *arg)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(54L), "b"((long)fd), "c"(cmd), "d"(arg)
			 : "memory", "r8", "r9", "r10", "r11", "cc");
	return (int)ret;
}

/* Is its struct as it was, when it returned that? */
static bool leaves_struct(const struct operation *op, long ret)
{
	if (op->kind == OP_REPLY_RECV || op->kind == OP_IOCTL)
		return false;
	if (!operations[op->kind].answers)
		return true;
	if (op->kind == OP_OPEN)
		return ret < 0 && ret != -EFAULT;
	if (op->kind == OP_SENDV || op->kind == OP_RECVV)
		return ret < 0;
	if (op->kind == OP_SEND)
		return ret < 0 || (!(op->flags & KPOST_WANT_SEQUENCE) && !(op->to & 32));
	return ret == -EBADF || ret == -EINVAL || ret == -E2BIG;
}

/* Do it as a system call. Returns what that does, or -errno. */
long operation_ioctl(struct work *work)
{
	const struct operation *op = me->op;
	int fd = me->slots[op->fd];
	struct work before = *work;
	long ret;

	if (op->via == VIA_COMPAT) {
		ret = compat_ioctl(fd, work->cmd, work->address);
	} else {
		ret = ioctl(fd, work->cmd, work->address);
		if (ret < 0)
			ret = -errno;
	}
	/* A signal has given it a name, and another lane has closed the file before its restart. */
	if (op->kind == OP_CALL && ret == -EBADF)
		before.arg.call.id = work->arg.call.id;
	if (work->address == work->arg.bytes && leaves_struct(op, ret) &&
	    memcmp(&before.arg, &work->arg, sizeof(before.arg)))
		machine_found("operation %u changed its struct and returned %ld", me->index, ret);
	return ret;
}

static void keep_id(uint64_t id)
{
	world->ids[world->ids_seen++ % TOKENS] = id;
}

/* What can be replied to, or is held. */
static void keep_token(const struct kpost_recv *recv)
{
	if (recv->token && recv->message_flags & (KPOST_MESSAGE_CALL | KPOST_MESSAGE_HELD))
		world->tokens[world->tokens_seen++ % TOKENS] = recv->token;
}

/* What came of it, by whatever way. */
void operation_judge(const struct operation *op, struct work *work, long ret)
{
	if (op->at == MEM_PRIVATE && op->kind == OP_CALL_SUBMIT && !ret)
		keep_id(work->arg.submit.id);
	if (op->at == MEM_PRIVATE && op->kind == OP_CALL && ret == -EINTR && work->arg.call.id)
		keep_id(work->arg.call.id);
	world->results[op->kind * RESULTS + (ret < 0 ? -ret % RESULTS : 0)] = 1;
	if (ret < 0) {
		if (!expect_errno(op, -ret))
			machine_found("operation %td (kind %u, via %u) returned error %ld",
				      op - world->program.operations, op->kind, op->via, -ret);
		return;
	}
	if (operation_is_kpost(op->kind) && op->kind != OP_IOCTL && (uint64_t)ret > work->most)
		machine_found("operation %td (kind %u, via %u) returned %ld, above %llu",
			      op - world->program.operations, op->kind, op->via, ret,
			      (unsigned long long)work->most);
	if (op->kind == OP_GRANT)
		file_keep(op->to, (int)ret);
	if ((op->kind == OP_RECV || op->kind == OP_REPLY_RECV) && op->at == MEM_PRIVATE) {
		const struct kpost_recv *recv = op->kind == OP_RECV ? &work->arg.recv : &work->recv;

		keep_token(recv);
	}
	if (op->kind == OP_RECVV && op->reply_buf == MEM_PRIVATE && !op->name)
		for (long i = 0; i < ret && i < BATCH_ENTRIES; i++)
			keep_token(&work->recvs[i]);
}
