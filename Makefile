# SPDX-License-Identifier: GPL-2.0-only

VERSION := 0.1.0
KERNEL  ?= $(shell tools/vm/kernel default)
KERNELS ?= 6.12 6.1
PREFIX  ?= /usr/local
BUILD   ?= build
CFLAGS  ?= -O2 -g

override BUILD := $(abspath $(BUILD))
export VERSION PREFIX BUILD CFLAGS

all: module lib tools ## module, library and tools

module: ## the module, for the VM's KERNEL=6.12|6.1 or for KDIR=/lib/modules/.../build
	+@tools/build-module $(or $(KDIR),$(KERNEL))

lib: ## the library, shared and static
	$(MAKE) -C lib

tools: lib ## the command and the demo's programs
	$(MAKE) -C tools/kpost
	$(MAKE) -C tools/demo

vm: module ## a shell in the VM, or CMD='...'
	@tools/vm/run --kernel $(KERNEL) $(if $(CMD),-- bash -c $(quote-cmd))

clean: ## remove what was built, keep downloads
	rm -rf $(filter-out $(BUILD)/kernel $(BUILD)/vm,$(wildcard $(BUILD)/*))

distclean: ## remove downloads too
	rm -rf $(BUILD)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

quote-cmd = '$(subst ','\'',$(CMD))'

.PHONY: help all module lib tools vm clean distclean
