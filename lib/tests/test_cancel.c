// SPDX-License-Identifier: MIT
/* pthread_cancel() in each function of the library that waits. */
#include "standin.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static sem_t waits;
static struct kpost_response response;
static char payload[8];
static const struct iovec pieces[1] = { { .iov_base = payload, .iov_len = 8 } };

/* The operation of a thread that waits, in the kernel and not in the C library. */
static void answer_never(void *arg)
{
	(void)arg;
	sem_post(&waits);
	for (;;)
		syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
}

static struct kpost_recv *recv_of(void *arg)
{
	if (_IOC_NR(standin.number) == _IOC_NR(KPOST_IOC_REPLY_RECV)) {
		struct kpost_reply_recv *both = arg;

		((struct kpost_reply *)(uintptr_t)both->reply)->token = 0;
		return (struct kpost_recv *)(uintptr_t)both->recv;
	}
	return arg;
}

/* A call arrives, and the thread is cancelled before it can know. */
static void answer_too_late(void *arg)
{
	if (standin.number == KPOST_IOC_REPLY)
		return;
	recv_of(arg)->token = 99;
	answer_never(arg);
}

static void *do_send(void *arg)
{
	kpost_send(ENDPOINT_FD, payload, 1, 0, 0, 0);
	return arg;
}

static void *do_sendv(void *arg)
{
	kpost_sendv(ENDPOINT_FD, pieces, 1, NULL, NULL);
	return arg;
}

static void *do_recv(void *arg)
{
	kpost_recv(ENDPOINT_FD, payload, 8, NULL, 0, 0);
	return arg;
}

static void *do_hold(void *arg)
{
	kpost_hold(ENDPOINT_FD, payload, 8, NULL, 0, 0, 0);
	return arg;
}

static void *do_recvv(void *arg)
{
	kpost_recvv(ENDPOINT_FD, pieces, 1, NULL, 0, 0);
	return arg;
}

static void *do_call(void *arg)
{
	kpost_call(ENDPOINT_FD, payload, 1, NULL, 0, 0);
	return arg;
}

static void *do_callv(void *arg)
{
	kpost_callv(ENDPOINT_FD, pieces, 1, pieces, 1, NULL, NULL);
	return arg;
}

static void *do_submit(void *arg)
{
	kpost_call_submit(ENDPOINT_FD, pieces, 1, 8, 0, NULL, NULL);
	return arg;
}

static void *do_collect(void *arg)
{
	kpost_call_collect(ENDPOINT_FD, 0, payload, 8, NULL, 0, 0);
	return arg;
}

static void *do_reply_recv(void *arg)
{
	kpost_reply_recv(ENDPOINT_FD, &response, payload, 8, NULL, 0, 0);
	return arg;
}

static void *do_open(void *arg)
{
	kpost_open("later", KPOST_RIGHT_SEND, KPOST_OPEN_WAIT, NULL, 0);
	return arg;
}

static void expect_cancelled(pthread_t thread)
{
	struct timespec soon;
	void *result;

	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_sec += 10;
	assert_int_equal(pthread_timedjoin_np(thread, &result, &soon), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
}

static void cancel_in(void *(*function)(void *))
{
	pthread_t thread;

	sem_init(&waits, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, function, NULL), 0);
	sem_wait(&waits);
	assert_int_equal(pthread_cancel(thread), 0);
	expect_cancelled(thread);
}

static void waiting_is_cancelled(void **state)
{
	static const struct {
		void *(*run)(void *given);
	} cases[] = {
		{ do_send },	   { do_sendv }, { do_recv },	{ do_recvv },
		{ do_call },	   { do_callv }, { do_submit }, { do_collect },
		{ do_reply_recv }, { do_open },	 { do_hold },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		standin_reset(0);
		standin.answer = answer_never;
		cancel_in(cases[i].run);
		assert_int_equal(standin.ioctls, 1);
		assert_int_equal(standin.closed, standin.opened);
	}
}

static void call_that_nobody_has_is_dropped(void **state)
{
	static void *(*const functions[])(void *) = { do_recv, do_recvv, do_reply_recv };
	const struct kpost_reply *reply = (struct kpost_reply *)standin.arg;
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		standin_reset(0);
		standin.answer = answer_too_late;
		response = (struct kpost_response){
			.token = 55,
			.buf = payload,
			.len = 1,
			.tag = 7,
		};
		cancel_in(functions[i]);
		assert_int_equal(standin.ioctls, 2);
		assert_int_equal(standin.number, KPOST_IOC_REPLY);
		assert_int_equal(reply->flags, KPOST_DROP);
		assert_int_equal(reply->token, 99);
		/* and the reply that was sent need not be dropped by the caller */
		assert_int_equal(response.token, functions[i] == do_reply_recv ? 0 : 55);
		assert_ptr_equal(response.buf, payload);
		assert_int_equal(response.len, 1);
		assert_int_equal(response.tag, 7);
	}
}

