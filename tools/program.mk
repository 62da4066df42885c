# SPDX-License-Identifier: GPL-2.0-only
#
# How a program of tools/ is built; included by the Makefile of its directory, which
# sets PROGRAM and, where it needs others, SOURCES, LIBS, DEFINES and PEDANTIC.  The top Makefile
# sets BUILD, CFLAGS, PREFIX, DESTDIR and VERSION.

TOP      := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
BUILD    ?= $(TOP)/build
CFLAGS   ?= -O2 -g
PEDANTIC ?= -Wpedantic

override BUILD := $(abspath $(BUILD))
OBJ := $(BUILD)/obj/$(PROGRAM)
LIB := $(BUILD)/lib/libkpost.a
SOURCES ?= $(wildcard *.c)
OBJECTS := $(patsubst %.c,$(OBJ)/%.o,$(SOURCES))

ALL_CFLAGS := -std=gnu11 -Wall -Wextra $(PEDANTIC) -Wmissing-prototypes -D_GNU_SOURCE -pthread \
	$(DEFINES) -I$(TOP)/lib -I$(TOP)/uapi $(CFLAGS)

all: $(BUILD)/bin/$(PROGRAM)
	@:

$(BUILD)/bin/$(PROGRAM): $(OBJECTS) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(OBJECTS) $(LIB) -luring $(LIBS)

$(LIB):
	$(MAKE) -C $(TOP)/lib BUILD=$(BUILD)

$(OBJ)/%.o: %.c Makefile $(TOP)/tools/program.mk
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(wildcard $(OBJ)/*.d)

install: all

clean:
	rm -rf $(OBJ) $(BUILD)/bin/$(PROGRAM)

.DELETE_ON_ERROR:
.PHONY: all install clean
