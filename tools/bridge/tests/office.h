/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What remote.c and office.c say to each other.  A program has one connection to its office, of
 * type SOCK_SEQPACKET, and its end is what tells the office that the program has ended.  Each
 * request has one answer, and nobody waits in the office: who wants to wait polls the endpoint.
 *
 * An endpoint that is made comes with the answer as an eventfd.  The office makes it readable
 * while there is something to receive, or, for a sender, when the mailbox has gone; and not
 * writable while the mailbox is full.
 */
#ifndef KPOST_BRIDGE_TESTS_OFFICE_H
#define KPOST_BRIDGE_TESTS_OFFICE_H

#include <stdint.h>

#define OFFICE_PACKET (128 << 10) /* the most in one request or answer */
#define OFFICE_MESSAGE (64 << 10) /* the longest message that a mailbox takes here */

/*
 * What follows the request, and then the answer where that is more than numbers.  SEND and RECV
 * have @count entries; one that is sent has its payload behind it, as has one that was received.
 */
enum office_operation {
	OFFICE_OPEN, /* struct kpost_open */
	OFFICE_CLOSE,
	OFFICE_STAT, /* - and struct kpost_stat */
	OFFICE_SETATTR, /* struct kpost_setattr */
	OFFICE_GRANT, /* struct kpost_grant */
	OFFICE_SEND, /* struct kpost_send, and out_flags of each that was sent */
	OFFICE_RECV, /* struct kpost_recv, and the same; one that is too long ends them */
	OFFICE_DONE, /* tokens */
	OFFICE_RETURN, /* tokens */
};

struct office_request {
	uint32_t operation;
	uint32_t endpoint;
	uint32_t count;
};

struct office_answer {
	int32_t error; /* 0, or the -errno of the first entry that was not done */
	uint32_t count; /* of those that were done */
	uint32_t endpoint; /* that was made */
};

#endif