/* The same of a message that is held: nothing is dropped. */
static void answer_held_too_late(void *arg)
{
	if (standin.number == KPOST_IOC_REPLY)
		return;
	recv_of(arg)->message_flags = KPOST_MESSAGE_HELD;
	answer_too_late(arg);
}

static void *do_hold_batch(void *arg)
{
	struct kpost_recv entries[3] = { { .message_flags = 0 } };

	kpost_recv_batch(ENDPOINT_FD, entries, 3, 0, 0, NULL);
	return arg;
}

static unsigned int undone[2];

/* Of a batch the first is a call, the second is held. */
static void answer_batch_too_late(void *arg)
{
	if (standin.number == KPOST_IOC_RECVV) {
		struct kpost_batch *batch = arg;
		struct kpost_recv *entries = (struct kpost_recv *)(uintptr_t)batch->entries;

		entries[0].token = 1;
		entries[0].message_flags = KPOST_MESSAGE_CALL;
		entries[1].token = 2;
		entries[1].message_flags = KPOST_MESSAGE_CALL | KPOST_MESSAGE_HELD;
		answer_never(arg);
	} else {
		const struct kpost_reply *reply = arg;

		assert_int_equal(standin.number, KPOST_IOC_REPLY);
		assert_in_range(reply->token, 1, 2);
		undone[reply->token - 1] = reply->flags;
	}
}

static void message_that_nobody_has_is_returned(void **state)
{
	static void *(*const functions[])(void *) = { do_hold, do_recv, do_recvv, do_reply_recv };
	const struct kpost_reply given_back = { .flags = KPOST_RETURN, .token = 99 };
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		standin_reset(0);
		standin.answer = answer_held_too_late;
		cancel_in(functions[i]);
		assert_int_equal(standin.ioctls, 2);
		assert_int_equal(standin.number, KPOST_IOC_REPLY);
		assert_memory_equal(standin.arg, &given_back, sizeof(given_back));
	}
	standin_reset(0);
	standin.answer = answer_batch_too_late;
	cancel_in(do_hold_batch);
	assert_int_equal(standin.ioctls, 3);
	assert_int_equal(undone[0], KPOST_DROP);
	assert_int_equal(undone[1], KPOST_RETURN);
}

/* A call is under way, and the thread that would wait for it, or know of it, is cancelled. */
static void answer_under_way(void *arg)
{
	if (standin.number == KPOST_IOC_CALL_CANCEL)
		return;
	if (standin.number == KPOST_IOC_CALL)
		((struct kpost_call *)arg)->id = 99;
	else
		((struct kpost_call_submit *)arg)->id = 99;
	answer_never(arg);
}

static void call_that_nobody_waits_for_is_cancelled(void **state)
{
	static void *(*const functions[])(void *) = { do_call, do_callv, do_submit };
	const struct kpost_call_cancel *cancel = (struct kpost_call_cancel *)standin.arg;
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		standin_reset(0);
		standin.answer = answer_under_way;
		cancel_in(functions[i]);
		assert_int_equal(standin.ioctls, 2);
		assert_int_equal(standin.number, KPOST_IOC_CALL_CANCEL);
		assert_int_equal(cancel->id, 99);
	}
}

/* What is left of a response that was under way when its thread was cancelled. */
static void look_at_response(void *arg)
{
	*(uint64_t *)arg = response.token;
}

static void *do_reply_recv_and_look(void *arg)
{
	pthread_cleanup_push(look_at_response, arg);
	kpost_reply_recv(ENDPOINT_FD, &response, payload, 8, NULL, 0, 0);
	pthread_cleanup_pop(0);
	return NULL;
}

/* The reply fails to go out, or goes out; then it waits. */
static void answer_used_up(void *arg)
{
	recv_of(arg);
	answer_never(arg);
}

static void cleanup_handler_sees_what_became_of_the_reply(void **state)
{
	void (*const answers[])(void *) = { answer_never, answer_used_up };
	pthread_t thread;
	unsigned int i;
	uint64_t seen;

	(void)state;
	for (i = 0; i < 2; i++) {
		standin_reset(0);
		standin.answer = answers[i];
		response.token = 55;
		seen = 1;
		sem_init(&waits, 0, 0);
		assert_int_equal(pthread_create(&thread, NULL, do_reply_recv_and_look, &seen), 0);
		sem_wait(&waits);
		assert_int_equal(pthread_cancel(thread), 0);
		expect_cancelled(thread);
		assert_int_equal(seen, i ? 0 : 55);
		/* nothing was received, so nothing is dropped */
		assert_int_equal(standin.ioctls, 1);
	}
}

static void recv_dontwait(void)
{
	kpost_recv(ENDPOINT_FD, payload, 8, NULL, KPOST_DONTWAIT, 0);
}

static void sendv_dontwait(void)
{
	const struct kpost_options options = { .flags = KPOST_DONTWAIT };
	uint64_t sequence;

	kpost_sendv(ENDPOINT_FD, pieces, 1, &options, &sequence);
}

static void reply_recv_dontwait(void)
{
	kpost_reply_recv(ENDPOINT_FD, &response, payload, 8, NULL, KPOST_DONTWAIT, 0);
}

