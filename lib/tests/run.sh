#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs the given test programs and the check of the header, TAP on stdout.
set -u

count=0
failed=0
skipped=0

verdict()
{
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		failed=$((failed + 1))
	fi
}

# cmocka knows no reasons; a test prints its own just before it skips.
skip()
{
	skipped=$((skipped + 1))
	verdict 0 "$1 # SKIP $reason"
}

out=$(mktemp)
trap 'rm -f "$out"' EXIT

echo "TAP version 13"
for test in "$@"; do
	name=${test##*/}
	timeout 60 env CMOCKA_MESSAGE_OUTPUT=TAP "$test" >"$out" 2>&1
	status=$?
	reason="it did not say why"
	# One stream of numbers over all programs; what is no verdict becomes a comment.
	while IFS= read -r line; do
		case $line in
		*"ok "*"# SKIP"*) skip "$name: ${line##*# SKIP }" ;;
		"ok "*) verdict 0 "$name: ${line#ok * - }" ;;
		"not ok "*) verdict 1 "$name: ${line#not ok * - }" ;;
		1..*) ;;
		"# "*) echo "$line" ;;
		*) reason=$line && echo "# $line" ;;
		esac
	done <"$out"
	# A program that ended without saying why is a failure too.
	if [ $status -ne 0 ] && ! grep -q '^not ok' "$out"; then
		verdict 1 "$name: ended with status $status"
	fi
done
for standard in c11 c++17; do
	make -s --no-print-directory "check-$standard" >"$out" 2>&1
	status=$?
	sed 's/^/# /' "$out"
	if [ $standard = c++17 ] && ! command -v "${CXX:-g++}" >/dev/null; then
		reason="there is no C++ compiler"
		skip "header: compiles as $standard"
	else
		verdict $status "header: compiles as $standard"
	fi
done
echo "1..$count"
echo "# $((count - failed - skipped)) passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
