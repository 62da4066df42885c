#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The functions of the header, the symbol map and the shared library are the same.
#
# usage: symbols.sh HEADER MAP LIBRARY CC
set -eu

header=$1 map=$2 library=$3 cc=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prototypes of this header only; the preprocessor takes the comments out.  What the
# header defines itself only calls others.
$cc -E -I../uapi "$header" |
	awk -v file="$header" '/^# [0-9]+ "/ { ours = index($3, "\"" file "\"") == 1; next } ours' |
	tr '\n' ' ' >"$work/text"
grep -o 'static inline [^(]*(' "$work/text" | grep -o 'kpost_[a-z_]* *(' | tr -d ' (' |
	sort >"$work/inline"
grep -o '\bkpost_[a-z_]* *(' "$work/text" | tr -d ' (' | sort -u |
	comm -23 - "$work/inline" >"$work/header"
grep -o '\bkpost_[a-z_]*;' "$map" | tr -d ';' | sort >"$work/map"
nm -D --defined-only "$library" | sed -n 's/.* T \(kpost_[a-z_]*\)@@.*/\1/p' | sort >"$work/library"

test -s "$work/header"
status=0
for other in map library; do
	if ! diff -u --label "$header" --label "$other" "$work/header" "$work/$other"; then
		echo "symbols.sh: the header and the $other disagree" >&2
		status=1
	fi
done
exit $status
