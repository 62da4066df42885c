// SPDX-License-Identifier: MIT
#include "standin.h"

#include <time.h>

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void device_opens(void **state)
{
	(void)state;
	assert_int_equal(kpost_device(), DEVICE_FD);
	standin_reset(0);
	standin.open_errno = ENOENT;
	assert_int_equal(kpost_device(), -ENOENT);
	assert_int_equal(errno, ENOTRECOVERABLE);
}

static void answer_info(void *arg)
{
	struct kpost_info *info = arg;

	info->abi_version = 7;
	info->office_bytes = 1ull << 40;
}

static void info_is_filled(void **state)
{
	struct kpost_info info = { 0 };

	(void)state;
	standin.answer = answer_info;
	assert_int_equal(kpost_info(&info), 0);
	standin_expect(DEVICE_FD, KPOST_IOC_INFO);
	standin_expect_device();
	assert_int_equal(info.abi_version, 7);
	assert_int_equal(info.office_bytes, 1ull << 40);

	standin_reset(-ENOTTY);
	assert_int_equal(kpost_info_at(55, &info), -ENOTTY);
	standin_expect(55, KPOST_IOC_INFO);
	assert_int_equal(standin.opened, 0);
}

static void error_survives_close(void **state)
{
	struct kpost_info info;

	(void)state;
	standin_reset(-EFAULT);
	assert_int_equal(kpost_info(&info), -EFAULT);
	standin_expect(DEVICE_FD, KPOST_IOC_INFO);
	standin_expect_device();
}

static void without_device(void **state)
{
	struct kpost_info info;
	int fds[2] = { -5, -6 };

	(void)state;
	standin.open_errno = ENXIO;
	assert_int_equal(kpost_info(&info), -ENXIO);
	assert_int_equal(kpost_open("a", KPOST_RIGHT_SEND, 0, NULL, 0), -ENXIO);
	assert_int_equal(kpost_pair(fds, 0, NULL), -ENXIO);
	assert_int_equal(fds[0], -5);
	assert_int_equal(kpost_unlink("a"), -ENXIO);
	assert_int_equal(kpost_list(NULL, NULL), -ENXIO);
	assert_int_equal(standin.ioctls, 0);
	assert_int_equal(standin.closed, 0);
	assert_int_equal(errno, ENOTRECOVERABLE);
}

static void deadline_is_from_now(void **state)
{
	uint64_t before = now();
	uint64_t deadline = kpost_deadline(1500);
	uint64_t after = now();

	(void)state;
	assert_in_range(deadline, before + 1500000000u, after + 1500000000u);
	deadline = kpost_deadline(0);
	assert_in_range(deadline, after, now());
	assert_true(deadline != 0);
}

static void deadline_is_by_the_clock_that_is_asked_for(void **state)
{
	struct timespec ts;
	uint64_t ns;

	(void)state;
	clock_gettime(CLOCK_REALTIME, &ts);
	ns = (uint64_t)ts.tv_sec * 1000000000u;
	assert_in_range(kpost_deadline_by(KPOST_REALTIME | KPOST_DONTWAIT, 1500), ns,
			ns + 60000000000u);
	clock_gettime(CLOCK_BOOTTIME, &ts);
	ns = (uint64_t)ts.tv_sec * 1000000000u;
	assert_in_range(kpost_deadline_by(KPOST_BOOTTIME, 1500), ns, ns + 60000000000u);
	assert_in_range(kpost_deadline_by(0, 0), 1, now() + 60000000000u);
	assert_int_equal(kpost_deadline_by(KPOST_REALTIME, -1), 0);
	assert_int_equal(kpost_deadline_by(KPOST_REALTIME, INT64_MAX), INT64_MAX);
}

static void deadline_negative_is_none(void **state)
{
	(void)state;
	assert_int_equal(kpost_deadline(-1), 0);
	assert_int_equal(kpost_deadline(INT64_MIN), 0);
}

static void deadline_far_is_valid(void **state)
{
	(void)state;
	/* past S64_MAX the kernel would refuse it */
	assert_int_equal(kpost_deadline(INT64_MAX), INT64_MAX);
	assert_int_equal(kpost_deadline(INT64_MAX / 1000000), INT64_MAX);
	assert_true(kpost_deadline(INT64_MAX / 2000000) < INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(device_opens, standin_setup),
		cmocka_unit_test_setup(info_is_filled, standin_setup),
		cmocka_unit_test_setup(error_survives_close, standin_setup),
		cmocka_unit_test_setup(without_device, standin_setup),
		cmocka_unit_test(deadline_is_from_now),
		cmocka_unit_test(deadline_is_by_the_clock_that_is_asked_for),
		cmocka_unit_test(deadline_negative_is_none),
		cmocka_unit_test(deadline_far_is_valid),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
