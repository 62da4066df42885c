/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints.  A mailbox is told by its number, which kpost_open shows beside
 * its name.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kpost

#if !defined(KPOST_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KPOST_TRACE_H

#include <linux/tracepoint.h>

#include "mailbox.h"

TRACE_EVENT(kpost_open,
	TP_PROTO(u32 mailbox, u32 rights, const char *name),
	TP_ARGS(mailbox, rights, name),
	TP_STRUCT__entry(
		__field(u32, mailbox)
		__field(u32, rights)
		__array(char, name, 64)
	),
	TP_fast_assign(
		__entry->mailbox = mailbox;
		__entry->rights = rights;
		strscpy_pad(__entry->name, name, sizeof(__entry->name));
	),
	TP_printk("mailbox=%u rights=%#x name=%s", __entry->mailbox, __entry->rights,
		  __entry->name)
);

TRACE_EVENT(kpost_close,
	TP_PROTO(u32 mailbox, u32 rights),
	TP_ARGS(mailbox, rights),
	TP_STRUCT__entry(
		__field(u32, mailbox)
		__field(u32, rights)
	),
	TP_fast_assign(
		__entry->mailbox = mailbox;
		__entry->rights = rights;
	),
	TP_printk("mailbox=%u rights=%#x", __entry->mailbox, __entry->rights)
);

DECLARE_EVENT_CLASS(kpost_message,
	TP_PROTO(const struct kpost_mailbox *mailbox, const struct kpost_message *message),
	TP_ARGS(mailbox, message),
	TP_STRUCT__entry(
		__field(u64, sequence)
		__field(u64, size)
		__field(u32, mailbox)
		__field(u32, priority)
	),
	TP_fast_assign(
		__entry->sequence = message->node.order;
		__entry->size = message->size;
		__entry->mailbox = mailbox->id;
		__entry->priority = message->node.priority;
	),
	TP_printk("mailbox=%u sequence=%llu size=%llu priority=%u", __entry->mailbox,
		  __entry->sequence, __entry->size, __entry->priority)
);

/* A message has got into its mailbox. */
DEFINE_EVENT(kpost_message, kpost_send,
	TP_PROTO(const struct kpost_mailbox *mailbox, const struct kpost_message *message),
	TP_ARGS(mailbox, message)
);

DEFINE_EVENT(kpost_message, kpost_receive,
	TP_PROTO(const struct kpost_mailbox *mailbox, const struct kpost_message *message),
	TP_ARGS(mailbox, message)
);

/* A receiver has the message, and has yet to say that it is done with it. */
DEFINE_EVENT(kpost_message, kpost_hold,
	TP_PROTO(const struct kpost_mailbox *mailbox, const struct kpost_message *message),
	TP_ARGS(mailbox, message)
);

/* A message that was held goes back. */
DEFINE_EVENT(kpost_message, kpost_return,
	TP_PROTO(const struct kpost_mailbox *mailbox, const struct kpost_message *message),
	TP_ARGS(mailbox, message)
);

/* A message nobody will receive; sequence 0 if it never got in. */
DEFINE_EVENT(kpost_message, kpost_drop,
	TP_PROTO(const struct kpost_mailbox *mailbox, const struct kpost_message *message),
	TP_ARGS(mailbox, message)
);

TRACE_EVENT(kpost_call,
	TP_PROTO(u32 mailbox, u64 token, size_t size),
	TP_ARGS(mailbox, token, size),
	TP_STRUCT__entry(
		__field(u64, token)
		__field(u64, size)
		__field(u32, mailbox)
	),
	TP_fast_assign(
		__entry->token = token;
		__entry->size = size;
		__entry->mailbox = mailbox;
	),
	TP_printk("mailbox=%u token=%llu size=%llu", __entry->mailbox, __entry->token,
		  __entry->size)
);

TRACE_EVENT(kpost_reply,
	TP_PROTO(u32 mailbox, u64 token, int result),
	TP_ARGS(mailbox, token, result),
	TP_STRUCT__entry(
		__field(u64, token)
		__field(u32, mailbox)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->token = token;
		__entry->mailbox = mailbox;
		__entry->result = result;
	),
	TP_printk("mailbox=%u token=%llu result=%d", __entry->mailbox, __entry->token,
		  __entry->result)
);

/* A task begins to wait; the trace tells which. */
TRACE_EVENT(kpost_block,
	TP_PROTO(u64 deadline),
	TP_ARGS(deadline),
	TP_STRUCT__entry(
		__field(u64, deadline)
	),
	TP_fast_assign(
		__entry->deadline = deadline;
	),
	TP_printk("deadline=%llu", __entry->deadline)
);

/* It no longer waits: 0, or why it gave up. */
TRACE_EVENT(kpost_wake,
	TP_PROTO(int err),
	TP_ARGS(err),
	TP_STRUCT__entry(
		__field(int, err)
	),
	TP_fast_assign(
		__entry->err = err;
	),
	TP_printk("err=%d", __entry->err)
);

#endif /* KPOST_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
