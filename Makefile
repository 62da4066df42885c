# SPDX-License-Identifier: GPL-2.0-only
#
# Everything that is made goes below build/; each directory has its own Makefile.

VERSION := 0.1.0
KERNEL  ?= $(shell tools/vm/kernel default)
KERNELS ?= oldest $(KERNEL) newest newest-rt kasan kcsan newest-kasan newest-kcsan
PREFIX  ?= /usr/local
CFLAGS  ?= -O2 -g
BUILD   ?= build

override BUILD := $(abspath $(BUILD))
export VERSION PREFIX DESTDIR BUILD CFLAGS
MAKEFLAGS += --no-print-directory

ifneq ($(filter command environment,$(origin KERNEL)),)
ifneq ($(filter newest% oldest%,$(KERNEL)),)
override KERNEL := $(shell tools/vm/kernel $(KERNEL))
endif
endif
ifneq ($(filter command,$(origin ARCH)),)
override KERNEL := $(ARCH):$(patsubst $(ARCH):%,%,$(KERNEL))
endif

# A kernel of another architecture, ARCH:SERIES, has programs of that one, which are built
# with its libraries. One of another Debian, SUITE/SERIES or ARCH:SUITE/SERIES, is built for
# and run in a file system of that Debian.
ifneq ($(filter command environment override,$(origin KERNEL)),)
FOREIGN := $(if $(findstring :,$(KERNEL)),$(firstword $(subst :, ,$(KERNEL))))
SERIES := $(patsubst $(FOREIGN):%,%,$(KERNEL))
ELSEWHERE := $(if $(findstring /,$(SERIES)),$(patsubst %/,%,$(dir $(SERIES))))
endif

quote = '$(subst ','\'',$(1))'

ifneq ($(ELSEWHERE),)

all module demo test test-32 detectors faults fuzz stress bench bench-wall bench-profile \
bridge bridge-test bridge-stress bridge-bench bridge-host bridge-charts vm:
	@tools/root $(ELSEWHERE) sh tools/setup $@ \
		KERNEL=$(if $(FOREIGN),$(FOREIGN):)$(notdir $(SERIES)) \
		$(foreach name,INPUT TIME FULL CMD TESTS ARGS,$(if $($(name)),$(name)=$(call quote,$($(name)))))

else

ifneq ($(FOREIGN),)
SYSROOT := $(BUILD)/root/$(FOREIGN)
GNU     := $(shell tools/vm/arch $(KERNEL))-linux-gnu
CROSS   := BUILD=$(BUILD)/$(FOREIGN) CC='$(GNU)-gcc --sysroot=$(SYSROOT)' AR=$(GNU)-ar \
	KSELFTEST_DIR=$(BUILD)/kernel/source/root/tools/testing/selftests
endif

all: module lib tools ## module, library and tools (the default)

module: ## the module, for the VM's KERNEL=6.12|arm64:6.12|... or for KDIR=/lib/modules/.../build
	+@tools/build-module $(or $(KDIR),$(KERNEL))

lib: $(SYSROOT) ## the library, shared and static
	@$(MAKE) -C lib $(CROSS)

tools: lib ## the kpost command and the demo's programs
	@$(MAKE) -C tools/kpost $(CROSS)
	@$(MAKE) -C tools/demo $(CROSS)

selftests: lib ## the test programs
	@$(if $(FOREIGN),tools/vm/kernel source >/dev/null)
	@$(MAKE) -C selftests $(CROSS)

$(SYSROOT): tools/vm/root
	@tools/vm/root $(FOREIGN) >/dev/null

docs: ## the man pages
	@$(MAKE) -C Documentation

demo: module tools ## a file's lines through a mailbox to three workers [INPUT=file]
	@tools/demo/run --kernel $(KERNEL) $(if $(INPUT),$(call quote,$(INPUT)))

test: lib tools selftests ## every test, on one kernel [KERNEL=6.1-rt|newest|sid/7.2|kasan|...] [ARCH=arm64] [VMS=1]
	@tools/test $(KERNEL)

test-matrix: lib tools selftests ## every test, on every kernel [KERNELS='6.1 newest-rt ...']
	@tools/test $(KERNELS)

kernels: # for tools/setup, which installs their compilers
	@echo $(KERNELS)

test-32: ## the tests in the VM, as 32-bit programs on a 64-bit kernel [KERNEL=6.12|newest|...]
	+@tools/build-32
	@tools/test --32 $(KERNEL)

# These need detectors: that kernel of KERNEL's series is taken.
WITH_DETECTORS = $(addprefix --series ,$(filter-out kasan kcsan,$(firstword $(subst -, ,$(KERNEL)))))

detectors: ## plant a bug of each class, see it caught [KERNEL=]
	@tools/vm/check-detectors $(WITH_DETECTORS)

faults: lib ## fail each allocation and user copy of each operation in turn [KERNEL=]
	@tools/faults/run $(WITH_DETECTORS)

