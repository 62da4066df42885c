#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The kpost command, whose tests are kept beside it.

exec "$(dirname "$0")/../tools/kpost/check.sh"
