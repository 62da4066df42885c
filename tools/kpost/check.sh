#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Tests of the kpost command. They need the module: tools/vm/run -- tools/kpost/check.sh
# TAP on stdout.
# shellcheck disable=SC2016 # most expressions are for the shells that are started
set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
PATH=${BUILD:-$top/build}/bin:$PATH
work=$(mktemp -d)
mailbox=check-$$
count=0
failed=0

cleanup()
{
	kpost rm "$mailbox" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT

# is NAME STATUS EXPECTED COMMAND...: the command ends so and prints that.
is()
{
	local name=$1 status=$2 expected=$3 actual got
	shift 3
	actual=$("$@" 2>"$work/stderr" | base64 -w0; exit "${PIPESTATUS[0]}")
	got=$?
	count=$((count + 1))
	if [ $got -eq "$status" ] && [ "$actual" = "$(printf %b "$expected" | base64 -w0)" ]; then
		echo "ok $count - $name"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $count - $name"
	echo "# status $got, expected $status; output '$(base64 -d <<<"$actual" | tr -d '\0')'"
	sed 's/^/# /' "$work/stderr"
}

# says NAME STATUS PATTERN COMMAND...: one line on stderr, which holds the pattern.
says()
{
	local name=$1 status=$2 pattern=$3 got
	shift 3
	"$@" >/dev/null 2>"$work/stderr"
	got=$?
	count=$((count + 1))
	if [ $got -eq "$status" ] && grep -q -- "$pattern" "$work/stderr" &&
		[ "$(grep -vc '^Try ' "$work/stderr")" -eq 1 ]; then
		echo "ok $count - $name"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $count - $name"
	echo "# status $got, expected $status and '$pattern'"
	sed 's/^/# /' "$work/stderr"
}

sh_in()
{
	MAILBOX=$mailbox WORK=$work bash -c "$1"
}

basics()
{
	is 'create' 0 '' kpost create "$mailbox"
	is 'create again' 0 '' kpost create "$mailbox"
	says 'create --exclusive' 1 'exists already' kpost create --exclusive "$mailbox"
	is 'send and recv a line' 0 'hello\n' sh_in 'kpost send $MAILBOX <<<hello; kpost recv $MAILBOX'
	is 'lines of any bytes, in order' 0 'a\n\n\0001\0377\0\nlast\n' sh_in \
		'printf "a\n\n\1\377\0\nlast" | kpost send $MAILBOX; kpost recv -n 4 $MAILBOX'
	is 'nothing sent is nothing there' 4 '' sh_in \
		'kpost send $MAILBOX </dev/null; kpost recv -t 0 $MAILBOX'
	is '--whole and --raw keep all bytes' 0 'a\nb\n' sh_in \
		'printf "a\nb\n" | kpost send --whole $MAILBOX; kpost recv --raw $MAILBOX'
	is '--priority' 0 'high\nlow\n' sh_in \
		'kpost send $MAILBOX <<<low; kpost send -p 9 $MAILBOX <<<high; kpost recv -n 2 $MAILBOX'
	is 'more lines than the mailbox holds' 0 '5000 49995001\n' sh_in \
		'seq 5000 9999 | kpost send $MAILBOX & kpost recv -n 5000 $MAILBOX >$WORK/out
		 wait; seq 5000 9999 | cmp - $WORK/out && echo 5000 49995001'
	is '--sync waits for receipt' 0 'a\nreceived\n' sh_in \
		'kpost send --sync $MAILBOX <<<a && echo received >$WORK/sync &
		 kpost recv $MAILBOX; wait; cat $WORK/sync'
	says 'send --timeout on a full mailbox' 4 'timed out' sh_in \
		'kpost create --messages 1 $MAILBOX-1 && kpost send $MAILBOX-1 <<<a
		 kpost send -t 0.1 $MAILBOX-1 <<<b; s=$?; kpost rm $MAILBOX-1; exit $s'
	says 'recv --timeout' 4 'timed out' kpost recv -t 0.1 "$mailbox"
	is 'recv --json of text' 0 'he\\"llo\\n\n0\n7\n' sh_in \
		'printf "he\"llo\n" | kpost send --whole -p 7 $MAILBOX; kpost recv --json $MAILBOX >$WORK/json
		 sed -n "s/.*\"payload\":\"\(.*\)\"}/\1/p" $WORK/json
		 for key in uid priority; do
			grep -o "\"$key\":[0-9]*" $WORK/json | cut -d: -f2
		 done'
	is 'recv --json of bytes' 0 '"payload_base64":"/wA="\n' sh_in \
		'printf "\377\0" | kpost send $MAILBOX
		 kpost recv --json $MAILBOX | grep -o "\"payload_base64\":\"[^\"]*\""'
	is 'recv ended by a signal has printed what it took' 143 'x\n' sh_in \
		'kpost send $MAILBOX <<<x; kpost recv --follow $MAILBOX >$WORK/follow & pid=$!
		 while [ ! -s $WORK/follow ]; do sleep 0.05; done; kill $pid; wait $pid; s=$?
		 cat $WORK/follow; exit $s'
}

looking()
{
	is 'ls --names' 0 "$mailbox\n" sh_in 'kpost ls --names | grep -x $MAILBOX'
	is 'ls' 0 '' sh_in 'kpost ls | grep -q " $MAILBOX\$"'
	is 'ls --json' 0 '[1]\n' sh_in \
		'kpost ls --json | sed "s/{[^}]*\"name\":\"$MAILBOX\"[^}]*}/1/"'
	is 'stat --json' 0 '"messages":1024\n' sh_in \
		'kpost stat --json $MAILBOX | grep -o "\"messages\":[0-9]*"'
	is 'stat does not close a mailbox' 0 'x\n' sh_in \
		'kpost send $MAILBOX <<<x; kpost stat $MAILBOX >/dev/null; kpost recv $MAILBOX'
	is 'set' 0 '"mode":"0640"\n"messages":5\n' sh_in \
		'kpost set --messages 5 --mode 640 $MAILBOX
		 kpost stat --json $MAILBOX | grep -oE "\"(messages|mode)\":[^,]*"'
	is 'set --owner' 0 '"uid":65534\n' sh_in \
		'kpost set --owner nobody $MAILBOX
		 kpost stat --json $MAILBOX | grep -o "\"uid\":[0-9]*"; kpost set --owner root $MAILBOX'
	is 'info --json' 0 '"abi_version":1\n' sh_in \
		'kpost info --json | grep -o "\"abi_version\":[0-9]*"'
	is 'wait for what is there' 0 '' kpost wait "$mailbox"
	is 'wait until it is made' 0 '' sh_in \
		'(sleep 0.2; kpost create $MAILBOX-w) & kpost wait -t 10 $MAILBOX-w; s=$?
		 wait; kpost rm $MAILBOX-w; exit $s'
	says 'wait --timeout' 4 'timed out' kpost wait -t 0.1 "$mailbox-none"
}

calls()
{
	kpost serve --jobs 2 "$mailbox-s" -- sh -c '
		read -r line
		case $line in
		fail) exit 3 ;;
		long) head -c 100000 /dev/zero ;;
		slow) sleep 0.3; echo done ;;
		who) echo "$KPOST_UID" ;;
		*) printf "[%s]" "$line" ;;
		esac' 2>"$work/serve" &
	server=$!
	kpost wait -t 10 "$mailbox-s"
	is 'call and serve' 0 '[hi]\n' kpost call "$mailbox-s" hi
	is 'call from stdin' 0 '[in]' sh_in 'echo in | kpost call --raw $MAILBOX-s -'
	is 'call --json' 0 '{"size":4,"reply":"[hi]"}\n' kpost call --json "$mailbox-s" hi
	is 'the command knows who calls' 0 "$(id -u)\n\n" kpost call "$mailbox-s" who
	says 'a command that fails gives the call up' 7 'gave the call up' \
		kpost call "$mailbox-s" fail
	is 'and the server says so' 0 "1\n" grep -c 'ended with status 3' "$work/serve"
	says 'a reply that is too long gives the call up' 7 'gave the call up' \
		kpost call "$mailbox-s" long
	is 'and the server says so, too' 0 "1\n" grep -c 'longer than' "$work/serve"
	says 'call --timeout' 4 'timed out' kpost call -t 0.1 "$mailbox-s" slow
	is 'jobs run side by side' 0 '[b]\ndone\n\n' sh_in \
		'kpost call $MAILBOX-s slow >$WORK/slow & kpost call $MAILBOX-s b; wait; cat $WORK/slow'
	kill -TERM $server
	wait $server
	is 'serve ends cleanly' 0 '' test $? -eq 0
	says 'and its mailbox goes with it' 3 'no such mailbox' kpost call "$mailbox-s" hi
}