static void (*const dontwaits[])(void) = { recv_dontwait, sendv_dontwait, reply_recv_dontwait };
#define DONTWAITS (sizeof(dontwaits) / sizeof(dontwaits[0]))

/* Which of the functions that can wait is told not to. */
static void (*dontwait)(void);

/* Cancelled already; the functions that do not wait must not care. */
static void *do_not_wait(void *arg)
{
	const struct kpost_grant grant = { .rights = KPOST_RIGHT_SEND };
	struct kpost_stat st = { .flags = 0 };
	int fds[2];

	pthread_cancel(pthread_self());
	kpost_open("now", KPOST_RIGHT_SEND, 0, NULL, 0);
	kpost_pair(fds, 0, NULL);
	kpost_unlink("now");
	kpost_stat(ENDPOINT_FD, &st);
	kpost_reply(ENDPOINT_FD, 5, NULL, 0);
	kpost_replyv(ENDPOINT_FD, 5, pieces, 1, NULL);
	kpost_done(ENDPOINT_FD, 5);
	kpost_return(ENDPOINT_FD, 5, 0);
	kpost_grant(ENDPOINT_FD, &grant);
	*(int *)arg = 1;
	dontwait();
	*(int *)arg = 2;
	return NULL;
}

static void without_waiting_nothing_is_lost(void **state)
{
	pthread_t thread;
	unsigned int i;
	int came;

	(void)state;
	for (i = 0; i < DONTWAITS; i++) {
		standin_reset(0);
		dontwait = dontwaits[i];
		response.token = 55;
		came = 0;
		assert_int_equal(pthread_create(&thread, NULL, do_not_wait, &came), 0);
		expect_cancelled(thread);
		assert_int_equal(came, 1);
		assert_int_equal(standin.ioctls, 9);
		assert_int_equal(standin.number, KPOST_IOC_GRANT);
		assert_int_equal(standin.opened, 3);
		assert_int_equal(standin.closed, 3);
		assert_int_equal(response.token, 55);
	}
}

/* The thread is cancelled while its operation is being done. */
static void answer_cancel(void *arg)
{
	(void)arg;
	pthread_cancel(pthread_self());
}

static void *do_dontwait(void *arg)
{
	dontwait();
	*(int *)arg = 1;
	pthread_testcancel();
	return NULL;
}

static void without_waiting_what_is_begun_is_done(void **state)
{
	pthread_t thread;
	unsigned int i;
	int came;

	(void)state;
	for (i = 0; i < DONTWAITS; i++) {
		standin_reset(0);
		standin.answer = answer_cancel;
		dontwait = dontwaits[i];
		came = 0;
		assert_int_equal(pthread_create(&thread, NULL, do_dontwait, &came), 0);
		expect_cancelled(thread);
		assert_int_equal(came, 1);
		assert_int_equal(standin.ioctls, 1);
	}
}

static void *do_with_cancellation_off(void *arg)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cancel(pthread_self());
	*(int *)arg = (int)kpost_recv(ENDPOINT_FD, payload, 8, NULL, 0, 0);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	pthread_testcancel();
	return NULL;
}

static void thread_decides_whether_it_is_cancelled(void **state)
{
	pthread_t thread;
	int result = 0;

	(void)state;
	standin_reset(4);
	assert_int_equal(pthread_create(&thread, NULL, do_with_cancellation_off, &result), 0);
	expect_cancelled(thread);
	assert_int_equal(result, 4);
}

static void answer_one_entry(void *arg)
{
	memset((void *)(uintptr_t)((struct kpost_list *)arg)->buf, 0, sizeof(struct kpost_stat));
	standin.ret = 1;
}

static int each_waits(const struct kpost_stat *st, void *arg)
{
	(void)st;
	(void)arg;
	sem_post(&waits);
	return pause();
}

static void *do_list(void *arg)
{
	kpost_list(each_waits, NULL);
	return arg;
}

static void list_is_cancelled_in_what_it_calls(void **state)
{
	(void)state;
	standin.answer = answer_one_entry;
	cancel_in(do_list);
	standin_expect_device();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(waiting_is_cancelled, standin_setup),
		cmocka_unit_test_setup(call_that_nobody_has_is_dropped, standin_setup),
		cmocka_unit_test_setup(message_that_nobody_has_is_returned, standin_setup),
		cmocka_unit_test_setup(call_that_nobody_waits_for_is_cancelled, standin_setup),
		cmocka_unit_test_setup(cleanup_handler_sees_what_became_of_the_reply,
				       standin_setup),
		cmocka_unit_test_setup(without_waiting_nothing_is_lost, standin_setup),
		cmocka_unit_test_setup(without_waiting_what_is_begun_is_done, standin_setup),
		cmocka_unit_test_setup(thread_decides_whether_it_is_cancelled, standin_setup),
		cmocka_unit_test_setup(list_is_cancelled_in_what_it_calls, standin_setup),
	};

	return cmocka_run_group_tests_name("cancel", tests, NULL, NULL);
}
