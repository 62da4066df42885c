// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bugs on purpose, one of each class that a detector finds: so that a run without a
 * report means that there was none, rather than that nothing was looking.  Only in
 * modules for kernels with detectors; "echo CLASS >/sys/module/kpost/parameters/plant"
 * has one happen.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

static void plant_out_of_bounds(void)
{
	char *bytes = kzalloc(40, GFP_KERNEL);

	if (!bytes)
		return;
	OPTIMIZER_HIDE_VAR(bytes);
	bytes[40] = 1;
	kfree(bytes);
}

static void plant_use_after_free(void)
{
	char *bytes = kzalloc(40, GFP_KERNEL);

	if (!bytes)
		return;
	kfree(bytes);
	OPTIMIZER_HIDE_VAR(bytes);
	WRITE_ONCE(bytes[8], 1);
}

static void plant_lock_inversion(void)
{
	static DEFINE_MUTEX(first);
	static DEFINE_MUTEX(second);

	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static void plant_sleep_in_atomic(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	might_sleep();
	spin_unlock(&lock);
}

static void plant_leak(void)
{
	void *bytes = kmalloc(40, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(bytes);
}

static void plant_bad_shift(void)
{
	unsigned int bits = 32;

	OPTIMIZER_HIDE_VAR(bits);
	bits = 1 << bits;
	OPTIMIZER_HIDE_VAR(bits);
}

static void plant_expire(struct timer_list *timer)
{
}

static void plant_free_active(void)
{
	struct timer_list *timer = kzalloc(sizeof(*timer), GFP_KERNEL);

	if (!timer)
		return;
	timer_setup(timer, plant_expire, 0);
	mod_timer(timer, jiffies + 3600 * HZ);
	kfree(timer);
}

static unsigned int raced;

static int plant_racer(void *unused)
{
	while (!kthread_should_stop()) {
		raced++;
		cond_resched();
	}
	return 0;
}

static void plant_data_race(void)
{
	struct task_struct *racer = kthread_run(plant_racer, NULL, "kpost_racer");
	unsigned long end = jiffies + 3 * HZ;

	if (IS_ERR(racer))
		return;
	while (time_before(jiffies, end)) {
		raced++;
		cond_resched();
	}
	kthread_stop(racer);
}

static const struct {
	const char *name;
	void (*plant)(void);
} classes[] = {
	{ "out-of-bounds", plant_out_of_bounds },
	{ "use-after-free", plant_use_after_free },
	{ "lock-inversion", plant_lock_inversion },
	{ "sleep-in-atomic", plant_sleep_in_atomic },
	{ "leak", plant_leak },
	{ "bad-shift", plant_bad_shift },
	{ "free-active", plant_free_active },
	{ "data-race", plant_data_race },
};

static int plant_set(const char *name, const struct kernel_param *param)
{
	unsigned int i;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		if (!sysfs_streq(name, classes[i].name))
			continue;
		classes[i].plant();
		return 0;
	}
	return -EINVAL;
}

static const struct kernel_param_ops plant_ops = {
	.set = plant_set,
};

module_param_cb(plant, &plant_ops, NULL, 0200);
