# SPDX-License-Identifier: GPL-2.0-only
#
# How a program of tools/ is built; included by the Makefile of its directory, which
# sets PROGRAM and, where it needs others, LIBS, DEFINES and PEDANTIC.  The top Makefile sets BUILD,
# CFLAGS, PREFIX, DESTDIR and VERSION.

BUILD    ?= $(abspath ../../build)
CFLAGS   ?= -O2 -g
PEDANTIC ?= -Wpedantic

override BUILD := $(abspath $(BUILD))
OBJ := $(BUILD)/obj/$(PROGRAM)
LIB := $(BUILD)/lib/libkpost.a
OBJECTS := $(patsubst %.c,$(OBJ)/%.o,$(wildcard *.c))

ALL_CFLAGS := -std=gnu11 -Wall -Wextra $(PEDANTIC) -Wmissing-prototypes -D_GNU_SOURCE -pthread \
	$(DEFINES) -I$(CURDIR)/../../lib -I$(CURDIR)/../../uapi $(CFLAGS)

all: $(BUILD)/bin/$(PROGRAM)
	@:

$(BUILD)/bin/$(PROGRAM): $(OBJECTS) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(OBJECTS) $(LIB) -luring $(LIBS)

$(LIB):
	$(MAKE) -C ../../lib BUILD=$(BUILD)

$(OBJ)/%.o: %.c Makefile ../program.mk
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(wildcard $(OBJ)/*.d)

install: all

clean:
	rm -rf $(OBJ) $(BUILD)/bin/$(PROGRAM)

.DELETE_ON_ERROR:
.PHONY: all install clean
