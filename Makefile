# SPDX-License-Identifier: GPL-2.0-only
#
# Everything that is made goes below build/; each directory has its own Makefile.

VERSION := 0.1.0
KERNEL  ?= $(shell tools/vm/kernel default)
KERNELS ?= oldest $(KERNEL) newest newest-rt kasan kcsan
PREFIX  ?= /usr/local
CFLAGS  ?= -O2 -g
BUILD   ?= build

override BUILD := $(abspath $(BUILD))
export VERSION PREFIX DESTDIR BUILD CFLAGS
MAKEFLAGS += --no-print-directory

# A kernel of another Debian, SUITE/SERIES, is built for and run in a file system of that one.
ifneq ($(filter command environment,$(origin KERNEL)),)
ifneq ($(filter newest% oldest%,$(KERNEL)),)
override KERNEL := $(shell tools/vm/kernel $(KERNEL))
endif
ELSEWHERE := $(if $(findstring /,$(KERNEL)),$(patsubst %/,%,$(dir $(KERNEL))))
endif

quote = '$(subst ','\'',$(1))'

ifneq ($(ELSEWHERE),)

all module demo test test-32 detectors faults fuzz stress vm:
	@tools/root $(ELSEWHERE) sh tools/setup $@ KERNEL=$(notdir $(KERNEL)) \
		$(foreach name,INPUT TIME FULL CMD,$(if $($(name)),$(name)=$(call quote,$($(name)))))

else

all: module lib tools ## module, library and tools (the default)

module: ## the module, for the VM's KERNEL=6.12|6.1|... or for KDIR=/lib/modules/.../build
	+@tools/build-module $(or $(KDIR),$(KERNEL))

lib: ## the library, shared and static
	@$(MAKE) -C lib

tools: lib ## the kpost command and the demo's programs
	@$(MAKE) -C tools/kpost
	@$(MAKE) -C tools/demo

selftests: lib ## the test programs
	@$(MAKE) -C selftests

docs: ## the man pages
	@$(MAKE) -C Documentation

demo: module tools ## a file's lines through a mailbox to three workers [INPUT=file]
	@tools/demo/run --kernel $(KERNEL) $(if $(INPUT),$(call quote,$(INPUT)))

test: lib tools selftests ## every test, on one kernel [KERNEL=6.1-rt|newest|sid/7.2|kasan|...]
	@tools/test $(KERNEL)

test-matrix: lib tools selftests ## every test, on every kernel [KERNELS='6.1 newest-rt ...']
	@tools/test $(KERNELS)

kernels: # for tools/setup, which installs their compilers
	@echo $(KERNELS)

test-32: ## the tests in the VM, as 32-bit programs on a 64-bit kernel [KERNEL=6.12|newest|...]
	+@tools/build-32
	@tools/test --32 $(KERNEL)

detectors: ## plant a bug of each class, see it caught
	@tools/vm/check-detectors

faults: lib ## fail each allocation and user copy of each operation in turn
	@tools/faults/run

fuzz: lib ## look for what no test does, guided by coverage [TIME=5m]
	@tools/fuzz/run $(if $(TIME),--time $(TIME))

stress: module lib ## everything at once, each message accounted for [TIME=2m] [KERNEL=] [FULL=1]
	@$(MAKE) -C tools/stress
	@tools/stress/run --kernel $(KERNEL) $(if $(TIME),--time $(TIME)) $(if $(FULL),--full)

model: ## check the model of the protocol, and that it fails when weakened
	@Documentation/model/check

vm: module tools ## a shell in the VM with kpost loaded, or CMD='...'
	@tools/vm/run --kernel $(KERNEL) $(if $(CMD),-- bash -c $(call quote,$(CMD)))

lint: lib tools selftests ## every static check
	@tools/lint

install: lib tools docs ## library, headers, command, man pages, DKMS source [PREFIX= DESTDIR=]
	@for dir in lib tools/kpost Documentation kmod; do $(MAKE) -C $$dir install || exit; done

uninstall: ## remove what install installs
	@tools/uninstall

clean: ## remove what was built, keep what was downloaded
	rm -rf $(filter-out $(BUILD)/kernel $(BUILD)/root,$(wildcard $(BUILD)/*))

distclean: ## remove downloads too
	rm -rf $(BUILD)

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

endif

.PHONY: all module lib tools selftests docs demo test test-32 test-matrix kernels detectors faults fuzz stress \
	model vm lint install uninstall clean distclean help