fuzz: lib ## look for what no test does, guided by coverage [TIME=5m] [KERNEL=]
	@tools/fuzz/run $(WITH_DETECTORS) $(if $(TIME),--time $(TIME))

stress: module lib ## everything at once, each message accounted for [TIME=2m] [KERNEL=] [FULL=1]
	@$(MAKE) -C tools/stress
	@tools/stress/run --kernel $(KERNEL) $(if $(TIME),--time $(TIME)) $(if $(FULL),--full)

bridge: lib ## kpost-bridge, which joins mailboxes of several machines through NATS
	@$(MAKE) -C tools/bridge
	@$(MAKE) -C tools/bridge/tests

bridge-test: module tools bridge ## the bridge between three machines in one VM [KERNEL=] [FULL=1] [SERVER=] [TESTS=]
	@tools/bridge/tests/run --kernel $(KERNEL) $(if $(FULL),--full) $(if $(SERVER),--server $(SERVER)) $(TESTS)

bridge-stress: module tools bridge ## the same, with what it is made of killed at random [TIME=10m] [KERNEL=] [SEED=]
	@tools/bridge/tests/run --kernel $(KERNEL) --time $(or $(TIME),10m)

bridge-bench: bridge ## what a message costs the bridge, and NATS alone, on this machine
	@tools/bridge/tests/bench

bridge-host: bridge ## the bridge on this machine, killed with 100,000 messages under way [ARGS='--only importer']
	@tools/bridge/tests/host $(ARGS)

bridge-charts: bridge ## the same, drawn in build/bridge [ARGS=]
	@tools/bridge/tests/host --charts $(BUILD)/bridge $(ARGS)

bench: bench-program ## what a message costs here and by others' means, in instructions [KERNEL=] [ARGS=]
	@tools/bench/run --kernel $(KERNEL) $(ARGS)

bench-wall: bench-program ## the same in time, on two processors [KERNEL=] [ARGS=]
	@tools/bench/run --kernel $(KERNEL) --wall $(ARGS)

bench-charts: bench-program ## draw cost against size, depth and processes in build/bench [KERNEL=] [ARGS=]
	@tools/bench/run --kernel $(KERNEL) --charts $(BUILD)/bench $(or $(ARGS),--set=charts)

bench-profile: bench-program ## which functions a message's instructions are in [KERNEL=] [ARGS='-w call']
	@tools/bench/profile --kernel $(KERNEL) $(ARGS)

bench-check: bench-program ## does anything of kpost's cost 2 % more than it did? [KERNEL=]
	@tools/bench/check --kernel $(KERNEL)

bench-baseline: bench-program ## take the costs of now as those to compare with [KERNEL=]
	@tools/bench/check --kernel $(KERNEL) --write

bench-program: module lib
	@$(MAKE) -C tools/bench
	@$(MAKE) -C tools/bench/plugin

model: ## check the model of the protocol, and that it fails when weakened
	@Documentation/model/check

dkms: ## kpost by DKMS through a kernel update, in a Debian of its own [SUITE=trixie]
	@tools/root --clean $(or $(SUITE),trixie)-backports tools/dkms-test

newcomer: ## both commands of the README in a clean Debian, each twice [SUITE=trixie] [ONCE=1]
	@tools/newcomer $(or $(SUITE),trixie) $(if $(ONCE),--once)

vm: module tools ## a shell in the VM with kpost loaded, or CMD='...'
	@tools/vm/run --kernel $(KERNEL) $(if $(CMD),-- bash -c $(call quote,$(CMD)))

lint: lib tools selftests ## every static check
	@tools/lint

install: lib tools docs ## library, headers, command, man pages, DKMS source [PREFIX= DESTDIR=]
	@for dir in lib tools/kpost Documentation kmod; do $(MAKE) -C $$dir install || exit; done

install-dkms: install ## and have DKMS build the module for this kernel and those to come
	@tools/dkms add

install-bridge: bridge ## kpost-bridge, for the unit of install-systemd, or to be run by hand
	@$(MAKE) -C tools/bridge install

install-systemd: ## load kpost at each boot, units that mount mailboxes as files and run kpost-bridge
	@$(MAKE) -C tools/packaging install

uninstall: ## remove what the install targets install
	@tools/uninstall

clean: ## remove what was built, keep what was downloaded
	rm -rf $(filter-out $(BUILD)/kernel $(BUILD)/root,$(wildcard $(BUILD)/*))

distclean: ## remove downloads too
	rm -rf $(BUILD)

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

endif

.PHONY: all module lib tools selftests docs demo test test-32 test-matrix kernels detectors faults fuzz stress \
	bridge bridge-test bridge-stress bridge-bench bridge-host bridge-charts \
	bench bench-wall bench-charts bench-profile bench-check bench-baseline bench-program \
	model dkms newcomer vm lint install install-dkms install-bridge install-systemd uninstall clean distclean help