complaints()
{
	says 'no such mailbox' 3 "make it with 'kpost create $mailbox-none'" \
		kpost recv "$mailbox-none"
	says 'a name with a slash' 2 "no '/'" kpost send a/b
	says 'a name that would steer the terminal' 2 'x1b' kpost stat $'a\e[31m'
	says 'a name that is empty' 2 'cannot be empty' kpost create ''
	says 'a name that is too long' 2 '255' kpost create "$(printf %0256d 0)"
	says 'no permission' 5 'kpost stat' sh_in \
		'setpriv --reuid 65534 --regid 65534 --clear-groups kpost recv $MAILBOX'
	says 'rm of nothing' 3 'no such mailbox' kpost rm "$mailbox-none"
	says 'a line that is too long' 1 'message 2' sh_in \
		'kpost create --message-max 3 $MAILBOX-3
		 printf "abc\nabcd\n" | kpost send $MAILBOX-3; s=$?
		 kpost rm $MAILBOX-3; exit $s'
	says 'output that cannot be written' 1 'No space left' sh_in \
		'kpost send $MAILBOX <<<x; kpost recv $MAILBOX >/dev/full'
	says 'a verb that is none' 2 "no verb 'x'" kpost x
	says 'an option that is none' 2 'nonsense' kpost recv --nonsense a
	says 'a number that is none' 2 'not' kpost create --bytes x a
	says 'sizes that do not go together' 2 'go together' \
		kpost create --bytes 10 --message-max 20 "$mailbox-x"
	is 'rm' 0 '' kpost rm "$mailbox"
	says 'and it is gone' 3 'no such mailbox' kpost recv "$mailbox"
}

echo 'TAP version 13'
basics
looking
calls
complaints
echo "1..$count"
echo "# $((count - failed)) passed, $failed failed"
[ $failed -eq 0 ]
